#include <stdio.h>

#include "target/daemon/daemon.h"

const char *nodes_name(unsigned id)
{
    for (unsigned i = 0; i < halund.config->node_count; i++)
        if (halund.config->nodes[i].id == id)
            return halund.config->nodes[i].name;
    return "";
}

void nodes_silent(uint32_t nodes, char *why, size_t size)
{
    size_t used = (size_t)snprintf(why, size, "no answer from node");

    for (unsigned i = 0; i < halund.config->node_count && used < size; i++)
        if (nodes & 1u << halund.config->nodes[i].id)
            used += (size_t)snprintf(why + used, size - used, " %s", halund.config->nodes[i].name);
}
