/* When the simulator notes in the history that the array began anew, without what does not survive that. The world is what
 * the test says it is. Not covered: the search (test_linearize). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/checkers.h"
#include "tests/sim/workload.h"

enum { NODES = 2 };

static struct shared_lu units[NODES + 1];
static struct shared_state states[NODES + 1];
static bool running[NODES + 1], joined[NODES + 1];
static uint64_t epoch;
static unsigned cold_starts;
static struct history history;

/* ---- the world ---- */

const struct sim_config *sim_config(void)
{
    static const struct sim_config config = {.nodes = NODES, .groups = 1, .lus = 1};

    return &config;
}

bool sim_running(unsigned node)
{
    return running[node];
}

bool sim_view(unsigned node, struct cluster_view *view)
{
    *view = (struct cluster_view){.joined = joined[node], .epoch = epoch};
    return true;
}

const struct shared_state *sim_shared(unsigned node)
{
    return &states[node];
}

uint64_t sim_now(void)
{
    return 7;
}

void sim_fail(const char *format, ...)
{
    fail();
    while (true)
        ;
}

void sim_count(const char *name, uint64_t n)
{
}

struct history *record_history(void)
{
    return &history;
}

void history_cold_start(uint64_t lost, uint64_t back)
{
    cold_starts++;
}

/* ---- what happens ---- */

static void joins(unsigned node, uint32_t members, uint32_t generation)
{
    running[node] = joined[node] = true;
    states[node].members = members;
    units[node].pr_generation = generation;
    check_history.event(node);
}

static void ends(unsigned node)
{
    running[node] = joined[node] = false;
    check_history.ended(node);
}

static int setup(void **context)
{
    memset(units, 0, sizeof units);
    memset(running, 0, sizeof running);
    memset(joined, 0, sizeof joined);
    epoch = 0;
    for (unsigned node = 1; node <= NODES; node++)
        states[node] = (struct shared_state){.lus = &units[node], .lu_count = 1};
    cold_starts = 0;
    check_history.begin();
    joins(1, 1 << 1, 0); /* a new array is none */
    assert_int_equal(cold_starts, 0);
    return 0;
}

/* ---- cases ---- */

static void array_when_all_have_ended_and_one_starts_from_its_journal_then_begun_anew(void **context)
{
    ends(1);
    joins(2, 1 << 2, 0);
    assert_int_equal(cold_starts, 1);
}

static void array_when_another_has_the_state_then_not_begun_anew(void **context)
{
    joins(2, 1 << 1 | 1 << 2, 0);
    ends(1);
    joins(1, 1 << 1 | 1 << 2, 0);
    assert_int_equal(cold_starts, 0);
}

static void array_when_the_last_one_ends_behind_the_admission_of_another_then_not_begun_anew(void **context)
{
    ends(1);
    joins(2, 1 << 1 | 1 << 2, 0);
    assert_int_equal(cold_starts, 0);
    setup(context);
    ends(1);
    joins(2, 1 << 2, 15); /* its admission and the other's end in one event */
    assert_int_equal(cold_starts, 0);
    ends(2);
    joins(1, 1 << 1, 0);
    assert_int_equal(cold_starts, 1);
}

/* What the last one went on with is lost with its journal: who begins anew counts on from an older epoch. */
static void array_when_the_last_epoch_is_lost_then_begun_anew(void **context)
{
    epoch = 5;
    joins(2, 1 << 1 | 1 << 2, 0);
    ends(1);
    epoch = 7;
    joins(2, 1 << 2, 15);
    ends(2);
    epoch = 6;
    joins(1, 1 << 1, 0);
    assert_int_equal(cold_starts, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        TEST(array_when_all_have_ended_and_one_starts_from_its_journal_then_begun_anew),
        TEST(array_when_another_has_the_state_then_not_begun_anew),
        TEST(array_when_the_last_one_ends_behind_the_admission_of_another_then_not_begun_anew),
        TEST(array_when_the_last_epoch_is_lost_then_begun_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
