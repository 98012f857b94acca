/* COMPARE AND WRITE (SBC-3 5.2): alone in its range from the read to the end of the write, on all
 * reactors. An abort is answered when the write is over, never in between, so that what the
 * initiator then reads is final. */
#include "target/device/disk.h"
#include "target/device/disk_io.h"

enum {
    CAW_BLOCKS = 13, /* CDB byte: NUMBER OF LOGICAL BLOCKS */
};

enum scsi_reason disk_decode_compare_and_write(struct task *task, uint64_t *length)
{
    *length = 2 * disk_length(task);
    /* Both halves in full, or the second would not begin where the CDB says. */
    if (task->blocks > LIMIT_CAW_BLOCKS || (task->blocks && task->expected_out != *length))
        return field_in_cdb(task, CAW_BLOCKS, -1);
    return REASON_GOOD;
}

static void end(struct task *task, enum scsi_reason reason)
{
    lane_exclusive_end(task);
    disk_end(task, reason);
}

static void caw_written(struct store_io *io, int error)
{
    struct task *task = disk_task(io);
    enum scsi_reason reason = disk_outcome(task, error, true);

    /* It may have been written. "Not ready" makes initiators send it again, and it would find its own data. */
    if (reason == REASON_NOT_READY_TRANSITION)
        reason = REASON_ABORTED_COMMAND;
    end(task, reason);
}

static void caw_read(struct store_io *io, int error)
{
    struct task *task = disk_task(io);
    enum scsi_reason reason = disk_outcome(task, error, false);
    size_t length = io->length, first;
    bool fua = task->cdb[1] & (DISK_FUA | DISK_FUA_NV);

    if (reason == REASON_GOOD &&
        !disk_equal(&task->data_in, 0, &task->data_out, 0, length, &first)) {
        sense_information(task, first);
        reason = REASON_MISCOMPARE;
    }
    if (reason != REASON_GOOD) {
        end(task, reason);
        return;
    }
    disk_submit_slice(task, STORE_WRITE, disk_stability(task, fua), disk_offset(task),
                      &task->data_out, length, length, caw_written);
}

static void caw_granted(struct task *task)
{
    enum scsi_reason reason = disk_outcome(task, 0, false);

    if (reason == REASON_GOOD)
        reason = disk_memory(task, disk_length(task));
    if (reason != REASON_GOOD) {
        end(task, reason);
        return;
    }
    disk_submit_slice(task, STORE_READ, 0, disk_offset(task), &task->data_in, 0, disk_length(task),
                      caw_read);
}

enum scsi_reason disk_compare_and_write(struct task *task)
{
    enum scsi_reason reason = disk_ready(task);

    if (reason != REASON_GOOD || !task->blocks)
        return reason;
    if (task->data_out.length < 2 * disk_length(task))
        return field_in_cdb(task, CAW_BLOCKS, -1);
    lane_exclusive_begin(task, caw_granted);
    return REASON_PENDING;
}
