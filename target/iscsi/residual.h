/* Residual counts of a SCSI command (RFC 7143 11.4.5): pure arithmetic. */
#ifndef HALUN_ISCSI_RESIDUAL_H
#define HALUN_ISCSI_RESIDUAL_H

#include <stdint.h>

struct residual {
    uint8_t flags;  /* RESPONSE_OVERFLOW, RESPONSE_UNDERFLOW or 0; the same bits in a Data-In PDU */
    uint32_t count; /* bytes */
};

/* `expected_in`, `expected_out`: the Expected Data Transfer Length, in the direction of the R or W
 * bit (both 0: no data expected). `wanted`: bytes the CDB asks to move. `sent_in`: bytes of Data-In
 * that are sent (at most expected_in). */
struct residual residual_of(uint32_t expected_in, uint32_t expected_out, uint32_t wanted,
                            uint32_t sent_in);

#endif
