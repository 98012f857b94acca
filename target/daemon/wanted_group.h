/* The group that a request of the control socket is about: its argument "group". Control thread. */
#ifndef HALUN_DAEMON_WANTED_GROUP_H
#define HALUN_DAEMON_WANTED_GROUP_H

#include "config/control.h"
#include "target/daemon/daemon.h"

/* The group, or NULL: the call has been refused, as no group has that name. */
struct group *wanted_group(struct control_call *call, json_t *arguments);
/* As above; refused also where the group is not replicated. */
struct group *wanted_replicated_group(struct control_call *call, json_t *arguments);

#endif
