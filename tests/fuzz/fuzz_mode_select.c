/* Parameter lists of MODE SELECT: bit 0 of the first byte chooses (6) or (10), the rest the
 * parameters before. What is taken must be what MODE SENSE shows afterwards. */
#undef NDEBUG /* a fuzz target without its asserts finds nothing */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "target/command/pages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pages_medium medium = {.blocks = 1000, .block_size = 512};
    struct shared_mode mode, before, selected = {0};
    uint16_t field = 0xffff;
    uint32_t length;
    int bit = 99;

    if (!size || size > LIMIT_PARAMETER_LIST)
        return 0;
    mode = (struct shared_mode){.d_sense = data[0] >> 1 & 1,
                                .swp = data[0] >> 2 & 1,
                                .wce = data[0] >> 3 & 1,
                                .tas = data[0] >> 4 & 1};
    before = mode;
    length = (uint32_t)size - 1;
    switch (pages_select(data + 1, length, data[0] & 1, &medium, &mode, &selected, &field,
                         &bit)) {
    case REASON_GOOD:
        for (unsigned i = 0; i < sizeof mode; i++) /* nothing else is touched */
            assert(((uint8_t *)&selected)[i] == 1 ||
                   ((uint8_t *)&mode)[i] == ((uint8_t *)&before)[i]);
        assert(mode.d_sense <= 1 && mode.swp <= 1 && mode.wce <= 1 && mode.tas <= 1);
        break;
    case REASON_INVALID_FIELD_IN_PARAMETERS:
        assert(field < length && bit >= -1 && bit <= 7);
        assert(!memcmp(&mode, &before, sizeof mode));
        break;
    case REASON_PARAMETER_LIST_LENGTH:
        assert(!memcmp(&mode, &before, sizeof mode));
        break;
    default:
        assert(!"an answer that is not promised");
    }
    return 0;
}
