/* Parameter lists of SET TARGET PORT GROUPS, and LUN bytes (the first 8). */
#undef NDEBUG /* a fuzz target without its asserts finds nothing */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "alua/alua.h"
#include "target/nexus/lun_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct alua_request request;
    uint16_t field = 0xffff;
    uint32_t number = 0;

    if (size > LIMIT_PARAMETER_LIST)
        return 0;
    if (alua_read_request(&request, data, (uint32_t)size, &field) ==
        REASON_INVALID_FIELD_IN_PARAMETERS)
        assert(field < size);
    else
        assert(request.node <= LIMIT_NODES);
    if (size >= 8 && lun_decode(get_be64(data), &number) == LUN_UNIT)
        assert(number < 1 << 24);
    return 0;
}
