/* What the module asks of libc and of OpenSSL beside memory, files and sockets: clocks, threads, the end of the
 * process, random bytes. Every name is a row of seam.list. */
#include <errno.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/world.h"

int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_usleep(useconds_t us);
pid_t __wrap_getpid(void);
int __wrap_gethostname(char *name, size_t size);
long __wrap_sysconf(int name);
uid_t __wrap_geteuid(void);
void (*__wrap_signal(int number, void (*handler)(int)))(int);
int __wrap_daemon(int nochdir, int noclose);
void __wrap__exit(int code) __attribute__((noreturn));
void __wrap_abort(void) __attribute__((noreturn));
void __wrap___assert_fail(const char *what, const char *file, unsigned line, const char *function)
    __attribute__((noreturn));
int __wrap_RAND_bytes(unsigned char *bytes, int n);
int __wrap_sched_setscheduler(pid_t pid, int policy, const struct sched_param *parameter);
int world_pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*start)(void *),
                         void *argument);
int __wrap_pthread_join(pthread_t id, void **result);
pthread_t __wrap_pthread_self(void);
int __wrap_pthread_setname_np(pthread_t id, const char *name);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_cond_signal(pthread_cond_t *condition);
struct reactor *__wrap_reactor_self(void);

static struct host *host_here(void)
{
    return current ? current->host : world_inside;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
    const struct host *host = host_here();
    uint64_t now = clock == CLOCK_REALTIME ? sim_now() + (uint64_t)host->wall_offset : host_clock(host);

    t->tv_sec = (time_t)(now / 1000000000u);
    t->tv_nsec = (long)(now % 1000000000u);
    return 0;
}

int __wrap_usleep(useconds_t us)
{
    const struct host *host = current->host;
    uint64_t end = host_clock(host) + (uint64_t)us * US;

    while (host_clock(host) < end)
        thread_sleep(host_clock_wait(host, end));
    return 0;
}

pid_t __wrap_getpid(void)
{
    return (pid_t)(1000 * host_here()->id + host_here()->starts);
}

int __wrap_gethostname(char *name, size_t size)
{
    snprintf(name, size, "node%u", host_here()->id);
    return 0;
}

long __wrap_sysconf(int name)
{
    return 1;
}

uid_t __wrap_geteuid(void)
{
    return 0;
}

void (*__wrap_signal(int number, void (*handler)(int)))(int)
{
    return SIG_DFL;
}

int __wrap_daemon(int nochdir, int noclose)
{
    errno = ENOSYS;
    return -1;
}

/* ---- the end ---- */

void __wrap__exit(int code)
{
    host_ended(current->host, code);
    thread_exit();
}

void __wrap_abort(void)
{
    sim_fail("node%u: abort()", host_here()->id);
}

void __wrap___assert_fail(const char *what, const char *file, unsigned line, const char *function)
{
    sim_fail("node%u: %s:%u: %s: assertion failed: %s", host_here()->id, file, line, function, what);
}

int __wrap_RAND_bytes(unsigned char *bytes, int n)
{
    for (int i = 0; i < n; i++)
        bytes[i] = (unsigned char)sim_random(256);
    return 1;
}

/* ---- threads: one runs at a time, so a mutex is never found locked ---- */

int __wrap_sched_setscheduler(pid_t pid, int policy, const struct sched_param *parameter)
{
    return 0;
}

int world_pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*start)(void *),
                         void *argument)
{
    *id = (pthread_t)thread_new(current->host, start, argument);
    return 0;
}

int __wrap_pthread_join(pthread_t id, void **result)
{
    struct thread *thread = (struct thread *)id;

    thread->joiner = current;
    while (thread->alive)
        thread_block();
    thread->joiner = NULL;
    return 0;
}

pthread_t __wrap_pthread_self(void)
{
    return (pthread_t)current;
}

int __wrap_pthread_setname_np(pthread_t id, const char *name)
{
    return 0;
}

/* The daemon has conditions with one waiter each; who it is stands in the condition. */
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    memcpy(condition, &current, sizeof current);
    pthread_mutex_unlock(mutex);
    thread_block();
    pthread_mutex_lock(mutex);
    return 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *condition)
{
    struct thread *waiter;

    memcpy(&waiter, condition, sizeof waiter);
    if (waiter)
        thread_wake(waiter, world_latency(20 * US));
    return 0;
}

struct reactor *__wrap_reactor_self(void)
{
    return current ? current->reactor : NULL;
}
