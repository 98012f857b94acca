/* Every check between the arrival of a command and its execution, in one place and one order. */
#ifndef HALUN_COMMAND_CHECKS_H
#define HALUN_COMMAND_CHECKS_H

#include "target/command/command.h"

/* May the task go on? Finds its LU, lane and row, decodes lba, blocks and data_wanted. Returns GOOD
 * or why not (field pointer and unit attention are set in the task); REASON_PENDING: it would report a unit attention
 * without the lease, or of a decision that may not be carried out everywhere yet (lane_wait_settled()). Run on arrival,
 * when the data is complete, and when a held task goes on: the answer may differ each time. */
enum scsi_reason command_check(struct task *task);

/* Is the lane's legacy reservation (RESERVE) held by another nexus than the task's? */
bool command_reserved_by_other(const struct task *task);

#endif
