/* Which copies have all that was acknowledged, in their cache at least: when the last of them loses
 * its power, what was not synchronized may be lost (SBC-3 4.15, a volatile write cache), and only
 * then.
 *
 * A write is acknowledged when all current copies have it (docs/replication.md), so a copy has all
 * as long as it is current and its node keeps its power. A daemon that ends takes nothing with it.
 * One whose node lost its power has all again when it and the other copy are connected and
 * UpToDate, or when it is served from after nobody was left: then what it has is what there is.
 *
 * One whose disk failed, or could not be attached at a start, does not have all any more, though it shows here what it was
 * given and its daemon may use it again later. Where a write fails, a kernel may have dropped others from its cache that were
 * written before and acknowledged, and calls those pages clean: what was not flushed before is on that disk or it is not, nobody
 * can say. So it is as good as one that lost its power (docs/replication.md, "What is promised when"), also where it was the last
 * one. What was flushed is another matter (check_stable.c). The last one is written to on all the same, where the disk of another
 * unit of the group failed: what is acknowledged from then on is lost with its power again. */
#include <string.h>

#include "tests/sim/checkers.h"
#include "tests/sim/workload.h"

enum { GROUPS = 8 };

static struct {
    uint32_t holders; /* bits: node */
    uint32_t current; /* as the newest state says */
    unsigned owner;   /* the same */
    uint32_t failed;  /* bits: node whose disk has failed, which was noted */
} copies[GROUPS];
static struct {
    uint64_t epoch, version;
} newest;
static uint64_t last[SIM_NODES + 1];

static void begin(void)
{
    memset(&newest, 0, sizeof newest);
    memset(last, 0, sizeof last);
    for (unsigned g = 0; g < sim_config()->groups; g++) {
        copies[g].holders = sim_group_nodes(g); /* nothing was written */
        copies[g].current = sim_group_nodes(g);
        copies[g].owner = 0;
        copies[g].failed = 0;
    }
}

static void note_current(unsigned node)
{
    const struct shared_state *state = sim_shared(node);
    struct cluster_view view;

    if (!state || state->version == last[node] || !sim_view(node, &view) || !view.joined)
        return;
    last[node] = state->version;
    if (view.epoch < newest.epoch ||
        (view.epoch == newest.epoch && state->version < newest.version))
        return;
    newest.epoch = view.epoch;
    newest.version = state->version;
    for (unsigned g = 0; g < sim_config()->groups; g++) {
        if (!state->groups[g].current) /* a new array: the copies are as they were made */
            continue;
        copies[g].current = state->groups[g].current;
        copies[g].owner = state->groups[g].owner;
        copies[g].holders &= copies[g].current;
        if (!copies[g].holders && state->groups[g].owner)
            copies[g].holders = copies[g].current & 1u << state->groups[g].owner;
    }
}

static bool in_sync(unsigned node, unsigned group)
{
    struct replica_status status;

    return sim_replica(node, group, &status) && status.disk == DISK_UP_TO_DATE &&
           status.peer_disk == DISK_UP_TO_DATE && status.connection == CONN_CONNECTED;
}

static void note_synced(unsigned group)
{
    uint32_t left = sim_group_nodes(group);

    for (; left; left &= left - 1)
        if (!in_sync((unsigned)__builtin_ctz(left), group))
            return;
    copies[group].holders = copies[group].current;
}

static void drop(unsigned node, unsigned group)
{
    copies[group].holders &= ~(1u << node);
    if (copies[group].holders)
        return;
    sim_trace(0, "group g%u: no copy is left that has all that was acknowledged in its cache", group);
    sim_count("caches lost", 1);
    for (unsigned lu = group; lu < sim_config()->lus; lu += sim_config()->groups)
        record_cache_loss(lu);
}

static void note_failed(unsigned node, unsigned group)
{
    struct replica_status status;
    uint32_t bit = 1u << node;

    if (!((copies[group].holders | copies[group].failed) & bit) || !sim_replica(node, group, &status))
        return;
    if (status.disk != DISK_FAILED && status.disk != DISK_DISKLESS) {
        copies[group].failed &= ~bit;
    } else if (!(copies[group].failed & bit)) {
        copies[group].failed |= bit;
        drop(node, group);
        if (!copies[group].holders && copies[group].owner == node)
            copies[group].holders = bit;
    }
}

static void event(unsigned node)
{
    if (!node)
        return;
    note_current(node);
    for (unsigned g = 0; g < sim_config()->groups; g++)
        note_failed(node, g);
    for (unsigned g = 0; g < sim_config()->groups; g++)
        if (copies[g].holders != copies[g].current && (sim_group_nodes(g) >> node & 1))
            note_synced(g);
}

static void power_cut(unsigned node)
{
    for (unsigned g = 0; g < sim_config()->groups; g++)
        if (copies[g].holders >> node & 1)
            drop(node, g);
}

static void ended(unsigned node)
{
    for (unsigned g = 0; g < sim_config()->groups; g++)
        copies[g].failed &= ~(1u << node);
    last[node] = 0;
}

const struct sim_checker sim_caches = {
    .name = "caches", .begin = begin, .event = event, .power_cut = power_cut, .ended = ended};
