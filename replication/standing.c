#include "replication/standing.h"

#include <qb/qblog.h>

#include "replication/outdating.h"
#include "replication/resource.h"

enum {
    RULE_CRASHED = 40,   /* one generation, and one of them crashed as Primary */
    RULE_OLDER = 50,     /* from here on: one generation follows the other's */
    RULE_SAME_BASE = 90, /* split brain: both maps begin with the same generation */
};

/* --- a new generation --- */

static void apart(struct md_waiter *waiter, int error)
{
    struct resource *r = waiter->volume->resource;

    if (--r->separating)
        return;
    qb_log(LOG_NOTICE, "group \"%s\": a new generation, as only this copy is current",
           r->group->name);
    r->publish = true;
}

/* Flush, map, superblock: what the new generation stands for is durable before it is. A volume that
 * has a bitmap generation is apart from the peer's already, unless that went on from this one's current generation. */
static void separate(struct volume *v)
{
    const struct resource *r = v->resource;

    if (r->overtaken)
        generation_new_offline(&v->sb.generations, resource_random(), r->primary);
    else if (!generation_new(&v->sb.generations, resource_random(), false))
        return;
    v->state.peer_disk = DISK_OUTDATED;
    volume_changed(v, false);
    v->resource->separating++;
    v->apart = (struct md_waiter){.pages = true, .done = apart, .volume = v};
    md_request(v, &v->apart);
}

void standing_pump(struct resource *r)
{
    /* A Primary begins one when it is to go on alone (replica_peer_outdated()). */
    if (!r->separate || (r->primary && !r->overtaken) || r->separating || r->closing)
        return;
    if (r->link.phase >= LINK_FEATURES && r->link.phase <= LINK_PARAMS) {
        /* The generation was told already, and must not change under the comparison. */
        link_fail(r, "this copy begins a new generation");
        return;
    }
    if (r->link.failing || (r->link.phase != LINK_IDLE && r->link.phase != LINK_CONNECTING))
        return; /* later: with a connection, nothing is compared */
    r->separate = false;
    for (unsigned i = 0; i < r->volume_count; i++)
        if (r->volumes[i]->state.disk >= DISK_CONSISTENT)
            separate(r->volumes[i]);
    r->overtaken = false;
}

/* Is it said for good which copy is the source? */
static bool decided(const struct resource *r)
{
    return r->standing != REPLICA_UNSETTLED && r->standing != REPLICA_OWNED;
}

void standing_set(struct resource *r, enum replica_standing standing)
{
    r->standing = standing;
    if (!decided(r) || standing == r->settled)
        return;
    r->settled = standing;
    r->separate = standing == REPLICA_BETTER;
}

void standing_equal(struct resource *r)
{
    r->separate = r->overtaken = false;
}

/* --- the comparison --- */

bool standing_current(const struct resource *r)
{
    return !r->recorded || (r->standing != REPLICA_UNSETTLED && r->standing != REPLICA_WORSE);
}

bool standing_complete(const struct resource *r)
{
    for (unsigned i = 0; i < r->volume_count; i++)
        if (!r->volumes[i]->complete || r->volumes[i]->state.disk < DISK_CONSISTENT)
            return false;
    return true;
}

void standing_compared(struct volume *v)
{
    if (v->complete || v->state.disk != DISK_UP_TO_DATE || v->peer_uuids.dirty_bits || v->map->set)
        return;
    v->complete = true;
    v->resource->publish = true;
}

/* Has this copy all that the crashed peer acknowledged? Then it does not become the target. */
static bool witness(const struct volume *v)
{
    return v->complete && v->state.disk >= DISK_CONSISTENT &&
           v->resource->standing != REPLICA_WORSE;
}

/* The copy that alone is current has no data: its disk was replaced. The table would fill it with the older ones, which
 * would be current then. One that was being resynchronised when its source was lost, and was recorded as current all the
 * time, is filled again from that. */
static bool replaced(const struct volume *v, const struct generation_verdict *verdict, const struct wire_state *peer)
{
    return (verdict->action == GENERATION_SYNC_SOURCE && v->resource->standing == REPLICA_WORSE &&
            peer->disk < DISK_CONSISTENT && generation_equal(v->peer_uuids.current, GENERATION_JUST_CREATED)) ||
           (verdict->action == GENERATION_SYNC_TARGET && v->resource->standing == REPLICA_BETTER &&
            v->state.disk < DISK_CONSISTENT && volume_just_created(v));
}

bool standing_forbids(const struct resource *r, const struct generation_verdict *verdict)
{
    return r->recorded && verdict->initial_split_brain && !verdict->split_brain &&
           ((verdict->sync < 0 && r->standing == REPLICA_BETTER) ||
            (verdict->sync > 0 && r->standing == REPLICA_WORSE));
}

bool standing_gives_way(const struct resource *r)
{
    if (!r->recorded || r->primary || r->standing != REPLICA_WORSE)
        return false;
    for (unsigned i = 0; i < r->volume_count; i++)
        if (r->volumes[i]->state.disk > DISK_OUTDATED && (!r->same_base || r->volumes[i]->map->set))
            return false;
    return true;
}

/* The one that gives way has to say so, which it does at the next handshake, or when it knows what is recorded. */
static bool will_give_way(const struct volume *v, const struct wire_state *peer)
{
    const struct resource *r = v->resource;

    return (standing_gives_way(r) && !r->gives_way) || r->standing == REPLICA_UNSETTLED ||
           (r->standing == REPLICA_BETTER && peer->role != WIRE_PRIMARY &&
            (peer->disk <= DISK_OUTDATED || (r->same_base && !v->peer_uuids.dirty_bits)));
}

/* The copy that is not current has a generation that follows the current one's: changed for an owner whose disk failed, in
 * vain (mirror.c; an older daemon did not wait there for the record). The table makes it the source. The current one moves on,
 * and both are two histories then, of which the other one gives way. */
static bool follows(const struct volume *v, const struct generation_verdict *verdict, const struct wire_state *peer)
{
    struct resource *r = v->resource;

    if (verdict->rule < RULE_OLDER || verdict->initial_split_brain)
        return false;
    if (verdict->sync < 0 && r->standing == REPLICA_BETTER && v->state.disk >= DISK_CONSISTENT) {
        r->separate = r->overtaken = true;
        link_fail(r, "this copy begins a new generation");
        return true;
    }
    if (verdict->sync > 0 && r->standing == REPLICA_WORSE && peer->disk >= DISK_CONSISTENT) {
        link_fail(r, "the peer's copy is the current one, and begins a new generation first");
        return true;
    }
    return false;
}

/* What the table says after a crash of a Primary. */
static bool crashed_primary_waits(struct volume *v, const struct generation_verdict *verdict, const struct wire_state *peer)
{
    struct resource *r = v->resource;
    bool target = verdict->table < 0;

    if (verdict->rule != RULE_CRASHED || !verdict->table)
        return false;
    if (target ? v->state.disk < DISK_CONSISTENT : peer->disk < DISK_CONSISTENT)
        return false; /* it could not be the source anyway */
    if (!decided(r) && !(target && witness(v))) {
        link_fail(
            r,
            "one node crashed as Primary, and the cluster does not say yet whose copy is current");
        return true;
    }
    if (target && r->standing == REPLICA_BETTER) {
        r->separate = true;
        link_fail(r, "this copy begins a new generation");
        return true;
    }
    if (target && witness(v)) {
        /* Every time: what can be agreed depends on what becomes of the peer's node. */
        outdating_ask_as_witness(r);
        link_fail(r, "the peer crashed as Primary, and this copy has all: it has to be agreed on");
        return true;
    }
    if (!target && r->standing == REPLICA_WORSE) {
        link_fail(r, "the peer's copy is the current one, and begins a new generation first");
        return true;
    }
    return false;
}

/* Both copies are recorded as current, and this one is to be filled from the other. Were that one's node the owner before that
 * is over, and lost, the record would prefer this half filled copy: so it is outdated by agreement before anything is copied.
 * The target asks, as it alone knows that it has nothing that the other one lacks. */
static bool outdated_first(struct resource *r, const struct generation_verdict *verdict)
{
    if (verdict->action != GENERATION_SYNC_TARGET || r->standing != REPLICA_EQUAL)
        return false;
    for (unsigned i = 0; i < r->volume_count; i++)
        if (witness(r->volumes[i]))
            return false;
    resource_tell_to_be_filled(r);
    link_fail(r, "this copy is to be filled from the peer's: that it is outdated has to be agreed on first");
    return true;
}

bool standing_holds(struct volume *v, const struct generation_verdict *verdict,
                    const struct wire_state *peer)
{
    struct resource *r = v->resource;

    if (verdict->split_brain && verdict->rule == RULE_SAME_BASE)
        r->same_base = true;
    if (r->recorded && verdict->split_brain && will_give_way(v, peer)) {
        link_fail(r, "split brain: the copy that is recorded as outdated gives way when it is connected again");
        return true;
    }
    if (r->recorded && follows(v, verdict, peer))
        return true;
    if (!r->recorded || ((r->primary || peer->role == WIRE_PRIMARY) && !r->separating))
        return false;
    if (r->separate || r->separating) {
        link_fail(r, "this copy begins a new generation");
        return true;
    }
    if (replaced(v, verdict, peer)) {
        link_fail(r, "the only current copy has no data any more: see \"halunctl group make-current\"");
        return true;
    }
    return crashed_primary_waits(v, verdict, peer) || outdated_first(r, verdict);
}
