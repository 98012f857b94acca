/* timerfd: the daemon's clock of the cluster. Time goes on while a process stands still, so
 * expirations gather. */
#include <errno.h>
#include <sys/timerfd.h>

#include "tests/sim/world.h"

enum { TIMERS = 2 }; /* of one process */

struct vtimer {
    struct sim_event expires;
    struct host *host;
    int fd;
    uint64_t next, interval; /* by the host's clock */
    bool used;
};

static struct vtimer timers[SIM_NODES + 1][TIMERS]; /* by host id */

static void arm(struct vtimer *timer)
{
    sim_at(&timer->expires, sim_now() + host_clock_wait(timer->host, timer->next));
}

static void expire(struct sim_event *event)
{
    struct vtimer *timer = container_of(event, struct vtimer, expires);
    struct vfd *fd = fd_get(timer->host, timer->fd);

    world_event_of(timer->host->id);
    if (timer->interval) {
        timer->next += timer->interval;
        arm(timer);
    }
    fd->count++;
    fd_ready(timer->host, fd);
}

int __wrap_timerfd_create(int clock, int flags);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *to, struct itimerspec *old);

int __wrap_timerfd_create(int clock, int flags)
{
    struct host *host = current->host;

    for (unsigned i = 0; i < TIMERS; i++) {
        struct vtimer *timer = &timers[host->id][i];
        if (timer->used)
            continue;
        *timer = (struct vtimer){.expires.run = expire, .host = host, .used = true};
        return timer->fd = fd_new(host, FD_TIMER, timer);
    }
    sim_fail("node%u: more timers than the world has", host->id);
}

static uint64_t nanoseconds(struct timespec t)
{
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *to, struct itimerspec *old)
{
    struct vfd *vfd = fd_get(current->host, fd);
    struct vtimer *timer;

    if (!vfd || vfd->kind != FD_TIMER || flags || old) {
        errno = EINVAL;
        return -1;
    }
    timer = vfd->object;
    timer->interval = nanoseconds(to->it_interval);
    sim_cancel(&timer->expires);
    if (nanoseconds(to->it_value)) {
        timer->next = host_clock(timer->host) + nanoseconds(to->it_value);
        arm(timer);
    }
    return 0;
}

void timer_close(struct vtimer *timer)
{
    sim_cancel(&timer->expires);
    timer->used = false;
}

void timers_clock(const struct host *host)
{
    for (unsigned i = 0; i < TIMERS; i++)
        if (timers[host->id][i].expires.slot)
            arm(&timers[host->id][i]);
}

void timers_forget(const struct host *host)
{
    for (unsigned i = 0; i < TIMERS; i++)
        timer_close(&timers[host->id][i]);
}
