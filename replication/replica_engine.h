/* Between the contract (replica.h) and its engines: one row per engine, and what every replica begins with. An
 * engine embeds struct replica as its first member.
 *
 * Threads: start() and order() are called on the control thread; an order is answered there, once, later or at
 * once. `status` and `volumes` are copies for the control thread, under `lock`, written by the engine. */
#ifndef HALUN_REPLICATION_REPLICA_ENGINE_H
#define HALUN_REPLICATION_REPLICA_ENGINE_H

#include <pthread.h>

#include "replication/replica.h"

/* What the functions of replica.h order; they say what each means. */
enum replica_order {
    ORDER_PROMOTE, /* flag: force */
    ORDER_DEMOTE,
    ORDER_NEW_CURRENT,
    ORDER_FORCE_CURRENT,
    ORDER_PEER_OUTDATED, /* flag: agreed */
    ORDER_SELF_OUTDATED, /* flag: agreed */
    ORDER_OUTDATE,
    ORDER_CLOSE, /* flag: free() comes later */
    ORDER_DISCONNECT,
    ORDER_CONNECT, /* flag: discard my data */
    ORDER_PAUSE,   /* flag: pause, else resume */
    ORDER_VERIFY,
    ORDER_INVALIDATE,
    ORDER_INVALIDATE_PEER,
    ORDER_NEW_GENERATION,
    ORDER_STANDING, /* the built-in engine's, of standing() */
    ORDER_RESIZE, /* flag: the new part is known to be equal on both */
    ORDER_CONFIRM_EQUAL, /* of engines with standing() */
    ORDER_FLUSH,         /* the same */
    ORDER_REINSTATE,     /* the same */
    ORDER_GIVE_UP,       /* the same */
};

typedef void replica_done(void *context, int error, const char *why);

struct replica_engine {
    const char *name; /* as the option `replication` spells it */
    /* An owner that Pacemaker has demoted may execute until its successor asks for the group. False: the engine's
     * role has to be given up when Pacemaker says so. */
    bool hands_over;
    /* -ENOMEDIUM: a disk is gone or fails; the replica is to be Diskless. On any thread where there is start(). */
    int (*open)(const struct replica_options *options, struct replica **replica, char *why);
    /* Once it is where its callbacks find it. NULL: nothing has waited for that. */
    void (*start)(struct replica *replica);
    struct store *(*store)(struct replica *replica, unsigned volume);
    /* Files beside the configuration; NULL: the engine has none. */
    int (*reload)(struct replica *replica, bool apply, char *why);
    /* Of what has been closed; blocks. On any thread where there is start(). */
    void (*free)(struct replica *replica);
    /* `done` NULL: nobody waits for it. After ORDER_CLOSE the replica is freed, or is to be. */
    void (*order)(struct replica *replica, enum replica_order order, bool flag, replica_done *done,
                  void *context);
    /* NULL: the engine goes by what its copies say. */
    void (*standing)(struct replica *replica, enum replica_standing standing);
};
extern const struct replica_engine replica_builtin; /* builtin.c */
extern const struct replica_engine replica_drbd;    /* drbd_engine.c */

struct replica {
    const struct replica_engine *engine;
    struct replica_options options;
    struct mailbox *control;
    pthread_mutex_t lock;
    struct replica_status status; /* under lock, as are these */
    struct replica_volume_status *volumes;
    unsigned volume_count;
};
/* What every replica begins with; the rest is zero. Its engine destroys the lock. */
void replica_begin(struct replica *replica, const struct replica_engine *engine, const struct replica_options *options);

#endif
