/* The linearizability checker: histories written by hand that are or are not linearizable, then
 * random small ones against a search that tries every order. Not covered: that the model itself is
 * right (test_shared_pr). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/history/linearize.h"

enum { A = 0, B = 1, C = 2, KEY_A = 0xa, KEY_B = 0xb, INITIATORS = 3 };

static struct history history;

static int setup(void **context)
{
    history_init(&history, INITIATORS, 1, 1);
    return 0;
}

static int teardown(void **context)
{
    history_free(&history);
    return 0;
}

static struct history_op *add(struct history_op op, uint64_t end, const char *result)
{
    size_t at;

    if (result)
        assert_int_equal(history_set_reason(&op, result, end), 0);
    at = history_add(&history, &op); /* which may move them all */
    return &history.ops[at];
}

static struct history_op pr_out(int nexus, uint8_t action, uint64_t key, uint64_t action_key,
                                uint64_t call)
{
    struct history_op op = history_op(MODEL_PR_OUT, 0, nexus, call);

    op.op.action = action;
    op.op.key = key;
    op.op.action_key = action_key;
    op.op.type = 5;
    return op;
}

static struct history_op io(enum model_kind kind, int nexus, uint32_t block, uint64_t value,
                            uint64_t call)
{
    struct history_op op = history_op(kind, 0, nexus, call);

    op.block = block;
    op.value = value;
    return op;
}

/* A and B register, A reserves: until 60. */
static void reserved_by_a(void)
{
    add(pr_out(A, 6, 0, KEY_A, 0), 10, "GOOD");
    add(pr_out(B, 6, 0, KEY_B, 20), 30, "GOOD");
    add(pr_out(A, 1, KEY_A, 0, 40), 60, "GOOD");
}

static enum linearize_answer answer(enum linearize_view view, unsigned of, size_t failed)
{
    struct linearize_options options = {.view = view, .of = of};
    struct linearize_verdict verdict;

    linearize(&history, 0, &options, &verdict);
    if (verdict.answer == LINEARIZE_NO) {
        assert_int_equal(verdict.failed, failed);
        assert_non_null(strstr(verdict.why, "not linearizable"));
        assert_non_null(strstr(verdict.why, "expected"));
    }
    return verdict.answer;
}

#define YES(view, of)        assert_int_equal(answer(LINEARIZE_##view, of, 0), LINEARIZE_YES)
#define NO(view, of, failed) assert_int_equal(answer(LINEARIZE_##view, of, failed), LINEARIZE_NO)

static void plain_when_in_order_then_linearizable(void **context)
{
    reserved_by_a();
    add(io(MODEL_WRITE, C, 0, HISTORY_NO_VALUE, 70), 80, "RESERVATION_CONFLICT");
    add(io(MODEL_WRITE, B, 0, HISTORY_NO_VALUE, 70), 80, "GOOD");
    add(io(MODEL_READ, C, 0, HISTORY_NO_VALUE, 70), 80, "GOOD");
    YES(RESERVATIONS, 0);
}

static void write_when_good_after_reserve_then_caught(void **context)
{
    reserved_by_a();
    add(io(MODEL_WRITE, C, 0, HISTORY_NO_VALUE, 70), 80, "GOOD");
    NO(RESERVATIONS, 0, 3);
}

static void reading_when_reserved_by_another_then_conflicts(void **context)
{
    struct history_op sense = history_op(MODEL_MODE_SENSE, 0, C, 30);

    sense.op.pages = MODEL_PAGE_CACHING;
    add(history_op(MODEL_RESERVE, 0, A, 0), 10, "GOOD");
    add(history_op(MODEL_READ_KEYS, 0, C, 20), 25, "RESERVATION_CONFLICT");
    add(sense, 40, "RESERVATION_CONFLICT");
    add(history_op(MODEL_READ_KEYS, 0, A, 50), 55, "GOOD");
    YES(RESERVATIONS, 0);
    add(history_op(MODEL_READ_RESERVATION, 0, C, 60), 65, "GOOD");
    NO(RESERVATIONS, 0, 4);
}

static void write_when_it_overlaps_reserve_then_both_answers_allowed(void **context)
{
    reserved_by_a();
    add(io(MODEL_WRITE, C, 0, HISTORY_NO_VALUE, 50), 80, "GOOD");
    add(io(MODEL_WRITE, C, 0, HISTORY_NO_VALUE, 50), 55, "RESERVATION_CONFLICT");
    YES(RESERVATIONS, 0);
    add(io(MODEL_WRITE, C, 0, HISTORY_NO_VALUE, 56), 58, "GOOD"); /* it was seen already */
    NO(RESERVATIONS, 0, 5);
}

static void preempted_write_when_read_after_the_wall_then_caught(void **context)
{
    reserved_by_a();
    add(io(MODEL_WRITE, B, 7, 100, 65), 75, NULL); /* lost with its node */
    add(pr_out(A, 5, KEY_A, KEY_B, 70), 80, "GOOD");
    add(io(MODEL_WRITE, A, 7, 101, 90), 95, "GOOD");
    add(io(MODEL_READ, A, 7, 101, 100), 105, "GOOD");
    YES(RESERVATIONS, 0);
    YES(BLOCK, 7);
    add(io(MODEL_READ, A, 7, 100, 110), 120, "GOOD"); /* the old write came through */
    YES(RESERVATIONS, 0);
    NO(BLOCK, 7, 7);
}

static void preempted_write_when_before_the_wall_then_allowed(void **context)
{
    reserved_by_a();
    add(io(MODEL_WRITE, B, 7, 100, 65), 75, NULL);
    add(pr_out(A, 5, KEY_A, KEY_B, 70), 80, "GOOD");
    add(io(MODEL_READ, A, 7, 100, 90), 95, "GOOD");
    YES(BLOCK, 7);
}

static void block_when_value_goes_back_then_caught(void **context)
{
    add(io(MODEL_WRITE, A, 3, 1, 0), 10, "GOOD");
    add(io(MODEL_WRITE, A, 3, 2, 20), 30, "GOOD");
    add(io(MODEL_READ, B, 3, 2, 25), 40, "GOOD");
    YES(BLOCK, 3);
    add(io(MODEL_READ, B, 3, 1, 41), 50, "GOOD");
    NO(BLOCK, 3, 3);
}

static void compare_and_write_when_two_win_then_caught(void **context)
{
    struct history_op caw = io(MODEL_COMPARE_AND_WRITE, A, 3, 1, 0);

    add(caw, 30, "GOOD");
    caw = io(MODEL_COMPARE_AND_WRITE, B, 3, 2, 5);
    add(caw, 25, "MISCOMPARE");
    caw = io(MODEL_COMPARE_AND_WRITE, B, 3, 3, 40);
    caw.compare = 1;
    add(caw, 50, "GOOD");
    YES(BLOCK, 3);
    YES(RESERVATIONS, 0);
    caw = io(MODEL_COMPARE_AND_WRITE, C, 3, 4, 6);
    add(caw, 55, "GOOD"); /* 0 was there for one of them only */
    NO(BLOCK, 3, 3);
}

static void miscompare_when_lost_write_then_explained(void **context)
{
    struct history_op caw = io(MODEL_COMPARE_AND_WRITE, A, 3, 2, 20);

    add(io(MODEL_WRITE, B, 3, 1, 0), 10, NULL); /* no answer, and nobody reads it */
    add(caw, 30, "MISCOMPARE");
    YES(BLOCK, 3);
    history.ops[0].until = 5;
    YES(BLOCK, 3);
    history.ops[0].call = 31;
    history.ops[0].until = 40;
    NO(BLOCK, 3, 1);
}

static void unknown_when_it_explains_then_used_once(void **context)
{
    struct history_op read;

    add(pr_out(A, 6, 0, KEY_A, 0), 0, NULL); /* no answer */
    read = history_op(MODEL_READ_RESERVATION, 0, B, 10);
    read.generation = 0;
    add(read, 20, "GOOD");
    read.call = 30;
    read.generation = 1; /* it took effect late */
    add(read, 40, "GOOD");
    YES(RESERVATIONS, 0);
    read.call = 50;
    read.generation = 2; /* twice */
    add(read, 60, "GOOD");
    NO(RESERVATIONS, 0, 3);
}

static void unknown_when_too_late_then_caught(void **context)
{
    struct history_op lost = pr_out(A, 6, 0, KEY_A, 0);
    struct history_op read = history_op(MODEL_READ_RESERVATION, 0, B, 30);

    lost.until = 20;
    add(lost, 0, NULL);
    read.generation = 1;
    add(read, 40, "GOOD"); /* it may have been in time */
    YES(RESERVATIONS, 0);
    history.ops[0].until = 45;
    history.ops[0].call = 41;
    NO(RESERVATIONS, 0, 1);
}

static void preempt_when_retried_then_conflict(void **context)
{
    reserved_by_a();
    add(pr_out(A, 4, KEY_A, KEY_B, 70), 0, NULL); /* GOOD was lost on its way */
    add(pr_out(A, 4, KEY_A, KEY_B, 80), 90, "RESERVATION_CONFLICT");
    YES(RESERVATIONS, 0);
    add(pr_out(B, 2, KEY_B, 0, 100), 110, "GOOD"); /* B is registered after all? */
    NO(RESERVATIONS, 0, 5);
}

static void cold_start_when_not_aptpl_then_forgotten(void **context)
{
    struct history_op cut = history_op(MODEL_COLD_START, HISTORY_ALL_LUS, 0, 100);
    struct history_op late = pr_out(C, 6, 0, 0xc, 95);
    struct history_op keys = history_op(MODEL_READ_KEYS, 0, B, 300);

    reserved_by_a();
    add(late, 0, NULL);
    add(cut, 200, "GOOD");
    add(keys, 310, "GOOD");
    YES(RESERVATIONS, 0);
    keys = history_op(MODEL_READ_KEYS, 0, B, 320);
    keys.generation = 1;
    keys.registrations = calloc(1, sizeof *keys.registrations);
    keys.registrations[0].key = 0xc;
    keys.registration_count = 1;
    add(keys, 330, "GOOD"); /* what was under way at the cut comes after it */
    NO(RESERVATIONS, 0, 6);
}

/* The contents are another matter than the agreed state. */
static void cold_start_when_no_cache_lost_then_blocks_stay(void **context)
{
    add(io(MODEL_WRITE, A, 3, 31, 0), 10, "GOOD");
    add(io(MODEL_WRITE, A, 3, 32, 20), 30, "GOOD");
    add(history_op(MODEL_COLD_START, HISTORY_ALL_LUS, 0, 100), 200, "GOOD");
    add(io(MODEL_READ, B, 3, 31, 300), 310, "GOOD");
    NO(BLOCK, 3, 3);
}

static void cache_when_lost_then_any_but_one(void **context)
{
    add(io(MODEL_WRITE, A, 3, 31, 0), 10, "GOOD");
    add(io(MODEL_WRITE, A, 3, 32, 20), 30, "GOOD");
    add(history_op(MODEL_CACHE_LOSS, 0, 0, 100), 100, "GOOD");
    add(io(MODEL_READ, B, 3, 31, 300), 310, "GOOD");
    add(io(MODEL_READ, A, 3, 31, 320), 330, "GOOD");
    YES(BLOCK, 3);
    add(io(MODEL_READ, B, 3, 32, 340), 350, "GOOD"); /* it is not lost after all? */
    NO(BLOCK, 3, 5);
}

static void aptpl_when_forgotten_then_caught(void **context)
{
    struct history_op cut = history_op(MODEL_COLD_START, HISTORY_ALL_LUS, 0, 100);
    struct history_op keys = history_op(MODEL_READ_KEYS, 0, B, 300);
    struct history_op op = pr_out(A, 6, 0, KEY_A, 0);

    op.op.aptpl = true;
    add(op, 10, "GOOD");
    add(cut, 200, "GOOD");
    add(keys, 310, "GOOD");
    NO(RESERVATIONS, 0, 2);
}

static void legacy_when_nexus_lost_then_may_fall(void **context)
{
    struct history_op loss = history_op(MODEL_NEXUS_LOSS, HISTORY_ALL_LUS, A, 20);

    add(history_op(MODEL_RESERVE, 0, A, 0), 10, "GOOD");
    add(io(MODEL_READ, B, 0, HISTORY_NO_VALUE, 12), 15, "RESERVATION_CONFLICT");
    add(loss, 0, NULL);
    add(io(MODEL_READ, B, 0, HISTORY_NO_VALUE, 22), 25, "RESERVATION_CONFLICT");
    add(io(MODEL_READ, B, 0, HISTORY_NO_VALUE, 30), 35, "GOOD");
    YES(RESERVATIONS, 0);
    add(io(MODEL_READ, B, 0, HISTORY_NO_VALUE, 40), 45, "RESERVATION_CONFLICT");
    NO(RESERVATIONS, 0, 5);
}

static void mode_when_update_lost_then_caught(void **context)
{
    struct history_op select = history_op(MODEL_MODE_SELECT, 0, A, 0);
    struct history_op sense = history_op(MODEL_MODE_SENSE, 0, A, 20);

    select.op.pages = MODEL_PAGE_CONTROL;
    select.op.mode = (struct shared_mode){.swp = 1, .tas = 1};
    add(select, 10, "GOOD");
    select = history_op(MODEL_MODE_SELECT, 0, B, 0);
    select.op.pages = MODEL_PAGE_CACHING;
    add(select, 10, "GOOD");
    add(io(MODEL_WRITE, C, 0, HISTORY_NO_VALUE, 15), 20, "WRITE_PROTECTED");
    YES(RESERVATIONS, 0);
    sense.op.pages = MODEL_PAGE_CACHING | MODEL_PAGE_CONTROL;
    sense.read_mode = (struct shared_mode){.tas = 1}; /* SWP is gone again */
    add(sense, 30, "GOOD");
    NO(RESERVATIONS, 0, 3);
}

static void attention_when_reported_then_no_effect(void **context)
{
    struct history_op op = pr_out(A, 6, 0, KEY_A, 0);
    struct history_op keys = history_op(MODEL_READ_KEYS, 0, B, 30);

    history_answer(&op, 2, 6, 0x29, 0x00, 10);
    assert_int_equal(op.ua, UA_POWER_ON);
    history_add(&history, &op);
    add(keys, 40, "GOOD");
    YES(RESERVATIONS, 0);
}

static void pending_when_too_many_then_undecided(void **context)
{
    for (uint64_t i = 0; i <= LINEARIZE_PENDING; i++)
        add(pr_out(A, 6, 0, 1 + i, i), 0, NULL);
    assert_int_equal(answer(LINEARIZE_RESERVATIONS, 0, 0), LINEARIZE_UNDECIDED);
}

/* Each of them may have come first, last or never: more states than can be looked at, but few
 * orders are needed. */
static void unknowns_when_many_then_decided(void **context)
{
    enum { UNKNOWN = 40 };
    struct history_op keys = history_op(MODEL_READ_KEYS, 0, B, 100);

    for (uint64_t i = 0; i < UNKNOWN; i++)
        add(pr_out((int)(i % INITIATORS), 6, 0, 1 + i, i), 0, NULL);
    keys.generation = 2;
    keys.registration_count = 2;
    keys.registrations = calloc(2, sizeof *keys.registrations);
    keys.registrations[0] = (struct history_registration){.nexus = MODEL_NOBODY, .key = 17};
    keys.registrations[1] = (struct history_registration){.nexus = MODEL_NOBODY, .key = 24};
    add(keys, 110, "GOOD"); /* keys 17 and 24 are of B and C, nobody needs the other 38 */
    YES(RESERVATIONS, 0);
    keys.call = 120;
    keys.registrations = calloc(2, sizeof *keys.registrations);
    keys.registrations[0] = (struct history_registration){.nexus = MODEL_NOBODY, .key = 17};
    keys.registrations[1] = (struct history_registration){.nexus = MODEL_NOBODY, .key = 27};
    add(keys, 130, "GOOD"); /* another key of C, but no change since */
    NO(RESERVATIONS, 0, UNKNOWN + 1);
}

/* ---- unit attentions ---- */

static void command(int nexus, uint64_t call, uint64_t end, enum unit_attention ua)
{
    struct history_op op = history_op(MODEL_COMMAND, 0, nexus, call);

    op.ua = ua;
    add(op, end, ua == UA_COUNT ? "GOOD" : "UNIT_ATTENTION");
}

/* B is logged in, and knows it, until 20; then as reserved_by_a() at 100. */
static void watched(void)
{
    add(history_op(MODEL_LOGIN, HISTORY_ALL_LUS, B, 0), 5, "GOOD");
    command(B, 10, 20, UA_POWER_ON);
    add(pr_out(A, 6, 0, KEY_A, 100), 110, "GOOD");
    add(pr_out(B, 6, 0, KEY_B, 120), 130, "GOOD");
    add(pr_out(A, 1, KEY_A, 0, 140), 160, "GOOD");
    add(pr_out(A, 4, KEY_A, KEY_B, 200), 210, "GOOD"); /* 5 */
}

static void preempted_when_told_once_then_linearizable(void **context)
{
    watched();
    command(B, 190, 205, UA_COUNT); /* before it */
    command(B, 220, 230, UA_REGISTRATIONS_PREEMPTED);
    command(B, 240, 250, UA_COUNT);
    YES(ATTENTIONS, B);
}

static void preempted_when_told_early_then_after_its_call(void **context)
{
    watched();
    command(B, 195, 201, UA_REGISTRATIONS_PREEMPTED);
    command(B, 240, 250, UA_COUNT);
    YES(ATTENTIONS, B);
}

static void preempted_when_not_told_then_caught(void **context)
{
    watched();
    command(B, 220, 230, UA_COUNT);
    NO(ATTENTIONS, B, 6);
}

static void preempted_when_told_twice_then_caught(void **context)
{
    watched();
    command(B, 220, 230, UA_REGISTRATIONS_PREEMPTED);
    command(B, 240, 250, UA_REGISTRATIONS_PREEMPTED);
    NO(ATTENTIONS, B, 7);
}

static void attention_when_nothing_happened_then_caught(void **context)
{
    watched();
    command(B, 150, 160, UA_RESERVATIONS_RELEASED);
    NO(ATTENTIONS, B, 6);
}

static void power_on_when_session_lived_on_then_caught(void **context)
{
    watched();
    command(B, 220, 230, UA_POWER_ON);
    NO(ATTENTIONS, B, 6);
}

static void queued_commands_when_one_attention_then_one_tells(void **context)
{
    watched();
    command(B, 220, 250, UA_COUNT);
    command(B, 221, 240, UA_REGISTRATIONS_PREEMPTED);
    command(B, 222, 230, UA_COUNT);
    YES(ATTENTIONS, B);
    command(B, 221, 251, UA_REGISTRATIONS_PREEMPTED);
    NO(ATTENTIONS, B, 9);
}

static void login_when_new_session_then_old_attentions_are_gone(void **context)
{
    watched();
    add(history_op(MODEL_NEXUS_LOSS, HISTORY_ALL_LUS, B, 215), 0, NULL);
    add(history_op(MODEL_LOGIN, HISTORY_ALL_LUS, B, 220), 230, "GOOD");
    command(B, 240, 250, UA_NEXUS_LOSS);
    command(B, 260, 270, UA_COUNT);
    YES(ATTENTIONS, B);
    command(B, 280, 290, UA_REGISTRATIONS_PREEMPTED);
    NO(ATTENTIONS, B, 10);
}

static void answer_when_lost_then_its_attention_may_be(void **context)
{
    struct history_op lost = history_op(MODEL_COMMAND, 0, B, 220);

    watched();
    add(lost, 0, NULL);
    command(B, 240, 250, UA_COUNT);
    YES(ATTENTIONS, B);
}

/* Lost commands are alike: which of them has taken an attention is not asked, only how many. */
static void answers_when_many_are_lost_then_decided_at_once(void **context)
{
    static const enum unit_attention told[] = {UA_REGISTRATIONS_PREEMPTED, UA_ACCESS_STATE_CHANGED,
                                               UA_MODE_PARAMETERS_CHANGED};
    struct linearize_options options = {.view = LINEARIZE_ATTENTIONS, .of = B};
    struct linearize_verdict verdict;

    watched();
    for (unsigned i = 0; i < 40; i++) {
        add(history_op(MODEL_COMMAND, 0, B, 220 + i), 0, NULL);
        add(history_op(MODEL_NEXUS_LOSS, HISTORY_ALL_LUS, A, 220 + i), 0, NULL);
    }
    for (unsigned i = 0; i < 3; i++) {
        struct history_op change = history_op(MODEL_ATTENTION, 0, MODEL_NOBODY, 300 + 10 * i);

        change.ua = told[i];
        add(change, 305 + 10 * i, "GOOD");
    }
    command(B, 400, 410, UA_COUNT); /* all were told by lost answers */
    command(B, 420, 430, UA_POWER_ON);
    linearize(&history, 0, &options, &verdict);
    assert_int_equal(verdict.answer, LINEARIZE_NO);
    assert_in_range(verdict.explored, 1, 1000);
}

static void access_state_when_established_then_told_by_all(void **context)
{
    struct history_op change = history_op(MODEL_ATTENTION, 0, MODEL_NOBODY, 300);

    watched();
    command(B, 220, 230, UA_REGISTRATIONS_PREEMPTED);
    change.ua = UA_ACCESS_STATE_CHANGED;
    add(change, 310, "GOOD");
    command(B, 320, 330, UA_ACCESS_STATE_CHANGED);
    YES(ATTENTIONS, B);
    command(B, 340, 350, UA_ACCESS_STATE_CHANGED);
    NO(ATTENTIONS, B, 9);
    history.ua_free = 1u << UA_ACCESS_STATE_CHANGED;
    YES(ATTENTIONS, B);
}

/* ---- against every order ---- */

static uint64_t seed;

static unsigned dice(unsigned sides) /* xorshift64* */
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (unsigned)((seed * 0x2545f4914f6cdd1du) >> 33) % sides;
}

/* Does an order of the operations that are not in `done` exist, at or after `now`? Tried one by one, nothing
 * remembered. */
static bool any_order(bool values, const struct model *state, uint64_t value, unsigned done, uint64_t now)
{
    uint64_t bound = HISTORY_NEVER;
    bool open = false;

    for (size_t i = 0; i < history.count; i++) {
        const struct history_op *op = &history.ops[i];
        if (done >> i & 1 || op->outcome == HISTORY_UNKNOWN)
            continue;
        open = true;
        bound = op->end < bound ? op->end : bound;
    }
    if (!open)
        return true;
    for (size_t i = 0; i < history.count; i++) {
        const struct history_op *op = &history.ops[i];
        struct model next = *state;
        struct model_result result;
        uint64_t next_value = value;

        if (done >> i & 1 || op->call > bound || (op->outcome == HISTORY_UNKNOWN && op->until < now))
            continue;
        model_apply(&next, &op->op, &result);
        if (op->outcome == HISTORY_ANSWERED && result.reason != op->reason)
            continue;
        if (op->op.kind == MODEL_WRITE && result.reason == REASON_GOOD)
            next_value = op->value;
        if (values && op->op.kind == MODEL_READ && op->reason == REASON_GOOD && op->value != value)
            continue;
        if (op->op.kind == MODEL_READ_RESERVATION && op->reason == REASON_GOOD &&
            (op->generation != state->generation || op->read_type != state->type))
            continue;
        if (any_order(values, &next, next_value, done | 1u << i, op->call > now ? op->call : now))
            return true;
    }
    return false;
}

static void random_op(bool values, struct history_op *op, uint64_t *value)
{
    unsigned what = dice(10);
    int nexus = (int)dice(INITIATORS);
    uint64_t call = dice(24);

    if (what < 5) {
        static const uint8_t actions[] = {0, 1, 2, 3, 4, 5, 6, 6, 6};
        *op = pr_out(nexus, actions[dice(9)], dice(3), dice(3), call);
        op->op.type = dice(2) ? 5 : 1;
    } else if (what == 5 && !values) {
        *op = history_op(MODEL_READ_RESERVATION, 0, nexus, call);
    } else if (what == 6 && !dice(3)) {
        *op = history_op(MODEL_NEXUS_LOSS, HISTORY_ALL_LUS, nexus, call);
    } else if (what <= 6) {
        *op = history_op(dice(2) ? MODEL_RESERVE : MODEL_RELEASE, 0, nexus, call);
    } else if (what < 9) {
        *op = io(MODEL_WRITE, nexus, 0, ++*value, call);
    } else {
        *op = io(MODEL_READ, nexus, 0, 0, call);
    }
}

/* Answers as if each took effect at a random instant of its own; one answer in some histories is a
 * lie. */
static void random_history(bool values, unsigned count)
{
    struct model model;
    struct model_result result;
    uint64_t value = 0, now = 0;
    bool lie = dice(2);
    unsigned point[16];

    model_init(&model, INITIATORS, 1);
    for (unsigned i = 0; i < count; i++) {
        struct history_op op;
        random_op(values, &op, &value);
        point[i] = (unsigned)op.call + dice(8);
        op.end = point[i] + dice(8);
        history_add(&history, &op);
    }
    for (unsigned t = 0; t < 64; t++)
        for (unsigned i = 0; i < count; i++) {
            struct history_op *op = &history.ops[i];
            if (point[i] != t)
                continue;
            op->generation = model.generation;
            op->read_type = model.type;
            op->read_key = model.type ? model.key[model.holder] : 0;
            model_apply(&model, &op->op, &result);
            op->reason = result.reason;
            op->outcome = HISTORY_ANSWERED;
            if (op->op.kind == MODEL_WRITE && result.reason == REASON_GOOD)
                now = op->value;
            if (op->op.kind == MODEL_READ)
                op->value = now;
        }
    for (unsigned i = 0; i < count; i++) {
        struct history_op *op = &history.ops[i];
        bool tell = lie && op->op.kind != MODEL_NEXUS_LOSS && dice(count) == 0;
        if (tell && op->op.kind == MODEL_READ_RESERVATION)
            op->generation += dice(2) ? 1 : -1u;
        else if (tell && op->op.kind == MODEL_READ && value)
            op->value = dice((unsigned)value + 1);
        else if (tell)
            op->reason = op->reason == REASON_GOOD ? REASON_RESERVATION_CONFLICT : REASON_GOOD;
        else if (op->op.kind == MODEL_NEXUS_LOSS || (dice(6) == 0 && op->op.kind < MODEL_MODE_SENSE))
            history_lost(op, dice(2) ? HISTORY_NEVER : point[i] + dice(8));
    }
}

static void random_when_small_then_as_every_order(void **context)
{
    unsigned good = 0, bad = 0;

    for (unsigned n = 1; n <= 12000; n++) {
        bool values = n % 2; /* each view against all that it looks at */
        struct linearize_options options = {.view =
                                                values ? LINEARIZE_BLOCK : LINEARIZE_RESERVATIONS};
        struct linearize_verdict verdict;
        struct model model;
        bool exists;

        seed = n * 0x9e3779b97f4a7c15u;
        random_history(values, 3 + dice(5));
        model_init(&model, INITIATORS, 1);
        exists = any_order(values, &model, 0, 0, 0);
        linearize(&history, 0, &options, &verdict);
        if (verdict.answer != (exists ? LINEARIZE_YES : LINEARIZE_NO))
            fail_msg("history %u: an order exists: %d; found: %d", n, exists, verdict.answer);
        good += exists;
        bad += !exists;
        history_free(&history);
        history_init(&history, INITIATORS, 1, 1);
    }
    print_message("%u linearizable, %u not\n", good, bad);
    assert_true(good > 5000 && bad > 2000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(plain_when_in_order_then_linearizable),
        TEST(write_when_good_after_reserve_then_caught),
        TEST(reading_when_reserved_by_another_then_conflicts),
        TEST(write_when_it_overlaps_reserve_then_both_answers_allowed),
        TEST(preempted_write_when_read_after_the_wall_then_caught),
        TEST(preempted_write_when_before_the_wall_then_allowed),
        TEST(block_when_value_goes_back_then_caught),
        TEST(compare_and_write_when_two_win_then_caught),
        TEST(miscompare_when_lost_write_then_explained),
        TEST(unknown_when_it_explains_then_used_once),
        TEST(unknown_when_too_late_then_caught),
        TEST(preempt_when_retried_then_conflict),
        TEST(cold_start_when_not_aptpl_then_forgotten),
        TEST(cold_start_when_no_cache_lost_then_blocks_stay),
        TEST(cache_when_lost_then_any_but_one),
        TEST(aptpl_when_forgotten_then_caught),
        TEST(legacy_when_nexus_lost_then_may_fall),
        TEST(mode_when_update_lost_then_caught),
        TEST(attention_when_reported_then_no_effect),
        TEST(pending_when_too_many_then_undecided),
        TEST(unknowns_when_many_then_decided),
        TEST(preempted_when_told_once_then_linearizable),
        TEST(preempted_when_told_early_then_after_its_call),
        TEST(preempted_when_not_told_then_caught),
        TEST(preempted_when_told_twice_then_caught),
        TEST(attention_when_nothing_happened_then_caught),
        TEST(power_on_when_session_lived_on_then_caught),
        TEST(queued_commands_when_one_attention_then_one_tells),
        TEST(login_when_new_session_then_old_attentions_are_gone),
        TEST(answer_when_lost_then_its_attention_may_be),
        TEST(answers_when_many_are_lost_then_decided_at_once),
        TEST(access_state_when_established_then_told_by_all),
        TEST(random_when_small_then_as_every_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
