/* WRITE SAME over a memory store. Not covered: whether space is given back (test_file_store.c). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk_rig.h"

enum { UNMAP = 0x08, NDOB = 0x01, BIG = 8 << 20 };

static struct rig *rig;
static uint8_t *old, *back;
static uint8_t block[4096], zeros[4096];

static void prepare(uint32_t size)
{
    rig = rig_new(size);
    old = malloc(BIG);
    back = malloc(BIG);
    rig_pattern(old, BIG, 1);
    rig_pattern(block, sizeof block, 2);
    rig_poke(rig, 0, old, BIG);
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
    free(old);
    free(back);
    rig_free(rig);
    return 0;
}

static enum scsi_reason same(uint8_t opcode, uint8_t flags, uint64_t lba, uint64_t count,
                             const void *sent)
{
    return rig_blocks(rig, opcode, flags, lba, count, sent, sent ? rig->lu->block_size : 0, 0);
}

/* The medium holds `each` in every block of the range, and what was there around it. */
static void expect(uint64_t lba, uint64_t count, const uint8_t *each)
{
    uint32_t size = rig->lu->block_size;

    rig_peek(rig, 0, back, BIG);
    for (uint64_t i = 0; i < count; i++)
        assert_memory_equal(back + (lba + i) * size, each, size);
    assert_memory_equal(back, old, lba * size);
    assert_memory_equal(back + (lba + count) * size, old + (lba + count) * size,
                        BIG - (lba + count) * size);
}

static void same_when_pattern_then_every_block_has_it(void **state)
{
    static const uint32_t counts[] = {1, 2, 15, 16, 17, 100, 128, 129, 1500};

    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
        rig_poke(rig, 0, old, BIG);
        assert_int_equal(same(i % 2 ? 0x41 : 0x93, 0, 3, counts[i], block), REASON_GOOD);
        assert_int_equal(rig->task.data_wanted, rig->lu->block_size);
        expect(3, counts[i], block);
    }
}

static void same_when_range_is_long_then_written_in_steps(void **state)
{
    assert_int_equal(same(0x93, 0, 5, 5000, block), REASON_GOOD);
    expect(5, 5000, block);
    assert_int_equal(rig->operations[STORE_WRITE], 3);
}

static void same_when_zeros_then_cleared_not_written(void **state)
{
    assert_int_equal(same(0x93, 0, 5, 5000, zeros), REASON_GOOD);
    expect(5, 5000, zeros);
    assert_int_equal(rig->operations[STORE_ZERO], 1);
    assert_int_equal(rig->submitted, 1);
}

static void same_when_unmap_and_zeros_then_unmapped(void **state)
{
    assert_int_equal(same(0x41, UNMAP, 5, 5000, zeros), REASON_GOOD);
    expect(5, 5000, zeros);
    assert_int_equal(rig->operations[STORE_UNMAP], 1);
    assert_int_equal(rig->submitted, 1);
}

static void same_when_unmap_and_pattern_then_written(void **state)
{
    assert_int_equal(same(0x41, UNMAP, 5, 10, block), REASON_GOOD);
    expect(5, 10, block);
    assert_int_equal(rig->operations[STORE_UNMAP], 0);
}

static void same_when_no_data_out_then_zeros_are_meant(void **state)
{
    assert_int_equal(same(0x93, NDOB, 5, 10, NULL), REASON_GOOD);
    assert_int_equal(rig->task.data_wanted, 0);
    expect(5, 10, zeros);
    assert_int_equal(rig->operations[STORE_ZERO], 1);
    rig_poke(rig, 0, old, BIG);
    assert_int_equal(same(0x93, NDOB | UNMAP, 5, 10, NULL), REASON_GOOD);
    expect(5, 10, zeros);
    assert_int_equal(rig->operations[STORE_UNMAP], 1);
}

static void same_when_one_byte_is_not_zero_then_it_is_a_pattern(void **state)
{
    uint8_t nearly[512] = {0};

    nearly[511] = 1;
    assert_int_equal(same(0x93, UNMAP, 5, 10, nearly), REASON_GOOD);
    expect(5, 10, nearly);
}

static void same_when_wce_is_off_then_stable(void **state)
{
    rig->lane->mode.wce = 0;
    assert_int_equal(same(0x93, 0, 5, 1, block), REASON_GOOD);
    assert_int_equal(same(0x93, 0, 5, 1, zeros), REASON_GOOD);
    assert_int_equal(rig->with_fua, 2);
    assert_int_equal(same(0x93, UNMAP, 5, 1, zeros), REASON_GOOD);
    assert_int_equal(rig->operations[STORE_FLUSH], 1);
}

static void same_when_cdb_is_wrong_then_refused(void **state)
{
    uint32_t most = LIMIT_WRITE_SAME / 512;

    assert_int_equal(same(0x93, 0, 0, 0, block), REASON_INVALID_FIELD_IN_CDB); /* WSNZ */
    assert_int_equal(rig->task.field_byte, 10);
    assert_int_equal(same(0x41, 0, 0, 0, block), REASON_INVALID_FIELD_IN_CDB);
    assert_int_equal(rig->task.field_byte, 7);
    assert_int_equal(same(0x93, 0, 0, most + 1, block), REASON_INVALID_FIELD_IN_CDB);
    assert_int_equal(same(0x93, 0, 0, 0xffffffff, block), REASON_INVALID_FIELD_IN_CDB);
    assert_int_equal(same(0x93, 0x10 | UNMAP, 0, 1, zeros),
                     REASON_INVALID_FIELD_IN_CDB); /* ANCHOR */
    assert_true(rig->stray);
    assert_int_equal(same(0x41, NDOB, 0, 1, block), REASON_INVALID_FIELD_IN_CDB);
    assert_true(rig->stray);
    assert_int_equal(same(0x93, 0, 0, 1, NULL), REASON_INVALID_FIELD_IN_CDB); /* no data */
    assert_int_equal(rig_blocks(rig, 0x93, 0, 0, 1, block, 1024, 0), REASON_INVALID_FIELD_IN_CDB);
    assert_int_equal(same(0x93, 0, rig->lu->blocks - 1, 2, block), REASON_LBA_OUT_OF_RANGE);
    assert_int_equal(rig->submitted, 0);
    assert_int_equal(same(0x93, 0, 0, most, zeros), REASON_GOOD);
}

static void same_when_unit_is_not_thin_then_unmap_is_refused(void **state)
{
    rig->lu->config.thin = false;
    assert_int_equal(same(0x93, UNMAP, 0, 1, zeros), REASON_INVALID_FIELD_IN_CDB);
    assert_int_equal(rig->task.field_byte, 1);
    assert_int_equal(rig->task.field_bit, 3);
    assert_int_equal(same(0x93, 0, 0, 1, zeros), REASON_GOOD);
}

static void same_when_aborted_between_steps_then_stops(void **state)
{
    rig->abort_at = 1;
    assert_int_equal(same(0x93, 0, 0, 8000, block), REASON_TASK_ABORTED);
    assert_int_equal(rig->operations[STORE_WRITE], 2);
    rig_forget(rig);
    rig->fail_at = 1;
    assert_int_equal(same(0x93, 0, 0, 8000, block), REASON_MEDIUM_WRITE_ERROR);
}

/* Others may have written to what the first step has changed. */
static void same_when_a_later_step_is_not_begun_then_not_executed_anew(void **state)
{
    rig->fail_error = -ERESTART;
    rig->fail_at = 0;
    assert_int_equal(same(0x93, 0, 0, 8000, block), REASON_NOT_BEGUN);
    rig_forget(rig);
    rig->fail_error = -ERESTART;
    rig->fail_at = 1;
    assert_int_equal(same(0x93, 0, 0, 8000, block), REASON_NOT_READY_TRANSITION);
    rig_forget(rig);
    rig->fail_error = -ERESTART;
    rig->fail_at = 0;
    assert_int_equal(same(0x93, 0, 0, 8000, zeros), REASON_NOT_BEGUN);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(same_when_pattern_then_every_block_has_it),
        {"same_when_blocks_are_4096_bytes_then_every_block_has_it",
         same_when_pattern_then_every_block_has_it, setup_4096, teardown, NULL},
        CASE(same_when_range_is_long_then_written_in_steps),
        CASE(same_when_zeros_then_cleared_not_written),
        CASE(same_when_unmap_and_zeros_then_unmapped),
        CASE(same_when_unmap_and_pattern_then_written),
        CASE(same_when_no_data_out_then_zeros_are_meant),
        CASE(same_when_one_byte_is_not_zero_then_it_is_a_pattern),
        CASE(same_when_wce_is_off_then_stable),
        CASE(same_when_cdb_is_wrong_then_refused),
        CASE(same_when_unit_is_not_thin_then_unmap_is_refused),
        CASE(same_when_aborted_between_steps_then_stops),
        CASE(same_when_a_later_step_is_not_begun_then_not_executed_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
