#include "tests/history/linearize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/history/search.h"

enum { CONFIGURATIONS = 100000, NO_SLOT = -1 };

static void *grow(void *old, size_t *room, size_t size)
{
    *room = *room ? 2 * *room : 64;
    old = realloc(old, *room * size);
    if (!old)
        abort();
    return old;
}

struct node {
    struct configuration c;
    struct configuration parent; /* before `last` */
    size_t last;                 /* the item that led here, SIZE_MAX = none */
    bool marked;                 /* something was ordered here that changes nothing */
};

struct stack {
    struct node *nodes;
    size_t count, room;
};

/* Orders all open operations that can change nothing, where this state answers as it was answered:
 * it is never worse to do so now than later. */
static bool mark(const struct search *s, struct configuration *c)
{
    bool any = false;

    for (int slot = 0; slot < LINEARIZE_PENDING; slot++) {
        struct configuration after;

        if (!bit_get(&s->taken, slot) || bit_get(&c->done, slot) ||
            search_changes(s, s->open[slot], c))
            continue;
        after = *c;
        if (search_apply(s, s->open[slot], &after)) {
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
    struct configuration c = node->parent;

    if (node->last == SIZE_MAX || node->marked)
        return false;
    return search_apply(s, s->target, &c) && search_apply(s, node->last, &c) &&
           configuration_same_state(&c, end);
}

static void emit(struct search *s, const struct configuration *c)
{
    struct configuration out = *c;
    int slot = s->items[s->target].slot;

    bit_set(&out.done, slot, false);
    bit_set(&out.used, slot, false);
    configurations_add(&s->next, &out);
    if (s->next.count > s->configurations_max)
        s->overflow = true;
}

static void push(struct search *s, struct stack *stack, const struct node *node)
{
    if (!configurations_add(&s->seen, &node->c))
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

/* Tries one open operation before the target. */
static void expand_by(struct search *s, struct stack *stack, const struct node *node, int slot)
{
    size_t item = s->open[slot];
    struct node child = {.c = node->c, .parent = node->c, .last = item};

    if (bit_get(&node->c.done, slot) || bit_get(&node->c.used, slot) ||
        !search_changes(s, item, &node->c) || !search_apply(s, item, &child.c))
        return;
    if (search_unknown(s, item)) {
        if (configuration_same_state(&node->c, &child.c))
            return;
        bit_set(&child.c.used, slot, true);
    } else {
        bit_set(&child.c.done, slot, true);
    }
    child.c.trail = add_step(s, item, node->c.trail);
    push(s, stack, &child);
}

/* All states in which the target has been ordered, from the node on. */
static void expand(struct search *s, struct stack *stack, struct node node)
{
    int target_slot = s->items[s->target].slot;
    struct configuration after;

    node.marked = mark(s, &node.c);
    if (bit_get(&node.c.done, target_slot)) {
        emit(s, &node.c);
        return;
    }
    after = node.c;
    if (search_changes(s, s->target, &node.c) && search_apply(s, s->target, &after) &&
        !commutes(s, &node, &after)) {
        after.trail = add_step(s, s->target, node.c.trail);
        emit(s, &after);
    }
    for (int slot = 0; slot < LINEARIZE_PENDING; slot++)
        if (bit_get(&s->taken, slot) && slot != target_slot)
            expand_by(s, stack, &node, slot);
}

/* The answer of an operation has come, or its last chance to have an effect. */
static void settle(struct search *s, size_t item)
{
    struct stack stack = {0};
    int slot = s->items[item].slot;

    s->target = item;
    configurations_clear(&s->next);
    configurations_clear(&s->seen);
    for (size_t i = 0; i < s->now.count && !s->overflow; i++) {
        const struct configuration *c = &s->now.all[i];
        struct node node = {.c = *c, .last = SIZE_MAX};

        if (search_unknown(s, item))
            emit(s, c); /* it took effect before, or never */
        if (bit_get(search_unknown(s, item) ? &c->used : &c->done, slot)) {
            emit(s, c);
            continue;
        }
        push(s, &stack, &node);
        while (stack.count && !s->overflow)
            expand(s, &stack, stack.nodes[--stack.count]);
    }
    free(stack.nodes);
}

static int free_slot(const struct search *s)
{
    for (int slot = 0; slot < LINEARIZE_PENDING; slot++)
        if (!bit_get(&s->taken, slot))
            return slot;
    return NO_SLOT;
}

static bool begin(struct search *s, size_t item)
{
    int slot = free_slot(s);

    if (slot == NO_SLOT) {
        search_undecided(s, "too many operations are open at a time (bound the unknown ones)");
        return false;
    }
    s->items[item].slot = slot;
    s->open[slot] = item;
    bit_set(&s->taken, slot, true);
    return true;
}

/* Returns false when the search is over. */
static bool walk(struct search *s, const struct search_event *event)
{
    struct configurations swap;

    if (event->what == SEARCH_CALL)
        return begin(s, event->item);
    settle(s, event->item);
    if (s->overflow) {
        search_undecided(s, "too many states are possible");
        return false;
    }
    if (!s->next.count) {
        search_explain(s, event->item);
        return false;
    }
    bit_set(&s->taken, s->items[event->item].slot, false);
    swap = s->now;
    s->now = s->next;
    s->next = swap;
    if (s->now.count > s->verdict->configurations_most)
        s->verdict->configurations_most = s->now.count;
    return true;
}

void linearize(const struct history *history, unsigned lu, const struct linearize_options *options,
               struct linearize_verdict *verdict)
{
    struct search s = {.history = history, .options = options, .verdict = verdict};
    struct configuration first = {.trail = -1};

    memset(verdict, 0, sizeof *verdict);
    s.configurations_max =
        options->configurations_max ? options->configurations_max : CONFIGURATIONS;
    search_prepare(&s, lu);
    verdict->operations = s.count;
    model_init(&first.model, history->initiators, history->ports);
    configurations_add(&s.now, &first);
    for (size_t at = 0; at < s.event_count && walk(&s, &s.events[at]); at++)
        ;
    free(s.items);
    free(s.events);
    free(s.steps);
    configurations_free(&s.now);
    configurations_free(&s.next);
    configurations_free(&s.seen);
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
