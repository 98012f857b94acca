/* Packets that name blocks: writes, requests, acknowledgements, barriers. */
#include <errno.h>
#include <string.h>

#include "replication/message.h"
#include "target/base/bytes.h"

enum { /* p_data, p_block_req, p_block_ack */
       SECTOR_AT = 0,
       BLOCK_ID_AT = 8,
       DATA_SEQUENCE_AT = 16,
       DATA_FLAGS_AT = 20,
       TRIM_SIZE_AT = 24,
       REQUEST_SIZE_AT = 16,
       REQUEST_PAD_AT = 20,
       ACK_SIZE_AT = 16,
       ACK_SEQUENCE_AT = 20,
       RANGE_SIZE_AT = 8,
       RANGE_LENGTH = 16,
       BARRIER_LENGTH = 8,
       SECTOR_BYTES = 512,
};
/* Far beyond 1 PiB, so that sector + size never wraps for those who check against the device. */
#define SECTOR_MAX (UINT64_C(1) << 54)

enum { OV_IN_SYNC = 4711, OV_OUT_OF_SYNC = 4712 };

/* Opaque fields are moved, not swapped. */
static uint64_t get_opaque64(const uint8_t *p)
{
    uint64_t value;

    memcpy(&value, p, sizeof value);
    return value;
}

static bool range_ok(uint64_t sector, uint64_t size, uint64_t max)
{
    return size && size % SECTOR_BYTES == 0 && size <= max && sector < SECTOR_MAX;
}

size_t packet_data_encode(const struct packet_data *p, uint8_t *out)
{
    put_be64(out + SECTOR_AT, p->sector);
    memcpy(out + BLOCK_ID_AT, &p->block_id, sizeof p->block_id);
    put_be32(out + DATA_SEQUENCE_AT, p->sequence);
    put_be32(out + DATA_FLAGS_AT, p->flags);
    return PACKET_DATA_LENGTH;
}

static void data_head(const uint8_t *head, struct packet_data *p)
{
    p->sector = get_be64(head + SECTOR_AT);
    p->block_id = get_opaque64(head + BLOCK_ID_AT);
    p->sequence = get_be32(head + DATA_SEQUENCE_AT);
    p->flags = get_be32(head + DATA_FLAGS_AT);
}

int packet_data_decode(const uint8_t *head, size_t length, struct packet_data *p)
{
    if (length < PACKET_DATA_LENGTH || length - PACKET_DATA_LENGTH > MESSAGE_MAX_BIO)
        return -EPROTO;
    data_head(head, p);
    p->size = (uint32_t)(length - PACKET_DATA_LENGTH);
    if (!p->size) /* a flush: its sector says nothing */
        return 0;
    return range_ok(p->sector, p->size, MESSAGE_MAX_BIO) ? 0 : -EPROTO;
}

size_t packet_trim_encode(const struct packet_data *p, uint8_t *out)
{
    packet_data_encode(p, out);
    put_be32(out + TRIM_SIZE_AT, p->size);
    return PACKET_TRIM_LENGTH;
}

int packet_trim_decode(const uint8_t *payload, size_t length, struct packet_data *p)
{
    if (length != PACKET_TRIM_LENGTH)
        return -EPROTO;
    data_head(payload, p);
    p->size = get_be32(payload + TRIM_SIZE_AT);
    return range_ok(p->sector, p->size, MESSAGE_MAX_TRIM) ? 0 : -EPROTO;
}

size_t packet_block_request_encode(const struct packet_block_request *p, uint8_t *out)
{
    put_be64(out + SECTOR_AT, p->sector);
    memcpy(out + BLOCK_ID_AT, &p->block_id, sizeof p->block_id);
    put_be32(out + REQUEST_SIZE_AT, p->size);
    put_be32(out + REQUEST_PAD_AT, 0);
    return PACKET_BLOCK_REQUEST_LENGTH;
}

int packet_block_request_decode(const uint8_t *payload, size_t length, uint32_t max,
                                struct packet_block_request *p)
{
    if (length < PACKET_BLOCK_REQUEST_LENGTH ||
        length - PACKET_BLOCK_REQUEST_LENGTH > MESSAGE_DIGEST_MAX)
        return -EPROTO;
    p->sector = get_be64(payload + SECTOR_AT);
    p->block_id = get_opaque64(payload + BLOCK_ID_AT);
    p->size = get_be32(payload + REQUEST_SIZE_AT);
    return range_ok(p->sector, p->size, max) ? 0 : -EPROTO;
}

size_t packet_block_ack_encode(const struct packet_block_ack *p, uint8_t *out)
{
    put_be64(out + SECTOR_AT, p->sector);
    memcpy(out + BLOCK_ID_AT, &p->block_id, sizeof p->block_id);
    put_be32(out + ACK_SIZE_AT, p->size);
    put_be32(out + ACK_SEQUENCE_AT, p->sequence);
    return PACKET_BLOCK_ACK_LENGTH;
}

int packet_block_ack_decode(const uint8_t *payload, size_t length, struct packet_block_ack *p)
{
    if (length != PACKET_BLOCK_ACK_LENGTH)
        return -EPROTO;
    p->sector = get_be64(payload + SECTOR_AT);
    p->block_id = get_opaque64(payload + BLOCK_ID_AT);
    p->size = get_be32(payload + ACK_SIZE_AT);
    p->sequence = get_be32(payload + ACK_SEQUENCE_AT);
    if (!p->size) /* answers a flush */
        return 0;
    return range_ok(p->sector, p->size, MESSAGE_MAX_TRIM) ? 0 : -EPROTO;
}

uint64_t ov_result_block_id(bool in_sync)
{
    uint8_t bytes[8];

    put_be64(bytes, in_sync ? OV_IN_SYNC : OV_OUT_OF_SYNC);
    return get_opaque64(bytes);
}

int ov_result_in_sync(uint64_t block_id)
{
    if (block_id == ov_result_block_id(true))
        return 1;
    return block_id == ov_result_block_id(false) ? 0 : -EPROTO;
}

size_t packet_block_range_encode(const struct packet_block_range *p, uint8_t *out)
{
    memset(out, 0, RANGE_LENGTH);
    put_be64(out + SECTOR_AT, p->sector);
    put_be32(out + RANGE_SIZE_AT, p->size);
    return RANGE_LENGTH;
}

int packet_block_range_decode(const uint8_t *payload, size_t length, struct packet_block_range *p)
{
    if (length != RANGE_LENGTH)
        return -EPROTO;
    p->sector = get_be64(payload + SECTOR_AT);
    p->size = get_be32(payload + RANGE_SIZE_AT);
    return range_ok(p->sector, p->size, MESSAGE_MAX_TRIM) ? 0 : -EPROTO;
}

size_t packet_barrier_encode(uint32_t number, uint8_t *out)
{
    memset(out, 0, BARRIER_LENGTH);
    memcpy(out, &number, sizeof number);
    return BARRIER_LENGTH;
}

int packet_barrier_decode(const uint8_t *payload, size_t length, uint32_t *number)
{
    if (length != BARRIER_LENGTH)
        return -EPROTO;
    memcpy(number, payload, sizeof *number);
    return 0;
}

size_t packet_barrier_ack_encode(const struct packet_barrier_ack *p, uint8_t *out)
{
    memcpy(out, &p->number, sizeof p->number);
    put_be32(out + 4, p->set_size);
    return BARRIER_LENGTH;
}

int packet_barrier_ack_decode(const uint8_t *payload, size_t length, struct packet_barrier_ack *p)
{
    if (length != BARRIER_LENGTH)
        return -EPROTO;
    memcpy(&p->number, payload, sizeof p->number);
    p->set_size = get_be32(payload + 4);
    return 0;
}
