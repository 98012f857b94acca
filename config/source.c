/* libConfuse side of the parser: the schema made from the rows, values kept as text with their
 * lines, its complaints in our form.
 *
 * libConfuse counts lines while it reads but keeps none. So every value is a pointer option that
 * holds text and line together, and every block has a hidden inner block, which libConfuse makes at
 * the block's opening brace and stamps with the line of that moment. */
#include "config/parse.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define START_MARK "{" /* cannot be an option's name */

/* libConfuse takes the end of the file for any number of closing braces, so a file cut off in the
 * middle would be taken for a whole one. This block is put behind the text; it must arrive, and in
 * the root. */
#define END_MARK "}"
static const char end_text[] = "\n\"}\" { }\n";

enum { SCHEMA_OPTIONS = 64 };

struct raw_value {
    unsigned line;
    char text[];
};

/* Where libConfuse's error callback puts its message: it is given no context of ours. */
static _Thread_local struct parser *current;

/* The scanner keeps a half-read string or comment of one file for the next one, unless told. It is
 * flex's function and exported, but in no header of libConfuse. */
int cfg_yylex_destroy(void);

static int keep_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    size_t n = strlen(value);
    struct raw_value *raw;

    /* The comment of an option is otherwise unused (no CFGF_COMMENTS): it remembers where the
     * option was given first. A list comes here once per entry. */
    if (opt->comment && (!(opt->flags & CFGF_LIST) || opt->nvalues == 1)) {
        cfg_error(cfg, "option '%s' is given twice, first in line %s", opt->name, opt->comment);
        return -1;
    }
    if (!opt->comment) {
        char line[12];
        snprintf(line, sizeof line, "%d", cfg->line);
        opt->comment = strdup(line);
    }
    raw = malloc(sizeof *raw + n + 1);
    if (!raw)
        return -1;
    raw->line = (unsigned)cfg->line;
    memcpy(raw->text, value, n + 1);
    *(void **)result = raw;
    return 0;
}

static int refuse_mark(cfg_t *cfg, cfg_opt_t *opt)
{
    cfg_error(cfg, "no such option '%s'", opt->name);
    return -1;
}

static void add_options(cfg_opt_t *out, unsigned *n, enum option_block block)
{
    for (unsigned i = 0; i < option_count; i++) {
        if (options[i].block != block)
            continue;
        out[(*n)++] = (cfg_opt_t){
            .name = options[i].name,
            .type = CFGT_PTR,
            .flags = CFGF_NODEFAULT | (option_is_list(&options[i]) ? CFGF_LIST : CFGF_NONE),
            .parsecb = keep_value,
            .freecb = free,
        };
    }
}

static void add_block(cfg_opt_t *out, unsigned *n, enum option_block block, cfg_opt_t *inner)
{
    out[(*n)++] = (cfg_opt_t){
        .name = option_block_name(block),
        .type = CFGT_SEC,
        .flags = CFGF_MULTI | (block == BLOCK_CLUSTER ? 0 : CFGF_TITLE | CFGF_NO_TITLE_DUPES),
        .subopts = inner,
    };
}

static void add_mark(cfg_opt_t *out, unsigned *n, cfg_opt_t *empty)
{
    out[(*n)++] =
        (cfg_opt_t){.name = START_MARK, .type = CFGT_SEC, .subopts = empty, .validcb = refuse_mark};
}

static cfg_t *make_schema(bool secrets)
{
    cfg_opt_t block[BLOCK_COUNT][SCHEMA_OPTIONS] = {0};
    cfg_opt_t root[SCHEMA_OPTIONS] = {0}, empty[1] = {0};
    unsigned used[BLOCK_COUNT] = {0}, n = 0;
    int first = secrets ? BLOCK_SECRET_HOST : BLOCK_CLUSTER;
    int last = secrets ? BLOCK_SECRET_GROUP : BLOCK_LUN;

    for (int b = first; b <= last; b++) {
        add_options(block[b], &used[b], (enum option_block)b);
        add_mark(block[b], &used[b], empty);
    }
    if (!secrets) {
        add_block(block[BLOCK_NODE], &used[BLOCK_NODE], BLOCK_PORTAL, block[BLOCK_PORTAL]);
        add_block(block[BLOCK_HOST], &used[BLOCK_HOST], BLOCK_LUN, block[BLOCK_LUN]);
    }
    for (int b = first; b <= last; b++)
        if (b != BLOCK_PORTAL && b != BLOCK_LUN)
            add_block(root, &n, (enum option_block)b, block[b]);
    root[n++] =
        (cfg_opt_t){.name = END_MARK, .type = CFGT_SEC, .flags = CFGF_MULTI, .subopts = empty};
    return cfg_init(root, CFGF_NONE);
}

/* "group, host" for the names that may stand in `cfg`. */
static void list_names(cfg_t *cfg, char *out, size_t size)
{
    size_t used = 0;

    *out = '\0';
    for (cfg_opt_t *opt = cfg->opts; opt && opt->name; opt++) {
        if (!strcmp(opt->name, START_MARK) || !strcmp(opt->name, END_MARK) || used >= size)
            continue;
        used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", opt->name);
    }
}

static unsigned start_line(cfg_t *section)
{
    /* END_MARK's own block has none; asked for as an option, a missing one would be complained
     * about */
    for (cfg_opt_t *opt = section->opts; opt && opt->name; opt++)
        if (!strcmp(opt->name, START_MARK))
            return (unsigned)cfg_opt_getnsec(opt, 0)->line;
    return (unsigned)section->line;
}

/* libConfuse names only the title: find the block that had it first. NULL: two kinds of blocks have
 * it. */
static cfg_t *find_titled(cfg_t *cfg, const char *text)
{
    const char *from = strchr(text, '\''), *to = strrchr(text, '\'');
    cfg_t *found = NULL;

    if (!from || to == from)
        return NULL;
    for (cfg_opt_t *opt = cfg->opts; opt && opt->name; opt++) {
        if (opt->type != CFGT_SEC || !(opt->flags & CFGF_TITLE))
            continue;
        for (unsigned i = 0; i < cfg_opt_size(opt); i++) {
            cfg_t *section = cfg_opt_getnsec(opt, i);
            if (!section || strlen(section->title) != (size_t)(to - from - 1) ||
                memcmp(section->title, from + 1, (size_t)(to - from - 1)))
                continue;
            if (found)
                return NULL;
            found = section;
        }
    }
    return found;
}

static void take_error(cfg_t *cfg, const char *format, va_list arguments)
{
    char text[256], where[LIMIT_ISCSI_NAME + 16] = "", names[400];
    struct parser *parser = current;

    if (!parser || parser->error->text[0])
        return; /* the first complaint is the one that helps */
    vsnprintf(text, sizeof text, format, arguments);
    if (cfg->title)
        snprintf(where, sizeof where, "%s \"%.*s\": ", cfg->name, LIMIT_ISCSI_NAME, cfg->title);
    else if (cfg != parser->root)
        snprintf(where, sizeof where, "%s: ", cfg->name);
    list_names(cfg, names, sizeof names);
    if (!strcmp(text, "no such option '" END_MARK "'") && cfg != parser->root)
        snprintf(parser->error->text, sizeof parser->error->text,
                 "%s:%u: %.200snot closed: expected } before the end of the file", parser->name,
                 start_line(cfg), parser->secret ? "block " : where);
    else if (!strncmp(text, "found duplicate title", 21) && find_titled(cfg, text))
        snprintf(parser->error->text, sizeof parser->error->text,
                 "%s:%d: %.100s%s \"%.80s\": expected another name than in line %u", parser->name,
                 cfg->line, where, find_titled(cfg, text)->name, find_titled(cfg, text)->title,
                 start_line(find_titled(cfg, text)));
    else if (parser->secret) /* a misplaced quote would show a secret */
        snprintf(parser->error->text, sizeof parser->error->text,
                 "%s:%d: not understood: expected \"name = value\" with one of %.200s",
                 parser->name, cfg->line, names);
    else if (!strncmp(text, "no such option", 14))
        snprintf(parser->error->text, sizeof parser->error->text,
                 "%s:%d: %.100s%.100s: expected one of %.230s", parser->name, cfg->line, where,
                 text, names);
    else
        snprintf(parser->error->text, sizeof parser->error->text, "%s:%d: %.100s%.200s",
                 parser->name, cfg->line, where, text);
}

static int scan(struct parser *parser, char *text, size_t length)
{
    FILE *stream = fmemopen(text, length, "r");
    int result;

    if (!stream)
        return -ENOMEM;
    current = parser;
    cfg_set_error_function(parser->root, take_error);
    result = cfg_parse_fp(parser->root, stream);
    current = NULL;
    fclose(stream);
    cfg_yylex_destroy();
    if (result == CFG_SUCCESS && parse_count(parser->root, END_MARK) == 1)
        return 0;
    if (!parser->error->text[0])
        snprintf(parser->error->text, sizeof parser->error->text,
                 "%s:%d: cannot be understood: expected strings and comments that end",
                 parser->name, parser->root->line);
    return -EINVAL;
}

int parse_text(struct parser *parser, bool secrets, const char *text, size_t length)
{
    char *copy = malloc(length + sizeof end_text);
    int result = -ENOMEM;

    parser->error->text[0] = '\0';
    parser->secret = secrets;
    parser->root = make_schema(secrets);
    if (copy && parser->root) {
        memcpy(copy, text, length);
        memcpy(copy + length, end_text, sizeof end_text);
        result = scan(parser, copy, length + sizeof end_text - 1);
        OPENSSL_cleanse(copy, length);
    }
    free(copy);
    if (!result)
        return 0;
    if (result == -ENOMEM)
        snprintf(parser->error->text, sizeof parser->error->text, "%s: out of memory",
                 parser->name);
    if (parser->root)
        cfg_free(parser->root);
    parser->root = NULL;
    return result;
}

cfg_t *parse_section(const struct parser *parser, struct place place)
{
    cfg_t *section;

    switch (place.block) {
    case BLOCK_PORTAL:
        section = cfg_getnsec(parser->root, "node", place.index);
        return section ? cfg_getnsec(section, "portal", place.sub) : NULL;
    case BLOCK_LUN:
        section = cfg_getnsec(parser->root, "host", place.index);
        return section ? cfg_getnsec(section, "lun", place.sub) : NULL;
    default:
        return cfg_getnsec(parser->root, option_block_name(place.block), place.index);
    }
}

unsigned parse_count(cfg_t *section, const char *name)
{
    return cfg_opt_size(cfg_getopt(section, name));
}

static const struct raw_value *raw_value(cfg_t *section, const char *name, unsigned index)
{
    cfg_opt_t *opt = cfg_getopt(section, name);

    return index < cfg_opt_size(opt) ? cfg_opt_getnptr(opt, index) : NULL;
}

const char *parse_value(cfg_t *section, const char *name, unsigned index)
{
    const struct raw_value *raw = raw_value(section, name, index);

    return raw ? raw->text : NULL;
}

unsigned parse_line(const struct parser *parser, struct place place, const char *option)
{
    cfg_t *section = parse_section(parser, place);
    const struct raw_value *raw = option && section ? raw_value(section, option, 0) : NULL;

    if (raw)
        return raw->line;
    return section ? start_line(section) : 1;
}

int parse_complain(const struct parser *parser, struct place place, const char *option,
                   const char *value, const char *format, ...)
{
    struct config_error *error = parser->error;
    cfg_t *section = parse_section(parser, place);
    size_t used, size = sizeof error->text;
    va_list arguments;

    used = (size_t)snprintf(error->text, size, "%s:%u: ", parser->name,
                            parse_line(parser, place, option));
    if ((place.block == BLOCK_PORTAL || place.block == BLOCK_LUN) && used < size) {
        struct place outer = {place.block == BLOCK_PORTAL ? BLOCK_NODE : BLOCK_HOST, place.index,
                              0};
        used += (size_t)snprintf(error->text + used, size - used, "%s \"%.63s\" ",
                                 option_block_name(outer.block),
                                 cfg_title(parse_section(parser, outer)));
    }
    if (section && section->title && used < size)
        used += (size_t)snprintf(error->text + used, size - used, "%s \"%.80s\": ", section->name,
                                 section->title);
    else if (used < size)
        used += (size_t)snprintf(error->text + used, size - used,
                                 "%s: ", option_block_name(place.block));
    if (option && used < size)
        used += (size_t)snprintf(error->text + used, size - used, "%s%s%.80s: ", option,
                                 value ? " " : "", value ? value : "");
    if (used < size) {
        va_start(arguments, format);
        vsnprintf(error->text + used, size - used, format, arguments);
        va_end(arguments);
    }
    return -EINVAL;
}
