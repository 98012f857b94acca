/* The store of a volume that the kernel's DRBD keeps: /dev/drbdN, open only while this node is Primary, since DRBD
 * refuses readers on a Secondary and does not become one while somebody has it open.
 *
 * Threads: the functions here on the control thread; I/O on any reactor. Each reactor has its own pointer to what is
 * open, changed by a post, so that no I/O costs a lock and none is under way when the device is closed. */
#ifndef HALUN_REPLICATION_DRBD_STORE_H
#define HALUN_REPLICATION_DRBD_STORE_H

#include "config/config.h"
#include "target/base/mailbox.h"
#include "target/store/store.h"

struct drbd_store;

/* A closed store for an LU: I/O is answered -EAGAIN. NULL: no memory. `control` is the control thread's mailbox. */
struct drbd_store *drbd_store_new(const struct config_lu *lu, struct mailbox *control);
/* What the LU stands on; lives as long as the drbd_store. */
struct store *drbd_store_of(struct drbd_store *store);
/* Hands an open device (or file, in tests) to all reactors; done() when all have it. The store owns it. */
void drbd_store_open(struct drbd_store *store, struct store *device, void (*done)(void *context), void *context);
/* Takes it away: what is under way ends first, then it is closed and done() called. At once when it is closed. */
void drbd_store_close(struct drbd_store *store, void (*done)(void *context), void *context);
bool drbd_store_is_open(const struct drbd_store *store);
/* The store becomes as large as its device, which is open and has grown. True: it was smaller. */
bool drbd_store_grow(struct drbd_store *store);
/* A closed store. */
void drbd_store_free(struct drbd_store *store);

#endif
