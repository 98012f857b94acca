/* halun-initiators: several initiators at several target ports, each a nexus of its own, that do everything at
 * once that clusters, hypervisors and bad operators do to a logical unit. What they asked and were answered is
 * written as a history that halun-history checks. A session that breaks is logged in again under the same name
 * and ISID.
 *
 * Commands on standard input, answers on standard output, one JSON object a line; see usage(). */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "target/base/bytes.h"
#include "tests/client/commands.h"
#include "tests/client/mix.h"
#include "tests/client/path.h"
#include "tests/history/history_json.h"

enum { CALLS_EACH = 2, CALLS = MIX_NEXUSES * CALLS_EACH, LOST = 512, EXIT_WRONG = 1, EXIT_USAGE = 2, EXIT_STUCK = 3 };

/* Seconds. TIMEOUT is longer than the target holds a command; DOOM: what was sent before another command of the
 * nexus reported a reset or PREEMPT is aborted and may stay unanswered; LATE: what was lost has no effect
 * later than this after its nexus has logged in again (the target's hold_ms, and some more). */
static const double TIMEOUT = 40, DOOM = 2, LATE = 25;

struct nexus {
    struct path path;
    unsigned number;
    bool was_up;
    uint64_t heard;      /* ns: the newest answer */
    uint64_t login_call; /* ns: the newest attempt to log in began */
};

struct call {
    bool busy, recorded; /* recorded: belongs into the history */
    bool gone;           /* the answer was not heard by libiscsi's word; it may still say so */
    struct nexus *nexus;
    unsigned life; /* of the session: the path's failures when this was sent */
    double end_at;
    uint64_t reset_at; /* ns: a reset that covers this call was answered then; 0 = none */
    struct history_op op;
    struct mix_command command;
    struct scsi_task *task;
    struct scsi_iovec iov_out, iov_in;
    uint8_t in[MIX_IN];
    /* What came, for those who wait. */
    int status, key, ascq;
    unsigned length;
};

static struct {
    struct mix mix;
    struct nexus nexuses[MIX_NEXUSES];
    unsigned nexus_count;
    struct call calls[CALLS];
    struct history_op lost[LOST]; /* of unknown outcome, kept until their bound is known */
    unsigned lost_count;
    FILE *file;
    bool running;
    bool renewing; /* sessions end because the history begins; nobody holds anything that falls with them */
    double rate, next_at;
    uint64_t seed;
    /* counts of this history */
    uint64_t sent, answered, good, conflicts, attentions, unknown, refused, wrong;
    uint64_t ua[UA_COUNT];
} run;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void complain(const struct call *call, const char *what)
{
    char text[1024];

    history_describe(&call->op, text, sizeof text);
    run.wrong++;
    printf("{\"event\": \"wrong\", \"what\": \"%s\", \"op\": \"%s\"}\n", what, text);
    fflush(stdout);
}

/* ---- recording ---- */

static void record(struct history_op *op)
{
    if (run.file && history_write_op(op, run.file))
        abort();
    free(op->registrations);
    op->registrations = NULL;
}

/* Of unknown outcome: recorded when its bound is known, or at the end of the history. */
static void keep_lost(const struct history_op *op)
{
    run.unknown++;
    if (run.lost_count == LOST) { /* the oldest goes without a bound that is not known */
        record(&run.lost[0]);
        memmove(run.lost, run.lost + 1, (LOST - 1) * sizeof *run.lost);
        run.lost_count--;
    }
    run.lost[run.lost_count++] = *op;
}

/* The nexus is logged in again: what was lost with its session has an end. */
static void bound_lost(const struct nexus *nexus, uint64_t until)
{
    for (unsigned i = 0; i < run.lost_count; i++)
        if (run.lost[i].op.nexus == (int)nexus->number && run.lost[i].until == HISTORY_NEVER)
            run.lost[i].until = until;
}

/* The history ends. What may still take effect belongs into the next one as well. */
static void record_lost(void)
{
    unsigned kept = 0;
    uint64_t now = now_ns();

    for (unsigned i = 0; i < run.lost_count; i++) {
        record(&run.lost[i]);
        if (run.lost[i].until > now)
            run.lost[kept++] = run.lost[i];
    }
    run.lost_count = kept;
}

static void session_ended(struct nexus *nexus)
{
    struct history_op op =
        history_op(MODEL_NEXUS_LOSS, HISTORY_ALL_LUS, (int)nexus->number, nexus->heard);

    keep_lost(&op);
}

/* ---- one call ---- */

static void finish_lost(struct call *call, uint64_t until)
{
    if (call->recorded) {
        history_lost(&call->op, until);
        keep_lost(&call->op);
    }
    call->status = SCSI_STATUS_CANCELLED;
    call->busy = false;
}

/* Another command of the nexus says that commands were aborted: older ones may stay without an answer. */
static void doom_older(const struct call *by, uint64_t reset_at)
{
    for (unsigned i = 0; i < CALLS; i++) {
        struct call *call = &run.calls[i];
        if (!call->busy || call == by || call->nexus != by->nexus || call->op.lu != by->op.lu ||
            call->op.call > by->op.call || call->op.op.kind == MODEL_LU_RESET)
            continue;
        if (call->end_at > path_now() + DOOM)
            call->end_at = path_now() + DOOM;
        call->reset_at = reset_at;
    }
}

static void count(const struct history_op *op)
{
    run.answered++;
    run.good += op->reason == REASON_GOOD;
    run.conflicts += op->reason == REASON_RESERVATION_CONFLICT;
    run.refused += op->outcome == HISTORY_REFUSED;
    run.unknown += op->outcome == HISTORY_UNKNOWN;
    if (op->reason == REASON_UNIT_ATTENTION) {
        run.attentions++;
        if (op->ua < UA_COUNT)
            run.ua[op->ua]++;
    }
}

static void finish_answered(struct call *call, int status, const struct scsi_task *task)
{
    struct history_op *op = &call->op;
    uint64_t end = now_ns();
    const char *wrong = NULL;

    call->nexus->heard = end;
    call->status = status;
    if (status == SCSI_STATUS_CHECK_CONDITION) {
        call->key = task->sense.key;
        call->ascq = task->sense.ascq;
    }
    call->length = status == SCSI_STATUS_GOOD && call->command.in
                       ? call->command.in - (unsigned)(task->residual_status == SCSI_RESIDUAL_UNDERFLOW
                                                           ? task->residual : 0)
                       : 0;
    call->busy = false;
    if (!call->recorded)
        return;
    history_answer(op, (uint8_t)status, (uint8_t)call->key, (uint8_t)(call->ascq >> 8),
                   (uint8_t)call->ascq, end);
    if (op->reason == REASON_GOOD && op->outcome == HISTORY_ANSWERED) {
        wrong = mix_answer(&run.mix, op, call->in, call->length);
    } else if (op->reason == REASON_PENDING) {
        wrong = "an answer that the target does not have";
    }
    if (op->reason == REASON_UNIT_ATTENTION)
        doom_older(call, 0);
    if (op->outcome == HISTORY_UNKNOWN && op->until == HISTORY_NEVER)
        op->until = end + (uint64_t)(LATE * 1e9);
    count(op);
    if (wrong) {
        char text[160];
        snprintf(text, sizeof text, "%s (status %x, sense %x/%04x)", wrong, status, call->key, call->ascq);
        complain(call, text);
    }
    record(op);
}

static void completed(struct iscsi_context *iscsi, int status, void *data, void *private)
{
    struct call *call = private;
    struct scsi_task *task = call->task;

    call->task = NULL;
    if (call->busy) {
        switch (status) {
        case SCSI_STATUS_GOOD:
        case SCSI_STATUS_CHECK_CONDITION:
        case SCSI_STATUS_CONDITION_MET:
        case SCSI_STATUS_BUSY:
        case SCSI_STATUS_RESERVATION_CONFLICT:
        case SCSI_STATUS_TASK_SET_FULL:
        case SCSI_STATUS_ACA_ACTIVE:
        case SCSI_STATUS_TASK_ABORTED:
            finish_answered(call, status, task);
            break;
        default: /* libiscsi's own: cancelled, error, timeout */
            finish_lost(call, call->reset_at ? call->reset_at : HISTORY_NEVER);
        }
    }
    scsi_free_scsi_task(task);
}

static void reset_answered(struct iscsi_context *iscsi, int status, void *data, void *private)
{
    struct call *call = private;
    uint64_t end = now_ns();

    if (!call->busy)
        return;
    if (status != SCSI_STATUS_GOOD || !data || *(uint32_t *)data != ISCSI_TMR_FUNC_COMPLETE) {
        finish_lost(call, HISTORY_NEVER);
        return;
    }
    call->nexus->heard = end;
    call->busy = false;
    call->status = SCSI_STATUS_GOOD;
    if (!call->recorded)
        return;
    history_answer(&call->op, SCSI_STATUS_GOOD, 0, 0, 0, end);
    doom_older(call, end);
    count(&call->op);
    record(&call->op);
}

static struct call *free_call(const struct nexus *nexus)
{
    struct call *calls = &run.calls[nexus->number * CALLS_EACH];

    for (unsigned i = 0; i < CALLS_EACH; i++)
        if (!calls[i].busy && !calls[i].task)
            return &calls[i];
    return NULL;
}

/* Sends what call->command and call->op say. Returns 0, or -1 if it was not sent. */
static int send_call(struct call *call, bool recorded)
{
    struct path *path = &call->nexus->path;
    struct mix_command *command = &call->command;
    int lun = path->parsed->lun + call->op.lu;

    call->recorded = recorded;
    call->reset_at = 0;
    call->status = call->key = call->ascq = 0;
    call->life = path->failures;
    call->end_at = path_now() + TIMEOUT;
    call->op.call = now_ns();
    call->busy = true;
    if (call->op.op.kind == MODEL_LU_RESET) {
        if (!iscsi_task_mgmt_async(path->iscsi, lun, ISCSI_TM_LUN_RESET, 0xffffffff, 0, reset_answered,
                                   call))
            return 0;
        goto broken;
    }
    call->task = scsi_create_task((int)command->cdb_length, command->cdb,
                                  command->out  ? SCSI_XFER_WRITE
                                  : command->in ? SCSI_XFER_READ
                                                : SCSI_XFER_NONE,
                                  (int)(command->out ? command->out : command->in));
    if (!call->task)
        abort();
    call->iov_out = (struct scsi_iovec){.iov_base = command->data, .iov_len = command->out};
    call->iov_in = (struct scsi_iovec){.iov_base = call->in, .iov_len = sizeof call->in};
    if (command->out)
        scsi_task_set_iov_out(call->task, &call->iov_out, 1);
    else if (command->in)
        scsi_task_set_iov_in(call->task, &call->iov_in, 1);
    if (!iscsi_scsi_command_async(path->iscsi, lun, call->task, completed, NULL, call))
        return 0;
    scsi_free_scsi_task(call->task);
    call->task = NULL;
broken:
    call->busy = false;
    path_fail(path, iscsi_get_error(path->iscsi));
    return -1;
}

/* Calls that will not be answered: too old, or of a session that is gone. */
static void give_up_calls(void)
{
    double now = path_now();

    for (unsigned i = 0; i < CALLS; i++) {
        struct call *call = &run.calls[i];
        bool dead = call->nexus && call->life != call->nexus->path.failures;

        if (!call->busy || (!dead && now < call->end_at))
            continue;
        /* After a logout that the target asked for, libiscsi forgets what was in flight without a word.
         * A reset cannot be cancelled: while its session lives, its answer may come. */
        if (!dead && !call->task) {
            path_fail(&call->nexus->path, "a task management function is not answered");
        } else if (dead) {
            finish_lost(call, call->reset_at ? call->reset_at : HISTORY_NEVER);
            scsi_free_scsi_task(call->task);
            call->task = NULL;
        } else if (iscsi_scsi_cancel_task(call->nexus->path.iscsi, call->task)) {
            path_fail(&call->nexus->path, "a command that libiscsi does not know");
        }
    }
}

/* ---- sessions ---- */

/* From its first login in the history on the unit attentions of a nexus are checked. */
static void record_login(const struct nexus *nexus)
{
    struct history_op op =
        history_op(MODEL_LOGIN, HISTORY_ALL_LUS, (int)nexus->number, nexus->login_call);

    history_set_reason(&op, "GOOD", nexus->heard);
    record(&op);
}

static void watch_session(struct nexus *nexus)
{
    bool up = nexus->path.state == PATH_UP && !nexus->path.broken;

    if (up == nexus->was_up)
        return;
    nexus->was_up = up;
    if (!up) {
        if (!run.renewing)
            session_ended(nexus);
        return;
    }
    nexus->heard = now_ns();
    record_login(nexus);
    bound_lost(nexus, nexus->heard + (uint64_t)(LATE * 1e9));
}

static void step_path(struct nexus *nexus)
{
    bool down = nexus->path.state == PATH_DOWN;
    uint64_t now = now_ns();

    path_step(&nexus->path);
    if (down && nexus->path.state != PATH_DOWN)
        nexus->login_call = now;
    watch_session(nexus);
}

static bool usable(const struct nexus *nexus)
{
    return nexus->path.state == PATH_UP && !nexus->path.broken && nexus->was_up;
}

static void issue(void)
{
    double now = path_now();
    struct nexus *nexus = &run.nexuses[mix_random(&run.mix) % run.nexus_count];
    struct call *call;

    if (!run.running || now < run.next_at || !usable(nexus) || !(call = free_call(nexus)))
        return;
    run.next_at = now + (double)(mix_random(&run.mix) % 1000) / 500 / run.rate;
    call->nexus = nexus;
    call->op = history_op(MODEL_PR_OUT, (int)(mix_random(&run.mix) % run.mix.lus), (int)nexus->number,
                          now_ns());
    mix_draw(&run.mix, &call->op, &call->command);
    if (!send_call(call, true))
        run.sent++;
}

static void turn(int wait_ms)
{
    struct pollfd fds[MIX_NEXUSES + 1] = {{0}};

    for (unsigned i = 0; i < run.nexus_count; i++)
        step_path(&run.nexuses[i]);
    give_up_calls();
    issue();
    for (unsigned i = 0; i < run.nexus_count; i++)
        fds[i].fd = path_fd(&run.nexuses[i].path, &fds[i].events);
    fds[run.nexus_count] = (struct pollfd){.fd = 0, .events = POLLIN};
    poll(fds, run.nexus_count + (wait_ms > 0), wait_ms);
    for (unsigned i = 0; i < run.nexus_count; i++)
        if (fds[i].revents)
            path_service(&run.nexuses[i].path, fds[i].revents);
}

/* ---- the beginning of a history: everything is as a new unit has it ---- */

enum { TRIES = 400, PAUSE_MS = 50 };

/* Sends a command, not recorded, again and again until it is GOOD. Returns the call or NULL. */
static struct call *insist(unsigned lu, enum model_kind kind, const struct mix_command *command)
{
    for (unsigned tries = 0; tries < TRIES; tries++) {
        struct nexus *nexus = &run.nexuses[0];
        struct call *call;

        for (unsigned i = 0; i < run.nexus_count && !usable(nexus); i++)
            nexus = &run.nexuses[i];
        call = usable(nexus) ? free_call(nexus) : NULL;
        if (call) {
            call->nexus = nexus;
            call->op = history_op(kind, (int)lu, (int)nexus->number, 0);
            call->command = *command;
            if (!send_call(call, false)) {
                while (call->busy)
                    turn(5);
                if (call->status == SCSI_STATUS_GOOD)
                    return call;
                fprintf(stderr, "unit %u, opcode %02x: status %x, sense %x/%04x\n", lu, command->cdb[0],
                        call->status, call->key, call->ascq);
            }
        }
        for (double end = path_now() + PAUSE_MS / 1e3; path_now() < end;)
            turn(PAUSE_MS / 2);
    }
    return NULL;
}

static int clean_unit(unsigned lu)
{
    const struct shared_mode defaults = SHARED_MODE_DEFAULTS;
    struct model_op op = {.kind = MODEL_PR_OUT, .action = 6, .action_key = 0xc1ea2};
    struct mix_command command = {.cdb_length = 0};
    struct call *call;

    if (!insist(lu, MODEL_LU_RESET, &command)) /* a reservation by RESERVE falls */
        return -1;
    mix_pr_out(&run.mix, &op, &command);
    if (!insist(lu, MODEL_PR_OUT, &command))
        return -1;
    op = (struct model_op){.kind = MODEL_PR_OUT, .action = 3, .key = 0xc1ea2};
    mix_pr_out(&run.mix, &op, &command);
    if (!insist(lu, MODEL_PR_OUT, &command))
        return -1;
    for (unsigned i = 0; i < 2; i++) {
        uint8_t page = i ? 0x0a : 0x08;
        mix_mode_sense(page, &command);
        call = insist(lu, MODEL_MODE_SENSE, &command);
        if (!call || mix_mode_page(&run.mix, lu, page, call->in, call->length))
            return -1;
    }
    mix_mode_select(&run.mix, lu, MODEL_PAGE_CACHING | MODEL_PAGE_CONTROL, &defaults, &command);
    if (!insist(lu, MODEL_MODE_SELECT, &command))
        return -1;
    mix_read_keys(&command);
    call = insist(lu, MODEL_READ_KEYS, &command);
    if (!call || call->length < 8 || get_be32(call->in + 4))
        return -1;
    run.mix.generation[lu] = get_be32(call->in);
    memset(run.mix.keys[lu], 0, sizeof run.mix.keys[lu]);
    run.mix.types[lu] = 0;
    return 0;
}

/* New sessions for all nexuses: what is pending for each is known from there on. */
static int renew_sessions(void)
{
    double limit = path_now() + TIMEOUT;
    unsigned up = 0;

    run.renewing = true;
    for (unsigned i = 0; i < run.nexus_count; i++)
        path_fail(&run.nexuses[i].path, "a history begins");
    turn(0);
    run.renewing = false;
    while (up < run.nexus_count && path_now() < limit) {
        turn(5);
        up = 0;
        for (unsigned i = 0; i < run.nexus_count; i++)
            up += usable(&run.nexuses[i]);
    }
    return up == run.nexus_count ? 0 : -1;
}

/* Writes every block once, as the first operations of the history. */
static int write_blocks(unsigned lu)
{
    for (unsigned block = 0; block < MIX_BLOCKS; block++)
        for (unsigned tries = 0;; tries++) {
            struct nexus *nexus = &run.nexuses[tries % run.nexus_count];
            struct call *call = usable(nexus) ? free_call(nexus) : NULL;

            if (tries == TRIES)
                return -1;
            turn(5);
            if (!call || !usable(nexus))
                continue;
            call->nexus = nexus;
            call->op = history_op(MODEL_WRITE, (int)lu, (int)nexus->number, 0);
            mix_write(&run.mix, block, &call->op, &call->command);
            if (send_call(call, true))
                continue;
            while (call->busy)
                turn(5);
            if (call->status == SCSI_STATUS_GOOD)
                break;
        }
    return 0;
}

static void report(const char *event)
{
    unsigned up = 0;
    char attentions[UA_COUNT * 24] = "";
    size_t used = 0;

    for (unsigned i = 0; i < run.nexus_count; i++)
        up += usable(&run.nexuses[i]);
    for (unsigned i = 0; i < UA_COUNT; i++)
        if (run.ua[i]) {
            uint8_t asc, ascq;
            ua_codes(i, &asc, &ascq);
            used += (size_t)snprintf(attentions + used, sizeof attentions - used, "%s\"%02x%02x\": %" PRIu64,
                                     used ? ", " : "", asc, ascq, run.ua[i]);
        }
    printf("{\"event\": \"%s\", \"nexuses_up\": %u, \"sent\": %" PRIu64 ", \"answered\": %" PRIu64
           ", \"good\": %" PRIu64 ", \"conflicts\": %" PRIu64 ", \"refused\": %" PRIu64
           ", \"unknown\": %" PRIu64 ", \"wrong\": %" PRIu64 ", \"attentions\": {%s}}\n",
           event, up, run.sent, run.answered, run.good, run.conflicts, run.refused, run.unknown, run.wrong,
           attentions);
    fflush(stdout);
}

static int stuck(const char *what)
{
    fprintf(stderr, "stuck: %s\n", what);
    report("stuck");
    return -1;
}

static int begin(const char *path)
{
    struct history head;

    run.sent = run.answered = run.good = run.conflicts = run.refused = run.unknown = run.wrong = 0;
    run.attentions = 0;
    memset(run.ua, 0, sizeof run.ua);
    for (unsigned lu = 0; lu < run.mix.lus; lu++)
        if (clean_unit(lu))
            return stuck("a unit cannot be cleaned");
    run.file = fopen(path, "we");
    if (!run.file)
        return stuck(path);
    history_init(&head, run.mix.initiators, run.mix.ports, run.mix.lus);
    /* What faults and the cluster manager cause, and nobody marks. */
    head.ua_free = 1u << UA_ACCESS_STATE_CHANGED | 1u << UA_INQUIRY_CHANGED | 1u << UA_LUNS_CHANGED |
                   1u << UA_COMMANDS_CLEARED;
    if (history_write_head(&head, run.file))
        return stuck(path);
    if (renew_sessions())
        return stuck("not every nexus logs in");
    for (unsigned lu = 0; lu < run.mix.lus; lu++)
        if (write_blocks(lu))
            return stuck("the blocks of a unit cannot be written");
    run.running = true;
    report("begun");
    return 0;
}

static bool idle(void)
{
    for (unsigned i = 0; i < CALLS; i++)
        if (run.calls[i].busy)
            return false;
    return true;
}

static int end(void)
{
    double limit = path_now() + TIMEOUT + 5;

    run.running = false;
    while (!idle()) {
        turn(10);
        if (path_now() > limit)
            return stuck("calls do not end");
    }
    record_lost();
    if (run.file && fclose(run.file))
        abort();
    run.file = NULL;
    report("ended");
    return 0;
}

/* Power was cut everywhere, between these times (ns); no node is back yet. */
static void cold_start(const char *text)
{
    struct history_op op = history_op(MODEL_COLD_START, HISTORY_ALL_LUS, 0, 0);
    uint64_t from, to;

    if (sscanf(text, "%" SCNu64 " %" SCNu64, &from, &to) != 2 || to < from) {
        fprintf(stderr, "cold: expected two times in ns\n");
        return;
    }
    /* What was answered before is still counted with the old generation; afterwards it begins with 0. */
    for (double until = path_now() + 0.1; path_now() < until;)
        turn(10);
    memset(run.mix.generation, 0, sizeof run.mix.generation);
    op.call = from;
    history_set_reason(&op, "GOOD", to);
    record(&op);
    report("cold");
}

/* Somebody changed the capacity of a unit between these times (ns): every nexus is told once. */
static void capacity_changed(const char *text)
{
    struct history_op op = history_op(MODEL_ATTENTION, 0, MODEL_NOBODY, 0);
    uint64_t from, to;

    if (sscanf(text, "%d %" SCNu64 " %" SCNu64, &op.lu, &from, &to) != 3 || to < from || op.lu < 0 ||
        op.lu >= (int)run.mix.lus) {
        fprintf(stderr, "capacity: expected a unit of the history and two times in ns\n");
        return;
    }
    op.call = from;
    op.ua = UA_CAPACITY_CHANGED;
    history_set_reason(&op, "GOOD", to);
    record(&op);
    report("capacity");
}

/* Returns false at "quit". */
static bool command(char *line)
{
    if (!strncmp(line, "begin ", 6)) {
        if (begin(line + 6))
            exit(EXIT_STUCK);
    } else if (!strncmp(line, "cold ", 5)) {
        cold_start(line + 5);
    } else if (!strncmp(line, "capacity ", 9)) {
        capacity_changed(line + 9);
    } else if (!strcmp(line, "end")) {
        if (end())
            exit(EXIT_STUCK);
    } else if (!strcmp(line, "stats")) {
        report("stats");
    } else if (!strcmp(line, "quit")) {
        return false;
    } else {
        fprintf(stderr, "unknown command: %s (see --help)\n", line);
    }
    return true;
}

static void usage(FILE *out)
{
    fputs("usage: halun-initiators [--initiators N] [--lus N] [--rate PER_SECOND] [--seed N]\n"
          "                        iscsi://PORTAL/TARGET/LUN ...\n"
          "Every initiator logs in at every portal; the order of the portals is that of their relative\n"
          "target port identifiers, which begin with 1. The history is about the LUNs from the URL's on;\n"
          "nobody else may use them. Commands on standard input:\n"
          "  begin FILE     cleans the units and begins a history in FILE\n"
          "  cold FROM TO   power was cut everywhere between these CLOCK_MONOTONIC times (ns); no node is back\n"
          "  capacity UNIT FROM TO   its capacity was changed between these times; UNIT counts from 0\n"
          "  end            ends the history; check it with halun-history\n"
          "  stats, quit\n"
          "Exit status: 0 good, 1 an answer was wrong by itself, 2 usage, 3 stuck.\n",
          out);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"initiators", required_argument, NULL, 'i'}, {"lus", required_argument, NULL, 'l'},
        {"rate", required_argument, NULL, 'r'},       {"seed", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},             {NULL, 0, NULL, 0},
    };
    unsigned initiators = 3, lus = 2, ports;
    uint64_t wrong = 0;
    int option;

    signal(SIGPIPE, SIG_IGN); /* a connection that is gone is an error of write() */
    run.rate = 150;
    run.seed = now_ns();
    while ((option = getopt_long(argc, argv, "i:l:r:s:h", options, NULL)) != -1) {
        switch (option) {
        case 'i':
            initiators = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 'l':
            lus = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 'r':
            run.rate = strtod(optarg, NULL);
            break;
        case 's':
            run.seed = strtoull(optarg, NULL, 0);
            break;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return EXIT_USAGE;
        }
    }
    ports = (unsigned)(argc - optind);
    if (!ports || ports > MIX_PORTS || !initiators || initiators > MIX_INITIATORS || !lus ||
        lus > MIX_LUS || run.rate <= 0 || mix_init(&run.mix, initiators, ports, lus, run.seed)) {
        usage(stderr);
        return EXIT_USAGE;
    }
    run.mix.ledger.next = now_ns() / 1000; /* values of an earlier run on these units do not come again */
    run.nexus_count = initiators * ports;
    for (unsigned i = 0; i < run.nexus_count; i++) {
        struct nexus *nexus = &run.nexuses[i];
        nexus->number = i;
        if (path_init(&nexus->path, argv[optind + (int)(i % ports)], run.mix.names[i / ports])) {
            fprintf(stderr, "%s: %s\n", argv[optind + (int)(i % ports)], nexus->path.why);
            return EXIT_USAGE;
        }
        nexus->path.isid = i / ports + 1;
        nexus->path.plain = true;
    }
    while (commands_read(command)) {
        turn(run.running ? 2 : 50);
        wrong += run.wrong != 0;
    }
    if (run.file && end())
        return EXIT_STUCK;
    for (unsigned i = 0; i < run.nexus_count; i++)
        path_done(&run.nexuses[i].path);
    mix_done(&run.mix);
    return wrong ? EXIT_WRONG : 0;
}
