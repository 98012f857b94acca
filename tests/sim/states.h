/* How many different states of the array runs have reached: a fingerprint of what every node believes and of how
 * its replicas stand is kept about every 100 ms of simulated time. */
#ifndef HALUN_TESTS_SIM_STATES_H
#define HALUN_TESTS_SIM_STATES_H

#include <stdint.h>

/* One set for this process and all that it forks. */
void states_share(void);
void states_note(void);
uint64_t states_count(void);
/* Fingerprints, for a set that outlives the process; never 0. */
void states_add(uint64_t state);
void states_each(void (*each)(uint64_t state, void *context), void *context);

#endif
