/* The two sockets: receiving packet by packet, sending what is queued. */
#include "replication/link.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replication/resource.h"
#include "target/base/container.h"

enum { LINGER_MS = 2000 };

/* A packet without an owner of its own: state, pings, barriers. */
struct control {
    struct tx_item tx;
    struct control *next;
    struct link *link;
    uint8_t bytes[LINK_CONTROL];
};

static const char closed_by_peer[] = "the peer closed the connection";

static void receive_more(struct link_socket *s);
static void receive_and_forget(struct link_socket *s);

void link_fail(struct resource *r, const char *format, ...)
{
    va_list args;

    if (r->link.failing || r->link.phase == LINK_CLOSING || r->link.phase == LINK_IDLE)
        return;
    r->link.failing = true;
    va_start(args, format);
    vsnprintf(r->link.fail_why, sizeof r->link.fail_why, format, args);
    va_end(args);
}

void link_refuse(struct resource *r, const char *format, ...)
{
    char text[sizeof r->link.fail_why];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    link_fail(r, "%s", text);
    r->link.stay_down = true;
}

static bool lingers(const struct link *link)
{
    return link->phase == LINK_CLOSING && link->linger_ns;
}

void link_peer_has_tls(struct resource *r)
{
    char why[TLS_WHY];

    snprintf(why, sizeof why, "the peer speaks TLS, this node has tls = false for group \"%s\"",
             r->group->name);
    resource_complain(r, why);
}

/* --- sending --- */

static bool append_segments(struct link_socket *s, const struct tx_item *item, uint64_t skip)
{
    unsigned used = (unsigned)s->tx_msg.msg_iovlen;

    if (used + 1 + item->iov_count > LINK_TX_SEGMENTS)
        return false;
    if (skip < item->head_length) {
        s->tx_iov[used++] = (struct iovec){
            (uint8_t *)item->head + skip,
            item->head_length - skip,
        };
        skip = 0;
    } else {
        skip -= item->head_length;
    }
    for (unsigned i = 0; i < item->iov_count; i++) {
        if (skip >= item->iov[i].iov_len) {
            skip -= item->iov[i].iov_len;
            continue;
        }
        s->tx_iov[used++] = (struct iovec){
            (uint8_t *)item->iov[i].iov_base + skip,
            item->iov[i].iov_len - skip,
        };
        skip = 0;
    }
    s->tx_msg.msg_iovlen = used;
    return true;
}

static size_t message_length(const struct link_socket *s)
{
    size_t length = 0;

    for (unsigned i = 0; i < s->tx_msg.msg_iovlen; i++)
        length += s->tx_iov[i].iov_len;
    return length;
}

/* TLS: as many records as there is room for; what they leave is sent. */
static void seal(struct link_socket *s)
{
    const uint8_t *bytes = NULL;
    size_t whole = message_length(s);
    ssize_t n = tls_session_write(s->tls, s->tx_iov, (unsigned)s->tx_msg.msg_iovlen);

    if (n < 0)
        link_fail(s->resource, "%s", tls_session_why(s->tls));
    else
        s->tx_sealed = (size_t)n;
    s->tx_full = true;
    s->tx_waits |= s->tx_sealed < whole;
    s->tx_iov[0].iov_len = tls_session_output(s->tls, &bytes);
    s->tx_iov[0].iov_base = (void *)bytes;
    s->tx_msg.msg_iovlen = 1;
}

static void send_more(struct link_socket *s, bool first);

/* All is said: the peer reads it to its end. */
static void end_sending(struct link_socket *s)
{
    if (s->tls && tls_session_close(s->tls))
        send_more(s, false);
    else
        shutdown(s->fd, SHUT_WR);
}

/* A first send takes what the socket has room for, nearly always all, and is then no event of its own unless somebody
 * waits for that. A rest waits for room. */
static void submit_send(struct link_socket *s, bool quiet)
{
    struct reactor *home = s->resource->home;
    struct io_uring_sqe *sqe = reactor_sqe(home, &s->tx_op);

    s->tx_running = true;
    s->tx_submission = home->submissions;
    io_uring_prep_sendmsg(sqe, s->fd, &s->tx_msg,
                          MSG_NOSIGNAL | (quiet ? MSG_DONTWAIT | MSG_WAITALL : 0));
    if (quiet)
        reactor_quiet(home, sqe, &s->tx_op);
}

static void send_more(struct link_socket *s, bool first)
{
    uint64_t skip = s->tx_sent;
    bool quiet = first;

    s->tx_msg.msg_iovlen = 0;
    s->tx_full = s->tx_waits = false;
    for (struct tx_item *item = s->tx_first; item; item = item->next) {
        if (!append_segments(s, item, skip)) {
            s->tx_full = s->tx_waits = true;
            break;
        }
        quiet &= item->patient;
        skip = 0;
    }
    if (s->tls)
        seal(s);
    /* Of TLS there may be more than what lies in one piece. */
    submit_send(s, quiet && !s->tx_waits && !s->tls);
}

/* Records cost: those of all that this turn of the reactor still queues are made at its end. */
static void seal_queued(struct post *post)
{
    struct link_socket *s = container_of(post, struct link_socket, seal_post);
    struct resource *r = s->resource;

    resource_enter(r);
    s->tx_running = false;
    if (s->tx_first && (link_alive(&r->link) || lingers(&r->link)))
        send_more(s, true);
    else if (lingers(&r->link) && s->kind == SOCKET_DATA)
        end_sending(s);
    resource_leave(r);
}

static void begin_sending(struct link_socket *s)
{
    if (!s->tls) {
        send_more(s, true);
        return;
    }
    s->tx_running = s->tx_full = true;
    s->tx_waits = false;
    s->seal_post.run = seal_queued;
    reactor_defer(s->resource->home, &s->seal_post);
}

static void pop_sent(struct link_socket *s)
{
    while (s->tx_first && s->tx_sent >= s->tx_first->length) {
        struct tx_item *item = s->tx_first;

        s->tx_sent -= item->length;
        s->tx_first = item->next;
        if (!s->tx_first)
            s->tx_end = &s->tx_first;
        item->done(item);
    }
}

static void count_sent(struct link_socket *s, size_t n)
{
    s->resource->sent_bytes += n;
    if (s->tls) {
        /* What is in records is not needed any more, even if a part of them is still to be sent. */
        tls_session_sent(s->tls, n);
        n = s->tx_sealed;
        s->tx_sealed = 0;
    }
    s->tx_sent += n;
    pop_sent(s);
}

static bool more_to_send(const struct link_socket *s)
{
    const uint8_t *bytes;

    return s->tx_first || (s->tls && tls_session_output(s->tls, &bytes));
}

static void sent(struct io_op *op, int32_t res, uint32_t flags)
{
    struct link_socket *s = container_of(op, struct link_socket, tx_op);
    struct resource *r = s->resource;
    size_t whole = message_length(s), n = res == REACTOR_ALL ? whole : res > 0 ? (size_t)res : 0;
    bool failed = !n && res != -EINTR && res != -EAGAIN;

    resource_enter(r);
    s->tx_full = true; /* what is queued while the list is taken apart waits */
    if (failed)
        link_fail(r, "sending failed: %s", strerror(res ? -res : EPIPE));
    else
        count_sent(s, n);
    s->tx_running = false;
    if (more_to_send(s) && (link_alive(&r->link) || (lingers(&r->link) && !failed)))
        send_more(s, n == whole);
    else if (lingers(&r->link) && s->kind == SOCKET_DATA)
        end_sending(s);
    resource_leave(r);
}

/* The list of what is being sent may grow until the kernel takes its copy of it. */
static bool rides_along(struct link_socket *s, const struct tx_item *item)
{
    return !s->tx_full && s->tx_submission == s->resource->home->submissions &&
           append_segments(s, item, 0);
}

void link_push(struct link_socket *s, struct tx_item *item)
{
    item->next = NULL;
    item->length = item->head_length;
    for (unsigned i = 0; i < item->iov_count; i++)
        item->length += item->iov[i].iov_len;
    *s->tx_end = item;
    s->tx_end = &item->next;
    if (!link_alive(&s->resource->link))
        return; /* given back when the link is closed */
    if (!s->tx_running) {
        begin_sending(s);
    } else if (rides_along(s, item)) {
        if (!item->patient && s->tx_op.quiet)
            reactor_again(s->resource->home);
    } else {
        s->tx_full = s->tx_waits = true;
    }
}

/* Does anybody wait for the end of this send? */
static bool waited_for(const struct link_socket *s)
{
    const struct link *link = &s->resource->link;

    return s->tx_op.quiet && (s->tx_waits || link->data.paused || !link_alive(link));
}

void link_hurry(struct resource *r)
{
    if (waited_for(&r->link.data) || waited_for(&r->link.meta))
        reactor_again(r->home);
}

static void control_sent(struct tx_item *item)
{
    struct control *c = container_of(item, struct control, tx);

    c->next = c->link->free_controls;
    c->link->free_controls = c;
}

void link_ping(struct resource *r)
{
    r->link.pings++;
    r->link.ping_ns = r->home->now_ns;
    link_send(r, &r->link.meta, 0, P_PING, NULL, 0);
}

void link_send(struct resource *r, struct link_socket *s, unsigned volume, unsigned command,
               const uint8_t *body, size_t length)
{
    struct packet_header header = {
        .volume = (uint16_t)volume,
        .command = (uint16_t)command,
        .length = (uint32_t)length,
    };
    struct control *c = r->link.free_controls;

    assert(length + HEADER_LENGTH_MAX <= LINK_CONTROL);
    if (!link_alive(&r->link))
        return;
    if (c)
        r->link.free_controls = c->next;
    else
        c = calloc(1, sizeof *c);
    if (!c) {
        link_fail(r, "out of memory");
        return;
    }
    c->link = &r->link;
    c->tx.head = c->bytes;
    c->tx.head_length = (uint32_t)header_encode(r->link.form, &header, c->bytes);
    if (length)
        memcpy(c->bytes + c->tx.head_length, body, length);
    c->tx.head_length += (uint32_t)length;
    c->tx.iov_count = 0;
    c->tx.patient = true;
    c->tx.done = control_sent;
    link_push(s, &c->tx);
}

/* --- receiving --- */

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

static void process(struct link_socket *s)
{
    struct resource *r = s->resource;

    s->paused = false;
    do
        take_packets(s);
    while (link_alive(&r->link) && !s->paused && s->tls && open_records(s));
    if (link_alive(&r->link) && !s->paused)
        receive_more(s);
}

static void received(struct io_op *op, int32_t res, uint32_t flags)
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
        process(s);
    } else if (lingers(&r->link) && !s->bulk_active && res > 0) {
        receive_and_forget(s);
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

static void receive_more(struct link_socket *s)
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

/* Only the peer's end is waited for. */
static void receive_and_forget(struct link_socket *s)
{
    s->start = s->end = 0;
    s->rx_iov[0] = (struct iovec){s->buffer, s->size};
    receive(s, 1);
}

void link_resume(struct resource *r)
{
    if (r->link.data.paused && link_alive(&r->link))
        process(&r->link.data);
}

/* --- life --- */

static int socket_init(struct link_socket *s, struct resource *r, uint8_t kind, size_t size)
{
    *s = (struct link_socket){
        .resource = r,
        .kind = kind,
        .fd = -1,
        .size = size,
        .buffer = malloc(size),
        .rx_op.done = received,
        .tx_op.done = sent,
        .tx_msg.msg_iov = s->tx_iov,
    };
    s->tx_end = &s->tx_first;
    return s->buffer ? 0 : -ENOMEM;
}

int link_init(struct resource *r)
{
    r->link.listen_fd = -1;
    r->link.connect = r->link.data_end = r->link.meta_end = CHANNEL_NONE;
    for (unsigned i = 0; i < LINK_PENDING; i++)
        r->link.pending[i].channel = CHANNEL_NONE;
    if (socket_init(&r->link.data, r, SOCKET_DATA, LINK_RX_DATA) ||
        socket_init(&r->link.meta, r, SOCKET_META, LINK_RX_META))
        return -ENOMEM;
    return 0;
}

void link_free(struct resource *r)
{
    struct control *c;

    while ((c = r->link.free_controls)) {
        r->link.free_controls = c->next;
        free(c);
    }
    free(r->link.data.buffer);
    free(r->link.meta.buffer);
    tls_context_free(r->link.tls);
    if (r->link.listen_fd >= 0)
        close(r->link.listen_fd);
}

static void socket_begin(struct link_socket *s, struct channel channel)
{
    s->fd = channel.fd;
    s->tls = channel.tls;
    s->start = s->end = 0;
    s->paused = s->bulk_active = s->more = false;
    s->tx_sent = 0;
    s->tx_sealed = 0;
    s->last_ns = s->resource->home->now_ns;
    if (!s->tls)
        receive_more(s);
}

void link_begin(struct resource *r, struct channel data, struct channel meta)
{
    struct link *link = &r->link;

    link->phase = LINK_FEATURES;
    link->form = HEADER_80;
    link->serial++;
    link->failing = link->stay_down = false;
    link->pings = link->ping_acks = 0;
    link->phase_ns = link->ping_ns = r->home->now_ns;
    socket_begin(&link->data, data);
    socket_begin(&link->meta, meta);
    handshake_start(r);
    if (!data.tls)
        return;
    process(&link->data); /* what came behind the handshake is there already */
    process(&link->meta);
}

/* close_notify as far as the socket takes it at once: nobody waits for the peer here. */
static void say_close(struct link_socket *s)
{
    const uint8_t *bytes;
    size_t n;

    if (!s->tls || s->tx_running || !tls_session_close(s->tls))
        return;
    n = tls_session_output(s->tls, &bytes);
    if (n && send(s->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
        tls_session_sent(s->tls, n); /* all or a part: nothing follows */
}

static void hang_up(struct link *link)
{
    link->linger_ns = 0;
    say_close(&link->data);
    say_close(&link->meta);
    shutdown(link->data.fd, SHUT_RDWR);
    shutdown(link->meta.fd, SHUT_RDWR);
}

/* Who refuses the peer for good lets it read why it should think the same: what was said is sent to
 * its end, and nothing that comes is answered by a reset, which would throw it away at the other
 * side. */
void link_drop(struct resource *r)
{
    struct link *link = &r->link;
    bool linger = link->stay_down && !r->closing;

    link->failing = false;
    link->phase = LINK_CLOSING;
    if (!linger) {
        hang_up(link);
        return;
    }
    /* The refusal came out of a packet: nothing is being received, and only the peer's end tells that it
     * has read what it needs to refuse as well. */
    if (!link->data.rx_running && !link->data.bulk_active)
        receive_and_forget(&link->data);
    link->linger_ns = r->home->now_ns + LINGER_MS * 1000000ull;
    if (!link->data.tx_running)
        end_sending(&link->data);
}

static void socket_close(struct link_socket *s)
{
    struct tx_item *item = s->tx_first;

    close(s->fd);
    s->fd = -1;
    tls_session_free(s->tls);
    s->tls = NULL;
    s->tx_first = NULL;
    s->tx_end = &s->tx_first;
    while (item) {
        struct tx_item *next = item->next;

        item->done(item);
        item = next;
    }
    if (s->bulk_active) {
        s->bulk_active = false;
        receive_bulk_abandon(s->resource, &s->bulk);
    }
    s->paused = false;
}

bool link_try_close(struct resource *r)
{
    struct link *link = &r->link;

    if (lingers(link) && ((!link->data.rx_running && !link->data.tx_running) || r->closing ||
                          r->home->now_ns >= link->linger_ns))
        hang_up(link);
    if (link->data.rx_running || link->data.tx_running || link->meta.rx_running ||
        link->meta.tx_running)
        return false;
    if (link->data.fd >= 0) {
        socket_close(&link->data);
        socket_close(&link->meta);
    }
    /* The peer's writes of this connection must not land after those of the next, nor a step of its
     * resync fall into the next. */
    for (unsigned i = 0; i < r->volume_count; i++)
        if (r->volumes[i]->step_running)
            return false;
    return !r->mirrors && !r->syncs && !r->flush_running;
}
