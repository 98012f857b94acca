#include "tests/sim/run.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/sim/states.h"
#include "tests/sim/world.h"

#define SETTLE_NS (180000ull * SIM_MS) /* after the last fault */

enum { TICK = 100 * SIM_MS };

static struct sim_event tick;

static void on_tick(struct sim_event *event)
{
    for (unsigned i = 0; sim_checkers[i]; i++)
        if (sim_checkers[i]->tick)
            sim_checkers[i]->tick();
    states_note();
    sim_at(&tick, sim_now() + TICK);
}

static void each(size_t member)
{
    for (unsigned i = 0; sim_checkers[i]; i++) {
        void (*call)(void);
        memcpy(&call, (const char *)sim_checkers[i] + member, sizeof call);
        if (call)
            call();
    }
}

/* Why the array has not come to rest, for the message. */
static void describe(char *text, size_t size)
{
    size_t n = 0;

    for (unsigned i = 1; i <= sim_config()->nodes && n < size; i++) {
        struct cluster_view view = {0};
        const struct shared_state *state = sim_shared(i);
        sim_view(i, &view);
        n += (size_t)snprintf(text + n, size - n, "\n    node%u %s%s serving %d members %x unproven %x %s",
                              i, sim_powered(i) ? "on " : "off ", sim_ready(i) ? "ready" : "not ready",
                              view.serving, view.members, view.unproven, view.waiting);
        for (unsigned g = 0; g < sim_config()->groups && state && n < size; g++) {
            struct replica_status r = {0};
            sim_replica(i, g, &r);
            n += (size_t)snprintf(text + n, size - n, "; g%u owner %u current %x %s/%s %s%s, %llu bytes differ: %s", g,
                                  state->groups[g].owner, state->groups[g].current,
                                  replica_disk_name(r.disk), replica_disk_name(r.peer_disk),
                                  replica_connection_name(r.connection), r.suspended ? " suspended" : "",
                                  (unsigned long long)r.out_of_sync, r.why);
        }
    }
}

/* Is there nothing under way that one node has carried out and another one has not? If it stays so, check_lanes.c says it. */
static bool same_state(void)
{
    for (unsigned node = 2; node <= sim_config()->nodes; node++)
        if (!sim_shared(1) || !sim_shared(node) ||
            shared_state_digest(sim_shared(node)) != shared_state_digest(sim_shared(1)))
            return false;
    return true;
}

static void settle(bool workload)
{
    uint64_t end = sim_now() + SETTLE_NS;
    const bool never = false;
    char text[900];

    while (sim_now() < end && !pacemaker_settled())
        world_run(sim_now() + 200 * SIM_MS, &never);
    if (!pacemaker_settled()) {
        describe(text, sizeof text);
        sim_fail("the array does not come to rest in %u s after the last fault:%s",
                 (unsigned)(SETTLE_NS / SIM_MS / 1000), text);
    }
    if (!workload)
        return;
    workload_stop();
    end = sim_now() + SETTLE_NS;
    while (sim_now() < end && !workload_idle())
        world_run(sim_now() + 200 * SIM_MS, &never);
    if (!workload_idle())
        sim_fail("the workload does not come to an end");
    while ((!pacemaker_settled() || !same_state()) && sim_now() < end)
        world_run(sim_now() + 200 * SIM_MS, &never);
}

static void run(const struct sim_story *story)
{
    const bool never = false;
    bool workload = !story || story->workload;

    files_begin();
    sockets_begin();
    datagrams_begin();
    initiators_begin();
    control_begin();
    bus_begin();
    fencer_begin();
    hosts_begin();
    pacemaker_begin();
    memset(&tick, 0, sizeof tick);
    tick.run = on_tick;
    sim_at(&tick, TICK);
    each(offsetof(struct sim_checker, begin));
    for (unsigned i = 1; i <= sim_config()->nodes; i++)
        sim_power_on(i);
    faults_begin();
    if (story)
        story->begin();
    if (workload)
        workload_begin();
    world_run(sim_config()->length_ns, &never);
    faults_stop();
    settle(workload);
    each(offsetof(struct sim_checker, quiet));
    each(offsetof(struct sim_checker, end));
}

/* Comes back with false out of sim_fail(), from wherever that was. */
static bool guarded(const struct sim_story *story)
{
    if (setjmp(world_failed))
        return false;
    run(story);
    return true;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool sim_run(const struct sim_config *config, const struct sim_story *story, struct run_result *result)
{
    uint64_t began = cpu_ns();
    bool good;

    memset(result, 0, sizeof *result);
    world_begin(config);
    good = guarded(story);
    current = NULL;
    world_inside = NULL;
    result->events = world_events();
    result->simulated_ns = sim_now();
    result->hash = world_hash();
    snprintf(result->why, sizeof result->why, "%s", good ? "" : world_failure());
    world_end();
    hosts_forget();
    sockets_end();
    datagrams_end();
    initiators_end();
    control_begin();
    bus_end();
    files_end();
    result->cpu_ns = cpu_ns() - began;
    return good;
}
