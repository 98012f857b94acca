/* Commands between nodes: on the owner a transport, on the other node a device. A forwarded command
 * carries its nexus identity; the owner checks reservations again and is the only executor. */
#ifndef HALUN_TRANSPORT_PEER_H
#define HALUN_TRANSPORT_PEER_H

struct task;

/* Sends an admitted task (data_out complete) to the node `owner` and completes it with what comes back.
 * When the link or the owner is lost: a command that did not begin there, or may be repeated, goes back
 * to its lane (held until the new owner is known); others end with ABORTED COMMAND. */
void peer_forward(struct task *task, unsigned owner);
/* Aborts what peer_forward() sent; the task completes as in task_abort(). */
void peer_abort(struct task *task);

#endif
