/* What halunctl reads out of a reply of `status`. Pure. */
#include <string.h>

#include "config/ctl.h"

static const char *text(json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : "";
}

static bool contains(json_t *array, const char *name)
{
    size_t i;
    json_t *entry;

    json_array_foreach(array, i, entry) if (json_is_string(entry) &&
                                            !strcmp(json_string_value(entry), name)) return true;
    return false;
}

json_t *ctl_find_group(json_t *status, const char *group)
{
    size_t i;
    json_t *entry;

    json_array_foreach(json_object_get(status, "groups"), i,
                       entry) if (!strcmp(text(entry, "name"), group)) return entry;
    return NULL;
}

bool ctl_promoted(json_t *status, json_t *group)
{
    return *text(status, "node") && !strcmp(text(group, "owner"), text(status, "node")) &&
           !json_is_true(json_object_get(group, "yielding"));
}

bool ctl_current(json_t *status, json_t *group)
{
    return contains(json_object_get(group, "current"), text(status, "node"));
}

static const char *disk(json_t *group)
{
    json_t *replication = json_object_get(group, "replication");

    return json_is_object(replication) ? text(replication, "disk") : "UpToDate";
}

int ctl_score(json_t *status, json_t *group)
{
    bool promoted = ctl_promoted(status, group);

    /* an owner whose kernel's copy has lost its disk goes on with the peer's until another one is promoted */
    if (!ctl_current(status, group) || (!promoted && !strcmp(disk(group), "Diskless")))
        return -1;
    if (strcmp(disk(group), "UpToDate"))
        return 1000;
    /* a little more for the owner, so that equal copies are no reason to move; an initiator's wish
     * (SET TARGET PORT GROUPS) is one */
    if (json_is_true(json_object_get(group, "wished")))
        return 10020;
    return promoted ? 10010 : 10000;
}

static bool up_to_date(json_t *group)
{
    json_t *replication = json_object_get(group, "replication");

    return !json_is_object(replication) ||
           (!strcmp(text(replication, "disk"), "UpToDate") &&
            !strcmp(text(replication, "peer_disk"), "UpToDate") &&
            !json_integer_value(json_object_get(replication, "out_of_sync")));
}

static bool connected(json_t *group)
{
    json_t *replication = json_object_get(group, "replication");
    const char *state = text(replication, "connection");

    /* everything from Connected on: resyncing, verifying */
    return !json_is_object(replication) || !strcmp(state, "Connected") || strstr(state, "Sync") ||
           !strncmp(state, "Verify", 6) || !strncmp(state, "WFBitMap", 8);
}

int ctl_condition(json_t *status, const char *condition, const char *group_name)
{
    static const char *const plain[] = {"ready", "serving", "stopped"};
    static const char *const of_group[] = {"promoted", "demoted",   "owned",
                                           "uptodate", "connected", "current"};
    json_t *group = status && group_name ? ctl_find_group(status, group_name) : NULL;
    int which = -1;

    for (int i = 0; i < 3; i++)
        if (!strcmp(condition, plain[i]))
            which = i;
    if (which >= 0) {
        if (group_name)
            return -1;
        if (which == 2)
            return !status;
        return status && json_is_true(json_object_get(
                             which ? json_object_get(status, "cluster") : status, plain[which]));
    }
    for (int i = 0; i < 6; i++)
        if (!strcmp(condition, of_group[i]))
            which = i;
    if (which < 0 || !group_name)
        return -1;
    if (!group)
        return 0;
    switch (which) {
    case 0:
        return ctl_promoted(status, group);
    case 1:
        return !ctl_promoted(status, group);
    case 2:
        return *text(group, "owner") != '\0';
    case 3:
        return up_to_date(group);
    case 4:
        return connected(group);
    default:
        return ctl_current(status, group);
    }
}
