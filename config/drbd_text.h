/* The text of DRBD's configuration files as a tree of statements (drbd.conf(5)):
 *
 *   STATEMENT := WORD... ( ";" | "{" STATEMENT... "}" )
 *
 * Words stand alone or in double quotes; "#" begins a comment. `include "PATTERN";` is replaced by what the files have,
 * `skip ...` by nothing. What the statements mean is drbd_res.h's business. Files are read through a callback: tests
 * and the fuzzer have none. */
#ifndef HALUN_CONFIG_DRBD_TEXT_H
#define HALUN_CONFIG_DRBD_TEXT_H

#include <stdbool.h>
#include <stddef.h>

enum {
    DRBD_TEXT_DEPTH = 16,       /* blocks in blocks */
    DRBD_TEXT_INCLUDES = 8,     /* files in files */
    DRBD_TEXT_WORDS = 64,       /* of one statement */
    DRBD_TEXT_SIZE = 4 << 20,   /* bytes of one file */
    DRBD_TEXT_STATEMENTS = 100000,
};

struct drbd_statement {
    const char *file;
    unsigned line; /* of its first word */
    unsigned word_count;
    char **words; /* at least one */
    bool block;
    struct drbd_statement *inner, *next;
};

/* All memory of one configuration: freed at once. */
struct drbd_text;

struct drbd_text_error {
    char text[512]; /* "FILE:LINE: what: expected ..." */
};

/* Calls back `take` with name and text of each file that a pattern names, in order; relative patterns belong to the
 * folder of `from`. Returns 0, what take() returned when that was not 0, or -errno (-ENOENT: nothing is named so). */
typedef int drbd_text_find(void *context, const char *pattern, const char *from,
                           int (*take)(void *inner, const char *file, const char *text, size_t length),
                           void *inner);

/* Reads `text`, called `file` in complaints. `find` NULL: include is refused. Returns 0 and the tree, or -EINVAL,
 * -ENOMEM and a complaint; *config is untouched then. */
int drbd_text_parse(const char *file, const char *text, size_t length, drbd_text_find *find,
                    void *context, struct drbd_text **config, struct drbd_text_error *error);
const struct drbd_statement *drbd_text_first(const struct drbd_text *config);
/* Zeroed memory of the configuration's; NULL: there is none. */
void *drbd_text_alloc(struct drbd_text *config, size_t size);
void drbd_text_free(struct drbd_text *config);

/* Puts "FILE:LINE: " and a sentence into `error`; returns -EINVAL. */
int drbd_text_complain(struct drbd_text_error *error, const char *file, unsigned line,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
