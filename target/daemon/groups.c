/* Groups on this node: the steps of promotion, demotion and first start, and what replicas ask for.
 *
 *   promote: wait until the cluster serves and nobody owns -> replica Primary -> commit GROUP_ACQUIRE -> open
 *   demote:  commit GROUP_RELEASE (held and drained on every node) -> replica Secondary
 *   demote, to be handed over: executed on, until the successor asks; then as above
 *
 * What comes next is decided by group_plan(); every step is taken by group_step(), called whenever something
 * it may wait for has changed. */
#include <errno.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/container.h"
#include "target/daemon/daemon.h"
#include "target/daemon/replica_control.h"

enum {
    RETRY_MS = 200,
    YIELD_MS = 10000, /* for Pacemaker's way from demote to promote; then the group is released */
    ASK_MS = 500,     /* a message may get lost with its sender */
};

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

static const char *node_name(unsigned id)
{
    for (unsigned i = 0; i < halund.config->node_count; i++)
        if (halund.config->nodes[i].id == id)
            return halund.config->nodes[i].name;
    return "nobody";
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
    group->waits[0] = '\0';
    if (error)
        qb_log(LOG_ERR, "group %s: %s", config_of(group)->name, why);
    if (done)
        done(context, error, why);
}

/* Tried again, unless it was wished and the time for it is over. */
static bool expired(struct group *group, const char *waits_for)
{
    char why[256];

    if (strcmp(group->waits, waits_for)) {
        snprintf(group->waits, sizeof group->waits, "%s", waits_for);
        qb_log(LOG_INFO, "group %s: waits for %s", config_of(group)->name, waits_for);
    }
    if (group->wish == GROUP_REST || monotonic_ns() < group->deadline_ns) {
        step_later(group);
        return false;
    }
    snprintf(why, sizeof why, "gave up waiting for: %s", waits_for);
    finish(group, -ETIMEDOUT, why);
    return true;
}

/* ---- facts ---- */

static unsigned other_node(const struct group *group)
{
    const struct config_group *config = config_of(group);

    for (unsigned i = 0; i < config->node_count; i++)
        if (config->nodes[i] != halund.self)
            return config->nodes[i];
    return 0;
}

static struct group_facts facts_of(const struct group *group)
{
    const struct shared_group *shared = shared_of(group);
    struct group_facts facts = {
        .wish = group->wish,
        .yielding = group->yielding,
        .asked = group->asked,
        .late = group->yielding && monotonic_ns() >= group->yield_ns,
        .serving = halund.view.serving,
        /* Where something else below the group has a role, it has to be given up in Pacemaker's order. */
        .handover = halund.view.wire >= 2 && !config_of(group)->drbd_peer.length &&
                    (config_of(group)->replication == REPLICATION_NONE ||
                     config_of(group)->replication == REPLICATION_BUILTIN),
        .self = halund.self,
        .owner = shared->owner,
        .current = shared->current,
        .confirmed = group->confirmed,
        .replicated = group->replica,
        .primary = group->primary,
        .ready = true,
    };
    struct replica_status status;

    if (group->replica) {
        replica_get_status(group->replica, &status);
        facts.peer_primary = status.connection >= CONN_CONNECTED &&
                             status.peer_role == REPLICA_PRIMARY &&
                             (halund.view.members & 1u << other_node(group));
        facts.ready = status.connection >= CONN_CONNECTED && status.disk == DISK_UP_TO_DATE;
    }
    return facts;
}

/* ---- promotion ---- */

/* How the time from the loss of a node to the new owner was spent. */
static void tell_failover(const struct group *group)
{
    uint64_t now = monotonic_ns(), lost = halund.lost_ns;
    uint64_t whole = halund.whole_ns > lost ? halund.whole_ns - lost : 0;
    uint64_t wished = group->promote_ns > lost ? group->promote_ns - lost : 0;
    uint64_t primary = group->primary_ns > lost ? group->primary_ns - lost : 0;

    if (!lost || lost < group->promoted_ns || now - lost > WISH_NS)
        return;
    qb_log(LOG_NOTICE,
           "group %s: failover in %llu ms since a member vanished: it was harmless after %llu ms, "
           "Pacemaker promoted here after %llu ms, this copy was Primary after %llu ms",
           config_of(group)->name, (unsigned long long)((now - lost) / 1000000),
           (unsigned long long)(whole / 1000000), (unsigned long long)(wished / 1000000),
           (unsigned long long)(primary / 1000000));
}

static void acquired(struct cluster_request *request, enum scsi_reason reason, uint8_t field)
{
    struct group *group = container_of(request, struct group, request);

    group->busy = false;
    if (reason == REASON_GOOD) {
        group->wished_ns = 0;
        if (shared_of(group)->owner == halund.self)
            decisions_open(group);
        qb_log(LOG_NOTICE, "group %s: this node is the owner", config_of(group)->name);
        tell_failover(group);
        group->promoted_ns = monotonic_ns();
        group_step(group);
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
    group->primary_ns = monotonic_ns();
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

static void ask_owner(struct group *group)
{
    uint64_t now = monotonic_ns();

    if (group->asked_ns && now - group->asked_ns < ASK_MS * 1000000ull)
        return;
    group->asked_ns = now;
    cluster_ask_handover(halund.cluster, group->index);
}

static void wait_for(struct group *group, enum group_obstacle obstacle)
{
    char waits[220] = "";

    switch (obstacle) {
    case GROUP_NO_OBSTACLE:
        return;
    case GROUP_NOT_SERVING:
        snprintf(waits, sizeof waits, "the cluster to serve (%s)",
                 halund.view.waiting[0] ? halund.view.waiting : "starting");
        break;
    case GROUP_OTHER_OWNS:
        snprintf(waits, sizeof waits, "%s to give the group up", node_name(shared_of(group)->owner));
        break;
    case GROUP_NOT_CURRENT:
        snprintf(waits, sizeof waits, "this node's copy to become current (resync)");
        break;
    case GROUP_PEER_IS_PRIMARY:
        snprintf(waits, sizeof waits, "the copy of %s to become Secondary",
                 node_name(other_node(group)));
        break;
    }
    expired(group, waits);
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
    if (error && group->wish == GROUP_REST) {
        expired(group, why);
        return;
    }
    if (error) {
        finish(group, error, why);
        return;
    }
    group->primary = false;
    group_step(group);
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

void group_asked(struct group *group, unsigned node)
{
    if (!group->yielding)
        return; /* Pacemaker has not demoted it here */
    group->asked = true;
    group->successor = node;
    qb_log(LOG_NOTICE, "group %s: handed over to %s", config_of(group)->name, node_name(node));
    group_step(group);
}

/* What was wished is so; or a handover, that nobody waits for, is over. */
static void reached(struct group *group)
{
    if (group->wish == GROUP_DEMOTING || group->yielding)
        qb_log(LOG_NOTICE, "group %s: given up", config_of(group)->name);
    group->yielding = group->asked = false;
    if (group->wish == GROUP_REST)
        group->waits[0] = '\0';
    else
        finish(group, 0, "");
}

static void make_move(struct group *group, const struct group_plan *plan)
{
    switch (plan->move) {
    case GROUP_WAIT:
        wait_for(group, plan->waits_for);
        break;
    case GROUP_DONE:
        reached(group);
        break;
    case GROUP_REFUSE:
        finish(group, -ENODATA,
               "no copy is current yet: run \"halunctl group init\" once on the node with the data");
        break;
    case GROUP_ASK:
        ask_owner(group);
        wait_for(group, plan->waits_for);
        break;
    case GROUP_MAKE_PRIMARY:
        group->busy = true;
        replica_promote(group->replica, false, promoted, group);
        break;
    case GROUP_MAKE_SECONDARY:
        group->busy = true;
        replica_demote(group->replica, demoted, group);
        break;
    case GROUP_ACQUIRE:
        commit_group(group, SHARED_OP_GROUP_ACQUIRE, acquired);
        break;
    case GROUP_RELEASE:
        commit_group(group, SHARED_OP_GROUP_RELEASE, released);
        break;
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
    if (other_node(group))
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
        bool both = !group->skip_sync || !other_node(group) ||
                    (shared->current & 1u << other_node(group));
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
    struct group_facts facts;
    struct group_plan plan;

    if (group->busy)
        return;
    if (group->wish == GROUP_INITIALIZING) {
        step_init(group);
        return;
    }
    if (group->wish == GROUP_REST && !group->yielding)
        return;
    facts = facts_of(group);
    plan = group_plan(&facts);
    if (group->yielding && plan.move == GROUP_WAIT)
        step_later(group); /* it may become late */
    make_move(group, &plan);
}

static void begin(struct group *group, enum group_wish wish, unsigned timeout_ms, group_done *done,
                  void *context)
{
    if (group->wish != GROUP_REST) {
        done(context, -EBUSY, "the group is busy with another request");
        return;
    }
    group->wish = wish;
    group->yielding = group->asked = false; /* a handover under way goes on as this */
    group->deadline_ns = monotonic_ns() + timeout_ms * 1000000ull;
    group->done = done;
    group->done_context = context;
    group_step(group);
}

void group_promote(struct group *group, unsigned timeout_ms, group_done *done, void *context)
{
    if (group->wish == GROUP_REST && (!group->promote_ns || group->promote_ns < group->promoted_ns ||
                                      group->promote_ns < halund.lost_ns))
        group->promote_ns = monotonic_ns();
    if (!halund.view.serving) /* Pacemaker does not promote before it has fenced */
        cluster_look(halund.cluster);
    begin(group, GROUP_PROMOTING, timeout_ms, done, context);
}

void group_demote(struct group *group, bool yield, unsigned timeout_ms, group_done *done, void *context)
{
    struct group_facts facts = facts_of(group);

    if (!yield || group->wish != GROUP_REST || group->busy ||
        !group_may_yield(&facts, halund.view.members)) {
        begin(group, GROUP_DEMOTING, timeout_ms, done, context);
        return;
    }
    if (!group->yielding) {
        qb_log(LOG_NOTICE, "group %s: demoted; executed here until the successor asks, %u s at most",
               config_of(group)->name, YIELD_MS / 1000);
        group->yielding = true;
        group->asked = false;
        group->yield_ns = monotonic_ns() + YIELD_MS * 1000000ull;
        step_later(group);
    }
    done(context, 0, "");
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

/* A peer outside the cluster cannot be outdated by agreement. By configuration it need not be (as DRBD's
 * fencing dont-care), else an operator has to say that its copy is not used. */
static void outside_lost(struct group *group)
{
    if (config_of(group)->peer_lost == CONFIG_LOST_GO_ON) {
        qb_log(LOG_WARNING, "group %s: %s is lost, going on alone", config_of(group)->name,
               config_of(group)->drbd_peer.text);
        replica_peer_outdated(group->replica, true);
        return;
    }
    qb_log(LOG_WARNING, "group %s: %s is lost: writes wait for it, or for \"halunctl group alone %s\"",
           config_of(group)->name, config_of(group)->drbd_peer.text, config_of(group)->name);
    group->alone_awaited = true;
}

int group_alone(struct group *group, char why[256])
{
    if (!config_of(group)->drbd_peer.length) {
        snprintf(why, 256, "the copies of this group are outdated by the cluster itself");
        return -EPERM;
    }
    if (!group->alone_awaited) {
        snprintf(why, 256, "no write waits for %s", config_of(group)->drbd_peer.text);
        return -EAGAIN;
    }
    qb_log(LOG_WARNING, "group %s: the operator says that the copy of %s is not used",
           config_of(group)->name, config_of(group)->drbd_peer.text);
    group->alone_awaited = false;
    replica_peer_outdated(group->replica, true);
    return 0;
}

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
        unsigned node = group->outdate.op.node;

        group->outdate_busy = false;
        qb_log(LOG_NOTICE, "group %s: agreed that the copy of node %u is outdated",
               config_of(group)->name, node);
        if (node == group->outdate_node)
            group->outdate_wanted = false;
        else /* the other one was wanted meanwhile */
            outdate_step(group);
        if (!group->replica)
            return; /* units are being closed: the answer came behind them */
        if (node == halund.self)
            replica_self_outdated(group->replica, true);
        else
            replica_peer_outdated(group->replica, true);
        return;
    }
    qb_loop_timer_add(halund.loop, QB_LOOP_MED, RETRY_MS * 1000000ull, group, outdate_retry, NULL);
}

static void outdate_step(struct group *group)
{
    /* Asked for while stopping, too: writes that wait for it keep the group from being given up. */
    if (!group->outdate_wanted || group->outdate_busy || !group->replica)
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
    if (peer_node == REPLICA_PEER_OUTSIDE) {
        outside_lost(group);
        return;
    }
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
    if (config_of(group)->drbd_peer.length) {
        replica_self_outdated(group->replica, true); /* no node of the cluster has another to prefer */
        return;
    }
    group->outdate_node = halund.self;
    group->outdate_wanted = true;
    outdate_step(group);
}

static void on_current(void *context, struct replica *replica, unsigned node)
{
    struct group *group = group_of(replica);

    if (!group)
        return;
    group->outdate_wanted = group->alone_awaited = false;
    if (node == REPLICA_PEER_OUTSIDE)
        node = halund.self; /* as good as the other: may be promoted */
    if (!(shared_of(group)->current & 1u << node))
        commit_current(group, node, node == halund.self ? 0 : 1);
}

static void on_changed(void *context, struct replica *replica)
{
    struct group *group = group_of(replica);

    replica_events_changed();
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
