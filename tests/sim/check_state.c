/* At the same place of the agreed order the state is the same on all nodes. A place is the version
 * of the state, which moves with every operation and every view, of an epoch (docs/cluster.md,
 * "Words"): a node may have applied an operation that nobody else has heard of, when it was cut
 * off; those who go on without it do so in a larger epoch. While a member is unproven a place is
 * nobody's word: both sides of a partition may count members down that leave, nothing is served,
 * and they compare what they have when they meet ("Back together"). */
#include <string.h>

#include "tests/sim/checkers.h"

enum { KEPT = 4096 };

static struct {
    uint64_t epoch, version, digest;
    unsigned node;
} seen[KEPT];
static uint64_t last[SIM_NODES + 1];

static void forget(void)
{
    memset(seen, 0, sizeof seen);
    memset(last, 0, sizeof last);
}

static void event(unsigned node)
{
    const struct shared_state *state = node ? sim_shared(node) : NULL;
    struct cluster_view view;
    uint64_t digest;
    unsigned slot;

    if (!state || state->version == last[node] || !sim_view(node, &view) || !view.joined ||
        view.unproven)
        return;
    last[node] = state->version;
    digest = shared_state_digest(state);
    slot = (unsigned)(state->version % KEPT);
    if (seen[slot].version == state->version && seen[slot].epoch == view.epoch &&
        seen[slot].digest != digest)
        sim_fail("at version %llu of the agreed state, epoch %llu, node%u and node%u differ",
                 (unsigned long long)state->version, (unsigned long long)view.epoch, node,
                 seen[slot].node);
    seen[slot].epoch = view.epoch;
    seen[slot].version = state->version;
    seen[slot].digest = digest;
    seen[slot].node = node;
    sim_hash(digest);
}

/* When nobody has the state any more it begins anew from a journal, perhaps an older one. */
static void ended(unsigned node)
{
    struct cluster_view view;

    last[node] = 0;
    for (unsigned i = 1; i <= sim_config()->nodes; i++)
        if (i != node && sim_view(i, &view) && view.joined)
            return;
    forget();
}

const struct sim_checker check_state = {
    .name = "one state", .begin = forget, .event = event, .ended = ended};
