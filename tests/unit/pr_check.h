/* The shared state against the sequential model of tests/history: the same operations for both, and
 * what must then be equal. */
#ifndef HALUN_TESTS_PR_CHECK_H
#define HALUN_TESTS_PR_CHECK_H

#include "tests/history/model.h"

enum {
    PR_INITIATORS = 5,
    PR_PORTS = 3, /* target ports 1..PR_PORTS, index 0.. */
    PR_NEXUSES = PR_INITIATORS * PR_PORTS,
};

/* The same nexus and operation (PR_OUT, RESERVE, RELEASE, LU_RESET) as the shared state knows them.
 * `memory`: room for what op points to. */
struct model_memory {
    uint8_t transport_ids[PR_INITIATORS * LIMIT_TRANSPORT_ID];
    uint16_t ports[PR_PORTS];
};
void model_nexus(int nexus, struct nexus_identity *identity);
void model_op_build(const struct model_op *op, uint32_t lu, struct shared_op *built,
                    struct model_memory *memory);

/* Fails the running CMocka test unless LU `lu` and `effects` are what the model says. `before`: the
 * LU as it was; its registrants are not looked at. */
void model_check(const struct model *model, const struct model *model_before,
                 const struct model_result *result, const struct shared_state *state, uint32_t lu,
                 const struct shared_lu *before, const struct shared_effects *effects);

#endif
