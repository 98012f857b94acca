/* Slots: the memory of SCSI commands. The connections of a reactor share them, and who needs one
 * gets the one that was free for the shortest time: so however many sessions there are, those that
 * are used are as many as there are commands at the same time, and are in the cache.
 *
 * Memory is got at login, enough for all that the sessions may hold together, and kept; it is
 * touched only as far as it is used. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "target/iscsi/conn.h"

/* Those with slots that were never used come first in home->slot_chunks. */
struct slot_chunk {
    struct qb_list_head link;
    unsigned count, touched;
    struct slot slots[];
};

int slots_reserve(struct iscsi_home *home, unsigned count)
{
    unsigned needed = home->slots_reserved + count;
    struct slot_chunk *chunk;

    if (needed > home->slots_made) {
        chunk = calloc(1, sizeof *chunk + (needed - home->slots_made) * sizeof chunk->slots[0]);
        if (!chunk)
            return -ENOMEM;
        chunk->count = needed - home->slots_made;
        qb_list_add(&chunk->link, &home->slot_chunks);
        home->slots_made = needed;
    }
    home->slots_reserved = needed;
    return 0;
}

void slots_unreserve(struct iscsi_home *home, unsigned count)
{
    assert(count <= home->slots_reserved);
    home->slots_reserved -= count;
}

void slots_free(struct iscsi_home *home)
{
    struct qb_list_head *at, *next;

    assert(!home->slots_reserved);
    qb_list_for_each_safe(at, next, &home->slot_chunks)
        free(qb_list_entry(at, struct slot_chunk, link));
}

/* A slot that was never used. As many were made as are reserved, so there is one. */
static struct slot *slot_touch(struct iscsi_home *home)
{
    struct slot_chunk *chunk = qb_list_first_entry(&home->slot_chunks, struct slot_chunk, link);
    struct slot *slot;

    assert(chunk->touched < chunk->count);
    slot = &chunk->slots[chunk->touched++];
    if (chunk->touched == chunk->count) {
        qb_list_del(&chunk->link);
        qb_list_add_tail(&chunk->link, &home->slot_chunks);
    }
    slot->number = home->slots_touched++ & SLOT_NUMBER_MASK;
    slot->r2t.kind = TX_R2T;
    slot->response.kind = TX_RESPONSE;
    qb_list_init(&slot->r2t.link);
    qb_list_init(&slot->response.link);
    return slot;
}

struct slot *slot_take(struct conn *conn)
{
    struct iscsi_home *home = conn->home;
    struct slot *slot;

    assert(slot_available(conn));
    conn->slots_held++;
    if (qb_list_empty(&home->free_slots)) {
        slot = slot_touch(home);
    } else {
        slot = qb_list_first_entry(&home->free_slots, struct slot, link);
        qb_list_del(&slot->link);
    }
    assert(slot->phase == SLOT_FREE);
    qb_list_init(&slot->link);
    task_clear(&slot->task);
    slot->conn = conn;
    slot->hashed = slot->immediate = slot->busy = slot->mute = slot->local = false;
    slot->asked = slot->delivered = slot->unsolicited = false;
    slot->wanted = slot->received = slot->granted = slot->burst_end = 0;
    slot->data_sn = slot->r2t_sn = slot->r2t_done = 0;
    slot->send_total = slot->sent = slot->burst_sent = slot->data_in_sn = 0;
    return slot;
}

static struct slot **bucket(const struct conn *conn, uint32_t itt)
{
    return &conn->hash[(itt ^ itt >> 16) & (conn->hash_size - 1)];
}

void slot_hash(struct slot *slot)
{
    struct slot **head = bucket(slot->conn, slot->itt);

    slot->hash_next = *head;
    *head = slot;
    slot->hashed = true;
}

void slot_unhash(struct slot *slot)
{
    struct slot **at;

    if (!slot->hashed)
        return;
    at = bucket(slot->conn, slot->itt);
    while (*at != slot)
        at = &(*at)->hash_next;
    *at = slot->hash_next;
    slot->hashed = false;
}

struct slot *slot_find(const struct conn *conn, uint32_t itt)
{
    struct slot *slot = *bucket(conn, itt);

    while (slot && slot->itt != itt)
        slot = slot->hash_next;
    return slot;
}

void slot_answered(struct slot *slot)
{
    slot_unhash(slot);
    if (!slot->busy)
        return;
    slot->busy = false;
    if (slot->immediate)
        slot->conn->immediate_busy--;
    else
        slot->conn->busy--;
}

void slot_release(struct slot *slot)
{
    struct conn *conn = slot->conn;
    struct payload_pool *payloads = conn->home->reactor->payloads;

    assert(slot->phase != SLOT_FREE && slot->phase != SLOT_ACTIVE && conn->rx.slot != slot);
    slot_answered(slot);
    tx_unqueue(&slot->r2t);
    tx_unqueue(&slot->response);
    payload_free(payloads, &slot->early);
    payload_free(payloads, &slot->task.data_out);
    payload_free(payloads, &slot->task.data_in);
    qb_list_del(&slot->link);
    qb_list_add(&slot->link, &conn->home->free_slots); /* last used first */
    slot->phase = SLOT_FREE;
    conn->slots_held--;
    if (conn->rx.stalled)
        conn_kick(conn);
}

/* One of this bucket that has still to be told that its connection ends. */
static struct slot *alive(struct slot *slot)
{
    while (slot && !(slot->phase == SLOT_ACTIVE && !slot->task.silent) &&
           !(slot->phase == SLOT_DONE && !slot->mute))
        slot = slot->hash_next;
    return slot;
}

void slots_abort(struct conn *conn)
{
    struct slot *slot;

    while (!qb_list_empty(&conn->queued)) {
        slot = qb_list_first_entry(&conn->queued, struct slot, link);
        qb_list_del(&slot->link);
        qb_list_init(&slot->link);
        slot->phase = SLOT_DONE;
        slot->mute = true;
        slot_progress(slot);
    }
    /* The end of one may end others: each bucket is looked at from its beginning again. */
    for (unsigned i = 0; i < conn->hash_size; i++) {
        while ((slot = alive(conn->hash[i]))) {
            if (slot->phase == SLOT_ACTIVE) {
                task_abort(&slot->task, true);
            } else {
                slot->mute = true;
                slot_progress(slot);
            }
        }
    }
}
