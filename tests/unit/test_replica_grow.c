/* Volumes that grow while they are in use: both nodes, and every crash in between as it would leave the device: each
 * write that was made cut off, and writes that were not flushed lost. drbdmeta reads the grown metadata where it is
 * installed.
 *
 * Not covered here: a peer of another kind, what initiators see (tests/cluster), block devices. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replica_pair.h"
#include "replication/last_place.h"
#include "replication/md_file.h"

enum { MORE = 24 << 20 };

static uint64_t file_size(struct rig *rig, unsigned node)
{
    char path[200];
    struct stat st;

    rig_path(path, rig->directory, node, 0);
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

static void enlarge(struct rig *rig, unsigned node, uint64_t more)
{
    char path[200];

    rig_path(path, rig->directory, node, 0);
    assert_int_equal(truncate(path, (off_t)(file_size(rig, node) + more)), 0);
}

static void resize(struct rig *rig, bool assume_clean)
{
    struct rig_node *node = &rig->n[0];

    do
        ORDER(node, replica_resize(node->replica, assume_clean, rig_answer, node));
    while (node->error == -EAGAIN);
}

static uint64_t exported(struct rig *rig, unsigned node)
{
    return replica_store(rig->n[node].replica, 0)->size;
}

/* All that is exported. */
static void assert_equal_in_full(struct rig *rig)
{
    uint64_t size = exported(rig, 0);

    assert_int_equal(size, exported(rig, 1));
    assert_equal_up_to(rig, 0, size);
}

static int grow_setup(void **state)
{
    int rc = pair_setup(state);

    the_rig->options.keep_state = true;
    return rc;
}
#define GROW_CASE(name) cmocka_unit_test_setup_teardown(name, grow_setup, pair_teardown)

static void reopen(struct rig *rig)
{
    for (unsigned i = 0; i < 2; i++)
        open_node(rig, i);
    WAIT(good(0) && good(1));
}

static void grow(struct rig *rig, bool assume_clean)
{
    static uint8_t block[4096], back[4096];
    uint64_t before;

    start_primary(rig);
    churn(rig, 0, 60);
    before = exported(rig, 0);
    for (unsigned i = 0; i < 2; i++)
        enlarge(rig, i, MORE);
    if (!assume_clean)
        spoil(rig, 1, before + (9 << 20));
    resize(rig, assume_clean);
    assert_int_equal(rig->n[0].error, 0);
    assert_int_equal(exported(rig, 0), before + MORE);
    WAIT(good(0) && good(1));
    assert_equal_in_full(rig);
    fill(rig, block, sizeof block);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_WRITE, 0, before + MORE - 4096, block, 4096), 0);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_READ, 0, before + MORE - 4096, back, 4096), 0);
    assert_memory_equal(block, back, 4096);
    churn(rig, 0, 60);
    WAIT(good(0) && good(1));
    assert_equal_in_full(rig);
}

static void grow_when_both_devices_did_then_the_new_part_is_copied(void **state)
{
    grow(*state, false);
}

static int drbdmeta(struct rig *rig, unsigned node)
{
    char command[400], path[200];

    rig_path(path, rig->directory, node, 0);
    remove("/var/lib/drbd/drbd-minor-197.lkbd");
    snprintf(command, sizeof command, "drbdmeta --force 197 v08 %s internal dump-md 2>/dev/null | "
                                      "grep -q 'la-size-sect %llu'",
             path, (unsigned long long)pair_layout(rig, node, 0).data_sectors);
    return system(command);
}

static void grow_when_assumed_clean_then_nothing_is_copied(void **state)
{
    struct rig *rig = *state;
    char text[16], path[200];
    uint64_t before;
    int fd;

    start_primary(rig);
    before = exported(rig, 0);
    for (unsigned i = 0; i < 2; i++)
        enlarge(rig, i, MORE);
    spoil(rig, 1, before + (9 << 20));
    resize(rig, true);
    assert_int_equal(rig->n[0].error, 0);
    WAIT(good(0) && good(1));
    rig_path(path, rig->directory, 1, 0);
    fd = open(path, O_RDONLY);
    assert_int_equal(pread(fd, text, sizeof text, (off_t)(before + (9 << 20))), sizeof text);
    assert_string_equal(text, "a difference");
    close(fd);
}

/* The mark of a Primary whose peer is connected is written with its first write (role_mark.h): here nobody writes. */
static void grow_when_the_mark_of_the_role_still_lags_then_done(void **state)
{
    struct rig *rig = *state;
    uint64_t before;

    start_primary(rig);
    ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
    promote(&rig->n[0]);
    before = exported(rig, 0);
    for (unsigned i = 0; i < 2; i++)
        enlarge(rig, i, MORE);
    resize(rig, true);
    assert_int_equal(rig->n[0].error, 0);
    assert_int_equal(exported(rig, 0), before + MORE);
}

static void grow_when_restarted_then_metadata_are_at_the_new_end(void **state)
{
    struct rig *rig = *state;
    uint64_t size;

    grow(rig, true);
    size = exported(rig, 0);
    for (unsigned i = 0; i < 2; i++)
        rig_close(&rig->n[i]);
    if (!system("command -v drbdmeta >/dev/null 2>&1"))
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(drbdmeta(rig, i), 0);
    reopen(rig);
    assert_int_equal(exported(rig, 0), size);
    assert_int_equal(exported(rig, 1), size);
    promote(&rig->n[1]);
    churn(rig, 1, 60);
    WAIT(good(0) && good(1));
    assert_equal_in_full(rig);
}

static void grow_when_only_one_device_did_then_refused_and_nothing_changed(void **state)
{
    struct rig *rig = *state;
    uint64_t before;

    start_primary(rig);
    before = exported(rig, 0);
    resize(rig, false);
    assert_int_equal(rig->n[0].error, 0); /* nothing to do */
    enlarge(rig, 0, MORE);
    resize(rig, false);
    assert_int_equal(rig->n[0].error, -ENOSPC);
    assert_int_equal(exported(rig, 0), before);
    churn(rig, 0, 60);
    ORDER(&rig->n[1], replica_resize(rig->n[1].replica, false, rig_answer, &rig->n[1]));
    assert_int_equal(rig->n[1].error, -EBUSY);
    enlarge(rig, 1, MORE / 2); /* less than here: the smaller counts */
    resize(rig, false);
    assert_int_equal(rig->n[0].error, 0);
    assert_int_equal(exported(rig, 0), before + MORE / 2);
    WAIT(good(0) && good(1));
    assert_equal_in_full(rig);
    enlarge(rig, 1, MORE / 2); /* no new place for the metadata here, but there */
    resize(rig, false);
    assert_int_equal(rig->n[0].error, 0);
    assert_int_equal(exported(rig, 0), before + MORE);
    WAIT(good(0) && good(1));
    assert_equal_in_full(rig);
}

/* The metadata are not where they are looked for. */
static void device_when_it_grew_while_nobody_used_it_then_it_is_used_as_before(void **state)
{
    struct rig *rig = *state;
    uint64_t before;

    start_primary(rig);
    churn(rig, 0, 60);
    before = exported(rig, 0);
    for (unsigned i = 0; i < 2; i++) {
        rig_close(&rig->n[i]);
        enlarge(rig, i, MORE);
    }
    reopen(rig);
    assert_int_equal(exported(rig, 0), before);
    promote(&rig->n[0]);
    churn(rig, 0, 60);
    resize(rig, false);
    assert_int_equal(rig->n[0].error, 0);
    assert_int_equal(exported(rig, 0), before + MORE);
    WAIT(good(0) && good(1));
    assert_equal_in_full(rig);
}

static void grow_when_the_metadata_would_overlap_then_refused(void **state)
{
    struct rig *rig = *state;

    rig->options.size = UINT64_C(64) << 30; /* its map takes 2 MiB */
    start_primary(rig);
    for (unsigned i = 0; i < 2; i++)
        enlarge(rig, i, 1536 << 10);
    resize(rig, false);
    assert_int_equal(rig->n[0].error, -EINVAL);
    assert_non_null(strstr(rig->n[0].why, "bytes more"));
}

/* --- crashes --- */

static void copy_file(const char *from, const char *to)
{
    char command[500];

    snprintf(command, sizeof command, "cp --sparse=always %s %s", from, to);
    assert_int_equal(system(command), 0);
}

struct found {
    bool grown;
    struct generations generations;
    uint64_t set, set_new; /* bits; of the new part */
};

/* What a node that starts finds on a device. */
static struct found look_at(const char *path, uint64_t old_bytes, uint64_t new_bytes, uint64_t old_sectors)
{
    struct found found = {0};
    struct md_file file;
    char why[MD_WHY] = "";
    int fd = open(path, O_RDWR);

    found.grown = md_file_probe(fd, METADATA_INTERNAL, new_bytes, why) != -ENODATA;
    if (md_file_load(&file, fd, METADATA_INTERNAL, found.grown ? new_bytes : old_bytes, 0, why))
        fail_msg("%s", why);
    found.generations = file.superblock.generations;
    assert_int_equal(file.map.sectors, found.grown ? file.layout.data_sectors : old_sectors);
    assert_false(file.log_damaged);
    found.set = file.map.set;
    found.set_new = dirty_map_count(&file.map, old_sectors / MD_BLOCK_SECTORS, UINT64_MAX / 16);
    md_file_free(&file);
    close(fd);
    return found;
}

/* The writes of a growth are cut off after each one; and of those that no flush had made durable only some are kept. */
static void grow_when_cut_at_every_write_then_the_old_volume_or_the_new_one_is_there(void **state)
{
    struct rig *rig = *state;
    char path[200], before[220], image[220];
    uint64_t old_bytes, new_bytes, old_sectors, new_blocks;
    unsigned count, superblock = 0, grown = 0;
    struct metadata_layout layout;
    struct fault *fault;

    start_primary(rig);
    churn(rig, 0, 60);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_FLUSH, 0, 0, NULL, 0), 0);
    WAIT(good(0) && good(1));
    old_bytes = file_size(rig, 0);
    old_sectors = exported(rig, 0) / MD_SECTOR;
    for (unsigned i = 0; i < 2; i++)
        enlarge(rig, i, MORE);
    new_bytes = old_bytes + MORE;
    new_blocks = MORE / MD_BLOCK;
    layout = pair_layout(rig, 0, 0);
    rig_path(path, rig->directory, 0, 0);
    snprintf(before, sizeof before, "%s.before", path);
    snprintf(image, sizeof image, "%s.image", path);
    copy_file(path, before);
    fault = pair_fault(rig, 0, 0);
    fault_log(fault, old_sectors * MD_SECTOR, new_bytes);
    resize(rig, false);
    assert_int_equal(rig->n[0].error, 0);
    count = fault_logged(fault);
    for (unsigned i = 0; i < count && !superblock; i++)
        if (fault_log_entry(fault, i)->offset == layout.superblock)
            superblock = i;
    assert_true(superblock > 8); /* behind the map and the log */
    for (unsigned cut = 0; cut <= superblock + 1; cut++) {
        for (unsigned lose = 0; lose < 2; lose++) {
            struct found found;
            int fd;

            copy_file(before, image);
            fd = open(image, O_WRONLY);
            for (unsigned i = 0; i < cut; i++) {
                const struct fault_write *w = fault_log_entry(fault, i);

                /* The superblock is written behind a flush. */
                if (lose && cut <= superblock && rand_r(&rig->seed) % 2)
                    continue;
                assert_int_equal(pwrite(fd, w->block, MD_BLOCK, (off_t)w->offset), MD_BLOCK);
            }
            close(fd);
            found = look_at(image, old_bytes, new_bytes, old_sectors);
            assert_int_equal(found.grown, cut == superblock + 1);
            grown += found.grown;
            if (found.grown)
                assert_int_equal(found.set_new, new_blocks); /* nothing of it was copied yet */
            else
                assert_int_equal(found.set_new, 0);
        }
    }
    assert_int_equal(grown, 2);
    unlink(before);
    unlink(image);
}

/* The peer has grown, this node crashes before it has: at the next connection it does. */
static void grow_when_one_node_missed_it_then_it_grows_when_they_meet(void **state)
{
    struct rig *rig = *state;
    char path[200], image[220];
    uint64_t before, old_bytes;
    struct metadata_layout layout;
    struct fault *fault;

    start_primary(rig);
    churn(rig, 0, 60);
    before = exported(rig, 0);
    old_bytes = file_size(rig, 0);
    for (unsigned i = 0; i < 2; i++)
        enlarge(rig, i, MORE);
    layout = pair_layout(rig, 0, 0);
    fault = pair_fault(rig, 0, 0);
    fault_hold(fault, STORE_WRITE, layout.superblock, layout.superblock + MD_BLOCK);
    rig->n[0].answered = false;
    replica_resize(rig->n[0].replica, false, rig_answer, &rig->n[0]);
    WAIT(fault_held(fault));
    rig_path(path, rig->directory, 0, 0);
    snprintf(image, sizeof image, "%s.image", path);
    copy_file(path, image); /* as a crash leaves it now */
    fault_release(fault);
    WAIT(rig->n[0].answered);
    for (unsigned i = 0; i < 2; i++)
        rig_close(&rig->n[i]);
    copy_file(image, path);
    unlink(image);
    assert_int_equal(last_place_write(rig->n[0].config.state_dir, rig->n[0].lus[0].uuid, old_bytes), 0);
    spoil(rig, 0, before + (9 << 20));
    open_node(rig, 0);
    assert_int_equal(exported(rig, 0), before);
    open_node(rig, 1);
    WAIT(good(0) && good(1));
    assert_int_equal(exported(rig, 0), before + MORE);
    assert_equal_in_full(rig);
}

/* Both devices are larger, and the peer grows; node 0's disk fails before it has. */
static void grow_in_vain(struct rig *rig, uint64_t more)
{
    struct fault *fault = pair_fault(rig, 0, 0);

    for (unsigned i = 0; i < 2; i++)
        enlarge(rig, i, more);
    fault_fail(fault, STORE_FLUSH, -EIO);
    ORDER(&rig->n[0], replica_resize(rig->n[0].replica, false, rig_answer, &rig->n[0]));
    fault_fail(fault, STORE_FLUSH, 0);
    assert_int_equal(rig->n[0].error, -EIO);
}

/* Before the new superblock: as if nothing had been. */
static void grow_when_a_write_fails_then_the_volume_stays_as_it_was(void **state)
{
    struct rig *rig = *state;
    uint64_t before;

    start_primary(rig);
    churn(rig, 0, 60);
    WAIT(good(0) && good(1));
    before = exported(rig, 0);
    grow_in_vain(rig, MORE);
    assert_int_equal(exported(rig, 0), before);
    churn(rig, 0, 60);
    resize(rig, false); /* the peer has grown already */
    assert_int_equal(rig->n[0].error, 0);
    assert_int_equal(exported(rig, 0), before + MORE);
    WAIT(good(0) && good(1));
    assert_equal_in_full(rig);
}

/* The owner's disk failed as it grew behind its peer, and its daemon was started again: it grows alone and marks what is new,
 * while both copies are of one generation. `owner` is promoted, before they are connected or then. */
static void grow_alone(struct rig *rig, unsigned owner, bool early, uint64_t more)
{
    struct metadata_layout layout;
    struct fault *fault;
    uint64_t before, grown, link;

    rig->options.recorded = true;
    start_primary(rig);
    churn(rig, 0, 60);
    WAIT(good(0) && good(1));
    before = exported(rig, 0);
    grow_in_vain(rig, more);
    grown = exported(rig, 1);
    assert_in_range(grown, before + more - (1 << 20), before + more); /* the map takes some */
    rig_close(&rig->n[0]);
    replica_disconnect(rig->n[1].replica); /* it grows as soon as they meet */
    WAIT(connection(1, CONN_STANDALONE));
    spoil(rig, 0, before + (9 << 20));
    open_node(rig, 0);
    for (unsigned i = 0; i < 2; i++)
        replica_set_standing(rig->n[i].replica, REPLICA_EQUAL);
    assert_int_equal(exported(rig, 0), before);
    if (!early)
        replica_connect(rig->n[1].replica, false);
    else {
        rig->agree = false; /* or it would begin a new generation */
        layout = pair_layout(rig, 0, 0);
        fault = pair_fault(rig, 0, 0);
        fault_hold(fault, STORE_WRITE, layout.superblock, layout.superblock + MD_BLOCK);
        replica_connect(rig->n[1].replica, false);
        WAIT(fault_held(fault));
        promote(&rig->n[owner]);
        fault_release(fault);
    }
    WAIT(connection(0, CONN_CONNECTED) && connection(1, CONN_CONNECTED) && exported(rig, 0) == grown);
    link = rig_status(&rig->n[0]).link;
    assert_int_equal(rig_status(&rig->n[0]).disk, DISK_UP_TO_DATE); /* it serves all that there was */
    if (!early)
        promote(&rig->n[owner]);
    WAIT(good(0) && good(1));
    assert_equal_in_full(rig);
    churn(rig, owner, 60);
    WAIT(good(0) && good(1));
    assert_equal_in_full(rig);
    assert_int_equal(rig_status(&rig->n[0]).link, link); /* on that connection, and not because it was lost */
}

static void grow_when_alone_and_equal_then_the_other_sends_what_is_new(void **state)
{
    grow_alone(*state, 1, false, MORE);
}

static void grow_when_alone_and_equal_then_it_sends_what_is_new_itself(void **state)
{
    grow_alone(*state, 0, false, MORE);
}

static void grow_when_alone_and_the_other_is_primary_already_then_that_sends_what_is_new(void **state)
{
    grow_alone(*state, 1, true, MORE);
}

/* By more than one packet tells of. */
static void grow_when_alone_by_much_then_sent_as_well(void **state)
{
    grow_alone(*state, 1, false, MESSAGE_MAX_TRIM + MORE);
}

static void grow_when_written_to_all_the_time_then_nothing_is_lost(void **state)
{
    enum { PARALLEL = 8 };
    static uint8_t blocks[PARALLEL][4096];
    struct rig_io io[PARALLEL] = {0};
    struct rig *rig = *state;
    struct rig_node *node = &rig->n[0];

    start_primary(rig);
    for (unsigned i = 0; i < 2; i++)
        enlarge(rig, i, MORE);
    node->answered = false;
    replica_resize(node->replica, false, rig_answer, node);
    for (unsigned i = 0; i < PARALLEL; i++)
        io[i].done = true;
    while (!node->answered) {
        for (unsigned i = 0; i < PARALLEL; i++) {
            if (!io[i].done)
                continue;
            assert_int_equal(io[i].error, 0);
            fill(rig, blocks[i], sizeof blocks[i]);
            rig_submit(node, &io[i], 0, STORE_WRITE, 0, (unsigned)rand_r(&rig->seed) % (SIZE / 4096) * 4096ull,
                       blocks[i], sizeof blocks[i]);
        }
        rig_turn(rig->n, 2, 1);
    }
    assert_int_equal(node->error, 0);
    for (unsigned i = 0; i < PARALLEL; i++)
        WAIT(io[i].done && !io[i].error);
    WAIT(good(0) && good(1));
    assert_equal_in_full(rig);
}

static void grow_when_ordered_twice_then_one_after_the_other(void **state)
{
    static struct rig_node first; /* takes the first answer */
    struct rig *rig = *state;
    struct rig_node *node = &rig->n[0];
    uint64_t before;

    start_primary(rig);
    WAIT(good(0) && good(1));
    before = exported(rig, 0);
    for (unsigned i = 0; i < 2; i++)
        enlarge(rig, i, MORE);
    replica_resize(node->replica, false, rig_answer, &first);
    ORDER(node, replica_resize(node->replica, false, rig_answer, node));
    WAIT(first.answered);
    assert_int_equal(first.error, 0);
    assert_int_equal(node->error, 0);
    assert_int_equal(exported(rig, 0), before + MORE);
    WAIT(good(0) && good(1));
    assert_equal_in_full(rig);
}

/* The peer has not answered yet when the owner changes: this node grows as Secondary, and marks what is new. */
static void grow_when_the_owner_changes_meanwhile_then_the_new_one_sends_what_is_new(void **state)
{
    struct rig *rig = *state;
    struct rig_node *n = rig->n;
    struct fault *fault;
    uint64_t before;

    rig->options.recorded = true;
    start_primary(rig);
    for (unsigned i = 0; i < 2; i++)
        replica_set_standing(n[i].replica, REPLICA_EQUAL);
    WAIT(good(0) && good(1) && metadata_rest(rig, 1));
    before = exported(rig, 0);
    for (unsigned i = 0; i < 2; i++)
        enlarge(rig, i, MORE);
    spoil(rig, 1, before + (9 << 20));
    fault = pair_fault(rig, 1, 0);
    fault_hold(fault, STORE_FLUSH, 0, 0); /* it grows */
    replica_resize(n[0].replica, false, rig_answer, &n[0]);
    WAIT(fault_held(fault));
    n[1].answered = false;
    replica_demote(n[0].replica, rig_answer, &n[1]);
    WAIT(n[1].answered);
    assert_int_equal(n[1].error, 0);
    n[0].answered = false; /* the order to grow */
    fault_release(fault);
    promote(&n[1]);
    WAIT(n[0].answered);
    assert_int_equal(n[0].error, 0);
    assert_int_equal(exported(rig, 0), before + MORE);
    WAIT(good(0) && good(1));
    assert_equal_in_full(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GROW_CASE(grow_when_both_devices_did_then_the_new_part_is_copied),
        GROW_CASE(grow_when_assumed_clean_then_nothing_is_copied),
        GROW_CASE(grow_when_the_mark_of_the_role_still_lags_then_done),
        GROW_CASE(grow_when_restarted_then_metadata_are_at_the_new_end),
        GROW_CASE(grow_when_only_one_device_did_then_refused_and_nothing_changed),
        GROW_CASE(device_when_it_grew_while_nobody_used_it_then_it_is_used_as_before),
        GROW_CASE(grow_when_the_metadata_would_overlap_then_refused),
        GROW_CASE(grow_when_cut_at_every_write_then_the_old_volume_or_the_new_one_is_there),
        GROW_CASE(grow_when_one_node_missed_it_then_it_grows_when_they_meet),
        GROW_CASE(grow_when_a_write_fails_then_the_volume_stays_as_it_was),
        GROW_CASE(grow_when_alone_and_equal_then_the_other_sends_what_is_new),
        GROW_CASE(grow_when_alone_and_equal_then_it_sends_what_is_new_itself),
        GROW_CASE(grow_when_alone_and_the_other_is_primary_already_then_that_sends_what_is_new),
        GROW_CASE(grow_when_alone_by_much_then_sent_as_well),
        GROW_CASE(grow_when_written_to_all_the_time_then_nothing_is_lost),
        GROW_CASE(grow_when_ordered_twice_then_one_after_the_other),
        GROW_CASE(grow_when_the_owner_changes_meanwhile_then_the_new_one_sends_what_is_new),
    };
    return cmocka_run_group_tests_name("replica_grow", tests, NULL, NULL);
}
