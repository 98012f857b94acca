/* What is wished of a group while the daemon stops, and which copy is promoted (target/daemon/groups.c). The cluster and the replica
 * are stand-ins that note what they were asked. Not covered here: the plan (test_group_plan), first starts
 * (test_group_start); all of it together is the simulator's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "target/daemon/group.h"

struct daemon halund;

static struct config config;
static struct config_group group_config;
static struct shared_group shared_group;
static struct shared_state state = {.groups = &shared_group, .group_count = 1};
static struct group *group = &halund.groups[0];
static struct replica_status replica_state;
static uint32_t present; /* bits: nodes */
static unsigned submitted, started, promoted, demoted, given_up;

const struct shared_state *cluster_state(const struct cluster_driver *driver) { return &state; }
uint32_t cluster_present(const struct cluster_driver *driver) { return present; }
void cluster_look(struct cluster_driver *driver) {}
void cluster_ask_handover(struct cluster_driver *driver, unsigned index) {}
void cluster_submit(struct cluster_driver *driver, struct cluster_request *request) { submitted++; }
void decisions_open(struct group *g) {}
const char *nodes_name(unsigned id) { return "node"; }
void group_start_step(struct group *g) { started++; }
void group_current_step(struct group *g) { started++; }
void group_outdate_step(struct group *g) {}
bool group_disk_failed(const struct group *g) { return replica_state.disk == DISK_FAILED; }
void replica_get_status(const struct replica *replica, struct replica_status *status) { *status = replica_state; }
bool replica_hands_over(enum config_replication replication) { return false; }
void replica_connect(struct replica *replica, bool discard_my_data) {}
void replica_demote(struct replica *replica, group_done *done, void *context)
{
    demoted++;
    done(context, 0, "");
}
void replica_give_up(struct replica *replica) { given_up++; }
void replica_promote(struct replica *replica, bool force, group_done *done, void *context) { promoted++; }

struct answer {
    unsigned count;
    int error;
};

static void answered(void *context, int error, const char *why)
{
    struct answer *answer = context;

    answer->count++;
    answer->error = error;
}

static int set_up(void **unused)
{
    memset(group, 0, sizeof *group);
    memset(&shared_group, 0, sizeof shared_group);
    group_config = (struct config_group){.name = "g0", .nodes = {1, 2}, .node_count = 2};
    config = (struct config){.groups = &group_config, .group_count = 1};
    halund.config = &config;
    halund.self = 1;
    halund.stopping = false;
    halund.view.serving = true;
    halund.loop = qb_loop_create();
    submitted = started = promoted = demoted = given_up = 0;
    return 0;
}

static int tear_down(void **unused)
{
    qb_loop_destroy(halund.loop);
    return 0;
}

/* The replica is closed already: the group looks like one that has none, and would be said to be current here. */
static void wish_when_the_daemon_stops_then_refused(void **unused)
{
    struct answer init = {0}, current = {0}, promote = {0};

    halund.stopping = true;
    shared_group.current = 1 << 1;
    group_begin(group, GROUP_INITIALIZING, 1000, answered, &init);
    group_begin(group, GROUP_MAKING_CURRENT, 1000, answered, &current);
    group_promote(group, 1000, answered, &promote);
    assert_int_equal(init.count, 1);
    assert_int_equal(init.error, -ESHUTDOWN);
    assert_int_equal(current.error, -ESHUTDOWN);
    assert_int_equal(promote.error, -ESHUTDOWN);
    assert_int_equal(started, 0);
    assert_int_equal(submitted, 0);
}

static void stop_when_a_promotion_waits_then_that_ends_and_the_group_is_given_up(void **unused)
{
    struct answer promote = {0}, stop = {0};

    shared_group.owner = 2;
    shared_group.current = 1 << 1 | 1 << 2;
    group_promote(group, 1000, answered, &promote);
    assert_int_equal(promote.count, 0);
    halund.stopping = true;
    group_demote(group, false, 1000, answered, &stop);
    assert_int_equal(promote.count, 1);
    assert_int_equal(promote.error, -ESHUTDOWN);
    assert_int_equal(stop.count, 1);
    assert_int_equal(stop.error, 0);
}

/* It is looked at again when something changes, long after the stop took the replica away. */
static void stop_when_a_promotion_has_an_answer_to_come_then_it_ends_there(void **unused)
{
    struct answer promote = {0};

    shared_group.current = 1 << 1;
    group->primary = true;
    group_promote(group, 1000, answered, &promote);
    assert_int_equal(submitted, 1);
    halund.stopping = true;
    group->request.answer(&group->request, REASON_NOT_READY_TRANSITION, 0);
    groups_changed();
    assert_int_equal(promote.count, 1);
    assert_int_equal(promote.error, -ESHUTDOWN);
    assert_int_equal(submitted, 1);
}

/* As a Primary it could neither be marked nor be resynchronised. */
static void promotion_when_outdated_before_the_group_is_acquired_then_secondary_again(void **unused)
{
    struct answer promote = {0};

    group->replica = (struct replica *)&replica_state;
    group_config.replication = REPLICATION_BUILTIN;
    group->primary = true;
    shared_group.current = 1 << 1 | 1 << 2;
    group_promote(group, 1000, answered, &promote);
    assert_int_equal(submitted, 1);
    assert_int_equal(group->request.op.kind, SHARED_OP_GROUP_ACQUIRE);
    shared_group.current = 1 << 2;
    group->request.answer(&group->request, REASON_INSUFFICIENT_RESOURCES, 0);
    assert_int_equal(demoted, 1);
    assert_false(group->primary);
    assert_int_equal(submitted, 1);
}

/* The other copy is recorded as current, too, and not connected. */
static void promotion_when_the_copies_are_not_compared_then_only_one_that_lost_nothing_and_is_alone(void **unused)
{
    static const struct {
        enum replica_disk disk;
        bool complete, present;
        uint32_t current;
        unsigned promoted;
    } rows[] = {
        {DISK_CONSISTENT, true, false, 1 << 1 | 1 << 2, 1},
        {DISK_CONSISTENT, true, true, 1 << 1 | 1 << 2, 0},
        {DISK_CONSISTENT, false, true, 1 << 1 | 1 << 2, 0},
        {DISK_CONSISTENT, false, false, 1 << 1 | 1 << 2, 0}, /* its daemon is stopped: it has what this one may have lost */
        {DISK_CONSISTENT, false, false, 1 << 1, 1},          /* that one is older, it is agreed */
        {DISK_UP_TO_DATE, true, true, 1 << 1 | 1 << 2, 1},
        {DISK_UP_TO_DATE, false, true, 1 << 1 | 1 << 2, 0}, /* lost again before it was sent what it had missed */
        {DISK_DISKLESS, false, true, 1 << 1 | 1 << 2, 1},   /* its replica says why not, at once */
    };

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer promote = {0};

        tear_down(NULL);
        set_up(NULL);
        group_config.replication = REPLICATION_BUILTIN;
        group->replica = (struct replica *)&replica_state; /* never looked into here */
        replica_state = (struct replica_status){
            .disk = rows[i].disk, .connection = CONN_WF_CONNECTION, .complete = rows[i].complete};
        present = rows[i].present ? 1 << 2 : 0;
        shared_group.current = rows[i].current;
        group_promote(group, 1000, answered, &promote);
        assert_int_equal(promoted, rows[i].promoted);
        assert_int_equal(promote.count, 0);
    }
}

static void stop_loop(void *unused)
{
    qb_loop_stop(halund.loop);
}

static void run_for(unsigned ms)
{
    qb_loop_timer_add(halund.loop, QB_LOOP_LOW, ms * 1000000ull, NULL, stop_loop, NULL);
    qb_loop_run(halund.loop);
}

/* Commands that wait for the peer, or for an agreement that will not come, keep it from being carried out. */
static void release_when_it_takes_long_then_what_waits_beside_a_failed_disk_is_given_up(void **unused)
{
    struct answer demote = {0};

    group->replica = (struct replica *)&replica_state;
    group->primary = true;
    replica_state.disk = DISK_FAILED;
    shared_group.owner = 1;
    shared_group.current = 1 << 1 | 1 << 2;
    group_demote(group, false, 10000, answered, &demote);
    assert_int_equal(submitted, 1);
    run_for(2300);
    assert_int_equal(given_up, 0); /* not agreed to yet: others may still be admitted */
    shared_group.owner = 0;
    replica_state.disk = DISK_UP_TO_DATE;
    run_for(300);
    assert_int_equal(given_up, 0); /* the agreement will come */
    replica_state.disk = DISK_FAILED;
    run_for(500);
    assert_in_range(given_up, 1, 3);
    given_up = 0;
    group->request.answer(&group->request, REASON_GOOD, 0);
    assert_int_equal(demote.count, 1);
    run_for(300);
    assert_int_equal(given_up, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(wish_when_the_daemon_stops_then_refused),
        TEST(stop_when_a_promotion_waits_then_that_ends_and_the_group_is_given_up),
        TEST(promotion_when_outdated_before_the_group_is_acquired_then_secondary_again),
        TEST(promotion_when_the_copies_are_not_compared_then_only_one_that_lost_nothing_and_is_alone),
        TEST(stop_when_a_promotion_has_an_answer_to_come_then_it_ends_there),
        TEST(release_when_it_takes_long_then_what_waits_beside_a_failed_disk_is_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
