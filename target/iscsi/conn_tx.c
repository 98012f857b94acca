/* From answers to bytes. Everything queued during a turn of the reactor leaves in one sendmsg.
 * StatSN, ExpCmdSN and MaxCmdSN are filled in here, so they are in the order of the wire. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "target/iscsi/conn.h"
#include "target/iscsi/pdu.h"

enum {
    TX_PDU_IOV = CONN_SEND_SEGMENT / SEGMENT_SMALL + 4, /* header, data, tail of the largest PDU */
    TX_PDU_HEADS = 512,                                 /* header, sense, digests */
};

void tx_queue(struct conn *conn, struct tx_item *item)
{
    if (tx_queued(item))
        return;
    qb_list_add_tail(&item->link, &conn->tx.queue);
    conn_kick(conn);
}

void tx_unqueue(struct tx_item *item)
{
    qb_list_del(&item->link);
    qb_list_init(&item->link);
}

static bool has_room(const struct conn_tx *tx)
{
    return tx->iov_used + TX_PDU_IOV <= CONN_TX_IOV &&
           tx->heads_used + TX_PDU_HEADS <= CONN_TX_HEADS && tx->bytes < CONN_TX_BYTES;
}

static void put_iov(struct conn_tx *tx, const void *data, size_t n)
{
    struct iovec *last = tx->iov_used ? &tx->iov[tx->iov_used - 1] : NULL;

    tx->bytes += n;
    if (last && (const uint8_t *)last->iov_base + last->iov_len == data) {
        last->iov_len += n; /* small answers make one run of memory */
        return;
    }
    tx->iov[tx->iov_used++] = (struct iovec){(void *)(uintptr_t)data, n};
}

/* Copies into the memory of this sendmsg. */
static uint8_t *put_head(struct conn_tx *tx, const void *data, size_t n)
{
    uint8_t *to = tx->heads + tx->heads_used;

    memcpy(to, data, n);
    tx->heads_used += n;
    put_iov(tx, to, n);
    return to;
}

static void put_sequence(struct conn *conn, uint8_t *bhs, bool takes_stat_sn)
{
    session_window(&conn->session, conn->depth, conn->busy,
                   payload_pool_free_permille(conn->home->reactor->payloads));
    put_be32(bhs + BHS_STAT_SN, conn->session.stat_sn);
    if (takes_stat_sn)
        conn->session.stat_sn++;
    put_be32(bhs + BHS_EXP_CMD_SN, conn->session.exp_cmd_sn);
    put_be32(bhs + BHS_MAX_CMD_SN, conn->session.max_cmd_sn);
}

static void put_digest(struct conn_tx *tx, uint32_t crc)
{
    uint8_t digest[ISCSI_DIGEST_LENGTH];

    put_le32(digest, pdu_crc_finish(crc));
    put_head(tx, digest, sizeof digest);
}

static void put_header(struct conn *conn, uint8_t *bhs, uint32_t length, bool digests)
{
    put_be24(bhs + BHS_DATA_SEGMENT_LENGTH, length);
    put_head(&conn->tx, bhs, ISCSI_BHS_LENGTH);
    if (digests && conn->send_header_digest)
        put_digest(&conn->tx, pdu_crc_feed(PDU_CRC_START, bhs, ISCSI_BHS_LENGTH));
}

/* Padding and digest after `length` bytes of data whose digest so far is `crc`. */
static void put_tail(struct conn *conn, uint32_t length, uint32_t crc, bool digests)
{
    static const uint8_t zeros[4];
    uint32_t padding = pdu_padding(length);

    if (!length)
        return;
    if (padding)
        put_head(&conn->tx, zeros, padding);
    if (digests && conn->send_data_digest)
        put_digest(&conn->tx, pdu_crc_feed(crc, zeros, padding));
}

static uint32_t put_payload(struct conn *conn, const struct payload *payload, uint32_t offset,
                            uint32_t n, bool digests)
{
    struct iovec iov[LIMIT_SEGMENTS + 1];
    unsigned count = payload_slice(payload, offset, n, iov);
    uint32_t crc = PDU_CRC_START;

    for (unsigned i = 0; i < count; i++) {
        put_iov(&conn->tx, iov[i].iov_base, iov[i].iov_len);
        if (digests && conn->send_data_digest)
            crc = pdu_crc_feed(crc, iov[i].iov_base, iov[i].iov_len);
    }
    return crc;
}

static void put_residual(uint8_t *bhs, const struct slot *slot)
{
    bhs[BHS_FLAGS] |= slot->residual.flags;
    put_be32(bhs + RESPONSE_RESIDUAL, slot->residual.count);
}

/* One Data-In PDU (11.7). Returns whether it carried the status too. */
static bool build_data_in(struct conn *conn, struct slot *slot)
{
    const struct session_parameters *p = &conn->session.parameters;
    uint32_t n = slot->send_total - slot->sent, max = p->max_send_data;
    bool last, collapse;
    uint8_t bhs[ISCSI_BHS_LENGTH];
    uint32_t crc;

    if (max > CONN_SEND_SEGMENT)
        max = CONN_SEND_SEGMENT;
    if (max > p->max_burst - slot->burst_sent)
        max = p->max_burst - slot->burst_sent;
    if (n > max)
        n = max;
    last = slot->sent + n == slot->send_total;
    collapse = last && !slot->task.status && !slot->task.sense_length;
    slot->burst_sent += n;
    pdu_init(bhs, ISCSI_SCSI_DATA_IN, 0);
    if (last || slot->burst_sent == p->max_burst) {
        bhs[BHS_FLAGS] |= BHS_FLAG_FINAL;
        slot->burst_sent = 0;
    }
    put_be32(bhs + BHS_INITIATOR_TASK_TAG, slot->itt);
    put_be32(bhs + BHS_TARGET_TRANSFER_TAG, ISCSI_RESERVED_TAG);
    put_be32(bhs + DATA_DATA_SN, slot->data_in_sn++);
    put_be32(bhs + DATA_BUFFER_OFFSET, slot->sent);
    if (collapse) {
        slot_answered(slot);
        bhs[BHS_FLAGS] |= DATA_STATUS;
        put_residual(bhs, slot);
    }
    put_sequence(conn, bhs, collapse);
    if (!collapse)
        put_be32(bhs + BHS_STAT_SN, 0); /* 11.7.3: without S it is reserved */
    put_header(conn, bhs, n, true);
    crc = put_payload(conn, &slot->task.data_in, slot->sent, n, true);
    put_tail(conn, n, crc, true);
    slot->sent += n;
    return collapse;
}

static void build_status(struct conn *conn, struct slot *slot)
{
    const struct task *task = &slot->task;
    uint8_t bhs[ISCSI_BHS_LENGTH], data[RESPONSE_SENSE_HEADER + LIMIT_SENSE];
    uint32_t length = task->sense_length ? RESPONSE_SENSE_HEADER + (uint32_t)task->sense_length : 0;
    uint32_t crc = PDU_CRC_START;

    slot_answered(slot);
    pdu_init(bhs, ISCSI_SCSI_RESPONSE, BHS_FLAG_FINAL);
    bhs[BHS_RESPONSE] = RESPONSE_COMPLETED;
    bhs[BHS_STATUS] = task->status;
    put_be32(bhs + BHS_INITIATOR_TASK_TAG, slot->itt);
    put_be32(bhs + RESPONSE_EXP_DATA_SN, slot->data_in_sn + slot->r2t_sn);
    put_residual(bhs, slot);
    put_sequence(conn, bhs, true);
    put_header(conn, bhs, length, true);
    if (length) {
        put_be16(data, task->sense_length);
        memcpy(data + RESPONSE_SENSE_HEADER, task->sense, task->sense_length);
        put_head(&conn->tx, data, length);
        if (conn->send_data_digest)
            crc = pdu_crc_feed(crc, data, length);
        put_tail(conn, length, crc, true);
    }
}

/* Returns false when there is no room for the rest. */
static bool build_response(struct conn *conn, struct slot *slot)
{
    while (slot->sent < slot->send_total) {
        if (!has_room(&conn->tx))
            return false;
        if (build_data_in(conn, slot))
            goto done;
    }
    if (!has_room(&conn->tx))
        return false;
    build_status(conn, slot);
done:
    tx_unqueue(&slot->response);
    if (slot->send_total) /* its memory is read by the kernel until the sendmsg is over */
        qb_list_add_tail(&slot->link, &conn->tx.flying);
    else
        slot_release(slot);
    return true;
}

static bool build_r2t(struct conn *conn, struct slot *slot)
{
    const struct session_parameters *p = &conn->session.parameters;

    while (slot->granted < slot->wanted && slot->r2t_sn - slot->r2t_done < p->max_outstanding_r2t) {
        uint32_t n = slot->wanted - slot->granted;
        uint8_t bhs[ISCSI_BHS_LENGTH];

        if (!has_room(&conn->tx))
            return false;
        if (n > p->max_burst)
            n = p->max_burst;
        if (slot->r2t_sn == slot->r2t_done) {
            slot->burst_end = slot->granted + n;
            slot->data_sn = 0;
        }
        pdu_init(bhs, ISCSI_R2T, BHS_FLAG_FINAL);
        put_be64(bhs + BHS_LUN, slot->task.lun);
        put_be32(bhs + BHS_INITIATOR_TASK_TAG, slot->itt);
        put_be32(bhs + BHS_TARGET_TRANSFER_TAG,
                 (uint32_t)slot->number << 16 | (slot->r2t_sn & 0xffff));
        put_be32(bhs + R2T_R2T_SN, slot->r2t_sn++);
        put_be32(bhs + R2T_BUFFER_OFFSET, slot->granted);
        put_be32(bhs + R2T_DESIRED_LENGTH, n);
        slot->granted += n;
        put_sequence(conn, bhs, false);
        put_header(conn, bhs, 0, true);
    }
    tx_unqueue(&slot->r2t);
    return true;
}

static bool build_control(struct conn *conn, struct control *control)
{
    bool digests = !control->plain;
    uint32_t crc = PDU_CRC_START;

    if (!has_room(&conn->tx))
        return false;
    put_sequence(conn, control->bhs, control->status_sn);
    put_header(conn, control->bhs, control->data_length, digests);
    if (control->data && control->data_length) {
        put_iov(&conn->tx, control->data, control->data_length);
        if (digests && conn->send_data_digest)
            crc = pdu_crc_feed(crc, control->data, control->data_length);
    } else if (control->data_length) {
        crc = put_payload(conn, &control->payload, 0, control->data_length, digests);
    }
    put_tail(conn, control->data_length, crc, digests);
    tx_unqueue(&control->item);
    qb_list_add_tail(&control->link, &conn->tx.flying_controls);
    return true;
}

static bool build(struct conn *conn, struct tx_item *item)
{
    switch (item->kind) {
    case TX_RESPONSE:
        return build_response(conn, container_of(item, struct slot, response));
    case TX_R2T:
        return build_r2t(conn, container_of(item, struct slot, r2t));
    default:
        return build_control(conn, container_of(item, struct control, item));
    }
}

/* A first send takes what the socket has room for, nearly always all, and is then no event of its
 * own. A rest waits for room. */
static void send_rest(struct conn *conn, bool first)
{
    struct conn_tx *tx = &conn->tx;
    struct io_uring_sqe *sqe;

    tx->message =
        (struct msghdr){.msg_iov = tx->iov + tx->iov_at, .msg_iovlen = tx->iov_used - tx->iov_at};
    tx->armed = true;
    sqe = reactor_sqe(conn->home->reactor, &tx->op);
    io_uring_prep_sendmsg(sqe, conn->fd, &tx->message,
                          MSG_NOSIGNAL | MSG_WAITALL | (first ? MSG_DONTWAIT : 0));
    if (first)
        reactor_quiet(conn->home->reactor, sqe, &tx->op);
}

/* The kernel has let go of what was sent. */
static void land(struct conn *conn)
{
    while (!qb_list_empty(&conn->tx.flying))
        slot_release(qb_list_first_entry(&conn->tx.flying, struct slot, link));
    while (!qb_list_empty(&conn->tx.flying_controls))
        control_free(qb_list_first_entry(&conn->tx.flying_controls, struct control, link));
    conn->tx.iov_used = conn->tx.iov_at = 0;
    conn->tx.heads_used = conn->tx.bytes = conn->tx.left = 0;
}

static void sent(struct io_op *op, int32_t res, uint32_t flags)
{
    struct conn_tx *tx = container_of(op, struct conn_tx, op);
    struct conn *conn = container_of(tx, struct conn, tx);

    tx->armed = false;
    conn_kick(conn);
    if (res == -EINTR || res == -EAGAIN)
        res = 0;
    if (res < 0) {
        conn_end(conn, false, strerror(-res));
        land(conn);
        return;
    }
    tx->left = res == REACTOR_ALL ? 0 : tx->left - (size_t)res;
    if (tx->left && conn->socket != SOCKET_SHUT) {
        size_t n = (size_t)res;
        while (n >= tx->iov[tx->iov_at].iov_len)
            n -= tx->iov[tx->iov_at++].iov_len;
        tx->iov[tx->iov_at].iov_base = (uint8_t *)tx->iov[tx->iov_at].iov_base + n;
        tx->iov[tx->iov_at].iov_len -= n;
        send_rest(conn, false);
        return;
    }
    land(conn);
}

/* A quiet send is over when it has been submitted, but nobody is woken for it. Does anything wait
 * for that? */
static bool waited_for(const struct conn *conn)
{
    return !qb_list_empty(&conn->tx.queue) || conn->rx.stalled || conn->state != CONN_FULL ||
           conn->socket != SOCKET_OPEN;
}

static void flush(struct conn *conn)
{
    struct conn_tx *tx = &conn->tx;

    if (tx->armed || conn->socket == SOCKET_SHUT || conn->socket == SOCKET_LINGER)
        return;
    while (!qb_list_empty(&tx->queue) &&
           build(conn, qb_list_first_entry(&tx->queue, struct tx_item, link)))
        ;
    if (!tx->iov_used)
        return;
    tx->left = tx->bytes;
    send_rest(conn, true);
}

void tx_flush(struct conn *conn)
{
    flush(conn);
    if (conn->tx.op.quiet && waited_for(conn))
        reactor_again(conn->home->reactor);
}

void tx_drop(struct conn *conn)
{
    struct qb_list_head *at, *next;

    qb_list_for_each_safe(at, next, &conn->tx.queue)
    {
        struct tx_item *item = qb_list_entry(at, struct tx_item, link);
        struct slot *slot = container_of(item, struct slot, response);
        struct control *control = container_of(item, struct control, item);

        if (item->kind == TX_CONTROL && conn->socket != SOCKET_SHUT)
            continue; /* a flush sends these and nothing else */
        tx_unqueue(item);
        if (item->kind == TX_RESPONSE && !slot->sent)
            slot_release(slot);
        else if (item->kind == TX_RESPONSE)
            qb_list_add_tail(&slot->link, &conn->tx.flying); /* partly in the socket */
        else if (item->kind == TX_CONTROL)
            control_free(control);
    }
    if (!conn->tx.armed)
        land(conn);
}

void tx_init(struct conn *conn)
{
    conn->tx.op.done = sent;
    qb_list_init(&conn->tx.queue);
    qb_list_init(&conn->tx.flying);
    qb_list_init(&conn->tx.flying_controls);
}
