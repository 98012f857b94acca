/* Why a command ends as it does. Handlers return a reason; sense.c turns it into status and sense
 * data (SPC-4 4.5) in exactly one place; -errno of the machine becomes a reason in exactly one
 * place as well (reason_from_errno). Rows are in sense.def:
 * REASON(name, status, key, asc, ascq, text). Pure. */
#ifndef HALUN_COMMAND_REASON_H
#define HALUN_COMMAND_REASON_H

enum scsi_reason {
    REASON_GOOD,    /* done, status GOOD */
    REASON_PENDING, /* not done yet: the handler completes the task later */
#define REASON(name, status, key, asc, ascq, text) REASON_##name,
#include "target/command/sense.def"
#undef REASON
    REASON_COUNT,
    /* No answer: nothing of an admitted media command was begun, so task_complete() puts it back at its gate. Only for a
     * command that has not changed the medium by an earlier step. */
    REASON_NOT_BEGUN
};

#endif
