/* halun-cpg-latency: how long Corosync needs until all peers have answered one message, one after
 * the other: the figure that a PERSISTENT RESERVE OUT is compared with (halun-pr-latency). Every
 * peer runs it with --answer; the one that asks prints one line of JSON. A group of its own, beside
 * the daemons.
 *
 * Not covered: messages longer than an operation of a register command. */
#include <corosync/cpg.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WARM = 20, SIZE = 300, PATIENCE_MS = 5000, JOIN_TRIES = 500, JOIN_US = 10000 };

struct message {
    uint32_t answer;    /* 0: a question */
    uint32_t node, pid; /* who asked */
    uint32_t number;
    char fill[SIZE - 16];
};

static cpg_handle_t cpg;
static int fd;
static bool answering, show;
static uint32_t self, number, answers;
static size_t members;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "halun-cpg-latency: %s\n", what);
    exit(1);
}

static void multicast(const struct message *message)
{
    struct iovec part = {(void *)message, sizeof *message};
    cs_error_t error;

    while ((error = cpg_mcast_joined(cpg, CPG_TYPE_AGREED, &part, 1)) == CS_ERR_TRY_AGAIN)
        usleep(100);
    if (error != CS_OK)
        fail("the message cannot be sent");
}

static void delivered(cpg_handle_t handle, const struct cpg_name *group, uint32_t node,
                      uint32_t pid, void *bytes, size_t size)
{
    struct message m;

    if (size != sizeof m)
        return;
    memcpy(&m, bytes, sizeof m);
    if (m.answer) {
        answers += m.node == self && m.pid == (uint32_t)getpid() && m.number == number;
    } else if (answering) {
        m.answer = 1;
        multicast(&m);
    }
}

static void changed(cpg_handle_t handle, const struct cpg_name *group,
                    const struct cpg_address *now, size_t now_count, const struct cpg_address *left,
                    size_t left_count, const struct cpg_address *joined, size_t joined_count)
{
    members = now_count;
}

static void dispatch(void)
{
    struct pollfd p = {fd, POLLIN, 0};

    if (poll(&p, 1, answering ? -1 : PATIENCE_MS) <= 0)
        fail("no answer: does every peer run with --answer?");
    if (cpg_dispatch(cpg, CS_DISPATCH_ALL) != CS_OK)
        fail("Corosync is gone");
}

static void join(void)
{
    cpg_callbacks_t callbacks = {.cpg_deliver_fn = delivered, .cpg_confchg_fn = changed};
    struct cpg_name group = {.length = 13, .value = "halun-latency"};
    cs_error_t error = CS_ERR_TRY_AGAIN;

    if (cpg_initialize(&cpg, &callbacks) != CS_OK || cpg_local_get(cpg, &self) != CS_OK ||
        cpg_fd_get(cpg, &fd) != CS_OK)
        fail("Corosync does not run here");
    for (unsigned i = 0; i < JOIN_TRIES && error == CS_ERR_TRY_AGAIN; i++) {
        error = cpg_join(cpg, &group);
        if (error == CS_ERR_TRY_AGAIN)
            usleep(JOIN_US);
    }
    if (error != CS_OK)
        fail("the group cannot be joined");
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void ask(unsigned count, unsigned peers, unsigned gap_us)
{
    struct message m = {.node = self, .pid = (uint32_t)getpid()};
    uint64_t *times = calloc(count, sizeof *times);

    if (!times)
        fail("out of memory");
    while (members <= peers)
        dispatch();
    for (unsigned i = 0; i < count + WARM; i++) {
        uint64_t began;

        usleep(gap_us);
        m.number = number = i;
        answers = 0;
        began = now_ns();
        multicast(&m);
        while (answers < peers)
            dispatch();
        if (i >= WARM)
            times[i - WARM] = now_ns() - began;
    }
    qsort(times, count, sizeof *times, by_size);
    printf("{\"count\": %u, \"peers\": %u, \"p50_us\": %.0f, \"p90_us\": %.0f, \"p99_us\": %.0f",
           count, peers, (double)times[count / 2] / 1000, (double)times[count * 9 / 10] / 1000,
           (double)times[count * 99 / 100] / 1000);
    for (unsigned i = 0; show && i < count; i++)
        printf("%s%.0f", i ? ", " : ", \"times_us\": [", (double)times[i] / 1000);
    puts(show ? "]}" : "}");
    free(times);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"count", required_argument, NULL, 'c'},
                                            {"peers", required_argument, NULL, 'p'},
                                            {"gap-us", required_argument, NULL, 'g'},
                                            {"answer", no_argument, NULL, 'a'},
                                            {"times", no_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    unsigned count = 1000, peers = 1, gap_us = 0;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'c')
            count = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'p')
            peers = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'g')
            gap_us = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'a')
            answering = true;
        else if (option == 't')
            show = true;
        if (option == '?' || !count || !peers) {
            fputs("usage: halun-cpg-latency --answer | [--count N] [--peers N] [--gap-us N] [--times]\n",
                  stderr);
            return 2;
        }
    }
    join();
    if (!answering)
        ask(count, peers, gap_us);
    while (answering)
        dispatch();
    cpg_finalize(cpg);
    return 0;
}
