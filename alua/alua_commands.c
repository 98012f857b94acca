/* REPORT TARGET PORT GROUPS (SPC-4 6.37) and SET TARGET PORT GROUPS (6.45). */
#include "alua/alua.h"
#include "target/command/control_calls.h"
#include "target/command/task_answer.h"
#include "target/device/device.h"
#include "target/nexus/lane.h"

enum {
    FORMAT_BIT = 0x20,   /* PARAMETER DATA FORMAT 001b */
    LEASE_WAS_VALID = 1, /* in task->step */
    REPORT_MAX = 8 + LIMIT_NODES * (8 + 4 * LIMIT_PORTALS),
};

static void fill_report(struct task *task, const struct shared_state *state,
                        const struct config *config)
{
    uint8_t answer[REPORT_MAX];
    struct writer w = {.data = answer, .size = sizeof answer};

    alua_report(&w, task->cdb[1] & FORMAT_BIT, &state->groups[task->lu->group_index], config,
                task->step == LEASE_WAS_VALID);
    task_answer(task, answer, (uint32_t)w.used, get_be32(task->cdb + 6));
}

static enum scsi_reason report_target_port_groups(struct task *task)
{
    task->step = lane_lease_valid(task->reactor) ? LEASE_WAS_VALID : 0;
    return task_answer_later(task, get_be32(task->cdb + 6), fill_report);
}

/* A wish, never a private move: whoever decides about owners hears of it (DESIGN 5). */
static enum scsi_reason set_target_port_groups(struct task *task)
{
    struct alua_request request;
    enum scsi_reason reason;
    const uint8_t *data;
    uint32_t length;
    uint16_t field;

    data = task_parameters(task, &length);
    if (length < task->data_wanted)
        return REASON_PARAMETER_LIST_LENGTH;
    reason = alua_read_request(&request, data, length, &field);
    if (reason == REASON_INVALID_FIELD_IN_PARAMETERS)
        return field_in_parameters(task, field, -1);
    if (reason != REASON_GOOD)
        return reason;
    if (!request.node || alua_wish(task->lu->group_index, request.node))
        return REASON_GOOD;
    return REASON_STPG_FAILED;
}

static const struct scsi_command rows[] = {
    {
        .name = "REPORT TARGET PORT GROUPS",
        .opcode = 0xa3,
        .service_action = 0x0a,
        .length = 12,
        .usage = {0xa3, FORMAT_BIT | 0x0a, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
        .data = DATA_IN,
        .flags = COMMAND_IN_STANDBY | COMMAND_ANY_STATE,
        .access = PR_ALWAYS,
        .count = {6, 4},
        .run = report_target_port_groups,
    },
    {
        .name = "SET TARGET PORT GROUPS",
        .opcode = 0xa4,
        .service_action = 0x0a,
        .length = 12,
        .usage = {0xa4, 0x0a, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
        .data = DATA_OUT,
        .flags = COMMAND_IN_STANDBY | COMMAND_ANY_STATE,
        .access = PR_WRITE,
        .count = {6, 4},
        .run = set_target_port_groups,
    },
};

const struct command_table alua_commands = {rows, sizeof rows / sizeof rows[0]};
