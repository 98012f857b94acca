/* Getting the two sockets of a connection: both nodes listen and connect. The first socket becomes
 * the data socket, the second the meta socket; who accepted the meta socket resolves conflicts
 * later. When both connect at once, the active node (the group's first) keeps its own, the other
 * gives way. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "replication/link.h"
#include "replication/resource.h"
#include "target/base/container.h"

enum { RETRY_MS = 400, PASSIVE_MS = 300, META_MS = 1000, INITIAL_MS = 2000 };

static struct resource *owner(struct link *link)
{
    return container_of(link, struct resource, link);
}

static void retry_in(struct resource *r, unsigned ms)
{
    /* +-14 %, so that two nodes do not keep meeting half-way. */
    uint64_t spread = resource_random() % (ms * 28 / 100 + 1);

    reactor_timer_set(r->home, &r->link.retry,
                      r->home->now_ns + (ms * 86ull / 100 + spread) * 1000000u);
}

static void tune(int fd)
{
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void say_initial(struct channel *channel, unsigned command)
{
    struct packet_header header = {.command = (uint16_t)command};
    uint8_t head[HEADER_LENGTH_MAX];
    size_t n = header_encode(HEADER_80, &header, head);

    if (!channel_say(channel, head, n)) /* dead already: the handshake will say so */
        shutdown(channel->fd, SHUT_RDWR);
}

static void have_socket(struct resource *r)
{
    struct link *link = &r->link;
    struct channel data = link->data_end, meta = link->meta_end;

    if (data.fd < 0 || meta.fd < 0) {
        retry_in(r, link->data_own || data.fd < 0 ? RETRY_MS : META_MS);
        return;
    }
    reactor_timer_cancel(r->home, &link->retry);
    r->resolve_conflicts = !link->meta_own;
    link->data_end = link->meta_end = CHANNEL_NONE;
    link_begin(r, data, meta);
}

static void start_connect(struct resource *r);

/* Connected and, where that is wanted, authenticated; or not: channel->fd < 0. */
static void have_own(struct resource *r, struct channel channel)
{
    struct link *link = &r->link;

    link->connecting = link->securing_own = false;
    if (channel.fd < 0 || link->phase != LINK_CONNECTING || link->stopping ||
        (link->data_end.fd >= 0 && link->meta_end.fd >= 0)) {
        channel_close(&channel);
        if (link->phase == LINK_CONNECTING && !link->stopping)
            retry_in(r, RETRY_MS);
    } else if (link->data_end.fd < 0) {
        link->data_end = channel;
        link->data_own = true;
        say_initial(&link->data_end, P_INITIAL_DATA);
        start_connect(r);
    } else {
        link->meta_end = channel;
        link->meta_own = true;
        say_initial(&link->meta_end, P_INITIAL_META);
        have_socket(r);
    }
}

static void own_secured(struct securing *s, const char *why)
{
    if (why)
        resource_complain(s->resource, why);
    if (why)
        channel_close(&s->channel);
    have_own(s->resource, s->channel);
}

static void connected(struct io_op *op, int32_t res, uint32_t flags)
{
    struct link *link = container_of(op, struct link, connect_op);
    struct resource *r = owner(link);
    struct channel channel = link->connect;

    resource_enter(r);
    link->connect = CHANNEL_NONE;
    if (res < 0)
        channel_close(&channel);
    if (channel.fd >= 0 && link->tls && link->phase == LINK_CONNECTING && !link->stopping) {
        link->securing_own = true;
        secure_start(&link->securing, r, channel.fd, false, own_secured);
    } else {
        have_own(r, channel);
    }
    resource_leave(r);
}

static void start_connect(struct resource *r)
{
    struct link *link = &r->link;
    struct sockaddr_storage own = link->own;
    int fd = socket(link->own.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        retry_in(r, RETRY_MS);
        return;
    }
    tune(fd);
    if (own.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&own)->sin6_port = 0;
    else
        ((struct sockaddr_in *)&own)->sin_port = 0;
    if (bind(fd, (struct sockaddr *)&own, link->address_length)) {
        resource_say(r, "cannot connect from this node's replication address: %s", strerror(errno));
        close(fd);
        retry_in(r, RETRY_MS);
        return;
    }
    link->connect.fd = fd;
    link->connecting = true;
    io_uring_prep_connect(reactor_sqe(r->home, &link->connect_op), fd,
                          (struct sockaddr *)&link->peer, link->address_length);
    retry_in(r, INITIAL_MS);
}

/* What is being connected is given up; it ends soon. */
static void cancel_connect(struct resource *r)
{
    struct link *link = &r->link;

    if (link->securing_own)
        secure_give_up(&link->securing);
    else
        reactor_cancel(r->home, &link->connect_op);
}

static void retry(struct timer *timer)
{
    struct link *link = container_of(timer, struct link, retry);
    struct resource *r = owner(link);

    resource_enter(r);
    if (link->phase == LINK_CONNECTING && !link->stopping) {
        if (link->connecting) {
            cancel_connect(r);
        } else {
            /* Half a connection that stays half is given up. */
            if (link->data_end.fd >= 0 && ++link->failures % 4 == 0) {
                channel_close(&link->data_end);
                channel_close(&link->meta_end);
            }
            start_connect(r);
        }
    }
    resource_leave(r);
}

/* --- accepting --- */

static void pending_end(struct pending_socket *p, bool keep)
{
    struct resource *r = owner(p->link);

    reactor_timer_cancel(r->home, &p->timer);
    if (!keep)
        channel_close(&p->channel);
    p->channel = CHANNEL_NONE;
}

static void accepted_data(struct resource *r, struct channel channel)
{
    struct link *link = &r->link;

    if (link->data_end.fd >= 0 && link->data_own && link->active) {
        channel_close(&channel); /* crossed: ours stays */
        return;
    }
    channel_close(&link->data_end);
    if (link->meta_own)
        channel_close(&link->meta_end);
    link->data_end = channel;
    link->data_own = false;
    have_socket(r);
}

static void accepted_meta(struct resource *r, struct channel channel)
{
    struct link *link = &r->link;

    if (link->data_end.fd < 0 || (link->meta_end.fd >= 0 && link->meta_own && link->active)) {
        channel_close(&channel);
        return;
    }
    channel_close(&link->meta_end);
    link->meta_end = channel;
    link->meta_own = false;
    have_socket(r);
}

static void pending_read(struct pending_socket *p);

/* The whole first packet is there. */
static void pending_said(struct pending_socket *p)
{
    struct resource *r = owner(p->link);
    struct channel channel = p->channel;
    struct packet_header header;

    if (header_decode(HEADER_80, p->head, &header) || header.length ||
        (header.command != P_INITIAL_DATA && header.command != P_INITIAL_META)) {
        if (!channel.tls && tls_looks(p->head) == TLS_LOOKS_TLS)
            link_peer_has_tls(r);
        pending_end(p, false);
        return;
    }
    pending_end(p, true);
    if (header.command == P_INITIAL_DATA)
        accepted_data(r, channel);
    else
        accepted_meta(r, channel);
}

static void pending_received(struct io_op *op, int32_t res, uint32_t flags)
{
    struct pending_socket *p = container_of(op, struct pending_socket, op);
    struct resource *r = owner(p->link);

    resource_enter(r);
    p->running = false;
    if (p->channel.tls)
        tls_session_received(p->channel.tls, res > 0 ? (size_t)res : 0);
    else if (res > 0)
        p->got += (unsigned)res;
    if (res <= 0 || p->given_up || p->link->phase != LINK_CONNECTING || p->link->stopping)
        pending_end(p, false);
    else
        pending_read(p);
    resource_leave(r);
}

static void pending_read(struct pending_socket *p)
{
    struct io_uring_sqe *sqe;
    uint8_t *at = p->head + p->got;
    size_t room = HEADER_80_LENGTH - p->got;

    if (p->channel.tls && room) {
        struct iovec iov = {at, room};
        ssize_t n = tls_session_read(p->channel.tls, &iov, 1);

        if (n > 0) {
            p->got += (unsigned)n;
        } else if (n != -EAGAIN) {
            if (n)
                resource_complain(owner(p->link), tls_session_why(p->channel.tls));
            pending_end(p, false);
            return;
        }
    }
    if (p->got == HEADER_80_LENGTH) {
        pending_said(p);
        return;
    }
    if (p->channel.tls)
        room = tls_session_room(p->channel.tls, &at);
    sqe = reactor_sqe(owner(p->link)->home, &p->op);
    p->running = true;
    io_uring_prep_recv(sqe, p->channel.fd, at, room, 0);
}

static void pending_secured(struct securing *s, const char *why)
{
    struct pending_socket *p = container_of(s, struct pending_socket, securing);

    p->channel = s->channel;
    if (why)
        resource_complain(s->resource, why);
    if (why || p->link->phase != LINK_CONNECTING || p->link->stopping)
        pending_end(p, false);
    else
        pending_read(p);
}

static void pending_late(struct timer *timer)
{
    struct pending_socket *p = container_of(timer, struct pending_socket, timer);

    p->given_up = true;
    p->securing.given_up = true;
    shutdown(p->channel.fd, SHUT_RDWR);
}

static bool from_peer(const struct link *link, int fd)
{
    struct sockaddr_storage from;
    socklen_t length = sizeof from;

    if (getpeername(fd, (struct sockaddr *)&from, &length) ||
        from.ss_family != link->peer.ss_family)
        return false;
    if (from.ss_family == AF_INET6)
        return !memcmp(&((struct sockaddr_in6 *)&from)->sin6_addr,
                       &((const struct sockaddr_in6 *)&link->peer)->sin6_addr, 16);
    return ((struct sockaddr_in *)&from)->sin_addr.s_addr ==
           ((const struct sockaddr_in *)&link->peer)->sin_addr.s_addr;
}

static void accept_next(struct resource *r);

static void accepted(struct io_op *op, int32_t res, uint32_t flags)
{
    struct link *link = container_of(op, struct link, accept_op);
    struct resource *r = owner(link);
    struct pending_socket *p = NULL;

    resource_enter(r);
    link->accepting = false;
    if (res >= 0) {
        for (unsigned i = 0; i < LINK_PENDING && !p; i++)
            if (link->pending[i].channel.fd < 0)
                p = &link->pending[i];
        if (link->phase != LINK_CONNECTING || link->stopping || !p || !from_peer(link, res)) {
            /* A peer that connects while we think we are connected has lost the link: look. */
            if (link->phase == LINK_UP && from_peer(link, res))
                link_ping(r);
            close(res);
        } else {
            *p = (struct pending_socket){
                .link = link,
                .channel = {.fd = res},
                .op.done = pending_received,
                .timer.fire = pending_late,
            };
            tune(res);
            reactor_timer_set(r->home, &p->timer, r->home->now_ns + INITIAL_MS * 1000000ull);
            if (link->tls)
                secure_start(&p->securing, r, res, true, pending_secured);
            else
                pending_read(p);
        }
    }
    if (!link->stopping && res != -ECANCELED)
        accept_next(r);
    resource_leave(r);
}

static void accept_next(struct resource *r)
{
    r->link.accepting = true;
    io_uring_prep_accept(reactor_sqe(r->home, &r->link.accept_op), r->link.listen_fd, NULL, NULL,
                         SOCK_CLOEXEC);
}

/* --- control thread, at start --- */

static int parse(const char *text, uint16_t port, struct sockaddr_storage *address,
                 socklen_t *length)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;

    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        *length = sizeof *v4;
        return 0;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        *length = sizeof *v6;
        return 0;
    }
    return -EINVAL;
}

static const struct config_node *node(const struct config *config, unsigned id)
{
    for (unsigned i = 0; i < config->node_count; i++)
        if (config->nodes[i].id == id)
            return &config->nodes[i];
    return NULL;
}

static int listen_now(struct link *link)
{
    int on = 1, error;

    link->listen_fd = socket(link->own.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (link->listen_fd < 0)
        return -1;
    if (!setsockopt(link->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) &&
        !bind(link->listen_fd, (struct sockaddr *)&link->own, link->address_length) &&
        !listen(link->listen_fd, LINK_PENDING))
        return 0;
    error = errno;
    close(link->listen_fd);
    link->listen_fd = -1;
    errno = error;
    return -1;
}

static int peer_address(const struct resource *r, struct sockaddr_storage *address,
                        socklen_t *length)
{
    const struct config_address *outside = &r->group->drbd_peer;
    const struct config_node *peer = node(r->public.options.config, r->peer_node);

    if (r->peer_node == REPLICA_PEER_OUTSIDE) {
        *address = outside->address;
        *length = outside->length;
        return 0;
    }
    return peer ? parse(peer->replication_address, r->group->port, address, length) : -EINVAL;
}

int connector_listen(struct resource *r, char *why)
{
    const struct config *config = r->public.options.config;
    const struct config_node *self = &config->nodes[config->self];
    struct link *link = &r->link;
    socklen_t length;

    if (parse(self->replication_address, r->group->port, &link->own, &link->address_length) ||
        peer_address(r, &link->peer, &length) || length != link->address_length) {
        snprintf(why, 256,
                 "group \"%s\": the replication addresses of both copies: expected two "
                 "IPv4 or two IPv6 addresses",
                 r->group->name);
        return -EINVAL;
    }
    link->active = r->group->nodes[0] == self->id;
    link->accept_op.done = accepted;
    link->connect_op.done = connected;
    link->retry.fire = retry;
    for (unsigned i = 0; listen_now(link); i++) {
        int rc = -errno;

        /* The socket of a daemon that was killed lives until the kernel has cleaned up behind it.
         */
        if (rc == -EADDRINUSE && i < 100) {
            usleep(20000);
            continue;
        }
        snprintf(why, 256, "group \"%s\": cannot listen on %s port %u: %s", r->group->name,
                 self->replication_address, r->group->port, strerror(-rc));
        return rc;
    }
    return 0;
}

void connector_start(struct resource *r)
{
    struct link *link = &r->link;

    assert(!link->stopping);
    link->phase = LINK_CONNECTING;
    link->phase_ns = r->home->now_ns;
    /* What is up at this node may be refused by the peer in the same moment, as long as something there takes its time. */
    if (link->up_ns && r->home->now_ns - link->up_ns >= RETRY_MS * 1000000ull)
        link->failures = 0;
    link->up_ns = 0;
    if (!link->accepting)
        accept_next(r);
    if (link->active)
        retry_in(r, link->failures ? RETRY_MS : 1);
    else
        retry_in(r, PASSIVE_MS);
    link->failures++;
}

static void abandon(struct resource *r)
{
    struct link *link = &r->link;

    reactor_timer_cancel(r->home, &link->retry);
    channel_close(&link->data_end);
    channel_close(&link->meta_end);
    if (link->connecting)
        cancel_connect(r);
    for (unsigned i = 0; i < LINK_PENDING; i++)
        if (link->pending[i].channel.fd >= 0 && !link->pending[i].given_up)
            pending_late(&link->pending[i].timer);
}

void connector_pause(struct resource *r)
{
    r->link.phase = LINK_IDLE;
    abandon(r);
}

bool connector_stop(struct resource *r)
{
    struct link *link = &r->link;

    if (!link->stopping) {
        link->stopping = true;
        abandon(r);
        if (link->accepting)
            reactor_cancel(r->home, &link->accept_op);
    }
    if (link->accepting || link->connecting)
        return false;
    for (unsigned i = 0; i < LINK_PENDING; i++)
        if (link->pending[i].channel.fd >= 0)
            return false;
    return true;
}
