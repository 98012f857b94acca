/* The shared state as a whole: memory, applying an operation or a view, cold start. Pure but for
 * shared_state_new() and shared_state_free(). */
#include "cluster/shared_state.h"

#include <assert.h>
#include <stdlib.h>

#include "cluster/shared_internal.h"
#include "target/base/pages.h"

static const struct nexus_identity nobody;

enum { POOL_SIZE = 2 * SHARED_POOL_HALF * sizeof(struct shared_registrant) };

struct shared_state *shared_state_new(uint32_t lu_count, uint32_t group_count)
{
    struct shared_state *state = calloc(1, sizeof *state);

    if (!state || lu_count > LIMIT_LUS || group_count > LIMIT_GROUPS)
        goto fail;
    state->lus = calloc(lu_count + 1, sizeof *state->lus);
    state->groups = calloc(group_count + 1, sizeof *state->groups);
    /* Most of it stays untouched: an array has few registrants. */
    state->registrant_pool = pages_new(POOL_SIZE);
    if (!state->lus || !state->groups || !state->registrant_pool)
        goto fail;
    state->lu_count = lu_count;
    state->group_count = group_count;
    for (uint32_t i = 0; i < lu_count; i++)
        state->lus[i].pr_holder = -1;
    for (uint32_t i = 0; i < group_count; i++)
        memset(state->groups[i].states, ALUA_TRANSITIONING, sizeof state->groups[i].states);
    return state;
fail:
    shared_state_free(state);
    return NULL;
}

void shared_state_free(struct shared_state *state)
{
    if (!state)
        return;
    free(state->lus);
    free(state->groups);
    pages_free(state->registrant_pool, POOL_SIZE);
    free(state);
}

static void lu_reset(struct shared_state *state, const struct shared_op *op,
                     struct shared_effects *effects)
{
    shared_legacy_drop(state, &state->lus[op->lu], effects);
    shared_effect_add(effects, SHARED_EFFECT_ABORT, op->lu);
    /* Every nexus, the one that asked too (SAM-5 6.3.3: a condition for every I_T nexus). */
    shared_effect_ua(effects, UA_LU_RESET, op->lu, NULL);
}

static void target_reset(struct shared_state *state, const struct shared_op *op,
                         struct shared_effects *effects)
{
    for (uint32_t i = 0; i < state->lu_count; i++)
        shared_legacy_drop(state, &state->lus[i], effects);
    shared_effect_add(effects, SHARED_EFFECT_ABORT, SHARED_NO_LU);
    shared_effect_ua(effects, UA_LU_RESET, SHARED_NO_LU, NULL);
}

/* Sessions are lost, reservations are not: what holds without APTPL falls with the power of everything only. */
static void target_cold_reset(struct shared_state *state, const struct shared_op *op,
                              struct shared_effects *effects)
{
    target_reset(state, op, effects);
    shared_effect_add(effects, SHARED_EFFECT_SESSIONS, SHARED_NO_LU);
}

static void clear_task_set(struct shared_state *state, const struct shared_op *op,
                           struct shared_effects *effects)
{
    shared_effect_add(effects, SHARED_EFFECT_ABORT, op->lu);
    /* With TAS the others are told by the status of each command instead (SAM-5 5.3.1). */
    if (!state->lus[op->lu].mode.tas)
        shared_effect_ua(effects, UA_COMMANDS_CLEARED, op->lu, &op->nexus);
}

static void nexus_loss(struct shared_state *state, const struct shared_op *op,
                       struct shared_effects *effects)
{
    uint32_t first = op->lu == SHARED_NO_LU ? 0 : op->lu;
    uint32_t end = op->lu == SHARED_NO_LU ? state->lu_count : op->lu + 1;

    for (uint32_t i = first; i < end; i++) {
        struct shared_lu *lu = &state->lus[i];
        if (lu->legacy_reserved && lu->legacy_node == op->node &&
            identity_equal(&lu->legacy_holder, &op->nexus))
            shared_legacy_drop(state, lu, effects);
    }
}

/* The parameters of an LU after a MODE SELECT. */
static struct shared_mode selected(const struct shared_lu *lu, const struct shared_op *op)
{
    struct shared_mode mode = lu->mode;
    const uint8_t *from = (const uint8_t *)&op->mode, *which = (const uint8_t *)&op->mode_selected;

    if (op->kind == SHARED_OP_MODE_SELECT)
        return op->mode;
    for (size_t i = 0; i < sizeof mode; i++)
        if (which[i])
            ((uint8_t *)&mode)[i] = from[i];
    return mode;
}

static void mode_select(struct shared_state *state, const struct shared_op *op,
                        struct shared_effects *effects)
{
    struct shared_lu *lu = &state->lus[op->lu];
    struct shared_mode mode = selected(lu, op);
    bool registered, holder;

    if (!identity_equal(&op->nexus, &nobody)) {
        shared_lookup(lu, &op->nexus, &registered, &holder);
        bool other = lu->legacy_reserved && !identity_equal(&lu->legacy_holder, &op->nexus);
        if (shared_conflicts(lu->pr_type, registered, holder, other, PR_WRITE)) {
            shared_refuse(effects, REASON_RESERVATION_CONFLICT, UINT32_MAX);
            return;
        }
    }
    if (!memcmp(&lu->mode, &mode, sizeof mode))
        return;
    lu->mode = mode;
    lu->epoch++;
    shared_effect_add(effects, SHARED_EFFECT_MODE, op->lu);
    shared_effect_ua(effects, UA_MODE_PARAMETERS_CHANGED, op->lu, &op->nexus);
}

static void capacity(struct shared_state *state, const struct shared_op *op,
                     struct shared_effects *effects)
{
    struct shared_lu *lu = &state->lus[op->lu];

    if (lu->capacity == op->capacity)
        return;
    lu->capacity = op->capacity;
    lu->epoch++;
    shared_effect_add(effects, SHARED_EFFECT_CAPACITY, op->lu);
    shared_effect_ua(effects, UA_CAPACITY_CHANGED, op->lu, NULL);
    shared_effect_add(effects, SHARED_EFFECT_PERSIST, op->lu);
}

/* The configuration itself is on every node's disk and no part of the state: this is the moment from which all
 * use it. */
static void configuration(struct shared_state *state, const struct shared_op *op,
                          struct shared_effects *effects)
{
    shared_effect_add(effects, SHARED_EFFECT_CONFIGURATION, SHARED_NO_LU)->node = op->node;
    memcpy(effects->digest, op->digest, sizeof effects->digest);
}

/* One row per kind: the fields that count, and what it does. */
static const struct {
    unsigned parts; /* enum shared_op_part */
    void (*apply)(struct shared_state *state, const struct shared_op *op,
                  struct shared_effects *effects);
} kinds[SHARED_OP_KIND_COUNT] = {
    [SHARED_OP_PR_OUT] = {SHARED_PART_LU | SHARED_PART_NEXUS | SHARED_PART_PR, shared_pr_out},
    [SHARED_OP_RESERVE] = {SHARED_PART_NODE | SHARED_PART_LU | SHARED_PART_NEXUS,
                           shared_legacy_reserve},
    [SHARED_OP_RELEASE] = {SHARED_PART_LU | SHARED_PART_NEXUS, shared_legacy_release},
    [SHARED_OP_LU_RESET] = {SHARED_PART_LU | SHARED_PART_NEXUS_OR_NOBODY, lu_reset},
    [SHARED_OP_TARGET_RESET] = {SHARED_PART_NEXUS_OR_NOBODY, target_reset},
    [SHARED_OP_CLEAR_TASK_SET] = {SHARED_PART_LU | SHARED_PART_NEXUS_OR_NOBODY, clear_task_set},
    [SHARED_OP_NEXUS_LOSS] = {SHARED_PART_NODE | SHARED_PART_LU_OR_ALL | SHARED_PART_NEXUS,
                              nexus_loss},
    [SHARED_OP_MODE_SELECT] = {SHARED_PART_LU | SHARED_PART_NEXUS_OR_NOBODY | SHARED_PART_MODE,
                               mode_select},
    [SHARED_OP_CAPACITY] = {SHARED_PART_LU | SHARED_PART_CAPACITY, capacity},
    [SHARED_OP_GROUP_RELEASE] = {SHARED_PART_NODE | SHARED_PART_GROUP, shared_group_release},
    [SHARED_OP_GROUP_ACQUIRE] = {SHARED_PART_NODE | SHARED_PART_GROUP, shared_group_acquire},
    [SHARED_OP_OUTDATE] = {SHARED_PART_NODE | SHARED_PART_GROUP, shared_group_outdate},
    [SHARED_OP_CURRENT] = {SHARED_PART_NODE | SHARED_PART_GROUP, shared_group_current},
    [SHARED_OP_CONFIGURATION] = {SHARED_PART_NODE | SHARED_PART_DIGEST, configuration},
    [SHARED_OP_MODE_PAGES] = {SHARED_PART_LU | SHARED_PART_NEXUS_OR_NOBODY | SHARED_PART_MODE |
                                  SHARED_PART_MODE_SELECTED,
                              mode_select},
    [SHARED_OP_TARGET_COLD_RESET] = {SHARED_PART_NEXUS_OR_NOBODY, target_cold_reset},
    [SHARED_OP_FORCE_CURRENT] = {SHARED_PART_NODE | SHARED_PART_GROUP, shared_group_force_current},
    [SHARED_OP_REINSTATE] = {SHARED_PART_NODE | SHARED_PART_GROUP | SHARED_PART_EPOCH, shared_group_reinstate},
};

uint8_t shared_op_wire(enum shared_op_kind kind)
{
    if (kind >= SHARED_OP_REINSTATE)
        return 7;
    if (kind >= SHARED_OP_FORCE_CURRENT)
        return 4;
    return kind >= SHARED_OP_MODE_PAGES ? 3 : kind >= SHARED_OP_CONFIGURATION ? 2 : 1;
}

bool shared_op_speak(struct shared_op *op, uint8_t wire, const struct shared_state *state)
{
    if (op->kind == SHARED_OP_MODE_PAGES && wire < shared_op_wire(op->kind) && op->lu < state->lu_count) {
        op->mode = selected(&state->lus[op->lu], op);
        op->kind = SHARED_OP_MODE_SELECT;
    }
    if (op->kind == SHARED_OP_TARGET_COLD_RESET && wire < shared_op_wire(op->kind))
        op->kind = SHARED_OP_TARGET_RESET;
    return shared_op_wire(op->kind) <= wire;
}

unsigned shared_op_parts(unsigned kind)
{
    return kind < SHARED_OP_KIND_COUNT ? kinds[kind].parts : 0;
}

static bool ports_valid(const struct shared_op *op)
{
    if (op->port_count > SHARED_PORTS || (op->port_count && !op->ports && !op->ports_wire))
        return false;
    for (uint32_t i = 0, last = 0; i < op->port_count; last = shared_port(op, i), i++)
        if (shared_port(op, i) <= last)
            return false;
    return true;
}

static bool mode_valid(const struct shared_mode *mode)
{
    return mode->d_sense <= 1 && mode->swp <= 1 && mode->wce <= 1 && mode->tas <= 1;
}

enum scsi_reason shared_op_check(const struct shared_state *state, const struct shared_op *op)
{
    unsigned parts = shared_op_parts((unsigned)op->kind);
    bool nobody_there = identity_equal(&op->nexus, &nobody);

    if (!parts)
        return REASON_INVALID_FIELD_IN_PARAMETERS;
    if (parts & SHARED_PART_NODE ? !shared_node_valid(op->node) : op->node > LIMIT_NODES)
        return REASON_INVALID_FIELD_IN_PARAMETERS;
    if (parts & SHARED_PART_LU && op->lu >= state->lu_count)
        return REASON_LUN_NOT_SUPPORTED;
    if (parts & SHARED_PART_LU_OR_ALL && op->lu != SHARED_NO_LU && op->lu >= state->lu_count)
        return REASON_LUN_NOT_SUPPORTED;
    if (parts & SHARED_PART_GROUP && op->group >= state->group_count)
        return REASON_INVALID_FIELD_IN_PARAMETERS;
    if (parts & SHARED_PART_NEXUS && !identity_valid(&op->nexus))
        return REASON_INVALID_FIELD_IN_PARAMETERS;
    if (parts & SHARED_PART_NEXUS_OR_NOBODY && !nobody_there && !identity_valid(&op->nexus))
        return REASON_INVALID_FIELD_IN_PARAMETERS;
    if (parts & SHARED_PART_PR &&
        (op->transport_ids_length > LIMIT_PARAMETER_LIST || !ports_valid(op) ||
         (op->transport_ids_length && !op->transport_ids)))
        return REASON_INVALID_FIELD_IN_PARAMETERS;
    if (parts & SHARED_PART_MODE && !mode_valid(&op->mode))
        return REASON_INVALID_FIELD_IN_PARAMETERS;
    if (parts & SHARED_PART_MODE_SELECTED && !mode_valid(&op->mode_selected))
        return REASON_INVALID_FIELD_IN_PARAMETERS;
    if (parts & SHARED_PART_CAPACITY && !op->capacity)
        return REASON_INVALID_FIELD_IN_PARAMETERS;
    return REASON_GOOD;
}

void shared_apply(struct shared_state *state, const struct shared_op *op,
                  struct shared_effects *effects)
{
    shared_effects_begin(effects);
    enum scsi_reason reason = shared_op_check(state, op);
    if (reason != REASON_GOOD)
        shared_refuse(effects, reason, UINT32_MAX);
    else
        kinds[op->kind].apply(state, op, effects);
    if (effects->reason == REASON_GOOD)
        state->version++;
}

void shared_members(struct shared_state *state, uint32_t members, uint32_t lost, uint32_t survivors,
                    struct shared_effects *effects)
{
    members &= shared_node_bits();
    uint32_t gone = (lost | ~members) & shared_node_bits();

    shared_effects_begin(effects);
    effects->changed = members != state->members;
    state->members = members;
    state->version++;
    for (uint32_t i = 0; i < state->lu_count; i++)
        if (state->lus[i].legacy_reserved && gone & shared_node_bit(state->lus[i].legacy_node))
            shared_legacy_drop(state, &state->lus[i], effects);
    shared_group_members(state, gone, survivors, effects);
}

void shared_state_cold_start(struct shared_state *state)
{
    for (uint32_t i = 0; i < state->lu_count; i++) {
        struct shared_lu *lu = &state->lus[i];

        if (!lu->pr_aptpl)
            shared_registrant_clear(state, lu);
        lu->pr_generation = 0;
        lu->legacy_reserved = false;
        memset(&lu->legacy_holder, 0, sizeof lu->legacy_holder);
        lu->legacy_node = 0;
        lu->mode = SHARED_MODE_DEFAULTS;
        lu->epoch++;
    }
    for (uint32_t i = 0; i < state->group_count; i++) {
        struct shared_group *group = &state->groups[i];

        group->owner = 0;
        group->explicit_transition = false;
        memset(group->states, ALUA_TRANSITIONING, sizeof group->states);
        group->epoch++;
    }
    state->members = 0;
    state->version++;
}
