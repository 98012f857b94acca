/* Why a history is not linearizable, in words. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/history/search.h"

static void say(struct search *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct search *s, const char *format, ...)
{
    size_t used = strlen(s->verdict->why);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(s->verdict->why + used, sizeof s->verdict->why - used, format, arguments);
    va_end(arguments);
}

static void say_op(struct search *s, const char *before, size_t item)
{
    char text[512];

    history_describe(&s->items[item].op, text, sizeof text);
    say(s, "%s%s\n", before, text);
}

static void say_state(struct search *s, const struct configuration *c)
{
    const struct model *m = &c->model;
    ua_set pending = c->pending;
    bool any = false;

    say(s, "generation %u, reservation %s", m->generation, model_type_name(m->type));
    if (m->holder != MODEL_NOBODY)
        say(s, " held by nexus %d", m->holder);
    if (m->legacy != MODEL_NOBODY)
        say(s, ", RESERVE by nexus %d", m->legacy);
    say(s, ", registered:");
    for (int n = 0; n < model_nexuses(m); n++)
        if (m->key[n]) {
            say(s, "%s %d with key %llx", any ? "," : "", n, (unsigned long long)m->key[n]);
            any = true;
        }
    say(s, any ? "" : " nobody");
    if (m->mode.swp)
        say(s, ", software write protected");
    if (s->options->view == LINEARIZE_BLOCK && c->value == VALUE_ANY)
        say(s, ", block %u holds anything", s->options->of);
    else if (s->options->view == LINEARIZE_BLOCK)
        say(s, ", block %u holds %llu", s->options->of, (unsigned long long)c->value);
    if (s->options->view != LINEARIZE_ATTENTIONS)
        return;
    say(s, ", pending for nexus %u:", s->options->of);
    if (!pending)
        say(s, " nothing");
    while (pending)
        say(s, " %s;", ua_text(ua_take(&pending)));
}

static void say_expected(struct search *s, const struct configuration *c, size_t failed)
{
    struct configuration after = *c;
    ua_set pending = c->pending;
    struct model_result result;

    if (s->items[failed].looks) {
        say(s, pending ? ": UNIT_ATTENTION (%s)\n" : ": no unit attention\n",
            pending ? ua_text(ua_take(&pending)) : "");
        return;
    }
    model_apply(&after.model, &s->items[failed].op.op, &result);
    say(s, ": %s\n", history_reason_name(result.reason));
}

void search_explain(struct search *s, const struct configuration *states, size_t count)
{
    size_t failed = s->target;

    s->verdict->answer = LINEARIZE_NO;
    s->verdict->failed = s->items[failed].origin;
    say(s, "not linearizable: no order explains this answer:\n");
    say_op(s, "  ", failed);
    for (size_t i = 0; i < count && i < SEARCH_SHOWN; i++) {
        const struct configuration *c = &states[i];

        say(s, i ? "or, when it was " : "expected, when the unit was ");
        say_state(s, c);
        say_expected(s, c, failed);
        if (c->trail >= 0)
            say_op(s, "  the newest change before was: ", s->steps[c->trail].item);
    }
    if (count > SEARCH_SHOWN)
        say(s, "(%zu more possible states)\n", count - SEARCH_SHOWN);
    for (int slot = 0; slot < LINEARIZE_PENDING; slot++)
        if (bit_get(&s->taken, slot) && s->open[slot] != failed)
            say_op(s, "open at the same time: ", s->open[slot]);
}

void search_undecided(struct search *s, const char *why)
{
    s->verdict->answer = LINEARIZE_UNDECIDED;
    say(s, "undecided: %s\n", why);
}
