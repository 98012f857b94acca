/* Blocks that are marked as out of sync though both copies are of one generation. Private to replication/; home reactor.
 *
 * A resync follows from generations, so that the comparison of such copies ends with "equal". What is marked is what this
 * node grew by while it was alone (grow.h), or writes that were given up before they were answered: nothing of it was
 * acknowledged, and the Primary's blocks are as good as the other's. They go to the peer as writes (catchup_pump()), so that
 * neither copy is Inconsistent meanwhile. For that the Primary has to know them, or who becomes it: each node of the cluster
 * tells the other what it has marked (P_OUT_OF_SYNC). DRBD would not expect that: from it a Primary here takes what is
 * marked here. */
#ifndef HALUN_REPLICATION_UNEQUAL_H
#define HALUN_REPLICATION_UNEQUAL_H

#include <stdint.h>

struct resource;
struct volume;

/* The comparison of two good copies has just ended with a connection and no resync. */
void unequal_compared(struct volume *v);
/* It has grown as it was ordered to while it was Primary. */
void unequal_grown(struct volume *v);
/* The peer has marked this range, which is within the volume, in sectors. */
void unequal_told(struct volume *v, uint64_t sector, uint64_t sectors);
/* This node was promoted, and the peer knows. */
void unequal_promoted(struct resource *r);

#endif
