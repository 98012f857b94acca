/* Payload buffers: scatter/gather lists of page-aligned segments from a pool of each reactor, sized
 * at start. No allocation on the way of an I/O; an empty pool is an answer (TASK SET FULL), not a
 * wait. A payload belongs to the reactor that allocated it. */
#ifndef HALUN_BASE_PAYLOAD_H
#define HALUN_BASE_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "target/base/limits.h"

struct payload {
    size_t length;  /* bytes, the sum of the segments used */
    unsigned count; /* segments; 0 = nothing held */
    struct iovec iov[LIMIT_SEGMENTS];
};

struct payload_pool;

/* A pool of about `bytes` bytes. Returns NULL when memory is short. */
struct payload_pool *payload_pool_new(size_t bytes);
/* Frees the pool; every payload must have been returned. Accepts NULL. */
void payload_pool_free(struct payload_pool *pool);
/* Fills the empty `payload` with segments for `length` bytes (0..LIMIT_TRANSFER), contents undefined.
 * Returns 0, or -ENOBUFS with the payload left empty. */
int payload_alloc(struct payload_pool *pool, struct payload *payload, size_t length);
/* Returns the segments; harmless on an empty payload. */
void payload_free(struct payload_pool *pool, struct payload *payload);
/* Segments still free, as a share of the pool in 1/1000; feeds the command window. */
unsigned payload_pool_free_permille(const struct payload_pool *pool);

/* Copies between a payload at `offset` and memory; the range must lie inside the payload. Pure. */
void payload_read(const struct payload *payload, size_t offset, void *to, size_t n);
void payload_write(struct payload *payload, size_t offset, const void *from, size_t n);
void payload_zero(struct payload *payload, size_t offset, size_t n);
/* Fills `iov` (room LIMIT_SEGMENTS + 1) with the part [offset, offset + n). Returns the count. */
unsigned payload_slice(const struct payload *payload, size_t offset, size_t n, struct iovec *iov);

#endif
