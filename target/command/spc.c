/* The rows of SPC-4 that are not about reservations or access states, and their smallest handlers.
 */
#include "target/command/spc.h"

#include "target/base/bytes.h"
#include "target/command/control_calls.h"
#include "target/command/sense.h"
#include "target/command/unit_attention.h"
#include "target/device/device.h"
#include "target/nexus/lane.h"
#include "target/nexus/lun_map.h"
#include "target/nexus/nexus.h"

bool task_well_known(const struct task *task)
{
    uint32_t number;

    return !task->nexus->forwarded && lun_decode(task->lun, &number) == LUN_REPORT_LUNS;
}

/* Honest for each state of the ports: initiators choose paths by it. A transition that is over in a
 * moment (COMMAND_READY) is not reported, the command waits for its end. */
static enum scsi_reason test_unit_ready(struct task *task)
{
    if (!task->lu)
        return task_well_known(task) ? REASON_GOOD : REASON_LUN_NOT_SUPPORTED;
    if (task->lane->group->state == ALUA_TRANSITIONING)
        return REASON_NOT_READY_TRANSITION;
    return REASON_GOOD;
}

enum { REQUEST_SENSE_DESC = 0x01 };

enum scsi_reason spc_request_sense(struct task *task)
{
    struct sense_fields fields = {0};
    uint8_t sense[LIMIT_SENSE];
    uint8_t length;
    ua_set *pending;

    if (task->lu) {
        pending = &task->nexus->lus[task->lu->index].unit_attentions;
        if (*pending && !task->nexus->forwarded) {
            if (atomic_load_explicit(&task->lu->unsettled, memory_order_relaxed)) {
                task_read_again(task); /* it may tell of what is not so everywhere yet */
                return REASON_PENDING;
            }
            if (lane_lease_valid(task->reactor)) {
                reason_codes(REASON_UNIT_ATTENTION, &fields);
                ua_codes(ua_take(pending), &fields.asc, &fields.ascq);
            } else { /* or not any more */
                reason_codes(REASON_NOT_READY_TRANSITION, &fields);
            }
        }
    } else if (!task_well_known(task)) {
        reason_codes(REASON_LUN_NOT_SUPPORTED, &fields);
    }
    length = sense_build(sense, task->cdb[1] & REQUEST_SENSE_DESC, &fields);
    return task_answer(task, sense, length, task->cdb[4]);
}

enum { SEND_DIAGNOSTIC_SELFTEST = 0x04 };

/* The default self-test: there is nothing to test that ordinary commands do not use. */
static enum scsi_reason send_diagnostic(struct task *task)
{
    return task->lane->group->state == ALUA_TRANSITIONING && task->cdb[1] & SEND_DIAGNOSTIC_SELFTEST
               ? REASON_NOT_READY_TRANSITION
               : REASON_GOOD;
}

enum { RECEIVE_DIAGNOSTIC_PCV = 0x01 };

static enum scsi_reason receive_diagnostic(struct task *task)
{
    static const uint8_t supported_pages[] = {0x00, 0x00, 0x00, 0x01, 0x00};

    if (!(task->cdb[1] & RECEIVE_DIAGNOSTIC_PCV))
        return field_in_cdb(task, 1, 0);
    if (task->cdb[2] != supported_pages[0])
        return field_in_cdb(task, 2, -1);
    return task_answer(task, supported_pages, sizeof supported_pages, get_be16(task->cdb + 3));
}

static enum scsi_reason log_sense(struct task *task)
{
    static const uint8_t supported_pages[] = {0x00, 0x00, 0x00, 0x01, 0x00};

    if ((task->cdb[2] & 0x3f) != supported_pages[0])
        return field_in_cdb(task, 2, 5);
    if (task->cdb[3])
        return field_in_cdb(task, 3, -1);
    return task_answer(task, supported_pages, sizeof supported_pages, get_be16(task->cdb + 7));
}

enum {
    MEMORY = COMMAND_IN_STANDBY | COMMAND_ANY_STATE, /* answered in every state */
};

static const struct scsi_command rows[] = {
    {
        .name = "TEST UNIT READY",
        .opcode = 0x00,
        .service_action = COMMAND_NO_ACTION,
        .length = 6,
        .usage = {0x00},
        .data = DATA_NONE,
        .flags = COMMAND_NO_LU | COMMAND_LEASE | COMMAND_LEGACY_CONFLICT | COMMAND_READY,
        .access = PR_ALWAYS,
        .run = test_unit_ready,
    },
    {
        .name = "REQUEST SENSE",
        .opcode = 0x03,
        .service_action = COMMAND_NO_ACTION,
        .length = 6,
        .usage = {0x03, 0x01, 0, 0, 0xff},
        .data = DATA_IN,
        .flags = COMMAND_NO_UA | COMMAND_NO_LU | MEMORY,
        .access = PR_ALWAYS,
        .count = {4, 1},
        .run = spc_request_sense,
    },
    {
        .name = "INQUIRY",
        .opcode = 0x12,
        .service_action = COMMAND_NO_ACTION,
        .length = 6,
        .usage = {0x12, 0x01, 0xff, 0xff, 0xff},
        .data = DATA_IN,
        .flags = COMMAND_NO_UA | COMMAND_NO_LU | MEMORY,
        .access = PR_ALWAYS,
        .count = {3, 2},
        .run = spc_inquiry,
    },
    {
        .name = "MODE SELECT(6)",
        .opcode = 0x15,
        .service_action = COMMAND_NO_ACTION,
        .length = 6,
        .usage = {0x15, 0x10, 0, 0, 0xff},
        .data = DATA_OUT,
        .flags = COMMAND_LEASE | MEMORY,
        .access = PR_WRITE,
        .count = {4, 1},
        .run = spc_mode_select,
    },
    {
        .name = "MODE SENSE(6)",
        .opcode = 0x1a,
        .service_action = COMMAND_NO_ACTION,
        .length = 6,
        .usage = {0x1a, 0x08, 0xff, 0xff, 0xff},
        .data = DATA_IN,
        .flags = MEMORY,
        .access = PR_READ,
        .count = {4, 1},
        .run = spc_mode_sense,
    },
    {
        .name = "RECEIVE DIAGNOSTIC RESULTS",
        .opcode = 0x1c,
        .service_action = COMMAND_NO_ACTION,
        .length = 6,
        .usage = {0x1c, 0x01, 0xff, 0xff, 0xff},
        .data = DATA_IN,
        .flags = MEMORY,
        .access = PR_READ,
        .count = {3, 2},
        .run = receive_diagnostic,
    },
    {
        .name = "SEND DIAGNOSTIC",
        .opcode = 0x1d,
        .service_action = COMMAND_NO_ACTION,
        .length = 6,
        .usage = {0x1d, 0x17},
        .data = DATA_NONE,
        .flags = MEMORY,
        .access = PR_WRITE,
        .run = send_diagnostic,
    },
    {
        .name = "LOG SENSE",
        .opcode = 0x4d,
        .service_action = COMMAND_NO_ACTION,
        .length = 10,
        .usage = {0x4d, 0, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff},
        .data = DATA_IN,
        .flags = MEMORY,
        .access = PR_ALWAYS,
        .count = {7, 2},
        .run = log_sense,
    },
    {
        .name = "MODE SELECT(10)",
        .opcode = 0x55,
        .service_action = COMMAND_NO_ACTION,
        .length = 10,
        .usage = {0x55, 0x10, 0, 0, 0, 0, 0, 0xff, 0xff},
        .data = DATA_OUT,
        .flags = COMMAND_LEASE | MEMORY,
        .access = PR_WRITE,
        .count = {7, 2},
        .run = spc_mode_select,
    },
    {
        .name = "MODE SENSE(10)",
        .opcode = 0x5a,
        .service_action = COMMAND_NO_ACTION,
        .length = 10,
        .usage = {0x5a, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff},
        .data = DATA_IN,
        .flags = MEMORY,
        .access = PR_READ,
        .count = {7, 2},
        .run = spc_mode_sense,
    },
    {
        .name = "REPORT LUNS",
        .opcode = 0xa0,
        .service_action = COMMAND_NO_ACTION,
        .length = 12,
        .usage = {0xa0, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
        .data = DATA_IN,
        .flags = COMMAND_NO_UA | COMMAND_NO_LU | MEMORY,
        .access = PR_ALWAYS,
        .count = {6, 4},
        .run = spc_report_luns,
    },
    {
        .name = "REPORT SUPPORTED OPERATION CODES",
        .opcode = 0xa3,
        .service_action = 0x0c,
        .length = 12,
        .usage = {0xa3, 0x0c, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
        .data = DATA_IN,
        .flags = MEMORY,
        .access = PR_READ,
        .count = {6, 4},
        .run = spc_report_opcodes,
    },
    {
        .name = "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
        .opcode = 0xa3,
        .service_action = 0x0d,
        .length = 12,
        .usage = {0xa3, 0x0d, 0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
        .data = DATA_IN,
        .flags = MEMORY,
        .access = PR_READ,
        .count = {6, 4},
        .run = spc_report_tmfs,
    },
};

const struct command_table spc_commands = {rows, sizeof rows / sizeof rows[0]};
