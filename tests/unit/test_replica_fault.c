/* Disks that fail under a pair of nodes: the Primary's goes on with the peer's copy, the
 * Secondary's is given up; and the order in which the metadata become durable.
 *
 * Not covered here: a process that dies (test_replica_crash), a real DRBD as peer. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replica_pair.h"

static enum replica_disk disk(unsigned i)
{
    return rig_status(&the_rig->n[i]).disk;
}

/* Everything that touches the disk of node i fails from now on. */
static void break_disk(struct rig *rig, unsigned i, int error)
{
    for (unsigned operation = STORE_READ; operation <= STORE_UNMAP; operation++)
        fault_fail(pair_fault(rig, i, 0), operation, error);
}

static void expect(struct rig *rig, unsigned node, uint64_t offset, const uint8_t *data,
                   size_t length)
{
    uint8_t *back = malloc(length);

    assert_int_equal(run_io(&rig->n[node], 0, STORE_READ, 0, offset, back, length), 0);
    assert_memory_equal(back, data, length);
    free(back);
}

static void read_when_the_disk_fails_then_answered_by_the_peer(void **state)
{
    struct rig *rig = *state;
    uint8_t *data = malloc(4 << 20);

    start_primary(rig);
    fill(rig, data, 4 << 20);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 1536, data, 4 << 20), 0);
    break_disk(rig, 0, -EIO);
    expect(rig, 0, 1536, data, 4 << 20); /* the very read that finds it out, in several parts */
    WAIT(disk(0) == DISK_FAILED && rig_status(&rig->n[1]).peer_disk == DISK_FAILED && rig->n[0].asked_self);
    assert_int_equal(rig->n[0].asked_self, 1);
    assert_int_equal(rig->n[0].asked, 0);
    expect(rig, 0, 1536 + 512, data + 512, 4096);
    free(data);
}

static void write_when_the_disk_fails_then_done_by_the_peer_once_agreed(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[65536];
    struct rig_io write = {0}, fua = {0}, flush = {0};

    start_primary(rig);
    churn(rig, 0, 100);
    rig->agree = false;
    fill(rig, data, sizeof data);
    break_disk(rig, 0, -EIO);
    rig_submit(&rig->n[0], &write, 0, STORE_WRITE, 0, 4096, data, sizeof data);
    rig_submit(&rig->n[0], &fua, 0, STORE_WRITE, STORE_FUA, 1 << 20, data, sizeof data);
    rig_submit(&rig->n[0], &flush, 0, STORE_FLUSH, 0, 0, NULL, 0);
    WAIT(rig->n[0].asked_self == 1 && disk(0) == DISK_FAILED);
    /* The peer has it all and said so, but this node's old copy is still on the cluster's list. */
    expect(rig, 0, 4096, data, sizeof data);
    expect(rig, 0, 1 << 20, data, sizeof data);
    WAIT(rig_status(&rig->n[0]).suspended);
    assert_false(write.done || fua.done || flush.done);
    replica_self_outdated(rig->n[0].replica, true);
    WAIT(write.done && fua.done && flush.done);
    assert_int_equal(write.error | fua.error | flush.error, 0);
    WAIT(!rig_status(&rig->n[0]).suspended);
    churn(rig, 0, 500);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_FLUSH, 0, 0, NULL, 0), 0);
    assert_int_equal(rig->n[0].asked, 0);
}

static void
demote_when_the_failed_disk_is_not_agreed_then_waiting_writes_are_held_back(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[65536];
    struct rig_io write = {0}, flush = {0};

    start_primary(rig);
    rig->agree = false;
    break_disk(rig, 0, -EIO);
    rig_submit(&rig->n[0], &write, 0, STORE_WRITE, 0, 4096, data, sizeof data);
    rig_submit(&rig->n[0], &flush, 0, STORE_FLUSH, 0, 0, NULL, 0);
    WAIT(rig->n[0].asked_self == 1);
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, 0);
    WAIT(write.done && flush.done);
    assert_int_equal(write.error, -EAGAIN);
    assert_int_equal(flush.error, -EAGAIN);
    promote(&rig->n[1]);
}

static void disk_when_failed_under_load_then_no_error_and_nothing_lost(void **state)
{
    enum { N = 64 };
    struct rig *rig = *state;
    static uint8_t data[N][32768], block[4096];
    struct rig_io io[N] = {0};

    start_primary(rig);
    for (unsigned i = 0; i < N; i++) {
        fill(rig, data[i], sizeof data[i]);
        rig_submit(&rig->n[0], &io[i], 0, STORE_WRITE, i % 8 ? 0 : STORE_FUA,
                   i * 600000ull / 512 * 512, data[i], sizeof data[i]);
        if (i == N / 2)
            break_disk(rig, 0, -EIO);
    }
    for (unsigned i = 0; i < N; i++)
        WAIT(io[i].done && !io[i].error);
    for (unsigned i = 0; i < N; i++)
        expect(rig, 0, i * 600000ull / 512 * 512, data[i], sizeof data[i]);
    /* A planned move: the peer has everything. */
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, 0);
    promote(&rig->n[1]);
    for (unsigned i = 0; i < N; i++)
        expect(rig, 1, i * 600000ull / 512 * 512, data[i], sizeof data[i]);
    ORDER(&rig->n[0], replica_promote(rig->n[0].replica, true, rig_answer, &rig->n[0]));
    assert_int_not_equal(rig->n[0].error, 0);
    /* The disk works again, with its old content: it is brought up to date. */
    fill(rig, block, sizeof block);
    assert_int_equal(run_io(&rig->n[1], 0, STORE_WRITE, 0, 20 << 20, block, sizeof block), 0);
    rig_close(&rig->n[0]);
    open_node(rig, 0);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

/* The peer has all, but is not recorded: before this copy can be outdated it has to be. */
static void disk_when_it_fails_as_a_resync_ends_then_the_peers_copy_is_current(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[65536];
    unsigned told;

    start_primary(rig);
    replica_disconnect(rig->n[1].replica);
    WAIT(rig->n[0].asked == 1);
    fill(rig, data, sizeof data);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 1 << 20, data, sizeof data), 0);
    fault_hold(pair_fault(rig, 1, 0), STORE_WRITE, 1 << 20, (1 << 20) + sizeof data);
    told = rig->n[0].told_current;
    replica_connect(rig->n[1].replica, false);
    WAIT(fault_held(pair_fault(rig, 1, 0)));
    fault_fail(pair_fault(rig, 0, 0), STORE_WRITE, -EIO); /* what comes now is the resync's end */
    fault_release(pair_fault(rig, 1, 0));
    WAIT(disk(0) == DISK_FAILED && rig->n[0].told_current > told);
    WAIT(rig->n[0].asked_self && !rig_status(&rig->n[0]).suspended);
    expect(rig, 0, 1 << 20, data, sizeof data);
    churn(rig, 0, 50);
}

static void link_when_lost_with_the_disk_then_held_back_until_the_peer_is_back(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[65536], back[4096];

    start_primary(rig);
    churn(rig, 0, 50);
    break_disk(rig, 0, -EIO);
    fill(rig, data, sizeof data);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, data, sizeof data), 0);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_FLUSH, 0, 0, NULL, 0), 0);
    replica_disconnect(rig->n[1].replica);
    WAIT(rig_status(&rig->n[0]).connection < CONN_CONNECTED);
    /* No medium error: the data are good, but elsewhere. */
    assert_int_equal(run_io(&rig->n[0], 0, STORE_READ, 0, 0, back, sizeof back), -EAGAIN);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, data, sizeof data), -EAGAIN);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_FLUSH, 0, 0, NULL, 0), -EAGAIN);
    assert_int_equal(rig->n[0].asked, 0); /* the peer's copy must not be given up */
    replica_connect(rig->n[1].replica, false);
    WAIT(connection(0, CONN_CONNECTED) && connection(1, CONN_CONNECTED));
    WAIT(!rig_status(&rig->n[0]).suspended);
    expect(rig, 0, 0, data, sizeof data);
    churn(rig, 0, 100);
}

/* The peer answered a write behind a new connection, and its block is sent once more: that is cut short, and the node
 * is Primary no more when it could be made up for. */
static void catching_up_when_cut_before_a_demotion_then_resynced(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[RIG_BLOCK];
    struct rig_io write = {0};

    start_primary(rig);
    rig->agree = false;
    fault_hold(pair_fault(rig, 1, 0), STORE_WRITE, 0, sizeof data);
    fill(rig, data, sizeof data);
    rig_submit(&rig->n[0], &write, 0, STORE_WRITE, STORE_FUA, 0, data, sizeof data);
    WAIT(fault_held(pair_fault(rig, 1, 0)));
    replica_disconnect(rig->n[1].replica);
    WAIT(rig->n[0].asked == 1 && rig_status(&rig->n[0]).suspended);
    fault_release(pair_fault(rig, 1, 0));
    fault_hold(pair_fault(rig, 0, 0), STORE_READ, 0, sizeof data); /* to be sent once more */
    replica_connect(rig->n[1].replica, false);
    WAIT(write.done && fault_held(pair_fault(rig, 0, 0)));
    assert_int_equal(write.error, 0);
    replica_disconnect(rig->n[1].replica);
    WAIT(rig_status(&rig->n[0]).connection < CONN_CONNECTED);
    fault_release(pair_fault(rig, 0, 0));
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, 0);
    assert_true(rig_status(&rig->n[0]).out_of_sync);
    replica_connect(rig->n[1].replica, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

/* Nothing more can be sent from there. */
static void catching_up_when_its_disk_fails_then_demoted(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[RIG_BLOCK];
    struct rig_io write = {0};

    start_primary(rig);
    rig->agree = false;
    fault_hold(pair_fault(rig, 1, 0), STORE_WRITE, 0, sizeof data);
    rig_submit(&rig->n[0], &write, 0, STORE_WRITE, STORE_FUA, 0, data, sizeof data);
    WAIT(fault_held(pair_fault(rig, 1, 0)));
    replica_disconnect(rig->n[1].replica);
    WAIT(rig->n[0].asked == 1 && rig_status(&rig->n[0]).suspended);
    fault_release(pair_fault(rig, 1, 0));
    fault_hold(pair_fault(rig, 0, 0), STORE_READ, 0, sizeof data); /* to be sent once more */
    replica_connect(rig->n[1].replica, false);
    WAIT(write.done && fault_held(pair_fault(rig, 0, 0)));
    break_disk(rig, 0, -EIO);
    fault_release(pair_fault(rig, 0, 0));
    WAIT(run_io(&rig->n[0], 0, STORE_WRITE, 0, 1 << 20, data, sizeof data) && disk(0) == DISK_FAILED);
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, 0);
    assert_true(rig_status(&rig->n[1]).connection >= CONN_CONNECTED);
}

/* A second unit's disk is good, but the peer is away, and nobody agrees any more that its copy is outdated. */
static void write_when_given_up_beside_a_failed_disk_then_ends(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[RIG_BLOCK];
    struct rig_io write = {0}, flush = {0};

    rig->options.lus = 2;
    start_primary(rig);
    churn(rig, 0, 50);
    break_disk(rig, 0, -EIO);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, data, sizeof data), 0);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_FLUSH, 0, 0, NULL, 0), 0);
    replica_disconnect(rig->n[1].replica);
    WAIT(rig_status(&rig->n[0]).connection < CONN_CONNECTED && rig_status(&rig->n[0]).suspended);
    rig_submit(&rig->n[0], &write, 1, STORE_WRITE, 0, 0, data, sizeof data);
    rig_submit(&rig->n[0], &flush, 1, STORE_FLUSH, 0, 0, NULL, 0);
    for (unsigned i = 0; i < 20; i++)
        rig_turn(rig->n, 2, 5);
    assert_false(write.done || flush.done);
    assert_int_equal(rig->n[0].asked, 0);
    WAIT((replica_give_up(rig->n[0].replica), rig_turn(rig->n, 2, 20), write.done && flush.done));
    assert_int_equal(write.error, -EAGAIN);
    replica_connect(rig->n[1].replica, false); /* still the Primary */
    WAIT(connection(0, CONN_CONNECTED) && connection(1, CONN_CONNECTED) && !rig_status(&rig->n[0]).suspended);
    assert_int_equal(run_io(&rig->n[0], 1, STORE_WRITE, 0, 0, data, sizeof data), 0);
    replica_give_up(rig->n[0].replica); /* nothing waits in vain */
    churn(rig, 0, 50);
}

static void link_when_lost_with_unflushed_writes_then_not_used_again(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[65536], back[4096];

    start_primary(rig);
    break_disk(rig, 0, -EIO);
    fault_hold(pair_fault(rig, 1, 0), STORE_FLUSH, 0, 0); /* no barrier is answered */
    WAIT(run_io(&rig->n[0], 0, STORE_READ, 0, 0, back, sizeof back) == 0);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, data, sizeof data), 0);
    replica_disconnect(rig->n[1].replica);
    WAIT(rig_status(&rig->n[0]).connection < CONN_CONNECTED);
    fault_release(pair_fault(rig, 1, 0));
    replica_connect(rig->n[1].replica, false);
    WAIT(connection(0, CONN_CONNECTED) && connection(1, CONN_CONNECTED));
    /* The peer might have lost power meanwhile: only a promotion there may go on. */
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, data, sizeof data), -EAGAIN);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_READ, 0, 0, back, sizeof back), -EAGAIN);
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    promote(&rig->n[1]);
    expect(rig, 1, 0, data, sizeof data);
}

static void disk_when_failed_while_the_peer_misses_writes_then_an_error(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[65536], back[4096];

    start_primary(rig);
    replica_disconnect(rig->n[1].replica);
    churn(rig, 0, 50); /* alone */
    break_disk(rig, 0, -EIO);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_READ, 0, 0, back, sizeof back), -EIO);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, data, sizeof data), -EIO);
    assert_int_equal(rig->n[0].asked_self, 0);
    replica_connect(rig->n[1].replica, false);
    WAIT(rig_status(&rig->n[0]).connection >= CONN_CONNECTED);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_READ, 0, 0, back, sizeof back), -EIO);
}

/* Its memory is in use by the disk, also when that has been given up. */
static void flush_when_given_up_then_not_answered_before_the_disk_has(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[4096];
    struct rig_io write = {0}, flush = {0};

    start_primary(rig);
    WAIT(metadata_rest(rig, 0));
    rig->agree = false;
    fault_hold(pair_fault(rig, 0, 0), STORE_FLUSH, 0, UINT64_MAX);
    rig_submit(&rig->n[0], &flush, 0, STORE_FLUSH, 0, 0, NULL, 0);
    WAIT(fault_held(pair_fault(rig, 0, 0)));
    fault_fail(pair_fault(rig, 0, 0), STORE_READ, -EIO);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_READ, 0, 0, data, sizeof data), 0); /* by the peer */
    WAIT(rig->n[0].asked_self);
    rig_submit(&rig->n[0], &write, 0, STORE_WRITE, 0, 4096, data, sizeof data);
    rig->n[0].answered = false;
    replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]);
    WAIT(write.done);
    assert_int_equal(write.error, -EAGAIN);
    assert_false(flush.done);
    fault_release(pair_fault(rig, 0, 0));
    WAIT(flush.done && rig->n[0].answered);
    assert_int_equal(flush.error, -EAGAIN);
}

struct releaser {
    struct rig *rig;
    struct fault *fault;
    _Atomic bool released;
};

static void *release_later(void *context)
{
    struct releaser *releaser = context;

    while (rig_status(&releaser->rig->n[1]).connection >= CONN_CONNECTED)
        usleep(1000);
    usleep(100000); /* time to end too early; none is needed to pass */
    atomic_store(&releaser->released, true);
    fault_release(releaser->fault);
    return NULL;
}

/* The disk was given up while a superblock was on its way to it: its memory is in use until that has come back. */
static void closing_when_a_failed_disk_has_not_answered_then_waits_for_it(void **state)
{
    struct rig *rig = *state;
    struct metadata_layout layout;
    struct releaser releaser = {.rig = rig};
    static uint8_t data[4096];
    struct rig_io write = {0};
    pthread_t thread;

    start_primary(rig);
    WAIT(metadata_rest(rig, 0));
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    promote(&rig->n[0]); /* its mark is written before the first write */
    layout = pair_layout(rig, 0, 0);
    releaser.fault = pair_fault(rig, 0, 0);
    fault_hold(releaser.fault, STORE_WRITE, layout.superblock, layout.superblock + MD_BLOCK);
    rig_submit(&rig->n[0], &write, 0, STORE_WRITE, 0, 0, data, sizeof data);
    WAIT(fault_held(releaser.fault));
    fault_fail(releaser.fault, STORE_READ, -EIO);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_READ, 0, 0, data, sizeof data), 0); /* by the peer */
    WAIT(disk(0) == DISK_FAILED && write.done);
    assert_int_equal(pthread_create(&thread, NULL, release_later, &releaser), 0);
    rig_close(&rig->n[0]);
    assert_true(atomic_load(&releaser.released));
    pthread_join(thread, NULL);
}

/* SPACE ALLOCATION FAILED says that nothing was written. */
static void write_when_the_disk_is_full_then_said_only_if_the_peer_was_not_sent_it(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[65536], block[4096];

    rig->options.resync_rate = 64; /* so that it does not end meanwhile */
    start_primary(rig);
    replica_disconnect(rig->n[1].replica);
    WAIT(rig->n[0].asked == 1);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, i * sizeof data, data, sizeof data), 0);
    replica_connect(rig->n[1].replica, false);
    WAIT(connection(0, CONN_SYNC_SOURCE) && metadata_rest(rig, 0)); /* those would find it out first */
    fault_fail(pair_fault(rig, 0, 0), STORE_WRITE, -ENOSPC);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, block, sizeof block), -EIO);
}

static void write_when_the_only_disk_is_full_then_said(void **state)
{
    struct rig *rig = *state;
    static uint8_t block[4096];

    start_primary(rig);
    replica_disconnect(rig->n[1].replica);
    WAIT(rig->n[0].asked == 1);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, block, sizeof block), 0);
    WAIT(metadata_rest(rig, 0));
    fault_fail(pair_fault(rig, 0, 0), STORE_WRITE, -ENOSPC);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, block, sizeof block), -ENOSPC);
}

static void only_copy_when_its_generation_is_not_durable_then_not_acknowledged(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[4096], back[4096];
    struct metadata_layout layout;
    struct rig_io io = {0};

    start_primary(rig);
    layout = pair_layout(rig, 1, 0);
    fault_hold(pair_fault(rig, 1, 0), STORE_WRITE, layout.superblock, layout.superblock + MD_BLOCK);
    break_disk(rig, 0, -EIO);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_READ, 0, 0, back, sizeof back), 0);
    WAIT(fault_held(pair_fault(rig, 1, 0)));
    fill(rig, data, sizeof data);
    rig_submit(&rig->n[0], &io, 0, STORE_WRITE, 0, 8192, data, sizeof data);
    /* Its log block goes in the next metadata cycle, behind the superblock; so does this barrier.
     */
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(run_io(&rig->n[0], 0, STORE_READ, 0, 0, back, sizeof back), 0);
    assert_false(io.done);
    fault_release(pair_fault(rig, 1, 0));
    WAIT(io.done && !io.error);
}

static void only_copy_when_killed_then_its_log_is_applied(void **state)
{
    struct rig *rig = *state;
    struct superblock sb;
    static uint8_t data[4096];
    const struct fault_write *last;
    struct metadata_layout layout;
    struct fault *fault;
    char why[MD_WHY];

    start_primary(rig);
    fault = pair_fault(rig, 1, 0);
    layout = pair_layout(rig, 1, 0);
    fault_log(fault, layout.superblock, layout.superblock + MD_BLOCK);
    break_disk(rig, 0, -EIO);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 8192, data, sizeof data), 0);
    assert_true(fault_logged(fault) > 0);
    last = fault_log_entry(fault, fault_logged(fault) - 1);
    assert_int_equal(superblock_decode(&sb, last->block, why), 0);
    assert_true(sb.flags & MD_PRIMARY); /* as if it were Primary: the only one that knows */
    assert_int_not_equal(sb.generations.bitmap, 0);
    assert_false(sb.clean);
}

static void secondary_disk_when_failed_then_primary_goes_on_alone(void **state)
{
    struct rig *rig = *state;

    start_primary(rig);
    churn(rig, 0, 100);
    fault_fail(pair_fault(rig, 1, 0), STORE_WRITE, -EIO);
    churn(rig, 0, 200);
    WAIT(disk(1) == DISK_FAILED && rig_status(&rig->n[0]).peer_disk < DISK_INCONSISTENT && rig->n[0].asked);
    assert_int_equal(rig->n[0].asked, 1);
    churn(rig, 0, 100);
    ORDER(&rig->n[1], replica_promote(rig->n[1].replica, true, rig_answer, &rig->n[1]));
    assert_int_not_equal(rig->n[1].error, 0);
    rig_close(&rig->n[1]);
    open_node(rig, 1);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

/* Asked for, and agreed to when this disk has failed: nobody goes on alone, and the peer's copy has all. */
static void outdating_when_the_disk_failed_first_then_in_vain_and_taken_back(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[4096];
    struct rig_io io = {0};

    start_primary(rig);
    churn(rig, 0, 50);
    rig->agree = false;
    replica_disconnect(rig->n[1].replica);
    WAIT(rig->n[0].asked == 1);
    ORDER(&rig->n[1], replica_outdate(rig->n[1].replica, rig_answer, &rig->n[1]));
    assert_int_equal(disk(1), DISK_OUTDATED);
    fault_fail(pair_fault(rig, 0, 0), STORE_WRITE, -EIO);
    rig_submit(&rig->n[0], &io, 0, STORE_WRITE, 0, 0, data, sizeof data);
    WAIT(io.done && disk(0) == DISK_FAILED);
    assert_int_not_equal(io.error, 0);
    replica_peer_outdated(rig->n[0].replica, true);
    WAIT(rig->n[0].in_vain == 1);
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, 0);
    ORDER(&rig->n[1], replica_promote(rig->n[1].replica, false, rig_answer, &rig->n[1]));
    assert_int_equal(rig->n[1].error, -ENODATA);
    ORDER(&rig->n[1], replica_reinstate(rig->n[1].replica, rig_answer, &rig->n[1]));
    assert_int_equal(rig->n[1].error, 0);
    assert_int_equal(disk(1), DISK_UP_TO_DATE);
    ORDER(&rig->n[1], replica_promote(rig->n[1].replica, false, rig_answer, &rig->n[1]));
    assert_int_equal(rig->n[1].error, 0);
}

/* It has acknowledged what the peer has not got. */
static void outdating_when_the_disk_fails_after_it_then_not_in_vain(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[4096];
    struct rig_io io = {0};

    start_primary(rig);
    replica_disconnect(rig->n[1].replica);
    WAIT(disk(1) == DISK_OUTDATED);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, data, sizeof data), 0);
    fault_fail(pair_fault(rig, 0, 0), STORE_WRITE, -EIO);
    rig_submit(&rig->n[0], &io, 0, STORE_WRITE, 0, 0, data, sizeof data);
    WAIT(io.done && disk(0) == DISK_FAILED);
    replica_peer_outdated(rig->n[0].replica, true);
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].in_vain, 0);
}

/* Closed in order, then opened again: Consistent, until it has met the other copy. The other disk fails meanwhile. */
static void come_back_to_a_failed_disk(struct rig *rig)
{
    break_disk(rig, 1, -EIO);
    rig_close(&rig->n[0]);
    WAIT(disk(1) == DISK_FAILED);
    open_node(rig, 0);
    WAIT(connection(0, CONN_CONNECTED) && rig_status(&rig->n[0]).peer_disk < DISK_INCONSISTENT);
}

static void promotion_when_the_peers_disk_failed_and_nothing_is_newer_then_done(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[8192];

    start_primary(rig);
    fill(rig, data, sizeof data);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 4096, data, sizeof data), 0);
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    come_back_to_a_failed_disk(rig);
    WAIT(disk(0) == DISK_UP_TO_DATE);
    promote(&rig->n[0]);
    expect(rig, 0, 4096, data, sizeof data);
    WAIT(rig->n[0].asked); /* its copy gets no writes */
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 4096, data, sizeof data), 0);
}

static void promotion_when_the_peers_disk_failed_with_newer_data_then_refused(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[8192];

    start_primary(rig);
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    rig_close(&rig->n[0]);
    promote(&rig->n[1]);
    assert_int_equal(run_io(&rig->n[1], 0, STORE_WRITE, 0, 4096, data, sizeof data), 0); /* alone */
    ORDER(&rig->n[1], replica_demote(rig->n[1].replica, rig_answer, &rig->n[1]));
    break_disk(rig, 1, -EIO);
    replica_outdate(rig->n[1].replica, rig_answer, &rig->n[1]); /* finds it out */
    WAIT(disk(1) == DISK_FAILED);
    open_node(rig, 0);
    WAIT(connection(0, CONN_CONNECTED) && rig_status(&rig->n[0]).peer_disk < DISK_INCONSISTENT);
    ORDER(&rig->n[0], replica_promote(rig->n[0].replica, false, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, -ENODATA);
    assert_non_null(strstr(rig->n[0].why, "seen newer data"));
}

static void secondary_flush_when_failed_then_barrier_is_not_acknowledged(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[4096];

    start_primary(rig);
    fault_fail(pair_fault(rig, 1, 0), STORE_FLUSH, -EIO);
    rig->agree = false;
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, data, sizeof data), 0);
    {
        struct rig_io flush = {0};

        rig_submit(&rig->n[0], &flush, 0, STORE_FLUSH, 0, 0, NULL, 0);
        WAIT(rig->n[0].asked == 1);
        assert_false(flush.done); /* the peer did not keep it, and nobody agreed yet */
        replica_peer_outdated(rig->n[0].replica, true);
        WAIT(flush.done && !flush.error);
    }
}

static void resync_source_when_a_block_cannot_be_read_then_target_stays_inconsistent(void **state)
{
    struct rig *rig = *state;

    open_node(rig, 0);
    ORDER(&rig->n[0], replica_promote(rig->n[0].replica, true, rig_answer, &rig->n[0]));
    churn(rig, 0, 30);
    fault_fail(pair_fault(rig, 0, 0), STORE_READ, -EIO);
    open_node(rig, 1);
    WAIT(disk(0) == DISK_FAILED);
    WAIT(rig_status(&rig->n[1]).connection == CONN_CONNECTED || rig_status(&rig->n[1]).why[0]);
    assert_int_equal(disk(1), DISK_INCONSISTENT);
    assert_int_equal(rig->n[0].asked_self, 0);
}

/* --- the order on disk --- */

static bool decode(const struct fault_write *w, const struct metadata_layout *layout,
                   struct superblock *sb)
{
    char why[MD_WHY];

    return w->offset == layout->superblock && !superblock_decode(sb, w->block, why);
}

/* A demoted node's activity log is not looked at after a crash: what it marked has to be there. */
static void demote_when_alone_then_map_is_durable_before_the_role(void **state)
{
    struct rig *rig = *state;
    struct metadata_layout layout;
    struct superblock sb;
    struct fault *fault;
    unsigned bits = 0, at = 0, count;
    static uint8_t data[4096];

    start_primary(rig);
    replica_disconnect(rig->n[1].replica);
    WAIT(rig_status(&rig->n[0]).connection < CONN_CONNECTED);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, i * (4ull << 20), data, sizeof data),
                         0);
    layout = pair_layout(rig, 0, 0);
    fault = pair_fault(rig, 0, 0);
    fault_log(fault, layout.bitmap, layout.superblock + MD_BLOCK);
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    count = fault_logged(fault);
    for (unsigned i = 0; i < count; i++) {
        const struct fault_write *w = fault_log_entry(fault, i);

        if (w->offset >= layout.bitmap && w->offset < layout.bitmap + layout.bitmap_bytes) {
            bits = 0;
            for (unsigned k = 0; k < MD_BLOCK; k++)
                bits += (unsigned)__builtin_popcount(w->block[k]);
        } else if (decode(w, &layout, &sb) && !(sb.flags & MD_PRIMARY) && !at) {
            at = i + 1;
            assert_int_equal(bits, 8);
        }
    }
    assert_int_not_equal(at, 0);
}

/* A target whose generation says "all but the marked blocks is the source's" must have them marked.
 */
static void target_when_maps_are_merged_then_map_is_durable_before_the_generation(void **state)
{
    struct rig *rig = *state;
    struct metadata_layout layout;
    struct superblock sb, old = {0};
    struct fault *fault;
    unsigned bits = 0, at = 0, count;
    static uint8_t data[4096];

    rig->options.resync_rate = 64; /* so that it does not end meanwhile */
    start_primary(rig);
    replica_disconnect(rig->n[1].replica);
    WAIT(rig_status(&rig->n[0]).connection < CONN_CONNECTED);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, i * (4ull << 20), data, sizeof data),
                         0);
    layout = pair_layout(rig, 1, 0);
    fault = pair_fault(rig, 1, 0);
    fault_log(fault, layout.bitmap, layout.superblock + MD_BLOCK);
    fault_hold(fault, STORE_WRITE, 0, SIZE); /* no block is written */
    replica_connect(rig->n[1].replica, false);
    WAIT(connection(1, CONN_SYNC_TARGET) && fault_held(fault));
    count = fault_logged(fault);
    for (unsigned i = 0; i < count; i++) {
        const struct fault_write *w = fault_log_entry(fault, i);

        if (w->offset >= layout.bitmap && w->offset < layout.bitmap + layout.bitmap_bytes) {
            bits = 0;
            for (unsigned k = 0; k < MD_BLOCK; k++)
                bits += (unsigned)__builtin_popcount(w->block[k]);
        } else if (decode(w, &layout, &sb)) {
            if (!old.generations.current)
                old = sb;
            if (!generation_equal(sb.generations.current, old.generations.current) && !at) {
                at = i + 1;
                assert_int_equal(bits, 8);
                assert_false(sb.flags & MD_CONSISTENT);
            }
        }
    }
    assert_int_not_equal(at, 0);
    fault_release(fault);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_CASE(read_when_the_disk_fails_then_answered_by_the_peer),
        PAIR_CASE(write_when_the_disk_fails_then_done_by_the_peer_once_agreed),
        PAIR_CASE(demote_when_the_failed_disk_is_not_agreed_then_waiting_writes_are_held_back),
        PAIR_CASE(disk_when_failed_under_load_then_no_error_and_nothing_lost),
        PAIR_CASE(disk_when_it_fails_as_a_resync_ends_then_the_peers_copy_is_current),
        PAIR_CASE(link_when_lost_with_the_disk_then_held_back_until_the_peer_is_back),
        PAIR_CASE(catching_up_when_cut_before_a_demotion_then_resynced),
        PAIR_CASE(catching_up_when_its_disk_fails_then_demoted),
        PAIR_CASE(write_when_given_up_beside_a_failed_disk_then_ends),
        PAIR_CASE(link_when_lost_with_unflushed_writes_then_not_used_again),
        PAIR_CASE(disk_when_failed_while_the_peer_misses_writes_then_an_error),
        PAIR_CASE(flush_when_given_up_then_not_answered_before_the_disk_has),
        PAIR_CASE(closing_when_a_failed_disk_has_not_answered_then_waits_for_it),
        PAIR_CASE(write_when_the_disk_is_full_then_said_only_if_the_peer_was_not_sent_it),
        PAIR_CASE(write_when_the_only_disk_is_full_then_said),
        PAIR_CASE(only_copy_when_its_generation_is_not_durable_then_not_acknowledged),
        PAIR_CASE(only_copy_when_killed_then_its_log_is_applied),
        PAIR_CASE(secondary_disk_when_failed_then_primary_goes_on_alone),
        PAIR_CASE(outdating_when_the_disk_failed_first_then_in_vain_and_taken_back),
        PAIR_CASE(outdating_when_the_disk_fails_after_it_then_not_in_vain),
        PAIR_CASE(promotion_when_the_peers_disk_failed_and_nothing_is_newer_then_done),
        PAIR_CASE(promotion_when_the_peers_disk_failed_with_newer_data_then_refused),
        PAIR_CASE(secondary_flush_when_failed_then_barrier_is_not_acknowledged),
        PAIR_CASE(resync_source_when_a_block_cannot_be_read_then_target_stays_inconsistent),
        PAIR_CASE(demote_when_alone_then_map_is_durable_before_the_role),
        PAIR_CASE(target_when_maps_are_merged_then_map_is_durable_before_the_generation),
    };
    return cmocka_run_group_tests_name("replica_fault", tests, NULL, NULL);
}
