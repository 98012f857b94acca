#include "target/daemon/consult.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

static void end(struct consult *consult, int error, const char *why)
{
    group_done *done = consult->done;

    if (consult->timer)
        qb_loop_timer_del(halund.loop, consult->timer);
    consult->timer = 0;
    consult->done = NULL; /* first: done() may ask the next question */
    done(consult->context, error, why);
}

static void late(void *data)
{
    struct consult *consult = data;
    char names[140], why[160];

    consult->timer = 0;
    nodes_names(consult->waits, names, sizeof names);
    snprintf(why, sizeof why, "no answer from %s", names);
    end(consult, -EAGAIN, why);
}

static uint64_t number_of(const struct consult *consult)
{
    return consult->kind | consult->count;
}

void consult_ask(struct consult *consult, const uint8_t digest[32], group_done *done, void *context)
{
    assert(!consult->done);
    consult->count++;
    consult->waits = halund.view.members;
    consult->done = done;
    consult->context = context;
    qb_loop_timer_add(halund.loop, QB_LOOP_MED, CONSULT_MS * 1000000ull, consult, late, &consult->timer);
    cluster_consult(halund.cluster, number_of(consult), digest);
}

void consult_opinion(struct consult *consult, unsigned node, uint64_t number, bool good, const char *why)
{
    char text[320];

    if (!consult->done || number != number_of(consult))
        return;
    if (!good) {
        snprintf(text, sizeof text, "%s: %s", nodes_name(node), why);
        end(consult, -EINVAL, text);
        return;
    }
    consult->waits &= ~(1u << node);
    if (!consult->waits)
        end(consult, 0, "");
}
