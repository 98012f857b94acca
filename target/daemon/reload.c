#include "target/daemon/reload.h"

#include <errno.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/plan.h"
#include "target/base/container.h"
#include "target/base/threads.h"
#include "target/daemon/consult.h"
#include "target/daemon/daemon.h"
#include "target/daemon/log.h"
#include "target/iscsi/iscsi.h"
#include "target/nexus/meter.h"
#include "target/nexus/nexus_table.h"

/* A question about what is in use, not about what could be. */
static const uint64_t IN_USE = 1ull << 63;

/* The configuration that the daemon started with stays as long as the daemon: cluster, peers and replicas
 * point into it, and what they use of it cannot change live. */
static const struct config *first;

/* The one that could be installed: loaded, checked against the one in use. */
static struct {
    struct config *config; /* NULL: none */
    uint8_t digest[32];
} prepared;

static char alarm_text[200];

/* The installation under way. */
static struct {
    struct config *old; /* NULL: none */
    struct post post;   /* from a reactor: the portals let go of the old one */
    unsigned waiting;
    void (*done)(void *context);
    void *context;
} installing;

/* The reload that this node was asked for. */
static struct {
    reload_end *end; /* NULL: none */
    void *context;
    json_t *actions;
    struct cluster_request request;
} asked;

static struct consult opinions;

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

/* The replicas' TLS files, that may have changed where the configuration did not. */
static int reload_replicas(struct daemon *daemon, bool apply, char *why)
{
    for (unsigned i = 0; i < daemon->config->group_count; i++) {
        struct replica *replica = daemon->groups[i].replica;
        char sentence[256];
        int rc = replica ? replica_reload(replica, apply, sentence) : 0;

        if (rc) {
            snprintf(why, 512, "group \"%s\": %s", daemon->config->groups[i].name, sentence);
            return rc;
        }
    }
    return 0;
}

/* Loads the file, and keeps it if the difference can be applied. Returns 0, or -errno with a sentence in `why`
 * (512 bytes). */
static int prepare(struct daemon *daemon, json_t *actions, char *why)
{
    struct planned planned = {.old = daemon->config, .actions = actions};
    struct config_error error;
    struct config *config;
    int rc = config_load(daemon->config_path, daemon->node_name, &config, &error);

    if (rc) {
        snprintf(why, 512, "%s", error.text);
        return rc;
    }
    planned.new = config;
    rc = config_plan(daemon->config, config, daemon->config_path, look_at, &planned, &error);
    if (rc) {
        snprintf(why, 512, "%s", error.text);
    } else if (planned.refused[0]) {
        snprintf(why, 512, "%s", planned.refused);
        rc = -EINVAL;
    } else {
        rc = reload_replicas(daemon, false, why);
    }
    if (rc) {
        config_free(config);
        return rc;
    }
    config_free(prepared.config);
    prepared.config = config;
    config_view_digest(config, prepared.digest);
    return 0;
}

/* ---- installing ---- */

static void let_go(void *context)
{
    if (--installing.waiting)
        return;
    if (installing.old != first)
        config_free(installing.old);
    installing.old = NULL;
    alarm_text[0] = '\0';
    qb_log(LOG_NOTICE, "the new configuration is in use");
    installing.done(installing.context);
}

static void at_control_let_go(struct post *post)
{
    let_go(NULL);
}

static void portals_let_go(void *context)
{
    installing.post.run = at_control_let_go;
    control_post(&installing.post);
}

static int install(struct daemon *daemon, void (*done)(void *context), void *context, char *why)
{
    struct config *config = prepared.config;
    int rc;

    if (!first)
        first = daemon->config;
    if (reload_replicas(daemon, true, why))
        qb_log(LOG_ERR, "%s: the old certificate stays", why);
    rc = iscsi_server_reload(daemon->iscsi, config, portals_let_go, NULL, why);
    if (rc)
        return rc;
    prepared.config = NULL;
    installing.old = daemon->config;
    installing.waiting = 2;
    installing.done = done;
    installing.context = context;
    daemon->config = config;
    meters_configure(config);
    log_set_priority(config->log_priority);
    handlers_set_readers(config->control_readers);
    nexus_table_reload(config, let_go, NULL);
    return 0;
}

void reload_agreed(struct daemon *daemon, const uint8_t digest[32], void (*done)(void *context),
                   void *context)
{
    char why[512] = "another one is being installed";
    int rc = installing.old ? -EBUSY : 0;

    if (daemon->stopping && !daemon->iscsi) { /* no session is left, and the next start reads the file */
        done(context);
        return;
    }
    if (!rc && (!prepared.config || memcmp(prepared.digest, digest, sizeof prepared.digest)))
        rc = prepare(daemon, NULL, why);
    if (!rc && memcmp(prepared.digest, digest, sizeof prepared.digest)) {
        snprintf(why, sizeof why, "%s is not what was agreed", daemon->config_path);
        rc = -EINVAL;
    }
    if (!rc)
        rc = install(daemon, done, context, why);
    if (rc) {
        qb_log(LOG_CRIT, "the agreed configuration cannot be used here, leaving at once: %s", why);
        daemon_stop(daemon, 3);
    }
}

/* ---- asking ---- */

static void end(int error, const char *why)
{
    reload_end *function = asked.end;
    json_t *actions = asked.actions;

    asked.end = NULL;
    asked.actions = NULL;
    if (error)
        qb_log(LOG_ERR, "reload refused, the old configuration stays: %s", why);
    function(asked.context, error, why, error ? NULL : actions);
    json_decref(actions);
}

static void committed(struct cluster_request *request, enum scsi_reason reason, uint8_t field)
{
    if (reason == REASON_GOOD)
        end(0, "");
    else
        end(-ETIMEDOUT, "the cluster could not agree in time; it may still be applied");
}

static void consulted(void *context, int error, const char *why)
{
    struct daemon *daemon = context;

    if (error) {
        end(error, why);
        return;
    }
    memset(&asked.request, 0, sizeof asked.request);
    asked.request.op.kind = SHARED_OP_CONFIGURATION;
    asked.request.op.node = daemon->self;
    memcpy(asked.request.op.digest, prepared.digest, sizeof asked.request.op.digest);
    asked.request.answer = committed;
    cluster_submit(daemon->cluster, &asked.request);
}

static void installed_here(void *context)
{
    end(0, "");
}

void daemon_reload(struct daemon *daemon, reload_end *function, void *context)
{
    char why[512];
    int rc;

    if (asked.end || installing.old) {
        function(context, -EBUSY, "a reload is still under way", NULL);
        return;
    }
    asked.end = function;
    asked.context = context;
    asked.actions = json_array();
    rc = prepare(daemon, asked.actions, why);
    if (rc) {
        end(rc, why);
    } else if (!daemon->view.serving) {
        end(-EAGAIN, "the cluster does not serve");
    } else if (daemon->view.wire < 2) {
        qb_log(LOG_WARNING, "reload of this node alone: a member speaks wire version 1, it has to be told itself");
        rc = install(daemon, installed_here, NULL, why);
        if (rc)
            end(rc, why);
    } else {
        consult_ask(&opinions, prepared.digest, consulted, daemon);
    }
}

static bool in_use(const struct daemon *daemon, const uint8_t digest[32])
{
    uint8_t own[32];

    config_view_digest(daemon->config, own);
    return !memcmp(own, digest, sizeof own);
}

void reload_compare(struct daemon *daemon)
{
    uint8_t digest[32];

    config_view_digest(daemon->config, digest);
    cluster_consult(daemon->cluster, IN_USE, digest);
}

const char *reload_alarm(void)
{
    return alarm_text;
}

void reload_consulted(struct daemon *daemon, unsigned node, uint64_t number, const uint8_t digest[32])
{
    char why[512] = "";
    int rc = 0;

    if (number & IN_USE) {
        cluster_give_opinion(daemon->cluster, node, number, in_use(daemon, digest), "");
        return;
    }
    if (installing.old || (asked.end && node != daemon->self)) {
        snprintf(why, sizeof why, "another reload is under way");
        rc = -EBUSY;
    }
    if (!rc && node != daemon->self)
        rc = prepare(daemon, NULL, why);
    if (!rc && (!prepared.config || memcmp(prepared.digest, digest, sizeof prepared.digest))) {
        snprintf(why, sizeof why, "its %.100s has other hosts, LUN maps or targets", daemon->config_path);
        rc = -EINVAL;
    }
    cluster_give_opinion(daemon->cluster, node, number, !rc, why);
}

void reload_opinion(struct daemon *daemon, unsigned node, uint64_t number, bool good, const char *why)
{
    if (number & IN_USE && !good) {
        snprintf(alarm_text, sizeof alarm_text,
                 "%s shows initiators other targets, hosts or LUN maps than this node", nodes_name(node));
        qb_log(LOG_CRIT, "%s: make the files equal and run halunctl reload", alarm_text);
    }
    consult_opinion(&opinions, node, number, good, why);
}

void reload_done(struct daemon *daemon)
{
    config_free(prepared.config);
    if (first && first != daemon->config)
        config_free((struct config *)first);
}
