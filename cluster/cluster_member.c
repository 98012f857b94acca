/* Membership: what the group's changes mean for the agreed members, and the proof that a lost
 * member can do no harm any more. */
#include <stdio.h>
#include <syslog.h>

#include "cluster/machine.h"

enum { REPEAT_NS = 1000000000, FENCING_CLOCK_NS = 1000000000 };

/* A change of the agreed members, at the same place on all nodes that moved together. `lost` leave.
 * The epoch tells sides of a partition apart: it grows only where somebody was proven harmless or a
 * whole view begins, so the side that went on has the larger one, whatever happened on a side that
 * waited. */
void member_change(struct cluster *c, struct cluster_updates *u, uint32_t members, uint32_t lost,
                   bool proven)
{
    /* The version in use where all were still there, whoever is lost now. */
    uint8_t wire = member_wire(c);
    bool prefer = wire >= WIRE_SURVIVORS;
    uint32_t back = wire >= WIRE_RETURNED ? members & ~c->state->members : 0;

    c->order++;
    c->digest_order = UINT64_MAX;
    c->unproven &= members;
    if (proven || !c->unproven)
        c->epoch++;
    shared_members(c->state, members, lost | back, prefer ? members & ~lost & ~c->unproven : 0,
                   &c->effects);
    cluster_persist(c);
    if (lost || !c->view_persist)
        c->view_persist = c->persist; /* a smaller view serves only when it is on disk */
    if (c->phase == PHASE_MEMBER)
        commit_carry_out(c, u, c->setup.self, 0, SHARED_NO_LU);
}

static void drop(struct cluster *c, struct cluster_updates *u, uint32_t lost, bool proven,
                 const char *why)
{
    for (unsigned node = 1; node <= LIMIT_NODES; node++)
        if (lost & node_bit(node))
            cluster_log(c, u, LOG_NOTICE, "%s is no member any more: %s", c->setup.names[node],
                        why);
    member_change(c, u, c->state->members & ~lost, lost, proven);
}

static void take_stamp(struct cluster *c)
{
    c->stamp.epoch = c->epoch;
    c->stamp.order = c->order;
    c->stamp.digest = lease_digest(c);
    c->stamp.members = c->phase == PHASE_MEMBER ? c->state->members : c->record_members;
    c->stamp.live = c->phase == PHASE_MEMBER ? live_members(c) : 0;
}

void member_say_hello(struct cluster *c, struct cluster_updates *u)
{
    struct cluster_message m = {.type = MESSAGE_HELLO};

    m.hello.wire_min = WIRE_MIN;
    m.hello.wire_max = c->setup.wire_max;
    if (c->phase == PHASE_MEMBER)
        m.hello.flags = HELLO_MEMBER | HELLO_JOURNAL;
    else if (c->have_record)
        m.hello.flags = HELLO_JOURNAL;
    m.hello.attempt = c->attempt;
    m.hello.group = c->group;
    memcpy(m.hello.config_digest, c->setup.config_digest, sizeof m.hello.config_digest);
    memcpy(m.hello.cluster_uuid, c->setup.cluster_uuid, sizeof m.hello.cluster_uuid);
    m.hello.stamp = c->stamp;
    cluster_send(c, u, &m);
}

void member_group(struct cluster *c, struct cluster_updates *u, const struct cluster_event *event)
{
    uint32_t self = node_bit(c->setup.self);

    if (!(event->group.members & self)) {
        if (c->phase != PHASE_OUT)
            cluster_fatal(c, u, "this node is not in the Corosync group any more");
        return;
    }
    c->group = event->group.members;
    join_reset(c);
    if (member_wire(c) < WIRE_ENDED)
        c->hello_mask = 0;
    c->attempt++;
    c->proof_begun = false;
    memset(c->confirmed, 0, sizeof c->confirmed);
    for (unsigned node = 1; node <= LIMIT_NODES; node++) {
        if (c->nodes[node].hello_seen)
            c->hello_mask |= node_bit(node);
        c->nodes[node].hello_seen = false;
        c->nodes[node].harmless_said = 0;
        c->nodes[node].proof_sent = 0;
        memset(c->nodes[node].confirm, 0, sizeof c->nodes[node].confirm);
    }
    if (c->phase == PHASE_MEMBER) {
        /* The process is known to have ended, or said good-bye. One that came back after it was
         * lost must have said what it had: perhaps it went on without us. */
        uint32_t harmless =
            event->group.left & c->state->members & ~self & ~(c->unproven & ~c->hello_mask);
        uint32_t lost = event->group.down & c->state->members & ~harmless & ~self;

        /* Who reappears was away from here; what it missed is settled by its HELLO. A member that
         * comes back without ever having left is a new process or one that we lost. */
        lost |= event->group.joined & live_members(c) & ~harmless & ~self;
        if (lost && c->lease <= c->now)
            c->suspect = true;
        if (lost)
            lease_drop(c);
        for (unsigned node = 1; node <= LIMIT_NODES; node++)
            if (lost & ~c->unproven & node_bit(node)) {
                c->nodes[node].lost_now = c->now;
                cluster_log(c, u, LOG_WARNING,
                            "%s vanished (last heard %llu ms ago); nothing is served until it is "
                            "harmless",
                            c->setup.names[node],
                            (unsigned long long)((c->now - c->nodes[node].heard_now) / 1000000));
            }
        c->unproven |= lost;
        c->hello_mask &= ~(event->group.left | event->group.down | event->group.joined);
        if (harmless)
            drop(c, u, harmless, false, "its daemon left or ended");
    } else {
        if (c->phase == PHASE_FOLLOWING) { /* what it took over is as good as a journal */
            c->have_record = true;
            c->record_members = c->state->members | self;
            c->unproven = 0;
        }
        c->phase = PHASE_WAITING;
        c->hello_mask = 0;
    }
    take_stamp(c);
    member_say_hello(c, u);
}

bool member_compatible(const struct cluster *c, const struct message_hello *hello, char *why,
                       size_t size)
{
    if (hello->wire_min > c->setup.wire_max || hello->wire_max < WIRE_MIN) {
        snprintf(why, size, "it speaks wire versions %u to %u, this node %u to %u", hello->wire_min,
                 hello->wire_max, WIRE_MIN, c->setup.wire_max);
        return false;
    }
    if (memcmp(hello->cluster_uuid, c->setup.cluster_uuid, sizeof hello->cluster_uuid)) {
        snprintf(why, size, "it belongs to another cluster (cluster uuid)");
        return false;
    }
    if (memcmp(hello->config_digest, c->setup.config_digest, sizeof hello->config_digest)) {
        snprintf(why, size, "its configuration of nodes, groups and LUs differs");
        return false;
    }
    return true;
}

static bool same_stamp(const struct cluster_stamp *a, const struct cluster_stamp *b)
{
    return a->epoch == b->epoch && a->order == b->order && a->digest == b->digest &&
           a->members == b->members;
}

/* The wire version in use at this place of the order: the newest that every member and every joiner
 * speaks. Members say HELLO before anybody can be admitted, so all know of all. An upgraded node
 * speaks the old version until the last one of them is upgraded; one of the old version may still
 * come back. Agreed. */
uint8_t member_wire(const struct cluster *c)
{
    uint8_t wire = c->setup.wire_max;

    for (unsigned node = 1; node <= LIMIT_NODES; node++) {
        const struct cluster_node *n = &c->nodes[node];
        bool counts = (c->state->members & node_bit(node)) || n->join_incarnation;
        if (counts && n->wire_max && n->wire_max < wire)
            wire = n->wire_max;
    }
    return wire;
}

/* Orders sides of a healed partition of which neither knew the other to be harmless. */
static bool better_side(const struct cluster_stamp *a, const struct cluster_stamp *b)
{
    if (a->epoch != b->epoch)
        return a->epoch > b->epoch;
    if (a->order != b->order)
        return a->order > b->order;
    if (__builtin_popcount(a->live) != __builtin_popcount(b->live))
        return __builtin_popcount(a->live) > __builtin_popcount(b->live);
    return lowest_node(a->live) < lowest_node(b->live);
}

/* The HELLOs of members in the present group; returns who said one (bits). */
static uint32_t hello_vector(const struct cluster *c, uint32_t attempt[LIMIT_NODES + 1])
{
    uint32_t said = 0;

    memset(attempt, 0, (LIMIT_NODES + 1) * sizeof *attempt);
    for (unsigned node = 1; node <= LIMIT_NODES; node++)
        if (c->nodes[node].hello_seen && (c->nodes[node].hello.flags & HELLO_MEMBER)) {
            attempt[node] = c->nodes[node].hello.attempt;
            said |= node_bit(node);
        }
    return said;
}

/* Sides of a partition are together again (a lost member is back in the group): when all have said
 * what they have, each confirms which HELLOs it knows. A HELLO may be from before the last change
 * of the group; that a node confirms everybody's newest one proves that it had seen that change. */
static void confirm(struct cluster *c, struct cluster_updates *u)
{
    struct cluster_message m = {.type = MESSAGE_CONFIRM};
    uint32_t said = hello_vector(c, m.confirm.attempt);

    if (c->phase != PHASE_MEMBER || !(c->unproven & c->group) ||
        (c->state->members & c->group & ~said) || m.confirm.attempt[c->setup.self] != c->attempt ||
        !memcmp(c->confirmed, m.confirm.attempt, sizeof c->confirmed))
        return;
    memcpy(c->confirmed, m.confirm.attempt, sizeof c->confirmed);
    cluster_send(c, u, &m);
}

/* Everybody has confirmed the same HELLOs: either nothing happened on any side while they were
 * apart and all go on, or one side goes on and the others end. Nothing but these HELLOs counts, so
 * that all come to the same end at the same place; until then nobody is dropped on one side alone.
 */
static void settle(struct cluster *c, struct cluster_updates *u, uint32_t said)
{
    const struct cluster_stamp *first = NULL, *best = NULL;
    unsigned best_node = 0;
    bool same = true;

    for (unsigned node = 1; node <= LIMIT_NODES; node++) {
        const struct cluster_node *n = &c->nodes[node];
        if (!(said & node_bit(node)))
            continue;
        if (!first)
            first = &n->hello.stamp;
        if (!same_stamp(&n->hello.stamp, first) || n->hello_incarnation != n->incarnation)
            same = false;
        if (!best || better_side(&n->hello.stamp, best)) {
            best = &n->hello.stamp;
            best_node = node;
        }
    }
    if (same && c->order == c->stamp.order) {
        cluster_log(c, u, LOG_NOTICE, "the members are together again and nothing was missed");
        c->unproven &= ~c->group;
        lease_drop(c); /* a lease of who was alone in its view says nothing of those who are back */
    } else if (is_live(c, best_node)) {
        /* Who lost ends where it hears the last of these. Whether it has, nobody here knows: own delivery proves nothing,
         * and who has not heard it goes on when it has this side fenced. It is harmless when it has ended. */
        if (member_wire(c) < WIRE_ENDED)
            drop(c, u, c->unproven & c->group, true, "it missed decisions while it was away");
        else
            cluster_log(c, u, LOG_NOTICE, "members that missed decisions while they were away have to end first");
    } else {
        cluster_fatal(c, u, "this node missed decisions while it was away; %s goes on",
                      c->setup.names[best_node]);
    }
}

void member_confirm(struct cluster *c, struct cluster_updates *u, unsigned node,
                    const struct cluster_message *message)
{
    uint32_t attempt[LIMIT_NODES + 1], said = hello_vector(c, attempt);

    if (c->phase != PHASE_MEMBER || !(c->group & node_bit(node)) ||
        c->nodes[node].hello_incarnation != message->incarnation)
        return;
    memcpy(c->nodes[node].confirm, message->confirm.attempt, sizeof c->nodes[node].confirm);
    if (!(c->unproven & c->group) || (c->state->members & c->group & ~said))
        return;
    for (unsigned i = 1; i <= LIMIT_NODES; i++)
        if ((said & node_bit(i)) && memcmp(c->nodes[i].confirm, attempt, sizeof attempt))
            return;
    settle(c, u, said);
}

void member_hello(struct cluster *c, struct cluster_updates *u, unsigned node,
                  const struct cluster_message *message)
{
    struct cluster_node *n = &c->nodes[node];
    const struct message_hello *hello = &message->hello;
    bool member = hello->flags & HELLO_MEMBER;
    char why[160];

    if (!(c->group & node_bit(node)) || !(c->setup.configured & node_bit(node)))
        return;
    join_hello(c, node);
    n->hello_seen = true;
    n->hello = *hello;
    n->hello_incarnation = message->incarnation;
    n->wire_max = hello->wire_max;
    n->compatible = member_compatible(c, hello, why, sizeof why);
    if (!n->compatible) {
        if (member && !follows(c))
            cluster_fatal(c, u, "cannot join %s: %s", c->setup.names[node], why);
        else
            cluster_log(c, u, LOG_ERR, "%s cannot join: %s", c->setup.names[node], why);
        return;
    }
    if (!follows(c))
        return;
    if (c->phase == PHASE_MEMBER && hello->stamp.epoch > c->epoch &&
        (hello->flags & HELLO_JOURNAL)) {
        cluster_fatal(c, u, "the cluster went on without this node: %s has newer state",
                      c->setup.names[node]);
    } else if (member) {
        if (!is_live(c, node) && c->phase == PHASE_MEMBER && hello->stamp.epoch > c->stamp.epoch)
            cluster_fatal(c, u, "the cluster went on without this node; %s is of the newer view",
                          c->setup.names[node]);
    } else {
        /* One node runs one daemon: a new process proves that the lost one has ended. If it is the
         * same process, it never learned that it had been admitted. */
        if (c->unproven & node_bit(node))
            drop(c, u, node_bit(node), false, "it has begun anew");
        if (!(c->state->members & node_bit(node)))
            join_register(c, node, message->incarnation, hello->attempt);
    }
    confirm(c, u);
}

static const char *const proofs[] = {"harmless", "it was fenced", "its lease ran out",
                                     "the operator said so"};

/* Own delivery proves nothing, of a proof neither: the ring may be broken already, and the others
 * go on without this node. So the lost go when everyone who is live has said so of all of them, and
 * the epoch grows by one at the first word and by one when they go. Whoever said so and did not
 * hear the rest has a larger epoch than those whom it gave up, and a smaller one than whoever went
 * on: it can go together with neither by mistake. A proof counts in the group in which it was sent:
 * nobody knows what one is worth that a broken ring left over. Where a member does not know this,
 * the first word drops the lost one, as it does there. */
void member_harmless(struct cluster *c, struct cluster_updates *u, unsigned node,
                     const struct cluster_message *message)
{
    unsigned lost = message->harmless.node;
    const struct cluster_node *n = &c->nodes[node];

    if (!follows(c) || !is_live(c, node) || n->incarnation != message->incarnation ||
        !n->hello_seen || n->hello.group != c->group || !(c->unproven & node_bit(lost)) ||
        (c->unproven & c->group) || c->nodes[lost].incarnation != message->harmless.incarnation)
        return;
    if (!c->nodes[lost].harmless_said)
        c->nodes[lost].harmless_proof = message->harmless.proof < 4 ? message->harmless.proof : 0;
    if (member_wire(c) < WIRE_PROOFS) {
        drop(c, u, node_bit(lost), true, proofs[c->nodes[lost].harmless_proof]);
        return;
    }
    if (!c->proof_begun)
        c->epoch++;
    c->proof_begun = true;
    c->nodes[lost].harmless_said |= node_bit(node);
    for (unsigned i = 1; i <= LIMIT_NODES; i++)
        if ((c->unproven & node_bit(i)) && (live_members(c) & ~c->nodes[i].harmless_said))
            return;
    drop(c, u, c->unproven, true, proofs[c->nodes[lost].harmless_proof]);
}

static void send_harmless(struct cluster *c, struct cluster_updates *u, unsigned node,
                          uint8_t proof)
{
    struct cluster_node *n = &c->nodes[node];
    struct cluster_message m = {.type = MESSAGE_HARMLESS};

    if (n->proof_sent && c->now - n->proof_sent < REPEAT_NS)
        return;
    n->proof_sent = c->now;
    m.harmless.node = node;
    m.harmless.incarnation = n->incarnation;
    m.harmless.proof = proof;
    cluster_send(c, u, &m);
}

/* Where a lease is a proof, the other side may have gone on while this one could not, and have died
 * later: then nobody's absence is a proof here. But who is live here, by name and all the time, did
 * not take part in that (its host would have brought its daemon along): if these are a majority,
 * there was none elsewhere. */
bool member_may_go_on(const struct cluster *c)
{
    return !c->setup.lease_proves || !c->suspect ||
           __builtin_popcount(live_members(c)) * 2 > __builtin_popcount(c->setup.configured);
}

/* Whether a proof about `node` is still wanted: who is back in the group speaks for itself. The
 * lease says that a message has gone round since the group changed: what was known of quorum before
 * that is known anew. */
static bool wants_proof(const struct cluster *c, unsigned node)
{
    return c->phase == PHASE_MEMBER && (c->unproven & node_bit(node)) &&
           !(c->unproven & c->group) && c->quorate && c->lease > c->now;
}

void member_fenced(struct cluster *c, struct cluster_updates *u, unsigned node, uint64_t time)
{
    if (node < 1 || node > LIMIT_NODES || !wants_proof(c, node) || !member_may_go_on(c))
        return;
    /* The fencer's times are whole seconds. A fencing older than the last sign of life, or of the
     * second in which the node joined or before, hit an earlier life of it. */
    if (time + FENCING_CLOCK_NS > c->nodes[node].heard_wall &&
        time / FENCING_CLOCK_NS > c->nodes[node].joined_wall / FENCING_CLOCK_NS)
        send_harmless(c, u, node, PROOF_FENCED);
}

void member_advance(struct cluster *c, struct cluster_updates *u)
{
    if (!c->unproven)
        c->suspect = false;
    else if (!c->quorate)
        c->suspect = true;
    for (unsigned node = 1; node <= LIMIT_NODES; node++) {
        const struct cluster_node *n = &c->nodes[node];
        if (!wants_proof(c, node))
            continue;
        if (n->harmless_said & ~node_bit(c->setup.self)) /* another one has a proof */
            send_harmless(c, u, node, n->harmless_proof);
        else if (c->setup.lease_proves && member_may_go_on(c) &&
                 c->now >= n->lost_now + c->setup.lease_ns + c->setup.lease_ns / 4)
            send_harmless(c, u, node, PROOF_LEASE);
    }
}
