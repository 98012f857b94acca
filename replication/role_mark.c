#include "replication/role_mark.h"

#include <assert.h>

#include "replication/resource.h"

enum { AT_A_TIME = 8 }; /* volumes; the new Primary needs the disks as well */

bool role_mark_may_lag(const struct resource *r)
{
    if (r->link.phase != LINK_UP || r->link.failing)
        return false;
    for (unsigned i = 0; i < r->volume_count; i++) {
        const struct volume *v = r->volumes[i];

        if (!volume_usable(v) || v->state.conn != CONN_CONNECTED ||
            v->state.disk != DISK_UP_TO_DATE || v->state.peer_disk != DISK_UP_TO_DATE ||
            v->unstable || v->map->set || v->resync.catching_up || v->peer_only || v->only_copy)
            return false;
    }
    return true;
}

static void take_role(struct volume *v, bool primary)
{
    struct wire_state s;

    generation_set_role(&v->sb.generations, primary);
    volume_wire_state(v, &s);
    v->sb.flags = metadata_flags(v->sb.flags, &s);
}

void role_mark_set(struct volume *v)
{
    take_role(v, true);
    v->mark = ++v->md.wanted;
}

bool role_mark_durable(const struct volume *v)
{
    return v->md.durable >= v->mark;
}

void role_mark_begin_clear(struct volume *v)
{
    if (v->mark && !role_mark_durable(v) && !v->md.running) {
        /* The disk never heard of it, and nothing else was asked of it since: that would be running. */
        assert(v->md.wanted == v->mark);
        v->md.wanted--;
        v->mark = 0;
        take_role(v, false);
    } else {
        v->unmarking = true;
    }
}

static void cleared(struct md_waiter *waiter, int error)
{
    struct admin *a = waiter->context;

    a->waiting--;
    if (error)
        a->error = error;
}

static void map_durable(struct md_waiter *waiter, int error)
{
    struct volume *v = waiter->volume;

    if (error) {
        cleared(waiter, error);
        return;
    }
    v->unmarking = v->cached = false;
    v->mark = 0;
    take_role(v, false);
    waiter->pages = false;
    waiter->done = cleared;
    md_request(v, waiter);
}

bool role_mark_clear(struct resource *r, struct admin *a)
{
    while (a->waiting < AT_A_TIME && a->next < r->volume_count) {
        unsigned i = a->next++;
        struct volume *v = r->volumes[i];

        if (!v->unmarking || !volume_usable(v))
            continue;
        a->waiting++;
        a->waiters[i] = (struct md_waiter){
            .pages = true,
            .done = map_durable,
            .volume = v,
            .context = a,
        };
        md_request(v, &a->waiters[i]);
    }
    return a->next == r->volume_count && !a->waiting;
}
