/* The logical units of this daemon: stores and replicas opened from the configuration. */
#include <errno.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/threads.h"
#include "target/daemon/attach.h"
#include "target/daemon/daemon.h"
#include "target/daemon/kept.h"
#include "target/daemon/resize.h"
#include "target/device/device.h"
#include "target/nexus/lane.h"
#include "target/nexus/lane_change.h"
#include "target/nexus/meter.h"
#include "target/store/store.h"

/* "%n" in a path stands for the node's name, so that one file serves all nodes. */
static int expand_path(const char *path, const char *node, char *out, size_t size)
{
    size_t used = 0;

    for (; *path; path++) {
        const char *piece = path;
        size_t length = 1;
        if (path[0] == '%' && path[1] == 'n') {
            piece = node;
            length = strlen(node);
            path++;
        }
        if (used + length >= size)
            return -ENAMETOOLONG;
        memcpy(out + used, piece, length);
        used += length;
    }
    out[used] = '\0';
    return 0;
}

/* This node has a copy of a group that is replicated: its units stand on stores of the replica. */
static bool replicated_here(const struct daemon *daemon, const struct config_group *group)
{
    for (unsigned i = 0; i < group->node_count; i++)
        if (group->nodes[i] == daemon->self)
            return group->replication != REPLICATION_NONE;
    return false;
}

static int open_plain(struct daemon *daemon, const struct config_lu *config, struct store **store,
                      char *why)
{
    char path[512];
    struct store_options options = {
        .path = path,
        .size = config->size,
        .block_size = config->block_size,
        .direct = config->direct,
        .read_only = config->read_only,
    };
    int error = expand_path(config->path, daemon->config->nodes[daemon->config->self].name, path,
                            sizeof path);

    if (error) {
        snprintf(why, 256, "path %s is too long", config->path);
        return error;
    }
    /* A node without a copy never executes: what has this path here is something else. */
    if (daemon->config->groups[config->group_index].replication != REPLICATION_NONE) {
        if (!config->size) {
            snprintf(why, 256, "expected a size in the configuration, as this node has no copy that tells it");
            return -EINVAL;
        }
        return null_store_open(&options, store, why);
    }
    switch (config->store) {
    case STORE_KIND_MEMORY:
        return memory_store_open(&options, store, why);
    case STORE_KIND_NULL:
        return null_store_open(&options, store, why);
    case STORE_KIND_FILE:
        break;
    }
    return file_store_open(&options, store, why);
}

static int open_unit(struct daemon *daemon, unsigned index, char *why)
{
    const struct config_lu *config = &daemon->config->lus[index];
    struct group *group = &daemon->groups[config->group_index];
    struct lu *lu = device_new();
    char sentence[256] = "out of memory";
    int error = -ENOMEM;

    if (!lu)
        goto failed;
    lu->index = index;
    lu->group_index = config->group_index;
    lu->config = *config;
    lu->block_size = config->block_size;
    device_identify(lu);
    lanes_init_lu(lu, config->group_index);
    if (group->replica) {
        lu->store = replica_store(group->replica, config->volume);
    } else {
        error = open_plain(daemon, config, &lu->store, sentence);
        if (error)
            goto failed;
    }
    atomic_init(&lu->blocks, lu->store->size / lu->block_size);
    device_lus[index] = lu;
    if (device_lu_count <= index)
        device_lu_count = index + 1;
    return 0;
failed:
    snprintf(why, 512, "lu \"%s\": %s", config->name, sentence);
    free(lu);
    return error;
}

void units_stand_on(struct group *group, struct replica *replica)
{
    group->replica = replica;
    for (unsigned i = 0; i < device_lu_count; i++) {
        struct lu *lu = device_lus[i];

        if (!lu || lu->group_index != group->index)
            continue;
        lu->store = replica_store(replica, lu->config.volume);
        resize_apply(i, atomic_load(&lu->blocks)); /* it may have grown since it was configured */
    }
}

/* A disk that is not here may come back without what was in its cache. */
static void forget_lost(struct group *group, const struct config *config)
{
    struct replica_status status;

    replica_get_status(group->replica, &status);
    if (status.disk != DISK_DISKLESS || !group->kept)
        return;
    group->kept = false;
    kept_note(config->state_dir, config->groups[group->index].name, KEPT_NOT);
}

static int open_group(struct daemon *daemon, unsigned index, char *why)
{
    const struct config_group *config = &daemon->config->groups[index];
    struct replica_options options = {
        .config = daemon->config,
        .group = config,
        .group_index = index,
        .home = threads.reactors[index % threads.reactor_count],
        .control = &threads.control,
        .loop = daemon->loop,
        .callbacks = &groups_replica_callbacks,
        .recorded = !config->drbd_peer.length,
        .kept = kept_take(daemon->config->state_dir, config->name),
        .lease = lane_lease_valid,
    };
    char sentence[256] = "";
    int error;

    if (!replicated_here(daemon, config))
        return 0;
    daemon->groups[index].kept = options.kept;
    error = replica_open(&options, &daemon->groups[index].replica, sentence);
    if (error)
        snprintf(why, 512, "group \"%s\": %s", config->name, sentence);
    else
        forget_lost(&daemon->groups[index], daemon->config);
    return error;
}

int units_open(struct daemon *daemon, char *why)
{
    int error = 0;

    for (unsigned i = 0; i < daemon->config->group_count && !error; i++)
        error = open_group(daemon, i, why);
    for (unsigned i = 0; i < daemon->config->lu_count && !error; i++)
        error = open_unit(daemon, i, why);
    if (!error)
        meters_configure(daemon->config);
    return error;
}

static struct {
    struct daemon *daemon;
    unsigned waiting;
    void (*done)(struct daemon *daemon);
} closing;

static void one_closed(void)
{
    struct daemon *daemon = closing.daemon;

    if (--closing.waiting)
        return;
    for (unsigned i = 0; i < device_lu_count; i++) {
        struct lu *lu = device_lus[i];
        if (lu && !replicated_here(daemon, &daemon->config->groups[lu->group_index]))
            store_close(lu->store);
        if (lu)
            free(lu->meter);
        free(lu);
        device_lus[i] = NULL;
    }
    closing.done(daemon);
}

/* What it has is on stable storage: it is complete in any later boot if it is now. */
static void closed(void *context, int error, const char *why)
{
    const struct group *group = context;
    const struct config *config = closing.daemon->config;

    if (error)
        qb_log(LOG_ERR, "a replica did not detach cleanly: %s", why);
    else if (group->kept)
        kept_note(config->state_dir, config->groups[group->index].name, KEPT_FLUSHED);
    one_closed();
}

static void close_all(void)
{
    struct daemon *daemon = closing.daemon;

    closing.waiting = 1;
    for (unsigned i = 0; i < daemon->config->group_count; i++) {
        struct replica *replica = daemon->groups[i].replica;
        if (replica) {
            daemon->groups[i].replica = NULL;
            closing.waiting++;
            replica_close(replica, closed, &daemon->groups[i]);
        }
    }
    one_closed();
}

void units_close(struct daemon *daemon, void (*done)(struct daemon *daemon))
{
    closing.daemon = daemon;
    closing.done = done;
    attach_settle(close_all);
}
