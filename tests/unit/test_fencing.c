/* What the fencer's history says, and how it is asked, with a shell script for stonith_admin. The fencer itself is the
 * cluster tests' part. */
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

#include "cluster/fencing.h"

#define EVENT(action, target, status, time)                                                        \
    "<fence_event action=\"" action "\" target=\"" target                                          \
    "\" client=\"pacemaker-controld.32\" origin=\"node1\" status=\"" status                        \
    "\" delegate=\"node1\" completed=\"" time "\"/>\n"

static uint64_t parse(const char *text)
{
    return fencing_parse(text, strlen(text), "node2") / 1000000000u;
}

static void history_when_several_then_the_newest_counts(void **state)
{
    assert_int_equal(parse("<list name=\"fencing history\">" EVENT("reboot", "node2", "success",
                                                                  "2026-11-23 02:08:19Z")
                               EVENT("off", "node2", "success", "2026-11-23 02:22:31Z")
                                   EVENT("reboot", "node2", "success", "2026-11-23 02:22:14Z")),
                     1795400551);
}

static void history_when_of_another_node_or_failed_or_switched_on_then_nothing(void **state)
{
    assert_int_equal(parse(""), 0);
    assert_int_equal(parse(EVENT("reboot", "node20", "success", "2026-11-23 02:08:19Z")), 0);
    assert_int_equal(parse(EVENT("reboot", "node2", "failed", "2026-11-23 02:08:19Z")), 0);
    assert_int_equal(parse(EVENT("reboot", "node2", "pending", "2026-11-23 02:08:19Z")), 0);
    assert_int_equal(parse(EVENT("on", "node2", "success", "2026-11-23 02:08:19Z")), 0);
}

static void time_when_with_a_zone_then_counts_without_one_then_not(void **state)
{
    assert_int_equal(parse(EVENT("off", "node2", "success", "2026-11-23 02:08:19Z")), 1795399699);
    assert_int_equal(parse(EVENT("off", "node2", "success", "2026-11-23 03:08:19 +01:00")),
                     1795399699);
    assert_int_equal(parse(EVENT("off", "node2", "success", "2026-11-22 21:38:19 -04:30")),
                     1795399699);
    assert_int_equal(parse(EVENT("off", "node2", "success", "2026-11-23 02:08:19.123456Z")),
                     1795399699);
    assert_int_equal(parse(EVENT("off", "node2", "success", "2026-11-23 02:08:19")), 0);
    assert_int_equal(parse(EVENT("off", "node2", "success", "yesterday")), 0);
}

static void history_when_cut_short_then_nothing_is_read_beyond(void **state)
{
    static const char text[] = EVENT("off", "node2", "success", "2026-11-23 02:08:19Z");

    for (size_t size = 0; size < sizeof text - 4; size++)
        assert_int_equal(fencing_parse(text, size, "node2"), 0);
}

/* ---- asking ---- */

static struct {
    qb_loop_t *loop;
    struct fencing *fencing;
    char directory[64];
    unsigned answers;
    uint64_t time;
} asking;

static void answered(void *context, unsigned node, uint64_t time)
{
    assert_int_equal(node, 2);
    asking.answers++;
    asking.time = time / 1000000000u;
    qb_loop_stop(asking.loop);
}

static void late(void *data)
{
    qb_loop_stop(asking.loop);
}

/* The script waits, counts its calls in a file, and knows of a fencing from call `from` on. */
static void begin(unsigned from)
{
    char path[128], text[512];
    FILE *file;

    strcpy(asking.directory, "/tmp/halun-fencing-XXXXXX");
    assert_non_null(mkdtemp(asking.directory));
    snprintf(path, sizeof path, "%s/stonith_admin", asking.directory);
    file = fopen(path, "w");
    assert_non_null(file);
    snprintf(text, sizeof text,
             "#!/bin/sh\nPATH=/usr/bin:/bin\nsleep 0.1\necho x >>%s/calls\n[ $(wc -l <%s/calls) -ge %u ] && echo '%s'\nexit 0\n",
             asking.directory, asking.directory, from,
             EVENT("off", "node2", "success", "2026-11-23 02:08:19Z"));
    fputs(text, file);
    fclose(file);
    chmod(path, 0755);
    setenv("PATH", asking.directory, 1);
    asking.loop = qb_loop_create();
    asking.answers = 0;
    asking.fencing = fencing_new(asking.loop, answered, NULL);
    assert_non_null(asking.fencing);
    qb_loop_timer_add(asking.loop, QB_LOOP_HIGH, 5000000000ull, NULL, late, NULL);
}

static unsigned end(void)
{
    char path[128];
    unsigned calls = 0;
    FILE *file;

    fencing_free(asking.fencing);
    qb_loop_destroy(asking.loop);
    snprintf(path, sizeof path, "%s/calls", asking.directory);
    file = fopen(path, "r");
    for (int c; file && (c = getc(file)) != EOF;)
        calls += c == 'x';
    if (file)
        fclose(file);
    unlink(path);
    snprintf(path, sizeof path, "%s/stonith_admin", asking.directory);
    unlink(path);
    rmdir(asking.directory);
    return calls;
}

static void question_when_fenced_then_answered(void **state)
{
    begin(1);
    assert_true(fencing_ask(asking.fencing, 2, "node2"));
    qb_loop_run(asking.loop);
    assert_int_equal(asking.answers, 1);
    assert_int_equal(asking.time, 1795399699);
    assert_int_equal(end(), 1);
}

static void question_when_asked_again_at_once_then_the_fencer_is_asked_twice(void **state)
{
    begin(2); /* the first look came too early */
    assert_true(fencing_ask(asking.fencing, 2, "node2"));
    assert_false(fencing_ask(asking.fencing, 2, "node2"));
    assert_false(fencing_ask(asking.fencing, 3, "node3"));
    qb_loop_run(asking.loop);
    assert_int_equal(asking.answers, 1);
    assert_int_equal(end(), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(history_when_several_then_the_newest_counts),
        cmocka_unit_test(history_when_of_another_node_or_failed_or_switched_on_then_nothing),
        cmocka_unit_test(time_when_with_a_zone_then_counts_without_one_then_not),
        cmocka_unit_test(history_when_cut_short_then_nothing_is_read_beyond),
        cmocka_unit_test(question_when_fenced_then_answered),
        cmocka_unit_test(question_when_asked_again_at_once_then_the_fencer_is_asked_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
