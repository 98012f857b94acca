/* A daemon for tests of agents and halunctl: the real configuration parser and control socket, and
 * behind them one node whose groups do what they are told. Takes the options of halund.
 * Environment: FAKE_HALUND_HANG=1: does not end on a request or SIGTERM. */
#include <errno.h>
#include <getopt.h>
#include <qb/qbdefs.h>
#include <qb/qblog.h>
#include <qb/qbloop.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "config/control.h"

struct fake {
    struct config *config;
    qb_loop_t *loop;
    bool owned[LIMIT_GROUPS];
    bool hang;
};

static json_t *make_group(const struct fake *fake, unsigned index)
{
    const char *self = fake->config->nodes[fake->config->self].name;

    return json_pack(
        "{s:s,s:s?,s:[s],s:[s],s:{s:s},s:b,s:n,s:[]}", "name", fake->config->groups[index].name,
        "owner", fake->owned[index] ? self : NULL, "nodes", self, "current", self, "states", self,
        fake->owned[index] ? "optimized" : "transitioning", "explicit", 0, "replication", "lus");
}

static void on_status(struct control_call *call, json_t *arguments)
{
    const struct fake *fake = control_context(call);
    const struct config *config = fake->config;
    json_t *groups = json_array();

    for (unsigned i = 0; i < config->group_count; i++)
        json_array_append_new(groups, make_group(fake, i));
    control_reply(call,
                  json_pack("{s:s,s:s,s:i,s:b,s:{s:s,s:s,s:b,s:b,s:[s],s:s},s:o,s:[],s:i}", "node",
                            config->nodes[config->self].name, "version", HALUN_VERSION, "pid",
                            (int)getpid(), "ready", 1, "cluster", "name", config->cluster_name,
                            "mode", config->corosync ? "corosync" : "single", "serving", 1,
                            "quorate", 1, "members", config->nodes[config->self].name, "waiting",
                            "", "groups", groups, "portals", "sessions", 0));
}

static void on_version(struct control_call *call, json_t *arguments)
{
    control_reply(call, json_pack("{s:s,s:i}", "version", HALUN_VERSION, "pid", (int)getpid()));
}

static void set_role(struct control_call *call, json_t *arguments, bool owned)
{
    struct fake *fake = control_context(call);
    const char *name = json_string_value(json_object_get(arguments, "group"));

    for (unsigned i = 0; i < fake->config->group_count; i++)
        if (!strcmp(fake->config->groups[i].name, name)) {
            fake->owned[i] = owned;
            control_reply(call, NULL);
            return;
        }
    control_fail(call, CONTROL_FAILED, "group %s is not configured", name);
}

static void on_promote(struct control_call *call, json_t *arguments)
{
    set_role(call, arguments, true);
}

static void on_demote(struct control_call *call, json_t *arguments)
{
    set_role(call, arguments, false);
}

static void stop_loop(void *data)
{
    struct fake *fake = data;

    if (!fake->hang)
        qb_loop_stop(fake->loop);
}

static void on_shutdown(struct control_call *call, json_t *arguments)
{
    struct fake *fake = control_context(call);

    control_reply(call, NULL);
    qb_loop_timer_add(fake->loop, QB_LOOP_LOW, 50 * QB_TIME_NS_IN_MSEC, fake, stop_loop, NULL);
}

static int32_t on_signal(int32_t signal, void *data)
{
    stop_loop(data);
    return 0;
}

static int write_pid(const char *path)
{
    FILE *file = fopen(path, "w");

    if (!file)
        return -errno;
    fprintf(file, "%d\n", (int)getpid());
    return fclose(file) ? -errno : 0;
}

static int serve(struct fake *fake)
{
    static const struct control_handlers handlers = {
        .status = on_status,
        .version = on_version,
        .group_promote = on_promote,
        .group_demote = on_demote,
        .group_switch = on_promote,
        .group_init = on_promote,
        .shutdown = on_shutdown,
    };
    struct control_options options = {
        .run_dir = fake->config->run_dir, .handlers = &handlers, .context = fake};
    struct control *control;
    char pid_file[300];
    int error;

    fake->loop = options.loop = qb_loop_create();
    qb_loop_signal_add(fake->loop, QB_LOOP_HIGH, SIGTERM, fake, on_signal, NULL);
    error = control_start(&options, &control);
    if (error) {
        fprintf(stderr, "control socket: %s\n", strerror(-error));
        return 1;
    }
    snprintf(pid_file, sizeof pid_file, "%s/halund.pid", fake->config->run_dir);
    if (write_pid(pid_file) < 0)
        return 1;
    qb_loop_run(fake->loop);
    control_stop(control);
    unlink(pid_file);
    qb_loop_destroy(fake->loop);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option table[] = {{"config", required_argument, NULL, 'c'},
                                          {"node", required_argument, NULL, 'n'},
                                          {"foreground", no_argument, NULL, 'f'},
                                          {"check", no_argument, NULL, 'k'},
                                          {0}};
    const char *file = "/etc/halun/halun.conf", *node = NULL;
    struct fake fake = {.hang = getenv("FAKE_HALUND_HANG") != NULL};
    struct config_error error;
    bool foreground = false, check = false;
    int code;

    while ((code = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (code == 'c')
            file = optarg;
        else if (code == 'n')
            node = optarg;
        else if (code == 'f')
            foreground = true;
        else if (code == 'k')
            check = true;
        else
            return 2;
    }
    if (config_load(file, node, &fake.config, &error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    if (check || !node)
        return check ? 0 : 2;
    qb_log_init("fake_halund", LOG_USER, LOG_EMERG);
    qb_log_ctl(QB_LOG_SYSLOG, QB_LOG_CONF_ENABLED, QB_FALSE);
    if (!foreground && daemon(0, 0) < 0)
        return 1;
    code = serve(&fake);
    config_free(fake.config);
    return code;
}
