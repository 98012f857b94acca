/* Operations on logical units other than PERSISTENT RESERVE: resets, lost nexuses and nodes, mode
 * parameters, capacity, invalid input, cold start, the pool of registrants. Not covered: groups
 * (test_shared_group), encoding (test_shared_encode). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "cluster/shared_state.h"

enum { LUS = 4 };

static struct shared_effects effects;

static int setup(void **context)
{
    *context = shared_state_new(LUS, 0);
    return *context ? 0 : -1;
}

static int teardown(void **context)
{
    shared_state_free(*context);
    return 0;
}

static struct nexus_identity nexus(unsigned number)
{
    static const uint8_t isid[6] = {0x80, 1, 2, 3, 4, 5};
    struct nexus_identity identity;
    char name[64];

    snprintf(name, sizeof name, "iqn.2001-04.com.example:host%u", number);
    identity_from_iscsi(&identity, name, isid, 1);
    return identity;
}

static struct shared_op op_of(enum shared_op_kind kind, uint32_t lu, unsigned number)
{
    return (struct shared_op){.kind = kind, .node = 1, .lu = lu, .nexus = nexus(number)};
}

static enum scsi_reason apply(struct shared_state *state, struct shared_op op)
{
    shared_apply(state, &op, &effects);
    return effects.reason;
}

static void effect_is(uint32_t i, enum shared_effect_kind kind, uint32_t lu,
                      enum shared_selector selector, enum unit_attention ua)
{
    assert_true(i < effects.count);
    assert_int_equal(effects.effects[i].kind, kind);
    assert_int_equal(effects.effects[i].lu, lu);
    assert_int_equal(effects.effects[i].selector, selector);
    assert_int_equal(effects.effects[i].ua, ua);
}

static bool selects(uint32_t i, unsigned number)
{
    struct nexus_identity identity = nexus(number);

    return shared_effect_selects(&effects, &effects.effects[i], &identity);
}

static void lu_reset_when_reserved_then_dropped_and_all_told(void **context)
{
    struct shared_state *state = *context;

    apply(state, op_of(SHARED_OP_RESERVE, 2, 0));
    effect_is(0, SHARED_EFFECT_RESERVATION, 2, SHARED_ALL, UA_COUNT);
    uint32_t epoch = state->lus[2].epoch;
    assert_int_equal(apply(state, op_of(SHARED_OP_LU_RESET, 2, 1)), REASON_GOOD);
    assert_int_equal(effects.count, 3);
    effect_is(0, SHARED_EFFECT_RESERVATION, 2, SHARED_ALL, UA_COUNT);
    effect_is(1, SHARED_EFFECT_ABORT, 2, SHARED_ALL, UA_COUNT);
    effect_is(2, SHARED_EFFECT_UA, 2, SHARED_ALL, UA_LU_RESET);
    assert_true(selects(2, 0));
    assert_true(selects(2, 1));
    assert_false(state->lus[2].legacy_reserved);
    assert_int_equal(state->lus[2].epoch, epoch + 1);
    apply(state, op_of(SHARED_OP_LU_RESET, 2, 1));
    assert_int_equal(effects.count, 2);
    assert_int_equal(state->lus[2].epoch, epoch + 1);
}

static void lu_reset_when_persistent_then_kept(void **context)
{
    struct shared_state *state = *context;
    struct shared_op op = op_of(SHARED_OP_PR_OUT, 0, 0);

    op.action_key = 1;
    apply(state, op);
    op.key = 1;
    op.action = 1;
    op.type = PR_EXCLUSIVE_ACCESS;
    assert_int_equal(apply(state, op), REASON_GOOD);
    apply(state, op_of(SHARED_OP_LU_RESET, 0, 1));
    assert_int_equal(state->lus[0].pr_type, PR_EXCLUSIVE_ACCESS);
    assert_int_equal(state->lus[0].registrant_count, 1);
}

static void lu_reset_when_by_nobody_then_all_are_told(void **context)
{
    struct shared_state *state = *context;
    struct shared_op op = {.kind = SHARED_OP_LU_RESET, .lu = 0};

    assert_int_equal(apply(state, op), REASON_GOOD);
    effect_is(1, SHARED_EFFECT_UA, 0, SHARED_ALL, UA_LU_RESET);
}

static void target_reset_when_many_reserved_then_one_effect(void **context)
{
    struct shared_state *state = *context;

    for (uint32_t i = 0; i < 3; i++)
        apply(state, op_of(SHARED_OP_RESERVE, i, i));
    assert_int_equal(apply(state, op_of(SHARED_OP_TARGET_RESET, SHARED_NO_LU, 1)), REASON_GOOD);
    assert_int_equal(effects.count, 3);
    effect_is(0, SHARED_EFFECT_RESERVATION, SHARED_NO_LU, SHARED_ALL, UA_COUNT);
    effect_is(1, SHARED_EFFECT_ABORT, SHARED_NO_LU, SHARED_ALL, UA_COUNT);
    effect_is(2, SHARED_EFFECT_UA, SHARED_NO_LU, SHARED_ALL, UA_LU_RESET);
    for (uint32_t i = 0; i < LUS; i++)
        assert_false(state->lus[i].legacy_reserved);
    assert_int_equal(state->lus[3].epoch, 0);
}

static void cold_reset_when_applied_then_a_reset_that_ends_sessions(void **context)
{
    struct shared_state *state = *context;
    struct shared_op op = op_of(SHARED_OP_TARGET_COLD_RESET, SHARED_NO_LU, 1);

    assert_int_equal(apply(state, op), REASON_GOOD);
    assert_int_equal(effects.count, 3);
    effect_is(0, SHARED_EFFECT_ABORT, SHARED_NO_LU, SHARED_ALL, UA_COUNT);
    effect_is(1, SHARED_EFFECT_UA, SHARED_NO_LU, SHARED_ALL, UA_LU_RESET);
    effect_is(2, SHARED_EFFECT_SESSIONS, SHARED_NO_LU, SHARED_ALL, UA_COUNT);
    assert_true(shared_op_speak(&op, 3, state));
    assert_int_equal(op.kind, SHARED_OP_TARGET_COLD_RESET);
    assert_true(shared_op_speak(&op, 1, state));
    assert_int_equal(op.kind, SHARED_OP_TARGET_RESET);
}

static void clear_task_set_when_tas_then_status_tells(void **context)
{
    struct shared_state *state = *context;

    assert_int_equal(apply(state, op_of(SHARED_OP_CLEAR_TASK_SET, 1, 0)), REASON_GOOD);
    assert_int_equal(effects.count, 2);
    effect_is(0, SHARED_EFFECT_ABORT, 1, SHARED_ALL, UA_COUNT);
    effect_is(1, SHARED_EFFECT_UA, 1, SHARED_ALL_BUT, UA_COMMANDS_CLEARED);
    state->lus[1].mode.tas = 1;
    apply(state, op_of(SHARED_OP_CLEAR_TASK_SET, 1, 0));
    assert_int_equal(effects.count, 1);
}

static void nexus_loss_when_holder_then_released_everywhere(void **context)
{
    struct shared_state *state = *context;
    struct shared_op loss = op_of(SHARED_OP_NEXUS_LOSS, SHARED_NO_LU, 0);

    apply(state, op_of(SHARED_OP_RESERVE, 0, 0));
    apply(state, op_of(SHARED_OP_RESERVE, 1, 0));
    apply(state, op_of(SHARED_OP_RESERVE, 2, 1));
    loss.node = 2; /* the name is the same, but the session that reserved was at node 1 */
    assert_int_equal(apply(state, loss), REASON_GOOD);
    assert_false(effects.changed);
    loss.node = 1;
    assert_int_equal(apply(state, loss), REASON_GOOD);
    assert_int_equal(effects.count, 1);
    effect_is(0, SHARED_EFFECT_RESERVATION, SHARED_NO_LU, SHARED_ALL, UA_COUNT);
    assert_false(state->lus[0].legacy_reserved || state->lus[1].legacy_reserved);
    assert_true(state->lus[2].legacy_reserved);
    loss = op_of(SHARED_OP_NEXUS_LOSS, 2, 1);
    apply(state, loss);
    effect_is(0, SHARED_EFFECT_RESERVATION, 2, SHARED_ALL, UA_COUNT);
    assert_false(state->lus[2].legacy_reserved);
}

static void members_when_node_lost_then_its_legacy_reservations_fall(void **context)
{
    struct shared_state *state = *context;
    struct shared_op reserve = op_of(SHARED_OP_RESERVE, 0, 0);

    shared_members(state, 1u << 1 | 1u << 2, 0, 0, &effects);
    apply(state, reserve);
    reserve.lu = 1;
    reserve.node = 2;
    apply(state, reserve);
    shared_members(state, 1u << 1, 1u << 2, 0, &effects);
    assert_int_equal(effects.count, 1);
    effect_is(0, SHARED_EFFECT_RESERVATION, 1, SHARED_ALL, UA_COUNT);
    assert_true(state->lus[0].legacy_reserved);
    assert_false(state->lus[1].legacy_reserved);
    shared_members(state, 0, 0, 0, &effects);
    assert_false(state->lus[0].legacy_reserved);
}

static void mode_select_when_changed_then_others_told(void **context)
{
    struct shared_state *state = *context;
    struct shared_op op = op_of(SHARED_OP_MODE_SELECT, 3, 0);

    op.mode.swp = 1;
    assert_int_equal(apply(state, op), REASON_GOOD);
    assert_int_equal(effects.count, 2);
    effect_is(0, SHARED_EFFECT_MODE, 3, SHARED_ALL, UA_COUNT);
    effect_is(1, SHARED_EFFECT_UA, 3, SHARED_ALL_BUT, UA_MODE_PARAMETERS_CHANGED);
    assert_int_equal(state->lus[3].mode.swp, 1);
    apply(state, op);
    assert_false(effects.changed);
    op.mode.wce = 2;
    assert_int_equal(apply(state, op), REASON_INVALID_FIELD_IN_PARAMETERS);
}

static void mode_select_when_two_select_other_pages_then_both_hold(void **context)
{
    struct shared_state *state = *context;
    struct shared_op caching = op_of(SHARED_OP_MODE_PAGES, 0, 0);
    struct shared_op control = op_of(SHARED_OP_MODE_PAGES, 0, 1);

    state->lus[0].mode = (struct shared_mode){.wce = 1};
    caching.mode_selected.wce = 1; /* WCE off, by one who saw SWP off */
    control.mode.swp = 1;          /* SWP on, by one who saw WCE on */
    control.mode.wce = 1;
    control.mode_selected = (struct shared_mode){.d_sense = 1, .swp = 1, .tas = 1};
    assert_int_equal(apply(state, caching), REASON_GOOD);
    assert_int_equal(apply(state, control), REASON_GOOD);
    effect_is(1, SHARED_EFFECT_UA, 0, SHARED_ALL_BUT, UA_MODE_PARAMETERS_CHANGED);
    assert_int_equal(state->lus[0].mode.swp, 1);
    assert_int_equal(state->lus[0].mode.wce, 0);
    apply(state, caching);
    assert_false(effects.changed);
    caching.mode_selected.tas = 2;
    assert_int_equal(apply(state, caching), REASON_INVALID_FIELD_IN_PARAMETERS);
}

static void mode_select_when_said_in_an_older_version_then_the_whole_set(void **context)
{
    struct shared_state *state = *context;
    struct shared_op op = op_of(SHARED_OP_MODE_PAGES, 0, 0), other = op_of(SHARED_OP_CONFIGURATION, 0, 0);

    state->lus[0].mode = (struct shared_mode){.wce = 1, .tas = 1};
    op.mode.swp = 1;
    op.mode_selected.swp = 1;
    assert_true(shared_op_speak(&op, 3, state));
    assert_int_equal(op.kind, SHARED_OP_MODE_PAGES);
    assert_true(shared_op_speak(&op, 2, state));
    assert_int_equal(op.kind, SHARED_OP_MODE_SELECT);
    assert_true(op.mode.swp && op.mode.wce && op.mode.tas && !op.mode.d_sense);
    assert_true(shared_op_speak(&other, 2, state));
    assert_false(shared_op_speak(&other, 1, state));
}

static void mode_select_when_reserved_by_other_then_conflict(void **context)
{
    struct shared_state *state = *context;
    struct shared_op op = op_of(SHARED_OP_MODE_SELECT, 0, 0);

    op.mode.swp = 1;
    apply(state, op_of(SHARED_OP_RESERVE, 0, 1));
    assert_int_equal(apply(state, op), REASON_RESERVATION_CONFLICT);
    assert_int_equal(state->lus[0].mode.swp, 0);
    memset(&op.nexus, 0, sizeof op.nexus); /* an administrator */
    assert_int_equal(apply(state, op), REASON_GOOD);
}

static void capacity_when_changed_then_all_told_and_durable(void **context)
{
    struct shared_state *state = *context;
    struct shared_op op = {.kind = SHARED_OP_CAPACITY, .lu = 1, .capacity = 1000};

    assert_int_equal(apply(state, op), REASON_GOOD);
    assert_int_equal(effects.count, 3);
    effect_is(0, SHARED_EFFECT_CAPACITY, 1, SHARED_ALL, UA_COUNT);
    effect_is(1, SHARED_EFFECT_UA, 1, SHARED_ALL, UA_CAPACITY_CHANGED);
    effect_is(2, SHARED_EFFECT_PERSIST, 1, SHARED_ALL, UA_COUNT);
    apply(state, op);
    assert_false(effects.changed);
    op.capacity = 0;
    assert_int_equal(apply(state, op), REASON_INVALID_FIELD_IN_PARAMETERS);
    assert_int_equal(state->lus[1].capacity, 1000);
}

static void apply_when_malformed_then_refused_unchanged(void **context)
{
    struct shared_state *state = *context;
    struct shared_op good = op_of(SHARED_OP_PR_OUT, 0, 0);
    static const uint16_t unsorted[] = {2, 1}, zero[] = {0, 1}, twice[] = {1, 1};
    uint64_t digest = shared_state_digest(state);
    struct shared_op bad[12];
    unsigned n = 0;

    good.action_key = 1;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        bad[i] = good;
    bad[n++].kind = SHARED_OP_KIND_COUNT;
    bad[n++].kind = (enum shared_op_kind)0;
    bad[n++].lu = LUS;
    bad[n++].lu = SHARED_NO_LU;
    bad[n++].nexus.rtpi = 0;
    bad[n++].nexus.transport_length = LIMIT_TRANSPORT_ID + 4;
    bad[n++].nexus.transport_id[4] = 'I'; /* not the form in which names are compared */
    bad[n++].nexus.transport_id[LIMIT_TRANSPORT_ID - 1] = 1;
    bad[n].ports = unsorted, bad[n++].port_count = 2;
    bad[n].ports = zero, bad[n++].port_count = 2;
    bad[n].ports = twice, bad[n++].port_count = 2;
    bad[n++].node = LIMIT_NODES + 1;
    for (unsigned i = 0; i < n; i++) {
        assert_int_not_equal(apply(state, bad[i]), REASON_GOOD);
        assert_false(effects.changed);
        assert_int_equal(effects.count, 0);
        assert_int_equal(shared_state_digest(state), digest);
    }
    good.action = 200;
    assert_int_equal(apply(state, good), REASON_INVALID_FIELD_IN_CDB);
    assert_int_equal(effects.field_pointer, 1);
}

static void cold_start_when_aptpl_then_reservation_stays(void **context)
{
    const struct shared_mode defaults = SHARED_MODE_DEFAULTS;
    struct shared_state *state = *context;

    for (uint32_t i = 0; i < 2; i++) {
        struct shared_op op = op_of(SHARED_OP_PR_OUT, i, 0);

        op.action_key = 5;
        op.aptpl = i == 1;
        apply(state, op);
        op.action = 1;
        op.key = 5;
        op.type = PR_WRITE_EXCLUSIVE;
        assert_int_equal(apply(state, op), REASON_GOOD);
    }
    apply(state, op_of(SHARED_OP_RESERVE, 2, 0));
    state->lus[0].mode.swp = 1; /* cannot be saved (SPC-4 5.9) */
    shared_state_cold_start(state);
    assert_memory_equal(&state->lus[0].mode, &defaults, sizeof defaults);
    assert_int_equal(state->lus[0].registrant_count, 0);
    assert_int_equal(state->lus[0].pr_type, PR_NONE);
    assert_int_equal(state->lus[1].registrant_count, 1);
    assert_int_equal(state->lus[1].pr_type, PR_WRITE_EXCLUSIVE);
    assert_int_equal(state->lus[1].pr_holder, 0);
    assert_int_equal(state->lus[1].pr_generation, 0);
    assert_false(state->lus[2].legacy_reserved);
    assert_int_equal(state->registrant_total, 1);
}

/* Fills the whole pool round-robin, so that every run has to move many times, takes half away and
 * fills again; each LU's registrants must stay its own. */
static void pool_when_full_then_refused_and_runs_intact(void **context)
{
    enum { MANY = 1024, EACH = LIMIT_REGISTRANTS / MANY };
    struct shared_state *state = shared_state_new(MANY, 0);
    struct shared_op op = op_of(SHARED_OP_PR_OUT, 0, 0);

    assert_non_null(state);
    op.action = 6;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned host = 0; host < EACH; host++)
            for (uint32_t lu = 0; lu < MANY; lu++) {
                op.lu = (lu * 37) % MANY;
                op.nexus = nexus(host);
                op.action_key = round == 1 && (host + op.lu) % 2 ? 0 : 1 + host + op.lu;
                assert_int_equal(apply(state, op), REASON_GOOD);
            }
        assert_int_equal(state->registrant_total,
                         round == 1 ? LIMIT_REGISTRANTS / 2 : LIMIT_REGISTRANTS);
    }
    op.lu = 3;
    op.nexus = nexus(EACH);
    op.action_key = 1;
    assert_int_equal(apply(state, op), REASON_INSUFFICIENT_REGISTRATION);
    for (uint32_t lu = 0; lu < MANY; lu++) {
        assert_int_equal(state->lus[lu].registrant_count, EACH);
        for (unsigned host = 0; host < EACH; host++) {
            struct nexus_identity identity = nexus(host);
            bool found = false;
            for (uint32_t i = 0; i < EACH; i++) {
                const struct shared_registrant *r = &state->lus[lu].registrants[i];
                found = found || (identity_equal(&r->nexus, &identity) && r->key == 1 + host + lu);
            }
            assert_true(found);
        }
    }
    shared_state_free(state);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(lu_reset_when_reserved_then_dropped_and_all_told),
        CASE(lu_reset_when_persistent_then_kept),
        CASE(lu_reset_when_by_nobody_then_all_are_told),
        CASE(target_reset_when_many_reserved_then_one_effect),
        CASE(cold_reset_when_applied_then_a_reset_that_ends_sessions),
        CASE(clear_task_set_when_tas_then_status_tells),
        CASE(nexus_loss_when_holder_then_released_everywhere),
        CASE(members_when_node_lost_then_its_legacy_reservations_fall),
        CASE(mode_select_when_changed_then_others_told),
        CASE(mode_select_when_two_select_other_pages_then_both_hold),
        CASE(mode_select_when_said_in_an_older_version_then_the_whole_set),
        CASE(mode_select_when_reserved_by_other_then_conflict),
        CASE(capacity_when_changed_then_all_told_and_durable),
        CASE(apply_when_malformed_then_refused_unchanged),
        CASE(cold_start_when_aptpl_then_reservation_stays),
        cmocka_unit_test(pool_when_full_then_refused_and_runs_intact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
