/* WRITE SAME (SBC-3 5.44, 5.45). Zeros are cleared or, with UNMAP, given back by the store; any
 * other block is multiplied in one segment that the store is shown many times. task->step: bytes
 * written. */
#include <assert.h>
#include <string.h>

#include "target/device/disk.h"
#include "target/device/disk_io.h"

enum {
    SAME_UNMAP = 0x08, /* CDB byte 1 */
    SAME_NDOB = 0x01,  /* CDB byte 1 of WRITE SAME(16): no data-out buffer, zeros are meant */
    SAME_SEGMENTS = 16,
};

enum scsi_reason disk_decode_write_same(struct task *task, uint64_t *length)
{
    *length = task->cdb[1] & SAME_NDOB ? 0 : task->lu->block_size;
    if (task->cdb[1] & SAME_UNMAP && !task->lu->config.thin)
        return field_in_cdb(task, 1, 3);
    /* WSNZ is set in VPD page B0: 0 does not mean "up to the end" here. */
    if (!task->blocks || disk_length(task) > LIMIT_WRITE_SAME)
        return field_in_cdb(task, task->command->count.offset, -1);
    /* Exactly one block: with less there is nothing to write, with more the initiator means another
     * command than the CDB. */
    if (*length && task->expected_out != *length)
        return REASON_INVALID_FIELD_IN_CDB;
    return REASON_GOOD;
}

static bool is_zero(const uint8_t *block, size_t n)
{
    return !block[0] && !memcmp(block, block + 1, n - 1);
}

static void unmapped(struct store_io *io, int error)
{
    struct task *task = disk_task(io);

    if (!error && !task->aborted && disk_write_through(task))
        disk_submit_flush(task, disk_written);
    else
        disk_written(io, error);
}

static void same_next(struct task *task);

static void same_written(struct store_io *io, int error)
{
    struct task *task = disk_task(io);
    enum scsi_reason reason = disk_outcome(task, error, true);

    /* A second time from its start would be another write: others may have written over the first one. */
    if (reason == REASON_NOT_BEGUN && task->step)
        reason = REASON_NOT_READY_TRANSITION;
    task->step += io->length;
    if (reason != REASON_GOOD || task->step == disk_length(task))
        disk_end(task, reason);
    else
        same_next(task);
}

static void same_next(struct task *task)
{
    const struct iovec *segment = &task->data_in.iov[0];
    uint64_t left = disk_length(task) - task->step, length = 0;
    unsigned count;

    for (count = 0; count < SAME_SEGMENTS && length < left; count++) {
        task->iov[count] = *segment;
        if (left - length < segment->iov_len)
            task->iov[count].iov_len = left - length;
        length += task->iov[count].iov_len;
    }
    disk_submit(task, STORE_WRITE, disk_stability(task, false), disk_offset(task) + task->step,
                length, task->iov, count, same_written);
}

static enum scsi_reason multiply(struct task *task, const uint8_t *block)
{
    uint64_t length = disk_length(task);
    uint32_t size = task->lu->block_size;
    enum scsi_reason reason =
        disk_memory(task, length < SEGMENT_LARGE ? length : (uint64_t)SEGMENT_LARGE);
    uint8_t *to;

    if (reason != REASON_GOOD)
        return reason;
    assert(task->data_in.count == 1); /* so little comes in one piece */
    to = task->data_in.iov[0].iov_base;
    for (size_t at = 0; at < task->data_in.iov[0].iov_len; at += size)
        memcpy(to + at, block, size);
    return REASON_GOOD;
}

enum scsi_reason disk_write_same(struct task *task)
{
    enum scsi_reason reason = disk_ready(task);
    const uint8_t *block = NULL;

    if (reason != REASON_GOOD)
        return reason;
    if (!(task->cdb[1] & SAME_NDOB)) {
        if (!disk_arrived(task))
            return REASON_INVALID_FIELD_IN_CDB;
        block = task->data_out.iov[0].iov_base;
    }
    if (!block || is_zero(block, task->lu->block_size)) {
        /* Unmapped blocks read as zeros here (LBPRZ), so UNMAP may give them back. */
        if (task->cdb[1] & SAME_UNMAP)
            disk_submit(task, STORE_UNMAP, 0, disk_offset(task), disk_length(task), NULL, 0,
                        unmapped);
        else
            disk_submit(task, STORE_ZERO, disk_stability(task, false), disk_offset(task),
                        disk_length(task), NULL, 0, disk_written);
        return REASON_PENDING;
    }
    reason = multiply(task, block);
    if (reason != REASON_GOOD)
        return reason;
    task->step = 0;
    same_next(task);
    return REASON_PENDING;
}
