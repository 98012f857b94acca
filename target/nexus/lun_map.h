/* LUN maps: which logical units one initiator sees, and the 8 LUN bytes of SAM-5 4.7. A map is
 * immutable; a reload makes a new one. Lookups are pure. */
#ifndef HALUN_NEXUS_LUN_MAP_H
#define HALUN_NEXUS_LUN_MAP_H

#include <stdbool.h>
#include <stdint.h>

struct config_host;

struct lun_entry {
    uint16_t lun;
    uint16_t lu_index;
    bool read_only;
};

struct lun_map {
    unsigned count;
    struct lun_entry entries[]; /* sorted by lun */
};

enum lun_kind {
    LUN_UNIT,        /* an ordinary logical unit number */
    LUN_REPORT_LUNS, /* the REPORT LUNS well known logical unit (C101h) */
    LUN_UNKNOWN,     /* an addressing method, bus or level that is not used here */
};

#define LUN_WELL_KNOWN_REPORT_LUNS 0xc101000000000000u

/* Makes the map of a host block; lu_index is taken from the configuration. NULL when memory is
 * short. */
struct lun_map *lun_map_new(const struct config_host *host);
/* Accepts NULL. */
void lun_map_free(struct lun_map *map);
bool lun_map_equal(const struct lun_map *a, const struct lun_map *b);

/* Takes the 8 LUN bytes (as a big-endian number) apart: peripheral device addressing of bus 0, flat
 * space, logical unit addressing of bus 0 target 0, extended flat space with 3 bytes, and C101h.
 * Everything after the first level must be zero. Sets *number for LUN_UNIT. */
enum lun_kind lun_decode(uint64_t lun, uint32_t *number);
/* The LUN bytes that REPORT LUNS gives for `number` (0..16383): peripheral device addressing below
 * 256, flat space above. */
uint64_t lun_encode(uint32_t number);

/* The entry for the 8 LUN bytes, or NULL: not mapped. Accepts map NULL. */
const struct lun_entry *lun_map_find(const struct lun_map *map, uint64_t lun);

#endif
