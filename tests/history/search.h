/* What the parts of the linearizability checker share: the history as one view sees it, and how one
 * operation of it acts on one configuration. */
#ifndef HALUN_TESTS_SEARCH_H
#define HALUN_TESTS_SEARCH_H

#include "tests/history/configurations.h"

enum { SEARCH_SHOWN = 3 };

struct search_item {
    struct history_op op; /* as it counts in this view */
    size_t origin;        /* its number in the history */
    /* LINEARIZE_ATTENTIONS: this is the moment at which a command of the nexus looks for
     * attentions; what it does to the unit is another item. */
    bool looks;
    int slot; /* while it is open */
};

struct search_event {
    uint64_t when;
    enum { SEARCH_CALL, SEARCH_EXPIRE, SEARCH_RETURN } what; /* at the same time: in this order */
    size_t item;
};

struct search_step {
    size_t item;
    int before;
};

struct search {
    const struct history *history;
    const struct linearize_options *options;
    struct linearize_verdict *verdict;
    size_t explored_max;
    bool cold_starts; /* the history has some */
    struct search_item *items;
    size_t count, room;
    struct search_event *events; /* in order of time */
    size_t event_count;
    size_t open[LINEARIZE_PENDING]; /* item by slot */
    struct bits taken;              /* slots in use */
    struct search_step *steps;
    size_t step_count, step_room;
    size_t target; /* the item whose answer has come */
    bool overflow;
};

/* search_prepare.c: items and events of one unit. */
void search_prepare(struct search *search, unsigned lu);

/* search_apply.c */
/* Does the model answer what was answered? `c` becomes the state afterwards. An unknown outcome
 * matches when it takes effect. */
bool search_apply(const struct search *search, size_t item, struct configuration *c);
/* The same for an item that changes nothing. */
bool search_same(const struct search *search, size_t item, const struct configuration *c);
/* Can this item change this state or a later one, answered as it was? */
bool search_changes(const struct search *search, size_t item, const struct configuration *c);
static inline bool search_unknown(const struct search *search, size_t item)
{
    return search->items[item].op.outcome == HISTORY_UNKNOWN;
}

/* search_words.c: says in the verdict why the target's answer has no explanation in any of `count`
 * states, of which the first SEARCH_SHOWN are there / why it could not be found out. */
void search_explain(struct search *search, const struct configuration *states, size_t count);
void search_undecided(struct search *search, const char *why);

#endif
