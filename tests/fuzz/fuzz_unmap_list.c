/* The UNMAP parameter list as any initiator may send it. What is found good must be inside the
 * limits. */
#include <stdint.h>
#include <stdlib.h>

#include "target/device/unmap_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct unmap_limits limits = {.capacity = 1 << 20, .blocks = 1 << 16, .descriptors = 256};
    uint64_t blocks = 0;
    uint16_t field = 0;
    unsigned count = unmap_list_count(data, size);
    enum scsi_reason reason = unmap_list_check(data, size, &limits, &field);

    if (reason == REASON_INVALID_FIELD_IN_PARAMETERS && field >= size)
        abort();
    if (reason != REASON_GOOD)
        return 0;
    if (count > limits.descriptors)
        abort();
    for (unsigned i = 0; i < count; i++) {
        struct unmap_range range = unmap_list_range(data, i);
        blocks += range.blocks;
        if (range.lba > limits.capacity || range.lba + range.blocks > limits.capacity)
            abort();
    }
    if (blocks > limits.blocks)
        abort();
    return 0;
}
