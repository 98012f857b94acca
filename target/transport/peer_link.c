#include "target/transport/peer_link.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "target/base/bytes.h"
#include "target/base/container.h"

enum {
    PING_NS = 500000000,     /* a link silent for so long is asked */
    SILENCE_NS = 2000000000, /* and given up after so long; the cluster decides about the node. The
                              * first frame must come in this time, too */
};

static void receive_more(struct peer_link *link);
static void send_sign(struct peer_link *link, enum peer_type type);

static void frame_sent(struct peer_frame *frame)
{
    qb_list_del(&frame->link);
    frame->queued = false;
    if (frame->sent)
        frame->sent(frame);
}

static void finish_if_idle(struct peer_link *link)
{
    if (!link->closing || link->closed || link->receiving || link->sending || link->flushing)
        return;
    link->closed = true;
    while (!qb_list_empty(&link->in_flight))
        frame_sent(qb_list_first_entry(&link->in_flight, struct peer_frame, link));
    while (!qb_list_empty(&link->queue))
        frame_sent(qb_list_first_entry(&link->queue, struct peer_frame, link));
    reactor_timer_cancel(link->reactor, &link->timer);
    close(link->fd);
    link->fd = -1;
    free(link->buffer);
    link->buffer = NULL;
    link->callbacks->closed(link, link->why);
}

static void finish_later(struct timer *timer)
{
    finish_if_idle(container_of(timer, struct peer_link, timer));
}

void peer_link_close(struct peer_link *link, const char *why)
{
    if (link->closing)
        return;
    link->closing = true;
    snprintf(link->why, sizeof link->why, "%s", why);
    shutdown(link->fd, SHUT_RDWR); /* ends what is in the ring */
    if (link->receiving)
        reactor_cancel(link->reactor, &link->receive_op);
    if (link->sending)
        reactor_cancel(link->reactor, &link->send_op);
    link->timer.fire = finish_later;
    reactor_timer_set(link->reactor, &link->timer, link->reactor->now_ns);
}

static bool is_silent(const struct peer_link *link)
{
    return link->reactor->now_ns - link->last_heard_ns >= SILENCE_NS;
}

static void silence(struct timer *timer)
{
    struct peer_link *link = container_of(timer, struct peer_link, timer);
    uint64_t now = link->reactor->now_ns;

    if (is_silent(link)) {
        peer_link_close(link, link->greeted ? "peer is silent" : "peer did not say HELLO");
        return;
    }
    if (link->greeted && now - link->last_heard_ns >= PING_NS)
        send_sign(link, PEER_PING);
    reactor_timer_set(link->reactor, timer, now + PING_NS);
}

void peer_frame_init(struct peer_frame *frame, enum peer_type type, uint32_t slot,
                     uint32_t body_length, uint32_t data_length)
{
    assert(body_length <= PEER_BODY_MAX);
    memset(frame->head, 0, PEER_HEADER + body_length);
    peer_frame_write(frame->head, type, slot, body_length, data_length);
    frame->head_length = PEER_HEADER + body_length;
    frame->payload = NULL;
    frame->payload_length = 0;
}

static void flush_later(struct peer_link *link)
{
    if (link->flushing)
        return;
    link->flushing = true;
    reactor_defer(link->reactor, &link->flush);
}

static void send_frame(struct peer_link *link, struct peer_frame *frame, bool first)
{
    assert(!frame->queued);
    frame->started = false;
    if (link->closing) {
        if (frame->sent)
            frame->sent(frame);
        return;
    }
    frame->queued = true;
    if (first)
        qb_list_add(&frame->link, &link->queue);
    else
        qb_list_add_tail(&frame->link, &link->queue);
    flush_later(link);
}

void peer_link_send(struct peer_link *link, struct peer_frame *frame)
{
    send_frame(link, frame, false);
}

/* A sign of life overtakes what waits: behind seconds of data it would come too late. */
static void send_sign(struct peer_link *link, enum peer_type type)
{
    if (link->ping.queued)
        return;
    peer_frame_init(&link->ping, type, 0, 0, 0);
    send_frame(link, &link->ping, true);
}

/* The frames that have left in full. Their `sent` may send more, so the link counts as sending
 * until the list is its own again; and it must not wait for the rest of a large one: the other side
 * may have answered the first of them already. */
static void frames_left(struct peer_link *link, size_t n)
{
    link->gone += n;
    while (!qb_list_empty(&link->in_flight)) {
        struct peer_frame *frame = qb_list_first_entry(&link->in_flight, struct peer_frame, link);
        size_t length = frame->head_length + frame->payload_length;

        if (link->gone < length)
            return;
        link->gone -= length;
        frame_sent(frame);
    }
}

static void message_advance(struct msghdr *message, size_t n)
{
    while (n) {
        struct iovec *iov = message->msg_iov;
        size_t piece = n < iov->iov_len ? n : iov->iov_len;

        iov->iov_base = (uint8_t *)iov->iov_base + piece;
        iov->iov_len -= piece;
        n -= piece;
        if (!iov->iov_len) {
            message->msg_iov++;
            message->msg_iovlen--;
        }
    }
}

/* A first send takes what the socket has room for, nearly always all, and is then no event of its
 * own. A rest waits for room. */
static void submit_send(struct peer_link *link, bool first)
{
    struct io_uring_sqe *sqe = reactor_sqe(link->reactor, &link->send_op);

    io_uring_prep_sendmsg(sqe, link->fd, &link->send_message,
                          MSG_NOSIGNAL | (first ? MSG_DONTWAIT | MSG_WAITALL : 0));
    if (first)
        reactor_quiet(link->reactor, sqe, &link->send_op);
    link->sending = true;
}

static size_t message_length(const struct msghdr *message)
{
    size_t length = 0;

    for (size_t i = 0; i < message->msg_iovlen; i++)
        length += message->msg_iov[i].iov_len;
    return length;
}

static void send_done(struct io_op *op, int32_t res, uint32_t flags)
{
    struct peer_link *link = container_of(op, struct peer_link, send_op);
    size_t n;

    if (res == -EAGAIN)
        res = 0; /* the socket is full */
    if (res < 0 && !link->closing)
        peer_link_close(link, strerror(-res));
    if (!link->closing) {
        n = res == REACTOR_ALL ? message_length(&link->send_message) : (size_t)res;
        message_advance(&link->send_message, n);
        frames_left(link, n);
    }
    link->sending = false;
    if (link->closing)
        finish_if_idle(link);
    else if (link->send_message.msg_iovlen) /* a short send: go on with the rest */
        submit_send(link, false);
    else if (!qb_list_empty(&link->queue))
        flush_later(link);
}

static void send_more(struct peer_link *link)
{
    unsigned used = 0;

    while (!qb_list_empty(&link->queue)) {
        struct peer_frame *frame = qb_list_first_entry(&link->queue, struct peer_frame, link);
        unsigned need = 1 + (frame->payload_length ? frame->payload->count : 0);
        if (used + need > PEER_SEND_IOV)
            break;
        link->send_iov[used].iov_base = frame->head;
        link->send_iov[used++].iov_len = frame->head_length;
        if (frame->payload_length)
            used += payload_slice(frame->payload, 0, frame->payload_length, link->send_iov + used);
        frame->started = true;
        qb_list_del(&frame->link);
        qb_list_add_tail(&frame->link, &link->in_flight);
    }
    if (!used)
        return;
    link->gone = 0;
    link->send_message = (struct msghdr){.msg_iov = link->send_iov, .msg_iovlen = used};
    link->send_op.done = send_done;
    submit_send(link, true);
}

/* A quiet send is over when it has been submitted, but nobody is woken for it: what waits for that
 * asks for another turn. */
static void hurry(struct peer_link *link)
{
    if (link->send_op.quiet && !qb_list_empty(&link->queue))
        reactor_again(link->reactor);
}

static void flush(struct post *post)
{
    struct peer_link *link = container_of(post, struct peer_link, flush);

    link->flushing = false;
    if (link->closing) {
        finish_if_idle(link);
        return;
    }
    if (!link->sending)
        send_more(link);
    hurry(link);
}

static bool is_sign(enum peer_type type)
{
    return type == PEER_PING || type == PEER_PONG;
}

static void frame_complete(struct peer_link *link)
{
    link->in_payload = false;
    if (link->head.type == PEER_PING)
        send_sign(link, PEER_PONG);
    else if (!is_sign(link->head.type))
        link->callbacks->complete(link, link->head.type, link->head.slot);
}

static void take_payload(struct peer_link *link)
{
    uint32_t n = link->end - link->begin;

    if (n > link->data_left)
        n = link->data_left;
    if (link->target && n)
        payload_write(link->target, link->data_done, link->buffer + link->begin, n);
    link->begin += n;
    link->data_done += n;
    link->data_left -= n;
}

/* Takes one header with its body from the buffer. False: more bytes are needed, or it was wrong. */
static bool take_head(struct peer_link *link)
{
    const uint8_t *bytes = link->buffer + link->begin, *body = bytes + PEER_HEADER;
    uint32_t have = link->end - link->begin, extra = 0;
    struct peer_head *head = &link->head;
    const char *why;

    if (have < PEER_HEADER)
        return false;
    why = peer_frame_read(bytes, head);
    if (!why && !link->greeted && is_sign(head->type))
        why = "no HELLO frame";
    if (why) {
        peer_link_close(link, why);
        return false;
    }
    if (have < PEER_HEADER + head->body)
        return false;
    /* The sense data of a response is small: it is waited for and handed over with the body. */
    if (head->type == PEER_RESPONSE) {
        why = peer_frame_sense(body, head->data, &extra);
        if (why) {
            peer_link_close(link, why);
            return false;
        }
    }
    if (have < PEER_HEADER + head->body + extra)
        return false;
    link->begin += PEER_HEADER + head->body + extra;
    link->data_left = head->data - extra;
    link->data_done = 0;
    link->target = NULL;
    if (!link->greeted) {
        link->greeted = true;
        link->last_heard_ns = link->reactor->now_ns;
    }
    if (!is_sign(head->type))
        link->target = link->callbacks->head(link, head->type, head->slot, body, head->body + extra,
                                             link->data_left);
    assert(!link->target || link->target->length >= link->data_left);
    link->in_payload = true;
    return true;
}

static void receive_done(struct io_op *op, int32_t res, uint32_t flags)
{
    struct peer_link *link = container_of(op, struct peer_link, receive_op);

    link->receiving = false;
    link->more = flags & IORING_CQE_F_SOCK_NONEMPTY;
    if (!link->closing && res <= 0)
        peer_link_close(link, res ? strerror(-res) : "closed by peer");
    if (!link->closing && link->strict && link->greeted && is_silent(link))
        peer_link_close(link, "peer was silent");
    if (link->closing) {
        finish_if_idle(link);
        return;
    }
    if (link->greeted)
        link->last_heard_ns = link->reactor->now_ns;
    if (link->direct) {
        link->direct = false;
        link->data_done += (uint32_t)res;
        link->data_left -= (uint32_t)res;
    } else
        link->end += (uint32_t)res;
    while (!link->closing) {
        if (link->in_payload) {
            take_payload(link);
            if (link->data_left)
                break;
            frame_complete(link);
        } else if (!take_head(link))
            break;
    }
    if (link->send_op.quiet) /* an answer may have overtaken the end of its command's send */
        reactor_again(link->reactor);
    if (link->closing)
        finish_if_idle(link);
    else
        receive_more(link);
}

static void receive_more(struct peer_link *link)
{
    struct io_uring_sqe *sqe = reactor_sqe(link->reactor, &link->receive_op);

    if (link->begin == link->end)
        link->begin = link->end = 0;
    if (link->in_payload && link->target && link->data_left >= PEER_RECEIVE / 8) {
        /* The rest of a large payload goes where it belongs without a copy. */
        link->receive_message = (struct msghdr){
            .msg_iov = link->receive_iov,
            .msg_iovlen =
                payload_slice(link->target, link->data_done, link->data_left, link->receive_iov),
        };
        link->direct = true;
        io_uring_prep_recvmsg(sqe, link->fd, &link->receive_message, 0);
    } else {
        if (link->begin) {
            memmove(link->buffer, link->buffer + link->begin, link->end - link->begin);
            link->end -= link->begin;
            link->begin = 0;
        }
        io_uring_prep_recv(sqe, link->fd, link->buffer + link->end, PEER_RECEIVE - link->end, 0);
    }
    if (!link->more)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST; /* an attempt in vain costs, too */
    link->receiving = true;
}

int peer_link_start(struct peer_link *link, struct reactor *reactor, int fd,
                    const struct peer_link_callbacks *callbacks)
{
    int one = 1;

    memset(link, 0, sizeof *link);
    link->buffer = malloc(PEER_RECEIVE);
    if (!link->buffer)
        return -ENOMEM;
    link->callbacks = callbacks;
    link->reactor = reactor;
    link->fd = fd;
    qb_list_init(&link->queue);
    qb_list_init(&link->in_flight);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    link->receive_op.done = receive_done;
    link->flush.run = flush;
    link->last_heard_ns = reactor->now_ns;
    link->timer.fire = silence;
    reactor_timer_set(reactor, &link->timer, reactor->now_ns + PING_NS);
    receive_more(link);
    return 0;
}
