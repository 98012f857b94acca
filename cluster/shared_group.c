/* Groups: who owns them, which copies are current, and the access states that follow. Pure. */
#include <assert.h>

#include "cluster/shared_internal.h"

/* Access states are a function of owner and members: nothing else is ever shown. Returns whether a
 * state changed. */
static bool set_states(struct shared_group *group, uint32_t members)
{
    bool changed = false;

    for (uint32_t node = 1; node <= LIMIT_NODES; node++) {
        enum alua_state state = ALUA_UNAVAILABLE;

        if (members & shared_node_bit(node))
            state = !group->owner          ? ALUA_TRANSITIONING
                    : group->owner == node ? ALUA_ACTIVE_OPTIMIZED
                                           : ALUA_ACTIVE_NON_OPTIMIZED;
        changed = changed || group->states[node] != state;
        group->states[node] = (uint8_t)state;
    }
    return changed;
}

static struct shared_effect *group_effect(struct shared_effects *effects, enum shared_effect_kind kind,
                                          uint32_t group, uint32_t node)
{
    struct shared_effect *effect = shared_effect_add(effects, kind, SHARED_NO_LU);

    effect->group = group;
    effect->node = node;
    return effect;
}

/* Access states of a group that has an owner have changed: everybody asks for them again. */
static void tell_states(struct shared_effects *effects, uint32_t group)
{
    shared_effect_ua(effects, UA_ACCESS_STATE_CHANGED, SHARED_NO_LU, NULL)->group = group;
}

/* It is so already. The first request may not be carried out everywhere (its answer came too late for who asks again), and
 * acknowledgements are by operation: this one, too, is acknowledged when nothing of the group executes there any more. */
static void carry_out_again(struct shared_effects *effects, uint32_t group)
{
    group_effect(effects, SHARED_EFFECT_GROUP, group, 0);
}

void shared_group_release(struct shared_state *state, const struct shared_op *op,
                          struct shared_effects *effects)
{
    struct shared_group *group = &state->groups[op->group];

    if (!group->owner) {
        carry_out_again(effects, op->group);
        return;
    }
    if (group->owner != op->node) {
        shared_refuse(effects, REASON_INVALID_FIELD_IN_PARAMETERS, UINT32_MAX);
        return;
    }
    group->owner = 0;
    group->explicit_transition = op->action == 1;
    group->epoch++;
    set_states(group, state->members);
    /* No unit attention: it comes with the new owner, when there is an answer to the question. Owners do not
     * outlive a power cut of everything (shared_state_cold_start()): nothing to make durable. */
    group_effect(effects, SHARED_EFFECT_GROUP, op->group, op->node);
}

void shared_group_acquire(struct shared_state *state, const struct shared_op *op,
                          struct shared_effects *effects)
{
    struct shared_group *group = &state->groups[op->group];

    if (group->owner == op->node) {
        carry_out_again(effects, op->group);
        return;
    }
    if (group->owner || !(state->members & shared_node_bit(op->node))) {
        shared_refuse(effects, REASON_NOT_READY_TRANSITION, UINT32_MAX);
        return;
    }
    if (!(group->current & shared_node_bit(op->node))) {
        shared_refuse(effects, REASON_INSUFFICIENT_RESOURCES, UINT32_MAX);
        return;
    }
    group->owner = op->node;
    group->explicit_transition = op->action == 1;
    group->epoch++;
    set_states(group, state->members);
    group_effect(effects, SHARED_EFFECT_GROUP, op->group, op->node);
    tell_states(effects, op->group);
}

void shared_group_outdate(struct shared_state *state, const struct shared_op *op,
                          struct shared_effects *effects)
{
    struct shared_group *group = &state->groups[op->group];
    uint32_t bit = shared_node_bit(op->node);
    bool cleared = group->current & bit;

    /* action 1: the owner's own wish. Its disk failed, it goes on with the peer's copy alone. */
    if ((group->owner == op->node && op->action != 1) || !(group->nodes & bit)) {
        shared_refuse(effects, REASON_INVALID_FIELD_IN_PARAMETERS, UINT32_MAX);
        return;
    }
    if (group->current == bit) {
        shared_refuse(effects, REASON_INSUFFICIENT_RESOURCES, UINT32_MAX);
        return;
    }
    if (cleared) {
        group->current &= ~bit;
        group->epoch++;
    }
    /* Again if asked again: the asker relies on the mark being durable on that node, which may have
     * been away the first time. */
    group_effect(effects, SHARED_EFFECT_OUTDATE, op->group, op->node)->cleared = cleared;
    group_effect(effects, SHARED_EFFECT_PERSIST, op->group, 0);
}

/* The outdating alone is taken back: where anything else has changed meanwhile, the node may have been away, and the copy may
 * have been compared with another, or outdated for another reason. */
void shared_group_reinstate(struct shared_state *state, const struct shared_op *op,
                            struct shared_effects *effects)
{
    struct shared_group *group = &state->groups[op->group];
    uint32_t bit = shared_node_bit(op->node);

    if (!(group->nodes & bit)) {
        shared_refuse(effects, REASON_INVALID_FIELD_IN_PARAMETERS, UINT32_MAX);
        return;
    }
    if (group->epoch != op->epoch || group->current & bit || !(state->members & bit)) {
        shared_refuse(effects, REASON_INSUFFICIENT_RESOURCES, UINT32_MAX);
        return;
    }
    group->current |= bit;
    group->epoch++;
    group_effect(effects, SHARED_EFFECT_REINSTATE, op->group, op->node);
    group_effect(effects, SHARED_EFFECT_PERSIST, op->group, 0);
}

void shared_group_current(struct shared_state *state, const struct shared_op *op,
                          struct shared_effects *effects)
{
    struct shared_group *group = &state->groups[op->group];
    uint32_t bit = shared_node_bit(op->node);

    if (!(group->nodes & bit)) {
        shared_refuse(effects, REASON_INVALID_FIELD_IN_PARAMETERS, UINT32_MAX);
        return;
    }
    if (group->current & bit)
        return;
    group->current |= bit;
    group->epoch++;
    group_effect(effects, SHARED_EFFECT_PERSIST, op->group, 0);
}

/* What is newer elsewhere is given up, by an administrator and for good. Members mark their copies as outdated before
 * they acknowledge it; a node that is away finds it in the state when it joins. */
void shared_group_force_current(struct shared_state *state, const struct shared_op *op,
                                struct shared_effects *effects)
{
    struct shared_group *group = &state->groups[op->group];
    uint32_t bit = shared_node_bit(op->node);

    if (!(group->nodes & bit)) {
        shared_refuse(effects, REASON_INVALID_FIELD_IN_PARAMETERS, UINT32_MAX);
        return;
    }
    if (group->owner) {
        shared_refuse(effects, REASON_NOT_READY_TRANSITION, UINT32_MAX);
        return;
    }
    if (group->current != bit) {
        group->current = bit;
        group->epoch++;
    }
    for (uint32_t node = 1; node <= LIMIT_NODES; node++)
        if (node != op->node && group->nodes & shared_node_bit(node))
            group_effect(effects, SHARED_EFFECT_OUTDATE, op->group, node);
    group_effect(effects, SHARED_EFFECT_PERSIST, op->group, 0);
}

/* The owner is lost, and may have lost with its power what it acknowledged but had not flushed. A member whose copy is
 * current as well has all of that, and keeps it: from now on that one is the good copy, and the lost owner's has to be
 * made equal to it before it counts again. Without such a member the lost copy is the best there is. */
static void prefer_survivors(struct shared_group *group, uint32_t survivors)
{
    if (group->replicated && group->current & survivors)
        group->current &= ~shared_node_bit(group->owner);
}

void shared_state_forced(struct shared_state *state, uint32_t present)
{
    for (uint32_t i = 0; i < state->group_count; i++) {
        struct shared_group *group = &state->groups[i];

        if (group->replicated && group->current & present)
            group->current &= present;
    }
}

/* A node is back, and may have lost with its power what the owner has acknowledged; the owner, which was here all the time,
 * need not have noticed yet that its link is gone. The owner has all: the other copy is current again when it was compared
 * with that. */
static bool distrust_returned(struct shared_group *group, uint32_t returned, uint32_t survivors)
{
    uint32_t doubtful = group->current & returned;

    if (!group->replicated || !doubtful || !group->owner ||
        !(group->current & survivors & shared_node_bit(group->owner)))
        return false;
    group->current &= ~doubtful;
    return true;
}

void shared_group_members(struct shared_state *state, uint32_t gone, uint32_t survivors,
                          struct shared_effects *effects)
{
    bool record = false;

    for (uint32_t i = 0; i < state->group_count; i++) {
        struct shared_group *group = &state->groups[i];
        bool lost = group->owner && gone & shared_node_bit(group->owner), distrusted = false;

        if (lost) {
            prefer_survivors(group, survivors & ~gone);
            group->owner = 0;
        } else {
            distrusted = distrust_returned(group, gone & state->members, survivors & ~gone);
        }
        record = record || lost || distrusted;
        if (!set_states(group, state->members) && !lost && !distrusted)
            continue;
        group->explicit_transition = false;
        group->epoch++;
        group_effect(effects, SHARED_EFFECT_GROUP, i, 0);
        if (group->owner)
            tell_states(effects, i);
    }
    if (record)
        shared_effect_add(effects, SHARED_EFFECT_PERSIST, SHARED_NO_LU);
}
