#include "target/daemon/attach.h"

#include <pthread.h>
#include <qb/qblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/container.h"
#include "target/base/threads.h"
#include "target/daemon/group.h"
#include "target/daemon/replica_control.h"
#include "target/daemon/wanted_group.h"

struct attaching {
    struct group *group;
    struct control_call *call;
    const char *waits; /* for what */
    bool touches;      /* lanes, units or replicas, or is about to */
    struct cluster_request request;
    struct post post; /* from the thread */
    struct replica *failed, *attached;
    int error;
    char why[256];
};

static const char being_stopped[] = "the daemon is stopping";
static unsigned under_way; /* that touch something */
static void (*settled)(void); /* who waits for the end of all */

/* `code` 0: done. The request is gone afterwards. */
static void end(struct attaching *a, int code, const char *why)
{
    bool touched = a->touches;
    void (*done)(void) = settled;

    if (code)
        control_fail(a->call, code, "%s", why);
    else
        control_reply(a->call, json_object());
    a->group->attaching = NULL;
    free(a);
    if (!touched || --under_way || !done)
        return;
    settled = NULL;
    done();
}

void attach_settle(void (*done)(void))
{
    if (under_way)
        settled = done;
    else
        done();
}

/* ---- may it be? ---- */

static bool in_use(const struct group *group)
{
    return shared_of(group)->owner == halund.self || group->primary;
}

/* What was asked of the cluster for the replica that is there, or of that replica, may rely on it. */
static bool unsettled(const struct group *group)
{
    return group->busy || group->outdate_wanted || group->outdate_busy || group->reinstate.answer;
}

/* Why not, and the code of that; 0: it may be. */
static int obstacle(const struct group *group, char why[256])
{
    const char *name = config_of(group)->name;
    struct replica_status status;

    replica_get_status(group->replica, &status);
    if (status.disk >= DISK_INCONSISTENT) {
        snprintf(why, 256, "the disk of group \"%s\" is in use here: its copy is %s", name,
                 replica_disk_name(status.disk));
        return CONTROL_REFUSED;
    }
    if (in_use(group)) {
        snprintf(why, 256, "this node is the owner of group \"%s\", or Primary: it has to be demoted first", name);
        return CONTROL_REFUSED;
    }
    if (unsettled(group)) {
        snprintf(why, 256, "the group is busy with another request");
        return CONTROL_AGAIN;
    }
    return 0;
}

/* Should the other node be lost now, this one's copy would be the good one (shared_members()). */
static bool both_current(const struct group *group)
{
    uint32_t both = 1u << halund.self | 1u << other_node(group);

    return other_node(group) && (shared_of(group)->current & both) == both;
}

/* ---- the steps, the last one first ---- */

static bool stopping(struct attaching *a)
{
    if (halund.stopping)
        end(a, CONTROL_REFUSED, being_stopped);
    return halund.stopping;
}

static void put_in_place(struct group *group, struct replica *replica)
{
    units_stand_on(group, replica);
    replica_start(replica);
    group_replaced(group);
}

static void opened(struct post *post)
{
    struct attaching *a = container_of(post, struct attaching, post);
    struct group *group = a->group;
    struct replica *stand_in = group->replica;

    if (a->error) {
        qb_log(LOG_ERR, "group %s: its disk cannot be attached: %s", config_of(group)->name, a->why);
        replica_still_diskless(stand_in, a->why);
        replica_events_changed();
        end(a, CONTROL_FAILED, a->why);
        return;
    }
    qb_log(LOG_NOTICE, "group %s: its disk is attached", config_of(group)->name);
    put_in_place(group, a->attached);
    replica_close(stand_in, NULL, NULL);
    group_step(group); /* a promotion may wait for it */
    end(a, 0, "");
}

static void *open_disk(void *argument)
{
    struct attaching *a = argument;

    replica_free(a->failed);
    a->error = replica_attach(a->group->replica, &a->attached, a->why);
    control_post(&a->post);
    return NULL;
}

/* The control thread may not wait for a disk, nor for the end of this thread. */
static int begin_thread(struct attaching *a)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int error;

    a->post.run = opened;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    error = pthread_create(&thread, &attributes, open_disk, a);
    pthread_attr_destroy(&attributes);
    return error;
}

static void closed(void *context, int error, const char *why)
{
    struct attaching *a = context;

    if (error)
        qb_log(LOG_ERR, "group %s: the replica without its disk did not detach cleanly: %s", config_of(a->group)->name,
               why);
    a->waits = "the disk";
    error = halund.stopping ? 0 : begin_thread(a);
    if (!halund.stopping && !error)
        return;
    replica_free(a->failed);
    if (!stopping(a))
        end(a, CONTROL_FAILED, strerror(error));
}

static void drained(void *context)
{
    struct attaching *a = context;
    struct replica *stand_in;
    int code = obstacle(a->group, a->why);

    if (stopping(a))
        return;
    if (code) {
        end(a, code, a->why);
        return;
    }
    a->failed = a->group->replica;
    stand_in = replica_stand_in(a->failed);
    if (!stand_in) {
        end(a, CONTROL_FAILED, "out of memory");
        return;
    }
    put_in_place(a->group, stand_in);
    a->waits = "what is under way on the disk that failed";
    replica_detach(a->failed, closed, a);
}

static void drain(struct attaching *a)
{
    a->touches = true;
    under_way++;
    a->waits = "commands of the group";
    decisions_drain(a->group, drained, a);
}

static void agreed(struct cluster_request *request, enum scsi_reason reason, uint8_t field)
{
    struct attaching *a = container_of(request, struct attaching, request);

    if (stopping(a))
        return;
    if (both_current(a->group))
        end(a, CONTROL_AGAIN, "the cluster could not agree that this copy is outdated");
    else
        drain(a);
}

static void outdate(struct attaching *a)
{
    a->waits = "the cluster to agree that this copy is outdated";
    a->request.op.kind = SHARED_OP_OUTDATE;
    a->request.op.node = halund.self;
    a->request.op.group = a->group->index;
    a->request.op.lu = SHARED_NO_LU;
    a->request.answer = agreed;
    cluster_submit(halund.cluster, &a->request);
}

void on_replica_attach(struct control_call *call, json_t *arguments)
{
    struct group *group;
    struct attaching *a;
    char why[256];
    int code;

    if (halund.stopping) {
        control_fail(call, CONTROL_REFUSED, "%s", being_stopped);
        return;
    }
    group = wanted_replicated_group(call, arguments);
    if (!group)
        return;
    if (config_of(group)->replication != REPLICATION_BUILTIN) {
        control_fail(call, CONTROL_REFUSED, "the disk of group \"%s\" is DRBD's: drbdadm attach",
                     config_of(group)->name);
        return;
    }
    if (group->attaching) {
        control_fail(call, CONTROL_AGAIN, "it is being attached already, and waits for %s", group->attaching->waits);
        return;
    }
    code = obstacle(group, why);
    if (code) {
        control_fail(call, code, "%s", why);
        return;
    }
    a = calloc(1, sizeof *a);
    if (!a) {
        control_fail(call, CONTROL_FAILED, "out of memory");
        return;
    }
    a->group = group;
    a->call = call;
    group->attaching = a;
    if (both_current(group))
        outdate(a);
    else
        drain(a);
}
