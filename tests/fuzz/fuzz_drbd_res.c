/* drbd_res_parse(): the bytes as /etc/drbd.conf; `include` finds the same bytes again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/drbd_res.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
    const char *text;
    size_t size;
    unsigned found;
};

static int find(void *context, const char *pattern, const char *from,
                int (*take)(void *inner, const char *file, const char *text, size_t length), void *inner)
{
    struct bytes *bytes = context;

    if (++bytes->found > 20)
        return 0;
    return take(inner, "included", bytes->text, bytes->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes bytes = {(const char *)data, size, 0};
    struct drbd_text_error error;
    struct drbd_res *res = NULL;

    if (drbd_res_parse("f", bytes.text, size, find, &bytes, &res, &error)) {
        if (!strchr(error.text, ':') || res)
            abort(); /* every refusal says where */
        return 0;
    }
    for (const struct drbd_resource *r = res->first; r; r = r->next) {
        if (!r->host_count || r->host_count > DRBD_RES_HOSTS)
            abort();
        for (unsigned h = 0; h < r->host_count; h++)
            for (unsigned v = 0; v < r->hosts[h].volume_count; v++)
                if (r->hosts[h].volumes[v].device[0] != '/' || !r->hosts[h].volumes[v].disk ||
                    (v && r->hosts[h].volumes[v - 1].number >= r->hosts[h].volumes[v].number))
                    abort();
        drbd_res_find(r, DRBD_RES_NET, "protocol");
    }
    drbd_res_free(res);
    return 0;
}
