/* Offsets of an activity log block (8.4 format, 4 KiB, big-endian). Only for the two files that
 * write and read it, and for tests. */
#ifndef HALUN_REPLICATION_ACTIVITY_LOG_FORMAT_H
#define HALUN_REPLICATION_ACTIVITY_LOG_FORMAT_H

#include <stdint.h>

#define AL_MAGIC UINT32_C(0x69CB65A2)

enum {
    AL_MAGIC_AT = 0,
    AL_NUMBER_AT = 4,
    AL_CHECKSUM_AT = 8,
    AL_TYPE_AT = 12,
    AL_UPDATES_AT = 14,
    AL_CONTEXT_SIZE_AT = 16,
    AL_CONTEXT_START_AT = 18,
    AL_SLOTS_AT = 36,
    AL_EXTENTS_AT = 164,
    AL_CONTEXT_AT = 420,

    AL_TYPE_UPDATE = 0,
    AL_TYPE_INITIAL = 0xFFFF,
};

#endif
