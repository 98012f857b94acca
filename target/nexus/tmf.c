/* Task management that concerns the asking nexus alone; what reaches others is committed in the
 * cluster (tmf_commit). With TST = 001b the task set of a nexus is its own, so CLEAR TASK SET
 * aborts what ABORT TASK SET does. */
#include "target/nexus/tmf.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "target/command/control_calls.h"
#include "target/device/device.h"
#include "target/nexus/lun_map.h"
#include "target/nexus/nexus.h"

enum tmf_scope {
    SCOPE_NONE,   /* not supported */
    SCOPE_TASK,   /* one task of the nexus */
    SCOPE_NEXUS,  /* the tasks of the nexus at the LUN */
    SCOPE_LU,     /* all tasks of the LU, on all nodes */
    SCOPE_TARGET, /* all LUs */
};

struct tmf_row {
    const char *name;
    enum tmf_scope scope;
    uint8_t report; /* bit in byte 0 of REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS */
};

static const struct tmf_row rows[] = {
    [TMF_ABORT_TASK] = {"ABORT TASK", SCOPE_TASK, 0x80},
    [TMF_ABORT_TASK_SET] = {"ABORT TASK SET", SCOPE_NEXUS, 0x40},
    [TMF_CLEAR_ACA] = {"CLEAR ACA", SCOPE_NONE, 0x20},
    [TMF_CLEAR_TASK_SET] = {"CLEAR TASK SET", SCOPE_NEXUS, 0x10},
    [TMF_LOGICAL_UNIT_RESET] = {"LOGICAL UNIT RESET", SCOPE_LU, 0x08},
    [TMF_TARGET_WARM_RESET] = {"TARGET WARM RESET", SCOPE_TARGET, 0x02},
    [TMF_TARGET_COLD_RESET] = {"TARGET COLD RESET", SCOPE_TARGET, 0x02},
};

enum { ROWS = sizeof rows / sizeof rows[0] };

void tmf_report(uint8_t supported[2])
{
    memset(supported, 0, 2);
    for (unsigned i = 0; i < ROWS; i++) {
        if (rows[i].scope != SCOPE_NONE)
            supported[0] |= rows[i].report;
    }
}

const char *tmf_name(enum tmf_function function)
{
    return (unsigned)function < ROWS ? rows[function].name : "?";
}

static bool affects(const struct tmf *tmf, const struct task *task)
{
    if (task->lu != tmf->lu)
        return false;
    return rows[tmf->function].scope != SCOPE_TASK || task->tag == tmf->tag;
}

/* Tasks that came after the TMF are not aborted by it, so they do not delay its answer. */
static bool still_waits(const struct tmf *tmf)
{
    const struct task *task;

    qb_list_for_each_entry(task, &tmf->nexus->tasks, nexus_link)
    {
        if (task->aborted && affects(tmf, task))
            return true;
    }
    return false;
}

void tmf_task_ended(struct nexus *nexus)
{
    struct qb_list_head over;
    struct tmf *tmf, *next;

    qb_list_init(&over);
    qb_list_for_each_entry_safe(tmf, next, &nexus->tmfs, link)
    {
        if (!still_waits(tmf)) {
            qb_list_del(&tmf->link);
            qb_list_add_tail(&tmf->link, &over);
        }
    }
    /* done() may free the TMF, and with the last one the nexus. */
    while (!qb_list_empty(&over)) {
        tmf = qb_list_first_entry(&over, struct tmf, link);
        qb_list_del(&tmf->link);
        tmf->done(tmf, TMF_COMPLETE);
    }
}

static bool has_just_ended(const struct nexus *nexus, uint64_t tag)
{
    uint32_t kept =
        nexus->finished_count < NEXUS_FINISHED_TAGS ? nexus->finished_count : NEXUS_FINISHED_TAGS;

    for (uint32_t i = 0; i < kept; i++) {
        if (nexus->finished_tags[i] == tag)
            return true;
    }
    return false;
}

/* Aborts one affected task; false: none is left that was not aborted yet. Starts from the head each
 * time, because ending a task may end others. */
static bool abort_next(struct tmf *tmf)
{
    struct task *task;

    qb_list_for_each_entry(task, &tmf->nexus->tasks, nexus_link)
    {
        if (affects(tmf, task) && (!task->aborted || !task->silent)) {
            task_abort(task, true);
            return true;
        }
    }
    return false;
}

static void abort_own_tasks(struct tmf *tmf)
{
    struct nexus *nexus = tmf->nexus;
    bool any = false;

    while (abort_next(tmf))
        any = true;
    if (still_waits(tmf)) {
        if (!nexus->tmfs.next)
            qb_list_init(&nexus->tmfs);
        qb_list_add_tail(&tmf->link, &nexus->tmfs);
        return;
    }
    if (rows[tmf->function].scope == SCOPE_TASK && !any && !has_just_ended(nexus, tmf->tag))
        tmf->done(tmf, TMF_NO_TASK);
    else
        tmf->done(tmf, TMF_COMPLETE);
}

void tmf_execute(struct tmf *tmf)
{
    const struct lun_entry *entry;

    tmf->lu = NULL;
    if ((unsigned)tmf->function >= ROWS || rows[tmf->function].scope == SCOPE_NONE) {
        tmf->done(tmf, TMF_NOT_SUPPORTED);
        return;
    }
    if (rows[tmf->function].scope == SCOPE_TARGET) {
        tmf_commit(tmf, tmf->function == TMF_TARGET_COLD_RESET ? SHARED_OP_TARGET_COLD_RESET
                                                               : SHARED_OP_TARGET_RESET);
        return;
    }
    entry = lun_map_find(tmf->nexus->lun_map, tmf->lun);
    tmf->lu = entry ? device_lus[entry->lu_index] : NULL;
    if (!tmf->lu) {
        tmf->done(tmf, TMF_NO_LUN);
        return;
    }
    if (rows[tmf->function].scope == SCOPE_LU)
        tmf_commit(tmf, SHARED_OP_LU_RESET);
    else
        abort_own_tasks(tmf);
}
