/* The fencer's history, and stonith_admin, which the daemon starts to read it: a child process that writes XML into
 * a pipe after a while and ends. Carrying a fencing out is pacemaker.c's part. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#include "tests/sim/world.h"

enum { HISTORY = 64, TEXT = 24 << 10, CHILD_NS = 40 * SIM_MS };

struct fencing_event {
    unsigned target;
    uint64_t wall; /* CLOCK_REALTIME of who fenced, ns */
};

static struct history {
    struct fencing_event events[HISTORY];
    unsigned count;
} histories[SIM_NODES + 1];

/* The child and its pipes; a daemon has one at a time. */
static struct child {
    struct host *host;
    bool running;
    int status;
    unsigned pipes;   /* made for it: its output, then what it complains of */
    char text[TEXT];  /* its output */
    size_t used, read;
    struct sim_event event;
} children[SIM_NODES + 1];

static void on_child(struct sim_event *event);

void fencer_begin(void)
{
    for (unsigned i = 1; i <= SIM_NODES; i++) {
        histories[i].count = 0;
        memset(&children[i], 0, offsetof(struct child, text));
        memset(&children[i].event, 0, sizeof children[i].event);
        children[i].host = &hosts[i];
        children[i].event.run = on_child;
    }
}

static void note(struct history *history, struct fencing_event event)
{
    for (unsigned i = 0; i < history->count; i++)
        if (history->events[i].target == event.target && history->events[i].wall == event.wall)
            return;
    if (history->count == HISTORY)
        memmove(history->events, history->events + 1, --history->count * sizeof event);
    history->events[history->count++] = event;
}

void fencer_record(struct host *by, unsigned target)
{
    struct fencing_event event = {target, sim_now() + (uint64_t)by->wall_offset};
    uint32_t ring = bus_ring(by);

    for (unsigned i = 1; i <= sim_config()->nodes; i++)
        if (ring & 1u << i)
            note(&histories[i], event);
}

void fencer_merge(uint32_t members)
{
    for (unsigned a = 1; a <= SIM_NODES; a++)
        for (unsigned b = 1; b <= SIM_NODES; b++)
            if (a != b && (members & 1u << a) && (members & 1u << b))
                for (unsigned i = 0; i < histories[b].count; i++)
                    note(&histories[a], histories[b].events[i]);
}

/* ---- stonith_admin ---- */

static void print_history(struct child *child)
{
    const struct history *history = &histories[child->host->id];

    child->used = 0;
    for (unsigned i = history->count; i-- > 0 && child->used < TEXT - 512;) {
        const struct fencing_event *event = &history->events[i];
        time_t seconds = (time_t)(event->wall / 1000000000u);
        char when[32];
        struct tm tm;
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", gmtime_r(&seconds, &tm));
        child->used += (size_t)snprintf(
            child->text + child->used, TEXT - child->used,
            "<fence_event action=\"reboot\" target=\"node%u\" client=\"pacemaker-controld.1\" "
            "origin=\"node%u\" status=\"success\" delegate=\"node%u\" completed=\"%s.%06uZ\"/>\n",
            event->target, child->host->id, child->host->id, when,
            (unsigned)(event->wall % 1000000000u / 1000));
    }
}

static void on_child(struct sim_event *event)
{
    struct child *child = container_of(event, struct child, event);

    if (child->host->frozen) {
        sim_at(event, sim_now() + 100 * SIM_MS);
        return;
    }
    if (!child->running)
        return;
    child->status = sim_random(30) ? 0 : 1 << 8; /* now and then the fencer does not answer */
    if (!child->status)
        print_history(child);
    child->running = false;
    loop_ready(child->host);
}

void fencer_process_ended(struct host *host)
{
    struct child *child = &children[host->id];

    sim_cancel(&child->event);
    child->running = false;
    child->pipes = 0;
}

/* Its output can be read, or one of its pipes at its end; it has ended. */
bool fencer_readable(const struct vfd *fd)
{
    const struct child *child = fd->object;

    return child && (!child->running || (fd->kind == FD_PIPE && !fd->count && child->read < child->used));
}

long fencer_read(struct vfd *pipe, void *to, size_t n)
{
    struct child *child = pipe->object;

    if (!pipe->count && child->read < child->used) {
        if (n > child->used - child->read)
            n = child->used - child->read;
        memcpy(to, child->text + child->read, n);
        child->read += n;
        return (long)n;
    }
    return child->running ? -EAGAIN : 0;
}

/* ---- the calls of the module ---- */

int __wrap_pipe2(int fds[2], int flags);
int __wrap_posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]);
int __wrap_posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *actions, int fd, int to);
int __wrap_posix_spawn_file_actions_addopen(posix_spawn_file_actions_t *actions, int fd,
                                            const char *path, int flags, mode_t mode);
int __wrap_pidfd_open(pid_t pid, unsigned flags);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);
int __wrap_kill(pid_t pid, int number);

int __wrap_pipe2(int fds[2], int flags)
{
    struct child *child = &children[current->host->id];

    fds[0] = fd_new(current->host, FD_PIPE, child);
    fds[1] = fd_new(current->host, FD_PIPE, NULL);
    fd_get(current->host, fds[0])->count = child->pipes++; /* the first one has what it says */
    return 0;
}

/* One that the world does not have is not merely not installed: the daemon would go on without it, and nobody notice. */
static bool is_known(char *const argv[])
{
    unsigned i = !strcmp(argv[0], "/usr/bin/env");

    while (i && argv[i] && strchr(argv[i], '='))
        i++;
    return argv[i] && !strcmp(argv[i], "stonith_admin");
}

int __wrap_posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    struct child *child = &children[current->host->id];

    if (!is_known(argv))
        sim_fail("node%u: the world has no program %s", child->host->id, file);
    child->running = true;
    child->pipes = 0;
    child->used = child->read = 0;
    *pid = 1;
    sim_at(&child->event, sim_now() + world_latency(CHILD_NS));
    return 0;
}

int __wrap_posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *actions, int fd, int to)
{
    return 0;
}

int __wrap_posix_spawn_file_actions_addopen(posix_spawn_file_actions_t *actions, int fd,
                                            const char *path, int flags, mode_t mode)
{
    return 0;
}

int __wrap_pidfd_open(pid_t pid, unsigned flags)
{
    return fd_new(current->host, FD_PID, &children[current->host->id]);
}

pid_t __wrap_waitpid(pid_t pid, int *status, int options)
{
    struct child *child = &children[current->host->id];

    if (child->running)
        return 0;
    if (status)
        *status = child->status;
    return pid;
}

int __wrap_kill(pid_t pid, int number)
{
    struct child *child = &children[current->host->id];

    sim_cancel(&child->event);
    child->running = false;
    child->status = number;
    return 0;
}
