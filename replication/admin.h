/* What the files of orders share. Private to replication/; home reactor. */
#ifndef HALUN_REPLICATION_ADMIN_H
#define HALUN_REPLICATION_ADMIN_H

#include <stdbool.h>

#include "replication/resource.h"

/* The order is over: error and sentence; returns true. printf-like. */
__attribute__((format(printf, 3, 4))) bool admin_finish(struct admin *a, int error,
                                                        const char *format, ...);
/* Counts in a->waiting until the metadata of volume `index` is durable; an error is left in a->error. For md_request() or
 * md_close(). */
struct md_waiter *admin_waiter(struct admin *a, unsigned index, struct volume *v, bool pages);
/* Superblocks (and maps) of all volumes with a disk; a->waiting drops to 0 when they are durable.
 */
void admin_persist(struct resource *r, struct admin *a, bool pages);
/* The connection is made, or a volume is between two lasting states. */
bool admin_settling(const struct resource *r);
bool admin_link_up(const struct resource *r);

/* Steps of the orders; true when one is over. */
/* admin_role.c */
bool admin_promote(struct resource *r, struct admin *a);
bool admin_demote(struct resource *r, struct admin *a);
bool admin_give_up(struct resource *r, struct admin *a);
/* admin_outdate.c */
bool admin_peer_outdated(struct resource *r, struct admin *a);
bool admin_self_outdated(struct resource *r, struct admin *a);
bool admin_outdate(struct resource *r, struct admin *a);
bool admin_reinstate(struct resource *r, struct admin *a);
/* admin_close.c */
bool admin_close(struct resource *r, struct admin *a);
/* admin_copy.c */
bool admin_pause(struct resource *r, struct admin *a);
bool admin_verify(struct resource *r, struct admin *a);
bool admin_invalidate(struct resource *r, struct admin *a);
bool admin_invalidate_peer(struct resource *r, struct admin *a);
bool admin_new_generation(struct resource *r, struct admin *a);
bool admin_force_current(struct resource *r, struct admin *a);
bool admin_new_current(struct resource *r, struct admin *a);
/* admin_resize.c */
bool admin_resize(struct resource *r, struct admin *a);

#endif
