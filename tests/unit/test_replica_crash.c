/* Two replicas in processes of their own that are killed (SIGKILL) at random moments under load,
 * with fixed seeds; the test's process plays the cluster: it knows which copies are current and
 * only ever promotes one of those. After each round: both copies equal, no acknowledged write lost,
 * nothing there that was never written.
 *
 * Not covered here: loss of power (the page cache survives SIGKILL), more than two nodes, pauses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <qb/qblog.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replica_rig.h"
#include "target/base/container.h"

enum { SIZE = 300 << 20, BLOCKS = 1500, IN_FLIGHT = 24, WAIT_S = 60, ROUNDS = 50 };

/* Block i of the test lies far from its neighbours, so that the small activity log evicts. */
static uint64_t offset_of(unsigned block)
{
    return (uint64_t)block * (SIZE / BLOCKS / RIG_BLOCK) * RIG_BLOCK;
}

enum kind {
    PROMOTE,
    NEW_CURRENT,
    OUTDATE,
    PEER_OUTDATED,
    WORK,
    REST,
    CLOSE,
    CUT,
    CONNECT,
    QUERY, /* to a node */
    ANSWER,
    ASKED,
    CURRENT,
    ISSUED,
    ACKED,
    RESTS,
    STATE
}; /* from a node */
struct message {
    enum kind kind;
    unsigned order; /* ANSWER: to what */
    int error;
    unsigned block;
    uint64_t sequence;
    bool good;
    char why[100];
};

/* --- a node's process --- */

struct work {
    struct rig_io io;
    unsigned block;
    uint64_t sequence;
    bool busy;
    uint64_t data[RIG_BLOCK / 8];
};

struct child {
    struct rig_node node;
    int fd;
    bool working, flushing;
    unsigned seed;
    uint64_t sequence;
    unsigned in_flight;
    bool taken[BLOCKS];
    struct work work[IN_FLIGHT];
    struct rig_io flush;
    bool closed, was_good;
};

static struct child *me;

static void say(struct message m)
{
    if (send(me->fd, &m, sizeof m, MSG_NOSIGNAL) != sizeof m)
        _exit(0); /* the test is over */
}

static void child_answer(void *context, int error, const char *why)
{
    struct message m = {.kind = ANSWER, .order = (unsigned)(uintptr_t)context, .error = error};

    snprintf(m.why, sizeof m.why, "%s", why);
    if (m.order == CLOSE)
        me->closed = true;
    say(m);
}

static void child_asked(struct rig_node *node)
{
    say((struct message){.kind = ASKED});
}

static void child_current(struct rig_node *node)
{
    say((struct message){.kind = CURRENT});
}

static void next_write(struct work *w);

static void work_done(struct rig_io *io)
{
    struct work *w = container_of(io, struct work, io);

    me->in_flight--;
    me->taken[w->block] = false;
    w->busy = false;
    if (!io->error)
        say((struct message){.kind = ACKED, .block = w->block, .sequence = w->sequence});
    else
        me->working = false;
    if (me->working)
        next_write(w);
    else if (!me->in_flight)
        say((struct message){.kind = RESTS});
}

static void next_write(struct work *w)
{
    do
        w->block = (unsigned)rand_r(&me->seed) % BLOCKS;
    while (me->taken[w->block]);
    w->sequence = ++me->sequence;
    me->taken[w->block] = w->busy = true;
    for (unsigned i = 0; i < RIG_BLOCK / 8; i++)
        w->data[i] = i % 2 ? w->sequence : w->block;
    me->in_flight++;
    say((struct message){.kind = ISSUED, .block = w->block, .sequence = w->sequence});
    w->io.on_done = work_done;
    rig_submit(&me->node, &w->io, 0, STORE_WRITE, rand_r(&me->seed) % 16 ? 0 : STORE_FUA,
               offset_of(w->block), w->data, sizeof w->data);
    if (rand_r(&me->seed) % 32 == 0 && !me->flushing) {
        me->flushing = true;
        me->flush.on_done = NULL;
        rig_submit(&me->node, &me->flush, 0, STORE_FLUSH, 0, 0, NULL, 0);
    }
    if (me->flush.done)
        me->flushing = false;
}

static void tell_state(void)
{
    struct replica_status s = rig_status(&me->node);
    bool good = s.connection == CONN_CONNECTED && s.disk == DISK_UP_TO_DATE &&
                s.peer_disk == DISK_UP_TO_DATE && !s.suspended &&
                (s.role == REPLICA_SECONDARY || !s.out_of_sync); /* not still catching up */
    struct message m = {.kind = STATE, .good = good};

    snprintf(m.why, sizeof m.why, "%s %s/%s role %d%s: %.40s",
             replica_connection_name(s.connection), replica_disk_name(s.disk),
             replica_disk_name(s.peer_disk), s.role, s.suspended ? " suspended" : "", s.why);
    say(m);
}

static void obey(const struct message *m)
{
    struct replica *replica = me->node.replica;
    void *what = (void *)(uintptr_t)m->kind;

    switch (m->kind) {
    case PROMOTE:
        replica_promote(replica, false, child_answer, what);
        break;
    case NEW_CURRENT:
        replica_new_current(replica, child_answer, what);
        break;
    case OUTDATE:
        replica_outdate(replica, child_answer, what);
        break;
    case PEER_OUTDATED:
        replica_peer_outdated(replica, !m->error);
        break;
    case CUT:
        replica_disconnect(replica);
        break;
    case CONNECT:
        replica_connect(replica, false);
        break;
    case QUERY:
        tell_state();
        break;
    case WORK:
        qb_log(LOG_INFO, "work from %llu", (unsigned long long)m->sequence);
        me->working = true;
        me->sequence = m->sequence;
        for (unsigned i = 0; i < IN_FLIGHT; i++)
            next_write(&me->work[i]);
        break;
    case REST:
        me->working = false;
        if (!me->in_flight)
            say((struct message){.kind = RESTS});
        break;
    case CLOSE:
        replica_close(replica, child_answer, what);
        break;
    default:
        abort();
    }
}

static void live(unsigned index, const struct rig_options *options, int fd, unsigned seed)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getenv("REPLICA_LOG")) {
        qb_log_init(index ? "node1" : "node0", LOG_USER, LOG_DEBUG);
        qb_log_ctl(QB_LOG_SYSLOG, QB_LOG_CONF_ENABLED, QB_FALSE);
        qb_log_filter_ctl(QB_LOG_STDERR, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*", LOG_DEBUG);
        qb_log_format_set(QB_LOG_STDERR, "%T %N %b");
        qb_log_ctl(QB_LOG_STDERR, QB_LOG_CONF_ENABLED, QB_TRUE);
    }
    me = calloc(1, sizeof *me);
    me->fd = fd;
    me->seed = seed;
    if (rig_open(&me->node, index, options)) {
        fprintf(stderr, "node %u: %s\n", index, me->node.why);
        _exit(1);
    }
    me->node.on_outdate = child_asked;
    me->node.on_current = child_current;
    while (!me->closed) {
        struct pollfd fds[2] = {{.fd = fd, .events = POLLIN},
                                {.fd = me->node.control.wake_fd, .events = POLLIN}};
        unsigned changed = me->node.changed;
        struct message m;
        ssize_t n;

        poll(fds, 2, 1000);
        while ((n = recv(fd, &m, sizeof m, MSG_DONTWAIT)) > 0)
            obey(&m);
        if (!n)
            _exit(0);
        rig_turn(&me->node, 1, 0);
        if (!me->closed && changed != me->node.changed)
            tell_state();
    }
    _exit(0);
}

/* --- the test: the cluster and the judge --- */

struct proxy {
    pid_t pid; /* 0 = dead */
    int fd;
    bool good, rests, answered, asked;
    unsigned states; /* told so far */
    int error;
    char why[100], state[100];
};

struct rig {
    struct rig_options options;
    char directory[64];
    struct proxy p[2];
    bool current[2];
    unsigned seed;
    uint64_t sequence;
    unsigned acks;
    uint64_t issued[BLOCKS][64]; /* sequences that may be on disk: since the last check */
    unsigned issued_count[BLOCKS];
    uint64_t acked[BLOCKS];
};

static void order(struct rig *rig, unsigned i, struct message m)
{
    if (rig->p[i].pid)
        send(rig->p[i].fd, &m, sizeof m, MSG_NOSIGNAL);
}

static void agreed(struct rig *rig, unsigned i, bool yes)
{
    rig->p[i].asked = !yes;
    if (yes) {
        rig->current[i] = true;
        rig->current[!i] = false;
    }
    order(rig, i, (struct message){.kind = PEER_OUTDATED, .error = !yes});
}

static void try_outdate(struct rig *rig, unsigned i)
{
    if (rig->p[!i].pid)
        order(rig, !i, (struct message){.kind = OUTDATE});
    else
        agreed(rig, i, true);
}

static void heard(struct rig *rig, unsigned i, const struct message *m)
{
    struct proxy *p = &rig->p[i];

    switch (m->kind) {
    case ANSWER:
        if (m->order == OUTDATE) {
            if (rig->p[!i].asked)
                agreed(rig, !i, !m->error);
            break;
        }
        p->answered = true;
        p->error = m->error;
        strcpy(p->why, m->why);
        break;
    case ASKED:
        p->asked = true;
        try_outdate(rig, i);
        break;
    case CURRENT:
        rig->current[0] = rig->current[1] = true;
        break;
    case ISSUED:
        assert_true(rig->issued_count[m->block] < 64);
        rig->issued[m->block][rig->issued_count[m->block]++] = m->sequence;
        if (m->sequence > rig->sequence)
            rig->sequence = m->sequence;
        break;
    case ACKED:
        rig->acked[m->block] = m->sequence;
        rig->acks++;
        break;
    case RESTS:
        p->rests = true;
        break;
    case STATE:
        p->good = m->good;
        p->states++;
        strcpy(p->state, m->why);
        break;
    default:
        fail_msg("node %u says %d", i, m->kind);
    }
}

static void drain(struct rig *rig, unsigned i)
{
    struct message m;

    for (;;) {
        ssize_t n = recv(rig->p[i].fd, &m, sizeof m, MSG_DONTWAIT);

        if (n == sizeof m)
            heard(rig, i, &m);
        else if (n >= 0 || errno != ECONNRESET) /* it died with orders unread: its words follow */
            break;
    }
}

static void turn(struct rig *rig)
{
    struct pollfd fds[2];
    unsigned n = 0;

    for (unsigned i = 0; i < 2; i++)
        if (rig->p[i].pid)
            fds[n++] = (struct pollfd){.fd = rig->p[i].fd, .events = POLLIN};
    if (poll(fds, n, 20) == 0)
        for (unsigned i = 0; i < 2; i++)
            if (rig->p[i].pid && rig->p[i].asked)
                try_outdate(rig, i);
    for (unsigned i = 0; i < 2; i++)
        if (rig->p[i].pid)
            drain(rig, i);
}

#define WAIT(rig, condition)                                                                       \
    do {                                                                                           \
        uint64_t until_ = monotonic_ns() + WAIT_S * 1000000000ull;                                 \
        while (!(condition)) {                                                                     \
            if (monotonic_ns() > until_)                                                           \
                fail_msg("waiting for %s; node 0 %s; node 1 %s; current %d %d", #condition,        \
                         (rig)->p[0].state, (rig)->p[1].state, (rig)->current[0],                  \
                         (rig)->current[1]);                                                       \
            turn(rig);                                                                             \
        }                                                                                          \
    } while (0)

static void spawn(struct rig *rig, unsigned i)
{
    int fds[2], size = 1 << 20;
    pid_t pid;

    if (rig->p[i].pid)
        return;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    pid = fork();
    if (!pid) {
        close(fds[0]);
        if (rig->p[!i].pid)
            close(rig->p[!i].fd);
        live(i, &rig->options, fds[1], (unsigned)rand_r(&rig->seed));
    }
    close(fds[1]);
    rig->p[i] = (struct proxy){.pid = pid, .fd = fds[0]};
}

static void kill_node(struct rig *rig, unsigned i)
{
    if (!rig->p[i].pid)
        return;
    kill(rig->p[i].pid, SIGKILL);
    waitpid(rig->p[i].pid, NULL, 0);
    drain(rig, i); /* what it said before it died */
    rig->p[i].pid = 0;
    rig->p[i].good = false;
    close(rig->p[i].fd);
    if (rig->p[!i].pid && rig->p[!i].asked)
        agreed(rig, !i, true); /* it died while being asked: harmless */
}

static void close_node(struct rig *rig, unsigned i)
{
    if (!rig->p[i].pid)
        return;
    rig->p[i].answered = false;
    order(rig, i, (struct message){.kind = CLOSE});
    WAIT(rig, rig->p[i].answered);
    waitpid(rig->p[i].pid, NULL, 0);
    rig->p[i].pid = 0;
    close(rig->p[i].fd);
}

/* False: it refuses, as its copy was just being resynced. */
static bool promote(struct rig *rig, unsigned i)
{
    uint64_t until = monotonic_ns() + WAIT_S * 1000000000ull;

    assert_true(rig->current[i]);
    do {
        rig->p[i].answered = false;
        order(rig, i, (struct message){.kind = PROMOTE});
        WAIT(rig, rig->p[i].answered);
    } while (rig->p[i].error == -EAGAIN && monotonic_ns() < until);
    if (rig->p[i].error == -ENODATA)
        return false;
    if (rig->p[i].error)
        fail_msg("node %u cannot be promoted: %s", i, rig->p[i].why);
    rig->p[i].rests = false;
    order(rig, i, (struct message){.kind = WORK, .sequence = rig->sequence});
    return true;
}

/* A failover to `i`, or to the other node when only that has the data. */
static unsigned fail_over(struct rig *rig, unsigned i)
{
    spawn(rig, i);
    if (promote(rig, i))
        return i;
    spawn(rig, !i);
    assert_true(promote(rig, !i));
    return !i;
}

static void load(struct rig *rig, unsigned i, uint64_t blocks[BLOCKS][2])
{
    char path[200];
    static uint64_t data[RIG_BLOCK / 8];
    int fd;

    rig_path(path, rig->directory, i, 0);
    fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    for (unsigned b = 0; b < BLOCKS; b++) {
        assert_int_equal(pread(fd, data, sizeof data, (off_t)offset_of(b)), sizeof data);
        for (unsigned k = 2; k < RIG_BLOCK / 8; k++)
            if (data[k] != data[k % 2])
                fail_msg("node %u block %u is torn", i, b);
        if (data[1] && data[0] != b)
            fail_msg("node %u block %u has the content of %llu", i, b, (unsigned long long)data[0]);
        blocks[b][0] = data[0];
        blocks[b][1] = data[1];
    }
    close(fd);
}

static void judge(struct rig *rig)
{
    static uint64_t a[BLOCKS][2], b[BLOCKS][2];

    load(rig, 0, a);
    load(rig, 1, b);
    for (unsigned i = 0; i < BLOCKS; i++) {
        bool known = a[i][1] == rig->acked[i];

        if (a[i][1] != b[i][1])
            fail_msg("block %u: %llu on node 0, %llu on node 1", i, (unsigned long long)a[i][1],
                     (unsigned long long)b[i][1]);
        if (a[i][1] < rig->acked[i])
            fail_msg("block %u: %llu is there, %llu was acknowledged", i,
                     (unsigned long long)a[i][1], (unsigned long long)rig->acked[i]);
        for (unsigned k = 0; k < rig->issued_count[i]; k++)
            known |= rig->issued[i][k] == a[i][1];
        if (!known)
            fail_msg("block %u: %llu was never written", i, (unsigned long long)a[i][1]);
        rig->acked[i] = a[i][1];
        rig->issued_count[i] = 0;
    }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
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
    rig->current[0] = rig->current[1] = true;
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    for (unsigned i = 0; i < 2; i++)
        kill_node(rig, i);
    nftw(rig->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(rig);
    return 0;
}

static void start(struct rig *rig)
{
    uint64_t until = monotonic_ns() + WAIT_S * 1000000000ull;

    spawn(rig, 0);
    spawn(rig, 1);
    for (;;) {
        rig->p[0].answered = false;
        order(rig, 0, (struct message){.kind = NEW_CURRENT});
        WAIT(rig, rig->p[0].answered);
        if (!rig->p[0].error)
            break;
        assert_true(monotonic_ns() < until);
        assert_int_equal(rig->p[0].error, -ENOTCONN);
        turn(rig);
    }
    WAIT(rig, rig->p[0].good && rig->p[1].good);
}

static void more_acks(struct rig *rig, unsigned n)
{
    unsigned until = rig->acks + n;

    WAIT(rig, rig->acks >= until);
}

/* What a node told last may be old news: asks both again until both say that all is well. */
static bool all_good(struct rig *rig)
{
    unsigned before[2] = {rig->p[0].states, rig->p[1].states};

    order(rig, 0, (struct message){.kind = QUERY});
    order(rig, 1, (struct message){.kind = QUERY});
    WAIT(rig, rig->p[0].states > before[0] && rig->p[1].states > before[1]);
    return rig->p[0].good && rig->p[1].good && rig->current[0] && rig->current[1];
}

/* For REPLICA_LOG, to be read with what the nodes say. */
static void note(const char *format, unsigned a, unsigned b)
{
    if (getenv("REPLICA_LOG"))
        fprintf(stderr, format, a, b);
}

/* One accident; returns who is Primary afterwards. */
static unsigned accident(struct rig *rig, unsigned primary)
{
    unsigned what = (unsigned)rand_r(&rig->seed) % 8, next = primary;

    note("--- accident %u, Primary is %u\n", what, primary);
    note("--- current %u %u\n", rig->current[0], rig->current[1]);

    switch (what) {
    case 0: /* the link, both live */
        order(rig, !primary, (struct message){.kind = CUT});
        WAIT(rig, !rig->p[!primary].good);
        if (rand_r(&rig->seed) % 2)
            more_acks(rig, 50);
        order(rig, !primary, (struct message){.kind = CONNECT});
        break;
    case 1:
    case 2: /* the Secondary */
        kill_node(rig, !primary);
        if (rand_r(&rig->seed) % 2)
            more_acks(rig, 100);
        break;
    case 3: /* both */
        kill_node(rig, (unsigned)rand_r(&rig->seed) % 2);
        kill_node(rig, 0);
        kill_node(rig, 1);
        if (rand_r(&rig->seed) % 2 || !rig->current[next])
            next = !next;
        if (!rig->current[next])
            next = !next;
        if (rand_r(&rig->seed) % 2)
            spawn(rig, !next);
        next = fail_over(rig, next);
        break;
    case 4: /* the Primary, and the same comes back as Primary */
        kill_node(rig, primary);
        if (!rig->current[primary])
            next = !primary;
        next = fail_over(rig, next);
        break;
    default: /* the Primary: the other takes over, if it may */
        kill_node(rig, primary);
        if (rig->current[!primary])
            next = !primary;
        next = fail_over(rig, next);
        if (rand_r(&rig->seed) % 2)
            more_acks(rig, 100);
        break;
    }
    spawn(rig, 0);
    spawn(rig, 1);
    return next;
}

static void nodes_when_killed_at_random_then_nothing_acknowledged_is_lost(void **state)
{
    struct rig *rig = *state;
    const char *seed = getenv("REPLICA_SEED"), *rounds = getenv("REPLICA_ROUNDS");
    unsigned primary = 0, count = rounds ? (unsigned)atoi(rounds) : ROUNDS;

    rig->seed = seed ? (unsigned)atoi(seed) : 1;
    start(rig);
    assert_true(promote(rig, primary));
    for (unsigned round = 0; round < count; round++) {
        note("--- round %u\n", round, 0);
        more_acks(rig, 20 + (unsigned)rand_r(&rig->seed) % 400);
        primary = accident(rig, primary);
        if (rand_r(&rig->seed) % 3 == 0) { /* the next one already during the resync */
            more_acks(rig, (unsigned)rand_r(&rig->seed) % 100);
            primary = accident(rig, primary);
        }
        WAIT(rig, all_good(rig));
        order(rig, primary, (struct message){.kind = REST});
        WAIT(rig, rig->p[primary].rests);
        WAIT(rig, all_good(rig)); /* still, or again: a link may break any time */
        judge(rig);
        rig->p[primary].rests = false;
        order(rig, primary, (struct message){.kind = WORK, .sequence = rig->sequence});
    }
}

static int drbdmeta(struct rig *rig, unsigned node, const char *what)
{
    char command[400], path[200];

    rig_path(path, rig->directory, node, 0);
    remove("/var/lib/drbd/drbd-minor-198.lkbd");
    snprintf(command, sizeof command,
             "drbdmeta --force 198 v08 %s internal %s >/dev/null 2>/dev/null", path, what);
    return system(command);
}

static void metadata_when_killed_then_drbdmeta_applies_the_log(void **state)
{
    struct rig *rig = *state;

    if (system("command -v drbdmeta >/dev/null 2>&1"))
        skip();
    rig->seed = 7;
    start(rig);
    assert_true(promote(rig, 0));
    for (unsigned round = 0; round < 4; round++) {
        more_acks(rig, 300);
        kill_node(rig, 0);
        kill_node(rig, 1);
        assert_int_equal(drbdmeta(rig, 0, "apply-al"), 0);
        assert_int_equal(drbdmeta(rig, 0, "dump-md"), 0);
        assert_int_equal(drbdmeta(rig, 1, "apply-al"), 0);
        assert_int_equal(drbdmeta(rig, 1, "dump-md"), 0);
        spawn(rig, 0);
        spawn(rig, 1);
        assert_true(promote(rig, 0));
        WAIT(rig, rig->p[0].good && rig->p[1].good);
        order(rig, 0, (struct message){.kind = REST});
        WAIT(rig, rig->p[0].rests);
        judge(rig);
        order(rig, 0, (struct message){.kind = WORK, .sequence = rig->sequence});
    }
    order(rig, 0, (struct message){.kind = REST});
    WAIT(rig, rig->p[0].rests);
    close_node(rig, 0);
    close_node(rig, 1);
    assert_int_equal(drbdmeta(rig, 0, "dump-md"), 0);
    assert_int_equal(drbdmeta(rig, 1, "dump-md"), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(metadata_when_killed_then_drbdmeta_applies_the_log),
        CASE(nodes_when_killed_at_random_then_nothing_acknowledged_is_lost),
    };
    return cmocka_run_group_tests_name("replica_crash", tests, NULL, NULL);
}
