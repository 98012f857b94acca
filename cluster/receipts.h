/* Receipts of operations (struct message_receipt) between nodes: datagrams from one node's `peer` address to the other's,
 * the same port as the peer link's, over UDP. They save the origin of an operation the wait for Corosync's token, and may
 * be lost: the ordered acknowledgement follows. Control thread. */
#ifndef HALUN_CLUSTER_RECEIPTS_H
#define HALUN_CLUSTER_RECEIPTS_H

#include <qb/qbloop.h>
#include <stddef.h>

#include "config/config.h"

struct receipts;

/* A datagram came from the address of `node`; what is in it is not looked at. */
typedef void (*receipts_came)(void *context, unsigned node, const void *bytes, size_t size);

/* NULL: this node has no peer address, or it cannot be used (logged): then there are none. The configuration must
 * stay. */
struct receipts *receipts_open(qb_loop_t *loop, const struct config *config, receipts_came came, void *context);
/* Sends if it can be sent now. `receipts` NULL, or a node without a peer address: does nothing. */
void receipts_send(struct receipts *receipts, unsigned node, const void *bytes, size_t size);
/* Accepts NULL. Not from a callback. */
void receipts_close(struct receipts *receipts);

#endif
