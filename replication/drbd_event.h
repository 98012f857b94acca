/* One line of `drbdsetup events2` (drbdsetup(8)), as the 8.4 and the 9 driver's drbd-utils print it:
 *
 *   [TIME | NUMBER[*]] VERB OBJECT [KEY:VALUE]...
 *
 * The line comes from another program: nothing in it is trusted. Keys that are not known are passed over, since new
 * versions add some; values that are not known become the least that they can mean. Pure. */
#ifndef HALUN_REPLICATION_DRBD_EVENT_H
#define HALUN_REPLICATION_DRBD_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replication/replica.h"

enum { DRBD_NAME = 128 }; /* longest name of a resource, connection or helper that is kept */

enum drbd_verb {
    DRBD_EXISTS,
    DRBD_CREATE,
    DRBD_CHANGE,
    DRBD_DESTROY,
    DRBD_CALL,     /* a handler is called */
    DRBD_RESPONSE, /* it has returned */
    DRBD_RENAME,   /* 9 */
};

enum drbd_object {
    DRBD_DUMPED, /* "exists -": what was there has been told completely */
    DRBD_RESOURCE,
    DRBD_CONNECTION,
    DRBD_DEVICE,
    DRBD_PEER_DEVICE,
    DRBD_PATH, /* 9 */
    DRBD_HELPER,
};

/* Which values a line gave: bits. */
enum drbd_field {
    DRBD_HAS_NAME = 1 << 0,
    DRBD_HAS_NEW_NAME = 1 << 1,
    DRBD_HAS_CONN_NAME = 1 << 2,
    DRBD_HAS_PEER_ID = 1 << 3,
    DRBD_HAS_VOLUME = 1 << 4,
    DRBD_HAS_MINOR = 1 << 5,
    DRBD_HAS_ROLE = 1 << 6,
    DRBD_HAS_SUSPENDED = 1 << 7,
    DRBD_HAS_MAY_PROMOTE = 1 << 8,
    DRBD_HAS_SCORE = 1 << 9,
    DRBD_HAS_CONNECTION = 1 << 10,
    DRBD_HAS_DISK = 1 << 11,
    DRBD_HAS_QUORUM = 1 << 12,
    DRBD_HAS_SIZE = 1 << 13,
    DRBD_HAS_WRITTEN = 1 << 14,
    DRBD_HAS_REPLICATION = 1 << 15,
    DRBD_HAS_PEER_DISK = 1 << 16,
    DRBD_HAS_RESYNC_SUSPENDED = 1 << 17,
    DRBD_HAS_RECEIVED = 1 << 18,
    DRBD_HAS_SENT = 1 << 19,
    DRBD_HAS_OUT_OF_SYNC = 1 << 20,
    DRBD_HAS_DONE = 1 << 21,
    DRBD_HAS_HELPER = 1 << 22,
    DRBD_HAS_STATUS = 1 << 23,
};

enum drbd_role { DRBD_ROLE_UNKNOWN, DRBD_SECONDARY, DRBD_PRIMARY };

struct drbd_event {
    enum drbd_verb verb;
    enum drbd_object object;
    unsigned fields; /* enum drbd_field; the others are zero */
    char name[DRBD_NAME], new_name[DRBD_NAME], conn_name[DRBD_NAME], helper[DRBD_NAME];
    char suspended[DRBD_NAME]; /* "no", or why: "user", "no-data", "fencing", "quorum", with commas between */
    uint64_t peer_id, volume, minor, score, status;
    bool may_promote, quorum;
    enum drbd_role role;                /* of this node, or of a connection's peer */
    enum replica_connection connection; /* of the link: up to CONN_CONNECTED */
    enum replica_connection replication; /* CONN_CONNECTED for Established, CONN_STANDALONE for Off */
    enum replica_disk disk, peer_disk;
    bool paused_here, paused_there;     /* resync-suspended */
    uint64_t size, written, received, sent, out_of_sync; /* bytes */
    uint64_t done;                      /* of a resync, 1/10000 */
    char unknown[DRBD_NAME];            /* first value that no version documents; "" = none */
};

/* Reads a line without its end. 0, or -EINVAL: it is no line of events2. */
int drbd_event_parse(const char *line, size_t length, struct drbd_event *event);

#endif
