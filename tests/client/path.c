#include "tests/client/path.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "target/base/bytes.h"

static const double NOP_EVERY = 0.5, SILENCE = 2.0, RETRY = 0.3, CONNECT_LIMIT = 3.0, ASK_EVERY = 2.0;

double path_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int path_init(struct path *path, const char *url, const char *initiator)
{
    struct iscsi_context *scratch = iscsi_create_context(initiator);

    memset(path, 0, sizeof *path);
    path->url = url;
    path->initiator = initiator;
    path->parsed = iscsi_parse_full_url(scratch, url);
    if (!path->parsed)
        snprintf(path->why, sizeof path->why, "%s", iscsi_get_error(scratch));
    iscsi_destroy_context(scratch);
    return path->parsed ? 0 : -1;
}

void path_done(struct path *path)
{
    if (path->iscsi)
        iscsi_destroy_context(path->iscsi);
    if (path->parsed)
        iscsi_destroy_url(path->parsed);
}

void path_fail(struct path *path, const char *why)
{
    if (path->broken)
        return;
    path->broken = true;
    snprintf(path->why, sizeof path->why, "%s", why);
}

static void ask(struct path *path);

/* VPD page 83h: the target port group designator (type 5, association 1). */
static void identified(struct iscsi_context *iscsi, int status, void *data, void *private)
{
    struct path *path = private;
    struct scsi_task *task = data;

    path->asking = false;
    if (status == SCSI_STATUS_GOOD && task->datain.size >= 4) {
        const uint8_t *page = task->datain.data;
        unsigned length = get_be16(page + 2) + 4u, at = 4;
        if (length > (unsigned)task->datain.size)
            length = (unsigned)task->datain.size;
        for (; at + 4 <= length; at += 4u + page[at + 3])
            if ((page[at + 1] & 0x3f) == 0x15 && page[at + 3] == 4 && at + 8 <= length)
                path->group = get_be16(page + at + 6);
    }
    scsi_free_scsi_task(task);
    if (path->group >= 0)
        ask(path);
}

static void states_reported(struct iscsi_context *iscsi, int status, void *data, void *private)
{
    struct path *path = private;
    struct scsi_task *task = data;

    path->asking = false;
    if (status == SCSI_STATUS_GOOD && task->datain.size >= 4) {
        const uint8_t *list = task->datain.data;
        unsigned length = get_be32(list) + 4, at = 4;
        if (length > (unsigned)task->datain.size)
            length = (unsigned)task->datain.size;
        for (; at + 8 <= length; at += 8u + 4u * list[at + 7]) /* SPC-4 table 309 */
            if (get_be16(list + at + 2) == path->group)
                path->optimized = (list[at] & 0x0f) == 0;
    }
    scsi_free_scsi_task(task);
}

static void ask(struct path *path)
{
    static const int room = 1024;
    unsigned char inquiry[6] = {0x12, 1, 0x83, room >> 8, room & 0xff};
    unsigned char report[12] = {0xa3, 0x0a, 0, 0, 0, 0, 0, 0, room >> 8, room & 0xff};
    bool know = path->group >= 0;
    struct scsi_task *task = know ? scsi_create_task(12, report, SCSI_XFER_READ, room)
                                  : scsi_create_task(6, inquiry, SCSI_XFER_READ, room);

    path->asked_at = path_now();
    if (!task)
        return;
    path->asking = true;
    if (iscsi_scsi_command_async(path->iscsi, path->parsed->lun, task,
                                 know ? states_reported : identified, NULL, path)) {
        path->asking = false;
        scsi_free_scsi_task(task);
        path_fail(path, iscsi_get_error(path->iscsi));
    }
}

static void pinged(struct iscsi_context *iscsi, int status, void *data, void *private)
{
    struct path *path = private;

    if (status == SCSI_STATUS_GOOD)
        path->heard_at = path_now();
}

static void logged_in(struct iscsi_context *iscsi, int status, void *data, void *private)
{
    struct path *path = private;

    if (status != SCSI_STATUS_GOOD) {
        path_fail(path, iscsi_get_error(iscsi));
        return;
    }
    path->state = PATH_UP;
    path->heard_at = path->nop_at = path_now();
    path->group = -1;
    path->asking = false;
    if (!path->plain)
        ask(path);
}

static void connected(struct iscsi_context *iscsi, int status, void *data, void *private)
{
    struct path *path = private;

    if (status != SCSI_STATUS_GOOD || iscsi_login_async(iscsi, logged_in, path))
        path_fail(path, iscsi_get_error(iscsi));
}

static void connect_path(struct path *path)
{
    path->iscsi = iscsi_create_context(path->initiator);
    path->heard_at = path_now();
    path->broken = false;
    if (!path->iscsi)
        return;
    iscsi_set_noautoreconnect(path->iscsi, 1);
    if (path->isid)
        iscsi_set_isid_en(path->iscsi, path->isid, 0);
    iscsi_set_targetname(path->iscsi, path->parsed->target);
    iscsi_set_session_type(path->iscsi, ISCSI_SESSION_NORMAL);
    iscsi_set_header_digest(path->iscsi, ISCSI_HEADER_DIGEST_NONE_CRC32C);
    if (path->parsed->user[0])
        iscsi_set_initiator_username_pwd(path->iscsi, path->parsed->user, path->parsed->passwd);
    path->state = PATH_CONNECTING;
    /* Connect and login by hand: iscsi_full_connect would stop at the first unit attention. */
    if (iscsi_connect_async(path->iscsi, path->parsed->portal, connected, path))
        path_fail(path, iscsi_get_error(path->iscsi));
}

static void tear_down(struct path *path)
{
    struct iscsi_context *iscsi = path->iscsi;

    path->iscsi = NULL;
    path->state = PATH_DOWN;
    path->optimized = false;
    path->failures++;
    path->retry_at = path_now() + RETRY;
    if (iscsi)
        iscsi_destroy_context(iscsi); /* cancels what is in flight */
    path->broken = false;
}

void path_step(struct path *path)
{
    double now = path_now();

    if (path->broken)
        tear_down(path);
    switch (path->state) {
    case PATH_DOWN:
        if (now >= path->retry_at)
            connect_path(path);
        break;
    case PATH_CONNECTING:
        if (now - path->heard_at > CONNECT_LIMIT)
            path_fail(path, "login takes too long");
        break;
    case PATH_UP:
        if (now - path->heard_at > SILENCE) {
            path_fail(path, "target is silent");
            break;
        }
        if (now - path->nop_at > NOP_EVERY) {
            path->nop_at = now;
            if (iscsi_nop_out_async(path->iscsi, pinged, NULL, 0, path))
                path_fail(path, iscsi_get_error(path->iscsi));
        }
        if (!path->plain && !path->asking && now - path->asked_at > ASK_EVERY)
            ask(path);
        break;
    }
    if (path->broken)
        tear_down(path);
}

int path_fd(struct path *path, short *events)
{
    *events = 0;
    if (!path->iscsi || path->broken)
        return -1;
    *events = (short)iscsi_which_events(path->iscsi);
    return iscsi_get_fd(path->iscsi);
}

void path_service(struct path *path, int revents)
{
    if (path->iscsi && !path->broken && iscsi_service(path->iscsi, revents) < 0)
        path_fail(path, iscsi_get_error(path->iscsi));
}

void path_ask_soon(struct path *path)
{
    if (path->state == PATH_UP && !path->plain && !path->asking && !path->broken)
        ask(path);
}
