#include <stdio.h>

#include "target/daemon/daemon.h"

const char *nodes_name(unsigned id)
{
    for (unsigned i = 0; i < halund.config->node_count; i++)
        if (halund.config->nodes[i].id == id)
            return halund.config->nodes[i].name;
    return "";
}

void nodes_names(uint32_t nodes, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (unsigned id = 1; id <= LIMIT_NODES && used < size; id++)
        if (nodes & 1u << id)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", nodes_name(id));
}
