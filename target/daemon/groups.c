/* Groups on this node: the steps of promotion and demotion, whatever the engine below. First starts are in
 * group_start.c, an old copy that has to do in group_current.c, what replicas ask for in group_copies.c.
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
#include "target/daemon/group.h"

enum {
    RELEASE_MS = 2000, /* for an agreement that writes wait for */
    YIELD_MS = 10000, /* for Pacemaker's way from demote to promote; then the group is released */
    ASK_MS = 500,     /* a message may get lost with its sender */
};

static const uint64_t WISH_NS = 60000000000u;

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
        qb_loop_timer_add(halund.loop, QB_LOOP_MED, GROUP_RETRY_MS * 1000000ull, group, retry,
                          &group->retry);
}

void group_finish(struct group *group, int error, const char *why)
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
bool group_expired(struct group *group, const char *waits_for)
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
    group_finish(group, -ETIMEDOUT, why);
    return true;
}

/* ---- facts ---- */

static struct group_facts facts_of(const struct group *group)
{
    const struct shared_group *shared = shared_of(group);
    uint32_t other = 1u << other_node(group);
    struct group_facts facts = {
        .wish = group->wish,
        .yielding = group->yielding,
        .asked = group->asked,
        .late = group->yielding && monotonic_ns() >= group->yield_ns,
        .serving = halund.view.serving,
        .handover = halund.view.wire >= 2 && !config_of(group)->drbd_peer.length &&
                    replica_hands_over(config_of(group)->replication),
        .self = halund.self,
        .owner = shared->owner,
        .current = shared->current,
        .confirmed = group->confirmed,
        .draining = group->ticket,
        .replicated = group->replica,
        .primary = group->primary,
        .ready = true,
    };
    struct replica_status status;

    if (group->replica) {
        replica_get_status(group->replica, &status);
        facts.peer_primary = status.connection >= CONN_CONNECTED &&
                             status.peer_role == REPLICA_PRIMARY &&
                             (halund.view.members & other);
        /* Incomplete: lost something with its power, or the connection before it was sent what it had missed. It waits for
         * the other copy even if that one's daemon is not here. */
        facts.doubtful = config_of(group)->replication == REPLICATION_BUILTIN && status.disk != DISK_DISKLESS &&
                         status.connection < CONN_CONNECTED && (shared->current & other) &&
                         (!status.complete ||
                          (status.disk == DISK_CONSISTENT && cluster_present(halund.cluster) & other));
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
    } else if (reason == REASON_INSUFFICIENT_RESOURCES && group->primary) {
        /* Outdated as it became Primary: given back first, it could never be marked as such, or resynchronised. */
        group_step(group);
    } else if (reason == REASON_INSUFFICIENT_RESOURCES) {
        group_finish(group, -ENODATA, "this node's copy is not current");
    } else {
        group_expired(group, "the cluster to agree that this node is the owner");
    }
}

static void promoted(void *context, int error, const char *why)
{
    struct group *group = context;

    group->busy = false;
    if (error == -EAGAIN) { /* the peer was asked, or is just being lost */
        group_expired(group, why);
        return;
    }
    if (error) {
        group_finish(group, error, why);
        return;
    }
    group->primary = true;
    group->primary_ns = monotonic_ns();
    qb_log(LOG_NOTICE, "group %s: replica is Primary", config_of(group)->name);
    group_step(group);
}

void group_commit(struct group *group, enum shared_op_kind kind,
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
        snprintf(waits, sizeof waits, "%s to give the group up", nodes_name(shared_of(group)->owner));
        break;
    case GROUP_NOT_CURRENT:
        snprintf(waits, sizeof waits, "this node's copy to become current (resync)");
        break;
    case GROUP_DRAINING:
        snprintf(waits, sizeof waits, "what the last owner of the group still executes");
        break;
    case GROUP_PEER_IS_PRIMARY:
        snprintf(waits, sizeof waits, "the copy of %s to become Secondary",
                 nodes_name(other_node(group)));
        break;
    case GROUP_NOT_COMPARED:
        snprintf(waits, sizeof waits, "the copies to be compared: %s has a current one too, and is not connected",
                 nodes_name(other_node(group)));
        break;
    }
    group_expired(group, waits);
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

/* As a Primary it refused to become the target of the other copy, the current one, and that is not tried again by itself. */
static void become_target(struct group *group)
{
    uint32_t current = shared_of(group)->current;
    struct replica_status status;

    if (!group->replica || !current || current & 1u << halund.self || halund.stopping)
        return;
    replica_get_status(group->replica, &status);
    if (status.connection == CONN_STANDALONE)
        replica_connect(group->replica, false);
}

static void demoted(void *context, int error, const char *why)
{
    struct group *group = context;

    group->busy = false;
    if (error && group->wish == GROUP_REST) {
        group_expired(group, why);
        return;
    }
    if (error) {
        group_finish(group, error, why);
        return;
    }
    group->primary = false;
    become_target(group);
    group_step(group);
}

static void give_up_later(struct group *group, unsigned ms);

/* When this node's disk has failed, nobody agrees any more that the peer's copy is outdated: what waits for that, or for the
 * peer, would keep the group from being given up, and with it whatever else all members have to acknowledge. */
static void release_late(void *data)
{
    struct group *group = data;

    group->release_late = 0;
    if (!group->replica)
        return;
    if (shared_of(group)->owner != halund.self && group_disk_failed(group))
        replica_give_up(group->replica);
    give_up_later(group, GROUP_RETRY_MS);
}

static void give_up_later(struct group *group, unsigned ms)
{
    qb_loop_timer_add(halund.loop, QB_LOOP_MED, ms * 1000000ull, group, release_late, &group->release_late);
}

static void released(struct cluster_request *request, enum scsi_reason reason, uint8_t field)
{
    struct group *group = container_of(request, struct group, request);

    if (group->release_late)
        qb_loop_timer_del(halund.loop, group->release_late);
    group->release_late = 0;
    group->busy = false;
    if (reason == REASON_GOOD)
        group_step(group);
    else
        group_expired(group, "the cluster to agree that this node gives the group up");
}

void group_asked(struct group *group, unsigned node)
{
    if (!group->yielding)
        return; /* Pacemaker has not demoted it here */
    group->asked = true;
    group->successor = node;
    qb_log(LOG_NOTICE, "group %s: handed over to %s", config_of(group)->name, nodes_name(node));
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
        group_finish(group, 0, "");
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
        group_finish(group, -ENODATA,
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
        group_commit(group, SHARED_OP_GROUP_ACQUIRE, acquired);
        break;
    case GROUP_RELEASE:
        give_up_later(group, RELEASE_MS);
        group_commit(group, SHARED_OP_GROUP_RELEASE, released);
        break;
    }
}

/* Something else than to give the group up is wished, which may rely on what the stop takes away: with its replica a group
 * looks like one that has none. */
static bool end_for_stop(struct group *group)
{
    if (!halund.stopping || group->wish == GROUP_REST || group->wish == GROUP_DEMOTING)
        return false;
    group_finish(group, -ESHUTDOWN, "the daemon is stopping");
    return true;
}

void group_step(struct group *group)
{
    struct group_facts facts;
    struct group_plan plan;

    if (group->busy || end_for_stop(group))
        return;
    if (group->wish == GROUP_INITIALIZING) {
        group_start_step(group);
        return;
    }
    if (group->wish == GROUP_MAKING_CURRENT) {
        group_current_step(group);
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

void group_begin(struct group *group, enum group_wish wish, unsigned timeout_ms, group_done *done,
                  void *context)
{
    if (!group->busy)
        end_for_stop(group);
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
    group_begin(group, GROUP_PROMOTING, timeout_ms, done, context);
}

void group_demote(struct group *group, bool yield, unsigned timeout_ms, group_done *done, void *context)
{
    struct group_facts facts = facts_of(group);

    if (!yield || group->wish != GROUP_REST || group->busy ||
        !group_may_yield(&facts, halund.view.members)) {
        group_begin(group, GROUP_DEMOTING, timeout_ms, done, context);
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

void groups_changed(void)
{
    for (unsigned i = 0; i < halund.config->group_count; i++) {
        group_step(&halund.groups[i]);
        group_outdate_step(&halund.groups[i]);
    }
}

void groups_init(struct daemon *daemon)
{
    for (unsigned i = 0; i < daemon->config->group_count; i++) {
        daemon->groups[i].index = i;
        daemon->groups[i].primary = daemon->groups[i].replica == NULL;
    }
}
