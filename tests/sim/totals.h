/* What many runs came to: counts, the mixes of faults, and in a file what several processes came to, one after the
 * other or side by side. */
#ifndef HALUN_TESTS_SIM_TOTALS_H
#define HALUN_TESTS_SIM_TOTALS_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/sim.h"

enum { TOTALS_COUNTERS = 96, TOTALS_NAME = 40 };

struct totals {
    uint64_t runs, failed, events, cpu_ns, simulated_ns;
    uint8_t mixes[(1u << SIM_FAULTS) / 8]; /* bit by mix: a run had it */
    uint32_t count;
    struct {
        char name[TOTALS_NAME];
        uint64_t n;
    } counters[TOTALS_COUNTERS];
};

/* Adds to the counter of this name; what has no room any more is not counted. */
void totals_count(struct totals *totals, const char *name, uint64_t n);
void totals_mix(struct totals *totals, uint32_t faults);
/* One line, and one for every counter; `states` are the distinct ones. */
void totals_print(const char *what, const struct totals *totals, uint64_t states);
/* Adds `totals`, and the states of this process, to what `path` has, there and here; a file that does not exist has
 * nothing. Waits for others that do the same. Returns false, with a line in `why`, when the file can not be read or
 * written or is not one of these. Runs are not told apart: who adds a seed twice counts it twice, but neither its
 * states nor its mix. */
bool totals_sum(struct totals *totals, const char *path, char *why, size_t size);

#endif
