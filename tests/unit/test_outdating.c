/* What a copy does before the cluster is asked to agree that the other one is outdated, and before it is told once more
 * that both are equal. Not covered here: what the cluster makes of it (test_group_copies, tests/sim/stories). */
#include <errno.h>
#include <string.h>

#include "link_relay.h"
#include "replica_pair.h"

enum { TURNS = 40, BYTES = 64 << 10 };

static struct link_relay *relay;

static struct replica_status status(unsigned i)
{
    return rig_status(&the_rig->n[i]);
}

static void turns(struct rig *rig)
{
    for (unsigned i = 0; i < TURNS; i++)
        rig_turn(rig->n, 2, 5);
}

/* Node 0 is Primary and has acknowledged a write; nobody agrees to anything. */
static void start_and_write(struct rig *rig)
{
    static uint8_t data[BYTES];

    rig->agree = false;
    start_primary(rig);
    fill(rig, data, sizeof data);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 1 << 20, data, sizeof data), 0);
}

static void peer_when_lost_then_outdated_once_this_copy_is_on_stable_storage(void **state)
{
    struct rig *rig = *state;
    struct fault *fault;

    start_and_write(rig);
    fault = pair_fault(rig, 0, 0);
    fault_hold(fault, STORE_FLUSH, 0, SIZE);
    replica_disconnect(rig->n[1].replica);
    WAIT(status(0).connection < CONN_CONNECTED && (fault_held(fault) || rig->n[0].asked));
    turns(rig);
    assert_int_equal(rig->n[0].asked, 0);
    assert_true(fault_held(fault));
    fault_release(fault);
    WAIT(rig->n[0].asked == 1);
    turns(rig);
    assert_int_equal(rig->n[0].asked, 1);
}

/* The other copy has all, and is the only one: it must not be given up. */
static void peer_when_lost_and_the_flush_fails_then_not_outdated(void **state)
{
    struct rig *rig = *state;

    start_and_write(rig);
    fault_fail(pair_fault(rig, 0, 0), STORE_FLUSH, -EIO);
    replica_disconnect(rig->n[1].replica);
    WAIT(status(0).disk == DISK_FAILED);
    turns(rig);
    assert_int_equal(rig->n[0].asked, 0);
}

/* What is flushed for the first loss is not all that was acknowledged before the second one. */
static void peer_when_back_and_lost_again_then_flushed_once_more(void **state)
{
    static uint8_t data[BYTES];
    struct rig *rig = *state;
    struct fault *fault;
    unsigned flushes;

    start_and_write(rig);
    fault = pair_fault(rig, 0, 0);
    fault_hold(fault, STORE_FLUSH, 0, SIZE);
    replica_disconnect(rig->n[1].replica);
    WAIT(fault_held(fault) == 1);
    replica_connect(rig->n[1].replica, false);
    WAIT(good(0) && good(1));
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 2 << 20, data, sizeof data), 0);
    replica_disconnect(rig->n[1].replica);
    WAIT(status(0).connection < CONN_CONNECTED);
    turns(rig);
    assert_int_equal(rig->n[0].asked, 0);
    flushes = fault_count(fault, STORE_FLUSH);
    fault_release(fault);
    WAIT(rig->n[0].asked == 1);
    assert_true(fault_count(fault, STORE_FLUSH) > flushes);
}

/* The cluster's record is about to call it the only current one. */
static void copy_when_flushed_by_order_then_answered_once_it_is_on_stable_storage(void **state)
{
    struct rig *rig = *state;
    struct rig_node *secondary = &rig->n[1];
    struct fault *fault;

    start_and_write(rig);
    rig_close(&rig->n[0]);
    fault = pair_fault(rig, 1, 0);
    fault_hold(fault, STORE_FLUSH, 0, SIZE);
    secondary->answered = false;
    replica_flush(secondary->replica, rig_answer, secondary);
    WAIT(fault_held(fault));
    turns(rig);
    assert_false(secondary->answered);
    fault_release(fault);
    WAIT(secondary->answered);
    assert_int_equal(secondary->asked, 0); /* nothing is concluded from it */
}

/* The flush before the other copy is outdated goes on, and is not taken for the answer. */
static void primary_when_flushed_by_order_as_well_then_asks_once(void **state)
{
    struct rig *rig = *state;
    struct rig_node *primary = &rig->n[0];
    struct fault *fault;

    start_and_write(rig);
    fault = pair_fault(rig, 0, 0);
    fault_hold(fault, STORE_FLUSH, 0, SIZE);
    replica_disconnect(rig->n[1].replica);
    WAIT(status(0).connection < CONN_CONNECTED && fault_held(fault));
    primary->answered = false;
    replica_flush(primary->replica, rig_answer, primary);
    turns(rig);
    assert_int_equal(primary->asked + primary->answered, 0);
    fault_release(fault);
    WAIT(primary->answered && primary->asked == 1);
    ORDER(primary, replica_flush(primary->replica, rig_answer, primary));
    turns(rig);
    assert_int_equal(primary->asked, 1);
}

static void beside_a_relay(struct rig_node *node)
{
    strcpy(node->nodes[!node->index].replication_address, node->index ? "127.0.0.5" : "127.0.0.4");
}

static void copies_when_equal_then_told_again_if_the_peer_is_there(void **state)
{
    struct rig *rig = *state;
    unsigned told;

    rig->options.arrange = beside_a_relay;
    rig->options.timeout_ms = 1000;
    relay = link_relay_start(rig->options.port);
    start_and_write(rig);
    told = rig->n[0].told_current;
    ORDER(&rig->n[0], replica_confirm_equal(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].told_current, ++told);
    link_relay_hold(relay, true); /* as far as it knows it is still connected */
    ORDER(&rig->n[0], replica_confirm_equal(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_true(status(0).connection < CONN_CONNECTED);
    assert_int_equal(rig->n[0].told_current, told);
    link_relay_hold(relay, false);
    WAIT(good(0) && good(1) && rig->n[0].told_current > told);
}

static int teardown(void **state)
{
    int rc = pair_teardown(state);

    link_relay_stop(relay);
    relay = NULL;
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_CASE(peer_when_lost_then_outdated_once_this_copy_is_on_stable_storage),
        PAIR_CASE(peer_when_lost_and_the_flush_fails_then_not_outdated),
        PAIR_CASE(peer_when_back_and_lost_again_then_flushed_once_more),
        PAIR_CASE(copy_when_flushed_by_order_then_answered_once_it_is_on_stable_storage),
        PAIR_CASE(primary_when_flushed_by_order_as_well_then_asks_once),
        cmocka_unit_test_setup_teardown(copies_when_equal_then_told_again_if_the_peer_is_there, pair_setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
