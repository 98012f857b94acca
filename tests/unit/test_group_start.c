/* First starts of groups (target/daemon/group_start.c), with the cluster and the replica as lists of what was asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "target/daemon/group.h"

struct daemon halund;

static struct config config;
static struct config_group group_config;
static struct shared_group shared[1];
static struct shared_state state = {.groups = shared, .group_count = 1};
static struct replica_status replica_state;
static struct group *group = &halund.groups[0];

static struct {
    unsigned promoted, demoted, new_current, forced, finished;
    bool force;
    int error;
    uint32_t committed; /* bits: nodes recorded as current */
} seen;

typedef void done_function(void *context, int error, const char *why);

const struct shared_state *cluster_state(const struct cluster_driver *cluster)
{
    return &state;
}

void group_begin(struct group *g, enum group_wish wish, unsigned timeout_ms, group_done *done, void *context)
{
    g->wish = wish;
    group_start_step(g);
}

void group_finish(struct group *g, int error, const char *why)
{
    seen.finished++;
    seen.error = error;
}

bool group_expired(struct group *g, const char *waits_for)
{
    return false;
}

void group_commit_current(struct group *g, unsigned node, unsigned slot)
{
    seen.committed |= 1u << node;
}

void replica_get_status(const struct replica *replica, struct replica_status *status)
{
    *status = replica_state;
}

void replica_promote(struct replica *replica, bool force, done_function *done, void *context)
{
    seen.promoted++;
    seen.force = force;
    done(context, 0, "");
}

void replica_demote(struct replica *replica, done_function *done, void *context)
{
    seen.demoted++;
    done(context, 0, "");
}

void replica_new_current(struct replica *replica, done_function *done, void *context)
{
    seen.new_current++;
    done(context, 0, "");
}

void replica_force_current(struct replica *replica, done_function *done, void *context)
{
    seen.forced++;
    done(context, 0, "");
}

static int set_up(void **unused)
{
    memset(&seen, 0, sizeof seen);
    memset(shared, 0, sizeof shared);
    memset(group, 0, sizeof *group);
    group_config = (struct config_group){.name = "g0", .nodes = {1, 2}, .node_count = 2};
    config = (struct config){.groups = &group_config, .group_count = 1};
    replica_state = (struct replica_status){.disk = DISK_INCONSISTENT, .connection = CONN_CONNECTED};
    halund.config = &config;
    halund.self = 1;
    halund.view.serving = true;
    group->replica = (struct replica *)&replica_state; /* never looked into here */
    return 0;
}

/* The peer's copy is empty until it is resynced: recorded as current, it would be the only one when this node dies. */
static void init_when_the_other_is_to_be_filled_then_only_this_copy_is_current(void **unused)
{
    group_init(group, false, false, 1000, NULL, NULL);
    assert_int_equal(1, seen.promoted);
    assert_true(seen.force);
    assert_int_equal(1, seen.demoted);
    assert_int_equal(1u << 1, seen.committed);
    assert_false(group->busy);
}

static void init_when_both_are_equal_then_both_are_current(void **unused)
{
    group_init(group, true, false, 1000, NULL, NULL);
    assert_int_equal(1, seen.new_current);
    assert_int_equal(0, seen.promoted);
    assert_int_equal(1u << 1 | 1u << 2, seen.committed);
}

static void init_when_the_copy_is_outdated_then_it_has_to_be_forced(void **unused)
{
    replica_state.disk = DISK_OUTDATED;
    group_init(group, false, false, 1000, NULL, NULL);
    assert_int_equal(1, seen.finished);
    assert_int_equal(-EPERM, seen.error);
    assert_int_equal(0, seen.promoted);
    group_init(group, false, true, 1000, NULL, NULL);
    assert_int_equal(1, seen.promoted);
}

/* The built-in engine promotes no copy that it knows as outdated: it becomes the good one by order, with a generation of
 * its own. */
static void init_when_an_outdated_copy_is_forced_then_it_begins_a_generation(void **unused)
{
    group_config.replication = REPLICATION_BUILTIN;
    replica_state.disk = DISK_OUTDATED;
    group_init(group, false, true, 1000, NULL, NULL);
    assert_int_equal(1, seen.forced);
    assert_int_equal(0, seen.promoted);
    assert_int_equal(1u << 1, seen.committed);
    assert_false(group->busy);
}

static void init_when_in_use_then_refused(void **unused)
{
    state.groups[0].current = 1u << 2;
    group_init(group, false, false, 1000, NULL, NULL);
    assert_int_equal(-EEXIST, seen.error);
    assert_int_equal(0, seen.promoted + seen.committed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(init_when_the_other_is_to_be_filled_then_only_this_copy_is_current, set_up),
        cmocka_unit_test_setup(init_when_both_are_equal_then_both_are_current, set_up),
        cmocka_unit_test_setup(init_when_the_copy_is_outdated_then_it_has_to_be_forced, set_up),
        cmocka_unit_test_setup(init_when_an_outdated_copy_is_forced_then_it_begins_a_generation, set_up),
        cmocka_unit_test_setup(init_when_in_use_then_refused, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
