/* When a write may be acknowledged, and how it is replicated. Pure: the rules of who has which
 * data, in one place.
 *
 * A write is on both copies, or it is on one whose partner is durably known as outdated: the
 * cluster agreed, and the new data generation is on disk ("alone"). Its dirty bit is set when it
 * starts without the peer, under an extent of the activity log that is on disk already. */
#ifndef HALUN_REPLICATION_WRITE_GATE_H
#define HALUN_REPLICATION_WRITE_GATE_H

#include <stdbool.h>

#include "replication/replica.h"

/* How far the peer is with a write. */
enum peer_progress {
    PEER_LOST,   /* not with the peer: its blocks are marked dirty */
    PEER_SENT,   /* sent in this connection, not answered */
    PEER_ACKED,  /* written there, perhaps in a volatile cache only */
    PEER_STABLE, /* its epoch's barrier was answered */
};

struct write_progress {
    bool local_done; /* on the local disk (stable, when `stable` was asked for) */
    bool sending;    /* the socket still refers to the caller's memory */
    bool stable;     /* must be on stable storage on both sides (FUA) */
    bool completed;  /* acknowledged upward */
    enum peer_progress peer;
};

/* May it be acknowledged? `alone`: see above. */
bool write_may_complete(const struct write_progress *w, bool alone);
/* May it be forgotten, and its activity log extents with it? Only after its barrier was answered,
 * or when its dirty bits take over. */
bool write_may_leave_log(const struct write_progress *w);
/* The link is lost: what becomes of it. Returns true when its blocks have to be marked dirty. */
bool write_link_lost(struct write_progress *w);

struct flush_progress {
    bool local_done; /* the local flush is done */
    bool older;      /* writes admitted before it are still in the transfer log */
    bool unstable; /* completed writes were dropped from the log without their barrier's answer, and
                    * the peer did not get them again since */
};
/* May a flush be acknowledged? */
bool flush_may_complete(const struct flush_progress *f, bool alone);

/* What happens with a write that starts now. */
enum write_mode {
    WRITE_LOCAL,       /* dirty bit and local disk only */
    WRITE_OUT_OF_SYNC, /* the same, and the peer is told to mark it too (bitmaps are being
                          exchanged) */
    WRITE_REPLICATED,  /* sent */
    WRITE_SYNCING,     /* sent, and its complete blocks become in sync with it */
};
enum write_mode write_mode(enum replica_connection conn, enum replica_disk peer_disk);
/* Does the peer's copy get every write? */
static inline bool write_mode_replicates(enum write_mode mode)
{
    return mode >= WRITE_REPLICATED;
}

#endif
