/* The stream of `drbdsetup events2` in the dialects of 8.4 and 9: lines, the view of a resource that they add up to,
 * and what the contract of replication makes of it. The streams are the corpus of fuzz_drbd_events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replication/drbd_view.h"

static struct drbd_view view;
static struct replica_status status;

static int parse(const char *line, struct drbd_event *event)
{
    return drbd_event_parse(line, strlen(line), event);
}

static FILE *recorded(const char *name)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", DRBD_STREAMS, name);
    file = fopen(path, "r");
    assert_non_null(file);
    return file;
}

/* Takes in lines up to and with the one that contains `until` (NULL: all); the rest stays in the file. */
static void take(FILE *file, const char *resource, const char *until)
{
    char line[1024];

    while (fgets(line, sizeof line, file)) {
        struct drbd_event event;

        assert_int_equal(0, drbd_event_parse(line, strcspn(line, "\n"), &event));
        assert_string_equal("", event.unknown);
        drbd_view_apply(&view, resource, &event);
        if (until && strstr(line, until))
            break;
    }
    if (until)
        assert_non_null(strstr(line, until));
    drbd_view_status(&view, drbd_view_peer(&view, NULL), &status);
}

static FILE *begin(const char *name)
{
    memset(&view, 0, sizeof view);
    return recorded(name);
}

static bool equal(void)
{
    return drbd_view_equal(&view, drbd_view_peer(&view, NULL));
}

static bool stale(void)
{
    return drbd_view_peer_stale(&view, drbd_view_peer(&view, NULL));
}

static void test_lines(void **state)
{
    struct drbd_event e;

    assert_int_equal(0, parse("exists -", &e));
    assert_int_equal(DRBD_DUMPED, e.object);
    assert_int_equal(0, parse("2026-11-26T04:00:00.000001+01:00 change resource name:r0 role:Primary", &e));
    assert_int_equal(DRBD_CHANGE, e.verb);
    assert_int_equal(DRBD_HAS_NAME | DRBD_HAS_ROLE, e.fields);
    assert_int_equal(DRBD_PRIMARY, e.role);
    assert_int_equal(0, parse("17* change device name:r0 volume:3 minor:4 disk:Outdated", &e));
    assert_int_equal(3, e.volume);
    assert_int_equal(4, e.minor);
    assert_int_equal(DISK_OUTDATED, e.disk);
    /* "change" may have nothing to say */
    assert_int_equal(0, parse("change connection name:r0 peer-node-id:0 conn-name:peer", &e));
    /* unknown keys are for others; a colon may stand in a value */
    assert_int_equal(0, parse("exists path name:r0 peer-node-id:1 local:ipv4:10.0.0.1:7789 new-key:x", &e));
    assert_int_equal(0, parse("exists peer-device name:r0 peer-node-id:1 volume:0 resync-suspended:user,dependency "
                              "done:99.97 out-of-sync:4",
                              &e));
    assert_true(e.paused_here && e.paused_there);
    assert_int_equal(9997, e.done);
    assert_int_equal(4096, e.out_of_sync);
}

static void test_bad_lines(void **state)
{
    static const char *const bad[] = {
        "",
        "   ",
        "2026-11-26T04:00:00Z",
        "exists",
        "exist -",
        "exists thing name:r0",
        "exists resource",
        "exists resource name:",
        "exists resource role:Primary",
        "exists resource name:r0 word",
        "exists resource name:r0 :value",
        "exists device name:r0",
        "exists device name:r0 volume:-1",
        "exists device name:r0 volume:1x",
        "exists device name:r0 volume:99999999999",
        "exists device name:r0 volume:0 size:18446744073709551615",
        "exists device name:r0 volume:0 quorum:maybe",
        "exists connection name:r0",
        "exists peer-device name:r0 volume:0",
        "exists peer-device name:r0 peer-node-id:0 volume:0 done:1.5",
        "exists peer-device name:r0 peer-node-id:0 volume:0 done:101",
    };
    struct drbd_event e;
    char name[600] = "exists resource name:";

    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        if (parse(bad[i], &e) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
    memset(name + strlen(name), 'n', 500);
    assert_int_equal(-EINVAL, parse(name, &e));
    assert_int_equal(-EINVAL, drbd_event_parse("exists \0-", 9, &e));
}

/* A state that some later version may have must not pass for a good one. */
static void test_unknown_words(void **state)
{
    struct drbd_event e;

    assert_int_equal(0, parse("change device name:r0 volume:0 disk:Sparkling", &e));
    assert_int_equal(DISK_UNKNOWN, e.disk);
    assert_string_equal("Sparkling", e.unknown);
    assert_int_equal(0, parse("change connection name:r0 peer-node-id:0 connection:Ringing role:Chief", &e));
    assert_int_equal(CONN_UNCONNECTED, e.connection);
    assert_int_equal(DRBD_ROLE_UNKNOWN, e.role);
    assert_string_equal("Ringing", e.unknown);
}

static void test_84_sync(void **state)
{
    FILE *file = begin("84-up-sync-primary");

    take(file, "r0", "peer-device");
    assert_false(view.dumped);
    assert_false(equal() || stale()); /* nothing can be said before all was told */
    take(file, "r0", "exists -");
    assert_true(view.dumped && view.up);
    assert_int_equal(DISK_DISKLESS, status.disk);
    assert_int_equal(CONN_STANDALONE, status.connection);
    take(file, "r0", "connection:Connecting");
    assert_int_equal(CONN_WF_CONNECTION, status.connection);
    assert_int_equal(DISK_UP_TO_DATE, status.disk);
    assert_int_equal(DISK_UNKNOWN, status.peer_disk);
    assert_false(stale()); /* Secondary, and never connected: nobody knows */
    take(file, "r0", "replication:SyncSource");
    assert_int_equal(CONN_SYNC_SOURCE, status.connection);
    assert_int_equal(DISK_INCONSISTENT, status.peer_disk);
    assert_true(stale());
    take(file, "r0", NULL);
    assert_int_equal(CONN_CONNECTED, status.connection);
    assert_int_equal(REPLICA_PRIMARY, status.role);
    assert_int_equal(REPLICA_SECONDARY, status.peer_role);
    assert_true(equal());
    assert_false(stale());
    assert_false(status.suspended);
    fclose(file);
}

static void test_84_link_lost(void **state)
{
    FILE *file = begin("84-link-lost");

    take(file, "r0", "exists -");
    assert_true(equal());
    assert_int_equal(65496 * 1024, view.devices[0].size);
    assert_int_equal(65496 * 1024, status.sent);
    take(file, "r0", "NetworkFailure");
    assert_true(stale()); /* at once, not when its disk is known */
    assert_false(equal());
    assert_int_equal(CONN_NETWORK_FAILURE, status.connection);
    take(file, "r0", "suspended:fencing");
    assert_true(status.suspended);
    take(file, "r0", NULL);
    assert_false(status.suspended);
    assert_int_equal(DISK_OUTDATED, status.peer_disk);
    assert_int_equal(CONN_WF_CONNECTION, status.connection);
    assert_true(stale());
    fclose(file);
}

static void test_84_split_brain(void **state)
{
    FILE *file = begin("84-split-brain");

    take(file, "r0", "initial-split-brain");
    assert_false(view.split_brain); /* a policy may settle it */
    take(file, "r0", NULL);
    assert_true(view.split_brain);
    assert_int_equal(CONN_STANDALONE, status.connection);
    fclose(file);
}

static void test_84_numbered(void **state)
{
    FILE *file = begin("84-numbered");

    take(file, "r0", NULL);
    assert_true(view.dumped);
    assert_int_equal(REPLICA_SECONDARY, status.role);
    assert_int_equal(DISK_OUTDATED, status.disk);
    assert_int_equal(3, view.devices[0].minor);
    fclose(file);
}

static void test_9_volumes(void **state)
{
    FILE *file = begin("9-two-volumes-sync");
    struct replica_volume_status volume;

    take(file, "data", "exists -");
    assert_int_equal(2, view.device_count);
    assert_int_equal(CONN_SYNC_SOURCE, status.connection); /* of volume 0 */
    assert_int_equal(DISK_INCONSISTENT, status.peer_disk);
    assert_int_equal(786432ull * 1024, status.out_of_sync);
    assert_int_equal(1048576ull * 1024, status.resync_total); /* a quarter is done */
    assert_int_equal(262144ull * 1024, status.resync_done);
    drbd_view_volume(drbd_view_device(&view, 1), drbd_view_peer(&view, "beta"), &volume);
    assert_int_equal(CONN_CONNECTED, volume.connection);
    assert_int_equal(DISK_UP_TO_DATE, volume.peer_disk);
    assert_int_equal(2097152ull * 1024, volume.size);
    take(file, "data", NULL);
    assert_true(equal());
    assert_int_equal(0, status.resync_total);
    fclose(file);
}

static void test_9_quorum(void **state)
{
    FILE *file = begin("9-three-nodes-quorum");

    take(file, "data", "exists -");
    assert_null(drbd_view_peer(&view, NULL)); /* two of them: which? */
    assert_null(drbd_view_peer(&view, "delta"));
    assert_true(view.may_promote);
    assert_true(drbd_view_equal(&view, drbd_view_peer(&view, "beta")));
    assert_true(drbd_view_peer_stale(&view, drbd_view_peer(&view, "gamma")));
    take(file, "data", NULL);
    assert_int_equal(1, view.peer_count);
    assert_true(status.suspended);
    assert_string_equal("quorum", view.suspended);
    assert_false(view.devices[0].quorum);
    assert_true(stale());
    fclose(file);
}

static void test_9_gone(void **state)
{
    FILE *file = begin("9-rename-destroy");
    struct drbd_event e;

    take(file, "data", "exists -");
    assert_true(view.up);
    take(file, "data", NULL);
    assert_false(view.up);
    assert_true(view.dumped);
    assert_int_equal(0, view.device_count);
    fclose(file);

    file = begin("84-link-lost");
    take(file, "r0", NULL);
    assert_int_equal(0, parse("destroy resource name:other", &e));
    assert_false(drbd_view_apply(&view, "r0", &e));
    assert_true(view.up);
    assert_int_equal(0, parse("destroy resource name:r0", &e));
    assert_true(drbd_view_apply(&view, "r0", &e));
    assert_false(view.up || stale() || equal());
    fclose(file);
}

/* What drbd.ko 8.4.11 told in both guests of tests/vm/drbd-below: a switchover, a cut of the link, down and up again. */
static void test_84_recorded(void **state)
{
    FILE *file = begin("84-recorded-two");

    take(file, "r0", "exists -");
    assert_int_equal(36824 * 1024, view.devices[0].size);
    assert_int_equal(DISK_INCONSISTENT, status.disk);
    take(file, "r0", "disk:UpToDate size");
    take(file, "r0", "peer-disk:UpToDate");
    assert_true(equal());
    take(file, "r0", "change resource name:r0 role:Primary");
    assert_false(stale());
    take(file, "r0", "NetworkFailure");
    assert_true(stale());
    take(file, "r0", "WFBitMapS");
    assert_int_equal(CONN_WF_BITMAP_S, status.connection);
    assert_int_equal(128 * 1024, status.out_of_sync);
    take(file, "r0", "replication:Established");
    assert_true(equal());
    take(file, "r0", NULL);
    assert_true(equal());
    assert_int_equal(REPLICA_SECONDARY, status.role);
    fclose(file);
    file = begin("84-recorded-one");
    take(file, "r0", "destroy resource");
    assert_false(view.up);
    take(file, "r0", NULL);
    assert_true(view.up);
    assert_true(equal());
    fclose(file);
}

/* More than there can be is passed over, in any order, and what there is stays sorted. */
static void test_limits(void **state)
{
    struct drbd_event e;
    char line[200];

    memset(&view, 0, sizeof view);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(line, sizeof line, "exists device name:r0 volume:%u minor:%u disk:UpToDate", i * 71 % 200, i);
        assert_int_equal(0, parse(line, &e));
        drbd_view_apply(&view, "r0", &e);
        snprintf(line, sizeof line, "exists connection name:r0 peer-node-id:%u connection:Connected", i);
        assert_int_equal(0, parse(line, &e));
        drbd_view_apply(&view, "r0", &e);
        for (unsigned v = 0; v < 100; v++) {
            snprintf(line, sizeof line, "exists peer-device name:r0 peer-node-id:%u volume:%u peer-disk:UpToDate", i, v);
            assert_int_equal(0, parse(line, &e));
            drbd_view_apply(&view, "r0", &e);
        }
    }
    assert_int_equal(DRBD_VOLUMES, view.device_count);
    assert_int_equal(DRBD_PEERS, view.peer_count);
    for (unsigned i = 1; i < view.device_count; i++)
        assert_true(view.devices[i - 1].volume < view.devices[i].volume);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),          cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_unknown_words),  cmocka_unit_test(test_84_sync),
        cmocka_unit_test(test_84_link_lost),   cmocka_unit_test(test_84_split_brain),
        cmocka_unit_test(test_84_numbered),    cmocka_unit_test(test_84_recorded),
        cmocka_unit_test(test_9_volumes),
        cmocka_unit_test(test_9_quorum),       cmocka_unit_test(test_9_gone),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
