/* Before the agreed state becomes this node's record: where it says that this node's copy of a group is the only current
 * one from here on, what that copy has is put on stable storage first. The other copy may have it there already, and is
 * not used any more as soon as that record counts: a node that lost its power in between would have lost what was
 * acknowledged, although the other one had not (its daemon may have died alone). docs/cluster.md "The copy of a lost
 * owner". Control thread. */
#ifndef HALUN_DAEMON_RECORDED_H
#define HALUN_DAEMON_RECORDED_H

#include <stdbool.h>

#include "cluster/shared_state.h"

/* cluster_callbacks.record(): cluster_record_ready() follows when it was not yet. A disk that needs longer than
 * RECORDED_LIMIT_MS does not hold up the other groups any more. */
enum { RECORDED_LIMIT_MS = 3000 };
bool recorded_may(const struct shared_state *state);
/* Members have vanished (bits): where one of them is the owner, the flush begins before it is known to be harmless, so that
 * little is left for the one after that. */
void recorded_expect(const struct shared_state *state, uint32_t unproven);

#endif
