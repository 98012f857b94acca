/* Certificates for tests, made on the spot: signers, and nodes' certificates in every wrong way. */
#ifndef HALUN_TESTS_TLS_FILES_H
#define HALUN_TESTS_TLS_FILES_H

#include <stdbool.h>

struct tls_make {
    const char *directory;
    const char *file;   /* "n0": n0.crt, n0.key (mode 0600) */
    const char *name;   /* subjectAltName DNS, and CN; NULL: the CN is `file`, no subjectAltName */
    const char *signer; /* file of the signer; NULL: it signs itself, and may sign others */
    long from_s, to_s;  /* validity, seconds from now; 0, 0: from an hour ago for a year */
};
void tls_make(const struct tls_make *make);
/* A revocation list of `signer` over what `revoked` is (NULL: nothing), appended to `signer`.crt. */
void tls_revoke(const char *directory, const char *signer, const char *revoked);

#endif
