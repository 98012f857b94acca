/* What handlers outside the disk rows share: answers that the control thread fills in, and
 * parameter lists as plain memory. */
#ifndef HALUN_COMMAND_TASK_ANSWER_H
#define HALUN_COMMAND_TASK_ANSWER_H

#include <stdint.h>

#include "target/command/command.h"

struct config;
struct shared_state;

/* Longest answer of task_answer_later(): the full status of LIMIT_REGISTRANTS_LU registrants fits.
 */
enum { TASK_ANSWER_LATER_MAX = 128 << 10 };

static_assert(8 + LIMIT_REGISTRANTS_LU * (24 + LIMIT_TRANSPORT_ID) <= TASK_ANSWER_LATER_MAX,
              "READ FULL STATUS");

/* Allocates data_in for `allocation` bytes and lets `fill` answer on the control thread, which
 * calls task_answer() with the same allocation. Returns PENDING, GOOD (nothing to answer),
 * TASK_SET_FULL. */
enum scsi_reason task_answer_later(struct task *task, uint32_t allocation,
                                   void (*fill)(struct task *task, const struct shared_state *state,
                                                const struct config *config));

/* The parameter list in data_out, which is one piece (LIMIT_PARAMETER_LIST); valid while the task
 * is. */
const uint8_t *task_parameters(const struct task *task, uint32_t *length);

#endif
