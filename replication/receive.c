/* What each packet does: one row per packet. The link has checked header, socket and length. */
#include <errno.h>
#include <string.h>

#include "replication/resource.h"
#include "replication/unequal.h"

enum {
    IN_FEATURES = 1 << LINK_FEATURES,
    IN_AUTH = 1 << LINK_AUTH,
    IN_PARAMS = 1 << LINK_PARAMS,
    IN_UP = 1 << LINK_UP,
    ESTABLISHED = IN_PARAMS | IN_UP
};

/* A packet: of the volume `v` (NULL: of the connection). */
struct incoming {
    struct resource *r;
    struct volume *v;
    const struct packet_header *header;
    const uint8_t *body;
    size_t length;
};

struct receiver {
    uint16_t command;
    uint8_t phases;
    bool established; /* only after the copies were compared */
    int (*run)(const struct incoming *in);
};

static int features(const struct incoming *in)
{
    return handshake_features(in->r, in->body, in->length);
}

static int challenge(const struct incoming *in)
{
    return handshake_challenge(in->r, in->body, in->length);
}

static int response(const struct incoming *in)
{
    return handshake_response(in->r, in->body, in->length);
}

static int protocol(const struct incoming *in)
{
    return handshake_protocol(in->r, in->body, in->length);
}

static int sync_param(const struct incoming *in)
{
    return handshake_sync_param(in->v, in->body, in->length);
}

static int sizes(const struct incoming *in)
{
    return handshake_sizes(in->v, in->body, in->length);
}

static int uuids(const struct incoming *in)
{
    return handshake_uuids(in->v, in->body, in->length);
}

static int state(const struct incoming *in)
{
    return handshake_state(in->v, in->body, in->length);
}

static int ignored(const struct incoming *in)
{
    return 0;
}

static int bitmap(const struct incoming *in)
{
    return resync_bitmap(in->v, in->header->command == P_COMPRESSED_BITMAP, in->body, in->length);
}

static int sync_uuid(const struct incoming *in)
{
    uint64_t uuid;

    return packet_sync_uuid_decode(in->body, in->length, &uuid) ? -EPROTO
                                                                : resync_sync_uuid(in->v, uuid);
}

static bool in_range(const struct volume *v, uint64_t sector, uint32_t bytes)
{
    return sector <= v->sectors && bytes / MD_SECTOR <= v->sectors - sector;
}

/* The peer writes only as Primary, and then this node is not. */
static bool may_write(const struct incoming *in)
{
    return !in->r->primary && in->r->peer_role == WIRE_PRIMARY;
}

static int clear_range(const struct incoming *in)
{
    struct packet_data p;
    struct mirror *m;

    if (packet_trim_decode(in->body, in->length, &p) || !may_write(in) ||
        !in_range(in->v, p.sector, p.size))
        return -EPROTO;
    m = mirror_new(in->r, in->v);
    if (!m)
        return -EAGAIN;
    m->data = p;
    mirror_run(m, in->header->command);
    return 0;
}

static int barrier(const struct incoming *in)
{
    uint32_t number;

    if (packet_barrier_decode(in->body, in->length, &number))
        return -EPROTO;
    if (epoch_receiver_full(&in->r->received))
        return -EAGAIN;
    mirror_barrier(in->r, number);
    return 0;
}

static int out_of_sync(const struct incoming *in)
{
    struct packet_block_range p;

    if (packet_block_range_decode(in->body, in->length, &p) || !in_range(in->v, p.sector, p.size))
        return -EPROTO;
    if (in->v->map)
        unequal_told(in->v, p.sector, p.size / MD_SECTOR);
    return 0;
}

static int read_request(const struct incoming *in)
{
    static const struct {
        unsigned command;
        enum sync_kind kind;
    } kinds[] = {
        {P_DATA_REQUEST, SYNC_PEER_READ},
        {P_RS_DATA_REQUEST, SYNC_READ},
        {P_CSUM_RS_REQUEST, SYNC_CHECKED},
        {P_RS_THIN_REQ, SYNC_THIN},
    };
    struct packet_block_request p;
    unsigned i = 0;

    while (kinds[i].command != in->header->command)
        i++;
    if (packet_block_request_decode(in->body, in->length, MESSAGE_MAX_BIO, &p) ||
        (kinds[i].kind == SYNC_CHECKED &&
         (!in->r->group->csums_alg || in->length == PACKET_BLOCK_REQUEST_LENGTH)) ||
        (kinds[i].kind == SYNC_THIN && !(in->r->features & FEATURE_THIN_RESYNC)))
        return -EPROTO;
    return sync_serve(in->v, &p, kinds[i].kind, in->body + PACKET_BLOCK_REQUEST_LENGTH,
                      in->length - PACKET_BLOCK_REQUEST_LENGTH);
}

static int verify_request(const struct incoming *in)
{
    struct packet_block_request p;
    bool reply = in->header->command == P_OV_REPLY;

    if (packet_block_request_decode(in->body, in->length, MESSAGE_MAX_BIO, &p) ||
        !in_range(in->v, p.sector, p.size) || !in->r->group->verify_alg)
        return -EPROTO;
    if (!reply)
        return verify_serve(in->v, &p);
    return verify_reply(in->v, &p, in->body + PACKET_BLOCK_REQUEST_LENGTH,
                        in->length - PACKET_BLOCK_REQUEST_LENGTH);
}

static int deallocated(const struct incoming *in)
{
    struct packet_block_range p;

    return packet_block_range_decode(in->body, in->length, &p) ? -EPROTO : sync_zeros(in->v, &p);
}

static bool in_transition(const struct incoming *in)
{
    if (in->v)
        return conn_in_transition(in->v->state.conn);
    for (unsigned i = 0; i < in->r->volume_count; i++)
        if (conn_in_transition(in->r->volumes[i]->state.conn))
            return true;
    return false;
}

static int state_request(const struct incoming *in)
{
    struct packet_state_request p;
    struct state_question q = {
        .request = &p,
        .primary = in->r->primary,
        .own_request = in->r->own_request,
        .resolve_conflicts = in->r->resolve_conflicts,
    };
    bool whole = in->header->command == P_CONN_ST_CHG_REQ;
    uint8_t body[4];
    int32_t answer;

    if (packet_state_request_decode(in->body, in->length, true, &p))
        return -EPROTO;
    q.transition = !p.mask.conn && in_transition(in);
    q.may_verify = in->v && verify_possible(in->v);
    q.outside = in->r->peer_node == REPLICA_PEER_OUTSIDE;
    if (in->v) {
        q.at_rest = in->v->state.conn == CONN_CONNECTED && !in->v->step_running && !in->v->resync.catching_up;
        q.good = in->v->state.disk == DISK_UP_TO_DATE;
        q.peer_good = in->v->state.peer_disk == DISK_UP_TO_DATE;
        q.peer_primary = in->r->peer_role == WIRE_PRIMARY;
    }
    answer = state_request_answer(&q);
    if (answer == STATE_OK && p.mask.peer)
        in->r->peer_role = p.value.peer;
    link_send(in->r, &in->r->link.meta, in->header->volume,
              whole ? P_CONN_ST_CHG_REPLY : P_STATE_CHG_REPLY, body,
              packet_state_reply_encode(answer, body));
    if (answer == STATE_OK && p.mask.conn && p.value.conn == CONN_VERIFY_T)
        verify_begin(in->v, false);
    else if (answer == STATE_OK && p.mask.conn &&
             (p.value.conn == CONN_STARTING_SYNC_S || p.value.conn == CONN_STARTING_SYNC_T))
        resync_whole(in->v, p.value.conn == CONN_STARTING_SYNC_S);
    else if (answer == STATE_OK && p.mask.conn)
        resource_say(in->r, "the peer disconnects");
    if (p.mask.conn)
        in->r->publish = true;
    in->r->publish_roles = true;
    return 0;
}

static int state_reply(const struct incoming *in)
{
    int32_t code;

    if (packet_state_reply_decode(in->body, in->length, &code))
        return -EPROTO;
    if (in->header->command == P_CONN_ST_CHG_REPLY)
        admin_conn_reply(in->r, code);
    else
        admin_reply(in->r, code);
    return 0;
}

static int ping(const struct incoming *in)
{
    link_send(in->r, &in->r->link.meta, 0, P_PING_ACK, NULL, 0);
    return 0;
}

static int ping_ack(const struct incoming *in)
{
    struct resource *r = in->r;

    if (r->link.ping_acks >= r->link.pings)
        return 0; /* not asked for, harmless */
    r->link.ping_acks++;
    for (unsigned i = 0; i < r->volume_count; i++)
        resync_target_end(r->volumes[i]);
    return 0;
}

static int ack(const struct incoming *in)
{
    struct packet_block_ack p;
    unsigned command = in->header->command;

    if (packet_block_ack_decode(in->body, in->length, &p) || !in_range(in->v, p.sector, p.size))
        return -EPROTO;
    if (command == P_RS_IS_IN_SYNC)
        return conn_is_target(in->v->state.conn) ? sync_equal(in->v, &p) : -EPROTO;
    if (command == P_OV_RESULT)
        return verify_result(in->v, &p);
    if (p.block_id == BLOCK_ID_SYNC) {
        if (command == P_RS_WRITE_ACK && conn_is_source(in->v->state.conn)) {
            dirty_map_clear(in->v->map, p.sector, p.size / MD_SECTOR);
            resync_check_source(in->v);
        }
        return 0; /* a refused one stays marked; its sender says more with P_STATE */
    }
    if (command == P_NEG_ACK)
        write_refused(in->r, in->v, &p);
    else
        write_acked(in->r, in->v, &p, command == P_RS_WRITE_ACK);
    return 0;
}

static int resync_refused(const struct incoming *in)
{
    struct packet_block_ack p;

    if (packet_block_ack_decode(in->body, in->length, &p))
        return -EPROTO;
    if (in->header->command == P_NEG_DREPLY) {
        struct sync_io *s = peer_read_find(in->v, p.block_id, p.sector, p.size);

        if (!s)
            return -EPROTO;
        peer_read_done(s, -EIO);
        return 0;
    }
    sync_failed(in->v, &p);
    return 0;
}

static int barrier_ack(const struct incoming *in)
{
    struct packet_barrier_ack p;

    return packet_barrier_ack_decode(in->body, in->length, &p) ? -EPROTO
                                                               : write_barrier_acked(in->r, &p);
}

static const struct receiver receivers[] = {
    {P_CONNECTION_FEATURES, IN_FEATURES, false, features},
    {P_AUTH_CHALLENGE, IN_AUTH, false, challenge},
    {P_AUTH_RESPONSE, IN_AUTH, false, response},
    {P_PROTOCOL, IN_PARAMS, false, protocol},
    {P_SYNC_PARAM89, ESTABLISHED, false, sync_param},
    {P_SIZES, ESTABLISHED, false, sizes},
    {P_UUIDS, ESTABLISHED, false, uuids},
    {P_STATE, ESTABLISHED, false, state},
    {P_UNPLUG_REMOTE, ESTABLISHED, false, ignored},
    {P_DELAY_PROBE, ESTABLISHED, false, ignored},
    {P_BITMAP, ESTABLISHED, true, bitmap},
    {P_COMPRESSED_BITMAP, ESTABLISHED, true, bitmap},
    {P_SYNC_UUID, ESTABLISHED, true, sync_uuid},
    {P_TRIM, ESTABLISHED, true, clear_range},
    {P_ZEROES, ESTABLISHED, true, clear_range},
    {P_BARRIER, ESTABLISHED, false, barrier},
    {P_OUT_OF_SYNC, ESTABLISHED, true, out_of_sync},
    {P_DATA_REQUEST, ESTABLISHED, true, read_request},
    {P_RS_DATA_REQUEST, ESTABLISHED, true, read_request},
    {P_CSUM_RS_REQUEST, ESTABLISHED, true, read_request},
    {P_RS_THIN_REQ, ESTABLISHED, true, read_request},
    {P_RS_DEALLOCATED, ESTABLISHED, true, deallocated},
    {P_OV_REQUEST, ESTABLISHED, true, verify_request},
    {P_OV_REPLY, ESTABLISHED, true, verify_request},
    {P_STATE_CHG_REQ, ESTABLISHED, false, state_request},
    {P_CONN_ST_CHG_REQ, ESTABLISHED, false, state_request},
    {P_STATE_CHG_REPLY, ESTABLISHED, false, state_reply},
    {P_CONN_ST_CHG_REPLY, ESTABLISHED, false, state_reply},
    {P_PING, ESTABLISHED, false, ping},
    {P_PING_ACK, ESTABLISHED, false, ping_ack},
    {P_WRITE_ACK, ESTABLISHED, true, ack},
    {P_RS_WRITE_ACK, ESTABLISHED, true, ack},
    {P_NEG_ACK, ESTABLISHED, true, ack},
    {P_RS_IS_IN_SYNC, ESTABLISHED, true, ack},
    {P_OV_RESULT, ESTABLISHED, true, ack},
    {P_NEG_DREPLY, ESTABLISHED, true, resync_refused},
    {P_NEG_RS_DREPLY, ESTABLISHED, true, resync_refused},
    {P_RS_CANCEL, ESTABLISHED, true, resync_refused},
    {P_BARRIER_ACK, ESTABLISHED, false, barrier_ack},
};

int receive_packet(struct resource *r, struct link_socket *s, const struct packet_header *header,
                   const uint8_t *body)
{
    const struct packet_row *row = packet_row(header->command);
    struct incoming in = {.r = r, .header = header, .body = body, .length = header->length};

    for (unsigned i = 0; i < sizeof receivers / sizeof *receivers; i++) {
        const struct receiver *receiver = &receivers[i];

        if (receiver->command != header->command)
            continue;
        if (!(receiver->phases & 1 << r->link.phase))
            return -EPROTO;
        if (!row->connection) {
            in.v = resource_volume(r, header->volume);
            if (!in.v) {
                link_refuse(r, "the peer has a volume %u, this node has not", header->volume);
                return 0;
            }
            if (receiver->established && !conn_established(in.v->state.conn))
                return -EPROTO;
        }
        return receiver->run(&in);
    }
    return -EPROTO;
}

/* --- packets with data --- */

int receive_bulk_start(struct resource *r, const struct packet_header *header, const uint8_t *head,
                       struct link_bulk *bulk)
{
    struct incoming in = {.r = r, .header = header};
    struct packet_data p;

    if (!(ESTABLISHED & 1 << r->link.phase))
        return -EPROTO;
    in.v = resource_volume(r, header->volume);
    if (!in.v || !conn_established(in.v->state.conn) ||
        packet_data_decode(head, header->length, &p) || !in_range(in.v, p.sector, p.size))
        return -EPROTO;
    if (header->command == P_DATA) {
        struct mirror *m;

        if (!may_write(&in))
            return -EPROTO;
        m = mirror_new(r, in.v);
        if (!m)
            return -EAGAIN;
        if (payload_alloc(r->pool, &m->payload, p.size)) {
            mirror_drop(m);
            return -EAGAIN;
        }
        m->data = p;
        bulk->owner = m;
        bulk->payload = &m->payload;
        return 0;
    }
    if (header->command == P_RS_DATA_REPLY) {
        struct sync_io *s = sync_find(in.v, p.sector, p.size);

        if (!s)
            return -EPROTO;
        if (payload_alloc(r->pool, &s->payload, p.size))
            return -EAGAIN;
        s->receiving = true;
        bulk->owner = s;
        bulk->payload = &s->payload;
        return 0;
    }
    if (header->command == P_DATA_REPLY) {
        struct sync_io *s = peer_read_find(in.v, p.block_id, p.sector, p.size);

        if (!s)
            return -EPROTO;
        if (payload_alloc(r->pool, &s->payload, p.size))
            return -EAGAIN;
        s->receiving = true;
        bulk->owner = s;
        bulk->payload = &s->payload;
        return 0;
    }
    return -EPROTO;
}

int receive_bulk_done(struct resource *r, struct link_bulk *bulk)
{
    if (bulk->command == P_DATA)
        mirror_run(bulk->owner, P_DATA);
    else if (bulk->command == P_DATA_REPLY)
        peer_read_done(bulk->owner, 0);
    else
        sync_write(bulk->owner);
    return 0;
}

void receive_bulk_abandon(struct resource *r, struct link_bulk *bulk)
{
    if (bulk->command == P_DATA)
        mirror_drop(bulk->owner);
    else if (bulk->command == P_DATA_REPLY)
        peer_read_done(bulk->owner, -EAGAIN);
    else
        sync_free(bulk->owner);
}
