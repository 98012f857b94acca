#include "replication/log_hold.h"

#include <assert.h>

#include "replication/resource.h"
#include "replication/role_mark.h"

static bool durable(const struct volume *v, const struct log_hold *hold)
{
    return al_durable(v->al, hold->ticket) && role_mark_durable(v);
}

/* Gets the extents into the log; a mark that is still to be written goes with them. False: no slot can be evicted now,
 * or the volume is just growing. */
static bool begin(struct volume *v, struct log_hold *hold)
{
    enum al_answer answer;

    if (grow_runs(&v->growth))
        return false;
    hold->ticket = 0;
    answer = al_begin(v->al, hold->first, hold->last, &hold->ticket);
    if (answer == AL_BUSY)
        return false;
    hold->held = true;
    v->holds++;
    if (answer == AL_READY && role_mark_durable(v)) {
        hold->start(hold);
        return true;
    }
    hold->waiting = true;
    qb_list_add_tail(&hold->wait, &v->al_wait);
    md_kick(v);
    return true;
}

void log_hold_begin(struct volume *v, struct log_hold *hold, uint64_t sector, uint64_t count)
{
    hold->first = al_extent(sector);
    hold->last = al_extent(sector + count - 1);
    if (qb_list_empty(&v->al_busy) && begin(v, hold))
        return;
    hold->waiting = true;
    qb_list_add_tail(&hold->wait, &v->al_busy);
    md_kick(v);
}

void log_hold_end(struct volume *v, struct log_hold *hold)
{
    assert(!hold->waiting);
    if (!hold->held)
        return;
    hold->held = false;
    v->holds--;
    al_end(v->al, hold->first, hold->last);
    if (!qb_list_empty(&v->al_busy))
        log_hold_changed(v);
}

static struct log_hold *take(struct qb_list_head *list)
{
    struct log_hold *hold = qb_list_first_entry(list, struct log_hold, wait);

    qb_list_del(&hold->wait);
    hold->waiting = false;
    return hold;
}

void log_hold_changed(struct volume *v)
{
    struct log_hold *hold, *next;

    qb_list_for_each_entry_safe(hold, next, &v->al_wait, wait)
    {
        if (!durable(v, hold))
            continue;
        qb_list_del(&hold->wait);
        hold->waiting = false;
        hold->start(hold);
    }
    while (!qb_list_empty(&v->al_busy)) {
        hold = take(&v->al_busy);
        if (!begin(v, hold)) {
            hold->waiting = true;
            qb_list_add(&hold->wait, &v->al_busy);
            break;
        }
    }
    if (al_pending(v->al))
        md_kick(v);
}

void log_hold_failed(struct volume *v)
{
    while (!qb_list_empty(&v->al_wait) || !qb_list_empty(&v->al_busy)) {
        struct log_hold *hold = take(qb_list_empty(&v->al_wait) ? &v->al_busy : &v->al_wait);

        hold->start(hold);
    }
}
