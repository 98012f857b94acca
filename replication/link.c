/* The two sockets of a connection from the handshake on: what ends it, and how it is closed. */
#include "replication/link.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replication/link_private.h"
#include "replication/resource.h"

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

bool link_lingers(const struct link *link)
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

static int socket_init(struct link_socket *s, struct resource *r, uint8_t kind, size_t size)
{
    *s = (struct link_socket){
        .resource = r,
        .kind = kind,
        .fd = -1,
        .size = size,
        .buffer = malloc(size),
        .rx_op.done = link_received,
        .tx_op.done = link_sent,
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
    link_free_controls(&r->link);
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
        link_receive_more(s);
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
    link_take_in(&link->data); /* what came behind the handshake is there already */
    link_take_in(&link->meta);
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
        link_receive_and_forget(&link->data);
    link->linger_ns = r->home->now_ns + resource_timeout_ms(r) * 1000000ull;
    if (!link->data.tx_running)
        link_end_sending(&link->data);
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

    if (link_lingers(link) && ((!link->data.rx_running && !link->data.tx_running) || r->closing ||
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
