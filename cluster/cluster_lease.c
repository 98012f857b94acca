/* Lease and digest: what heartbeats prove. */
#include <syslog.h>

#include "cluster/machine.h"

uint64_t lease_digest(struct cluster *c)
{
    if (c->digest_order != c->order) {
        c->digest = shared_state_digest(c->state);
        c->digest_order = c->order;
    }
    return c->digest;
}

/* Round trips that began before now prove nothing any more. */
void lease_drop(struct cluster *c)
{
    c->beat_floor = c->beat;
    c->lease = 0;
    c->ask_next = 0;
    c->beat_now = true;
}

/* Equal place, equal state: otherwise one of us computed something else. The smaller camp ends; between
 * two, the one that joined later. */
static void compare_digest(struct cluster *c, struct cluster_updates *u, unsigned node)
{
    uint64_t theirs = c->nodes[node].digest, ours;
    unsigned with_them = 0, with_us = 0, oldest = 0, self = c->setup.self;

    if (c->nodes[node].digest_order != c->order || node == self)
        return;
    ours = lease_digest(c);
    if (theirs == ours)
        return;
    for (unsigned i = 1; i <= LIMIT_NODES; i++) {
        const struct cluster_node *n = &c->nodes[i];
        uint64_t digest = i == self ? ours : n->digest;
        if (!is_live(c, i))
            continue;
        if (!oldest || n->since < c->nodes[oldest].since)
            oldest = i;
        if (i != self && n->digest_order != c->order)
            continue;
        with_us += digest == ours;
        with_them += digest == theirs;
    }
    cluster_log(c, u, LOG_CRIT, "state differs from that of %s at %llu: %016llx here, %016llx there",
                c->setup.names[node], (unsigned long long)c->order, (unsigned long long)ours,
                (unsigned long long)theirs);
    if (with_us < with_them || (with_us == with_them && oldest != self))
        cluster_fatal(c, u, "the shared state of this node differs from that of %s",
                      c->setup.names[node]);
}

void lease_heartbeat(struct cluster *c, struct cluster_updates *u, unsigned node,
                     const struct cluster_message *message)
{
    struct cluster_node *n = &c->nodes[node];

    if (c->phase != PHASE_MEMBER || !is_live(c, node) || n->incarnation != message->incarnation)
        return;
    n->beat = message->heartbeat.number;
    if (node == c->setup.self) {
        c->beat_own = n->beat;
        return;
    }
    n->echo_of_me = message->heartbeat.echo[c->setup.self];
    n->digest = message->heartbeat.digest;
    n->digest_order = message->heartbeat.order;
    if (message->heartbeat.want)
        c->beat_now = true;
    compare_digest(c, u, node);
}

/* When the newest heartbeat that `echo` answers was sent, or 0. */
static uint64_t sent_at(const struct cluster *c, uint64_t echo)
{
    if (echo <= c->beat_floor || echo > c->beat || echo + HEARTBEATS <= c->beat)
        return 0;
    return c->beat_time[echo % HEARTBEATS];
}

static void renew(struct cluster *c)
{
    uint32_t others = live_members(c) & ~node_bit(c->setup.self);
    uint64_t newest = others ? 0 : sent_at(c, c->beat_own);

    /* With others in the view only their answer counts: Corosync on a node that has just been thawed
     * may hand it its own message back before it notices that the others are gone. */
    for (unsigned node = 1; node <= LIMIT_NODES; node++)
        if ((others & node_bit(node)) && sent_at(c, c->nodes[node].echo_of_me) > newest)
            newest = sent_at(c, c->nodes[node].echo_of_me);
    if (newest && newest + c->setup.lease_ns > c->lease)
        c->lease = newest + c->setup.lease_ns;
}

/* One question at a time: where an answer asks again, those of many who all lost their lease multiply, until messages
 * take longer than the lease and none is ever renewed. */
static bool asks(struct cluster *c)
{
    if (c->lease >= c->now + c->setup.lease_ns / 2 || c->now < c->ask_next)
        return false;
    c->ask_next = c->now + c->setup.lease_ns / 6;
    return true;
}

static void send_heartbeat(struct cluster *c, struct cluster_updates *u)
{
    struct cluster_message m = {.type = MESSAGE_HEARTBEAT};

    c->beat_now = false;
    c->beat_next = c->now + c->setup.lease_ns / 6;
    c->beat_time[++c->beat % HEARTBEATS] = c->now;
    m.heartbeat.number = c->beat;
    m.heartbeat.order = c->order;
    m.heartbeat.digest = lease_digest(c);
    m.heartbeat.want = asks(c);
    for (unsigned node = 1; node <= LIMIT_NODES; node++)
        m.heartbeat.echo[node] = c->nodes[node].beat;
    cluster_send(c, u, &m);
}

void lease_advance(struct cluster *c, struct cluster_updates *u)
{
    if (c->setup.single) {
        c->lease = c->phase == PHASE_MEMBER ? UINT64_MAX : 0;
        return;
    }
    if (c->phase != PHASE_MEMBER) {
        c->lease = 0;
        return;
    }
    renew(c);
    if (c->beat_now || c->now >= c->beat_next)
        send_heartbeat(c, u);
}
