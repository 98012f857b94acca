/* Plays a Primary on a device with metadata and stops as a crash would: random dirty map, random
 * history of the activity log, perhaps a torn last block, superblock unclean. Prints what was made,
 * and writes the map that every correct replay must end with to a file. Used by
 * tests/conform/drbdmeta. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replication/md_file.h"

static uint64_t seed;

static uint64_t rnd(uint64_t below)
{
    uint64_t z = seed += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return (z ^ z >> 31) % below;
}

struct player {
    struct md_file *file;
    struct activity_log *al;
    uint8_t block[AL_BLOCK];
    uint8_t old_block[AL_BLOCK];
    unsigned transactions, evictions;
};

static void write_page(struct md_file *file, uint64_t page)
{
    ssize_t n = pwrite(file->fd, dirty_map_page(&file->map, page), MD_BLOCK,
                       (off_t)(file->layout.bitmap + page * MD_BLOCK));

    assert(n == MD_BLOCK);
    dirty_map_page_clean(&file->map, page);
}

static void transaction(struct player *p)
{
    struct md_file *file = p->file;
    struct al_transaction t;
    off_t at;

    al_transaction_build(p->al, p->block, &t);
    for (unsigned i = 0; i < t.page_count; i++)
        if (t.pages[i] < file->map.pages && dirty_map_page_is_dirty(&file->map, t.pages[i]))
            write_page(file, t.pages[i]);
    p->evictions += t.page_count != 0;
    at = (off_t)(file->layout.al + (uint64_t)t.position * AL_BLOCK);
    if (pread(file->fd, p->old_block, AL_BLOCK, at) != AL_BLOCK ||
        pwrite(file->fd, p->block, AL_BLOCK, at) != AL_BLOCK)
        abort();
    al_transaction_done(p->al);
    p->transactions++;
}

/* The transaction that the power cut came into: only its first bytes reach the disk. */
static void torn_transaction(struct player *p)
{
    struct al_transaction t;
    size_t keep = 512 * (1 + rnd(7));
    off_t at;

    al_transaction_build(p->al, p->block, &t);
    at = (off_t)(p->file->layout.al + (uint64_t)t.position * AL_BLOCK);
    if (pread(p->file->fd, p->old_block, AL_BLOCK, at) != AL_BLOCK)
        abort();
    memcpy(p->old_block, p->block, keep);
    /* Old and new may be equal behind that point: then it would be whole. */
    if (!memcmp(p->old_block, p->block, AL_BLOCK))
        p->old_block[keep] ^= 0x55;
    if (pwrite(p->file->fd, p->old_block, AL_BLOCK, at) != AL_BLOCK)
        abort();
}

enum { HELD = 24 };
struct held {
    uint32_t first, last;
    int used;
};

static void play(struct player *p, unsigned steps, uint32_t extents, uint32_t spread)
{
    struct held held[HELD] = {0};

    for (unsigned i = 0; i < steps; i++) {
        struct held *h = &held[rnd(HELD)];
        uint64_t ticket = 0, base;

        if (h->used) { /* completed: what it wrote is in sync again or marked */
            uint64_t bit =
                (uint64_t)(h->first + rnd(h->last - h->first + 1)) * AL_EXTENT_BITS + rnd(999);

            if (rnd(2) && bit < p->file->map.bits)
                dirty_map_set_bits(&p->file->map, bit, 1);
            al_end(p->al, h->first, h->last);
            h->used = 0;
            continue;
        }
        base = rnd(10) ? rnd(spread < extents ? spread : extents) : rnd(extents);
        h->first = (uint32_t)base;
        h->last = h->first + (uint32_t)(rnd(8) ? 0 : rnd(AL_IO_EXTENTS));
        if (h->last >= extents)
            h->last = extents - 1;
        if (al_begin(p->al, h->first, h->last, &ticket) == AL_BUSY)
            continue;
        h->used = 1;
        if (rnd(3) == 0)
            while (al_pending(p->al))
                transaction(p);
    }
    while (al_pending(p->al))
        transaction(p);
}

int main(int argc, char **argv)
{
    struct md_file file;
    struct player player = {.file = &file};
    char why[MD_WHY];
    uint64_t data, *expected_pages, sectors;
    uint32_t extents, first;
    unsigned slots, most, steps, hot = 0;
    uint8_t *map, *expected;
    uint64_t *pages;
    struct dirty_map result;
    int fd, external, torn;
    FILE *out;

    if (argc != 5) {
        fprintf(stderr, "usage: md_random DEVICE DATA-BYTES|internal SEED EXPECTED-MAP\n");
        return 2;
    }
    external = strcmp(argv[2], "internal") != 0;
    data = external ? strtoull(argv[2], NULL, 10) : 0;
    seed = strtoull(argv[3], NULL, 10);
    fd = open(argv[1], O_RDWR | O_CLOEXEC);
    if (fd < 0 || md_file_load(&file, fd, external ? METADATA_FLEX_EXTERNAL : METADATA_INTERNAL,
                               (uint64_t)md_device_bytes(fd), data, why)) {
        fprintf(stderr, "md_random: %s: %s\n", argv[1], fd < 0 ? "cannot open" : why);
        return 1;
    }
    /* A map of its own for the chosen size, that lies on disk before the crash. */
    sectors = rnd(3) ? file.layout.data_sectors : 1 + rnd(file.layout.data_sectors);
    map = calloc(1, dirty_map_bytes(sectors));
    expected = calloc(1, dirty_map_bytes(sectors));
    pages = calloc(dirty_map_page_words(sectors), 8);
    expected_pages = calloc(dirty_map_page_words(sectors), 8);
    assert(map && expected && pages && expected_pages);
    free(file.map.bytes);
    free(file.map.page_dirty);
    dirty_map_init(&file.map, sectors, map, pages);
    for (unsigned i = (unsigned)rnd(20); i-- > 0;) {
        uint64_t at = rnd(sectors), count = 1 + rnd(sectors - at);

        dirty_map_set(&file.map, at, rnd(4) ? count % 4096 : count);
    }
    for (uint64_t page = 0; page < file.map.pages; page++)
        write_page(&file, page);

    extents = al_extent(sectors - 1) + 1;
    most = al_slots_max(file.layout.al_blocks);
    slots = rnd(2) ? AL_SLOTS_MIN + (unsigned)rnd(most - AL_SLOTS_MIN + 1)
                   : AL_SLOTS_MIN + (unsigned)rnd(most < 500 ? 1 : 200);
    first = rnd(2) ? (uint32_t)rnd(1000) : UINT32_MAX - (uint32_t)rnd(20);
    if (file.layout.al_blocks & (file.layout.al_blocks - 1) && first > 1000)
        first = 0; /* see al_replay(): only powers of two run on over the wrap */
    player.al = al_init(malloc(al_memory(slots)), slots, file.layout.al_stripes,
                        file.layout.al_stripe_blocks, first);
    steps = (unsigned)rnd(rnd(3) ? 200 : 3000);
    play(&player, steps, extents, 50 + (uint32_t)rnd(2 * slots));
    torn = player.transactions && rnd(2) == 0; /* drbdmeta wants one whole transaction */

    file.superblock.flags = MD_CONSISTENT | (rnd(4) ? MD_WAS_UP_TO_DATE : 0) |
                            (rnd(6) ? MD_PRIMARY : 0) | (rnd(2) ? MD_PEER_OUTDATED : 0) |
                            (rnd(5) ? 0 : MD_CONNECTED) | (rnd(5) ? 0 : MD_CRASHED_PRIMARY);
    file.superblock.effective_sectors = sectors;
    file.superblock.al_extents = slots;
    file.superblock.generations =
        (struct generations){rnd(UINT64_MAX), rnd(UINT64_MAX), {rnd(UINT64_MAX), rnd(UINT64_MAX)}};
    file.superblock.clean = false;
    if (md_file_write_superblock(&file))
        return 1;
    /* What is on disk now, with the hot extents set if this was a Primary. */
    if (pread(fd, expected, dirty_map_bytes(sectors), (off_t)file.layout.bitmap) < 0)
        return 1;
    dirty_map_init(&result, sectors, expected, expected_pages);
    for (unsigned slot = 0; slot < slots; slot++) {
        uint32_t extent = al_slot_extent(player.al, slot);

        if (extent == AL_NO_EXTENT)
            continue;
        hot++;
        if (file.superblock.flags & MD_PRIMARY)
            dirty_map_set_extent(&result, extent);
    }
    if (torn) {
        uint32_t extent = (uint32_t)rnd(extents);
        uint64_t ticket;

        al_begin(player.al, extent, extent, &ticket);
        torn_transaction(&player);
    }
    out = fopen(argv[4], "wb");
    if (!out || fwrite(expected, 1, dirty_map_bytes(sectors), out) != dirty_map_bytes(sectors) ||
        fclose(out))
        return 1;
    printf("sectors %llu slots %u first %u transactions %u evictions %u hot %u torn %d flags %x "
           "set %llu\n",
           (unsigned long long)sectors, slots, first, player.transactions, player.evictions, hot,
           torn, file.superblock.flags, (unsigned long long)result.set);
    free(player.al);
    free(expected);
    free(expected_pages);
    md_file_free(&file);
    fsync(fd);
    close(fd);
    return 0;
}
