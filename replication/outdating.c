#include "replication/outdating.h"

#include <qb/qblog.h>

#include "replication/resource.h"
#include "target/base/container.h"

static void flush_all(struct resource *r);

static bool without_peer(const struct resource *r)
{
    for (unsigned i = 0; i < r->volume_count; i++)
        if (volume_without_peer(r->volumes[i]) &&
            r->volumes[i]->state.conn != CONN_WF_REPORT_PARAMS)
            return true;
    return false;
}

static void flushed_all(struct resource *r)
{
    bool asked = r->outdating.primary || r->outdating.witness;
    bool wanted = r->primary ? r->outdating.primary && r->asked && without_peer(r)
                             : r->outdating.witness && r->link.phase != LINK_UP;

    if (r->outdating.again) { /* connected and lost once more meanwhile */
        flush_all(r);
        return;
    }
    r->outdating.primary = r->outdating.witness = false;
    if (wanted)
        resource_tell_outdate(r);
    else if (asked)
        r->asked = false; /* connected, or about to be; if that fails, it is asked anew */
}

static void flushed(struct store_io *io, int error)
{
    struct volume *v = container_of(io, struct volume, outdating);
    struct resource *r = v->resource;

    resource_enter(r);
    if (error)
        volume_failed(v, error, "flushing");
    if (!--r->outdating.flushes)
        flushed_all(r);
    resource_leave(r);
}

static void flush_all(struct resource *r)
{
    r->outdating.again = false;
    r->outdating.flushes = 1; /* this loop */
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];

        if (!volume_usable(v))
            continue;
        r->outdating.flushes++;
        v->outdating = (struct store_io){.operation = STORE_FLUSH, .done = flushed};
        store_submit(v->backing, &v->outdating);
    }
    if (!--r->outdating.flushes)
        flushed_all(r);
}

static void ask(struct resource *r)
{
    if (r->outdating.flushes)
        r->outdating.again = true;
    else
        flush_all(r);
}

void outdating_ask(struct resource *r)
{
    if (!r->serving || r->asked || r->agreed || r->self_asked || !without_peer(r))
        return;
    r->asked = r->outdating.primary = true;
    qb_log(LOG_NOTICE, "group \"%s\": the peer does not get our writes: asking for its outdating",
           r->group->name);
    ask(r);
}

void outdating_ask_as_witness(struct resource *r)
{
    r->outdating.witness = true;
    ask(r);
}

void outdating_flush(struct resource *r)
{
    ask(r);
}

bool outdating_flushes(const struct resource *r)
{
    return r->outdating.flushes;
}
