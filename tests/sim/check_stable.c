/* What was flushed (SYNCHRONIZE CACHE, FUA) is on stable storage of every copy that the cluster calls current: any of them
 * may be the only one that is left. Looked at in the record of a node that serves, at every answer of a flush and all
 * the time; the copy's node may have lost its power meanwhile. One that is marked as Inconsistent, on stable storage too,
 * is not promoted before it has been resynchronised. */
#include <assert.h>

#include "replication/metadata.h"
#include "tests/sim/checkers.h"
#include "tests/sim/workload.h"

enum { SIZE = 4096, LUS = 8 };

/* What was read there last, most of which is there still. */
static struct {
    uint64_t stamp, value;
} known[SIM_NODES + 1][LUS][WORKLOAD_BLOCKS];

static bool value_of(unsigned node, unsigned lu, uint32_t block, uint64_t *value)
{
    static uint8_t data[SIZE];
    unsigned size = sim_config()->block_size;
    uint64_t offset = workload_lba(block) * size, stamp = sim_disk_stamp(node, lu, offset);

    assert(size == SIZE && lu < LUS);
    if (!stamp || known[node][lu][block].stamp != stamp) {
        if (!sim_disk_read_stable(node, lu, offset, data, size))
            return false;
        known[node][lu][block].stamp = stamp;
        known[node][lu][block].value = record_read(lu, block, data, size);
    }
    *value = known[node][lu][block].value;
    return true;
}

static bool inconsistent(unsigned node, unsigned lu)
{
    uint64_t at = metadata_superblock_offset(METADATA_INTERNAL, sim_disk_size(node, lu));
    struct superblock superblock;
    uint8_t block[MD_BLOCK];
    char why[MD_WHY];

    return sim_disk_read_stable(node, lu, at, block, sizeof block) && !superblock_decode(&superblock, block, why) &&
           !(superblock.flags & MD_CONSISTENT);
}

static void look_at(unsigned node, unsigned lu)
{
    char text[400];

    for (uint32_t block = 0; block < WORKLOAD_BLOCKS; block++) {
        uint64_t value;

        if (!value_of(node, lu, block, &value))
            return;
        if (value != HISTORY_NO_VALUE && blocks_may_be_stable(record_blocks(lu), block, value))
            continue;
        if (inconsistent(node, lu))
            return;
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
