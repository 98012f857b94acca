#include "cluster/message.h"

#include <errno.h>

enum { MAGIC = 0x484c, NODE_BITS = ((1u << LIMIT_NODES) - 1) << 1 };

static void write_stamp(struct writer *w, const struct cluster_stamp *stamp)
{
    write_be64(w, stamp->epoch);
    write_be64(w, stamp->order);
    write_be64(w, stamp->digest);
    write_be32(w, stamp->members);
    write_be32(w, stamp->live);
}

static void read_stamp(struct reader *r, struct cluster_stamp *stamp)
{
    stamp->epoch = read_be64(r);
    stamp->order = read_be64(r);
    stamp->digest = read_be64(r);
    stamp->members = read_be32(r);
    stamp->live = read_be32(r);
}

static int is_node(uint32_t node)
{
    return node >= 1 && node <= LIMIT_NODES;
}

static int is_mask(uint32_t mask)
{
    return !(mask & ~(uint32_t)NODE_BITS);
}

static void encode_hello(const struct cluster_message *m, struct writer *w)
{
    write_u8(w, m->hello.wire_min);
    write_u8(w, m->hello.wire_max);
    write_u8(w, m->hello.flags);
    write_u8(w, 0);
    write_be32(w, m->hello.attempt);
    write_be32(w, m->hello.group);
    write_bytes(w, m->hello.config_digest, sizeof m->hello.config_digest);
    write_bytes(w, m->hello.cluster_uuid, sizeof m->hello.cluster_uuid);
    write_stamp(w, &m->hello.stamp);
}

static int decode_hello(struct cluster_message *m, struct reader *r)
{
    m->hello.wire_min = read_u8(r);
    m->hello.wire_max = read_u8(r);
    m->hello.flags = read_u8(r);
    read_u8(r);
    m->hello.attempt = read_be32(r);
    m->hello.group = read_be32(r);
    read_bytes(r, m->hello.config_digest, sizeof m->hello.config_digest);
    read_bytes(r, m->hello.cluster_uuid, sizeof m->hello.cluster_uuid);
    read_stamp(r, &m->hello.stamp);
    return m->hello.wire_min && m->hello.wire_min <= m->hello.wire_max && is_mask(m->hello.group) &&
           is_mask(m->hello.stamp.members) && is_mask(m->hello.stamp.live);
}

static void encode_start(const struct cluster_message *m, struct writer *w)
{
    write_be32(w, m->start.group);
}

static int decode_start(struct cluster_message *m, struct reader *r)
{
    m->start.group = read_be32(r);
    return is_mask(m->start.group);
}

static void encode_begin(const struct cluster_message *m, struct writer *w)
{
    write_be64(w, m->begin.id);
    write_be32(w, m->begin.to);
}

static int decode_begin(struct cluster_message *m, struct reader *r)
{
    m->begin.id = read_be64(r);
    m->begin.to = read_be32(r);
    return is_mask(m->begin.to);
}

static void encode_snapshot(const struct cluster_message *m, struct writer *w)
{
    write_be64(w, m->snapshot.id);
    write_be32(w, m->snapshot.offset);
    write_be32(w, m->snapshot.total);
    write_be32(w, m->snapshot.length);
    write_bytes(w, m->snapshot.bytes, m->snapshot.length);
}

static int decode_snapshot(struct cluster_message *m, struct reader *r)
{
    m->snapshot.id = read_be64(r);
    m->snapshot.offset = read_be32(r);
    m->snapshot.total = read_be32(r);
    m->snapshot.length = read_be32(r);
    m->snapshot.bytes = r->data;
    if (r->bad || m->snapshot.length != r->left || !m->snapshot.length ||
        m->snapshot.length > MESSAGE_CHUNK || m->snapshot.total > SNAPSHOT_MAX ||
        m->snapshot.offset > m->snapshot.total ||
        m->snapshot.length > m->snapshot.total - m->snapshot.offset)
        return 0;
    r->left = 0;
    return 1;
}

static void encode_ready(const struct cluster_message *m, struct writer *w)
{
    write_be32(w, m->ready.attempt);
}

static int decode_ready(struct cluster_message *m, struct reader *r)
{
    m->ready.attempt = read_be32(r);
    return 1;
}

static void encode_admit(const struct cluster_message *m, struct writer *w)
{
    write_be32(w, m->admit.node);
    write_be32(w, m->admit.attempt);
    write_be64(w, m->admit.incarnation);
}

static int decode_admit(struct cluster_message *m, struct reader *r)
{
    m->admit.node = read_be32(r);
    m->admit.attempt = read_be32(r);
    m->admit.incarnation = read_be64(r);
    return is_node(m->admit.node);
}

static void encode_op(const struct cluster_message *m, struct writer *w)
{
    write_be64(w, m->op.sequence);
    write_be32(w, m->op.length);
    write_bytes(w, m->op.bytes, m->op.length);
}

static int decode_op(struct cluster_message *m, struct reader *r)
{
    m->op.sequence = read_be64(r);
    m->op.length = read_be32(r);
    m->op.bytes = r->data;
    if (r->bad || m->op.length != r->left || !m->op.length)
        return 0;
    r->left = 0;
    return 1;
}

static void encode_ack(const struct cluster_message *m, struct writer *w)
{
    write_be32(w, m->ack.origin);
    write_be64(w, m->ack.order);
}

static int decode_ack(struct cluster_message *m, struct reader *r)
{
    m->ack.origin = read_be32(r);
    m->ack.order = read_be64(r);
    return is_node(m->ack.origin);
}

static void encode_ask(const struct cluster_message *m, struct writer *w)
{
    write_be64(w, m->ask.order);
}

static int decode_ask(struct cluster_message *m, struct reader *r)
{
    m->ask.order = read_be64(r);
    return 1;
}

static void encode_harmless(const struct cluster_message *m, struct writer *w)
{
    write_be32(w, m->harmless.node);
    write_be64(w, m->harmless.incarnation);
    write_u8(w, m->harmless.proof);
}

static int decode_harmless(struct cluster_message *m, struct reader *r)
{
    m->harmless.node = read_be32(r);
    m->harmless.incarnation = read_be64(r);
    m->harmless.proof = read_u8(r);
    return is_node(m->harmless.node);
}

static void encode_heartbeat(const struct cluster_message *m, struct writer *w)
{
    write_be64(w, m->heartbeat.number);
    write_be64(w, m->heartbeat.order);
    write_be64(w, m->heartbeat.digest);
    write_u8(w, m->heartbeat.want);
    for (unsigned node = 1; node <= LIMIT_NODES; node++)
        write_be64(w, m->heartbeat.echo[node]);
}

static int decode_heartbeat(struct cluster_message *m, struct reader *r)
{
    m->heartbeat.number = read_be64(r);
    m->heartbeat.order = read_be64(r);
    m->heartbeat.digest = read_be64(r);
    m->heartbeat.want = read_u8(r);
    m->heartbeat.echo[0] = 0;
    for (unsigned node = 1; node <= LIMIT_NODES; node++)
        m->heartbeat.echo[node] = read_be64(r);
    return 1;
}

static void encode_confirm(const struct cluster_message *m, struct writer *w)
{
    for (unsigned node = 1; node <= LIMIT_NODES; node++)
        write_be32(w, m->confirm.attempt[node]);
}

static int decode_confirm(struct cluster_message *m, struct reader *r)
{
    m->confirm.attempt[0] = 0;
    for (unsigned node = 1; node <= LIMIT_NODES; node++)
        m->confirm.attempt[node] = read_be32(r);
    return 1;
}

static void encode_handover(const struct cluster_message *m, struct writer *w)
{
    write_be32(w, m->handover.owner);
    write_be32(w, m->handover.group);
    write_be32(w, m->handover.epoch);
}

static int decode_handover(struct cluster_message *m, struct reader *r)
{
    m->handover.owner = read_be32(r);
    m->handover.group = read_be32(r);
    m->handover.epoch = read_be32(r);
    return is_node(m->handover.owner) && m->handover.group < LIMIT_GROUPS;
}

static void encode_consult(const struct cluster_message *m, struct writer *w)
{
    write_be64(w, m->consult.number);
    write_bytes(w, m->consult.digest, sizeof m->consult.digest);
}

static int decode_consult(struct cluster_message *m, struct reader *r)
{
    m->consult.number = read_be64(r);
    read_bytes(r, m->consult.digest, sizeof m->consult.digest);
    return 1;
}

static void encode_opinion(const struct cluster_message *m, struct writer *w)
{
    write_be32(w, m->opinion.to);
    write_be64(w, m->opinion.number);
    write_u8(w, m->opinion.good);
    write_be16(w, m->opinion.length);
    write_bytes(w, m->opinion.text, m->opinion.length);
}

static int decode_opinion(struct cluster_message *m, struct reader *r)
{
    m->opinion.to = read_be32(r);
    m->opinion.number = read_be64(r);
    m->opinion.good = read_u8(r);
    m->opinion.length = read_be16(r);
    m->opinion.text = r->data;
    if (r->bad || m->opinion.length != r->left || m->opinion.length > MESSAGE_OPINION_TEXT)
        return 0;
    r->left = 0;
    return is_node(m->opinion.to) && m->opinion.good <= 1;
}

static const struct {
    uint8_t wire; /* version that brought it or last changed it */
    void (*encode)(const struct cluster_message *message, struct writer *w);
    int (*decode)(struct cluster_message *message, struct reader *r);
} rows[MESSAGE_TYPES] = {
    [MESSAGE_HELLO] = {1, encode_hello, decode_hello},
    [MESSAGE_START] = {1, encode_start, decode_start},
    [MESSAGE_BEGIN] = {1, encode_begin, decode_begin},
    [MESSAGE_SNAPSHOT] = {1, encode_snapshot, decode_snapshot},
    [MESSAGE_READY] = {1, encode_ready, decode_ready},
    [MESSAGE_ADMIT] = {1, encode_admit, decode_admit},
    [MESSAGE_OP] = {1, encode_op, decode_op},
    [MESSAGE_ACK] = {1, encode_ack, decode_ack},
    [MESSAGE_ASK] = {1, encode_ask, decode_ask},
    [MESSAGE_HARMLESS] = {1, encode_harmless, decode_harmless},
    [MESSAGE_HEARTBEAT] = {1, encode_heartbeat, decode_heartbeat},
    [MESSAGE_CONFIRM] = {1, encode_confirm, decode_confirm},
    [MESSAGE_HANDOVER] = {2, encode_handover, decode_handover},
    [MESSAGE_CONSULT] = {2, encode_consult, decode_consult},
    [MESSAGE_OPINION] = {2, encode_opinion, decode_opinion},
};

uint8_t message_wire(const struct cluster_message *message)
{
    uint8_t wire = rows[message->type].wire;

    if (message->type == MESSAGE_OP && message->op.wire > wire)
        wire = message->op.wire;
    return wire;
}

void message_encode(const struct cluster_message *message, struct writer *w)
{
    write_be16(w, MAGIC);
    write_u8(w, message->wire);
    write_u8(w, message->type);
    write_be64(w, message->incarnation);
    rows[message->type].encode(message, w);
}

int message_decode(struct cluster_message *message, const void *data, size_t size)
{
    struct reader r = {.data = data, .left = size};
    uint8_t type;

    memset(message, 0, sizeof *message);
    if (read_be16(&r) != MAGIC)
        return -EBADMSG;
    message->wire = read_u8(&r);
    type = read_u8(&r);
    message->incarnation = read_be64(&r);
    if (r.bad)
        return -EBADMSG;
    if (!type || type >= MESSAGE_TYPES)
        return -EPROTONOSUPPORT;
    message->type = type;
    /* A HELLO keeps its beginning in every version: it is how versions are agreed upon. */
    if (type != MESSAGE_HELLO && (message->wire < WIRE_MIN || message->wire > WIRE_MAX))
        return -EPROTONOSUPPORT;
    if (!rows[type].decode(message, &r) || r.bad)
        return -EBADMSG;
    if (r.left && (type != MESSAGE_HELLO || message->wire <= WIRE_MAX))
        return -EBADMSG;
    return 0;
}
