/* The life of a task between its transport and its handler; see target/nexus/task.h. */
/* clang-format off */
/*   task_execute -> checks -> [data phase, checks again] -> task set -> lane_admit -> handler
 *                     ^                                        |             |           |
 *                     +------------- task_resume --------------+-------------+-----------+ nothing was begun
 */
/* clang-format on */
#include <assert.h>

#include "target/command/checks.h"
#include "target/command/command.h"
#include "target/command/control_calls.h"
#include "target/command/task_answer.h"
#include "target/command/task_set.h"
#include "target/device/device.h"
#include "target/nexus/lane.h"
#include "target/nexus/limit.h"
#include "target/nexus/meter.h"
#include "target/nexus/nexus.h"
#include "target/nexus/tmf.h"
#include "target/transport/peer.h"

enum { STATUS_GOOD = 0x00, OP_COMPARE_AND_WRITE = 0x89 };

/* Bytes to fetch from the initiator: what the CDB asks for, as far as it will be sent; of a write
 * only whole blocks (RFC 7143 11.4.5.2: the rest is residual overflow). */
static uint32_t data_to_fetch(const struct task *task)
{
    uint32_t length = task->data_wanted;

    if (task->command->data != DATA_OUT && task->command->data != DATA_BOTH)
        return 0;
    if (length > task->expected_out) {
        length = task->expected_out;
        if (task->command->flags & COMMAND_BLOCKS)
            length -= length % task->lu->block_size;
    }
    return length;
}

/* A write whose initiator sends less than the CDB says: writes what came. Commands whose data is
 * not just their blocks (WRITE SAME, COMPARE AND WRITE) cannot be cut. */
static bool cut_to_data(struct task *task, enum scsi_reason *reason)
{
    uint32_t block_size;

    if (task->command->data != DATA_OUT || !(task->command->flags & COMMAND_BLOCKS) ||
        task->data_out.length >= task->data_wanted)
        return false;
    block_size = task->lu->block_size;
    if (task->blocks * block_size != task->data_wanted) {
        *reason = REASON_DATA_PHASE_ERROR;
        return true;
    }
    task->blocks = task->data_out.length / block_size;
    *reason = REASON_GOOD;
    return !task->blocks;
}

/* Would the answer tell what reservations, mode parameters or the capacity are, now or by what the command does? What
 * the cluster decides is answered when all members have carried it out. */
static bool tells_state(const struct task *task, enum scsi_reason reason)
{
    if (!task->lu || !task->command)
        return false;
    if (reason == REASON_RESERVATION_CONFLICT || reason == REASON_WRITE_PROTECTED ||
        reason == REASON_LBA_OUT_OF_RANGE)
        return true;
    return reason == REASON_GOOD &&
           (task->command->access == PR_READ || task->command->access == PR_WRITE ||
            task->command->flags & COMMAND_CAPACITY);
}

/* Without the lease this node may be out of date, so it must not say what the agreed state or the
 * medium says, whatever the command is. A malformed command is malformed everywhere, and a unit attention
 * that was taken must go out. */
static bool needs_lease(const struct task *task, enum scsi_reason reason)
{
    if (tells_state(task, reason))
        return true;
    return task->command && task->command->flags & (COMMAND_MEDIA | COMMAND_LEASE) &&
           (reason == REASON_GOOD || reason == REASON_MISCOMPARE);
}

static bool is_media(const struct task *task)
{
    return task->command->flags & COMMAND_MEDIA;
}

static void run(struct task *task)
{
    enum scsi_reason reason;

    if (is_media(task) && task->lane->group->gate == GATE_FORWARD) {
        peer_forward(task, task->lane->group->owner);
        return;
    }
    if (cut_to_data(task, &reason)) {
        task_complete(task, reason);
        return;
    }
    reason = task->command->run(task);
    if (reason != REASON_PENDING)
        task_complete(task, reason);
}

static void start(struct task *task)
{
    if (!task_set_may_start(task)) {
        task_set_wait(task);
        return;
    }
    /* Only what touches the medium enters its lane: a drain waits for all in there, and a RESERVE
     * that waits for its own commit must not be waited for by that commit's drain. */
    if (task->lu && task->command->flags & COMMAND_READY && lane_wait_ready(task))
        return;
    if (!is_media(task))
        task->state = TASK_RUNNING;
    else if (!limit_admit(task) || !lane_admit(task, true))
        return;
    run(task);
}

static void wait_for_lease(struct task *task)
{
    if (!lane_wait_lease(task))
        task_complete(task, REASON_NOT_READY_TRANSITION);
}

/* Media commands that may go on wait in lane_admit(), with their data. */
static bool waits_for_lease(struct task *task, enum scsi_reason reason)
{
    if (!task->lu || !needs_lease(task, reason) || lane_lease_valid(task->reactor) ||
        (is_media(task) && reason == REASON_GOOD))
        return false;
    wait_for_lease(task);
    return true;
}

static void proceed(struct task *task)
{
    enum scsi_reason reason;
    uint32_t fetch;

    while ((reason = command_check(task)) == REASON_PENDING) {
        if (lane_wait_settled(task))
            return;
        if (!lane_lease_valid(task->reactor)) {
            wait_for_lease(task);
            return;
        }
    }
    if (waits_for_lease(task, reason))
        return;
    if (tells_state(task, reason) && lane_wait_settled(task))
        return;
    if (reason != REASON_GOOD) {
        task_complete(task, reason);
        return;
    }
    fetch = data_to_fetch(task);
    if (fetch && !task->data_out.count) {
        if (payload_alloc(task->reactor->payloads, &task->data_out, fetch)) {
            task_complete(task, REASON_TASK_SET_FULL);
            return;
        }
        task->state = TASK_DATA_OUT;
        task->transport->receive_data(task, fetch);
        return;
    }
    start(task);
}

void task_execute(struct task *task)
{
    assert(task->state == TASK_NEW);
    qb_list_init(&task->lane_link);
    task->nexus->commands++;
    task->began_ns = task->reactor->now_ns;
    task_set_join(task);
    proceed(task);
}

void task_data_ready(struct task *task)
{
    assert(task->state == TASK_DATA_OUT);
    task->state = TASK_NEW;
    proceed(task);
}

void task_resume(struct task *task)
{
    assert(task->state == TASK_HELD || task->state == TASK_NEW);
    task->state = TASK_NEW;
    if (task->aborted)
        task_complete(task, REASON_TASK_ABORTED);
    else if (task->answer_as_is)
        task_complete_as_is(task);
    else if (task->answer_held)
        task_complete(task, task->answer);
    else
        proceed(task);
}

void task_abort(struct task *task, bool silent)
{
    if (task->state == TASK_DONE)
        return;
    task->aborted = true;
    task->silent |= silent;
    switch (task->state) {
    case TASK_DATA_OUT:
        task_complete(task, REASON_TASK_ABORTED);
        break;
    case TASK_HELD:
        if (task->order != ORDER_FREE) {
            if (!task_set_unwait(task))
                break; /* a post is under way, it ends the task */
        } else {
            lane_unhold(task);
        }
        task_complete(task, REASON_TASK_ABORTED);
        break;
    case TASK_RUNNING:
        /* Its handler completes it when nothing touches the medium any more. */
        if (task->forward_slot)
            peer_abort(task);
        break;
    default:
        break;
    }
}

/* Residuals of a failed command count from what was really moved. */
static void settle_data(struct task *task)
{
    if (task->status == STATUS_GOOD)
        return;
    task->data_in_length = 0;
    task->data_wanted =
        task->command && task->command->data == DATA_OUT ? (uint32_t)task->data_out.length : 0;
}

static void finish(struct task *task)
{
    struct nexus *nexus = task->nexus;
    bool tmfs_wait = nexus->tmfs.next && !qb_list_empty(&nexus->tmfs);
    uint32_t in =
        task->data_in_length < task->expected_in ? task->data_in_length : task->expected_in;

    if (task->state == TASK_RUNNING && is_media(task))
        lane_leave(task);
    if ((task->state == TASK_RUNNING || task->answer_held) && is_media(task))
        meter_task(task, in);
    task->state = TASK_DONE;
    nexus->bytes_in += in; /* as SCSI names directions: data-in goes to the initiator */
    nexus->bytes_out += task->data_out.length;
    nexus->finished_tags[nexus->finished_count++ % NEXUS_FINISHED_TAGS] = task->tag;
    task_set_leave(task);
    task->transport->complete(task);
    /* The task is gone; its nexus stays while a TMF of it is unanswered. */
    if (tmfs_wait)
        tmf_task_ended(nexus);
}

/* What a command is answered whose result must not go out without the lease. "Not ready" makes initiators send it
 * again; a COMPARE AND WRITE that was done would then find its own data and report a miscompare. */
static enum scsi_reason without_lease(const struct task *task, bool done)
{
    return done && task->command && task->command->opcode == OP_COMPARE_AND_WRITE
               ? REASON_ABORTED_COMMAND
               : REASON_NOT_READY_TRANSITION;
}

/* The answer of a task that is over may go out as soon as this node has its lease again: it was a member all the
 * time, so nothing was decided without it. The task leaves its lane: nothing of it touches the medium. A node that
 * forwarded it asks the owner again instead, whoever that is by then. */
static bool hold_answer(struct task *task)
{
    if (!task->lu || task->nexus->forwarded || (task->state != TASK_RUNNING && !task->answer_held))
        return false;
    if (task->state == TASK_RUNNING && is_media(task))
        lane_leave(task);
    task->state = TASK_NEW;
    task->answer_held = true;
    return lane_wait_lease(task);
}

/* The store refused it before anything of it was begun. It leaves its lane, so that no drain waits for it, and starts anew
 * from its checks on: what they depend on may have changed meanwhile, and who owns its group. */
static void put_back(struct task *task)
{
    assert(task->state == TASK_RUNNING && is_media(task));
    if (task->nexus->forwarded) { /* to be held where its nexus is */
        task->bounced = true;
        task_complete(task, REASON_NOT_READY_TRANSITION);
    } else {
        lane_retry(task);
    }
}

void task_complete(struct task *task, enum scsi_reason reason)
{
    assert(reason != REASON_PENDING && task->state != TASK_DONE);
    if (task->aborted) {
        reason = REASON_TASK_ABORTED;
    } else if (reason == REASON_NOT_BEGUN) {
        put_back(task);
        return;
    } else if (needs_lease(task, reason) && !lane_lease_valid(task->reactor)) {
        task->answer = reason;
        if (hold_answer(task))
            return;
        reason = without_lease(task, reason == REASON_GOOD);
    }
    sense_for_task(task, reason);
    settle_data(task);
    finish(task);
}

void task_complete_as_is(struct task *task)
{
    assert(task->state == TASK_RUNNING || task->answer_as_is);
    if (!task->aborted && !lane_lease_valid(task->reactor)) {
        task->answer_as_is = true;
        if (hold_answer(task))
            return;
    }
    if (task->aborted || !lane_lease_valid(task->reactor)) {
        task_complete(task, without_lease(task, task->status == STATUS_GOOD));
        return;
    }
    finish(task);
}

enum scsi_reason task_data_in(struct task *task, uint32_t length)
{
    assert(!task->data_in.count);
    if (length > LIMIT_TRANSFER || payload_alloc(task->reactor->payloads, &task->data_in, length))
        return REASON_TASK_SET_FULL;
    payload_zero(&task->data_in, 0, length);
    task->data_in_length = length;
    return REASON_GOOD;
}

enum scsi_reason task_answer(struct task *task, const void *data, uint32_t length,
                             uint32_t allocation)
{
    if (length > allocation)
        length = allocation;
    if (task->data_in.count) { /* allocated before, for a thread that may not */
        if (length > task->data_in.length)
            length = (uint32_t)task->data_in.length;
    } else if (length && (length > LIMIT_TRANSFER ||
                          payload_alloc(task->reactor->payloads, &task->data_in, length))) {
        return REASON_TASK_SET_FULL;
    }
    if (length)
        payload_write(&task->data_in, 0, data, length);
    task->data_in_length = length;
    task->data_wanted = length;
    return REASON_GOOD;
}

enum scsi_reason task_answer_later(struct task *task, uint32_t allocation,
                                   void (*fill)(struct task *task, const struct shared_state *state,
                                                const struct config *config))
{
    uint32_t length = allocation < TASK_ANSWER_LATER_MAX ? allocation : TASK_ANSWER_LATER_MAX;
    enum scsi_reason reason;

    if (!length) {
        task->data_wanted = 0;
        return REASON_GOOD;
    }
    reason = task_data_in(task, length);
    if (reason != REASON_GOOD)
        return reason;
    task_read_state(task, fill);
    return REASON_PENDING;
}

void task_read_again(struct task *task)
{
    payload_free(task->reactor->payloads, &task->data_in);
    task->data_in_length = 0;
    task->state = TASK_NEW;
    if (!lane_wait_settled(task))
        task_resume(task);
}

const uint8_t *task_parameters(const struct task *task, uint32_t *length)
{
    static const uint8_t nothing[1];

    static_assert(LIMIT_PARAMETER_LIST <= SEGMENT_LARGE, "a parameter list is one piece of memory");
    assert(task->data_out.count <= 1);
    *length = (uint32_t)task->data_out.length;
    return task->data_out.count ? task->data_out.iov[0].iov_base : nothing;
}
