/* Inside of the cluster machine; for cluster/cluster_*.c only. Everything marked "agreed" changes at
 * places of the order only, so that it is equal on all nodes that moved together. */
#ifndef HALUN_CLUSTER_MACHINE_H
#define HALUN_CLUSTER_MACHINE_H

#include "cluster/cluster.h"

enum {
    IN_FLIGHT = 128,                       /* operations of one node that are not yet acknowledged */
    PENDING = 1024,                        /* requests of this node that are waiting for anything */
    TICKETS = IN_FLIGHT * LIMIT_NODES * 2, /* applied here, not yet acknowledged by this node */
    HEARTBEATS = 128,                      /* own heartbeats whose send time is remembered */
    REPLAY_MESSAGES = 4096,
    REPLAY_BYTES = 4 << 20,
};

enum cluster_phase {
    PHASE_OUT,       /* not in the group yet */
    PHASE_WAITING,   /* no agreed state; waits for a snapshot or a cold start */
    PHASE_LOADING,   /* a snapshot is coming; what is ordered after its place is kept */
    PHASE_FOLLOWING, /* has the state, is not a member yet */
    PHASE_MEMBER,
    PHASE_DEAD,
};

struct cluster_node {
    /* agreed */
    uint64_t incarnation; /* of the member */
    uint8_t wire_max;     /* newest wire version that it speaks, from its last HELLO; 0: none yet */
    uint64_t executed;    /* newest sequence executed of this incarnation */
    uint64_t since;       /* epoch in which it became a member */
    uint64_t join_incarnation; /* joiner, registered by its HELLO; 0 = none */
    uint32_t join_attempt;
    bool join_ready;
    uint32_t join_admits; /* bits: members to which the joiner is durably known */
    /* since the last change of the group */
    bool hello_seen, compatible;
    uint64_t hello_incarnation;
    struct message_hello hello;
    uint32_t confirm[LIMIT_NODES + 1]; /* its CONFIRM */
    uint32_t harmless_said; /* bits: members that have said that it is harmless */
    uint8_t harmless_proof; /* why, by who said it first */
    /* local */
    uint64_t join_persist; /* record that must be durable before we admit; 0 = none */
    bool admit_sent, served;
    uint64_t joined_wall; /* not before this it became a member */
    uint64_t heard_wall, heard_now, lost_now, proof_sent;
    uint64_t beat;      /* newest heartbeat seen */
    uint64_t echo_of_me; /* newest of ours that it has seen */
    uint64_t digest, digest_order;
};

enum pending_state { PENDING_FREE, PENDING_UNSENT, PENDING_SENT, PENDING_APPLIED };

struct cluster_pending {
    enum pending_state state;
    bool answered; /* too late for an answer, but acknowledgements are still outstanding */
    const struct shared_op *op;
    void *cookie;
    uint64_t arrival, deadline;
    uint64_t sequence, order;
    uint64_t asked;
    enum scsi_reason reason;
    uint8_t field_pointer;
    uint32_t need, acks;
};

struct cluster_ticket {
    uint64_t order;
    uint32_t origin;
    uint64_t incarnation, sequence; /* of the operation's origin; sequence 0: a change of the members */
    uint32_t lu;                    /* of the operation; SHARED_NO_LU */
    bool done;
    uint64_t persist; /* record that must be durable before the acknowledgement; 0 = none */
};

/* Applied here, not yet known to be acknowledged by every member: what it changed must not be told yet. */
struct cluster_unsettled {
    uint64_t order, asked;
    uint32_t need, acks;
    bool settled; /* told so; this node's acknowledgement is still to be sent */
    bool owed;    /* this node's acknowledgement is to be sent when all others have come */
};

struct cluster {
    struct cluster_setup setup;
    enum cluster_phase phase;
    uint64_t now, wall;
    bool quorate, forced;
    bool suspect; /* members are lost, and the others may have gone on without us meanwhile */
    bool proof_begun; /* a proof was heard since the last change of the group */
    uint32_t hello_mask; /* bits: had said HELLO before the last change of the group, and were there ever since */
    uint32_t group;

    /* agreed */
    struct shared_state *state; /* state->members: the agreed members */
    uint64_t epoch, order;
    uint32_t unproven; /* members that vanished and may still do harm */
    struct cluster_node nodes[LIMIT_NODES + 1];

    struct shared_effects effects;
    bool have_record;         /* state and stamp come from a journal or an interrupted join */
    uint32_t record_members;
    struct cluster_stamp stamp; /* where the group last changed */
    bool start_sent;
    unsigned starter; /* agreed: who has begun a cold start; 0 = nobody */
    uint32_t start_need; /* starter: whose records must be superseded before it begins */
    uint64_t start_persist; /* others: record that names the starter; 0 = none to write */
    uint32_t attempt;
    uint32_t confirmed[LIMIT_NODES + 1]; /* the CONFIRM that we sent */

    /* durability */
    uint64_t persist, persist_sent, durable, view_persist;

    /* snapshots */
    uint64_t transfer_id, transfer_count; /* 0 = none running */
    unsigned transfer_from;
    bool begin_sent, ready_sent;
    uint64_t ready_persist; /* joiner: record that must be durable before READY */
    uint8_t *transfer;
    uint32_t transfer_used, transfer_total;
    struct {
        unsigned node;
        uint32_t offset, size;
    } replay[REPLAY_MESSAGES];
    unsigned replay_count, replay_next;
    uint32_t replay_used;
    uint8_t *replay_bytes;

    /* commit */
    struct cluster_pending pending[PENDING];
    unsigned pending_used, unsent, in_flight;
    unsigned pending_end; /* those behind are free */
    uint64_t arrival, sequence, commits;
    struct cluster_ticket tickets[TICKETS];
    unsigned ticket_count;
    struct cluster_unsettled unsettled[TICKETS];
    unsigned unsettled_count;
    uint8_t scratch[MESSAGE_MAX];

    /* lease */
    uint64_t beat, beat_floor, beat_own, beat_time[HEARTBEATS], beat_next;
    uint64_t ask_next; /* no heartbeat of ours asks for others' before this */
    bool beat_now;
    uint64_t lease, lease_told;
    uint64_t digest, digest_order;

    /* view as last told */
    bool told, serving;
    struct cluster_view view;
    uint64_t view_ticket;
};

static inline uint32_t node_bit(unsigned node)
{
    return 1u << node;
}

/* Agreed members that are not lost. */
static inline uint32_t live_members(const struct cluster *c)
{
    return c->state->members & ~c->unproven;
}

static inline bool follows(const struct cluster *c)
{
    return c->phase == PHASE_FOLLOWING || c->phase == PHASE_MEMBER;
}

static inline bool is_live(const struct cluster *c, unsigned node)
{
    return live_members(c) & node_bit(node);
}

static inline unsigned lowest_node(uint32_t mask)
{
    return mask ? (unsigned)__builtin_ctz(mask) : 0;
}

/* updates */
struct cluster_update *update_add(struct cluster_updates *u, enum cluster_update_kind kind);
bool updates_have_room(const struct cluster_updates *u, size_t bytes);
void cluster_send(struct cluster *c, struct cluster_updates *u, struct cluster_message *message);
void cluster_log(struct cluster *c, struct cluster_updates *u, int priority, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void cluster_fatal(struct cluster *c, struct cluster_updates *u, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
uint64_t cluster_persist(struct cluster *c);
void cluster_dispatch(struct cluster *c, struct cluster_updates *u, unsigned node, const void *bytes,
                      size_t size);

/* cluster_member.c */
void member_group(struct cluster *c, struct cluster_updates *u, const struct cluster_event *event);
void member_hello(struct cluster *c, struct cluster_updates *u, unsigned node,
                  const struct cluster_message *message);
void member_say_hello(struct cluster *c, struct cluster_updates *u);
void member_confirm(struct cluster *c, struct cluster_updates *u, unsigned node,
                    const struct cluster_message *message);
void member_harmless(struct cluster *c, struct cluster_updates *u, unsigned node,
                     const struct cluster_message *message);
/* Whether a proof about the lost members would count here: a fencing, the end of a lease. */
bool member_may_go_on(const struct cluster *c);
void member_fenced(struct cluster *c, struct cluster_updates *u, unsigned node, uint64_t time);
void member_change(struct cluster *c, struct cluster_updates *u, uint32_t members, uint32_t lost,
                   bool proven);
void member_advance(struct cluster *c, struct cluster_updates *u);
uint8_t member_wire(const struct cluster *c);
bool member_compatible(const struct cluster *c, const struct message_hello *hello, char *why,
                       size_t size);

/* cluster_join.c */
void join_reset(struct cluster *c);
void join_register(struct cluster *c, unsigned node, uint64_t incarnation, uint32_t attempt);
void join_start(struct cluster *c, struct cluster_updates *u, unsigned node,
                const struct cluster_message *message);
void join_hello(struct cluster *c, unsigned node);
void join_begin(struct cluster *c, struct cluster_updates *u, unsigned node,
                const struct cluster_message *message);
void join_chunk(struct cluster *c, struct cluster_updates *u, unsigned node,
                const struct cluster_message *message);
void join_ready(struct cluster *c, struct cluster_updates *u, unsigned node,
                const struct cluster_message *message);
void join_admit(struct cluster *c, struct cluster_updates *u, unsigned node,
                const struct cluster_message *message);
bool join_keep(struct cluster *c, unsigned node, enum message_type type, const void *bytes,
               size_t size);
void join_replay(struct cluster *c, struct cluster_updates *u);
void join_advance(struct cluster *c, struct cluster_updates *u);

/* cluster_commit.c */
void commit_request(struct cluster *c, struct cluster_updates *u, const struct cluster_event *event);
void commit_op(struct cluster *c, struct cluster_updates *u, unsigned node,
               const struct cluster_message *message);
/* c->effects at the place c->order are to be carried out and acknowledged: the operation `sequence` of `origin`, or
 * (sequence 0) a change of the members, whose acknowledgements (origin: this node) only those wait for who may tell
 * what it changed, and which need not wait until something is durable. */
void commit_carry_out(struct cluster *c, struct cluster_updates *u, uint32_t origin, uint64_t sequence, uint32_t lu);
void commit_ack(struct cluster *c, unsigned node, const struct cluster_message *message);
/* A datagram that came from `node`. */
void commit_receipt(struct cluster *c, unsigned node, const void *bytes, size_t size);
/* An operation that is newer than the version in use at its place. */
void commit_unheard(struct cluster *c, unsigned node, const struct cluster_message *message);
void commit_ask(struct cluster *c, struct cluster_updates *u, unsigned node,
                const struct cluster_message *message);
void commit_applied(struct cluster *c, struct cluster_updates *u, uint64_t ticket);
void commit_durable(struct cluster *c, struct cluster_updates *u);
void commit_advance(struct cluster *c, struct cluster_updates *u);

void commit_ask_handover(struct cluster *c, struct cluster_updates *u, uint32_t group);
void commit_handover(struct cluster *c, struct cluster_updates *u, unsigned node,
                     const struct cluster_message *message);
void commit_consult(struct cluster *c, struct cluster_updates *u, uint64_t number,
                    const uint8_t digest[32]);
void commit_opinion(struct cluster *c, struct cluster_updates *u, const struct cluster_event *event);
void commit_consultation(struct cluster *c, struct cluster_updates *u, unsigned node,
                         const struct cluster_message *message);

/* cluster_lease.c */
void lease_heartbeat(struct cluster *c, struct cluster_updates *u, unsigned node,
                     const struct cluster_message *message);
void lease_drop(struct cluster *c);
void lease_advance(struct cluster *c, struct cluster_updates *u);
uint64_t lease_digest(struct cluster *c);

#endif
