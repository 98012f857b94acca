/* What a server on one core can do at most: reads requests of a fixed length, answers each with
 * bytes that are always the same, as many in one send as have come in one receive. The answer is
 * one that tests/bench/load takes (--echo). Bare io_uring; no protocol, no memory, no tasks.
 * Ways to try: spin instead of sleeping; multishot receives into a ring of buffers; registered
 * sockets. On 127.0.0.1. */
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

enum { CONNECTIONS = 256, BATCH = 64, IN = 256 << 10, BUFFERS = 32, BUFFER = 16 << 10 };

struct connection {
    int fd;
    uint8_t *in;
    size_t got, left;
    unsigned answers;
    bool sending;
};

static struct io_uring ring;
static struct connection connections[CONNECTIONS];
static uint8_t *answers; /* BATCH of them */
static size_t request, response;
static bool spin, multishot, fixed;
static struct io_uring_buf_ring *buffers;
static uint8_t *buffer_memory;

static struct io_uring_sqe *sqe_for(struct connection *connection, bool out)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    if (!sqe)
        abort();
    io_uring_sqe_set_data64(sqe, (uintptr_t)connection | out);
    return sqe;
}

/* The socket of a prepared operation is the registered one. */
static void use_fixed(struct connection *c, struct io_uring_sqe *sqe)
{
    if (!fixed)
        return;
    sqe->fd = (int)(c - connections);
    sqe->flags |= IOSQE_FIXED_FILE;
}

static void receive(struct connection *c)
{
    struct io_uring_sqe *sqe = sqe_for(c, false);

    if (multishot) {
        io_uring_prep_recv_multishot(sqe, c->fd, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = 0;
    } else {
        io_uring_prep_recv(sqe, c->fd, c->in, IN, 0);
    }
    use_fixed(c, sqe);
}

static void answer(struct connection *c)
{
    unsigned n = c->answers < BATCH ? c->answers : BATCH;
    struct io_uring_sqe *sqe = sqe_for(c, true);

    c->sending = true;
    if (!c->left) {
        c->answers -= n;
        c->left = n * response;
    }
    io_uring_prep_send(sqe, c->fd, answers, c->left, MSG_WAITALL | MSG_NOSIGNAL);
    use_fixed(c, sqe);
}

static void give_back(uint32_t flags)
{
    unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;

    if (!(flags & IORING_CQE_F_BUFFER))
        return;
    io_uring_buf_ring_add(buffers, buffer_memory + (size_t)id * BUFFER, BUFFER, (unsigned short)id,
                          io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(buffers, 1);
}

static void event(struct connection *c, bool out, int32_t res, uint32_t flags)
{
    give_back(flags);
    if (!out && res == -ENOBUFS)
        res = -EAGAIN;
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
    if (out)
        c->sending = false;
    if (!c->sending && (c->left || c->answers))
        answer(c);
    if (multishot ? !out && !(flags & IORING_CQE_F_MORE) : !c->sending)
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
        c->sending = false;
        if (fixed && io_uring_register_files_update(&ring, i, &fd, 1) != 1)
            abort();
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
                event(c, cqe->user_data & 1, cqe->res, cqe->flags);
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

static void make_buffers(void)
{
    struct io_uring_buf_reg reg = {.ring_entries = BUFFERS};

    buffers = aligned_alloc(4096, 4096);
    buffer_memory = aligned_alloc(4096, BUFFERS * BUFFER);
    if (!buffers || !buffer_memory)
        abort();
    memset(buffers, 0, 4096);
    reg.ring_addr = (uintptr_t)buffers;
    if (io_uring_register_buf_ring(&ring, &reg, 0))
        abort();
    for (uint32_t i = 0; i < BUFFERS; i++)
        give_back(i << IORING_CQE_BUFFER_SHIFT | IORING_CQE_F_BUFFER);
}

int main(int argc, char **argv)
{
    struct io_uring_params params = {.flags =
                                         IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (argc < 4) {
        fputs("usage: echo PORT DATA-OUT DATA-IN [spin] [multishot] [fixed]\n", stderr);
        return 2;
    }
    address.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    shape(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
    for (int i = 4; i < argc; i++) {
        spin |= !strcmp(argv[i], "spin");
        multishot |= !strcmp(argv[i], "multishot");
        fixed |= !strcmp(argv[i], "fixed");
    }
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
    if (multishot)
        make_buffers();
    if (fixed && io_uring_register_files_sparse(&ring, CONNECTIONS))
        abort();
    puts("ready");
    fflush(stdout);
    serve(listener);
}
