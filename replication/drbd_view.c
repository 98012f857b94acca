#include "replication/drbd_view.h"

#include <string.h>

/* ---- what is told ---- */

static struct drbd_device *find_device(struct drbd_view *view, uint64_t volume)
{
    for (unsigned i = 0; i < view->device_count; i++)
        if (view->devices[i].volume == volume)
            return &view->devices[i];
    return NULL;
}

static struct drbd_device *add_device(struct drbd_view *view, uint64_t volume)
{
    unsigned at = view->device_count;

    if (at == DRBD_VOLUMES || volume > INT32_MAX)
        return NULL;
    while (at && view->devices[at - 1].volume > volume)
        at--;
    memmove(&view->devices[at + 1], &view->devices[at],
            (view->device_count++ - at) * sizeof *view->devices);
    view->devices[at] = (struct drbd_device){.volume = (unsigned)volume, .quorum = true};
    return &view->devices[at];
}

static struct drbd_peer *find_peer(struct drbd_view *view, uint64_t id)
{
    for (unsigned i = 0; i < view->peer_count; i++)
        if (view->peers[i].id == id)
            return &view->peers[i];
    return NULL;
}

static struct drbd_peer *add_peer(struct drbd_view *view, uint64_t id)
{
    struct drbd_peer *peer;

    if (view->peer_count == DRBD_PEERS)
        return NULL;
    peer = &view->peers[view->peer_count++];
    *peer = (struct drbd_peer){.id = (unsigned)id};
    return peer;
}

static struct drbd_peer_device *find_peer_device(struct drbd_peer *peer, uint64_t volume)
{
    for (unsigned i = 0; i < peer->device_count; i++)
        if (peer->devices[i].volume == volume)
            return &peer->devices[i];
    return NULL;
}

static struct drbd_peer_device *add_peer_device(struct drbd_peer *peer, uint64_t volume)
{
    struct drbd_peer_device *device;

    if (peer->device_count == DRBD_VOLUMES)
        return NULL;
    device = &peer->devices[peer->device_count++];
    *device = (struct drbd_peer_device){.volume = (unsigned)volume, .disk = DISK_UNKNOWN};
    return device;
}

#define TAKE(bit, to, from)                                                                        \
    do {                                                                                           \
        if (event->fields & (bit) && (to) != (from)) {                                             \
            (to) = (from);                                                                         \
            changed = true;                                                                        \
        }                                                                                          \
    } while (0)

static bool take_text(const struct drbd_event *event, enum drbd_field field, char *to, const char *from)
{
    if (!(event->fields & field) || !strcmp(to, from))
        return false;
    strcpy(to, from);
    return true;
}

static bool apply_resource(struct drbd_view *view, const struct drbd_event *event)
{
    bool changed = !view->up;

    if (event->verb == DRBD_DESTROY) {
        bool dumped = view->dumped;

        changed = view->up;
        memset(view, 0, sizeof *view);
        view->dumped = dumped;
        return changed;
    }
    view->up = true;
    TAKE(DRBD_HAS_ROLE, view->role, event->role);
    TAKE(DRBD_HAS_MAY_PROMOTE, view->may_promote, event->may_promote);
    return take_text(event, DRBD_HAS_SUSPENDED, view->suspended, event->suspended) || changed;
}

static bool apply_device(struct drbd_view *view, const struct drbd_event *event)
{
    struct drbd_device *device = find_device(view, event->volume);
    bool changed = false;

    if (event->verb == DRBD_DESTROY) {
        if (!device)
            return false;
        memmove(device, device + 1,
                (size_t)(&view->devices[view->device_count] - device - 1) * sizeof *device);
        view->device_count--;
        return true;
    }
    if (!device) {
        device = add_device(view, event->volume);
        changed = true;
    }
    if (!device)
        return false;
    TAKE(DRBD_HAS_MINOR, device->minor, (unsigned)event->minor);
    TAKE(DRBD_HAS_DISK, device->disk, event->disk);
    TAKE(DRBD_HAS_QUORUM, device->quorum, event->quorum);
    TAKE(DRBD_HAS_SIZE, device->size, event->size);
    TAKE(DRBD_HAS_WRITTEN, device->written, event->written);
    return changed;
}

static bool apply_connection(struct drbd_view *view, const struct drbd_event *event)
{
    struct drbd_peer *peer = find_peer(view, event->peer_id);
    bool changed = false;

    if (event->verb == DRBD_DESTROY) {
        if (!peer)
            return false;
        *peer = view->peers[--view->peer_count];
        return true;
    }
    if (!peer) {
        peer = add_peer(view, event->peer_id);
        changed = true;
    }
    if (!peer)
        return false;
    TAKE(DRBD_HAS_CONNECTION, peer->connection, event->connection);
    TAKE(DRBD_HAS_ROLE, peer->role, event->role);
    if (peer->connection == CONN_CONNECTED)
        view->split_brain = false;
    return take_text(event, DRBD_HAS_CONN_NAME, peer->name, event->conn_name) || changed;
}

static bool apply_peer_device(struct drbd_view *view, const struct drbd_event *event)
{
    struct drbd_peer *peer = find_peer(view, event->peer_id);
    struct drbd_peer_device *device;
    bool changed = false;

    if (!peer)
        return false;
    device = find_peer_device(peer, event->volume);
    if (event->verb == DRBD_DESTROY) {
        if (!device)
            return false;
        *device = peer->devices[--peer->device_count];
        return true;
    }
    if (!device) {
        device = add_peer_device(peer, event->volume);
        changed = true;
    }
    if (!device)
        return false;
    TAKE(DRBD_HAS_REPLICATION, device->replication, event->replication);
    TAKE(DRBD_HAS_PEER_DISK, device->disk, event->peer_disk);
    TAKE(DRBD_HAS_RESYNC_SUSPENDED, device->paused_here, event->paused_here);
    TAKE(DRBD_HAS_RESYNC_SUSPENDED, device->paused_there, event->paused_there);
    TAKE(DRBD_HAS_RECEIVED, device->received, event->received);
    TAKE(DRBD_HAS_SENT, device->sent, event->sent);
    TAKE(DRBD_HAS_OUT_OF_SYNC, device->out_of_sync, event->out_of_sync);
    TAKE(DRBD_HAS_DONE, device->done, event->done);
    if (event->fields & DRBD_HAS_REPLICATION && device->replication == CONN_CONNECTED)
        device->done = 0;
    return changed;
}

static bool apply_helper(struct drbd_view *view, const struct drbd_event *event)
{
    bool was = view->split_brain;

    /* "initial-split-brain" is said even when a policy settles it afterwards. */
    if (event->verb == DRBD_CALL && !strcmp(event->helper, "split-brain"))
        view->split_brain = true;
    return view->split_brain != was;
}

bool drbd_view_apply(struct drbd_view *view, const char *resource, const struct drbd_event *event)
{
    if (event->object == DRBD_DUMPED) {
        bool changed = event->verb == DRBD_EXISTS && !view->dumped;

        view->dumped |= changed;
        return changed;
    }
    if (strcmp(event->name, resource))
        return false;
    if (event->verb == DRBD_RENAME) { /* it is another one now */
        bool dumped = view->dumped;

        memset(view, 0, sizeof *view);
        view->dumped = dumped;
        return true;
    }
    switch (event->object) {
    case DRBD_RESOURCE:
        return apply_resource(view, event);
    case DRBD_DEVICE:
        return apply_device(view, event);
    case DRBD_CONNECTION:
        return apply_connection(view, event);
    case DRBD_PEER_DEVICE:
        return apply_peer_device(view, event);
    case DRBD_HELPER:
        return apply_helper(view, event);
    case DRBD_PATH:
    case DRBD_DUMPED:
        break;
    }
    return false;
}

/* ---- what it means ---- */

const struct drbd_peer *drbd_view_peer(const struct drbd_view *view, const char *name)
{
    for (unsigned i = 0; name && i < view->peer_count; i++)
        if (!strcmp(view->peers[i].name, name))
            return &view->peers[i];
    return view->peer_count == 1 ? &view->peers[0] : NULL;
}

const struct drbd_device *drbd_view_device(const struct drbd_view *view, unsigned volume)
{
    return find_device((struct drbd_view *)view, volume);
}

static const struct drbd_peer_device *peer_device(const struct drbd_peer *peer, unsigned volume)
{
    return peer ? find_peer_device((struct drbd_peer *)peer, volume) : NULL;
}

static bool is_resync(enum replica_connection c)
{
    return c >= CONN_STARTING_SYNC_S && c <= CONN_PAUSED_SYNC_T;
}

/* Of the link, or while that is there of the volume, as 8.4 counts it. */
static enum replica_connection connection_of(const struct drbd_peer *peer,
                                             const struct drbd_peer_device *device)
{
    if (!peer)
        return CONN_STANDALONE;
    if (peer->connection < CONN_CONNECTED || !device || device->replication < CONN_CONNECTED)
        return peer->connection;
    return device->replication;
}

/* As bad as the words say; what is not known is worse than what is. */
static enum replica_disk worse(enum replica_disk a, enum replica_disk b)
{
    return a < b ? a : b;
}

void drbd_view_volume(const struct drbd_device *device, const struct drbd_peer *peer,
                      struct replica_volume_status *volume)
{
    const struct drbd_peer_device *there = peer_device(peer, device->volume);

    *volume = (struct replica_volume_status){
        .number = device->volume,
        .disk = device->disk,
        .peer_disk = there ? there->disk : DISK_UNKNOWN,
        .connection = connection_of(peer, there),
        .size = device->size,
        .out_of_sync = there ? there->out_of_sync : 0,
    };
}

void drbd_view_status(const struct drbd_view *view, const struct drbd_peer *peer,
                      struct replica_status *status)
{
    char why[sizeof status->why];

    memcpy(why, status->why, sizeof why);
    *status = (struct replica_status){
        .role = view->role == DRBD_PRIMARY ? REPLICA_PRIMARY : REPLICA_SECONDARY,
        .peer_role = peer && peer->role == DRBD_PRIMARY ? REPLICA_PRIMARY : REPLICA_SECONDARY,
        .disk = view->device_count ? DISK_UP_TO_DATE : DISK_DISKLESS,
        .peer_disk = view->device_count ? DISK_UP_TO_DATE : DISK_UNKNOWN,
        .connection = connection_of(peer, NULL),
        .suspended = view->suspended[0] && strcmp(view->suspended, "no"),
    };
    memcpy(status->why, why, sizeof why);
    for (unsigned i = 0; i < view->device_count; i++) {
        const struct drbd_device *device = &view->devices[i];
        const struct drbd_peer_device *there = peer_device(peer, device->volume);
        struct replica_volume_status volume;

        drbd_view_volume(device, peer, &volume);
        status->disk = worse(status->disk, volume.disk);
        status->peer_disk = worse(status->peer_disk, volume.peer_disk);
        status->written += device->written;
        /* A volume that is being resynced says more than one that is connected. */
        if (status->connection == CONN_CONNECTED)
            status->connection = volume.connection;
        if (!there)
            continue;
        status->out_of_sync += there->out_of_sync;
        status->received += there->received;
        status->sent += there->sent;
        status->paused_here |= there->paused_here;
        status->paused_there |= there->paused_there;
        if (is_resync(volume.connection) && there->out_of_sync) {
            uint64_t total = there->out_of_sync;

            /* `done` tells how much of all there was to do; not beyond the largest DRBD device. */
            if (there->done && there->done < 10000 && total <= 1ull << 50)
                total = total * 10000 / (10000 - there->done);
            status->resync_total += total;
            status->resync_done += total - there->out_of_sync;
        }
    }
}

bool drbd_view_equal(const struct drbd_view *view, const struct drbd_peer *peer)
{
    if (!view->dumped || !view->device_count || !peer || peer->connection != CONN_CONNECTED)
        return false;
    for (unsigned i = 0; i < view->device_count; i++) {
        const struct drbd_peer_device *there = peer_device(peer, view->devices[i].volume);

        if (view->devices[i].disk != DISK_UP_TO_DATE || !there || there->disk != DISK_UP_TO_DATE ||
            (there->replication != CONN_CONNECTED && there->replication != CONN_VERIFY_S &&
             there->replication != CONN_VERIFY_T))
            return false;
    }
    return true;
}

bool drbd_view_peer_stale(const struct drbd_view *view, const struct drbd_peer *peer)
{
    bool primary = view->role == DRBD_PRIMARY;

    if (!view->dumped || !view->device_count)
        return false;
    if (primary && (!peer || peer->connection != CONN_CONNECTED))
        return true;
    for (unsigned i = 0; i < view->device_count; i++) {
        const struct drbd_peer_device *there = peer_device(peer, view->devices[i].volume);
        enum replica_disk disk = there ? there->disk : DISK_UNKNOWN;

        /* Between two lasting states nothing is known: Consistent, Negotiating, Attaching. */
        if (disk == DISK_INCONSISTENT || disk == DISK_OUTDATED || disk == DISK_FAILED ||
            disk == DISK_DISKLESS) {
            if (primary)
                return true;
            /* Nobody is Primary: only a better copy here tells that this one is worse. */
            if (view->devices[i].disk == DISK_UP_TO_DATE && disk != DISK_FAILED &&
                disk != DISK_DISKLESS)
                return true;
        }
    }
    return false;
}
