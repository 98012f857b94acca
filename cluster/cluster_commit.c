/* Commit: an operation is ordered, applied by all, acknowledged by all, then answered. */
#include <assert.h>
#include <syslog.h>

#include "cluster/machine.h"

enum { ASK_NS = 500000000 };

static void answer(struct cluster *c, struct cluster_updates *u, struct cluster_pending *p,
                   enum scsi_reason reason, uint8_t field_pointer)
{
    struct cluster_update *update = update_add(u, CLUSTER_ANSWER);

    update->answer.cookie = p->cookie;
    update->answer.reason = reason;
    update->answer.field_pointer = field_pointer;
    p->answered = true;
    p->op = NULL;
}

static void set_state(struct cluster *c, struct cluster_pending *p, enum pending_state state)
{
    if (p->state != PENDING_FREE)
        c->pending_used--;
    if (p->state == PENDING_UNSENT)
        c->unsent--;
    if (p->state == PENDING_SENT || p->state == PENDING_APPLIED)
        c->in_flight--;
    p->state = state;
    if (state != PENDING_FREE)
        c->pending_used++;
    while (c->pending_end && c->pending[c->pending_end - 1].state == PENDING_FREE)
        c->pending_end--;
    if (state == PENDING_UNSENT)
        c->unsent++;
    if (state == PENDING_SENT || state == PENDING_APPLIED)
        c->in_flight++;
}

void commit_request(struct cluster *c, struct cluster_updates *u, const struct cluster_event *event)
{
    struct cluster_pending *p = NULL;

    for (unsigned i = 0; i < PENDING && !p; i++)
        if (i == c->pending_end || c->pending[i].state == PENDING_FREE)
            p = &c->pending[i];
    if (!p || c->phase == PHASE_DEAD) {
        struct cluster_pending refused = {.cookie = event->request.cookie};
        answer(c, u, &refused, REASON_NOT_READY_TRANSITION, 0xff);
        return;
    }
    memset(p, 0, sizeof *p);
    p->op = event->request.op;
    p->cookie = event->request.cookie;
    p->arrival = ++c->arrival;
    p->deadline = c->now + c->setup.hold_ns;
    if (p == &c->pending[c->pending_end])
        c->pending_end++;
    set_state(c, p, PENDING_UNSENT);
}

/* Returns false when it has to wait for room. */
static bool send_op(struct cluster *c, struct cluster_updates *u, struct cluster_pending *p)
{
    struct writer w = {.data = c->scratch, .size = sizeof c->scratch - MESSAGE_HEADER - 16};
    struct cluster_message m = {.type = MESSAGE_OP};
    struct shared_op op = *p->op;

    if (!shared_op_speak(&op, member_wire(c), c->state)) { /* some node does not know it (any more) */
        answer(c, u, p, REASON_NOT_READY_TRANSITION, 0xff);
        set_state(c, p, PENDING_FREE);
        return true;
    }
    m.op.wire = shared_op_wire(op.kind);
    shared_op_encode(&op, &w);
    if (w.used > w.size) { /* longer than any parameter list that the target accepts */
        answer(c, u, p, REASON_PARAMETER_LIST_LENGTH, 0xff);
        set_state(c, p, PENDING_FREE);
        return true;
    }
    if (!updates_have_room(u, w.used))
        return false;
    /* A fresh number each time: one that was refused was executed nowhere. */
    p->sequence = ++c->sequence;
    p->acks = 0;
    set_state(c, p, PENDING_SENT);
    m.op.sequence = p->sequence;
    m.op.bytes = c->scratch;
    m.op.length = (uint32_t)w.used;
    cluster_send(c, u, &m);
    return true;
}

static struct cluster_pending *find_sent(struct cluster *c, uint64_t sequence)
{
    for (unsigned i = 0; i < c->pending_end; i++)
        if (c->pending[i].state == PENDING_SENT && c->pending[i].sequence == sequence)
            return &c->pending[i];
    return NULL;
}

/* Counts an acknowledgement. Does anybody but the origin of the operation wait for it? */
static bool take_ack(struct cluster *c, unsigned node, uint64_t order)
{
    bool tracked = false;

    for (unsigned i = 0; i < c->unsettled_count; i++)
        if (c->unsettled[i].order == order) {
            c->unsettled[i].acks |= node_bit(node);
            tracked = true;
        }
    for (unsigned i = 0; i < c->pending_end; i++) {
        struct cluster_pending *p = &c->pending[i];
        if (p->state == PENDING_APPLIED && p->order == order)
            p->acks |= node_bit(node);
    }
    return tracked;
}

/* Not ordered, so it says nothing about its place; but what `node` has carried out it has carried out. This node may have
 * neither its own operation yet nor heard of a change of the group; where it is answered is decided as before. */
void commit_receipt(struct cluster *c, unsigned node, const void *bytes, size_t size)
{
    struct message_receipt r;

    if (!message_receipt_decode(&r, bytes, size) || c->phase != PHASE_MEMBER || !is_live(c, node) ||
        c->nodes[node].incarnation != r.incarnation || c->setup.incarnation != r.origin)
        return;
    for (unsigned i = 0; i < c->pending_end; i++) {
        struct cluster_pending *p = &c->pending[i];
        if (p->sequence != r.sequence)
            continue;
        if (p->state == PENDING_SENT)
            p->acks |= node_bit(node);
        else if (p->state == PENDING_APPLIED)
            take_ack(c, node, p->order);
    }
}

/* The acknowledgement of an operation of this node is for the others alone, and of no use to them before all have
 * acknowledged: it goes out behind the answer and does not delay it. Not so a change of the members (false). */
static bool owe_ack(struct cluster *c, uint64_t order)
{
    bool own = false;

    for (unsigned i = 0; i < c->pending_end && !own; i++)
        own = c->pending[i].state == PENDING_APPLIED && c->pending[i].order == order;
    for (unsigned i = 0; own && i < c->unsettled_count; i++)
        if (c->unsettled[i].order == order)
            c->unsettled[i].owed = true;
    return own;
}

static void acknowledge(struct cluster *c, struct cluster_updates *u, uint32_t origin,
                        uint64_t order)
{
    struct cluster_message m = {.type = MESSAGE_ACK};

    /* The origin answers without hearing its own; the others may tell what changed when they have heard it. */
    if (origin == c->setup.self && (!take_ack(c, origin, order) || owe_ack(c, order)))
        return;
    m.ack.origin = origin;
    m.ack.order = order;
    cluster_send(c, u, &m);
}

/* The origin alone has something to answer: it hears by the shorter way, too. */
static void send_receipt(struct cluster *c, struct cluster_updates *u, const struct cluster_ticket *t)
{
    struct message_receipt r = {c->setup.incarnation, t->incarnation, t->sequence};
    struct cluster_update *update;

    if (!t->sequence || t->origin == c->setup.self)
        return;
    update = update_add(u, CLUSTER_SEND_RECEIPT);
    update->receipt.node = t->origin;
    message_receipt_encode(&r, update->receipt.bytes);
}

static bool try_acknowledge(struct cluster *c, struct cluster_updates *u,
                            const struct cluster_ticket *t)
{
    if (!t->done || t->persist > c->durable)
        return false;
    if (!updates_have_room(u, MESSAGE_HEADER + 12)) {
        u->more = true;
        return false;
    }
    send_receipt(c, u, t);
    acknowledge(c, u, t->origin, t->order);
    return true;
}

/* Who has sent a receipt for the operation before this node had it itself. */
static uint32_t early_receipts(const struct cluster *c, uint32_t origin)
{
    for (unsigned i = 0; origin == c->setup.self && i < c->pending_end; i++)
        if (c->pending[i].state == PENDING_APPLIED && c->pending[i].order == c->order)
            return c->pending[i].acks;
    return 0;
}

/* What this operation was decided on is to be durable before its answer is: without APTPL it writes nothing itself, but the
 * one before it that gave APTPL up may still be on its way to the disk, and would not have been after a loss of power. */
static uint64_t persist_before(const struct cluster *c, uint32_t lu)
{
    uint64_t persist = 0;

    for (unsigned i = 0; lu != SHARED_NO_LU && i < c->ticket_count; i++)
        if (c->tickets[i].lu == lu && c->tickets[i].persist > persist)
            persist = c->tickets[i].persist;
    return persist;
}

void commit_carry_out(struct cluster *c, struct cluster_updates *u, uint32_t origin, uint64_t sequence, uint32_t lu)
{
    const struct shared_effects *effects = &c->effects;
    struct cluster_ticket t = {.order = c->order, .origin = origin, .lu = lu,
                               .incarnation = c->nodes[origin].incarnation, .sequence = sequence};

    if (c->ticket_count == TICKETS || c->unsettled_count == TICKETS) {
        cluster_fatal(c, u, "the effects of %u operations have not been carried out", TICKETS);
        return;
    }
    for (uint32_t i = 0; i < effects->count; i++)
        if (effects->effects[i].kind == SHARED_EFFECT_PERSIST && sequence && !t.persist)
            t.persist = cluster_persist(c);
    if (!t.persist)
        t.persist = persist_before(c, lu);
    if (effects->changed || effects->count) {
        update_add(u, CLUSTER_APPLY)->ticket = c->order;
        c->unsettled[c->unsettled_count++] = (struct cluster_unsettled){
            .order = c->order, .asked = c->now, .need = c->state->members, .acks = early_receipts(c, origin)};
    } else {
        t.done = true;
    }
    if (!try_acknowledge(c, u, &t))
        c->tickets[c->ticket_count++] = t;
}

void commit_unheard(struct cluster *c, unsigned node, const struct cluster_message *message)
{
    bool own = node == c->setup.self && message->incarnation == c->setup.incarnation;
    struct cluster_pending *p = own ? find_sent(c, message->op.sequence) : NULL;

    if (p)
        set_state(c, p, p->answered ? PENDING_FREE : PENDING_UNSENT);
}

void commit_op(struct cluster *c, struct cluster_updates *u, unsigned node,
               const struct cluster_message *message)
{
    struct cluster_node *n = &c->nodes[node];
    struct reader r = {.data = message->op.bytes, .left = message->op.length};
    bool own = node == c->setup.self && message->incarnation == c->setup.incarnation;
    struct cluster_pending *p = own ? find_sent(c, message->op.sequence) : NULL;
    struct shared_op op;

    if (!follows(c))
        return;
    if (!is_live(c, node) || c->unproven || n->incarnation != message->incarnation ||
        message->op.sequence <= n->executed) {
        /* Refused at this place by everyone; its origin sends it again when the view is whole. */
        if (p)
            set_state(c, p, p->answered ? PENDING_FREE : PENDING_UNSENT);
        return;
    }
    if (shared_op_decode(&op, &r, c->state)) {
        cluster_fatal(c, u, "%s sent an operation that this node cannot decode",
                      c->setup.names[node]);
        return;
    }
    n->executed = message->op.sequence;
    c->order++;
    c->digest_order = UINT64_MAX;
    shared_apply(c->state, &op, &c->effects);
    if (c->phase != PHASE_MEMBER)
        return;
    if (p) {
        set_state(c, p, PENDING_APPLIED);
        p->order = c->order;
        p->asked = c->now;
        p->reason = c->effects.reason;
        p->field_pointer = c->effects.field_pointer;
        p->need = c->state->members;
    }
    commit_carry_out(c, u, node, message->op.sequence, op.lu);
}

void commit_ack(struct cluster *c, unsigned node, const struct cluster_message *message)
{
    if (c->phase != PHASE_MEMBER || !is_live(c, node) ||
        c->nodes[node].incarnation != message->incarnation)
        return;
    take_ack(c, node, message->ack.order);
}

void commit_ask(struct cluster *c, struct cluster_updates *u, unsigned node,
                const struct cluster_message *message)
{
    if (c->phase != PHASE_MEMBER || !is_live(c, node) || message->ask.order > c->order ||
        c->nodes[node].incarnation != message->incarnation)
        return;
    for (unsigned i = 0; i < c->ticket_count; i++)
        if (c->tickets[i].order == message->ask.order)
            return; /* still at work */
    acknowledge(c, u, node, message->ask.order);
}

void commit_durable(struct cluster *c, struct cluster_updates *u)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < c->ticket_count; i++)
        if (!try_acknowledge(c, u, &c->tickets[i]))
            c->tickets[kept++] = c->tickets[i];
    c->ticket_count = kept;
}

void commit_applied(struct cluster *c, struct cluster_updates *u, uint64_t ticket)
{
    for (unsigned i = 0; i < c->ticket_count; i++)
        if (c->tickets[i].order == ticket)
            c->tickets[i].done = true;
    commit_durable(c, u);
}

/* --- handover of a group ---------------------------------------------------------------------- */

/* A wish changes no state: the owner, who alone may release the group, decides whether it follows. It may get
 * lost with its sender or while the view is not whole; whoever still wants it asks again. */
void commit_ask_handover(struct cluster *c, struct cluster_updates *u, uint32_t group)
{
    struct cluster_message m = {.type = MESSAGE_HANDOVER};

    if (!c->serving || group >= c->state->group_count || member_wire(c) < message_wire(&m))
        return;
    m.handover.owner = c->state->groups[group].owner;
    m.handover.group = group;
    m.handover.epoch = c->state->groups[group].epoch;
    if (m.handover.owner && m.handover.owner != c->setup.self)
        cluster_send(c, u, &m);
}

void commit_handover(struct cluster *c, struct cluster_updates *u, unsigned node,
                     const struct cluster_message *message)
{
    uint32_t group = message->handover.group;
    struct cluster_update *update;

    if (c->phase != PHASE_MEMBER || c->unproven || !is_live(c, node) ||
        c->nodes[node].incarnation != message->incarnation || group >= c->state->group_count ||
        message->handover.owner != c->setup.self ||
        c->state->groups[group].owner != c->setup.self ||
        c->state->groups[group].epoch != message->handover.epoch)
        return;
    update = update_add(u, CLUSTER_ASKED);
    update->asked.node = node;
    update->asked.group = group;
}

/* --- consultation ----------------------------------------------------------------------------- */

/* No decision, only what the members think before one is asked for: messages that change nothing and that may
 * get lost. Who asks waits as long as it likes. */
void commit_consult(struct cluster *c, struct cluster_updates *u, uint64_t number,
                    const uint8_t digest[32])
{
    struct cluster_message m = {.type = MESSAGE_CONSULT};

    if (!c->serving || member_wire(c) < message_wire(&m))
        return;
    m.consult.number = number;
    memcpy(m.consult.digest, digest, sizeof m.consult.digest);
    cluster_send(c, u, &m);
}

void commit_opinion(struct cluster *c, struct cluster_updates *u, const struct cluster_event *event)
{
    struct cluster_message m = {.type = MESSAGE_OPINION};
    const char *why = event->opinion.good ? "" : event->opinion.why;

    if (c->phase != PHASE_MEMBER || member_wire(c) < message_wire(&m))
        return;
    m.opinion.to = event->opinion.node;
    m.opinion.number = event->opinion.number;
    m.opinion.good = event->opinion.good;
    m.opinion.length = (uint16_t)strnlen(why, MESSAGE_OPINION_TEXT);
    m.opinion.text = (const uint8_t *)why;
    cluster_send(c, u, &m);
}

void commit_consultation(struct cluster *c, struct cluster_updates *u, unsigned node,
                         const struct cluster_message *message)
{
    struct cluster_update *update;

    if (c->phase != PHASE_MEMBER || !is_live(c, node) ||
        c->nodes[node].incarnation != message->incarnation)
        return;
    if (message->type == MESSAGE_CONSULT) {
        update = update_add(u, CLUSTER_CONSULTED);
        update->consulted.node = node;
        update->consulted.number = message->consult.number;
        memcpy(update->consulted.digest, message->consult.digest, sizeof update->consulted.digest);
    } else if (message->opinion.to == c->setup.self) {
        update = update_add(u, CLUSTER_OPINION);
        update->opinion.node = node;
        update->opinion.number = message->opinion.number;
        update->opinion.good = message->opinion.good;
        memcpy(update->opinion.why, message->opinion.text, message->opinion.length);
    }
}

static struct cluster_pending *oldest_unsent(struct cluster *c)
{
    struct cluster_pending *oldest = NULL;

    for (unsigned i = 0; i < c->pending_end; i++)
        if (c->pending[i].state == PENDING_UNSENT &&
            (!oldest || c->pending[i].arrival < oldest->arrival))
            oldest = &c->pending[i];
    return oldest;
}

/* Acknowledged by every member of its view that is a member still? Whoever has gone in between is
 * harmless by now, or c->unproven would not be empty. */
static bool committed(const struct cluster *c, const struct cluster_pending *p)
{
    return p->state == PENDING_APPLIED && !c->unproven &&
           !(p->need & c->state->members & ~p->acks);
}

static void advance_pending(struct cluster *c, struct cluster_updates *u, struct cluster_pending *p)
{
    struct cluster_message ask = {.type = MESSAGE_ASK};

    if (committed(c, p) && (p->answered || c->serving)) {
        if (!p->answered) {
            c->commits++;
            answer(c, u, p, p->reason, p->field_pointer);
        }
        set_state(c, p, PENDING_FREE);
        return;
    }
    if (!p->answered && c->now >= p->deadline) {
        answer(c, u, p, REASON_NOT_READY_TRANSITION, 0xff);
        if (p->state == PENDING_UNSENT)
            set_state(c, p, PENDING_FREE);
        return;
    }
    if (p->state == PENDING_APPLIED && !c->unproven && c->now - p->asked >= ASK_NS) {
        /* An acknowledgement may have been lost in a partition that has healed. */
        p->asked = c->now;
        ask.ask.order = p->order;
        cluster_send(c, u, &ask);
    }
}

/* The origin asks again for acknowledgements that were lost in a partition; later all do, it may be gone. */
static void ask_for(struct cluster *c, struct cluster_updates *u, struct cluster_unsettled *s)
{
    struct cluster_message ask = {.type = MESSAGE_ASK};

    if (c->now - s->asked < 2 * (uint64_t)ASK_NS)
        return;
    s->asked = c->now;
    ask.ask.order = s->order;
    cluster_send(c, u, &ask);
}

static void advance_unsettled(struct cluster *c, struct cluster_updates *u)
{
    unsigned kept = 0;

    if (c->unproven)
        return;
    for (unsigned i = 0; i < c->unsettled_count; i++) {
        struct cluster_unsettled *s = &c->unsettled[i];
        if (s->settled) {
            /* only the acknowledgement is still owed */
        } else if (!updates_have_room(u, MESSAGE_HEADER + 8)) {
            u->more = true;
        } else if (!(s->need & c->state->members & ~s->acks)) {
            update_add(u, CLUSTER_SETTLED)->ticket = s->order;
            s->settled = true;
            if (!s->owed)
                continue;
        } else {
            ask_for(c, u, s);
        }
        c->unsettled[kept++] = *s;
    }
    c->unsettled_count = kept;
}

static void send_owed(struct cluster *c, struct cluster_updates *u)
{
    struct cluster_message m = {.type = MESSAGE_ACK, .ack.origin = c->setup.self};
    unsigned kept = 0;

    for (unsigned i = 0; i < c->unsettled_count; i++) {
        struct cluster_unsettled *s = &c->unsettled[i];
        if (s->settled && updates_have_room(u, MESSAGE_HEADER + 12)) {
            m.ack.order = s->order;
            if (c->state->members & ~node_bit(c->setup.self)) /* somebody waits for it */
                cluster_send(c, u, &m);
            continue;
        }
        u->more |= s->settled;
        c->unsettled[kept++] = *s;
    }
    c->unsettled_count = kept;
}

static void advance_requests(struct cluster *c, struct cluster_updates *u)
{
    for (unsigned i = 0; i < c->pending_end; i++) {
        if (c->pending[i].state == PENDING_FREE)
            continue;
        if (!updates_have_room(u, MESSAGE_HEADER + 8)) {
            u->more = true;
            return;
        }
        advance_pending(c, u, &c->pending[i]);
    }
    while (c->serving && c->unsent && c->in_flight < IN_FLIGHT)
        if (!send_op(c, u, oldest_unsent(c))) {
            u->more = true;
            return;
        }
}

/* In this order: what is settled may be told when its answer makes the initiator ask for it. */
void commit_advance(struct cluster *c, struct cluster_updates *u)
{
    if (c->ticket_count)
        commit_durable(c, u);
    if (c->unsettled_count)
        advance_unsettled(c, u);
    if (c->pending_used)
        advance_requests(c, u);
    if (c->unsettled_count)
        send_owed(c, u);
}
