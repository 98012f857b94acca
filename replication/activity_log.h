/* The activity log of a volume: which 4 MiB extents may hold writes in flight, so that a crashed
 * Primary knows what to compare. A write may go to the local disk only when every extent it touches
 * is in the active set *and* that is durable. Pure: memory is given at creation, I/O is the
 * caller's.
 *
 * The engine's way (one thread, the replica's home): al_begin() a request's extents.
 *
 * AL_READY: go on, the extents are hot and durable.
 *
 * AL_WAIT: references are held. Queue the request until al_durable(al, ticket), and see to it that
 * transactions run: whenever none is in flight and al_pending(al), al_transaction_build(); write
 * those of t.pages[] that are dirty and wait; write the block at AL block number t.position with
 * FUA (or flushes before and after) and wait; al_transaction_done(); start what became durable;
 * look again.
 *
 * AL_BUSY: nothing is held, no slot can be evicted. Queue it *and everything after it* until the
 * next al_end() or al_transaction_done(), then try again (first come, first served).
 *
 * al_end() once for each request that was READY or WAIT, when it is complete locally and the peer
 * has acknowledged its barrier (or its blocks were marked out of sync).
 *
 * A failed transaction write is a failed disk: detach, the log's state in memory is then
 * meaningless. */
#ifndef HALUN_REPLICATION_ACTIVITY_LOG_H
#define HALUN_REPLICATION_ACTIVITY_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    AL_BLOCK = 4096,
    AL_EXTENT_SHIFT = 13,     /* sector >> 13 = extent: 4 MiB */
    AL_EXTENT_BITS = 1024,    /* bits of the dirty map per extent */
    AL_EXTENTS_PER_PAGE = 32, /* extents per 4 KiB page of the map */
    AL_UPDATES = 64,          /* updates one transaction carries */
    AL_CONTEXT = 919,         /* slots one transaction's context window carries */
    AL_SLOTS_MIN = 67,
    AL_SLOTS_MAX = 65534,
    AL_SLOTS_DEFAULT = 1237,
    AL_IO_EXTENTS = 32, /* extents one request may touch */
};
#define AL_NO_EXTENT UINT32_C(0xFFFFFFFF)

struct activity_log;

enum al_answer { AL_READY, AL_WAIT, AL_BUSY };

/* Largest number of slots for a log of `blocks` blocks. */
unsigned al_slots_max(uint32_t blocks);

/* Bytes of memory an activity log with `slots` slots (AL_SLOTS_MIN..AL_SLOTS_MAX) needs. */
size_t al_memory(unsigned slots);

/* Makes an empty log in `memory` (al_memory(slots) bytes, aligned for uint64_t; owned by the
 * caller, the returned pointer lies in it). The ring on disk must be freshly initialised
 * (al_block_initial()). Geometry as in metadata_layout; slots <= al_slots_max(). `first` is the
 * number of the first transaction, normally 0. */
struct activity_log *al_init(void *memory, unsigned slots, uint32_t stripes, uint32_t stripe_blocks,
                             uint32_t first);

/* First and last extent of `count` (> 0) sectors from `sector`. */
static inline uint32_t al_extent(uint64_t sector)
{
    return (uint32_t)(sector >> AL_EXTENT_SHIFT);
}

/* See above. first <= last, last - first < AL_UPDATES (the callers split at AL_IO_EXTENTS). *ticket
 * is written for AL_WAIT only. */
enum al_answer al_begin(struct activity_log *al, uint32_t first, uint32_t last, uint64_t *ticket);

/* Drops the references of one al_begin() that was READY or WAIT (also a WAIT that was given up). */
void al_end(struct activity_log *al, uint32_t first, uint32_t last);

/* True when everything `ticket` stands for is on disk. */
bool al_durable(const struct activity_log *al, uint64_t ticket);

/* True when updates wait for a transaction to be built. */
bool al_pending(const struct activity_log *al);
/* True between al_transaction_build() and al_transaction_done(). */
bool al_in_flight(const struct activity_log *al);

struct al_transaction {
    uint32_t number;   /* transaction number */
    uint32_t position; /* AL block (0..blocks-1, disk order) it has to be written to */
    unsigned updates;  /* extents it makes durable; 0 = a context-only transaction */
    unsigned page_count;
    uint32_t pages[AL_UPDATES]; /* distinct pages of the dirty map that must be written first, if
                                   dirty */
};

/* Builds the next transaction from the oldest waiting updates (up to 64). None may be in flight.
 * Without waiting updates it builds a context-only one: worth writing once after attach, as
 * drbdmeta cannot replay a ring whose only transaction is torn (al_replay() can). */
void al_transaction_build(struct activity_log *al, uint8_t block[AL_BLOCK],
                          struct al_transaction *t);

/* The transaction built last is durable. */
void al_transaction_done(struct activity_log *al);

/* For status and tests: is `extent` in the set and durable; references on it; slots in use. */
bool al_is_hot(const struct activity_log *al, uint32_t extent);
unsigned al_references(const struct activity_log *al, uint32_t extent);
unsigned al_used(const struct activity_log *al);
unsigned al_slots(const struct activity_log *al);
/* Walks the set: the extent in `slot`, or AL_NO_EXTENT. Includes extents not durable yet. */
uint32_t al_slot_extent(const struct activity_log *al, unsigned slot);

/* --- the ring on disk --- */

/* Position (disk order) of transaction `number`. */
uint32_t al_position(uint32_t number, uint32_t stripes, uint32_t stripe_blocks);

/* CRC32C of a block as the log uses it: over the 4 KiB with the checksum field taken as 0;
 * reflected, seed 0, no final inversion. */
uint32_t al_checksum(const uint8_t block[AL_BLOCK]);

/* A block "initialised, empty", as every block of a fresh ring is. */
void al_block_initial(uint8_t block[AL_BLOCK]);

struct al_replay {
    unsigned slots;   /* entries of the table that may be used: 1 + highest slot seen */
    unsigned updates; /* valid transactions found */
    unsigned initial; /* blocks that are initialised and empty */
    unsigned invalid; /* torn or damaged blocks; 0 or 1 is accepted */
    uint32_t newest;  /* newest transaction's number, if updates > 0 */
};

/* Replays a ring: `ring` holds stripes x stripe_blocks blocks in disk order. `table` gets the
 * extent of each slot (AL_NO_EXTENT = free); it has AL_SLOTS_MAX entries, all of which are written.
 * Returns 0, or -EBADMSG when the ring cannot be trusted (more than one invalid block, or one that
 * is not where a torn last write would be, or contradicting contents): then everything has to be
 * taken as hot. */
int al_replay(const uint8_t *ring, uint32_t stripes, uint32_t stripe_blocks,
              uint32_t table[AL_SLOTS_MAX], struct al_replay *result);

#endif
