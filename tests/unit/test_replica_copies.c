/* Copies that are given up: by order, by a split-brain policy; and generations begun by order. Not
 * covered here: split brain without a policy (test_replica), what the cluster agrees to before. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <qb/qblog.h>

#include "replica_pair.h"

static struct replica_status status(unsigned i)
{
    return rig_status(&the_rig->n[i]);
}

/* --- copies given up by order --- */

static void invalidate_when_secondary_then_all_is_copied_again(void **state)
{
    struct rig *rig = *state;

    start_primary(rig);
    churn(rig, 0, 100);
    spoil(rig, 1, 9 << 20);
    ORDER(&rig->n[0], replica_invalidate(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, -EBUSY);
    do
        ORDER(&rig->n[1], replica_invalidate(rig->n[1].replica, rig_answer, &rig->n[1]));
    while (rig->n[1].error == -EAGAIN);
    assert_int_equal(rig->n[1].error, 0);
    assert_int_equal(status(1).disk, DISK_INCONSISTENT);
    churn(rig, 0, 100);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static void invalidate_when_ordered_for_the_peer_then_all_is_copied_again(void **state)
{
    struct rig *rig = *state;

    for (unsigned primary = 0; primary < 2; primary++) {
        if (!primary) {
            start_primary(rig);
            churn(rig, 0, 100);
        } else { /* and without a Primary */
            ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
        }
        spoil(rig, 1, 9 << 20);
        ORDER(&rig->n[1], replica_outdate(rig->n[1].replica, rig_answer, &rig->n[1]));
        ORDER(&rig->n[0], replica_invalidate_peer(rig->n[0].replica, rig_answer, &rig->n[0]));
        assert_int_equal(rig->n[0].error, 0);
        WAIT(status(1).received > SIZE * (primary + 1ull) && good(0) && good(1));
        assert_equal_copies(rig);
    }
}

static void invalidate_when_killed_before_the_map_is_written_then_still_everything(void **state)
{
    struct rig *rig = *state;
    struct metadata_layout layout;
    const struct fault_write *w;
    struct superblock sb;
    struct fault *fault;
    char why[MD_WHY];

    start_primary(rig);
    layout = pair_layout(rig, 1, 0);
    fault = pair_fault(rig, 1, 0);
    fault_log(fault, layout.bitmap, layout.superblock + MD_BLOCK);
    fault_hold(fault, STORE_WRITE, 0, SIZE); /* no block comes */
    do
        ORDER(&rig->n[1], replica_invalidate(rig->n[1].replica, rig_answer, &rig->n[1]));
    while (rig->n[1].error == -EAGAIN);
    WAIT(fault_held(fault));
    /* No superblock says "Inconsistent" without either the flag or, before it, the whole map. */
    for (unsigned i = 0, full = 0, seen = 0; i < fault_logged(fault); i++) {
        w = fault_log_entry(fault, i);
        if (w->offset == layout.bitmap) {
            full = 0;
            for (unsigned k = 0; k < MD_BLOCK; k++)
                full += (unsigned)__builtin_popcount(w->block[k]);
        } else if (w->offset == layout.superblock && !superblock_decode(&sb, w->block, why) &&
                   !(sb.flags & MD_CONSISTENT)) {
            assert_true(sb.flags & MD_FULL_SYNC || full == SIZE / MD_BLOCK);
            seen++;
        }
        assert_true(i + 1 < fault_logged(fault) || seen);
    }
    fault_release(fault);
    WAIT(good(0) && good(1));
}

/* The marks are being written, and the connection was to stay away until they are. */
static void invalidate_when_connected_meanwhile_then_compared_once_more(void **state)
{
    struct rig *rig = *state;
    struct rig_node *n = rig->n;
    struct metadata_layout layout;
    struct fault *fault;

    start_primary(rig);
    churn(rig, 0, 50);
    WAIT(good(0) && good(1));
    spoil(rig, 1, 9 << 20);
    layout = pair_layout(rig, 1, 0);
    fault = pair_fault(rig, 1, 0);
    fault_hold(fault, STORE_WRITE, layout.superblock, layout.superblock + MD_BLOCK);
    n[1].answered = false;
    replica_invalidate(n[1].replica, rig_answer, &n[1]);
    WAIT(fault_held(fault) && status(1).disk == DISK_INCONSISTENT);
    replica_connect(n[1].replica, false);
    WAIT(status(1).connection >= CONN_WF_REPORT_PARAMS);
    fault_release(fault);
    WAIT(n[1].answered);
    assert_int_equal(n[1].error, 0);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

/* It was asked for its role, and loses the connection by the other order. */
static void invalidate_when_promoted_meanwhile_then_refused(void **state)
{
    struct rig *rig = *state;
    struct rig_node *n = rig->n, order = {0};

    start_primary(rig);
    churn(rig, 0, 50);
    ORDER(&n[0], replica_demote(n[0].replica, rig_answer, &n[0]));
    WAIT(good(0) && good(1));
    n[1].answered = false;
    replica_promote(n[1].replica, false, rig_answer, &n[1]);
    replica_invalidate(n[1].replica, rig_answer, &order);
    WAIT(n[1].answered && order.answered);
    assert_int_equal(n[1].error, 0);
    assert_int_equal(order.error, -EBUSY);
    assert_int_equal(status(1).disk, DISK_UP_TO_DATE);
    churn(rig, 1, 50);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static void invalidate_when_recorded_as_current_again_then_refused(void **state)
{
    struct rig *rig = *state;
    struct rig_node *n = rig->n;

    rig->options.recorded = true;
    start_primary(rig);
    churn(rig, 0, 50);
    WAIT(good(0) && good(1));
    replica_set_standing(n[1].replica, REPLICA_OWNED);
    ORDER(&n[1], replica_invalidate(n[1].replica, rig_answer, &n[1]));
    assert_int_equal(n[1].error, -EAGAIN);
    assert_non_null(strstr(n[1].why, "current again"));
    assert_true(good(0) && good(1));
    /* Agreed, and the connection is not there again yet. */
    replica_disconnect(n[0].replica);
    WAIT(status(1).connection < CONN_CONNECTED);
    replica_set_standing(n[1].replica, REPLICA_WORSE);
    ORDER(&n[1], replica_invalidate(n[1].replica, rig_answer, &n[1]));
    assert_int_equal(n[1].error, 0);
    assert_int_equal(status(1).disk, DISK_INCONSISTENT);
    replica_connect(n[0].replica, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static void generation_when_begun_by_order_then_the_other_copy_follows(void **state)
{
    struct rig *rig = *state;

    start_both(rig);
    ORDER(&rig->n[0], replica_new_current(rig->n[0].replica, rig_answer, &rig->n[0]));
    WAIT(good(0) && good(1));
    ORDER(&rig->n[0], replica_new_generation(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, -EBUSY);
    replica_disconnect(rig->n[0].replica);
    do
        ORDER(&rig->n[0], replica_new_generation(rig->n[0].replica, rig_answer, &rig->n[0]));
    while (rig->n[0].error == -EBUSY); /* the link is just being closed */
    assert_int_equal(rig->n[0].error, 0);
    replica_connect(rig->n[0].replica, false);
    WAIT(good(0) && good(1));
}

static struct superblock superblock_of(struct rig *rig, unsigned i)
{
    struct metadata_layout layout = pair_layout(rig, i, 0);
    uint8_t block[MD_BLOCK];
    char path[200], why[MD_WHY];
    struct superblock sb;
    int fd;

    rig_path(path, rig->directory, i, 0);
    fd = open(path, O_RDONLY);
    assert_int_equal(pread(fd, block, sizeof block, (off_t)layout.superblock), sizeof block);
    assert_int_equal(superblock_decode(&sb, block, why), 0);
    close(fd);
    return sb;
}

/* --- the good copy by order --- */

/* Node 1's copy is outdated and node 0's newer one is given up: it is the good one, what node 0 has is not touched before
 * that copy is given up by name, and then everything of node 1 goes there. */
static void old_copy_when_made_the_good_one_then_the_newer_one_is_refused_until_given_up(void **state)
{
    static uint8_t old[SIZE], now[SIZE];
    struct rig *rig = *state;
    struct rig_node *n = rig->n;

    start_primary(rig);
    churn(rig, 0, 50);
    ORDER(&n[1], replica_force_current(n[1].replica, rig_answer, &n[1]));
    assert_int_equal(n[1].error, -EBUSY); /* the peer is Primary */
    rig->agree = false;
    replica_disconnect(n[1].replica);
    WAIT(connection(1, CONN_STANDALONE) && n[0].asked == 1);
    ORDER(&n[1], replica_outdate(n[1].replica, rig_answer, &n[1]));
    replica_peer_outdated(n[0].replica, true);
    churn(rig, 0, 50); /* newer */
    ORDER(&n[0], replica_demote(n[0].replica, rig_answer, &n[0]));
    replica_disconnect(n[0].replica);
    WAIT(connection(0, CONN_STANDALONE));
    ORDER(&n[1], replica_promote(n[1].replica, true, rig_answer, &n[1]));
    assert_int_equal(n[1].error, -ENODATA);
    read_file(rig, 1, 0, old);
    ORDER(&n[1], replica_force_current(n[1].replica, rig_answer, &n[1]));
    assert_int_equal(n[1].error, 0);
    assert_int_equal(rig_status(&n[1]).disk, DISK_UP_TO_DATE);
    replica_connect(n[0].replica, false);
    for (unsigned i = 0; i < 2; i++)
        WAIT(connection(i, CONN_STANDALONE) && strstr(rig_status(&n[i]).why, "split brain"));
    promote(&n[1]);
    replica_connect(n[0].replica, true);
    replica_connect(n[1].replica, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
    read_file(rig, 0, 0, now);
    assert_memory_equal(old, now, pair_layout(rig, 0, 0).bitmap);
    rig->agree = true;
}

/* What a crash would find when the order is answered. */
static void old_copy_when_made_the_good_one_then_that_is_on_disk(void **state)
{
    struct rig *rig = *state;
    struct rig_node *n = rig->n;
    struct superblock before, after;

    start_primary(rig);
    churn(rig, 0, 20);
    rig->agree = false;
    replica_disconnect(n[1].replica);
    WAIT(connection(1, CONN_STANDALONE));
    ORDER(&n[1], replica_outdate(n[1].replica, rig_answer, &n[1]));
    assert_int_equal(n[1].error, 0);
    assert_int_equal(rig_status(&n[1]).disk, DISK_OUTDATED);
    before = superblock_of(rig, 1);
    assert_false(before.flags & MD_WAS_UP_TO_DATE);
    replica_disconnect(n[0].replica);
    ORDER(&n[1], replica_force_current(n[1].replica, rig_answer, &n[1]));
    assert_int_equal(n[1].error, 0);
    after = superblock_of(rig, 1);
    assert_true(after.flags & MD_CONSISTENT && after.flags & MD_WAS_UP_TO_DATE);
    assert_false(generation_equal(after.generations.current, before.generations.current));
    assert_true(generation_equal(after.generations.bitmap, before.generations.current));
    rig->agree = true;
}

/* The cluster may be asked twice for the same outdating; each acknowledgement says that the mark is on disk. */
static void outdate_when_ordered_twice_then_both_are_answered_when_it_is_durable(void **state)
{
    static struct rig_node first; /* takes the first answer */
    struct rig *rig = *state;
    struct rig_node *n = rig->n;
    struct metadata_layout layout;
    struct fault *fault;

    start_primary(rig);
    rig->agree = false;
    replica_disconnect(n[1].replica);
    WAIT(connection(1, CONN_STANDALONE));
    layout = pair_layout(rig, 1, 0);
    fault = pair_fault(rig, 1, 0);
    fault_hold(fault, STORE_WRITE, layout.superblock, layout.superblock + MD_BLOCK);
    replica_outdate(n[1].replica, rig_answer, &first);
    WAIT(fault_held(fault) && rig_status(&n[1]).disk == DISK_OUTDATED);
    n[1].answered = false;
    replica_outdate(n[1].replica, rig_answer, &n[1]);
    for (unsigned i = 0; i < 20; i++)
        rig_turn(n, 2, 5);
    assert_false(first.answered || n[1].answered);
    fault_release(fault);
    WAIT(first.answered && n[1].answered);
    assert_false(superblock_of(rig, 1).flags & MD_WAS_UP_TO_DATE);
    rig->agree = true;
}

static void copy_when_a_good_one_is_connected_then_not_by_order(void **state)
{
    struct rig *rig = *state;

    start_both(rig);
    ORDER(&rig->n[0], replica_new_current(rig->n[0].replica, rig_answer, &rig->n[0]));
    WAIT(good(0) && good(1));
    ORDER(&rig->n[1], replica_force_current(rig->n[1].replica, rig_answer, &rig->n[1]));
    assert_int_equal(rig->n[1].error, -EEXIST);
    assert_true(good(1));
}

/* --- split brain settled by policy --- */

/* `primary`: node 0 still is. `both`: node 1 wrote, too. */
static void part(struct rig *rig, bool primary, bool both)
{
    static uint8_t block[4096];

    start_primary(rig);
    churn(rig, 0, 50);
    rig->agree = false;
    replica_disconnect(rig->n[0].replica);
    replica_disconnect(rig->n[1].replica);
    WAIT(connection(0, CONN_STANDALONE) && connection(1, CONN_STANDALONE));
    WAIT(rig->n[0].asked == 1);
    replica_peer_outdated(rig->n[0].replica, true); /* a cluster would never agree for both */
    promote(&rig->n[1]);
    WAIT(rig->n[1].asked == 1);
    replica_peer_outdated(rig->n[1].replica, true);
    churn(rig, 0, 50);
    fill(rig, block, sizeof block);
    if (both)
        assert_int_equal(run_io(&rig->n[1], 0, STORE_WRITE, 0, 4096, block, sizeof block), 0);
    ORDER(&rig->n[1], replica_demote(rig->n[1].replica, rig_answer, &rig->n[1]));
    if (!primary)
        ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    rig->agree = true;
    if (rig->record)
        rig->record(rig, rig->better);
    replica_connect(rig->n[0].replica, false);
    replica_connect(rig->n[1].replica, false);
}

/* Both wrote; node 1 wrote less. */
static void split(struct rig *rig, bool primary)
{
    part(rig, primary, true);
}

/* discard-younger-primary and -older-primary go by that bit. */
static void generation_when_promoted_alone_then_its_base_says_that_it_was_secondary(void **state)
{
    struct rig *rig = *state;

    split(rig, true);
    for (unsigned i = 0; i < 2; i++)
        WAIT(connection(i, CONN_STANDALONE));
    assert_int_equal(superblock_of(rig, 0).generations.bitmap & 1, 1);
    assert_int_equal(superblock_of(rig, 1).generations.bitmap & 1, 0);
    assert_true(generation_equal(superblock_of(rig, 0).generations.bitmap,
                                 superblock_of(rig, 1).generations.bitmap));
}

static void least_changes(struct config_group *group)
{
    group->after_sb_0pri = 4;
}

static void split_brain_when_no_primary_and_least_changes_then_those_are_given_up(void **state)
{
    struct rig *rig = *state;
    uint8_t *before = malloc(SIZE), *after = malloc(SIZE);

    rig->options.tune = least_changes;
    split(rig, false);
    read_file(rig, 0, 0, before);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
    read_file(rig, 0, 0, after);
    assert_memory_equal(before, after, SIZE);
    free(before);
    free(after);
}

static void older_primary_loses(struct config_group *group)
{
    group->after_sb_0pri = 2; /* discard-older-primary */
    group->after_sb_1pri = 3; /* call-pri-lost-after-sb */
}

static void say_record(struct rig *rig, unsigned better)
{
    replica_set_standing(rig->n[better].replica, REPLICA_BETTER);
    replica_set_standing(rig->n[!better].replica, REPLICA_WORSE);
}

/* Both become equal, and what they have then is what `winner` had; `settle` (may be NULL) is what it takes. */
static void assert_wins(struct rig *rig, unsigned winner, void (*settle)(struct rig *rig))
{
    uint8_t *before = malloc(SIZE), *after = malloc(SIZE);

    read_file(rig, winner, 0, before);
    if (settle)
        settle(rig);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
    read_file(rig, winner, 0, after);
    assert_memory_equal(before, after, SIZE);
    free(before);
    free(after);
}

static void discard_node_0(struct rig *rig)
{
    replica_connect(rig->n[0].replica, true);
    replica_connect(rig->n[1].replica, false);
}

/* What the record calls current may have been made so by order, with the other copy's changes given up for good. */
static void split_brain_when_the_policy_gives_up_the_current_copy_then_refused(void **state)
{
    struct rig *rig = *state;

    rig->options.tune = least_changes;
    rig->options.recorded = true;
    rig->record = say_record;
    rig->better = 1;
    split(rig, false); /* node 1 has the least changes */
    for (unsigned i = 0; i < 2; i++)
        WAIT(connection(i, CONN_STANDALONE) && strstr(status(i).why, "split brain"));
    assert_wins(rig, 1, discard_node_0);
}

static void split_brain_when_the_policy_agrees_with_the_record_then_settled(void **state)
{
    struct rig *rig = *state;

    rig->options.tune = least_changes;
    rig->options.recorded = true;
    rig->record = say_record;
    rig->better = 0;
    split(rig, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

/* In this order, as the cluster does: a copy that is recorded as outdated before it is marked as such, and was changed, stays
 * alone for ever if they are compared in between. */
static void outdate_and_say_record(struct rig *rig, unsigned better)
{
    ORDER(&rig->n[!better], replica_outdate(rig->n[!better].replica, rig_answer, &rig->n[!better]));
    assert_int_equal(rig->n[!better].error, 0);
    say_record(rig, better);
}

/* All that was acknowledged since is on the other one: no operator is needed. Whether an owner has it in use or not. */
static void outdated_gives_way(struct rig *rig, bool primary)
{
    rig->options.recorded = true;
    rig->record = outdate_and_say_record;
    rig->better = 0;
    split(rig, primary);
    assert_wins(rig, 0, NULL);
}

static _Atomic unsigned verdicts;

static void count_verdicts(int32_t target, struct qb_log_callsite *callsite, struct timespec *at, const char *text)
{
    verdicts += strstr(text, ": rule ") != NULL;
}

/* Before anything is logged: libqb does not look again at places that have logged already. */
static void watch_log(void)
{
    int32_t target;

    qb_log_init("test_replica_copies", LOG_USER, LOG_EMERG);
    target = qb_log_custom_open(count_verdicts, NULL, NULL, NULL);
    qb_log_filter_ctl(target, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*", LOG_INFO);
    qb_log_ctl(target, QB_LOG_CONF_ENABLED, QB_TRUE);
}

static void nothing_settled(struct rig *rig, unsigned better)
{
    verdicts = 0; /* of what comes now */
}

/* Tried again as long as the cluster does not serve: one line for each node, not for each try. */
static void split_brain_when_nothing_is_settled_then_tried_again_and_logged_once(void **state)
{
    struct rig *rig = *state;
    uint64_t link;

    rig->options.recorded = true;
    rig->record = nothing_settled;
    split(rig, false);
    link = rig_status(&rig->n[0]).link;
    WAIT(rig_status(&rig->n[0]).link >= link + 12);
    assert_in_range(verdicts, 1, 2);
    outdate_and_say_record(rig, 0);
    assert_wins(rig, 0, NULL);
}

static void split_brain_when_one_was_outdated_then_it_gives_way(void **state)
{
    outdated_gives_way(*state, false);
}

static void split_brain_when_one_was_outdated_and_the_other_is_primary_then_it_gives_way(void **state)
{
    outdated_gives_way(*state, true);
}

/* Not marked: its node was away when that was agreed. */
static void split_brain_when_one_that_is_not_current_has_changed_nothing_then_it_gives_way(void **state)
{
    struct rig *rig = *state;

    rig->options.recorded = true;
    rig->record = say_record;
    rig->better = 0;
    part(rig, true, false);
    assert_wins(rig, 0, NULL);
}

/* The owner does not give its group up for a copy that is not current. */
static void split_brain_when_the_primary_is_the_current_copy_then_it_stays(void **state)
{
    struct rig *rig = *state;

    rig->options.tune = older_primary_loses;
    rig->options.recorded = true;
    rig->record = say_record;
    rig->better = 0;
    split(rig, true);
    for (unsigned i = 0; i < 2; i++)
        WAIT(connection(i, CONN_STANDALONE) && strstr(status(i).why, "split brain: both"));
    assert_int_equal(rig->n[0].lost, 0);
}

static void split_brain_when_one_primary_and_no_policy_for_that_then_refused(void **state)
{
    struct rig *rig = *state;

    rig->options.tune = least_changes;
    split(rig, true);
    for (unsigned i = 0; i < 2; i++)
        WAIT(connection(i, CONN_STANDALONE) && strstr(status(i).why, "split brain"));
}

static void discard_secondary(struct config_group *group)
{
    group->after_sb_1pri = 2;
}

static void split_brain_when_one_primary_and_discard_secondary_then_its_changes_win(void **state)
{
    struct rig *rig = *state;

    rig->options.tune = discard_secondary;
    split(rig, true);
    churn(rig, 0, 50);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static void split_brain_when_the_primary_loses_then_it_gives_way_first(void **state)
{
    struct rig *rig = *state;
    uint8_t *before = malloc(SIZE), *after = malloc(SIZE);

    rig->options.tune = older_primary_loses;
    split(rig, true);
    read_file(rig, 1, 0, before);
    WAIT(rig->n[0].lost && connection(0, CONN_STANDALONE));
    assert_int_equal(rig->n[0].lost, 1);
    assert_non_null(strstr(status(0).why, "has lost by after-sb policy"));
    assert_int_equal(status(0).role, REPLICA_PRIMARY);
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    assert_int_equal(rig->n[0].error, 0);
    replica_connect(rig->n[0].replica, false);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
    read_file(rig, 0, 0, after);
    assert_memory_equal(before, after, SIZE);
    assert_int_equal(rig->n[0].lost + rig->n[1].lost, 1);
    free(before);
    free(after);
}

static void least_changes_or_gives_way(struct config_group *group)
{
    group->after_sb_0pri = 4;
    group->after_sb_1pri = 3;
}

static void split_brain_when_the_primary_wins_then_it_stays_primary(void **state)
{
    struct rig *rig = *state;

    rig->options.tune = least_changes_or_gives_way;
    split(rig, true);
    churn(rig, 0, 50);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
    assert_int_equal(rig->n[0].lost + rig->n[1].lost, 0);
}

static void violently(struct config_group *group)
{
    group->after_sb_0pri = 2;
    group->after_sb_1pri = 4;
}

/* DRBD would exchange the data under the running Primary. */
static void split_brain_when_the_primary_would_lose_violently_then_refused(void **state)
{
    struct rig *rig = *state;

    rig->options.tune = violently;
    split(rig, true);
    WAIT(connection(0, CONN_STANDALONE) && strstr(status(0).why, "is Primary and should become"));
    assert_int_equal(rig->n[0].lost, 0);
}

static void policies_when_they_differ_then_refused(void **state)
{
    struct rig *rig = *state;

    open_node(rig, 0);
    rig->options.tune = discard_secondary;
    open_node(rig, 1);
    WAIT(strstr(status(0).why, "after-sb-1pri") && strstr(status(1).why, "after-sb-1pri"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_CASE(invalidate_when_secondary_then_all_is_copied_again),
        PAIR_CASE(invalidate_when_ordered_for_the_peer_then_all_is_copied_again),
        PAIR_CASE(invalidate_when_killed_before_the_map_is_written_then_still_everything),
        PAIR_CASE(invalidate_when_connected_meanwhile_then_compared_once_more),
        PAIR_CASE(invalidate_when_promoted_meanwhile_then_refused),
        PAIR_CASE(invalidate_when_recorded_as_current_again_then_refused),
        PAIR_CASE(generation_when_begun_by_order_then_the_other_copy_follows),
        PAIR_CASE(old_copy_when_made_the_good_one_then_the_newer_one_is_refused_until_given_up),
        PAIR_CASE(old_copy_when_made_the_good_one_then_that_is_on_disk),
        PAIR_CASE(outdate_when_ordered_twice_then_both_are_answered_when_it_is_durable),
        PAIR_CASE(copy_when_a_good_one_is_connected_then_not_by_order),
        PAIR_CASE(generation_when_promoted_alone_then_its_base_says_that_it_was_secondary),
        PAIR_CASE(split_brain_when_no_primary_and_least_changes_then_those_are_given_up),
        PAIR_CASE(split_brain_when_the_policy_gives_up_the_current_copy_then_refused),
        PAIR_CASE(split_brain_when_the_policy_agrees_with_the_record_then_settled),
        PAIR_CASE(split_brain_when_nothing_is_settled_then_tried_again_and_logged_once),
        PAIR_CASE(split_brain_when_one_was_outdated_then_it_gives_way),
        PAIR_CASE(split_brain_when_one_was_outdated_and_the_other_is_primary_then_it_gives_way),
        PAIR_CASE(split_brain_when_one_that_is_not_current_has_changed_nothing_then_it_gives_way),
        PAIR_CASE(split_brain_when_the_primary_is_the_current_copy_then_it_stays),
        PAIR_CASE(split_brain_when_one_primary_and_no_policy_for_that_then_refused),
        PAIR_CASE(split_brain_when_one_primary_and_discard_secondary_then_its_changes_win),
        PAIR_CASE(split_brain_when_the_primary_loses_then_it_gives_way_first),
        PAIR_CASE(split_brain_when_the_primary_wins_then_it_stays_primary),
        PAIR_CASE(split_brain_when_the_primary_would_lose_violently_then_refused),
        PAIR_CASE(policies_when_they_differ_then_refused),
    };
    watch_log();
    return cmocka_run_group_tests_name("replica_copies", tests, NULL, NULL);
}
