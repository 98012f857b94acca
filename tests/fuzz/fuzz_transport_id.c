/* TransportIDs as initiators send them: alone, and as the list of SPEC_I_PT. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "cluster/shared_state.h"
#include "target/command/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_list(const uint8_t *data, size_t size)
{
    static struct shared_state *state;
    static struct shared_effects effects;
    static const uint8_t isid[6] = {0x80, 1, 2, 3, 4, 5};
    static const uint16_t ports[] = {1, 2, 3};
    struct shared_op op = {.kind = SHARED_OP_PR_OUT,
                           .action_key = 1,
                           .spec_i_pt = true,
                           .all_tg_pt = size % 2,
                           .ports = ports,
                           .port_count = 3,
                           .transport_ids = data,
                           .transport_ids_length = (uint32_t)size};

    if (!state) {
        state = shared_state_new(1, 0);
        if (!state)
            abort();
    }
    identity_from_iscsi(&op.nexus, "iqn.2001-04.com.example:host", isid, 2);
    shared_apply(state, &op, &effects);
    op.action = 3;
    op.key = 1;
    shared_apply(state, &op, &effects);
    if (state->lus[0].registrant_count)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nexus_identity identity, again;
    unsigned length, taken;

    if (size > LIMIT_PARAMETER_LIST)
        return 0;
    length = identity_transport_length(data, (unsigned)size);
    taken = identity_from_transport(&identity, data, (unsigned)size, 1);
    if (length > size || length % 4 || (taken && taken != length))
        abort();
    if (taken &&
        (!identity_valid(&identity) ||
         !identity_from_transport(&again, identity.transport_id, identity.transport_length, 1) ||
         !identity_equal(&identity, &again) || identity_compare(&identity, &again)))
        abort();
    as_list(data, size);
    return 0;
}
