/* One run of the world, from power on to the quiet end. */
#ifndef HALUN_TESTS_SIM_RUN_H
#define HALUN_TESTS_SIM_RUN_H

#include "tests/sim/sim.h"

struct run_result {
    uint64_t events, simulated_ns, cpu_ns;
    uint64_t hash; /* of everything that happened: equal for equal seeds */
    char why[1024]; /* "" or the violation */
};

/* Runs; story NULL: faults and workload from the seed. Returns whether nothing was violated. The world's counters
 * (world_each_count()) are those of this run until the next. */
bool sim_run(const struct sim_config *config, const struct sim_story *story, struct run_result *result);

#endif
