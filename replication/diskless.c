/* The engine of a replica of which a disk could not be attached at the start: its node has no copy until halund is started
 * anew, serves its other groups, and forwards what is asked of this one's units to the owner. No link is made: to the peer
 * this node is one that is away. */
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

static void diskless_free(struct diskless *d)
{
    free(d->public.volumes);
    pthread_mutex_destroy(&d->public.lock);
    free(d);
}

static int add_volume(struct diskless *d, const struct config_lu *lu, char *why)
{
    if (!lu->size) {
        snprintf(why, 256, "%s; without it the size of LU \"%s\" has to be configured", d->public.status.why,
                 lu->name);
        return -EINVAL;
    }
    d->stores[lu->volume] = (struct store){
        .operations = &diskless_operations,
        .size = lu->size,
        .block_size = lu->block_size,
        .volatile_cache = true,
    };
    d->public.volumes[d->public.volume_count++] = (struct replica_volume_status){
        .number = lu->volume,
        .disk = DISK_DISKLESS,
        .peer_disk = DISK_UNKNOWN,
        .connection = CONN_STANDALONE,
        .size = lu->size,
    };
    return 0;
}

int replica_diskless_open(const struct replica_options *options, struct replica **replica, char *why)
{
    struct diskless *d = calloc(1, sizeof *d);
    int rc;

    if (d)
        d->public.volumes = calloc(RESOURCE_VOLUMES, sizeof *d->public.volumes);
    if (!d || !d->public.volumes) {
        free(d);
        snprintf(why, 256, "out of memory");
        return -ENOMEM;
    }
    replica_begin(&d->public, &replica_diskless, options);
    d->public.status = (struct replica_status){
        .disk = DISK_DISKLESS,
        .peer_disk = DISK_UNKNOWN,
        .connection = CONN_STANDALONE,
    };
    snprintf(d->public.status.why, sizeof d->public.status.why, "%s", why);
    for (unsigned i = 0; i < options->config->lu_count; i++) {
        const struct config_lu *lu = &options->config->lus[i];

        rc = lu->group_index == options->group_index ? add_volume(d, lu, why) : 0;
        if (rc) {
            diskless_free(d);
            return rc;
        }
    }
    qb_log(LOG_ERR, "group \"%s\": %s: no copy of it is here until halund is started with that disk",
           options->group->name, d->public.status.why);
    *replica = &d->public;
    return 0;
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
    struct diskless *d = container_of(replica, struct diskless, public);
    bool refuse = needs_copy(order);
    char why[128];

    snprintf(why, sizeof why, "%s", refuse ? d->public.status.why : "");
    if (order == ORDER_CLOSE)
        diskless_free(d);
    if (done)
        done(context, refuse ? -EIO : 0, why);
}

const struct replica_engine replica_diskless = {
    .name = "diskless",
    .hands_over = true,
    .store = diskless_store,
    .order = diskless_order,
};
