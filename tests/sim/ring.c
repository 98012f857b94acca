/* io_uring: the rings of the reactors are memory of the world; what is submitted is carried out on virtual files
 * and sockets, and completed after the latency of the disk or when the network has brought something. */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "target/base/reactor.h"
#include "tests/sim/world.h"

enum { ENTRIES_MAX = 4096, SCHEDULE_NS = 8 * US, INLINE = 4096 };

struct ring {
    struct io_uring *uring;
    struct host *host;
    struct thread *thread;
    struct ring_op *ops; /* not yet complete */
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    unsigned sq_head, sq_tail, sq_mask, sq_flags, cq_head, cq_tail, cq_mask, entries;
    unsigned zero;
    struct ring *next; /* of all rings of this process */
};

struct ring_op {
    struct ring_op *next, **at; /* in ring->ops; or `next` in the list of free ones */
    struct ring *ring;
    struct io_uring_sqe sqe;
    struct socket_end *end;  /* waits there */
    struct vfile *file;
    struct sim_event event;
    int32_t result;
    bool multishot, synced;
    uint8_t *data;           /* what is written, as it was at submission */
    size_t length;
    struct msghdr message;   /* a copy: the caller may change its own afterwards */
    struct iovec iov[300];
};

static struct ring *rings[SIM_NODES + 1];
static struct ring_op *free_ops;

/* ---- memory that an operation names ---- */

static void set_vector(struct ring_op *op, const struct iovec *iov, size_t count)
{
    if (count > sizeof op->iov / sizeof op->iov[0])
        sim_fail("an operation with %zu segments", count);
    memcpy(op->iov, iov, count * sizeof *iov);
    op->message.msg_iov = op->iov;
    op->message.msg_iovlen = count;
    op->length = 0;
    for (size_t i = 0; i < count; i++)
        op->length += iov[i].iov_len;
}

static void set_buffer(struct ring_op *op)
{
    struct iovec one = {(void *)(uintptr_t)op->sqe.addr, op->sqe.len};

    set_vector(op, &one, 1);
}

size_t ring_op_length(const struct ring_op *op)
{
    return op->length;
}

const void *ring_op_address(const struct ring_op *op)
{
    return (const void *)(uintptr_t)op->sqe.addr;
}

struct host *ring_op_host(struct ring_op *op)
{
    return op->ring->host;
}

void ring_op_gather(const struct ring_op *op, void *to, size_t n)
{
    uint8_t *out = to;

    for (size_t i = 0; n; i++) {
        size_t piece = op->iov[i].iov_len < n ? op->iov[i].iov_len : n;
        memcpy(out, op->iov[i].iov_base, piece);
        out += piece;
        n -= piece;
    }
}

void ring_op_scatter(const struct ring_op *op, size_t at, const void *from, size_t n)
{
    const uint8_t *in = from;

    for (size_t i = 0; n; i++) {
        size_t piece = op->iov[i].iov_len;
        if (at >= piece) {
            at -= piece;
            continue;
        }
        piece -= at;
        if (piece > n)
            piece = n;
        memcpy((uint8_t *)op->iov[i].iov_base + at, in, piece);
        in += piece;
        n -= piece;
        at = 0;
    }
}

/* ---- operations ---- */

static struct ring_op *op_new(struct ring *ring, const struct io_uring_sqe *sqe)
{
    struct ring_op *op = free_ops;

    if (op)
        free_ops = op->next;
    else
        op = malloc(sizeof *op);
    memset(op, 0, offsetof(struct ring_op, iov));
    op->ring = ring;
    op->sqe = *sqe;
    op->next = ring->ops;
    op->at = &ring->ops;
    if (op->next)
        op->next->at = &op->next;
    ring->ops = op;
    return op;
}

static void op_free(struct ring_op *op)
{
    sim_cancel(&op->event);
    *op->at = op->next;
    if (op->next)
        op->next->at = op->at;
    free(op->data);
    op->next = free_ops;
    free_ops = op;
}

static void push(struct ring *ring, uint64_t user_data, int32_t result, uint32_t flags)
{
    struct io_uring_cqe *cqe = &ring->cqes[ring->cq_tail & ring->cq_mask];

    if (ring->cq_tail - ring->cq_head > ring->cq_mask)
        sim_fail("node%u: a completion queue ran over", ring->host->id);
    cqe->user_data = user_data;
    cqe->res = result;
    cqe->flags = flags;
    ring->cq_tail++;
    if (ring->thread && ring->thread != current)
        thread_wake(ring->thread, world_latency(SCHEDULE_NS));
}

void ring_complete(struct ring_op *op, int32_t result, bool more)
{
    bool all = op->sqe.flags & IOSQE_CQE_SKIP_SUCCESS && result == (int32_t)op->length;

    if (!all)
        push(op->ring, op->sqe.user_data, result, more ? IORING_CQE_F_MORE : 0);
    if (!more)
        op_free(op);
}

/* ---- files ---- */

static void write_now(struct ring_op *op)
{
    bool durable = (op->sqe.rw_flags & RWF_DSYNC) != 0;

    file_write(op->file, op->data, op->length, op->sqe.off, durable);
}

static int32_t read_now(struct ring_op *op)
{
    uint8_t small[INLINE], *bytes = op->length <= sizeof small ? small : malloc(op->length);
    int64_t got = file_read(op->file, bytes, op->length, op->sqe.off);

    ring_op_scatter(op, 0, bytes, (size_t)got);
    if (bytes != small)
        free(bytes);
    return (int32_t)got;
}

static int32_t carry_out(struct ring_op *op)
{
    switch (op->sqe.opcode) {
    case IORING_OP_READ:
    case IORING_OP_READV:
        if (file_error(op->file, false))
            return file_error(op->file, false);
        return read_now(op);
    case IORING_OP_WRITE:
    case IORING_OP_WRITEV:
        if (file_error(op->file, true))
            return file_error(op->file, true);
        write_now(op);
        return (int32_t)op->length;
    case IORING_OP_FSYNC:
        if (!op->synced)
            file_sync(op->file);
        return 0;
    default: /* IORING_OP_FALLOCATE */
        if (file_error(op->file, true))
            return file_error(op->file, true);
        return file_zero(op->file, op->sqe.off, op->sqe.addr);
    }
}

static void file_done(struct sim_event *event)
{
    struct ring_op *op = container_of(event, struct ring_op, event);

    ring_complete(op, carry_out(op), false);
}

static void submit_file(struct ring_op *op, struct vfd *fd)
{
    bool sync = op->sqe.opcode == IORING_OP_FSYNC || (op->sqe.rw_flags & RWF_DSYNC) != 0;

    op->file = fd->object;
    switch (op->sqe.opcode) {
    case IORING_OP_READ:
    case IORING_OP_WRITE:
        set_buffer(op);
        break;
    case IORING_OP_READV:
    case IORING_OP_WRITEV:
        set_vector(op, (const struct iovec *)(uintptr_t)op->sqe.addr, op->sqe.len);
        break;
    default:
        break;
    }
    if (op->sqe.opcode == IORING_OP_WRITE || op->sqe.opcode == IORING_OP_WRITEV) {
        op->data = malloc(op->length);
        ring_op_gather(op, op->data, op->length);
    } else if (op->sqe.opcode == IORING_OP_READ || op->sqe.opcode == IORING_OP_READV) {
        sync = false;
    }
    /* A flush covers what was complete when it came. What completes while it runs is covered or not. */
    if (op->sqe.opcode == IORING_OP_FSYNC && sim_random(2)) {
        file_sync(op->file);
        op->synced = true;
    }
    op->event.run = file_done;
    sim_at(&op->event, sim_now() + file_latency(op->file, sync));
}

/* ---- submission ---- */

static void cancel(struct ring_op *op)
{
    struct ring_op *other = op->ring->ops, *next;
    struct vfd *fd;
    int found = 0;

    for (; other; other = next) {
        next = other->next;
        if (other == op || other->sqe.user_data != op->sqe.addr)
            continue;
        found++;
        fd = fd_get(op->ring->host, other->sqe.fd);
        if (fd && fd->waiter == other) {
            fd->waiter = NULL;
            ring_complete(other, -ECANCELED, false);
        } else if (other->end && socket_forget(other->end, other)) {
            ring_complete(other, -ECANCELED, false);
        } /* files: it is too late */
    }
    ring_complete(op, found ? found : -ENOENT, false);
}

static void read_event(struct ring_op *op, struct vfd *fd)
{
    set_buffer(op);
    fd->waiter = op;
    if (fd->count)
        fd_ready(op->ring->host, fd);
}

static void submit_socket(struct ring_op *op, struct vfd *fd)
{
    const struct msghdr *message = (const struct msghdr *)(uintptr_t)op->sqe.addr;

    op->end = fd->object;
    switch (op->sqe.opcode) {
    case IORING_OP_SENDMSG:
        set_vector(op, message->msg_iov, message->msg_iovlen);
        socket_send(op->end, op);
        break;
    case IORING_OP_RECVMSG:
        set_vector(op, message->msg_iov, message->msg_iovlen);
        socket_receive(op->end, op);
        break;
    case IORING_OP_RECV:
        set_buffer(op);
        socket_receive(op->end, op);
        break;
    case IORING_OP_ACCEPT:
        op->multishot = op->sqe.ioprio & IORING_ACCEPT_MULTISHOT;
        socket_accept(op->end, op);
        break;
    case IORING_OP_CONNECT:
        socket_connect(op->end, op);
        break;
    default:
        sim_fail("the world does not know operation %u of io_uring", op->sqe.opcode);
    }
}

bool ring_op_multishot(const struct ring_op *op)
{
    return op->multishot;
}

bool ring_op_dont_wait(const struct ring_op *op)
{
    return op->sqe.msg_flags & MSG_DONTWAIT;
}

static void submit(struct ring *ring, const struct io_uring_sqe *sqe)
{
    struct ring_op *op = op_new(ring, sqe);
    struct vfd *fd;

    if (sqe->opcode == IORING_OP_ASYNC_CANCEL) {
        cancel(op);
        return;
    }
    fd = fd_get(ring->host, sqe->fd);
    if (!fd)
        ring_complete(op, -EBADF, false);
    else if (fd->kind == FD_EVENT)
        read_event(op, fd);
    else if (fd->kind == FD_FILE)
        submit_file(op, fd);
    else
        submit_socket(op, fd);
}

static int submit_all(struct ring *ring)
{
    struct io_uring_sq *sq = &ring->uring->sq;
    int n = 0;

    while (sq->sqe_head != sq->sqe_tail) {
        submit(ring, &ring->sqes[sq->sqe_head++ & ring->sq_mask]);
        n++;
    }
    ring->sq_head = sq->sqe_head;
    return n;
}

/* ---- the calls of the module ---- */

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *uring,
                                      struct io_uring_params *params);
void __wrap_io_uring_queue_exit(struct io_uring *uring);
int __wrap_io_uring_submit(struct io_uring *uring);
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *uring, struct io_uring_cqe **cqe,
                                            unsigned wait_nr, struct __kernel_timespec *ts,
                                            sigset_t *mask);
unsigned __wrap_io_uring_peek_batch_cqe(struct io_uring *uring, struct io_uring_cqe **cqes,
                                        unsigned count);

int __wrap_io_uring_register_ring_fd(struct io_uring *uring);
long __wrap_syscall(long number, ...);

/* The daemon enables its rings by io_uring_register(2): here they are enabled from the start. */
long __wrap_syscall(long number, ...)
{
    return 0;
}

int __wrap_io_uring_register_ring_fd(struct io_uring *uring)
{
    return 1;
}

static struct ring *ring_of(struct io_uring *uring)
{
    struct ring *ring = rings[current->host->id];

    while (ring && ring->uring != uring)
        ring = ring->next;
    return ring;
}

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *uring,
                                      struct io_uring_params *params)
{
    struct ring *ring = calloc(1, sizeof *ring);

    ring->uring = uring;
    ring->host = current->host;
    ring->sqes = calloc(entries, sizeof *ring->sqes);
    ring->cqes = calloc(params->cq_entries, sizeof *ring->cqes);
    ring->entries = entries;
    ring->sq_mask = entries - 1;
    ring->cq_mask = params->cq_entries - 1;
    memset(uring, 0, sizeof *uring);
    uring->sq.khead = &ring->sq_head;
    uring->sq.ktail = &ring->sq_tail;
    uring->sq.kring_mask = &ring->sq_mask;
    uring->sq.kring_entries = &ring->entries;
    uring->sq.kflags = &ring->sq_flags;
    uring->sq.kdropped = &ring->zero;
    uring->sq.ring_mask = ring->sq_mask;
    uring->sq.ring_entries = entries;
    uring->sq.sqes = ring->sqes;
    uring->cq.khead = &ring->cq_head;
    uring->cq.ktail = &ring->cq_tail;
    uring->cq.kring_mask = &ring->cq_mask;
    uring->cq.ring_mask = ring->cq_mask;
    uring->cq.ring_entries = ring->cq_mask + 1;
    uring->cq.cqes = ring->cqes;
    ring->next = rings[current->host->id];
    rings[current->host->id] = ring;
    return 0;
}

static void ring_free(struct ring *ring)
{
    while (ring->ops) {
        if (ring->ops->end)
            socket_forget(ring->ops->end, ring->ops);
        op_free(ring->ops);
    }
    free(ring->sqes);
    free(ring->cqes);
    free(ring);
}

void __wrap_io_uring_queue_exit(struct io_uring *uring)
{
    struct ring **at = &rings[current->host->id], *ring = ring_of(uring);

    while (*at != ring)
        at = &(*at)->next;
    *at = ring->next;
    ring_free(ring);
}

int __wrap_io_uring_submit(struct io_uring *uring)
{
    return submit_all(ring_of(uring));
}

int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *uring, struct io_uring_cqe **cqe,
                                            unsigned wait_nr, struct __kernel_timespec *ts,
                                            sigset_t *mask)
{
    struct ring *ring = ring_of(uring);
    const struct host *host = current->host;
    uint64_t end = host_clock(host) + (uint64_t)ts->tv_sec * 1000000000u + (uint64_t)ts->tv_nsec;

    ring->thread = current;
    current->reactor = container_of(uring, struct reactor, ring);
    submit_all(ring);
    while (ring->cq_head == ring->cq_tail && host_clock(host) < end) {
        thread_wake(current, host_clock_wait(host, end) + sim_random(SCHEDULE_NS));
        thread_block();
    }
    return 0;
}

unsigned __wrap_io_uring_peek_batch_cqe(struct io_uring *uring, struct io_uring_cqe **cqes,
                                        unsigned count)
{
    struct ring *ring = ring_of(uring);
    unsigned have = ring->cq_tail - ring->cq_head;

    if (count > have)
        count = have;
    for (unsigned i = 0; i < count; i++)
        cqes[i] = &ring->cqes[(ring->cq_head + i) & ring->cq_mask];
    return count;
}

void rings_forget(struct host *host)
{
    while (rings[host->id]) {
        struct ring *ring = rings[host->id];
        rings[host->id] = ring->next;
        ring_free(ring);
    }
}

/* A killed process: the kernel finishes what it has begun. At a power cut that is not sure. */
void rings_drop(struct host *host, bool power_cut)
{
    for (struct ring *ring = rings[host->id]; ring; ring = ring->next)
        for (struct ring_op *op = ring->ops; op; op = op->next)
            if (op->data && !file_error(op->file, true) && (!power_cut || sim_random(2)))
                write_now(op);
    rings_forget(host);
}
