/* When the simulator says that a write went through the wall of a reservation: one unit, two initiators with a path to
 * each of two nodes; a legacy reservation is the wall. The world is what the test says it is. Not covered: types of
 * persistent reservations (test_shared_*), values that are damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "target/base/bytes.h"
#include "target/command/pr_parameters.h"
#include "tests/sim/checkers.h"
#include "tests/sim/workload.h"

enum { NODES = 2, BLOCK = 512, HOLDER = 0, VICTIM = 1, NODE = 1, OTHER = 2, VALUE = 7 };

struct client workload_clients[WORKLOAD_CLIENTS];
static struct shared_lu units[NODES + 1];
static struct shared_group group;
static struct shared_state states[NODES + 1];
static uint64_t now;
static int writer; /* of every value: a nexus */
static bool others; /* change reservations of the unit meanwhile */
static jmp_buf violation;

/* ---- the world ---- */

const struct sim_config *sim_config(void)
{
    static const struct sim_config config = {.nodes = NODES, .groups = 1, .lus = 1, .block_size = BLOCK};

    return &config;
}

const struct shared_state *sim_shared(unsigned node)
{
    return &states[node];
}

bool sim_serves(unsigned node)
{
    return true;
}

uint64_t sim_now(void)
{
    return now;
}

void sim_fail(const char *format, ...)
{
    longjmp(violation, 1);
}

const char *sim_initiator_name(unsigned n)
{
    return n == HOLDER ? "iqn.2026-11.sim:host0" : "iqn.2026-11.sim:host1";
}

uint16_t sim_rtpi(unsigned node)
{
    return (uint16_t)node;
}

unsigned workload_client_count(void)
{
    return 2;
}

int workload_nexus(unsigned client, unsigned node)
{
    return (int)(client * NODES + node - 1);
}

bool workload_changes_beside(const struct job *job)
{
    return others;
}

bool record_writer(uint64_t value, unsigned *lu, uint32_t *block, int *nexus, uint64_t *sent)
{
    *lu = 0;
    *block = 0;
    *nexus = writer;
    *sent = 1;
    return true;
}

uint64_t record_value_of(const uint8_t *data)
{
    return get_be64(data);
}

/* ---- what happens ---- */

/* Operations that change the reservation are applied on a node, at once. */
static void apply(unsigned node, bool reserved, unsigned operations)
{
    units[node].legacy_reserved = reserved;
    identity_from_iscsi(&units[node].legacy_holder, sim_initiator_name(HOLDER), workload_clients[HOLDER].isid,
                        sim_rtpi(NODE));
    units[node].epoch += operations;
    check_wall.event(node);
}

/* RESERVE of the holder, legacy or persistent (`action`), sent then, is answered now. */
static void answer_to(uint8_t kind, uint8_t action, uint64_t call)
{
    struct path path = {.node = NODE};
    struct job job = {.path = &path, .op = {.op = {.kind = kind, .action = action}, .call = call}};

    wall_answered(&job);
}

static void answer(uint64_t call)
{
    answer_to(MODEL_RESERVE, 0, call);
}

static bool stopped(unsigned node, int nexus, uint64_t value)
{
    uint8_t data[BLOCK] = {0};

    writer = nexus;
    put_be64(data, value);
    if (setjmp(violation))
        return true;
    check_wall.medium_write(node, 0, 0, sizeof data, data);
    return false;
}

static int setup(void **context)
{
    memset(units, 0, sizeof units);
    others = false;
    group = (struct shared_group){.owner = NODE, .current = 1u << NODE | 1u << OTHER};
    for (unsigned node = 1; node <= NODES; node++)
        states[node] = (struct shared_state){.lus = &units[node], .lu_count = 1, .groups = &group, .group_count = 1};
    workload_clients[VICTIM].isid[0] = 1;
    check_wall.begin();
    now = 100;
    apply(NODE, false, 1);
    apply(OTHER, false, 1);
    now = 200;
    return 0;
}

static void reserve(void)
{
    now = 250;
    apply(NODE, true, 1);
    now = 300;
    answer(200);
}

/* ---- cases ---- */

static void write_when_it_comes_behind_the_answer_then_found(void **context)
{
    reserve();
    assert_true(stopped(OTHER, workload_nexus(VICTIM, OTHER), VALUE));
}

static void write_when_the_reservation_is_not_answered_then_let_through(void **context)
{
    now = 250;
    apply(NODE, true, 1);
    assert_false(stopped(OTHER, workload_nexus(VICTIM, OTHER), VALUE));
}

static void write_when_it_is_of_the_holder_then_let_through(void **context)
{
    reserve();
    assert_false(stopped(NODE, workload_nexus(HOLDER, NODE), VALUE));
}

static void write_when_one_copy_had_it_before_then_the_other_may_get_it(void **context)
{
    assert_false(stopped(NODE, workload_nexus(VICTIM, OTHER), VALUE));
    reserve();
    assert_false(stopped(OTHER, workload_nexus(VICTIM, OTHER), VALUE));
    assert_true(stopped(OTHER, workload_nexus(VICTIM, OTHER), VALUE + 1));
}

/* One that is being resynchronised: what it has is overwritten before anybody is told of it. The owner's is looked at all the same. */
static void write_when_the_copy_is_not_current_then_let_through(void **context)
{
    reserve();
    group.current = 1u << NODE;
    assert_false(stopped(OTHER, workload_nexus(VICTIM, OTHER), VALUE));
    group.current = 1u << OTHER;
    assert_true(stopped(NODE, workload_nexus(VICTIM, NODE), VALUE));
}

static void wall_when_a_node_lets_write_again_then_gone(void **context)
{
    reserve();
    now = 350;
    apply(NODE, false, 1);
    assert_false(stopped(OTHER, workload_nexus(VICTIM, OTHER), VALUE));
}

/* The reservation that is there is a later one's, which nobody was told of yet. */
static void answer_when_a_later_operation_is_applied_then_no_wall(void **context)
{
    now = 240;
    apply(NODE, false, 1);
    reserve();
    assert_false(stopped(OTHER, workload_nexus(VICTIM, OTHER), VALUE));
}

static void answer_when_a_node_that_stood_still_applies_several_at_once_then_no_wall(void **context)
{
    now = 250;
    apply(NODE, true, 2);
    now = 300;
    answer(200);
    assert_false(stopped(OTHER, workload_nexus(VICTIM, OTHER), VALUE));
}

static void answer_when_nothing_changed_since_it_was_sent_then_no_wall(void **context)
{
    now = 150;
    apply(NODE, true, 1);
    now = 300;
    answer(200);
    assert_false(stopped(OTHER, workload_nexus(VICTIM, OTHER), VALUE));
}

/* The change that was applied meanwhile may be the other one's, which waits for its drain; one that is alone has its wall. */
static void answer_when_another_changes_reservations_then_no_wall_of_a_persistent_reserve(void **context)
{
    now = 250;
    apply(NODE, true, 1);
    now = 300;
    others = true;
    answer_to(MODEL_PR_OUT, PR_OUT_RESERVE, 200);
    assert_false(stopped(OTHER, workload_nexus(VICTIM, OTHER), VALUE));
    others = false;
    answer_to(MODEL_PR_OUT, PR_OUT_RESERVE, 200);
    assert_true(stopped(OTHER, workload_nexus(VICTIM, OTHER), VALUE + 1));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        TEST(write_when_it_comes_behind_the_answer_then_found),
        TEST(write_when_the_reservation_is_not_answered_then_let_through),
        TEST(write_when_it_is_of_the_holder_then_let_through),
        TEST(write_when_one_copy_had_it_before_then_the_other_may_get_it),
        TEST(write_when_the_copy_is_not_current_then_let_through),
        TEST(wall_when_a_node_lets_write_again_then_gone),
        TEST(answer_when_a_later_operation_is_applied_then_no_wall),
        TEST(answer_when_a_node_that_stood_still_applies_several_at_once_then_no_wall),
        TEST(answer_when_nothing_changed_since_it_was_sent_then_no_wall),
        TEST(answer_when_another_changes_reservations_then_no_wall_of_a_persistent_reserve),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
