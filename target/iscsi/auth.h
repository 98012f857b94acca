/* CHAP (RFC 1994, RFC 7143 12.1.3): the target's side of AuthMethod=CHAP, one-way and mutual. Pure
 * but for the digest functions of OpenSSL; random bytes are the caller's. */
#ifndef HALUN_ISCSI_AUTH_H
#define HALUN_ISCSI_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "target/base/bytes.h"

enum {
    CHAP_MD5 = 5, /* IANA "PPP Authentication Algorithms" */
    CHAP_SHA1 = 6,
    CHAP_SHA256 = 7,
    CHAP_SHA3_256 = 8,
    CHAP_DIGEST_MAX = 32,
    CHAP_CHALLENGE_MAX = 1024,
    CHAP_RANDOM = CHAP_DIGEST_MAX + 1, /* random bytes one authentication needs */
};

enum chap_state { CHAP_START, CHAP_CHALLENGED, CHAP_DONE };

struct chap {
    enum chap_state state;
    unsigned algorithm;
    uint8_t id;
    uint8_t challenge[CHAP_DIGEST_MAX];
    unsigned challenge_length;
};

/* The CHAP keys of one login request; NULL = not sent. */
struct chap_keys {
    const char *a, *i, *c, *n, *r;
};

/* Digest of id | secret | challenge (RFC 1994 4.1). Returns its length, or 0 when OpenSSL does not
 * supply the algorithm. `out` has room for CHAP_DIGEST_MAX bytes. */
unsigned chap_digest(unsigned algorithm, uint8_t id, const char *secret, const uint8_t *challenge,
                     size_t length, uint8_t *out);

/* One step. `proof` is what the initiator must prove, `mutual` what the target can prove (empty
 * secret: not configured). Appends the answer's keys. Returns 0, or -1: authentication failed. */
int chap_step(struct chap *chap, const struct config_chap *proof, const struct config_chap *mutual,
              const struct chap_keys *keys, const uint8_t random[CHAP_RANDOM], struct writer *out);

#endif
