#include "target/base/reactor.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "target/base/container.h"

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

int reactor_init(struct reactor *reactor, unsigned index, unsigned entries)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = entries * 4,
    };
    int rc;

    memset(reactor, 0, sizeof *reactor);
    reactor->index = index;
    reactor->wake_op.done = woken;
    rc = io_uring_queue_init_params(entries, &reactor->ring, &params);
    if (rc < 0)
        return rc;
    rc = mailbox_init(&reactor->mailbox);
    if (rc < 0) {
        io_uring_queue_exit(&reactor->ring);
        return rc;
    }
    reactor->now_ns = monotonic_ns();
    arm_wake(reactor);
    return 0;
}

void reactor_done(struct reactor *reactor)
{
    io_uring_queue_exit(&reactor->ring);
    mailbox_done(&reactor->mailbox);
    free(reactor->heap);
    reactor->heap = NULL;
}

struct io_uring_sqe *reactor_sqe(struct reactor *reactor, struct io_op *op)
{
    struct io_uring_sqe *sqe;

    while (!(sqe = io_uring_get_sqe(&reactor->ring)))
        io_uring_submit(&reactor->ring);
    io_uring_sqe_set_data(sqe, op);
    return sqe;
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

void reactor_turn(struct reactor *reactor, uint64_t wait_ns)
{
    struct io_uring_cqe *cqes[64], *cqe;
    struct __kernel_timespec wait;
    unsigned got, i;

    self = reactor;
    if (reactor->heap_used) {
        uint64_t now = monotonic_ns(), first = reactor->heap[0]->deadline_ns;
        uint64_t until = first > now ? first - now : 0;
        if (until < wait_ns)
            wait_ns = until;
    }
    wait.tv_sec = (long long)(wait_ns / 1000000000u);
    wait.tv_nsec = (long long)(wait_ns % 1000000000u);
    io_uring_submit_and_wait_timeout(&reactor->ring, &cqe, 1, &wait, NULL);
    reactor->now_ns = monotonic_ns();
    reactor->turns++;
    while ((got = io_uring_peek_batch_cqe(&reactor->ring, cqes, 64))) {
        for (i = 0; i < got; i++) {
            struct io_op *op = io_uring_cqe_get_data(cqes[i]);
            int32_t res = cqes[i]->res;
            uint32_t flags = cqes[i]->flags;
            io_uring_cqe_seen(&reactor->ring, cqes[i]);
            if (op)
                op->done(op, res, flags);
        }
    }
    mailbox_run(&reactor->mailbox);
    run_timers(reactor);
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
