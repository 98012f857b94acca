/* What the disk handlers share: the store below, stability, outcomes, comparing. All on the task's
 * reactor. Private to target/device. */
#ifndef HALUN_DEVICE_DISK_IO_H
#define HALUN_DEVICE_DISK_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "target/base/container.h"
#include "target/command/command.h"
#include "target/device/device.h"

enum {
    DISK_CHUNK = 256 << 10, /* bytes that commands with a hidden read hold at a time */
    DISK_DPO = 0x10,        /* CDB byte 1: a hint about caching; accepted, not followed */
    DISK_FUA = 0x08,        /* CDB byte 1 */
    DISK_FUA_NV = 0x02,     /* CDB byte 1, SBC-2; there is no non-volatile cache, so it means FUA */
};

static inline struct task *disk_task(struct store_io *io)
{
    return container_of(io, struct task, io);
}

/* Bytes of the task's blocks. */
static inline uint64_t disk_length(const struct task *task)
{
    return task->blocks * task->lu->block_size;
}

static inline uint64_t disk_offset(const struct task *task)
{
    return task->lba * task->lu->block_size;
}

/* Whole blocks that have arrived, in bytes: less than asked for when the initiator offered less. */
static inline uint64_t disk_arrived(const struct task *task)
{
    return task->data_out.length - task->data_out.length % task->lu->block_size;
}

/* May this task go to the store? GOOD, or why not: no store here, or one that is too short for the
 * capacity that the cluster agreed on. First thing in a handler. */
enum scsi_reason disk_ready(const struct task *task);

/* Must writes of this task be on stable storage before they are answered: by the CDB's FUA, or
 * because the mode parameters say write-through (WCE = 0)? STORE_FUA or 0. */
unsigned disk_stability(const struct task *task, bool fua);
/* The same of commands that have no FUA bit: is a flush needed before GOOD? */
bool disk_write_through(const struct task *task);
/* Must a reader of the medium itself (READ with FUA, VERIFY) flush first? */
bool disk_cache_is_ahead(const struct task *task);

/* Hands task->io to the store; `done` is called later on this reactor. */
void disk_submit(struct task *task, enum store_operation operation, unsigned flags, uint64_t offset,
                 uint64_t length, const struct iovec *iov, unsigned iov_count,
                 void (*done)(struct store_io *io, int error));
/* Reads or writes `length` bytes at medium offset `offset` from or to `payload` at `at`. */
void disk_submit_slice(struct task *task, enum store_operation operation, unsigned flags,
                       uint64_t offset, const struct payload *payload, size_t at, size_t length,
                       void (*done)(struct store_io *io, int error));
void disk_submit_flush(struct task *task, void (*done)(struct store_io *io, int error));

/* What a step came to: GOOD (go on), or why the task ends here: an error, or it was aborted. */
enum scsi_reason disk_outcome(const struct task *task, int error, bool write);
/* A done() for last steps: completes the task. */
void disk_written(struct store_io *io, int error);

/* Memory for `length` bytes (0..LIMIT_TRANSFER), not zeroed, in task->data_in. GOOD or
 * TASK_SET_FULL. */
enum scsi_reason disk_memory(struct task *task, uint64_t length);
/* Gives memory back that was not meant for the initiator, and completes the task. */
void disk_end(struct task *task, enum scsi_reason reason);

/* Are `n` bytes of both payloads equal, from offsets `a_at` and `b_at`? If not, *first is the
 * offset of the first difference, from 0. Pure. */
bool disk_equal(const struct payload *a, size_t a_at, const struct payload *b, size_t b_at,
                size_t n, size_t *first);
/* *to |= *from over `n` bytes. Pure. */
void disk_or(struct payload *to, size_t to_at, const struct payload *from, size_t from_at,
             size_t n);

#endif
