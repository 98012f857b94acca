/* How the engine's reactors reach the cluster: target/command/control_calls.h. */
#include <qb/qblog.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/container.h"
#include "target/base/threads.h"
#include "target/command/command.h"
#include "target/command/control_calls.h"
#include "target/daemon/daemon.h"
#include "target/device/device.h"
#include "target/nexus/lane.h"
#include "target/nexus/nexus.h"
#include "target/nexus/nexus_table.h"
#include "target/nexus/tmf.h"
#include "target/transport/peer.h"

/* A nexus of this node whose RESERVE was not decided in time: it may still take effect, after the nexus is lost. */
struct undecided {
    struct qb_list_head link;
    struct nexus_identity nexus;
};

static struct {
    struct daemon *daemon;
    struct qb_list_head undecided;
    uint16_t ports[LIMIT_NODES * LIMIT_PORTALS]; /* of the cluster, sorted: ALL_TG_PT */
    uint32_t port_count;
} commits;

/* One decision asked for by a task, a task management function or a lost nexus. */
struct commit {
    struct cluster_request request;
    struct post post;
    struct task *task;
    struct tmf *tmf;
    enum scsi_reason reason;
    uint8_t field_pointer;
    uint8_t bytes[];
};

static struct commit *commit_new(const struct shared_op *op, const void *bytes, uint32_t length)
{
    struct commit *commit = calloc(1, sizeof *commit + length);

    if (!commit)
        return NULL;
    commit->request.op = *op;
    if (length)
        memcpy(commit->bytes, bytes, length);
    commit->request.op.transport_ids = length ? commit->bytes : NULL;
    commit->request.op.transport_ids_length = length;
    return commit;
}

static void submit(struct commit *commit)
{
    commit->request.op.node = commits.daemon->self;
    commit->request.op.ports = commits.ports;
    commit->request.op.port_count = commits.port_count;
    cluster_submit(commits.daemon->cluster, &commit->request);
}

static void at_control_submit(struct post *post)
{
    submit(container_of(post, struct commit, post));
}

/* ---- tasks ---- */

static void at_reactor_task(struct post *post)
{
    struct commit *commit = container_of(post, struct commit, post);
    enum scsi_reason reason = commit->reason;

    if (reason == REASON_INVALID_FIELD_IN_PARAMETERS && commit->field_pointer != 0xff)
        reason = field_in_parameters(commit->task, commit->field_pointer, -1);
    else if (reason == REASON_INVALID_FIELD_IN_CDB && commit->field_pointer != 0xff)
        reason = field_in_cdb(commit->task, commit->field_pointer, -1);
    task_complete(commit->task, reason);
    free(commit);
}

static bool take_undecided(const struct nexus_identity *nexus)
{
    struct undecided *entry;

    qb_list_for_each_entry(entry, &commits.undecided, link)
    {
        if (!identity_equal(&entry->nexus, nexus))
            continue;
        qb_list_del(&entry->link);
        free(entry);
        return true;
    }
    return false;
}

static void note_undecided(const struct nexus_identity *nexus)
{
    struct undecided *entry = calloc(1, sizeof *entry);

    if (!entry)
        abort();
    take_undecided(nexus); /* one is enough */
    entry->nexus = *nexus;
    qb_list_add_tail(&entry->link, &commits.undecided);
}

static void task_answered(struct cluster_request *request, enum scsi_reason reason,
                          uint8_t field_pointer)
{
    struct commit *commit = container_of(request, struct commit, request);

    commit->reason = reason;
    commit->field_pointer = field_pointer;
    if (request->op.kind == SHARED_OP_RESERVE && reason == REASON_NOT_READY_TRANSITION)
        note_undecided(&request->op.nexus);
    commit->post.run = at_reactor_task;
    reactor_post(commit->task->reactor, &commit->post);
}

void task_commit(struct task *task, const struct shared_op *op, const void *bytes, uint32_t length)
{
    struct commit *commit = commit_new(op, bytes, length);

    if (!commit) {
        task_complete(task, REASON_INSUFFICIENT_RESOURCES);
        return;
    }
    commit->task = task;
    commit->request.answer = task_answered;
    commit->post.run = at_control_submit;
    control_post(&commit->post);
}

/* ---- task management ---- */

static void at_reactor_tmf(struct post *post)
{
    struct commit *commit = container_of(post, struct commit, post);
    struct tmf *tmf = commit->tmf;
    enum scsi_reason reason = commit->reason;

    free(commit);
    tmf->done(tmf, reason == REASON_GOOD ? TMF_COMPLETE : TMF_REJECTED);
}

static void tmf_answered(struct cluster_request *request, enum scsi_reason reason, uint8_t field_pointer)
{
    struct commit *commit = container_of(request, struct commit, request);

    commit->reason = reason;
    commit->post.run = at_reactor_tmf;
    reactor_post(commit->tmf->nexus->reactor, &commit->post);
}

void tmf_commit(struct tmf *tmf, enum shared_op_kind kind)
{
    struct shared_op op = {
        .kind = kind,
        .lu = tmf->lu ? tmf->lu->index : SHARED_NO_LU,
        .group = tmf->lu ? tmf->lu->group_index : SHARED_NO_LU,
        .nexus = tmf->nexus->identity,
    };
    struct commit *commit = commit_new(&op, NULL, 0);

    if (!commit) {
        tmf->done(tmf, TMF_REJECTED);
        return;
    }
    commit->tmf = tmf;
    commit->request.answer = tmf_answered;
    commit->post.run = at_control_submit;
    control_post(&commit->post);
}

/* ---- lost nexuses ---- */

static void loss_answered(struct cluster_request *request, enum scsi_reason reason,
                          uint8_t field_pointer)
{
    struct commit *commit = container_of(request, struct commit, request);

    /* Not decided in time: the reservation would stay for ever, so it is asked again; unless the initiator
     * port is back, whose new reservation would fall. */
    if (reason != REASON_GOOD && !commits.daemon->stopping &&
        !nexus_table_has(&request->op.nexus)) {
        submit(commit);
        return;
    }
    free(commit);
}

static void lost(const struct nexus_identity *identity)
{
    const struct shared_state *state = cluster_state(commits.daemon->cluster);
    struct shared_op op = {.kind = SHARED_OP_NEXUS_LOSS, .lu = SHARED_NO_LU, .nexus = *identity};
    bool holds = take_undecided(identity); /* this node's messages keep their order: it falls after it took effect */

    for (uint32_t i = 0; i < state->lu_count && !holds; i++)
        holds = state->lus[i].legacy_reserved &&
                identity_equal(&state->lus[i].legacy_holder, identity);
    if (holds) {
        struct commit *commit = commit_new(&op, NULL, 0);
        if (!commit)
            abort();
        commit->request.answer = loss_answered;
        submit(commit);
    }
}

/* ---- reading ---- */

struct reading {
    struct post post;
    struct task *task;
    void (*fill)(struct task *task, const struct shared_state *state, const struct config *config);
};

static void at_reactor_read(struct post *post)
{
    struct reading *reading = container_of(post, struct reading, post);
    struct task *task = reading->task;

    free(reading);
    task_complete(task, REASON_GOOD);
}

/* What would be read is not the state of every member yet. */
static void at_reactor_again(struct post *post)
{
    struct reading *reading = container_of(post, struct reading, post);
    struct task *task = reading->task;

    free(reading);
    task_read_again(task);
}

static void at_control_read(struct post *post)
{
    struct reading *reading = container_of(post, struct reading, post);

    if (reading->task->lu && atomic_load(&reading->task->lu->unsettled)) {
        reading->post.run = at_reactor_again;
        reactor_post(reading->task->reactor, &reading->post);
        return;
    }
    reading->fill(reading->task, cluster_state(commits.daemon->cluster), commits.daemon->config);
    reading->post.run = at_reactor_read;
    reactor_post(reading->task->reactor, &reading->post);
}

void task_read_state(struct task *task,
                     void (*fill)(struct task *task, const struct shared_state *state,
                                  const struct config *config))
{
    struct reading *reading = malloc(sizeof *reading);

    if (!reading) {
        task_complete(task, REASON_INSUFFICIENT_RESOURCES);
        return;
    }
    reading->task = task;
    reading->fill = fill;
    reading->post.run = at_control_read;
    control_post(&reading->post);
}

/* ---- wishes of initiators ---- */

struct wish {
    struct post post;
    unsigned group;
};

static void at_control_wish(struct post *post)
{
    struct wish *wish = container_of(post, struct wish, post);

    group_wished(&commits.daemon->groups[wish->group]);
    free(wish);
}

/* Pacemaker decides who: a wish raises this node's promotion score, nothing more. Initiators send it on the
 * path that they want; a wish for a third node is refused, since nobody there would hear it. */
bool alua_wish(unsigned group_index, unsigned node)
{
    struct wish *wish;

    if (node == lane_owner(group_index, reactor_self()))
        return true;
    wish = node == commits.daemon->self ? malloc(sizeof *wish) : NULL;
    if (!wish)
        return false;
    wish->group = group_index;
    wish->post.run = at_control_wish;
    control_post(&wish->post);
    return true;
}

static int by_number(const void *a, const void *b)
{
    return *(const uint16_t *)a - *(const uint16_t *)b;
}

void commits_init(struct daemon *daemon)
{
    commits.daemon = daemon;
    qb_list_init(&commits.undecided);
    for (unsigned n = 0; n < daemon->config->node_count; n++)
        for (unsigned p = 0; p < daemon->config->nodes[n].portal_count; p++)
            commits.ports[commits.port_count++] = daemon->config->nodes[n].portals[p].rtpi;
    qsort(commits.ports, commits.port_count, sizeof commits.ports[0], by_number);
    nexus_lost = lost;
    nexus_removed = peer_nexus_gone;
}
