/* What the files of the lanes share; nobody else includes it. */
#ifndef HALUN_NEXUS_LANE_PRIVATE_H
#define HALUN_NEXUS_LANE_PRIVATE_H

#include <stdatomic.h>

#include "target/nexus/lane.h"
#include "target/nexus/lane_change.h"

struct lanes {
    struct group_lane *groups; /* [group * reactor_count + reactor] */
    unsigned group_count;
    uint64_t hold_ns;
    const _Atomic uint64_t *lease;
};
extern struct lanes lanes;

/* Waits for running tasks: `done` is called on the lane's reactor, perhaps before lane_drain returns. */
struct lane_drain {
    struct qb_list_head link;
    uint32_t until; /* generation of the lane */
    void (*done)(struct lane_drain *drain);
};

struct group_lane *lanes_group(unsigned group, unsigned reactor);
/* Until what is admitted now on the lane has left it. */
void lane_drain(struct lane *lane, struct lane_drain *drain);
/* Until nothing of the group executes on this reactor (it is not GATE_EXECUTE). */
void lane_drain_group(struct group_lane *group, struct lane_drain *drain);
void lane_check_drains(struct lane *lane);
/* lane_exclusive.c: a task left the lane, exclusions may be granted. */
void lane_check_barriers(struct lane *lane);
bool lane_task_overlaps(const struct task *task, uint64_t lba, uint64_t blocks);

#endif
