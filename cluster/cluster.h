/* The cluster machine: membership, commit, lease, join and cold start of the shared state, as one
 * deterministic function of its events (docs/cluster.md is its description). Time comes in the event;
 * nothing is allocated after cluster_new(); no socket, no file. Pure. */
#ifndef HALUN_CLUSTER_CLUSTER_H
#define HALUN_CLUSTER_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/driver.h"
#include "cluster/message.h"
#include "cluster/shared_state.h"

struct cluster;

struct cluster_setup {
    unsigned self;            /* this node's id */
    uint32_t configured;      /* bits: all nodes of the configuration */
    bool single;              /* single-node mode: no quorum, no lease, nobody else */
    bool lease_proves;        /* >= 3 votes: a lost node's expired lease makes it harmless, if there
                               * are >= 3 configured nodes as well */
    uint64_t lease_ns;        /* how old an answered round trip may be */
    uint64_t hold_ns;         /* a request is answered within this */
    uint64_t incarnation;     /* unlike that of any earlier process of this node; not 0 */
    uint8_t config_digest[32];
    uint8_t cluster_uuid[16];
    uint8_t wire_max;         /* newest wire version to speak, WIRE_MIN..WIRE_MAX; 0: WIRE_MAX */
    char names[LIMIT_NODES + 1][LIMIT_NAME + 1]; /* by node id, for sentences */
};

enum cluster_event_kind {
    CLUSTER_MESSAGE, /* ordered message: node, bytes, size */
    CLUSTER_GROUP,   /* ordered: the CPG group changed */
    CLUSTER_QUORUM,  /* quorate */
    CLUSTER_TICK,    /* time passes; at least every lease_ns / 24 */
    CLUSTER_REQUEST, /* request: an operation of this node */
    CLUSTER_APPLIED, /* ticket: its effects are carried out */
    CLUSTER_DURABLE, /* sequence: records up to it are durable */
    CLUSTER_FENCED,  /* node was fenced at `fenced` (realtime ns) */
    CLUSTER_HANDOVER, /* ask the owner of a group to release it for this node */
    CLUSTER_CONSULT,  /* ask every member, this node too, whether it could use a configuration */
    CLUSTER_ANSWER_CONSULT, /* this node's answer to CLUSTER_CONSULTED */
    CLUSTER_RECEIPT,  /* not ordered: receipt.node, bytes, size of a datagram that came from it */
    CLUSTER_FORCE,   /* the operator accepts the journal at hand for a cold start */
    CLUSTER_MORE,    /* go on: updates->more was set */
};

struct cluster_event {
    enum cluster_event_kind kind;
    uint64_t now;  /* CLOCK_MONOTONIC, ns */
    uint64_t wall; /* CLOCK_REALTIME, ns */
    union {
        struct {
            unsigned node;
            const void *bytes;
            size_t size;
        } message;
        struct {
            unsigned node;
            const void *bytes;
            size_t size;
        } receipt;
        struct {
            uint32_t members, joined; /* bits */
            uint32_t left;            /* left the group or the process ended (LEAVE, PROCDOWN) */
            uint32_t down;            /* the node vanished (NODEDOWN) */
        } group;
        bool quorate;
        struct {
            const struct shared_op *op; /* must stay until the answer */
            void *cookie;               /* comes back in the answer */
        } request;
        uint64_t ticket;
        uint64_t sequence;
        struct {
            unsigned node;
            uint64_t time;
        } fenced;
        struct {
            uint32_t group; /* index */
        } handover;
        struct {
            uint64_t number; /* comes back with each opinion */
            uint8_t digest[32];
        } consult;
        struct {
            unsigned node; /* who asked */
            uint64_t number;
            bool good;
            const char *why; /* why not; cut to MESSAGE_OPINION_TEXT */
        } opinion;
    };
};

enum cluster_update_kind {
    CLUSTER_SEND,    /* multicast bytes (own delivery included), in order */
    CLUSTER_SEND_RECEIPT, /* send bytes to one node as a datagram, if there is a way */
    CLUSTER_PERSIST, /* make cluster_record() durable, then CLUSTER_DURABLE(sequence); a newer one
                      * covers older ones */
    CLUSTER_APPLY,   /* carry cluster_effects() out, then CLUSTER_APPLIED(ticket) */
    CLUSTER_SETTLED, /* ticket of an earlier APPLY: every member has carried it out, so what it changed may be
                      * told; before, another member may still tell what was before it */
    CLUSTER_ANSWER,  /* cookie, reason, field_pointer */
    CLUSTER_VIEW,    /* something in cluster_view() changed; ticket as for APPLY */
    CLUSTER_LEASE,   /* this node may answer until `lease` */
    CLUSTER_ASKED,   /* `node` asks this node, the owner of the group, to release it now */
    CLUSTER_CONSULTED, /* `node` asks whether this node could use a configuration */
    CLUSTER_OPINION, /* what `node` says to this node's question */
    CLUSTER_LOG,     /* priority, text */
    CLUSTER_FATAL,   /* text; the machine does nothing any more */
};

struct cluster_update {
    enum cluster_update_kind kind;
    union {
        struct {
            const uint8_t *bytes; /* valid until the next step */
            size_t size;
        } send;
        struct {
            unsigned node;
            uint8_t bytes[MESSAGE_RECEIPT];
        } receipt;
        uint64_t sequence;
        uint64_t ticket;
        struct {
            void *cookie;
            enum scsi_reason reason;
            uint8_t field_pointer;
        } answer;
        uint64_t lease;
        struct {
            unsigned node;
            uint32_t group;
        } asked;
        struct {
            unsigned node;
            uint64_t number;
            uint8_t digest[32];
        } consulted;
        struct {
            unsigned node;
            uint64_t number;
            bool good;
            char why[MESSAGE_OPINION_TEXT + 1];
        } opinion;
        struct {
            int priority;
            const char *text; /* valid until the next step */
        } log;
    };
};

enum { CLUSTER_UPDATES = 96, CLUSTER_UPDATE_BYTES = 512 << 10 };

/* Output of one step; the caller's, large. At most one APPLY in one step. */
struct cluster_updates {
    unsigned count;
    bool more; /* step again with CLUSTER_MORE before any other event */
    size_t used;
    struct cluster_update updates[CLUSTER_UPDATES];
    uint8_t bytes[CLUSTER_UPDATE_BYTES];
};

/* A new machine. It takes `state` (configured, nothing agreed yet) over. NULL: no memory. */
struct cluster *cluster_new(const struct cluster_setup *setup, struct shared_state *state);
void cluster_free(struct cluster *cluster);
/* Gives the machine what an earlier process of this node had recorded (cluster_record()). Before the
 * first step. Returns 0, -EINVAL (malformed) or what shared_state_decode() says. */
int cluster_restore(struct cluster *cluster, const void *record, size_t size);

void cluster_step(struct cluster *cluster, const struct cluster_event *event,
                  struct cluster_updates *updates);

/* What must be on disk for the newest CLUSTER_PERSIST. Bound: CLUSTER_RECORD_MAX. */
enum { CLUSTER_RECORD_MAX = SNAPSHOT_MAX };
void cluster_record(const struct cluster *cluster, struct writer *w);
const struct shared_state *cluster_shared(const struct cluster *cluster);
const struct shared_effects *cluster_effects(const struct cluster *cluster);
/* Digest of the state as of the last step. */
uint64_t cluster_digest(struct cluster *cluster);
/* Bits (node id): whose daemons are in the Corosync group now, members or not. */
uint32_t cluster_group(const struct cluster *cluster);
/* Fills *view as of the last step. */
void cluster_describe(const struct cluster *cluster, struct cluster_view *view);

#endif
