/* Epochs of replicated writes. Pure.
 *
 * An epoch is a set of writes that may reach the peer's stable storage in any order. The sender
 * ends it with a P_BARRIER; the receiver answers with P_BARRIER_ACK when all its writes are done
 * and flushed. Number and count of the answer must be exact, over all volumes of the connection.
 *
 * When the sender ends an epoch is its choice within the protocol: at the latest before a write
 * that has to come after a stable one. DRBD ends it with every completion; as our volumes say that
 * their cache is volatile, the order of writes is promised by SYNCHRONIZE CACHE and FUA alone, so
 * we end it there, when it is full and when it gets old, and save the peer a flush per write.
 * `strict` selects DRBD's way. */
#ifndef HALUN_REPLICATION_EPOCH_H
#define HALUN_REPLICATION_EPOCH_H

#include <stdbool.h>
#include <stdint.h>

enum {
    EPOCH_WRITES_MAX = 256, /* an epoch is ended when it has so many writes */
    EPOCH_OPEN_MAX = 2048,  /* epochs without an answer; not less than writes in the transfer log */
};

struct epoch_sender {
    uint32_t number;       /* of the open epoch */
    uint32_t writes;       /* packets in it so far */
    bool closed;           /* the next write belongs to the next epoch */
    bool strict;           /* end the epoch with each completion */
    bool forced;           /* it is ended even when it is empty */
    uint32_t first, count; /* epochs sent and not answered, oldest at `first` */
    struct {
        uint32_t number, writes;
    } sent[EPOCH_OPEN_MAX];
};

/* Starts over: a new connection. `number` is the first epoch's. */
void epoch_sender_reset(struct epoch_sender *e, uint32_t number);
/* A P_BARRIER is due before the next write: the open epoch is ended, and has writes or is forced. */
bool epoch_sender_barrier_due(const struct epoch_sender *e);
/* Takes the number for that P_BARRIER and opens the next epoch. Only when it is due. */
uint32_t epoch_sender_barrier(struct epoch_sender *e);
/* A write packet goes out: returns the epoch it belongs to. No barrier may be due. */
uint32_t epoch_sender_write(struct epoch_sender *e);
/* A write is about to be completed upward. */
void epoch_sender_completing(struct epoch_sender *e, uint32_t epoch);
/* Ends the open epoch (a flush came, or it is old). Harmless on an empty one. */
void epoch_sender_close(struct epoch_sender *e);
/* Ends the open epoch, even an empty one: the peer flushes what it has not flushed for another reason. Not for DRBD, which
 * does not answer to an empty one. */
void epoch_sender_force(struct epoch_sender *e);
/* A P_BARRIER_ACK came. 0, or -EPROTO: not the oldest one's number and count; drop the link. */
int epoch_sender_ack(struct epoch_sender *e, uint32_t number, uint32_t writes);

struct epoch_receiver {
    uint32_t first, count; /* epochs known, the last one is open */
    struct {
        uint32_t number;  /* opaque, from the barrier */
        uint32_t writes;  /* packets received in it */
        uint32_t pending; /* not done yet */
        bool closed;
    } epoch[EPOCH_OPEN_MAX];
};

void epoch_receiver_reset(struct epoch_receiver *e);
/* A write packet came: returns the slot to give to epoch_receiver_done(). */
uint32_t epoch_receiver_write(struct epoch_receiver *e);
/* That write is done on the local disk (or failed, and was told so to the sender). */
void epoch_receiver_done(struct epoch_receiver *e, uint32_t slot);
/* True when no further barrier can be taken now: stop receiving until some were answered. */
bool epoch_receiver_full(const struct epoch_receiver *e);
/* No write came since the last barrier. */
bool epoch_receiver_empty(const struct epoch_receiver *e);
/* A P_BARRIER came. Must not be full. */
void epoch_receiver_barrier(struct epoch_receiver *e, uint32_t number);
/* How many epochs, oldest first, are complete and wait for a flush that starts now. */
uint32_t epoch_receiver_flushable(const struct epoch_receiver *e);
/* Takes the oldest, flushed epoch: what P_BARRIER_ACK has to say. */
void epoch_receiver_pop(struct epoch_receiver *e, uint32_t *number, uint32_t *writes);

#endif
