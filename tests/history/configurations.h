/* Sets of what may be true at some moment of a history. Used by linearize.c. */
#ifndef HALUN_TESTS_CONFIGURATIONS_H
#define HALUN_TESTS_CONFIGURATIONS_H

#include "tests/history/linearize.h"

enum { BITS_WORDS = LINEARIZE_PENDING / 64 };

#define VALUE_ANY (UINT64_MAX - 1) /* of a block after a cache loss */

/* Slots of open operations. */
struct bits {
    uint64_t word[BITS_WORDS];
};

static inline bool bit_get(const struct bits *b, int n)
{
    return b->word[n / 64] >> (n % 64) & 1;
}

static inline void bit_set(struct bits *b, int n, bool on)
{
    if (on)
        b->word[n / 64] |= (uint64_t)1 << (n % 64);
    else
        b->word[n / 64] &= ~((uint64_t)1 << (n % 64));
}

/* The state, and which of the open operations have taken effect already. */
struct configuration {
    uint64_t value;     /* LINEARIZE_BLOCK: what the block holds */
    ua_set pending;     /* LINEARIZE_ATTENTIONS */
    struct bits done;   /* answered later, ordered already */
    struct bits used;   /* of unknown outcome: took effect */
    int trail;          /* the newest step of the order that led here, -1 = none; not compared */
    struct model model; /* at the end: sets keep the keys of nexuses that exist only */
};

/* Zero = empty. */
struct configurations {
    size_t count;
    /* private */
    char *all;
    size_t stride, room, *buckets, bucket_count;
};

/* Is the unit in the same state? */
bool configuration_same_state(const struct configuration *a, const struct configuration *b);
/* Adds a copy, unless one like it is there that used no more of the unknown outcomes (it can do
 * whatever this one can); replaces one that used more. Returns whether something was added. Aborts
 * when memory is short. */
bool configurations_add(struct configurations *set, const struct configuration *c);
void configurations_free(struct configurations *set);

#endif
