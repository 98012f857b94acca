/* SCSI commands and the data that comes with and after them (RFC 7143 11.3, 11.7, 11.8). */
#include <assert.h>
#include <string.h>

#include "target/iscsi/conn.h"
#include "target/iscsi/pdu.h"

enum { STATUS_GOOD = 0x00, STATUS_CHECK_CONDITION = 0x02, STATUS_TASK_SET_FULL = 0x28 };
enum { KEY_ILLEGAL_REQUEST = 0x5, KEY_ABORTED_COMMAND = 0xb };

static void receive_data(struct task *task, uint32_t length);
static void complete(struct task *task);

static const struct task_transport transport = {
    .name = "iscsi",
    .receive_data = receive_data,
    .complete = complete,
};

static struct payload_pool *pool_of(const struct conn *conn)
{
    return conn->home->reactor->payloads;
}

bool slot_is_queued(const struct conn *conn, uint32_t cmd_sn)
{
    struct slot *slot;

    qb_list_for_each_entry(slot, &conn->queued, link) if (slot->cmd_sn == cmd_sn) return true;
    return false;
}

static void queue_insert(struct conn *conn, struct slot *slot)
{
    struct qb_list_head *after = conn->queued.prev;

    while (after != &conn->queued &&
           sn_before(slot->cmd_sn, qb_list_entry(after, struct slot, link)->cmd_sn))
        after = after->prev;
    qb_list_add(&slot->link, after);
}

struct slot *slot_queue(struct conn *conn, const uint8_t *bhs)
{
    struct slot *slot = slot_take(conn);

    memcpy(slot->bhs, bhs, ISCSI_BHS_LENGTH);
    slot->itt = get_be32(bhs + BHS_INITIATOR_TASK_TAG);
    slot->cmd_sn = get_be32(bhs + BHS_CMD_SN);
    slot->phase = SLOT_QUEUED;
    queue_insert(conn, slot);
    return slot;
}

bool slot_cancel(struct slot *slot)
{
    switch (slot->phase) {
    case SLOT_QUEUED:
        slot_unhash(slot);
        payload_free(pool_of(slot->conn), &slot->early);
        slot->phase = SLOT_VOID;
        return true;
    case SLOT_DONE:
        slot->mute = true;
        slot_progress(slot);
        return true;
    default:
        return false;
    }
}

static bool drained(const struct slot *slot)
{
    return !slot->unsolicited && slot->r2t_done == slot->r2t_sn && slot->conn->rx.slot != slot;
}

/* The command is over and nothing of it comes in any more. */
static void respond(struct slot *slot)
{
    struct task *task = &slot->task;
    struct conn *conn = slot->conn;

    if (slot->mute || conn->state == CONN_ENDING || conn->socket != SOCKET_OPEN) {
        slot_release(slot);
        return;
    }
    if (slot->local) {
        task->status = slot->status;
        task->sense_length = slot->sense_length;
        memcpy(task->sense, slot->sense, slot->sense_length);
        task->data_in_length = 0;
        task->data_wanted = slot->received;
    }
    slot->send_total =
        task->data_in_length < task->expected_in ? task->data_in_length : task->expected_in;
    slot->residual =
        residual_of(task->expected_in, task->expected_out, task->data_wanted, slot->send_total);
    slot->phase = SLOT_SEND;
    tx_queue(conn, &slot->response);
}

void slot_fail(struct slot *slot, uint8_t status, uint8_t key, uint8_t asc, uint8_t ascq)
{
    if (slot->local || slot->phase == SLOT_DONE)
        return;
    slot->local = true;
    slot->status = status;
    slot->sense_length =
        status == STATUS_CHECK_CONDITION ? (uint8_t)pdu_sense(slot->sense, key, asc, ascq) : 0;
    if (slot->phase == SLOT_ACTIVE)
        task_abort(&slot->task, true);
}

void slot_sync(struct slot *slot)
{
    struct conn_rx *rx = &slot->conn->rx;
    uint32_t n = slot->received + (rx->slot == slot ? rx->got : 0);
    struct iovec iov[LIMIT_SEGMENTS + 1];
    unsigned count;
    size_t at = 0;

    if (!slot->asked || !slot->early.count || (rx->slot == slot && rx->direct))
        return;
    if (n > slot->early.length)
        n = (uint32_t)slot->early.length;
    if (slot->phase == SLOT_ACTIVE) {
        if (n > slot->wanted)
            n = slot->wanted;
        count = payload_slice(&slot->early, 0, n, iov);
        for (unsigned i = 0; i < count; at += iov[i++].iov_len)
            payload_write(&slot->task.data_out, at, iov[i].iov_base, iov[i].iov_len);
    }
    payload_free(pool_of(slot->conn), &slot->early);
}

struct payload *slot_sink(struct slot *slot, uint32_t offset, uint32_t *room)
{
    struct payload *to = NULL;

    if (slot->phase == SLOT_DONE || slot->local)
        ; /* drained */
    else if (slot->early.count)
        to = &slot->early;
    else if (slot->asked)
        to = &slot->task.data_out;
    *room = to && to->length > offset ? (uint32_t)to->length - offset : 0;
    return *room ? to : NULL;
}

/* Memory for data that the command layer has not asked for yet. */
static void need_early(struct slot *slot, uint32_t immediate)
{
    const struct session_parameters *p = &slot->conn->session.parameters;
    uint32_t n = slot->unsolicited ? p->first_burst : immediate;

    if (slot->asked || slot->early.count || slot->local || slot->phase == SLOT_DONE)
        return;
    if (n > slot->task.expected_out)
        n = slot->task.expected_out;
    if (n > LIMIT_TRANSFER)
        n = LIMIT_TRANSFER;
    if (payload_alloc(pool_of(slot->conn), &slot->early, n))
        slot_fail(slot, STATUS_TASK_SET_FULL, 0, 0, 0);
}

static void run(struct slot *slot)
{
    slot->phase = SLOT_ACTIVE;
    slot->conn->active++;
    task_execute(&slot->task);
}

/* Ends a command that the command layer never saw. */
static void end_unseen(struct slot *slot)
{
    slot->phase = SLOT_DONE;
    slot_progress(slot);
}

void scsi_run_queued(struct slot *slot)
{
    slot->busy = true;
    slot->conn->busy++;
    if (slot->local) {
        end_unseen(slot);
        return;
    }
    run(slot);
    slot_progress(slot);
}

/* The fields of a SCSI command; refusals that need no command layer become a local status. */
static void fill_task(struct slot *slot, const uint8_t *bhs, const struct pdu_cdb *cdb)
{
    struct task *task = &slot->task;
    uint32_t expected = get_be32(bhs + COMMAND_EXPECTED_LENGTH);
    unsigned attribute = bhs[BHS_FLAGS] & COMMAND_ATTRIBUTE_MASK;

    task->transport = &transport;
    task->nexus = &slot->conn->nexus;
    task->reactor = slot->conn->home->reactor;
    task->lun = get_be64(bhs + BHS_LUN);
    task->tag = slot->itt;
    memcpy(task->cdb, cdb->cdb, sizeof task->cdb);
    task->cdb_length = (uint8_t)cdb->length;
    task->attribute = attribute <= TASK_ACA ? (enum task_attribute)attribute : TASK_UNTAGGED;
    if (bhs[BHS_FLAGS] & COMMAND_WRITE)
        task->expected_out = expected;
    else if (bhs[BHS_FLAGS] & COMMAND_READ)
        task->expected_in = expected;
    if (cdb->bidirectional) /* INVALID FIELD IN COMMAND INFORMATION UNIT */
        slot_fail(slot, STATUS_CHECK_CONDITION, KEY_ILLEGAL_REQUEST, 0x0e, 0x03);
    if (cdb->too_long) /* INVALID COMMAND OPERATION CODE */
        slot_fail(slot, STATUS_CHECK_CONDITION, KEY_ILLEGAL_REQUEST, 0x20, 0x00);
}

/* Unsolicited data (4.2.5.2, 11.3.1): immediate in this PDU, and in Data-Out PDUs when F = 0. */
static void check_unsolicited(struct slot *slot, const uint8_t *bhs)
{
    const struct session_parameters *p = &slot->conn->session.parameters;
    uint32_t immediate = pdu_data_length(bhs), limit = p->first_burst;
    bool final = bhs[BHS_FLAGS] & BHS_FLAG_FINAL;

    if (limit > slot->task.expected_out)
        limit = slot->task.expected_out;
    if ((immediate && !p->immediate_data) || immediate > limit || (!final && p->initial_r2t))
        /* WRITE ERROR - UNEXPECTED UNSOLICITED DATA (11.4.7.2) */
        slot_fail(slot, STATUS_CHECK_CONDITION, KEY_ABORTED_COMMAND, 0x0c, 0x0c);
    slot->unsolicited = !final;
    slot->burst_end = slot->granted = final ? immediate : limit;
}

void scsi_command(struct conn *conn, const uint8_t *bhs, const uint8_t *ahs, bool now)
{
    bool immediate = pdu_immediate(bhs);
    uint32_t length = pdu_data_length(bhs);
    struct pdu_cdb cdb;
    struct slot *slot, *old;

    if (pdu_command_cdb(bhs, ahs, pdu_ahs_length(bhs), &cdb)) {
        conn_reject(conn, bhs, REJECT_INVALID_FIELD, true, "malformed additional header segment");
        return;
    }
    if (immediate && conn->immediate_busy >= CONN_IMMEDIATE) {
        conn_reject(conn, bhs, REJECT_TOO_MANY_IMMEDIATE, false, "too many immediate commands");
        return;
    }
    old = slot_find(conn, get_be32(bhs + BHS_INITIATOR_TASK_TAG));
    if (old && !(old->phase == SLOT_DONE && old->mute)) {
        conn_reject(conn, bhs, REJECT_PROTOCOL_ERROR, true, "initiator task tag in use");
        return;
    }
    slot = slot_take(conn);
    memcpy(slot->bhs, bhs, ISCSI_BHS_LENGTH);
    slot->phase = SLOT_QUEUED;
    slot->immediate = immediate;
    slot->itt = get_be32(bhs + BHS_INITIATOR_TASK_TAG);
    slot->cmd_sn = get_be32(bhs + BHS_CMD_SN);
    slot_hash(slot);
    fill_task(slot, bhs, &cdb);
    if (bhs[BHS_FLAGS] & COMMAND_WRITE)
        check_unsolicited(slot, bhs);
    if (length) {
        conn->rx.slot = slot;
        conn->rx.sink = RX_SLOT;
    }
    if (now) {
        slot->busy = true;
        if (immediate)
            conn->immediate_busy++;
        else
            conn->busy++;
        if (slot->local)
            end_unseen(slot);
        else
            run(slot);
    } else {
        queue_insert(conn, slot);
    }
    if (length)
        need_early(slot, length);
}

void scsi_data_out(struct conn *conn, const uint8_t *bhs)
{
    uint32_t ttt = get_be32(bhs + BHS_TARGET_TRANSFER_TAG);
    uint32_t offset = get_be32(bhs + DATA_BUFFER_OFFSET), length = pdu_data_length(bhs);
    struct slot *slot = slot_find(conn, get_be32(bhs + BHS_INITIATOR_TASK_TAG));
    bool solicited = ttt != ISCSI_RESERVED_TAG, final = bhs[BHS_FLAGS] & BHS_FLAG_FINAL, end;

    /* Data of a task that was aborted may still be under way: it is received and forgotten. */
    if (!slot || (slot->phase == SLOT_DONE && slot->mute))
        return;
    if (solicited ? slot->unsolicited || slot->r2t_done == slot->r2t_sn ||
                        ttt != ((uint32_t)slot->number << 16 | (slot->r2t_done & 0xffff))
                  : !slot->unsolicited) {
        conn_reject(conn, bhs, REJECT_PROTOCOL_ERROR, true, "data that was not asked for");
        return;
    }
    if (get_be32(bhs + DATA_DATA_SN) != slot->data_sn || offset != slot->received ||
        length > slot->burst_end - slot->received) {
        /* Order is part of what was negotiated; data in the wrong place must never be written. The
         * burst is received up to its F bit, then the command fails (7.9 without recovery). */
        slot_fail(slot, STATUS_CHECK_CONDITION, KEY_ABORTED_COMMAND, 0x47, 0x05);
    }
    end = slot->received + (uint64_t)length >= slot->burst_end;
    if (solicited && end != final) /* NOT ENOUGH (or too much) DATA */
        slot_fail(slot, STATUS_CHECK_CONDITION, KEY_ABORTED_COMMAND, 0x0c, 0x0d);
    conn->rx.slot = slot;
    conn->rx.sink = RX_SLOT;
    if (length)
        need_early(slot, length);
}

/* One burst has its F bit: the next one begins. */
static void burst_done(struct slot *slot)
{
    uint32_t max = slot->conn->session.parameters.max_burst;

    slot->data_sn = 0;
    if (slot->unsolicited) {
        slot->unsolicited = false;
        slot->granted = slot->burst_end = slot->received;
        return;
    }
    slot->r2t_done++;
    slot->received = slot->burst_end;
    if (slot->r2t_done < slot->r2t_sn) {
        slot->burst_end +=
            slot->granted - slot->burst_end < max ? slot->granted - slot->burst_end : max;
    }
}

void scsi_data_done(struct slot *slot, bool intact)
{
    const uint8_t *bhs = slot->conn->rx.bhs;
    uint32_t room = slot->burst_end - slot->received, length = pdu_data_length(bhs);

    slot->received += length < room ? length : room;
    if (!intact) /* PROTOCOL SERVICE CRC ERROR, when all data has come (7.8) */
        slot_fail(slot, STATUS_CHECK_CONDITION, KEY_ABORTED_COMMAND, 0x47, 0x05);
    if (pdu_opcode(bhs) == ISCSI_SCSI_DATA_OUT) {
        slot->data_sn++;
        if (bhs[BHS_FLAGS] & BHS_FLAG_FINAL)
            burst_done(slot);
    }
    slot_progress(slot);
}

void slot_progress(struct slot *slot)
{
    struct conn *conn = slot->conn;

    slot_sync(slot);
    if (slot->phase == SLOT_DONE) {
        if (conn->rx.slot != slot && (slot->mute || drained(slot)))
            respond(slot);
        return;
    }
    if (slot->phase != SLOT_ACTIVE || !slot->asked || slot->delivered || slot->local)
        return;
    if (conn->rx.slot == slot)
        return;
    if (slot->received >= slot->wanted && !slot->early.count) {
        slot->delivered = true;
        task_data_ready(&slot->task);
    } else if (!slot->unsolicited && slot->granted < slot->wanted &&
               slot->r2t_sn - slot->r2t_done < conn->session.parameters.max_outstanding_r2t) {
        tx_queue(conn, &slot->r2t);
    }
}

/* Not from here: the command layer is in the middle of something. conn_turn() goes on. */
static void receive_data(struct task *task, uint32_t length)
{
    struct slot *slot = container_of(task, struct slot, task);

    assert(slot->phase == SLOT_ACTIVE && !slot->asked && length <= task->expected_out &&
           length == task->data_out.length);
    slot->asked = true;
    slot->wanted = length;
    slot_sync(slot);
    if (qb_list_empty(&slot->link))
        qb_list_add_tail(&slot->link, &slot->conn->ready);
    conn_kick(slot->conn);
}

static void complete(struct task *task)
{
    struct slot *slot = container_of(task, struct slot, task);
    struct conn *conn = slot->conn;

    assert(slot->phase == SLOT_ACTIVE);
    slot->phase = SLOT_DONE;
    slot->mute = task->silent && !slot->local;
    conn->active--;
    tx_unqueue(&slot->r2t);
    qb_list_del(&slot->link);
    qb_list_init(&slot->link);
    conn_kick(conn);
    slot_progress(slot);
}
