#include "tests/history/blocks.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOT_YET UINT64_MAX

struct blocks_write {
    struct blocks_write *next;
    uint64_t value;
    uint64_t issued, acknowledged; /* NOT_YET: no answer */
    uint32_t era;                  /* in which it was acknowledged; that of its issue where a power cut was in between */
    bool fua, durable;
};

static void *checked(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

void blocks_init(struct blocks *blocks, uint32_t count)
{
    memset(blocks, 0, sizeof *blocks);
    blocks->count = count;
    blocks->writes = checked(calloc(count, sizeof *blocks->writes));
    for (uint32_t i = 0; i < count; i++) {
        struct blocks_write *zero = checked(calloc(1, sizeof *zero));
        zero->durable = true;
        blocks->writes[i] = zero;
    }
}

void blocks_free(struct blocks *blocks)
{
    for (uint32_t i = 0; i < blocks->count; i++)
        while (blocks->writes[i]) {
            struct blocks_write *write = blocks->writes[i];
            blocks->writes[i] = write->next;
            free(write);
        }
    free(blocks->writes);
    memset(blocks, 0, sizeof *blocks);
}

static struct blocks_write *find(const struct blocks *blocks, uint32_t block, uint64_t value)
{
    struct blocks_write *write;

    assert(block < blocks->count);
    for (write = blocks->writes[block]; write && write->value != value; write = write->next)
        ;
    return write;
}

/* Is `old` no content any more because of `write`? Only for certain: it had ended before the other
 * began. */
static bool replaced(const struct blocks *blocks, const struct blocks_write *old,
                     const struct blocks_write *write, bool for_ever)
{
    if (write->acknowledged == NOT_YET || old->acknowledged == NOT_YET ||
        old->acknowledged > write->issued || old == write)
        return false;
    return write->durable || (!for_ever && write->era == blocks->era);
}

static bool possible(const struct blocks *blocks, uint32_t block, const struct blocks_write *old,
                     bool for_ever)
{
    for (const struct blocks_write *w = blocks->writes[block]; w; w = w->next)
        if (replaced(blocks, old, w, for_ever))
            return false;
    return true;
}

/* Forgets what no power cut can bring back. */
static void prune(struct blocks *blocks, uint32_t block)
{
    for (struct blocks_write **at = &blocks->writes[block]; *at;) {
        struct blocks_write *write = *at;
        if (possible(blocks, block, write, true)) {
            at = &write->next;
            continue;
        }
        *at = write->next;
        free(write);
    }
}

void blocks_issue(struct blocks *blocks, uint32_t block, uint64_t value, bool fua)
{
    struct blocks_write *write = checked(calloc(1, sizeof *write));

    assert(value && !find(blocks, block, value));
    write->value = value;
    write->issued = ++blocks->clock;
    write->acknowledged = NOT_YET;
    write->era = blocks->era;
    write->fua = fua;
    write->next = blocks->writes[block];
    blocks->writes[block] = write;
}

void blocks_acknowledge(struct blocks *blocks, uint32_t block, uint64_t value)
{
    struct blocks_write *write = find(blocks, block, value);

    assert(write && write->acknowledged == NOT_YET);
    write->acknowledged = ++blocks->clock;
    write->era = write->issued < blocks->cut ? write->era : blocks->era; /* the answer was on its way at the power cut */
    write->durable = write->fua;
    prune(blocks, block);
}

void blocks_refused(struct blocks *blocks, uint32_t block, uint64_t value)
{
    for (struct blocks_write **at = &blocks->writes[block]; *at; at = &(*at)->next)
        if ((*at)->value == value) {
            struct blocks_write *write = *at;
            assert(write->acknowledged == NOT_YET);
            *at = write->next;
            free(write);
            return;
        }
    assert(!"a refused write was issued");
}

uint64_t blocks_mark(struct blocks *blocks)
{
    return ++blocks->clock;
}

void blocks_synchronized(struct blocks *blocks, uint64_t mark)
{
    for (uint32_t i = 0; i < blocks->count; i++) {
        for (struct blocks_write *w = blocks->writes[i]; w; w = w->next)
            if (w->acknowledged < mark && w->era == blocks->era)
                w->durable = true;
        prune(blocks, i);
    }
}

void blocks_power_cut(struct blocks *blocks)
{
    blocks->era++;
    blocks->cut = ++blocks->clock;
}

bool blocks_may_be_stable(const struct blocks *blocks, uint32_t block, uint64_t value)
{
    const struct blocks_write *write = find(blocks, block, value);

    return write && possible(blocks, block, write, true);
}

bool blocks_may_be_torn(const struct blocks *blocks, uint32_t block)
{
    for (const struct blocks_write *w = blocks->writes[block]; w; w = w->next)
        if (!w->durable && w->issued < blocks->cut && possible(blocks, block, w, false))
            return true;
    return false;
}

bool blocks_may_hold(const struct blocks *blocks, uint32_t block, uint64_t value)
{
    const struct blocks_write *write = find(blocks, block, value);

    return write && possible(blocks, block, write, false);
}

void blocks_settle(struct blocks *blocks, uint32_t block, uint64_t value)
{
    struct blocks_write *write = find(blocks, block, value);

    assert(write && possible(blocks, block, write, false));
    if (write->acknowledged == NOT_YET)
        write->acknowledged = ++blocks->clock;
    write->era = blocks->era;
    /* All others were before it. They may come back only if it was not durable. */
    for (struct blocks_write *w = blocks->writes[block]; w; w = w->next)
        if (w != write)
            w->acknowledged = 0;
    write->issued = ++blocks->clock;
    prune(blocks, block);
}

static void append(char *text, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void append(char *text, size_t size, const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text + used, size - used, format, arguments);
    va_end(arguments);
}

void blocks_describe(const struct blocks *blocks, uint32_t block, char *text, size_t size)
{
    text[0] = '\0';
    for (const struct blocks_write *w = blocks->writes[block]; w; w = w->next)
        if (possible(blocks, block, w, false))
            append(text, size, "%s%llu (%s)", *text ? ", " : "", (unsigned long long)w->value,
                   w->acknowledged == NOT_YET ? "not answered"
                   : w->durable               ? "durable"
                                              : "acknowledged");
}
