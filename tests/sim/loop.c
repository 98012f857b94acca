/* libqb's loop and log as the daemon uses them. One loop per process: that of the control thread. What is due at
 * the same time is taken in an order drawn from the seed; after qb_loop_stop() nothing is called any more. */
#include <errno.h>
#include <poll.h>
#include <qb/qblog.h>
#include <qb/qbloop.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

enum { TIMERS = 1200, POLLS = 14, JOBS = 16, SIGNALS = 4, TURN_NS = 10 * US };

struct loop_timer {
    bool armed;
    uint64_t when; /* by the host's clock */
    uint64_t number;
    void *data;
    qb_loop_timer_dispatch_fn run;
    uint32_t serial;
};

static struct loop {
    struct thread *thread; /* in qb_loop_run(); NULL: nobody */
    bool stop;
    struct loop_timer timers[TIMERS];
    unsigned timer_count; /* slots ever used */
    uint64_t number;
    struct {
        int fd;
        void *data;
        qb_loop_poll_dispatch_fn run;
    } polls[POLLS];
    unsigned poll_count;
    struct {
        void *data;
        qb_loop_job_dispatch_fn run;
    } jobs[JOBS];
    unsigned job_count;
    struct {
        int number;
        void *data;
        qb_loop_signal_dispatch_fn run;
        bool raised;
    } signals[SIGNALS];
    unsigned signal_count;
} loops[SIM_NODES + 1];

void loop_begin(struct host *host)
{
    struct loop *loop = &loops[host->id];

    memset(loop->timers, 0, loop->timer_count * sizeof loop->timers[0]);
    loop->thread = NULL;
    loop->stop = false;
    loop->timer_count = loop->poll_count = loop->job_count = loop->signal_count = 0;
}

/* The loop itself looks again after every callback. */
static void wake(struct loop *loop)
{
    if (loop->thread && loop->thread != current)
        thread_wake(loop->thread, world_latency(TURN_NS));
}

void loop_ready(struct host *host)
{
    wake(&loops[host->id]);
}

void loop_signal(struct host *host, int signal_number)
{
    struct loop *loop = &loops[host->id];

    for (unsigned i = 0; i < loop->signal_count; i++)
        if (loop->signals[i].number == signal_number)
            loop->signals[i].raised = true;
    wake(loop);
}

static bool run_signals(struct loop *loop)
{
    bool any = false;

    for (unsigned i = 0; i < loop->signal_count && !loop->stop; i++)
        if (loop->signals[i].raised) {
            loop->signals[i].raised = false;
            loop->signals[i].run(loop->signals[i].number, loop->signals[i].data);
            any = true;
        }
    return any;
}

static bool run_jobs(struct loop *loop)
{
    unsigned count = loop->job_count;

    for (unsigned i = 0; i < count && !loop->stop; i++)
        loop->jobs[i].run(loop->jobs[i].data);
    memmove(loop->jobs, loop->jobs + count, (loop->job_count - count) * sizeof loop->jobs[0]);
    loop->job_count -= count;
    return count;
}

static bool forget_poll(struct loop *loop, int fd)
{
    for (unsigned i = 0; i < loop->poll_count; i++)
        if (loop->polls[i].fd == fd) {
            loop->polls[i] = loop->polls[--loop->poll_count];
            return true;
        }
    return false;
}

static bool run_polls(struct host *host, struct loop *loop)
{
    unsigned first = loop->poll_count ? sim_random(loop->poll_count) : 0;
    int fds[POLLS];
    unsigned count = 0;

    for (unsigned i = 0; i < loop->poll_count; i++) {
        const struct vfd *fd = fd_get(host, loop->polls[(first + i) % loop->poll_count].fd);
        if (fd && fd_readable(fd))
            fds[count++] = loop->polls[(first + i) % loop->poll_count].fd;
    }
    for (unsigned i = 0; i < count && !loop->stop; i++)
        for (unsigned k = 0; k < loop->poll_count; k++)
            if (loop->polls[k].fd == fds[i]) {
                if (loop->polls[k].run(fds[i], POLLIN, loop->polls[k].data) < 0)
                    forget_poll(loop, fds[i]);
                break;
            }
    return count;
}

static struct loop_timer *first_timer(struct loop *loop)
{
    struct loop_timer *first = NULL;

    for (unsigned i = 0; i < loop->timer_count; i++) {
        struct loop_timer *t = &loop->timers[i];
        if (t->armed &&
            (!first || t->when < first->when || (t->when == first->when && t->number < first->number)))
            first = t;
    }
    return first;
}

/* Timers that are due now; one that is armed meanwhile waits for the next turn. */
static bool run_timers(struct loop *loop)
{
    uint64_t until = loop->number;
    struct loop_timer *t;
    bool any = false;

    while (!loop->stop && (t = first_timer(loop)) && t->when <= host_clock(current->host) && t->number < until) {
        t->armed = false;
        t->serial++;
        t->run(t->data);
        any = true;
    }
    return any;
}

void __wrap_qb_loop_run(struct qb_loop *l);
void __wrap_qb_loop_stop(struct qb_loop *l);
qb_loop_t *__wrap_qb_loop_create(void);
int32_t __wrap_qb_loop_job_add(qb_loop_t *l, enum qb_loop_priority p, void *data,
                               qb_loop_job_dispatch_fn run);
int32_t __wrap_qb_loop_timer_add(qb_loop_t *l, enum qb_loop_priority p, uint64_t ns, void *data,
                                 qb_loop_timer_dispatch_fn run, qb_loop_timer_handle *handle);
int32_t __wrap_qb_loop_timer_del(qb_loop_t *l, qb_loop_timer_handle handle);
int32_t __wrap_qb_loop_poll_add(qb_loop_t *l, enum qb_loop_priority p, int32_t fd, int32_t events,
                                void *data, qb_loop_poll_dispatch_fn run);
int32_t __wrap_qb_loop_poll_del(qb_loop_t *l, int32_t fd);
int32_t __wrap_qb_loop_signal_add(qb_loop_t *l, enum qb_loop_priority p, int32_t number, void *data,
                                  qb_loop_signal_dispatch_fn run, qb_loop_signal_handle *handle);

static struct loop *mine(void)
{
    return &loops[current->host->id];
}

void __wrap_qb_loop_run(struct qb_loop *l)
{
    struct loop *loop = mine();

    loop->thread = current;
    while (!loop->stop) {
        bool polled_first = sim_random(2), any = run_signals(loop);
        struct loop_timer *next;
        any |= run_jobs(loop);
        any |= polled_first ? run_polls(current->host, loop) : run_timers(loop);
        any |= polled_first ? run_timers(loop) : run_polls(current->host, loop);
        if (any || loop->stop)
            continue;
        next = first_timer(loop);
        if (next && next->when > host_clock(current->host))
            thread_wake(current, host_clock_wait(current->host, next->when) + sim_random(TURN_NS));
        thread_block();
    }
    loop->thread = NULL;
}

void __wrap_qb_loop_stop(struct qb_loop *l)
{
    mine()->stop = true;
}

qb_loop_t *__wrap_qb_loop_create(void)
{
    return (qb_loop_t *)mine();
}

int32_t __wrap_qb_loop_job_add(qb_loop_t *l, enum qb_loop_priority p, void *data,
                               qb_loop_job_dispatch_fn run)
{
    struct loop *loop = mine();

    if (loop->job_count == JOBS)
        return -ENOMEM;
    loop->jobs[loop->job_count].data = data;
    loop->jobs[loop->job_count++].run = run;
    wake(loop);
    return 0;
}

int32_t __wrap_qb_loop_timer_add(qb_loop_t *l, enum qb_loop_priority p, uint64_t ns, void *data,
                                 qb_loop_timer_dispatch_fn run, qb_loop_timer_handle *handle)
{
    struct loop *loop = mine();
    struct loop_timer *t = NULL;

    for (unsigned i = 0; i < loop->timer_count && !t; i++)
        if (!loop->timers[i].armed)
            t = &loop->timers[i];
    if (!t) {
        if (loop->timer_count == TIMERS)
            return -ENOMEM;
        t = &loop->timers[loop->timer_count++];
    }
    t->armed = true;
    t->when = host_clock(current->host) + ns;
    t->number = loop->number++;
    t->data = data;
    t->run = run;
    if (handle)
        *handle = (uint64_t)(t - loop->timers + 1) << 32 | t->serial;
    wake(loop);
    return 0;
}

int32_t __wrap_qb_loop_timer_del(qb_loop_t *l, qb_loop_timer_handle handle)
{
    struct loop *loop = mine();
    uint64_t slot = handle >> 32;
    struct loop_timer *t;

    if (!slot || slot > loop->timer_count)
        return -EINVAL;
    t = &loop->timers[slot - 1];
    if (!t->armed || t->serial != (uint32_t)handle)
        return -EINVAL;
    t->armed = false;
    t->serial++;
    return 0;
}

int32_t __wrap_qb_loop_poll_add(qb_loop_t *l, enum qb_loop_priority p, int32_t fd, int32_t events,
                                void *data, qb_loop_poll_dispatch_fn run)
{
    struct loop *loop = mine();

    if (loop->poll_count == POLLS)
        return -ENOMEM;
    loop->polls[loop->poll_count].fd = fd;
    loop->polls[loop->poll_count].data = data;
    loop->polls[loop->poll_count++].run = run;
    wake(loop);
    return 0;
}

int32_t __wrap_qb_loop_poll_del(qb_loop_t *l, int32_t fd)
{
    return forget_poll(mine(), fd) ? 0 : -ENOENT;
}

int32_t __wrap_qb_loop_signal_add(qb_loop_t *l, enum qb_loop_priority p, int32_t number, void *data,
                                  qb_loop_signal_dispatch_fn run, qb_loop_signal_handle *handle)
{
    struct loop *loop = mine();

    loop->signals[loop->signal_count].number = number;
    loop->signals[loop->signal_count].data = data;
    loop->signals[loop->signal_count].raised = false;
    loop->signals[loop->signal_count++].run = run;
    return 0;
}

/* ---- the log ---- */

struct qb_log_callsite *__wrap_qb_log_callsite_get2(const char *message_id, const char *function,
                                                    const char *file, const char *format,
                                                    uint8_t priority, uint32_t line, uint32_t tags);
void __wrap_qb_log_real_(struct qb_log_callsite *site, ...);

struct qb_log_callsite *__wrap_qb_log_callsite_get2(const char *message_id, const char *function,
                                                    const char *file, const char *format,
                                                    uint8_t priority, uint32_t line, uint32_t tags)
{
    static struct qb_log_callsite site;

    site.format = format;
    site.priority = priority;
    return &site;
}

void __wrap_qb_log_real_(struct qb_log_callsite *site, ...)
{
    static const char *const names[] = {"emerg",   "alert",  "crit", "err",
                                        "warning", "notice", "info", "debug"};
    unsigned node = current ? current->host->id : world_inside ? world_inside->id : 0;
    char text[512];
    va_list arguments;

    if (!sim_tracing())
        return;
    va_start(arguments, site);
    vsnprintf(text, sizeof text, site->format, arguments);
    va_end(arguments);
    sim_trace(node, "[%s] %s", names[site->priority & 7], text);
}

/* Where the log goes is not simulated. */
int32_t __wrap_qb_log_ctl(int32_t target, enum qb_log_conf conf, int32_t argument);
int32_t __wrap_qb_log_filter_ctl(int32_t target, enum qb_log_filter_conf conf,
                                 enum qb_log_filter_type type, const char *text, uint8_t priority);
int32_t __wrap_qb_log_file_open(const char *file);
void __wrap_qb_log_fini(void);
void __wrap_qb_log_format_set(int32_t target, const char *format);
void __wrap_qb_log_init(const char *name, int32_t facility, uint8_t priority);
int32_t __wrap_qb_log_thread_start(void);
ssize_t __wrap_qb_log_blackbox_write_to_file(const char *file);

int32_t __wrap_qb_log_ctl(int32_t target, enum qb_log_conf conf, int32_t argument)
{
    return 0;
}

int32_t __wrap_qb_log_filter_ctl(int32_t target, enum qb_log_filter_conf conf,
                                 enum qb_log_filter_type type, const char *text, uint8_t priority)
{
    return 0;
}

int32_t __wrap_qb_log_file_open(const char *file)
{
    return 8;
}

void __wrap_qb_log_fini(void)
{
}

void __wrap_qb_log_format_set(int32_t target, const char *format)
{
}

void __wrap_qb_log_init(const char *name, int32_t facility, uint8_t priority)
{
}

int32_t __wrap_qb_log_thread_start(void)
{
    return 0;
}

ssize_t __wrap_qb_log_blackbox_write_to_file(const char *file)
{
    return 0;
}
