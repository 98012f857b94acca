/* Requests of the control socket that concern replicas: status, orders, events. Control thread. */
#ifndef HALUN_DAEMON_REPLICA_CONTROL_H
#define HALUN_DAEMON_REPLICA_CONTROL_H

#include "config/control.h"
#include "target/daemon/daemon.h"

/* A group's replication as docs/control.md shows it; null without a replica. `details`: counts and volumes. */
json_t *replica_json(struct group *group, bool details);
/* Something that replica_json() shows has changed: who waits for events is answered. */
void replica_events_changed(void);
/* Answers all that wait; none may come any more. */
void replica_events_stop(void);

control_handler on_replica_status, on_replica_events, on_replica_connect, on_replica_disconnect,
    on_replica_pause, on_replica_resume, on_replica_verify, on_replica_outdate, on_replica_invalidate,
    on_replica_new_current_uuid;

#endif
