#include "target/iscsi/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "target/iscsi/text.h"

static const struct {
    unsigned algorithm;
    const char *name; /* OpenSSL's */
} algorithms[] = {
    {CHAP_MD5, "MD5"},
    {CHAP_SHA1, "SHA1"},
    {CHAP_SHA256, "SHA256"},
    {CHAP_SHA3_256, "SHA3-256"},
};

unsigned chap_digest(unsigned algorithm, uint8_t id, const char *secret, const uint8_t *challenge,
                     size_t length, uint8_t *out)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_MD *md = NULL;
    unsigned n = 0;

    for (unsigned i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
        if (algorithms[i].algorithm == algorithm)
            md = EVP_MD_fetch(NULL, algorithms[i].name, NULL);
    if (!context || !md || !EVP_DigestInit_ex(context, md, NULL) ||
        !EVP_DigestUpdate(context, &id, 1) || !EVP_DigestUpdate(context, secret, strlen(secret)) ||
        !EVP_DigestUpdate(context, challenge, length) || !EVP_DigestFinal_ex(context, out, &n))
        n = 0;
    EVP_MD_free(md);
    EVP_MD_CTX_free(context);
    return n;
}

static void put_hex(struct writer *out, const char *key, const uint8_t *data, unsigned n)
{
    char text[2 + 2 * CHAP_DIGEST_MAX + 1] = "0x";

    for (unsigned i = 0; i < n; i++)
        snprintf(text + 2 + 2 * i, 3, "%02x", data[i]);
    text_put(out, key, text);
}

/* Picks the first algorithm of the initiator's list that can be used, and challenges. */
static int challenge(struct chap *chap, const char *list, const uint8_t *random, struct writer *out)
{
    uint8_t unused[CHAP_DIGEST_MAX];
    char word[12];

    for (unsigned n = 0; list; list = strchr(list, ',') ? strchr(list, ',') + 1 : NULL) {
        uint32_t number;
        n = (unsigned)strcspn(list, ",");
        if (n >= sizeof word)
            continue;
        memcpy(word, list, n);
        word[n] = 0;
        if (!text_number(word, &number))
            continue;
        /* A challenge as long as the digest (RFC 1994 4.1 wants it unpredictable and unique). */
        chap->challenge_length = chap_digest(number, 0, "", random, 1, unused);
        if (!chap->challenge_length)
            continue;
        chap->algorithm = number;
        chap->id = random[CHAP_DIGEST_MAX];
        memcpy(chap->challenge, random, chap->challenge_length);
        text_put_number(out, "CHAP_A", number);
        text_put_number(out, "CHAP_I", chap->id);
        put_hex(out, "CHAP_C", chap->challenge, chap->challenge_length);
        chap->state = CHAP_CHALLENGED;
        return 0;
    }
    return -1;
}

/* The initiator wants the target to prove itself. */
static int prove(const struct chap *chap, const struct config_chap *mutual,
                 const struct chap_keys *keys, struct writer *out)
{
    uint8_t theirs[CHAP_CHALLENGE_MAX], digest[CHAP_DIGEST_MAX];
    uint32_t id;
    unsigned n;
    int length;

    if (!mutual->secret[0] || !text_number(keys->i, &id) || id > 255)
        return -1;
    length = text_binary(keys->c, theirs, sizeof theirs);
    if (length <= 0)
        return -1;
    /* 12.1.3: a reflected challenge would make the target compute the proof of an initiator. */
    if ((unsigned)length == chap->challenge_length &&
        !memcmp(theirs, chap->challenge, (size_t)length))
        return -1;
    n = chap_digest(chap->algorithm, (uint8_t)id, mutual->secret, theirs, (size_t)length, digest);
    if (!n)
        return -1;
    text_put(out, "CHAP_N", mutual->user);
    put_hex(out, "CHAP_R", digest, n);
    return 0;
}

static int verify(struct chap *chap, const struct config_chap *proof,
                  const struct config_chap *mutual, const struct chap_keys *keys,
                  struct writer *out)
{
    uint8_t digest[CHAP_DIGEST_MAX], theirs[CHAP_DIGEST_MAX];
    unsigned n = chap_digest(chap->algorithm, chap->id, proof->secret, chap->challenge,
                             chap->challenge_length, digest);

    if (!keys->n || !keys->r || !n)
        return -1;
    if (text_binary(keys->r, theirs, sizeof theirs) != (int)n || CRYPTO_memcmp(theirs, digest, n) ||
        strcmp(keys->n, proof->user))
        return -1;
    if (!keys->i != !keys->c)
        return -1;
    if (keys->i && prove(chap, mutual, keys, out))
        return -1;
    chap->state = CHAP_DONE;
    return 0;
}

int chap_step(struct chap *chap, const struct config_chap *proof, const struct config_chap *mutual,
              const struct chap_keys *keys, const uint8_t random[CHAP_RANDOM], struct writer *out)
{
    switch (chap->state) {
    case CHAP_START:
        return keys->a ? challenge(chap, keys->a, random, out) : -1;
    case CHAP_CHALLENGED:
        return verify(chap, proof, mutual, keys, out);
    default:
        return -1;
    }
}
