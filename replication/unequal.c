#include "replication/unequal.h"

#include "replication/resource.h"

enum {
    RANGES = 4096,                                        /* told one by one; from the last one on it is all */
    RANGE_SECTORS = MESSAGE_MAX_TRIM / MD_SECTOR,         /* that one packet tells of */
    RANGE_BITS = RANGE_SECTORS / (MD_BLOCK / MD_SECTOR),
};

static void tell(struct volume *v, uint64_t sector, uint64_t sectors)
{
    while (sectors) {
        uint64_t part = sectors < RANGE_SECTORS ? sectors : RANGE_SECTORS;
        struct packet_block_range p = {.sector = sector, .size = (uint32_t)(part * MD_SECTOR)};
        uint8_t body[16];

        link_send(v->resource, &v->resource->link.data, v->number, P_OUT_OF_SYNC, body,
                  packet_block_range_encode(&p, body));
        sector += part;
        sectors -= part;
    }
}

static void tell_marked(struct volume *v)
{
    uint64_t bit = dirty_map_find(v->map, 0);

    for (unsigned ranges = 1; bit != DIRTY_MAP_END; ranges++) {
        uint64_t bits = dirty_map_run(v->map, bit, RANGE_BITS), sector = bit * MD_BLOCK_SECTORS;
        uint64_t sectors = ranges < RANGES ? bits * MD_BLOCK_SECTORS : v->sectors - sector;

        if (sectors > v->sectors - sector) /* the last block may be partial */
            sectors = v->sectors - sector;
        tell(v, sector, sectors);
        if (ranges == RANGES)
            return;
        bit = dirty_map_find(v->map, bit + bits);
    }
}

void unequal_compared(struct volume *v)
{
    v->unequal = v->map->set;
    if (v->resource->recorded)
        tell_marked(v);
}

void unequal_grown(struct volume *v)
{
    const struct resource *r = v->resource;

    if (!r->primary && r->link.phase == LINK_UP && v->state.conn == CONN_CONNECTED)
        unequal_compared(v);
}

static void send_as_writes(struct volume *v)
{
    if (v->resync.catching_up)
        v->resync.behind = v->resync.catchup_again = true;
    else
        write_replicating(v);
}

void unequal_told(struct volume *v, uint64_t sector, uint64_t sectors)
{
    const struct resource *r = v->resource;

    dirty_map_set(v->map, sector, sectors);
    if (!r->recorded || v->state.conn != CONN_CONNECTED)
        return;
    v->unequal = true;
    if (r->serving && r->link.phase == LINK_UP)
        send_as_writes(v);
}

void unequal_promoted(struct resource *r)
{
    for (unsigned i = 0; i < r->volume_count; i++) {
        struct volume *v = r->volumes[i];

        if (v->unequal && v->map->set && v->state.conn == CONN_CONNECTED && r->link.phase == LINK_UP)
            send_as_writes(v);
    }
}
