/* Certificates, keys and who is trusted, from files. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "replication/tls_private.h"

enum { WHY = 256 };

/* "FILE: what: OpenSSL's reason" */
static int refuse(char *why, const char *file, const char *what)
{
    unsigned long code = ERR_peek_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    if (ERR_GET_LIB(code) == ERR_LIB_SYS)
        reason = strerror(ERR_GET_REASON(code));
    snprintf(why, WHY, "%s: %s%s%s", file, what, reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
    return -EINVAL;
}

/* As with halun.secrets. */
static int check_key_file(const char *path, char *why)
{
    struct stat status;

    if (stat(path, &status)) {
        int rc = -errno;

        snprintf(why, WHY, "%s: %s", path, strerror(errno));
        return rc;
    }
    if (status.st_uid && status.st_uid != geteuid()) {
        snprintf(why, WHY, "%s: owner is uid %u: expected root or the user of the daemon", path,
                 (unsigned)status.st_uid);
        return -EPERM;
    }
    if (status.st_mode & 077) {
        snprintf(why, WHY, "%s: mode is %04o: expected 0600 (chmod 0600 %s)", path,
                 (unsigned)status.st_mode & 07777, path);
        return -EPERM;
    }
    return 0;
}

/* A daemon has nobody to ask for a passphrase. */
static int no_passphrase(char *out, int size, int writing, void *context)
{
    return -1;
}

static int own_certificate(SSL_CTX *ssl, const struct tls_files *files, const char *own_name,
                           char *why)
{
    const X509 *own;

    if (SSL_CTX_use_certificate_chain_file(ssl, files->certificate) != 1)
        return refuse(why, files->certificate, "expected a certificate (PEM)");
    if (SSL_CTX_use_PrivateKey_file(ssl, files->key, SSL_FILETYPE_PEM) != 1)
        return refuse(why, files->key,
                      "expected the certificate's private key (PEM, without passphrase)");
    if (SSL_CTX_check_private_key(ssl) != 1)
        return refuse(why, files->key, "expected the key of the certificate");
    own = SSL_CTX_get0_certificate(ssl);
    if (X509_check_host((X509 *)own, own_name, 0, TLS_HOST_FLAGS, NULL) != 1) {
        snprintf(why, WHY, "%s: expected this node's name \"%s\" as subjectAltName DNS",
                 files->certificate, own_name);
        return -EINVAL;
    }
    return 0;
}

/* Revocation lists are honoured when the file has any: then every signer's is wanted. */
static void honour_revocation(X509_STORE *store)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);

    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++)
        if (X509_OBJECT_get_type(sk_X509_OBJECT_value(objects, i)) == X509_LU_CRL)
            X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
}

static int trusted(SSL_CTX *ssl, const char *file, char *why)
{
    STACK_OF(X509_NAME) *names;

    if (SSL_CTX_load_verify_file(ssl, file) != 1)
        return refuse(why, file, "expected certificates of those who sign (PEM)");
    names = SSL_load_client_CA_file(file);
    if (!names)
        return refuse(why, file, "expected certificates of those who sign (PEM)");
    SSL_CTX_set_client_CA_list(ssl, names);
    honour_revocation(SSL_CTX_get_cert_store(ssl));
    return 0;
}

static void set_rules(SSL_CTX *ssl)
{
    SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION);
    SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION);
    SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_num_tickets(ssl, 0);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_early_data(ssl, 0);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
    /* What a write did not take may be elsewhere when it is tried again. */
    SSL_CTX_set_mode(ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

int64_t tls_time(const ASN1_TIME *time)
{
    struct tm tm;

    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

int tls_context_load(const struct tls_files *files, const char *own_name,
                     struct tls_context **context, char *why)
{
    struct tls_context *c = calloc(1, sizeof *c);
    int rc = check_key_file(files->key, why);

    ERR_clear_error();
    if (!rc && c)
        c->ssl = SSL_CTX_new(TLS_method());
    if (!rc && (!c || !c->ssl)) {
        snprintf(why, WHY, "out of memory");
        rc = -ENOMEM;
    }
    if (!rc) {
        set_rules(c->ssl);
        rc = own_certificate(c->ssl, files, own_name, why);
    }
    if (!rc)
        rc = trusted(c->ssl, files->ca, why);
    if (rc) {
        tls_context_free(c);
        return rc;
    }
    c->expires = tls_time(X509_get0_notAfter(SSL_CTX_get0_certificate(c->ssl)));
    *context = c;
    return 0;
}

void tls_context_free(struct tls_context *context)
{
    if (context)
        SSL_CTX_free(context->ssl);
    free(context);
}

int64_t tls_context_expires(const struct tls_context *context)
{
    return context->expires;
}
