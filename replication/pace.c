#include "replication/pace.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t bucket(const struct pace *p)
{
    uint64_t eighth = p->settings.limit / 8;

    return eighth > PACE_REQUEST ? eighth : PACE_REQUEST;
}

void pace_begin(struct pace *p, const struct pace_settings *settings, uint64_t now_ns)
{
    *p = (struct pace){
        .settings = *settings,
        .step_ns = now_ns,
        .window = PACE_WINDOW,
        .tokens_ns = now_ns,
    };
    if (settings->plan_ahead && settings->fill_target)
        p->window = PACE_REQUEST; /* and grows to the target by plan */
}

void pace_arrived(struct pace *p, uint64_t bytes)
{
    p->arrived += bytes;
}

/* One step of the plan. What arrived says what the way carries: that much during the wanted delay
 * is what should be under way. */
static void step(struct pace *p)
{
    const struct pace_settings *s = &p->settings;
    uint64_t want = s->fill_target ? s->fill_target : p->arrived * s->delay_target;

    if (want > PACE_WINDOW_MAX)
        want = PACE_WINDOW_MAX;
    if (want < PACE_REQUEST)
        want = PACE_REQUEST;
    if (want > p->window)
        p->window += (want - p->window + s->plan_ahead - 1) / s->plan_ahead;
    else
        p->window -= (p->window - want) / s->plan_ahead;
    p->arrived = 0;
}

static void advance(struct pace *p, uint64_t now_ns)
{
    const uint64_t step_ns = PACE_STEP_MS * UINT64_C(1000000);

    if (p->settings.plan_ahead && now_ns - p->step_ns >= step_ns) {
        /* Late steps are not made up for: nothing is known about them. */
        p->step_ns = now_ns;
        step(p);
    }
    if (p->settings.limit) {
        uint64_t us = least((now_ns - p->tokens_ns) / 1000, 1000000);

        p->tokens = least(p->tokens + p->settings.limit * us / 1000000, bucket(p));
        p->tokens_ns = now_ns;
    }
}

bool pace_allows(struct pace *p, uint64_t bytes, uint64_t in_flight, uint64_t now_ns)
{
    advance(p, now_ns);
    if (in_flight && in_flight + bytes > p->window)
        return false;
    if (!p->settings.limit)
        return true;
    if (p->tokens < bytes)
        return false;
    p->tokens -= bytes;
    return true;
}
