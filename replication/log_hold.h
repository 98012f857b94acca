/* Holding extents of a volume's activity log: what a write to the local disk needs before it
 * starts. Private to replication/; home reactor. */
#ifndef HALUN_REPLICATION_LOG_HOLD_H
#define HALUN_REPLICATION_LOG_HOLD_H

#include <qb/qblist.h>
#include <stdbool.h>
#include <stdint.h>

struct volume;

struct log_hold {
    struct qb_list_head wait; /* volume->al_wait or ->al_busy, while `waiting` */
    uint32_t first, last;     /* extents */
    uint64_t ticket;
    bool held, waiting;
    void (*start)(
        struct log_hold *hold); /* the caller's: the extents are durable, or the disk failed */
};

/* Holds what sectors [sector, sector + count) touch, count > 0. start() is called when that is
 * durable, perhaps at once; those that came before go first. */
void log_hold_begin(struct volume *v, struct log_hold *hold, uint64_t sector, uint64_t count);
/* Gives it up; harmless when nothing is held. Must not be waiting. */
void log_hold_end(struct volume *v, struct log_hold *hold);
/* A transaction became durable, or something was given up: starts who may go on. */
void log_hold_changed(struct volume *v);
/* The disk failed: all that wait start, only to see it. */
void log_hold_failed(struct volume *v);

#endif
