#include <string.h>

#include "tests/sim/node/node.h"
#include "tests/sim/world.h"

const char *const canary_names[CANARIES] = {
    [CANARY_EARLY_ANSWER] = "early-answer",
    [CANARY_NO_DRAIN] = "no-drain",
    [CANARY_OUTDATED] = "outdated",
    [CANARY_FLUSH_ALONE] = "flush-alone",
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

int world_canary_early_answer(void)
{
    return canary_is(CANARY_EARLY_ANSWER);
}

int world_canary_no_drain(void)
{
    return canary_is(CANARY_NO_DRAIN);
}

int world_canary_outdated(void)
{
    return canary_is(CANARY_OUTDATED);
}

int world_canary_flush_alone(void)
{
    return canary_is(CANARY_FLUSH_ALONE);
}
