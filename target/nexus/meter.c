#include "target/nexus/meter.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "target/base/threads.h"
#include "target/command/command.h"
#include "target/device/device.h"
#include "target/nexus/nexus.h"

/* Hosts may come and go by name; those that were are kept. */
enum { HOST_METERS = 2 * LIMIT_HOSTS };

static struct meter *hosts[HOST_METERS];
static _Atomic unsigned host_count;

static struct meter *meter_new(const char *name)
{
    size_t size = sizeof(struct meter) + threads.reactor_count * sizeof(struct meter_part);
    struct meter *meter = aligned_alloc(64, (size + 63) / 64 * 64);

    if (!meter)
        return NULL;
    memset(meter, 0, size);
    strncpy(meter->name, name, sizeof meter->name - 1);
    return meter;
}

struct meter *meter_of_host(const char *name)
{
    unsigned count = atomic_load_explicit(&host_count, memory_order_acquire);

    for (unsigned i = 0; i < count; i++)
        if (!strcmp(hosts[i]->name, name))
            return hosts[i];
    return NULL;
}

struct meter *meter_host_at(unsigned place)
{
    return place < atomic_load_explicit(&host_count, memory_order_acquire) ? hosts[place] : NULL;
}

struct meter *meter_lu_at(unsigned place)
{
    return device_lus[place] ? device_lus[place]->meter : NULL;
}

unsigned meter_lu_places(void)
{
    return device_lu_count;
}

static struct meter *host_meter(const char *name)
{
    struct meter *meter = meter_of_host(name);
    unsigned count = atomic_load_explicit(&host_count, memory_order_relaxed);

    if (meter || count == HOST_METERS)
        return meter;
    meter = meter_new(name);
    if (!meter)
        return NULL;
    hosts[count] = meter;
    atomic_store_explicit(&host_count, count + 1, memory_order_release);
    return meter;
}

void meters_configure(const struct config *config)
{
    for (unsigned i = 0; i < config->host_count; i++) {
        struct meter *meter = host_meter(config->hosts[i].name);
        if (meter)
            limit_set(&meter->limit, config->hosts[i].iops_limit, config->hosts[i].bytes_limit);
    }
    for (unsigned i = 0; i < config->lu_count && i < device_lu_count; i++) {
        struct lu *lu = device_lus[i];
        if (!lu)
            continue;
        if (!lu->meter)
            lu->meter = meter_new(lu->config.name);
        if (lu->meter)
            limit_set(&lu->meter->limit, config->lus[i].iops_limit, config->lus[i].bytes_limit);
    }
}

void meters_done(void)
{
    unsigned count = atomic_exchange(&host_count, 0);

    for (unsigned i = 0; i < count; i++)
        free(hosts[i]);
}

static void bump(_Atomic uint64_t *counter, uint64_t n)
{
    /* The only writer: no locked instruction. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static void count(struct meter_part *part, enum meter_kind kind, uint64_t bytes, uint64_t us)
{
    unsigned bucket = us ? 64 - (unsigned)__builtin_clzll(us) : 0;

    bump(&part->kinds[kind].commands, 1);
    bump(&part->kinds[kind].bytes, bytes);
    bump(&part->kinds[kind].microseconds, us);
    bump(&part->kinds[kind].latency[bucket < METER_BUCKETS ? bucket : METER_BUCKETS - 1], 1);
}

void meter_task(const struct task *task, uint32_t in)
{
    unsigned reactor = task->reactor->index;
    uint64_t us = (task->reactor->now_ns - task->began_ns) / 1000, bytes = task->data_out.length;
    enum meter_kind kind = METER_OTHER;

    if (task->nexus->forwarded)
        return;
    if (task->command->flags & COMMAND_BLOCKS && task->command->data == DATA_IN)
        kind = METER_READ;
    else if (task->command->flags & COMMAND_BLOCKS && task->command->data == DATA_OUT)
        kind = METER_WRITE;
    bytes = kind == METER_READ ? in : bytes;
    if (task->lu->meter)
        count(&task->lu->meter->parts[reactor], kind, bytes, us);
    if (task->nexus->meter)
        count(&task->nexus->meter->parts[reactor], kind, bytes, us);
}

static uint64_t get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void meter_add(const struct meter *meter, struct meter_sum *sum)
{
    for (unsigned i = 0; i < threads.reactor_count; i++) {
        const struct meter_part *part = &meter->parts[i];
        for (unsigned kind = 0; kind < METER_KINDS; kind++) {
            sum->commands[kind] += get(&part->kinds[kind].commands);
            sum->bytes[kind] += get(&part->kinds[kind].bytes);
            sum->microseconds[kind] += get(&part->kinds[kind].microseconds);
            for (unsigned b = 0; b < METER_BUCKETS; b++)
                sum->latency[kind][b] += get(&part->kinds[kind].latency[b]);
        }
    }
}
