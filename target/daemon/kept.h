/* Whether a group's copy on this node was complete (replica_status) and has lost nothing since: a daemon that died loses
 * nothing, a machine that was reset loses what it had not flushed. Known by the kernel's boot id, noted in state_dir while
 * the copy is complete; what a daemon that stopped in order leaves is flushed, and counts in every boot. Control thread;
 * blocks for a small file. */
#ifndef HALUN_DAEMON_KEPT_H
#define HALUN_DAEMON_KEPT_H

#include <stdbool.h>

enum kept {
    KEPT_NOT,     /* the copy is not complete (any more) */
    KEPT_BOOT,    /* it is, for as long as this boot lasts */
    KEPT_FLUSHED, /* it is, all is on stable storage, and nothing is written to it before kept_take(). Where that cannot be
                   * noted, a KEPT_BOOT from before stays */
};

/* Before the copy is opened; what was noted as flushed counts no longer, durably. False also when it is not known. */
bool kept_take(const char *state_dir, const char *group);
void kept_note(const char *state_dir, const char *group, enum kept kept);

#endif
