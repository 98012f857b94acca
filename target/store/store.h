/* The contract of everything that keeps blocks: file, memory, null, and the replicated store that
 * stands on one of them. Stores stack; a store knows nothing of SCSI.
 *
 * Threads: submit() is called on any reactor; done() is called on that same reactor, never from
 * inside submit() (a store that is finished at once uses reactor_defer()), so a
 * caller may submit in a loop. A store_io belongs to the store from submit() to done(). */
#ifndef HALUN_STORE_STORE_H
#define HALUN_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "target/base/limits.h"
#include "target/base/reactor.h"

enum store_operation {
    STORE_READ,
    STORE_WRITE,
    STORE_FLUSH,   /* everything done before is on stable storage afterwards; offset/length ignored */
    STORE_ZERO,    /* the range reads as zeros afterwards; space may stay allocated */
    STORE_UNMAP,   /* the range reads as zeros afterwards and its space is given back if possible */
};

enum {
    STORE_FUA = 1, /* STORE_WRITE, STORE_ZERO: on stable storage before done */
};

struct store_io {
    enum store_operation operation;
    unsigned flags;           /* STORE_FUA */
    uint64_t offset, length;  /* bytes, whole blocks of store->block_size, inside store->size */
    const struct iovec *iov;  /* READ, WRITE: memory of the caller until done; sums up to length */
    unsigned iov_count;       /* at most LIMIT_SEGMENTS + 1 */
    /* Called once, on the submitting reactor: 0 or -errno (-EIO medium, -ENOSPC, -EAGAIN held back
     * by the cluster: try again later, -ERESTART the same, and nothing of it has reached any medium or will: it may be
     * executed anew, here or on another node, -ESHUTDOWN store was closed). */
    void (*done)(struct store_io *io, int error);

    /* The store's own while submitted. A stacked store that needs more embeds store_io in its own. */
    struct io_op op;
    struct store *store;
    struct reactor *reactor;
    struct post post;
    uint64_t progress;
    int error;
};

struct store_operations {
    const char *name; /* "file", "memory", "null", "replicated" */
    void (*submit)(struct store *store, struct store_io *io);
    /* Most bytes that `size` could be now, whole blocks: what is below may have grown since it was opened. NULL: its
     * size is for ever. Any thread; may block for a moment. */
    uint64_t (*room)(struct store *store);
    /* Frees the store. No io may be in flight. Control thread. */
    void (*close)(struct store *store);
};

struct store {
    const struct store_operations *operations;
    _Atomic uint64_t size; /* bytes, whole blocks; only grows, up to its room */
    uint32_t block_size;  /* smallest unit of offset and length, bytes (512 or 4096) */
    bool read_only;
    bool volatile_cache;  /* a write is stable only after STORE_FLUSH (reported as WCE) */
    bool can_unmap;
};

static inline void store_submit(struct store *store, struct store_io *io)
{
    io->store = store;
    io->reactor = reactor_self();
    store->operations->submit(store, io);
}

/* See store_operations.room. */
static inline uint64_t store_room(struct store *store)
{
    return store->operations->room ? store->operations->room(store) : store->size;
}

static inline void store_close(struct store *store)
{
    if (store)
        store->operations->close(store);
}

struct store_options {
    const char *path;     /* file, block device */
    uint64_t size;        /* bytes; 0 = what the file or device has */
    uint32_t block_size;  /* 512 or 4096 */
    bool direct;          /* O_DIRECT instead of the page cache */
    bool read_only;
};

/* Opens a store. Control thread; may block (start, reload). On error returns -errno and puts a
 * sentence for the operator into `why` (at least 256 bytes): what, where, what was expected.
 * A file is created sparse when size is given and it does not exist; an existing file must not be
 * smaller than size. The file is locked (OFD write lock) against a second daemon. */
int file_store_open(const struct store_options *options, struct store **store, char *why);
int memory_store_open(const struct store_options *options, struct store **store, char *why);
int null_store_open(const struct store_options *options, struct store **store, char *why);

#endif
