/* The command layer on real lanes, the real disk rows and a memory store: what test_execute.c
 * leaves to doubles.
 *
 * Not covered: several reactors, exclusive ranges and drains in depth (tests of the lanes). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "target/base/container.h"
#include "target/base/threads.h"
#include "target/command/command.h"
#include "target/command/control_calls.h"
#include "target/device/device.h"
#include "target/nexus/lane_change.h"
#include "target/nexus/lane_private.h"
#include "target/nexus/lun_map.h"
#include "target/nexus/nexus.h"
#include "target/nexus/nexus_table.h"

/* Held for longer than any machine stands still, unless a case waits for the end. */
enum { SIZE = 1 << 20, HOLD_MS = 600000, SHORT_HOLD_MS = 50, TURN_NS = 100000000 };

static struct reactor reactor;
static struct nexus nexus;
static struct lu lu;
static struct task task;
static struct task *committing, *reading;
static bool completed, changed, wants_data;
static uint8_t in[8192];

void task_commit(struct task *owner, const struct shared_op *op, const void *bytes, uint32_t length)
{
    committing = owner;
}

void task_read_state(struct task *owner,
                     void (*fill)(struct task *task, const struct shared_state *state,
                                  const struct config *config))
{
    reading = owner;
}

static void receive_data(struct task *owner, uint32_t length)
{
    wants_data = true;
}

static void complete(struct task *owner)
{
    completed = true;
    if (owner->data_in_length)
        payload_read(&owner->data_in, 0, in, owner->data_in_length);
    payload_free(reactor.payloads, &owner->data_in);
    payload_free(reactor.payloads, &owner->data_out);
}

static const struct task_transport transport = {"test", receive_data, complete};

static void on_changed(void *context)
{
    changed = true;
}

/* Turns until `*flag`, which an event sets. */
static void turn_until(const bool *flag)
{
    for (unsigned i = 0; i < 1000 && !*flag; i++) {
        reactor_turn(&reactor, TURN_NS / 100);
        mailbox_run(&threads.control);
    }
    assert_true(*flag);
}

static void hold_for(unsigned ms)
{
    lanes.hold_ns = ms * 1000000ull;
}

static void gate(enum gate to, uint8_t state)
{
    struct lane_change *change = lane_change_new(on_changed, NULL);

    changed = false;
    lane_change_group(change, 0, to, 1, state, to == GATE_HOLD);
    lane_change_run(change);
}

static int setup(void **state)
{
    static struct config_lun lun = {.lun = 0, .lu_index = 0};
    struct config_host host = {.luns = &lun, .lun_count = 1};
    struct store_options options = {.size = SIZE, .block_size = 512};
    char why[256];

    command_index_build();
    assert_int_equal(reactor_init(&reactor, 0, 32), 0);
    reactor.payloads = payload_pool_new(16 << 20);
    assert_int_equal(mailbox_init(&threads.control), 0);
    threads.reactor_count = 1;
    threads.reactors[0] = &reactor;
    reactor_turn(&reactor, 0);
    nexus_table_init();
    lanes_init(1, HOLD_MS);
    assert_int_equal(memory_store_open(&options, &lu.store, why), 0);
    lu.block_size = 512;
    lu.blocks = SIZE / 512;
    lanes_init_lu(&lu, 0);
    device_lus[0] = &lu;
    device_lu_count = 1;
    nexus.reactor = &reactor;
    identity_from_iscsi(&nexus.identity, "iqn.2026-11.example:a", (const uint8_t[6]){0x40}, 1);
    nexus.tpgt = 1;
    nexus.lun_map = lun_map_new(&host);
    assert_int_equal(nexus_add_proxy(&nexus), 0);
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(payload_pool_free_permille(reactor.payloads), 1000);
    nexus_remove_proxy(&nexus);
    lun_map_free(nexus.lun_map);
    store_close(lu.store);
    payload_pool_free(reactor.payloads);
    mailbox_done(&threads.control);
    reactor_done(&reactor);
    return 0;
}

static void start(const void *cdb, unsigned length, uint32_t room, uint32_t out)
{
    memset(&task, 0, sizeof task);
    completed = wants_data = false;
    task.transport = &transport;
    task.nexus = &nexus;
    task.reactor = &reactor;
    task.attribute = TASK_SIMPLE;
    memcpy(task.cdb, cdb, length);
    task.cdb_length = 16;
    task.expected_in = room;
    task.expected_out = out;
    if (nexus.forwarded) { /* as transport/peer does */
        task.lu = &lu;
        task.lane = &lu.lanes[0];
    }
    task_execute(&task);
}

static const uint8_t read_one[10] = {0x28, 0, 0, 0, 0, 5, 0, 0, 1};
static const uint8_t write_one[10] = {0x2a, 0, 0, 0, 0, 5, 0, 0, 1};

static void block_when_written_then_read_back(void **state)
{
    uint8_t block[512];

    memset(block, 0x5a, sizeof block);
    gate(GATE_EXECUTE, ALUA_ACTIVE_OPTIMIZED);
    turn_until(&changed);
    start(write_one, 10, 0, 512);
    assert_true(wants_data);
    payload_write(&task.data_out, 0, block, 512);
    task_data_ready(&task);
    turn_until(&completed);
    assert_int_equal(task.status, 0);
    start(read_one, 10, 512, 0);
    turn_until(&completed);
    assert_int_equal(task.status, 0);
    assert_memory_equal(in, block, 512);
}

static void gate_when_it_opens_then_held_commands_run(void **state)
{
    gate(GATE_HOLD, ALUA_ACTIVE_OPTIMIZED);
    turn_until(&changed);
    start(read_one, 10, 512, 0);
    assert_int_equal(task.state, TASK_HELD);
    gate(GATE_EXECUTE, ALUA_ACTIVE_OPTIMIZED);
    turn_until(&completed);
    assert_int_equal(task.status, 0);
}

static void gate_when_it_stays_shut_then_transition_is_told(void **state)
{
    gate(GATE_HOLD, ALUA_TRANSITIONING);
    turn_until(&changed);
    hold_for(SHORT_HOLD_MS);
    start(read_one, 10, 512, 0);
    turn_until(&completed);
    assert_int_equal(task.status, 2);
    assert_memory_equal(task.sense + 12, "\x04\x0a", 2);
    hold_for(HOLD_MS);
    start(read_one, 10, 512, 0);
    task_abort(&task, true);
    assert_true(completed && task.silent);
}

static void commit_when_its_drain_runs_then_does_not_wait_for_itself(void **state)
{
    struct shared_lu shared = {.pr_holder = -1, .legacy_reserved = true, .epoch = 1};
    struct lane_change *change;

    gate(GATE_EXECUTE, ALUA_ACTIVE_OPTIMIZED);
    turn_until(&changed);
    start("\x16\0\0\0\0\0", 6, 0, 0);
    assert_ptr_equal(committing, &task);
    shared.legacy_holder = nexus.identity;
    change = lane_change_new(on_changed, NULL);
    lane_change_lu(change, 0, &shared, true);
    changed = false;
    lane_change_run(change);
    turn_until(&changed);
    assert_false(completed);
    task_complete(&task, REASON_GOOD);
    assert_int_equal(task.status, 0);
}

/* Another member may still answer from the state before: what this one tells would be seen before that. */
static void decision_when_not_carried_out_everywhere_then_nothing_is_told_of_it(void **state)
{
    struct shared_lu shared = {.pr_holder = -1, .legacy_reserved = true, .epoch = 2};
    struct lane_change *change;

    gate(GATE_EXECUTE, ALUA_ACTIVE_OPTIMIZED);
    turn_until(&changed);
    lu.unsettled = 1;
    changed = false;
    change = lane_change_new(on_changed, NULL);
    lane_change_lu(change, 0, &shared, true); /* reserved by somebody else */
    lane_change_run(change);
    turn_until(&changed);
    start(read_one, 10, 512, 0);
    assert_int_equal(task.state, TASK_HELD);
    reactor_turn(&reactor, 0);
    assert_false(completed);
    lu.unsettled = 0;
    turn_until(&completed);
    assert_int_equal(task.status, 0x18);

    start("\x5e\0\0\0\0\0\0\0\x20\0", 10, 32, 0); /* PERSISTENT RESERVE IN finds it out while it reads */
    assert_ptr_equal(reading, NULL); /* reserved by another */
    assert_int_equal(task.status, 0x18);
    shared.legacy_reserved = false;
    change = lane_change_new(on_changed, NULL);
    changed = false;
    lane_change_lu(change, 0, &shared, true);
    lane_change_run(change);
    turn_until(&changed);
    start("\x5e\0\0\0\0\0\0\0\x20\0", 10, 32, 0);
    assert_ptr_equal(reading, &task);
    lu.unsettled = 1;
    reading = NULL;
    task_read_again(&task);
    assert_int_equal(task.state, TASK_HELD);
    lu.unsettled = 0;
    for (unsigned i = 0; i < 100 && !reading; i++)
        reactor_turn(&reactor, TURN_NS / 100);
    assert_ptr_equal(reading, &task);
    task_complete(&task, REASON_GOOD);

    /* A unit attention tells of it as well. */
    for (unsigned i = 0; i < 2; i++) {
        lu.unsettled = 1;
        nexus.lus[0].unit_attentions = 1u << UA_RESERVATIONS_PREEMPTED;
        start(i ? "\x03\0\0\0\x12" : "\0\0\0\0\0", 6, i ? 18 : 0, 0);
        assert_int_equal(task.state, TASK_HELD);
        reactor_turn(&reactor, 0);
        assert_false(completed);
        lu.unsettled = 0;
        turn_until(&completed);
        assert_int_equal(i ? in[12] : task.sense[12], 0x2a);
        assert_int_equal(nexus.lus[0].unit_attentions, 0);
    }

    lu.unsettled = 1;
    nexus.forwarded = true; /* held, it would keep the other node from carrying the decision out */
    start(read_one, 10, 512, 0);
    assert_true(completed && task.bounced);
    start("\x25\0\0\0\0\0\0\0\0\0", 10, 8, 0); /* READ CAPACITY(10) would tell another capacity */
    assert_true(completed && task.bounced);
    nexus.forwarded = false;
    start("\x25\0\0\0\0\0\0\0\0\0", 10, 8, 0);
    assert_int_equal(task.state, TASK_HELD);
    lu.unsettled = 0;
    turn_until(&completed);
    assert_int_equal(task.status, 0);
    lu.unsettled = 1;
    start("\x28\0\xff\0\0\0\0\0\1\0", 10, 512, 0); /* behind the end: of which capacity? */
    assert_int_equal(task.state, TASK_HELD);
    lu.unsettled = 0;
    turn_until(&completed);
    assert_int_equal(task.status, 2);
    lu.unsettled = 1;
    start("\x12\0\0\0\x24\0", 6, 36, 0); /* INQUIRY tells nothing of it */
    turn_until(&completed);
    assert_int_equal(task.status, 0);
    lu.unsettled = 0;
    shared = (struct shared_lu){.pr_holder = -1, .epoch = 3};
    change = lane_change_new(on_changed, NULL);
    changed = false;
    lane_change_lu(change, 0, &shared, true);
    lane_change_run(change);
    turn_until(&changed);
}

/* Other nodes wait for it: no reactor is woken for what none of them has to know. */
static void decision_when_no_lane_is_concerned_then_over_at_once(void **state)
{
    static struct shared_effects effects;
    struct lane_change *change = lane_change_new(on_changed, NULL);

    effects.effects[0].kind = SHARED_EFFECT_KEYS;
    effects.effects[1].kind = SHARED_EFFECT_PERSIST;
    effects.count = 2;
    lane_change_effects(change, &effects);
    changed = false;
    lane_change_run(change);
    assert_true(changed);

}

static void change_of_reservation(bool drain, const struct shared_effects *effects)
{
    struct shared_lu shared = {.pr_holder = -1, .legacy_reserved = true, .epoch = 4};
    struct lane_change *change = lane_change_new(on_changed, NULL);

    lane_change_lu(change, 0, &shared, drain);
    if (effects)
        lane_change_effects(change, effects);
    changed = false;
    lane_change_run(change);
}

static void nobody_reserves(void)
{
    struct shared_lu shared = {.pr_holder = -1, .epoch = 5};
    struct lane_change *change = lane_change_new(on_changed, NULL);

    lane_change_lu(change, 0, &shared, true);
    changed = false;
    lane_change_run(change);
    turn_until(&changed);
}

/* Other nodes wait for it: a reactor between two turns, where nothing runs under the old view, is not woken either. */
static void decision_when_reactors_sleep_then_they_wake_up_under_the_new_view(void **state)
{
    static struct shared_effects effects;

    gate(GATE_EXECUTE, ALUA_ACTIVE_OPTIMIZED);
    turn_until(&changed);
    nexus.lus[0].unit_attentions = 0;
    effects.effects[0] = (struct shared_effect){
        .kind = SHARED_EFFECT_UA, .selector = SHARED_ALL, .lu = 0, .group = SHARED_NO_GROUP, .ua = UA_RESERVATIONS_RELEASED};
    effects.count = 1;
    change_of_reservation(true, &effects);
    assert_true(changed);
    assert_int_equal(nexus.lus[0].unit_attentions, 1u << UA_RESERVATIONS_RELEASED);
    nexus.lus[0].unit_attentions = 0;
    start(read_one, 10, 512, 0);
    turn_until(&completed);
    assert_int_equal(task.status, 0x18);
}

static void change_in_a_turn(struct post *post)
{
    change_of_reservation(true, NULL);
}

static void decision_when_the_reactor_is_at_work_or_was_posted_to_then_in_its_turn(void **state)
{
    static struct shared_effects effects;
    struct post inside = {.run = change_in_a_turn};

    reactor_post(&reactor, &inside);
    reactor_turn(&reactor, 0);
    mailbox_run(&threads.control);
    assert_false(changed);
    turn_until(&changed);

    gate(GATE_EXECUTE, ALUA_ACTIVE_OPTIMIZED); /* gates start tasks: posted; and what comes behind it is not before it */
    change_of_reservation(true, NULL);
    mailbox_run(&threads.control);
    assert_false(changed);
    turn_until(&changed);

    effects.effects[0] =
        (struct shared_effect){.kind = SHARED_EFFECT_ABORT, .selector = SHARED_ALL, .lu = 0, .group = SHARED_NO_GROUP};
    effects.count = 1;
    change_of_reservation(false, &effects);
    mailbox_run(&threads.control);
    assert_false(changed); /* aborts end tasks */
    turn_until(&changed);
    nobody_reserves();
}

/* ---- lease ---- */

static _Atomic uint64_t lease;

static void lease_set(bool valid)
{
    lease = valid ? UINT64_MAX : 0;
    lanes_set_lease(&lease);
}

static const uint8_t keys[10] = {0x5e, 0, 0, 0, 0, 0, 0, 0, 32};
static const uint8_t tur[6] = {0};

static void lease_when_gone_then_a_command_waits_for_it(void **state)
{
    gate(GATE_EXECUTE, ALUA_ACTIVE_OPTIMIZED);
    turn_until(&changed);
    reading = committing = NULL;
    lease_set(false);
    start(keys, 10, 32, 0);
    assert_int_equal(task.state, TASK_HELD);
    reactor_turn(&reactor, 0);
    assert_false(completed);
    assert_ptr_equal(reading, NULL);
    lease_set(true);
    gate(GATE_EXECUTE, ALUA_ACTIVE_OPTIMIZED); /* the view that serves again */
    turn_until(&changed);
    assert_ptr_equal(reading, &task);
    task_complete(&task, REASON_GOOD);
    assert_int_equal(task.status, 0);

    lease_set(false);
    hold_for(SHORT_HOLD_MS);
    start("\x16\0\0\0\0\0", 6, 0, 0);
    assert_ptr_equal(committing, NULL);
    turn_until(&completed); /* not for ever */
    hold_for(HOLD_MS);
    assert_int_equal(task.status, 2);
    assert_memory_equal(task.sense + 12, "\x04\x0a", 2);
    start(tur, 6, 0, 0);
    assert_int_equal(task.state, TASK_HELD);
    task_abort(&task, true);
    assert_true(completed && task.silent);
    start("\x25\0\0\0\0\0\0\0\0\0", 10, 8, 0); /* the capacity may be another one by now */
    assert_int_equal(task.state, TASK_HELD);
    task_abort(&task, true);
    lease_set(true);
}

/* What is pending here was agreed on before the others went on without this node. */
static void lease_when_gone_then_no_unit_attention_is_told(void **state)
{
    lease_set(false);
    nexus.lus[0].unit_attentions = 1u << UA_RESERVATIONS_PREEMPTED;
    start("\x03\0\0\0\x12", 6, 18, 0);
    turn_until(&completed);
    assert_int_equal(task.status, 0);
    assert_memory_equal(in + 12, "\x04\x0a", 2);
    start(tur, 6, 0, 0);
    assert_int_equal(task.state, TASK_HELD);
    lease_set(true);
    gate(GATE_EXECUTE, ALUA_ACTIVE_OPTIMIZED); /* the view that serves again */
    turn_until(&completed);
    assert_int_equal(task.status, 2);
    assert_memory_equal(task.sense + 12, "\x2a\x03", 2);
    assert_int_equal(nexus.lus[0].unit_attentions, 0);
}

static void lease_when_gone_before_the_answer_then_that_waits_out_of_the_lane(void **state)
{
    lease_set(true);
    gate(GATE_EXECUTE, ALUA_ACTIVE_OPTIMIZED);
    turn_until(&changed);
    start(keys, 10, 32, 0);
    lease_set(false);
    task_complete(&task, REASON_GOOD);
    assert_false(completed);
    lease_set(true);
    gate(GATE_EXECUTE, ALUA_ACTIVE_OPTIMIZED);
    turn_until(&completed);
    assert_int_equal(task.status, 0);

    start(read_one, 10, 512, 0); /* the store answers in a turn to come */
    assert_int_equal(task.state, TASK_RUNNING);
    lease_set(false);
    for (unsigned i = 0; i < 100 && task.state == TASK_RUNNING; i++)
        reactor_turn(&reactor, TURN_NS / 100);
    assert_int_equal(task.state, TASK_HELD);
    assert_false(completed);
    gate(GATE_HOLD, ALUA_ACTIVE_OPTIMIZED); /* and drained: nothing of it touches the medium */
    turn_until(&changed);
    assert_false(completed);
    lease_set(true);
    gate(GATE_EXECUTE, ALUA_ACTIVE_OPTIMIZED);
    turn_until(&completed);
    assert_int_equal(task.status, 0);

    start(read_one, 10, 512, 0);
    lease_set(false);
    hold_for(SHORT_HOLD_MS);
    turn_until(&completed);
    hold_for(HOLD_MS);
    assert_int_equal(task.status, 2);
    assert_memory_equal(task.sense + 12, "\x04\x0a", 2);
    lease_set(true);
}

static void lease_when_gone_where_it_was_forwarded_then_sent_back(void **state)
{
    gate(GATE_EXECUTE, ALUA_ACTIVE_OPTIMIZED);
    turn_until(&changed);
    nexus.forwarded = true;
    start(read_one, 10, 512, 0);
    lease_set(false);
    turn_until(&completed); /* with what says that it may be sent again */
    assert_int_equal(task.status, 2);
    lease_set(true);
    nexus.forwarded = false;
    reading = NULL;
}

/* ---- nothing was begun ---- */

static struct keeping_store {
    struct store store, *below;
} keeping;
static struct store_io *waiting;

/* Reads are answered, writes wait for end_write(). */
static void keep_writes(struct store *store, struct store_io *io)
{
    if (io->operation == STORE_WRITE) {
        waiting = io;
        return;
    }
    store = container_of(store, struct keeping_store, store)->below;
    io->store = store;
    store->operations->submit(store, io);
}

static void end_write(int error)
{
    struct store_io *io = waiting;

    waiting = NULL;
    io->done(io, error);
}

static void turn_until_written(void)
{
    for (unsigned i = 0; i < 1000 && !waiting; i++)
        reactor_turn(&reactor, TURN_NS / 100);
    assert_non_null(waiting);
}

static void start_write(const uint8_t *cdb, unsigned length)
{
    uint8_t block[512];

    memset(block, 0x11, sizeof block);
    waiting = NULL;
    start(cdb, length, 0, 512);
    assert_true(wants_data);
    payload_write(&task.data_out, 0, block, sizeof block);
    task_data_ready(&task);
    turn_until_written();
    assert_int_equal(task.state, TASK_RUNNING);
}

static int setup_keeping(void **state)
{
    static const struct store_operations operations = {.name = "keeping", .submit = keep_writes};

    keeping.store = (struct store){.operations = &operations, .size = SIZE, .block_size = 512};
    keeping.below = lu.store;
    lu.store = &keeping.store;
    lease_set(true);
    gate(GATE_EXECUTE, ALUA_ACTIVE_OPTIMIZED);
    turn_until(&changed);
    return 0;
}

static int teardown_keeping(void **state)
{
    lu.store = keeping.below;
    lease_set(true);
    return 0;
}

static void write_when_not_begun_for_want_of_the_lease_then_held_and_executed_anew(void **state)
{
    start_write(write_one, 10);
    lease_set(false);
    end_write(-ERESTART);
    assert_int_equal(task.state, TASK_HELD);
    for (unsigned i = 0; i < 10; i++)
        reactor_turn(&reactor, TURN_NS / 100);
    assert_null(waiting);
    assert_false(completed);
    lease_set(true);
    gate(GATE_EXECUTE, ALUA_ACTIVE_OPTIMIZED); /* the view that serves again */
    turn_until_written();
    assert_false(completed);
    end_write(0);
    assert_true(completed);
    assert_int_equal(task.status, 0);
}

static void write_when_not_begun_and_held_as_long_as_may_be_then_transition_is_told(void **state)
{
    hold_for(SHORT_HOLD_MS);
    start_write(write_one, 10);
    lease_set(false);
    end_write(-ERESTART);
    turn_until(&completed);
    assert_null(waiting);
    assert_int_equal(task.status, 2);
    assert_memory_equal(task.sense + 12, "\x04\x0a", 2);
    lease_set(true);

    /* The time in which it waited in the store counts. */
    start_write(write_one, 10);
    while (reactor.now_ns - task.began_ns < SHORT_HOLD_MS * 1000000ull)
        reactor_turn(&reactor, TURN_NS / 100);
    end_write(-ERESTART);
    turn_until(&completed);
    assert_null(waiting);
    assert_int_equal(task.status, 2);
    assert_memory_equal(task.sense + 12, "\x04\x0a", 2);
    hold_for(HOLD_MS);
}

/* A PREEMPT in between: its drain waits for what was admitted, and not for what is held. */
static void write_when_not_begun_and_reserved_meanwhile_then_conflict(void **state)
{
    start_write(write_one, 10);
    change_of_reservation(true, NULL);
    for (unsigned i = 0; i < 5; i++) {
        reactor_turn(&reactor, TURN_NS / 100);
        mailbox_run(&threads.control);
    }
    assert_false(changed);
    lease_set(false);
    end_write(-ERESTART);
    turn_until(&changed);
    assert_false(completed);
    lease_set(true);
    turn_until(&completed);
    assert_null(waiting);
    assert_int_equal(task.status, 0x18);
    nobody_reserves();
}

static void write_when_not_begun_and_the_group_is_released_then_that_does_not_wait_for_it(void **state)
{
    start_write(write_one, 10);
    gate(GATE_HOLD, ALUA_TRANSITIONING);
    for (unsigned i = 0; i < 5; i++) {
        reactor_turn(&reactor, TURN_NS / 100);
        mailbox_run(&threads.control);
    }
    assert_false(changed);
    end_write(-ERESTART);
    turn_until(&changed);
    assert_false(completed);
    gate(GATE_EXECUTE, ALUA_ACTIVE_OPTIMIZED);
    turn_until_written();
    end_write(0);
    assert_int_equal(task.status, 0);
}

static void write_when_not_begun_and_aborted_then_ends(void **state)
{
    start_write(write_one, 10);
    lease_set(false);
    end_write(-ERESTART);
    assert_false(completed);
    task_abort(&task, true); /* while it is held */
    assert_true(completed && task.silent);
    lease_set(true);
    start_write(write_one, 10);
    task_abort(&task, false); /* while it waits in the store */
    assert_false(completed);
    end_write(-ERESTART);
    assert_true(completed);
    assert_int_equal(task.status, 0x40);
}

static void write_when_not_begun_where_it_was_forwarded_then_sent_back(void **state)
{
    nexus.forwarded = true;
    start_write(write_one, 10);
    end_write(-ERESTART);
    assert_true(completed && task.bounced);
    nexus.forwarded = false;
}

static void poked(struct store_io *io, int error)
{
    assert_int_equal(error, 0);
    completed = true;
}

/* Block 5 of the medium. */
static void poke(uint8_t value)
{
    static uint8_t block[512];
    static struct iovec iov = {block, sizeof block};
    static struct store_io io;
    bool was = completed;

    memset(block, value, sizeof block);
    io = (struct store_io){.operation = STORE_WRITE, .offset = 5 * 512, .length = 512, .iov = &iov, .iov_count = 1, .done = poked};
    completed = false;
    store_submit(keeping.below, &io);
    turn_until(&completed);
    completed = was;
}

static uint8_t first_byte(void)
{
    return *(const uint8_t *)waiting->iov[0].iov_base;
}

/* What is on the medium may be something else when its turn comes. */
static void orwrite_when_not_begun_then_added_to_what_the_medium_is_later(void **state)
{
    static const uint8_t orwrite[16] = {0x8b, [9] = 5, [13] = 1};

    poke(0x22);
    start_write(orwrite, 16);
    assert_int_equal(first_byte(), 0x33);
    lease_set(false);
    end_write(-ERESTART);
    assert_int_equal(task.state, TASK_HELD);
    poke(0x44);
    lease_set(true);
    turn_until_written();
    assert_int_equal(first_byte(), 0x55);
    end_write(0);
    turn_until(&completed);
    assert_int_equal(task.status, 0);
}

#define KEEPING_CASE(test) cmocka_unit_test_setup_teardown(test, setup_keeping, teardown_keeping)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(block_when_written_then_read_back),
        cmocka_unit_test(gate_when_it_opens_then_held_commands_run),
        cmocka_unit_test(gate_when_it_stays_shut_then_transition_is_told),
        cmocka_unit_test(commit_when_its_drain_runs_then_does_not_wait_for_itself),
        cmocka_unit_test(lease_when_gone_then_a_command_waits_for_it),
        cmocka_unit_test(lease_when_gone_then_no_unit_attention_is_told),
        cmocka_unit_test(lease_when_gone_before_the_answer_then_that_waits_out_of_the_lane),
        cmocka_unit_test(lease_when_gone_where_it_was_forwarded_then_sent_back),
        cmocka_unit_test(decision_when_not_carried_out_everywhere_then_nothing_is_told_of_it),
        cmocka_unit_test(decision_when_no_lane_is_concerned_then_over_at_once),
        cmocka_unit_test(decision_when_reactors_sleep_then_they_wake_up_under_the_new_view),
        cmocka_unit_test(decision_when_the_reactor_is_at_work_or_was_posted_to_then_in_its_turn),
        KEEPING_CASE(write_when_not_begun_for_want_of_the_lease_then_held_and_executed_anew),
        KEEPING_CASE(write_when_not_begun_and_held_as_long_as_may_be_then_transition_is_told),
        KEEPING_CASE(write_when_not_begun_and_reserved_meanwhile_then_conflict),
        KEEPING_CASE(write_when_not_begun_and_the_group_is_released_then_that_does_not_wait_for_it),
        KEEPING_CASE(write_when_not_begun_and_aborted_then_ends),
        KEEPING_CASE(write_when_not_begun_where_it_was_forwarded_then_sent_back),
        KEEPING_CASE(orwrite_when_not_begun_then_added_to_what_the_medium_is_later),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
