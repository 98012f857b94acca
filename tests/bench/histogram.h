/* Latencies in a logarithmic histogram: 64 steps to each doubling, so at most 1.6 % off. Pure. */
#ifndef HALUN_BENCH_HISTOGRAM_H
#define HALUN_BENCH_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_STEP = 6, HISTOGRAM_SIZE = (64 - HISTOGRAM_STEP + 1) << HISTOGRAM_STEP };

struct histogram {
    uint64_t total;
    uint64_t count[HISTOGRAM_SIZE];
};

/* Counts one latency of `ns`. */
static inline void histogram_add(struct histogram *histogram, uint64_t ns)
{
    unsigned shift = ns >> HISTOGRAM_STEP ? 63 - (unsigned)__builtin_clzll(ns) - HISTOGRAM_STEP : 0;
    /* Below 2^STEP every ns has its place; above, each doubling has 2^STEP places. */
    uint64_t place =
        ns >> HISTOGRAM_STEP ? ((uint64_t)shift << HISTOGRAM_STEP) + (ns >> shift) : ns;

    histogram->count[place]++;
    histogram->total++;
}

/* The latency in ns that `share` (0..1) of all do not exceed; 0 when none was counted. */
static inline double histogram_at(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->total), seen = 0;

    for (unsigned place = 0; place < HISTOGRAM_SIZE; place++) {
        unsigned shift = place >> HISTOGRAM_STEP;
        seen += histogram->count[place];
        if (seen > wanted || (seen == histogram->total && seen))
            return shift < 2 ? place
                             : (double)((uint64_t)(place - ((shift - 1) << HISTOGRAM_STEP))
                                        << (shift - 1));
    }
    return 0;
}

#endif
