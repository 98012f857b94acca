#include "target/daemon/reinstate.h"

#include <qb/qblog.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/container.h"
#include "target/daemon/group.h"

static void ask(struct group *group);

void reinstate_follow(struct group *group, const struct shared_group *shared, const struct shared_effect *effect)
{
    if (effect->kind == SHARED_EFFECT_OUTDATE) {
        group->outdated_epoch = effect->cleared ? shared->epoch : 0;
        group->outdated_told = false;
    } else if (group->outdated_epoch && shared->epoch == group->outdated_epoch + 1 && !shared->owner &&
               effect->node == halund.self) {
        group->outdated_epoch = shared->epoch;
    }
}

/* ---- the other node's copy ---- */

static void again(void *data)
{
    struct group *group = data;

    group->reinstate.answer = NULL;
    ask(group);
}

static void answered(struct cluster_request *request, enum scsi_reason reason, uint8_t field)
{
    struct group *group = container_of(request, struct group, reinstate);

    if (reason == REASON_NOT_READY_TRANSITION && !halund.stopping) {
        qb_loop_timer_add(halund.loop, QB_LOOP_MED, GROUP_RETRY_MS * 1000000ull, group, again, NULL);
        return;
    }
    request->answer = NULL;
    if (reason == REASON_GOOD || shared_of(group)->current & 1u << request->op.node)
        qb_log(LOG_NOTICE, "group %s: the copy of node %u is current again: nothing was acknowledged without it",
               config_of(group)->name, request->op.node);
    else
        qb_log(LOG_ERR,
               "group %s: the disk of this node failed, and the outdating of the copy of node %u cannot be taken back any "
               "more: see \"halunctl group make-current\"",
               config_of(group)->name, request->op.node);
    group_step(group);
}

static void ask(struct group *group)
{
    memset(&group->reinstate, 0, sizeof group->reinstate);
    if (!group->replica || !group->outdated_epoch)
        return;
    group->reinstate.op.kind = SHARED_OP_REINSTATE;
    group->reinstate.op.node = other_node(group);
    group->reinstate.op.group = group->index;
    group->reinstate.op.lu = SHARED_NO_LU;
    group->reinstate.op.epoch = group->outdated_epoch;
    group->reinstate.answer = answered;
    cluster_submit(halund.cluster, &group->reinstate);
}

void reinstate_other_copy(struct group *group)
{
    if (group->reinstate.answer || !group->outdated_epoch)
        return; /* it was not current before either */
    if (config_of(group)->replication != REPLICATION_BUILTIN)
        return; /* DRBD may go on alone without being told */
    qb_log(LOG_WARNING,
           "group %s: the disk of this node failed before it went on alone: the copy of node %u is made current again",
           config_of(group)->name, other_node(group));
    ask(group);
}

/* ---- this node's copy ---- */

struct reinstating {
    void (*done)(void *context);
    void *context;
};

static void reinstated(void *context, int error, const char *why)
{
    struct reinstating *reinstating = context;

    reinstating->done(reinstating->context);
    free(reinstating);
}

void reinstate_own_copy(struct group *group, void (*done)(void *context), void *context)
{
    struct reinstating *reinstating = malloc(sizeof *reinstating);

    if (!reinstating)
        abort();
    *reinstating = (struct reinstating){done, context};
    replica_reinstate(group->replica, reinstated, reinstating);
}
