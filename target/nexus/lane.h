/* Lanes: one reactor's private copy of what the fast path needs to know about a logical unit and its
 * group. Reactors read their lanes without locks; the control thread changes them by posts, or
 * while the reactor sleeps (lane_change.h), and learns when every reactor has switched and drained what it had to. */
#ifndef HALUN_NEXUS_LANE_H
#define HALUN_NEXUS_LANE_H

#include <qb/qblist.h>
#include <stdbool.h>
#include <stdint.h>

#include "cluster/shared_state.h"
#include "target/nexus/task.h"

struct lu;

enum gate {
    GATE_HOLD,        /* media commands wait (switchover, failover, no quorum) up to hold_ms */
    GATE_EXECUTE,     /* this node owns the group */
    GATE_FORWARD,     /* another node owns it: media commands go there */
    GATE_STANDBY,     /* 02/04/0B */
    GATE_UNAVAILABLE, /* 02/04/0C */
};

/* One per (group, reactor). Every command counts in it: no cache line is two reactors'. */
struct group_lane {
    enum gate gate;
    unsigned owner;             /* node id to forward to */
    uint8_t state;              /* enum alua_state of this node's ports, for TEST UNIT READY */
    uint32_t running;           /* admitted media tasks of all LUs of the group on this reactor */
    struct qb_list_head held;   /* tasks that wait for the gate, order of arrival (task.lane_link) */
    struct qb_list_head drains; /* who waits until nothing of the group runs here (lane.c) */
} __attribute__((aligned(64)));

/* An immutable copy of an LU's registrations, shared by all its lanes (lane_change.c). */
struct lane_reservation;

/* A range of an LU that one task has for itself (COMPARE AND WRITE, write same with read-back). */
struct exclusion {
    struct qb_list_head link;
    uint64_t lba, blocks;
};

/* One per (LU, reactor). What an ordinary command needs fills the first two cache lines: with many LUs
 * in use none of it is in the cache. */
struct lane {
    struct lu *lu;
    struct group_lane *group;
    struct qb_list_head running; /* admitted tasks, order of admission (task.lane_link) */
    struct qb_list_head exclusions;
    uint32_t generation;         /* +1 at every drain of this lane; tasks carry it from admission */
    struct shared_mode mode;
    uint32_t epoch;             /* reservation epoch: every admitted command was checked under it */
    uint8_t pr_type;            /* enum pr_type of the LU's reservation */
    bool legacy_reserved;
    struct qb_list_head drains;     /* who waits for the tasks of older generations */
    struct qb_list_head barriers;   /* exclusions that wait for overlapping tasks to end */

    struct qb_list_head held_range; /* tasks that wait for an exclusion to end */
    struct reactor *reactor;
    struct lane_reservation *reservation; /* NULL: nobody is registered */
    struct nexus_identity legacy_holder;
} __attribute__((aligned(64)));

/* Admission: may this media task start now? Moves it to TASK_RUNNING (true), or to TASK_HELD (false:
 * it is called again through task_resume() when the obstacle is gone; when hold_ms pass it ends with
 * NOT_READY_TRANSITION). `media`: obeys the gate; others only count as running.
 * With GATE_FORWARD it is admitted and the caller hands it to peer_forward(). */
bool lane_admit(struct task *task, bool media);
/* Should this task, which tells the access state, rather wait than say "transition"? True: it is held, and tried
 * again when the gate opens; after a second it is let through, and tells what is so. */
bool lane_wait_ready(struct task *task);
/* This node has no lease, and this task, of an LU and not in a lane, needs one for what it tells. True: it is held as at
 * a shut gate and tried again, or bounced if another node forwarded it; false: it was held as long as it may be. */
bool lane_wait_lease(struct task *task);
/* Is the answer of this task, of an LU, to wait until all members have carried out what this node has? True: it
 * is held and tried again from its checks on, or bounced if another node forwarded it (holding it here would
 * keep that node from draining it). Not for tasks that are admitted. */
bool lane_wait_settled(struct task *task);
/* A running task is over (called by task_complete): leaves its lane, wakes who waits for it. */
void lane_leave(struct task *task);
/* A running task goes back to being held, to be tried again from its checks on, until hold_ms have passed since it arrived:
 * the owner it was sent to did not take it, or was lost before it answered; or nothing of it was begun here. */
void lane_retry(struct task *task);
/* Node id that owns a group, as this reactor's lanes know it; 0: nobody. */
unsigned lane_owner(unsigned group, const struct reactor *reactor);
/* A held task is aborted: leaves the lists. */
void lane_unhold(struct task *task);
/* Implemented by command/execute.c: a held task may try again, from its checks on. */
void task_resume(struct task *task);

/* Takes the range [lba, lba + blocks) of task->lu for this running task on all reactors: when `granted`
 * is called on the task's reactor, no other admitted command overlaps the range and none will be
 * admitted until lane_exclusive_end(). Exclusions of one LU are granted one at a time where they
 * overlap, in order of request; no deadlock (one range per task). */
void lane_exclusive_begin(struct task *task, void (*granted)(struct task *task));
void lane_exclusive_end(struct task *task);

/* Sets *registered and *holder of a nexus from the lane's own copy of the registrations. */
void lane_lookup(const struct lane *lane, const struct nexus_identity *nexus, bool *registered,
                 bool *holder);

/* Does this node hold its lease? False: answers that depend on the cluster must not be given now; the
 * caller holds or drops them. Any reactor; one relaxed load and one compare. */
bool lane_lease_valid(const struct reactor *reactor);

#endif
