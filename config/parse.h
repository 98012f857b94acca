/* Inside config/: text of halun.conf and halun.secrets -> struct config, and the complaints with
 * file and line. Everybody else uses config.h. */
#ifndef HALUN_CONFIG_PARSE_H
#define HALUN_CONFIG_PARSE_H

#include <confuse.h>
#include <stdarg.h>

#include "config/config.h"
#include "config/options.h"

/* Text of the two files. `secrets` NULL = there is no secrets file. */
struct config_text {
    const char *name; /* as it shall stand in complaints */
    const char *text;
    size_t length;
    const char *secrets_name, *secrets;
    size_t secrets_length;
};

/* As config_load(), but from memory: tests and the fuzzer come in here. Not reentrant (libConfuse's
 * scanner has one state per process). */
int config_parse(const struct config_text *text, const char *node_name, struct config **config,
                 struct config_error *error);

/* The path of the secrets file as the configuration text names it: "" = not named. Same errors. */
int config_parse_secrets_path(const struct config_text *text, char path[256],
                              struct config_error *error);

/* What a parse knows besides the result: where everything stood. Lives until the checks are done.
 */
struct parser {
    const char *name; /* file in complaints: halun.conf or halun.secrets */
    bool secret;      /* nothing of the text may be shown */
    cfg_t *root;
    struct config *config;
    struct config_error *error;
};

/* Names one block: place in the file (= place in config's array until LUs are sorted); `sub` is the
 * place of a portal or lun inside it. */
struct place {
    enum option_block block;
    unsigned index, sub;
};

/* Writes "FILE:LINE: block "name": option value: expected ..." and returns -EINVAL. `option` NULL:
 * the complaint is about the block, in its first line. `value` NULL: none is shown. */
int parse_complain(const struct parser *parser, struct place place, const char *option,
                   const char *value, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Line where an option stands, or where its block begins. */
unsigned parse_line(const struct parser *parser, struct place place, const char *option);

/* check.c: everything that needs more than one value. The configuration is complete but not sorted.
 */
int check_config(const struct parser *parser);
/* secrets.c: reads the secrets into the configuration. */
int parse_secrets(const struct config_text *text, struct config *config,
                  struct config_error *error);
/* digest.c: SHA-256 over the SAME options in canonical form (LUs sorted by uuid). */
void config_make_digest(struct config *config);

/* Shared by parse.c and secrets.c. */
int parse_text(struct parser *parser, bool secrets, const char *text, size_t length);
cfg_t *parse_section(const struct parser *parser, struct place place);
unsigned parse_count(cfg_t *section, const char *name);
const char *parse_value(cfg_t *section, const char *name, unsigned index);
int parse_block(const struct parser *parser, struct place place, void *target);

#endif
