/* SYNCHRONIZE CACHE, PRE-FETCH (SBC-3 5.26, 5.27, 5.8, 5.9) and START STOP UNIT (SBC-3 5.25). */
#include "target/device/disk.h"
#include "target/device/disk_io.h"

enum {
    START_STOP_BITS = 4, /* CDB byte */
    START = 0x01,
    NO_FLUSH = 0x04,
};

static enum scsi_reason flush(struct task *task)
{
    enum scsi_reason reason = disk_ready(task);

    /* Without WCE every write was stable when it was answered; but WCE may have been cleared a
     * moment ago, so the store is asked in any case. */
    if (reason != REASON_GOOD || !task->lu->store->volatile_cache || task->lu->store->read_only)
        return reason;
    disk_submit_flush(task, disk_written);
    return REASON_PENDING;
}

/* The whole cache is flushed, whatever the range. With IMMED status is due early; it comes when the
 * flush is over, because an error could not be reported later. */
enum scsi_reason disk_synchronize_cache(struct task *task)
{
    return flush(task);
}

/* There is no cache of ours to fetch into. GOOD instead of CONDITION MET says so: "the cache does
 * not have sufficient space". */
enum scsi_reason disk_pre_fetch(struct task *task)
{
    return REASON_GOOD;
}

/* START=0 stops nothing. Stopped would be a state that all nodes share and that every other
 * initiator would meet as 02/04/02; a host that shuts down wants its data safe, and that is what it
 * gets. Nothing is ever stopped, so START=1 has nothing to do. */
enum scsi_reason disk_start_stop_unit(struct task *task)
{
    if (task->cdb[START_STOP_BITS] & (START | NO_FLUSH))
        return disk_ready(task);
    return flush(task);
}
