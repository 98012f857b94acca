/* The peer's writes: onto the local disk in the order the range locks give, acknowledged when done
 * there; its barriers, answered after a flush. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "replication/resource.h"
#include "replication/standing.h"
#include "target/base/container.h"

static void granted(struct range *range);
static void logged(struct log_hold *hold);
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
    m->hold = (struct log_hold){.start = logged};
    m->link_serial = r->link.serial;
    m->payload.count = 0;
    m->payload.length = 0;
    m->io = (struct store_io){.done = written};
    m->tx = (struct tx_item){.done = acked, .patient = true};
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

static void send_answer(struct mirror *m, unsigned command)
{
    struct resource *r = m->resource;
    struct packet_header header = {
        .volume = (uint16_t)m->volume->number,
        .command = (uint16_t)command,
        .length = PACKET_BLOCK_ACK_LENGTH,
    };
    struct packet_block_ack ack = {
        .sector = m->data.sector,
        .block_id = m->data.block_id,
        .size = m->data.size,
    };

    epoch_receiver_done(&r->received, m->epoch);
    if (command == P_NEG_ACK || m->data.flags & DP_SEND_WRITE_ACK) {
        size_t n = header_encode(r->link.form, &header, m->head);

        ack.sequence = ++m->volume->sequence;
        m->tx.head = m->head;
        m->tx.head_length = (uint32_t)(n + packet_block_ack_encode(&ack, m->head + n));
        link_push(&r->link.meta, &m->tx);
    } else {
        mirror_drop(m);
    }
    mirror_flush(r); /* after the ack is queued: it has to precede the barrier's */
}

/* Lets the next range go and tells the peer. */
static void answer(struct mirror *m, int error)
{
    struct resource *r = m->resource;
    struct volume *v = m->volume;
    unsigned command = P_WRITE_ACK;
    bool current = m->link_serial == r->link.serial && link_alive(&r->link);

    if (m->range.held)
        entry_leave_ranges(v, &m->range);
    payload_free(r->pool, &m->payload);
    if (error) {
        command = P_NEG_ACK;
        dirty_map_set(v->map, m->data.sector, m->data.size / MD_SECTOR);
    } else if ((conn_is_target(v->state.conn) || conn_is_source(v->state.conn) ||
                v->state.conn == CONN_CONNECTED || verify_runs(v)) &&
               current && m->data.flags & DP_MAY_SET_IN_SYNC && !v->only_copy) {
        command = P_RS_WRITE_ACK;
        dirty_map_clear(v->map, m->data.sector, m->data.size / MD_SECTOR);
    } else if (v->only_copy && m->data.size) {
        dirty_map_set(v->map, m->data.sector, m->data.size / MD_SECTOR);
    }
    log_hold_end(v, &m->hold); /* from here on its bits tell of it */
    if (!current)
        mirror_drop(m);
    else if (!error && v->only_copy && !v->only_durable)
        qb_list_add_tail(&m->link, &v->held);
    else
        send_answer(m, command);
}

void mirror_unflushed(struct volume *v)
{
    if (v->written_to)
        return;
    v->written_to = true;
    qb_list_add_tail(&v->unflushed, &v->resource->unflushed);
}

static void written(struct store_io *io, int error)
{
    struct mirror *m = container_of(io, struct mirror, io);
    struct resource *r = m->resource;

    resource_enter(r);
    mirror_unflushed(m->volume);
    if (error)
        volume_failed(m->volume, error, "writing for the peer");
    answer(m, error);
    resource_leave(r);
}

static void logged(struct log_hold *hold)
{
    struct mirror *m = container_of(hold, struct mirror, hold);

    if (volume_usable(m->volume))
        store_submit(m->volume->backing, &m->io);
    else
        answer(m, -EIO);
}

static void granted(struct range *range)
{
    struct mirror *m = container_of(range, struct mirror, range);

    if (m->volume->only_copy && volume_usable(m->volume) && m->data.size)
        log_hold_begin(m->volume, &m->hold, m->data.sector, m->data.size / MD_SECTOR);
    else
        logged(&m->hold);
}

static void begin(struct mirror *m)
{
    if (range_enter(&m->volume->ranges, &m->range))
        granted(&m->range);
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
    if (v->only_waits && m->data.size)
        qb_list_add_tail(&m->link, &v->waiting);
    else
        begin(m);
}

/* --- barriers --- */

/* The new Primary's first flush asks for what this node wrote as the Primary before. No other barrier does: with many
 * volumes that may be many flushes. */
static void flush_own(struct resource *r)
{
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];

        if (v->cached)
            mirror_unflushed(v);
        v->cached = false;
    }
}

void mirror_barrier(struct resource *r, uint32_t number)
{
    if (epoch_receiver_empty(&r->received))
        flush_own(r);
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
    while (!qb_list_empty(&r->unflushed)) {
        struct volume *v = qb_list_first_entry(&r->unflushed, struct volume, unflushed);
        struct flush_slot *slot = &r->flush[r->flush_running];

        v->written_to = false;
        qb_list_del(&v->unflushed);
        if (!volume_usable(v))
            continue;
        r->flush_running++;
        slot->volume = v;
        slot->io = (struct store_io){.operation = STORE_FLUSH, .done = flushed};
        store_submit(v->backing, &slot->io);
    }
    if (!r->flush_running)
        answer_barriers(r); /* nothing to flush; or all disks gone: the writes were refused one by one */
}

/* --- the only good copy: the Primary's disk failed --- */

static void release_held(struct volume *v)
{
    while (!qb_list_empty(&v->held)) {
        struct mirror *m = qb_list_first_entry(&v->held, struct mirror, link);

        qb_list_del(&m->link);
        send_answer(m, P_WRITE_ACK);
    }
}

static void only_started(struct md_waiter *waiter, int error)
{
    struct volume *v = waiter->volume;

    v->only_starting = false;
    if (error || !v->only_copy)
        return;
    v->only_durable = true;
    send_uuids(v, 0);
    release_held(v);
}

static void only_ended(struct md_waiter *waiter, int error)
{
    struct volume *v = waiter->volume;

    v->only_ending = v->only_copy = v->only_durable = false;
    if (!error)
        volume_changed(v, false); /* begins anew when that is wanted by now */
}

static bool only_copy_due(const struct volume *v)
{
    const struct resource *r = v->resource;

    return !r->primary && !r->closing && r->peer_role == WIRE_PRIMARY &&
           v->state.conn == CONN_CONNECTED && v->state.peer_disk < DISK_INCONSISTENT &&
           v->state.disk == DISK_UP_TO_DATE;
}

/* Those of another connection are gone with that (mirror_link_down()). */
static void run_waiting(struct volume *v)
{
    while (!qb_list_empty(&v->waiting)) {
        struct mirror *m = qb_list_first_entry(&v->waiting, struct mirror, link);

        qb_list_del(&m->link);
        begin(m);
    }
}

/* What the Primary writes now is here only. Its blocks are marked, under the activity log, and a
 * new generation begins, so that its old copy is known as such wherever it turns up again; answers
 * wait until that is on disk. It ends after the map is on disk.
 *
 * While the record does not call this copy current, nothing of that can be acknowledged, and nothing is written here:
 * if it never does, this copy is not one that was changed beside the current one. */
void mirror_only_copy(struct volume *v)
{
    struct resource *r = v->resource;
    bool wanted = only_copy_due(v);
    bool waits = wanted && !v->only_copy && !standing_current(r);

    if (waits != v->only_waits) {
        v->only_waits = waits;
        if (!wanted && !qb_list_empty(&v->waiting))
            link_fail(r, "what waited for the cluster to record this copy is given up");
    }
    if (waits)
        return;
    if (wanted && !v->only_copy && !v->only_starting) {
        v->only_copy = v->only_starting = true;
        v->sb.flags |= MD_PRIMARY;
        generation_new(&v->sb.generations, resource_random(), false);
        v->only_start = (struct md_waiter){.done = only_started, .volume = v};
        md_request(v, &v->only_start);
    } else if (!wanted && v->only_copy && !v->only_ending && volume_usable(v) && !r->closing) {
        v->only_ending = true;
        v->only_end = (struct md_waiter){.pages = true, .done = only_ended, .volume = v};
        md_request(v, &v->only_end);
    }
    if (wanted)
        run_waiting(v);
}

static void drop_all(struct qb_list_head *list)
{
    while (!qb_list_empty(list)) {
        struct mirror *m = qb_list_first_entry(list, struct mirror, link);

        qb_list_del(&m->link);
        mirror_drop(m);
    }
}

void mirror_link_down(struct resource *r)
{
    for (unsigned i = 0; i < r->volume_count; i++) {
        drop_all(&r->volumes[i]->held);
        drop_all(&r->volumes[i]->waiting);
    }
}
