/* The mark on disk that says "Primary": a crash of a marked volume has to look at its activity log. Where both copies
 * are equal it may lag behind the role, so that a planned change of the role waits for no disk:
 *
 * - Set before the first write of the new Primary to the volume, with that write's entry in the activity log: what
 *   was not written needs no mark.
 * - Cleared a moment after the old Primary is Secondary, a few volumes at a time, each after its flush and its map. A crash
 *   that finds it set though nothing was in flight compares equal generations: a living Primary is the source
 *   (rule 41), and of two crashed ones either is right, as every acknowledged write is on both and both look at
 *   their logs (rule 40). Had the new Primary gone on alone, it would have a new generation. */
#ifndef HALUN_REPLICATION_ROLE_MARK_H
#define HALUN_REPLICATION_ROLE_MARK_H

#include <stdbool.h>

struct admin;
struct resource;
struct volume;

/* Are both copies of all volumes equal, and linked? Else marks do not lag. */
bool role_mark_may_lag(const struct resource *r);
/* The role is Primary: sets the mark in memory; the first write waits until it is on disk. */
void role_mark_set(struct volume *v);
/* May the volume be written to? If not, the metadata has to be kicked: the mark goes to the disk beside the log. */
bool role_mark_durable(const struct volume *v);
/* The role is Secondary: begins to clear the mark where the disk has it. */
void role_mark_begin_clear(struct volume *v);
/* Goes on clearing for the demotion `a`, when nothing is left in the transfer log; true: all are clear (or a->error). */
bool role_mark_clear(struct resource *r, struct admin *a);

#endif
