/* What the fencer's history says. The child process and the fencer itself are the cluster tests' part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(history_when_several_then_the_newest_counts),
        cmocka_unit_test(history_when_of_another_node_or_failed_or_switched_on_then_nothing),
        cmocka_unit_test(time_when_with_a_zone_then_counts_without_one_then_not),
        cmocka_unit_test(history_when_cut_short_then_nothing_is_read_beyond),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
