#include "replication/engine.h"

#include <errno.h>
#include <stddef.h>

static const char *const disk_names[] = {
    [DISK_DISKLESS] = "Diskless",
    [DISK_ATTACHING] = "Attaching",
    [DISK_FAILED] = "Failed",
    [DISK_NEGOTIATING] = "Negotiating",
    [DISK_INCONSISTENT] = "Inconsistent",
    [DISK_OUTDATED] = "Outdated",
    [DISK_UNKNOWN] = "DUnknown",
    [DISK_CONSISTENT] = "Consistent",
    [DISK_UP_TO_DATE] = "UpToDate",
};

static const char *const connection_names[] = {
    [CONN_STANDALONE] = "StandAlone",
    [CONN_DISCONNECTING] = "Disconnecting",
    [CONN_UNCONNECTED] = "Unconnected",
    [CONN_TIMEOUT] = "Timeout",
    [CONN_BROKEN_PIPE] = "BrokenPipe",
    [CONN_NETWORK_FAILURE] = "NetworkFailure",
    [CONN_PROTOCOL_ERROR] = "ProtocolError",
    [CONN_TEAR_DOWN] = "TearDown",
    [CONN_WF_CONNECTION] = "WFConnection",
    [CONN_WF_REPORT_PARAMS] = "WFReportParams",
    [CONN_CONNECTED] = "Connected",
    [CONN_STARTING_SYNC_S] = "StartingSyncS",
    [CONN_STARTING_SYNC_T] = "StartingSyncT",
    [CONN_WF_BITMAP_S] = "WFBitMapS",
    [CONN_WF_BITMAP_T] = "WFBitMapT",
    [CONN_WF_SYNC_UUID] = "WFSyncUUID",
    [CONN_SYNC_SOURCE] = "SyncSource",
    [CONN_SYNC_TARGET] = "SyncTarget",
    [CONN_VERIFY_S] = "VerifyS",
    [CONN_VERIFY_T] = "VerifyT",
    [CONN_PAUSED_SYNC_S] = "PausedSyncS",
    [CONN_PAUSED_SYNC_T] = "PausedSyncT",
};

const char *replica_disk_name(enum replica_disk disk)
{
    return (unsigned)disk < sizeof disk_names / sizeof *disk_names ? disk_names[disk] : "unknown";
}

const char *replica_connection_name(enum replica_connection conn)
{
    return (unsigned)conn < sizeof connection_names / sizeof *connection_names
               ? connection_names[conn]
               : "unknown";
}

bool conn_in_transition(enum replica_connection conn)
{
    return conn == CONN_WF_REPORT_PARAMS || conn == CONN_STARTING_SYNC_S ||
           conn == CONN_STARTING_SYNC_T || conn == CONN_WF_BITMAP_S || conn == CONN_WF_BITMAP_T ||
           conn == CONN_WF_SYNC_UUID;
}

bool conn_is_target(enum replica_connection conn)
{
    return conn == CONN_STARTING_SYNC_T || conn == CONN_WF_BITMAP_T || conn == CONN_WF_SYNC_UUID ||
           conn == CONN_SYNC_TARGET || conn == CONN_PAUSED_SYNC_T;
}

bool conn_is_source(enum replica_connection conn)
{
    return conn == CONN_STARTING_SYNC_S || conn == CONN_WF_BITMAP_S || conn == CONN_SYNC_SOURCE ||
           conn == CONN_PAUSED_SYNC_S;
}

void volume_link_lost(struct volume_state *v)
{
    v->conn = CONN_UNCONNECTED;
    if (v->peer_disk != DISK_INCONSISTENT && v->peer_disk != DISK_OUTDATED)
        v->peer_disk = DISK_UNKNOWN;
}

void volume_verdict(struct volume_state *v, enum generation_action action)
{
    switch (action) {
    case GENERATION_SYNC_SOURCE:
        v->conn = CONN_WF_BITMAP_S;
        if (v->disk > DISK_INCONSISTENT)
            v->disk = DISK_UP_TO_DATE; /* the newer of the two there are */
        if (v->peer_disk > DISK_CONSISTENT)
            v->peer_disk = DISK_CONSISTENT;
        break;
    case GENERATION_SYNC_TARGET:
        v->conn = CONN_WF_BITMAP_T;
        if (v->disk > DISK_OUTDATED)
            v->disk = DISK_OUTDATED;
        break;
    case GENERATION_CONNECT:
        v->conn = CONN_CONNECTED;
        /* Equal copies, and what made one doubtful was that it could not ask the other. */
        if (v->disk > DISK_INCONSISTENT && v->peer_disk > DISK_INCONSISTENT)
            v->disk = v->peer_disk = DISK_UP_TO_DATE;
        break;
    case GENERATION_REFUSE:
    case GENERATION_DRY_RUN:
        break;
    }
}

int volume_may_promote(const struct volume_state *v, bool just_created, bool force,
                       const char **why)
{
    if (conn_in_transition(v->conn)) {
        *why = "the connection is just being set up";
        return -EAGAIN;
    }
    if (v->disk < DISK_INCONSISTENT) {
        *why = "the disk has failed";
        return -EIO;
    }
    if (v->disk == DISK_UP_TO_DATE)
        return 0;
    if (v->disk == DISK_CONSISTENT && !conn_established(v->conn))
        return 0;
    if (v->disk == DISK_INCONSISTENT && just_created) {
        if (force)
            return 0;
        *why = "this copy was never used: force the first promotion, or start a new generation";
        return -ENODATA;
    }
    *why = conn_is_target(v->conn)        ? "this copy is being resynced"
           : v->disk == DISK_OUTDATED     ? "this copy is outdated"
           : v->disk == DISK_INCONSISTENT ? "this copy is inconsistent"
           : conn_established(v->conn) && v->peer_disk < DISK_INCONSISTENT
               ? "the peer's disk failed, and it has seen newer data than this copy has"
               : "this copy is not known to be up to date";
    return -ENODATA;
}

int volume_may_outdate(const struct volume_state *v, bool primary, bool peer_primary)
{
    if (primary)
        return -EBUSY;
    return peer_primary && conn_is_target(v->conn) && v->peer_disk == DISK_UP_TO_DATE ? -EBUSY : 0;
}

/* A copy is invalidated: all is copied again, from this node or to it. */
static enum state_reply whole_resync_answer(const struct state_question *q, bool source)
{
    if (!q->outside)
        return STATE_FAILED_BY_PEER; /* which copies are current is agreed by the cluster first */
    if (!q->at_rest)
        return STATE_RESYNC_RUNNING;
    if (source ? !q->good : !q->peer_good)
        return STATE_NO_UP_TO_DATE_DISK;
    if (source ? q->peer_primary : q->primary)
        return STATE_FAILED_BY_PEER; /* a Primary's copy is not given up */
    return STATE_OK;
}

enum state_reply state_request_answer(const struct state_question *q)
{
    const struct wire_state *mask = &q->request->mask, *value = &q->request->value;

    if (q->transition)
        return STATE_TRANSIENT;
    if (q->own_request && q->resolve_conflicts)
        return STATE_CONCURRENT;
    if (mask->disk)
        return STATE_OUTDATE_WHILE_CONNECTED;
    if (mask->peer && value->peer == WIRE_PRIMARY && q->primary)
        return STATE_TWO_PRIMARIES;
    if (mask->pdsk && value->pdsk < DISK_INCONSISTENT && !q->good) /* it detaches the only good copy */
        return STATE_NO_UP_TO_DATE_DISK;
    if (mask->conn && (value->conn == CONN_STARTING_SYNC_S || value->conn == CONN_STARTING_SYNC_T))
        return whole_resync_answer(q, value->conn == CONN_STARTING_SYNC_S);
    if (mask->conn && value->conn == CONN_VERIFY_T)
        return q->may_verify ? STATE_OK : STATE_FAILED_BY_PEER;
    if (mask->conn && value->conn != CONN_TEAR_DOWN && value->conn != CONN_DISCONNECTING)
        return STATE_FAILED_BY_PEER;
    return STATE_OK;
}

enum replica_disk disk_worst(enum replica_disk a, enum replica_disk b)
{
    return a < b ? a : b;
}
