/* Task management functions (SAM-5 7). A TMF is answered only when no affected command can touch the
 * medium any more, on any node; functions that reach other nexuses go through a cluster commit. */
#ifndef HALUN_NEXUS_TMF_H
#define HALUN_NEXUS_TMF_H

#include <qb/qblist.h>
#include <stdint.h>

#include "target/base/mailbox.h"

struct lu;
struct nexus;
struct reactor;

enum tmf_function {
    TMF_ABORT_TASK,
    TMF_ABORT_TASK_SET,
    TMF_CLEAR_ACA,
    TMF_CLEAR_TASK_SET,
    TMF_LOGICAL_UNIT_RESET,
    TMF_TARGET_WARM_RESET,
    TMF_TARGET_COLD_RESET,
};

enum tmf_response { /* RFC 7143 11.6.1 has the same order */
    TMF_COMPLETE,
    TMF_NO_TASK,
    TMF_NO_LUN,
    TMF_NOT_SUPPORTED,
    TMF_REJECTED,
};

struct tmf {
    struct nexus *nexus;
    enum tmf_function function;
    uint64_t lun; /* as in struct task */
    uint64_t tag; /* of the task to abort */
    /* Called once on the nexus's reactor. */
    void (*done)(struct tmf *tmf, enum tmf_response response);
    /* private */
    struct lu *lu;            /* of `lun`; NULL for target resets */
    struct qb_list_head link; /* in nexus->tmfs while it waits for tasks to end */
    struct post post;
    void *context;
};

/* Executes a TMF; the transport has delivered all commands that came before it. A task to abort that is
 * unknown here gives TMF_NO_TASK; one that has just ended gives TMF_COMPLETE, as initiators expect. May
 * call done() before it returns. The nexus must not be removed before done(). */
void tmf_execute(struct tmf *tmf);
/* A task of `nexus` ended: answers the TMFs that waited for it. Called by the command layer. */
void tmf_task_ended(struct nexus *nexus);
/* Bytes 0 and 1 of REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 6.36), made from the rows. */
void tmf_report(uint8_t supported[2]);
const char *tmf_name(enum tmf_function function);

#endif
