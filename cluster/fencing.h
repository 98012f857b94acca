/* When was a node last fenced? Asked from Pacemaker's fencer by a child process (stonith_admin), so that
 * nothing here waits and no Pacemaker library is needed. */
#ifndef HALUN_CLUSTER_FENCING_H
#define HALUN_CLUSTER_FENCING_H

#include <qb/qbloop.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fencing;

/* `time`: CLOCK_REALTIME ns, of whole seconds, of the newest successful fencing in the history. */
typedef void (*fencing_answer)(void *context, unsigned node, uint64_t time);

/* Returns NULL without memory. */
struct fencing *fencing_new(qb_loop_t *loop, fencing_answer answer, void *context);
/* Ends a question that is still open. Accepts NULL. */
void fencing_free(struct fencing *fencing);
/* Asks; the answer comes only if the node was fenced. A question about the same node that has just been asked is asked
 * once more when it is answered: the fencer may have looked too early. Does nothing while another one is open.
 * Returns whether it asked. Control thread. */
bool fencing_ask(struct fencing *fencing, unsigned node, const char *name);

/* Reads the fencer's XML (at most `size` bytes of `text`): newest successful "off" or "reboot" of `name`
 * in realtime ns, or 0. Pure. */
uint64_t fencing_parse(const char *text, size_t size, const char *name);

#endif
