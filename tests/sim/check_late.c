/* Once a write was answered, or a task management function that aborted it, nothing of it reaches the medium that is not
 * there: it would take back what others have written since. 02/04/0A says nothing: the old owner's link may have had it, and
 * nobody else writes before that is closed. For the same reason only the owner's medium counts: what it got from nobody. */
#include <string.h>

#include "tests/sim/checkers.h"
#include "tests/sim/workload.h"

enum { VALUES = 1 << 20 };

static uint8_t on_medium[VALUES / 8]; /* bit by value: some disk has seen it */

static void forget(void)
{
    memset(on_medium, 0, sizeof on_medium);
}

static bool owns(unsigned node, unsigned lu)
{
    const struct shared_state *state = sim_shared(node);

    return state && state->groups[lu % sim_config()->groups].owner == node;
}

/* An owner may get late what another one had: by a resync. */
static void look(unsigned node, unsigned lu, uint64_t value)
{
    uint64_t over = record_over(value);
    bool known = value < VALUES && on_medium[value / 8] >> value % 8 & 1;

    if (value < VALUES)
        on_medium[value / 8] |= (uint8_t)(1u << value % 8);
    if (!over || known || !owns(node, lu))
        return;
    sim_fail("node%u: write %llu of lu%u, whose command was over at %.6f s, reaches the medium", node,
             (unsigned long long)value, lu, (double)over / 1e9);
}

static void medium_write(unsigned node, unsigned lu, uint64_t offset, size_t length, const void *bytes)
{
    unsigned size = sim_config()->block_size;

    for (size_t at = 0; bytes && at + size <= length; at += size)
        look(node, lu, record_value_of((const uint8_t *)bytes + at));
}

const struct sim_checker check_late = {.name = "late", .begin = forget, .medium_write = medium_write};
