#include "config/drbd_import.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/options.h"

/* How an option's value is counted, there and here. */
enum unit {
    UNIT_WORD,    /* as it stands */
    UNIT_FLAG,    /* a name alone, or yes, no */
    UNIT_NUMBER,  /* without a unit */
    UNIT_KIB,     /* KiB unless k, M, G stands behind */
    UNIT_SECTORS, /* sectors of 512 bytes, unless s, k, M, G stands behind */
    UNIT_BYTES,   /* bytes, unless k, M stands behind */
    UNIT_TENTHS,  /* tenths of a second there, milliseconds here */
};

struct row {
    enum drbd_res_section section;
    const char *there, *here;
    enum unit unit;
};

/* What means the same to both. */
static const struct row rows[] = {
    {DRBD_RES_NET, "timeout", "timeout_ms", UNIT_TENTHS},
    {DRBD_RES_NET, "after-sb-0pri", "after_sb_0pri", UNIT_WORD},
    {DRBD_RES_NET, "after-sb-1pri", "after_sb_1pri", UNIT_WORD},
    {DRBD_RES_NET, "always-asbp", "always_asbp", UNIT_FLAG},
    {DRBD_RES_NET, "csums-alg", "csums_alg", UNIT_WORD},
    {DRBD_RES_NET, "verify-alg", "verify_alg", UNIT_WORD},
    {DRBD_RES_DISK, "al-extents", "al_extents", UNIT_NUMBER},
    {DRBD_RES_DISK, "resync-rate", "resync_rate", UNIT_KIB},
    {DRBD_RES_DISK, "c-plan-ahead", "c_plan_ahead", UNIT_NUMBER},
    {DRBD_RES_DISK, "c-delay-target", "c_delay_target", UNIT_NUMBER},
    {DRBD_RES_DISK, "c-fill-target", "c_fill_target", UNIT_SECTORS},
    {DRBD_RES_DISK, "c-max-rate", "c_max_rate", UNIT_KIB},
    {DRBD_RES_DISK, "c-min-rate", "c_min_rate", UNIT_KIB},
    {DRBD_RES_DISK, "rs-discard-granularity", "rs_discard_granularity", UNIT_BYTES},
};

/* In units of `of` bytes; -1: no number. */
static long long scaled(const char *text, unsigned of)
{
    char *end;
    long long n = strtoll(text, &end, 10), unit;

    if (!isdigit((unsigned char)*text) || n > 1ll << 40)
        return -1;
    switch (tolower((unsigned char)*end)) {
    case '\0':
        return n;
    case 's':
        unit = 512;
        break;
    case 'k':
        unit = 1 << 10;
        break;
    case 'm':
        unit = 1 << 20;
        break;
    case 'g':
        unit = 1 << 30;
        break;
    default:
        return -1;
    }
    return end[1] ? -1 : n * unit / of;
}

static bool is_yes(const struct drbd_res_option *option)
{
    return option && strcmp(option->value, "no");
}

static bool translate(const struct row *row, const struct drbd_res_option *option, char *out, size_t size)
{
    long long n = 0;

    switch (row->unit) {
    case UNIT_WORD:
        snprintf(out, size, "%s", option->value);
        return true;
    case UNIT_FLAG:
        snprintf(out, size, "%s", is_yes(option) ? "true" : "false");
        return true;
    case UNIT_NUMBER:
        n = scaled(option->value, 1);
        break;
    case UNIT_KIB:
        n = scaled(option->value, 1024);
        break;
    case UNIT_SECTORS:
        n = scaled(option->value, 512);
        break;
    case UNIT_BYTES:
        n = scaled(option->value, 1);
        break;
    case UNIT_TENTHS:
        n = scaled(option->value, 1) * 100;
        break;
    }
    snprintf(out, size, "%lld", n);
    return n >= 0;
}

/* ---- what halun cannot take ---- */

static int refuse(struct drbd_text_error *error, const struct drbd_resource *r,
                  const struct drbd_res_option *option, const char *expected)
{
    return drbd_text_complain(error, option ? option->file : r->file, option ? option->line : r->line,
                              "resource %.60s%s%.40s%s%.40s: expected %s", r->name, option ? ": " : "",
                              option ? option->name : "", option && *option->value ? " " : "",
                              option ? option->value : "", expected);
}

static int check(const struct drbd_resource *r, enum drbd_import_engine engine, struct drbd_text_error *error)
{
    const struct drbd_res_option *option = drbd_res_find(r, DRBD_RES_NET, "protocol");
    const struct drbd_res_host *a = &r->hosts[0], *b = &r->hosts[1];

    if (option && strcasecmp(option->value, "C"))
        return refuse(error, r, option, "C: an answered write must be on both copies");
    option = drbd_res_find(r, DRBD_RES_NET, "allow-two-primaries");
    if (is_yes(option))
        return refuse(error, r, option, "one Primary at a time");
    if (!option_name_valid(r->name))
        return refuse(error, r, NULL, "a name of 1..63 characters A-Z a-z 0-9 . _ -");
    if (r->host_count != 2)
        return refuse(error, r, NULL, "two hosts");
    if (a->volume_count != b->volume_count)
        return refuse(error, r, NULL, "the same volumes on both hosts");
    for (unsigned i = 0; i < a->volume_count; i++) {
        const struct drbd_res_volume *v = &a->volumes[i], *w = &b->volumes[i];

        if (v->number != i || w->number != i)
            return refuse(error, r, NULL, "volumes that count 0, 1, 2 and so on, the same on both hosts");
        if (!strcmp(v->disk, "none") || !strcmp(w->disk, "none"))
            return refuse(error, r, NULL, "a disk on both hosts");
        if (engine == DRBD_IMPORT_BUILTIN && (strcmp(v->meta_disk, "internal") || strcmp(w->meta_disk, "internal")))
            return refuse(error, r, NULL, "meta-disk internal for the built-in engine");
    }
    if (engine == DRBD_IMPORT_DRBD)
        return 0;
    option = drbd_res_find(r, DRBD_RES_NET, "data-integrity-alg");
    if (option && strcmp(option->value, "none"))
        return refuse(error, r, option, "none for the built-in engine");
    if (!a->port || a->port != b->port)
        return refuse(error, r, NULL, "the same port on both hosts for the built-in engine");
    return 0;
}

/* ---- what is printed ---- */

static void print_engine_drbd(const struct drbd_resource *r, FILE *out)
{
    const struct drbd_res_option *fencing = drbd_res_find(r, DRBD_RES_NET, "fencing"),
                                 *handler = drbd_res_find(r, DRBD_RES_HANDLERS, "fence-peer");

    if (!fencing)
        fencing = drbd_res_find(r, DRBD_RES_DISK, "fencing"); /* 8.4 */
    fprintf(out, "    replication = drbd\n    nodes = { \"%s\", \"%s\" }\n    drbd_resource = \"%s\"\n",
            r->hosts[0].names[0], r->hosts[1].names[0], r->name);
    if (!fencing || strcmp(fencing->value, "resource-and-stonith"))
        fprintf(out, "    # DRBD has to wait until the cluster agreed that a lost copy is outdated:\n"
                     "    #     fencing resource-and-stonith;\n");
    if (!handler || !strstr(handler->value, "drbd-fence-peer"))
        fprintf(out, "    # and to ask halun for it:\n"
                     "    #     handlers { fence-peer \"/usr/lib/halun/drbd-fence-peer %s\"; }\n",
                r->name);
}

static void print_engine_builtin(const struct drbd_resource *r, FILE *out)
{
    const struct drbd_res_option *option;

    fprintf(out, "    replication = builtin\n    nodes = { \"%s\", \"%s\" }\n    port = %u\n",
            r->hosts[0].names[0], r->hosts[1].names[0], r->hosts[0].port);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct config_option *here = option_find(BLOCK_GROUP, rows[i].here);
        struct config_group scratch = {0};
        char value[80];

        option = drbd_res_find(r, rows[i].section, rows[i].there);
        if (!option || !here)
            continue;
        if (translate(&rows[i], option, value, sizeof value) && option_read(here, value, &scratch) >= 0)
            fprintf(out, "    %s = %s\n", rows[i].here, value);
        else
            fprintf(out, "    # %s %s of %s:%u has no counterpart: %s\n", option->name, option->value,
                    option->file, option->line, rows[i].here);
    }
    if (drbd_res_find(r, DRBD_RES_NET, "shared-secret"))
        fprintf(out, "    # its shared-secret belongs into halun.secrets; DRBD as peer needs cram-hmac-alg sha256\n");
    for (unsigned i = 0; i < 2; i++)
        if (r->hosts[i].address)
            fprintf(out, "    # node \"%s\": replication_address = \"%s\"\n", r->hosts[i].names[0],
                    r->hosts[i].address);
}

static void print_lu(const struct drbd_resource *r, unsigned volume, enum drbd_import_engine engine,
                     const struct drbd_import_world *world, FILE *out)
{
    const struct drbd_res_volume *a = &r->hosts[0].volumes[volume], *b = &r->hosts[1].volumes[volume];
    const char *path = engine == DRBD_IMPORT_DRBD ? a->device : a->disk;
    const char *other = engine == DRBD_IMPORT_DRBD ? b->device : b->disk;
    uint64_t size = world->size(world->context, a->device);
    char uuid[37];

    world->uuid(world->context, uuid);
    fprintf(out, "\nlu \"%s.%u\" {\n    uuid = \"%s\"\n    group = \"%s\"\n    path = \"%s\"\n", r->name,
            volume, uuid, r->name, path);
    if (strcmp(path, other))
        fprintf(out, "    # on \"%s\" it is %s: give both the same name, or one with %%n\n",
                r->hosts[1].names[0], other);
    if (engine == DRBD_IMPORT_DRBD && size)
        fprintf(out, "    size = %llu\n", (unsigned long long)size);
    else if (engine == DRBD_IMPORT_DRBD)
        fprintf(out, "    # size = what \"blockdev --getsize64 %s\" says on the Primary\n", path);
    fprintf(out, "}\n");
}

int drbd_import(const struct drbd_resource *r, enum drbd_import_engine engine,
                const struct drbd_import_world *world, FILE *out, struct drbd_text_error *error)
{
    int rc = check(r, engine, error);

    if (rc)
        return rc;
    fprintf(out, "# resource %s of %s:%u\ngroup \"%s\" {\n", r->name, r->file, r->line, r->name);
    if (engine == DRBD_IMPORT_DRBD)
        print_engine_drbd(r, out);
    else
        print_engine_builtin(r, out);
    fprintf(out, "}\n");
    for (unsigned i = 0; i < r->hosts[0].volume_count; i++)
        print_lu(r, i, engine, world, out);
    return 0;
}
