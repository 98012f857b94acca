/* The ring of the activity log: where a transaction goes, whether a block is whole, and what was
 * hot. */
#include <errno.h>
#include <isa-l.h>
#include <string.h>

#include "replication/activity_log.h"
#include "replication/activity_log_format.h"
#include "target/base/bytes.h"

enum block_kind { BLOCK_INVALID, BLOCK_INITIAL, BLOCK_UPDATE };

uint32_t al_position(uint32_t number, uint32_t stripes, uint32_t stripe_blocks)
{
    uint32_t i = number % (stripes * stripe_blocks);

    return i % stripes * stripe_blocks + i / stripes;
}

uint32_t al_checksum(const uint8_t block[AL_BLOCK])
{
    static const uint8_t zero[4];
    uint32_t crc;

    /* The library takes and gives the plain register: no inversion at either end. The data are only
     * read, its prototype lacks the const. */
    crc = crc32_iscsi((unsigned char *)block, AL_CHECKSUM_AT, 0);
    crc = crc32_iscsi((unsigned char *)zero, sizeof zero, crc);
    return crc32_iscsi((unsigned char *)block + AL_CHECKSUM_AT + 4, AL_BLOCK - AL_CHECKSUM_AT - 4,
                       crc);
}

void al_block_initial(uint8_t block[AL_BLOCK])
{
    memset(block, 0, AL_BLOCK);
    put_be32(block + AL_MAGIC_AT, AL_MAGIC);
    put_be16(block + AL_TYPE_AT, AL_TYPE_INITIAL);
    put_be32(block + AL_CHECKSUM_AT, al_checksum(block));
}

static enum block_kind classify(const uint8_t *block)
{
    unsigned updates = get_be16(block + AL_UPDATES_AT);
    unsigned size = get_be16(block + AL_CONTEXT_SIZE_AT);
    unsigned start = get_be16(block + AL_CONTEXT_START_AT);

    if (get_be32(block + AL_MAGIC_AT) != AL_MAGIC ||
        get_be32(block + AL_CHECKSUM_AT) != al_checksum(block))
        return BLOCK_INVALID;
    if (get_be16(block + AL_TYPE_AT) == AL_TYPE_INITIAL)
        return BLOCK_INITIAL;
    if (get_be16(block + AL_TYPE_AT) != AL_TYPE_UPDATE || updates > AL_UPDATES ||
        size > AL_SLOTS_MAX || start >= size)
        return BLOCK_INVALID;
    for (unsigned i = 0; i < updates; i++)
        if (get_be16(block + AL_SLOTS_AT + 2 * i) >= size)
            return BLOCK_INVALID;
    return BLOCK_UPDATE;
}

static void set_slot(uint32_t *table, struct al_replay *result, unsigned slot, uint32_t extent)
{
    table[slot] = extent;
    if (slot >= result->slots)
        result->slots = slot + 1;
}

static void apply(const uint8_t *block, uint32_t *table, struct al_replay *result)
{
    unsigned updates = get_be16(block + AL_UPDATES_AT);
    unsigned size = get_be16(block + AL_CONTEXT_SIZE_AT);
    unsigned start = get_be16(block + AL_CONTEXT_START_AT);

    for (unsigned i = 0; i < AL_CONTEXT && start + i < size; i++)
        set_slot(table, result, start + i, get_be32(block + AL_CONTEXT_AT + 4 * i));
    for (unsigned i = 0; i < updates; i++)
        set_slot(table, result, get_be16(block + AL_SLOTS_AT + 2 * i),
                 get_be32(block + AL_EXTENTS_AT + 4 * i));
}

int al_replay(const uint8_t *ring, uint32_t stripes, uint32_t stripe_blocks,
              uint32_t table[AL_SLOTS_MAX], struct al_replay *result)
{
    uint32_t blocks = stripes * stripe_blocks, invalid_at = 0;
    unsigned applied = 0;

    memset(result, 0, sizeof *result);
    memset(table, 0xFF, AL_SLOTS_MAX * sizeof *table);
    for (uint32_t i = 0; i < blocks; i++) {
        const uint8_t *block = ring + (size_t)i * AL_BLOCK;
        uint32_t number = get_be32(block + AL_NUMBER_AT);

        switch (classify(block)) {
        case BLOCK_INVALID:
            result->invalid++;
            invalid_at = i;
            break;
        case BLOCK_INITIAL:
            result->initial++;
            break;
        case BLOCK_UPDATE:
            if (!result->updates++ || (int32_t)(number - result->newest) > 0)
                result->newest = number;
            break;
        }
    }
    if (result->invalid > 1)
        return -EBADMSG;
    if (!result->updates)
        return 0;
    /* The only block a crash can tear is the one after the newest. */
    if (result->invalid && al_position(result->newest + 1, stripes, stripe_blocks) != invalid_at)
        return -EBADMSG;
    for (uint32_t back = blocks; back-- > 0;) {
        uint32_t number = result->newest - back;
        uint32_t at = al_position(number, stripes, stripe_blocks);
        const uint8_t *block = ring + (size_t)at * AL_BLOCK;

        if ((!result->invalid || at != invalid_at) && get_be32(block + AL_NUMBER_AT) == number &&
            get_be16(block + AL_TYPE_AT) == AL_TYPE_UPDATE) {
            apply(block, table, result);
            applied++;
        } else if (applied) {
            return -EBADMSG; /* a hole in the sequence */
        }
    }
    return applied == result->updates ? 0 : -EBADMSG;
}
