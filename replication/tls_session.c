/* One connection: OpenSSL on one end of a BIO pair, the wire on the other. */
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replication/tls_private.h"

/* Room that a record needs beside its plaintext: header, content type, tag; and a KeyUpdate before it. */
enum { OVERHEAD = 5 + 1 + 16 + 64 };

uint64_t tls_records_of_a_key = UINT64_C(1) << 23;

/* --- why it failed --- */

/* The first DNS name in a certificate, or what stands for it. */
static void name_of(X509 *certificate, char *out, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

    snprintf(out, size, "no node");
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        const ASN1_STRING *text = name->type == GEN_DNS ? name->d.dNSName : NULL;
        int n = text ? ASN1_STRING_length(text) : 0;

        if (!text)
            continue;
        snprintf(out, size, "\"%.*s\"", n < 64 ? n : 64,
                 (const char *)ASN1_STRING_get0_data(text));
        for (char *p = out; *p; p++)
            if (*p < 0x20 || *p > 0x7e)
                *p = '?';
        break;
    }
    GENERAL_NAMES_free(names);
}

/* OpenSSL's verdict on one certificate of the peer's: kept, as the session forgets a refused one. */
static int verified(int good, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_session *t = SSL_get_app_data(ssl);

    if (!good)
        name_of(X509_STORE_CTX_get0_cert(store), t->other_name, sizeof t->other_name);
    return good;
}

static void say_certificate(struct tls_session *t, long verdict)
{
    if (verdict != X509_V_ERR_HOSTNAME_MISMATCH) {
        snprintf(t->why, sizeof t->why, "TLS: the certificate of \"%s\" is refused: %s", t->peer_name,
                 X509_verify_cert_error_string(verdict));
        return;
    }
    snprintf(t->why, sizeof t->why, "TLS: the peer's certificate is for %s, expected \"%s\"",
             t->other_name, t->peer_name);
}

/* RFC 8446 6.2. OpenSSL has no words for the one that TLS 1.3 added. */
static const char *alert_text(int alert)
{
    return alert == SSL_AD_CERTIFICATE_REQUIRED ? "certificate required"
                                                : SSL_alert_desc_string_long(alert);
}

/* The sentence for OpenSSL's last error; the session is of no use any more. */
static void say_why(struct tls_session *t)
{
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    long verdict = SSL_get_verify_result(t->ssl);
    const char *text = code ? ERR_reason_error_string(code) : NULL;

    t->failed = true;
    if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET)
        snprintf(t->why, sizeof t->why, "TLS: the peer refuses this node: %s",
                 alert_text(reason - SSL_AD_REASON_OFFSET));
    else if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
        snprintf(t->why, sizeof t->why, "TLS: the peer shows no certificate, expected that of \"%s\"",
                 t->peer_name);
    else if (verdict != X509_V_OK)
        say_certificate(t, verdict);
    else
        snprintf(t->why, sizeof t->why, "TLS: %s", text ? text : "protocol error");
    ERR_clear_error();
}

const char *tls_session_why(const struct tls_session *t)
{
    return t->why;
}

/* --- life --- */

struct tls_session *tls_session_new(struct tls_context *context, bool server, const char *peer_name)
{
    struct tls_session *t = calloc(1, sizeof *t);
    BIO *inner = NULL;

    ERR_clear_error();
    if (t)
        t->ssl = SSL_new(context->ssl);
    if (!t || !t->ssl || BIO_new_bio_pair(&inner, TLS_BUFFER, &t->wire, TLS_BUFFER) != 1) {
        tls_session_free(t);
        return NULL;
    }
    SSL_set_bio(t->ssl, inner, inner);
    SSL_set_app_data(t->ssl, t);
    SSL_set_verify(t->ssl, SSL_get_verify_mode(t->ssl), verified);
    SSL_set_hostflags(t->ssl, TLS_HOST_FLAGS);
    snprintf(t->peer_name, sizeof t->peer_name, "%s", peer_name);
    if (SSL_set1_host(t->ssl, t->peer_name) != 1) {
        tls_session_free(t);
        return NULL;
    }
    if (server)
        SSL_set_accept_state(t->ssl);
    else
        SSL_set_connect_state(t->ssl);
    return t;
}

void tls_session_free(struct tls_session *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    BIO_free(t->wire);
    free(t);
}

/* --- the wire's side --- */

size_t tls_session_output(const struct tls_session *t, const uint8_t **bytes)
{
    char *at = NULL;
    int n = BIO_nread0(t->wire, &at);

    *bytes = (const uint8_t *)at;
    return n > 0 ? (size_t)n : 0;
}

void tls_session_sent(struct tls_session *t, size_t n)
{
    char *at;
    int taken = n ? BIO_nread(t->wire, &at, (int)n) : 0;

    assert((size_t)taken == n);
}

size_t tls_session_room(struct tls_session *t, uint8_t **bytes)
{
    char *at = NULL;
    int n = BIO_nwrite0(t->wire, &at);

    t->lent = true;
    *bytes = (uint8_t *)at;
    return n > 0 ? (size_t)n : 0;
}

void tls_session_received(struct tls_session *t, size_t n)
{
    char *at;
    int taken = n ? BIO_nwrite(t->wire, &at, (int)n) : 0;

    assert((size_t)taken == n);
    t->lent = false;
}

/* --- OpenSSL's side --- */

int tls_session_handshake(struct tls_session *t)
{
    int rc;

    assert(!t->lent);
    ERR_clear_error();
    rc = SSL_do_handshake(t->ssl);
    if (rc == 1)
        return 1;
    if (SSL_get_error(t->ssl, rc) == SSL_ERROR_WANT_READ)
        return 0;
    say_why(t);
    return -EPROTO;
}

static bool has_room(const struct tls_session *t)
{
    return BIO_get_write_guarantee(SSL_get_wbio(t->ssl)) >= TLS_RECORD + OVERHEAD;
}

/* One record at most. There is room for it, so OpenSSL never has to be called again for the same bytes. */
static int write_record(struct tls_session *t, const void *bytes, size_t n)
{
    size_t written;

    if (t->records == tls_records_of_a_key) {
        t->records = 0;
        if (SSL_key_update(t->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1)
            return -EPROTO;
    }
    if (SSL_write_ex(t->ssl, bytes, n, &written) != 1 || written != n)
        return -EPROTO;
    t->records++;
    return 0;
}

ssize_t tls_session_write(struct tls_session *t, const struct iovec *iov, unsigned count)
{
    size_t taken = 0, used = 0, skip = 0; /* `used` of the gathered record; `skip` of iov[i] */
    unsigned i = 0;

    ERR_clear_error();
    while (i < count && has_room(t)) {
        size_t left = iov[i].iov_len - skip;
        const uint8_t *from = (const uint8_t *)iov[i].iov_base + skip;
        size_t n = left < TLS_RECORD - used ? left : TLS_RECORD - used;
        const uint8_t *record = t->gather;

        if (!used && n == TLS_RECORD)
            record = from; /* as it lies there */
        else
            memcpy(t->gather + used, from, n);
        used += n;
        skip += n;
        if (skip == iov[i].iov_len) {
            i++;
            skip = 0;
        }
        if (used < TLS_RECORD && i < count)
            continue;
        if (used && write_record(t, record, used)) {
            say_why(t);
            return -EPROTO;
        }
        taken += used;
        used = 0;
    }
    return (ssize_t)taken;
}

/* Nothing (more) can be read: why. A failure is kept for the next call when there are bytes to give. */
static ssize_t read_end(struct tls_session *t)
{
    if (t->failed)
        return -EPROTO;
    switch (SSL_get_error(t->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        say_why(t);
        return -EPROTO;
    }
}

ssize_t tls_session_read(struct tls_session *t, const struct iovec *iov, unsigned count)
{
    size_t total = 0;

    assert(!t->lent);
    ERR_clear_error();
    for (unsigned i = 0; i < count; i++) {
        size_t filled = 0;

        while (filled < iov[i].iov_len) {
            size_t n;

            if (t->failed || SSL_read_ex(t->ssl, (uint8_t *)iov[i].iov_base + filled,
                                         iov[i].iov_len - filled, &n) != 1) {
                ssize_t end = read_end(t);

                return total ? (ssize_t)total : end;
            }
            filled += n;
            total += n;
        }
    }
    return (ssize_t)total;
}

bool tls_session_close(struct tls_session *t)
{
    if (t->closed || !SSL_is_init_finished(t->ssl))
        return false;
    t->closed = true;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
    ERR_clear_error();
    return true;
}

const char *tls_session_cipher(const struct tls_session *t)
{
    return SSL_get_cipher_name(t->ssl);
}

int64_t tls_session_peer_expires(const struct tls_session *t)
{
    const X509 *certificate = SSL_get0_peer_certificate(t->ssl);

    return certificate ? tls_time(X509_get0_notAfter(certificate)) : 0;
}

enum tls_look tls_looks(const uint8_t bytes[TLS_FIRST_BYTES])
{
    static const uint8_t packet_80[TLS_FIRST_BYTES] = {0x83, 0x74, 0x02, 0x67};

    if (!memcmp(bytes, packet_80, TLS_FIRST_BYTES))
        return TLS_LOOKS_PLAIN;
    /* A record of alert or handshake, RFC 8446 5.1. */
    return (bytes[0] == 21 || bytes[0] == 22) && bytes[1] == 3 ? TLS_LOOKS_TLS : TLS_LOOKS_OTHER;
}
