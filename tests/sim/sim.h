/* The simulated world as checkers, workloads and stories see it: one seed, one virtual clock, some nodes that
 * run the very objects of halund. docs/simulator.md says what is simulated and what is not.
 *
 * There is one world at a time and one thread. Everything happens in events; between two events nothing
 * changes. Functions here may be called from any hook and from any sim_event, never from inside a node.
 * Nodes are numbered 1..sim_config()->nodes as in the configuration, logical units and groups from 0. */
#ifndef HALUN_TESTS_SIM_H
#define HALUN_TESTS_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/driver.h"
#include "cluster/shared_state.h"
#include "replication/replica.h"
#include "target/nexus/lane.h"

enum { SIM_NODES = 8, SIM_MS = 1000000 };

/* What this run is made of; chosen from the seed, or by a story. Constant during a run. */
struct sim_config {
    uint64_t seed;
    uint64_t length_ns;   /* simulated time with workload and faults; a quiet end follows */
    unsigned nodes;       /* 1..SIM_NODES */
    unsigned reactors;    /* of every node */
    unsigned groups;      /* group g is replicated by nodes of sim_group_nodes(g) */
    unsigned lus;         /* lu i belongs to group i % groups and is LUN i of every initiator */
    unsigned block_size;  /* bytes */
    unsigned lu_blocks;   /* exported capacity of every lu in blocks, at least */
    unsigned lease_ms, hold_ms;
    unsigned token_ms;    /* of the simulated Corosync */
    bool two_node;        /* quorum by two_node; otherwise majority */
    uint32_t faults;      /* bits (enum sim_fault): the mix of this run */
    bool dense;           /* faults come more often, some are shorter or worse (faults.c) */
    bool any_disk;        /* disks fail on all nodes; otherwise on one, so that a copy is left */
};
const struct sim_config *sim_config(void);
/* Bits (node id): the nodes with a copy of the group. */
uint32_t sim_group_nodes(unsigned group);

/* ---- time and chance ---- */

/* True time in ns since the run began; no node can read it. */
uint64_t sim_now(void);
/* CLOCK_MONOTONIC of a node in ns, now: for lease values and the like. */
uint64_t sim_clock(unsigned node);
/* 0..below-1, from the seed. `below` > 0. */
uint32_t sim_random(uint32_t below);
/* True with this probability in 1/1000. */
bool sim_chance(unsigned permille);

/* An event of a checker or workload. Embed it, zero-initialise, set `run`. */
struct sim_event {
    void (*run)(struct sim_event *event);
    uint64_t when;     /* sim_now() at which it runs; valid while armed */
    uint64_t number;   /* the queue's: ties in time keep the order of arming */
    unsigned slot;     /* the queue's; 0 = not armed */
};
/* Arms (or re-arms) for an absolute time, not before now. */
void sim_at(struct sim_event *event, uint64_t when);
/* Disarms; harmless when not armed. */
void sim_cancel(struct sim_event *event);

/* ---- trace and verdict ---- */

/* Are lines of the trace wanted? (Ask before expensive formatting only; sim_trace() asks by itself.) */
bool sim_tracing(void);
/* A line "[ms] nodeN text"; node 0: the world, the workload. Does not influence the run. */
void sim_trace(unsigned node, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Mixes something that happened into the hash of the run (replays must give an equal hash). */
void sim_hash(uint64_t value);
/* A violation: ends the run, which counts as failed. Does not return. */
void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Counts something for the statistics of the runner, by a short name that is a string constant. */
void sim_count(const char *name, uint64_t n);

/* ---- nodes ---- */

bool sim_powered(unsigned node);
/* The daemon's process exists (it may be starting, frozen, or not serve). */
bool sim_running(unsigned node);
/* Nothing of the process (or of the whole node) runs at the moment. */
bool sim_frozen(unsigned node);
/* Number of starts of the daemon so far: tells one process from the next. */
unsigned sim_starts(unsigned node);
/* The configuration's node objects are ready: everything is started. */
bool sim_ready(unsigned node);

/* The agreed state of a node; NULL when its daemon does not run or has not started its cluster machine. */
const struct shared_state *sim_shared(unsigned node);
/* False as above. view->serving is the machine's word; see sim_serves(). */
bool sim_view(unsigned node, struct cluster_view *view);
/* Could this node answer a media or PR command at this instant? Its view serves, the lease is valid by its
 * own clock, it is not frozen. */
bool sim_serves(unsigned node);
/* End of the lease by the node's own clock; 0 = none. */
uint64_t sim_lease(unsigned node);
/* Replica of a group; false: no replica here, or the daemon does not run. */
bool sim_replica(unsigned node, unsigned group, struct replica_status *status);
/* Lanes. Gate of a group and reservation epoch of a lu on one reactor; false: the daemon does not run. */
bool sim_gate(unsigned node, unsigned reactor, unsigned group, enum gate *gate, unsigned *owner);
bool sim_lane(unsigned node, unsigned reactor, unsigned lu, struct lane *copy);
/* The score that the resource agent would give to Pacemaker; -1 = -INFINITY. */
int sim_score(unsigned node, unsigned group);

/* ---- disks ---- */

/* Bytes of a lu's backing store on a node as the daemon would read them now (sync or not), or only what would
 * be left for certain after a power cut. Returns false when the node has no copy. */
bool sim_disk_read(unsigned node, unsigned lu, uint64_t offset, void *to, size_t n);
bool sim_disk_read_stable(unsigned node, unsigned lu, uint64_t offset, void *to, size_t n);
/* Bytes of that store, as they are for certain; 0: the node has no copy. */
uint64_t sim_disk_size(unsigned node, unsigned lu);
/* A number that was never used before, in any run, since what is left for certain in the 4096 bytes around `offset`
 * changed last; 0: nothing was written there. */
uint64_t sim_disk_stamp(unsigned node, unsigned lu, uint64_t offset);

/* ---- faults and the operator: for stories; random runs draw them from the seed ---- */

enum sim_fault {
    SIM_CRASH,          /* the daemon ends, its node lives: PROCDOWN, sockets are reset */
    SIM_POWER_CUT,      /* one node */
    SIM_POWER_CUT_ALL,
    SIM_FREEZE,         /* the whole node stands still and thaws */
    SIM_STALL,          /* the daemon alone (SIGSTOP, starvation) */
    SIM_PARTITION,      /* cluster network, every direction of its own */
    SIM_LINK_LOSS,      /* network of replication and peers */
    SIM_SLOW_DISK,
    SIM_FULL_DISK,
    SIM_DISK_ERROR,
    SIM_CLOCK_JUMP,     /* CLOCK_REALTIME of a node, within what docs/cluster.md asks */
    SIM_SLOW_FENCING,   /* fencing takes longer, fails at first */
    SIM_SWITCH,         /* the operator moves a group */
    SIM_RESTART,        /* the operator stops and starts a daemon in order */
    SIM_UPGRADE,        /* the same with another version of the wire */
    SIM_RELOAD,         /* the operator changes the configuration */
    SIM_CONNECTION,     /* an initiator's connection is lost */
    SIM_CLOCK_DRIFT,    /* CLOCK_MONOTONIC of a node is slow or fast, within what docs/cluster.md asks */
    SIM_READ_ERROR,     /* nothing can be read from a disk either */
    SIM_STATE_DISK,     /* state_dir is full or broken, so that the daemon ends */
    SIM_GROW,           /* a unit's files become larger, the owner is told */
    SIM_COPIES,         /* the operator verifies, pauses, disconnects, invalidates, and attaches disks */
    SIM_FAULTS
};
const char *sim_fault_name(enum sim_fault fault);

void sim_power_cut(unsigned node);
void sim_power_cut_all_lost(unsigned node); /* nothing that was not synced is kept */
void sim_power_on(unsigned node);      /* boots; the daemon is started by the simulated Pacemaker */
void sim_kill(unsigned node);          /* SIGKILL of the daemon */
void sim_freeze(unsigned node, bool whole_node);
void sim_thaw(unsigned node);
/* Bits of whom each node still hears: reach[n] bit m = packets of m arrive at n. The cluster network and the
 * network of replication and peers are separate. */
void sim_cluster_reach(unsigned node, uint32_t from);
void sim_link_reach(unsigned node, uint32_t from);
/* What is sent between nodes on the network of replication and peers is late by a quarter of this to twice as much. */
void sim_link_delay(uint64_t ns);
void sim_heal(void);                   /* both networks whole again, and quick */
void sim_switch(unsigned group, unsigned to); /* crm resource move; 0: wherever the scores say */
void sim_stop(unsigned node);          /* an orderly stop of the daemon; sim_start() */
void sim_start(unsigned node);
/* When the last daemon whose start failed, if any, is started again. */
uint64_t sim_start_again(void);
void sim_reload(unsigned node);       /* another halun.conf is put on all nodes, this one reloads it */
void sim_other_version(unsigned node); /* the first wire version or the newest, in turn; stops the daemon */
/* CLOCK_MONOTONIC goes at this part of true time; 1000 = as it should. */
void sim_clock_speed(unsigned node, unsigned permille);
void sim_disk_slow(unsigned node, uint64_t extra_ns); /* added to each operation; 0 = as before */
/* The operator makes the file of a unit larger, on all nodes; then has the group grow, on the node that owns it. */
void sim_enlarge(unsigned lu, uint64_t bytes);
void sim_resize(unsigned group, unsigned node);
/* He has repaired a disk, and has it attached; until that is answered he does not start the daemon anew for it. */
void sim_attach(unsigned group, unsigned node, void (*answer)(void *context, int code, const char *reply), void *context);
/* What else an operator orders by halunctl: a method of config/methods.def. The answer: its code, -1 when the daemon ended. */
void sim_order(unsigned node, const char *method, const char *arguments,
               void (*answer)(void *context, int code, const char *reply), void *context);
void sim_disk_fail(unsigned node, int error);         /* writes end with -error; 0 = as before */
bool sim_disk_failed(void);                           /* any, in this run */
void sim_disk_unread(unsigned node, int error);       /* reads, too; 0 = as before */
void sim_state_fail(unsigned node, int error);        /* writes to state_dir end with -error; 0 = as before */
void sim_fencing_delay(uint64_t ns, unsigned failures); /* of the next fencings */

/* ---- hooks ---- */

/* A checker; NULL members are skipped. sim_checkers[] is checkers.c, ends with NULL. */
struct sim_checker {
    const char *name;
    void (*begin)(void);               /* a run begins: forget the last one */
    /* An event of this node has just run (0: of the world). Called very often: be quick. */
    void (*event)(unsigned node);
    /* The daemon of `node` wrote to the backing store of `lu` (data, not metadata) just now. `bytes` are valid
     * during the call. Zeroing and unmapping give bytes == NULL. */
    void (*medium_write)(unsigned node, unsigned lu, uint64_t offset, size_t length, const void *bytes);
    /* The daemon of `node` ended: killed, fatal (status 3), power cut or stopped in order. */
    void (*ended)(unsigned node);
    /* The power of `node` is cut just now, whether its daemon runs or not; `ended` comes after this. */
    void (*power_cut)(unsigned node);
    /* About every 100 ms of simulated time. */
    void (*tick)(void);
    /* Faults are over, everything was healed and had time to settle (every node serves, copies are equal again
     * or sim_fail() has said so). The initiators are still logged in. */
    void (*quiet)(void);
    void (*end)(void);
};
extern const struct sim_checker *const sim_checkers[];

/* workload.c: initiators that log in, send and check. */
void workload_begin(void);
/* No new commands; what is outstanding ends by itself. */
void workload_stop(void);
/* Is nothing outstanding any more? */
bool workload_idle(void);

/* A story: hand-written case (stories.h). */
struct sim_story {
    const char *name, *what; /* "h07_preempt_wall", one sentence */
    /* Changes the configuration drawn from the seed; faults = 0 when called. NULL: as it is. */
    void (*configure)(struct sim_config *config);
    /* Arms its events with sim_at(); the run ends after config->length_ns and the quiet end. Without
     * `workload`, workload_begin() is not called. */
    void (*begin)(void);
    bool workload;
};

#endif
