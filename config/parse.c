#include "config/parse.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum { INITIATORS_HOST = 1024 };

/* The first one wins a name; libConfuse already refused a second block of the same name. */
struct name_index {
    const char *name;
    unsigned index;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct name_index *)a)->name, ((const struct name_index *)b)->name);
}

int parse_block(const struct parser *parser, struct place place, void *target)
{
    cfg_t *section = parse_section(parser, place);
    char expected[160];

    for (unsigned i = 0; i < option_count; i++) {
        const struct config_option *option = &options[i];
        const char *text;

        if (option->block != place.block)
            continue;
        text = parse_value(section, option->name, 0);
        option_expected(option, expected, sizeof expected);
        if (!text && option->flags & OPTION_REQUIRED)
            return parse_complain(parser, place, option->name, NULL, "missing: expected %s",
                                  expected);
        if (option_is_list(option) || option->type == OPTION_LU)
            continue;
        if (!text)
            text = option->standard;
        if (text && option_read(option, text, target) < 0)
            return parse_complain(parser, place, option->name,
                                  option->type == OPTION_SECRET ? "" : text, "expected %s",
                                  expected);
    }
    return 0;
}

/* Blocks of one kind: within the limit, titles well formed. Returns how many, or -EINVAL. */
static int count_blocks(const struct parser *parser, enum option_block block, unsigned limit,
                        bool (*valid)(const char *), const char *expected)
{
    unsigned count = parse_count(parser->root, option_block_name(block));

    if (count > limit)
        return parse_complain(parser, (struct place){block, limit, 0}, NULL, NULL,
                              "too many: expected at most %u", limit);
    for (unsigned i = 0; i < count; i++) {
        struct place place = {block, i, 0};
        if (!valid(cfg_title(parse_section(parser, place))))
            return parse_complain(parser, place, NULL, NULL, "expected %s as name", expected);
    }
    return (int)count;
}

static int parse_cluster(const struct parser *parser)
{
    struct config *config = parser->config;
    unsigned count = parse_count(parser->root, "cluster");
    int error;

    if (count != 1) {
        if (count)
            return parse_complain(parser, (struct place){BLOCK_CLUSTER, 1, 0}, NULL, NULL,
                                  "given twice: expected one block");
        snprintf(parser->error->text, sizeof parser->error->text,
                 "%s:1: cluster: missing: expected one block cluster { ... }", parser->name);
        return -EINVAL;
    }
    error = parse_block(parser, (struct place){BLOCK_CLUSTER, 0, 0}, config);
    if (error)
        return error;
    if (!parse_value(cfg_getnsec(parser->root, "cluster", 0), "uuid", 0)) {
        uint8_t hash[32];
        EVP_Digest(config->cluster_name, strlen(config->cluster_name), hash, NULL, EVP_sha256(),
                   NULL);
        memcpy(config->cluster_uuid, hash, 16);
        config->cluster_uuid[6] =
            (uint8_t)((config->cluster_uuid[6] & 0x0f) | 0x80); /* version 8 */
        config->cluster_uuid[8] = (uint8_t)((config->cluster_uuid[8] & 0x3f) | 0x80);
    }
    if (!config->transition_s) {
        config->transition_s = (config->hold_ms + 999) / 1000;
    }
    return 0;
}

static int parse_node(const struct parser *parser, unsigned index)
{
    struct config_node *node = &parser->config->nodes[index];
    struct place place = {BLOCK_NODE, index, 0};
    cfg_t *section = parse_section(parser, place);
    unsigned count = parse_count(section, "portal");
    int error = parse_block(parser, place, node);

    if (error)
        return error;
    strcpy(node->name, cfg_title(section));
    node->line = parse_line(parser, place, NULL);
    if (count > LIMIT_PORTALS)
        return parse_complain(parser, (struct place){BLOCK_PORTAL, index, LIMIT_PORTALS}, NULL,
                              NULL, "too many: expected at most %u", LIMIT_PORTALS);
    for (unsigned i = 0; i < count; i++) {
        struct place inner = {BLOCK_PORTAL, index, i};
        const char *title = cfg_title(parse_section(parser, inner));

        if (!option_name_valid(title))
            return parse_complain(parser, inner, NULL, NULL,
                                  "expected 1..%d characters A-Z a-z 0-9 . _ - as name",
                                  LIMIT_NAME);
        error = parse_block(parser, inner, &node->portals[i]);
        if (error)
            return error;
        strcpy(node->portals[i].name, title);
        node->portals[i].line = parse_line(parser, inner, NULL);
    }
    node->portal_count = count;
    return 0;
}

static int parse_target(const struct parser *parser, unsigned index)
{
    struct config_target *target = &parser->config->targets[index];
    struct place place = {BLOCK_TARGET, index, 0};

    strcpy(target->name, cfg_title(parse_section(parser, place)));
    target->line = parse_line(parser, place, NULL);
    return parse_block(parser, place, target);
}

/* Replaces each %n by the node's name. False: too long, or another % sequence. */
static bool expand_path(char path[256], const char *node_name)
{
    char out[256];
    size_t used = 0;

    for (const char *p = path; *p; p++) {
        size_t n = 1;
        const char *from = p;
        if (*p == '%') {
            if (p[1] != 'n')
                return false;
            p++;
            if (node_name) {
                from = node_name;
                n = strlen(node_name);
            } else {
                n = 2;
            }
        }
        if (used + n >= sizeof out)
            return false;
        memcpy(out + used, from, n);
        used += n;
    }
    memcpy(path, out, used);
    path[used] = '\0';
    return true;
}

/* The group's TLS files. */
static int expand_tls(const struct parser *parser, struct place place, const char *node_name)
{
    struct config_group *group = &parser->config->groups[place.index];
    const struct {
        const char *option;
        char *path;
    } files[] = {
        {"tls_certificate", group->tls_certificate},
        {"tls_key", group->tls_key},
        {"tls_ca", group->tls_ca},
    };

    for (unsigned i = 0; i < sizeof files / sizeof files[0]; i++)
        if (!expand_path(files[i].path, node_name))
            return parse_complain(parser, place, files[i].option, files[i].path,
                                  "expected at most 255 characters, and after %% only n");
    return 0;
}

static int parse_group(const struct parser *parser, unsigned index, const char *node_name)
{
    struct config *config = parser->config;
    struct config_group *group = &config->groups[index];
    struct place place = {BLOCK_GROUP, index, 0};
    cfg_t *section = parse_section(parser, place);
    unsigned count = parse_count(section, "nodes");
    int error = parse_block(parser, place, group);

    if (!error)
        error = expand_tls(parser, place, node_name);
    if (error)
        return error;
    strcpy(group->name, cfg_title(section));
    group->line = parse_line(parser, place, NULL);
    if (count > 2)
        return parse_complain(parser, place, "nodes", parse_value(section, "nodes", 2),
                              "expected at most 2 names of nodes");
    for (unsigned i = 0; i < count; i++) {
        const char *name = parse_value(section, "nodes", i);
        for (unsigned n = 0; n < config->node_count; n++)
            if (!strcmp(config->nodes[n].name, name))
                group->nodes[i] = config->nodes[n].id;
        if (!group->nodes[i])
            return parse_complain(parser, place, "nodes", name,
                                  "expected the name of a node block");
    }
    group->node_count = count;
    return 0;
}

static int parse_lu(const struct parser *parser, unsigned index, const char *node_name,
                    const struct name_index *groups)
{
    struct config *config = parser->config;
    struct config_lu *lu = &config->lus[index];
    struct place place = {BLOCK_LU, index, 0};
    const struct name_index *found;
    int error = parse_block(parser, place, lu);

    if (error)
        return error;
    strcpy(lu->name, cfg_title(parse_section(parser, place)));
    lu->line = parse_line(parser, place, NULL);
    found = config->group_count ? bsearch(&(struct name_index){lu->group, 0}, groups,
                                          config->group_count, sizeof *groups, by_name)
                                : NULL;
    if (!found)
        return parse_complain(parser, place, "group", lu->group,
                              "expected the name of a group block");
    lu->group_index = found->index;
    if (!expand_path(lu->path, node_name))
        return parse_complain(parser, place, "path", lu->path,
                              "expected at most 255 characters, and after %% only n");
    if (!lu->revision[0]) { /* "0.1.0" -> "0.1": four characters at most, no dot at the end */
        snprintf(lu->revision, sizeof lu->revision, "%.4s", HALUN_VERSION);
        if (lu->revision[strlen(lu->revision) - 1] == '.')
            lu->revision[strlen(lu->revision) - 1] = '\0';
    }
    return 0;
}

static int parse_luns(const struct parser *parser, unsigned index, const struct name_index *lus)
{
    struct config *config = parser->config;
    struct config_host *host = &config->hosts[index];
    cfg_t *section = parse_section(parser, (struct place){BLOCK_HOST, index, 0});
    unsigned count = parse_count(section, "lun");
    int error;

    if (count > LIMIT_LUNS)
        return parse_complain(parser, (struct place){BLOCK_LUN, index, LIMIT_LUNS}, NULL, NULL,
                              "too many: expected at most %u", LIMIT_LUNS);
    host->luns = calloc(count ? count : 1, sizeof *host->luns);
    if (!host->luns)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        struct place place = {BLOCK_LUN, index, i};
        cfg_t *inner = parse_section(parser, place);
        const char *title = cfg_title(inner), *name;
        const struct name_index *found = NULL;
        uint64_t number;

        if (option_read_size(title, &number) < 0 || strspn(title, "0123456789") != strlen(title) ||
            number >= LIMIT_LUNS)
            return parse_complain(parser, place, NULL, NULL, "expected 0..%d as number",
                                  LIMIT_LUNS - 1);
        error = parse_block(parser, place, &host->luns[i]);
        if (error)
            return error;
        name = parse_value(inner, "lu", 0);
        if (config->lu_count)
            found =
                bsearch(&(struct name_index){name, 0}, lus, config->lu_count, sizeof *lus, by_name);
        if (!found)
            return parse_complain(parser, place, "lu", name, "expected the name of an lu block");
        host->luns[i].lun = (unsigned)number;
        host->luns[i].lu_index = found->index;
    }
    host->lun_count = count;
    return 0;
}

static int parse_host(const struct parser *parser, unsigned index, const struct name_index *lus)
{
    struct config_host *host = &parser->config->hosts[index];
    struct place place = {BLOCK_HOST, index, 0};
    cfg_t *section = parse_section(parser, place);
    unsigned count = parse_count(section, "initiators");
    int error = parse_block(parser, place, host);

    if (error)
        return error;
    strcpy(host->name, cfg_title(section));
    host->line = parse_line(parser, place, NULL);
    if (count > INITIATORS_HOST)
        return parse_complain(parser, place, "initiators", NULL, "too many: expected at most %d",
                              INITIATORS_HOST);
    host->initiators = calloc(count, sizeof *host->initiators);
    if (!host->initiators)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        const char *name = parse_value(section, "initiators", i);
        if (option_is_pattern(name) ? !option_pattern_valid(name) : !option_iscsi_name_valid(name))
            return parse_complain(parser, place, "initiators", name,
                                  "expected an iSCSI name (iqn., eui., naa. in lower case) or a "
                                  "pattern with * ? [...]");
        strcpy(host->initiators[i], name);
    }
    host->initiator_count = count;
    return parse_luns(parser, index, lus);
}

static struct name_index *index_blocks(const struct parser *parser, enum option_block block)
{
    unsigned count = parse_count(parser->root, option_block_name(block));
    struct name_index *names = calloc(count ? count : 1, sizeof *names);

    if (!names)
        return NULL;
    for (unsigned i = 0; i < count; i++)
        names[i] =
            (struct name_index){cfg_title(parse_section(parser, (struct place){block, i, 0})), i};
    qsort(names, count, sizeof *names, by_name);
    return names;
}

static int count_all(const struct parser *parser)
{
    static const char names[] = "1..63 characters A-Z a-z 0-9 . _ -";
    struct config *config = parser->config;
    const struct {
        enum option_block block;
        unsigned limit, *count;
        void **array;
        size_t size;
        bool (*valid)(const char *);
        const char *expected;
    } rows[] = {
        {BLOCK_NODE, LIMIT_NODES, &config->node_count, (void **)&config->nodes,
         sizeof *config->nodes, option_name_valid, names},
        {BLOCK_TARGET, LIMIT_TARGETS, &config->target_count, (void **)&config->targets,
         sizeof *config->targets, option_iscsi_name_valid,
         "an iSCSI name (iqn.YYYY-MM.DOMAIN:NAME, in lower case)"},
        {BLOCK_GROUP, LIMIT_GROUPS, &config->group_count, (void **)&config->groups,
         sizeof *config->groups, option_name_valid, names},
        {BLOCK_LU, LIMIT_LUS, &config->lu_count, (void **)&config->lus, sizeof *config->lus,
         option_name_valid, names},
        {BLOCK_HOST, LIMIT_HOSTS, &config->host_count, (void **)&config->hosts,
         sizeof *config->hosts, option_name_valid, names},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int count =
            count_blocks(parser, rows[i].block, rows[i].limit, rows[i].valid, rows[i].expected);
        if (count < 0)
            return count;
        *rows[i].array = calloc(count ? (size_t)count : 1, rows[i].size);
        if (!*rows[i].array)
            return -ENOMEM;
        *rows[i].count = (unsigned)count;
    }
    return 0;
}

static int parse_all(const struct parser *parser, const char *node_name)
{
    struct config *config = parser->config;
    struct name_index *groups = NULL, *lus = NULL;
    int error = parse_cluster(parser);

    if (!error)
        error = count_all(parser);
    for (unsigned i = 0; !error && i < config->node_count; i++)
        error = parse_node(parser, i);
    for (unsigned i = 0; !error && i < config->target_count; i++)
        error = parse_target(parser, i);
    for (unsigned i = 0; !error && i < config->group_count; i++)
        error = parse_group(parser, i, node_name);
    if (error)
        return error;
    groups = index_blocks(parser, BLOCK_GROUP);
    lus = index_blocks(parser, BLOCK_LU);
    if (!groups || !lus)
        error = -ENOMEM;
    for (unsigned i = 0; !error && i < config->lu_count; i++)
        error = parse_lu(parser, i, node_name, groups);
    for (unsigned i = 0; !error && i < config->host_count; i++)
        error = parse_host(parser, i, lus);
    free(groups);
    free(lus);
    return error;
}

static int find_self(const struct parser *parser, const char *node_name)
{
    struct config *config = parser->config;

    config->self = config->node_count;
    if (!node_name)
        return 0;
    for (unsigned i = 0; i < config->node_count; i++)
        if (!strcmp(config->nodes[i].name, node_name))
            config->self = i;
    if (config->self == config->node_count) {
        snprintf(parser->error->text, sizeof parser->error->text,
                 "%s:1: node \"%.80s\": missing: expected a block for this node", parser->name,
                 node_name);
        return -EINVAL;
    }
    return 0;
}

static int by_lun(const void *a, const void *b)
{
    return (int)((const struct config_lun *)a)->lun - (int)((const struct config_lun *)b)->lun;
}

struct uuid_index {
    uint8_t uuid[16];
    unsigned index;
};

static int by_uuid(const void *a, const void *b)
{
    return memcmp(((const struct uuid_index *)a)->uuid, ((const struct uuid_index *)b)->uuid, 16);
}

/* Volumes count in order of the file; references in LUN maps follow the LUs to their sorted places.
 */
static int sort_all(struct config *config)
{
    unsigned count = config->lu_count, volumes[LIMIT_GROUPS] = {0};
    struct uuid_index *order = calloc(count + 1, sizeof *order);
    unsigned *place = calloc(count + 1, sizeof *place);
    struct config_lu *sorted = calloc(count + 1, sizeof *sorted);

    if (!order || !place || !sorted) {
        free(order);
        free(place);
        free(sorted);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < count; i++) {
        config->lus[i].volume = volumes[config->lus[i].group_index]++;
        memcpy(order[i].uuid, config->lus[i].uuid, 16);
        order[i].index = i;
    }
    qsort(order, count, sizeof *order, by_uuid);
    for (unsigned i = 0; i < count; i++) {
        sorted[i] = config->lus[order[i].index];
        place[order[i].index] = i;
    }
    free(config->lus);
    config->lus = sorted;
    for (unsigned h = 0; h < config->host_count; h++) {
        struct config_host *host = &config->hosts[h];
        for (unsigned i = 0; i < host->lun_count; i++)
            host->luns[i].lu_index = place[host->luns[i].lu_index];
        qsort(host->luns, host->lun_count, sizeof *host->luns, by_lun);
    }
    free(order);
    free(place);
    return 0;
}

int config_parse(const struct config_text *text, const char *node_name, struct config **config,
                 struct config_error *error)
{
    struct parser parser = {.name = text->name, .error = error};
    int result = parse_text(&parser, false, text->text, text->length);

    if (result)
        return result;
    parser.config = calloc(1, sizeof *parser.config);
    result = parser.config ? parse_all(&parser, node_name) : -ENOMEM;
    if (!result)
        result = check_config(&parser);
    if (!result)
        result = find_self(&parser, node_name);
    if (!result && text->secrets)
        result = parse_secrets(text, parser.config, error);
    if (!result)
        result = sort_all(parser.config);
    cfg_free(parser.root);
    if (result == -ENOMEM)
        snprintf(error->text, sizeof error->text, "%s: out of memory", text->name);
    if (result) {
        config_free(parser.config);
        return result;
    }
    config_make_digest(parser.config);
    *config = parser.config;
    return 0;
}

int config_parse_secrets_path(const struct config_text *text, char path[256],
                              struct config_error *error)
{
    struct parser parser = {.name = text->name, .error = error};
    int result = parse_text(&parser, false, text->text, text->length);
    const char *value = NULL;

    if (result)
        return result;
    if (parse_count(parser.root, "cluster"))
        value = parse_value(cfg_getnsec(parser.root, "cluster", 0), "secrets", 0);
    snprintf(path, 256, "%s", value ? value : "");
    if (value && (!*value || strlen(value) > 255))
        result = parse_complain(&parser, (struct place){BLOCK_CLUSTER, 0, 0}, "secrets", value,
                                "expected a path of 1..255 characters");
    cfg_free(parser.root);
    return result;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    for (unsigned i = 0; config->hosts && i < config->host_count; i++) {
        struct config_host *host = &config->hosts[i];
        free(host->initiators);
        free(host->luns);
        OPENSSL_cleanse(&host->chap, sizeof host->chap);
        OPENSSL_cleanse(&host->chap_mutual, sizeof host->chap_mutual);
    }
    for (unsigned i = 0; config->groups && i < config->group_count; i++)
        OPENSSL_cleanse(config->groups[i].secret, sizeof config->groups[i].secret);
    free(config->nodes);
    free(config->targets);
    free(config->groups);
    free(config->lus);
    free(config->hosts);
    free(config);
}
