/* TLS 1.3 (RFC 8446) of the replication link: what a node shows and whom it trusts, and one connection as a
 * machine over memory: bytes of the wire in and out, no socket. Both ends authenticate by certificate; the
 * peer's must carry the name of its node as subjectAltName DNS. No older version, no session tickets, no early
 * data, no renegotiation. Private to replication/.
 *
 * A context is read from files on the control thread; a session is used by the home reactor alone. */
#ifndef HALUN_REPLICATION_TLS_H
#define HALUN_REPLICATION_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum {
    TLS_RECORD = 16 << 10,  /* plaintext of a full record */
    TLS_BUFFER = 256 << 10, /* of records on their way, each direction */
    TLS_WHY = 200,
    TLS_FIRST_BYTES = 4, /* tls_looks() wants so many */
};

struct tls_context;
struct tls_session;

struct tls_files {
    const char *certificate; /* PEM: this node's, then intermediate ones */
    const char *key;         /* PEM, without passphrase, for its owner's eyes only */
    const char *ca;          /* PEM: who signs; revocation lists in it are honoured */
};

/* Reads the files. `own_name` is this node's: a certificate for another one would be refused by every peer
 * and is refused here. One that has expired, or is not valid yet, is not: the clock may be wrong; the peer
 * judges. Returns 0, or -errno and a sentence in `why` (256 bytes). */
int tls_context_load(const struct tls_files *files, const char *own_name,
                     struct tls_context **context, char *why);
/* Accepts NULL. Sessions made from it go on. */
void tls_context_free(struct tls_context *context);
/* When this node's certificate ends, seconds since 1970. */
int64_t tls_context_expires(const struct tls_context *context);

/* NULL: no memory. `peer_name`: the node that the other end must be. */
struct tls_session *tls_session_new(struct tls_context *context, bool server,
                                    const char *peer_name);
/* Nothing may be in the ring with this session's memory. Accepts NULL. */
void tls_session_free(struct tls_session *t);

/* 1: both ends are authenticated. 0: needs more of the peer's bytes, once the output is sent. -EPROTO: over,
 * tls_session_why() says it; the output holds the alert for the peer. */
int tls_session_handshake(struct tls_session *t);

/* Bytes to be sent next; 0: none. They stay in place until tls_session_sent(). */
size_t tls_session_output(const struct tls_session *t, const uint8_t **bytes);
void tls_session_sent(struct tls_session *t, size_t n);
/* Where to receive, never 0 bytes after a read that returned -EAGAIN. Nothing is read from the session before
 * tls_session_received(). */
size_t tls_session_room(struct tls_session *t, uint8_t **bytes);
void tls_session_received(struct tls_session *t, size_t n);

/* Makes records of the iovec's bytes, while there is room. Returns the bytes taken (0: no room), or -EPROTO. */
ssize_t tls_session_write(struct tls_session *t, const struct iovec *iov, unsigned count);
/* Plaintext: bytes written to the iovec, at least 1; -EAGAIN: more must be received first; 0: the peer has
 * closed it (close_notify); -EPROTO: over, see tls_session_why(). */
ssize_t tls_session_read(struct tls_session *t, const struct iovec *iov, unsigned count);
/* Puts close_notify into the output; false when it was done before. */
bool tls_session_close(struct tls_session *t);

/* Of the last failure; text of the peer's certificate in it is printable. */
const char *tls_session_why(const struct tls_session *t);
/* "TLS_AES_256_GCM_SHA384" once authenticated; a constant. */
const char *tls_session_cipher(const struct tls_session *t);
int64_t tls_session_peer_expires(const struct tls_session *t);

/* What a peer's first bytes are. Pure. */
enum tls_look { TLS_LOOKS_TLS, TLS_LOOKS_PLAIN, TLS_LOOKS_OTHER };
enum tls_look tls_looks(const uint8_t bytes[TLS_FIRST_BYTES]);

#endif
