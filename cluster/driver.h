/* What the daemon sees of the cluster. The driver owns the pure machine (cluster.h), carries its updates
 * out (CPG, journal, fencing, timers) and feeds events back. Control thread only, but for the lease. */
#ifndef HALUN_CLUSTER_DRIVER_H
#define HALUN_CLUSTER_DRIVER_H

#include <qb/qblist.h>
#include <qb/qbloop.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cluster/shared_state.h"
#include "config/config.h"

struct cluster_driver;

/* An operation asked for by this node. The caller's until answer() is called (once). Memory that
 * op.transport_ids and op.ports point to must live as long. */
struct cluster_request {
    struct shared_op op;
    /* GOOD: applied and acknowledged by every member. Other reasons: applied nowhere (state unchanged),
     * or NOT_READY_TRANSITION: the cluster could not decide within the limit (no quorum, joining); the
     * operation may still be applied later (SPC lets the initiator read back). */
    void (*answer)(struct cluster_request *request, enum scsi_reason reason, uint8_t field_pointer);
    struct qb_list_head link; /* the driver's */
    uint64_t sequence;
    uint64_t deadline_ns;
    bool applied;
};

/* Why and for whom the node waits, for status and log. */
struct cluster_view {
    bool serving;      /* joined, quorate, lease kept, every lost member known harmless */
    bool quorate;
    bool joined;       /* has the snapshot (or is the first) */
    uint32_t members;  /* bit (node id) */
    uint32_t unproven; /* lost members that are not yet known to be harmless */
    bool provable;     /* a fencing of these would be a proof; else they may have gone on without this node */
    uint64_t digest, version, epoch;
    uint64_t commits;
    uint8_t wire;      /* version of the wire format in use */
    char alarm[200];   /* the last thing that must not be: a difference of states; "" = none since the start */
    char waiting[160]; /* "waits for fencing of node2 (lost 1.2 s ago)"; "" = for nothing */
};

struct cluster_callbacks {
    void *context;
    /* An operation (or a view) was applied: carry the effects out on this node, then call
     * cluster_applied(driver, ticket), at once or later. Order of calls = agreed order; `effects` is
     * valid only during the call. */
    void (*apply)(void *context, uint64_t ticket, const struct shared_state *state,
                  const struct shared_effects *effects);
    /* Every member has carried out what was applied under `ticket`: until now another node may have answered
     * from the state before it, so this one must not have answered from the state after it. */
    void (*settled)(void *context, uint64_t ticket);
    /* serving, members or waiting changed. Not serving: gates must hold. Serving again, or after a join
     * with a snapshot: every lane must be made equal to `state` before anything is answered; call
     * cluster_applied(driver, ticket) when that is done (ticket 0: nothing to answer). */
    void (*view)(void *context, uint64_t ticket, const struct shared_state *state,
                 const struct cluster_view *view);
    /* `node` asks this node, the owner of the group, to release it now (cluster_ask_handover()). */
    void (*asked)(void *context, unsigned node, unsigned group);
    /* `node` asks whether this node could use the configuration with this digest: cluster_give_opinion(), now or
     * later. */
    void (*consulted)(void *context, unsigned node, uint64_t number, const uint8_t digest[32]);
    /* What `node` says to this node's question `number`. `why` is valid during the call. */
    void (*opinion)(void *context, unsigned node, uint64_t number, bool good, const char *why);
    /* May `state` become this node's record in the journal? False keeps it back, and nothing that waits for the journal
     * goes on; cluster_record_ready() asks again, with the state as it is then. NULL: it always may. */
    bool (*record)(void *context, const struct shared_state *state);
    /* This node must stop serving for good (digest differs, corosync gone, evicted): the daemon closes
     * its sessions' gates and exits; `why` is for the log. */
    void (*fatal)(void *context, const char *why);
};

/* Starts: opens the journal in config->state_dir, joins CPG (config->corosync) or serves alone
 * (single-node mode: the same machine, a loopback for its wire). Returns 0 or -errno with a sentence in
 * `why` (256 bytes). */
int cluster_start(struct cluster_driver **driver, qb_loop_t *loop, const struct config *config,
                  const struct cluster_callbacks *callbacks, char *why);
/* Leaves the group cleanly (others need no fencing) and frees the driver; requests are answered
 * NOT_READY_TRANSITION. */
void cluster_stop(struct cluster_driver *driver);

/* Hands in an operation. */
void cluster_submit(struct cluster_driver *driver, struct cluster_request *request);
/* The effects (or lanes of a view) of `ticket` are carried out: switched, drained, durable. */
void cluster_applied(struct cluster_driver *driver, uint64_t ticket);
/* What kept a record back (record()) may be over. */
void cluster_record_ready(struct cluster_driver *driver);
/* Asks the owner of a group (by index) to release it for this node; it may not listen, or the message be lost:
 * to be asked again while it is wanted. Nothing happens while the view's wire version is below 2. */
void cluster_ask_handover(struct cluster_driver *driver, unsigned group);
/* Asks every member, this node too, whether it could use a configuration. Answers come as opinion(), or are lost with
 * their sender: who asks does not wait for ever. Nothing happens while the view's wire version is below 2. */
void cluster_consult(struct cluster_driver *driver, uint64_t number, const uint8_t digest[32]);
/* Answers consulted(); `why` (why not) is cut to 200 bytes. */
void cluster_give_opinion(struct cluster_driver *driver, unsigned node, uint64_t number, bool good,
                          const char *why);
/* Something happened that may mean that a lost member was fenced (Pacemaker promotes here, which it does not do
 * before): the fencer is asked at once, not when its turn comes. */
void cluster_look(struct cluster_driver *driver);
/* The operator accepts the newest state of the nodes that are here for a cold start, although absent
 * ones may have newer state (it is given up). Nothing happens once a cluster runs. */
void cluster_force_start(struct cluster_driver *driver);
/* The agreed state as of now; valid until control returns to the loop. */
const struct shared_state *cluster_state(const struct cluster_driver *driver);
/* Bits (node id): whose daemons are here now, members or not yet. */
uint32_t cluster_present(const struct cluster_driver *driver);
void cluster_get_view(const struct cluster_driver *driver, struct cluster_view *view);

/* CLOCK_MONOTONIC ns until which this node may answer (UINT64_MAX in single-node mode). Any thread. */
const _Atomic uint64_t *cluster_lease(const struct cluster_driver *driver);

#endif
