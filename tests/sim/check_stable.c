/* What was flushed (SYNCHRONIZE CACHE, FUA) is on stable storage of every copy that the cluster calls current: any of them
 * may be the only one that is left. Looked at in the record of a node that serves, at every answer of a flush and all
 * the time; the copy's node may have lost its power meanwhile. */
#include <stdlib.h>

#include "tests/sim/checkers.h"
#include "tests/sim/workload.h"

static void look_at(unsigned node, unsigned lu)
{
    static uint8_t data[4096];
    unsigned size = sim_config()->block_size;
    char text[400];

    for (uint32_t block = 0; block < WORKLOAD_BLOCKS; block++) {
        uint64_t value;

        if (!sim_disk_read_stable(node, lu, workload_lba(block) * size, data, size))
            return;
        value = record_read(lu, block, data, size);
        if (value != HISTORY_NO_VALUE && blocks_may_be_stable(record_blocks(lu), block, value))
            continue;
        blocks_describe(record_blocks(lu), block, text, sizeof text);
        sim_fail("lu%u block %u: the current copy of node%u has write %llu on stable storage; flushed or later: %s", lu,
                 block, node, (unsigned long long)value, text);
    }
}

void check_stable_copies(void)
{
    const struct sim_config *config = sim_config();
    const struct shared_state *state = NULL;

    for (unsigned node = 1; node <= config->nodes && !state; node++)
        if (sim_serves(node))
            state = sim_shared(node);
    for (unsigned lu = 0; state && config->nodes > 1 && lu < config->lus; lu++)
        for (unsigned node = 1; node <= config->nodes; node++)
            if (state->groups[lu % config->groups].current & sim_group_nodes(lu % config->groups) & 1u << node)
                look_at(node, lu);
}

const struct sim_checker check_stable = {.name = "stable", .tick = check_stable_copies};
