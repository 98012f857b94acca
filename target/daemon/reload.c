#include "target/daemon/reload.h"

#include <errno.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/plan.h"
#include "target/base/container.h"
#include "target/base/threads.h"
#include "target/daemon/daemon.h"
#include "target/daemon/log.h"
#include "target/iscsi/iscsi.h"
#include "target/nexus/meter.h"
#include "target/nexus/nexus_table.h"

/* The configuration that the daemon started with stays as long as the daemon: cluster, peers and replicas
 * point into it, and what they use of it cannot change live. */
static const struct config *first;

static struct {
    struct config *old;
    struct post post; /* from a reactor: the portals let go of the old one */
    unsigned waiting;
} reload;

static void let_go(void *context)
{
    if (--reload.waiting)
        return;
    if (reload.old != first)
        config_free(reload.old);
    reload.old = NULL;
    qb_log(LOG_NOTICE, "the new configuration is in use");
}

static void at_control_let_go(struct post *post)
{
    let_go(NULL);
}

static void portals_let_go(void *context)
{
    reload.post.run = at_control_let_go;
    control_post(&reload.post);
}

struct planned {
    const struct config *old, *new;
    char refused[256];
    json_t *actions;
};

static void look_at(void *context, const struct plan_action *action)
{
    struct planned *planned = context;
    char text[200];

    plan_describe(action, planned->old, planned->new, text, sizeof text);
    /* Units, groups and nodes are part of the agreed state: its members change with a restart of all. */
    if (action->kind != PLAN_CHANGE && !planned->refused[0] &&
        (action->block == BLOCK_LU || action->block == BLOCK_GROUP ||
         action->block == BLOCK_NODE))
        snprintf(planned->refused, sizeof planned->refused,
                 "%s: not while running; restart halund on all nodes", text);
    qb_log(LOG_INFO, "reload: %s", text);
    if (planned->actions)
        json_array_append_new(planned->actions, json_string(text));
}

int daemon_reload(struct daemon *daemon, json_t *actions, char *why)
{
    struct planned planned = {.old = daemon->config, .actions = actions};
    struct config_error error;
    struct config *config;
    int rc;

    if (reload.old) {
        snprintf(why, 512, "a reload is still under way");
        return -EBUSY;
    }
    rc = config_load(daemon->config_path, daemon->node_name, &config, &error);
    if (!rc) {
        planned.new = config;
        rc = config_plan(daemon->config, config, daemon->config_path, look_at, &planned, &error);
    }
    if (rc) {
        snprintf(why, 512, "%s", error.text);
        if (planned.new)
            config_free(config);
        return rc;
    }
    if (planned.refused[0]) {
        snprintf(why, 512, "%s", planned.refused);
        config_free(config);
        return -EINVAL;
    }
    if (!first)
        first = daemon->config;
    reload.old = daemon->config;
    reload.waiting = 2;
    rc = iscsi_server_reload(daemon->iscsi, config, portals_let_go, NULL, why);
    if (rc) {
        reload.old = NULL;
        config_free(config);
        return rc;
    }
    daemon->config = config;
    meters_configure(config);
    log_set_priority(config->log_priority);
    handlers_set_readers(config->control_readers);
    nexus_table_reload(config, let_go, NULL);
    return 0;
}

void reload_done(struct daemon *daemon)
{
    if (first && first != daemon->config)
        config_free((struct config *)first);
}
