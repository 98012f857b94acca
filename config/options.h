/* The rows of options.def and what is done with one row: read a value, print a value, name what is
 * expected. Pure but for libuuid's and inet's number conversion. Any thread. */
#ifndef HALUN_CONFIG_OPTIONS_H
#define HALUN_CONFIG_OPTIONS_H

#include <stddef.h>
#include <stdio.h>

#include "config/config.h"

enum option_block {
    BLOCK_CLUSTER,
    BLOCK_NODE,
    BLOCK_PORTAL, /* inside NODE */
    BLOCK_TARGET,
    BLOCK_GROUP,
    BLOCK_LU,
    BLOCK_HOST,
    BLOCK_LUN,         /* inside HOST */
    BLOCK_SECRET_HOST, /* these two: halun.secrets */
    BLOCK_SECRET_GROUP,
    BLOCK_COUNT
};

enum option_type {
    OPTION_NUMBER,  /* unsigned integer, decimal */
    OPTION_SIZE,    /* bytes, with suffix K M G T (powers of 1024) */
    OPTION_BOOL,    /* true yes on, false no off */
    OPTION_WORD,    /* one of `words`; value = its place */
    OPTION_TEXT,    /* printable ASCII */
    OPTION_NAME,    /* A-Z a-z 0-9 . _ - */
    OPTION_PATH,    /* absolute path, or (secrets) relative to the file */
    OPTION_SECRET,  /* as TEXT, never printed */
    OPTION_ADDRESS, /* IP:PORT, [IP6]:PORT */
    OPTION_IP,      /* IP address without port */
    OPTION_UUID,
    OPTION_LU,         /* name of an lu; the field is its index, filled in by the parser */
    OPTION_NODES,      /* list of node names; the fields are filled in by the parser */
    OPTION_INITIATORS, /* list of names and patterns; filled in by the parser */
};

enum option_change { CHANGE_LIVE, CHANGE_RESTART, CHANGE_NEVER };

enum { OPTION_REQUIRED = 1, OPTION_SAME = 2 };

struct config_option {
    enum option_block block;
    const char *name;
    enum option_type type;
    unsigned flags; /* OPTION_REQUIRED, OPTION_SAME */
    enum option_change change;
    const char *standard; /* default as text; NULL = none */
    uint64_t min, max;
    const char *words; /* separated by spaces; NULL = none */
    const char *help;
    size_t offset, width; /* of the field in the block's structure */
};

/* All rows, in order of options.def: blocks together. */
extern const struct config_option options[];
extern const unsigned option_count;

/* "lu"; how the block is written. */
const char *option_block_name(enum option_block block);
/* A sentence about the block and how often it may be given. */
const char *option_block_help(enum option_block block);
/* The row of `block` named `name`, or NULL. */
const struct config_option *option_find(enum option_block block, const char *name);
/* True for types that hold several values (a libConfuse list). */
bool option_is_list(const struct config_option *option);

/* Reads `text` into the field of `block` (the structure the row belongs to; already zeroed).
 * Returns 0 or -EINVAL. Not for lists and OPTION_LU. */
int option_read(const struct config_option *option, const char *text, void *block);
/* What the row would take: "1..65535", "a size in bytes (K, M, G, T) of 4M..64G". */
void option_expected(const struct config_option *option, char *out, size_t size);
/* The value in canonical form, equal for equal meaning however it was written. Secrets become
 * "(set)" or "". Nodes as "1,2", an LU reference as the LU's uuid. Returns the length it needs. */
size_t option_print(const struct config_option *option, const struct config *config,
                    const void *block, char *out, size_t size);

/* 12 K/M/G/T suffixes of 1024; exact, no sign, no fraction. 0 or -EINVAL. */
int option_read_size(const char *text, uint64_t *bytes);
/* IP[:PORT]; default_port 0 = a port must be given. 0 or -EINVAL. */
int option_read_address(const char *text, uint16_t default_port, struct config_address *address);
/* A name of 1..LIMIT_NAME characters out of A-Z a-z 0-9 . _ - that does not begin with '-' or '.'.
 */
bool option_name_valid(const char *text);
/* An iSCSI name (RFC 7143 4.2.7): iqn., eui. or naa. form in lower case. */
bool option_iscsi_name_valid(const char *text);
/* True when `text` has one of the pattern characters * ? [ . */
bool option_is_pattern(const char *text);
/* A pattern that fnmatch(3) takes as meant: brackets closed, no stray backslash. */
bool option_pattern_valid(const char *text);

/* Writes the reference of all blocks and options: as plain text (`halunctl help config`), or as the
 * mdoc-free roff of halun.conf(5)'s OPTIONS section. */
void options_describe(FILE *out, bool roff);

#endif
