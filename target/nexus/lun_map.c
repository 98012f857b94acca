#include "target/nexus/lun_map.h"

#include <stdlib.h>

#include "config/config.h"

struct lun_map *lun_map_new(const struct config_host *host)
{
    struct lun_map *map = malloc(sizeof *map + host->lun_count * sizeof map->entries[0]);

    if (!map)
        return NULL;
    map->count = host->lun_count;
    for (unsigned i = 0; i < host->lun_count; i++) {
        map->entries[i].lun = (uint16_t)host->luns[i].lun;
        map->entries[i].lu_index = (uint16_t)host->luns[i].lu_index;
        map->entries[i].read_only = host->luns[i].read_only;
    }
    return map;
}

void lun_map_free(struct lun_map *map)
{
    free(map);
}

bool lun_map_equal(const struct lun_map *a, const struct lun_map *b)
{
    if (a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++) {
        if (a->entries[i].lun != b->entries[i].lun ||
            a->entries[i].lu_index != b->entries[i].lu_index ||
            a->entries[i].read_only != b->entries[i].read_only)
            return false;
    }
    return true;
}

enum lun_kind lun_decode(uint64_t lun, uint32_t *number)
{
    uint8_t first = (uint8_t)(lun >> 56);
    uint8_t second = (uint8_t)(lun >> 48);

    if (lun == LUN_WELL_KNOWN_REPORT_LUNS)
        return LUN_REPORT_LUNS;
    if (first == 0xd2) { /* extended flat space addressing, 3 bytes (SAM-5 4.7.7.5) */
        *number = (uint32_t)(lun >> 32) & 0xffffff;
        return lun & 0xffffffff ? LUN_UNKNOWN : LUN_UNIT;
    }
    if (lun & 0xffffffffffff) /* a second level */
        return LUN_UNKNOWN;
    switch (first >> 6) {
    case 0: /* peripheral device addressing: bus, LUN */
        *number = second;
        return first & 0x3f ? LUN_UNKNOWN : LUN_UNIT;
    case 1: /* flat space addressing */
        *number = (uint32_t)(first & 0x3f) << 8 | second;
        return LUN_UNIT;
    case 2: /* logical unit addressing: target, bus, LUN */
        *number = second & 0x1f;
        return (first & 0x3f) || (second & 0xe0) ? LUN_UNKNOWN : LUN_UNIT;
    default:
        return LUN_UNKNOWN;
    }
}

uint64_t lun_encode(uint32_t number)
{
    return number < 256 ? (uint64_t)number << 48 : (uint64_t)(0x4000 | number) << 48;
}

const struct lun_entry *lun_map_find(const struct lun_map *map, uint64_t lun)
{
    uint32_t number;
    unsigned low = 0, high;

    if (!map || lun_decode(lun, &number) != LUN_UNIT)
        return NULL;
    /* Most maps are dense from 0. */
    if (number < map->count && map->entries[number].lun == number)
        return &map->entries[number];
    high = map->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (map->entries[middle].lun < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < map->count && map->entries[low].lun == number ? &map->entries[low] : NULL;
}
