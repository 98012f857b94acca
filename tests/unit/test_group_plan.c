/* The plan of a group: promotion, demotion and handover, row by row; and several nodes that follow it over an agreed
 * log with lagging application, slow drains, lost wishes and crashes: never two executors, always an end.
 *
 * HALUN_SEED=N replays one random history. Not covered: groups.c, which finds the facts (tests/sim, tests/cluster);
 * the replicas' own refusal of two Primaries (test_replica). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "target/daemon/group_plan.h"

enum { ME = 1, OTHER = 2, BOTH = 1u << ME | 1u << OTHER };

static struct group_facts owner_facts(enum group_wish wish)
{
    return (struct group_facts){.wish = wish, .serving = true, .handover = true, .self = ME, .owner = ME,
                                .current = BOTH, .confirmed = true, .replicated = true,
                                .primary = true, .ready = true};
}

static struct group_facts heir_facts(unsigned owner)
{
    return (struct group_facts){.wish = GROUP_PROMOTING, .serving = true, .handover = true, .self = ME,
                                .owner = owner, .current = BOTH, .replicated = true, .ready = true};
}

#define assert_plan(facts, move_, waits_)                                                          \
    do {                                                                                           \
        struct group_plan plan_ = group_plan(&(facts));                                            \
        assert_int_equal(plan_.move, move_);                                                       \
        assert_int_equal(plan_.waits_for, waits_);                                                 \
    } while (0)

static void promotion_when_step_by_step_then_ends_as_owner(void **state)
{
    struct group_facts f = heir_facts(OTHER);

    f.serving = false;
    assert_plan(f, GROUP_WAIT, GROUP_NOT_SERVING);
    f.serving = true;
    assert_plan(f, GROUP_ASK, GROUP_OTHER_OWNS);
    f.handover = false; /* an older node does not know it: it was demoted for good, its release is awaited */
    assert_plan(f, GROUP_WAIT, GROUP_OTHER_OWNS);
    f.handover = true;
    f.ready = false; /* the owner shall not let go for a copy that could not go on at once */
    assert_plan(f, GROUP_WAIT, GROUP_OTHER_OWNS);
    f.owner = 0;
    f.draining = true; /* the link may break now: the owner's last writes need that this copy can be outdated */
    assert_plan(f, GROUP_WAIT, GROUP_DRAINING);
    f.draining = false;
    f.peer_primary = true;
    assert_plan(f, GROUP_WAIT, GROUP_PEER_IS_PRIMARY);
    f.peer_primary = false;
    f.doubtful = true; /* another member may have what this copy lacks */
    assert_plan(f, GROUP_WAIT, GROUP_NOT_COMPARED);
    f.doubtful = false;
    assert_plan(f, GROUP_MAKE_PRIMARY, GROUP_NO_OBSTACLE);
    f.primary = true;
    assert_plan(f, GROUP_ACQUIRE, GROUP_NO_OBSTACLE);
    f.owner = ME; /* but its answer did not come in time */
    assert_plan(f, GROUP_RELEASE, GROUP_NO_OBSTACLE);
    f.confirmed = true;
    assert_plan(f, GROUP_DONE, GROUP_NO_OBSTACLE);
    f.primary = false;
    assert_plan(f, GROUP_MAKE_PRIMARY, GROUP_NO_OBSTACLE);
    f.replicated = false;
    assert_plan(f, GROUP_DONE, GROUP_NO_OBSTACLE);
}

static void promotion_when_the_copy_is_not_current_then_waits_or_refuses(void **state)
{
    struct group_facts f = heir_facts(0);

    f.current = 1u << OTHER;
    assert_plan(f, GROUP_WAIT, GROUP_NOT_CURRENT);
    f.primary = true; /* since before it was outdated: it would never be resynchronised */
    assert_plan(f, GROUP_MAKE_SECONDARY, GROUP_NO_OBSTACLE);
    f.primary = false;
    f.owner = OTHER;
    assert_plan(f, GROUP_WAIT, GROUP_OTHER_OWNS);
    f.primary = f.draining = true; /* the other one took the group first */
    assert_plan(f, GROUP_WAIT, GROUP_OTHER_OWNS);
    f.draining = false;
    assert_plan(f, GROUP_MAKE_SECONDARY, GROUP_NO_OBSTACLE);
    f.primary = false;
    f.owner = 0;
    f.current = 0;
    assert_plan(f, GROUP_REFUSE, GROUP_NO_OBSTACLE);
}

static void demotion_when_wished_then_released_and_secondary(void **state)
{
    struct group_facts f = owner_facts(GROUP_DEMOTING);

    assert_plan(f, GROUP_RELEASE, GROUP_NO_OBSTACLE);
    f.owner = 0;
    assert_plan(f, GROUP_MAKE_SECONDARY, GROUP_NO_OBSTACLE);
    f.primary = false;
    assert_plan(f, GROUP_DONE, GROUP_NO_OBSTACLE);
    f.primary = true;
    f.replicated = false;
    assert_plan(f, GROUP_DONE, GROUP_NO_OBSTACLE);
}

static void yielding_when_asked_or_late_then_releases_and_else_serves_on(void **state)
{
    struct group_facts f = owner_facts(GROUP_REST);

    assert_plan(f, GROUP_WAIT, GROUP_NO_OBSTACLE);
    f.asked = true; /* without Pacemaker's demotion nobody may take it */
    assert_plan(f, GROUP_WAIT, GROUP_NO_OBSTACLE);
    f.asked = false;
    f.yielding = true;
    assert_plan(f, GROUP_WAIT, GROUP_NO_OBSTACLE);
    f.asked = true;
    assert_plan(f, GROUP_RELEASE, GROUP_NO_OBSTACLE);
    f.asked = false;
    f.late = true;
    assert_plan(f, GROUP_RELEASE, GROUP_NO_OBSTACLE);
    f.owner = OTHER;
    assert_plan(f, GROUP_MAKE_SECONDARY, GROUP_NO_OBSTACLE);
    f.wish = GROUP_PROMOTING; /* Pacemaker changed its mind */
    f.owner = ME;
    assert_plan(f, GROUP_DONE, GROUP_NO_OBSTACLE);
}

static void yielding_when_nobody_could_take_it_then_not_possible(void **state)
{
    struct group_facts f = owner_facts(GROUP_REST), g;

    assert_true(group_may_yield(&f, BOTH));
    assert_false(group_may_yield(&f, 1u << ME));
    g = f, g.current = 1u << ME;
    assert_false(group_may_yield(&g, BOTH));
    g = f, g.handover = false;
    assert_false(group_may_yield(&g, BOTH));
    g = f, g.confirmed = false;
    assert_false(group_may_yield(&g, BOTH));
    g = f, g.owner = OTHER;
    assert_false(group_may_yield(&g, BOTH));
    g = f, g.serving = false;
    assert_false(group_may_yield(&g, BOTH));
    g = f, g.primary = false;
    assert_false(group_may_yield(&g, BOTH));
    g.replicated = false;
    assert_true(group_may_yield(&g, BOTH));
}

/* ---- several nodes ---- */

enum { NODES = 3, LOG = 4096 };

enum entry_kind { ENTRY_ACQUIRE, ENTRY_RELEASE, ENTRY_LOST, ENTRY_ASK };

struct entry {
    enum entry_kind kind;
    unsigned node;  /* who asks, or is lost */
    unsigned owner; /* ASK: of whom */
    bool good;      /* what it came to, the same for all */
    unsigned owner_after;
    uint32_t acks;
};

struct node {
    bool alive;
    unsigned seen;    /* entries of the log applied here */
    unsigned owner;   /* as applied here */
    unsigned running; /* commands that execute here */
    bool confirmed, primary, yielding, asked, late, busy;
    unsigned waits;   /* index + 1 of its own entry that is not answered */
    uint32_t unacked[LOG / 32]; /* entries whose acknowledgement waits for the drain */
    enum group_wish wish;
};

static struct {
    uint64_t seed;
    struct entry log[LOG];
    unsigned count, owner; /* owner at the end of the log */
    bool replicated;
    struct node node[NODES + 1];
    unsigned target; /* Pacemaker wants it there */
} world;

static unsigned chance(unsigned below)
{
    world.seed = world.seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(world.seed >> 33) % below;
}

static uint32_t alive(void)
{
    uint32_t bits = 0;

    for (unsigned i = 1; i <= NODES; i++)
        bits |= world.node[i].alive ? 1u << i : 0;
    return bits;
}

static void append(enum entry_kind kind, unsigned node)
{
    struct entry *e = &world.log[world.count];

    assert_true(world.count < LOG);
    world.count++;
    memset(e, 0, sizeof *e);
    e->kind = kind;
    e->node = node;
    e->owner = world.owner;
    if (kind == ENTRY_ACQUIRE && !world.owner) {
        e->good = true;
        world.owner = node;
    } else if (kind == ENTRY_RELEASE && (world.owner == node || !world.owner)) {
        e->good = true;
        world.owner = 0;
    } else if (kind == ENTRY_LOST && world.owner == node) {
        world.owner = 0;
    }
    e->owner_after = world.owner;
}

static bool executes(const struct node *n, unsigned self)
{
    return n->alive && ((n->owner == self && n->confirmed) || n->running);
}

static void check(void)
{
    unsigned executors = 0, primaries = 0;

    for (unsigned i = 1; i <= NODES; i++) {
        executors += executes(&world.node[i], i);
        primaries += world.node[i].alive && world.node[i].primary;
    }
    assert_true(executors <= 1);
    assert_true(primaries <= 1);
}

static struct group_facts facts(unsigned self)
{
    const struct node *n = &world.node[self];
    struct group_facts f = {.wish = n->wish, .yielding = n->yielding, .asked = n->asked, .late = n->late,
                            .serving = true, .handover = true, .self = self, .owner = n->owner,
                            .current = 0xe, .confirmed = n->confirmed,
                            .replicated = world.replicated, .primary = n->primary, .ready = true};

    for (unsigned i = 1; i <= NODES; i++)
        f.peer_primary |= i != self && world.node[i].alive && world.node[i].primary;
    return f;
}

static void step(unsigned self)
{
    struct node *n = &world.node[self];
    struct group_facts f = facts(self);
    struct group_plan plan;

    if (!n->alive || n->busy)
        return;
    plan = group_plan(&f);
    switch (plan.move) {
    case GROUP_WAIT:
        break;
    case GROUP_REFUSE:
        fail();
        break;
    case GROUP_DONE:
        n->wish = GROUP_REST;
        n->yielding = n->asked = n->late = false;
        break;
    case GROUP_ASK:
        if (n->seen == world.count && chance(3)) /* a wish may get lost */
            append(ENTRY_ASK, self);
        break;
    case GROUP_MAKE_PRIMARY:
        if (!f.peer_primary)
            n->primary = true;
        break;
    case GROUP_MAKE_SECONDARY:
        assert_int_equal(n->running, 0);
        n->primary = false;
        break;
    case GROUP_ACQUIRE:
    case GROUP_RELEASE:
        n->busy = true;
        n->waits = world.count + 1;
        append(plan.move == GROUP_ACQUIRE ? ENTRY_ACQUIRE : ENTRY_RELEASE, self);
        break;
    }
}

/* A node applies the next entry of the log. */
static void apply(unsigned self)
{
    struct node *n = &world.node[self];
    struct entry *e = &world.log[n->seen];

    if (!n->alive || n->seen == world.count)
        return;
    n->owner = e->owner_after;
    if (n->owner != self)
        n->confirmed = false;
    if (e->kind == ENTRY_ASK && e->owner == self && n->yielding && n->owner == self)
        n->asked = true;
    n->unacked[n->seen / 32] |= 1u << n->seen % 32;
    n->seen++;
}

static void acknowledge(unsigned self)
{
    struct node *n = &world.node[self];

    for (unsigned i = 0; n->alive && i < n->seen; i++) {
        if (!(n->unacked[i / 32] & 1u << i % 32) || (n->running && !(n->owner == self && n->confirmed)))
            continue;
        n->unacked[i / 32] &= ~(1u << i % 32);
        world.log[i].acks |= 1u << self;
    }
}

/* The answer of its own entry: all that are alive have acknowledged it. */
static void answer(unsigned self)
{
    struct node *n = &world.node[self];
    const struct entry *e = n->waits ? &world.log[n->waits - 1] : NULL;

    if (!n->alive || !e || alive() & ~e->acks)
        return;
    n->busy = false;
    n->waits = 0;
    if (e->kind == ENTRY_ACQUIRE && e->good && n->owner == self && chance(8))
        n->confirmed = true; /* else: it came too late, and is asked again */
}

static void crash(unsigned self)
{
    world.node[self].alive = false;
    append(ENTRY_LOST, self);
}

static void boot(unsigned self)
{
    struct node *n = &world.node[self];

    if (n->alive)
        return;
    memset(n, 0, sizeof *n);
    n->alive = true; /* by a snapshot of the newest place */
    n->seen = world.count;
    n->owner = world.owner;
    for (unsigned i = 0; i < world.count; i++)
        world.log[i].acks |= 1u << self;
}

/* Pacemaker: whoever is not the target is demoted before the target is promoted. */
static void pacemaker(void)
{
    struct node *t;
    bool demoted = true;

    for (unsigned i = 1; i <= NODES; i++) {
        struct node *n = &world.node[i];
        struct group_facts f = facts(i);
        if (!n->alive || i == world.target || (n->owner != i && n->wish == GROUP_REST && !n->primary))
            continue;
        if (n->yielding)
            continue; /* as good as demoted */
        demoted = false;
        if (n->wish == GROUP_PROMOTING && n->owner != i && !n->busy) {
            n->wish = GROUP_REST; /* a promotion that only waits has failed by its timeout */
        } else if (n->wish == GROUP_REST && !n->busy) {
            if (chance(4) && group_may_yield(&f, alive()))
                n->yielding = true;
            else
                n->wish = GROUP_DEMOTING;
        }
    }
    t = &world.node[world.target];
    if (demoted && t->alive && t->wish == GROUP_REST &&
        (t->owner != world.target || !t->confirmed || t->yielding)) {
        t->yielding = t->asked = false;
        t->wish = GROUP_PROMOTING;
    }
}

static void random_event(bool faults)
{
    unsigned i = 1 + chance(NODES);
    struct node *n = &world.node[i];

    switch (chance(faults ? 40 : 36)) {
    case 36:
        if (__builtin_popcount(alive()) > 1 && !chance(4))
            crash(i);
        break;
    case 37:
        boot(i);
        break;
    case 38:
        if (!chance(6))
            world.target = 1 + chance(NODES);
        break;
    case 39:
        n->late |= n->yielding && !chance(4);
        break;
    default:
        if (executes(n, i) && n->owner == i && n->confirmed && n->running < 4)
            n->running += chance(2);
        else if (n->running)
            n->running -= chance(3) == 0;
        apply(i);
        if (chance(2))
            acknowledge(i);
        answer(i);
        step(i);
        pacemaker();
    }
    check();
}

static void history(uint64_t seed)
{
    memset(&world, 0, sizeof world);
    world.seed = seed;
    world.replicated = seed & 1;
    world.target = 1;
    for (unsigned i = 1; i <= NODES; i++)
        boot(i);
    for (unsigned i = 0; i < 3000 && world.count < LOG / 2; i++)
        random_event(true);
    for (unsigned i = 1; i <= NODES; i++)
        boot(i);
    for (unsigned i = 0; i < 20000; i++) {
        const struct node *n = &world.node[world.target];
        if (n->owner == world.target && n->confirmed && n->wish == GROUP_REST &&
            (n->primary || !world.replicated))
            return;
        random_event(false);
    }
    for (unsigned i = 1; i <= NODES; i++) {
        const struct node *n = &world.node[i];
        print_error("node %u: seen %u of %u, owner %u, running %u, wish %u%s%s%s%s%s\n", i, n->seen, world.count,
                    n->owner, n->running, n->wish, n->confirmed ? " confirmed" : "",
                    n->primary ? " primary" : "", n->yielding ? " yielding" : "",
                    n->asked ? " asked" : "", n->busy ? " busy" : "");
    }
    print_error("HALUN_SEED=%llu: the group did not arrive on node %u\n", (unsigned long long)seed,
                world.target);
    fail();
}

static void histories_when_anything_happens_then_one_executor_and_an_end(void **state)
{
    const char *one = getenv("HALUN_SEED");

    for (uint64_t seed = one ? strtoull(one, NULL, 0) : 1; seed <= 2000; seed++) {
        history(seed);
        if (one)
            return;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(promotion_when_step_by_step_then_ends_as_owner),
        cmocka_unit_test(promotion_when_the_copy_is_not_current_then_waits_or_refuses),
        cmocka_unit_test(demotion_when_wished_then_released_and_secondary),
        cmocka_unit_test(yielding_when_asked_or_late_then_releases_and_else_serves_on),
        cmocka_unit_test(yielding_when_nobody_could_take_it_then_not_possible),
        cmocka_unit_test(histories_when_anything_happens_then_one_executor_and_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
