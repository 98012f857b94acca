#include "target/device/unmap_list.h"

#include "target/base/bytes.h"

enum {
    LIST_DESCRIPTOR_LENGTH = 2, /* UNMAP BLOCK DESCRIPTOR DATA LENGTH, 2 bytes */
    LIST_HEADER = 8,
    DESCRIPTOR_LBA = 0,
    DESCRIPTOR_BLOCKS = 8,
    DESCRIPTOR = 16,
};

struct unmap_range unmap_list_range(const uint8_t *list, unsigned i)
{
    const uint8_t *descriptor = list + LIST_HEADER + (size_t)i * DESCRIPTOR;

    return (struct unmap_range){
        .lba = get_be64(descriptor + DESCRIPTOR_LBA),
        .blocks = get_be32(descriptor + DESCRIPTOR_BLOCKS),
    };
}

unsigned unmap_list_count(const uint8_t *list, size_t length)
{
    size_t bytes;

    if (length < LIST_HEADER)
        return 0;
    bytes = get_be16(list + LIST_DESCRIPTOR_LENGTH);
    if (bytes > length - LIST_HEADER)
        bytes = length - LIST_HEADER;
    return (unsigned)(bytes / DESCRIPTOR);
}

enum scsi_reason unmap_list_check(const uint8_t *list, size_t length,
                                  const struct unmap_limits *limits, uint16_t *field)
{
    unsigned count = unmap_list_count(list, length);
    uint64_t blocks = 0;

    if (length && length < LIST_HEADER)
        return REASON_PARAMETER_LIST_LENGTH;
    if (count > limits->descriptors) {
        *field = LIST_DESCRIPTOR_LENGTH;
        return REASON_INVALID_FIELD_IN_PARAMETERS;
    }
    for (unsigned i = 0; i < count; i++) {
        struct unmap_range range = unmap_list_range(list, i);

        if (range.lba > limits->capacity || range.blocks > limits->capacity - range.lba)
            return REASON_LBA_OUT_OF_RANGE;
        blocks += range.blocks;
        if (blocks > limits->blocks) {
            *field = (uint16_t)(LIST_HEADER + i * DESCRIPTOR + DESCRIPTOR_BLOCKS);
            return REASON_INVALID_FIELD_IN_PARAMETERS;
        }
    }
    return REASON_GOOD;
}
