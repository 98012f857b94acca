/* A copy of the built-in engine whose disk failed, or was not there as halund started, and was repaired or replaced, is attached
 * while the daemon runs (halunctl replica attach), as a start does it.
 *
 *   where the record still calls it current beside the other one: agree that it is outdated
 *   -> nothing of the group executes here -> a stand-in without a disk takes the replica's place, which is closed
 *   -> a thread of its own lets go of the old disk and opens the one that is there -> the new replica takes the stand-in's place,
 *      and connects
 *
 * The units' stores are exchanged by the control thread alone, while no gate of the group is open here and none of its commands
 * executes, on any reactor: those are all that look at a store (disk_io.h). A gate opens for a Primary, and neither the failed
 * replica nor the stand-in can be promoted. In between, and when the disk cannot be used, the group is Diskless as after a start
 * without it. What else the node does goes on. Control thread. */
#ifndef HALUN_DAEMON_ATTACH_H
#define HALUN_DAEMON_ATTACH_H

#include "config/control.h"

control_handler on_replica_attach;

/* The daemon stops, and closes its units next: `done` when no replica is being replaced any more, which may be at once. What is
 * under way ends at its next step. */
void attach_settle(void (*done)(void));

#endif
