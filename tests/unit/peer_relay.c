/* The relay of peer_rig.h: one thread for each direction of each link, whole frames or parts of
 * them. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer_relay.h"

enum { PAIRS = 256, OTHER = 2 };

struct relay relay;

static struct pair {
    int fd[2]; /* the client's, the server's */
    pthread_t threads[2];
    struct flow {
        struct pair *pair;
        enum rig_direction direction;
    } flows[2];
} pairs[PAIRS];

static struct {
    int listener;
    struct sockaddr_storage server;
    socklen_t server_length;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned pair_count;
    bool stopping, stalled;
    struct fault {
        bool armed, stall;
        enum rig_direction direction;
        enum peer_type type;
        uint32_t bytes;
    } fault;
} own = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void arm(bool stall, enum rig_direction direction, enum peer_type type, uint32_t bytes)
{
    pthread_mutex_lock(&own.mutex);
    own.fault = (struct fault){true, stall, direction, type, bytes};
    pthread_mutex_unlock(&own.mutex);
}

void relay_cut_at(enum rig_direction direction, enum peer_type type, uint32_t bytes)
{
    arm(false, direction, type, bytes);
}

void relay_stall_at(enum rig_direction direction, enum peer_type type, uint32_t bytes)
{
    arm(true, direction, type, bytes);
}

void relay_go(void)
{
    pthread_mutex_lock(&own.mutex);
    own.stalled = false;
    pthread_cond_broadcast(&own.changed);
    pthread_mutex_unlock(&own.mutex);
}

static void shut(struct pair *pair)
{
    shutdown(pair->fd[0], SHUT_RDWR);
    shutdown(pair->fd[1], SHUT_RDWR);
}

void relay_cut(void)
{
    pthread_mutex_lock(&own.mutex);
    for (unsigned i = 0; i < own.pair_count; i++)
        shut(&pairs[i]);
    pthread_mutex_unlock(&own.mutex);
    rig_count(&relay.cuts);
}

static bool read_all(int fd, uint8_t *data, size_t length)
{
    return !length || recv(fd, data, length, MSG_WAITALL) == (ssize_t)length;
}

static bool write_all(int fd, const uint8_t *data, size_t length)
{
    while (length) {
        ssize_t n = send(fd, data, length, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        length -= (size_t)n;
    }
    return true;
}

/* While anything is stalled, everything is. */
static void wait_while_stalled(void)
{
    pthread_mutex_lock(&own.mutex);
    while (own.stalled && !own.stopping)
        pthread_cond_wait(&own.changed, &own.mutex);
    pthread_mutex_unlock(&own.mutex);
}

static bool takes_fault(enum rig_direction direction, enum peer_type type, struct fault *fault)
{
    bool taken;

    pthread_mutex_lock(&own.mutex);
    taken = own.fault.armed && own.fault.direction == direction && own.fault.type == type;
    if (taken) {
        *fault = own.fault;
        own.fault.armed = false;
        own.stalled = fault->stall;
    }
    pthread_mutex_unlock(&own.mutex);
    return taken;
}

static void disguise(uint8_t *frame, enum rig_direction direction, enum peer_type type)
{
    uint8_t *body = frame + PEER_HEADER;

    if (type == PEER_HELLO)
        put_be32(body + PEER_HELLO_NODE, OTHER);
    else if (type == PEER_COMMAND)
        put_be32(body + PEER_COMMAND_LU, RIG_FAR);
    else if (type == PEER_RESPONSE && body[1] == PEER_BOUNCED)
        rig_count(&relay.bounced);
}

static bool pass(struct flow *flow, uint8_t *frame)
{
    int from = flow->pair->fd[flow->direction], to = flow->pair->fd[!flow->direction];
    enum peer_type type;
    uint32_t body, data, head;
    struct fault fault;

    if (!read_all(from, frame, PEER_HEADER))
        return false;
    type = frame[PEER_H_TYPE];
    body = frame[PEER_H_BODY] * 4u;
    data = get_be32(frame + PEER_H_DATA);
    head = PEER_HEADER + body;
    if (!read_all(from, frame + PEER_HEADER, body + data))
        return false;
    disguise(frame, flow->direction, type);
    wait_while_stalled();
    if (takes_fault(flow->direction, type, &fault)) {
        uint32_t part = fault.bytes < data ? fault.bytes : data;

        if (!write_all(to, frame, head + part))
            return false;
        if (!fault.stall) {
            shut(flow->pair);
            rig_count(&relay.cuts);
            return false;
        }
        rig_count(&relay.stalls);
        wait_while_stalled();
        if (!write_all(to, frame + head + part, data - part))
            return false;
    } else if (!write_all(to, frame, head + data)) {
        return false;
    }
    rig_count(&relay.frames[flow->direction][type]);
    return true;
}

static void *flow_main(void *argument)
{
    struct flow *flow = argument;
    uint8_t *frame = malloc(PEER_HEADER + 1024 + LIMIT_SENSE + LIMIT_TRANSFER);

    while (pass(flow, frame))
        ;
    shut(flow->pair);
    free(frame);
    return NULL;
}

static void open_pair(int client)
{
    struct pair *pair = &pairs[own.pair_count];
    int server = socket(own.server.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (own.pair_count == PAIRS ||
        connect(server, (struct sockaddr *)&own.server, own.server_length)) {
        close(server);
        close(client);
        return;
    }
    pthread_mutex_lock(&own.mutex);
    pair->fd[TO_OWNER] = client;
    pair->fd[FROM_OWNER] = server;
    own.pair_count++;
    pthread_mutex_unlock(&own.mutex);
    rig_count(&relay.links);
    for (unsigned i = 0; i < 2; i++) {
        pair->flows[i] = (struct flow){pair, (enum rig_direction)i};
        pthread_create(&pair->threads[i], NULL, flow_main, &pair->flows[i]);
    }
}

static void *relay_main(void *unused)
{
    int fd;

    while ((fd = accept(own.listener, NULL, NULL)) >= 0)
        open_pair(fd);
    return NULL;
}

void relay_start(int listener, const struct config_address *server)
{
    own.listener = listener;
    own.server = server->address;
    own.server_length = server->length;
    pthread_create(&own.thread, NULL, relay_main, NULL);
}

void relay_stop(void)
{
    shutdown(own.listener, SHUT_RDWR);
    pthread_join(own.thread, NULL);
    close(own.listener);
    pthread_mutex_lock(&own.mutex);
    own.stopping = true;
    pthread_cond_broadcast(&own.changed);
    pthread_mutex_unlock(&own.mutex);
    relay_cut();
    for (unsigned i = 0; i < own.pair_count; i++) {
        pthread_join(pairs[i].threads[0], NULL);
        pthread_join(pairs[i].threads[1], NULL);
        close(pairs[i].fd[0]);
        close(pairs[i].fd[1]);
    }
}
