/* What the files of the shared state share among themselves. Pure. */
#ifndef HALUN_CLUSTER_SHARED_INTERNAL_H
#define HALUN_CLUSTER_SHARED_INTERNAL_H

#include "cluster/shared_state.h"

/* Slots of one half of the pool: packed runs fill LIMIT_REGISTRANTS at most, so after packing there
 * is room for the largest run more than once. */
enum { SHARED_POOL_HALF = LIMIT_REGISTRANTS + LIMIT_REGISTRANTS / 4 };

static inline bool shared_node_valid(uint32_t node)
{
    return node >= 1 && node <= LIMIT_NODES;
}

static inline uint32_t shared_node_bit(uint32_t node)
{
    return (uint32_t)1 << node;
}

/* All bits that a set of nodes may have. */
static inline uint32_t shared_node_bits(void)
{
    return ((uint32_t)1 << (LIMIT_NODES + 1)) - 2;
}

static inline bool shared_all_registrants(uint8_t pr_type)
{
    return pr_type == PR_WRITE_EXCLUSIVE_ALL_REGISTRANTS ||
           pr_type == PR_EXCLUSIVE_ACCESS_ALL_REGISTRANTS;
}

/* Registrants only, or all registrants: registered nexuses other than the holder have access too.
 */
static inline bool shared_registrants_type(uint8_t pr_type)
{
    return pr_type >= PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY &&
           pr_type <= PR_EXCLUSIVE_ACCESS_ALL_REGISTRANTS;
}

static inline bool shared_pr_type_valid(uint8_t pr_type)
{
    return pr_type == PR_WRITE_EXCLUSIVE || pr_type == PR_EXCLUSIVE_ACCESS ||
           shared_registrants_type(pr_type);
}

static inline uint32_t shared_port(const struct shared_op *op, uint32_t i)
{
    return op->ports_wire ? get_be16(op->ports_wire + 2 * i) : op->ports[i];
}

/* shared_effects.c: building the output. Effects are about every LU, no group and all nexuses until
 * said otherwise. */
void shared_effects_begin(struct shared_effects *effects);
struct shared_effect *shared_effect_add(struct shared_effects *effects,
                                        enum shared_effect_kind kind, uint32_t lu);
/* The same, before those that are there. */
void shared_effect_first(struct shared_effects *effects, enum shared_effect_kind kind, uint32_t lu);
/* A unit attention for every nexus of `lu`, or (not NULL, not nobody) for all but `but`. */
struct shared_effect *shared_effect_ua(struct shared_effects *effects, enum unit_attention ua,
                                       uint32_t lu, const struct nexus_identity *but);
/* An effect for the identities added since `first`; none if there are none. */
void shared_effect_list(struct shared_effects *effects, enum shared_effect_kind kind, uint32_t lu,
                        enum unit_attention ua, uint32_t first);
void shared_effect_identity(struct shared_effects *effects, const struct nexus_identity *identity);
void shared_refuse(struct shared_effects *effects, enum scsi_reason reason, unsigned field_pointer);

/* shared_registrants.c: the sorted registrants of an LU. */
/* Index of a nexus, or -1 and the place where it belongs in *place (may be NULL). */
int32_t shared_registrant_find(const struct shared_lu *lu, const struct nexus_identity *nexus,
                               uint32_t *place);
/* Is there room for `count` more? */
bool shared_registrant_fits(const struct shared_state *state, const struct shared_lu *lu,
                            uint32_t count);
/* Adds a nexus that is not there and fits; pr_holder goes on pointing at the same nexus. */
void shared_registrant_add(struct shared_state *state, struct shared_lu *lu,
                           const struct nexus_identity *nexus, uint64_t key);
/* Removes one; if it was pr_holder, that becomes -1. */
void shared_registrant_remove(struct shared_state *state, struct shared_lu *lu, uint32_t index);
/* Removes all and the reservation, saying nothing. */
void shared_registrant_clear(struct shared_state *state, struct shared_lu *lu);

/* shared_register.c: PR OUT actions that make or change registrations. Arguments as set up by
 * shared_pr_out(). */
struct shared_pr {
    struct shared_state *state;
    struct shared_lu *lu;
    const struct shared_op *op;
    struct shared_effects *effects;
    int32_t self; /* index of op->nexus in the registrants, -1 = not registered */
    bool view;    /* set by the action: what lanes know has changed */
};
void shared_pr_register(struct shared_pr *pr);
void shared_pr_register_and_ignore(struct shared_pr *pr);
void shared_pr_register_and_move(struct shared_pr *pr);
/* After removals (shared_reservation.c): ends a reservation that has lost its holder, and tells the
 * registrants that had access by it, op->nexus excepted. */
void shared_pr_holder_gone(struct shared_pr *pr);

/* shared_reservation.c */
void shared_pr_out(struct shared_state *state, const struct shared_op *op,
                   struct shared_effects *effects);
void shared_legacy_reserve(struct shared_state *state, const struct shared_op *op,
                           struct shared_effects *effects);
void shared_legacy_release(struct shared_state *state, const struct shared_op *op,
                           struct shared_effects *effects);
/* Drops the legacy reservation of an LU; an effect unless it had none. */
void shared_legacy_drop(struct shared_state *state, struct shared_lu *lu,
                        struct shared_effects *effects);

/* shared_group.c */
void shared_group_release(struct shared_state *state, const struct shared_op *op,
                          struct shared_effects *effects);
void shared_group_acquire(struct shared_state *state, const struct shared_op *op,
                          struct shared_effects *effects);
void shared_group_outdate(struct shared_state *state, const struct shared_op *op,
                          struct shared_effects *effects);
void shared_group_current(struct shared_state *state, const struct shared_op *op,
                          struct shared_effects *effects);
void shared_group_force_current(struct shared_state *state, const struct shared_op *op,
                                struct shared_effects *effects);
void shared_group_reinstate(struct shared_state *state, const struct shared_op *op,
                            struct shared_effects *effects);
/* The groups' part of a new view; `gone`: bits of nodes whose ownership ends; `survivors`: see shared_members(). */
void shared_group_members(struct shared_state *state, uint32_t gone, uint32_t survivors,
                          struct shared_effects *effects);

/* shared_state.c: which fields of an operation count, by kind. */
enum shared_op_part {
    SHARED_PART_NODE = 1,
    SHARED_PART_LU = 2,
    SHARED_PART_LU_OR_ALL = 4,
    SHARED_PART_GROUP = 8,
    SHARED_PART_NEXUS = 16,
    SHARED_PART_NEXUS_OR_NOBODY = 32,
    SHARED_PART_PR = 64,
    SHARED_PART_MODE = 128,
    SHARED_PART_CAPACITY = 256,
    SHARED_PART_DIGEST = 512,
    SHARED_PART_MODE_SELECTED = 1024,
    SHARED_PART_EPOCH = 2048,
};
/* 0 for an unknown kind. */
unsigned shared_op_parts(unsigned kind);
/* Is the operation well-formed: indices in range, identities and ports in their form? What the
 * answer to an initiator depends on is checked by the actions. Returns GOOD or the reason to refuse
 * it. */
enum scsi_reason shared_op_check(const struct shared_state *state, const struct shared_op *op);

#endif
