/* What a run is made of, and the halun.conf of its nodes. */
#include <stdio.h>
#include <string.h>

#include "tests/sim/world.h"

static unsigned transition_s; /* as halun.conf has it now */

/* What runs may be hit by; one in eight by clocks of different speed as well. The first KINDS are what is drawn when it is
 * not wide. */
static const enum sim_fault kinds[] = {
    SIM_CRASH,     SIM_POWER_CUT,  SIM_POWER_CUT_ALL, SIM_FREEZE,       SIM_STALL,
    SIM_PARTITION, SIM_LINK_LOSS,  SIM_SLOW_DISK,     SIM_FULL_DISK,    SIM_DISK_ERROR,
    SIM_CLOCK_JUMP, SIM_SLOW_FENCING, SIM_SWITCH,     SIM_RESTART,      SIM_RELOAD,
    SIM_CONNECTION, SIM_UPGRADE,    SIM_READ_ERROR,    SIM_STATE_DISK,   SIM_GROW,
    SIM_COPIES,
};
enum { WIDE_KINDS = sizeof kinds / sizeof kinds[0], KINDS = WIDE_KINDS - 4 };

/* Nothing in one run of 16, otherwise one to six kinds. */
static uint32_t draw_faults(uint64_t bits, unsigned of)
{
    unsigned count = (bits & 15) ? 1 + (bits >> 4) % 6 : 0;
    uint32_t faults = 0;

    for (unsigned i = 0; i < count; i++)
        faults |= 1u << kinds[(bits >> (8 + 5 * i) & 31) % of];
    if (count && !(bits >> 45 & 7))
        faults |= 1u << SIM_CLOCK_DRIFT;
    return faults;
}

static uint64_t spread(uint64_t seed)
{
    uint64_t bits = seed * 0x9e3779b97f4a7c15u;

    bits ^= bits >> 29;
    bits *= 0xbf58476d1ce4e5b9u;
    return bits ^ bits >> 32;
}

static void draw_wide(struct sim_config *config, uint64_t bits)
{
    static const unsigned nodes[] = {1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8, 8};

    config->nodes = nodes[bits & 15];
    config->reactors = 1 + (unsigned)(bits >> 4 & 3) * 3 / 4;
    config->groups = 1 + (bits >> 6 & 3);
    config->lus = config->groups * (1 + (bits >> 8 & 1));
    config->faults = draw_faults(bits >> 10, WIDE_KINDS);
    config->any_disk = true;
}

void config_draw(struct sim_config *config, uint64_t seed, bool wide)
{
    static const unsigned nodes[] = {2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 5, 2, 3, 2};
    uint64_t bits = spread(seed);

    memset(config, 0, sizeof *config);
    transition_s = 20;
    config->seed = seed;
    config->length_ns = 60000ull * SIM_MS;
    config->nodes = nodes[bits & 15];
    config->reactors = 1 + (bits >> 4 & 3) / 3;
    config->groups = 1 + (bits >> 6 & 1);
    config->lus = config->groups * (1 + (bits >> 7 & 1));
    config->block_size = 4096;
    config->lu_blocks = bits >> 8 & 1 ? 4096 : 1024;
    config->lease_ms = bits >> 9 & 1 ? 3000 : 1500;
    config->hold_ms = 20000;
    config->token_ms = 1000;
    config->faults = draw_faults(bits >> 10, KINDS);
    if (wide)
        draw_wide(config, spread(seed + ((uint64_t)1 << 63)));
    config->two_node = config->nodes == 2;
}

uint32_t sim_group_nodes(unsigned group)
{
    unsigned nodes = sim_config()->nodes;

    return 1u << (1 + group % nodes) | 1u << (1 + (group + 1) % nodes);
}

void config_lu_path(unsigned lu, unsigned node, char *path, size_t size)
{
    snprintf(path, size, "/disk/node%u/lu%u", node, lu);
}

void config_change(void)
{
    transition_s = 20 + (transition_s + 1) % 10;
}

/* One file for all nodes, but for the version of the wire while they are upgraded one by one. */
static void write_config(const struct host *host, char *text, size_t size)
{
    const struct sim_config *config = sim_config();
    int n = snprintf(text, size,
                     "cluster {\n name = \"sim\"\n lease_ms = %u\n hold_ms = %u\n reactors = %u\n"
                     " pool_bytes = 4M\n spin_us = 0\n transition_s = %u\n wire_max = %u\n}\n"
                     "target \"iqn.2026-11.sim:array\" {\n}\n",
                     config->lease_ms, config->hold_ms, config->reactors, transition_s,
                     host->wire_max);

    for (unsigned i = 1; i <= config->nodes; i++)
        n += snprintf(text + n, size - (size_t)n,
                      "node \"node%u\" {\n id = %u\n peer = \"10.0.0.%u:7780\"\n"
                      " replication_address = \"10.0.0.%u\"\n"
                      " portal \"p\" {\n  address = \"10.0.1.%u:3260\"\n  rtpi = %u\n }\n}\n",
                      i, i, i, i, i, i);
    for (unsigned g = 0; g < config->groups; g++) {
        if (config->nodes == 1)
            n += snprintf(text + n, size - (size_t)n, "group \"g%u\" {\n}\n", g);
        else
            n += snprintf(text + n, size - (size_t)n,
                          "group \"g%u\" {\n replication = builtin\n nodes = { \"node%u\", \"node%u\" "
                          "}\n port = %u\n%s}\n",
                          g, 1 + g % config->nodes, 1 + (g + 1) % config->nodes, 7790 + g,
                          config->faults & 1u << SIM_COPIES ? " verify_alg = \"crc32c\"\n" : "");
    }
    for (unsigned i = 0; i < config->lus; i++)
        n += snprintf(text + n, size - (size_t)n,
                      "lu \"lu%u\" {\n uuid = \"00000000-0000-4000-8000-0000000000%02x\"\n"
                      " group = \"g%u\"\n path = \"/disk/%%n/lu%u\"\n size = %llu\n block_size = %u\n}\n",
                      i, i + 1, i % config->groups, i,
                      (unsigned long long)config->lu_blocks * config->block_size,
                      config->block_size);
    n += snprintf(text + n, size - (size_t)n,
                  "host \"all\" {\n initiators = { \"iqn.2026-11.sim:*\" }\n");
    for (unsigned i = 0; i < config->lus; i++)
        n += snprintf(text + n, size - (size_t)n, " lun %u {\n  lu = \"lu%u\"\n }\n", i, i);
    snprintf(text + n, size - (size_t)n, "}\n");
}

void config_put(struct host *host)
{
    char text[16384];

    write_config(host, text, sizeof text);
    file_put(host, "/etc/halun/halun.conf", text);
}
