/* drbd_event_parse() and drbd_view_apply(): the bytes as the output of `drbdsetup events2`, line by line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "replication/drbd_view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must be true whatever came. */
static void check(const struct drbd_view *view)
{
    const struct drbd_peer *peer = drbd_view_peer(view, "there");
    struct replica_status status = {.why = "kept"};
    struct replica_volume_status volume;

    if (view->device_count > DRBD_VOLUMES || view->peer_count > DRBD_PEERS)
        abort();
    for (unsigned i = 1; i < view->device_count; i++)
        if (view->devices[i - 1].volume >= view->devices[i].volume)
            abort();
    drbd_view_status(view, peer, &status);
    if (strcmp(status.why, "kept"))
        abort();
    for (unsigned i = 0; i < view->device_count; i++) {
        drbd_view_volume(&view->devices[i], peer, &volume);
        if (volume.disk < status.disk || volume.peer_disk < status.peer_disk)
            abort(); /* the status is the worst of them */
    }
    if (drbd_view_equal(view, peer) && drbd_view_peer_stale(view, peer))
        abort();
    if (!view->dumped && (drbd_view_equal(view, peer) || drbd_view_peer_stale(view, peer)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct drbd_view view;
    const char *at = (const char *)data, *end = at + size;

    memset(&view, 0, sizeof view);
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((newline ? newline : end) - at);
        struct drbd_event event;
        int rc = drbd_event_parse(at, length, &event);

        if (!rc) {
            drbd_view_apply(&view, event.name[0] == 'd' ? "data" : "r0", &event);
            if (drbd_view_apply(&view, event.name[0] == 'd' ? "data" : "r0", &event) &&
                event.verb != DRBD_DESTROY && event.verb != DRBD_RENAME &&
                !(event.fields & DRBD_HAS_DONE))
                abort(); /* told twice is told once */
            check(&view);
        }
        at += length + 1;
    }
    return 0;
}
