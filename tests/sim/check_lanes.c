/* When all is quiet, every lane and gate of every node is what the agreed state says. */
#include <string.h>

#include "tests/sim/checkers.h"

static void check_lu(unsigned node, unsigned reactor, unsigned lu, const struct shared_lu *shared)
{
    struct lane lane;

    if (!sim_lane(node, reactor, lu, &lane))
        sim_fail("node%u has no lane of lu%u", node, lu);
    if (lane.epoch != shared->epoch || lane.pr_type != shared->pr_type ||
        lane.legacy_reserved != shared->legacy_reserved ||
        memcmp(&lane.mode, &shared->mode, sizeof lane.mode) != 0)
        sim_fail("node%u reactor %u: the lane of lu%u has epoch %u type %u, agreed are %u and %u",
                 node, reactor, lu, lane.epoch, lane.pr_type, shared->epoch, shared->pr_type);
}

static void check_group(unsigned node, unsigned reactor, unsigned group,
                        const struct shared_group *shared)
{
    enum gate gate, expected = shared->owner == node ? GATE_EXECUTE : GATE_FORWARD;
    unsigned owner;

    if (!shared->owner)
        sim_fail("g%u has no owner when all is quiet", group);
    if (!sim_gate(node, reactor, group, &gate, &owner) || gate != expected ||
        (gate == GATE_FORWARD && owner != shared->owner))
        sim_fail("node%u reactor %u: gate %d of g%u, its owner is node%u", node, reactor, (int)gate,
                 group, shared->owner);
}

static void quiet(void)
{
    const struct sim_config *config = sim_config();
    const struct shared_state *first = NULL;

    for (unsigned node = 1; node <= config->nodes; node++) {
        const struct shared_state *state = sim_shared(node);

        if (!sim_serves(node) || !state)
            sim_fail("node%u does not serve when all is quiet", node);
        first = first ? first : state;
        if (shared_state_digest(state) != shared_state_digest(first))
            sim_fail("node%u's state differs when all is quiet", node);
        for (unsigned reactor = 0; reactor < config->reactors; reactor++) {
            for (unsigned lu = 0; lu < config->lus; lu++)
                check_lu(node, reactor, lu, &state->lus[lu]);
            for (unsigned g = 0; g < config->groups; g++)
                check_group(node, reactor, g, &state->groups[g]);
        }
    }
}

const struct sim_checker check_lanes = {.name = "lanes", .quiet = quiet};
