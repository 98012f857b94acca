#include "replication/range_lock.h"

#include <assert.h>
#include <stddef.h>

static bool overlap(const struct range *r, uint64_t offset, uint64_t length)
{
    return r->length && length && r->offset < offset + length && offset < r->offset + r->length;
}

/* Is a range that came before `range` in its way? */
static bool blocked(const struct range_table *table, const struct range *range)
{
    const struct qb_list_head *at;

    for (at = table->ranges.next; at != &range->link; at = at->next)
        if (overlap(qb_list_entry(at, struct range, link), range->offset, range->length))
            return true;
    return false;
}

void range_table_init(struct range_table *table)
{
    qb_list_init(&table->ranges);
    table->waiting = 0;
}

bool range_enter(struct range_table *table, struct range *range)
{
    assert(!range->held);
    range->held = true;
    qb_list_add_tail(&range->link, &table->ranges);
    range->granted = !blocked(table, range);
    if (!range->granted)
        table->waiting++;
    return range->granted;
}

void range_leave(struct range_table *table, struct range *range)
{
    assert(range->held);
    range->held = false;
    if (!range->granted)
        table->waiting--;
    qb_list_del(&range->link);
}

struct range *range_next(struct range_table *table)
{
    struct range *range;

    if (!table->waiting)
        return NULL;
    qb_list_for_each_entry(range, &table->ranges, link)
    {
        if (!range->granted && !blocked(table, range)) {
            range->granted = true;
            table->waiting--;
            return range;
        }
    }
    return NULL;
}

bool range_busy(const struct range_table *table, uint64_t offset, uint64_t length)
{
    const struct qb_list_head *at;

    for (at = table->ranges.next; at != &table->ranges; at = at->next)
        if (overlap(qb_list_entry(at, struct range, link), offset, length))
            return true;
    return false;
}
