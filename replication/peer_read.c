/* Reads of a Primary whose disk failed: asked of the peer part by part (P_DATA_REQUEST), which has
 * the only good copy. They wait in order for a free slot. */
#include <errno.h>
#include <string.h>

#include "replication/resource.h"
#include "target/base/container.h"

enum { READ_PART = 1 << 20 };

static struct store_io *first(const struct resource *r)
{
    return container_of(r->asking, struct store_io, post);
}

static void take_first(struct resource *r)
{
    r->asking = r->asking->next;
    if (!r->asking)
        r->asking_end = &r->asking;
    r->asking_issued = 0;
}

void peer_read_arrive(struct resource *r, struct store_io *io)
{
    io->progress = 0;
    io->error = 0;
    io->post.next = NULL;
    *r->asking_end = &io->post;
    r->asking_end = &io->post.next;
}

/* `length` bytes of the command are settled; answered when all are. */
static void settle(struct resource *r, struct store_io *io, uint64_t length, int error)
{
    io->progress += length;
    if (error)
        io->error = error;
    if (io->progress == io->length)
        write_finish(r, io, io->error);
}

static bool ask(struct resource *r, struct volume *v, struct store_io *io)
{
    struct packet_block_request p;
    uint8_t body[PACKET_BLOCK_REQUEST_LENGTH];
    uint64_t left = io->length - r->asking_issued;
    struct sync_io *s = sync_new(r, v, SYNC_ASKED);

    if (!s)
        return false;
    s->upper = io;
    s->at = r->asking_issued;
    s->sector = (io->offset + s->at) / MD_SECTOR;
    s->size = (uint32_t)(left < READ_PART ? left : READ_PART);
    s->block_id = (++r->id_salt << 16) | (uint64_t)(s - r->sync_memory);
    r->asking_issued += s->size;
    p = (struct packet_block_request){
        .sector = s->sector,
        .block_id = s->block_id,
        .size = s->size,
    };
    link_send(r, &r->link.data, v->number, P_DATA_REQUEST, body,
              packet_block_request_encode(&p, body));
    return true;
}

void peer_read_pump(struct resource *r)
{
    while (r->asking) {
        struct store_io *io = first(r);
        struct volume *v = container_of(io->store, struct volume, store);
        uint64_t left = io->length - r->asking_issued;

        if (!left) {
            take_first(r);
        } else if (!r->serving || !volume_through_peer(v)) {
            /* The peer's copy is good, but it cannot be asked now. */
            take_first(r);
            settle(r, io, left, r->serving && !volume_usable(v) && !v->peer_only ? -EIO : -EAGAIN);
        } else if (!ask(r, v, io)) {
            return;
        }
    }
}

struct sync_io *peer_read_find(struct volume *v, uint64_t block_id, uint64_t sector, uint32_t size)
{
    struct resource *r = v->resource;
    uint64_t index = block_id & 0xffff;
    struct sync_io *s = index < r->sync_used ? &r->sync_memory[index] : NULL;

    return s && s->kind == SYNC_ASKED && !s->receiving && s->volume == v &&
                   s->block_id == block_id && s->sector == sector && s->size == size
               ? s
               : NULL;
}

static void copy_to_caller(struct sync_io *s)
{
    const struct store_io *io = s->upper;
    uint64_t at = s->at, done = 0;

    for (unsigned i = 0; done < s->size; i++) {
        uint64_t have = io->iov[i].iov_len;

        if (at >= have) {
            at -= have;
            continue;
        }
        have -= at;
        if (have > s->size - done)
            have = s->size - done;
        payload_read(&s->payload, done, (uint8_t *)io->iov[i].iov_base + at, have);
        done += have;
        at = 0;
    }
}

void peer_read_done(struct sync_io *s, int error)
{
    struct resource *r = s->resource;
    struct store_io *io = s->upper;
    uint32_t size = s->size;

    if (!error)
        copy_to_caller(s);
    s->upper = NULL;
    sync_free(s);
    settle(r, io, size, error);
}

void peer_read_link_down(struct resource *r)
{
    struct sync_io *s, *next;

    qb_list_for_each_entry_safe(s, next, &r->sync_list, link)
    {
        if (s->kind == SYNC_ASKED && !s->receiving)
            peer_read_done(s, -EAGAIN);
    }
}
