/* Corosync on all hosts: rings, the order of messages, changes of the group of daemons, quorum.
 *
 * What it promises is what Corosync promises (docs/cluster.md): agreed order; a sender has its own message before
 * anybody else need have it, so a message may be lost with its sender; who stays together has the same messages
 * before the same change. When the token is lost a ring stands still, and forms anew after a bit more than twice the
 * token's timeout, without those who cannot be heard in both directions. A host that stood still finds its ring gone:
 * it first forms one alone and meets the others later. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

enum { RINGS = 2 * SIM_NODES + 2, NONE = RINGS, TOKEN_NS = 250 * US, DELIVER_NS = 150 * US, OUTBOX = 256 };

enum kind { MESSAGE, GROUP, JOIN, LEAVE, PROCDOWN };

struct message {
    struct message *next; /* of all, or in an outbox */
    enum kind kind;
    unsigned sender;
    uint32_t members, joined, left, down;
    size_t size;
    uint8_t bytes[];
};

struct ring {
    bool used;
    bool forming; /* the token is lost: nothing moves */
    bool broken;  /* some went on without the others */
    bool lost;    /* a member lost its power: the token went with it */
    uint32_t members; /* hosts */
    uint32_t group;   /* daemons at the end of the log */
    struct message **log;
    unsigned count, room;
    struct sim_event form;
};

struct station { /* Corosync of one host */
    unsigned ring;
    unsigned reach; /* messages of the ring's log that it has */
    bool quorate, seen_all;
    bool active;    /* its daemon is in the group, as far as this host's Corosync has got */
    struct message *outbox, **outbox_end;
    unsigned outbox_count;
    struct sim_event token, deliver, start;
};

static struct ring rings[RINGS];
static struct station stations[SIM_NODES + 1];
static struct message *garbage; /* everything ever sent; freed at the end of the run */
static struct sim_event merge;

static void on_token(struct sim_event *event);
static void on_deliver(struct sim_event *event);
static void on_start(struct sim_event *event);
static void on_form(struct sim_event *event);
static void on_merge(struct sim_event *event);
static void look_at_rings(void);

static unsigned number_of(const struct station *station)
{
    return (unsigned)(station - stations);
}

static unsigned nodes(void)
{
    return sim_config()->nodes;
}

void bus_begin(void)
{
    memset(stations, 0, sizeof stations);
    memset(rings, 0, sizeof rings);
    memset(&merge, 0, sizeof merge);
    garbage = NULL;
    merge.run = on_merge;
    for (unsigned i = 1; i <= nodes(); i++) {
        stations[i].ring = NONE;
        stations[i].outbox_end = &stations[i].outbox;
        stations[i].token.run = on_token;
        stations[i].deliver.run = on_deliver;
        stations[i].start.run = on_start;
    }
    for (unsigned r = 0; r < RINGS; r++)
        rings[r].form.run = on_form;
}

static void free_list(struct message *message)
{
    while (message) {
        struct message *next = message->next;
        free(message);
        message = next;
    }
}

void bus_end(void)
{
    for (unsigned i = 1; i <= SIM_NODES; i++)
        free_list(stations[i].outbox);
    for (unsigned r = 0; r < RINGS; r++)
        free(rings[r].log);
    free_list(garbage);
    memset(stations, 0, sizeof stations);
    memset(rings, 0, sizeof rings);
    garbage = NULL;
}

/* ---- messages ---- */

static struct message *message_new(enum kind kind, unsigned sender, const void *bytes, size_t size)
{
    struct message *message = calloc(1, sizeof *message + size);

    message->kind = kind;
    message->sender = sender;
    message->size = size;
    if (size)
        memcpy(message->bytes, bytes, size);
    return message;
}

static void keep(struct message *message)
{
    message->next = garbage;
    garbage = message;
}

static void append(struct ring *ring, struct message *message)
{
    if (ring->count == ring->room) {
        ring->room = ring->room ? ring->room * 2 : 64;
        ring->log = realloc(ring->log, ring->room * sizeof *ring->log);
    }
    ring->log[ring->count++] = message;
}

static void hand_up(unsigned node, const struct message *message)
{
    struct station *station = &stations[node];
    uint32_t bit = 1u << node;

    if (message->kind == GROUP) {
        if (message->joined & bit)
            station->active = hosts[node].running;
        if (station->active && hosts[node].running)
            corosync_deliver(&hosts[node], 0, NULL, 0, message->members, message->joined,
                             message->left, message->down);
        if (message->left & bit)
            station->active = false;
    } else if (station->active) {
        corosync_deliver(&hosts[node], message->sender, message->bytes, message->size, 0, 0, 0, 0);
    }
}

/* Hands a host what its ring's log has up to `upto`. */
static void receive(unsigned node, unsigned upto)
{
    struct station *station = &stations[node];
    struct ring *ring = &rings[station->ring];

    while (station->reach < upto)
        hand_up(node, ring->log[station->reach++]);
}

static bool moves(const struct station *station)
{
    return station->ring != NONE && !rings[station->ring].forming &&
           !hosts[number_of(station)].frozen && hosts[number_of(station)].powered;
}

static void arm_token(struct station *station)
{
    if (station->outbox && moves(station) && !station->token.slot)
        sim_at(&station->token, sim_now() + world_latency(TOKEN_NS));
}

static void arm_deliver(struct station *station)
{
    if (moves(station) && station->reach < rings[station->ring].count && !station->deliver.slot)
        sim_at(&station->deliver, sim_now() + world_latency(DELIVER_NS));
}

static struct message *group_message(struct ring *ring, const struct message *of)
{
    uint32_t bit = 1u << of->sender;
    struct message *message = message_new(GROUP, 0, NULL, 0);

    if (of->kind == JOIN)
        message->joined = bit;
    else
        message->left = bit;
    ring->group = (ring->group | message->joined) & ~message->left;
    message->members = ring->group;
    keep(message);
    return message;
}

/* The token is here: what waits gets its place in the order, and the sender has it. */
static void on_token(struct sim_event *event)
{
    struct station *station = container_of(event, struct station, token);
    struct ring *ring;
    unsigned node = number_of(station);

    if (!moves(station))
        return;
    ring = &rings[station->ring];
    while (station->outbox) {
        struct message *message = station->outbox;
        station->outbox = message->next;
        station->outbox_count--;
        keep(message);
        append(ring, message->kind == MESSAGE ? message : group_message(ring, message));
    }
    station->outbox_end = &station->outbox;
    receive(node, ring->count);
    for (unsigned i = 1; i <= nodes(); i++)
        if (ring->members & 1u << i)
            arm_deliver(&stations[i]);
}

static void on_deliver(struct sim_event *event)
{
    struct station *station = container_of(event, struct station, deliver);

    if (moves(station))
        receive(number_of(station), rings[station->ring].count);
}

static void outbox_add(struct host *host, struct message *message)
{
    struct station *station = &stations[host->id];

    *station->outbox_end = message;
    station->outbox_end = &message->next;
    station->outbox_count++;
    arm_token(station);
}

bool bus_send(struct host *host, const void *bytes, size_t size)
{
    struct station *station = &stations[host->id];

    if (station->outbox_count >= OUTBOX || !sim_random(400))
        return false;
    outbox_add(host, message_new(MESSAGE, host->id, bytes, size));
    return true;
}

void bus_join(struct host *host)
{
    outbox_add(host, message_new(JOIN, host->id, NULL, 0));
}

void bus_leave(struct host *host, bool procdown)
{
    stations[host->id].active = false;
    if (host->powered)
        outbox_add(host, message_new(procdown ? PROCDOWN : LEAVE, host->id, NULL, 0));
}

/* ---- quorum ---- */

static void tell_quorum(unsigned node)
{
    struct station *station = &stations[node];
    unsigned count = (unsigned)__builtin_popcount(rings[station->ring].members);

    if (count == nodes())
        station->seen_all = true;
    station->quorate = sim_config()->two_node ? station->seen_all : count * 2 > nodes();
    if (hosts[node].running)
        corosync_quorum(&hosts[node], station->quorate);
}

bool bus_quorate(const struct host *host)
{
    return host->powered && stations[host->id].ring != NONE && stations[host->id].quorate;
}

bool bus_moves(const struct host *host)
{
    return moves(&stations[host->id]);
}

uint32_t bus_ring(const struct host *host)
{
    return stations[host->id].ring == NONE ? 0 : rings[stations[host->id].ring].members;
}

/* ---- rings ---- */

static void ring_free(unsigned r)
{
    struct ring *ring = &rings[r];

    free(ring->log);
    sim_cancel(&ring->form);
    memset(ring, 0, sizeof *ring);
    ring->form.run = on_form;
}

static unsigned ring_new(uint32_t members, uint32_t group)
{
    unsigned r = 0;

    while (rings[r].used)
        r++;
    rings[r].used = true;
    rings[r].members = members;
    rings[r].group = group;
    return r;
}

static bool talks(unsigned a, unsigned b)
{
    return cluster_passes(&hosts[a], &hosts[b]) && cluster_passes(&hosts[b], &hosts[a]);
}

static bool is_whole(const struct ring *ring)
{
    for (unsigned a = 1; a <= nodes(); a++)
        for (unsigned b = 1; b <= nodes(); b++)
            if ((ring->members & 1u << a) && (ring->members & 1u << b) && !talks(a, b))
                return false;
    return !ring->broken && !ring->lost;
}

static void enter(unsigned r)
{
    for (unsigned i = 1; i <= nodes(); i++)
        if (rings[r].members & 1u << i) {
            stations[i].ring = r;
            stations[i].reach = 0;
        }
}

static void start_moving(unsigned r)
{
    for (unsigned i = 1; i <= nodes(); i++)
        if (rings[r].members & 1u << i) {
            tell_quorum(i);
            arm_token(&stations[i]);
        }
}

/* The daemons that a host knows of when it has `upto` messages of the log. */
static uint32_t known_group(const struct ring *ring, unsigned upto)
{
    for (unsigned i = upto; i; i--)
        if (ring->log[i - 1]->kind == GROUP)
            return ring->log[i - 1]->members;
    for (unsigned i = 0; i < ring->count; i++)
        if (ring->log[i]->kind == GROUP) /* the group before the first change */
            return (ring->log[i]->members & ~ring->log[i]->joined) | ring->log[i]->left;
    return ring->group;
}

/* These hosts go on together: they have the same messages, those that one of them has, then the change. */
static void split(unsigned from, uint32_t side)
{
    struct ring *old = &rings[from];
    struct message *change = message_new(GROUP, 0, NULL, 0);
    unsigned most = 0, to;
    uint32_t known;

    for (unsigned i = 1; i <= nodes(); i++)
        if ((side & 1u << i) && stations[i].reach > most)
            most = stations[i].reach;
    known = known_group(old, most);
    for (unsigned i = 1; i <= nodes(); i++)
        if (side & 1u << i)
            receive(i, most);
    old->members &= ~side;
    old->broken = true;
    to = ring_new(side, known & side);
    enter(to);
    change->members = known & side;
    change->down = known & ~side;
    keep(change);
    sim_trace(0, "corosync: a ring of %x forms, daemons %x, down %x", side, change->members, change->down);
    for (unsigned i = 1; i <= nodes(); i++)
        if ((side & 1u << i) && change->down)
            hand_up(i, change);
    start_moving(to);
}

static void on_form(struct sim_event *event)
{
    struct ring *ring = container_of(event, struct ring, form);
    unsigned r = (unsigned)(ring - rings);

    for (unsigned a = 1; a <= nodes() && ring->used; a++) {
        uint32_t side = 1u << a;
        if (!(ring->members & side) || !hosts[a].powered || hosts[a].frozen)
            continue;
        for (unsigned b = 1; b <= nodes(); b++) {
            bool all = b != a && (ring->members & 1u << b);
            for (unsigned c = 1; c <= nodes() && all; c++)
                if (side & 1u << c)
                    all = talks(b, c);
            if (all)
                side |= 1u << b;
        }
        split(r, side);
    }
    /* Who stands still is in there until it goes on. */
    if (!ring->members)
        ring_free(r);
    look_at_rings();
}

static void join_rings(unsigned a, unsigned b)
{
    unsigned old[2] = {a, b}, to;
    uint32_t sides[2] = {rings[a].members, rings[b].members};
    uint32_t groups[2] = {rings[a].group, rings[b].group};
    struct message *changes[2];

    for (unsigned s = 0; s < 2; s++) {
        changes[s] = message_new(GROUP, 0, NULL, 0);
        changes[s]->members = groups[0] | groups[1];
        changes[s]->joined = groups[!s];
        keep(changes[s]);
        for (unsigned i = 1; i <= nodes(); i++)
            if (sides[s] & 1u << i)
                receive(i, rings[old[s]].count);
    }
    to = ring_new(sides[0] | sides[1], groups[0] | groups[1]);
    sim_trace(0, "corosync: rings of %x and %x are one", sides[0], sides[1]);
    for (unsigned s = 0; s < 2; s++) {
        for (unsigned i = 1; i <= nodes(); i++)
            if ((sides[s] & 1u << i) && changes[s]->joined)
                hand_up(i, changes[s]);
        ring_free(old[s]);
    }
    enter(to);
    fencer_merge(rings[to].members);
    start_moving(to);
}

/* Can all of two rings hear each other? */
static bool could_join(const struct ring *a, const struct ring *b)
{
    for (unsigned i = 1; i <= nodes(); i++)
        for (unsigned k = 1; k <= nodes(); k++)
            if ((a->members & 1u << i) && (b->members & 1u << k) && !talks(i, k))
                return false;
    return true;
}

static bool find_pair(unsigned *a, unsigned *b)
{
    for (*a = 0; *a < RINGS; ++*a)
        for (*b = *a + 1; *b < RINGS; ++*b)
            if (rings[*a].used && rings[*b].used && !rings[*a].forming && !rings[*b].forming &&
                could_join(&rings[*a], &rings[*b]))
                return true;
    return false;
}

static void on_merge(struct sim_event *event)
{
    unsigned a, b;

    if (find_pair(&a, &b))
        join_rings(a, b);
    look_at_rings();
}

/* Something changed about who hears whom. */
static void look_at_rings(void)
{
    uint64_t token = sim_config()->token_ms * (uint64_t)SIM_MS;
    unsigned a, b;

    for (unsigned r = 0; r < RINGS; r++) {
        struct ring *ring = &rings[r];
        bool whole, awake = false;
        if (!ring->used)
            continue;
        whole = is_whole(ring);
        for (unsigned i = 1; i <= nodes(); i++)
            awake |= (ring->members & 1u << i) && hosts[i].powered && !hosts[i].frozen;
        if (whole && ring->forming) {
            ring->forming = false;
            sim_cancel(&ring->form);
            for (unsigned i = 1; i <= nodes(); i++)
                if (ring->members & 1u << i) {
                    arm_token(&stations[i]);
                    arm_deliver(&stations[i]);
                }
        } else if (!whole && !ring->form.slot && awake) {
            ring->forming = true;
            sim_at(&ring->form, sim_now() + (ring->broken ? world_between(token / 20, token * 5 / 4)
                                                          : world_between(token * 2, token * 11 / 5)));
        } else if (!whole) {
            ring->forming = true;
        }
    }
    if (!merge.slot && find_pair(&a, &b))
        sim_at(&merge, sim_now() + world_between(token / 3, token * 3 / 2));
}

void bus_changed(void)
{
    look_at_rings();
}

static void on_start(struct sim_event *event)
{
    struct station *station = container_of(event, struct station, start);
    unsigned node = number_of(station), r;

    if (!hosts[node].powered || station->ring != NONE)
        return;
    r = ring_new(1u << node, 0);
    enter(r);
    start_moving(r);
    look_at_rings();
}

void bus_host_up(struct host *host)
{
    sim_at(&stations[host->id].start, sim_now() + world_between(500, 1500) * SIM_MS);
}

void bus_host_down(struct host *host)
{
    struct station *station = &stations[host->id];

    sim_cancel(&station->token);
    sim_cancel(&station->deliver);
    sim_cancel(&station->start);
    while (station->outbox) {
        struct message *next = station->outbox->next;
        free(station->outbox);
        station->outbox = next;
    }
    station->outbox_end = &station->outbox;
    station->outbox_count = 0;
    station->active = station->quorate = station->seen_all = false;
    if (station->ring != NONE) {
        struct ring *ring = &rings[station->ring];
        ring->members &= ~(1u << host->id);
        ring->lost = true;
        if (!ring->members)
            ring_free(station->ring);
        station->ring = NONE;
    }
    look_at_rings();
}
