#include "replication/digest.h"

#include <isa-l/crc.h>
#include <openssl/evp.h>

#include "target/base/bytes.h"

static const char *const names[] = {"", "md5", "sha1", "sha256", "sha512", "crc32c"};
enum { NAMES = sizeof names / sizeof *names, CRC32C = 5 };

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

/* As Linux's crypto API gives it: from all ones, inverted at the end, lowest byte first. */
static size_t crc32c(const struct payload *payload, uint8_t *out)
{
    size_t left = payload->length;
    uint32_t crc = UINT32_MAX;

    for (unsigned i = 0; left; i++) {
        size_t part = payload->iov[i].iov_len < left ? payload->iov[i].iov_len : left;

        crc = crc32_iscsi(payload->iov[i].iov_base, (int)part, crc);
        left -= part;
    }
    put_le32(out, ~crc);
    return sizeof crc;
}

size_t digest_payload(struct digest_context *context, unsigned algorithm,
                      const struct payload *payload, uint8_t *out)
{
    EVP_MD_CTX *evp = (EVP_MD_CTX *)context;
    const EVP_MD *md;
    size_t left = payload->length;
    unsigned n = 0;

    if (algorithm == CRC32C)
        return crc32c(payload, out);
    md = EVP_get_digestbyname(digest_name(algorithm));
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
