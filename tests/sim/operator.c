/* What an operator does to groups and copies in a random run. */
#include <stdio.h>
#include <string.h>

#include "tests/sim/world.h"

enum { GROWTHS = 4 /* of a unit in a run */ };

static unsigned growths[LIMIT_LUS];
static unsigned unanswered; /* orders whose effect lasts until it is taken back */
static bool ending;         /* it is to be taken back when they are answered */

void operator_begin(void)
{
    memset(growths, 0, sizeof growths);
    unanswered = 0;
    ending = false;
}

static void ordered(void *context, int code, const char *reply)
{
    sim_trace(0, "the order ended with %d: %s", code, reply);
}

static void order_then(unsigned node, const char *method, unsigned group, const char *more,
                       void (*answer)(void *context, int code, const char *reply))
{
    char arguments[64];

    snprintf(arguments, sizeof arguments, "{\"group\":\"g%u\"%s}", group, more);
    sim_order(node, method, arguments, answer, NULL);
}

static void order(unsigned node, const char *method, unsigned group, const char *more)
{
    order_then(node, method, group, more, ordered);
}

unsigned operator_copy(unsigned group)
{
    uint32_t copies = sim_group_nodes(group);
    unsigned low = (unsigned)__builtin_ctz(copies), high = 31 - (unsigned)__builtin_clz(copies);

    return sim_random(2) ? low : high;
}

/* Who owns it, as the first says who knows; anybody when nobody does. */
static unsigned owner_of(unsigned group)
{
    for (unsigned i = 1; i <= sim_config()->nodes; i++)
        if (sim_serves(i) && sim_shared(i)->groups[group].owner)
            return sim_shared(i)->groups[group].owner;
    return operator_copy(group);
}

static void take_back(void)
{
    for (unsigned g = 0; g < sim_config()->groups; g++)
        for (uint32_t left = sim_group_nodes(g); left; left &= left - 1) {
            unsigned node = (unsigned)__builtin_ctz(left);
            order(node, "replica.resume", g, "");
            order(node, "replica.connect", g, "");
        }
}

static void lasting(void *context, int code, const char *reply)
{
    ordered(context, code, reply);
    if (--unanswered || !ending)
        return;
    ending = false;
    take_back();
}

void operator_copies_end(void)
{
    if (unanswered)
        ending = true; /* who gives the next order has seen the end of the one before */
    else
        take_back();
}

void operator_copies(void)
{
    unsigned group = sim_random(sim_config()->groups), node = operator_copy(group);

    switch (sim_random(5)) {
    case 0:
        order(node, "replica.verify", group, "");
        break;
    case 1:
        unanswered++;
        order_then(node, "replica.pause", group, "", lasting);
        break;
    case 2:
        unanswered++;
        order_then(node, "replica.disconnect", group, "", lasting);
        break;
    case 3:
        order(node, "replica.invalidate", group, "");
        break;
    default:
        order(node, "replica.invalidate", group, ",\"peer\":true");
        break;
    }
}

void operator_resize(unsigned group)
{
    sim_resize(group, owner_of(group));
}

unsigned operator_grow(void)
{
    unsigned lu = sim_random(sim_config()->lus);

    if (growths[lu] < GROWTHS) {
        growths[lu]++;
        sim_enlarge(lu, (uint64_t)world_between(1, 3) << 20);
    }
    operator_resize(lu % sim_config()->groups);
    return lu % sim_config()->groups;
}
