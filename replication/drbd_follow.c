/* `drbdsetup events2 --statistics RESOURCE`, followed as long as the replica is open. */
#include <qb/qblog.h>
#include <stdio.h>
#include <string.h>

#include "replication/drbd_replica.h"
#include "target/base/reactor.h"

enum {
    BACKOFF_MS = 500,       /* before it is started again; doubled each time */
    BACKOFF_MOST_MS = 30000,
    POLL_MS = 2000, /* the counts of a resync are no events in 8.4: they are asked for; the record is compared */
    POLL_TIMEOUT_MS = 10000,
};

static void start(struct drbd_replica *d);

/* ---- what it tells ---- */

/* All was told. Who made DRBD Primary before a crash of this daemon has to give that back: the group is nobody's. */
static void known(struct drbd_replica *d)
{
    d->known = true;
    d->trouble[0] = '\0';
    d->backoff_ms = BACKOFF_MS;
    if (!d->was_known && d->own_role && d->view.role == DRBD_PRIMARY) {
        qb_log(LOG_WARNING, "group %s: DRBD was left Primary, making it Secondary", d->public.options.group->name);
        drbd_order_take(d, ORDER_DEMOTE, false, NULL, NULL);
    }
    d->was_known = true;
}

static void take(struct drbd_replica *d, const char *line, size_t length)
{
    struct drbd_event event;

    if (!length)
        return;
    if (drbd_event_parse(line, length, &event)) {
        if (!d->told_unknown)
            qb_log(LOG_WARNING, "group %s: drbdsetup events2 says \"%.*s\": expected VERB OBJECT KEY:VALUE...",
                   d->public.options.group->name, (int)(length < 200 ? length : 200), line);
        d->told_unknown = true;
        return;
    }
    if (event.unknown[0] && !d->told_unknown) {
        d->told_unknown = true;
        qb_log(LOG_WARNING, "group %s: drbdsetup events2 says \"%s\", which is not known here: taken for the worst",
               d->public.options.group->name, event.unknown);
    }
    if (event.object == DRBD_HELPER && !strcmp(event.name, d->resource))
        qb_log(LOG_NOTICE, "group %s: DRBD %s its handler %s", d->public.options.group->name,
               event.verb == DRBD_CALL ? "calls" : "has an answer of", event.helper);
    if (drbd_view_apply(&d->view, d->resource, &event) && d->view.dumped) {
        if (!d->known)
            known(d);
        drbd_changed(d);
    }
}

static void on_line(void *context, const char *line, size_t length)
{
    take(context, line, length);
}

/* ---- counts ---- */

static void poll_later(struct drbd_replica *d);

static void on_snapshot_line(void *context, const char *line, size_t length)
{
    struct drbd_replica *d = context;
    struct drbd_event event;

    /* Counts alone: states come in order by the other one. */
    if (!d->known || drbd_event_parse(line, length, &event) || event.object == DRBD_DUMPED)
        return;
    if (event.object != DRBD_PEER_DEVICE && event.object != DRBD_DEVICE)
        return;
    event.fields &= DRBD_HAS_NAME | DRBD_HAS_PEER_ID | DRBD_HAS_VOLUME | DRBD_HAS_SIZE | DRBD_HAS_WRITTEN |
                    DRBD_HAS_RECEIVED | DRBD_HAS_SENT | DRBD_HAS_OUT_OF_SYNC | DRBD_HAS_DONE;
    if (event.verb == DRBD_EXISTS && drbd_view_device(&d->view, (unsigned)event.volume))
        drbd_view_apply(&d->view, d->resource, &event);
}

static void on_snapshot_end(void *context, int status, const char *said)
{
    struct drbd_replica *d = context;

    struct replica_status s = {.why = ""};
    uint64_t now = monotonic_ns(), left;

    d->snapshot = NULL;
    drbd_view_status(&d->view, drbd_peer_of(d), &s);
    left = s.resync_total - s.resync_done;
    if (d->sync_counted > left && now > d->sync_counted_ns)
        d->sync_rate = (d->sync_counted - left) * 1000 / ((now - d->sync_counted_ns) / 1000000 + 1);
    d->sync_counted = left;
    d->sync_counted_ns = now;
    drbd_changed(d);
    poll_later(d);
}

static bool resyncs(const struct drbd_replica *d)
{
    struct replica_status status = {.why = ""};

    drbd_view_status(&d->view, drbd_peer_of(d), &status);
    return status.connection > CONN_CONNECTED;
}

static void on_poll(void *data)
{
    struct drbd_replica *d = data;
    const char *const arguments[] = {"drbdsetup", "events2", "--now", "--statistics", d->resource, NULL};
    char why[PROCESS_SAID];

    d->poll_armed = false;
    drbd_compare_record(d);
    if (d->known && resyncs(d) && !d->snapshot)
        process_start(
            &(struct process_options){
                .loop = d->loop,
                .arguments = arguments,
                .timeout_ms = POLL_TIMEOUT_MS,
                .line = on_snapshot_line,
                .ended = on_snapshot_end,
                .context = d,
            },
            &d->snapshot, why);
    if (!d->snapshot)
        poll_later(d);
}

static void poll_later(struct drbd_replica *d)
{
    if (!d->poll_armed)
        d->poll_armed =
            !qb_loop_timer_add(d->loop, QB_LOOP_LOW, POLL_MS * 1000000ull, d, on_poll, &d->poll);
}

/* ---- its start and its end ---- */

static void on_restart(void *data)
{
    struct drbd_replica *d = data;

    d->restart_armed = false;
    start(d);
}

/* What is not followed any more is not known any more. */
static void lost(struct drbd_replica *d, const char *why)
{
    bool news = strcmp(d->trouble, why);

    d->known = d->equal = false;
    memset(&d->view, 0, sizeof d->view);
    snprintf(d->trouble, sizeof d->trouble, "%s", why);
    if (news)
        qb_log(LOG_ERR, "group %s: %s", d->public.options.group->name, why);
    d->restart_armed =
        !qb_loop_timer_add(d->loop, QB_LOOP_MED, d->backoff_ms * 1000000ull, d, on_restart, &d->restart);
    d->backoff_ms = d->backoff_ms * 2 < BACKOFF_MOST_MS ? d->backoff_ms * 2 : BACKOFF_MOST_MS;
    drbd_changed(d);
}

static void on_end(void *context, int status, const char *said)
{
    struct drbd_replica *d = context;
    char why[160];

    d->events = NULL;
    if (strstr(said, "modprobe") || strstr(said, "netlink"))
        snprintf(why, sizeof why, "the kernel module drbd is not there: drbdsetup: %s", said);
    else
        snprintf(why, sizeof why, "drbdsetup events2 ended with status %d%s%s", status, *said ? ": " : "", said);
    lost(d, why);
}

static void start(struct drbd_replica *d)
{
    const char *const arguments[] = {"drbdsetup", "events2", "--statistics", d->resource, NULL};
    char why[PROCESS_SAID], sentence[160];

    memset(&d->view, 0, sizeof d->view);
    if (!process_start(
            &(struct process_options){
                .loop = d->loop,
                .arguments = arguments,
                .line = on_line,
                .ended = on_end,
                .context = d,
            },
            &d->events, why))
        return;
    snprintf(sentence, sizeof sentence, "drbd-utils: %.140s", why);
    lost(d, sentence);
}

void drbd_follow_start(struct drbd_replica *d)
{
    d->backoff_ms = BACKOFF_MS;
    start(d);
    poll_later(d);
}

void drbd_follow_stop(struct drbd_replica *d)
{
    process_kill(d->events);
    process_kill(d->snapshot);
    d->events = d->snapshot = NULL;
    if (d->restart_armed)
        qb_loop_timer_del(d->loop, d->restart);
    if (d->poll_armed)
        qb_loop_timer_del(d->loop, d->poll);
    d->restart_armed = d->poll_armed = false;
}
