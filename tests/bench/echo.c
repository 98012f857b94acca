/* What a server on one core can do at most: reads requests of a fixed length, answers each with
 * bytes that are always the same, as many in one send as have come in one receive. The answer is
 * one that tests/bench/load takes (--echo). Bare io_uring; no protocol, no memory, no tasks. */
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "target/base/bytes.h"
#include "target/iscsi/iscsi_wire.h"

enum { CONNECTIONS = 64, BATCH = 64, IN = 256 << 10 };

struct connection {
    int fd;
    uint8_t *in;
    size_t got, left;
    unsigned answers;
};

static struct io_uring ring;
static struct connection connections[CONNECTIONS];
static uint8_t *answers; /* BATCH of them */
static size_t request, response;
static bool spin;

static struct io_uring_sqe *sqe_for(struct connection *connection, bool out)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    if (!sqe)
        abort();
    io_uring_sqe_set_data64(sqe, (uintptr_t)connection | out);
    return sqe;
}

static void receive(struct connection *c)
{
    io_uring_prep_recv(sqe_for(c, false), c->fd, c->in, IN, 0);
}

static void answer(struct connection *c)
{
    unsigned n = c->answers < BATCH ? c->answers : BATCH;

    if (!c->left) {
        c->answers -= n;
        c->left = n * response;
    }
    io_uring_prep_send(sqe_for(c, true), c->fd, answers, c->left, MSG_WAITALL | MSG_NOSIGNAL);
}

static void event(struct connection *c, bool out, int32_t res)
{
    if (res <= 0 && res != -EAGAIN && res != -EINTR) {
        close(c->fd);
        c->fd = -1;
        return;
    }
    if (res > 0 && out) {
        c->left -= (size_t)res;
    } else if (res > 0) {
        c->got += (size_t)res;
        c->answers += (unsigned)(c->got / request);
        c->got %= request;
    }
    if (c->left || c->answers)
        answer(c);
    else
        receive(c);
}

static void take(int fd)
{
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        struct connection *c = &connections[i];
        if (c->fd >= 0)
            continue;
        if (!c->in)
            c->in = malloc(IN);
        if (!c->in)
            abort();
        c->fd = fd;
        c->got = c->left = c->answers = 0;
        receive(c);
        return;
    }
    close(fd);
}

static void serve(int listener)
{
    struct io_uring_cqe *cqe;
    unsigned head, seen;

    io_uring_prep_multishot_accept(sqe_for(NULL, false), listener, NULL, NULL, SOCK_CLOEXEC);
    for (;;) {
        if (spin)
            io_uring_submit_and_get_events(&ring);
        else
            io_uring_submit_and_wait(&ring, 1);
        seen = 0;
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            struct connection *c = (struct connection *)(uintptr_t)(cqe->user_data & ~1ull);
            seen++;
            if (c)
                event(c, cqe->user_data & 1, cqe->res);
            else if (cqe->res >= 0)
                take(cqe->res);
        }
        io_uring_cq_advance(&ring, seen);
    }
}

/* Request with `in` bytes of data after its header, answer with `out` bytes. */
static void shape(size_t in, size_t out)
{
    request = ISCSI_BHS_LENGTH + in;
    response = ISCSI_BHS_LENGTH + out;
    answers = calloc(BATCH, response);
    if (!answers)
        abort();
    for (unsigned i = 0; i < BATCH; i++) {
        uint8_t *bhs = answers + i * response;
        bhs[BHS_OPCODE] = out ? ISCSI_SCSI_DATA_IN : ISCSI_SCSI_RESPONSE;
        bhs[BHS_FLAGS] = BHS_FLAG_FINAL | (out ? DATA_STATUS : 0);
        put_be24(bhs + BHS_DATA_SEGMENT_LENGTH, (uint32_t)out);
    }
}

int main(int argc, char **argv)
{
    struct io_uring_params params = {.flags =
                                         IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (argc < 4) {
        fputs("usage: echo PORT DATA-OUT DATA-IN [spin]\n", stderr);
        return 2;
    }
    address.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    shape(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
    spin = argc > 4 && !strcmp(argv[4], "spin");
    for (unsigned i = 0; i < CONNECTIONS; i++)
        connections[i].fd = -1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64)) {
        perror("echo");
        return 1;
    }
    if (io_uring_queue_init_params(1024, &ring, &params)) {
        perror("echo: io_uring");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    serve(listener);
}
