/* Packet rows, headers, and the packets that set up a connection and exchange state. */
#include "replication/message.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "target/base/bytes.h"

#define D  SOCKET_DATA
#define M  SOCKET_META
#define DM (SOCKET_DATA | SOCKET_META)

static const struct packet_row rows[] = {
    /* number, sockets, connection, length, more, name */
    {P_DATA, D, false, 24, MESSAGE_MAX_BIO, "P_DATA"},
    {P_DATA_REPLY, D, false, 24, MESSAGE_MAX_BIO, "P_DATA_REPLY"},
    {P_RS_DATA_REPLY, D, false, 24, MESSAGE_MAX_BIO, "P_RS_DATA_REPLY"},
    {P_BARRIER, D, true, 8, 0, "P_BARRIER"},
    {P_BITMAP, D, false, 0, MESSAGE_BITMAP_MAX, "P_BITMAP"},
    {P_UNPLUG_REMOTE, D, false, 0, 0, "P_UNPLUG_REMOTE"},
    {P_DATA_REQUEST, D, false, 24, 0, "P_DATA_REQUEST"},
    {P_RS_DATA_REQUEST, D, false, 24, 0, "P_RS_DATA_REQUEST"},
    {P_PROTOCOL, D, true, 24, MESSAGE_ALGORITHM, "P_PROTOCOL"},
    {P_UUIDS, D, false, 48, 0, "P_UUIDS"},
    {P_SIZES, D, false, 32, 24, "P_SIZES"},
    {P_STATE, D, false, 4, 0, "P_STATE"},
    {P_SYNC_UUID, D, false, 8, 0, "P_SYNC_UUID"},
    {P_AUTH_CHALLENGE, D, true, MESSAGE_CHALLENGE, 0, "P_AUTH_CHALLENGE"},
    {P_AUTH_RESPONSE, D, true, 0, MESSAGE_DIGEST_MAX, "P_AUTH_RESPONSE"},
    {P_STATE_CHG_REQ, D, false, 8, 0, "P_STATE_CHG_REQ"},
    {P_PING, M, true, 0, 0, "P_PING"},
    {P_PING_ACK, M, true, 0, 0, "P_PING_ACK"},
    {P_RECV_ACK, M, false, 24, 0, "P_RECV_ACK"},
    {P_WRITE_ACK, M, false, 24, 0, "P_WRITE_ACK"},
    {P_RS_WRITE_ACK, M, false, 24, 0, "P_RS_WRITE_ACK"},
    {P_SUPERSEDED, M, false, 24, 0, "P_SUPERSEDED"},
    {P_NEG_ACK, M, false, 24, 0, "P_NEG_ACK"},
    {P_NEG_DREPLY, M, false, 24, 0, "P_NEG_DREPLY"},
    {P_NEG_RS_DREPLY, M, false, 24, 0, "P_NEG_RS_DREPLY"},
    {P_BARRIER_ACK, M, true, 8, 0, "P_BARRIER_ACK"},
    {P_STATE_CHG_REPLY, M, false, 4, 0, "P_STATE_CHG_REPLY"},
    {P_OV_REQUEST, D, false, 24, 0, "P_OV_REQUEST"},
    {P_OV_REPLY, D, false, 24, MESSAGE_DIGEST_MAX, "P_OV_REPLY"},
    {P_OV_RESULT, M, false, 24, 0, "P_OV_RESULT"},
    {P_CSUM_RS_REQUEST, D, false, 24, MESSAGE_DIGEST_MAX, "P_CSUM_RS_REQUEST"},
    {P_RS_IS_IN_SYNC, M, false, 24, 0, "P_RS_IS_IN_SYNC"},
    {P_SYNC_PARAM89, D, false, 148, 0, "P_SYNC_PARAM89"},
    {P_COMPRESSED_BITMAP, D, false, 1, MESSAGE_BITMAP_MAX - 1, "P_COMPRESSED_BITMAP"},
    {P_DELAY_PROBE, DM, true, 8, 0, "P_DELAY_PROBE"},
    {P_OUT_OF_SYNC, D, false, 16, 0, "P_OUT_OF_SYNC"},
    {P_RS_CANCEL, M, false, 24, 0, "P_RS_CANCEL"},
    {P_CONN_ST_CHG_REQ, D, true, 8, 0, "P_CONN_ST_CHG_REQ"},
    {P_CONN_ST_CHG_REPLY, M, true, 4, 0, "P_CONN_ST_CHG_REPLY"},
    {P_RETRY_WRITE, M, false, 24, 0, "P_RETRY_WRITE"},
    {P_PROTOCOL_UPDATE, D, true, 24, MESSAGE_ALGORITHM, "P_PROTOCOL_UPDATE"},
    {P_TRIM, D, false, 28, 0, "P_TRIM"},
    {P_RS_THIN_REQ, D, false, 24, 0, "P_RS_THIN_REQ"},
    {P_RS_DEALLOCATED, D, false, 16, 0, "P_RS_DEALLOCATED"},
    {P_WSAME, D, false, 28, MESSAGE_MAX_BIO, "P_WSAME"},
    {P_ZEROES, D, false, 28, 0, "P_ZEROES"},
    {P_INITIAL_META, M, true, 0, 0, "P_INITIAL_META"},
    {P_INITIAL_DATA, D, true, 0, 0, "P_INITIAL_DATA"},
    {P_CONNECTION_FEATURES, D, true, 72, 0, "P_CONNECTION_FEATURES"},
};
enum { ROWS = sizeof rows / sizeof *rows };

const struct packet_row *packet_row(unsigned number)
{
    unsigned low = 0, high = ROWS;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (rows[middle].number == number)
            return &rows[middle];
        if (rows[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const char *packet_name(unsigned number)
{
    const struct packet_row *row = packet_row(number);

    return row ? row->name : "unknown packet";
}

enum { /* header magics and offsets */
       MAGIC_95 = 0x835A,
       H80_COMMAND = 4,
       H80_LENGTH = 6,
       H95_COMMAND = 2,
       H95_LENGTH = 4,
       H100_VOLUME = 4,
       H100_COMMAND = 6,
       H100_LENGTH = 8,
       H100_PAD = 12,
};
#define MAGIC_80  UINT32_C(0x83740267)
#define MAGIC_100 UINT32_C(0x8620EC20)

size_t header_length(enum header_form form)
{
    return form == HEADER_100 ? HEADER_100_LENGTH : HEADER_80_LENGTH;
}

int header_decode(enum header_form form, const uint8_t *bytes, struct packet_header *header)
{
    *header = (struct packet_header){0};
    switch (form) {
    case HEADER_80:
        if (get_be32(bytes) != MAGIC_80)
            return -EPROTO;
        header->command = get_be16(bytes + H80_COMMAND);
        header->length = get_be16(bytes + H80_LENGTH);
        return 0;
    case HEADER_95:
        if (get_be16(bytes) != MAGIC_95)
            return -EPROTO;
        header->command = get_be16(bytes + H95_COMMAND);
        header->length = get_be32(bytes + H95_LENGTH);
        return 0;
    case HEADER_100:
        if (get_be32(bytes) != MAGIC_100 || get_be32(bytes + H100_PAD))
            return -EPROTO;
        header->volume = get_be16(bytes + H100_VOLUME);
        header->command = get_be16(bytes + H100_COMMAND);
        header->length = get_be32(bytes + H100_LENGTH);
        return 0;
    }
    return -EPROTO;
}

size_t header_encode(enum header_form form, const struct packet_header *header, uint8_t *out)
{
    memset(out, 0, header_length(form));
    switch (form) {
    case HEADER_80:
        assert(header->length <= UINT16_MAX);
        put_be32(out, MAGIC_80);
        put_be16(out + H80_COMMAND, header->command);
        put_be16(out + H80_LENGTH, (uint16_t)header->length);
        break;
    case HEADER_95:
        put_be16(out, MAGIC_95);
        put_be16(out + H95_COMMAND, header->command);
        put_be32(out + H95_LENGTH, header->length);
        break;
    case HEADER_100:
        put_be32(out, MAGIC_100);
        put_be16(out + H100_VOLUME, header->volume);
        put_be16(out + H100_COMMAND, header->command);
        put_be32(out + H100_LENGTH, header->length);
        break;
    }
    return header_length(form);
}

enum { FEATURES_LENGTH = 72 };

size_t packet_features_encode(const struct packet_features *p, uint8_t *out)
{
    memset(out, 0, FEATURES_LENGTH);
    put_be32(out, p->protocol_min);
    put_be32(out + 4, p->features);
    put_be32(out + 8, p->protocol_max);
    return FEATURES_LENGTH;
}

int packet_features_decode(const uint8_t *payload, size_t length, struct packet_features *p)
{
    if (length != FEATURES_LENGTH)
        return -EPROTO;
    p->protocol_min = get_be32(payload);
    p->features = get_be32(payload + 4);
    p->protocol_max = get_be32(payload + 8);
    if (!p->protocol_max) /* before ranges there was one number */
        p->protocol_max = p->protocol_min;
    return p->protocol_min > p->protocol_max ? -EPROTO : 0;
}

enum { PROTOCOL_LENGTH = 24 };

size_t packet_protocol_encode(const struct packet_protocol *p, uint8_t *out)
{
    size_t name = strnlen(p->integrity_alg, MESSAGE_ALGORITHM - 1);

    put_be32(out, p->protocol);
    put_be32(out + 4, p->after_sb_0p);
    put_be32(out + 8, p->after_sb_1p);
    put_be32(out + 12, p->after_sb_2p);
    put_be32(out + 16, p->flags);
    put_be32(out + 20, p->two_primaries);
    memcpy(out + PROTOCOL_LENGTH, p->integrity_alg, name);
    out[PROTOCOL_LENGTH + name] = 0;
    return PROTOCOL_LENGTH + name + 1;
}

int packet_protocol_decode(const uint8_t *payload, size_t length, struct packet_protocol *p)
{
    size_t name;

    if (length < PROTOCOL_LENGTH || length - PROTOCOL_LENGTH > MESSAGE_ALGORITHM)
        return -EPROTO;
    *p = (struct packet_protocol){
        .protocol = get_be32(payload),
        .after_sb_0p = get_be32(payload + 4),
        .after_sb_1p = get_be32(payload + 8),
        .after_sb_2p = get_be32(payload + 12),
        .flags = get_be32(payload + 16),
        .two_primaries = get_be32(payload + 20),
    };
    name = length - PROTOCOL_LENGTH;
    if (!name)
        return 0;
    if (!memchr(payload + PROTOCOL_LENGTH, 0, name))
        return -EPROTO;
    memcpy(p->integrity_alg, payload + PROTOCOL_LENGTH, name);
    return 0;
}

enum {
    SYNC_PARAM_LENGTH = 148,
    SYNC_PARAM_VERIFY = 4,
    SYNC_PARAM_CSUMS = 68,
    SYNC_PARAM_PLAN = 132
};

size_t packet_sync_param_encode(const struct packet_sync_param *p, uint8_t *out)
{
    memset(out, 0, SYNC_PARAM_LENGTH);
    put_be32(out, p->rate);
    memcpy(out + SYNC_PARAM_VERIFY, p->verify_alg, strnlen(p->verify_alg, MESSAGE_ALGORITHM - 1));
    memcpy(out + SYNC_PARAM_CSUMS, p->csums_alg, strnlen(p->csums_alg, MESSAGE_ALGORITHM - 1));
    put_be32(out + SYNC_PARAM_PLAN, p->c_plan_ahead);
    put_be32(out + SYNC_PARAM_PLAN + 4, p->c_delay_target);
    put_be32(out + SYNC_PARAM_PLAN + 8, p->c_fill_target);
    put_be32(out + SYNC_PARAM_PLAN + 12, p->c_max_rate);
    return SYNC_PARAM_LENGTH;
}

int packet_sync_param_decode(const uint8_t *payload, size_t length, struct packet_sync_param *p)
{
    if (length != SYNC_PARAM_LENGTH || !memchr(payload + SYNC_PARAM_VERIFY, 0, MESSAGE_ALGORITHM) ||
        !memchr(payload + SYNC_PARAM_CSUMS, 0, MESSAGE_ALGORITHM))
        return -EPROTO;
    p->rate = get_be32(payload);
    memcpy(p->verify_alg, payload + SYNC_PARAM_VERIFY, MESSAGE_ALGORITHM);
    memcpy(p->csums_alg, payload + SYNC_PARAM_CSUMS, MESSAGE_ALGORITHM);
    p->c_plan_ahead = get_be32(payload + SYNC_PARAM_PLAN);
    p->c_delay_target = get_be32(payload + SYNC_PARAM_PLAN + 4);
    p->c_fill_target = get_be32(payload + SYNC_PARAM_PLAN + 8);
    p->c_max_rate = get_be32(payload + SYNC_PARAM_PLAN + 12);
    return 0;
}

enum { SIZES_LENGTH = 32, SIZES_QLIM_LENGTH = 24 };

size_t packet_sizes_encode(const struct packet_sizes *p, bool qlim, uint8_t *out)
{
    uint8_t *q = out + SIZES_LENGTH;

    put_be64(out, p->device_size);
    put_be64(out + 8, p->user_size);
    put_be64(out + 16, p->current_size);
    put_be32(out + 24, p->max_bio);
    put_be16(out + 28, p->order);
    put_be16(out + 30, p->flags);
    if (!qlim)
        return SIZES_LENGTH;
    put_be32(q, p->physical_block);
    put_be32(q + 4, p->logical_block);
    put_be32(q + 8, p->alignment_offset);
    put_be32(q + 12, p->io_min);
    put_be32(q + 16, p->io_opt);
    q[20] = p->discard_enabled;
    q[21] = p->discard_zeroes;
    q[22] = p->write_same_capable;
    q[23] = 0;
    return SIZES_LENGTH + SIZES_QLIM_LENGTH;
}

int packet_sizes_decode(const uint8_t *payload, size_t length, bool qlim, struct packet_sizes *p)
{
    const uint8_t *q = payload + SIZES_LENGTH;

    if (length != SIZES_LENGTH + (qlim ? (size_t)SIZES_QLIM_LENGTH : 0))
        return -EPROTO;
    *p = (struct packet_sizes){
        .device_size = get_be64(payload),
        .user_size = get_be64(payload + 8),
        .current_size = get_be64(payload + 16),
        .max_bio = get_be32(payload + 24),
        .order = get_be16(payload + 28),
        .flags = get_be16(payload + 30),
    };
    if (!qlim)
        return 0;
    p->physical_block = get_be32(q);
    p->logical_block = get_be32(q + 4);
    p->alignment_offset = get_be32(q + 8);
    p->io_min = get_be32(q + 12);
    p->io_opt = get_be32(q + 16);
    p->discard_enabled = q[20];
    p->discard_zeroes = q[21];
    p->write_same_capable = q[22];
    return 0;
}

enum { UUIDS_LENGTH = 48, SYNC_UUID_LENGTH = 8 };

size_t packet_uuids_encode(const struct packet_uuids *p, uint8_t *out)
{
    put_be64(out, p->current);
    put_be64(out + 8, p->bitmap);
    put_be64(out + 16, p->history[0]);
    put_be64(out + 24, p->history[1]);
    put_be64(out + 32, p->dirty_bits);
    put_be64(out + 40, p->flags);
    return UUIDS_LENGTH;
}

int packet_uuids_decode(const uint8_t *payload, size_t length, struct packet_uuids *p)
{
    if (length != UUIDS_LENGTH)
        return -EPROTO;
    *p = (struct packet_uuids){
        .current = get_be64(payload),
        .bitmap = get_be64(payload + 8),
        .history = {get_be64(payload + 16), get_be64(payload + 24)},
        .dirty_bits = get_be64(payload + 32),
        .flags = get_be64(payload + 40),
    };
    return 0;
}

size_t packet_sync_uuid_encode(uint64_t uuid, uint8_t *out)
{
    put_be64(out, uuid);
    return SYNC_UUID_LENGTH;
}

int packet_sync_uuid_decode(const uint8_t *payload, size_t length, uint64_t *uuid)
{
    if (length != SYNC_UUID_LENGTH)
        return -EPROTO;
    *uuid = get_be64(payload);
    return 0;
}
