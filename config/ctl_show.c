/* halunctl: tables and trees of what the daemon reports. */
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <string.h>

#include "config/ctl.h"

/* One table being built. Columns are added first, then lines cell by cell. */
struct view {
    struct libscols_table *table;
    struct libscols_line *line;
    unsigned column;
};

static bool view_open(struct view *view, const char *const *columns, bool tree)
{
    *view = (struct view){.table = scols_new_table()};
    if (!view->table)
        return false;
    for (unsigned i = 0; columns[i]; i++)
        if (!scols_table_new_column(view->table, columns[i], 0,
                                    tree && !i ? SCOLS_FL_TREE : SCOLS_FL_WRAP))
            return false;
    return true;
}

static struct libscols_line *view_line(struct view *view, struct libscols_line *parent)
{
    view->line = scols_table_new_line(view->table, parent);
    view->column = 0;
    return view->line;
}

static void view_cell(struct view *view, const char *text)
{
    if (view->line)
        scols_line_set_data(view->line, view->column++, text ? text : "");
}

static void view_number(struct view *view, json_t *number)
{
    char text[24] = "-";

    if (json_is_integer(number))
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(number));
    view_cell(view, text);
}

static int view_close(struct view *view)
{
    scols_print_table(view->table);
    scols_unref_table(view->table);
    return fflush(stdout) ? EXIT_FAILED : EXIT_OK;
}

static const char *string(json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : "";
}

static void human_size(json_t *number, char out[16])
{
    static const char units[] = "BKMGTP";
    double value = (double)json_integer_value(number);
    unsigned unit = 0;

    while (value >= 1024 && unit < 5) {
        value /= 1024;
        unit++;
    }
    snprintf(out, 16, unit && value < 10 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

static void join(json_t *array, char *out, size_t size)
{
    size_t i, used = 0;
    json_t *entry;

    *out = '\0';
    json_array_foreach(array, i, entry)
    {
        if (used < size && json_is_string(entry))
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "",
                                     json_string_value(entry));
    }
}

/* Calls and, with --json, prints. Returns an exit code, or -1 = there is something to show. */
static int fetch(struct ctl *ctl, const char *method, json_t *arguments, json_t **result)
{
    int code = ctl_call(ctl, method, arguments, result, false);

    if (code)
        return code == CTL_AGAIN ? EXIT_FAILED : code;
    if (!ctl->json)
        return -1;
    code = ctl_print_json(*result);
    json_decref(*result);
    return code;
}

static void describe_replication(json_t *replication, char *out, size_t size)
{
    json_t *resync = json_object_get(replication, "resync");
    json_int_t total = json_integer_value(json_object_get(resync, "total"));
    char done[16] = "";

    if (!json_is_object(replication)) {
        snprintf(out, size, "-");
        return;
    }
    if (total > 0)
        snprintf(done, sizeof done, " %d%%",
                 (int)(100.0 * (double)json_integer_value(json_object_get(resync, "done")) /
                       (double)total));
    snprintf(out, size, "%s/%s %s%s%s", string(replication, "disk"),
             string(replication, "peer_disk"), string(replication, "connection"), done,
             json_is_true(json_object_get(replication, "suspended")) ? " suspended" : "");
}

static void show_cluster(struct view *view, json_t *status)
{
    json_t *cluster = json_object_get(status, "cluster");
    char members[400], lease[40] = "", detail[800];
    const char *waiting = string(cluster, "waiting");
    json_t *left = json_object_get(cluster, "lease_ms_left");

    join(json_object_get(cluster, "members"), members, sizeof members);
    if (json_is_integer(left))
        snprintf(lease, sizeof lease, ", lease %" JSON_INTEGER_FORMAT " ms", json_integer_value(left));
    snprintf(detail, sizeof detail,
             "%s%s, epoch %" JSON_INTEGER_FORMAT ", digest %s%s, wire %" JSON_INTEGER_FORMAT "%s%s",
             members, json_is_true(json_object_get(cluster, "quorate")) ? "" : ", no quorum",
             json_integer_value(json_object_get(cluster, "epoch")), string(cluster, "digest"), lease,
             json_integer_value(json_object_get(cluster, "wire")), *waiting ? ", " : "", waiting);
    view_line(view, NULL);
    view_cell(view, string(cluster, "name"));
    view_cell(view, json_is_true(json_object_get(cluster, "serving")) ? "serving" : "not serving");
    view_cell(view, string(status, "node"));
    view_cell(view, "");
    view_cell(view, detail);
}

static void show_group(struct view *view, json_t *group)
{
    char text[300], states[700];
    size_t i, used = 0;
    struct libscols_line *parent;
    const char *node;
    json_t *entry, *state;

    states[0] = '\0';
    json_object_foreach(json_object_get(group, "states"), node, state)
    {
        if (used < sizeof states && json_is_string(state))
            used += (size_t)snprintf(states + used, sizeof states - used, "%s%s=%s",
                                     used ? " " : "", node, json_string_value(state));
    }
    parent = view_line(view, NULL);
    view_cell(view, string(group, "name"));
    describe_replication(json_object_get(group, "replication"), text, sizeof text);
    view_cell(view, text);
    view_cell(view, *string(group, "owner") ? string(group, "owner") : "-");
    view_cell(view, "");
    if (json_is_integer(json_object_get(group, "held_ms")) && used < sizeof states)
        used += (size_t)snprintf(states + used, sizeof states - used,
                                 ", commands held for %" JSON_INTEGER_FORMAT " ms",
                                 json_integer_value(json_object_get(group, "held_ms")));
    if (json_is_true(json_object_get(group, "yielding")) && used < sizeof states)
        used += (size_t)snprintf(states + used, sizeof states - used, ", demoted, serves until the successor asks");
    if (*string(group, "waiting") && used < sizeof states)
        snprintf(states + used, sizeof states - used, ", waits for %s", string(group, "waiting"));
    view_cell(view, states);
    json_array_foreach(json_object_get(group, "lus"), i, entry)
    {
        view_line(view, parent);
        view_cell(view, string(entry, "name"));
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT " sessions",
                 json_integer_value(json_object_get(entry, "sessions")));
        view_cell(view, text);
        view_cell(view, "");
        human_size(json_object_get(entry, "size"), text);
        view_cell(view, text);
        view_cell(view, string(entry, "uuid"));
    }
}

/* Lets go of the status; an alarm in it is worth an exit code of its own. */
static int alarmed(json_t *status, int code)
{
    const char *alarm = string(json_object_get(status, "cluster"), "alarm");

    if (*alarm)
        code = ctl_error(EXIT_ALARM, "alarm: %s", alarm);
    json_decref(status);
    return code;
}

int ctl_status(struct ctl *ctl, int count, char **arguments)
{
    static const char *const columns[] = {"NAME", "STATE", "OWNER", "SIZE", "DETAIL", NULL};
    json_t *status, *entry;
    struct view view;
    size_t i;
    int code = ctl_call(ctl, "status", NULL, &status, false);

    if (code)
        return code == CTL_AGAIN ? EXIT_FAILED : code;
    if (ctl->json) {
        ctl_print_json(status);
        return alarmed(status, EXIT_OK);
    }
    if (!view_open(&view, columns, true))
        return ctl_error(EXIT_FAILED, "out of memory");
    show_cluster(&view, status);
    json_array_foreach(json_object_get(status, "groups"), i, entry) show_group(&view, entry);
    json_array_foreach(json_object_get(status, "portals"), i, entry)
    {
        view_line(&view, NULL);
        view_cell(&view, string(entry, "name"));
        view_cell(&view, "portal");
        view_cell(&view, string(status, "node"));
        view_cell(&view, "");
        view_cell(&view, string(entry, "address"));
    }
    return alarmed(status, view_close(&view));
}

int ctl_group_list(struct ctl *ctl, int count, char **arguments)
{
    static const char *const columns[] = {"GROUP", "OWNER", "CURRENT", "REPLICATION", NULL};
    json_t *status, *entry;
    struct view view;
    char text[300];
    size_t i;
    int code = ctl_call(ctl, "status", json_pack("{s:b}", "detail", 0), &status, false);

    if (code)
        return code == CTL_AGAIN ? EXIT_FAILED : code;
    if (ctl->json) {
        code = ctl_print_json(json_object_get(status, "groups"));
        json_decref(status);
        return code;
    }
    if (!view_open(&view, columns, false))
        return ctl_error(EXIT_FAILED, "out of memory");
    json_array_foreach(json_object_get(status, "groups"), i, entry)
    {
        view_line(&view, NULL);
        view_cell(&view, string(entry, "name"));
        view_cell(&view, *string(entry, "owner") ? string(entry, "owner") : "-");
        join(json_object_get(entry, "current"), text, sizeof text);
        view_cell(&view, text);
        describe_replication(json_object_get(entry, "replication"), text, sizeof text);
        view_cell(&view, text);
    }
    json_decref(status);
    return view_close(&view);
}

int ctl_sessions(struct ctl *ctl, int count, char **arguments)
{
    static const char *const columns[] = {"INITIATOR", "ISID", "HOST",     "ADDRESS",
                                          "PORTAL",    "LUNS", "COMMANDS", NULL};
    json_t *result, *entry;
    struct view view;
    size_t i;
    int code = fetch(ctl, "sessions", NULL, &result);

    if (code >= 0)
        return code;
    if (!view_open(&view, columns, false))
        return ctl_error(EXIT_FAILED, "out of memory");
    json_array_foreach(json_object_get(result, "sessions"), i, entry)
    {
        view_line(&view, NULL);
        view_cell(&view, string(entry, "initiator"));
        view_cell(&view, string(entry, "isid"));
        view_cell(&view, *string(entry, "host") ? string(entry, "host") : "-");
        view_cell(&view, string(entry, "address"));
        view_cell(&view, string(entry, "portal"));
        view_number(&view, json_object_get(entry, "luns"));
        view_number(&view, json_object_get(entry, "commands"));
    }
    json_decref(result);
    return view_close(&view);
}

static void show_registrant(struct view *view, struct libscols_line *parent, json_t *entry)
{
    char text[300];

    view_line(view, parent);
    snprintf(text, sizeof text, "%s,%s", string(entry, "initiator"), string(entry, "isid"));
    view_cell(view, text);
    view_cell(view, json_is_true(json_object_get(entry, "holder")) ? "holder" : "");
    view_cell(view, string(entry, "key"));
    view_number(view, json_object_get(entry, "rtpi"));
}

int ctl_pr(struct ctl *ctl, int count, char **arguments)
{
    static const char *const columns[] = {"LU", "RESERVATION", "KEY", "PORT", NULL};
    json_t *result, *lu, *entry;
    struct view view;
    char text[120];
    size_t i, j;
    int code = fetch(ctl, "pr", count ? json_pack("{s:s}", "lu", arguments[0]) : NULL, &result);

    if (code >= 0)
        return code;
    if (!view_open(&view, columns, true))
        return ctl_error(EXIT_FAILED, "out of memory");
    json_array_foreach(json_object_get(result, "lus"), i, lu)
    {
        struct libscols_line *parent = view_line(&view, NULL);
        json_t *legacy = json_object_get(lu, "legacy_holder");

        view_cell(&view, string(lu, "name"));
        snprintf(text, sizeof text, "%s%s, generation %" JSON_INTEGER_FORMAT, string(lu, "type"),
                 json_is_true(json_object_get(lu, "aptpl")) ? ", aptpl" : "",
                 json_integer_value(json_object_get(lu, "generation")));
        view_cell(&view, text);
        json_array_foreach(json_object_get(lu, "registrants"), j, entry)
            show_registrant(&view, parent, entry);
        if (json_is_object(legacy))
            show_registrant(&view, parent, legacy);
    }
    json_decref(result);
    return view_close(&view);
}

/* "TLS_AES_256_GCM_SHA384", "TLS, not connected", "-": plain. */
static const char *describe_tls(json_t *replication)
{
    json_t *tls = json_object_get(replication, "tls"), *cipher = json_object_get(tls, "cipher");

    if (json_is_string(cipher))
        return json_string_value(cipher);
    return json_is_object(tls) ? "TLS, not connected" : "-";
}

/* Why the link is not up, and what will go wrong with it. */
static void describe_why(json_t *replication, char *out, size_t size)
{
    const char *why = string(replication, "why");
    const char *warning = string(json_object_get(replication, "tls"), "warning");

    snprintf(out, size, "%s%s%s", why, *why && *warning ? "; " : "", warning);
}

int ctl_replica(struct ctl *ctl, int count, char **arguments)
{
    static const char *const columns[] = {"GROUP", "ROLE", "REPLICATION", "LINK", "OUT-OF-SYNC", "WRITTEN",
                                          "SENT",  "RECEIVED", "WHY", NULL};
    static const char *const sizes[] = {"out_of_sync", "written", "sent", "received"};
    json_t *result, *entry;
    struct view view;
    char text[300];
    size_t i;
    int code = fetch(ctl, "replica.status",
                     count ? json_pack("{s:s}", "group", arguments[0]) : NULL, &result);

    if (code >= 0)
        return code;
    if (!view_open(&view, columns, false))
        return ctl_error(EXIT_FAILED, "out of memory");
    json_array_foreach(json_object_get(result, "groups"), i, entry)
    {
        json_t *replication = json_object_get(entry, "replication");

        view_line(&view, NULL);
        view_cell(&view, string(entry, "name"));
        view_cell(&view, json_is_object(replication) ? string(replication, "role") : "-");
        describe_replication(replication, text, sizeof text);
        view_cell(&view, text);
        view_cell(&view, describe_tls(replication));
        for (unsigned j = 0; j < 4; j++) {
            human_size(json_object_get(replication, sizes[j]), text);
            view_cell(&view, text);
        }
        describe_why(replication, text, sizeof text);
        view_cell(&view, text);
    }
    json_decref(result);
    return view_close(&view);
}
