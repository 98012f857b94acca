#include "replication/secure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "replication/resource.h"
#include "target/base/container.h"

void channel_close(struct channel *channel)
{
    if (channel->fd >= 0)
        close(channel->fd);
    tls_session_free(channel->tls);
    *channel = CHANNEL_NONE;
}

static bool send_now(int fd, const void *bytes, size_t n)
{
    return send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n;
}

/* What the session has to send, as far as the socket takes it now. */
static bool send_output(struct channel *channel)
{
    const uint8_t *bytes;
    size_t n;

    while ((n = tls_session_output(channel->tls, &bytes))) {
        if (!send_now(channel->fd, bytes, n))
            return false;
        tls_session_sent(channel->tls, n);
    }
    return true;
}

bool channel_say(struct channel *channel, const void *bytes, size_t n)
{
    struct iovec iov = {(void *)bytes, n};

    if (!channel->tls)
        return send_now(channel->fd, bytes, n);
    return tls_session_write(channel->tls, &iov, 1) == (ssize_t)n && send_output(channel);
}

/* --- the handshake --- */

static void next(struct securing *s);

static void fail(struct securing *s, const char *why)
{
    send_output(&s->channel); /* the alert says the peer why */
    shutdown(s->channel.fd, SHUT_WR);
    s->done(s, s->given_up ? "TLS: the peer does not finish the handshake" : why);
}

static void step(struct securing *s)
{
    int rc = tls_session_handshake(s->channel.tls);

    if (rc < 0) {
        fail(s, tls_session_why(s->channel.tls));
        return;
    }
    s->up = rc == 1;
    next(s);
}

/* A peer without TLS is told in TLS's words, and learns by them that this node has it. */
static void refuse_plain(struct securing *s)
{
    static const uint8_t alert[] = {21, 3, 3, 0, 2, 2, 70}; /* fatal, protocol_version */
    char why[TLS_WHY];

    snprintf(why, sizeof why,
             tls_looks(s->first) == TLS_LOOKS_PLAIN
                 ? "TLS: the peer speaks without TLS: expected tls = true for group \"%s\" there, too"
                 : "TLS: what the peer says is no TLS (group \"%s\")",
             s->resource->group->name);
    send_now(s->channel.fd, alert, sizeof alert);
    fail(s, why);
}

static void arrived(struct securing *s, const uint8_t *bytes, size_t n)
{
    size_t more = TLS_FIRST_BYTES - s->seen < n ? TLS_FIRST_BYTES - s->seen : n;

    memcpy(s->first + s->seen, bytes, more);
    s->seen += (unsigned)more;
    tls_session_received(s->channel.tls, n);
    if (s->seen < TLS_FIRST_BYTES)
        next(s);
    else if (tls_looks(s->first) != TLS_LOOKS_TLS)
        refuse_plain(s);
    else
        step(s);
}

static const char *end_of(int32_t res)
{
    return !res || res == -ECONNRESET || res == -EPIPE
               ? "TLS: the peer closed the connection in the handshake: has its group tls = true?"
               : strerror(-res);
}

static void moved(struct io_op *op, int32_t res, uint32_t flags)
{
    struct securing *s = container_of(op, struct securing, op);
    struct resource *r = s->resource;
    bool again = res == -EINTR || res == -EAGAIN;

    resource_enter(r);
    if (s->sending && res > 0) {
        tls_session_sent(s->channel.tls, (size_t)res);
        next(s);
    } else if (!s->sending && res > 0 && !s->given_up) {
        uint8_t *bytes;

        tls_session_room(s->channel.tls, &bytes);
        arrived(s, bytes, (size_t)res);
    } else {
        tls_session_received(s->channel.tls, 0);
        if (again && !s->given_up)
            next(s);
        else
            fail(s, end_of(res));
    }
    resource_leave(r);
}

static void next(struct securing *s)
{
    struct io_uring_sqe *sqe;
    const uint8_t *out;
    uint8_t *in;
    size_t n = tls_session_output(s->channel.tls, &out);

    if (!n && s->up) {
        s->done(s, NULL);
        return;
    }
    s->sending = n;
    sqe = reactor_sqe(s->resource->home, &s->op);
    if (n) {
        io_uring_prep_send(sqe, s->channel.fd, out, n, MSG_NOSIGNAL);
    } else {
        n = tls_session_room(s->channel.tls, &in);
        io_uring_prep_recv(sqe, s->channel.fd, in, n, 0);
    }
}

void secure_start(struct securing *s, struct resource *r, int fd, bool server,
                  void (*done)(struct securing *s, const char *why))
{
    *s = (struct securing){
        .resource = r,
        .channel = {fd, tls_session_new(r->link.tls, server, r->link.peer_name)},
        .op.done = moved,
        .done = done,
    };
    if (!s->channel.tls)
        done(s, "out of memory");
    else if (server)
        next(s);
    else
        step(s);
}

void secure_give_up(struct securing *s)
{
    s->given_up = true;
    shutdown(s->channel.fd, SHUT_RDWR);
}
