#include "tests/history/linearize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/history/search.h"

enum { EXPLORED = 1000000, NO_SLOT = -1 };

/* A state in which the target has not been ordered yet. */
struct node {
    struct configuration c;
    struct configuration parent; /* before `last` */
    size_t last;                 /* the item that led here, SIZE_MAX = none */
    bool marked;                 /* something was ordered here that changes nothing */
};

struct queue {
    struct node *nodes;
    size_t first, count, room;
};

/* The search stands before one answer (or a last chance to have an effect). Levels follow each
 * other in time; each tries ways to pass it, and asks the next one whether the rest can be
 * explained. */
struct level {
    size_t event; /* the one that settles an item; event_count = the end */
    struct configurations
        seen;                /* all states that were ever tried here: none of them led to the end */
    struct queue now, later; /* to be tried: with as many unknown outcomes used, with one more */
    size_t entry_count;      /* states in which this level was reached and not passed at once */
};

struct levels {
    struct level *all;
    size_t count, room;
    /* Of the one that is farthest from the start. */
    size_t farthest;
    struct configuration entries[SEARCH_SHOWN];
};

static void *grow(void *old, size_t *room, size_t size)
{
    *room = *room ? 2 * *room : 2;
    old = realloc(old, *room * size);
    if (!old)
        abort();
    return old;
}

static struct node *append(struct queue *queue)
{
    if (queue->count == queue->room)
        queue->nodes = grow(queue->nodes, &queue->room, sizeof *queue->nodes);
    return &queue->nodes[queue->count++];
}

/* Slots of `bits` in turn, from `slot` on: the next one, or LINEARIZE_PENDING. */
static int next_open(const struct search *s, const struct bits *done, int slot)
{
    for (; slot < LINEARIZE_PENDING; slot = (slot | 63) + 1) {
        uint64_t left = (s->taken.word[slot / 64] & ~done->word[slot / 64]) >> slot % 64;
        if (left)
            return slot + __builtin_ctzll(left);
    }
    return LINEARIZE_PENDING;
}

/* Orders all open operations that can change nothing, where this state answers as it was answered:
 * it is never worse to do so now than later. */
static bool mark(const struct search *s, struct configuration *c)
{
    bool any = false;

    for (int slot = next_open(s, &c->done, 0); slot < LINEARIZE_PENDING;
         slot = next_open(s, &c->done, slot + 1)) {
        if (!search_changes(s, s->open[slot], c) && search_same(s, s->open[slot], c)) {
            bit_set(&c->done, slot, true);
            any = true;
        }
    }
    return any;
}

static int add_step(struct search *s, size_t item, int before)
{
    if (s->step_count == s->step_room)
        s->steps = grow(s->steps, &s->step_room, sizeof *s->steps);
    s->steps[s->step_count] = (struct search_step){item, before};
    return (int)s->step_count++;
}

/* Would the target first and `last` after it have come to the same? Then that order is found
 * elsewhere, by leaving `last` for later. */
static bool commutes(const struct search *s, const struct node *node,
                     const struct configuration *end)
{
    struct configuration c;

    if (node->last == SIZE_MAX || node->marked)
        return false;
    c = node->parent;
    return search_apply(s, s->target, &c) && search_apply(s, node->last, &c) &&
           configuration_same_state(&c, end);
}

/* Has it not been tried here yet? */
static bool is_new(struct search *s, struct level *level, const struct configuration *c)
{
    if (!configurations_add(&level->seen, c))
        return false;
    if (++s->verdict->explored > s->explored_max)
        s->overflow = true;
    return true;
}

/* The target has read a smaller PRgeneration, and that only grows between losses of power: what
 * would be tried from here on cannot lead to it. */
static bool too_late(const struct search *s, const struct configuration *c)
{
    const struct history_op *op = &s->items[s->target].op;

    return !s->cold_starts && op->outcome == HISTORY_ANSWERED && op->reason == REASON_GOOD &&
           op->op.kind >= MODEL_READ_KEYS && op->op.kind <= MODEL_READ_FULL_STATUS &&
           c->model.generation > op->generation;
}

/* Of unknown outcome: would both do the same to any state? Commands that look for unit attentions are of one nexus here. */
static bool alike(const struct search_item *a, const struct search_item *b)
{
    if (a->op.outcome != HISTORY_UNKNOWN || b->op.outcome != HISTORY_UNKNOWN)
        return false;
    if (a->looks || b->looks)
        return a->looks && b->looks;
    return a->op.op.kind == MODEL_NEXUS_LOSS && b->op.op.kind == MODEL_NEXUS_LOSS && a->op.op.nexus == b->op.op.nexus;
}

/* Of those that are alike the one that can have an effect for the shortest time goes first: no order is missed by that, and
 * there are as many ways as there are of them, not one for each set of them. */
static bool goes_behind(const struct search *s, const struct configuration *c, int slot)
{
    const struct search_item *item = &s->items[s->open[slot]];

    for (int other = next_open(s, &c->used, 0); other < LINEARIZE_PENDING; other = next_open(s, &c->used, other + 1)) {
        const struct search_item *o = &s->items[s->open[other]];

        if (alike(o, item) && (o->op.until < item->op.until || (o->op.until == item->op.until && other < slot)))
            return true;
    }
    return false;
}

/* Tries one open operation before the target. */
static void expand_by(struct search *s, struct level *level, const struct node *node, int slot)
{
    size_t item = s->open[slot];
    bool unknown = search_unknown(s, item);
    struct configuration c;
    struct node *child;

    if ((unknown && bit_get(&node->c.used, slot)) || !search_changes(s, item, &node->c))
        return;
    c = node->c;
    if (!search_apply(s, item, &c) ||
        (unknown && (configuration_same_state(&node->c, &c) || goes_behind(s, &node->c, slot))))
        return;
    bit_set(unknown ? &c.used : &c.done, slot, true);
    if (too_late(s, &c) || !is_new(s, level, &c))
        return;
    c.trail = add_step(s, item, node->c.trail);
    child = append(unknown ? &level->later : &level->now);
    child->c = c;
    child->parent = node->c;
    child->last = item;
}

/* The target is in order: with its slot free, this is a state for the next level. */
static void pass(const struct search *s, struct configuration *out)
{
    int slot = s->items[s->target].slot;

    bit_set(&out->done, slot, false);
    bit_set(&out->used, slot, false);
}

/* One state more is tried: true when the target is ordered in it, which gives *out. */
static bool expand(struct search *s, struct level *level, struct node *node,
                   struct configuration *out)
{
    int target_slot = s->items[s->target].slot;
    bool passed = false;

    node->marked = mark(s, &node->c);
    *out = node->c;
    if (bit_get(&node->c.done, target_slot))
        return true;
    if (search_changes(s, s->target, &node->c) && search_apply(s, s->target, out) &&
        !commutes(s, node, out)) {
        out->trail = add_step(s, s->target, node->c.trail);
        passed = true;
    }
    for (int slot = next_open(s, &node->c.done, 0); slot < LINEARIZE_PENDING;
         slot = next_open(s, &node->c.done, slot + 1))
        if (slot != target_slot)
            expand_by(s, level, node, slot);
    return passed;
}

/* The next way to pass this level, those that use few unknown outcomes first. False: no more. */
static bool next_way(struct search *s, struct level *level, struct configuration *out)
{
    while (!s->overflow) {
        struct node node;

        if (level->now.first == level->now.count) {
            struct queue swap = level->now;
            swap.first = swap.count = 0;
            level->now = level->later;
            level->later = swap;
            if (!level->now.count)
                return false;
        }
        node = level->now.nodes[level->now.first++]; /* a copy: the queue grows */
        if (expand(s, level, &node, out)) {
            pass(s, out);
            return true;
        }
    }
    return false;
}

/* The level is reached in this state, which becomes a way to pass it at once, if true. */
static bool enter(struct search *s, struct levels *levels, size_t at, struct configuration *c)
{
    struct level *level = &levels->all[at];
    int slot = s->items[s->target].slot;
    bool unknown = search_unknown(s, s->target), settled;

    level->now.first = level->now.count = level->later.count = 0;
    if (!unknown && (bit_get(&c->done, slot) || (mark(s, c) && bit_get(&c->done, slot)))) {
        s->verdict->explored++;
        pass(s, c); /* no other way is better: nothing to remember */
        return true;
    }
    if (!is_new(s, level, c))
        return false;
    if (at > levels->farthest)
        levels->farthest = at;
    if (at == levels->farthest && level->entry_count < SEARCH_SHOWN)
        levels->entries[level->entry_count] = *c;
    level->entry_count++;
    settled = bit_get(unknown ? &c->used : &c->done, slot);
    if (!settled) {
        struct node *node = append(&level->now);
        node->c = *c;
        node->last = SIZE_MAX;
    }
    pass(s, c);
    return settled || unknown; /* of unknown outcome: it took effect before, or never */
}

/* ---- levels ---- */

static int free_slot(const struct search *s)
{
    for (int slot = 0; slot < LINEARIZE_PENDING; slot++)
        if (!bit_get(&s->taken, slot))
            return slot;
    return NO_SLOT;
}

/* Opens what begins before the level's answer; its first event is behind the one before. */
static bool open_calls(struct search *s, struct level *level)
{
    for (; level->event < s->event_count && s->events[level->event].what == SEARCH_CALL;
         level->event++) {
        size_t item = s->events[level->event].item;
        int slot = free_slot(s);

        if (slot == NO_SLOT) {
            search_undecided(s, "too many operations are open at a time (bound the unknown ones)");
            return false;
        }
        s->items[item].slot = slot;
        s->open[slot] = item;
        bit_set(&s->taken, slot, true);
    }
    return true;
}

/* Takes back what open_calls() did for the level behind this one; slots stay as they were given. */
static void close_calls(struct search *s, const struct level *level, const struct level *next)
{
    int slot = s->items[s->events[level->event].item].slot;

    for (size_t e = level->event + 1; e < next->event; e++)
        bit_set(&s->taken, s->items[s->events[e].item].slot, false);
    bit_set(&s->taken, slot, true);
    s->open[slot] = s->events[level->event].item;
}

/* The level behind `at`: as it was left, or a new one. NULL: cannot be. */
static struct level *level_behind(struct search *s, struct levels *levels, size_t at)
{
    const struct level *before = at == SIZE_MAX ? NULL : &levels->all[at];
    struct level level = {.event = before ? before->event + 1 : 0};

    if (before)
        bit_set(&s->taken, s->items[s->events[before->event].item].slot, false);
    if (!open_calls(s, &level))
        return NULL;
    if (at + 1 == levels->count) {
        if (levels->count == levels->room)
            levels->all = grow(levels->all, &levels->room, sizeof *levels->all);
        levels->all[levels->count++] = level;
    }
    return &levels->all[at + 1];
}

static void stand_at(struct search *s, const struct level *level)
{
    s->target = s->events[level->event].item;
}

/* Depth first: which of the ways to pass an answer is right shows at the answers behind it. */
static void walk(struct search *s, struct levels *levels, const struct configuration *first)
{
    struct configuration c = *first;
    struct level *level = level_behind(s, levels, SIZE_MAX);
    size_t at = 0;
    bool passed;

    if (!level || level->event == s->event_count)
        return;
    stand_at(s, level);
    passed = enter(s, levels, 0, &c);
    for (;;) {
        level = &levels->all[at];
        if (!passed && !next_way(s, level, &c)) {
            if (s->overflow || !at)
                break;
            at--;
            close_calls(s, &levels->all[at], level);
            stand_at(s, &levels->all[at]);
            continue;
        }
        level = level_behind(s, levels, at);
        if (!level || level->event == s->event_count)
            return;
        at++;
        stand_at(s, level);
        passed = enter(s, levels, at, &c);
    }
    if (s->overflow) {
        search_undecided(s, "too many states are possible");
        return;
    }
    while (at + 1 < levels->count) { /* the answer that nothing passed is the last level's */
        level_behind(s, levels, at++);
        stand_at(s, &levels->all[at]);
    }
    search_explain(s, levels->entries, levels->all[at].entry_count);
}

static void levels_free(struct search *s, struct levels *levels)
{
    for (size_t i = 0; i < levels->count; i++) {
        struct level *level = &levels->all[i];
        if (level->entry_count > s->verdict->configurations_most)
            s->verdict->configurations_most = level->entry_count;
        configurations_free(&level->seen);
        free(level->now.nodes);
        free(level->later.nodes);
    }
    free(levels->all);
}

void linearize(const struct history *history, unsigned lu, const struct linearize_options *options,
               struct linearize_verdict *verdict)
{
    struct search s = {.history = history, .options = options, .verdict = verdict};
    struct configuration first = {.trail = -1};
    struct levels levels = {0};

    memset(verdict, 0, sizeof *verdict);
    s.explored_max = options->explored_max ? options->explored_max : EXPLORED;
    search_prepare(&s, lu);
    verdict->operations = s.count;
    model_init(&first.model, history->initiators, history->ports);
    walk(&s, &levels, &first);
    levels_free(&s, &levels);
    free(s.items);
    free(s.events);
    free(s.steps);
}

/* ---- all views ---- */

/* One view more: false when it ends here. */
static bool view(const struct history *history, unsigned lu,
                 const struct linearize_options *options, struct linearize_verdict *sum)
{
    static const char *const names[] = {
        [LINEARIZE_RESERVATIONS] = "reservations",
        [LINEARIZE_BLOCK] = "block",
        [LINEARIZE_ATTENTIONS] = "unit attentions of nexus",
    };
    struct linearize_verdict *one = malloc(sizeof *one);
    char of[16] = "";

    if (!one)
        abort();
    linearize(history, lu, options, one);
    if (options->view != LINEARIZE_RESERVATIONS)
        snprintf(of, sizeof of, " %u", options->of);
    sum->operations += one->operations;
    sum->explored += one->explored;
    if (one->configurations_most > sum->configurations_most)
        sum->configurations_most = one->configurations_most;
    if (one->answer == LINEARIZE_NO || (one->answer && !sum->answer)) {
        sum->answer = one->answer;
        sum->failed = one->failed;
        snprintf(sum->why, sizeof sum->why, "logical unit %u, %s%s: %s", lu, names[options->view],
                 of, one->why);
    }
    free(one);
    return sum->answer != LINEARIZE_NO;
}

static int compare_numbers(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

    return x < y ? -1 : x > y;
}

/* Each block that has values, or each nexus that logged in; ascending, in memory of the caller's.
 */
static unsigned *members(const struct history *history, unsigned lu, enum linearize_view what,
                         size_t *count)
{
    unsigned *all = calloc(history->count + 1, sizeof *all);
    size_t found = 0;

    if (!all)
        abort();
    *count = 0;
    for (size_t i = 0; i < history->count; i++) {
        const struct history_op *op = &history->ops[i];
        if (what == LINEARIZE_BLOCK && op->lu == (int)lu && op->value != HISTORY_NO_VALUE)
            all[found++] = op->block;
        if (what == LINEARIZE_ATTENTIONS && op->op.kind == MODEL_LOGIN)
            all[found++] = (unsigned)op->op.nexus;
    }
    qsort(all, found, sizeof *all, compare_numbers);
    for (size_t i = 0; i < found; i++)
        if (!i || all[i] != all[i - 1])
            all[(*count)++] = all[i];
    return all;
}

void linearize_all(const struct history *history, const struct linearize_options *options,
                   struct linearize_verdict *verdict)
{
    bool more = true;

    memset(verdict, 0, sizeof *verdict);
    for (unsigned lu = 0; lu < history->lus && more; lu++)
        for (enum linearize_view what = LINEARIZE_RESERVATIONS;
             what <= LINEARIZE_ATTENTIONS && more; what++) {
            struct linearize_options chosen = *options;
            size_t count = 1;
            unsigned none = 0, *all = what == LINEARIZE_RESERVATIONS
                                          ? &none
                                          : members(history, lu, what, &count);

            chosen.view = what;
            for (size_t i = 0; i < count && more; i++) {
                chosen.of = all[i];
                more = view(history, lu, &chosen, verdict);
            }
            if (all != &none)
                free(all);
        }
}
