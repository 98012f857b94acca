/* Sense data in both formats, reasons and errors of the machine.
 *
 * Not covered: which reason a command gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "target/command/command.h"
#include "target/command/sense.h"

static void fixed_when_built_then_as_spc_table_53(void **state)
{
    struct sense_fields fields = {.key = 5,
                                  .asc = 0x24,
                                  .ascq = 0,
                                  .field_valid = true,
                                  .field_is_cdb = true,
                                  .field_bit = 3,
                                  .field_byte = 0x0102};
    uint8_t sense[LIMIT_SENSE];

    assert_int_equal(sense_build(sense, false, &fields), 18);
    assert_memory_equal(sense, "\x70\0\x05\0\0\0\0\x0a\0\0\0\0\x24\0\0\xcb\x01\x02", 18);
    fields.field_is_cdb = false;
    fields.field_bit = -1;
    sense_build(sense, false, &fields);
    assert_memory_equal(sense + 15, "\x80\x01\x02", 3);
    fields.key = 6; /* a field pointer belongs to ILLEGAL REQUEST alone */
    sense_build(sense, false, &fields);
    assert_memory_equal(sense + 15, "\0\0\0", 3);
}

static void information_when_it_fits_then_valid(void **state)
{
    struct sense_fields fields = {
        .key = 0xe, .asc = 0x1d, .information_valid = true, .information = 0x12345678};
    uint8_t sense[LIMIT_SENSE];

    sense_build(sense, false, &fields);
    assert_memory_equal(sense, "\xf0\0\x0e\x12\x34\x56\x78", 7);
    fields.information = 0x1ffffffff;
    sense_build(sense, false, &fields);
    assert_memory_equal(sense, "\x70\0\x0e\0\0\0\0", 7);
}

static void descriptors_when_built_then_as_spc_table_28(void **state)
{
    struct sense_fields fields = {.key = 5,
                                  .asc = 0x26,
                                  .ascq = 2,
                                  .information_valid = true,
                                  .information = 0x0102030405060708,
                                  .field_valid = true,
                                  .field_bit = -1,
                                  .field_byte = 9};
    uint8_t sense[LIMIT_SENSE];

    assert_int_equal(sense_build(sense, true, &fields), 28);
    assert_memory_equal(sense, "\x72\x05\x26\x02\0\0\0\x14", 8);
    assert_memory_equal(sense + 8, "\x00\x0a\x80\0\x01\x02\x03\x04\x05\x06\x07\x08", 12);
    assert_memory_equal(sense + 20, "\x02\x06\0\0\x80\0\x09\0", 8);
    fields.information_valid = fields.field_valid = false;
    assert_int_equal(sense_build(sense, true, &fields), 8);
    assert_int_equal(sense[7], 0);
}

static void reasons_when_walked_then_sense_only_with_check_condition(void **state)
{
    for (enum scsi_reason reason = 0; reason < REASON_COUNT; reason++) {
        struct task task = {0};

        if (reason == REASON_PENDING)
            continue;
        sense_for_task(&task, reason);
        assert_int_equal(task.status, reason_status(reason));
        assert_int_equal(task.sense_length, task.status == 2 ? 18 : 0);
        assert_non_null(reason_name(reason));
        assert_true(strlen(reason_text(reason)) > 0);
    }
}

static void errors_when_turned_into_reasons_then_cluster_is_no_medium_error(void **state)
{
    assert_int_equal(reason_from_errno(0, true), REASON_GOOD);
    assert_int_equal(reason_from_errno(-EIO, true), REASON_MEDIUM_WRITE_ERROR);
    assert_int_equal(reason_from_errno(-EIO, false), REASON_MEDIUM_READ_ERROR);
    assert_int_equal(reason_from_errno(-ENOSPC, true), REASON_SPACE_ALLOCATION_FAILED);
    assert_int_equal(reason_from_errno(-EAGAIN, false), REASON_NOT_READY_TRANSITION);
    assert_int_equal(reason_from_errno(-ESHUTDOWN, true), REASON_NOT_READY_TRANSITION);
    assert_int_equal(reason_from_errno(-ERESTART, true), REASON_NOT_BEGUN);
    assert_int_equal(reason_from_errno(-ENOBUFS, true), REASON_TASK_SET_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_when_built_then_as_spc_table_53),
        cmocka_unit_test(information_when_it_fits_then_valid),
        cmocka_unit_test(descriptors_when_built_then_as_spc_table_28),
        cmocka_unit_test(reasons_when_walked_then_sense_only_with_check_condition),
        cmocka_unit_test(errors_when_turned_into_reasons_then_cluster_is_no_medium_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
