/* The replica is closed: Secondary, the link taken down, everything durable. */
#include <assert.h>

#include "replication/admin.h"
#include "replication/outdating.h"

enum { GRACEFUL_MS = 500 };

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
            v->md.running || (volume_usable(v) && !md_idle(v)))
            return false;
    }
    return true;
}

/* A change of role that was ordered before writes its marks last, up to a moment later: not behind the closing. */
static bool role_changes(const struct resource *r, const struct admin *a)
{
    const struct admin *b;

    qb_list_for_each_entry(b, &r->admins, link)
    {
        if (b == a)
            break;
        if (b->kind == ORDER_PROMOTE || b->kind == ORDER_DEMOTE)
            return true;
    }
    return false;
}

bool admin_close(struct resource *r, struct admin *a)
{
    if (a->phase < CLOSE_SAY) {
        if (role_changes(r, a) || !admin_demote(r, a))
            return false;
        a->phase = CLOSE_SAY;
    }
    if (a->phase == CLOSE_SAY) {
        if (admin_link_up(r) && !write_log_empty(r))
            return false; /* demoted a moment ago: the peer has not flushed all yet */
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
        r->at_rest = true;
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
                md_close(r->volumes[i], admin_waiter(a, i, r->volumes[i], false));
    }
    if (a->waiting)
        return false;
    resource_stop_timers(r);
    for (unsigned i = 0; i < r->volume_count; i++)
        assert(!r->volumes[i]->md.running); /* its disk is closed now */
    r->closed = true;
    return admin_finish(a, a->error, "%s", a->error ? "metadata cannot be written" : "");
}
