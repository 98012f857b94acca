/* The side that forwards: one link for each (reactor, other node), connected when first needed. */
#include <assert.h>
#include <errno.h>
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
#include "target/transport/peer.h"
#include "target/transport/peer_private.h"

enum {
    SLOTS = 1024,            /* forwarded commands of one reactor to one node */
    RECONNECT_NS = 100000000,
    KNOWN = 1024,            /* nexuses declared on a link */
    OP_COMPARE_AND_WRITE = 0x89,
};

/* A slot is free, or carries one command. The task may leave before its frame has left the kernel. */
struct slot {
    struct task *task;  /* NULL: free, or only `sending` keeps it */
    struct peer_frame frame, abort;
    bool sending, answered, retry, aborting;
    enum scsi_reason reason; /* when answered without a response */
    uint32_t next;      /* free list: index + 1 */
};

enum client_state { CLIENT_IDLE, CLIENT_CONNECTING, CLIENT_HELLO, CLIENT_READY, CLIENT_CLOSING };

struct declared {
    struct peer_frame frame;
    struct nexus *nexus; /* NULL: gone, or not used */
    uint32_t id;
    bool gone_wanted;
};

struct client {
    struct reactor *reactor;
    unsigned node;
    enum client_state state;
    struct peer_link link;
    struct peer_frame hello;
    struct io_op connect_op;
    int fd;
    uint64_t not_before_ns;
    struct slot *slots;
    uint32_t free_slot;  /* index + 1 */
    struct declared *declared;
    uint32_t next_id;
};

static struct client clients[LIMIT_REACTORS][LIMIT_NODES + 1];

static void slot_free(struct client *client, struct slot *slot)
{
    slot->task = NULL;
    slot->next = client->free_slot;
    client->free_slot = (uint32_t)(slot - client->slots) + 1;
}

static struct client *client_of_slot(struct slot *slot, const struct reactor *reactor)
{
    for (unsigned node = 1; node <= LIMIT_NODES; node++) {
        struct client *client = &clients[reactor->index][node];
        if (client->slots && slot >= client->slots && slot < client->slots + SLOTS)
            return client;
    }
    abort();
}

/* The command is over for the link: gives the task on. */
static void settle(struct client *client, struct slot *slot)
{
    struct task *task = slot->task;
    bool retry = slot->retry;
    enum scsi_reason reason = slot->reason;

    if (slot->sending || slot->abort.queued)
        return; /* frames still use the task's payload; their `sent` comes here again */
    slot_free(client, slot);
    task->forward_slot = 0;
    if (task->aborted)
        task_complete(task, REASON_TASK_ABORTED);
    else if (retry)
        lane_retry(task);
    else if (reason == REASON_PENDING) /* status and sense came from the owner */
        task_complete_as_is(task);
    else
        task_complete(task, reason);
}

static void command_sent(struct peer_frame *frame)
{
    struct slot *slot = container_of(frame, struct slot, frame);

    slot->sending = false;
    if (slot->answered)
        settle(client_of_slot(slot, reactor_self()), slot);
}

static void abort_sent(struct peer_frame *frame)
{
    struct slot *slot = container_of(frame, struct slot, abort);

    if (slot->answered && !slot->sending)
        settle(client_of_slot(slot, reactor_self()), slot);
}

static struct slot *slot_at(struct client *client, uint32_t index)
{
    if (index >= SLOTS || !client->slots[index].task || client->slots[index].answered)
        return NULL;
    return &client->slots[index];
}

static void lose_slot(struct slot *slot)
{
    slot->answered = true;
    /* Reads and writes may be done twice: while ours is unanswered its order against others is open.
     * COMPARE AND WRITE would compare with its own data. */
    slot->retry = slot->task->cdb[0] != OP_COMPARE_AND_WRITE;
    slot->reason = REASON_ABORTED_COMMAND;
}

static void client_closed(struct peer_link *link, const char *why)
{
    struct client *client = container_of(link, struct client, link);

    qb_log(LOG_WARNING, "peer: link to node %u of reactor %u closed: %s", client->node,
           client->reactor->index, why);
    client->state = CLIENT_IDLE;
    client->not_before_ns = client->reactor->now_ns + RECONNECT_NS;
    for (unsigned i = 0; i < KNOWN; i++)
        client->declared[i].nexus = NULL;
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *slot = &client->slots[i];
        if (slot->task) {
            if (!slot->answered)
                lose_slot(slot);
            settle(client, slot);
        }
    }
}

static struct payload *client_head(struct peer_link *link, enum peer_type type, uint32_t index,
                                   const uint8_t *body, uint32_t body_length, uint32_t data)
{
    struct client *client = container_of(link, struct client, link);
    struct slot *slot;
    struct task *task;

    if (client->state == CLIENT_HELLO) {
        const char *why = peer_check_hello(type, body, body_length, client->node);
        if (why)
            peer_link_close(link, why);
        else
            client->state = CLIENT_READY;
        return NULL;
    }
    if (type != PEER_RESPONSE || body_length < PEER_RESPONSE_BODY) {
        peer_link_close(link, "unexpected frame");
        return NULL;
    }
    slot = slot_at(client, index);
    if (!slot)
        return NULL; /* answered meanwhile */
    task = slot->task;
    if (body[PEER_RESPONSE_BOUNCED]) {
        slot->retry = true;
        return NULL;
    }
    task->status = body[PEER_RESPONSE_STATUS];
    task->sense_length = body[PEER_RESPONSE_SENSE];
    memcpy(task->sense, body + PEER_RESPONSE_BODY, task->sense_length);
    task->data_wanted = get_be32(body + PEER_RESPONSE_WANTED);
    slot->reason = REASON_PENDING;
    if (data > task->expected_in || data > LIMIT_TRANSFER ||
        (data && payload_alloc(client->reactor->payloads, &task->data_in, data))) {
        slot->reason = REASON_TASK_SET_FULL;
        return NULL;
    }
    task->data_in_length = data;
    return data ? &task->data_in : NULL;
}

static void client_complete(struct peer_link *link, enum peer_type type, uint32_t index)
{
    struct client *client = container_of(link, struct client, link);
    struct slot *slot = type == PEER_RESPONSE ? slot_at(client, index) : NULL;

    if (slot) {
        slot->answered = true;
        settle(client, slot);
    }
}

static const struct peer_link_callbacks client_callbacks = {
    .head = client_head,
    .complete = client_complete,
    .closed = client_closed,
};

static void connected(struct io_op *op, int32_t res, uint32_t flags)
{
    struct client *client = container_of(op, struct client, connect_op);

    if (res < 0 || peer_link_start(&client->link, client->reactor, client->fd, &client_callbacks)) {
        close(client->fd);
        client->state = CLIENT_IDLE;
        client->not_before_ns = client->reactor->now_ns + RECONNECT_NS;
        return;
    }
    client->state = CLIENT_HELLO;
    peer_make_hello(&client->hello);
    peer_link_send(&client->link, &client->hello);
}

static void client_connect(struct client *client)
{
    const struct config_node *node = peer_node(client->node);

    if (client->state != CLIENT_IDLE || !node || !node->peer.length ||
        client->reactor->now_ns < client->not_before_ns)
        return;
    client->fd = socket(node->peer.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        return;
    client->state = CLIENT_CONNECTING;
    client->connect_op.done = connected;
    io_uring_prep_connect(reactor_sqe(client->reactor, &client->connect_op), client->fd,
                          (const struct sockaddr *)&node->peer.address, node->peer.length);
}

static void declared_sent(struct peer_frame *frame)
{
}

/* The id under which the link knows a nexus; declares it first if it does not. 0: the table is full. */
static uint32_t declare(struct client *client, struct nexus *nexus)
{
    struct declared *free_one = NULL;
    uint8_t *body;

    for (unsigned i = 0; i < KNOWN; i++) {
        if (client->declared[i].nexus == nexus)
            return client->declared[i].id;
        if (!free_one && !client->declared[i].nexus && !client->declared[i].frame.queued)
            free_one = &client->declared[i];
    }
    if (!free_one)
        return 0;
    free_one->nexus = nexus;
    free_one->id = ++client->next_id;
    free_one->frame.sent = declared_sent;
    peer_frame_init(&free_one->frame, PEER_NEXUS, 0,
                    PEER_NEXUS_TRANSPORT + nexus->identity.transport_length, 0);
    body = free_one->frame.head + PEER_HEADER;
    put_be32(body + PEER_NEXUS_ID, free_one->id);
    put_be16(body + PEER_NEXUS_RTPI, nexus->identity.rtpi);
    put_be16(body + PEER_NEXUS_LENGTH, nexus->identity.transport_length);
    memcpy(body + PEER_NEXUS_TRANSPORT, nexus->identity.transport_id,
           nexus->identity.transport_length);
    peer_link_send(&client->link, &free_one->frame);
    return free_one->id;
}

void peer_nexus_gone(struct nexus *nexus)
{
    for (unsigned node = 1; node <= LIMIT_NODES; node++) {
        struct client *client = &clients[nexus->reactor->index][node];
        for (unsigned i = 0; client->declared && i < KNOWN; i++) {
            struct declared *declared = &client->declared[i];
            if (declared->nexus != nexus)
                continue;
            declared->nexus = NULL;
            /* Still declaring it: the proxy stays until the link ends; it costs memory, no more. */
            if (client->state != CLIENT_READY || declared->frame.queued)
                continue;
            peer_frame_init(&declared->frame, PEER_NEXUS_GONE, 0, PEER_GONE_BODY, 0);
            put_be32(declared->frame.head + PEER_HEADER, declared->id);
            peer_link_send(&client->link, &declared->frame);
        }
    }
}

static bool client_allocate(struct client *client)
{
    if (client->slots)
        return true;
    client->slots = calloc(SLOTS, sizeof *client->slots);
    client->declared = calloc(KNOWN, sizeof *client->declared);
    if (!client->slots || !client->declared) {
        free(client->slots);
        free(client->declared);
        client->slots = NULL;
        client->declared = NULL;
        return false;
    }
    for (unsigned i = SLOTS; i-- > 0;)
        slot_free(client, &client->slots[i]);
    return true;
}

void peer_forward(struct task *task, unsigned owner)
{
    struct client *client = &clients[task->reactor->index][owner];
    struct slot *slot;
    uint32_t nexus;
    uint8_t *body;

    assert(owner && owner <= LIMIT_NODES && task->state == TASK_RUNNING);
    client->reactor = task->reactor;
    client->node = owner;
    if (!client_allocate(client)) {
        task_complete(task, REASON_INSUFFICIENT_RESOURCES);
        return;
    }
    if (client->state != CLIENT_READY) {
        client_connect(client);
        lane_retry(task);
        return;
    }
    nexus = declare(client, task->nexus);
    if (!nexus || !client->free_slot) {
        task_complete(task, REASON_TASK_SET_FULL);
        return;
    }
    slot = &client->slots[client->free_slot - 1];
    client->free_slot = slot->next;
    slot->task = task;
    slot->answered = slot->retry = slot->aborting = false;
    slot->sending = true;
    slot->frame.sent = command_sent;
    task->forward_slot = (uint32_t)(slot - client->slots) + 1;
    peer_frame_init(&slot->frame, PEER_COMMAND, (uint32_t)(slot - client->slots),
                    PEER_COMMAND_BODY, (uint32_t)task->data_out.length);
    body = slot->frame.head + PEER_HEADER;
    put_be32(body + PEER_COMMAND_NEXUS, nexus);
    put_be32(body + PEER_COMMAND_LU, task->lu->index);
    put_be64(body + PEER_COMMAND_TAG, task->tag);
    put_be32(body + PEER_COMMAND_IN, task->expected_in);
    put_be32(body + PEER_COMMAND_OUT, task->expected_out);
    body[PEER_COMMAND_ATTRIBUTE] = TASK_SIMPLE; /* order was kept by the nexus's own node */
    body[PEER_COMMAND_CDB_LENGTH] = task->cdb_length;
    body[PEER_COMMAND_READ_ONLY] = task->lun_read_only;
    memcpy(body + PEER_COMMAND_CDB, task->cdb, sizeof task->cdb);
    slot->frame.payload = &task->data_out;
    slot->frame.payload_length = (uint32_t)task->data_out.length;
    peer_link_send(&client->link, &slot->frame);
}

void peer_abort(struct task *task)
{
    struct client *client;
    struct slot *slot = NULL;

    if (!task->forward_slot)
        return;
    for (unsigned node = 1; node <= LIMIT_NODES; node++) {
        client = &clients[task->reactor->index][node];
        if (client->slots && client->slots[task->forward_slot - 1].task == task) {
            slot = &client->slots[task->forward_slot - 1];
            break;
        }
    }
    if (!slot || slot->aborting || slot->answered)
        return;
    slot->aborting = true;
    slot->abort.sent = abort_sent;
    peer_frame_init(&slot->abort, PEER_ABORT, task->forward_slot - 1, 0, 0);
    peer_link_send(&client->link, &slot->abort);
}

void peer_client_cut(unsigned reactor, unsigned node, const char *why)
{
    struct client *client = &clients[reactor][node];

    if (client->state == CLIENT_HELLO || client->state == CLIENT_READY)
        peer_link_close(&client->link, why);
    else if (client->state == CLIENT_CONNECTING)
        shutdown(client->fd, SHUT_RDWR);
    client->not_before_ns = 0;
}
