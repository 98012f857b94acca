/* The states of a replicated volume and who may do what in them (drbd.md's chapter: connection
 * states, fencing, allowed states). Pure: state in, decision out. */
#ifndef HALUN_REPLICATION_ENGINE_H
#define HALUN_REPLICATION_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "replication/generation.h"
#include "replication/message.h"
#include "replication/replica.h"

struct volume_state {
    enum replica_connection conn;
    enum replica_disk disk, peer_disk;
};

/* Connected at least: parameters were exchanged and compared. */
static inline bool conn_established(enum replica_connection conn)
{
    return conn >= CONN_CONNECTED;
}

/* Between two lasting states: requests for a change of role have to wait. */
bool conn_in_transition(enum replica_connection conn);
/* This node's copy is being made equal to the peer's. */
bool conn_is_target(enum replica_connection conn);
bool conn_is_source(enum replica_connection conn);

/* The link is gone. The peer's disk stays known when it was worse than Consistent. */
void volume_link_lost(struct volume_state *v);

/* Both sides were compared: the next state. `good`: both have a disk, so `action` is meant. */
void volume_verdict(struct volume_state *v, enum generation_action action);

/* May this copy become Primary's? 0, -EAGAIN (in transition), -ENODATA, -EIO. *why is a sentence. A
 * Consistent copy that is not connected may: replica_promote() is called for a copy that the
 * cluster knows as current. Connected it is compared; with a peer whose disk failed it is UpToDate when that has seen
 * nothing newer, and else refused. */
int volume_may_promote(const struct volume_state *v, bool just_created, bool force,
                       const char **why);

/* May this copy be marked Outdated? 0, or -EBUSY when it belongs to a Primary or is being resynced
 * from an up-to-date one. */
int volume_may_outdate(const struct volume_state *v, bool primary, bool peer_primary);

/* The answer to a peer's P_STATE_CHG_REQ, P_CONN_ST_CHG_REQ (mirrored: seen from here). */
struct state_question {
    const struct packet_state_request *request; /* mirrored */
    bool primary;                               /* this node */
    bool transition;                            /* this volume is in transition */
    bool own_request;                           /* this node asks for something itself */
    bool resolve_conflicts;                     /* and wins then */
    bool may_verify;                            /* both copies of this volume are good and at rest */
    bool outside;     /* the peer is no node of the cluster: it may order a resync by itself */
    bool at_rest;     /* this volume is connected, and nothing is under way */
    bool good, peer_good, peer_primary; /* the copies are UpToDate; the peer is Primary */
};
enum state_reply state_request_answer(const struct state_question *q);

/* What status reports for several volumes. */
enum replica_disk disk_worst(enum replica_disk a, enum replica_disk b);

#endif
