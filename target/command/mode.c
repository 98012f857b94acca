/* MODE SENSE and MODE SELECT, (6) and (10). Parameters are shared by all nexuses on all nodes, so a
 * change goes through the cluster; the other nexuses learn of it by a unit attention. */
#include <stdatomic.h>
#include <string.h>

#include "target/command/control_calls.h"
#include "target/command/pages.h"
#include "target/command/spc.h"
#include "target/command/task_answer.h"
#include "target/device/device.h"
#include "target/nexus/lane.h"
#include "target/nexus/nexus.h"

enum {
    OPCODE_MODE_SELECT_6 = 0x15,
    OPCODE_MODE_SENSE_6 = 0x1a,
    MODE_DBD = 0x08,
    MODE_LLBAA = 0x10,
    MODE_PF = 0x10,
};

static struct pages_medium medium_of(const struct task *task)
{
    return (struct pages_medium){
        .blocks = atomic_load_explicit(&task->lu->blocks, memory_order_relaxed),
        .block_size = task->lu->block_size,
        .write_protected = task->lun_read_only || task->lu->config.read_only,
    };
}

enum scsi_reason spc_mode_sense(struct task *task)
{
    bool ten = task->cdb[0] != OPCODE_MODE_SENSE_6;
    enum page_control control = task->cdb[2] >> 6;
    struct pages_medium medium = medium_of(task);
    uint8_t answer[255];
    struct writer w = {.data = answer, .size = sizeof answer};

    if (control == PAGES_SAVED)
        return REASON_SAVING_NOT_SUPPORTED;
    if (!pages_sense(&w, ten, !(task->cdb[1] & MODE_DBD), ten && task->cdb[1] & MODE_LLBAA,
                     task->cdb[2] & 0x3f, task->cdb[3], control, &task->lane->mode, &medium))
        return field_in_cdb(task, task->cdb[3] ? 3 : 2, task->cdb[3] ? 7 : 5);
    return task_answer(task, answer, (uint32_t)w.used, task->data_wanted);
}

enum scsi_reason spc_mode_select(struct task *task)
{
    struct shared_op op = {
        .kind = SHARED_OP_MODE_PAGES,
        .node = task->nexus->tpgt,
        .lu = task->lu->index,
        .group = task->lu->group_index,
        .nexus = task->nexus->identity,
        .mode = task->lane->mode,
    };
    struct pages_medium medium = medium_of(task);
    enum scsi_reason reason;
    const uint8_t *data;
    uint32_t length;
    uint16_t field;
    int bit;

    data = task_parameters(task, &length);
    if (length < task->data_wanted)
        return REASON_PARAMETER_LIST_LENGTH;
    if (!(task->cdb[1] & MODE_PF) && length) /* vendor-specific parameters */
        return field_in_cdb(task, 1, 4);
    reason = pages_select(data, length, task->cdb[0] != OPCODE_MODE_SELECT_6, &medium, &op.mode,
                          &op.mode_selected, &field, &bit);
    if (reason == REASON_INVALID_FIELD_IN_PARAMETERS)
        return field_in_parameters(task, field, bit);
    if (reason != REASON_GOOD)
        return reason;
    if (!memcmp(&op.mode, &task->lane->mode, sizeof op.mode))
        return REASON_GOOD;
    task_commit(task, &op, NULL, 0);
    return REASON_PENDING;
}
