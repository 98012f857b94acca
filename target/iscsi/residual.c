#include "target/iscsi/residual.h"

#include "target/iscsi/iscsi_wire.h"

struct residual residual_of(uint32_t expected_in, uint32_t expected_out, uint32_t wanted,
                            uint32_t sent_in)
{
    uint32_t expected = expected_in ? expected_in : expected_out;
    /* A read may return less than its CDB allows (allocation length): what is missing in the
     * initiator's buffer counts, not what the CDB would have allowed. */
    uint32_t moved = expected_in ? sent_in : wanted;

    if (wanted > expected)
        return (struct residual){RESPONSE_OVERFLOW, wanted - expected};
    if (moved < expected)
        return (struct residual){RESPONSE_UNDERFLOW, expected - moved};
    return (struct residual){0, 0};
}
