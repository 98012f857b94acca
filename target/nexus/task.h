/* A SCSI command in flight. A task is born in a transport, executed by the command layer, and ended by
 * the transport; it lives on one reactor from first byte to status, abort included.
 *
 *   transport                    command layer
 *   task_execute(task)     --->  finds LU and row, checks; wants data?
 *            <--- transport->receive_data(task, n)      (data_out filled by the transport)
 *   task_data_ready(task)  --->  checks again (time has passed), runs the row's handler
 *            <--- transport->complete(task)             (status, sense, data_in are final)
 *
 * complete() is called exactly once per task, aborted or not; with task->silent no answer is sent. */
#ifndef HALUN_NEXUS_TASK_H
#define HALUN_NEXUS_TASK_H

#include <qb/qblist.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "target/base/limits.h"
#include "target/base/payload.h"
#include "target/base/reactor.h"
#include "target/command/reason.h"
#include "target/store/store.h"

struct exclusive;
struct lane;
struct lu;
struct nexus;
struct scsi_command;
struct task;

enum task_attribute { TASK_UNTAGGED, TASK_SIMPLE, TASK_ORDERED, TASK_HEAD_OF_QUEUE, TASK_ACA };

enum task_state {
    TASK_NEW,       /* not yet seen by the command layer */
    TASK_DATA_OUT,  /* waits for its data from the initiator */
    TASK_HELD,      /* waits at a gate (switchover, failover, exclusive range), or for the lease */
    TASK_RUNNING,   /* admitted: counts as in flight in its lane, may touch the medium */
    TASK_DONE,      /* handed to complete() */
};

struct task_transport {
    const char *name;
    /* Fills task->data_out (allocated by the command layer, `length` bytes; never more than the
     * initiator said it would send), then calls task_data_ready(). If the data cannot come (connection
     * lost) it calls task_abort(task, true) instead. complete() may come first (the task was aborted):
     * then the transport forgets what it waited for. */
    void (*receive_data)(struct task *task, uint32_t length);
    /* The task is finished: send data_in (its first data_in_length bytes) and status unless
     * task->silent, then release the task's payloads and its memory. */
    void (*complete)(struct task *task);
};

struct task {
    /* Set by the transport before task_execute(); constant afterwards. */
    const struct task_transport *transport;
    struct nexus *nexus;
    struct reactor *reactor;
    uint64_t lun;               /* the 8 LUN bytes as a big-endian number (SAM-5 4.7) */
    uint64_t tag;               /* initiator task tag, unique in the nexus */
    uint8_t cdb[LIMIT_CDB];
    uint8_t cdb_length;
    enum task_attribute attribute;
    uint32_t expected_in;       /* bytes the initiator has room for (0: not a read) */
    uint32_t expected_out;      /* bytes the initiator will send (0: not a write) */

    /* The command layer's. */
    enum task_state state;
    bool aborted;               /* ends as soon as it can; status is not GOOD any more */
    bool silent;                /* complete() sends nothing (aborted by its own nexus, connection lost) */
    bool ua_checked;            /* unit attentions were reported or skipped once */
    uint8_t unit_attention;     /* enum unit_attention to report, with REASON_UNIT_ATTENTION */
    uint8_t order;              /* enum task_order: waits for older tasks of its nexus */
    struct qb_list_head nexus_link; /* in nexus->tasks, order of arrival, until complete() */
    struct qb_list_head lane_link;  /* in a list of its lane: running or held */
    struct lane *lane;          /* lane of its LU on this reactor, from lookup on */
    struct lu *lu;              /* NULL: no such LUN */
    bool lun_read_only;         /* by the host's LUN map */
    const struct scsi_command *command; /* its row */
    uint64_t lba;               /* decoded by the row's positions; blocks */
    uint64_t blocks;
    uint64_t held_since_ns;     /* when it was held first; 0 = never */
    uint64_t began_ns;          /* when it arrived */
    uint64_t limit_start_ns;    /* its turn under the limits of its LU and host, see limit.h */
    uint32_t limit_changes;
    bool limit_taken;
    uint32_t generation;        /* of its lane at admission */
    bool executing;             /* admitted at an executing gate: a drain of the group waits for it */
    bool wants_range;           /* waits for its exclusive range: touches no medium meanwhile */
    struct exclusive *exclusive; /* its exclusive range, see lane_exclusive_begin() */
    bool bounced;               /* forwarded to a node that does not own the group (peer's answer) */
    bool answer_held;           /* it is over, but its answer waits for the lease (as it is, or `answer`) */
    bool answer_as_is;
    enum scsi_reason answer;
    uint32_t forward_slot;      /* transport/peer's, while forwarded; 0 = not forwarded */
    struct timer timer;         /* hold limit */
    struct store_io io;         /* the handler's */
    struct iovec iov[LIMIT_SEGMENTS + 1];
    uint64_t step;              /* the handler's progress */
    uint64_t information;       /* INFORMATION field of the sense data, when information_valid */
    bool information_valid;
    bool field_valid, field_is_cdb; /* sense-key specific field pointer, see field_in_cdb() */
    int8_t field_bit;
    uint16_t field_byte;
    void *scratch;              /* the handler's; freed by it before completion */
    struct post post;           /* to the control thread and back */
    struct payload data_out;    /* what the initiator sent; length = what was asked for */
    struct payload data_in;     /* what goes to the initiator */

    /* Results. */
    uint8_t status;             /* SAM-5 5.3.1 */
    uint8_t sense_length;
    uint8_t sense[LIMIT_SENSE];
    uint32_t data_in_length;    /* bytes of data_in that are valid (before truncation to expected_in) */
    uint32_t data_wanted;       /* bytes the CDB asks to move, either way; residuals are computed from
                                 * this and expected_in / expected_out (RFC 7143 11.4.5) */
};

/* Makes a task that was used before (or all zeros), whose payloads are empty again, as good as zeroed for the next
 * command; the large arrays have lengths of their own and are not touched. */
static inline void task_clear(struct task *task)
{
    memset(task, 0, offsetof(struct task, iov));
    memset(&task->step, 0, offsetof(struct task, data_out) - offsetof(struct task, step));
    task->data_out.length = task->data_in.length = 0;
    task->data_out.count = task->data_in.count = 0;
    task->status = task->sense_length = 0;
    task->data_in_length = task->data_wanted = 0;
}

/* A command has arrived: everything above "The command layer's" is set, the rest is zero. Adds it to
 * its nexus. May complete it before returning. */
void task_execute(struct task *task);
/* The data asked for by receive_data() is in task->data_out. */
void task_data_ready(struct task *task);
/* Asks for the end of a task. It completes as soon as nothing of it touches the medium any more,
 * possibly before this returns. `silent`: no answer (ABORT TASK, nexus lost), otherwise TASK ABORTED. */
void task_abort(struct task *task, bool silent);
/* Ends a task with `reason` (not PENDING); any handler, once. */
void task_complete(struct task *task, enum scsi_reason reason);
/* The same for a task whose status, sense and data came from the owner (transport/peer): status, sense,
 * sense_length, data_in, data_in_length and data_wanted are set. A lost lease still has the last word. */
void task_complete_as_is(struct task *task);

#endif
