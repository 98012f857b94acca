#include "cluster/receipts.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <qb/qblog.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LONGEST = 64, MOST = 64 /* in a turn of the loop */ };

struct receipts {
    qb_loop_t *loop;
    const struct config *config;
    receipts_came came;
    void *context;
    int fd;
};

static bool same(const struct config_address *a, const struct sockaddr_storage *b)
{
    const struct sockaddr_in *a4 = (const struct sockaddr_in *)&a->address, *b4 = (const struct sockaddr_in *)b;
    const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)&a->address, *b6 = (const struct sockaddr_in6 *)b;

    if (!a->length || a->address.ss_family != b->ss_family)
        return false;
    if (b->ss_family == AF_INET)
        return a4->sin_port == b4->sin_port && a4->sin_addr.s_addr == b4->sin_addr.s_addr;
    return a6->sin6_port == b6->sin6_port && !memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof a6->sin6_addr);
}

/* Node id of who sends from there; 0: nobody of the configuration. */
static unsigned sender(const struct receipts *r, const struct sockaddr_storage *from)
{
    for (unsigned i = 0; i < r->config->node_count; i++)
        if (i != r->config->self && same(&r->config->nodes[i].peer, from))
            return r->config->nodes[i].id;
    return 0;
}

static int32_t on_datagram(int32_t fd, int32_t events, void *data)
{
    struct receipts *r = data;
    uint8_t bytes[LONGEST];

    for (unsigned i = 0; i < MOST; i++) {
        struct sockaddr_storage from = {0};
        socklen_t length = sizeof from;
        ssize_t n = recvfrom(fd, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&from, &length);
        unsigned node;

        if (n < 0)
            break;
        node = sender(r, &from);
        if (node)
            r->came(r->context, node, bytes, (size_t)n);
    }
    return 0;
}

struct receipts *receipts_open(qb_loop_t *loop, const struct config *config, receipts_came came, void *context)
{
    const struct config_address *self = &config->nodes[config->self].peer;
    struct receipts *r = self->length ? calloc(1, sizeof *r) : NULL;

    if (!r)
        return NULL;
    r->loop = loop;
    r->config = config;
    r->came = came;
    r->context = context;
    r->fd = socket(self->address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (r->fd < 0 || bind(r->fd, (const struct sockaddr *)&self->address, self->length) ||
        qb_loop_poll_add(loop, QB_LOOP_HIGH, r->fd, POLLIN, r, on_datagram) < 0) {
        qb_log(LOG_WARNING, "peer address %s (UDP): %s: decisions wait for Corosync's token instead", self->text,
               strerror(errno));
        if (r->fd >= 0)
            close(r->fd);
        free(r);
        return NULL;
    }
    return r;
}

void receipts_send(struct receipts *r, unsigned node, const void *bytes, size_t size)
{
    for (unsigned i = 0; r && i < r->config->node_count; i++) {
        const struct config_node *to = &r->config->nodes[i];
        ssize_t n;

        if (to->id != node || !to->peer.length)
            continue;
        n = sendto(r->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&to->peer.address,
                   to->peer.length);
        (void)n; /* lost, as it may be on its way */
    }
}

void receipts_close(struct receipts *r)
{
    if (!r)
        return;
    qb_loop_poll_del(r->loop, r->fd);
    close(r->fd);
    free(r);
}
