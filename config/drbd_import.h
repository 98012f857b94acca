/* A resource of DRBD as blocks of halun.conf: for `halunctl import-drbd`. */
#ifndef HALUN_CONFIG_DRBD_IMPORT_H
#define HALUN_CONFIG_DRBD_IMPORT_H

#include <stdio.h>

#include "config/drbd_res.h"

enum drbd_import_engine {
    DRBD_IMPORT_DRBD,    /* the kernel's DRBD stays below the group */
    DRBD_IMPORT_BUILTIN, /* the built-in engine takes its disks and addresses */
};

/* What only the machine knows. */
struct drbd_import_world {
    /* Bytes of a device, 0: not known here. */
    uint64_t (*size)(void *context, const char *device);
    void (*uuid)(void *context, char text[37]);
    void *context;
};

/* Prints group and lu blocks, with comments about what has to be done by hand. -EINVAL and a complaint with file and
 * line when halun cannot take this resource; nothing is printed then. */
int drbd_import(const struct drbd_resource *resource, enum drbd_import_engine engine,
                const struct drbd_import_world *world, FILE *out, struct drbd_text_error *error);

#endif
