/* The requests of the control socket (config/methods.def); replies as in docs/control.md. */
#include "config/control.h"

#include <errno.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <uuid/uuid.h>

#include "target/base/threads.h"
#include "target/daemon/daemon.h"
#include "target/daemon/log.h"
#include "target/daemon/reload.h"
#include "target/device/device.h"
#include "target/nexus/nexus_table.h"

enum { PROMOTE_MS = 50000, DEMOTE_MS = 50000, INIT_MS = 50000 };

static struct control *server;

/* ---- names ---- */

static const char *node_name(unsigned id)
{
    for (unsigned i = 0; i < halund.config->node_count; i++)
        if (halund.config->nodes[i].id == id)
            return halund.config->nodes[i].name;
    return "";
}

static const char *alua_name(uint8_t state)
{
    switch (state) {
    case ALUA_ACTIVE_OPTIMIZED:
        return "active/optimized";
    case ALUA_ACTIVE_NON_OPTIMIZED:
        return "active/non-optimized";
    case ALUA_STANDBY:
        return "standby";
    case ALUA_UNAVAILABLE:
        return "unavailable";
    case ALUA_OFFLINE:
        return "offline";
    default:
        return "transitioning";
    }
}

static const char *pr_type_name(uint8_t type)
{
    static const char *const names[] = {
        [PR_NONE] = "none",
        [PR_WRITE_EXCLUSIVE] = "write exclusive",
        [PR_EXCLUSIVE_ACCESS] = "exclusive access",
        [PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY] = "write exclusive, registrants only",
        [PR_EXCLUSIVE_ACCESS_REGISTRANTS_ONLY] = "exclusive access, registrants only",
        [PR_WRITE_EXCLUSIVE_ALL_REGISTRANTS] = "write exclusive, all registrants",
        [PR_EXCLUSIVE_ACCESS_ALL_REGISTRANTS] = "exclusive access, all registrants",
    };
    return type < sizeof names / sizeof names[0] && names[type] ? names[type] : "unknown";
}

static json_t *nodes_in(uint32_t bits)
{
    json_t *list = json_array();

    for (unsigned id = 1; id <= LIMIT_NODES; id++)
        if (bits & 1u << id)
            json_array_append_new(list, json_string(node_name(id)));
    return list;
}

static json_t *uuid_text(const uint8_t uuid[16])
{
    char text[37];

    uuid_unparse_lower(uuid, text);
    return json_string(text);
}

/* ---- status ---- */

static json_t *replica_json(struct group *group)
{
    struct replica_status status;

    if (!group->replica)
        return json_null();
    replica_get_status(group->replica, &status);
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:{s:b, s:I, s:I, s:I}, s:I, s:I, s:I, s:s}", "role",
        status.role == REPLICA_PRIMARY ? "Primary" : "Secondary", "peer_role",
        status.connection < CONN_CONNECTED        ? "Unknown"
        : status.peer_role == REPLICA_PRIMARY ? "Primary"
                                              : "Secondary",
        "disk", replica_disk_name(status.disk), "peer_disk", replica_disk_name(status.peer_disk),
        "connection", replica_connection_name(status.connection), "suspended", (int)status.suspended,
        "out_of_sync", (json_int_t)status.out_of_sync, "resync", "running",
        (int)(status.connection >= CONN_SYNC_SOURCE && status.connection <= CONN_SYNC_TARGET), "total",
        (json_int_t)status.resync_total, "done", (json_int_t)status.resync_done, "rate",
        (json_int_t)status.resync_rate, "written", (json_int_t)status.written, "received",
        (json_int_t)status.received, "sent", (json_int_t)status.sent, "why", status.why);
}

static json_t *group_json(struct group *group)
{
    const struct shared_group *shared = &cluster_state(halund.cluster)->groups[group->index];
    const struct config_group *config = &halund.config->groups[group->index];
    json_t *states = json_object(), *units = json_array();

    for (unsigned i = 0; i < halund.config->node_count; i++)
        json_object_set_new(states, halund.config->nodes[i].name,
                            json_string(alua_name(shared->states[halund.config->nodes[i].id])));
    for (unsigned i = 0; i < device_lu_count; i++) {
        const struct lu *lu = device_lus[i];
        if (lu && lu->group_index == group->index)
            json_array_append_new(
                units, json_pack("{s:s, s:o, s:I, s:i}", "name", lu->config.name, "uuid",
                                 uuid_text(lu->config.uuid), "size",
                                 (json_int_t)(atomic_load(&lu->blocks) * lu->block_size),
                                 "block_size", (int)lu->block_size));
    }
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:b}", "name", config->name, "owner",
                     node_name(shared->owner), "states", states, "current",
                     nodes_in(shared->current), "replication", replica_json(group), "lus", units,
                     "busy", (int)(group->wish != GROUP_REST));
}

static json_t *cluster_json(void)
{
    struct cluster_view view;
    uint64_t lease = atomic_load(cluster_lease(halund.cluster)), now = monotonic_ns();
    char digest[17];
    json_t *object;

    cluster_get_view(halund.cluster, &view);
    snprintf(digest, sizeof digest, "%016llx", (unsigned long long)view.digest);
    object = json_pack("{s:s, s:s, s:b, s:b, s:b, s:o, s:o, s:s, s:s, s:I, s:I, s:I}", "name",
                       halund.config->cluster_name, "mode",
                       halund.config->corosync ? "corosync" : "single", "serving", (int)view.serving,
                       "quorate", (int)view.quorate, "joined", (int)view.joined, "members",
                       nodes_in(view.members), "unproven", nodes_in(view.unproven), "waiting",
                       view.waiting, "digest", digest, "epoch", (json_int_t)view.epoch, "version",
                       (json_int_t)view.version, "commits", (json_int_t)view.commits);
    if (halund.config->corosync)
        json_object_set_new(object, "lease_ms_left",
                            json_integer(lease > now ? (json_int_t)((lease - now) / 1000000) : 0));
    else
        json_object_set_new(object, "lease_ms_left", json_null());
    return object;
}

static void on_status(struct control_call *call, json_t *arguments)
{
    const struct config_node *self = &halund.config->nodes[halund.config->self];
    json_t *groups = json_array(), *portals = json_array();

    for (unsigned i = 0; i < halund.config->group_count; i++)
        json_array_append_new(groups, group_json(&halund.groups[i]));
    for (unsigned i = 0; i < self->portal_count; i++)
        json_array_append_new(portals, json_pack("{s:s, s:s, s:i}", "name", self->portals[i].name,
                                                 "address", self->portals[i].address.text, "rtpi",
                                                 (int)self->portals[i].rtpi));
    control_reply(call, json_pack("{s:s, s:s, s:o, s:o, s:o, s:i}", "node", halund.node_name,
                                  "version", HALUN_VERSION, "cluster", cluster_json(), "groups",
                                  groups, "portals", portals, "sessions",
                                  (int)nexus_table_count()));
}

static void on_version(struct control_call *call, json_t *arguments)
{
    control_reply(call, json_pack("{s:s}", "version", HALUN_VERSION));
}

static void add_session(const struct nexus_info *info, void *context)
{
    char isid[13];

    snprintf(isid, sizeof isid, "%02x%02x%02x%02x%02x%02x", info->isid[0], info->isid[1],
             info->isid[2], info->isid[3], info->isid[4], info->isid[5]);
    json_array_append_new(
        context,
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:I, s:I, s:I}", "initiator",
                  info->initiator_name, "target", info->target_name, "address", info->peer_address,
                  "isid", isid, "tsih", (int)info->tsih, "tpgt", (int)info->tpgt, "rtpi",
                  (int)info->rtpi, "reactor", (int)info->reactor, "commands",
                  (json_int_t)info->commands, "bytes_in", (json_int_t)info->bytes_in, "bytes_out",
                  (json_int_t)info->bytes_out));
}

static void on_sessions(struct control_call *call, json_t *arguments)
{
    json_t *sessions = json_array();

    nexus_table_each(add_session, sessions);
    control_reply(call, json_pack("{s:o}", "sessions", sessions));
}

/* ---- reservations ---- */

/* The iSCSI name (and ISID) of a TransportID, for people. */
static json_t *initiator_text(const struct nexus_identity *nexus)
{
    size_t length = nexus->transport_length > 4
                        ? strnlen((const char *)nexus->transport_id + 4, nexus->transport_length - 4u)
                        : 0;

    return json_stringn((const char *)nexus->transport_id + 4, length);
}

static json_t *registrant_json(const struct shared_lu *lu, uint32_t index)
{
    const struct shared_registrant *registrant = &lu->registrants[index];
    bool registered, holder;
    char key[19];

    shared_lookup(lu, &registrant->nexus, &registered, &holder);
    snprintf(key, sizeof key, "0x%016llx", (unsigned long long)registrant->key);
    return json_pack("{s:o, s:i, s:s, s:b}", "initiator", initiator_text(&registrant->nexus), "rtpi",
                     (int)registrant->nexus.rtpi, "key", key, "holder", (int)holder);
}

static void on_pr(struct control_call *call, json_t *arguments)
{
    const struct shared_state *state = cluster_state(halund.cluster);
    const char *wanted = json_string_value(json_object_get(arguments, "lu"));
    json_t *units = json_array();

    for (uint32_t i = 0; i < state->lu_count; i++) {
        const struct shared_lu *lu = &state->lus[i];
        json_t *registrants;
        if (wanted && strcmp(halund.config->lus[i].name, wanted))
            continue;
        registrants = json_array();
        for (uint32_t k = 0; k < lu->registrant_count; k++)
            json_array_append_new(registrants, registrant_json(lu, k));
        json_array_append_new(
            units, json_pack("{s:s, s:I, s:s, s:i, s:b, s:o, s:o}", "name",
                             halund.config->lus[i].name, "generation", (json_int_t)lu->pr_generation,
                             "type", pr_type_name(lu->pr_type), "type_code", (int)lu->pr_type,
                             "aptpl", (int)lu->pr_aptpl, "registrants", registrants, "legacy",
                             lu->legacy_reserved ? initiator_text(&lu->legacy_holder)
                                                 : json_null()));
    }
    if (wanted && !json_array_size(units)) {
        json_decref(units);
        control_fail(call, CONTROL_USAGE, "no logical unit is named \"%s\"", wanted);
        return;
    }
    control_reply(call, json_pack("{s:o}", "lus", units));
}

/* ---- groups ---- */

static struct group *wanted_group(struct control_call *call, json_t *arguments)
{
    const char *name = json_string_value(json_object_get(arguments, "group"));
    struct group *group = group_find(&halund, name);

    if (!group)
        control_fail(call, CONTROL_USAGE, "no group is named \"%s\"", name);
    return group;
}

static void on_replica_status(struct control_call *call, json_t *arguments)
{
    const char *name = json_string_value(json_object_get(arguments, "group"));
    json_t *groups = json_array();

    for (unsigned i = 0; i < halund.config->group_count; i++)
        if (!name || !strcmp(halund.config->groups[i].name, name))
            json_array_append_new(groups, json_pack("{s:s, s:o}", "name",
                                                    halund.config->groups[i].name, "replication",
                                                    replica_json(&halund.groups[i])));
    if (name && !json_array_size(groups)) {
        json_decref(groups);
        control_fail(call, CONTROL_USAGE, "no group is named \"%s\"", name);
        return;
    }
    control_reply(call, json_pack("{s:o}", "groups", groups));
}

static void answer(void *context, int error, const char *why)
{
    struct control_call *call = context;

    switch (error) {
    case 0:
        control_reply(call, json_object());
        break;
    case -ETIMEDOUT:
        control_fail(call, CONTROL_TIMEOUT, "%s", why);
        break;
    case -EBUSY:
        control_fail(call, CONTROL_AGAIN, "%s", why);
        break;
    case -ENODATA:
    case -EEXIST:
    case -EPERM:
        control_fail(call, CONTROL_REFUSED, "%s", why);
        break;
    default:
        control_fail(call, CONTROL_FAILED, "%s", why);
    }
}

static void on_promote(struct control_call *call, json_t *arguments)
{
    struct group *group = wanted_group(call, arguments);

    if (group)
        group_promote(group, PROMOTE_MS, answer, call);
}

static void on_demote(struct control_call *call, json_t *arguments)
{
    struct group *group = wanted_group(call, arguments);

    if (group)
        group_demote(group, DEMOTE_MS, answer, call);
}

static void on_init(struct control_call *call, json_t *arguments)
{
    struct group *group = wanted_group(call, arguments);

    if (group)
        group_init(group, json_is_true(json_object_get(arguments, "skip_sync")),
                   json_is_true(json_object_get(arguments, "force")), INIT_MS, answer, call);
}

static void on_switch(struct control_call *call, json_t *arguments)
{
    struct group *group = wanted_group(call, arguments);
    const char *node = json_string_value(json_object_get(arguments, "node"));

    if (!group)
        return;
    if (halund.config->corosync)
        control_fail(call, CONTROL_REFUSED,
                     "Pacemaker decides who owns a group: use crm resource move");
    else if (node && strcmp(node, halund.config->nodes[halund.config->self].name))
        control_fail(call, CONTROL_REFUSED, "node \"%s\" is not this node, and there is no other",
                     node);
    else
        group_promote(group, PROMOTE_MS, answer, call);
}

/* ---- the daemon itself ---- */

static void on_reload(struct control_call *call, json_t *arguments)
{
    char why[512];

    if (daemon_reload(&halund, why))
        control_fail(call, CONTROL_REFUSED, "%s", why);
    else
        control_reply(call, json_object());
}

static void on_shutdown(struct control_call *call, json_t *arguments)
{
    control_reply(call, json_object());
    daemon_stop(&halund, 0);
}

static void on_log_level(struct control_call *call, json_t *arguments)
{
    static const struct {
        const char *name;
        unsigned priority;
    } levels[] = {{"error", LOG_ERR}, {"warning", LOG_WARNING}, {"notice", LOG_NOTICE},
                  {"info", LOG_INFO}, {"debug", LOG_DEBUG}};
    const char *wanted = json_string_value(json_object_get(arguments, "level"));

    for (unsigned i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (!strcmp(levels[i].name, wanted)) {
            log_set_priority(levels[i].priority);
            control_reply(call, json_object());
            return;
        }
    }
    control_fail(call, CONTROL_USAGE,
                 "log level \"%s\": expected error, warning, notice, info or debug", wanted);
}

static const struct control_handlers handlers = {
    .status = on_status,
    .version = on_version,
    .sessions = on_sessions,
    .pr = on_pr,
    .replica_status = on_replica_status,
    .group_switch = on_switch,
    .group_promote = on_promote,
    .group_demote = on_demote,
    .group_init = on_init,
    .reload = on_reload,
    .shutdown = on_shutdown,
    .log_level = on_log_level,
};

int handlers_start(struct daemon *daemon, char *why)
{
    struct control_options options = {
        .loop = daemon->loop,
        .run_dir = daemon->config->run_dir,
        .readers = daemon->config->control_readers,
        .handlers = &handlers,
        .context = daemon,
    };
    int error = control_start(&options, &server);

    if (error)
        snprintf(why, 256, "control socket of %s: %s", daemon->config->run_dir, strerror(-error));
    return error;
}

void handlers_set_readers(bool readers)
{
    control_set_readers(server, readers);
}

void handlers_stop(void)
{
    control_stop(server);
    server = NULL;
}
