/* A disk that failed, or was not there, is attached to a node that runs: what stands for the copy meanwhile, and the replica that
 * takes its place.
 *
 * Not covered here: who orders it, and what the daemon does with the units (test_attach). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replica_pair.h"

static const char missing[] = "/dev/halun-test-no-such-disk";

static void size_is_not_configured(struct rig_node *node)
{
    node->lus[0].size = 0;
}

static void second_has_no_disk(struct rig_node *node)
{
    if (node->index == 1)
        strcpy(node->lus[0].path, missing);
}

/* The Secondary's disk fails under load; the other node goes on alone. */
static void fail_the_second(struct rig *rig)
{
    rig->options.keep_state = true;
    start_primary(rig);
    churn(rig, 0, 50);
    for (unsigned operation = STORE_READ; operation <= STORE_UNMAP; operation++)
        fault_fail(pair_fault(rig, 1, 0), operation, -EIO);
    churn(rig, 0, 50);
    WAIT(rig_status(&rig->n[1]).disk == DISK_FAILED);
}

static void stand_in(struct rig_node *node)
{
    struct replica *before = node->replica;

    node->replica = replica_stand_in(before);
    assert_non_null(node->replica);
    ORDER(node, replica_detach(before, rig_answer, node));
    replica_free(before);
}

static void put_in_place(struct rig_node *node, struct replica *attached)
{
    struct replica *before = node->replica;

    node->replica = attached;
    replica_start(attached);
    replica_close(before, NULL, NULL);
}

static void attach(struct rig_node *node)
{
    struct replica *attached;

    if (replica_attach(node->replica, &attached, node->why))
        fail_msg("%s", node->why);
    put_in_place(node, attached);
}

static void assert_equal_at_rest(struct rig *rig)
{
    WAIT(good(0) && good(1));
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    WAIT(metadata_rest(rig, 0) && metadata_rest(rig, 1));
    assert_equal_copies(rig);
}

static void disk_when_it_failed_and_is_good_again_then_what_it_missed_is_resynchronised(void **state)
{
    struct rig *rig = *state;
    struct rig_node *node = &rig->n[1];
    uint8_t data[512];

    fail_the_second(rig);
    stand_in(node);
    assert_int_equal(rig_status(node).disk, DISK_DISKLESS);
    assert_non_null(strstr(rig_status(node).why, "failed"));
    assert_int_equal(replica_store(node->replica, 0)->size, SIZE);
    assert_int_equal(run_io(node, 0, STORE_READ, 0, 0, data, sizeof data), -EIO);
    ORDER(node, replica_promote(node->replica, true, rig_answer, node));
    assert_int_equal(node->error, -EIO);
    churn(rig, 0, 50);
    fault_end_all();
    attach(node);
    churn(rig, 0, 50);
    assert_equal_at_rest(rig);
}

static void disk_when_it_is_an_empty_one_then_filled(void **state)
{
    struct rig *rig = *state;
    char path[200];

    fail_the_second(rig);
    rig_path(path, rig->directory, 1, 0);
    stand_in(&rig->n[1]);
    assert_int_equal(unlink(path), 0);
    attach(&rig->n[1]);
    churn(rig, 0, 50);
    assert_equal_at_rest(rig);
}

static void disk_when_it_cannot_be_used_then_the_reason_is_told_and_it_may_be_tried_again(void **state)
{
    struct rig *rig = *state;
    struct rig_node *node = &rig->n[1];
    struct replica *attached = NULL;
    struct stat whole;
    char path[200];

    fail_the_second(rig);
    rig_path(path, rig->directory, 1, 0);
    assert_int_equal(stat(path, &whole), 0);
    stand_in(node);
    assert_int_equal(truncate(path, 4096), 0);
    assert_int_equal(replica_attach(node->replica, &attached, node->why), -ENOMEDIUM);
    assert_null(attached);
    assert_non_null(strstr(node->why, path));
    replica_still_diskless(node->replica, node->why);
    assert_string_equal(rig_status(node).why, node->why);
    ORDER(node, replica_promote(node->replica, true, rig_answer, node));
    assert_string_equal(node->why, rig_status(node).why);
    assert_int_equal(truncate(path, whole.st_size), 0);
    attach(node);
    assert_equal_at_rest(rig);
}

static void disk_when_it_was_not_there_at_the_start_then_attached_as_well(void **state)
{
    struct rig *rig = *state;
    struct rig_node *node = &rig->n[1];

    start_primary(rig);
    churn(rig, 0, 50);
    WAIT(metadata_rest(rig, 1));
    assert_int_equal(rig_close(node), 0);
    rig->options.arrange = second_has_no_disk;
    open_node(rig, 1);
    assert_int_equal(rig_status(node).disk, DISK_DISKLESS);
    stand_in(node);
    assert_non_null(strstr(rig_status(node).why, missing));
    snprintf(node->lus[0].path, sizeof node->lus[0].path, "%s/%%n-0", rig->directory); /* it is plugged in again */
    attach(node);
    churn(rig, 0, 50);
    assert_equal_at_rest(rig);
}

/* Its callbacks would not find it yet. */
static void replica_when_not_started_then_it_asks_for_nothing(void **state)
{
    struct rig *rig = *state;
    struct rig_node *node = &rig->n[1];
    struct replica *attached;
    unsigned changed;

    fail_the_second(rig);
    stand_in(node);
    fault_end_all();
    changed = node->changed;
    assert_int_equal(replica_attach(node->replica, &attached, node->why), 0);
    churn(rig, 0, 50);
    assert_int_equal(changed, node->changed);
    assert_false(connection(0, CONN_CONNECTED));
    put_in_place(node, attached);
    WAIT(good(0) && good(1));
}

/* What the disk had in its cache as it was away may be gone. */
static void copy_when_it_was_kept_at_the_start_then_not_complete_once_attached(void **state)
{
    struct rig *rig = *state;
    struct replica *attached;

    rig->options.kept = true;
    fail_the_second(rig);
    rig_close(&rig->n[0]);
    stand_in(&rig->n[1]);
    fault_end_all();
    assert_int_equal(replica_attach(rig->n[1].replica, &attached, rig->n[1].why), 0);
    put_in_place(&rig->n[1], attached);
    WAIT(connection(1, CONN_WF_CONNECTION));
    assert_false(rig_status(&rig->n[1]).complete);
}

static void stand_in_when_the_size_is_not_configured_then_that_of_the_copy(void **state)
{
    struct rig *rig = *state;
    struct rig_node *node = &rig->n[1];
    struct replica_volume_status volume;

    start_primary(rig);
    WAIT(metadata_rest(rig, 1));
    assert_int_equal(rig_close(node), 0);
    rig->options.arrange = size_is_not_configured;
    open_node(rig, 1);
    WAIT(good(0) && good(1));
    stand_in(node);
    assert_int_equal(replica_store(node->replica, 0)->size, SIZE);
    assert_int_equal(replica_get_volumes(node->replica, &volume, 1), 1);
    assert_int_equal(volume.size, SIZE);
    attach(node);
    WAIT(good(0) && good(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_CASE(disk_when_it_failed_and_is_good_again_then_what_it_missed_is_resynchronised),
        PAIR_CASE(disk_when_it_is_an_empty_one_then_filled),
        PAIR_CASE(disk_when_it_cannot_be_used_then_the_reason_is_told_and_it_may_be_tried_again),
        PAIR_CASE(disk_when_it_was_not_there_at_the_start_then_attached_as_well),
        PAIR_CASE(replica_when_not_started_then_it_asks_for_nothing),
        PAIR_CASE(copy_when_it_was_kept_at_the_start_then_not_complete_once_attached),
        PAIR_CASE(stand_in_when_the_size_is_not_configured_then_that_of_the_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
