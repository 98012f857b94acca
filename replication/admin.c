/* Changes of role and other orders of the control thread. Each is a small sequence of steps that
 * goes on, at the end of any event, when what it waits for has come. */
#include <assert.h>
#include <errno.h>
#include <qb/qblog.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "replication/admin.h"
#include "replication/outdating.h"
#include "replication/resource.h"
#include "replication/role_mark.h"
#include "replication/standing.h"
#include "target/base/container.h"

enum {
    GRACEFUL_MS = 500,
    UNMARK_MS = 100, /* for a successor to take over: what clearing marks costs is not in its way */
};

bool admin_finish(struct admin *a, int error, const char *format, ...)
{
    va_list args;

    a->error = error;
    va_start(args, format);
    vsnprintf(a->why, sizeof a->why, format, args);
    va_end(args);
    return true;
}

static void written(struct md_waiter *waiter, int error)
{
    struct admin *a = waiter->context;

    a->waiting--;
    if (error)
        a->error = error;
}

static struct md_waiter *waiter(struct admin *a, unsigned index, struct volume *v, bool pages)
{
    a->waiting++;
    a->waiters[index] = (struct md_waiter){
        .pages = pages,
        .done = written,
        .volume = v,
        .context = a,
    };
    return &a->waiters[index];
}

/* Superblocks (and maps) of all volumes with a disk; a->waiting drops to 0 when they are durable.
 */
void admin_persist(struct resource *r, struct admin *a, bool pages)
{
    a->error = 0;
    for (unsigned i = 0; i < r->volume_count; i++)
        if (volume_usable(r->volumes[i]))
            md_request(r->volumes[i], waiter(a, i, r->volumes[i], pages));
}

bool admin_settling(const struct resource *r)
{
    if (r->link.phase >= LINK_FEATURES && r->link.phase <= LINK_PARAMS)
        return true;
    for (unsigned i = 0; i < r->volume_count; i++)
        if (conn_in_transition(r->volumes[i]->state.conn))
            return true;
    return false;
}

bool admin_link_up(const struct resource *r)
{
    return r->link.phase == LINK_UP && !r->link.failing;
}

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

static bool just_created(const struct volume *v)
{
    return generation_equal(v->sb.generations.current, GENERATION_JUST_CREATED);
}

unsigned admin_timeout_ms(const struct resource *r)
{
    return r->group->timeout_ms ? r->group->timeout_ms : 2000;
}

/* A peer that has just died looks alive until the link times out. Who is asked to be Primary
 * nevertheless gives it less time than that to show that it is. */
static bool impatient(struct resource *r, struct admin *a)
{
    uint64_t patience = admin_timeout_ms(r) * 1000000ull / 4;

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
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];
        const char *why;
        int rc = volume_may_promote(&v->state, just_created(v), a->flag, &why);

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

static bool promote(struct resource *r, struct admin *a)
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

static bool drained(struct resource *r)
{
    if (hopeless(r))
        write_give_up(r);
    else if (r->giving_up)
        write_check_all(r); /* those that were to start since */
    epoch_sender_close(&r->epochs);
    write_send_barrier(r);
    if (!write_log_empty(r) || r->arrived || r->asking)
        return false;
    for (unsigned i = 0; i < r->volume_count; i++)
        if (r->volumes[i]->resync.catching_up && link_alive(&r->link))
            return false;
    return true;
}

/* Both copies are equal: the peer may become Primary at once. */
static void demote_at_once(struct resource *r, struct admin *a)
{
    bool marked = false;

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
static bool demote(struct resource *r, struct admin *a)
{
    if (a->phase == DEMOTE_BEGIN) {
        if (!r->primary)
            return admin_finish(a, 0, "%s", "");
        r->serving = false;
        r->publish_roles = true;
        a->phase = DEMOTE_DRAIN;
    }
    if (a->phase == DEMOTE_DRAIN) {
        if (!drained(r))
            return false;
        if (role_mark_may_lag(r)) {
            demote_at_once(r, a);
        } else {
            admin_persist(r, a, true);
            a->phase = DEMOTE_MAPS;
        }
    }
    if (a->phase == DEMOTE_UNMARK_LATER) {
        if (r->home->now_ns < a->since_ns)
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

/* Where no connection could be comparing the old generation, or it does not move any more. */
static bool may_go_alone(const struct volume *v)
{
    return volume_usable(v) && volume_without_peer(v) &&
           (!conn_established(v->state.conn) || v->state.conn == CONN_CONNECTED);
}

static bool peer_outdated(struct resource *r, struct admin *a)
{
    bool alone = false;

    if (a->phase)
        return !a->waiting;
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
        waiter(a, i, v, false)->done = alone_written;
        md_request(v, &a->waiters[i]);
    }
    return !a->waiting;
}

/* The peer goes on with the only good copy: its acknowledgement is enough now. */
static bool self_outdated(struct resource *r, struct admin *a)
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

static bool outdate(struct resource *r, struct admin *a)
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

        if (v->state.disk > DISK_OUTDATED)
            v->state.disk = DISK_OUTDATED;
        volume_changed(v, false);
    }
    admin_persist(r, a, false);
    a->phase = 1;
    return false;
}

/* --- both copies are new --- */

static bool all_equal_now(const struct resource *r)
{
    for (unsigned i = 0; i < r->volume_count; i++)
        if (r->volumes[i]->state.disk != DISK_UP_TO_DATE ||
            r->volumes[i]->state.peer_disk != DISK_UP_TO_DATE)
            return false;
    return true;
}

static bool new_current(struct resource *r, struct admin *a)
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

            if (v->state.conn != CONN_CONNECTED || !just_created(v) || !volume_usable(v) ||
                !generation_equal(v->peer_uuids.current, GENERATION_JUST_CREATED))
                return admin_finish(a, -EINVAL, "volume %u was used already", v->number);
        }
        for (unsigned i = 0; i < r->volume_count; i++) {
            struct volume *v = r->volumes[i];

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

/* --- close --- */

enum { CLOSE_DEMOTE, CLOSE_SAY = 100, CLOSE_SAID, CLOSE_LINK, CLOSE_MAPS, CLOSE_CLEAN };

static void say_goodbye(struct resource *r)
{
    struct packet_state_request p = {
        .mask.conn = WIRE_CONN_MASK,
        .value.conn = CONN_DISCONNECTING,
    };
    uint8_t body[8];

    r->graceful_done = false;
    r->graceful_ns = r->home->now_ns;
    link_send(r, &r->link.data, 0, P_CONN_ST_CHG_REQ, body, packet_state_request_encode(&p, body));
}

static bool quiet(struct resource *r)
{
    if (r->link.failing || (r->link.phase >= LINK_FEATURES && r->link.phase <= LINK_CLOSING))
        return false;
    r->link.phase = LINK_IDLE;
    if (!connector_stop(r) || r->mirrors || r->syncs || r->flush_running || outdating_flushes(r) ||
        !write_log_empty(r))
        return false;
    for (unsigned i = 0; i < r->volume_count; i++) {
        const struct volume *v = r->volumes[i];

        if (v->step_running || v->checkpoint_running || grow_runs(&v->growth) ||
            (volume_usable(v) && !md_idle(v)))
            return false;
    }
    return true;
}

static bool close_down(struct resource *r, struct admin *a)
{
    if (a->phase < CLOSE_SAY) {
        if (!demote(r, a))
            return false;
        a->phase = CLOSE_SAY;
    }
    if (a->phase == CLOSE_SAY) {
        if (admin_link_up(r))
            say_goodbye(r);
        a->phase = CLOSE_SAID;
    }
    if (a->phase == CLOSE_SAID) {
        if (admin_link_up(r) && !r->graceful_done &&
            r->home->now_ns - r->graceful_ns < GRACEFUL_MS * 1000000ull)
            return false;
        r->closing = true;
        a->phase = CLOSE_LINK;
        link_fail(r, "this node detaches");
    }
    if (a->phase == CLOSE_LINK) {
        if (!quiet(r))
            return false;
        for (unsigned i = 0; i < r->volume_count; i++) {
            struct volume *v = r->volumes[i];
            struct wire_state s;

            v->state.conn = CONN_STANDALONE;
            volume_wire_state(v, &s);
            v->sb.flags = metadata_flags(v->sb.flags, &s);
        }
        admin_persist(r, a, true);
        a->phase = CLOSE_MAPS;
    }
    if (a->phase == CLOSE_MAPS) {
        if (a->waiting)
            return false;
        a->phase = CLOSE_CLEAN;
        for (unsigned i = 0; i < r->volume_count && !a->error; i++)
            if (volume_usable(r->volumes[i]))
                md_close(r->volumes[i], waiter(a, i, r->volumes[i], false));
    }
    if (a->waiting)
        return false;
    resource_stop_timers(r);
    r->closed = true;
    return admin_finish(a, a->error, "%s", a->error ? "metadata cannot be written" : "");
}

/* --- links --- */

static bool disconnect(struct resource *r, struct admin *a)
{
    if (link_alive(&r->link)) {
        link_refuse(r, "disconnected by order");
    } else if (r->link.phase == LINK_CONNECTING) {
        connector_pause(r);
    }
    r->standalone = true;
    for (unsigned i = 0; i < r->volume_count; i++)
        if (!conn_established(r->volumes[i]->state.conn))
            r->volumes[i]->state.conn = CONN_STANDALONE;
    r->publish = true;
    return true;
}

static bool connect_again(struct resource *r, struct admin *a)
{
    if (r->closing || link_alive(&r->link) || r->link.phase == LINK_CONNECTING) {
        /* The peer alone has refused: this node is trying already, and says it at the next handshake. */
        if (a->flag && !r->primary && r->link.phase < LINK_UP) {
            r->discard_my_data = true;
            if (r->link.phase == LINK_PARAMS)
                link_fail(r, "the peer is told anew whose data are discarded");
        }
        return true;
    }
    if (r->link.failing)
        return false;
    r->standalone = false;
    r->discard_my_data = a->flag && !r->primary;
    for (unsigned i = 0; i < r->volume_count; i++)
        r->volumes[i]->state.conn = CONN_UNCONNECTED;
    if (r->link.phase == LINK_IDLE)
        connector_start(r);
    r->publish = true;
    return true;
}

/* --- what the cluster records --- */

static bool set_standing(struct resource *r, struct admin *a)
{
    standing_set(r, a->standing);
    handshake_judge(r);
    return true;
}

/* Connected and equal says nothing of a peer whose process has ended unnoticed: who answers a ping is there now, and this
 * connection was made with it. */
static bool confirm_equal(struct resource *r, struct admin *a)
{
    if (!admin_link_up(r) || (a->mark && a->serial != r->link.serial))
        return true;
    if (!a->mark) {
        a->serial = r->link.serial;
        link_ping(r);
        a->mark = r->link.pings;
    }
    if (r->link.ping_acks < a->mark)
        return false;
    resource_tell_current(r);
    return true;
}

/* A disk that cannot do it has failed, and is no copy any more: whoever waits goes on. */
static bool flush(struct resource *r, struct admin *a)
{
    if (!a->phase) {
        a->phase = 1;
        outdating_flush(r);
    }
    return !outdating_flushes(r) && admin_finish(a, 0, "%s", "");
}

/* --- running them --- */

static bool (*const steps[])(struct resource *, struct admin *) = {
    [ORDER_PROMOTE] = promote,
    [ORDER_DEMOTE] = demote,
    [ORDER_NEW_CURRENT] = new_current,
    [ORDER_FORCE_CURRENT] = admin_force_current,
    [ORDER_PEER_OUTDATED] = peer_outdated,
    [ORDER_SELF_OUTDATED] = self_outdated,
    [ORDER_OUTDATE] = outdate,
    [ORDER_CLOSE] = close_down,
    [ORDER_DISCONNECT] = disconnect,
    [ORDER_CONNECT] = connect_again,
    [ORDER_PAUSE] = admin_pause,
    [ORDER_VERIFY] = admin_verify,
    [ORDER_INVALIDATE] = admin_invalidate,
    [ORDER_INVALIDATE_PEER] = admin_invalidate_peer,
    [ORDER_NEW_GENERATION] = admin_new_generation,
    [ORDER_STANDING] = set_standing,
    [ORDER_RESIZE] = admin_resize,
    [ORDER_CONFIRM_EQUAL] = confirm_equal,
    [ORDER_FLUSH] = flush,
};

static void refuse_rest(struct resource *r)
{
    while (!qb_list_empty(&r->admins)) {
        struct admin *a = qb_list_first_entry(&r->admins, struct admin, link);

        qb_list_del(&a->link);
        admin_finish(a, -ESHUTDOWN, "the replica is closed");
        a->post.run = admin_answer;
        mailbox_post(r->public.control, &a->post);
    }
}

void admin_run(struct resource *r)
{
    struct admin *a, *next;

    qb_list_for_each_entry_safe(a, next, &r->admins, link)
    {
        if (!steps[a->kind](r, a))
            continue;
        qb_list_del(&a->link);
        a->post.run = admin_answer;
        if (r->closed) {
            r->last_post = &a->post; /* sent when nothing here is touched any more */
            refuse_rest(r);
            return;
        }
        if (r->publish) /* who is answered may look at the status */
            resource_publish(r);
        else if (r->publish_roles)
            resource_publish_roles(r);
        mailbox_post(r->public.control, &a->post);
    }
}

void admin_arrive(struct post *post)
{
    struct admin *a = container_of(post, struct admin, post);
    struct resource *r = a->resource;

    resource_enter(r);
    qb_list_add_tail(&a->link, &r->admins);
    resource_leave(r);
}

void admin_reply(struct resource *r, int32_t code)
{
    if (!r->replies_wanted)
        return;
    r->replies_wanted--;
    if (code < STATE_OK)
        r->reply = code;
}

void admin_conn_reply(struct resource *r, int32_t code)
{
    if (r->own_request)
        admin_reply(r, code);
    else
        r->graceful_done = true;
}
