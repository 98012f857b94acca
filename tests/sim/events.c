/* The virtual clock, the queue of events (a binary heap by time, then by order of arming), chance, trace. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

enum { COUNTERS = 96, FAILURE = 1024 };

static struct {
    uint64_t now, number, events, hash;
    uint64_t random[2];
    struct sim_event **heap;
    unsigned used, size;
    struct sim_config config;
    bool trace;
    unsigned node; /* whose event runs */
    char failure[FAILURE];
    struct {
        const char *name;
        uint64_t n;
    } counters[COUNTERS];
    unsigned counter_count;
} world;

jmp_buf world_failed;

/* ---- chance: xoroshiro128+ seeded by splitmix64 (public domain algorithms) ---- */

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t rotate(uint64_t v, unsigned n)
{
    return v << n | v >> (64 - n);
}

static uint64_t next_random(void)
{
    uint64_t a = world.random[0], b = world.random[1], result = a + b;

    b ^= a;
    world.random[0] = rotate(a, 24) ^ b ^ b << 16;
    world.random[1] = rotate(b, 37);
    return result;
}

uint32_t sim_random(uint32_t below)
{
    return (uint32_t)((next_random() >> 32) * below >> 32);
}

bool sim_chance(unsigned permille)
{
    return sim_random(1000) < permille;
}

uint64_t world_between(uint64_t low, uint64_t high)
{
    return low + next_random() % (high - low + 1);
}

uint64_t world_latency(uint64_t typical)
{
    unsigned kind = sim_random(256);

    if (kind == 0)
        return typical * (1 + sim_random(20));
    return typical / 2 + typical * kind / 256;
}

/* ---- queue ---- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->when < b->when || (a->when == b->when && a->number < b->number);
}

static void put(unsigned at, struct sim_event *event)
{
    world.heap[at] = event;
    event->slot = at + 1;
}

static void up(unsigned at, struct sim_event *event)
{
    while (at && before(event, world.heap[(at - 1) / 2])) {
        put(at, world.heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(at, event);
}

static void down(unsigned at, struct sim_event *event)
{
    for (;;) {
        unsigned child = 2 * at + 1;
        if (child >= world.used)
            break;
        if (child + 1 < world.used && before(world.heap[child + 1], world.heap[child]))
            child++;
        if (!before(world.heap[child], event))
            break;
        put(at, world.heap[child]);
        at = child;
    }
    put(at, event);
}

void sim_cancel(struct sim_event *event)
{
    unsigned at = event->slot;
    struct sim_event *last;

    if (!at--)
        return;
    event->slot = 0;
    last = world.heap[--world.used];
    if (last == event)
        return;
    if (at && before(last, world.heap[(at - 1) / 2]))
        up(at, last);
    else
        down(at, last);
}

void sim_at(struct sim_event *event, uint64_t when)
{
    sim_cancel(event);
    if (world.used == world.size) {
        world.size = world.size ? world.size * 2 : 1024;
        world.heap = realloc(world.heap, world.size * sizeof *world.heap);
        if (!world.heap)
            abort();
    }
    event->when = when < world.now ? world.now : when;
    event->number = world.number++;
    up(world.used++, event);
}

uint64_t sim_now(void)
{
    return world.now;
}

void sim_hash(uint64_t value)
{
    world.hash = rotate((world.hash ^ value) * 0x9e3779b97f4a7c15u, 29);
}

uint64_t world_hash(void)
{
    return world.hash;
}

uint64_t world_events(void)
{
    return world.events;
}

static void tell_checkers(void)
{
    for (unsigned i = 0; sim_checkers[i]; i++)
        if (sim_checkers[i]->event)
            sim_checkers[i]->event(world.node);
}

void world_run(uint64_t until, const bool *stop)
{
    while (world.used && world.heap[0]->when <= until && !*stop) {
        struct sim_event *event = world.heap[0];
        sim_cancel(event);
        world.now = event->when;
        world.events++;
        world.node = 0;
        event->run(event);
        tell_checkers();
    }
    if (!*stop && world.now < until)
        world.now = until;
}

void world_event_of(unsigned node)
{
    world.node = node;
}

/* ---- a run ---- */

void world_begin(const struct sim_config *config)
{
    uint64_t seed = config->seed;

    world.config = *config;
    world.now = world.number = world.events = world.hash = 0;
    world.used = 0;
    world.random[0] = splitmix(&seed);
    world.random[1] = splitmix(&seed);
    world.failure[0] = '\0';
    world.counter_count = 0;
}

void world_end(void)
{
    while (world.used)
        sim_cancel(world.heap[world.used - 1]);
}

const struct sim_config *sim_config(void)
{
    return &world.config;
}

/* ---- trace and verdict ---- */

void world_set_trace(bool on)
{
    world.trace = on;
}

bool sim_tracing(void)
{
    return world.trace;
}

void sim_trace(unsigned node, const char *format, ...)
{
    va_list arguments;

    if (!world.trace)
        return;
    printf("[%10.3f] ", (double)world.now / SIM_MS);
    if (node)
        printf("node%u  ", node);
    else
        printf("world  ");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

const char *world_failure(void)
{
    return world.failure;
}

void sim_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(world.failure, sizeof world.failure, format, arguments);
    va_end(arguments);
    sim_trace(0, "VIOLATION: %s", world.failure);
    longjmp(world_failed, 1);
}

void sim_count(const char *name, uint64_t n)
{
    unsigned i = 0;

    while (i < world.counter_count && strcmp(world.counters[i].name, name))
        i++;
    if (i == COUNTERS)
        return;
    if (i == world.counter_count) {
        world.counters[i].name = name;
        world.counters[i].n = 0;
        world.counter_count++;
    }
    world.counters[i].n += n;
}

void world_each_count(void (*each)(const char *name, uint64_t n, void *context), void *context)
{
    for (unsigned i = 0; i < world.counter_count; i++)
        each(world.counters[i].name, world.counters[i].n, context);
}
