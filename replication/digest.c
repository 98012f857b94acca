#include "replication/digest.h"

#include <openssl/evp.h>

static const char *const names[] = {"", "md5", "sha1", "sha256", "sha512"};
enum { NAMES = sizeof names / sizeof *names };

struct digest_context *digest_new(void)
{
    return (struct digest_context *)EVP_MD_CTX_new();
}

void digest_free(struct digest_context *context)
{
    EVP_MD_CTX_free((EVP_MD_CTX *)context);
}

const char *digest_name(unsigned algorithm)
{
    return algorithm < NAMES ? names[algorithm] : "";
}

size_t digest_payload(struct digest_context *context, unsigned algorithm,
                      const struct payload *payload, uint8_t *out)
{
    EVP_MD_CTX *evp = (EVP_MD_CTX *)context;
    const EVP_MD *md = EVP_get_digestbyname(digest_name(algorithm));
    size_t left = payload->length;
    unsigned n = 0;

    if (!md || !EVP_DigestInit_ex(evp, md, NULL))
        return 0;
    for (unsigned i = 0; left; i++) {
        size_t part = payload->iov[i].iov_len < left ? payload->iov[i].iov_len : left;

        if (!EVP_DigestUpdate(evp, payload->iov[i].iov_base, part))
            return 0;
        left -= part;
    }
    return EVP_DigestFinal_ex(evp, out, &n) ? n : 0;
}
