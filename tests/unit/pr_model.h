/* A second, naive reading of SPC-4 5.12, to compare the shared state with: one logical unit, a few
 * initiator ports times a few target ports, everything in arrays, no order, no pools. */
#ifndef HALUN_TESTS_PR_MODEL_H
#define HALUN_TESTS_PR_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/shared_state.h"

enum {
    MODEL_INITIATORS = 5,
    MODEL_PORTS = 3, /* target ports 1..MODEL_PORTS, index 0.. */
    MODEL_NEXUSES = MODEL_INITIATORS * MODEL_PORTS,
    MODEL_NOBODY = -1,
};

/* Nexus number: initiator * MODEL_PORTS + port. */
struct model {
    uint64_t key[MODEL_NEXUSES]; /* 0 = not registered */
    uint8_t type;
    int holder; /* nexus, or MODEL_NOBODY: none, or an all-registrants type */
    uint32_t generation;
    bool aptpl;
    int legacy; /* nexus, or MODEL_NOBODY */
};

struct model_op {
    enum shared_op_kind kind; /* PR_OUT, RESERVE, RELEASE, LU_RESET */
    int nexus;
    uint8_t action, type, scope;
    uint64_t key, action_key;
    bool aptpl, all_tg_pt, spec_i_pt, unreg;
    unsigned named; /* SPEC_I_PT: bit (initiator) */
    int move_to;    /* REGISTER AND MOVE: nexus */
};

struct model_result {
    enum scsi_reason reason;
    enum unit_attention ua[MODEL_NEXUSES]; /* UA_COUNT = none */
    bool aborted[MODEL_NEXUSES];
};

void model_init(struct model *model);
void model_apply(struct model *model, const struct model_op *op, struct model_result *result);

/* The same nexus and operation as the shared state knows them. `memory`: room for what op points
 * to. */
struct model_memory {
    uint8_t transport_ids[MODEL_INITIATORS * LIMIT_TRANSPORT_ID];
    uint16_t ports[MODEL_PORTS];
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
