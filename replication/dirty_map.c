#include "replication/dirty_map.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "replication/activity_log.h"
#include "target/base/bytes.h"

enum { WORD_BITS = 64, WORD_BYTES = 8, PAGE_WORDS = DIRTY_MAP_PAGE / WORD_BYTES };

static uint64_t map_bits(uint64_t sectors)
{
    return sectors / DIRTY_MAP_BLOCK_SECTORS + (sectors % DIRTY_MAP_BLOCK_SECTORS != 0);
}

static uint64_t map_pages(uint64_t sectors)
{
    return (map_bits(sectors) + DIRTY_MAP_PAGE_BITS - 1) / DIRTY_MAP_PAGE_BITS;
}

uint64_t dirty_map_bytes(uint64_t sectors)
{
    return map_pages(sectors) * DIRTY_MAP_PAGE;
}

uint64_t dirty_map_page_words(uint64_t sectors)
{
    return (map_pages(sectors) + WORD_BITS - 1) / WORD_BITS;
}

static uint64_t word_get(const struct dirty_map *map, uint64_t word)
{
    return get_le64(map->bytes + word * WORD_BYTES);
}

static void word_put(struct dirty_map *map, uint64_t word, uint64_t value)
{
    put_le64(map->bytes + word * WORD_BYTES, value);
    dirty_map_page_mark(map, word / PAGE_WORDS);
}

/* Ones at bits [from, to) of a word, 0 <= from < to <= 64. */
static uint64_t word_mask(unsigned from, unsigned to)
{
    return (to == WORD_BITS ? UINT64_MAX : (UINT64_C(1) << to) - 1) & (UINT64_MAX << from);
}

/* The part of [first, end) that lies in word first / 64. */
static uint64_t range_mask(uint64_t first, uint64_t end)
{
    uint64_t word_end = (first / WORD_BITS + 1) * WORD_BITS;
    uint64_t to = end < word_end ? end : word_end;

    return word_mask(first % WORD_BITS, (unsigned)(to - first / WORD_BITS * WORD_BITS));
}

static uint64_t next_word_start(uint64_t bit)
{
    return (bit / WORD_BITS + 1) * WORD_BITS;
}

void dirty_map_init(struct dirty_map *map, uint64_t sectors, uint8_t *bytes, uint64_t *page_dirty)
{
    uint64_t all;

    *map = (struct dirty_map){
        .sectors = sectors,
        .bits = map_bits(sectors),
        .words = (map_bits(sectors) + WORD_BITS - 1) / WORD_BITS,
        .pages = map_pages(sectors),
        .bytes = bytes,
        .page_dirty = page_dirty,
    };
    memset(page_dirty, 0, dirty_map_page_words(sectors) * sizeof *page_dirty);
    all = map->pages * DIRTY_MAP_PAGE_BITS;
    for (uint64_t bit = map->bits; bit < all; bit = next_word_start(bit)) {
        uint64_t value = word_get(map, bit / WORD_BITS), beyond = range_mask(bit, all);

        if (value & beyond)
            word_put(map, bit / WORD_BITS, value & ~beyond);
    }
    for (uint64_t word = 0; word < map->words; word++)
        map->set += (uint64_t)__builtin_popcountll(word_get(map, word));
}

uint64_t dirty_map_set_bits(struct dirty_map *map, uint64_t first, uint64_t count)
{
    uint64_t end = first + count, changed = 0;

    assert(first <= map->bits && count <= map->bits - first);
    for (uint64_t bit = first; bit < end; bit = next_word_start(bit)) {
        uint64_t old = word_get(map, bit / WORD_BITS), new = old | range_mask(bit, end);

        if (new == old)
            continue;
        changed += (uint64_t)__builtin_popcountll(old ^ new);
        word_put(map, bit / WORD_BITS, new);
    }
    map->set += changed;
    return changed;
}

uint64_t dirty_map_clear_bits(struct dirty_map *map, uint64_t first, uint64_t count)
{
    uint64_t end = first + count, changed = 0;

    assert(first <= map->bits && count <= map->bits - first);
    for (uint64_t bit = first; bit < end; bit = next_word_start(bit)) {
        uint64_t old = word_get(map, bit / WORD_BITS), new = old & ~range_mask(bit, end);

        if (new == old)
            continue;
        changed += (uint64_t)__builtin_popcountll(old ^ new);
        word_put(map, bit / WORD_BITS, new);
    }
    map->set -= changed;
    return changed;
}

/* Bits the sectors touch: [*first, *end). */
static void touched(const struct dirty_map *map, uint64_t sector, uint64_t count, uint64_t *first,
                    uint64_t *end)
{
    assert(sector <= map->sectors && count <= map->sectors - sector);
    *first = sector / DIRTY_MAP_BLOCK_SECTORS;
    *end = count ? map_bits(sector + count) : *first;
}

uint64_t dirty_map_set(struct dirty_map *map, uint64_t sector, uint64_t count)
{
    uint64_t first, end;

    touched(map, sector, count, &first, &end);
    return dirty_map_set_bits(map, first, end - first);
}

uint64_t dirty_map_clear(struct dirty_map *map, uint64_t sector, uint64_t count)
{
    uint64_t first, end;

    assert(sector <= map->sectors && count <= map->sectors - sector);
    first = map_bits(sector);
    end = sector + count == map->sectors ? map->bits : (sector + count) / DIRTY_MAP_BLOCK_SECTORS;
    return !count || end <= first ? 0 : dirty_map_clear_bits(map, first, end - first);
}

void dirty_map_set_all(struct dirty_map *map)
{
    dirty_map_set_bits(map, 0, map->bits);
}

void dirty_map_clear_all(struct dirty_map *map)
{
    dirty_map_clear_bits(map, 0, map->bits);
}

uint64_t dirty_map_set_extent(struct dirty_map *map, uint32_t extent)
{
    uint64_t first = (uint64_t)extent * AL_EXTENT_BITS, left;

    if (first >= map->bits)
        return 0;
    left = map->bits - first;
    return dirty_map_set_bits(map, first, left < AL_EXTENT_BITS ? left : AL_EXTENT_BITS);
}

bool dirty_map_test(const struct dirty_map *map, uint64_t bit)
{
    assert(bit < map->bits);
    return map->bytes[bit / 8] >> (bit % 8) & 1;
}

uint64_t dirty_map_count(const struct dirty_map *map, uint64_t first, uint64_t count)
{
    uint64_t end, sum = 0;

    if (first >= map->bits)
        return 0;
    end = count < map->bits - first ? first + count : map->bits;
    for (uint64_t bit = first; bit < end; bit = next_word_start(bit))
        sum +=
            (uint64_t)__builtin_popcountll(word_get(map, bit / WORD_BITS) & range_mask(bit, end));
    return sum;
}

bool dirty_map_any(const struct dirty_map *map, uint64_t sector, uint64_t count)
{
    uint64_t first, end;

    touched(map, sector, count, &first, &end);
    return dirty_map_count(map, first, end - first) > 0;
}

uint64_t dirty_map_find(const struct dirty_map *map, uint64_t from)
{
    for (uint64_t bit = from; bit < map->bits; bit = next_word_start(bit)) {
        uint64_t value = word_get(map, bit / WORD_BITS) & (UINT64_MAX << bit % WORD_BITS);

        if (value)
            return bit / WORD_BITS * WORD_BITS + (unsigned)__builtin_ctzll(value);
    }
    return DIRTY_MAP_END;
}

uint64_t dirty_map_run(const struct dirty_map *map, uint64_t from, uint64_t most)
{
    uint64_t end;

    if (from >= map->bits)
        return 0;
    end = most < map->bits - from ? from + most : map->bits;
    for (uint64_t bit = from; bit < end; bit = next_word_start(bit)) {
        uint64_t clear = ~word_get(map, bit / WORD_BITS) & range_mask(bit, end);

        if (clear)
            return bit / WORD_BITS * WORD_BITS + (unsigned)__builtin_ctzll(clear) - from;
    }
    return end - from;
}

uint64_t dirty_map_page_find(const struct dirty_map *map, uint64_t from)
{
    for (uint64_t page = from; page < map->pages; page = next_word_start(page)) {
        uint64_t value = map->page_dirty[page / WORD_BITS] & (UINT64_MAX << page % WORD_BITS);

        if (value)
            return page / WORD_BITS * WORD_BITS + (unsigned)__builtin_ctzll(value);
    }
    return DIRTY_MAP_END;
}

bool dirty_map_page_is_dirty(const struct dirty_map *map, uint64_t page)
{
    assert(page < map->pages);
    return map->page_dirty[page / WORD_BITS] >> (page % WORD_BITS) & 1;
}

void dirty_map_page_clean(struct dirty_map *map, uint64_t page)
{
    assert(page < map->pages);
    map->page_dirty[page / WORD_BITS] &= ~(UINT64_C(1) << page % WORD_BITS);
}

void dirty_map_page_mark(struct dirty_map *map, uint64_t page)
{
    assert(page < map->pages);
    map->page_dirty[page / WORD_BITS] |= UINT64_C(1) << page % WORD_BITS;
}

const uint8_t *dirty_map_page(const struct dirty_map *map, uint64_t page)
{
    assert(page < map->pages);
    return map->bytes + page * DIRTY_MAP_PAGE;
}
