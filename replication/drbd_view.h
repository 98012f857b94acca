/* One DRBD resource as `drbdsetup events2` tells it, line by line, and what the contract of replication calls that.
 * Pure. */
#ifndef HALUN_REPLICATION_DRBD_VIEW_H
#define HALUN_REPLICATION_DRBD_VIEW_H

#include "replication/drbd_event.h"

enum {
    DRBD_VOLUMES = LIMIT_DRBD_LUS, /* of one resource that is followed */
    DRBD_PEERS = 32,   /* DRBD 9 has at most 31 */
};

struct drbd_device {
    unsigned volume, minor;
    enum replica_disk disk;
    bool quorum; /* true where it is not told (8.4) */
    uint64_t size, written;
};

struct drbd_peer_device {
    unsigned volume;
    enum replica_connection replication;
    enum replica_disk disk;
    bool paused_here, paused_there;
    uint64_t received, sent, out_of_sync;
    uint64_t done; /* 1/10000 of a resync; 0: not told */
};

struct drbd_peer {
    unsigned id;
    char name[DRBD_NAME]; /* conn-name: the peer's host name; "" = not told */
    enum replica_connection connection;
    enum drbd_role role;
    struct drbd_peer_device devices[DRBD_VOLUMES];
    unsigned device_count;
};

/* Zeroed: nothing is known. */
struct drbd_view {
    bool dumped; /* everything that is there has been told: the view can be believed */
    bool up;     /* the resource exists */
    enum drbd_role role;
    char suspended[DRBD_NAME]; /* as the event has it; "no" or "": I/O is not suspended */
    bool may_promote;
    bool split_brain; /* DRBD said so since the connection was last there */
    struct drbd_device devices[DRBD_VOLUMES]; /* in order of volume */
    unsigned device_count;
    struct drbd_peer peers[DRBD_PEERS];
    unsigned peer_count;
};

/* Takes in an event of `resource`; others' are passed over. True when something changed. Events about what was never
 * told of, or beyond the limits, are passed over too. */
bool drbd_view_apply(struct drbd_view *view, const char *resource, const struct drbd_event *event);

/* The connection that matters: to the node `name`, or the only one there is. NULL: none. */
const struct drbd_peer *drbd_view_peer(const struct drbd_view *view, const char *name);
const struct drbd_device *drbd_view_device(const struct drbd_view *view, unsigned volume);

/* What replica.h calls it. `peer` NULL: there is no connection. `why` is left alone. */
void drbd_view_status(const struct drbd_view *view, const struct drbd_peer *peer,
                      struct replica_status *status);
void drbd_view_volume(const struct drbd_device *device, const struct drbd_peer *peer,
                      struct replica_volume_status *volume);

/* Every volume of both copies is UpToDate, and writes go to both. */
bool drbd_view_equal(const struct drbd_view *view, const struct drbd_peer *peer);
/* The peer's copy does not have what this node's has: it gets no writes of a Primary here, or is known to be worse
 * than this node's. False as long as it is not known (a link that was never there with nobody Primary). */
bool drbd_view_peer_stale(const struct drbd_view *view, const struct drbd_peer *peer);

#endif
