/* A group's TLS files: read when the replica is opened, and again by a reload. Control thread. */
#include <errno.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "replication/resource.h"
#include "target/base/container.h"

static const char *node_name(const struct config *config, unsigned id)
{
    for (unsigned i = 0; i < config->node_count; i++)
        if (config->nodes[i].id == id)
            return config->nodes[i].name;
    return "";
}

static int load(const struct resource *r, struct tls_context **context, char *why)
{
    const struct config *config = r->public.options.config;
    struct tls_files files = {
        .certificate = r->group->tls_certificate,
        .key = r->group->tls_key,
        .ca = r->group->tls_ca,
    };

    return tls_context_load(&files, config->nodes[config->self].name, context, why);
}

static void warn_of_end(const struct resource *r, const struct tls_context *context)
{
    int64_t left = tls_context_expires(context) - time(NULL);

    if (left < REPLICA_TLS_WARN_DAYS * 86400)
        qb_log(LOG_WARNING, "group \"%s\": %s %s", r->group->name, r->group->tls_certificate,
               left < 0 ? "has expired" : "will expire within 30 days");
}

int link_tls_open(struct resource *r, char *why)
{
    int rc;

    if (!r->group->tls)
        return 0;
    snprintf(r->link.peer_name, sizeof r->link.peer_name, "%s",
             node_name(r->public.options.config, r->peer_node));
    rc = load(r, &r->link.tls, why);
    if (!rc)
        warn_of_end(r, r->link.tls);
    return rc;
}

struct change {
    struct post post;
    struct resource *resource;
    struct tls_context *context;
};

/* Home reactor. A session keeps what it needs of the old context. */
static void exchange(struct post *post)
{
    struct change *change = container_of(post, struct change, post);
    struct resource *r = change->resource;

    resource_enter(r);
    tls_context_free(r->link.tls);
    r->link.tls = change->context;
    r->publish = true;
    resource_leave(r);
    free(change);
}

int link_tls_reload(struct replica *replica, bool apply, char *why)
{
    struct resource *r = resource_of(replica);
    struct change *change;
    struct tls_context *context;
    int rc = r->group->tls ? load(r, &context, why) : 0;

    if (rc || !r->group->tls)
        return rc;
    change = apply ? calloc(1, sizeof *change) : NULL;
    if (!change) {
        tls_context_free(context);
        snprintf(why, 256, "out of memory");
        return apply ? -ENOMEM : 0;
    }
    warn_of_end(r, context);
    change->resource = r;
    change->context = context;
    change->post.run = exchange;
    reactor_post(r->home, &change->post);
    return 0;
}
