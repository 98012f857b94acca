#include "replication/drbd_event.h"

#include <errno.h>
#include <string.h>

struct text {
    const char *at;
    size_t length;
};

static bool is(struct text text, const char *word)
{
    return text.length == strlen(word) && !memcmp(text.at, word, text.length);
}

static bool next_word(struct text *rest, struct text *word)
{
    while (rest->length && (*rest->at == ' ' || *rest->at == '\t' || *rest->at == '\r')) {
        rest->at++;
        rest->length--;
    }
    word->at = rest->at;
    word->length = 0;
    while (rest->length && *rest->at != ' ' && *rest->at != '\t' && *rest->at != '\r') {
        rest->at++;
        rest->length--;
        word->length++;
    }
    return word->length;
}

/* ---- words ---- */

struct word {
    const char *text;
    int value;
};

static const struct word verbs[] = {
    {"exists", DRBD_EXISTS},     {"create", DRBD_CREATE}, {"change", DRBD_CHANGE},
    {"destroy", DRBD_DESTROY},   {"call", DRBD_CALL},     {"response", DRBD_RESPONSE},
    {"rename", DRBD_RENAME},     {NULL, 0},
};
static const struct word objects[] = {
    {"-", DRBD_DUMPED},
    {"resource", DRBD_RESOURCE},
    {"connection", DRBD_CONNECTION},
    {"device", DRBD_DEVICE},
    {"peer-device", DRBD_PEER_DEVICE},
    {"path", DRBD_PATH},
    {"helper", DRBD_HELPER},
    {NULL, 0},
};
/* The last row of a table is what a word that no version documents is taken for. */
static const struct word roles[] = {
    {"Primary", DRBD_PRIMARY},
    {"Secondary", DRBD_SECONDARY},
    {"Unknown", DRBD_ROLE_UNKNOWN},
    {NULL, DRBD_ROLE_UNKNOWN},
};
static const struct word disks[] = {
    {"Diskless", DISK_DISKLESS},
    {"Attaching", DISK_ATTACHING},
    {"Detaching", DISK_FAILED}, /* 9: on the way to Diskless */
    {"Failed", DISK_FAILED},
    {"Negotiating", DISK_NEGOTIATING},
    {"Inconsistent", DISK_INCONSISTENT},
    {"Outdated", DISK_OUTDATED},
    {"DUnknown", DISK_UNKNOWN},
    {"Consistent", DISK_CONSISTENT},
    {"UpToDate", DISK_UP_TO_DATE},
    {NULL, DISK_UNKNOWN},
};
static const struct word connections[] = {
    {"StandAlone", CONN_STANDALONE},
    {"Disconnecting", CONN_DISCONNECTING},
    {"Unconnected", CONN_UNCONNECTED},
    {"Timeout", CONN_TIMEOUT},
    {"BrokenPipe", CONN_BROKEN_PIPE},
    {"NetworkFailure", CONN_NETWORK_FAILURE},
    {"ProtocolError", CONN_PROTOCOL_ERROR},
    {"TearDown", CONN_TEAR_DOWN},
    {"Connecting", CONN_WF_CONNECTION},
    {"WFConnection", CONN_WF_CONNECTION},
    {"WFReportParams", CONN_WF_REPORT_PARAMS},
    {"Connected", CONN_CONNECTED},
    {NULL, CONN_UNCONNECTED},
};
static const struct word replications[] = {
    {"Off", CONN_STANDALONE},
    {"Established", CONN_CONNECTED},
    {"Connected", CONN_CONNECTED},
    {"StartingSyncS", CONN_STARTING_SYNC_S},
    {"StartingSyncT", CONN_STARTING_SYNC_T},
    {"WFBitMapS", CONN_WF_BITMAP_S},
    {"WFBitMapT", CONN_WF_BITMAP_T},
    {"WFSyncUUID", CONN_WF_SYNC_UUID},
    {"SyncSource", CONN_SYNC_SOURCE},
    {"SyncTarget", CONN_SYNC_TARGET},
    {"VerifyS", CONN_VERIFY_S},
    {"VerifyT", CONN_VERIFY_T},
    {"PausedSyncS", CONN_PAUSED_SYNC_S},
    {"PausedSyncT", CONN_PAUSED_SYNC_T},
    /* Protocol A falling behind: the peer is not current, which is what counts here. */
    {"Ahead", CONN_PAUSED_SYNC_S},
    {"Behind", CONN_PAUSED_SYNC_T},
    {NULL, CONN_STANDALONE},
};

static const struct word *find(const struct word *table, struct text text)
{
    while (table->text && !is(text, table->text))
        table++;
    return table;
}

/* ---- values ---- */

enum value_type {
    VALUE_TEXT,
    VALUE_NUMBER,
    VALUE_KIB,
    VALUE_PERCENT, /* "12.34" */
    VALUE_YES,
    VALUE_ROLE,
    VALUE_CONNECTION,
    VALUE_REPLICATION,
    VALUE_DISK,
    VALUE_PAUSED,
};

struct key {
    const char *name;
    enum value_type type;
    enum drbd_field field;
    size_t offset;
};

#define KEY(name, type, field, member) {name, type, field, offsetof(struct drbd_event, member)}
static const struct key keys[] = {
    KEY("name", VALUE_TEXT, DRBD_HAS_NAME, name),
    KEY("new_name", VALUE_TEXT, DRBD_HAS_NEW_NAME, new_name),
    KEY("conn-name", VALUE_TEXT, DRBD_HAS_CONN_NAME, conn_name),
    KEY("helper", VALUE_TEXT, DRBD_HAS_HELPER, helper),
    KEY("suspended", VALUE_TEXT, DRBD_HAS_SUSPENDED, suspended),
    KEY("peer-node-id", VALUE_NUMBER, DRBD_HAS_PEER_ID, peer_id),
    KEY("volume", VALUE_NUMBER, DRBD_HAS_VOLUME, volume),
    KEY("minor", VALUE_NUMBER, DRBD_HAS_MINOR, minor),
    KEY("promotion_score", VALUE_NUMBER, DRBD_HAS_SCORE, score),
    KEY("status", VALUE_NUMBER, DRBD_HAS_STATUS, status),
    KEY("may_promote", VALUE_YES, DRBD_HAS_MAY_PROMOTE, may_promote),
    KEY("quorum", VALUE_YES, DRBD_HAS_QUORUM, quorum),
    KEY("role", VALUE_ROLE, DRBD_HAS_ROLE, role),
    KEY("connection", VALUE_CONNECTION, DRBD_HAS_CONNECTION, connection),
    KEY("replication", VALUE_REPLICATION, DRBD_HAS_REPLICATION, replication),
    KEY("disk", VALUE_DISK, DRBD_HAS_DISK, disk),
    KEY("peer-disk", VALUE_DISK, DRBD_HAS_PEER_DISK, peer_disk),
    KEY("resync-suspended", VALUE_PAUSED, DRBD_HAS_RESYNC_SUSPENDED, paused_here),
    KEY("size", VALUE_KIB, DRBD_HAS_SIZE, size),
    KEY("written", VALUE_KIB, DRBD_HAS_WRITTEN, written),
    KEY("received", VALUE_KIB, DRBD_HAS_RECEIVED, received),
    KEY("sent", VALUE_KIB, DRBD_HAS_SENT, sent),
    KEY("out-of-sync", VALUE_KIB, DRBD_HAS_OUT_OF_SYNC, out_of_sync),
    KEY("done", VALUE_PERCENT, DRBD_HAS_DONE, done),
};

static void keep(char *out, struct text text)
{
    size_t n = text.length < DRBD_NAME ? text.length : DRBD_NAME - 1;

    memcpy(out, text.at, n);
    out[n] = '\0';
}

static bool read_number(struct text text, uint64_t most, uint64_t *number)
{
    uint64_t value = 0;

    if (!text.length)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        unsigned digit = (unsigned)(text.at[i] - '0');

        if (digit > 9 || value > (most - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

/* "12.34" or "12" -> 1234, 1200. */
static bool read_percent(struct text text, uint64_t *parts)
{
    struct text whole = text, rest = {text.at + text.length, 0};
    const char *point = memchr(text.at, '.', text.length);
    uint64_t hundreds, parts_of = 0;

    if (point) {
        whole.length = (size_t)(point - text.at);
        rest = (struct text){point + 1, text.length - whole.length - 1};
        if (rest.length != 2 || !read_number(rest, 99, &parts_of))
            return false;
    }
    if (!read_number(whole, 100, &hundreds))
        return false;
    *parts = hundreds * 100 + parts_of;
    return true;
}

/* "no", or some of user, peer, dependency with commas between. Others' wishes count as the peer's. */
static void read_paused(struct text text, struct drbd_event *event)
{
    event->paused_here = event->paused_there = false;
    while (text.length) {
        const char *comma = memchr(text.at, ',', text.length);
        struct text one = {text.at, comma ? (size_t)(comma - text.at) : text.length};

        if (is(one, "user"))
            event->paused_here = true;
        else if (!is(one, "no"))
            event->paused_there = true;
        text.at += one.length + (comma != NULL);
        text.length -= one.length + (comma != NULL);
    }
}

static int read_word(const struct word *table, struct text text, struct drbd_event *event)
{
    const struct word *word = find(table, text);

    if (!word->text && !event->unknown[0])
        keep(event->unknown, text);
    return word->value;
}

static bool read_value(const struct key *key, struct text text, struct drbd_event *event)
{
    void *at = (char *)event + key->offset;

    switch (key->type) {
    case VALUE_TEXT:
        if (!text.length || text.length >= DRBD_NAME)
            return false;
        keep(at, text);
        return true;
    case VALUE_NUMBER:
        return read_number(text, INT32_MAX, at);
    case VALUE_KIB:
        if (!read_number(text, UINT64_MAX >> 11, at))
            return false;
        *(uint64_t *)at *= 1024;
        return true;
    case VALUE_PERCENT:
        return read_percent(text, at);
    case VALUE_YES:
        *(bool *)at = is(text, "yes");
        return *(bool *)at || is(text, "no");
    case VALUE_ROLE:
        *(enum drbd_role *)at = (enum drbd_role)read_word(roles, text, event);
        return true;
    case VALUE_CONNECTION:
        *(enum replica_connection *)at = (enum replica_connection)read_word(connections, text, event);
        return true;
    case VALUE_REPLICATION:
        *(enum replica_connection *)at =
            (enum replica_connection)read_word(replications, text, event);
        return true;
    case VALUE_DISK:
        *(enum replica_disk *)at = (enum replica_disk)read_word(disks, text, event);
        return true;
    case VALUE_PAUSED:
        read_paused(text, event);
        return true;
    }
    return false;
}

static bool read_pair(struct text pair, struct drbd_event *event)
{
    const char *colon = memchr(pair.at, ':', pair.length);
    struct text name, value;

    if (!colon || colon == pair.at)
        return false;
    name = (struct text){pair.at, (size_t)(colon - pair.at)};
    value = (struct text){colon + 1, pair.length - name.length - 1};
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (!is(name, keys[i].name))
            continue;
        if (!read_value(&keys[i], value, event))
            return false;
        event->fields |= keys[i].field;
    }
    return true;
}

/* What a line of this object cannot do without: whom it is about. */
static unsigned needed(enum drbd_object object)
{
    switch (object) {
    case DRBD_DUMPED:
        break;
    case DRBD_RESOURCE:
    case DRBD_HELPER:
        return DRBD_HAS_NAME;
    case DRBD_DEVICE:
        return DRBD_HAS_NAME | DRBD_HAS_VOLUME;
    case DRBD_CONNECTION:
    case DRBD_PATH:
        return DRBD_HAS_NAME | DRBD_HAS_PEER_ID;
    case DRBD_PEER_DEVICE:
        return DRBD_HAS_NAME | DRBD_HAS_PEER_ID | DRBD_HAS_VOLUME;
    }
    return 0;
}

/* The time, or the number of an event (the 8.4 manual): nothing here begins with a digit otherwise. */
static bool is_prefix(struct text word)
{
    return word.at[0] >= '0' && word.at[0] <= '9';
}

int drbd_event_parse(const char *line, size_t length, struct drbd_event *event)
{
    struct text rest = {line, length}, word;
    const struct word *verb, *object;

    memset(event, 0, sizeof *event);
    if (memchr(line, '\0', length) || !next_word(&rest, &word))
        return -EINVAL;
    if (is_prefix(word) && !next_word(&rest, &word))
        return -EINVAL;
    verb = find(verbs, word);
    if (!verb->text || !next_word(&rest, &word))
        return -EINVAL;
    object = find(objects, word);
    if (!object->text)
        return -EINVAL;
    event->verb = (enum drbd_verb)verb->value;
    event->object = (enum drbd_object)object->value;
    while (next_word(&rest, &word))
        if (!read_pair(word, event))
            return -EINVAL;
    if (~event->fields & needed(event->object))
        return -EINVAL;
    return 0;
}
