/* What a replicated write costs at least: each block is written to a local file while it travels over TCP to a
 * second machine, which writes it to its own file and answers; done when both are. O_DIRECT, bare io_uring,
 * nothing else. One side serves, the other asks and prints one line of JSON; or it asks, without a file of its own,
 * one that passes on: a client and the owner.
 *
 *   halun-floor serve PORT FILE [barriers] [durable]
 *   halun-floor pass PORT FILE HOST PORT-OF-SERVE [durable]
 *   halun-floor ask HOST PORT FILE|- BYTES BLOCK DEPTH SECONDS [sequential] [durable]
 *
 * durable, on all sides: a write is done when it is on stable storage. barriers: what was written is flushed
 * BARRIER_NS later, or when the flush before that ends, as halun's peer does for the barriers of DRBD's protocol
 * (BARRIER_DELAY_MS, replication/resource.h); no write waits for it. The files are there and written: no block is
 * allocated on the way. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/histogram.h"

enum { SLOTS = 64, LARGEST = 1 << 20, BARRIER_NS = 10000000 };
enum kind { WRITE, SEND, RECEIVE, BARRIER, FLUSH };

struct header {
    uint64_t offset;
    uint32_t length, slot;
};

struct slot {
    struct header header;
    struct iovec iov[2];
    struct msghdr message;
    uint8_t *data;
    uint64_t began;
    unsigned missing; /* of its write here, its way down and the answer to that */
    struct slot *next;
};

/* Headers with their data go down, headers alone come back up. */
struct connection {
    int fd; /* -1: none */
    struct slot *send_first, **send_end; /* to be sent in order; the first is being sent */
    struct header header;                /* being received */
    struct slot *receiving;              /* NULL: its header */
};

static struct io_uring ring;
static struct slot slots[SLOTS];
static struct connection above = {.fd = -1}, below = {.fd = -1};
static int file = -1;
static bool durable, barriers;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* Of what the ring did: `res` is not what was asked for. */
static void fail_with(const char *what, int32_t res)
{
    errno = res < 0 ? -res : EIO;
    fail(what);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct io_uring_sqe *sqe_for(void *about, enum kind kind)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    if (!sqe)
        abort();
    io_uring_sqe_set_data64(sqe, (uintptr_t)about | kind);
    return sqe;
}

/* --- sockets --- */

static void send_next(struct connection *to)
{
    struct slot *slot = to->send_first;

    slot->message = (struct msghdr){.msg_iov = slot->iov, .msg_iovlen = slot->iov[1].iov_len ? 2 : 1};
    io_uring_prep_sendmsg(sqe_for(to, SEND), to->fd, &slot->message, MSG_WAITALL | MSG_NOSIGNAL);
}

static void queue_send(struct connection *to, struct slot *slot)
{
    slot->iov[0] = (struct iovec){&slot->header, sizeof slot->header};
    slot->iov[1] = (struct iovec){slot->data, to == &below ? slot->header.length : 0};
    slot->next = NULL;
    if (to->send_first) {
        *to->send_end = slot;
        to->send_end = &slot->next;
        return;
    }
    to->send_first = slot;
    to->send_end = &slot->next;
    send_next(to);
}

static struct slot *sent(struct connection *to, int32_t res)
{
    struct slot *slot = to->send_first;

    if (res < 0 || (size_t)res != slot->iov[0].iov_len + slot->iov[1].iov_len)
        exit(res ? 1 : 0);
    to->send_first = slot->next;
    if (to->send_first)
        send_next(to);
    return slot;
}

static void receive(struct connection *from, void *bytes, size_t n)
{
    io_uring_prep_recv(sqe_for(from, RECEIVE), from->fd, bytes, n, MSG_WAITALL);
}

/* The slot of what is there as a whole, or NULL. */
static struct slot *received(struct connection *from, int32_t res)
{
    struct slot *slot = from->receiving;

    if (slot) {
        if (res != (int32_t)slot->header.length)
            exit(1);
        from->receiving = NULL;
        receive(from, &from->header, sizeof from->header);
        return slot;
    }
    if (res != sizeof from->header)
        exit(res ? 1 : 0);
    if (from->header.slot >= SLOTS || from->header.length > LARGEST)
        exit(1);
    slot = &slots[from->header.slot];
    if (from == &below) {
        receive(from, &from->header, sizeof from->header);
        return slot;
    }
    slot->header = from->header;
    from->receiving = slot;
    receive(from, slot->data, slot->header.length);
    return NULL;
}

/* --- the disk --- */

static void write_block(struct slot *slot)
{
    struct io_uring_sqe *sqe = sqe_for(slot, WRITE);

    io_uring_prep_write(sqe, file, slot->data, slot->header.length, slot->header.offset);
    sqe->rw_flags = durable ? RWF_DSYNC : 0;
}

static bool barrier_set, barrier_came, flushing;

static void barrier_later(void)
{
    static struct __kernel_timespec delay = {.tv_nsec = BARRIER_NS};

    if (!barriers || barrier_set)
        return;
    barrier_set = true;
    io_uring_prep_timeout(sqe_for(NULL, BARRIER), &delay, 0, 0);
}

static void flush_next(void)
{
    if (!barrier_came || flushing)
        return;
    barrier_came = false;
    flushing = true;
    io_uring_prep_fsync(sqe_for(NULL, FLUSH), file, IORING_FSYNC_DATASYNC);
}

/* --- a block's way --- */

static void begin(struct slot *slot)
{
    slot->missing = (file >= 0) + (below.fd >= 0 ? 2 : 0);
    if (file >= 0)
        write_block(slot);
    if (below.fd >= 0)
        queue_send(&below, slot);
}

static void ask_again(struct slot *slot);

static void step_done(struct slot *slot)
{
    if (--slot->missing)
        return;
    if (above.fd >= 0)
        queue_send(&above, slot);
    else
        ask_again(slot);
}

static void event(void *about, enum kind kind, int32_t res)
{
    struct slot *slot;

    switch (kind) {
    case WRITE:
        slot = about;
        if (res != (int32_t)slot->header.length)
            fail_with("write", res);
        step_done(slot);
        barrier_later();
        return;
    case SEND:
        slot = sent(about, res);
        if (about == &below)
            step_done(slot);
        return;
    case RECEIVE:
        slot = received(about, res);
        if (!slot)
            return;
        if (about == &below)
            step_done(slot);
        else
            begin(slot);
        return;
    case BARRIER:
        barrier_set = false;
        barrier_came = true;
        flush_next();
        return;
    case FLUSH:
        if (res)
            fail_with("fdatasync", res);
        flushing = false;
        flush_next();
        return;
    }
}

static void run(uint64_t until)
{
    while (now_ns() < until) {
        struct io_uring_cqe *cqe;
        unsigned head, seen = 0;

        io_uring_submit_and_wait(&ring, 1);
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            seen++;
            event((void *)(uintptr_t)(cqe->user_data & ~7ull), cqe->user_data & 7, cqe->res);
        }
        io_uring_cq_advance(&ring, seen);
    }
}

/* --- the three of them --- */

static struct sockaddr_in address_of(const char *host, const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};

    if (host && inet_pton(AF_INET, host, &address.sin_addr) != 1)
        fail(host);
    return address;
}

static int new_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one))
        fail("socket");
    return fd;
}

static void connect_below(const char *host, const char *port)
{
    struct sockaddr_in address = address_of(host, port);

    below.fd = new_socket();
    if (connect(below.fd, (struct sockaddr *)&address, sizeof address))
        fail("connect");
}

static void accept_above(const char *port)
{
    struct sockaddr_in address = address_of(NULL, port);
    int listener = new_socket();

    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1))
        fail("listen");
    puts("ready");
    fflush(stdout);
    above.fd = accept(listener, NULL, NULL); /* with the listener's TCP_NODELAY */
    if (above.fd < 0)
        fail("accept");
}

static void set_up(const char *path)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    struct connection *connections[] = {&above, &below};

    if (strcmp(path, "-")) {
        file = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
        if (file < 0)
            fail(path);
    }
    if (io_uring_queue_init_params(256, &ring, &params))
        fail("io_uring");
    for (unsigned i = 0; i < SLOTS; i++) {
        slots[i].data = aligned_alloc(4096, LARGEST);
        if (!slots[i].data)
            abort();
        memset(slots[i].data, (int)i + 1, LARGEST);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (connections[i]->fd >= 0)
            receive(connections[i], &connections[i]->header, sizeof connections[i]->header);
    }
}

static int serve(char **arguments)
{
    accept_above(arguments[0]);
    set_up(arguments[1]);
    run(UINT64_MAX);
    return 0;
}

static int pass(char **arguments)
{
    connect_below(arguments[2], arguments[3]);
    return serve(arguments);
}

static uint64_t blocks, next_block, counted_from, counted;
static uint32_t block;
static bool sequential;
static struct histogram histogram;

static void ask(struct slot *slot)
{
    uint64_t at = sequential ? next_block++ : (uint64_t)random();

    slot->header.offset = at % blocks * block;
    slot->header.length = block;
    slot->header.slot = (uint32_t)(slot - slots);
    slot->began = now_ns();
    begin(slot);
}

static void ask_again(struct slot *slot)
{
    if (slot->began >= counted_from) {
        histogram_add(&histogram, now_ns() - slot->began);
        counted++;
    }
    ask(slot);
}

static int asker(char **arguments)
{
    unsigned depth = (unsigned)strtoul(arguments[5], NULL, 10);
    double seconds = strtod(arguments[6], NULL), wall;

    block = (uint32_t)strtoul(arguments[4], NULL, 10);
    if (!block || block > LARGEST || !depth || depth > SLOTS)
        exit(2);
    blocks = strtoull(arguments[3], NULL, 10) / block;
    connect_below(arguments[0], arguments[1]);
    set_up(arguments[2]);
    counted_from = now_ns() + 300000000u; /* warm by then */
    for (unsigned i = 0; i < depth; i++)
        ask(&slots[i]);
    run(counted_from + (uint64_t)(seconds * 1e9));
    wall = (double)(now_ns() - counted_from) / 1e9;
    printf("{\"iops\": %.1f, \"MBps\": %.2f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n", (double)counted / wall,
           (double)counted * block / wall / 1e6, histogram_at(&histogram, 0.5) / 1e3,
           histogram_at(&histogram, 0.99) / 1e3);
    return 0;
}

/* Takes a word off the end of the arguments, if it is there. */
static bool option(int *argc, char **argv, const char *word)
{
    if (strcmp(argv[*argc - 1], word))
        return false;
    (*argc)--;
    return true;
}

int main(int argc, char **argv)
{
    durable = option(&argc, argv, "durable");
    barriers = option(&argc, argv, "barriers");
    sequential = option(&argc, argv, "sequential");
    if (argc == 4 && !sequential && !strcmp(argv[1], "serve"))
        return serve(argv + 2);
    if (argc == 6 && !barriers && !sequential && !strcmp(argv[1], "pass"))
        return pass(argv + 2);
    if (argc == 9 && !barriers && !strcmp(argv[1], "ask"))
        return asker(argv + 2);
    fputs("usage: halun-floor serve PORT FILE [barriers] [durable]\n"
          "       halun-floor pass PORT FILE HOST PORT-OF-SERVE [durable]\n"
          "       halun-floor ask HOST PORT FILE|- BYTES BLOCK DEPTH SECONDS [sequential] [durable]\n", stderr);
    return 2;
}
