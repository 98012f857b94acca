#include "tests/sim/stories.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/bytes.h"
#include "target/base/container.h"
#include "target/command/pr_parameters.h"
#include "tests/sim/checkers.h"
#include "tests/sim/workload.h"

enum { STEPS = 64, WORDS = 16, LOGIN_MS = 100 };

struct step {
    unsigned line;
    uint64_t at_ms;
    char *words[WORDS];
    unsigned count;
    char *expected, *detail; /* after "->" */
    bool value_expected;     /* READ: this value of the story's own */
    uint64_t value;
    uint64_t within_ms; /* 0: no limit */
    struct sim_event event;
    struct job job;
    bool begun, ended;
};

static struct {
    char path[256], name[64], what[200];
    char text[65536];
    struct sim_story story;
    unsigned nodes, groups, lus, clients, seconds, hold_ms, seed;
    struct step steps[STEPS];
    unsigned count;
    struct sim_event ready;
    struct job flush[WORKLOAD_CLIENTS * SIM_NODES];
    unsigned values[256]; /* of the run by those of the story */
    uint64_t told[256];   /* what data was answered, by values of the story; 0: nothing yet */
    bool started;
} s;

static void fail(const struct step *step, const char *what)
{
    sim_fail("%s: line %u: %s", s.path, step->line, what);
}

/* ---- commands ---- */

static uint64_t number(const struct step *step, unsigned word)
{
    return word < step->count ? strtoull(step->words[word], NULL, 0) : 0;
}

static void media(struct step *step, uint8_t *cdb, uint8_t opcode, uint32_t blocks)
{
    memset(cdb, 0, 16);
    cdb[0] = opcode;
    step->job.block_count = 1;
    step->job.blocks[0].block = (uint32_t)number(step, 2) % WORKLOAD_BLOCKS;
    put_be64(cdb + 2, workload_lba(step->job.blocks[0].block));
    put_be32(cdb + 10, blocks);
}

static uint64_t value_of(uint64_t own)
{
    return own < sizeof s.values / sizeof s.values[0] ? s.values[own] : 0;
}

static uint64_t new_value(uint64_t own)
{
    uint64_t value = record_value();

    if (own < sizeof s.values / sizeof s.values[0])
        s.values[own] = (unsigned)value;
    return value;
}

static void saw(struct job *job)
{
    struct step *step = container_of(job, struct step, job);
    uint64_t value = record_read(job->lu, job->blocks[0].block, job->in, sim_config()->block_size);

    job->blocks[0].value = value;
    if (step->value_expected && value != value_of(step->value))
        fail(step, "another value was read");
}

static void do_read(struct step *step)
{
    uint8_t cdb[16];

    media(step, cdb, 0x88, 1);
    step->job.blocks[0].value = HISTORY_NO_VALUE;
    step->job.answered = saw;
    job_send(&step->job, MODEL_READ, cdb, 16, 0, sim_config()->block_size);
}

static void do_write(struct step *step)
{
    unsigned size = sim_config()->block_size;
    uint8_t cdb[16];

    media(step, cdb, 0x8a, 1);
    step->job.blocks[0].value = new_value(number(step, 3));
    record_fill(step->job.lu, step->job.blocks[0].block, step->job.blocks[0].value, step->job.out,
                size);
    job_send(&step->job, MODEL_WRITE, cdb, 16, size, 0);
}

static void do_compare(struct step *step)
{
    unsigned size = sim_config()->block_size;
    struct job_block *b = &step->job.blocks[0];
    uint8_t cdb[16];

    media(step, cdb, 0x89, 0);
    cdb[13] = 1;
    b->compare = value_of(number(step, 3));
    b->value = new_value(number(step, 4));
    record_fill(step->job.lu, b->block, b->compare, step->job.out, size);
    record_fill(step->job.lu, b->block, b->value, step->job.out + size, size);
    job_send(&step->job, MODEL_COMPARE_AND_WRITE, cdb, 16, 2 * size, 0);
}

static void do_plain(struct step *step)
{
    static const struct {
        const char *name;
        enum model_kind kind;
        uint8_t opcode, length;
    } rows[] = {
        {"tur", MODEL_COMMAND, 0x00, 6},
        {"legacy_reserve", MODEL_RESERVE, 0x16, 6},
        {"legacy_release", MODEL_RELEASE, 0x17, 6},
        {"sync", MODEL_COMMAND, 0x91, 16},
    };
    uint8_t cdb[16] = {0};

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!strcmp(step->words[1], rows[i].name)) {
            cdb[0] = rows[i].opcode;
            step->job.synchronize = rows[i].opcode == 0x91;
            job_send(&step->job, rows[i].kind, cdb, rows[i].length, 0, 0);
        }
}

/* ACTION [KEY [ACTION-KEY [TYPE]]] [aptpl] [all_tg_pt] */
static void do_pr_out(struct step *step)
{
    struct model_op *op = &step->job.op.op;
    uint8_t cdb[10] = {0x5f}, *list = step->job.out;

    for (uint8_t i = 0; i < MODEL_ACTIONS; i++)
        if (!strcmp(step->words[1], history_action_name(i)))
            op->action = i;
    op->key = number(step, 2);
    op->action_key = number(step, 3);
    op->type = (uint8_t)number(step, 4);
    for (unsigned i = 2; i < step->count; i++) {
        op->aptpl |= !strcmp(step->words[i], "aptpl");
        op->all_tg_pt |= !strcmp(step->words[i], "all_tg_pt");
    }
    cdb[1] = op->action;
    cdb[2] = op->type;
    put_be32(cdb + 5, 24);
    memset(list, 0, 24);
    put_be64(list, op->key);
    put_be64(list + 8, op->action_key);
    list[20] = (uint8_t)((op->all_tg_pt ? 4 : 0) | (op->aptpl ? 1 : 0));
    job_send(&step->job, MODEL_PR_OUT, cdb, 10, 24, 0);
}

static void do_pr_in(struct step *step)
{
    workload_pr_in(&step->job, !strcmp(step->words[1], "read_keys") ? PR_IN_READ_KEYS : PR_IN_READ_RESERVATION);
}

/* What is answered with the same value must be the same bytes, whoever was asked. */
static void told(struct job *job)
{
    struct step *step = container_of(job, struct step, job);
    uint64_t sum = 0xcbf29ce484222325; /* FNV-1a */

    if (!step->value_expected || step->value >= sizeof s.told / sizeof s.told[0])
        return;
    for (uint32_t i = 0; i < job->command.data_in_length; i++)
        sum = (sum ^ job->in[i]) * 0x100000001b3;
    if (s.told[step->value] && s.told[step->value] != sum)
        fail(step, "other data was answered than before");
    s.told[step->value] = sum;
}

static void do_ask(struct step *step)
{
    static const struct {
        const char *name;
        uint8_t cdb[16], length, in;
    } rows[] = {
        {"report_groups", {0xa3, 0x0a, [9] = 252}, 12, 252},
        {"report_luns", {0xa0, [9] = 252}, 12, 252},
        {"serial", {0x12, 1, 0x80, 0, 252}, 6, 252},
        {"populate_token", {0x83, 0x10}, 16, 0},
        {"write_using_token", {0x83, 0x11}, 16, 0},
    };

    step->job.answered = told;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!strcmp(step->words[1], rows[i].name))
            job_send(&step->job, MODEL_COMMAND, rows[i].cdb, rows[i].length, 0, rows[i].in);
}

static void do_reset(struct step *step)
{
    job_send_tmf(&step->job, TMF_LOGICAL_UNIT_RESET, 0, MODEL_LU_RESET);
}

static void do_cold_reset(struct step *step)
{
    job_send_tmf(&step->job, TMF_TARGET_COLD_RESET, 0, MODEL_LU_RESET);
}

/* caching|control */
static void do_mode_sense(struct step *step)
{
    workload_mode_sense(&step->job, !strcmp(step->words[2], "control"));
}

/* caching|control [PARAMETER...]: those named are on. The page must have been read before. */
static void do_mode_select(struct step *step)
{
    struct shared_mode mode = {0};

    for (unsigned i = 3; i < step->count; i++) {
        mode.wce |= !strcmp(step->words[i], "wce");
        mode.d_sense |= !strcmp(step->words[i], "d_sense");
        mode.swp |= !strcmp(step->words[i], "swp");
        mode.tas |= !strcmp(step->words[i], "tas");
    }
    if (!workload_mode_select(&step->job, !strcmp(step->words[2], "control"), &mode))
        fail(step, "the page has not been read");
}

static const struct {
    const char *name;
    void (*run)(struct step *step);
    unsigned least; /* arguments */
} commands[] = {
    {"read", do_read, 1},
    {"write", do_write, 2},
    {"compare_and_write", do_compare, 3},
    {"tur", do_plain, 0},
    {"sync", do_plain, 0},
    {"legacy_reserve", do_plain, 0},
    {"legacy_release", do_plain, 0},
    {"lu_reset", do_reset, 0},
    {"report_groups", do_ask, 0},
    {"report_luns", do_ask, 0},
    {"serial", do_ask, 0},
    {"populate_token", do_ask, 0},
    {"write_using_token", do_ask, 0},
    {"cold_reset", do_cold_reset, 0},
    {"mode_sense", do_mode_sense, 1},
    {"mode_select", do_mode_select, 1},
    {"register", do_pr_out, 2},
    {"register_and_ignore", do_pr_out, 2},
    {"reserve", do_pr_out, 3},
    {"release", do_pr_out, 3},
    {"clear", do_pr_out, 1},
    {"read_keys", do_pr_in, 0},
    {"read_reservation", do_pr_in, 0},
    {"preempt", do_pr_out, 3},
    {"preempt_and_abort", do_pr_out, 3},
};

static void check_result(struct step *step)
{
    const struct history_op *op = &step->job.op;
    char text[600], got[16] = "";
    uint8_t asc = 0, ascq = 0;
    bool good;

    if (!step->expected)
        return;
    if (op->ua < UA_COUNT)
        ua_codes(op->ua, &asc, &ascq);
    snprintf(got, sizeof got, "%02x%02x", asc, ascq);
    if (!strcmp(step->expected, "lost"))
        good = op->outcome == HISTORY_UNKNOWN && op->end == HISTORY_NEVER;
    else if (!strcmp(step->expected, "UA"))
        good = op->reason == REASON_UNIT_ATTENTION && step->detail && !strcmp(step->detail, got);
    else
        good = op->end != HISTORY_NEVER && !strcmp(step->expected, history_reason_name(op->reason));
    if (good)
        return;
    history_describe(op, text, sizeof text);
    sim_fail("%s: line %u: expected %s %s: %s", s.path, step->line, step->expected,
             step->detail ? step->detail : "", text);
}

static void step_ended(struct job *job)
{
    struct step *step = container_of(job, struct step, job);

    step->ended = true;
    check_result(step);
    if (step->within_ms && sim_now() > job->op.call + step->within_ms * SIM_MS)
        fail(step, "it took too long");
}

static struct path *path_of(const char *word)
{
    unsigned client = (unsigned)(word[0] - 'A'), node = (unsigned)strtoul(word + 1, NULL, 10);

    return client < s.clients && node >= 1 && node <= s.nodes
               ? &workload_clients[client].paths[node]
               : NULL;
}

static void begin_job(struct job *job, struct path *path)
{
    memset(&job->op, 0, sizeof job->op);
    job->client = path->client;
    job->lu = 0;
    job->path = path;
    job->op = history_op(MODEL_COMMAND, 0, path->nexus, sim_now());
    job->block_count = 0;
    job->fua = job->synchronize = false;
    job->answered = NULL;
}

static void send_step(struct step *step)
{
    struct path *path = path_of(step->words[0]);

    if (!path->up)
        fail(step, "the nexus is not logged in");
    step->job.ended = step_ended;
    begin_job(&step->job, path);
    for (unsigned i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (!strcmp(commands[i].name, step->words[1]))
            commands[i].run(step);
}

/* ---- faults ---- */

static uint32_t nodes_from(const struct step *step, unsigned word)
{
    uint32_t bits = 1u << number(step, 1);

    for (; word < step->count; word++)
        bits |= 1u << number(step, word);
    return bits;
}

static bool run_fault(struct step *step)
{
    const char *what = step->words[0];
    unsigned node = (unsigned)number(step, 1);

    if (!strcmp(what, "power_cut") && step->count > 2 && !strcmp(step->words[2], "lost"))
        sim_power_cut_all_lost(node);
    else if (!strcmp(what, "power_cut"))
        sim_power_cut(node);
    else if (!strcmp(what, "power_on"))
        sim_power_on(node);
    else if (!strcmp(what, "kill"))
        sim_kill(node);
    else if (!strcmp(what, "freeze") || !strcmp(what, "stall"))
        sim_freeze(node, what[0] == 'f');
    else if (!strcmp(what, "thaw"))
        sim_thaw(node);
    else if (!strcmp(what, "stop"))
        sim_stop(node);
    else if (!strcmp(what, "start"))
        sim_start(node);
    else if (!strcmp(what, "reload"))
        sim_reload(node);
    else if (!strcmp(what, "other_version"))
        sim_other_version(node);
    else if (!strcmp(what, "cluster"))
        sim_cluster_reach(node, nodes_from(step, 2));
    else if (!strcmp(what, "link"))
        sim_link_reach(node, nodes_from(step, 2));
    else if (!strcmp(what, "heal"))
        sim_heal();
    else if (!strcmp(what, "switch"))
        sim_switch(node, (unsigned)number(step, 2));
    else if (!strcmp(what, "slow_disk"))
        sim_disk_slow(node, number(step, 2) * SIM_MS);
    else if (!strcmp(what, "full_disk") || !strcmp(what, "good_disk"))
        sim_disk_fail(node, what[0] == 'f' ? ENOSPC : 0);
    else if (!strcmp(what, "bad_disk"))
        sim_disk_fail(node, EIO);
    else if (!strcmp(what, "enlarge"))
        sim_enlarge(node, number(step, 2) << 20);
    else if (!strcmp(what, "resize"))
        sim_resize(node, (unsigned)number(step, 2));
    else if (!strcmp(what, "fencing"))
        sim_fencing_delay(number(step, 1) * SIM_MS, (unsigned)number(step, 2));
    else
        return false;
    return true;
}

/* ---- orders ---- */

static const struct {
    const char *word, *method, *more;
} orders[] = {
    {"make_current", "group.make_current", ""},
    {"make_current_force", "group.make_current", ",\"force\":true"},
    {"disconnect", "replica.disconnect", ""},
    {"connect", "replica.connect", ""},
    {"discard_my_data", "replica.connect", ",\"discard_my_data\":true"},
    {"pause", "replica.pause", ""},
    {"invalidate", "replica.invalidate", ""},
    {"invalidate_peer", "replica.invalidate", ",\"peer\":true"},
    {"attach", "replica.attach", NULL}, /* sim_attach() */
};

static void ordered(void *context, int code, const char *reply)
{
    struct step *step = context;

    sim_trace(0, "story line %u: ended with %d: %s", step->line, code, reply);
    step->ended = true;
    if (step->expected && !strcmp(step->expected, "done") != !code)
        sim_fail("%s: line %u: expected %s: %d %s", s.path, step->line, step->expected, code, reply);
}

static void order(struct step *step)
{
    char arguments[64];

    for (unsigned i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        if (strcmp(step->words[1], orders[i].word) != 0)
            continue;
        if (!orders[i].more) {
            sim_attach((unsigned)number(step, 2), (unsigned)number(step, 3), ordered, step);
            return;
        }
        snprintf(arguments, sizeof arguments, "{\"group\":\"g%u\"%s}", (unsigned)number(step, 2), orders[i].more);
        sim_order((unsigned)number(step, 3), orders[i].method, arguments, ordered, step);
        return;
    }
    fail(step, "no such order");
}

static void on_step(struct sim_event *event)
{
    struct step *step = container_of(event, struct step, event);

    sim_trace(0, "story line %u: %s %s", step->line, step->words[0],
              step->count > 1 ? step->words[1] : "");
    step->begun = true;
    if (!strcmp(step->words[0], "break")) {
        struct path *path = path_of(step->words[1]);
        if (path->up)
            sim_break(path->session);
        step->ended = true;
    } else if (!strcmp(step->words[0], "order")) {
        order(step);
    } else if (run_fault(step)) {
        step->ended = true;
    } else {
        send_step(step);
    }
}

/* ---- the beginning: everybody is logged in and has no unit attention ---- */

static void flush_ended(struct job *job);

static void flush(struct job *job, struct path *path)
{
    static const uint8_t test_unit_ready[6];

    job->ended = flush_ended;
    begin_job(job, path);
    job_send(job, MODEL_COMMAND, test_unit_ready, 6, 0, 0);
}

static void flush_ended(struct job *job)
{
    if (job->op.reason != REASON_GOOD && job->path->up)
        flush(job, job->path);
}

/* All serve, all are logged in, nobody's TEST UNIT READY is anything but GOOD: the story begins. */
static void on_ready(struct sim_event *event)
{
    bool all = true;

    for (unsigned node = 1; node <= s.nodes; node++) {
        const struct shared_state *state = sim_shared(node);
        all = all && sim_serves(node) && state && state->groups[0].owner;
        for (unsigned g = 0; state && g < state->group_count; g++)
            all = all && state->groups[g].owner && state->groups[g].current == sim_group_nodes(g);
        for (unsigned c = 0; c < s.clients; c++)
            all = all && workload_clients[c].paths[node].up;
    }
    if (all && !s.started) {
        s.started = true;
        for (unsigned c = 0; c < s.clients; c++)
            for (unsigned node = 1; node <= s.nodes; node++)
                flush(&s.flush[c * SIM_NODES + node - 1], &workload_clients[c].paths[node]);
        sim_at(&s.ready, sim_now() + LOGIN_MS * SIM_MS);
        return;
    }
    for (unsigned i = 0; i < WORKLOAD_CLIENTS * SIM_NODES; i++)
        all = all && !s.flush[i].busy;
    if (!all) {
        sim_at(&s.ready, sim_now() + LOGIN_MS * SIM_MS);
        return;
    }
    for (unsigned i = 0; i < s.count; i++)
        sim_at(&s.steps[i].event, sim_now() + s.steps[i].at_ms * SIM_MS);
}

static void configure(struct sim_config *config)
{
    if (s.seed)
        config->seed = s.seed;
    config->nodes = s.nodes;
    config->groups = s.groups;
    config->lus = s.lus;
    config->two_node = s.nodes == 2;
    config->hold_ms = s.hold_ms;
    config->lease_ms = 1500; /* less than any hold_ms */
    config->length_ns = (uint64_t)s.seconds * 1000 * SIM_MS;
}

static void begin(void)
{
    workload_clients_begin(s.clients);
    s.started = false;
    memset(s.values, 0, sizeof s.values);
    memset(s.told, 0, sizeof s.told);
    memset(s.flush, 0, sizeof s.flush);
    for (unsigned i = 0; i < s.count; i++) {
        struct step *step = &s.steps[i];
        memset(&step->job, 0, sizeof step->job);
        memset(&step->event, 0, sizeof step->event);
        step->event.run = on_step;
        step->begun = step->ended = false;
    }
    memset(&s.ready, 0, sizeof s.ready);
    s.ready.run = on_ready;
    sim_at(&s.ready, sim_now() + LOGIN_MS * SIM_MS);
}

/* Has the story been told to its end? */
static void quiet(void)
{
    if (!s.started && !s.count)
        return;
    for (unsigned i = 0; i < s.count; i++)
        if (s.steps[i].event.run && !s.steps[i].ended)
            fail(&s.steps[i], s.steps[i].begun ? "it never ended" : "it was never reached");
}

const struct sim_checker check_story = {.name = "story", .quiet = quiet};

/* ---- reading ---- */

static int wrong(unsigned line, const char *what, char *why, size_t size)
{
    snprintf(why, size, "%s:%u: %s", s.path, line, what);
    return -1;
}

static bool known(const struct step *step)
{
    static const char *const faults[] = {"power_cut", "power_on", "kill",      "freeze",  "stall",
                                         "thaw",      "stop",     "start",     "cluster", "link",
                                         "heal",      "switch",   "slow_disk", "fencing", "break",
                                         "reload",    "other_version", "enlarge", "resize", "order",
                                         "full_disk", "bad_disk", "good_disk"};

    for (unsigned i = 0; i < sizeof faults / sizeof faults[0]; i++)
        if (!strcmp(step->words[0], faults[i]))
            return true;
    if (step->count < 2 || step->words[0][0] < 'A' || step->words[0][0] >= 'A' + (int)s.clients)
        return false;
    for (unsigned i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (!strcmp(commands[i].name, step->words[1]))
            return step->count >= 2 + commands[i].least;
    return false;
}

static int read_at(char *rest, unsigned line, char *why, size_t size)
{
    struct step *step = &s.steps[s.count];
    char *save = NULL, *word, *end;

    if (s.count == STEPS)
        return wrong(line, "too many lines", why, size);
    memset(step, 0, sizeof *step);
    step->line = line;
    word = strtok_r(rest, " \t\n", &save);
    step->at_ms = word ? strtoull(word, &end, 10) : 0;
    if (!word || *end)
        return wrong(line, "expected a time in ms after \"at\"", why, size);
    while ((word = strtok_r(NULL, " \t\n", &save)) && step->count < WORDS) {
        if (!strcmp(word, "->")) {
            step->expected = strtok_r(NULL, " \t\n", &save);
            if (step->expected && !strcmp(step->expected, "UA"))
                step->detail = strtok_r(NULL, " \t\n", &save);
        } else if (!strcmp(word, "within") || !strcmp(word, "value")) {
            bool value = word[0] == 'v';
            if (!(word = strtok_r(NULL, " \t\n", &save)))
                return wrong(line, "expected a number at the end", why, size);
            step->value_expected |= value;
            *(value ? &step->value : &step->within_ms) = strtoull(word, NULL, 10);
        } else {
            step->words[step->count++] = word;
        }
    }
    if (!step->count || !known(step))
        return wrong(line, "expected something that can happen, see tests/sim/stories.h", why,
                     size);
    s.count++;
    return 0;
}

static int read_line(char *line, unsigned at, char *why, size_t size)
{
    static const struct {
        const char *name;
        unsigned *to;
    } settings[] = {{"nodes ", &s.nodes},
                    {"groups ", &s.groups},
                    {"lus ", &s.lus},
                    {"clients ", &s.clients},
                    {"seconds ", &s.seconds},
                    {"hold_ms ", &s.hold_ms},
                    {"seed ", &s.seed}};

    if (line[0] == '#') {
        if (!*s.what)
            snprintf(s.what, sizeof s.what, "%.*s", (int)strcspn(line + 1, "\n"),
                     line + 1 + (line[1] == ' '));
        return 0;
    }
    if (line[strspn(line, " \t\n")] == '\0')
        return 0;
    for (unsigned i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (!strncmp(line, settings[i].name, strlen(settings[i].name))) {
            *settings[i].to = (unsigned)strtoul(line + strlen(settings[i].name), NULL, 10);
            return 0;
        }
    return strncmp(line, "at ", 3) ? wrong(at, "expected a setting or \"at\"", why, size)
                                   : read_at(line + 3, at, why, size);
}

int story_read(const char *path, const struct sim_story **story, char *why, size_t size)
{
    FILE *file = fopen(path, "re");
    const char *base = strrchr(path, '/');
    unsigned line = 0;
    size_t used = 0;

    memset(&s, 0, sizeof s);
    snprintf(s.path, sizeof s.path, "%s", path);
    snprintf(s.name, sizeof s.name, "%s", base ? base + 1 : path);
    s.name[strcspn(s.name, ".")] = '\0';
    s.nodes = 2, s.groups = 1, s.lus = 1, s.clients = 2, s.seconds = 30, s.hold_ms = 20000;
    if (!file) {
        snprintf(why, size, "%s: %s", path, strerror(errno));
        return -1;
    }
    while (used + 512 < sizeof s.text && fgets(s.text + used, 512, file)) {
        char *text = s.text + used;
        used += strlen(text) + 1;
        if (read_line(text, ++line, why, size)) {
            fclose(file);
            return -1;
        }
    }
    fclose(file);
    if (!s.nodes || s.nodes > SIM_NODES || !s.groups || !s.lus || !s.clients ||
        s.clients > WORKLOAD_CLIENTS)
        return wrong(line, "nodes, groups, lus or clients are out of range", why, size);
    s.story = (struct sim_story){s.name, s.what, configure, begin, false};
    *story = &s.story;
    return 0;
}
