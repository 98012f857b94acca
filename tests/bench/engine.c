/* The engine without a network: initiators inside the process keep a queue of 4 KiB reads at a null
 * store busy on every reactor, each of them on a core of its own. One JSON object on stdout.
 *
 *   halun-engine REACTORS DEPTH SECONDS [LUS]
 *
 * What the reactors share (the LU, its lanes, its store) is what would keep two cores from doing
 * twice the work of one. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "target/base/bytes.h"
#include "target/base/container.h"
#include "target/base/threads.h"
#include "target/command/command.h"
#include "target/device/device.h"
#include "target/nexus/lane_change.h"
#include "target/nexus/lun_map.h"
#include "target/nexus/meter.h"
#include "target/nexus/nexus_table.h"

enum { REACTORS_MAX = 8, DEPTH_MAX = 256, BLOCK = 4096, LU_SIZE = 1 << 30, LUS_MAX = LIMIT_LUNS };

struct worker {
    struct reactor reactor;
    struct nexus nexus;
    struct task tasks[DEPTH_MAX];
    struct post begin, again;
    unsigned depth, pending;
    uint32_t random;
    _Atomic uint64_t done;
    pthread_t thread;
};

static struct worker *workers[REACTORS_MAX];
static unsigned depth, lu_count;

static void receive_data(struct task *task, uint32_t length)
{
    abort();
}

static void again(struct post *post);

static void complete(struct task *task)
{
    struct worker *worker = container_of(task->reactor, struct worker, reactor);

    if (task->status)
        abort();
    payload_free(worker->reactor.payloads, &task->data_in);
    task->scratch = worker; /* idle */
    if (!worker->pending++)
        reactor_defer(&worker->reactor, &worker->again);
}

static const struct task_transport transport = {"bench", receive_data, complete};

static void start(struct worker *worker, struct task *task)
{
    memset(task, 0, sizeof *task);
    worker->random = worker->random * 1664525u + 1013904223u;
    task->transport = &transport;
    task->nexus = &worker->nexus;
    task->reactor = &worker->reactor;
    task->attribute = TASK_SIMPLE;
    task->lun = lun_encode((uint32_t)((uint64_t)(worker->random >> 8) * lu_count >> 24));
    task->cdb[0] = 0x28;
    put_be32(task->cdb + 2, worker->random % (LU_SIZE / BLOCK) * (BLOCK / 512));
    put_be16(task->cdb + 7, BLOCK / 512);
    task->cdb_length = 16;
    task->expected_in = BLOCK;
    task_execute(task);
}

static void again(struct post *post)
{
    struct worker *worker = container_of(post, struct worker, again);
    uint64_t done = atomic_load_explicit(&worker->done, memory_order_relaxed) + worker->pending;

    atomic_store_explicit(&worker->done, done, memory_order_relaxed);
    worker->pending = 0;
    for (unsigned i = 0; i < depth; i++)
        if (worker->tasks[i].scratch)
            start(worker, &worker->tasks[i]);
}

static void begin(struct post *post)
{
    struct worker *worker = container_of(post, struct worker, begin);

    if (nexus_add_proxy(&worker->nexus))
        abort();
    for (unsigned i = 0; i < depth; i++)
        start(worker, &worker->tasks[i]);
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(worker->reactor.index, &set);
    sched_setaffinity(0, sizeof set, &set);
    reactor_run(&worker->reactor);
    return NULL;
}

static void make_worker(unsigned index)
{
    struct worker *worker = aligned_alloc(64, (sizeof *worker + 63) / 64 * 64);

    if (!worker)
        abort();
    memset(worker, 0, sizeof *worker);
    if (reactor_init(&worker->reactor, index, 256))
        abort();
    worker->reactor.payloads = payload_pool_new(16 << 20);
    worker->random = index + 1;
    worker->again.run = again;
    worker->begin.run = begin;
    worker->nexus.reactor = &worker->reactor;
    identity_from_iscsi(&worker->nexus.identity, "iqn.2026-11.org.halun:bench",
                        (const uint8_t[6]){0x40, (uint8_t)index}, 1);
    worker->nexus.tpgt = 1;
    workers[index] = worker;
    threads.reactors[index] = &worker->reactor;
}

static _Atomic bool open_now;

static void opened(void *context)
{
    open_now = true;
}

static void open_gate(void)
{
    struct lane_change *change = lane_change_new(opened, NULL);

    lane_change_group(change, 0, GATE_EXECUTE, 1, 0, false);
    lane_change_run(change);
    while (!open_now) {
        usleep(1000);
        mailbox_run(&threads.control);
    }
}

static uint64_t total(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < threads.reactor_count; i++)
        sum += atomic_load_explicit(&workers[i]->done, memory_order_relaxed);
    return sum;
}

/* Where the reactors run before everything else, who ends them must run before them. */
static void stay_above(void)
{
    struct sched_param parameter;

    if (sched_getscheduler(0) == SCHED_FIFO && !sched_getparam(0, &parameter)) {
        parameter.sched_priority++;
        sched_setscheduler(0, SCHED_FIFO, &parameter);
    }
}

static bool make_units(struct config *config, struct config_host *host)
{
    static struct config_lu units[LUS_MAX];
    static struct config_lun luns[LUS_MAX];
    struct store_options options = {.size = LU_SIZE, .block_size = 512};
    char why[256];

    for (unsigned i = 0; i < lu_count; i++) {
        struct lu *lu = device_lus[i] = device_new();

        if (!lu || null_store_open(&options, &lu->store, why))
            return false;
        snprintf(units[i].name, sizeof units[i].name, "null%u", i);
        luns[i] = (struct config_lun){.lun = i, .lu_index = i};
        lu->config = units[i];
        lu->index = i;
        lu->block_size = options.block_size;
        lu->blocks = LU_SIZE / options.block_size;
        lanes_init_lu(lu, 0);
    }
    device_lu_count = lu_count;
    *config = (struct config){.lus = units, .lu_count = lu_count};
    *host = (struct config_host){.luns = luns, .lun_count = lu_count};
    return true;
}

int main(int argc, char **argv)
{
    static struct config config;
    struct config_host host;
    unsigned count = argc > 3 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    double seconds = argc > 3 ? strtod(argv[3], NULL) : 0;
    uint64_t from, began, took;

    depth = argc > 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    lu_count = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 1;
    if (!count || count > REACTORS_MAX || !depth || depth > DEPTH_MAX || seconds <= 0 ||
        !lu_count || lu_count > LUS_MAX) {
        fputs("usage: halun-engine REACTORS DEPTH SECONDS [LUS]\n", stderr);
        return 2;
    }
    command_index_build();
    threads.reactor_count = count;
    lanes_init(1, 5000);
    for (unsigned i = 0; i < count; i++)
        make_worker(i);
    if (mailbox_init(&threads.control) || !make_units(&config, &host))
        return 1;
    for (unsigned i = 0; i < count; i++)
        workers[i]->nexus.lun_map = lun_map_new(&host);
    nexus_table_init();
    meters_configure(&config);
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&workers[i]->thread, NULL, run, workers[i]))
            return 1;
    stay_above();
    open_gate();
    for (unsigned i = 0; i < count; i++)
        reactor_post(&workers[i]->reactor, &workers[i]->begin);
    usleep(200000);
    from = total();
    began = monotonic_ns();
    usleep((useconds_t)(seconds * 1e6));
    took = monotonic_ns() - began;
    printf("{\"reactors\":%u,\"depth\":%u,\"lus\":%u,\"iops\":%.0f}\n", count, depth, lu_count,
           (double)(total() - from) * 1e9 / (double)took);
    fflush(stdout);
    _exit(0); /* the reactors are in the middle of their work */
}
