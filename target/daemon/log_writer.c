#include "target/daemon/log_writer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "target/base/container.h"
#include "target/base/mailbox.h"

struct line {
    struct post post;
    int fd, priority;
    char text[];
};

static struct {
    struct mailbox mailbox;
    pthread_t thread;
    struct post stop;
    bool started, stopping;
    atomic_uint waiting, lost;
} writer;

static void write_all(int fd, const char *text, size_t length)
{
    while (length) {
        ssize_t n = write(fd, text, length);

        if (n < 0 && errno != EINTR)
            return; /* nobody is left to whom it could be told */
        if (n > 0) {
            text += n;
            length -= (size_t)n;
        }
    }
}

static void write_line(int fd, int priority, char *text)
{
    size_t length = strlen(text);

    if (fd == LOG_WRITER_SYSLOG) {
        syslog(priority > LOG_DEBUG ? LOG_DEBUG : priority, "%s", text);
        return;
    }
    text[length] = '\n'; /* one write: others may append to the same file */
    write_all(fd, text, length + 1);
}

static void at_writer_line(struct post *post)
{
    struct line *line = container_of(post, struct line, post);
    unsigned lost = atomic_exchange(&writer.lost, 0);
    char text[80];

    write_line(line->fd, line->priority, line->text);
    if (lost) {
        snprintf(text, sizeof text, "%u lines of the log were lost: it is written too slowly", lost);
        write_line(line->fd, LOG_WARNING, text);
    }
    atomic_fetch_sub(&writer.waiting, 1);
    free(line);
}

static void at_writer_stop(struct post *post)
{
    writer.stopping = true;
}

static void *run_writer(void *unused)
{
    struct pollfd wait = {.fd = writer.mailbox.wake_fd, .events = POLLIN};

    while (!writer.stopping) {
        uint64_t woken;

        poll(&wait, 1, -1);
        if (read(writer.mailbox.wake_fd, &woken, sizeof woken) == (ssize_t)sizeof woken)
            mailbox_run(&writer.mailbox);
    }
    return NULL;
}

int log_writer_start(void)
{
    sigset_t all, before;
    int error = mailbox_init(&writer.mailbox);

    if (error)
        return error;
    writer.stopping = false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the control thread's */
    error = pthread_create(&writer.thread, NULL, run_writer, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    writer.started = !error;
    return -error;
}

void log_writer_put(int fd, int priority, const char *text)
{
    size_t length = strlen(text);
    struct line *line;

    if (!writer.started)
        return;
    line = atomic_fetch_add(&writer.waiting, 1) < LOG_WRITER_LINES ? malloc(sizeof *line + length + 2) : NULL;
    if (!line) {
        atomic_fetch_sub(&writer.waiting, 1);
        atomic_fetch_add(&writer.lost, 1);
        return;
    }
    line->post.run = at_writer_line;
    line->fd = fd;
    line->priority = priority;
    memcpy(line->text, text, length + 1);
    mailbox_post(&writer.mailbox, &line->post);
}

void log_writer_stop(void)
{
    struct timespec until;

    if (!writer.started)
        return;
    writer.stop.run = at_writer_stop;
    mailbox_post(&writer.mailbox, &writer.stop);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    pthread_timedjoin_np(writer.thread, NULL, &until);
}
