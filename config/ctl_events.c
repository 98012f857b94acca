#include "config/ctl_events.h"

#include <stdarg.h>
#include <string.h>

enum { TEXT = 64, FIELDS = 8 };

/* One object's line: what names it, and what may change. */
struct line {
    const char *object;
    char name[256];
    unsigned count;
    struct {
        const char *key;
        char value[TEXT];
    } field[FIELDS];
};

static const char *text(json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : "";
}

static void add(struct line *line, const char *key, const char *format, ...)
{
    va_list arguments;

    line->field[line->count].key = key;
    va_start(arguments, format);
    vsnprintf(line->field[line->count++].value, TEXT, format, arguments);
    va_end(arguments);
}

static void kib(struct line *line, const char *key, json_t *bytes)
{
    add(line, key, "%lld", (long long)json_integer_value(bytes) / 1024);
}

static bool connected(const char *connection)
{
    static const char *const below[] = {"StandAlone",
                                        "Disconnecting",
                                        "Unconnected",
                                        "Timeout",
                                        "BrokenPipe",
                                        "NetworkFailure",
                                        "ProtocolError",
                                        "TearDown",
                                        "WFConnection",
                                        "WFReportParams",
                                        ""};

    for (unsigned i = 0; i < sizeof below / sizeof *below; i++)
        if (!strcmp(connection, below[i]))
            return false;
    return true;
}

static const char *role(const char *name)
{
    return !strcmp(name, "primary")     ? "Primary"
           : !strcmp(name, "secondary") ? "Secondary"
                                        : "Unknown";
}

static void resource_line(struct line *line, json_t *group)
{
    json_t *replication = json_object_get(group, "replication");

    *line = (struct line){.object = "resource"};
    snprintf(line->name, sizeof line->name, "name:%s", text(group, "name"));
    add(line, "role", "%s", role(text(replication, "role")));
    add(line, "suspended", "%s",
        json_is_true(json_object_get(replication, "suspended")) ? "fencing" : "no");
}

static void connection_line(struct line *line, json_t *group, bool statistics)
{
    json_t *replication = json_object_get(group, "replication");
    const char *connection = text(replication, "connection");

    *line = (struct line){.object = "connection"};
    snprintf(line->name, sizeof line->name, "name:%s peer-node-id:%lld conn-name:%s",
             text(group, "name"),
             (long long)json_integer_value(json_object_get(replication, "peer_id")),
             text(replication, "peer"));
    add(line, "connection", "%s",
        connected(connection)                 ? "Connected"
        : !strcmp(connection, "WFConnection") ? "Connecting"
                                              : connection);
    add(line, "role", "%s", role(text(replication, "peer_role")));
    if (statistics) {
        kib(line, "sent", json_object_get(replication, "sent"));
        kib(line, "received", json_object_get(replication, "received"));
    }
}

static void device_line(struct line *line, json_t *group, json_t *volume, bool statistics)
{
    *line = (struct line){.object = "device"};
    snprintf(line->name, sizeof line->name, "name:%s volume:%lld", text(group, "name"),
             (long long)json_integer_value(json_object_get(volume, "volume")));
    add(line, "disk", "%s", text(volume, "disk"));
    if (statistics)
        kib(line, "size", json_object_get(volume, "size"));
}

static void peer_device_line(struct line *line, json_t *group, json_t *volume, bool statistics)
{
    json_t *replication = json_object_get(group, "replication");
    const char *connection = text(volume, "connection");

    *line = (struct line){.object = "peer-device"};
    snprintf(line->name, sizeof line->name, "name:%s peer-node-id:%lld conn-name:%s volume:%lld",
             text(group, "name"),
             (long long)json_integer_value(json_object_get(replication, "peer_id")),
             text(replication, "peer"),
             (long long)json_integer_value(json_object_get(volume, "volume")));
    add(line, "replication", "%s",
        !connected(connection)             ? "Off"
        : !strcmp(connection, "Connected") ? "Established"
                                           : connection);
    add(line, "peer-disk", "%s", text(volume, "peer_disk"));
    add(line, "resync-suspended", "%s", text(replication, "resync_suspended"));
    if (statistics)
        kib(line, "out-of-sync", json_object_get(volume, "out_of_sync"));
}

/* `before` NULL: the object is told in full by `verb`. */
static void print(FILE *out, const char *stamp, const char *verb, const struct line *before,
                  const struct line *now)
{
    bool any = before == NULL;

    for (unsigned i = 0; before && i < now->count; i++)
        any |= strcmp(before->field[i].value, now->field[i].value) != 0;
    if (!any)
        return;
    fprintf(out, "%s%s %s %s", stamp, verb, now->object, now->name);
    for (unsigned i = 0; i < now->count; i++)
        if (!before || strcmp(before->field[i].value, now->field[i].value))
            fprintf(out, " %s:%s", now->field[i].key, now->field[i].value);
    fputc('\n', out);
}

static json_t *find(json_t *list, const char *key, json_t *value)
{
    json_t *entry;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        if (json_equal(json_object_get(entry, key), value))
            return entry;
    }
    return NULL;
}

static json_t *volumes_of(json_t *group)
{
    return json_object_get(json_object_get(group, "replication"), "volumes");
}

/* `old` NULL: told in full. */
static void group_events(FILE *out, const char *stamp, const char *verb, json_t *old, json_t *group,
                         bool statistics)
{
    struct line before, now;
    json_t *volume;
    size_t i;

    if (old)
        resource_line(&before, old);
    resource_line(&now, group);
    print(out, stamp, verb, old ? &before : NULL, &now);
    if (old)
        connection_line(&before, old, statistics);
    connection_line(&now, group, statistics);
    print(out, stamp, verb, old ? &before : NULL, &now);
    for (unsigned part = 0; part < 2; part++) {
        void (*const make)(struct line *, json_t *, json_t *, bool) =
            part ? peer_device_line : device_line;

        json_array_foreach(volumes_of(group), i, volume)
        {
            json_t *was = find(volumes_of(old), "volume", json_object_get(volume, "volume"));

            if (was)
                make(&before, old, was, statistics);
            make(&now, group, volume, statistics);
            print(out, stamp, was || !old ? verb : "create", was ? &before : NULL, &now);
        }
    }
}

void ctl_events_print(FILE *out, json_t *before, json_t *now, bool statistics, const char *stamp)
{
    json_t *group;
    size_t i;

    json_array_foreach(json_object_get(now, "groups"), i, group)
    {
        json_t *old =
            find(json_object_get(before, "groups"), "name", json_object_get(group, "name"));

        if (json_is_object(json_object_get(group, "replication")))
            group_events(out, stamp,
                         !before ? "exists"
                         : old   ? "change"
                                 : "create",
                         old, group, statistics);
    }
    if (!before)
        fprintf(out, "%sexists -\n", stamp);
}
