/* First starts of groups: which copy is the good one is said once, by an operator or by a single node. */
#include <errno.h>

#include "target/daemon/group.h"

static bool initialized(struct group *group, int error, const char *why)
{
    group->busy = false;
    if (error) {
        group_finish(group, error, why);
        return false;
    }
    group->primary = false;
    group_commit_current(group, halund.self, 0);
    return true;
}

static void initialized_both(void *context, int error, const char *why)
{
    struct group *group = context;

    if (initialized(group, error, why) && other_node(group))
        group_commit_current(group, other_node(group), 1);
}

/* The other copy becomes current when it has been filled (on_current()): until then this one is the only one. */
static void initialized_this(void *context, int error, const char *why)
{
    initialized(context, error, why);
}

static void initialized_alone(void *context, int error, const char *why)
{
    struct group *group = context;

    if (error) {
        group->busy = false;
        group_finish(group, error, why);
        return;
    }
    /* UpToDate now; nobody owns the group yet. Its peer is resynced when it connects. */
    replica_demote(group->replica, initialized_this, group);
}

void group_start_step(struct group *group)
{
    const struct shared_group *shared = shared_of(group);

    if (!halund.view.serving) {
        group_expired(group, "the cluster to serve");
    } else if (shared->current) {
        bool both = !group->skip_sync || !other_node(group) ||
                    (shared->current & 1u << other_node(group));
        if ((shared->current & 1u << halund.self) && both)
            group_finish(group, 0, "");
        else if (group->current[0].answer || group->current[1].answer)
            return; /* made_current() goes on */
        else
            group_finish(group, -EEXIST, "the group is in use already");
    } else if (!group->replica) {
        group_commit_current(group, halund.self, 0);
    } else if (group->skip_sync) {
        struct replica_status status;
        replica_get_status(group->replica, &status);
        if (status.connection < CONN_CONNECTED) {
            group_expired(group, "the replication link to the peer");
            return;
        }
        group->busy = true;
        replica_new_current(group->replica, initialized_both, group);
    } else {
        struct replica_status status;
        replica_get_status(group->replica, &status);
        if (status.disk == DISK_OUTDATED && !group->force) {
            group_finish(group, -EPERM, "this node's copy is outdated; --force makes it the good one");
            return;
        }
        group->busy = true;
        if (status.disk == DISK_OUTDATED && config_of(group)->replication == REPLICATION_BUILTIN)
            replica_force_current(group->replica, initialized_this, group);
        else
            replica_promote(group->replica, true, initialized_alone, group);
    }
}

void group_init(struct group *group, bool skip_sync, bool force, unsigned timeout_ms, group_done *done,
                void *context)
{
    group->skip_sync = skip_sync;
    group->force = force;
    group_begin(group, GROUP_INITIALIZING, timeout_ms, done, context);
}
