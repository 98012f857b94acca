/* Operations as they come from other nodes: decode, and when they pass, encode them again and apply
 * them. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "cluster/shared_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LUS = 3, GROUPS = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct shared_state *state;
    static struct shared_effects effects;
    static uint8_t encoded[1 << 18];
    struct reader r = {data, size, 0};
    struct shared_op op;

    if (!state) {
        state = shared_state_new(LUS, GROUPS);
        if (!state)
            abort();
        state->groups[0].nodes = state->groups[1].nodes = 6;
    }
    shared_members(state, 6, 0, 0, &effects);
    while (r.left) { /* as many as follow each other */
        const uint8_t *at = r.data;

        if (shared_op_decode(&op, &r, state))
            break;
        struct writer w = {encoded, sizeof encoded, 0};
        shared_op_encode(&op, &w);
        if (w.used != (size_t)(r.data - at) || memcmp(at, encoded, w.used) != 0)
            abort(); /* two encodings of one operation */
        shared_apply(state, &op, &effects);
        if (effects.reason != REASON_GOOD && (effects.count || effects.changed))
            abort();
        for (uint32_t i = 0; i < effects.count; i++)
            (void)shared_effect_selects(&effects, &effects.effects[i], &op.nexus);
    }
    return 0;
}
