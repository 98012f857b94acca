/* The order to attach a disk (target/daemon/attach.c): its steps, what is in the way of it, and a daemon that stops meanwhile.
 * Cluster, lanes, units and replicas are stand-ins that write down what they were asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "target/base/threads.h"
#include "target/daemon/attach.h"
#include "target/daemon/group.h"
#include "target/daemon/replica_control.h"

typedef void replica_done_function(void *context, int error, const char *why);

struct daemon halund;

static struct config config;
static struct config_group group_config;
static struct shared_group shared_group;
static struct shared_state shared = {.groups = &shared_group, .group_count = 1};
static struct group *const group = &halund.groups[0];
static struct cluster_request *submitted;
/* Of each only its address counts: the one that failed, the stand-in, the one with the disk. */
static char failed_one, stand_in_one, attached_one;
static struct replica *const failed = (struct replica *)&failed_one, *const without = (struct replica *)&stand_in_one,
                            *const attached = (struct replica *)&attached_one;
static struct {
    char steps[200]; /* in their order */
    enum replica_disk disk;
    void (*drained)(void *context);
    void *drain_context;
    replica_done_function *closed;
    void *close_context;
    int attach_error;
    unsigned answers, settled;
    int code; /* of the last answer; 0: done */
    char why[256], status_why[256];
} seen;

static void step(const char *name)
{
    snprintf(seen.steps + strlen(seen.steps), sizeof seen.steps - strlen(seen.steps), "%s ", name);
}

const struct shared_state *cluster_state(const struct cluster_driver *driver)
{
    return &shared;
}

void cluster_submit(struct cluster_driver *driver, struct cluster_request *request)
{
    step("outdate");
    assert_int_equal(SHARED_OP_OUTDATE, request->op.kind);
    assert_int_equal(1, request->op.node);
    assert_int_equal(0, request->op.action);
    submitted = request;
}

struct group *group_find(struct daemon *daemon, const char *name)
{
    return strcmp(name, "g0") ? NULL : group;
}

void group_step(struct group *g)
{
    step("go-on");
}

void group_replaced(struct group *g)
{
    step("replaced");
}

void replica_events_changed(void)
{
    step("event");
}

void decisions_drain(struct group *g, void (*done)(void *context), void *context)
{
    step("drain");
    seen.drained = done;
    seen.drain_context = context;
}

void units_stand_on(struct group *g, struct replica *replica)
{
    step(replica == without ? "on-stand-in" : "on-attached");
    g->replica = replica;
}

void replica_get_status(const struct replica *replica, struct replica_status *status)
{
    *status = (struct replica_status){.disk = replica == failed ? seen.disk : DISK_DISKLESS};
}

const char *replica_disk_name(enum replica_disk disk)
{
    return disk == DISK_OUTDATED ? "Outdated" : "another";
}

struct replica *replica_stand_in(const struct replica *replica)
{
    assert_ptr_equal(replica, failed);
    return without;
}

/* On a thread of its own, as replica_free() before it. */
int replica_attach(const struct replica *stand_in, struct replica **replica, char *why)
{
    assert_ptr_equal(stand_in, without);
    snprintf(why, 256, "/srv/disk0: gone");
    *replica = seen.attach_error ? NULL : attached;
    return seen.attach_error;
}

void replica_start(struct replica *replica)
{
    if (replica == attached)
        step("start");
}

void replica_still_diskless(struct replica *stand_in, const char *why)
{
    assert_ptr_equal(stand_in, without);
    snprintf(seen.status_why, sizeof seen.status_why, "%s", why);
}

void replica_detach(struct replica *replica, replica_done_function *done, void *context)
{
    step(replica == failed ? "close-failed" : "close-another");
    seen.closed = done;
    seen.close_context = context;
}

void replica_free(struct replica *replica)
{
    step(replica == failed ? "free-failed" : "free-another");
}

void replica_close(struct replica *replica, replica_done_function *done, void *context)
{
    step(replica == without ? "close-stand-in" : "close-another");
}

void control_reply(struct control_call *call, json_t *result)
{
    seen.answers++;
    seen.code = 0;
    json_decref(result);
}

void control_fail(struct control_call *call, enum control_code code, const char *format, ...)
{
    va_list arguments;

    seen.answers++;
    seen.code = code;
    va_start(arguments, format);
    vsnprintf(seen.why, sizeof seen.why, format, arguments);
    va_end(arguments);
}

/* This is node1, whose disk has failed; node2 has the current copy. */
static int set_up(void **unused)
{
    memset(&seen, 0, sizeof seen);
    group_config = (struct config_group){
        .name = "g0", .nodes = {1, 2}, .node_count = 2, .replication = REPLICATION_BUILTIN};
    config = (struct config){.groups = &group_config, .group_count = 1};
    shared_group = (struct shared_group){.current = 1u << 2, .owner = 2};
    halund = (struct daemon){.config = &config, .self = 1};
    group->replica = failed;
    seen.disk = DISK_FAILED;
    submitted = NULL;
    return 0;
}

static void not_yet(struct cluster_request *request, enum scsi_reason reason, uint8_t field)
{
}

static void order(const char *name)
{
    json_t *arguments = json_pack("{s:s}", "group", name);

    on_replica_attach(NULL, arguments);
    json_decref(arguments);
}

static void drain_is_over(void)
{
    seen.drained(seen.drain_context);
}

static void failed_one_is_closed(void)
{
    seen.closed(seen.close_context, 0, "");
}

/* What the thread posted. */
static void disk_is_opened(void)
{
    struct pollfd wake = {.fd = threads.control.wake_fd, .events = POLLIN};
    uint64_t count;

    assert_int_equal(1, poll(&wake, 1, 60000));
    assert_int_equal(sizeof count, read(wake.fd, &count, sizeof count));
    mailbox_run(&threads.control);
}

static void answered(int code, const char *part)
{
    assert_int_equal(1, seen.answers);
    assert_int_equal(code, seen.code);
    assert_non_null(strstr(seen.why, part));
}

static void disk_when_attached_then_no_command_and_no_replica_is_on_the_one_that_failed(void **unused)
{
    order("g0");
    assert_string_equal("drain ", seen.steps);
    assert_ptr_equal(failed, group->replica); /* what executes may still use its stores */
    drain_is_over();
    assert_ptr_equal(without, group->replica);
    assert_int_equal(0, seen.answers);
    failed_one_is_closed();
    disk_is_opened();
    assert_string_equal("drain on-stand-in replaced close-failed free-failed on-attached start replaced close-stand-in go-on ",
                        seen.steps);
    assert_ptr_equal(attached, group->replica);
    answered(0, "");
    assert_null(group->attaching);
}

static void disk_when_it_was_not_there_at_the_start_then_attached_as_well(void **unused)
{
    seen.disk = DISK_DISKLESS;
    order("g0");
    drain_is_over();
    failed_one_is_closed();
    disk_is_opened();
    answered(0, "");
}

static void disk_when_it_cannot_be_used_then_diskless_and_the_reason(void **unused)
{
    seen.attach_error = -ENOMEDIUM;
    order("g0");
    drain_is_over();
    failed_one_is_closed();
    disk_is_opened();
    answered(CONTROL_FAILED, "/srv/disk0: gone");
    assert_string_equal(seen.why, seen.status_why);
    assert_ptr_equal(without, group->replica);
    assert_string_equal("drain on-stand-in replaced close-failed free-failed event ", seen.steps);
    assert_null(group->attaching);
}

/* Were the other node lost, the record would prefer this copy, whatever is on its disk now. */
static void copy_when_recorded_as_current_beside_the_other_then_outdated_first(void **unused)
{
    shared_group.current = 1u << 1 | 1u << 2;
    order("g0");
    assert_string_equal("outdate ", seen.steps);
    shared_group.current = 1u << 2;
    submitted->answer(submitted, REASON_GOOD, 0);
    assert_string_equal("outdate drain ", seen.steps);
    drain_is_over();
    failed_one_is_closed();
    disk_is_opened();
    answered(0, "");
}

static void copy_when_its_outdating_is_not_agreed_then_nothing_is_touched(void **unused)
{
    shared_group.current = 1u << 1 | 1u << 2;
    order("g0");
    submitted->answer(submitted, REASON_NOT_READY_TRANSITION, 0);
    answered(CONTROL_AGAIN, "agree");
    assert_string_equal("outdate ", seen.steps);
    assert_ptr_equal(failed, group->replica);
    assert_null(group->attaching);
}

/* It is the good one still, whatever is left of it: the record says no other. */
static void copy_when_it_alone_is_current_then_attached_as_it_is(void **unused)
{
    shared_group = (struct shared_group){.current = 1u << 1};
    order("g0");
    assert_string_equal("drain ", seen.steps);
    drain_is_over();
    failed_one_is_closed();
    disk_is_opened();
    answered(0, "");
}

static void order_when_it_cannot_be_then_refused_with_the_reason(void **unused)
{
    static const struct {
        const char *part;
        int code;
    } rows[] = {
        {"nothing", CONTROL_USAGE},     {"not replicated", CONTROL_REFUSED}, {"drbdadm", CONTROL_REFUSED},
        {"Outdated", CONTROL_REFUSED},  {"owner", CONTROL_REFUSED},          {"Primary", CONTROL_REFUSED},
        {"stopping", CONTROL_REFUSED},  {"busy", CONTROL_AGAIN},             {"busy", CONTROL_AGAIN},
        {"busy", CONTROL_AGAIN},        {"busy", CONTROL_AGAIN},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        set_up(NULL);
        switch (i) {
        case 1: group->replica = NULL; break;
        case 2: group_config.replication = REPLICATION_DRBD; break;
        case 3: seen.disk = DISK_OUTDATED; break;
        case 4: shared_group.owner = 1; break;
        case 5: group->primary = true; break;
        case 6: halund.stopping = true; break;
        case 7: group->busy = true; break;
        case 8: group->outdate_wanted = true; break;
        case 9: group->outdate_busy = true; break;
        case 10: group->reinstate.answer = not_yet; break;
        default: break;
        }
        order(i ? "g0" : "nothing");
        answered(rows[i].code, rows[i].part);
        assert_string_equal("", seen.steps);
        assert_null(group->attaching);
    }
}

static void order_when_it_is_given_twice_then_the_second_is_to_be_asked_again(void **unused)
{
    order("g0");
    order("g0");
    answered(CONTROL_AGAIN, "already");
    drain_is_over();
    order("g0");
    assert_non_null(strstr(seen.why, "the disk that failed"));
    failed_one_is_closed();
    disk_is_opened();
    assert_int_equal(3, seen.answers);
    assert_int_equal(0, seen.code);
}

static void group_when_it_changes_before_its_commands_are_over_then_nothing_is_touched(void **unused)
{
    order("g0");
    group->busy = true;
    drain_is_over();
    answered(CONTROL_AGAIN, "busy");
    assert_ptr_equal(failed, group->replica);
    assert_string_equal("drain ", seen.steps);
}

static void count_settled(void)
{
    seen.settled++;
}

static void daemon_when_it_stops_then_waits_for_what_is_being_attached(void **unused)
{
    for (unsigned at = 0; at < 4; at++) {
        set_up(NULL);
        if (at == 0)
            shared_group.current = 1u << 1 | 1u << 2;
        order("g0");
        if (at > 1)
            drain_is_over();
        if (at > 2)
            failed_one_is_closed();
        halund.stopping = true;
        attach_settle(count_settled);
        assert_int_equal(at == 0, seen.settled); /* nothing is touched before that is agreed */
        if (at == 0)
            submitted->answer(submitted, REASON_NOT_READY_TRANSITION, 0);
        else if (at == 1)
            drain_is_over();
        else if (at == 2)
            failed_one_is_closed();
        else
            disk_is_opened();
        assert_int_equal(1, seen.settled);
        assert_int_equal(1, seen.answers);
        assert_int_equal(at < 3 ? CONTROL_REFUSED : 0, seen.code);
        assert_int_equal(at > 1, strstr(seen.steps, "free-failed") != NULL);
        /* Whichever it is: the units' end closes it. */
        assert_ptr_equal(at < 2 ? failed : at == 2 ? without : attached, group->replica);
    }
}

static void daemon_when_it_stops_and_nothing_is_attached_then_at_once(void **unused)
{
    attach_settle(count_settled);
    assert_int_equal(1, seen.settled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(disk_when_attached_then_no_command_and_no_replica_is_on_the_one_that_failed, set_up),
        cmocka_unit_test_setup(disk_when_it_was_not_there_at_the_start_then_attached_as_well, set_up),
        cmocka_unit_test_setup(disk_when_it_cannot_be_used_then_diskless_and_the_reason, set_up),
        cmocka_unit_test_setup(copy_when_recorded_as_current_beside_the_other_then_outdated_first, set_up),
        cmocka_unit_test_setup(copy_when_its_outdating_is_not_agreed_then_nothing_is_touched, set_up),
        cmocka_unit_test_setup(copy_when_it_alone_is_current_then_attached_as_it_is, set_up),
        cmocka_unit_test_setup(order_when_it_cannot_be_then_refused_with_the_reason, set_up),
        cmocka_unit_test_setup(order_when_it_is_given_twice_then_the_second_is_to_be_asked_again, set_up),
        cmocka_unit_test_setup(group_when_it_changes_before_its_commands_are_over_then_nothing_is_touched, set_up),
        cmocka_unit_test_setup(daemon_when_it_stops_then_waits_for_what_is_being_attached, set_up),
        cmocka_unit_test_setup(daemon_when_it_stops_and_nothing_is_attached_then_at_once, set_up),
    };
    int failures;

    if (mailbox_init(&threads.control))
        return 1;
    failures = cmocka_run_group_tests(tests, NULL, NULL);
    mailbox_done(&threads.control);
    return failures;
}
