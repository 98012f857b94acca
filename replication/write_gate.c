#include "replication/write_gate.h"

bool write_may_complete(const struct write_progress *w, bool alone)
{
    if (!w->local_done || w->sending || w->completed)
        return false;
    switch (w->peer) {
    case PEER_LOST:
        return alone;
    case PEER_SENT:
        return false;
    case PEER_ACKED:
        return !w->stable;
    case PEER_STABLE:
        return true;
    }
    return false;
}

bool write_may_leave_log(const struct write_progress *w)
{
    return w->completed && (w->peer == PEER_STABLE || w->peer == PEER_LOST);
}

bool write_link_lost(struct write_progress *w)
{
    /* One that is not on the local disk yet would be acknowledged when it is in a cache there, while the peer's copy is
     * being outdated: what was acknowledged before that is flushed first (outdating.h), and this comes later. */
    if (w->peer == PEER_STABLE && w->local_done)
        return false;
    /* Also one that was acknowledged by the peer: it may be in a cache that dies with the peer. */
    w->peer = PEER_LOST;
    return true;
}

bool flush_may_complete(const struct flush_progress *f, bool alone)
{
    return f->local_done && !f->older && (alone || !f->unstable);
}

enum write_mode write_mode(enum replica_connection conn, enum replica_disk peer_disk)
{
    switch (conn) {
    case CONN_CONNECTED:
    case CONN_VERIFY_S:
    case CONN_VERIFY_T:
        return peer_disk == DISK_UP_TO_DATE ? WRITE_REPLICATED : WRITE_LOCAL;
    case CONN_SYNC_SOURCE:
    case CONN_PAUSED_SYNC_S:
        return peer_disk >= DISK_INCONSISTENT ? WRITE_SYNCING : WRITE_LOCAL;
    case CONN_WF_BITMAP_S:
        return WRITE_OUT_OF_SYNC;
    default:
        return WRITE_LOCAL;
    }
}
