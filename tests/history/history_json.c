#include "tests/history/history_json.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, KEY_TEXT = 24, MAX_NAMED = 64 };

/* ---- reading ---- */

struct reading {
    struct history *history;
    json_t *object;
    unsigned line;
    char *why;
    size_t why_size;
};

static int wrong(struct reading *r, const char *name, const char *expected)
{
    snprintf(r->why, r->why_size, "line %u: \"%s\": expected %s", r->line, name, expected);
    return -1;
}

static int get_number(struct reading *r, const char *name, bool needed, uint64_t max, uint64_t *to)
{
    json_t *value = json_object_get(r->object, name);
    char expected[64];

    if (!value && !needed)
        return 0;
    if (json_is_integer(value) && json_integer_value(value) >= 0 &&
        (uint64_t)json_integer_value(value) <= max) {
        *to = (uint64_t)json_integer_value(value);
        return 0;
    }
    snprintf(expected, sizeof expected, "a number from 0 to %" PRIu64, max);
    return wrong(r, name, expected);
}

static int parse_key(const json_t *value, uint64_t *key)
{
    const char *text = json_string_value(value);
    char *end;

    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *key = (uint64_t)json_integer_value(value);
        return 0;
    }
    if (!text || strncmp(text, "0x", 2) || !text[2] || strlen(text) > 18)
        return -1;
    *key = strtoull(text + 2, &end, 16);
    return *end ? -1 : 0;
}

static int get_key(struct reading *r, const char *name, uint64_t *key)
{
    json_t *value = json_object_get(r->object, name);

    if (value && parse_key(value, key))
        return wrong(r, name, "a key, as \"0x\" and at most 16 hexadecimal digits");
    return 0;
}

static int get_bool(struct reading *r, const char *name, bool *to)
{
    json_t *value = json_object_get(r->object, name);

    if (value && !json_is_boolean(value))
        return wrong(r, name, "true or false");
    *to = json_is_true(value);
    return 0;
}

static unsigned nexuses(const struct reading *r)
{
    return r->history->initiators * r->history->ports;
}

static int parse_ua(const char *text, enum unit_attention *ua)
{
    for (unsigned i = 0; text && i < UA_COUNT; i++) {
        char own[8];
        uint8_t asc, ascq;

        ua_codes(i, &asc, &ascq);
        snprintf(own, sizeof own, "%02x%02x", asc, ascq);
        if (!strcmp(own, text)) {
            *ua = i;
            return 0;
        }
    }
    return -1;
}

static int read_ua(struct reading *r, struct history_op *op)
{
    if (parse_ua(json_string_value(json_object_get(r->object, "ua")), &op->ua))
        return wrong(r, "ua", "ASC and ASCQ of a unit attention, as \"2a03\"");
    return 0;
}

static int read_result(struct reading *r, struct history_op *op)
{
    const char *result = json_string_value(json_object_get(r->object, "result"));
    uint64_t end = HISTORY_NEVER, until = HISTORY_NEVER;

    if (get_number(r, "end", false, INT64_MAX, &end) ||
        get_number(r, "until", false, INT64_MAX, &until))
        return -1;
    if (!result) {
        if (json_object_get(r->object, "result"))
            return wrong(r, "result", "a string");
        history_lost(op, until);
        return op->op.kind == MODEL_ATTENTION ? read_ua(r, op) : 0;
    }
    if (end == HISTORY_NEVER || end < op->call)
        return wrong(r, "end", "a time not before \"call\", because there is a \"result\"");
    if (history_set_reason(op, result, end))
        return wrong(r, "result", "the name of a way in which commands end, as GOOD");
    if (until < op->until)
        op->until = until;
    return op->reason == REASON_UNIT_ATTENTION || op->op.kind == MODEL_ATTENTION ? read_ua(r, op)
                                                                                 : 0;
}

static int read_named(struct reading *r, struct history_op *op)
{
    json_t *list = json_object_get(r->object, "spec_i_pt"), *entry;
    size_t i;

    if (!list)
        return 0;
    if (!json_is_array(list))
        return wrong(r, "spec_i_pt", "a list of initiators");
    op->op.spec_i_pt = true;
    json_array_foreach(list, i, entry)
    {
        json_int_t initiator = json_integer_value(entry);
        if (!json_is_integer(entry) || initiator < 0 || initiator >= r->history->initiators)
            return wrong(r, "spec_i_pt", "numbers of initiators");
        op->op.named |= (uint64_t)1 << initiator;
    }
    return 0;
}

static int read_pr_out(struct reading *r, struct history_op *op)
{
    const char *action = json_string_value(json_object_get(r->object, "action"));
    uint64_t type = 0, scope = 0, to = 0;

    op->op.action = MODEL_ACTIONS;
    for (unsigned i = 0; action && i < MODEL_ACTIONS; i++)
        if (!strcmp(action, history_action_name(i)))
            op->op.action = (uint8_t)i;
    if (op->op.action == MODEL_ACTIONS)
        return wrong(r, "action", "a service action, as \"register_and_ignore\"");
    if (get_number(r, "type", false, 15, &type) || get_number(r, "scope", false, 15, &scope) ||
        get_key(r, "key", &op->op.key) || get_key(r, "action_key", &op->op.action_key) ||
        get_bool(r, "aptpl", &op->op.aptpl) || get_bool(r, "all_tg_pt", &op->op.all_tg_pt) ||
        get_bool(r, "unreg", &op->op.unreg) || read_named(r, op) ||
        get_number(r, "move_to", op->op.action == 7, nexuses(r) - 1, &to))
        return -1;
    op->op.type = (uint8_t)type;
    op->op.scope = (uint8_t)scope;
    op->op.move_to = (int)to;
    return 0;
}

static int read_mode(struct reading *r, struct history_op *op)
{
    static const struct {
        const char *name;
        unsigned page;
        size_t offset;
    } rows[] = {
        {"wce", MODEL_PAGE_CACHING, offsetof(struct shared_mode, wce)},
        {"swp", MODEL_PAGE_CONTROL, offsetof(struct shared_mode, swp)},
        {"d_sense", MODEL_PAGE_CONTROL, offsetof(struct shared_mode, d_sense)},
        {"tas", MODEL_PAGE_CONTROL, offsetof(struct shared_mode, tas)},
    };
    struct shared_mode *mode = op->op.kind == MODEL_MODE_SELECT ? &op->op.mode : &op->read_mode;

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t value = 2;
        if (get_number(r, rows[i].name, false, 1, &value))
            return -1;
        if (value < 2)
            op->op.pages |= rows[i].page;
        ((uint8_t *)mode)[rows[i].offset] = value == 1;
    }
    return op->op.pages ? 0
                        : wrong(r, "op", "\"wce\", or \"swp\", \"d_sense\" and \"tas\" with it");
}

static int read_registrations(struct reading *r, struct history_op *op)
{
    bool full = op->op.kind == MODEL_READ_FULL_STATUS;
    const char *name = full ? "registrations" : "keys";
    json_t *list = json_object_get(r->object, name), *entry;
    size_t i;

    if (!json_is_array(list) || json_array_size(list) > MODEL_NEXUSES)
        return wrong(r, name, "a list of registrations");
    op->registrations = calloc(json_array_size(list) + 1, sizeof *op->registrations);
    if (!op->registrations)
        abort();
    json_array_foreach(list, i, entry)
    {
        struct history_registration *to = &op->registrations[op->registration_count++];
        json_t *nexus = json_object_get(entry, "nexus");

        to->nexus = MODEL_NOBODY;
        if (parse_key(full ? json_object_get(entry, "key") : entry, &to->key))
            return wrong(r, name, "a key in each, as \"0x1\"");
        if (!full)
            continue;
        if (!json_is_integer(nexus) || json_integer_value(nexus) < 0 ||
            json_integer_value(nexus) >= nexuses(r))
            return wrong(r, name, "the number of a nexus in each");
        to->nexus = (int)json_integer_value(nexus);
        to->holder = json_is_true(json_object_get(entry, "holder"));
    }
    return 0;
}

static int read_pr_in(struct reading *r, struct history_op *op)
{
    uint64_t generation = 0, type = 0;

    if (op->outcome != HISTORY_ANSWERED || op->reason != REASON_GOOD)
        return 0;
    if (get_number(r, "generation", true, UINT32_MAX, &generation) ||
        get_number(r, "type", false, 15, &type) || get_key(r, "key", &op->read_key))
        return -1;
    op->generation = (uint32_t)generation;
    op->read_type = (uint8_t)type;
    return op->op.kind == MODEL_READ_RESERVATION ? 0 : read_registrations(r, op);
}

static int read_details(struct reading *r, struct history_op *op)
{
    uint64_t block = 0;

    switch (op->op.kind) {
    case MODEL_PR_OUT:
        return read_pr_out(r, op);
    case MODEL_MODE_SELECT:
    case MODEL_MODE_SENSE:
        return read_mode(r, op);
    case MODEL_READ_KEYS:
    case MODEL_READ_RESERVATION:
    case MODEL_READ_FULL_STATUS:
        return read_pr_in(r, op);
    case MODEL_READ:
    case MODEL_WRITE:
    case MODEL_COMPARE_AND_WRITE:
        if (get_number(r, "block", false, INT32_MAX, &block) ||
            get_number(r, "value", false, INT64_MAX, &op->value) ||
            get_number(r, "compare", op->op.kind == MODEL_COMPARE_AND_WRITE, INT64_MAX,
                       &op->compare))
            return -1;
        op->block = (uint32_t)block;
        return 0;
    default:
        return 0;
    }
}

static int read_lu(struct reading *r, int *lu)
{
    json_t *value = json_object_get(r->object, "lu");

    *lu = 0;
    if (!value)
        return 0;
    if (json_is_string(value) && !strcmp(json_string_value(value), "all")) {
        *lu = HISTORY_ALL_LUS;
        return 0;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) >= r->history->lus)
        return wrong(r, "lu", "the number of a logical unit, or \"all\"");
    *lu = (int)json_integer_value(value);
    return 0;
}

static int read_op(struct reading *r)
{
    const char *name = json_string_value(json_object_get(r->object, "op"));
    enum model_kind kind = MODEL_KINDS;
    uint64_t call, nexus = 0;
    struct history_op op;
    int lu;

    for (unsigned i = 0; name && i < MODEL_KINDS; i++)
        if (!strcmp(name, history_kind_name(i)))
            kind = i;
    if (kind == MODEL_KINDS)
        return wrong(r, "op", "an operation, as \"pr_out\"");
    if (get_number(r, "call", true, INT64_MAX, &call) || read_lu(r, &lu) ||
        get_number(r, "nexus",
                   kind != MODEL_COLD_START && kind != MODEL_CACHE_LOSS && kind != MODEL_ATTENTION,
                   nexuses(r) - 1, &nexus))
        return -1;
    op = history_op(kind, lu, (int)nexus, call);
    if (kind == MODEL_ATTENTION && !json_object_get(r->object, "nexus"))
        op.op.nexus = MODEL_NOBODY;
    op.line = r->line;
    if (read_result(r, &op) || get_bool(r, "no_ua", &op.silent_ua) || read_details(r, &op)) {
        free(op.registrations);
        return -1;
    }
    history_add(r->history, &op);
    return 0;
}

static int read_head(struct reading *r)
{
    json_t *free_list, *entry;
    uint64_t version, initiators, ports, lus = 1;
    size_t i;

    if (get_number(r, "halun_history", true, VERSION, &version) ||
        get_number(r, "initiators", true, MODEL_NEXUSES, &initiators) ||
        get_number(r, "ports", true, MODEL_NEXUSES, &ports) ||
        get_number(r, "lus", false, HISTORY_LUS, &lus))
        return -1;
    if (version != VERSION || !lus || !initiators || !ports || initiators * ports > MODEL_NEXUSES)
        return wrong(r, "halun_history",
                     "version 1, some initiators, ports and lus, 64 nexuses at most");
    history_init(r->history, (unsigned)initiators, (unsigned)ports, (unsigned)lus);
    free_list = json_object_get(r->object, "ua_free");
    json_array_foreach(free_list, i, entry)
    {
        enum unit_attention ua;
        if (parse_ua(json_string_value(entry), &ua))
            return wrong(r, "ua_free", "ASC and ASCQ of unit attentions, as \"2a06\"");
        r->history->ua_free |= 1u << ua;
    }
    return 0;
}

int history_read(struct history *history, FILE *file, char *why, size_t why_size)
{
    struct reading r = {.history = history, .why = why, .why_size = why_size};
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    int bad = 0;

    memset(history, 0, sizeof *history);
    while (!bad && (length = getline(&line, &room, file)) >= 0) {
        json_error_t error;

        r.line++;
        if (length <= 1)
            continue;
        r.object = json_loadb(line, (size_t)length, JSON_REJECT_DUPLICATES, &error);
        if (!json_is_object(r.object)) {
            snprintf(why, why_size, "line %u: expected a JSON object: %s", r.line,
                     r.object ? "this is something else" : error.text);
            bad = -1;
        } else {
            bad = history->lus ? read_op(&r) : read_head(&r);
        }
        json_decref(r.object);
    }
    free(line);
    if (!bad && ferror(file)) {
        snprintf(why, why_size, "line %u: %s", r.line + 1, strerror(errno));
        bad = -1;
    }
    if (!bad && !history->lus) {
        snprintf(why, why_size, "line 1: expected the head of a history");
        bad = -1;
    }
    if (bad)
        history_free(history);
    return bad;
}

/* ---- writing ---- */

static void set(json_t *object, const char *name, json_t *value)
{
    if (!value || json_object_set_new(object, name, value))
        abort(); /* memory */
}

static json_t *key_text(uint64_t key)
{
    char text[KEY_TEXT];

    snprintf(text, sizeof text, "0x%" PRIx64, key);
    return json_string(text);
}

static json_t *ua_code_text(enum unit_attention ua)
{
    char text[8];
    uint8_t asc, ascq;

    ua_codes(ua, &asc, &ascq);
    snprintf(text, sizeof text, "%02x%02x", asc, ascq);
    return json_string(text);
}

static int finish(json_t *object, FILE *file)
{
    int failed = json_dumpf(object, file, JSON_COMPACT) || putc('\n', file) == EOF;

    json_decref(object);
    return failed ? -1 : 0;
}

int history_write_head(const struct history *history, FILE *file)
{
    json_t *object = json_object(), *list = json_array();

    set(object, "halun_history", json_integer(VERSION));
    set(object, "initiators", json_integer(history->initiators));
    set(object, "ports", json_integer(history->ports));
    set(object, "lus", json_integer(history->lus));
    for (unsigned ua = 0; ua < UA_COUNT; ua++)
        if (history->ua_free >> ua & 1 && json_array_append_new(list, ua_code_text(ua)))
            abort();
    set(object, "ua_free", list);
    return finish(object, file);
}

static void write_pr_out(const struct model_op *op, json_t *object)
{
    set(object, "action", json_string(history_action_name(op->action)));
    set(object, "key", key_text(op->key));
    set(object, "action_key", key_text(op->action_key));
    set(object, "type", json_integer(op->type));
    if (op->scope)
        set(object, "scope", json_integer(op->scope));
    set(object, "aptpl", json_boolean(op->aptpl));
    set(object, "all_tg_pt", json_boolean(op->all_tg_pt));
    if (op->spec_i_pt) {
        json_t *list = json_array();
        for (unsigned i = 0; i < MAX_NAMED; i++)
            if (op->named >> i & 1 && json_array_append_new(list, json_integer(i)))
                abort();
        set(object, "spec_i_pt", list);
    }
    if (op->action == 7) {
        set(object, "move_to", json_integer(op->move_to));
        set(object, "unreg", json_boolean(op->unreg));
    }
}

static void write_mode(const struct history_op *op, json_t *object)
{
    const struct shared_mode *mode =
        op->op.kind == MODEL_MODE_SELECT ? &op->op.mode : &op->read_mode;

    if (op->op.pages & MODEL_PAGE_CACHING)
        set(object, "wce", json_integer(mode->wce));
    if (op->op.pages & MODEL_PAGE_CONTROL) {
        set(object, "swp", json_integer(mode->swp));
        set(object, "d_sense", json_integer(mode->d_sense));
        set(object, "tas", json_integer(mode->tas));
    }
}

static void write_pr_in(const struct history_op *op, json_t *object)
{
    json_t *list = json_array();

    set(object, "generation", json_integer(op->generation));
    set(object, "type", json_integer(op->read_type));
    if (op->op.kind == MODEL_READ_RESERVATION)
        set(object, "key", key_text(op->read_key));
    for (unsigned i = 0; i < op->registration_count; i++) {
        const struct history_registration *r = &op->registrations[i];
        json_t *entry = key_text(r->key);

        if (op->op.kind == MODEL_READ_FULL_STATUS) {
            json_t *key = entry;
            entry = json_object();
            set(entry, "nexus", json_integer(r->nexus));
            set(entry, "key", key);
            set(entry, "holder", json_boolean(r->holder));
        }
        if (json_array_append_new(list, entry))
            abort();
    }
    set(object, op->op.kind == MODEL_READ_FULL_STATUS ? "registrations" : "keys", list);
}

static void write_details(const struct history_op *op, json_t *object)
{
    switch (op->op.kind) {
    case MODEL_PR_OUT:
        write_pr_out(&op->op, object);
        break;
    case MODEL_MODE_SELECT:
    case MODEL_MODE_SENSE:
        write_mode(op, object);
        break;
    case MODEL_READ_KEYS:
    case MODEL_READ_RESERVATION:
    case MODEL_READ_FULL_STATUS:
        if (op->outcome == HISTORY_ANSWERED && op->reason == REASON_GOOD)
            write_pr_in(op, object);
        break;
    case MODEL_READ:
    case MODEL_WRITE:
    case MODEL_COMPARE_AND_WRITE:
        if (op->op.kind == MODEL_COMPARE_AND_WRITE)
            set(object, "compare", json_integer((json_int_t)op->compare));
        if (op->value == HISTORY_NO_VALUE)
            break;
        set(object, "block", json_integer(op->block));
        set(object, "value", json_integer((json_int_t)op->value));
        break;
    default:
        break;
    }
}

int history_write_op(const struct history_op *op, FILE *file)
{
    json_t *object = json_object();

    set(object, "op", json_string(history_kind_name(op->op.kind)));
    set(object, "lu", op->lu == HISTORY_ALL_LUS ? json_string("all") : json_integer(op->lu));
    if (op->op.nexus != MODEL_NOBODY)
        set(object, "nexus", json_integer(op->op.nexus));
    set(object, "call", json_integer((json_int_t)op->call));
    if (op->end != HISTORY_NEVER) {
        set(object, "end", json_integer((json_int_t)op->end));
        set(object, "result", json_string(history_reason_name(op->reason)));
    }
    if (op->until != HISTORY_NEVER)
        set(object, "until", json_integer((json_int_t)op->until));
    if (op->ua < UA_COUNT)
        set(object, "ua", ua_code_text(op->ua));
    if (op->silent_ua)
        set(object, "no_ua", json_true());
    write_details(op, object);
    return finish(object, file);
}
