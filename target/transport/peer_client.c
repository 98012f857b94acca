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
    RECONNECT_NS = 100000000,
    WATCH_NS = 10000000, /* nobody posts when a group has another owner */
    CONNECT_NS = 2000000000, /* a SYN that was lost longer ago is repeated too late */
    OP_COMPARE_AND_WRITE = 0x89,
};

enum slot_end {
    SLOT_RUNS,
    SLOT_ANSWERED, /* status, sense and data are in the task */
    SLOT_RETRY,    /* back to its lane */
    SLOT_FAILED,   /* with slot->reason */
};

/* A slot is free, or carries one command. The command may be over before its frames have left the
 * kernel, which reads the task's payload: the slot keeps the task until then. When the link is lost, a write may be in
 * the owner's socket, to be executed later: it is held, neither answered nor aborted, until it is known not to be
 * (watch()). */
struct slot {
    struct task *task; /* NULL: free */
    struct peer_frame frame, abort;
    enum slot_end end; /* what is known of it; final once `over` */
    bool sending, over, aborting, held;
    uint64_t held_since_ns;
    enum scsi_reason reason;
    uint32_t next; /* free list: index + 1 */
};

enum client_state { CLIENT_IDLE, CLIENT_CONNECTING, CLIENT_HELLO, CLIENT_READY };

/* How the other side knows a nexus. */
struct declared {
    struct peer_frame frame;
    struct client *client;
    uint32_t id;
    bool gone_wanted; /* the nexus went while its declaration was on its way */
};

struct client {
    struct reactor *reactor;
    unsigned node;
    enum client_state state;
    bool cut;        /* while connecting: give up */
    bool complained; /* the log knows that there is no link */
    struct peer_link link;
    struct peer_frame hello;
    struct io_op connect_op;
    struct timer timer; /* while connecting */
    struct timer watch; /* while slots are held */
    unsigned held;
    int fd;
    uint64_t not_before_ns;
    struct slot *slots;
    uint32_t slots_used; /* those behind were never taken: their memory is not touched */
    uint32_t free_slot;  /* index + 1 of one that was given back */
    uint32_t next_id;
    struct declared *declared;
    struct nexus *nexuses[PEER_NEXUSES]; /* whom declared[i] is about; NULL: gone or not used */
};

static struct client clients[LIMIT_REACTORS][LIMIT_NODES + 1];

static void slot_free(struct client *client, struct slot *slot)
{
    slot->task = NULL;
    slot->next = client->free_slot;
    client->free_slot = (uint32_t)(slot - client->slots) + 1;
}

static struct slot *slot_take(struct client *client)
{
    struct slot *slot;

    if (!client->free_slot)
        return client->slots_used < PEER_SLOTS ? &client->slots[client->slots_used++] : NULL;
    slot = &client->slots[client->free_slot - 1];
    client->free_slot = slot->next;
    return slot;
}

static struct client *client_of_slot(struct slot *slot, const struct reactor *reactor)
{
    for (unsigned node = 1; node <= LIMIT_NODES; node++) {
        struct client *client = &clients[reactor->index][node];
        if (client->slots && slot >= client->slots && slot < client->slots + PEER_SLOTS)
            return client;
    }
    abort();
}

/* A response may have arrived in part; a task that is tried again must be as it was before. */
static void forget_answer(struct task *task)
{
    payload_free(task->reactor->payloads, &task->data_in);
    task->data_in_length = 0;
    task->sense_length = 0;
    task->status = 0;
}

/* The command is over for the link: gives the task on. */
static void settle(struct client *client, struct slot *slot)
{
    struct task *task = slot->task;
    enum slot_end end = slot->end;
    enum scsi_reason reason = slot->reason;

    if (slot->held || slot->sending || slot->abort.queued)
        return; /* frames still use the task's payload; their `sent` comes here again */
    slot_free(client, slot);
    task->forward_slot = 0;
    if (end != SLOT_ANSWERED || task->aborted)
        forget_answer(task);
    if (task->aborted)
        task_complete(task, REASON_TASK_ABORTED);
    else if (end == SLOT_RETRY)
        lane_retry(task);
    else if (end == SLOT_ANSWERED)
        task_complete_as_is(task);
    else
        task_complete(task, reason);
}

static void command_sent(struct peer_frame *frame)
{
    struct slot *slot = container_of(frame, struct slot, frame);

    slot->sending = false;
    if (slot->over)
        settle(client_of_slot(slot, reactor_self()), slot);
}

static void abort_sent(struct peer_frame *frame)
{
    struct slot *slot = container_of(frame, struct slot, abort);

    if (slot->over && !slot->sending)
        settle(client_of_slot(slot, reactor_self()), slot);
}

/* The slot of a command that waits for its response. */
static struct slot *slot_at(struct client *client, uint32_t index)
{
    if (index >= client->slots_used || !client->slots[index].task || client->slots[index].over)
        return NULL;
    return &client->slots[index];
}

/* No answer will come. What may have changed the medium is not sent again: others may have seen
 * that, and written over it since. */
static void lose_slot(struct slot *slot)
{
    bool open = slot->frame.started && slot->task->command->flags & COMMAND_WRITES;

    slot->end = open ? SLOT_FAILED : SLOT_RETRY;
    slot->reason = REASON_ABORTED_COMMAND;
}

/* No link now: the log is told once, not at every try. */
static void not_connected(struct client *client, const char *why)
{
    qb_log(client->complained ? LOG_DEBUG : LOG_WARNING,
           "peer: no link from reactor %u to node %u: %s", client->reactor->index, client->node,
           why);
    client->complained = true;
    client->state = CLIENT_IDLE;
    client->not_before_ns = client->reactor->now_ns + RECONNECT_NS;
}

static void client_connect(struct client *client);

/* Those of which the owner will do nothing any more (NULL: all) are over. */
static void let_go(struct client *client, bool (*settled)(const struct client *client, const struct slot *slot))
{
    for (unsigned i = 0; i < client->slots_used && client->held; i++) {
        struct slot *slot = &client->slots[i];
        if (slot->task && slot->held && (!settled || settled(client, slot))) {
            slot->held = false;
            client->held--;
            settle(client, slot);
        }
    }
    if (!client->held)
        reactor_timer_cancel(client->reactor, &client->watch);
}

static bool has_another_owner(const struct client *client, const struct slot *slot)
{
    return slot->task->lane->group->owner != client->node;
}

static bool is_held_too_long(const struct client *client, const struct slot *slot)
{
    return client->reactor->now_ns - slot->held_since_ns >= peer_hold_ns();
}

/* What was held is over when the next link says that the owner has ended all of this one (PEER_SETTLED), or when the
 * group has another owner or none: the old one executes nothing any more. A node that can be reached by Corosync, but
 * not by this link, for as long as commands are held at all, has closed the link itself long since: its own end was
 * silent as well. */
static void watch(struct timer *timer)
{
    struct client *client = container_of(timer, struct client, watch);

    unsigned held;

    let_go(client, has_another_owner);
    held = client->held;
    let_go(client, is_held_too_long);
    if (client->held < held)
        qb_log(LOG_WARNING, "peer: node %u has not said what became of %u writes: they end with ABORTED COMMAND",
               client->node, held - client->held);
    if (!client->held)
        return;
    client_connect(client);
    reactor_timer_set(client->reactor, &client->watch, client->reactor->now_ns + WATCH_NS);
}

static void client_closed(struct peer_link *link, const char *why)
{
    struct client *client = container_of(link, struct client, link);

    not_connected(client, why);
    memset(client->nexuses, 0, sizeof client->nexuses);
    for (unsigned i = 0; i < client->slots_used; i++) {
        struct slot *slot = &client->slots[i];
        if (!slot->task || slot->held)
            continue;
        if (!slot->over) {
            lose_slot(slot);
            slot->held = slot->end == SLOT_FAILED && !peer_stopping();
            slot->held_since_ns = client->reactor->now_ns;
            client->held += slot->held;
        }
        slot->over = true;
        settle(client, slot);
    }
    if (client->held) {
        client->watch.fire = watch;
        reactor_timer_set(client->reactor, &client->watch, client->reactor->now_ns + WATCH_NS);
    }
    peer_settled();
}

static void take_hello(struct client *client, enum peer_type type, const uint8_t *body,
                       uint32_t body_length)
{
    const char *why = peer_check_hello(type, body, body_length, client->node);

    if (why) {
        peer_link_close(&client->link, why);
        return;
    }
    client->state = CLIENT_READY;
    if (client->complained)
        qb_log(LOG_NOTICE, "peer: reactor %u is linked to node %u again", client->reactor->index,
               client->node);
    client->complained = false;
}

static struct payload *client_head(struct peer_link *link, enum peer_type type, uint32_t index,
                                   const uint8_t *body, uint32_t body_length, uint32_t data)
{
    struct client *client = container_of(link, struct client, link);
    struct slot *slot;
    struct task *task;

    if (client->state == CLIENT_HELLO) {
        take_hello(client, type, body, body_length);
        return NULL;
    }
    if (type == PEER_SETTLED) {
        let_go(client, NULL);
        return NULL;
    }
    slot = type == PEER_RESPONSE ? slot_at(client, index) : NULL;
    if (!slot || data > slot->task->expected_in || body[PEER_RESPONSE_OUTCOME] > PEER_LOST) {
        peer_link_close(link, "unexpected frame");
        return NULL;
    }
    task = slot->task;
    if (body[PEER_RESPONSE_OUTCOME] == PEER_LOST) {
        lose_slot(slot);
        return NULL;
    }
    if (body[PEER_RESPONSE_OUTCOME] == PEER_BOUNCED) {
        slot->end = SLOT_RETRY;
        return NULL;
    }
    task->status = body[PEER_RESPONSE_STATUS];
    task->sense_length = body[PEER_RESPONSE_SENSE];
    memcpy(task->sense, body + PEER_RESPONSE_BODY, task->sense_length);
    task->data_wanted = get_be32(body + PEER_RESPONSE_WANTED);
    if (data && payload_alloc(client->reactor->payloads, &task->data_in, data)) {
        slot->end = SLOT_FAILED;
        slot->reason = REASON_TASK_SET_FULL;
        return NULL;
    }
    slot->end = SLOT_ANSWERED;
    task->data_in_length = data;
    return data ? &task->data_in : NULL;
}

static void client_complete(struct peer_link *link, enum peer_type type, uint32_t index)
{
    struct client *client = container_of(link, struct client, link);
    struct slot *slot = type == PEER_RESPONSE ? slot_at(client, index) : NULL;

    if (slot) {
        slot->over = true;
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

    reactor_timer_cancel(client->reactor, &client->timer);
    if (res >= 0 && client->cut)
        res = -ECANCELED;
    if (res >= 0)
        res = peer_link_start(&client->link, client->reactor, client->fd, &client_callbacks);
    if (res < 0) {
        close(client->fd);
        not_connected(client, strerror(-res));
        peer_settled();
        return;
    }
    client->state = CLIENT_HELLO;
    peer_make_hello(&client->hello, client->reactor->index);
    peer_link_send(&client->link, &client->hello);
}

static void connect_late(struct timer *timer)
{
    struct client *client = container_of(timer, struct client, timer);

    client->cut = true;
    reactor_cancel(client->reactor, &client->connect_op);
}

static void client_connect(struct client *client)
{
    const struct config_node *node = peer_node(client->node);
    struct reactor *reactor = client->reactor;

    if (client->state != CLIENT_IDLE || peer_stopping() || reactor->now_ns < client->not_before_ns)
        return;
    if (!node || !node->peer.length) {
        not_connected(client, "it has no peer address");
        return;
    }
    client->fd = socket(node->peer.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0) {
        not_connected(client, strerror(errno));
        return;
    }
    client->state = CLIENT_CONNECTING;
    client->cut = false;
    client->connect_op.done = connected;
    io_uring_prep_connect(reactor_sqe(reactor, &client->connect_op), client->fd,
                          (const struct sockaddr *)&node->peer.address, node->peer.length);
    client->timer.fire = connect_late;
    reactor_timer_set(reactor, &client->timer, reactor->now_ns + CONNECT_NS);
}

static void send_gone(struct declared *declared)
{
    declared->gone_wanted = false;
    peer_frame_init(&declared->frame, PEER_NEXUS_GONE, 0, PEER_GONE_BODY, 0);
    put_be32(declared->frame.head + PEER_HEADER, declared->id);
    peer_link_send(&declared->client->link, &declared->frame);
}

static void declared_sent(struct peer_frame *frame)
{
    struct declared *declared = container_of(frame, struct declared, frame);

    if (declared->gone_wanted)
        send_gone(declared);
}

/* The id under which the link knows a nexus; declares it first if it does not. 0: the table is
 * full. */
static uint32_t declare(struct client *client, struct nexus *nexus)
{
    struct declared *declared;
    unsigned at = PEER_NEXUSES;
    uint8_t *body;

    for (unsigned i = 0; i < PEER_NEXUSES; i++) {
        if (client->nexuses[i] == nexus)
            return client->declared[i].id;
        if (at == PEER_NEXUSES && !client->nexuses[i] && !client->declared[i].frame.queued)
            at = i;
    }
    if (at == PEER_NEXUSES)
        return 0;
    declared = &client->declared[at];
    client->nexuses[at] = nexus;
    declared->client = client;
    declared->id = ++client->next_id;
    declared->gone_wanted = false;
    declared->frame.sent = declared_sent;
    peer_frame_init(&declared->frame, PEER_NEXUS, 0,
                    PEER_NEXUS_TRANSPORT + nexus->identity.transport_length, 0);
    body = declared->frame.head + PEER_HEADER;
    put_be32(body + PEER_NEXUS_ID, declared->id);
    put_be16(body + PEER_NEXUS_RTPI, nexus->identity.rtpi);
    put_be16(body + PEER_NEXUS_LENGTH, nexus->identity.transport_length);
    memcpy(body + PEER_NEXUS_TRANSPORT, nexus->identity.transport_id,
           nexus->identity.transport_length);
    peer_link_send(&client->link, &declared->frame);
    return declared->id;
}

void peer_nexus_gone(struct nexus *nexus)
{
    for (unsigned node = 1; node <= LIMIT_NODES; node++) {
        struct client *client = &clients[nexus->reactor->index][node];
        for (unsigned i = 0; client->declared && i < PEER_NEXUSES; i++) {
            if (client->nexuses[i] != nexus)
                continue;
            client->nexuses[i] = NULL;
            if (client->declared[i].frame.queued)
                client->declared[i].gone_wanted = true;
            else
                send_gone(&client->declared[i]);
        }
    }
}

static bool client_allocate(struct client *client)
{
    if (client->slots)
        return true;
    client->slots = calloc(PEER_SLOTS, sizeof *client->slots);
    client->declared = calloc(PEER_NEXUSES, sizeof *client->declared);
    if (!client->slots || !client->declared) {
        free(client->slots);
        free(client->declared);
        client->slots = NULL;
        client->declared = NULL;
        return false;
    }
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
    if (client->state != CLIENT_READY || client->link.closing) {
        client_connect(client);
        lane_retry(task);
        return;
    }
    nexus = declare(client, task->nexus);
    slot = nexus ? slot_take(client) : NULL;
    if (!slot) {
        task_complete(task, REASON_TASK_SET_FULL);
        return;
    }
    slot->task = task;
    slot->over = slot->aborting = slot->held = false;
    slot->end = SLOT_RUNS;
    slot->sending = true;
    slot->frame.sent = command_sent;
    task->forward_slot = (uint32_t)(slot - client->slots) + 1;
    peer_frame_init(&slot->frame, PEER_COMMAND, (uint32_t)(slot - client->slots), PEER_COMMAND_BODY,
                    (uint32_t)task->data_out.length);
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
    if (!slot || slot->aborting || slot->over)
        return;
    slot->aborting = true;
    slot->abort.sent = abort_sent;
    peer_frame_init(&slot->abort, PEER_ABORT, task->forward_slot - 1, 0, 0);
    peer_link_send(&client->link, &slot->abort);
}

void peer_client_cut(unsigned reactor, unsigned node, const char *why)
{
    struct client *client = &clients[reactor][node];

    switch (client->state) {
    case CLIENT_IDLE:
        break;
    case CLIENT_CONNECTING:
        connect_late(&client->timer);
        break;
    case CLIENT_HELLO:
    case CLIENT_READY:
        peer_link_close(&client->link, why);
        break;
    }
}

void peer_client_stop(unsigned reactor)
{
    for (unsigned node = 1; node <= LIMIT_NODES; node++)
        if (clients[reactor][node].held)
            let_go(&clients[reactor][node], NULL);
}

bool peer_client_idle(void)
{
    for (unsigned node = 1; node <= LIMIT_NODES; node++)
        if (clients[reactor_self()->index][node].state != CLIENT_IDLE)
            return false;
    return true;
}
