/* Frames of the peer link as bytes: what a header may say, and the header of a frame to send. Pure.
 */
#ifndef HALUN_TRANSPORT_PEER_FRAME_H
#define HALUN_TRANSPORT_PEER_FRAME_H

#include <stdint.h>

#include "target/transport/peer_wire.h"

/* A header that peer_frame_read() found correct. */
struct peer_head {
    enum peer_type type;
    uint32_t slot;
    uint32_t body; /* bytes of the body that follows the header */
    uint32_t data; /* bytes of payload that follow the body */
};

/* Reads the PEER_HEADER bytes at `bytes`. Returns NULL, or why the link must be closed: nothing
 * else in the frame has been looked at then. */
const char *peer_frame_read(const uint8_t *bytes, struct peer_head *head);
/* Checks the lengths in a RESPONSE body (PEER_RESPONSE_BODY bytes) against the frame's payload.
 * Returns NULL and the length of the sense data in *sense, or why the link must be closed. */
const char *peer_frame_sense(const uint8_t *body, uint32_t data, uint32_t *sense);
/* Writes PEER_HEADER bytes. `body`: bytes, a multiple of 4 below 1024. */
void peer_frame_write(uint8_t *bytes, enum peer_type type, uint32_t slot, uint32_t body,
                      uint32_t data);

#endif
