/* A node that is started while a disk of a group is gone: it has no copy, and says so; the other node goes on, and fills the
 * disk when it is back.
 *
 * Not covered here: what the cluster agrees on meanwhile, and a disk that answers with errors (the simulator). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replica_pair.h"

static const char missing[] = "/dev/halun-test-no-such-disk";

static void second_has_no_disk(struct rig_node *node)
{
    if (node->index == 1)
        strcpy(node->lus[0].path, missing);
}

static void and_its_size_is_not_configured(struct rig_node *node)
{
    second_has_no_disk(node);
    if (node->index == 1)
        node->lus[0].size = 0;
}

static void and_a_folder_is_missing(struct rig_node *node)
{
    if (node->index == 1)
        strcpy(node->lus[0].path, "/tmp/halun-test-no-such-folder/disk");
}

static void and_another_unit_cannot_be_replicated(struct rig_node *node)
{
    second_has_no_disk(node);
    node->lus[1].store = STORE_KIND_MEMORY;
}

static void disk_when_gone_then_diskless(void **state)
{
    struct rig *rig = *state;
    struct replica_volume_status volume;
    struct rig_node *node = &rig->n[1];
    uint8_t data[512];

    rig->options.arrange = second_has_no_disk;
    open_node(rig, 1);
    assert_int_equal(rig_status(node).disk, DISK_DISKLESS);
    assert_int_equal(rig_status(node).connection, CONN_STANDALONE);
    assert_non_null(strstr(rig_status(node).why, missing));
    assert_false(rig_status(node).complete);
    assert_int_equal(replica_get_volumes(node->replica, &volume, 1), 1);
    assert_int_equal(volume.disk, DISK_DISKLESS);
    assert_int_equal(replica_store(node->replica, 0)->size, SIZE);
    assert_int_equal(run_io(node, 0, STORE_READ, 0, 0, data, sizeof data), -EIO);
    assert_int_equal(run_io(node, 0, STORE_FLUSH, 0, 0, NULL, 0), -EIO);
}

static void diskless_when_ordered_then_only_what_needs_no_copy(void **state)
{
    struct rig *rig = *state;
    struct rig_node *node = &rig->n[1];

    rig->options.arrange = second_has_no_disk;
    open_node(rig, 1);
    ORDER(node, replica_promote(node->replica, true, rig_answer, node));
    assert_int_equal(node->error, -EIO);
    assert_non_null(strstr(node->why, missing));
    ORDER(node, replica_force_current(node->replica, rig_answer, node));
    assert_int_equal(node->error, -EIO);
    ORDER(node, replica_invalidate(node->replica, rig_answer, node));
    assert_int_equal(node->error, -EIO);
    /* Who outdates this copy, or waits until it is harmless, does not wait for a disk that is not there. */
    ORDER(node, replica_outdate(node->replica, rig_answer, node));
    assert_int_equal(node->error, 0);
    ORDER(node, replica_flush(node->replica, rig_answer, node));
    assert_int_equal(node->error, 0);
    ORDER(node, replica_demote(node->replica, rig_answer, node));
    assert_int_equal(node->error, 0);
    assert_int_equal(rig_close(node), 0);
}

static void diskless_when_the_size_is_not_configured_then_refused(void **state)
{
    struct rig *rig = *state;

    rig->options.arrange = and_its_size_is_not_configured;
    assert_int_equal(rig_open(&rig->n[1], 1, &rig->options), -EINVAL);
    assert_non_null(strstr(rig->n[1].why, missing));
    assert_non_null(strstr(rig->n[1].why, "lu0"));
}

static void configuration_when_wrong_then_refused(void **state)
{
    struct rig *rig = *state;

    rig->options.arrange = and_a_folder_is_missing;
    assert_int_equal(rig_open(&rig->n[1], 1, &rig->options), -ENOENT);
    rig->options.lus = 2;
    rig->options.arrange = and_another_unit_cannot_be_replicated;
    assert_int_equal(rig_open(&rig->n[1], 1, &rig->options), -EINVAL);
    assert_non_null(strstr(rig->n[1].why, "lu1"));
}

static void disk_when_back_then_filled_by_the_other_node(void **state)
{
    struct rig *rig = *state;
    struct stat whole;
    char path[200];

    rig->options.keep_state = true;
    start_primary(rig);
    churn(rig, 0, 50);
    WAIT(metadata_rest(rig, 1));
    assert_int_equal(rig_close(&rig->n[1]), 0);
    rig_path(path, rig->directory, 1, 0);
    assert_int_equal(stat(path, &whole), 0);
    assert_int_equal(truncate(path, 4096), 0); /* what is left of it */
    open_node(rig, 1);
    assert_int_equal(rig_status(&rig->n[1]).disk, DISK_DISKLESS);
    assert_non_null(strstr(rig_status(&rig->n[1]).why, "4096"));
    churn(rig, 0, 50); /* once it was agreed that the other copy is outdated */
    assert_int_equal(rig_close(&rig->n[1]), 0);
    assert_int_equal(truncate(path, whole.st_size), 0);
    open_node(rig, 1);
    WAIT(good(0) && good(1));
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    WAIT(metadata_rest(rig, 0) && metadata_rest(rig, 1));
    assert_equal_copies(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_CASE(disk_when_gone_then_diskless),
        PAIR_CASE(diskless_when_ordered_then_only_what_needs_no_copy),
        PAIR_CASE(diskless_when_the_size_is_not_configured_then_refused),
        PAIR_CASE(configuration_when_wrong_then_refused),
        PAIR_CASE(disk_when_back_then_filled_by_the_other_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
