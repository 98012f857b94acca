#include "tests/history/configurations.h"

#include <stdlib.h>
#include <string.h>

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

static void rehash(struct configurations *set)
{
    set->bucket_count = set->bucket_count ? 4 * set->bucket_count : 64;
    free(set->buckets);
    set->buckets = calloc(set->bucket_count, sizeof *set->buckets);
    if (!set->buckets)
        abort();
    for (size_t i = 0; i < set->count; i++) {
        size_t at = hash_of(&set->all[i]) % set->bucket_count;
        while (set->buckets[at])
            at = (at + 1) % set->bucket_count;
        set->buckets[at] = i + 1;
    }
}

bool configurations_add(struct configurations *set, const struct configuration *c)
{
    size_t at;

    if (2 * (set->count + 1) > set->bucket_count)
        rehash(set);
    for (at = hash_of(c) % set->bucket_count; set->buckets[at]; at = (at + 1) % set->bucket_count) {
        struct configuration *other = &set->all[set->buckets[at] - 1];
        if (!same_place(other, c))
            continue;
        if (bits_subset(&other->used, &c->used))
            return false;
        if (bits_subset(&c->used, &other->used)) {
            *other = *c;
            return true;
        }
    }
    if (set->count == set->room) {
        set->room = set->room ? 2 * set->room : 64;
        set->all = realloc(set->all, set->room * sizeof *set->all);
        if (!set->all)
            abort();
    }
    set->all[set->count++] = *c;
    set->buckets[at] = set->count;
    return true;
}

void configurations_clear(struct configurations *set)
{
    if (set->count)
        memset(set->buckets, 0, set->bucket_count * sizeof *set->buckets);
    set->count = 0;
}

void configurations_free(struct configurations *set)
{
    free(set->all);
    free(set->buckets);
    memset(set, 0, sizeof *set);
}
