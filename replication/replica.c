/* The contract of replica.h: what is common to the engines. The rest is a row of engines[]. */
#include "replication/replica.h"

#include <errno.h>
#include <string.h>

#include "replication/diskless.h"
#include "replication/replica_engine.h"

static const struct replica_engine *const engines[] = {
    [REPLICATION_BUILTIN] = &replica_builtin,
    [REPLICATION_DRBD] = &replica_drbd,
};

static const struct replica_engine *engine_of(enum config_replication replication)
{
    return replication < sizeof engines / sizeof *engines ? engines[replication] : NULL;
}

void replica_begin(struct replica *replica, const struct replica_engine *engine, const struct replica_options *options)
{
    pthread_mutex_init(&replica->lock, NULL);
    replica->engine = engine;
    replica->options = *options;
    replica->control = options->control;
}

bool replica_hands_over(enum config_replication replication)
{
    const struct replica_engine *engine = engine_of(replication);

    return !engine || engine->hands_over;
}

int replica_open(const struct replica_options *options, struct replica **replica, char *why)
{
    int rc = engine_of(options->group->replication)->open(options, replica, why);

    if (rc == -ENOMEDIUM)
        rc = replica_diskless_open(options, replica, why);
    if (!rc)
        replica_start(*replica);
    return rc;
}

int replica_attach(const struct replica *stand_in, struct replica **attached, char *why)
{
    struct replica_options options = stand_in->options;

    options.kept = false;
    return engine_of(options.group->replication)->open(&options, attached, why);
}

void replica_start(struct replica *replica)
{
    if (replica->engine->start)
        replica->engine->start(replica);
}

struct store *replica_store(struct replica *replica, unsigned volume)
{
    return replica->engine->store(replica, volume);
}

int replica_reload(struct replica *replica, bool apply, char *why)
{
    return replica->engine->reload ? replica->engine->reload(replica, apply, why) : 0;
}

void replica_get_status(const struct replica *replica, struct replica_status *status)
{
    struct replica *unlocked = (struct replica *)replica;

    pthread_mutex_lock(&unlocked->lock);
    *status = replica->status;
    pthread_mutex_unlock(&unlocked->lock);
}

unsigned replica_get_volumes(const struct replica *replica, struct replica_volume_status *volumes,
                             unsigned room)
{
    struct replica *unlocked = (struct replica *)replica;
    unsigned count;

    pthread_mutex_lock(&unlocked->lock);
    count = replica->volume_count;
    if (room)
        memcpy(volumes, replica->volumes, (count < room ? count : room) * sizeof *volumes);
    pthread_mutex_unlock(&unlocked->lock);
    return count;
}

/* --- orders --- */

static void order(struct replica *replica, enum replica_order kind, bool flag, replica_done *done,
                  void *context)
{
    replica->engine->order(replica, kind, flag, done, context);
}

void replica_promote(struct replica *replica, bool force,
                     void (*done)(void *context, int error, const char *why), void *context)
{
    order(replica, ORDER_PROMOTE, force, done, context);
}

void replica_demote(struct replica *replica,
                    void (*done)(void *context, int error, const char *why), void *context)
{
    order(replica, ORDER_DEMOTE, false, done, context);
}

void replica_new_current(struct replica *replica,
                         void (*done)(void *context, int error, const char *why), void *context)
{
    order(replica, ORDER_NEW_CURRENT, false, done, context);
}

void replica_force_current(struct replica *replica, void (*done)(void *context, int error, const char *why),
                           void *context)
{
    order(replica, ORDER_FORCE_CURRENT, false, done, context);
}

void replica_peer_outdated(struct replica *replica, bool agreed)
{
    order(replica, ORDER_PEER_OUTDATED, agreed, NULL, NULL);
}

void replica_self_outdated(struct replica *replica, bool agreed)
{
    order(replica, ORDER_SELF_OUTDATED, agreed, NULL, NULL);
}

void replica_set_standing(struct replica *replica, enum replica_standing standing)
{
    if (replica->engine->standing)
        replica->engine->standing(replica, standing);
}

void replica_confirm_equal(struct replica *replica,
                           void (*done)(void *context, int error, const char *why), void *context)
{
    if (replica->engine->standing)
        order(replica, ORDER_CONFIRM_EQUAL, false, done, context);
    else
        done(context, 0, "");
}

void replica_outdate(struct replica *replica,
                     void (*done)(void *context, int error, const char *why), void *context)
{
    order(replica, ORDER_OUTDATE, false, done, context);
}

void replica_reinstate(struct replica *replica, void (*done)(void *context, int error, const char *why),
                       void *context)
{
    if (replica->engine->standing)
        order(replica, ORDER_REINSTATE, false, done, context);
    else
        done(context, 0, "");
}

void replica_flush(struct replica *replica, void (*done)(void *context, int error, const char *why), void *context)
{
    if (replica->engine->standing)
        order(replica, ORDER_FLUSH, false, done, context);
    else
        done(context, 0, "");
}

void replica_give_up(struct replica *replica)
{
    if (replica->engine->standing)
        order(replica, ORDER_GIVE_UP, false, NULL, NULL);
}

void replica_disconnect(struct replica *replica)
{
    order(replica, ORDER_DISCONNECT, false, NULL, NULL);
}

void replica_connect(struct replica *replica, bool discard_my_data)
{
    order(replica, ORDER_CONNECT, discard_my_data, NULL, NULL);
}

void replica_verify(struct replica *replica,
                    void (*done)(void *context, int error, const char *why), void *context)
{
    order(replica, ORDER_VERIFY, false, done, context);
}

void replica_invalidate(struct replica *replica,
                        void (*done)(void *context, int error, const char *why), void *context)
{
    order(replica, ORDER_INVALIDATE, false, done, context);
}

void replica_invalidate_peer(struct replica *replica,
                             void (*done)(void *context, int error, const char *why), void *context)
{
    order(replica, ORDER_INVALIDATE_PEER, false, done, context);
}

void replica_new_generation(struct replica *replica,
                            void (*done)(void *context, int error, const char *why), void *context)
{
    order(replica, ORDER_NEW_GENERATION, false, done, context);
}

void replica_resize(struct replica *replica, bool assume_clean,
                    void (*done)(void *context, int error, const char *why), void *context)
{
    order(replica, ORDER_RESIZE, assume_clean, done, context);
}

void replica_pause(struct replica *replica, bool pause)
{
    order(replica, ORDER_PAUSE, pause, NULL, NULL);
}

void replica_close(struct replica *replica, void (*done)(void *context, int error, const char *why),
                   void *context)
{
    order(replica, ORDER_CLOSE, false, done, context);
}

void replica_detach(struct replica *replica, void (*done)(void *context, int error, const char *why),
                    void *context)
{
    order(replica, ORDER_CLOSE, true, done, context);
}

void replica_free(struct replica *replica)
{
    replica->engine->free(replica);
}
