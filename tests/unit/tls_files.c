#include "tls_files.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void must(bool condition)
{
    if (!condition)
        abort();
}

static FILE *open_file(const char *directory, const char *name, const char *end, const char *mode)
{
    char path[300];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s.%s", directory, name, end);
    f = fopen(path, mode);
    must(f);
    if (!strcmp(end, "key") && *mode == 'w')
        must(!chmod(path, 0600));
    return f;
}

static void extend(X509 *certificate, X509 *signer, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&context, signer, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    must(extension && X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static X509 *read_certificate(const char *directory, const char *file)
{
    FILE *f = open_file(directory, file, "crt", "r");
    X509 *certificate = PEM_read_X509(f, NULL, NULL, NULL);

    must(certificate);
    fclose(f);
    return certificate;
}

static EVP_PKEY *read_key(const char *directory, const char *file)
{
    FILE *f = open_file(directory, file, "key", "r");
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);

    must(key);
    fclose(f);
    return key;
}

void tls_make(const struct tls_make *make)
{
    static long serial;
    EVP_PKEY *key = EVP_EC_gen("P-256"), *signing = key;
    X509 *certificate = X509_new(), *signer = certificate;
    const char *name = make->name ? make->name : make->file;
    char text[100];
    FILE *f;

    must(key && certificate);
    if (make->signer) {
        signer = read_certificate(make->directory, make->signer);
        signing = read_key(make->directory, make->signer);
    }
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), make->to_s ? make->from_s : -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), make->to_s ? make->to_s : 365 * 86400);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(signer));
    extend(certificate, signer, NID_basic_constraints, make->signer ? "CA:FALSE" : "critical,CA:TRUE");
    snprintf(text, sizeof text, "DNS:%s", name);
    if (make->name && make->signer)
        extend(certificate, signer, NID_subject_alt_name, text);
    must(X509_sign(certificate, signing, EVP_sha256()));
    f = open_file(make->directory, make->file, "crt", "w");
    must(PEM_write_X509(f, certificate));
    fclose(f);
    f = open_file(make->directory, make->file, "key", "w");
    must(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
    fclose(f);
    if (make->signer) {
        X509_free(signer);
        EVP_PKEY_free(signing);
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
}

void tls_revoke(const char *directory, const char *signer, const char *revoked)
{
    X509 *certificate = read_certificate(directory, signer);
    EVP_PKEY *key = read_key(directory, signer);
    X509_CRL *list = X509_CRL_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, -60), *later = X509_gmtime_adj(NULL, 86400);
    FILE *f;

    must(list && now && later);
    X509_CRL_set_version(list, 1);
    X509_CRL_set_issuer_name(list, X509_get_subject_name(certificate));
    X509_CRL_set1_lastUpdate(list, now);
    X509_CRL_set1_nextUpdate(list, later);
    if (revoked) {
        X509 *victim = read_certificate(directory, revoked);
        X509_REVOKED *entry = X509_REVOKED_new();

        must(entry && X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(victim)));
        X509_REVOKED_set_revocationDate(entry, now);
        must(X509_CRL_add0_revoked(list, entry));
        X509_free(victim);
    }
    must(X509_CRL_sign(list, key, EVP_sha256()));
    f = open_file(directory, signer, "crt", "a");
    must(PEM_write_X509_CRL(f, list));
    fclose(f);
    ASN1_TIME_free(now);
    ASN1_TIME_free(later);
    X509_CRL_free(list);
    X509_free(certificate);
    EVP_PKEY_free(key);
}
