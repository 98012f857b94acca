#include "target/daemon/recorded.h"

#include <qb/qblog.h>

#include "target/daemon/group.h"

static bool alone(const struct group *group, const struct shared_group *shared)
{
    uint32_t self = 1u << halund.self, other = 1u << other_node(group);

    return group->replica && shared->replicated && other_node(group) && (shared->current & (self | other)) == self;
}

/* Not where this node has the other copy outdated: that was flushed before it was asked for (replication/outdating.h). */
static bool must_flush(const struct group *group, const struct shared_group *shared)
{
    return alone(group, shared) && !group->recorded_alone &&
           !(group->outdate_busy && group->outdate_node == other_node(group));
}

static void end_limit(struct group *group)
{
    if (group->record_limit)
        qb_loop_timer_del(halund.loop, group->record_limit);
    group->record_limit = 0;
}

static void flushed(void *context, int error, const char *why)
{
    struct group *group = context;

    group->record_flushing = false;
    group->record_flushed = group->record_counts;
    end_limit(group);
    cluster_record_ready(halund.cluster);
}

static void late(void *data)
{
    struct group *group = data;

    group->record_limit = 0;
    group->record_flushed = true;
    qb_log(LOG_WARNING,
           "group %s: this copy alone is current, and has not been flushed in %d s: recorded nevertheless; should this "
           "node lose its power now, what was acknowledged last may be lost",
           config_of(group)->name, RECORDED_LIMIT_MS / 1000);
    cluster_record_ready(halund.cluster);
}

static void begin(struct group *group, bool counts)
{
    group->record_flushing = true;
    group->record_counts = counts;
    replica_flush(group->replica, flushed, group);
}

/* What is under way since before the place does not count, and another one follows it. */
static bool may(struct group *group, const struct shared_group *shared)
{
    if (!must_flush(group, shared)) {
        group->record_counts = group->record_flushed = false;
        end_limit(group);
        return true;
    }
    if (group->record_flushed)
        return true;
    if (!group->record_limit)
        qb_loop_timer_add(halund.loop, QB_LOOP_MED, RECORDED_LIMIT_MS * 1000000ull, group, late, &group->record_limit);
    if (!group->record_flushing)
        begin(group, true);
    return false;
}

bool recorded_may(const struct shared_state *state)
{
    bool all = true;

    for (unsigned i = 0; i < halund.config->group_count; i++)
        if (!may(&halund.groups[i], &state->groups[i]))
            all = false;
    for (unsigned i = 0; all && i < halund.config->group_count; i++)
        halund.groups[i].recorded_alone = alone(&halund.groups[i], &state->groups[i]);
    return all;
}

void recorded_expect(const struct shared_state *state, uint32_t unproven)
{
    for (unsigned i = 0; i < halund.config->group_count; i++) {
        struct group *group = &halund.groups[i];
        const struct shared_group *shared = &state->groups[i];

        if (group->replica && shared->replicated && shared->owner && unproven & 1u << shared->owner &&
            shared->current & 1u << halund.self && !group->record_flushing)
            begin(group, false);
    }
}
