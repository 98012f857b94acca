/* READ and WRITE (SBC-3 5.10..5.14, 5.36..5.40). */
#include "target/device/disk.h"
#include "target/device/disk_io.h"

/* SBC-3 5.10: in the 6 byte CDBs 0 blocks means 256. */
enum scsi_reason disk_decode_six(struct task *task, uint64_t *length)
{
    if (!task->blocks)
        task->blocks = 256;
    *length = disk_length(task);
    return REASON_GOOD;
}

/* In the 6 byte CDBs the bits belong to the LBA. */
static bool wants_fua(const struct task *task)
{
    return task->command->length > 6 && task->cdb[1] & (DISK_FUA | DISK_FUA_NV);
}

static void read_done(struct store_io *io, int error)
{
    struct task *task = disk_task(io);
    enum scsi_reason reason = disk_outcome(task, error, false);

    if (reason == REASON_GOOD)
        task->data_in_length = (uint32_t)io->length;
    task_complete(task, reason);
}

static void read_medium(struct task *task)
{
    disk_submit_slice(task, STORE_READ, 0, disk_offset(task), &task->data_in, 0,
                      task->data_in.length, read_done);
}

static void flushed_before_read(struct store_io *io, int error)
{
    struct task *task = disk_task(io);
    enum scsi_reason reason = disk_outcome(task, error, true);

    if (reason != REASON_GOOD)
        task_complete(task, reason);
    else
        read_medium(task);
}

enum scsi_reason disk_read(struct task *task)
{
    uint64_t length = disk_length(task), room = task->expected_in;
    uint32_t block = task->lu->block_size;
    enum scsi_reason reason = disk_ready(task);

    if (reason != REASON_GOOD)
        return reason;
    /* Blocks that the initiator has no room for are not fetched. */
    room = (room + block - 1) / block * block;
    if (length > room)
        length = room;
    if (!length)
        return REASON_GOOD;
    reason = disk_memory(task, length);
    if (reason != REASON_GOOD)
        return reason;
    /* FUA: what is returned is on the medium (SBC-3 4.15). */
    if (wants_fua(task) && disk_cache_is_ahead(task))
        disk_submit_flush(task, flushed_before_read);
    else
        read_medium(task);
    return REASON_PENDING;
}

enum scsi_reason disk_write(struct task *task)
{
    uint64_t length = disk_arrived(task);
    enum scsi_reason reason = disk_ready(task);

    if (reason != REASON_GOOD || !length)
        return reason;
    disk_submit_slice(task, STORE_WRITE, disk_stability(task, wants_fua(task)), disk_offset(task),
                      &task->data_out, 0, length, disk_written);
    return REASON_PENDING;
}
