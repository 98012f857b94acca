/* The order to grow: both devices were made larger before. The peer is asked by P_SIZES and grows first, then this node;
 * then what is new is sent to the peer, unless it is known to be equal. Only when all that is done may initiators see it. */
#include <errno.h>

#include "replication/admin.h"
#include "replication/grow.h"
#include "replication/unequal.h"

enum { RESIZE_CHECK, RESIZE_ASKED, RESIZE_GROW, RESIZE_COPY };

/* One after the other: both would take the peer's answers for theirs. */
static bool another(const struct resource *r, const struct admin *a)
{
    const struct admin *other;

    qb_list_for_each_entry(other, &r->admins, link)
    {
        if (other != a && other->kind == ORDER_RESIZE && other->phase != RESIZE_CHECK)
            return true;
    }
    return false;
}

static bool ready(struct resource *r, struct admin *a, bool *over)
{
    *over = true;
    if (!r->primary)
        return !admin_finish(a, -EBUSY, "only on the owner");
    *over = false;
    if (admin_settling(r) || r->own_request || another(r, a))
        return false;
    *over = true;
    if (!admin_link_up(r))
        return !admin_finish(a, -EAGAIN, "the peer is not connected");
    for (unsigned i = 0; i < r->volume_count; i++) {
        const struct volume *v = r->volumes[i];

        if (v->state.conn != CONN_CONNECTED || v->state.disk != DISK_UP_TO_DATE ||
            v->state.peer_disk != DISK_UP_TO_DATE || v->step_running || grow_runs(&v->growth))
            return !admin_finish(a, -EAGAIN, "volume %u: both copies have to be connected, UpToDate and at rest",
                                 v->number);
    }
    *over = false;
    return true;
}

/* DRBD would resync what is new, and its copy be Inconsistent meanwhile: it is told not to, and gets it as writes. */
static bool ask(struct resource *r, struct admin *a)
{
    bool no_resync = a->flag || r->peer_node == REPLICA_PEER_OUTSIDE;

    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];
        char why[MD_WHY];
        uint64_t room = grow_room(v, why);

        if (why[0])
            return admin_finish(a, -EINVAL, "volume %u: %s", v->number, why);
        v->resize_to = room > v->sectors ? room : 0;
        v->resize_answer = 0;
    }
    for (unsigned i = 0; i < r->volume_count; i++)
        if (r->volumes[i]->resize_to)
            send_sizes_wanted(r->volumes[i], r->volumes[i]->resize_to, no_resync);
    a->serial = r->link.serial;
    a->phase = RESIZE_ASKED;
    return false;
}

static void grown(struct volume *v, int error, const char *why)
{
    struct admin *a = v->resizing;

    v->resizing = NULL;
    a->waiting--;
    if (error)
        admin_finish(a, error, "%s", why);
    else
        unequal_grown(v);
}

static bool answered(struct resource *r, struct admin *a)
{
    for (unsigned i = 0; i < r->volume_count; i++)
        if (r->volumes[i]->resize_to && !r->volumes[i]->resize_answer)
            return false;
    for (unsigned i = 0; i < r->volume_count; i++) {
        const struct volume *v = r->volumes[i];

        if (v->resize_to && v->resize_answer <= v->sectors)
            return admin_finish(a, -ENOSPC, "volume %u: the peer's device has not grown, or not by enough", v->number);
    }
    a->error = 0;
    a->phase = RESIZE_GROW;
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];

        if (!v->resize_to)
            continue;
        a->waiting++;
        v->resizing = a;
        grow_begin(v, v->resize_answer < v->resize_to ? v->resize_answer : v->resize_to, !a->flag, grown);
    }
    return false;
}

static bool copied(const struct resource *r)
{
    for (unsigned i = 0; i < r->volume_count; i++)
        if (r->volumes[i]->map->set || r->volumes[i]->resync.catching_up)
            return false;
    return true;
}

bool admin_resize(struct resource *r, struct admin *a)
{
    bool over;

    if (a->phase == RESIZE_CHECK)
        return ready(r, a, &over) ? ask(r, a) : over;
    if (a->waiting) /* grows whatever becomes of the connection */
        return false;
    if (a->phase == RESIZE_GROW && a->error)
        return true;
    if (!admin_link_up(r) || a->serial != r->link.serial)
        return admin_finish(a, -EAGAIN, "the connection was lost before all was done: to be ordered again");
    if (a->phase == RESIZE_ASKED)
        return answered(r, a);
    if (a->phase == RESIZE_GROW) {
        a->phase = RESIZE_COPY;
        for (unsigned i = 0; i < r->volume_count; i++)
            if (r->volumes[i]->map->set)
                write_replicating(r->volumes[i]);
    }
    return copied(r) && admin_finish(a, 0, "%s", "");
}
