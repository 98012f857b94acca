/* The owner's side: commands of other nodes' nexuses, run by this node's engine through proxies.
 *
 * The sender may use a slot again as soon as it has the response, which is before this side learns
 * that the response has left. So a slot names a command only until that command is over; what is
 * left of it
 * (`served`, with the frame and its data) lives on until nothing uses it:
 *
 *   take_command -> [payload arrives] -> task -> respond -> response_sent -> free list
 */
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

enum {
    STATUS_GOOD = 0x00,
    /* Commands without an answer, and answers the other side has not taken from the link yet. */
    SERVED_MAX = 2 * PEER_SLOTS,
};

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
    bool receiving;           /* the link fills the task's data_out */
    bool completed;           /* the task is over */
    bool sent;                /* nothing reads the frame any more */
    struct qb_list_head link; /* in server->unused */
};

/* One reactor's part of a new link's question for what is left of the earlier links of its number. */
struct earlier {
    struct post post;
    struct server *asker; /* its own reactor's */
    struct reactor *reactor;
    unsigned node, number;
    uint64_t order;
    struct qb_list_head link; /* in waiting[] of the asked reactor */
};

struct server {
    struct peer_link link;
    struct reactor *reactor;
    struct qb_list_head of_reactor;
    struct qb_list_head proxies; /* last used first */
    unsigned proxy_count;        /* not gone */
    struct peer_frame hello, settled;
    unsigned node;   /* 0 until its HELLO came */
    unsigned number; /* of the link at its node */
    uint64_t order;  /* of its HELLO among all that came */
    struct earlier *earlier; /* one for each reactor, until all have answered */
    unsigned earlier_waits;
    bool closed;
    unsigned used; /* served that are not in `unused` */
    struct qb_list_head unused;
    struct served *receiving;         /* whose payload is on its way */
    struct served *slots[PEER_SLOTS]; /* commands without an answer */
};

static struct qb_list_head servers[LIMIT_REACTORS], waiting[LIMIT_REACTORS];
static _Atomic uint64_t hellos; /* that came */

static struct qb_list_head *local_list(struct qb_list_head *lists)
{
    struct qb_list_head *list = &lists[reactor_self()->index];

    if (!list->next)
        qb_list_init(list);
    return list;
}

static struct qb_list_head *local_servers(void)
{
    return local_list(servers);
}

bool peer_server_idle(void)
{
    return qb_list_empty(local_servers());
}

static void proxy_free_if_idle(struct proxy *proxy)
{
    if (!proxy->gone || !qb_list_empty(&proxy->nexus.tasks))
        return;
    qb_list_del(&proxy->link);
    nexus_remove_proxy(&proxy->nexus);
    free(proxy);
}

static void earlier_check(struct earlier *earlier);

static void server_free_if_idle(struct server *server)
{
    struct earlier *earlier, *later;
    struct served *served, *next;

    if (!server->closed || server->used)
        return;
    assert(qb_list_empty(&server->proxies));
    qb_list_del(&server->of_reactor);
    qb_list_for_each_entry_safe(served, next, &server->unused, link) free(served);
    free(server);
    qb_list_for_each_entry_safe(earlier, later, local_list(waiting), link) earlier_check(earlier);
    peer_settled();
}

static struct served *served_new(struct server *server)
{
    struct served *served;

    if (server->used == SERVED_MAX)
        return NULL;
    if (qb_list_empty(&server->unused)) {
        served = calloc(1, sizeof *served);
        if (!served)
            return NULL;
    } else {
        served = qb_list_first_entry(&server->unused, struct served, link);
        qb_list_del(&served->link);
    }
    task_clear(&served->task);
    served->receiving = served->completed = served->sent = false;
    served->server = server;
    server->used++;
    return served;
}

static void served_free_if_idle(struct served *served)
{
    struct server *server = served->server;

    if (served->receiving || !served->completed || !served->sent)
        return;
    payload_free(server->reactor->payloads, &served->task.data_out);
    payload_free(server->reactor->payloads, &served->task.data_in);
    qb_list_add(&served->link, &server->unused);
    server->used--;
    server_free_if_idle(server);
}

static void response_sent(struct peer_frame *frame)
{
    struct served *served = container_of(frame, struct served, frame);

    served->sent = true;
    served_free_if_idle(served);
}

/* What the sender makes of the end of a task. What this node says about its own state or for want
 * of its lease is no answer of the owner; and an end that the initiator must not see (aborted
 * without TAS) is decided where its nexus lives, which the same decision reaches as well. */
static enum peer_outcome outcome(const struct task *task)
{
    enum gate gate = task->lane->group->gate;

    if (task->bounced)
        return PEER_BOUNCED;
    if (task->aborted && task->silent)
        return PEER_LOST;
    if (task->status != STATUS_GOOD &&
        (gate == GATE_STANDBY || gate == GATE_UNAVAILABLE || !lane_lease_valid(task->reactor)))
        return PEER_LOST;
    return PEER_ENDED;
}

static void respond(struct task *task)
{
    struct served *served = container_of(task, struct served, task);
    struct proxy *proxy = container_of(task->nexus, struct proxy, nexus);
    struct server *server = served->server;
    struct peer_frame *frame = &served->frame;
    enum peer_outcome how = outcome(task);
    uint32_t data = task->data_in_length, sense = task->sense_length;
    uint8_t *body;

    served->completed = true;
    server->slots[served->slot] = NULL;
    if (!served->receiving)
        payload_free(server->reactor->payloads, &task->data_out);
    if (data > task->expected_in)
        data = task->expected_in;
    if (data > task->data_in.length)
        data = (uint32_t)task->data_in.length;
    if (how != PEER_ENDED)
        data = sense = 0;
    frame->sent = response_sent;
    peer_frame_init(frame, PEER_RESPONSE, served->slot, PEER_RESPONSE_BODY, sense + data);
    body = frame->head + PEER_HEADER;
    body[PEER_RESPONSE_STATUS] = task->status;
    body[PEER_RESPONSE_OUTCOME] = (uint8_t)how;
    body[PEER_RESPONSE_SENSE] = (uint8_t)sense;
    put_be32(body + PEER_RESPONSE_WANTED, task->data_wanted);
    memcpy(body + PEER_RESPONSE_BODY, task->sense, sense);
    frame->head_length += sense;
    frame->payload = &task->data_in;
    frame->payload_length = data;
    proxy_free_if_idle(proxy);
    peer_link_send(&server->link, frame);
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
        if (proxy->id == id && !proxy->gone) {
            qb_list_del(&proxy->link);
            qb_list_add(&proxy->link, &server->proxies);
            return proxy;
        }
    }
    return NULL;
}

static void add_proxy(struct server *server, const uint8_t *body, uint32_t length)
{
    uint32_t id = get_be32(body + PEER_NEXUS_ID), transport = get_be16(body + PEER_NEXUS_LENGTH);
    struct nexus_identity *identity;
    struct proxy *proxy;

    if (length != PEER_NEXUS_TRANSPORT + transport || proxy_find(server, id) ||
        server->proxy_count == PEER_NEXUSES) {
        peer_link_close(&server->link, "malformed NEXUS frame");
        return;
    }
    proxy = calloc(1, sizeof *proxy);
    if (!proxy) {
        peer_link_close(&server->link, "out of memory");
        return;
    }
    proxy->server = server;
    proxy->id = id;
    proxy->nexus.transport = &proxy_transport;
    proxy->nexus.reactor = server->reactor;
    proxy->nexus.forwarded = true;
    identity = &proxy->nexus.identity;
    identity->rtpi = get_be16(body + PEER_NEXUS_RTPI);
    identity->transport_length = (uint16_t)transport;
    memcpy(identity->transport_id, body + PEER_NEXUS_TRANSPORT, transport);
    if (!identity_valid(identity) || nexus_add_proxy(&proxy->nexus)) {
        free(proxy);
        peer_link_close(&server->link, "NEXUS frame without an identity, or no memory");
        return;
    }
    qb_list_add(&proxy->link, &server->proxies);
    server->proxy_count++;
}

static void abort_all(struct proxy *proxy)
{
    struct task *task;
    bool again = true;

    /* The end of one task may end others: look from the beginning after each. */
    while (again) {
        again = false;
        qb_list_for_each_entry(task, &proxy->nexus.tasks, nexus_link)
        {
            if (!task->aborted) {
                task_abort(task, true);
                again = true;
                break;
            }
        }
    }
}

/* Not before its tasks are aborted: the last one to end frees a proxy that is gone. */
static void proxy_gone(struct proxy *proxy)
{
    if (proxy->gone)
        return;
    abort_all(proxy);
    proxy->gone = true;
    proxy->server->proxy_count--;
    proxy_free_if_idle(proxy);
}

/* Only what touches the medium is executed for others: everything else is answered, or brought to
 * the cluster, by the node where the nexus lives. */
static bool for_others(const uint8_t *cdb)
{
    bool known;
    const struct scsi_command *command = command_find(cdb, &known);

    return !command || command->flags & COMMAND_MEDIA;
}

static struct payload *take_command(struct server *server, uint32_t slot, const uint8_t *body,
                                    uint32_t data)
{
    struct proxy *proxy = proxy_find(server, get_be32(body + PEER_COMMAND_NEXUS));
    uint32_t lu = get_be32(body + PEER_COMMAND_LU);
    struct served *served;
    struct task *task;

    if (slot >= PEER_SLOTS || server->slots[slot] || !proxy || lu >= device_lu_count ||
        !device_lus[lu] || body[PEER_COMMAND_CDB_LENGTH] > LIMIT_CDB ||
        !for_others(body + PEER_COMMAND_CDB)) {
        peer_link_close(&server->link, "malformed COMMAND frame");
        return NULL;
    }
    served = served_new(server);
    if (!served) {
        peer_link_close(&server->link, "too many commands, or out of memory");
        return NULL;
    }
    served->slot = slot;
    server->slots[slot] = served;
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
    if (task->lane->group->gate != GATE_EXECUTE) {
        task->bounced = true;
        respond(task);
        return NULL;
    }
    task_execute(task);
    if (served->completed || task->state != TASK_DATA_OUT)
        return NULL; /* what follows is dropped */
    if (task->data_out.length != data) {
        /* Both engines compute the same length from the same command: the other one is not ours. */
        peer_link_close(&server->link, "COMMAND frame brings another amount of data than it needs");
        return NULL;
    }
    served->receiving = true;
    server->receiving = served;
    return &task->data_out;
}

/* ---- earlier links ----
 *
 * The other side gave them up, perhaps while this process stood still: their commands are in our sockets, and must not
 * be executed once it has said how they ended. So all of them are closed when the next link of the same number says
 * HELLO, on whatever reactor they are; and that link is told when their commands have let go of the medium. */

static void at_asker(struct post *post)
{
    struct server *server = container_of(post, struct earlier, post)->asker;

    if (--server->earlier_waits)
        return;
    free(server->earlier);
    server->earlier = NULL;
    peer_frame_init(&server->settled, PEER_SETTLED, 0, 0, 0);
    peer_link_send(&server->link, &server->settled);
    server->used--;
    server_free_if_idle(server);
}

static bool is_earlier(const struct server *server, const struct earlier *than)
{
    return server->node == than->node && server->number == than->number && server->order < than->order;
}

/* Answers if there is none (any more). */
static void earlier_check(struct earlier *earlier)
{
    struct server *server;

    qb_list_for_each_entry(server, local_servers(), of_reactor)
    {
        if (is_earlier(server, earlier))
            return;
    }
    qb_list_del(&earlier->link);
    earlier->post.run = at_asker;
    reactor_post(earlier->reactor, &earlier->post);
}

static void at_asked(struct post *post)
{
    struct earlier *earlier = container_of(post, struct earlier, post);
    struct server *server;

    qb_list_for_each_entry(server, local_servers(), of_reactor)
    {
        if (is_earlier(server, earlier))
            peer_link_close(&server->link, "the other node has opened the next one");
    }
    qb_list_add_tail(&earlier->link, local_list(waiting));
    earlier_check(earlier);
}

static bool end_earlier(struct server *server)
{
    server->earlier = calloc(threads.reactor_count, sizeof *server->earlier);
    if (!server->earlier)
        return false;
    server->used++; /* it stays until they have answered */
    server->earlier_waits = threads.reactor_count;
    for (unsigned i = 0; i < threads.reactor_count; i++) {
        server->earlier[i] = (struct earlier){.post.run = at_asked,
                                              .asker = server,
                                              .reactor = server->reactor,
                                              .node = server->node,
                                              .number = server->number,
                                              .order = server->order};
        reactor_post(threads.reactors[i], &server->earlier[i].post);
    }
    return true;
}

static void take_hello(struct server *server, enum peer_type type, const uint8_t *body,
                       uint32_t body_length)
{
    const char *why = peer_check_hello(type, body, body_length, 0);

    if (!why) {
        server->node = get_be32(body + PEER_HELLO_NODE);
        server->number = get_be32(body + PEER_HELLO_LINK);
        server->order = atomic_fetch_add(&hellos, 1) + 1;
        if (!end_earlier(server))
            why = "out of memory";
    }
    if (why) {
        peer_link_close(&server->link, why);
        return;
    }
    peer_make_hello(&server->hello, server->number);
    peer_link_send(&server->link, &server->hello);
}

static struct payload *server_head(struct peer_link *link, enum peer_type type, uint32_t slot,
                                   const uint8_t *body, uint32_t body_length, uint32_t data)
{
    struct server *server = container_of(link, struct server, link);
    struct proxy *proxy;

    if (!server->node) {
        take_hello(server, type, body, body_length);
        return NULL;
    }
    switch (type) {
    case PEER_NEXUS:
        add_proxy(server, body, body_length);
        break;
    case PEER_NEXUS_GONE:
        proxy = proxy_find(server, get_be32(body));
        if (proxy)
            proxy_gone(proxy);
        break;
    case PEER_COMMAND:
        return take_command(server, slot, body, data);
    case PEER_ABORT: /* of one that is over: the response is on its way */
        if (slot < PEER_SLOTS && server->slots[slot])
            task_abort(&server->slots[slot]->task, false);
        break;
    default:
        peer_link_close(link, "unexpected frame");
    }
    return NULL;
}

/* The payload is complete, or will never be. Returns whose it was. */
static struct served *received(struct server *server)
{
    struct served *served = server->receiving;

    server->receiving = NULL;
    if (served)
        served->receiving = false;
    return served;
}

static void server_complete(struct peer_link *link, enum peer_type type, uint32_t slot)
{
    struct served *served = received(container_of(link, struct server, link));

    if (!served)
        return;
    if (served->completed) /* aborted meanwhile */
        served_free_if_idle(served);
    else
        task_data_ready(&served->task);
}

static void server_closed(struct peer_link *link, const char *why)
{
    struct server *server = container_of(link, struct server, link);
    struct served *served;
    struct proxy *proxy, *next;

    qb_log(server->node ? LOG_NOTICE : LOG_INFO, "peer: link from node %u closed: %s", server->node,
           why);
    server->used++; /* keeps it to the end of this function */
    server->closed = true;
    served = received(server);
    if (served)
        served_free_if_idle(served);
    qb_list_for_each_entry_safe(proxy, next, &server->proxies, link) proxy_gone(proxy);
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
    struct server *server = peer_stopping() ? NULL : calloc(1, sizeof *server);

    if (!server || peer_link_start(&server->link, reactor, fd, &server_callbacks)) {
        free(server);
        close(fd);
        return;
    }
    server->link.strict = true;
    server->reactor = reactor;
    qb_list_init(&server->proxies);
    qb_list_init(&server->unused);
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
