/* Groups on this node: the steps of promotion, demotion and first start, and what replicas ask for.
 *
 *   promote: wait until the cluster serves and nobody owns -> replica Primary -> commit GROUP_ACQUIRE
 *   demote:  commit GROUP_RELEASE (held and drained on every node) -> replica Secondary
 *
 * Every step is taken by group_step(), called whenever something it may wait for has changed. */
#include <errno.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/container.h"
#include "target/daemon/daemon.h"

enum { RETRY_MS = 200 };

static const uint64_t WISH_NS = 60000000000u;

static void group_step(struct group *group);

static const struct config_group *config_of(const struct group *group)
{
    return &halund.config->groups[group->index];
}

static const struct shared_group *shared_of(const struct group *group)
{
    return &cluster_state(halund.cluster)->groups[group->index];
}

struct group *group_find(struct daemon *daemon, const char *name)
{
    for (unsigned i = 0; i < daemon->config->group_count; i++)
        if (!strcmp(daemon->config->groups[i].name, name))
            return &daemon->groups[i];
    return NULL;
}

static void retry(void *data)
{
    struct group *group = data;

    group->retry = 0;
    group_step(group);
}

static void step_later(struct group *group)
{
    if (!group->retry)
        qb_loop_timer_add(halund.loop, QB_LOOP_MED, RETRY_MS * 1000000ull, group, retry,
                          &group->retry);
}

static void finish(struct group *group, int error, const char *why)
{
    group_done *done = group->done;
    void *context = group->done_context;

    group->wish = GROUP_REST;
    group->busy = false;
    group->done = NULL;
    if (error)
        qb_log(LOG_ERR, "group %s: %s", config_of(group)->name, why);
    if (done)
        done(context, error, why);
}

static bool expired(struct group *group, const char *waits_for)
{
    char why[256];

    if (monotonic_ns() < group->deadline_ns) {
        step_later(group);
        return false;
    }
    snprintf(why, sizeof why, "gave up waiting for: %s", waits_for);
    finish(group, -ETIMEDOUT, why);
    return true;
}

/* ---- promotion ---- */

static void acquired(struct cluster_request *request, enum scsi_reason reason, uint8_t field)
{
    struct group *group = container_of(request, struct group, request);

    group->busy = false;
    if (reason == REASON_GOOD) {
        group->wished_ns = 0;
        qb_log(LOG_NOTICE, "group %s: this node is the owner", config_of(group)->name);
        finish(group, 0, "");
    } else if (reason == REASON_INSUFFICIENT_RESOURCES) {
        finish(group, -ENODATA, "this node's copy is not current");
    } else {
        expired(group, "the cluster to agree that this node is the owner");
    }
}

static void promoted(void *context, int error, const char *why)
{
    struct group *group = context;

    group->busy = false;
    if (error == -EAGAIN) { /* the peer was asked, or is just being lost */
        expired(group, why);
        return;
    }
    if (error) {
        finish(group, error, why);
        return;
    }
    group->primary = true;
    qb_log(LOG_NOTICE, "group %s: replica is Primary", config_of(group)->name);
    group_step(group);
}

static void commit_group(struct group *group, enum shared_op_kind kind,
                         void (*answer)(struct cluster_request *, enum scsi_reason, uint8_t))
{
    group->busy = true;
    memset(&group->request, 0, sizeof group->request);
    group->request.op.kind = kind;
    group->request.op.node = halund.self;
    group->request.op.group = group->index;
    group->request.op.lu = SHARED_NO_LU;
    group->request.answer = answer;
    cluster_submit(halund.cluster, &group->request);
}

static void step_promote(struct group *group)
{
    const struct shared_group *shared = shared_of(group);
    char waits[200];

    if (!halund.view.serving) {
        snprintf(waits, sizeof waits, "the cluster to serve (%s)",
                 halund.view.waiting[0] ? halund.view.waiting : "starting");
        expired(group, waits);
    } else if (shared->owner == halund.self && group->primary) {
        finish(group, 0, "");
    } else if (shared->owner && shared->owner != halund.self) {
        snprintf(waits, sizeof waits, "node %u to give the group up", shared->owner);
        expired(group, waits);
    } else if (!shared->current) {
        finish(group, -ENODATA,
               "no copy is current yet: run \"halunctl group init\" once on the node with the data");
    } else if (!(shared->current & 1u << halund.self)) {
        expired(group, "this node's copy to become current (resync)");
    } else if (!group->primary) {
        group->busy = true;
        replica_promote(group->replica, false, promoted, group);
    } else {
        commit_group(group, SHARED_OP_GROUP_ACQUIRE, acquired);
    }
}

void group_wished(struct group *group)
{
    qb_log(LOG_NOTICE, "group %s: an initiator wishes this node as owner", config_of(group)->name);
    group->wished_ns = monotonic_ns();
}

bool group_is_wished(const struct group *group)
{
    return group->wished_ns && monotonic_ns() - group->wished_ns < WISH_NS;
}

/* ---- demotion ---- */

static void demoted(void *context, int error, const char *why)
{
    struct group *group = context;

    group->busy = false;
    if (error) {
        finish(group, error, why);
        return;
    }
    group->primary = false;
    qb_log(LOG_NOTICE, "group %s: given up", config_of(group)->name);
    finish(group, 0, "");
}

static void released(struct cluster_request *request, enum scsi_reason reason, uint8_t field)
{
    struct group *group = container_of(request, struct group, request);

    group->busy = false;
    if (reason == REASON_GOOD)
        group_step(group);
    else
        expired(group, "the cluster to agree that this node gives the group up");
}

static void step_demote(struct group *group)
{
    const struct shared_group *shared = shared_of(group);

    if (shared->owner == halund.self) {
        commit_group(group, SHARED_OP_GROUP_RELEASE, released);
    } else if (group->primary && group->replica) {
        group->busy = true;
        replica_demote(group->replica, demoted, group);
    } else {
        group->primary = group->replica == NULL;
        finish(group, 0, "");
    }
}

/* ---- first start ---- */

static void made_current(struct cluster_request *request, enum scsi_reason reason, uint8_t field);

static void commit_current(struct group *group, unsigned node, unsigned slot)
{
    struct cluster_request *request = &group->current[slot];

    if (request->answer)
        return; /* on its way */
    memset(request, 0, sizeof *request);
    request->op.kind = SHARED_OP_CURRENT;
    request->op.node = node;
    request->op.group = group->index;
    request->op.lu = SHARED_NO_LU;
    request->answer = made_current;
    cluster_submit(halund.cluster, request);
}

static void made_current(struct cluster_request *request, enum scsi_reason reason, uint8_t field)
{
    struct group *group = &halund.groups[request->op.group];
    unsigned node = request->op.node;

    request->answer = NULL;
    if (reason != REASON_GOOD && !halund.stopping) {
        /* A copy that is equal must not stay unknown as such: ask again. */
        qb_log(LOG_WARNING, "group %s: node %u could not be recorded as current yet",
               config_of(group)->name, node);
        commit_current(group, node, (unsigned)(request - group->current));
        return;
    }
    qb_log(LOG_NOTICE, "group %s: the copy of node %u is current", config_of(group)->name, node);
    group_step(group);
}

static unsigned other_node(const struct group *group)
{
    const struct config_group *config = config_of(group);

    for (unsigned i = 0; i < config->node_count; i++)
        if (config->nodes[i] != halund.self)
            return config->nodes[i];
    return 0;
}

static void initialized_both(void *context, int error, const char *why)
{
    struct group *group = context;

    group->busy = false;
    if (error) {
        finish(group, error, why);
        return;
    }
    group->primary = false;
    commit_current(group, halund.self, 0);
    commit_current(group, other_node(group), 1);
}

static void initialized_alone(void *context, int error, const char *why)
{
    struct group *group = context;

    if (error) {
        group->busy = false;
        finish(group, error, why);
        return;
    }
    /* UpToDate now; nobody owns the group yet. Its peer is resynced when it connects. */
    replica_demote(group->replica, initialized_both, group);
}

static void step_init(struct group *group)
{
    const struct shared_group *shared = shared_of(group);

    if (!halund.view.serving) {
        expired(group, "the cluster to serve");
    } else if (shared->current) {
        bool both = !group->skip_sync || (shared->current & 1u << other_node(group));
        if ((shared->current & 1u << halund.self) && both)
            finish(group, 0, "");
        else if (group->current[0].answer || group->current[1].answer)
            return; /* made_current() goes on */
        else
            finish(group, -EEXIST, "the group is in use already");
    } else if (!group->replica) {
        commit_current(group, halund.self, 0);
    } else if (group->skip_sync) {
        struct replica_status status;
        replica_get_status(group->replica, &status);
        if (status.connection < CONN_CONNECTED) {
            expired(group, "the replication link to the peer");
            return;
        }
        group->busy = true;
        replica_new_current(group->replica, initialized_both, group);
    } else {
        struct replica_status status;
        replica_get_status(group->replica, &status);
        if (status.disk == DISK_OUTDATED && !group->force) {
            finish(group, -EPERM, "this node's copy is outdated; --force makes it the good one");
            return;
        }
        group->busy = true;
        replica_promote(group->replica, true, initialized_alone, group);
    }
}

static void group_step(struct group *group)
{
    if (group->busy)
        return;
    if (group->wish == GROUP_PROMOTING)
        step_promote(group);
    else if (group->wish == GROUP_DEMOTING)
        step_demote(group);
    else if (group->wish == GROUP_INITIALIZING)
        step_init(group);
}

static void begin(struct group *group, enum group_wish wish, unsigned timeout_ms, group_done *done,
                  void *context)
{
    if (group->wish != GROUP_REST) {
        done(context, -EBUSY, "the group is busy with another request");
        return;
    }
    group->wish = wish;
    group->deadline_ns = monotonic_ns() + timeout_ms * 1000000ull;
    group->done = done;
    group->done_context = context;
    group_step(group);
}

void group_promote(struct group *group, unsigned timeout_ms, group_done *done, void *context)
{
    begin(group, GROUP_PROMOTING, timeout_ms, done, context);
}

void group_demote(struct group *group, unsigned timeout_ms, group_done *done, void *context)
{
    begin(group, GROUP_DEMOTING, timeout_ms, done, context);
}

void group_init(struct group *group, bool skip_sync, bool force, unsigned timeout_ms, group_done *done,
                void *context)
{
    group->skip_sync = skip_sync;
    group->force = force;
    begin(group, GROUP_INITIALIZING, timeout_ms, done, context);
}

/* ---- what the replica asks for ---- */

static void outdate_step(struct group *group);

static void outdate_retry(void *data)
{
    struct group *group = data;

    group->outdate_busy = false;
    outdate_step(group);
}

static void outdated(struct cluster_request *request, enum scsi_reason reason, uint8_t field)
{
    struct group *group = container_of(request, struct group, outdate);

    if (reason == REASON_GOOD) {
        group->outdate_busy = false;
        group->outdate_wanted = false;
        qb_log(LOG_NOTICE, "group %s: agreed that the copy of node %u is outdated",
               config_of(group)->name, group->outdate_node);
        if (group->outdate_node == halund.self)
            replica_self_outdated(group->replica, true);
        else
            replica_peer_outdated(group->replica, true);
        return;
    }
    qb_loop_timer_add(halund.loop, QB_LOOP_MED, RETRY_MS * 1000000ull, group, outdate_retry, NULL);
}

static void outdate_step(struct group *group)
{
    if (!group->outdate_wanted || group->outdate_busy || halund.stopping)
        return;
    group->outdate_busy = true;
    memset(&group->outdate, 0, sizeof group->outdate);
    group->outdate.op.kind = SHARED_OP_OUTDATE;
    group->outdate.op.node = group->outdate_node;
    group->outdate.op.group = group->index;
    group->outdate.op.lu = SHARED_NO_LU;
    group->outdate.op.action = group->outdate_node == halund.self;
    group->outdate.answer = outdated;
    cluster_submit(halund.cluster, &group->outdate);
}

static struct group *group_of(struct replica *replica)
{
    for (unsigned i = 0; i < LIMIT_GROUPS; i++)
        if (halund.groups[i].replica == replica)
            return &halund.groups[i];
    return NULL;
}

static void on_outdate_peer(void *context, struct replica *replica, unsigned peer_node)
{
    struct group *group = group_of(replica);

    if (!group)
        return;
    qb_log(LOG_WARNING, "group %s: the copy of node %u gets no writes any more, asking to outdate it",
           config_of(group)->name, peer_node);
    group->outdate_node = peer_node;
    group->outdate_wanted = true;
    outdate_step(group);
}

static void on_outdate_self(void *context, struct replica *replica)
{
    struct group *group = group_of(replica);

    if (!group)
        return;
    qb_log(LOG_WARNING, "group %s: the disk of this node failed, asking to outdate its copy",
           config_of(group)->name);
    group->outdate_node = halund.self;
    group->outdate_wanted = true;
    outdate_step(group);
}

static void on_current(void *context, struct replica *replica, unsigned node)
{
    struct group *group = group_of(replica);

    if (!group)
        return;
    group->outdate_wanted = false;
    if (!(shared_of(group)->current & 1u << node))
        commit_current(group, node, node == halund.self ? 0 : 1);
}

static void on_changed(void *context, struct replica *replica)
{
    struct group *group = group_of(replica);

    if (group)
        group_step(group);
}

const struct replica_callbacks groups_replica_callbacks = {
    .outdate_peer = on_outdate_peer,
    .outdate_self = on_outdate_self,
    .current = on_current,
    .changed = on_changed,
};

void groups_changed(void)
{
    for (unsigned i = 0; i < halund.config->group_count; i++) {
        group_step(&halund.groups[i]);
        outdate_step(&halund.groups[i]);
    }
}

void groups_init(struct daemon *daemon)
{
    for (unsigned i = 0; i < daemon->config->group_count; i++) {
        daemon->groups[i].index = i;
        daemon->groups[i].primary = daemon->groups[i].replica == NULL;
    }
}
