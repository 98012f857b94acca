/* The store of a volume. Reads go straight to the local disk, on whatever reactor they come;
 * everything that changes blocks goes through the home reactor. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "replication/resource.h"
#include "target/base/container.h"

enum { READS = 256 }; /* of one reactor, at once, watched; beyond that they go unwatched */

struct read_wrap {
    struct read_wrap *next;
    struct read_pool *pool;
    struct store_io *upper;
    struct store_io io;
};

struct read_pool {
    struct volume *volume;
    struct read_wrap *free;
    struct read_wrap wrap[READS];
};

void store_io_deliver(struct post *post)
{
    struct store_io *io = container_of(post, struct store_io, post);

    io->done(io, io->error);
}

static void defer(struct store_io *io, int error)
{
    io->error = error;
    io->post.run = store_io_deliver;
    reactor_post(io->reactor, &io->post);
}

/* --- reads --- */

static struct read_pool *read_pool(struct volume *v, unsigned reactor)
{
    struct read_pool *pool = v->reads[reactor];

    if (pool)
        return pool;
    pool = calloc(1, sizeof *pool); /* once per reactor and volume */
    if (!pool)
        return NULL;
    pool->volume = v;
    for (unsigned i = 0; i < READS; i++) {
        pool->wrap[i].pool = pool;
        pool->wrap[i].next = pool->free;
        pool->free = &pool->wrap[i];
    }
    v->reads[reactor] = pool;
    return pool;
}

void read_pools_free(struct volume *v)
{
    for (unsigned i = 0; i < LIMIT_REACTORS; i++)
        free(v->reads[i]);
}

/* A read that this node's disk cannot answer, at home: the peer may. */
static void read_elsewhere(struct post *post)
{
    struct store_io *io = container_of(post, struct store_io, post);
    struct volume *v = container_of(io->store, struct volume, store);
    struct resource *r = v->resource;

    resource_enter(r);
    if (io->error == -EIO)
        volume_failed(v, -EIO, "reading");
    peer_read_arrive(r, io);
    resource_leave(r);
}

static void send_home(struct volume *v, struct store_io *io, int error)
{
    io->error = error;
    io->post.run = read_elsewhere;
    reactor_post(v->resource->home, &io->post);
}

static void read_done(struct store_io *io, int error)
{
    struct read_wrap *w = container_of(io, struct read_wrap, io);
    struct read_pool *pool = w->pool;
    struct volume *v = pool->volume;
    struct store_io *upper = w->upper;

    w->next = pool->free;
    pool->free = w;
    if (error == -EIO)
        send_home(v, upper, error);
    else
        upper->done(upper, error);
}

static void start_read(struct volume *v, struct store_io *io)
{
    struct read_pool *pool = read_pool(v, io->reactor->index);
    struct read_wrap *w = pool ? pool->free : NULL;

    if (!atomic_load_explicit(&v->readable, memory_order_acquire)) {
        /* A failed disk is an error unless the peer has the data; a Secondary is not asked. */
        if (atomic_load(&v->elsewhere))
            send_home(v, io, 0);
        else
            defer(io, atomic_load(&v->failed) ? -EIO : -EAGAIN);
        return;
    }
    if (!w) {
        store_submit(v->backing, io);
        return;
    }
    pool->free = w->next;
    atomic_fetch_add_explicit(&v->resource->reads, 1, memory_order_relaxed);
    w->upper = io;
    w->io = (struct store_io){
        .operation = STORE_READ,
        .flags = io->flags,
        .offset = io->offset,
        .length = io->length,
        .iov = io->iov,
        .iov_count = io->iov_count,
        .done = read_done,
    };
    store_submit(v->backing, &w->io);
}

/* --- changes --- */

static void arrived(struct post *post)
{
    struct store_io *io = container_of(post, struct store_io, post);
    struct resource *r = container_of(io->store, struct volume, store)->resource;

    resource_enter(r);
    write_arrive(r, io);
    resource_leave(r);
}

static void replicated_submit(struct store *store, struct store_io *io)
{
    struct volume *v = container_of(store, struct volume, store);
    struct resource *r = v->resource;

    if (io->operation == STORE_READ) {
        start_read(v, io);
        return;
    }
    if (io->reactor != r->home) {
        io->post.run = arrived;
        reactor_post(r->home, &io->post);
        return;
    }
    if (r->depth) { /* from inside a done(): taken in at the end of this turn's work */
        write_arrive(r, io);
        return;
    }
    resource_enter(r);
    r->submitting = true; /* done() is not called from inside submit(): what is refused is posted */
    write_arrive(r, io);
    resource_leave(r);
    r->submitting = false;
}

static void replicated_close(struct store *store)
{
    /* The replica owns it. */
}

const struct store_operations replicated_store_operations = {
    .name = "replicated",
    .submit = replicated_submit,
    .close = replicated_close,
};
