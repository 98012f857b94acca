/* The daemon joins the sides: it alone knows the engine, the cluster, the replicas and the control socket.
 * Everything here runs on the control thread unless said otherwise. */
#ifndef HALUN_DAEMON_DAEMON_H
#define HALUN_DAEMON_DAEMON_H

#include <jansson.h>
#include <qb/qbloop.h>
#include <stdbool.h>
#include <stdint.h>

#include "cluster/driver.h"
#include "config/config.h"
#include "replication/replica.h"
#include "target/daemon/group_plan.h"

struct iscsi_server;

/* Ends a request of the control socket or of the daemon itself. `why` is "" with error 0. */
typedef void group_done(void *context, int error, const char *why);

/* A group on this node: its replica and what this node is doing with it (groups.c). */
struct group {
    unsigned index;
    struct replica *replica;  /* NULL: replication none */
    enum group_wish wish;
    bool busy;                /* an answer of the replica or the cluster is awaited */
    bool primary;             /* the replica is Primary (always for replication none) */
    uint64_t ticket;          /* of the last change of the group, until every member has carried it out; then 0 */
    bool confirmed;           /* owner by every member's acknowledgement: the gate may open */
    bool yielding;            /* demoted; executes until the successor asks, or yield_ns */
    bool asked;               /* yielding: the successor asks */
    unsigned successor;       /* node id, once asked */
    uint64_t yield_ns;        /* CLOCK_MONOTONIC: when it is released without a successor */
    uint64_t asked_ns;        /* when this node last asked the owner */
    uint64_t held_ns;         /* since when commands are held; 0: they are not */
    uint64_t promote_ns, primary_ns, promoted_ns; /* when asked for, copy Primary, owner; 0: never */
    char waits[220];          /* what its step waits for; "" = for nothing */
    bool skip_sync, force;    /* of an initialization; force also of making current */
    uint64_t deadline_ns;
    uint64_t wished_ns;       /* when an initiator asked for this node as owner; 0 = not, or it is */
    group_done *done;
    void *done_context;
    struct cluster_request request;       /* of the wish */
    struct cluster_request outdate;       /* of the peer's copy */
    struct cluster_request current[2];    /* copies that became current */
    struct cluster_request reinstate;     /* of the peer's copy (reinstate.c) */
    /* The group's epoch behind the outdating of the other copy, and behind this node's release of the group after that; 0: it
     * was none that can be taken back */
    uint32_t outdated_epoch;
    bool outdated_told; /* that it is agreed: the replica may have gone on alone, and says so if it has not */
    enum replica_standing standing; /* as last told to the replica */
    bool kept;                      /* as last noted (kept.h) */
    unsigned outdate_node;
    bool outdate_wanted, outdate_busy;
    bool outdate_filled; /* outdate_node is this node: its copy is to be filled; otherwise because its disk failed */
    struct attaching *attaching; /* attach.c; NULL: nobody waits for its disk */
    bool attached;       /* this node's copy was attached while the daemon runs, and not seen UpToDate since */
    bool invalidated;    /* this node's copy was marked as Inconsistent by order, and not seen UpToDate since */
    bool other_invalidated; /* the other node's was given up by order here, and not seen connected and UpToDate since */
    bool confirming;     /* the replica is asked whether the other copy, not recorded as current, is equal */
    uint64_t given_up;   /* replica_status.link when the other copy was agreed to be outdated; 0: there was none */
    bool survivor_told; /* that the peer's copy is to be outdated as a crashed Primary's was logged */
    bool alone_awaited; /* drbd_peer is lost, and only an operator can say that its copy is not used */
    qb_loop_timer_handle retry;
    qb_loop_timer_handle release_late; /* its release takes long: groups.c */
    /* recorded.c: the last record says that this copy alone is current of the two; a flush is under way, and is one for
     * the next record; that one is over; until when it is waited for (0: it is not) */
    bool recorded_alone, record_flushing, record_counts, record_flushed;
    qb_loop_timer_handle record_limit;
};

struct daemon {
    const char *config_path, *node_name;
    struct config *config;
    unsigned self; /* node id */
    qb_loop_t *loop;
    struct cluster_driver *cluster;
    struct cluster_view view;
    uint64_t lost_ns, whole_ns; /* when a member was last lost; when service went on */
    struct iscsi_server *iscsi;
    struct group groups[LIMIT_GROUPS];
    bool iscsi_open;    /* logins are let in */
    bool compared;      /* the others were asked whether initiators see the same there */
    bool ready;         /* everything is started */
    bool stopping;
    uint64_t started_ns;
};
extern struct daemon halund;

/* units.c: opens stores and replicas of every LU, fills device_lus and lanes. Returns 0 or -errno with a
 * sentence in `why` (512 bytes). */
int units_open(struct daemon *daemon, char *why);
/* The group's units stand on another replica's stores from now on, which is its replica. No command of the group may execute
 * here, nor be let in (decisions_drain()). */
void units_stand_on(struct group *group, struct replica *replica);
/* Closes every replica and store; `done` when nothing is open any more. No task may run. */
void units_close(struct daemon *daemon, void (*done)(struct daemon *daemon));

/* metrics.c: what the meters say; a new object. */
json_t *metrics_json(void);

/* decisions.c: carries out what the cluster decided. */
extern const struct cluster_callbacks decisions_callbacks;
/* This node is the confirmed owner of a group: its gate opens. */
void decisions_open(struct group *group);
/* `done` when every reactor has seen what was decided of a group, and nothing of it executes here, unless this node is its
 * confirmed owner. */
void decisions_drain(struct group *group, void (*done)(void *context), void *context);

/* groups.c, group_start.c, group_current.c, group_copies.c */
extern const struct replica_callbacks groups_replica_callbacks;
void groups_init(struct daemon *daemon);
/* Something that a group may wait for has changed. */
void groups_changed(void);
/* The agreed state has changed: replicas are told what it says of their copies. */
void groups_recorded(void);
/* Makes this node the owner of a group (Pacemaker's promote): waits, up to timeout_ms, until the cluster
 * serves and nobody owns the group, makes the replica Primary, commits. */
void group_promote(struct group *group, unsigned timeout_ms, group_done *done, void *context);
/* Gives a group up: holds and drains everywhere, makes the replica Secondary. Done at once when this node
 * does not own it. `yield`: where another node could take it over, this is only noted, and the group is executed
 * here until the successor asks for it (group_asked()), yield_ms at most: a planned move costs initiators
 * the handover alone, not the time in which Pacemaker moves on. */
void group_demote(struct group *group, bool yield, unsigned timeout_ms, group_done *done, void *context);
/* `node` asks for a group that this node owns. */
void group_asked(struct group *group, unsigned node);
/* First start of a group: makes this node's copy (and with skip_sync the connected peer's, which must be
 * equal) current. */
void group_init(struct group *group, bool skip_sync, bool force, unsigned timeout_ms, group_done *done,
                void *context);
/* The good copy is lost for good: has it agreed that this node's is the only current one, as old as it is, and gives it a
 * generation of its own. Not `force`: -EPERM, and a sentence that says what would be lost. */
void group_make_current(struct group *group, bool force, unsigned timeout_ms, group_done *done, void *context);
/* The operator says that the copy of a lost drbd_peer is not used. 0, or -errno and a sentence. */
int group_alone(struct group *group, char why[256]);
/* An initiator asked (SET TARGET PORT GROUPS) for this node as owner. */
void group_wished(struct group *group);
/* Is that still to be told to Pacemaker? A wish that was not granted in a minute is forgotten. */
bool group_is_wished(const struct group *group);
struct group *group_find(struct daemon *daemon, const char *name);

/* nodes.c: the name of a node; "" = there is none with this id. */
const char *nodes_name(unsigned id);
/* The names of several (bits: node ids), with commas between them. */
void nodes_names(uint32_t nodes, char *out, size_t size);

/* commit.c: control_calls.h; remembers the daemon. */
void commits_init(struct daemon *daemon);

/* handlers.c: the requests of the control socket. Returns 0 or -errno with a sentence in `why` (256). */
int handlers_start(struct daemon *daemon, char *why);
void handlers_set_readers(bool readers);
void handlers_stop(void);

/* stop.c. With exit status 0 leaves in order: groups given up, sessions ended, replicas detached clean, cluster
 * left. With another one ends the process at once, also while it is leaving. */
void daemon_stop(struct daemon *daemon, int exit_status);

#endif
