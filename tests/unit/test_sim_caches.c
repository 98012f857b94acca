/* When the simulator says that acknowledged writes may be lost which were not synchronized: two nodes with a copy each of
 * one group, one unit. The world is what the test says it is. Not covered: several groups and units. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/checkers.h"
#include "tests/sim/workload.h"

enum { BOTH = 1 << 1 | 1 << 2, NODES = 2 };

static struct shared_group group;
static struct shared_state state;
static struct replica_status replicas[NODES + 1];
static unsigned losses;

/* ---- the world ---- */

const struct sim_config *sim_config(void)
{
    static const struct sim_config config = {.nodes = NODES, .groups = 1, .lus = 1};

    return &config;
}

uint32_t sim_group_nodes(unsigned g)
{
    return BOTH;
}

const struct shared_state *sim_shared(unsigned node)
{
    return &state;
}

bool sim_view(unsigned node, struct cluster_view *view)
{
    *view = (struct cluster_view){.joined = true, .epoch = 1};
    return true;
}

bool sim_replica(unsigned node, unsigned g, struct replica_status *status)
{
    *status = replicas[node];
    return true;
}

void sim_trace(unsigned node, const char *format, ...)
{
}

void sim_count(const char *name, uint64_t n)
{
}

void record_cache_loss(unsigned lu)
{
    losses++;
}

/* ---- what happens ---- */

static void look(void)
{
    for (unsigned node = 1; node <= NODES; node++)
        sim_caches.event(node);
}

static void agree(uint32_t owner, uint32_t current)
{
    group.owner = owner;
    group.current = current;
    state.version++;
    look();
}

static void disks(enum replica_disk first, enum replica_disk second, enum replica_connection connection)
{
    replicas[1] = (struct replica_status){.disk = first, .peer_disk = second, .connection = connection};
    replicas[2] = (struct replica_status){.disk = second, .peer_disk = first, .connection = connection};
    look();
}

static int setup(void **context)
{
    losses = 0;
    state = (struct shared_state){.groups = &group, .group_count = 1, .version = 1};
    sim_caches.begin();
    disks(DISK_UP_TO_DATE, DISK_UP_TO_DATE, CONN_CONNECTED);
    agree(1, BOTH);
    return 0;
}

/* ---- cases ---- */

static void power_when_one_of_two_loses_it_then_nothing_is_lost(void **context)
{
    sim_caches.power_cut(1);
    assert_int_equal(losses, 0);
    sim_caches.power_cut(2);
    assert_int_equal(losses, 1);
}

static void power_when_the_only_current_copy_loses_it_then_lost(void **context)
{
    agree(1, 1 << 1);
    sim_caches.power_cut(2);
    assert_int_equal(losses, 0);
    sim_caches.power_cut(1);
    assert_int_equal(losses, 1);
}

static void power_when_both_are_equal_again_then_either_may_lose_it(void **context)
{
    sim_caches.power_cut(1);
    disks(DISK_UP_TO_DATE, DISK_UP_TO_DATE, CONN_CONNECTED);
    sim_caches.power_cut(2);
    assert_int_equal(losses, 0);
}

static void power_when_it_was_lost_and_nothing_was_compared_then_the_copy_does_not_count(void **context)
{
    sim_caches.power_cut(1);
    disks(DISK_CONSISTENT, DISK_UNKNOWN, CONN_WF_CONNECTION);
    sim_caches.power_cut(2);
    assert_int_equal(losses, 1);
}

static void disk_when_it_failed_then_its_copy_does_not_count(void **context)
{
    disks(DISK_UP_TO_DATE, DISK_FAILED, CONN_CONNECTED);
    sim_caches.power_cut(1);
    assert_int_equal(losses, 1);
}

/* Its daemon ended, and was started again while its disk failed. */
static void disk_when_it_failed_at_a_start_then_its_copy_does_not_count(void **context)
{
    sim_caches.power_cut(1);
    sim_caches.ended(2);
    disks(DISK_UP_TO_DATE, DISK_DISKLESS, CONN_STANDALONE);
    assert_int_equal(losses, 1);
}

/* Its daemon was started anew: the disk is used, but what it had in its cache may be what the failure was about. */
static void disk_when_it_is_used_again_then_its_copy_counts_once_they_are_equal(void **context)
{
    disks(DISK_UP_TO_DATE, DISK_FAILED, CONN_CONNECTED);
    disks(DISK_UP_TO_DATE, DISK_CONSISTENT, CONN_WF_CONNECTION);
    sim_caches.power_cut(1);
    assert_int_equal(losses, 1);
    setup(context);
    disks(DISK_UP_TO_DATE, DISK_FAILED, CONN_CONNECTED);
    disks(DISK_UP_TO_DATE, DISK_UP_TO_DATE, CONN_CONNECTED);
    sim_caches.power_cut(1);
    assert_int_equal(losses, 0);
}

static void disk_when_the_last_one_failed_then_nothing_has_all(void **context)
{
    sim_caches.power_cut(2);
    disks(DISK_FAILED, DISK_UNKNOWN, CONN_WF_CONNECTION);
    assert_int_equal(losses, 1);
}

static void owner_when_nobody_was_left_then_what_it_has_is_all(void **context)
{
    sim_caches.power_cut(1);
    sim_caches.power_cut(2);
    disks(DISK_UP_TO_DATE, DISK_OUTDATED, CONN_WF_CONNECTION);
    agree(1, 1 << 1);
    sim_caches.power_cut(2);
    assert_int_equal(losses, 1);
    sim_caches.power_cut(1);
    assert_int_equal(losses, 2);
}

/* Its other units are written to on that node all the same, and acknowledged. */
static void power_when_the_last_one_went_on_with_a_failed_disk_then_lost_again(void **context)
{
    agree(1, 1 << 1);
    disks(DISK_FAILED, DISK_UNKNOWN, CONN_WF_CONNECTION);
    look();
    assert_int_equal(losses, 1);
    sim_caches.power_cut(1);
    assert_int_equal(losses, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        TEST(power_when_one_of_two_loses_it_then_nothing_is_lost),
        TEST(power_when_the_only_current_copy_loses_it_then_lost),
        TEST(power_when_both_are_equal_again_then_either_may_lose_it),
        TEST(power_when_it_was_lost_and_nothing_was_compared_then_the_copy_does_not_count),
        TEST(disk_when_it_failed_then_its_copy_does_not_count),
        TEST(disk_when_it_failed_at_a_start_then_its_copy_does_not_count),
        TEST(disk_when_it_is_used_again_then_its_copy_counts_once_they_are_equal),
        TEST(disk_when_the_last_one_failed_then_nothing_has_all),
        TEST(power_when_the_last_one_went_on_with_a_failed_disk_then_lost_again),
        TEST(owner_when_nobody_was_left_then_what_it_has_is_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
