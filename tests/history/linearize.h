/* Is a history linearizable? Is there an order of its operations, each at one instant between its
 * call and its answer, in which the sequential model answers what was answered? Just-in-time search
 * after Wing & Gong and Lowe ("Testing for linearizability", 2017): events are walked in order of
 * time, and an operation is ordered when its answer comes, not earlier. Where there are several
 * ways to do so they are tried depth first, those with few unknown outcomes first: what has an
 * unknown outcome takes effect only where that explains an answer. What was tried is remembered: a
 * state from which the rest cannot be explained is met once, and so is one that used more of the
 * unknown outcomes. Operations that change nothing are ordered greedily. */
#ifndef HALUN_TESTS_LINEARIZE_H
#define HALUN_TESTS_LINEARIZE_H

#include "tests/history/history.h"

enum {
    LINEARIZE_PENDING = 256, /* operations that may be open at a time, unknown outcomes included */
    LINEARIZE_TEXT = 4096,
};

/* What is looked at beside the operations that change the unit's state. Each view is a check of its
 * own, so that none has to know all there is. */
enum linearize_view {
    /* All answers. Of reads and writes their conflict status (reservations, software write
       protection). */
    LINEARIZE_RESERVATIONS,
    /* Reads and writes of one block with their values: a write of a nexus that was preempted must
     * not show up after the PREEMPT was answered. After a cache loss a block may hold anything; the
     * ledger says what must survive. */
    LINEARIZE_BLOCK,
    /* The unit attentions of one nexus: each one that was established is reported once, none is
     * invented, and no command passes by a pending one (SAM-5 5.14). Looked at from the first
     * MODEL_LOGIN of the nexus on. */
    LINEARIZE_ATTENTIONS,
};

struct linearize_options {
    enum linearize_view view;
    unsigned of; /* the block; the nexus */
    uint64_t
        unknown_ns; /* an unknown outcome has no effect later than this after its call; 0: ever */
    size_t explored_max; /* states; give up beyond; 0: a default */
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
};

/* One view of the history of one logical unit. */
void linearize(const struct history *history, unsigned lu, const struct linearize_options *options,
               struct linearize_verdict *verdict);
/* All views of all units: every block that has values, every nexus that logged in. Ends at the
 * first that is not linearizable (or else at the end, with an undecided one if there is one);
 * `verdict` is about that one, and `why` names it; the statistics are sums. `options`: view and
 * `of` do not count. */
void linearize_all(const struct history *history, const struct linearize_options *options,
                   struct linearize_verdict *verdict);

#endif
