/* What a replicated write costs at least: each block is written to a local file while it travels over TCP to a
 * second machine, which writes it to its own file and answers; done when both are. O_DIRECT, bare io_uring,
 * nothing else. One side serves, the other asks and prints one line of JSON.
 *
 *   halun-floor serve PORT FILE [barriers] [durable]
 *   halun-floor ask HOST PORT FILE BYTES BLOCK DEPTH SECONDS [sequential] [durable]
 *
 * durable, on both sides: a write is done when it is on stable storage. barriers: what was written is flushed
 * BARRIER_NS later, or when the flush before that ends, as halun's peer does for the barriers of DRBD's protocol
 * (BARRIER_DELAY_MS, replication/resource.h); no write waits for it. The files are there and written: no block is
 * allocated on the way. */
#include <arpa/inet.h>
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
    unsigned missing; /* of its own write and the peer's answer */
    struct slot *next;
};

static struct io_uring ring;
static struct slot slots[SLOTS];
static struct slot *send_first, **send_end = &send_first; /* to be sent in order; the first is being sent */
static int file, peer;
static bool durable;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct io_uring_sqe *sqe_for(struct slot *slot, enum kind kind)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    if (!sqe)
        abort();
    io_uring_sqe_set_data64(sqe, (uintptr_t)slot | kind);
    return sqe;
}

static void write_block(struct slot *slot)
{
    struct io_uring_sqe *sqe = sqe_for(slot, WRITE);

    io_uring_prep_write(sqe, file, slot->data, slot->header.length, slot->header.offset);
    sqe->rw_flags = durable ? RWF_DSYNC : 0;
}

static void send_next(void)
{
    struct slot *slot = send_first;

    slot->message = (struct msghdr){.msg_iov = slot->iov, .msg_iovlen = slot->iov[1].iov_len ? 2 : 1};
    io_uring_prep_sendmsg(sqe_for(slot, SEND), peer, &slot->message, MSG_WAITALL | MSG_NOSIGNAL);
}

static void queue_send(struct slot *slot, size_t data)
{
    slot->iov[0] = (struct iovec){&slot->header, sizeof slot->header};
    slot->iov[1] = (struct iovec){slot->data, data};
    slot->next = NULL;
    *send_end = slot;
    send_end = &slot->next;
    if (send_first == slot)
        send_next();
}

static void sent(int32_t res)
{
    if (res < 0 || (size_t)res != send_first->iov[0].iov_len + send_first->iov[1].iov_len)
        exit(res ? 1 : 0);
    send_first = send_first->next;
    if (send_first)
        send_next();
    else
        send_end = &send_first;
}

static void set_up(const char *path)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int one = 1;

    file = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    if (file < 0)
        fail(path);
    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (io_uring_queue_init_params(256, &ring, &params))
        fail("io_uring");
    for (unsigned i = 0; i < SLOTS; i++) {
        slots[i].data = aligned_alloc(4096, LARGEST);
        if (!slots[i].data)
            abort();
        memset(slots[i].data, (int)i + 1, LARGEST);
    }
}

static void run(void (*event)(struct slot *slot, enum kind kind, int32_t res), uint64_t until)
{
    while (now_ns() < until) {
        struct io_uring_cqe *cqe;
        unsigned head, seen = 0;

        io_uring_submit_and_wait(&ring, 1);
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            seen++;
            event((struct slot *)(uintptr_t)(cqe->user_data & ~7ull), cqe->user_data & 7, cqe->res);
        }
        io_uring_cq_advance(&ring, seen);
    }
}

/* --- serve --- */

static bool barriers;
static bool barrier_set, barrier_came, flushing;
static struct header next_header;
static struct slot *receiving; /* NULL: its header */

static void receive(void *bytes, size_t n)
{
    io_uring_prep_recv(sqe_for(NULL, RECEIVE), peer, bytes, n, MSG_WAITALL);
}

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

static void served(struct slot *slot, enum kind kind, int32_t res)
{
    if (kind == WRITE) {
        if (res != (int32_t)slot->header.length)
            fail("write");
        queue_send(slot, 0);
        barrier_later();
    } else if (kind == BARRIER) {
        barrier_set = false;
        barrier_came = true;
        flush_next();
    } else if (kind == FLUSH) {
        if (res)
            fail("fdatasync");
        flushing = false;
        flush_next();
    } else if (kind == SEND) {
        sent(res);
    } else if (!receiving) {
        if (res != sizeof next_header)
            exit(res ? 1 : 0);
        if (next_header.slot >= SLOTS || next_header.length > LARGEST)
            exit(1);
        receiving = &slots[next_header.slot];
        receiving->header = next_header;
        receive(receiving->data, next_header.length);
    } else {
        if (res != (int32_t)receiving->header.length)
            exit(1);
        write_block(receiving);
        receiving = NULL;
        receive(&next_header, sizeof next_header);
    }
}

static int serve(char **arguments)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    address.sin_port = htons((uint16_t)strtoul(arguments[0], NULL, 10));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1))
        fail("listen");
    puts("ready");
    fflush(stdout);
    peer = accept(listener, NULL, NULL);
    set_up(arguments[1]);
    receive(&next_header, sizeof next_header);
    run(served, UINT64_MAX);
    return 0;
}

/* --- ask --- */

static uint64_t blocks, next_block, began, counted;
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
    slot->missing = 2;
    write_block(slot);
    queue_send(slot, block);
}

static void half_done(struct slot *slot)
{
    uint64_t now;

    if (--slot->missing)
        return;
    now = now_ns();
    if (slot->began >= began) {
        histogram_add(&histogram, now - slot->began);
        counted++;
    }
    ask(slot);
}

static void asked(struct slot *slot, enum kind kind, int32_t res)
{
    if (kind == WRITE) {
        if (res != (int32_t)block)
            fail("write");
        half_done(slot);
    } else if (kind == SEND) {
        sent(res);
    } else {
        if (res != sizeof next_header || next_header.slot >= SLOTS)
            exit(1);
        half_done(&slots[next_header.slot]);
        receive(&next_header, sizeof next_header);
    }
}

static int asker(char **arguments)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    unsigned depth = (unsigned)strtoul(arguments[5], NULL, 10);
    double seconds = strtod(arguments[6], NULL), wall;

    peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_port = htons((uint16_t)strtoul(arguments[1], NULL, 10));
    if (inet_pton(AF_INET, arguments[0], &address.sin_addr) != 1 ||
        connect(peer, (struct sockaddr *)&address, sizeof address))
        fail("connect");
    set_up(arguments[2]);
    block = (uint32_t)strtoul(arguments[4], NULL, 10);
    if (!block || block > LARGEST || !depth || depth > SLOTS)
        exit(2);
    blocks = strtoull(arguments[3], NULL, 10) / block;
    receive(&next_header, sizeof next_header);
    began = now_ns() + 300000000u; /* warm by then */
    for (unsigned i = 0; i < depth; i++)
        ask(&slots[i]);
    run(asked, began + (uint64_t)(seconds * 1e9));
    wall = (double)(now_ns() - began) / 1e9;
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
    if (argc == 4 && !strcmp(argv[1], "serve"))
        return serve(argv + 2);
    if (argc == 9 && !barriers && !strcmp(argv[1], "ask"))
        return asker(argv + 2);
    fputs("usage: halun-floor serve PORT FILE [barriers] [durable]\n"
          "       halun-floor ask HOST PORT FILE BYTES BLOCK DEPTH SECONDS [sequential] [durable]\n", stderr);
    return 2;
}
