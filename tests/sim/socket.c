/* TCP between the hosts, on the network of replication and peers. A connection is two ends; each direction is a queue of
 * segments that arrive in order after a latency, again and again while the network does not let them pass. A
 * process that ends says so (FIN, or RST when something was unread); a machine without power says nothing. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/sim/world.h"

enum {
    WIRE_NS = 60 * US,
    ROOM = 256 << 10, /* bytes that a sender may have on the way and unread */
    BACKLOG = 16,
    RETRY_FIRST_NS = 200 * SIM_MS,
};
#define RETRY_MOST_NS (3200ull * SIM_MS)
#define CONNECT_NS (130000ull * SIM_MS)

enum kind { SEGMENT_DATA, SEGMENT_FIN, SEGMENT_RESET, SEGMENT_SYN, SEGMENT_SYN_ACK, SEGMENT_REFUSED };

struct segment {
    struct segment *next;
    enum kind kind;
    uint64_t due;
    size_t size, taken;
    uint8_t bytes[];
};

/* One end of a connection, or a listener. */
struct socket_end {
    struct socket_end *next; /* of all */
    struct host *host;
    uint64_t boot;
    struct socket_end *peer;
    uint16_t port;           /* own */
    bool open;               /* its descriptor is */
    bool listening, established;
    bool shut_read, shut_write, got_fin;
    int error;               /* of the connection */
    struct segment *unread, **unread_end;
    size_t unread_bytes;
    struct segment *out, **out_end; /* on the way to the peer */
    size_t out_bytes;
    uint64_t out_due, retry_ns;
    struct sim_event deliver;
    struct ring_op *receive, *send, *connect; /* that wait */
    struct ring_op *accept;
    struct socket_end *backlog[BACKLOG];
    unsigned backlog_count;
    struct sim_event late;   /* of a connect */
};

static struct socket_end *all;
static uint64_t delay_ns; /* sim_link_delay() */

void sockets_begin(void)
{
    all = NULL;
    delay_ns = 0;
}

static void drop_segments(struct segment *segment)
{
    while (segment) {
        struct segment *next = segment->next;
        free(segment);
        segment = next;
    }
}

void sockets_end(void)
{
    while (all) {
        struct socket_end *next = all->next;
        sim_cancel(&all->deliver);
        sim_cancel(&all->late);
        drop_segments(all->unread);
        drop_segments(all->out);
        free(all);
        all = next;
    }
}

static void on_deliver(struct sim_event *event);
static void on_connect_late(struct sim_event *event);

static struct socket_end *end_new(struct host *host)
{
    struct socket_end *end = calloc(1, sizeof *end);

    end->host = host;
    end->boot = host->boot;
    end->open = true;
    end->unread_end = &end->unread;
    end->out_end = &end->out;
    end->deliver.run = on_deliver;
    end->late.run = on_connect_late;
    end->next = all;
    all = end;
    return end;
}

/* The kernel that had this end still runs. */
static bool lives(const struct socket_end *end)
{
    return end->host->powered && end->boot == end->host->boot;
}

/* ---- sending ---- */

void sim_link_delay(uint64_t ns)
{
    delay_ns = ns;
    if (ns)
        sim_trace(0, "the replication network is late by %llu ms", (unsigned long long)(ns / SIM_MS));
}

static uint64_t delay(void)
{
    return delay_ns ? world_between(delay_ns / 4, 2 * delay_ns) : 0;
}

static void arm(struct socket_end *end)
{
    if (end->out && !end->deliver.slot)
        sim_at(&end->deliver, end->out->due);
}

/* Queues a segment of `size` bytes, to be filled in by the caller at once. */
static uint8_t *push(struct socket_end *end, enum kind kind, size_t size)
{
    struct segment *segment = malloc(sizeof *segment + size);
    uint64_t due = sim_now() + world_latency(WIRE_NS) + size / 10 /* 10 GB/s */ + delay();

    segment->next = NULL;
    segment->kind = kind;
    segment->size = size;
    segment->taken = 0;
    if (due <= end->out_due)
        due = end->out_due + 1;
    segment->due = end->out_due = due;
    *end->out_end = segment;
    end->out_end = &segment->next;
    end->out_bytes += size;
    arm(end);
    return segment->bytes;
}

/* Answers what waits for this end with the error of the connection. */
static void fail_waiting(struct socket_end *end, int error)
{
    struct ring_op *op;

    if ((op = end->receive)) {
        end->receive = NULL;
        ring_complete(op, error, false);
    }
    if ((op = end->send)) {
        end->send = NULL;
        ring_complete(op, error ? error : -EPIPE, false);
    }
    if ((op = end->connect)) {
        end->connect = NULL;
        sim_cancel(&end->late);
        ring_complete(op, error ? error : -ECONNABORTED, false);
    }
}

static void broken(struct socket_end *end, int error)
{
    end->error = error;
    end->established = false;
    fail_waiting(end, error);
}

static bool queue_data(struct socket_end *end, struct ring_op *op)
{
    size_t have = end->out_bytes + (end->peer ? end->peer->unread_bytes : 0);
    size_t room = have < ROOM ? ROOM - have : 0, n = ring_op_length(op);

    if (!room)
        return false;
    if (n > room)
        n = room;
    ring_op_gather(op, push(end, SEGMENT_DATA, n), n);
    ring_complete(op, (int32_t)n, false);
    return true;
}

void socket_send(struct socket_end *end, struct ring_op *op)
{
    if (end->error)
        ring_complete(op, end->error, false);
    else if (end->shut_write || !end->established)
        ring_complete(op, -EPIPE, false);
    else if (queue_data(end, op))
        return;
    else if (ring_op_dont_wait(op))
        ring_complete(op, -EAGAIN, false);
    else
        end->send = op;
}

static void send_goes_on(struct socket_end *end)
{
    struct ring_op *op = end->send;

    if (!op)
        return;
    end->send = NULL;
    if (!queue_data(end, op))
        end->send = op;
}

/* ---- receiving ---- */

static void hand_over(struct socket_end *end, struct ring_op *op)
{
    size_t room = ring_op_length(op), got = 0;

    while (end->unread && got < room) {
        struct segment *segment = end->unread;
        size_t n = segment->size - segment->taken;
        if (n > room - got)
            n = room - got;
        ring_op_scatter(op, got, segment->bytes + segment->taken, n);
        segment->taken += n;
        got += n;
        if (segment->taken == segment->size) {
            end->unread = segment->next;
            if (!end->unread)
                end->unread_end = &end->unread;
            free(segment);
        }
    }
    end->unread_bytes -= got;
    ring_complete(op, (int32_t)got, false);
    if (end->peer && lives(end->peer))
        send_goes_on(end->peer);
}

void socket_receive(struct socket_end *end, struct ring_op *op)
{
    if (end->unread && !end->shut_read)
        hand_over(end, op);
    else if (end->error)
        ring_complete(op, end->error, false);
    else if (end->got_fin || end->shut_read)
        ring_complete(op, 0, false);
    else
        end->receive = op;
}

/* ---- connecting ---- */

static struct socket_end *listener(struct host *host, uint16_t port)
{
    for (struct socket_end *end = all; end; end = end->next)
        if (end->listening && end->open && end->host == host && lives(end) && end->port == port)
            return end;
    return NULL;
}

static uint16_t port_of(const struct sockaddr *address)
{
    return ntohs(((const struct sockaddr_in *)address)->sin_port);
}

/* 10.0.N.HOST: the last byte is the host's number. */
static struct host *host_of(const struct sockaddr *address)
{
    unsigned number = ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) & 0xff;

    return number >= 1 && number <= sim_config()->nodes ? &hosts[number] : NULL;
}

static void accept_now(struct socket_end *listening)
{
    while (listening->accept && listening->backlog_count) {
        struct ring_op *op = listening->accept;
        struct socket_end *end = listening->backlog[0];
        bool more = ring_op_multishot(op);
        memmove(listening->backlog, listening->backlog + 1,
                --listening->backlog_count * sizeof listening->backlog[0]);
        end->open = true;
        if (!more)
            listening->accept = NULL;
        ring_complete(op, fd_new(listening->host, FD_SOCKET, end), more);
    }
}

void socket_accept(struct socket_end *end, struct ring_op *op)
{
    end->accept = op;
    accept_now(end);
}

void socket_connect(struct socket_end *end, struct ring_op *op)
{
    const struct sockaddr *address = ring_op_address(op);
    struct host *to = host_of(address);

    if (!to) {
        ring_complete(op, -ENETUNREACH, false);
        return;
    }
    end->connect = op;
    /* The other end exists from the start, so that segments have somewhere to go. */
    end->peer = end_new(to);
    end->peer->peer = end;
    end->peer->open = false;
    end->peer->port = port_of(address);
    end->peer->boot = 0; /* not there yet */
    push(end, SEGMENT_SYN, 0);
    sim_at(&end->late, sim_now() + CONNECT_NS);
}

static void on_connect_late(struct sim_event *event)
{
    broken(container_of(event, struct socket_end, late), -ETIMEDOUT);
}

static void syn_arrived(struct socket_end *to)
{
    struct socket_end *listening = listener(to->host, to->port);

    to->boot = to->host->boot;
    if (!listening || listening->backlog_count == BACKLOG) {
        push(to, SEGMENT_REFUSED, 0);
        return;
    }
    to->established = true;
    push(to, SEGMENT_SYN_ACK, 0);
    listening->backlog[listening->backlog_count++] = to;
    accept_now(listening);
}

static void syn_answered(struct socket_end *to, bool established)
{
    struct ring_op *op = to->connect;

    if (!op)
        return;
    to->connect = NULL;
    sim_cancel(&to->late);
    to->established = established;
    ring_complete(op, established ? 0 : -ECONNREFUSED, false);
}

/* ---- arriving ---- */

/* Is the end, or what waits to be accepted as it, still somebody's? */
static bool wanted(const struct socket_end *end)
{
    return end->open || (end->established && listener(end->host, end->port));
}

static void arrived(struct socket_end *to, struct segment *segment)
{
    switch (segment->kind) {
    case SEGMENT_SYN:
        syn_arrived(to);
        break;
    case SEGMENT_SYN_ACK:
    case SEGMENT_REFUSED:
        syn_answered(to, segment->kind == SEGMENT_SYN_ACK);
        break;
    case SEGMENT_RESET:
        broken(to, -ECONNRESET);
        break;
    case SEGMENT_FIN:
        to->got_fin = true;
        if (to->receive && !to->unread) {
            struct ring_op *op = to->receive;
            to->receive = NULL;
            ring_complete(op, 0, false);
        }
        break;
    case SEGMENT_DATA:
        if (to->shut_read)
            break;
        *to->unread_end = segment;
        to->unread_end = &segment->next;
        segment->next = NULL;
        to->unread_bytes += segment->size;
        if (to->receive) {
            struct ring_op *op = to->receive;
            to->receive = NULL;
            hand_over(to, op);
        }
        return;
    }
    free(segment);
}

static void on_deliver(struct sim_event *event)
{
    struct socket_end *from = container_of(event, struct socket_end, deliver), *to = from->peer;
    struct segment *segment = from->out;
    bool alive = segment->kind == SEGMENT_SYN ? to->host->powered : lives(to);

    if (!lives(from))
        return; /* what a dead machine had in its buffers is gone */
    if (from->host->frozen || !link_passes(from->host, to->host) ||
        !link_passes(to->host, from->host)) {
        from->retry_ns = from->retry_ns ? from->retry_ns * 2 : RETRY_FIRST_NS;
        if (from->retry_ns > RETRY_MOST_NS)
            from->retry_ns = RETRY_MOST_NS;
        sim_at(&from->deliver, sim_now() + world_latency(from->retry_ns));
        return;
    }
    from->retry_ns = 0;
    from->out = segment->next;
    if (!from->out)
        from->out_end = &from->out;
    from->out_bytes -= segment->size;
    if (segment->kind == SEGMENT_SYN || (alive && wanted(to))) {
        arrived(to, segment);
    } else {
        /* Nobody there any more: a reset comes back. */
        if (segment->kind == SEGMENT_DATA)
            broken(from, -ECONNRESET);
        free(segment);
    }
    send_goes_on(from);
    if (from->out && from->out->due < sim_now())
        from->out->due = sim_now();
    arm(from);
}

/* ---- ending ---- */

static void send_end(struct socket_end *end, enum kind kind)
{
    if (end->peer && end->established && !end->error)
        push(end, kind, 0);
}

void socket_close(struct socket_end *end)
{
    end->open = false;
    if (end->listening) {
        for (unsigned i = 0; i < end->backlog_count; i++)
            send_end(end->backlog[i], SEGMENT_RESET);
        end->backlog_count = 0;
        end->accept = NULL;
        return;
    }
    end->receive = end->send = end->connect = NULL;
    sim_cancel(&end->late);
    if (end->unread)
        send_end(end, SEGMENT_RESET);
    else if (!end->shut_write)
        send_end(end, SEGMENT_FIN);
    end->shut_write = end->shut_read = true;
}

bool socket_forget(struct socket_end *end, struct ring_op *op)
{
    struct ring_op **waiting[] = {&end->receive, &end->send, &end->connect, &end->accept};

    for (unsigned i = 0; i < 4; i++)
        if (*waiting[i] == op) {
            *waiting[i] = NULL;
            if (waiting[i] == &end->connect)
                sim_cancel(&end->late);
            return true;
        }
    return false;
}

void sockets_power_cut(struct host *host)
{
    for (struct socket_end *end = all; end; end = end->next)
        if (end->host == host) {
            sim_cancel(&end->deliver);
            sim_cancel(&end->late);
            end->open = end->listening = false;
            end->receive = end->send = end->connect = end->accept = NULL;
            end->backlog_count = 0;
        }
}

/* ---- the calls of the module ---- */

int __wrap_socket(int family, int type, int protocol);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_listen(int fd, int backlog);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t length);
int __wrap_getpeername(int fd, struct sockaddr *address, socklen_t *length);
int __wrap_shutdown(int fd, int how);
ssize_t __wrap_send(int fd, const void *bytes, size_t n, int flags);

static struct socket_end *end_of(int fd)
{
    struct vfd *vfd = fd_get(current->host, fd);

    if (!vfd || vfd->kind != FD_SOCKET) {
        errno = EBADF;
        return NULL;
    }
    return vfd->object;
}

int __wrap_socket(int family, int type, int protocol)
{
    if (type & SOCK_DGRAM)
        return datagram_socket();
    return fd_new(current->host, FD_SOCKET, end_new(current->host));
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length)
{
    struct vfd *vfd = fd_get(current->host, fd);
    struct socket_end *end;

    if (vfd && vfd->kind == FD_DATAGRAM)
        return datagram_bind(vfd->object, address);
    end = end_of(fd);
    if (!end)
        return -1;
    if (port_of(address) && listener(current->host, port_of(address))) {
        errno = EADDRINUSE;
        return -1;
    }
    end->port = port_of(address);
    return 0;
}

int __wrap_listen(int fd, int backlog)
{
    struct socket_end *end = end_of(fd);

    if (!end)
        return -1;
    end->listening = true;
    return 0;
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    return end_of(fd) ? 0 : -1;
}

int __wrap_getpeername(int fd, struct sockaddr *address, socklen_t *length)
{
    struct socket_end *end = end_of(fd);
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;

    if (!end)
        return -1;
    if (!end->peer) {
        errno = ENOTCONN;
        return -1;
    }
    memset(v4, 0, sizeof *v4);
    v4->sin_family = AF_INET;
    v4->sin_addr.s_addr = htonl(0x0a000000 + end->peer->host->id);
    *length = sizeof *v4;
    return 0;
}

int __wrap_shutdown(int fd, int how)
{
    struct socket_end *end = end_of(fd);
    struct ring_op *op;

    if (!end)
        return -1;
    if (!end->established && !end->connect) {
        errno = ENOTCONN;
        return -1;
    }
    if (how != SHUT_RD && !end->shut_write) {
        end->shut_write = true;
        send_end(end, SEGMENT_FIN);
        if ((op = end->send)) {
            end->send = NULL;
            ring_complete(op, -EPIPE, false);
        }
    }
    if (how != SHUT_WR) {
        end->shut_read = true;
        if ((op = end->receive)) {
            end->receive = NULL;
            ring_complete(op, 0, false);
        }
    }
    return 0;
}

/* Only for a few bytes on a fresh connection. */
ssize_t __wrap_send(int fd, const void *bytes, size_t n, int flags)
{
    struct socket_end *end = end_of(fd);

    if (!end)
        return -1;
    if (end->error || end->shut_write || !end->established) {
        errno = EPIPE;
        return -1;
    }
    memcpy(push(end, SEGMENT_DATA, n), bytes, n);
    return (ssize_t)n;
}
