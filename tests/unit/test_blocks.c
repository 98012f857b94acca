/* The ledger of acknowledged writes: what a block may hold after which story. Not covered: a random
 * comparison with another ledger. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/history/blocks.h"

static int setup(void **context)
{
    static struct blocks blocks;

    blocks_init(&blocks, 4);
    *context = &blocks;
    return 0;
}

static int teardown(void **context)
{
    blocks_free(*context);
    return 0;
}

static void written(struct blocks *b, uint64_t value, bool fua)
{
    blocks_issue(b, 1, value, fua);
    blocks_acknowledge(b, 1, value);
}

/* Exactly the values of this list, which ends with 99. */
static void holds(const struct blocks *b, const uint64_t *values)
{
    for (uint64_t value = 0; value < 10; value++) {
        bool expected = false;
        for (const uint64_t *v = values; *v != 99; v++)
            expected = expected || *v == value;
        if (blocks_may_hold(b, 1, value) != expected)
            fail_msg("value %llu: expected %d", (unsigned long long)value, expected);
    }
}

#define HOLDS(b, ...) holds(b, (const uint64_t[]){__VA_ARGS__, 99})

static void write_when_acknowledged_then_replaces(void **context)
{
    struct blocks *b = *context;

    HOLDS(b, 0);
    blocks_issue(b, 1, 1, false);
    HOLDS(b, 0, 1);
    blocks_acknowledge(b, 1, 1);
    HOLDS(b, 1);
    written(b, 2, false);
    HOLDS(b, 2);
    assert_true(blocks_may_hold(b, 0, 0));
}

static void writes_when_they_overlap_then_either(void **context)
{
    struct blocks *b = *context;

    blocks_issue(b, 1, 1, false);
    blocks_issue(b, 1, 2, false);
    blocks_acknowledge(b, 1, 2);
    HOLDS(b, 1, 2); /* not 0 */
    blocks_acknowledge(b, 1, 1);
    HOLDS(b, 1, 2);
    written(b, 3, false);
    HOLDS(b, 3);
}

static void write_when_refused_then_never(void **context)
{
    struct blocks *b = *context;

    written(b, 1, false);
    blocks_issue(b, 1, 2, false);
    blocks_refused(b, 1, 2);
    HOLDS(b, 1);
}

static void write_when_never_answered_then_possible_until_settled(void **context)
{
    struct blocks *b = *context;

    blocks_issue(b, 1, 1, false);
    written(b, 2, false);
    HOLDS(b, 1, 2); /* the lost one may have come late */
    blocks_settle(b, 1, 2);
    HOLDS(b, 2);
}

static void power_cut_when_not_durable_then_older_may_return(void **context)
{
    struct blocks *b = *context;

    written(b, 1, true);
    written(b, 2, false);
    written(b, 3, false);
    HOLDS(b, 3);
    assert_false(blocks_may_be_torn(b, 1));
    blocks_power_cut(b);
    HOLDS(b, 1, 2, 3); /* but not 0 */
    assert_true(blocks_may_be_torn(b, 1));
    blocks_settle(b, 1, 2);
    assert_false(blocks_may_be_torn(b, 1));
    HOLDS(b, 2);
    written(b, 4, false);
    HOLDS(b, 4);
    blocks_power_cut(b);
    assert_true(blocks_may_hold(b, 1, 2));
    assert_true(blocks_may_hold(b, 1, 4));
    assert_false(blocks_may_hold(b, 1, 0));
}

static void power_cut_when_synchronized_then_kept(void **context)
{
    struct blocks *b = *context;
    uint64_t mark;

    written(b, 1, false);
    mark = blocks_mark(b);
    blocks_issue(b, 1, 2, false);
    blocks_acknowledge(b, 1, 2); /* beside the SYNCHRONIZE CACHE */
    blocks_synchronized(b, mark);
    blocks_power_cut(b);
    HOLDS(b, 1, 2);
    blocks_settle(b, 1, 2);
    mark = blocks_mark(b);
    blocks_synchronized(b, mark);
    blocks_power_cut(b);
    HOLDS(b, 2);
}

static void power_cut_when_the_answer_comes_behind_it_then_older_may_return(void **context)
{
    struct blocks *b = *context;

    written(b, 1, true);
    blocks_issue(b, 1, 2, false);
    blocks_power_cut(b);
    blocks_acknowledge(b, 1, 2);
    HOLDS(b, 1, 2);
    blocks_synchronized(b, blocks_mark(b));
    HOLDS(b, 1, 2);
    written(b, 3, false);
    HOLDS(b, 3);
}

static void power_cut_when_fua_then_kept(void **context)
{
    struct blocks *b = *context;

    written(b, 1, false);
    written(b, 2, true);
    blocks_power_cut(b);
    HOLDS(b, 2);
}

static void synchronize_when_answered_after_power_cut_then_nothing(void **context)
{
    struct blocks *b = *context;
    uint64_t mark;

    written(b, 1, false);
    blocks_power_cut(b);
    mark = blocks_mark(b); /* of what is there now, which nobody knows */
    blocks_synchronized(b, mark);
    HOLDS(b, 0, 1);
}

static void stable_when_flushed_then_neither_older_nor_unknown(void **context)
{
    struct blocks *b = *context;
    uint64_t mark;

    written(b, 1, false);
    written(b, 2, false);
    assert_true(blocks_may_be_stable(b, 1, 0)); /* nothing was flushed yet */
    assert_true(blocks_may_be_stable(b, 1, 1));
    assert_true(blocks_may_be_stable(b, 1, 2));
    mark = blocks_mark(b);
    written(b, 3, false);
    blocks_synchronized(b, mark);
    assert_false(blocks_may_be_stable(b, 1, 0));
    assert_false(blocks_may_be_stable(b, 1, 1));
    assert_true(blocks_may_be_stable(b, 1, 2));
    assert_true(blocks_may_be_stable(b, 1, 3));
    written(b, 4, true);
    assert_false(blocks_may_be_stable(b, 1, 3));
    assert_true(blocks_may_be_stable(b, 1, 4));
    assert_false(blocks_may_be_stable(b, 1, 5));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(write_when_acknowledged_then_replaces),
        TEST(writes_when_they_overlap_then_either),
        TEST(write_when_refused_then_never),
        TEST(write_when_never_answered_then_possible_until_settled),
        TEST(power_cut_when_not_durable_then_older_may_return),
        TEST(power_cut_when_synchronized_then_kept),
        TEST(power_cut_when_the_answer_comes_behind_it_then_older_may_return),
        TEST(power_cut_when_fua_then_kept),
        TEST(stable_when_flushed_then_neither_older_nor_unknown),
        TEST(synchronize_when_answered_after_power_cut_then_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
