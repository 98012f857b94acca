#include "tests/unit/cluster_sim.h"

#include "cluster/machine.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NO_RING = 15, EVENT_MESSAGE = 0, EVENT_GROUP = 1, RECORD = 1 << 20, EPOCH_WALL = 1000 };

struct sim_message {
    struct sim_message *next;
    unsigned kind, sender;
    uint32_t members, joined, left, down;
    size_t size;
    uint8_t bytes[];
};

void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "HALUN_SEED=%llu, %llu ms: ", (unsigned long long)sim->first_seed,
            (unsigned long long)(sim->now / SIM_MS));
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    for (unsigned i = 1; i <= sim->nodes; i++) {
        struct sim_node *n = &sim->node[i];
        struct cluster_view view = {0};
        if (n->machine)
            cluster_describe(n->machine, &view);
        fprintf(stderr,
                "  node%u %s%s%s ring %u: serving %d quorate %d joined %d members %x unproven %x "
                "epoch %llu version %llu: %s %s\n",
                i, n->up ? "up " : "off ", n->frozen ? "frozen " : "", n->running ? "running" : "",
                n->ring, view.serving, view.quorate, view.joined, view.members, view.unproven,
                (unsigned long long)view.epoch, (unsigned long long)view.version, view.waiting, n->why);
    }
    abort();
}

static void trace(struct sim *sim, unsigned node, const char *format, ...)
{
    va_list arguments;

    if (!sim->trace)
        return;
    fprintf(stderr, "[%7llu] node%u ", (unsigned long long)(sim->now / SIM_MS), node);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
}

uint32_t sim_random(struct sim *sim, uint32_t below)
{
    sim->seed = sim->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((sim->seed >> 33) % below);
}

static struct shared_state *fresh_state(const struct sim *sim)
{
    struct shared_state *state = shared_state_new(SIM_LUS, 1);

    assert(state);
    for (unsigned i = 0; i < SIM_LUS; i++) {
        state->lus[i].uuid[0] = (uint8_t)(i + 1);
        state->lus[i].capacity = 1000;
    }
    strcpy(state->groups[0].name, "g0");
    state->groups[0].nodes = state->groups[0].current = 0x6;
    state->groups[0].replicated = sim->replicated;
    return state;
}

/* --- the machine's updates ------------------------------------------------------------------- */

static void step(struct sim *sim, unsigned node, struct cluster_event *event);

static void push(struct sim_message ***list, unsigned *count, struct sim_message *m)
{
    if (!(*count & (*count + 1)) || !*list) /* grows at 2^k - 1 */
        *list = realloc(*list, (size_t)(*count + 1) * 2 * sizeof **list);
    (*list)[(*count)++] = m;
}

static struct sim_message *message_new(struct sim *sim, unsigned kind, unsigned sender,
                                       const void *bytes, size_t size)
{
    struct sim_message *m = calloc(1, sizeof *m + size);

    m->kind = kind;
    m->sender = sender;
    m->size = size;
    if (size)
        memcpy(m->bytes, bytes, size);
    m->next = sim->messages;
    sim->messages = m;
    return m;
}

static void answered(struct sim *sim, unsigned node, const struct cluster_update *update)
{
    struct sim_op *op = update->answer.cookie;

    if (op->answered)
        sim_fail(sim, "operation %u answered twice", (unsigned)(op - sim->ops));
    op->answered = sim->now;
    op->reason = update->answer.reason;
    op->acks = sim->node[node].acks;
    if (op->op.kind != SHARED_OP_PR_OUT)
        return;
    if (op->reason == REASON_GOOD) {
        sim->committed++;
        if (sim->node[node].lease <= sim->now)
            sim_fail(sim, "node%u answered without a lease", node);
        for (unsigned i = 1; i <= sim->nodes; i++)
            if (sim->node[i].machine && sim->node[i].serving && !sim->node[i].frozen &&
                sim->node[i].lease > sim->now && !sim_has(sim, i, op))
                sim_fail(sim, "answered on node%u before node%u has applied it", node, i);
    } else {
        sim->refused++;
    }
}

/* What one node may tell, every other member must have carried out. */
static void settled(struct sim *sim, unsigned node, uint64_t ticket)
{
    struct cluster_view own, other;

    if (!sim->node[node].unsettled--)
        sim_fail(sim, "node%u: more is settled than was applied", node);
    cluster_describe(sim->node[node].machine, &own);
    for (unsigned i = 1; i <= sim->nodes; i++) {
        const struct sim_node *n = &sim->node[i];
        if (!n->machine || n->fatal || !(own.members & 1u << i))
            continue;
        cluster_describe(n->machine, &other);
        if (!(other.members & 1u << i))
            continue; /* a new life, not a member yet */
        if (n->machine->order < ticket && other.epoch == own.epoch)
            sim_fail(sim, "node%u settled %llu before node%u applied it", node,
                     (unsigned long long)ticket, i);
        for (unsigned k = 0; k < n->ticket_count; k++)
            if (n->tickets[k] == ticket && other.epoch == own.epoch)
                sim_fail(sim, "node%u settled %llu before node%u carried it out", node,
                         (unsigned long long)ticket, i);
    }
}

/* Lost, late, or twice. */
static void send_receipt(struct sim *sim, unsigned node, const struct cluster_update *update)
{
    unsigned copies = sim->no_receipts ? 0 : sim_random(sim, 4) ? 1 : 2 * sim_random(sim, 2);

    for (unsigned i = 0; i < SIM_RECEIPTS && copies; i++) {
        struct sim_receipt *r = &sim->receipts[i];
        if (r->due)
            continue;
        r->due = sim->now + (sim_random(sim, 8) ? sim_random(sim, 4) : sim_random(sim, 4000)) * SIM_MS;
        r->from = node;
        r->to = update->receipt.node;
        memcpy(r->bytes, update->receipt.bytes, sizeof r->bytes);
        copies--;
    }
}

static void take(struct sim *sim, unsigned node, const struct cluster_update *update)
{
    struct sim_node *n = &sim->node[node];
    struct cluster_view view;
    struct writer w;

    switch (update->kind) {
    case CLUSTER_SEND_RECEIPT:
        send_receipt(sim, node, update);
        break;
    case CLUSTER_SEND:
        if (sim->no_acks && update->send.bytes[3] == MESSAGE_ACK)
            break;
        push(&n->outbox, &n->outbox_count,
             message_new(sim, EVENT_MESSAGE, node, update->send.bytes, update->send.size));
        n->acks += update->send.bytes[3] == MESSAGE_ACK;
        n->beats += update->send.bytes[3] == MESSAGE_HEARTBEAT;
        break;
    case CLUSTER_PERSIST:
        n->wanted = update->sequence;
        break;
    case CLUSTER_SETTLED:
        settled(sim, node, update->ticket);
        break;
    case CLUSTER_APPLY:
        n->unsettled++;
        assert(n->ticket_count < 1024);
        n->tickets[n->ticket_count] = update->ticket;
        n->ticket_due[n->ticket_count++] =
            sim->now + (sim_random(sim, 8) ? sim_random(sim, 5) : sim_random(sim, 800)) * SIM_MS;
        break;
    case CLUSTER_ANSWER:
        answered(sim, node, update);
        break;
    case CLUSTER_VIEW:
        cluster_describe(n->machine, &view);
        n->serving = view.serving;
        trace(sim, node, "view serving %d joined %d members %x unproven %x epoch %llu: %s",
              view.serving, view.joined, view.members, view.unproven,
              (unsigned long long)view.epoch, view.waiting);
        break;
    case CLUSTER_LEASE:
        n->lease = update->lease;
        break;
    case CLUSTER_CONSULTED: {
        struct cluster_event answer = {.kind = CLUSTER_ANSWER_CONSULT};
        answer.opinion.node = update->consulted.node;
        answer.opinion.number = update->consulted.number;
        answer.opinion.good = update->consulted.digest[0] != node;
        answer.opinion.why = "it has another file";
        assert(n->opinion_count < 8);
        n->opinions[n->opinion_count++] = answer;
        break;
    }
    case CLUSTER_OPINION:
        if (update->opinion.good)
            n->agreeing |= 1u << update->opinion.node;
        else
            n->refusing |= 1u << update->opinion.node;
        if (!update->opinion.good && strcmp(update->opinion.why, "it has another file"))
            sim_fail(sim, "an opinion was garbled: %s", update->opinion.why);
        break;
    case CLUSTER_ASKED:
        n->asked++;
        n->asked_by = update->asked.node;
        break;
    case CLUSTER_LOG:
        trace(sim, node, "%s", update->log.text);
        if (strstr(update->log.text, "together again") && n->machine->lease > sim->now)
            sim_fail(sim, "node%u serves those who are back on a lease of before", node);
        if (strstr(update->log.text, "state differs"))
            sim_fail(sim, "node%u: %s", node, update->log.text);
        if (strstr(update->log.text, "cold start")) {
            sim->cold_starts++;
            for (unsigned i = 0; i < sim->op_count; i++)
                if (!sim->ops[i].op.aptpl)
                    sim->ops[i].lost_ok = true;
        }
        break;
    case CLUSTER_FATAL:
        trace(sim, node, "FATAL %s", update->log.text);
        if (strstr(update->log.text, "cannot know") || strstr(update->log.text, "cannot decode"))
            sim_fail(sim, "node%u: %s", node, update->log.text);
        n->fatal = true;
        sim->fatals++;
        snprintf(n->why, sizeof n->why, "%s", update->log.text);
        break;
    }
    (void)w;
}

static void step(struct sim *sim, unsigned node, struct cluster_event *event)
{
    struct sim_node *n = &sim->node[node];
    bool more;

    if (!n->machine)
        return;
    do {
        event->now = sim->now;
        event->wall = sim->now + EPOCH_WALL * 1000ull * SIM_MS;
        cluster_step(n->machine, event, sim->updates);
        for (unsigned i = 0; i < sim->updates->count; i++)
            take(sim, node, &sim->updates->updates[i]);
        more = sim->updates->more;
        event->kind = CLUSTER_MORE;
    } while (more);
    while (n->opinion_count) {
        struct cluster_event opinion = n->opinions[--n->opinion_count];
        step(sim, node, &opinion);
    }
}

/* --- hosts and rings ------------------------------------------------------------------------- */

/* Hands a host what the ring's log has up to `upto`. */
static void receive(struct sim *sim, unsigned node, unsigned upto)
{
    struct sim_node *n = &sim->node[node];
    struct sim_ring *ring = &sim->ring[n->ring];

    for (; n->reach < upto; n->reach++)
        if (n->running)
            push(&n->queue, &n->queue_count, ring->log[n->reach]);
}

static void append(struct sim *sim, unsigned ring, struct sim_message *m)
{
    push(&sim->ring[ring].log, &sim->ring[ring].log_count, m);
}

static uint32_t daemons(const struct sim *sim, uint32_t hosts)
{
    uint32_t bits = 0;

    for (unsigned i = 1; i <= sim->nodes; i++)
        if ((hosts & 1u << i) && sim->node[i].running)
            bits |= 1u << i;
    return bits;
}

static struct sim_message *group_message(struct sim *sim, uint32_t members, uint32_t joined,
                                         uint32_t left, uint32_t down)
{
    struct sim_message *m = message_new(sim, EVENT_GROUP, 0, NULL, 0);

    m->members = members;
    m->joined = joined;
    m->left = left;
    m->down = down;
    return m;
}

static unsigned free_ring(struct sim *sim)
{
    for (unsigned i = 0; i < NO_RING; i++)
        if (!sim->ring[i].used)
            return i;
    sim_fail(sim, "too many rings");
    return 0;
}

static void ring_release(struct sim_ring *ring)
{
    free(ring->log);
    memset(ring, 0, sizeof *ring);
}

static void set_quorum(struct sim *sim, unsigned node)
{
    struct sim_node *n = &sim->node[node];
    unsigned hosts = (unsigned)__builtin_popcount(sim->ring[n->ring].members);
    struct cluster_event event = {.kind = CLUSTER_QUORUM};

    if (hosts == sim->nodes)
        n->seen_all = true;
    n->quorate = sim->nodes == 2 ? n->seen_all : hosts * 2 > sim->nodes;
    event.quorate = n->quorate;
    step(sim, node, &event);
}

/* The daemons that a host of the ring knows of when it has `upto` messages of the log. */
static uint32_t known_daemons(const struct sim_ring *ring, unsigned upto)
{
    uint32_t group = ring->group;

    for (unsigned i = 0; i < upto; i++)
        if (ring->log[i]->kind == EVENT_GROUP)
            group = ring->log[i]->members;
    return group;
}

/* The ring of these hosts forms anew: some keep together, others drop out of it. EVS: who stays together
 * gets the same messages, then the change of the group. */
static void ring_split(struct sim *sim, unsigned from, uint32_t side)
{
    struct sim_ring *old = &sim->ring[from];
    unsigned to = free_ring(sim), most = 0;
    uint32_t known, together = daemons(sim, side);

    for (unsigned i = 1; i <= sim->nodes; i++)
        if ((side & 1u << i) && sim->node[i].reach > most)
            most = sim->node[i].reach;
    known = known_daemons(old, most);
    old->broken = true;
    sim->ring[to].used = true;
    sim->ring[to].members = side;
    sim->ring[to].group = known;
    for (unsigned i = 1; i <= sim->nodes; i++)
        if (side & 1u << i) {
            receive(sim, i, most);
            sim->node[i].ring = to;
            sim->node[i].reach = 0;
            old->members &= ~(1u << i);
        }
    append(sim, to, group_message(sim, together, together & ~known, known & side & ~together,
                                  known & ~side));
    for (unsigned i = 1; i <= sim->nodes; i++)
        if (side & 1u << i) {
            receive(sim, i, sim->ring[to].log_count);
            if (sim->node[i].running && !sim->node[i].frozen)
                set_quorum(sim, i);
        }
    if (!old->members)
        ring_release(old);
}

static void ring_merge(struct sim *sim, unsigned a, unsigned b)
{
    unsigned to = free_ring(sim);
    struct sim_ring *ring = &sim->ring[to];
    uint32_t sides[2] = {sim->ring[a].members, sim->ring[b].members};
    unsigned old[2] = {a, b};

    ring->used = true;
    ring->members = sides[0] | sides[1];
    ring->group = daemons(sim, ring->members);
    for (unsigned s = 0; s < 2; s++) {
        for (unsigned i = 1; i <= sim->nodes; i++)
            if (sides[s] & 1u << i) {
                struct sim_node *n = &sim->node[i];
                receive(sim, i, sim->ring[old[s]].log_count);
                n->ring = to;
                n->reach = 0;
                if (n->running && daemons(sim, sides[!s]))
                    push(&n->queue, &n->queue_count,
                         group_message(sim, daemons(sim, ring->members), daemons(sim, sides[!s]), 0,
                                       0));
            }
        ring_release(&sim->ring[old[s]]);
    }
    for (unsigned i = 1; i <= sim->nodes; i++)
        if ((ring->members & 1u << i) && sim->node[i].running && !sim->node[i].frozen)
            set_quorum(sim, i);
}

static void lose_token(struct sim *sim, unsigned ring)
{
    if (!sim->ring[ring].forming) {
        sim->ring[ring].forming = true;
        sim->ring[ring].form_at = sim->now + SIM_TOKEN;
    }
}

static bool talks(const struct sim *sim, unsigned a, unsigned b)
{
    const struct sim_node *x = &sim->node[a], *y = &sim->node[b];

    return x->up && y->up && !x->frozen && !y->frozen && sim->part[a] == sim->part[b];
}

/* Rings that lost somebody form anew after the token's timeout; rings that can reach each other merge. */
static void form_rings(struct sim *sim)
{
    for (unsigned r = 0; r < NO_RING; r++) {
        struct sim_ring *ring = &sim->ring[r];
        bool whole = true;
        if (!ring->used)
            continue;
        for (unsigned a = 1; a <= sim->nodes; a++)
            for (unsigned b = 1; b <= sim->nodes; b++)
                if ((ring->members & 1u << a) && (ring->members & 1u << b) && !talks(sim, a, b))
                    whole = false;
        if (whole && !ring->broken) {
            ring->forming = false;
            continue;
        }
        lose_token(sim, r);
        if (sim->now < ring->form_at)
            continue;
        for (unsigned a = 1; a <= sim->nodes; a++) {
            uint32_t side = 0;
            if (!ring->used || !(ring->members & 1u << a) || !sim->node[a].up ||
                sim->node[a].frozen)
                continue;
            for (unsigned b = 1; b <= sim->nodes; b++)
                if ((ring->members & 1u << b) && talks(sim, a, b))
                    side |= 1u << b;
            ring_split(sim, r, side);
        }
        /* Dead hosts leave an empty ring; frozen ones stay in theirs until they thaw. */
        if (ring->used) {
            uint32_t dead = 0;
            for (unsigned a = 1; a <= sim->nodes; a++)
                if ((ring->members & 1u << a) && !sim->node[a].up)
                    dead |= 1u << a;
            ring->members &= ~dead;
            for (unsigned a = 1; a <= sim->nodes; a++)
                if (dead & 1u << a)
                    sim->node[a].ring = NO_RING;
            if (!ring->members)
                ring_release(ring);
        }
    }
    for (unsigned a = 1; a <= sim->nodes; a++)
        for (unsigned b = 1; b <= sim->nodes; b++) {
            unsigned x = sim->node[a].ring, y = sim->node[b].ring;
            if (x != y && x != NO_RING && y != NO_RING && talks(sim, a, b) &&
                !sim->ring[x].forming && !sim->ring[y].forming && !sim_random(sim, 200))
                ring_merge(sim, x, y);
        }
}

static void end_daemon(struct sim *sim, unsigned node)
{
    struct sim_node *n = &sim->node[node];

    if (!n->running)
        return;
    n->running = false;
    n->serving = false;
    n->fatal = false;
    n->lease = 0;
    n->queue_count = n->queue_next = 0;
    n->outbox_count = n->outbox_next = 0;
    n->ticket_count = 0;
    n->unsettled = 0;
    n->wanted = n->writing_due = 0;
    cluster_free(n->machine);
    n->machine = NULL;
    free(n->writing);
    n->writing = NULL;
    for (unsigned i = 0; i < sim->op_count; i++)
        if (sim->ops[i].node == node && !sim->ops[i].answered)
            sim->ops[i].answered = UINT64_MAX;
}

void sim_power_cut(struct sim *sim, unsigned node)
{
    struct sim_node *n = &sim->node[node];

    if (!n->up)
        return;
    trace(sim, node, "power cut");
    end_daemon(sim, node);
    n->up = n->frozen = n->seen_all = false;
    if (n->ring != NO_RING) {
        if (sim->ring[n->ring].members == 1u << node) {
            ring_release(&sim->ring[n->ring]);
            n->ring = NO_RING;
        } else {
            lose_token(sim, n->ring);
        }
    }
}

void sim_fence(struct sim *sim, unsigned node)
{
    trace(sim, node, "fenced");
    sim_power_cut(sim, node);
    sim->node[node].fenced_at = sim->now / (1000ull * SIM_MS) * (1000ull * SIM_MS) +
                                EPOCH_WALL * 1000ull * SIM_MS;
}

static void end_in_order(struct sim *sim, unsigned node)
{
    struct sim_node *n = &sim->node[node];
    unsigned ring = n->ring;
    bool was = n->running;

    end_daemon(sim, node);
    if (was && ring != NO_RING)
        append(sim, ring, group_message(sim, daemons(sim, sim->ring[ring].members), 0, 1u << node, 0));
}

void sim_kill(struct sim *sim, unsigned node)
{
    trace(sim, node, "daemon ends");
    end_in_order(sim, node);
}

void sim_leave(struct sim *sim, unsigned node)
{
    sim_kill(sim, node); /* the same reason to the machine: LEAVE and PROCDOWN are harmless */
}

void sim_freeze(struct sim *sim, unsigned node)
{
    trace(sim, node, "frozen");
    sim->node[node].frozen = true;
    if (sim->node[node].ring != NO_RING &&
        (sim->ring[sim->node[node].ring].members & ~(1u << node)))
        lose_token(sim, sim->node[node].ring);
}

void sim_thaw(struct sim *sim, unsigned node)
{
    trace(sim, node, "thawed");
    sim->node[node].frozen = false;
}

void sim_partition(struct sim *sim, uint32_t side)
{
    trace(sim, 0, "partition %x", side);
    for (unsigned i = 1; i <= sim->nodes; i++)
        sim->part[i] = side >> i & 1;
}

void sim_heal(struct sim *sim)
{
    trace(sim, 0, "healed");
    memset(sim->part, 0, sizeof sim->part);
}

void sim_boot(struct sim *sim, unsigned node)
{
    struct sim_node *n = &sim->node[node];
    struct cluster_setup setup = {.self = node, .lease_ns = SIM_LEASE, .hold_ns = SIM_HOLD};

    if (n->running || n->frozen)
        return;
    trace(sim, node, "boots");
    if (!n->up) {
        n->up = true;
        /* A dead host leaves its ring when that notices; a new life begins in a ring of its own. */
        if (n->ring != NO_RING) {
            unsigned old = n->ring;
            uint32_t rest = sim->ring[old].members & ~(1u << node);
            n->up = false;
            if (rest)
                for (unsigned i = 1; i <= sim->nodes; i++)
                    if (rest & 1u << i && sim->node[i].up && !sim->node[i].frozen) {
                        ring_split(sim, old, rest);
                        break;
                    }
            if (sim->ring[old].used)
                sim->ring[old].members &= ~(1u << node);
            n->up = true;
        }
        n->ring = free_ring(sim);
        sim->ring[n->ring].used = true;
        sim->ring[n->ring].members = 1u << node;
        n->reach = 0;
    }
    for (unsigned i = 1; i <= sim->nodes; i++) {
        setup.configured |= 1u << i;
        snprintf(setup.names[i], sizeof setup.names[i], "node%u", i);
    }
    setup.lease_proves = sim->lease_proves;
    setup.wire_max = n->wire_max;
    setup.incarnation = (uint64_t)node << 32 | ++n->starts;
    n->machine = cluster_new(&setup, fresh_state(sim));
    assert(n->machine);
    if (n->record && cluster_restore(n->machine, n->record, n->record_size))
        sim_fail(sim, "node%u cannot read its journal", node);
    receive(sim, node, sim->ring[n->ring].log_count); /* nothing: it was not running */
    n->running = true;
    n->tick_next = sim->now;
    n->why[0] = 0;
    append(sim, n->ring, group_message(sim, daemons(sim, sim->ring[n->ring].members), 1u << node, 0, 0));
    set_quorum(sim, node);
}

/* --- time ------------------------------------------------------------------------------------ */

static void disk(struct sim *sim, unsigned node)
{
    struct sim_node *n = &sim->node[node];
    struct cluster_event event = {.kind = CLUSTER_DURABLE};

    if (n->writing && sim->now >= n->writing_due) {
        free(n->record);
        n->record = n->writing;
        n->record_size = n->writing_size;
        n->writing = NULL;
        event.sequence = n->writing_sequence;
        step(sim, node, &event);
    }
    if (!n->writing && n->wanted) {
        static uint8_t room[RECORD];
        struct writer w = {.data = room, .size = sizeof room};

        cluster_record(n->machine, &w);
        assert(w.used <= w.size);
        n->writing = malloc(w.used);
        memcpy(n->writing, room, w.used);
        n->writing_size = w.used;
        n->writing_sequence = n->wanted;
        n->wanted = 0;
        n->writing_due = sim->now + sim_random(sim, 20) * SIM_MS;
    }
}

static void fencer(struct sim *sim, unsigned node)
{
    struct cluster_event event = {.kind = CLUSTER_FENCED};
    struct cluster_view view;

    cluster_describe(sim->node[node].machine, &view);
    for (unsigned i = 1; i <= sim->nodes; i++)
        if ((view.unproven & 1u << i) && sim->node[i].fenced_at) {
            event.kind = CLUSTER_FENCED;
            event.fenced.node = i;
            event.fenced.time = sim->node[i].fenced_at;
            step(sim, node, &event);
        }
}

static void run_node(struct sim *sim, unsigned node)
{
    struct sim_node *n = &sim->node[node];
    struct sim_ring *ring = &sim->ring[n->ring];
    struct cluster_event event = {0};

    if (n->fatal) { /* the daemon exits; Pacemaker starts it again some time */
        sim_kill(sim, node);
        return;
    }
    if (n->outbox_next < n->outbox_count && !ring->forming && !sim_random(sim, 2)) {
        /* Whoever sends holds the token: it has all before, and delivers its own at once or later. */
        receive(sim, node, ring->log_count);
        append(sim, n->ring, n->outbox[n->outbox_next++]);
        if (n->outbox_next == n->outbox_count)
            n->outbox_next = n->outbox_count = 0;
        if (sim_random(sim, 2))
            receive(sim, node, ring->log_count);
    }
    if (!ring->forming && n->reach < ring->log_count && !sim_random(sim, 2))
        receive(sim, node, n->reach + 1 + sim_random(sim, ring->log_count - n->reach));
    for (unsigned k = sim_random(sim, 4); k && n->queue_next < n->queue_count; k--) {
        struct sim_message *m = n->queue[n->queue_next++];
        if (m->kind == EVENT_MESSAGE) {
            event.kind = CLUSTER_MESSAGE;
            event.message.node = m->sender;
            event.message.bytes = m->bytes;
            event.message.size = m->size;
        } else {
            event.kind = CLUSTER_GROUP;
            event.group.members = m->members;
            event.group.joined = m->joined;
            event.group.left = m->left;
            event.group.down = m->down;
        }
        step(sim, node, &event);
        if (n->queue_next == n->queue_count)
            n->queue_next = n->queue_count = 0;
    }
    for (unsigned i = 0; i < n->ticket_count; i++)
        if (sim->now >= n->ticket_due[i]) {
            event.kind = CLUSTER_APPLIED;
            event.ticket = n->tickets[i];
            n->ticket_count--;
            n->tickets[i] = n->tickets[n->ticket_count];
            n->ticket_due[i] = n->ticket_due[n->ticket_count];
            step(sim, node, &event);
            i--;
        }
    disk(sim, node);
    if (sim->now >= n->tick_next) {
        n->tick_next = sim->now + 50 * SIM_MS;
        event.kind = CLUSTER_TICK;
        step(sim, node, &event);
        if (n->machine && !sim_random(sim, 5))
            fencer(sim, node);
    }
}

static void receipt_arrives(struct sim *sim, unsigned from, unsigned to, const uint8_t *bytes)
{
    struct cluster_event event = {.kind = CLUSTER_RECEIPT};

    event.receipt.node = from;
    event.receipt.bytes = bytes;
    event.receipt.size = MESSAGE_RECEIPT;
    step(sim, to, &event);
}

void sim_receipt(struct sim *sim, unsigned from, unsigned to, const struct message_receipt *receipt)
{
    uint8_t bytes[MESSAGE_RECEIPT];

    message_receipt_encode(receipt, bytes);
    receipt_arrives(sim, from, to, bytes);
}

/* Who is frozen reads them when it thaws, a later process those of the one before it. */
static void receipts(struct sim *sim)
{
    for (unsigned i = 0; i < SIM_RECEIPTS; i++) {
        struct sim_receipt *r = &sim->receipts[i];
        struct sim_node *n;

        if (!r->due || r->due > sim->now)
            continue;
        n = &sim->node[r->to];
        if (n->frozen)
            continue;
        if (n->up && n->running && !n->fatal)
            receipt_arrives(sim, r->from, r->to, r->bytes);
        r->due = 0;
    }
}

static void check_all(struct sim *sim)
{
    struct cluster_view a, b;

    for (unsigned i = 1; i <= sim->nodes; i++) {
        struct sim_node *n = &sim->node[i];
        if (!n->machine || n->frozen || n->lease <= sim->now)
            continue;
        cluster_describe(n->machine, &a);
        for (unsigned k = 1; k <= sim->nodes; k++) {
            struct sim_node *m = &sim->node[k];
            if (k == i || !m->machine || m->frozen || m->lease <= sim->now)
                continue;
            cluster_describe(m->machine, &b);
            if (!(a.members & 1u << k) && a.epoch >= b.epoch)
                sim_fail(sim, "node%u and node%u both serve, the first without the second", i, k);
        }
        for (unsigned k = 0; k < sim->op_count; k++)
            if (sim->ops[k].answered && sim->ops[k].answered != UINT64_MAX &&
                sim->ops[k].reason == REASON_GOOD && !sim->ops[k].lost_ok &&
                !sim_has(sim, i, &sim->ops[k]))
                sim_fail(sim, "node%u serves without operation %u of node%u, answered GOOD", i, k,
                         sim->ops[k].node);
    }
    for (unsigned k = 0; k < sim->op_count; k++)
        if (!sim->ops[k].answered && !sim->node[sim->ops[k].node].frozen &&
            sim->now > sim->ops[k].asked + SIM_HOLD + 12000ull * SIM_MS)
            sim_fail(sim, "operation %u of node%u is stuck", k, sim->ops[k].node);
}

void sim_run(struct sim *sim, uint64_t ns)
{
    uint64_t end = sim->now + ns, checked = 0;

    while (sim->now < end) {
        sim->now += (1 + sim_random(sim, 4)) * SIM_MS;
        form_rings(sim);
        for (unsigned k = 0; k < sim->nodes; k++) {
            unsigned i = 1 + (k + sim_random(sim, sim->nodes)) % sim->nodes;
            struct sim_node *n = &sim->node[i];
            if (n->up && n->running && !n->frozen && sim_random(sim, 4))
                run_node(sim, i);
        }
        receipts(sim);
        if (++checked % 8 == 0)
            check_all(sim);
    }
}

bool sim_until(struct sim *sim, bool (*done)(struct sim *sim), uint64_t limit)
{
    uint64_t end = sim->now + limit;

    while (sim->now < end) {
        if (done(sim))
            return true;
        sim_run(sim, 20 * SIM_MS);
    }
    return done(sim);
}

bool sim_all_serve(struct sim *sim)
{
    for (unsigned i = 1; i <= sim->nodes; i++) {
        struct cluster_view view;
        if (!sim->node[i].machine || sim->node[i].frozen || sim->node[i].lease <= sim->now)
            return false;
        cluster_describe(sim->node[i].machine, &view);
        if (view.members != ((1u << sim->nodes) - 1) << 1)
            return false;
    }
    return true;
}

bool sim_has(const struct sim *sim, unsigned node, const struct sim_op *op)
{
    const struct shared_lu *lu = &cluster_shared(sim->node[node].machine)->lus[op->op.lu];
    bool registered, holder;

    shared_lookup(lu, &op->op.nexus, &registered, &holder);
    return registered;
}

void sim_submit(struct sim *sim, unsigned node)
{
    static const uint8_t isid[6] = {0x80, 1, 2, 3, 4, 5};
    struct cluster_event event = {.kind = CLUSTER_REQUEST};
    struct sim_op *op;

    if (!sim->node[node].machine || sim->node[node].frozen || sim->op_count == SIM_OPS)
        return;
    op = &sim->ops[sim->op_count++];
    op->node = node;
    op->asked = sim->now;
    op->op.kind = SHARED_OP_PR_OUT;
    op->op.node = node;
    op->op.lu = sim->op_count % SIM_LUS;
    op->op.action = 6; /* REGISTER AND IGNORE EXISTING KEY */
    op->op.action_key = sim->op_count;
    op->op.aptpl = op->op.lu & 1;
    identity_from_iscsi(&op->op.nexus, "iqn.2020-01.org.example:host", isid,
                        (uint16_t)sim->op_count);
    event.request.op = &op->op;
    event.request.cookie = op;
    step(sim, node, &event);
}

void sim_request(struct sim *sim, unsigned node, const struct shared_op *wanted)
{
    struct cluster_event event = {.kind = CLUSTER_REQUEST};
    struct sim_op *op;

    if (!sim->node[node].machine || sim->node[node].frozen || sim->op_count == SIM_OPS)
        return;
    op = &sim->ops[sim->op_count++];
    op->node = node;
    op->asked = sim->now;
    op->lost_ok = true;
    op->op = *wanted;
    event.request.op = &op->op;
    event.request.cookie = op;
    step(sim, node, &event);
}

void sim_group_op(struct sim *sim, unsigned node, enum shared_op_kind kind)
{
    struct shared_op op = {.kind = kind, .node = node, .lu = SHARED_NO_LU};

    sim_request(sim, node, &op);
}

void sim_ask_handover(struct sim *sim, unsigned node)
{
    struct cluster_event event = {.kind = CLUSTER_HANDOVER};

    if (sim->node[node].machine && !sim->node[node].frozen)
        step(sim, node, &event);
}

/* Does every member have a file of its own? `refuses`: the node that has not, or 0. */
void sim_consult(struct sim *sim, unsigned node, unsigned refuses)
{
    struct cluster_event event = {.kind = CLUSTER_CONSULT};

    event.consult.number = 5;
    event.consult.digest[0] = (uint8_t)refuses;
    sim->node[node].agreeing = sim->node[node].refusing = 0;
    if (sim->node[node].machine && !sim->node[node].frozen)
        step(sim, node, &event);
}

struct sim *sim_new(unsigned nodes, uint64_t seed)
{
    struct sim *sim = calloc(1, sizeof *sim);

    sim->seed = seed;
    sim->nodes = nodes;
    sim->now = 1000000ull * SIM_MS;
    sim->updates = malloc(sizeof *sim->updates);
    for (unsigned i = 1; i <= nodes; i++)
        sim->node[i].ring = NO_RING;
    return sim;
}

void sim_free(struct sim *sim)
{
    for (unsigned i = 1; i <= sim->nodes; i++) {
        end_daemon(sim, i);
        free(sim->node[i].queue);
        free(sim->node[i].outbox);
        free(sim->node[i].record);
    }
    for (unsigned i = 0; i < NO_RING; i++)
        free(sim->ring[i].log);
    while (sim->messages) {
        struct sim_message *next = sim->messages->next;
        free(sim->messages);
        sim->messages = next;
    }
    free(sim->updates);
    free(sim);
}
