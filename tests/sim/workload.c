/* Clients as an array has them: each with a path to every node, some jobs for every logical unit,
 * and no mercy. What they were told is recorded (record.c) and checked as a whole at the end
 * (check_history.c). */
#include "tests/sim/workload.h"

#include <string.h>

#include "target/base/container.h"

enum { JOBS = WORKLOAD_CLIENTS * 8 * 4, RETRY_MS = 300, REFUSED_MS = 1000, START_MS = 30000 /* of a daemon, until all is as it was */ };

struct client workload_clients[WORKLOAD_CLIENTS];
static unsigned client_count;
static struct job jobs[JOBS];
static unsigned job_count, outstanding;
static bool stopping;
static struct job *busy;

static const struct job_kind *const kinds[] = {&job_io, &job_io, &job_reservations, &job_manager};

unsigned workload_client_count(void)
{
    return client_count;
}

int workload_nexus(unsigned client, unsigned node)
{
    return (int)(client * sim_config()->nodes + node - 1);
}

int workload_find_nexus(const uint8_t *transport_id, unsigned length, uint16_t rtpi)
{
    for (unsigned c = 0; c < client_count; c++) {
        struct nexus_identity identity;

        identity_from_iscsi(&identity, sim_initiator_name(c), workload_clients[c].isid, rtpi);
        if (identity.transport_length == length &&
            !memcmp(identity.transport_id, transport_id, length))
            for (unsigned node = 1; node <= sim_config()->nodes; node++)
                if (sim_rtpi(node) == rtpi)
                    return workload_nexus(c, node);
    }
    return MODEL_NOBODY;
}

/* ---- paths ---- */

static void logged_in(struct sim_nexus *session, bool ok)
{
    struct path *path = sim_nexus_context(session);

    path->up = ok;
    if (ok) {
        path->heard = sim_now();
        record_login(path, sim_now());
        return;
    }
    path->session = NULL;
    sim_at(&path->retry, sim_now() + (uint64_t)(1 + sim_random(REFUSED_MS)) * SIM_MS);
}

static void lost(struct sim_nexus *session)
{
    struct path *path = sim_nexus_context(session);

    if (path->up)
        record_loss(path);
    path->up = false;
    path->session = NULL;
    sim_at(&path->retry, sim_now() + (uint64_t)(1 + sim_random(RETRY_MS)) * SIM_MS);
}

static const struct sim_nexus_callbacks callbacks = {logged_in, lost, lost};

static void login(struct sim_event *event)
{
    struct path *path = container_of(event, struct path, retry);

    path->login_call = sim_now();
    path->session = sim_login(path->node, sim_initiator_name(path->client->number),
                              path->client->isid, &callbacks, path);
}

struct path *workload_path(struct client *client, unsigned lu)
{
    unsigned nodes = sim_config()->nodes, first = sim_random(nodes);
    struct path *any = NULL;

    for (unsigned i = 0; i < nodes; i++) {
        struct path *path = &client->paths[1 + (first + i) % nodes];
        const struct shared_state *state;

        if (!path->up)
            continue;
        any = any ? any : path;
        /* Half of the time the optimized path, if there is one. */
        state = sim_shared(path->node);
        if (!(first & 1) && state && state->groups[lu % sim_config()->groups].owner == path->node)
            return path;
    }
    return any;
}

/* ---- jobs ---- */

static void rest(struct job *job)
{
    uint64_t mean = job->kind->pause_ns;
    uint64_t pause = mean / 8 + (uint64_t)sim_random(1000) * (mean * 7 / 4) / 1000;

    if (!stopping)
        sim_at(&job->next, sim_now() + pause);
}

static void turn(struct sim_event *event)
{
    struct job *job = container_of(event, struct job, next);

    if (stopping)
        return;
    job->path = workload_path(job->client, job->lu);
    if (!job->path || !job->kind->begin(job))
        rest(job);
}

static uint64_t patience_ns(void)
{
    return ((uint64_t)sim_config()->hold_ms + 60000) * SIM_MS;
}

/* Without the daemon of a lost node nobody may go on, where that may have newer state. */
static void impatient(struct sim_event *event)
{
    const struct job *job = container_of(event, struct job, patience);
    uint64_t until = sim_start_again() + START_MS * (uint64_t)SIM_MS;
    char text[512];

    if (sim_now() < until) {
        sim_at(event, until);
        return;
    }
    history_describe(&job->op, text, sizeof text);
    sim_fail("lu%u: stuck for more than %llu s on node%u: %s", job->lu,
             (unsigned long long)(patience_ns() / SIM_MS / 1000), job->path->node, text);
}

static void over(struct job *job)
{
    sim_cancel(&job->patience);
    job->busy = false;
    for (struct job **at = &busy; *at; at = &(*at)->busy_next)
        if (*at == job) {
            *at = job->busy_next;
            break;
        }
    outstanding--;
    if (job->ended)
        job->ended(job);
    else
        rest(job);
}

/* A node that the cluster went on without still says that it is not ready, and aborts; its nexuses may be lost by then.
 * What only a node with a lease says shows that the nexus was there for the cluster, too. */
static bool speaks_for_the_cluster(const struct history_op *op)
{
    if (op->outcome != HISTORY_ANSWERED)
        return false;
    switch (op->reason) {
    case REASON_GOOD:
    case REASON_RESERVATION_CONFLICT:
    case REASON_UNIT_ATTENTION:
    case REASON_MISCOMPARE:
    case REASON_WRITE_PROTECTED:
        return true;
    default:
        return false;
    }
}

static void command_done(struct sim_command *command)
{
    struct job *job = container_of(command, struct job, command);
    char text[512];

    record_return(job);
    if (speaks_for_the_cluster(&job->op))
        job->path->heard = sim_now();
    if (sim_tracing()) {
        history_describe(&job->op, text, sizeof text);
        sim_trace(0, "node%u lu%u %s%s", job->path->node, job->lu, text,
                  command->outcome == SIM_LOST      ? " (lost)"
                  : command->outcome == SIM_ABORTED ? " (aborted)"
                                                    : "");
    }
    sim_hash(job->op.reason + 1000u * (unsigned)job->op.outcome);
    answers_check(job);
    if (job->op.op.kind == MODEL_PR_OUT && job->op.outcome == HISTORY_ANSWERED &&
        job->op.reason == REASON_GOOD)
        wall_answered(job);
    over(job);
}

bool workload_changes_beside(const struct job *job)
{
    for (const struct job *other = busy; other; other = other->busy_next)
        if (other != job && other->lu == job->lu && other->op.op.kind == MODEL_PR_OUT)
            return true;
    return false;
}

/* Does this operation abort commands of others? */
static bool aborts(const struct history_op *op)
{
    return op->op.kind == MODEL_LU_RESET || (op->op.kind == MODEL_PR_OUT && op->op.action == 5);
}

bool workload_aborts(unsigned lu, uint64_t sent)
{
    const struct history *history = record_history();

    for (const struct job *job = busy; job; job = job->busy_next)
        if (aborts(&job->op) && (job->op.lu == HISTORY_ALL_LUS || job->lu == lu))
            return true;
    for (size_t i = history->count; i-- > 0;) {
        const struct history_op *op = &history->ops[i];
        if (aborts(op) && (op->lu == HISTORY_ALL_LUS || op->lu == (int)lu) && op->until >= sent &&
            (op->outcome == HISTORY_UNKNOWN || op->end >= sent))
            return true;
    }
    return false;
}

static void begin(struct job *job, enum model_kind kind)
{
    job->op.op.kind = kind;
    job->op.op.nexus = job->path->nexus;
    job->op.lu = (int)job->lu;
    job->op.call = sim_now();
    job->busy = true;
    job->busy_next = busy;
    busy = job;
    outstanding++;
    sim_at(&job->patience, sim_now() + patience_ns());
}

void job_send(struct job *job, enum model_kind kind, const uint8_t *cdb, uint8_t cdb_length,
              uint32_t out, uint32_t in)
{
    job->command = (struct sim_command){.lun = job->lu,
                                        .cdb_length = cdb_length,
                                        .attribute = sim_chance(30)   ? TASK_ORDERED
                                                     : sim_chance(10) ? TASK_HEAD_OF_QUEUE
                                                                      : TASK_SIMPLE,
                                        .data_out = out ? job->out : NULL,
                                        .data_out_length = out,
                                        .expected_in = in,
                                        .data_in = in ? job->in : NULL,
                                        .done = command_done,
                                        .context = job};
    memcpy(job->command.cdb, cdb, cdb_length);
    begin(job, kind);
    job->patience.run = impatient;
    record_call(job);
    sim_send(job->path->session, &job->command);
}

static void tmf_done(struct sim_tmf *tmf)
{
    struct job *job = container_of(tmf, struct job, tmf);

    if (job->op.op.kind == MODEL_LU_RESET) {
        if (!tmf->lost && tmf->response == TMF_COMPLETE) {
            history_set_reason(&job->op, "GOOD", sim_now());
            job->path->heard = sim_now();
        } else {
            history_lost(&job->op, HISTORY_NEVER);
        }
        history_add(record_history(), &job->op);
    }
    sim_trace(0, "nexus %d node%u lu%u %s -> %s", job->path->nexus, job->path->node, job->lu,
              tmf->function == TMF_ABORT_TASK ? "ABORT TASK" : "TMF",
              tmf->lost                       ? "lost"
              : tmf->response == TMF_COMPLETE ? "complete"
                                              : "other");
    sim_hash(tmf->lost ? 77 : (uint64_t)tmf->response);
    over(job);
}

void job_send_tmf(struct job *job, enum tmf_function function, uint64_t tag, enum model_kind kind)
{
    job->tmf = (struct sim_tmf){.function = function, .lun = job->lu, .tag = tag, .done = tmf_done};
    begin(job, kind);
    job->patience.run = impatient;
    if (function == TMF_TARGET_WARM_RESET || function == TMF_TARGET_COLD_RESET)
        job->op.lu = HISTORY_ALL_LUS;
    sim_tmf_send(job->path->session, &job->tmf);
}

struct job *job_beside(const struct job *job)
{
    for (unsigned i = 0, first = sim_random(job_count); i < job_count; i++) {
        struct job *other = &jobs[(first + i) % job_count];
        if (other != job && other->busy && other->path == job->path && other->lu == job->lu &&
            other->command.context == other)
            return other;
    }
    return NULL;
}

/* ---- the run ---- */

static void add_jobs(struct client *client, unsigned lu)
{
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0] && job_count < JOBS; i++) {
        struct job *job = &jobs[job_count++];

        memset(job, 0, sizeof *job);
        job->kind = kinds[i];
        job->client = client;
        job->lu = lu;
        job->next.run = turn;
        job->patience.run = impatient;
        rest(job);
    }
}

void workload_clients_begin(unsigned clients)
{
    stopping = false;
    job_count = outstanding = 0;
    busy = NULL;
    memset(workload_clients, 0, sizeof workload_clients);
    client_count = clients;
    record_begin(client_count);
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        kinds[i]->forget();
    for (unsigned c = 0; c < client_count; c++) {
        struct client *client = &workload_clients[c];

        client->number = c;
        client->isid[0] = 0x40;
        client->isid[5] = (uint8_t)(c + 1);
        for (unsigned node = 1; node <= sim_config()->nodes; node++) {
            struct path *path = &client->paths[node];

            path->client = client;
            path->node = node;
            path->nexus = workload_nexus(c, node);
            path->retry.run = login;
            sim_at(&path->retry, sim_now() + (uint64_t)sim_random(RETRY_MS) * SIM_MS);
        }
    }
}

void workload_begin(void)
{
    workload_clients_begin(2 + sim_random(WORKLOAD_CLIENTS - 1));
    for (unsigned c = 0; c < client_count; c++)
        for (unsigned lu = 0; lu < sim_config()->lus; lu++)
            add_jobs(&workload_clients[c], lu);
}

void workload_stop(void)
{
    stopping = true;
    for (unsigned i = 0; i < job_count; i++)
        sim_cancel(&jobs[i].next);
}

bool workload_idle(void)
{
    return !outstanding;
}
