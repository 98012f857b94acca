#include "cluster/fencing.h"

#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "target/base/limits.h"
#include "target/base/process.h"
#include "target/base/reactor.h"

enum {
    ANSWER_MAX = 256 << 10,
    PATIENCE_MS = 10000, /* for stonith_admin */
    AGAIN_MS = 400,      /* a question that has been open for longer is not "just asked" */
};

struct fencing {
    qb_loop_t *loop;
    fencing_answer answer;
    void *context;
    struct process *process; /* NULL = no question open */
    unsigned node;
    char name[LIMIT_NAME + 1];
    uint64_t asked_ns;
    bool again; /* asked once more while the question was open */
    size_t used;
    char text[ANSWER_MAX];
};

/* The value of attribute `key` of the element [at, end), copied; false if it has none that fits. */
static bool attribute(const char *at, const char *end, const char *key, char *value, size_t size)
{
    size_t length = strlen(key);

    for (; at + length + 3 < end; at++) {
        const char *from = at + length + 3, *quote;
        if (at[0] != ' ' || memcmp(at + 1, key, length) || memcmp(at + 1 + length, "=\"", 2))
            continue;
        quote = memchr(from, '"', (size_t)(end - from));
        if (!quote || (size_t)(quote - from) >= size)
            return false;
        memcpy(value, from, (size_t)(quote - from));
        value[quote - from] = 0;
        return true;
    }
    return false;
}

/* "2026-11-23 02:08:19Z", "... 02:08:19.123456Z" or "... 02:08:19 +01:00"; seconds, 0 = unreadable. */
static uint64_t parse_time(const char *text)
{
    struct tm when = {0};
    int used = 0, hours = 0, minutes = 0;
    char sign = 0;
    time_t seconds;

    if (sscanf(text, "%4d-%2d-%2d %2d:%2d:%2d%n", &when.tm_year, &when.tm_mon, &when.tm_mday,
               &when.tm_hour, &when.tm_min, &when.tm_sec, &used) != 6 || when.tm_year < 1970)
        return 0;
    when.tm_year -= 1900;
    when.tm_mon -= 1;
    text += used;
    if (*text == '.')
        text += 1 + strspn(text + 1, "0123456789");
    text += strspn(text, " ");
    seconds = timegm(&when);
    if (seconds <= 0)
        return 0;
    if (!strcmp(text, "Z"))
        return (uint64_t)seconds;
    if (sscanf(text, "%c%2d:%2d", &sign, &hours, &minutes) != 3 || (sign != '+' && sign != '-'))
        return 0; /* without a zone it proves nothing */
    seconds += (sign == '+' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return seconds > 0 ? (uint64_t)seconds : 0;
}

uint64_t fencing_parse(const char *text, size_t size, const char *name)
{
    static const char element[] = "<fence_event ";
    const char *at = text, *end = text + size;
    uint64_t newest = 0;

    while ((at = memmem(at, (size_t)(end - at), element, sizeof element - 1))) {
        const char *close = memchr(at, '>', (size_t)(end - at));
        char value[LIMIT_NAME + 1];
        uint64_t time;
        if (!close)
            break;
        if (attribute(at, close, "target", value, sizeof value) && !strcmp(value, name) &&
            attribute(at, close, "status", value, sizeof value) && !strcmp(value, "success") &&
            attribute(at, close, "action", value, sizeof value) &&
            (!strcmp(value, "off") || !strcmp(value, "reboot")) &&
            attribute(at, close, "completed", value, sizeof value)) {
            time = parse_time(value);
            if (time > newest)
                newest = time;
        }
        at = close;
    }
    return newest * 1000000000u;
}

struct fencing *fencing_new(qb_loop_t *loop, fencing_answer answer, void *context)
{
    struct fencing *f = calloc(1, sizeof *f);

    if (f) {
        f->loop = loop;
        f->answer = answer;
        f->context = context;
    }
    return f;
}

static void on_line(void *context, const char *line, size_t length)
{
    struct fencing *f = context;

    if (length + 1 > ANSWER_MAX - f->used) {
        f->used = ANSWER_MAX; /* as good as none */
        return;
    }
    memcpy(f->text + f->used, line, length);
    f->text[f->used + length] = '\n';
    f->used += length + 1;
}

static void on_ended(void *context, int status, const char *said)
{
    struct fencing *f = context;
    uint64_t time;

    f->process = NULL;
    if (!status && f->used < ANSWER_MAX) {
        time = fencing_parse(f->text, f->used, f->name);
        if (time)
            f->answer(f->context, f->node, time);
    } else {
        qb_log(LOG_WARNING, "the fencer does not tell when %s was fenced (stonith_admin: %s, status %d)", f->name,
               *said ? said : "failed", status);
    }
    if (f->again && !f->process) {
        char name[LIMIT_NAME + 1];

        memcpy(name, f->name, sizeof name);
        fencing_ask(f, f->node, name);
    }
}

bool fencing_ask(struct fencing *f, unsigned node, const char *name)
{
    /* Without --verbose equal events are merged, under the time of the oldest. */
    const char *const arguments[] = {"/usr/bin/env", "TZ=UTC", "LC_ALL=C", "stonith_admin", "--history", name,
                                     "--output-as=xml", "--verbose", NULL};
    char why[PROCESS_SAID];

    if (f->process && f->node == node && monotonic_ns() - f->asked_ns < AGAIN_MS * 1000000ull)
        f->again = true;
    if (f->process || name[0] == '-')
        return false;
    f->again = false;
    f->node = node;
    snprintf(f->name, sizeof f->name, "%s", name);
    f->used = 0;
    f->asked_ns = monotonic_ns();
    if (process_start(
            &(struct process_options){
                .loop = f->loop,
                .arguments = arguments,
                .timeout_ms = PATIENCE_MS,
                .line = on_line,
                .ended = on_ended,
                .context = f,
            },
            &f->process, why)) {
        qb_log(LOG_WARNING, "cannot ask the fencer about %s: %s", name, why);
        return false;
    }
    return true;
}

void fencing_free(struct fencing *f)
{
    if (!f)
        return;
    process_kill(f->process);
    free(f);
}
