/* Planted bugs (sim --canary): calls between parts of the daemon that the linker leads through
 * here. Without a canary they go on as they are. */
#include <qb/qblog.h>

#include "cluster/driver.h"
#include "cluster/machine.h"
#include "replication/replica.h"
#include "replication/write_gate.h"
#include "target/daemon/daemon.h"
#include "target/nexus/lane_change.h"
#include "tests/sim/node/node.h"

void __real_lane_change_lu(struct lane_change *change, unsigned lu, const struct shared_lu *shared,
                           bool drain);
void __wrap_lane_change_lu(struct lane_change *change, unsigned lu, const struct shared_lu *shared,
                           bool drain);
void __real_cluster_submit(struct cluster_driver *driver, struct cluster_request *request);
void __wrap_cluster_submit(struct cluster_driver *driver, struct cluster_request *request);
void __real_commit_op(struct cluster *c, struct cluster_updates *u, unsigned node,
                      const struct cluster_message *message);
void __wrap_commit_op(struct cluster *c, struct cluster_updates *u, unsigned node,
                      const struct cluster_message *message);

/* early-answer: when its own operation comes back to a node, it hears the acknowledgements of all
 * others. */
void __wrap_commit_op(struct cluster *c, struct cluster_updates *u, unsigned node,
                      const struct cluster_message *message)
{
    uint64_t before = c->order;

    __real_commit_op(c, u, node, message);
    if (!world_canary_early_answer() || node != c->setup.self || c->order == before)
        return;
    for (unsigned i = 1; i <= LIMIT_NODES; i++) {
        struct cluster_message ack = {.type = MESSAGE_ACK, .incarnation = c->nodes[i].incarnation};
        ack.ack.origin = node;
        ack.ack.order = c->order;
        if (i != node)
            commit_ack(c, i, &ack);
    }
}

bool __real_flush_may_complete(const struct flush_progress *f, bool alone);
bool __wrap_flush_may_complete(const struct flush_progress *f, bool alone);

/* flush-alone: a flush is answered when it is done on this node's disk, as DRBD does. */
bool __wrap_flush_may_complete(const struct flush_progress *f, bool alone)
{
    struct flush_progress local = {.local_done = f->local_done};

    return __real_flush_may_complete(world_canary_flush_alone() ? &local : f, alone);
}

/* no-drain: a changed reservation does not wait for commands that were admitted before. */
void __wrap_lane_change_lu(struct lane_change *change, unsigned lu, const struct shared_lu *shared,
                           bool drain)
{
    __real_lane_change_lu(change, lu, shared, drain && !world_canary_no_drain());
}

/* outdated: a copy that gets no writes any more is taken as outdated without an agreement, so it
 * may be promoted later. */
void __wrap_cluster_submit(struct cluster_driver *driver, struct cluster_request *request)
{
    struct replica *replica;

    if (request->op.kind != SHARED_OP_OUTDATE || !world_canary_outdated()) {
        __real_cluster_submit(driver, request);
        return;
    }
    replica = halund.groups[request->op.group].replica;
    if (request->op.action)
        replica_self_outdated(replica, true);
    else
        replica_peer_outdated(replica, true);
    request->answer(request, REASON_NOT_READY_TRANSITION, 0xff); /* asked again, never agreed */
}
