/* Checks of store_options that every store shares. Pure. */
#ifndef HALUN_STORE_OPTIONS_H
#define HALUN_STORE_OPTIONS_H

#include <errno.h>
#include <stdio.h>

#include "target/store/store.h"

enum { STORE_WHY = 256 }; /* room of `why`, see store.h */

/* Block size known, size whole blocks. `what` names the store in the sentence. 0 or -EINVAL. */
static inline int store_options_check(const struct store_options *options, const char *what,
                                      char *why)
{
    if (options->block_size != 512 && options->block_size != 4096) {
        snprintf(why, STORE_WHY, "%.180s: block size %u: expected 512 or 4096", what,
                 options->block_size);
        return -EINVAL;
    }
    if (options->size % options->block_size) {
        snprintf(why, STORE_WHY, "%.160s: size %llu: expected a multiple of the block size %u",
                 what, (unsigned long long)options->size, options->block_size);
        return -EINVAL;
    }
    return 0;
}

#endif
