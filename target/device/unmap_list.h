/* The UNMAP parameter list (SBC-3 5.28.2). Pure: `list` is what arrived, anything may be in it. */
#ifndef HALUN_DEVICE_UNMAP_LIST_H
#define HALUN_DEVICE_UNMAP_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "target/command/reason.h"

struct unmap_limits {
    uint64_t capacity;    /* blocks of the unit */
    uint64_t blocks;      /* at most so many in one command, all descriptors together */
    unsigned descriptors; /* at most so many */
};

struct unmap_range {
    uint64_t lba;
    uint32_t blocks;
};

/* Whole descriptors in a list of `length` bytes. Those that are cut off, by the list's own length
 * field or by its end, are ignored and not an error (SBC-3 5.28.2). */
unsigned unmap_list_count(const uint8_t *list, size_t length);
/* Checks a whole list. GOOD: its descriptors lie inside the capacity and the limits. Otherwise
 * PARAMETER_LIST_LENGTH, LBA_OUT_OF_RANGE, or INVALID_FIELD_IN_PARAMETERS with *field the byte that
 * is wrong. An empty list (length 0, `list` may be NULL) is GOOD. */
enum scsi_reason unmap_list_check(const uint8_t *list, size_t length,
                                  const struct unmap_limits *limits, uint16_t *field);
/* Descriptor `i`, below unmap_list_count(). */
struct unmap_range unmap_list_range(const uint8_t *list, unsigned i);

#endif
