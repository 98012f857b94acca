/* One packet of a write: range lock, activity log, local disk and peer, acknowledgement, transfer
 * log. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "replication/resource.h"
#include "target/base/container.h"

enum { ZEROS = 64 << 10 };

/* What a peer without P_ZEROES gets instead. */
static uint8_t zeros[ZEROS] __attribute__((aligned(4096)));

static void logged(struct log_hold *hold);
static void local_done(struct store_io *io, int error);
static void tx_done(struct tx_item *item);
static void granted(struct range *range);
static void check_flushes(struct resource *r);

static uint64_t sector_of(const struct entry *e)
{
    return e->offset / MD_SECTOR;
}

/* --- reads look for writes under way --- */

void entry_count(struct entry *e, bool on)
{
    uint64_t first = e->offset >> VOLUME_PLACE_SHIFT,
             last = (e->offset + e->length - 1) >> VOLUME_PLACE_SHIFT;

    if (e->counted == on)
        return;
    e->counted = on;
    for (unsigned n = 0; first <= last && n < VOLUME_PLACES; first++, n++)
        atomic_fetch_add(&e->volume->writing[first % VOLUME_PLACES], on ? 1 : UINT32_MAX);
}

/* --- begin --- */

struct entry *entry_new(struct volume *v, struct request *request)
{
    struct resource *r = v->resource;
    struct entry *e;

    if (!qb_list_empty(&r->free_entries)) {
        e = qb_list_first_entry(&r->free_entries, struct entry, log);
        qb_list_del(&e->log);
    } else if (r->entry_used < RESOURCE_ENTRIES) {
        e = &r->entry_memory[r->entry_used++];
    } else {
        return NULL;
    }
    memset(e, 0, offsetof(struct entry, iov));
    e->volume = v;
    e->request = request;
    e->position = ++r->position;
    e->range.grant = granted;
    e->hold.start = logged;
    e->io.done = local_done;
    e->tx.done = tx_done;
    e->tx.patient = true; /* nobody is told of the write before the peer has answered it */
    e->in_log = true;
    qb_list_add_tail(&e->log, &r->log);
    return e;
}

static void logged(struct log_hold *hold)
{
    entry_start(container_of(hold, struct entry, hold));
}

static void granted(struct range *range)
{
    struct entry *e = container_of(range, struct entry, range);
    struct volume *v = e->volume;

    if (!e->request || !volume_usable(v) || v->resource->giving_up)
        entry_start(e);
    else
        log_hold_begin(v, &e->hold, sector_of(e), e->length / MD_SECTOR);
}

static bool has_lease(const struct resource *r)
{
    return !r->public.options.lease || r->public.options.lease(r->home);
}

static void refuse(struct entry *e)
{
    e->request->error = -EAGAIN;
    e->request->refused = true;
    e->progress.local_done = true;
}

void entry_start(struct entry *e)
{
    struct volume *v = e->volume;
    struct resource *r = v->resource;
    enum write_mode mode = volume_mode(v);

    if (e->request && r->giving_up) {
        /* It waited for one that was given up. Whoever sent it may have been told that already, and what others were
         * promised since then may forbid it: it must not reach a medium any more. write_check_all() ends it. */
        refuse(e);
        return;
    }
    if (e->request && !has_lease(r)) {
        /* The same: the others may have gone on without this node. */
        refuse(e);
        entry_check(e);
        return;
    }
    e->local_started = true;
    if (e->request)
        e->request->begun = true;
    if (!volume_usable(v)) {
        e->progress.local_done = true;
        if (e->request && volume_through_peer(v))
            entry_send(e);
        entry_check(e);
        return;
    }
    e->io.operation = e->request ? e->operation : STORE_READ;
    e->io.flags = e->request && e->progress.stable ? STORE_FUA : 0;
    e->io.offset = e->offset;
    e->io.length = e->length;
    e->io.iov = e->bounce ? e->bounce->iov : e->iov;
    e->io.iov_count = e->bounce ? e->bounce->count : e->iov_count;
    if (e->request && write_mode_replicates(mode))
        entry_send(e); /* first: the peer has the longer way */
    store_submit(v->backing, &e->io);
    if (!e->request || write_mode_replicates(mode))
        return; /* sent already; or catching up: sent when read */
    dirty_map_set(v->map, sector_of(e), e->length / MD_SECTOR);
    if (mode == WRITE_OUT_OF_SYNC) {
        struct packet_block_range p = {.sector = sector_of(e), .size = e->length};
        uint8_t body[16];

        link_send(r, &r->link.data, v->number, P_OUT_OF_SYNC, body,
                  packet_block_range_encode(&p, body));
    }
}

/* --- sending --- */

static unsigned zero_segments(struct entry *e)
{
    unsigned n = 0;

    for (uint32_t left = e->length; left; n++) {
        uint32_t part = left < ZEROS ? left : ZEROS;

        e->iov[n] = (struct iovec){zeros, part};
        left -= part;
    }
    return n;
}

/* The packet: P_DATA, or for a cleared range what both sides know. */
static unsigned packet_of(struct entry *e, struct packet_data *p)
{
    uint32_t features = e->volume->resource->features;

    if (e->operation == STORE_WRITE)
        return P_DATA;
    if (features & FEATURE_WZEROES) {
        p->flags |= DP_ZEROES | (e->operation == STORE_UNMAP ? DP_DISCARD : 0);
        return P_ZEROES;
    }
    if (features & FEATURE_TRIM && e->operation == STORE_UNMAP) {
        p->flags |= DP_DISCARD;
        return P_TRIM;
    }
    return P_DATA;
}

void entry_send(struct entry *e)
{
    struct volume *v = e->volume;
    struct resource *r = v->resource;
    struct packet_header header = {.volume = (uint16_t)v->number};
    struct packet_data p = {
        .sector = sector_of(e),
        .size = e->length,
        .flags = DP_SEND_WRITE_ACK,
    };
    size_t n = 0;

    assert(!e->progress.sending && !e->in_sent);
    if (volume_mode(v) == WRITE_SYNCING || e->bounce)
        p.flags |= DP_MAY_SET_IN_SYNC;
    header.command = (uint16_t)packet_of(e, &p);
    if (header.command == P_DATA && e->length > WRITE_PART) {
        link_refuse(r, "the peer cannot clear ranges (too old)");
        dirty_map_set(v->map, sector_of(e), e->length / MD_SECTOR);
        return;
    }
    if (epoch_sender_barrier_due(&r->epochs)) {
        struct packet_header barrier = {.command = P_BARRIER, .length = 8};

        n = header_encode(r->link.form, &barrier, e->head);
        n += packet_barrier_encode(epoch_sender_barrier(&r->epochs), e->head + n);
    }
    /* A handle the peer gives back; the upper part makes a late answer to another use visible. */
    e->id = (++r->id_salt << 16) | (uint64_t)(e - r->entry_memory);
    p.block_id = e->id;
    p.sequence = ++v->sequence;
    if (header.command == P_DATA) {
        header.length = PACKET_DATA_LENGTH + e->length;
        n += header_encode(r->link.form, &header, e->head + n);
        n += packet_data_encode(&p, e->head + n);
        if (e->operation != STORE_WRITE)
            e->tx.iov_count = zero_segments(e);
        else
            e->tx.iov_count = e->bounce ? e->bounce->count : e->iov_count;
        e->tx.iov = e->bounce ? e->bounce->iov : e->iov;
    } else {
        header.length = PACKET_TRIM_LENGTH;
        n += header_encode(r->link.form, &header, e->head + n);
        n += packet_trim_encode(&p, e->head + n);
        e->tx.iov_count = 0;
    }
    assert(n <= sizeof e->head);
    e->tx.head = e->head;
    e->tx.head_length = (uint32_t)n;
    e->epoch = epoch_sender_write(&r->epochs);
    e->progress.peer = PEER_SENT;
    e->progress.sending = true;
    e->sent_ns = r->home->now_ns;
    e->in_sent = true;
    qb_list_add_tail(&e->sent, &r->sent);
    link_push(&r->link.data, &e->tx);
    if (e->progress.stable) {
        epoch_sender_close(&r->epochs);
        write_send_barrier(r);
    } else if (!r->barrier_timer.slot) {
        reactor_timer_set(r->home, &r->barrier_timer,
                          r->home->now_ns + BARRIER_DELAY_MS * 1000000ull);
    }
}

static void tx_done(struct tx_item *item)
{
    struct entry *e = container_of(item, struct entry, tx);

    e->progress.sending = false;
    entry_check(e);
}

/* -ENOSPC says that nothing was written. One that was sent may be on the peer. */
static int error_of(const struct entry *e, int error)
{
    int before = e->request->error;

    return error == -ENOSPC && !e->sent_ns && (!before || before == -ENOSPC) ? -ENOSPC : -EIO;
}

static void local_done(struct store_io *io, int error)
{
    struct entry *e = container_of(io, struct entry, io);
    struct volume *v = e->volume;

    resource_enter(v->resource);
    v->cached |= !e->progress.stable;
    if (error) {
        volume_failed(v, error, e->request ? "writing" : "reading for the peer");
        if (e->request && !v->peer_only)
            e->request->error = error_of(e, error);
    }
    e->progress.local_done = true; /* not before: it would have ended with the volume */
    if (!error && !e->request && write_mode_replicates(volume_mode(v)) && link_alive(&v->resource->link))
        entry_send(e);
    entry_check(e);
    resource_leave(v->resource);
}

/* --- end --- */

void entry_leave_ranges(struct volume *v, struct range *range)
{
    struct range *next;

    range_leave(&v->ranges, range);
    while ((next = range_next(&v->ranges)))
        next->grant(next);
}

static void request_done(struct request *q)
{
    struct resource *r = q->volume->resource;

    qb_list_del(&q->link);
    write_finish(r, q->io, q->refused && !q->begun ? -ERESTART : q->error);
    qb_list_add(&q->link, &r->free_requests);
}

static void complete(struct entry *e)
{
    struct volume *v = e->volume;
    struct request *q = e->request;

    e->progress.completed = true;
    entry_count(e, false);
    epoch_sender_completing(&v->resource->epochs, e->epoch);
    if (q) {
        q->parts--;
        if (!q->parts && q->issued == q->io->length)
            request_done(q);
        e->request = NULL;
        v->resource->written += e->length;
    }
    if (e->range.held)
        entry_leave_ranges(v, &e->range);
}

/* Catching up is not a write of anyone: it ends where it is when the link does. */
static bool catchup_over(const struct entry *e)
{
    return e->bounce && e->progress.local_done && !e->progress.sending &&
           (e->progress.peer == PEER_LOST || e->progress.peer == PEER_STABLE);
}

void entry_check(struct entry *e)
{
    struct volume *v = e->volume;
    struct resource *r = v->resource;
    struct write_progress *p = &e->progress;

    if (!e->in_log)
        return;
    if (e->bounce) {
        if (p->peer >= PEER_ACKED && !p->sending && e->range.held)
            entry_leave_ranges(v, &e->range);
        if (catchup_over(e))
            entry_free(e);
        return;
    }
    if (p->local_done && !p->sending && !p->completed) {
        bool give_up = false, alone = volume_alone(v);

        if (!e->local_started) {
            give_up = true;
        } else if (!volume_usable(v) && (!v->peer_only || p->peer == PEER_LOST)) {
            /* The peer's copy is good, but not here now: that is no medium error. */
            if (!e->request->error)
                e->request->error = v->peer_only ? -EAGAIN : -EIO;
            give_up = true;
        } else if (!volume_usable(v)) {
            if (!r->self_agreed && !r->giving_up)
                return; /* the old data here might come back as current */
            if (!r->self_agreed) {
                e->request->error = -EAGAIN;
                give_up = true;
            }
            alone = false;
        } else if (p->peer == PEER_LOST && r->giving_up && !volume_alone(v)) {
            e->request->error = -EAGAIN;
            if (e->local_started)
                v->sb.flags |= MD_CRASHED_PRIMARY; /* what it wrote is on this side only */
            give_up = true;
        }
        if (give_up || write_may_complete(p, alone))
            complete(e);
        if (give_up)
            p->peer = PEER_LOST;
    }
    if (write_may_leave_log(p))
        entry_free(e);
}

void entry_free(struct entry *e)
{
    struct volume *v = e->volume;
    struct resource *r = v->resource;

    assert(e->in_log && !e->progress.sending);
    entry_count(e, false);
    if (e->in_sent)
        qb_list_del(&e->sent);
    e->in_sent = false;
    log_hold_end(v, &e->hold);
    if (e->range.held)
        entry_leave_ranges(v, &e->range);
    e->in_log = false;
    qb_list_del(&e->log);
    if (e->bounce) {
        payload_free(r->pool, e->bounce);
        r->catchup_used[e->bounce - r->catchup_payload] = false;
        e->bounce = NULL;
        v->resync.catchups--;
        v->resync.catchup_again = true;
    }
    qb_list_add(&e->log, &r->free_entries);
    if (!qb_list_empty(&r->flushes))
        check_flushes(r);
}

/* --- flushes wait for the transfer log --- */

static bool older_in_log(const struct request *q)
{
    const struct resource *r = q->volume->resource;
    const struct entry *e;

    qb_list_for_each_entry(e, &r->log, log)
    {
        if (e->position >= q->position)
            return false;
        if (e->volume == q->volume && !e->bounce)
            return true;
    }
    return false;
}

/* The peer has not said yet that what it wrote as the Primary before is on its stable storage; or its copy is being compared,
 * and could be promoted as it is. */
static bool peer_unflushed(const struct volume *v)
{
    return (v->resource->peer_cache != PEER_FLUSHED || resync_unsettled(v)) && !volume_alone(v);
}

bool write_flush_overdue(const struct resource *r, uint64_t limit_ns)
{
    const struct request *q;

    qb_list_for_each_entry(q, &r->flushes, link)
    {
        const struct volume *v = q->volume;
        uint64_t asked = r->home->now_ns;

        if (!q->flush_done || !peer_unflushed(v))
            continue;
        if (v->state.conn != CONN_WF_BITMAP_S && resync_unsettled(v))
            asked = v->transition_ns;
        else if (r->peer_cache == PEER_FLUSH_ASKED)
            asked = r->peer_cache_ns;
        if (r->home->now_ns - asked > limit_ns)
            return true;
    }
    return false;
}

static void check_flushes(struct resource *r)
{
    struct request *q, *next;

    if (r->checking_flushes)
        return;
    r->checking_flushes = true;
    qb_list_for_each_entry_safe(q, next, &r->flushes, link)
    {
        struct flush_progress f = {
            .local_done = q->flush_done,
            .older = older_in_log(q),
            .unstable = q->volume->unstable,
        };

        if (q->flush_done && !volume_usable(q->volume) && !volume_through_peer(q->volume))
            q->error = q->volume->peer_only ? -EAGAIN : -EIO;
        else if (!volume_usable(q->volume) && !r->self_agreed) {
            if (!r->giving_up || !q->flush_done)
                continue;
            q->error = -EAGAIN;
        } else if (peer_unflushed(q->volume) || !flush_may_complete(&f, volume_alone(q->volume))) {
            if (!r->giving_up || !q->flush_done || f.older)
                continue;
            q->error = -EAGAIN;
        }
        request_done(q);
    }
    r->checking_flushes = false;
}

void write_check_flushes(struct resource *r)
{
    if (!qb_list_empty(&r->flushes))
        check_flushes(r);
}
