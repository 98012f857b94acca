/* The engine of a replica of which a disk could not be attached: its node has no copy until one is, serves its other groups,
 * and forwards what is asked of this one's units to the owner. No link is made: to the peer this node is one that is away. */
#include "replication/diskless.h"

#include <errno.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>

#include "replication/replica_engine.h"
#include "replication/resource.h"
#include "target/base/container.h"

struct diskless {
    struct replica public; /* status.why is why there is none, and stays */
    struct store stores[RESOURCE_VOLUMES]; /* by volume; of block size 0: there is none */
};

static void refused(struct post *post)
{
    struct store_io *io = container_of(post, struct store_io, post);

    io->done(io, -EIO);
}

static void diskless_submit(struct store *store, struct store_io *io)
{
    io->post.run = refused;
    reactor_defer(io->reactor, &io->post);
}

/* The other node's copy may have grown: what is agreed holds. */
static uint64_t diskless_room(struct store *store)
{
    return UINT64_MAX / store->block_size * store->block_size;
}

static const struct store_operations diskless_operations = {
    .name = "diskless",
    .submit = diskless_submit,
    .room = diskless_room,
};

static void diskless_free(struct replica *replica)
{
    struct diskless *d = container_of(replica, struct diskless, public);

    free(d->public.volumes);
    pthread_mutex_destroy(&d->public.lock);
    free(d);
}

static struct diskless *diskless_new(const struct replica_options *options, const char *why)
{
    struct diskless *d = calloc(1, sizeof *d);

    if (d)
        d->public.volumes = calloc(RESOURCE_VOLUMES, sizeof *d->public.volumes);
    if (!d || !d->public.volumes) {
        free(d);
        return NULL;
    }
    replica_begin(&d->public, &replica_diskless, options);
    d->public.status = (struct replica_status){
        .disk = DISK_DISKLESS,
        .peer_disk = DISK_UNKNOWN,
        .connection = CONN_STANDALONE,
    };
    snprintf(d->public.status.why, sizeof d->public.status.why, "%s", why);
    return d;
}

static void add_volume(struct diskless *d, const struct config_lu *lu, uint64_t size)
{
    d->stores[lu->volume] = (struct store){
        .operations = &diskless_operations,
        .size = size,
        .block_size = lu->block_size,
        .volatile_cache = true,
    };
    d->public.volumes[d->public.volume_count++] = (struct replica_volume_status){
        .number = lu->volume,
        .disk = DISK_DISKLESS,
        .peer_disk = DISK_UNKNOWN,
        .connection = CONN_STANDALONE,
        .size = size,
    };
}

/* The next unit of the group from *at on, which is left behind it; NULL: there is none. */
static const struct config_lu *next_lu(const struct replica_options *options, unsigned *at)
{
    while (*at < options->config->lu_count) {
        const struct config_lu *lu = &options->config->lus[(*at)++];

        if (lu->group_index == options->group_index)
            return lu;
    }
    return NULL;
}

int replica_diskless_open(const struct replica_options *options, struct replica **replica, char *why)
{
    struct diskless *d = diskless_new(options, why);
    const struct config_lu *lu;
    unsigned at = 0;

    if (!d) {
        snprintf(why, 256, "out of memory");
        return -ENOMEM;
    }
    while ((lu = next_lu(options, &at))) {
        if (!lu->size) {
            snprintf(why, 256, "%s; without it the size of LU \"%s\" has to be configured", d->public.status.why,
                     lu->name);
            diskless_free(&d->public);
            return -EINVAL;
        }
        add_volume(d, lu, lu->size);
    }
    qb_log(LOG_ERR, "group \"%s\": %s: no copy of it is here until it is attached (halunctl replica attach)",
           options->group->name, d->public.status.why);
    *replica = &d->public;
    return 0;
}

struct replica *replica_stand_in(const struct replica *replica)
{
    const struct replica_options *options = &replica->options;
    struct replica_status status;
    const struct config_lu *lu;
    struct diskless *d;
    unsigned at = 0;

    replica_get_status(replica, &status);
    d = diskless_new(options, status.disk == DISK_DISKLESS ? status.why : "the disk has failed");
    while (d && (lu = next_lu(options, &at)))
        add_volume(d, lu, replica_store((struct replica *)replica, lu->volume)->size);
    return d ? &d->public : NULL;
}

void replica_still_diskless(struct replica *stand_in, const char *why)
{
    pthread_mutex_lock(&stand_in->lock);
    snprintf(stand_in->status.why, sizeof stand_in->status.why, "%s", why);
    pthread_mutex_unlock(&stand_in->lock);
}

static struct store *diskless_store(struct replica *replica, unsigned volume)
{
    struct diskless *d = container_of(replica, struct diskless, public);

    return volume < RESOURCE_VOLUMES && d->stores[volume].block_size ? &d->stores[volume] : NULL;
}

/* What is told to the copy is heard; what only a copy can do is refused. */
static bool needs_copy(enum replica_order order)
{
    switch (order) {
    case ORDER_PROMOTE:
    case ORDER_NEW_CURRENT:
    case ORDER_FORCE_CURRENT:
    case ORDER_CONNECT:
    case ORDER_VERIFY:
    case ORDER_INVALIDATE:
    case ORDER_INVALIDATE_PEER:
    case ORDER_NEW_GENERATION:
    case ORDER_RESIZE:
        return true;
    default:
        return false;
    }
}

static void diskless_order(struct replica *replica, enum replica_order order, bool flag, replica_done *done,
                           void *context)
{
    bool refuse = needs_copy(order);
    struct replica_status status;

    replica_get_status(replica, &status);
    if (order == ORDER_CLOSE && !flag)
        diskless_free(replica);
    if (done)
        done(context, refuse ? -EIO : 0, refuse ? status.why : "");
}

const struct replica_engine replica_diskless = {
    .name = "diskless",
    .hands_over = true,
    .store = diskless_store,
    .free = diskless_free,
    .order = diskless_order,
};
