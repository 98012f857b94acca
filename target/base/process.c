#include "target/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    GRACE_MS = 5000,    /* for a killed process that the kernel holds; then it is given up */
    KILL_WAIT_MS = 200, /* that process_kill() waits for its end */
};

/* One of its outputs. */
struct output {
    int fd; /* -1: at its end */
    char text[PROCESS_LINE];
    size_t used;
    bool too_long; /* the line that is being read */
};

struct process {
    struct process_options options;
    pid_t pid;
    int pid_fd;
    struct output out, err;
    char said[PROCESS_SAID];
    qb_loop_timer_handle timer;
    bool armed, late;
    bool given_up; /* nobody waits for its end any more, which only frees it */
};

extern char **environ;

/* ---- lines ---- */

static void told(struct process *p, struct output *output)
{
    if (output->too_long) {
        output->too_long = false;
    } else if (output == &p->out) {
        if (p->options.line)
            p->options.line(p->options.context, output->text, output->used);
    } else if (output->used) {
        size_t n = output->used < PROCESS_SAID - 1 ? output->used : PROCESS_SAID - 1;

        memcpy(p->said, output->text, n);
        p->said[n] = '\0';
    }
    output->used = 0;
}

static void take(struct process *p, struct output *output, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n')
            told(p, output);
        else if (output->used == PROCESS_LINE)
            output->too_long = true;
        else
            output->text[output->used++] = text[i];
    }
}

static void stop_reading(struct process *p, struct output *output)
{
    if (output->fd < 0)
        return;
    qb_loop_poll_del(p->options.loop, output->fd);
    close(output->fd);
    output->fd = -1;
    if (output->used)
        told(p, output);
}

/* What is there now. */
static void read_some(struct process *p, struct output *output)
{
    char text[4096];

    while (output->fd >= 0) {
        ssize_t n = read(output->fd, text, sizeof text);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            stop_reading(p, output);
        else
            take(p, output, text, (size_t)n);
    }
}

/* One buffer at a time, so that a program that never stops talking does not hold up the loop. */
static void read_once(struct process *p, struct output *output)
{
    char text[4096];
    ssize_t n = read(output->fd, text, sizeof text);

    if (n > 0)
        take(p, output, text, (size_t)n);
    else if (n == 0 || (errno != EINTR && errno != EAGAIN))
        stop_reading(p, output);
}

static int32_t on_out(int32_t fd, int32_t events, void *data)
{
    struct process *p = data;

    read_once(p, &p->out);
    return 0;
}

static int32_t on_err(int32_t fd, int32_t events, void *data)
{
    struct process *p = data;

    read_once(p, &p->err);
    return 0;
}

/* ---- its end ---- */

static void release(struct process *p)
{
    if (p->armed)
        qb_loop_timer_del(p->options.loop, p->timer);
    if (p->pid_fd >= 0) {
        qb_loop_poll_del(p->options.loop, p->pid_fd);
        close(p->pid_fd);
    }
    p->out.used = p->err.used = 0;
    stop_reading(p, &p->out);
    stop_reading(p, &p->err);
    free(p);
}

/* Its pipes may stay open with a child of its own: what has been written is read, no more. */
static int32_t on_end(int32_t fd, int32_t events, void *data)
{
    struct process *p = data;
    struct process_options options = p->options;
    char said[PROCESS_SAID];
    int status = 0;

    if (waitpid(p->pid, &status, WNOHANG) == 0)
        return 0;
    read_some(p, &p->out);
    read_some(p, &p->err);
    stop_reading(p, &p->out);
    stop_reading(p, &p->err);
    if (p->given_up) {
        release(p);
        return 0;
    }
    memcpy(said, p->said, sizeof said);
    status = p->late               ? -ETIMEDOUT
             : WIFEXITED(status)   ? WEXITSTATUS(status)
             : WIFSIGNALED(status) ? 128 + WTERMSIG(status)
                                   : 255;
    release(p);
    options.ended(options.context, status, said);
    return 0;
}

static void kill_all(const struct process *p)
{
    kill(-p->pid, SIGKILL);
    kill(p->pid, SIGKILL);
}

static void give_up(struct process *p)
{
    p->given_up = true;
    p->options.line = NULL;
}

/* Killed, but it does not end: the kernel holds it. */
static void on_stuck(void *data)
{
    struct process *p = data;

    p->armed = false;
    give_up(p);
    p->options.ended(p->options.context, -ETIMEDOUT, "it does not end when killed");
}

static void on_late(void *data)
{
    struct process *p = data;

    p->late = true;
    kill_all(p); /* on_end() tells it */
    p->armed = !qb_loop_timer_add(p->options.loop, QB_LOOP_MED, GRACE_MS * 1000000ull, p, on_stuck, &p->timer);
}

void process_kill(struct process *p)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    if (!p)
        return;
    kill_all(p);
    for (unsigned i = 0; i < KILL_WAIT_MS; i++) {
        if (waitpid(p->pid, NULL, WNOHANG)) {
            release(p);
            return;
        }
        nanosleep(&pause, NULL);
    }
    give_up(p); /* the kernel holds it: on_end() frees it some day */
}

/* ---- its start ---- */

/* Ordinary priority and signals, whatever the control thread runs with. */
static int spawn(struct process *p, int out, int err)
{
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
    posix_spawn_file_actions_adddup2(&actions, err, 2);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSCHEDULER | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setschedpolicy(&attributes, SCHED_OTHER);
    posix_spawnattr_setschedparam(&attributes, &normal);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    error = posix_spawnp(&p->pid, p->options.arguments[0], &actions, &attributes,
                         (char *const *)p->options.arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return -error;
}

static int fail(struct process *p, int error, char *why)
{
    snprintf(why, PROCESS_SAID, "%.60s: %s", p->options.arguments[0],
             error == -ENOENT ? "is not installed, or not in PATH" : strerror(-error));
    release(p);
    return error;
}

int process_start(const struct process_options *options, struct process **process, char *why)
{
    struct process *p = calloc(1, sizeof *p);
    int out[2] = {-1, -1}, err[2] = {-1, -1}, rc = 0;

    if (!p) {
        snprintf(why, PROCESS_SAID, "out of memory");
        return -ENOMEM;
    }
    p->options = *options;
    p->pid_fd = p->out.fd = p->err.fd = -1;
    if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
        rc = -errno;
    if (!rc)
        rc = spawn(p, out[1], err[1]);
    for (unsigned i = 0; i < 2; i++) {
        int *ends = i ? err : out;

        if (ends[1] >= 0)
            close(ends[1]);
        if (rc && ends[0] >= 0)
            close(ends[0]);
    }
    if (rc)
        return fail(p, rc, why);
    fcntl(out[0], F_SETFL, O_NONBLOCK); /* of the reading end alone */
    fcntl(err[0], F_SETFL, O_NONBLOCK);
    p->pid_fd = pidfd_open(p->pid, 0);
    if (p->pid_fd < 0) {
        rc = -errno;
        close(out[0]);
        close(err[0]);
        kill_all(p);
        waitpid(p->pid, NULL, 0);
        return fail(p, rc, why);
    }
    p->out.fd = out[0];
    p->err.fd = err[0];
    qb_loop_poll_add(options->loop, QB_LOOP_MED, p->out.fd, POLLIN, p, on_out);
    qb_loop_poll_add(options->loop, QB_LOOP_MED, p->err.fd, POLLIN, p, on_err);
    qb_loop_poll_add(options->loop, QB_LOOP_MED, p->pid_fd, POLLIN, p, on_end);
    if (options->timeout_ms)
        p->armed = !qb_loop_timer_add(options->loop, QB_LOOP_MED, options->timeout_ms * 1000000ull, p, on_late,
                                      &p->timer);
    *process = p;
    return 0;
}
