/* The rows of the disk commands as data: what the index asserts at start, and what a host may rely
 * on. Not covered: what the handlers do (test_disk_*.c). */
#include <string.h>

#include "disk_rig.h"

static void rows_when_read_then_masks_fit_the_cdbs(void **state)
{
    static const unsigned lengths[] = {6, 10, 10, 0, 16, 12, 0, 0}; /* by opcode group */

    for (unsigned i = 0; i < disk_commands.count; i++) {
        const struct scsi_command *row = &disk_commands.rows[i];
        assert_int_equal(row->usage[0], row->opcode);
        assert_int_equal(row->length, lengths[row->opcode >> 5]);
        for (unsigned k = row->length; k < LIMIT_CDB; k++)
            assert_int_equal(row->usage[k], 0);
        assert_int_equal(row->usage[row->length - 1], 0); /* CONTROL: no ACA */
        assert_non_null(row->run);
        assert_true(row->lba.offset + row->lba.size <= row->length);
        assert_true(row->count.offset + row->count.size <= row->length);
        for (unsigned k = 1; k < row->lba.size; k++)
            assert_int_equal(row->usage[row->lba.offset + k], 0xff);
        for (unsigned k = 0; k < row->count.size; k++)
            assert_int_equal(row->usage[row->count.offset + k], 0xff);
        for (unsigned k = 0; k < i; k++)
            assert_false(disk_commands.rows[k].opcode == row->opcode &&
                         disk_commands.rows[k].service_action == row->service_action);
    }
}

static void rows_when_read_then_writers_are_marked(void **state)
{
    for (unsigned i = 0; i < disk_commands.count; i++) {
        const struct scsi_command *row = &disk_commands.rows[i];
        if (row->flags & COMMAND_WRITES) {
            assert_true(row->flags & COMMAND_MEDIA);
            assert_int_equal(row->access, PR_WRITE);
            assert_int_equal(row->data, DATA_OUT);
        }
        if (strstr(row->name, "WRITE") || !strcmp(row->name, "UNMAP"))
            assert_true(row->flags & COMMAND_WRITES);
    }
}

static void cdb_when_protection_is_asked_for_then_refused(void **state)
{
    static const uint8_t opcodes[] = {0x28, 0xa8, 0x88, 0x2a, 0xaa, 0x8a, 0x2e, 0xae,
                                      0x8e, 0x2f, 0xaf, 0x8f, 0x41, 0x93, 0x89, 0x8b};
    struct rig *rig = rig_new(512);

    for (unsigned i = 0; i < sizeof opcodes; i++) {
        assert_int_equal(rig_blocks(rig, opcodes[i], 0x20, 0, 1, "", 0, 512),
                         REASON_INVALID_FIELD_IN_CDB);
        assert_true(rig->stray);
    }
    assert_int_equal(rig->submitted, 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_when_read_then_masks_fit_the_cdbs),
        cmocka_unit_test(rows_when_read_then_writers_are_marked),
        cmocka_unit_test(cdb_when_protection_is_asked_for_then_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
