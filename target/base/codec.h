/* One list of fields for both directions of a wire format: with a writer the fields are appended to
 * it, with a reader they are filled from it. So a field cannot be written and then read at another
 * place. Everything here is pure. */
#ifndef HALUN_BASE_CODEC_H
#define HALUN_BASE_CODEC_H

#include "target/base/bytes.h"

struct codec { /* one of both is set */
    struct writer *writer;
    struct reader *reader;
};

#define CODEC_FIELD(name, type)                                                                    \
    static inline void field_##name(struct codec *c, type *value)                                  \
    {                                                                                              \
        if (c->writer)                                                                             \
            write_##name(c->writer, *value);                                                       \
        else                                                                                       \
            *value = read_##name(c->reader);                                                       \
    }

CODEC_FIELD(u8, uint8_t)
CODEC_FIELD(be16, uint16_t)
CODEC_FIELD(be32, uint32_t)
CODEC_FIELD(be64, uint64_t)
#undef CODEC_FIELD

static inline void field_bytes(struct codec *c, void *bytes, size_t size)
{
    if (c->writer)
        write_bytes(c->writer, bytes, size);
    else
        read_bytes(c->reader, bytes, size);
}

#endif
