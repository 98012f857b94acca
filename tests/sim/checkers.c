/* The checkers that are always on, in the order in which they look. */
#include "tests/sim/checkers.h"

#include <stddef.h>

const struct sim_checker *const sim_checkers[] = {
    &sim_caches,   &check_owner,  &check_state, &check_wall,    &check_late,   &check_lanes,
    &check_copies, &check_stable, &check_story, &check_history, NULL,
};
