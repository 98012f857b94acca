/* The registrants of the logical units: sorted runs in one pool. Pure. */
#include <assert.h>

#include "cluster/shared_internal.h"

enum { RUN_STEP = 8 }; /* a run grows by so many slots at least */

static_assert(SHARED_POOL_HALF - LIMIT_REGISTRANTS >= LIMIT_REGISTRANTS_LU + RUN_STEP,
              "packed runs leave room for the largest one");

int32_t shared_registrant_find(const struct shared_lu *lu, const struct nexus_identity *nexus,
                               uint32_t *place)
{
    uint32_t low = 0, high = lu->registrant_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = identity_compare(nexus, &lu->registrants[middle].nexus);
        if (!order)
            return (int32_t)middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    if (place)
        *place = low;
    return -1;
}

bool shared_registrant_fits(const struct shared_state *state, const struct shared_lu *lu,
                            uint32_t count)
{
    return count <= LIMIT_REGISTRANTS_LU - lu->registrant_count &&
           count <= LIMIT_REGISTRANTS - state->registrant_total;
}

static struct shared_registrant *half(const struct shared_state *state)
{
    return state->registrant_pool + state->pool_half * SHARED_POOL_HALF;
}

static void pack(struct shared_state *state)
{
    state->pool_half = !state->pool_half;
    state->pool_used = 0;
    for (uint32_t i = 0; i < state->lu_count; i++) {
        struct shared_lu *lu = &state->lus[i];
        struct shared_registrant *to = half(state) + state->pool_used;

        if (lu->registrant_count)
            memcpy(to, lu->registrants, lu->registrant_count * sizeof *to);
        lu->registrants = lu->registrant_count ? to : NULL;
        lu->registrant_room = lu->registrant_count;
        state->pool_used += lu->registrant_count;
    }
}

static void grow(struct shared_state *state, struct shared_lu *lu)
{
    uint32_t more = lu->registrant_room < RUN_STEP ? RUN_STEP : lu->registrant_room / 2;
    uint32_t room = lu->registrant_count + more;

    if (room > LIMIT_REGISTRANTS_LU)
        room = LIMIT_REGISTRANTS_LU;
    if (room > SHARED_POOL_HALF - state->pool_used)
        pack(state);
    assert(room <= SHARED_POOL_HALF - state->pool_used);
    struct shared_registrant *to = half(state) + state->pool_used;
    if (lu->registrant_count)
        memcpy(to, lu->registrants, lu->registrant_count * sizeof *to);
    lu->registrants = to;
    lu->registrant_room = room;
    state->pool_used += room;
}

void shared_registrant_add(struct shared_state *state, struct shared_lu *lu,
                           const struct nexus_identity *nexus, uint64_t key)
{
    uint32_t place = 0;
    int32_t found = shared_registrant_find(lu, nexus, &place);

    assert(found < 0 && key && shared_registrant_fits(state, lu, 1));
    (void)found;
    if (lu->registrant_count == lu->registrant_room)
        grow(state, lu);
    struct shared_registrant *at = lu->registrants + place;
    memmove(at + 1, at, (lu->registrant_count - place) * sizeof *at);
    at->nexus = *nexus;
    at->key = key;
    lu->registrant_count++;
    state->registrant_total++;
    if (lu->pr_holder >= (int32_t)place)
        lu->pr_holder++;
}

void shared_registrant_remove(struct shared_state *state, struct shared_lu *lu, uint32_t index)
{
    struct shared_registrant *at = lu->registrants + index;

    assert(index < lu->registrant_count);
    memmove(at, at + 1, (lu->registrant_count - index - 1) * sizeof *at);
    lu->registrant_count--;
    state->registrant_total--;
    if (lu->pr_holder == (int32_t)index)
        lu->pr_holder = -1;
    else if (lu->pr_holder > (int32_t)index)
        lu->pr_holder--;
}

void shared_registrant_clear(struct shared_state *state, struct shared_lu *lu)
{
    state->registrant_total -= lu->registrant_count;
    lu->registrant_count = 0;
    lu->pr_type = PR_NONE;
    lu->pr_holder = -1;
}

void shared_lookup(const struct shared_lu *lu, const struct nexus_identity *nexus, bool *registered,
                   bool *holder)
{
    int32_t index = shared_registrant_find(lu, nexus, NULL);

    *registered = index >= 0;
    *holder = index >= 0 && lu->pr_type != PR_NONE &&
              (shared_all_registrants(lu->pr_type) || index == lu->pr_holder);
}
