#include "config/options.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#define REQUIRED                OPTION_REQUIRED
#define SAME                    OPTION_SAME
#define FIELD_SIZE(type, field) sizeof(((struct type *)0)->field)
#define OPTION(block_, name_, struct_, field_, type_, flags_, change_, default_, min_, max_,       \
               words_, help_)                                                                      \
    {.block = BLOCK_##block_,                                                                      \
     .name = #name_,                                                                               \
     .type = OPTION_##type_,                                                                       \
     .flags = (flags_),                                                                            \
     .change = CHANGE_##change_,                                                                   \
     .standard = (default_),                                                                       \
     .min = (min_),                                                                                \
     .max = (max_),                                                                                \
     .words = (words_),                                                                            \
     .help = (help_),                                                                              \
     .offset = offsetof(struct struct_, field_),                                                   \
     .width = FIELD_SIZE(struct_, field_)},

const struct config_option options[] = {
#include "config/options.def"
};
const unsigned option_count = sizeof options / sizeof options[0];

static const struct {
    const char *name;
    const char *help;
} blocks[BLOCK_COUNT] = {
    [BLOCK_CLUSTER] = {"cluster", "cluster { ... }: exactly once."},
    [BLOCK_NODE] = {"node", "node \"NAME\" { ... }: one for each node, named as in Corosync."},
    [BLOCK_PORTAL] = {"portal",
                      "portal \"NAME\" { ... } inside a node: an address that initiators reach."},
    [BLOCK_TARGET] = {"target", "target \"iqn.YYYY-MM.DOMAIN:NAME\" { ... }: an iSCSI target."},
    [BLOCK_GROUP] = {"group", "group \"NAME\" { ... }: logical units that move together."},
    [BLOCK_LU] = {"lu", "lu \"NAME\" { ... }: a logical unit."},
    [BLOCK_HOST] = {"host", "host \"NAME\" { ... }: initiators that see the same LUNs."},
    [BLOCK_LUN] = {"lun", "lun NUMBER { ... } inside a host: one entry of its LUN map, 0..1023."},
    [BLOCK_SECRET_HOST] = {"host", "host \"NAME\" { ... } in the secrets file: CHAP of that host."},
    [BLOCK_SECRET_GROUP] = {"group",
                            "group \"NAME\" { ... } in the secrets file: secret of its link."},
};

const char *option_block_name(enum option_block block)
{
    return blocks[block].name;
}

const char *option_block_help(enum option_block block)
{
    return blocks[block].help;
}

const struct config_option *option_find(enum option_block block, const char *name)
{
    for (unsigned i = 0; i < option_count; i++)
        if (options[i].block == block && !strcmp(options[i].name, name))
            return &options[i];
    return NULL;
}

bool option_is_list(const struct config_option *option)
{
    return option->type == OPTION_NODES || option->type == OPTION_INITIATORS;
}

/* Place of `text` among the words, or -1. */
static int word_index(const char *words, const char *text)
{
    size_t length = strlen(text);
    int index = 0;

    if (!length || strchr(text, ' '))
        return -1;
    for (const char *word = words; *word; index++) {
        size_t n = strcspn(word, " ");
        if (n == length && !memcmp(word, text, n))
            return index;
        word += n;
        word += strspn(word, " ");
    }
    return -1;
}

static int read_decimal(const char *text, uint64_t *value)
{
    char *end;

    if (!isdigit((unsigned char)*text))
        return -EINVAL;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno || *end ? -EINVAL : 0;
}

int option_read_size(const char *text, uint64_t *bytes)
{
    static const char suffixes[] = "KMGT";
    unsigned shift = 0;
    char *end;

    if (!isdigit((unsigned char)*text))
        return -EINVAL;
    errno = 0;
    *bytes = strtoull(text, &end, 10);
    if (errno)
        return -EINVAL;
    if (*end) {
        const char *suffix = strchr(suffixes, toupper((unsigned char)*end));
        if (!suffix || end[1])
            return -EINVAL;
        shift = 10 * (unsigned)(suffix - suffixes + 1);
    }
    if (*bytes > UINT64_MAX >> shift)
        return -EINVAL;
    *bytes <<= shift;
    return 0;
}

int option_read_address(const char *text, uint16_t default_port, struct config_address *address)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address->address;
    char host[INET6_ADDRSTRLEN];
    const char *rest, *start = text;
    uint64_t port = default_port;
    size_t n;

    memset(address, 0, sizeof *address);
    if (*text == '[') {
        start++;
        rest = strchr(start, ']');
        if (!rest)
            return -EINVAL;
        n = (size_t)(rest++ - start);
    } else {
        n = strcspn(text, ":");
        rest = text + n;
    }
    if (n >= sizeof host || strlen(text) >= sizeof address->text)
        return -EINVAL;
    memcpy(host, start, n);
    host[n] = '\0';
    if (*rest == ':') {
        if (read_decimal(rest + 1, &port) < 0)
            return -EINVAL;
    } else if (*rest) {
        return -EINVAL;
    }
    if (port < 1 || port > 65535)
        return -EINVAL;
    if (*text == '[') {
        if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1)
            return -EINVAL;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        address->length = sizeof *v6;
    } else {
        if (inet_pton(AF_INET, host, &v4->sin_addr) != 1)
            return -EINVAL;
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        address->length = sizeof *v4;
    }
    strcpy(address->text, text);
    return 0;
}

bool option_name_valid(const char *text)
{
    size_t n = strlen(text);

    if (!n || n > LIMIT_NAME || *text == '-' || *text == '.')
        return false;
    for (; *text; text++)
        if (!isascii(*text) || (!isalnum((unsigned char)*text) && !strchr("._-", *text)))
            return false;
    return true;
}

bool option_iscsi_name_valid(const char *text)
{
    size_t n = strlen(text);

    if (n > LIMIT_ISCSI_NAME)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!islower((unsigned char)text[i]) && !isdigit((unsigned char)text[i]) &&
            !strchr(".-:", text[i]) && (unsigned char)text[i] < 0x80)
            return false;
    if (!strncmp(text, "eui.", 4))
        return n == 20 && strspn(text + 4, "0123456789abcdef") == 16;
    if (!strncmp(text, "naa.", 4))
        return (n == 20 || n == 36) && strspn(text + 4, "0123456789abcdef") == n - 4;
    /* iqn.YYYY-MM.domain[:anything] */
    if (strncmp(text, "iqn.", 4) || n < 13)
        return false;
    for (int i = 4; i < 11; i++)
        if (i == 8 ? text[i] != '-' : !isdigit((unsigned char)text[i]))
            return false;
    return text[11] == '.' && text[12] != ':';
}

bool option_is_pattern(const char *text)
{
    return strpbrk(text, "*?[") != NULL;
}

bool option_pattern_valid(const char *text)
{
    if (!*text || strlen(text) > LIMIT_ISCSI_NAME)
        return false;
    for (const char *p = text; *p; p++) {
        if ((unsigned char)*p <= ' ' || *p == '\\' || *p == ']' || (unsigned char)*p == 0x7f)
            return false;
        if (*p != '[')
            continue;
        p++;
        if (*p == '!' || *p == '^')
            p++;
        if (*p == ']') /* fnmatch would take this one as an ordinary character: nobody means that */
            return false;
        for (; *p != ']'; p++)
            if (!*p || *p == '[' || *p == '\\' || (unsigned char)*p <= ' ')
                return false;
    }
    return true;
}

static bool printable(const char *text)
{
    for (; *text; text++)
        if (*text < 0x20 || *text > 0x7e)
            return false;
    return true;
}

static void store_number(const struct config_option *option, void *field, uint64_t value)
{
    switch (option->width) {
    case 2:
        *(uint16_t *)field = (uint16_t)value;
        break;
    case 4:
        *(uint32_t *)field = (uint32_t)value;
        break;
    default:
        *(uint64_t *)field = value;
        break;
    }
}

static uint64_t load_number(const struct config_option *option, const void *field)
{
    switch (option->width) {
    case 2:
        return *(const uint16_t *)field;
    case 4:
        return *(const uint32_t *)field;
    default:
        return *(const uint64_t *)field;
    }
}

static int read_number(const struct config_option *option, const char *text, void *field)
{
    uint64_t value;
    int error =
        option->type == OPTION_SIZE ? option_read_size(text, &value) : read_decimal(text, &value);

    if (error || value < option->min || value > option->max)
        return -EINVAL;
    if (option->words && word_index(option->words, text) < 0)
        return -EINVAL;
    store_number(option, field, value);
    return 0;
}

static int read_bool(const char *text, bool *field)
{
    int index = word_index("false no off true yes on", text);

    if (index < 0)
        return -EINVAL;
    *field = index >= 3;
    return 0;
}

static int read_text(const struct config_option *option, const char *text, char *field)
{
    size_t n = strlen(text);

    if (n < option->min || n > option->max || n >= option->width || !printable(text))
        return -EINVAL;
    if (option->type == OPTION_NAME && !option_name_valid(text))
        return -EINVAL;
    memcpy(field, text, n + 1);
    return 0;
}

static int read_ip(const char *text, char *field, size_t width)
{
    uint8_t address[16];

    if (strlen(text) >= width)
        return -EINVAL;
    if (inet_pton(AF_INET, text, address) != 1 && inet_pton(AF_INET6, text, address) != 1)
        return -EINVAL;
    strcpy(field, text);
    return 0;
}

static int read_uuid(const char *text, uint8_t *field)
{
    if (strlen(text) != 36 || uuid_parse(text, field) < 0 || uuid_is_null(field))
        return -EINVAL;
    return 0;
}

int option_read(const struct config_option *option, const char *text, void *block)
{
    void *field = (char *)block + option->offset;

    switch (option->type) {
    case OPTION_NUMBER:
    case OPTION_SIZE:
        return read_number(option, text, field);
    case OPTION_BOOL:
        return read_bool(text, field);
    case OPTION_WORD: {
        int index = word_index(option->words, text);
        if (index < 0)
            return -EINVAL;
        store_number(option, field, (uint64_t)index);
        return 0;
    }
    case OPTION_PATH:
        if (text[0] != '/' && strcmp(option->name, "secrets"))
            return -EINVAL;
        return read_text(option, text, field);
    case OPTION_TEXT:
    case OPTION_NAME:
    case OPTION_SECRET:
        return read_text(option, text, field);
    case OPTION_ADDRESS:
        return option_read_address(text, (uint16_t)option->min, field);
    case OPTION_IP:
        return read_ip(text, field, option->width);
    case OPTION_UUID:
        return read_uuid(text, field);
    case OPTION_LU:
    case OPTION_NODES:
    case OPTION_INITIATORS:
        break;
    }
    return -EINVAL;
}

/* 64M rather than 67108864 wherever that is exact. */
static void print_size(uint64_t bytes, char *out, size_t size)
{
    static const char suffixes[] = "\0KMGT";
    unsigned i = 0;

    while (i < 4 && bytes && !(bytes & 1023)) {
        bytes >>= 10;
        i++;
    }
    snprintf(out, size, "%" PRIu64 "%.1s", bytes, suffixes + i);
}

void option_expected(const struct config_option *option, char *out, size_t size)
{
    char low[24], high[24];

    switch (option->type) {
    case OPTION_NUMBER:
        if (option->words)
            snprintf(out, size, "one of %s", option->words);
        else
            snprintf(out, size, "%" PRIu64 "..%" PRIu64, option->min, option->max);
        break;
    case OPTION_SIZE:
        print_size(option->min, low, sizeof low);
        print_size(option->max, high, sizeof high);
        snprintf(out, size, "%s..%s, a size in bytes or with K, M, G, T", low, high);
        break;
    case OPTION_BOOL:
        snprintf(out, size, "true or false");
        break;
    case OPTION_WORD:
        snprintf(out, size, "one of %s", option->words);
        break;
    case OPTION_TEXT:
    case OPTION_SECRET:
        snprintf(out, size, "%" PRIu64 "..%" PRIu64 " printable characters", option->min,
                 option->max);
        break;
    case OPTION_NAME:
    case OPTION_LU:
        snprintf(out, size, "a name of 1..%d characters A-Z a-z 0-9 . _ -", LIMIT_NAME);
        break;
    case OPTION_PATH:
        snprintf(out, size, "%s path of at most %" PRIu64 " characters",
                 strcmp(option->name, "secrets") ? "an absolute" : "a", option->max);
        break;
    case OPTION_ADDRESS:
        snprintf(out, size, option->min ? "IP, IP:PORT or [IPv6]:PORT" : "IP:PORT or [IPv6]:PORT");
        break;
    case OPTION_IP:
        snprintf(out, size, "an IP address");
        break;
    case OPTION_UUID:
        snprintf(out, size, "a uuid as uuidgen(1) prints it");
        break;
    case OPTION_NODES:
        snprintf(out, size, "up to %" PRIu64 " names of nodes", option->max);
        break;
    case OPTION_INITIATORS:
        snprintf(out, size, "%" PRIu64 "..%" PRIu64 " initiator names or patterns", option->min,
                 option->max);
        break;
    }
}

static size_t print_nodes(const struct config_group *group, char *out, size_t size)
{
    if (group->node_count == 2)
        return (size_t)snprintf(out, size, "%u,%u", group->nodes[0], group->nodes[1]);
    if (group->node_count == 1)
        return (size_t)snprintf(out, size, "%u", group->nodes[0]);
    return (size_t)snprintf(out, size, "%s", "");
}

static size_t print_initiators(const struct config_host *host, char *out, size_t size)
{
    size_t used = 0;

    if (size)
        out[0] = '\0';
    for (unsigned i = 0; i < host->initiator_count; i++)
        used += (size_t)snprintf(used < size ? out + used : NULL, used < size ? size - used : 0,
                                 "%s%s", i ? "," : "", host->initiators[i]);
    return used;
}

size_t option_print(const struct config_option *option, const struct config *config,
                    const void *block, char *out, size_t size)
{
    const void *field = (const char *)block + option->offset;
    char text[40];

    switch (option->type) {
    case OPTION_NUMBER:
    case OPTION_SIZE:
        return (size_t)snprintf(out, size, "%" PRIu64, load_number(option, field));
    case OPTION_BOOL:
        return (size_t)snprintf(out, size, "%s", *(const bool *)field ? "true" : "false");
    case OPTION_WORD: {
        const char *word = option->words;
        for (uint64_t i = load_number(option, field); i; i--)
            word += strcspn(word, " ") + 1;
        return (size_t)snprintf(out, size, "%.*s", (int)strcspn(word, " "), word);
    }
    case OPTION_SECRET:
        return (size_t)snprintf(out, size, "%s", *(const char *)field ? "(set)" : "");
    case OPTION_TEXT:
    case OPTION_NAME:
    case OPTION_PATH:
    case OPTION_IP:
        return (size_t)snprintf(out, size, "%s", (const char *)field);
    case OPTION_ADDRESS:
        return (size_t)snprintf(out, size, "%s", ((const struct config_address *)field)->text);
    case OPTION_UUID:
        uuid_unparse_lower(field, text);
        return (size_t)snprintf(out, size, "%s", text);
    case OPTION_LU:
        uuid_unparse_lower(config->lus[*(const unsigned *)field].uuid, text);
        return (size_t)snprintf(out, size, "%s", text);
    case OPTION_NODES:
        return print_nodes(block, out, size);
    case OPTION_INITIATORS:
        return print_initiators(block, out, size);
    }
    return 0;
}
