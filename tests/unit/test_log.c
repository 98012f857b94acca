/* The log: nothing is lost that is put, and nobody who logs waits: not for a slow reader, and not, as the real-time control
 * thread must not, for the writer or another thread of normal priority that it has interrupted. Not covered: syslog, and the
 * spin lock around libqb's look-up of a call's place, which every qb_log() takes for some nanoseconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <qb/qblog.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "target/daemon/log.h"
#include "target/daemon/log_writer.h"

enum { THREADS = 4, LINES = 1000, RUN_MS = 600, LONGEST_MS = 200, WAIT_MS = 60000 };

static int true_stderr;

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* From here on the daemon's stderr is `fd`. */
static void begin(int fd)
{
    true_stderr = dup(STDERR_FILENO);
    dup2(fd, STDERR_FILENO);
    log_start(true, LOG_INFO, "");
}

static void end(void)
{
    log_stop();
    dup2(true_stderr, STDERR_FILENO);
    close(true_stderr);
}

static void *log_many(void *number)
{
    for (unsigned i = 0; i < LINES; i++)
        log_writer_put(STDERR_FILENO, LOG_INFO, (const char *)number);
    return NULL;
}

static void wait_for_more_than(FILE *file, off_t size)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    uint64_t until = now_us() + WAIT_MS * 1000;
    struct stat status;

    while (!fstat(fileno(file), &status) && status.st_size <= size && now_us() < until)
        nanosleep(&pause, NULL);
}

static void put_when_by_many_threads_then_all_lines_are_whole(void **state)
{
    static const char *const names[THREADS] = {"one", "two", "three", "four"};
    FILE *file = tmpfile();
    pthread_t threads[THREADS];
    unsigned seen[THREADS] = {0};
    off_t whole = 0;
    char line[64];

    begin(fileno(file));
    for (unsigned i = 0; i < THREADS; i++) {
        whole += LINES * (off_t)(strlen(names[i]) + 1);
        pthread_create(&threads[i], NULL, log_many, (void *)names[i]);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    qb_log(LOG_DEBUG, "not asked for");
    qb_log(LOG_NOTICE, "the %s", "end");
    wait_for_more_than(file, whole); /* end() waits for a second only, as a daemon that stops */
    end();
    rewind(file);
    for (unsigned n = 0; n < THREADS * LINES; n++) {
        bool known = false;

        assert_non_null(fgets(line, sizeof line, file));
        for (unsigned i = 0; i < THREADS; i++) {
            bool same = strlen(line) == strlen(names[i]) + 1 && !strncmp(line, names[i], strlen(names[i]));

            seen[i] += same;
            known |= same;
        }
        if (!known)
            fail_msg("not a line that was put: %s", line);
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(seen[i], LINES);
    assert_non_null(fgets(line, sizeof line, file));
    assert_non_null(strstr(line, " [notice] the end\n"));
    assert_null(fgets(line, sizeof line, file));
    fclose(file);
}

static void *read_all(void *context)
{
    static char text[1 << 16];
    int fd = *(int *)context;
    bool *told = calloc(1, sizeof *told);
    ssize_t n;

    while ((n = read(fd, text, sizeof text - 1)) > 0) {
        text[n] = '\0';
        *told |= strstr(text, "lines of the log were lost") != NULL;
    }
    return told;
}

static void put_when_nobody_reads_then_lost_and_told(void **state)
{
    char line[16];
    void *told;
    pthread_t reader;
    int pipes[2];

    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\0';
    assert_int_equal(pipe(pipes), 0);
    begin(pipes[1]);
    for (unsigned i = 0; i < LOG_WRITER_LINES + 5000; i++) /* more than the pipe and the writer take */
        log_writer_put(STDERR_FILENO, LOG_INFO, line);
    pthread_create(&reader, NULL, read_all, &pipes[0]);
    end();
    close(pipes[1]);
    pthread_join(reader, &told);
    assert_true(*(bool *)told);
    free(told);
    close(pipes[0]);
}

static atomic_bool over;

static void *log_always(void *unused)
{
    while (!atomic_load(&over))
        log_writer_put(STDERR_FILENO, LOG_INFO, "of normal priority");
    return NULL;
}

/* As the control thread: wakes up now and then, and logs. Returns how long the longest call took. */
static void *log_sometimes(void *unused)
{
    const struct timespec pause = {.tv_nsec = 100000};
    uint64_t until = now_us() + RUN_MS * 1000, longest = 0;

    while (now_us() < until) {
        uint64_t began = now_us(), took;

        qb_log(LOG_INFO, "of real-time priority");
        took = now_us() - began;
        if (took > longest)
            longest = took;
        nanosleep(&pause, NULL);
    }
    return (void *)(uintptr_t)longest;
}

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif

/* All on one core: who waits awake for a thread that it has interrupted waits until the kernel has mercy (0.95 s). */
static void log_when_real_time_then_does_not_wait_for_who_was_interrupted(void **state)
{
    struct sched_param parameter = {.sched_priority = 1};
    FILE *file;
    pthread_t normal, real_time;
    pthread_attr_t attributes;
    cpu_set_t one, before;
    void *longest = NULL;
    int error;

#ifdef THREAD_SANITIZER
    fprintf(stderr, "the sanitizer waits awake for its own locks (StaticSpinMutex): not tested\n");
    skip();
#endif
    file = tmpfile();
    sched_getaffinity(0, sizeof before, &before);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
    begin(fileno(file));
    pthread_attr_init(&attributes);
    pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attributes, SCHED_RR);
    pthread_attr_setschedparam(&attributes, &parameter);
    atomic_store(&over, false);
    pthread_create(&normal, NULL, log_always, NULL);
    error = pthread_create(&real_time, &attributes, log_sometimes, NULL);
    if (!error)
        pthread_join(real_time, &longest);
    atomic_store(&over, true);
    pthread_join(normal, NULL);
    end();
    sched_setaffinity(0, sizeof before, &before);
    fclose(file);
    if (error == EPERM) {
        fprintf(stderr, "no right to real-time priority (root has it): not tested\n");
        skip();
    }
    assert_int_equal(error, 0);
    assert_in_range((uintptr_t)longest, 0, LONGEST_MS * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_when_by_many_threads_then_all_lines_are_whole),
        cmocka_unit_test(put_when_nobody_reads_then_lost_and_told),
        cmocka_unit_test(log_when_real_time_then_does_not_wait_for_who_was_interrupted),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
