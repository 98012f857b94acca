#include "target/transport/peer.h"

#include <errno.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "target/base/bytes.h"
#include "target/base/container.h"
#include "target/base/threads.h"
#include "target/transport/peer_private.h"

enum { ACCEPT_AGAIN_NS = 100000000 /* when there are no descriptors or no memory */ };

struct cut_part;

/* The listener belongs to reactor 0. */
static struct {
    const struct config *config;
    int listener;
    struct io_op accept_op;
    struct post start;
    struct timer again;
    unsigned next; /* reactor of the next connection */
    bool accepting;
    struct local {
        bool stopping;
        struct cut_part *waiter; /* peer_stop()'s, until nothing is left */
    } local[LIMIT_REACTORS];     /* each reactor's own */
} peer = {.listener = -1};

const struct config_node *peer_node(unsigned id)
{
    for (unsigned i = 0; i < peer.config->node_count; i++)
        if (peer.config->nodes[i].id == id)
            return &peer.config->nodes[i];
    return NULL;
}

uint64_t peer_hold_ns(void)
{
    return peer.config->hold_ms * UINT64_C(1000000);
}

void peer_make_hello(struct peer_frame *frame, unsigned number)
{
    uint8_t *body = frame->head + PEER_HEADER;

    peer_frame_init(frame, PEER_HELLO, 0, PEER_HELLO_BODY, 0);
    put_be32(body + PEER_HELLO_VERSION, PEER_VERSION);
    put_be32(body + PEER_HELLO_NODE, peer.config->nodes[peer.config->self].id);
    memcpy(body + PEER_HELLO_CLUSTER, peer.config->cluster_uuid, 16);
    memcpy(body + PEER_HELLO_CONFIG, peer.config->digest, 32);
    put_be32(body + PEER_HELLO_LINK, number);
}

const char *peer_check_hello(enum peer_type type, const uint8_t *body, uint32_t length,
                             unsigned node)
{
    unsigned from;

    if (type != PEER_HELLO)
        return "no HELLO frame";
    if (get_be32(body + PEER_HELLO_VERSION) != PEER_VERSION)
        return "another version of the peer protocol";
    if (length != PEER_HELLO_BODY)
        return "malformed HELLO frame";
    if (memcmp(body + PEER_HELLO_CLUSTER, peer.config->cluster_uuid, 16))
        return "another cluster";
    if (memcmp(body + PEER_HELLO_CONFIG, peer.config->digest, 32))
        return "another configuration of nodes, groups or units";
    from = get_be32(body + PEER_HELLO_NODE);
    if (!peer_node(from) || from == peer.config->nodes[peer.config->self].id ||
        (node && from != node))
        return "an unexpected node";
    return NULL;
}

/* ---- accepting ---- */

struct accepted {
    struct post post;
    int fd;
};

static void at_reactor_take(struct post *post)
{
    struct accepted *accepted = container_of(post, struct accepted, post);

    peer_server_take(reactor_self(), accepted->fd);
    free(accepted);
}

static void arm_accept(void);

static void accept_again(struct timer *timer)
{
    if (!peer_stopping())
        arm_accept();
}

static void accepted(struct io_op *op, int32_t res, uint32_t flags)
{
    struct accepted *item;

    if (res >= 0) {
        item = peer_stopping() ? NULL : malloc(sizeof *item);
        if (item) {
            item->fd = res;
            item->post.run = at_reactor_take;
            reactor_post(threads.reactors[peer.next++ % threads.reactor_count], &item->post);
        } else {
            close(res);
        }
    }
    if (flags & IORING_CQE_F_MORE)
        return;
    peer.accepting = false;
    if (peer_stopping()) {
        peer_settled();
    } else if (res >= 0) {
        arm_accept();
    } else {
        qb_log(LOG_ERR, "peer: no connections can be accepted now: %s", strerror(-res));
        peer.again.fire = accept_again;
        reactor_timer_set(reactor_self(), &peer.again, reactor_self()->now_ns + ACCEPT_AGAIN_NS);
    }
}

static void arm_accept(void)
{
    peer.accepting = true;
    peer.accept_op.done = accepted;
    io_uring_prep_multishot_accept(reactor_sqe(reactor_self(), &peer.accept_op), peer.listener,
                                   NULL, NULL, SOCK_CLOEXEC);
}

static void at_reactor_start(struct post *post)
{
    if (!peer_stopping())
        arm_accept();
}

int peer_start(const struct config *config, char *why)
{
    const struct config_node *self = &config->nodes[config->self];
    int one = 1, error;

    peer.config = config;
    if (!self->peer.length)
        return 0;
    peer.listener =
        socket(self->peer.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (peer.listener < 0 ||
        setsockopt(peer.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
        bind(peer.listener, (const struct sockaddr *)&self->peer.address, self->peer.length) ||
        listen(peer.listener, 128)) {
        error = -errno;
        snprintf(why, 256, "peer address %s: %s", self->peer.text, strerror(-error));
        if (peer.listener >= 0)
            close(peer.listener);
        peer.listener = -1;
        return error;
    }
    peer.start.run = at_reactor_start;
    reactor_post(threads.reactors[0], &peer.start);
    return 0;
}

/* ---- cutting links ---- */

struct cut {
    unsigned node, waiting;
    const char *why;
    void (*done)(void *context);
    void *context;
    struct cut_part {
        struct post post;
        struct cut *cut;
    } parts[LIMIT_REACTORS];
};

static void at_control_cut(struct post *post)
{
    struct cut *cut = container_of(post, struct cut_part, post)->cut;

    if (--cut->waiting)
        return;
    if (cut->done)
        cut->done(cut->context);
    free(cut);
}

bool peer_stopping(void)
{
    return peer.local[reactor_self()->index].stopping;
}

void peer_settled(void)
{
    struct local *local = &peer.local[reactor_self()->index];
    struct cut_part *part = local->waiter;

    if (!part || !peer_client_idle() || !peer_server_idle())
        return;
    if (reactor_self()->index == 0) {
        if (peer.accepting)
            return;
        reactor_timer_cancel(reactor_self(), &peer.again);
        if (peer.listener >= 0)
            close(peer.listener);
        peer.listener = -1;
    }
    local->waiter = NULL;
    part->post.run = at_control_cut;
    control_post(&part->post);
}

static void at_reactor_cut(struct post *post)
{
    struct cut_part *part = container_of(post, struct cut_part, post);
    struct cut *cut = part->cut;
    struct local *local = &peer.local[reactor_self()->index];

    for (unsigned node = 1; node <= LIMIT_NODES; node++)
        if (!cut->node || cut->node == node)
            peer_client_cut(reactor_self()->index, node, cut->why);
    peer_server_cut(cut->node, cut->why);
    if (cut->node) {
        post->run = at_control_cut;
        control_post(post);
        return;
    }
    /* Links end when the kernel has let go of them, and their commands when the medium has. */
    local->stopping = true;
    local->waiter = part;
    peer_client_stop(reactor_self()->index);
    if (reactor_self()->index == 0 && peer.accepting)
        reactor_cancel(reactor_self(), &peer.accept_op);
    peer_settled();
}

static void cut_links(unsigned node, const char *why, void (*done)(void *context), void *context)
{
    struct cut *cut = calloc(1, sizeof *cut);

    if (!cut)
        abort();
    cut->node = node;
    cut->why = why;
    cut->done = done;
    cut->context = context;
    cut->waiting = threads.reactor_count;
    for (unsigned i = 0; i < threads.reactor_count; i++) {
        cut->parts[i].cut = cut;
        cut->parts[i].post.run = at_reactor_cut;
        reactor_post(threads.reactors[i], &cut->parts[i].post);
    }
}

void peer_node_lost(unsigned node)
{
    cut_links(node, "the node left the cluster", NULL, NULL);
}

void peer_stop(void (*done)(void *context), void *context)
{
    cut_links(0, "shutting down", done, context);
}
