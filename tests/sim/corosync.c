/* The client libraries of Corosync (cpg, quorum, votequorum) on the simulated bus. */
#include <corosync/cpg.h>
#include <corosync/quorum.h>
#include <corosync/votequorum.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

struct delivery {
    struct delivery *next;
    unsigned sender;
    const void *bytes; /* the bus's memory; NULL: a change of the group */
    size_t size;
    uint32_t members, joined, left, down;
};

static struct client {
    bool cpg, joined, tracking;
    void *context;
    const void *quorum_context;
    cpg_model_v1_data_t callbacks;
    quorum_callbacks_t quorum_callbacks;
    struct cpg_name group;
    struct delivery *queue, **queue_end;
    bool quorum_news, quorate;
    int cpg_fd, quorum_fd;
} clients[SIM_NODES + 1];

static struct client *mine(void)
{
    return &clients[current->host->id];
}

bool corosync_readable(const struct host *host, enum fd_kind kind)
{
    const struct client *client = &clients[host->id];

    return kind == FD_CPG ? client->queue != NULL : client->tracking && client->quorum_news;
}

void corosync_deliver(struct host *host, unsigned sender, const void *bytes, size_t size,
                      uint32_t members, uint32_t joined, uint32_t left, uint32_t down)
{
    struct client *client = &clients[host->id];
    struct delivery *delivery;

    if (!client->joined)
        return;
    delivery = malloc(sizeof *delivery);
    *delivery = (struct delivery){NULL, sender, bytes, size, members, joined, left, down};
    *client->queue_end = delivery;
    client->queue_end = &delivery->next;
    loop_ready(host);
}

void corosync_quorum(struct host *host, bool quorate)
{
    clients[host->id].quorum_news = true;
    clients[host->id].quorate = quorate;
    loop_ready(host);
}

static void forget(struct client *client)
{
    while (client->queue) {
        struct delivery *next = client->queue->next;
        free(client->queue);
        client->queue = next;
    }
    memset(client, 0, sizeof *client);
    client->queue_end = &client->queue;
}

void corosync_process_ended(struct host *host)
{
    struct client *client = &clients[host->id];

    if (client->joined)
        bus_leave(host, true);
    forget(client);
}

void corosync_forget(struct host *host)
{
    forget(&clients[host->id]);
}

/* ---- the calls of the module ---- */

cs_error_t __wrap_cpg_model_initialize(cpg_handle_t *handle, cpg_model_t model,
                                       cpg_model_data_t *data, void *context);
cs_error_t __wrap_cpg_join(cpg_handle_t handle, const struct cpg_name *group);
cs_error_t __wrap_cpg_leave(cpg_handle_t handle, const struct cpg_name *group);
cs_error_t __wrap_cpg_finalize(cpg_handle_t handle);
cs_error_t __wrap_cpg_local_get(cpg_handle_t handle, unsigned *node);
cs_error_t __wrap_cpg_context_get(cpg_handle_t handle, void **context);
cs_error_t __wrap_cpg_fd_get(cpg_handle_t handle, int *fd);
cs_error_t __wrap_cpg_dispatch(cpg_handle_t handle, cs_dispatch_flags_t flags);
cs_error_t __wrap_cpg_mcast_joined(cpg_handle_t handle, cpg_guarantee_t guarantee,
                                   const struct iovec *iov, unsigned count);
cs_error_t __wrap_quorum_initialize(quorum_handle_t *handle, quorum_callbacks_t *callbacks,
                                    uint32_t *type);
cs_error_t __wrap_quorum_finalize(quorum_handle_t handle);
cs_error_t __wrap_quorum_context_set(quorum_handle_t handle, const void *context);
cs_error_t __wrap_quorum_context_get(quorum_handle_t handle, const void **context);
cs_error_t __wrap_quorum_trackstart(quorum_handle_t handle, unsigned flags);
cs_error_t __wrap_quorum_fd_get(quorum_handle_t handle, int *fd);
cs_error_t __wrap_quorum_dispatch(quorum_handle_t handle, cs_dispatch_flags_t flags);
cs_error_t __wrap_votequorum_initialize(votequorum_handle_t *handle,
                                        votequorum_callbacks_t *callbacks);
cs_error_t __wrap_votequorum_finalize(votequorum_handle_t handle);
cs_error_t __wrap_votequorum_getinfo(votequorum_handle_t handle, unsigned node,
                                     struct votequorum_info *info);
const char *__wrap_cs_strerror(cs_error_t error);

cs_error_t __wrap_cpg_model_initialize(cpg_handle_t *handle, cpg_model_t model,
                                       cpg_model_data_t *data, void *context)
{
    struct client *client = mine();

    if (!bus_ring(current->host))
        return CS_ERR_TRY_AGAIN; /* Corosync is just starting */
    forget(client);
    client->cpg = true;
    client->callbacks = *(cpg_model_v1_data_t *)data;
    client->context = context;
    client->cpg_fd = client->quorum_fd = -1;
    *handle = current->host->id;
    return CS_OK;
}

cs_error_t __wrap_cpg_join(cpg_handle_t handle, const struct cpg_name *group)
{
    mine()->group = *group;
    mine()->joined = true;
    bus_join(current->host);
    return CS_OK;
}

cs_error_t __wrap_cpg_leave(cpg_handle_t handle, const struct cpg_name *group)
{
    if (mine()->joined)
        bus_leave(current->host, false);
    mine()->joined = false;
    return CS_OK;
}

cs_error_t __wrap_cpg_finalize(cpg_handle_t handle)
{
    if (mine()->cpg_fd >= 0)
        fd_close(current->host, mine()->cpg_fd);
    mine()->cpg_fd = -1;
    return CS_OK;
}

cs_error_t __wrap_cpg_local_get(cpg_handle_t handle, unsigned *node)
{
    *node = current->host->id;
    return CS_OK;
}

cs_error_t __wrap_cpg_context_get(cpg_handle_t handle, void **context)
{
    *context = mine()->context;
    return CS_OK;
}

cs_error_t __wrap_cpg_fd_get(cpg_handle_t handle, int *fd)
{
    *fd = mine()->cpg_fd = fd_new(current->host, FD_CPG, current->host);
    return CS_OK;
}

enum reason { STAY, LEFT, DOWN };

static unsigned addresses(uint32_t bits, enum reason how, struct cpg_address *out)
{
    unsigned n = 0;

    for (unsigned i = 1; i <= SIM_NODES; i++)
        if (bits & 1u << i) {
            out[n].nodeid = i;
            out[n].pid = 1000 * i;
            out[n++].reason = how == LEFT   ? CPG_REASON_PROCDOWN
                              : how == DOWN ? CPG_REASON_NODEDOWN
                                            : CPG_REASON_JOIN;
        }
    return n;
}

static void hand_over(struct client *client, const struct delivery *d)
{
    struct cpg_address members[SIM_NODES], joined[SIM_NODES], gone[2 * SIM_NODES];
    unsigned member_count, joined_count, gone_count;

    if (d->bytes) {
        client->callbacks.cpg_deliver_fn(current->host->id, &client->group, d->sender, 1,
                                         (void *)d->bytes, d->size);
        return;
    }
    member_count = addresses(d->members, STAY, members);
    joined_count = addresses(d->joined, STAY, joined);
    gone_count = addresses(d->left, LEFT, gone);
    gone_count += addresses(d->down, DOWN, gone + gone_count);
    client->callbacks.cpg_confchg_fn(current->host->id, &client->group, members, member_count, gone,
                                     gone_count, joined, joined_count);
}

cs_error_t __wrap_cpg_dispatch(cpg_handle_t handle, cs_dispatch_flags_t flags)
{
    struct client *client = mine();

    if (!client->queue && flags == CS_DISPATCH_ONE_NONBLOCKING)
        return CS_ERR_TRY_AGAIN;
    while (client->queue) {
        struct delivery d = *client->queue;
        free(client->queue);
        client->queue = d.next;
        if (!client->queue)
            client->queue_end = &client->queue;
        hand_over(client, &d);
        if (flags == CS_DISPATCH_ONE_NONBLOCKING)
            break;
    }
    return CS_OK;
}

cs_error_t __wrap_cpg_mcast_joined(cpg_handle_t handle, cpg_guarantee_t guarantee,
                                   const struct iovec *iov, unsigned count)
{
    return bus_send(current->host, iov[0].iov_base, iov[0].iov_len) ? CS_OK : CS_ERR_TRY_AGAIN;
}

cs_error_t __wrap_quorum_initialize(quorum_handle_t *handle, quorum_callbacks_t *callbacks,
                                    uint32_t *type)
{
    *handle = current->host->id;
    *type = QUORUM_SET;
    mine()->quorum_callbacks = *callbacks;
    return CS_OK;
}

cs_error_t __wrap_quorum_finalize(quorum_handle_t handle)
{
    if (mine()->quorum_fd >= 0)
        fd_close(current->host, mine()->quorum_fd);
    mine()->quorum_fd = -1;
    return CS_OK;
}

cs_error_t __wrap_quorum_context_set(quorum_handle_t handle, const void *context)
{
    mine()->quorum_context = context;
    return CS_OK;
}

cs_error_t __wrap_quorum_context_get(quorum_handle_t handle, const void **context)
{
    *context = mine()->quorum_context;
    return CS_OK;
}

cs_error_t __wrap_quorum_trackstart(quorum_handle_t handle, unsigned flags)
{
    struct client *client = mine();

    client->tracking = client->quorum_news = true;
    client->quorate = bus_quorate(current->host);
    return CS_OK;
}

cs_error_t __wrap_quorum_fd_get(quorum_handle_t handle, int *fd)
{
    *fd = mine()->quorum_fd = fd_new(current->host, FD_QUORUM, current->host);
    return CS_OK;
}

cs_error_t __wrap_quorum_dispatch(quorum_handle_t handle, cs_dispatch_flags_t flags)
{
    struct client *client = mine();
    uint32_t nodes[SIM_NODES];

    if (!client->quorum_news)
        return CS_OK;
    client->quorum_news = false;
    client->quorum_callbacks.quorum_notify_fn(current->host->id, client->quorate, 1, 0, nodes);
    return CS_OK;
}

cs_error_t __wrap_votequorum_initialize(votequorum_handle_t *handle,
                                        votequorum_callbacks_t *callbacks)
{
    *handle = current->host->id;
    return CS_OK;
}

cs_error_t __wrap_votequorum_finalize(votequorum_handle_t handle)
{
    return CS_OK;
}

cs_error_t __wrap_votequorum_getinfo(votequorum_handle_t handle, unsigned node,
                                     struct votequorum_info *info)
{
    memset(info, 0, sizeof *info);
    info->node_expected_votes = sim_config()->nodes;
    info->flags = sim_config()->two_node ? VOTEQUORUM_INFO_TWONODE : 0;
    return CS_OK;
}

const char *__wrap_cs_strerror(cs_error_t error)
{
    return "simulated";
}
