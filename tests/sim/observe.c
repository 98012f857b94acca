/* What checkers may look at inside the nodes. */
#include <string.h>

#include "tests/sim/world.h"

static struct cluster_driver *driver(unsigned node)
{
    return hosts[node].running ? hosts[node].entry->daemon->cluster : NULL;
}

bool sim_ready(unsigned node)
{
    return hosts[node].running && hosts[node].entry->daemon->ready;
}

const struct shared_state *sim_shared(unsigned node)
{
    return driver(node) ? hosts[node].entry->state(driver(node)) : NULL;
}

bool sim_view(unsigned node, struct cluster_view *view)
{
    if (!driver(node))
        return false;
    world_inside = &hosts[node];
    hosts[node].entry->view(driver(node), view);
    world_inside = NULL;
    return true;
}

uint64_t sim_lease(unsigned node)
{
    return driver(node) ? *hosts[node].entry->lease(driver(node)) : 0;
}

bool sim_serves(unsigned node)
{
    return driver(node) && !sim_frozen(node) && hosts[node].entry->daemon->view.serving &&
           sim_lease(node) > sim_clock(node);
}

bool sim_replica(unsigned node, unsigned group, struct replica_status *status)
{
    struct replica *replica =
        hosts[node].running ? hosts[node].entry->daemon->groups[group].replica : NULL;

    if (!replica)
        return false;
    hosts[node].entry->replica_status(replica, status);
    return true;
}

static struct lu *lu_of_group(unsigned node, unsigned group)
{
    struct lu **lus = hosts[node].entry->device_lus;

    for (unsigned i = 0; i < sim_config()->lus; i++)
        if (lus[i] && lus[i]->group_index == group)
            return lus[i];
    return NULL;
}

bool sim_gate(unsigned node, unsigned reactor, unsigned group, enum gate *gate, unsigned *owner)
{
    struct lu *lu = hosts[node].running ? lu_of_group(node, group) : NULL;

    if (!lu || !lu->lanes[reactor].group)
        return false;
    *gate = lu->lanes[reactor].group->gate;
    *owner = lu->lanes[reactor].group->owner;
    return true;
}

bool sim_lane(unsigned node, unsigned reactor, unsigned lu, struct lane *copy)
{
    if (!hosts[node].running || !hosts[node].entry->device_lus[lu])
        return false;
    *copy = hosts[node].entry->device_lus[lu]->lanes[reactor];
    return true;
}

/* config/ctl_state.c's rule, without going through the text of a status. */
int sim_score(unsigned node, unsigned group)
{
    const struct shared_state *state = sim_shared(node);
    struct replica_status status;

    if (!state || !(state->groups[group].current & 1u << node))
        return -1;
    if (sim_replica(node, group, &status) && status.disk != DISK_UP_TO_DATE)
        return 1000;
    return state->groups[group].owner == node ? 10010 : 10000;
}
