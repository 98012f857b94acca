/* Ranges of a volume that are being changed or copied. Two that overlap run one after the other, in
 * the order in which they came; so a resync never carries old data past a newer write, and two
 * writes to one block end with the same content on both copies. Pure; the ranges are the callers'.
 */
#ifndef HALUN_REPLICATION_RANGE_LOCK_H
#define HALUN_REPLICATION_RANGE_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include <qb/qblist.h>

struct range {
    struct qb_list_head link;
    uint64_t offset, length; /* bytes; length 0 overlaps nothing */
    bool held;               /* in a table */
    bool granted;
    void (*grant)(struct range *range); /* the caller's: what to do when it is granted later */
};

struct range_table {
    struct qb_list_head ranges; /* granted and waiting, in order of arrival */
    unsigned waiting;
};

void range_table_init(struct range_table *table);
/* Enters a range (offset, length set). True: granted now. False: it waits. */
bool range_enter(struct range_table *table, struct range *range);
/* Takes a range out, granted or not. Then call range_next() until NULL. */
void range_leave(struct range_table *table, struct range *range);
/* The oldest waiting range that nothing older overlaps any more; it is granted now. NULL: none. */
struct range *range_next(struct range_table *table);
/* Does anything granted or waiting overlap? */
bool range_busy(const struct range_table *table, uint64_t offset, uint64_t length);

#endif
