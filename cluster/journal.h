/* The journal: what this node must know after a power cut. Two files are written in turn, so that a torn
 * write leaves the older one; layout in docs/cluster.md. A thread of its own waits for the disk. */
#ifndef HALUN_CLUSTER_JOURNAL_H
#define HALUN_CLUSTER_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

struct journal;

/* Opens (or creates) the journal in folder `path` and locks it against other daemons. *record is the
 * newest record that was written (malloc, the caller's), NULL when there is none. Returns 0, -EBUSY
 * (another daemon), -EXDEV (of another cluster), -EBADMSG (damaged beyond what a torn write explains) or
 * -errno, with a sentence in `why` (256 bytes). May block: at start only. */
int journal_open(struct journal **journal, const char *path, const uint8_t cluster_uuid[16],
                 uint8_t **record, size_t *size, char *why);
/* Waits for a write that is running, and frees. Accepts NULL. */
void journal_close(struct journal *journal);

/* Readable when a write has ended: call journal_done(). */
int journal_fd(const struct journal *journal);
/* Starts writing `record`, which must stay until journal_done(). Only when idle. Never blocks. */
void journal_write(struct journal *journal, const void *record, size_t size);
/* Returns 1 when the write has ended well, -errno when it failed, 0 when nothing has ended. */
int journal_done(struct journal *journal);

#endif
