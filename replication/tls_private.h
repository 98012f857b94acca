/* What tls_context.c and tls_session.c share. */
#ifndef HALUN_REPLICATION_TLS_PRIVATE_H
#define HALUN_REPLICATION_TLS_PRIVATE_H

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "replication/tls.h"
#include "target/base/limits.h"

/* How a node's name is looked for in a certificate: subjectAltName alone, as it stands. */
#define TLS_HOST_FLAGS (X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_WILDCARDS)

struct tls_context {
    SSL_CTX *ssl;
    int64_t expires;
};

struct tls_session {
    SSL *ssl;
    BIO *wire; /* our end of the pair whose other end is ssl's */
    bool lent; /* a receive is under way into the pair's memory */
    bool closed, failed;
    uint64_t records; /* sent with the current key */
    char peer_name[LIMIT_NAME + 1];
    char other_name[80]; /* that a refused certificate is for */
    char why[TLS_WHY];
    uint8_t gather[TLS_RECORD];
};

/* Records that are sent with one key; RFC 8446 5.5 allows 2^24.5 with AES-GCM. A variable for tests. */
extern uint64_t tls_records_of_a_key;

int64_t tls_time(const ASN1_TIME *time);

#endif
