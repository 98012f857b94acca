/* sim: runs of the simulated world, one seed or many. */
#include <errno.h>
#include <getopt.h>
#include <glob.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/run.h"
#include "tests/sim/states.h"
#include "tests/sim/stories.h"
#include "tests/sim/totals.h"
#include "tests/sim/world.h"

enum { EXIT_GOOD = 0, EXIT_VIOLATION = 1, EXIT_USAGE = 2, JOBS_MAX = 64, RUN_S = 120 };

static struct {
    uint64_t first, last;
    unsigned jobs;
    bool trace, many, hashes, wide, dense;
    const char *story, *sum;
    unsigned nodes, seconds;
    uint32_t faults;
    bool faults_given;
    unsigned stop_after; /* violations */
} options = {.jobs = 1, .stop_after = 10};

static void usage(FILE *out)
{
    fputs("usage: sim [OPTION...]\n"
          "Simulated halun arrays: whole nodes on a virtual clock, with faults, from one seed.\n\n"
          "  -s, --seed N        one run (default 1); prints its statistics\n"
          "  -S, --seeds A..B    many runs; prints a summary and every seed that failed\n"
          "  -j, --jobs N        worker processes for --seeds (default 1)\n"
          "      --hashes        with --seeds: print the hash of every run\n"
          "      --sum FILE      add what --seeds ran to FILE, and print what all have come to that were\n"
          "                      added to it: runs, violations, distinct states, mixes of faults;\n"
          "                      alone: only print. Several processes may add at a time\n"
          "  -t, --trace         print what happens: [ms] who, what\n"
          "      --story FILE    a hand-written case instead of faults and workload from the seed\n"
          "      --stories       run all in tests/sim/stories\n"
          "      --wide          draw from more: 1..8 nodes, 1..4 groups, disks that fail on all nodes, and the\n"
          "                      last four kinds of faults of --list, which are not drawn otherwise\n"
          "      --dense         faults come two to three times as often, some are shorter, disks slower; the\n"
          "                      replication network is late at times, not lost\n"
          "      --faults LIST   these kinds of faults (comma), or \"none\", instead of a drawn mix\n"
          "      --nodes N       nodes, instead of drawn (1..8)\n"
          "      --seconds N     simulated seconds with faults (default 60)\n"
          "      --canary NAME   plant a bug: early-answer, no-drain, outdated, flush-alone\n"
          "      --list          print faults and canaries\n"
          "  -h, --help          this text\n\n"
          "Exit status: 0 nothing violated, 1 a violation, 2 usage.\n"
          "The same seed and options give the same run. docs/simulator.md tells what is simulated.\n",
          out);
}

static void prepare(struct sim_config *config, uint64_t seed)
{
    config_draw(config, seed, options.wide);
    config->dense = options.dense;
    if (options.nodes) {
        config->nodes = options.nodes;
        config->two_node = options.nodes == 2;
    }
    if (options.seconds)
        config->length_ns = options.seconds * (uint64_t)1000 * SIM_MS;
    if (options.faults_given)
        config->faults = options.faults;
}

/* ---- one run ---- */

static void print_count(const char *name, uint64_t n, void *context)
{
    printf("  %-24s %llu\n", name, (unsigned long long)n);
}

static int one(const struct sim_story *story, uint64_t seed)
{
    struct sim_config config;
    struct run_result result;
    bool good;

    prepare(&config, seed);
    if (story) {
        config.faults = 0;
        if (story->configure)
            story->configure(&config);
    }
    world_set_trace(options.trace);
    good = sim_run(&config, story, &result);
    if (story)
        printf("%-40s %s%s\n", story->name, good ? "good" : "VIOLATION: ", result.why);
    else
        printf("seed %llu: %s%s\n", (unsigned long long)seed, good ? "good" : "VIOLATION: ", result.why);
    if (!options.many) {
        printf("  %u nodes, %u groups, %u lus, %.1f s simulated, %llu events, %.1f ms of CPU, hash %016llx\n",
               config.nodes, config.groups, config.lus, (double)result.simulated_ns / 1e9,
               (unsigned long long)result.events, (double)result.cpu_ns / 1e6,
               (unsigned long long)result.hash);
        world_each_count(print_count, NULL);
    }
    return good ? EXIT_GOOD : EXIT_VIOLATION;
}

/* ---- many runs ---- */

/* What a worker writes for every run. */
struct line {
    uint64_t seed;
    bool began, good;
    uint32_t faults;
    struct run_result result;
    unsigned count;
    struct {
        char name[TOTALS_NAME];
        uint64_t n;
    } counters[TOTALS_COUNTERS];
};

static void collect(const char *name, uint64_t n, void *context)
{
    struct line *line = context;

    snprintf(line->counters[line->count].name, sizeof line->counters[0].name, "%s", name);
    line->counters[line->count++].n = n;
}

static void put(int fd, const struct line *line)
{
    const char *at = (const char *)line;
    size_t left = sizeof *line;

    while (left) {
        ssize_t n = write(fd, at, left);
        if (n <= 0)
            _exit(EXIT_USAGE);
        at += n;
        left -= (size_t)n;
    }
}

static void work(int fd, uint64_t first, uint64_t step)
{
    const struct itimerval limit = {.it_value.tv_sec = RUN_S};
    static struct line line;

    for (uint64_t seed = first; seed <= options.last; seed += step) {
        struct sim_config config;
        memset(&line, 0, sizeof line);
        line.seed = seed;
        line.began = true;
        put(fd, &line);
        prepare(&config, seed);
        line.faults = config.faults;
        line.began = false;
        setitimer(ITIMER_PROF, &limit, NULL); /* a run that never ends is a violation as well */
        line.good = sim_run(&config, NULL, &line.result);
        world_each_count(collect, &line);
        put(fd, &line);
    }
    _exit(0);
}

static void add(struct totals *totals, const struct line *line)
{
    totals->runs++;
    totals->events += line->result.events;
    totals->cpu_ns += line->result.cpu_ns;
    totals->simulated_ns += line->result.simulated_ns;
    totals_mix(totals, line->faults);
    for (unsigned i = 0; i < line->count; i++)
        totals_count(totals, line->counters[i].name, line->counters[i].n);
}

static void failed(struct totals *totals, uint64_t seed, const char *why)
{
    totals->failed++;
    printf("seed %llu: VIOLATION: %s\n", (unsigned long long)seed, why);
    fflush(stdout);
}

struct worker {
    pid_t pid;
    int fd;
    uint64_t seed; /* that it is at */
};

static void start_worker(struct worker *worker, uint64_t first)
{
    int pipes[2];

    if (first > options.last) {
        worker->pid = 0;
        return;
    }
    if (pipe(pipes) || (worker->pid = fork()) < 0) {
        perror("sim");
        exit(EXIT_USAGE);
    }
    if (!worker->pid) {
        close(pipes[0]);
        work(pipes[1], first, options.jobs);
    }
    close(pipes[1]);
    worker->fd = pipes[0];
    worker->seed = first;
}

static bool get(int fd, struct line *line)
{
    char *at = (char *)line;
    size_t left = sizeof *line;

    while (left) {
        ssize_t n = read(fd, at, left);
        if (n <= 0)
            return false;
        at += n;
        left -= (size_t)n;
    }
    return true;
}

/* Takes what one worker has to say. One that died is followed by another, at the next seed. */
static void hear(struct worker *worker, struct totals *totals)
{
    static struct line line;
    char why[80];
    int status;

    if (get(worker->fd, &line)) {
        worker->seed = line.seed;
        if (!line.began) {
            add(totals, &line);
            if (options.hashes)
                printf("seed %llu: hash %016llx\n", (unsigned long long)line.seed,
                       (unsigned long long)line.result.hash);
            if (!line.good)
                failed(totals, line.seed, line.result.why);
        }
        return;
    }
    close(worker->fd);
    waitpid(worker->pid, &status, 0);
    worker->pid = 0;
    if (WIFEXITED(status) && !WEXITSTATUS(status))
        return;
    if (WIFEXITED(status)) /* a sanitizer's word is on standard error */
        snprintf(why, sizeof why, "the process ended with status %d", WEXITSTATUS(status));
    else if (WTERMSIG(status) == SIGPROF)
        snprintf(why, sizeof why, "no end in %d s of CPU", RUN_S);
    else
        snprintf(why, sizeof why, "the process died of signal %d", WTERMSIG(status));
    failed(totals, worker->seed, why);
    start_worker(worker, worker->seed + options.jobs);
}

/* Adds to the file of --sum and tells what is in it then. */
static int sum(struct totals *totals)
{
    char why[512];

    if (!totals_sum(totals, options.sum, why, sizeof why)) {
        fprintf(stderr, "sim: %s\n", why);
        return EXIT_USAGE;
    }
    totals_print("in all: ", totals, states_count());
    return totals->failed ? EXIT_VIOLATION : EXIT_GOOD;
}

static int many(void)
{
    static struct totals totals;
    struct worker workers[JOBS_MAX] = {{0}};
    bool any = true;
    int code;

    states_share();
    for (unsigned i = 0; i < options.jobs; i++)
        start_worker(&workers[i], options.first + i);
    while (any && totals.failed < options.stop_after) {
        struct pollfd fds[JOBS_MAX];
        any = false;
        for (unsigned i = 0; i < options.jobs; i++) {
            fds[i].fd = workers[i].pid ? workers[i].fd : -1;
            fds[i].events = POLLIN;
            any |= workers[i].pid != 0;
        }
        if (any && poll(fds, options.jobs, -1) < 0)
            break;
        for (unsigned i = 0; any && i < options.jobs; i++)
            if (fds[i].fd >= 0 && fds[i].revents)
                hear(&workers[i], &totals);
    }
    for (unsigned i = 0; i < options.jobs; i++)
        if (workers[i].pid) {
            kill(workers[i].pid, SIGKILL);
            waitpid(workers[i].pid, NULL, 0);
        }
    totals_print("", &totals, states_count());
    code = totals.failed ? EXIT_VIOLATION : EXIT_GOOD;
    if (options.sum && sum(&totals) == EXIT_USAGE)
        return EXIT_USAGE;
    return code;
}

/* ---- the command line ---- */

static int run_story(const char *path)
{
    const struct sim_story *story;
    char why[512];

    if (story_read(path, &story, why, sizeof why)) {
        fprintf(stderr, "sim: %s\n", why);
        return EXIT_USAGE;
    }
    return one(story, options.first);
}

static int all_stories(void)
{
    int code = EXIT_GOOD;
    glob_t found;

    options.many = true;
    if (glob(SIM_STORIES "/*.story", 0, NULL, &found)) {
        fprintf(stderr, "sim: no stories in %s\n", SIM_STORIES);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        int one_code = run_story(found.gl_pathv[i]);
        code = one_code > code ? one_code : code;
    }
    globfree(&found);
    return code;
}

static void list(void)
{
    puts("faults:");
    for (unsigned i = 0; i < SIM_FAULTS; i++)
        printf("  %s\n", sim_fault_name((enum sim_fault)i));
    puts("canaries:");
    for (unsigned i = 0; i < CANARIES; i++)
        printf("  %s\n", canary_names[i]);
}

static int bad(const char *what, const char *value)
{
    fprintf(stderr, "sim: %s \"%s\": see sim --help\n", what, value);
    return EXIT_USAGE;
}

static bool parse_faults(char *text)
{
    options.faults_given = true;
    options.faults = 0;
    if (!strcmp(text, "none"))
        return true;
    for (char *save, *word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        unsigned i = 0;
        while (i < SIM_FAULTS && strcmp(word, sim_fault_name((enum sim_fault)i)))
            i++;
        if (i == SIM_FAULTS)
            return false;
        options.faults |= 1u << i;
    }
    return true;
}

static bool parse_number(const char *text, uint64_t *value, char end)
{
    char *rest;

    errno = 0;
    *value = strtoull(text, &rest, 10);
    return !errno && rest != text && *rest == end;
}

static bool parse_range(const char *text)
{
    const char *dots = strstr(text, "..");

    return dots && parse_number(text, &options.first, '.') &&
           parse_number(dots + 2, &options.last, '\0') && options.last >= options.first;
}

int main(int argc, char **argv)
{
    enum { STORY = 256, HASHES, SUM, STORIES, WIDE, DENSE, FAULTS, NODES, SECONDS, CANARY, LIST };
    static const struct option long_options[] = {
        {"seed", required_argument, NULL, 's'},     {"seeds", required_argument, NULL, 'S'},
        {"jobs", required_argument, NULL, 'j'},     {"trace", no_argument, NULL, 't'},
        {"hashes", no_argument, NULL, HASHES},      {"sum", required_argument, NULL, SUM},
        {"story", required_argument, NULL, STORY},  {"stories", no_argument, NULL, STORIES},
        {"faults", required_argument, NULL, FAULTS}, {"nodes", required_argument, NULL, NODES},
        {"seconds", required_argument, NULL, SECONDS}, {"canary", required_argument, NULL, CANARY},
        {"list", no_argument, NULL, LIST},          {"help", no_argument, NULL, 'h'},
        {"wide", no_argument, NULL, WIDE},          {"dense", no_argument, NULL, DENSE},
        {NULL, 0, NULL, 0},
    };
    bool stories = false, seed = false;
    uint64_t number;
    int option;

    mallopt(M_TRIM_THRESHOLD, INT_MAX); /* the next run takes the memory again */
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    setvbuf(stdout, NULL, _IOLBF, 0); /* what was seen is there even if a node takes the process with it */
    options.first = options.last = 1;
    while ((option = getopt_long(argc, argv, "s:S:j:th", long_options, NULL)) != -1) {
        switch (option) {
        case 's':
            if (!parse_number(optarg, &options.first, '\0'))
                return bad("seed", optarg);
            seed = true;
            break;
        case 'S':
            if (!parse_range(optarg))
                return bad("seeds", optarg);
            options.many = true;
            break;
        case 'j':
            if (!parse_number(optarg, &number, '\0') || !number || number > JOBS_MAX)
                return bad("jobs", optarg);
            options.jobs = (unsigned)number;
            break;
        case 't':
            options.trace = true;
            break;
        case HASHES:
            options.hashes = true;
            break;
        case SUM:
            options.sum = optarg;
            break;
        case STORY:
            options.story = optarg;
            break;
        case STORIES:
            stories = true;
            break;
        case WIDE:
            options.wide = true;
            break;
        case DENSE:
            options.dense = true;
            break;
        case FAULTS:
            if (!parse_faults(optarg))
                return bad("faults", optarg);
            break;
        case NODES:
            if (!parse_number(optarg, &number, '\0') || !number || number > SIM_NODES)
                return bad("nodes", optarg);
            options.nodes = (unsigned)number;
            break;
        case SECONDS:
            if (!parse_number(optarg, &number, '\0') || !number || number > 100000)
                return bad("seconds", optarg);
            options.seconds = (unsigned)number;
            break;
        case CANARY:
            if (!canary_plant(optarg))
                return bad("canary", optarg);
            break;
        case LIST:
            list();
            return EXIT_GOOD;
        case 'h':
            usage(stdout);
            return EXIT_GOOD;
        default:
            usage(stderr);
            return EXIT_USAGE;
        }
    }
    if (optind != argc) {
        usage(stderr);
        return EXIT_USAGE;
    }
    if (stories)
        return all_stories();
    if (options.story)
        return run_story(options.story);
    if (options.many)
        return many();
    if (options.sum && !seed) {
        static struct totals nothing;
        return sum(&nothing);
    }
    return one(NULL, options.first);
}
