#include "target/iscsi/pdu.h"

#include <isa-l/crc.h>
#include <string.h>

enum pdu_row_flags {
    ROW_DATA = 1,  /* may have a data segment */
    ROW_AHS = 2,   /* may have additional header segments */
    ROW_FINAL = 4, /* the F bit is always 1 */
    ROW_LOGIN = 8, /* belongs to the login phase */
};

struct pdu_row {
    const char *name;
    uint8_t opcode;
    uint8_t flags;
};

static const struct pdu_row rows[] = {
    {"NOP-Out", ISCSI_NOP_OUT, ROW_DATA | ROW_FINAL},
    {"SCSI Command", ISCSI_SCSI_COMMAND, ROW_DATA | ROW_AHS},
    {"Task Management Function Request", ISCSI_TASK_MANAGEMENT_REQUEST, ROW_FINAL},
    {"Login Request", ISCSI_LOGIN_REQUEST, ROW_DATA | ROW_LOGIN},
    {"Text Request", ISCSI_TEXT_REQUEST, ROW_DATA},
    {"SCSI Data-Out", ISCSI_SCSI_DATA_OUT, ROW_DATA},
    {"Logout Request", ISCSI_LOGOUT_REQUEST, ROW_FINAL},
    {"SNACK Request", ISCSI_SNACK_REQUEST, ROW_FINAL},
};

static const struct pdu_row *row_of(uint8_t opcode)
{
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].opcode == opcode)
            return &rows[i];
    return NULL;
}

const char *pdu_name(uint8_t opcode)
{
    const struct pdu_row *row = row_of(opcode);
    return row ? row->name : "?";
}

static struct pdu_fault fault(uint8_t reason, bool fatal, const char *why)
{
    return (struct pdu_fault){.reason = reason, .fatal = fatal, .why = why};
}

struct pdu_fault pdu_check(const uint8_t *bhs, uint32_t max_data)
{
    const struct pdu_row *row = row_of(pdu_opcode(bhs));
    uint32_t data = pdu_data_length(bhs);
    bool final = bhs[BHS_FLAGS] & BHS_FLAG_FINAL;

    /* First: a length that was not agreed on must never be waited for, whatever the opcode. */
    if (data > max_data)
        return fault(REJECT_PROTOCOL_ERROR, true, "data segment longer than declared");
    if (!row)
        return fault(REJECT_NOT_SUPPORTED, false, "unknown opcode");
    if (row->flags & ROW_LOGIN)
        return fault(REJECT_PROTOCOL_ERROR, true, "login request in full feature phase");
    if (data && !(row->flags & ROW_DATA))
        return fault(REJECT_INVALID_FIELD, true, "unexpected data segment");
    if (pdu_ahs_length(bhs) && !(row->flags & ROW_AHS))
        return fault(REJECT_INVALID_FIELD, true, "unexpected additional header segment");
    if (!final && row->flags & ROW_FINAL)
        return fault(REJECT_INVALID_FIELD, true, "F bit not set");
    if (row->opcode == ISCSI_SCSI_COMMAND && !(bhs[BHS_FLAGS] & COMMAND_WRITE)) {
        if (!final)
            return fault(REJECT_INVALID_FIELD, true, "W = 0 and F = 0");
        if (data)
            return fault(REJECT_INVALID_FIELD, true, "immediate data without W");
    }
    if (row->opcode == ISCSI_TEXT_REQUEST && final && bhs[BHS_FLAGS] & TEXT_CONTINUE)
        return fault(REJECT_PROTOCOL_ERROR, true, "F and C both set");
    return fault(0, false, NULL);
}

int pdu_command_cdb(const uint8_t *bhs, const uint8_t *ahs, size_t length, struct pdu_cdb *out)
{
    const uint8_t both = COMMAND_READ | COMMAND_WRITE;

    memset(out, 0, sizeof *out);
    memcpy(out->cdb, bhs + COMMAND_CDB, COMMAND_CDB_LENGTH);
    out->length = COMMAND_CDB_LENGTH;
    out->bidirectional = (bhs[BHS_FLAGS] & both) == both;
    while (length) {
        size_t n, whole, extra;
        if (length < AHS_HEADER)
            return -1;
        n = get_be16(ahs + AHS_LENGTH); /* counts from AHS-Specific on, 11.2.2.2 */
        whole = (AHS_SPECIFIC + n + 3) & ~(size_t)3;
        if (!n || whole > length)
            return -1;
        switch (ahs[AHS_TYPE] & 0x3f) {
        case AHS_TYPE_EXTENDED_CDB:
            extra = n - 1; /* the first byte is reserved */
            if (out->length != COMMAND_CDB_LENGTH)
                return -1;
            if (extra > LIMIT_CDB - COMMAND_CDB_LENGTH)
                out->too_long = true;
            else
                memcpy(out->cdb + COMMAND_CDB_LENGTH, ahs + AHS_HEADER, extra);
            out->length += extra;
            break;
        case AHS_TYPE_BIDIRECTIONAL:
            out->bidirectional = true;
            break;
        default:
            return -1;
        }
        ahs += whole;
        length -= whole;
    }
    if (out->too_long)
        out->length = COMMAND_CDB_LENGTH;
    return 0;
}

uint32_t pdu_crc_feed(uint32_t crc, const void *data, size_t n)
{
    /* crc32_iscsi() takes an int; its argument is not const though it only reads. */
    const uint8_t *p = data;

    while (n) {
        size_t part = n < 1u << 30 ? n : 1u << 30;
        crc = crc32_iscsi((unsigned char *)(uintptr_t)p, (int)part, crc);
        p += part;
        n -= part;
    }
    return crc;
}

void pdu_init(uint8_t *bhs, uint8_t opcode, uint8_t flags)
{
    memset(bhs, 0, ISCSI_BHS_LENGTH);
    bhs[BHS_OPCODE] = opcode;
    bhs[BHS_FLAGS] = flags;
}

unsigned pdu_sense(uint8_t *sense, uint8_t key, uint8_t asc, uint8_t ascq)
{
    memset(sense, 0, 18);
    sense[0] = 0x70;
    sense[2] = key;
    sense[7] = 10;
    sense[12] = asc;
    sense[13] = ascq;
    return 18;
}
