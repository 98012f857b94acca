/* REPORT LUNS (SPC-4 6.33): the LUN map of the nexus, at whatever LUN it is asked. */
#include "target/base/bytes.h"
#include "target/command/spc.h"
#include "target/command/unit_attention.h"
#include "target/nexus/lun_map.h"
#include "target/nexus/nexus.h"

enum {
    SELECT_ORDINARY = 0x00,
    SELECT_WELL_KNOWN = 0x01,
    SELECT_ALL = 0x02,
    REPORT_HEADER = 8,
};

static uint32_t put_lun(struct task *task, uint32_t offset, uint64_t lun, uint32_t room)
{
    uint8_t bytes[8];

    put_be64(bytes, lun);
    if (offset < room)
        payload_write(&task->data_in, offset, bytes,
                      room - offset < sizeof bytes ? room - offset : sizeof bytes);
    return offset + sizeof bytes;
}

enum scsi_reason spc_report_luns(struct task *task)
{
    const struct lun_map *map = task->nexus->lun_map;
    uint8_t select = task->cdb[2];
    uint32_t allocation = get_be32(task->cdb + 6);
    bool ordinary = select != SELECT_WELL_KNOWN, well_known = select != SELECT_ORDINARY;
    uint32_t count, length, room, offset = REPORT_HEADER;
    uint8_t header[REPORT_HEADER] = {0};
    enum scsi_reason reason;

    if (select > SELECT_ALL)
        return field_in_cdb(task, 2, -1);
    count = (ordinary && map ? map->count : 0) + (well_known ? 1 : 0);
    length = REPORT_HEADER + 8 * count;
    room = allocation < length ? allocation : length;
    reason = task_data_in(task, room);
    if (reason != REASON_GOOD)
        return reason;
    task->data_wanted = room;
    put_be32(header, 8 * count);
    if (room)
        payload_write(&task->data_in, 0, header, room < sizeof header ? room : sizeof header);
    for (unsigned i = 0; ordinary && map && i < map->count; i++)
        offset = put_lun(task, offset, lun_encode(map->entries[i].lun), room);
    if (well_known)
        put_lun(task, offset, LUN_WELL_KNOWN_REPORT_LUNS, room);
    /* What the condition announces has been reported now (SPC-4 6.33). */
    for (unsigned i = 0; map && i < map->count; i++)
        task->nexus->lus[map->entries[i].lu_index].unit_attentions &= ~(1u << UA_LUNS_CHANGED);
    return REASON_GOOD;
}
