/* What is checked in every run; one file each. */
#ifndef HALUN_TESTS_SIM_CHECKERS_H
#define HALUN_TESTS_SIM_CHECKERS_H

#include "tests/sim/sim.h"

extern const struct sim_checker check_owner; /* never two executors of a group */
extern const struct sim_checker check_state; /* equal place in the order, equal state */
extern const struct sim_checker check_wall; /* no write of a preempted nexus reaches a medium */
extern const struct sim_checker check_late; /* no write reaches a medium behind its answer */
extern const struct sim_checker
    check_lanes; /* lanes are what the agreed state says, when all is quiet */
extern const struct sim_checker
    check_copies; /* equal copies that hold what was acknowledged, when all is quiet */
/* caches.c: notes when what was acknowledged, and not synchronized, may be lost */
extern const struct sim_checker sim_caches;
extern const struct sim_checker check_stable; /* what was flushed is on every current copy */
void check_stable_copies(void);               /* the same, now */
extern const struct sim_checker check_story;   /* stories.c: a story was told to its end */
extern const struct sim_checker check_history; /* linearizable, and each unit attention once */

#endif
