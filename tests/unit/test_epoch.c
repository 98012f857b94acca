/* Epochs of both sides: numbers, counts, order of answers. Not covered: when the engine sends a
 * barrier (test_replica shows that flushes end). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "replication/epoch.h"

static struct epoch_sender s;
static struct epoch_receiver r;

static int setup(void **state)
{
    s.strict = false;
    epoch_sender_reset(&s, 0xfffffffe);
    epoch_receiver_reset(&r);
    return 0;
}

static void barrier_when_epoch_empty_then_never_due(void **state)
{
    epoch_sender_close(&s);
    assert_false(epoch_sender_barrier_due(&s));
    assert_int_equal(epoch_sender_write(&s), 0xfffffffe);
    assert_false(epoch_sender_barrier_due(&s));
    epoch_sender_close(&s);
    assert_true(epoch_sender_barrier_due(&s));
}

static void empty_epoch_when_forced_then_ended_and_answered(void **state)
{
    uint32_t number, writes;

    epoch_sender_force(&s);
    assert_true(epoch_sender_barrier_due(&s));
    assert_true(epoch_receiver_empty(&r));
    epoch_receiver_barrier(&r, epoch_sender_barrier(&s));
    assert_false(epoch_sender_barrier_due(&s));
    assert_int_equal(epoch_receiver_flushable(&r), 1);
    epoch_receiver_pop(&r, &number, &writes);
    assert_int_equal(writes, 0);
    assert_int_equal(epoch_sender_ack(&s, number, writes), 0);
    epoch_sender_close(&s); /* empty, as ever */
    assert_false(epoch_sender_barrier_due(&s));
}

static void numbers_when_they_wrap_then_go_on(void **state)
{
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(epoch_sender_write(&s), 0xfffffffe + i);
        epoch_sender_close(&s);
        assert_int_equal(epoch_sender_barrier(&s), 0xfffffffe + i);
    }
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(epoch_sender_ack(&s, 0xfffffffe + i, 1), 0);
}

static void ack_when_number_or_count_is_wrong_then_refused(void **state)
{
    epoch_sender_write(&s);
    epoch_sender_write(&s);
    assert_int_equal(epoch_sender_ack(&s, 0xfffffffe, 2), -EPROTO); /* no barrier was sent */
    epoch_sender_close(&s);
    epoch_sender_barrier(&s);
    assert_int_equal(epoch_sender_ack(&s, 0xffffffff, 2), -EPROTO);
    assert_int_equal(epoch_sender_ack(&s, 0xfffffffe, 1), -EPROTO);
    assert_int_equal(epoch_sender_ack(&s, 0xfffffffe, 2), 0);
    assert_int_equal(epoch_sender_ack(&s, 0xfffffffe, 2), -EPROTO);
}

static void epoch_when_full_then_barrier_due(void **state)
{
    for (unsigned i = 0; i < EPOCH_WRITES_MAX; i++) {
        assert_false(epoch_sender_barrier_due(&s));
        epoch_sender_write(&s);
    }
    assert_true(epoch_sender_barrier_due(&s));
}

static void completion_when_strict_then_ends_the_epoch(void **state)
{
    uint32_t epoch = epoch_sender_write(&s);

    epoch_sender_completing(&s, epoch);
    assert_false(epoch_sender_barrier_due(&s));
    s.strict = true;
    epoch_sender_reset(&s, 5);
    epoch = epoch_sender_write(&s);
    epoch_sender_write(&s);
    epoch_sender_completing(&s, epoch);
    assert_true(epoch_sender_barrier_due(&s));
    epoch_sender_barrier(&s);
    epoch_sender_write(&s);
    epoch_sender_completing(&s, epoch); /* of the epoch before: nothing to end */
    assert_false(epoch_sender_barrier_due(&s));
}

static void received_epochs_when_done_out_of_order_then_answered_in_order(void **state)
{
    uint32_t a = epoch_receiver_write(&r), a2 = epoch_receiver_write(&r), b, number, writes;

    epoch_receiver_barrier(&r, 100);
    b = epoch_receiver_write(&r);
    assert_int_not_equal(a, b);
    epoch_receiver_barrier(&r, 101);
    epoch_receiver_done(&r, b);
    assert_int_equal(epoch_receiver_flushable(&r), 0);
    epoch_receiver_done(&r, a);
    assert_int_equal(epoch_receiver_flushable(&r), 0);
    epoch_receiver_done(&r, a2);
    assert_int_equal(epoch_receiver_flushable(&r), 2);
    epoch_receiver_pop(&r, &number, &writes);
    assert_int_equal(number, 100);
    assert_int_equal(writes, 2);
    epoch_receiver_pop(&r, &number, &writes);
    assert_int_equal(number, 101);
    assert_int_equal(writes, 1);
    assert_int_equal(epoch_receiver_flushable(&r), 0);
}

static void received_epochs_when_too_many_then_full(void **state)
{
    uint32_t number, writes;

    for (unsigned i = 0; i < EPOCH_OPEN_MAX - 1; i++) {
        assert_false(epoch_receiver_full(&r));
        epoch_receiver_done(&r, epoch_receiver_write(&r));
        epoch_receiver_barrier(&r, i);
    }
    assert_true(epoch_receiver_full(&r));
    epoch_receiver_pop(&r, &number, &writes);
    assert_false(epoch_receiver_full(&r));
}

/* Both sides against each other, in random order. */
static void both_sides_when_random_then_agree(void **state)
{
    enum { STEPS = 20000 };
    static uint32_t pending[STEPS];
    unsigned count = 0, seed = 3, acked = 0, barriers = 0;

    for (unsigned i = 0; i < STEPS; i++) {
        unsigned what = (unsigned)rand_r(&seed) % 8;

        if (what < 3 && s.count < EPOCH_OPEN_MAX - 1 && !epoch_receiver_full(&r)) {
            if (epoch_sender_barrier_due(&s)) {
                epoch_receiver_barrier(&r, epoch_sender_barrier(&s));
                barriers++;
            }
            epoch_sender_write(&s);
            pending[count++] = epoch_receiver_write(&r);
        } else if (what < 6 && count) {
            unsigned k = (unsigned)rand_r(&seed) % count;

            epoch_receiver_done(&r, pending[k]);
            pending[k] = pending[--count];
        } else if (what == 6) {
            epoch_sender_close(&s);
        } else {
            for (uint32_t n = epoch_receiver_flushable(&r); n; n--) {
                uint32_t number, writes;

                epoch_receiver_pop(&r, &number, &writes);
                assert_int_equal(epoch_sender_ack(&s, number, writes), 0);
                acked++;
            }
        }
    }
    assert_true(acked > 1000 && acked <= barriers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(barrier_when_epoch_empty_then_never_due, setup),
        cmocka_unit_test_setup(empty_epoch_when_forced_then_ended_and_answered, setup),
        cmocka_unit_test_setup(numbers_when_they_wrap_then_go_on, setup),
        cmocka_unit_test_setup(ack_when_number_or_count_is_wrong_then_refused, setup),
        cmocka_unit_test_setup(epoch_when_full_then_barrier_due, setup),
        cmocka_unit_test_setup(completion_when_strict_then_ends_the_epoch, setup),
        cmocka_unit_test_setup(received_epochs_when_done_out_of_order_then_answered_in_order,
                               setup),
        cmocka_unit_test_setup(received_epochs_when_too_many_then_full, setup),
        cmocka_unit_test_setup(both_sides_when_random_then_agree, setup),
    };
    return cmocka_run_group_tests_name("epoch", tests, NULL, NULL);
}
