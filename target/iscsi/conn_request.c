/* Requests other than SCSI commands: NOP-Out, task management, text, logout; and what a target says
 * of its own accord: NOP-In, Reject, asynchronous messages. */
#include <qb/qblog.h>
#include <stdlib.h>
#include <string.h>

#include "target/iscsi/conn.h"
#include "target/iscsi/pdu.h"

enum { TEXT_OUT = 128 << 10 }; /* LIMIT_TARGETS targets with all their portals fit */

bool control_available(const struct conn *conn)
{
    return !qb_list_empty(&conn->free_controls);
}

static void control_reset(struct control *control)
{
    control->status_sn = true;
    control->plain = false;
    control->data = NULL;
    control->data_length = 0;
}

static struct control *control_take(struct conn *conn, uint8_t opcode, const uint8_t *request)
{
    struct control *control = qb_list_first_entry(&conn->free_controls, struct control, link);

    qb_list_del(&control->link);
    qb_list_init(&control->link);
    control_reset(control);
    pdu_init(control->bhs, opcode, BHS_FLAG_FINAL);
    if (request)
        memcpy(control->bhs + BHS_INITIATOR_TASK_TAG, request + BHS_INITIATOR_TASK_TAG, 4);
    else
        put_be32(control->bhs + BHS_INITIATOR_TASK_TAG, ISCSI_RESERVED_TAG);
    return control;
}

struct control *control_own(struct conn *conn)
{
    if (conn->own_busy)
        return NULL;
    conn->own_busy = true;
    control_reset(&conn->own);
    return &conn->own;
}

void control_free(struct control *control)
{
    struct conn *conn = control->conn;

    tx_unqueue(&control->item);
    qb_list_del(&control->link);
    qb_list_init(&control->link);
    payload_free(conn->home->reactor->payloads, &control->payload);
    if (control == &conn->own)
        conn->own_busy = false;
    else
        qb_list_add(&control->link, &conn->free_controls);
    if (conn->rx.stalled)
        conn_kick(conn);
}

static void control_send(struct control *control)
{
    if (control->conn->state == CONN_ENDING)
        control_free(control);
    else
        tx_queue(control->conn, &control->item);
}

void conn_reject(struct conn *conn, const uint8_t *bhs, uint8_t reason, bool fatal, const char *why)
{
    qb_log(LOG_NOTICE, "iscsi: %s (%s): %s rejected, reason %02xh: %s", conn->nexus.initiator_name,
           conn->nexus.peer_address, pdu_name(pdu_opcode(bhs)), reason, why);
    if (control_available(conn)) {
        struct control *control = control_take(conn, ISCSI_REJECT, NULL);
        control->bhs[REJECT_REASON] = reason;
        memcpy(control->copy, bhs, ISCSI_BHS_LENGTH);
        control->data = control->copy;
        control->data_length = ISCSI_BHS_LENGTH;
        control_send(control);
    }
    if (fatal)
        conn_end(conn, true, why);
}

/* 11.18: answered with its own data, unless it only answers a ping or tells its ExpStatSN. */
static void nop_out(struct conn *conn, const uint8_t *bhs, struct payload *data)
{
    struct control *control;
    uint32_t limit = conn->session.parameters.max_send_data;

    if (get_be32(bhs + BHS_INITIATOR_TASK_TAG) == ISCSI_RESERVED_TAG)
        return;
    if (!control_available(conn))
        return;
    control = control_take(conn, ISCSI_NOP_IN, bhs);
    memcpy(control->bhs + BHS_LUN, bhs + BHS_LUN, 8);
    put_be32(control->bhs + BHS_TARGET_TRANSFER_TAG, ISCSI_RESERVED_TAG);
    if (limit > CONN_SEND_SEGMENT)
        limit = CONN_SEND_SEGMENT;
    control->payload = *data;
    data->count = 0;
    data->length = 0;
    control->data_length =
        control->payload.length < limit ? (uint32_t)control->payload.length : limit;
    control_send(control);
}

void conn_ping(struct conn *conn)
{
    struct control *control;

    if (!control_available(conn))
        return;
    control = control_take(conn, ISCSI_NOP_IN, NULL);
    put_be32(control->bhs + BHS_TARGET_TRANSFER_TAG, conn->next_ttt++ & 0x7fffffff);
    control->status_sn = false;
    control_send(control);
}

void conn_async(struct conn *conn, uint8_t event, uint16_t wait_s)
{
    struct control *control = control_own(conn);

    if (!control)
        return;
    pdu_init(control->bhs, ISCSI_ASYNC_MESSAGE, BHS_FLAG_FINAL);
    put_be32(control->bhs + BHS_INITIATOR_TASK_TAG, ISCSI_RESERVED_TAG);
    control->bhs[ASYNC_EVENT] = event;
    if (event == ASYNC_EVENT_DROP_CONNECTION)
        put_be16(control->bhs + ASYNC_PARAMETER1, conn->cid);
    if (event == ASYNC_EVENT_DROP_CONNECTION || event == ASYNC_EVENT_DROP_SESSION)
        put_be16(control->bhs + ASYNC_PARAMETER2, (uint16_t)conn->session.parameters.time2wait);
    put_be16(control->bhs + ASYNC_PARAMETER3, wait_s);
    control_send(control);
}

/* Task management (11.5, 11.6) */

static const struct {
    uint8_t request;
    enum tmf_function function;
    bool all_luns;
} functions[] = {
    {TMF_REQUEST_ABORT_TASK, TMF_ABORT_TASK, false},
    {TMF_REQUEST_ABORT_TASK_SET, TMF_ABORT_TASK_SET, false},
    {TMF_REQUEST_CLEAR_ACA, TMF_CLEAR_ACA, false},
    {TMF_REQUEST_CLEAR_TASK_SET, TMF_CLEAR_TASK_SET, false},
    {TMF_REQUEST_LOGICAL_UNIT_RESET, TMF_LOGICAL_UNIT_RESET, false},
    {TMF_REQUEST_TARGET_WARM_RESET, TMF_TARGET_WARM_RESET, true},
    {TMF_REQUEST_TARGET_COLD_RESET, TMF_TARGET_COLD_RESET, true},
};

static const uint8_t responses[] = {
    [TMF_COMPLETE] = TMF_RESPONSE_COMPLETE, [TMF_NO_TASK] = TMF_RESPONSE_NO_TASK,
    [TMF_NO_LUN] = TMF_RESPONSE_NO_LUN,     [TMF_NOT_SUPPORTED] = TMF_RESPONSE_NOT_SUPPORTED,
    [TMF_REJECTED] = TMF_RESPONSE_REJECTED,
};

static void tmf_answer(struct control *control, uint8_t response)
{
    control->bhs[BHS_RESPONSE] = response;
    control_send(control);
}

static void tmf_done(struct tmf *tmf, enum tmf_response response)
{
    struct control *control = container_of(tmf, struct control, tmf);

    control->conn->tmfs--;
    conn_kick(control->conn);
    tmf_answer(control, responses[response]);
}

/* ABORT TASK of something the command layer does not have (11.5.1). Returns a response, or -1 when
 * the command layer decides. */
static int abort_elsewhere(struct conn *conn, const uint8_t *bhs)
{
    uint32_t ref = get_be32(bhs + TMF_REF_CMD_SN), own = get_be32(bhs + BHS_CMD_SN);
    struct slot *slot = slot_find(conn, get_be32(bhs + TMF_REFERENCED_TASK_TAG));

    if (slot)
        return slot_cancel(slot) ? TMF_RESPONSE_COMPLETE : -1;
    /* Not here yet, but it may come: its CmdSN counts as received from now on. */
    if (session_order(&conn->session, ref) != ORDER_DROP && sn_before(ref, own) &&
        !slot_is_queued(conn, ref) && slot_available(conn)) {
        uint8_t missing[ISCSI_BHS_LENGTH] = {0};
        put_be32(missing + BHS_CMD_SN, ref);
        slot_cancel(slot_queue(conn, missing));
        return TMF_RESPONSE_COMPLETE;
    }
    return -1;
}

/* Commands that came before the function, but wait for others, are affected by it like those that
 * run. */
static void cancel_queued(struct conn *conn, uint32_t before, bool all_luns, uint64_t lun)
{
    struct slot *slot;

    qb_list_for_each_entry(slot, &conn->queued,
                           link) if (slot->phase == SLOT_QUEUED &&
                                     pdu_opcode(slot->bhs) == ISCSI_SCSI_COMMAND &&
                                     sn_before(slot->cmd_sn, before) &&
                                     (all_luns || slot->task.lun == lun)) slot_cancel(slot);
}

static void task_management(struct conn *conn, const uint8_t *bhs, struct payload *data)
{
    uint8_t request = bhs[BHS_FLAGS] & TMF_FUNCTION_MASK;
    struct control *control;
    int response;

    if (!control_available(conn))
        return;
    control = control_take(conn, ISCSI_TASK_MANAGEMENT_RESPONSE, bhs);
    for (unsigned i = 0; i < sizeof functions / sizeof *functions; i++) {
        struct tmf *tmf = &control->tmf;

        if (functions[i].request != request)
            continue;
        memset(tmf, 0, sizeof *tmf);
        tmf->nexus = &conn->nexus;
        tmf->function = functions[i].function;
        tmf->lun = get_be64(bhs + BHS_LUN);
        tmf->tag = get_be32(bhs + TMF_REFERENCED_TASK_TAG);
        tmf->done = tmf_done;
        if (tmf->function == TMF_ABORT_TASK) {
            response = abort_elsewhere(conn, bhs);
            if (response >= 0) {
                tmf_answer(control, (uint8_t)response);
                return;
            }
        } else {
            cancel_queued(conn, get_be32(bhs + BHS_CMD_SN), functions[i].all_luns, tmf->lun);
        }
        conn->tmfs++;
        tmf_execute(tmf);
        return;
    }
    tmf_answer(control, request == TMF_REQUEST_TASK_REASSIGN ? TMF_RESPONSE_NO_REASSIGN
                                                             : TMF_RESPONSE_NOT_SUPPORTED);
}

/* Text (11.10, 11.11) */

static void text_reset(struct conn_text *text)
{
    text->in_used = text->out_used = text->out_sent = 0;
    text->ttt = ISCSI_RESERVED_TAG;
    text->answered = false;
}

static void text_key(struct conn *conn, const struct text_pair *pair, struct writer *out)
{
    struct session_parameters *p = &conn->session.parameters;
    const char *own = conn->discovery ? NULL : conn->target.name;
    uint32_t number;

    switch (pair->key) {
    case KEY_SEND_TARGETS:
        if (sendtargets(conn->home->config, pair->value, own, &conn->local, out))
            text_put(out, pair->name, "Reject");
        break;
    case KEY_MAX_RECV_DATA_SEGMENT:
        if (text_number(pair->value, &number) && number >= text_keys[pair->key].min &&
            number <= text_keys[pair->key].max)
            p->max_send_data = number;
        else
            text_put(out, pair->name, "Reject");
        break;
    case KEY_INITIATOR_ALIAS:
        break;
    case KEY_UNKNOWN:
        if (strcmp(pair->value, "NotUnderstood"))
            text_put(out, pair->name, "NotUnderstood");
        break;
    default: /* belongs to login */
        text_put(out, pair->name, "Reject");
        break;
    }
}

/* Returns false when the text is malformed or its answer too long. */
static bool text_answer(struct conn *conn)
{
    struct conn_text *text = &conn->text;
    struct writer out = {.data = text->out, .size = TEXT_OUT};
    const char *data = (const char *)text->in;
    size_t left = text->in_used;
    struct text_pair pair;
    unsigned count = 0;
    int rc;

    while ((rc = text_next(&data, &left, &pair)) > 0) {
        if (++count > TEXT_KEYS_LIMIT)
            return false;
        text_key(conn, &pair, &out);
    }
    text->out_used = out.used;
    text->answered = true;
    return !rc && out.used <= out.size;
}

/* Sends the next piece of the answer, or asks for the next piece of the request. */
static void text_reply(struct conn *conn, const uint8_t *bhs)
{
    struct conn_text *text = &conn->text;
    struct control *control = control_take(conn, ISCSI_TEXT_RESPONSE, bhs);
    size_t left = text->out_used - text->out_sent;
    uint32_t max = conn->session.parameters.max_send_data;
    bool over;

    memcpy(control->bhs + BHS_LUN, bhs + BHS_LUN, 8);
    control->data = text->out + text->out_sent;
    control->data_length = left < max ? (uint32_t)left : max;
    text->out_sent += control->data_length;
    over = text->answered && text->out_sent == text->out_used && bhs[BHS_FLAGS] & BHS_FLAG_FINAL;
    control->bhs[BHS_FLAGS] = over ? BHS_FLAG_FINAL : 0;
    if (text->out_sent < text->out_used)
        control->bhs[BHS_FLAGS] = TEXT_CONTINUE;
    if (over)
        text_reset(text);
    else if (text->ttt == ISCSI_RESERVED_TAG)
        text->ttt = conn->next_ttt++ & 0x7fffffff;
    put_be32(control->bhs + BHS_TARGET_TRANSFER_TAG, text->ttt);
    if (text->answered && text->out_sent == text->out_used) {
        /* The initiator may go on with other keys in the same exchange. */
        text->answered = false;
        text->in_used = text->out_used = text->out_sent = 0;
    }
    control_send(control);
}

static void text_request(struct conn *conn, const uint8_t *bhs, struct payload *data)
{
    struct conn_text *text = &conn->text;
    uint32_t ttt = get_be32(bhs + BHS_TARGET_TRANSFER_TAG), length = pdu_data_length(bhs);

    if (!control_available(conn))
        return;
    if (!text->in) {
        text->in = malloc(TEXT_LIMIT + TEXT_OUT);
        text->out = text->in ? text->in + TEXT_LIMIT : NULL;
        text_reset(text);
    }
    if (!text->in || data->length < length) {
        conn_reject(conn, bhs, REJECT_OUT_OF_RESOURCES, false, "no memory for text");
        return;
    }
    if (ttt == ISCSI_RESERVED_TAG) {
        text_reset(text);
    } else if (ttt != text->ttt) {
        conn_reject(conn, bhs, REJECT_INVALID_FIELD, false, "unknown target transfer tag");
        return;
    }
    if (length > TEXT_LIMIT - text->in_used || (length && text->answered)) {
        conn_reject(conn, bhs, REJECT_PROTOCOL_ERROR, true, "text too long");
        return;
    }
    payload_read(data, 0, text->in + text->in_used, length);
    text->in_used += length;
    if (!(bhs[BHS_FLAGS] & TEXT_CONTINUE) && !text->answered && !text_answer(conn)) {
        text_reset(text);
        conn_reject(conn, bhs, REJECT_PROTOCOL_ERROR, false, "malformed text");
        return;
    }
    text_reply(conn, bhs);
}

/* Logout (11.14, 11.15) */
static void logout(struct conn *conn, const uint8_t *bhs, struct payload *data)
{
    uint8_t reason = bhs[BHS_FLAGS] & LOGOUT_REASON_MASK;
    struct control *control;
    uint8_t response = LOGOUT_SUCCESS;

    if (!control_available(conn))
        return;
    if (reason > LOGOUT_REMOVE_FOR_RECOVERY) {
        conn_reject(conn, bhs, REJECT_INVALID_FIELD, true, "unknown logout reason");
        return;
    }
    if (reason == LOGOUT_REMOVE_FOR_RECOVERY)
        response = LOGOUT_NO_RECOVERY;
    else if (reason == LOGOUT_CLOSE_CONNECTION && get_be16(bhs + LOGOUT_CID) != conn->cid)
        response = LOGOUT_CID_NOT_FOUND;
    control = control_take(conn, ISCSI_LOGOUT_RESPONSE, bhs);
    control->bhs[BHS_RESPONSE] = response;
    put_be16(control->bhs + LOGOUT_TIME2WAIT, (uint16_t)conn->session.parameters.time2wait);
    if (response) {
        control_send(control);
        return;
    }
    conn->state = CONN_LOGOUT;
    conn->logout = control;
    slots_abort(conn);
    conn_kick(conn);
}

void request_run(struct conn *conn, const uint8_t *bhs, struct payload *data)
{
    static const struct {
        uint8_t opcode;
        void (*run)(struct conn *conn, const uint8_t *bhs, struct payload *data);
    } requests[] = {
        {ISCSI_NOP_OUT, nop_out},
        {ISCSI_TASK_MANAGEMENT_REQUEST, task_management},
        {ISCSI_TEXT_REQUEST, text_request},
        {ISCSI_LOGOUT_REQUEST, logout},
    };

    for (unsigned i = 0; i < sizeof requests / sizeof *requests; i++)
        if (requests[i].opcode == pdu_opcode(bhs))
            requests[i].run(conn, bhs, data);
}
