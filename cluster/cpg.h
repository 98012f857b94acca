/* The group of halunds in Corosync: ordered messages, changes of the group, quorum. The only part that
 * knows Corosync. Control thread only; nothing here blocks after cpg_wire_open(). */
#ifndef HALUN_CLUSTER_CPG_H
#define HALUN_CLUSTER_CPG_H

#include <qb/qbloop.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cpg_wire;

struct cpg_wire_callbacks {
    void *context;
    void (*message)(void *context, unsigned node, const void *bytes, size_t size);
    /* Bits (node id). left: LEAVE or PROCDOWN; down: NODEDOWN. */
    void (*group)(void *context, uint32_t members, uint32_t joined, uint32_t left, uint32_t down);
    void (*quorum)(void *context, bool quorate);
    /* Corosync is gone or threw us out: no callback comes any more. cpg_wire_close() is still due. */
    void (*lost)(void *context, const char *why);
};

/* Connects and joins "halun:<cluster>". `self` must be Corosync's node id of this node. Waits up to some
 * seconds for a Corosync that is busy (start only). *lease_proves: the votes are such that of two parts
 * of the cluster only one can ever be quorate (3 votes or more, no two_node). Returns 0 or -errno with a
 * sentence in `why` (256 bytes). */
int cpg_wire_open(struct cpg_wire **wire, qb_loop_t *loop, const char *cluster, unsigned self,
                  const struct cpg_wire_callbacks *callbacks, bool *lease_proves, char *why);
/* Queues a message; order is kept. A full Corosync is tried again by a timer. */
void cpg_wire_send(struct cpg_wire *wire, const void *bytes, size_t size);
/* Leaves the group and frees. Not from a callback. Accepts NULL. */
void cpg_wire_close(struct cpg_wire *wire);

#endif
