/* The daemon's log: one line per event for operators (stderr, or syslog when it runs in the background),
 * and libqb's blackbox, which keeps the last debug messages for a post-mortem (qb-blackbox). */
#ifndef HALUN_DAEMON_LOG_H
#define HALUN_DAEMON_LOG_H

#include <stdbool.h>

/* Starts logging. `priority`: the least urgent syslog level that is printed; `file`: a file that is logged
 * to as well when in the background ("" = none). */
void log_start(bool foreground, unsigned priority, const char *file);
/* Changes the level while running. */
void log_set_priority(unsigned priority);
/* Writes the blackbox to RUN_DIR/blackbox-PID. Call from a fatal end as well. */
void log_blackbox(const char *run_dir);
void log_stop(void);

#endif
