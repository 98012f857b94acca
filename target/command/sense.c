#include "target/command/sense.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "target/base/bytes.h"
#include "target/command/command.h"
#include "target/command/unit_attention.h"
#include "target/nexus/lane.h"

enum {
    STATUS_CHECK_CONDITION = 0x02,
    KEY_ILLEGAL_REQUEST = 0x5,

    /* Fixed format, SPC-4 table 53 */
    FIXED_VALID_AND_CODE = 0,
    FIXED_KEY = 2,
    FIXED_INFORMATION = 3,
    FIXED_ADDITIONAL_LENGTH = 7,
    FIXED_ASC = 12,
    FIXED_ASCQ = 13,
    FIXED_KEY_SPECIFIC = 15,
    FIXED_LENGTH = 18,

    /* Descriptor format, SPC-4 table 28 */
    DESCRIPTOR_CODE = 0,
    DESCRIPTOR_KEY = 1,
    DESCRIPTOR_ASC = 2,
    DESCRIPTOR_ASCQ = 3,
    DESCRIPTOR_ADDITIONAL_LENGTH = 7,
    DESCRIPTOR_HEADER = 8,
};

struct reason_row {
    const char *name, *text;
    uint8_t status, key, asc, ascq;
};

static const struct reason_row reason_rows[REASON_COUNT] = {
    [REASON_GOOD] = {"GOOD", "good", 0, 0, 0, 0},
    [REASON_PENDING] = {"PENDING", "not done yet", 0, 0, 0, 0},
#define REASON(n, s, k, a, q, t) [REASON_##n] = {#n, t, s, k, a, q},
#include "target/command/sense.def"
#undef REASON
};

uint8_t reason_status(enum scsi_reason reason)
{
    return reason_rows[reason].status;
}

void reason_codes(enum scsi_reason reason, struct sense_fields *fields)
{
    fields->key = reason_rows[reason].key;
    fields->asc = reason_rows[reason].asc;
    fields->ascq = reason_rows[reason].ascq;
}

const char *reason_name(enum scsi_reason reason)
{
    return reason_rows[reason].name;
}

const char *reason_text(enum scsi_reason reason)
{
    return reason_rows[reason].text;
}

/* SPC-4 4.5.2.4.2: SKSV, C/D, BPV, bit pointer, field pointer. */
static void put_field_pointer(uint8_t *p, const struct sense_fields *fields)
{
    p[0] = 0x80 | (fields->field_is_cdb ? 0x40 : 0);
    if (fields->field_bit >= 0)
        p[0] |= 0x08 | (fields->field_bit & 0x07);
    put_be16(p + 1, fields->field_byte);
}

static uint8_t build_fixed(uint8_t *sense, const struct sense_fields *fields, bool pointer)
{
    sense[FIXED_VALID_AND_CODE] = 0x70;
    sense[FIXED_KEY] = fields->key;
    if (fields->information_valid && fields->information <= UINT32_MAX) {
        sense[FIXED_VALID_AND_CODE] |= 0x80;
        put_be32(sense + FIXED_INFORMATION, (uint32_t)fields->information);
    }
    sense[FIXED_ADDITIONAL_LENGTH] = FIXED_LENGTH - FIXED_ADDITIONAL_LENGTH - 1;
    sense[FIXED_ASC] = fields->asc;
    sense[FIXED_ASCQ] = fields->ascq;
    if (pointer)
        put_field_pointer(sense + FIXED_KEY_SPECIFIC, fields);
    return FIXED_LENGTH;
}

static uint8_t build_descriptors(uint8_t *sense, const struct sense_fields *fields, bool pointer)
{
    uint8_t *p = sense + DESCRIPTOR_HEADER;

    sense[DESCRIPTOR_CODE] = 0x72;
    sense[DESCRIPTOR_KEY] = fields->key;
    sense[DESCRIPTOR_ASC] = fields->asc;
    sense[DESCRIPTOR_ASCQ] = fields->ascq;
    if (fields->information_valid) { /* SPC-4 4.5.2.2 */
        p[0] = 0x00;
        p[1] = 0x0a;
        p[2] = 0x80;
        put_be64(p + 4, fields->information);
        p += 12;
    }
    if (pointer) { /* SPC-4 4.5.2.4 */
        p[0] = 0x02;
        p[1] = 0x06;
        put_field_pointer(p + 4, fields);
        p += 8;
    }
    sense[DESCRIPTOR_ADDITIONAL_LENGTH] = (uint8_t)(p - sense - DESCRIPTOR_HEADER);
    return (uint8_t)(p - sense);
}

uint8_t sense_build(uint8_t sense[LIMIT_SENSE], bool descriptor, const struct sense_fields *fields)
{
    bool pointer = fields->field_valid && fields->key == KEY_ILLEGAL_REQUEST;

    memset(sense, 0, LIMIT_SENSE);
    return descriptor ? build_descriptors(sense, fields, pointer)
                      : build_fixed(sense, fields, pointer);
}

void sense_for_task(struct task *task, enum scsi_reason reason)
{
    struct sense_fields fields = {
        .information_valid = task->information_valid,
        .information = task->information,
        .field_valid = task->field_valid,
        .field_is_cdb = task->field_is_cdb,
        .field_bit = task->field_bit,
        .field_byte = task->field_byte,
    };

    assert(reason < REASON_COUNT && reason != REASON_PENDING);
    task->status = reason_rows[reason].status;
    task->sense_length = 0;
    if (task->status != STATUS_CHECK_CONDITION)
        return;
    reason_codes(reason, &fields);
    if (reason == REASON_UNIT_ATTENTION)
        ua_codes(task->unit_attention, &fields.asc, &fields.ascq);
    task->sense_length = sense_build(task->sense, task->lane && task->lane->mode.d_sense, &fields);
}

static void point_at(struct task *task, bool cdb, uint16_t byte, int bit)
{
    task->field_valid = true;
    task->field_is_cdb = cdb;
    task->field_byte = byte;
    task->field_bit = (int8_t)bit;
}

enum scsi_reason field_in_cdb(struct task *task, uint16_t byte, int bit)
{
    point_at(task, true, byte, bit);
    return REASON_INVALID_FIELD_IN_CDB;
}

enum scsi_reason field_in_parameters(struct task *task, uint16_t byte, int bit)
{
    point_at(task, false, byte, bit);
    return REASON_INVALID_FIELD_IN_PARAMETERS;
}

void sense_information(struct task *task, uint64_t information)
{
    task->information = information;
    task->information_valid = true;
}

/* Never a medium error because of the cluster: what the replication or a closing store holds back
 * says "try again" (law 3). */
enum scsi_reason reason_from_errno(int error, bool write)
{
    switch (error) {
    case 0:
        return REASON_GOOD;
    case -EAGAIN:
    case -ESHUTDOWN:
    case -ENOTCONN:
    case -ETIMEDOUT:
        return REASON_NOT_READY_TRANSITION;
    case -ERESTART:
        return REASON_NOT_BEGUN;
    case -ENOSPC:
    case -EDQUOT:
        return REASON_SPACE_ALLOCATION_FAILED;
    case -EROFS:
        return REASON_WRITE_PROTECTED;
    case -ENOMEM:
    case -ENOBUFS:
        return REASON_TASK_SET_FULL;
    case -EBUSY:
        return REASON_BUSY;
    case -ECANCELED:
        return REASON_ABORTED_COMMAND;
    case -EINVAL:
    case -EBADF:
    case -EFAULT:
        return REASON_INTERNAL_FAILURE;
    default:
        return write ? REASON_MEDIUM_WRITE_ERROR : REASON_MEDIUM_READ_ERROR;
    }
}
