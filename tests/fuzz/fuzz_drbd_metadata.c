/* What lies on a disk: the first block as a superblock for some device, what follows as an activity
 * log ring. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "replication/activity_log.h"
#include "replication/activity_log_format.h"
#include "replication/metadata.h"
#include "target/base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t table[AL_SLOTS_MAX];

static void ring(const uint8_t *data, size_t size)
{
    uint32_t blocks = (uint32_t)(size / AL_BLOCK), stripes = blocks % 3 ? 1 : 3;
    uint8_t *copy;
    struct al_replay replay;

    if (!blocks)
        return;
    copy = malloc((size_t)blocks * AL_BLOCK);
    if (!copy)
        abort();
    memcpy(copy, data, (size_t)blocks * AL_BLOCK);
    al_replay(copy, stripes, blocks / stripes, table, &replay);
    /* and once more with checksums that fit, else mutations never come further */
    for (uint32_t i = 0; i < blocks; i++)
        put_be32(copy + (size_t)i * AL_BLOCK + AL_CHECKSUM_AT,
                 al_checksum(copy + (size_t)i * AL_BLOCK));
    al_replay(copy, stripes, blocks / stripes, table, &replay);
    if (replay.slots > AL_SLOTS_MAX)
        abort();
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t block[MD_BLOCK] = {0};
    struct metadata_layout layout;
    struct superblock sb;
    char why[MD_WHY];

    memcpy(block, data, size < MD_BLOCK ? size : MD_BLOCK);
    if (!superblock_decode(&sb, block, why)) {
        static const uint64_t devices[] = {0,         4096, 1 << 20, 64 << 20, UINT64_C(5) << 40,
                                           UINT64_MAX};

        for (unsigned i = 0; i < sizeof devices / sizeof *devices; i++) {
            if (!superblock_validate(&sb, METADATA_INTERNAL, devices[i], 0, &layout, why) &&
                layout.superblock + MD_BLOCK > devices[i])
                abort();
            if (!superblock_validate(&sb, METADATA_FLEX_EXTERNAL, devices[i], devices[5 - i],
                                     &layout, why) &&
                layout.bitmap + layout.bitmap_bytes > devices[i])
                abort();
        }
        superblock_encode(&sb, block);
    }
    if (size > MD_BLOCK)
        ring(data + MD_BLOCK, size - MD_BLOCK);
    return 0;
}
