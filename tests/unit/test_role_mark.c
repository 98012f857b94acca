/* The mark of a Primary on disk lags behind its role where both copies are equal: what is written when, seen in the
 * order of the writes at the backing store. Crashes with a mark that lags: test_replica_crash. */
#include "replica_pair.h"

static struct rig *rig_of(void **state)
{
    return *state;
}

static bool is_superblock(const struct fault_write *w, const struct metadata_layout *layout,
                          struct superblock *sb)
{
    char why[MD_WHY];

    return w->offset == layout->superblock && !superblock_decode(sb, w->block, why);
}

/* Superblocks written to a volume that carry the mark, and all. */
static unsigned superblocks(struct rig *rig, unsigned node, unsigned lu, unsigned *marked)
{
    struct metadata_layout layout = pair_layout(rig, node, lu);
    struct fault *fault = pair_fault(rig, node, lu);
    struct superblock sb;
    unsigned count = 0;

    *marked = 0;
    for (unsigned i = 0; i < fault_logged(fault); i++)
        if (is_superblock(fault_log_entry(fault, i), &layout, &sb)) {
            count++;
            *marked += (sb.flags & MD_PRIMARY) != 0;
        }
    return count;
}

static void watch(struct rig *rig, unsigned node, unsigned lu)
{
    struct metadata_layout layout = pair_layout(rig, node, lu);

    fault_log(pair_fault(rig, node, lu), 0, layout.superblock + MD_BLOCK);
}

/* A link that is lost on a busy machine, and compared again, would write superblocks of its own; a mark that is set while
 * metadata is being written goes to the disk behind it. */
static void start(struct rig *rig)
{
    rig->options.timeout_ms = 30000;
    start_primary(rig);
    WAIT(metadata_rest(rig, 0) && metadata_rest(rig, 1));
}

static void hand_over(struct rig *rig, unsigned from)
{
    struct rig_node *to = &rig->n[1 - from];

    ORDER(&rig->n[from], replica_demote(rig->n[from].replica, rig_answer, &rig->n[from]));
    assert_int_equal(rig->n[from].error, 0);
    ORDER(to, replica_promote(to->replica, false, rig_answer, to));
    assert_int_equal(to->error, 0);
    WAIT(metadata_rest(rig, 0) && metadata_rest(rig, 1)); /* what was before is not counted */
}

static void roles_when_nothing_is_written_then_no_metadata_is(void **state)
{
    struct rig *rig = rig_of(state);
    unsigned marked;

    rig->options.lus = 2;
    start(rig);
    hand_over(rig, 0); /* its copy was promoted before the other was there: it is marked */
    for (unsigned node = 0; node < 2; node++)
        for (unsigned lu = 0; lu < 2; lu++)
            watch(rig, node, lu);
    hand_over(rig, 1);
    hand_over(rig, 0);
    for (unsigned node = 0; node < 2; node++)
        for (unsigned lu = 0; lu < 2; lu++)
            assert_int_equal(superblocks(rig, node, lu, &marked), 0);
}

static void first_write_when_new_primary_then_mark_is_durable_before_it(void **state)
{
    struct rig *rig = rig_of(state);
    static uint8_t data[4096] = {7};
    struct metadata_layout layout;
    struct superblock sb;
    struct fault *fault;
    unsigned marked, at = 0;

    rig->options.lus = 2;
    start(rig);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, data, sizeof data), 0);
    hand_over(rig, 0);
    assert_int_equal(run_io(&rig->n[1], 0, STORE_WRITE, 0, 0, data, sizeof data), 0);
    hand_over(rig, 1);
    hand_over(rig, 0);
    /* Node 1 again: the extent is in its log still, which alone would let the write go at once. */
    watch(rig, 1, 0);
    watch(rig, 1, 1);
    assert_int_equal(run_io(&rig->n[1], 0, STORE_WRITE, 0, 0, data, sizeof data), 0);
    layout = pair_layout(rig, 1, 0);
    fault = pair_fault(rig, 1, 0);
    for (unsigned i = 0; i < fault_logged(fault); i++) {
        const struct fault_write *w = fault_log_entry(fault, i);
        if (is_superblock(w, &layout, &sb) && sb.flags & MD_PRIMARY)
            at = i + 1;
        else if (w->offset < layout.bitmap)
            assert_int_not_equal(at, 0);
    }
    assert_int_not_equal(at, 0);
    assert_int_equal(superblocks(rig, 1, 1, &marked), 0); /* the other volume was not written to */
}

static void first_write_when_its_extent_is_cold_then_mark_and_log_are_written_together(void **state)
{
    struct rig *rig = rig_of(state);
    static uint8_t data[4096] = {7};
    struct metadata_layout layout;
    struct rig_io io = {0};
    struct fault *fault;

    start(rig);
    hand_over(rig, 0); /* node 1 was never Primary: its log is empty */
    layout = pair_layout(rig, 1, 0);
    fault = pair_fault(rig, 1, 0);
    fault_hold(fault, STORE_WRITE, layout.bitmap, layout.superblock + MD_BLOCK);
    fault_log(fault, 0, layout.bitmap);
    rig_submit(&rig->n[1], &io, 0, STORE_WRITE, 0, 0, data, sizeof data);
    WAIT(fault_held(fault) == 2); /* neither waits for the other */
    assert_int_equal(fault_logged(fault), 0);
    fault_release(fault);
    WAIT(io.done);
    assert_int_equal(io.error, 0);
    assert_int_equal(fault_logged(fault), 1);
}

static void demotion_when_written_to_then_mark_is_cleared_on_disk(void **state)
{
    struct rig *rig = rig_of(state);
    static uint8_t data[4096] = {7};
    struct metadata_layout layout;
    struct superblock sb = {0};
    struct fault *fault;
    unsigned marked;
    uint64_t began;

    rig->options.lus = 2;
    start(rig);
    hand_over(rig, 0);
    hand_over(rig, 1);
    assert_int_equal(run_io(&rig->n[0], 1, STORE_WRITE, 0, 0, data, sizeof data), 0);
    watch(rig, 0, 0);
    watch(rig, 0, 1);
    began = monotonic_ns();
    hand_over(rig, 0);
    assert_true(monotonic_ns() - began >= 100000000u); /* not in the way of who takes over */
    layout = pair_layout(rig, 0, 1);
    fault = pair_fault(rig, 0, 1);
    assert_int_not_equal(superblocks(rig, 0, 1, &marked), 0);
    for (unsigned i = 0; i < fault_logged(fault); i++)
        is_superblock(fault_log_entry(fault, i), &layout, &sb);
    assert_false(sb.flags & MD_PRIMARY);
    assert_int_equal(superblocks(rig, 0, 0, &marked), 0);
    churn(rig, 1, 100);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

/* What the old Primary wrote may be in its cache for a while; nothing that the new one wrote makes it flush. */
static void flush_when_the_old_primary_has_not_flushed_then_waits_for_it(void **state)
{
    struct rig *rig = rig_of(state);
    static uint8_t data[4096] = {7};
    struct rig_io flush = {0}, again = {0};
    struct fault *fault;

    start(rig);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, data, sizeof data), 0);
    WAIT(metadata_rest(rig, 0) && metadata_rest(rig, 1));
    fault = pair_fault(rig, 0, 0);
    fault_hold(fault, STORE_FLUSH, 0, UINT64_MAX);
    rig->n[0].answered = false; /* its demotion ends when the mark is cleared, which is after a flush */
    replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]);
    WAIT(rig_status(&rig->n[1]).peer_role == REPLICA_SECONDARY);
    ORDER(&rig->n[1], replica_promote(rig->n[1].replica, false, rig_answer, &rig->n[1]));
    assert_int_equal(rig->n[1].error, 0);
    rig_submit(&rig->n[1], &flush, 0, STORE_FLUSH, 0, 0, NULL, 0);
    WAIT(fault_held(fault) == 2); /* for the barrier and for the mark */
    assert_false(flush.done);
    fault_release(fault);
    WAIT(flush.done && rig->n[0].answered);
    assert_int_equal(flush.error, 0);
    fault_hold(fault, STORE_FLUSH, 0, UINT64_MAX);
    rig_submit(&rig->n[1], &again, 0, STORE_FLUSH, 0, 0, NULL, 0);
    WAIT(again.done); /* once is enough */
    assert_int_equal(fault_held(fault), 0);
    fault_release(fault);
}

/* Node 0 wrote to LU 0 at 0, node 1 has it and cannot flush it; node 0 is being demoted, and Secondary already. */
static void demote_unflushed(struct rig *rig)
{
    static uint8_t data[4096] = {9};

    start(rig);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, data, sizeof data), 0);
    WAIT(metadata_rest(rig, 0) && metadata_rest(rig, 1));
    fault_hold(pair_fault(rig, 1, 0), STORE_FLUSH, 0, UINT64_MAX);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, data, sizeof data), 0);
    watch(rig, 0, 0);
    rig->n[0].answered = false;
    replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]);
    WAIT(rig_status(&rig->n[1]).peer_role == REPLICA_SECONDARY);
    WAIT(fault_held(pair_fault(rig, 1, 0)) == 1);
}

/* How long the flush takes is not in the way of who takes over. */
static void demotion_when_the_peer_has_not_flushed_then_it_may_take_over(void **state)
{
    struct rig *rig = rig_of(state);
    static uint8_t data[4096] = {8};
    unsigned marked, all;
    uint64_t began;

    demote_unflushed(rig);
    ORDER(&rig->n[1], replica_promote(rig->n[1].replica, false, rig_answer, &rig->n[1]));
    assert_int_equal(rig->n[1].error, 0);
    assert_int_equal(run_io(&rig->n[1], 0, STORE_WRITE, 0, 0, data, sizeof data), 0);
    for (began = monotonic_ns(); monotonic_ns() - began < 200000000u;)
        rig_turn(rig->n, 2, 5);
    assert_false(rig->n[0].answered);
    all = superblocks(rig, 0, 0, &marked);
    assert_int_equal(all, marked); /* a crash now has to look at the log */
    fault_release(pair_fault(rig, 1, 0));
    WAIT(rig->n[0].answered);
    assert_int_equal(rig->n[0].error, 0);
    WAIT(metadata_rest(rig, 0));
    all = superblocks(rig, 0, 0, &marked);
    assert_int_not_equal(all, marked);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

/* The successor loses what it had not flushed: the one before it has it, and knows what. */
static void link_when_lost_before_the_successor_has_flushed_then_it_gets_it_again(void **state)
{
    struct rig *rig = rig_of(state);

    demote_unflushed(rig);
    replica_disconnect(rig->n[1].replica);
    WAIT(rig->n[0].answered && rig_status(&rig->n[0]).connection < CONN_CONNECTED);
    assert_int_equal(rig_status(&rig->n[0]).out_of_sync, 4096);
    fault_release(pair_fault(rig, 1, 0));
    spoil(rig, 1, 0);
    replica_connect(rig->n[1].replica, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static void closing_when_the_peer_has_not_flushed_then_after_that(void **state)
{
    struct rig *rig = rig_of(state);

    demote_unflushed(rig);
    fault_release(pair_fault(rig, 1, 0));
    assert_int_equal(rig_close(&rig->n[0]), 0);
    open_node(rig, 0);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

/* The marks are cleared a moment later. */
static void closing_when_being_demoted_then_after_that(void **state)
{
    static struct rig_node demotion; /* takes its answer */
    struct rig *rig = rig_of(state);
    static uint8_t data[4096] = {9};

    demotion = (struct rig_node){0};
    start(rig);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, 0, data, sizeof data), 0);
    replica_demote(rig->n[0].replica, rig_answer, &demotion);
    assert_int_equal(rig_close(&rig->n[0]), 0);
    assert_true(demotion.answered);
    assert_int_equal(demotion.error, 0);
    open_node(rig, 0);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static void closing_when_marks_lag_then_ends_clean(void **state)
{
    struct rig *rig = rig_of(state);

    rig->options.lus = 2;
    start(rig);
    hand_over(rig, 0);
    hand_over(rig, 1);
    hand_over(rig, 0);
    assert_int_equal(rig_close(&rig->n[1]), 0); /* Primary, never written to */
    assert_int_equal(rig_close(&rig->n[0]), 0);
    open_node(rig, 0);
    open_node(rig, 1);
    WAIT(good(0) && good(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_CASE(roles_when_nothing_is_written_then_no_metadata_is),
        PAIR_CASE(first_write_when_new_primary_then_mark_is_durable_before_it),
        PAIR_CASE(first_write_when_its_extent_is_cold_then_mark_and_log_are_written_together),
        PAIR_CASE(demotion_when_written_to_then_mark_is_cleared_on_disk),
        PAIR_CASE(flush_when_the_old_primary_has_not_flushed_then_waits_for_it),
        PAIR_CASE(demotion_when_the_peer_has_not_flushed_then_it_may_take_over),
        PAIR_CASE(link_when_lost_before_the_successor_has_flushed_then_it_gets_it_again),
        PAIR_CASE(closing_when_the_peer_has_not_flushed_then_after_that),
        PAIR_CASE(closing_when_being_demoted_then_after_that),
        PAIR_CASE(closing_when_marks_lag_then_ends_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
