/* Asking all members for their opinion before something is asked for that they would have to carry out: one question
 * at a time of each kind, one answer of each member, a bound. Nothing is decided by it. Control thread. */
#ifndef HALUN_DAEMON_CONSULT_H
#define HALUN_DAEMON_CONSULT_H

#include <qb/qbloop.h>
#include <stdbool.h>
#include <stdint.h>

#include "target/daemon/daemon.h"

/* How long all have together (ms). */
enum { CONSULT_MS = 5000 };

/* A kind of question; static, all zero but for `kind`. */
struct consult {
    uint64_t kind; /* bits of the number (CONSULT) that tell the kinds apart: above the lower 32 */
    uint32_t count;
    uint32_t waits; /* bits (node id): whose opinion is missing */
    group_done *done; /* NULL: nothing is asked */
    void *context;
    qb_loop_timer_handle timer;
};

/* Asks the members of this moment, this node among them, what they think of `digest`. done() once, later: 0 when all
 * think well of it; -EINVAL and whose answer it is and why not, at the first one who does not; -EAGAIN and who is
 * silent, after CONSULT_MS. Not while it is asking. */
void consult_ask(struct consult *consult, const uint8_t digest[32], group_done *done, void *context);
/* A member's answer, which may be to an earlier question or to another kind. */
void consult_opinion(struct consult *consult, unsigned node, uint64_t number, bool good, const char *why);

#endif
