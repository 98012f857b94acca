/* Writes lines of the log on a thread of its own: a slow terminal, disk or syslog holds nobody up who logs. Lines come by a
 * mailbox, without a lock: the control thread is SCHED_RR and may meet a thread of normal priority that it has interrupted,
 * for whose lock it would wait for ever on a core of its own. What is left is the spin lock of libqb's look-up of a call's place,
 * held for some nanoseconds. */
#ifndef HALUN_DAEMON_LOG_WRITER_H
#define HALUN_DAEMON_LOG_WRITER_H

enum { LOG_WRITER_SYSLOG = -1, LOG_WRITER_LINES = 8192 /* that wait; more are lost, and counted */ };

/* Starts the thread. Returns 0 or -errno. Control thread. */
int log_writer_start(void);
/* Has `text` and a line end written to `fd`, or to syslog(3) with `priority` (LOG_WRITER_SYSLOG). Lines of one thread keep
 * their order. Any thread; never waits. */
void log_writer_put(int fd, int priority, const char *text);
/* Ends the thread when all is written that was put before, or after a second: what holds it up must not keep a daemon alive
 * that has to end. Control thread. */
void log_writer_stop(void);

#endif
