/* Snapshots: what is accepted must encode to the same bytes and survive operations; what is refused
 * must leave the state alone. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "cluster/shared_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LUS = 3, GROUPS = 2 };

/* As in the corpus. */
static struct shared_state *state_new(void)
{
    struct shared_state *state = shared_state_new(LUS, GROUPS);

    if (!state)
        abort();
    for (unsigned i = 0; i < LUS; i++)
        state->lus[i].uuid[0] = (uint8_t)(i + 1);
    for (unsigned i = 0; i < GROUPS; i++) {
        state->groups[i].nodes = 6;
        snprintf(state->groups[i].name, sizeof state->groups[i].name, "group%u", i);
    }
    return state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct shared_state *state, *other;
    static struct shared_effects effects;
    static uint8_t encoded[1 << 20];
    struct reader r = {data, size, 0};

    if (!state) {
        state = state_new();
        other = state_new();
    }
    uint64_t before = shared_state_digest(state);
    if (shared_state_decode(state, &r)) {
        if (shared_state_digest(state) != before)
            abort();
        return 0;
    }
    struct writer w = {encoded, sizeof encoded, 0};
    shared_state_encode(state, &w);
    struct reader again = {encoded, w.used, 0};
    if (w.used > w.size || shared_state_decode(other, &again) ||
        shared_state_digest(other) != shared_state_digest(state))
        abort();
    for (uint32_t lu = 0; lu < LUS; lu++)
        for (uint8_t action = 0; action < 8 && state->lus[lu].registrant_count; action++) {
            struct shared_op op = {.kind = SHARED_OP_PR_OUT, .lu = lu, .action = action, .type = 5};
            op.nexus = state->lus[lu].registrants[0].nexus;
            op.key = op.action_key = state->lus[lu].registrants[0].key;
            shared_apply(state, &op, &effects);
        }
    shared_members(state, 2, 4, 0, &effects);
    shared_state_cold_start(state);
    return 0;
}
