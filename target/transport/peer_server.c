/* The owner's side: commands of other nodes' nexuses, run by this node's engine through proxies. */
#include <assert.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "target/base/bytes.h"
#include "target/base/container.h"
#include "target/base/threads.h"
#include "target/command/command.h"
#include "target/device/device.h"
#include "target/nexus/nexus.h"
#include "target/transport/peer_private.h"

enum { SLOTS = 1024 /* as many as the other side has */ };

struct proxy {
    struct nexus nexus;
    struct server *server;
    uint32_t id;
    bool gone;
    struct qb_list_head link;
};

struct served {
    struct task task;
    struct server *server;
    struct peer_frame frame;
    uint32_t slot;
    bool used, receiving, completed;
};

struct server {
    struct peer_link link;
    struct reactor *reactor;
    struct qb_list_head of_reactor;
    struct qb_list_head proxies;
    struct peer_frame hello;
    unsigned node; /* 0 until its HELLO came */
    bool closed;
    unsigned used;
    struct served *slots[SLOTS]; /* allocated when first used, kept for the link's life */
};

static struct qb_list_head servers[LIMIT_REACTORS];

static struct qb_list_head *local_servers(void)
{
    struct qb_list_head *list = &servers[reactor_self()->index];

    if (!list->next)
        qb_list_init(list);
    return list;
}

static void proxy_free_if_idle(struct proxy *proxy)
{
    if (!proxy->gone || !qb_list_empty(&proxy->nexus.tasks))
        return;
    qb_list_del(&proxy->link);
    nexus_remove_proxy(&proxy->nexus);
    free(proxy);
}

static void server_free_if_idle(struct server *server)
{
    if (!server->closed || server->used)
        return;
    assert(qb_list_empty(&server->proxies));
    qb_list_del(&server->of_reactor);
    for (unsigned i = 0; i < SLOTS; i++)
        free(server->slots[i]);
    free(server);
}

static void served_release(struct served *served)
{
    struct server *server = served->server;

    served->used = false;
    server->used--;
    server_free_if_idle(server);
}

static void response_sent(struct peer_frame *frame)
{
    struct served *served = container_of(frame, struct served, frame);
    struct server *server = served->server;

    payload_free(server->reactor->payloads, &served->task.data_out);
    payload_free(server->reactor->payloads, &served->task.data_in);
    if (!served->receiving)
        served_release(served);
}

static void respond(struct task *task)
{
    struct served *served = container_of(task, struct served, task);
    struct proxy *proxy = container_of(task->nexus, struct proxy, nexus);
    struct peer_frame *frame = &served->frame;
    uint32_t data = task->data_in_length;
    uint8_t *body;

    served->completed = true;
    if (data > task->expected_in)
        data = task->expected_in;
    if (data > task->data_in.length)
        data = (uint32_t)task->data_in.length;
    frame->sent = response_sent;
    peer_frame_init(frame, PEER_RESPONSE, served->slot, PEER_RESPONSE_BODY,
                    task->sense_length + data);
    body = frame->head + PEER_HEADER;
    body[PEER_RESPONSE_STATUS] = task->status;
    body[PEER_RESPONSE_BOUNCED] = task->bounced;
    body[PEER_RESPONSE_SENSE] = task->sense_length;
    put_be32(body + PEER_RESPONSE_WANTED, task->data_wanted);
    memcpy(body + PEER_RESPONSE_BODY, task->sense, task->sense_length);
    frame->head_length += task->sense_length;
    frame->payload = &task->data_in;
    frame->payload_length = data;
    proxy_free_if_idle(proxy);
    peer_link_send(&served->server->link, frame);
}

/* The data of a command follows it on the link: nothing is fetched, server_complete() goes on. */
static void receive_data(struct task *task, uint32_t length)
{
}

static const struct task_transport peer_transport = {
    .name = "peer",
    .receive_data = receive_data,
    .complete = respond,
};

static void proxy_drop(struct nexus *nexus, const char *why)
{
    peer_link_close(&container_of(nexus, struct proxy, nexus)->server->link, why);
}

static const struct nexus_transport proxy_transport = {.name = "peer", .drop = proxy_drop};

static struct proxy *proxy_find(struct server *server, uint32_t id)
{
    struct proxy *proxy;

    qb_list_for_each_entry(proxy, &server->proxies, link)
    {
        if (proxy->id == id && !proxy->gone)
            return proxy;
    }
    return NULL;
}

static void add_proxy(struct server *server, const uint8_t *body, uint32_t length)
{
    uint32_t transport = get_be16(body + PEER_NEXUS_LENGTH);
    struct proxy *proxy;

    if (length < PEER_NEXUS_TRANSPORT || transport > LIMIT_TRANSPORT_ID ||
        length != PEER_NEXUS_TRANSPORT + transport || !transport ||
        proxy_find(server, get_be32(body + PEER_NEXUS_ID))) {
        peer_link_close(&server->link, "malformed NEXUS frame");
        return;
    }
    proxy = calloc(1, sizeof *proxy);
    if (!proxy) {
        peer_link_close(&server->link, "out of memory");
        return;
    }
    proxy->server = server;
    proxy->id = get_be32(body + PEER_NEXUS_ID);
    proxy->nexus.transport = &proxy_transport;
    proxy->nexus.reactor = server->reactor;
    proxy->nexus.forwarded = true;
    proxy->nexus.identity.rtpi = get_be16(body + PEER_NEXUS_RTPI);
    proxy->nexus.identity.transport_length = (uint16_t)transport;
    memcpy(proxy->nexus.identity.transport_id, body + PEER_NEXUS_TRANSPORT, transport);
    if (nexus_add_proxy(&proxy->nexus)) {
        free(proxy);
        peer_link_close(&server->link, "out of memory");
        return;
    }
    qb_list_add_tail(&proxy->link, &server->proxies);
}

static void abort_all(struct proxy *proxy)
{
    while (!qb_list_empty(&proxy->nexus.tasks)) {
        struct task *task, *found = NULL;
        qb_list_for_each_entry(task, &proxy->nexus.tasks, nexus_link)
        {
            if (!task->aborted) {
                found = task;
                break;
            }
        }
        if (!found)
            break;
        task_abort(found, true);
    }
}

static struct payload *take_command(struct server *server, uint32_t slot, const uint8_t *body,
                                    uint32_t length, uint32_t data)
{
    struct proxy *proxy;
    struct served *served;
    struct task *task;
    uint32_t lu;

    if (length != PEER_COMMAND_BODY || slot >= SLOTS ||
        body[PEER_COMMAND_CDB_LENGTH] > LIMIT_CDB || data > LIMIT_TRANSFER) {
        peer_link_close(&server->link, "malformed COMMAND frame");
        return NULL;
    }
    proxy = proxy_find(server, get_be32(body + PEER_COMMAND_NEXUS));
    lu = get_be32(body + PEER_COMMAND_LU);
    if (!proxy || lu >= device_lu_count || !device_lus[lu] ||
        (server->slots[slot] && server->slots[slot]->used)) {
        peer_link_close(&server->link, "COMMAND frame names an unknown nexus or unit");
        return NULL;
    }
    if (!server->slots[slot])
        server->slots[slot] = malloc(sizeof *server->slots[slot]);
    served = server->slots[slot];
    if (!served) {
        peer_link_close(&server->link, "out of memory");
        return NULL;
    }
    memset(served, 0, sizeof *served);
    served->server = server;
    served->slot = slot;
    served->used = served->receiving = true;
    server->used++;
    task = &served->task;
    task->transport = &peer_transport;
    task->nexus = &proxy->nexus;
    task->reactor = server->reactor;
    task->lu = device_lus[lu];
    task->lane = &device_lus[lu]->lanes[server->reactor->index];
    task->lun_read_only = body[PEER_COMMAND_READ_ONLY];
    task->tag = get_be64(body + PEER_COMMAND_TAG);
    task->attribute = TASK_SIMPLE;
    task->expected_in = get_be32(body + PEER_COMMAND_IN);
    task->expected_out = get_be32(body + PEER_COMMAND_OUT);
    task->cdb_length = body[PEER_COMMAND_CDB_LENGTH];
    memcpy(task->cdb, body + PEER_COMMAND_CDB, sizeof task->cdb);
    task_execute(task);
    if (served->completed || task->state != TASK_DATA_OUT)
        return NULL; /* what follows is dropped */
    if (task->data_out.length != data) {
        /* Both engines compute the same length from the same command: the other one is not ours. */
        peer_link_close(&server->link, "COMMAND frame brings another amount of data than it needs");
        return NULL;
    }
    return &task->data_out;
}

static struct payload *server_head(struct peer_link *link, enum peer_type type, uint32_t slot,
                                   const uint8_t *body, uint32_t body_length, uint32_t data)
{
    struct server *server = container_of(link, struct server, link);
    struct proxy *proxy;

    if (!server->node) {
        const char *why = peer_check_hello(type, body, body_length, 0);
        if (why) {
            peer_link_close(link, why);
            return NULL;
        }
        server->node = get_be32(body + PEER_HELLO_NODE);
        peer_make_hello(&server->hello);
        peer_link_send(link, &server->hello);
        return NULL;
    }
    switch (type) {
    case PEER_NEXUS:
        if (body_length < PEER_NEXUS_TRANSPORT)
            peer_link_close(link, "malformed NEXUS frame");
        else
            add_proxy(server, body, body_length);
        break;
    case PEER_NEXUS_GONE:
        proxy = body_length == PEER_GONE_BODY ? proxy_find(server, get_be32(body)) : NULL;
        if (proxy) {
            abort_all(proxy);
            proxy->gone = true;
            proxy_free_if_idle(proxy);
        }
        break;
    case PEER_COMMAND:
        return take_command(server, slot, body, body_length, data);
    case PEER_ABORT:
        if (slot < SLOTS && server->slots[slot] && server->slots[slot]->used &&
            !server->slots[slot]->completed)
            task_abort(&server->slots[slot]->task, false);
        break;
    default:
        peer_link_close(link, "unexpected frame");
    }
    return NULL;
}

static void server_complete(struct peer_link *link, enum peer_type type, uint32_t slot)
{
    struct server *server = container_of(link, struct server, link);
    struct served *served;

    if (type != PEER_COMMAND || slot >= SLOTS || !server->slots[slot])
        return;
    served = server->slots[slot];
    served->receiving = false;
    if (served->completed) {
        if (!served->frame.queued)
            served_release(served);
    } else if (served->task.state == TASK_DATA_OUT) {
        task_data_ready(&served->task);
    }
}

static void server_closed(struct peer_link *link, const char *why)
{
    struct server *server = container_of(link, struct server, link);
    struct proxy *proxy, *next;

    qb_log(LOG_INFO, "peer: link from node %u closed: %s", server->node, why);
    server->closed = true;
    server->used++; /* keeps it while its tasks end */
    for (unsigned i = 0; i < SLOTS; i++) {
        struct served *served = server->slots[i];
        if (served && served->used && served->receiving) {
            served->receiving = false;
            if (served->completed)
                served_release(served);
        }
    }
    qb_list_for_each_entry_safe(proxy, next, &server->proxies, link)
    {
        proxy->gone = true;
        abort_all(proxy);
    }
    qb_list_for_each_entry_safe(proxy, next, &server->proxies, link)
        proxy_free_if_idle(proxy);
    server->used--;
    server_free_if_idle(server);
}

static const struct peer_link_callbacks server_callbacks = {
    .head = server_head,
    .complete = server_complete,
    .closed = server_closed,
};

void peer_server_take(struct reactor *reactor, int fd)
{
    struct server *server = calloc(1, sizeof *server);

    if (!server || peer_link_start(&server->link, reactor, fd, &server_callbacks)) {
        free(server);
        close(fd);
        return;
    }
    server->reactor = reactor;
    qb_list_init(&server->proxies);
    qb_list_add_tail(&server->of_reactor, local_servers());
}

void peer_server_cut(unsigned node, const char *why)
{
    struct server *server;

    qb_list_for_each_entry(server, local_servers(), of_reactor)
    {
        if (!node || server->node == node)
            peer_link_close(&server->link, why);
    }
}
