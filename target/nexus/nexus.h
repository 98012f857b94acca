/* An I_T nexus: one initiator port at one target port, which is one session. It lives on the reactor of
 * its connection. Registered with the control thread so that sessions can be listed and reinstated. */
#ifndef HALUN_NEXUS_NEXUS_H
#define HALUN_NEXUS_NEXUS_H

#include <qb/qblist.h>
#include <stdbool.h>
#include <stdint.h>

#include "target/base/limits.h"
#include "target/base/reactor.h"
#include "target/command/identity.h"
#include "target/command/unit_attention.h"

struct config_target;
struct lun_map;
struct meter;
struct nexus;
struct nexus_registration;

enum { NEXUS_FINISHED_TAGS = 128 }; /* power of two */

/* What a nexus knows about one logical unit; indexed by lu->index. */
struct nexus_lu {
    ua_set unit_attentions; /* pending, see unit_attention.h */
    bool registered;        /* has a PR registration here (copied at every lane switch) */
    bool holder;            /* holds the persistent reservation */
};

struct nexus_transport {
    const char *name; /* "iscsi", "peer", "loopback" */
    /* Ends the session: tasks are aborted silently, the connection is closed, nexus_remove() is called.
     * On the nexus's reactor. */
    void (*drop)(struct nexus *nexus, const char *why);
};

struct nexus {
    const struct nexus_transport *transport;
    struct reactor *reactor;
    struct nexus_identity identity;
    char initiator_name[LIMIT_ISCSI_NAME + 1];
    uint8_t isid[6];
    uint16_t tsih;            /* iSCSI session handle, 0 elsewhere */
    uint16_t tpgt;            /* target port group tag = node id */
    char peer_address[64];    /* for people */
    char target_name[LIMIT_ISCSI_NAME + 1];
    bool forwarded;           /* a proxy for a nexus of another node: the checks that belong to the
                               * nexus (unit attention, LUN map) were made there */
    struct lun_map *lun_map;  /* what this initiator sees; swapped by reload */
    struct meter *meter;      /* of its host; NULL: not counted, not limited */
    struct nexus_lu *lus;     /* LIMIT_LUS entries reserved, touched pages only */
    struct qb_list_head tasks;    /* struct task.nexus_link */
    struct qb_list_head tmfs;     /* struct tmf.link: wait for tasks to end; tmf.c's, zeroed at first */
    uint32_t ordered_tasks;       /* unfinished ORDERED and HEAD OF QUEUE tasks (task_set.c) */
    uint32_t order_waiters;       /* tasks that wait for older ones (task_set.c) */
    uint32_t finished_count;      /* tasks ended so far; their tags are in finished_tags */
    uint64_t finished_tags[NEXUS_FINISHED_TAGS]; /* ring, for ABORT TASK of what has just ended */
    struct qb_list_head link;     /* in the reactor's list of nexuses */
    struct nexus_registration *registration; /* with the control thread (nexus.c) */
    uint64_t commands, bytes_in, bytes_out; /* statistics of this nexus, single writer */
    void *transport_data;     /* the session */
};

/* Makes a nexus known: adds it to its reactor's list, gives it its LUN map and first unit attentions,
 * and registers it. If the same initiator port is logged in already at this target port (RFC 7143
 * 6.3.5), or is here with another connection, the old session is dropped first; `ready` is called on
 * this reactor when nothing of the old one is left and no change of a unit is under way that is older than this session
 * (nexus_table_unsettled()), never before nexus_add() returns. If the
 * connection is lost meanwhile, call nexus_remove(); then `ready` is not called any more. Returns 0,
 * -EACCES: no host block knows this initiator, -ENOMEM. */
int nexus_add(struct nexus *nexus, void (*ready)(struct nexus *nexus));
/* The nexus is gone; no task of it exists any more. Legacy reservations it held are released in the
 * whole cluster. `gone` is called on this reactor when the nexus's memory may be freed. */
void nexus_remove(struct nexus *nexus, void (*gone)(struct nexus *nexus));

/* The same for the proxy of another node's nexus (transport/peer): known to this reactor's lanes only.
 * Immediate. Returns 0 or -ENOMEM. */
int nexus_add_proxy(struct nexus *nexus);
void nexus_remove_proxy(struct nexus *nexus);

#endif
