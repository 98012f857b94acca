/* State words and the packets that carry them. */
#include <errno.h>

#include "replication/message.h"
#include "target/base/bytes.h"

enum { /* lowest bit of each field */
       ROLE_AT = 0,
       PEER_AT = 2,
       CONN_AT = 4,
       DISK_AT = 9,
       PDSK_AT = 13,
       SUSP_AT = 17,
       AFTR_ISP_AT = 18,
       PEER_ISP_AT = 19,
       USER_ISP_AT = 20,
       SUSP_NOD_AT = 21,
       SUSP_FEN_AT = 22,

       ROLE_MASK = 3,
       CONN_MASK = 31,
       DISK_MASK = 15,
};

uint32_t wire_state_pack(const struct wire_state *s)
{
    return (uint32_t)(s->role & ROLE_MASK) << ROLE_AT | (uint32_t)(s->peer & ROLE_MASK) << PEER_AT |
           (uint32_t)(s->conn & CONN_MASK) << CONN_AT | (uint32_t)(s->disk & DISK_MASK) << DISK_AT |
           (uint32_t)(s->pdsk & DISK_MASK) << PDSK_AT | (uint32_t)s->susp << SUSP_AT |
           (uint32_t)s->aftr_isp << AFTR_ISP_AT | (uint32_t)s->peer_isp << PEER_ISP_AT |
           (uint32_t)s->user_isp << USER_ISP_AT | (uint32_t)s->susp_nod << SUSP_NOD_AT |
           (uint32_t)s->susp_fen << SUSP_FEN_AT;
}

struct wire_state wire_state_unpack(uint32_t word)
{
    return (struct wire_state){
        .role = word >> ROLE_AT & ROLE_MASK,
        .peer = word >> PEER_AT & ROLE_MASK,
        .conn = word >> CONN_AT & CONN_MASK,
        .disk = word >> DISK_AT & DISK_MASK,
        .pdsk = word >> PDSK_AT & DISK_MASK,
        .susp = word >> SUSP_AT & 1,
        .aftr_isp = word >> AFTR_ISP_AT & 1,
        .peer_isp = word >> PEER_ISP_AT & 1,
        .user_isp = word >> USER_ISP_AT & 1,
        .susp_nod = word >> SUSP_NOD_AT & 1,
        .susp_fen = word >> SUSP_FEN_AT & 1,
    };
}

bool wire_state_valid(const struct wire_state *s)
{
    return s->role <= WIRE_SECONDARY && s->peer <= WIRE_SECONDARY && s->conn <= WIRE_CONN_BEHIND &&
           s->disk <= DISK_UP_TO_DATE && s->pdsk <= DISK_UP_TO_DATE;
}

static uint8_t mirrored_conn(uint8_t conn)
{
    static const struct {
        uint8_t theirs, mine;
    } map[] = {
        {CONN_DISCONNECTING, CONN_TEAR_DOWN},
        {CONN_STARTING_SYNC_S, CONN_STARTING_SYNC_T},
        {CONN_STARTING_SYNC_T, CONN_STARTING_SYNC_S},
        {CONN_VERIFY_S, CONN_VERIFY_T},
    };

    for (unsigned i = 0; i < sizeof map / sizeof *map; i++)
        if (map[i].theirs == conn)
            return map[i].mine;
    return conn;
}

struct wire_state wire_state_mirror(const struct wire_state *s)
{
    return (struct wire_state){
        .role = s->peer,
        .peer = s->role,
        .conn = mirrored_conn(s->conn),
        .disk = s->pdsk,
        .pdsk = s->disk,
        .peer_isp = s->aftr_isp || s->user_isp,
    };
}

struct wire_state wire_state_apply(const struct wire_state *s, const struct wire_state *mask,
                                   const struct wire_state *value)
{
    uint32_t bits = wire_state_pack(mask);

    return wire_state_unpack((wire_state_pack(s) & ~bits) | (wire_state_pack(value) & bits));
}

enum { STATE_LENGTH = 4, STATE_REQUEST_LENGTH = 8 };

size_t packet_state_encode(const struct wire_state *s, uint8_t *out)
{
    put_be32(out, wire_state_pack(s));
    return STATE_LENGTH;
}

int packet_state_decode(const uint8_t *payload, size_t length, struct wire_state *s)
{
    if (length != STATE_LENGTH)
        return -EPROTO;
    *s = wire_state_unpack(get_be32(payload));
    return wire_state_valid(s) ? 0 : -EPROTO;
}

size_t packet_state_request_encode(const struct packet_state_request *p, uint8_t *out)
{
    put_be32(out, wire_state_pack(&p->mask));
    put_be32(out + 4, wire_state_pack(&p->value));
    return STATE_REQUEST_LENGTH;
}

int packet_state_request_decode(const uint8_t *payload, size_t length, bool mirrored,
                                struct packet_state_request *p)
{
    if (length != STATE_REQUEST_LENGTH)
        return -EPROTO;
    p->mask = wire_state_unpack(get_be32(payload));
    p->value = wire_state_unpack(get_be32(payload + 4));
    if (!mirrored)
        return 0;
    p->mask = wire_state_mirror(&p->mask);
    p->value = wire_state_mirror(&p->value);
    return 0;
}

size_t packet_state_reply_encode(int32_t code, uint8_t *out)
{
    put_be32(out, (uint32_t)code);
    return STATE_LENGTH;
}

int packet_state_reply_decode(const uint8_t *payload, size_t length, int32_t *code)
{
    if (length != STATE_LENGTH)
        return -EPROTO;
    *code = (int32_t)get_be32(payload);
    return 0;
}

const char *state_reply_text(int32_t code)
{
    static const struct {
        int32_t code;
        const char *text;
    } texts[] = {
        {STATE_OK, "done"},
        {STATE_NOTHING_TO_DO, "nothing to do"},
        {STATE_TWO_PRIMARIES, "the peer is Primary"},
        {STATE_NO_UP_TO_DATE_DISK, "no disk is UpToDate"},
        {STATE_OUTDATE_WHILE_CONNECTED, "a connected copy is not outdated"},
        {STATE_PEER_NOT_OUTDATED, "the peer's copy is not outdated"},
        {STATE_RESYNC_RUNNING, "a resync is running"},
        {STATE_FAILED_BY_PEER, "refused by the peer"},
        {STATE_DISKLESS, "there is no disk"},
        {STATE_IN_USE, "the device is in use"},
        {STATE_TRANSIENT, "in transition, try again"},
        {STATE_CONCURRENT, "two requests at once, try again"},
    };

    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].code == code)
            return texts[i].text;
    return code >= STATE_OK ? "done" : "refused";
}
