/* Online verify: block by block, the target's digest against the initiator's. Differences are
 * marked in both maps, nothing is repaired.
 *
 * Both digests must be of the same moment between application writes. The Primary holds the block's
 * range while that moment passes through the link: as the initiator from before the request until
 * its own read, as the target from its read until the reply is queued. A Secondary that initiates
 * reads when the reply has come: what was sent before it is ahead in its range table, what is sent
 * after it comes later. */
#include <assert.h>
#include <errno.h>
#include <qb/qblog.h>
#include <string.h>

#include "replication/resource.h"

static void say_done(struct volume *v)
{
    struct verify *x = &v->verify;

    qb_log(LOG_NOTICE, "group \"%s\" volume %u: verify done, %llu KiB differ",
           v->resource->group->name, v->number, (unsigned long long)x->differ * 4);
    if (x->differ)
        resource_say(v->resource, "volume %u: verify found %llu KiB that differ", v->number,
                     (unsigned long long)x->differ * 4);
}

bool verify_runs(const struct volume *v)
{
    return v->state.conn == CONN_VERIFY_S || v->state.conn == CONN_VERIFY_T;
}

bool verify_possible(const struct volume *v)
{
    return v->state.conn == CONN_CONNECTED && v->state.disk == DISK_UP_TO_DATE &&
           v->state.peer_disk == DISK_UP_TO_DATE && !v->step_running &&
           v->resource->group->verify_alg;
}

void verify_begin(struct volume *v, bool initiator)
{
    v->state.conn = initiator ? CONN_VERIFY_S : CONN_VERIFY_T;
    v->verify = (struct verify){.left = v->map->bits};
    resync_begin_count(v);
    qb_log(LOG_NOTICE, "group \"%s\" volume %u: verify as %s", v->resource->group->name, v->number,
           initiator ? "initiator" : "target");
    volume_changed(v, false);
    if (initiator)
        verify_pump(v);
}

/* The initiator alone says that it is over: what the target says may be from before its answer, which comes by the other
 * socket, or the end of the verify before this one. */
void verify_peer_state(struct volume *v, const struct wire_state *peer)
{
    if ((v->state.conn == CONN_VERIFY_T && peer->conn == CONN_CONNECTED) || peer->disk != DISK_UP_TO_DATE)
        verify_end(v, false);
}

void verify_end(struct volume *v, bool tell_peer)
{
    if (!verify_runs(v))
        return;
    v->state.conn = CONN_CONNECTED;
    say_done(v);
    volume_changed(v, tell_peer);
}

/* `bits` blocks more are compared. */
static void count(struct volume *v, const struct sync_io *s, bool equal)
{
    struct verify *x = &v->verify;
    uint64_t bits = (s->size + MD_BLOCK - 1) / MD_BLOCK;

    if (!equal) {
        dirty_map_set(v->map, s->sector, s->size / MD_SECTOR);
        x->differ += bits;
    }
    x->left -= bits < x->left ? bits : x->left;
    if (!x->left)
        verify_end(v, true);
}

/* --- initiator --- */

void verify_pump(struct volume *v)
{
    enum { SPARE = 16 }; /* left for reads of the peer */
    struct resource *r = v->resource;
    struct verify *x = &v->verify;

    while (v->state.conn == CONN_VERIFY_S && link_alive(&r->link) && x->cursor < v->map->bits &&
           r->syncs + SPARE < RESOURCE_SYNCS) {
        uint64_t sector = x->cursor * MD_BLOCK_SECTORS, length = MD_BLOCK;
        struct sync_io *s;

        if (length > (v->sectors - sector) * MD_SECTOR)
            length = (v->sectors - sector) * MD_SECTOR;
        if (!pace_allows(&v->resync.pace, length, x->bytes_in_flight, r->home->now_ns))
            return;
        s = sync_new(r, v, SYNC_VERIFY);
        s->sector = sector;
        s->size = (uint32_t)length;
        x->cursor++;
        x->bytes_in_flight += s->size;
        if (r->primary)
            sync_enter(s);
        else
            verify_ask(s);
    }
}

void verify_ask(struct sync_io *s)
{
    struct packet_block_request p = {
        .sector = s->sector,
        .block_id = BLOCK_ID_SYNC,
        .size = s->size,
    };
    uint8_t body[PACKET_BLOCK_REQUEST_LENGTH];

    s->waits_reply = true;
    link_send(s->resource, &s->resource->link.data, s->volume->number, P_OV_REQUEST, body,
              packet_block_request_encode(&p, body));
}

static struct sync_io *find(struct volume *v, uint64_t sector, uint32_t size)
{
    struct sync_io *s;

    qb_list_for_each_entry(s, &v->resource->sync_list, link)
    {
        if (s->volume == v && s->kind == SYNC_VERIFY && s->waits_reply && s->sector == sector &&
            s->size == size)
            return s;
    }
    return NULL;
}

int verify_reply(struct volume *v, const struct packet_block_request *p, const uint8_t *digest,
                 size_t length)
{
    struct sync_io *s = find(v, p->sector, p->size);

    if (!s || !length || length > sizeof s->digest)
        return -EPROTO;
    s->waits_reply = false;
    memcpy(s->digest, digest, length);
    s->digest_length = length;
    if (s->range.held)
        sync_run(s);
    else
        sync_enter(s);
    return 0;
}

static void compared(struct sync_io *s, bool equal)
{
    struct volume *v = s->volume;
    struct resource *r = s->resource;
    struct packet_header header = {
        .volume = (uint16_t)v->number,
        .command = P_OV_RESULT,
        .length = PACKET_BLOCK_ACK_LENGTH,
    };
    struct packet_block_ack ack = {
        .sector = s->sector,
        .block_id = ov_result_block_id(equal),
        .size = s->size,
        .sequence = ++v->sequence,
    };
    size_t n = header_encode(r->link.form, &header, s->head);

    n += packet_block_ack_encode(&ack, s->head + n);
    s->tx.head = s->head;
    s->tx.head_length = (uint32_t)n;
    link_push(&r->link.meta, &s->tx);
    if (v->state.conn == CONN_VERIFY_S)
        count(v, s, equal);
}

void verify_read(struct sync_io *s, int error)
{
    struct volume *v = s->volume;
    struct resource *r = s->resource;
    uint8_t digest[MESSAGE_DIGEST_MAX];
    size_t n = error ? 0 : digest_payload(r->digest, r->group->verify_alg, &s->payload, digest);
    bool equal = n == s->digest_length && !memcmp(digest, s->digest, n);

    v->verify.bytes_in_flight -=
        s->size < v->verify.bytes_in_flight ? s->size : v->verify.bytes_in_flight;
    pace_arrived(&v->resync.pace, s->size);
    entry_leave_ranges(v, &s->range);
    payload_free(r->pool, &s->payload);
    if (!n || !sync_current(s))
        sync_free(s);
    else
        compared(s, equal);
    verify_pump(v);
}

/* --- target --- */

int verify_serve(struct volume *v, const struct packet_block_request *p)
{
    struct sync_io *s;

    /* A report that the initiator sent behind its question and before our answer said Connected, which was taken for the
     * end: what it asks says more. Where a disk is not good any more the peer is about to know. */
    if (v->state.conn == CONN_CONNECTED && v->state.disk == DISK_UP_TO_DATE && v->state.peer_disk == DISK_UP_TO_DATE)
        verify_begin(v, false);
    if (v->state.conn != CONN_VERIFY_T)
        return 0;
    s = sync_new(v->resource, v, SYNC_VERIFY_READ);
    if (!s)
        return -EAGAIN;
    s->sector = p->sector;
    s->size = p->size;
    s->block_id = p->block_id;
    sync_enter(s);
    return 0;
}

/* The reply is queued before the range is given up: a later write goes behind it. */
void verify_served(struct sync_io *s, int error)
{
    struct volume *v = s->volume;
    struct resource *r = s->resource;
    struct packet_block_request p = {
        .sector = s->sector,
        .block_id = s->block_id,
        .size = s->size,
    };
    struct packet_header header = {.volume = (uint16_t)v->number, .command = P_OV_REPLY};
    size_t digest, n;

    digest = error ? 0 : digest_payload(r->digest, r->group->verify_alg, &s->payload, s->digest);
    if (!digest || !sync_current(s)) { /* a failed disk says so by its state */
        sync_free(s);
        return;
    }
    header.length = (uint32_t)(PACKET_BLOCK_REQUEST_LENGTH + digest);
    n = header_encode(r->link.form, &header, s->head);
    n += packet_block_request_encode(&p, s->head + n);
    memcpy(s->head + n, s->digest, digest);
    s->tx.head = s->head;
    s->tx.head_length = (uint32_t)(n + digest);
    link_push(&r->link.data, &s->tx);
    entry_leave_ranges(v, &s->range);
    payload_free(r->pool, &s->payload);
}

int verify_result(struct volume *v, const struct packet_block_ack *p)
{
    struct sync_io block = {.sector = p->sector, .size = p->size};
    int equal = ov_result_in_sync(p->block_id);

    if (equal < 0)
        return -EPROTO;
    if (v->state.conn == CONN_VERIFY_T)
        count(v, &block, equal);
    else if (!equal) /* its end came by the other socket, and sooner */
        dirty_map_set(v->map, block.sector, block.size / MD_SECTOR);
    return 0;
}
