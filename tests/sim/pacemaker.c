/* Pacemaker and the operator, by their rules (agents/, config/quickstart): one decides in every quorate ring. It
 * fences whom it lost before anything else, keeps the daemon running everywhere, and keeps one promoted instance of
 * every group where the score is best. Scores are what the agent says at its monitors and notifications, so they
 * may be stale; promote and demote are the agent's loops over requests to the daemon. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "config/control.h"
#include "tests/sim/world.h"

enum {
    TICK_NS = 500 * SIM_MS,
    START_FAILURE_MS = 60000, /* failure-timeout of the daemon, which is not started there while its start counts as failed */
    GROUP_FAILURE_MS = 10000, /* of a group */
    MONITOR_MS = 10000,
    ACTION_MS = 50000,
    PAUSE_MS = 100,     /* halunctl --wait */
    SCORE_UNKNOWN = -2,
};

enum action { NOTHING, PROMOTE, DEMOTE };

struct resource { /* a group */
    enum action action;
    unsigned node;     /* where */
    unsigned start;    /* of its daemon */
    uint64_t deadline;
    unsigned wanted;   /* crm resource move; 0 = nobody */
    unsigned demoted;  /* node that was demoted and may execute until the next promotion; 0 = none */
    bool initialized;  /* the operator's "group init" is done, or under way */
    struct sim_event again;
};

struct node {
    uint32_t clean; /* bits: nodes that this one knows to be down, or has never seen */
    int scores[LIMIT_GROUPS];
    uint64_t failed_until[LIMIT_GROUPS];
    uint64_t ask_scores;   /* when */
    bool asking;
    uint64_t lost_quorum;  /* since; 0 = has it */
    uint64_t stalled;      /* since; 0 = not */
    uint64_t terminated;   /* when it was told to stop; 0 = not */
    bool starting;
    struct {
        void (*answer)(void *context, int code, const char *reply); /* of the order that is not answered; NULL: there is none */
        void *context;
    } attach;
    uint64_t start_again; /* the last time that its start had failed: when it is tried again */
    struct sim_event start, boot;
};

static struct resource resources[LIMIT_GROUPS];
static struct node nodes[SIM_NODES + 1];
static struct sim_event tick;
static struct {
    bool running;
    unsigned by, target;
    uint64_t boot; /* of `by` */
    struct sim_event event;
    uint64_t extra_ns;
    unsigned failures;
} fencing;

static unsigned count(void)
{
    return sim_config()->nodes;
}

/* ---- fencing ---- */

static void on_boot(struct sim_event *event)
{
    struct node *node = container_of(event, struct node, boot);

    sim_power_on((unsigned)(node - nodes));
}

static void on_fenced(struct sim_event *event)
{
    struct host *by = &hosts[fencing.by], *target = &hosts[fencing.target];
    uint32_t ring = bus_ring(by);
    bool asked = by->powered && !by->frozen && by->boot == fencing.boot;

    fencing.running = false;
    if (fencing.failures) {
        fencing.failures--;
        sim_trace(by->id, "fencing of node%u failed", target->id);
        return;
    }
    if (!asked && sim_random(3)) /* the request died with who made it; or it did not */
        return;
    sim_trace(by->id, "node%u is fenced", target->id);
    sim_count("fencings", 1);
    sim_power_cut(target->id);
    if (!nodes[target->id].boot.slot)
        sim_at(&nodes[target->id].boot, sim_now() + world_between(2000, 8000) * SIM_MS);
    if (!asked)
        return;
    fencer_record(by, target->id);
    for (unsigned i = 1; i <= count(); i++)
        if (ring & 1u << i)
            nodes[i].clean |= 1u << target->id;
}

static void fence(unsigned by, unsigned target)
{
    uint64_t delay = world_between(300, 1700) * SIM_MS + fencing.extra_ns;

    if (fencing.running)
        return;
    if (sim_config()->two_node && target == 1)
        delay += 2000ull * SIM_MS; /* pcmk_delay_base: node1 wins */
    fencing.running = true;
    fencing.by = by;
    fencing.target = target;
    fencing.boot = hosts[by].boot;
    fencing.event.run = on_fenced;
    sim_at(&fencing.event, sim_now() + delay);
    sim_trace(by, "fences node%u", target);
}

void sim_fencing_delay(uint64_t ns, unsigned failures)
{
    fencing.extra_ns = ns;
    fencing.failures = failures;
}

/* Whom this ring has lost and not fenced yet. */
static unsigned unclean(unsigned dc)
{
    uint32_t ring = bus_ring(&hosts[dc]);

    for (unsigned i = 1; i <= count(); i++)
        if (!(ring & 1u << i) && !(nodes[dc].clean & 1u << i))
            return i;
    return 0;
}

/* ---- the daemon: ocf:halun:node ---- */

static void on_start(struct sim_event *event)
{
    struct node *node = container_of(event, struct node, start);
    struct host *host = &hosts[node - nodes];

    node->starting = false;
    if (host->powered && !host->frozen && bus_quorate(host) && !host->stopped_by_operator)
        host_start(host);
}

uint64_t sim_start_again(void)
{
    uint64_t last = 0;

    for (unsigned i = 1; i <= count(); i++)
        if (nodes[i].start_again > last)
            last = nodes[i].start_again;
    return last;
}

static void keep_daemon(unsigned n)
{
    struct host *host = &hosts[n];
    struct node *node = &nodes[n];

    if (host->running || node->starting || host->stopped_by_operator)
        return;
    node->starting = true;
    node->start.run = on_start;
    for (unsigned g = 0; g < sim_config()->groups; g++)
        node->scores[g] = SCORE_UNKNOWN;
    if (host->exit_code == 1 && host->starts) {
        node->start_again = sim_now() + START_FAILURE_MS * (uint64_t)SIM_MS;
        sim_at(&node->start, node->start_again);
    } else { /* a failure is noticed by the monitor */
        sim_at(&node->start, sim_now() + world_between(200, 5000) * SIM_MS);
    }
}

static void terminate(unsigned n)
{
    struct node *node = &nodes[n];

    if (!hosts[n].running || hosts[n].frozen)
        return;
    if (!node->terminated) {
        node->terminated = sim_now();
        loop_signal(&hosts[n], SIGTERM);
    } else if (sim_now() - node->terminated > 20000ull * SIM_MS) {
        sim_trace(n, "stop takes too long: killed");
        host_ended(&hosts[n], -1);
    }
}

/* no-quorum-policy=stop, and a daemon that does not answer its monitor. */
static void look_after_daemon(unsigned n)
{
    struct host *host = &hosts[n];
    struct node *node = &nodes[n];

    if (!host->running)
        node->terminated = 0;
    if (!host->powered || host->frozen)
        return;
    if (bus_quorate(host) || !host->running)
        node->lost_quorum = 0;
    else if (!node->lost_quorum)
        node->lost_quorum = sim_now();
    if (!host->stalled)
        node->stalled = 0;
    else if (!node->stalled)
        node->stalled = sim_now();
    if (node->lost_quorum && sim_now() - node->lost_quorum > 1500ull * SIM_MS)
        terminate(n);
    if (host->stopped_by_operator && host->running)
        terminate(n);
    if (node->stalled && sim_now() - node->stalled > 25000ull * SIM_MS) {
        host_ended(host, -1);
        host->stalled = false;
    }
}

/* ---- scores ---- */

static void scores_told(void *context, int code, const char *reply)
{
    struct node *node = context;
    unsigned n = (unsigned)(node - nodes);
    json_t *status = code ? NULL : json_loads(reply, 0, NULL);

    node->asking = false;
    node->ask_scores = sim_now() + world_between(MONITOR_MS, MONITOR_MS + 1000) * SIM_MS;
    for (unsigned g = 0; status && g < sim_config()->groups; g++) {
        char name[16];
        json_t *group;
        snprintf(name, sizeof name, "g%u", g);
        world_inside = &hosts[n];
        group = hosts[n].entry->find_group(status, name);
        node->scores[g] = group && (sim_group_nodes(g) & 1u << n)
                              ? hosts[n].entry->score(status, group)
                              : -1;
        world_inside = NULL;
    }
    json_decref(status);
}

static void ask_scores(unsigned n)
{
    struct node *node = &nodes[n];

    if (node->asking || sim_now() < node->ask_scores || !sim_ready(n) || sim_frozen(n))
        return;
    node->asking = true;
    control_ask(&hosts[n], "status", "{\"detail\":false}", scores_told, node);
}

/* The agents are told that something changed. */
static void notify(void)
{
    for (unsigned i = 1; i <= count(); i++)
        nodes[i].ask_scores = sim_now();
}

/* ---- groups: ocf:halun:group ---- */

static void act(struct resource *resource);

static void on_again(struct sim_event *event)
{
    act(container_of(event, struct resource, again));
}

static void action_over(struct resource *resource, bool good)
{
    unsigned g = (unsigned)(resource - resources);

    sim_trace(resource->node, "%s of g%u: %s", resource->action == PROMOTE ? "promote" : "demote", g,
              good ? "done" : "failed");
    if (!good)
        nodes[resource->node].failed_until[g] = sim_now() + GROUP_FAILURE_MS * (uint64_t)SIM_MS;
    else
        sim_count(resource->action == PROMOTE ? "promotions" : "demotions", 1);
    if (good)
        resource->demoted = resource->action == PROMOTE ? 0 : resource->node;
    resource->action = NOTHING;
    notify();
}

static void acted(void *context, int code, const char *reply)
{
    struct resource *resource = context;

    if (resource->action == NOTHING)
        return;
    if (!code) {
        action_over(resource, true);
    } else if (code == CONTROL_AGAIN && sim_now() < resource->deadline) {
        resource->again.run = on_again;
        sim_at(&resource->again, sim_now() + PAUSE_MS * SIM_MS);
    } else {
        if (code > 0)
            sim_trace(resource->node, "agent: %s", reply);
        action_over(resource, false);
    }
}

static void act(struct resource *resource)
{
    char arguments[64];

    snprintf(arguments, sizeof arguments,
             resource->action == PROMOTE ? "{\"group\":\"g%u\"}"
                                         : "{\"group\":\"g%u\",\"handover\":true}",
             (unsigned)(resource - resources));
    control_ask(&hosts[resource->node],
                resource->action == PROMOTE ? "group.promote" : "group.demote", arguments, acted,
                resource);
}

static void begin(struct resource *resource, enum action action, unsigned node)
{
    sim_trace(node, "%s g%u", action == PROMOTE ? "promote" : "demote",
              (unsigned)(resource - resources));
    resource->action = action;
    resource->node = node;
    resource->start = hosts[node].starts;
    resource->deadline = sim_now() + ACTION_MS * (uint64_t)SIM_MS;
    act(resource);
}

static unsigned promoted(uint32_t ring, unsigned g)
{
    for (unsigned i = 1; i <= count(); i++) {
        const struct shared_state *state = ring & 1u << i ? sim_shared(i) : NULL;
        if (state && state->groups[g].owner == i && (state->members & 1u << i))
            return i;
    }
    return 0;
}

static unsigned best(uint32_t ring, unsigned g)
{
    unsigned found = 0;
    int score = -1;

    for (unsigned i = 1; i <= count(); i++) {
        int mine = nodes[i].scores[g];
        if (!(ring & 1u << i) || !(sim_group_nodes(g) & 1u << i) || !sim_ready(i) ||
            hosts[i].stopped_by_operator || mine < 0 || sim_now() < nodes[i].failed_until[g])
            continue;
        if (resources[g].wanted == i)
            mine = 1000000;
        if (mine > score) {
            score = mine;
            found = i;
        }
    }
    return found;
}

static void initialized(void *context, int code, const char *reply)
{
    struct resource *resource = context;

    if (code && code != CONTROL_REFUSED)
        resource->initialized = false; /* the operator tries again */
    notify();
}

/* The first start of a new array, once: on the group's first node, both copies empty and so equal. */
static void initialize(struct resource *resource, unsigned g)
{
    unsigned node = (unsigned)__builtin_ctz(sim_group_nodes(g));
    char arguments[64];

    for (unsigned i = 1; i <= count(); i++)
        if (!sim_ready(i))
            return;
    resource->initialized = true;
    snprintf(arguments, sizeof arguments, "{\"group\":\"g%u\",\"skip_sync\":true}", g);
    control_ask(&hosts[node], "group.init", arguments, initialized, resource);
}

static void keep_promoted(unsigned dc, unsigned g)
{
    struct resource *resource = &resources[g];
    uint32_t ring = bus_ring(&hosts[dc]);
    const struct shared_state *state = sim_shared(dc);
    unsigned owner, target;

    if (resource->action != NOTHING) {
        if (hosts[resource->node].running && hosts[resource->node].starts == resource->start)
            return;
        resource->action = NOTHING; /* it went with its daemon */
        sim_cancel(&resource->again);
    }
    if (!resource->initialized && count() > 1 && state && !state->groups[g].current) {
        initialize(resource, g);
        return;
    }
    owner = promoted(ring, g);
    if (owner == resource->demoted)
        owner = 0; /* whatever it does until the next one is promoted */
    target = best(ring, g);
    if (owner && hosts[owner].stopped_by_operator)
        return;
    if (!owner && target)
        begin(resource, PROMOTE, target);
    else if (owner && target && owner != target)
        begin(resource, DEMOTE, owner);
}

void sim_switch(unsigned group, unsigned to)
{
    sim_trace(to, "the operator moves g%u here", group);
    resources[group].wanted = to;
}

/* ---- the operator's stop, start and growth ---- */

static void resized(void *context, int code, const char *reply)
{
    sim_trace(0, "replica.resize ended with %d: %s", code, reply);
}

void sim_resize(unsigned group, unsigned node)
{
    char arguments[64];

    snprintf(arguments, sizeof arguments, "{\"group\":\"g%u\"}", group);
    control_ask(&hosts[node], "replica.resize", arguments, resized, NULL);
}

void sim_order(unsigned node, const char *method, const char *arguments,
               void (*answer)(void *context, int code, const char *reply), void *context)
{
    sim_trace(node, "the operator orders %s %s", method, arguments);
    control_ask(&hosts[node], method, arguments, answer, context);
}

void sim_stop(unsigned node)
{
    sim_trace(node, "the operator stops the daemon");
    hosts[node].stopped_by_operator = true;
}

void sim_start(unsigned node)
{
    hosts[node].stopped_by_operator = false;
}

static void attach_answered(void *context, int code, const char *reply)
{
    struct node *node = context;
    void (*answer)(void *context, int code, const char *reply) = node->attach.answer;

    node->attach.answer = NULL;
    answer(node->attach.context, code, reply);
}

void sim_attach(unsigned group, unsigned node, void (*answer)(void *context, int code, const char *reply), void *context)
{
    char arguments[64];

    snprintf(arguments, sizeof arguments, "{\"group\":\"g%u\"}", group);
    nodes[node].attach.answer = answer;
    nodes[node].attach.context = context;
    sim_order(node, "replica.attach", arguments, attach_answered, &nodes[node]);
}

static void attached(void *context, int code, const char *reply)
{
    sim_trace(0, "replica.attach ended with %d: %s", code, reply);
    sim_count(code ? "disks not attached" : "disks attached", 1);
}

/* A disk that was given up is used again when the daemon attaches it anew: the operator has repaired it. One who looks after
 * copies gives the order for that at times, instead of starting the daemon anew. */
static void repair(unsigned n)
{
    bool may_order = sim_config()->faults & 1u << SIM_COPIES && !nodes[n].terminated;
    struct replica_status status;

    if (nodes[n].attach.answer)
        return;
    for (unsigned g = 0; g < sim_config()->groups; g++)
        if (sim_ready(n) && !hosts[n].disk_error && !hosts[n].read_error && sim_replica(n, g, &status) &&
            (status.disk == DISK_FAILED || status.disk == DISK_DISKLESS)) {
            if (may_order && sim_random(2)) {
                sim_attach(g, n, attached, NULL);
                return;
            }
            if (!nodes[n].terminated)
                sim_trace(n, "the operator starts the daemon anew for its disk");
            terminate(n);
            return;
        }
}

/* ---- the tick ---- */

static void decide(unsigned dc)
{
    unsigned lost = unclean(dc);

    if (lost) {
        fence(dc, lost);
        return;
    }
    for (unsigned i = 1; i <= count(); i++)
        if (bus_ring(&hosts[dc]) & 1u << i) {
            keep_daemon(i);
            ask_scores(i);
        }
    for (unsigned g = 0; g < sim_config()->groups; g++)
        keep_promoted(dc, g);
}

static void on_tick(struct sim_event *event)
{
    uint32_t done = 0;

    for (unsigned i = 1; i <= count(); i++) {
        uint32_t ring = bus_ring(&hosts[i]);
        look_after_daemon(i);
        repair(i);
        if (!bus_moves(&hosts[i])) /* who is lost is not known before the ring has formed anew, and nothing is decided */
            continue;
        nodes[i].clean &= ~ring;
        if ((done & 1u << i) || !bus_quorate(&hosts[i]))
            continue;
        done |= ring;
        decide(i);
    }
    sim_at(&tick, sim_now() + TICK_NS + sim_random(TICK_NS / 4));
}

void pacemaker_begin(void)
{
    memset(resources, 0, sizeof resources);
    memset(nodes, 0, sizeof nodes);
    memset(&fencing, 0, sizeof fencing);
    memset(&tick, 0, sizeof tick);
    for (unsigned i = 1; i <= SIM_NODES; i++) {
        nodes[i].boot.run = on_boot;
        nodes[i].clean = UINT32_MAX;
        for (unsigned g = 0; g < LIMIT_GROUPS; g++)
            nodes[i].scores[g] = SCORE_UNKNOWN;
    }
    tick.run = on_tick;
    sim_at(&tick, sim_now() + TICK_NS);
}

bool pacemaker_settled(void)
{
    uint32_t all = ((1u << count()) - 1) << 1;

    for (unsigned i = 1; i <= count(); i++) {
        const struct shared_state *state = sim_shared(i);
        if (!sim_ready(i) || !sim_serves(i) || !state || state->members != all)
            return false;
        for (unsigned g = 0; g < sim_config()->groups; g++) {
            struct replica_status status;
            if (!state->groups[g].owner || resources[g].action != NOTHING)
                return false;
            if (sim_replica(i, g, &status) &&
                (status.connection != CONN_CONNECTED || status.disk != DISK_UP_TO_DATE ||
                 status.peer_disk != DISK_UP_TO_DATE || status.out_of_sync || status.suspended))
                return false;
            if (count() > 1 && state->groups[g].current != sim_group_nodes(g))
                return false;
        }
    }
    return true;
}
