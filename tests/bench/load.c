/* Load on an iSCSI target, cheap enough that the target is the limit; one JSON object on stdout.
 * See usage() below. The process runs on one core; the target's use of its own is read from /proc
 * over the same time as the I/Os are counted. */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "target/iscsi/pdu.h"
#include "tests/bench/initiator.h"
#include "tests/bench/process.h"

enum { SESSIONS_MAX = 1024, DRAIN_S = 5 };

static const uint64_t SECOND = 1000000000u;

struct run {
    unsigned sessions;
    double seconds, warm_up;
    bool spin, idle;
    int pid;
};

static uint64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static double own_cpu(void)
{
    struct rusage use;

    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void usage(FILE *to)
{
    fputs("usage: load [OPTION...] HOST PORT TARGET-NAME\n"
          "  --sessions N     (1)            --depth N      a session (1)\n"
          "  --block BYTES    (4096)         --reads N      percent, the rest is writes (100)\n"
          "  --sequential     (random)       --digests      header and data\n"
          "  --fua            of writes\n"
          "  --lun N          first (0)      --luns N       taken at random by each command (1)\n"
          "  --size BYTES     used of a LU (1 GiB)\n"
          "  --seconds S      (2)            --warm-up S    not counted (0.3)\n"
          "  --cpu N          stay there     --spin         poll instead of sleeping\n"
          "  --pid N          whose CPU time and context switches are reported\n"
          "  --idle           log in, do nothing\n"
          "  --echo           the peer is tests/bench's echo server\n"
          "  --initiator NAME (iqn.2026-11.org.halun:load; a session adds -NUMBER)\n"
          "WRITES DESTROY WHAT THE LU HOLDS.\n",
          to);
}

static void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set)) {
        fprintf(stderr, "load: --cpu %d: %s\n", cpu, strerror(errno));
        exit(2);
    }
}

static void parse(int argc, char **argv, struct load *load, struct run *run)
{
    enum {
        SESSIONS = 1,
        DEPTH,
        BLOCK,
        READS,
        SEQUENTIAL,
        DIGESTS,
        FUA,
        LUN,
        LUNS,
        SIZE,
        SECONDS,
        WARM_UP,
        CPU,
        SPIN,
        PID,
        IDLE,
        ECHO,
        INITIATOR,
        HELP
    };
    static const struct option options[] = {
        {"sessions", 1, NULL, SESSIONS},
        {"depth", 1, NULL, DEPTH},
        {"block", 1, NULL, BLOCK},
        {"reads", 1, NULL, READS},
        {"sequential", 0, NULL, SEQUENTIAL},
        {"digests", 0, NULL, DIGESTS},
        {"fua", 0, NULL, FUA},
        {"lun", 1, NULL, LUN},
        {"luns", 1, NULL, LUNS},
        {"size", 1, NULL, SIZE},
        {"seconds", 1, NULL, SECONDS},
        {"warm-up", 1, NULL, WARM_UP},
        {"cpu", 1, NULL, CPU},
        {"spin", 0, NULL, SPIN},
        {"pid", 1, NULL, PID},
        {"idle", 0, NULL, IDLE},
        {"echo", 0, NULL, ECHO},
        {"initiator", 1, NULL, INITIATOR},
        {"help", 0, NULL, HELP},
        {0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        unsigned long number = optarg ? strtoul(optarg, NULL, 10) : 0;
        switch (option) {
        case SESSIONS:
            run->sessions = (unsigned)number;
            break;
        case DEPTH:
            load->depth = (unsigned)number;
            break;
        case BLOCK:
            load->block = (unsigned)number;
            break;
        case READS:
            load->read_percent = (unsigned)number;
            break;
        case SEQUENTIAL:
            load->sequential = true;
            break;
        case DIGESTS:
            load->digests = true;
            break;
        case FUA:
            load->fua = true;
            break;
        case LUN:
            load->first_lun = (unsigned)number;
            break;
        case LUNS:
            load->luns = (unsigned)number;
            break;
        case SIZE:
            load->size = number;
            break;
        case SECONDS:
            run->seconds = strtod(optarg, NULL);
            break;
        case WARM_UP:
            run->warm_up = strtod(optarg, NULL);
            break;
        case CPU:
            pin((int)number);
            break;
        case SPIN:
            run->spin = true;
            break;
        case PID:
            run->pid = (int)number;
            break;
        case IDLE:
            run->idle = true;
            break;
        case ECHO:
            load->echo = true;
            break;
        case INITIATOR:
            load->initiator = optarg;
            break;
        case HELP:
            usage(stdout);
            exit(0);
        default:
            usage(stderr);
            exit(2);
        }
    }
    if (argc - optind != 3 || !run->sessions || run->sessions > SESSIONS_MAX || !load->depth ||
        load->depth > LOAD_DEPTH_MAX || load->block < LOAD_SECTOR || load->block % LOAD_SECTOR ||
        load->block > LOAD_BLOCK_MAX || load->read_percent > 100 || !load->luns ||
        load->size < load->block) {
        usage(stderr);
        exit(2);
    }
    load->host = argv[optind];
    load->port = argv[optind + 1];
    load->target = argv[optind + 2];
}

static void open_ring(struct load *load)
{
    struct io_uring_params params = {.flags =
                                         IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int rc = io_uring_queue_init_params(4096, &load->ring, &params);

    if (rc) {
        fprintf(stderr, "load: io_uring: %s\n", strerror(-rc));
        exit(1);
    }
}

/* One turn: sends, waits for something to happen, handles it. */
static void turn(struct load *load, const struct run *run)
{
    struct __kernel_timespec wait = {.tv_nsec = 10000000};
    struct io_uring_cqe *cqe;
    struct session *session;
    unsigned head, seen = 0;

    load->now_ns = clock_ns();
    while ((session = session_next()))
        session_flush(session);
    if (run->spin)
        io_uring_submit_and_get_events(&load->ring);
    else /* what was sent completes at once; the wait is for one event more */
        io_uring_submit_and_wait_timeout(&load->ring, &cqe, 1 + load->expected, &wait, NULL);
    load->expected = 0;
    load->now_ns = clock_ns();
    io_uring_for_each_cqe(&load->ring, head, cqe)
    {
        session_event(load, cqe);
        seen++;
    }
    io_uring_cq_advance(&load->ring, seen);
}

static void report(const struct load *load, const struct run *run, double login, double seconds,
                   double cpu, struct process_use from, struct process_use to)
{
    double n = (double)load->done, million = n / 1e6;

    printf("{\"sessions\":%u,\"depth\":%u,\"block\":%u,\"reads\":%u,\"seconds\":%.3f,\"ios\":%.0f,"
           "\"iops\":%.0f,\"MBps\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,"
           "\"client_cores\":%.3f,\"login_s\":%.3f",
           run->sessions, load->depth, load->block, load->read_percent, seconds, n, n / seconds,
           n / seconds * load->block / 1e6, histogram_at(&load->latency, .5) / 1e3,
           histogram_at(&load->latency, .99) / 1e3, histogram_at(&load->latency, .999) / 1e3,
           cpu / seconds, login);
    if (run->pid) {
        double used = (double)(to.cpu_ns - from.cpu_ns) / 1e9;
        printf(",\"target_cores\":%.4f", used / seconds);
        if (n > 0)
            printf(",\"cpu_us\":%.3f,\"sleeps\":%.4f,\"preempted\":%.4f", used / million,
                   (double)(to.voluntary - from.voluntary) / n,
                   (double)(to.forced - from.forced) / n);
    }
    puts("}");
}

int main(int argc, char **argv)
{
    static struct load load = {.depth = 1,
                               .block = 4096,
                               .read_percent = 100,
                               .luns = 1,
                               .size = 1 << 30,
                               .initiator = "iqn.2026-11.org.halun:load"};
    struct run run = {.sessions = 1, .seconds = 2, .warm_up = .3};
    static struct session *sessions[SESSIONS_MAX];
    struct process_use from, to;
    uint64_t began, until;
    uint8_t *data;
    double cpu, logged_in;

    parse(argc, argv, &load, &run);
    signal(SIGPIPE, SIG_IGN);
    data = malloc(load.block);
    if (!data)
        return 1;
    for (unsigned i = 0; i < load.block; i++)
        data[i] = (uint8_t)(i * 131 + (i >> 8));
    load.data = data;
    load.data_crc = pdu_crc_feed(PDU_CRC_START, data, load.block);
    open_ring(&load);
    began = clock_ns();
    for (unsigned i = 0; i < run.sessions; i++)
        sessions[i] = session_open(&load, i);
    logged_in = (double)(clock_ns() - began) / 1e9;
    if (!run.idle)
        for (unsigned i = 0; i < run.sessions; i++)
            session_start(sessions[i]);

    until = clock_ns() + (uint64_t)(run.warm_up * 1e9);
    while (clock_ns() < until)
        turn(&load, &run);
    memset(&load.latency, 0, sizeof load.latency);
    load.done = 0;
    from = process_use(run.pid);
    cpu = own_cpu();
    began = clock_ns();
    until = began + (uint64_t)(run.seconds * 1e9);
    while (load.now_ns < until)
        turn(&load, &run);
    cpu = own_cpu() - cpu;
    to = process_use(run.pid);
    report(&load, &run, logged_in, (double)(load.now_ns - began) / 1e9, cpu, from, to);

    load.stopping = true;
    until = clock_ns() + DRAIN_S * SECOND;
    while (load.outstanding && clock_ns() < until)
        turn(&load, &run);
    for (unsigned i = 0; i < run.sessions; i++)
        session_close(sessions[i]);
    free(data);
    return load.outstanding ? 1 : 0;
}
