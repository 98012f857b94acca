/* What the clients were told: the history of the run, and the ledger of acknowledged writes. */
#include <assert.h>
#include <string.h>

#include "target/base/bytes.h"
#include "tests/sim/checkers.h"
#include "tests/sim/workload.h"

enum { VALUES = 1 << 20, MAGIC_AT = 0, LU_AT = 8, BLOCK_AT = 12, VALUE_AT = 16, BODY_AT = 24 };
enum { SENSE_FIXED = 0x70, SENSE_DESCRIPTOR = 0x72, STATUS_CHECK_CONDITION = 2 };

#define MAGIC 0x68616c756e73696du /* "halunsim" */

struct writer_of {
    uint32_t lu, block;
    int nexus;
    uint64_t sent, over; /* over: 0 = it may have an effect still */
};

static struct history history;
static struct blocks blocks[LIMIT_LUS];
static unsigned lus;
static struct writer_of writers[VALUES];
static uint64_t next_value;

struct history *record_history(void)
{
    return &history;
}

struct blocks *record_blocks(unsigned lu)
{
    assert(lu < lus);
    return &blocks[lu];
}

void record_end(void)
{
    if (lus)
        history_free(&history);
    for (unsigned i = 0; i < lus; i++)
        blocks_free(&blocks[i]);
    lus = 0;
}

void record_begin(unsigned clients)
{
    record_end();
    lus = sim_config()->lus;
    next_value = 0;
    history_init(&history, clients, sim_config()->nodes, lus);
    /* What the clients do not cause themselves and nobody marks. */
    history.ua_free = 1u << UA_ACCESS_STATE_CHANGED | 1u << UA_CAPACITY_CHANGED |
                      1u << UA_INQUIRY_CHANGED | 1u << UA_LUNS_CHANGED | 1u << UA_COMMANDS_CLEARED;
    for (unsigned i = 0; i < lus; i++)
        blocks_init(&blocks[i], WORKLOAD_BLOCKS);
}

uint64_t record_value(void)
{
    if (next_value + 1 == VALUES)
        sim_fail("the workload wrote more than %d values", VALUES);
    return ++next_value;
}

bool record_writer(uint64_t value, unsigned *lu, uint32_t *block, int *nexus, uint64_t *sent)
{
    if (!value || value > next_value || !writers[value].sent)
        return false;
    *lu = writers[value].lu;
    *block = writers[value].block;
    *nexus = writers[value].nexus;
    *sent = writers[value].sent;
    return true;
}

uint64_t record_over(uint64_t value)
{
    return value && value <= next_value ? writers[value].over : 0;
}

/* ---- contents ---- */

/* The word at `at` of a block of `value`; no two values have the same. */
static uint64_t word(uint64_t value, unsigned at)
{
    return value * 0xbf58476d1ce4e5b9u + at * 0x9e3779b97f4a7c15u;
}

void record_fill(unsigned lu, uint32_t block, uint64_t value, uint8_t *data, unsigned size)
{
    if (!value) {
        memset(data, 0, size);
        return;
    }
    put_be64(data + MAGIC_AT, MAGIC);
    put_be32(data + LU_AT, lu);
    put_be32(data + BLOCK_AT, block);
    put_be64(data + VALUE_AT, value);
    for (unsigned i = BODY_AT; i < size; i += 8)
        put_be64(data + i, word(value, i));
}

uint64_t record_read(unsigned lu, uint32_t block, const uint8_t *data, unsigned size)
{
    uint64_t value = get_be64(data + VALUE_AT);

    if (get_be64(data + MAGIC_AT) != MAGIC) {
        for (unsigned i = 0; i < size; i++)
            if (data[i])
                return HISTORY_NO_VALUE;
        return 0;
    }
    if (get_be32(data + LU_AT) != lu || get_be32(data + BLOCK_AT) != block)
        return HISTORY_NO_VALUE;
    for (unsigned i = BODY_AT; i < size; i += 8)
        if (get_be64(data + i) != word(value, i))
            return HISTORY_NO_VALUE;
    return value;
}

uint64_t record_value_of(const uint8_t *data)
{
    return get_be64(data + MAGIC_AT) == MAGIC ? get_be64(data + VALUE_AT) : 0;
}

void record_cache_loss(unsigned lu)
{
    struct history_op op = history_op(MODEL_CACHE_LOSS, (int)lu, 0, sim_now());

    if (lu >= lus)
        return; /* no workload */
    history_set_reason(&op, "GOOD", sim_now());
    history_add(&history, &op);
    blocks_power_cut(&blocks[lu]);
}

/* ---- sessions ---- */

void record_login(const struct path *path, uint64_t end)
{
    struct history_op op = history_op(MODEL_LOGIN, HISTORY_ALL_LUS, path->nexus, path->login_call);

    history_set_reason(&op, "GOOD", end);
    history_add(&history, &op);
}

void record_loss(const struct path *path)
{
    /* It may have been lost for the target since it was heard of last. */
    struct history_op op = history_op(MODEL_NEXUS_LOSS, HISTORY_ALL_LUS, path->nexus, path->heard);

    history_add(&history, &op);
}

void history_cold_start(uint64_t lost, uint64_t back)
{
    struct history_op op = history_op(MODEL_COLD_START, HISTORY_ALL_LUS, 0, lost);

    history_set_reason(&op, "GOOD", back);
    history_add(&history, &op);
}

/* ---- commands ---- */

void record_sense(const struct sim_command *command, uint8_t *key, uint8_t *asc, uint8_t *ascq)
{
    const uint8_t *sense = command->sense;

    *key = *asc = *ascq = 0;
    if (command->status != STATUS_CHECK_CONDITION || command->sense_length < 4)
        return;
    if ((sense[0] & 0x7f) == SENSE_DESCRIPTOR) {
        *key = sense[1] & 0x0f;
        *asc = sense[2];
        *ascq = sense[3];
    } else if ((sense[0] & 0x7f) == SENSE_FIXED && command->sense_length >= 14) {
        *key = sense[2] & 0x0f;
        *asc = sense[12];
        *ascq = sense[13];
    }
}

static bool writes(const struct job *job)
{
    return job->op.op.kind == MODEL_WRITE || job->op.op.kind == MODEL_COMPARE_AND_WRITE;
}

void record_call(struct job *job)
{
    for (unsigned i = 0; i < job->block_count && writes(job); i++) {
        struct job_block *b = &job->blocks[i];

        writers[b->value] = (struct writer_of){job->lu, b->block, job->path->nexus, sim_now() + 1, 0};
        blocks_issue(&blocks[job->lu], b->block, b->value, job->fua);
    }
    if (job->synchronize)
        job->mark = blocks_mark(&blocks[job->lu]);
}

/* What the answer says about the blocks that were written. */
static void settle_writes(const struct job *job)
{
    for (unsigned i = 0; i < job->block_count; i++) {
        const struct job_block *b = &job->blocks[i];

        if (job->op.outcome != HISTORY_UNKNOWN || job->op.until != HISTORY_NEVER)
            writers[b->value].over = sim_now();
        if (job->op.outcome == HISTORY_UNKNOWN)
            continue;
        if (job->op.reason == REASON_GOOD)
            blocks_acknowledge(&blocks[job->lu], b->block, b->value);
        else
            blocks_refused(&blocks[job->lu], b->block, b->value);
    }
}

void record_return(struct job *job)
{
    uint8_t key, asc, ascq;

    switch (job->command.outcome) {
    case SIM_ANSWERED:
        record_sense(&job->command, &key, &asc, &ascq);
        history_answer(&job->op, job->command.status, key, asc, ascq, sim_now());
        break;
    case SIM_LOST:
        history_lost(&job->op, HISTORY_NEVER);
        break;
    case SIM_ABORTED: /* nothing of it comes after the function was answered */
        history_lost(&job->op, sim_now());
        break;
    }
    if (writes(job))
        settle_writes(job);
    if (job->synchronize && job->op.reason == REASON_GOOD && job->op.outcome == HISTORY_ANSWERED) {
        blocks_synchronized(&blocks[job->lu], job->mark);
        check_stable_copies();
    }
    if (job->answered && job->op.outcome == HISTORY_ANSWERED && job->op.reason == REASON_GOOD)
        job->answered(job);
    if (!job->block_count) {
        history_add(&history, &job->op);
        job->op.registrations = NULL;
        return;
    }
    for (unsigned i = 0; i < job->block_count; i++) {
        job->op.block = job->blocks[i].block;
        job->op.value = job->blocks[i].value;
        job->op.compare = job->blocks[i].compare;
        job->op.silent_ua = i > 0; /* the first speaks for all */
        history_add(&history, &job->op);
    }
}
