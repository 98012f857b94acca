/* Histories as JSON lines: what is written is read back equal; what is malformed is refused by its
 * line. Not covered: the command halun-history (unit/halun-history). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/history/history_json.h"

#define HEAD "{\"halun_history\":1,\"initiators\":2,\"ports\":2,\"lus\":3}\n"

static int read_text(struct history *history, const char *text, char *why, size_t size)
{
    FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    int result;

    assert_non_null(file);
    result = history_read(history, file, why, size);
    fclose(file);
    return result;
}

/* One operation of each kind with everything set. */
static void fill(struct history *history)
{
    history_init(history, 4, 2, 3);
    history->ua_free = 1u << UA_ACCESS_STATE_CHANGED;
    for (unsigned kind = 0; kind < MODEL_KINDS; kind++) {
        struct history_op op = history_op(kind, kind % 3 ? (int)kind % 3 : HISTORY_ALL_LUS, 3, 10);

        op.op.pages = kind == MODEL_MODE_SELECT  ? MODEL_PAGE_CACHING
                      : kind == MODEL_MODE_SENSE ? MODEL_PAGE_CONTROL
                                                 : 0;
        if (kind == MODEL_MODE_SENSE)
            op.read_mode = (struct shared_mode){.swp = 1};
        if (kind == MODEL_MODE_SELECT)
            op.op.mode.wce = 1;
        if (kind != MODEL_NEXUS_LOSS)
            assert_int_equal(history_set_reason(&op, "GOOD", 20 + kind), 0);
        else
            op.until = 77;
        if (kind >= MODEL_READ_KEYS && kind <= MODEL_READ_FULL_STATUS)
            op.generation = 9;
        if (kind == MODEL_READ_RESERVATION || kind == MODEL_READ_FULL_STATUS)
            op.read_type = 7;
        if (kind == MODEL_READ_RESERVATION)
            op.read_key = UINT64_MAX;
        if (kind == MODEL_READ_KEYS || kind == MODEL_READ_FULL_STATUS) {
            op.registrations = calloc(2, sizeof *op.registrations);
            op.registration_count = 2;
            op.registrations[0] = (struct history_registration){
                kind == MODEL_READ_KEYS ? MODEL_NOBODY : 5, 0x1234567890abcdef, false};
            op.registrations[1] = (struct history_registration){
                kind == MODEL_READ_KEYS ? MODEL_NOBODY : 6, 1, kind == MODEL_READ_FULL_STATUS};
        }
        if (kind == MODEL_ATTENTION) {
            op.op.nexus = MODEL_NOBODY;
            op.ua = UA_CAPACITY_CHANGED;
        }
        if (kind == MODEL_COMPARE_AND_WRITE)
            op.compare = 33;
        if (kind == MODEL_READ || kind == MODEL_WRITE || kind == MODEL_COMPARE_AND_WRITE) {
            op.block = 12;
            op.value = 34;
        }
        history_add(history, &op);
    }
    for (uint8_t action = 0; action < MODEL_ACTIONS; action++) {
        struct history_op op = history_op(MODEL_PR_OUT, 2, action, 100);

        op.op.action = action;
        op.op.type = 8;
        op.op.scope = action == 5;
        op.op.key = UINT64_MAX;
        op.op.action_key = 0xabc;
        op.op.aptpl = action & 1;
        op.op.all_tg_pt = action & 2;
        op.op.spec_i_pt = action == 0;
        op.op.named = action == 0 ? 0x5 : 0;
        op.op.move_to = action == 7 ? 2 : 0;
        op.op.unreg = action == 7;
        op.silent_ua = action == 3;
        if (action == 4)
            history_answer(&op, 2, 6, 0x2a, 0x03, 200);
        else if (action != 6)
            history_answer(&op, 0x18, 0, 0, 0, 200);
        history_add(history, &op);
    }
}

static void assert_equal_registrations(const struct history_registration *a, const struct history_registration *b)
{
    assert_int_equal(a->nexus, b->nexus);
    assert_int_equal(a->key, b->key);
    assert_int_equal(a->holder, b->holder);
}

static void assert_equal_ops(const struct model_op *a, const struct model_op *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->nexus, b->nexus);
    assert_int_equal(a->action, b->action);
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->scope, b->scope);
    assert_int_equal(a->key, b->key);
    assert_int_equal(a->action_key, b->action_key);
    assert_int_equal(a->aptpl, b->aptpl);
    assert_int_equal(a->all_tg_pt, b->all_tg_pt);
    assert_int_equal(a->spec_i_pt, b->spec_i_pt);
    assert_int_equal(a->unreg, b->unreg);
    assert_int_equal(a->named, b->named);
    assert_int_equal(a->move_to, b->move_to);
    assert_memory_equal(&a->mode, &b->mode, sizeof a->mode); /* bytes */
    assert_int_equal(a->pages, b->pages);
}

static void round_trip_when_everything_then_equal(void **context)
{
    struct history written, read;
    char text[16384] = "", why[200] = "";
    FILE *file = fmemopen(text, sizeof text, "w");

    assert_non_null(file);
    fill(&written);
    assert_int_equal(history_write_head(&written, file), 0);
    for (size_t i = 0; i < written.count; i++)
        assert_int_equal(history_write_op(&written.ops[i], file), 0);
    fclose(file);
    if (read_text(&read, text, why, sizeof why))
        fail_msg("%s", why);
    assert_int_equal(read.count, written.count);
    assert_int_equal(read.initiators, 4);
    assert_int_equal(read.ports, 2);
    assert_int_equal(read.lus, 3);
    assert_int_equal(read.ua_free, written.ua_free);
    for (size_t i = 0; i < read.count; i++) {
        struct history_op *a = &written.ops[i], *b = &read.ops[i];

        assert_int_equal(a->registration_count, b->registration_count);
        for (unsigned j = 0; j < a->registration_count; j++)
            assert_equal_registrations(&a->registrations[j], &b->registrations[j]);
        assert_int_equal(b->line, i + 2);
        assert_equal_ops(&a->op, &b->op);
        assert_int_equal(a->lu, b->lu);
        assert_int_equal(a->call, b->call);
        assert_int_equal(a->end, b->end);
        assert_int_equal(a->until, b->until);
        assert_int_equal(a->outcome, b->outcome);
        assert_int_equal(a->reason, b->reason);
        assert_int_equal(a->ua, b->ua);
        assert_int_equal(a->silent_ua, b->silent_ua);
        assert_int_equal(a->block, b->block);
        assert_int_equal(a->value, b->value);
        assert_int_equal(a->compare, b->compare);
        assert_int_equal(a->generation, b->generation);
        assert_int_equal(a->read_type, b->read_type);
        assert_int_equal(a->read_key, b->read_key);
        assert_memory_equal(&a->read_mode, &b->read_mode, sizeof a->read_mode);
    }
    history_free(&written);
    history_free(&read);
}

static void line_when_malformed_then_refused_by_number(void **context)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"", "line 1: expected the head"},
        {"[]\n", "line 1: expected a JSON object"},
        {"{\"halun_history\":1,\"initiators\":2}\n", "line 1: \"ports\""},
        {"{\"halun_history\":0,\"initiators\":2,\"ports\":2}\n", "line 1: \"halun_history\""},
        {"{\"halun_history\":1,\"initiators\":9,\"ports\":9}\n", "64 nexuses"},
        {HEAD "{\"op\":\"pr_out\"", "line 2: expected a JSON object"},
        {HEAD "{\"op\":\"pr_in\"}", "line 2: \"op\""},
        {HEAD "{\"op\":\"read\",\"nexus\":0}", "line 2: \"call\""},
        {HEAD "{\"op\":\"read\",\"nexus\":0,\"call\":-1}", "line 2: \"call\""},
        {HEAD "{\"op\":\"read\",\"nexus\":4,\"call\":1}", "line 2: \"nexus\""},
        {HEAD "{\"op\":\"read\",\"nexus\":0,\"call\":1,\"lu\":3}", "line 2: \"lu\""},
        {HEAD "{\"op\":\"read\",\"nexus\":0,\"call\":5,\"result\":\"GOOD\"}", "line 2: \"end\""},
        {HEAD "{\"op\":\"read\",\"nexus\":0,\"call\":5,\"end\":4,\"result\":\"GOOD\"}",
         "line 2: \"end\""},
        {HEAD "{\"op\":\"read\",\"nexus\":0,\"call\":5,\"end\":6,\"result\":\"FINE\"}",
         "line 2: \"result\""},
        {HEAD "{\"op\":\"read\",\"nexus\":0,\"call\":5,\"end\":6,\"result\":\"UNIT_ATTENTION\"}",
         "line 2: \"ua\""},
        {HEAD "{\"op\":\"pr_out\",\"nexus\":0,\"call\":5}", "line 2: \"action\""},
        {HEAD "{\"op\":\"pr_out\",\"nexus\":0,\"call\":5,\"action\":\"register\",\"key\":\"1\"}",
         "line 2: \"key\""},
        {HEAD
         "{\"op\":\"pr_out\",\"nexus\":0,\"call\":5,\"action\":\"register\",\"spec_i_pt\":[2]}",
         "spec_i_pt"},
        {HEAD "{\"op\":\"pr_out\",\"nexus\":0,\"call\":5,\"action\":\"register_and_move\"}",
         "move_to"},
        {HEAD "\n{\"op\":\"mode_sense\",\"nexus\":0,\"call\":5}", "line 3: \"op\""},
        {HEAD "{\"op\":\"read_keys\",\"nexus\":0,\"call\":5,\"end\":6,\"result\":\"GOOD\"}",
         "generation"},
        {HEAD "{\"op\":\"read_keys\",\"nexus\":0,\"call\":5,\"end\":6,\"result\":\"GOOD\","
              "\"generation\":1}",
         "keys"},
        {HEAD "{\"op\":\"read_keys\",\"nexus\":0,\"call\":5,\"end\":6,\"result\":\"GOOD\","
              "\"generation\":1,\"keys\":[\"x\"]}",
         "keys"},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct history history;
        char why[200] = "";

        assert_int_equal(read_text(&history, *rows[i].text ? rows[i].text : "\n", why, sizeof why),
                         -1);
        if (!strstr(why, rows[i].why))
            fail_msg("%s: \"%s\"", rows[i].text, why);
        assert_int_equal(history.count, 0);
        assert_null(history.ops);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip_when_everything_then_equal),
        cmocka_unit_test(line_when_malformed_then_refused_by_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
