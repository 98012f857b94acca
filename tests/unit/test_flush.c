/* When SYNCHRONIZE CACHE is answered while the other copy is compared again: it may be promoted with what it has on stable
 * storage until it is marked as Inconsistent there; and for how long a flush waits for a peer.
 *
 * Not covered: a peer that lost its power (the stories h19 of tests/sim). */
#include <semaphore.h>
#include <stdio.h>

#include "replica_pair.h"
#include "target/base/container.h"

static bool marked_inconsistent(struct rig *rig, unsigned node)
{
    struct metadata_layout layout = pair_layout(rig, node, 0);
    struct superblock sb;
    uint8_t block[MD_BLOCK];
    char path[200], why[MD_WHY];
    FILE *file;

    rig_path(path, rig->directory, node, 0);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)layout.superblock, SEEK_SET), 0);
    assert_int_equal(fread(block, sizeof block, 1, file), 1);
    fclose(file);
    assert_int_equal(superblock_decode(&sb, block, why), 0);
    return !(sb.flags & MD_CONSISTENT);
}

/* Node 0 was Primary, and what it wrote last is on no stable storage but its own, perhaps; node 1 took over when the link was
 * lost. The cluster has not agreed that node 0's copy is outdated. */
static void fail_over(struct rig *rig)
{
    static uint8_t data[4096] = {7};

    rig->options.resync_rate = 64; /* KiB/s: it does not end meanwhile */
    start_primary(rig);
    rig->agree = false;
    fault_hold(pair_fault(rig, 1, 0), STORE_FLUSH, 0, UINT64_MAX); /* no barrier is answered */
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, data, sizeof data), 0);
    replica_disconnect(rig->n[1].replica);
    WAIT(rig->n[0].asked);
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    fault_release(pair_fault(rig, 1, 0));
    promote(&rig->n[1]);
}

/* Connects again; node 0 can not write its superblock. */
static void compare_again(struct rig *rig)
{
    struct metadata_layout layout = pair_layout(rig, 0, 0);

    WAIT(metadata_rest(rig, 0));
    fault_hold(pair_fault(rig, 0, 0), STORE_WRITE, layout.superblock, layout.superblock + MD_BLOCK);
    replica_connect(rig->n[1].replica, false);
    WAIT(connection(1, CONN_SYNC_SOURCE) && fault_held(pair_fault(rig, 0, 0)));
}

/* Behind it, all that the peer had to answer has been. */
static void round_trip(struct rig *rig)
{
    static uint8_t data[4096] = {9};

    assert_int_equal(run_io(&rig->n[1], 0, STORE_WRITE, STORE_FUA, 8 << 20, data, sizeof data), 0);
}

static void flush_when_the_peer_is_compared_again_then_waits_until_that_is_inconsistent(void **state)
{
    struct rig *rig = *state;
    struct rig_io flush = {0}, later = {0};

    fail_over(rig);
    rig_submit(&rig->n[1], &flush, 0, STORE_FLUSH, 0, 0, NULL, 0);
    compare_again(rig);
    rig_submit(&rig->n[1], &later, 0, STORE_FLUSH, 0, 0, NULL, 0);
    round_trip(rig);
    assert_false(marked_inconsistent(rig, 0));
    assert_false(flush.done || later.done);
    fault_release(pair_fault(rig, 0, 0));
    WAIT(flush.done && later.done);
    assert_int_equal(flush.error | later.error, 0);
    assert_true(marked_inconsistent(rig, 0));
    assert_int_equal(run_io(&rig->n[1], 0, STORE_FLUSH, 0, 0, NULL, 0), 0); /* not until the resync is over */
    assert_true(connection(1, CONN_SYNC_SOURCE));
}

static void flush_when_the_link_is_lost_before_the_peer_is_inconsistent_then_waits(void **state)
{
    struct rig *rig = *state;
    struct rig_io flush = {0};

    fail_over(rig);
    rig_submit(&rig->n[1], &flush, 0, STORE_FLUSH, 0, 0, NULL, 0);
    compare_again(rig);
    round_trip(rig);
    rig->n[1].asked = 0;
    replica_disconnect(rig->n[1].replica);
    WAIT(rig->n[1].asked);
    assert_false(marked_inconsistent(rig, 0));
    assert_false(flush.done);
    replica_peer_outdated(rig->n[1].replica, true);
    WAIT(flush.done);
    assert_int_equal(flush.error, 0);
    fault_release(pair_fault(rig, 0, 0));
}

struct impatience {
    struct post post;
    struct rig_node *node;
    sem_t done;
};

static void grow_impatient(struct post *post)
{
    struct impatience *impatience = container_of(post, struct impatience, post);

    impatience->node->group.timeout_ms = 300;
    sem_post(&impatience->done);
}

/* From here on; a machine with pauses must not lose the link before. */
static void make_impatient(struct rig_node *node)
{
    struct impatience impatience = {.post.run = grow_impatient, .node = node};

    sem_init(&impatience.done, 0, 0);
    reactor_post(&node->reactor, &impatience.post);
    sem_wait(&impatience.done);
    sem_destroy(&impatience.done);
}

/* Its disk stands still: the link is given up, and so is its copy, by agreement. */
static void flush_when_the_peer_does_not_finish_it_then_goes_on_alone(void **state)
{
    struct rig *rig = *state;
    static uint8_t data[4096] = {7};
    struct rig_io flush = {0};

    start_primary(rig);
    rig->agree = false;
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, data, sizeof data), 0);
    WAIT(metadata_rest(rig, 0) && metadata_rest(rig, 1));
    fault_hold(pair_fault(rig, 0, 0), STORE_FLUSH, 0, UINT64_MAX);
    rig->n[0].answered = false; /* its demotion ends when the mark is cleared, which is after a flush */
    replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]);
    WAIT(rig_status(&rig->n[1]).peer_role == REPLICA_SECONDARY);
    promote(&rig->n[1]);
    rig_submit(&rig->n[1], &flush, 0, STORE_FLUSH, 0, 0, NULL, 0);
    WAIT(fault_held(pair_fault(rig, 0, 0)) == 2); /* for the barrier and for the mark */
    make_impatient(&rig->n[1]);
    WAIT(rig->n[1].asked);
    assert_false(flush.done);
    replica_peer_outdated(rig->n[1].replica, true);
    WAIT(flush.done);
    assert_int_equal(flush.error, 0);
    assert_int_not_equal(fault_held(pair_fault(rig, 0, 0)), 0);
    fault_release(pair_fault(rig, 0, 0));
    WAIT(rig->n[0].answered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_CASE(flush_when_the_peer_is_compared_again_then_waits_until_that_is_inconsistent),
        PAIR_CASE(flush_when_the_link_is_lost_before_the_peer_is_inconsistent_then_waits),
        PAIR_CASE(flush_when_the_peer_does_not_finish_it_then_goes_on_alone),
    };

    return cmocka_run_group_tests_name("flush", tests, NULL, NULL);
}
