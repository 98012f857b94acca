/* halun.secrets: CHAP per host, secrets of replication links. Nothing of it is ever shown. */
#include <errno.h>
#include <string.h>

#include "config/parse.h"

static int find_host(const struct config *config, const char *name)
{
    for (unsigned i = 0; i < config->host_count; i++)
        if (!strcmp(config->hosts[i].name, name))
            return (int)i;
    return -1;
}

static int find_group(const struct config *config, const char *name)
{
    for (unsigned i = 0; i < config->group_count; i++)
        if (!strcmp(config->groups[i].name, name))
            return (int)i;
    return -1;
}

static int read_host(const struct parser *parser, unsigned index)
{
    struct place place = {BLOCK_SECRET_HOST, index, 0};
    int found = find_host(parser->config, cfg_title(parse_section(parser, place)));
    struct config_host *host;
    int error;

    if (found < 0)
        return parse_complain(parser, place, NULL, NULL,
                              "expected the name of a host block of the configuration");
    host = &parser->config->hosts[found];
    error = parse_block(parser, place, host);
    if (error)
        return error;
    if (!host->chap.user[0] != !host->chap.secret[0])
        return parse_complain(parser, place, host->chap.user[0] ? "user" : "secret", NULL,
                              "expected user and secret together");
    if (!host->chap_mutual.user[0] != !host->chap_mutual.secret[0])
        return parse_complain(parser, place,
                              host->chap_mutual.user[0] ? "mutual_user" : "mutual_secret", NULL,
                              "expected mutual_user and mutual_secret together");
    if (!host->chap.user[0])
        return parse_complain(parser, place, NULL, NULL, "expected user and secret");
    /* RFC 7143 9.2.1: the secrets of the two directions must differ */
    if (host->chap_mutual.secret[0] && !strcmp(host->chap.secret, host->chap_mutual.secret))
        return parse_complain(parser, place, "mutual_secret", NULL,
                              "expected another secret than for the initiator");
    return 0;
}

static int read_group(const struct parser *parser, unsigned index)
{
    struct place place = {BLOCK_SECRET_GROUP, index, 0};
    int found = find_group(parser->config, cfg_title(parse_section(parser, place)));

    if (found < 0)
        return parse_complain(parser, place, NULL, NULL,
                              "expected the name of a group block of the configuration");
    return parse_block(parser, place, &parser->config->groups[found]);
}

int parse_secrets(const struct config_text *text, struct config *config, struct config_error *error)
{
    struct parser parser = {.name = text->secrets_name, .config = config, .error = error};
    int result = parse_text(&parser, true, text->secrets, text->secrets_length);

    if (result)
        return result;
    for (unsigned i = 0; !result && i < parse_count(parser.root, "host"); i++)
        result = read_host(&parser, i);
    for (unsigned i = 0; !result && i < parse_count(parser.root, "group"); i++)
        result = read_group(&parser, i);
    cfg_free(parser.root);
    return result;
}
