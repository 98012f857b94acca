/* Runs the command layer alone: real rows, checks, shared state and reactor; doubles for the lanes,
 * the peer link, the control thread and the transport, which tests can watch and steer. */
#ifndef HALUN_TESTS_COMMAND_RIG_H
#define HALUN_TESTS_COMMAND_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/config.h"
#include "target/base/bytes.h"
#include "target/command/command.h"
#include "target/command/control_calls.h"
#include "target/device/device.h"
#include "target/nexus/lane.h"
#include "target/nexus/lun_map.h"
#include "target/nexus/nexus.h"
#include "target/nexus/tmf.h"

enum {
    RIG_NODES = 2,
    RIG_NEXUSES = 3,
    RIG_LUS = 2,
    RIG_TASKS = 64,
    RIG_BLOCK = 512,
    RIG_BLOCKS = 2048
};

/* What the transport saw of a task. */
struct rig_task {
    struct task task;
    bool used, completed, wants_data;
    unsigned order; /* of completion, from 1 */
    uint8_t in[128 << 10];
    uint32_t in_length;
};

struct rig {
    struct reactor reactor;
    struct config config;
    struct config_node nodes[RIG_NODES];
    struct config_portal portals[RIG_NODES];
    struct config_lu config_lus[RIG_LUS];
    struct shared_state *state;
    struct shared_effects *effects;
    struct nexus nexuses[RIG_NEXUSES];
    struct group_lane group;
    struct rig_task tasks[RIG_TASKS];
    unsigned completed;

    /* Steering. */
    bool hold; /* lane_admit() holds */
    bool lease;
    bool keep_commits; /* task_commit() waits for rig_commit() */
    bool keep_media;   /* media handlers (double) do not end by themselves */
    bool wish_refused;

    /* What was called. */
    unsigned admitted, left, unheld, forwarded, peer_aborted, commits, media_runs;
    struct task *committing;
    struct shared_op op;
    uint8_t op_bytes[LIMIT_PARAMETER_LIST];
    uint64_t media_blocks;
    unsigned wish_node;
    enum shared_op_kind tmf_kind;
    unsigned tmf_answers;
    enum tmf_response tmf_response;
};

extern struct rig *rig;

/* setup and teardown of cmocka: `rig` as new, three nexuses (0 and 1: two initiators, node 1; 2:
 * the first initiator at node 2's port) that see LUN 0 and LUN 1, LUN 1 read-only for nexus 1. No
 * unit attentions pending. Node 1 owns everything. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* A new task of a nexus, not yet executed: CDB of `length` bytes, room for data-in `in`, data-out
 * `out`. */
struct rig_task *rig_new(unsigned nexus, unsigned lun, const void *cdb, unsigned length,
                         uint32_t in, uint32_t out);
/* Executes it; hands `data` over when it is asked for (NULL: leaves it waiting). Runs the reactor's
 * posts. */
void rig_go(struct rig_task *task, const void *data);
/* Both, then asserts that it has completed. */
struct rig_task *rig_run(unsigned nexus, unsigned lun, const void *cdb, unsigned length,
                         uint32_t in, const void *out, uint32_t out_length);
/* Runs what was posted. */
void rig_turn(void);
/* Carries the kept commit out. */
void rig_commit(void);

void assert_good(const struct rig_task *task);
/* CHECK CONDITION with these codes, in either format. */
void assert_sense(const struct rig_task *task, unsigned key, unsigned asc, unsigned ascq);
void assert_status(const struct rig_task *task, unsigned status);
/* Field pointer of the sense data; bit -1 = none. */
void assert_field(const struct rig_task *task, bool cdb, unsigned byte, int bit);

#endif
