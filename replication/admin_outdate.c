/* A copy is outdated by agreement of the cluster: the peer's, or this node's own. */
#include <errno.h>

#include "replication/admin.h"
#include "replication/outdating.h"

/* --- the peer is outdated --- */

static void alone_written(struct md_waiter *w, int error)
{
    struct admin *a = w->context;
    struct volume *v = w->volume;
    struct resource *r = v->resource;

    a->waiting--;
    if (error || !r->agreed)
        return;
    v->alone_durable = true;
    v->unstable = false;
    write_gate_opened(r);
    r->publish = true;
}

/* Did a disk fail before this node went on alone? Then it does not any more, with none of the volumes, and the peer has all
 * that was acknowledged. The generation has not moved: the peer's copy is no split brain with what is on this disk. */
static bool in_vain(const struct resource *r)
{
    bool failed = false;

    if (r->peer_node == REPLICA_PEER_OUTSIDE)
        return false;
    for (unsigned i = 0; i < r->volume_count; i++) {
        if (volume_alone(r->volumes[i]))
            return false;
        failed |= !volume_usable(r->volumes[i]);
    }
    return failed;
}

/* Where no connection could be comparing the old generation, or it does not move any more. */
static bool may_go_alone(const struct volume *v)
{
    return volume_usable(v) && volume_without_peer(v) &&
           (!conn_established(v->state.conn) || v->state.conn == CONN_CONNECTED);
}

bool admin_peer_outdated(struct resource *r, struct admin *a)
{
    bool alone = false;

    if (a->phase)
        return !a->waiting;
    if (a->flag && in_vain(r)) {
        resource_tell_in_vain(r);
        return true;
    }
    if (!a->flag || !r->primary)
        return true;
    if (outdating_flushes(r))
        return false; /* the answer to an earlier loss: what was acknowledged since has to be stable as well */
    if (r->link.phase >= LINK_FEATURES && r->link.phase <= LINK_PARAMS) {
        /* Our generation was told already and must not change under the comparison. */
        link_fail(r, "the peer was agreed to be outdated");
        return false;
    }
    for (unsigned i = 0; i < r->volume_count; i++)
        alone |= volume_without_peer(r->volumes[i]);
    if (!alone) {
        /* It came back before it could be outdated: it has everything, say so. */
        resource_tell_current(r);
        return true;
    }
    r->agreed = true;
    a->phase = 1;
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];

        if (!may_go_alone(v))
            continue;
        if (generation_new(&v->sb.generations, resource_random(), true) && v->promoted_alone)
            v->sb.generations.bitmap &= ~UINT64_C(1); /* by this the younger Primary is told */
        if (!conn_established(v->state.conn))
            v->state.peer_disk = DISK_OUTDATED;
        volume_changed(v, false);
        admin_waiter(a, i, v, false)->done = alone_written;
        md_request(v, &a->waiters[i]);
    }
    return !a->waiting;
}

/* The peer goes on with the only good copy: its acknowledgement is enough now. */
bool admin_self_outdated(struct resource *r, struct admin *a)
{
    if (!r->primary || !r->self_asked)
        return true;
    if (!a->flag) {
        r->self_asked = false; /* asked again by the next publication */
        return true;
    }
    r->self_agreed = true;
    write_check_all(r);
    r->publish = true;
    return true;
}

/* --- this copy is outdated --- */

bool admin_outdate(struct resource *r, struct admin *a)
{
    bool better = false, failed = false, durable = true;

    if (a->phase)
        return a->waiting
                   ? false
                   : admin_finish(a, a->error, "%s", a->error ? "metadata cannot be written" : "");
    for (unsigned i = 0; i < r->volume_count; i++)
        failed |= r->volumes[i]->peer_only;
    if (failed) /* by this node's own wish; there is no disk to write that on */
        return admin_finish(a, 0, "%s", "");
    for (unsigned i = 0; i < r->volume_count; i++) {
        const struct volume *v = r->volumes[i];

        if (volume_may_outdate(&v->state, r->primary, r->peer_role == WIRE_PRIMARY))
            return admin_finish(a, -EBUSY, "%s",
                                r->primary ? "this node is Primary"
                                           : "it is being resynced from the Primary");
        better |= v->state.disk > DISK_OUTDATED;
        durable &= !volume_usable(v) || md_idle(v);
    }
    if (!better && durable)
        return admin_finish(a, 0, "%s", "");
    if (better && r->link.phase >= LINK_FEATURES && r->link.phase <= LINK_UP) {
        link_fail(r, "this copy was agreed to be outdated");
        return false;
    }
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];

        if (v->state.disk > DISK_OUTDATED) {
            v->outdated_from = v->state.disk;
            v->state.disk = DISK_OUTDATED;
        }
        volume_changed(v, false);
    }
    admin_persist(r, a, false);
    a->phase = 1;
    return false;
}

/* The order to be outdated, which came first, may still wait for a connection to end. */
static bool behind_outdating(const struct resource *r, const struct admin *a)
{
    const struct admin *other;

    qb_list_for_each_entry(other, &r->admins, link)
    {
        if (other == a)
            return false;
        if (other->kind == ORDER_OUTDATE)
            return true;
    }
    return false;
}

/* That is taken back. What the peer was told at a handshake must not change under its comparison. */
bool admin_reinstate(struct resource *r, struct admin *a)
{
    if (a->phase)
        return !a->waiting && admin_finish(a, 0, "%s", "");
    if (behind_outdating(r, a))
        return false;
    if (r->link.phase >= LINK_FEATURES && r->link.phase <= LINK_PARAMS) {
        link_fail(r, "the outdating of this copy is taken back");
        return false;
    }
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];

        if (v->state.disk != DISK_OUTDATED || !v->outdated_from || conn_is_target(v->state.conn))
            continue;
        v->state.disk = v->outdated_from;
        v->outdated_from = DISK_DISKLESS;
        volume_changed(v, true);
    }
    admin_persist(r, a, false);
    a->phase = 1;
    return !a->waiting && admin_finish(a, 0, "%s", "");
}
