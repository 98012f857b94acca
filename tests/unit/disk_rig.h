/* Runs the disk rows without the command layer: a unit over a memory store that is watched, a real
 * reactor, and doubles for what the handlers call above them. */
#ifndef HALUN_TESTS_DISK_RIG_H
#define HALUN_TESTS_DISK_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "target/command/command.h"
#include "target/device/device.h"

enum { RIG_BYTES = 80 << 20, RIG_NEVER = 0xffffffff };

struct rig {
    struct reactor reactor;
    struct lu *lu;
    struct lane *lane;
    struct group_lane group;
    struct store *memory; /* what keeps the blocks */
    struct store spy;     /* what the unit sees */
    struct task task;
    struct payload hold; /* memory a test took from the pool */

    /* What the spy saw since rig_forget(). */
    unsigned submitted; /* operations, all kinds */
    unsigned operations[STORE_UNMAP + 1];
    unsigned with_fua; /* of them, with STORE_FUA */
    /* What it does: operation number (from 0) to fail, and to mark the task aborted at. */
    unsigned fail_at, abort_at;
    int fail_error;

    /* How the last command ended. */
    bool completed;
    unsigned exclusive_begun, exclusive_ended;
    bool stray;  /* its CDB did not pass the mask */
    uint8_t *in; /* data-in, data_in_length bytes */
    size_t in_length;
    bool abort_before_grant;
};

/* A unit of 512 or 4096 byte blocks, thin, WCE = 1, with a volatile cache. */
struct rig *rig_new(uint32_t block_size);
void rig_free(struct rig *rig);
/* Forgets what the spy saw and what it was told to do. */
void rig_forget(struct rig *rig);

/* Runs one CDB to its end: mask, decoding, hook, range and limit checks as the command layer makes
 * them, then the handler. `out`/`out_length`: what the initiator sends; `expected_in`: its room. */
enum scsi_reason rig_run(struct rig *rig, const uint8_t *cdb, const void *out, size_t out_length,
                         uint32_t expected_in);
/* The same for a CDB with LBA and count where `opcode`'s row has them; byte 1 is `flags`. */
enum scsi_reason rig_blocks(struct rig *rig, uint8_t opcode, uint8_t flags, uint64_t lba,
                            uint64_t count, const void *out, size_t out_length,
                            uint32_t expected_in);
/* The row of an opcode. */
const struct scsi_command *rig_row(uint8_t opcode, uint8_t byte1);

/* Straight to and from the medium. */
void rig_poke(struct rig *rig, uint64_t offset, const void *data, size_t length);
void rig_peek(struct rig *rig, uint64_t offset, void *data, size_t length);
/* `length` bytes that differ from place to place and from seed to seed; never zero. */
void rig_pattern(uint8_t *data, size_t length, unsigned seed);

#endif
