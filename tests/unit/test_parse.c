/* config_parse() and config_load(): every kind of mistake gives one complaint with file, line,
 * block, option and what was expected; a good file gives the values and defaults. Does not cover:
 * single rows (test_options), other users than root as owner of the secrets. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/parse.h"

#define HEAD  "cluster { name = \"c\" }\n"
#define NODE1 "node \"n1\" { id = 1 replication_address = 10.0.0.1 }\n"
#define NODE2 "node \"n2\" { id = 2 replication_address = 10.0.0.2 }\n"
#define NODES NODE1 NODE2
#define UUID1 "11111111-1111-1111-1111-111111111111"
#define UUID2 "22222222-2222-2222-2222-222222222222"
#define GROUP "group \"g\" { }\n"
#define LU1   "lu \"a\" { uuid = " UUID1 " group = g path = \"/a\" }\n"

static const struct {
    const char *text, *expected;
} mistakes[] = {
    {"", "f:1: cluster: missing: expected one block cluster { ... }"},
    {HEAD, "f:1: cluster: expected at least one node block"},
    {HEAD HEAD NODE1, "f:2: cluster: given twice: expected one block"},
    {"cluster { }\n" NODE1,
     "f:1: cluster: name: missing: expected a name of 1..63 characters A-Z a-z "
     "0-9 . _ -"},
    {HEAD "\nnode \"n1\" {\n  id = 1\n  colour = red\n}\n",
     "f:5: node \"n1\": no such option 'colour': expected one of id, peer, replication_address, "
     "portal"},
    {HEAD "gruop \"g\" { }\n",
     "f:2: no such option 'gruop': expected one of cluster, node, target, "
     "group, lu, host"},
    {HEAD "node \"n1\" {\n  id = 1\n  id = 2\n}\n",
     "f:4: node \"n1\": option 'id' is given twice, first in line 3"},
    {HEAD "node \"n1\" {\n\n  id = 9\n}\n", "f:4: node \"n1\": id 9: expected 1..8"},
    {HEAD "node \"n1\" { }\n", "f:2: node \"n1\": id: missing: expected 1..8"},
    {HEAD "node \"-\" { id = 1 }\n",
     "f:2: node \"-\": expected 1..63 characters A-Z a-z 0-9 . _ - as name"},
    {HEAD NODE1 "node \"n1\" { id = 2 }\n",
     "f:3: node \"n1\": expected another name than in line 2"},
    {HEAD NODE1 "node \"n2\" {\n id = 1\n}\n",
     "f:4: node \"n2\": id 1: expected another id than node \"n1\" in line 2"},
    {HEAD NODE1 "group \"g\" {\n",
     "f:3: group \"g\": not closed: expected } before the end of the file"},
    {HEAD NODE1 "group \"g\" { port = \"", "f:5: cannot be understood: expected strings and "
                                           "comments that end"},
    {HEAD NODE1 "/* x", "f:5: cannot be understood: expected strings and comments that end"},
    {HEAD NODE1 "}\n", "f:3: unexpected closing brace"},
    {"cluster { name = c corosync = false }\n" NODES,
     "f:1: cluster: corosync false: expected true with more than one node block"},
    {"cluster {\n name = c\n corosync = maybe\n}\n" NODE1,
     "f:3: cluster: corosync maybe: expected true or false"},
    {"cluster {\n name = c\n lease_ms = 5000\n hold_ms = 5000\n}\n" NODE1,
     "f:3: cluster: lease_ms: expected less than hold_ms (5000)"},
    {"cluster {\n name = c\n transition_s = 3\n}\n" NODE1,
     "f:3: cluster: transition_s: expected at least hold_ms (20000) in seconds"},
    {"cluster {\n name = c\n pool_bytes = 64P\n}\n" NODE1,
     "f:3: cluster: pool_bytes 64P: expected 4M..64G, a size in bytes or with K, M, G, T"},
    {"cluster {\n name = c\n run_dir = halun\n}\n" NODE1,
     "f:3: cluster: run_dir halun: expected an absolute path of at most 255 characters"},
    {HEAD "node n1 { id = 1\n portal p { address = \"10.0.0.1:99999\"\n rtpi = 1 } }\n",
     "f:3: node \"n1\" portal \"p\": address 10.0.0.1:99999: expected IP, IP:PORT or [IPv6]:PORT"},
    {HEAD "node n1 { id = 1\n portal p { rtpi = 1 } }\n",
     "f:3: node \"n1\" portal \"p\": address: missing: expected IP, IP:PORT or [IPv6]:PORT"},
    {HEAD
     "node n1 { id = 1\n portal p { address = 10.0.0.1 rtpi = 1 }\n portal q { address = 10.0.0.2\n"
     "rtpi = 1 } }\n",
     "f:5: node \"n1\" portal \"q\": rtpi 1: expected another one than portal \"p\" in line 3"},
    {HEAD "node n1 { id = 1\n portal p { address = 10.0.0.1 rtpi = 1 }\n portal q { address = "
          "\"10.0.0.1:3260\"\n rtpi = 2 } }\n",
     "f:4: node \"n1\" portal \"q\": address 10.0.0.1:3260: expected another one than portal \"p\" "
     "in "
     "line 3"},
    {HEAD NODES "target \"iqn.2026-01.a:x\" {\n first_burst = 65536\n max_burst = 4096\n}\n",
     "f:5: target \"iqn.2026-01.a:x\": first_burst 65536: expected at most max_burst (4096)"},
    {HEAD NODES "target \"iqn.2026-01.a:x\" { }\ntarget \"iqn.2026-01.a:y\" { }\n",
     "f:5: target \"iqn.2026-01.a:y\": expected one target: the portals' rtpi belong to it"},
    {HEAD NODES "target \"x\" { }\n", "f:4: target \"x\": expected an iSCSI name "
                                      "(iqn.YYYY-MM.DOMAIN:NAME, in lower case) as name"},
    {HEAD NODES "group \"g\" {\n replication = mirror\n}\n",
     "f:5: group \"g\": replication mirror: expected one of none builtin drbd"},
    {HEAD NODES "group \"g\" {\n replication = builtin\n nodes = { n1 }\n port = 1\n}\n",
     "f:6: group \"g\": nodes: expected 2 names of nodes with replication = builtin, found 1"},
    {HEAD NODES "group \"g\" {\n replication = builtin\n nodes = { n1, n2 }\n port = 1\n"
                "drbd_peer = \"10.0.0.9:7789\"\n}\n",
     "f:6: group \"g\": nodes: expected 1 name of a node with drbd_peer, found 2"},
    {HEAD NODES "group \"g\" {\n replication = builtin\n nodes = { n1, n2 }\n port = 1\n"
                "after_sb_0pri = discard-local\n}\n",
     "f:8: group \"g\": after_sb_0pri discard-local: expected only with drbd_peer: here it is the same on both "
     "nodes"},
    {HEAD NODES "group \"g\" {\n nodes = { n1 }\n drbd_peer = \"10.0.0.9:7789\"\n}\n",
     "f:6: group \"g\": drbd_peer 10.0.0.9:7789: expected only with replication = builtin"},
    {HEAD NODES "group \"g\" {\n replication = drbd\n}\n",
     "f:4: group \"g\": nodes: expected 2 names of nodes with replication = drbd, or 1 when the other copy's machine is no "
     "node"},
    {HEAD NODES "group \"g\" {\n nodes = { n1 }\n drbd_resource = r0\n}\n",
     "f:6: group \"g\": drbd_resource r0: expected only with replication = drbd"},
    {HEAD NODES "group \"g\" {\n replication = drbd\n nodes = { n1, n2 }\n drbd_peer = \"10.0.0.9:7789\"\n}\n",
     "f:7: group \"g\": drbd_peer 10.0.0.9:7789: expected only with replication = builtin"},
    {HEAD NODES "group r0 { replication = drbd nodes = { n1, n2 } }\n"
                "group \"g\" { replication = drbd nodes = { n1, n2 } drbd_resource = r0 }\n",
     "f:5: group \"g\": drbd_resource r0: expected another one than group \"r0\" in line 4"},
    {HEAD NODES "group g { replication = drbd nodes = { n1, n2 } }\n"
                "lu a { uuid = " UUID1 " group = g path = \"/dev/drbd0\" }\n",
     "f:5: lu \"a\": size: missing: expected the bytes of the device with replication = drbd"},
    {HEAD NODES "group g { replication = drbd nodes = { n1, n2 } }\n"
                "lu a { uuid = " UUID1 " group = g store = memory size = 1M }\n",
     "f:5: lu \"a\": store: expected file in a group with replication = drbd"},
    {HEAD NODES "group \"g\" {\n nodes = { n1, n2, n1 }\n}\n",
     "f:5: group \"g\": nodes n1: expected at most 2 names of nodes"},
    {HEAD NODES "group \"g\" {\n nodes = { n1, n1 }\n}\n",
     "f:5: group \"g\": nodes: expected two different nodes"},
    {HEAD NODES "group \"g\" {\n nodes = { n1, n3 }\n}\n",
     "f:5: group \"g\": nodes n3: expected the name of a node block"},
    {HEAD NODES "group \"g\" {\n replication = builtin\n nodes = { n1, n2 }\n}\n",
     "f:4: group \"g\": port: missing: expected 1..65535 with replication = builtin"},
    {HEAD NODES "group \"g\" {\n port = 99999\n}\n",
     "f:5: group \"g\": port 99999: expected 1..65535"},
    {HEAD NODES "group \"g\" { replication = builtin nodes = { n1, n2 } port = 7 }\n"
                "group \"h\" { replication = builtin nodes = { n2, n1 }\n port = 7 }\n",
     "f:6: group \"h\": port 7: expected another one than group \"g\" in line 4"},
    {HEAD "node n1 { id = 1 }\nnode n2 { id = 2 }\n"
          "group \"g\" { replication = builtin nodes = { n1, n2 } port = 7 }\n",
     "f:4: group \"g\": nodes n1: expected a node with replication_address"},
    {HEAD NODE1 GROUP "lu \"a\" {\n uuid = 1\n group = g\n}\n",
     "f:5: lu \"a\": uuid 1: expected a uuid as uuidgen(1) prints it"},
    {HEAD NODE1 GROUP "lu \"a\" {\n uuid = " UUID1 "\n group = h\n}\n",
     "f:6: lu \"a\": group h: expected the name of a group block"},
    {HEAD NODE1 GROUP "lu \"a\" {\n uuid = " UUID1 "\n group = g\n}\n",
     "f:4: lu \"a\": path: missing: expected an absolute path with store = file"},
    {HEAD NODE1 GROUP "lu \"a\" {\n uuid = " UUID1 "\n group = g\n path = \"/x%d\"\n}\n",
     "f:7: lu \"a\": path /x%d: expected at most 255 characters, and after % only n"},
    {HEAD NODE1 GROUP "lu \"a\" {\n uuid = " UUID1 "\n group = g\n store = memory\n}\n",
     "f:4: lu \"a\": size: expected a size unless store = file tells it"},
    {HEAD NODE1 GROUP "lu \"a\" { uuid = " UUID1 " group = g store = memory\n size = 1000\n}\n",
     "f:5: lu \"a\": size 1000: expected a multiple of block_size (512)"},
    {HEAD NODE1 GROUP "lu \"a\" { uuid = " UUID1 " group = g store = memory\n size = 1X\n}\n",
     "f:5: lu \"a\": size 1X: expected 0..1024T, a size in bytes or with K, M, G, T"},
    {HEAD NODE1 GROUP "lu \"a\" { uuid = " UUID1 " group = g store = memory\n size = 1M\n"
                      "block_size = 1024\n}\n",
     "f:6: lu \"a\": block_size 1024: expected one of 512 4096"},
    {HEAD NODE1 GROUP "lu \"a\" { uuid = " UUID1 " group = g store = memory size = 1M\n"
                      "block_size = 4096\nphysical_block = 512\n}\n",
     "f:6: lu \"a\": physical_block: expected at least block_size (4096)"},
    {HEAD NODE1 GROUP LU1 "lu \"b\" {\n uuid = " UUID1 "\n group = g path = \"/b\" }\n",
     "f:6: lu \"b\": uuid: expected another one than lu \"a\" in line 4"},
    {HEAD NODE1 GROUP LU1 "lu \"b\" {\n uuid = " UUID2 "\n group = g\n path = \"/a\" }\n",
     "f:8: lu \"b\": path /a: expected another one than lu \"a\" in line 4"},
    {HEAD NODE1 GROUP LU1 "host \"h\" {\n initiators = { \"iqn.[\" }\n}\n",
     "f:6: host \"h\": initiators iqn.[: expected an iSCSI name (iqn., eui., naa. in lower case) "
     "or a "
     "pattern with * ? [...]"},
    {HEAD NODE1 GROUP LU1 "host \"h\" { }\n",
     "f:5: host \"h\": initiators: missing: expected 1..1024 initiator names or patterns"},
    {HEAD NODE1 GROUP LU1 "host \"h\" {\n initiators = { \"*\" }\n lun 5 {\n lu = b\n }\n}\n",
     "f:8: host \"h\" lun \"5\": lu b: expected the name of an lu block"},
    {HEAD NODE1 GROUP LU1 "host \"h\" {\n initiators = { \"*\" }\n lun 1024 { lu = a }\n}\n",
     "f:7: host \"h\" lun \"1024\": expected 0..1023 as number"},
    {HEAD NODE1 GROUP LU1 "host \"h\" {\n initiators = { \"*\" }\n lun 0 { lu = a }\n\n"
                          "lun 00 { lu = a }\n}\n",
     "f:9: host \"h\" lun \"00\": expected another number than in line 7"},
    {HEAD NODE1 GROUP LU1
     "host \"h\" { initiators = { \"*\" } }\nhost \"i\" {\n initiators = { \"*\" } }\n",
     "f:7: host \"i\": initiators *: expected once, but host \"h\" in line 5 has it too"},
};

static int parse_with(const char *text, const char *secrets, const char *node,
                      struct config **config, struct config_error *error)
{
    struct config_text in = {.name = "f",
                             .text = text,
                             .length = strlen(text),
                             .secrets_name = "s",
                             .secrets = secrets,
                             .secrets_length = secrets ? strlen(secrets) : 0};
    return config_parse(&in, node, config, error);
}

static void mistake_when_made_then_complaint_names_file_line_and_expected(void **state)
{
    for (unsigned i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        struct config_error error = {""};
        struct config *config = NULL;

        assert_int_equal(parse_with(mistakes[i].text, NULL, "n1", &config, &error), -EINVAL);
        assert_string_equal(error.text, mistakes[i].expected);
        assert_null(config);
    }
}

static void node_when_not_in_the_file_then_refused(void **state)
{
    struct config_error error;
    struct config *config;

    assert_int_equal(parse_with(HEAD NODE1, NULL, "n9", &config, &error), -EINVAL);
    assert_string_equal(error.text, "f:1: node \"n9\": missing: expected a block for this node");
}

static void blocks_when_more_than_the_limit_then_refused(void **state)
{
    char *text = malloc(1 << 20);
    size_t used = (size_t)sprintf(text, HEAD NODE1);
    struct config_error error;
    struct config *config;

    for (unsigned i = 0; i <= LIMIT_GROUPS; i++)
        used += (size_t)sprintf(text + used, "group g%u { }\n", i);
    assert_int_equal(parse_with(text, NULL, "n1", &config, &error), -EINVAL);
    assert_string_equal(error.text, "f:259: group \"g256\": too many: expected at most 256");
    free(text);
}

static void group_when_it_has_more_units_than_volumes_then_refused(void **state)
{
    char *text = malloc(1 << 20);
    size_t used = (size_t)sprintf(
        text, HEAD NODES "group \"g\" { replication = builtin nodes = { n1, n2 } port = 7 }\n");
    struct config_error error;
    struct config *config;

    for (unsigned i = 0; i < LIMIT_GROUP_LUS; i++)
        used += (size_t)sprintf(text + used,
                                "lu l%u { uuid = 11111111-1111-1111-1111-11111111%04x group = g "
                                "path = \"/l%u\" }\n",
                                i, i, i);
    assert_int_equal(parse_with(text, NULL, "n1", &config, &error), 0);
    config_free(config);
    sprintf(text + used, "lu a { uuid = " UUID2 " group = g path = \"/a\" }\n");
    assert_int_equal(parse_with(text, NULL, "n1", &config, &error), -EINVAL);
    assert_string_equal(error.text, "f:4: group \"g\": expected at most 1024 lu blocks with "
                                    "replication = builtin, found 1025");
    free(text);
}

static void file_when_good_then_values_defaults_and_order_are_right(void **state)
{
    static const char text[] = HEAD NODES
        "group g { replication = builtin nodes = { n1, n2 } port = 7790 }\n"
        "lu b { uuid = " UUID2 " group = g path = \"/dev/%n/b\" size = 1G }\n"
        "lu a { uuid = " UUID1 " group = g path = \"/dev/%n/a\" block_size = 4096 size = 8K }\n"
        "host h { initiators = { \"iqn.*\" } lun 7 { lu = b } lun 1 { lu = a read_only = yes } }\n";
    struct config_error error;
    struct config *config;

    assert_int_equal(parse_with(text, NULL, "n2", &config, &error), 0);
    assert_int_equal(config->self, 1);
    assert_int_equal(config->lease_ms, 3000);
    assert_int_equal(config->hold_ms, 20000);
    assert_int_equal(config->transition_s, 20);
    assert_int_equal(config->pool_bytes, 64 << 20);
    assert_int_equal(config->log_priority, 6);
    assert_true(config->corosync);
    assert_string_equal(config->state_dir, "/var/lib/halun");
    assert_string_equal(config->run_dir, "/run/halun");
    assert_int_equal(config->groups[0].replication, REPLICATION_BUILTIN);
    assert_int_equal(config->groups[0].node_count, 2);
    assert_int_equal(config->groups[0].nodes[1], 2);
    assert_int_equal(config->groups[0].al_extents, 1237);
    assert_string_equal(config->lus[0].name, "a");
    assert_string_equal(config->lus[0].path, "/dev/n2/a");
    assert_int_equal(config->lus[0].volume, 1);
    assert_int_equal(config->lus[0].line, 6);
    assert_int_equal(config->lus[1].volume, 0);
    assert_int_equal(config->lus[1].size, 1 << 30);
    assert_int_equal(config->lus[1].physical_block, 4096);
    assert_string_equal(config->lus[1].vendor, "HALUN");
    assert_string_equal(config->lus[1].product, "VDISK");
    assert_true(strlen(config->lus[1].revision) >= 1);
    assert_int_equal(config->hosts[0].luns[0].lun, 1);
    assert_int_equal(config->hosts[0].luns[0].lu_index, 0);
    assert_true(config->hosts[0].luns[0].read_only);
    assert_int_equal(config->hosts[0].luns[1].lu_index, 1);
    config_free(config);
}

static void view_digest_when_what_initiators_see_differs_then_differs(void **state)
{
    static const char base[] = HEAD NODES GROUP LU1 "host h { initiators = { \"iqn.*\" } lun 0 { lu = a } }\n";
    static const char *const same =
        HEAD "# spelling\n" NODES GROUP LU1 "host h { initiators = { \"iqn.*\" } lun 0 { lu = \"a\" } }\n";
    static const char *const others[] = {
        HEAD NODES GROUP LU1 "host h { initiators = { \"iqn.*\" } lun 1 { lu = a } }\n",
        HEAD NODES GROUP LU1 "host h { initiators = { \"iqn.*\" } lun 0 { lu = a read_only = true } }\n",
        HEAD NODES GROUP LU1 "host h { initiators = { \"iqn.2026-11.*\" } lun 0 { lu = a } }\n",
        HEAD NODES GROUP LU1 "host i { initiators = { \"iqn.*\" } lun 0 { lu = a } }\n",
        HEAD NODES GROUP LU1,
    };
    struct config *config;
    struct config_error error;
    uint8_t digest[32], other[32];

    assert_int_equal(parse_with(base, NULL, "n1", &config, &error), 0);
    config_view_digest(config, digest);
    config_free(config);
    assert_int_equal(parse_with(same, NULL, "n2", &config, &error), 0);
    config_view_digest(config, other);
    config_free(config);
    assert_memory_equal(digest, other, 32);
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_equal(parse_with(others[i], NULL, "n1", &config, &error), 0);
        config_view_digest(config, other);
        config_free(config);
        assert_memory_not_equal(digest, other, 32);
    }
}

static void digest_when_only_spelling_or_live_values_differ_then_equal(void **state)
{
    static const char plain[] = HEAD NODES GROUP LU1;
    static const char other[] =
        "# comment\ncluster { name = c hold_ms = 30000 corosync = yes }\n" NODES
        "group g { timeout_ms = 900 }\n"
        "lu a { block_size = 512 uuid = " UUID1 " group = g path = \"/z\" }\n";
    static const char changed[] =
        HEAD NODES GROUP "lu a { uuid = " UUID1 " group = g path = \"/a\" block_size = 4096 }\n";
    struct config *a, *b, *c;
    struct config_error error;

    assert_int_equal(parse_with(plain, NULL, "n1", &a, &error), 0);
    assert_int_equal(parse_with(other, NULL, "n2", &b, &error), 0);
    assert_int_equal(parse_with(changed, NULL, "n1", &c, &error), 0);
    assert_memory_equal(a->digest, b->digest, 32);
    assert_memory_not_equal(a->digest, c->digest, 32);
    config_free(a);
    config_free(b);
    config_free(c);
}

static void secrets_when_wrong_then_refused_without_showing_them(void **state)
{
    static const char text[] = HEAD NODES GROUP LU1 "host h { initiators = { \"iqn.*\" } }\n";
    static const struct {
        const char *secrets, *expected;
    } rows[] = {
        {"host h {\n user = u\n secret = hush }\n",
         "s:3: host \"h\": secret : expected 12..255 printable characters"},
        {"host h {\n user = u\n}\n", "s:2: host \"h\": user: expected user and secret together"},
        {"host x { user = u secret = hushhushhush }\n",
         "s:1: host \"x\": expected the name of a host block of the configuration"},
        {"host h { user = u secret = hushhushhush\n mutual_user = t\n mutual_secret = hushhushhush "
         "}\n",
         "s:3: host \"h\": mutual_secret: expected another secret than for the initiator"},
        {"host h { user = u\n secret = hushhushhush hush }\n",
         "s:2: not understood: expected \"name = value\" with one of user, secret, mutual_user, "
         "mutual_secret"},
        {"host h { user = u\n secret = hushhushhush\n",
         "s:1: block not closed: expected } before the "
         "end of the file"},
        {"group g { secret = short }\n",
         "s:1: group \"g\": secret : expected 12..64 printable characters"},
    };
    struct config_error error;
    struct config *config;

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(parse_with(text, rows[i].secrets, "n1", &config, &error), -EINVAL);
        assert_string_equal(error.text, rows[i].expected);
        assert_null(strstr(error.text, "hush"));
    }
    assert_int_equal(
        parse_with(text,
                   "host h { user = u secret = hushhushhush mutual_user = t "
                   "mutual_secret = 'other secret' }\ngroup g { secret = 0123456789ab }\n",
                   "n1", &config, &error),
        0);
    assert_string_equal(config->hosts[0].chap.secret, "hushhushhush");
    assert_string_equal(config->hosts[0].chap_mutual.secret, "other secret");
    assert_string_equal(config->groups[0].secret, "0123456789ab");
    config_free(config);
}

static void host_when_exact_and_pattern_match_then_exact_wins(void **state)
{
    static const char text[] = HEAD NODE1 "host any { initiators = { \"iqn.2026-01.*\" } }\n"
                                          "host later { initiators = { \"iqn.2026-01.a*\" } }\n"
                                          "host one { initiators = { \"iqn.2026-01.a:one\" } }\n";
    struct config_error error;
    struct config *config;

    assert_int_equal(parse_with(text, NULL, "n1", &config, &error), 0);
    assert_string_equal(config_host_for(config, "iqn.2026-01.a:one")->name, "one");
    assert_string_equal(config_host_for(config, "IQN.2026-01.A:ONE")->name, "one");
    assert_string_equal(config_host_for(config, "iqn.2026-01.a:two")->name, "any");
    assert_null(config_host_for(config, "iqn.1998-01.com.vmware:x"));
    config_free(config);
}

static void file_when_the_one_before_broke_off_then_is_read_afresh(void **state)
{
    static const char *const broken[] = {"cluster { name = \"", "cluster { name = '", "/* ",
                                         "cluster {"};
    struct config_error error;
    struct config *config;

    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(parse_with(broken[i], NULL, NULL, &config, &error), -EINVAL);
        assert_int_equal(parse_with(HEAD NODE1, NULL, NULL, &config, &error), 0);
        assert_int_equal(config->self, config->node_count);
        config_free(config);
    }
}

static void put_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static void secrets_file_when_readable_by_others_then_refused(void **state)
{
    char directory[] = "/tmp/halun-test-XXXXXX", path[64], secrets[64], fifo[64];
    struct config_error error;
    struct config *config;

    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/halun.conf", directory);
    snprintf(secrets, sizeof secrets, "%s/halun.secrets", directory);
    snprintf(fifo, sizeof fifo, "%s/fifo", directory);
    assert_int_equal(config_load(path, "n1", &config, &error), -ENOENT);
    put_file(path, HEAD NODE1, 0644);
    assert_int_equal(config_load(path, "n1", &config, &error), 0);
    assert_string_equal(config->secrets, "");
    config_free(config);

    put_file(secrets, "# nothing\n", 0640);
    assert_int_equal(config_load(path, "n1", &config, &error), -EPERM);
    assert_non_null(strstr(error.text, "mode is 0640: expected 0600"));
    assert_int_equal(chmod(secrets, 0600), 0);
    assert_int_equal(config_load(path, "n1", &config, &error), 0);
    assert_string_equal(config->secrets, secrets);
    config_free(config);

    put_file(path, "cluster { name = c secrets = \"other\" }\n" NODE1, 0644);
    assert_int_equal(config_load(path, "n1", &config, &error), -ENOENT);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(config_load(fifo, "n1", &config, &error), -EINVAL);
    unlink(path);
    unlink(secrets);
    unlink(fifo);
    rmdir(directory);
}

static void sample_when_checked_then_good(void **state)
{
    struct config_error error = {""};
    struct config *config;

    assert_int_equal(config_load(SOURCE_DIR "/config/halun.conf.example", "node1", &config, &error),
                     0);
    config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistake_when_made_then_complaint_names_file_line_and_expected),
        cmocka_unit_test(node_when_not_in_the_file_then_refused),
        cmocka_unit_test(blocks_when_more_than_the_limit_then_refused),
        cmocka_unit_test(group_when_it_has_more_units_than_volumes_then_refused),
        cmocka_unit_test(file_when_good_then_values_defaults_and_order_are_right),
        cmocka_unit_test(view_digest_when_what_initiators_see_differs_then_differs),
        cmocka_unit_test(digest_when_only_spelling_or_live_values_differ_then_equal),
        cmocka_unit_test(secrets_when_wrong_then_refused_without_showing_them),
        cmocka_unit_test(host_when_exact_and_pattern_match_then_exact_wins),
        cmocka_unit_test(file_when_the_one_before_broke_off_then_is_read_afresh),
        cmocka_unit_test(secrets_file_when_readable_by_others_then_refused),
        cmocka_unit_test(sample_when_checked_then_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
