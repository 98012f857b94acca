#include "target/daemon/log.h"

#include <qb/qblog.h>
#include <stdio.h>
#include <syslog.h>
#include <unistd.h>

enum { BLACKBOX_BYTES = 1 << 20 };

static enum qb_log_target_slot target = QB_LOG_STDERR;

void log_set_priority(unsigned priority)
{
    qb_log_filter_ctl(target, QB_LOG_FILTER_CLEAR_ALL, QB_LOG_FILTER_FILE, "*", LOG_TRACE);
    qb_log_filter_ctl(target, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*", (uint8_t)priority);
}

void log_start(bool foreground, unsigned priority)
{
    qb_log_init("halund", LOG_DAEMON, (uint8_t)priority);
    target = foreground ? QB_LOG_STDERR : QB_LOG_SYSLOG;
    qb_log_ctl(QB_LOG_SYSLOG, QB_LOG_CONF_ENABLED, !foreground);
    qb_log_ctl(QB_LOG_STDERR, QB_LOG_CONF_ENABLED, foreground);
    log_set_priority(priority);
    if (foreground)
        qb_log_format_set(QB_LOG_STDERR, "%T [%p] %b");
    qb_log_filter_ctl(QB_LOG_BLACKBOX, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*", LOG_DEBUG);
    qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_SIZE, BLACKBOX_BYTES);
    qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_THREADED, QB_FALSE);
    qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_ENABLED, QB_TRUE);
    /* Reactors log as well; a slow terminal or syslog must not hold them up. */
    qb_log_ctl(target, QB_LOG_CONF_THREADED, QB_TRUE);
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
