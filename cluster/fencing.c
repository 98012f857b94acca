#include "cluster/fencing.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <qb/qbdefs.h>
#include <qb/qblog.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "target/base/limits.h"

enum { ANSWER_MAX = 256 << 10, REAP_MS = 10, PATIENCE = 1000 /* times REAP_MS */, AGAIN = 40 };

struct fencing {
    qb_loop_t *loop;
    fencing_answer answer;
    void *context;
    pid_t pid; /* 0 = no question open */
    int fd;
    unsigned node;
    char name[LIMIT_NAME + 1];
    qb_loop_timer_handle timer;
    unsigned waited;
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
        f->fd = -1;
    }
    return f;
}

static void close_pipe(struct fencing *f)
{
    if (f->fd < 0)
        return;
    qb_loop_poll_del(f->loop, f->fd);
    close(f->fd);
    f->fd = -1;
}

static void reap(void *data)
{
    struct fencing *f = data;
    uint64_t time = 0;
    int status = 0;
    /* Not before all that it wrote has been read, unless it takes for ever. */
    pid_t pid = f->fd >= 0 && f->waited < PATIENCE ? 0 : waitpid(f->pid, &status, WNOHANG);

    if (pid == 0) {
        if (++f->waited == PATIENCE)
            kill(f->pid, SIGKILL);
        qb_loop_timer_add(f->loop, QB_LOOP_MED, REAP_MS * QB_TIME_NS_IN_MSEC, f, reap, &f->timer);
        return;
    }
    close_pipe(f);
    f->pid = 0;
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 && f->used < ANSWER_MAX) {
        time = fencing_parse(f->text, f->used, f->name);
        if (time)
            f->answer(f->context, f->node, time);
    } else {
        qb_log(LOG_WARNING, "the fencer does not tell when %s was fenced (stonith_admin: %d)", f->name,
               WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    }
    if (f->again && !f->pid) {
        char name[LIMIT_NAME + 1];
        snprintf(name, sizeof name, "%s", f->name);
        fencing_ask(f, f->node, name);
    }
}

static int32_t on_text(int32_t fd, int32_t events, void *data)
{
    struct fencing *f = data;
    ssize_t n = f->used < ANSWER_MAX ? read(fd, f->text + f->used, ANSWER_MAX - f->used) : 0;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n > 0) {
        f->used += (size_t)n;
        return 0;
    }
    close_pipe(f);
    return 0;
}

/* Ordinary priority and signals, whatever the control thread runs with. */
static int spawn(struct fencing *f, int out)
{
    /* Without --verbose equal events are merged, under the time of the oldest. */
    char *const arguments[] = {(char *)"stonith_admin", (char *)"--history", f->name,
                               (char *)"--output-as=xml", (char *)"--verbose", NULL};
    char *const environment[] = {(char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *)"TZ=UTC",
                                 (char *)"LC_ALL=C", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    struct sched_param normal = {0};
    sigset_t none, all;
    int error;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSCHEDULER | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setschedpolicy(&attributes, SCHED_OTHER);
    posix_spawnattr_setschedparam(&attributes, &normal);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    error = posix_spawnp(&f->pid, arguments[0], &actions, &attributes, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error)
        f->pid = 0;
    return error;
}

bool fencing_ask(struct fencing *f, unsigned node, const char *name)
{
    int pipes[2], error;

    if (f->pid && f->node == node && f->waited < AGAIN)
        f->again = true;
    if (f->pid || name[0] == '-')
        return false;
    f->again = false;
    if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    f->node = node;
    snprintf(f->name, sizeof f->name, "%s", name);
    f->used = 0;
    f->waited = 0;
    error = spawn(f, pipes[1]);
    close(pipes[1]);
    if (error) {
        close(pipes[0]);
        qb_log(LOG_WARNING, "cannot ask the fencer about %s: stonith_admin: %s", name,
               strerror(error));
        return false;
    }
    f->fd = pipes[0];
    qb_loop_poll_add(f->loop, QB_LOOP_MED, f->fd, POLLIN, f, on_text);
    qb_loop_timer_add(f->loop, QB_LOOP_MED, REAP_MS * QB_TIME_NS_IN_MSEC, f, reap, &f->timer);
    return true;
}

void fencing_free(struct fencing *f)
{
    if (!f)
        return;
    if (f->pid) {
        qb_loop_timer_del(f->loop, f->timer);
        kill(f->pid, SIGKILL);
        waitpid(f->pid, NULL, 0); /* killed: it ends at once */
    }
    close_pipe(f);
    free(f);
}
