/* A logical unit: what it is (the same on all nodes for ever) and what stands below it. Created and
 * changed by the control thread; read by every reactor. */
#ifndef HALUN_DEVICE_DEVICE_H
#define HALUN_DEVICE_DEVICE_H

#include <stdint.h>

#include "config/config.h"
#include "target/nexus/lane.h"
#include "target/store/store.h"

struct lu {
    unsigned index;            /* in the configuration's order (sorted by uuid), the same everywhere */
    unsigned group_index;
    struct config_lu config;   /* its own copy */
    uint32_t block_size;
    _Atomic uint64_t blocks;   /* capacity; changes only through a cluster commit */
    uint8_t naa[16];           /* NAA 6h designator made from the uuid (device_identify) */
    char serial[37];           /* unit serial number: the uuid as text */
    struct store *store;       /* executes media commands where this node owns the group */
    struct lane lanes[LIMIT_REACTORS]; /* by reactor index */
};

/* Fills naa and serial from config.uuid. NAA IEEE Registered Extended (SPC-4 7.8.6.6.5): locally
 * assigned OUI-less identifiers do not exist, so the vendor-specific part carries uuid bytes under the
 * company id 0x00504b reserved for nobody; see docs/ARCHITECTURE.md "Identity". Pure. */
void device_identify(struct lu *lu);

/* The units of this daemon, by index; NULL where none is (yet). Replaced only by the control thread
 * while no lane points at the old one. */
extern struct lu *device_lus[LIMIT_LUS];
extern unsigned device_lu_count;

#endif
