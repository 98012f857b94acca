/* halunctl group ..., lu ...: roles of groups, capacities of units. Planned moves go through Pacemaker where it manages the
 * group. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/config.h"
#include "config/ctl.h"
#include "config/options.h"

/* Calls; with --wait again and again while the daemon says "not at this moment". Takes `arguments`.
 */
int ctl_call_patiently(struct ctl *ctl, const char *method, json_t *arguments)
{
    const struct timespec pause = {.tv_nsec = 200000000};
    long end = ctl_now_ms() + ctl->timeout_s * 1000L;
    json_t *result;
    int code;

    for (;;) {
        bool last = !ctl->wait || ctl_now_ms() + 200 > end;
        code = ctl_call(ctl, method, json_incref(arguments), &result, !last);
        if (!code || last || code != CTL_AGAIN)
            break;
        nanosleep(&pause, NULL);
    }
    if (code && code != CTL_AGAIN &&
        ctl->wait) /* the first call was quiet: once more, to say why */
        code = ctl_call(ctl, method, json_incref(arguments), &result, false);
    json_decref(arguments);
    if (!code && ctl->json)
        ctl_print_json(result);
    json_decref(result);
    if (code == CTL_AGAIN)
        return ctl->wait ? EXIT_TIMEOUT : EXIT_FAILED;
    return code;
}

int ctl_lu_resize(struct ctl *ctl, int count, char **arguments)
{
    const struct config_option *option = option_find(BLOCK_LU, "size");
    json_t *object = json_pack("{s:s}", "lu", arguments[0]);
    struct config_lu lu = {0};

    if (count > 1 && (option_read(option, arguments[1], &lu) || !lu.size)) {
        json_decref(object);
        return ctl_error(EXIT_USAGE, "SIZE %s: expected bytes, or with K, M, G, T", arguments[1]);
    }
    if (count > 1)
        json_object_set_new(object, "size", json_integer((json_int_t)lu.size));
    if (ctl->force)
        json_object_set_new(object, "force", json_true());
    return ctl_call_patiently(ctl, "lu.resize", object);
}

static json_t *request(struct ctl *ctl, const char *group)
{
    json_t *object = json_pack("{s:s}", "group", group);

    if (ctl->force)
        json_object_set_new(object, "force", json_true());
    if (ctl->handover)
        json_object_set_new(object, "handover", json_true());
    if (ctl->skip_sync)
        json_object_set_new(object, "skip_sync", json_true());
    return object;
}

int ctl_group_promote(struct ctl *ctl, int count, char **arguments)
{
    return ctl_call_patiently(ctl, "group.promote", request(ctl, arguments[0]));
}

int ctl_group_demote(struct ctl *ctl, int count, char **arguments)
{
    return ctl_call_patiently(ctl, "group.demote", request(ctl, arguments[0]));
}

int ctl_group_init(struct ctl *ctl, int count, char **arguments)
{
    return ctl_call_patiently(ctl, "group.init", request(ctl, arguments[0]));
}

int ctl_group_make_current(struct ctl *ctl, int count, char **arguments)
{
    return ctl_call_patiently(ctl, "group.make_current", request(ctl, arguments[0]));
}

int ctl_group_alone(struct ctl *ctl, int count, char **arguments)
{
    return ctl_call_patiently(ctl, "group.alone", request(ctl, arguments[0]));
}

/* Status without details, and the group in it (borrowed). Returns an exit code. */
static int read_group(struct ctl *ctl, const char *name, json_t **status, json_t **group)
{
    int code = ctl_call(ctl, "status", json_pack("{s:b}", "detail", 0), status, false);

    if (code)
        return code == CTL_AGAIN ? EXIT_FAILED : code;
    *group = ctl_find_group(*status, name);
    if (*group)
        return 0;
    json_decref(*status);
    return ctl_error(EXIT_USAGE, "no group is named \"%s\"", name);
}

int ctl_group_role(struct ctl *ctl, int count, char **arguments)
{
    json_t *status, *group;
    int code = read_group(ctl, arguments[0], &status, &group);

    if (code)
        return code;
    puts(ctl_promoted(status, group) ? "promoted" : "unpromoted");
    json_decref(status);
    return EXIT_OK;
}

int ctl_group_score(struct ctl *ctl, int count, char **arguments)
{
    json_t *status, *group;
    int code = read_group(ctl, arguments[0], &status, &group), score;

    if (code)
        return code;
    score = ctl_score(status, group);
    if (score < 0)
        puts("-INFINITY");
    else
        printf("%d\n", score);
    json_decref(status);
    return EXIT_OK;
}

/* The name of Pacemaker's resource for the group: --resource, or the primitive of type
 * ocf:halun:group whose parameter says so. Returns false when Pacemaker is not there or has none.
 */
static bool find_resource(struct ctl *ctl, const char *group, char out[128])
{
    const char *const list[] = {"crm_resource", "--list-raw", NULL};
    char names[16384], *save, *name;

    if (ctl->resource) {
        snprintf(out, 128, "%s", ctl->resource);
        return true;
    }
    if (ctl_run(list, names, sizeof names) != 0)
        return false;
    for (name = strtok_r(names, "\n", &save); name; name = strtok_r(NULL, "\n", &save)) {
        const char *const get[] = {"crm_resource",    "--resource", out,
                                   "--get-parameter", "group",      NULL};
        const char *const xml[] = {"crm_resource", "--resource", out, "--query-xml-raw", NULL};
        char value[128], text[16384];

        name[strcspn(name, ":")] = '\0'; /* g:0 is the first instance of g */
        snprintf(out, 128, "%s", name);
        if (ctl_run(get, value, sizeof value) != 0)
            continue;
        value[strcspn(value, "\n")] = '\0';
        if (!strcmp(value, group) && ctl_run(xml, text, sizeof text) == 0 &&
            strstr(text, "provider=\"halun\""))
            return true;
    }
    return false;
}

static const char *text_of(json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : "";
}

/* Where to, when nobody said: the only other node with current data. */
static const char *other_node(json_t *group)
{
    const char *found = NULL;
    size_t i;
    json_t *node;

    json_array_foreach(json_object_get(group, "current"), i, node)
    {
        if (!strcmp(json_string_value(node), text_of(group, "owner")))
            continue;
        if (found)
            return NULL;
        found = json_string_value(node);
    }
    return found;
}

static int wait_for_owner(struct ctl *ctl, const char *name, const char *node)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    long end = ctl_now_ms() + ctl->timeout_s * 1000L;

    while (ctl_now_ms() < end) {
        json_t *status;
        bool there = !ctl_call(ctl, "status", json_pack("{s:b}", "detail", 0), &status, true) &&
                     !strcmp(text_of(ctl_find_group(status, name), "owner"), node);
        json_decref(status);
        if (there)
            return EXIT_OK;
        nanosleep(&pause, NULL);
    }
    return ctl_error(EXIT_TIMEOUT, "group %s is not on %s within %u s", name, node, ctl->timeout_s);
}

static int move_by_pacemaker(struct ctl *ctl, const char *resource, const char *name,
                             const char *node)
{
    const char *const move[] = {"crm_resource", "--resource", resource,  "--move", "--node",
                                node,           "--promoted", "--force", NULL};
    const char *const clear[] = {"crm_resource", "--resource", resource, "--clear", NULL};
    char out[1024];
    int code;

    if (ctl_run(move, out, sizeof out) != 0)
        return ctl_error(EXIT_REFUSED, "Pacemaker does not move %s to %s", resource, node);
    code = wait_for_owner(ctl, name, node);
    /* the constraint was only to make it move: from now on the scores decide again */
    if (ctl_run(clear, out, sizeof out) != 0 && !code)
        return ctl_error(EXIT_FAILED, "moved, but the constraint remains: crm resource clear %s",
                         resource);
    return code;
}

int ctl_group_switch(struct ctl *ctl, int count, char **arguments)
{
    const char *name = arguments[0], *node = count > 1 ? arguments[1] : NULL, *mode;
    json_t *status, *group, *object;
    char resource[128];
    int code = read_group(ctl, name, &status, &group);

    if (code)
        return code;
    mode = text_of(json_object_get(status, "cluster"), "mode");
    if (strcmp(mode, "single") && find_resource(ctl, name, resource)) {
        if (!node)
            node = other_node(group);
        if (!node)
            code = ctl_error(EXIT_USAGE,
                             "name a node: there is not exactly one other with current data");
        else if (strcmp(text_of(group, "owner"), node))
            code = move_by_pacemaker(ctl, resource, name, node);
        json_decref(status);
        return code;
    }
    object = json_pack("{s:s}", "group", name);
    if (node)
        json_object_set_new(object, "node", json_string(node));
    json_decref(status);
    return ctl_call_patiently(ctl, "group.switch", object);
}
