/* This node's copy of a group is outdated, as the cluster has agreed: marked on its disk before that is acknowledged. */
#ifndef HALUN_DAEMON_OUTDATE_H
#define HALUN_DAEMON_OUTDATE_H

struct group;

/* Control thread. done() when the copy's metadata say "outdated" durably, or its disk was given up: then the journals
 * alone say it. Whoever relies on the acknowledgement goes on without this copy, so what fails (the copy is just being
 * resynchronised; this node is still Primary) is tried again, and not acknowledged until then. Done as well when the copy
 * is recorded as current again meanwhile. Never called when the replica is closed meanwhile: a node that leaves
 * acknowledges nothing. */
void outdate_own_copy(struct group *group, void (*done)(void *context), void *context);

#endif
