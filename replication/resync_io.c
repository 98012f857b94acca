/* The blocks of a resync: requests and writes of the target, reads of the source. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "replication/resource.h"
#include "target/base/container.h"

enum { SYNC_EXTENT_BITS = 4096 }; /* 16 MiB: no request crosses its border */

static void granted(struct range *range);
static void io_done(struct store_io *io, int error);
static void sent(struct tx_item *item);

struct sync_io *sync_new(struct resource *r, struct volume *v, enum sync_kind kind)
{
    struct sync_io *s;

    if (!qb_list_empty(&r->free_syncs)) {
        s = qb_list_first_entry(&r->free_syncs, struct sync_io, link);
        qb_list_del(&s->link);
    } else if (r->sync_used < RESOURCE_SYNCS) {
        s = &r->sync_memory[r->sync_used++];
    } else {
        return NULL;
    }
    memset(s, 0, sizeof *s);
    s->resource = r;
    s->volume = v;
    s->kind = kind;
    s->link_serial = r->link.serial;
    s->range.grant = granted;
    s->io.done = io_done;
    s->tx.done = sent;
    r->syncs++;
    qb_list_add_tail(&s->link, &r->sync_list);
    return s;
}

void sync_free(struct sync_io *s)
{
    struct resource *r = s->resource;

    if (s->range.held)
        entry_leave_ranges(s->volume, &s->range);
    payload_free(r->pool, &s->payload);
    s->kind = SYNC_FREE;
    r->syncs--;
    qb_list_del(&s->link);
    qb_list_add(&s->link, &r->free_syncs);
}

static void sent(struct tx_item *item)
{
    sync_free(container_of(item, struct sync_io, tx));
}

bool sync_current(const struct sync_io *s)
{
    return s->link_serial == s->resource->link.serial && link_alive(&s->resource->link);
}

static void refuse(struct resource *r, struct volume *v, unsigned command, uint64_t sector,
                   uint64_t block_id, uint32_t size)
{
    struct packet_block_ack ack = {
        .sector = sector,
        .block_id = block_id,
        .size = size,
        .sequence = ++v->sequence,
    };
    uint8_t body[PACKET_BLOCK_ACK_LENGTH];

    link_send(r, &r->link.meta, v->number, command, body, packet_block_ack_encode(&ack, body));
}

/* --- source: reads --- */

/* Beside I/O of the application a resync gets c_min_rate; a fifth of a second without any, and it
 * gets all. */
static bool min_rate_allows(struct resource *r, uint32_t bytes)
{
    enum { QUIET_MS = 200 };
    uint64_t rate = (uint64_t)r->group->c_min_rate << 10, now = r->home->now_ns, reads, us;
    uint64_t most = rate / 8 > SYNC_BYTES ? rate / 8 : SYNC_BYTES;

    if (!rate)
        return true;
    reads = atomic_load_explicit(&r->reads, memory_order_relaxed);
    if (reads != r->reads_seen || !qb_list_empty(&r->requests)) {
        r->reads_seen = reads;
        r->application_ns = now;
    }
    us = (now - r->min_ns) / 1000;
    r->min_ns = now;
    r->min_tokens += rate * (us < 1000000 ? us : 1000000) / 1000000;
    if (r->min_tokens > most)
        r->min_tokens = most;
    if (r->min_tokens >= bytes) {
        r->min_tokens -= bytes;
        return true;
    }
    return now - r->application_ns >= QUIET_MS * 1000000ull;
}

int sync_serve(struct volume *v, const struct packet_block_request *request, enum sync_kind kind,
               const uint8_t *digest, size_t digest_length)
{
    struct resource *r = v->resource;
    bool resync = kind != SYNC_PEER_READ;
    struct sync_io *s;

    if (request->sector > v->sectors || request->size / MD_SECTOR > v->sectors - request->sector)
        return -EPROTO;
    if (resync ? !conn_is_source(v->state.conn) || !volume_usable(v)
               : v->state.disk != DISK_UP_TO_DATE) {
        refuse(r, v, resync ? P_NEG_RS_DREPLY : P_NEG_DREPLY, request->sector, request->block_id,
               request->size);
        return 0;
    }
    s = sync_new(r, v, kind);
    if (!s)
        return -EAGAIN;
    if (digest_length)
        memcpy(s->digest, digest, digest_length);
    s->digest_length = digest_length;
    s->sector = request->sector;
    s->size = request->size;
    s->block_id = request->block_id;
    s->waits_rate = resync && !min_rate_allows(r, s->size);
    if (!s->waits_rate)
        sync_enter(s);
    return 0;
}

void sync_retry_rate(struct resource *r)
{
    struct sync_io *s, *next;

    qb_list_for_each_entry_safe(s, next, &r->sync_list, link)
    {
        if (!s->waits_rate)
            continue;
        if (!min_rate_allows(r, s->size))
            break;
        s->waits_rate = false;
        sync_enter(s);
    }
}

void sync_enter(struct sync_io *s)
{
    s->range.offset = s->sector * MD_SECTOR;
    s->range.length = s->size;
    if (range_enter(&s->volume->ranges, &s->range))
        granted(&s->range);
}

static void granted(struct range *range)
{
    struct sync_io *s = container_of(range, struct sync_io, range);

    if (s->doomed)
        return;
    if (s->kind == SYNC_VERIFY && !s->digest_length)
        verify_ask(s);
    else
        sync_run(s);
}

void sync_run(struct sync_io *s)
{
    struct volume *v = s->volume;

    if (!volume_usable(v)) {
        io_done(&s->io, -EIO);
        return;
    }
    if (s->kind != SYNC_WRITE && payload_alloc(s->resource->pool, &s->payload, s->size)) {
        s->waits_memory = true;
        s->resource->blocked_memory = true;
        return;
    }
    s->io.operation = s->zeros ? STORE_UNMAP : s->kind == SYNC_WRITE ? STORE_WRITE : STORE_READ;
    s->io.offset = s->range.offset;
    s->io.length = s->size;
    s->io.iov = s->payload.iov;
    s->io.iov_count = s->payload.count;
    store_submit(v->backing, &s->io);
}

void sync_retry_memory(struct resource *r)
{
    struct sync_io *s, *next;

    if (!r->blocked_memory)
        return;
    r->blocked_memory = false;
    qb_list_for_each_entry_safe(s, next, &r->sync_list, link)
    {
        if (!s->waits_memory)
            continue;
        s->waits_memory = false;
        sync_run(s);
        if (r->blocked_memory)
            break;
    }
}

/* The target has the same: nothing but that is told. */
static void tell_equal(struct sync_io *s)
{
    struct resource *r = s->resource;
    struct volume *v = s->volume;
    struct packet_header header = {
        .volume = (uint16_t)v->number,
        .command = P_RS_IS_IN_SYNC,
        .length = PACKET_BLOCK_ACK_LENGTH,
    };
    struct packet_block_ack ack = {
        .sector = s->sector,
        .block_id = s->block_id,
        .size = s->size,
        .sequence = ++v->sequence,
    };
    size_t n = header_encode(r->link.form, &header, s->head);

    n += packet_block_ack_encode(&ack, s->head + n);
    s->tx.head = s->head;
    s->tx.head_length = (uint32_t)n;
    dirty_map_clear(v->map, s->sector, s->size / MD_SECTOR);
    v->resync.equal_bits += s->size / MD_BLOCK;
    link_push(&r->link.meta, &s->tx);
    entry_leave_ranges(v, &s->range);
    payload_free(r->pool, &s->payload);
    resync_check_source(v);
}

static void tell_zeros(struct sync_io *s)
{
    struct resource *r = s->resource;
    struct packet_header header = {
        .volume = (uint16_t)s->volume->number,
        .command = P_RS_DEALLOCATED,
        .length = 16,
    };
    struct packet_block_range p = {.sector = s->sector, .size = s->size};
    size_t n = header_encode(r->link.form, &header, s->head);

    n += packet_block_range_encode(&p, s->head + n);
    s->tx.head = s->head;
    s->tx.head_length = (uint32_t)n;
    link_push(&r->link.data, &s->tx);
    entry_leave_ranges(s->volume, &s->range);
    payload_free(r->pool, &s->payload);
}

static bool same_digest(const struct sync_io *s)
{
    uint8_t digest[MESSAGE_DIGEST_MAX];
    const struct resource *r = s->resource;
    size_t n = digest_payload(r->digest, r->group->csums_alg, &s->payload, digest);

    return n && n == s->digest_length && !memcmp(digest, s->digest, n);
}

static bool all_zeros(const struct payload *payload)
{
    size_t left = payload->length;

    for (unsigned i = 0; left; i++) {
        const uint8_t *p = payload->iov[i].iov_base;
        size_t part = payload->iov[i].iov_len < left ? payload->iov[i].iov_len : left;

        if (p[0] || memcmp(p, p + 1, part - 1))
            return false;
        left -= part;
    }
    return true;
}

/* The reply is queued before the range is given up: a later write to it goes behind. */
static void read_done(struct sync_io *s, int error)
{
    struct resource *r = s->resource;
    bool resync = s->kind != SYNC_PEER_READ;
    struct packet_header header = {
        .volume = (uint16_t)s->volume->number,
        .command = resync ? P_RS_DATA_REPLY : P_DATA_REPLY,
        .length = PACKET_DATA_LENGTH + s->size,
    };
    struct packet_data p = {.sector = s->sector, .block_id = s->block_id, .size = s->size};
    size_t n;

    if (error || !sync_current(s)) {
        if (sync_current(s))
            refuse(r, s->volume, resync ? P_NEG_RS_DREPLY : P_NEG_DREPLY, s->sector, s->block_id,
                   s->size);
        sync_free(s);
        return;
    }
    if (s->kind == SYNC_CHECKED && same_digest(s)) {
        tell_equal(s);
        return;
    }
    if (s->kind == SYNC_THIN && all_zeros(&s->payload)) {
        tell_zeros(s);
        return;
    }
    n = header_encode(r->link.form, &header, s->head);
    n += packet_data_encode(&p, s->head + n);
    s->tx.head = s->head;
    s->tx.head_length = (uint32_t)n;
    s->tx.iov = s->payload.iov;
    s->tx.iov_count = s->payload.count;
    link_push(&r->link.data, &s->tx);
    entry_leave_ranges(s->volume, &s->range);
}

/* --- target: requests and writes --- */

struct sync_io *sync_find(struct volume *v, uint64_t sector, uint32_t size)
{
    struct sync_io *s;

    qb_list_for_each_entry(s, &v->resource->sync_list,
                           link) if (s->volume == v && s->kind == SYNC_REQUESTED && !s->receiving &&
                                     s->sector == sector && s->size == size) return s;
    return NULL;
}

static void settled(struct sync_io *s)
{
    struct resync *resync = &s->volume->resync;

    if (s->link_serial != s->resource->link.serial || !resync->in_flight)
        return;
    resync->in_flight--;
    resync->bytes_in_flight -= s->size;
    pace_arrived(&resync->pace, s->size);
}

void sync_write(struct sync_io *s)
{
    s->receiving = false;
    s->kind = SYNC_WRITE;
    sync_enter(s);
}

int sync_zeros(struct volume *v, const struct packet_block_range *range)
{
    struct sync_io *s = sync_find(v, range->sector, range->size);

    if (!s)
        return -EPROTO;
    s->zeros = true;
    sync_write(s);
    return 0;
}

int sync_equal(struct volume *v, const struct packet_block_ack *ack)
{
    struct sync_io *s = sync_find(v, ack->sector, ack->size);

    if (!s || !s->digest_length)
        return -EPROTO;
    settled(s);
    dirty_map_clear(v->map, s->sector, s->size / MD_SECTOR);
    v->resync.equal_bits += s->size / MD_BLOCK;
    sync_free(s);
    resync_pump(v);
    return 0;
}

/* The own block is read: ask with its digest. What is written meanwhile comes by itself. */
static void check_read(struct sync_io *s, int error)
{
    struct resource *r = s->resource;
    struct packet_block_request p = {
        .sector = s->sector,
        .block_id = BLOCK_ID_SYNC,
        .size = s->size,
    };
    uint8_t body[PACKET_BLOCK_REQUEST_LENGTH + MESSAGE_DIGEST_MAX];
    size_t n;

    s->digest_length =
        error ? 0 : digest_payload(r->digest, r->group->csums_alg, &s->payload, s->digest);
    if (!s->digest_length || !sync_current(s)) {
        settled(s);
        sync_free(s);
        return;
    }
    entry_leave_ranges(s->volume, &s->range);
    payload_free(r->pool, &s->payload);
    s->kind = SYNC_REQUESTED;
    n = packet_block_request_encode(&p, body);
    memcpy(body + n, s->digest, s->digest_length);
    link_send(r, &r->link.data, s->volume->number, P_CSUM_RS_REQUEST, body, n + s->digest_length);
}

static void write_done(struct sync_io *s, int error)
{
    struct resource *r = s->resource;
    struct volume *v = s->volume;
    struct packet_header header = {
        .volume = (uint16_t)v->number,
        .command = error ? P_NEG_ACK : P_RS_WRITE_ACK,
        .length = PACKET_BLOCK_ACK_LENGTH,
    };
    struct packet_block_ack ack = {
        .sector = s->sector,
        .block_id = BLOCK_ID_SYNC,
        .size = s->size,
    };
    size_t n;

    settled(s);
    if (!error)
        dirty_map_clear(v->map, s->sector, s->size / MD_SECTOR);
    if (!sync_current(s)) {
        sync_free(s);
        return;
    }
    entry_leave_ranges(v, &s->range);
    payload_free(r->pool, &s->payload);
    ack.sequence = ++v->sequence;
    n = header_encode(r->link.form, &header, s->head);
    n += packet_block_ack_encode(&ack, s->head + n);
    s->tx.head = s->head;
    s->tx.head_length = (uint32_t)n;
    link_push(&r->link.meta, &s->tx);
    resync_pump(v);
}

static void io_done(struct store_io *io, int error)
{
    struct sync_io *s = container_of(io, struct sync_io, io);
    struct resource *r = s->resource;

    resource_enter(r);
    if (error)
        volume_failed(s->volume, error,
                      s->kind == SYNC_WRITE ? "writing for a resync" : "reading for the peer");
    if (s->kind == SYNC_WRITE)
        write_done(s, error);
    else if (s->kind == SYNC_CHECK)
        check_read(s, error);
    else if (s->kind == SYNC_VERIFY)
        verify_read(s, error);
    else if (s->kind == SYNC_VERIFY_READ)
        verify_served(s, error);
    else
        read_done(s, error);
    resource_leave(r);
}

void sync_failed(struct volume *v, const struct packet_block_ack *ack)
{
    struct sync_io *s = sync_find(v, ack->sector, ack->size);

    if (!s)
        return;
    settled(s);
    v->resync.failed++;
    sync_free(s);
    /* The blocks stay marked, so the resync cannot end; the peer's disk is failing, it will say so.
     */
    resource_say(v->resource, "volume %u: the peer cannot read sector %llu", v->number,
                 (unsigned long long)ack->sector);
}

/* What to ask for at `bit`: up to so many marked blocks, never across an extent's border; a whole
 * granule when that is marked and may be zeros. Returns the blocks. */
static uint64_t choose(const struct volume *v, uint64_t bit, struct packet_block_request *p,
                       bool *thin)
{
    const struct resource *r = v->resource;
    uint64_t granule = r->group->rs_discard_granularity / MD_BLOCK, length;
    uint64_t most = (r->group->csums_alg ? CSUM_BYTES : SYNC_BYTES) / MD_BLOCK;
    uint64_t run = SYNC_EXTENT_BITS - bit % SYNC_EXTENT_BITS;

    *thin = granule && r->features & FEATURE_THIN_RESYNC && bit % granule == 0 &&
            (bit + granule) * MD_BLOCK_SECTORS <= v->sectors &&
            dirty_map_run(v->map, bit, granule) == granule;
    if (*thin)
        run = granule;
    else
        run = dirty_map_run(v->map, bit, run < most ? run : most);
    p->sector = bit * MD_BLOCK_SECTORS;
    length = run * MD_BLOCK;
    if (length > (v->sectors - p->sector) * MD_SECTOR)
        length = (v->sectors - p->sector) * MD_SECTOR;
    p->size = (uint32_t)length;
    return run;
}

void resync_pump(struct volume *v)
{
    struct resource *r = v->resource;
    struct resync *resync = &v->resync;

    while (v->state.conn == CONN_SYNC_TARGET && !resync->finishing && link_alive(&r->link) &&
           volume_usable(v)) {
        uint64_t bit = dirty_map_find(v->map, resync->cursor), run;
        struct packet_block_request p = {.block_id = BLOCK_ID_SYNC};
        uint8_t body[PACKET_BLOCK_REQUEST_LENGTH];
        struct sync_io *s;
        bool thin;

        if (bit == DIRTY_MAP_END) {
            if (resync->in_flight || !resync->cursor || resync->failed)
                break;
            resync->cursor = 0; /* what was marked behind us, or only partly overwritten */
            if (!v->map->set)
                break;
            continue;
        }
        run = choose(v, bit, &p, &thin);
        if (r->syncs == RESOURCE_SYNCS ||
            !pace_allows(&resync->pace, p.size, resync->bytes_in_flight, r->home->now_ns))
            break;
        s = sync_new(r, v, r->group->csums_alg && !thin ? SYNC_CHECK : SYNC_REQUESTED);
        s->sector = p.sector;
        s->size = p.size;
        resync->cursor = bit + run;
        resync->in_flight++;
        resync->bytes_in_flight += p.size;
        if (s->kind == SYNC_CHECK)
            sync_enter(s);
        else
            link_send(r, &r->link.data, v->number, thin ? P_RS_THIN_REQ : P_RS_DATA_REQUEST, body,
                      packet_block_request_encode(&p, body));
    }
    resync_target_end(v);
}

void resync_link_down(struct resource *r)
{
    struct sync_io *s, *next;

    /* Those that wait for nobody who would ever come; what is on the disk or in a socket ends by
     * itself. */
    qb_list_for_each_entry_safe(s, next, &r->sync_list,
                                link) if ((s->kind == SYNC_REQUESTED && !s->receiving) ||
                                          s->waits_reply || s->waits_memory || s->waits_rate ||
                                          (s->range.held && !s->range.granted)) s->doomed = true;
    qb_list_for_each_entry_safe(s, next, &r->sync_list, link) if (s->doomed) sync_free(s);
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct resync *resync = &r->volumes[i]->resync;

        resync->in_flight = resync->bytes_in_flight = 0;
        resync->finishing = resync->pinged = resync->peer_finished = false;
        resync->total_bits = 0;
        resync->rate = 0;
    }
}
