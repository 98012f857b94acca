#include "tests/history/configurations.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { FEW = 8 }; /* looked through one by one */

bool configuration_same_state(const struct configuration *a, const struct configuration *b)
{
    return a->value == b->value && a->pending == b->pending && model_equal(&a->model, &b->model);
}

static bool bits_subset(const struct bits *a, const struct bits *b)
{
    for (int i = 0; i < BITS_WORDS; i++)
        if (a->word[i] & ~b->word[i])
            return false;
    return true;
}

static bool same_place(const struct configuration *a, const struct configuration *b)
{
    return !memcmp(&a->done, &b->done, sizeof a->done) && configuration_same_state(a, b);
}

static size_t hash_of(const struct configuration *c)
{
    uint64_t hash = model_hash(&c->model) ^ (c->value + c->pending) * 0x9e3779b97f4a7c15u;

    for (int i = 0; i < BITS_WORDS; i++)
        hash = ((hash ^ c->done.word[i]) * 0xbf58476d1ce4e5b9u) ^ hash >> 31;
    return (size_t)(hash ^ hash >> 17);
}

static struct configuration *at(const struct configurations *set, size_t i)
{
    return (struct configuration *)(set->all + i * set->stride);
}

static void rehash(struct configurations *set)
{
    set->bucket_count = set->bucket_count ? 4 * set->bucket_count : 4 * FEW;
    free(set->buckets);
    set->buckets = calloc(set->bucket_count, sizeof *set->buckets);
    if (!set->buckets)
        abort();
    for (size_t i = 0; i < set->count; i++) {
        size_t bucket = hash_of(at(set, i)) % set->bucket_count;
        while (set->buckets[bucket])
            bucket = (bucket + 1) % set->bucket_count;
        set->buckets[bucket] = i + 1;
    }
}

/* One like it is there: false when that can do all that this one can, else it is replaced. */
enum like { NONE_LIKE, DOMINATED, REPLACED };

static enum like meet(const struct configurations *set, size_t i, const struct configuration *c)
{
    struct configuration *other = at(set, i);

    if (!same_place(other, c))
        return NONE_LIKE;
    if (bits_subset(&other->used, &c->used))
        return DOMINATED;
    if (!bits_subset(&c->used, &other->used))
        return NONE_LIKE;
    memcpy(other, c, set->stride);
    return REPLACED;
}

/* Looks for one like it; `*bucket` becomes where a new one goes. */
static enum like find(const struct configurations *set, const struct configuration *c,
                      size_t *bucket)
{
    enum like like = NONE_LIKE;

    if (!set->bucket_count) {
        for (size_t i = 0; i < set->count && !like; i++)
            like = meet(set, i, c);
        return like;
    }
    *bucket = hash_of(c) % set->bucket_count;
    while (set->buckets[*bucket] && !like) {
        like = meet(set, set->buckets[*bucket] - 1, c);
        *bucket = (*bucket + 1) % set->bucket_count;
    }
    return like;
}

static void make_room(struct configurations *set, const struct configuration *c)
{
    if (!set->stride)
        set->stride = offsetof(struct configuration, model.key) +
                      model_nexuses(&c->model) * sizeof *c->model.key;
    if (set->count == set->room) {
        set->room = set->room ? 2 * set->room : 2;
        set->all = realloc(set->all, set->room * set->stride);
        if (!set->all)
            abort();
    }
    if (set->count >= FEW && 2 * (set->count + 1) > set->bucket_count)
        rehash(set);
}

bool configurations_add(struct configurations *set, const struct configuration *c)
{
    size_t bucket = 0;
    enum like like;

    make_room(set, c);
    like = find(set, c, &bucket);
    if (like)
        return like == REPLACED;
    memcpy(at(set, set->count++), c, set->stride);
    if (set->bucket_count)
        set->buckets[bucket] = set->count;
    return true;
}

void configurations_free(struct configurations *set)
{
    free(set->all);
    free(set->buckets);
    memset(set, 0, sizeof *set);
}
