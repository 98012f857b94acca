/* The loop of one core: deferred posts, operations that complete without a word, spinning. Not
 * covered: posts of other threads (test_lane, test_nexus), an overflow of the completion ring. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "target/base/container.h"
#include "target/base/reactor.h"

enum { WAIT_NS = 100000000 };

struct fixture {
    struct reactor reactor;
    int here, there;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    int pair[2];

    assert_non_null(f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    f->here = pair[0];
    f->there = pair[1];
    assert_int_equal(reactor_init(&f->reactor, 0, 16), 0);
    reactor_turn(&f->reactor, 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    reactor_done(&f->reactor);
    close(f->here);
    close(f->there);
    free(f);
    return 0;
}

struct job {
    struct post post;
    struct reactor *reactor;
    unsigned ran, again;
};

static void run_job(struct post *post)
{
    struct job *job = container_of(post, struct job, post);

    job->ran++;
    if (job->again) {
        job->again--;
        reactor_defer(job->reactor, &job->post);
    }
}

static void defer_when_turn_then_runs_without_waiting(void **state)
{
    struct fixture *f = *state;
    struct job job = {.post.run = run_job, .reactor = &f->reactor};
    uint64_t began = monotonic_ns();

    reactor_defer(&f->reactor, &job.post);
    reactor_turn(&f->reactor, 10ull * WAIT_NS);
    assert_int_equal(job.ran, 1);
    assert_true(monotonic_ns() - began < 5ull * WAIT_NS);
    reactor_turn(&f->reactor, 0);
    assert_int_equal(job.ran, 1);
}

/* A job that hands itself on lets the loop turn, and the loop does not sleep before it is done. */
static void defer_when_it_defers_itself_then_others_have_turns(void **state)
{
    struct fixture *f = *state;
    struct job job = {.post.run = run_job, .reactor = &f->reactor, .again = 99};
    uint64_t turns = f->reactor.turns, began = monotonic_ns();

    reactor_defer(&f->reactor, &job.post);
    while (job.ran < 100)
        reactor_turn(&f->reactor, 10ull * WAIT_NS);
    assert_true(f->reactor.turns - turns >= 50);
    assert_true(monotonic_ns() - began < 5ull * WAIT_NS);
}

struct timed {
    struct timer timer;
    struct job job;
};

static void defer_from_timer(struct timer *timer)
{
    struct timed *timed = container_of(timer, struct timed, timer);

    reactor_defer(timed->job.reactor, &timed->job.post);
}

static void defer_when_from_timer_then_runs_in_the_same_turn(void **state)
{
    struct fixture *f = *state;
    struct timed timed = {.timer.fire = defer_from_timer,
                          .job = {.post.run = run_job, .reactor = &f->reactor}};

    reactor_timer_set(&f->reactor, &timed.timer, 0);
    reactor_turn(&f->reactor, 0);
    assert_int_equal(timed.job.ran, 1);
}

struct sending {
    struct io_op op;
    struct msghdr message;
    struct iovec iov;
    unsigned count;
    int32_t res;
};

static void sent(struct io_op *op, int32_t res, uint32_t flags)
{
    struct sending *sending = container_of(op, struct sending, op);

    sending->count++;
    sending->res = res;
}

static void send_quiet(struct fixture *f, struct sending *sending, int fd, void *data, size_t n)
{
    struct io_uring_sqe *sqe;

    sending->op.done = sent;
    sending->iov = (struct iovec){data, n};
    sending->message = (struct msghdr){.msg_iov = &sending->iov, .msg_iovlen = 1};
    sqe = reactor_sqe(&f->reactor, &sending->op);
    io_uring_prep_sendmsg(sqe, fd, &sending->message, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL);
    reactor_quiet(&f->reactor, sqe, &sending->op);
}

/* It is no event: the turn goes on waiting, and `done` comes when the turn is over. */
static void quiet_when_all_is_sent_then_wakes_nobody(void **state)
{
    struct fixture *f = *state;
    struct sending sending = {.count = 0};
    uint64_t began = monotonic_ns();
    char got[8] = "";

    send_quiet(f, &sending, f->here, "12345", 5);
    reactor_turn(&f->reactor, WAIT_NS / 2);
    assert_true(monotonic_ns() - began >= WAIT_NS / 2);
    assert_int_equal(sending.count, 1);
    assert_int_equal(sending.res, REACTOR_ALL);
    assert_int_equal(read(f->there, got, sizeof got), 5);
    assert_string_equal(got, "12345");
    reactor_turn(&f->reactor, 0);
    assert_int_equal(sending.count, 1);
}

static void quiet_when_a_part_is_sent_then_says_how_much(void **state)
{
    struct fixture *f = *state;
    static char data[8 << 20];
    struct sending sending = {.count = 0}, second = {.count = 0};
    uint64_t began = monotonic_ns();
    size_t left, n;

    send_quiet(f, &sending, f->here, data, sizeof data);
    reactor_turn(&f->reactor, 10ull * WAIT_NS);
    assert_true(monotonic_ns() - began < 5ull * WAIT_NS);
    assert_int_equal(sending.count, 1);
    assert_true(sending.res > 0 && sending.res < (int32_t)sizeof data);

    /* The socket is full now. */
    send_quiet(f, &second, f->here, data, sizeof data);
    reactor_turn(&f->reactor, 10ull * WAIT_NS);
    assert_int_equal(second.count, 1);
    assert_int_equal(second.res, -EAGAIN);

    for (left = (size_t)sending.res; left; left -= n) {
        n = (size_t)read(f->there, data, left < sizeof data ? left : sizeof data);
        assert_true(n && n <= left);
    }
    assert_int_equal(recv(f->there, data, 1, MSG_DONTWAIT), -1);
}

static void quiet_when_it_fails_then_says_why_and_others_are_done(void **state)
{
    struct fixture *f = *state;
    struct sending good = {.count = 0}, bad = {.count = 0}, late = {.count = 0};

    send_quiet(f, &good, f->here, "1", 1);
    send_quiet(f, &bad, f->reactor.mailbox.wake_fd, "2", 1);
    send_quiet(f, &late, f->here, "3", 1);
    reactor_turn(&f->reactor, WAIT_NS);
    assert_int_equal(good.res, REACTOR_ALL);
    assert_int_equal(bad.res, -ENOTSOCK);
    assert_int_equal(late.res, REACTOR_ALL);
    assert_int_equal(good.count + bad.count + late.count, 3);
}

/* More than the ring has room for: some are submitted in the middle of the turn. */
static void quiet_when_many_then_each_is_done_once(void **state)
{
    struct fixture *f = *state;
    static struct sending sendings[100];
    char got[128];

    memset(sendings, 0, sizeof sendings);
    for (unsigned i = 0; i < 100; i++)
        send_quiet(f, &sendings[i], i % 10 == 5 ? f->reactor.mailbox.wake_fd : f->here, "x", 1);
    reactor_turn(&f->reactor, WAIT_NS);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(sendings[i].count, 1);
        assert_int_equal(sendings[i].res, i % 10 == 5 ? -ENOTSOCK : REACTOR_ALL);
    }
    assert_int_equal(read(f->there, got, sizeof got), 90);
    assert_null(f->reactor.quiet);
}

struct chain {
    struct sending first, second;
    struct fixture *f;
};

static void sent_first(struct io_op *op, int32_t res, uint32_t flags)
{
    struct chain *chain = container_of(container_of(op, struct sending, op), struct chain, first);

    sent(op, res, flags);
    send_quiet(chain->f, &chain->second, chain->f->here, "2", 1);
}

/* The next one is sent from the end of the one before: it is not over before it was submitted. */
static void quiet_when_begun_by_the_end_of_another_then_is_submitted_first(void **state)
{
    struct chain chain = {.f = *state};
    char got[8] = "";

    send_quiet(chain.f, &chain.first, chain.f->here, "1", 1);
    chain.first.op.done = sent_first;
    reactor_turn(&chain.f->reactor, 0);
    assert_int_equal(chain.first.count, 1);
    assert_int_equal(chain.second.count, 0);
    reactor_turn(&chain.f->reactor, 0);
    assert_int_equal(chain.second.count, 1);
    assert_int_equal(chain.second.res, REACTOR_ALL);
    assert_int_equal(read(chain.f->there, got, sizeof got), 2);
    assert_string_equal(got, "12");
}

static uint64_t own_cpu_ns(void)
{
    struct rusage use;

    getrusage(RUSAGE_THREAD, &use);
    return (uint64_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000000u +
           (uint64_t)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1000u;
}

/* Short waits earn one spin; the first in vain ends it, so an idle loop sleeps. */
static void spin_when_idle_then_sleeps(void **state)
{
    struct fixture *f = *state;
    uint64_t cpu;

    f->reactor.spin_ns = WAIT_NS / 10;
    for (unsigned i = 0; i < 100; i++)
        reactor_turn(&f->reactor, 1000);
    assert_true(f->reactor.short_waits > 0);
    reactor_turn(&f->reactor, 3ull * WAIT_NS / 10);
    assert_int_equal(f->reactor.short_waits, 0);
    cpu = own_cpu_ns();
    for (unsigned i = 0; i < 10; i++)
        reactor_turn(&f->reactor, 3ull * WAIT_NS / 10);
    assert_true(own_cpu_ns() - cpu < WAIT_NS / 10);
}

/* A sleep takes longer than the wait itself: where waits are as long as a spin, sleeping must not look as if spinning
 * did not pay. */
static void spin_when_sleeps_are_a_little_longer_then_is_earned(void **state)
{
    struct fixture *f = *state;

    f->reactor.spin_ns = WAIT_NS / 10;
    for (unsigned i = 0; i < 100 && !f->reactor.short_waits; i++)
        reactor_turn(&f->reactor, 15ull * WAIT_NS / 100);
    assert_true(f->reactor.short_waits > 0);
}

struct borrower {
    struct post post;
    struct reactor *reactor;
    bool got;
};

static void try_to_borrow(struct post *post)
{
    struct borrower *borrower = container_of(post, struct borrower, post);

    borrower->got = reactor_borrow(borrower->reactor);
}

static void borrow_when_in_a_turn_or_posted_to_then_refused(void **state)
{
    struct fixture *f = *state;
    struct borrower inside = {.post.run = try_to_borrow, .reactor = &f->reactor, .got = true};
    struct job job = {.post.run = run_job, .reactor = &f->reactor};

    assert_true(reactor_borrow(&f->reactor));
    assert_false(reactor_borrow(&f->reactor)); /* one at a time */
    reactor_return(&f->reactor);
    reactor_defer(&f->reactor, &inside.post);
    reactor_turn(&f->reactor, 0);
    assert_false(inside.got);

    reactor_post(&f->reactor, &job.post);
    assert_false(reactor_borrow(&f->reactor)); /* what was posted before comes first */
    reactor_turn(&f->reactor, 0);
    assert_int_equal(job.ran, 1);
    assert_true(reactor_borrow(&f->reactor));
    reactor_return(&f->reactor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defer_when_turn_then_runs_without_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(defer_when_it_defers_itself_then_others_have_turns, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(defer_when_from_timer_then_runs_in_the_same_turn, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(quiet_when_all_is_sent_then_wakes_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(quiet_when_a_part_is_sent_then_says_how_much, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(quiet_when_it_fails_then_says_why_and_others_are_done,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(quiet_when_many_then_each_is_done_once, setup, teardown),
        cmocka_unit_test_setup_teardown(quiet_when_begun_by_the_end_of_another_then_is_submitted_first,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(spin_when_idle_then_sleeps, setup, teardown),
        cmocka_unit_test_setup_teardown(spin_when_sleeps_are_a_little_longer_then_is_earned, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(borrow_when_in_a_turn_or_posted_to_then_refused, setup, teardown),
    };

    return cmocka_run_group_tests_name("reactor", tests, NULL, NULL);
}
