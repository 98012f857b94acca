/* One loop per core: an io_uring, timers and a mailbox, run by one thread. What lives on a reactor
 * (a connection, its nexus, its tasks) is touched by that thread alone; others send it posts.
 * Unless said otherwise, functions are called on the reactor's own thread. Nothing here blocks. */
#ifndef HALUN_BASE_REACTOR_H
#define HALUN_BASE_REACTOR_H

#include <liburing.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "target/base/mailbox.h"

struct payload_pool;

/* An operation in the ring: embed it, set `done`, prepare an SQE with reactor_sqe(). `done` is
 * called on the reactor with the CQE's res (>= 0 or -errno) and flags (IORING_CQE_F_MORE: more will
 * come for the same op). The op must stay valid until its last completion. */
struct io_op {
    void (*done)(struct io_op *op, int32_t res, uint32_t flags);
    struct io_op *next_quiet; /* the reactor's, see reactor_quiet() */
    bool quiet;
};

/* A timer. Zero-initialise, set `fire`, arm with reactor_timer_set(). Embedded, never allocated. */
struct timer {
    void (*fire)(struct timer *timer);
    uint64_t deadline_ns; /* reactor clock; valid while armed */
    unsigned slot;        /* place in the heap + 1; 0 = not armed */
};

struct reactor {
    unsigned index; /* 0..count-1 */
    struct io_uring ring;
    struct mailbox mailbox;
    uint64_t now_ns; /* CLOCK_MONOTONIC, read once per turn of the loop */
    struct payload_pool *payloads;
    struct timer **heap; /* binary heap by deadline */
    unsigned heap_used, heap_size;
    struct io_op wake_op;
    uint64_t wake_value;
    bool stopping;
    struct post *deferred, **deferred_end; /* see reactor_defer() */
    struct io_op *quiet;                   /* handed in with the next submission */
    bool again;                            /* the next turn does not wait */
    uint64_t spin_ns;                      /* longest spin before a sleep; 0: never spins */
    unsigned short_waits;                  /* in a row; spinning begins when there are enough */
    bool entered;                          /* the ring belongs to the thread that runs it */
    _Atomic uint64_t turns;                /* of the loop, for statistics; written by its thread */
    uint64_t submissions; /* to the ring: what was prepared before the last one is the kernel's */
    pthread_mutex_t turn; /* held while events and posts run: see reactor_borrow() */
};

/* Prepares reactor `index` (ring with `entries` SQEs, mailbox, timers). Any thread, before run.
 * Returns 0 or -errno. */
int reactor_init(struct reactor *reactor, unsigned index, unsigned entries);
/* Runs the loop on the calling thread until reactor_stop(). */
void reactor_run(struct reactor *reactor);
/* One turn: waits at most `wait_ns` for an event, then runs all that is ready. For tests. */
void reactor_turn(struct reactor *reactor, uint64_t wait_ns);
/* Makes reactor_run() return after this turn. */
void reactor_stop(struct reactor *reactor);
/* Frees everything. After run has returned. */
void reactor_done(struct reactor *reactor);

/* The reactor of the calling thread; NULL on the control thread. */
struct reactor *reactor_self(void);

/* An SQE for `op`, never NULL (a full ring is submitted first). Prepare it with io_uring_prep_*(),
 * which leave the user data set here alone. Submitted at the end of the turn. */
struct io_uring_sqe *reactor_sqe(struct reactor *reactor, struct io_op *op);
/* For an operation that never waits and is over when it has been submitted: a send with
 * MSG_DONTWAIT and MSG_WAITALL. Called after its prep function. When it does all, the kernel says
 * nothing and wakes nobody; `done` is then called with REACTOR_ALL as res when the next turn
 * begins, before other events. Otherwise with res as above (a part, or -EAGAIN). */
void reactor_quiet(struct reactor *reactor, struct io_uring_sqe *sqe, struct io_op *op);
#define REACTOR_ALL INT32_MAX
/* The next turn does not wait for an event: somebody needs the `done` of a quiet operation soon. */
static inline void reactor_again(struct reactor *reactor)
{
    reactor->again = true;
}
/* Asks the kernel to cancel what `op` has in the ring; `op` still gets its completion
 * (-ECANCELED or its result). */
void reactor_cancel(struct reactor *reactor, struct io_op *op);

/* Arms (or re-arms) `timer` for an absolute time of the reactor's clock in ns. */
void reactor_timer_set(struct reactor *reactor, struct timer *timer, uint64_t deadline_ns);
/* Disarms; harmless when not armed. */
void reactor_timer_cancel(struct reactor *reactor, struct timer *timer);

/* Hands a post to the reactor's thread. Any thread. */
static inline void reactor_post(struct reactor *reactor, struct post *post)
{
    mailbox_post(&reactor->mailbox, post);
}

/* Is the reactor between two turns, with nothing posted to it? True: what lives on it is the caller's until
 * reactor_return(), as if a post of its ran at the end of the last turn, but nobody is woken for it. For what is short,
 * does not block and touches no ring, timer or deferred post of it: it may be asleep already. False: post. Any thread; never
 * waits. A reactor that wakes up meanwhile waits for the return. */
bool reactor_borrow(struct reactor *reactor);
void reactor_return(struct reactor *reactor);

/* A post from the reactor's own thread: runs after the events of this turn, no system call. What
 * is deferred while deferred posts run has its turn later, so a long job may hand itself on. */
static inline void reactor_defer(struct reactor *reactor, struct post *post)
{
    post->next = NULL;
    *reactor->deferred_end = post;
    reactor->deferred_end = &post->next;
}

/* CLOCK_MONOTONIC in ns, read now. Any thread. */
uint64_t monotonic_ns(void);

#endif
