/* How maps travel: plain words, and runs in a variable length code. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "replication/dirty_map.h"
#include "target/base/bytes.h"

enum {
    WORD_BITS = 64,
    ENCODING_KIND = 0x0F,
    ENCODING_RLE_VLI = 2,
    ENCODING_PAD_SHIFT = 4,
    ENCODING_PAD = 7,
    ENCODING_FIRST_SET = 0x80,
};

/* One level of the code: prefix in the low bits, then data bits. A value is its data bits plus the
 * sum of what all earlier levels can express plus 1. */
static const struct vli_level {
    uint8_t total, prefix_bits, prefix;
} vli_levels[] = {
    {2, 1, 0x00},  {3, 2, 0x01},  {5, 3, 0x03},  {7, 4, 0x07},  {10, 5, 0x0F},
    {14, 6, 0x1F}, {21, 8, 0x3F}, {29, 8, 0x7F}, {42, 8, 0xBF}, {64, 8, 0xFF},
};
enum { VLI_LEVELS = sizeof vli_levels / sizeof *vli_levels };

static uint64_t low_bits(unsigned count)
{
    return count == WORD_BITS ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

/* Up to 64 bits from bit `position` on, zeros beyond `end`. */
static uint64_t peek(const uint8_t *code, uint64_t position, uint64_t end)
{
    uint64_t value = 0;
    unsigned got = 0;

    while (got < WORD_BITS && position + got < end) {
        unsigned shift = (position + got) % 8;

        value |= (uint64_t)(code[(position + got) / 8] >> shift) << got;
        got += 8 - shift;
    }
    if (end - position < WORD_BITS)
        value &= low_bits((unsigned)(end - position));
    return value;
}

uint64_t vli_decode(const uint8_t *code, uint64_t *position, uint64_t end)
{
    uint64_t value, adjust = 1;

    if (*position >= end)
        return 0;
    value = peek(code, *position, end);
    for (unsigned i = 0; i < VLI_LEVELS; i++) {
        const struct vli_level *level = &vli_levels[i];
        unsigned data_bits = level->total - level->prefix_bits;

        if ((value & low_bits(level->prefix_bits)) == level->prefix) {
            if (level->total > end - *position)
                return 0;
            *position += level->total;
            return (value >> level->prefix_bits & low_bits(data_bits)) + adjust;
        }
        adjust += UINT64_C(1) << data_bits;
    }
    return 0;
}

bool vli_encode(uint8_t *code, uint64_t *position, uint64_t end, uint64_t run)
{
    uint64_t adjust = 1;

    assert(run);
    for (unsigned i = 0; i < VLI_LEVELS; i++) {
        const struct vli_level *level = &vli_levels[i];
        unsigned data_bits = level->total - level->prefix_bits;
        uint64_t value;

        if (run - adjust > low_bits(data_bits)) {
            adjust += UINT64_C(1) << data_bits;
            continue;
        }
        if (*position > end || level->total > end - *position)
            return false;
        value = (run - adjust) << level->prefix_bits | level->prefix;
        for (unsigned bit = 0; bit < level->total; bit++, ++*position)
            code[*position / 8] |= (uint8_t)((value >> bit & 1) << *position % 8);
        return true;
    }
    return false;
}

size_t dirty_map_encode(const struct dirty_map *map, uint64_t *word, uint8_t *out,
                        size_t room_words)
{
    uint64_t count = map->words - *word;

    if (count > room_words)
        count = room_words;
    if (count > DIRTY_MAP_WORDS_MAX)
        count = DIRTY_MAP_WORDS_MAX;
    memcpy(out, map->bytes + *word * 8, count * 8);
    *word += count;
    return count * 8;
}

int dirty_map_receive_plain(struct dirty_map *map, struct dirty_map_receive *receive,
                            const uint8_t *payload, size_t length, size_t full_words)
{
    /* After compressed packets the position may lie within a word: that word comes whole. */
    uint64_t word = receive->bit / WORD_BITS, count;

    if (receive->done)
        return -EPROTO;
    if (receive->bit == map->bits) {
        if (length)
            return -EPROTO;
        receive->done = true;
        return 0;
    }
    count = map->words - word;
    if (count > full_words)
        count = full_words;
    if (length != count * 8)
        return -EPROTO;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t theirs = get_le64(payload + i * 8), mine = get_le64(map->bytes + (word + i) * 8);
        uint64_t left = map->bits - (word + i) * WORD_BITS;

        if (left < WORD_BITS)
            theirs &= low_bits((unsigned)left);
        theirs &= ~mine;
        if (!theirs)
            continue;
        put_le64(map->bytes + (word + i) * 8, mine | theirs);
        dirty_map_page_mark(map, (word + i) * 8 / DIRTY_MAP_PAGE);
        map->set += (uint64_t)__builtin_popcountll(theirs);
        receive->merged += (uint64_t)__builtin_popcountll(theirs);
    }
    receive->bit = (word + count) * WORD_BITS;
    if (receive->bit > map->bits)
        receive->bit = map->bits;
    return 0;
}

int dirty_map_receive_compressed(struct dirty_map *map, struct dirty_map_receive *receive,
                                 const uint8_t *payload, size_t length)
{
    uint64_t position = 0, end;
    bool set;

    if (receive->done || length < 2)
        return -EPROTO;
    if ((payload[0] & ENCODING_KIND) != ENCODING_RLE_VLI)
        return -EOPNOTSUPP;
    end = (length - 1) * 8 - (payload[0] >> ENCODING_PAD_SHIFT & ENCODING_PAD);
    set = payload[0] & ENCODING_FIRST_SET;
    while (position < end) {
        uint64_t run = vli_decode(payload + 1, &position, end);

        if (!run || run > map->bits - receive->bit)
            return -EPROTO;
        if (set)
            receive->merged += dirty_map_set_bits(map, receive->bit, run);
        receive->bit += run;
        set = !set;
    }
    receive->done = receive->bit == map->bits;
    return 0;
}
