/* Checks that need more than one value: unique names and numbers, what one option demands of
 * another. Each check is a function; check_config() is their order. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "config/parse.h"

static int check_cluster(const struct parser *parser)
{
    const struct config *config = parser->config;
    struct place place = {BLOCK_CLUSTER, 0, 0};

    if (config->lease_ms >= config->hold_ms)
        return parse_complain(parser, place, "lease_ms", NULL, "expected less than hold_ms (%u)",
                              config->hold_ms);
    if (config->transition_s * 1000ULL < config->hold_ms)
        return parse_complain(parser, place, "transition_s", NULL,
                              "expected at least hold_ms (%u) in seconds", config->hold_ms);
    if (!config->node_count)
        return parse_complain(parser, place, NULL, NULL, "expected at least one node block");
    if (!config->corosync && config->node_count > 1)
        return parse_complain(parser, place, "corosync", "false",
                              "expected true with more than one node block");
    return 0;
}

static int check_node_ids(const struct parser *parser)
{
    const struct config *config = parser->config;

    for (unsigned i = 0; i < config->node_count; i++)
        for (unsigned j = 0; j < i; j++) {
            char value[12];
            if (config->nodes[i].id != config->nodes[j].id)
                continue;
            snprintf(value, sizeof value, "%u", config->nodes[i].id);
            return parse_complain(parser, (struct place){BLOCK_NODE, i, 0}, "id", value,
                                  "expected another id than node \"%s\" in line %u",
                                  config->nodes[j].name, config->nodes[j].line);
        }
    return 0;
}

static bool same_address(const struct config_address *a, const struct config_address *b)
{
    /* both are made by option_read_address() out of zeroed memory */
    return a->length && a->length == b->length && !memcmp(&a->address, &b->address, a->length);
}

static int check_portals(const struct parser *parser)
{
    const struct config *config = parser->config;
    struct place *seen = calloc(65536, sizeof *seen); /* by rtpi; index is the node's plus one */
    int error = seen ? 0 : -ENOMEM;

    for (unsigned n = 0; !error && n < config->node_count; n++) {
        const struct config_node *node = &config->nodes[n];
        for (unsigned p = 0; !error && p < node->portal_count; p++) {
            const struct config_portal *portal = &node->portals[p];
            struct place place = {BLOCK_PORTAL, n, p}, *other = &seen[portal->rtpi];
            char value[12];

            snprintf(value, sizeof value, "%u", portal->rtpi);
            if (other->index)
                error = parse_complain(parser, place, "rtpi", value,
                                       "expected another one than portal \"%s\" in line %u",
                                       config->nodes[other->index - 1].portals[other->sub].name,
                                       config->nodes[other->index - 1].portals[other->sub].line);
            *other = (struct place){BLOCK_PORTAL, n + 1, p};
            for (unsigned q = 0; !error && q < p; q++)
                if (same_address(&portal->address, &node->portals[q].address))
                    error = parse_complain(parser, place, "address", portal->address.text,
                                           "expected another one than portal \"%s\" in line %u",
                                           node->portals[q].name, node->portals[q].line);
            if (!error && same_address(&portal->address, &node->peer))
                error = parse_complain(parser, place, "address", portal->address.text,
                                       "expected another one than peer of the node");
        }
    }
    free(seen);
    return error;
}

static int check_targets(const struct parser *parser)
{
    const struct config *config = parser->config;

    /* A relative target port identifier names a port of one target; two targets on a portal would make two
     * nexuses of one initiator port the same. */
    if (config->target_count > 1)
        return parse_complain(parser, (struct place){BLOCK_TARGET, 1, 0}, NULL, NULL,
                              "expected one target: the portals' rtpi belong to it");
    for (unsigned i = 0; i < config->target_count; i++) {
        const struct config_target *target = &config->targets[i];
        char value[12];
        snprintf(value, sizeof value, "%u", target->first_burst);
        if (target->first_burst > target->max_burst) /* RFC 7143 13.14 */
            return parse_complain(parser, (struct place){BLOCK_TARGET, i, 0}, "first_burst", value,
                                  "expected at most max_burst (%u)", target->max_burst);
    }
    return 0;
}

static const struct config_node *node_of(const struct config *config, unsigned id)
{
    for (unsigned i = 0; i < config->node_count; i++)
        if (config->nodes[i].id == id)
            return &config->nodes[i];
    return NULL;
}

static bool share_a_node(const struct config_group *a, const struct config_group *b)
{
    for (unsigned i = 0; i < a->node_count; i++)
        for (unsigned j = 0; j < b->node_count; j++)
            if (a->nodes[i] == b->nodes[j])
                return true;
    return false;
}

static int check_builtin(const struct parser *parser, unsigned index)
{
    const struct config *config = parser->config;
    const struct config_group *group = &config->groups[index];
    struct place place = {BLOCK_GROUP, index, 0};
    unsigned wanted = group->drbd_peer.length ? 1 : 2, lus = 0;
    char value[12];

    snprintf(value, sizeof value, "%u", group->node_count);
    if (group->node_count != wanted)
        return parse_complain(parser, place, "nodes", NULL,
                              wanted == 1
                                  ? "expected 1 name of a node with drbd_peer, found %s"
                                  : "expected 2 names of nodes with replication = builtin, found %s",
                              value);
    if (!group->port)
        return parse_complain(parser, place, "port", NULL,
                              "missing: expected 1..65535 with replication = builtin");
    if (group->tls && group->drbd_peer.length)
        return parse_complain(parser, place, "tls", "true",
                              "expected false with drbd_peer: DRBD 8.4 has no TLS");
    if (group->ping_ms >= group->timeout_ms)
        return parse_complain(parser, place, "ping_ms", NULL, "expected less than timeout_ms (%u)",
                              group->timeout_ms);
    for (unsigned i = 0; i < wanted; i++)
        if (!node_of(config, group->nodes[i])->replication_address[0])
            return parse_complain(parser, place, "nodes", node_of(config, group->nodes[i])->name,
                                  "expected a node with replication_address");
    if (wanted == 2 && group->after_sb_0pri >= CONFIG_DISCARD_LOCAL)
        return parse_complain(parser, place, "after_sb_0pri",
                              parse_value(parse_section(parser, place), "after_sb_0pri", 0),
                              "expected only with drbd_peer: here it is the same on both nodes");
    snprintf(value, sizeof value, "%u", group->port);
    for (unsigned i = 0; i < index; i++)
        if (config->groups[i].replication == REPLICATION_BUILTIN &&
            config->groups[i].port == group->port && share_a_node(group, &config->groups[i]))
            return parse_complain(parser, place, "port", value,
                                  "expected another one than group \"%s\" in line %u",
                                  config->groups[i].name, config->groups[i].line);
    for (unsigned i = 0; i < config->lu_count; i++)
        lus += config->lus[i].group_index == index;
    if (lus > LIMIT_GROUP_LUS)
        return parse_complain(parser, place, NULL, NULL,
                              "expected at most %d lu blocks with replication = builtin, found %u",
                              LIMIT_GROUP_LUS, lus);
    return 0;
}

static const char *drbd_resource_of(const struct config_group *group)
{
    return group->drbd_resource[0] ? group->drbd_resource : group->name;
}

/* The kernel's DRBD has its own addresses; ours to check is what stands on it. */
static int check_drbd(const struct parser *parser, unsigned index)
{
    const struct config *config = parser->config;
    const struct config_group *group = &config->groups[index];
    struct place place = {BLOCK_GROUP, index, 0};
    unsigned lus = 0;

    if (!group->node_count)
        return parse_complain(parser, place, "nodes", NULL,
                              "expected 2 names of nodes with replication = drbd, or 1 when the other copy's "
                              "machine is no node");
    for (unsigned i = 0; i < index; i++)
        if (config->groups[i].replication == REPLICATION_DRBD &&
            !strcmp(drbd_resource_of(&config->groups[i]), drbd_resource_of(group)))
            return parse_complain(parser, place, "drbd_resource", drbd_resource_of(group),
                                  "expected another one than group \"%s\" in line %u",
                                  config->groups[i].name, config->groups[i].line);
    for (unsigned i = 0; i < config->lu_count; i++)
        lus += config->lus[i].group_index == index;
    if (lus > LIMIT_DRBD_LUS)
        return parse_complain(parser, place, NULL, NULL,
                              "expected at most %d lu blocks with replication = drbd, found %u",
                              LIMIT_DRBD_LUS, lus);
    return 0;
}

/* Options that mean something to one engine only. */
static int check_engine(const struct parser *parser, unsigned index)
{
    const struct config_group *group = &parser->config->groups[index];
    struct place place = {BLOCK_GROUP, index, 0};

    if (group->drbd_peer.length && group->replication != REPLICATION_BUILTIN)
        return parse_complain(parser, place, "drbd_peer", group->drbd_peer.text,
                              "expected only with replication = builtin");
    if (group->drbd_resource[0] && group->replication != REPLICATION_DRBD)
        return parse_complain(parser, place, "drbd_resource", group->drbd_resource,
                              "expected only with replication = drbd");
    return 0;
}

static int check_groups(const struct parser *parser)
{
    const struct config *config = parser->config;

    for (unsigned i = 0; i < config->group_count; i++) {
        const struct config_group *group = &config->groups[i];
        int error = 0;
        if (group->node_count == 2 && group->nodes[0] == group->nodes[1])
            error = parse_complain(parser, (struct place){BLOCK_GROUP, i, 0}, "nodes", NULL,
                                   "expected two different nodes");
        else if (group->replication == REPLICATION_BUILTIN)
            error = check_builtin(parser, i);
        else if (group->replication == REPLICATION_DRBD)
            error = check_drbd(parser, i);
        if (!error)
            error = check_engine(parser, i);
        if (error)
            return error;
    }
    return 0;
}

static int check_lu(const struct parser *parser, unsigned index)
{
    const struct config *config = parser->config;
    const struct config_lu *lu = &config->lus[index];
    struct place place = {BLOCK_LU, index, 0};
    const char *size = parse_value(parse_section(parser, place), "size", 0);
    enum config_replication replication = config->groups[lu->group_index].replication;

    if (lu->store == STORE_KIND_FILE && !lu->path[0])
        return parse_complain(parser, place, "path", NULL,
                              "missing: expected an absolute path with store = file");
    if (lu->store != STORE_KIND_FILE && lu->path[0])
        return parse_complain(parser, place, "path", lu->path, "expected only with store = file");
    if (lu->store != STORE_KIND_FILE && !lu->size)
        return parse_complain(parser, place, "size", size,
                              "expected a size unless store = file tells it");
    if (lu->size % lu->block_size)
        return parse_complain(parser, place, "size", size, "expected a multiple of block_size (%u)",
                              lu->block_size);
    if (lu->physical_block < lu->block_size)
        return parse_complain(parser, place, "physical_block", NULL,
                              "expected at least block_size (%u)", lu->block_size);
    if (lu->store != STORE_KIND_FILE && replication != REPLICATION_NONE)
        return parse_complain(parser, place, "store", NULL,
                              "expected file in a group with replication = %s",
                              replication == REPLICATION_BUILTIN ? "builtin" : "drbd");
    if (!lu->size && replication == REPLICATION_DRBD) /* its device tells it to a Primary alone */
        return parse_complain(parser, place, "size", NULL,
                              "missing: expected the bytes of the device with replication = drbd");
    return 0;
}

/* One value of many blocks that must differ from all others: sorted, neighbours compared. */
struct unique {
    const void *key;
    unsigned index;
};

static int by_uuid(const void *a, const void *b)
{
    const struct unique *x = a, *y = b;
    int order = memcmp(x->key, y->key, 16);
    return order ? order : (int)x->index - (int)y->index;
}

static int by_path(const void *a, const void *b)
{
    const struct unique *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : (int)x->index - (int)y->index;
}

static int by_text(const void *a, const void *b)
{
    const struct unique *x = a, *y = b;
    int order = strcasecmp(x->key, y->key);
    return order ? order : (int)x->index - (int)y->index;
}

static int check_lus(const struct parser *parser)
{
    const struct config *config = parser->config;
    struct unique *uuids = calloc(config->lu_count + 1, sizeof *uuids);
    struct unique *paths = calloc(config->lu_count + 1, sizeof *paths);
    unsigned path_count = 0;
    int error = uuids && paths ? 0 : -ENOMEM;

    for (unsigned i = 0; !error && i < config->lu_count; i++) {
        error = check_lu(parser, i);
        uuids[i] = (struct unique){config->lus[i].uuid, i};
        if (config->lus[i].path[0])
            paths[path_count++] = (struct unique){config->lus[i].path, i};
    }
    if (!error) {
        qsort(uuids, config->lu_count, sizeof *uuids, by_uuid);
        qsort(paths, path_count, sizeof *paths, by_path);
    }
    for (unsigned i = 1; !error && i < config->lu_count; i++) {
        const struct config_lu *first = &config->lus[uuids[i - 1].index];
        if (!memcmp(uuids[i].key, uuids[i - 1].key, 16))
            error = parse_complain(parser, (struct place){BLOCK_LU, uuids[i].index, 0}, "uuid",
                                   NULL, "expected another one than lu \"%s\" in line %u",
                                   first->name, first->line);
    }
    for (unsigned i = 1; !error && i < path_count; i++) {
        const struct config_lu *first = &config->lus[paths[i - 1].index];
        if (!strcmp(paths[i].key, paths[i - 1].key))
            error = parse_complain(parser, (struct place){BLOCK_LU, paths[i].index, 0}, "path",
                                   paths[i].key, "expected another one than lu \"%s\" in line %u",
                                   first->name, first->line);
    }
    free(uuids);
    free(paths);
    return error;
}

static int check_luns(const struct parser *parser, unsigned index)
{
    const struct config_host *host = &parser->config->hosts[index];
    unsigned seen[LIMIT_LUNS] = {0}; /* place plus one */

    for (unsigned i = 0; i < host->lun_count; i++) {
        unsigned lun = host->luns[i].lun;
        if (seen[lun])
            return parse_complain(
                parser, (struct place){BLOCK_LUN, index, i}, NULL, NULL,
                "expected another number than in line %u",
                parse_line(parser, (struct place){BLOCK_LUN, index, seen[lun] - 1}, NULL));
        seen[lun] = i + 1;
    }
    return 0;
}

static int check_hosts(const struct parser *parser)
{
    const struct config *config = parser->config;
    struct unique *names;
    size_t count = 0, used = 0;
    int error = 0;

    for (unsigned i = 0; i < config->host_count; i++)
        count += config->hosts[i].initiator_count;
    names = calloc(count + 1, sizeof *names);
    if (!names)
        return -ENOMEM;
    for (unsigned i = 0; !error && i < config->host_count; i++) {
        error = check_luns(parser, i);
        for (unsigned j = 0; j < config->hosts[i].initiator_count; j++)
            names[used++] = (struct unique){config->hosts[i].initiators[j], i};
    }
    qsort(names, used, sizeof *names, by_text);
    for (size_t i = 1; !error && i < used; i++) {
        const struct config_host *first = &config->hosts[names[i - 1].index];
        if (!strcasecmp(names[i].key, names[i - 1].key))
            error = parse_complain(
                parser, (struct place){BLOCK_HOST, names[i].index, 0}, "initiators", names[i].key,
                "expected once, but host \"%s\" in line %u has it too", first->name, first->line);
    }
    free(names);
    return error;
}

int check_config(const struct parser *parser)
{
    static int (*const checks[])(const struct parser *) = {
        check_cluster, check_node_ids, check_portals, check_targets,
        check_groups,  check_lus,      check_hosts,
    };

    for (unsigned i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        int error = checks[i](parser);
        if (error)
            return error;
    }
    return 0;
}
