/* Parameter lists of PERSISTENT RESERVE OUT: the first byte is the service action. */
#undef NDEBUG /* a fuzz target without its asserts finds nothing */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "target/command/pr_parameters.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shared_op op = {.kind = SHARED_OP_PR_OUT};
    uint16_t field = 0xffff;
    uint32_t length;

    if (!size || size > LIMIT_PARAMETER_LIST)
        return 0;
    op.action = data[0] & 7;
    length = (uint32_t)size - 1;
    switch (pr_out_read(&op, data + 1, length, &field)) {
    case REASON_GOOD:
        assert(!op.transport_ids_length ||
               (op.transport_ids >= data + 1 + 24 &&
                op.transport_ids + op.transport_ids_length == data + size));
        break;
    case REASON_INVALID_FIELD_IN_PARAMETERS:
        assert(field < length);
        break;
    case REASON_PARAMETER_LIST_LENGTH:
        break;
    default:
        assert(!"an answer that is not promised");
    }
    return 0;
}
