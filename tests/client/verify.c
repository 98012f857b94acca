/* halun-verify: the initiator that does not believe the array. It writes numbered blocks at a queue
 * depth through one of several paths, moves to another path when one breaks, keeps a ledger of what
 * was acknowledged, and reads everything back on every path when asked.
 *
 * Commands on standard input: "phase NAME" (measure pauses from here on), "stats", "greet", "verify", "quit".
 * Answers on standard output, one JSON object a line. Progress on standard error. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/client/commands.h"
#include "tests/client/ledger.h"
#include "tests/client/path.h"

enum { PATHS = 8, DEPTH_MAX = 256, SENSES = 16, PAUSES = 32, EXIT_LOST = 1, EXIT_USAGE = 2, EXIT_STUCK = 3 };

enum io_kind { IO_IDLE, IO_WRITE, IO_READ, IO_WAITING };

struct io {
    enum io_kind kind, again; /* IO_WAITING: what to send when a path is there */
    uint32_t block;
    uint64_t number;            /* write: its number; read: the least number that must be seen */
    double not_before, sent_at; /* sent_at: first time, retries included */
    struct path *path;
    unsigned life; /* of the path: its failures when this was sent */
    struct scsi_task *task;
    struct scsi_iovec iov; /* the library keeps a pointer to it */
    uint8_t data[LEDGER_BLOCK];
};

static struct {
    struct path paths[PATHS];
    unsigned path_count, depth, luns; /* luns: the blocks are dealt to that many LUNs, in turn */
    bool round_robin, quiet, running, stop;
    struct ledger ledger;
    struct io ios[DEPTH_MAX];
    double rate, next_at; /* commands a second, 0 = as many as the depth lets through */
    struct path *current;
    unsigned turn;
    uint64_t seed;
    /* counts */
    uint64_t written, reads, lost, retries, conflicts, not_ready, path_changes;
    double last_ack, phase_at, slowest, started;
    struct pause {
        double from, seconds;
    } pauses[PAUSES]; /* the longest since the phase began, longest first */
    struct sense_count {
        int key, ascq;
        uint64_t count;
    } senses[SENSES]; /* since the phase began; the last one counts all that do not fit */
    char phase[64];
    /* verification: ios read block after block on one path */
    struct path *verify_path;
    uint32_t verify_next;
    bool verifying;
} run;

static uint64_t random_number(void)
{
    run.seed ^= run.seed << 13;
    run.seed ^= run.seed >> 7;
    run.seed ^= run.seed << 17;
    return run.seed;
}

static void say(const char *line)
{
    puts(line);
    fflush(stdout);
}

static void lost_block(const struct io *io, uint64_t found)
{
    if (run.lost++ < 10)
        fprintf(stderr, "LOST: block %u on %s: write %llu was acknowledged, found %s%llu\n",
                io->block, io->path ? io->path->url : "?", (unsigned long long)io->number,
                found == UINT64_MAX ? "damaged content " : "write ",
                (unsigned long long)(found == UINT64_MAX ? 0 : found));
}

/* ---- choosing a path ---- */

static bool usable(const struct path *path)
{
    return path->state == PATH_UP && !path->broken;
}

static struct path *choose(void)
{
    struct path *best = NULL;

    if (run.verifying)
        return usable(run.verify_path) ? run.verify_path : NULL;
    if (run.round_robin) {
        for (unsigned i = 0; i < run.path_count; i++) {
            struct path *path = &run.paths[run.turn++ % run.path_count];
            if (usable(path))
                return path;
        }
        return NULL;
    }
    for (unsigned i = 0; i < run.path_count; i++) {
        struct path *path = &run.paths[i];
        if (usable(path) && (!best || (path->optimized && !best->optimized)))
            best = path;
    }
    /* Stay where we are unless another path is better. */
    if (run.current && usable(run.current) && (!best || best->optimized == run.current->optimized))
        best = run.current;
    if (best && best != run.current) {
        if (run.current)
            run.path_changes++;
        run.current = best;
    }
    return best;
}

/* ---- one I/O ---- */

static void submit(struct io *io, enum io_kind kind);

static void wait_for_path(struct io *io, enum io_kind kind, double delay)
{
    io->kind = IO_WAITING;
    io->again = kind;
    io->not_before = path_now() + delay;
    run.retries++;
}

static void note_pause(double from, double seconds)
{
    struct pause *at = run.pauses + PAUSES - 1;

    if (seconds <= at->seconds)
        return;
    for (; at > run.pauses && at[-1].seconds < seconds; at--)
        at[0] = at[-1];
    *at = (struct pause){from, seconds};
}

static void acknowledged(struct io *io)
{
    double now = path_now();

    run.written++;
    run.ledger.acknowledged[io->block] = io->number;
    run.ledger.busy[io->block] = false;
    if (run.last_ack)
        note_pause(run.last_ack, now - run.last_ack);
    if (now - io->sent_at > run.slowest)
        run.slowest = now - io->sent_at;
    run.last_ack = now;
}

static void count_sense(int key, int ascq)
{
    struct sense_count *at = run.senses;

    while (at < run.senses + SENSES - 1 && at->count && (at->key != key || at->ascq != ascq))
        at++;
    at->key = key;
    at->ascq = ascq;
    at->count++;
}

static void checked(struct io *io)
{
    uint64_t found = ledger_read(&run.ledger, io->block, io->data);

    run.reads++;
    if (found == UINT64_MAX || found < io->number || found > run.ledger.issued[io->block])
        lost_block(io, found);
}

static void completed(struct iscsi_context *iscsi, int status, void *data, void *private)
{
    struct io *io = private;
    struct scsi_task *task = io->task;
    enum io_kind kind = io->kind;

    io->task = NULL;
    if (status == SCSI_STATUS_GOOD) {
        if (kind == IO_WRITE)
            acknowledged(io);
        else
            checked(io);
        io->kind = IO_IDLE;
    } else if (status == SCSI_STATUS_CHECK_CONDITION) {
        count_sense(task->sense.key, task->sense.ascq);
        if (task->sense.key == SCSI_SENSE_UNIT_ATTENTION) {
            path_ask_soon(io->path);
            wait_for_path(io, kind, 0);
        } else if (task->sense.key == SCSI_SENSE_NOT_READY) {
            run.not_ready++;
            wait_for_path(io, kind, 0.2);
        } else if (task->sense.key == SCSI_SENSE_COMMAND_ABORTED) {
            wait_for_path(io, kind, 0.05);
        } else {
            fprintf(stderr, "error: block %u on %s: sense %x/%04x\n", io->block, io->path->url,
                    task->sense.key, task->sense.ascq);
            wait_for_path(io, kind, 0.5);
        }
    } else if (status == SCSI_STATUS_RESERVATION_CONFLICT) {
        run.conflicts++;
        wait_for_path(io, kind, 0.5);
    } else if (status == SCSI_STATUS_BUSY || status == SCSI_STATUS_TASK_SET_FULL) {
        wait_for_path(io, kind, 0.01);
    } else { /* the path broke, or the task was aborted */
        wait_for_path(io, kind, 0);
    }
    scsi_free_scsi_task(task);
}

/* SAM-5 4.7.7: beyond 255 the flat space addressing method, which libiscsi leaves to its caller. */
static int lun_field(int lun)
{
    return lun < 256 ? lun : lun | 0x4000;
}

static void submit(struct io *io, enum io_kind kind)
{
    struct path *path = choose();
    unsigned char cdb[16] = {kind == IO_WRITE ? 0x8a : 0x88};
    uint64_t lba = (uint64_t)(io->block / run.luns) * (LEDGER_BLOCK / 512);
    int lun = path ? lun_field(path->parsed->lun + (int)(io->block % run.luns)) : 0;

    if (!path) {
        io->kind = IO_WAITING;
        io->again = kind;
        io->not_before = 0;
        return;
    }
    for (int i = 0; i < 8; i++)
        cdb[2 + i] = (unsigned char)(lba >> (56 - 8 * i));
    cdb[13] = LEDGER_BLOCK / 512;
    io->task = scsi_create_task(16, cdb, kind == IO_WRITE ? SCSI_XFER_WRITE : SCSI_XFER_READ,
                                LEDGER_BLOCK);
    if (!io->task)
        exit(EXIT_STUCK);
    io->iov = (struct scsi_iovec){.iov_base = io->data, .iov_len = LEDGER_BLOCK};
    if (kind == IO_WRITE)
        scsi_task_set_iov_out(io->task, &io->iov, 1);
    else
        scsi_task_set_iov_in(io->task, &io->iov, 1);
    io->kind = kind;
    io->path = path;
    io->life = path->failures;
    if (iscsi_scsi_command_async(path->iscsi, lun, io->task, completed, NULL, io)) {
        scsi_free_scsi_task(io->task);
        io->task = NULL;
        path_fail(path, iscsi_get_error(path->iscsi));
        wait_for_path(io, kind, 0);
    }
}

static void start_load(struct io *io)
{
    uint32_t block = (uint32_t)(random_number() % run.ledger.blocks);

    if (run.ledger.busy[block])
        return; /* the next turn draws again */
    if (run.rate > 0) {
        double now = path_now();
        if (now < run.next_at)
            return;
        run.next_at = (now - run.next_at > 1 ? now : run.next_at) + 1 / run.rate;
    }
    io->block = block;
    io->sent_at = path_now();
    if (random_number() % 4 == 0 && run.ledger.acknowledged[block]) {
        io->number = run.ledger.acknowledged[block];
        submit(io, IO_READ);
        return;
    }
    io->number = run.ledger.next++;
    run.ledger.issued[block] = io->number;
    run.ledger.busy[block] = true;
    ledger_fill(&run.ledger, block, io->number, io->data);
    submit(io, IO_WRITE);
}

static void start_verify(struct io *io)
{
    while (run.verify_next < run.ledger.blocks && !run.ledger.acknowledged[run.verify_next])
        run.verify_next++;
    if (run.verify_next == run.ledger.blocks)
        return;
    io->block = run.verify_next++;
    io->number = run.ledger.acknowledged[io->block];
    submit(io, IO_READ);
}

/* After a logout that the target asked for, libiscsi forgets what was in flight without a word. */
static void recover_forgotten(struct io *io)
{
    if ((io->kind != IO_WRITE && io->kind != IO_READ) || io->life == io->path->failures)
        return;
    scsi_free_scsi_task(io->task);
    io->task = NULL;
    wait_for_path(io, io->kind, 0);
}

static bool all_idle(void)
{
    for (unsigned i = 0; i < run.depth; i++)
        if (run.ios[i].kind != IO_IDLE)
            return false;
    return true;
}

static void turn(void)
{
    struct pollfd fds[PATHS + 1] = {{0}};
    double now = path_now();

    for (unsigned i = 0; i < run.path_count; i++)
        path_step(&run.paths[i]);
    for (unsigned i = 0; i < run.depth; i++) {
        struct io *io = &run.ios[i];
        recover_forgotten(io);
        if (io->kind == IO_WAITING && now >= io->not_before && choose())
            submit(io, io->again);
        else if (io->kind == IO_IDLE && run.verifying)
            start_verify(io);
        else if (io->kind == IO_IDLE && run.running)
            start_load(io);
    }
    for (unsigned i = 0; i < run.path_count; i++)
        fds[i].fd = path_fd(&run.paths[i], &fds[i].events);
    fds[run.path_count].fd = run.stop ? -1 : 0;
    fds[run.path_count].events = POLLIN;
    poll(fds, run.path_count + 1, 20);
    for (unsigned i = 0; i < run.path_count; i++)
        if (fds[i].revents)
            path_service(&run.paths[i], fds[i].revents);
}

/* ---- commands ---- */

/* The sense data seen since the phase began: {"6/2a06": 3}. */
static void report_senses(char *text, size_t room)
{
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < SENSES && run.senses[i].count && used < room; i++)
        used += (size_t)snprintf(text + used, room - used, "%s\"%x/%04x\": %llu", i ? ", " : "",
                                 (unsigned)run.senses[i].key, (unsigned)run.senses[i].ascq,
                                 (unsigned long long)run.senses[i].count);
}

/* [when it began, seconds] of each. */
static void report_pauses(char *text, size_t room)
{
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < PAUSES && run.pauses[i].seconds > 0 && used < room; i++)
        used += (size_t)snprintf(text + used, room - used, "%s[%.6f, %.6f]", i ? ", " : "", run.pauses[i].from,
                                 run.pauses[i].seconds);
}

static void report(const char *event)
{
    char line[1024 + PAUSES * 40], senses[SENSES * 32], pauses[PAUSES * 40];
    double now = path_now();
    struct pause longest = run.pauses[0];

    /* A pause that still goes on counts. */
    if (run.running && run.last_ack && now - run.last_ack > longest.seconds)
        longest = (struct pause){run.last_ack, now - run.last_ack};
    report_senses(senses, sizeof senses);
    report_pauses(pauses, sizeof pauses);
    snprintf(line, sizeof line,
             "{\"event\": \"%s\", \"phase\": \"%s\", \"acknowledged\": %llu, \"reads\": %llu, "
             "\"lost\": %llu, \"longest_pause_s\": %.3f, \"pause_began\": %.6f, \"seconds\": %.3f, "
             "\"slowest_s\": %.3f, \"retries\": %llu, \"not_ready\": %llu, \"conflicts\": %llu, "
             "\"path_changes\": %llu, \"sense\": {%s}, \"pauses\": [%s]}",
             event, run.phase, (unsigned long long)run.written, (unsigned long long)run.reads,
             (unsigned long long)run.lost, longest.seconds, longest.from, now - run.phase_at, run.slowest,
             (unsigned long long)run.retries, (unsigned long long)run.not_ready,
             (unsigned long long)run.conflicts, (unsigned long long)run.path_changes, senses, pauses);
    say(line);
}

static int drain(double limit)
{
    double end = path_now() + limit;

    run.running = false;
    while (!all_idle()) {
        turn();
        if (path_now() > end)
            return -1;
    }
    return 0;
}

/* Reads every acknowledged block on every path that can be logged in. */
static int verify(void)
{
    unsigned verified = 0;

    if (drain(60)) {
        report("stuck");
        return -1;
    }
    for (unsigned i = 0; i < run.path_count; i++) {
        double end = path_now() + 5;
        while (!usable(&run.paths[i]) && path_now() < end)
            turn();
        if (!usable(&run.paths[i])) {
            fprintf(stderr, "  %s: no path now (%s)\n", run.paths[i].url, run.paths[i].why);
            continue;
        }
        run.verify_path = &run.paths[i];
        run.verify_next = 0;
        run.verifying = true;
        end = path_now() + 120;
        do {
            turn();
            if (path_now() > end) {
                report("stuck");
                return -1;
            }
        } while (!all_idle() || run.verify_next < run.ledger.blocks);
        run.verifying = false;
        verified++;
        fprintf(stderr, "  %s: every acknowledged block read back, %llu lost so far\n",
                run.paths[i].url, (unsigned long long)run.lost);
    }
    run.last_ack = 0;
    report(verified ? "verified" : "stuck");
    return verified ? 0 : -1;
}

/* ---- greeting: TEST UNIT READY on every LUN of every path, so that the attention of the login is over ---- */

static struct {
    unsigned busy, attentions;
} greeting;

static void greeted(struct iscsi_context *iscsi, int status, void *data, void *private)
{
    greeting.busy--;
    greeting.attentions += status == SCSI_STATUS_CHECK_CONDITION;
    scsi_free_scsi_task(data);
}

/* Returns 0, or -1 if that takes longer than `end`. */
static int greet_path(struct path *path, double end)
{
    enum { AT_ONCE = 32 };

    do {
        unsigned next = 0;

        greeting.attentions = 0;
        while (next < run.luns || greeting.busy) {
            while (next < run.luns && greeting.busy < AT_ONCE && usable(path)) {
                if (!iscsi_testunitready_task(path->iscsi, lun_field(path->parsed->lun + (int)next),
                                              greeted, NULL))
                    return -1;
                greeting.busy++;
                next++;
            }
            turn();
            if (path_now() > end)
                return -1;
        }
    } while (greeting.attentions);
    return 0;
}

static int greet(void)
{
    double end = path_now() + 60;

    for (unsigned i = 0; i < run.path_count; i++)
        if (greet_path(&run.paths[i], end)) {
            report("stuck");
            return -1;
        }
    report("greeted");
    return 0;
}

/* Returns false at "quit". */
static bool command(char *line)
{
    if (!strncmp(line, "phase ", 6)) {
        snprintf(run.phase, sizeof run.phase, "%s", line + 6);
        run.phase_at = path_now();
        run.slowest = 0;
        memset(run.pauses, 0, sizeof run.pauses);
        memset(run.senses, 0, sizeof run.senses);
        run.running = true;
        report("phase");
    } else if (!strcmp(line, "stats")) {
        report("stats");
    } else if (!strcmp(line, "greet")) {
        if (greet())
            exit(EXIT_STUCK);
    } else if (!strcmp(line, "verify")) {
        if (verify())
            exit(EXIT_STUCK);
    } else if (!strcmp(line, "quit")) {
        return false;
    } else {
        fprintf(stderr, "unknown command: %s (expected: phase NAME, stats, greet, verify, quit)\n", line);
    }
    return true;
}

static void progress(void)
{
    static double last;
    static uint64_t before;
    double now = path_now();

    if (run.quiet || now - last < 1)
        return;
    fprintf(stderr, "  [%6.1f s] %-18s %9llu acknowledged, %6.0f/s, path %s%s\n", now - run.started,
            run.phase, (unsigned long long)run.written,
            last ? (double)(run.written - before) / (now - last) : 0.0,
            run.current ? run.current->parsed->portal : "none",
            run.current && run.current->optimized ? " (active/optimized)" : "");
    last = now;
    before = run.written;
}

static void usage(FILE *out)
{
    fputs("usage: halun-verify [--depth N] [--blocks N] [--initiator NAME] [--round-robin] "
          "[--quiet]\n"
          "                    [--seed N] [--luns N] [--rate PER_SECOND] iscsi://PORTAL/TARGET/LUN ...\n"
          "Writes numbered 4 KiB blocks through several paths and proves that none is lost.\n"
          "--luns deals the blocks to that many LUNs, from the URL's on.\n"
          "Commands on standard input: phase NAME, stats, greet (end the attention of the login), verify,\n"
          "quit.\n"
          "Exit status: 0 nothing lost, 1 lost writes, 2 usage, 3 I/O did not resume.\n",
          out);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"depth", required_argument, NULL, 'd'},
        {"blocks", required_argument, NULL, 'b'},
        {"initiator", required_argument, NULL, 'i'},
        {"round-robin", no_argument, NULL, 'r'},
        {"quiet", no_argument, NULL, 'q'},
        {"seed", required_argument, NULL, 's'},
        {"luns", required_argument, NULL, 'l'},
        {"rate", required_argument, NULL, 'R'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *initiator = "iqn.2026-11.org.halun:verify";
    uint32_t blocks = 8192;
    int option;

    signal(SIGPIPE, SIG_IGN); /* a connection that is gone is an error of write() */
    run.depth = 16;
    run.luns = 1;
    run.seed = (uint64_t)getpid() * 2654435761u + (uint64_t)(path_now() * 1e6);
    while ((option = getopt_long(argc, argv, "d:b:i:rqs:l:R:h", options, NULL)) != -1) {
        switch (option) {
        case 'd':
            run.depth = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 'b':
            blocks = (uint32_t)strtoul(optarg, NULL, 0);
            break;
        case 'i':
            initiator = optarg;
            break;
        case 'r':
            run.round_robin = true;
            break;
        case 'q':
            run.quiet = true;
            break;
        case 's':
            run.seed = strtoull(optarg, NULL, 0) | 1;
            break;
        case 'R':
            run.rate = strtod(optarg, NULL);
            break;
        case 'l':
            run.luns = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return EXIT_USAGE;
        }
    }
    if (optind == argc || argc - optind > PATHS || !run.depth || run.depth > DEPTH_MAX ||
        blocks < 2 * run.depth || !run.luns || ledger_init(&run.ledger, blocks, random_number())) {
        usage(stderr);
        return EXIT_USAGE;
    }
    for (; optind < argc; optind++) {
        if (path_init(&run.paths[run.path_count], argv[optind], initiator)) {
            fprintf(stderr, "%s: %s\n", argv[optind], run.paths[run.path_count].why);
            return EXIT_USAGE;
        }
        run.path_count++;
    }
    run.started = run.phase_at = path_now();
    snprintf(run.phase, sizeof run.phase, "start");
    while (commands_read(command)) {
        turn();
        progress();
    }
    run.stop = true;
    if (drain(60)) {
        report("stuck");
        return EXIT_STUCK;
    }
    report("end");
    for (unsigned i = 0; i < run.path_count; i++)
        path_done(&run.paths[i]);
    ledger_done(&run.ledger);
    return run.lost ? EXIT_LOST : 0;
}
