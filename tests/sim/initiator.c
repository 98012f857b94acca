#include "tests/sim/initiator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/node/node.h"
#include "tests/sim/world.h"

enum {
    WIRE_NS = 60 * US,
    REFUSED_NS = 2 * SIM_MS,
};
#define SILENCE_NS (5000ull * SIM_MS) /* without a sign of life the connection is given up */

enum packet_kind { LOGIN, COMMAND, FUNCTION, HANG_UP, LOGIN_ANSWER, ANSWER, FUNCTION_ANSWER, OVER };

/* A command or function under way; outlives the caller's when the connection is lost first. */
struct outstanding {
    struct outstanding *next;      /* of all */
    struct sim_nexus *nexus;
    struct sim_command *command;   /* NULL: a function, or over */
    struct sim_tmf *tmf;
    struct outstanding *open_next; /* of its nexus */
};

struct packet {
    struct packet *next;
    enum packet_kind kind;
    uint64_t due;
    struct outstanding *of;
    bool silent;
    int number; /* status, response, success */
    uint8_t sense_length;
    uint8_t sense[LIMIT_SENSE];
    uint32_t length;
    uint8_t data[];
};

struct pipe {
    struct packet *first, **end;
    uint64_t due;
    struct sim_event event;
};

struct sim_nexus {
    struct sim_nexus *next; /* of all */
    unsigned node;
    char initiator[LIMIT_ISCSI_NAME + 1];
    uint8_t isid[6];
    struct nexus_identity identity;
    struct sim_nexus_callbacks callbacks;
    void *context;
    struct session *session; /* in the node; NULL: none (yet, any more) */
    unsigned start;          /* of the daemon that has the session */
    bool up, over;           /* logged in; nothing is called any more */
    bool leaving;
    uint64_t tag;
    struct outstanding *open;
    struct pipe to_node, from_node;
    struct sim_event watch;
    uint64_t stood_since; /* when the node was first seen to stand still; 0 = it runs */
};

static struct sim_nexus *all;
static struct outstanding *all_outstanding;

void initiators_begin(void)
{
    all = NULL;
    all_outstanding = NULL;
}

static void pipe_empty(struct pipe *pipe)
{
    sim_cancel(&pipe->event);
    while (pipe->first) {
        struct packet *next = pipe->first->next;
        free(pipe->first);
        pipe->first = next;
    }
    pipe->end = &pipe->first;
}

void initiators_end(void)
{
    while (all) {
        struct sim_nexus *next = all->next;
        pipe_empty(&all->to_node);
        pipe_empty(&all->from_node);
        sim_cancel(&all->watch);
        free(all);
        all = next;
    }
    while (all_outstanding) {
        struct outstanding *next = all_outstanding->next;
        free(all_outstanding);
        all_outstanding = next;
    }
}

const char *sim_initiator_name(unsigned n)
{
    static char names[64][40];

    snprintf(names[n % 64], sizeof names[0], "iqn.2026-11.sim:host%u", n);
    return names[n % 64];
}

uint16_t sim_rtpi(unsigned node)
{
    return (uint16_t)node;
}

void *sim_nexus_context(const struct sim_nexus *nexus)
{
    return nexus->context;
}

unsigned sim_nexus_node(const struct sim_nexus *nexus)
{
    return nexus->node;
}

const struct nexus_identity *sim_nexus_identity(const struct sim_nexus *nexus)
{
    return &nexus->identity;
}

/* ---- packets ---- */

static struct packet *packet_new(enum packet_kind kind, struct outstanding *of, const void *data,
                                 uint32_t length)
{
    struct packet *packet = calloc(1, sizeof *packet + length);

    packet->kind = kind;
    packet->of = of;
    packet->length = length;
    if (length)
        memcpy(packet->data, data, length);
    return packet;
}

static void post_packet(struct pipe *pipe, struct packet *packet, uint64_t latency)
{
    packet->due = sim_now() + latency;
    if (packet->due <= pipe->due)
        packet->due = pipe->due + 1;
    pipe->due = packet->due;
    *pipe->end = packet;
    pipe->end = &packet->next;
    if (!pipe->event.slot)
        sim_at(&pipe->event, pipe->first->due);
}

static struct packet *take(struct pipe *pipe)
{
    struct packet *packet = pipe->first;

    pipe->first = packet->next;
    if (!pipe->first)
        pipe->end = &pipe->first;
    return packet;
}

static void go_on(struct pipe *pipe)
{
    if (pipe->first && !pipe->event.slot)
        sim_at(&pipe->event, pipe->first->due);
}

/* ---- ending ---- */

static void end_command(struct outstanding *of, enum sim_outcome outcome)
{
    struct sim_command *command = of->command;
    struct outstanding **at = &of->nexus->open;

    while (*at != of)
        at = &(*at)->open_next;
    *at = of->open_next;
    of->command = NULL;
    command->outcome = outcome;
    command->ended = sim_now();
    command->done(command);
}

static void end_function(struct outstanding *of, bool lost, enum tmf_response response)
{
    struct sim_tmf *tmf = of->tmf;
    struct outstanding **at = &of->nexus->open;

    while (*at != of)
        at = &(*at)->open_next;
    *at = of->open_next;
    of->tmf = NULL;
    tmf->lost = lost;
    tmf->response = response;
    tmf->done(tmf);
}

static void end_all(struct sim_nexus *nexus)
{
    while (nexus->open)
        if (nexus->open->command)
            end_command(nexus->open, SIM_LOST);
        else
            end_function(nexus->open, true, TMF_REJECTED);
}

/* Tells its user once that it is gone. The memory stays until the run ends. */
static void end_nexus(struct sim_nexus *nexus)
{
    if (nexus->over)
        return;
    nexus->over = true;
    sim_cancel(&nexus->watch);
    pipe_empty(&nexus->from_node);
    end_all(nexus);
    if (!nexus->up)
        nexus->callbacks.logged_in(nexus, false);
    else if (nexus->leaving)
        nexus->callbacks.logged_out(nexus);
    else
        nexus->callbacks.lost(nexus);
}

static bool session_lives(const struct sim_nexus *nexus)
{
    return nexus->session && hosts[nexus->node].running && hosts[nexus->node].starts == nexus->start;
}

void initiators_process_ended(struct host *host, bool silent)
{
    for (struct sim_nexus *nexus = all; nexus; nexus = nexus->next) {
        if (nexus->node != host->id || nexus->over)
            continue;
        pipe_empty(&nexus->to_node);
        if (nexus->session && nexus->start == host->starts)
            nexus->session = NULL;
        if (silent)
            nexus->stood_since = sim_now();
        else
            post_packet(&nexus->from_node, packet_new(OVER, NULL, NULL, 0), world_latency(REFUSED_NS));
    }
}

/* ---- at the node ---- */

static void deliver_login(struct sim_nexus *nexus)
{
    struct host *host = &hosts[nexus->node];

    if (nexus->over)
        return;
    if (host->running) {
        world_inside = host;
        nexus->session = host->entry->login(nexus, nexus->initiator, nexus->isid);
        world_inside = NULL;
        nexus->start = host->starts;
    }
    if (!nexus->session)
        post_packet(&nexus->from_node, packet_new(LOGIN_ANSWER, NULL, NULL, 0), world_latency(WIRE_NS));
}

static void deliver(struct sim_nexus *nexus, const struct packet *packet)
{
    struct host *host = &hosts[nexus->node];
    const struct outstanding *of = packet->of;

    if (packet->kind == LOGIN) {
        deliver_login(nexus);
        return;
    }
    if (!session_lives(nexus))
        return;
    world_inside = host;
    if (packet->kind == HANG_UP) {
        host->entry->hang_up(nexus->session);
        nexus->session = NULL;
    } else if (packet->kind == COMMAND && of->command) {
        const struct sim_command *c = of->command;
        host->entry->command(nexus->session, packet->of, c->tag, c->lun, c->cdb, c->cdb_length,
                             c->attribute, packet->data, packet->length, c->expected_in);
    } else if (packet->kind == FUNCTION && of->tmf) {
        host->entry->tmf(nexus->session, packet->of, of->tmf->function, of->tmf->lun, of->tmf->tag);
    }
    world_inside = NULL;
}

static void on_to_node(struct sim_event *event)
{
    struct pipe *pipe = container_of(event, struct pipe, event);
    struct sim_nexus *nexus = container_of(pipe, struct sim_nexus, to_node);
    const struct host *host = &hosts[nexus->node];
    struct packet *packet;

    if (!host->powered || host->frozen) { /* sent again and again */
        sim_at(event, sim_now() + world_latency(300 * SIM_MS));
        return;
    }
    packet = take(pipe);
    deliver(nexus, packet);
    free(packet);
    go_on(pipe);
}

/* ---- at the initiator ---- */

static void answered(const struct packet *packet)
{
    struct sim_command *command = packet->of->command;
    uint32_t n = packet->length;

    if (!command)
        return;
    command->status = (uint8_t)packet->number;
    command->sense_length = packet->sense_length;
    memcpy(command->sense, packet->sense, packet->sense_length);
    if (n > command->expected_in)
        n = command->expected_in;
    command->data_in_length = n;
    if (n)
        memcpy(command->data_in, packet->data, n);
    end_command(packet->of, packet->silent ? SIM_ABORTED : SIM_ANSWERED);
}

static void on_from_node(struct sim_event *event)
{
    struct pipe *pipe = container_of(event, struct pipe, event);
    struct sim_nexus *nexus = container_of(pipe, struct sim_nexus, from_node);
    struct packet *packet = take(pipe);

    nexus->stood_since = 0;
    switch (packet->kind) {
    case LOGIN_ANSWER:
        if (packet->number && !nexus->up && !nexus->over) {
            nexus->up = true;
            nexus->callbacks.logged_in(nexus, true);
        } else {
            end_nexus(nexus);
        }
        break;
    case ANSWER:
        answered(packet);
        break;
    case FUNCTION_ANSWER:
        if (packet->of->tmf)
            end_function(packet->of, false, (enum tmf_response)packet->number);
        break;
    default:
        end_nexus(nexus);
    }
    free(packet);
    if (!nexus->over)
        go_on(pipe);
}

/* NOP-Out: a node that stands still for too long has lost the connection. */
static void on_watch(struct sim_event *event)
{
    struct sim_nexus *nexus = container_of(event, struct sim_nexus, watch);
    const struct host *host = &hosts[nexus->node];

    if (host_runs(host) && session_lives(nexus))
        nexus->stood_since = 0;
    else if (!nexus->stood_since)
        nexus->stood_since = sim_now();
    if (nexus->stood_since && sim_now() - nexus->stood_since >= SILENCE_NS) {
        if (session_lives(nexus))
            post_packet(&nexus->to_node, packet_new(HANG_UP, NULL, NULL, 0), world_latency(WIRE_NS));
        end_nexus(nexus);
        return;
    }
    sim_at(event, sim_now() + SILENCE_NS / 2);
}

/* ---- sim.h's users ---- */

struct sim_nexus *sim_login(unsigned node, const char *initiator, const uint8_t isid[6],
                            const struct sim_nexus_callbacks *callbacks, void *context)
{
    struct sim_nexus *nexus = calloc(1, sizeof *nexus);

    nexus->node = node;
    snprintf(nexus->initiator, sizeof nexus->initiator, "%s", initiator);
    memcpy(nexus->isid, isid, 6);
    identity_from_iscsi(&nexus->identity, initiator, isid, sim_rtpi(node));
    nexus->callbacks = *callbacks;
    nexus->context = context;
    nexus->to_node.end = &nexus->to_node.first;
    nexus->from_node.end = &nexus->from_node.first;
    nexus->to_node.event.run = on_to_node;
    nexus->from_node.event.run = on_from_node;
    nexus->watch.run = on_watch;
    nexus->next = all;
    all = nexus;
    post_packet(&nexus->to_node, packet_new(LOGIN, NULL, NULL, 0), world_latency(WIRE_NS));
    sim_at(&nexus->watch, sim_now() + SILENCE_NS / 2);
    return nexus;
}

void sim_logout(struct sim_nexus *nexus)
{
    if (nexus->over)
        return;
    nexus->leaving = true;
    post_packet(&nexus->to_node, packet_new(HANG_UP, NULL, NULL, 0), world_latency(WIRE_NS));
}

void sim_break(struct sim_nexus *nexus)
{
    if (nexus->over)
        return;
    post_packet(&nexus->to_node, packet_new(HANG_UP, NULL, NULL, 0), world_latency(WIRE_NS));
    pipe_empty(&nexus->from_node);
    post_packet(&nexus->from_node, packet_new(OVER, NULL, NULL, 0), world_latency(WIRE_NS));
}

static struct outstanding *outstanding_new(struct sim_nexus *nexus)
{
    struct outstanding *of = calloc(1, sizeof *of);

    of->nexus = nexus;
    of->next = all_outstanding;
    all_outstanding = of;
    of->open_next = nexus->open;
    nexus->open = of;
    return of;
}

void sim_send(struct sim_nexus *nexus, struct sim_command *command)
{
    struct outstanding *of = outstanding_new(nexus);

    of->command = command;
    command->nexus = nexus;
    command->tag = ++nexus->tag;
    command->sent = sim_now();
    command->private_data = of;
    post_packet(&nexus->to_node, packet_new(COMMAND, of, command->data_out, command->data_out_length),
         world_latency(WIRE_NS));
}

void sim_tmf_send(struct sim_nexus *nexus, struct sim_tmf *tmf)
{
    struct outstanding *of = outstanding_new(nexus);

    of->tmf = tmf;
    tmf->nexus = nexus;
    tmf->private_data = of;
    post_packet(&nexus->to_node, packet_new(FUNCTION, of, NULL, 0), world_latency(WIRE_NS));
}

/* ---- the module's side (node/transport.c) ---- */

void world_login_answer(void *word, int ok)
{
    struct sim_nexus *nexus = word;
    struct packet *packet = packet_new(LOGIN_ANSWER, NULL, NULL, 0);

    packet->number = ok;
    if (nexus->over)
        free(packet);
    else
        post_packet(&nexus->from_node, packet, world_latency(WIRE_NS));
}

void world_answer(void *word, int silent, uint8_t status, const uint8_t *sense, uint8_t sense_length,
                  const void *data, uint32_t data_length)
{
    struct outstanding *of = word;
    struct packet *packet;

    if (!of->command || of->nexus->over)
        return;
    sim_hash((uint64_t)status << 8 | (uint64_t)silent);
    packet = packet_new(ANSWER, of, data, data_length);
    packet->silent = silent;
    packet->number = status;
    packet->sense_length = sense_length;
    memcpy(packet->sense, sense, sense_length);
    post_packet(&of->nexus->from_node, packet, world_latency(WIRE_NS));
}

void world_tmf_answer(void *word, int response)
{
    struct outstanding *of = word;
    struct packet *packet;

    if (!of->tmf || of->nexus->over)
        return;
    packet = packet_new(FUNCTION_ANSWER, of, NULL, 0);
    packet->number = response;
    post_packet(&of->nexus->from_node, packet, world_latency(WIRE_NS));
}

void world_session_over(void *word)
{
    struct sim_nexus *nexus = word;

    nexus->session = NULL;
    if (!nexus->over)
        post_packet(&nexus->from_node, packet_new(OVER, NULL, NULL, 0), world_latency(WIRE_NS));
}

/* ---- faults.c ---- */

void initiators_break_one(void)
{
    unsigned up = 0, chosen;

    for (struct sim_nexus *nexus = all; nexus; nexus = nexus->next)
        up += nexus->up && !nexus->over;
    if (!up)
        return;
    chosen = sim_random(up);
    for (struct sim_nexus *nexus = all; nexus; nexus = nexus->next)
        if (nexus->up && !nexus->over && !chosen--) {
            sim_break(nexus);
            return;
        }
}
