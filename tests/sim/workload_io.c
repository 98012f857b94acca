/* Reads, writes, COMPARE AND WRITE and SYNCHRONIZE CACHE of a few blocks that everybody wants. */
#include <string.h>

#include "target/base/bytes.h"
#include "tests/sim/workload.h"

enum {
    READ_16 = 0x88,
    WRITE_16 = 0x8a,
    COMPARE_AND_WRITE = 0x89,
    SYNCHRONIZE_CACHE_16 = 0x91,
    FUA = 0x08,
};

/* The newest value that any client saw or wrote there; what COMPARE AND WRITE expects. */
static uint64_t seen[LIMIT_LUS][WORKLOAD_BLOCKS];

/* Runs of blocks lie far from each other, so that they are in different extents. */
uint64_t workload_lba(uint32_t block)
{
    uint64_t stride = sim_config()->lu_blocks / (WORKLOAD_BLOCKS / WORKLOAD_RUN);

    return block / WORKLOAD_RUN * stride + block % WORKLOAD_RUN;
}

static void saw(struct job *job)
{
    unsigned size = sim_config()->block_size;

    for (unsigned i = 0; i < job->block_count; i++) {
        struct job_block *b = &job->blocks[i];

        if (job->op.op.kind == MODEL_READ)
            b->value = record_read(job->lu, b->block, job->in + (size_t)i * size, size);
        if (b->value == HISTORY_NO_VALUE) {
            if (!blocks_may_be_torn(record_blocks(job->lu), b->block))
                sim_fail("lu%u block %u: damaged content on node%u", job->lu, b->block,
                         job->path->node);
        } else {
            seen[job->lu][b->block] = b->value;
        }
    }
}

static void choose(struct job *job, unsigned most)
{
    uint32_t first = sim_random(WORKLOAD_BLOCKS);
    unsigned count = 1 + (sim_chance(250) ? sim_random(most) : 0);

    job->block_count = 0;
    for (unsigned i = 0; i < count; i++) {
        if (i && (first + i) % WORKLOAD_RUN == 0)
            break;
        job->blocks[job->block_count++] = (struct job_block){.block = first + i};
    }
}

static void media_cdb(struct job *job, uint8_t *cdb, uint8_t opcode)
{
    memset(cdb, 0, 16);
    cdb[0] = opcode;
    cdb[1] = job->fua ? FUA : 0;
    put_be64(cdb + 2, workload_lba(job->blocks[0].block));
    put_be32(cdb + 10, job->block_count);
}

static bool begin_read(struct job *job)
{
    uint8_t cdb[16];

    choose(job, WORKLOAD_RUN);
    media_cdb(job, cdb, READ_16);
    for (unsigned i = 0; i < job->block_count; i++)
        job->blocks[i].value = HISTORY_NO_VALUE;
    job_send(job, MODEL_READ, cdb, 16, 0, job->block_count * sim_config()->block_size);
    return true;
}

static bool begin_write(struct job *job)
{
    unsigned size = sim_config()->block_size;
    uint8_t cdb[16];

    job->fua = sim_chance(250);
    choose(job, WORKLOAD_RUN);
    media_cdb(job, cdb, WRITE_16);
    for (unsigned i = 0; i < job->block_count; i++) {
        struct job_block *b = &job->blocks[i];
        b->value = record_value();
        record_fill(job->lu, b->block, b->value, job->out + (size_t)i * size, size);
    }
    job_send(job, MODEL_WRITE, cdb, 16, job->block_count * size, 0);
    return true;
}

static bool begin_compare(struct job *job)
{
    unsigned size = sim_config()->block_size;
    struct job_block *b = &job->blocks[0];
    uint8_t cdb[16];

    choose(job, 1);
    job->fua = sim_chance(250);
    media_cdb(job, cdb, COMPARE_AND_WRITE);
    memset(cdb + 10, 0, 4);
    cdb[13] = 1;
    b->value = record_value();
    b->compare = seen[job->lu][b->block];
    record_fill(job->lu, b->block, b->compare, job->out, size);
    record_fill(job->lu, b->block, b->value, job->out + size, size);
    job_send(job, MODEL_COMPARE_AND_WRITE, cdb, 16, 2 * size, 0);
    return true;
}

static bool begin_synchronize(struct job *job)
{
    static const uint8_t cdb[16] = {SYNCHRONIZE_CACHE_16};

    job->synchronize = true;
    job_send(job, MODEL_COMMAND, cdb, 16, 0, 0);
    return true;
}

static void forget(void)
{
    memset(seen, 0, sizeof seen);
}

static bool begin(struct job *job)
{
    unsigned what = sim_random(100);

    job->op = history_op(MODEL_COMMAND, (int)job->lu, job->path->nexus, sim_now());
    job->block_count = 0;
    job->fua = job->synchronize = false;
    job->answered = saw;
    if (what < 35)
        return begin_read(job);
    if (what < 85)
        return begin_write(job);
    if (what < 95)
        return begin_compare(job);
    return begin_synchronize(job);
}

const struct job_kind job_io = {"io", forget, begin, 150ull * SIM_MS};
