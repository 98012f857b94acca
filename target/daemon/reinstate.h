/* An outdating that is taken back. The owner has its peer's copy outdated, and its own disk fails before it has gone on alone:
 * then only a failed copy is recorded as current, although the other one has all that was acknowledged. So that is current
 * again, by a second decision, which counts only where nothing of the group has changed since the first. Control thread. */
#ifndef HALUN_DAEMON_REINSTATE_H
#define HALUN_DAEMON_REINSTATE_H

#include "cluster/shared_state.h"

struct group;

/* The other node's copy was outdated, or the group was released: notes behind which place it can be taken back. `shared` is
 * the group as it is right behind the operation. */
void reinstate_follow(struct group *group, const struct shared_group *shared, const struct shared_effect *effect);
/* The replica does not go on alone (replica_callbacks.outdated_in_vain). */
void reinstate_other_copy(struct group *group);
/* That was agreed of this node's copy. */
void reinstate_own_copy(struct group *group, void (*done)(void *context), void *context);

#endif
