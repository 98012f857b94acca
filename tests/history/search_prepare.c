/* The history of one unit as one view sees it. */
#include <stdlib.h>
#include <string.h>

#include "tests/history/search.h"

static bool writes(unsigned kind)
{
    return kind == MODEL_WRITE || kind == MODEL_COMPARE_AND_WRITE;
}

static bool is_io(unsigned kind)
{
    return kind == MODEL_READ || writes(kind);
}

static bool of_unit(const struct history_key *key, unsigned lu)
{
    return key->lu == HISTORY_ALL_LUS || key->lu == (int)lu;
}

/* What most operations are in a view of something else: of another block, or of no interest for
 * attentions. */
static bool is_far(const struct search *s, const struct history_key *key)
{
    if (!is_io(key->kind))
        return false;
    return s->options->view == LINEARIZE_BLOCK        ? key->block != s->options->of
           : s->options->view == LINEARIZE_ATTENTIONS ? key->nexus != (int)s->options->of
                                                      : false;
}

/* A write of unknown outcome whose value was read has taken effect before that answer; one whose
 * value nobody read may as well have had none. */
static bool settle_write(const struct history *history, struct history_op *op)
{
    uint64_t seen = HISTORY_NEVER;
    bool guessed = false;

    for (size_t i = 0; i < history->count; i++) {
        const struct history_key *key = &history->keys[i];
        const struct history_op *read = &history->ops[i];
        if (key->lu != op->lu || key->block != op->block || !is_io(key->kind))
            continue;
        bool sees = read->op.kind == MODEL_READ                ? read->value == op->value
                    : read->op.kind == MODEL_COMPARE_AND_WRITE ? read->compare == op->value
                                                               : false;
        if (sees && read->outcome == HISTORY_ANSWERED && read->reason == REASON_GOOD &&
            read->end < seen)
            seen = read->end;
        if (read->reason == REASON_MISCOMPARE && read->end > op->call)
            guessed = true;
    }
    if (seen == HISTORY_NEVER)
        return guessed;
    op->outcome = HISTORY_ANSWERED;
    op->reason = REASON_GOOD;
    op->end = seen < op->until ? seen : op->until;
    if (op->end < op->call) /* read before it was sent: let the read fail */
        op->end = op->call;
    return true;
}

/* Does the operation count by its effect or by what it tells? `op` becomes as it counts. */
static bool counts(const struct search *s, struct history_op *op)
{
    bool attentions = s->options->view == LINEARIZE_ATTENTIONS;

    if (op->outcome == HISTORY_REFUSED)
        return false;
    if (is_io(op->op.kind) && s->options->view == LINEARIZE_BLOCK) {
        if (op->value == HISTORY_NO_VALUE || op->block != s->options->of)
            return false;
        return op->outcome == HISTORY_ANSWERED || (writes(op->op.kind) && settle_write(s->history, op));
    }
    switch (op->op.kind) {
    case MODEL_COMMAND:
        return false;
    case MODEL_LOGIN:
        return attentions && op->op.nexus == (int)s->options->of;
    case MODEL_CACHE_LOSS:
        return s->options->view == LINEARIZE_BLOCK;
    case MODEL_ATTENTION:
        return attentions && (op->op.nexus == MODEL_NOBODY || op->op.nexus == (int)s->options->of);
    case MODEL_READ:
    case MODEL_WRITE:
    case MODEL_COMPARE_AND_WRITE:
    case MODEL_MODE_SENSE:
    case MODEL_READ_KEYS:
    case MODEL_READ_RESERVATION:
    case MODEL_READ_FULL_STATUS:
        return s->options->view == LINEARIZE_RESERVATIONS && op->outcome == HISTORY_ANSWERED;
    default:
        return true;
    }
}

/* Does it look for unit attentions of the nexus, before it does anything else? A command that is
 * malformed, or not taken at all, does not. */
static bool looks(const struct search *s, const struct history_op *op, uint64_t first_login)
{
    if (s->options->view != LINEARIZE_ATTENTIONS || op->op.nexus != (int)s->options->of ||
        op->silent_ua || op->call < first_login)
        return false;
    switch (op->op.kind) {
    case MODEL_LU_RESET:
    case MODEL_NEXUS_LOSS:
    case MODEL_COLD_START:
    case MODEL_CACHE_LOSS:
    case MODEL_LOGIN:
    case MODEL_ATTENTION:
        return false;
    default:
        break;
    }
    switch (op->reason) {
    case REASON_UNIT_ATTENTION: /* those that may come at any time tell nothing */
        return op->ua == UA_COUNT || !(s->history->ua_free >> op->ua & 1);
    case REASON_BUSY:
    case REASON_TASK_SET_FULL:
    case REASON_INVALID_OPCODE:
    case REASON_INVALID_FIELD_IN_CDB:
    case REASON_LUN_NOT_SUPPORTED:
        return false;
    default:
        return true;
    }
}

static struct search_item *add(struct search *s, const struct history_op *op, size_t origin)
{
    if (s->count == s->room) {
        s->room = s->room ? 2 * s->room : 256;
        s->items = realloc(s->items, s->room * sizeof *s->items);
        if (!s->items)
            abort();
    }
    s->items[s->count] = (struct search_item){.op = *op, .origin = origin, .slot = -1};
    return &s->items[s->count++];
}

/* When the first session that begins at `from` or later was there. */
static uint64_t login_since(const struct history *history, unsigned nexus, uint64_t from)
{
    uint64_t first = HISTORY_NEVER;

    for (size_t i = 0; i < history->count; i++) {
        const struct history_op *op = &history->ops[i];
        if (history->keys[i].kind == MODEL_LOGIN && history->keys[i].nexus == (int)nexus &&
            op->outcome == HISTORY_ANSWERED && op->call >= from && op->end < first)
            first = op->end;
    }
    return first;
}

/* Which attention the login gave: a session that takes over from one of the same port has I_T NEXUS
 * LOSS, any other POWER ON. The initiator cannot know; the first that it was told of says it. */
static enum unit_attention login_attention(const struct search *s, unsigned lu,
                                           const struct history_op *login)
{
    uint64_t end = login_since(s->history, s->options->of, login->call + 1);
    const struct history_op *first = NULL;

    for (size_t i = 0; i < s->history->count; i++) {
        const struct history_op *op = &s->history->ops[i];
        if (of_unit(&s->history->keys[i], lu) && s->history->keys[i].nexus == login->op.nexus &&
            op->call >= login->call && op->call < end && op->reason == REASON_UNIT_ATTENTION &&
            (!first || op->end < first->end))
            first = op;
    }
    return first && first->ua != UA_POWER_ON ? UA_NEXUS_LOSS : UA_POWER_ON;
}

/* The power cuts of everything, looked for once. */
struct cuts {
    size_t count;
    const struct history_op *ops[64];
};

static void find_cuts(const struct history *history, struct cuts *cuts)
{
    cuts->count = 0;
    for (size_t i = 0; i < history->count; i++)
        if (history->keys[i].kind == MODEL_COLD_START) {
            if (cuts->count == sizeof cuts->ops / sizeof cuts->ops[0])
                abort(); /* nobody cuts the power so often in one history */
            cuts->ops[cuts->count++] = &history->ops[i];
        }
}

/* Nothing that was under way outlives a power cut of everything; what a session lost with its
 * connection does not outlive the next login. */
static void bound(struct search *s, struct search_item *item, const struct cuts *cuts)
{
    struct history_op *op = &item->op;
    uint64_t limit = s->options->unknown_ns;

    if (op->outcome != HISTORY_UNKNOWN)
        return;
    if (limit && op->until - op->call > limit)
        op->until = op->call + limit;
    if (item->looks) {
        uint64_t login = login_since(s->history, s->options->of, op->call + 1);
        op->until = login < op->until ? login : op->until;
    }
    for (size_t i = 0; i < cuts->count; i++) {
        const struct history_op *cut = cuts->ops[i];
        if (op->call < cut->call && op->until > cut->end)
            op->until = cut->end;
    }
}

static int compare_events(const void *a, const void *b)
{
    const struct search_event *x = a, *y = b;

    if (x->when != y->when)
        return x->when < y->when ? -1 : 1;
    if (x->what != y->what)
        return (int)x->what - (int)y->what;
    return x->item < y->item ? -1 : x->item > y->item;
}

void search_prepare(struct search *s, unsigned lu)
{
    const struct history *history = s->history;
    struct cuts cuts;
    uint64_t first_login =
        s->options->view == LINEARIZE_ATTENTIONS ? login_since(history, s->options->of, 0) : 0;

    for (size_t i = 0; i < history->count; i++) {
        struct history_op op;

        if (!of_unit(&history->keys[i], lu) || is_far(s, &history->keys[i]))
            continue;
        op = history->ops[i];
        if (looks(s, &op, first_login))
            add(s, &op, i)->looks = true;
        if (!counts(s, &op))
            continue;
        if (op.op.kind == MODEL_LOGIN)
            op.ua = login_attention(s, lu, &op);
        add(s, &op, i);
    }
    find_cuts(history, &cuts);
    s->cold_starts = cuts.count;
    s->events = calloc(2 * s->count + 1, sizeof *s->events);
    if (!s->events)
        abort();
    for (size_t i = 0; i < s->count; i++) {
        struct search_item *item = &s->items[i];
        bool open = item->op.outcome == HISTORY_UNKNOWN;
        uint64_t end;

        bound(s, item, &cuts);
        end = open ? item->op.until : item->op.end;
        if (end < item->op.call)
            continue;
        s->events[s->event_count++] = (struct search_event){item->op.call, SEARCH_CALL, i};
        if (end != HISTORY_NEVER)
            s->events[s->event_count++] =
                (struct search_event){end, open ? SEARCH_EXPIRE : SEARCH_RETURN, i};
    }
    qsort(s->events, s->event_count, sizeof *s->events, compare_events);
}
