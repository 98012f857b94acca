/* The UNMAP parameter list parser. Not covered: what is done with the ranges (test_disk_unmap.c);
 * random bytes (fuzz_unmap_list.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "target/base/bytes.h"
#include "target/device/unmap_list.h"

static const struct unmap_limits limits = {.capacity = 1000, .blocks = 500, .descriptors = 4};
static uint8_t list[8 + 8 * 16];

static void start(uint16_t descriptor_bytes)
{
    memset(list, 0, sizeof list);
    put_be16(list, (uint16_t)(descriptor_bytes + 6));
    put_be16(list + 2, descriptor_bytes);
}

static void descriptor(unsigned i, uint64_t lba, uint32_t blocks)
{
    put_be64(list + 8 + i * 16, lba);
    put_be32(list + 8 + i * 16 + 8, blocks);
}

static enum scsi_reason check(size_t length, uint16_t *field)
{
    *field = 0xffff;
    return unmap_list_check(list, length, &limits, field);
}

static void list_when_empty_then_good(void **state)
{
    uint16_t field;

    assert_int_equal(unmap_list_check(NULL, 0, &limits, &field), REASON_GOOD);
    assert_int_equal(unmap_list_count(NULL, 0), 0);
    start(0);
    assert_int_equal(check(8, &field), REASON_GOOD);
    assert_int_equal(unmap_list_count(list, 8), 0);
}

static void list_when_shorter_than_its_header_then_length_error(void **state)
{
    uint16_t field;

    start(16);
    for (size_t length = 1; length < 8; length++) {
        assert_int_equal(check(length, &field), REASON_PARAMETER_LIST_LENGTH);
        assert_int_equal(unmap_list_count(list, length), 0);
    }
}

static void list_when_well_formed_then_ranges_are_read(void **state)
{
    struct unmap_range range;
    uint16_t field;

    start(32);
    descriptor(0, 10, 20);
    descriptor(1, 999, 1);
    assert_int_equal(check(40, &field), REASON_GOOD);
    assert_int_equal(unmap_list_count(list, 40), 2);
    range = unmap_list_range(list, 0);
    assert_int_equal(range.lba, 10);
    assert_int_equal(range.blocks, 20);
    range = unmap_list_range(list, 1);
    assert_int_equal(range.lba, 999);
    assert_int_equal(range.blocks, 1);
}

static void list_when_descriptor_is_cut_off_then_ignored(void **state)
{
    uint16_t field;

    start(32);
    descriptor(0, 0, 1);
    descriptor(1, 5000, 1); /* would be out of range */
    assert_int_equal(check(39, &field), REASON_GOOD);
    assert_int_equal(unmap_list_count(list, 39), 1);
    put_be16(list + 2, 31);
    assert_int_equal(check(40, &field), REASON_GOOD);
    assert_int_equal(unmap_list_count(list, 40), 1);
    put_be16(list + 2, 0xffff);
    assert_int_equal(check(24, &field), REASON_GOOD);
    assert_int_equal(unmap_list_count(list, 24), 1);
}

static void list_when_beyond_the_capacity_then_out_of_range(void **state)
{
    static const struct {
        uint64_t lba;
        uint32_t blocks;
        enum scsi_reason reason;
    } cases[] = {
        {1000, 0, REASON_GOOD},
        {1001, 0, REASON_LBA_OUT_OF_RANGE},
        {1000, 1, REASON_LBA_OUT_OF_RANGE},
        {999, 2, REASON_LBA_OUT_OF_RANGE},
        {UINT64_MAX, 1, REASON_LBA_OUT_OF_RANGE},
        {UINT64_MAX - 10, 0xffffffff, REASON_LBA_OUT_OF_RANGE},
        {0, 0xffffffff, REASON_LBA_OUT_OF_RANGE},
    };
    uint16_t field;

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        start(16);
        descriptor(0, cases[i].lba, cases[i].blocks);
        assert_int_equal(check(24, &field), cases[i].reason);
    }
}

static void list_when_too_many_descriptors_then_field_is_named(void **state)
{
    uint16_t field;

    start(5 * 16);
    assert_int_equal(check(8 + 5 * 16, &field), REASON_INVALID_FIELD_IN_PARAMETERS);
    assert_int_equal(field, 2);
    assert_int_equal(check(8 + 4 * 16, &field), REASON_GOOD);
}

static void list_when_too_many_blocks_then_descriptor_is_named(void **state)
{
    uint16_t field;

    start(32);
    descriptor(0, 0, 300);
    descriptor(1, 300, 200);
    assert_int_equal(check(40, &field), REASON_GOOD);
    descriptor(1, 300, 201);
    assert_int_equal(check(40, &field), REASON_INVALID_FIELD_IN_PARAMETERS);
    assert_int_equal(field, 8 + 16 + 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_when_empty_then_good),
        cmocka_unit_test(list_when_shorter_than_its_header_then_length_error),
        cmocka_unit_test(list_when_well_formed_then_ranges_are_read),
        cmocka_unit_test(list_when_descriptor_is_cut_off_then_ignored),
        cmocka_unit_test(list_when_beyond_the_capacity_then_out_of_range),
        cmocka_unit_test(list_when_too_many_descriptors_then_field_is_named),
        cmocka_unit_test(list_when_too_many_blocks_then_descriptor_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
