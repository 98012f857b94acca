/* The course of a resync: pace, pause, progress. Not covered here: faults during it
 * (test_replica_fault, test_replica_crash), a real DRBD as peer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "replica_pair.h"

static struct replica_status status(unsigned i)
{
    return rig_status(&the_rig->n[i]);
}

/* Node 0 has the data, node 1 is new: a resync of everything. */
static void start_full(struct rig *rig)
{
    open_node(rig, 0);
    ORDER(&rig->n[0], replica_promote(rig->n[0].replica, true, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, 0);
    churn(rig, 0, 100);
    open_node(rig, 1);
}

static void pause_when_ordered_on_either_side_then_nothing_moves_until_both_go_on(void **state)
{
    struct rig *rig = *state;
    uint64_t left;

    rig->options.resync_rate = 20 << 10;
    start_full(rig);
    WAIT(connection(1, CONN_SYNC_TARGET) && status(1).resync_done);
    replica_pause(rig->n[0].replica, true);
    WAIT(connection(0, CONN_PAUSED_SYNC_S) && connection(1, CONN_PAUSED_SYNC_T));
    assert_true(status(0).paused_here && !status(0).paused_there);
    WAIT(status(1).paused_there);
    replica_pause(rig->n[1].replica, true);
    WAIT(status(0).paused_there && status(1).paused_here);
    replica_pause(rig->n[0].replica, false);
    WAIT(!status(1).paused_there);
    assert_true(connection(0, CONN_PAUSED_SYNC_S) && connection(1, CONN_PAUSED_SYNC_T));
    /* What was under way has come; then application writes alone make progress. */
    churn(rig, 0, 50);
    left = status(1).out_of_sync;
    assert_true(left > SIZE / 4);
    churn(rig, 0, 20);
    assert_true(status(1).out_of_sync <= left);
    assert_int_equal(status(1).resync_rate, 0);
    /* The pause outlives the link, on the node where it was ordered. */
    replica_disconnect(rig->n[0].replica);
    WAIT(status(1).connection < CONN_CONNECTED);
    replica_connect(rig->n[0].replica, false);
    WAIT(connection(0, CONN_PAUSED_SYNC_S) && connection(1, CONN_PAUSED_SYNC_T));
    replica_pause(rig->n[1].replica, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static void pause_when_all_blocks_were_overwritten_then_ends_after_it(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[1 << 20];

    open_node(rig, 0);
    ORDER(&rig->n[0], replica_promote(rig->n[0].replica, true, rig_answer, &rig->n[0]));
    replica_pause(rig->n[0].replica, true);
    open_node(rig, 1);
    WAIT(connection(0, CONN_PAUSED_SYNC_S) && connection(1, CONN_PAUSED_SYNC_T));
    for (unsigned i = 0; i < SIZE / sizeof data; i++)
        assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, i * sizeof data, data, sizeof data),
                         0);
    WAIT(!status(0).out_of_sync && !status(1).out_of_sync);
    assert_int_equal(status(1).disk, DISK_INCONSISTENT);
    replica_pause(rig->n[0].replica, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static void limit(struct config_group *group)
{
    group->c_plan_ahead = 20;
    group->c_fill_target = 4096;
    group->c_max_rate = 10 << 10;
}

static void controller_when_limited_then_rate_and_time_left_are_told(void **state)
{
    struct rig *rig = *state;
    uint64_t begin, ns;

    rig->options.tune = limit;
    start_full(rig);
    WAIT(connection(1, CONN_SYNC_TARGET));
    begin = monotonic_ns();
    WAIT(status(1).resync_left_s && status(1).resync_left_s < 20);
    WAIT(good(0) && good(1));
    ns = monotonic_ns() - begin;
    assert_true(ns > 3000000000ull); /* 40 MiB at 10 MiB/s */
    assert_int_equal(status(1).resync_left_s, 0);
    assert_equal_copies(rig);
}

static void beside(struct config_group *group)
{
    group->c_plan_ahead = 20;
    group->c_fill_target = 4096;
    group->c_min_rate = 2 << 10;
}

static void source_when_the_application_is_busy_then_gives_the_least_rate(void **state)
{
    struct rig *rig = *state;
    static uint8_t block[4096];
    uint64_t until = monotonic_ns() + 3000000000ull;

    rig->options.tune = beside;
    start_full(rig);
    while (monotonic_ns() < until)
        assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, block, sizeof block), 0);
    assert_true(connection(1, CONN_SYNC_TARGET));
    assert_true(status(1).out_of_sync > SIZE / 2);         /* else it is over at once */
    assert_true(status(1).out_of_sync < SIZE - (1 << 20)); /* and it is not starved */
    WAIT(good(0) && good(1));                              /* quiet now: at full speed */
    assert_equal_copies(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_CASE(pause_when_ordered_on_either_side_then_nothing_moves_until_both_go_on),
        PAIR_CASE(pause_when_all_blocks_were_overwritten_then_ends_after_it),
        PAIR_CASE(controller_when_limited_then_rate_and_time_left_are_told),
        PAIR_CASE(source_when_the_application_is_busy_then_gives_the_least_rate),
    };
    return cmocka_run_group_tests_name("replica_resync", tests, NULL, NULL);
}
