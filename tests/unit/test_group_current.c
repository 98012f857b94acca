/* An old copy that has to do (target/daemon/group_current.c), with the cluster and the replica as lists of what was asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "target/daemon/group.h"

struct daemon halund;

static struct config config;
static struct config_node nodes[] = {{.name = "node1", .id = 1}, {.name = "node2", .id = 2}};
static struct config_group group_config;
static struct shared_group shared[1];
static struct shared_state state = {.groups = shared, .group_count = 1};
static struct replica_status replica_state;
static struct group *group = &halund.groups[0];
static struct {
    unsigned asked, forced, finished, expired;
    int error, replica_error;
    char why[256];
    enum scsi_reason answer;
    bool agreed_first; /* when the replica was told, the cluster had agreed */
} seen;

typedef void done_function(void *context, int error, const char *why);

const struct shared_state *cluster_state(const struct cluster_driver *cluster)
{
    return &state;
}

void group_commit(struct group *g, enum shared_op_kind kind,
                  void (*answer)(struct cluster_request *, enum scsi_reason, uint8_t))
{
    seen.asked++;
    assert_ptr_equal(g, group);
    assert_int_equal(SHARED_OP_FORCE_CURRENT, kind);
    g->busy = true;
    if (seen.answer == REASON_GOOD)
        shared[0].current = 1u << 2;
    answer(&g->request, seen.answer, 0xff);
}

void group_begin(struct group *g, enum group_wish wish, unsigned timeout_ms, group_done *done, void *context)
{
    assert_int_equal(GROUP_MAKING_CURRENT, wish);
    g->wish = wish;
    group_current_step(g);
}

void group_finish(struct group *g, int error, const char *why)
{
    seen.finished++;
    seen.error = error;
    snprintf(seen.why, sizeof seen.why, "%s", why);
}

bool group_expired(struct group *g, const char *waits_for)
{
    seen.expired++;
    return false;
}

void replica_get_status(const struct replica *replica, struct replica_status *status)
{
    *status = replica_state;
}

const char *replica_disk_name(enum replica_disk disk)
{
    return disk == DISK_OUTDATED ? "Outdated" : disk == DISK_INCONSISTENT ? "Inconsistent" : "UpToDate";
}

void replica_force_current(struct replica *replica, done_function *done, void *context)
{
    seen.forced++;
    seen.agreed_first = shared[0].current == 1u << 2;
    done(context, seen.replica_error, "metadata cannot be written");
}

/* This is node2, whose copy is outdated; node1 has the current one, and is lost. */
static int set_up(void **unused)
{
    memset(&seen, 0, sizeof seen);
    memset(shared, 0, sizeof shared);
    memset(group, 0, sizeof *group);
    group_config = (struct config_group){
        .name = "g0", .nodes = {1, 2}, .node_count = 2, .replication = REPLICATION_BUILTIN};
    config = (struct config){.groups = &group_config, .group_count = 1, .nodes = nodes, .node_count = 2};
    replica_state = (struct replica_status){.disk = DISK_OUTDATED, .connection = CONN_WF_CONNECTION};
    shared[0].current = 1u << 1;
    halund.config = &config;
    halund.self = 2;
    halund.view.serving = true;
    halund.view.wire = 4;
    group->replica = (struct replica *)&replica_state; /* never looked into here */
    return 0;
}

static void make(bool force)
{
    group_make_current(group, force, 1000, NULL, NULL);
}

static void refused(int error, const char *part)
{
    make(true);
    assert_int_equal(1, seen.finished);
    assert_int_equal(error, seen.error);
    assert_non_null(strstr(seen.why, part));
    assert_int_equal(0, seen.asked + seen.forced);
}

static void old_copy_when_forced_then_agreed_on_and_then_marked(void **unused)
{
    make(true);
    assert_int_equal(1, seen.asked);
    assert_int_equal(1, seen.forced);
    assert_true(seen.agreed_first);
    assert_int_equal(1, seen.finished);
    assert_int_equal(0, seen.error);
    assert_false(group->busy);
}

static void old_copy_when_not_forced_then_told_what_is_lost(void **unused)
{
    make(false);
    assert_int_equal(-EPERM, seen.error);
    assert_non_null(strstr(seen.why, "Outdated"));
    assert_non_null(strstr(seen.why, "node1"));
    assert_int_equal(0, seen.asked + seen.forced);
}

static void half_copy_when_not_forced_then_told_that_it_is_one(void **unused)
{
    replica_state.disk = DISK_INCONSISTENT;
    shared[0].current = 0;
    make(false);
    assert_non_null(strstr(seen.why, "not finished"));
    assert_non_null(strstr(seen.why, "none is recorded as current"));
}

static void group_when_owned_then_refused(void **unused)
{
    shared[0].owner = 1;
    refused(-EBUSY, "node1 owns the group");
}

static void copy_when_its_disk_failed_then_refused(void **unused)
{
    replica_state.disk = DISK_FAILED;
    refused(-EPERM, "failed");
}

static void copy_when_a_good_one_is_connected_then_refused(void **unused)
{
    replica_state.connection = CONN_SYNC_TARGET;
    replica_state.disk = DISK_INCONSISTENT;
    replica_state.peer_disk = DISK_UP_TO_DATE;
    refused(-EEXIST, "connected");
}

static void copy_when_a_member_does_not_know_the_word_then_refused(void **unused)
{
    halund.view.wire = 3;
    refused(-EPERM, "older wire version");
}

static void copy_when_there_is_none_then_refused(void **unused)
{
    group->replica = NULL;
    refused(-EPERM, "no replicated copy");
}

static void copy_of_drbd_when_not_up_to_date_then_that_comes_first(void **unused)
{
    group_config.replication = REPLICATION_DRBD;
    refused(-EPERM, "drbdadm primary --force");
    replica_state.disk = DISK_UP_TO_DATE;
    make(true);
    assert_int_equal(1, seen.forced);
}

static void cluster_when_it_does_not_serve_or_agree_then_waited_for(void **unused)
{
    halund.view.serving = false;
    make(true);
    assert_int_equal(1, seen.expired);
    assert_int_equal(0, seen.asked);
    halund.view.serving = true;
    seen.answer = REASON_NOT_READY_TRANSITION;
    group_current_step(group);
    assert_int_equal(2, seen.expired);
    assert_int_equal(0, seen.forced + seen.finished);
}

/* A crash or a failed write behind the agreement: the record has this copy alone, the disk does not know it yet. */
static void copy_when_agreed_but_not_marked_then_the_same_command_goes_on(void **unused)
{
    seen.replica_error = -EIO;
    make(true);
    assert_int_equal(-EIO, seen.error);
    seen.replica_error = 0;
    make(true);
    assert_int_equal(2, seen.forced);
    assert_int_equal(0, seen.error);
}

static void copy_when_it_is_the_good_one_already_then_nothing_to_do(void **unused)
{
    shared[0].current = 1u << 2;
    replica_state.disk = DISK_UP_TO_DATE;
    make(true);
    assert_int_equal(0, seen.error);
    assert_int_equal(0, seen.asked + seen.forced);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(old_copy_when_forced_then_agreed_on_and_then_marked, set_up),
        cmocka_unit_test_setup(old_copy_when_not_forced_then_told_what_is_lost, set_up),
        cmocka_unit_test_setup(half_copy_when_not_forced_then_told_that_it_is_one, set_up),
        cmocka_unit_test_setup(group_when_owned_then_refused, set_up),
        cmocka_unit_test_setup(copy_when_its_disk_failed_then_refused, set_up),
        cmocka_unit_test_setup(copy_when_a_good_one_is_connected_then_refused, set_up),
        cmocka_unit_test_setup(copy_when_a_member_does_not_know_the_word_then_refused, set_up),
        cmocka_unit_test_setup(copy_when_there_is_none_then_refused, set_up),
        cmocka_unit_test_setup(copy_of_drbd_when_not_up_to_date_then_that_comes_first, set_up),
        cmocka_unit_test_setup(cluster_when_it_does_not_serve_or_agree_then_waited_for, set_up),
        cmocka_unit_test_setup(copy_when_agreed_but_not_marked_then_the_same_command_goes_on, set_up),
        cmocka_unit_test_setup(copy_when_it_is_the_good_one_already_then_nothing_to_do, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
