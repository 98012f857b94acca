/* The dirty map (DRBD: bitmap): one bit per 4 KiB block of data, set = the copies may differ. In
 * memory as on disk and on the wire: bytes in order, bit 0 is the lowest bit of byte 0
 * (little-endian words). Pure, over the caller's memory; used by one thread (the replica's home).
 *
 * In memory it is authoritative. Each 4 KiB page (128 MiB of data) remembers whether it differs
 * from the disk; the engine writes dirty pages when the activity log evicts, lazily, at the end of
 * a resync, on disconnect, demote and detach. */
#ifndef HALUN_REPLICATION_DIRTY_MAP_H
#define HALUN_REPLICATION_DIRTY_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DIRTY_MAP_BLOCK_SECTORS = 8, /* sectors per bit */
    DIRTY_MAP_PAGE = 4096,       /* bytes per page */
    DIRTY_MAP_PAGE_BITS = DIRTY_MAP_PAGE * 8,
    DIRTY_MAP_WORDS_MAX = 510, /* words of one plain P_BITMAP with the h100 header (4080 bytes) */
};
#define DIRTY_MAP_END UINT64_MAX /* "no such bit / page" */

struct dirty_map {
    uint64_t sectors;     /* size of the data */
    uint64_t bits;        /* blocks, the last may be partial */
    uint64_t set;         /* bits that are set */
    uint64_t words;       /* 64-bit words that travel: bits rounded up to 64, / 64 */
    uint64_t pages;       /* 4 KiB pages */
    uint8_t *bytes;       /* pages x DIRTY_MAP_PAGE, caller's; bits beyond `bits` are always 0 */
    uint64_t *page_dirty; /* one bit per page, caller's */
};

/* Memory for a map of `sectors` sectors: bytes for `bytes` (whole pages), 64-bit words for
 * `page_dirty`. */
uint64_t dirty_map_bytes(uint64_t sectors);
uint64_t dirty_map_page_words(uint64_t sectors);

/* Starts over memory that already holds a map as read from disk (or zeros). `bytes` must be aligned
 * for uint64_t. Bits beyond the end are cleared (their page becomes dirty then), the rest is
 * counted; other pages start clean. Call it again after growing (in new memory, old contents
 * copied, rest zero). */
void dirty_map_init(struct dirty_map *map, uint64_t sectors, uint8_t *bytes, uint64_t *page_dirty);

/* Sets every block that sectors [sector, sector + count) touch. Range must lie within the data.
 * Returns how many bits were newly set. */
uint64_t dirty_map_set(struct dirty_map *map, uint64_t sector, uint64_t count);
/* Clears the blocks that lie completely within the range; the device's last, partial block counts
 * as complete when the range reaches the end. Returns how many bits were newly cleared. */
uint64_t dirty_map_clear(struct dirty_map *map, uint64_t sector, uint64_t count);
void dirty_map_set_all(struct dirty_map *map);
void dirty_map_clear_all(struct dirty_map *map);
/* Sets / clears bits [first, first + count); within the map. Return the number changed. */
uint64_t dirty_map_set_bits(struct dirty_map *map, uint64_t first, uint64_t count);
uint64_t dirty_map_clear_bits(struct dirty_map *map, uint64_t first, uint64_t count);
/* Sets all bits of activity log extent `extent` (4 MiB); beyond the end: nothing. */
uint64_t dirty_map_set_extent(struct dirty_map *map, uint32_t extent);

bool dirty_map_test(const struct dirty_map *map, uint64_t bit);
/* Set bits among [first, first + count), cut at the end of the map. */
uint64_t dirty_map_count(const struct dirty_map *map, uint64_t first, uint64_t count);
/* Any bit set under the sector range? (rounds outward) */
bool dirty_map_any(const struct dirty_map *map, uint64_t sector, uint64_t count);
/* First set bit at or after `from`, or DIRTY_MAP_END. */
uint64_t dirty_map_find(const struct dirty_map *map, uint64_t from);
/* Length of the run of set bits starting at `from`, at most `most`; 0 if that bit is clear. */
uint64_t dirty_map_run(const struct dirty_map *map, uint64_t from, uint64_t most);

/* First page at or after `from` that differs from the disk, or DIRTY_MAP_END. */
uint64_t dirty_map_page_find(const struct dirty_map *map, uint64_t from);
bool dirty_map_page_is_dirty(const struct dirty_map *map, uint64_t page);
/* Marks a page clean when its write is *submitted from a copy* (a bit set later makes it dirty
 * again), or dirty again when that write failed. */
void dirty_map_page_clean(struct dirty_map *map, uint64_t page);
void dirty_map_page_mark(struct dirty_map *map, uint64_t page);
/* The 4096 bytes of a page, to be copied and written at page x 4096 of the metadata's bitmap. */
const uint8_t *dirty_map_page(const struct dirty_map *map, uint64_t page);

/* --- exchange of maps (P_BITMAP, P_COMPRESSED_BITMAP): `position` walks over the map on each side
 * --- */

/* Plain encode: copies the next words from *word on to `out` (at most `room_words`, at most 510),
 * moves *word, returns the bytes written; 0 = all sent (then send the empty packet that ends it).
 */
size_t dirty_map_encode(const struct dirty_map *map, uint64_t *word, uint8_t *out,
                        size_t room_words);

/* Receiving. `bit` is where the next packet continues (always a multiple of 64 in plain packets
 * except at the end); start with 0. */
struct dirty_map_receive {
    uint64_t bit;
    uint64_t merged; /* bits newly set here by OR-ing */
    bool done;       /* the sequence is complete */
};

/* ORs one plain packet's payload in. Its length must be exactly min(510 words, what is missing), or
 * 0 once all words have come (that ends the sequence). `full_words` is what one packet carries at
 * most: 510 with h100. Returns 0, or -EPROTO. */
int dirty_map_receive_plain(struct dirty_map *map, struct dirty_map_receive *receive,
                            const uint8_t *payload, size_t length, size_t full_words);
/* ORs one compressed packet in (encoding byte first). The sequence ends when all bits are covered,
 * without an empty packet. Returns 0, -EPROTO (bad code, runs beyond the end, wrong padding), or
 * -EOPNOTSUPP for an unknown encoding. */
int dirty_map_receive_compressed(struct dirty_map *map, struct dirty_map_receive *receive,
                                 const uint8_t *payload, size_t length);

/* Reads one VLI code from `bits_left` bits starting at bit *position of `code` (lowest bit first).
 * Returns the run length (>= 1) and moves *position, or 0 when the code is cut short or overflows.
 */
uint64_t vli_decode(const uint8_t *code, uint64_t *position, uint64_t end);
/* Writes the code of `run` (>= 1) at bit *position of `code` (which must be zero there); `end` is
 * the number of bits there is room for. Returns false when it does not fit. */
bool vli_encode(uint8_t *code, uint64_t *position, uint64_t end, uint64_t run);

#endif
