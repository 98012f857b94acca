/* The store of a volume. Reads go straight to the local disk, on whatever reactor they come;
 * everything that changes blocks goes through the home reactor.
 *
 * What a read brings may be a write that is not acknowledged yet. If this node is lost now, and the
 * other copy has not got it, that write was never there: a read must not have told of it. So a read
 * that is over looks whether writes are under way at its place, and if so waits at home for those it
 * overlaps. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "replication/resource.h"
#include "target/base/container.h"

enum { READS = 256 }; /* of one reactor, at once; others wait */

struct read_wrap {
    struct read_wrap *next;
    struct read_pool *pool;
    struct store_io *upper;
    struct store_io io;
    struct range range; /* at home */
    struct post post;
};

struct read_pool {
    struct volume *volume;
    struct read_wrap *free;
    struct post *waiting, **waiting_end; /* of their store_io: no wrap is free */
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
    pool->waiting_end = &pool->waiting;
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

static void begin_read(struct volume *v, struct read_pool *pool, struct store_io *io);

/* On the reactor of the read. The wrap is free: the next one that waited begins. */
static void answer(struct read_wrap *w, int error)
{
    struct read_pool *pool = w->pool;
    struct volume *v = pool->volume;
    struct store_io *upper = w->upper;
    struct post *next = pool->waiting;

    w->next = pool->free;
    pool->free = w;
    if (next) {
        pool->waiting = next->next;
        if (!pool->waiting)
            pool->waiting_end = &pool->waiting;
        begin_read(v, pool, container_of(next, struct store_io, post));
    }
    if (error == -EIO)
        send_home(v, upper, error);
    else
        upper->done(upper, error);
}

static void at_reactor_again(struct post *post)
{
    struct read_wrap *w = container_of(post, struct read_wrap, post);

    answer(w, w->io.error);
}

/* The writes before it are over: acknowledged, or given up. What it read may be one of those. */
static void range_granted(struct range *range)
{
    struct read_wrap *w = container_of(range, struct read_wrap, range);
    struct volume *v = w->pool->volume;

    entry_leave_ranges(v, range);
    w->io.error = v->resource->giving_up || !volume_usable(v) ? -EAGAIN : 0;
    w->post.run = at_reactor_again;
    reactor_post(w->upper->reactor, &w->post);
}

static void at_home(struct post *post)
{
    struct read_wrap *w = container_of(post, struct read_wrap, post);
    struct volume *v = w->pool->volume;

    resource_enter(v->resource);
    w->range = (struct range){
        .offset = w->upper->offset, .length = w->upper->length, .grant = range_granted};
    if (range_enter(&v->ranges, &w->range))
        range_granted(&w->range);
    resource_leave(v->resource);
}

static bool writes_under_way(struct volume *v, const struct store_io *io)
{
    uint64_t first = io->offset >> VOLUME_PLACE_SHIFT,
             last = (io->offset + io->length - 1) >> VOLUME_PLACE_SHIFT;

    for (unsigned n = 0; first <= last && n < VOLUME_PLACES; first++, n++)
        if (atomic_load(&v->writing[first % VOLUME_PLACES]))
            return true;
    return false;
}

static void read_done(struct store_io *io, int error)
{
    struct read_wrap *w = container_of(io, struct read_wrap, io);
    struct volume *v = w->pool->volume;

    if (error || !io->length || !writes_under_way(v, w->upper)) {
        answer(w, error);
        return;
    }
    w->post.run = at_home;
    reactor_post(v->resource->home, &w->post);
}

static void begin_read(struct volume *v, struct read_pool *pool, struct store_io *io)
{
    struct read_wrap *w = pool->free;

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

static void start_read(struct volume *v, struct store_io *io)
{
    struct read_pool *pool;

    bool serving = atomic_load_explicit(&v->resource->serving, memory_order_acquire);

    if (!serving || !atomic_load_explicit(&v->readable, memory_order_acquire)) {
        /* A failed disk is an error unless the peer has the data; a Secondary is not asked. */
        if (serving && atomic_load(&v->elsewhere))
            send_home(v, io, 0);
        else
            defer(io, atomic_load(&v->failed) ? -EIO : -EAGAIN);
        return;
    }
    pool = read_pool(v, io->reactor->index);
    if (!pool) {
        defer(io, -ENOMEM);
    } else if (pool->free) {
        begin_read(v, pool, io);
    } else {
        io->post.next = NULL;
        *pool->waiting_end = &io->post;
        pool->waiting_end = &io->post.next;
    }
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
