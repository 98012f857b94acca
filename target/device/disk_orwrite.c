/* ORWRITE(16) (SBC-3 5.7): like COMPARE AND WRITE alone in its range. The medium is read in chunks
 * into the data sent, then all of it is written. task->step: bytes read. */
#include "target/device/disk.h"
#include "target/device/disk_io.h"

static void end(struct task *task, enum scsi_reason reason)
{
    lane_exclusive_end(task);
    disk_end(task, reason);
}

static void orwrite_written(struct store_io *io, int error)
{
    struct task *task = disk_task(io);

    end(task, disk_outcome(task, error, true));
}

static void orwrite_next(struct task *task);

static void orwrite_read(struct store_io *io, int error)
{
    struct task *task = disk_task(io);
    enum scsi_reason reason = disk_outcome(task, error, false);

    if (reason != REASON_GOOD) {
        end(task, reason);
        return;
    }
    disk_or(&task->data_out, task->step, &task->data_in, 0, io->length);
    task->step += io->length;
    orwrite_next(task);
}

static void orwrite_next(struct task *task)
{
    uint64_t length = disk_arrived(task), left = length - task->step;
    bool fua = task->cdb[1] & (DISK_FUA | DISK_FUA_NV);

    if (left)
        disk_submit_slice(task, STORE_READ, 0, disk_offset(task) + task->step, &task->data_in, 0,
                          left < task->data_in.length ? left : task->data_in.length, orwrite_read);
    else
        disk_submit_slice(task, STORE_WRITE, disk_stability(task, fua), disk_offset(task),
                          &task->data_out, 0, length, orwrite_written);
}

static void orwrite_granted(struct task *task)
{
    uint64_t length = disk_arrived(task);
    enum scsi_reason reason = disk_outcome(task, 0, false);

    if (reason == REASON_GOOD)
        reason = disk_memory(task, length < DISK_CHUNK ? length : DISK_CHUNK);
    if (reason != REASON_GOOD) {
        end(task, reason);
        return;
    }
    task->step = 0;
    orwrite_next(task);
}

enum scsi_reason disk_orwrite(struct task *task)
{
    enum scsi_reason reason = disk_ready(task);

    if (reason != REASON_GOOD || !disk_arrived(task))
        return reason;
    lane_exclusive_begin(task, orwrite_granted);
    return REASON_PENDING;
}
