/* Several cluster machines in one process on a simulated bus with Corosync's promises: agreed order, own
 * delivery before anybody else has a message, the same messages before the same change of the group for
 * those that move together. Time, disks, the fencer and all faults are simulated. */
#ifndef HALUN_TESTS_CLUSTER_SIM_H
#define HALUN_TESTS_CLUSTER_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/cluster.h"

enum {
    SIM_NODES = 8,
    SIM_LUS = 4,
    SIM_MS = 1000000,
    SIM_TOKEN = 1000 * SIM_MS, /* a silent node is noticed after this */
    SIM_LEASE = 3000ull * SIM_MS,
    SIM_HOLD = 20000ull * SIM_MS,
    SIM_OPS = 512,
    SIM_RECEIPTS = 256,
};

struct sim_message;

struct sim_op {
    struct shared_op op;
    unsigned node;
    uint64_t asked, answered;
    enum scsi_reason reason;
    unsigned acks;   /* acknowledgements that its node had sent before the answer */
    bool lost_ok; /* asked of a process that ended meanwhile */
};

struct sim_node {
    bool up;      /* the host runs */
    bool frozen;
    bool running; /* the daemon runs */
    bool leaving;
    struct cluster *machine;
    unsigned ring;
    struct sim_message **queue; /* delivered by Corosync, not yet read */
    unsigned queue_count, queue_next;
    struct sim_message **outbox;
    unsigned outbox_count, outbox_next;
    unsigned reach; /* messages of the ring's log that it has */
    uint64_t tickets[1024], ticket_due[1024];
    unsigned ticket_count;
    unsigned acks;      /* sent by this process */
    unsigned beats;     /* sent by all its processes */
    unsigned unsettled; /* applied, not yet told to be so everywhere */
    uint8_t *record; /* durable */
    size_t record_size;
    uint8_t *writing;
    size_t writing_size;
    uint64_t writing_sequence, writing_due, wanted;
    uint64_t fenced_at, tick_next;
    uint64_t lease;
    bool serving, quorate, seen_all;
    bool fatal;
    char why[256];
    unsigned starts;
    uint8_t wire_max; /* of the next start; 0: the newest */
    unsigned asked, asked_by; /* handovers asked of this node */
    uint32_t agreeing, refusing; /* opinions to its last question */
    struct cluster_event opinions[8];
    unsigned opinion_count;
};

/* A datagram on its way: another network than Corosync's, so partitions are nothing to it. */
struct sim_receipt {
    uint64_t due; /* 0: none */
    unsigned from, to;
    uint8_t bytes[MESSAGE_RECEIPT];
};

struct sim_ring {
    bool used, forming; /* forming: the token is lost, nothing moves */
    uint64_t form_at;
    bool broken;    /* some have formed another ring: who is left will hear of it */
    uint32_t members;
    uint32_t group; /* daemons when the ring formed */
    struct sim_message **log;
    unsigned log_count;
};

struct sim {
    uint64_t seed, now;
    uint64_t first_seed; /* for the message of a failure */
    unsigned nodes;
    bool lease_proves, no_fencing;
    bool replicated; /* the group's nodes have a copy each */
    struct sim_node node[SIM_NODES + 1];
    struct sim_ring ring[16];
    unsigned part[SIM_NODES + 1]; /* hosts with the same number can reach each other */
    struct sim_message *messages; /* everything ever sent, freed at the end */
    struct sim_op ops[SIM_OPS];
    unsigned op_count, committed, refused;
    unsigned cold_starts;
    unsigned fatals;
    struct sim_receipt receipts[SIM_RECEIPTS];
    bool no_receipts; /* none arrives */
    bool no_acks;     /* no ordered acknowledgement is sent */
    struct cluster_updates *updates;
    void (*check)(struct sim *sim);
    bool trace;
};

struct sim *sim_new(unsigned nodes, uint64_t seed);
void sim_free(struct sim *sim);
uint32_t sim_random(struct sim *sim, uint32_t below);

void sim_boot(struct sim *sim, unsigned node);     /* power on if need be, start the daemon */
void sim_power_cut(struct sim *sim, unsigned node);
void sim_kill(struct sim *sim, unsigned node);     /* the daemon alone: PROCDOWN */
void sim_leave(struct sim *sim, unsigned node);    /* the daemon alone: LEAVE */
void sim_freeze(struct sim *sim, unsigned node);
void sim_thaw(struct sim *sim, unsigned node);
void sim_fence(struct sim *sim, unsigned node);    /* power cut that the fencer remembers */
void sim_partition(struct sim *sim, uint32_t side);
void sim_heal(struct sim *sim);
void sim_ask_handover(struct sim *sim, unsigned node); /* of the group */
/* Asks all members, of whom `refuses` (0: nobody) says no. */
void sim_consult(struct sim *sim, unsigned node, unsigned refuses);
/* Any operation of `node`; what it points to must stay. One whose process ends needs no answer. */
void sim_request(struct sim *sim, unsigned node, const struct shared_op *op);
/* An operation without an LU; about the group, about `node`. */
void sim_group_op(struct sim *sim, unsigned node, enum shared_op_kind kind);
void sim_submit(struct sim *sim, unsigned node);   /* a registration with a key of its own */
/* A datagram arrives now. */
void sim_receipt(struct sim *sim, unsigned from, unsigned to, const struct message_receipt *receipt);
/* Lets time pass, with random interleaving. */
void sim_run(struct sim *sim, uint64_t ns);
/* Runs until `done` or `limit`; returns whether it was done. */
bool sim_until(struct sim *sim, bool (*done)(struct sim *sim), uint64_t limit);
bool sim_all_serve(struct sim *sim);
/* Whether the state of the node has the registration of this operation. */
bool sim_has(const struct sim *sim, unsigned node, const struct sim_op *op);
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
