/* One operation of a history in one configuration: does the model answer the same? */
#include <stdlib.h>
#include <string.h>

#include "tests/history/search.h"

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static bool keys_match(const struct model *m, const struct history_op *op)
{
    uint64_t ours[MODEL_NEXUSES], theirs[MODEL_NEXUSES];
    unsigned count = 0;

    if (op->registration_count != (unsigned)model_registered(m))
        return false;
    for (int n = 0; n < model_nexuses(m); n++)
        if (m->key[n])
            ours[count++] = m->key[n];
    for (unsigned i = 0; i < count; i++)
        theirs[i] = op->registrations[i].key;
    qsort(ours, count, sizeof *ours, compare_keys);
    qsort(theirs, count, sizeof *theirs, compare_keys);
    return !memcmp(ours, theirs, count * sizeof *ours);
}

static bool status_matches(const struct model *m, const struct history_op *op)
{
    if (op->registration_count != (unsigned)model_registered(m))
        return false;
    for (unsigned i = 0; i < op->registration_count; i++) {
        const struct history_registration *r = &op->registrations[i];
        if (m->key[r->nexus] != r->key || model_is_holder(m, r->nexus) != r->holder)
            return false;
    }
    return !m->type || op->read_type == m->type;
}

static bool mode_matches(const struct model *m, const struct history_op *op)
{
    const struct shared_mode *a = &m->mode, *b = &op->read_mode;

    return (!(op->op.pages & MODEL_PAGE_CACHING) || a->wce == b->wce) &&
           (!(op->op.pages & MODEL_PAGE_CONTROL) ||
            (a->swp == b->swp && a->tas == b->tas && a->d_sense == b->d_sense));
}

static bool read_matches(const struct model *m, const struct history_op *op)
{
    switch (op->op.kind) {
    case MODEL_READ_KEYS:
        return op->generation == m->generation && keys_match(m, op);
    case MODEL_READ_FULL_STATUS:
        return op->generation == m->generation && status_matches(m, op);
    case MODEL_READ_RESERVATION:
        return op->generation == m->generation && op->read_type == m->type &&
               (!m->type || op->read_key == (m->holder == MODEL_NOBODY ? 0 : m->key[m->holder]));
    case MODEL_MODE_SENSE:
        return mode_matches(m, op);
    default:
        return true;
    }
}

/* A command looks for unit attentions: it reports the first that is pending, or there is none. */
static bool look(const struct search *s, const struct history_op *op, struct configuration *c)
{
    ua_set pending = c->pending;
    enum unit_attention first = ua_take(&pending);

    if (op->outcome == HISTORY_UNKNOWN) { /* perhaps its answer got lost with one */
        c->pending = pending;
        return true;
    }
    if (op->reason != REASON_UNIT_ATTENTION)
        return first == UA_COUNT;
    if (op->ua == UA_COUNT || first != op->ua)
        return false;
    c->pending = pending;
    return true;
}

static void establish(const struct search *s, struct configuration *c, enum unit_attention ua)
{
    if (ua < UA_COUNT && !(s->history->ua_free >> ua & 1))
        ua_establish(&c->pending, ua);
}

static void attentions(const struct search *s, const struct history_op *op,
                       const struct model_result *result, struct configuration *c)
{
    int nexus = (int)s->options->of;

    if (op->op.kind == MODEL_ATTENTION)
        establish(s, c, op->ua);
    else if (op->op.kind != MODEL_LOGIN)
        establish(s, c, result->ua[nexus]);
    else {
        c->pending = 0;
        establish(s, c, op->ua);
    }
}

static bool block_matches(const struct history_op *op, struct configuration *c)
{
    if (op->op.kind == MODEL_COMPARE_AND_WRITE) {
        if (c->value != op->compare && c->value != VALUE_ANY)
            return op->reason == REASON_MISCOMPARE;
        if (op->reason == REASON_MISCOMPARE) /* of what may be anything this tells too little */
            return c->value == VALUE_ANY;
        c->value = op->value;
        return true;
    }
    if (op->op.kind == MODEL_WRITE)
        c->value = op->value;
    if (op->op.kind == MODEL_READ) {
        if (c->value != op->value && c->value != VALUE_ANY)
            return false;
        c->value = op->value;
    }
    return true;
}

bool search_apply(const struct search *s, size_t item, struct configuration *c)
{
    const struct history_op *op = &s->items[item].op;
    struct model_result result;

    if (s->items[item].looks)
        return look(s, op, c);
    model_apply(&c->model, &op->op, &result);
    if (op->op.kind == MODEL_CACHE_LOSS)
        c->value = VALUE_ANY;
    if (result.reason == REASON_GOOD && s->options->view == LINEARIZE_ATTENTIONS)
        attentions(s, op, &result, c);
    if (op->outcome == HISTORY_UNKNOWN)
        return result.reason == REASON_GOOD &&
               (s->options->view != LINEARIZE_BLOCK || block_matches(op, c));
    if (op->reason == REASON_MISCOMPARE)
        return result.reason == REASON_GOOD &&
               (s->options->view != LINEARIZE_BLOCK || block_matches(op, c));
    if (result.reason != op->reason)
        return false;
    if (op->reason != REASON_GOOD)
        return true;
    if (s->options->view == LINEARIZE_BLOCK && !block_matches(op, c))
        return false;
    return read_matches(&c->model, op);
}

bool search_same(const struct search *s, size_t item, const struct configuration *c)
{
    const struct history_op *op = &s->items[item].op;
    struct configuration after;

    /* What reads or writes leaves the model alone: no copy of it is needed, for the most frequent
     * of all. */
    if (!s->items[item].looks && s->options->view != LINEARIZE_BLOCK &&
        (op->op.kind == MODEL_READ || op->op.kind == MODEL_WRITE ||
         op->op.kind == MODEL_COMPARE_AND_WRITE))
        return model_io(&c->model, &op->op) ==
               (op->reason == REASON_MISCOMPARE ? REASON_GOOD : op->reason);
    after = *c;
    return search_apply(s, item, &after);
}

bool search_changes(const struct search *s, size_t item, const struct configuration *c)
{
    const struct history_op *op = &s->items[item].op;

    if (s->items[item].looks)
        return op->outcome == HISTORY_UNKNOWN || op->reason == REASON_UNIT_ATTENTION;
    if (op->outcome == HISTORY_UNKNOWN)
        return true;
    if (op->reason != REASON_GOOD)
        return false;
    switch (op->op.kind) {
    case MODEL_MODE_SENSE:
    case MODEL_READ_KEYS:
    case MODEL_READ_RESERVATION:
    case MODEL_READ_FULL_STATUS:
        return false;
    case MODEL_READ: /* it tells what is there */
        return c->value == VALUE_ANY;
    case MODEL_WRITE:
    case MODEL_COMPARE_AND_WRITE:
        return s->options->view == LINEARIZE_BLOCK;
    default:
        return true;
    }
}
