/* PERSISTENT RESERVE IN and OUT (SPC-4 6.15, 6.16), RESERVE and RELEASE (SPC-2 7.21, 7.17). Reading goes to
 * the agreed state, changing goes through the cluster; here is only what comes from the CDB. */
#include "target/base/bytes.h"
#include "target/command/control_calls.h"
#include "target/command/pr_parameters.h"
#include "target/command/task_answer.h"
#include "target/device/device.h"
#include "target/nexus/lane.h"
#include "target/nexus/nexus.h"

static struct shared_op op_of(const struct task *task, enum shared_op_kind kind)
{
    return (struct shared_op){
        .kind = kind,
        .node = task->nexus->tpgt,
        .lu = task->lu->index,
        .group = task->lu->group_index,
        .nexus = task->nexus->identity,
    };
}

static void fill_pr_in(struct task *task, const struct shared_state *state,
                       const struct config *config)
{
    uint8_t answer[TASK_ANSWER_LATER_MAX]; /* on the control thread's stack */
    struct writer w = {.data = answer, .size = sizeof answer};

    pr_in_write(&w, task->command->service_action, &state->lus[task->lu->index]);
    task_answer(task, answer, (uint32_t)w.used, get_be16(task->cdb + 7));
}

static enum scsi_reason persistent_reserve_in(struct task *task)
{
    return task_answer_later(task, get_be16(task->cdb + 7), fill_pr_in);
}

static bool valid_type(uint8_t type)
{
    switch (type) {
    case PR_WRITE_EXCLUSIVE:
    case PR_EXCLUSIVE_ACCESS:
    case PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY:
    case PR_EXCLUSIVE_ACCESS_REGISTRANTS_ONLY:
    case PR_WRITE_EXCLUSIVE_ALL_REGISTRANTS:
    case PR_EXCLUSIVE_ACCESS_ALL_REGISTRANTS:
        return true;
    default:
        return false;
    }
}

static enum scsi_reason persistent_reserve_out(struct task *task)
{
    struct shared_op op = op_of(task, SHARED_OP_PR_OUT);
    enum scsi_reason reason;
    const uint8_t *data;
    uint32_t length;
    uint16_t field;

    op.action = (uint8_t)task->command->service_action;
    op.scope = task->cdb[2] >> 4;
    op.type = task->cdb[2] & 0x0f;
    if (op.action == PR_OUT_RESERVE && !valid_type(op.type))
        return field_in_cdb(task, 2, 3);
    data = task_parameters(task, &length);
    if (length < task->data_wanted)
        return REASON_PARAMETER_LIST_LENGTH;
    reason = pr_out_read(&op, data, length, &field);
    if (reason == REASON_INVALID_FIELD_IN_PARAMETERS)
        return field_in_parameters(task, field, -1);
    if (reason != REASON_GOOD)
        return reason;
    task_commit(task, &op, op.transport_ids, op.transport_ids_length);
    return REASON_PENDING;
}

static enum scsi_reason commit(struct task *task, enum shared_op_kind kind)
{
    struct shared_op op = op_of(task, kind);

    task_commit(task, &op, NULL, 0);
    return REASON_PENDING;
}

static enum scsi_reason reserve(struct task *task)
{
    return commit(task, SHARED_OP_RESERVE);
}

static enum scsi_reason release(struct task *task)
{
    return commit(task, SHARED_OP_RELEASE);
}

enum { ANYWHERE = COMMAND_LEASE | COMMAND_IN_STANDBY | COMMAND_ANY_STATE };

/* clang-format off */
#define PR_IN_ROW(title, action)                                                                   \
    {                                                                                              \
        .name = "PERSISTENT RESERVE IN, " title,                                                   \
        .opcode = 0x5e,                                                                            \
        .service_action = action,                                                                  \
        .length = 10,                                                                              \
        .usage = {0x5e, action, 0, 0, 0, 0, 0, 0xff, 0xff},                                        \
        .data = DATA_IN,                                                                           \
        .flags = ANYWHERE | COMMAND_LEGACY_CONFLICT,                                               \
        .access = PR_ALWAYS,                                                                       \
        .count = {7, 2},                                                                           \
        .run = persistent_reserve_in,                                                              \
    }
/* `bits`: of SCOPE and TYPE. Actions that do not use them ignore them (SPC-4 6.16.2). */
#define PR_OUT_ROW(title, action, bits)                                                            \
    {                                                                                              \
        .name = "PERSISTENT RESERVE OUT, " title,                                                  \
        .opcode = 0x5f,                                                                            \
        .service_action = action,                                                                  \
        .length = 10,                                                                              \
        .usage = {0x5f, action, bits, 0, 0, 0xff, 0xff, 0xff, 0xff},                               \
        .data = DATA_OUT,                                                                          \
        .flags = ANYWHERE,                                                                         \
        .access = PR_OUT,                                                                          \
        .count = {5, 4},                                                                           \
        .run = persistent_reserve_out,                                                             \
    }
#define LEGACY_ROW(title, code, cdb_length, function)                                              \
    {                                                                                              \
        .name = title,                                                                             \
        .opcode = code,                                                                            \
        .service_action = COMMAND_NO_ACTION,                                                       \
        .length = cdb_length,                                                                      \
        .usage = {code},                                                                           \
        .data = DATA_NONE,                                                                         \
        .flags = ANYWHERE,                                                                         \
        .access = PR_LEGACY,                                                                       \
        .run = function,                                                                           \
    }

static const struct scsi_command rows[] = {
    PR_IN_ROW("READ KEYS", PR_IN_READ_KEYS),
    PR_IN_ROW("READ RESERVATION", PR_IN_READ_RESERVATION),
    PR_IN_ROW("REPORT CAPABILITIES", PR_IN_REPORT_CAPABILITIES),
    PR_IN_ROW("READ FULL STATUS", PR_IN_READ_FULL_STATUS),
    PR_OUT_ROW("REGISTER", PR_OUT_REGISTER, 0xff),
    PR_OUT_ROW("RESERVE", PR_OUT_RESERVE, 0x0f),
    PR_OUT_ROW("RELEASE", PR_OUT_RELEASE, 0x0f),
    PR_OUT_ROW("CLEAR", PR_OUT_CLEAR, 0xff),
    PR_OUT_ROW("PREEMPT", PR_OUT_PREEMPT, 0x0f),
    PR_OUT_ROW("PREEMPT AND ABORT", PR_OUT_PREEMPT_AND_ABORT, 0x0f),
    PR_OUT_ROW("REGISTER AND IGNORE EXISTING KEY", PR_OUT_REGISTER_AND_IGNORE, 0xff),
    PR_OUT_ROW("REGISTER AND MOVE", PR_OUT_REGISTER_AND_MOVE, 0xff),
    LEGACY_ROW("RESERVE(6)", 0x16, 6, reserve),
    LEGACY_ROW("RELEASE(6)", 0x17, 6, release),
    LEGACY_ROW("RESERVE(10)", 0x56, 10, reserve),
    LEGACY_ROW("RELEASE(10)", 0x57, 10, release),
};
/* clang-format on */

const struct command_table reservation_commands = {rows, sizeof rows / sizeof rows[0]};
