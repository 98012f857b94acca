/* File and block device store: every operation is an io_uring operation of the calling reactor. */
#include "target/store/file.h"

#include <assert.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <qb/qblog.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "target/base/container.h"

enum {
    ZEROS = 64 << 10,   /* bytes of zeros that exist once */
    ZERO_SEGMENTS = 16, /* how often they are named in one write */
    LOG_PAUSE_S = 1,    /* at most one complaint per store in this time */
};

/* Where the kernel has no way to clear a range, these are written. */
static uint8_t zeros[ZEROS] __attribute__((aligned(4096)));
#define ZERO_4                                                                                     \
    {zeros, ZEROS}, {zeros, ZEROS}, {zeros, ZEROS},                                                \
    {                                                                                              \
        zeros, ZEROS                                                                               \
    }
static const struct iovec zero_iov[ZERO_SEGMENTS] = {ZERO_4, ZERO_4, ZERO_4, ZERO_4};

static const char *const operation_names[] = {
    [STORE_READ] = "read", [STORE_WRITE] = "write", [STORE_FLUSH] = "flush",
    [STORE_ZERO] = "zero", [STORE_UNMAP] = "unmap",
};

static struct file_store *file_of(const struct store_io *io)
{
    return container_of(io->store, struct file_store, store);
}

/* The errors of the contract; what else the kernel says is a medium error to those above, and a
 * line in the log here, where the path and the number are known. */
static int store_error(struct store_io *io, int error)
{
    struct file_store *file = file_of(io);
    uint64_t now = monotonic_ns(), next = atomic_load(&file->log_next_ns);

    if (!error || error == -EAGAIN || error == -EROFS)
        return error;
    if (now >= next && atomic_compare_exchange_strong(&file->log_next_ns, &next,
                                                      now + LOG_PAUSE_S * 1000000000ull))
        qb_log(LOG_ERR, "%s: %s of %llu bytes at %llu: %s", file->path,
               operation_names[io->operation], (unsigned long long)io->length,
               (unsigned long long)io->offset, strerror(-error));
    if (error == -ENOSPC || error == -EDQUOT)
        return -ENOSPC;
    return -EIO;
}

/* The kernel reports pages that it could not write once, to the first that syncs, and then forgets
 * them: a later flush that succeeds would say that everything is on stable storage, which is not
 * true any more. So after one such report no flush succeeds again. A write with FUA into the page
 * cache syncs as well, and so may be the one that is told. */
static int sticky_error(struct store_io *io, int error)
{
    struct file_store *file = file_of(io);

    if ((io->operation == STORE_FLUSH && error && error != -EAGAIN) ||
        (io->flags & STORE_FUA && file->buffered && error == -EIO))
        atomic_store(&file->flush_error, error);
    if (io->operation == STORE_FLUSH && !error)
        error = atomic_load(&file->flush_error);
    return error;
}

static void finish(struct store_io *io, int error)
{
    io->done(io, store_error(io, sticky_error(io, error)));
}

static void finish_later(struct post *post)
{
    struct store_io *io = container_of(post, struct store_io, post);

    finish(io, io->error);
}

/* done() is never called from inside submit(). */
static void defer(struct store_io *io, int error)
{
    io->error = error;
    io->post.run = finish_later;
    reactor_defer(io->reactor, &io->post);
}

static int write_flags(const struct store_io *io)
{
    return io->flags & STORE_FUA ? RWF_DSYNC : 0;
}

static void move(struct store_io *io);

static void moved(struct io_op *op, int32_t res, uint32_t flags)
{
    struct store_io *io = container_of(op, struct store_io, op);

    if (res == -EINTR) {
        move(io);
        return;
    }
    if (res <= 0) { /* 0: the file became shorter under us, or the device has no room for it */
        finish(io, res ? res : -EIO);
        return;
    }
    io->progress += (uint32_t)res;
    if (io->progress < io->length)
        move(io);
    else
        finish(io, 0);
}

/* Reads or writes what is left. After a short operation the rest of a begun segment goes alone, so
 * that the caller's segments need neither be changed nor copied. */
static void move(struct store_io *io)
{
    struct io_uring_sqe *sqe = reactor_sqe(io->reactor, &io->op);
    uint64_t into = io->progress, at = io->offset + io->progress;
    int fd = file_of(io)->fd;
    unsigned i = 0;

    while (into && into >= io->iov[i].iov_len)
        into -= io->iov[i++].iov_len;
    if (into || io->iov_count - i == 1) {
        void *memory = (uint8_t *)io->iov[i].iov_base + into;
        unsigned n = (unsigned)(io->iov[i].iov_len - into);

        if (io->operation == STORE_READ)
            io_uring_prep_read(sqe, fd, memory, n, at);
        else
            io_uring_prep_write(sqe, fd, memory, n, at);
    } else if (io->operation == STORE_READ) {
        io_uring_prep_readv(sqe, fd, io->iov + i, io->iov_count - i, at);
    } else {
        io_uring_prep_writev(sqe, fd, io->iov + i, io->iov_count - i, at);
    }
    if (io->operation == STORE_WRITE)
        sqe->rw_flags = write_flags(io);
}

static void flush(struct store_io *io);

static void flushed(struct io_op *op, int32_t res, uint32_t flags)
{
    struct store_io *io = container_of(op, struct store_io, op);

    if (res == -EINTR) {
        flush(io);
        return;
    }
    finish(io, res < 0 ? res : 0);
}

static void flush(struct store_io *io)
{
    struct io_uring_sqe *sqe = reactor_sqe(io->reactor, &io->op);

    io_uring_prep_fsync(sqe, file_of(io)->fd, IORING_FSYNC_DATASYNC);
}

static void write_zeros(struct store_io *io);

static void zeros_written(struct io_op *op, int32_t res, uint32_t flags)
{
    struct store_io *io = container_of(op, struct store_io, op);

    if (res <= 0 && res != -EINTR) {
        finish(io, res ? res : -EIO);
        return;
    }
    if (res > 0)
        io->progress += (uint32_t)res;
    if (io->progress < io->length)
        write_zeros(io);
    else
        finish(io, 0);
}

static void write_zeros(struct store_io *io)
{
    struct io_uring_sqe *sqe = reactor_sqe(io->reactor, &io->op);
    uint64_t left = io->length - io->progress, at = io->offset + io->progress;
    uint64_t whole = left / ZEROS;
    int fd = file_of(io)->fd;

    io->op.done = zeros_written;
    if (whole)
        io_uring_prep_writev(sqe, fd, zero_iov,
                             whole < ZERO_SEGMENTS ? (unsigned)whole : ZERO_SEGMENTS, at);
    else
        io_uring_prep_write(sqe, fd, zeros, (unsigned)left, at);
    sqe->rw_flags = write_flags(io);
}

static void clear(struct store_io *io);

static void cleared(struct io_op *op, int32_t res, uint32_t flags)
{
    struct store_io *io = container_of(op, struct store_io, op);
    struct file_store *file = file_of(io);

    if (res == -EINTR) {
        clear(io);
    } else if (res == -EOPNOTSUPP || res == -ENOSYS || res == -ENODEV) {
        atomic_store(io->operation == STORE_ZERO ? &file->cannot_zero : &file->cannot_punch, true);
        write_zeros(io);
    } else if (res < 0) {
        finish(io, res);
    } else if (io->flags & STORE_FUA) {
        io->op.done = flushed;
        flush(io);
    } else {
        finish(io, 0);
    }
}

static void clear(struct store_io *io)
{
    struct io_uring_sqe *sqe = reactor_sqe(io->reactor, &io->op);
    int mode = io->operation == STORE_ZERO ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE;

    io_uring_prep_fallocate(sqe, file_of(io)->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)io->offset,
                            (off_t)io->length);
}

static void start_move(struct store_io *io)
{
    io->op.done = moved;
    move(io);
}

static void start_flush(struct store_io *io)
{
    io->op.done = flushed;
    flush(io);
}

static void start_clear(struct store_io *io)
{
    struct file_store *file = file_of(io);

    if (atomic_load(io->operation == STORE_ZERO ? &file->cannot_zero : &file->cannot_punch)) {
        write_zeros(io);
        return;
    }
    io->op.done = cleared;
    clear(io);
}

static void (*const start[])(struct store_io *) = {
    [STORE_READ] = start_move,  [STORE_WRITE] = start_move,  [STORE_FLUSH] = start_flush,
    [STORE_ZERO] = start_clear, [STORE_UNMAP] = start_clear,
};

static void file_submit(struct store *store, struct store_io *io)
{
    bool changes = io->operation != STORE_READ && io->operation != STORE_FLUSH;

    io->progress = 0;
    if (io->operation != STORE_FLUSH) {
        assert(io->offset <= store->size && io->length <= store->size - io->offset);
        assert(!(io->offset % store->block_size) && !(io->length % store->block_size));
    }
    if (changes && store->read_only)
        defer(io, -EROFS);
    else if (io->operation != STORE_FLUSH && !io->length)
        defer(io, 0);
    else
        start[io->operation](io);
}

/* A size that cannot be told counts as that which is in use. */
static uint64_t file_room(struct store *store)
{
    int fd = container_of(store, struct file_store, store)->fd;
    uint64_t bytes = store->size;
    struct stat st;

    if (!fstat(fd, &st) && S_ISREG(st.st_mode))
        bytes = (uint64_t)st.st_size;
    else if (ioctl(fd, BLKGETSIZE64, &bytes))
        bytes = store->size;
    return bytes - bytes % store->block_size;
}

static void file_close(struct store *store)
{
    struct file_store *file = container_of(store, struct file_store, store);

    close(file->fd);
    free(file->path);
    free(file);
}

const struct store_operations file_store_operations = {
    .name = "file",
    .submit = file_submit,
    .room = file_room,
    .close = file_close,
};
