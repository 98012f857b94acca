#include "link_relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIPES = 32, CHUNK = 65536, PATTERN = 64 };

struct pipe {
    int from, to;
    uint8_t tail[PATTERN]; /* what passed last */
    unsigned tail_length;
};

struct link_relay {
    pthread_t thread;
    pthread_mutex_t lock;
    int listen[2], wake;
    uint16_t port;
    struct pipe pipes[PIPES]; /* two of a connection, neighbours */
    bool stop, hold;
    uint8_t pattern[PATTERN];
    unsigned pattern_length, found;
    uint64_t passed, cut_at, spoil_at; /* 0: not */
};

static struct sockaddr_in address(unsigned last, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(0x7f000000 + last),
        .sin_port = htons(port),
    };
}

static int listen_on(unsigned last, uint16_t port)
{
    struct sockaddr_in a = address(last, port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 8))
        abort();
    return fd;
}

static void end_pair(struct link_relay *relay, unsigned i)
{
    struct pipe *pipe = &relay->pipes[i & ~1u];

    close(pipe->from);
    close(pipe->to);
    pipe[0].from = pipe[0].to = pipe[1].from = pipe[1].to = -1;
}

static void end_all(struct link_relay *relay)
{
    for (unsigned i = 0; i < PIPES; i += 2)
        if (relay->pipes[i].from >= 0)
            end_pair(relay, i);
}

/* Side 0 is where node 0 connects (127.0.0.4): on to node 1 (127.0.0.3), as 127.0.0.5. */
static void take(struct link_relay *relay, unsigned side)
{
    struct sockaddr_in self = address(side ? 4 : 5, 0), peer = address(side ? 2 : 3, relay->port);
    int from = accept4(relay->listen[side], NULL, NULL, SOCK_CLOEXEC), on = 1;
    int to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    for (unsigned i = 0; i < PIPES; i += 2) {
        if (relay->pipes[i].from >= 0)
            continue;
        if (from < 0 || bind(to, (struct sockaddr *)&self, sizeof self) ||
            connect(to, (struct sockaddr *)&peer, sizeof peer))
            break;
        setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(from, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        relay->pipes[i] = (struct pipe){.from = from, .to = to};
        relay->pipes[i + 1] = (struct pipe){.from = to, .to = from};
        return;
    }
    close(from);
    close(to);
}

static void look(struct link_relay *relay, struct pipe *pipe, const uint8_t *bytes, size_t n)
{
    static uint8_t text[PATTERN + CHUNK];
    size_t length = pipe->tail_length + n, keep;

    if (!relay->pattern_length)
        return;
    memcpy(text, pipe->tail, pipe->tail_length);
    memcpy(text + pipe->tail_length, bytes, n);
    for (uint8_t *at = text; (at = memmem(at, (size_t)(text + length - at), relay->pattern,
                                          relay->pattern_length));
         at++)
        relay->found++;
    keep = length < relay->pattern_length - 1 ? length : relay->pattern_length - 1;
    memcpy(pipe->tail, text + length - keep, keep);
    pipe->tail_length = (unsigned)keep;
}

static void pass(struct link_relay *relay, unsigned i)
{
    struct pipe *pipe = &relay->pipes[i];
    static uint8_t bytes[CHUNK];
    ssize_t n = recv(pipe->from, bytes, sizeof bytes, MSG_DONTWAIT);
    bool cut = false;

    if (n <= 0) {
        end_pair(relay, i);
        return;
    }
    if (relay->cut_at && relay->passed + (uint64_t)n >= relay->cut_at) {
        n = (ssize_t)(relay->cut_at - relay->passed);
        relay->cut_at = 0;
        cut = true;
    }
    if (relay->spoil_at && relay->passed + (uint64_t)n > relay->spoil_at) {
        bytes[relay->spoil_at - relay->passed] ^= 0x10;
        relay->spoil_at = 0;
    }
    look(relay, pipe, bytes, (size_t)n);
    relay->passed += (uint64_t)n;
    for (ssize_t done = 0; done < n;) {
        ssize_t sent = send(pipe->to, bytes + done, (size_t)(n - done), MSG_NOSIGNAL);

        if (sent <= 0) {
            end_pair(relay, i);
            break;
        }
        done += sent;
    }
    if (cut)
        end_all(relay);
}

static void *run(void *context)
{
    struct link_relay *relay = context;

    pthread_mutex_lock(&relay->lock);
    while (!relay->stop) {
        struct pollfd fds[3 + PIPES] = {
            {.fd = relay->wake, .events = POLLIN},
            {.fd = relay->listen[0], .events = POLLIN},
            {.fd = relay->listen[1], .events = POLLIN},
        };
        uint64_t value;

        for (unsigned i = 0; i < PIPES; i++)
            fds[3 + i] = (struct pollfd){
                .fd = relay->hold ? -1 : relay->pipes[i].from,
                .events = POLLIN,
            };
        pthread_mutex_unlock(&relay->lock);
        poll(fds, 3 + PIPES, 100);
        pthread_mutex_lock(&relay->lock);
        if (fds[0].revents && read(relay->wake, &value, sizeof value) < 0)
            abort();
        for (unsigned i = 0; i < PIPES && !relay->hold; i++)
            if (fds[3 + i].revents && relay->pipes[i].from == fds[3 + i].fd)
                pass(relay, i);
        for (unsigned side = 0; side < 2; side++)
            if (fds[1 + side].revents)
                take(relay, side);
    }
    end_all(relay);
    pthread_mutex_unlock(&relay->lock);
    return NULL;
}

struct link_relay *link_relay_start(uint16_t port)
{
    struct link_relay *relay = calloc(1, sizeof *relay);

    relay->port = port;
    relay->wake = eventfd(0, EFD_CLOEXEC);
    relay->listen[0] = listen_on(4, port);
    relay->listen[1] = listen_on(5, port);
    for (unsigned i = 0; i < PIPES; i++)
        relay->pipes[i].from = relay->pipes[i].to = -1;
    pthread_mutex_init(&relay->lock, NULL);
    pthread_create(&relay->thread, NULL, run, relay);
    return relay;
}

static void begin(struct link_relay *relay)
{
    pthread_mutex_lock(&relay->lock);
}

static void end(struct link_relay *relay)
{
    uint64_t one = 1;

    pthread_mutex_unlock(&relay->lock);
    if (write(relay->wake, &one, sizeof one) < 0)
        abort();
}

void link_relay_stop(struct link_relay *relay)
{
    if (!relay)
        return;
    begin(relay);
    relay->stop = true;
    end(relay);
    pthread_join(relay->thread, NULL);
    close(relay->listen[0]);
    close(relay->listen[1]);
    close(relay->wake);
    pthread_mutex_destroy(&relay->lock);
    free(relay);
}

void link_relay_look_for(struct link_relay *relay, const void *bytes, unsigned length)
{
    begin(relay);
    memcpy(relay->pattern, bytes, length);
    relay->pattern_length = length;
    relay->found = 0;
    end(relay);
}

unsigned link_relay_found(struct link_relay *relay)
{
    unsigned found;

    begin(relay);
    found = relay->found;
    end(relay);
    return found;
}

uint64_t link_relay_passed(struct link_relay *relay)
{
    uint64_t passed;

    begin(relay);
    passed = relay->passed;
    end(relay);
    return passed;
}

void link_relay_cut_after(struct link_relay *relay, uint64_t bytes)
{
    begin(relay);
    relay->cut_at = relay->passed + bytes;
    end(relay);
}

void link_relay_spoil_after(struct link_relay *relay, uint64_t bytes)
{
    begin(relay);
    relay->spoil_at = relay->passed + bytes;
    end(relay);
}

void link_relay_hold(struct link_relay *relay, bool hold)
{
    begin(relay);
    relay->hold = hold;
    end(relay);
}
