#include "target/daemon/wanted_group.h"

#include "target/daemon/group.h"

struct group *wanted_group(struct control_call *call, json_t *arguments)
{
    const char *name = json_string_value(json_object_get(arguments, "group"));
    struct group *group = group_find(&halund, name);

    if (!group)
        control_fail(call, CONTROL_USAGE, "no group is named \"%s\"", name);
    return group;
}

struct group *wanted_replicated_group(struct control_call *call, json_t *arguments)
{
    struct group *group = wanted_group(call, arguments);

    if (!group || group->replica)
        return group;
    control_fail(call, CONTROL_REFUSED, "group \"%s\" is not replicated", config_of(group)->name);
    return NULL;
}
