/* READ CAPACITY (SBC-3 5.15, 5.16), answered from memory in every access state, and GET LBA STATUS
 * (5.6). */
#include "target/base/bytes.h"
#include "target/device/device.h"
#include "target/device/disk.h"

enum {
    CAPACITY_10 = 8,
    CAPACITY_16 = 32,
    CAPACITY_16_EXPONENT = 13, /* LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT */
    CAPACITY_16_PROVISIONING = 14,
    LBPME = 0x80,
    LBPRZ = 0x40,
    CAPACITY_16_ALLOCATION = 10, /* CDB, 4 bytes */
};

/* The only answer whose CDB has no length. */
enum scsi_reason disk_decode_capacity_10(struct task *task, uint64_t *length)
{
    *length = CAPACITY_10;
    return REASON_GOOD;
}

enum scsi_reason disk_read_capacity_10(struct task *task)
{
    uint64_t last = task->lu->blocks - 1;
    uint8_t data[CAPACITY_10];

    /* FFFFFFFFh: too many, ask READ CAPACITY(16). */
    put_be32(data, last < 0xffffffff ? (uint32_t)last : 0xffffffff);
    put_be32(data + 4, task->lu->block_size);
    return task_answer(task, data, sizeof data, sizeof data);
}

static uint8_t physical_exponent(const struct lu *lu)
{
    uint8_t exponent = 0;

    while (exponent < 15 && (uint64_t)lu->block_size << (exponent + 1) <= lu->config.physical_block)
        exponent++;
    return exponent;
}

enum scsi_reason disk_read_capacity_16(struct task *task)
{
    uint8_t data[CAPACITY_16] = {0};

    put_be64(data, task->lu->blocks - 1);
    put_be32(data + 8, task->lu->block_size);
    data[CAPACITY_16_EXPONENT] = physical_exponent(task->lu);
    if (task->lu->config.thin)
        data[CAPACITY_16_PROVISIONING] = LBPME | LBPRZ;
    return task_answer(task, data, sizeof data, get_be32(task->cdb + CAPACITY_16_ALLOCATION));
}

/* One extent to the end of the unit, "mapped or unknown" (SBC-3 table 35): to ask a file where its holes are
 * would block the reactor. Initiators that look for holes go on and read. */
enum scsi_reason disk_get_lba_status(struct task *task)
{
    enum { HEADER = 8, DESCRIPTOR = 16 };
    uint64_t blocks = task->lu->blocks, left;
    uint8_t data[HEADER + DESCRIPTOR] = {0};

    if (task->lba >= blocks)
        return REASON_LBA_OUT_OF_RANGE;
    left = blocks - task->lba;
    put_be32(data, HEADER - 4 + DESCRIPTOR);
    put_be64(data + HEADER, task->lba);
    put_be32(data + HEADER + 8, left < 0xffffffff ? (uint32_t)left : 0xffffffff);
    return task_answer(task, data, sizeof data, get_be32(task->cdb + CAPACITY_16_ALLOCATION));
}
