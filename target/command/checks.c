#include "target/command/checks.h"

#include <stdatomic.h>

#include "target/base/bytes.h"
#include "target/device/device.h"
#include "target/nexus/lane.h"
#include "target/nexus/lun_map.h"
#include "target/nexus/nexus.h"

/* 1. The logical unit. A forwarded task brings it along: the LUN map is the other node's business.
 */
static enum scsi_reason check_lun(struct task *task)
{
    const struct lun_entry *entry;
    struct lu *lu = task->lu;

    if (!task->nexus->forwarded) {
        entry = lun_map_find(task->nexus->lun_map, task->lun);
        lu = entry ? device_lus[entry->lu_index] : NULL;
        /* Configured but not there yet: initiators must not take it for gone (law 3). */
        if (entry && !lu)
            return REASON_BUSY;
        /* The map was changed under the task, which may already be counted at its LU. */
        if (task->lu && lu != task->lu)
            return REASON_LUN_NOT_SUPPORTED;
        task->lun_read_only = entry && entry->read_only;
    }
    task->lu = lu;
    task->lane = lu ? &lu->lanes[task->reactor->index] : NULL;
    return REASON_GOOD;
}

/* 2. The row, 3. the bits of the CDB. */
static enum scsi_reason check_cdb(struct task *task)
{
    bool known_opcode;
    uint8_t byte, bit;

    task->command = command_find(task->cdb, &known_opcode);
    if (!task->lu && !(task->command && task->command->flags & COMMAND_NO_LU))
        return REASON_LUN_NOT_SUPPORTED;
    if (!task->command)
        return known_opcode ? field_in_cdb(task, task->cdb[0] == 0x7f ? 8 : 1, -1)
                            : REASON_INVALID_OPCODE;
    if (task->cdb_length < task->command->length)
        return REASON_INVALID_FIELD_IN_CDB;
    if (command_stray_bit(task->command, task->cdb, &byte, &bit))
        return field_in_cdb(task, byte, bit);
    if (task->attribute == TASK_ACA) /* NORMACA is 0: there is never an ACA condition */
        return REASON_INVALID_MESSAGE;
    return REASON_GOOD;
}

/* 4. Unit attentions, once in the life of a task, so that each is reported exactly once. */
static enum scsi_reason check_unit_attention(struct task *task)
{
    ua_set *pending, found = 0;

    if (task->ua_checked)
        return REASON_GOOD;
    if (task->lu && !task->nexus->forwarded && !(task->command->flags & COMMAND_NO_UA)) {
        pending = &task->nexus->lus[task->lu->index].unit_attentions;
        if (*pending && (atomic_load_explicit(&task->lu->unsettled, memory_order_relaxed) ||
                         !lane_lease_valid(task->reactor)))
            return REASON_PENDING; /* it may tell of what is not so everywhere yet, or not any more */
        found = *pending;
    }
    task->ua_checked = true;
    if (!found)
        return REASON_GOOD;
    task->unit_attention = (uint8_t)ua_take(pending);
    return REASON_UNIT_ATTENTION;
}

/* 5. The access state of this node's ports. A held gate is no error: lane_admit() makes media
 * commands wait, all others are answered from memory or decided by the cluster. */
static enum scsi_reason check_access_state(const struct task *task)
{
    if (!task->lu || task->command->flags & (COMMAND_IN_STANDBY | COMMAND_ANY_STATE))
        return REASON_GOOD;
    switch (task->lane->group->gate) {
    case GATE_STANDBY:
        return REASON_NOT_READY_STANDBY;
    case GATE_UNAVAILABLE:
        return REASON_NOT_READY_UNAVAILABLE;
    default:
        return REASON_GOOD;
    }
}

bool command_reserved_by_other(const struct task *task)
{
    return task->lane->legacy_reserved &&
           !identity_equal(&task->lane->legacy_holder, &task->nexus->identity);
}

/* 6. Reservations. */
static enum scsi_reason check_reservation(const struct task *task)
{
    const struct nexus_lu *own;
    bool legacy_other;

    if (!task->lu)
        return REASON_GOOD;
    legacy_other = command_reserved_by_other(task);
    if (legacy_other && task->command->flags & COMMAND_LEGACY_CONFLICT)
        return REASON_RESERVATION_CONFLICT;
    own = &task->nexus->lus[task->lu->index];
    return shared_conflicts(task->lane->pr_type, own->registered, own->holder, legacy_other,
                            task->command->access)
               ? REASON_RESERVATION_CONFLICT
               : REASON_GOOD;
}

/* 7. The medium. */
static enum scsi_reason check_medium(const struct task *task)
{
    if (task->command->flags & COMMAND_WRITES &&
        (task->lun_read_only || task->lu->config.read_only || task->lane->mode.swp))
        return REASON_WRITE_PROTECTED;
    return REASON_GOOD;
}

/* 8. Numbers: decoding, capacity, limits. */
static enum scsi_reason check_limits(struct task *task)
{
    const struct scsi_command *row = task->command;
    uint64_t length = 0, limit = LIMIT_TRANSFER;
    enum scsi_reason reason;

    task->lba = row->lba.size ? get_be(task->cdb + row->lba.offset, row->lba.size) : 0;
    task->blocks = 0;
    if (row->count.size)
        length = get_be(task->cdb + row->count.offset, row->count.size);
    if (row->flags & COMMAND_BLOCKS) {
        task->blocks = length;
        length = task->blocks > UINT64_MAX / task->lu->block_size ? UINT64_MAX
                                                                  : length * task->lu->block_size;
    } else if (row->data == DATA_OUT) {
        limit = LIMIT_PARAMETER_LIST;
    } else {
        limit = UINT32_MAX; /* an allocation length: the answer is as long as it is */
    }
    if (row->data == DATA_NONE)
        length = 0;
    if (row->decode) {
        reason = row->decode(task, &length);
        if (reason != REASON_GOOD)
            return reason;
    }
    if (row->flags & COMMAND_MEDIA && row->lba.size) {
        uint64_t capacity = atomic_load_explicit(&task->lu->blocks, memory_order_relaxed);
        if (task->lba > capacity || task->blocks > capacity - task->lba)
            return REASON_LBA_OUT_OF_RANGE;
    }
    if (length > limit)
        return field_in_cdb(task, row->count.offset, -1);
    task->data_wanted = (uint32_t)length;
    return REASON_GOOD;
}

/* The order, and why:
 * 1 LUN            nothing can be said about a command for a unit that is not there
 * 2 row, 3 mask    a malformed CDB is refused whatever the state of the unit is
 * 4 attention      before anything that depends on the state whose change it announces (SAM-5 5.14)
 * 5 access state   a port that does not serve the unit must not judge reservations or addresses
 * 6 reservation    before the medium: who may not write learns nothing else about it
 * 7 medium, 8 limits */
enum scsi_reason command_check(struct task *task)
{
    enum scsi_reason reason = check_lun(task);

    if (reason == REASON_GOOD)
        reason = check_cdb(task);
    if (reason == REASON_GOOD)
        reason = check_unit_attention(task);
    if (reason == REASON_GOOD)
        reason = check_access_state(task);
    if (reason == REASON_GOOD)
        reason = check_reservation(task);
    if (reason == REASON_GOOD)
        reason = check_medium(task);
    if (reason == REASON_GOOD)
        reason = check_limits(task);
    return reason;
}
