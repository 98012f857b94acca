#include "tests/sim/node/transport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/container.h"
#include "target/base/threads.h"
#include "target/daemon/daemon.h"
#include "target/iscsi/iscsi.h"
#include "target/nexus/lun_map.h"
#include "target/nexus/nexus.h"
#include "target/nexus/task.h"
#include "target/nexus/tmf.h"
#include "tests/sim/node/node.h"

struct session {
    struct nexus nexus;
    void *initiator; /* the world's */
    unsigned active, tmfs;
    bool known, ending, removing;
    struct qb_list_head link; /* in its reactor's list */
};

/* A command in the node, with the data that came with it. */
struct slot {
    struct session *session;
    struct task task;
    struct post ready;
    void *command; /* the world's */
    bool posted, over;
    uint32_t length;
    uint8_t data[];
};

struct arrival {
    struct post post;
    struct session *session;
    struct slot *slot;
    struct tmf tmf;
    void *world_tmf;
};

struct iscsi_server {
    const struct config *config;
    bool open, stopping;
    struct qb_list_head sessions[LIMIT_REACTORS]; /* each reactor's own */
    bool told[LIMIT_REACTORS];
    unsigned waiting, next;
    struct post posts[LIMIT_REACTORS];
    void (*done)(void *context);
    void *context;
};

static struct iscsi_server server;

/* ---- sessions ---- */

static void tell_stopped(void)
{
    unsigned index = reactor_self()->index;

    if (!server.stopping || server.told[index] || !qb_list_empty(&server.sessions[index]))
        return;
    server.told[index] = true;
    if (!--server.waiting)
        server.done(server.context);
}

static void gone(struct nexus *nexus)
{
    struct session *session = container_of(nexus, struct session, nexus);

    world_session_over(session->initiator);
    qb_list_del(&session->link);
    free(session);
    tell_stopped();
}

static void end_if_idle(struct session *session)
{
    if (!session->ending || session->active || session->tmfs || session->removing)
        return;
    session->removing = true;
    if (session->known)
        nexus_remove(&session->nexus, gone);
    else
        gone(&session->nexus);
}

static void drop(struct nexus *nexus, const char *why)
{
    struct session *session = container_of(nexus, struct session, nexus);
    struct task *task, *next;

    if (session->ending)
        return;
    session->ending = true;
    session->active++; /* the last task that ends here must not end the session in the middle of this */
    do {
        next = NULL;
        qb_list_for_each_entry(task, &nexus->tasks, nexus_link)
        {
            if (!task->silent) {
                next = task;
                break;
            }
        }
        if (next)
            task_abort(next, true);
    } while (next);
    session->active--;
    end_if_idle(session);
}

static const struct nexus_transport nexus_transport = {.name = "sim", .drop = drop};

static void ready(struct nexus *nexus)
{
    world_login_answer(container_of(nexus, struct session, nexus)->initiator, 1);
}

static void at_reactor_login(struct post *post)
{
    struct arrival *arrival = container_of(post, struct arrival, post);
    struct session *session = arrival->session;

    free(arrival);
    session->nexus.reactor = reactor_self();
    qb_list_add_tail(&session->link, &server.sessions[reactor_self()->index]);
    if (!server.stopping && !session->ending && !nexus_add(&session->nexus, ready)) {
        session->known = true;
        return;
    }
    world_login_answer(session->initiator, 0);
    session->ending = true;
    end_if_idle(session);
}

static uint16_t own_rtpi(void)
{
    return server.config->nodes[server.config->self].portals[0].rtpi;
}

struct session *transport_login(void *initiator, const char *name, const uint8_t isid[6])
{
    struct arrival *arrival;
    struct session *session;
    struct reactor *reactor;

    if (!server.open || server.stopping)
        return NULL;
    arrival = calloc(1, sizeof *arrival);
    session = calloc(1, sizeof *session);
    reactor = threads.reactors[server.next++ % threads.reactor_count];
    session->initiator = initiator;
    session->nexus.transport = &nexus_transport;
    session->nexus.reactor = reactor;
    qb_list_init(&session->nexus.tasks);
    qb_list_init(&session->link);
    snprintf(session->nexus.initiator_name, sizeof session->nexus.initiator_name, "%s", name);
    memcpy(session->nexus.isid, isid, 6);
    snprintf(session->nexus.target_name, sizeof session->nexus.target_name, "%s",
             server.config->targets[0].name);
    session->nexus.tpgt = (uint16_t)halund.self;
    session->nexus.tsih = (uint16_t)(server.next & 0xffff);
    identity_from_iscsi(&session->nexus.identity, name, isid, own_rtpi());
    arrival->session = session;
    arrival->post.run = at_reactor_login;
    reactor_post(reactor, &arrival->post);
    return session;
}

static void at_reactor_hang_up(struct post *post)
{
    struct arrival *arrival = container_of(post, struct arrival, post);
    struct session *session = arrival->session;

    free(arrival);
    drop(&session->nexus, "connection lost");
}

void transport_hang_up(struct session *session)
{
    struct arrival *arrival = calloc(1, sizeof *arrival);

    arrival->session = session;
    arrival->post.run = at_reactor_hang_up;
    reactor_post(session->nexus.reactor, &arrival->post);
}

/* ---- commands ---- */

static void slot_free(struct slot *slot)
{
    struct payload_pool *pool = slot->task.reactor->payloads;

    if (slot->posted || !slot->over)
        return;
    payload_free(pool, &slot->task.data_out);
    payload_free(pool, &slot->task.data_in);
    free(slot);
}

static void at_reactor_data(struct post *post)
{
    struct slot *slot = container_of(post, struct slot, ready);

    slot->posted = false;
    if (slot->over)
        slot_free(slot);
    else
        task_data_ready(&slot->task);
}

static void receive_data(struct task *task, uint32_t length)
{
    struct slot *slot = container_of(task, struct slot, task);

    payload_write(&task->data_out, 0, slot->data, length);
    slot->posted = true;
    slot->ready.run = at_reactor_data;
    reactor_post(task->reactor, &slot->ready);
}

static void complete(struct task *task)
{
    struct slot *slot = container_of(task, struct slot, task);
    struct session *session = slot->session;
    uint32_t n = task->data_in_length < task->expected_in ? task->data_in_length : task->expected_in;
    uint8_t *data = n ? malloc(n) : NULL;

    if (n)
        payload_read(&task->data_in, 0, data, n);
    world_answer(slot->command, task->silent, task->status, task->sense, task->sense_length, data, n);
    free(data);
    slot->over = true;
    slot_free(slot);
    session->active--;
    end_if_idle(session);
}

static const struct task_transport task_transport = {
    .name = "sim",
    .receive_data = receive_data,
    .complete = complete,
};

static void at_reactor_command(struct post *post)
{
    struct arrival *arrival = container_of(post, struct arrival, post);
    struct slot *slot = arrival->slot;

    free(arrival);
    if (slot->session->ending) {
        slot->over = true;
        slot->task.reactor = reactor_self();
        slot_free(slot);
        return;
    }
    slot->session->active++;
    task_execute(&slot->task);
}

void transport_command(struct session *session, void *command, uint64_t tag, unsigned lun,
                       const uint8_t *cdb, uint8_t cdb_length, unsigned attribute, const void *data,
                       uint32_t data_length, uint32_t expected_in)
{
    struct arrival *arrival = calloc(1, sizeof *arrival);
    struct slot *slot = calloc(1, sizeof *slot + data_length);
    struct task *task = &slot->task;

    slot->session = session;
    slot->command = command;
    slot->length = data_length;
    if (data_length)
        memcpy(slot->data, data, data_length);
    task->transport = &task_transport;
    task->nexus = &session->nexus;
    task->reactor = session->nexus.reactor;
    task->lun = lun_encode(lun);
    task->tag = tag;
    memcpy(task->cdb, cdb, cdb_length);
    task->cdb_length = cdb_length;
    task->attribute = (enum task_attribute)attribute;
    task->expected_in = expected_in;
    task->expected_out = data_length;
    arrival->session = session;
    arrival->slot = slot;
    arrival->post.run = at_reactor_command;
    reactor_post(session->nexus.reactor, &arrival->post);
}

/* ---- task management ---- */

static void tmf_done(struct tmf *tmf, enum tmf_response response)
{
    struct arrival *arrival = container_of(tmf, struct arrival, tmf);
    struct session *session = arrival->session;

    world_tmf_answer(arrival->world_tmf, response);
    free(arrival);
    session->tmfs--;
    end_if_idle(session);
}

static void at_reactor_tmf(struct post *post)
{
    struct arrival *arrival = container_of(post, struct arrival, post);

    if (arrival->session->ending) {
        free(arrival);
        return;
    }
    arrival->session->tmfs++;
    tmf_execute(&arrival->tmf);
}

void transport_tmf(struct session *session, void *world_tmf, unsigned function, unsigned lun,
                   uint64_t tag)
{
    struct arrival *arrival = calloc(1, sizeof *arrival);

    arrival->session = session;
    arrival->world_tmf = world_tmf;
    arrival->tmf.nexus = &session->nexus;
    arrival->tmf.function = (enum tmf_function)function;
    arrival->tmf.lun = lun_encode(lun);
    arrival->tmf.tag = tag;
    arrival->tmf.done = tmf_done;
    arrival->post.run = at_reactor_tmf;
    reactor_post(session->nexus.reactor, &arrival->post);
}

/* ---- iscsi.h ---- */

int iscsi_server_start(struct iscsi_server **result, const struct config *config,
                       struct reactor **reactors, unsigned reactor_count, char *why)
{
    server.config = config;
    for (unsigned i = 0; i < LIMIT_REACTORS; i++)
        qb_list_init(&server.sessions[i]);
    *result = &server;
    return 0;
}

static void at_reactor_reloaded(struct post *post)
{
    server.done(server.context);
}

int iscsi_server_reload(struct iscsi_server *s, const struct config *config,
                        void (*done)(void *context), void *context, char *why)
{
    s->config = config;
    s->done = done;
    s->context = context;
    s->posts[0].run = at_reactor_reloaded;
    reactor_post(threads.reactors[0], &s->posts[0]);
    return 0;
}

void iscsi_server_gate(struct iscsi_server *s, bool open)
{
    s->open = open;
}

static void at_reactor_stop(struct post *post)
{
    struct session *session, *next;

    qb_list_for_each_entry_safe(session, next, &server.sessions[reactor_self()->index], link)
    {
        drop(&session->nexus, "shutting down");
    }
    tell_stopped();
}

void iscsi_server_stop(struct iscsi_server *s, void (*done)(void *context), void *context)
{
    s->open = false;
    s->stopping = true;
    s->waiting = threads.reactor_count;
    s->done = done;
    s->context = context;
    for (unsigned i = 0; i < threads.reactor_count; i++) {
        s->posts[i].run = at_reactor_stop;
        reactor_post(threads.reactors[i], &s->posts[i]);
    }
}

void iscsi_server_free(struct iscsi_server *s)
{
}
