#include "replication/drbd_store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "target/base/container.h"
#include "target/base/threads.h"

enum { BATCH = 256 }; /* wraps that a reactor gets at once */

/* An I/O on its way to the device, so that its end is seen here. */
struct wrap {
    struct wrap *next;
    struct lane *lane;
    struct store_io *upper;
    struct store_io io;
};

struct batch {
    struct batch *next;
    struct wrap wraps[BATCH];
};

/* What one reactor has. */
struct lane {
    struct drbd_store *store;
    struct store *device; /* NULL: closed */
    struct wrap *free;
    struct batch *batches;
    unsigned running;
    bool closing;     /* told when nothing runs any more */
    struct post post; /* from and to the control thread */
} __attribute__((aligned(64)));

struct drbd_store {
    struct store store;
    struct mailbox *control;
    struct store *device;
    unsigned waiting; /* reactors that have not answered */
    bool opening;
    void (*done)(void *context);
    void *context;
    unsigned lane_count;
    struct lane lanes[];
};

/* ---- I/O: on a reactor ---- */

static void deliver(struct post *post)
{
    struct store_io *io = container_of(post, struct store_io, post);

    io->done(io, io->error);
}

static void refuse(struct store_io *io)
{
    io->error = -EAGAIN;
    io->post.run = deliver;
    reactor_defer(io->reactor, &io->post);
}

static void at_control_answered(struct post *post);

static void answer(struct lane *lane)
{
    lane->post.run = at_control_answered;
    mailbox_post(lane->store->control, &lane->post);
}

static void wrapped_done(struct store_io *io, int error)
{
    struct wrap *wrap = container_of(io, struct wrap, io);
    struct lane *lane = wrap->lane;
    struct store_io *upper = wrap->upper;

    wrap->next = lane->free;
    lane->free = wrap;
    lane->running--;
    upper->done(upper, error);
    if (lane->closing && !lane->running) {
        lane->closing = false;
        answer(lane);
    }
}

static struct wrap *take_wrap(struct lane *lane)
{
    struct wrap *wrap = lane->free;
    struct batch *batch;

    if (wrap) {
        lane->free = wrap->next;
        return wrap;
    }
    batch = calloc(1, sizeof *batch); /* the first I/O here, or more at once than ever before */
    if (!batch)
        return NULL;
    batch->next = lane->batches;
    lane->batches = batch;
    for (unsigned i = 1; i < BATCH; i++) {
        batch->wraps[i].lane = lane;
        batch->wraps[i].next = lane->free;
        lane->free = &batch->wraps[i];
    }
    batch->wraps[0].lane = lane;
    return &batch->wraps[0];
}

static void drbd_submit(struct store *store, struct store_io *io)
{
    struct drbd_store *s = container_of(store, struct drbd_store, store);
    struct lane *lane = &s->lanes[io->reactor->index];
    struct wrap *wrap = lane->device ? take_wrap(lane) : NULL;

    if (!wrap) {
        refuse(io);
        return;
    }
    wrap->upper = io;
    wrap->io = (struct store_io){
        .operation = io->operation,
        .flags = io->flags,
        .offset = io->offset,
        .length = io->length,
        .iov = io->iov,
        .iov_count = io->iov_count,
        .done = wrapped_done,
    };
    lane->running++;
    store_submit(lane->device, &wrap->io);
}

static void at_reactor_open(struct post *post)
{
    struct lane *lane = container_of(post, struct lane, post);

    lane->device = lane->store->device;
    answer(lane);
}

static void at_reactor_close(struct post *post)
{
    struct lane *lane = container_of(post, struct lane, post);

    lane->device = NULL;
    lane->closing = lane->running;
    if (!lane->closing)
        answer(lane);
}

/* ---- control thread ---- */

static void drbd_store_nothing(struct store *store)
{
    /* The replica owns it. */
}

/* While it is closed nobody can look: what the cluster has agreed on is believed, and opening checks it. */
static uint64_t drbd_room(struct store *store)
{
    const struct drbd_store *s = container_of(store, struct drbd_store, store);

    return s->device ? store_room(s->device) : UINT64_MAX - UINT64_MAX % store->block_size;
}

bool drbd_store_grow(struct drbd_store *s)
{
    uint64_t room = store_room(s->device);

    if (room <= s->store.size)
        return false;
    s->device->size = room; /* first: it is what bounds I/O */
    s->store.size = room;
    return true;
}

static const struct store_operations drbd_store_operations = {
    .name = "drbd",
    .submit = drbd_submit,
    .room = drbd_room,
    .close = drbd_store_nothing,
};

struct drbd_store *drbd_store_new(const struct config_lu *lu, struct mailbox *control)
{
    size_t size = sizeof(struct drbd_store) + threads.reactor_count * sizeof(struct lane);
    struct drbd_store *s = aligned_alloc(64, (size + 63) / 64 * 64);

    if (!s)
        return NULL;
    *s = (struct drbd_store){
        .store =
            {
                .operations = &drbd_store_operations,
                .size = lu->size,
                .block_size = lu->block_size,
                .read_only = lu->read_only,
                .volatile_cache = true,
                .can_unmap = lu->thin,
            },
        .control = control,
        .lane_count = threads.reactor_count,
    };
    for (unsigned i = 0; i < s->lane_count; i++)
        s->lanes[i] = (struct lane){.store = s};
    return s;
}

struct store *drbd_store_of(struct drbd_store *s)
{
    return &s->store;
}

static void all_answered(struct drbd_store *s)
{
    if (!s->opening) {
        store_close(s->device);
        s->device = NULL;
    }
    s->done(s->context);
}

static void at_control_answered(struct post *post)
{
    struct drbd_store *s = container_of(post, struct lane, post)->store;

    if (!--s->waiting)
        all_answered(s);
}

static void tell_all(struct drbd_store *s, void (*run)(struct post *), void (*done)(void *), void *context)
{
    assert(!s->waiting);
    s->done = done;
    s->context = context;
    s->waiting = s->lane_count;
    for (unsigned i = 0; i < s->lane_count; i++) {
        s->lanes[i].post.run = run;
        reactor_post(threads.reactors[i], &s->lanes[i].post);
    }
}

void drbd_store_open(struct drbd_store *s, struct store *device, void (*done)(void *), void *context)
{
    assert(!s->device);
    if (device->size < s->store.size) /* agreed while it was being opened; beyond its end the kernel says so */
        device->size = s->store.size;
    s->device = device;
    s->opening = true;
    tell_all(s, at_reactor_open, done, context);
}

void drbd_store_close(struct drbd_store *s, void (*done)(void *), void *context)
{
    if (!s->device) {
        done(context);
        return;
    }
    s->opening = false;
    tell_all(s, at_reactor_close, done, context);
}

bool drbd_store_is_open(const struct drbd_store *s)
{
    return s->device;
}

void drbd_store_free(struct drbd_store *s)
{
    if (!s)
        return;
    assert(!s->device && !s->waiting);
    for (unsigned i = 0; i < s->lane_count; i++)
        while (s->lanes[i].batches) {
            struct batch *batch = s->lanes[i].batches;

            s->lanes[i].batches = batch->next;
            free(batch);
        }
    free(s);
}
