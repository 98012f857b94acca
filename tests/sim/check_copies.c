/* When all is quiet, the copies of a unit are equal, and every block holds what the ledger allows.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/checkers.h"
#include "tests/sim/workload.h"

static void compare(unsigned lu, unsigned a, unsigned b)
{
    const struct sim_config *config = sim_config();
    unsigned size = config->block_size;
    uint8_t *left = malloc(size), *right = malloc(size);

    if (!left || !right)
        abort();
    for (unsigned i = 0; i < config->lu_blocks; i++) {
        uint64_t offset = (uint64_t)i * size;
        if (!sim_disk_read(a, lu, offset, left, size) || !sim_disk_read(b, lu, offset, right, size))
            sim_fail("lu%u: a copy of block %u can not be read", lu, i);
        if (memcmp(left, right, size) != 0)
            sim_fail("lu%u: the copies on node%u and node%u differ in block %u when all is quiet",
                     lu, a, b, i);
    }
    free(left);
    free(right);
}

static void ledger(unsigned lu, unsigned node)
{
    unsigned size = sim_config()->block_size;
    uint8_t *data = malloc(size);
    char text[400];

    if (!data)
        abort();
    for (uint32_t block = 0; block < WORKLOAD_BLOCKS; block++) {
        uint64_t value;

        sim_disk_read(node, lu, workload_lba(block) * size, data, size);
        value = record_read(lu, block, data, size);
        if (value == HISTORY_NO_VALUE ? blocks_may_be_torn(record_blocks(lu), block)
                                      : blocks_may_hold(record_blocks(lu), block, value))
            continue;
        blocks_describe(record_blocks(lu), block, text, sizeof text);
        if (value == HISTORY_NO_VALUE)
            sim_fail("lu%u block %u on node%u is damaged; possible: %s", lu, block, node, text);
        sim_fail("lu%u block %u on node%u holds write %llu; possible: %s", lu, block, node,
                 (unsigned long long)value, text);
    }
    free(data);
}

static void quiet(void)
{
    const struct sim_config *config = sim_config();

    for (unsigned lu = 0; lu < config->lus; lu++) {
        unsigned first = 0;

        for (unsigned node = 1; node <= config->nodes; node++) {
            if (!(sim_group_nodes(lu % config->groups) >> node & 1))
                continue;
            if (first)
                compare(lu, first, node);
            else
                ledger(lu, node);
            first = first ? first : node;
        }
    }
}

const struct sim_checker check_copies = {.name = "copies", .quiet = quiet};
