/* Is an answer one that may come now? The cluster must never show through: no missing unit, no
 * medium error, and 02/04/0A only after a command was held as long as it may be. */
#include <string.h>

#include "tests/sim/checkers.h"
#include "tests/sim/workload.h"

enum { THIRD_PARTY_COPY_OUT = 0x83, KEY_NOT_READY = 2, KEY_MEDIUM_ERROR = 3, KEY_ILLEGAL_REQUEST = 5 };

static bool disks_fail(void)
{
    return sim_config()->faults & (1u << SIM_DISK_ERROR | 1u << SIM_FULL_DISK | 1u << SIM_READ_ERROR) ||
           sim_disk_failed();
}

/* Commands that wait when the cluster can not decide or nobody owns the group. TEST UNIT READY
 * tells the state at once. */
static bool is_held(const struct job *job)
{
    return job->op.op.kind != MODEL_COMMAND || job->synchronize;
}

static void wrong(const struct job *job, const char *why)
{
    char text[512];

    history_describe(&job->op, text, sizeof text);
    sim_fail("%s: node%u lu%u %s", why, job->path->node, job->lu, text);
}

/* Somebody may have aborted it: a reset, PREEMPT AND ABORT, at any time while it was under way. */
static bool may_be_aborted(const struct job *job)
{
    return workload_aborts(job->lu, job->op.call);
}

void answers_check(const struct job *job)
{
    uint64_t waited = sim_now() - job->op.call;

    if (job->command.outcome != SIM_ANSWERED)
        return;
    sim_count(history_reason_name(job->op.reason), 1);
    switch (job->op.reason) {
    case REASON_GOOD:
    case REASON_RESERVATION_CONFLICT:
        return; /* the history says whether rightly */
    case REASON_UNIT_ATTENTION:
        if (job->op.ua == UA_COUNT)
            wrong(job, "an unknown unit attention");
        return;
    case REASON_NOT_READY_TRANSITION:
        if (is_held(job) && waited < (uint64_t)sim_config()->hold_ms * SIM_MS * 3 / 4 &&
            !disks_fail())
            wrong(job, "02/04/0A before hold_ms was over");
        return;
    case REASON_TASK_ABORTED:
        if (!may_be_aborted(job))
            wrong(job, "TASK ABORTED, but nobody did");
        return;
    case REASON_MISCOMPARE:
        if (job->op.op.kind != MODEL_COMPARE_AND_WRITE)
            wrong(job, "MISCOMPARE");
        return;
    case REASON_WRITE_PROTECTED:
        if (job->op.op.kind != MODEL_WRITE && job->op.op.kind != MODEL_COMPARE_AND_WRITE)
            wrong(job, "write protected");
        return;
    case REASON_INVALID_FIELD_IN_CDB:
    case REASON_INVALID_FIELD_IN_PARAMETERS:
    case REASON_INVALID_RELEASE:
        if (job->op.op.kind != MODEL_PR_OUT)
            wrong(job, "an illegal request");
        return;
    case REASON_INVALID_OPCODE: /* only stories ask for what is not there */
        if (job->command.cdb[0] != THIRD_PARTY_COPY_OUT)
            wrong(job, "an illegal request");
        return;
    case REASON_BUSY:
    case REASON_TASK_SET_FULL:
        return;
    case REASON_ABORTED_COMMAND: /* the way to the owner broke: it may have been done, and was not repeated or is
                                  * refused now */
        if (job->op.op.kind != MODEL_COMPARE_AND_WRITE && job->op.op.kind != MODEL_WRITE)
            wrong(job, "an aborted command");
        return;
    case REASON_MEDIUM_READ_ERROR:
    case REASON_MEDIUM_WRITE_ERROR:
    case REASON_SPACE_ALLOCATION_FAILED:
        if (!disks_fail())
            wrong(job, "a medium error, but no disk failed");
        return;
    default:
        wrong(job, "an answer that nothing explains");
    }
}
