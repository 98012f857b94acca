#include "target/device/disk_io.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum scsi_reason disk_ready(const struct task *task)
{
    const struct store *store = task->lu->store;

    if (!store)
        return REASON_NOT_READY_BECOMING;
    if (disk_offset(task) > store->size || disk_length(task) > store->size - disk_offset(task))
        return REASON_INTERNAL_FAILURE;
    return REASON_GOOD;
}

bool disk_write_through(const struct task *task)
{
    return task->lu->store->volatile_cache && !task->lane->mode.wce;
}

unsigned disk_stability(const struct task *task, bool fua)
{
    return (fua && task->lu->store->volatile_cache) || disk_write_through(task) ? STORE_FUA : 0;
}

bool disk_cache_is_ahead(const struct task *task)
{
    return task->lu->store->volatile_cache && task->lane->mode.wce && !task->lu->store->read_only;
}

void disk_submit(struct task *task, enum store_operation operation, unsigned flags, uint64_t offset,
                 uint64_t length, const struct iovec *iov, unsigned iov_count,
                 void (*done)(struct store_io *io, int error))
{
    task->io.operation = operation;
    task->io.flags = flags;
    task->io.offset = offset;
    task->io.length = length;
    task->io.iov = iov;
    task->io.iov_count = iov_count;
    task->io.done = done;
    store_submit(task->lu->store, &task->io);
}

void disk_submit_slice(struct task *task, enum store_operation operation, unsigned flags,
                       uint64_t offset, const struct payload *payload, size_t at, size_t length,
                       void (*done)(struct store_io *io, int error))
{
    unsigned count;

    if (!at && length == payload->length) {
        disk_submit(task, operation, flags, offset, length, payload->iov, payload->count, done);
        return;
    }
    count = payload_slice(payload, at, length, task->iov);
    disk_submit(task, operation, flags, offset, length, task->iov, count, done);
}

void disk_submit_flush(struct task *task, void (*done)(struct store_io *io, int error))
{
    disk_submit(task, STORE_FLUSH, 0, 0, 0, NULL, 0, done);
}

enum scsi_reason disk_outcome(const struct task *task, int error, bool write)
{
    if (task->aborted)
        return REASON_TASK_ABORTED;
    return error ? reason_from_errno(error, write) : REASON_GOOD;
}

void disk_written(struct store_io *io, int error)
{
    struct task *task = disk_task(io);

    disk_end(task, disk_outcome(task, error, true));
}

enum scsi_reason disk_memory(struct task *task, uint64_t length)
{
    assert(length <= LIMIT_TRANSFER);
    return payload_alloc(task->reactor->payloads, &task->data_in, length) ? REASON_TASK_SET_FULL
                                                                          : REASON_GOOD;
}

void disk_end(struct task *task, enum scsi_reason reason)
{
    payload_free(task->reactor->payloads, &task->data_in);
    task->data_in_length = 0;
    task_complete(task, reason);
}

/* A place inside a payload. */
struct cursor {
    const struct iovec *iov;
    size_t at;
};

static struct cursor cursor_at(const struct payload *payload, size_t offset)
{
    struct cursor c = {payload->iov, offset};

    assert(offset <= payload->length);
    while (c.at && c.at >= c.iov->iov_len)
        c.at -= c.iov++->iov_len;
    return c;
}

static uint8_t *cursor_memory(const struct cursor *c)
{
    return (uint8_t *)c->iov->iov_base + c->at;
}

/* Bytes that lie in one piece at both places, at most n. */
static size_t common(const struct cursor *a, const struct cursor *b, size_t n)
{
    size_t in_a = a->iov->iov_len - a->at, in_b = b->iov->iov_len - b->at;

    if (n > in_a)
        n = in_a;
    return n > in_b ? in_b : n;
}

static void advance(struct cursor *c, size_t n)
{
    c->at += n;
    if (c->at == c->iov->iov_len) {
        c->iov++;
        c->at = 0;
    }
}

bool disk_equal(const struct payload *a, size_t a_at, const struct payload *b, size_t b_at,
                size_t n, size_t *first)
{
    struct cursor ca = cursor_at(a, a_at), cb = cursor_at(b, b_at);

    for (size_t done = 0, piece; done < n; done += piece) {
        const uint8_t *pa = cursor_memory(&ca), *pb = cursor_memory(&cb);

        piece = common(&ca, &cb, n - done);
        if (memcmp(pa, pb, piece)) {
            while (*pa == *pb)
                pa++, pb++, done++;
            *first = done;
            return false;
        }
        advance(&ca, piece);
        advance(&cb, piece);
    }
    return true;
}

void disk_or(struct payload *to, size_t to_at, const struct payload *from, size_t from_at, size_t n)
{
    struct cursor ct = cursor_at(to, to_at), cf = cursor_at(from, from_at);

    for (size_t done = 0, piece; done < n; done += piece) {
        uint8_t *pt = cursor_memory(&ct);
        const uint8_t *pf = cursor_memory(&cf);

        piece = common(&ct, &cf, n - done);
        for (size_t i = 0; i < piece; i++)
            pt[i] |= pf[i];
        advance(&ct, piece);
        advance(&cf, piece);
    }
}
