/* Wire forms of persistent reservations (SPC-4 6.15, 6.16): the parameter list of PERSISTENT
 * RESERVE OUT in, the parameter data of PERSISTENT RESERVE IN out. What an operation means is
 * decided by shared_apply(). Pure. */
#ifndef HALUN_COMMAND_PR_PARAMETERS_H
#define HALUN_COMMAND_PR_PARAMETERS_H

#include <stdint.h>

#include "cluster/shared_state.h"
#include "target/base/bytes.h"
#include "target/command/reason.h"

enum pr_out_action { /* SPC-4 table 207 */
                     PR_OUT_REGISTER,
                     PR_OUT_RESERVE,
                     PR_OUT_RELEASE,
                     PR_OUT_CLEAR,
                     PR_OUT_PREEMPT,
                     PR_OUT_PREEMPT_AND_ABORT,
                     PR_OUT_REGISTER_AND_IGNORE,
                     PR_OUT_REGISTER_AND_MOVE,
};

enum pr_in_action { /* SPC-4 table 198 */
                    PR_IN_READ_KEYS,
                    PR_IN_READ_RESERVATION,
                    PR_IN_REPORT_CAPABILITIES,
                    PR_IN_READ_FULL_STATUS,
};

/* Reads a parameter list into `op`, whose `action` is set; `transport_ids` then points into `data`.
 * Returns GOOD, PARAMETER_LIST_LENGTH, or INVALID_FIELD_IN_PARAMETERS with *field = the byte. */
enum scsi_reason pr_out_read(struct shared_op *op, const uint8_t *data, uint32_t length,
                             uint16_t *field);

/* Writes the parameter data of a service action, whole; the caller truncates. */
void pr_in_write(struct writer *w, enum pr_in_action action, const struct shared_lu *lu);

#endif
