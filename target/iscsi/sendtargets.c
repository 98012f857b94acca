#include "target/iscsi/sendtargets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "target/iscsi/text.h"

/* How far an address reaches: an initiator that came over a wide one cannot use a narrower one. */
enum reach { REACH_HOST, REACH_LINK, REACH_WIDE, REACH_ANY };

static enum reach reach_v4(uint32_t address)
{
    if (address == INADDR_ANY)
        return REACH_ANY;
    if (address >> 24 == 127)
        return REACH_HOST;
    return address >> 16 == 0xa9fe ? REACH_LINK : REACH_WIDE;
}

static enum reach reach_of(const struct sockaddr_storage *address)
{
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)address)->sin6_addr;

    if (address->ss_family == AF_INET)
        return reach_v4(ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr));
    if (IN6_IS_ADDR_V4MAPPED(v6))
        return reach_v4(get_be32(v6->s6_addr + 12));
    if (IN6_IS_ADDR_UNSPECIFIED(v6))
        return REACH_ANY;
    if (IN6_IS_ADDR_LOOPBACK(v6))
        return REACH_HOST;
    return IN6_IS_ADDR_LINKLOCAL(v6) ? REACH_LINK : REACH_WIDE;
}

static uint16_t port_of(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET ? ((const struct sockaddr_in *)address)->sin_port
                                               : ((const struct sockaddr_in6 *)address)->sin6_port);
}

static void put_address(const struct sockaddr_storage *address, uint16_t port, char *text)
{
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    char host[INET6_ADDRSTRLEN] = "?";

    if (address->ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, host, sizeof host);
    else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, host, sizeof host);
    else
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
    snprintf(text, ADDRESS_TEXT, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

void address_text(const struct sockaddr_storage *address, char *text)
{
    put_address(address, port_of(address), text);
}

static void put_target(const struct config *config, const struct config_target *target,
                       const struct sockaddr_storage *local, struct writer *out)
{
    const struct config_node *node = &config->nodes[config->self];
    char address[ADDRESS_TEXT], text[ADDRESS_TEXT + 16];

    text_put(out, "TargetName", target->name);
    for (unsigned i = 0; i < node->portal_count; i++) {
        const struct sockaddr_storage *portal = &node->portals[i].address.address;
        enum reach reach = reach_of(portal);
        if (reach < reach_of(local))
            continue;
        put_address(reach == REACH_ANY ? local : portal, port_of(portal), address);
        snprintf(text, sizeof text, "%s,%u", address, node->id);
        text_put(out, "TargetAddress", text);
    }
}

int sendtargets(const struct config *config, const char *value, const char *own,
                const struct sockaddr_storage *local, struct writer *out)
{
    bool all = !strcmp(value, "All");

    /* In a normal session only its own target may be asked for, by name or by nothing. */
    if (own && (all || (*value && strcasecmp(value, own))))
        return -1;
    if (!own && !*value)
        return -1;
    for (unsigned i = 0; i < config->target_count; i++) {
        const struct config_target *target = &config->targets[i];
        if (all || !strcasecmp(target->name, *value ? value : own))
            put_target(config, target, local, out);
    }
    return 0;
}
