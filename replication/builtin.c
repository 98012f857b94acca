/* The built-in engine: what its row does on the control thread. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replication/resource.h"
#include "target/base/container.h"

static void resource_free(struct resource *r)
{
    for (unsigned i = 0; i < r->volume_count; i++)
        if (r->volumes[i])
            free(r->volumes[i]->resync.packet);
    free(r->public.volumes);
    free(r->sync_memory);
    digest_free(r->digest);
    mirror_free(r);
    write_path_free(r);
    link_free(r);
    for (unsigned i = 0; i < r->volume_count; i++)
        volume_free(r->volumes[i]);
    payload_pool_free(r->pool);
    pthread_mutex_destroy(&r->public.lock);
    free(r);
}

/* Before a disk is touched: a mistake is refused, whatever becomes of the disks. */
static int check_volumes(const struct resource *r, char *why)
{
    const struct config *config = r->public.options.config;
    unsigned count = 0;

    for (unsigned i = 0; i < config->lu_count; i++) {
        const struct config_lu *lu = &config->lus[i];

        if (lu->group_index != r->public.options.group_index)
            continue;
        count++;
        if (lu->volume >= RESOURCE_VOLUMES) { /* they count from 0 in each group */
            snprintf(why, 256, "group \"%s\": expected at most %d logical units", r->group->name,
                     RESOURCE_VOLUMES);
            return -E2BIG;
        }
        if (lu->store != STORE_KIND_FILE) {
            snprintf(why, 256, "LU \"%s\": only files and block devices can be replicated",
                     lu->name);
            return -EINVAL;
        }
    }
    if (!count) {
        snprintf(why, 256, "group \"%s\" has no logical unit", r->group->name);
        return -EINVAL;
    }
    return 0;
}

static int open_volumes(struct resource *r, char *why)
{
    const struct config *config = r->public.options.config;

    for (unsigned i = 0; i < config->lu_count; i++) {
        const struct config_lu *lu = &config->lus[i];
        int rc;

        if (lu->group_index != r->public.options.group_index)
            continue;
        rc = volume_open(r, lu, &r->volumes[r->volume_count], why);
        if (rc)
            return rc;
        r->by_number[lu->volume] = r->volumes[r->volume_count];
        r->volume_count++;
    }
    return 0;
}

static int find_peer(struct resource *r, char *why)
{
    const struct config *config = r->public.options.config;
    unsigned self = config->nodes[config->self].id;
    const struct config_group *group = r->group;

    if (group->drbd_peer.length && group->node_count == 1 && group->nodes[0] == self) {
        r->peer_node = REPLICA_PEER_OUTSIDE;
        return 0;
    }
    if (group->node_count != 2 || (group->nodes[0] != self && group->nodes[1] != self)) {
        snprintf(why, 256, "group \"%s\": expected two nodes, this one among them", group->name);
        return -EINVAL;
    }
    r->peer_node = group->nodes[group->nodes[0] == self];
    return 0;
}

static void start(struct post *post)
{
    resource_start(container_of(post, struct resource, start_post));
}

static int builtin_open(const struct replica_options *options, struct replica **replica, char *why)
{
    struct resource *r = calloc(1, sizeof *r);
    int rc;

    if (!r) {
        snprintf(why, 256, "out of memory");
        return -ENOMEM;
    }
    replica_begin(&r->public, &replica_builtin, options);
    r->home = options->home;
    r->group = options->group;
    r->recorded = options->recorded;
    r->settled = REPLICA_EQUAL;
    qb_list_init(&r->admins);
    qb_list_init(&r->work);
    qb_list_init(&r->unflushed);
    rc = link_init(r);
    if (!rc)
        rc = find_peer(r, why);
    if (!rc)
        rc = link_tls_open(r, why);
    if (!rc)
        rc = check_volumes(r, why);
    if (!rc)
        rc = open_volumes(r, why);
    if (!rc) {
        r->pool = payload_pool_new(RESOURCE_POOL);
        r->digest = digest_new();
        r->public.volumes = calloc(r->volume_count, sizeof *r->public.volumes);
        rc = r->pool && r->digest && r->public.volumes ? 0 : -ENOMEM;
    }
    if (!rc)
        rc = write_path_init(r);
    if (!rc)
        rc = mirror_init(r);
    if (!rc)
        rc = resync_init(r);
    if (rc == -ENOMEM)
        snprintf(why, 256, "out of memory");
    if (!rc)
        rc = connector_listen(r, why);
    if (rc) {
        resource_free(r);
        return rc;
    }
    r->public.status = (struct replica_status){
        .disk = r->volumes[0]->state.disk,
        .peer_disk = r->volumes[0]->state.peer_disk,
        .connection = CONN_UNCONNECTED,
    };
    *replica = &r->public;
    return 0;
}

static void builtin_start(struct replica *replica)
{
    struct resource *r = resource_of(replica);

    r->start_post.run = start;
    reactor_post(r->home, &r->start_post);
}

static void builtin_free(struct replica *replica)
{
    resource_free(resource_of(replica));
}

static struct store *builtin_store(struct replica *replica, unsigned volume)
{
    struct volume *v = resource_volume(resource_of(replica), volume);

    return v ? &v->store : NULL;
}

static struct admin *admin_new(struct replica *replica, enum replica_order kind)
{
    struct admin *a = calloc(1, sizeof *a);

    if (!a)
        return NULL;
    a->resource = resource_of(replica);
    a->kind = kind;
    a->post.run = admin_arrive;
    return a;
}

static void builtin_order(struct replica *replica, enum replica_order kind, bool flag, replica_done *done,
                          void *context)
{
    struct admin *a = admin_new(replica, kind);

    if (!a) {
        if (done)
            done(context, -ENOMEM, "out of memory");
        return;
    }
    a->flag = flag;
    a->done = done;
    a->context = context;
    reactor_post(a->resource->home, &a->post);
}

static void builtin_standing(struct replica *replica, enum replica_standing standing)
{
    struct admin *a = admin_new(replica, ORDER_STANDING);

    if (!a)
        abort(); /* who is the source must not be left to what was said before */
    a->standing = standing;
    reactor_post(a->resource->home, &a->post);
}

void admin_answer(struct post *post)
{
    struct admin *a = container_of(post, struct admin, post);

    /* All the replica's posts to this thread came before this one. */
    if (a->kind == ORDER_CLOSE && !a->flag)
        resource_free(a->resource);
    if (a->done)
        a->done(a->context, a->error, a->why);
    free(a);
}

const struct replica_engine replica_builtin = {
    .name = "builtin",
    .hands_over = true,
    .open = builtin_open,
    .start = builtin_start,
    .store = builtin_store,
    .reload = link_tls_reload,
    .free = builtin_free,
    .order = builtin_order,
    .standing = builtin_standing,
};
