#include "tests/history/history.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATUS_GOOD = 0x00, STATUS_CHECK_CONDITION = 0x02, KEY_UNIT_ATTENTION = 0x6 };

void history_init(struct history *history, unsigned initiators, unsigned ports, unsigned lus)
{
    assert(initiators && ports && initiators * ports <= MODEL_NEXUSES);
    assert(lus && lus <= HISTORY_LUS);
    memset(history, 0, sizeof *history);
    history->initiators = initiators;
    history->ports = ports;
    history->lus = lus;
}

void history_free(struct history *history)
{
    for (size_t i = 0; i < history->count; i++)
        free(history->ops[i].registrations);
    free(history->ops);
    free(history->keys);
    memset(history, 0, sizeof *history);
}

struct history_op history_op(enum model_kind kind, int lu, int nexus, uint64_t call)
{
    return (struct history_op){
        .op = {.kind = kind, .nexus = nexus},
        .lu = lu,
        .call = call,
        .end = HISTORY_NEVER,
        .until = HISTORY_NEVER,
        .outcome = HISTORY_UNKNOWN,
        .reason = REASON_PENDING,
        .ua = UA_COUNT,
        .value = HISTORY_NO_VALUE,
    };
}

size_t history_add(struct history *history, const struct history_op *op)
{
    if (history->count == history->room) {
        history->room = history->room ? 2 * history->room : 1024;
        history->ops = realloc(history->ops, history->room * sizeof *history->ops);
        history->keys = realloc(history->keys, history->room * sizeof *history->keys);
        if (!history->ops || !history->keys)
            abort();
    }
    assert(op->end >= op->call);
    assert(op->lu == HISTORY_ALL_LUS || (op->lu >= 0 && (unsigned)op->lu < history->lus));
    history->ops[history->count] = *op;
    history->keys[history->count] =
        (struct history_key){(int16_t)op->lu, (int16_t)op->op.nexus, (uint8_t)op->op.kind, op->block};
    return history->count++;
}

static const struct {
    const char *name;
    uint8_t status, key, asc, ascq;
} reasons[REASON_COUNT] = {
    [REASON_GOOD] = {"GOOD", STATUS_GOOD, 0, 0, 0},
    [REASON_PENDING] = {"PENDING", 0xff, 0, 0, 0},
#define REASON(name, status, key, asc, ascq, text)                                                 \
    [REASON_##name] = {#name, status, key, asc, ascq},
#include "target/command/sense.def"
#undef REASON
};

static enum unit_attention find_attention(uint8_t asc, uint8_t ascq)
{
    for (unsigned ua = 0; ua < UA_COUNT; ua++) {
        uint8_t a, q;

        ua_codes(ua, &a, &q);
        if (a == asc && q == ascq)
            return ua;
    }
    return UA_COUNT;
}

/* What a refusal says about the effect. */
static enum history_outcome outcome_of(enum scsi_reason reason)
{
    switch (reason) {
    case REASON_BUSY:
    case REASON_TASK_SET_FULL:
    case REASON_UNIT_ATTENTION:
    case REASON_NOT_READY_STANDBY:
    case REASON_NOT_READY_UNAVAILABLE:
    case REASON_NOT_READY_STOPPED:
    case REASON_NOT_READY_BECOMING:
    case REASON_INSUFFICIENT_REGISTRATION:
    case REASON_INSUFFICIENT_RESOURCES:
    case REASON_PARAMETER_LIST_LENGTH:
    case REASON_LBA_OUT_OF_RANGE:
    case REASON_SPACE_ALLOCATION_FAILED:
        return HISTORY_REFUSED;
    case REASON_NOT_READY_TRANSITION:
    case REASON_TASK_ABORTED:
    case REASON_ABORTED_COMMAND:
    case REASON_INTERNAL_FAILURE:
    case REASON_MEDIUM_READ_ERROR:
    case REASON_MEDIUM_WRITE_ERROR:
    case REASON_DATA_PHASE_ERROR:
    case REASON_PENDING: /* an answer that no row explains */
        return HISTORY_UNKNOWN;
    default:
        return HISTORY_ANSWERED;
    }
}

static void set_reason(struct history_op *op, enum scsi_reason reason, uint64_t end)
{
    op->end = end;
    op->reason = reason;
    op->outcome = outcome_of(reason);
    /* A task that was aborted has no effect after its answer (SAM-5 5.3.1), nor has one whose way to the owner broke; a
     * commit that gave up waiting may. */
    if (reason == REASON_TASK_ABORTED || reason == REASON_ABORTED_COMMAND)
        op->until = end;
}

void history_answer(struct history_op *op, uint8_t status, uint8_t key, uint8_t asc, uint8_t ascq,
                    uint64_t end)
{
    enum scsi_reason reason = REASON_PENDING;

    for (unsigned i = 0; i < REASON_COUNT; i++)
        if (reasons[i].status == status &&
            (status != STATUS_CHECK_CONDITION ||
             (reasons[i].key == key && reasons[i].asc == asc && reasons[i].ascq == ascq)))
            reason = i;
    if (status == STATUS_CHECK_CONDITION && key == KEY_UNIT_ATTENTION) {
        op->ua = find_attention(asc, ascq);
        reason = REASON_UNIT_ATTENTION;
    }
    set_reason(op, reason, end);
}

int history_set_reason(struct history_op *op, const char *name, uint64_t end)
{
    for (unsigned i = 0; i < REASON_COUNT; i++)
        if (!strcmp(reasons[i].name, name)) {
            set_reason(op, i, end);
            return 0;
        }
    return -1;
}

void history_lost(struct history_op *op, uint64_t until)
{
    op->outcome = HISTORY_UNKNOWN;
    op->reason = REASON_PENDING;
    op->end = HISTORY_NEVER;
    op->until = until;
}

static const char *const kinds[MODEL_KINDS] = {
    [MODEL_PR_OUT] = "pr_out",
    [MODEL_RESERVE] = "reserve",
    [MODEL_RELEASE] = "release",
    [MODEL_LU_RESET] = "lu_reset",
    [MODEL_NEXUS_LOSS] = "nexus_loss",
    [MODEL_COLD_START] = "cold_start",
    [MODEL_CACHE_LOSS] = "cache_loss",
    [MODEL_MODE_SELECT] = "mode_select",
    [MODEL_MODE_SENSE] = "mode_sense",
    [MODEL_READ_KEYS] = "read_keys",
    [MODEL_READ_RESERVATION] = "read_reservation",
    [MODEL_READ_FULL_STATUS] = "read_full_status",
    [MODEL_READ] = "read",
    [MODEL_WRITE] = "write",
    [MODEL_COMPARE_AND_WRITE] = "compare_and_write",
    [MODEL_COMMAND] = "command",
    [MODEL_LOGIN] = "login",
    [MODEL_ATTENTION] = "attention",
};

static const char *const actions[MODEL_ACTIONS] = {
    "register",
    "reserve",
    "release",
    "clear",
    "preempt",
    "preempt_and_abort",
    "register_and_ignore",
    "register_and_move",
};

const char *history_kind_name(enum model_kind kind)
{
    return kind < MODEL_KINDS ? kinds[kind] : "?";
}

const char *history_action_name(unsigned action)
{
    return action < MODEL_ACTIONS ? actions[action] : "?";
}

const char *history_reason_name(enum scsi_reason reason)
{
    return reason < REASON_COUNT ? reasons[reason].name : "?";
}

static void append(char *text, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void append(char *text, size_t size, const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text + used, size - used, format, arguments);
    va_end(arguments);
}

static void describe_pr_out(const struct model_op *op, char *text, size_t size)
{
    append(text, size, "PR OUT %s key %llx", history_action_name(op->action),
           (unsigned long long)op->key);
    if (op->action != 1 && op->action != 2 && op->action != 3)
        append(text, size, " action key %llx", (unsigned long long)op->action_key);
    if (op->action == 1 || op->action == 2 || op->action == 4 || op->action == 5)
        append(text, size, " type %u", op->type);
    if (op->spec_i_pt)
        append(text, size, " spec_i_pt %llx", (unsigned long long)op->named);
    if (op->action == 7)
        append(text, size, " to nexus %d%s", op->move_to, op->unreg ? " unreg" : "");
    append(text, size, "%s%s", op->all_tg_pt ? " all_tg_pt" : "", op->aptpl ? " aptpl" : "");
}

static void describe_read(const struct history_op *op, char *text, size_t size)
{
    append(text, size, " generation %u", op->generation);
    if (op->op.kind == MODEL_READ_RESERVATION)
        append(text, size, " type %u key %llx", op->read_type, (unsigned long long)op->read_key);
    for (unsigned i = 0; op->registrations && i < op->registration_count; i++) {
        append(text, size, "%s%llx", i ? ", " : " keys ",
               (unsigned long long)op->registrations[i].key);
        if (op->op.kind == MODEL_READ_FULL_STATUS)
            append(text, size, " of %d%s", op->registrations[i].nexus,
                   op->registrations[i].holder ? " (holder)" : "");
    }
    if (op->op.kind == MODEL_READ_FULL_STATUS && op->read_type)
        append(text, size, " type %u", op->read_type);
}

void history_describe(const struct history_op *op, char *text, size_t size)
{
    bool in = op->op.kind >= MODEL_READ_KEYS && op->op.kind <= MODEL_READ_FULL_STATUS;

    text[0] = '\0';
    if (op->line)
        append(text, size, "line %u: ", op->line);
    if (op->op.kind != MODEL_COLD_START && op->op.kind != MODEL_CACHE_LOSS)
        append(text, size, "nexus %d ", op->op.nexus);
    if (op->op.kind == MODEL_PR_OUT)
        describe_pr_out(&op->op, text, size);
    else
        append(text, size, "%s", history_kind_name(op->op.kind));
    if (op->op.kind == MODEL_MODE_SELECT || op->op.kind == MODEL_MODE_SENSE) {
        const struct shared_mode *mode =
            op->op.kind == MODEL_MODE_SELECT ? &op->op.mode : &op->read_mode;
        if (op->op.pages & MODEL_PAGE_CACHING)
            append(text, size, " wce %u", mode->wce);
        if (op->op.pages & MODEL_PAGE_CONTROL)
            append(text, size, " swp %u d_sense %u tas %u", mode->swp, mode->d_sense, mode->tas);
    }
    if (op->value != HISTORY_NO_VALUE)
        append(text, size, " block %u value %llu", op->block, (unsigned long long)op->value);
    if (op->op.kind == MODEL_COMPARE_AND_WRITE)
        append(text, size, " instead of %llu", (unsigned long long)op->compare);
    if (op->op.kind == MODEL_ATTENTION && op->ua < UA_COUNT)
        append(text, size, " %s", ua_text(op->ua));
    append(text, size, " -> %s",
           op->reason == REASON_PENDING ? "unknown" : history_reason_name(op->reason));
    if (op->reason == REASON_UNIT_ATTENTION && op->ua < UA_COUNT)
        append(text, size, " (%s)", ua_text(op->ua));
    if (op->outcome == HISTORY_ANSWERED && in && op->reason == REASON_GOOD)
        describe_read(op, text, size);
    append(text, size, ", called at %.6f s", (double)op->call / 1e9);
    if (op->end != HISTORY_NEVER)
        append(text, size, ", answered at %.6f s", (double)op->end / 1e9);
}
