/* What link.c, link_send.c and link_receive.c share. Home reactor. */
#ifndef HALUN_REPLICATION_LINK_PRIVATE_H
#define HALUN_REPLICATION_LINK_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "replication/link.h"

/* Refused for good, and the peer may still read why. */
bool link_lingers(const struct link *link);

/* link_send.c */
/* A send is over: tx_op.done of a socket. */
void link_sent(struct io_op *op, int32_t res, uint32_t flags);
/* All is said: the peer reads it to its end. */
void link_end_sending(struct link_socket *s);
/* Frees those that are not being sent. */
void link_free_controls(struct link *link);

/* link_receive.c */
/* Something came: rx_op.done of a socket. */
void link_received(struct io_op *op, int32_t res, uint32_t flags);
void link_receive_more(struct link_socket *s);
/* Only the peer's end is waited for. */
void link_receive_and_forget(struct link_socket *s);
/* Carries out what is in the buffer, then receives more. */
void link_take_in(struct link_socket *s);

#endif
