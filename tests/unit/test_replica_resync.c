/* The course of a resync: pace, pause, progress, checksums, zeros; online verify. Not covered here:
 * faults during it (test_replica_fault, test_replica_crash), a real DRBD as peer. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replica_pair.h"

static struct replica_status status(unsigned i)
{
    return rig_status(&the_rig->n[i]);
}

/* Node 0 has the data; node 1 is new: a resync of everything. */
static void start_alone(struct rig *rig)
{
    open_node(rig, 0);
    ORDER(&rig->n[0], replica_promote(rig->n[0].replica, true, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, 0);
    churn(rig, 0, 100);
}

/* The same, and nothing comes before node 0 goes on. */
static void start_paused(struct rig *rig)
{
    open_node(rig, 0);
    ORDER(&rig->n[0], replica_promote(rig->n[0].replica, true, rig_answer, &rig->n[0]));
    replica_pause(rig->n[0].replica, true);
    open_node(rig, 1);
    WAIT(connection(0, CONN_PAUSED_SYNC_S) && connection(1, CONN_PAUSED_SYNC_T));
}

static void pause_when_ordered_on_either_side_then_nothing_moves_until_both_go_on(void **state)
{
    struct rig *rig = *state;
    uint64_t left;

    start_alone(rig);
    replica_pause(rig->n[0].replica, true);
    open_node(rig, 1);
    WAIT(connection(0, CONN_PAUSED_SYNC_S) && connection(1, CONN_PAUSED_SYNC_T));
    /* It cannot come further than to a quarter. */
    fault_hold(pair_fault(rig, 1, 0), STORE_WRITE, SIZE / 4, SIZE);
    replica_pause(rig->n[0].replica, false);
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
    /* What is under way comes; then application writes alone make progress. */
    fault_release(pair_fault(rig, 1, 0));
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

    start_paused(rig);
    for (unsigned i = 0; i < SIZE / sizeof data; i++)
        assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, i * sizeof data, data, sizeof data),
                         0);
    WAIT(!status(0).out_of_sync && !status(1).out_of_sync);
    assert_int_equal(status(1).disk, DISK_INCONSISTENT);
    replica_pause(rig->n[0].replica, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

/* All is there, and the target makes that durable: it has not flushed yet. */
static struct fault *come_to_the_end(struct rig *rig)
{
    static uint8_t data[1 << 20];
    struct fault *fault;

    start_paused(rig);
    fault = pair_fault(rig, 1, 0);
    for (unsigned i = 1; i < SIZE / sizeof data; i++)
        assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, i * sizeof data, data, sizeof data), 0);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_FLUSH, 0, 0, NULL, 0), 0);
    fault_hold(fault, STORE_WRITE, 0, sizeof data);
    replica_pause(rig->n[0].replica, false);
    WAIT(fault_held(fault) && connection(1, CONN_SYNC_TARGET) && metadata_rest(rig, 1));
    fault_hold_next(fault, STORE_FLUSH, 0, 0);
    WAIT(fault_held(fault));
    return fault;
}

static void pause_when_the_target_makes_all_durable_then_ends_after_it(void **state)
{
    struct rig *rig = *state;
    struct fault *fault = come_to_the_end(rig);

    replica_pause(rig->n[0].replica, true);
    WAIT(connection(0, CONN_PAUSED_SYNC_S) && connection(1, CONN_PAUSED_SYNC_T));
    fault_release(fault);
    for (unsigned i = 0; i < 20; i++)
        rig_turn(rig->n, 2, 5);
    assert_true(connection(1, CONN_PAUSED_SYNC_T));
    replica_pause(rig->n[0].replica, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static void pause_when_the_target_has_ended_and_not_said_so_then_over(void **state)
{
    struct rig *rig = *state;
    struct fault *fault = come_to_the_end(rig);
    struct metadata_layout layout = pair_layout(rig, 1, 0);

    for (unsigned i = 0; i < 2; i++) { /* with the map; with the generations, which is what is held now */
        fault_hold_next(fault, STORE_WRITE, layout.superblock, layout.superblock + MD_BLOCK);
        WAIT(fault_held(fault));
    }
    replica_pause(rig->n[0].replica, true);
    WAIT(connection(0, CONN_PAUSED_SYNC_S));
    fault_release(fault);
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
    start_alone(rig);
    begin = monotonic_ns();
    open_node(rig, 1);
    WAIT(status(1).resync_left_s && status(1).resync_left_s < 20);
    WAIT(good(0) && good(1));
    ns = monotonic_ns() - begin;
    assert_true(ns > 3000000000ull); /* 40 MiB at 10 MiB/s */
    assert_int_equal(status(1).resync_left_s, 0);
    assert_equal_copies(rig);
}

enum { LEAST_KIB = 2 << 10 };

static void beside(struct config_group *group)
{
    group->c_plan_ahead = 20;
    group->c_fill_target = 4096;
    group->c_min_rate = LEAST_KIB;
}

static uint64_t resynced(unsigned node)
{
    return SIZE - status(node).out_of_sync;
}

static void source_when_the_application_is_busy_then_gives_the_least_rate(void **state)
{
    struct rig *rig = *state;
    static uint8_t block[4096];
    struct rig_io busy = {0}; /* under way all the time, so that there is no quiet moment however slow the machine is */
    uint64_t began, done, ms;

    rig->options.tune = beside;
    start_alone(rig);
    fault_hold(pair_fault(rig, 0, 0), STORE_WRITE, 0, sizeof block);
    rig_submit(&rig->n[0], &busy, 0, STORE_WRITE, 0, 0, block, sizeof block);
    WAIT(fault_held(pair_fault(rig, 0, 0)));
    began = monotonic_ns();
    open_node(rig, 1);
    WAIT(good(1) || (connection(1, CONN_SYNC_TARGET) && resynced(1) > 6 << 20)); /* it is not starved */
    done = resynced(1);
    ms = (monotonic_ns() - began) / 1000000;
    if (done > (LEAST_KIB << 10) / 8 + (LEAST_KIB << 10) * (ms + 1) / 1000)
        fail_msg("%llu bytes in %llu ms", (unsigned long long)done, (unsigned long long)ms);
    assert_false(busy.done);
    fault_release(pair_fault(rig, 0, 0));
    WAIT(busy.done && good(0) && good(1)); /* quiet now: at full speed */
    assert_equal_copies(rig);
}

/* --- checksums, zeros --- */

static void checksums(struct config_group *group)
{
    group->csums_alg = 2; /* sha1 */
}

static void checksums_when_most_is_equal_then_little_is_sent(void **state)
{
    struct rig *rig = *state;
    static uint8_t block[4096];
    uint64_t before;

    rig->options.tune = checksums;
    start_primary(rig);
    churn(rig, 0, 300);
    replica_disconnect(rig->n[1].replica);
    WAIT(status(0).connection < CONN_CONNECTED);
    /* The same again all over the LU, and one block that is new. */
    {
        uint8_t *data = malloc(SIZE);

        read_file(rig, 0, 0, data);
        for (unsigned i = 0; i < SIZE >> 20; i++)
            assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, (uint64_t)i << 20,
                                    data + ((size_t)i << 20), 1 << 20),
                             0);
        free(data);
    }
    fill(rig, block, sizeof block);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 5 << 20, block, sizeof block), 0);
    WAIT(status(0).out_of_sync == SIZE);
    before = status(0).sent;
    replica_connect(rig->n[1].replica, false);
    WAIT(good(0) && good(1));
    WAIT(status(0).sent > before);
    assert_true(status(0).sent - before < 1 << 20);
    assert_equal_copies(rig);
    /* Beside a load, too. */
    replica_disconnect(rig->n[1].replica);
    churn(rig, 0, 300);
    replica_connect(rig->n[1].replica, false);
    churn(rig, 0, 300);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static void checksums_when_the_names_differ_then_refused(void **state)
{
    struct rig *rig = *state;

    open_node(rig, 0);
    rig->options.tune = checksums;
    open_node(rig, 1);
    WAIT(strstr(status(0).why, "csums-alg") && strstr(status(1).why, "csums-alg"));
    WAIT(connection(0, CONN_STANDALONE) && connection(1, CONN_STANDALONE));
}

static void thin(struct config_group *group)
{
    group->rs_discard_granularity = 65536;
}

static uint64_t allocated(struct rig *rig, unsigned node)
{
    char path[200];
    struct stat st;

    rig_path(path, rig->directory, node, 0);
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static void zeros_when_resynced_then_the_copy_stays_thin(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[1 << 20];

    rig->options.tune = thin;
    open_node(rig, 0);
    ORDER(&rig->n[0], replica_promote(rig->n[0].replica, true, rig_answer, &rig->n[0]));
    fill(rig, data, sizeof data);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 7 << 20, data, sizeof data), 0);
    open_node(rig, 1);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
    assert_true(allocated(rig, 1) < 4 << 20);
}

/* --- online verify --- */

static void verified(struct config_group *group)
{
    group->verify_alg = 3; /* sha256 */
}

static void verify(struct rig_node *node)
{
    do /* a resync that is over may still be writing that down */
        ORDER(node, replica_verify(node->replica, rig_answer, node));
    while (node->error == -EAGAIN);
    if (node->error)
        fail_msg("verify: %s", node->why);
}

static bool at_rest(unsigned i)
{
    return connection(i, CONN_CONNECTED);
}

static void verify_when_a_block_differs_then_found_from_both_sides_and_repaired(void **state)
{
    struct rig *rig = *state;

    rig->options.tune = verified;
    start_primary(rig);
    churn(rig, 0, 100);
    verify(&rig->n[0]);
    WAIT(at_rest(0) && at_rest(1));
    assert_int_equal(status(0).out_of_sync | status(1).out_of_sync, 0);
    spoil(rig, 1, (11 << 20) + 5);
    spoil(rig, 1, SIZE - 512);
    for (unsigned by = 0; by < 2; by++) {
        verify(&rig->n[by]);
        WAIT(at_rest(0) && at_rest(1));
        /* The last results may be behind the end of it: that comes by the other socket. */
        WAIT(status(0).out_of_sync == 8192 && status(1).out_of_sync == 8192);
        assert_non_null(strstr(status(by).why, "differ"));
    }
    rig->agree = false; /* so short that no new generation begins */
    replica_disconnect(rig->n[1].replica);
    WAIT(status(0).connection < CONN_CONNECTED);
    replica_connect(rig->n[1].replica, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
    rig->agree = true;
    spoil(rig, 1, 3 << 20);
    verify(&rig->n[1]);
    WAIT(at_rest(0) && at_rest(1));
    replica_disconnect(rig->n[1].replica);
    WAIT(status(0).connection < CONN_CONNECTED);
    churn(rig, 0, 10);
    replica_connect(rig->n[1].replica, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static void verify_when_under_load_then_no_false_difference(void **state)
{
    struct rig *rig = *state;

    rig->options.tune = verified;
    start_primary(rig);
    for (unsigned round = 0; round < 4; round++) {
        verify(&rig->n[round % 2]);
        while (!at_rest(0) || !at_rest(1))
            churn(rig, 0, 64);
        assert_int_equal(status(0).out_of_sync | status(1).out_of_sync, 0);
    }
    assert_equal_copies(rig);
}

static void verify_when_not_configured_or_not_at_rest_then_refused(void **state)
{
    struct rig *rig = *state;

    start_both(rig);
    ORDER(&rig->n[0], replica_verify(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, -EINVAL);
    rig_close(&rig->n[0]);
    rig_close(&rig->n[1]);
    rig->options.tune = verified;
    start_both(rig);
    ORDER(&rig->n[0], replica_verify(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, -EAGAIN); /* both are Inconsistent */
    replica_disconnect(rig->n[0].replica);
    WAIT(connection(0, CONN_STANDALONE));
    ORDER(&rig->n[0], replica_verify(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, -EAGAIN);
}

static void slow_verify(struct config_group *group)
{
    group->verify_alg = 1;
    group->resync_rate = 4 << 10;
}

static void verify_when_link_or_disk_is_lost_then_over(void **state)
{
    struct rig *rig = *state;
    static uint8_t block[4096];

    rig->options.tune = slow_verify;
    start_primary(rig);
    verify(&rig->n[1]);
    WAIT(connection(0, CONN_VERIFY_T) && status(1).resync_done && status(1).resync_total == SIZE);
    replica_disconnect(rig->n[1].replica);
    churn(rig, 0, 50);
    replica_connect(rig->n[1].replica, false);
    WAIT(good(0) && good(1));
    verify(&rig->n[0]);
    WAIT(connection(1, CONN_VERIFY_T));
    fault_fail(pair_fault(rig, 0, 0), STORE_READ, -EIO);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_READ, 0, 0, block, sizeof block), 0);
    WAIT(connection(0, CONN_CONNECTED) && connection(1, CONN_CONNECTED));
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, block, sizeof block), 0);
}

/* Each sends its state, which says Connected, just as the verify begins: the initiator behind its question, the target
 * before its answer, which comes by the other socket. */
static void verify_when_a_report_crosses_its_beginning_then_goes_to_its_end(void **state)
{
    struct rig *rig = *state;

    rig->options.tune = verified;
    start_primary(rig);
    churn(rig, 0, 100);
    spoil(rig, 1, 11 << 20);
    for (unsigned round = 0; round < 40; round++) {
        struct rig_node *node = &rig->n[round % 2];

        WAIT(at_rest(0) && at_rest(1));
        node->answered = false;
        replica_verify(node->replica, rig_answer, node);
        replica_pause(rig->n[round / 2 % 2].replica, round / 4 % 2 == 0);
        WAIT(node->answered);
        assert_int_equal(node->error, 0);
        churn(rig, 0, 5);
        WAIT(at_rest(0) && at_rest(1));
        WAIT(status(0).out_of_sync == 4096 && status(1).out_of_sync == 4096);
        assert_non_null(strstr(status(round % 2).why, "differ"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_CASE(pause_when_ordered_on_either_side_then_nothing_moves_until_both_go_on),
        PAIR_CASE(pause_when_all_blocks_were_overwritten_then_ends_after_it),
        PAIR_CASE(pause_when_the_target_makes_all_durable_then_ends_after_it),
        PAIR_CASE(pause_when_the_target_has_ended_and_not_said_so_then_over),
        PAIR_CASE(controller_when_limited_then_rate_and_time_left_are_told),
        PAIR_CASE(source_when_the_application_is_busy_then_gives_the_least_rate),
        PAIR_CASE(checksums_when_most_is_equal_then_little_is_sent),
        PAIR_CASE(checksums_when_the_names_differ_then_refused),
        PAIR_CASE(zeros_when_resynced_then_the_copy_stays_thin),
        PAIR_CASE(verify_when_a_block_differs_then_found_from_both_sides_and_repaired),
        PAIR_CASE(verify_when_under_load_then_no_false_difference),
        PAIR_CASE(verify_when_not_configured_or_not_at_rest_then_refused),
        PAIR_CASE(verify_when_link_or_disk_is_lost_then_over),
        PAIR_CASE(verify_when_a_report_crosses_its_beginning_then_goes_to_its_end),
    };
    return cmocka_run_group_tests_name("replica_resync", tests, NULL, NULL);
}
