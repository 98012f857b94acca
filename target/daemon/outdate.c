#include "target/daemon/outdate.h"

#include <qb/qblog.h>
#include <stdlib.h>
#include <string.h>

#include "target/daemon/group.h"

enum { AGAIN_MS = 200 };

struct outdating {
    struct group *group;
    char why[128]; /* as last logged */
    void (*done)(void *context);
    void *context;
};

static void try(void *data);

static void tried(void *context, int error, const char *why)
{
    struct outdating *outdating = context;

    if (!error) {
        outdating->done(outdating->context);
        free(outdating);
        return;
    }
    if (strcmp(outdating->why, why)) {
        snprintf(outdating->why, sizeof outdating->why, "%s", why);
        qb_log(LOG_ERR, "group %s: this node's copy could not be marked as outdated yet: %s",
               halund.config->groups[outdating->group->index].name, why);
    }
    qb_loop_timer_add(halund.loop, QB_LOOP_MED, AGAIN_MS * 1000000ull, outdating, try, NULL);
}

/* Resynchronised and recorded as current behind the outdating that is still being tried: marked now, which may be as late
 * as this node's demotion, the copy would be out of use although the record counts on it. Whoever asked asks anew if it
 * wants more (group_copies.c), or is gone. */
static bool overtaken(const struct group *group)
{
    return shared_of(group)->current & 1u << halund.self;
}

static void try(void *data)
{
    struct outdating *outdating = data;

    if (!outdating->group->replica)
        free(outdating);
    else if (overtaken(outdating->group))
        tried(outdating, 0, "");
    else
        replica_outdate(outdating->group->replica, tried, outdating);
}

void outdate_own_copy(struct group *group, void (*done)(void *context), void *context)
{
    struct outdating *outdating = calloc(1, sizeof *outdating);

    if (!outdating)
        abort();
    outdating->group = group;
    outdating->done = done;
    outdating->context = context;
    try(outdating);
}
