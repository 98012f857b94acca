/* The sequential model of one logical unit: a second, naive reading of SPC-4 5.12 and SPC-2 5.5.1.
 * Some initiator ports times some target ports, everything in arrays, no order, no pools. What
 * several nodes answer is compared with what this answers. Pure. */
#ifndef HALUN_TESTS_HISTORY_MODEL_H
#define HALUN_TESTS_HISTORY_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/shared_state.h"
#include "target/command/reason.h"
#include "target/command/unit_attention.h"

enum {
    MODEL_NEXUSES = 64, /* most: initiator ports * target ports */
    MODEL_NOBODY = -1,
    MODEL_ACTIONS = 8, /* PERSISTENT RESERVE OUT service actions, SPC-4 table 207 */
};

/* Nexus number: initiator * ports + port. */
struct model {
    uint8_t initiators, ports;
    uint8_t type; /* enum pr_type */
    bool aptpl;
    int16_t holder; /* nexus, or MODEL_NOBODY: none, or an all-registrants type */
    int16_t legacy; /* holder of RESERVE(6)/(10), or MODEL_NOBODY */
    uint32_t generation;
    struct shared_mode mode;
    uint64_t key[MODEL_NEXUSES]; /* 0 = not registered */
};

enum model_kind {
    MODEL_PR_OUT,
    MODEL_RESERVE, /* RESERVE(6)/(10) */
    MODEL_RELEASE,
    MODEL_LU_RESET,    /* LOGICAL UNIT RESET, or a target reset as this unit sees it */
    MODEL_NEXUS_LOSS,  /* the nexus ended: its legacy reservation falls */
    MODEL_COLD_START,  /* power was cut everywhere: what is not APTPL is gone */
    MODEL_CACHE_LOSS,  /* the only copy lost its power: what was not synchronized may be gone */
    MODEL_MODE_SELECT, /* sets the changeable parameters of some pages */
    MODEL_MODE_SENSE,
    MODEL_READ_KEYS,
    MODEL_READ_RESERVATION,
    MODEL_READ_FULL_STATUS,
    MODEL_READ,  /* a command that reads the medium */
    MODEL_WRITE, /* a command that changes the medium */
    MODEL_COMPARE_AND_WRITE,
    /* These change nothing but pending unit attentions. */
    MODEL_COMMAND, /* any other command: it reports a unit attention, or finds none */
    MODEL_LOGIN, /* a session begins: the nexus has POWER ON or I_T NEXUS LOSS pending, nothing else
                  */
    MODEL_ATTENTION, /* something established a unit attention for the nexus, or for all
                        (MODEL_NOBODY) */
    MODEL_KINDS
};

enum model_pages {
    MODEL_PAGE_CACHING = 1, /* WCE */
    MODEL_PAGE_CONTROL = 2, /* TAS, SWP, D_SENSE */
};

struct model_op {
    enum model_kind kind;
    int nexus;
    /* PR OUT (SPC-4 6.16); RESERVATION KEY and SERVICE ACTION RESERVATION KEY */
    uint8_t action, type, scope;
    uint64_t key, action_key;
    bool aptpl, all_tg_pt, spec_i_pt, unreg;
    uint64_t named;          /* SPEC_I_PT: bit (initiator) */
    int move_to;             /* REGISTER AND MOVE: nexus */
    struct shared_mode mode; /* MODE SELECT: new values of the parameters of ... */
    unsigned pages;          /* ... these pages (enum model_pages) */
};

/* What an operation answered, and what it did to others. */
struct model_result {
    enum scsi_reason reason;
    enum unit_attention
        ua[MODEL_NEXUSES];       /* established; UA_COUNT = none. MODE SELECT: for the others */
    bool aborted[MODEL_NEXUSES]; /* commands of this nexus are aborted */
};

/* Nothing registered, for `initiators` * `ports` <= MODEL_NEXUSES nexuses. */
void model_init(struct model *model, unsigned initiators, unsigned ports);
/* One operation, all at once. What reads changes nothing: if it is GOOD, read the model. */
void model_apply(struct model *model, const struct model_op *op, struct model_result *result);
/* What READ, WRITE and COMPARE AND WRITE would be answered. */
enum scsi_reason model_io(const struct model *model, const struct model_op *op);
/* Does this nexus hold the persistent reservation (all-registrants types: every registrant does)?
 */
bool model_is_holder(const struct model *model, int nexus);
/* Does a command that reads or writes conflict? */
bool model_conflicts(const struct model *model, int nexus, bool write);
int model_registered(const struct model *model); /* how many nexuses are registered */
static inline int model_nexuses(const struct model *model)
{
    return model->initiators * model->ports;
}
bool model_equal(const struct model *a, const struct model *b);
uint64_t model_hash(const struct model *model);
/* "WRITE EXCLUSIVE, REGISTRANTS ONLY" and the like. */
const char *model_type_name(uint8_t type);

#endif
