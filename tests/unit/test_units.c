/* Which store a unit of this node stands on (target/daemon/units.c), with stores and replicas as counts of what was opened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "target/base/threads.h"
#include "target/daemon/attach.h"
#include "target/daemon/daemon.h"
#include "target/daemon/kept.h"
#include "target/daemon/resize.h"
#include "target/device/device.h"
#include "target/nexus/lane_change.h"
#include "target/nexus/meter.h"

struct threads threads;
struct lu *device_lus[LIMIT_LUS];
unsigned device_lu_count;
const struct replica_callbacks groups_replica_callbacks;

static struct config config;
static struct config_node node = {.name = "node3", .id = 3};
static struct config_group group;
static struct config_lu lu_config;
static struct daemon this_daemon;
static struct {
    unsigned files, nulls, replicas, closed, done, flushed, not_kept;
    int close_error;
    enum replica_disk disk;
    bool kept, attaching;
    void (*settling)(void);
    unsigned applied_lu;
    uint64_t applied;
} seen;

static void count_close(struct store *store)
{
    seen.closed++;
}

static const struct store_operations operations = {.name = "counted", .close = count_close};
/* Of the first replica and what is not replicated, of the one that takes its place. */
static struct store the_stores[] = {{.operations = &operations, .size = 1 << 20, .block_size = 512},
                                    {.operations = &operations, .size = 1 << 20, .block_size = 512}};

int file_store_open(const struct store_options *options, struct store **store, char *why)
{
    seen.files++;
    *store = &the_stores[0];
    return 0;
}

int memory_store_open(const struct store_options *options, struct store **store, char *why)
{
    fail();
    return -EINVAL;
}

int null_store_open(const struct store_options *options, struct store **store, char *why)
{
    seen.nulls++;
    assert_int_equal(options->size, lu_config.size);
    *store = &the_stores[0];
    return 0;
}

int replica_open(const struct replica_options *options, struct replica **replica, char *why)
{
    seen.replicas++;
    *replica = (struct replica *)the_stores; /* never looked into here */
    return 0;
}

void replica_get_status(const struct replica *replica, struct replica_status *status)
{
    *status = (struct replica_status){.disk = seen.disk};
}

bool lane_lease_valid(const struct reactor *reactor)
{
    return true;
}

struct store *replica_store(struct replica *replica, unsigned volume)
{
    return (struct store *)replica;
}

void replica_close(struct replica *replica, void (*done)(void *context, int error, const char *why), void *context)
{
    done(context, seen.close_error, "");
}

bool kept_take(const char *state_dir, const char *name)
{
    return seen.kept;
}

void kept_note(const char *state_dir, const char *name, enum kept kept)
{
    seen.flushed += kept == KEPT_FLUSHED;
    seen.not_kept += kept == KEPT_NOT;
}

void attach_settle(void (*done)(void))
{
    seen.settling = done;
    if (!seen.attaching)
        done();
}

void resize_apply(unsigned index, uint64_t blocks)
{
    seen.applied_lu = index;
    seen.applied = blocks;
}

void device_identify(struct lu *lu)
{
}

void lanes_init_lu(struct lu *lu, unsigned group_index)
{
}

void meters_configure(const struct config *configuration)
{
}

static void on_closed(struct daemon *daemon)
{
    seen.done++;
}

static int set_up(void **state)
{
    memset(&seen, 0, sizeof seen);
    group = (struct config_group){.name = "g0", .nodes = {1, 2}, .node_count = 2};
    lu_config = (struct config_lu){
        .name = "disk0", .path = "/srv/disk0", .store = STORE_KIND_FILE, .size = 1 << 20, .block_size = 512};
    config = (struct config){
        .nodes = &node, .node_count = 1, .groups = &group, .group_count = 1, .lus = &lu_config, .lu_count = 1};
    threads.reactors[0] = NULL;
    threads.reactor_count = 1;
    memset(&this_daemon, 0, sizeof this_daemon);
    this_daemon.config = &config;
    this_daemon.self = 3;
    return 0;
}

static int open_all(char why[512])
{
    return units_open(&this_daemon, why);
}

/* What has the unit's path on a node without a copy is not the unit's. */
static void unit_when_its_copies_are_elsewhere_then_no_file_is_opened(void **state)
{
    static const enum config_replication engines[] = {REPLICATION_BUILTIN, REPLICATION_DRBD};
    char why[512];

    for (unsigned i = 0; i < 2; i++) {
        set_up(NULL);
        group.replication = engines[i];
        assert_int_equal(0, open_all(why));
        assert_int_equal(0, seen.files + seen.replicas);
        assert_int_equal(1, seen.nulls);
        units_close(&this_daemon, on_closed);
        assert_int_equal(1, seen.closed);
        assert_int_equal(1, seen.done);
    }
}

static void unit_when_its_copies_are_elsewhere_then_its_size_has_to_be_told(void **state)
{
    char why[512] = "";

    group.replication = REPLICATION_BUILTIN;
    lu_config.size = 0;
    assert_int_equal(-EINVAL, open_all(why));
    assert_non_null(strstr(why, "disk0"));
    assert_non_null(strstr(why, "size"));
}

static void unit_when_a_copy_is_here_then_it_is_the_replicas(void **state)
{
    char why[512];

    group.replication = REPLICATION_BUILTIN;
    this_daemon.self = 2;
    assert_int_equal(0, open_all(why));
    assert_int_equal(1, seen.replicas);
    assert_int_equal(0, seen.files + seen.nulls);
    units_close(&this_daemon, on_closed);
    assert_int_equal(0, seen.closed); /* its replica's */
    assert_int_equal(1, seen.done);
}

static void copy_when_closed_in_order_then_noted_as_flushed_if_it_was_complete(void **state)
{
    static const struct {
        bool complete;
        int error;
        unsigned flushed;
    } rows[] = {{true, 0, 1}, {false, 0, 0}, {true, -EIO, 0}};
    char why[512];

    for (unsigned i = 0; i < 3; i++) {
        set_up(NULL);
        group.replication = REPLICATION_BUILTIN;
        this_daemon.self = 2;
        assert_int_equal(0, open_all(why));
        this_daemon.groups[0].kept = rows[i].complete;
        seen.close_error = rows[i].error;
        units_close(&this_daemon, on_closed);
        assert_int_equal(1, seen.done);
        assert_int_equal(rows[i].flushed, seen.flushed);
    }
}

static void copy_when_its_disk_is_gone_then_not_complete_when_it_comes_back(void **state)
{
    char why[512];

    for (unsigned gone = 0; gone < 2; gone++) {
        set_up(NULL);
        group.replication = REPLICATION_BUILTIN;
        this_daemon.self = 2;
        seen.kept = true;
        seen.disk = gone ? DISK_DISKLESS : DISK_CONSISTENT;
        assert_int_equal(0, open_all(why));
        assert_int_equal(gone, seen.not_kept);
        units_close(&this_daemon, on_closed);
        assert_int_equal(!gone, seen.flushed);
    }
}

static void unit_when_another_replica_takes_the_place_then_on_its_store_with_the_agreed_capacity(void **state)
{
    char why[512];

    group.replication = REPLICATION_BUILTIN;
    this_daemon.self = 2;
    assert_int_equal(0, open_all(why));
    assert_ptr_equal(&the_stores[0], device_lus[0]->store);
    device_lus[0]->blocks = 4096; /* it has grown */
    seen.applied_lu = 7;
    units_stand_on(&this_daemon.groups[0], (struct replica *)&the_stores[1]);
    assert_ptr_equal(&the_stores[1], device_lus[0]->store);
    assert_ptr_equal(&the_stores[1], this_daemon.groups[0].replica);
    assert_int_equal(0, seen.applied_lu);
    assert_int_equal(4096, seen.applied);
    assert_int_equal(4096, device_lus[0]->blocks);
    units_close(&this_daemon, on_closed);
}

static void units_when_a_disk_is_being_attached_then_closed_after_that(void **state)
{
    char why[512];

    group.replication = REPLICATION_BUILTIN;
    this_daemon.self = 2;
    seen.attaching = true;
    assert_int_equal(0, open_all(why));
    units_close(&this_daemon, on_closed);
    assert_int_equal(0, seen.done);
    assert_non_null(this_daemon.groups[0].replica);
    seen.settling();
    assert_int_equal(1, seen.done);
    assert_null(this_daemon.groups[0].replica);
}

static void unit_when_not_replicated_then_its_path_is_opened_and_closed(void **state)
{
    char why[512];

    assert_int_equal(0, open_all(why));
    assert_int_equal(1, seen.files);
    units_close(&this_daemon, on_closed);
    assert_int_equal(1, seen.closed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(unit_when_its_copies_are_elsewhere_then_no_file_is_opened, set_up),
        cmocka_unit_test_setup(unit_when_its_copies_are_elsewhere_then_its_size_has_to_be_told, set_up),
        cmocka_unit_test_setup(unit_when_a_copy_is_here_then_it_is_the_replicas, set_up),
        cmocka_unit_test_setup(copy_when_closed_in_order_then_noted_as_flushed_if_it_was_complete, set_up),
        cmocka_unit_test_setup(copy_when_its_disk_is_gone_then_not_complete_when_it_comes_back, set_up),
        cmocka_unit_test_setup(unit_when_another_replica_takes_the_place_then_on_its_store_with_the_agreed_capacity, set_up),
        cmocka_unit_test_setup(units_when_a_disk_is_being_attached_then_closed_after_that, set_up),
        cmocka_unit_test_setup(unit_when_not_replicated_then_its_path_is_opened_and_closed, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
