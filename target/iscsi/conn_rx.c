/* From bytes to PDUs: framing, digests, order of commands. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "target/iscsi/conn.h"
#include "target/iscsi/pdu.h"

static const uint8_t *rx_at(const struct conn *conn)
{
    return conn->rx.buffer + conn->rx.start;
}

static size_t rx_have(const struct conn *conn)
{
    return conn->rx.end - conn->rx.start;
}

static size_t header_length(const struct conn *conn, const uint8_t *bhs)
{
    return ISCSI_BHS_LENGTH + pdu_ahs_length(bhs) + (conn->digest_header ? ISCSI_DIGEST_LENGTH : 0);
}

static bool digest_right(uint32_t crc, const uint8_t *digest)
{
    return pdu_crc_finish(crc) == get_le32(digest);
}

bool rx_has_room(const struct conn *conn)
{
    if (conn->state == CONN_LOGIN)
        return !conn->own_busy;
    return conn->state == CONN_FULL && control_available(conn) && slot_available(conn);
}

/* In the login phase a PDU is taken when it is there as a whole. Returns false: more bytes are
 * needed. */
static bool login_pdu(struct conn *conn)
{
    const uint8_t *bhs = rx_at(conn);
    uint32_t length = pdu_data_length(bhs);
    size_t head = ISCSI_BHS_LENGTH + pdu_ahs_length(bhs);

    if (length > ISCSI_DEFAULT_DATA_SEGMENT) {
        conn_end(conn, false, "login request too long");
        return false;
    }
    if (rx_have(conn) < head + length + pdu_padding(length))
        return false;
    if (!rx_has_room(conn)) { /* the answer before this request is not known to be sent yet */
        conn->rx.stalled = true;
        return false;
    }
    conn->rx.start += head + length + pdu_padding(length);
    conn_login_pdu(conn, bhs, bhs + head, length);
    return true;
}

/* Data of a request that is not a SCSI command is kept in a payload until the request runs. */
static void sink_payload(struct conn *conn, uint32_t length)
{
    if (!payload_alloc(conn->home->reactor->payloads, &conn->rx.payload,
                       length <= LIMIT_TRANSFER ? length : 0))
        conn->rx.sink = RX_PAYLOAD;
}

/* What a header means. Returns false when the connection is out of room: nothing has happened, the
 * header is looked at again later. */
static bool take_header(struct conn *conn, const uint8_t *bhs, const uint8_t *ahs)
{
    struct pdu_fault fault = pdu_check(bhs, conn->session.parameters.max_recv_data);
    uint8_t opcode = pdu_opcode(bhs);
    enum session_order order = ORDER_NOW;

    /* Any of these may need an answer of its own, a reject at least. */
    if (opcode != ISCSI_SCSI_DATA_OUT && !rx_has_room(conn))
        return false;
    conn->rx.sink = RX_DISCARD;
    conn->rx.run_now = false;
    conn->rx.slot = conn->rx.queued = NULL;
    if (fault.reason) {
        conn_reject(conn, bhs, fault.reason, fault.fatal, fault.why);
        return true;
    }
    if (opcode == ISCSI_SNACK_REQUEST) {
        conn_reject(conn, bhs, REJECT_SNACK, false, "ErrorRecoveryLevel is 0");
        return true;
    }
    if (conn->discovery && opcode != ISCSI_TEXT_REQUEST && opcode != ISCSI_LOGOUT_REQUEST &&
        opcode != ISCSI_NOP_OUT) {
        conn_reject(conn, bhs, REJECT_PROTOCOL_ERROR, false, "not in a discovery session");
        return true;
    }
    if (opcode == ISCSI_SCSI_DATA_OUT) {
        scsi_data_out(conn, bhs);
        return true;
    }
    if (!pdu_immediate(bhs)) {
        uint32_t cmd_sn = get_be32(bhs + BHS_CMD_SN);
        order = session_order(&conn->session, cmd_sn);
        if (order == ORDER_LATER && slot_is_queued(conn, cmd_sn))
            order = ORDER_DROP;
        if (order == ORDER_DROP)
            return true;
        if (order == ORDER_NOW)
            conn->session.exp_cmd_sn++;
    }
    if (opcode == ISCSI_SCSI_COMMAND) {
        scsi_command(conn, bhs, ahs, order == ORDER_NOW);
        return true;
    }
    if (order == ORDER_NOW)
        conn->rx.run_now = true;
    else
        conn->rx.queued = slot_queue(conn, bhs);
    if (pdu_data_length(bhs))
        sink_payload(conn, pdu_data_length(bhs));
    return true;
}

static bool full_header(struct conn *conn)
{
    struct conn_rx *rx = &conn->rx;
    const uint8_t *bhs = rx_at(conn);
    size_t need = header_length(conn, bhs), covered = ISCSI_BHS_LENGTH + pdu_ahs_length(bhs);

    if (rx_have(conn) < need)
        return false;
    if (conn->digest_header &&
        !digest_right(pdu_crc_feed(PDU_CRC_START, bhs, covered), bhs + covered)) {
        /* 7.8: where the next PDU begins cannot be known any more. */
        conn_end(conn, false, "header digest error");
        return false;
    }
    memcpy(rx->bhs, bhs, ISCSI_BHS_LENGTH);
    rx->length = pdu_data_length(bhs);
    rx->got = 0;
    rx->crc = PDU_CRC_START;
    rx->unchecked = false;
    rx->state = RX_DATA;
    if (!take_header(conn, rx->bhs, bhs + ISCSI_BHS_LENGTH)) {
        rx->state = RX_HEADER;
        rx->stalled = true;
        return false;
    }
    rx->start += need;
    return true;
}

/* The commands that waited for the one that just ran. */
static void run_queued(struct conn *conn)
{
    while (conn->state == CONN_FULL && !qb_list_empty(&conn->queued)) {
        struct slot *slot = qb_list_first_entry(&conn->queued, struct slot, link);
        if (slot->cmd_sn != conn->session.exp_cmd_sn || slot == conn->rx.slot ||
            slot == conn->rx.queued)
            return;
        conn->session.exp_cmd_sn++;
        qb_list_del(&slot->link);
        qb_list_init(&slot->link);
        if (slot->phase == SLOT_VOID) {
            slot_release(slot);
        } else if (pdu_opcode(slot->bhs) == ISCSI_SCSI_COMMAND) {
            scsi_run_queued(slot);
        } else {
            request_run(conn, slot->bhs, &slot->early);
            slot_release(slot);
        }
    }
}

/* All of a PDU has come. */
static void pdu_done(struct conn *conn, bool intact)
{
    struct conn_rx *rx = &conn->rx;
    struct slot *slot = rx->slot;
    struct payload *kept = rx->queued ? &rx->queued->early : &rx->payload;

    rx->state = RX_HEADER;
    if (rx->left)
        rx->left--;
    if (!intact && rx->length) {
        /* Commands and text cannot be asked for again at this recovery level; data can be given up.
         */
        conn_reject(conn, rx->bhs, REJECT_DATA_DIGEST, rx->sink == RX_PAYLOAD, "data digest error");
    }
    rx->slot = NULL;
    if (rx->sink == RX_SLOT && slot)
        scsi_data_done(slot, intact);
    if (rx->queued) {
        if (rx->payload.count) {
            *kept = rx->payload;
            rx->payload.count = 0;
            rx->payload.length = 0;
        }
        rx->queued = NULL;
    } else if (rx->run_now && (conn->state == CONN_FULL)) {
        request_run(conn, rx->bhs, kept);
    }
    rx->run_now = false;
    if (rx->payload.count)
        payload_free(conn->home->reactor->payloads, &rx->payload);
    run_queued(conn);
}

/* Takes `n` bytes of the data segment that are in memory at `data`, or (NULL) already in their
 * place. */
static void take_data(struct conn *conn, const uint8_t *data, uint32_t n)
{
    struct conn_rx *rx = &conn->rx;
    uint32_t offset, room = 0;
    struct payload *to = NULL;

    if (data && conn->digest_data)
        rx->crc = pdu_crc_feed(rx->crc, data, n);
    if (rx->sink == RX_PAYLOAD) {
        to = &rx->payload;
        offset = rx->got;
        room = (uint32_t)to->length - offset;
    } else if (rx->sink == RX_SLOT) {
        offset = rx->slot->received + rx->got;
        to = slot_sink(rx->slot, offset, &room);
    }
    if (room > n)
        room = n;
    if (to && room && data)
        payload_write(to, offset, data, room);
    if (!data && (!to || room < n)) {
        /* The command ended while the kernel wrote to its memory: nobody looks at the data. */
        rx->unchecked = true;
    } else if (!data && conn->digest_data) {
        struct iovec iov[LIMIT_SEGMENTS + 1];
        unsigned count = payload_slice(to, offset, n, iov);
        for (unsigned i = 0; i < count; i++)
            rx->crc = pdu_crc_feed(rx->crc, iov[i].iov_base, iov[i].iov_len);
    }
    rx->got += n;
}

static bool data_bytes(struct conn *conn)
{
    struct conn_rx *rx = &conn->rx;
    size_t n = rx->length - rx->got;

    if (n > rx_have(conn))
        n = rx_have(conn);
    if (n) {
        take_data(conn, rx_at(conn), (uint32_t)n);
        rx->start += n;
    }
    if (rx->got < rx->length)
        return false;
    rx->state = RX_TAIL;
    return true;
}

static bool tail_bytes(struct conn *conn)
{
    struct conn_rx *rx = &conn->rx;
    uint32_t padding = pdu_padding(rx->length);
    bool digest = conn->digest_data && rx->length, intact = true;
    size_t need = padding + (digest ? ISCSI_DIGEST_LENGTH : 0);

    if (rx_have(conn) < need)
        return false;
    if (digest) {
        rx->crc = pdu_crc_feed(rx->crc, rx_at(conn), padding);
        intact = rx->unchecked || digest_right(rx->crc, rx_at(conn) + padding);
    }
    rx->start += need;
    pdu_done(conn, intact);
    return true;
}

static bool step(struct conn *conn)
{
    switch (conn->rx.state) {
    case RX_HEADER:
        if (rx_have(conn) < ISCSI_BHS_LENGTH)
            return false;
        return conn->state == CONN_LOGIN ? login_pdu(conn) : full_header(conn);
    case RX_DATA:
        return data_bytes(conn);
    default:
        return tail_bytes(conn);
    }
}

void rx_parse(struct conn *conn)
{
    struct conn_rx *rx = &conn->rx;

    if (rx->armed && rx->direct)
        return;
    rx->stalled = rx->paused = false;
    while (conn->socket == SOCKET_OPEN && (conn->state == CONN_LOGIN || conn->state == CONN_FULL) &&
           rx->left && step(conn))
        ;
    rx->paused = !rx->left && rx->start < rx->end;
    if (rx->start == rx->end)
        rx->start = rx->end = 0;
}

static void received(struct io_op *op, int32_t res, uint32_t flags)
{
    struct conn_rx *rx = container_of(op, struct conn_rx, op);
    struct conn *conn = container_of(rx, struct conn, rx);
    bool direct = rx->direct;

    rx->armed = rx->direct = false;
    rx->more = flags & IORING_CQE_F_SOCK_NONEMPTY;
    conn_kick(conn);
    if (res == -EINTR || res == -EAGAIN)
        return;
    if (res <= 0) {
        rx->eof = true;
        if (conn->state == CONN_ENDING && (res < 0 || conn->socket == SOCKET_LINGER))
            conn_shut(conn);
        else if (conn->state != CONN_ENDING)
            conn_end(conn, false, res ? strerror(-res) : "closed by the initiator");
        return;
    }
    rx->last_ns = conn->home->reactor->now_ns;
    if (conn->socket != SOCKET_OPEN)
        return; /* discarded: the next recv overwrites it */
    if (direct) {
        take_data(conn, NULL, (uint32_t)res);
        if (rx->slot)
            slot_sync(rx->slot);
    } else {
        rx->end += (size_t)res;
    }
    rx_parse(conn);
}

/* A large rest of a data segment goes straight to its payload. Returns whether it was arranged. */
static bool arm_direct(struct conn *conn)
{
    struct conn_rx *rx = &conn->rx;
    uint32_t left = rx->length - rx->got, room = 0, offset;
    struct io_uring_sqe *sqe;
    struct payload *to;

    if (rx->state != RX_DATA || rx->sink != RX_SLOT || left < CONN_DIRECT || rx->start != rx->end)
        return false;
    offset = rx->slot->received + rx->got;
    to = slot_sink(rx->slot, offset, &room);
    if (!to || room < left)
        return false;
    rx->message = (struct msghdr){.msg_iov = rx->iov};
    rx->message.msg_iovlen = payload_slice(to, offset, left, rx->iov);
    rx->direct = true;
    sqe = reactor_sqe(conn->home->reactor, &rx->op);
    io_uring_prep_recvmsg(sqe, conn->fd, &rx->message, MSG_WAITALL);
    if (!rx->more)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    return true;
}

void rx_arm(struct conn *conn)
{
    struct conn_rx *rx = &conn->rx;
    size_t size = conn->state == CONN_LOGIN ? CONN_RX_LOGIN : CONN_RX;
    struct io_uring_sqe *sqe;

    if (rx->armed || rx->eof || conn->socket == SOCKET_SHUT ||
        ((rx->stalled || rx->paused) && conn->socket == SOCKET_OPEN))
        return;
    if (conn->socket == SOCKET_OPEN) {
        if (conn->state != CONN_LOGIN && conn->state != CONN_FULL)
            return;
        rx->armed = arm_direct(conn);
        if (rx->armed)
            return;
        /* Only a part of a PDU is left over, and that is small: a header, a login request. */
        if (rx->start) {
            memmove(rx->buffer, rx->buffer + rx->start, rx->end - rx->start);
            rx->end -= rx->start;
            rx->start = 0;
        }
        if (rx->end == size) {
            conn_end(conn, false, "receive buffer full");
            return;
        }
    } else {
        rx->start = rx->end = 0;
    }
    rx->armed = true;
    sqe = reactor_sqe(conn->home->reactor, &rx->op);
    io_uring_prep_recv(sqe, conn->fd, rx->buffer + rx->end, size - rx->end, 0);
    if (!rx->more)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
}

void rx_init(struct conn *conn)
{
    conn->rx.op.done = received;
    conn->rx.left = CONN_TURN_PDUS;
    conn->rx.last_ns = conn->home->reactor->now_ns;
    conn->rx.more = true; /* an initiator speaks first: its request is likely there */
}
