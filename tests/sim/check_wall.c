/* PREEMPT (AND ABORT) is a wall: once it was answered GOOD, no write of a nexus that conflicts by it
 * reaches the medium of any copy, however old it is. A Secondary's that the cluster does not call current is none:
 * what it was sent as it was being resynchronised may come after the owner's disk has failed and the write with it. It is
 * overwritten before anybody is told of it. */
#include <string.h>

#include "target/command/pr_parameters.h"
#include "tests/sim/checkers.h"
#include "tests/sim/workload.h"

enum { VALUES = 1 << 20 };

/* Since when writes of this nexus must not show up; 0 = they may. */
static uint64_t since[LIMIT_LUS][MODEL_NEXUSES];
static uint32_t epochs[SIM_NODES + 1][LIMIT_LUS];
/* When they changed: the last time, the time before. */
static uint64_t changed[SIM_NODES + 1][LIMIT_LUS][2];
static uint8_t on_medium[VALUES / 8]; /* bit by value: some disk has seen it */

static void forget(void)
{
    memset(since, 0, sizeof since);
    memset(epochs, 0, sizeof epochs);
    memset(changed, 0, sizeof changed);
    memset(on_medium, 0, sizeof on_medium);
}

static bool conflicts(const struct shared_lu *lu, unsigned client, unsigned node)
{
    struct nexus_identity identity;
    bool registered, holder;

    identity_from_iscsi(&identity, sim_initiator_name(client), workload_clients[client].isid,
                        sim_rtpi(node));
    shared_lookup(lu, &identity, &registered, &holder);
    return shared_conflicts(lu->pr_type, registered, holder,
                            lu->legacy_reserved && !identity_equal(&lu->legacy_holder, &identity),
                            PR_WRITE);
}

/* Operations that forbid others to write. Any other may be answered while one of these waits for
 * its drain: what the state says then is not promised yet. */
static bool builds(const struct job *job)
{
    if (job->op.op.kind == MODEL_RESERVE)
        return true;
    return job->op.op.kind == MODEL_PR_OUT &&
           (job->op.op.action == PR_OUT_RESERVE || job->op.op.action == PR_OUT_PREEMPT ||
            job->op.op.action == PR_OUT_PREEMPT_AND_ABORT);
}

void wall_answered(const struct job *job)
{
    const struct shared_state *state = sim_shared(job->path->node);
    const uint64_t *when = changed[job->path->node][job->lu];

    if (!state || !sim_serves(job->path->node))
        return;
    /* What is agreed now must be what this one did: a later change that is applied here already was
     * not answered yet, and stops nobody. */
    if (when[0] < job->op.call || when[1] >= job->op.call)
        return;
    /* Who holds the reservation already changes nothing by RESERVE: then it was another one's change, which may still
     * wait for its drain. */
    if (job->op.op.action == PR_OUT_RESERVE && workload_changes_beside(job))
        return;
    for (unsigned c = 0; c < workload_client_count(); c++)
        for (unsigned node = 1; node <= sim_config()->nodes; node++) {
            uint64_t *wall = &since[job->lu][workload_nexus(c, node)];
            if (conflicts(&state->lus[job->lu], c, node))
                *wall = *wall || !builds(job) ? *wall : sim_now();
            else
                *wall = 0;
        }
}

/* Where a node lets a nexus write again, the wall is gone. */
static void event(unsigned node)
{
    const struct shared_state *state = node ? sim_shared(node) : NULL;

    if (!state)
        return;
    for (unsigned lu = 0; lu < state->lu_count; lu++) {
        if (state->lus[lu].epoch == epochs[node][lu])
            continue;
        /* Several operations may be applied at once, by a node that stood still. */
        changed[node][lu][1] =
            state->lus[lu].epoch - epochs[node][lu] > 1 ? sim_now() : changed[node][lu][0];
        changed[node][lu][0] = sim_now();
        epochs[node][lu] = state->lus[lu].epoch;
        for (unsigned c = 0; c < workload_client_count(); c++)
            for (unsigned n = 1; n <= sim_config()->nodes; n++)
                if (since[lu][workload_nexus(c, n)] && !conflicts(&state->lus[lu], c, n))
                    since[lu][workload_nexus(c, n)] = 0;
    }
}

static bool not_current(unsigned node, unsigned group)
{
    for (unsigned by = 1; by <= sim_config()->nodes; by++)
        if (sim_serves(by) && sim_shared(by))
            return sim_shared(by)->groups[group].owner != node && !(sim_shared(by)->groups[group].current & 1u << node);
    return false;
}

static void look(unsigned node, unsigned lu, uint64_t value)
{
    uint64_t sent;
    uint32_t block;
    unsigned of;
    int nexus;
    bool known = on_medium[value / 8] >> value % 8 & 1;

    if (!record_writer(value, &of, &block, &nexus, &sent))
        return;
    on_medium[value / 8] |= (uint8_t)(1u << value % 8);
    /* A copy may get late what another has; nothing may come from nowhere. */
    if (known || of != lu || !since[lu][nexus])
        return;
    if (not_current(node, lu % sim_config()->groups)) {
        on_medium[value / 8] &= (uint8_t)~(1u << value % 8);
        return;
    }
    sim_fail(
        "node%u: lu%u block %u: write %llu of nexus %d, sent at %.6f s, reaches the medium; the "
        "reservation that forbids it was answered at %.6f s",
        node, lu, block, (unsigned long long)value, nexus, (double)sent / 1e9,
        (double)since[lu][nexus] / 1e9);
}

static void medium_write(unsigned node, unsigned lu, uint64_t offset, size_t length,
                         const void *bytes)
{
    unsigned size = sim_config()->block_size;

    for (size_t at = 0; bytes && at + size <= length; at += size) {
        uint64_t value = record_value_of((const uint8_t *)bytes + at);
        if (value && value < VALUES)
            look(node, lu, value);
    }
}

const struct sim_checker check_wall = {
    .name = "wall", .begin = forget, .event = event, .medium_write = medium_write};
