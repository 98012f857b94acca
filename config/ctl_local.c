/* halunctl: check-config, and requests that need no table. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "config/ctl.h"
#include "config/options.h"

static int simple(struct ctl *ctl, const char *method, json_t *arguments, json_t **result)
{
    int code = ctl_call(ctl, method, arguments, result, false);

    return code == CTL_AGAIN ? EXIT_FAILED : code;
}

static int get_option(const struct config *config, const char *name)
{
    const struct config_option *option = option_find(BLOCK_CLUSTER, name);
    char value[300];

    if (!option)
        return ctl_error(EXIT_USAGE, "--get %s: expected an option of the cluster block", name);
    option_print(option, config, config, value, sizeof value);
    puts(value);
    return EXIT_OK;
}

int ctl_check_config(struct ctl *ctl, int count, char **arguments)
{
    struct config_error error;
    struct config *config;
    char digest[65];
    int code = config_load(arguments[0], ctl->node, &config, &error);

    if (code) {
        if (ctl->json) {
            json_t *json = json_pack("{s:b,s:s}", "ok", 0, "error", error.text);
            ctl_print_json(json);
            json_decref(json);
            return EXIT_FAILED;
        }
        return ctl_error(EXIT_FAILED, "%s", error.text);
    }
    for (unsigned i = 0; i < 32; i++)
        snprintf(digest + 2 * i, 3, "%02x", config->digest[i]);
    if (ctl->get) {
        code = get_option(config, ctl->get);
    } else if (ctl->json) {
        json_t *json =
            json_pack("{s:b,s:s,s:s,s:i,s:i,s:i,s:i,s:i}", "ok", 1, "cluster", config->cluster_name,
                      "digest", digest, "nodes", (int)config->node_count, "targets",
                      (int)config->target_count, "groups", (int)config->group_count, "lus",
                      (int)config->lu_count, "hosts", (int)config->host_count);
        code = ctl_print_json(json);
        json_decref(json);
    } else {
        printf("%s: good: %u nodes, %u targets, %u groups, %u LUs, %u hosts; digest %.16s\n",
               arguments[0], config->node_count, config->target_count, config->group_count,
               config->lu_count, config->host_count, digest);
    }
    config_free(config);
    return code;
}

int ctl_reload(struct ctl *ctl, int count, char **arguments)
{
    json_t *result, *entry;
    size_t i;
    int code = simple(ctl, "reload", NULL, &result);

    if (!code && ctl->json)
        ctl_print_json(result);
    else if (!code)
        json_array_foreach(json_object_get(result, "actions"), i, entry)
            puts(json_string_value(entry) ? json_string_value(entry) : "");
    json_decref(result);
    return code;
}

int ctl_force_start(struct ctl *ctl, int count, char **arguments)
{
    json_t *result;
    int code = simple(ctl, "cluster.force_start", NULL, &result);

    json_decref(result);
    return code;
}

int ctl_shutdown(struct ctl *ctl, int count, char **arguments)
{
    json_t *result;
    int code = simple(ctl, "shutdown", NULL, &result);

    json_decref(result);
    return code;
}

int ctl_log_level(struct ctl *ctl, int count, char **arguments)
{
    json_t *result;
    int code = simple(ctl, "log.level", json_pack("{s:s}", "level", arguments[0]), &result);

    json_decref(result);
    return code;
}

int ctl_version(struct ctl *ctl, int count, char **arguments)
{
    json_t *result = NULL;
    const char *daemon = NULL;

    if (!ctl_call(ctl, "version", NULL, &result, true))
        daemon = json_string_value(json_object_get(result, "version"));
    if (ctl->json) {
        json_t *json = json_pack("{s:s,s:s?}", "halunctl", HALUN_VERSION, "halund", daemon);
        ctl_print_json(json);
        json_decref(json);
    } else {
        printf("halunctl %s\nhalund   %s\n", HALUN_VERSION, daemon ? daemon : "(does not run)");
    }
    json_decref(result);
    return EXIT_OK;
}
