/* The lines of "halunctl replica events" from two replies of the daemon. Not covered: the daemon's
 * side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "config/ctl_events.h"

static json_t *reply(const char *role, const char *connection, const char *disk,
                     const char *peer_disk, unsigned volumes, int dirty)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < volumes; i++)
        json_array_append_new(list, json_pack("{s:i, s:s, s:s, s:s, s:i, s:i}", "volume", (int)i,
                                              "disk", disk, "peer_disk", peer_disk, "connection",
                                              connection, "size", 8192, "out_of_sync", dirty));
    return json_pack("{s:i, s:[{s:s, s:{s:s, s:s, s:s, s:b, s:s, s:s, s:i, s:o}}, {s:s, s:n}]}",
                     "serial", 1, "groups", "name", "g0", "replication", "role", role, "peer_role",
                     "secondary", "connection", connection, "suspended", 0, "resync_suspended",
                     "no", "peer", "n2", "peer_id", 2, "volumes", list, "name", "plain",
                     "replication");
}

static void expect(json_t *before, json_t *now, bool statistics, const char *lines)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    ctl_events_print(out, before, now, statistics, "");
    fclose(out);
    assert_string_equal(text, lines);
    free(text);
    json_decref(before);
    json_decref(now);
}

static void first_then_everything_exists(void **state)
{
    expect(
        NULL, reply("primary", "Connected", "UpToDate", "UpToDate", 1, 0), false,
        "exists resource name:g0 role:Primary suspended:no\n"
        "exists connection name:g0 peer-node-id:2 conn-name:n2 connection:Connected "
        "role:Secondary\n"
        "exists device name:g0 volume:0 disk:UpToDate\n"
        "exists peer-device name:g0 peer-node-id:2 conn-name:n2 volume:0 replication:Established "
        "peer-disk:UpToDate resync-suspended:no\n"
        "exists -\n");
}

static void change_then_only_what_changed(void **state)
{
    expect(reply("primary", "Connected", "UpToDate", "UpToDate", 2, 0),
           reply("primary", "SyncSource", "UpToDate", "Inconsistent", 2, 0), false,
           "change peer-device name:g0 peer-node-id:2 conn-name:n2 volume:0 replication:SyncSource "
           "peer-disk:Inconsistent\n"
           "change peer-device name:g0 peer-node-id:2 conn-name:n2 volume:1 replication:SyncSource "
           "peer-disk:Inconsistent\n");
    expect(reply("primary", "Connected", "UpToDate", "UpToDate", 1, 0),
           reply("secondary", "WFConnection", "UpToDate", "Outdated", 1, 0), false,
           "change resource name:g0 role:Secondary\n"
           "change connection name:g0 peer-node-id:2 conn-name:n2 connection:Connecting\n"
           "change peer-device name:g0 peer-node-id:2 conn-name:n2 volume:0 replication:Off "
           "peer-disk:Outdated\n");
    expect(reply("primary", "Connected", "UpToDate", "UpToDate", 1, 0),
           reply("primary", "Connected", "UpToDate", "UpToDate", 1, 4096), false, "");
}

static void statistics_then_counts_too(void **state)
{
    expect(reply("primary", "Connected", "UpToDate", "UpToDate", 1, 0),
           reply("primary", "Connected", "UpToDate", "UpToDate", 1, 4096), true,
           "change peer-device name:g0 peer-node-id:2 conn-name:n2 volume:0 out-of-sync:4\n");
}

static void volume_when_new_then_created(void **state)
{
    expect(reply("primary", "StandAlone", "UpToDate", "DUnknown", 1, 0),
           reply("primary", "StandAlone", "UpToDate", "DUnknown", 2, 0), false,
           "create device name:g0 volume:1 disk:UpToDate\n"
           "create peer-device name:g0 peer-node-id:2 conn-name:n2 volume:1 replication:Off "
           "peer-disk:DUnknown resync-suspended:no\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_then_everything_exists),
        cmocka_unit_test(change_then_only_what_changed),
        cmocka_unit_test(statistics_then_counts_too),
        cmocka_unit_test(volume_when_new_then_created),
    };
    return cmocka_run_group_tests_name("ctl_events", tests, NULL, NULL);
}
