#include "cluster/cluster.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>

#include "cluster/machine.h"
#include "target/base/pages.h"

enum { RECORD_FORMAT = 1, RESERVE_UPDATES = 24, RESERVE_BYTES = 8 << 10, TEXT = 256 };

struct cluster *cluster_new(const struct cluster_setup *setup, struct shared_state *state)
{
    struct cluster *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->setup = *setup;
    /* A node that may have been left behind goes on only with a majority by name: two can never have one. */
    c->setup.lease_proves &= __builtin_popcount(setup->configured) >= 3;
    if (!c->setup.wire_max)
        c->setup.wire_max = WIRE_MAX;
    c->state = state;
    c->digest_order = UINT64_MAX;
    c->transfer = pages_new(SNAPSHOT_MAX);
    c->replay_bytes = pages_new(REPLAY_BYTES);
    if (!c->transfer || !c->replay_bytes) {
        c->state = NULL;
        cluster_free(c);
        return NULL;
    }
    return c;
}

void cluster_free(struct cluster *c)
{
    if (!c)
        return;
    shared_state_free(c->state);
    pages_free(c->transfer, SNAPSHOT_MAX);
    pages_free(c->replay_bytes, REPLAY_BYTES);
    free(c);
}

void cluster_record(const struct cluster *c, struct writer *w)
{
    uint32_t members = c->state->members;

    /* Whoever may be a member as soon as this is durable counts: the record must never claim that this
     * node was the last one when it was not. */
    if (!follows(c))
        members = c->record_members;
    members |= node_bit(c->setup.self);
    for (unsigned node = 1; node <= LIMIT_NODES; node++)
        if (c->nodes[node].join_ready)
            members |= node_bit(node);
    write_be32(w, RECORD_FORMAT);
    write_be64(w, c->epoch);
    write_be64(w, c->order);
    write_be32(w, members);
    shared_state_encode(c->state, w);
}

int cluster_restore(struct cluster *c, const void *record, size_t size)
{
    struct reader r = {.data = record, .left = size};
    uint32_t format = read_be32(&r);
    uint64_t epoch = read_be64(&r), order = read_be64(&r);
    uint32_t members = read_be32(&r);
    int error;

    if (r.bad || format != RECORD_FORMAT || !(members & c->setup.configured))
        return -EINVAL;
    error = shared_state_decode(c->state, &r);
    if (error)
        return error;
    if (r.bad || r.left)
        return -EINVAL;
    c->epoch = epoch;
    c->order = order;
    c->have_record = true;
    c->record_members = members & c->setup.configured;
    return 0;
}

const struct shared_state *cluster_shared(const struct cluster *c)
{
    return c->state;
}

const struct shared_effects *cluster_effects(const struct cluster *c)
{
    return &c->effects;
}

struct cluster_update *update_add(struct cluster_updates *u, enum cluster_update_kind kind)
{
    struct cluster_update *update;

    assert(u->count < CLUSTER_UPDATES);
    update = &u->updates[u->count++];
    memset(update, 0, sizeof *update);
    update->kind = kind;
    return update;
}

/* Whether something that can wait for CLUSTER_MORE fits; a reserve stays for what cannot wait. */
bool updates_have_room(const struct cluster_updates *u, size_t bytes)
{
    return u->count + RESERVE_UPDATES < CLUSTER_UPDATES &&
           u->used + bytes + MESSAGE_MAX + RESERVE_BYTES < CLUSTER_UPDATE_BYTES;
}

void cluster_send(struct cluster *c, struct cluster_updates *u, struct cluster_message *message)
{
    struct writer w = {.data = u->bytes + u->used, .size = CLUSTER_UPDATE_BYTES - u->used};
    struct cluster_update *update;

    message->wire = message_wire(message);
    message->incarnation = c->setup.incarnation;
    message_encode(message, &w);
    assert(w.used <= w.size);
    update = update_add(u, CLUSTER_SEND);
    update->send.bytes = w.data;
    update->send.size = w.used;
    u->used += w.used;
}

static const char *format_text(struct cluster_updates *u, const char *format, va_list arguments)
{
    char *text = (char *)u->bytes + u->used;

    assert(u->used + TEXT <= CLUSTER_UPDATE_BYTES);
    vsnprintf(text, TEXT, format, arguments);
    u->used += TEXT;
    return text;
}

void cluster_log(struct cluster *c, struct cluster_updates *u, int priority, const char *format, ...)
{
    struct cluster_update *update;
    va_list arguments;

    if (!updates_have_room(u, TEXT)) /* a log line is the first thing to do without */
        return;
    update = update_add(u, CLUSTER_LOG);
    va_start(arguments, format);
    update->log.text = format_text(u, format, arguments);
    va_end(arguments);
    update->log.priority = priority;
}

void cluster_fatal(struct cluster *c, struct cluster_updates *u, const char *format, ...)
{
    struct cluster_update *update;
    va_list arguments;

    if (c->phase == PHASE_DEAD)
        return;
    c->phase = PHASE_DEAD;
    update = update_add(u, CLUSTER_FATAL);
    va_start(arguments, format);
    update->log.text = format_text(u, format, arguments);
    va_end(arguments);
    update->log.priority = LOG_CRIT;
}

uint64_t cluster_persist(struct cluster *c)
{
    return ++c->persist;
}

static void heard(struct cluster *c, unsigned node, uint64_t incarnation)
{
    if (c->nodes[node].incarnation != incarnation)
        return;
    c->nodes[node].heard_now = c->now;
    c->nodes[node].heard_wall = c->wall;
}

void cluster_dispatch(struct cluster *c, struct cluster_updates *u, unsigned node, const void *bytes,
                      size_t size)
{
    struct cluster_message m;
    int error;

    if (node < 1 || node > LIMIT_NODES || c->phase == PHASE_DEAD)
        return;
    error = message_decode(&m, bytes, size);
    if (!error && m.wire > c->setup.wire_max && m.type != MESSAGE_HELLO)
        error = -EPROTONOSUPPORT;
    if (error) {
        /* Without knowing what it says this node may not claim an equal state. A joiner has none yet:
         * it hears from the others' HELLO whether their versions overlap. */
        if (follows(c) && is_live(c, node))
            cluster_fatal(c, u, "%s sent a message that this version cannot %s",
                          c->setup.names[node],
                          error == -EPROTONOSUPPORT ? "know (wire version or type)" : "decode");
        else
            cluster_log(c, u, LOG_WARNING, "unreadable message from %s ignored while joining",
                        c->setup.names[node]);
        return;
    }
    heard(c, node, m.incarnation);
    /* Its sender did not yet know of an older joiner or member, which cannot read this: so at this place it
     * says nothing to anybody. */
    if (m.wire > member_wire(c) && m.type != MESSAGE_HELLO) {
        if (m.type == MESSAGE_OP)
            commit_unheard(c, node, &m);
        return;
    }
    if (c->phase == PHASE_LOADING && join_keep(c, node, m.type, bytes, size))
        return;
    switch (m.type) {
    case MESSAGE_HELLO:
        member_hello(c, u, node, &m);
        break;
    case MESSAGE_START:
        join_start(c, u, node, &m);
        break;
    case MESSAGE_BEGIN:
        join_begin(c, u, node, &m);
        break;
    case MESSAGE_SNAPSHOT:
        join_chunk(c, u, node, &m);
        break;
    case MESSAGE_READY:
        join_ready(c, u, node, &m);
        break;
    case MESSAGE_ADMIT:
        join_admit(c, u, node, &m);
        break;
    case MESSAGE_OP:
        commit_op(c, u, node, &m);
        break;
    case MESSAGE_ACK:
        commit_ack(c, node, &m);
        break;
    case MESSAGE_ASK:
        commit_ask(c, u, node, &m);
        break;
    case MESSAGE_HARMLESS:
        member_harmless(c, u, node, &m);
        break;
    case MESSAGE_HEARTBEAT:
        lease_heartbeat(c, u, node, &m);
        break;
    case MESSAGE_CONFIRM:
        member_confirm(c, u, node, &m);
        break;
    case MESSAGE_HANDOVER:
        commit_handover(c, u, node, &m);
        break;
    case MESSAGE_CONSULT:
    case MESSAGE_OPINION:
        commit_consultation(c, u, node, &m);
        break;
    case MESSAGE_TYPES:
        assert(0);
    }
}

static bool may_serve(const struct cluster *c)
{
    return c->phase == PHASE_MEMBER && (c->quorate || c->setup.single) && !c->unproven &&
           c->durable >= c->view_persist && c->lease > c->now;
}

static const char *seconds_since(const struct cluster *c, uint64_t then, char text[32])
{
    uint64_t passed = c->now > then ? c->now - then : 0;

    snprintf(text, 32, "%llu.%llu s", (unsigned long long)(passed / 1000000000u),
             (unsigned long long)(passed / 100000000u % 10));
    return text;
}

static void describe_start(const struct cluster *c, char *text, size_t size)
{
    uint32_t missing = c->setup.configured & ~c->group;
    char why[160];

    if (c->have_record && (c->record_members & ~c->group))
        missing = c->record_members & ~c->group;
    for (unsigned node = 1; node <= LIMIT_NODES; node++)
        if (c->nodes[node].hello_seen && !c->nodes[node].compatible) {
            member_compatible(c, &c->nodes[node].hello, why, sizeof why);
            snprintf(text, size, "%s does not fit: %.100s", c->setup.names[node], why);
            return;
        }
    if (c->phase == PHASE_OUT)
        snprintf(text, size, "waits to become a member of the Corosync group");
    else if (!c->quorate && !c->setup.single)
        snprintf(text, size, "waits for quorum");
    else if (missing)
        snprintf(text, size, "waits for %s: %s", c->setup.names[lowest_node(missing)],
                 c->have_record ? "it may have newer state" : "a new array needs all nodes once");
    else
        snprintf(text, size, "joins");
}

/* A member's is kept with its place of the order: with many units it takes as long as an operation. */
uint64_t cluster_digest(struct cluster *c)
{
    return c->phase == PHASE_MEMBER ? lease_digest(c) : shared_state_digest(c->state);
}

uint32_t cluster_group(const struct cluster *c)
{
    return c->group;
}

void cluster_describe(const struct cluster *c, struct cluster_view *view)
{
    unsigned lost = lowest_node(c->unproven);
    char passed[32];

    memset(view, 0, sizeof *view);
    view->serving = c->serving;
    view->quorate = c->quorate || c->setup.single;
    view->joined = c->phase == PHASE_MEMBER;
    view->members = follows(c) ? c->state->members : 0;
    view->unproven = c->unproven;
    view->provable = member_may_go_on(c);
    view->digest = c->digest_order == c->order ? c->digest : 0;
    view->version = c->state->version;
    view->epoch = c->epoch;
    view->commits = c->commits;
    view->wire = member_wire(c);
    if (c->phase == PHASE_DEAD)
        snprintf(view->waiting, sizeof view->waiting, "stopped for good");
    else if (c->phase < PHASE_LOADING)
        describe_start(c, view->waiting, sizeof view->waiting);
    else if (c->phase != PHASE_MEMBER)
        snprintf(view->waiting, sizeof view->waiting, "joins: takes over the state");
    else if (lost && (c->group & node_bit(lost)))
        snprintf(view->waiting, sizeof view->waiting, "waits for %s to come back",
                 c->setup.names[lost]);
    else if (lost && !view->provable)
        snprintf(view->waiting, sizeof view->waiting, "waits for %s to come back: it may have newer state",
                 c->setup.names[lost]);
    else if (lost)
        snprintf(view->waiting, sizeof view->waiting, "waits for fencing of %s (lost %s ago)",
                 c->setup.names[lost], seconds_since(c, c->nodes[lost].lost_now, passed));
    else if (!view->quorate)
        snprintf(view->waiting, sizeof view->waiting, "waits for quorum");
    else if (c->durable < c->view_persist)
        snprintf(view->waiting, sizeof view->waiting, "waits for the journal");
    else if (c->lease <= c->now)
        snprintf(view->waiting, sizeof view->waiting, "waits for an answer of the other members");
}

static void tell_view(struct cluster *c, struct cluster_updates *u)
{
    struct cluster_view view;
    bool news;

    cluster_describe(c, &view);
    news = !c->told || view.serving != c->view.serving || view.quorate != c->view.quorate ||
           view.joined != c->view.joined || view.members != c->view.members ||
           view.unproven != c->view.unproven || view.provable != c->view.provable ||
           view.wire != c->view.wire || (!view.joined && strcmp(view.waiting, c->view.waiting));
    if (news) {
        /* A ticket only where the lanes must be made equal to the state. */
        bool lanes = (view.serving && !c->view.serving) || (view.joined && !c->view.joined);
        update_add(u, CLUSTER_VIEW)->ticket = lanes ? 1ull << 63 | ++c->view_ticket : 0;
        c->view = view;
        c->told = true;
    }
}

static void tell_lease(struct cluster *c, struct cluster_updates *u)
{
    uint64_t lease = c->serving ? c->lease : 0;

    if (lease != c->lease_told) {
        update_add(u, CLUSTER_LEASE)->lease = lease;
        c->lease_told = lease;
    }
}

/* What follows from the state, whatever the event was. */
static void advance(struct cluster *c, struct cluster_updates *u)
{
    if (c->phase != PHASE_DEAD) {
        member_advance(c, u);
        join_advance(c, u);
        lease_advance(c, u);
        c->serving = may_serve(c);
        tell_lease(c, u);
        tell_view(c, u);
        commit_advance(c, u);
    }
    c->serving = may_serve(c);
    tell_lease(c, u);
    tell_view(c, u);
    if (c->persist > c->persist_sent && c->phase != PHASE_DEAD) {
        c->persist_sent = c->persist;
        update_add(u, CLUSTER_PERSIST)->sequence = c->persist;
    }
    if (c->phase == PHASE_DEAD)
        u->more = false;
}

void cluster_step(struct cluster *c, const struct cluster_event *event, struct cluster_updates *u)
{
    bool replaying = c->replay_next < c->replay_count && c->phase == PHASE_FOLLOWING;

    assert(!replaying || event->kind == CLUSTER_MORE);
    u->count = 0;
    u->used = 0;
    u->more = false;
    c->now = event->now;
    c->wall = event->wall;
    if (c->phase == PHASE_DEAD && event->kind != CLUSTER_REQUEST)
        return;
    switch (event->kind) {
    case CLUSTER_MESSAGE:
        cluster_dispatch(c, u, event->message.node, event->message.bytes, event->message.size);
        break;
    case CLUSTER_GROUP:
        member_group(c, u, event);
        break;
    case CLUSTER_QUORUM:
        if (c->quorate && !event->quorate)
            lease_drop(c);
        c->quorate = event->quorate;
        break;
    case CLUSTER_TICK:
        break;
    case CLUSTER_REQUEST:
        commit_request(c, u, event);
        break;
    case CLUSTER_APPLIED:
        commit_applied(c, u, event->ticket);
        break;
    case CLUSTER_DURABLE:
        if (event->sequence > c->durable)
            c->durable = event->sequence;
        commit_durable(c, u);
        break;
    case CLUSTER_FENCED:
        member_fenced(c, u, event->fenced.node, event->fenced.time);
        break;
    case CLUSTER_HANDOVER:
        commit_ask_handover(c, u, event->handover.group);
        break;
    case CLUSTER_CONSULT:
        commit_consult(c, u, event->consult.number, event->consult.digest);
        break;
    case CLUSTER_ANSWER_CONSULT:
        commit_opinion(c, u, event);
        break;
    case CLUSTER_RECEIPT:
        commit_receipt(c, event->receipt.node, event->receipt.bytes, event->receipt.size);
        break;
    case CLUSTER_FORCE:
        c->forced = true;
        break;
    case CLUSTER_MORE:
        join_replay(c, u);
        break;
    }
    advance(c, u);
    if (c->phase == PHASE_FOLLOWING && c->replay_next < c->replay_count)
        u->more = true;
}
