/* Consulting the members: what counts as an answer, and that the question ends once. The cluster and the timer are
 * stand-ins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "target/daemon/consult.h"

enum { KIND = 62 };

struct daemon halund;

static struct config_node nodes[] = {{.id = 1, .name = "one"}, {.id = 2, .name = "two"}, {.id = 3, .name = "three"}};
static struct config config = {.nodes = nodes, .node_count = 3};
static struct consult consult = {.kind = 1ull << KIND};
static qb_loop_timer_dispatch_fn timer; /* NULL: not running */
static void *timer_data;
static unsigned sent, ends;
static uint64_t number;
static uint8_t asked[32];
static int result;
static char reason[400];

int32_t qb_loop_timer_add(struct qb_loop *loop, enum qb_loop_priority priority, uint64_t ns, void *data,
                          qb_loop_timer_dispatch_fn run, qb_loop_timer_handle *handle)
{
    assert_null(timer);
    assert_int_equal(ns, CONSULT_MS * 1000000ull);
    timer = run;
    timer_data = data;
    *handle = 7;
    return 0;
}

int32_t qb_loop_timer_del(struct qb_loop *loop, qb_loop_timer_handle handle)
{
    assert_int_equal(handle, 7);
    assert_non_null(timer);
    timer = NULL;
    return 0;
}

void cluster_consult(struct cluster_driver *driver, uint64_t with, const uint8_t digest[32])
{
    sent++;
    number = with;
    memcpy(asked, digest, sizeof asked);
}

static void done(void *context, int error, const char *why)
{
    assert_ptr_equal(context, &consult);
    ends++;
    result = error;
    strcpy(reason, why);
}

static void ask(uint8_t what)
{
    uint8_t digest[32] = {what};

    sent = ends = 0;
    consult_ask(&consult, digest, done, &consult);
    assert_int_equal(sent, 1);
    assert_int_equal(asked[0], what);
    assert_int_equal(number >> 32, 1u << (KIND - 32));
    assert_int_equal(ends, 0);
}

static int setup(void **state)
{
    halund.config = &config;
    halund.view.members = 1 << 1 | 1 << 2;
    return 0;
}

static void question_when_all_think_well_of_it_then_it_ends_well(void **state)
{
    ask(1);
    consult_opinion(&consult, 1, number, true, "");
    consult_opinion(&consult, 1, number, true, ""); /* twice is not both */
    consult_opinion(&consult, 3, number, true, ""); /* no member */
    assert_int_equal(ends, 0);
    consult_opinion(&consult, 2, number, true, "");
    assert_int_equal(ends, 1);
    assert_int_equal(result, 0);
    assert_null(timer);
    consult_opinion(&consult, 2, number, false, "late");
    assert_int_equal(ends, 1);
}

static void question_when_one_is_against_it_then_the_first_one_is_named(void **state)
{
    ask(2);
    consult_opinion(&consult, 2, number, false, "no room");
    assert_int_equal(result, -EINVAL);
    assert_string_equal(reason, "two: no room");
    assert_null(timer);
    consult_opinion(&consult, 1, number, false, "no file");
    assert_int_equal(ends, 1);
}

static void question_when_one_is_silent_then_it_ends_and_names_it(void **state)
{
    qb_loop_timer_dispatch_fn fire;

    ask(3);
    consult_opinion(&consult, 1, number, true, "");
    fire = timer;
    timer = NULL; /* it fires once, and is not to be deleted then */
    fire(timer_data);
    assert_int_equal(ends, 1);
    assert_int_equal(result, -EAGAIN);
    assert_string_equal(reason, "no answer from two");
}

static void opinion_when_it_is_about_something_else_then_it_does_not_count(void **state)
{
    uint64_t before;

    ask(4);
    before = number;
    consult_opinion(&consult, 2, number, false, "no");
    ask(5);
    assert_int_not_equal(number, before);
    consult_opinion(&consult, 1, before, true, "");
    consult_opinion(&consult, 2, before, false, "an answer to the question before");
    consult_opinion(&consult, 2, number ^ 1ull << KIND, false, "of another kind");
    consult_opinion(&consult, 1, number, true, "");
    assert_int_equal(ends, 0);
    consult_opinion(&consult, 2, number, true, "");
    assert_int_equal(ends, 1);
    assert_int_equal(result, 0);
}

static unsigned chained;

static void ask_again(void *context, int error, const char *why)
{
    uint8_t digest[32] = {0};

    chained++;
    consult_ask(&consult, digest, done, &consult);
}

static void question_when_asked_at_the_end_of_one_then_it_is_a_new_one(void **state)
{
    uint8_t digest[32] = {0};

    ends = 0;
    consult_ask(&consult, digest, ask_again, NULL);
    consult_opinion(&consult, 2, number, false, "no");
    assert_int_equal(chained, 1);
    assert_non_null(timer);
    consult_opinion(&consult, 1, number, true, "");
    consult_opinion(&consult, 2, number, true, "");
    assert_int_equal(ends, 1);
    assert_int_equal(result, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(question_when_all_think_well_of_it_then_it_ends_well),
        cmocka_unit_test(question_when_one_is_against_it_then_the_first_one_is_named),
        cmocka_unit_test(question_when_one_is_silent_then_it_ends_and_names_it),
        cmocka_unit_test(opinion_when_it_is_about_something_else_then_it_does_not_count),
        cmocka_unit_test(question_when_asked_at_the_end_of_one_then_it_is_a_new_one),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
