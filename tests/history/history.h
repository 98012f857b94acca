/* A history: what some initiators asked of some logical units, when they asked, when they were
 * answered, and what was answered; with the events that the answers depend on (nexuses lost, power
 * cut everywhere). It is read from and written as JSON lines, see history_json.h. */
#ifndef HALUN_TESTS_HISTORY_H
#define HALUN_TESTS_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "tests/history/model.h"

#define HISTORY_NEVER    UINT64_MAX /* a time that does not come */
#define HISTORY_NO_VALUE UINT64_MAX

enum {
    HISTORY_LUS = 4096,
    HISTORY_ALL_LUS =
        -1, /* a cold start, a target reset, a lost nexus: in the history of every unit */
};

/* How an operation ended. */
enum history_outcome {
    HISTORY_ANSWERED, /* `reason` says how; it took effect, if at all, between call and end */
    HISTORY_REFUSED,  /* answered, and sure to have had no effect: BUSY, TASK SET FULL, a unit
                       * attention,  standby; `reason` says which */
    HISTORY_UNKNOWN,  /* no answer, or one that leaves it open (TASK ABORTED, 02/04/0A, 0B/..): it
                       * takes effect  once between call and `until`, or never */
};

/* What a PERSISTENT RESERVE IN or MODE SENSE answered. */
struct history_registration {
    int nexus; /* MODEL_NOBODY with READ KEYS */
    uint64_t key;
    bool holder;
};

struct history_op {
    struct model_op op;
    int lu;             /* 0.., or HISTORY_ALL_LUS */
    uint64_t call, end; /* ns of one clock; end >= call; HISTORY_NEVER without an answer */
    uint64_t until;     /* HISTORY_UNKNOWN: it has no effect after this */
    enum history_outcome outcome;
    enum scsi_reason reason;
    enum unit_attention ua; /* reported by this answer (reason UNIT_ATTENTION), or of
                               MODEL_ATTENTION; else UA_COUNT */
    bool silent_ua; /* a command that reports no unit attention (INQUIRY, REPORT LUNS, ...) */
    /* Reads and writes of one block: what was written or read; HISTORY_NO_VALUE: not looked at.
     * Every written value is written once in a history; 0 is what was there before. */
    uint32_t block;
    uint64_t value;
    uint64_t compare; /* MODEL_COMPARE_AND_WRITE: what was expected to be there */
    /* Answers of the READ actions. */
    uint32_t generation;
    uint8_t read_type; /* READ RESERVATION, READ FULL STATUS: enum pr_type, 0 = no reservation */
    uint64_t read_key; /* READ RESERVATION: the holder's key */
    struct shared_mode read_mode; /* MODE SENSE, of op.pages */
    struct history_registration
        *registrations; /* READ KEYS, READ FULL STATUS; owned by the history */
    unsigned registration_count;
    unsigned line; /* of its file; 0 = not from a file */
};

/* What the searches that walk over all operations ask first. */
struct history_key {
    int16_t lu, nexus;
    uint8_t kind; /* enum model_kind */
    uint32_t block;
};

struct history {
    unsigned initiators, ports; /* the shape of the model */
    unsigned lus;
    uint32_t ua_free; /* bits (enum unit_attention): may come at any time, not checked */
    struct history_op *ops;   /* lu, op.kind, op.nexus and block stay as they were added */
    struct history_key *keys; /* as many */
    size_t count, room;
};

/* An empty history of lus <= HISTORY_LUS units and initiators * ports <= MODEL_NEXUSES nexuses. */
void history_init(struct history *history, unsigned initiators, unsigned ports, unsigned lus);
void history_free(struct history *history);
/* An operation as it begins: everything zero or "none", HISTORY_UNKNOWN until HISTORY_NEVER. */
struct history_op history_op(enum model_kind kind, int lu, int nexus, uint64_t call);
/* Appends a copy. `registrations` (malloc(), may be NULL) belong to the history from then on.
 * Aborts the process when memory is short. Returns the number of the operation. */
size_t history_add(struct history *history, const struct history_op *op);
/* Sets the outcome from a status and sense data: reason, ua, outcome. Sense key, ASC and ASCQ count
 * with CHECK CONDITION. An answer that halun has no row for leaves the outcome unknown. */
void history_answer(struct history_op *op, uint8_t status, uint8_t key, uint8_t asc, uint8_t ascq,
                    uint64_t end);
/* No answer came and none will: the connection was lost. */
void history_lost(struct history_op *op, uint64_t until);
/* The same from the name of a row in sense.def, or "GOOD"; the attention is the caller's. Returns
 * -1 for other names. */
int history_set_reason(struct history_op *op, const char *name, uint64_t end);
const char *history_kind_name(enum model_kind kind);
const char *history_action_name(unsigned action);
const char *history_reason_name(enum scsi_reason reason);
/* One line for people: "nexus 3 PREEMPT key 1 action key 2 ... -> GOOD". */
void history_describe(const struct history_op *op, char *text, size_t size);

#endif
