/* Messages between halunds, and receipts: decoding any bytes, and feeding them to a joiner and to a member. */
#include <stdlib.h>
#include <string.h>

#include "cluster/cluster.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cluster_updates *updates;

static void step(struct cluster *c, struct cluster_event *event)
{
    static uint64_t now = 1000000000;

    do {
        event->now = event->wall = now += 1000000;
        cluster_step(c, event, updates);
        event->kind = CLUSTER_MORE;
    } while (updates->more);
}

static struct cluster *machine(bool single)
{
    struct cluster_setup setup = {.self = 1, .single = single, .configured = 0x6, .incarnation = 1,
                                  .lease_ns = 3000000000, .hold_ns = 20000000000};
    struct shared_state *state = shared_state_new(1, 0);
    struct cluster_event event = {.kind = CLUSTER_GROUP};
    struct cluster *c;

    if (!state)
        abort();
    state->lus[0].uuid[0] = 1;
    c = cluster_new(&setup, state);
    if (!c)
        abort();
    event.group.members = single ? 0x2 : 0x6;
    event.group.joined = event.group.members;
    step(c, &event);
    return c;
}

static void deliver(struct cluster *c, unsigned node, const void *bytes, size_t size)
{
    struct cluster_event event = {.kind = CLUSTER_MESSAGE};

    event.message.node = node;
    event.message.bytes = bytes;
    event.message.size = size;
    step(c, &event);
}

static void deliver_receipt(struct cluster *c, unsigned node, const void *bytes, size_t size)
{
    struct cluster_event event = {.kind = CLUSTER_RECEIPT};

    event.receipt.node = node;
    event.receipt.bytes = bytes;
    event.receipt.size = size;
    step(c, &event);
}

/* What the machine sent, handed back to it: it becomes a member. */
static void loop_back(struct cluster *c)
{
    static uint8_t copy[1 << 16];

    for (unsigned round = 0; round < 4; round++)
        for (unsigned i = 0; i < updates->count; i++)
            if (updates->updates[i].kind == CLUSTER_SEND &&
                updates->updates[i].send.size <= sizeof copy) {
                size_t size = updates->updates[i].send.size;
                memcpy(copy, updates->updates[i].send.bytes, size);
                deliver(c, 1, copy, size);
                break;
            }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cluster_message message;

    if (!updates && !(updates = malloc(sizeof *updates)))
        abort();
    message_decode(&message, data, size);
    for (unsigned single = 0; single <= 1; single++) {
        struct cluster *c = machine(single);
        if (single)
            loop_back(c);
        deliver_receipt(c, 1, data, size);
        deliver(c, 2, data, size);
        deliver(c, 1, data, size);
        deliver(c, 2, data, size);
        deliver_receipt(c, 2, data, size);
        cluster_free(c);
    }
    return 0;
}
