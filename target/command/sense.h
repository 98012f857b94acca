/* Sense data (SPC-4 4.5) as bytes. Pure. */
#ifndef HALUN_COMMAND_SENSE_H
#define HALUN_COMMAND_SENSE_H

#include <stdbool.h>
#include <stdint.h>

#include "target/base/limits.h"
#include "target/command/reason.h"

struct sense_fields {
    uint8_t key, asc, ascq;
    bool information_valid;
    uint64_t information;
    bool field_valid, field_is_cdb; /* field pointer, only with ILLEGAL REQUEST */
    int8_t field_bit;               /* 0..7, -1 = the whole byte */
    uint16_t field_byte;
};

/* Writes current sense data in fixed (70h) or descriptor (72h) format; returns its length in bytes.
 * An INFORMATION that does not fit the fixed format's 4 bytes is left out there (VALID 0). */
uint8_t sense_build(uint8_t sense[LIMIT_SENSE], bool descriptor, const struct sense_fields *fields);
/* SCSI status and codes of a reason, from its row in sense.def. */
uint8_t reason_status(enum scsi_reason reason);
void reason_codes(enum scsi_reason reason, struct sense_fields *fields);
/* For logs and traces. */
const char *reason_name(enum scsi_reason reason);
const char *reason_text(enum scsi_reason reason);

#endif
