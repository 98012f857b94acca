/* Inside the engine over the kernel's DRBD: what its files share. Everything is on the control thread.
 *
 *   drbd_engine.c   the row of the contract: open, close, status, what the cluster is asked
 *   drbd_follow.c   `drbdsetup events2`, followed; started again when it ends
 *   drbd_orders.c   orders, one at a time, by drbdadm
 *   drbd_store.c    the devices, open while this node is Primary */
#ifndef HALUN_REPLICATION_DRBD_REPLICA_H
#define HALUN_REPLICATION_DRBD_REPLICA_H

#include <qb/qblist.h>

#include "replication/drbd_store.h"
#include "replication/drbd_view.h"
#include "replication/replica_engine.h"
#include "target/base/process.h"

struct drbd_replica;

/* drbdadm primary may have to wait for the fence-peer handler. */
enum { DRBD_COMMAND_MS = 60000 };

/* An order of the contract, waiting or being carried out. */
struct drbd_order {
    struct qb_list_head link;
    enum replica_order kind;
    bool flag;
    replica_done *done;
    void *context;
    unsigned phase;
    unsigned next;        /* volume whose turn it is */
    uint64_t deadline_ns; /* of the phase */
    uint64_t until_ns;    /* of a demotion: no longer is the command tried again */
    bool begun;
    bool promoted_here;   /* by this order */
    int error;            /* once it is over */
    char why[160];
    struct drbd_replica *replica; /* of a close that is over */
};

struct drbd_replica {
    struct replica public;
    qb_loop_t *loop;
    const char *resource;
    bool own_role;         /* halund makes it Primary and Secondary; else Pacemaker does, by ocf:linbit:drbd */
    unsigned peer_node;    /* REPLICA_PEER_OUTSIDE: not of the cluster */
    const char *peer_name; /* NULL then */

    struct drbd_store *stores[DRBD_VOLUMES];
    const struct config_lu *lus[DRBD_VOLUMES];
    unsigned volume_count;

    /* drbd_follow.c */
    struct drbd_view view;
    bool known; /* the view is that of a program that runs and has told everything */
    bool was_known; /* at least once */
    struct process *events, *snapshot;
    qb_loop_timer_handle restart, poll;
    bool restart_armed, poll_armed;
    unsigned backoff_ms;
    char trouble[160]; /* why nothing is known; "" = it is, or will be in a moment */
    bool told_unknown; /* a word that no version documents was logged */
    uint64_t sync_most, sync_rate; /* of the resync that runs: bytes, bytes/s */
    uint64_t sync_counted, sync_counted_ns; /* bytes left when they were last counted, and when that was */

    /* drbd_orders.c */
    struct qb_list_head orders; /* the first is being carried out */
    struct process *command;
    unsigned command_ms; /* then it is killed */
    int exit_status; /* of the last command */
    char said[PROCESS_SAID];
    qb_loop_timer_handle tick;
    bool tick_armed, stepping, again;
    unsigned changing;           /* stores that are being opened or closed */
    struct drbd_opening *opening; /* a thread opens the devices */
    struct drbd_opening *opened;  /* it has ended */
    char refused[160];           /* why the last order was */

    /* what the cluster was asked for and has not agreed to yet */
    bool asked_peer, asked_self, equal;
    bool owes_outdate; /* the cluster has agreed to it, DRBD was not told, as its connection seemed to stand */
    enum replica_standing standing; /* what it has agreed to */
    uint64_t standing_ns;           /* since when */
    bool closing, closed;
};

/* drbd_follow.c */
void drbd_follow_start(struct drbd_replica *d);
void drbd_follow_stop(struct drbd_replica *d);

/* drbd_orders.c */
void drbd_order_take(struct drbd_replica *d, enum replica_order kind, bool flag, replica_done *done, void *context);
/* Goes on with the first order; for whoever changed something that it may wait for. */
void drbd_orders_step(struct drbd_replica *d);
/* A device is open: this node executes, or is about to. */
bool drbd_orders_open(const struct drbd_replica *d);
/* Ends what runs, refuses what waits. After ORDER_CLOSE. */
void drbd_orders_stop(struct drbd_replica *d);

/* drbd_engine.c. The view has changed, or what is known of it. */
void drbd_changed(struct drbd_replica *d);
/* Does the cluster's record say what the view says? Now and then. */
void drbd_compare_record(struct drbd_replica *d);
/* The connection to the other node of the group, or to whoever has the other copy; NULL: there is none. */
const struct drbd_peer *drbd_peer_of(const struct drbd_replica *d);
/* After ORDER_CLOSE. */
void drbd_replica_free(struct drbd_replica *d);

#endif
