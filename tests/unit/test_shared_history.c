/* Long random histories, from fixed seeds: two instances stay equal, one fed directly and one
 * through the wire; the naive model agrees on reservations; snapshots replace an instance;
 * invariants hold after each step. Not covered: histories as a real cluster orders them (the
 * simulator). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/pr_check.h"

enum { LUS = 4, GROUPS = 3, NODES = 4, STEPS = 150000, ROOM = 1 << 18 };

static struct shared_effects effects_a, effects_b;

static uint64_t seed;

static unsigned dice(unsigned sides) /* xorshift64* */
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (unsigned)((seed * 0x2545f4914f6cdd1du) >> 33) % sides;
}

static struct shared_state *state_new(void)
{
    struct shared_state *state = shared_state_new(LUS, GROUPS);

    assert_non_null(state);
    for (unsigned i = 0; i < LUS; i++)
        state->lus[i].uuid[3] = (uint8_t)i;
    for (unsigned i = 0; i < GROUPS; i++) {
        state->groups[i].name[0] = (char)('a' + i);
        state->groups[i].nodes = i ? 6 : 30;
    }
    return state;
}

static void lu_invariants(const struct shared_lu *lu)
{
    assert_true(lu->registrant_count <= lu->registrant_room);
    assert_true(lu->registrant_room <= LIMIT_REGISTRANTS_LU);
    for (uint32_t i = 0; i < lu->registrant_count; i++) {
        assert_true(lu->registrants[i].key);
        assert_true(identity_valid(&lu->registrants[i].nexus));
        if (i)
            assert_true(identity_compare(&lu->registrants[i - 1].nexus, &lu->registrants[i].nexus) <
                        0);
    }
    if (lu->pr_type == PR_NONE || lu->pr_type >= PR_WRITE_EXCLUSIVE_ALL_REGISTRANTS)
        assert_int_equal(lu->pr_holder, -1);
    else
        assert_in_range(lu->pr_holder, 0, lu->registrant_count - 1);
    if (lu->pr_type != PR_NONE)
        assert_true(lu->registrant_count);
    assert_false(lu->legacy_reserved && lu->registrant_count);
}

static void invariants(const struct shared_state *state, uint32_t lu)
{
    uint32_t total = 0;

    lu_invariants(&state->lus[lu]);
    for (uint32_t i = 0; i < LUS; i++)
        total += state->lus[i].registrant_count;
    assert_int_equal(total, state->registrant_total);
    for (uint32_t i = 0; i < GROUPS; i++) {
        const struct shared_group *group = &state->groups[i];
        assert_int_equal(group->current & ~group->nodes, 0);
        if (group->owner) {
            assert_true(state->members >> group->owner & 1);
            assert_true(group->nodes >> group->owner & 1);
            assert_true(group->current); /* its own, or that of its peer when its disk failed */
            assert_int_equal(group->states[group->owner], ALUA_ACTIVE_OPTIMIZED);
        }
    }
}

/* An operation that the model knows. Most of them are sensible, else nothing would ever be
 * reserved. */
static void random_model_op(const struct model *model, struct model_op *op)
{
    static const uint8_t types[] = {1, 3, 5, 6, 7, 8};

    *op = (struct model_op){.kind = MODEL_PR_OUT, .nexus = (int)dice(PR_NEXUSES)};
    if (dice(10) == 0) {
        op->kind = dice(3) ? dice(2) ? MODEL_RESERVE : MODEL_RELEASE : MODEL_LU_RESET;
        return;
    }
    op->action = (uint8_t)(dice(50) ? dice(4) ? dice(8) : dice(2) * 6 : 8 + dice(20));
    if (op->action == 3 && dice(3)) /* not so often */
        op->action = 1;
    op->key = dice(8) ? model->key[op->nexus] : 1 + dice(4);
    op->action_key = dice(6) ? 1 + dice(4) : 0;
    op->type = dice(4) && model->type ? model->type : dice(20) ? types[dice(6)] : (uint8_t)dice(16);
    op->scope = dice(30) == 0;
    op->aptpl = dice(2);
    op->all_tg_pt = dice(4) == 0;
    op->spec_i_pt = dice(4) == 0 && op->action == 0;
    op->unreg = dice(2);
    op->named = dice(1 << PR_INITIATORS);
    op->move_to = (int)dice(PR_NEXUSES);
}

/* Gives `op` to both, to `b` by way of the wire; the answers and states must be equal. */
static void both(struct shared_state *a, struct shared_state *b, const struct shared_op *op)
{
    static uint8_t wire[1 << 17];
    struct writer w = {wire, sizeof wire, 0};
    struct shared_op decoded;
    uint64_t version = a->version, digest = dice(16) ? 0 : shared_state_digest(a);

    shared_apply(a, op, &effects_a);
    shared_op_encode(op, &w);
    struct reader r = {wire, w.used, 0};
    assert_int_equal(shared_op_decode(&decoded, &r, b), 0);
    shared_apply(b, &decoded, &effects_b);
    assert_int_equal(effects_a.reason, effects_b.reason);
    assert_int_equal(effects_a.field_pointer, effects_b.field_pointer);
    assert_int_equal(effects_a.changed, effects_b.changed);
    assert_int_equal(effects_a.count, effects_b.count);
    assert_int_equal(effects_a.identity_count, effects_b.identity_count);
    assert_memory_equal(effects_a.effects, effects_b.effects,
                        effects_a.count * sizeof *effects_a.effects);
    assert_int_equal(a->version - version, effects_a.reason == REASON_GOOD);
    if (effects_a.reason != REASON_GOOD) {
        assert_int_equal(effects_a.count, 0);
        if (digest)
            assert_int_equal(shared_state_digest(a), digest);
    }
}

static void random_other(struct shared_state *a, struct shared_state *b, struct model *models)
{
    static const enum shared_op_kind kinds[] = {
        SHARED_OP_TARGET_RESET,  SHARED_OP_CLEAR_TASK_SET, SHARED_OP_NEXUS_LOSS,
        SHARED_OP_MODE_SELECT,   SHARED_OP_CAPACITY,       SHARED_OP_GROUP_RELEASE,
        SHARED_OP_GROUP_ACQUIRE, SHARED_OP_OUTDATE,        SHARED_OP_CURRENT,
        SHARED_OP_MODE_PAGES};
    struct shared_op op = {.kind = kinds[dice(10)], .node = 1 + dice(NODES), .lu = dice(LUS)};
    int nexus = (int)dice(PR_NEXUSES);

    model_nexus(nexus, &op.nexus);
    op.group = dice(GROUPS);
    op.action = op.kind == SHARED_OP_OUTDATE && !dice(3);
    op.mode = (struct shared_mode){(uint8_t)dice(2), (uint8_t)dice(2), (uint8_t)dice(2), 0};
    op.mode_selected = (struct shared_mode){(uint8_t)dice(2), (uint8_t)dice(2), (uint8_t)dice(2), 0};
    op.capacity = 1 + dice(3);
    if (op.kind == SHARED_OP_NEXUS_LOSS) {
        op.node = 1; /* where the model's nexuses are */
        op.lu = dice(2) ? SHARED_NO_LU : op.lu;
    }
    both(a, b, &op);
    for (uint32_t i = 0; i < LUS; i++)
        if (op.kind == SHARED_OP_TARGET_RESET ||
            (op.kind == SHARED_OP_NEXUS_LOSS && (op.lu == SHARED_NO_LU || op.lu == i) &&
             models[i].legacy == nexus))
            models[i].legacy = MODEL_NOBODY;
}

static void random_view(struct shared_state *a, struct shared_state *b, struct model *models)
{
    uint32_t members = dice(32) & 30, lost = dice(32) & 30;

    if (dice(3)) /* else no group would have an owner for long */
        members = 30, lost = 0;
    shared_members(a, members, lost, 0, &effects_a);
    shared_members(b, members, lost, 0, &effects_b);
    assert_int_equal(effects_a.count, effects_b.count);
    for (uint32_t i = 0; i < LUS; i++)
        if (~members & 2 || lost & 2)
            models[i].legacy = MODEL_NOBODY;
}

static void cold_start(struct shared_state *a, struct shared_state *b, struct model *models)
{
    shared_state_cold_start(a);
    shared_state_cold_start(b);
    for (uint32_t i = 0; i < LUS; i++) {
        bool aptpl = models[i].aptpl;

        if (!aptpl)
            model_init(&models[i], PR_INITIATORS, PR_PORTS);
        models[i].legacy = MODEL_NOBODY;
        models[i].generation = 0;
    }
}

static void history(uint64_t from, unsigned steps)
{
    struct shared_state *a = state_new(), *b = state_new();
    uint8_t *blob = malloc(ROOM);
    struct model models[LUS];
    unsigned good = 0, reserved = 0, owned = 0;

    assert_non_null(blob);
    seed = from;
    for (uint32_t i = 0; i < LUS; i++)
        model_init(&models[i], PR_INITIATORS, PR_PORTS);
    shared_members(a, 30, 0, 0, &effects_a);
    shared_members(b, 30, 0, 0, &effects_b);
    for (unsigned step = 0; step < steps; step++) {
        uint32_t lu = dice(LUS);
        unsigned what = dice(100);

        if (what < 85) {
            static struct model_memory memory;
            struct model before = models[lu];
            struct shared_lu lu_before = a->lus[lu];
            struct model_result result;
            struct model_op op;
            struct shared_op built;

            random_model_op(&models[lu], &op);
            model_apply(&models[lu], &op, &result);
            model_op_build(&op, lu, &built, &memory);
            both(a, b, &built);
            model_check(&models[lu], &before, &result, a, lu, &lu_before, &effects_a);
            good += result.reason == REASON_GOOD;
            reserved += models[lu].type != 0;
        } else if (what < 97) {
            random_other(a, b, models);
        } else {
            random_view(a, b, models);
        }
        if (dice(5000) == 0)
            cold_start(a, b, models);
        invariants(a, lu);
        owned += a->groups[0].owner != 0;
        if (step % 64 == 0)
            assert_int_equal(shared_state_digest(a), shared_state_digest(b));
        if (dice(1000) == 0) { /* b is replaced by a joiner */
            struct writer w = {blob, ROOM, 0};

            shared_state_encode(a, &w);
            assert_true(w.used <= w.size);
            shared_state_free(b);
            b = state_new();
            struct reader r = {blob, w.used, 0};
            assert_int_equal(shared_state_decode(b, &r), 0);
            assert_int_equal(shared_state_digest(a), shared_state_digest(b));
        }
    }
    assert_int_equal(shared_state_digest(a), shared_state_digest(b));
    /* A long history must have been worth it. */
    if (steps == STEPS)
        assert_true(good > steps / 5 && reserved > steps / 5 && owned > steps / 10);
    free(blob);
    shared_state_free(a);
    shared_state_free(b);
}

static void history_when_one_long_then_equal(void **context)
{
    history(0x9e3779b97f4a7c15u, STEPS);
}

static void history_when_many_short_then_equal(void **context)
{
    for (unsigned i = 1; i <= 200; i++)
        history(i * 0x5851f42d4c957f2du, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(history_when_one_long_then_equal),
        cmocka_unit_test(history_when_many_short_then_equal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
