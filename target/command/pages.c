#include "target/command/pages.h"

#include <stddef.h>

enum {
    PAGE_ALL = 0x3f,
    SUBPAGE_ALL = 0xff,
    PAGE_SPF = 0x40, /* subpage format bit of byte 0 */
    PAGE_MAX = 0x14,

    SENSE_WP = 0x80,
    SENSE_DPOFUA = 0x10,
    LONGLBA = 0x01,
    SHORT_DESCRIPTOR = 8,
    LONG_DESCRIPTOR = 16,
};

/* Constant bytes of a page as MODE SENSE gives them; bytes[1] is the page length. */
struct page_row {
    uint8_t code, subpage;
    uint8_t length; /* of all, header included */
    uint8_t bytes[PAGE_MAX];
};

static const struct page_row rows[] = {
    /* Read-Write Error Recovery (SBC-3 6.5.10): AWRE, ARRE */
    {0x01, 0x00, 0x0c, {0x01, 0x0a, 0xc0}},
    /* Caching (SBC-3 6.5.6) */
    {0x08, 0x00, 0x14, {0x08, 0x12}},
    /* Control (SPC-4 7.5.8): TST 001b (one task set for each nexus), unrestricted reordering of
     * SIMPLE, QERR 00b, UA_INTLCK_CTRL 00b, busy timeout unlimited */
    {0x0a, 0x00, 0x0c, {0x0a, 0x0a, 0x20, 0x10, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff}},
    /* Informational Exceptions Control (SPC-4 7.5.11): DEXCPT, nothing is reported */
    {0x1c, 0x00, 0x0c, {0x1c, 0x0a, 0x08}},
};

/* A changeable parameter: where its bit stands and where the shared state keeps it. */
struct parameter_row {
    uint8_t code, byte, mask;
    uint8_t offset; /* in struct shared_mode, a byte of 0 or 1 */
};

static const struct parameter_row parameters[] = {
    {0x08, 2, 0x04, offsetof(struct shared_mode, wce)},
    {0x0a, 2, 0x04, offsetof(struct shared_mode, d_sense)},
    {0x0a, 4, 0x08, offsetof(struct shared_mode, swp)},
    {0x0a, 5, 0x40, offsetof(struct shared_mode, tas)},
};

enum {
    ROWS = sizeof rows / sizeof rows[0],
    PARAMETERS = sizeof parameters / sizeof parameters[0],
};

static void make_page(uint8_t bytes[PAGE_MAX], const struct page_row *row,
                      enum page_control control, const struct shared_mode *mode)
{
    const struct shared_mode defaults = SHARED_MODE_DEFAULTS;

    if (control == PAGES_DEFAULT)
        mode = &defaults;
    memset(bytes, 0, PAGE_MAX);
    memcpy(bytes, row->bytes, control == PAGES_CHANGEABLE ? 2 : row->length);
    for (unsigned i = 0; i < PARAMETERS; i++) {
        const struct parameter_row *parameter = &parameters[i];
        if (parameter->code == row->code &&
            (control == PAGES_CHANGEABLE || ((const uint8_t *)mode)[parameter->offset]))
            bytes[parameter->byte] |= parameter->mask;
    }
}

bool pages_write(struct writer *w, uint8_t code, uint8_t subpage, enum page_control control,
                 const struct shared_mode *mode)
{
    uint8_t bytes[PAGE_MAX];
    bool found = false;

    for (unsigned i = 0; i < ROWS; i++) {
        if ((code != PAGE_ALL && rows[i].code != code) ||
            (subpage != SUBPAGE_ALL && rows[i].subpage != subpage))
            continue;
        make_page(bytes, &rows[i], control, mode);
        write_bytes(w, bytes, rows[i].length);
        found = true;
    }
    return found;
}

static void write_descriptor(struct writer *w, bool llba, const struct pages_medium *medium)
{
    if (llba) { /* SBC-3 6.5.2.3 */
        write_be64(w, medium->blocks);
        write_be32(w, 0);
        write_be32(w, medium->block_size);
    } else { /* SBC-3 6.5.2.2 */
        write_be32(w, medium->blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)medium->blocks);
        write_be32(w, medium->block_size);
    }
}

bool pages_sense(struct writer *w, bool ten, bool descriptor, bool llba, uint8_t code,
                 uint8_t subpage, enum page_control control, const struct shared_mode *mode,
                 const struct pages_medium *medium)
{
    uint8_t descriptor_length = !descriptor ? 0 : llba ? LONG_DESCRIPTOR : SHORT_DESCRIPTOR;
    uint8_t specific = SENSE_DPOFUA;

    if (medium->write_protected || mode->swp)
        specific |= SENSE_WP;
    if (ten) {
        write_be16(w, 0);
        write_u8(w, 0); /* medium type */
        write_u8(w, specific);
        write_u8(w, descriptor && llba ? LONGLBA : 0);
        write_u8(w, 0);
        write_be16(w, descriptor_length);
    } else {
        write_u8(w, 0);
        write_u8(w, 0); /* medium type */
        write_u8(w, specific);
        write_u8(w, descriptor_length);
    }
    if (descriptor)
        write_descriptor(w, llba, medium);
    if (!pages_write(w, code, subpage, control, mode))
        return false;
    if (w->used > w->size)
        return false;
    if (ten)
        put_be16(w->data, (uint16_t)(w->used - 2));
    else
        w->data[0] = (uint8_t)(w->used - 1);
    return true;
}

struct selection {
    const uint8_t *data;
    uint32_t length;
    uint32_t at;
    uint16_t *field;
    int *bit;
};

static enum scsi_reason wrong(struct selection *s, uint32_t byte, int bit)
{
    *s->field = (uint16_t)byte;
    *s->bit = bit;
    return REASON_INVALID_FIELD_IN_PARAMETERS;
}

/* Capacity and block size cannot be changed: a descriptor may only say what is, or 0 or all ones as
 * the number of blocks. */
static enum scsi_reason select_descriptor(struct selection *s, uint32_t size, bool longlba,
                                          const struct pages_medium *medium)
{
    const uint8_t *p = s->data + s->at;
    uint64_t blocks, all;
    uint32_t block_size, size_at;

    if (!size)
        return REASON_GOOD;
    if (size != (longlba ? LONG_DESCRIPTOR : SHORT_DESCRIPTOR))
        return REASON_PARAMETER_LIST_LENGTH;
    if (longlba) {
        blocks = get_be64(p);
        all = UINT64_MAX;
        size_at = 12;
        block_size = get_be32(p + size_at);
    } else {
        blocks = get_be32(p);
        all = UINT32_MAX;
        size_at = 5;
        block_size = get_be24(p + size_at);
    }
    if (blocks && blocks != all && blocks != medium->blocks)
        return wrong(s, s->at, -1);
    if (block_size != medium->block_size)
        return wrong(s, s->at + size_at, -1);
    s->at += size;
    return REASON_GOOD;
}

static enum scsi_reason select_page(struct selection *s, struct shared_mode *mode,
                                    struct shared_mode *selected)
{
    const uint8_t *p = s->data + s->at;
    uint8_t current[PAGE_MAX], changeable[PAGE_MAX];
    const struct page_row *row = NULL;
    uint32_t left = s->length - s->at;
    bool subpage_format = p[0] & PAGE_SPF;

    if (left < (subpage_format ? 4u : 2u))
        return REASON_PARAMETER_LIST_LENGTH;
    for (unsigned i = 0; i < ROWS; i++) {
        if (rows[i].code == (p[0] & 0x3f) && rows[i].subpage == (subpage_format ? p[1] : 0) &&
            subpage_format == !!(rows[i].bytes[0] & PAGE_SPF))
            row = &rows[i];
    }
    if (!row)
        return wrong(s, s->at, 5);
    if (p[1] != row->bytes[1])
        return wrong(s, s->at + 1, -1);
    if (left < row->length)
        return REASON_PARAMETER_LIST_LENGTH;
    make_page(current, row, PAGES_CURRENT, mode);
    make_page(changeable, row, PAGES_CHANGEABLE, mode);
    for (unsigned i = 2; i < row->length; i++) {
        unsigned stray = (p[i] ^ current[i]) & ~changeable[i] & 0xff;
        if (stray)
            return wrong(s, s->at + i, 31 - __builtin_clz(stray));
    }
    for (unsigned i = 0; i < PARAMETERS; i++) {
        if (parameters[i].code == row->code) {
            ((uint8_t *)mode)[parameters[i].offset] =
                !!(p[parameters[i].byte] & parameters[i].mask);
            ((uint8_t *)selected)[parameters[i].offset] = 1;
        }
    }
    s->at += row->length;
    return REASON_GOOD;
}

enum scsi_reason pages_select(const uint8_t *data, uint32_t length, bool ten,
                              const struct pages_medium *medium, struct shared_mode *mode,
                              struct shared_mode *selected, uint16_t *field, int *bit)
{
    struct selection s = {data, length, ten ? 8 : 4, field, bit};
    struct shared_mode chosen = *mode, which = {0};
    enum scsi_reason reason;
    uint32_t descriptor;
    bool longlba;

    if (!length) {
        *selected = which;
        return REASON_GOOD;
    }
    if (length < s.at)
        return REASON_PARAMETER_LIST_LENGTH;
    if (data[ten ? 2 : 1]) /* medium type */
        return wrong(&s, ten ? 2 : 1, -1);
    descriptor = ten ? get_be16(data + 6) : data[3];
    longlba = ten && data[4] & LONGLBA;
    if (descriptor > length - s.at)
        return REASON_PARAMETER_LIST_LENGTH;
    reason = select_descriptor(&s, descriptor, longlba, medium);
    while (reason == REASON_GOOD && s.at < length)
        reason = select_page(&s, &chosen, &which);
    if (reason == REASON_GOOD) {
        *mode = chosen;
        *selected = which;
    }
    return reason;
}
