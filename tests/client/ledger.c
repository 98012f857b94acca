#include "tests/client/ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/bytes.h"

enum { MAGIC = 0, RUN = 8, BLOCK = 16, NUMBER = 24, BODY = 32 };

#define LEDGER_MAGIC 0x68616c756e746167u /* "haluntag" */

int ledger_init(struct ledger *ledger, uint32_t blocks, uint64_t run)
{
    memset(ledger, 0, sizeof *ledger);
    ledger->blocks = blocks;
    ledger->run = run;
    ledger->next = 1;
    ledger->acknowledged = calloc(blocks, sizeof *ledger->acknowledged);
    ledger->issued = calloc(blocks, sizeof *ledger->issued);
    ledger->busy = calloc(blocks, sizeof *ledger->busy);
    if (ledger->acknowledged && ledger->issued && ledger->busy)
        return 0;
    ledger_done(ledger);
    return -ENOMEM;
}

void ledger_done(struct ledger *ledger)
{
    free(ledger->acknowledged);
    free(ledger->issued);
    free(ledger->busy);
}

/* The body is a stream that depends on all of the head, so that a torn block shows. */
static uint64_t mix(uint64_t v)
{
    v ^= v >> 30;
    v *= 0xbf58476d1ce4e5b9u;
    v ^= v >> 27;
    v *= 0x94d049bb133111ebu;
    return v ^ v >> 31;
}

void ledger_fill(const struct ledger *ledger, uint32_t block, uint64_t number, uint8_t *data)
{
    uint64_t seed = mix(number) ^ mix((uint64_t)block << 32 | 1) ^ ledger->run;

    put_be64(data + MAGIC, LEDGER_MAGIC);
    put_be64(data + RUN, ledger->run);
    put_be64(data + BLOCK, block);
    put_be64(data + NUMBER, number);
    for (unsigned i = BODY; i < LEDGER_BLOCK; i += 8)
        put_be64(data + i, mix(seed + i));
}

uint64_t ledger_read(const struct ledger *ledger, uint32_t block, const uint8_t *data)
{
    static const uint8_t zeros[LEDGER_BLOCK];
    uint8_t expected[LEDGER_BLOCK];
    uint64_t number;

    if (!memcmp(data, zeros, LEDGER_BLOCK))
        return 0;
    number = get_be64(data + NUMBER);
    ledger_fill(ledger, block, number, expected);
    return memcmp(data, expected, LEDGER_BLOCK) ? UINT64_MAX : number;
}
