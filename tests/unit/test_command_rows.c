/* Every row of every table: the index, the masks, what REPORT SUPPORTED OPERATION CODES makes of
 * them.
 *
 * Not covered: what the handlers do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "target/base/bytes.h"
#include "target/base/threads.h"
#include "target/command/command.h"
#include "target/nexus/tmf.h"

static int build(void **state)
{
    command_index_build();
    return 0;
}

static void make_cdb(uint8_t *cdb, const struct scsi_command *row)
{
    memset(cdb, 0, LIMIT_CDB);
    cdb[0] = row->opcode;
    if (row->service_action == COMMAND_NO_ACTION)
        return;
    if (row->opcode == 0x7f)
        put_be16(cdb + 8, row->service_action);
    else
        cdb[1] = (uint8_t)row->service_action;
}

static void rows_when_walked_then_all_in_order_and_found(void **state)
{
    unsigned expected =
        spc_commands.count + disk_commands.count + reservation_commands.count + alua_commands.count;
    const struct scsi_command *before = NULL;
    uint8_t cdb[LIMIT_CDB];
    unsigned count = 0;
    bool known;

    for (const struct scsi_command *row = command_next(NULL); row; row = command_next(row)) {
        make_cdb(cdb, row);
        assert_ptr_equal(command_find(cdb, &known), row);
        assert_true(known);
        if (before)
            assert_true(
                before->opcode < row->opcode ||
                (before->opcode == row->opcode && before->service_action < row->service_action));
        before = row;
        count++;
    }
    assert_int_equal(count, expected);
}

static void opcodes_when_no_row_then_unknown_or_bad_action(void **state)
{
    uint8_t cdb[LIMIT_CDB] = {0};
    bool known, has_row[256] = {false};

    for (const struct scsi_command *row = command_next(NULL); row; row = command_next(row))
        has_row[row->opcode] = true;
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        for (unsigned action = 0; action < 32; action++) {
            cdb[0] = (uint8_t)opcode;
            cdb[1] = (uint8_t)action;
            if (!command_find(cdb, &known))
                assert_int_equal(known, has_row[opcode]);
        }
    }
}

/* Each single bit of each CDB: inside the mask it passes, outside it is named. */
static void bits_when_outside_the_mask_then_named(void **state)
{
    uint8_t cdb[LIMIT_CDB], byte, bit;

    for (const struct scsi_command *row = command_next(NULL); row; row = command_next(row)) {
        make_cdb(cdb, row);
        assert_false(command_stray_bit(row, cdb, &byte, &bit));
        for (unsigned i = 8; i < row->length * 8u; i++) {
            bool action = row->service_action != COMMAND_NO_ACTION && i / 8 == 1 && i % 8 < 5;
            bool allowed = action || row->usage[i / 8] & 1 << i % 8;

            make_cdb(cdb, row);
            if (action)
                continue;
            cdb[i / 8] |= (uint8_t)(1 << i % 8);
            assert_int_equal(command_stray_bit(row, cdb, &byte, &bit), !allowed);
            if (!allowed) {
                assert_int_equal(byte, i / 8);
                assert_int_equal(bit, i % 8);
            }
        }
        for (unsigned i = row->length; i < LIMIT_CDB; i++) { /* beyond the CDB nothing counts */
            make_cdb(cdb, row);
            cdb[i] = 0xff;
            assert_false(command_stray_bit(row, cdb, &byte, &bit));
        }
    }
}

static void masks_when_read_then_agree_with_fields(void **state)
{
    for (const struct scsi_command *row = command_next(NULL); row; row = command_next(row)) {
        static const uint8_t lengths[8] = {6, 10, 10, 0, 16, 12, 0, 0}; /* by group of opcodes */
        struct cdb_field fields[2] = {row->lba, row->count};

        if (row->opcode != 0x7f)
            assert_int_equal(row->length, lengths[row->opcode >> 5]);
        /* NACA and the rest of the control byte */
        assert_int_equal(row->usage[row->opcode == 0x7f ? 1 : row->length - 1u], 0);
        for (unsigned i = 0; i < 2; i++) {
            for (unsigned j = fields[i].offset; j < fields[i].offset + fields[i].size; j++)
                assert_int_not_equal(row->usage[j], 0);
        }
        if (row->flags & COMMAND_MEDIA && row->flags & COMMAND_WRITES)
            assert_int_equal(row->access, PR_WRITE);
        if (row->flags & COMMAND_NO_LU)
            assert_int_equal(row->access, PR_ALWAYS);
        if (row->data != DATA_NONE && !row->decode)
            assert_int_not_equal(row->count.size, 0);
        /* Media commands wait at the gate; they are not answered in standby. */
        if (row->flags & COMMAND_MEDIA)
            assert_int_equal(row->flags & (COMMAND_IN_STANDBY | COMMAND_ANY_STATE | COMMAND_NO_LU),
                             0);
    }
}

static void tmfs_when_reported_then_rows_agree(void **state)
{
    uint8_t supported[2];

    tmf_report(supported);
    assert_int_equal(supported[0], 0xda);
    assert_int_equal(supported[1], 0);
    assert_string_equal(tmf_name(TMF_LOGICAL_UNIT_RESET), "LOGICAL UNIT RESET");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_when_walked_then_all_in_order_and_found),
        cmocka_unit_test(opcodes_when_no_row_then_unknown_or_bad_action),
        cmocka_unit_test(bits_when_outside_the_mask_then_named),
        cmocka_unit_test(masks_when_read_then_agree_with_fields),
        cmocka_unit_test(tmfs_when_reported_then_rows_agree),
    };

    return cmocka_run_group_tests(tests, build, NULL);
}
