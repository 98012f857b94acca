#include "target/daemon/resize.h"

#include <errno.h>
#include <inttypes.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/bytes.h"
#include "target/base/container.h"
#include "target/daemon/consult.h"
#include "target/daemon/group.h"
#include "target/daemon/wanted_group.h"
#include "target/device/device.h"

enum { WIRE_RESIZE = 3 };

/* The question, in a CONSULT's digest. */
enum { ASKED_LU = 0, ASKED_BLOCKS = 4 };

/* The resize that this node was asked for. */
static struct {
    struct control_call *call; /* NULL: none */
    unsigned lu;
    uint64_t blocks, was;
} asked;

static struct consult opinions = {.kind = RESIZE_QUESTION};

/* ---- agreeing ---- */

struct agreeing {
    struct cluster_request request;
    group_done *done;
    void *context;
};

static void agreed(struct cluster_request *request, enum scsi_reason reason, uint8_t field)
{
    struct agreeing *a = container_of(request, struct agreeing, request);

    if (reason == REASON_GOOD)
        a->done(a->context, 0, "");
    else
        a->done(a->context, -EAGAIN, "the cluster could not agree in time; it may still be applied");
    free(a);
}

void resize_agree(unsigned lu, uint64_t blocks, group_done *done, void *context)
{
    struct agreeing *a = calloc(1, sizeof *a);

    if (!a) {
        done(context, -ENOMEM, "out of memory");
        return;
    }
    a->done = done;
    a->context = context;
    a->request.op.kind = SHARED_OP_CAPACITY;
    a->request.op.node = halund.self;
    a->request.op.lu = lu;
    a->request.op.capacity = blocks;
    a->request.answer = agreed;
    cluster_submit(halund.cluster, &a->request);
}

void resize_apply(unsigned index, uint64_t blocks)
{
    struct lu *lu = device_lus[index];
    uint64_t bytes = blocks * lu->block_size;

    if (bytes > lu->store->size) {
        const struct config_group *group = &halund.config->groups[lu->group_index];

        if (store_room(lu->store) >= bytes)
            lu->store->size = bytes;
        else if (group->replication == REPLICATION_NONE || halund.groups[lu->group_index].replica)
            /* its commands are refused where this node executes them */
            qb_log(LOG_ERR, "lu \"%s\": %" PRIu64 " bytes were agreed, there is room for %" PRIu64 " here",
                   lu->config.name, bytes, store_room(lu->store));
    }
    if (atomic_exchange(&lu->blocks, blocks) != blocks)
        qb_log(LOG_NOTICE, "lu \"%s\" has %" PRIu64 " bytes", lu->config.name, bytes);
}

/* ---- has every node room for it? ---- */

void resize_consulted(unsigned node, uint64_t number, const uint8_t digest[32])
{
    uint32_t index = get_be32(digest + ASKED_LU);
    const struct lu *lu = index < device_lu_count ? device_lus[index] : NULL;
    char why[200] = "";

    if (!lu)
        snprintf(why, sizeof why, "it has no such unit");
    else if (store_room(lu->store) / lu->block_size < get_be64(digest + ASKED_BLOCKS))
        snprintf(why, sizeof why, "there is room for %" PRIu64 " bytes: expected %" PRIu64, store_room(lu->store),
                 get_be64(digest + ASKED_BLOCKS) * lu->block_size);
    cluster_give_opinion(halund.cluster, node, number, !why[0], why);
}

static void end(int error, const char *why)
{
    struct control_call *call = asked.call;
    uint32_t size = device_lus[asked.lu]->block_size;

    asked.call = NULL;
    if (!error)
        control_reply(call, json_pack("{s:I, s:I}", "size", (json_int_t)(asked.blocks * size), "was",
                                      (json_int_t)(asked.was * size)));
    else
        control_fail(call, error == -EAGAIN ? CONTROL_AGAIN : CONTROL_REFUSED, "%s", why);
}

static void committed(void *context, int error, const char *why)
{
    end(error, why);
}

static void consulted(void *context, int error, const char *why)
{
    if (error)
        end(error, why);
    else
        resize_agree(asked.lu, asked.blocks, committed, NULL);
}

void resize_opinion(unsigned node, uint64_t number, bool good, const char *why)
{
    consult_opinion(&opinions, node, number, good, why);
}

/* ---- the order ---- */

static struct lu *lu_named(const char *name)
{
    for (unsigned i = 0; i < device_lu_count; i++)
        if (device_lus[i] && !strcmp(device_lus[i]->config.name, name))
            return device_lus[i];
    return NULL;
}

/* Why not, at once; NULL: may be asked for. */
static const char *obstacle(const struct lu *lu, uint64_t bytes, bool force)
{
    if (halund.groups[lu->group_index].replica)
        return "its group is replicated: halunctl replica resize";
    if (!bytes || bytes % lu->block_size)
        return "the size is not a multiple of its block size";
    if (bytes / lu->block_size < atomic_load(&lu->blocks) && !force)
        return "it would become smaller, and what is behind its new end lost to initiators: expected --force";
    if (halund.view.wire < WIRE_RESIZE)
        return "a member speaks an older wire version: upgrade every node first";
    return NULL;
}

/* ---- replicated groups ---- */

struct growing {
    struct control_call *call;
    struct group *group;
    unsigned next;   /* unit to look at */
    json_t *changed; /* name: bytes */
};

static void grown_end(struct growing *g, int error, const char *why)
{
    if (!error)
        control_reply(g->call, json_pack("{s:O}", "lus", g->changed));
    else
        control_fail(g->call,
                     error == -EAGAIN                           ? CONTROL_AGAIN
                     : error == -ENOMEM || error == -EIO ? CONTROL_FAILED
                                                                : CONTROL_REFUSED,
                     "%s", why);
    json_decref(g->changed);
    free(g);
}

/* The capacities of its units, one after the other. */
static void agree_next(void *context, int error, const char *why)
{
    struct growing *g = context;

    while (!error && g->next < device_lu_count) {
        const struct lu *lu = device_lus[g->next++];
        uint64_t blocks = lu ? lu->store->size / lu->block_size : 0;

        if (!lu || lu->group_index != g->group->index || blocks <= atomic_load(&lu->blocks))
            continue;
        json_object_set_new(g->changed, lu->config.name, json_integer((json_int_t)(blocks * lu->block_size)));
        resize_agree(lu->index, blocks, agree_next, g);
        return;
    }
    grown_end(g, error, why);
}

void on_replica_resize(struct control_call *call, json_t *arguments)
{
    struct group *group = wanted_replicated_group(call, arguments);
    struct growing *g;

    if (!group)
        return;
    if (cluster_state(halund.cluster)->groups[group->index].owner != halund.self) {
        control_fail(call, CONTROL_REFUSED, "this node is not the owner of group \"%s\"", config_of(group)->name);
        return;
    }
    g = calloc(1, sizeof *g);
    if (!g) {
        control_fail(call, CONTROL_FAILED, "out of memory");
        return;
    }
    g->call = call;
    g->group = group;
    g->changed = json_object();
    replica_resize(group->replica, json_is_true(json_object_get(arguments, "assume_clean")), agree_next, g);
}

void on_lu_resize(struct control_call *call, json_t *arguments)
{
    const char *name = json_string_value(json_object_get(arguments, "lu")), *why;
    const json_t *size = json_object_get(arguments, "size");
    struct lu *lu = lu_named(name);
    uint8_t digest[32] = {0};
    uint64_t bytes;

    if (!lu) {
        control_fail(call, CONTROL_USAGE, "no lu is named \"%s\"", name);
        return;
    }
    if (asked.call || !halund.view.serving) {
        control_fail(call, CONTROL_AGAIN, asked.call ? "another resize is under way" : "the cluster does not serve");
        return;
    }
    bytes = !size ? store_room(lu->store) : json_integer_value(size) > 0 ? (uint64_t)json_integer_value(size) : 0;
    why = obstacle(lu, bytes, json_is_true(json_object_get(arguments, "force")));
    if (why) {
        control_fail(call, CONTROL_REFUSED, "lu \"%s\": %s", name, why);
        return;
    }
    asked.call = call;
    asked.lu = lu->index;
    asked.blocks = bytes / lu->block_size;
    asked.was = atomic_load(&lu->blocks);
    put_be32(digest + ASKED_LU, asked.lu);
    put_be64(digest + ASKED_BLOCKS, asked.blocks);
    consult_ask(&opinions, digest, consulted, NULL);
}
