/* The engine over the kernel's DRBD: its row of the contract. DRBD replicates; halund follows what it says, opens its
 * devices while it is Primary, and tells the cluster which copies are current. */
#include <errno.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replication/drbd_replica.h"
#include "target/base/reactor.h"

enum { RECORD_MS = 2000 };

static struct drbd_replica *drbd_of(struct replica *replica)
{
    return (struct drbd_replica *)replica;
}

const struct drbd_peer *drbd_peer_of(const struct drbd_replica *d)
{
    return drbd_view_peer(&d->view, d->peer_name);
}

/* ---- status ---- */

/* What an operator has to know first. */
static void explain(const struct drbd_replica *d, struct replica_status *s)
{
    if (d->trouble[0])
        snprintf(s->why, sizeof s->why, "%s", d->trouble);
    else if (!d->known)
        snprintf(s->why, sizeof s->why, "drbdsetup has not told the state yet");
    else if (!d->view.up)
        snprintf(s->why, sizeof s->why, "DRBD's resource %.64s is not up", d->resource);
    else if (d->view.split_brain)
        snprintf(s->why, sizeof s->why, "split brain");
    else if (s->suspended)
        snprintf(s->why, sizeof s->why, "DRBD holds I/O back (%.64s)", d->view.suspended);
    else
        snprintf(s->why, sizeof s->why, "%s", d->refused);
}

static bool publish_volumes(struct drbd_replica *d)
{
    bool changed = d->public.volume_count != d->view.device_count;

    d->public.volume_count = d->view.device_count;
    for (unsigned i = 0; i < d->view.device_count; i++) {
        struct replica_volume_status *at = &d->public.volumes[i], now;

        drbd_view_volume(&d->view.devices[i], drbd_peer_of(d), &now);
        changed |= now.number != at->number || now.disk != at->disk || now.peer_disk != at->peer_disk ||
                   now.connection != at->connection;
        *at = now;
    }
    return changed;
}

/* 8.4 does not tell how much there was to do: the most that was seen of it. */
static void count_resync(struct drbd_replica *d, struct replica_status *s)
{
    uint64_t left = s->resync_total - s->resync_done;

    if (!s->resync_total) {
        d->sync_most = d->sync_rate = d->sync_counted = 0;
        return;
    }
    if (s->resync_total > d->sync_most)
        d->sync_most = s->resync_total;
    s->resync_total = d->sync_most;
    s->resync_done = d->sync_most - left;
    s->resync_rate = d->sync_rate;
    if (d->sync_rate)
        s->resync_left_s = (left + d->sync_rate - 1) / d->sync_rate;
}

/* True when an operator would see another state. */
static bool publish(struct drbd_replica *d)
{
    struct replica_status now = {.why = ""}, before;
    bool changed;

    drbd_view_status(&d->view, drbd_peer_of(d), &now);
    if (!d->known) {
        now.disk = now.peer_disk = DISK_UNKNOWN;
        now.connection = CONN_UNCONNECTED;
    }
    explain(d, &now);
    count_resync(d, &now);
    pthread_mutex_lock(&d->public.lock);
    before = d->public.status;
    d->public.status = now;
    changed = publish_volumes(d);
    pthread_mutex_unlock(&d->public.lock);
    return changed || now.role != before.role || now.peer_role != before.peer_role || now.disk != before.disk ||
           now.peer_disk != before.peer_disk || now.connection != before.connection ||
           now.suspended != before.suspended || now.paused_here != before.paused_here ||
           now.paused_there != before.paused_there || now.resync_done != before.resync_done ||
           strcmp(now.why, before.why);
}

/* ---- which copies are current ---- */

/* Only a node that is Primary, or one that knows the other to be worse, says so. */
static void ask_cluster(struct drbd_replica *d)
{
    const struct replica_callbacks *callbacks = d->public.options.callbacks;
    const struct drbd_peer *peer = drbd_peer_of(d);
    bool equal = drbd_view_equal(&d->view, peer);
    struct replica_status s = {.why = ""};

    if (!d->known || d->closing)
        return;
    if (equal && !d->equal) {
        d->equal = true;
        d->asked_peer = d->asked_self = d->owes_outdate = false;
        callbacks->current(callbacks->context, &d->public, d->peer_node);
    }
    d->equal = equal;
    if (d->peer_node == REPLICA_PEER_OUTSIDE)
        return; /* DRBD's own fencing says what becomes of writes */
    if (!d->asked_peer && drbd_view_peer_stale(&d->view, peer)) {
        d->asked_peer = true;
        callbacks->outdate_peer(callbacks->context, &d->public, d->peer_node);
    }
    drbd_view_status(&d->view, peer, &s);
    if (!d->asked_self && d->view.role == DRBD_PRIMARY && s.disk <= DISK_FAILED && s.disk != DISK_ATTACHING &&
        s.peer_disk == DISK_UP_TO_DATE && s.connection >= CONN_CONNECTED) {
        d->asked_self = true;
        callbacks->outdate_self(callbacks->context, &d->public);
    }
}

/* What was said when it changed may have been refused, or agreed to after the state had changed again. Only what has
 * stood for a while: events2 may be a moment behind the cluster. */
void drbd_compare_record(struct drbd_replica *d)
{
    const struct replica_callbacks *callbacks = d->public.options.callbacks;
    const struct drbd_peer *peer = drbd_peer_of(d);

    if (!d->known || d->closing || d->peer_node == REPLICA_PEER_OUTSIDE ||
        monotonic_ns() - d->standing_ns < RECORD_MS * 1000000ull)
        return;
    if (d->equal && d->standing == REPLICA_BETTER)
        callbacks->current(callbacks->context, &d->public, d->peer_node);
    else if (drbd_orders_open(d) && d->standing == REPLICA_EQUAL && drbd_view_peer_stale(&d->view, peer))
        callbacks->outdate_peer(callbacks->context, &d->public, d->peer_node);
}

/* The connection whose loss the owner had noticed first is lost here too. The record may have changed since. */
static void pay_outdate(struct drbd_replica *d)
{
    const struct replica_callbacks *callbacks = d->public.options.callbacks;
    const struct drbd_peer *peer = drbd_peer_of(d);

    if (!d->owes_outdate || !d->known || d->closing || (peer && peer->connection == CONN_CONNECTED))
        return;
    d->owes_outdate = false;
    if (callbacks->outdated(callbacks->context, &d->public))
        drbd_order_take(d, ORDER_OUTDATE, false, NULL, NULL);
}

void drbd_changed(struct drbd_replica *d)
{
    const struct replica_callbacks *callbacks = d->public.options.callbacks;

    if (publish(d) && !d->closing)
        callbacks->changed(callbacks->context, &d->public);
    ask_cluster(d);
    pay_outdate(d);
    drbd_orders_step(d); /* may free it: the last thing here */
}

/* ---- the row ---- */

void drbd_replica_free(struct drbd_replica *d)
{
    for (unsigned i = 0; i < d->volume_count; i++)
        drbd_store_free(d->stores[i]);
    free(d->public.volumes);
    pthread_mutex_destroy(&d->public.lock);
    free(d);
}

static int find_peer(struct drbd_replica *d, char *why)
{
    const struct config *config = d->public.options.config;
    const struct config_group *group = d->public.options.group;
    unsigned self = config->nodes[config->self].id;

    if (group->node_count == 1) {
        d->peer_node = REPLICA_PEER_OUTSIDE;
        return 0;
    }
    if (group->node_count != 2 || (group->nodes[0] != self && group->nodes[1] != self)) {
        snprintf(why, 256, "group \"%s\": expected two nodes, this one among them", group->name);
        return -EINVAL;
    }
    d->peer_node = group->nodes[group->nodes[0] == self];
    for (unsigned i = 0; i < config->node_count; i++)
        if (config->nodes[i].id == d->peer_node)
            d->peer_name = config->nodes[i].name;
    return 0;
}

static int make_stores(struct drbd_replica *d, char *why)
{
    const struct config *config = d->public.options.config;

    for (unsigned i = 0; i < config->lu_count; i++) {
        const struct config_lu *lu = &config->lus[i];

        if (lu->group_index != d->public.options.group_index)
            continue;
        if (lu->volume >= DRBD_VOLUMES) {
            snprintf(why, 256, "group \"%s\": expected at most %d logical units with replication = drbd",
                     d->public.options.group->name, DRBD_VOLUMES);
            return -E2BIG;
        }
        d->lus[lu->volume] = lu;
        d->stores[lu->volume] = drbd_store_new(lu, d->public.control);
        if (!d->stores[lu->volume]) {
            snprintf(why, 256, "out of memory");
            return -ENOMEM;
        }
        if (d->volume_count <= lu->volume)
            d->volume_count = lu->volume + 1;
    }
    if (!d->volume_count) {
        snprintf(why, 256, "group \"%s\" has no logical unit", d->public.options.group->name);
        return -EINVAL;
    }
    return 0;
}

static int drbd_open(const struct replica_options *options, struct replica **replica, char *why)
{
    struct drbd_replica *d = calloc(1, sizeof *d);
    int rc;

    if (!d) {
        snprintf(why, 256, "out of memory");
        return -ENOMEM;
    }
    replica_begin(&d->public, &replica_drbd, options);
    d->public.status = (struct replica_status){.disk = DISK_UNKNOWN, .peer_disk = DISK_UNKNOWN};
    d->loop = options->loop;
    d->resource = options->group->drbd_resource[0] ? options->group->drbd_resource : options->group->name;
    d->own_role = options->group->drbd_role == CONFIG_DRBD_ROLE_HALUND;
    d->command_ms = DRBD_COMMAND_MS;
    qb_list_init(&d->orders);
    d->public.volumes = calloc(DRBD_VOLUMES, sizeof *d->public.volumes);
    rc = d->public.volumes ? find_peer(d, why) : -ENOMEM;
    if (!rc)
        rc = make_stores(d, why);
    if (rc) {
        drbd_replica_free(d);
        return rc;
    }
    drbd_follow_start(d);
    *replica = &d->public;
    return 0;
}

static struct store *drbd_store(struct replica *replica, unsigned volume)
{
    struct drbd_replica *d = drbd_of(replica);

    return volume < d->volume_count && d->stores[volume] ? drbd_store_of(d->stores[volume]) : NULL;
}

static void drbd_standing(struct replica *replica, enum replica_standing standing)
{
    struct drbd_replica *d = drbd_of(replica);

    d->standing = standing;
    d->standing_ns = monotonic_ns();
}

static void drbd_order(struct replica *replica, enum replica_order kind, bool flag, replica_done *done,
                       void *context)
{
    struct drbd_replica *d = drbd_of(replica);

    if (kind == ORDER_PEER_OUTDATED || kind == ORDER_SELF_OUTDATED) {
        /* DRBD itself goes on or waits; what was not agreed may be asked again. */
        if (!flag)
            *(kind == ORDER_PEER_OUTDATED ? &d->asked_peer : &d->asked_self) = false;
        if (done)
            done(context, 0, "");
        return;
    }
    drbd_order_take(d, kind, flag, done, context);
}

const struct replica_engine replica_drbd = {
    .name = "drbd",
    .hands_over = false,
    .open = drbd_open,
    .store = drbd_store,
    .order = drbd_order,
    .standing = drbd_standing,
};
