/* What this target can do, printed from the very rows that do it (SPC-4 6.35, 6.36). */
#include "target/base/bytes.h"
#include "target/command/spc.h"
#include "target/nexus/tmf.h"

enum {
    RCTD = 0x80,
    OPTIONS = 0x07,
    REPORT_ALL = 0,
    REPORT_OPCODE = 1,         /* refused for opcodes with service actions */
    REPORT_SERVICE_ACTION = 2, /* refused for opcodes without */
    REPORT_EITHER = 3,         /* what cannot be is "not supported" instead */

    NOT_SUPPORTED = 1,
    SUPPORTED = 3,
    CTDP_ONE = 0x80,
    CTDP_ALL = 0x02,
    SERVACTV = 0x01,

    ALL_ROOM = 4 + 256 * 20,
};

/* Command timeouts descriptor (SPC-4 6.35.4). Nominal 0: not specified; recommended in seconds:
 * what a command may take while a group moves to another node. */
static void write_timeouts(struct writer *w)
{
    write_be16(w, 0x000a);
    write_u8(w, 0);
    write_u8(w, 0);
    write_be32(w, 0);
    write_be32(w, 60);
}

static enum scsi_reason report_all(struct task *task, bool timeouts)
{
    uint8_t answer[ALL_ROOM];
    struct writer w = {.data = answer, .size = sizeof answer};

    write_be32(&w, 0);
    for (const struct scsi_command *row = command_next(NULL); row; row = command_next(row)) {
        bool action = row->service_action != COMMAND_NO_ACTION;

        write_u8(&w, row->opcode);
        write_u8(&w, 0);
        write_be16(&w, action ? row->service_action : 0);
        write_u8(&w, 0);
        write_u8(&w, (action ? SERVACTV : 0) | (timeouts ? CTDP_ALL : 0));
        write_be16(&w, row->length);
        if (timeouts)
            write_timeouts(&w);
    }
    put_be32(answer, (uint32_t)w.used - 4);
    return task_answer(task, answer, (uint32_t)w.used, get_be32(task->cdb + 6));
}

static const struct scsi_command *find_row(uint8_t opcode, uint16_t action, bool *has_actions,
                                           bool *known)
{
    const struct scsi_command *found = NULL;

    *known = *has_actions = false;
    for (const struct scsi_command *row = command_next(NULL); row; row = command_next(row)) {
        if (row->opcode != opcode)
            continue;
        *known = true;
        *has_actions = row->service_action != COMMAND_NO_ACTION;
        if (*has_actions ? row->service_action == action : !action)
            found = row;
    }
    return found;
}

static void write_usage(struct writer *w, const struct scsi_command *row)
{
    bool action = row->service_action != COMMAND_NO_ACTION;

    for (unsigned i = 0; i < row->length; i++) {
        uint8_t usage = row->usage[i];
        if (action && row->opcode == 0x7f && i == 8)
            usage = (uint8_t)(row->service_action >> 8);
        else if (action && row->opcode == 0x7f && i == 9)
            usage = (uint8_t)row->service_action;
        else if (action && row->opcode != 0x7f && i == 1)
            usage = (uint8_t)((usage & 0xe0) | row->service_action);
        write_u8(w, usage);
    }
}

static enum scsi_reason report_one(struct task *task, unsigned options, bool timeouts)
{
    uint8_t answer[4 + LIMIT_CDB + 12];
    struct writer w = {.data = answer, .size = sizeof answer};
    const struct scsi_command *row;
    bool has_actions, known;

    row = find_row(task->cdb[3], options == REPORT_OPCODE ? 0 : get_be16(task->cdb + 4),
                   &has_actions, &known);
    if (known && options == REPORT_OPCODE && has_actions)
        return field_in_cdb(task, 2, 2);
    if (known && options == REPORT_SERVICE_ACTION && !has_actions)
        return field_in_cdb(task, 2, 2);
    write_u8(&w, 0);
    write_u8(&w, row ? SUPPORTED | (timeouts ? CTDP_ONE : 0) : NOT_SUPPORTED);
    write_be16(&w, row ? row->length : 0);
    if (row) {
        write_usage(&w, row);
        if (timeouts)
            write_timeouts(&w);
    }
    return task_answer(task, answer, (uint32_t)w.used, get_be32(task->cdb + 6));
}

enum scsi_reason spc_report_opcodes(struct task *task)
{
    unsigned options = task->cdb[2] & OPTIONS;
    bool timeouts = task->cdb[2] & RCTD;

    if (options > REPORT_EITHER)
        return field_in_cdb(task, 2, 2);
    return options == REPORT_ALL ? report_all(task, timeouts) : report_one(task, options, timeouts);
}

enum { REPD = 0x80, TMF_SHORT = 4, TMF_EXTENDED = 16 };

enum scsi_reason spc_report_tmfs(struct task *task)
{
    uint8_t answer[TMF_EXTENDED] = {0};
    bool extended = task->cdb[2] & REPD;

    tmf_report(answer);
    if (extended)
        answer[3] = TMF_EXTENDED - TMF_SHORT;
    return task_answer(task, answer, extended ? TMF_EXTENDED : TMF_SHORT, get_be32(task->cdb + 6));
}
