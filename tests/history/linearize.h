/* Is a history linearizable? Is there an order of its operations, each at one instant between its
 * call and its answer, in which the sequential model answers what was answered? Just-in-time search
 * after Wing & Gong and Lowe
 * ("Testing for linearizability", 2017): events are walked in order of time with the set of all
 * model states that are possible; an operation is ordered when its answer comes, not earlier.
 * Operations that change nothing are ordered greedily, two orders that end in the same state count
 * once, and what has an unknown outcome takes effect only where that explains an answer. */
#ifndef HALUN_TESTS_LINEARIZE_H
#define HALUN_TESTS_LINEARIZE_H

#include "tests/history/history.h"

enum {
    LINEARIZE_NO_BLOCK = -1,
    LINEARIZE_PENDING = 256, /* operations that may be open at a time, unknown outcomes included */
    LINEARIZE_TEXT = 4096,
};

struct linearize_options {
    uint64_t
        unknown_ns; /* an unknown outcome has no effect later than this after its call; 0: ever */
    unsigned configurations_max; /* give up beyond; 0: a default */
};

enum linearize_answer { LINEARIZE_YES, LINEARIZE_NO, LINEARIZE_UNDECIDED };

struct linearize_verdict {
    enum linearize_answer answer;
    /* LINEARIZE_NO: this answer cannot be explained, all earlier ones can: together they are the
     * shortest prefix that is not linearizable. */
    size_t failed;
    char why[LINEARIZE_TEXT]; /* several lines, for NO and UNDECIDED */
    /* Statistics. */
    size_t operations, configurations_most, explored;
    /* LINEARIZE_YES: the operations that changed the state in an order that explains all answers
     * (indices into history->ops); with each the latest time at which it happened in this order.
     * free() both. */
    size_t *order;
    uint64_t *order_latest;
    size_t order_count;
};

/* Checks the history of one logical unit. Without `block`, reads and writes count by their conflict
 * status alone (against reservations and software write protection). With `block`, only the reads
 * and writes of that block count, with their values: a write of a nexus that was preempted must not
 * show up after the PREEMPT was answered. Across a cold start a block may hold anything; the ledger
 * says what must survive. */
void linearize(const struct history *history, int lu, int block,
               const struct linearize_options *options, struct linearize_verdict *verdict);
void linearize_done(struct linearize_verdict *verdict);

#endif
