/* A logical unit: what it is (the same on all nodes for ever) and what stands below it. Created and
 * changed by the control thread; read by every reactor. */
#ifndef HALUN_DEVICE_DEVICE_H
#define HALUN_DEVICE_DEVICE_H

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "target/nexus/lane.h"
#include "target/store/store.h"

struct meter;

struct lu {
    /* Of every command: one cache line, before the lanes. */
    unsigned index; /* in the configuration's order (sorted by uuid), the same everywhere */
    unsigned group_index;
    uint32_t block_size;
    /* Decisions about its reservations, mode parameters or capacity that this node has carried out and another member
     * may not have: while there are any, nothing that depends on them is told (lane_wait_settled()). Counted
     * by the control thread, up before lanes are switched. */
    _Atomic uint32_t unsettled;
    _Atomic uint64_t blocks;           /* capacity; changes only through a cluster commit */
    struct meter *meter;               /* NULL: not counted, not limited */
    struct store *store;               /* executes media commands where this node owns the group; replaced while it does not
                                        * (daemon/attach.h) */
    struct lane lanes[LIMIT_REACTORS]; /* by reactor index */
    struct config_lu config;           /* its own copy */
    uint8_t naa[16];                   /* NAA 6h designator made from the uuid (device_identify) */
    char serial[37];                   /* unit serial number: the uuid as text */
};

/* A unit of zeros, to be given back to free(). NULL: no memory. */
static inline struct lu *device_new(void)
{
    struct lu *lu = aligned_alloc(alignof(struct lu), sizeof *lu);

    return lu ? memset(lu, 0, sizeof *lu) : NULL;
}

/* Fills naa and serial from config.uuid, the same on every node for ever. The NAA designator is
 * IEEE Registered Extended (SPC-4 7.8.6.6.5): 6h, a 24-bit company id, 100 bits of the uuid's
 * SHA-256. The project has no company id of the IEEE, so it uses a locally administered one (bit 1
 * of its first byte is set), which the IEEE never gives to anybody. Pure. */
void device_identify(struct lu *lu);

/* The units of this daemon, by index; NULL where none is (yet). Replaced only by the control thread
 * while no lane points at the old one. */
extern struct lu *device_lus[LIMIT_LUS];
extern unsigned device_lu_count;

#endif
