/* ORWRITE(16) (SBC-3 5.7): like COMPARE AND WRITE alone in its range. The data sent is added to what was read, and stays
 * as it came: the command may have to be executed anew, over another content of the medium. */
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

static void orwrite_read(struct store_io *io, int error)
{
    struct task *task = disk_task(io);
    enum scsi_reason reason = disk_outcome(task, error, false);
    bool fua = task->cdb[1] & (DISK_FUA | DISK_FUA_NV);

    if (reason != REASON_GOOD) {
        end(task, reason);
        return;
    }
    disk_or(&task->data_in, 0, &task->data_out, 0, io->length);
    disk_submit_slice(task, STORE_WRITE, disk_stability(task, fua), disk_offset(task),
                      &task->data_in, 0, io->length, orwrite_written);
}

static void orwrite_granted(struct task *task)
{
    uint64_t length = disk_arrived(task);
    enum scsi_reason reason = disk_outcome(task, 0, false);

    if (reason == REASON_GOOD)
        reason = disk_memory(task, length);
    if (reason != REASON_GOOD) {
        end(task, reason);
        return;
    }
    disk_submit_slice(task, STORE_READ, 0, disk_offset(task), &task->data_in, 0, length, orwrite_read);
}

enum scsi_reason disk_orwrite(struct task *task)
{
    enum scsi_reason reason = disk_ready(task);

    if (reason != REASON_GOOD || !disk_arrived(task))
        return reason;
    lane_exclusive_begin(task, orwrite_granted);
    return REASON_PENDING;
}
