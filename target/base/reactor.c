#include "target/base/reactor.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "target/base/container.h"

enum {
    EVENTS = 16,      /* handled in a turn */
    ROUNDS = 2,       /* of deferred posts and timers before the next submission */
    SHORT_WAITS = 16, /* so many waits in a row that a spin would have covered: it pays */
};

static _Thread_local struct reactor *self;

struct reactor *reactor_self(void)
{
    return self;
}

uint64_t monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void arm_wake(struct reactor *reactor)
{
    struct io_uring_sqe *sqe = reactor_sqe(reactor, &reactor->wake_op);
    io_uring_prep_read(sqe, reactor->mailbox.wake_fd, &reactor->wake_value,
                       sizeof reactor->wake_value, 0);
}

static void woken(struct io_op *op, int32_t res, uint32_t flags)
{
    struct reactor *reactor = container_of(op, struct reactor, wake_op);

    if (!reactor->stopping)
        arm_wake(reactor);
}

/* Linux 6.1: the kernel's part of a completion runs when this thread asks for events, not by
 * interrupting it. The thread that runs the loop has to be the one that enables the ring. */
static int ring_open(struct reactor *reactor, unsigned entries)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE,
        .cq_entries = entries * 4,
    };

    return io_uring_queue_init_params(entries, &reactor->ring, &params);
}

int reactor_init(struct reactor *reactor, unsigned index, unsigned entries)
{
    int rc;

    memset(reactor, 0, sizeof *reactor);
    reactor->index = index;
    reactor->wake_op.done = woken;
    reactor->deferred_end = &reactor->deferred;
    rc = ring_open(reactor, entries);
    if (rc < 0)
        return rc;
    rc = mailbox_init(&reactor->mailbox);
    if (rc < 0) {
        io_uring_queue_exit(&reactor->ring);
        return rc;
    }
    pthread_mutex_init(&reactor->turn, NULL);
    reactor->now_ns = monotonic_ns();
    arm_wake(reactor);
    return 0;
}

void reactor_done(struct reactor *reactor)
{
    io_uring_queue_exit(&reactor->ring);
    mailbox_done(&reactor->mailbox);
    pthread_mutex_destroy(&reactor->turn);
    free(reactor->heap);
    reactor->heap = NULL;
}

/* First thing on the thread that runs the loop: from here on the ring is its own. */
static void enter(struct reactor *reactor)
{
    if (reactor->entered)
        return;
    /* Debian 12's liburing declares io_uring_enable_rings(), but does not export it. */
    if (syscall(__NR_io_uring_register, reactor->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL,
                0))
        abort();
    io_uring_register_ring_fd(&reactor->ring); /* saves a look-up of the file at every entry */
    reactor->entered = true;
}

struct io_uring_sqe *reactor_sqe(struct reactor *reactor, struct io_op *op)
{
    struct io_uring_sqe *sqe;

    while (!(sqe = io_uring_get_sqe(&reactor->ring))) {
        enter(reactor);
        reactor->submissions++;
        io_uring_submit(&reactor->ring);
    }
    io_uring_sqe_set_data(sqe, op);
    return sqe;
}

void reactor_quiet(struct reactor *reactor, struct io_uring_sqe *sqe, struct io_op *op)
{
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    op->quiet = true;
    op->next_quiet = reactor->quiet;
    reactor->quiet = op;
}

static void cancelled(struct io_op *op, int32_t res, uint32_t flags)
{
}

void reactor_cancel(struct reactor *reactor, struct io_op *op)
{
    static struct io_op nobody = {.done = cancelled};
    struct io_uring_sqe *sqe = reactor_sqe(reactor, &nobody);
    io_uring_prep_cancel(sqe, op, IORING_ASYNC_CANCEL_ALL);
}

static void heap_put(struct reactor *reactor, unsigned at, struct timer *timer)
{
    reactor->heap[at] = timer;
    timer->slot = at + 1;
}

static void heap_up(struct reactor *reactor, unsigned at, struct timer *timer)
{
    while (at && reactor->heap[(at - 1) / 2]->deadline_ns > timer->deadline_ns) {
        heap_put(reactor, at, reactor->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_put(reactor, at, timer);
}

static void heap_down(struct reactor *reactor, unsigned at, struct timer *timer)
{
    for (;;) {
        unsigned child = 2 * at + 1;
        if (child >= reactor->heap_used)
            break;
        if (child + 1 < reactor->heap_used &&
            reactor->heap[child + 1]->deadline_ns < reactor->heap[child]->deadline_ns)
            child++;
        if (reactor->heap[child]->deadline_ns >= timer->deadline_ns)
            break;
        heap_put(reactor, at, reactor->heap[child]);
        at = child;
    }
    heap_put(reactor, at, timer);
}

void reactor_timer_cancel(struct reactor *reactor, struct timer *timer)
{
    unsigned at = timer->slot;
    struct timer *last;

    if (!at--)
        return;
    assert(reactor->heap[at] == timer);
    timer->slot = 0;
    last = reactor->heap[--reactor->heap_used];
    if (last == timer)
        return;
    if (at && reactor->heap[(at - 1) / 2]->deadline_ns > last->deadline_ns)
        heap_up(reactor, at, last);
    else
        heap_down(reactor, at, last);
}

void reactor_timer_set(struct reactor *reactor, struct timer *timer, uint64_t deadline_ns)
{
    reactor_timer_cancel(reactor, timer);
    if (reactor->heap_used == reactor->heap_size) {
        /* Grows to the largest number of timers ever armed together, then never again. */
        unsigned size = reactor->heap_size ? reactor->heap_size * 2 : 64;
        struct timer **heap = realloc(reactor->heap, size * sizeof *heap);
        if (!heap)
            abort();
        reactor->heap = heap;
        reactor->heap_size = size;
    }
    timer->deadline_ns = deadline_ns;
    heap_up(reactor, reactor->heap_used++, timer);
}

static void run_timers(struct reactor *reactor)
{
    while (reactor->heap_used && reactor->heap[0]->deadline_ns <= reactor->now_ns) {
        struct timer *timer = reactor->heap[0];
        reactor_timer_cancel(reactor, timer);
        timer->fire(timer);
    }
}

static void run_deferred(struct reactor *reactor)
{
    struct post *post = reactor->deferred;

    reactor->deferred = NULL;
    reactor->deferred_end = &reactor->deferred;
    while (post) {
        struct post *next = post->next; /* run() may reuse or free the post */
        post->run(post);
        post = next;
    }
}

static void forget_quiet(struct reactor *reactor, struct io_op *op)
{
    struct io_op **at = &reactor->quiet;

    while (*at != op)
        at = &(*at)->next_quiet;
    *at = op->next_quiet;
    op->quiet = false;
}

/* Quiet operations of which the kernel says nothing have done all that they should. First, so that
 * the memory they hold is free for what comes in now. */
static void run_quiet(struct reactor *reactor)
{
    struct io_uring_cqe *cqe;
    struct io_op *op;
    unsigned head;

    if (!reactor->quiet || io_uring_sq_ready(&reactor->ring) ||
        IO_URING_READ_ONCE(*reactor->ring.sq.kflags) & IORING_SQ_CQ_OVERFLOW)
        return; /* not all were submitted, or not all that is said can be seen */
    io_uring_for_each_cqe(&reactor->ring, head, cqe)
    {
        op = io_uring_cqe_get_data(cqe);
        if (op && op->quiet)
            forget_quiet(reactor, op);
    }
    op = reactor->quiet; /* what done() makes quiet is yet to be submitted */
    reactor->quiet = NULL;
    while (op) {
        struct io_op *next = op->next_quiet;

        op->quiet = false;
        op->done(op, REACTOR_ALL, 0);
        op = next;
    }
}

/* Only some at a time: what they led to is submitted before the next ones are looked at, so what
 * was just written is sent while it is in the cache, and its memory serves the next ones. */
static void run_events(struct reactor *reactor)
{
    struct io_uring_cqe *cqes[EVENTS];
    unsigned got = io_uring_peek_batch_cqe(&reactor->ring, cqes, EVENTS);

    for (unsigned i = 0; i < got; i++) {
        struct io_op *op = io_uring_cqe_get_data(cqes[i]);
        int32_t res = cqes[i]->res;
        uint32_t flags = cqes[i]->flags;
        io_uring_cqe_seen(&reactor->ring, cqes[i]);
        if (op && op->quiet)
            forget_quiet(reactor, op);
        if (op)
            op->done(op, res, flags);
    }
}

/* Has something happened? Looks only at memory that the kernel and other threads write. */
static bool something(struct reactor *reactor)
{
    return io_uring_cq_ready(&reactor->ring) ||
           IO_URING_READ_ONCE(*reactor->ring.sq.kflags) &
               (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW) ||
           atomic_load_explicit(&reactor->mailbox.head, memory_order_relaxed);
}

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Submits, and waits a moment without sleeping: a sleep and a wake cost more than that where the
 * next request comes soon. Only after many short waits in a row; the first spin in vain ends it.
 * Returns whether it spun and something came. */
static bool spin(struct reactor *reactor, uint64_t wait_ns)
{
    uint64_t until;

    if (!wait_ns || reactor->short_waits < SHORT_WAITS)
        return false;
    reactor->submissions++;
    io_uring_submit(&reactor->ring);
    until = monotonic_ns() + (wait_ns < reactor->spin_ns ? wait_ns : reactor->spin_ns);
    while (!something(reactor)) {
        if (monotonic_ns() >= until) {
            reactor->short_waits = 0;
            return false;
        }
        pause_cpu();
    }
    return true;
}

/* Submits what has gathered and waits at most `wait_ns` for an event. */
static void submit_and_wait(struct reactor *reactor, uint64_t wait_ns)
{
    struct __kernel_timespec wait;
    struct io_uring_cqe *cqe;
    uint64_t began = reactor->spin_ns ? monotonic_ns() : 0, allowed = reactor->spin_ns;

    /* Waking up is a part of how long a sleep takes; awake, the same wait is shorter by that. */
    if (!spin(reactor, wait_ns))
        allowed *= 2;
    wait.tv_sec = (long long)(wait_ns / 1000000000u);
    wait.tv_nsec = (long long)(wait_ns % 1000000000u);
    reactor->submissions++;
    io_uring_submit_and_wait_timeout(&reactor->ring, &cqe, 1, &wait, NULL);
    reactor->now_ns = monotonic_ns();
    if (reactor->now_ns - began >= allowed)
        reactor->short_waits = 0;
    else if (reactor->short_waits < SHORT_WAITS)
        reactor->short_waits++;
}

void reactor_turn(struct reactor *reactor, uint64_t wait_ns)
{
    self = reactor;
    enter(reactor);
    if (reactor->deferred || reactor->again) {
        reactor->again = false;
        wait_ns = 0;
    } else if (reactor->heap_used) {
        uint64_t now = monotonic_ns(), first = reactor->heap[0]->deadline_ns;
        uint64_t until = first > now ? first - now : 0;
        if (until < wait_ns)
            wait_ns = until;
    }
    submit_and_wait(reactor, wait_ns);
    pthread_mutex_lock(&reactor->turn);
    atomic_store_explicit(&reactor->turns,
                          atomic_load_explicit(&reactor->turns, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    run_quiet(reactor);
    run_events(reactor);
    mailbox_run(&reactor->mailbox);
    for (unsigned round = 0; round < ROUNDS; round++) {
        run_deferred(reactor);
        run_timers(reactor);
    }
    pthread_mutex_unlock(&reactor->turn);
}

bool reactor_borrow(struct reactor *reactor)
{
    if (pthread_mutex_trylock(&reactor->turn))
        return false;
    /* What was posted before comes first. */
    if (!atomic_load_explicit(&reactor->mailbox.head, memory_order_relaxed))
        return true;
    pthread_mutex_unlock(&reactor->turn);
    return false;
}

void reactor_return(struct reactor *reactor)
{
    pthread_mutex_unlock(&reactor->turn);
}

void reactor_run(struct reactor *reactor)
{
    self = reactor;
    while (!reactor->stopping)
        reactor_turn(reactor, 1000000000u);
    self = NULL;
}

void reactor_stop(struct reactor *reactor)
{
    reactor->stopping = true;
}
