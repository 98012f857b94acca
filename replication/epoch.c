#include "replication/epoch.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

void epoch_sender_reset(struct epoch_sender *e, uint32_t number)
{
    bool strict = e->strict;

    memset(e, 0, sizeof *e);
    e->number = number;
    e->strict = strict;
}

bool epoch_sender_barrier_due(const struct epoch_sender *e)
{
    return e->closed && (e->writes || e->forced);
}

uint32_t epoch_sender_barrier(struct epoch_sender *e)
{
    uint32_t slot = (e->first + e->count) % EPOCH_OPEN_MAX;
    uint32_t number = e->number;

    assert(epoch_sender_barrier_due(e) && e->count < EPOCH_OPEN_MAX);
    e->sent[slot].number = number;
    e->sent[slot].writes = e->writes;
    e->count++;
    e->number++;
    e->writes = 0;
    e->closed = e->forced = false;
    return number;
}

uint32_t epoch_sender_write(struct epoch_sender *e)
{
    assert(!epoch_sender_barrier_due(e));
    e->closed = false;
    if (++e->writes >= EPOCH_WRITES_MAX)
        e->closed = true;
    return e->number;
}

void epoch_sender_completing(struct epoch_sender *e, uint32_t epoch)
{
    if (e->strict && epoch == e->number)
        epoch_sender_close(e);
}

void epoch_sender_close(struct epoch_sender *e)
{
    if (e->writes)
        e->closed = true;
}

void epoch_sender_force(struct epoch_sender *e)
{
    e->closed = e->forced = true;
}

int epoch_sender_ack(struct epoch_sender *e, uint32_t number, uint32_t writes)
{
    if (!e->count || e->sent[e->first].number != number || e->sent[e->first].writes != writes)
        return -EPROTO;
    e->first = (e->first + 1) % EPOCH_OPEN_MAX;
    e->count--;
    return 0;
}

static uint32_t open_slot(const struct epoch_receiver *e)
{
    return (e->first + e->count - 1) % EPOCH_OPEN_MAX;
}

static void open_epoch(struct epoch_receiver *e)
{
    e->count++;
    memset(&e->epoch[open_slot(e)], 0, sizeof e->epoch[0]);
}

void epoch_receiver_reset(struct epoch_receiver *e)
{
    e->first = e->count = 0;
    open_epoch(e);
}

uint32_t epoch_receiver_write(struct epoch_receiver *e)
{
    uint32_t slot = open_slot(e);

    e->epoch[slot].writes++;
    e->epoch[slot].pending++;
    return slot;
}

void epoch_receiver_done(struct epoch_receiver *e, uint32_t slot)
{
    assert(slot < EPOCH_OPEN_MAX && e->epoch[slot].pending);
    e->epoch[slot].pending--;
}

bool epoch_receiver_full(const struct epoch_receiver *e)
{
    return e->count == EPOCH_OPEN_MAX;
}

bool epoch_receiver_empty(const struct epoch_receiver *e)
{
    return !e->epoch[open_slot(e)].writes;
}

void epoch_receiver_barrier(struct epoch_receiver *e, uint32_t number)
{
    uint32_t slot = open_slot(e);

    assert(!epoch_receiver_full(e));
    e->epoch[slot].number = number;
    e->epoch[slot].closed = true;
    open_epoch(e);
}

uint32_t epoch_receiver_flushable(const struct epoch_receiver *e)
{
    uint32_t n = 0;

    while (n < e->count) {
        uint32_t slot = (e->first + n) % EPOCH_OPEN_MAX;

        if (!e->epoch[slot].closed || e->epoch[slot].pending)
            break;
        n++;
    }
    return n;
}

void epoch_receiver_pop(struct epoch_receiver *e, uint32_t *number, uint32_t *writes)
{
    assert(e->count > 1 && e->epoch[e->first].closed && !e->epoch[e->first].pending);
    *number = e->epoch[e->first].number;
    *writes = e->epoch[e->first].writes;
    e->first = (e->first + 1) % EPOCH_OPEN_MAX;
    e->count--;
}
