/* Groups and views: owners, access states, current copies, what a lost node takes with it. Not
 * covered: who asks for these operations and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cluster/shared_state.h"

enum { AO = ALUA_ACTIVE_OPTIMIZED, ANO = ALUA_ACTIVE_NON_OPTIMIZED };
enum { UNAV = ALUA_UNAVAILABLE, TRANS = ALUA_TRANSITIONING };

static struct shared_effects effects;

static uint32_t bits(unsigned a, unsigned b, unsigned c)
{
    return (1u << a | 1u << b | 1u << c) & ~1u;
}

static int setup(void **context)
{
    struct shared_state *state = shared_state_new(2, LIMIT_GROUPS);

    if (!state)
        return -1;
    for (unsigned i = 0; i < LIMIT_GROUPS; i++)
        state->groups[i].nodes = bits(1, 2, 0);
    shared_members(state, bits(1, 2, 3), 0, 0, &effects);
    *context = state;
    return 0;
}

static int teardown(void **context)
{
    shared_state_free(*context);
    return 0;
}

static enum scsi_reason apply(struct shared_state *state, enum shared_op_kind kind, uint32_t node,
                              uint32_t group)
{
    struct shared_op op = {.kind = kind, .node = node, .group = group, .lu = SHARED_NO_LU};

    shared_apply(state, &op, &effects);
    return effects.reason;
}

static void states_are(const struct shared_group *group, int one, int two, int three, int four)
{
    assert_int_equal(group->states[1], one);
    assert_int_equal(group->states[2], two);
    assert_int_equal(group->states[3], three);
    assert_int_equal(group->states[4], four);
}

static void effects_are(const enum shared_effect_kind *kinds, uint32_t count, uint32_t group)
{
    assert_int_equal(effects.count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(effects.effects[i].kind, kinds[i]);
        assert_int_equal(effects.effects[i].group, group);
        assert_int_equal(effects.effects[i].lu, SHARED_NO_LU);
        assert_int_equal(effects.effects[i].selector, SHARED_ALL);
        if (kinds[i] == SHARED_EFFECT_UA)
            assert_int_equal(effects.effects[i].ua, UA_ACCESS_STATE_CHANGED);
    }
}

static void new_when_too_many_then_null(void **context)
{
    assert_null(shared_state_new(LIMIT_LUS + 1, 0));
    assert_null(shared_state_new(0, LIMIT_GROUPS + 1));
    shared_state_free(NULL);
}

static void acquire_when_not_current_then_refused(void **context)
{
    struct shared_state *state = *context;
    uint64_t digest = shared_state_digest(state);

    states_are(&state->groups[0], TRANS, TRANS, TRANS, UNAV);
    assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, 1, 0), REASON_INSUFFICIENT_RESOURCES);
    assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, 4, 0), REASON_NOT_READY_TRANSITION);
    assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, 0, 0),
                     REASON_INVALID_FIELD_IN_PARAMETERS);
    assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, LIMIT_NODES + 1, 0),
                     REASON_INVALID_FIELD_IN_PARAMETERS);
    assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, 1, LIMIT_GROUPS),
                     REASON_INVALID_FIELD_IN_PARAMETERS);
    assert_false(effects.changed);
    assert_int_equal(shared_state_digest(state), digest);
}

static void switchover_when_released_and_acquired_then_states_follow(void **context)
{
    static const enum shared_effect_kind release[] = {SHARED_EFFECT_GROUP};
    static const enum shared_effect_kind acquire[] = {SHARED_EFFECT_GROUP, SHARED_EFFECT_UA};
    struct shared_state *state = *context;
    struct shared_group *group = &state->groups[5];

    assert_int_equal(apply(state, SHARED_OP_CURRENT, 1, 5), REASON_GOOD);
    assert_int_equal(apply(state, SHARED_OP_CURRENT, 2, 5), REASON_GOOD);
    assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, 1, 5), REASON_GOOD);
    effects_are(acquire, 2, 5);
    states_are(group, AO, ANO, ANO, UNAV);
    assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, 1, 5), REASON_GOOD);
    effects_are(release, 1, 5);
    assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, 2, 5), REASON_NOT_READY_TRANSITION);
    assert_int_equal(apply(state, SHARED_OP_GROUP_RELEASE, 2, 5),
                     REASON_INVALID_FIELD_IN_PARAMETERS);
    uint32_t epoch = group->epoch;
    assert_int_equal(apply(state, SHARED_OP_GROUP_RELEASE, 1, 5), REASON_GOOD);
    effects_are(release, 1, 5);
    states_are(group, TRANS, TRANS, TRANS, UNAV);
    assert_int_equal(group->owner, 0);
    assert_int_equal(apply(state, SHARED_OP_GROUP_RELEASE, 1, 5), REASON_GOOD);
    effects_are(release, 1, 5);
    assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, 2, 5), REASON_GOOD);
    effects_are(acquire, 2, 5);
    states_are(group, ANO, AO, ANO, UNAV);
    assert_int_equal(group->epoch, epoch + 2);
    assert_false(group->explicit_transition);
}

static void acquire_or_release_when_so_already_then_carried_out_again(void **context)
{
    static const enum shared_effect_kind again[] = {SHARED_EFFECT_GROUP};
    struct shared_state *state = *context;
    uint32_t epoch;

    apply(state, SHARED_OP_CURRENT, 1, 5);
    assert_int_equal(apply(state, SHARED_OP_GROUP_RELEASE, 1, 5), REASON_GOOD);
    effects_are(again, 1, 5);
    assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, 1, 5), REASON_GOOD);
    epoch = state->groups[5].epoch;
    assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, 1, 5), REASON_GOOD);
    effects_are(again, 1, 5);
    assert_int_equal(state->groups[5].owner, 1);
    assert_int_equal(state->groups[5].epoch, epoch);
}

static void acquire_when_by_set_target_port_groups_then_explicit(void **context)
{
    struct shared_state *state = *context;
    struct shared_op op = {.kind = SHARED_OP_GROUP_ACQUIRE, .node = 1, .action = 1};

    apply(state, SHARED_OP_CURRENT, 1, 0);
    shared_apply(state, &op, &effects);
    assert_true(state->groups[0].explicit_transition);
}

static void outdate_when_the_owner_wishes_it_for_itself_then_it_stays_owner(void **context)
{
    struct shared_state *state = *context;
    struct shared_op op = {.kind = SHARED_OP_OUTDATE, .node = 1, .action = 1, .lu = SHARED_NO_LU};

    apply(state, SHARED_OP_CURRENT, 1, 0);
    apply(state, SHARED_OP_GROUP_ACQUIRE, 1, 0);
    shared_apply(state, &op, &effects);
    assert_int_equal(effects.reason, REASON_INSUFFICIENT_RESOURCES); /* the only copy */
    apply(state, SHARED_OP_CURRENT, 2, 0);
    shared_apply(state, &op, &effects);
    assert_int_equal(effects.reason, REASON_GOOD);
    assert_int_equal(state->groups[0].owner, 1);
    assert_int_equal(state->groups[0].current, 1u << 2);
    /* The peer's is the only one now. */
    assert_int_equal(apply(state, SHARED_OP_OUTDATE, 2, 0), REASON_INSUFFICIENT_RESOURCES);
    assert_int_equal(apply(state, SHARED_OP_GROUP_RELEASE, 1, 0), REASON_GOOD);
    assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, 1, 0), REASON_INSUFFICIENT_RESOURCES);
    assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, 2, 0), REASON_GOOD);
}

static void outdate_when_allowed_then_current_shrinks(void **context)
{
    static const enum shared_effect_kind outdate[] = {SHARED_EFFECT_OUTDATE, SHARED_EFFECT_PERSIST};
    struct shared_state *state = *context;
    struct shared_group *group = &state->groups[0];

    apply(state, SHARED_OP_CURRENT, 1, 0);
    assert_int_equal(effects.effects[0].kind, SHARED_EFFECT_PERSIST);
    assert_int_equal(apply(state, SHARED_OP_OUTDATE, 1, 0), REASON_INSUFFICIENT_RESOURCES);
    apply(state, SHARED_OP_CURRENT, 2, 0);
    apply(state, SHARED_OP_GROUP_ACQUIRE, 1, 0);
    assert_int_equal(apply(state, SHARED_OP_OUTDATE, 1, 0), REASON_INVALID_FIELD_IN_PARAMETERS);
    assert_int_equal(apply(state, SHARED_OP_OUTDATE, 3, 0), REASON_INVALID_FIELD_IN_PARAMETERS);
    for (int twice = 0; twice < 2; twice++) {
        assert_int_equal(apply(state, SHARED_OP_OUTDATE, 2, 0), REASON_GOOD);
        effects_are(outdate, 2, 0);
        assert_int_equal(effects.effects[0].node, 2);
        assert_int_equal(group->current, 1u << 1);
    }
    assert_int_equal(apply(state, SHARED_OP_GROUP_RELEASE, 1, 0), REASON_GOOD);
    assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, 2, 0), REASON_INSUFFICIENT_RESOURCES);
    assert_int_equal(apply(state, SHARED_OP_CURRENT, 2, 0), REASON_GOOD);
    assert_int_equal(apply(state, SHARED_OP_CURRENT, 2, 0), REASON_GOOD);
    assert_false(effects.changed);
    assert_int_equal(apply(state, SHARED_OP_CURRENT, 3, 0), REASON_INVALID_FIELD_IN_PARAMETERS);
}

/* The current copy's disk is gone for good: an administrator takes the old one. */
static void force_current_when_nobody_owns_then_that_copy_alone(void **context)
{
    static const enum shared_effect_kind kinds[] = {SHARED_EFFECT_OUTDATE, SHARED_EFFECT_PERSIST};
    struct shared_state *state = *context;
    struct shared_group *group = &state->groups[0];
    struct shared_op op = {.kind = SHARED_OP_FORCE_CURRENT, .node = 2, .lu = SHARED_NO_LU};
    uint32_t epoch;

    apply(state, SHARED_OP_CURRENT, 1, 0);
    apply(state, SHARED_OP_GROUP_ACQUIRE, 1, 0);
    assert_int_equal(apply(state, SHARED_OP_FORCE_CURRENT, 2, 0), REASON_NOT_READY_TRANSITION);
    apply(state, SHARED_OP_GROUP_RELEASE, 1, 0);
    epoch = group->epoch;
    for (int twice = 0; twice < 2; twice++) {
        assert_int_equal(apply(state, SHARED_OP_FORCE_CURRENT, 2, 0), REASON_GOOD);
        assert_int_equal(group->current, 1u << 2);
        assert_int_equal(group->epoch, epoch + 1);
        effects_are(kinds, 2, 0);
        assert_int_equal(effects.effects[0].node, 1);
    }
    assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, 1, 0), REASON_INSUFFICIENT_RESOURCES);
    assert_int_equal(apply(state, SHARED_OP_FORCE_CURRENT, 3, 0), REASON_INVALID_FIELD_IN_PARAMETERS);
    assert_false(shared_op_speak(&op, 3, state));
    assert_true(shared_op_speak(&op, 4, state));
}

static enum scsi_reason reinstate(struct shared_state *state, uint32_t node, uint32_t epoch)
{
    struct shared_op op = {.kind = SHARED_OP_REINSTATE, .node = node, .lu = SHARED_NO_LU, .epoch = epoch};

    shared_apply(state, &op, &effects);
    return effects.reason;
}

/* The owner's disk failed before it went on alone: the copy that it had outdated has all. */
static void outdating_when_nothing_has_changed_since_then_taken_back(void **context)
{
    static const enum shared_effect_kind kinds[] = {SHARED_EFFECT_REINSTATE, SHARED_EFFECT_PERSIST};
    struct shared_state *state = *context;
    struct shared_group *group = &state->groups[0];
    struct shared_op op = {.kind = SHARED_OP_REINSTATE, .node = 2, .lu = SHARED_NO_LU};
    uint32_t epoch;

    group->current = bits(1, 2, 0);
    apply(state, SHARED_OP_GROUP_ACQUIRE, 1, 0);
    assert_int_equal(apply(state, SHARED_OP_OUTDATE, 2, 0), REASON_GOOD);
    assert_true(effects.effects[0].cleared);
    epoch = group->epoch;
    assert_int_equal(apply(state, SHARED_OP_OUTDATE, 2, 0), REASON_GOOD);
    assert_false(effects.effects[0].cleared);
    assert_int_equal(reinstate(state, 2, epoch), REASON_GOOD);
    assert_int_equal(group->current, bits(1, 2, 0));
    assert_int_equal(group->epoch, epoch + 1);
    effects_are(kinds, 2, 0);
    assert_int_equal(effects.effects[0].node, 2);
    assert_int_equal(reinstate(state, 2, epoch + 1), REASON_INSUFFICIENT_RESOURCES); /* it is current */
    assert_false(shared_op_speak(&op, 6, state));
    assert_true(shared_op_speak(&op, 7, state));
}

static void outdating_when_anything_has_changed_since_then_not_taken_back(void **context)
{
    struct shared_state *state = *context;
    struct shared_group *group = &state->groups[0];
    uint32_t epoch;

    for (int what = 0; what < 5; what++) {
        group->current = bits(1, 2, 0);
        group->owner = 1;
        shared_members(state, bits(1, 2, 3), 0, 0, &effects);
        apply(state, SHARED_OP_OUTDATE, 2, 0);
        epoch = group->epoch;
        switch (what) {
        case 0: /* its node was away */
            shared_members(state, bits(1, 3, 0), 0, 0, &effects);
            shared_members(state, bits(1, 2, 3), 0, 0, &effects);
            break;
        case 1: /* is away */
            shared_members(state, bits(1, 3, 0), 0, 0, &effects);
            break;
        case 2: apply(state, SHARED_OP_GROUP_RELEASE, 1, 0); break;
        case 3: /* equal for a moment, and outdated once more */
            apply(state, SHARED_OP_CURRENT, 2, 0);
            apply(state, SHARED_OP_OUTDATE, 2, 0);
            break;
        case 4: epoch--; break;
        }
        assert_int_equal(reinstate(state, 2, epoch), REASON_INSUFFICIENT_RESOURCES);
        assert_int_equal(group->current, bits(1, 0, 0));
    }
    assert_int_equal(reinstate(state, 3, group->epoch), REASON_INVALID_FIELD_IN_PARAMETERS);
}

static void members_when_owner_lost_then_no_owner_and_no_attention(void **context)
{
    static const enum shared_effect_kind lost[] = {SHARED_EFFECT_GROUP};
    struct shared_state *state = *context;

    apply(state, SHARED_OP_CURRENT, 1, 0);
    apply(state, SHARED_OP_GROUP_ACQUIRE, 1, 0);
    shared_members(state, bits(2, 3, 0), bits(1, 0, 0), 0, &effects);
    states_are(&state->groups[0], UNAV, TRANS, TRANS, UNAV);
    assert_int_equal(state->groups[0].owner, 0);
    assert_int_equal(state->groups[0].current, 1u << 1); /* its data did not become older */
    assert_int_equal(effects.effects[0].kind, lost[0]);
    for (uint32_t i = 0; i < effects.count; i++)
        assert_int_not_equal(effects.effects[i].kind, SHARED_EFFECT_UA);
    assert_int_equal(effects.effects[effects.count - 1].kind, SHARED_EFFECT_PERSIST);
}

static void start_when_forced_then_copies_that_are_not_here_are_given_up(void **context)
{
    struct shared_state *state = *context;

    for (unsigned i = 0; i < 4; i++)
        state->groups[i].replicated = i < 3;
    state->groups[0].current = 1 << 1 | 1 << 2;
    state->groups[1].current = 1 << 2; /* newer than what is here: an operator has to say that, too */
    state->groups[2].current = 1 << 1;
    state->groups[3].current = 1 << 1 | 1 << 2; /* they use the same storage */
    shared_state_forced(state, 1 << 1 | 1 << 3);
    assert_int_equal(state->groups[0].current, 1 << 1);
    assert_int_equal(state->groups[1].current, 1 << 2);
    assert_int_equal(state->groups[2].current, 1 << 1);
    assert_int_equal(state->groups[3].current, 1 << 1 | 1 << 2);
}

static void members_when_owner_lost_and_a_copy_survives_then_that_is_the_good_one(void **context)
{
    static const struct {
        uint32_t current, survivors, then;
        bool replicated;
    } rows[] = {
        {1 << 1 | 1 << 2, 1 << 2 | 1 << 3, 1 << 2, true},
        {1 << 1 | 1 << 2, 1 << 3, 1 << 1 | 1 << 2, true},  /* the other copy's node may be lost, too */
        {1 << 1 | 1 << 2, 1 << 1, 1 << 1 | 1 << 2, true},  /* who is lost is no survivor */
        {1 << 1, 1 << 2 | 1 << 3, 1 << 1, true},           /* the survivor's copy is an old one */
        {1 << 1 | 1 << 2, 1 << 2, 1 << 1 | 1 << 2, false}, /* they use the same storage */
        {1 << 1 | 1 << 2, 0, 1 << 1 | 1 << 2, true},
    };
    struct shared_state *state = *context;
    struct shared_group *group = &state->groups[0];

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        shared_members(state, bits(1, 2, 3), 0, 0, &effects);
        group->replicated = rows[i].replicated;
        group->current = rows[i].current;
        assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, 1, 0), REASON_GOOD);
        shared_members(state, bits(2, 3, 0), bits(1, 0, 0), rows[i].survivors, &effects);
        assert_int_equal(group->owner, 0);
        assert_int_equal(group->current, rows[i].then);
        assert_int_equal(effects.effects[effects.count - 1].kind, SHARED_EFFECT_PERSIST);
    }
    /* Whoever else is lost says nothing about its copy: its owner does, if it has to. */
    shared_members(state, bits(1, 2, 3), 0, 0, &effects);
    group->replicated = true;
    assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, 1, 0), REASON_GOOD);
    shared_members(state, bits(1, 3, 0), bits(2, 0, 0), bits(1, 3, 0), &effects);
    assert_int_equal(group->current, 1 << 1 | 1 << 2);
}

static void members_when_a_node_is_back_then_its_copy_is_compared_first(void **context)
{
    static const struct {
        uint32_t owner, current, survivors, then;
        bool replicated;
    } rows[] = {
        {1, 1 << 1 | 1 << 2, 1 << 1 | 1 << 3, 1 << 1, true},
        {0, 1 << 1 | 1 << 2, 1 << 1 | 1 << 3, 1 << 1 | 1 << 2, true}, /* nobody knows more than the copies themselves */
        {1, 1 << 2, 1 << 1 | 1 << 3, 1 << 2, true},                   /* its disk has failed: there is no other copy */
        {1, 1 << 1 | 1 << 2, 1 << 3, 1 << 1 | 1 << 2, true},          /* the owner is not known to be there */
        {1, 1 << 1 | 1 << 2, 1 << 1, 1 << 1 | 1 << 2, false},         /* they use the same storage */
        {1, 1 << 1 | 1 << 2, 0, 1 << 1 | 1 << 2, true},
    };
    struct shared_state *state = *context;
    struct shared_group *group = &state->groups[0];

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        group->replicated = rows[i].replicated;
        group->current = 1 << 1 | 1 << 2;
        if (rows[i].owner)
            assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, rows[i].owner, 0), REASON_GOOD);
        shared_members(state, bits(1, 3, 0), bits(2, 0, 0), bits(1, 3, 0), &effects);
        group->current = rows[i].current;
        shared_members(state, bits(1, 2, 3), bits(2, 0, 0), rows[i].survivors, &effects);
        assert_int_equal(group->current, rows[i].then);
        assert_int_equal(group->owner, rows[i].owner);
        assert_true((effects.effects[effects.count - 1].kind == SHARED_EFFECT_PERSIST) ==
                    (rows[i].then != rows[i].current));
        assert_int_equal(apply(state, SHARED_OP_GROUP_RELEASE, 1, 0), REASON_GOOD);
    }
}

static void members_when_another_lost_or_back_then_attention(void **context)
{
    struct shared_state *state = *context;
    struct shared_group *group = &state->groups[0];
    unsigned attentions = 0;

    apply(state, SHARED_OP_CURRENT, 1, 0);
    apply(state, SHARED_OP_GROUP_ACQUIRE, 1, 0);
    shared_members(state, bits(1, 3, 0), bits(2, 0, 0), 0, &effects);
    states_are(group, AO, UNAV, ANO, UNAV);
    for (uint32_t i = 0; i < effects.count; i++)
        if (effects.effects[i].kind == SHARED_EFFECT_UA) {
            attentions++;
            assert_int_equal(effects.effects[i].group, 0);
        }
    assert_int_equal(attentions, 1);
    shared_members(state, bits(1, 2, 3), 0, 0, &effects);
    states_are(group, AO, ANO, ANO, UNAV);
    uint32_t epoch = group->epoch;
    shared_members(state, bits(1, 2, 3), 0, 0, &effects);
    assert_false(effects.changed);
    assert_int_equal(group->epoch, epoch);
    /* Away and back in one view: its ownership is gone all the same. */
    shared_members(state, bits(1, 2, 3), bits(1, 0, 0), 0, &effects);
    assert_int_equal(group->owner, 0);
    states_are(group, TRANS, TRANS, TRANS, UNAV);
}

static void members_when_every_group_changes_then_effects_fit(void **context)
{
    struct shared_state *state = *context;
    unsigned attentions = 0;

    for (unsigned i = 0; i < LIMIT_GROUPS; i++) {
        apply(state, SHARED_OP_CURRENT, 1 + i % 2, i);
        assert_int_equal(apply(state, SHARED_OP_GROUP_ACQUIRE, 1 + i % 2, i), REASON_GOOD);
    }
    shared_members(state, 0xffffffff, 0, 0, &effects); /* bits that are no node are dropped */
    assert_int_equal(state->members, 0x1fe);
    for (uint32_t i = 0; i < effects.count; i++)
        attentions += effects.effects[i].kind == SHARED_EFFECT_UA;
    assert_int_equal(attentions, LIMIT_GROUPS);
    shared_members(state, bits(2, 0, 0), 0, 0, &effects);
    assert_int_equal(state->groups[0].owner, 0);
    assert_int_equal(state->groups[1].owner, 2);
}

static void cold_start_when_owned_then_only_current_stays(void **context)
{
    struct shared_state *state = *context;

    apply(state, SHARED_OP_CURRENT, 2, 0);
    apply(state, SHARED_OP_GROUP_ACQUIRE, 2, 0);
    shared_state_cold_start(state);
    assert_int_equal(state->members, 0);
    assert_int_equal(state->groups[0].owner, 0);
    assert_int_equal(state->groups[0].current, 1u << 2);
    states_are(&state->groups[0], TRANS, TRANS, TRANS, TRANS);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_when_too_many_then_null),
        CASE(acquire_when_not_current_then_refused),
        CASE(switchover_when_released_and_acquired_then_states_follow),
        CASE(acquire_or_release_when_so_already_then_carried_out_again),
        CASE(acquire_when_by_set_target_port_groups_then_explicit),
        CASE(outdate_when_the_owner_wishes_it_for_itself_then_it_stays_owner),
        CASE(outdate_when_allowed_then_current_shrinks),
        CASE(force_current_when_nobody_owns_then_that_copy_alone),
        CASE(outdating_when_nothing_has_changed_since_then_taken_back),
        CASE(outdating_when_anything_has_changed_since_then_not_taken_back),
        CASE(members_when_owner_lost_then_no_owner_and_no_attention),
        CASE(start_when_forced_then_copies_that_are_not_here_are_given_up),
        CASE(members_when_owner_lost_and_a_copy_survives_then_that_is_the_good_one),
        CASE(members_when_a_node_is_back_then_its_copy_is_compared_first),
        CASE(members_when_another_lost_or_back_then_attention),
        CASE(members_when_every_group_changes_then_effects_fit),
        CASE(cold_start_when_owned_then_only_current_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
