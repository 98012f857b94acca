#include "target/nexus/lane.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/container.h"
#include "target/base/threads.h"
#include "target/command/command.h"
#include "target/device/device.h"
#include "target/nexus/lane_private.h"
#include "target/nexus/nexus.h"

enum {
    LEASE_POLL_NS = 100000000, /* nobody posts when a lease is renewed */
    READY_NS = 1000000000,     /* a planned switchover is over by then; a failover is told */
    SETTLE_POLL_NS = 500000,   /* about half of what a decision takes; nobody posts when it is settled */
    RETRY_POLL_NS = 2000000,   /* the owner may be a moment behind us in switching its gate */
};

struct lanes lanes;

static struct group_lane *group_lane(unsigned group, unsigned reactor)
{
    return &lanes.groups[group * threads.reactor_count + reactor];
}

void lanes_init(unsigned group_count, uint64_t hold_ms)
{
    size_t size = ((size_t)group_count * threads.reactor_count + 1) * sizeof *lanes.groups;

    lanes.groups = aligned_alloc(alignof(struct group_lane), size);
    if (!lanes.groups)
        abort();
    memset(lanes.groups, 0, size);
    lanes.group_count = group_count;
    lanes.hold_ns = hold_ms * 1000000u;
    for (unsigned i = 0; i < group_count * threads.reactor_count; i++) {
        lanes.groups[i].gate = GATE_HOLD;
        lanes.groups[i].state = ALUA_TRANSITIONING;
        qb_list_init(&lanes.groups[i].held);
        qb_list_init(&lanes.groups[i].drains);
    }
}

void lanes_set_lease(const _Atomic uint64_t *lease)
{
    lanes.lease = lease;
}

struct group_lane *lanes_group(unsigned group, unsigned reactor)
{
    assert(group < lanes.group_count);
    return group_lane(group, reactor);
}

unsigned lane_owner(unsigned group, const struct reactor *reactor)
{
    return lanes_group(group, reactor->index)->owner;
}

void lanes_init_lu(struct lu *lu, unsigned group)
{
    for (unsigned i = 0; i < threads.reactor_count; i++) {
        struct lane *lane = &lu->lanes[i];
        lane->lu = lu;
        lane->reactor = threads.reactors[i];
        lane->group = lanes_group(group, i);
        qb_list_init(&lane->running);
        qb_list_init(&lane->exclusions);
        qb_list_init(&lane->held_range);
        qb_list_init(&lane->drains);
        qb_list_init(&lane->barriers);
    }
}

bool lane_lease_valid(const struct reactor *reactor)
{
    return !lanes.lease ||
           reactor->now_ns < atomic_load_explicit(lanes.lease, memory_order_relaxed);
}

static bool overlaps(const struct task *task, uint64_t lba, uint64_t blocks)
{
    return task->blocks && task->lba < lba + blocks && lba < task->lba + task->blocks;
}

bool lane_task_overlaps(const struct task *task, uint64_t lba, uint64_t blocks)
{
    return overlaps(task, lba, blocks);
}

/* The hold limit, or the next look of a task that nobody will wake. */
static void hold_timer(struct timer *timer)
{
    struct task *task = container_of(timer, struct task, timer);

    lane_unhold(task);
    if (task->reactor->now_ns - task->held_since_ns >= lanes.hold_ns && !task->answer_held)
        task_complete(task, REASON_NOT_READY_TRANSITION);
    else
        task_resume(task);
}

static void hold(struct task *task, struct qb_list_head *list, uint64_t poll_ns)
{
    uint64_t now = task->reactor->now_ns;
    uint64_t limit;

    if (!task->held_since_ns)
        task->held_since_ns = now;
    limit = task->held_since_ns + lanes.hold_ns;
    if (poll_ns && now + poll_ns < limit)
        limit = now + poll_ns;
    task->state = TASK_HELD;
    qb_list_add_tail(&task->lane_link, list);
    task->timer.fire = hold_timer;
    reactor_timer_set(task->reactor, &task->timer, limit);
}

void lane_unhold(struct task *task)
{
    reactor_timer_cancel(task->reactor, &task->timer);
    qb_list_del(&task->lane_link);
    qb_list_init(&task->lane_link);
    task->state = TASK_NEW;
}

bool lane_admit(struct task *task, bool media)
{
    struct lane *lane = task->lane;
    struct group_lane *group = lane->group;
    struct exclusion *exclusion;

    task->executing = false;
    if (media && task->nexus->forwarded &&
        (group->gate != GATE_EXECUTE || !lane_lease_valid(task->reactor))) {
        /* The other node asks the wrong one: it must not be held here as well, or the drain there
         * would wait for a gate that waits for that drain. */
        task->bounced = true;
        task_complete(task, REASON_NOT_READY_TRANSITION);
        return false;
    }
    if (media) {
        if (group->gate == GATE_HOLD || !lane_lease_valid(task->reactor)) {
            hold(task, &group->held, group->gate == GATE_HOLD ? 0 : LEASE_POLL_NS);
            return false;
        }
        if (group->gate == GATE_EXECUTE) {
            qb_list_for_each_entry(exclusion, &lane->exclusions, link)
            {
                if (overlaps(task, exclusion->lba, exclusion->blocks)) {
                    hold(task, &lane->held_range, 0);
                    return false;
                }
            }
            task->executing = true;
            group->running++;
        }
    }
    task->generation = lane->generation;
    task->state = TASK_RUNNING;
    qb_list_add_tail(&task->lane_link, &lane->running);
    return true;
}

bool lane_wait_ready(struct task *task)
{
    struct group_lane *group = task->lane->group;

    if (group->gate != GATE_HOLD || group->state != ALUA_TRANSITIONING ||
        (task->held_since_ns && task->reactor->now_ns - task->held_since_ns >= READY_NS))
        return false;
    hold(task, &group->held, READY_NS);
    return true;
}

/* What only asks whether the unit is ready is told soon that it is not. */
bool lane_wait_lease(struct task *task)
{
    uint64_t limit = task->command->flags & COMMAND_READY ? READY_NS : lanes.hold_ns;

    if (task->held_since_ns && task->reactor->now_ns - task->held_since_ns >= limit)
        return false;
    if (task->nexus->forwarded) {
        task->bounced = true;
        task_complete(task, REASON_NOT_READY_TRANSITION);
    } else {
        hold(task, &task->lane->group->held, LEASE_POLL_NS);
    }
    return true;
}

bool lane_wait_settled(struct task *task)
{
    if (!atomic_load_explicit(&task->lu->unsettled, memory_order_relaxed))
        return false;
    if (task->nexus->forwarded) {
        task->bounced = true;
        task_complete(task, REASON_NOT_READY_TRANSITION);
    } else {
        hold(task, &task->lane->group->held, SETTLE_POLL_NS);
    }
    return true;
}

void lane_retry(struct task *task)
{
    lane_leave(task);
    if (!task->held_since_ns)
        task->held_since_ns = task->began_ns;
    hold(task, &task->lane->group->held, RETRY_POLL_NS);
}

/* Is a task of generation `until` or older still running? The list is in order of admission. */
static bool lane_busy(const struct lane *lane, uint32_t until)
{
    const struct task *first;

    if (qb_list_empty(&lane->running))
        return false;
    first = qb_list_first_entry(&lane->running, struct task, lane_link);
    return (int32_t)(first->generation - until) <= 0;
}

void lane_check_drains(struct lane *lane)
{
    struct lane_drain *drain, *next;

    qb_list_for_each_entry_safe(drain, next, &lane->drains, link)
    {
        if (!lane_busy(lane, drain->until)) {
            qb_list_del(&drain->link);
            drain->done(drain);
        }
    }
}

static void group_check_drains(struct group_lane *group)
{
    struct lane_drain *drain, *next;

    if (group->running)
        return;
    qb_list_for_each_entry_safe(drain, next, &group->drains, link)
    {
        qb_list_del(&drain->link);
        drain->done(drain);
    }
}

void lane_drain(struct lane *lane, struct lane_drain *drain)
{
    drain->until = lane->generation++;
    qb_list_add_tail(&drain->link, &lane->drains);
    lane_check_drains(lane);
}

void lane_drain_group(struct group_lane *group, struct lane_drain *drain)
{
    qb_list_add_tail(&drain->link, &group->drains);
    group_check_drains(group);
}

void lane_leave(struct task *task)
{
    struct lane *lane = task->lane;

    assert(task->state == TASK_RUNNING);
    qb_list_del(&task->lane_link);
    qb_list_init(&task->lane_link);
    if (task->exclusive)
        lane_exclusive_end(task);
    if (task->executing) {
        task->executing = false;
        lane->group->running--;
        if (!qb_list_empty(&lane->group->drains))
            group_check_drains(lane->group);
    }
    if (!qb_list_empty(&lane->drains))
        lane_check_drains(lane);
    if (!qb_list_empty(&lane->barriers))
        lane_check_barriers(lane);
}
