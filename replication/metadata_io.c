/* Metadata writes of an attached volume. One cycle at a time and volume:
 *
 *   copy the pages of the dirty map that are due -> flush the disk -> write the copies -> write the
 * activity log's transaction and the superblock
 *
 * The flush comes between copying and writing, so that a cleared bit never becomes durable before
 * the data that made it clear, and an extent leaves the log only after its data. All metadata
 * writes are FUA. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "replication/resource.h"
#include "target/base/container.h"

enum { LOG_SLOT = MD_PAGES, SUPERBLOCK_SLOT, SLOTS };

static void write_pages(struct volume *v);
static void write_blocks(struct volume *v);
static void finish_cycle(struct volume *v);

static uint8_t *slot_memory(struct md_io *md, unsigned slot)
{
    return md->memory + (size_t)slot * MD_BLOCK;
}

int md_io_init(struct volume *v)
{
    struct md_io *md = &v->md;

    qb_list_init(&md->pass_next);
    qb_list_init(&md->pass_now);
    qb_list_init(&md->waiters);
    md->memory = aligned_alloc(MD_BLOCK, (size_t)SLOTS * MD_BLOCK);
    return md->memory ? 0 : -ENOMEM;
}

void md_io_free(struct volume *v)
{
    free(v->md.memory);
    v->md.memory = NULL;
}

bool md_idle(const struct volume *v)
{
    const struct md_io *md = &v->md;

    return !md->running && md->wanted == md->durable && qb_list_empty(&md->pass_next) && !md->pass;
}

static void write_slot(struct volume *v, unsigned slot, uint64_t offset,
                       void (*done)(struct store_io *, int))
{
    struct md_write *w = &v->md.write[slot];

    v->md.iov[slot] = (struct iovec){slot_memory(&v->md, slot), MD_BLOCK};
    w->volume = v;
    w->io = (struct store_io){
        .operation = STORE_WRITE,
        .flags = STORE_FUA,
        .offset = offset,
        .length = MD_BLOCK,
        .iov = &v->md.iov[slot],
        .iov_count = 1,
        .done = done,
    };
    v->md.in_flight++;
    store_submit(v->backing, &w->io);
}

/* Returns true when it was the last of the step. */
static bool slot_done(struct store_io *io, int error, struct volume **v)
{
    *v = container_of(io, struct md_write, io)->volume;
    if (error && !(*v)->md.error)
        (*v)->md.error = error;
    return !--(*v)->md.in_flight;
}

static void call_waiters(struct qb_list_head *list, uint64_t durable, int error)
{
    struct md_waiter *waiter, *next;
    struct qb_list_head ready;

    qb_list_init(&ready);
    qb_list_for_each_entry_safe(waiter, next, list, link)
    {
        if (!error && waiter->ticket > durable)
            continue;
        qb_list_del(&waiter->link);
        qb_list_add_tail(&waiter->link, &ready);
    }
    while (!qb_list_empty(&ready)) {
        waiter = qb_list_first_entry(&ready, struct md_waiter, link);
        qb_list_del(&waiter->link);
        waiter->done(waiter, error);
    }
}

void md_request(struct volume *v, struct md_waiter *waiter)
{
    struct md_io *md = &v->md;

    if (waiter && waiter->pages) {
        qb_list_add_tail(&waiter->link, &md->pass_next);
    } else {
        md->wanted++;
        if (waiter) {
            waiter->ticket = md->wanted;
            qb_list_add_tail(&waiter->link, &md->waiters);
        }
    }
    md_kick(v);
}

static void add_page(struct volume *v, uint64_t page)
{
    struct md_io *md = &v->md;

    memcpy(slot_memory(md, md->pages), dirty_map_page(v->map, page), MD_BLOCK);
    dirty_map_page_clean(v->map, page);
    md->page[md->pages++] = page;
}

/* The pass over the whole map: what those who wait for it need. */
static void collect_pass(struct volume *v)
{
    struct md_io *md = &v->md;

    if (!md->pass && !qb_list_empty(&md->pass_next)) {
        struct md_waiter *waiter, *next;

        md->pass = true;
        md->pass_flushed = false;
        md->cursor = 0;
        qb_list_for_each_entry_safe(waiter, next, &md->pass_next, link)
        {
            qb_list_del(&waiter->link);
            qb_list_add_tail(&waiter->link, &md->pass_now);
        }
    }
    if (!md->pass)
        return;
    while (md->pages < MD_PAGES) {
        uint64_t page = dirty_map_page_find(v->map, md->cursor);

        if (page == DIRTY_MAP_END) {
            md->cursor = DIRTY_MAP_END;
            return;
        }
        md->cursor = page + 1;
        add_page(v, page);
    }
}

static void cycle_failed(struct volume *v, int error)
{
    struct md_io *md = &v->md;

    md->running = false;
    md->durable = md->building = md->wanted;
    md->pass = false;
    volume_failed(v, error, "writing metadata");
    call_waiters(&md->pass_now, 0, error);
    call_waiters(&md->pass_next, 0, error);
    call_waiters(&md->waiters, 0, error);
}

static void flushed(struct store_io *io, int error)
{
    struct volume *v = container_of(io, struct volume, md.flush);

    resource_enter(v->resource);
    v->md.error = error;
    v->md.pass_flushed = v->md.pass;
    write_pages(v);
    resource_leave(v->resource);
}

void md_kick(struct volume *v)
{
    struct md_io *md = &v->md;
    bool evicts = false;

    if (grow_has_metadata(&v->growth))
        return;
    if (md->running || !volume_usable(v)) {
        if (!md->running && (md->wanted != md->durable || !qb_list_empty(&md->pass_next)))
            cycle_failed(v, -EIO);
        return;
    }
    md->pages = 0;
    md->error = 0;
    md->log_part = al_pending(v->al);
    if (md->log_part) {
        struct al_transaction *t = &md->transaction;

        al_transaction_build(v->al, slot_memory(md, LOG_SLOT), t);
        evicts = t->page_count;
        for (unsigned i = 0; i < t->page_count; i++)
            if (t->pages[i] < v->map->pages && dirty_map_page_is_dirty(v->map, t->pages[i]))
                add_page(v, t->pages[i]);
    }
    collect_pass(v);
    if (!md->log_part && !md->pass && md->wanted == md->durable)
        return;
    md->running = true;
    if (evicts || md->pages || (md->pass && !md->pass_flushed)) {
        md->flush = (struct store_io){.operation = STORE_FLUSH, .done = flushed};
        store_submit(v->backing, &md->flush);
        return;
    }
    write_blocks(v);
}

static void page_written(struct store_io *io, int error)
{
    struct volume *v;
    bool last = slot_done(io, error, &v);

    resource_enter(v->resource);
    if (last)
        write_blocks(v);
    resource_leave(v->resource);
}

static void write_pages(struct volume *v)
{
    struct md_io *md = &v->md;

    if (md->error || !md->pages) {
        write_blocks(v);
        return;
    }
    for (unsigned i = 0; i < md->pages; i++)
        write_slot(v, i, v->file.layout.bitmap + md->page[i] * MD_BLOCK, page_written);
}

static void block_written(struct store_io *io, int error)
{
    struct volume *v;
    bool last = slot_done(io, error, &v);

    resource_enter(v->resource);
    if (last)
        finish_cycle(v);
    resource_leave(v->resource);
}

static void write_blocks(struct volume *v)
{
    struct md_io *md = &v->md;

    md->building = md->durable;
    if (!md->error) {
        if (md->log_part)
            write_slot(v, LOG_SLOT,
                       v->file.layout.al + (uint64_t)md->transaction.position * MD_BLOCK,
                       block_written);
        if (md->wanted != md->durable) {
            md->building = md->wanted;
            superblock_encode(&v->sb, slot_memory(md, SUPERBLOCK_SLOT));
            write_slot(v, SUPERBLOCK_SLOT, v->file.layout.superblock, block_written);
        }
    }
    if (!md->in_flight)
        finish_cycle(v);
}

static void finish_cycle(struct volume *v)
{
    struct md_io *md = &v->md;

    if (md->error) {
        cycle_failed(v, md->error);
        return;
    }
    md->running = false;
    md->durable = md->building;
    if (md->log_part) {
        md->log_part = false;
        al_transaction_done(v->al);
        log_hold_changed(v);
    } else if (!qb_list_empty(&v->al_wait) || !qb_list_empty(&v->al_busy)) {
        log_hold_changed(v); /* they may have waited for the superblock: role_mark.h */
    }
    if (md->pass && md->cursor == DIRTY_MAP_END) {
        struct md_waiter *waiter, *next;

        md->pass = false;
        qb_list_for_each_entry_safe(waiter, next, &md->pass_now, link)
        {
            qb_list_del(&waiter->link);
            waiter->ticket = ++md->wanted;
            qb_list_add_tail(&waiter->link, &md->waiters);
        }
    }
    call_waiters(&md->waiters, md->durable, 0);
    md_kick(v);
}

/* --- clean detach --- */

static void close_step(struct volume *v);

static void close_written(struct store_io *io, int error)
{
    struct volume *v;

    slot_done(io, error, &v);
    resource_enter(v->resource);
    if (error) {
        v->md.closing = false;
        v->md.close_waiter->done(v->md.close_waiter, error);
    } else {
        v->md.ring_block++;
        close_step(v);
    }
    resource_leave(v->resource);
}

static void close_step(struct volume *v)
{
    struct md_io *md = &v->md;

    if (md->ring_block < v->file.layout.al_blocks) {
        al_block_initial(slot_memory(md, LOG_SLOT));
        write_slot(v, LOG_SLOT, v->file.layout.al + (uint64_t)md->ring_block * MD_BLOCK,
                   close_written);
    } else if (md->ring_block == v->file.layout.al_blocks) {
        v->sb.clean = true;
        v->sb.flags |= MD_AL_CLEAN;
        superblock_encode(&v->sb, slot_memory(md, SUPERBLOCK_SLOT));
        write_slot(v, SUPERBLOCK_SLOT, v->file.layout.superblock, close_written);
    } else {
        md->closing = false;
        md->close_waiter->done(md->close_waiter, 0);
    }
}

void md_close(struct volume *v, struct md_waiter *waiter)
{
    assert(md_idle(v));
    v->md.closing = true;
    v->md.close_waiter = waiter;
    v->md.ring_block = 0;
    close_step(v);
}
