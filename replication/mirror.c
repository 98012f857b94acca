/* The peer's writes: onto the local disk in the order the range locks give, acknowledged when done
 * there; its barriers, answered after a flush. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "replication/resource.h"
#include "target/base/container.h"

static void granted(struct range *range);
static void written(struct store_io *io, int error);
static void acked(struct tx_item *item);

int mirror_init(struct resource *r)
{
    qb_list_init(&r->free_mirrors);
    epoch_receiver_reset(&r->received);
    r->mirror_memory = calloc(RESOURCE_MIRRORS, sizeof *r->mirror_memory);
    return r->mirror_memory ? 0 : -ENOMEM;
}

void mirror_free(struct resource *r)
{
    free(r->mirror_memory);
}

struct mirror *mirror_new(struct resource *r, struct volume *v)
{
    struct mirror *m;

    if (!qb_list_empty(&r->free_mirrors)) {
        m = qb_list_first_entry(&r->free_mirrors, struct mirror, link);
        qb_list_del(&m->link);
    } else if (r->mirror_used < RESOURCE_MIRRORS) {
        m = &r->mirror_memory[r->mirror_used++];
    } else {
        return NULL;
    }
    r->mirrors++;
    memset(&m->range, 0, sizeof m->range);
    m->resource = r;
    m->volume = v;
    m->range.grant = granted;
    m->link_serial = r->link.serial;
    m->payload.count = 0;
    m->payload.length = 0;
    m->io = (struct store_io){.done = written};
    m->tx = (struct tx_item){.done = acked};
    return m;
}

void mirror_drop(struct mirror *m)
{
    struct resource *r = m->resource;

    payload_free(r->pool, &m->payload);
    r->mirrors--;
    qb_list_add(&m->link, &r->free_mirrors);
}

static void acked(struct tx_item *item)
{
    mirror_drop(container_of(item, struct mirror, tx));
}

/* Tells the peer and lets the next range go. */
static void answer(struct mirror *m, int error)
{
    struct resource *r = m->resource;
    struct volume *v = m->volume;
    struct packet_header header = {
        .volume = (uint16_t)v->number,
        .command = P_WRITE_ACK,
        .length = PACKET_BLOCK_ACK_LENGTH,
    };
    struct packet_block_ack ack = {
        .sector = m->data.sector,
        .block_id = m->data.block_id,
        .size = m->data.size,
    };
    bool current = m->link_serial == r->link.serial && link_alive(&r->link);

    if (m->range.held)
        entry_leave_ranges(v, &m->range);
    payload_free(r->pool, &m->payload);
    if (error) {
        header.command = P_NEG_ACK;
        dirty_map_set(v->map, m->data.sector, m->data.size / MD_SECTOR);
    } else if ((conn_is_target(v->state.conn) || conn_is_source(v->state.conn)) && current &&
               m->data.flags & DP_MAY_SET_IN_SYNC) {
        header.command = P_RS_WRITE_ACK;
        dirty_map_clear(v->map, m->data.sector, m->data.size / MD_SECTOR);
    } else if (v->state.peer_disk < DISK_INCONSISTENT && m->data.size) {
        dirty_map_set(v->map, m->data.sector, m->data.size / MD_SECTOR); /* ours is the only copy */
    }
    if (!current) {
        mirror_drop(m);
        return;
    }
    epoch_receiver_done(&r->received, m->epoch);
    if (error || m->data.flags & DP_SEND_WRITE_ACK) {
        size_t n = header_encode(r->link.form, &header, m->head);

        ack.sequence = ++v->sequence;
        m->tx.head = m->head;
        m->tx.head_length = (uint32_t)(n + packet_block_ack_encode(&ack, m->head + n));
        link_push(&r->link.meta, &m->tx);
    } else {
        mirror_drop(m);
    }
    mirror_flush(r); /* after the ack is queued: it has to precede the barrier's */
}

static void written(struct store_io *io, int error)
{
    struct mirror *m = container_of(io, struct mirror, io);
    struct resource *r = m->resource;

    resource_enter(r);
    if (error)
        volume_failed(m->volume, error, "writing for the peer");
    answer(m, error);
    resource_leave(r);
}

static void granted(struct range *range)
{
    struct mirror *m = container_of(range, struct mirror, range);

    if (!volume_usable(m->volume)) {
        answer(m, -EIO);
        return;
    }
    store_submit(m->volume->backing, &m->io);
}

void mirror_run(struct mirror *m, unsigned command)
{
    struct volume *v = m->volume;

    m->epoch = epoch_receiver_write(&m->resource->received);
    m->io.operation = !m->data.size                                     ? STORE_FLUSH
                      : command == P_DATA                               ? STORE_WRITE
                      : command == P_TRIM || m->data.flags & DP_DISCARD ? STORE_UNMAP
                                                                        : STORE_ZERO;
    m->io.flags = m->data.flags & DP_FUA && m->data.size ? STORE_FUA : 0;
    m->io.offset = m->range.offset = m->data.sector * MD_SECTOR;
    m->io.length = m->range.length = m->data.size;
    m->io.iov = m->payload.iov;
    m->io.iov_count = m->payload.count;
    if (range_enter(&v->ranges, &m->range))
        granted(&m->range);
}

/* --- barriers --- */

void mirror_barrier(struct resource *r, uint32_t number)
{
    epoch_receiver_barrier(&r->received, number);
    mirror_flush(r);
}

static void answer_barriers(struct resource *r)
{
    while (r->flush_epochs) {
        struct packet_barrier_ack ack;
        uint8_t body[8];

        r->flush_epochs--;
        epoch_receiver_pop(&r->received, &ack.number, &ack.set_size);
        link_send(r, &r->link.meta, 0, P_BARRIER_ACK, body, packet_barrier_ack_encode(&ack, body));
    }
}

static void flushed(struct store_io *io, int error)
{
    struct flush_slot *slot = container_of(io, struct flush_slot, io);
    struct resource *r = slot->volume->resource;

    resource_enter(r);
    if (error) {
        r->flush_error = error;
        volume_failed(slot->volume, error, "flushing for the peer");
    }
    if (!--r->flush_running && r->flush_serial == r->link.serial && link_alive(&r->link)) {
        if (r->flush_error)
            link_fail(r, "flushing for the peer failed");
        else
            answer_barriers(r);
        mirror_flush(r);
    }
    resource_leave(r);
}

/* One flush answers all epochs that are complete when it starts. */
void mirror_flush(struct resource *r)
{
    uint32_t epochs;

    if (r->flush_running || !link_alive(&r->link))
        return;
    epochs = epoch_receiver_flushable(&r->received);
    if (!epochs)
        return;
    r->flush_epochs = epochs;
    r->flush_serial = r->link.serial;
    r->flush_error = 0;
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];

        if (!volume_usable(v))
            continue;
        r->flush_running++;
        r->flush[i].volume = v;
        r->flush[i].io = (struct store_io){.operation = STORE_FLUSH, .done = flushed};
        store_submit(v->backing, &r->flush[i].io);
    }
    if (!r->flush_running)
        answer_barriers(r); /* all disks gone: the writes were refused one by one */
}
