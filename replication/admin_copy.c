/* Orders that concern the content of the copies: resync paused, copies compared, given up, begun
 * anew; both new. */
#include <errno.h>
#include <qb/qblog.h>

#include "replication/admin.h"

bool admin_pause(struct resource *r, struct admin *a)
{
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];

        if (v->user_isp == a->flag)
            continue;
        v->user_isp = a->flag;
        resync_paused(v);
        volume_changed(v, true);
    }
    return true;
}

/* --- verify: the peer is asked volume by volume --- */

static void ask_verify(struct resource *r, const struct volume *v)
{
    struct packet_state_request p = {
        .mask.conn = WIRE_CONN_MASK,
        .value.conn = CONN_VERIFY_S,
    };
    uint8_t body[8];
    size_t n = packet_state_request_encode(&p, body);

    r->own_request = true;
    r->replies_wanted = 1;
    r->reply = STATE_OK;
    link_send(r, &r->link.data, v->number, P_STATE_CHG_REQ, body, n);
}

bool admin_verify(struct resource *r, struct admin *a)
{
    unsigned at = a->phase / 2; /* odd phase: asked */

    if (!r->group->verify_alg)
        return admin_finish(a, -EINVAL, "verify_alg is not set for group \"%s\"", r->group->name);
    if (!admin_link_up(r)) {
        if (a->phase % 2)
            r->own_request = false;
        return admin_finish(a, -EAGAIN, "the peer is not connected");
    }
    if (a->phase % 2) {
        if (r->replies_wanted) {
            if (r->home->now_ns - a->since_ns > 2000000ull * resource_timeout_ms(r))
                link_fail(r, "the peer does not answer when asked for a verify");
            return false;
        }
        r->own_request = false;
        if (r->reply < STATE_OK)
            return admin_finish(
                a, r->reply == STATE_TRANSIENT || r->reply == STATE_CONCURRENT ? -EAGAIN : -EBUSY,
                "volume %u: the peer refuses: %s", r->volumes[at]->number,
                state_reply_text(r->reply));
        if (!verify_possible(r->volumes[at]))
            return admin_finish(a, -EAGAIN, "volume %u: its state changed", r->volumes[at]->number);
        verify_begin(r->volumes[at], true);
        a->phase++;
        at++;
    }
    while (at < r->volume_count && verify_runs(r->volumes[at])) {
        at++;
        a->phase += 2;
    }
    if (at == r->volume_count)
        return admin_finish(a, 0, "%s", "");
    if (!verify_possible(r->volumes[at]))
        return admin_finish(a, -EAGAIN,
                            "volume %u: both copies have to be connected, UpToDate and at rest",
                            r->volumes[at]->number);
    if (r->own_request)
        return false; /* another question is open */
    ask_verify(r, r->volumes[at]);
    a->since_ns = r->home->now_ns;
    a->phase++;
    return false;
}

/* --- invalidate: everything is copied again ---
 *
 * The copy that is given up, or the one that is kept, is marked as such on disk while there is no
 * connection; the comparison of the next one does the rest. So it goes with every peer, and after
 * every crash. */

enum { INVALIDATE_CHECK, INVALIDATE_MARK, INVALIDATE_WRITTEN };

/* Takes the link down and keeps it so; true when nothing of the connection is left. */
static bool alone_now(struct resource *r)
{
    r->standalone = true;
    if (r->link.phase == LINK_CONNECTING)
        connector_pause(r);
    else if (link_alive(&r->link))
        link_refuse(r, "a copy is given up"); /* until that is on disk */
    return r->link.phase == LINK_IDLE && !r->link.failing;
}

static void connect_again(struct resource *r)
{
    if (r->closing)
        return;
    r->standalone = false;
    if (r->link.phase != LINK_IDLE) {
        /* An order to connect came meanwhile. What was compared may not have been on disk: once more. */
        if (link_alive(&r->link))
            link_fail(r, "a copy was given up");
        return;
    }
    for (unsigned i = 0; i < r->volume_count; i++)
        r->volumes[i]->state.conn = CONN_UNCONNECTED;
    connector_start(r);
    r->publish = true;
}

static bool all_good(const struct resource *r)
{
    for (unsigned i = 0; i < r->volume_count; i++) {
        const struct volume *v = r->volumes[i];

        if (v->state.conn != CONN_CONNECTED || v->step_running || !volume_usable(v))
            return false;
    }
    return true;
}

/* DRBD as the peer is asked, volume by volume; the connection stays. */
static bool ask_whole(struct resource *r, struct admin *a, bool source)
{
    struct packet_state_request p = {
        .mask.conn = WIRE_CONN_MASK,
        .value.conn = source ? CONN_STARTING_SYNC_S : CONN_STARTING_SYNC_T,
    };
    uint8_t body[8];
    struct volume *v;

    if (a->phase % 2) { /* asked */
        v = r->volumes[a->phase / 2];
        if (!admin_link_up(r)) {
            r->own_request = false;
            return admin_finish(a, -EAGAIN, "the connection was lost");
        }
        if (r->replies_wanted) {
            if (r->home->now_ns - a->since_ns > 2000000ull * resource_timeout_ms(r))
                link_fail(r, "the peer does not answer when a copy is invalidated");
            return false;
        }
        r->own_request = false;
        if (r->reply < STATE_OK)
            return admin_finish(a, r->reply == STATE_TRANSIENT || r->reply == STATE_CONCURRENT ? -EAGAIN : -EBUSY,
                                "volume %u: the peer refuses: %s", v->number, state_reply_text(r->reply));
        if (v->state.conn != CONN_CONNECTED || v->step_running)
            return admin_finish(a, -EAGAIN, "volume %u: its state changed", v->number);
        resync_whole(v, source);
        a->phase++;
    }
    if (a->phase / 2 == r->volume_count)
        return admin_finish(a, 0, "%s", "");
    v = r->volumes[a->phase / 2];
    if (r->own_request)
        return false;
    if (!admin_link_up(r) || v->state.conn != CONN_CONNECTED || v->step_running || v->resync.catching_up)
        return admin_finish(a, -EAGAIN, "the peer is not connected, or something is under way");
    if ((source ? v->state.disk : v->state.peer_disk) != DISK_UP_TO_DATE)
        return admin_finish(a, -ENODATA, "volume %u: the copy that would be kept is not UpToDate", v->number);
    r->own_request = true;
    r->replies_wanted = 1;
    r->reply = STATE_OK;
    link_send(r, &r->link.data, v->number, P_STATE_CHG_REQ, body, packet_state_request_encode(&p, body));
    a->since_ns = r->home->now_ns;
    a->phase++;
    return false;
}

/* Equal again after the cluster had agreed, it may be recorded again and be promoted: then it has to be agreed on once more. */
static bool agreed_not_current(const struct resource *r)
{
    return !r->recorded || r->standing == REPLICA_WORSE;
}

/* Behind the agreement the connection is just being made anew: nothing is asked of the peer, whose copy the cluster calls current. */
static bool lost_by_agreement(const struct resource *r)
{
    if (!r->recorded || r->standalone || admin_link_up(r))
        return false;
    for (unsigned i = 0; i < r->volume_count; i++)
        if (r->volumes[i]->step_running || !volume_usable(r->volumes[i]))
            return false;
    return true;
}

/* True when the order is over: it is refused. */
static bool invalidate_check(struct resource *r, struct admin *a)
{
    if (r->primary)
        return admin_finish(a, -EBUSY, "this node is Primary");
    if (!agreed_not_current(r))
        return admin_finish(a, -EAGAIN, "the cluster calls this copy current again");
    if (lost_by_agreement(r))
        return false;
    if (!admin_link_up(r) || !all_good(r))
        return admin_finish(a, -EAGAIN, "the peer is not connected, or something is under way");
    for (unsigned i = 0; i < r->volume_count; i++)
        if (r->volumes[i]->state.peer_disk != DISK_UP_TO_DATE)
            return admin_finish(a, -ENODATA, "the peer's copy is not UpToDate");
    return false;
}

bool admin_invalidate(struct resource *r, struct admin *a)
{
    if (r->peer_node == REPLICA_PEER_OUTSIDE)
        return r->primary ? admin_finish(a, -EBUSY, "this node is Primary") : ask_whole(r, a, false);
    if (a->phase == INVALIDATE_CHECK) {
        if (invalidate_check(r, a))
            return true;
        a->phase = INVALIDATE_MARK;
    }
    if (a->phase == INVALIDATE_MARK) {
        if (!alone_now(r))
            return false;
        if (r->primary || !agreed_not_current(r)) { /* meanwhile: what is in use must not be marked */
            connect_again(r);
            return invalidate_check(r, a);
        }
        for (unsigned i = 0; i < r->volume_count; i++) {
            struct volume *v = r->volumes[i];

            v->state.disk = DISK_INCONSISTENT;
            v->sb.flags |= MD_FULL_SYNC; /* until the map says it */
            dirty_map_set_all(v->map);
            volume_changed(v, false);
        }
        admin_persist(r, a, true);
        a->phase = INVALIDATE_WRITTEN;
    }
    if (a->waiting)
        return false;
    for (unsigned i = 0; i < r->volume_count; i++) {
        r->volumes[i]->sb.flags &= ~(uint32_t)MD_FULL_SYNC;
        md_request(r->volumes[i], NULL);
    }
    connect_again(r);
    return admin_finish(a, a->error, "%s", a->error ? "metadata cannot be written" : "");
}

bool admin_invalidate_peer(struct resource *r, struct admin *a)
{
    if (r->peer_node == REPLICA_PEER_OUTSIDE && admin_link_up(r))
        return r->peer_role == WIRE_PRIMARY ? admin_finish(a, -EBUSY, "the peer is Primary") : ask_whole(r, a, true);
    if (r->peer_node == REPLICA_PEER_OUTSIDE && a->phase % 2)
        return ask_whole(r, a, true); /* lost while it was asked */
    if (a->phase == INVALIDATE_CHECK) {
        if (r->peer_role == WIRE_PRIMARY)
            return admin_finish(a, -EBUSY, "the peer is Primary");
        for (unsigned i = 0; i < r->volume_count; i++)
            if (r->volumes[i]->state.disk != DISK_UP_TO_DATE)
                return admin_finish(a, -ENODATA, "this node's copy is not UpToDate");
        if (admin_settling(r))
            return false;
        a->phase = INVALIDATE_MARK;
    }
    if (a->phase == INVALIDATE_MARK) {
        if (!alone_now(r))
            return false;
        for (unsigned i = 0; i < r->volume_count; i++) {
            struct volume *v = r->volumes[i];

            /* The peer's generation becomes the base of a map that says: all. */
            generation_new(&v->sb.generations, resource_random(), r->primary);
            dirty_map_set_all(v->map);
            v->state.peer_disk = DISK_OUTDATED;
            volume_changed(v, false);
        }
        admin_persist(r, a, true);
        a->phase = INVALIDATE_WRITTEN;
    }
    if (a->waiting)
        return false;
    connect_again(r);
    return admin_finish(a, a->error, "%s", a->error ? "metadata cannot be written" : "");
}

/* --- a new generation by order, without a connection --- */

bool admin_new_generation(struct resource *r, struct admin *a)
{
    if (a->phase)
        return a->waiting
                   ? false
                   : admin_finish(a, a->error, "%s", a->error ? "metadata cannot be written" : "");
    if (r->primary || !r->standalone || r->link.phase != LINK_IDLE)
        return admin_finish(a, -EBUSY,
                            "only on a Secondary that was disconnected by order (StandAlone)");
    for (unsigned i = 0; i < r->volume_count; i++)
        if (r->volumes[i]->state.disk < DISK_CONSISTENT)
            return admin_finish(a, -ENODATA, "volume %u is %s", r->volumes[i]->number,
                                replica_disk_name(r->volumes[i]->state.disk));
    for (unsigned i = 0; i < r->volume_count; i++)
        generation_new_offline(&r->volumes[i]->sb.generations, resource_random(), false);
    admin_persist(r, a, false);
    a->phase = 1;
    return false;
}

/* --- the good copy by order, whatever others have --- */

static bool force_check(struct resource *r, struct admin *a)
{
    if (r->primary)
        return admin_finish(a, -EBUSY, "this node is Primary");
    if (admin_link_up(r) && r->peer_role == WIRE_PRIMARY)
        return admin_finish(a, -EBUSY, "the peer is Primary");
    for (unsigned i = 0; i < r->volume_count; i++) {
        const struct volume *v = r->volumes[i];

        if (!volume_usable(v))
            return admin_finish(a, -EIO, "volume %u: the disk of this node has failed", v->number);
        if (admin_link_up(r) && v->state.peer_disk >= DISK_CONSISTENT)
            return admin_finish(a, -EEXIST, "volume %u: the peer is connected, and has a good copy", v->number);
    }
    return false;
}

/* The generation is new even where this copy was good: a peer that has seen the old one may have gone on from it, and its
 * copy must not be taken for a later one of this. */
bool admin_force_current(struct resource *r, struct admin *a)
{
    enum { CHECK, MARK, WRITTEN };

    if (a->phase == CHECK) {
        if (force_check(r, a))
            return true;
        a->phase = MARK;
    }
    if (a->phase == MARK) {
        if (!alone_now(r))
            return false;
        for (unsigned i = 0; i < r->volume_count; i++) {
            struct volume *v = r->volumes[i];

            generation_new_offline(&v->sb.generations, resource_random(), false);
            v->state.disk = DISK_UP_TO_DATE;
            v->state.peer_disk = DISK_OUTDATED;
            v->complete = true;
            volume_changed(v, false);
        }
        admin_persist(r, a, true);
        a->phase = WRITTEN;
    }
    if (a->waiting)
        return false;
    connect_again(r);
    return admin_finish(a, a->error, "%s", a->error ? "metadata cannot be written" : "");
}

/* --- both copies are new --- */

static bool equal_now(const struct volume *v)
{
    return v->state.disk == DISK_UP_TO_DATE && v->state.peer_disk == DISK_UP_TO_DATE;
}

static bool all_equal_now(const struct resource *r)
{
    for (unsigned i = 0; i < r->volume_count; i++)
        if (!equal_now(r->volumes[i]))
            return false;
    return true;
}

bool admin_new_current(struct resource *r, struct admin *a)
{
    enum { CHECK, WRITTEN, ADOPTED };

    if (a->phase == CHECK && admin_settling(r))
        return false;
    if (!admin_link_up(r))
        return a->waiting ? false : admin_finish(a, -ENOTCONN, "the peer is not connected");
    if (a->phase == CHECK) {
        if (all_equal_now(r))
            return admin_finish(a, 0, "%s", "");
        for (unsigned i = 0; i < r->volume_count; i++) {
            struct volume *v = r->volumes[i];

            if (equal_now(v))
                continue; /* an earlier order was cut short, by a power cut say */
            if (v->state.conn != CONN_CONNECTED || !volume_just_created(v) || !volume_usable(v) ||
                !generation_equal(v->peer_uuids.current, GENERATION_JUST_CREATED))
                return admin_finish(a, -EINVAL, "volume %u was used already", v->number);
        }
        for (unsigned i = 0; i < r->volume_count; i++) {
            struct volume *v = r->volumes[i];

            if (equal_now(v))
                continue;
            generation_skip_sync_initiate(&v->sb.generations, resource_random(), r->primary);
            dirty_map_clear_all(v->map);
            v->state.disk = DISK_UP_TO_DATE;
            v->complete = true;
            volume_changed(v, false);
        }
        admin_persist(r, a, true);
        a->phase = WRITTEN;
    }
    if (a->phase == WRITTEN) {
        if (a->waiting)
            return false;
        if (a->error)
            return admin_finish(a, -EIO, "metadata cannot be written");
        for (unsigned i = 0; i < r->volume_count; i++) {
            if (equal_now(r->volumes[i]))
                continue;
            send_uuids(r->volumes[i], UUIDS_SKIP_INITIAL_SYNC);
            send_state(r->volumes[i]);
        }
        a->phase = ADOPTED;
    }
    if (!all_equal_now(r))
        return false;
    resource_tell_current(r);
    return admin_finish(a, 0, "%s", "");
}
