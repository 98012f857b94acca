/* Blocks in memory, gone with the daemon. Pages come with the first write, so it is thin. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "target/base/container.h"
#include "target/store/options.h"
#include "target/store/store.h"

enum {
    PAGE = 4096,
    CLEAR_STEP = 8 << 20, /* bytes cleared before other work of the reactor has its turn */
};

struct memory_store {
    struct store store;
    uint8_t *memory;
    size_t mapped;
};

static void copy_out(const struct store_io *io, const uint8_t *from)
{
    for (unsigned i = 0; i < io->iov_count; from += io->iov[i++].iov_len)
        memcpy(io->iov[i].iov_base, from, io->iov[i].iov_len);
}

static void copy_in(const struct store_io *io, uint8_t *to)
{
    for (unsigned i = 0; i < io->iov_count; to += io->iov[i++].iov_len)
        memcpy(to, io->iov[i].iov_base, io->iov[i].iov_len);
}

/* Zeros by giving whole pages back to the kernel; 0 or -errno. */
static int clear(struct memory_store *memory, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length;
    uint64_t first = (offset + PAGE - 1) / PAGE * PAGE, last = end / PAGE * PAGE;

    if (first >= last) {
        memset(memory->memory + offset, 0, length);
        return 0;
    }
    memset(memory->memory + offset, 0, first - offset);
    memset(memory->memory + last, 0, end - last);
    return madvise(memory->memory + first, last - first, MADV_DONTNEED) ? -errno : 0;
}

static void memory_run(struct post *post)
{
    struct store_io *io = container_of(post, struct store_io, post);
    struct memory_store *memory = container_of(io->store, struct memory_store, store);
    uint64_t n = io->length - io->progress;
    int error = 0;

    switch (io->operation) {
    case STORE_READ:
        copy_out(io, memory->memory + io->offset);
        break;
    case STORE_WRITE:
        copy_in(io, memory->memory + io->offset);
        break;
    case STORE_FLUSH:
        break;
    case STORE_ZERO:
    case STORE_UNMAP:
        if (n > CLEAR_STEP)
            n = CLEAR_STEP;
        error = clear(memory, io->offset + io->progress, n);
        io->progress += n;
        if (!error && io->progress < io->length) {
            reactor_defer(io->reactor, &io->post);
            return;
        }
        break;
    }
    io->done(io, error);
}

static void memory_refuse(struct post *post)
{
    struct store_io *io = container_of(post, struct store_io, post);

    io->done(io, -EROFS);
}

static void memory_submit(struct store *store, struct store_io *io)
{
    bool changes = io->operation != STORE_READ && io->operation != STORE_FLUSH;

    assert(io->operation == STORE_FLUSH ||
           (io->offset <= store->size && io->length <= store->size - io->offset));
    io->progress = 0;
    io->post.run = changes && store->read_only ? memory_refuse : memory_run;
    reactor_defer(io->reactor, &io->post);
}

static void memory_close(struct store *store)
{
    struct memory_store *memory = container_of(store, struct memory_store, store);

    munmap(memory->memory, memory->mapped);
    free(memory);
}

static const struct store_operations memory_operations = {
    .name = "memory",
    .submit = memory_submit,
    .close = memory_close,
};

int memory_store_open(const struct store_options *options, struct store **store, char *why)
{
    struct memory_store *memory;
    int rc = store_options_check(options, "memory store", why);

    if (rc)
        return rc;
    if (!options->size) {
        snprintf(why, STORE_WHY, "memory store: size 0: a size must be given");
        return -EINVAL;
    }
    memory = calloc(1, sizeof *memory);
    if (!memory) {
        snprintf(why, STORE_WHY, "memory store: out of memory");
        return -ENOMEM;
    }
    memory->mapped = options->size;
    memory->memory = mmap(NULL, memory->mapped, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory->memory == MAP_FAILED) {
        rc = -errno;
        snprintf(why, STORE_WHY, "memory store: %llu bytes of address space: %s",
                 (unsigned long long)options->size, strerror(errno));
        free(memory);
        return rc;
    }
    memory->store = (struct store){
        .operations = &memory_operations,
        .size = options->size,
        .block_size = options->block_size,
        .read_only = options->read_only,
        .can_unmap = true,
    };
    *store = &memory->store;
    return 0;
}
