/* DRBD's resources as drbd.conf(5) describes them, of 8.4 and 9: the subset that says where the data are and who has
 * them. Options are kept as text. Owned by the configuration: drbd_res_free(). */
#ifndef HALUN_CONFIG_DRBD_RES_H
#define HALUN_CONFIG_DRBD_RES_H

#include <stdint.h>

#include "config/drbd_text.h"

enum { DRBD_RES_HOSTS = 32, DRBD_RES_VOLUMES = 64, DRBD_RES_NAMES = 8 };

enum drbd_res_section {
    DRBD_RES_NET,
    DRBD_RES_DISK,
    DRBD_RES_HANDLERS,
    DRBD_RES_OPTIONS,
    DRBD_RES_STARTUP,
    DRBD_RES_SECTIONS
};

struct drbd_res_option {
    const char *name, *value; /* "" for a name alone */
    const char *file;
    unsigned line;
    struct drbd_res_option *next;
};

/* One volume on one host; NULL and -1: not given. */
struct drbd_res_volume {
    unsigned number;
    const char *device; /* path of the device, "/dev/drbd1" where only the minor is given */
    int64_t minor;
    const char *disk, *meta_disk; /* "none", "internal" as they stand */
    const char *file;
    unsigned line;
};

struct drbd_res_host {
    const char *names[DRBD_RES_NAMES];
    unsigned name_count;
    int64_t node_id; /* 9 */
    const char *address; /* without brackets */
    const char *family;  /* "ipv4", "ipv6", ... */
    uint16_t port;       /* 0: not given */
    struct drbd_res_volume *volumes; /* in order, with what the resource gives for all */
    unsigned volume_count;
    const char *file;
    unsigned line;
};

struct drbd_resource {
    const char *name;
    struct drbd_res_host hosts[DRBD_RES_HOSTS];
    unsigned host_count;
    struct drbd_res_option *options[DRBD_RES_SECTIONS]; /* its own first, then those of common */
    const char *file;
    unsigned line;
    struct drbd_resource *next;
};

struct drbd_res {
    struct drbd_text *text; /* owns everything */
    struct drbd_resource *first;
    unsigned count;
};

/* As drbd_text_parse(); what is understood wrongly or not at all is an error with file and line. */
int drbd_res_parse(const char *file, const char *text, size_t length, drbd_text_find *find, void *context,
                   struct drbd_res **res, struct drbd_text_error *error);
void drbd_res_free(struct drbd_res *res);
/* The first value of an option; NULL: it is not given. */
const struct drbd_res_option *drbd_res_find(const struct drbd_resource *resource,
                                            enum drbd_res_section section, const char *name);
const char *drbd_res_section_name(enum drbd_res_section section);

/* drbd_files.c: a drbd_text_find that reads files; `context` is not used. */
drbd_text_find drbd_files_find;
/* Reads a file whole into new memory of the caller. 0 or -errno. */
int drbd_files_read(const char *path, char **text, size_t *length);

#endif
