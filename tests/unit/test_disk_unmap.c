/* UNMAP over a memory store. Not covered: malformed lists (test_unmap_list.c), lanes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk_rig.h"
#include "target/base/bytes.h"

enum { BLOCK = 512, BIG = 4 << 20 };

static struct rig *rig;
static uint8_t *old, *back;
static uint8_t list[8 + 300 * 16];
static uint16_t list_length;

static int setup(void **state)
{
    rig = rig_new(BLOCK);
    old = malloc(BIG);
    back = malloc(BIG);
    rig_pattern(old, BIG, 1);
    rig_poke(rig, 0, old, BIG);
    memset(list, 0, sizeof list);
    list_length = 8;
    return 0;
}

static int teardown(void **state)
{
    free(old);
    free(back);
    rig_free(rig);
    return 0;
}

static void add(uint64_t lba, uint32_t blocks)
{
    put_be64(list + list_length, lba);
    put_be32(list + list_length + 8, blocks);
    list_length += 16;
    put_be16(list, (uint16_t)(list_length - 2));
    put_be16(list + 2, (uint16_t)(list_length - 8));
}

static enum scsi_reason unmap(uint16_t length, size_t sent)
{
    uint8_t cdb[10] = {0x42};

    put_be16(cdb + 7, length);
    return rig_run(rig, cdb, list, sent, 0);
}

static void unmap_when_ranges_given_then_they_read_as_zeros(void **state)
{
    add(3, 10);
    add(100, 0);
    add(1000, 2048);
    add(5000, 1);
    assert_int_equal(unmap(list_length, list_length), REASON_GOOD);
    memset(old + 3 * BLOCK, 0, 10 * BLOCK);
    memset(old + 1000 * BLOCK, 0, 2048 * BLOCK);
    memset(old + 5000 * BLOCK, 0, BLOCK);
    rig_peek(rig, 0, back, BIG);
    assert_memory_equal(back, old, BIG);
    assert_int_equal(rig->operations[STORE_UNMAP], 3);
    assert_int_equal(rig->exclusive_begun, 3);
}

static void unmap_when_list_is_empty_then_good(void **state)
{
    assert_int_equal(unmap(0, 0), REASON_GOOD);
    assert_int_equal(unmap(8, 8), REASON_GOOD);
    add(5, 0);
    assert_int_equal(unmap(list_length, list_length), REASON_GOOD);
    assert_int_equal(rig->submitted, 0);
}

static void unmap_when_length_is_below_the_header_then_length_error(void **state)
{
    assert_int_equal(unmap(7, 7), REASON_PARAMETER_LIST_LENGTH);
}

static void unmap_when_initiator_sends_less_then_whole_descriptors_count(void **state)
{
    add(3, 1);
    add(10, 1);
    assert_int_equal(unmap(list_length, list_length - 1), REASON_GOOD);
    assert_int_equal(rig->operations[STORE_UNMAP], 1);
    assert_int_equal(unmap(list_length, 5), REASON_PARAMETER_LIST_LENGTH);
}

static void unmap_when_one_range_is_wrong_then_nothing_is_unmapped(void **state)
{
    add(3, 1);
    add(rig->lu->blocks, 1);
    assert_int_equal(unmap(list_length, list_length), REASON_LBA_OUT_OF_RANGE);
    assert_int_equal(rig->submitted, 0);
}

static void unmap_when_most_descriptors_then_good_and_one_more_refused(void **state)
{
    for (unsigned i = 0; i < LIMIT_UNMAP_DESCRIPTORS; i++)
        add(i * 2, 1);
    assert_int_equal(unmap(list_length, list_length), REASON_GOOD);
    assert_int_equal(rig->operations[STORE_UNMAP], LIMIT_UNMAP_DESCRIPTORS);
    add(1, 1);
    assert_int_equal(unmap(list_length, list_length), REASON_INVALID_FIELD_IN_PARAMETERS);
    assert_int_equal(rig->task.field_byte, 2);
    assert_false(rig->task.field_is_cdb);
}

static void unmap_when_unit_is_not_thin_then_no_such_command(void **state)
{
    rig->lu->config.thin = false;
    add(3, 1);
    assert_int_equal(unmap(list_length, list_length), REASON_INVALID_OPCODE);
    assert_int_equal(rig->submitted, 0);
}

static void unmap_when_wce_is_off_then_flushed_once_at_the_end(void **state)
{
    rig->lane->mode.wce = 0;
    add(3, 1);
    add(10, 1);
    assert_int_equal(unmap(list_length, list_length), REASON_GOOD);
    assert_int_equal(rig->operations[STORE_FLUSH], 1);
    assert_int_equal(rig->submitted, 3);
}

static void unmap_when_aborted_then_rest_is_left(void **state)
{
    add(3, 1);
    add(10, 1);
    rig->abort_at = 0;
    assert_int_equal(unmap(list_length, list_length), REASON_TASK_ABORTED);
    assert_int_equal(rig->operations[STORE_UNMAP], 1);
    rig_forget(rig);
    rig->abort_before_grant = true;
    assert_int_equal(unmap(list_length, list_length), REASON_TASK_ABORTED);
    assert_int_equal(rig->submitted, 0);
}

static void unmap_when_store_fails_then_write_error(void **state)
{
    add(3, 1);
    add(10, 1);
    rig->fail_at = 1;
    assert_int_equal(unmap(list_length, list_length), REASON_MEDIUM_WRITE_ERROR);
}

/* Others may have written to the range that is unmapped already. */
static void unmap_when_a_later_range_is_not_begun_then_not_executed_anew(void **state)
{
    add(100, 0); /* nothing to do */
    add(3, 1);
    add(10, 1);
    rig->fail_error = -ERESTART;
    rig->fail_at = 0;
    assert_int_equal(unmap(list_length, list_length), REASON_NOT_BEGUN);
    rig_forget(rig);
    rig->fail_error = -ERESTART;
    rig->fail_at = 1;
    assert_int_equal(unmap(list_length, list_length), REASON_NOT_READY_TRANSITION);
}

static void unmap_when_anchor_then_refused(void **state)
{
    uint8_t cdb[10] = {0x42, 0x01};

    assert_int_equal(rig_run(rig, cdb, list, 0, 0), REASON_INVALID_FIELD_IN_CDB);
    assert_true(rig->stray);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(unmap_when_ranges_given_then_they_read_as_zeros),
        CASE(unmap_when_list_is_empty_then_good),
        CASE(unmap_when_length_is_below_the_header_then_length_error),
        CASE(unmap_when_initiator_sends_less_then_whole_descriptors_count),
        CASE(unmap_when_one_range_is_wrong_then_nothing_is_unmapped),
        CASE(unmap_when_most_descriptors_then_good_and_one_more_refused),
        CASE(unmap_when_unit_is_not_thin_then_no_such_command),
        CASE(unmap_when_wce_is_off_then_flushed_once_at_the_end),
        CASE(unmap_when_aborted_then_rest_is_left),
        CASE(unmap_when_store_fails_then_write_error),
        CASE(unmap_when_a_later_range_is_not_begun_then_not_executed_anew),
        CASE(unmap_when_anchor_then_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
