/* UNMAP (SBC-3 5.28). The row has no LBA, so the lanes cannot see its ranges; each range is
 * therefore taken as an exclusive one while it is unmapped, which orders it against COMPARE AND
 * WRITE. task->step: the next descriptor. */
#include <assert.h>

#include "target/base/bytes.h"
#include "target/device/disk.h"
#include "target/device/disk_io.h"
#include "target/device/unmap_list.h"

enum {
    UNMAP_LIST_LENGTH = 7, /* CDB: PARAMETER LIST LENGTH, 2 bytes */
    UNMAP_HEADER = 8,
};

enum scsi_reason disk_decode_unmap(struct task *task, uint64_t *length)
{
    if (!task->lu->config.thin)
        return REASON_INVALID_OPCODE;
    if (*length && *length < UNMAP_HEADER)
        return REASON_PARAMETER_LIST_LENGTH;
    return REASON_GOOD;
}

/* A parameter list is at most 65535 bytes, so it lies in one segment. */
static const uint8_t *list_of(const struct task *task)
{
    assert(task->data_out.count <= 1);
    return task->data_out.count ? task->data_out.iov[0].iov_base : NULL;
}

static enum scsi_reason check(struct task *task)
{
    struct unmap_limits limits = {
        .capacity = task->lu->blocks,
        .blocks = LIMIT_UNMAP / task->lu->block_size,
        .descriptors = LIMIT_UNMAP_DESCRIPTORS,
    };
    uint16_t field = 0;
    enum scsi_reason reason =
        unmap_list_check(list_of(task), task->data_out.length, &limits, &field);

    return reason == REASON_INVALID_FIELD_IN_PARAMETERS ? field_in_parameters(task, field, -1)
                                                        : reason;
}

/* From here on the task has no range of the medium. */
static void release_range(struct task *task)
{
    lane_exclusive_end(task);
    task->lba = 0;
    task->blocks = 0;
}

static bool next_range(struct task *task);

/* Was a range unmapped before the one at hand? */
static bool has_begun(const struct task *task)
{
    for (unsigned i = 0; i + 1 < task->step; i++)
        if (unmap_list_range(list_of(task), i).blocks)
            return true;
    return false;
}

static void range_unmapped(struct store_io *io, int error)
{
    struct task *task = disk_task(io);
    enum scsi_reason reason = disk_outcome(task, error, true);

    /* Others may have written to that since: it is not unmapped twice. */
    if (reason == REASON_NOT_BEGUN && has_begun(task))
        reason = REASON_NOT_READY_TRANSITION;
    release_range(task);
    if (reason != REASON_GOOD)
        disk_end(task, reason);
    else if (next_range(task))
        return;
    else if (disk_write_through(task))
        disk_submit_flush(task, disk_written);
    else
        disk_end(task, REASON_GOOD);
}

static void range_granted(struct task *task)
{
    enum scsi_reason reason = disk_outcome(task, 0, true);

    if (reason == REASON_GOOD)
        reason = disk_ready(task);
    if (reason != REASON_GOOD) {
        release_range(task);
        disk_end(task, reason);
        return;
    }
    disk_submit(task, STORE_UNMAP, 0, disk_offset(task), disk_length(task), NULL, 0,
                range_unmapped);
}

/* Begins with the next descriptor that is not empty; false when there is none. */
static bool next_range(struct task *task)
{
    unsigned count = unmap_list_count(list_of(task), task->data_out.length);

    while (task->step < count) {
        struct unmap_range range = unmap_list_range(list_of(task), (unsigned)task->step++);

        if (range.blocks) {
            task->lba = range.lba;
            task->blocks = range.blocks;
            lane_exclusive_begin(task, range_granted);
            return true;
        }
    }
    return false;
}

enum scsi_reason disk_unmap(struct task *task)
{
    enum scsi_reason reason = disk_ready(task);

    if (reason == REASON_GOOD)
        reason = check(task);
    if (reason != REASON_GOOD)
        return reason;
    task->step = 0;
    return next_range(task) ? REASON_PENDING : REASON_GOOD;
}
