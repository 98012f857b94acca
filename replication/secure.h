/* A socket of the link with its TLS session, and the handshake that comes before all else on it. Private to
 * replication/; home reactor. */
#ifndef HALUN_REPLICATION_SECURE_H
#define HALUN_REPLICATION_SECURE_H

#include <stdbool.h>

#include "replication/tls.h"
#include "target/base/reactor.h"

struct resource;

struct channel {
    int fd;                  /* -1: none */
    struct tls_session *tls; /* NULL: plain */
};
#define CHANNEL_NONE ((struct channel){.fd = -1})

/* Closes both; harmless on none. Nothing of it may be in the ring. */
void channel_close(struct channel *channel);
/* Sends a few bytes at once, without waiting: on a fresh socket there is room. False: the socket is dead. */
bool channel_say(struct channel *channel, const void *bytes, size_t n);

/* A handshake under way; embedded in its owner, who knows by done() that it ended and closes the channel when
 * it failed. */
struct securing {
    struct resource *resource;
    struct channel channel;
    struct io_op op;
    bool sending, up, given_up;
    unsigned seen; /* of the peer's first bytes */
    uint8_t first[TLS_FIRST_BYTES];
    /* `why`: NULL, both ends are who they should be; else a sentence. Inside resource_enter(). */
    void (*done)(struct securing *s, const char *why);
};
/* Takes over `fd`, with a session of the link's context. */
void secure_start(struct securing *s, struct resource *r, int fd, bool server,
                  void (*done)(struct securing *s, const char *why));
/* It takes too long, or is not wanted any more: done() comes soon. */
void secure_give_up(struct securing *s);

#endif
