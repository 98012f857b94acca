/* Commands between nodes: on the owner a transport, on the other node a device. A forwarded command
 * carries its nexus identity; the owner checks reservations again and is the only executor. One TCP
 * connection for each reactor and other node; the format is in docs/peer.md. */
#ifndef HALUN_TRANSPORT_PEER_H
#define HALUN_TRANSPORT_PEER_H

#include "config/config.h"

struct nexus;
struct task;

/* Listens on this node's peer address (nothing is done without one) and prepares the links to the
 * other nodes, which connect when first needed. The configuration must stay until peer_stop().
 * Control thread, reactors running. Returns 0 or -errno and a sentence in `why` (256 bytes). */
int peer_start(const struct config *config, char *why);
/* Closes everything, once: forwarded tasks go back to their lanes and are sent no more, commands of
 * other nodes are aborted. `done` on the control thread when no link and no such command is left,
 * so that stores may be closed. */
void peer_stop(void (*done)(void *context), void *context);
/* A node left the cluster: its links are cut, whatever TCP thinks. Control thread. */
void peer_node_lost(unsigned node);

/* Sends an admitted task (data_out complete) to the node `owner` and completes it with what comes
 * back. When the link or the owner is lost: a command that may be repeated goes back to its lane
 * (held until the new owner is known); what may have changed the medium ends with ABORTED COMMAND
 * as soon as it is known that the old owner will not do it later (docs/peer.md), after hold_ms in
 * any case. */
void peer_forward(struct task *task, unsigned owner);
/* Aborts what peer_forward() sent; the task completes as in task_abort(), of a lost link as above. */
void peer_abort(struct task *task);
/* A nexus of this reactor is gone, its memory may be another's soon: the owners forget its proxy.
 * To be called for every nexus (nexus_removed of target/nexus/nexus_table.h). */
void peer_nexus_gone(struct nexus *nexus);

#endif
