/* Asking the cluster to agree that the peer's copy is outdated. Private to replication/; home reactor.
 *
 * From the place of the order on where that is agreed, only this copy counts: what it has acknowledged and
 * not flushed would be lost with its power, although the peer's copy has that. So all of it is on stable
 * storage before the cluster is asked. While it is flushed nothing is acknowledged that the peer has not
 * got, so nothing is left out. docs/replication.md "Loss and return". */
#ifndef HALUN_REPLICATION_OUTDATING_H
#define HALUN_REPLICATION_OUTDATING_H

#include <stdbool.h>

struct resource;

/* A Primary whose peer does not get the writes of some volume has to have it outdated. After every event;
 * asks once for each loss. */
void outdating_ask(struct resource *r);
/* A Secondary whose peer crashed as Primary (standing.c): it does not give way. Every time that they meet. */
void outdating_ask_as_witness(struct resource *r);
/* Flushes alone: somebody else relies on this copy (replica_flush()). Over when nothing is being flushed any more. */
void outdating_flush(struct resource *r);
/* Is something still being flushed for any of these? */
bool outdating_flushes(const struct resource *r);

#endif
