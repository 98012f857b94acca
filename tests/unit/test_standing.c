/* Who is the source after a Primary has crashed, when the cluster records which copies are current.
 *
 * The crash of node 0, with the loss of what it had not flushed, is an image of its file that is
 * put back while its replica is closed. Not covered here: who records what, and when
 * (test_shared_group, tests/sim/stories). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "replica_pair.h"

enum { BYTES = 64 << 10, AT = 1 << 20, BEHIND = 2 << 20 };

static uint8_t acknowledged[BYTES];

static void copy_file(const char *from, const char *to)
{
    static uint8_t block[1 << 20];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t n;

    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, block, sizeof block)) > 0)
        assert_int_equal(write(out, block, (size_t)n), n);
    close(in);
    close(out);
}

/* Node 0 was Primary, acknowledged a write, and crashed without it: it is closed, its file as the
 * power cut left it. Node 1 has the write, and was there all the time. */
static void lose_the_primary(struct rig *rig)
{
    char path[200], image[220];

    rig_path(path, rig->directory, 0, 0);
    snprintf(image, sizeof image, "%s.image", path);
    rig->agree = false;
    start_primary(rig);
    fill(rig, acknowledged, BYTES);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, AT, acknowledged, BYTES), 0);
    copy_file(path, image);
    fill(rig, acknowledged, BYTES);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, AT, acknowledged, BYTES), 0);
    rig_close(&rig->n[0]);
    copy_file(image, path);
    unlink(image);
}

static void restart(struct rig *rig, unsigned i)
{
    rig_close(&rig->n[i]);
    open_node(rig, i);
}

static bool has_at(struct rig *rig, unsigned node, uint64_t at)
{
    static uint8_t data[BYTES];
    char path[200];
    int fd;

    rig_path(path, rig->directory, node, 0);
    fd = open(path, O_RDONLY);
    assert_int_equal(pread(fd, data, BYTES, (off_t)at), BYTES);
    close(fd);
    return !memcmp(data, acknowledged, BYTES);
}

static bool has_the_write(struct rig *rig, unsigned node)
{
    return has_at(rig, node, AT);
}

/* Node 1 meets node 0 again and again, and never goes on to a resync. */
static void stays_apart(struct rig *rig)
{
    uint64_t until = monotonic_ns() + 1000000000ull;

    while (monotonic_ns() < until) {
        rig_turn(rig->n, 2, 5);
        assert_true(rig_status(&rig->n[1]).connection < CONN_CONNECTED);
    }
    assert_true(rig_status(&rig->n[1]).why[0]);
}

/* The owner had the other copy outdated, then its own disk failed before it began another generation. What both have is of
 * one generation, so only the record can tell that the other copy may not be made the good one. */
static void copy_when_the_other_disk_failed_then_good_if_the_record_calls_it_current(void **state)
{
    struct rig *rig = *state;

    rig->options.recorded = true;
    rig->agree = false;
    start_primary(rig);
    rig_close(&rig->n[1]);
    for (unsigned operation = STORE_READ; operation <= STORE_UNMAP; operation++)
        fault_fail(pair_fault(rig, 0, 0), operation, -EIO);
    assert_int_not_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, AT, acknowledged, BYTES), 0);
    WAIT(rig_status(&rig->n[0]).disk == DISK_FAILED);
    open_node(rig, 1);
    WAIT(connection(1, CONN_CONNECTED) && rig_status(&rig->n[1]).peer_disk < DISK_INCONSISTENT);
    assert_int_equal(rig_status(&rig->n[1]).disk, DISK_CONSISTENT); /* nothing is known yet */
    replica_set_standing(rig->n[1].replica, REPLICA_WORSE);
    ORDER(&rig->n[1], replica_promote(rig->n[1].replica, false, rig_answer, &rig->n[1]));
    assert_int_not_equal(rig->n[1].error, 0);
    assert_int_equal(rig_status(&rig->n[1]).disk, DISK_CONSISTENT);
    replica_set_standing(rig->n[1].replica, REPLICA_OWNED);
    WAIT(rig_status(&rig->n[1]).disk == DISK_UP_TO_DATE);
}

/* Both were recorded as current, the source was the crashed Primary, and was lost again under way: the record prefers the one
 * that lived on, which is half filled. */
static void copy_when_its_source_was_lost_under_way_then_filled_again_though_it_alone_is_current(void **state)
{
    struct rig *rig = *state;

    rig->options.recorded = true;
    rig->options.resync_rate = 512; /* KiB/s */
    start_primary(rig);
    replica_disconnect(rig->n[1].replica);
    WAIT(rig->n[0].asked);
    churn(rig, 0, 300);
    replica_connect(rig->n[1].replica, false);
    WAIT(connection(1, CONN_SYNC_TARGET));
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    rig_close(&rig->n[1]);
    rig_close(&rig->n[0]);
    rig->options.resync_rate = 0;
    open_node(rig, 1);
    assert_int_equal(rig_status(&rig->n[1]).disk, DISK_INCONSISTENT);
    replica_set_standing(rig->n[1].replica, REPLICA_BETTER);
    open_node(rig, 0);
    replica_set_standing(rig->n[0].replica, REPLICA_WORSE);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static void crashed_primary_when_nothing_is_recorded_then_source_as_with_drbd(void **state)
{
    struct rig *rig = *state;

    lose_the_primary(rig);
    assert_true(has_the_write(rig, 1));
    open_node(rig, 0);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
    assert_false(has_the_write(rig, 1)); /* the reason for everything below */
}

static void
crashed_primary_when_the_other_was_there_all_the_time_then_held_until_agreed(void **state)
{
    struct rig *rig = *state;

    rig->options.recorded = true;
    lose_the_primary(rig);
    replica_set_standing(rig->n[1].replica, REPLICA_EQUAL); /* as its node last heard */
    open_node(rig, 0);
    WAIT(rig->n[1].asked >= 2);
    stays_apart(rig);
    assert_true(has_the_write(rig, 1));
    replica_set_standing(rig->n[0].replica, REPLICA_WORSE);
    replica_set_standing(rig->n[1].replica, REPLICA_BETTER);
    WAIT(good(0) && good(1) && rig->n[1].told_current); /* the source */
    assert_equal_copies(rig);
    assert_true(has_the_write(rig, 0));
}

/* The order may have been given in the moment in which they were connected. */
static void crashed_primary_when_not_compared_with_the_other_then_not_promoted(void **state)
{
    struct rig *rig = *state;

    rig->options.recorded = true;
    lose_the_primary(rig);
    replica_set_standing(rig->n[1].replica, REPLICA_EQUAL);
    open_node(rig, 0);
    replica_set_standing(rig->n[0].replica, REPLICA_EQUAL);
    WAIT(rig->n[1].asked);
    ORDER(&rig->n[0], replica_promote(rig->n[0].replica, false, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, -EAGAIN);
    replica_set_standing(rig->n[0].replica, REPLICA_UNSETTLED); /* what took the link has taken the quorum as well */
    ORDER(&rig->n[0], replica_promote(rig->n[0].replica, false, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, -EAGAIN);
    replica_set_standing(rig->n[0].replica, REPLICA_BETTER); /* agreed */
    ORDER(&rig->n[0], replica_promote(rig->n[0].replica, false, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, 0);
}

/* Its daemon alone was started anew. */
static void promotion_when_this_copy_has_all_then_needs_no_connection(void **state)
{
    struct rig *rig = *state;

    rig->options.recorded = rig->options.kept = true;
    start_primary(rig);
    rig_close(&rig->n[1]);
    restart(rig, 0);
    replica_set_standing(rig->n[0].replica, REPLICA_EQUAL);
    promote(&rig->n[0]);
}

/* From that agreement on only this copy counts: what it has must not be in its cache alone. */
static void crashed_primary_when_this_copy_is_not_stable_then_nobody_is_asked_yet(void **state)
{
    struct rig *rig = *state;
    struct fault *fault;

    rig->options.recorded = true;
    lose_the_primary(rig);
    replica_set_standing(rig->n[1].replica, REPLICA_EQUAL);
    fault = pair_fault(rig, 1, 0);
    fault_hold(fault, STORE_FLUSH, 0, SIZE);
    open_node(rig, 0);
    WAIT(fault_held(fault) || rig->n[1].asked);
    stays_apart(rig);
    assert_int_equal(rig->n[1].asked, 0);
    fault_release(fault);
    WAIT(rig->n[1].asked);
}

static void crashed_primary_when_the_survivor_was_restarted_then_the_record_decides(void **state)
{
    struct rig *rig = *state;

    rig->options.recorded = true;
    lose_the_primary(rig);
    restart(rig, 1);
    open_node(rig, 0);
    stays_apart(rig); /* unsettled on both */
    replica_set_standing(rig->n[0].replica, REPLICA_WORSE);
    stays_apart(rig);
    replica_set_standing(rig->n[1].replica, REPLICA_BETTER);
    WAIT(good(0) && good(1));
    assert_int_equal(rig->n[1].asked, 0);
    assert_equal_copies(rig);
    assert_true(has_the_write(rig, 0));
}

static void
crashed_primary_when_only_the_daemon_of_the_other_died_then_held_until_agreed(void **state)
{
    struct rig *rig = *state;

    rig->options.recorded = true;
    lose_the_primary(rig);
    rig->options.kept = true;
    restart(rig, 1);
    assert_true(rig_status(&rig->n[1]).disk == DISK_CONSISTENT);
    rig->options.kept = false;
    open_node(rig, 0);
    replica_set_standing(rig->n[0].replica, REPLICA_EQUAL);
    replica_set_standing(rig->n[1].replica, REPLICA_EQUAL);
    WAIT(rig->n[1].asked >= 2);
    stays_apart(rig);
    replica_set_standing(rig->n[0].replica, REPLICA_WORSE);
    replica_set_standing(rig->n[1].replica, REPLICA_BETTER);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
    assert_true(has_the_write(rig, 0));
}

/* Only a copy that was not compared since it may have lost something is not complete. */
static void copy_when_restarted_and_compared_then_complete(void **state)
{
    struct rig *rig = *state;

    rig->options.recorded = true;
    rig->agree = false;
    start_primary(rig);
    WAIT(rig_status(&rig->n[0]).complete && rig_status(&rig->n[1]).complete);
    rig_close(&rig->n[1]);
    open_node(rig, 1);
    assert_false(rig_status(&rig->n[1]).complete);
    WAIT(good(0) && good(1) && rig_status(&rig->n[1]).complete);
}

static void copy_when_something_is_sent_again_then_complete_after_that(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[1 << 20];
    struct rig_io io = {0};

    rig->options.recorded = true;
    rig->agree = false;
    start_primary(rig);
    rig_close(&rig->n[1]);
    rig_submit(&rig->n[0], &io, 0, STORE_WRITE, 0, 0, data,
               sizeof data); /* waits for the peer or an agreement */
    WAIT(rig_status(&rig->n[0]).out_of_sync);
    open_node(rig, 1);
    WAIT(io.done && !io.error);
    WAIT(good(0) && good(1) && rig_status(&rig->n[1]).complete);
    assert_equal_copies(rig);
}

static void copy_when_its_disk_fails_then_not_complete(void **state)
{
    struct rig *rig = *state;

    start_primary(rig);
    WAIT(rig_status(&rig->n[1]).complete);
    for (unsigned operation = STORE_READ; operation <= STORE_UNMAP; operation++)
        fault_fail(pair_fault(rig, 1, 0), operation, -EIO);
    churn(rig, 0, 20);
    WAIT(!rig_status(&rig->n[1]).complete && rig_status(&rig->n[0]).complete);
}

static void both_were_lost(struct rig *rig, enum replica_standing standing)
{
    rig->options.recorded = true;
    lose_the_primary(rig);
    restart(rig, 1);
    open_node(rig, 0);
    replica_set_standing(rig->n[0].replica, standing);
    replica_set_standing(rig->n[1].replica, standing);
}

/* Half filled it would be the good one by the record, should the other one be the owner then, and be lost. */
static void crashed_primary_when_both_were_lost_then_source_once_the_other_is_outdated(void **state)
{
    struct rig *rig = *state;

    both_were_lost(rig, REPLICA_EQUAL);
    WAIT(rig->n[1].to_be_filled >= 2);
    stays_apart(rig);
    assert_true(rig_status(&rig->n[1]).disk > DISK_INCONSISTENT);
    assert_int_equal(rig->n[0].asked + rig->n[0].asked_self + rig->n[1].asked + rig->n[1].asked_self, 0);
    ORDER(&rig->n[1], replica_outdate(rig->n[1].replica, rig_answer, &rig->n[1]));
    replica_set_standing(rig->n[1].replica, REPLICA_WORSE);
    replica_set_standing(rig->n[0].replica, REPLICA_BETTER);
    WAIT(good(0) && good(1) && rig->n[0].told_current);
    assert_equal_copies(rig);
}

/* Copies that were in use before there was a record (a pair of DRBD). */
static void crashed_primary_when_none_is_recorded_as_current_then_source(void **state)
{
    struct rig *rig = *state;

    both_were_lost(rig, REPLICA_NONE);
    WAIT(good(0) && good(1) && rig->n[0].told_current);
    assert_int_equal(rig->n[1].to_be_filled, 0);
    assert_equal_copies(rig);
}

static void survivor_when_recorded_as_better_then_newer_before_the_other_is_back(void **state)
{
    struct rig *rig = *state;

    rig->options.recorded = true;
    lose_the_primary(rig);
    replica_set_standing(rig->n[1].replica, REPLICA_BETTER);
    WAIT(rig_status(&rig->n[1]).peer_disk == DISK_OUTDATED);
    restart(rig, 1); /* nothing but the metadata is left of it */
    open_node(rig, 0);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
    assert_true(has_the_write(rig, 0));
}

static void survivor_when_the_new_generation_is_not_durable_then_not_compared(void **state)
{
    struct rig *rig = *state;

    rig->options.recorded = true;
    lose_the_primary(rig);
    fault_hold(pair_fault(rig, 1, 0), STORE_FLUSH, 0, SIZE);
    replica_set_standing(rig->n[1].replica, REPLICA_BETTER);
    WAIT(fault_held(pair_fault(rig, 1, 0)));
    open_node(rig, 0);
    stays_apart(rig);
    fault_release(pair_fault(rig, 1, 0));
    WAIT(good(0) && good(1));
    assert_true(has_the_write(rig, 0));
}

/* The peer takes each connection for good until this node refuses it. */
static void survivor_when_not_compared_yet_then_connected_to_at_leisure(void **state)
{
    struct rig *rig = *state;
    struct timespec from, to;
    uint64_t link;

    rig->options.recorded = true;
    lose_the_primary(rig);
    fault_hold(pair_fault(rig, 1, 0), STORE_FLUSH, 0, SIZE);
    replica_set_standing(rig->n[1].replica, REPLICA_BETTER);
    WAIT(fault_held(pair_fault(rig, 1, 0)));
    open_node(rig, 0);
    link = rig_status(&rig->n[0]).link;
    clock_gettime(CLOCK_MONOTONIC, &from);
    WAIT(rig_status(&rig->n[0]).link >= link + 4);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000 >= 600);
    fault_release(pair_fault(rig, 1, 0));
    WAIT(good(0) && good(1));
}

static void survivor_when_promoted_meanwhile_then_goes_on_alone_once_agreed(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[8192];

    rig->options.recorded = true;
    lose_the_primary(rig);
    replica_set_standing(rig->n[1].replica, REPLICA_BETTER);
    promote(&rig->n[1]);
    WAIT(rig->n[1].asked);
    replica_peer_outdated(rig->n[1].replica, true);
    fill(rig, data, sizeof data);
    assert_int_equal(run_io(&rig->n[1], 0, STORE_WRITE, 0, 0, data, sizeof data), 0);
    open_node(rig, 0);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
    assert_true(has_the_write(rig, 0));
}

/* The disk with the only current copy was replaced by an empty one. DRBD's table fills it from the other copy, whose data
 * would be current then though they are older: that is for an order (halunctl group make-current). */
static void empty_copy_when_the_record_calls_it_current_then_not_filled_with_older_data(void **state)
{
    struct rig *rig = *state;
    char path[200];
    struct stat st;

    rig->options.recorded = true;
    rig->agree = false;
    start_primary(rig);
    churn(rig, 0, 20);
    replica_disconnect(rig->n[1].replica);
    WAIT(rig->n[0].asked);
    ORDER(&rig->n[1], replica_outdate(rig->n[1].replica, rig_answer, &rig->n[1]));
    replica_peer_outdated(rig->n[0].replica, true);
    fill(rig, acknowledged, BYTES);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, AT, acknowledged, BYTES), 0);
    rig_close(&rig->n[0]);
    rig_path(path, rig->directory, 0, 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(truncate(path, st.st_size), 0);
    open_node(rig, 0);
    replica_set_standing(rig->n[0].replica, REPLICA_BETTER);
    replica_set_standing(rig->n[1].replica, REPLICA_WORSE);
    replica_connect(rig->n[1].replica, false);
    WAIT(strstr(rig_status(&rig->n[1]).why, "make-current") || strstr(rig_status(&rig->n[0]).why, "make-current"));
    stays_apart(rig);
    ORDER(&rig->n[1], replica_force_current(rig->n[1].replica, rig_answer, &rig->n[1]));
    assert_int_equal(rig->n[1].error, 0);
    replica_set_standing(rig->n[0].replica, REPLICA_WORSE);
    replica_set_standing(rig->n[1].replica, REPLICA_BETTER);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
    assert_false(has_the_write(rig, 0));
}

/* Node 0 is Primary, and its disk has failed, which `first` found out; `write` comes behind that, and waits at node 1, whose
 * copy the record does not call current. */
static void wait_for_the_record(struct rig *rig, struct rig_io *first, struct rig_io *write)
{
    rig->options.recorded = true;
    rig->agree = false;
    start_primary(rig);
    replica_set_standing(rig->n[0].replica, REPLICA_BETTER);
    replica_set_standing(rig->n[1].replica, REPLICA_WORSE);
    fault_fail(pair_fault(rig, 0, 0), STORE_WRITE, -EIO);
    fill(rig, acknowledged, BYTES);
    rig_submit(&rig->n[0], first, 0, STORE_WRITE, 0, AT, acknowledged, BYTES);
    WAIT(rig->n[0].asked_self == 1 && rig_status(&rig->n[1]).peer_disk == DISK_FAILED);
    fill(rig, acknowledged, BYTES);
    rig_submit(&rig->n[0], write, 0, STORE_WRITE, 0, BEHIND, acknowledged, BYTES);
    for (unsigned i = 0; i < 40; i++) {
        rig_turn(rig->n, 2, 5);
        assert_false(first->done || write->done || has_at(rig, 1, BEHIND));
    }
}

/* What is written there alone cannot be acknowledged before the record calls that copy current. */
static void only_copy_when_it_is_not_recorded_then_written_to_once_it_is(void **state)
{
    struct rig *rig = *state;
    struct rig_io first = {0}, write = {0};

    wait_for_the_record(rig, &first, &write);
    replica_set_standing(rig->n[1].replica, REPLICA_OWNED);
    WAIT(has_at(rig, 1, BEHIND));
    assert_false(first.done || write.done);
    replica_self_outdated(rig->n[0].replica, true);
    WAIT(first.done && write.done);
    assert_int_equal(first.error | write.error, 0);
}

/* It never does, and the other one's disk works again: the copies were not changed apart. */
static void only_copy_when_it_is_never_recorded_then_filled_from_the_current_one(void **state)
{
    struct rig *rig = *state;
    struct rig_io first = {0}, write = {0};

    wait_for_the_record(rig, &first, &write);
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    WAIT(first.done && write.done);
    assert_int_equal(first.error, -EAGAIN);
    assert_int_equal(write.error, -EAGAIN);
    restart(rig, 0);
    replica_set_standing(rig->n[0].replica, REPLICA_BETTER);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
    assert_false(has_at(rig, 1, BEHIND));
}

/* Node 1 is resynchronised, and the disk of node 0, which is Primary, fails before it has noted the end of that; then node 1
 * is written to alone, in vain: it is agreed to be outdated, and the other disk works again. By the generations node 1
 * follows node 0, which has a bitmap generation from before. */
static void be_followed(struct rig *rig)
{
    struct rig_io write = {0};

    rig->options.recorded = true;
    start_primary(rig);
    replica_disconnect(rig->n[1].replica);
    WAIT(rig->n[0].asked == 1);
    rig->agree = false;
    fill(rig, acknowledged, BYTES);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, AT, acknowledged, BYTES), 0);
    replica_set_standing(rig->n[1].replica, REPLICA_OWNED);
    fault_hold(pair_fault(rig, 1, 0), STORE_WRITE, AT, AT + BYTES);
    replica_connect(rig->n[1].replica, false);
    WAIT(fault_held(pair_fault(rig, 1, 0)));
    fault_fail(pair_fault(rig, 0, 0), STORE_WRITE, -EIO);
    fault_release(pair_fault(rig, 1, 0));
    WAIT(rig->n[0].asked_self && rig_status(&rig->n[1]).peer_disk == DISK_FAILED);
    fill(rig, acknowledged, BYTES);
    rig_submit(&rig->n[0], &write, 0, STORE_WRITE, 0, BEHIND, acknowledged, BYTES);
    WAIT(has_at(rig, 1, BEHIND));
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    WAIT(write.done);
    replica_set_standing(rig->n[1].replica, REPLICA_WORSE);
    replica_disconnect(rig->n[1].replica);
    WAIT(connection(1, CONN_STANDALONE));
    ORDER(&rig->n[1], replica_outdate(rig->n[1].replica, rig_answer, &rig->n[1]));
    restart(rig, 0);
    replica_set_standing(rig->n[0].replica, REPLICA_BETTER);
}

static void copy_when_the_only_current_one_and_followed_then_source(void **state)
{
    struct rig *rig = *state;

    be_followed(rig);
    replica_connect(rig->n[1].replica, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
    assert_false(has_at(rig, 1, BEHIND));
}

static void copy_when_the_only_current_one_and_followed_then_source_as_primary(void **state)
{
    struct rig *rig = *state;

    be_followed(rig);
    rig->agree = true;
    promote(&rig->n[0]);
    churn(rig, 0, 20);
    replica_connect(rig->n[1].replica, false);
    WAIT(good(0) && good(1));
    churn(rig, 0, 20);
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_equal_copies(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_CASE(copy_when_its_source_was_lost_under_way_then_filled_again_though_it_alone_is_current),
        PAIR_CASE(copy_when_the_other_disk_failed_then_good_if_the_record_calls_it_current),
        PAIR_CASE(crashed_primary_when_nothing_is_recorded_then_source_as_with_drbd),
        PAIR_CASE(crashed_primary_when_the_other_was_there_all_the_time_then_held_until_agreed),
        PAIR_CASE(crashed_primary_when_not_compared_with_the_other_then_not_promoted),
        PAIR_CASE(promotion_when_this_copy_has_all_then_needs_no_connection),
        PAIR_CASE(crashed_primary_when_this_copy_is_not_stable_then_nobody_is_asked_yet),
        PAIR_CASE(crashed_primary_when_the_survivor_was_restarted_then_the_record_decides),
        PAIR_CASE(crashed_primary_when_only_the_daemon_of_the_other_died_then_held_until_agreed),
        PAIR_CASE(crashed_primary_when_both_were_lost_then_source_once_the_other_is_outdated),
        PAIR_CASE(crashed_primary_when_none_is_recorded_as_current_then_source),
        PAIR_CASE(copy_when_restarted_and_compared_then_complete),
        PAIR_CASE(copy_when_the_only_current_one_and_followed_then_source),
        PAIR_CASE(copy_when_the_only_current_one_and_followed_then_source_as_primary),
        PAIR_CASE(copy_when_something_is_sent_again_then_complete_after_that),
        PAIR_CASE(copy_when_its_disk_fails_then_not_complete),
        PAIR_CASE(empty_copy_when_the_record_calls_it_current_then_not_filled_with_older_data),
        PAIR_CASE(only_copy_when_it_is_not_recorded_then_written_to_once_it_is),
        PAIR_CASE(only_copy_when_it_is_never_recorded_then_filled_from_the_current_one),
        PAIR_CASE(survivor_when_recorded_as_better_then_newer_before_the_other_is_back),
        PAIR_CASE(survivor_when_the_new_generation_is_not_durable_then_not_compared),
        PAIR_CASE(survivor_when_not_compared_yet_then_connected_to_at_leisure),
        PAIR_CASE(survivor_when_promoted_meanwhile_then_goes_on_alone_once_agreed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
