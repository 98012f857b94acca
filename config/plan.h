/* The difference of two configurations as an ordered list of actions: what goes, innermost first
 * (LUNs before LUs); then what comes, outermost first (LUs before the LUNs that show them), so
 * nothing is enabled before all of it exists; nothing that did not change is touched. Pure. */
#ifndef HALUN_CONFIG_PLAN_H
#define HALUN_CONFIG_PLAN_H

#include "config/config.h"
#include "config/options.h"

enum plan_kind { PLAN_REMOVE, PLAN_CREATE, PLAN_CHANGE };

struct plan_action {
    enum plan_kind kind;
    enum option_block block;
    /* Places in the old and the new configuration (REMOVE has only old ones, CREATE only new ones).
     * `sub` is the place of a portal in its node or of a LUN in its host. */
    unsigned old_index, old_sub, new_index, new_sub;
    const struct config_option *option; /* CHANGE: which option */
};

/* Calls `emit` for every action, in order. Before anything is emitted, what cannot change live is
 * looked for: then `error` names it ("halun.conf:12: lu "d": block_size: cannot change live: was
 * 512, is 4096"; `file` is the name to use) and -EINVAL is returned. */
int config_plan(const struct config *old, const struct config *new, const char *file,
                void (*emit)(void *context, const struct plan_action *action), void *context,
                struct config_error *error);

/* One line about an action, for logs: "create lu "d"", "change host "h" lun 3 read_only false ->
 * true". Returns the length it needs. */
size_t plan_describe(const struct plan_action *action, const struct config *old,
                     const struct config *new, char *out, size_t size);

#endif
