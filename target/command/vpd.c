/* Vital product data: one row per page (SPC-4 7.8, SBC-3 6.6). What a page says of an LU is the
 * same on every node, so it is made from its configuration, never from the store below it. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "target/base/bytes.h"
#include "target/command/spc.h"
#include "target/device/device.h"
#include "target/nexus/lane.h"
#include "target/nexus/nexus.h"

enum {
    PAGE_HEADER = 4,
    PROTOCOL_ISCSI = 0x5,

    /* Designators, SPC-4 7.8.6 */
    CODE_BINARY = 1,
    CODE_ASCII = 2,
    CODE_UTF8 = 3,
    ASSOCIATION_LU = 0,
    ASSOCIATION_PORT = 1,
    ASSOCIATION_DEVICE = 2,
    TYPE_T10_VENDOR = 1,
    TYPE_NAA = 3,
    TYPE_RELATIVE_PORT = 4,
    TYPE_PORT_GROUP = 5,
    TYPE_SCSI_NAME = 8,

    OPTIMAL_TRANSFER = 1 << 20, /* bytes */
    HOLE = 4096,                /* smallest piece that stores give back, bytes */
};

struct vpd_row {
    uint8_t page;
    bool well_known;                      /* of the REPORT LUNS well known logical unit as well */
    bool (*offered)(const struct lu *lu); /* NULL: always */
    void (*fill)(const struct task *task, struct writer *w); /* after the header */
};

static void write_zeros(struct writer *w, unsigned n)
{
    while (n--)
        write_u8(w, 0);
}

/* Pages of fixed form are filled at the offsets of their tables, which count the header. */
static void write_body(struct writer *w, const uint8_t *page, size_t size)
{
    write_bytes(w, page + PAGE_HEADER, size - PAGE_HEADER);
}

static void supported_pages(const struct task *task, struct writer *w);

static void unit_serial(const struct task *task, struct writer *w)
{
    write_bytes(w, task->lu->serial, strlen(task->lu->serial));
}

static void designator(struct writer *w, unsigned code_set, unsigned association, unsigned type,
                       const void *data, size_t length, size_t padded)
{
    bool of_port = association != ASSOCIATION_LU;

    write_u8(w, (uint8_t)((of_port ? PROTOCOL_ISCSI << 4 : 0) | code_set));
    write_u8(w, (uint8_t)((of_port ? 0x80 : 0) | association << 4 | type));
    write_u8(w, 0);
    write_u8(w, (uint8_t)padded);
    write_bytes(w, data, length);
    write_zeros(w, (unsigned)(padded - length));
}

/* A SCSI name string ends with a NUL and is padded with more to a multiple of 4 (SPC-4 7.8.6.11).
 */
static void scsi_name(struct writer *w, unsigned association, const char *name)
{
    size_t length = strlen(name);

    designator(w, CODE_UTF8, association, TYPE_SCSI_NAME, name, length, (length + 4) & ~(size_t)3);
}

static void relative_number(struct writer *w, unsigned type, uint16_t number)
{
    uint8_t bytes[4] = {0};

    put_be16(bytes + 2, number);
    designator(w, CODE_BINARY, ASSOCIATION_PORT, type, bytes, sizeof bytes, sizeof bytes);
}

static void identification(const struct task *task, struct writer *w)
{
    const struct lu *lu = task->lu;
    const struct nexus *nexus = task->nexus;
    char text[LIMIT_ISCSI_NAME + 16];

    if (lu) {
        designator(w, CODE_BINARY, ASSOCIATION_LU, TYPE_NAA, lu->naa, sizeof lu->naa,
                   sizeof lu->naa);
        snprintf(text, sizeof text, "%-8.8s%s", lu->config.vendor, lu->serial);
        designator(w, CODE_ASCII, ASSOCIATION_LU, TYPE_T10_VENDOR, text, strlen(text),
                   strlen(text));
        strcpy(text, "naa.");
        for (unsigned i = 0; i < sizeof lu->naa; i++)
            sprintf(text + 4 + 2 * i, "%02X", lu->naa[i]);
        scsi_name(w, ASSOCIATION_LU, text);
    }
    relative_number(w, TYPE_RELATIVE_PORT, nexus->identity.rtpi);
    if (lu)
        relative_number(w, TYPE_PORT_GROUP, nexus->tpgt);
    if (nexus->target_name[0]) {
        snprintf(text, sizeof text, "%.*s,t,0x%04x", LIMIT_ISCSI_NAME, nexus->target_name,
                 nexus->tpgt);
        scsi_name(w, ASSOCIATION_PORT, text);
        scsi_name(w, ASSOCIATION_DEVICE, nexus->target_name);
    }
}

static void extended_inquiry(const struct task *task, struct writer *w)
{
    uint8_t page[PAGE_HEADER + 0x3c] = {0};

    page[5] = 0x07; /* HEADSUP, ORDSUP, SIMPSUP */
    page[6] = 0x01; /* V_SUP: a volatile cache can be switched on */
    page[13] = LIMIT_SENSE;
    write_body(w, page, sizeof page);
}

/* All mode pages are shared by all nexuses (SPC-4 7.8.9). */
static void mode_page_policy(const struct task *task, struct writer *w)
{
    static const uint8_t all_shared[] = {0x3f, 0xff, 0x00, 0x00};

    write_bytes(w, all_shared, sizeof all_shared);
}

static void block_limits(const struct task *task, struct writer *w)
{
    const struct lu *lu = task->lu;
    uint32_t block = lu->block_size;
    uint32_t physical = lu->config.physical_block;
    uint8_t page[PAGE_HEADER + 0x3c] = {0};

    page[4] = 0x01; /* WSNZ */
    page[5] = LIMIT_CAW_BLOCKS;
    put_be16(page + 6, physical > block ? (uint16_t)(physical / block) : 1);
    put_be32(page + 8, LIMIT_TRANSFER / block);
    put_be32(page + 12, OPTIMAL_TRANSFER / block);
    if (lu->config.thin) {
        put_be32(page + 20, LIMIT_UNMAP / block);
        put_be32(page + 24, LIMIT_UNMAP_DESCRIPTORS);
        /* A divisor of 1 MiB, which VMFS6 demands. */
        put_be32(page + 28, (physical > HOLE && physical <= 1 << 20 ? physical : HOLE) / block);
        put_be32(page + 32, 0x80000000); /* UGAVALID, alignment 0 */
    }
    put_be64(page + 36, LIMIT_WRITE_SAME / block);
    write_body(w, page, sizeof page);
}

static void block_characteristics(const struct task *task, struct writer *w)
{
    uint8_t page[PAGE_HEADER + 0x3c] = {0};

    put_be16(page + 4, task->lu->config.rotational ? 7200 : 1); /* 1: non-rotating medium */
    write_body(w, page, sizeof page);
}

static bool is_thin(const struct lu *lu)
{
    return lu->config.thin;
}

static void logical_block_provisioning(const struct task *task, struct writer *w)
{
    /* LBPU, LBPWS, LBPWS10, LBPRZ; provisioning type 2: thin */
    static const uint8_t data[] = {0x00, 0x80 | 0x40 | 0x20 | 0x04, 0x02, 0x00};

    write_bytes(w, data, sizeof data);
}

static const struct vpd_row rows[] = {
    {.page = 0x00, .well_known = true, .fill = supported_pages},
    {.page = 0x80, .fill = unit_serial},
    {.page = 0x83, .well_known = true, .fill = identification},
    {.page = 0x86, .fill = extended_inquiry},
    {.page = 0x87, .fill = mode_page_policy},
    {.page = 0xb0, .fill = block_limits},
    {.page = 0xb1, .fill = block_characteristics},
    {.page = 0xb2, .offered = is_thin, .fill = logical_block_provisioning},
};

enum { ROWS = sizeof rows / sizeof rows[0] };

static bool has_row(const struct task *task, const struct vpd_row *row)
{
    if (!task->lu)
        return row->well_known;
    return !row->offered || row->offered(task->lu);
}

static void supported_pages(const struct task *task, struct writer *w)
{
    for (unsigned i = 0; i < ROWS; i++) {
        if (has_row(task, &rows[i]))
            write_u8(w, rows[i].page);
    }
}

bool vpd_page(const struct task *task, uint8_t page, struct writer *w)
{
    for (unsigned i = 0; i < ROWS; i++) {
        if (rows[i].page != page || !has_row(task, &rows[i]))
            continue;
        write_u8(w, task->lu ? 0x00 : 0x1e);
        write_u8(w, page);
        write_be16(w, 0);
        rows[i].fill(task, w);
        assert(w->used <= w->size);
        put_be16(w->data + 2, (uint16_t)(w->used - PAGE_HEADER));
        return true;
    }
    return false;
}
