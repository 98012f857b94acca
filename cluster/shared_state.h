/* The state that is one over all nodes (law 1): reservations, mode parameters, access states, owners,
 * and which nodes hold current data. It changes in one way only: shared_apply() of an operation at the
 * same place of the agreed order on every node. Pure and deterministic: no clock, no allocation after
 * shared_state_new(), no pointer in anything that is compared or sent. */
#ifndef HALUN_CLUSTER_SHARED_STATE_H
#define HALUN_CLUSTER_SHARED_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "target/base/bytes.h"
#include "target/base/limits.h"
#include "target/command/identity.h"
#include "target/command/reason.h"
#include "target/command/unit_attention.h"

/* Asymmetric access states (SPC-4 table 309). */
enum alua_state {
    ALUA_ACTIVE_OPTIMIZED = 0x0,
    ALUA_ACTIVE_NON_OPTIMIZED = 0x1,
    ALUA_STANDBY = 0x2,
    ALUA_UNAVAILABLE = 0x3,
    ALUA_OFFLINE = 0xe,
    ALUA_TRANSITIONING = 0xf,
};

/* PERSISTENT RESERVE types (SPC-4 table 143). */
enum pr_type {
    PR_NONE = 0x0,
    PR_WRITE_EXCLUSIVE = 0x1,
    PR_EXCLUSIVE_ACCESS = 0x3,
    PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 0x5,
    PR_EXCLUSIVE_ACCESS_REGISTRANTS_ONLY = 0x6,
    PR_WRITE_EXCLUSIVE_ALL_REGISTRANTS = 0x7,
    PR_EXCLUSIVE_ACCESS_ALL_REGISTRANTS = 0x8,
};

enum {
    SHARED_MODE_BYTES = 32,     /* changeable mode parameters of an LU, see struct shared_mode */
    SHARED_NO_LU = 0xffffffff,
    SHARED_NO_GROUP = 0xffffffff,
    SHARED_PORTS = LIMIT_NODES * LIMIT_PORTALS, /* most target ports that an operation may name */
};

struct shared_registrant {
    struct nexus_identity nexus;
    uint64_t key; /* never 0 while registered */
};

/* Changeable mode parameters (MODE SELECT), the same on all nodes. */
struct shared_mode {
    uint8_t d_sense; /* control mode page D_SENSE */
    uint8_t swp;     /* control mode page SWP: software write protect */
    uint8_t wce;     /* caching mode page WCE: 1 = volatile until flushed */
    uint8_t tas;     /* control mode page TAS: aborted tasks of others end with TASK ABORTED */
};

/* What a new unit has. TAS: an initiator whose commands another one aborted (LOGICAL UNIT RESET, PREEMPT AND
 * ABORT) is told so at once, instead of finding out by its timeout. */
#define SHARED_MODE_DEFAULTS ((struct shared_mode){.wce = 1, .tas = 1})

/* Reservations of one logical unit. Registrants are kept sorted by (transport id, rtpi). */
struct shared_lu {
    uint8_t uuid[16];
    uint32_t pr_generation; /* PRgeneration, SPC-4 6.15.2 */
    uint8_t pr_type;        /* enum pr_type; PR_NONE = no reservation */
    bool pr_aptpl;          /* activate persist through power loss */
    int32_t pr_holder;      /* index into registrants; -1 = none, or an all-registrants type */
    uint32_t registrant_count;
    /* A run in the state's pool, moved by operations: do not keep the pointer. NULL when empty. */
    struct shared_registrant *registrants;
    uint32_t registrant_room; /* private: slots of the run */
    bool legacy_reserved;   /* RESERVE(6)/(10), SPC-2 */
    struct nexus_identity legacy_holder;
    uint32_t legacy_node;   /* node of the holder's nexus: its loss releases */
    struct shared_mode mode;
    uint64_t capacity;      /* blocks */
    uint32_t epoch;         /* +1 at every change that a lane must know */
};

struct shared_group {
    char name[LIMIT_NAME + 1];
    uint32_t owner;           /* node id that executes media commands; 0 = nobody (transition) */
    uint32_t current;         /* bit (node id): holds current data; replication none: all bits of nodes */
    uint32_t nodes;           /* bit (node id): has a copy at all */
    bool replicated;          /* by the configuration: what one node writes has to reach the others' copies */
    bool explicit_transition; /* the last change came from SET TARGET PORT GROUPS (RTPG status code) */
    uint8_t states[LIMIT_NODES + 1]; /* enum alua_state by node id (= target port group) */
    uint32_t epoch;           /* +1 at every change */
};

struct shared_state {
    struct shared_lu *lus;       /* sorted by uuid, as in the configuration */
    struct shared_group *groups; /* in the order of the configuration */
    uint32_t lu_count, group_count;
    uint32_t members;            /* bit (node id): members of the current view, agreed */
    uint64_t version;            /* +1 at every operation with reason GOOD, and at every view */
    uint32_t registrant_total;   /* of all LUs, at most LIMIT_REGISTRANTS */
    /* Private. Runs grow at the end of one half of the pool; when that is full, they are packed into
     * the other half. The place of a run is no part of the state. */
    struct shared_registrant *registrant_pool;
    uint32_t pool_half, pool_used;
};

enum shared_op_kind {
    SHARED_OP_PR_OUT = 1,
    SHARED_OP_RESERVE,       /* RESERVE(6)/(10) */
    SHARED_OP_RELEASE,
    SHARED_OP_LU_RESET,      /* LOGICAL UNIT RESET */
    SHARED_OP_TARGET_RESET,  /* all LUs */
    SHARED_OP_CLEAR_TASK_SET,
    SHARED_OP_NEXUS_LOSS,    /* a nexus was lost: legacy reservations fall */
    SHARED_OP_MODE_SELECT,   /* the whole set: what a node speaks while a member does not know MODE_PAGES */
    SHARED_OP_CAPACITY,      /* resize */
    SHARED_OP_GROUP_RELEASE, /* the owner gives up: commands of the group are held everywhere */
    SHARED_OP_GROUP_ACQUIRE, /* `node` becomes owner; refused unless its data is current, nobody owns */
    SHARED_OP_OUTDATE,       /* `node`'s copy of the group is outdated: asked by the owner when its
                              * replication link is lost */
    SHARED_OP_CURRENT,       /* `node`'s copy is current again (resync finished) */
    SHARED_OP_CONFIGURATION, /* wire 2. Every node uses the configuration with this digest (hosts, LUN maps) */
    SHARED_OP_MODE_PAGES,    /* wire 3. MODE SELECT of some pages: what others select at the same time stays */
    SHARED_OP_TARGET_COLD_RESET, /* wire 3. TARGET_RESET, and all sessions end (RFC 7143 11.5.1) */
    SHARED_OP_FORCE_CURRENT, /* wire 4. An administrator: `node`'s copy alone is current, whatever is newer is given up */
    SHARED_OP_REINSTATE,     /* wire 7. `node`'s copy is current as if it had not been outdated: nothing was acknowledged
                              * without it since. Who had it outdated asks, as its own disk failed first */
    SHARED_OP_KIND_COUNT
};

/* One operation, before encoding. Which fields count depends on the kind. */
struct shared_op {
    enum shared_op_kind kind;
    /* Node it comes from, or that it is about (GROUP_*, OUTDATE, CURRENT, FORCE_CURRENT, REINSTATE); must be 1..LIMIT_NODES
     * for those, RESERVE and NEXUS_LOSS. */
    uint32_t node;
    uint32_t lu;        /* index; SHARED_NO_LU with NEXUS_LOSS means every LU */
    uint32_t group;     /* index */
    /* Who asks. All zero = nobody (an administrator): allowed with LU_RESET, TARGET_RESET,
     * TARGET_COLD_RESET, CLEAR_TASK_SET, MODE_SELECT, MODE_PAGES. */
    struct nexus_identity nexus;
    /* PR OUT (SPC-4 6.16) */
    uint8_t action;     /* service action 0..7; with GROUP_*: 1 = by SET TARGET PORT GROUPS */
    uint8_t type;       /* enum pr_type as sent */
    uint8_t scope;      /* 0 = LU_SCOPE */
    uint64_t key;       /* RESERVATION KEY */
    uint64_t action_key; /* SERVICE ACTION RESERVATION KEY */
    bool aptpl, all_tg_pt, spec_i_pt, unreg;
    uint16_t move_rtpi; /* REGISTER AND MOVE */
    /* TransportIDs: SPEC_I_PT list, or the REGISTER AND MOVE destination; as on the wire */
    const uint8_t *transport_ids;
    uint32_t transport_ids_length;
    /* All target ports of the cluster, for ALL_TG_PT and to check move_rtpi: from the configuration,
     * ascending, at most SHARED_PORTS. */
    const uint16_t *ports;
    uint32_t port_count;
    const uint8_t *ports_wire; /* set by shared_op_decode() instead of ports: big-endian */
    struct shared_mode mode; /* MODE_SELECT: the whole new set; MODE_PAGES: of it what is selected */
    struct shared_mode mode_selected; /* MODE_PAGES: 1 = this parameter, of a page that was sent, is set */
    uint64_t capacity;
    uint32_t epoch;     /* REINSTATE: of the group, behind the outdating that is taken back */
    uint8_t digest[32]; /* CONFIGURATION */
};

/* What every node must do for its own nexuses and lanes before it acknowledges. Selectors tell which
 * nexuses of the LU: the receiver walks its local nexuses with shared_effect_selects(). */
enum shared_effect_kind {
    /* Establish `ua` for selected nexuses at `lu`; with lu == SHARED_NO_LU and a group: at every LU of
     * the group. UA_COMMANDS_CLEARED: only for those that had a command aborted by this operation. */
    SHARED_EFFECT_UA = 1,
    SHARED_EFFECT_ABORT,       /* abort the tasks of selected nexuses at `lu`, drain before ack */
    SHARED_EFFECT_RESERVATION, /* reservation view of `lu` changed (SHARED_NO_LU: of every LU whose
                                * epoch differs from its lane's): switch lanes; commands that were
                                * admitted under the old view and would now conflict drain before ack */
    SHARED_EFFECT_KEYS,        /* registered keys or PRgeneration of `lu` changed, nothing that a lane knows: they
                                * are told when every member has them */
    SHARED_EFFECT_MODE,        /* mode parameters of `lu` changed */
    SHARED_EFFECT_CAPACITY,
    SHARED_EFFECT_GROUP,       /* owner or access states of `group` changed: switch gates */
    SHARED_EFFECT_OUTDATE,     /* `node`: if that is me, my copy of `group` is outdated: make that durable
                                * before ack */
    SHARED_EFFECT_REINSTATE,   /* the same; my copy is as it was before */
    SHARED_EFFECT_CONFIGURATION, /* use the configuration with effects->digest; ack when all nexuses have it */
    SHARED_EFFECT_SESSIONS,    /* all sessions end, after the answer to who asked for it */
    SHARED_EFFECT_PERSIST,     /* the state must be durable before ack (APTPL, current sets) */
};

enum shared_selector {
    SHARED_ALL,        /* every nexus of the LU */
    SHARED_ALL_BUT,    /* every nexus but `nexus` */
    SHARED_ONLY,       /* `nexus` alone (its rtpi counts) */
    SHARED_LIST,       /* the identities in effects->identities[first .. first + count), ascending */
};

struct shared_effect {
    enum shared_effect_kind kind;
    enum shared_selector selector;
    uint32_t lu, group, node;
    enum unit_attention ua;
    struct nexus_identity nexus;
    uint32_t first, count; /* SHARED_LIST */
    bool cleared;          /* OUTDATE: it was current until then */
};

/* A view may change two things of every group; an operation has no more than LIMIT_NODES. */
enum { SHARED_EFFECTS = 2 * LIMIT_GROUPS + 8 };

/* Output of one application; memory is the caller's (large: keep one per machine, not on a stack).
 * lu == SHARED_NO_LU in an effect means every LU (of the group, if one is named). Effects are in the
 * order in which they are to be carried out. */
struct shared_effects {
    enum scsi_reason reason; /* the answer for the initiator: GOOD, RESERVATION_CONFLICT, ... */
    uint8_t field_pointer;   /* for INVALID_FIELD_IN_PARAMETERS and _CDB: byte offset, 0xff = none */
    bool changed;            /* false: nothing to switch, nothing to persist */
    uint32_t count;
    struct shared_effect effects[SHARED_EFFECTS];
    uint8_t digest[32]; /* CONFIGURATION */
    uint32_t identity_count;
    struct nexus_identity identities[LIMIT_REGISTRANTS_LU * 2];
};

/* A new state for these LUs and groups, nothing reserved, nobody owner, no members, access states
 * TRANSITIONING. The caller then fills in, equally on all nodes, what the configuration says: uuid, mode
 * and capacity of the LUs; name, nodes, replicated and (replication none) current of the groups. NULL when memory is
 * short or the counts are above LIMIT_LUS and LIMIT_GROUPS. */
struct shared_state *shared_state_new(uint32_t lu_count, uint32_t group_count);
void shared_state_free(struct shared_state *state);

/* Applies one operation. The state is changed only if effects->reason is GOOD; anything may stand in
 * `op`, what is invalid is refused. Same input, same result, on every node.
 *
 * Reservations follow SPC-4 5.12 and 6.16. Where that leaves a choice, or needs a word:
 * - PERSISTENT RESERVE OUT while a legacy reservation exists: conflict, whoever asks (SPC-2 5.5.1).
 * - RESERVE and RELEASE while registrations exist: GOOD without effect for those that have the access the
 *   command is about (the holder; a registrant under a registrants-only or all-registrants type), else
 *   conflict (SPC-4 5.12.3). RELEASE by another than the holder of a legacy reservation: GOOD, no effect.
 * - PRgeneration moves by one for each REGISTER, REGISTER AND IGNORE EXISTING KEY, REGISTER AND MOVE, CLEAR,
 *   PREEMPT and PREEMPT AND ABORT that ended GOOD, but for the two that "do nothing": unregistering a
 *   nexus that is not registered (SPC-4 tables 50, 51).
 * - SPEC_I_PT and ALL_TG_PT: all registrations or none. A nexus named by SPEC_I_PT that is registered already,
 *   or a TransportID without an ISID: INVALID FIELD IN PARAMETER LIST. ALL_TG_PT with REGISTER: conflict
 *   when the initiator port is registered at another target port with another key than RESERVATION KEY.
 * - TYPE and SCOPE of PREEMPT count only when a reservation is preempted.
 * - A nexus that removes its own registration by PREEMPT gets no unit attention, and PREEMPT AND ABORT
 *   does not abort its commands.
 *
 * MODE_SELECT and MODE_PAGES conflict like a write, checked again here because reservations may have changed
 * since the command was admitted. Groups: RELEASE by the owner (GOOD without effect if there is none;
 * INVALID_FIELD_IN_PARAMETERS if another owns). ACQUIRE: NOT_READY_TRANSITION if another owns or `node` is
 * no member, INSUFFICIENT_RESOURCES if its data is not current. OUTDATE: INVALID_FIELD_IN_PARAMETERS for
 * the owner or a node without a copy, INSUFFICIENT_RESOURCES for the last current copy; repeated: GOOD
 * with its effect once more. CURRENT: INVALID_FIELD_IN_PARAMETERS for a node without a copy. FORCE_CURRENT: the same;
 * NOT_READY_TRANSITION while somebody owns the group; repeated: GOOD with its effects once more. REINSTATE:
 * INVALID_FIELD_IN_PARAMETERS for a node without a copy, INSUFFICIENT_RESOURCES if anything of the group, or of who is a
 * member, has changed since (`epoch`), or `node` is no member. */
void shared_apply(struct shared_state *state, const struct shared_op *op,
                  struct shared_effects *effects);
/* The agreed view changed to `members`; the nodes in `lost` (bits) are gone: their nexuses are lost,
 * groups they owned have no owner any more (states TRANSITIONING on the rest, UNAVAILABLE there). A node
 * in both sets was away and is back. Whoever is not in `members` counts as lost.
 * `survivors`: members that were here all the time. A lost owner's copy is not current any more if one of
 * them has a current copy: the owner's may lack what was acknowledged. If the owner is one of them, and has a
 * current copy, that of a node that is back is not current any more. 0: copies stay as they are. */
void shared_members(struct shared_state *state, uint32_t members, uint32_t lost, uint32_t survivors,
                    struct shared_effects *effects);

bool shared_effect_selects(const struct shared_effects *effects, const struct shared_effect *effect,
                           const struct nexus_identity *nexus);

/* Encodes an operation for the wire (versioned, documented in docs/cluster.md) / decodes and checks it
 * against the state's counts. Decoded pointers point into `r`'s memory. Returns 0 or -EINVAL; on
 * success `r` stands behind the operation. What is encoded must have at most LIMIT_PARAMETER_LIST bytes of
 * TransportIDs and SHARED_PORTS ports (asserted). */
void shared_op_encode(const struct shared_op *op, struct writer *w);
/* The wire version (message.h) that brought an operation. */
uint8_t shared_op_wire(enum shared_op_kind kind);
/* Says the same as well as it can be said in an older wire version, as the state is now. False: it cannot be said
 * there at all. MODE_PAGES becomes MODE_SELECT, which takes back what another node selects at the same moment;
 * TARGET_COLD_RESET becomes TARGET_RESET, sessions stay. */
bool shared_op_speak(struct shared_op *op, uint8_t wire, const struct shared_state *state);
int shared_op_decode(struct shared_op *op, struct reader *r, const struct shared_state *state);

/* The whole state as bytes (snapshot for a joiner, journal). Decoding checks everything against the
 * configured LUs and groups (by uuid and name; unknown ones are refused with -ENOENT, malformed input
 * with -EINVAL; the state is untouched then). LUs that are configured but not in the encoding become
 * unreserved, groups become ownerless with no current copy. Nodes that the configuration gives no copy
 * (any more) lose their bit in `current`. */
void shared_state_encode(const struct shared_state *state, struct writer *w);
int shared_state_decode(struct shared_state *state, struct reader *r);
/* After a power cut of everything: drops what does not survive (registrations of LUs without APTPL,
 * legacy reservations, owners, members; access states become TRANSITIONING; PRgeneration starts at 0,
 * SPC-4 6.15.2; mode parameters, which cannot be saved, are the defaults). */
void shared_state_cold_start(struct shared_state *state);
/* The operator starts with the nodes that are `present` (bits): what is newer on others is given up. Where one of these has
 * a current copy, those of nodes that are not here are current no more. */
void shared_state_forced(struct shared_state *state, uint32_t present);
/* A digest over everything that must be equal on all nodes (64-bit, of the encoding). */
uint64_t shared_state_digest(const struct shared_state *state);

/* May a command go on? `pr_allow` is the row's class. The same function serves lanes and executor. */
enum pr_access { /* how a command row behaves under reservations (SPC-4 table 63, SBC-3 table 13) */
    PR_ALWAYS,       /* never conflicts (INQUIRY, REPORT LUNS, PR IN, RTPG ...) */
    PR_READ,         /* media or status read: conflicts with EXCLUSIVE ACCESS types */
    PR_WRITE,        /* conflicts with every type for those who may not write */
    PR_OUT,          /* PERSISTENT RESERVE OUT: decided by the service action */
    PR_LEGACY,       /* RESERVE/RELEASE: conflict with any registration unless CRH */
};

/* Pure verdict for a nexus: does a command of class `access` conflict with the LU's reservations?
 * `registered`/`holder` as cached per nexus; `legacy_other`: a legacy reservation held by another.
 * PR_OUT and PR_LEGACY: true only if it is sure without the rest of the state; shared_apply() decides. */
bool shared_conflicts(uint8_t pr_type, bool registered, bool holder, bool legacy_other,
                      enum pr_access access);
/* Looks a nexus up: sets *registered and *holder (all-registrants types: every registrant holds). */
void shared_lookup(const struct shared_lu *lu, const struct nexus_identity *nexus, bool *registered,
                   bool *holder);

#endif
