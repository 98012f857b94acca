/* PERSISTENT RESERVE OUT and IN with all actions and types, RESERVE and RELEASE; most of it
 * sensible, else nothing would ever be reserved, some of it not. */
#include <stdlib.h>
#include <string.h>

#include "target/base/bytes.h"
#include "target/command/pr_parameters.h"
#include "tests/sim/workload.h"

enum {
    PERSISTENT_RESERVE_IN = 0x5e,
    PERSISTENT_RESERVE_OUT = 0x5f,
    RESERVE_6 = 0x16,
    RELEASE_6 = 0x17,
    LIST = 24, /* bytes of the parameter list before TransportIDs */
    BYTE_FLAGS = 20,
    SPEC_I_PT = 0x08,
    ALL_TG_PT = 0x04,
    APTPL = 0x01,
    UNREG = 0x02, /* REGISTER AND MOVE, byte 17 */
};

/* What a client believes to be its key: by client, node and unit. */
static uint64_t believed[WORKLOAD_CLIENTS][SIM_NODES + 1][LIMIT_LUS];

static uint64_t key_of(unsigned client)
{
    return 0xa0 + client;
}

/* ---- PERSISTENT RESERVE IN ---- */

static unsigned answer_length(const struct job *job)
{
    uint32_t got = job->command.data_in_length, length;

    if (got < 8)
        sim_fail("PERSISTENT RESERVE IN answered %u bytes", got);
    length = 8 + get_be32(job->in + 4);
    if (length > got)
        sim_fail("PERSISTENT RESERVE IN is %u bytes long, %u came", length, got);
    return length;
}

static struct history_registration *new_registrations(struct history_op *op, unsigned count)
{
    op->registrations = calloc(count + 1, sizeof *op->registrations);
    if (!op->registrations)
        abort();
    op->registration_count = count;
    return op->registrations;
}

static void read_keys(struct job *job)
{
    unsigned count = (answer_length(job) - 8) / 8;
    struct history_registration *to = new_registrations(&job->op, count);

    job->op.generation = get_be32(job->in);
    for (unsigned i = 0; i < count; i++)
        to[i] = (struct history_registration){MODEL_NOBODY, get_be64(job->in + 8 + 8 * i), false};
}

static void read_reservation(struct job *job)
{
    job->op.generation = get_be32(job->in);
    if (answer_length(job) < 24)
        return;
    job->op.read_key = get_be64(job->in + 8);
    job->op.read_type = job->in[21] & 0x0f;
}

static void read_full_status(struct job *job)
{
    unsigned length = answer_length(job), count = 0;
    struct history_registration *to = new_registrations(&job->op, MODEL_NEXUSES);

    job->op.generation = get_be32(job->in);
    for (unsigned at = 8; at + 24 <= length; count++) {
        const uint8_t *p = job->in + at;
        uint32_t id = get_be32(p + 20);

        if (count == MODEL_NEXUSES)
            sim_fail("READ FULL STATUS names more nexuses than there are");
        to[count].key = get_be64(p);
        to[count].holder = p[12] & 1;
        if (to[count].holder)
            job->op.read_type = p[13] & 0x0f;
        to[count].nexus = workload_find_nexus(p + 24, id, get_be16(p + 18));
        if (to[count].nexus == MODEL_NOBODY)
            sim_fail("READ FULL STATUS names an unknown nexus at byte %u", at);
        if (to[count].nexus == job->path->nexus)
            believed[job->client->number][job->path->node][job->lu] = to[count].key;
        at += 24 + id;
    }
    job->op.registration_count = count;
}

void workload_pr_in(struct job *job, uint8_t action)
{
    static const struct {
        uint8_t action;
        enum model_kind kind;
        void (*answered)(struct job *job);
    } rows[] = {
        {PR_IN_READ_KEYS, MODEL_READ_KEYS, read_keys},
        {PR_IN_READ_RESERVATION, MODEL_READ_RESERVATION, read_reservation},
        {PR_IN_READ_FULL_STATUS, MODEL_READ_FULL_STATUS, read_full_status},
    };
    uint8_t cdb[10] = {PERSISTENT_RESERVE_IN, action};

    put_be16(cdb + 7, WORKLOAD_ANSWER);
    for (unsigned row = 0; row < sizeof rows / sizeof rows[0]; row++)
        if (rows[row].action == action) {
            job->answered = rows[row].answered;
            job_send(job, rows[row].kind, cdb, 10, 0, WORKLOAD_ANSWER);
        }
}

static bool begin_in(struct job *job)
{
    static const uint8_t actions[] = {PR_IN_READ_KEYS, PR_IN_READ_RESERVATION, PR_IN_READ_FULL_STATUS};

    workload_pr_in(job, actions[sim_random(3)]);
    return true;
}

/* ---- PERSISTENT RESERVE OUT ---- */

static void done(struct job *job)
{
    const struct model_op *op = &job->op.op;
    uint64_t *mine = &believed[job->client->number][job->path->node][job->lu];

    if (op->action == PR_OUT_REGISTER || op->action == PR_OUT_REGISTER_AND_IGNORE)
        *mine = op->action_key;
    if (op->action == PR_OUT_CLEAR)
        *mine = 0;
}

static uint8_t any_action(void)
{
    static const uint8_t often[] = {
        PR_OUT_REGISTER_AND_IGNORE,
        PR_OUT_REGISTER_AND_IGNORE,
        PR_OUT_REGISTER_AND_IGNORE,
        PR_OUT_REGISTER,
        PR_OUT_REGISTER,
        PR_OUT_RESERVE,
        PR_OUT_RESERVE,
        PR_OUT_RESERVE,
        PR_OUT_RELEASE,
        PR_OUT_RELEASE,
        PR_OUT_PREEMPT,
        PR_OUT_PREEMPT,
        PR_OUT_PREEMPT_AND_ABORT,
        PR_OUT_PREEMPT_AND_ABORT,
        PR_OUT_REGISTER_AND_MOVE,
        PR_OUT_CLEAR,
    };

    return often[sim_random(sizeof often)];
}

static uint64_t any_key(void)
{
    return key_of(sim_random(workload_client_count() + 1));
}

static void choose(struct job *job)
{
    static const uint8_t types[] = {1, 3, 5, 6, 7, 8};
    struct model_op *op = &job->op.op;
    uint64_t mine = believed[job->client->number][job->path->node][job->lu];

    op->action = any_action();
    /* Types stay the same for a while, so that RELEASE finds its own. */
    op->type = sim_chance(800) ? types[(sim_now() / (4000ull * SIM_MS) + job->lu) % sizeof types]
                               : types[sim_random(sizeof types)];
    op->key = sim_chance(900) ? mine : any_key();
    op->aptpl = sim_chance(400);
    switch (op->action) {
    case PR_OUT_REGISTER:
    case PR_OUT_REGISTER_AND_IGNORE:
        op->action_key = sim_chance(150)   ? 0
                         : sim_chance(100) ? any_key()
                                           : key_of(job->client->number);
        op->all_tg_pt = sim_chance(150);
        if (op->action == PR_OUT_REGISTER && sim_chance(100)) {
            op->spec_i_pt = true;
            op->named = sim_random(1u << workload_client_count());
        }
        break;
    case PR_OUT_PREEMPT:
    case PR_OUT_PREEMPT_AND_ABORT:
        op->action_key = sim_chance(80) ? 0 : any_key();
        break;
    case PR_OUT_REGISTER_AND_MOVE:
        op->action_key = any_key();
        op->unreg = sim_chance(500);
        op->move_to = workload_nexus(sim_random(workload_client_count()),
                                     1 + sim_random(sim_config()->nodes));
        break;
    default:
        break;
    }
    if (op->action != PR_OUT_REGISTER && op->action != PR_OUT_REGISTER_AND_IGNORE &&
        op->action != PR_OUT_REGISTER_AND_MOVE)
        op->aptpl = false;
}

static void identity_of(unsigned client, unsigned node, struct nexus_identity *identity)
{
    identity_from_iscsi(identity, sim_initiator_name(client), workload_clients[client].isid,
                        sim_rtpi(node));
}

static uint32_t transport_ids(const struct model_op *op, uint8_t *to)
{
    struct nexus_identity identity;
    uint32_t used = 0;

    for (unsigned c = 0; c < workload_client_count(); c++)
        if (op->spec_i_pt && op->named >> c & 1) {
            identity_of(c, 1, &identity);
            memcpy(to + used, identity.transport_id, identity.transport_length);
            used += identity.transport_length;
        }
    return used;
}

static uint32_t write_list(const struct model_op *op, uint8_t *out)
{
    uint32_t length;

    memset(out, 0, LIST + 4);
    put_be64(out, op->key);
    put_be64(out + 8, op->action_key);
    if (op->action == PR_OUT_REGISTER_AND_MOVE) {
        unsigned nodes = sim_config()->nodes, node = 1 + (unsigned)op->move_to % nodes;
        struct nexus_identity identity;

        identity_of((unsigned)op->move_to / nodes, node, &identity);
        out[17] = (uint8_t)((op->unreg ? UNREG : 0) | (op->aptpl ? APTPL : 0));
        put_be16(out + 18, sim_rtpi(node));
        put_be32(out + 20, identity.transport_length);
        memcpy(out + LIST, identity.transport_id, identity.transport_length);
        return LIST + identity.transport_length;
    }
    out[BYTE_FLAGS] = (uint8_t)((op->spec_i_pt ? SPEC_I_PT : 0) | (op->all_tg_pt ? ALL_TG_PT : 0) |
                                (op->aptpl ? APTPL : 0));
    if (!op->spec_i_pt)
        return LIST;
    length = transport_ids(op, out + LIST + 4);
    put_be32(out + LIST, length);
    return LIST + 4 + length;
}

static bool begin_out(struct job *job)
{
    uint8_t cdb[10] = {PERSISTENT_RESERVE_OUT};
    uint32_t length;

    choose(job);
    cdb[1] = job->op.op.action;
    cdb[2] = job->op.op.type;
    length = write_list(&job->op.op, job->out);
    put_be32(cdb + 5, length);
    job->answered = done;
    job_send(job, MODEL_PR_OUT, cdb, 10, length, 0);
    return true;
}

static bool begin_legacy(struct job *job)
{
    bool reserve = sim_chance(500);
    uint8_t cdb[6] = {reserve ? RESERVE_6 : RELEASE_6};

    job_send(job, reserve ? MODEL_RESERVE : MODEL_RELEASE, cdb, 6, 0, 0);
    return true;
}

static void forget(void)
{
    memset(believed, 0, sizeof believed);
}

static bool begin(struct job *job)
{
    unsigned what = sim_random(100);

    job->op = history_op(MODEL_COMMAND, (int)job->lu, job->path->nexus, sim_now());
    job->block_count = 0;
    job->fua = job->synchronize = false;
    job->answered = NULL;
    if (what < 35)
        return begin_in(job);
    /* In one run of four there are RESERVE and RELEASE as well. */
    if (what < 45 && sim_config()->seed % 4 == 0)
        return begin_legacy(job);
    return begin_out(job);
}

const struct job_kind job_reservations = {"reservations", forget, begin, 500ull * SIM_MS};
