/* The task set of an I_T nexus at a logical unit (SAM-5 8; TST = 001b: one task set for each nexus)
 * and its task attributes: ORDERED waits for all older tasks, SIMPLE for older ORDERED and HEAD OF
 * QUEUE ones, HEAD OF QUEUE for nobody. Costs ordinary SIMPLE tasks one compare. Reactor thread. */
#ifndef HALUN_COMMAND_TASK_SET_H
#define HALUN_COMMAND_TASK_SET_H

#include <stdbool.h>

struct task;

enum task_order {
    ORDER_FREE,   /* waits for no older task */
    ORDER_WAITS,  /* TASK_HELD until older tasks have ended */
    ORDER_POSTED, /* they have: task_resume() follows from the mailbox */
};

/* A new task joins its nexus, as the youngest. */
void task_set_join(struct task *task);
/* May it be admitted now? */
bool task_set_may_start(const struct task *task);
/* Holds it until task_set_leave() of the last task in its way; then task_resume() is called. */
void task_set_wait(struct task *task);
/* A waiting task is aborted: true if it may be ended now, false if it ends by the post under way.
 */
bool task_set_unwait(struct task *task);
/* The task has ended: wakes those that waited for it (by posts, so that its own status goes first).
 */
void task_set_leave(struct task *task);

#endif
