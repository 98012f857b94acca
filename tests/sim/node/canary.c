/* Planted bugs (sim --canary): calls between parts of the daemon that the linker leads through here. Without a
 * canary they go on as they are. */
#include <qb/qblog.h>

#include "cluster/driver.h"
#include "target/nexus/lane_change.h"
#include "tests/sim/node/node.h"

void __real_lane_change_lu(struct lane_change *change, unsigned lu, const struct shared_lu *shared,
                           bool drain);
void __wrap_lane_change_lu(struct lane_change *change, unsigned lu, const struct shared_lu *shared,
                           bool drain);
void __real_cluster_submit(struct cluster_driver *driver, struct cluster_request *request);
void __wrap_cluster_submit(struct cluster_driver *driver, struct cluster_request *request);

/* no-drain: a changed reservation does not wait for commands that were admitted before. */
void __wrap_lane_change_lu(struct lane_change *change, unsigned lu, const struct shared_lu *shared,
                           bool drain)
{
    __real_lane_change_lu(change, lu, shared, drain && !world_canary_no_drain());
}

/* outdated: a copy that gets no writes any more is taken as outdated without an agreement, so it may be promoted
 * later. */
void __wrap_cluster_submit(struct cluster_driver *driver, struct cluster_request *request)
{
    if (request->op.kind == SHARED_OP_OUTDATE && world_canary_outdated())
        request->answer(request, REASON_GOOD, 0);
    else
        __real_cluster_submit(driver, request);
}
