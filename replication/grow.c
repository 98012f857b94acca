#include "replication/grow.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replication/resource.h"
#include "target/base/container.h"

/* ---- how much ---- */

static int layout_now(const struct volume *v, uint64_t device_bytes, struct metadata_layout *layout, char *why)
{
    return metadata_layout(layout, METADATA_INTERNAL, device_bytes, 0, v->file.layout.al_stripes,
                           v->file.layout.al_stripe_blocks, why);
}

uint64_t grow_room(const struct volume *v, char *why)
{
    const struct metadata_layout *old = &v->file.layout;
    uint64_t device_bytes = store_room(v->backing), unit = v->backing->block_size / MD_SECTOR, sectors;
    struct metadata_layout layout;

    why[0] = '\0';
    if (!volume_usable(v) || device_bytes < v->device_bytes || layout_now(v, device_bytes, &layout, why))
        return v->sectors;
    sectors = layout.data_sectors / unit * unit;
    if (sectors < v->sectors + GROW_LEAST_SECTORS)
        return v->sectors;
    if (layout.superblock != old->superblock && layout.bitmap < old->superblock + MD_BLOCK) {
        snprintf(why, MD_WHY, "its device grew by less than its metadata take: expected %" PRIu64 " bytes more",
                 old->superblock + MD_BLOCK - layout.bitmap);
        return v->sectors;
    }
    return sectors;
}

/* ---- the maps ---- */

static int make_map(struct volume *v)
{
    struct growth *g = &v->growth;
    uint8_t *bytes = aligned_alloc(MD_BLOCK, dirty_map_bytes(g->sectors));
    uint64_t *page_dirty = calloc(dirty_map_page_words(g->sectors), sizeof *page_dirty);

    if (!bytes || !page_dirty) {
        free(bytes);
        free(page_dirty);
        return -ENOMEM;
    }
    memset(bytes, 0, dirty_map_bytes(g->sectors));
    memcpy(bytes, v->map->bytes, dirty_map_bytes(v->map->sectors));
    dirty_map_init(&g->map, g->sectors, bytes, page_dirty);
    return 0;
}

/* What is new, and where the old metadata were: they differ on both nodes until they are wiped. */
static void mark_new(struct volume *v)
{
    struct growth *g = &v->growth;
    uint64_t from = v->file.layout.bitmap / MD_SECTOR, to = (v->file.layout.superblock + MD_BLOCK) / MD_SECTOR;

    if (g->mark) {
        dirty_map_set(&g->map, v->sectors, g->sectors - v->sectors);
    } else if (g->moved && v->resource->primary && from < g->sectors) {
        if (from < v->sectors)
            from = v->sectors;
        dirty_map_set(&g->map, from, (to < g->sectors ? to : g->sectors) - from);
    }
}

/* Bits that changed in the old map since it was copied. */
static void take_changes(struct volume *v)
{
    struct growth *g = &v->growth;
    const struct dirty_map *old = v->map;
    uint64_t page = 0;

    while ((page = dirty_map_page_find(old, page)) != DIRTY_MAP_END) {
        uint64_t first = page * DIRTY_MAP_PAGE_BITS, end = first + DIRTY_MAP_PAGE_BITS;

        for (uint64_t bit = first; bit < end && bit < old->bits; bit++) {
            if (dirty_map_test(old, bit))
                dirty_map_set_bits(&g->map, bit, 1);
            else
                dirty_map_clear_bits(&g->map, bit, 1);
        }
        dirty_map_page_mark(&g->map, page);
        page++;
    }
    mark_new(v);
}

/* ---- the end ---- */

void grow_free(struct volume *v)
{
    free(v->growth.map.bytes);
    free(v->growth.map.page_dirty);
    memset(&v->growth.map, 0, sizeof v->growth.map);
}

static void finish(struct volume *v, int error, const char *why)
{
    struct growth *g = &v->growth;

    g->phase = GROW_NONE;
    log_hold_changed(v);
    md_kick(v);
    v->resource->publish = true;
    g->done(v, error, why);
}

/* Nothing of the old metadata was touched. */
static void give_up(struct volume *v, int error)
{
    char why[80];

    for (uint64_t page = 0; page < v->map->pages; page++)
        dirty_map_page_mark(v->map, page); /* some were taken as written with the copy */
    grow_free(v);
    snprintf(why, sizeof why, "volume %u cannot grow: %s", v->number, strerror(-error));
    qb_log(LOG_ERR, "group \"%s\": %s", v->resource->group->name, why);
    finish(v, error, why);
}

/* The new superblock is on disk. */
static void take_over(struct volume *v)
{
    struct growth *g = &v->growth;

    take_changes(v);
    free(v->file.map.bytes);
    free(v->file.map.page_dirty);
    v->file.map = g->map;
    memset(&g->map, 0, sizeof g->map);
    v->file.layout = g->layout;
    v->sb.effective_sectors = g->sb.effective_sectors;
    v->sb.md_size_sectors = g->sb.md_size_sectors;
    v->sb.al_offset = g->sb.al_offset;
    v->sb.bm_offset = g->sb.bm_offset;
    if (g->moved) { /* the ring at the new place is empty */
        unsigned slots = al_slots(v->al);

        v->al = al_init(v->al_memory, slots, g->layout.al_stripes, g->layout.al_stripe_blocks, 0);
    }
    qb_log(LOG_NOTICE, "group \"%s\" volume %u: grown from %" PRIu64 " to %" PRIu64 " bytes",
           v->resource->group->name, v->number, v->sectors * MD_SECTOR, g->sectors * MD_SECTOR);
    v->sectors = g->sectors;
    v->device_bytes = g->device_bytes;
    v->store.size = v->sectors * MD_SECTOR;
    resource_tell_place(v->resource);
}

/* ---- writing ---- */

static void step(struct volume *v);

static void block_done(struct store_io *io, int error)
{
    struct volume *v = container_of(io, struct md_write, io)->volume;
    struct growth *g = &v->growth;

    resource_enter(v->resource);
    if (error && !g->error)
        g->error = error;
    if (!--g->in_flight)
        step(v);
    resource_leave(v->resource);
}

static void write_block(struct volume *v, unsigned slot, uint64_t offset, bool stable)
{
    struct md_write *w = &v->md.write[slot];

    v->md.iov[slot] = (struct iovec){v->md.memory + (size_t)slot * MD_BLOCK, MD_BLOCK};
    w->volume = v;
    w->io = (struct store_io){
        .operation = STORE_WRITE,
        .flags = stable ? STORE_FUA : 0,
        .offset = offset,
        .length = MD_BLOCK,
        .iov = &v->md.iov[slot],
        .iov_count = 1,
        .done = block_done,
    };
    v->growth.in_flight++;
    store_submit(v->backing, &w->io);
}

static void single_done(struct store_io *io, int error)
{
    struct volume *v = container_of(io, struct volume, growth.io);

    resource_enter(v->resource);
    v->growth.error = error;
    step(v);
    resource_leave(v->resource);
}

static void submit_single(struct volume *v, enum store_operation operation, uint64_t offset, uint64_t length)
{
    v->growth.io = (struct store_io){
        .operation = operation,
        .offset = offset,
        .length = length,
        .done = single_done,
    };
    store_submit(v->backing, &v->growth.io);
}

static bool write_map(struct volume *v)
{
    struct growth *g = &v->growth;
    unsigned slot = 0;

    for (; slot < MD_PAGES && g->next < g->map.pages; slot++, g->next++) {
        memcpy(v->md.memory + (size_t)slot * MD_BLOCK, dirty_map_page(&g->map, g->next), MD_BLOCK);
        dirty_map_page_clean(&g->map, g->next);
    }
    for (unsigned i = 0; i < slot; i++)
        write_block(v, i, g->layout.bitmap + (g->next - slot + i) * MD_BLOCK, false);
    return slot;
}

static bool write_log(struct volume *v)
{
    struct growth *g = &v->growth;
    uint32_t blocks = g->moved ? g->layout.al_blocks : 0;
    unsigned slots = 0;

    while (slots < MD_PAGES && g->next + slots < blocks)
        al_block_initial(v->md.memory + (size_t)slots++ * MD_BLOCK);
    for (unsigned i = 0; i < slots; i++)
        write_block(v, i, g->layout.al + g->next++ * MD_BLOCK, false);
    return slots;
}

static void write_superblock(struct volume *v)
{
    struct growth *g = &v->growth;

    g->sb = v->sb;
    g->sb.effective_sectors = g->sectors;
    g->sb.md_size_sectors = g->layout.md_size_sectors;
    g->sb.al_offset = g->layout.al_offset;
    g->sb.bm_offset = g->layout.bm_offset;
    superblock_encode(&g->sb, v->md.memory);
    write_block(v, 0, g->layout.superblock, true);
}

/* Old metadata would be read by initiators. Where they are behind the new end of the data they stay. */
static bool wipe(struct volume *v, const struct metadata_layout *old, uint64_t old_sectors)
{
    uint64_t end = v->sectors * MD_SECTOR, from = old->bitmap, to = old->superblock + MD_BLOCK;
    uint64_t unit = v->backing->block_size;

    if (from < old_sectors * MD_SECTOR)
        from = old_sectors * MD_SECTOR;
    from = (from + unit - 1) / unit * unit;
    if (to > end)
        to = end;
    to = to / unit * unit;
    if (from >= to)
        return false;
    submit_single(v, STORE_ZERO, from, to - from);
    return true;
}

static void step(struct volume *v)
{
    struct growth *g = &v->growth;
    struct metadata_layout old = v->file.layout;
    uint64_t old_sectors = v->sectors;

    if (g->phase < GROW_SUPERBLOCK && (g->error || !volume_usable(v))) {
        give_up(v, g->error ? g->error : -EIO);
        return;
    }
    switch (g->phase) {
    case GROW_DATA: /* what the bits that are clear stand for */
        g->phase = GROW_MAP;
        /* fall through */
    case GROW_MAP:
        if (write_map(v))
            return;
        g->phase = GROW_LOG;
        g->next = 0;
        /* fall through */
    case GROW_LOG:
        if (write_log(v))
            return;
        g->phase = GROW_FLUSH;
        submit_single(v, STORE_FLUSH, 0, 0);
        return;
    case GROW_FLUSH:
        g->phase = GROW_SUPERBLOCK;
        write_superblock(v);
        return;
    case GROW_SUPERBLOCK:
        if (g->error) { /* nobody knows which of both is there now */
            grow_free(v);
            volume_failed(v, g->error, "writing metadata at their new place");
            finish(v, g->error, "its metadata cannot be written");
            return;
        }
        take_over(v);
        g->phase = GROW_WIPE;
        if (g->moved && wipe(v, &old, old_sectors))
            return;
        /* fall through */
    case GROW_WIPE:
        if (g->error)
            volume_failed(v, g->error, "clearing old metadata");
        finish(v, 0, "");
        return;
    case GROW_NONE:
    case GROW_QUIET:
        assert(false);
    }
}

/* ---- beginning ---- */

void grow_begin(struct volume *v, uint64_t sectors, bool mark,
                void (*done)(struct volume *v, int error, const char *why))
{
    struct growth *g = &v->growth;

    assert(!grow_runs(g) && sectors > v->sectors);
    memset(g, 0, sizeof *g);
    g->phase = GROW_QUIET;
    g->sectors = sectors;
    g->mark = mark;
    g->done = done;
    volume_work(v);
    v->resource->again = true; /* grow_pump() may have had its turn */
}

void grow_pump(struct volume *v)
{
    struct growth *g = &v->growth;
    char why[MD_WHY];
    int rc;

    if (g->phase != GROW_QUIET)
        return;
    if (!volume_usable(v)) {
        finish(v, -EIO, "its disk has failed");
        return;
    }
    if (v->holds || !qb_list_empty(&v->al_wait))
        return;
    if (!md_idle(v)) {
        md_kick(v); /* what lags until the next write (role_mark.h) */
        return;
    }
    g->device_bytes = store_room(v->backing);
    rc = layout_now(v, g->device_bytes, &g->layout, why);
    g->moved = !rc && g->layout.superblock != v->file.layout.superblock;
    if (!rc && g->layout.data_sectors < g->sectors)
        rc = -ENOSPC; /* it was measured larger before */
    if (!rc)
        rc = make_map(v);
    g->phase = GROW_DATA;
    if (rc) {
        give_up(v, rc);
        return;
    }
    mark_new(v);
    g->next = g->moved ? 0 : v->map->pages - 1;
    for (uint64_t page = g->next; page < v->map->pages; page++)
        dirty_map_page_clean(v->map, page); /* written with the copy; dirty again when a bit changes */
    if (g->device_bytes > v->backing->size)
        v->backing->size = g->device_bytes;
    submit_single(v, STORE_FLUSH, 0, 0);
}
