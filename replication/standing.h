/* What the cluster's record says of the two copies of a group, and what follows from it. Private to
 * replication/; home reactor.
 *
 * The metadata alone cannot tell who has the data after a Primary has crashed: both copies are of
 * one generation, and DRBD's rule 40 makes the crashed Primary the source. With its power it may
 * have lost what it had acknowledged but not flushed; a Secondary that lived on has all of that, as
 * nothing is acknowledged without it before the cluster has agreed that its copy is outdated. So
 * where there is a record (`recorded`):
 *
 * - Where it says that this copy alone is current, this copy begins a new generation (data flushed,
 * then the generation durable) before the two are compared the next time: the table then makes it
 * the source, and any peer, also after any crash, comes to the same.
 * - A copy that alone is current and has no data (its disk was replaced) is not filled from the other one: an order says
 * first that that one is the good one.
 * - It is not filled from a copy that is not current and whose generation follows its own either (written to for an owner whose
 * disk failed, in vain): it begins another generation, also as Primary, and the other one is a split brain that gives way.
 * - A crashed Primary is compared as rule 40 says only when the record is settled and does not
 * prefer one of them.
 * - A copy that is complete never gives way to a crashed Primary of its own generation: it asks the
 * cluster to agree that the peer's copy is outdated. Complete: it was compared with the peer's, or
 * resynchronised, or Primary, since when no cache lost its power (replica_options.kept). Nothing
 * was acknowledged without it since, or the generations differed.
 * - Where it calls both current, the one that is to be filled from the other is outdated by agreement before anything is copied:
 * half filled, it must not be taken for the good one when the other is lost.
 * - A copy that was outdated by agreement, and of which the record says that only the peer's is current, gives way in a
 * split brain: nothing that was acknowledged is on it alone. Nor is it on one that has not been marked, as its node was away or
 * its daemon ended, but has no dirty bit since the common generation: what a Primary without a disk writes to it waits until the
 * record calls it current (mirror_only_copy()). One that was only passed over (group make-current) is not marked, has such bits,
 * and waits for an operator.
 */
#ifndef HALUN_REPLICATION_STANDING_H
#define HALUN_REPLICATION_STANDING_H

#include <stdbool.h>

#include "replication/replica.h"

struct generation_verdict;
struct resource;
struct volume;
struct wire_state;

void standing_set(struct resource *r, enum replica_standing standing);
/* The peer has all that this copy has: no new generation is due any more. */
void standing_equal(struct resource *r);
/* May this copy be the good one as far as the record goes? */
bool standing_current(const struct resource *r);
/* Begins the new generation when one is due and there is no connection. After every event. */
void standing_pump(struct resource *r);
/* All volumes are complete. */
bool standing_complete(const struct resource *r);
/* Both copies of the volume are equal, by verdict or because what one missed was sent. */
void standing_compared(struct volume *v);
/* Would a split-brain policy give up the copy that the record alone calls current (made so by order, perhaps: the other
 * one has more, and is given up for good)? */
bool standing_forbids(const struct resource *r, const struct generation_verdict *verdict);
/* To be told at a handshake that begins: see above. */
bool standing_gives_way(const struct resource *r);
/* Must the verdict about a volume not be carried out now? Then the link is being dropped, to be
 * made again. */
bool standing_holds(struct volume *v, const struct generation_verdict *verdict,
                    const struct wire_state *peer);

#endif
