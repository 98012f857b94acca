/* config_plan(): golden lists of actions for pairs of configurations, and what is refused. Does not
 * cover: carrying the actions out (the daemon). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/parse.h"
#include "config/plan.h"

#define A       "lu a { uuid = 11111111-1111-1111-1111-111111111111 group = g path = \"/a\" }\n"
#define B       "lu b { uuid = 22222222-2222-2222-2222-222222222222 group = g path = \"/b\" }\n"
#define CLUSTER "cluster { name = c }\n"
#define NODE    "node n1 { id = 1 }\n"
#define GROUP   "group g { }\n"
#define BASE    CLUSTER NODE GROUP

static const struct {
    const char *old, *new, *plan; /* plan: actions, one per line; or the complaint */
    int result;
} rows[] = {
    {BASE A, BASE A, "", 0},
    {BASE A, CLUSTER NODE "# moved down\n" GROUP A, "", 0},
    {BASE, BASE A "host h { initiators = { \"*\" } lun 3 { lu = a } }\n",
     "create lu \"a\"\ncreate host \"h\"\ncreate host \"h\" lun 3\n", 0},
    {BASE A "host h { initiators = { \"*\" } lun 3 { lu = a } }\n", BASE,
     "remove host \"h\" lun 3\nremove host \"h\"\nremove lu \"a\"\n", 0},
    {BASE A "host h { initiators = { \"*\" } lun 3 { lu = a } }\n",
     BASE B "host h { initiators = { \"*\" } lun 3 { lu = b } }\n",
     "remove host \"h\" lun 3\nremove lu \"a\"\ncreate lu \"b\"\ncreate host \"h\" lun 3\n", 0},
    {BASE A "host h { initiators = { \"*\" } lun 3 { lu = a } lun 4 { lu = a } }\n",
     BASE A
     "host h { initiators = { \"iqn.*\" } lun 3 { lu = a read_only = true } lun 4 { lu = a } }\n",
     "change host \"h\" initiators * -> iqn.*\nchange host \"h\" lun 3 read_only false -> true\n",
     0},
    {BASE, "cluster { name = c transition_s = 30 }\n" NODE GROUP,
     "change cluster transition_s 20 -> 30\n", 0},
    {BASE, CLUSTER NODE "group g { }\ngroup h { }\n", "create group \"h\"\n", 0},
    {BASE, CLUSTER NODE "group g { timeout_ms = 5000 }\n",
     "f:3: group \"g\": timeout_ms: cannot change without a restart of the daemon: was 2000, is 5000",
     -EINVAL},
    {BASE, "cluster { name = c hold_ms = 10000 }\n" NODE GROUP,
     "f:1: cluster \"\": hold_ms: cannot change without a restart of the daemon: was 20000, is 10000",
     -EINVAL},
    {BASE,
     CLUSTER "node n1 { id = 1 portal p { address = 10.0.0.1 rtpi = 1 } }\n" GROUP
             "target \"iqn.2026-01.a:x\" { }\n",
     "create target \"iqn.2026-01.a:x\"\ncreate node \"n1\" portal \"p\"\n", 0},
    {CLUSTER "node n1 { id = 1 portal p { address = 10.0.0.1 rtpi = 1 } }\n" GROUP,
     CLUSTER "node n1 { id = 1 portal q { address = 10.0.0.1 rtpi = 1 } }\n" GROUP,
     "remove node \"n1\" portal \"p\"\ncreate node \"n1\" portal \"q\"\n", 0},
    {BASE, CLUSTER "node n1 { id = 2 }\n" GROUP,
     "f:2: node \"n1\": id: cannot change while the cluster runs: was 1, is 2", -EINVAL},
    {BASE, "cluster { name = d uuid = 33333333-3333-3333-3333-333333333333 }\n" NODE GROUP,
     "f:1: cluster \"\": name: cannot change while the cluster runs: was c, is d", -EINVAL},
    {BASE, "cluster { name = c corosync = false }\n" NODE GROUP,
     "f:1: cluster \"\": corosync: cannot change while the cluster runs: was true, is false",
     -EINVAL},
    {BASE A, BASE "lu a { uuid = 44444444-1111-1111-1111-111111111111 group = g path = \"/a\" }\n",
     "f:4: lu \"a\": uuid: cannot change while the cluster runs: was "
     "11111111-1111-1111-1111-111111111111, is 44444444-1111-1111-1111-111111111111",
     -EINVAL},
    {BASE A, BASE "lu z { uuid = 11111111-1111-1111-1111-111111111111 group = g path = \"/a\" }\n",
     "f:4: lu \"z\": uuid: cannot change while the cluster runs: it is lu \"a\"", -EINVAL},
    {BASE A,
     BASE "lu a { uuid = 11111111-1111-1111-1111-111111111111 group = g path = \"/a\" block_size = "
          "4096 }\n",
     "f:4: lu \"a\": block_size: cannot change while the cluster runs: was 512, is 4096", -EINVAL},
    {BASE A,
     BASE
     "lu a { uuid = 11111111-1111-1111-1111-111111111111 group = g path = \"/a\" direct = no }\n",
     "f:4: lu \"a\": direct: cannot change without a restart of the daemon: was true, is false",
     -EINVAL},
};

static struct config *parse(const char *text)
{
    struct config_text in = {.name = "f", .text = text, .length = strlen(text)};
    struct config_error error = {""};
    struct config *config = NULL;

    if (config_parse(&in, "n1", &config, &error))
        fail_msg("%s", error.text);
    return config;
}

struct listing {
    const struct config *old, *new;
    char text[2048];
};

static void list(void *context, const struct plan_action *action)
{
    struct listing *listing = context;
    char line[400];

    plan_describe(action, listing->old, listing->new, line, sizeof line);
    strcat(strcat(listing->text, line), "\n");
}

static void pair_when_planned_then_actions_are_the_golden_ones(void **state)
{
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config *old = parse(rows[i].old), *new = parse(rows[i].new);
        struct listing listing = {.old = old, .new = new};
        struct config_error error = {""};

        assert_int_equal(config_plan(old, new, "f", list, &listing, &error), rows[i].result);
        assert_string_equal(rows[i].result ? error.text : listing.text, rows[i].plan);
        if (rows[i].result) /* nothing is done by halves */
            assert_string_equal(listing.text, "");
        config_free(old);
        config_free(new);
    }
}

static void volume_when_order_in_a_replicated_group_changes_then_refused(void **state)
{
    static const char head[] = CLUSTER
        "node n1 { id = 1 replication_address = 10.0.0.1 }\nnode n2 { id = 2 "
        "replication_address = 10.0.0.2 }\ngroup g { replication = builtin nodes = { n1, n2 } "
        "port = 1 }\n%s%s";
    char first[2048], second[2048];
    struct config_error error = {""};
    struct listing listing = {0};
    struct config *old, *new;

    snprintf(first, sizeof first, head, A, B);
    snprintf(second, sizeof second, head, B, A);
    old = parse(first);
    new = parse(second);
    assert_int_equal(config_plan(old, new, "f", list, &listing, &error), -EINVAL);
    assert_non_null(strstr(error.text, "volume number cannot change: was 0, is 1"));
    config_free(old);
    config_free(new);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pair_when_planned_then_actions_are_the_golden_ones),
        cmocka_unit_test(volume_when_order_in_a_replicated_group_changes_then_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
