/* A copy that was equal for a moment, recorded as current behind an outdating, and lost again: the late answer to the
 * first question is no answer to the second one. Replica and cluster are stand-ins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "target/daemon/group.h"
#include "target/daemon/kept.h"
#include "target/daemon/replica_control.h"

struct daemon halund;

static struct config config;
static struct config_group config_group = {.name = "g0", .nodes = {1, 2}, .node_count = 2};
static struct shared_group shared_group;
static struct shared_state shared = {.groups = &shared_group, .group_count = 1};
static struct cluster_request *submitted[8];
static struct replica_status replica_state;
static unsigned count, agreed;

const struct shared_state *cluster_state(const struct cluster_driver *driver) { return &shared; }
void cluster_submit(struct cluster_driver *driver, struct cluster_request *request) { submitted[count++] = request; }
void group_step(struct group *group) {}
void group_demote(struct group *group, bool yield, unsigned timeout_ms, group_done *done, void *context) {}
void kept_note(const char *state_dir, const char *group, enum kept kept) {}
void replica_connect(struct replica *replica, bool discard) {}
void replica_events_changed(void) {}
void replica_get_status(const struct replica *replica, struct replica_status *status) { *status = replica_state; }
void replica_peer_outdated(struct replica *replica, bool yes) { agreed += yes; }
void replica_self_outdated(struct replica *replica, bool yes) {}
void replica_set_standing(struct replica *replica, enum replica_standing standing) {}

static void outdating_when_the_copy_was_current_in_between_then_asked_again(void **state)
{
    struct replica *replica = (struct replica *)&config; /* only handed on */
    const struct replica_callbacks *say = &groups_replica_callbacks;
    struct group *group = &halund.groups[0];

    config = (struct config){.groups = &config_group, .group_count = 1};
    halund.config = &config;
    halund.self = 1;
    group->replica = replica;
    group->primary = true;
    shared_group.current = 1 << 1 | 1 << 2;
    say->outdate_peer(NULL, replica, 2);
    assert_int_equal(count, 1);
    shared_group.current = 1 << 1; /* applied, and not answered yet */
    say->current(NULL, replica, 2);
    assert_int_equal(count, 2);
    shared_group.current = 1 << 1 | 1 << 2;
    submitted[1]->answer(submitted[1], REASON_GOOD, 0);
    say->outdate_peer(NULL, replica, 2); /* lost again */
    submitted[0]->answer(submitted[0], REASON_GOOD, 0);
    assert_int_equal(agreed, 0);
    assert_int_equal(count, 3);
    shared_group.current = 1 << 1;
    submitted[2]->answer(submitted[2], REASON_GOOD, 0);
    assert_int_equal(agreed, 1);
    assert_int_equal(count, 3);
}

/* It would be the only one that is recorded as current, and nobody could have the group. */
static void outdating_when_the_own_disk_failed_meanwhile_then_not_asked_any_more(void **state)
{
    struct replica *replica = (struct replica *)&config; /* only handed on */
    const struct replica_callbacks *say = &groups_replica_callbacks;
    struct group *group = &halund.groups[0];

    memset(group, 0, sizeof *group);
    count = agreed = 0;
    config = (struct config){.groups = &config_group, .group_count = 1};
    halund.config = &config;
    halund.self = 1;
    halund.loop = qb_loop_create();
    group->replica = replica;
    group->primary = true;
    shared_group.current = 1 << 1 | 1 << 2;
    say->outdate_peer(NULL, replica, 2);
    assert_int_equal(count, 1);
    replica_state.disk = DISK_FAILED;
    submitted[0]->answer(submitted[0], REASON_NOT_READY_TRANSITION, 0);
    group->outdate_busy = false; /* as the timer would do */
    group_outdate_step(group);
    assert_int_equal(count, 1);
    assert_false(group->outdate_wanted);
    say->outdate_self(NULL, replica); /* that one is given up */
    assert_int_equal(count, 2);
    assert_int_equal(submitted[1]->op.node, 1);
    qb_loop_destroy(halund.loop);
    replica_state.disk = DISK_UP_TO_DATE;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outdating_when_the_copy_was_current_in_between_then_asked_again),
        cmocka_unit_test(outdating_when_the_own_disk_failed_meanwhile_then_not_asked_any_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
