/* DRBD's configuration files: what is understood, what is refused and where, and the blocks of halun.conf that come of
 * it, which must be good for config_parse(). The files are the corpus of fuzz_drbd_res. That drbdadm understands them
 * alike is shown by tests/conform/drbdadm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/drbd_import.h"
#include "config/parse.h"

static struct drbd_text_error error;

static struct drbd_res *read_file(const char *path)
{
    struct drbd_res *res = NULL;
    size_t length;
    char *text;

    assert_int_equal(0, drbd_files_read(path, &text, &length));
    if (drbd_res_parse(path, text, length, drbd_files_find, NULL, &res, &error))
        fail_msg("%s", error.text);
    free(text);
    return res;
}

static struct drbd_res *corpus(const char *name)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", RES_FILES, name);
    return read_file(path);
}

static const char *value(const struct drbd_resource *r, enum drbd_res_section section, const char *name)
{
    const struct drbd_res_option *option = drbd_res_find(r, section, name);

    return option ? option->value : "(none)";
}

static void test_classic(void **state)
{
    struct drbd_res *res = corpus("classic");
    const struct drbd_resource *r = res->first;

    assert_int_equal(1, res->count);
    assert_string_equal("r0", r->name);
    assert_int_equal(9, r->line);
    assert_int_equal(2, r->host_count);
    assert_string_equal("alice", r->hosts[0].names[0]);
    assert_string_equal("10.1.1.31", r->hosts[0].address);
    assert_int_equal(7789, r->hosts[0].port);
    assert_int_equal(1, r->hosts[0].volume_count);
    assert_string_equal("/dev/drbd1", r->hosts[0].volumes[0].device);
    assert_int_equal(1, r->hosts[0].volumes[0].minor);
    assert_string_equal("/dev/sda7", r->hosts[0].volumes[0].disk);
    assert_string_equal("/dev/sdb7", r->hosts[1].volumes[0].disk); /* its own instead of that for all */
    assert_string_equal("internal", r->hosts[1].volumes[0].meta_disk);
    assert_string_equal("C", value(r, DRBD_RES_NET, "protocol")); /* of common */
    assert_string_equal("not \"this\" one", value(r, DRBD_RES_NET, "shared-secret"));
    assert_string_equal("", value(r, DRBD_RES_NET, "always-asbp"));
    assert_string_equal("resource-and-stonith", value(r, DRBD_RES_DISK, "fencing"));
    assert_string_equal("/usr/lib/halun/drbd-fence-peer r0", value(r, DRBD_RES_HANDLERS, "fence-peer"));
    drbd_res_free(res);
}

static void test_volumes(void **state)
{
    struct drbd_res *res = corpus("volumes");
    const struct drbd_resource *r = res->first;

    assert_int_equal(1, res->count); /* the other one is skipped */
    assert_int_equal(2, r->hosts[1].name_count);
    assert_int_equal(1, r->hosts[1].node_id);
    assert_int_equal(2, r->hosts[0].volume_count);
    assert_string_equal("/dev/drbd1000", r->hosts[0].volumes[0].device);
    assert_string_equal("/dev/vg/a", r->hosts[0].volumes[0].disk);
    assert_string_equal("/dev/drbd_data_1", r->hosts[0].volumes[1].device);
    assert_int_equal(1001, r->hosts[0].volumes[1].minor);
    assert_string_equal("/dev/vg/b", r->hosts[0].volumes[1].disk);
    assert_string_equal("/dev/vg/c", r->hosts[1].volumes[1].disk);
    assert_string_equal("/dev/vg/md", r->hosts[1].volumes[1].meta_disk);
    assert_string_equal("fd01:2345:6789:abcd::2", r->hosts[1].address);
    assert_string_equal("ipv6", r->hosts[1].family);
    assert_int_equal(7790, r->hosts[1].port);
    assert_string_equal("5", value(r, DRBD_RES_NET, "ping-int"));
    assert_string_equal("10M", value(r, DRBD_RES_DISK, "resync-rate"));
    drbd_res_free(res);
}

static void test_dump(void **state)
{
    struct drbd_res *res = corpus("dump");
    const struct drbd_resource *r = res->first;

    assert_string_equal("10.79.0.2", r->hosts[1].address);
    assert_string_equal("/dev/vdb", r->hosts[0].volumes[0].disk);
    assert_string_equal("resource-and-stonith", value(r, DRBD_RES_NET, "fencing"));
    drbd_res_free(res);
}

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* As /etc/drbd.conf does: files of a folder, in order, relative to the one that names them. */
static void test_include(void **state)
{
    char folder[] = "/tmp/test_drbd_res.XXXXXX", path[512], inner[512];
    struct drbd_res *res = NULL;

    assert_non_null(mkdtemp(folder));
    snprintf(inner, sizeof inner, "%s/drbd.d", folder);
    assert_int_equal(0, mkdir(inner, 0700));
    write_text(folder, "drbd.conf", "include \"drbd.d/global_common.conf\";\ninclude \"drbd.d/*.res\";\n"
                                    "include \"drbd.d/*.none\";\n");
    write_text(inner, "global_common.conf", "common { net { protocol C; } }\n");
    write_text(inner, "b.res", "resource b { on x { device minor 2; disk /dev/b; address 1.2.3.4:2; } }\n");
    write_text(inner, "a.res", "resource a { on x { device minor 1; disk /dev/a; address 1.2.3.4:1; } }\n");
    snprintf(path, sizeof path, "%s/drbd.conf", folder);
    res = read_file(path);
    assert_int_equal(2, res->count);
    assert_string_equal("a", res->first->name);
    assert_string_equal("C", value(res->first->next, DRBD_RES_NET, "protocol"));
    drbd_res_free(res);

    /* a name has to be there, and a mistake is told with the file that has it */
    write_text(folder, "drbd.conf", "\ninclude \"drbd.d/missing\";\n");
    assert_int_equal(-EINVAL, drbd_res_parse(path, "\ninclude \"drbd.d/missing\";\n", 27, drbd_files_find, NULL,
                                             &res, &error));
    assert_non_null(strstr(error.text, "drbd.conf:2: include \"drbd.d/missing\": No such file"));
    write_text(inner, "b.res", "\n\nresource b {\n  on x {\n   address 1.2.3.4;\n }\n}\n");
    assert_int_equal(-EINVAL, drbd_res_parse(path, "include \"drbd.d/b.res\";", 23, drbd_files_find, NULL, &res, &error));
    assert_non_null(strstr(error.text, "drbd.d/b.res:5: address 1.2.3.4: expected ADDRESS:PORT"));
    /* a file that includes itself comes to an end */
    write_text(inner, "b.res", "include \"b.res\";\n");
    assert_int_equal(-EINVAL, drbd_res_parse(path, "include \"drbd.d/b.res\";", 23, drbd_files_find, NULL, &res, &error));
    assert_non_null(strstr(error.text, "b.res:1: include: expected at most 8 files in each other"));
    snprintf(path, sizeof path, "rm -r %s", folder);
    assert_int_equal(0, system(path));
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *complaint;
    } rows[] = {
        {"resource r0 {\n\n on a {\n", "t:4: expected a } for the { in line 3 before the end"},
        {"}\n", "t:1: expected no } here"},
        {"resource r0 \"\n\";", "t:1: expected a closing \" in this line"},
        {"{ }", "t:1: expected a name before {"},
        {"global", "t:1: global: expected ; or { before this"},
        {"resource { }", "t:1: resource: expected a value"},
        {"resource a b { }", "t:1: resource a: expected a value, and not too many"},
        {"resource a;", "t:1: resource a: expected a block"},
        {"resources a { }", "t:1: resources a: expected a keyword of drbd.conf(5)"},
        {"resource a { }", "t:1: resource a: expected an \"on\" section"},
        {"resource a { on x { } }", "t:1: on x: expected a volume"},
        {"resource a { on x { device minor 0; address 1.2.3.4:5; } }", "volume 0 on x: expected a disk"},
        {"resource a { on x { disk /dev/x; } }", "volume 0 on x: expected a device"},
        {"resource a { on x { device minor 2000000; } }", "device minor: expected device [NAME] [minor NUMBER]"},
        {"resource a { on x { device /dev/drbdx; } }", "expected a minor number after this name"},
        {"resource a { on x { device data; } }", "device data: expected device [NAME] [minor NUMBER]"},
        {"resource a { on x { address 1.2.3.4:0; } }", "address 1.2.3.4:0: expected ADDRESS:PORT"},
        {"resource a { on x { address ipv6 ::1:5; } }", "expected brackets around an IPv6 address"},
        {"resource a { volume x { } }", "t:1: volume x: expected a number"},
        {"resource a { net { a { } } }", "t:1: a: expected no block here"},
        {"resource a { floating 1.2.3.4:5 { } }", "floating 1.2.3.4:5: expected none"},
        {"resource a {\nstacked-on-top-of b { }\n}", "t:2: stacked-on-top-of b: expected none"},
        {"resource a { connection { host b; } }", "host b: expected the name of an \"on\" section"},
        {"include \"x\";", "t:1: include: expected none here"},
        {"resource a { on x { device minor 0; disk d; } }\n\nresource a { }",
         "t:3: resource a: expected once, but t has it in line 1"},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct drbd_res *res = NULL;
        int rc = drbd_res_parse("t", rows[i].text, strlen(rows[i].text), NULL, NULL, &res, &error);

        if (rc != -EINVAL || res || !strstr(error.text, rows[i].complaint))
            fail_msg("\"%s\": %d, \"%s\", expected \"%s\"", rows[i].text, rc, error.text, rows[i].complaint);
    }
    assert_int_equal(-EINVAL, drbd_res_parse("t", "global\0;", 8, NULL, NULL, &(struct drbd_res *){NULL}, &error));
    assert_non_null(strstr(error.text, "t:1: expected text, found a zero byte"));
}

/* ---- as halun.conf ---- */

static uint64_t size_of(void *context, const char *device)
{
    return strstr(device, "data_1") ? 0 : 1ull << 30;
}

static void number_uuid(void *context, char text[37])
{
    unsigned *n = context;

    snprintf(text, 37, "00000000-0000-4000-8000-%012x", ++*n);
}

/* The blocks inside a whole configuration. */
static char *imported(const struct drbd_res *res, enum drbd_import_engine engine)
{
    unsigned n = 0;
    const struct drbd_import_world world = {size_of, number_uuid, &n};
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    fprintf(out, "cluster { name = \"c\" }\n");
    for (unsigned i = 0; i < 2; i++)
        fprintf(out, "node \"%s\" { id = %u\n replication_address = \"%s\" }\n", res->first->hosts[i].names[0], i + 1,
                res->first->hosts[i].address);
    if (drbd_import(res->first, engine, &world, out, &error))
        fail_msg("%s", error.text);
    fclose(out);
    return text;
}

static struct config *parsed(const char *text)
{
    struct config_text whole = {.name = "halun.conf", .text = text, .length = strlen(text)};
    struct config_error complaint;
    struct config *config = NULL;

    if (config_parse(&whole, NULL, &config, &complaint))
        fail_msg("%s\n%s", complaint.text, text);
    return config;
}

static void test_import_builtin(void **state)
{
    struct drbd_res *res = corpus("classic");
    char *text = imported(res, DRBD_IMPORT_BUILTIN);
    struct config *config = parsed(text);
    const struct config_group *group = &config->groups[0];

    assert_string_equal("r0", group->name);
    assert_int_equal(REPLICATION_BUILTIN, group->replication);
    assert_int_equal(7789, group->port);
    assert_int_equal(6000, group->timeout_ms);
    assert_int_equal(3389, group->al_extents);
    assert_int_equal(0, group->c_plan_ahead);
    assert_int_equal(102400, group->resync_rate);
    assert_int_equal(3, group->after_sb_0pri); /* discard-zero-changes */
    assert_true(group->always_asbp);
    assert_int_equal(2, group->csums_alg); /* sha1 */
    assert_string_equal("/dev/sda7", config->lus[0].path);
    assert_non_null(strstr(text, "# on \"bob\" it is /dev/sdb7"));
    assert_non_null(strstr(text, "# node \"bob\": replication_address = \"10.1.1.32\""));
    assert_null(strstr(text, "not \\\"this")); /* the secret is not shown */
    assert_null(strstr(text, "not \"this"));
    config_free(config);
    free(text);
    drbd_res_free(res);
}

static void test_import_drbd(void **state)
{
    struct drbd_res *res = corpus("classic");
    char *text = imported(res, DRBD_IMPORT_DRBD);
    struct config *config = parsed(text);

    assert_int_equal(REPLICATION_DRBD, config->groups[0].replication);
    assert_string_equal("r0", config->groups[0].drbd_resource);
    assert_int_equal(CONFIG_DRBD_ROLE_PACEMAKER, config->groups[0].drbd_role);
    assert_string_equal("/dev/drbd1", config->lus[0].path);
    assert_int_equal(1 << 30, config->lus[0].size);
    assert_null(strstr(text, "#     fencing")); /* it has all that is needed */
    config_free(config);
    free(text);
    drbd_res_free(res);

    /* what is missing is said, and what only the Primary can tell */
    res = corpus("volumes");
    text = imported(res, DRBD_IMPORT_DRBD);
    assert_non_null(strstr(text, "#     fencing resource-and-stonith;"));
    assert_non_null(strstr(text, "#     handlers { fence-peer \"/usr/lib/halun/drbd-fence-peer data\"; }"));
    assert_non_null(strstr(text, "# size = what \"blockdev --getsize64 /dev/drbd_data_1\" says"));
    free(text);
    drbd_res_free(res);
}

static void test_import_refused(void **state)
{
#define TWO(net, disk)                                                                                                 \
    "resource r {\n net { " net " }\n " disk "\n on a { address 1.1.1.1:1; } on b { address 1.1.1.2:2; } }"
#define VOLUME "device minor 0; disk /dev/x;"
    static const struct {
        const char *text, *complaint;
        bool builtin;
    } rows[] = {
        {TWO("protocol A;", VOLUME), "t:2: resource r: protocol A: expected C", false},
        {TWO("allow-two-primaries;", VOLUME), "t:2: resource r: allow-two-primaries: expected one Primary", false},
        {TWO("", "volume 1 { " VOLUME " }"), "t:1: resource r: expected volumes that count 0, 1, 2", false},
        {TWO("", "device minor 0; disk none;"), "t:1: resource r: expected a disk on both hosts", false},
        {TWO("data-integrity-alg sha1;", VOLUME), "expected none for the built-in engine", true},
        {TWO("", VOLUME " meta-disk /dev/y;"), "expected meta-disk internal", true},
        {TWO("", VOLUME), "expected the same port", true},
        {"resource r { on a { " VOLUME " } }", "t:1: resource r: expected two hosts", false},
        {"resource \"r r\" { on a { " VOLUME " } }", "expected a name of", false},
    };
    unsigned n = 0;
    const struct drbd_import_world world = {size_of, number_uuid, &n};

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct drbd_res *res = NULL;
        char *text = NULL;
        size_t length;
        FILE *out = open_memstream(&text, &length);
        int rc = drbd_res_parse("t", rows[i].text, strlen(rows[i].text), NULL, NULL, &res, &error);

        assert_int_equal(0, rc);
        rc = drbd_import(res->first, rows[i].builtin ? DRBD_IMPORT_BUILTIN : DRBD_IMPORT_DRBD, &world, out, &error);
        fclose(out);
        if (rc != -EINVAL || length || !strstr(error.text, rows[i].complaint))
            fail_msg("\"%s\": %d, \"%s\", expected \"%s\"", rows[i].text, rc, error.text, rows[i].complaint);
        free(text);
        drbd_res_free(res);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classic),        cmocka_unit_test(test_volumes),
        cmocka_unit_test(test_dump),           cmocka_unit_test(test_include),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_import_builtin),
        cmocka_unit_test(test_import_drbd),    cmocka_unit_test(test_import_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
