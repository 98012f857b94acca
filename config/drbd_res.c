#include "config/drbd_res.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is given for all hosts, or for one, before it is put together. */
struct parts {
    struct drbd_res_volume volumes[DRBD_RES_VOLUMES];
    unsigned volume_count;
};

struct reader {
    struct drbd_res *res;
    struct drbd_text_error *error;
    struct drbd_resource *resource;
    struct drbd_res_host *host;     /* the "on" section; NULL: for all hosts */
    struct parts *parts;            /* of that host, or of the resource */
    struct drbd_res_volume *volume; /* the "volume" section; NULL: volume 0 is meant */
    struct parts common, own[DRBD_RES_HOSTS];
    struct drbd_res_option *common_options[DRBD_RES_SECTIONS], **common_end[DRBD_RES_SECTIONS];
    struct drbd_res_option **option_end[DRBD_RES_SECTIONS];
};

enum place { IN_FILE = 1, IN_COMMON = 2, IN_RESOURCE = 4, IN_HOST = 8, IN_VOLUME = 16, IN_CONNECTION = 32 };

struct keyword {
    const char *name;
    unsigned places;
    bool block;           /* a block, else a line */
    unsigned least, most; /* words behind it */
    int (*take)(struct reader *r, const struct drbd_statement *s, enum place place);
};

static int take_all(struct reader *r, const struct drbd_statement *first, enum place place);

static int complain(struct reader *r, const struct drbd_statement *s, const char *expected)
{
    return drbd_text_complain(r->error, s->file, s->line, "%s%s%.100s: expected %s", s->words[0],
                              s->word_count > 1 ? " " : "", s->word_count > 1 ? s->words[1] : "", expected);
}

static bool number(const char *word, int64_t most, int64_t *value)
{
    char *end;
    long long n;

    errno = 0;
    n = strtoll(word, &end, 10);
    if (*word < '0' || *word > '9' || *end || errno || n > most)
        return false;
    *value = n;
    return true;
}

static int no_memory(struct reader *r)
{
    snprintf(r->error->text, sizeof r->error->text, "out of memory");
    return -ENOMEM;
}

/* ---- volumes ---- */

static struct drbd_res_volume *volume_in(struct parts *parts, unsigned wanted, const struct drbd_statement *s)
{
    unsigned at = parts->volume_count;

    for (unsigned i = 0; i < parts->volume_count; i++)
        if (parts->volumes[i].number == wanted)
            return &parts->volumes[i];
    if (at == DRBD_RES_VOLUMES)
        return NULL;
    while (at && parts->volumes[at - 1].number > wanted)
        at--;
    memmove(&parts->volumes[at + 1], &parts->volumes[at],
            (parts->volume_count++ - at) * sizeof *parts->volumes);
    parts->volumes[at] =
        (struct drbd_res_volume){.number = wanted, .minor = -1, .file = s->file, .line = s->line};
    return &parts->volumes[at];
}

/* The volume that a line means: of the section around it, or 0, as before 8.4. */
static struct drbd_res_volume *meant(struct reader *r, const struct drbd_statement *s)
{
    return r->volume ? r->volume : volume_in(r->parts, 0, s);
}

static int take_volume(struct reader *r, const struct drbd_statement *s, enum place place)
{
    int64_t value;
    int rc;

    if (place == IN_CONNECTION)
        return 0; /* options of one peer's volume */
    if (!number(s->words[1], 65535, &value))
        return complain(r, s, "a number of at most 65535");
    r->volume = volume_in(r->parts, (unsigned)value, s);
    if (!r->volume)
        return complain(r, s, "at most 64 volumes");
    rc = take_all(r, s->inner, IN_VOLUME);
    r->volume = NULL;
    return rc;
}

static int take_device(struct reader *r, const struct drbd_statement *s, enum place place)
{
    static const char expected[] = "device [NAME] [minor NUMBER]";
    struct drbd_res_volume *volume = meant(r, s);
    unsigned at = 1;

    if (!volume)
        return complain(r, s, "at most 64 volumes");
    if (strcmp(s->words[at], "minor"))
        volume->device = s->words[at++];
    if (at < s->word_count) {
        if (at + 2 != s->word_count || strcmp(s->words[at], "minor") ||
            !number(s->words[at + 1], 1048575, &volume->minor))
            return complain(r, s, expected);
    } else if (!strncmp(volume->device, "/dev/drbd", 9)) {
        if (!number(volume->device + 9, 1048575, &volume->minor))
            return complain(r, s, "a minor number after this name");
    }
    if (!volume->device || volume->device[0] != '/') {
        bool named = volume->device && !strncmp(volume->device, "drbd_", 5);
        size_t size = 32 + (named ? strlen(volume->device) : 0);
        char *path = drbd_text_alloc(r->res->text, size);

        if (volume->minor < 0 || (volume->device && !named))
            return complain(r, s, expected);
        if (!path)
            return no_memory(r);
        if (named)
            snprintf(path, size, "/dev/%s", volume->device);
        else
            snprintf(path, size, "/dev/drbd%lld", (long long)volume->minor);
        volume->device = path;
    }
    return 0;
}

static int take_section(struct reader *r, const struct drbd_statement *s, enum place place);

/* "disk PATH;" and "disk { options }" */
static int take_disk(struct reader *r, const struct drbd_statement *s, enum place place)
{
    struct drbd_res_volume *volume;

    if (s->block)
        return take_section(r, s, place);
    if (place == IN_COMMON || place == IN_CONNECTION)
        return complain(r, s, "a block here");
    if (s->word_count != 2)
        return complain(r, s, "one device");
    volume = meant(r, s);
    if (!volume)
        return complain(r, s, "at most 64 volumes");
    volume->disk = s->words[1];
    return 0;
}

static int take_meta_disk(struct reader *r, const struct drbd_statement *s, enum place place)
{
    struct drbd_res_volume *volume = meant(r, s);

    if (!volume)
        return complain(r, s, "at most 64 volumes");
    volume->meta_disk = s->words[1];
    return 0;
}

/* ---- hosts ---- */

/* "[FAMILY] ADDRESS:PORT", the address of ipv6 in brackets */
static int read_address(struct reader *r, const struct drbd_statement *s, const char *family,
                        const char *word, struct drbd_res_host *host)
{
    const char *colon = strrchr(word, ':'), *from = word;
    size_t length = colon ? (size_t)(colon - word) : 0;
    int64_t port;
    char *address;

    if (!colon || !number(colon + 1, 65535, &port) || !port)
        return complain(r, s, "ADDRESS:PORT");
    if (length > 2 && word[0] == '[' && word[length - 1] == ']') {
        from++;
        length -= 2;
        if (!strcmp(family, "ipv4"))
            family = "ipv6";
    } else if (memchr(word, ':', length)) {
        return complain(r, s, "brackets around an IPv6 address");
    }
    address = drbd_text_alloc(r->res->text, length + 1);
    if (!address)
        return no_memory(r);
    memcpy(address, from, length);
    if (!length)
        return complain(r, s, "ADDRESS:PORT");
    if (host->address)
        return 0; /* of the first connection: the others lead to third nodes */
    host->address = address;
    host->family = family;
    host->port = (uint16_t)port;
    return 0;
}

static int take_address(struct reader *r, const struct drbd_statement *s, enum place place)
{
    bool family = s->word_count == 3;

    return read_address(r, s, family ? s->words[1] : "ipv4", s->words[family ? 2 : 1], r->host);
}

static int take_node_id(struct reader *r, const struct drbd_statement *s, enum place place)
{
    return number(s->words[1], 31, &r->host->node_id) ? 0 : complain(r, s, "0..31");
}

static int take_on(struct reader *r, const struct drbd_statement *s, enum place place)
{
    struct drbd_res_host *host;
    int rc;

    if (r->resource->host_count == DRBD_RES_HOSTS)
        return complain(r, s, "at most 32 hosts");
    if (s->word_count - 1 > DRBD_RES_NAMES)
        return complain(r, s, "at most 8 names");
    host = &r->resource->hosts[r->resource->host_count];
    *host = (struct drbd_res_host){.node_id = -1, .file = s->file, .line = s->line};
    for (unsigned i = 1; i < s->word_count; i++)
        host->names[host->name_count++] = s->words[i];
    r->host = host;
    r->parts = &r->own[r->resource->host_count++];
    memset(r->parts, 0, sizeof *r->parts);
    rc = take_all(r, s->inner, IN_HOST);
    r->host = NULL;
    r->parts = &r->common;
    return rc;
}

static struct drbd_res_host *host_named(struct drbd_resource *resource, const char *name)
{
    for (unsigned i = 0; i < resource->host_count; i++)
        for (unsigned k = 0; k < resource->hosts[i].name_count; k++)
            if (!strcmp(resource->hosts[i].names[k], name))
                return &resource->hosts[i];
    return NULL;
}

/* 9: "host NAME [address [FAMILY] ADDRESS:PORT];" of a connection or path. "on" sections may come behind it. */
static int take_host(struct reader *r, const struct drbd_statement *s, enum place place)
{
    struct drbd_res_host *host = host_named(r->resource, s->words[1]);
    const char *word;

    if (!host)
        return complain(r, s, "the name of an \"on\" section");
    if (s->word_count < 4 || strcmp(s->words[2], "address"))
        return 0;
    word = s->words[s->word_count > 4 && strchr(s->words[4], ':') ? 4 : 3];
    return read_address(r, s, word == s->words[3] ? "ipv4" : s->words[3], word, host);
}

static int take_connection(struct reader *r, const struct drbd_statement *s, enum place place)
{
    return take_all(r, s->inner, IN_CONNECTION);
}

/* ---- options ---- */

static const char *const section_names[DRBD_RES_SECTIONS] = {
    [DRBD_RES_NET] = "net",           [DRBD_RES_DISK] = "disk",       [DRBD_RES_HANDLERS] = "handlers",
    [DRBD_RES_OPTIONS] = "options",   [DRBD_RES_STARTUP] = "startup",
};

const char *drbd_res_section_name(enum drbd_res_section section)
{
    return section_names[section];
}

static int add_option(struct reader *r, const struct drbd_statement *s, enum drbd_res_section section,
                      bool common)
{
    struct drbd_res_option *option = drbd_text_alloc(r->res->text, sizeof *option);
    struct drbd_res_option ***end = common ? r->common_end : r->option_end;
    size_t length = 1;
    char *value;

    for (unsigned i = 1; i < s->word_count; i++)
        length += strlen(s->words[i]) + 1;
    value = drbd_text_alloc(r->res->text, length);
    if (!option || !value)
        return no_memory(r);
    for (unsigned i = 1; i < s->word_count; i++) {
        if (i > 1)
            strcat(value, " ");
        strcat(value, s->words[i]);
    }
    *option = (struct drbd_res_option){.name = s->words[0], .value = value, .file = s->file, .line = s->line};
    *end[section] = option;
    end[section] = &option->next;
    return 0;
}

/* The options of a volume or connection are the resource's for us: two nodes, one connection. */
static int take_section(struct reader *r, const struct drbd_statement *s, enum place place)
{
    enum drbd_res_section section = DRBD_RES_DISK; /* syncer, peer-device-options: part of it since 8.4 */

    for (unsigned i = 0; i < DRBD_RES_SECTIONS; i++)
        if (!strcmp(s->words[0], section_names[i]))
            section = (enum drbd_res_section)i;
    if (s->word_count != 1)
        return complain(r, s, "{");
    for (const struct drbd_statement *i = s->inner; i; i = i->next) {
        int rc;

        if (i->block)
            return complain(r, i, "no block here");
        rc = add_option(r, i, section, place == IN_COMMON);
        if (rc)
            return rc;
    }
    return 0;
}

/* Before 8.4 "protocol" stood in the resource. */
static int take_protocol(struct reader *r, const struct drbd_statement *s, enum place place)
{
    return add_option(r, s, DRBD_RES_NET, place == IN_COMMON);
}

static int take_nothing(struct reader *r, const struct drbd_statement *s, enum place place)
{
    return 0;
}

static int not_supported(struct reader *r, const struct drbd_statement *s, enum place place)
{
    return complain(r, s, "none: halun does not read this kind of resource");
}

/* ---- resources ---- */

static int take_common(struct reader *r, const struct drbd_statement *s, enum place place)
{
    return take_all(r, s->inner, IN_COMMON);
}

static int join_volume(struct reader *r, struct drbd_res_host *host, const struct drbd_res_volume *own)
{
    struct drbd_res_volume joined = *own;

    for (unsigned i = 0; i < r->common.volume_count; i++) {
        const struct drbd_res_volume *all = &r->common.volumes[i];

        if (all->number != own->number)
            continue;
        if (!joined.device) {
            joined.device = all->device;
            joined.minor = all->minor;
        }
        if (!joined.disk)
            joined.disk = all->disk;
        if (!joined.meta_disk)
            joined.meta_disk = all->meta_disk;
    }
    if (!joined.device || !joined.disk)
        return drbd_text_complain(r->error, joined.file, joined.line,
                                  "resource %.60s, volume %u on %.60s: expected a %s", r->resource->name,
                                  joined.number, host->names[0], joined.device ? "disk" : "device");
    if (!joined.meta_disk)
        joined.meta_disk = "internal"; /* as DRBD takes it */
    host->volumes[host->volume_count++] = joined;
    return 0;
}

/* What was given for all hosts goes to each of them. */
static int join(struct reader *r, const struct drbd_statement *s)
{
    for (unsigned h = 0; h < r->resource->host_count; h++) {
        struct drbd_res_host *host = &r->resource->hosts[h];
        struct parts *parts = &r->own[h];

        for (unsigned i = 0; i < r->common.volume_count; i++)
            if (!volume_in(parts, r->common.volumes[i].number, s))
                return complain(r, s, "at most 64 volumes");
        host->volumes = drbd_text_alloc(r->res->text, (parts->volume_count + 1) * sizeof *host->volumes);
        if (!host->volumes)
            return no_memory(r);
        for (unsigned i = 0; i < parts->volume_count; i++) {
            int rc = join_volume(r, host, &parts->volumes[i]);
            if (rc)
                return rc;
        }
        if (!host->volume_count)
            return drbd_text_complain(r->error, host->file, host->line, "on %.100s: expected a volume",
                                      host->names[0]);
    }
    if (!r->resource->host_count)
        return complain(r, s, "an \"on\" section for each host");
    return 0;
}

static int take_resource(struct reader *r, const struct drbd_statement *s, enum place place)
{
    struct drbd_resource **end = &r->res->first;
    int rc;

    for (; *end; end = &(*end)->next)
        if (!strcmp((*end)->name, s->words[1]))
            return drbd_text_complain(r->error, s->file, s->line,
                                      "resource %.60s: expected once, but %.100s has it in line %u", s->words[1],
                                      (*end)->file, (*end)->line);
    r->resource = drbd_text_alloc(r->res->text, sizeof *r->resource);
    if (!r->resource)
        return no_memory(r);
    *r->resource = (struct drbd_resource){.name = s->words[1], .file = s->file, .line = s->line};
    for (unsigned i = 0; i < DRBD_RES_SECTIONS; i++)
        r->option_end[i] = &r->resource->options[i];
    memset(&r->common, 0, sizeof r->common);
    r->parts = &r->common;
    rc = take_all(r, s->inner, IN_RESOURCE);
    if (!rc)
        rc = join(r, s);
    if (rc)
        return rc;
    *end = r->resource;
    r->res->count++;
    return 0;
}

static const struct keyword keywords[] = {
    {"global", IN_FILE, true, 0, 0, take_nothing},
    {"common", IN_FILE, true, 0, 0, take_common},
    {"resource", IN_FILE, true, 1, 1, take_resource},
    {"protocol", IN_COMMON | IN_RESOURCE, false, 1, 1, take_protocol},
    {"on", IN_RESOURCE, true, 1, DRBD_TEXT_WORDS, take_on},
    {"volume", IN_RESOURCE | IN_HOST | IN_CONNECTION, true, 1, 1, take_volume},
    {"device", IN_RESOURCE | IN_HOST | IN_VOLUME, false, 1, 3, take_device},
    {"disk", IN_COMMON | IN_RESOURCE | IN_HOST | IN_VOLUME | IN_CONNECTION, false, 0, 1, take_disk},
    {"meta-disk", IN_RESOURCE | IN_HOST | IN_VOLUME, false, 1, 2, take_meta_disk},
    {"flexible-meta-disk", IN_RESOURCE | IN_HOST | IN_VOLUME, false, 1, 1, take_meta_disk},
    {"address", IN_HOST, false, 1, 2, take_address},
    {"node-id", IN_HOST, false, 1, 1, take_node_id},
    {"net", IN_COMMON | IN_RESOURCE | IN_CONNECTION, true, 0, 0, take_section},
    {"syncer", IN_COMMON | IN_RESOURCE, true, 0, 0, take_section},
    {"peer-device-options", IN_COMMON | IN_RESOURCE | IN_CONNECTION | IN_VOLUME, true, 0, 0, take_section},
    {"handlers", IN_COMMON | IN_RESOURCE, true, 0, 0, take_section},
    {"options", IN_COMMON | IN_RESOURCE | IN_HOST, true, 0, 0, take_section},
    {"startup", IN_COMMON | IN_RESOURCE, true, 0, 0, take_section},
    {"proxy", IN_COMMON | IN_RESOURCE | IN_HOST | IN_CONNECTION, true, 0, DRBD_TEXT_WORDS, take_nothing},
    {"connection", IN_RESOURCE, true, 0, 1, take_connection},
    {"connection-mesh", IN_RESOURCE, true, 0, 0, take_connection},
    {"path", IN_CONNECTION, true, 0, 0, take_connection},
    {"host", IN_CONNECTION, false, 1, 6, take_host},
    {"hosts", IN_CONNECTION, false, 1, DRBD_TEXT_WORDS, take_nothing},
    {"floating", IN_RESOURCE, true, 1, DRBD_TEXT_WORDS, not_supported},
    {"stacked-on-top-of", IN_RESOURCE, true, 1, 1, not_supported},
    {"template-file", IN_RESOURCE, false, 1, 1, not_supported},
};

static int take(struct reader *r, const struct drbd_statement *s, enum place place)
{
    for (unsigned i = 0; i < sizeof keywords / sizeof *keywords; i++) {
        const struct keyword *k = &keywords[i];

        if (strcmp(k->name, s->words[0]))
            continue;
        if (!(k->places & place))
            break;
        if (s->block != k->block && !(k->take == take_disk && s->block))
            return complain(r, s, k->block ? "a block { ... }" : "a line that ends with ;");
        if (s->word_count - 1 < k->least || s->word_count - 1 > k->most)
            return complain(r, s, k->least ? "a value, and not too many" : "nothing before {");
        return k->take(r, s, place);
    }
    if (place == IN_FILE && !strncmp(s->words[0], "require-drbd-module-version-", 28))
        return 0;
    return complain(r, s, "a keyword of drbd.conf(5) that belongs here");
}

/* Connections name hosts, so "on" sections come first, wherever they stand. */
static int take_all(struct reader *r, const struct drbd_statement *first, enum place place)
{
    for (unsigned late = 0; late < 2; late++)
        for (const struct drbd_statement *s = first; s; s = s->next) {
            bool last = !strncmp(s->words[0], "connection", 10) ||
                        (place == IN_FILE && !strcmp(s->words[0], "resource"));
            int rc = last == late ? take(r, s, place) : 0;

            if (rc)
                return rc;
        }
    return 0;
}

int drbd_res_parse(const char *file, const char *text, size_t length, drbd_text_find *find, void *context,
                   struct drbd_res **res, struct drbd_text_error *error)
{
    struct drbd_res *new = calloc(1, sizeof *new);
    struct reader *r = calloc(1, sizeof *r);
    int rc = -ENOMEM;

    snprintf(error->text, sizeof error->text, "out of memory");
    if (new && r)
        rc = drbd_text_parse(file, text, length, find, context, &new->text, error);
    if (!rc) {
        r->res = new;
        r->error = error;
        for (unsigned i = 0; i < DRBD_RES_SECTIONS; i++)
            r->common_end[i] = &r->common_options[i];
        rc = take_all(r, drbd_text_first(new->text), IN_FILE);
        /* A resource's own options come before those of common. */
        for (struct drbd_resource *i = new->first; !rc && i; i = i->next)
            for (unsigned section = 0; section < DRBD_RES_SECTIONS; section++) {
                struct drbd_res_option **end = &i->options[section];

                while (*end)
                    end = &(*end)->next;
                *end = r->common_options[section];
            }
    }
    free(r);
    if (rc) {
        drbd_res_free(new);
        return rc;
    }
    *res = new;
    return 0;
}

void drbd_res_free(struct drbd_res *res)
{
    if (res)
        drbd_text_free(res->text);
    free(res);
}

const struct drbd_res_option *drbd_res_find(const struct drbd_resource *resource,
                                            enum drbd_res_section section, const char *name)
{
    for (const struct drbd_res_option *o = resource->options[section]; o; o = o->next)
        if (!strcmp(o->name, name))
            return o;
    return NULL;
}
