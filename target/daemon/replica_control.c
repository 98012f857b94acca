#include "target/daemon/replica_control.h"

#include <errno.h>
#include <qb/qblog.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "target/base/container.h"
#include "target/base/threads.h"
#include "target/daemon/group.h"
#include "target/daemon/reinstate.h"
#include "target/daemon/wanted_group.h"

enum { EVENTS_MS = 10000 }; /* a call for events is answered so late at the latest */

/* ---- status ---- */

static const char *role_name(enum replica_role role)
{
    return role == REPLICA_PRIMARY ? "primary" : "secondary";
}

static const struct config_node *peer_of(const struct group *group)
{
    const struct config_group *config = &halund.config->groups[group->index];

    for (unsigned i = 0; i < halund.config->node_count; i++)
        for (unsigned k = 0; k < config->node_count; k++)
            if (halund.config->nodes[i].id == config->nodes[k] && config->nodes[k] != halund.self)
                return &halund.config->nodes[i];
    return &halund.config->nodes[halund.config->self];
}

/* Looks from *next on, and leaves there what is behind the one found: volumes come in the order of the units, so that a
 * thousand of them are walked once. */
static const char *lu_name(const struct group *group, unsigned volume, unsigned *next)
{
    const unsigned count = halund.config->lu_count;

    for (unsigned i = 0; i < count; i++) {
        const struct config_lu *lu = &halund.config->lus[(*next + i) % count];

        if (lu->group_index == group->index && lu->volume == volume) {
            *next = (*next + i + 1) % count;
            return lu->name;
        }
    }
    return "";
}

static json_t *volumes_json(const struct group *group)
{
    unsigned count = replica_get_volumes(group->replica, NULL, 0);
    struct replica_volume_status *volumes = calloc(count ? count : 1, sizeof *volumes);
    json_t *list = json_array();
    unsigned next = 0;

    if (volumes)
        replica_get_volumes(group->replica, volumes, count);
    for (unsigned i = 0; volumes && i < count; i++) {
        const struct replica_volume_status *v = &volumes[i];

        json_array_append_new(
            list, json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:I}", "volume", (int)v->number, "lu",
                            lu_name(group, v->number, &next), "disk", replica_disk_name(v->disk), "peer_disk",
                            replica_disk_name(v->peer_disk), "connection",
                            replica_connection_name(v->connection), "size", (json_int_t)v->size,
                            "out_of_sync", (json_int_t)v->out_of_sync));
    }
    free(volumes);
    return list;
}

static json_t *resync_json(const struct replica_status *s)
{
    if (!s->resync_total)
        return json_null();
    return json_pack("{s:I, s:I, s:I, s:o}", "total", (json_int_t)s->resync_total, "done",
                     (json_int_t)s->resync_done, "rate", (json_int_t)s->resync_rate, "seconds_left",
                     s->resync_left_s ? json_integer((json_int_t)s->resync_left_s) : json_null());
}

static const char *paused_by(const struct replica_status *s)
{
    if (s->paused_here)
        return s->paused_there ? "user,peer" : "user";
    return s->paused_there ? "peer" : "no";
}

/* What an operator has to do before a certificate ends, and what goes wrong then; "" = nothing. */
static void warn_of_end(char *out, size_t size, const char *whose, int64_t end)
{
    size_t used = strlen(out);
    int64_t left = end - time(NULL);

    if (!end || left >= REPLICA_TLS_WARN_DAYS * 86400 || used >= size)
        return;
    if (left < 0)
        snprintf(out + used, size - used, "%s%s certificate has expired", used ? "; " : "", whose);
    else
        snprintf(out + used, size - used, "%s%s certificate expires in %d days", used ? "; " : "", whose,
                 (int)(left / 86400));
}

static json_t *time_json(int64_t seconds)
{
    char text[32];
    time_t t = (time_t)seconds;
    struct tm tm;

    if (!seconds)
        return json_null();
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
    return json_string(text);
}

static json_t *tls_json(const struct replica_status *s)
{
    char warning[160] = "";

    if (!s->tls)
        return json_null();
    warn_of_end(warning, sizeof warning, "this node's", s->tls_expires);
    warn_of_end(warning, sizeof warning, "the peer's", s->tls_peer_expires);
    return json_pack("{s:s?, s:o, s:o, s:s}", "cipher", s->tls_cipher, "certificate_expires",
                     time_json(s->tls_expires), "peer_certificate_expires", time_json(s->tls_peer_expires),
                     "warning", warning);
}

json_t *replica_json(struct group *group, bool details)
{
    struct replica_status status;
    json_t *object;

    if (!group->replica)
        return json_null();
    replica_get_status(group->replica, &status);
    object = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:I, s:o, s:s, s:o}", "role", role_name(status.role),
        "peer_role", status.connection < CONN_CONNECTED ? "unknown" : role_name(status.peer_role),
        "disk", replica_disk_name(status.disk), "peer_disk", replica_disk_name(status.peer_disk),
        "connection", replica_connection_name(status.connection), "suspended", (int)status.suspended,
        "resync_suspended", paused_by(&status), "out_of_sync", (json_int_t)status.out_of_sync, "resync",
        resync_json(&status), "why", status.why, "tls", tls_json(&status));
    if (details) {
        json_object_set_new(object, "written", json_integer((json_int_t)status.written));
        json_object_set_new(object, "received", json_integer((json_int_t)status.received));
        json_object_set_new(object, "sent", json_integer((json_int_t)status.sent));
        json_object_set_new(object, "peer", json_string(peer_of(group)->name));
        json_object_set_new(object, "peer_id", json_integer(peer_of(group)->id));
        json_object_set_new(object, "volumes", volumes_json(group));
    }
    return object;
}

/* Of one or all groups; NULL: no group has that name. */
static json_t *groups_json(const char *name)
{
    json_t *groups = json_array();

    for (unsigned i = 0; i < halund.config->group_count; i++)
        if (!name || !strcmp(halund.config->groups[i].name, name))
            json_array_append_new(groups, json_pack("{s:s, s:o}", "name",
                                                    halund.config->groups[i].name, "replication",
                                                    replica_json(&halund.groups[i], true)));
    return groups;
}

static const char *group_name(json_t *arguments)
{
    return json_string_value(json_object_get(arguments, "group"));
}

void on_replica_status(struct control_call *call, json_t *arguments)
{
    const char *name = group_name(arguments);

    if (!name || wanted_group(call, arguments))
        control_reply(call, json_pack("{s:o}", "groups", groups_json(name)));
}

/* ---- events: a call waits until something is newer than what its client knows ---- */

struct listener {
    struct listener *next;
    struct control_call *call;
    char *group;
    qb_loop_timer_handle timer;
};

static struct listener *listeners;
static json_int_t serial = 1;

static void tell(struct listener *listener)
{
    control_reply(listener->call, json_pack("{s:I, s:o}", "serial", serial, "groups", groups_json(listener->group)));
    free(listener->group);
    free(listener);
}

static void late(void *data)
{
    struct listener *listener = data, **at = &listeners;

    while (*at != listener)
        at = &(*at)->next;
    *at = listener->next;
    tell(listener);
}

static void tell_all(void)
{
    while (listeners) {
        struct listener *listener = listeners;

        listeners = listener->next;
        qb_loop_timer_del(halund.loop, listener->timer);
        tell(listener);
    }
}

void replica_events_changed(void)
{
    serial++;
    tell_all();
}

void replica_events_stop(void)
{
    tell_all();
}

void on_replica_events(struct control_call *call, json_t *arguments)
{
    const char *name = group_name(arguments);
    struct listener *listener;

    if (name && !wanted_group(call, arguments))
        return;
    listener = calloc(1, sizeof *listener);
    if (!listener) {
        control_fail(call, CONTROL_FAILED, "out of memory");
        return;
    }
    listener->call = call;
    listener->group = name ? strdup(name) : NULL;
    if (json_integer_value(json_object_get(arguments, "serial")) != serial ||
        qb_loop_timer_add(halund.loop, QB_LOOP_LOW, EVENTS_MS * 1000000ull, listener, late,
                          &listener->timer)) {
        tell(listener);
        return;
    }
    listener->next = listeners;
    listeners = listener;
}

/* ---- orders ---- */

static void answer(void *context, int error, const char *why)
{
    struct control_call *call = context;

    if (!error)
        control_reply(call, json_object());
    else
        control_fail(call,
                     error == -EAGAIN                                                   ? CONTROL_AGAIN
                     : error == -EBUSY || error == -ENODATA || error == -EINVAL ? CONTROL_REFUSED
                                                                                        : CONTROL_FAILED,
                     "%s", why);
}

static bool owned_here(const struct group *group)
{
    return cluster_state(halund.cluster)->groups[group->index].owner == halund.self;
}

static bool has_disk(struct control_call *call, const struct group *group)
{
    struct replica_status status;

    replica_get_status(group->replica, &status);
    if (status.disk != DISK_DISKLESS || config_of(group)->replication != REPLICATION_BUILTIN)
        return true;
    control_fail(call, CONTROL_REFUSED, "group \"%s\" has no disk here until it is attached (halunctl replica attach): %s",
                 config_of(group)->name, status.why);
    return false;
}

void on_replica_connect(struct control_call *call, json_t *arguments)
{
    struct group *group = wanted_replicated_group(call, arguments);
    bool discard = json_is_true(json_object_get(arguments, "discard_my_data"));

    if (!group || !has_disk(call, group))
        return;
    if (discard && owned_here(group)) {
        control_fail(call, CONTROL_REFUSED, "this node is the owner: its data are the ones in use");
        return;
    }
    replica_connect(group->replica, discard);
    answer(call, 0, "");
}

void on_replica_disconnect(struct control_call *call, json_t *arguments)
{
    struct group *group = wanted_replicated_group(call, arguments);

    if (!group)
        return;
    replica_disconnect(group->replica);
    answer(call, 0, "");
}

static void pause_resync(struct control_call *call, json_t *arguments, bool pause)
{
    struct group *group = wanted_replicated_group(call, arguments);

    if (!group)
        return;
    replica_pause(group->replica, pause);
    answer(call, 0, "");
}

void on_replica_pause(struct control_call *call, json_t *arguments)
{
    pause_resync(call, arguments, true);
}

void on_replica_resume(struct control_call *call, json_t *arguments)
{
    pause_resync(call, arguments, false);
}

void on_replica_verify(struct control_call *call, json_t *arguments)
{
    struct group *group = wanted_replicated_group(call, arguments);

    if (group)
        replica_verify(group->replica, answer, call);
}

void on_replica_new_current_uuid(struct control_call *call, json_t *arguments)
{
    struct group *group = wanted_replicated_group(call, arguments);

    if (group)
        replica_new_generation(group->replica, answer, call);
}

/* ---- orders that the cluster has to agree to: a copy is not current any more ---- */

struct giving_up {
    struct cluster_request request;
    struct control_call *call;
    struct group *group;
    bool invalidate, peer;
};

static void invalidated(void *context, int error, const char *why)
{
    struct giving_up *g = context;

    if (!error)
        group_invalidated(g->group, g->peer);
    answer(g->call, error, why);
    free(g);
}

static void given_up(struct cluster_request *request, enum scsi_reason reason, uint8_t field)
{
    struct giving_up *g = container_of(request, struct giving_up, request);
    struct control_call *call = g->call;
    struct group *group = g->group;
    struct replica *replica = group->replica;
    bool invalidate = g->invalidate, peer = g->peer;

    if (reason == REASON_GOOD && invalidate && replica && !(peer && group_disk_failed(group))) {
        (peer ? replica_invalidate_peer : replica_invalidate)(replica, invalidated, g);
        return;
    }
    free(g);
    if (reason == REASON_INSUFFICIENT_RESOURCES) {
        control_fail(call, CONTROL_REFUSED, "it is the only current copy");
    } else if (reason == REASON_INVALID_FIELD_IN_PARAMETERS) {
        control_fail(call, CONTROL_REFUSED, "its node is the owner");
    } else if (reason != REASON_GOOD) {
        control_fail(call, CONTROL_AGAIN, "the cluster does not serve now");
    } else if (peer && replica && group_disk_failed(group)) {
        reinstate_other_copy(group); /* it was to be the only current one */
        control_fail(call, CONTROL_REFUSED, "the disk of this node has failed");
    } else {
        answer(call, 0, "");
    }
}

/* Before the cluster agrees: a copy that is given up while the other one is not there to be compared may be the only one that
 * has all. False when the order is refused. */
static bool other_is_good(struct control_call *call, const struct group *group, bool peer)
{
    struct replica_status status;

    replica_get_status(group->replica, &status);
    if (peer && status.disk != DISK_UP_TO_DATE)
        control_fail(call, CONTROL_REFUSED, "this node's copy is not UpToDate");
    else if (!peer && status.connection < CONN_CONNECTED)
        control_fail(call, CONTROL_AGAIN, "the peer is not connected");
    else if (!peer && status.peer_disk != DISK_UP_TO_DATE)
        control_fail(call, CONTROL_REFUSED, "the peer's copy is not UpToDate");
    else
        return true;
    return false;
}

static void give_up(struct control_call *call, json_t *arguments, bool invalidate)
{
    struct group *group = wanted_replicated_group(call, arguments);
    bool peer = json_is_true(json_object_get(arguments, "peer"));
    struct giving_up *g;

    if (!group)
        return;
    if (invalidate && halund.config->groups[group->index].drbd_peer.length) {
        /* No node has the other copy: only the peer itself can agree. */
        (peer ? replica_invalidate_peer : replica_invalidate)(group->replica, answer, call);
        return;
    }
    if (peer && halund.config->groups[group->index].node_count < 2) {
        control_fail(call, CONTROL_REFUSED, "the peer is no node of the cluster: nothing can be agreed about its copy");
        return;
    }
    if (invalidate && (peer || !owned_here(group)) && !other_is_good(call, group, peer))
        return;
    g = calloc(1, sizeof *g);
    if (!g) {
        control_fail(call, CONTROL_FAILED, "out of memory");
        return;
    }
    g->call = call;
    g->group = group;
    g->invalidate = invalidate;
    g->peer = peer;
    g->request.op.kind = SHARED_OP_OUTDATE;
    g->request.op.node = g->peer ? peer_of(group)->id : halund.self;
    g->request.op.group = group->index;
    g->request.op.lu = SHARED_NO_LU;
    g->request.answer = given_up;
    cluster_submit(halund.cluster, &g->request);
}

void on_replica_outdate(struct control_call *call, json_t *arguments)
{
    give_up(call, arguments, false);
}

void on_replica_invalidate(struct control_call *call, json_t *arguments)
{
    give_up(call, arguments, true);
}
