#include "replication/activity_log.h"

#include <assert.h>
#include <string.h>

#include "replication/activity_log_format.h"
#include "target/base/bytes.h"

#define NONE UINT32_MAX

/* A slot is on the idle list when nothing refers to it and no update of it waits or is in flight;
 * then it may be given to another extent. Free slots are idle ones without an extent. */
struct slot {
    uint32_t extent;  /* what it holds now */
    uint32_t durable; /* what the disk says it holds */
    uint32_t references;
    uint32_t chain;        /* next slot of the hash bucket */
    uint32_t older, newer; /* idle list; `newer` also links the waiting updates */
    uint64_t ticket;       /* batch that makes `extent` durable */
};

struct activity_log {
    unsigned slots, buckets; /* buckets: a power of two */
    uint32_t stripes, stripe_blocks;
    uint32_t number;  /* of the next transaction */
    uint32_t context; /* first slot of its context window */
    unsigned used;
    uint32_t oldest, newest; /* idle list */
    unsigned idle;
    uint32_t waiting_first, waiting_last; /* updates not in a transaction yet, in order of ticket */
    uint64_t durable, built, open; /* batches: last on disk, last built, the one being filled */
    unsigned open_fill;
    unsigned flight_count;
    uint32_t flight[AL_UPDATES]; /* slots of the transaction in flight */
    uint32_t *bucket;
    struct slot *slot;
};

static unsigned bucket_count(unsigned slots)
{
    unsigned count = 64;

    while (count < slots)
        count *= 2;
    return count;
}

unsigned al_slots_max(uint32_t blocks)
{
    uint64_t slots = blocks ? (uint64_t)(blocks - 1) * AL_CONTEXT : 0;

    return slots > AL_SLOTS_MAX ? AL_SLOTS_MAX : (unsigned)slots;
}

size_t al_memory(unsigned slots)
{
    return sizeof(struct activity_log) + slots * sizeof(struct slot) +
           bucket_count(slots) * sizeof(uint32_t);
}

static bool slot_settled(const struct activity_log *al, const struct slot *s)
{
    return s->ticket <= al->durable;
}

static void idle_push(struct activity_log *al, uint32_t index)
{
    struct slot *s = &al->slot[index];

    s->older = al->newest;
    s->newer = NONE;
    if (al->newest != NONE)
        al->slot[al->newest].newer = index;
    else
        al->oldest = index;
    al->newest = index;
    al->idle++;
}

static void idle_remove(struct activity_log *al, uint32_t index)
{
    struct slot *s = &al->slot[index];

    if (s->older != NONE)
        al->slot[s->older].newer = s->newer;
    else
        al->oldest = s->newer;
    if (s->newer != NONE)
        al->slot[s->newer].older = s->older;
    else
        al->newest = s->older;
    s->older = s->newer = NONE;
    al->idle--;
}

static uint32_t *bucket_of(struct activity_log *al, uint32_t extent)
{
    return &al->bucket[(extent * UINT32_C(2654435761)) >> 7 & (al->buckets - 1)];
}

static uint32_t find(const struct activity_log *al, uint32_t extent)
{
    uint32_t index = *bucket_of((struct activity_log *)al, extent);

    while (index != NONE && al->slot[index].extent != extent)
        index = al->slot[index].chain;
    return index;
}

static void unhash(struct activity_log *al, uint32_t index)
{
    uint32_t *link = bucket_of(al, al->slot[index].extent);

    while (*link != index)
        link = &al->slot[*link].chain;
    *link = al->slot[index].chain;
}

struct activity_log *al_init(void *memory, unsigned slots, uint32_t stripes, uint32_t stripe_blocks,
                             uint32_t first)
{
    struct activity_log *al = memory;

    assert(slots >= AL_SLOTS_MIN && slots <= AL_SLOTS_MAX);
    assert(stripes && stripe_blocks && slots <= al_slots_max(stripes * stripe_blocks));
    *al = (struct activity_log){
        .slots = slots,
        .buckets = bucket_count(slots),
        .stripes = stripes,
        .stripe_blocks = stripe_blocks,
        .number = first,
        .oldest = NONE,
        .newest = NONE,
        .waiting_first = NONE,
        .waiting_last = NONE,
        .open = 1,
        .slot = (struct slot *)(al + 1),
    };
    al->bucket = (uint32_t *)(al->slot + slots);
    for (unsigned i = 0; i < al->buckets; i++)
        al->bucket[i] = NONE;
    for (uint32_t i = 0; i < slots; i++) {
        al->slot[i] = (struct slot){.extent = AL_NO_EXTENT, .durable = AL_NO_EXTENT};
        idle_push(al, i);
    }
    return al;
}

/* Gives the longest idle slot to `extent`, as part of the open batch. */
static void make_hot(struct activity_log *al, uint32_t extent)
{
    uint32_t index = al->oldest, *bucket = bucket_of(al, extent);
    struct slot *s = &al->slot[index];

    idle_remove(al, index);
    if (s->extent != AL_NO_EXTENT)
        unhash(al, index);
    else
        al->used++;
    s->extent = extent;
    s->chain = *bucket;
    *bucket = index;
    s->references = 1;
    s->ticket = al->open;
    if (al->waiting_last != NONE)
        al->slot[al->waiting_last].newer = index;
    else
        al->waiting_first = index;
    al->waiting_last = index;
    al->open_fill++;
}

enum al_answer al_begin(struct activity_log *al, uint32_t first, uint32_t last, uint64_t *ticket)
{
    unsigned cold = 0, found_idle = 0;
    uint64_t wait = 0;

    assert(first <= last && last - first < AL_UPDATES && last != AL_NO_EXTENT);
    for (uint32_t extent = first; extent <= last; extent++) {
        uint32_t index = find(al, extent);

        if (index == NONE)
            cold++;
        else if (!al->slot[index].references && slot_settled(al, &al->slot[index]))
            found_idle++;
    }
    if (cold > al->idle - found_idle)
        return AL_BUSY;
    /* First hold what is there, so that making room for the rest cannot evict it. */
    for (uint32_t extent = first; extent <= last; extent++) {
        uint32_t index = find(al, extent);
        struct slot *s;

        if (index == NONE)
            continue;
        s = &al->slot[index];
        if (slot_settled(al, s)) {
            if (!s->references)
                idle_remove(al, index);
        } else if (s->ticket > wait) {
            wait = s->ticket;
        }
        s->references++;
    }
    if (cold) {
        if (al->open_fill + cold > AL_UPDATES) {
            al->open++;
            al->open_fill = 0;
        }
        for (uint32_t extent = first; extent <= last; extent++)
            if (find(al, extent) == NONE)
                make_hot(al, extent);
        wait = al->open;
    }
    if (!wait)
        return AL_READY;
    *ticket = wait;
    return AL_WAIT;
}

void al_end(struct activity_log *al, uint32_t first, uint32_t last)
{
    assert(first <= last && last - first < AL_UPDATES);
    for (uint32_t extent = first; extent <= last; extent++) {
        uint32_t index = find(al, extent);

        assert(index != NONE && al->slot[index].references);
        if (!--al->slot[index].references && slot_settled(al, &al->slot[index]))
            idle_push(al, index);
    }
}

bool al_durable(const struct activity_log *al, uint64_t ticket)
{
    return ticket <= al->durable;
}

bool al_pending(const struct activity_log *al)
{
    return al->waiting_first != NONE;
}

bool al_in_flight(const struct activity_log *al)
{
    return al->built != al->durable;
}

static void add_page(struct al_transaction *t, uint32_t page)
{
    for (unsigned i = 0; i < t->page_count; i++)
        if (t->pages[i] == page)
            return;
    t->pages[t->page_count++] = page;
}

void al_transaction_build(struct activity_log *al, uint8_t block[AL_BLOCK],
                          struct al_transaction *t)
{
    unsigned window = al->slots - al->context;

    assert(!al_in_flight(al));
    if (window > AL_CONTEXT)
        window = AL_CONTEXT;
    *t = (struct al_transaction){
        .number = al->number,
        .position = al_position(al->number, al->stripes, al->stripe_blocks),
    };
    al->built++;
    if (al->open <= al->built) {
        al->open = al->built + 1;
        al->open_fill = 0;
    }
    memset(block, 0, AL_BLOCK);
    put_be32(block + AL_MAGIC_AT, AL_MAGIC);
    put_be32(block + AL_NUMBER_AT, al->number);
    put_be16(block + AL_TYPE_AT, AL_TYPE_UPDATE);
    put_be16(block + AL_CONTEXT_SIZE_AT, (uint16_t)al->slots);
    put_be16(block + AL_CONTEXT_START_AT, (uint16_t)al->context);
    /* The context is what the disk holds *before* these updates: an eviction of a later batch must
     * not slip in, its pages of the map are not written yet. */
    for (unsigned i = 0; i < AL_CONTEXT; i++)
        put_be32(block + AL_CONTEXT_AT + 4 * i,
                 i < window ? al->slot[al->context + i].durable : AL_NO_EXTENT);
    al->flight_count = 0;
    while (al->waiting_first != NONE && al->slot[al->waiting_first].ticket == al->built) {
        uint32_t index = al->waiting_first;
        struct slot *s = &al->slot[index];

        al->waiting_first = s->newer;
        if (al->waiting_first == NONE)
            al->waiting_last = NONE;
        s->newer = NONE;
        put_be16(block + AL_SLOTS_AT + 2 * al->flight_count, (uint16_t)index);
        put_be32(block + AL_EXTENTS_AT + 4 * al->flight_count, s->extent);
        if (s->durable != AL_NO_EXTENT)
            add_page(t, s->durable / AL_EXTENTS_PER_PAGE);
        al->flight[al->flight_count++] = index;
    }
    for (unsigned i = al->flight_count; i < AL_UPDATES; i++) {
        put_be16(block + AL_SLOTS_AT + 2 * i, UINT16_MAX);
        put_be32(block + AL_EXTENTS_AT + 4 * i, AL_NO_EXTENT);
    }
    put_be16(block + AL_UPDATES_AT, (uint16_t)al->flight_count);
    put_be32(block + AL_CHECKSUM_AT, al_checksum(block));
    t->updates = al->flight_count;
    al->number++;
    al->context += window;
    if (al->context >= al->slots)
        al->context = 0;
}

void al_transaction_done(struct activity_log *al)
{
    assert(al_in_flight(al));
    al->durable = al->built;
    for (unsigned i = 0; i < al->flight_count; i++) {
        struct slot *s = &al->slot[al->flight[i]];

        s->durable = s->extent;
        if (!s->references)
            idle_push(al, al->flight[i]);
    }
    al->flight_count = 0;
}

bool al_is_hot(const struct activity_log *al, uint32_t extent)
{
    uint32_t index = find(al, extent);

    return index != NONE && slot_settled(al, &al->slot[index]);
}

unsigned al_references(const struct activity_log *al, uint32_t extent)
{
    uint32_t index = find(al, extent);

    return index == NONE ? 0 : al->slot[index].references;
}

unsigned al_used(const struct activity_log *al)
{
    return al->used;
}

unsigned al_slots(const struct activity_log *al)
{
    return al->slots;
}

uint32_t al_slot_extent(const struct activity_log *al, unsigned slot)
{
    assert(slot < al->slots);
    return al->slot[slot].extent;
}
