/* What is agreed of the copies of a group, and when it is asked for: a copy that was equal for a moment, recorded as
 * current behind an outdating, and lost again (the late answer to the first question is no answer to the second one); a
 * copy that stayed connected and is not recorded any more. Replica and cluster are stand-ins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "target/daemon/group.h"
#include "target/daemon/kept.h"
#include "target/daemon/reinstate.h"
#include "target/daemon/replica_control.h"

struct daemon halund;

static struct config config;
static struct config_group config_group = {.name = "g0", .nodes = {1, 2}, .node_count = 2,
                                           .replication = REPLICATION_BUILTIN};
static struct shared_group shared_group;
static struct shared_state shared = {.groups = &shared_group, .group_count = 1};
static struct cluster_request *submitted[8];
static struct replica_status replica_state;
static unsigned count, agreed, asked_equal;
static enum replica_standing told_standing;
static int kept_noted;
static void (*asked_done)(void *, int, const char *);
static void *asked_context;

const struct shared_state *cluster_state(const struct cluster_driver *driver) { return &shared; }
void cluster_submit(struct cluster_driver *driver, struct cluster_request *request) { submitted[count++] = request; }
void group_step(struct group *group) {}
void group_demote(struct group *group, bool yield, unsigned timeout_ms, group_done *done, void *context) {}
void kept_note(const char *state_dir, const char *group, enum kept kept) { kept_noted = (int)kept; }
void replica_connect(struct replica *replica, bool discard) {}
void replica_events_changed(void) {}
void replica_get_status(const struct replica *replica, struct replica_status *status) { *status = replica_state; }
void replica_confirm_equal(struct replica *replica, void (*done)(void *, int, const char *), void *context)
{
    asked_equal++;
    asked_done = done;
    asked_context = context;
}
void replica_peer_outdated(struct replica *replica, bool yes) { agreed += yes; }
void replica_reinstate(struct replica *replica, void (*done)(void *, int, const char *), void *context)
{
    done(context, 0, "");
}
void replica_self_outdated(struct replica *replica, bool yes) {}
void replica_set_standing(struct replica *replica, enum replica_standing standing) { told_standing = standing; }

static struct group *begun(void)
{
    struct group *group = &halund.groups[0];

    config = (struct config){.groups = &config_group, .group_count = 1};
    shared_group = (struct shared_group){.current = 1 << 1 | 1 << 2};
    halund = (struct daemon){.config = &config, .self = 1};
    group->replica = (struct replica *)&config; /* only handed on */
    count = agreed = asked_equal = 0;
    return group;
}

/* This node's copy is the current one, the other's is connected and equal, and its node a member. */
static struct group *lost_sight(void)
{
    struct group *group = begun();

    replica_state = (struct replica_status){.connection = CONN_CONNECTED, .disk = DISK_UP_TO_DATE,
                                   .peer_disk = DISK_UP_TO_DATE, .link = 7};
    shared_group.current = 1 << 1;
    shared_group.replicated = true;
    shared.members = 1 << 1 | 1 << 2;
    halund.view.serving = true;
    return group;
}

static void copy_when_it_stayed_connected_then_recorded_once_its_node_has_confirmed(void **state)
{
    struct group *group = lost_sight();

    groups_recorded();
    groups_recorded();
    groups_replica_callbacks.changed(NULL, group->replica);
    assert_int_equal(asked_equal, 1);
    assert_int_equal(count, 0); /* the replica says so, or does not */
    asked_done(asked_context, 0, "");
    groups_recorded();
    assert_int_equal(asked_equal, 2);
    groups_replica_callbacks.current(NULL, group->replica, 2);
    asked_done(asked_context, 0, "");
    groups_recorded();
    assert_int_equal(asked_equal, 2);
    assert_int_equal(count, 1);
    assert_int_equal(submitted[0]->op.kind, SHARED_OP_CURRENT);
    assert_int_equal(submitted[0]->op.node, 2);
}

static void copy_when_it_may_not_be_equal_then_nobody_is_asked(void **state)
{
    struct group *group;

    for (unsigned i = 0; i < 10; i++) {
        group = lost_sight();
        switch (i) {
        case 0: shared_group.current = 1 << 2; break;
        case 1: shared_group.current = 1 << 1 | 1 << 2; break;
        case 2: shared_group.replicated = false; break;
        case 3: shared.members = 1 << 1; break;
        case 4: halund.view.serving = false; break;
        case 5: replica_state.connection = CONN_SYNC_SOURCE; break;
        case 6: replica_state.peer_disk = DISK_OUTDATED; break;
        case 7: group->outdate_wanted = true; break;
        case 8: group->outdate_busy = true; break;
        case 9: replica_state.disk = DISK_FAILED; break; /* of no owner: nothing is written elsewhere */
        }
        groups_recorded();
        assert_int_equal(asked_equal, 0);
    }
}

/* An operator has it outdated, or resynchronised in full: it leaves this connection first. */
static void copy_when_given_up_by_agreement_then_not_recorded_before_the_next_connection(void **state)
{
    struct group *group = lost_sight();

    group_given_up(group);
    groups_recorded();
    assert_int_equal(asked_equal, 0);
    replica_state.connection = CONN_UNCONNECTED;
    groups_replica_callbacks.changed(NULL, group->replica);
    assert_int_equal(asked_equal, 0);
    replica_state.connection = CONN_CONNECTED;
    replica_state.link++;
    groups_replica_callbacks.changed(NULL, group->replica);
    assert_int_equal(asked_equal, 1);
}

/* The owner's disk failed while the peer's copy, equal and connected, was not recorded: until it is, this node's cannot be
 * outdated, and every write waits for that. */
static void copy_when_the_owners_disk_failed_then_recorded_although_its_own_is_to_be_outdated(void **state)
{
    struct group *group = lost_sight();

    group->primary = true;
    replica_state.disk = DISK_FAILED;
    groups_replica_callbacks.outdate_self(NULL, group->replica);
    assert_int_equal(count, 1);
    assert_int_equal(submitted[0]->op.node, 1);
    groups_recorded();
    assert_int_equal(asked_equal, 1);
    groups_replica_callbacks.current(NULL, group->replica, 2);
    assert_int_equal(count, 2);
    assert_int_equal(submitted[1]->op.kind, SHARED_OP_CURRENT);
    assert_int_equal(submitted[1]->op.node, 2);
    assert_true(group->outdate_wanted);
}

/* Nobody is there who would carry that out; then it is a member, and has been equal since. */
static void copy_when_given_up_and_no_member_then_recorded_on_the_same_connection(void **state)
{
    struct group *group = lost_sight();

    shared.members = 1 << 1;
    group_given_up(group);
    shared.members |= 1 << 2;
    groups_recorded();
    assert_int_equal(asked_equal, 1);
}

/* Its node may lose its power before it is a member, and come back without what it had. */
static void copy_when_equal_before_its_node_is_a_member_then_recorded_afterwards(void **state)
{
    struct group *group = lost_sight();

    shared.members = 1 << 1;
    groups_replica_callbacks.current(NULL, group->replica, 2);
    assert_int_equal(count + asked_equal, 0);
    shared.members |= 1 << 2;
    groups_recorded();
    assert_int_equal(asked_equal, 1);
    groups_replica_callbacks.current(NULL, group->replica, 2);
    assert_int_equal(count, 1);
}

static void outdating_when_the_copy_was_current_in_between_then_asked_again(void **state)
{
    const struct replica_callbacks *say = &groups_replica_callbacks;
    struct group *group = begun();
    struct replica *replica = group->replica;

    group->primary = true;
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

/* What was under way when it was marked is recorded behind that. */
static void invalidated_copy_when_it_is_recorded_as_current_then_taken_back_until_it_is_filled(void **state)
{
    struct group *group = begun();

    halund.loop = qb_loop_create();
    shared_group.owner = 2;
    shared_group.current = 1 << 2;
    replica_state.disk = DISK_INCONSISTENT;
    group_invalidated(group, false);
    groups_recorded();
    assert_int_equal(count, 0);
    shared_group.current = 1 << 1 | 1 << 2;
    groups_recorded();
    groups_recorded();
    assert_int_equal(count, 1);
    assert_int_equal(submitted[0]->op.kind, SHARED_OP_OUTDATE);
    assert_int_equal(submitted[0]->op.node, 1);
    shared_group.current = 1 << 2;
    submitted[0]->answer(submitted[0], REASON_GOOD, 0);
    groups_recorded();
    assert_int_equal(count, 1);
    replica_state.disk = DISK_UP_TO_DATE; /* resynchronised */
    shared_group.current = 1 << 1 | 1 << 2;
    groups_recorded();
    assert_int_equal(count, 1);
    replica_state.disk = DISK_INCONSISTENT; /* for another reason */
    groups_recorded();
    assert_int_equal(count, 1);
    qb_loop_destroy(halund.loop);
    replica_state.disk = DISK_UP_TO_DATE;
}

static void copy_given_up_when_the_peers_is_recorded_as_current_then_taken_back_until_it_is_filled(void **state)
{
    struct group *group = begun();

    halund.loop = qb_loop_create();
    shared_group.owner = 1;
    shared_group.current = 1 << 1;
    replica_state.connection = CONN_UNCONNECTED;
    group_invalidated(group, true);
    assert_int_equal(count, 0);
    shared_group.current = 1 << 1 | 1 << 2;
    groups_recorded();
    groups_recorded();
    assert_int_equal(count, 1);
    assert_int_equal(submitted[0]->op.kind, SHARED_OP_OUTDATE);
    assert_int_equal(submitted[0]->op.node, 2);
    shared_group.current = 1 << 1;
    submitted[0]->answer(submitted[0], REASON_GOOD, 0);
    replica_state.connection = CONN_CONNECTED;
    replica_state.peer_disk = DISK_UP_TO_DATE; /* resynchronised */
    shared_group.current = 1 << 1 | 1 << 2;
    groups_recorded();
    assert_int_equal(count, 1);
    qb_loop_destroy(halund.loop);
}

static void invalidated_copy_when_it_alone_is_recorded_or_marked_late_then_as_it_is(void **state)
{
    struct group *group = begun();

    replica_state.disk = DISK_INCONSISTENT;
    shared_group.current = 1 << 1; /* make-current: there is no other one */
    group_invalidated(group, false);
    assert_int_equal(count, 0);
    shared_group.current = 1 << 1 | 1 << 2;
    group_invalidated(group, false); /* recorded between the mark and its answer */
    assert_int_equal(count, 1);
    replica_state.disk = DISK_UP_TO_DATE;
}

/* Its disk failed and was attached anew as it was about to be recorded as current. */
static void attached_copy_when_it_is_recorded_as_current_then_taken_back_until_it_is_good(void **state)
{
    struct group *group = begun();

    halund.loop = qb_loop_create();
    shared_group.owner = 2;
    shared_group.current = 1 << 2;
    replica_state.disk = DISK_DISKLESS;
    group_replaced(group);
    assert_int_equal(count, 0);
    shared_group.current = 1 << 1 | 1 << 2;
    groups_recorded();
    groups_recorded();
    assert_int_equal(count, 1);
    assert_int_equal(submitted[0]->op.kind, SHARED_OP_OUTDATE);
    assert_int_equal(submitted[0]->op.node, 1);
    shared_group.current = 1 << 2;
    submitted[0]->answer(submitted[0], REASON_GOOD, 0);
    replica_state.disk = DISK_OUTDATED; /* with the metadata that are on it */
    group_replaced(group);
    assert_int_equal(count, 1);
    shared_group.current = 1 << 1 | 1 << 2;
    groups_recorded();
    assert_int_equal(count, 2);
    shared_group.current = 1 << 2;
    submitted[1]->answer(submitted[1], REASON_GOOD, 0);
    replica_state.disk = DISK_UP_TO_DATE; /* resynchronised */
    shared_group.current = 1 << 1 | 1 << 2;
    groups_recorded();
    assert_int_equal(count, 2);
    qb_loop_destroy(halund.loop);
}

static void replica_when_another_takes_its_place_then_told_what_is_recorded_and_nothing_is_left_of_the_one_before(void **state)
{
    struct group *group = begun();

    shared_group.current = 1 << 2;
    halund.view.serving = true;
    groups_recorded();
    assert_int_equal(told_standing, REPLICA_WORSE);
    group->kept = group->invalidated = group->other_invalidated = group->outdated_told = true;
    group->given_up = 7;
    group->outdated_epoch = 5;
    told_standing = REPLICA_UNSETTLED;
    kept_noted = -1;
    replica_state.disk = DISK_OUTDATED;
    group_replaced(group);
    assert_int_equal(told_standing, REPLICA_WORSE);
    assert_int_equal(kept_noted, KEPT_NOT);
    assert_false(group->kept || group->invalidated || group->other_invalidated || group->outdated_told);
    assert_int_equal(0, group->given_up);
    assert_int_equal(0, group->outdated_epoch);
    replica_state.disk = DISK_UP_TO_DATE;
}

/* By the other one, both being recorded as current. It is no owner's wish: refused where this node has become that. */
static void copy_when_it_is_to_be_filled_then_outdated_unless_its_node_is_the_owner(void **state)
{
    struct group *group = begun();

    halund.loop = qb_loop_create();
    groups_replica_callbacks.to_be_filled(NULL, group->replica);
    groups_replica_callbacks.to_be_filled(NULL, group->replica); /* connected once more */
    assert_int_equal(count, 1);
    assert_int_equal(submitted[0]->op.kind, SHARED_OP_OUTDATE);
    assert_int_equal(submitted[0]->op.node, 1);
    assert_int_equal(submitted[0]->op.action, 0);
    submitted[0]->answer(submitted[0], REASON_INVALID_FIELD_IN_PARAMETERS, 0);
    assert_false(group->outdate_wanted);
    group->outdate_busy = false;
    shared_group.current = 1 << 2;
    groups_replica_callbacks.to_be_filled(NULL, group->replica);
    assert_int_equal(count, 1);
    qb_loop_destroy(halund.loop);
}

/* Promoted before the answer, or before it could be asked for: its copy is the good one, and what it acknowledges must not be
 * on one that is outdated by its own wish. */
static void copy_when_it_was_to_be_filled_and_is_promoted_then_not_outdated(void **state)
{
    struct group *group = begun();

    halund.loop = qb_loop_create();
    groups_replica_callbacks.to_be_filled(NULL, group->replica);
    group->primary = true;
    submitted[0]->answer(submitted[0], REASON_NOT_READY_TRANSITION, 0);
    group->outdate_busy = false; /* as the timer would do */
    group_outdate_step(group);
    assert_int_equal(count, 1);
    groups_replica_callbacks.to_be_filled(NULL, group->replica); /* told on the way */
    assert_int_equal(count, 1);
    group->primary = false;
    group->outdate_busy = true;
    groups_replica_callbacks.to_be_filled(NULL, group->replica); /* waits for the one before */
    group->primary = true;
    group->outdate_busy = false;
    group_outdate_step(group);
    assert_int_equal(count, 1);
    assert_false(group->outdate_wanted);
    groups_replica_callbacks.outdate_self(NULL, group->replica); /* the disk fails: its own wish */
    assert_int_equal(count, 2);
    assert_int_equal(submitted[1]->op.action, 1);
    qb_loop_destroy(halund.loop);
}

/* The other copy was outdated at place 5 of the group; `cleared`: it was current until then. */
static struct group *outdated_at_5(bool cleared)
{
    struct shared_effect effect = {.kind = SHARED_EFFECT_OUTDATE, .node = 2, .cleared = cleared};
    struct group *group = begun();

    group->primary = true;
    replica_state.disk = DISK_UP_TO_DATE;
    groups_replica_callbacks.outdate_peer(NULL, group->replica, 2);
    shared_group.current = 1 << 1;
    shared_group.epoch = 5;
    reinstate_follow(group, &shared_group, &effect);
    replica_state.disk = DISK_FAILED;
    return group;
}

static void reinstated_at(unsigned nth, uint32_t epoch)
{
    assert_int_equal(count, nth + 1);
    assert_int_equal(submitted[nth]->op.kind, SHARED_OP_REINSTATE);
    assert_int_equal(submitted[nth]->op.node, 2);
    assert_int_equal(submitted[nth]->op.epoch, epoch);
}

static void outdating_when_it_was_in_vain_then_taken_back_once(void **state)
{
    struct group *group = outdated_at_5(true);

    submitted[0]->answer(submitted[0], REASON_GOOD, 0);
    assert_int_equal(agreed, 1); /* the replica says what it makes of it */
    assert_int_equal(count, 1);
    groups_replica_callbacks.outdated_in_vain(NULL, group->replica);
    groups_replica_callbacks.outdated_in_vain(NULL, group->replica);
    reinstated_at(1, 5);
    submitted[1]->answer(submitted[1], REASON_GOOD, 0);
    assert_null(group->reinstate.answer);
    replica_state.disk = DISK_UP_TO_DATE;
}

/* Pacemaker demotes an owner whose disk failed. */
static void outdating_when_the_group_was_released_since_then_taken_back_behind_that(void **state)
{
    struct shared_effect effect = {.kind = SHARED_EFFECT_GROUP, .node = 1};
    struct group *group = outdated_at_5(true);

    shared_group.epoch = 6;
    reinstate_follow(group, &shared_group, &effect);
    groups_replica_callbacks.outdated_in_vain(NULL, group->replica);
    reinstated_at(1, 6);
    group->reinstate.answer = NULL;
    shared_group.epoch = 8; /* something else came in between */
    reinstate_follow(group, &shared_group, &effect);
    assert_int_equal(group->outdated_epoch, 6);
    replica_state.disk = DISK_UP_TO_DATE;
}

/* What the other copy lacks was acknowledged before. */
static void outdating_when_it_was_not_current_before_then_never_taken_back(void **state)
{
    struct group *group = outdated_at_5(true);
    struct shared_effect again = {.kind = SHARED_EFFECT_OUTDATE, .node = 2};

    reinstate_follow(group, &shared_group, &again);
    groups_replica_callbacks.outdated_in_vain(NULL, group->replica);
    assert_int_equal(count, 1);
    replica_state.disk = DISK_UP_TO_DATE;
}

/* Applied, and not acknowledged by all in time: it is not asked for any more, but is recorded. Once it was told the
 * replica may have gone on alone. */
static void outdating_when_it_is_answered_too_late_then_taken_back_unless_it_was_told(void **state)
{
    for (int told = 0; told < 2; told++) {
        struct group *group = outdated_at_5(true);

        halund.loop = qb_loop_create();
        group->outdated_told = told;
        submitted[0]->answer(submitted[0], REASON_NOT_READY_TRANSITION, 0);
        qb_loop_timer_add(halund.loop, QB_LOOP_LOW, 2 * GROUP_RETRY_MS * 1000000ull, halund.loop,
                          (qb_loop_timer_dispatch_fn)qb_loop_stop, NULL);
        qb_loop_run(halund.loop);
        if (told)
            assert_int_equal(count, 1);
        else
            reinstated_at(1, 5);
        qb_loop_destroy(halund.loop);
    }
    replica_state.disk = DISK_UP_TO_DATE;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outdating_when_the_copy_was_current_in_between_then_asked_again),
        cmocka_unit_test(outdating_when_the_own_disk_failed_meanwhile_then_not_asked_any_more),
        cmocka_unit_test(invalidated_copy_when_it_is_recorded_as_current_then_taken_back_until_it_is_filled),
        cmocka_unit_test(copy_given_up_when_the_peers_is_recorded_as_current_then_taken_back_until_it_is_filled),
        cmocka_unit_test(invalidated_copy_when_it_alone_is_recorded_or_marked_late_then_as_it_is),
        cmocka_unit_test(attached_copy_when_it_is_recorded_as_current_then_taken_back_until_it_is_good),
        cmocka_unit_test(
            replica_when_another_takes_its_place_then_told_what_is_recorded_and_nothing_is_left_of_the_one_before),
        cmocka_unit_test(copy_when_it_is_to_be_filled_then_outdated_unless_its_node_is_the_owner),
        cmocka_unit_test(copy_when_it_was_to_be_filled_and_is_promoted_then_not_outdated),
        cmocka_unit_test(outdating_when_it_was_in_vain_then_taken_back_once),
        cmocka_unit_test(outdating_when_the_group_was_released_since_then_taken_back_behind_that),
        cmocka_unit_test(outdating_when_it_was_not_current_before_then_never_taken_back),
        cmocka_unit_test(outdating_when_it_is_answered_too_late_then_taken_back_unless_it_was_told),
        cmocka_unit_test(copy_when_it_stayed_connected_then_recorded_once_its_node_has_confirmed),
        cmocka_unit_test(copy_when_it_may_not_be_equal_then_nobody_is_asked),
        cmocka_unit_test(copy_when_the_owners_disk_failed_then_recorded_although_its_own_is_to_be_outdated),
        cmocka_unit_test(copy_when_given_up_by_agreement_then_not_recorded_before_the_next_connection),
        cmocka_unit_test(copy_when_given_up_and_no_member_then_recorded_on_the_same_connection),
        cmocka_unit_test(copy_when_equal_before_its_node_is_a_member_then_recorded_afterwards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
