/* VERIFY and WRITE AND VERIFY (SBC-3 5.31..5.34, 5.41..5.43): the medium is read back in chunks,
 * and compared where the CDB says so. task->step: bytes verified. */
#include "target/device/disk.h"
#include "target/device/disk_io.h"

enum bytchk {
    BYTCHK_NONE = 0,
    BYTCHK_EACH = 1, /* every block against the data sent */
    BYTCHK_RESERVED = 2,
    BYTCHK_ONE = 3,  /* every block against the one block sent; VERIFY only */
    BYTCHK_BYTE = 1, /* where it stands in the CDB */
    BYTCHK_BIT = 2,  /* its left bit */
};

static unsigned bytchk(const struct task *task)
{
    return task->cdb[BYTCHK_BYTE] >> 1 & 3;
}

enum scsi_reason disk_decode_verify(struct task *task, uint64_t *length)
{
    /* MAXIMUM TRANSFER LENGTH counts for VERIFY even when it moves no data (SBC-3 6.5.3). */
    if (disk_length(task) > LIMIT_TRANSFER)
        return field_in_cdb(task, task->command->count.offset, -1);
    switch (bytchk(task)) {
    case BYTCHK_NONE:
        *length = 0;
        return REASON_GOOD;
    case BYTCHK_EACH:
        *length = disk_length(task);
        return REASON_GOOD;
    case BYTCHK_ONE:
        *length = task->blocks ? task->lu->block_size : 0;
        /* Nothing to compare with: GOOD would be a lie. */
        if (task->expected_out < *length)
            return field_in_cdb(task, BYTCHK_BYTE, BYTCHK_BIT);
        return REASON_GOOD;
    default:
        return field_in_cdb(task, BYTCHK_BYTE, BYTCHK_BIT);
    }
}

/* Bytes to verify: with data, what of it arrived. */
static uint64_t verify_length(const struct task *task)
{
    if (task->command->flags & COMMAND_WRITES || bytchk(task) == BYTCHK_EACH)
        return disk_arrived(task);
    return disk_length(task);
}

/* Do `n` bytes read into data_in, from byte task->step of the range on, equal what was sent? */
static bool as_sent(const struct task *task, size_t n)
{
    uint32_t block = task->lu->block_size;
    size_t first;

    if (bytchk(task) == BYTCHK_NONE)
        return true;
    if (bytchk(task) == BYTCHK_EACH)
        return disk_equal(&task->data_in, 0, &task->data_out, task->step, n, &first);
    for (size_t at = 0; at < n; at += block)
        if (!disk_equal(&task->data_in, at, &task->data_out, 0, block, &first))
            return false;
    return true;
}

static void verify_next(struct task *task);

static void verify_read(struct store_io *io, int error)
{
    struct task *task = disk_task(io);
    enum scsi_reason reason = disk_outcome(task, error, false);

    if (reason == REASON_GOOD && !as_sent(task, io->length))
        reason = REASON_MISCOMPARE;
    if (reason != REASON_GOOD) {
        disk_end(task, reason);
        return;
    }
    task->step += io->length;
    verify_next(task);
}

static void verify_next(struct task *task)
{
    uint64_t left = verify_length(task) - task->step;

    if (!left) {
        disk_end(task, REASON_GOOD);
        return;
    }
    disk_submit_slice(task, STORE_READ, 0, disk_offset(task) + task->step, &task->data_in, 0,
                      left < task->data_in.length ? left : task->data_in.length, verify_read);
}

static void stable_before_verify(struct store_io *io, int error)
{
    struct task *task = disk_task(io);
    enum scsi_reason reason = disk_outcome(task, error, true);

    if (reason != REASON_GOOD)
        disk_end(task, reason);
    else
        verify_next(task);
}

/* Checks and memory; GOOD with *length = 0 when there is nothing to do. */
static enum scsi_reason prepare(struct task *task, uint64_t *length)
{
    enum scsi_reason reason = disk_ready(task);

    if (reason != REASON_GOOD)
        return reason;
    task->step = 0;
    *length = verify_length(task);
    if (!*length)
        return REASON_GOOD;
    return disk_memory(task, *length < DISK_CHUNK ? *length : DISK_CHUNK);
}

enum scsi_reason disk_verify(struct task *task)
{
    uint64_t length = 0;
    enum scsi_reason reason = prepare(task, &length);

    if (reason != REASON_GOOD || !length)
        return reason;
    if (disk_cache_is_ahead(task))
        disk_submit_flush(task, stable_before_verify);
    else
        verify_next(task);
    return REASON_PENDING;
}

enum scsi_reason disk_write_and_verify(struct task *task)
{
    uint64_t length = 0;
    enum scsi_reason reason = prepare(task, &length);

    if (reason != REASON_GOOD || !length)
        return reason;
    disk_submit_slice(task, STORE_WRITE, disk_stability(task, true), disk_offset(task),
                      &task->data_out, 0, length, stable_before_verify);
    return REASON_PENDING;
}
