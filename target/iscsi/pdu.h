/* PDUs: lengths, digests and the checks that need nothing but the header (RFC 7143 11.2). Pure. */
#ifndef HALUN_ISCSI_PDU_H
#define HALUN_ISCSI_PDU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "target/base/bytes.h"
#include "target/base/limits.h"
#include "target/iscsi/iscsi_wire.h"

static inline uint8_t pdu_opcode(const uint8_t *bhs)
{
    return bhs[BHS_OPCODE] & BHS_OPCODE_MASK;
}

static inline bool pdu_immediate(const uint8_t *bhs)
{
    return bhs[BHS_OPCODE] & BHS_OPCODE_IMMEDIATE;
}

/* Bytes of all additional header segments. */
static inline uint32_t pdu_ahs_length(const uint8_t *bhs)
{
    return bhs[BHS_TOTAL_AHS_LENGTH] * 4u;
}

/* Bytes of the data segment, padding not counted. */
static inline uint32_t pdu_data_length(const uint8_t *bhs)
{
    return get_be24(bhs + BHS_DATA_SEGMENT_LENGTH);
}

/* Bytes that fill a data segment up to a multiple of four (11.2.3). */
static inline uint32_t pdu_padding(uint32_t data_length)
{
    return -data_length & 3;
}

/* What is wrong with a header: the reason of the Reject PDU, and whether the connection has to end
 * (RFC 7143 7.7: format errors are answered by session recovery). */
struct pdu_fault {
    uint8_t reason; /* enum iscsi_reject; 0 = nothing wrong */
    bool fatal;
    const char *why; /* for the log */
};

/* Checks a header that a target received in full feature phase; `max_data` is the
 * MaxRecvDataSegmentLength this target declared. CmdSN and tags are not looked at. */
struct pdu_fault pdu_check(const uint8_t *bhs, uint32_t max_data);
/* "SCSI Command" or "?". Static. */
const char *pdu_name(uint8_t opcode);

/* A SCSI command's CDB with its extension. */
struct pdu_cdb {
    uint8_t cdb[LIMIT_CDB];
    unsigned length;    /* bytes; 16, or more with an extended CDB AHS */
    bool too_long;      /* longer than LIMIT_CDB: the command cannot be served */
    bool bidirectional; /* R and W, or the AHS for it: not supported */
};

/* Takes the CDB from a SCSI command and its AHS (`length` = pdu_ahs_length()). Returns 0, or -1
 * when the AHS are malformed. */
int pdu_command_cdb(const uint8_t *bhs, const uint8_t *ahs, size_t length, struct pdu_cdb *out);

/* CRC32C (RFC 7143 13.1, RFC 3385). Start with PDU_CRC_START, feed the parts in order, finish. The
 * digest's four bytes go on the wire least significant first. */
#define PDU_CRC_START 0xffffffffu
uint32_t pdu_crc_feed(uint32_t crc, const void *data, size_t n);
static inline uint32_t pdu_crc_finish(uint32_t crc)
{
    return ~crc;
}

/* An empty header of a target's PDU: opcode and flags set, the rest zero. */
void pdu_init(uint8_t *bhs, uint8_t opcode, uint8_t flags);

/* Sense data of fixed format (SPC-4 4.5.3) for the conditions a transport reports itself
 * (RFC 7143 11.4.7.2). Writes 18 bytes, returns 18. */
unsigned pdu_sense(uint8_t *sense, uint8_t key, uint8_t asc, uint8_t ascq);

#endif
