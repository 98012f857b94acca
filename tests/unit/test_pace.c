/* The pace of a resync against a link of a given bandwidth and delay, on a virtual clock. Not
 * covered: real disks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "replication/pace.h"

enum { MS = 1000000 };

struct link {
    uint64_t bytes_per_s, delay_ms;
    uint64_t in_flight, queue[1000]; /* bytes that arrive in this ms */
};

/* Runs `ms` milliseconds; returns the bytes that arrived. *most: the most that was in flight. */
static uint64_t run(struct pace *p, struct link *l, uint64_t *now_ms, unsigned ms, uint64_t *most)
{
    uint64_t sum = 0, free_at = *now_ms;

    *most = 0;
    for (unsigned i = 0; i < ms; i++, (*now_ms)++) {
        uint64_t here = l->queue[*now_ms % 1000];

        l->queue[*now_ms % 1000] = 0;
        l->in_flight -= here;
        sum += here;
        pace_arrived(p, here);
        while (pace_allows(p, PACE_REQUEST, l->in_flight, *now_ms * MS)) {
            uint64_t at;

            if (free_at < *now_ms)
                free_at = *now_ms;
            at = free_at + l->delay_ms;
            free_at += PACE_REQUEST * 1000 / l->bytes_per_s;
            if (at - *now_ms >= 1000)
                at = *now_ms + 999;
            if (at == *now_ms)
                at++;
            l->in_flight += PACE_REQUEST;
            l->queue[at % 1000] += PACE_REQUEST;
        }
        if (l->in_flight > *most)
            *most = l->in_flight;
    }
    return sum;
}

static void limit_when_set_then_kept(void **state)
{
    struct pace_settings s = {.limit = 10 << 20};
    struct link l = {.bytes_per_s = 1 << 30, .delay_ms = 1};
    struct pace p;
    uint64_t now = 5, most, sum;

    pace_begin(&p, &s, now * MS);
    sum = run(&p, &l, &now, 10000, &most);
    assert_in_range(sum, 95ull << 20, 102ull << 20);
}

static void plan_when_fill_target_then_so_much_in_flight(void **state)
{
    struct pace_settings s = {.plan_ahead = 20, .delay_target = 10, .fill_target = 1 << 20};
    struct link l = {.bytes_per_s = 50 << 20, .delay_ms = 20};
    struct pace p;
    uint64_t now = 5, most;

    pace_begin(&p, &s, now * MS);
    run(&p, &l, &now, 300, &most);
    assert_in_range(most, PACE_REQUEST, 512 << 10); /* still on its way */
    run(&p, &l, &now, 10000, &most);
    run(&p, &l, &now, 1000, &most);
    assert_in_range(most, (1 << 20) - PACE_REQUEST, 1 << 20);
}

static void plan_when_by_delay_then_a_slow_link_gets_little(void **state)
{
    struct pace_settings s = {.plan_ahead = 20, .delay_target = 1};
    struct link slow = {.bytes_per_s = 5 << 20, .delay_ms = 1},
                fast = {.bytes_per_s = 1 << 30, .delay_ms = 1};
    struct pace p;
    uint64_t now = 5, most, sum;

    pace_begin(&p, &s, now * MS);
    sum = run(&p, &slow, &now, 20000, &most);
    assert_in_range(sum, 90ull << 20, 110ull << 20); /* no less than the link carries */
    run(&p, &slow, &now, 2000, &most);
    assert_in_range(most, PACE_REQUEST, 1 << 20); /* but little of it waits */
    now = 5;
    pace_begin(&p, &s, now * MS);
    run(&p, &fast, &now, 20000, &most);
    assert_in_range(most, PACE_WINDOW, PACE_WINDOW_MAX);
}

static void plan_when_nothing_arrives_then_one_request_still_goes(void **state)
{
    struct pace_settings s = {.plan_ahead = 1, .delay_target = 1};
    struct pace p;

    pace_begin(&p, &s, 0);
    for (unsigned i = 1; i < 100; i++)
        pace_allows(&p, PACE_REQUEST, PACE_WINDOW_MAX, i * 100ull * MS);
    assert_false(pace_allows(&p, PACE_REQUEST, PACE_REQUEST, 10000ull * MS));
    assert_true(pace_allows(&p, PACE_REQUEST, 0, 10000ull * MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limit_when_set_then_kept),
        cmocka_unit_test(plan_when_fill_target_then_so_much_in_flight),
        cmocka_unit_test(plan_when_by_delay_then_a_slow_link_gets_little),
        cmocka_unit_test(plan_when_nothing_arrives_then_one_request_still_goes),
    };
    return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
