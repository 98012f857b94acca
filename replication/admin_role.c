/* Changes of role: promote and demote. */
#include <errno.h>
#include <qb/qblog.h>

#include "replication/admin.h"
#include "replication/role_mark.h"
#include "replication/standing.h"
#include "replication/unequal.h"

enum { UNMARK_MS = 100 }; /* for a successor to take over: what clearing marks costs is not in its way */

static void not_primary(struct resource *r)
{
    r->primary = r->giving_up = r->agreed = r->asked = false;
    r->self_asked = r->self_agreed = false;
    r->peer_cache = PEER_FLUSHED;
}

static void is_primary(struct resource *r)
{
    r->primary = true;
    r->peer_cache = r->peer_node == REPLICA_PEER_OUTSIDE ? PEER_FLUSHED : PEER_UNFLUSHED;
}

/* --- promote --- */

enum { PROMOTE_CHECK, PROMOTE_ASK, PROMOTE_WRITE, PROMOTE_WRITTEN };

/* DRBD asks for each volume. Another node of the cluster is asked once for all of them: with 1000 volumes the questions
 * and their answers would be most of what a planned change of the owner takes. */
static void ask_peer(struct resource *r)
{
    struct packet_state_request p = {.mask.role = 3, .value.role = WIRE_PRIMARY};
    uint8_t body[8];
    size_t n = packet_state_request_encode(&p, body);

    r->own_request = true;
    r->reply = STATE_OK;
    if (r->peer_node != REPLICA_PEER_OUTSIDE) {
        r->replies_wanted = 1;
        link_send(r, &r->link.data, 0, P_CONN_ST_CHG_REQ, body, n);
        return;
    }
    r->replies_wanted = r->volume_count;
    for (unsigned i = 0; i < r->volume_count; i++)
        link_send(r, &r->link.data, r->volumes[i]->number, P_STATE_CHG_REQ, body, n);
}

/* The role is one for all volumes, and nothing else of their states changes with it here: another node of the cluster
 * hears of it with the first volume's, DRBD with each. */
static bool tells_role(const struct resource *r, unsigned index)
{
    return !index || r->peer_node == REPLICA_PEER_OUTSIDE;
}

/* A peer that has just died looks alive until the link times out. Who is asked to be Primary
 * nevertheless gives it less time than that to show that it is. */
static bool impatient(struct resource *r, struct admin *a)
{
    uint64_t patience = resource_timeout_ms(r) * 1000000ull / 4;

    if (a->serial != r->link.serial) {
        a->serial = r->link.serial;
        a->since_ns = r->home->now_ns;
        link_ping(r);
        a->mark = r->link.pings;
    }
    if (r->home->now_ns - a->since_ns < patience)
        return false;
    link_fail(r, "the peer does not answer when asked for its role");
    return true;
}

static bool still_primary(struct resource *r, struct admin *a)
{
    return !impatient(r, a) && r->link.ping_acks >= a->mark;
}

/* The order was given while there was a connection, or one was being made: it would have compared this copy, which may have
 * lost something, with the other one, which is recorded as current, too, or was when the cluster served last. */
static bool not_compared(const struct resource *r, const struct admin *a)
{
    return r->recorded && r->standing != REPLICA_BETTER && !admin_link_up(r) && !a->flag && !standing_complete(r);
}

static bool promote_check(struct resource *r, struct admin *a)
{
    if (r->serving)
        return admin_finish(a, 0, "%s", "");
    if (admin_settling(r) || r->link.failing || r->own_request)
        return false;
    if (admin_link_up(r) && r->peer_role == WIRE_PRIMARY) {
        if (still_primary(r, a))
            return admin_finish(a, -EBUSY, "the peer is Primary");
        return false;
    }
    if (not_compared(r, a))
        return admin_finish(a, -EAGAIN, "the copies to be compared: the connection was lost before");
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];
        const char *why;
        int rc = volume_may_promote(&v->state, volume_just_created(v), a->flag, &why);

        if (rc)
            return admin_finish(a, rc, "volume %u: %s", v->number, why);
    }
    a->phase = PROMOTE_WRITE;
    if (admin_link_up(r)) {
        ask_peer(r);
        a->serial = 0;
        a->phase = PROMOTE_ASK;
    }
    return false;
}

static bool promote_ask(struct resource *r, struct admin *a)
{
    if (!admin_link_up(r)) {
        r->own_request = false;
        a->phase = PROMOTE_CHECK;
    } else if (!r->replies_wanted) {
        r->own_request = false;
        if (r->reply < STATE_OK)
            return admin_finish(
                a, r->reply == STATE_TRANSIENT || r->reply == STATE_CONCURRENT ? -EAGAIN : -EBUSY,
                "the peer refuses: %s", state_reply_text(r->reply));
        a->phase = PROMOTE_WRITE;
    } else {
        impatient(r, a);
    }
    return false;
}

/* Both copies are equal: nothing on disk depends on the role before the first write. */
static void promote_at_once(struct resource *r, struct admin *a)
{
    is_primary(r);
    r->serving = true;
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];

        v->promoted_alone = false;
        r->publish |= !v->complete;
        v->complete = true;
        role_mark_set(v);
        volume_role_changed(v, tells_role(r, i));
    }
    a->phase = PROMOTE_WRITTEN;
}

static void promote_write(struct resource *r, struct admin *a)
{
    bool forced = false;

    is_primary(r);
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];

        if (v->state.disk == DISK_INCONSISTENT) {
            forced = true;
            generation_new_offline(&v->sb.generations, resource_random(), true);
        }
        v->state.disk = DISK_UP_TO_DATE;
        v->complete = true;
        generation_set_role(&v->sb.generations, true);
        v->promoted_alone = !conn_established(v->state.conn);
        volume_changed(v, false);
    }
    if (forced && link_alive(&r->link))
        link_fail(r, "a first generation was forced: comparing again");
    admin_persist(r, a, false);
    a->phase = PROMOTE_WRITTEN;
}

bool admin_promote(struct resource *r, struct admin *a)
{
    if (a->phase == PROMOTE_CHECK && promote_check(r, a))
        return true;
    if (a->phase == PROMOTE_ASK && promote_ask(r, a))
        return true;
    if (a->phase == PROMOTE_WRITE) {
        if (role_mark_may_lag(r))
            promote_at_once(r, a);
        else
            promote_write(r, a);
    }
    if (a->phase != PROMOTE_WRITTEN || a->waiting)
        return false;
    if (!r->serving || a->error) {
        r->serving = !a->error;
        r->primary = r->serving;
        for (unsigned i = 0; i < r->volume_count; i++)
            volume_changed(r->volumes[i], true);
        if (r->serving)
            unequal_promoted(r);
    }
    if (a->error)
        return admin_finish(a, -EIO, "metadata cannot be written");
    resource_tell_current(r);
    qb_log(LOG_NOTICE, "group \"%s\": Primary", r->group->name);
    return admin_finish(a, 0, "%s", "");
}

/* --- demote --- */

enum { DEMOTE_BEGIN, DEMOTE_DRAIN, DEMOTE_MAPS, DEMOTE_WRITTEN, DEMOTE_UNMARK_LATER, DEMOTE_UNMARK };

/* Nothing that still runs will be answered by the peer or by an agreement. */
static bool hopeless(const struct resource *r)
{
    for (unsigned i = 0; i < r->volume_count; i++) {
        const struct volume *v = r->volumes[i];

        if (volume_without_peer(v) && v->state.conn != CONN_WF_REPORT_PARAMS && !volume_alone(v))
            return true;
        if (v->peer_only && !r->self_agreed)
            return true;
    }
    return false;
}

/* Of what waits now alone: this node may stay the Primary. */
bool admin_give_up(struct resource *r, struct admin *a)
{
    bool before = r->giving_up;

    if (!r->primary || !hopeless(r))
        return true;
    write_give_up(r);
    r->giving_up = before;
    return true;
}

/* Left in the transfer log is only what both copies have, and the peer has not flushed yet. As Secondary this node keeps it
 * until that is answered, and marks it if the link is lost before: the successor, which has it all, need not wait for its
 * own disk. The marks on disk stay as long, so that a crash looks at the activity log. */
static bool unflushed_stays(const struct resource *r, const struct admin *a)
{
    const struct entry *e;

    if (a->kind != ORDER_DEMOTE || r->peer_node == REPLICA_PEER_OUTSIDE || !qb_list_empty(&r->requests) ||
        !qb_list_empty(&r->flushes))
        return false;
    qb_list_for_each_entry(e, &r->log, log)
    {
        if (!e->progress.completed || e->progress.peer != PEER_ACKED || e->bounce)
            return false;
    }
    return role_mark_may_lag(r);
}

static bool drained(struct resource *r, const struct admin *a)
{
    if (hopeless(r))
        write_give_up(r);
    else if (r->giving_up)
        write_check_all(r); /* those that were to start since */
    epoch_sender_close(&r->epochs);
    write_send_barrier(r);
    if (r->arrived || r->asking || (!write_log_empty(r) && !unflushed_stays(r, a)))
        return false;
    for (unsigned i = 0; i < r->volume_count; i++)
        if (r->volumes[i]->resync.catching_up && volume_usable(r->volumes[i]) && link_alive(&r->link))
            return false; /* from a disk that has failed nothing more is sent */
    return true;
}

/* Both copies are equal: the peer may become Primary at once. */
static void demote_at_once(struct resource *r, struct admin *a)
{
    bool marked = !write_log_empty(r);

    not_primary(r);
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];

        v->alone_durable = false;
        role_mark_begin_clear(v);
        marked |= v->unmarking;
        volume_role_changed(v, tells_role(r, i));
    }
    qb_log(LOG_NOTICE, "group \"%s\": Secondary", r->group->name);
    a->error = 0;
    a->next = 0;
    a->phase = DEMOTE_UNMARK;
    if (!marked || a->kind == ORDER_CLOSE)
        return;
    a->phase = DEMOTE_UNMARK_LATER;
    a->since_ns = r->home->now_ns + UNMARK_MS * 1000000ull;
    if (r->tick.deadline_ns > a->since_ns)
        reactor_timer_set(r->home, &r->tick, a->since_ns);
}

/* Without its crashed-Primary mark this node would not look at its activity log any more: first the
 * map is made durable, then the role. */
bool admin_demote(struct resource *r, struct admin *a)
{
    if (a->phase == DEMOTE_BEGIN) {
        if (!r->primary)
            return admin_finish(a, 0, "%s", "");
        r->serving = false;
        r->publish_roles = true;
        a->phase = DEMOTE_DRAIN;
    }
    if (a->phase == DEMOTE_DRAIN) {
        if (!drained(r, a))
            return false;
        if (role_mark_may_lag(r)) {
            demote_at_once(r, a);
        } else {
            admin_persist(r, a, true);
            a->phase = DEMOTE_MAPS;
        }
    }
    if (a->phase == DEMOTE_UNMARK_LATER) {
        if (r->home->now_ns < a->since_ns || !write_log_empty(r))
            return false;
        a->phase = DEMOTE_UNMARK;
    }
    if (a->phase == DEMOTE_UNMARK)
        return role_mark_clear(r, a) &&
               admin_finish(a, 0, "%s", a->error ? "its metadata could not be written" : "");
    if (a->waiting)
        return false;
    if (a->phase == DEMOTE_MAPS) {
        not_primary(r);
        for (unsigned i = 0; i < r->volume_count; i++) {
            struct volume *v = r->volumes[i];

            if (v->unstable)
                v->sb.flags |= MD_CRASHED_PRIMARY;
            v->unstable = v->alone_durable = false;
            v->mark = 0;
            generation_set_role(&v->sb.generations, false);
            volume_changed(v, true);
        }
        admin_persist(r, a, false);
        a->phase = DEMOTE_WRITTEN;
    }
    if (a->waiting)
        return false;
    qb_log(LOG_NOTICE, "group \"%s\": Secondary", r->group->name);
    return admin_finish(a, 0, "%s", a->error ? "its metadata could not be written" : "");
}
