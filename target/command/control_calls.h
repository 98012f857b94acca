/* How the command layer reaches the control thread. Declared here, implemented by the daemon: a reactor
 * never waits, it hands the task over and gets it back. */
#ifndef HALUN_COMMAND_CONTROL_CALLS_H
#define HALUN_COMMAND_CONTROL_CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/shared_state.h"

struct config;
struct task;
struct tmf;

/* Commits an operation in the whole cluster for a running task. `op` and the `length` bytes that its
 * transport_ids points into (`bytes`, may be NULL) are copied before this returns; op->ports is filled in
 * by the callee (all target ports of the cluster). Later, on the task's reactor, field_in_parameters() is
 * called if the state named a byte, and task_complete() with the reason of the cluster. The task stays
 * TASK_RUNNING; an abort meanwhile only marks it. Reactor thread. */
void task_commit(struct task *task, const struct shared_op *op, const void *bytes,
                 uint32_t length);

/* Calls `fill` on the control thread with the agreed state and the configuration; it writes the answer
 * with task_answer() into data_in, which must be allocated before (task_answer_later() does that). Then
 * the task completes on its reactor with GOOD. Reactor thread. */
void task_read_state(struct task *task,
                     void (*fill)(struct task *task, const struct shared_state *state,
                                  const struct config *config));
/* The answer of task_read_state() when the state is not that of every member yet (lane_wait_settled()): the task
 * goes back to its checks when it may be. On its reactor; implemented by command/execute.c. */
void task_read_again(struct task *task);

/* Commits a reset: SHARED_OP_LU_RESET of tmf->lu, SHARED_OP_TARGET_RESET or _COLD_RESET. When every node has aborted
 * and drained, tmf->done() is called on the nexus's reactor: TMF_COMPLETE, or TMF_REJECTED if the cluster
 * could not decide. */
void tmf_commit(struct tmf *tmf, enum shared_op_kind kind);

/* An initiator wishes (SET TARGET PORT GROUPS) that `node` owns the group: handed to whoever decides about
 * owners. True: taken as a wish, the access states may change later. False: refused. Any reactor, never
 * blocks. */
bool alua_wish(unsigned group_index, unsigned node);

#endif
