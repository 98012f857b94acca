/* Receiving from a socket of the link, packet by packet. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "replication/link_private.h"
#include "replication/resource.h"
#include "target/base/container.h"

static const char closed_by_peer[] = "the peer closed the connection";

static bool carries_data(unsigned command)
{
    return command == P_DATA || command == P_RS_DATA_REPLY || command == P_DATA_REPLY;
}

/* One packet at the start of the buffer. Bytes used; 0: more must come first; -EAGAIN: later. */
static ssize_t take_packet(struct link_socket *s)
{
    struct resource *r = s->resource;
    const uint8_t *bytes = s->buffer + s->start;
    /* Nothing older than h100 is said on the meta socket, and it may be ahead of the data socket.
     */
    enum header_form form = s->kind == SOCKET_META ? HEADER_100 : r->link.form;
    size_t have = s->end - s->start, head = header_length(form);
    struct packet_header header;
    const struct packet_row *row;
    int rc;

    if (have < head) {
        if (r->link.phase == LINK_FEATURES && !s->tls && have >= TLS_FIRST_BYTES &&
            tls_looks(bytes) == TLS_LOOKS_TLS) {
            link_peer_has_tls(r);
            link_fail(r, "%s", r->why);
        }
        return 0;
    }
    if (header_decode(form, bytes, &header)) {
        link_fail(r, "protocol error: bad header");
        return -EPROTO;
    }
    row = packet_row(header.command);
    if (!row || !(row->sockets & s->kind) || !packet_length_ok(row, header.length)) {
        link_fail(r, "protocol error: %s of %u bytes", packet_name(header.command), header.length);
        return -EPROTO;
    }
    if (carries_data(header.command)) {
        if (have < head + PACKET_DATA_LENGTH)
            return 0;
        rc = receive_bulk_start(r, &header, bytes + head, &s->bulk);
        if (!rc) {
            s->bulk.command = header.command;
            s->bulk_active = true;
            s->bulk_got = 0;
            return (ssize_t)(head + PACKET_DATA_LENGTH);
        }
    } else {
        if (header.length > s->size - head) {
            link_fail(r, "protocol error: %s of %u bytes", row->name, header.length);
            return -EPROTO;
        }
        if (have < head + header.length)
            return 0;
        rc = receive_packet(r, s, &header, bytes + head);
        if (!rc)
            return (ssize_t)(head + header.length);
    }
    if (rc != -EAGAIN)
        link_fail(r, "protocol error in %s", row->name);
    return rc;
}

static bool take_bulk(struct link_socket *s)
{
    size_t left = s->bulk.payload->length - s->bulk_got, n = s->end - s->start;

    if (n > left)
        n = left;
    payload_write(s->bulk.payload, s->bulk_got, s->buffer + s->start, n);
    s->start += n;
    s->bulk_got += n;
    if (n < left)
        return false;
    s->bulk_active = false;
    if (receive_bulk_done(s->resource, &s->bulk))
        link_fail(s->resource, "protocol error in %s", packet_name(s->bulk.command));
    return true;
}

/* Plaintext is there: the data of a packet first, what follows is in the buffer. */
static void count_received(struct link_socket *s, size_t n)
{
    if (s->bulk_active) {
        size_t left = s->bulk.payload->length - s->bulk_got;
        size_t direct = n < left ? n : left;

        s->bulk_got += direct;
        n -= direct;
    }
    s->end += n;
}

/* Where plaintext goes next: rx_iov. Returns its count. */
static unsigned make_room(struct link_socket *s)
{
    unsigned count = 0;

    if (s->start) {
        memmove(s->buffer, s->buffer + s->start, s->end - s->start);
        s->end -= s->start;
        s->start = 0;
    }
    if (s->bulk_active)
        count = payload_slice(s->bulk.payload, s->bulk_got, s->bulk.payload->length - s->bulk_got,
                              s->rx_iov);
    s->rx_iov[count++] = (struct iovec){s->buffer + s->end, s->size - s->end};
    return count;
}

/* What is there, packet by packet. */
static void take_packets(struct link_socket *s)
{
    struct resource *r = s->resource;

    while (link_alive(&r->link)) {
        ssize_t n;

        if (s->bulk_active) {
            if (!take_bulk(s))
                break;
            continue;
        }
        n = take_packet(s);
        if (n == -EAGAIN)
            s->paused = true;
        if (n <= 0)
            break;
        s->start += (size_t)n;
    }
}

/* TLS: more plaintext out of what was received. */
static bool open_records(struct link_socket *s)
{
    unsigned count = make_room(s);
    ssize_t n = tls_session_read(s->tls, s->rx_iov, count);

    if (n > 0)
        count_received(s, (size_t)n);
    else if (n != -EAGAIN)
        link_fail(s->resource, "%s", n ? tls_session_why(s->tls) : closed_by_peer);
    return n > 0;
}

void link_take_in(struct link_socket *s)
{
    struct resource *r = s->resource;

    s->paused = false;
    do
        take_packets(s);
    while (link_alive(&r->link) && !s->paused && s->tls && open_records(s));
    if (link_alive(&r->link) && !s->paused)
        link_receive_more(s);
}

void link_received(struct io_op *op, int32_t res, uint32_t flags)
{
    struct link_socket *s = container_of(op, struct link_socket, rx_op);
    struct resource *r = s->resource;

    resource_enter(r);
    s->rx_running = false;
    s->more = flags & IORING_CQE_F_SOCK_NONEMPTY;
    if (s->tls)
        tls_session_received(s->tls, res > 0 ? (size_t)res : 0);
    if (res <= 0 && res != -EINTR && res != -EAGAIN) {
        link_fail(r, "%s", res ? strerror(-res) : closed_by_peer);
    } else if (link_alive(&r->link)) {
        size_t n = res > 0 ? (size_t)res : 0;

        s->last_ns = r->home->now_ns;
        r->received_bytes += n;
        if (!s->tls)
            count_received(s, n);
        link_take_in(s);
    } else if (link_lingers(&r->link) && !s->bulk_active && res > 0) {
        link_receive_and_forget(s);
    }
    resource_leave(r);
}

static void receive(struct link_socket *s, unsigned count)
{
    struct io_uring_sqe *sqe = reactor_sqe(s->resource->home, &s->rx_op);

    assert(!s->rx_running);
    s->rx_running = true;
    if (count == 1) {
        io_uring_prep_recv(sqe, s->fd, s->rx_iov[0].iov_base, s->rx_iov[0].iov_len, 0);
    } else {
        s->rx_msg = (struct msghdr){.msg_iov = s->rx_iov, .msg_iovlen = count};
        io_uring_prep_recvmsg(sqe, s->fd, &s->rx_msg, 0);
    }
    if (!s->more)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST; /* an attempt in vain costs, too */
}

void link_receive_more(struct link_socket *s)
{
    uint8_t *bytes;

    if (!s->tls) {
        receive(s, make_room(s));
        return;
    }
    s->rx_iov[0].iov_len = tls_session_room(s->tls, &bytes);
    s->rx_iov[0].iov_base = bytes;
    receive(s, 1);
}

void link_receive_and_forget(struct link_socket *s)
{
    s->start = s->end = 0;
    s->rx_iov[0] = (struct iovec){s->buffer, s->size};
    receive(s, 1);
}

void link_resume(struct resource *r)
{
    if (r->link.data.paused && link_alive(&r->link))
        link_take_in(&r->link.data);
}
