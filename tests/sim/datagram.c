/* UDP between the hosts, on the network of replication and peers: a datagram arrives after a latency, in any order, or
 * not at all. A process has one socket of the kind. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/sim/world.h"

enum { WIRE_NS = 60 * US, LOST = 50 /* permille */, LATE = 10 /* permille */, UNREAD = 256 };

struct datagram {
    struct datagram *next; /* of all, or of those that a socket has not read */
    struct sim_event arrives;
    struct host *to;
    uint16_t port;
    struct sockaddr_in from;
    size_t size;
    uint8_t bytes[];
};

static struct datagram_socket {
    bool open;
    struct host *host;
    int fd;
    struct sockaddr_in address;
    struct datagram *unread, **unread_end;
    unsigned unread_count;
} sockets[SIM_NODES + 1];

static struct datagram *on_the_way;

static void drop_all(struct datagram *d)
{
    while (d) {
        struct datagram *next = d->next;
        sim_cancel(&d->arrives);
        free(d);
        d = next;
    }
}

void datagrams_begin(void)
{
    memset(sockets, 0, sizeof sockets);
    on_the_way = NULL;
}

void datagrams_end(void)
{
    drop_all(on_the_way);
    for (unsigned i = 0; i <= SIM_NODES; i++)
        drop_all(sockets[i].unread);
    datagrams_begin();
}

static void on_arrival(struct sim_event *event)
{
    struct datagram *d = container_of(event, struct datagram, arrives), **at = &on_the_way;
    struct datagram_socket *to = &sockets[d->to->id];

    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    if (!d->to->powered || !to->open || to->address.sin_port != d->port || to->unread_count == UNREAD) {
        free(d);
        return;
    }
    world_event_of(d->to->id);
    d->next = NULL;
    *to->unread_end = d;
    to->unread_end = &d->next;
    to->unread_count++;
    fd_ready(to->host, fd_get(to->host, to->fd));
}

int datagram_socket(void)
{
    struct datagram_socket *s = &sockets[current->host->id];

    if (s->open)
        sim_fail("node%u: more sockets for datagrams than the world has", current->host->id);
    *s = (struct datagram_socket){.open = true, .host = current->host, .unread_end = &s->unread};
    return s->fd = fd_new(current->host, FD_DATAGRAM, s);
}

int datagram_bind(struct datagram_socket *s, const struct sockaddr *address)
{
    memcpy(&s->address, address, sizeof s->address);
    return 0;
}

bool datagram_readable(const struct datagram_socket *s)
{
    return s->unread;
}

void datagram_close(struct datagram_socket *s)
{
    drop_all(s->unread);
    s->unread = NULL;
    s->open = false;
}

ssize_t __wrap_sendto(int fd, const void *bytes, size_t n, int flags, const struct sockaddr *to, socklen_t length);
ssize_t __wrap_recvfrom(int fd, void *bytes, size_t n, int flags, struct sockaddr *from, socklen_t *length);

static struct datagram_socket *socket_of(int fd)
{
    struct vfd *vfd = fd_get(current->host, fd);

    if (vfd && vfd->kind == FD_DATAGRAM)
        return vfd->object;
    errno = EBADF;
    return NULL;
}

ssize_t __wrap_sendto(int fd, const void *bytes, size_t n, int flags, const struct sockaddr *to, socklen_t length)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)to;
    unsigned number = ntohl(v4->sin_addr.s_addr) & 0xff; /* 10.0.N.HOST */
    struct datagram_socket *s = socket_of(fd);
    struct datagram *d;

    if (!s)
        return -1;
    if (number < 1 || number > sim_config()->nodes || !link_passes(s->host, &hosts[number]) || sim_chance(LOST))
        return (ssize_t)n;
    d = calloc(1, sizeof *d + n);
    d->arrives.run = on_arrival;
    d->to = &hosts[number];
    d->port = v4->sin_port;
    d->from = s->address;
    d->size = n;
    memcpy(d->bytes, bytes, n);
    d->next = on_the_way;
    on_the_way = d;
    sim_at(&d->arrives, sim_now() + (sim_chance(LATE) ? world_between(1, 5000) * SIM_MS : world_latency(WIRE_NS)));
    return (ssize_t)n;
}

ssize_t __wrap_recvfrom(int fd, void *bytes, size_t n, int flags, struct sockaddr *from, socklen_t *length)
{
    struct datagram_socket *s = socket_of(fd);
    struct datagram *d = s ? s->unread : NULL;

    if (!s)
        return -1;
    if (!d) {
        errno = EAGAIN;
        return -1;
    }
    s->unread = d->next;
    if (!s->unread)
        s->unread_end = &s->unread;
    s->unread_count--;
    if (n > d->size)
        n = d->size;
    memcpy(bytes, d->bytes, n);
    memcpy(from, &d->from, sizeof d->from);
    *length = sizeof d->from;
    free(d);
    return (ssize_t)n;
}
