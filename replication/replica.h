/* The contract of a group's replication (DESIGN: role, disk states, write, flush, promote, demote,
 * outdate, events), whatever the engine. One replica per group; its volumes are stores. The built-in
 * engine speaks the DRBD 8.4 dialect (protocol 101) and keeps v08 metadata.
 *
 * Threads: a replica runs on one reactor, its home. Functions below are called on the control thread and
 * post to the home; callbacks come back on the control thread. Stores may be used from any reactor. */
#ifndef HALUN_REPLICATION_REPLICA_H
#define HALUN_REPLICATION_REPLICA_H

#include <qb/qbloop.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "target/base/mailbox.h"
#include "target/store/store.h"

struct replica;

enum replica_role { REPLICA_SECONDARY, REPLICA_PRIMARY };

/* Disk states and connection states as DRBD names and numbers them (wire values). */
enum replica_disk {
    DISK_DISKLESS = 0, DISK_ATTACHING, DISK_FAILED, DISK_NEGOTIATING, DISK_INCONSISTENT,
    DISK_OUTDATED, DISK_UNKNOWN, DISK_CONSISTENT, DISK_UP_TO_DATE,
};
enum replica_connection {
    CONN_STANDALONE = 0, CONN_DISCONNECTING, CONN_UNCONNECTED, CONN_TIMEOUT, CONN_BROKEN_PIPE,
    CONN_NETWORK_FAILURE, CONN_PROTOCOL_ERROR, CONN_TEAR_DOWN, CONN_WF_CONNECTION,
    CONN_WF_REPORT_PARAMS, CONN_CONNECTED, CONN_STARTING_SYNC_S, CONN_STARTING_SYNC_T,
    CONN_WF_BITMAP_S, CONN_WF_BITMAP_T, CONN_WF_SYNC_UUID, CONN_SYNC_SOURCE, CONN_SYNC_TARGET,
    CONN_VERIFY_S, CONN_VERIFY_T, CONN_PAUSED_SYNC_S, CONN_PAUSED_SYNC_T,
};

struct replica_status {
    enum replica_role role, peer_role;
    enum replica_disk disk, peer_disk;  /* worst of the volumes */
    enum replica_connection connection;
    uint64_t link;             /* number of the connection, another one for each that is made; 0: none yet */
    bool complete;             /* this copy has all that was acknowledged while it was one of two, and did not lose it */
    bool suspended;            /* writes wait (for the peer's outdating to be agreed) */
    bool paused_here, paused_there; /* resync: by order on this node, on the peer */
    bool tls;                  /* the link is TLS or there is none */
    const char *tls_cipher;    /* of the connection; NULL = there is none, or it is plain */
    int64_t tls_expires, tls_peer_expires; /* certificates; s since 1970; the peer's: 0 = unknown */
    uint64_t out_of_sync;      /* bytes still to resync */
    uint64_t resync_total, resync_done, resync_rate; /* bytes, bytes, bytes/s; 0 when none runs */
    uint64_t resync_left_s;    /* estimated; 0: unknown, or none runs */
    uint64_t written, received, sent;
    char why[128];             /* last reason of a refusal or disconnect; "" = none */
};

/* The peer's node when it is outside the cluster (drbd_peer): nobody can outdate its copy. */
enum { REPLICA_PEER_OUTSIDE = 0 };
enum { REPLICA_TLS_WARN_DAYS = 30 }; /* before a certificate ends */

/* What a replica asks of the cluster. On the control thread. */
struct replica_callbacks {
    void *context;
    /* The peer does not get writes any more (link lost, its disk failed) while we are Primary, and all that was
     * acknowledged is on stable storage here: ask the cluster to agree that its copy is outdated, or learn that its
     * node is harmless. Answer with replica_peer_outdated(). Until then no write is acknowledged.
     * On a Secondary: the peer's node is back after it crashed as Primary, and this copy, which was there all the time,
     * has what that one may have lost. It is not given up; asked again at every connection, no answer needed. */
    void (*outdate_peer)(void *context, struct replica *replica, unsigned peer_node);
    /* The agreed outdating of the peer's copy is of no use: a disk of this node failed first, and nothing was acknowledged
     * without the peer since that was asked for, nor will be. May be NULL. */
    void (*outdated_in_vain)(void *context, struct replica *replica);
    /* This node is Primary, its disk failed, the peer's copy has all: ask the cluster to agree that this
     * node's copy is outdated. Answer with replica_self_outdated(). Reads go to the peer at once, no write
     * is acknowledged until then. */
    void (*outdate_self)(void *context, struct replica *replica);
    /* This node is Secondary, its copy is to be filled from the peer's, and the record calls both current: ask the cluster to
     * agree that this node's copy is outdated. Nothing is copied before; asked again at every connection, no answer needed.
     * May be NULL. */
    void (*to_be_filled)(void *context, struct replica *replica);
    /* A resync to (or from) the peer finished and is durable: `node`'s copy is current again. Called on
     * the Primary's (or source's) side only; the replica may acknowledge writes with the peer meanwhile.
     * REPLICA_PEER_OUTSIDE: both copies are, called on either side, perhaps more than once. */
    void (*current)(void *context, struct replica *replica, unsigned node);
    /* Anything in replica_status that an operator would see changed. */
    void (*changed)(void *context, struct replica *replica);
    /* Split brain, and the policies (call-pri-lost-after-sb) give up the changes of this node, which is Primary: it has to
     * become Secondary, then replica_connect() makes it the target. Until then the link stays down. */
    void (*primary_lost)(void *context, struct replica *replica);
    /* Does the record say that this node's copy is outdated? Asked by the engine drbd only. */
    bool (*outdated)(void *context, struct replica *replica);
};

/* Attaches: opens the backing stores of the group's LUs on this node (metadata internal, created and
 * marked "just created" when the file has none and `create` is set), replays the activity log, binds and
 * connects. `backing` are opened file stores in order of volume; the replica owns them. Returns 0 or
 * -errno and a sentence in `why` (256 bytes). */
struct replica_options {
    const struct config *config;
    const struct config_group *group;
    unsigned group_index;
    struct reactor *home;
    struct mailbox *control; /* the control thread's */
    qb_loop_t *loop;         /* the control thread's; NULL where no group has the engine drbd */
    const struct replica_callbacks *callbacks;
    /* The cluster records which copies are current, and says so with replica_set_standing(). Otherwise what the
     * metadata say has to do, as with DRBD. */
    bool recorded;
    /* The copies here were `complete` when they were closed or left, and no cache has lost its power since. */
    bool kept;
    /* Does this node hold its lease? Called by `home`. While it does not, no write is begun: one that had waited for others
     * ends with -ERESTART, with -EAGAIN if a part of it was begun before. NULL: it always does. */
    bool (*lease)(const struct reactor *home);
};
/* With a disk that is gone or fails the replica of the built-in engine is Diskless: its stores answer -EIO, what needs a copy is
 * refused with -EIO, `why` of its status tells the reason; until it is opened anew. */
int replica_open(const struct replica_options *options, struct replica **replica, char *why);
/* A disk that failed, or was not there, is there again: the new replica takes the place of the old one. First of all what stands
 * for a copy without a disk does, for as long as that takes: Diskless, with the sizes of `replica`'s stores, the same options
 * and the reason in its status. NULL: no memory. */
struct replica *replica_stand_in(const struct replica *replica);
/* Opens the disks with the options of `stand_in`, once the replica before it is closed, as replica_open() does; where that would be
 * Diskless it fails. Whatever was complete may have lost what was in its cache. Nothing is asked of the cluster, nor connected,
 * before replica_start(). Blocks; any thread. The built-in engine alone. */
int replica_attach(const struct replica *stand_in, struct replica **attached, char *why);
void replica_start(struct replica *replica);
/* It could not be attached: the reason in the stand-in's status. */
void replica_still_diskless(struct replica *stand_in, const char *why);
/* May an owner that Pacemaker has demoted execute until its successor asks for the group? Also without replication. */
bool replica_hands_over(enum config_replication replication);
/* The store of volume `volume` (what an LU stands on): size is the exported size without metadata. Owned
 * by the replica. */
struct store *replica_store(struct replica *replica, unsigned volume);

/* Becomes Primary. Refused (-EBUSY peer is Primary, -ENODATA data not up to date, ...) or 0; `force`
 * makes an Inconsistent, never used copy UpToDate (the first start of a group). */
void replica_promote(struct replica *replica, bool force,
                     void (*done)(void *context, int error, const char *why), void *context);
/* Becomes Secondary: waits for running I/O, writes metadata, tells the peer. */
void replica_demote(struct replica *replica,
                    void (*done)(void *context, int error, const char *why), void *context);
/* The group is given up, and its commands keep it from that: those of a Primary that wait for the peer, which is not there, or
 * for an agreement end with -EAGAIN, as at its demotion, -ERESTART where nothing was begun. What begins after that waits again.
 * The engine drbd does nothing. */
void replica_give_up(struct replica *replica);
/* First start of a group whose copies were just created on both nodes and are connected (drbd: skip
 * initial sync): both become UpToDate with a common new generation and no resync. Only right when both
 * backing stores are known to have equal content (new, all zeros). */
void replica_new_current(struct replica *replica,
                         void (*done)(void *context, int error, const char *why), void *context);
/* This copy is the good one from now on, as it is, although others have or had newer data: UpToDate, with a generation
 * that no other copy has seen. Refused while there is a Primary (-EBUSY), the disk has failed (-EIO), or the peer is
 * connected and has a good copy (-EEXIST). Drops the connection. The cluster has to have agreed before. The engine drbd
 * does nothing: the kernel's copy has to be UpToDate already (-EPERM). */
void replica_force_current(struct replica *replica, void (*done)(void *context, int error, const char *why),
                           void *context);
/* Answer to outdate_peer: true = agreed, durable, harmless: bump the data generation, then go on alone.
 * false = could not be agreed now (stay suspended; asked again when the caller retries). */
void replica_peer_outdated(struct replica *replica, bool agreed);
/* Answer to outdate_self: true = agreed and durable. false = asked again later. */
void replica_self_outdated(struct replica *replica, bool agreed);
/* What the cluster's record says of the two copies, at every change (replication/standing.h). UNSETTLED until then. */
enum replica_standing {
    REPLICA_UNSETTLED, /* nothing now: the cluster does not serve */
    REPLICA_OWNED,     /* this one is current, and the peer's node the owner: should that be lost, the cluster has yet to decide */
    REPLICA_EQUAL,     /* both are current */
    REPLICA_NONE,      /* none is: nobody has said yet which one is good */
    REPLICA_BETTER,    /* only this one is */
    REPLICA_WORSE,     /* only the peer's is */
};
void replica_set_standing(struct replica *replica, enum replica_standing standing);
/* The record does not call the peer's copy current: when both are equal, and the peer's process that is there now says so,
 * current() is called once more. done() when that is known, or the connection is lost. The engine drbd compares by itself. */
void replica_confirm_equal(struct replica *replica,
                           void (*done)(void *context, int error, const char *why), void *context);
/* This node's copy was agreed to be outdated: clear WAS_UP_TO_DATE durably, then call done. A copy that is
 * connected to an up-to-date Primary and resyncing or Primary itself refuses with -EBUSY. */
void replica_outdate(struct replica *replica, void (*done)(void *context, int error, const char *why),
                     void *context);
/* The outdating, durable in this process's time, was taken back by agreement: nothing was acknowledged without this copy
 * since. It is as it was before, unless it was made the target of a resync. done() when that is durable, or its disk has
 * failed. The engine drbd does nothing. */
void replica_reinstate(struct replica *replica, void (*done)(void *context, int error, const char *why), void *context);
/* All that this copy has acknowledged to the peer is on stable storage when done() is called, or its disk has failed.
 * The engine drbd does nothing: the kernel's copy is open on a Primary only. */
void replica_flush(struct replica *replica, void (*done)(void *context, int error, const char *why), void *context);
/* Takes the link down and keeps it down (StandAlone), as an operator does; a Primary then asks for the peer's
 * outdating as with every lost link. */
void replica_disconnect(struct replica *replica);
/* Connects again after replica_disconnect() or a refusal (StandAlone). `discard_my_data` settles a split
 * brain: on this (Secondary) node's side the changes since then are given up. */
void replica_connect(struct replica *replica, bool discard_my_data);
/* Compares both copies block by block while they are in use (option verify_alg). done() when it has begun on
 * every volume: 0, -EAGAIN (not now), -EINVAL (no verify_alg), -EBUSY (refused by the peer). Differences are
 * marked out of sync, counted in out_of_sync; they are repaired by the next disconnect and connect of the
 * Primary. */
void replica_verify(struct replica *replica, void (*done)(void *context, int error, const char *why),
                    void *context);
/* Gives up this node's copy (Secondary, connected to an UpToDate peer): marked Inconsistent, then resynced in
 * full. done() when the mark is durable and the connection is made again. The cluster must have agreed before
 * that this copy is outdated. */
void replica_invalidate(struct replica *replica, void (*done)(void *context, int error, const char *why),
                        void *context);
/* The same with the peer's copy, from this node, whose copy is UpToDate; no resync happens before the peer
 * connects. */
void replica_invalidate_peer(struct replica *replica,
                             void (*done)(void *context, int error, const char *why), void *context);
/* A new data generation by order: this copy and a peer's that has not seen it are told apart. Only on a
 * Secondary that is StandAlone. */
void replica_new_generation(struct replica *replica,
                            void (*done)(void *context, int error, const char *why), void *context);
/* The volumes become as large as the devices of both nodes allow, which were made larger before. On the owner, connected,
 * both copies UpToDate. done() when both have grown and the new part is equal on both: it was copied, or `assume_clean`
 * says that it is. The stores' sizes are larger then; the cluster has to agree on the capacities. -EAGAIN: to be ordered
 * again; harmless at any time. */
void replica_resize(struct replica *replica, bool assume_clean,
                    void (*done)(void *context, int error, const char *why), void *context);
/* Resyncs stop where they are, on both nodes, or go on. Not kept over a restart. Goes on only when neither
 * node wants it paused. */
void replica_pause(struct replica *replica, bool pause);
/* Reads the group's TLS files again, for the next connection; the one that there is goes on. With `apply`
 * false they are only looked at. When they are unusable the old ones stay: -errno and a sentence in `why`
 * (256 bytes). 0 also when there are none. */
int replica_reload(struct replica *replica, bool apply, char *why);
/* One volume, for status and events. */
struct replica_volume_status {
    unsigned number;
    enum replica_disk disk, peer_disk;
    enum replica_connection connection;
    uint64_t size, out_of_sync; /* bytes */
};
/* Fills at most `room`; returns the number of volumes. A copy, as replica_get_status(). */
unsigned replica_get_volumes(const struct replica *replica, struct replica_volume_status *volumes,
                             unsigned room);
/* Disk states as of now (a copy kept for the control thread). */
void replica_get_status(const struct replica *replica, struct replica_status *status);
/* Clean detach: flush, metadata clean, sockets closed; then done and the replica is freed. No order may follow, not even
 * from a callback, which may still come until then. */
void replica_close(struct replica *replica, void (*done)(void *context, int error, const char *why),
                   void *context);
/* The same, but it is freed by replica_free() alone, after done(): closing a disk that has failed may block. Any thread. The
 * built-in engine alone. */
void replica_detach(struct replica *replica, void (*done)(void *context, int error, const char *why),
                    void *context);
void replica_free(struct replica *replica);

const char *replica_disk_name(enum replica_disk disk);             /* "UpToDate" as drbd prints it */
const char *replica_connection_name(enum replica_connection conn); /* "Connected" */

#endif
