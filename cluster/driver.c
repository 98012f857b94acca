/* Carries the machine's updates out and feeds it: CPG or a loopback, journal, fencer, timers. */
#include "cluster/driver.h"

#include <errno.h>
#include <poll.h>
#include <qb/qbdefs.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "cluster/cluster.h"
#include "cluster/cpg.h"
#include "cluster/fencing.h"
#include "cluster/journal.h"
#include "cluster/receipts.h"
#include "target/base/container.h"

enum { TICK_MIN_MS = 10, TICK_MAX_MS = 100, ASK_FENCER_NS = 200000000 };

/* What came while the machine was at work (a callback submits or acknowledges, the loopback delivers). */
struct later {
    struct qb_list_head link;
    enum cluster_event_kind kind;
    uint64_t number;
    size_t size;
    uint8_t bytes[];
};

struct cluster_driver {
    qb_loop_t *loop;
    const struct config *config;
    struct cluster_callbacks callbacks;
    struct cluster *machine;
    struct cluster_updates *updates;
    unsigned self;
    bool busy, dead, fatal_told;
    char fatal[256], alarm[200];
    struct qb_list_head later;    /* struct later */
    struct qb_list_head incoming; /* requests not yet given to the machine */
    struct qb_list_head requests; /* requests that the machine has */
    struct cpg_wire *wire;        /* NULL: single-node mode */
    struct receipts *receipts;    /* NULL: acknowledgements go the ordered way alone */
    struct journal *journal;
    uint8_t *record;
    bool writing;
    uint64_t wanted, writing_sequence;
    struct fencing *fencing;
    uint64_t asked;
    unsigned asked_node;
    int tick; /* timerfd, or -1 */
    _Atomic uint64_t lease;
};

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void pump(struct cluster_driver *d);

/* --- updates --------------------------------------------------------------------------------- */

static void push_later(struct cluster_driver *d, enum cluster_event_kind kind, uint64_t number,
                       const void *bytes, size_t size)
{
    struct later *l = malloc(sizeof *l + size);

    if (!l) { /* the control thread cannot go on without what it has to remember */
        qb_log(LOG_CRIT, "no memory for an event of the cluster");
        abort();
    }
    l->kind = kind;
    l->number = number;
    l->size = size;
    if (size)
        memcpy(l->bytes, bytes, size);
    qb_list_add_tail(&l->link, &d->later);
}

static void start_writing(struct cluster_driver *d)
{
    struct writer w = {.data = d->record, .size = CLUSTER_RECORD_MAX};

    if (d->writing || !d->wanted || d->dead)
        return;
    if (d->callbacks.record && !d->callbacks.record(d->callbacks.context, cluster_shared(d->machine)))
        return;
    cluster_record(d->machine, &w);
    if (w.used > w.size) {
        snprintf(d->fatal, sizeof d->fatal, "the shared state is too large for the journal");
        d->dead = true;
        return;
    }
    d->writing = true;
    d->writing_sequence = d->wanted;
    d->wanted = 0;
    journal_write(d->journal, d->record, w.used);
}

static void end_request(struct cluster_request *request, enum scsi_reason reason, uint8_t field)
{
    qb_list_del(&request->link);
    request->answer(request, reason, field);
}

static void tell_view(struct cluster_driver *d, uint64_t ticket)
{
    struct cluster_view view;

    cluster_get_view(d, &view);
    d->callbacks.view(d->callbacks.context, ticket, cluster_shared(d->machine), &view);
}

static void carry_out(struct cluster_driver *d, const struct cluster_update *update)
{
    switch (update->kind) {
    case CLUSTER_SEND:
        if (d->wire)
            cpg_wire_send(d->wire, update->send.bytes, update->send.size);
        else
            push_later(d, CLUSTER_MESSAGE, d->self, update->send.bytes, update->send.size);
        break;
    case CLUSTER_SEND_RECEIPT:
        receipts_send(d->receipts, update->receipt.node, update->receipt.bytes, sizeof update->receipt.bytes);
        break;
    case CLUSTER_PERSIST:
        d->wanted = update->sequence;
        break;
    case CLUSTER_APPLY:
        d->callbacks.apply(d->callbacks.context, update->ticket, cluster_shared(d->machine),
                           cluster_effects(d->machine));
        break;
    case CLUSTER_SETTLED:
        d->callbacks.settled(d->callbacks.context, update->ticket);
        break;
    case CLUSTER_ANSWER:
        end_request(update->answer.cookie, update->answer.reason, update->answer.field_pointer);
        break;
    case CLUSTER_VIEW:
        tell_view(d, update->ticket);
        break;
    case CLUSTER_LEASE:
        atomic_store_explicit(&d->lease, d->dead ? 0 : update->lease, memory_order_release);
        break;
    case CLUSTER_ASKED:
        d->callbacks.asked(d->callbacks.context, update->asked.node, update->asked.group);
        break;
    case CLUSTER_CONSULTED:
        d->callbacks.consulted(d->callbacks.context, update->consulted.node,
                               update->consulted.number, update->consulted.digest);
        break;
    case CLUSTER_OPINION:
        d->callbacks.opinion(d->callbacks.context, update->opinion.node, update->opinion.number,
                             update->opinion.good, update->opinion.why);
        break;
    case CLUSTER_LOG:
        qb_log(update->log.priority, "%s", update->log.text);
        if (update->log.priority <= LOG_CRIT)
            snprintf(d->alarm, sizeof d->alarm, "%s", update->log.text);
        break;
    case CLUSTER_FATAL:
        d->dead = true;
        atomic_store_explicit(&d->lease, 0, memory_order_release);
        snprintf(d->fatal, sizeof d->fatal, "%s", update->log.text);
        break;
    }
}

static void step(struct cluster_driver *d, struct cluster_event *event)
{
    do {
        event->now = clock_ns(CLOCK_MONOTONIC);
        event->wall = clock_ns(CLOCK_REALTIME);
        cluster_step(d->machine, event, d->updates);
        for (unsigned i = 0; i < d->updates->count; i++)
            carry_out(d, &d->updates->updates[i]);
        event->kind = CLUSTER_MORE;
    } while (d->updates->more);
    start_writing(d);
}

static void step_later(struct cluster_driver *d)
{
    struct later *l = qb_list_entry(d->later.next, struct later, link);
    struct cluster_event event = {.kind = l->kind};

    qb_list_del(&l->link);
    if (l->kind == CLUSTER_MESSAGE) {
        event.message.node = (unsigned)l->number;
        event.message.bytes = l->bytes;
        event.message.size = l->size;
    } else if (l->kind == CLUSTER_APPLIED) {
        event.ticket = l->number;
    } else if (l->kind == CLUSTER_HANDOVER) {
        event.handover.group = (uint32_t)l->number;
    } else if (l->kind == CLUSTER_CONSULT) {
        event.consult.number = l->number;
        memcpy(event.consult.digest, l->bytes, sizeof event.consult.digest);
    } else if (l->kind == CLUSTER_ANSWER_CONSULT) {
        event.opinion.number = l->number;
        event.opinion.node = l->bytes[0];
        event.opinion.good = l->bytes[1];
        event.opinion.why = (const char *)l->bytes + 2;
    }
    step(d, &event);
    free(l);
}

static void step_request(struct cluster_driver *d)
{
    struct cluster_request *request = qb_list_entry(d->incoming.next, struct cluster_request, link);
    struct cluster_event event = {.kind = CLUSTER_REQUEST};

    qb_list_del(&request->link);
    qb_list_add_tail(&request->link, &d->requests);
    event.request.op = &request->op;
    event.request.cookie = request;
    step(d, &event);
}

/* A dead driver answers at once; the machine is not asked any more. */
static void refuse_all(struct cluster_driver *d, struct qb_list_head *list)
{
    while (!qb_list_empty(list))
        end_request(qb_list_entry(list->next, struct cluster_request, link),
                    REASON_NOT_READY_TRANSITION, 0xff);
}

static void tell_fatal(struct cluster_driver *d)
{
    atomic_store_explicit(&d->lease, 0, memory_order_release);
    if (!d->fatal_told) {
        d->fatal_told = true;
        tell_view(d, 0);
        qb_log(LOG_CRIT, "%s", d->fatal);
        d->callbacks.fatal(d->callbacks.context, d->fatal);
    }
    refuse_all(d, &d->requests);
    refuse_all(d, &d->incoming);
}

/* Lets the machine work off everything that is due. Callbacks come back in here and find it busy. */
static void pump(struct cluster_driver *d)
{
    if (d->busy)
        return;
    d->busy = true;
    while (!d->dead && (!qb_list_empty(&d->later) || !qb_list_empty(&d->incoming)))
        if (!qb_list_empty(&d->later))
            step_later(d);
        else
            step_request(d);
    if (d->dead)
        tell_fatal(d);
    d->busy = false;
}

static void feed(struct cluster_driver *d, struct cluster_event *event)
{
    if (!d->dead) {
        d->busy = true;
        step(d, event);
        d->busy = false;
    }
    pump(d);
}

/* --- events ---------------------------------------------------------------------------------- */

static void on_message(void *context, unsigned node, const void *bytes, size_t size)
{
    struct cluster_event event = {.kind = CLUSTER_MESSAGE};

    event.message.node = node;
    event.message.bytes = bytes;
    event.message.size = size;
    feed(context, &event);
}

static void on_receipt(void *context, unsigned node, const void *bytes, size_t size)
{
    struct cluster_event event = {.kind = CLUSTER_RECEIPT};

    event.receipt.node = node;
    event.receipt.bytes = bytes;
    event.receipt.size = size;
    feed(context, &event);
}

static void on_group(void *context, uint32_t members, uint32_t joined, uint32_t left, uint32_t down)
{
    struct cluster_event event = {.kind = CLUSTER_GROUP};

    event.group.members = members;
    event.group.joined = joined;
    event.group.left = left;
    event.group.down = down;
    feed(context, &event);
}

static void on_quorum(void *context, bool quorate)
{
    struct cluster_event event = {.kind = CLUSTER_QUORUM};

    event.quorate = quorate;
    feed(context, &event);
}

static void on_lost(void *context, const char *why)
{
    struct cluster_driver *d = context;

    d->dead = true;
    atomic_store_explicit(&d->lease, 0, memory_order_release);
    snprintf(d->fatal, sizeof d->fatal, "%s", why);
    pump(d); /* busy: whoever is at work tells at its end */
}

static void on_fenced(void *context, unsigned node, uint64_t time)
{
    struct cluster_event event = {.kind = CLUSTER_FENCED};

    event.fenced.node = node;
    event.fenced.time = time;
    feed(context, &event);
}

static int32_t on_written(int32_t fd, int32_t events, void *data)
{
    struct cluster_driver *d = data;
    struct cluster_event event = {.kind = CLUSTER_DURABLE, .sequence = d->writing_sequence};
    int result = journal_done(d->journal);

    if (!result)
        return 0;
    d->writing = false;
    if (result < 0) {
        d->dead = true;
        snprintf(d->fatal, sizeof d->fatal, "the journal in %.128s cannot be written: %s",
                 d->config->state_dir, strerror(-result));
        pump(d);
        return 0;
    }
    feed(d, &event);
    return 0;
}

/* Asks the fencer about the lost members, where its answer counts, one after the other: five times a second, as
 * commands wait, and when somebody has a reason. */
static void ask_fencer(struct cluster_driver *d, bool now_wanted)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    struct cluster_view view;

    if (!d->fencing || d->dead || (!now_wanted && now - d->asked < ASK_FENCER_NS))
        return;
    cluster_describe(d->machine, &view);
    if (!view.unproven || !view.provable)
        return;
    d->asked = now;
    for (unsigned i = 0; i < d->config->node_count; i++) {
        const struct config_node *node =
            &d->config->nodes[(d->asked_node + 1 + i) % d->config->node_count];
        if (!(view.unproven & 1u << node->id))
            continue;
        fencing_ask(d->fencing, node->id, node->name);
        d->asked_node = (unsigned)(node - d->config->nodes);
        return;
    }
}

static void tick(struct cluster_driver *d)
{
    struct cluster_event event = {.kind = CLUSTER_TICK};

    feed(d, &event);
    ask_fencer(d, false);
}

static int32_t on_tick(int32_t fd, int32_t events, void *data)
{
    uint64_t ticks; /* late ones count as one: the machine looks at the clock */

    if (read(fd, &ticks, sizeof ticks) == (ssize_t)sizeof ticks)
        tick(data);
    return 0;
}

/* Not a timer of the loop: libqb rounds the time to its next timer down to whole milliseconds and polls through the
 * rest, which would be 1 % of a core of a daemon that has nothing to do. */
static int start_ticks(struct cluster_driver *d)
{
    uint64_t ms = d->config->lease_ms / 24;
    struct itimerspec every;

    if (ms < TICK_MIN_MS)
        ms = TICK_MIN_MS;
    if (ms > TICK_MAX_MS)
        ms = TICK_MAX_MS;
    every.it_interval = every.it_value = (struct timespec){.tv_nsec = (long)(ms * 1000000u)};
    d->tick = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (d->tick < 0 || timerfd_settime(d->tick, 0, &every, NULL))
        return -errno;
    return qb_loop_poll_add(d->loop, QB_LOOP_HIGH, d->tick, POLLIN, d, on_tick);
}

/* --- start and stop -------------------------------------------------------------------------- */

static uint32_t node_bits(const struct config *config)
{
    uint32_t bits = 0;

    for (unsigned i = 0; i < config->node_count; i++)
        bits |= 1u << config->nodes[i].id;
    return bits;
}

/* The state of a new array: nothing reserved, nobody owner. Which copy of a replicated group is the good one
 * nobody knows before its first start (SHARED_OP_CURRENT). */
static struct shared_state *new_state(const struct config *config)
{
    struct shared_state *state = shared_state_new(config->lu_count, config->group_count);

    if (!state)
        return NULL;
    for (unsigned i = 0; i < config->lu_count; i++) {
        const struct config_lu *lu = &config->lus[i];
        memcpy(state->lus[i].uuid, lu->uuid, sizeof lu->uuid);
        state->lus[i].capacity = lu->block_size ? lu->size / lu->block_size : 0;
        state->lus[i].mode = SHARED_MODE_DEFAULTS;
    }
    for (unsigned i = 0; i < config->group_count; i++) {
        const struct config_group *group = &config->groups[i];
        uint32_t nodes = 0;
        for (unsigned k = 0; k < group->node_count; k++)
            nodes |= 1u << group->nodes[k];
        if (group->replication == REPLICATION_NONE || !nodes)
            nodes = node_bits(config);
        snprintf(state->groups[i].name, sizeof state->groups[i].name, "%s", group->name);
        state->groups[i].nodes = nodes;
        state->groups[i].current = group->replication == REPLICATION_NONE ? nodes : 0;
        state->groups[i].replicated = group->replication == REPLICATION_BUILTIN;
    }
    return state;
}

static int make_machine(struct cluster_driver *d, bool lease_proves)
{
    const struct config *config = d->config;
    struct cluster_setup setup = {.self = d->self, .configured = node_bits(config)};
    struct shared_state *state = new_state(config);

    setup.single = !config->corosync;
    if (setup.single)
        setup.configured = 1u << d->self;
    setup.lease_proves = lease_proves;
    setup.lease_ns = (uint64_t)config->lease_ms * 1000000u;
    setup.wire_max = (uint8_t)config->wire_max;
    setup.hold_ns = (uint64_t)config->hold_ms * 1000000u;
    setup.incarnation = clock_ns(CLOCK_REALTIME) ^ (uint64_t)getpid() << 40;
    memcpy(setup.config_digest, config->digest, sizeof setup.config_digest);
    memcpy(setup.cluster_uuid, config->cluster_uuid, sizeof setup.cluster_uuid);
    for (unsigned i = 0; i < config->node_count; i++)
        snprintf(setup.names[config->nodes[i].id], sizeof setup.names[0], "%s",
                 config->nodes[i].name);
    if (!state)
        return -ENOMEM;
    d->machine = cluster_new(&setup, state);
    if (!d->machine)
        shared_state_free(state);
    return d->machine ? 0 : -ENOMEM;
}

static int restore(struct cluster_driver *d, const uint8_t *record, size_t size, char *why)
{
    int error = record ? cluster_restore(d->machine, record, size) : 0;

    if (error == -ENOENT)
        snprintf(why, 256, "the journal in %.100s knows LUs or groups that the configuration lacks",
                 d->config->state_dir);
    else if (error)
        snprintf(why, 256, "the journal in %.100s does not fit the configuration: %s",
                 d->config->state_dir, strerror(-error));
    return error;
}

static void join_alone(struct cluster_driver *d)
{
    uint32_t self = 1u << d->self;

    on_group(d, self, self, 0, 0);
}

int cluster_start(struct cluster_driver **result, qb_loop_t *loop, const struct config *config,
                  const struct cluster_callbacks *callbacks, char *why)
{
    struct cluster_driver *d = calloc(1, sizeof *d);
    const struct cpg_wire_callbacks wire = {d, on_message, on_group, on_quorum, on_lost};
    uint8_t *record = NULL;
    bool lease_proves = false;
    size_t size = 0;
    int error;

    if (!d)
        return -ENOMEM;
    if (config->wire_max > WIRE_MAX) {
        snprintf(why, 256, "wire_max %u: this halund speaks versions %d to %d", config->wire_max,
                 WIRE_MIN, WIRE_MAX);
        free(d);
        return -EINVAL;
    }
    snprintf(why, 256, "no memory");
    d->loop = loop;
    d->config = config;
    d->callbacks = *callbacks;
    d->self = config->nodes[config->self].id;
    d->tick = -1;
    qb_list_init(&d->later);
    qb_list_init(&d->incoming);
    qb_list_init(&d->requests);
    d->updates = malloc(sizeof *d->updates);
    d->record = malloc(CLUSTER_RECORD_MAX);
    error = d->updates && d->record ? 0 : -ENOMEM;
    if (!error)
        error = journal_open(&d->journal, config->state_dir, config->cluster_uuid, &record, &size,
                             why);
    if (!error && config->corosync)
        error = cpg_wire_open(&d->wire, loop, config->cluster_name, d->self, &wire, &lease_proves,
                              why);
    if (!error)
        error = make_machine(d, lease_proves);
    if (!error)
        error = restore(d, record, size, why);
    free(record);
    if (!error && config->corosync && !(d->fencing = fencing_new(loop, on_fenced, d)))
        error = -ENOMEM;
    if (!error && qb_loop_poll_add(loop, QB_LOOP_HIGH, journal_fd(d->journal), POLLIN, d,
                                   on_written) < 0)
        error = -EIO;
    if (!error && config->corosync)
        d->receipts = receipts_open(loop, config, on_receipt, d);
    if (!error && (error = start_ticks(d)))
        snprintf(why, 256, "no timer for the cluster's clock: %s", strerror(-error));
    if (error) {
        cluster_stop(d);
        return error;
    }
    *result = d;
    tick(d);
    if (!config->corosync)
        join_alone(d);
    return 0;
}

void cluster_stop(struct cluster_driver *d)
{
    if (!d)
        return;
    d->dead = true;
    atomic_store_explicit(&d->lease, 0, memory_order_release);
    if (d->tick >= 0) {
        qb_loop_poll_del(d->loop, d->tick);
        close(d->tick);
    }
    refuse_all(d, &d->requests);
    refuse_all(d, &d->incoming);
    fencing_free(d->fencing);
    receipts_close(d->receipts);
    cpg_wire_close(d->wire);
    if (d->journal)
        qb_loop_poll_del(d->loop, journal_fd(d->journal));
    journal_close(d->journal);
    while (!qb_list_empty(&d->later)) {
        struct later *l = qb_list_entry(d->later.next, struct later, link);
        qb_list_del(&l->link);
        free(l);
    }
    cluster_free(d->machine);
    free(d->record);
    free(d->updates);
    free(d);
}

void cluster_submit(struct cluster_driver *d, struct cluster_request *request)
{
    qb_list_add_tail(&request->link, &d->incoming);
    pump(d);
}

void cluster_applied(struct cluster_driver *d, uint64_t ticket)
{
    if (!ticket || d->dead)
        return;
    push_later(d, CLUSTER_APPLIED, ticket, NULL, 0);
    pump(d);
}

void cluster_ask_handover(struct cluster_driver *d, unsigned group)
{
    /* Callbacks ask, too: in its turn. */
    push_later(d, CLUSTER_HANDOVER, group, NULL, 0);
    pump(d);
}

void cluster_consult(struct cluster_driver *d, uint64_t number, const uint8_t digest[32])
{
    push_later(d, CLUSTER_CONSULT, number, digest, 32);
    pump(d);
}

void cluster_give_opinion(struct cluster_driver *d, unsigned node, uint64_t number, bool good,
                          const char *why)
{
    char bytes[2 + MESSAGE_OPINION_TEXT + 1] = {(char)node, good};

    snprintf(bytes + 2, sizeof bytes - 2, "%s", why);
    push_later(d, CLUSTER_ANSWER_CONSULT, number, bytes, sizeof bytes);
    pump(d);
}

void cluster_look(struct cluster_driver *d)
{
    ask_fencer(d, true);
}

void cluster_record_ready(struct cluster_driver *driver)
{
    start_writing(driver);
    pump(driver);
}

void cluster_force_start(struct cluster_driver *d)
{
    struct cluster_event event = {.kind = CLUSTER_FORCE};

    feed(d, &event);
}

const struct shared_state *cluster_state(const struct cluster_driver *d)
{
    return cluster_shared(d->machine);
}

uint32_t cluster_present(const struct cluster_driver *d)
{
    return cluster_group(d->machine);
}

void cluster_get_view(const struct cluster_driver *d, struct cluster_view *view)
{
    cluster_describe(d->machine, view);
    view->digest = cluster_digest(d->machine);
    snprintf(view->alarm, sizeof view->alarm, "%s", d->alarm);
    if (d->dead) {
        view->serving = false;
        snprintf(view->waiting, sizeof view->waiting, "%.150s", d->fatal);
    }
}

const _Atomic uint64_t *cluster_lease(const struct cluster_driver *d)
{
    return &d->lease;
}
