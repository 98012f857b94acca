/* COMPARE AND WRITE and ORWRITE over a memory store. Not covered: the exclusive range itself
 * (lanes). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk_rig.h"

enum { MOST = LIMIT_CAW_BLOCKS };

static struct rig *rig;
static uint8_t *data, *back; /* compare data, then write data */

static void prepare(uint32_t block)
{
    rig = rig_new(block);
    data = malloc(2 * MOST * (size_t)block + block);
    back = malloc(4 << 20);
    rig_pattern(data, 2 * MOST * (size_t)block, 1);
}

static int setup(void **state)
{
    prepare(512);
    return 0;
}

static int setup_4096(void **state)
{
    prepare(4096);
    return 0;
}

static int teardown(void **state)
{
    free(data);
    free(back);
    rig_free(rig);
    return 0;
}

static enum scsi_reason caw(uint32_t blocks, size_t sent)
{
    return rig_blocks(rig, 0x89, 0, 20, blocks, data, sent, 0);
}

static void caw_when_medium_equals_then_second_half_is_written(void **state)
{
    static const uint32_t counts[] = {1, 2, 7, 8, 9, 64, 127, MOST};
    uint32_t block = rig->lu->block_size;

    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
        size_t length = (size_t)counts[i] * block;

        rig_forget(rig);
        rig_poke(rig, 20 * (uint64_t)block, data, length);
        assert_int_equal(caw(counts[i], 2 * length), REASON_GOOD);
        assert_int_equal(rig->task.data_wanted, 2 * length);
        assert_int_equal(rig->exclusive_begun, 1);
        assert_int_equal(rig->submitted, 2);
        rig_peek(rig, 20 * (uint64_t)block, back, length);
        assert_memory_equal(back, data + length, length);
    }
}

static void caw_when_medium_differs_then_offset_is_told_and_nothing_written(void **state)
{
    static const size_t places[] = {0, 1, 511, 512, 8191, 8192, 65535, MOST * 512 - 1};
    size_t length = MOST * 512;

    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        uint8_t other = data[places[i]] ^ 0x10;

        rig_forget(rig);
        rig_poke(rig, 20 * 512, data, length);
        rig_poke(rig, 20 * 512 + places[i], &other, 1);
        assert_int_equal(caw(MOST, 2 * length), REASON_MISCOMPARE);
        assert_true(rig->task.information_valid);
        assert_int_equal(rig->task.information, places[i]);
        assert_int_equal(rig->operations[STORE_WRITE], 0);
        rig_peek(rig, 20 * 512, back, length);
        assert_memory_equal(back, data, places[i]);
    }
}

static void caw_when_too_many_blocks_then_count_is_named(void **state)
{
    assert_int_equal(caw(MOST + 1, 2 * MOST * 512), REASON_INVALID_FIELD_IN_CDB);
    assert_int_equal(rig->task.field_byte, 13);
    assert_int_equal(rig->submitted, 0);
}

static void caw_when_no_blocks_then_good_and_nothing_happens(void **state)
{
    assert_int_equal(caw(0, 0), REASON_GOOD);
    assert_int_equal(rig->submitted, 0);
    assert_int_equal(rig->exclusive_begun, 0);
}

static void caw_when_data_is_not_both_halves_then_refused(void **state)
{
    assert_int_equal(caw(2, 4 * 512 - 1), REASON_INVALID_FIELD_IN_CDB);
    assert_int_equal(caw(1, 4 * 512), REASON_INVALID_FIELD_IN_CDB);
    assert_int_equal(rig->submitted, 0);
}

static void caw_when_fua_then_write_is_stable(void **state)
{
    rig_poke(rig, 20 * 512, data, 512);
    assert_int_equal(rig_blocks(rig, 0x89, 0x08, 20, 1, data, 1024, 0), REASON_GOOD);
    assert_int_equal(rig->with_fua, 1);
}

static void caw_when_aborted_before_the_write_then_medium_is_untouched(void **state)
{
    rig_poke(rig, 20 * 512, data, 512);
    rig->abort_before_grant = true;
    assert_int_equal(caw(1, 1024), REASON_TASK_ABORTED);
    assert_int_equal(rig->submitted, 0);
    rig_forget(rig);
    rig->abort_at = 0; /* during the read */
    assert_int_equal(caw(1, 1024), REASON_TASK_ABORTED);
    assert_int_equal(rig->operations[STORE_WRITE], 0);
}

static void caw_when_aborted_during_the_write_then_write_is_over_before_the_end(void **state)
{
    rig_poke(rig, 20 * 512, data, 512);
    rig->abort_at = 1;
    assert_int_equal(caw(1, 1024), REASON_TASK_ABORTED);
    rig_peek(rig, 20 * 512, back, 512);
    assert_memory_equal(back, data + 512, 512);
}

static void caw_when_store_fails_then_range_is_given_back(void **state)
{
    rig_poke(rig, 20 * 512, data, 512);
    rig->fail_at = 0;
    assert_int_equal(caw(1, 1024), REASON_MEDIUM_READ_ERROR);
    rig->fail_at = 2;
    assert_int_equal(caw(1, 1024), REASON_MEDIUM_WRITE_ERROR);
    assert_int_equal(rig->exclusive_begun, 2); /* the rig checks that both ended */
}

/* Nothing was written: it compares anew when it is executed again. */
static void caw_when_its_write_is_not_begun_then_said_so(void **state)
{
    rig_poke(rig, 20 * 512, data, 512);
    rig->fail_at = 1;
    rig->fail_error = -ERESTART;
    assert_int_equal(caw(1, 1024), REASON_NOT_BEGUN);
    rig_peek(rig, 20 * 512, back, 512);
    assert_memory_equal(back, data, 512);
    assert_int_equal(rig->exclusive_begun, 1);
}

/* What waits for its peer may be given up when it is on the disk here: sent again, it would miscompare with itself. */
static void caw_when_its_write_may_be_done_then_not_told_to_try_again(void **state)
{
    rig_poke(rig, 20 * 512, data, 512);
    rig->fail_error = -ESHUTDOWN;
    rig->fail_at = 1;
    assert_int_equal(caw(1, 1024), REASON_ABORTED_COMMAND);
    rig_forget(rig);
    rig->fail_error = -ESHUTDOWN;
    rig->fail_at = 0; /* the read */
    assert_int_equal(caw(1, 1024), REASON_NOT_READY_TRANSITION);
}

static void orwrite_when_done_then_bits_are_added(void **state)
{
    static const uint32_t counts[] = {1, 17, 129, 513, 1500, 8192};
    uint8_t *sent = malloc(4 << 20), *old = malloc(4 << 20);

    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
        size_t length = (size_t)counts[i] * 512;

        rig_forget(rig);
        rig_pattern(sent, length, i);
        rig_pattern(old, length, i + 50);
        rig_poke(rig, 33 * 512, old, length);
        assert_int_equal(rig_blocks(rig, 0x8b, 0, 33, counts[i], sent, length, 0), REASON_GOOD);
        assert_int_equal(rig->exclusive_begun, 1);
        assert_int_equal(rig->operations[STORE_WRITE], 1);
        rig_peek(rig, 33 * 512, back, length);
        for (size_t k = 0; k < length; k++)
            old[k] |= sent[k];
        assert_memory_equal(back, old, length);
    }
    free(sent);
    free(old);
}

static void orwrite_when_aborted_while_reading_then_nothing_written(void **state)
{
    rig->abort_at = 0;
    assert_int_equal(rig_blocks(rig, 0x8b, 0, 33, 1, data, 512, 0), REASON_TASK_ABORTED);
    assert_int_equal(rig->operations[STORE_WRITE], 0);
    rig_forget(rig);
    rig->fail_at = 1;
    assert_int_equal(rig_blocks(rig, 0x8b, 0, 33, 1, data, 512, 0), REASON_MEDIUM_WRITE_ERROR);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(caw_when_medium_equals_then_second_half_is_written),
        {"caw_when_blocks_are_4096_bytes_then_second_half_is_written",
         caw_when_medium_equals_then_second_half_is_written, setup_4096, teardown, NULL},
        CASE(caw_when_medium_differs_then_offset_is_told_and_nothing_written),
        CASE(caw_when_too_many_blocks_then_count_is_named),
        CASE(caw_when_no_blocks_then_good_and_nothing_happens),
        CASE(caw_when_data_is_not_both_halves_then_refused),
        CASE(caw_when_fua_then_write_is_stable),
        CASE(caw_when_aborted_before_the_write_then_medium_is_untouched),
        CASE(caw_when_aborted_during_the_write_then_write_is_over_before_the_end),
        CASE(caw_when_store_fails_then_range_is_given_back),
        CASE(caw_when_its_write_is_not_begun_then_said_so),
        CASE(caw_when_its_write_may_be_done_then_not_told_to_try_again),
        CASE(orwrite_when_done_then_bits_are_added),
        CASE(orwrite_when_aborted_while_reading_then_nothing_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
