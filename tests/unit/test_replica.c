/* Two replicas in one process, over loopback: handshake, first generation, replicated writes,
 * losing and regaining the link, resync, split brain, authentication, disks as drbdmeta sees them.
 *
 * Not covered here: death of a process (test_replica_crash), a real DRBD as peer, loss of power
 * (what a volatile cache forgets), disks that fail (test_replica_fault). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replica_pair.h"

/* --- cases --- */

static void connect_when_both_are_new_then_inconsistent(void **state)
{
    struct rig *rig = *state;

    start_both(rig);
    assert_int_equal(rig_status(&rig->n[0]).disk, DISK_INCONSISTENT);
    assert_int_equal(rig_status(&rig->n[1]).peer_disk, DISK_INCONSISTENT);
    assert_int_equal(replica_store(rig->n[0].replica, 0)->size, SIZE);
    assert_null(replica_store(rig->n[0].replica, 7));
    ORDER(&rig->n[0], replica_promote(rig->n[0].replica, false, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, -ENODATA);
}

static void new_current_when_connected_then_both_up_to_date(void **state)
{
    struct rig *rig = *state;

    start_both(rig);
    ORDER(&rig->n[1], replica_new_current(rig->n[1].replica, rig_answer, &rig->n[1]));
    assert_int_equal(rig->n[1].error, 0);
    WAIT(good(0) && good(1));
    WAIT(rig->n[1].told_current == 1);
    /* Again: nothing to do. */
    ORDER(&rig->n[1], replica_new_current(rig->n[1].replica, rig_answer, &rig->n[1]));
    assert_int_equal(rig->n[1].error, 0);
}

/* As a power cut leaves it that came when the metadata of one of two units were written. */
static void new_current_when_it_was_cut_short_then_goes_on(void **state)
{
    struct rig *rig = *state;
    char path[200];

    rig->options.lus = 2;
    start_both(rig);
    ORDER(&rig->n[0], replica_new_current(rig->n[0].replica, rig_answer, &rig->n[0]));
    WAIT(good(0) && good(1));
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(rig_close(&rig->n[i]), 0);
        rig_path(path, rig->directory, i, 0);
        assert_int_equal(unlink(path), 0); /* made anew when it is opened */
    }
    start_both(rig);
    assert_false(good(0));
    ORDER(&rig->n[0], replica_new_current(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, 0);
    WAIT(good(0) && good(1));
    promote(&rig->n[0]);
    churn(rig, 0, 50);
}

static void promote_when_the_peer_is_primary_then_refused(void **state)
{
    struct rig *rig = *state;

    start_primary(rig);
    WAIT(rig_status(&rig->n[1]).peer_role == REPLICA_PRIMARY);
    ORDER(&rig->n[1], replica_promote(rig->n[1].replica, false, rig_answer, &rig->n[1]));
    assert_int_equal(rig->n[1].error, -EBUSY);
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, 0);
    promote(&rig->n[1]);
    assert_int_equal(rig_status(&rig->n[1]).role, REPLICA_PRIMARY);
}

static void io_when_secondary_then_held_back(void **state)
{
    struct rig *rig = *state;
    static uint8_t block[RIG_BLOCK];

    start_primary(rig);
    assert_int_equal(run_io(&rig->n[1], 0, STORE_READ, 0, 0, block, sizeof block), -EAGAIN);
    assert_int_equal(run_io(&rig->n[1], 0, STORE_WRITE, 0, 0, block, sizeof block), -EAGAIN);
    assert_int_equal(run_io(&rig->n[1], 0, STORE_FLUSH, 0, 0, NULL, 0), -EAGAIN);
}

static void write_when_connected_then_on_both_copies(void **state)
{
    struct rig *rig = *state;
    uint8_t *data = malloc(4 << 20), *back = malloc(4 << 20);

    start_primary(rig);
    fill(rig, data, 4 << 20);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 512, data, 4 << 20), 0);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_READ, 0, 512, back, 4 << 20), 0);
    assert_memory_equal(data, back, 4 << 20);
    assert_equal_copies(rig);
    churn(rig, 0, 2000);
    assert_equal_copies(rig);
    assert_int_equal(rig->n[0].asked, 0);
    free(data);
    free(back);
}

static void several_volumes_when_written_then_equal(void **state)
{
    struct rig *rig = *state;

    rig->options.lus = 2;
    start_primary(rig);
    churn(rig, 0, 1000);
    assert_equal_copies(rig);
}

static void overlapping_writes_when_parallel_then_equal(void **state)
{
    enum { N = 64 };
    struct rig *rig = *state;
    static uint8_t data[N][16384];
    struct rig_io io[N] = {0};

    start_primary(rig);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < N; i++) {
            memset(data[i], (int)(round * N + i), sizeof data[i]);
            rig_submit(&rig->n[0], &io[i], 0, STORE_WRITE, 0, (i % 5) * 4096, data[i],
                       sizeof data[i]);
        }
        for (unsigned i = 0; i < N; i++)
            WAIT(io[i].done);
        assert_equal_copies(rig);
    }
}

static struct rig_node *last_asked; /* NULL: a copy was said to be current after that */

static void note_asked(struct rig_node *node)
{
    last_asked = node;
}

static void note_current(struct rig_node *node)
{
    last_asked = NULL;
}

/* Nobody looks at the posts to the control threads. */
static void stand_still_until(struct rig *rig, bool suspended)
{
    for (unsigned i = 0; i < 2000; i++) {
        struct replica_status s = rig_status(&rig->n[0]);

        if (suspended ? s.suspended : s.connection == CONN_CONNECTED && s.peer_disk == DISK_UP_TO_DATE && !s.suspended)
            break;
        usleep(5000);
    }
    usleep(50000); /* the flush, and what is posted behind it */
}

static void link_when_cut_and_back_and_cut_while_nobody_listens_then_asked_last(void **state)
{
    struct rig *rig = *state;

    start_primary(rig);
    churn(rig, 0, 20);
    rig->agree = false;
    rig->n[0].on_outdate = note_asked;
    rig->n[0].on_current = note_current;
    rig->n[0].told_current = 0;
    replica_disconnect(rig->n[1].replica);
    stand_still_until(rig, true);
    replica_connect(rig->n[1].replica, false);
    stand_still_until(rig, false);
    replica_disconnect(rig->n[1].replica);
    stand_still_until(rig, true);
    WAIT(rig->n[0].told_current == 1 && rig->n[0].asked);
    for (unsigned i = 0; i < 20; i++)
        rig_turn(rig->n, 2, 5);
    assert_ptr_equal(last_asked, &rig->n[0]);
}

static void link_when_cut_then_suspended_until_agreed_and_resynced(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[65536];
    struct rig_io io = {0}, flush = {0};

    start_primary(rig);
    churn(rig, 0, 200);
    rig->agree = false;
    replica_disconnect(rig->n[1].replica);
    WAIT(rig->n[0].asked == 1);
    WAIT(rig_status(&rig->n[0]).suspended);
    fill(rig, data, sizeof data);
    rig_submit(&rig->n[0], &io, 0, STORE_WRITE, 0, 1 << 20, data, sizeof data);
    replica_peer_outdated(rig->n[0].replica, false);
    for (unsigned i = 0; i < 50; i++)
        rig_turn(rig->n, 2, 5);
    assert_false(io.done);
    ORDER(&rig->n[1], replica_outdate(rig->n[1].replica, rig_answer, &rig->n[1]));
    assert_int_equal(rig->n[1].error, 0);
    replica_peer_outdated(rig->n[0].replica, true);
    WAIT(io.done);
    assert_int_equal(io.error, 0);
    assert_false(rig_status(&rig->n[0]).suspended);
    rig_submit(&rig->n[0], &flush, 0, STORE_FLUSH, 0, 0, NULL, 0);
    WAIT(flush.done && !flush.error);
    churn(rig, 0, 300);
    assert_int_equal(rig_status(&rig->n[1]).disk, DISK_OUTDATED);
    ORDER(&rig->n[1], replica_promote(rig->n[1].replica, false, rig_answer, &rig->n[1]));
    assert_int_equal(rig->n[1].error, -ENODATA);
    rig->n[0].told_current = 0;
    replica_connect(rig->n[1].replica, false);
    churn(rig, 0, 500); /* beside the resync */
    WAIT(good(0) && good(1) && rig->n[0].told_current == 1);
    assert_equal_copies(rig);
    /* And again, now that generations moved once. */
    rig->agree = true;
    replica_disconnect(rig->n[0].replica);
    churn(rig, 0, 300);
    replica_connect(rig->n[0].replica, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static void link_when_back_before_agreement_then_nothing_is_resynced(void **state)
{
    enum { N = 40 };
    struct rig *rig = *state;
    static uint8_t data[N][32768];
    struct rig_io io[N] = {0}, flush = {0};

    start_primary(rig);
    rig->agree = false;
    for (unsigned i = 0; i < N; i++) {
        fill(rig, data[i], sizeof data[i]);
        rig_submit(&rig->n[0], &io[i], 0, STORE_WRITE, 0, i * 100000ull / 512 * 512, data[i],
                   sizeof data[i]);
        if (i == N / 2)
            replica_disconnect(rig->n[1].replica);
    }
    rig_submit(&rig->n[0], &flush, 0, STORE_FLUSH, 0, 0, NULL, 0);
    WAIT(rig->n[0].asked == 1 && rig_status(&rig->n[0]).suspended);
    assert_false(io[N - 1].done);
    replica_connect(rig->n[1].replica, false);
    for (unsigned i = 0; i < N; i++)
        WAIT(io[i].done && !io[i].error);
    WAIT(flush.done && !flush.error);
    WAIT(good(0) && good(1) && rig->n[0].told_current >= 1);
    assert_equal_copies(rig);
    rig->agree = true;
}

static void link_when_cut_again_and_again_then_equal(void **state)
{
    struct rig *rig = *state;

    rig->options.lus = 2;
    start_primary(rig);
    for (unsigned round = 0; round < 15; round++) {
        struct rig_node *cut = &rig->n[rand_r(&rig->seed) % 2];

        rig->agree = rand_r(&rig->seed) % 4;
        replica_disconnect(cut->replica);
        if (rig->agree)
            churn(rig, 0, (unsigned)rand_r(&rig->seed) % 200);
        replica_connect(cut->replica, false);
        churn(rig, 0, 100);
        if (rand_r(&rig->seed) % 2)
            WAIT(good(0) && good(1));
    }
    rig->agree = true;
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

/* Created, and the power cut before it had its size. */
static void copy_when_its_file_is_empty_then_made_as_if_it_was_missing(void **state)
{
    struct rig *rig = *state;

    for (unsigned i = 0; i < 2; i++) {
        char path[200];
        int fd;

        rig_path(path, rig->directory, i, 0);
        fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
        assert_true(fd >= 0);
        close(fd);
    }
    start_primary(rig);
    churn(rig, 0, 50);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static void first_promotion_when_forced_then_full_resync(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[1 << 20];

    open_node(rig, 0);
    ORDER(&rig->n[0], replica_promote(rig->n[0].replica, true, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, 0);
    fill(rig, data, sizeof data);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, SIZE - sizeof data, data, sizeof data),
                     0);
    open_node(rig, 1);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static void resync_when_slow_then_progress_is_told(void **state)
{
    struct rig *rig = *state;

    rig->options.resync_rate = 20 << 10;
    open_node(rig, 0);
    ORDER(&rig->n[0], replica_promote(rig->n[0].replica, true, rig_answer, &rig->n[0]));
    open_node(rig, 1);
    WAIT(connection(1, CONN_SYNC_TARGET));
    WAIT(rig_status(&rig->n[1]).resync_total == SIZE && rig_status(&rig->n[1]).resync_done);
    assert_int_equal(rig_status(&rig->n[1]).disk, DISK_INCONSISTENT);
    ORDER(&rig->n[1], replica_outdate(rig->n[1].replica, rig_answer, &rig->n[1]));
    assert_int_equal(rig->n[1].error, -EBUSY);
    /* Both may go down in the middle, and nothing is copied twice without need. */
    replica_disconnect(rig->n[1].replica);
    churn(rig, 0, 100);
    replica_connect(rig->n[1].replica, false);
    churn(rig, 0, 100);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static bool on_disk(struct rig *rig, unsigned index, uint64_t offset, const void *data, size_t n)
{
    char path[256];
    static uint8_t found[65536];
    int fd;

    rig_path(path, rig->directory, index, 0);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && n <= sizeof found);
    assert_int_equal(pread(fd, found, n, (off_t)offset), n);
    close(fd);
    return !memcmp(found, data, n);
}

/* It would tell of a write that is nowhere if this node were lost now. */
static void read_when_its_write_waits_for_the_peer_then_waits_too(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[65536], read[65536], beside[65536];
    struct rig_io write = {0}, at = {0}, other = {0}, undone = {0};

    start_primary(rig);
    rig->agree = false;
    replica_disconnect(rig->n[1].replica);
    WAIT(rig_status(&rig->n[0]).suspended);
    fill(rig, data, sizeof data);
    rig_submit(&rig->n[0], &write, 0, STORE_WRITE, 0, 1 << 20, data, sizeof data);
    WAIT(on_disk(rig, 0, 1 << 20, data, sizeof data));
    rig_submit(&rig->n[0], &at, 0, STORE_READ, 0, 1 << 20, read, sizeof read);
    rig_submit(&rig->n[0], &other, 0, STORE_READ, 0, (1 << 20) + sizeof data, beside, sizeof beside);
    WAIT(other.done);
    assert_int_equal(other.error, 0);
    for (unsigned i = 0; i < 50; i++)
        rig_turn(rig->n, 2, 5);
    assert_false(at.done);
    replica_peer_outdated(rig->n[0].replica, true);
    WAIT(write.done && at.done);
    assert_int_equal(at.error, 0);
    assert_memory_equal(read, data, sizeof data);
    /* A write that is given up: nobody may have seen it. */
    replica_connect(rig->n[1].replica, false);
    WAIT(good(0) && good(1));
    replica_disconnect(rig->n[1].replica);
    WAIT(rig_status(&rig->n[0]).suspended);
    fill(rig, data, sizeof data);
    write.done = at.done = false;
    rig_submit(&rig->n[0], &write, 0, STORE_WRITE, 0, 1 << 20, data, sizeof data);
    WAIT(on_disk(rig, 0, 1 << 20, data, sizeof data));
    rig_submit(&rig->n[0], &undone, 0, STORE_READ, 0, 1 << 20, read, sizeof read);
    for (unsigned i = 0; i < 50; i++)
        rig_turn(rig->n, 2, 5);
    assert_false(undone.done);
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    WAIT(write.done && undone.done);
    assert_int_equal(write.error, -EAGAIN);
    assert_int_equal(undone.error, -EAGAIN);
}

static void demote_when_suspended_then_waiting_writes_are_held_back(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[65536];
    struct rig_io io = {0};

    start_primary(rig);
    rig->agree = false;
    replica_disconnect(rig->n[0].replica);
    WAIT(rig_status(&rig->n[0]).suspended);
    fill(rig, data, sizeof data);
    rig_submit(&rig->n[0], &io, 0, STORE_WRITE, 0, 65536, data, sizeof data);
    WAIT(on_disk(rig, 0, 65536, data, sizeof data));
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, 0);
    WAIT(io.done);
    assert_int_equal(io.error, -EAGAIN);
    /* The peer takes over; what was written here only is undone. */
    rig->agree = true;
    promote(&rig->n[1]);
    churn(rig, 1, 100);
    replica_connect(rig->n[0].replica, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

/* The one that waits for its place is told as not done: it must not reach the disk when its turn comes. */
static void demote_when_a_write_waits_behind_another_then_it_never_starts(void **state)
{
    struct rig *rig = *state;
    static uint8_t first[65536], second[65536];
    struct rig_io before = {0}, behind = {0};

    start_primary(rig);
    rig->agree = false;
    replica_disconnect(rig->n[0].replica);
    WAIT(rig_status(&rig->n[0]).suspended);
    fill(rig, first, sizeof first);
    fill(rig, second, sizeof second);
    rig_submit(&rig->n[0], &before, 0, STORE_WRITE, 0, 65536, first, sizeof first);
    rig_submit(&rig->n[0], &behind, 0, STORE_WRITE, 0, 65536, second, sizeof second);
    WAIT(on_disk(rig, 0, 65536, first, sizeof first));
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, 0);
    WAIT(before.done && behind.done);
    assert_int_equal(before.error, -EAGAIN);
    assert_int_equal(behind.error, -ERESTART);
    assert_true(on_disk(rig, 0, 65536, first, sizeof first));
    rig->agree = true;
    promote(&rig->n[1]);
    replica_connect(rig->n[0].replica, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

/* `trying`: the one whose changes are given up is connecting already when that is ordered. */
static void split_and_settle(struct rig *rig, bool trying)
{
    start_primary(rig);
    churn(rig, 0, 50);
    rig->agree = false;
    replica_disconnect(rig->n[0].replica);
    replica_disconnect(rig->n[1].replica);
    WAIT(connection(0, CONN_STANDALONE) && connection(1, CONN_STANDALONE));
    WAIT(rig->n[0].asked == 1);
    /* A cluster would never agree for both: */
    replica_peer_outdated(rig->n[0].replica, true);
    promote(&rig->n[1]);
    WAIT(rig->n[1].asked == 1);
    replica_peer_outdated(rig->n[1].replica, true);
    churn(rig, 0, 50);
    churn(rig, 1, 50);
    ORDER(&rig->n[1], replica_demote(rig->n[1].replica, rig_answer, &rig->n[1]));
    replica_connect(rig->n[0].replica, false);
    replica_connect(rig->n[1].replica, false);
    for (unsigned i = 0; i < 2; i++)
        WAIT(connection(i, CONN_STANDALONE) && strstr(rig_status(&rig->n[i]).why, "split brain"));
    assert_int_equal(rig_status(&rig->n[0]).role, REPLICA_PRIMARY);
    churn(rig, 0, 10); /* and it goes on, alone */
    if (trying) {
        replica_connect(rig->n[1].replica, false);
        WAIT(connection(1, CONN_WF_CONNECTION));
    }
    replica_connect(rig->n[1].replica, true);
    replica_connect(rig->n[0].replica, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
    rig->agree = true;
}

static void split_brain_when_both_wrote_then_stand_alone_until_settled(void **state)
{
    split_and_settle(*state, false);
}

static void split_brain_when_one_is_trying_already_then_settled_all_the_same(void **state)
{
    split_and_settle(*state, true);
}

static void authentication_when_secrets_differ_then_not_connected(void **state)
{
    struct rig *rig = *state;

    rig->options.secret = "good";
    start_both(rig);
    rig_close(&rig->n[1]);
    rig->options.secret = "bad";
    open_node(rig, 1);
    WAIT(strstr(rig_status(&rig->n[1]).why, "authentication failed") ||
         strstr(rig_status(&rig->n[0]).why, "authentication failed"));
    assert_true(rig_status(&rig->n[0]).connection < CONN_CONNECTED);
    rig_close(&rig->n[1]);
    rig->options.secret = "good";
    open_node(rig, 1);
    WAIT(connection(0, CONN_CONNECTED) && connection(1, CONN_CONNECTED));
}

static void restart_when_closed_cleanly_then_no_resync(void **state)
{
    struct rig *rig = *state;

    start_primary(rig);
    churn(rig, 0, 100);
    rig->agree = false;
    assert_int_equal(rig_close(&rig->n[0]), 0);
    assert_int_equal(rig_close(&rig->n[1]), 0);
    start_both(rig);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static void disk_when_cut_short_then_given_up_and_the_peer_goes_on(void **state)
{
    struct rig *rig = *state;
    static uint8_t block[RIG_BLOCK];
    char path[200];

    start_primary(rig);
    churn(rig, 0, 100);
    rig_path(path, rig->directory, 0, 0);
    assert_int_equal(truncate(path, 4096), 0); /* reads behind it end in nothing */
    assert_int_equal(run_io(&rig->n[0], 0, STORE_READ, 0, 1 << 20, block, sizeof block), 0);
    WAIT(rig_status(&rig->n[0]).disk == DISK_FAILED);
    churn(rig, 0, 50); /* through the peer */
    WAIT(rig_status(&rig->n[1]).peer_disk < DISK_INCONSISTENT);
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, 0);
    promote(&rig->n[1]);
    WAIT(rig->n[1].asked == 1);
    churn(rig, 1, 100);
    ORDER(&rig->n[0], replica_promote(rig->n[0].replica, true, rig_answer, &rig->n[0]));
    assert_int_not_equal(rig->n[0].error, 0);
}

static bool have_drbdmeta(void)
{
    return !system("command -v drbdmeta >/dev/null 2>&1");
}

/* Runs drbdmeta on a node's file; returns its exit code and the first line of what it says. */
static int drbdmeta(struct rig *rig, unsigned node, const char *what, char line[256])
{
    char command[400], path[200];
    FILE *out;

    rig_path(path, rig->directory, node, 0);
    remove("/var/lib/drbd/drbd-minor-199.lkbd");
    snprintf(command, sizeof command, "drbdmeta --force 199 v08 %s internal %s 2>/dev/null", path,
             what);
    out = popen(command, "r");
    assert_non_null(out);
    line[0] = 0;
    if (!fgets(line, 256, out))
        line[0] = 0;
    return pclose(out);
}

static void metadata_when_closed_cleanly_then_drbdmeta_accepts_it(void **state)
{
    struct rig *rig = *state;
    char line[256];

    if (!have_drbdmeta())
        skip();
    start_primary(rig);
    churn(rig, 0, 300);
    rig_close(&rig->n[1]);
    churn(rig, 0, 300); /* alone: some bits are set */
    rig_close(&rig->n[0]);
    assert_int_equal(drbdmeta(rig, 0, "dstate", line), 0);
    assert_memory_equal(line, "UpToDate", 8);               /* the peer is known as outdated */
    assert_int_equal(drbdmeta(rig, 0, "dump-md", line), 0); /* refused when unclean */
    assert_int_equal(drbdmeta(rig, 1, "dump-md", line), 0);
    assert_int_equal(drbdmeta(rig, 1, "dstate", line), 0);
    start_both(rig);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_CASE(connect_when_both_are_new_then_inconsistent),
        PAIR_CASE(new_current_when_connected_then_both_up_to_date),
        PAIR_CASE(new_current_when_it_was_cut_short_then_goes_on),
        PAIR_CASE(promote_when_the_peer_is_primary_then_refused),
        PAIR_CASE(io_when_secondary_then_held_back),
        PAIR_CASE(write_when_connected_then_on_both_copies),
        PAIR_CASE(several_volumes_when_written_then_equal),
        PAIR_CASE(overlapping_writes_when_parallel_then_equal),
        PAIR_CASE(link_when_cut_and_back_and_cut_while_nobody_listens_then_asked_last),
        PAIR_CASE(link_when_cut_then_suspended_until_agreed_and_resynced),
        PAIR_CASE(link_when_back_before_agreement_then_nothing_is_resynced),
        PAIR_CASE(link_when_cut_again_and_again_then_equal),
        PAIR_CASE(copy_when_its_file_is_empty_then_made_as_if_it_was_missing),
        PAIR_CASE(first_promotion_when_forced_then_full_resync),
        PAIR_CASE(resync_when_slow_then_progress_is_told),
        PAIR_CASE(read_when_its_write_waits_for_the_peer_then_waits_too),
        PAIR_CASE(demote_when_suspended_then_waiting_writes_are_held_back),
        PAIR_CASE(demote_when_a_write_waits_behind_another_then_it_never_starts),
        PAIR_CASE(split_brain_when_both_wrote_then_stand_alone_until_settled),
        PAIR_CASE(split_brain_when_one_is_trying_already_then_settled_all_the_same),
        PAIR_CASE(authentication_when_secrets_differ_then_not_connected),
        PAIR_CASE(restart_when_closed_cleanly_then_no_resync),
        PAIR_CASE(disk_when_cut_short_then_given_up_and_the_peer_goes_on),
        PAIR_CASE(metadata_when_closed_cleanly_then_drbdmeta_accepts_it),
    };
    return cmocka_run_group_tests_name("replica", tests, NULL, NULL);
}
