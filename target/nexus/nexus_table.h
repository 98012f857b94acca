/* Who is connected: every reactor's list of its nexuses, and the registry of all of them on the
 * control thread, where an initiator port that logs in again meets its old session. */
#ifndef HALUN_NEXUS_NEXUS_TABLE_H
#define HALUN_NEXUS_NEXUS_TABLE_H

#include <stdint.h>

#include "target/nexus/nexus.h"

struct config;

/* Prepares the lists. Before the reactors run. */
void nexus_table_init(void);
/* The calling reactor's nexuses (struct nexus.link). */
struct qb_list_head *nexus_table_local(void);
/* Those of reactor `index`: its own thread, or who has borrowed it. */
struct qb_list_head *nexus_table_of(unsigned index);

/* A copy of what people want to know about a session. */
struct nexus_info {
    char initiator_name[LIMIT_ISCSI_NAME + 1];
    char target_name[LIMIT_ISCSI_NAME + 1];
    char peer_address[64];
    uint8_t isid[6];
    uint16_t tsih, tpgt, rtpi;
    unsigned reactor;
    uint64_t commands, bytes_in, bytes_out;
};
/* Calls `each` for every registered session (proxies left out). Control thread. Counters are read
 * while their reactor counts on: exact enough for people. */
void nexus_table_each(void (*each)(const struct nexus_info *info, void *context), void *context);
/* Is this nexus connected? Control thread. */
bool nexus_table_has(const struct nexus_identity *identity);
/* Ends every session that is logged in; those that log in meanwhile stay. Control thread. */
void nexus_table_drop_all(const char *why);
/* The change with ticket `newest` (they ascend, from 1) was applied here, but may not be everywhere. Sessions that log in from now
 * on are `ready` when it is: else one could have no unit attention of a change (it was not there yet when this node
 * applied it), and learn from another node that the change was after its login (SAM-5 5.14). Control thread. */
void nexus_table_unsettled(uint64_t newest);
/* Of these changes all older than `oldest` are applied by every member; 0: all. Control thread. */
void nexus_table_settled(uint64_t oldest);
/* Sessions registered. Control thread. */
unsigned nexus_table_count(void);

/* Asked when a nexus is gone: does it hold a legacy reservation, and if so release it in the
 * cluster. Set by the daemon. */
extern void (*nexus_lost)(const struct nexus_identity *identity);

/* Called by nexus_remove() on the nexus's reactor, proxies left out: who else knows this nexus by
 * its address forgets it. Set by the daemon before anyone logs in. */
extern void (*nexus_removed)(struct nexus *nexus);

/* Uses a new configuration for LUN maps: every session gets its host's new map, and REPORTED LUNS
 * DATA HAS CHANGED where it differs; a session whose host is not there any more is dropped. Who is
 * between nexus_add() and `ready` gets the new map before `ready`, or is dropped instead. `done` on
 * the control thread when no reactor uses the old one. */
void nexus_table_reload(const struct config *config, void (*done)(void *context), void *context);
/* The configuration that nexus_add() uses. Before the reactors run. */
void nexus_table_config(const struct config *config);

#endif
