#include "target/transport/peer_frame.h"

#include <assert.h>
#include <stddef.h>

#include "target/base/bytes.h"
#include "target/base/limits.h"

enum { BODY_MAX = 255 * 4 };

/* What each type of frame may bring; lengths in bytes. */
static const struct {
    uint16_t body_min, body_max;
    uint32_t data_max;
} forms[] = {
    /* Later versions may say more in it, and must still be told that they are another version. */
    [PEER_HELLO] = {PEER_HELLO_VERSION + 4, BODY_MAX, 0},
    [PEER_NEXUS] = {PEER_NEXUS_TRANSPORT + 4, PEER_NEXUS_TRANSPORT + LIMIT_TRANSPORT_ID, 0},
    [PEER_NEXUS_GONE] = {PEER_GONE_BODY, PEER_GONE_BODY, 0},
    [PEER_COMMAND] = {PEER_COMMAND_BODY, PEER_COMMAND_BODY, LIMIT_TRANSFER},
    [PEER_RESPONSE] = {PEER_RESPONSE_BODY, PEER_RESPONSE_BODY, LIMIT_TRANSFER + LIMIT_SENSE},
    [PEER_ABORT] = {0, 0, 0},
    [PEER_PING] = {0, 0, 0},
    [PEER_PONG] = {0, 0, 0},
    [PEER_SETTLED] = {0, 0, 0},
};

const char *peer_frame_read(const uint8_t *bytes, struct peer_head *head)
{
    unsigned type = bytes[PEER_H_TYPE];

    if (get_be16(bytes + PEER_H_MAGIC) != PEER_MAGIC || get_be32(bytes + PEER_H_ZERO))
        return "malformed frame header";
    if (type < PEER_HELLO || type >= sizeof forms / sizeof forms[0])
        return "unknown type of frame";
    head->type = (enum peer_type)type;
    head->slot = get_be32(bytes + PEER_H_SLOT);
    head->body = bytes[PEER_H_BODY] * 4u;
    head->data = get_be32(bytes + PEER_H_DATA);
    if (head->body < forms[type].body_min || head->body > forms[type].body_max ||
        head->data > forms[type].data_max)
        return "wrong length of a frame";
    return NULL;
}

const char *peer_frame_sense(const uint8_t *body, uint32_t data, uint32_t *sense)
{
    *sense = body[PEER_RESPONSE_SENSE];
    if (*sense > LIMIT_SENSE || *sense > data || data - *sense > LIMIT_TRANSFER)
        return "malformed RESPONSE frame";
    return NULL;
}

void peer_frame_write(uint8_t *bytes, enum peer_type type, uint32_t slot, uint32_t body,
                      uint32_t data)
{
    assert(body % 4 == 0 && body <= BODY_MAX);
    put_be16(bytes + PEER_H_MAGIC, PEER_MAGIC);
    bytes[PEER_H_TYPE] = (uint8_t)type;
    bytes[PEER_H_BODY] = (uint8_t)(body / 4);
    put_be32(bytes + PEER_H_SLOT, slot);
    put_be32(bytes + PEER_H_DATA, data);
    put_be32(bytes + PEER_H_ZERO, 0);
}
