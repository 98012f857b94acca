#include "target/iscsi/text.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

const struct text_key_row text_keys[KEY_COUNT] = {
#define KEY(id, name, kind, flags, default_, min, max) {name, kind, flags, default_, min, max},
#include "target/iscsi/login_keys.def"
#undef KEY
};

_Static_assert(KEY_COUNT <= 64, "sets of keys are 64-bit words");

enum text_key text_key_find(const char *name)
{
    for (unsigned i = 0; i < KEY_COUNT; i++)
        if (!strcmp(text_keys[i].name, name))
            return (enum text_key)i;
    return KEY_UNKNOWN;
}

/* 6.1: letters, digits, dot, minus, plus, commercial at, underscore. */
static bool key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr(".-+@_", c));
}

int text_next(const char **data, size_t *left, struct text_pair *pair)
{
    const char *end;
    size_t n = 0;

    /* Some initiators pad with NULs inside the data segment length. */
    while (*left && !**data) {
        (*data)++;
        (*left)--;
    }
    if (!*left)
        return 0;
    end = memchr(*data, 0, *left);
    if (!end)
        return -1;
    while (n <= TEXT_KEY_LENGTH && key_char((*data)[n]))
        n++;
    if (!n || n > TEXT_KEY_LENGTH || (*data)[n] != '=')
        return -1;
    memcpy(pair->name, *data, n);
    pair->name[n] = 0;
    pair->key = text_key_find(pair->name);
    pair->value = *data + n + 1;
    *left -= (size_t)(end + 1 - *data);
    *data = end + 1;
    return 1;
}

void text_put(struct writer *w, const char *name, const char *value)
{
    write_bytes(w, name, strlen(name));
    write_u8(w, '=');
    write_bytes(w, value, strlen(value) + 1);
}

void text_put_number(struct writer *w, const char *name, uint32_t value)
{
    char text[16];

    snprintf(text, sizeof text, "%u", value);
    text_put(w, name, text);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool text_number(const char *value, uint32_t *out)
{
    unsigned base = 10;
    uint64_t n = 0;

    if (value[0] == '0' && (value[1] == 'x' || value[1] == 'X')) {
        base = 16;
        value += 2;
    }
    if (!*value)
        return false;
    for (; *value; value++) {
        int digit = hex_digit(*value);
        if (digit < 0 || (unsigned)digit >= base)
            return false;
        n = n * base + (unsigned)digit;
        if (n > UINT32_MAX)
            return false;
    }
    *out = (uint32_t)n;
    return true;
}

static int base64(const char *text, uint8_t *out, size_t size)
{
    uint8_t decoded[1500];
    size_t length = strlen(text), pads = 0;
    int n;

    if (!length || length % 4 || length > sizeof decoded / 3 * 4)
        return -1;
    while (pads < 2 && text[length - 1 - pads] == '=')
        pads++;
    n = EVP_DecodeBlock(decoded, (const unsigned char *)text, (int)length);
    if (n < 0 || (size_t)n < pads || (size_t)n - pads > size)
        return -1;
    memcpy(out, decoded, (size_t)n - pads);
    return n - (int)pads;
}

int text_binary(const char *value, uint8_t *out, size_t size)
{
    size_t digits;

    if (value[0] != '0')
        return -1;
    if (value[1] == 'b' || value[1] == 'B')
        return base64(value + 2, out, size);
    if (value[1] != 'x' && value[1] != 'X')
        return -1;
    value += 2;
    digits = strlen(value);
    if (!digits || digits % 2 || digits / 2 > size)
        return -1;
    for (size_t i = 0; i < digits / 2; i++) {
        int high = hex_digit(value[2 * i]), low = hex_digit(value[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return (int)(digits / 2);
}

/* The next word of a comma-separated list; NULL at its end. */
static const char *list_word(const char **list, size_t *n)
{
    const char *word = *list;

    if (!word)
        return NULL;
    *n = strcspn(word, ",");
    *list = word[*n] ? word + *n + 1 : NULL;
    return word;
}

static bool word_is(const char *word, size_t n, const char *text)
{
    return strlen(text) == n && !memcmp(word, text, n);
}

bool text_list_has(const char *list, const char *word)
{
    const char *w;
    size_t n;

    while ((w = list_word(&list, &n)))
        if (word_is(w, n, word))
            return true;
    return false;
}

static const char *const digest_names[] = {"None", "CRC32C"};

static bool take_digest(const char *list, uint32_t allowed, uint32_t *value)
{
    const char *word;
    size_t n;

    while ((word = list_word(&list, &n)))
        for (uint32_t i = 0; i < 2; i++)
            if (allowed & 1u << i && word_is(word, n, digest_names[i])) {
                *value = i;
                return true;
            }
    return false;
}

static bool take_value(const struct negotiation *n, enum text_key key, const char *text,
                       uint32_t *value)
{
    const struct text_key_row *row = &text_keys[key];
    uint32_t offer, ours = n->ours[key];

    switch (row->kind) {
    case KIND_DIGEST:
        return take_digest(text, ours, value);
    case KIND_MINIMUM:
    case KIND_MAXIMUM:
    case KIND_DECLARED:
        if (!text_number(text, &offer) || offer < row->min || offer > row->max)
            return false;
        if (row->kind == KIND_MINIMUM)
            offer = offer < ours ? offer : ours;
        else if (row->kind == KIND_MAXIMUM)
            offer = offer > ours ? offer : ours;
        *value = offer;
        return true;
    case KIND_OR:
    case KIND_AND:
        if (strcmp(text, "Yes") && strcmp(text, "No"))
            return false;
        offer = text[0] == 'Y';
        *value = row->kind == KIND_OR ? (offer || ours) : (offer && ours);
        return true;
    case KIND_TASK_REPORTING:
        return text_list_has(text, "RFC3720");
    case KIND_OBSOLETE_NO:
        return true;
    default:
        return false;
    }
}

void negotiation_init(struct negotiation *n)
{
    memset(n, 0, sizeof *n);
    for (unsigned i = 0; i < KEY_COUNT; i++) {
        n->value[i] = text_keys[i].default_value;
        n->ours[i] = text_keys[i].kind == KIND_DIGEST ? 1 : text_keys[i].default_value;
    }
}

int negotiation_take(struct negotiation *n, const struct text_pair *pair)
{
    const struct text_key_row *row = &text_keys[pair->key];
    uint64_t bit = 1ull << pair->key;
    uint32_t value = n->value[pair->key];

    if (n->seen & bit)
        return -1;
    n->seen |= bit;
    n->fresh |= bit;
    if (n->discovery && row->flags & K_NORMAL)
        return 0; /* answered Irrelevant, without effect */
    if (take_value(n, pair->key, pair->value, &value))
        n->value[pair->key] = value;
    else
        n->rejected |= bit;
    return 0;
}

static void answer_key(const struct negotiation *n, unsigned key, struct writer *out)
{
    const struct text_key_row *row = &text_keys[key];
    uint32_t value = n->value[key];

    if (n->discovery && row->flags & K_NORMAL) {
        text_put(out, row->name, "Irrelevant");
        return;
    }
    if (n->rejected & 1ull << key) {
        text_put(out, row->name, "Reject");
        return;
    }
    switch (row->kind) {
    case KIND_DIGEST:
        text_put(out, row->name, digest_names[value]);
        break;
    case KIND_MINIMUM:
    case KIND_MAXIMUM:
        text_put_number(out, row->name, value);
        break;
    case KIND_OR:
    case KIND_AND:
        text_put(out, row->name, value ? "Yes" : "No");
        break;
    case KIND_TASK_REPORTING:
        text_put(out, row->name, "RFC3720");
        break;
    case KIND_OBSOLETE_NO:
        text_put(out, row->name, "No");
        break;
    default: /* a declaration needs no answer */
        break;
    }
}

int negotiation_answer(struct negotiation *n, struct writer *out)
{
    const uint64_t first = 1ull << KEY_FIRST_BURST, max = 1ull << KEY_MAX_BURST;

    /* Both limits may come in any order; only when all are read can the answer respect both. */
    if (n->value[KEY_FIRST_BURST] > n->value[KEY_MAX_BURST] && n->seen & max) {
        if (n->fresh & first)
            n->value[KEY_FIRST_BURST] = n->value[KEY_MAX_BURST];
        else if (n->seen & first)
            return -1; /* a larger first burst was agreed on already */
        /* Never negotiated: the initiator believes in the default, so it is what is accepted. */
    }
    for (unsigned key = 0; key < KEY_COUNT; key++)
        if (n->fresh & 1ull << key)
            answer_key(n, key, out);
    n->fresh = 0;
    return 0;
}
