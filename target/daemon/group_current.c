/* The good copy of a group is lost for good, and an older one is all that is left. Which data are given up nobody but an
 * administrator can say. First the cluster agrees, on every member and in the journals, that this node's copy alone is
 * current; then the copy begins a generation of its own. A crash in between leaves a group that nobody promotes: the same
 * command goes on there. What the other disk has is not touched: should it come back, both nodes refuse each other (split
 * brain) until it is given up by name (replica connect --discard-my-data). */
#include <errno.h>
#include <qb/qblog.h>
#include <stdio.h>

#include "target/base/container.h"
#include "target/daemon/group.h"

/* Why it may not be, now or at all; 0 and nothing in `why`: it may. */
static int obstacle(const struct group *group, const struct replica_status *status, char why[256])
{
    const struct shared_group *shared = shared_of(group);

    if (halund.view.wire < shared_op_wire(SHARED_OP_FORCE_CURRENT)) {
        snprintf(why, 256, "a member speaks an older wire version: upgrade every node first");
        return -EPERM;
    }
    if (shared->owner || group->primary) {
        snprintf(why, 256, "%s owns the group, or is about to: demote it there first",
                 nodes_name(shared->owner ? shared->owner : halund.self));
        return -EBUSY;
    }
    if (status->disk < DISK_INCONSISTENT) {
        snprintf(why, 256, "the disk of this node's copy has failed");
        return -EPERM;
    }
    if (status->connection >= CONN_CONNECTED && status->peer_disk >= DISK_CONSISTENT) {
        snprintf(why, 256, "the copy of the other node is connected and %s: it is resynchronised from that one",
                 replica_disk_name(status->peer_disk));
        return -EEXIST;
    }
    if (config_of(group)->replication == REPLICATION_DRBD && status->disk != DISK_UP_TO_DATE) {
        snprintf(why, 256, "DRBD's copy is %s: drbdadm primary --force, then drbdadm secondary, first",
                 replica_disk_name(status->disk));
        return -EPERM;
    }
    return 0;
}

static void say_what_is_lost(const struct group *group, const struct replica_status *status, char why[256])
{
    char current[100];
    uint32_t others = shared_of(group)->current & ~(1u << halund.self);

    nodes_names(others, current, sizeof current);
    snprintf(why, 256, "this copy is %s%s, %s%s: what is newer is lost for good; --force accepts that",
             replica_disk_name(status->disk),
             status->disk == DISK_INCONSISTENT ? " (a resync of it was not finished)" : "",
             others ? "current is that of " : "and none is recorded as current", current);
}

static void marked(void *context, int error, const char *why)
{
    struct group *group = context;

    group->busy = false;
    if (!error)
        qb_log(LOG_WARNING, "group %s: this node's copy is the good one from now on, by order",
               config_of(group)->name);
    group_finish(group, error, why);
}

static void agreed(struct cluster_request *request, enum scsi_reason reason, uint8_t field)
{
    struct group *group = container_of(request, struct group, request);

    group->busy = false;
    if (reason == REASON_INVALID_FIELD_IN_PARAMETERS) {
        group_finish(group, -EPERM, "this node has no copy of the group");
    } else if (reason != REASON_GOOD) {
        group_expired(group, "the cluster to agree that this copy is the good one");
    } else if (!group->replica) {
        group_finish(group, -EBUSY, "the daemon is stopping");
    } else {
        group->busy = true;
        replica_force_current(group->replica, marked, group);
    }
}

void group_current_step(struct group *group)
{
    struct replica_status status;
    char why[256] = "";
    int error;

    if (!group->replica) {
        group_finish(group, -EPERM, "this node has no replicated copy of the group");
        return;
    }
    if (!halund.view.serving) {
        group_expired(group, "the cluster to serve");
        return;
    }
    replica_get_status(group->replica, &status);
    error = obstacle(group, &status, why);
    if (!error && shared_of(group)->current == 1u << halund.self && status.disk == DISK_UP_TO_DATE) {
        group_finish(group, 0, "");
        return;
    }
    if (!error && !group->force) {
        error = -EPERM;
        say_what_is_lost(group, &status, why);
    }
    if (error)
        group_finish(group, error, why);
    else
        group_commit(group, SHARED_OP_FORCE_CURRENT, agreed);
}

void group_make_current(struct group *group, bool force, unsigned timeout_ms, group_done *done, void *context)
{
    group->force = force;
    group_begin(group, GROUP_MAKING_CURRENT, timeout_ms, done, context);
}
