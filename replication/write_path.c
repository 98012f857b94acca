/* The write path of a Primary: admission, answers of the peer, barriers, losing and regaining the
 * peer. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "replication/resource.h"
#include "target/base/container.h"

static void barrier_late(struct timer *timer);

int write_path_init(struct resource *r)
{
    r->request_memory = calloc(RESOURCE_REQUESTS, sizeof *r->request_memory);
    r->entry_memory = calloc(RESOURCE_ENTRIES, sizeof *r->entry_memory);
    if (!r->request_memory || !r->entry_memory)
        return -ENOMEM;
    qb_list_init(&r->free_requests);
    qb_list_init(&r->free_entries);
    qb_list_init(&r->requests);
    qb_list_init(&r->flushes);
    qb_list_init(&r->log);
    qb_list_init(&r->sent);
    r->arrived_end = &r->arrived;
    r->finished_end = &r->finished;
    r->asking_end = &r->asking;
    r->id_salt = resource_random() >> 16;
    r->barrier_timer.fire = barrier_late;
    return 0;
}

void write_path_free(struct resource *r)
{
    free(r->request_memory);
    free(r->entry_memory);
}

/* --- admission --- */

static void append(struct post **first, struct post ***end, struct post *post)
{
    post->next = NULL;
    **end = post;
    *end = &post->next;
}

void write_arrive(struct resource *r, struct store_io *io)
{
    append(&r->arrived, &r->arrived_end, &io->post);
}

void write_finish(struct resource *r, struct store_io *io, int error)
{
    io->error = error;
    append(&r->finished, &r->finished_end, &io->post);
}

static struct request *request_new(struct resource *r)
{
    struct request *q;

    if (!qb_list_empty(&r->free_requests)) {
        q = qb_list_first_entry(&r->free_requests, struct request, link);
        qb_list_del(&q->link);
    } else if (r->request_used < RESOURCE_REQUESTS) {
        q = &r->request_memory[r->request_used++];
    } else {
        return NULL;
    }
    memset(q, 0, sizeof *q);
    return q;
}

static void flush_local_done(struct store_io *io, int error)
{
    struct request *q = container_of(io, struct request, local);
    struct volume *v = q->volume;

    resource_enter(v->resource);
    q->flush_done = true;
    if (error) {
        volume_failed(v, error, "flushing");
        q->error = v->peer_only ? 0 : -EIO;
    }
    write_check_flushes(v->resource);
    resource_leave(v->resource);
}

static void start_flush(struct request *q)
{
    struct resource *r = q->volume->resource;

    q->position = r->position + 1;
    qb_list_add_tail(&q->link, &r->flushes);
    q->local = (struct store_io){.operation = STORE_FLUSH, .done = flush_local_done};
    q->flush_done = !volume_usable(q->volume);
    q->volume->cached = false;
    if (!q->flush_done)
        store_submit(q->volume->backing, &q->local);
    epoch_sender_close(&r->epochs);
    write_send_barrier(r);
    if (q->flush_done)
        write_check_flushes(r);
}

/* The segments of bytes [at, at + length) of a command's memory. */
static unsigned slice(const struct store_io *io, uint64_t at, uint64_t length, struct iovec *iov)
{
    unsigned used = 0;

    for (unsigned i = 0; length; i++) {
        uint64_t have = io->iov[i].iov_len;

        if (at >= have) {
            at -= have;
            continue;
        }
        have -= at;
        if (have > length)
            have = length;
        iov[used++] = (struct iovec){(uint8_t *)io->iov[i].iov_base + at, have};
        length -= have;
        at = 0;
    }
    return used;
}

/* Makes entries of what is left of a request. False: no entry is free. */
static bool issue(struct request *q)
{
    struct store_io *io = q->io;
    struct volume *v = q->volume;
    bool data = io->operation == STORE_WRITE;
    uint32_t cleared =
        io->operation == STORE_UNMAP ? FEATURE_TRIM | FEATURE_WZEROES : FEATURE_WZEROES;
    uint64_t most = data || !(v->resource->features & cleared) ? WRITE_PART : ZERO_PART;

    while (q->issued < io->length) {
        uint64_t left = io->length - q->issued;
        struct entry *e = entry_new(v, q);

        if (!e)
            return false;
        e->operation = io->operation;
        e->offset = io->offset + q->issued;
        e->length = (uint32_t)(left < most ? left : most);
        e->progress.stable = io->flags & STORE_FUA;
        if (data)
            e->iov_count = slice(io, q->issued, e->length, e->iov);
        e->range.offset = e->offset;
        e->range.length = e->length;
        q->issued += e->length;
        q->parts++;
        entry_count(e, true);
        if (range_enter(&v->ranges, &e->range))
            e->range.grant(&e->range);
    }
    return true;
}

/* Takes one command in. False: something is short, it has to wait. */
static bool admit(struct resource *r, struct store_io *io)
{
    struct volume *v = container_of(io->store, struct volume, store);
    struct request *q;
    int refused = r->closing                                   ? -ESHUTDOWN
                  : !r->serving                                ? -EAGAIN
                  : volume_usable(v) || volume_through_peer(v) ? 0
                  : v->peer_only                               ? -EAGAIN
                                                               : -EIO;

    if (refused || (io->operation != STORE_FLUSH && !io->length)) {
        write_finish(r, io, refused);
        return true;
    }
    if (!qb_list_empty(&r->requests) &&
        qb_list_entry(r->requests.prev, struct request, link)->starved)
        return false;
    q = request_new(r);
    if (!q)
        return false;
    q->io = io;
    q->volume = v;
    r->application_ns = r->home->now_ns;
    if (io->operation == STORE_FLUSH) {
        start_flush(q);
    } else {
        qb_list_add_tail(&q->link, &r->requests);
        q->starved = !issue(q);
    }
    return true;
}

/* A flush waits for what the peer wrote as the Primary before. Asked for by the first one. A copy that is being compared may
 * have lost all that with its node's power: there is nothing to flush, and its answer would say nothing. */
static void ask_peer_to_flush(struct resource *r)
{
    if (r->peer_cache != PEER_UNFLUSHED || qb_list_empty(&r->flushes) || r->link.phase != LINK_UP ||
        r->link.failing || r->epochs.count + 1 >= EPOCH_OPEN_MAX)
        return;
    for (unsigned i = 0; i < r->volume_count; i++)
        if (resync_unsettled(r->volumes[i]))
            return;
    epoch_sender_close(&r->epochs);
    write_send_barrier(r);
    epoch_sender_force(&r->epochs); /* that it is empty tells what is meant */
    r->peer_cache = PEER_FLUSH_ASKED;
    r->peer_cache_epoch = r->epochs.number;
    r->peer_cache_ns = r->home->now_ns;
    write_send_barrier(r);
}

void write_pump(struct resource *r)
{
    ask_peer_to_flush(r);
    if (!qb_list_empty(&r->requests)) {
        struct request *last = qb_list_entry(r->requests.prev, struct request, link);

        if (last->starved)
            last->starved = !issue(last);
    }
    while (r->arrived) {
        struct post *post = r->arrived;

        /* Off the list first: admitting may finish it, which links it elsewhere. */
        r->arrived = post->next;
        if (!r->arrived)
            r->arrived_end = &r->arrived;
        if (!admit(r, container_of(post, struct store_io, post))) {
            post->next = r->arrived;
            r->arrived = post;
            if (!post->next)
                r->arrived_end = &post->next;
            break;
        }
    }
}

/* --- barriers --- */

void write_send_barrier(struct resource *r)
{
    uint8_t body[8];

    if (!epoch_sender_barrier_due(&r->epochs) || !link_alive(&r->link))
        return;
    link_send(r, &r->link.data, 0, P_BARRIER, body,
              packet_barrier_encode(epoch_sender_barrier(&r->epochs), body));
}

static void barrier_late(struct timer *timer)
{
    struct resource *r = container_of(timer, struct resource, barrier_timer);

    resource_enter(r);
    epoch_sender_close(&r->epochs);
    write_send_barrier(r);
    resource_leave(r);
}

int write_barrier_acked(struct resource *r, const struct packet_barrier_ack *ack)
{
    struct entry *e;

    if (epoch_sender_ack(&r->epochs, ack->number, ack->set_size))
        return -EPROTO;
    if (r->peer_cache == PEER_FLUSH_ASKED && r->peer_cache_epoch == ack->number) {
        r->peer_cache = PEER_FLUSHED;
        write_check_flushes(r);
    }
    while (!qb_list_empty(&r->sent)) {
        e = qb_list_first_entry(&r->sent, struct entry, sent);
        if (e->epoch != ack->number)
            break;
        if (e->progress.peer != PEER_ACKED)
            return -EPROTO;
        qb_list_del(&e->sent);
        e->in_sent = false;
        e->progress.peer = PEER_STABLE;
        if (e->bounce) {
            dirty_map_clear(e->volume->map, e->offset / MD_SECTOR, e->length / MD_SECTOR);
            e->volume->resync.catchup_again = true;
        }
        entry_check(e);
    }
    return 0;
}

/* --- answers --- */

static struct entry *find(struct resource *r, struct volume *v, const struct packet_block_ack *ack)
{
    uint64_t index = ack->block_id & 0xffff;
    struct entry *e;

    if (index >= r->entry_used)
        return NULL;
    e = &r->entry_memory[index];
    if (!e->in_log || e->id != ack->block_id || e->volume != v || e->progress.peer != PEER_SENT ||
        e->offset != ack->sector * MD_SECTOR || e->length != ack->size)
        return NULL;
    return e;
}

void write_acked(struct resource *r, struct volume *v, const struct packet_block_ack *ack,
                 bool syncing)
{
    struct entry *e = find(r, v, ack);

    if (!e) {
        if (volume_usable(v))
            link_fail(r, "protocol error: the peer acknowledges a write that was not sent");
        return;
    }
    e->progress.peer = PEER_ACKED;
    if (syncing && !e->bounce) { /* catching up: when its barrier is answered */
        dirty_map_clear(v->map, ack->sector, ack->size / MD_SECTOR);
        resync_check_source(v);
    }
    entry_check(e);
}

void write_refused(struct resource *r, struct volume *v, const struct packet_block_ack *ack)
{
    /* Its copy is not good any more. The link is dropped, so that there is one way only in which a
     * peer is lost; when it comes back it says what its disk is. */
    if ((volume_usable(v) || v->peer_only) && r->primary)
        link_fail(r, "the peer could not write volume %u at sector %llu", v->number,
                  (unsigned long long)ack->sector);
}

uint64_t write_oldest_ns(const struct resource *r)
{
    return qb_list_empty(&r->sent) ? UINT64_MAX
                                   : qb_list_first_entry(&r->sent, struct entry, sent)->sent_ns;
}

/* --- losing and regaining the peer --- */

/* Demoted before the peer had flushed what it was sent last: should that be gone there, it is to be had here. */
static void secondary_unstable(struct resource *r)
{
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];

        if (v->unstable)
            v->sb.flags |= MD_CRASHED_PRIMARY;
        v->unstable = false;
    }
}

void write_link_down(struct resource *r)
{
    struct entry *e, *next;

    reactor_timer_cancel(r->home, &r->barrier_timer);
    if (r->peer_cache == PEER_FLUSH_ASKED)
        r->peer_cache = PEER_UNFLUSHED;
    qb_list_for_each_entry_safe(e, next, &r->log, log)
    {
        struct volume *v = e->volume;

        if (e->in_sent)
            qb_list_del(&e->sent);
        e->in_sent = false;
        if (e->progress.peer != PEER_LOST && write_link_lost(&e->progress)) {
            dirty_map_set(v->map, e->offset / MD_SECTOR, e->length / MD_SECTOR);
            if (e->progress.completed)
                v->unstable = true;
        }
    }
    /* Now that all are marked: what was completed leaves, and nothing frees another's neighbour. */
    for (;;) {
        bool again = false;

        qb_list_for_each_entry(e, &r->log, log)
        {
            bool over = e->bounce ? e->progress.local_done && !e->progress.sending
                                  : write_may_leave_log(&e->progress);
            if (over) {
                entry_free(e);
                again = true;
                break;
            }
        }
        if (!again)
            break;
    }
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];

        if (v->resync.catching_up && v->map->set)
            v->unstable = true; /* what was to be sent once more was completed long ago */
        v->resync.catching_up = false;
    }
    if (!r->primary)
        secondary_unstable(r);
    write_check_all(r);
}

static void in_sync_again(struct volume *v)
{
    v->unstable = false;
    v->resync.catching_up = false;
    write_check_flushes(v->resource);
}

void write_peer_settled(struct volume *v)
{
    if (v->resource->primary && volume_usable(v))
        in_sync_again(v);
}

void write_replicating(struct volume *v)
{
    struct resource *r = v->resource;
    struct entry *e;

    if (!r->primary || !volume_usable(v) || !write_mode_replicates(volume_mode(v)))
        return;
    qb_list_for_each_entry(e, &r->log, log) if (e->volume == v && !e->bounce && e->local_started &&
                                                e->progress.peer == PEER_LOST &&
                                                !e->progress.completed && !e->progress.sending &&
                                                link_alive(&r->link)) entry_send(e);
    if (volume_mode(v) == WRITE_SYNCING) {
        v->resync.catching_up = false; /* what the peer may miss is part of the resync */
        return;
    }
    v->resync.catching_up = true;
    volume_work(v);
    v->resync.behind = v->map->set;
    v->resync.catchup_again = true;
    v->resync.catchup_cursor = 0;
    catchup_pump(v);
}

static struct payload *catchup_memory(struct resource *r, size_t length)
{
    for (unsigned i = 0; i < RESOURCE_CATCHUPS; i++) {
        if (r->catchup_used[i])
            continue;
        if (payload_alloc(r->pool, &r->catchup_payload[i], length))
            return NULL;
        r->catchup_used[i] = true;
        return &r->catchup_payload[i];
    }
    return NULL;
}

/* Connected without a resync though blocks are marked: the link was away for so short a time that
 * the generation did not change. They are sent as ordinary writes. */
void catchup_pump(struct volume *v)
{
    struct resource *r = v->resource;
    struct resync *s = &v->resync;

    if (!s->catching_up || !s->catchup_again || !volume_usable(v))
        return;
    s->catchup_again = false;
    while (v->map->set && s->catchups < RESOURCE_CATCHUPS) {
        uint64_t bit = dirty_map_find(v->map, s->catchup_cursor), run, sector, length;
        struct payload *memory;
        struct entry *e;

        if (bit == DIRTY_MAP_END) {
            if (!s->catchups && s->catchup_cursor) {
                s->catchup_cursor = 0;
                continue;
            }
            return;
        }
        run = dirty_map_run(v->map, bit, SYNC_BYTES / MD_BLOCK);
        sector = bit * MD_BLOCK_SECTORS;
        length = run * MD_BLOCK;
        if (length > (v->sectors - sector) * MD_SECTOR) /* the last block may be partial */
            length = (v->sectors - sector) * MD_SECTOR;
        memory = catchup_memory(r, length);
        e = memory ? entry_new(v, NULL) : NULL;
        if (!e) {
            s->catchup_again = true;
            if (memory) {
                payload_free(r->pool, memory);
                r->catchup_used[memory - r->catchup_payload] = false;
            }
            return;
        }
        e->operation = STORE_WRITE;
        e->bounce = memory;
        e->offset = sector * MD_SECTOR;
        e->length = (uint32_t)memory->length;
        e->range.offset = e->offset;
        e->range.length = e->length;
        s->catchups++;
        s->catchup_cursor = bit + run;
        if (range_enter(&v->ranges, &e->range))
            e->range.grant(&e->range);
    }
    if (!v->map->set && !s->catchups) {
        in_sync_again(v);
        if (s->behind && r->recorded)
            send_uuids(v, 0); /* nothing is dirty any more */
        s->behind = false;
        resource_tell_current(r);
        r->publish = true;
    }
}

void write_gate_opened(struct resource *r)
{
    bool again;

    do { /* completing one may start others: look again from the start */
        struct entry *e;

        again = false;
        qb_list_for_each_entry(e, &r->log, log)
        {
            if (write_may_complete(&e->progress, volume_alone(e->volume)) && !e->bounce) {
                entry_check(e);
                again = true;
                break;
            }
        }
    } while (again);
    write_check_flushes(r);
}

/* Can a look at it finish it? */
static bool due(const struct entry *e)
{
    const struct resource *r = e->volume->resource;
    const struct write_progress *p = &e->progress;

    if (e->bounce || !p->local_done || p->sending || p->completed)
        return false;
    if (volume_usable(e->volume))
        return r->giving_up && p->peer == PEER_LOST;
    return !e->volume->peer_only || p->peer == PEER_LOST || (!r->self_agreed && r->giving_up) ||
           (r->self_agreed && write_may_complete(p, false));
}

void write_check_all(struct resource *r)
{
    bool again;

    do {
        struct entry *e;

        again = false;
        qb_list_for_each_entry(e, &r->log, log)
        {
            if (due(e)) {
                entry_check(e);
                again = true;
                break;
            }
        }
    } while (again);
    write_check_flushes(r);
}

void write_volume_failed(struct volume *v)
{
    log_hold_failed(v);
    write_check_all(v->resource);
}

void write_give_up(struct resource *r)
{
    r->giving_up = true;
    for (unsigned i = 0; i < r->volume_count; i++)
        if (r->volumes[i]->unstable && !volume_alone(r->volumes[i]))
            r->volumes[i]->sb.flags |= MD_CRASHED_PRIMARY;
    write_check_all(r);
}
