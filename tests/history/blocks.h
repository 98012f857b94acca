/* The ledger of acknowledged writes: what may each block hold now? For every block the writes that
 * could still be its content: the last acknowledged one, those under way beside it, those whose
 * answer was lost; and after a power cut of all that had it whatever came after the last write that
 * was promised to be on stable storage (FUA, or a later SYNCHRONIZE CACHE). What concurrent reads may
 * see in detail is linearize.h's (LINEARIZE_BLOCK). */
#ifndef HALUN_TESTS_BLOCKS_H
#define HALUN_TESTS_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blocks_write;

struct blocks {
    uint32_t count;
    struct blocks_write **writes; /* by block: a list, the newest first */
    uint64_t clock;               /* +1 at each call: order of issues and answers */
    uint32_t era;                 /* +1 at each of these power cuts */
    uint64_t cut;                 /* clock of the newest power cut */
};

/* A ledger of `count` blocks that hold the value 0, durably. Aborts when memory is short, as all
 * here do. */
void blocks_init(struct blocks *blocks, uint32_t count);
void blocks_free(struct blocks *blocks);
/* A write of `value` (unique, not 0) is sent. */
void blocks_issue(struct blocks *blocks, uint32_t block, uint64_t value, bool fua);
/* It was answered: GOOD, / without any effect (a conflict, a unit attention). */
void blocks_acknowledge(struct blocks *blocks, uint32_t block, uint64_t value);
void blocks_refused(struct blocks *blocks, uint32_t block, uint64_t value);
/* Its outcome will never be known: nothing to call, it stays possible. */

/* SYNCHRONIZE CACHE of the whole unit: take a mark when it is sent; when it is answered GOOD, what
 * was acknowledged before the mark is durable. */
uint64_t blocks_mark(struct blocks *blocks);
void blocks_synchronized(struct blocks *blocks, uint64_t mark);
/* The last copy that had all in its cache lost its power: writes under way have had their effect or
 * never will. */
void blocks_power_cut(struct blocks *blocks);
/* May the block hold this value now? */
bool blocks_may_hold(const struct blocks *blocks, uint32_t block, uint64_t value);
/* May this value be on stable storage: a write that was not followed by a flushed one? Tells nothing of what the block
 * shows meanwhile. */
bool blocks_may_be_stable(const struct blocks *blocks, uint32_t block, uint64_t value);
/* May it show neither, because power was cut while a write was not on stable storage? */
bool blocks_may_be_torn(const struct blocks *blocks, uint32_t block);
/* Nothing is under way and the block was seen to hold `value`, which it may: what was possible
 * beside it is not any more. */
void blocks_settle(struct blocks *blocks, uint32_t block, uint64_t value);
/* The values it may hold, as text: "12 (acknowledged), 13 (under way)". */
void blocks_describe(const struct blocks *blocks, uint32_t block, char *text, size_t size);

#endif
