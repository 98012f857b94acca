/* What the initiator was told: for every block the number of the last write that was acknowledged. A
 * block on disk carries its own number, so that a read proves which write it shows. */
#ifndef HALUN_TESTS_LEDGER_H
#define HALUN_TESTS_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

enum { LEDGER_BLOCK = 4096 };

struct ledger {
    uint32_t blocks;
    uint64_t *acknowledged; /* write number by block; 0 = never written */
    uint64_t *issued;       /* newest write number that was sent */
    bool *busy;             /* a write is in flight: at most one per block */
    uint64_t next;          /* write number */
    uint64_t run;           /* distinguishes runs on the same disk */
};

/* A ledger for `blocks` blocks. Returns 0 or -ENOMEM. */
int ledger_init(struct ledger *ledger, uint32_t blocks, uint64_t run);
void ledger_done(struct ledger *ledger);
/* Fills a block with what write `number` of `block` must look like. */
void ledger_fill(const struct ledger *ledger, uint32_t block, uint64_t number, uint8_t *data);
/* The write number that a block read from disk carries; 0: zeros (never written); UINT64_MAX: torn,
 * foreign or damaged content. */
uint64_t ledger_read(const struct ledger *ledger, uint32_t block, const uint8_t *data);

#endif
