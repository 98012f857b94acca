/* Run length codes: what is decoded must be encoded to the same bits. */
#include <stdint.h>
#include <stdlib.h>

#include "replication/dirty_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t position = 0, end = size * 8;

    while (position < end) {
        uint64_t start = position, run = vli_decode(data, &position, end), again = start % 8;
        uint8_t code[12] = {0};

        if (!run)
            break;
        if (position <= start || position > end)
            abort();
        if (!vli_encode(code, &again, 96, run) || again - start % 8 != position - start)
            abort();
        for (uint64_t i = 0; i < position - start; i++) {
            uint64_t at = start % 8 + i, from = start + i;

            if ((code[at / 8] >> at % 8 & 1) != (data[from / 8] >> from % 8 & 1))
                abort();
        }
    }
    return 0;
}
