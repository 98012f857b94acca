/* Wire bytes: big-endian and little-endian integers at any alignment. Wire structures are never
 * C structures or bitfields; offsets are named constants from the document that defines them.
 * Everything here is pure. */
#ifndef HALUN_BASE_BYTES_H
#define HALUN_BASE_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define BYTES_ACCESSORS(bits)                                                                      \
    static inline uint##bits##_t get_be##bits(const void *p)                                       \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
        memcpy(&v, p, sizeof v);                                                                   \
        return be##bits##toh(v);                                                                   \
    }                                                                                              \
    static inline uint##bits##_t get_le##bits(const void *p)                                       \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
        memcpy(&v, p, sizeof v);                                                                   \
        return le##bits##toh(v);                                                                   \
    }                                                                                              \
    static inline void put_be##bits(void *p, uint##bits##_t v)                                     \
    {                                                                                              \
        v = htobe##bits(v);                                                                        \
        memcpy(p, &v, sizeof v);                                                                   \
    }                                                                                              \
    static inline void put_le##bits(void *p, uint##bits##_t v)                                     \
    {                                                                                              \
        v = htole##bits(v);                                                                        \
        memcpy(p, &v, sizeof v);                                                                   \
    }

BYTES_ACCESSORS(16)
BYTES_ACCESSORS(32)
BYTES_ACCESSORS(64)
#undef BYTES_ACCESSORS

static inline uint32_t get_be24(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
}

static inline void put_be24(void *p, uint32_t v)
{
    uint8_t *b = p;
    b[0] = (uint8_t)(v >> 16);
    b[1] = (uint8_t)(v >> 8);
    b[2] = (uint8_t)v;
}

/* Big-endian integer of `size` bytes (1..8); for positions that are data (command rows). */
static inline uint64_t get_be(const void *p, unsigned size)
{
    const uint8_t *b = p;
    uint64_t v = 0;
    while (size--)
        v = v << 8 | *b++;
    return v;
}

/* A bounded writer: appends to a buffer, remembers that it ran over instead of writing beyond.
 * `used` counts what would have been written, so a truncated answer knows its full length. */
struct writer {
    uint8_t *data;
    size_t size; /* room in bytes */
    size_t used; /* bytes asked for so far; more than size means it did not fit */
};

static inline void write_bytes(struct writer *w, const void *p, size_t n)
{
    if (w->used < w->size && n)
        memcpy(w->data + w->used, p, n < w->size - w->used ? n : w->size - w->used);
    w->used += n;
}

static inline void write_u8(struct writer *w, uint8_t v)
{
    write_bytes(w, &v, 1);
}

static inline void write_be16(struct writer *w, uint16_t v)
{
    v = htobe16(v);
    write_bytes(w, &v, 2);
}

static inline void write_be32(struct writer *w, uint32_t v)
{
    v = htobe32(v);
    write_bytes(w, &v, 4);
}

static inline void write_be64(struct writer *w, uint64_t v)
{
    v = htobe64(v);
    write_bytes(w, &v, 8);
}

/* A bounded reader: reads zeros beyond the end and remembers it in `bad`; check once at the end. */
struct reader {
    const uint8_t *data;
    size_t left;
    int bad; /* nonzero: something was read beyond the end */
};

static inline void read_bytes(struct reader *r, void *p, size_t n)
{
    if (n > r->left) {
        r->bad = 1;
        r->left = 0;
        memset(p, 0, n);
        return;
    }
    if (n)
        memcpy(p, r->data, n);
    r->data += n;
    r->left -= n;
}

static inline uint8_t read_u8(struct reader *r)
{
    uint8_t v;
    read_bytes(r, &v, 1);
    return v;
}

static inline uint16_t read_be16(struct reader *r)
{
    uint16_t v;
    read_bytes(r, &v, 2);
    return be16toh(v);
}

static inline uint32_t read_be32(struct reader *r)
{
    uint32_t v;
    read_bytes(r, &v, 4);
    return be32toh(v);
}

static inline uint64_t read_be64(struct reader *r)
{
    uint64_t v;
    read_bytes(r, &v, 8);
    return be64toh(v);
}

#endif
