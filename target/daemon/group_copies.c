/* The copies of groups: which are current is agreed by the cluster. What replicas ask for and
 * report, and the answers to them; the same for every engine. */
#include <errno.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <string.h>

#include "target/base/container.h"
#include "target/daemon/group.h"
#include "target/daemon/kept.h"
#include "target/daemon/reinstate.h"
#include "target/daemon/replica_control.h"

enum { LOST_MS = 60000 }; /* to give a group up whose split brain is settled by that */

static bool member(unsigned node)
{
    return cluster_state(halund.cluster)->members & 1u << node;
}

/* ---- what is agreed, told to the replicas ---- */

static enum replica_standing standing_of(const struct group *group)
{
    const struct shared_group *shared = shared_of(group);
    unsigned other = other_node(group);
    bool mine = shared->current & 1u << halund.self, theirs = shared->current & 1u << other;

    if (!halund.view.serving)
        return REPLICA_UNSETTLED;
    /* An owner that is lost is decided about at the place where it stops being the owner (shared_members()), in favour of a
     * copy that is current. */
    if (shared->owner == other && mine)
        return REPLICA_OWNED;
    if (mine == theirs)
        return mine ? REPLICA_EQUAL : REPLICA_NONE;
    return mine ? REPLICA_BETTER : REPLICA_WORSE;
}

static void tell_standing(struct group *group)
{
    enum replica_standing standing;

    /* A copy that is just being recorded as current is as good as that. */
    if (!group->replica || !other_node(group) || group->current[0].answer ||
        group->current[1].answer)
        return;
    standing = standing_of(group);
    if (standing == group->standing)
        return;
    group->standing = standing;
    replica_set_standing(group->replica, standing);
}

/* ---- a copy that stayed connected, and is not recorded any more ---- */

static void confirmed_equal(void *context, int error, const char *why)
{
    ((struct group *)context)->confirming = false;
}

/* Of an owner whose disk failed the peer has all, or the replica does not say so. */
static bool seems_equal(const struct group *group)
{
    struct replica_status status;

    replica_get_status(group->replica, &status);
    return status.connection == CONN_CONNECTED &&
           (status.disk == DISK_UP_TO_DATE || (group->primary && status.disk == DISK_FAILED)) &&
           status.peer_disk == DISK_UP_TO_DATE && status.link != group->given_up;
}

/* An outdating of the peer's copy goes first; one of this node's, whose disk failed, waits for the peer's to be current. */
static bool giving_up_peer(const struct group *group)
{
    return (group->outdate_wanted && group->outdate_node != halund.self) ||
           (group->outdate_busy && group->outdate.op.node != halund.self);
}

/* Copies stop being current at the place where an owner is dropped from the members, and where a node comes back
 * (shared_members()). That says nothing to a connection that was made before, and no other event will: so what is
 * equal is told once more. Not of a copy that is given up by agreement, which leaves this connection if its node is a
 * member. What the replica says may be about a process that has ended unnoticed: it asks the peer. */
static void compare_record(struct group *group)
{
    const struct shared_group *shared = shared_of(group);
    unsigned other = other_node(group);
    uint32_t self = 1u << halund.self;

    if (!group->replica || !other || !shared->replicated || !halund.view.serving || group->confirming)
        return;
    if ((shared->current & (self | 1u << other)) != self || !member(other) || giving_up_peer(group) ||
        group->current[0].answer || group->current[1].answer || !seems_equal(group))
        return;
    group->confirming = true;
    replica_confirm_equal(group->replica, confirmed_equal, group);
}

void group_given_up(struct group *group)
{
    struct replica_status status;

    if (!group->replica)
        return;
    replica_get_status(group->replica, &status);
    group->given_up = member(other_node(group)) && status.connection >= CONN_CONNECTED ? status.link : 0;
}

static void outdate_again(struct group *group, unsigned node)
{
    if (shared_of(group)->owner == node || group->outdate_wanted)
        return;
    qb_log(LOG_WARNING, "group %s: the copy of node %u is recorded as current, but has to be filled: asking to outdate it",
           config_of(group)->name, node);
    group->outdate_node = node;
    group->outdate_filled = node == halund.self;
    group->outdate_wanted = true;
    group_outdate_step(group);
}

/* Equal for a moment behind the agreement, a copy was about to be recorded as current when it was given up, or its disk failed and
 * was attached anew: that record is not true, and would be believed if the other copy was lost before the resync is over. */
static void take_back(struct group *group)
{
    uint32_t current = shared_of(group)->current, self = 1u << halund.self;
    struct replica_status status;

    if (!(group->invalidated || group->other_invalidated || group->attached) || !group->replica)
        return;
    replica_get_status(group->replica, &status);
    group->attached &= status.disk != DISK_UP_TO_DATE;
    if (group->attached && current & self && current != self)
        outdate_again(group, halund.self);
    if (status.connection == CONN_CONNECTED && status.peer_disk == DISK_UP_TO_DATE)
        group->other_invalidated = false;
    if (group->other_invalidated && current & self && current & 1u << other_node(group))
        outdate_again(group, other_node(group));
    if (!group->invalidated || !(current & self))
        return;
    group->invalidated = status.disk == DISK_INCONSISTENT;
    if (group->invalidated && current != self)
        outdate_again(group, halund.self);
}

void group_invalidated(struct group *group, bool other)
{
    *(other ? &group->other_invalidated : &group->invalidated) = true;
    take_back(group);
}

void group_replaced(struct group *group)
{
    group->standing = REPLICA_UNSETTLED;
    group->kept = false;
    kept_note(halund.config->state_dir, config_of(group)->name, KEPT_NOT);
    group->outdated_epoch = 0;
    group->outdated_told = group->invalidated = group->other_invalidated = false;
    group->survivor_told = group->alone_awaited = false;
    group->given_up = 0;
    group->attached = true;
    take_back(group);
    tell_standing(group);
    replica_events_changed();
}

void groups_recorded(void)
{
    for (unsigned i = 0; i < halund.config->group_count; i++) {
        take_back(&halund.groups[i]);
        tell_standing(&halund.groups[i]);
        compare_record(&halund.groups[i]);
    }
}

/* ---- a copy is current again ---- */

static void made_current(struct cluster_request *request, enum scsi_reason reason, uint8_t field);

void group_commit_current(struct group *group, unsigned node, unsigned slot)
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
    if (reason != REASON_GOOD && group->outdate_wanted && group->outdate_node == node)
        return; /* lost again: said once more when it is equal once more */
    if (reason != REASON_GOOD && !halund.stopping) {
        /* A copy that is equal must not stay unknown as such: ask again. */
        qb_log(LOG_WARNING, "group %s: node %u could not be recorded as current yet",
               config_of(group)->name, node);
        group_commit_current(group, node, (unsigned)(request - group->current));
        return;
    }
    qb_log(LOG_NOTICE, "group %s: the copy of node %u is current", config_of(group)->name, node);
    tell_standing(group);
    group_step(group);
}

/* ---- a copy gets no writes any more ---- */

/* A peer outside the cluster cannot be outdated by agreement. By configuration it need not be (as
 * DRBD's fencing dont-care), else an operator has to say that its copy is not used. */
static void outside_lost(struct group *group)
{
    if (config_of(group)->peer_lost == CONFIG_LOST_GO_ON) {
        qb_log(LOG_WARNING, "group %s: %s is lost, going on alone", config_of(group)->name,
               config_of(group)->drbd_peer.text);
        replica_peer_outdated(group->replica, true);
        return;
    }
    qb_log(LOG_WARNING,
           "group %s: %s is lost: writes wait for it, or for \"halunctl group alone %s\"",
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

bool group_disk_failed(const struct group *group)
{
    struct replica_status status;

    replica_get_status(group->replica, &status);
    return status.disk == DISK_FAILED;
}

static void outdate_retry(void *data)
{
    struct group *group = data;

    group->outdate_busy = false;
    /* It may be recorded for all that, and is not asked for any more. */
    if (group->replica && !group->outdated_told && group->outdate.op.node != halund.self && group_disk_failed(group))
        reinstate_other_copy(group);
    group_outdate_step(group);
}

/* Recorded as current behind the outdating that is answered only now, or about to be: the copy was equal for a moment. If
 * it is lost again, that has to be agreed on anew. */
static bool current_again(const struct group *group, unsigned node)
{
    return shared_of(group)->current & 1u << node || group->current[node == halund.self ? 0 : 1].answer;
}

static void outdated(struct cluster_request *request, enum scsi_reason reason, uint8_t field)
{
    struct group *group = container_of(request, struct group, outdate);

    if (reason == REASON_GOOD && current_again(group, group->outdate.op.node)) {
        group->outdate_busy = false;
        group_outdate_step(group);
        return;
    }
    if (reason == REASON_GOOD) {
        unsigned node = group->outdate.op.node;

        group->outdate_busy = false;
        qb_log(LOG_NOTICE, "group %s: agreed that the copy of node %u is outdated",
               config_of(group)->name, node);
        group->survivor_told = false;
        if (node == group->outdate_node)
            group->outdate_wanted = false;
        else /* the other one was wanted meanwhile */
            group_outdate_step(group);
        if (!group->replica)
            return; /* units are being closed: the answer came behind them */
        if (node == halund.self) {
            replica_self_outdated(group->replica, true);
        } else {
            group->outdated_told = true;
            replica_peer_outdated(group->replica, true);
        }
        return;
    }
    /* A Primary waits for it with its writes. A Secondary asks again when its peer is back the next
     * time: until then the peer may have become the owner, and its copy the good one. */
    if (!group->primary || group->outdate_filled)
        group->outdate_wanted = false;
    qb_loop_timer_add(halund.loop, QB_LOOP_MED, GROUP_RETRY_MS * 1000000ull, group, outdate_retry,
                      NULL);
}

void group_outdate_step(struct group *group)
{
    /* Asked for while stopping, too: writes that wait for it keep the group from being given up. */
    if (!group->outdate_wanted || group->outdate_busy || !group->replica)
        return;
    if (group->outdate_node != halund.self && group_disk_failed(group)) {
        qb_log(LOG_WARNING, "group %s: the disk of this node failed: the copy of node %u is not given up",
               config_of(group)->name, group->outdate_node);
        group->outdate_wanted = false;
        return;
    }
    if (group->outdate_filled && group->primary) { /* it is the good one by now */
        group->outdate_wanted = false;
        return;
    }
    group->outdate_busy = true;
    memset(&group->outdate, 0, sizeof group->outdate);
    group->outdate.op.kind = SHARED_OP_OUTDATE;
    group->outdate.op.node = group->outdate_node;
    group->outdate.op.group = group->index;
    group->outdate.op.lu = SHARED_NO_LU;
    group->outdate.op.action = group->outdate_node == halund.self && !group->outdate_filled;
    group->outdate.answer = outdated;
    cluster_submit(halund.cluster, &group->outdate);
}

/* ---- what replicas say ---- */

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
    if (group->primary)
        qb_log(LOG_WARNING,
               "group %s: the copy of node %u gets no writes any more, asking to outdate it",
               config_of(group)->name, peer_node);
    else if (!group->survivor_told)
        qb_log(LOG_WARNING,
               "group %s: node %u crashed as Primary and is back, and this copy has all: asking to "
               "outdate "
               "that of node %u",
               config_of(group)->name, peer_node, peer_node);
    group->survivor_told = !group->primary;
    group->outdate_node = peer_node;
    group->outdate_filled = false;
    group->outdate_wanted = true;
    group_outdate_step(group);
}

static void on_outdate_self(void *context, struct replica *replica)
{
    struct group *group = group_of(replica);

    if (!group)
        return;
    qb_log(LOG_WARNING, "group %s: the disk of this node failed, asking to outdate its copy",
           config_of(group)->name);
    if (config_of(group)->drbd_peer.length) {
        replica_self_outdated(group->replica,
                              true); /* no node of the cluster has another to prefer */
        return;
    }
    group->outdate_node = halund.self;
    group->outdate_filled = false;
    group->outdate_wanted = true;
    group_outdate_step(group);
}

/* What was asked for before goes first: this is told again at the next connection. */
static void on_to_be_filled(void *context, struct replica *replica)
{
    struct group *group = group_of(replica);

    if (!group || group->primary || group->outdate_wanted || !(shared_of(group)->current & 1u << halund.self))
        return;
    qb_log(LOG_WARNING, "group %s: the copy of this node is to be filled from the other one, asking to outdate it",
           config_of(group)->name);
    group->outdate_node = halund.self;
    group->outdate_filled = true;
    group->outdate_wanted = true;
    group_outdate_step(group);
}

static void on_outdated_in_vain(void *context, struct replica *replica)
{
    struct group *group = group_of(replica);

    if (group)
        reinstate_other_copy(group);
}

static void on_current(void *context, struct replica *replica, unsigned node)
{
    struct group *group = group_of(replica);

    if (!group)
        return;
    group->alone_awaited = false;
    if (group->outdate_node != halund.self) /* whose disk failed is outdated all the same, behind this */
        group->outdate_wanted = false;
    if (node == REPLICA_PEER_OUTSIDE)
        node = halund.self; /* as good as the other: may be promoted */
    if (shared_of(group)->replicated && node != halund.self && !member(node))
        return; /* when it is one (compare_record()): until then it may be gone, and what it had in its cache */
    if (!(shared_of(group)->current & 1u << node))
        group_commit_current(group, node, node == halund.self ? 0 : 1);
}

static void lost_demoted(void *context, int error, const char *why)
{
    struct group *group = context;

    if (error)
        qb_log(LOG_ERR,
               "group %s: its split brain waits for an operator, who demotes it and then runs "
               "\"halunctl "
               "replica connect\"",
               config_of(group)->name);
    else if (group->replica)
        replica_connect(group->replica, false);
}

/* What DRBD's handler pri-lost-after-sb is for. Pacemaker promotes where the score is higher then.
 */
static void on_primary_lost(void *context, struct replica *replica)
{
    struct group *group = group_of(replica);

    if (!group)
        return;
    qb_log(LOG_ERR,
           "group %s: split brain: by policy this node's changes are given up, so it gives the "
           "group up",
           config_of(group)->name);
    group_demote(group, false, LOST_MS, lost_demoted, group);
}

static void note_kept(struct group *group)
{
    struct replica_status status;

    replica_get_status(group->replica, &status);
    if (status.complete == group->kept)
        return;
    group->kept = status.complete;
    kept_note(halund.config->state_dir, config_of(group)->name, group->kept ? KEPT_BOOT : KEPT_NOT);
}

static void on_changed(void *context, struct replica *replica)
{
    struct group *group = group_of(replica);

    replica_events_changed();
    if (!group)
        return;
    note_kept(group);
    compare_record(group);
    group_step(group);
}

static bool on_outdated(void *context, struct replica *replica)
{
    const struct group *group = group_of(replica);

    return group && !(shared_of(group)->current & 1u << halund.self);
}

const struct replica_callbacks groups_replica_callbacks = {
    .outdate_peer = on_outdate_peer,
    .outdate_self = on_outdate_self,
    .to_be_filled = on_to_be_filled,
    .outdated_in_vain = on_outdated_in_vain,
    .current = on_current,
    .changed = on_changed,
    .primary_lost = on_primary_lost,
    .outdated = on_outdated,
};
