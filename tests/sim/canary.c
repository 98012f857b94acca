#include <string.h>

#include "tests/sim/world.h"

const char *const canary_names[CANARIES] = {
    [CANARY_EARLY_ANSWER] = "early-answer",
    [CANARY_NO_DRAIN] = "no-drain",
    [CANARY_OUTDATED] = "outdated",
};

static bool planted[CANARIES];

bool canary_plant(const char *name)
{
    for (unsigned i = 0; i < CANARIES; i++)
        if (!strcmp(canary_names[i], name)) {
            planted[i] = true;
            return true;
        }
    return false;
}

bool canary_is(enum canary canary)
{
    return planted[canary];
}
