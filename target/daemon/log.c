#include "target/daemon/log.h"

#include <qb/qblog.h>
#include <stdio.h>
#include <syslog.h>
#include <unistd.h>

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

static void add_target(int32_t target)
{
    qb_log_ctl(target, QB_LOG_CONF_ENABLED, QB_TRUE);
    /* Reactors log as well; a slow terminal or syslog must not hold them up. */
    qb_log_ctl(target, QB_LOG_CONF_THREADED, QB_TRUE);
    if (target != QB_LOG_SYSLOG)
        qb_log_format_set(target, "%T [%p] %b");
    targets[target_count++] = target;
}

void log_start(bool foreground, unsigned priority, const char *file)
{
    int32_t opened;

    qb_log_init("halund", LOG_DAEMON, (uint8_t)priority);
    qb_log_ctl(QB_LOG_SYSLOG, QB_LOG_CONF_ENABLED, QB_FALSE);
    add_target(foreground ? QB_LOG_STDERR : QB_LOG_SYSLOG);
    if (!foreground && *file) {
        opened = qb_log_file_open(file);
        if (opened >= 0)
            add_target(opened);
        else
            qb_log(LOG_ERR, "log file %s cannot be opened", file);
    }
    log_set_priority(priority);
    qb_log_filter_ctl(QB_LOG_BLACKBOX, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*", LOG_DEBUG);
    qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_SIZE, BLACKBOX_BYTES);
    qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_THREADED, QB_FALSE);
    qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_ENABLED, QB_TRUE);
    qb_log_thread_start();
}

void log_blackbox(const char *run_dir)
{
    char path[300];

    snprintf(path, sizeof path, "%s/blackbox-%d", run_dir, (int)getpid());
    qb_log_blackbox_write_to_file(path);
}

void log_stop(void)
{
    qb_log_fini();
}
