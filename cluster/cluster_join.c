/* Joining a living cluster by snapshot, and starting a dead one from the journals. */
#include <syslog.h>

#include "cluster/machine.h"

enum { FORCED_EPOCHS = 1 << 20 };

static void forget_joiner(struct cluster_node *n)
{
    n->join_incarnation = 0;
    n->join_attempt = 0;
    n->join_ready = false;
    n->join_admits = 0;
    n->join_persist = 0;
    n->admit_sent = false;
    n->served = false;
}

/* The group changed: every join begins again. Agreed, as everyone sees the change at the same place. */
void join_reset(struct cluster *c)
{
    for (unsigned node = 1; node <= LIMIT_NODES; node++) {
        if (c->nodes[node].join_ready)
            cluster_persist(c); /* our record names it as a possible member: no longer */
        forget_joiner(&c->nodes[node]);
    }
    c->transfer_id = 0;
    c->begin_sent = false;
    c->ready_sent = false;
    c->ready_persist = 0;
    c->start_sent = false;
    c->starter = 0;
    c->start_need = 0;
    c->start_persist = 0;
    c->replay_count = c->replay_next = 0;
    c->replay_used = 0;
}

void join_register(struct cluster *c, unsigned node, uint64_t incarnation, uint32_t attempt)
{
    struct cluster_node *n = &c->nodes[node];

    if (n->join_incarnation == incarnation && n->join_attempt == attempt)
        return;
    forget_joiner(n);
    n->join_incarnation = incarnation;
    n->join_attempt = attempt;
}

/* --- cold start ----------------------------------------------------------------------------- */

static bool better_record(const struct message_hello *a, const struct message_hello *b)
{
    if ((a->flags ^ b->flags) & HELLO_JOURNAL)
        return a->flags & HELLO_JOURNAL;
    if (a->stamp.epoch != b->stamp.epoch)
        return a->stamp.epoch > b->stamp.epoch;
    return a->stamp.order > b->stamp.order;
}

/* The node whose record is certainly the newest of all, or 0: all nodes that could have gone on without
 * it are here and have not. */
static unsigned newest_record(const struct cluster *c)
{
    uint32_t here = 0;
    unsigned best = 0;

    for (unsigned node = 1; node <= LIMIT_NODES; node++) {
        const struct cluster_node *n = &c->nodes[node];
        if (!(c->group & node_bit(node)))
            continue;
        if (!n->hello_seen || (n->hello.flags & HELLO_MEMBER))
            return 0;
        if (!n->compatible)
            continue;
        here |= node_bit(node);
        if (!best || better_record(&n->hello, &c->nodes[best].hello))
            best = node;
    }
    if (!best || c->forced || c->setup.single)
        return best;
    if (!(c->nodes[best].hello.flags & HELLO_JOURNAL)) /* a new array: all must be here once */
        return c->setup.configured & ~here ? 0 : best;
    return c->nodes[best].hello.stamp.members & c->setup.configured & ~here ? 0 : best;
}

static void become_member(struct cluster *c)
{
    c->phase = PHASE_MEMBER;
    c->view_persist = c->persist;
    c->have_record = true;
    lease_drop(c);
    c->stamp.epoch = c->epoch;
    c->stamp.order = c->order;
    c->stamp.digest = lease_digest(c);
    c->stamp.members = c->state->members;
    c->stamp.live = live_members(c);
}

static void admit_node(struct cluster *c, unsigned node, uint64_t incarnation)
{
    struct cluster_node *n = &c->nodes[node];

    n->incarnation = incarnation;
    n->executed = 0;
    n->since = c->epoch;
    n->beat = n->echo_of_me = 0;
    n->digest_order = UINT64_MAX;
    n->heard_now = c->now;
    n->heard_wall = n->joined_wall = c->wall;
    forget_joiner(n);
}

static void begin_view(struct cluster *c, struct cluster_updates *u)
{
    cluster_log(c, u, LOG_NOTICE, "cold start from %s",
                c->have_record ? "the newest journal" : "nothing: a new array");
    if (c->have_record)
        shared_state_cold_start(c->state);
    for (unsigned node = 1; node <= LIMIT_NODES; node++) {
        const struct cluster_node *n = &c->nodes[node];
        if (!n->hello_seen || node == c->setup.self)
            continue;
        /* An older copy may count more operations of a time that nobody answers for. */
        if (n->hello.stamp.epoch > c->epoch)
            c->epoch = n->hello.stamp.epoch;
        if (n->compatible)
            join_register(c, node, n->hello_incarnation, n->hello.attempt);
    }
    if (c->forced) { /* whatever turns up later is older by the operator's word */
        c->epoch += FORCED_EPOCHS;
        shared_state_forced(c->state, c->group);
    }
    c->unproven = 0;
    c->phase = PHASE_MEMBER;
    member_change(c, u, node_bit(c->setup.self), 0, true);
    admit_node(c, c->setup.self, c->setup.incarnation);
    become_member(c);
}

/* Everybody who is here and has a record notes down that the starter goes on: otherwise a node whose
 * record says that it was the last one would start alone from it later. Only then the starter begins. */
void join_start(struct cluster *c, struct cluster_updates *u, unsigned node,
                const struct cluster_message *message)
{
    const struct cluster_node *starter = &c->nodes[node];

    if (c->phase != PHASE_WAITING || message->start.group != c->group || c->starter ||
        !starter->hello_seen || starter->hello_incarnation != message->incarnation)
        return;
    for (unsigned i = 1; i <= LIMIT_NODES; i++)
        if (c->nodes[i].hello_seen && (c->nodes[i].hello.flags & HELLO_MEMBER))
            return;
    c->starter = node;
    if (node != c->setup.self) {
        c->record_members |= node_bit(node);
        if (c->have_record)
            c->start_persist = cluster_persist(c);
        return;
    }
    for (unsigned i = 1; i <= LIMIT_NODES; i++)
        if (i != node && c->nodes[i].hello_seen && c->nodes[i].compatible &&
            (c->nodes[i].hello.flags & HELLO_JOURNAL))
            c->start_need |= node_bit(i);
    if (!c->start_need)
        begin_view(c, u);
}

/* The starter says HELLO again: the group has changed for it since its START, which counts no more for it.
 * Another one follows; whoever still waited for the first would miss it. */
void join_hello(struct cluster *c, unsigned node)
{
    if (c->starter != node)
        return;
    c->starter = 0;
    c->start_need = 0;
    c->start_persist = 0;
}

static void admit_starter(struct cluster *c, struct cluster_updates *u)
{
    struct cluster_message m = {.type = MESSAGE_ADMIT};

    if (!c->start_persist || c->durable < c->start_persist)
        return;
    c->start_persist = 0;
    m.admit.node = c->starter;
    m.admit.attempt = c->nodes[c->starter].hello.attempt;
    m.admit.incarnation = c->nodes[c->starter].hello_incarnation;
    cluster_send(c, u, &m);
}

static void starter_admitted(struct cluster *c, struct cluster_updates *u, unsigned node,
                             const struct cluster_message *message)
{
    if (c->starter != c->setup.self || message->admit.node != c->setup.self ||
        message->admit.incarnation != c->setup.incarnation ||
        message->admit.attempt != c->attempt || !(c->start_need & node_bit(node)))
        return;
    c->start_need &= ~node_bit(node);
    if (!c->start_need)
        begin_view(c, u);
}

/* --- snapshot ------------------------------------------------------------------------------- */

static void encode_snapshot(struct cluster *c, struct writer *w)
{
    write_be64(w, c->epoch);
    write_be64(w, c->order);
    write_be64(w, lease_digest(c));
    for (unsigned node = 1; node <= LIMIT_NODES; node++) {
        const struct cluster_node *n = &c->nodes[node];
        write_be64(w, n->incarnation);
        write_be64(w, n->executed);
        write_be64(w, n->since);
        write_be64(w, n->join_incarnation);
        write_be32(w, n->join_attempt);
        write_u8(w, n->join_ready);
        write_be32(w, n->join_admits);
    }
    shared_state_encode(c->state, w);
}

static bool decode_snapshot(struct cluster *c)
{
    struct reader r = {.data = c->transfer, .left = c->transfer_total};
    uint64_t digest;

    c->epoch = read_be64(&r);
    c->order = read_be64(&r);
    digest = read_be64(&r);
    for (unsigned node = 1; node <= LIMIT_NODES; node++) {
        struct cluster_node *n = &c->nodes[node];
        n->incarnation = read_be64(&r);
        n->executed = read_be64(&r);
        n->since = read_be64(&r);
        n->join_incarnation = read_be64(&r);
        n->join_attempt = read_be32(&r);
        n->join_ready = read_u8(&r);
        n->join_admits = read_be32(&r);
        n->heard_now = c->now;
        n->heard_wall = n->joined_wall = c->wall;
        n->beat = n->echo_of_me = 0;
        n->digest_order = UINT64_MAX;
    }
    c->unproven = 0;
    c->digest_order = UINT64_MAX;
    return !shared_state_decode(c->state, &r) && !r.bad && !r.left && lease_digest(c) == digest;
}

static void send_chunk(struct cluster *c, struct cluster_updates *u)
{
    struct cluster_message m = {.type = MESSAGE_SNAPSHOT};
    uint32_t left = c->transfer_total - c->transfer_used;

    m.snapshot.id = c->transfer_id;
    m.snapshot.offset = c->transfer_used;
    m.snapshot.total = c->transfer_total;
    m.snapshot.length = left < MESSAGE_CHUNK ? left : MESSAGE_CHUNK;
    m.snapshot.bytes = c->transfer + c->transfer_used;
    cluster_send(c, u, &m);
    c->transfer_used += m.snapshot.length;
}

void join_begin(struct cluster *c, struct cluster_updates *u, unsigned node,
                const struct cluster_message *message)
{
    struct writer w = {.data = c->transfer, .size = SNAPSHOT_MAX};
    uint32_t to = message->begin.to;

    if (c->phase == PHASE_WAITING || c->phase == PHASE_LOADING) {
        if (!(to & node_bit(c->setup.self)))
            return;
        c->phase = PHASE_LOADING;
        c->transfer_id = message->begin.id;
        c->transfer_from = node;
        c->transfer_used = c->transfer_total = 0;
        c->replay_count = c->replay_next = 0;
        c->replay_used = 0;
        return;
    }
    if (c->phase != PHASE_MEMBER || node != c->setup.self || !c->begin_sent ||
        c->transfer_id != message->begin.id)
        return;
    encode_snapshot(c, &w);
    if (w.used > w.size) {
        cluster_log(c, u, LOG_ERR, "the shared state is too large for a snapshot");
        return;
    }
    for (unsigned i = 1; i <= LIMIT_NODES; i++)
        if (to & node_bit(i))
            c->nodes[i].served = true;
    c->transfer_used = 0;
    c->transfer_total = (uint32_t)w.used;
    send_chunk(c, u);
}

static void begin_again(struct cluster *c, struct cluster_updates *u)
{
    c->phase = PHASE_WAITING;
    c->transfer_id = 0;
    c->attempt++;
    member_say_hello(c, u);
}

void join_chunk(struct cluster *c, struct cluster_updates *u, unsigned node,
                const struct cluster_message *message)
{
    if (message->snapshot.id != c->transfer_id || !c->transfer_id)
        return;
    if (c->phase == PHASE_MEMBER && node == c->setup.self) {
        /* One chunk at a time: operations pass in between. */
        if (c->transfer_used < c->transfer_total) {
            send_chunk(c, u);
        } else {
            c->transfer_id = 0;
            c->begin_sent = false;
        }
        return;
    }
    if (c->phase != PHASE_LOADING || node != c->transfer_from)
        return;
    if (message->snapshot.offset != c->transfer_used ||
        (c->transfer_used && message->snapshot.total != c->transfer_total)) {
        begin_again(c, u);
        return;
    }
    memcpy(c->transfer + c->transfer_used, message->snapshot.bytes, message->snapshot.length);
    c->transfer_used += message->snapshot.length;
    c->transfer_total = message->snapshot.total;
    if (c->transfer_used < c->transfer_total)
        return;
    if (!decode_snapshot(c)) {
        cluster_fatal(c, u, "the state taken over from %s does not fit this node's configuration",
                      c->setup.names[node]);
        return;
    }
    c->phase = PHASE_FOLLOWING;
    c->transfer_id = 0;
}

/* Keeps what is ordered after the place of the snapshot. Returns whether it was such a message. */
bool join_keep(struct cluster *c, unsigned node, enum message_type type, const void *bytes,
               size_t size)
{
    if (type != MESSAGE_OP && type != MESSAGE_HELLO && type != MESSAGE_READY &&
        type != MESSAGE_ADMIT && type != MESSAGE_HARMLESS)
        return type != MESSAGE_SNAPSHOT && type != MESSAGE_BEGIN;
    if (c->replay_count == REPLAY_MESSAGES || size > REPLAY_BYTES - c->replay_used) {
        c->transfer_id = 0; /* too much happened meanwhile: join_advance() asks for another one */
        return true;
    }
    c->replay[c->replay_count].node = node;
    c->replay[c->replay_count].offset = c->replay_used;
    c->replay[c->replay_count++].size = (uint32_t)size;
    memcpy(c->replay_bytes + c->replay_used, bytes, size);
    c->replay_used += (uint32_t)size;
    return true;
}

void join_replay(struct cluster *c, struct cluster_updates *u)
{
    unsigned i = c->replay_next;

    if (c->phase != PHASE_FOLLOWING || i == c->replay_count)
        return;
    c->replay_next++;
    cluster_dispatch(c, u, c->replay[i].node, c->replay_bytes + c->replay[i].offset,
                     c->replay[i].size);
}

/* --- admission ------------------------------------------------------------------------------ */

void join_ready(struct cluster *c, struct cluster_updates *u, unsigned node,
                const struct cluster_message *message)
{
    struct cluster_node *n = &c->nodes[node];

    if (follows(c) && n->join_incarnation == message->incarnation && n->join_incarnation &&
        n->join_attempt == message->ready.attempt)
        n->join_ready = true;
}

void join_admit(struct cluster *c, struct cluster_updates *u, unsigned node,
                const struct cluster_message *message)
{
    unsigned joiner = message->admit.node;
    struct cluster_node *n = &c->nodes[joiner];
    uint64_t incarnation = n->join_incarnation;

    if (c->phase == PHASE_WAITING)
        starter_admitted(c, u, node, message);
    if (!follows(c) || !is_live(c, node) || !n->join_ready ||
        c->nodes[node].incarnation != message->incarnation ||
        incarnation != message->admit.incarnation || n->join_attempt != message->admit.attempt)
        return;
    n->join_admits |= node_bit(node);
    if (live_members(c) & ~n->join_admits)
        return;
    member_change(c, u, c->state->members | node_bit(joiner), 0, true);
    admit_node(c, joiner, incarnation);
    cluster_log(c, u, LOG_NOTICE, "%s is a member", c->setup.names[joiner]);
    if (joiner == c->setup.self && incarnation == c->setup.incarnation)
        become_member(c);
}

static void admit_joiners(struct cluster *c, struct cluster_updates *u)
{
    for (unsigned node = 1; node <= LIMIT_NODES; node++) {
        struct cluster_node *n = &c->nodes[node];
        struct cluster_message m = {.type = MESSAGE_ADMIT};
        if (!n->join_ready || n->admit_sent)
            continue;
        if (!n->join_persist)
            n->join_persist = cluster_persist(c);
        if (c->durable < n->join_persist)
            continue;
        n->admit_sent = true;
        m.admit.node = node;
        m.admit.attempt = n->join_attempt;
        m.admit.incarnation = n->join_incarnation;
        cluster_send(c, u, &m);
    }
}

static void serve_joiners(struct cluster *c, struct cluster_updates *u)
{
    struct cluster_message m = {.type = MESSAGE_BEGIN};

    if (c->begin_sent || c->unproven || lowest_node(live_members(c)) != c->setup.self)
        return;
    for (unsigned node = 1; node <= LIMIT_NODES; node++)
        if (c->nodes[node].join_incarnation && !c->nodes[node].served &&
            !c->nodes[node].join_ready)
            m.begin.to |= node_bit(node);
    if (!m.begin.to)
        return;
    c->begin_sent = true;
    c->transfer_id = c->setup.incarnation + ++c->transfer_count;
    c->transfer_used = c->transfer_total = 0;
    m.begin.id = c->transfer_id;
    cluster_send(c, u, &m);
}

void join_advance(struct cluster *c, struct cluster_updates *u)
{
    struct cluster_message m = {0};

    switch (c->phase) {
    case PHASE_WAITING:
        admit_starter(c, u);
        if ((c->quorate || c->setup.single) && !c->start_sent &&
            !c->starter && newest_record(c) == c->setup.self) {
            c->start_sent = true;
            m.type = MESSAGE_START;
            m.start.group = c->group;
            cluster_send(c, u, &m);
        }
        break;
    case PHASE_LOADING:
        if (!c->transfer_id)
            begin_again(c, u);
        break;
    case PHASE_FOLLOWING:
        if (c->replay_next < c->replay_count || c->ready_sent)
            break;
        if (!c->ready_persist)
            c->ready_persist = cluster_persist(c);
        if (c->durable < c->ready_persist)
            break;
        c->ready_sent = true;
        m.type = MESSAGE_READY;
        m.ready.attempt = c->attempt;
        cluster_send(c, u, &m);
        break;
    case PHASE_MEMBER:
        admit_joiners(c, u);
        serve_joiners(c, u);
        break;
    case PHASE_OUT:
    case PHASE_DEAD:
        break;
    }
}
