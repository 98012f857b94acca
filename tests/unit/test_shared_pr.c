/* PERSISTENT RESERVE OUT and RESERVE/RELEASE, every combination of reservation type, asker, key and
 * arguments, against the naive model; then the cases that the model leaves out. Not covered here:
 * what nodes do with the effects, parameter list parsing of the command, histories
 * (test_shared_history). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/pr_check.h"

enum { LUS = 3, LU = 1, BLOB = 1 << 20 };

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

static enum scsi_reason apply(struct shared_state *state, const struct model_op *op)
{
    static struct model_memory memory;
    struct shared_op built;

    model_op_build(op, LU, &built, &memory);
    shared_apply(state, &built, &effects);
    return effects.reason;
}

static void both(struct shared_state *state, struct model *model, const struct model_op *op)
{
    struct shared_lu before = state->lus[LU];
    uint64_t digest = shared_state_digest(state);
    struct model model_before = *model;
    struct model_result result;

    model_apply(model, op, &result);
    apply(state, op);
    model_check(model, &model_before, &result, state, LU, &before, &effects);
    if (result.reason != REASON_GOOD)
        assert_int_equal(shared_state_digest(state), digest);
}

/* Initiator i at port p. */
static int at(int i, int p)
{
    return i * PR_PORTS + p;
}

enum { KEY_A = 0xa0, KEY_B = 0xb1, KEY_C = 0xc2, KEY_NEW = 0xd3, KEY_UNKNOWN = 0xee };

/* 0 reserves, 1 and 2 are registered with the same key, 3 with its own, 4 not at all. */
static void arrange(struct shared_state *state, struct model *model, uint8_t type, int variant)
{
    struct model_op op = {.kind = MODEL_PR_OUT, .action = 6, .aptpl = variant == 1};
    static const uint64_t keys[] = {KEY_A, KEY_B, KEY_B, KEY_C};

    for (int i = 0; i < 4; i++) {
        op.nexus = at(i, 0);
        op.action_key = keys[i];
        if (variant == 2 && i == 2) /* the holder's key is not the holder's alone */
            op.action_key = KEY_A;
        both(state, model, &op);
    }
    if (variant == 1) { /* more paths of the holder and of another */
        op.nexus = at(0, 2);
        op.action_key = KEY_A;
        both(state, model, &op);
        op.nexus = at(1, 1);
        op.action_key = KEY_C;
        both(state, model, &op);
    }
    if (type) {
        op = (struct model_op){
            .kind = MODEL_PR_OUT, .action = 1, .nexus = at(0, 0), .key = KEY_A, .type = type};
        both(state, model, &op);
    }
}

static void pr_out_when_any_combination_then_as_the_model(void **context)
{
    static const uint8_t types[] = {0, 1, 3, 5, 6, 7, 8};
    static const uint8_t op_types[] = {0, 1, 3, 5, 6, 7, 8, 2, 15};
    static const int roles[] = {0, 1, 4}; /* holder, registrant, nobody */
    static const uint64_t action_keys[] = {0, KEY_A, KEY_B, KEY_C, KEY_NEW, KEY_UNKNOWN};
    struct shared_state *state = *context;
    uint8_t *blob = malloc(BLOB), *fresh = malloc(BLOB);
    struct writer empty = {fresh, BLOB, 0};
    unsigned long cases = 0;

    assert_non_null(blob);
    assert_non_null(fresh);
    shared_state_encode(state, &empty);
    for (unsigned setting = 0; setting < 7 * 3; setting++) {
        struct model arranged;
        struct writer w = {blob, BLOB, 0};
        struct reader from_fresh = {fresh, empty.used, 0};

        assert_int_equal(shared_state_decode(state, &from_fresh), 0);
        model_init(&arranged, PR_INITIATORS, PR_PORTS);
        arrange(state, &arranged, types[setting % 7], (int)(setting / 7));
        shared_state_encode(state, &w);
        for (unsigned n = 0; n < 9 * 3 * 3 * 6 * 9 * 2 * 16; n++) {
            unsigned left = n;
            struct model_op op = {.kind = MODEL_PR_OUT};
            struct model model = arranged;
            struct reader r = {blob, w.used, 0};

            op.action = (uint8_t)(left % 9), left /= 9;
            op.nexus = at(roles[left % 3], 0), left /= 3;
            uint64_t own = arranged.key[op.nexus];
            op.key = left % 3 == 0 ? own : left % 3 == 1 ? KEY_UNKNOWN : 0, left /= 3;
            op.action_key = action_keys[left % 6], left /= 6;
            op.type = op_types[left % 9], left /= 9;
            op.scope = (uint8_t)(left % 2), left /= 2;
            op.aptpl = left & 1;
            op.all_tg_pt = left & 2;
            op.spec_i_pt = left & 4;
            op.unreg = left & 8;
            op.named = op.unreg ? 0x1f : 0x10;
            op.move_to = op.aptpl ? at(4, 1) : op.all_tg_pt ? at(1, 0) : op.nexus;
            /* Arguments that an action does not have are tried in one way only. */
            bool registers = op.action == 0 || op.action == 6 || op.action == 7;
            bool typed = op.action >= 1 && op.action <= 5;
            if ((!registers && left && left != 15) || (!typed && (op.type > 1 || op.scope)))
                continue;
            assert_int_equal(shared_state_decode(state, &r), 0);
            both(state, &model, &op);
            cases++;
        }
    }
    print_message("%lu cases\n", cases);
    free(blob);
    free(fresh);
}

static void legacy_when_any_combination_then_as_the_model(void **context)
{
    static const uint8_t types[] = {0, 1, 3, 5, 6, 7, 8};
    struct shared_state *state = *context;

    for (unsigned n = 0; n < 7 * 2 * 5; n++) {
        struct model model;
        struct model_op op = {.kind = n / 7 % 2 ? MODEL_RELEASE : MODEL_RESERVE,
                              .nexus = at((int)(n / 14), 0)};
        struct model_op clear = {
            .kind = MODEL_PR_OUT, .action = 3, .nexus = at(0, 0), .key = KEY_A};

        model_init(&model, PR_INITIATORS, PR_PORTS);
        model.generation = state->lus[LU].pr_generation;
        arrange(state, &model, types[n % 7], 0);
        both(state, &model, &op);
        both(state, &model, &clear);
    }
}

static void legacy_when_reserved_then_others_and_pr_out_conflict(void **context)
{
    struct shared_state *state = *context;
    struct model model;
    struct model_op reserve = {.kind = MODEL_RESERVE, .nexus = at(0, 0)};
    struct model_op other = {.kind = MODEL_RESERVE, .nexus = at(1, 0)};
    struct model_op enroll = {
        .kind = MODEL_PR_OUT, .action = 6, .action_key = KEY_A, .nexus = at(0, 0)};
    struct model_op release = {.kind = MODEL_RELEASE, .nexus = at(1, 0)};

    model_init(&model, PR_INITIATORS, PR_PORTS);
    both(state, &model, &reserve);
    both(state, &model, &reserve);
    both(state, &model, &other);
    assert_int_equal(effects.reason, REASON_RESERVATION_CONFLICT);
    for (enroll.action = 0; enroll.action < 8; enroll.action++)
        for (int n = 0; n < 2; n++) { /* the holder itself, too */
            enroll.nexus = at(n, 0);
            both(state, &model, &enroll);
            assert_int_equal(effects.reason, REASON_RESERVATION_CONFLICT);
        }
    both(state, &model, &release); /* GOOD, no effect */
    assert_true(state->lus[LU].legacy_reserved);
    release.nexus = at(0, 0);
    both(state, &model, &release);
    assert_false(state->lus[LU].legacy_reserved);
    both(state, &model, &release);
    assert_false(effects.changed);
}

static void generation_when_each_action_then_counts_executed_ones(void **context)
{
    struct shared_state *state = *context;
    struct shared_lu *lu = &state->lus[LU];
    struct model_op op = {.kind = MODEL_PR_OUT, .nexus = at(0, 0)};

    assert_int_equal(apply(state, &op), REASON_GOOD); /* REGISTER 0 -> 0: does nothing */
    op.action = 6;
    assert_int_equal(apply(state, &op), REASON_GOOD);
    assert_int_equal(lu->pr_generation, 0);
    op.action = 0;
    op.action_key = KEY_A;
    assert_int_equal(apply(state, &op), REASON_GOOD);
    assert_int_equal(lu->pr_generation, 1);
    assert_int_equal(apply(state, &op),
                     REASON_RESERVATION_CONFLICT); /* repeated: 0 is not its key */
    assert_int_equal(lu->pr_generation, 1);
    op.action = 6;
    assert_int_equal(apply(state, &op), REASON_GOOD); /* same key again */
    assert_int_equal(apply(state, &op), REASON_GOOD);
    assert_int_equal(lu->pr_generation, 3);
    assert_int_equal(effects.count, 1); /* no lane need know, but it is not told before all have it */
    assert_int_equal(effects.effects[0].kind, SHARED_EFFECT_KEYS);
    assert_int_equal(effects.effects[0].lu, LU);
    op.key = KEY_A;
    op.type = 5;
    for (op.action = 1; op.action <= 2; op.action++) { /* RESERVE, RELEASE: not counted */
        assert_int_equal(apply(state, &op), REASON_GOOD);
        assert_int_equal(lu->pr_generation, 3);
    }
    lu->pr_generation = UINT32_MAX;
    op.action = 3;
    assert_int_equal(apply(state, &op), REASON_GOOD);
    assert_int_equal(lu->pr_generation, 0); /* wraps */
}

static void spec_i_pt_when_list_bad_then_refused_with_pointer(void **context)
{
    struct shared_state *state = *context;
    static struct model_memory memory;
    struct model_op op = {.kind = MODEL_PR_OUT,
                          .nexus = at(0, 0),
                          .action_key = KEY_A,
                          .spec_i_pt = true,
                          .named = 0x06};
    struct shared_op built;
    struct nexus_identity first;
    uint64_t digest = shared_state_digest(state);

    model_op_build(&op, LU, &built, &memory);
    model_nexus(at(1, 0), &first);
    built.transport_ids_length -= 4; /* the second is truncated */
    shared_apply(state, &built, &effects);
    assert_int_equal(effects.reason, REASON_INVALID_FIELD_IN_PARAMETERS);
    assert_int_equal(effects.field_pointer, 28 + first.transport_length);
    assert_int_equal(effects.identity_count, 0);

    model_op_build(&op, LU, &built, &memory);
    memory.transport_ids[0] = 0x0f; /* unknown protocol */
    shared_apply(state, &built, &effects);
    assert_int_equal(effects.reason, REASON_INVALID_FIELD_IN_PARAMETERS);
    assert_int_equal(effects.field_pointer, 28);

    model_op_build(&op, LU, &built, &memory);
    built.all_tg_pt = true; /* but which ports? */
    built.port_count = 0;
    shared_apply(state, &built, &effects);
    assert_int_equal(effects.reason, REASON_INVALID_FIELD_IN_PARAMETERS);
    assert_int_equal(effects.field_pointer, 20);
    assert_int_equal(shared_state_digest(state), digest);

    model_op_build(&op, LU, &built, &memory); /* the same one twice is one */
    memcpy(memory.transport_ids + first.transport_length, first.transport_id,
           first.transport_length);
    built.transport_ids_length = 2u * first.transport_length;
    shared_apply(state, &built, &effects);
    assert_int_equal(effects.reason, REASON_GOOD);
    assert_int_equal(state->lus[LU].registrant_count, 2);
}

static void move_when_arguments_bad_then_refused_with_pointer(void **context)
{
    struct shared_state *state = *context;
    static struct model_memory memory;
    struct model_op op = {.kind = MODEL_PR_OUT, .nexus = at(0, 0), .action_key = KEY_A};
    struct shared_op built;

    assert_int_equal(apply(state, &op), REASON_GOOD);
    op.key = KEY_A;
    op.action = 7;
    op.move_to = at(1, 1);
    assert_int_equal(apply(state, &op), REASON_INVALID_FIELD_IN_CDB); /* nothing to move */
    assert_int_equal(effects.field_pointer, 1);
    op.action = 1;
    op.type = 1;
    assert_int_equal(apply(state, &op), REASON_GOOD);

    op.action = 7;
    model_op_build(&op, LU, &built, &memory);
    built.move_rtpi = 9; /* no such port */
    shared_apply(state, &built, &effects);
    assert_int_equal(effects.reason, REASON_INVALID_FIELD_IN_PARAMETERS);
    assert_int_equal(effects.field_pointer, 18);
    model_op_build(&op, LU, &built, &memory);
    built.transport_ids_length -= 4;
    shared_apply(state, &built, &effects);
    assert_int_equal(effects.reason, REASON_INVALID_FIELD_IN_PARAMETERS);
    assert_int_equal(effects.field_pointer, 24);
    op.action_key = 0;
    assert_int_equal(apply(state, &op), REASON_INVALID_FIELD_IN_PARAMETERS);
    assert_int_equal(effects.field_pointer, 8);
    op.action_key = KEY_B;
    op.unreg = true;
    assert_int_equal(apply(state, &op), REASON_GOOD);
    assert_int_equal(state->lus[LU].registrant_count, 1);
    assert_int_equal(state->lus[LU].pr_holder, 0);
}

static void register_when_full_then_nothing_changes(void **context)
{
    struct shared_state *state = *context;
    struct shared_op op = {.kind = SHARED_OP_PR_OUT,
                           .node = 1,
                           .lu = LU,
                           .action = 6,
                           .action_key = KEY_A,
                           .all_tg_pt = true};
    uint16_t ports[SHARED_PORTS];
    uint8_t isid[6] = {0};

    for (unsigned i = 0; i < SHARED_PORTS; i++)
        ports[i] = (uint16_t)(i + 1);
    op.ports = ports;
    op.port_count = SHARED_PORTS;
    identity_from_iscsi(&op.nexus, "iqn.2001-04.com.example:one", isid, 7);
    shared_apply(state, &op, &effects);
    assert_int_equal(effects.reason, REASON_GOOD);
    assert_int_equal(state->lus[LU].registrant_count, SHARED_PORTS);
    identity_from_iscsi(&op.nexus, "iqn.2001-04.com.example:two", isid, 500);
    shared_apply(state, &op, &effects); /* its own port and all of the list: one too many */
    assert_int_equal(effects.reason, REASON_INSUFFICIENT_REGISTRATION);
    assert_int_equal(state->lus[LU].registrant_count, SHARED_PORTS);
    assert_int_equal(effects.count, 0);
    op.nexus.rtpi = 3;
    shared_apply(state, &op, &effects);
    assert_int_equal(effects.reason, REASON_GOOD);
    assert_int_equal(state->lus[LU].registrant_count, LIMIT_REGISTRANTS_LU);
    op.all_tg_pt = false;
    identity_from_iscsi(&op.nexus, "iqn.2001-04.com.example:three", isid, 3);
    shared_apply(state, &op, &effects);
    assert_int_equal(effects.reason, REASON_INSUFFICIENT_REGISTRATION);
    op.action = 3; /* CLEAR by one: 255 unit attentions */
    op.key = KEY_A;
    identity_from_iscsi(&op.nexus, "iqn.2001-04.com.example:two", isid, 3);
    shared_apply(state, &op, &effects);
    assert_int_equal(effects.reason, REASON_GOOD);
    assert_int_equal(effects.identity_count, LIMIT_REGISTRANTS_LU - 1);
}

/* SPC-4 table 63 as printed there. */
static void conflicts_when_every_type_then_as_the_table(void **context)
{
    static const struct {
        uint8_t type;
        const char *read, *write, *legacy; /* conflicts: nobody, registrant, holder */
    } rows[] = {
        {0, "...", "...", "..."}, {1, "...", "cc.", "cc."}, {3, "cc.", "cc.", "cc."},
        {5, "...", "c..", "c.."}, {6, "c..", "c..", "c.."}, {7, "...", "c..", "c.."},
        {8, "c..", "c..", "c.."},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int role = 0; role < 3; role++) {
            uint8_t t = rows[i].type;
            bool reg = role > 0, hold = role == 2;

            assert_int_equal(shared_conflicts(t, reg, hold, false, PR_READ),
                             rows[i].read[role] == 'c');
            assert_int_equal(shared_conflicts(t, reg, hold, false, PR_WRITE),
                             rows[i].write[role] == 'c');
            assert_int_equal(shared_conflicts(t, reg, hold, false, PR_LEGACY),
                             rows[i].legacy[role] == 'c');
            assert_false(shared_conflicts(t, reg, hold, false, PR_ALWAYS));
            assert_false(shared_conflicts(t, reg, hold, false, PR_OUT));
        }
    assert_true(shared_conflicts(0, false, false, true, PR_READ));
    assert_true(shared_conflicts(0, false, false, true, PR_WRITE));
    assert_true(shared_conflicts(0, false, false, true, PR_OUT));
    assert_false(shared_conflicts(0, false, false, true, PR_ALWAYS));
    assert_false(shared_conflicts(0, false, false, true, PR_LEGACY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pr_out_when_any_combination_then_as_the_model, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(legacy_when_any_combination_then_as_the_model, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(legacy_when_reserved_then_others_and_pr_out_conflict, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(generation_when_each_action_then_counts_executed_ones,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(spec_i_pt_when_list_bad_then_refused_with_pointer, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(move_when_arguments_bad_then_refused_with_pointer, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(register_when_full_then_nothing_changes, setup, teardown),
        cmocka_unit_test(conflicts_when_every_type_then_as_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
