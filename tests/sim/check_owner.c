/* Never two executors of a group at one time: two nodes whose gates execute while both could
 * answer. */
#include "tests/sim/checkers.h"

static bool executes(unsigned node, unsigned group)
{
    enum gate gate = GATE_HOLD;
    unsigned owner;

    if (!sim_running(node))
        return false;
    for (unsigned reactor = 0; gate != GATE_EXECUTE && reactor < sim_config()->reactors; reactor++)
        if (!sim_gate(node, reactor, group, &gate, &owner))
            return false;
    return gate == GATE_EXECUTE && sim_serves(node);
}

static void event(unsigned node)
{
    const struct sim_config *config = sim_config();

    if (!node)
        return;
    for (unsigned g = 0; g < config->groups; g++) {
        if (!executes(node, g))
            continue;
        for (unsigned other = 1; other <= config->nodes; other++)
            if (other != node && executes(other, g))
                sim_fail("node%u and node%u both execute commands of g%u", node, other, g);
    }
}

const struct sim_checker check_owner = {.name = "one executor", .event = event};
