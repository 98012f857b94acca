/* What the files about groups share: groups.c (promotion, demotion), group_start.c (first starts), group_current.c
 * (an old copy that has to do), group_copies.c (what replicas ask for). Control thread. */
#ifndef HALUN_DAEMON_GROUP_H
#define HALUN_DAEMON_GROUP_H

#include "cluster/shared_state.h"
#include "target/daemon/daemon.h"

enum { GROUP_RETRY_MS = 200 };

static inline const struct config_group *config_of(const struct group *group)
{
    return &halund.config->groups[group->index];
}

static inline const struct shared_group *shared_of(const struct group *group)
{
    return &cluster_state(halund.cluster)->groups[group->index];
}

/* The other node that holds a copy; 0: there is none in the cluster. */
static inline unsigned other_node(const struct group *group)
{
    const struct config_group *config = config_of(group);

    for (unsigned i = 0; i < config->node_count; i++)
        if (config->nodes[i] != halund.self)
            return config->nodes[i];
    return 0;
}

/* groups.c. Takes the next step of what is wished, if anything; for whoever changed a fact. */
void group_step(struct group *group);
/* Begins what is wished; refused (through `done`) while something else is. */
void group_begin(struct group *group, enum group_wish wish, unsigned timeout_ms, group_done *done,
                 void *context);
/* The wish is over, with an error or without. */
void group_finish(struct group *group, int error, const char *why);
/* Waits for something; steps again when it may be so. True: it was wished, and the time for it is over. */
bool group_expired(struct group *group, const char *waits_for);
/* Asks the cluster for an operation about this group and node; `answer` once. group->request must not be in use. */
void group_commit(struct group *group, enum shared_op_kind kind,
                  void (*answer)(struct cluster_request *, enum scsi_reason, uint8_t));

/* group_start.c: the next step of a first start. */
void group_start_step(struct group *group);

/* group_current.c: the next step of a copy that is made the good one. */
void group_current_step(struct group *group);

/* group_copies.c. Has it agreed that a node's copy is current; asks until it is. `slot` 0 this node, 1 the other. */
void group_commit_current(struct group *group, unsigned node, unsigned slot);
/* A disk of this node's copy has failed, it has one. */
bool group_disk_failed(const struct group *group);
/* It is agreed that the other node's copy is outdated, whoever asked for it. */
void group_given_up(struct group *group);
/* Another replica has taken the place of the group's: it is told what is recorded. What the one before had asked for is not asked
 * any more, and what it had is not believed to be there, as at a start. */
void group_replaced(struct group *group);
/* A copy was given up by order, which is on disk: this node's is Inconsistent, or it has gone on from the `other` node's. */
void group_invalidated(struct group *group, bool other);
/* Has it agreed that a copy is outdated, if somebody wants that. */
void group_outdate_step(struct group *group);

#endif
