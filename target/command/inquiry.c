/* INQUIRY (SPC-4 6.6): standard data; the pages are in vpd.c. */
#include <string.h>

#include "target/base/bytes.h"
#include "target/command/spc.h"
#include "target/device/device.h"

enum {
    INQUIRY_EVPD = 0x01,

    STANDARD_LENGTH = 96,
    DEVICE_DISK = 0x00,
    DEVICE_WELL_KNOWN = 0x1e,
    NO_DEVICE = 0x7f, /* peripheral qualifier 011b, type 1Fh */
};

/* SPC-4 table 141 */
static const uint16_t version_descriptors[] = {
    0x00a0, /* SAM-5 */
    0x0960, /* iSCSI */
    0x0460, /* SPC-4 */
    0x04c0, /* SBC-3 */
};

/* Text in a fixed field, left-aligned, padded with spaces. */
static void put_text(uint8_t *to, size_t size, const char *text)
{
    size_t length = strnlen(text, size);

    memset(to, ' ', size);
    memcpy(to, text, length);
}

static enum scsi_reason standard(struct task *task)
{
    uint8_t data[STANDARD_LENGTH] = {0};
    const struct lu *lu = task->lu;

    data[0] = lu ? DEVICE_DISK : task_well_known(task) ? DEVICE_WELL_KNOWN : NO_DEVICE;
    data[2] = 0x06;                /* SPC-4 */
    data[3] = 0x10 | 0x02;         /* HISUP, response data format */
    data[4] = STANDARD_LENGTH - 5; /* additional length */
    data[5] = lu ? 0x10 : 0;       /* TPGS = 01b: implicit; must agree with VPD 83h and RTPG */
    data[6] = 0x10;                /* MULTIP */
    data[7] = 0x02;                /* CMDQUE */
    put_text(data + 8, 8, lu ? lu->config.vendor : "HALUN");
    put_text(data + 16, 16, lu ? lu->config.product : "VDISK");
    put_text(data + 32, 4, lu ? lu->config.revision : HALUN_VERSION);
    for (unsigned i = 0; i < sizeof version_descriptors / sizeof version_descriptors[0]; i++)
        put_be16(data + 58 + 2 * i, version_descriptors[i]);
    return task_answer(task, data, sizeof data, get_be16(task->cdb + 3));
}

enum scsi_reason spc_inquiry(struct task *task)
{
    uint8_t page[1024];
    struct writer w = {.data = page, .size = sizeof page};

    if (!(task->cdb[1] & INQUIRY_EVPD))
        return task->cdb[2] ? field_in_cdb(task, 2, -1) : standard(task);
    if (!task->lu && !task_well_known(task))
        return field_in_cdb(task, 1, 0);
    if (!vpd_page(task, task->cdb[2], &w))
        return field_in_cdb(task, 2, -1);
    return task_answer(task, page, (uint32_t)w.used, get_be16(task->cdb + 3));
}
