/* halunctl import-drbd: what DRBD's configuration files say, as blocks of halun.conf. */
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#include "config/ctl.h"
#include "config/drbd_import.h"

enum { DUMP_SIZE = 1 << 20 };

static uint64_t device_size(void *context, const char *device)
{
    unsigned long long sectors = 0;
    char path[300], *real = realpath(device, NULL);
    FILE *file;

    snprintf(path, sizeof path, "/sys/class/block/%s/size", real ? basename(real) : "");
    free(real);
    file = fopen(path, "re");
    if (!file)
        return 0;
    if (fscanf(file, "%llu", &sectors) != 1)
        sectors = 0;
    fclose(file);
    return sectors * 512;
}

static void new_uuid(void *context, char text[37])
{
    uuid_t uuid;

    uuid_generate_random(uuid);
    uuid_unparse_lower(uuid, text);
}

/* drbdadm knows its own files best. False: it is not installed, or does not like them. */
static bool by_drbdadm(const char *path, struct drbd_res **res)
{
    const char *argv[] = {"drbdadm", "-c", path, "dump", NULL};
    struct drbd_text_error error;
    char *text = malloc(DUMP_SIZE);
    bool good = text && !ctl_run(argv, text, DUMP_SIZE) && strlen(text) + 1 < DUMP_SIZE &&
                !drbd_res_parse("drbdadm dump", text, strlen(text), NULL, NULL, res, &error);

    free(text);
    return good;
}

static int by_reader(const char *path, struct drbd_res **res)
{
    struct drbd_text_error error;
    size_t length;
    char *text;
    int rc = drbd_files_read(path, &text, &length);

    if (rc)
        return ctl_error(EXIT_FAILED, "%s: %s", path, strerror(-rc));
    rc = drbd_res_parse(path, text, length, drbd_files_find, NULL, res, &error);
    free(text);
    return rc ? ctl_error(EXIT_FAILED, "%s", error.text) : EXIT_OK;
}

/* ---- JSON ---- */

static json_t *volume_json(const struct drbd_res_volume *v)
{
    json_t *json = json_pack("{s:i, s:s, s:s, s:s}", "volume", (int)v->number, "device", v->device, "disk",
                             v->disk, "meta_disk", v->meta_disk);

    json_object_set_new(json, "minor", v->minor < 0 ? json_null() : json_integer(v->minor));
    return json;
}

static json_t *host_json(const struct drbd_res_host *h)
{
    json_t *volumes = json_array(), *names = json_array();

    for (unsigned i = 0; i < h->name_count; i++)
        json_array_append_new(names, json_string(h->names[i]));
    for (unsigned i = 0; i < h->volume_count; i++)
        json_array_append_new(volumes, volume_json(&h->volumes[i]));
    return json_pack("{s:o, s:o, s:s?, s:s?, s:i, s:o}", "names", names, "node_id",
                     h->node_id < 0 ? json_null() : json_integer(h->node_id), "family", h->family, "address",
                     h->address, "port", (int)h->port, "volumes", volumes);
}

static json_t *resource_json(const struct drbd_resource *r)
{
    json_t *hosts = json_array(), *options = json_object();

    for (unsigned i = 0; i < r->host_count; i++)
        json_array_append_new(hosts, host_json(&r->hosts[i]));
    for (unsigned i = 0; i < DRBD_RES_SECTIONS; i++) {
        json_t *section = json_object();

        for (const struct drbd_res_option *o = r->options[i]; o; o = o->next)
            if (!json_object_get(section, o->name))
                json_object_set_new(section, o->name,
                                    json_string(strcmp(o->name, "shared-secret") ? o->value : "(secret)"));
        json_object_set_new(options, drbd_res_section_name((enum drbd_res_section)i), section);
    }
    return json_pack("{s:s, s:s, s:i, s:o, s:o}", "name", r->name, "file", r->file, "line", (int)r->line,
                     "hosts", hosts, "options", options);
}

/* ---- the command ---- */

static int print(struct ctl *ctl, const struct drbd_res *res, const char *name)
{
    const struct drbd_import_world world = {.size = device_size, .uuid = new_uuid};
    enum drbd_import_engine engine = ctl->builtin ? DRBD_IMPORT_BUILTIN : DRBD_IMPORT_DRBD;
    json_t *list = json_array();
    int code = EXIT_OK;
    unsigned found = 0;

    for (const struct drbd_resource *r = res->first; r; r = r->next) {
        struct drbd_text_error error;

        if (name && strcmp(name, r->name))
            continue;
        if (found++ && !ctl->json)
            putchar('\n');
        if (ctl->json)
            json_array_append_new(list, resource_json(r));
        else if (drbd_import(r, engine, &world, stdout, &error))
            code = ctl_error(EXIT_REFUSED, "%s", error.text);
    }
    if (!found)
        code = ctl_error(EXIT_FAILED, "%s%s: no such resource", name ? "" : "resource", name ? name : "");
    if (ctl->json && found) {
        json_t *json = json_pack("{s:O}", "resources", list);

        code = ctl_print_json(json);
        json_decref(json);
    }
    json_decref(list);
    return code;
}

int ctl_import_drbd(struct ctl *ctl, int count, char **arguments)
{
    struct drbd_res *res = NULL;
    int code = EXIT_OK;

    if (!by_drbdadm(arguments[0], &res))
        code = by_reader(arguments[0], &res);
    if (!code)
        code = print(ctl, res, count > 1 ? arguments[1] : NULL);
    drbd_res_free(res);
    return code;
}
