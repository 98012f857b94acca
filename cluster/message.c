#include "cluster/message.h"

#include <errno.h>

#include "target/base/codec.h"

enum { MAGIC = 0x484c, NODE_BITS = ((1u << LIMIT_NODES) - 1) << 1 };

enum { RECEIPT_MAGIC = 0x48520001, RECEIPT_FROM = 4, RECEIPT_ORIGIN = 12, RECEIPT_SEQUENCE = 20 };

static int is_node(uint32_t node)
{
    return node >= 1 && node <= LIMIT_NODES;
}

static int is_mask(uint32_t mask)
{
    return !(mask & ~(uint32_t)NODE_BITS);
}

/* What is left of the message: it must be `length` bytes, which stay where they lie. */
static int field_rest(struct codec *c, const uint8_t **bytes, uint32_t length)
{
    if (c->writer) {
        write_bytes(c->writer, *bytes, length);
        return 1;
    }
    *bytes = c->reader->data;
    if (c->reader->bad || length != c->reader->left)
        return 0;
    c->reader->left = 0;
    return 1;
}

/* The fields of each type stand once, in wire order: the same list writes them and reads them. A
 * list returns whether what was read is within range. */
static int hello(struct cluster_message *m, struct codec *c)
{
    struct cluster_stamp *stamp = &m->hello.stamp;
    uint8_t reserved = 0;

    field_u8(c, &m->hello.wire_min);
    field_u8(c, &m->hello.wire_max);
    field_u8(c, &m->hello.flags);
    field_u8(c, &reserved);
    field_be32(c, &m->hello.attempt);
    field_be32(c, &m->hello.group);
    field_bytes(c, m->hello.config_digest, sizeof m->hello.config_digest);
    field_bytes(c, m->hello.cluster_uuid, sizeof m->hello.cluster_uuid);
    field_be64(c, &stamp->epoch);
    field_be64(c, &stamp->order);
    field_be64(c, &stamp->digest);
    field_be32(c, &stamp->members);
    field_be32(c, &stamp->live);
    return m->hello.wire_min && m->hello.wire_min <= m->hello.wire_max && is_mask(m->hello.group) &&
           is_mask(stamp->members) && is_mask(stamp->live);
}

static int start(struct cluster_message *m, struct codec *c)
{
    field_be32(c, &m->start.group);
    return is_mask(m->start.group);
}

static int begin(struct cluster_message *m, struct codec *c)
{
    field_be64(c, &m->begin.id);
    field_be32(c, &m->begin.to);
    return is_mask(m->begin.to);
}

static int snapshot(struct cluster_message *m, struct codec *c)
{
    field_be64(c, &m->snapshot.id);
    field_be32(c, &m->snapshot.offset);
    field_be32(c, &m->snapshot.total);
    field_be32(c, &m->snapshot.length);
    return field_rest(c, &m->snapshot.bytes, m->snapshot.length) && m->snapshot.length &&
           m->snapshot.length <= MESSAGE_CHUNK && m->snapshot.total <= SNAPSHOT_MAX &&
           m->snapshot.offset <= m->snapshot.total &&
           m->snapshot.length <= m->snapshot.total - m->snapshot.offset;
}

static int ready(struct cluster_message *m, struct codec *c)
{
    field_be32(c, &m->ready.attempt);
    return 1;
}

static int admit(struct cluster_message *m, struct codec *c)
{
    field_be32(c, &m->admit.node);
    field_be32(c, &m->admit.attempt);
    field_be64(c, &m->admit.incarnation);
    return is_node(m->admit.node);
}

static int op(struct cluster_message *m, struct codec *c)
{
    field_be64(c, &m->op.sequence);
    field_be32(c, &m->op.length);
    return field_rest(c, &m->op.bytes, m->op.length) && m->op.length;
}

static int ack(struct cluster_message *m, struct codec *c)
{
    field_be32(c, &m->ack.origin);
    field_be64(c, &m->ack.order);
    return is_node(m->ack.origin);
}

static int ask(struct cluster_message *m, struct codec *c)
{
    field_be64(c, &m->ask.order);
    return 1;
}

static int harmless(struct cluster_message *m, struct codec *c)
{
    field_be32(c, &m->harmless.node);
    field_be64(c, &m->harmless.incarnation);
    field_u8(c, &m->harmless.proof);
    return is_node(m->harmless.node);
}

static int heartbeat(struct cluster_message *m, struct codec *c)
{
    field_be64(c, &m->heartbeat.number);
    field_be64(c, &m->heartbeat.order);
    field_be64(c, &m->heartbeat.digest);
    field_u8(c, &m->heartbeat.want);
    for (unsigned node = 1; node <= LIMIT_NODES; node++)
        field_be64(c, &m->heartbeat.echo[node]);
    return 1;
}

static int confirm(struct cluster_message *m, struct codec *c)
{
    for (unsigned node = 1; node <= LIMIT_NODES; node++)
        field_be32(c, &m->confirm.attempt[node]);
    return 1;
}

static int handover(struct cluster_message *m, struct codec *c)
{
    field_be32(c, &m->handover.owner);
    field_be32(c, &m->handover.group);
    field_be32(c, &m->handover.epoch);
    return is_node(m->handover.owner) && m->handover.group < LIMIT_GROUPS;
}

static int consult(struct cluster_message *m, struct codec *c)
{
    field_be64(c, &m->consult.number);
    field_bytes(c, m->consult.digest, sizeof m->consult.digest);
    return 1;
}

static int opinion(struct cluster_message *m, struct codec *c)
{
    field_be32(c, &m->opinion.to);
    field_be64(c, &m->opinion.number);
    field_u8(c, &m->opinion.good);
    field_be16(c, &m->opinion.length);
    return field_rest(c, &m->opinion.text, m->opinion.length) &&
           m->opinion.length <= MESSAGE_OPINION_TEXT && is_node(m->opinion.to) &&
           m->opinion.good <= 1;
}

static const struct {
    uint8_t wire; /* version that brought it or last changed it */
    int (*fields)(struct cluster_message *message, struct codec *c);
} rows[MESSAGE_TYPES] = {
    [MESSAGE_HELLO] = {1, hello},
    [MESSAGE_START] = {1, start},
    [MESSAGE_BEGIN] = {1, begin},
    [MESSAGE_SNAPSHOT] = {1, snapshot},
    [MESSAGE_READY] = {1, ready},
    [MESSAGE_ADMIT] = {1, admit},
    [MESSAGE_OP] = {1, op},
    [MESSAGE_ACK] = {1, ack},
    [MESSAGE_ASK] = {1, ask},
    [MESSAGE_HARMLESS] = {1, harmless},
    [MESSAGE_HEARTBEAT] = {1, heartbeat},
    [MESSAGE_CONFIRM] = {1, confirm},
    [MESSAGE_HANDOVER] = {2, handover},
    [MESSAGE_CONSULT] = {2, consult},
    [MESSAGE_OPINION] = {2, opinion},
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
    struct cluster_message copy = *message; /* a list could change what it is given */
    struct codec c = {.writer = w};

    write_be16(w, MAGIC);
    write_u8(w, message->wire);
    write_u8(w, message->type);
    write_be64(w, message->incarnation);
    rows[message->type].fields(&copy, &c); /* ranges are the reader's matter */
}

int message_decode(struct cluster_message *message, const void *data, size_t size)
{
    struct reader r = {.data = data, .left = size};
    struct codec c = {.reader = &r};
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
    if (!rows[type].fields(message, &c) || r.bad)
        return -EBADMSG;
    if (r.left && (type != MESSAGE_HELLO || message->wire <= WIRE_MAX))
        return -EBADMSG;
    return 0;
}

void message_receipt_encode(const struct message_receipt *receipt, uint8_t bytes[MESSAGE_RECEIPT])
{
    put_be32(bytes, RECEIPT_MAGIC);
    put_be64(bytes + RECEIPT_FROM, receipt->incarnation);
    put_be64(bytes + RECEIPT_ORIGIN, receipt->origin);
    put_be64(bytes + RECEIPT_SEQUENCE, receipt->sequence);
}

bool message_receipt_decode(struct message_receipt *receipt, const void *bytes, size_t size)
{
    const uint8_t *b = bytes;

    if (size != MESSAGE_RECEIPT || get_be32(b) != RECEIPT_MAGIC)
        return false;
    receipt->incarnation = get_be64(b + RECEIPT_FROM);
    receipt->origin = get_be64(b + RECEIPT_ORIGIN);
    receipt->sequence = get_be64(b + RECEIPT_SEQUENCE);
    return true;
}
