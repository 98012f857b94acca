#include "target/base/payload.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/pages.h"

/* Free segments are kept on stacks (last used first, so still in the cache). */
struct stack {
    void **slots;
    size_t used, size;
};

struct payload_pool {
    struct stack small, large;
    uint8_t *memory;
    size_t bytes;
};

static int stack_fill(struct stack *stack, uint8_t *memory, size_t count, size_t segment)
{
    stack->slots = calloc(count ? count : 1, sizeof *stack->slots);
    if (!stack->slots)
        return -ENOMEM;
    stack->used = stack->size = count;
    for (size_t i = 0; i < count; i++)
        stack->slots[count - 1 - i] = memory + i * segment;
    return 0;
}

struct payload_pool *payload_pool_new(size_t bytes)
{
    struct payload_pool *pool = calloc(1, sizeof *pool);
    size_t large, small;

    if (!pool)
        return NULL;
    /* A quarter in small segments: most commands of most initiators are 4 KiB. */
    large = bytes * 3 / 4 / SEGMENT_LARGE;
    small = bytes / 4 / SEGMENT_SMALL;
    pool->bytes = large * SEGMENT_LARGE + small * SEGMENT_SMALL;
    pool->memory = pages_new(pool->bytes);
    if (!pool->memory) {
        free(pool);
        return NULL;
    }
    if (stack_fill(&pool->large, pool->memory, large, SEGMENT_LARGE) ||
        stack_fill(&pool->small, pool->memory + large * SEGMENT_LARGE, small, SEGMENT_SMALL)) {
        payload_pool_free(pool);
        return NULL;
    }
    return pool;
}

void payload_pool_free(struct payload_pool *pool)
{
    if (!pool)
        return;
    pages_free(pool->memory, pool->bytes);
    free(pool->small.slots);
    free(pool->large.slots);
    free(pool);
}

int payload_alloc(struct payload_pool *pool, struct payload *payload, size_t length)
{
    assert(length <= LIMIT_TRANSFER && !payload->count);
    if (length && length <= SEGMENT_SMALL && pool->small.used) {
        payload->iov[0].iov_base = pool->small.slots[--pool->small.used];
        payload->iov[0].iov_len = length;
        payload->count = 1;
    } else {
        size_t need = (length + SEGMENT_LARGE - 1) / SEGMENT_LARGE;
        if (need > pool->large.used)
            return -ENOBUFS;
        for (size_t left = length; left; payload->count++) {
            size_t n = left < SEGMENT_LARGE ? left : SEGMENT_LARGE;
            payload->iov[payload->count].iov_base = pool->large.slots[--pool->large.used];
            payload->iov[payload->count].iov_len = n;
            left -= n;
        }
    }
    payload->length = length;
    return 0;
}

void payload_free(struct payload_pool *pool, struct payload *payload)
{
    uint8_t *small = pool->memory + pool->large.size * SEGMENT_LARGE;

    for (unsigned i = 0; i < payload->count; i++) {
        struct stack *stack =
            (uint8_t *)payload->iov[i].iov_base >= small ? &pool->small : &pool->large;
        assert(stack->used < stack->size);
        stack->slots[stack->used++] = payload->iov[i].iov_base;
    }
    payload->count = 0;
    payload->length = 0;
}

unsigned payload_pool_free_permille(const struct payload_pool *pool)
{
    size_t free_bytes = pool->large.used * SEGMENT_LARGE + pool->small.used * SEGMENT_SMALL;
    return pool->bytes ? (unsigned)(free_bytes * 1000 / pool->bytes) : 0;
}

unsigned payload_slice(const struct payload *payload, size_t offset, size_t n, struct iovec *iov)
{
    unsigned used = 0;

    assert(offset <= payload->length && n <= payload->length - offset);
    for (unsigned i = 0; n; i++) {
        size_t len = payload->iov[i].iov_len;
        if (offset >= len) {
            offset -= len;
            continue;
        }
        len -= offset;
        if (len > n)
            len = n;
        iov[used].iov_base = (uint8_t *)payload->iov[i].iov_base + offset;
        iov[used++].iov_len = len;
        offset = 0;
        n -= len;
    }
    return used;
}

void payload_read(const struct payload *payload, size_t offset, void *to, size_t n)
{
    struct iovec iov[LIMIT_SEGMENTS + 1];
    unsigned count = payload_slice(payload, offset, n, iov);
    uint8_t *out = to;

    for (unsigned i = 0; i < count; out += iov[i++].iov_len)
        memcpy(out, iov[i].iov_base, iov[i].iov_len);
}

void payload_write(struct payload *payload, size_t offset, const void *from, size_t n)
{
    struct iovec iov[LIMIT_SEGMENTS + 1];
    unsigned count = payload_slice(payload, offset, n, iov);
    const uint8_t *in = from;

    for (unsigned i = 0; i < count; in += iov[i++].iov_len)
        memcpy(iov[i].iov_base, in, iov[i].iov_len);
}

void payload_zero(struct payload *payload, size_t offset, size_t n)
{
    struct iovec iov[LIMIT_SEGMENTS + 1];
    unsigned count = payload_slice(payload, offset, n, iov);

    for (unsigned i = 0; i < count; i++)
        memset(iov[i].iov_base, 0, iov[i].iov_len);
}
