#include "tests/history/linearize.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIGURATIONS = 100000, WORDS = LINEARIZE_PENDING / 64, SHOWN = 3, NO_SLOT = -1 };

#define VALUE_ANY (UINT64_MAX - 1) /* after a cold start */

struct bits {
    uint64_t word[WORDS];
};

/* What may be true: the state, and which of the open operations have taken effect already. */
struct configuration {
    struct model model;
    uint64_t value;   /* of the block */
    struct bits done; /* answered later, ordered already */
    struct bits used; /* of unknown outcome: took effect */
    int trail;        /* the newest step of the order that led here, -1 = none */
};

struct step {
    size_t op;
    uint64_t latest;
    int before;
};

struct set {
    struct configuration *all;
    size_t count, room;
    size_t *buckets; /* 1 + index, linear probing */
    size_t bucket_count;
};

struct event {
    uint64_t when;
    enum { CALL, EXPIRE, RETURN } what; /* at the same time: in this order */
    size_t op;
};

struct search {
    const struct history *history;
    int block;
    struct linearize_verdict *verdict;
    size_t configurations_max;
    struct history_op *ops; /* of this unit, as they count here */
    size_t *origin;         /* their numbers in the history */
    size_t count;
    struct event *events;
    size_t event_count;
    size_t open[LINEARIZE_PENDING]; /* operation by slot */
    int *slot;                      /* slot by operation */
    struct bits taken;              /* slots in use */
    struct set now, next, seen;
    struct step *steps;
    size_t step_count, step_room;
    size_t target; /* the operation whose answer has come */
    bool overflow;
};

static void *grow(void *old, size_t *room, size_t size)
{
    *room = *room ? 2 * *room : 64;
    old = realloc(old, *room * size);
    if (!old)
        abort();
    return old;
}

static bool bit_get(const struct bits *b, int n)
{
    return b->word[n / 64] >> (n % 64) & 1;
}

static void bit_set(struct bits *b, int n, bool on)
{
    if (on)
        b->word[n / 64] |= (uint64_t)1 << (n % 64);
    else
        b->word[n / 64] &= ~((uint64_t)1 << (n % 64));
}

static bool bits_equal(const struct bits *a, const struct bits *b)
{
    return !memcmp(a, b, sizeof *a);
}

static bool bits_subset(const struct bits *a, const struct bits *b)
{
    for (int i = 0; i < WORDS; i++)
        if (a->word[i] & ~b->word[i])
            return false;
    return true;
}

/* ---- sets of configurations ---- */

static void set_clear(struct set *set)
{
    set->count = 0;
    if (set->buckets)
        memset(set->buckets, 0, set->bucket_count * sizeof *set->buckets);
}

static void set_free(struct set *set)
{
    free(set->all);
    free(set->buckets);
}

static size_t hash_of(const struct configuration *c)
{
    uint64_t hash = model_hash(&c->model) ^ c->value * 0x9e3779b97f4a7c15u;

    for (int i = 0; i < WORDS; i++)
        hash = (hash ^ c->done.word[i]) * 0xbf58476d1ce4e5b9u ^ hash >> 31;
    return (size_t)(hash ^ hash >> 17);
}

static void set_rehash(struct set *set)
{
    set->bucket_count = set->bucket_count ? 4 * set->bucket_count : 256;
    free(set->buckets);
    set->buckets = calloc(set->bucket_count, sizeof *set->buckets);
    if (!set->buckets)
        abort();
    for (size_t i = 0; i < set->count; i++) {
        size_t at = hash_of(&set->all[i]) % set->bucket_count;
        while (set->buckets[at])
            at = (at + 1) % set->bucket_count;
        set->buckets[at] = i + 1;
    }
}

static bool same_place(const struct configuration *a, const struct configuration *b)
{
    return a->value == b->value && bits_equal(&a->done, &b->done) &&
           model_equal(&a->model, &b->model);
}

/* Adds unless one like it is there that used no more of the unknown outcomes (it can do whatever
 * this one can). Replaces one that used more. */
static bool set_add(struct set *set, const struct configuration *c)
{
    if (2 * (set->count + 1) > set->bucket_count)
        set_rehash(set);
    size_t at = hash_of(c) % set->bucket_count;
    for (; set->buckets[at]; at = (at + 1) % set->bucket_count) {
        struct configuration *other = &set->all[set->buckets[at] - 1];
        if (!same_place(other, c))
            continue;
        if (bits_subset(&other->used, &c->used))
            return false;
        if (bits_subset(&c->used, &other->used)) {
            *other = *c;
            return true;
        }
    }
    if (set->count == set->room)
        set->all = grow(set->all, &set->room, sizeof *set->all);
    set->all[set->count++] = *c;
    set->buckets[at] = set->count;
    return true;
}

/* ---- one operation in one state ---- */

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
    return !model_registered(m) || !m->type || op->read_type == m->type;
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
        return (!(op->op.pages & MODEL_PAGE_CACHING) || op->read_mode.wce == m->mode.wce) &&
               (!(op->op.pages & MODEL_PAGE_CONTROL) ||
                (op->read_mode.swp == m->mode.swp && op->read_mode.tas == m->mode.tas &&
                 op->read_mode.d_sense == m->mode.d_sense));
    default:
        return true;
    }
}

/* Does the model answer what was answered? `c` becomes the state afterwards. An unknown outcome
 * matches when it takes effect. */
static bool apply(const struct search *s, size_t index, struct configuration *c)
{
    const struct history_op *op = &s->ops[index];
    struct model_result result;

    model_apply(&c->model, &op->op, &result);
    if (op->op.kind == MODEL_COLD_START)
        c->value = VALUE_ANY;
    if (op->outcome == HISTORY_UNKNOWN)
        return result.reason == REASON_GOOD;
    if (result.reason != op->reason)
        return false;
    if (op->reason != REASON_GOOD)
        return true;
    if (s->block != LINEARIZE_NO_BLOCK && op->value != HISTORY_NO_VALUE) {
        if (op->op.kind == MODEL_WRITE)
            c->value = op->value;
        if (op->op.kind == MODEL_READ) {
            if (c->value != op->value && c->value != VALUE_ANY)
                return false;
            c->value = op->value;
        }
    }
    return read_matches(&c->model, op);
}

static bool changed(const struct configuration *a, const struct configuration *b)
{
    return a->value != b->value || !model_equal(&a->model, &b->model);
}

/* ---- the search ---- */

struct node {
    struct configuration c;
    struct configuration parent; /* before `last` */
    size_t last;                 /* the operation that led here, SIZE_MAX = none */
    bool marked;                 /* something was ordered here that changes nothing */
};

static bool is_open(const struct search *s, int slot)
{
    return bit_get(&s->taken, slot);
}

static bool unknown(const struct search *s, size_t op)
{
    return s->ops[op].outcome == HISTORY_UNKNOWN;
}

/* Can this operation change this state or a later one, answered as it was? */
static bool changes(const struct search *s, size_t index, const struct configuration *c)
{
    const struct history_op *op = &s->ops[index];

    if (op->outcome == HISTORY_UNKNOWN)
        return true;
    if (op->reason != REASON_GOOD)
        return false;
    if (op->op.kind == MODEL_READ) /* it tells what is there */
        return s->block != LINEARIZE_NO_BLOCK && c->value == VALUE_ANY;
    if (op->op.kind == MODEL_WRITE)
        return s->block != LINEARIZE_NO_BLOCK;
    return op->op.kind < MODEL_MODE_SENSE;
}

/* Orders all open operations that can change nothing, where this state answers as it was answered:
 * it is never worse to do so now than later. */
static bool mark(const struct search *s, struct configuration *c)
{
    bool any = false;

    for (int slot = 0; slot < LINEARIZE_PENDING; slot++) {
        struct configuration after;

        if (!is_open(s, slot) || bit_get(&c->done, slot) || changes(s, s->open[slot], c))
            continue;
        after = *c;
        if (apply(s, s->open[slot], &after)) {
            bit_set(&c->done, slot, true);
            any = true;
        }
    }
    return any;
}

static int add_step(struct search *s, size_t op, int before)
{
    if (s->step_count == s->step_room)
        s->steps = grow(s->steps, &s->step_room, sizeof *s->steps);
    s->steps[s->step_count] = (struct step){.op = op, .latest = HISTORY_NEVER, .before = before};
    return (int)s->step_count++;
}

/* Would the target first and `last` after it have come to the same? Then that order is found
 * elsewhere, by leaving `last` for later. */
static bool commutes(const struct search *s, const struct node *node,
                     const struct configuration *end)
{
    struct configuration c = node->parent;

    if (node->last == SIZE_MAX || node->marked)
        return false;
    return apply(s, s->target, &c) && apply(s, node->last, &c) && !changed(&c, end);
}

static void emit(struct search *s, const struct configuration *c)
{
    struct configuration out = *c;

    bit_set(&out.done, s->slot[s->target], false);
    bit_set(&out.used, s->slot[s->target], false);
    set_add(&s->next, &out);
    if (s->next.count > s->configurations_max)
        s->overflow = true;
}

struct stack {
    struct node *nodes;
    size_t count, room;
};

static void push(struct search *s, struct stack *stack, const struct node *node)
{
    if (!set_add(&s->seen, &node->c))
        return;
    s->verdict->explored++;
    if (s->seen.count > s->configurations_max) {
        s->overflow = true;
        return;
    }
    if (stack->count == stack->room)
        stack->nodes = grow(stack->nodes, &stack->room, sizeof *stack->nodes);
    stack->nodes[stack->count++] = *node;
}

/* All states in which the target has been ordered, from the node on. */
static void expand(struct search *s, struct stack *stack, struct node node)
{
    int target_slot = s->slot[s->target];
    struct configuration after = node.c;

    node.marked = mark(s, &node.c);
    if (bit_get(&node.c.done, target_slot)) {
        emit(s, &node.c);
        return;
    }
    after = node.c;
    if (changes(s, s->target, &node.c) && apply(s, s->target, &after) &&
        !commutes(s, &node, &after)) {
        after.trail = add_step(s, s->target, node.c.trail);
        emit(s, &after);
    }
    for (int slot = 0; slot < LINEARIZE_PENDING; slot++) {
        struct node child = {.c = node.c, .parent = node.c, .last = s->open[slot]};

        if (!is_open(s, slot) || slot == target_slot || bit_get(&node.c.done, slot) ||
            bit_get(&node.c.used, slot) || !changes(s, s->open[slot], &node.c))
            continue;
        if (!apply(s, s->open[slot], &child.c))
            continue;
        if (unknown(s, s->open[slot]) && !changed(&node.c, &child.c))
            continue;
        bit_set(unknown(s, s->open[slot]) ? &child.c.used : &child.c.done, slot, true);
        child.c.trail = add_step(s, s->open[slot], node.c.trail);
        push(s, stack, &child);
    }
}

/* The answer of `op` has come, or its last chance to have an effect. */
static void settle(struct search *s, size_t op)
{
    struct stack stack = {0};
    int slot = s->slot[op];

    s->target = op;
    set_clear(&s->next);
    set_clear(&s->seen);
    for (size_t i = 0; i < s->now.count && !s->overflow; i++) {
        const struct configuration *c = &s->now.all[i];
        struct node node = {.c = *c, .last = SIZE_MAX};

        if (unknown(s, op))
            emit(s, c); /* taken effect before, or never */
        if (bit_get(unknown(s, op) ? &c->used : &c->done, slot)) {
            emit(s, c);
            continue;
        }
        push(s, &stack, &node);
        while (stack.count && !s->overflow)
            expand(s, &stack, stack.nodes[--stack.count]);
    }
    free(stack.nodes);
}

/* ---- preparation ---- */

/* A write of unknown outcome whose value was read has taken effect before that answer; one whose
 * value nobody read may as well have had none. */
static bool settle_write(const struct history *history, struct history_op *op)
{
    uint64_t seen = HISTORY_NEVER;

    for (size_t i = 0; i < history->count; i++) {
        const struct history_op *read = &history->ops[i];
        if (read->op.kind == MODEL_READ && read->lu == op->lu && read->block == op->block &&
            read->value == op->value && read->outcome == HISTORY_ANSWERED &&
            read->reason == REASON_GOOD && read->end < seen)
            seen = read->end;
    }
    if (seen == HISTORY_NEVER)
        return false;
    op->outcome = HISTORY_ANSWERED;
    op->reason = REASON_GOOD;
    op->end = seen < op->until ? seen : op->until;
    if (op->end < op->call) /* read before it was sent: let the read fail */
        op->end = op->call;
    return true;
}

static bool counts(const struct search *s, int lu, struct history_op *op)
{
    bool io = op->op.kind == MODEL_READ || op->op.kind == MODEL_WRITE;

    if ((op->lu != lu && op->lu != HISTORY_ALL_LUS) || op->outcome == HISTORY_REFUSED)
        return false;
    if (io && s->block != LINEARIZE_NO_BLOCK &&
        (op->value == HISTORY_NO_VALUE || op->block != (uint32_t)s->block))
        return false;
    if (op->outcome == HISTORY_ANSWERED)
        return true;
    if (io)
        return s->block != LINEARIZE_NO_BLOCK && op->op.kind == MODEL_WRITE &&
               settle_write(s->history, op);
    return op->op.kind < MODEL_MODE_SENSE; /* what has no answer and changes nothing */
}

/* Nothing that was under way outlives a power cut of everything. */
static void bound_unknown(struct search *s, const struct linearize_options *options)
{
    for (size_t i = 0; i < s->count; i++) {
        struct history_op *op = &s->ops[i];

        if (op->outcome != HISTORY_UNKNOWN)
            continue;
        if (options->unknown_ns && op->until - op->call > options->unknown_ns)
            op->until = op->call + options->unknown_ns;
        for (size_t j = 0; j < s->count; j++) {
            const struct history_op *cut = &s->ops[j];
            if (cut->op.kind == MODEL_COLD_START && op->call < cut->call && op->until > cut->end)
                op->until = cut->end;
        }
    }
}

static int compare_events(const void *a, const void *b)
{
    const struct event *x = a, *y = b;

    if (x->when != y->when)
        return x->when < y->when ? -1 : 1;
    if (x->what != y->what)
        return (int)x->what - (int)y->what;
    return x->op < y->op ? -1 : x->op > y->op;
}

static void prepare(struct search *s, int lu, const struct linearize_options *options)
{
    const struct history *history = s->history;

    s->ops = calloc(history->count + 1, sizeof *s->ops);
    s->origin = calloc(history->count + 1, sizeof *s->origin);
    s->slot = calloc(history->count + 1, sizeof *s->slot);
    s->events = calloc(2 * history->count + 1, sizeof *s->events);
    if (!s->ops || !s->origin || !s->slot || !s->events)
        abort();
    for (size_t i = 0; i < history->count; i++) {
        struct history_op op = history->ops[i];
        if (!counts(s, lu, &op))
            continue;
        s->origin[s->count] = i;
        s->ops[s->count++] = op;
    }
    bound_unknown(s, options);
    for (size_t i = 0; i < s->count; i++) {
        const struct history_op *op = &s->ops[i];
        bool open = op->outcome == HISTORY_UNKNOWN;
        uint64_t end = open ? op->until : op->end;

        s->slot[i] = NO_SLOT;
        if (end < op->call)
            continue;
        s->events[s->event_count++] = (struct event){op->call, CALL, i};
        if (end != HISTORY_NEVER)
            s->events[s->event_count++] = (struct event){end, open ? EXPIRE : RETURN, i};
    }
    qsort(s->events, s->event_count, sizeof *s->events, compare_events);
}

/* ---- words for people ---- */

static void say(struct search *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct search *s, const char *format, ...)
{
    size_t used = strlen(s->verdict->why);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(s->verdict->why + used, sizeof s->verdict->why - used, format, arguments);
    va_end(arguments);
}

static void say_state(struct search *s, const struct configuration *c)
{
    const struct model *m = &c->model;
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
    if (s->block != LINEARIZE_NO_BLOCK && c->value != VALUE_ANY)
        say(s, ", block %d holds %llu", s->block, (unsigned long long)c->value);
}

static void explain(struct search *s, size_t failed)
{
    char text[512];

    s->verdict->answer = LINEARIZE_NO;
    s->verdict->failed = s->origin[failed];
    history_describe(&s->ops[failed], text, sizeof text);
    say(s, "not linearizable: no order explains this answer:\n  %s\n", text);
    for (size_t i = 0; i < s->now.count && i < SHOWN; i++) {
        const struct configuration *c = &s->now.all[i];
        struct configuration after = *c;
        struct model_result result;

        say(s, "expected, when %s: ", i ? "instead it was" : "the unit was");
        say_state(s, c);
        model_apply(&after.model, &s->ops[failed].op, &result);
        say(s, ": %s\n", history_reason_name(result.reason));
        if (c->trail >= 0) {
            history_describe(&s->ops[s->steps[c->trail].op], text, sizeof text);
            say(s, "  the newest change before was: %s\n", text);
        }
    }
    if (s->now.count > SHOWN)
        say(s, "(%zu more possible states)\n", s->now.count - SHOWN);
    for (int slot = 0; slot < LINEARIZE_PENDING; slot++)
        if (is_open(s, slot) && s->open[slot] != failed) {
            history_describe(&s->ops[s->open[slot]], text, sizeof text);
            say(s, "open at the same time: %s\n", text);
        }
}

static void undecided(struct search *s, const char *why)
{
    s->verdict->answer = LINEARIZE_UNDECIDED;
    say(s, "undecided: %s\n", why);
}

static void keep_order(struct search *s)
{
    struct linearize_verdict *v = s->verdict;
    int trail = s->now.count ? s->now.all[0].trail : -1;
    uint64_t latest = HISTORY_NEVER;

    for (int at = trail; at >= 0; at = s->steps[at].before)
        v->order_count++;
    v->order = calloc(v->order_count + 1, sizeof *v->order);
    v->order_latest = calloc(v->order_count + 1, sizeof *v->order_latest);
    if (!v->order || !v->order_latest)
        abort();
    for (size_t i = v->order_count; i-- > 0; trail = s->steps[trail].before) {
        const struct history_op *op = &s->ops[s->steps[trail].op];
        uint64_t end = op->outcome == HISTORY_UNKNOWN ? op->until : op->end;

        latest = end < latest ? end : latest;
        v->order[i] = s->origin[s->steps[trail].op];
        v->order_latest[i] = latest;
    }
}

static int free_slot(const struct search *s)
{
    for (int slot = 0; slot < LINEARIZE_PENDING; slot++)
        if (!is_open(s, slot))
            return slot;
    return NO_SLOT;
}

/* Returns false when the search is over. */
static bool walk(struct search *s, const struct event *event)
{
    size_t op = event->op;
    struct set swap;

    if (event->what == CALL) {
        int slot = free_slot(s);
        if (slot == NO_SLOT) {
            undecided(s, "too many operations are open at a time (bound the unknown ones)");
            return false;
        }
        s->slot[op] = slot;
        s->open[slot] = op;
        bit_set(&s->taken, slot, true);
        return true;
    }
    settle(s, op);
    if (s->overflow) {
        undecided(s, "too many states are possible");
        return false;
    }
    if (!s->next.count) {
        explain(s, op);
        return false;
    }
    bit_set(&s->taken, s->slot[op], false);
    swap = s->now;
    s->now = s->next;
    s->next = swap;
    if (s->now.count > s->verdict->configurations_most)
        s->verdict->configurations_most = s->now.count;
    return true;
}

void linearize(const struct history *history, int lu, int block,
               const struct linearize_options *options, struct linearize_verdict *verdict)
{
    struct search s = {.history = history, .block = block, .verdict = verdict};
    struct configuration first = {.trail = -1};
    size_t at = 0;

    memset(verdict, 0, sizeof *verdict);
    s.configurations_max =
        options->configurations_max ? options->configurations_max : CONFIGURATIONS;
    prepare(&s, lu, options);
    verdict->operations = s.count;
    model_init(&first.model, history->initiators, history->ports);
    set_add(&s.now, &first);
    while (at < s.event_count && walk(&s, &s.events[at]))
        at++;
    if (at == s.event_count)
        keep_order(&s);
    free(s.ops);
    free(s.origin);
    free(s.slot);
    free(s.events);
    free(s.steps);
    set_free(&s.now);
    set_free(&s.next);
    set_free(&s.seen);
}

void linearize_done(struct linearize_verdict *verdict)
{
    free(verdict->order);
    free(verdict->order_latest);
    verdict->order = NULL;
    verdict->order_latest = NULL;
    verdict->order_count = 0;
}
