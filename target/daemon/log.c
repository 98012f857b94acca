#include "target/daemon/log.h"

#include <errno.h>
#include <fcntl.h>
#include <qb/qblog.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "target/daemon/log_writer.h"

enum { BLACKBOX_BYTES = 1 << 20 };

/* Where operators read: standard error, or syslog and perhaps a file. */
static int32_t targets[2];
static unsigned target_count;

void log_set_priority(unsigned priority)
{
    for (unsigned i = 0; i < target_count; i++) {
        qb_log_filter_ctl(targets[i], QB_LOG_FILTER_CLEAR_ALL, QB_LOG_FILTER_FILE, "*", LOG_TRACE);
        qb_log_filter_ctl(targets[i], QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*",
                          (uint8_t)priority);
    }
}

/* libqb's own thread for slow targets shares a spin lock with whoever logs: see log_writer.h. */
static void hand_on(int32_t target, struct qb_log_callsite *site, struct timespec *time, const char *message)
{
    char line[QB_LOG_MAX_LEN + 1] = "";

    qb_log_target_format(target, site, time, message, line);
    log_writer_put((int)(intptr_t)qb_log_target_user_data_get(target), site->priority, line);
}

static void add_target(int fd)
{
    int32_t target = qb_log_custom_open(hand_on, NULL, NULL, (void *)(intptr_t)fd);

    if (target < 0)
        return;
    qb_log_ctl(target, QB_LOG_CONF_ENABLED, QB_TRUE);
    qb_log_format_set(target, fd == LOG_WRITER_SYSLOG ? "%b" : "%T [%p] %b");
    targets[target_count++] = target;
}

void log_start(bool foreground, unsigned priority, const char *file)
{
    int error, fd;

    qb_log_init("halund", LOG_DAEMON, (uint8_t)priority);
    qb_log_ctl(QB_LOG_SYSLOG, QB_LOG_CONF_ENABLED, QB_FALSE);
    target_count = 0;
    openlog("halund", LOG_PID, LOG_DAEMON);
    error = log_writer_start();
    if (error)
        fprintf(stderr, "halund: no thread for the log: %s\n", strerror(-error));
    add_target(foreground ? STDERR_FILENO : LOG_WRITER_SYSLOG);
    if (!foreground && *file) {
        fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        if (fd >= 0)
            add_target(fd);
        else
            qb_log(LOG_ERR, "log file %s cannot be opened: %s", file, strerror(errno));
    }
    log_set_priority(priority);
    qb_log_filter_ctl(QB_LOG_BLACKBOX, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*", LOG_DEBUG);
    qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_SIZE, BLACKBOX_BYTES);
    qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_THREADED, QB_FALSE);
    qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_ENABLED, QB_TRUE);
}

void log_blackbox(const char *run_dir)
{
    char path[300];

    snprintf(path, sizeof path, "%s/blackbox-%d", run_dir, (int)getpid());
    qb_log_blackbox_write_to_file(path);
}

void log_stop(void)
{
    log_writer_stop();
    qb_log_fini();
}
