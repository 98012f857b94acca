#include "target/command/command.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "target/base/bytes.h"

enum {
    MAX_ROWS = 256,
    OPCODE_VARIABLE_LENGTH = 0x7f, /* its service action is in bytes 8-9 (SPC-4 4.2.3) */
    SERVICE_ACTION_MASK = 0x1f,
};

/* All rows in order of (opcode, service action), and where each opcode begins. Written once. */
static const struct scsi_command *rows[MAX_ROWS];
static uint16_t row_count;
static uint16_t first_of[256 + 1];

static int compare_rows(const void *a, const void *b)
{
    const struct scsi_command *x = *(const struct scsi_command *const *)a;
    const struct scsi_command *y = *(const struct scsi_command *const *)b;

    if (x->opcode != y->opcode)
        return x->opcode < y->opcode ? -1 : 1;
    return (int)x->service_action - (int)y->service_action;
}

static inline bool field_fits(const struct scsi_command *row, struct cdb_field field)
{
    return !field.size || (field.size <= 8 && field.offset + field.size <= row->length);
}

static void check_row(const struct scsi_command *row)
{
    assert(row->name && row->run);
    assert(row->length >= 6 && row->length <= LIMIT_CDB);
    assert(row->usage[0] == row->opcode);
    for (unsigned i = row->length; i < LIMIT_CDB; i++)
        assert(!row->usage[i]);
    assert(field_fits(row, row->lba) && field_fits(row, row->count));
    assert(!(row->flags & COMMAND_BLOCKS) || row->count.size);
    assert(!(row->flags & COMMAND_WRITES) || row->flags & COMMAND_MEDIA);
}

static void add_table(const struct command_table *table)
{
    for (unsigned i = 0; i < table->count; i++) {
        check_row(&table->rows[i]);
        assert(row_count < MAX_ROWS);
        rows[row_count++] = &table->rows[i];
    }
}

void command_index_build(void)
{
    row_count = 0;
    add_table(&spc_commands);
    add_table(&disk_commands);
    add_table(&reservation_commands);
    add_table(&alua_commands);
    qsort(rows, row_count, sizeof rows[0], compare_rows);
    for (unsigned i = 1; i < row_count; i++) {
        assert(compare_rows(&rows[i - 1], &rows[i]) < 0); /* twice the same */
        assert(rows[i - 1]->opcode != rows[i]->opcode ||
               (rows[i]->service_action != COMMAND_NO_ACTION &&
                rows[i]->length == rows[i - 1]->length));
    }
    for (unsigned opcode = 0, i = 0; opcode <= 256; opcode++) {
        while (i < row_count && rows[i]->opcode < opcode)
            i++;
        first_of[opcode] = (uint16_t)i;
    }
}

static uint16_t service_action(const uint8_t *cdb)
{
    return cdb[0] == OPCODE_VARIABLE_LENGTH ? get_be16(cdb + 8) : cdb[1] & SERVICE_ACTION_MASK;
}

const struct scsi_command *command_find(const uint8_t *cdb, bool *known_opcode)
{
    unsigned begin = first_of[cdb[0]], end = first_of[cdb[0] + 1];

    *known_opcode = begin != end;
    for (unsigned i = begin; i < end; i++) {
        if (rows[i]->service_action == COMMAND_NO_ACTION ||
            rows[i]->service_action == service_action(cdb))
            return rows[i];
    }
    return NULL;
}

const struct scsi_command *command_next(const struct scsi_command *after)
{
    if (!after)
        return row_count ? rows[0] : NULL;
    for (unsigned i = first_of[after->opcode]; i + 1u < row_count; i++) {
        if (rows[i] == after)
            return rows[i + 1];
    }
    return NULL;
}

/* Bits of byte `i` that hold the service action: command_find() has compared them. */
static uint8_t action_bits(const struct scsi_command *command, unsigned i)
{
    if (command->service_action == COMMAND_NO_ACTION)
        return 0;
    if (command->opcode == OPCODE_VARIABLE_LENGTH)
        return i == 8 || i == 9 ? 0xff : 0;
    return i == 1 ? SERVICE_ACTION_MASK : 0;
}

bool command_stray_bit(const struct scsi_command *command, const uint8_t *cdb, uint8_t *byte,
                       uint8_t *bit)
{
    for (unsigned i = 1; i < command->length; i++) {
        unsigned stray = cdb[i] & ~(command->usage[i] | action_bits(command, i)) & 0xff;

        if (stray) {
            *byte = (uint8_t)i;
            *bit = (uint8_t)(31 - __builtin_clz(stray));
            return true;
        }
    }
    return false;
}
