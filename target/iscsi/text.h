/* Text keys: reading and writing key=value lists, and the negotiation of operational parameters
 * (RFC 7143 6, 13). Every key is a row of login_keys.def. Pure. */
#ifndef HALUN_ISCSI_TEXT_H
#define HALUN_ISCSI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "target/base/bytes.h"

enum {
    TEXT_KEY_LENGTH = 63,  /* 6.1 */
    TEXT_LIMIT = 16 << 10, /* bytes of one negotiation's text over all its PDUs (C bit), each way */
    TEXT_KEYS_LIMIT = 256, /* pairs in one negotiation step */
};

enum text_kind {
    KIND_DIGEST,         /* list of None, CRC32C: the first one of the offer that is allowed */
    KIND_MINIMUM,        /* number: the smaller one */
    KIND_MAXIMUM,        /* number: the larger one */
    KIND_OR,             /* Yes/No: Yes if one of both says so */
    KIND_AND,            /* Yes/No: Yes if both say so */
    KIND_DECLARED,       /* number: each side declares its own, no answer */
    KIND_TASK_REPORTING, /* list: RFC3720 only */
    KIND_OBSOLETE_NO,    /* 13.25: answered No */
    KIND_OBSOLETE,       /* 13.25: answered Reject */
    KIND_TEXT,           /* a name, read by the caller */
    KIND_SECURITY,       /* of the security stage, read by the caller */
};

enum text_key_flags { K_NORMAL = 1, K_LOGIN = 2, K_INITIATOR = 4, K_TARGET = 8 };

enum text_key {
#define KEY(id, name, kind, flags, default_, min, max) KEY_##id,
#include "target/iscsi/login_keys.def"
#undef KEY
    KEY_COUNT,
    KEY_UNKNOWN = KEY_COUNT
};

struct text_key_row {
    const char *name;
    enum text_kind kind;
    uint8_t flags;
    uint32_t default_value, min, max;
};

extern const struct text_key_row text_keys[KEY_COUNT];

/* The row number of a key name, or KEY_UNKNOWN. Names are case sensitive (6.1). */
enum text_key text_key_find(const char *name);

/* One pair; the strings point into the caller's data. */
struct text_pair {
    enum text_key key;
    char name[TEXT_KEY_LENGTH + 1];
    const char *value; /* NUL-terminated in the data */
};

/* Takes the next pair from *data (advances it). Returns 1, 0 at the end, -1 when the text is
 * malformed: no "=", no NUL at the end, a key that is empty or too long or has characters that keys
 * do not have. */
int text_next(const char **data, size_t *left, struct text_pair *pair);

/* Appends "name=value" and its NUL. */
void text_put(struct writer *w, const char *name, const char *value);
void text_put_number(struct writer *w, const char *name, uint32_t value);

/* A number: decimal, or hexadecimal after 0x (6.1). Returns false unless the whole value is one
 * that fits 32 bits. */
bool text_number(const char *value, uint32_t *out);
/* Binary values: "0x" and hexadecimal, or "0b" and base64 (6.1). Returns the length, or -1 when
 * malformed or longer than `size`. */
int text_binary(const char *value, uint8_t *out, size_t size);
/* Is `word` one of the comma-separated words of `list`? */
bool text_list_has(const char *list, const char *word);

/* The state of one negotiation of operational parameters. */
struct negotiation {
    uint32_t
        ours[KEY_COUNT]; /* what this side wants; digests: bit set of allowed (1 None, 2 CRC32C) */
    uint32_t value[KEY_COUNT]; /* result so far; digests: 0 None, 1 CRC32C */
    uint64_t seen;             /* keys the initiator sent */
    uint64_t fresh;            /* of these, the ones not answered yet */
    uint64_t rejected;         /* fresh ones to be answered with Reject */
    bool discovery;
};

/* Values before any negotiation; `ours` are the defaults too, the caller then changes them. */
void negotiation_init(struct negotiation *n);
/* Takes one pair of an operational key (kind below KIND_TEXT). Returns 0, or -1: sent twice. */
int negotiation_take(struct negotiation *n, const struct text_pair *pair);
/* After the last pair of a request: settles keys that limit each other and writes the answers, in
 * the order of the table. Returns 0, or -1: the result contradicts itself (FirstBurstLength above
 * MaxBurstLength agreed on earlier). */
int negotiation_answer(struct negotiation *n, struct writer *out);

#endif
