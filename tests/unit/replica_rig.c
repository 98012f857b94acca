#include "replica_rig.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "target/base/container.h"

static bool port_free(uint16_t port)
{
    bool is_free = true;

    for (uint32_t i = 2; i <= 3; i++) {
        struct sockaddr_in a = {
            .sin_family = AF_INET,
            .sin_addr.s_addr = htonl(0x7f000000 + i),
            .sin_port = htons(port),
        };
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        is_free &= !bind(fd, (struct sockaddr *)&a, sizeof a);
        close(fd);
    }
    return is_free;
}

/* Whether no other process has it: a node that is closed for a while does not hold its port, this does until the
 * process ends. */
static bool port_taken_over(uint16_t port)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int length = snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "halun-rig-port-%u", port); /* unix(7), abstract */

    if (!bind(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)))
        return true;
    close(fd);
    return false;
}

/* Below the ports that the kernel gives to connecting sockets. */
uint16_t rig_port(void)
{
    static unsigned next;

    for (;;) {
        uint16_t port = (uint16_t)(20000 + ((unsigned)getpid() * 7 + next++) % 10000);

        if (port_taken_over(port) && port_free(port))
            return port;
    }
}

void rig_path(char *out, const char *directory, unsigned index, unsigned lu)
{
    snprintf(out, 200, "%s/n%u-%u", directory, index, lu);
}

static void ask(void *context, struct replica *replica, unsigned peer)
{
    struct rig_node *node = context;

    node->asked++;
    if (node->on_outdate && !node->closing)
        node->on_outdate(node);
}

static void ask_self(void *context, struct replica *replica)
{
    struct rig_node *node = context;

    node->asked_self++;
    if (node->on_outdate_self && !node->closing)
        node->on_outdate_self(node);
}

static void to_be_filled(void *context, struct replica *replica)
{
    struct rig_node *node = context;

    node->to_be_filled++;
}

static void in_vain(void *context, struct replica *replica)
{
    ((struct rig_node *)context)->in_vain++;
}

static void current(void *context, struct replica *replica, unsigned peer)
{
    struct rig_node *node = context;

    node->told_current++;
    if (node->on_current && !node->closing)
        node->on_current(node);
}

static void changed(void *context, struct replica *replica)
{
    ((struct rig_node *)context)->changed++;
}

static void lost(void *context, struct replica *replica)
{
    ((struct rig_node *)context)->lost++;
}

static void *run(void *context)
{
    reactor_run(context);
    return NULL;
}

static void configure(struct rig_node *node, unsigned index, const struct rig_options *o)
{
    node->index = index;
    for (unsigned i = 0; i < 2; i++) {
        snprintf(node->nodes[i].name, sizeof node->nodes[i].name, "n%u", i);
        node->nodes[i].id = i + 1;
        snprintf(node->nodes[i].replication_address, sizeof node->nodes[i].replication_address,
                 "127.0.0.%u", i + 2);
    }
    strcpy(node->group.name, "g0");
    node->group.replication = REPLICATION_BUILTIN;
    node->group.port = o->port;
    node->group.nodes[0] = 1;
    node->group.nodes[1] = 2;
    node->group.node_count = 2;
    node->group.al_extents = o->al_extents ? o->al_extents : 67;
    node->group.timeout_ms = o->timeout_ms ? o->timeout_ms : RIG_TIMEOUT_MS;
    node->group.ping_ms = node->group.timeout_ms < 2000 ? node->group.timeout_ms / 2 : 1000;
    node->group.resync_rate = o->resync_rate;
    if (o->tune)
        o->tune(&node->group);
    if (o->secret)
        snprintf(node->group.secret, sizeof node->group.secret, "%s", o->secret);
    for (unsigned i = 0; i < o->lus; i++) {
        struct config_lu *lu = &node->lus[i];

        snprintf(lu->name, sizeof lu->name, "lu%u", i);
        lu->volume = i;
        lu->uuid[15] = (uint8_t)(i + 1);
        lu->store = STORE_KIND_FILE;
        snprintf(lu->path, sizeof lu->path, "%s/%%n-%u", o->directory, i);
        lu->size = o->size;
        lu->block_size = 512;
    }
    node->config = (struct config){
        .nodes = node->nodes,
        .node_count = 2,
        .groups = &node->group,
        .group_count = 1,
        .lus = node->lus,
        .lu_count = o->lus,
        .self = index,
    };
    if (o->arrange)
        o->arrange(node);
    if (o->keep_state) {
        snprintf(node->config.state_dir, sizeof node->config.state_dir, "%s/state%u", o->directory, index);
        mkdir(node->config.state_dir, 0700);
    }
}

static void stop(struct post *post)
{
    reactor_stop(reactor_self());
}

static void end_thread(struct rig_node *node)
{
    struct post post = {.run = stop};

    reactor_post(&node->reactor, &post);
    pthread_join(node->thread, NULL);
    reactor_done(&node->reactor);
    mailbox_run(&node->control);
    mailbox_done(&node->control);
}

int rig_open(struct rig_node *node, unsigned index, const struct rig_options *o)
{
    struct replica_options options = {
        .config = &node->config,
        .group = &node->group,
        .recorded = o->recorded,
        .kept = o->kept,
        .lease = o->lease,
    };
    int rc;

    memset(node, 0, sizeof *node);
    configure(node, index, o);
    node->callbacks = (struct replica_callbacks){
        .context = node,
        .outdate_peer = ask,
        .outdate_self = ask_self,
        .to_be_filled = to_be_filled,
        .outdated_in_vain = in_vain,
        .current = current,
        .changed = changed,
        .primary_lost = lost,
    };
    options.home = &node->reactor;
    options.control = &node->control;
    options.callbacks = &node->callbacks;
    if (reactor_init(&node->reactor, index, 256) || mailbox_init(&node->control))
        abort();
    pthread_create(&node->thread, NULL, run, &node->reactor);
    rc = replica_open(&options, &node->replica, node->why);
    if (rc)
        end_thread(node);
    return rc;
}

void rig_answer(void *context, int error, const char *why)
{
    struct rig_node *node = context;

    node->answered = true;
    node->error = error;
    snprintf(node->why, sizeof node->why, "%s", why);
}

static void closed(void *context, int error, const char *why)
{
    struct rig_node *node = context;

    rig_answer(context, error, why);
    node->closed = true;
}

int rig_close(struct rig_node *node)
{
    node->closed = false;
    node->closing = true;
    replica_close(node->replica, closed, node);
    while (!node->closed)
        rig_turn(node, 1, 100);
    end_thread(node);
    node->replica = NULL;
    return node->error;
}

bool rig_turn(struct rig_node *nodes, unsigned count, int ms)
{
    struct pollfd fds[2];
    unsigned n = 0;
    bool came;

    for (unsigned i = 0; i < count; i++)
        if (nodes[i].replica)
            fds[n++] = (struct pollfd){.fd = nodes[i].control.wake_fd, .events = POLLIN};
    came = poll(fds, n, ms) > 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t value;

        if (!nodes[i].replica)
            continue;
        if (read(nodes[i].control.wake_fd, &value, sizeof value) < 0 && errno != EAGAIN)
            abort();
        mailbox_run(&nodes[i].control);
    }
    return came;
}

static void arrived(struct post *post)
{
    struct rig_io *io = container_of(post, struct rig_io, post);

    io->done = true;
    if (io->on_done)
        io->on_done(io);
}

static void io_done(struct store_io *store_io, int error)
{
    struct rig_io *io = container_of(store_io, struct rig_io, io);

    io->error = error;
    io->post.run = arrived;
    mailbox_post(&io->node->control, &io->post);
}

static void submit(struct post *post)
{
    struct rig_io *io = container_of(post, struct rig_io, post);

    store_submit(io->store, &io->io);
}

void rig_submit(struct rig_node *node, struct rig_io *io, unsigned lu,
                enum store_operation operation, unsigned flags, uint64_t offset, void *data,
                uint64_t length)
{
    io->node = node;
    io->store = replica_store(node->replica, lu);
    io->done = false;
    io->iov = (struct iovec){data, length};
    io->io = (struct store_io){
        .operation = operation,
        .flags = flags,
        .offset = offset,
        .length = length,
        .iov = &io->iov,
        .iov_count = data ? 1 : 0,
        .done = io_done,
    };
    io->post.run = submit;
    reactor_post(&node->reactor, &io->post);
}

struct replica_status rig_status(const struct rig_node *node)
{
    struct replica_status s;

    replica_get_status(node->replica, &s);
    return s;
}
