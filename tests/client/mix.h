/* The random mix of the initiators: which operation comes next, its CDB and parameter list, and what an
 * answer means, as an operation of a history (tests/history/history.h). No session and no clock. */
#ifndef HALUN_TESTS_MIX_H
#define HALUN_TESTS_MIX_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/client/ledger.h"
#include "tests/history/history.h"

enum {
    MIX_INITIATORS = 8,
    MIX_PORTS = 4,
    MIX_NEXUSES = MIX_INITIATORS * MIX_PORTS,
    MIX_LUS = 8,
    MIX_BLOCKS = 8,                  /* of LEDGER_BLOCK bytes, per unit: few, so that nexuses meet */
    MIX_OUT = 2 * LEDGER_BLOCK,      /* most that a command sends: COMPARE AND WRITE */
    MIX_IN = LEDGER_BLOCK,           /* most that a command reads */
    MIX_MODE_PAGE = 0x14,
};

/* What the initiators believe: it makes most operations meaningful, and nothing depends on it. */
struct mix {
    unsigned initiators, ports, lus;
    const char *names[MIX_INITIATORS];
    const char *isids[MIX_INITIATORS]; /* "0x400000010000" */
    uint64_t seed;
    struct ledger ledger; /* the pattern of blocks; its block number is lu * MIX_BLOCKS + block */
    uint64_t keys[MIX_LUS][MIX_NEXUSES];
    uint8_t types[MIX_LUS];
    uint64_t values[MIX_LUS][MIX_BLOCKS]; /* newest value seen */
    uint32_t generation[MIX_LUS];         /* PRgeneration where the history began */
    uint8_t caching[MIX_LUS][MIX_MODE_PAGE], control[MIX_LUS][MIX_MODE_PAGE];
};

/* A command to be sent. kind MODEL_LU_RESET has no CDB: it is a task management function. */
struct mix_command {
    uint8_t cdb[16];
    unsigned cdb_length, out, in; /* out, in: bytes */
    uint8_t data[MIX_OUT];
};

/* Names and ISIDs of the initiator ports; ports = target ports, numbered by RTPI - 1. Returns 0 or -ENOMEM. */
int mix_init(struct mix *mix, unsigned initiators, unsigned ports, unsigned lus, uint64_t seed);
void mix_done(struct mix *mix);
uint64_t mix_random(struct mix *mix);
/* Draws the next operation of a nexus on a unit: fills in *op, whose lu, nexus and call are set, and the
 * command. */
void mix_draw(struct mix *mix, struct history_op *op, struct mix_command *command);
/* Single commands, for the beginning of a history. */
void mix_write(struct mix *mix, unsigned block, struct history_op *op, struct mix_command *command);
void mix_pr_out(const struct mix *mix, const struct model_op *op, struct mix_command *command);
void mix_read_keys(struct mix_command *command);
void mix_mode_sense(uint8_t page, struct mix_command *command);
void mix_mode_select(const struct mix *mix, unsigned lu, unsigned pages, const struct shared_mode *mode,
                     struct mix_command *command);
/* The page of a MODE SENSE(10) answer is what later MODE SELECTs begin with. Returns 0, or -1: no such page. */
int mix_mode_page(struct mix *mix, unsigned lu, uint8_t page, const uint8_t *in, unsigned length);
/* Takes over what a GOOD answer says. Returns NULL, or what is wrong with the answer by itself (a damaged
 * block, a nexus that nobody knows). */
const char *mix_answer(struct mix *mix, struct history_op *op, const uint8_t *in, unsigned length);

#endif
