/* Capacities that change while units are in use: an agreed step of all nodes.
 *
 *   the node that is asked: asks all members (cluster_consult) whether they have room for the new capacity
 *   every member:           measures what is below the unit, answers
 *   all have:               CAPACITY is committed: every node's store grows, CAPACITY DATA HAS CHANGED is established
 *                           for every nexus, then it acknowledges
 *
 * Until every member has, no node tells the new capacity. A capacity that was agreed counts from then on, whatever
 * the configuration's size says: it is in the journal. Control thread. */
#ifndef HALUN_DAEMON_RESIZE_H
#define HALUN_DAEMON_RESIZE_H

#include "config/control.h"
#include "target/daemon/daemon.h"

/* In the number of a CONSULT: its digest is a question about a capacity (wire version 3). */
#define RESIZE_QUESTION (UINT64_C(1) << 62)

control_handler on_lu_resize, on_replica_resize;

/* A replicated group grows by its replica first, on both nodes; what both have then is agreed as above, without the
 * question. */

/* A member asks whether this node has room; a member's answer to this node's question. */
void resize_consulted(unsigned node, uint64_t number, const uint8_t digest[32]);
void resize_opinion(unsigned node, uint64_t number, bool good, const char *why);
/* Has a capacity agreed (blocks of the unit); done() once. Errors: -EAGAIN the cluster does not serve, or it is not
 * known whether it was agreed. */
void resize_agree(unsigned lu, uint64_t blocks, group_done *done, void *context);
/* It was agreed: what is below the unit is used as far as that, if it has the room. */
void resize_apply(unsigned lu, uint64_t blocks);

#endif
