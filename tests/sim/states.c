#include "tests/sim/states.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tests/sim/sim.h"

enum { ROOM = 1 << 24 };

static struct {
    _Atomic uint64_t count;
    _Atomic uint64_t slots[ROOM]; /* open addressing; 0 = free */
} *set;

void states_share(void)
{
    set = mmap(NULL, sizeof *set, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (set == MAP_FAILED)
        abort();
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

/* Sizes and sets only: keys, generations and times would make every state another. */
static uint64_t of_node(uint64_t hash, unsigned node)
{
    const struct shared_state *state = sim_shared(node);
    struct cluster_view view = {0};

    hash = mix(hash, (uint64_t)sim_powered(node) << 2 | (uint64_t)sim_running(node) << 1 |
                         sim_frozen(node));
    if (!state || !sim_view(node, &view))
        return hash;
    hash = mix(hash, (uint64_t)view.members << 16 | view.unproven << 4 | (uint64_t)view.serving << 2 |
                         (uint64_t)view.quorate << 1 | view.joined);
    for (unsigned g = 0; g < state->group_count; g++) {
        struct replica_status r = {0};
        hash = mix(hash, state->groups[g].owner << 16 | state->groups[g].current);
        if (sim_replica(node, g, &r))
            hash = mix(hash, (uint64_t)r.role << 24 | (uint64_t)r.connection << 16 | (uint64_t)r.disk << 8 |
                                 (uint64_t)r.peer_disk << 1 | r.suspended);
    }
    for (unsigned i = 0; i < state->lu_count; i++)
        hash = mix(hash, (uint64_t)state->lus[i].pr_type << 16 | state->lus[i].registrant_count << 1 |
                             state->lus[i].legacy_reserved);
    return hash;
}

void states_add(uint64_t state)
{
    if (!set)
        states_share();
    for (uint64_t at = state >> 40, tries = 0; tries < 64; at++, tries++) {
        uint64_t found = 0;
        if (atomic_compare_exchange_strong(&set->slots[at % ROOM], &found, state)) {
            atomic_fetch_add(&set->count, 1);
            return;
        }
        if (found == state)
            return;
    }
}

void states_note(void)
{
    uint64_t hash = 1;

    for (unsigned i = 1; i <= sim_config()->nodes; i++)
        hash = of_node(hash, i);
    states_add(hash | 1);
}

void states_each(void (*each)(uint64_t state, void *context), void *context)
{
    for (uint64_t i = 0; set && i < ROOM; i++)
        if (set->slots[i])
            each(set->slots[i], context);
}

uint64_t states_count(void)
{
    return set ? atomic_load(&set->count) : 0;
}
