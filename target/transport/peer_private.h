/* What the files of the peer transport share; nobody else includes it. */
#ifndef HALUN_TRANSPORT_PEER_PRIVATE_H
#define HALUN_TRANSPORT_PEER_PRIVATE_H

#include "config/config.h"
#include "target/transport/peer_link.h"

/* The configuration's node with this id, or NULL. */
const struct config_node *peer_node(unsigned id);
/* Fills a HELLO frame of this node; `number`: PEER_HELLO_LINK. */
void peer_make_hello(struct peer_frame *frame, unsigned number);
/* Checks the first frame of a link. `node`: who it must be, 0 = any other node of the
 * configuration. Returns NULL, or why it is refused. */
const char *peer_check_hello(enum peer_type type, const uint8_t *body, uint32_t length,
                             unsigned node);
/* How long a command is held at most, ns. */
uint64_t peer_hold_ns(void);

/* Is the calling reactor between peer_stop() and its end? Nothing new may begin then. */
bool peer_stopping(void);
/* A link of the calling reactor is gone with all its commands: peer_stop() may have waited for it.
 */
void peer_settled(void);

/* Ends the client link of a reactor to a node, if there is one. On that reactor. */
void peer_client_cut(unsigned reactor, unsigned node, const char *why);
/* Nobody waits for what became of commands of lost links any more. On that reactor, when peer_stopping(). */
void peer_client_stop(unsigned reactor);
/* Has the calling reactor no client link (any more)? */
bool peer_client_idle(void);

/* A connection was accepted: becomes a link of the calling reactor (closes the socket on failure).
 */
void peer_server_take(struct reactor *reactor, int fd);
/* Ends the links of the calling reactor that come from `node` (0 = all). */
void peer_server_cut(unsigned node, const char *why);
/* Has the calling reactor no server link and no command of one (any more)? */
bool peer_server_idle(void);

#endif
