/* VERIFY and WRITE AND VERIFY over a memory store. Not covered: media that really lose data. */
#include <stdlib.h>
#include <string.h>

#include "disk_rig.h"
#include "target/base/payload.h"

enum { BLOCK = 512, COUNT = 1500, LENGTH = COUNT * BLOCK }; /* some chunks, the last one shorter */

static struct rig *rig;
static uint8_t *data;

static int setup(void **state)
{
    rig = rig_new(BLOCK);
    data = malloc(LENGTH);
    rig_pattern(data, LENGTH, 1);
    rig_poke(rig, 10 * BLOCK, data, LENGTH);
    return 0;
}

static int teardown(void **state)
{
    free(data);
    rig_free(rig);
    return 0;
}

static const uint8_t verifies[] = {0x2f, 0xaf, 0x8f}, writes[] = {0x2e, 0xae, 0x8e};

static void verify_when_no_bytchk_then_medium_is_read_and_no_data_moves(void **state)
{
    for (unsigned i = 0; i < 3; i++) {
        rig_forget(rig);
        assert_int_equal(rig_blocks(rig, verifies[i], 0, 10, COUNT, "", 0, 0), REASON_GOOD);
        assert_int_equal(rig->task.data_wanted, 0);
        assert_int_equal(rig->operations[STORE_READ], 3);
        assert_int_equal(rig->operations[STORE_FLUSH], 1);
    }
}

static void verify_when_each_block_matches_then_good(void **state)
{
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(rig_blocks(rig, verifies[i], 0x02, 10, COUNT, data, LENGTH, 0),
                         REASON_GOOD);
        assert_int_equal(rig->task.data_wanted, LENGTH);
    }
}

static void verify_when_any_byte_differs_then_miscompare(void **state)
{
    static const size_t places[] = {0, 511, 512, 65535, 65536, 262143, 262144, LENGTH - 1};

    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        data[places[i]] ^= 0x80;
        assert_int_equal(rig_blocks(rig, 0x8f, 0x02, 10, COUNT, data, LENGTH, 0),
                         REASON_MISCOMPARE);
        data[places[i]] ^= 0x80;
    }
}

static void verify_when_one_block_sent_then_all_are_compared_with_it(void **state)
{
    uint8_t *many = malloc(LENGTH);

    for (unsigned i = 0; i < COUNT; i++)
        memcpy(many + i * BLOCK, data, BLOCK);
    rig_poke(rig, 10 * BLOCK, many, LENGTH);
    assert_int_equal(rig_blocks(rig, 0x2f, 0x06, 10, COUNT, data, BLOCK, 0), REASON_GOOD);
    assert_int_equal(rig->task.data_wanted, BLOCK);
    many[0] = (uint8_t)~many[LENGTH - 1];
    rig_poke(rig, 10 * BLOCK + LENGTH - 1, many, 1);
    assert_int_equal(rig_blocks(rig, 0x2f, 0x06, 10, COUNT, data, BLOCK, 0), REASON_MISCOMPARE);
    free(many);
}

static void verify_when_one_block_is_not_sent_then_refused(void **state)
{
    assert_int_equal(rig_blocks(rig, 0x2f, 0x06, 10, 2, data, BLOCK - 1, 0),
                     REASON_INVALID_FIELD_IN_CDB);
}

static void verify_when_bytchk_is_reserved_then_field_is_named(void **state)
{
    assert_int_equal(rig_blocks(rig, 0x2f, 0x04, 10, 1, data, BLOCK, 0),
                     REASON_INVALID_FIELD_IN_CDB);
    assert_false(rig->stray);
    assert_int_equal(rig->task.field_byte, 1);
    assert_int_equal(rig->task.field_bit, 2);
}

static void verify_when_longer_than_a_transfer_then_refused(void **state)
{
    uint32_t most = LIMIT_TRANSFER / BLOCK;

    assert_int_equal(rig_blocks(rig, 0x8f, 0, 0, most, "", 0, 0), REASON_GOOD);
    assert_int_equal(rig_blocks(rig, 0x8f, 0, 0, most + 1, "", 0, 0), REASON_INVALID_FIELD_IN_CDB);
    assert_int_equal(rig->task.field_byte, 10);
}

static void verify_when_nothing_to_do_then_good(void **state)
{
    for (uint8_t bytchk = 0; bytchk < 8; bytchk += 2)
        if (bytchk != 4)
            assert_int_equal(rig_blocks(rig, 0x8f, bytchk, 0, 0, "", 0, 0), REASON_GOOD);
    assert_int_equal(rig->submitted, 0);
}

static void verify_when_less_is_sent_then_only_that_is_compared(void **state)
{
    data[2 * BLOCK] ^= 1;
    assert_int_equal(rig_blocks(rig, 0x8f, 0x02, 10, 4, data, 2 * BLOCK + 30, 0), REASON_GOOD);
    assert_int_equal(rig_blocks(rig, 0x8f, 0x02, 10, 4, data, 3 * BLOCK, 0), REASON_MISCOMPARE);
}

static void verify_when_medium_fails_then_read_error(void **state)
{
    rig->fail_at = 2; /* flush, read, read */
    assert_int_equal(rig_blocks(rig, 0x8f, 0, 10, COUNT, "", 0, 0), REASON_MEDIUM_READ_ERROR);
}

static void verify_when_aborted_between_chunks_then_stops(void **state)
{
    rig->abort_at = 1;
    assert_int_equal(rig_blocks(rig, 0x8f, 0, 10, COUNT, "", 0, 0), REASON_TASK_ABORTED);
    assert_int_equal(rig->operations[STORE_READ], 1);
}

static void write_and_verify_when_done_then_written_stably_and_read_back(void **state)
{
    uint8_t *back = malloc(LENGTH);

    for (unsigned i = 0; i < 6; i++) {
        rig_forget(rig);
        rig_pattern(data, LENGTH, i + 7);
        assert_int_equal(
            rig_blocks(rig, writes[i % 3], i < 3 ? 0 : 0x02, 99, COUNT, data, LENGTH, 0),
            REASON_GOOD);
        assert_int_equal(rig->with_fua, 1);
        assert_int_equal(rig->operations[STORE_WRITE], 1);
        assert_int_equal(rig->operations[STORE_READ], 3);
        rig_peek(rig, 99 * BLOCK, back, LENGTH);
        assert_memory_equal(back, data, LENGTH);
    }
    free(back);
}

static void write_and_verify_when_write_fails_then_write_error(void **state)
{
    rig->fail_at = 0;
    assert_int_equal(rig_blocks(rig, 0x2e, 0, 10, 1, data, BLOCK, 0), REASON_MEDIUM_WRITE_ERROR);
    assert_int_equal(rig->submitted, 1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(verify_when_no_bytchk_then_medium_is_read_and_no_data_moves),
        CASE(verify_when_each_block_matches_then_good),
        CASE(verify_when_any_byte_differs_then_miscompare),
        CASE(verify_when_one_block_sent_then_all_are_compared_with_it),
        CASE(verify_when_one_block_is_not_sent_then_refused),
        CASE(verify_when_bytchk_is_reserved_then_field_is_named),
        CASE(verify_when_longer_than_a_transfer_then_refused),
        CASE(verify_when_nothing_to_do_then_good),
        CASE(verify_when_less_is_sent_then_only_that_is_compared),
        CASE(verify_when_medium_fails_then_read_error),
        CASE(verify_when_aborted_between_chunks_then_stops),
        CASE(write_and_verify_when_done_then_written_stably_and_read_back),
        CASE(write_and_verify_when_write_fails_then_write_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
