#include "fault_store.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/container.h"

enum { OPERATIONS = STORE_UNMAP + 1, FAULTS = 16 };

struct fault {
    struct store store;
    struct store *below;
    char path[256];
    _Atomic int fail[OPERATIONS];
    _Atomic unsigned count[OPERATIONS];
    pthread_mutex_t lock;
    bool holding;
    enum store_operation hold;
    uint64_t hold_from, hold_to;
    struct post *held; /* store_io */
    unsigned held_count;
    uint64_t log_from, log_to;
    struct fault_write *log;
    unsigned logged;
};

/* An operation on its way; the caller's must stay as it is. */
struct wrap {
    struct store_io io;
    struct store_io *upper;
    struct fault *fault;
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fault *registry[FAULTS];

int __real_file_store_open(const struct store_options *options, struct store **store, char *why);
int __wrap_file_store_open(const struct store_options *options, struct store **store, char *why);

static void done(struct store_io *io, int error)
{
    struct wrap *w = container_of(io, struct wrap, io);
    struct fault *f = w->fault;
    struct store_io *upper = w->upper;

    pthread_mutex_lock(&f->lock);
    if (!error && io->operation == STORE_WRITE && io->offset >= f->log_from &&
        io->offset + io->length <= f->log_to && io->length == FAULT_BLOCK && io->iov_count == 1) {
        assert(f->logged < FAULT_LOG);
        f->log[f->logged].offset = io->offset;
        memcpy(f->log[f->logged++].block, io->iov->iov_base, FAULT_BLOCK);
    }
    pthread_mutex_unlock(&f->lock);
    free(w);
    upper->done(upper, error);
}

static void failed(struct post *post)
{
    struct store_io *io = container_of(post, struct store_io, post);

    io->done(io, io->error);
}

static void go_on(struct fault *f, struct store_io *io)
{
    struct wrap *w = calloc(1, sizeof *w);

    w->io = (struct store_io){
        .operation = io->operation,
        .flags = io->flags,
        .offset = io->offset,
        .length = io->length,
        .iov = io->iov,
        .iov_count = io->iov_count,
        .done = done,
    };
    w->upper = io;
    w->fault = f;
    store_submit(f->below, &w->io);
}

static void released(struct post *post)
{
    struct store_io *io = container_of(post, struct store_io, post);

    go_on(container_of(io->store, struct fault, store), io);
}

static void submit(struct store *store, struct store_io *io)
{
    struct fault *f = container_of(store, struct fault, store);
    bool hold;

    atomic_fetch_add(&f->count[io->operation], 1);
    io->error = atomic_load(&f->fail[io->operation]);
    if (io->error) {
        io->post.run = failed;
        reactor_post(io->reactor, &io->post);
        return;
    }
    pthread_mutex_lock(&f->lock);
    hold = f->holding && io->operation == f->hold &&
           (io->operation == STORE_FLUSH ||
            (io->offset >= f->hold_from && io->offset + io->length <= f->hold_to));
    if (hold) {
        io->post.next = f->held;
        f->held = &io->post;
        f->held_count++;
    }
    pthread_mutex_unlock(&f->lock);
    if (!hold)
        go_on(f, io);
}

static uint64_t room(struct store *store)
{
    struct store *below = container_of(store, struct fault, store)->below;
    uint64_t bytes = store_room(below);

    if (bytes > below->size)
        below->size = bytes;
    return bytes;
}

static void close_fault(struct store *store)
{
    struct fault *f = container_of(store, struct fault, store);

    pthread_mutex_lock(&registry_lock);
    for (unsigned i = 0; i < FAULTS; i++)
        if (registry[i] == f)
            registry[i] = NULL;
    pthread_mutex_unlock(&registry_lock);
    store_close(f->below);
    pthread_mutex_destroy(&f->lock);
    free(f->log);
    free(f);
}

static const struct store_operations operations = {
    .name = "fault",
    .submit = submit,
    .room = room,
    .close = close_fault,
};

int __wrap_file_store_open(const struct store_options *options, struct store **store, char *why)
{
    struct fault *f = calloc(1, sizeof *f);
    int rc = __real_file_store_open(options, &f->below, why);

    if (rc) {
        free(f);
        return rc;
    }
    f->store = *f->below;
    f->store.operations = &operations;
    strncpy(f->path, options->path, sizeof f->path - 1);
    f->log = calloc(FAULT_LOG, sizeof *f->log);
    pthread_mutex_init(&f->lock, NULL);
    pthread_mutex_lock(&registry_lock);
    for (unsigned i = 0; i < FAULTS; i++) {
        if (!registry[i]) {
            registry[i] = f;
            break;
        }
        assert(i + 1 < FAULTS);
    }
    pthread_mutex_unlock(&registry_lock);
    *store = &f->store;
    return 0;
}

struct fault *fault_of(const char *path)
{
    struct fault *found = NULL;

    pthread_mutex_lock(&registry_lock);
    for (unsigned i = 0; i < FAULTS; i++)
        if (registry[i] && !strcmp(registry[i]->path, path))
            found = registry[i];
    pthread_mutex_unlock(&registry_lock);
    return found;
}

void fault_fail(struct fault *f, enum store_operation operation, int error)
{
    atomic_store(&f->fail[operation], error);
}

static void hold(struct fault *f, enum store_operation operation, uint64_t from, uint64_t to)
{
    f->holding = true;
    f->hold = operation;
    f->hold_from = from;
    f->hold_to = to;
}

void fault_hold(struct fault *f, enum store_operation operation, uint64_t from, uint64_t to)
{
    pthread_mutex_lock(&f->lock);
    hold(f, operation, from, to);
    pthread_mutex_unlock(&f->lock);
}

unsigned fault_held(struct fault *f)
{
    unsigned n;

    pthread_mutex_lock(&f->lock);
    n = f->held_count;
    pthread_mutex_unlock(&f->lock);
    return n;
}

/* The lock is held; lets it go. */
static void release(struct fault *f)
{
    struct post *post, *oldest = NULL;

    f->held_count = 0;
    while ((post = f->held)) {
        f->held = post->next;
        post->next = oldest;
        oldest = post;
    }
    pthread_mutex_unlock(&f->lock);
    while ((post = oldest)) {
        struct store_io *io = container_of(post, struct store_io, post);

        oldest = post->next;
        post->run = released;
        reactor_post(io->reactor, post);
    }
}

void fault_release(struct fault *f)
{
    pthread_mutex_lock(&f->lock);
    f->holding = false;
    release(f);
}

void fault_hold_next(struct fault *f, enum store_operation operation, uint64_t from, uint64_t to)
{
    pthread_mutex_lock(&f->lock);
    hold(f, operation, from, to);
    release(f);
}

unsigned fault_count(struct fault *f, enum store_operation operation)
{
    return atomic_load(&f->count[operation]);
}

void fault_log(struct fault *f, uint64_t from, uint64_t to)
{
    pthread_mutex_lock(&f->lock);
    f->log_from = from;
    f->log_to = to;
    f->logged = 0;
    pthread_mutex_unlock(&f->lock);
}

unsigned fault_logged(struct fault *f)
{
    unsigned n;

    pthread_mutex_lock(&f->lock);
    n = f->logged;
    pthread_mutex_unlock(&f->lock);
    return n;
}

const struct fault_write *fault_log_entry(struct fault *f, unsigned i)
{
    return &f->log[i];
}

void fault_end_all(void)
{
    for (unsigned i = 0; i < FAULTS; i++) {
        if (!registry[i])
            continue;
        for (unsigned k = 0; k < OPERATIONS; k++)
            atomic_store(&registry[i]->fail[k], 0);
        fault_release(registry[i]);
    }
}
