#include "cluster/cpg.h"

#include <corosync/cpg.h>
#include <corosync/quorum.h>
#include <corosync/votequorum.h>
#include <errno.h>
#include <poll.h>
#include <qb/qbdefs.h>
#include <qb/qblist.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "target/base/limits.h"

enum { OPEN_TRIES = 100, OPEN_WAIT_US = 50000, RETRY_MS = 2, DISPATCH_MOST = 64 };

struct queued {
    struct qb_list_head link;
    size_t size;
    uint8_t bytes[];
};

struct cpg_wire {
    qb_loop_t *loop;
    struct cpg_wire_callbacks callbacks;
    cpg_handle_t cpg;
    quorum_handle_t quorum;
    struct cpg_name group;
    int cpg_fd, quorum_fd;
    bool open_cpg, open_quorum, joined, dead;
    struct qb_list_head queue;
    qb_loop_timer_handle retry;
    bool retrying;
};

static void lost(struct cpg_wire *wire, const char *what, cs_error_t error)
{
    char why[160];

    if (wire->dead)
        return;
    wire->dead = true;
    snprintf(why, sizeof why, "Corosync is gone: %s: %s", what, cs_strerror(error));
    wire->callbacks.lost(wire->callbacks.context, why);
}

static uint32_t bit_of(uint32_t node)
{
    if (node >= 1 && node <= LIMIT_NODES)
        return 1u << node;
    qb_log(LOG_ERR, "Corosync node id %u is not of this cluster (1 to %u)", node, LIMIT_NODES);
    return 0;
}

static void on_message(cpg_handle_t handle, const struct cpg_name *group, uint32_t node,
                       uint32_t pid, void *bytes, size_t size)
{
    struct cpg_wire *wire;

    if (cpg_context_get(handle, (void **)&wire) == CS_OK && !wire->dead && bit_of(node))
        wire->callbacks.message(wire->callbacks.context, node, bytes, size);
}

static void on_group(cpg_handle_t handle, const struct cpg_name *group,
                     const struct cpg_address *members, size_t member_count,
                     const struct cpg_address *gone, size_t gone_count,
                     const struct cpg_address *come, size_t come_count)
{
    struct cpg_wire *wire;
    uint32_t all = 0, joined = 0, left = 0, down = 0;

    if (cpg_context_get(handle, (void **)&wire) != CS_OK || wire->dead)
        return;
    for (size_t i = 0; i < member_count; i++)
        all |= bit_of(members[i].nodeid);
    for (size_t i = 0; i < come_count; i++)
        joined |= bit_of(come[i].nodeid);
    for (size_t i = 0; i < gone_count; i++)
        if (gone[i].reason == CPG_REASON_LEAVE || gone[i].reason == CPG_REASON_PROCDOWN)
            left |= bit_of(gone[i].nodeid);
        else
            down |= bit_of(gone[i].nodeid);
    wire->callbacks.group(wire->callbacks.context, all, joined, left, down);
}

static void on_quorum(quorum_handle_t handle, uint32_t quorate, uint64_t ring, uint32_t count,
                      uint32_t *nodes)
{
    const void *context;

    if (quorum_context_get(handle, &context) == CS_OK) {
        const struct cpg_wire *wire = context;
        if (!wire->dead)
            wire->callbacks.quorum(wire->callbacks.context, quorate);
    }
}

/* Corosync says what a new ring means for quorum before it lets a message round in it, but on another connection:
 * so that is read first, before each message. The machine relies on the order (cluster_member.c, wants_proof()). */
static cs_error_t dispatch_in_order(struct cpg_wire *wire)
{
    cs_error_t error = CS_OK;

    for (unsigned i = 0; i < DISPATCH_MOST && error == CS_OK && !wire->dead; i++) {
        error = quorum_dispatch(wire->quorum, CS_DISPATCH_ALL);
        if (error == CS_OK || error == CS_ERR_TRY_AGAIN)
            error = cpg_dispatch(wire->cpg, CS_DISPATCH_ONE_NONBLOCKING);
    }
    return error;
}

static int32_t dispatch_cpg(int32_t fd, int32_t events, void *data)
{
    struct cpg_wire *wire = data;
    cs_error_t error = events & (POLLERR | POLLHUP | POLLNVAL) ? CS_ERR_LIBRARY : dispatch_in_order(wire);

    if (error == CS_OK || error == CS_ERR_TRY_AGAIN)
        return 0;
    lost(wire, "group", error);
    return -1;
}

static int32_t dispatch_quorum(int32_t fd, int32_t events, void *data)
{
    struct cpg_wire *wire = data;
    cs_error_t error = events & (POLLERR | POLLHUP | POLLNVAL)
                           ? CS_ERR_LIBRARY
                           : quorum_dispatch(wire->quorum, CS_DISPATCH_ALL);

    if (error == CS_OK || error == CS_ERR_TRY_AGAIN)
        return 0;
    lost(wire, "quorum", error);
    return -1;
}

/* Asks the votes of this moment; anything unclear means that only fencing proves. */
static bool votes_prove(void)
{
    votequorum_callbacks_t none = {0};
    votequorum_handle_t handle;
    struct votequorum_info info;
    bool prove = false;

    if (votequorum_initialize(&handle, &none) != CS_OK)
        return false;
    if (votequorum_getinfo(handle, 0, &info) == CS_OK)
        prove = info.node_expected_votes >= 3 &&
                !(info.flags & (VOTEQUORUM_INFO_TWONODE | VOTEQUORUM_INFO_LAST_MAN_STANDING |
                                VOTEQUORUM_INFO_ALLOW_DOWNSCALE));
    votequorum_finalize(handle);
    return prove;
}

static cs_error_t open_all(struct cpg_wire *wire, const char **step)
{
    cpg_model_v1_data_t model = {.cpg_deliver_fn = on_message, .cpg_confchg_fn = on_group};
    quorum_callbacks_t quorum = {.quorum_notify_fn = on_quorum};
    cs_error_t error = CS_OK;
    uint32_t type;

    *step = "cpg_initialize";
    if (!wire->open_cpg) {
        error = cpg_model_initialize(&wire->cpg, CPG_MODEL_V1, (cpg_model_data_t *)&model, wire);
        wire->open_cpg = error == CS_OK;
    }
    if (error == CS_OK && !wire->open_quorum) {
        *step = "quorum_initialize";
        error = quorum_initialize(&wire->quorum, &quorum, &type);
        wire->open_quorum = error == CS_OK;
        if (error == CS_OK)
            quorum_context_set(wire->quorum, wire);
        if (error == CS_OK && type != QUORUM_SET) {
            *step = "no quorum provider in corosync.conf (quorum { provider: corosync_votequorum })";
            return CS_ERR_NOT_SUPPORTED;
        }
    }
    if (error == CS_OK && !wire->joined) {
        *step = "cpg_join";
        error = cpg_join(wire->cpg, &wire->group);
        wire->joined = error == CS_OK;
    }
    return error;
}

static int fail(struct cpg_wire *wire, int error, char *why, const char *format, const char *step,
                cs_error_t cause)
{
    snprintf(why, 256, format, step, cs_strerror(cause));
    cpg_wire_close(wire);
    return error;
}

int cpg_wire_open(struct cpg_wire **result, qb_loop_t *loop, const char *cluster, unsigned self,
                  const struct cpg_wire_callbacks *callbacks, bool *lease_proves, char *why)
{
    struct cpg_wire *wire = calloc(1, sizeof *wire);
    const char *step = "";
    cs_error_t error = CS_ERR_TRY_AGAIN;
    unsigned node = 0;

    if (!wire)
        return -ENOMEM;
    wire->loop = loop;
    wire->callbacks = *callbacks;
    wire->cpg_fd = wire->quorum_fd = -1;
    qb_list_init(&wire->queue);
    wire->group.length =
        (uint32_t)snprintf(wire->group.value, sizeof wire->group.value, "halun:%s", cluster);
    for (unsigned i = 0; i < OPEN_TRIES && error == CS_ERR_TRY_AGAIN; i++) {
        error = open_all(wire, &step);
        if (error == CS_ERR_TRY_AGAIN)
            usleep(OPEN_WAIT_US);
    }
    if (error != CS_OK)
        return fail(wire, -ENOTCONN, why, "cannot join the Corosync cluster: %s: %s", step, error);
    error = cpg_local_get(wire->cpg, &node);
    if (error != CS_OK || node != self) {
        snprintf(why, 256, "this node is %u in Corosync but %u in the configuration", node, self);
        cpg_wire_close(wire);
        return -EINVAL;
    }
    *lease_proves = votes_prove();
    if (cpg_fd_get(wire->cpg, &wire->cpg_fd) != CS_OK ||
        quorum_fd_get(wire->quorum, &wire->quorum_fd) != CS_OK ||
        (error = quorum_trackstart(wire->quorum, CS_TRACK_CURRENT | CS_TRACK_CHANGES)) != CS_OK ||
        qb_loop_poll_add(loop, QB_LOOP_HIGH, wire->cpg_fd, POLLIN, wire, dispatch_cpg) < 0 ||
        qb_loop_poll_add(loop, QB_LOOP_HIGH, wire->quorum_fd, POLLIN, wire, dispatch_quorum) < 0)
        return fail(wire, -EIO, why, "cannot follow the Corosync cluster: %s: %s", "tracking", error);
    *result = wire;
    return 0;
}

static void flush(struct cpg_wire *wire);

static void on_retry(void *data)
{
    struct cpg_wire *wire = data;

    wire->retrying = false;
    flush(wire);
}

/* False: it has to be tried again; a timer will. */
static bool try_send(struct cpg_wire *wire, const void *bytes, size_t size)
{
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = size};
    cs_error_t error = cpg_mcast_joined(wire->cpg, CPG_TYPE_AGREED, &part, 1);

    if (error == CS_ERR_TRY_AGAIN) {
        if (!wire->retrying && qb_loop_timer_add(wire->loop, QB_LOOP_HIGH, RETRY_MS * QB_TIME_NS_IN_MSEC, wire,
                                                 on_retry, &wire->retry) == 0)
            wire->retrying = true;
        return false;
    }
    if (error != CS_OK)
        lost(wire, "send", error);
    return true;
}

static void flush(struct cpg_wire *wire)
{
    while (!qb_list_empty(&wire->queue) && !wire->dead) {
        struct queued *q = qb_list_entry(wire->queue.next, struct queued, link);

        if (!try_send(wire, q->bytes, q->size))
            return;
        qb_list_del(&q->link);
        free(q);
    }
}

void cpg_wire_send(struct cpg_wire *wire, const void *bytes, size_t size)
{
    struct queued *q;

    if (wire->dead || (qb_list_empty(&wire->queue) && try_send(wire, bytes, size)))
        return;
    q = malloc(sizeof *q + size);
    if (!q) {
        lost(wire, "no memory for a message", CS_ERR_NO_MEMORY);
        return;
    }
    q->size = size;
    memcpy(q->bytes, bytes, size);
    qb_list_add_tail(&q->link, &wire->queue);
    if (!wire->retrying)
        flush(wire);
}

void cpg_wire_close(struct cpg_wire *wire)
{
    if (!wire)
        return;
    if (wire->retrying)
        qb_loop_timer_del(wire->loop, wire->retry);
    if (wire->cpg_fd >= 0)
        qb_loop_poll_del(wire->loop, wire->cpg_fd);
    if (wire->quorum_fd >= 0)
        qb_loop_poll_del(wire->loop, wire->quorum_fd);
    if (wire->joined && !wire->dead)
        cpg_leave(wire->cpg, &wire->group);
    if (wire->open_cpg)
        cpg_finalize(wire->cpg);
    if (wire->open_quorum)
        quorum_finalize(wire->quorum);
    while (!qb_list_empty(&wire->queue)) {
        struct queued *q = qb_list_entry(wire->queue.next, struct queued, link);
        qb_list_del(&q->link);
        free(q);
    }
    free(wire);
}
