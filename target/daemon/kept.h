/* Whether a group's copy on this node was complete (replica_status) and its caches have kept their power since: a daemon
 * that died loses nothing, a machine that was reset loses what it had not flushed. Known by the kernel's boot id, noted in
 * state_dir while the copy is complete. Control thread; blocks for a small file. */
#ifndef HALUN_DAEMON_KEPT_H
#define HALUN_DAEMON_KEPT_H

#include <stdbool.h>

/* False also when it is not known. */
bool kept_read(const char *state_dir, const char *group);
/* Notes it, or that the copy is not complete (any more). */
void kept_note(const char *state_dir, const char *group, bool complete);

#endif
