/* Sending what is queued at a socket of the link. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "replication/link_private.h"
#include "replication/resource.h"
#include "target/base/container.h"

/* A packet without an owner of its own: state, pings, barriers. */
struct control {
    struct tx_item tx;
    struct control *next;
    struct link *link;
    uint8_t bytes[LINK_CONTROL];
};

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

void link_end_sending(struct link_socket *s)
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
    if (s->tx_first && (link_alive(&r->link) || link_lingers(&r->link)))
        send_more(s, true);
    else if (link_lingers(&r->link) && s->kind == SOCKET_DATA)
        link_end_sending(s);
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

void link_sent(struct io_op *op, int32_t res, uint32_t flags)
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
    if (more_to_send(s) && (link_alive(&r->link) || (link_lingers(&r->link) && !failed)))
        send_more(s, n == whole);
    else if (link_lingers(&r->link) && s->kind == SOCKET_DATA)
        link_end_sending(s);
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

void link_free_controls(struct link *link)
{
    struct control *c;

    while ((c = link->free_controls)) {
        link->free_controls = c->next;
        free(c);
    }
}
