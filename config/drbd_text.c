#include "config/drbd_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct piece {
    struct piece *next;
    max_align_t memory[];
};

struct drbd_text {
    struct piece *pieces;
    struct drbd_statement *first;
};

/* One file being read. */
struct source {
    struct drbd_text *config;
    struct drbd_text_error *error;
    drbd_text_find *find;
    void *context;
    const char *file, *at, *end;
    unsigned line;
    unsigned depth, includes; /* of blocks in this file; of files around it */
    unsigned *statements;     /* so far, in all files */
};

enum token { TOKEN_END, TOKEN_WORD, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_STOP, TOKEN_ERROR };

void *drbd_text_alloc(struct drbd_text *config, size_t size)
{
    struct piece *piece = calloc(1, sizeof *piece + size);

    if (!piece)
        return NULL;
    piece->next = config->pieces;
    config->pieces = piece;
    return piece->memory;
}

void drbd_text_free(struct drbd_text *config)
{
    while (config && config->pieces) {
        struct piece *piece = config->pieces;

        config->pieces = piece->next;
        free(piece);
    }
    free(config);
}

const struct drbd_statement *drbd_text_first(const struct drbd_text *config)
{
    return config->first;
}

int drbd_text_complain(struct drbd_text_error *error, const char *file, unsigned line,
                       const char *format, ...)
{
    va_list args;
    int n = snprintf(error->text, sizeof error->text, "%.200s:%u: ", file, line);

    va_start(args, format);
    vsnprintf(error->text + n, sizeof error->text - (size_t)n, format, args);
    va_end(args);
    return -EINVAL;
}

static char *copy(struct source *s, const char *from, size_t length)
{
    char *to = drbd_text_alloc(s->config, length + 1);

    if (to)
        memcpy(to, from, length);
    return to;
}

static void skip_blank(struct source *s)
{
    for (; s->at < s->end; s->at++) {
        if (*s->at == '#')
            while (s->at + 1 < s->end && s->at[1] != '\n')
                s->at++;
        else if (*s->at == '\n')
            s->line++;
        else if (*s->at != ' ' && *s->at != '\t' && *s->at != '\r')
            break;
    }
}

static bool is_plain(char c)
{
    return c != ' ' && c != '\t' && c != '\r' && c != '\n' && c != '{' && c != '}' && c != ';' &&
           c != '#' && c != '"' && c;
}

/* A quoted word ends in its line; a backslash takes the next character as it is. */
static enum token quoted(struct source *s, char **word)
{
    char *to = drbd_text_alloc(s->config, strcspn(s->at, "\n") + 1);

    if (!to)
        return TOKEN_ERROR;
    *word = to;
    for (s->at++; s->at < s->end && *s->at != '\n' && *s->at; s->at++) {
        if (*s->at == '"') {
            s->at++;
            return TOKEN_WORD;
        }
        if (*s->at == '\\' && s->at + 1 < s->end && s->at[1] != '\n' && s->at[1])
            s->at++;
        *to++ = *s->at;
    }
    drbd_text_complain(s->error, s->file, s->line, "expected a closing \" in this line");
    return TOKEN_ERROR;
}

/* *word is set for TOKEN_WORD. With TOKEN_ERROR and no complaint there is no memory. */
static enum token next_token(struct source *s, char **word)
{
    const char *from;

    skip_blank(s);
    if (s->at >= s->end)
        return TOKEN_END;
    from = s->at;
    switch (*s->at) {
    case '{':
        s->at++;
        return TOKEN_OPEN;
    case '}':
        s->at++;
        return TOKEN_CLOSE;
    case ';':
        s->at++;
        return TOKEN_STOP;
    case '"':
        return quoted(s, word);
    case '\0':
        drbd_text_complain(s->error, s->file, s->line, "expected text, found a zero byte");
        return TOKEN_ERROR;
    }
    while (s->at < s->end && is_plain(*s->at))
        s->at++;
    *word = copy(s, from, (size_t)(s->at - from));
    return *word ? TOKEN_WORD : TOKEN_ERROR;
}

static int failed(struct source *s)
{
    if (s->error->text[0])
        return -EINVAL;
    snprintf(s->error->text, sizeof s->error->text, "%.200s:%u: out of memory", s->file, s->line);
    return -ENOMEM;
}

static int read_statements(struct source *s, struct drbd_statement ***end, bool inside);

struct inclusion {
    struct source *from;
    struct drbd_statement ***end;
};

static int read_file(void *context, const char *file, const char *text, size_t length)
{
    struct inclusion *inclusion = context;
    struct source s = *inclusion->from;

    if (length > DRBD_TEXT_SIZE)
        return drbd_text_complain(s.error, file, 1, "expected at most %d bytes", DRBD_TEXT_SIZE);
    s.file = copy(&s, file, strlen(file));
    s.at = copy(&s, text, length); /* with a zero behind it */
    if (!s.file || !s.at)
        return failed(inclusion->from);
    s.end = s.at + length;
    s.line = 1;
    s.includes++;
    s.depth = 0;
    return read_statements(&s, inclusion->end, false);
}

static int include(struct source *s, const struct drbd_statement *at, struct drbd_statement ***end)
{
    struct inclusion inclusion = {s, end};
    int rc;

    if (at->word_count != 2 || at->block)
        return drbd_text_complain(s->error, at->file, at->line, "include: expected one file pattern");
    if (s->includes == DRBD_TEXT_INCLUDES)
        return drbd_text_complain(s->error, at->file, at->line, "include: expected at most %d files in each other",
                                  DRBD_TEXT_INCLUDES);
    if (!s->find)
        return drbd_text_complain(s->error, at->file, at->line, "include: expected none here");
    rc = s->find(s->context, at->words[1], at->file, read_file, &inclusion);
    if (rc && !s->error->text[0])
        return drbd_text_complain(s->error, at->file, at->line, "include \"%s\": %s", at->words[1],
                                  strerror(-rc));
    return rc;
}

static int begin(struct source *s, char *word, struct drbd_statement **statement)
{
    struct drbd_statement *new = drbd_text_alloc(s->config, sizeof *new);

    if (!new || !(new->words = drbd_text_alloc(s->config, DRBD_TEXT_WORDS * sizeof *new->words)))
        return failed(s);
    if (++*s->statements > DRBD_TEXT_STATEMENTS)
        return drbd_text_complain(s->error, s->file, s->line, "expected at most %d statements",
                                  DRBD_TEXT_STATEMENTS);
    new->file = s->file;
    new->line = s->line;
    new->words[new->word_count++] = word;
    *statement = new;
    return 0;
}

/* The rest of a statement after its first word. */
static int read_rest(struct source *s, struct drbd_statement *statement)
{
    struct drbd_statement **inner = &statement->inner;
    char *word = NULL;
    int rc;

    for (;;) {
        switch (next_token(s, &word)) {
        case TOKEN_WORD:
            if (statement->word_count == DRBD_TEXT_WORDS)
                return drbd_text_complain(s->error, s->file, s->line, "%s: expected at most %d words",
                                          statement->words[0], DRBD_TEXT_WORDS);
            statement->words[statement->word_count++] = word;
            break;
        case TOKEN_STOP:
            return 0;
        case TOKEN_OPEN:
            statement->block = true;
            if (++s->depth > DRBD_TEXT_DEPTH)
                return drbd_text_complain(s->error, s->file, s->line, "expected at most %d blocks in each other",
                                          DRBD_TEXT_DEPTH);
            rc = read_statements(s, &inner, true);
            s->depth--;
            return rc;
        case TOKEN_ERROR:
            return failed(s);
        case TOKEN_CLOSE:
        case TOKEN_END:
            return drbd_text_complain(s->error, s->file, s->line, "%s: expected ; or { before this",
                                      statement->words[0]);
        }
    }
}

static int read_statements(struct source *s, struct drbd_statement ***end, bool inside)
{
    unsigned opened = s->line;
    char *word = NULL;

    for (;;) {
        struct drbd_statement *statement = NULL;
        int rc;

        switch (next_token(s, &word)) {
        case TOKEN_WORD:
            break;
        case TOKEN_STOP:
            continue;
        case TOKEN_CLOSE:
            if (inside)
                return 0;
            return drbd_text_complain(s->error, s->file, s->line, "expected no } here");
        case TOKEN_END:
            if (!inside)
                return 0;
            return drbd_text_complain(s->error, s->file, s->line,
                                      "expected a } for the { in line %u before the end", opened);
        case TOKEN_OPEN:
            return drbd_text_complain(s->error, s->file, s->line, "expected a name before {");
        case TOKEN_ERROR:
            return failed(s);
        }
        rc = begin(s, word, &statement);
        if (!rc)
            rc = read_rest(s, statement);
        if (rc)
            return rc;
        if (!strcmp(statement->words[0], "skip"))
            continue;
        if (!strcmp(statement->words[0], "include")) {
            rc = include(s, statement, end);
            if (rc)
                return rc;
            continue;
        }
        **end = statement;
        *end = &statement->next;
    }
}

int drbd_text_parse(const char *file, const char *text, size_t length, drbd_text_find *find,
                    void *context, struct drbd_text **config, struct drbd_text_error *error)
{
    struct drbd_text *new = calloc(1, sizeof *new);
    struct drbd_statement **end = new ? &new->first : NULL;
    unsigned statements = 0;
    struct source s = {
        .config = new,
        .error = error,
        .find = find,
        .context = context,
        .file = file,
        .line = 1,
        .statements = &statements,
    };
    struct inclusion whole = {&s, &end};
    int rc;

    error->text[0] = '\0';
    if (!new)
        return failed(&s);
    rc = read_file(&whole, file, text, length);
    if (rc)
        drbd_text_free(new);
    else
        *config = new;
    return rc;
}
