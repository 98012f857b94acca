/* Two replicas in one process, over loopback: handshake, first generation, replicated writes,
 * losing and regaining the link, resync, split brain, authentication, disks as drbdmeta sees them.
 *
 * Not covered here: death of a process (test_replica_crash), a real DRBD as peer, loss of power
 * (what a volatile cache forgets), a Secondary's disk that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replica_rig.h"
#include "target/base/reactor.h"

enum { SIZE = 40 << 20, WAIT_S = 20 };

struct rig {
    struct rig_node n[2];
    struct rig_options options;
    char directory[64];
    bool agree; /* the cluster agrees at once that a peer is outdated */
    unsigned seed;
};

static struct rig *the_rig;

#define WAIT(condition)                                                                            \
    do {                                                                                           \
        uint64_t until_ = monotonic_ns() + WAIT_S * 1000000000ull;                                 \
        while (!(condition)) {                                                                     \
            if (monotonic_ns() > until_)                                                           \
                show_and_fail(#condition, __LINE__);                                               \
            rig_turn(the_rig->n, 2, 5);                                                            \
        }                                                                                          \
    } while (0)

static void show_and_fail(const char *condition, int line)
{
    for (unsigned i = 0; i < 2; i++) {
        struct replica_status s;

        if (!the_rig->n[i].replica)
            continue;
        s = rig_status(&the_rig->n[i]);
        print_error("node %u: role %d/%d disk %s/%s %s%s dirty %llu why \"%s\" asked %u\n", i,
                    s.role, s.peer_role, replica_disk_name(s.disk), replica_disk_name(s.peer_disk),
                    replica_connection_name(s.connection), s.suspended ? " suspended" : "",
                    (unsigned long long)s.out_of_sync, s.why, the_rig->n[i].asked);
    }
    _fail("waiting for:", line);
    (void)condition;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

/* Stands for the cluster: the peer's copy is outdated by its own node if that can be asked. */
static void peer_marked(void *context, int error, const char *why)
{
    struct rig_node *node = context;

    replica_peer_outdated(node->replica, !error);
}

static void cluster_outdates(struct rig_node *node)
{
    struct rig_node *peer = &the_rig->n[!node->index];

    if (!the_rig->agree)
        return;
    if (peer->replica)
        replica_outdate(peer->replica, peer_marked, node);
    else
        replica_peer_outdated(node->replica, true);
}

static void open_node(struct rig *rig, unsigned i)
{
    if (rig_open(&rig->n[i], i, &rig->options))
        fail_msg("%s", rig->n[i].why);
    rig->n[i].on_outdate = cluster_outdates;
}

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);

    strcpy(rig->directory, "/tmp/test_replica.XXXXXX");
    assert_non_null(mkdtemp(rig->directory));
    rig->options = (struct rig_options){
        .directory = rig->directory,
        .port = rig_port(),
        .lus = 1,
        .size = SIZE,
    };
    rig->agree = true;
    rig->seed = 1;
    the_rig = rig;
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    rig->agree = true;
    for (unsigned i = 0; i < 2; i++)
        if (rig->n[i].replica)
            rig_close(&rig->n[i]);
    nftw(rig->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(rig);
    return 0;
}

#define ORDER(node, call)                                                                          \
    do {                                                                                           \
        (node)->answered = false;                                                                  \
        call;                                                                                      \
        WAIT((node)->answered);                                                                    \
    } while (0)

static bool connection(unsigned i, enum replica_connection conn)
{
    return rig_status(&the_rig->n[i]).connection == conn;
}

static bool good(unsigned i)
{
    struct replica_status s = rig_status(&the_rig->n[i]);

    return s.connection == CONN_CONNECTED && s.disk == DISK_UP_TO_DATE &&
           s.peer_disk == DISK_UP_TO_DATE && !s.out_of_sync;
}

static void start_both(struct rig *rig)
{
    open_node(rig, 0);
    open_node(rig, 1);
    WAIT(connection(0, CONN_CONNECTED) && connection(1, CONN_CONNECTED));
}

static void promote(struct rig_node *node)
{
    ORDER(node, replica_promote(node->replica, false, rig_answer, node));
    if (node->error)
        fail_msg("promote: %s", node->why);
}

/* Both nodes with equal, new copies; node 0 is Primary. */
static void start_primary(struct rig *rig)
{
    start_both(rig);
    ORDER(&rig->n[0], replica_new_current(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, 0);
    WAIT(good(0) && good(1));
    promote(&rig->n[0]);
}

static void fill(struct rig *rig, uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)(rand_r(&rig->seed) >> 3);
}

static int run_io(struct rig_node *node, unsigned lu, enum store_operation operation,
                  unsigned flags, uint64_t offset, void *data, uint64_t length)
{
    struct rig_io io = {0};

    rig_submit(node, &io, lu, operation, flags, offset, data, length);
    WAIT(io.done);
    return io.error;
}

/* Random writes, clears and flushes, many at once; waits for all. */
static void churn(struct rig *rig, unsigned node, unsigned count)
{
    enum { PARALLEL = 32, LARGEST = 2 << 20 };
    static uint8_t buffers[PARALLEL][LARGEST];
    struct rig_io io[PARALLEL] = {0};
    unsigned issued = 0, i = 0;

    for (i = 0; i < PARALLEL; i++)
        io[i].done = true;
    while (issued < count) {
        for (i = 0; i < PARALLEL && issued < count; i++) {
            unsigned kind = (unsigned)rand_r(&rig->seed) % 16, lu;
            uint64_t length, offset;

            if (!io[i].done)
                continue;
            assert_int_equal(io[i].error, 0);
            lu = (unsigned)rand_r(&rig->seed) % rig->options.lus;
            length = ((unsigned)rand_r(&rig->seed) % (kind == 0 ? LARGEST / 512 : 64) + 1) * 512;
            offset = (unsigned)rand_r(&rig->seed) % ((SIZE - length) / 512 + 1) * 512;
            if (kind == 1)
                rig_submit(&rig->n[node], &io[i], lu, STORE_FLUSH, 0, 0, NULL, 0);
            else if (kind == 2 || kind == 3)
                rig_submit(&rig->n[node], &io[i], lu, kind == 2 ? STORE_ZERO : STORE_UNMAP, 0,
                           offset, NULL, length * 8 < SIZE - offset ? length * 8 : length);
            else {
                fill(rig, buffers[i], length);
                rig_submit(&rig->n[node], &io[i], lu, STORE_WRITE, kind == 4 ? STORE_FUA : 0,
                           offset, buffers[i], length);
            }
            issued++;
        }
        rig_turn(rig->n, 2, 5);
    }
    for (i = 0; i < PARALLEL; i++) {
        WAIT(io[i].done);
        assert_int_equal(io[i].error, 0);
    }
}

static void read_file(struct rig *rig, unsigned node, unsigned lu, uint8_t *data)
{
    char path[200];
    int fd;

    rig_path(path, rig->directory, node, lu);
    fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, data, SIZE, 0), SIZE);
    close(fd);
}

static void assert_equal_copies(struct rig *rig)
{
    uint8_t *a = malloc(SIZE), *b = malloc(SIZE);

    for (unsigned lu = 0; lu < rig->options.lus; lu++) {
        read_file(rig, 0, lu, a);
        read_file(rig, 1, lu, b);
        for (size_t i = 0; i < SIZE; i += 512)
            if (memcmp(a + i, b + i, 512))
                fail_msg("LU %u differs at sector %zu", lu, i / 512);
    }
    free(a);
    free(b);
}

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

static void split_brain_when_both_wrote_then_stand_alone_until_settled(void **state)
{
    struct rig *rig = *state;

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
    replica_connect(rig->n[1].replica, true);
    replica_connect(rig->n[0].replica, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
    rig->agree = true;
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

static void disk_when_failed_then_given_up_and_the_peer_goes_on(void **state)
{
    struct rig *rig = *state;
    static uint8_t block[RIG_BLOCK];
    char path[200];

    start_primary(rig);
    churn(rig, 0, 100);
    rig_path(path, rig->directory, 0, 0);
    assert_int_equal(truncate(path, 4096), 0); /* reads behind it end in nothing */
    assert_int_equal(run_io(&rig->n[0], 0, STORE_READ, 0, 1 << 20, block, sizeof block), -EIO);
    WAIT(rig_status(&rig->n[0]).disk == DISK_FAILED);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 1 << 20, block, sizeof block), -EIO);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_READ, 0, 1 << 20, block, sizeof block), -EIO);
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
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(connect_when_both_are_new_then_inconsistent),
        CASE(new_current_when_connected_then_both_up_to_date),
        CASE(promote_when_the_peer_is_primary_then_refused),
        CASE(io_when_secondary_then_held_back),
        CASE(write_when_connected_then_on_both_copies),
        CASE(several_volumes_when_written_then_equal),
        CASE(overlapping_writes_when_parallel_then_equal),
        CASE(link_when_cut_then_suspended_until_agreed_and_resynced),
        CASE(link_when_back_before_agreement_then_nothing_is_resynced),
        CASE(link_when_cut_again_and_again_then_equal),
        CASE(first_promotion_when_forced_then_full_resync),
        CASE(resync_when_slow_then_progress_is_told),
        CASE(demote_when_suspended_then_waiting_writes_are_held_back),
        CASE(split_brain_when_both_wrote_then_stand_alone_until_settled),
        CASE(authentication_when_secrets_differ_then_not_connected),
        CASE(restart_when_closed_cleanly_then_no_resync),
        CASE(disk_when_failed_then_given_up_and_the_peer_goes_on),
        CASE(metadata_when_closed_cleanly_then_drbdmeta_accepts_it),
    };
    return cmocka_run_group_tests_name("replica", tests, NULL, NULL);
}
