/* The requests of the control socket (config/methods.def); replies as in docs/control.md. */
#include "config/control.h"

#include <errno.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "target/base/threads.h"
#include "target/daemon/attach.h"
#include "target/daemon/daemon.h"
#include "target/daemon/log.h"
#include "target/daemon/reload.h"
#include "target/daemon/replica_control.h"
#include "target/daemon/resize.h"
#include "target/daemon/wanted_group.h"
#include "target/device/device.h"
#include "target/nexus/nexus_table.h"

/* How long a request waits for its conditions before the client is told to ask again; short, so that
 * a request that nobody waits for any more does not stand in the way of the next. */
enum { PROMOTE_MS = 2000, DEMOTE_MS = 2000, INIT_MS = 2000 };

static struct control *server;

/* ---- names ---- */

static const char *alua_name(uint8_t state)
{
    switch (state) {
    case ALUA_ACTIVE_OPTIMIZED:
        return "optimized";
    case ALUA_ACTIVE_NON_OPTIMIZED:
        return "non-optimized";
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
            json_array_append_new(list, json_string(nodes_name(id)));
    return list;
}

static json_t *uuid_text(const uint8_t uuid[16])
{
    char text[37];

    uuid_unparse_lower(uuid, text);
    return json_string(text);
}

static json_t *node_or_null(unsigned id)
{
    return id ? json_string(nodes_name(id)) : json_null();
}

/* ---- status ---- */

/* Sessions that see each LU, by its index. */
static unsigned lu_sessions[LIMIT_LUS];

static void count_session(const struct nexus_info *info, void *context)
{
    const struct config_host *host = config_host_for(halund.config, info->initiator_name);

    for (unsigned i = 0; host && i < host->lun_count; i++)
        lu_sessions[host->luns[i].lu_index]++;
}

static json_t *units_json(unsigned group)
{
    json_t *units = json_array();

    for (unsigned i = 0; i < device_lu_count; i++) {
        const struct lu *lu = device_lus[i];
        if (lu && lu->group_index == group)
            json_array_append_new(
                units, json_pack("{s:s, s:o, s:I, s:i, s:i}", "name", lu->config.name, "uuid",
                                 uuid_text(lu->config.uuid), "size",
                                 (json_int_t)(atomic_load(&lu->blocks) * lu->block_size),
                                 "block_size", (int)lu->block_size, "sessions",
                                 (int)lu_sessions[i]));
    }
    return units;
}

static json_t *group_json(struct group *group, bool detail)
{
    const struct shared_group *shared = &cluster_state(halund.cluster)->groups[group->index];
    json_t *states = json_object(), *object;

    for (unsigned i = 0; i < halund.config->node_count; i++)
        json_object_set_new(states, halund.config->nodes[i].name,
                            json_string(alua_name(shared->states[halund.config->nodes[i].id])));
    object = json_pack("{s:s, s:o, s:o, s:o, s:o, s:b, s:b, s:b, s:s, s:o, s:o}", "name",
                       halund.config->groups[group->index].name, "owner",
                       node_or_null(shared->owner), "nodes", nodes_in(shared->nodes), "current",
                       nodes_in(shared->current), "states", states, "explicit",
                       (int)shared->explicit_transition, "wished", (int)group_is_wished(group),
                       "yielding", (int)group->yielding, "waiting", group->waits, "held_ms",
                       group->held_ns
                           ? json_integer((json_int_t)((monotonic_ns() - group->held_ns) / 1000000))
                           : json_null(),
                       "replication", replica_json(group, false));
    if (detail)
        json_object_set_new(object, "lus", units_json(group->index));
    return object;
}

static json_t *cluster_json(void)
{
    struct cluster_view view;
    uint64_t lease = atomic_load(cluster_lease(halund.cluster)), now = monotonic_ns();
    char digest[17];
    json_t *left = json_null();

    cluster_get_view(halund.cluster, &view);
    snprintf(digest, sizeof digest, "%016llx", (unsigned long long)view.digest);
    if (halund.config->corosync)
        left = json_integer(lease > now ? (json_int_t)((lease - now) / 1000000) : 0);
    return json_pack("{s:s, s:s, s:b, s:b, s:b, s:o, s:o, s:s, s:s, s:I, s:I, s:I, s:i, s:s, s:o}", "name",
                     halund.config->cluster_name, "mode",
                     halund.config->corosync ? "corosync" : "single", "serving", (int)view.serving,
                     "quorate", (int)view.quorate, "joined", (int)view.joined, "members",
                     nodes_in(view.members), "unproven", nodes_in(view.unproven), "waiting",
                     view.waiting, "digest", digest, "epoch", (json_int_t)view.epoch, "version",
                     (json_int_t)view.version, "commits", (json_int_t)view.commits, "wire", (int)view.wire, "alarm",
                     view.alarm[0] ? view.alarm : reload_alarm(),
                     "lease_ms_left", left);
}

static void on_status(struct control_call *call, json_t *arguments)
{
    const struct config_node *self = &halund.config->nodes[halund.config->self];
    bool detail = !json_is_false(json_object_get(arguments, "detail"));
    json_t *groups = json_array(), *portals = json_array(), *object;

    if (detail) {
        memset(lu_sessions, 0, sizeof lu_sessions);
        nexus_table_each(count_session, NULL);
    }
    for (unsigned i = 0; i < halund.config->group_count; i++)
        json_array_append_new(groups, group_json(&halund.groups[i], detail));
    for (unsigned i = 0; i < self->portal_count; i++)
        json_array_append_new(portals, json_pack("{s:s, s:s, s:i}", "name", self->portals[i].name,
                                                 "address", self->portals[i].address.text, "rtpi",
                                                 (int)self->portals[i].rtpi));
    object = json_pack("{s:s, s:s, s:i, s:b, s:o, s:o, s:i}", "node", self->name, "version",
                       HALUN_VERSION, "pid", (int)getpid(), "ready", (int)halund.ready, "cluster",
                       cluster_json(), "groups", groups, "sessions", (int)nexus_table_count());
    if (detail)
        json_object_set_new(object, "portals", portals);
    else
        json_decref(portals);
    control_reply(call, object);
}

static void on_version(struct control_call *call, json_t *arguments)
{
    control_reply(call, json_pack("{s:s, s:i}", "version", HALUN_VERSION, "pid", (int)getpid()));
}

static void on_metrics(struct control_call *call, json_t *arguments)
{
    control_reply(call, metrics_json());
}

static json_t *isid_text(const uint8_t isid[6])
{
    char text[13];

    snprintf(text, sizeof text, "%02x%02x%02x%02x%02x%02x", isid[0], isid[1], isid[2], isid[3],
             isid[4], isid[5]);
    return json_string(text);
}

static void add_session(const struct nexus_info *info, void *context)
{
    const struct config_node *self = &halund.config->nodes[halund.config->self];
    const struct config_host *host = config_host_for(halund.config, info->initiator_name);
    const char *portal = "";

    for (unsigned i = 0; i < self->portal_count; i++)
        if (self->portals[i].rtpi == info->rtpi)
            portal = self->portals[i].address.text;
    json_array_append_new(
        context, json_pack("{s:s, s:o, s:s, s:i, s:i, s:o, s:s, s:s, s:i, s:i, s:I}", "initiator",
                           info->initiator_name, "isid", isid_text(info->isid), "target",
                           info->target_name, "tsih", (int)info->tsih, "rtpi", (int)info->rtpi,
                           "host", host ? json_string(host->name) : json_null(), "address",
                           info->peer_address, "portal", portal, "connections", 1, "luns",
                           host ? (int)host->lun_count : 0, "commands",
                           (json_int_t)info->commands));
}

static void on_sessions(struct control_call *call, json_t *arguments)
{
    json_t *sessions = json_array();

    nexus_table_each(add_session, sessions);
    control_reply(call, json_pack("{s:o}", "sessions", sessions));
}

/* ---- reservations ---- */

/* The iSCSI name and ISID of a TransportID (format 01b: name ",i,0x" ISID, SPC-4 7.6.4.6), for people. */
static json_t *identity_json(const struct nexus_identity *nexus)
{
    const char *text = (const char *)nexus->transport_id + 4;
    size_t length = nexus->transport_length > 4 ? strnlen(text, nexus->transport_length - 4u) : 0;
    const char *mark = memmem(text, length, ",i,0x", 5);
    size_t name = mark ? (size_t)(mark - text) : length;

    return json_pack("{s:o, s:o, s:i}", "initiator", json_stringn(text, name), "isid",
                     mark ? json_stringn(mark + 5, length - name - 5) : json_null(), "rtpi",
                     (int)nexus->rtpi);
}

static json_t *registrant_json(const struct shared_lu *lu, uint32_t index)
{
    const struct shared_registrant *registrant = &lu->registrants[index];
    json_t *object = identity_json(&registrant->nexus);
    bool registered, holder;
    char key[19];

    shared_lookup(lu, &registrant->nexus, &registered, &holder);
    snprintf(key, sizeof key, "0x%016llx", (unsigned long long)registrant->key);
    json_object_set_new(object, "key", json_string(key));
    json_object_set_new(object, "holder", json_boolean(holder));
    return object;
}

static void on_pr(struct control_call *call, json_t *arguments)
{
    const struct shared_state *state = cluster_state(halund.cluster);
    const char *wanted = json_string_value(json_object_get(arguments, "lu"));
    json_t *units = json_array();

    for (uint32_t i = 0; i < state->lu_count; i++) {
        const struct shared_lu *lu = &state->lus[i];
        json_t *registrants;
        if (wanted ? strcmp(halund.config->lus[i].name, wanted) != 0
                   : !lu->registrant_count && !lu->legacy_reserved)
            continue;
        registrants = json_array();
        for (uint32_t k = 0; k < lu->registrant_count; k++)
            json_array_append_new(registrants, registrant_json(lu, k));
        json_array_append_new(
            units, json_pack("{s:s, s:o, s:I, s:s, s:b, s:o, s:o}", "name",
                             halund.config->lus[i].name, "uuid", uuid_text(lu->uuid), "generation",
                             (json_int_t)lu->pr_generation, "type", pr_type_name(lu->pr_type),
                             "aptpl", (int)lu->pr_aptpl, "registrants", registrants,
                             "legacy_holder",
                             lu->legacy_reserved ? identity_json(&lu->legacy_holder)
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

static void answer(void *context, int error, const char *why)
{
    struct control_call *call = context;

    switch (error) {
    case 0:
        control_reply(call, json_object());
        break;
    case -ETIMEDOUT:
    case -EBUSY:
    case -EAGAIN:
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
        group_demote(group, json_is_true(json_object_get(arguments, "handover")), DEMOTE_MS, answer,
                     call);
}

static void on_init(struct control_call *call, json_t *arguments)
{
    struct group *group = wanted_group(call, arguments);

    if (group)
        group_init(group, json_is_true(json_object_get(arguments, "skip_sync")),
                   json_is_true(json_object_get(arguments, "force")), INIT_MS, answer, call);
}

static void on_make_current(struct control_call *call, json_t *arguments)
{
    struct group *group = wanted_group(call, arguments);

    if (group)
        group_make_current(group, json_is_true(json_object_get(arguments, "force")), INIT_MS, answer, call);
}

static void on_alone(struct control_call *call, json_t *arguments)
{
    struct group *group = wanted_group(call, arguments);
    char why[256] = "";

    if (group)
        answer(call, group_alone(group, why), why);
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

static void on_force_start(struct control_call *call, json_t *arguments)
{
    qb_log(LOG_WARNING, "the operator accepts the state of the nodes that are here");
    cluster_force_start(halund.cluster);
    control_reply(call, json_object());
}

static void reload_ended(void *context, int error, const char *why, json_t *actions)
{
    struct control_call *call = context;

    if (!error)
        control_reply(call, json_pack("{s:O}", "actions", actions));
    else if (error == -EAGAIN || error == -EBUSY)
        control_fail(call, CONTROL_AGAIN, "%s", why);
    else if (error == -ETIMEDOUT)
        control_fail(call, CONTROL_TIMEOUT, "%s", why);
    else
        control_fail(call, CONTROL_REFUSED, "%s", why);
}

static void on_reload(struct control_call *call, json_t *arguments)
{
    daemon_reload(&halund, reload_ended, call);
}

static void on_shutdown(struct control_call *call, json_t *arguments)
{
    control_reply(call, json_object());
    daemon_stop(&halund, 0);
}

static void on_log_level(struct control_call *call, json_t *arguments)
{
    /* In the order of syslog's priorities. */
    static const char *const levels[] = {"emerg",   "alert",  "crit", "err",
                                         "warning", "notice", "info", "debug"};
    const char *wanted = json_string_value(json_object_get(arguments, "level"));

    for (unsigned i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (!strcmp(levels[i], wanted)) {
            log_set_priority(i);
            control_reply(call, json_pack("{s:s}", "level", wanted));
            return;
        }
    }
    control_fail(call, CONTROL_USAGE,
                 "log level \"%s\": expected emerg, alert, crit, err, warning, notice, info or debug",
                 wanted);
}

static const struct control_handlers handlers = {
    .status = on_status,
    .version = on_version,
    .sessions = on_sessions,
    .metrics = on_metrics,
    .pr = on_pr,
    .lu_resize = on_lu_resize,
    .replica_status = on_replica_status,
    .replica_events = on_replica_events,
    .replica_connect = on_replica_connect,
    .replica_disconnect = on_replica_disconnect,
    .replica_pause = on_replica_pause,
    .replica_resume = on_replica_resume,
    .replica_verify = on_replica_verify,
    .replica_outdate = on_replica_outdate,
    .replica_invalidate = on_replica_invalidate,
    .replica_attach = on_replica_attach,
    .replica_resize = on_replica_resize,
    .replica_new_current_uuid = on_replica_new_current_uuid,
    .group_switch = on_switch,
    .group_promote = on_promote,
    .group_demote = on_demote,
    .group_init = on_init,
    .group_make_current = on_make_current,
    .group_alone = on_alone,
    .cluster_force_start = on_force_start,
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
    replica_events_stop();
    control_stop(server);
    server = NULL;
}
