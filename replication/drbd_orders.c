/* Orders to the kernel's DRBD: one at a time, each a few steps, by drbdadm where something has to be done. What is true
 * is taken from events2, not from exit codes. A step never waits: it is taken again when something has changed. */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <qb/qblog.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "replication/drbd_replica.h"
#include "target/base/container.h"

enum {
    TICK_MS = 250, /* what no event tells: that a time is over */
    SEEN_MS = 5000,     /* until events2 tells what a command has done */
    DEMOTE_MS = 15000,  /* somebody else may have the device open for a moment (udev) */
    DRAIN_MS = 15000,   /* DRBD may hold I/O back */
    PAIR_MS = 15000,    /* a new generation on both nodes */
    RETRY_MS = 500,
    GROWN_MS = 1000,    /* until the next volume of the same order grows */
};

/* drbdsetup's exit status for "is so already" (outdate). */
enum { EXIT_LOWER_ALREADY = 5 };

/* What a step says. */
enum step {
    STEP_WAIT, /* for a command, the devices, events2 or a time */
    STEP_NEXT, /* the next phase may be tried at once */
    STEP_OVER, /* error and why are set */
};

/* ---- ends ---- */

__attribute__((format(printf, 3, 4))) static enum step finish(struct drbd_order *o, int error,
                                                              const char *format, ...)
{
    va_list args;

    va_start(args, format);
    o->error = error;
    vsnprintf(o->why, sizeof o->why, format, args);
    va_end(args);
    return STEP_OVER;
}

static enum step done(struct drbd_order *o)
{
    return finish(o, 0, "%s", "");
}

static enum step next_phase(struct drbd_order *o, unsigned phase, unsigned ms)
{
    o->phase = phase;
    o->deadline_ns = monotonic_ns() + ms * 1000000ull;
    return STEP_NEXT;
}

static bool over(uint64_t deadline_ns)
{
    return monotonic_ns() >= deadline_ns;
}

/* ---- commands ---- */

static void on_command_end(void *context, int status, const char *said)
{
    struct drbd_replica *d = context;

    d->command = NULL;
    d->exit_status = status;
    snprintf(d->said, sizeof d->said, "%s", said);
    drbd_orders_step(d);
}

/* Begins `drbdadm WORD [OPTION] RESOURCE[/VOLUME]`; the order goes on in `phase` when it has ended. */
static enum step command(struct drbd_replica *d, struct drbd_order *o, unsigned phase, const char *word,
                         const char *option, int volume)
{
    char target[DRBD_NAME + 16], why[PROCESS_SAID];
    const char *arguments[5] = {"drbdadm", word};
    unsigned n = 2;

    if (volume < 0)
        snprintf(target, sizeof target, "%s", d->resource);
    else
        snprintf(target, sizeof target, "%s/%d", d->resource, volume);
    if (option)
        arguments[n++] = option;
    arguments[n] = target;
    if (process_start(
            &(struct process_options){
                .loop = d->loop,
                .arguments = arguments,
                .timeout_ms = d->command_ms,
                .ended = on_command_end,
                .context = d,
            },
            &d->command, why))
        return finish(o, -EIO, "drbd-utils: %.130s", why);
    qb_log(LOG_INFO, "group %s: drbdadm %s %s%s%s", d->public.options.group->name, word,
           option ? option : "", option ? " " : "", target);
    next_phase(o, phase, SEEN_MS);
    return STEP_WAIT;
}

/* The command said no. */
static enum step failed(struct drbd_replica *d, struct drbd_order *o, int error, const char *word)
{
    if (d->exit_status == -ETIMEDOUT)
        return finish(o, -ETIMEDOUT, "drbdadm %s did not end in %u ms", word, d->command_ms);
    return finish(o, error, "drbdadm %s: %s (status %d)", word, *d->said ? d->said : "failed",
                  d->exit_status);
}

static bool need_view(const struct drbd_replica *d, struct drbd_order *o)
{
    if (!d->known)
        finish(o, -EAGAIN, "%s", d->trouble[0] ? d->trouble : "drbdsetup events2 to tell the state");
    else if (!d->view.up)
        finish(o, -EAGAIN, "DRBD's resource %.64s to be up", d->resource);
    else
        return false;
    return true;
}

/* ---- devices ---- */

/* Opening a device may take its time: not on the control thread. */
struct drbd_opening {
    struct post post;
    struct drbd_replica *d;
    unsigned count;
    int error;
    char why[256];
    struct store *opened[DRBD_VOLUMES];
    unsigned minors[DRBD_VOLUMES];
    uint64_t sizes[DRBD_VOLUMES]; /* bytes that are in use */
};

static int open_one(struct drbd_opening *opening, unsigned volume)
{
    const struct config_lu *lu = opening->d->lus[volume];
    const struct store_options options = {
        .path = lu->path,
        .size = opening->sizes[volume],
        .block_size = lu->block_size,
        .direct = lu->direct,
        .read_only = lu->read_only,
    };
    struct stat st;

    if (stat(lu->path, &st)) { /* the file store would make a file of it */
        snprintf(opening->why, sizeof opening->why, "%s: %s", lu->path, strerror(errno));
        return -errno;
    }
    if (S_ISBLK(st.st_mode) && minor(st.st_rdev) != opening->minors[volume]) {
        snprintf(opening->why, sizeof opening->why, "%s has minor %u: expected %u, as DRBD's volume %u has",
                 lu->path, minor(st.st_rdev), opening->minors[volume], volume);
        return -EINVAL;
    }
    return file_store_open(&options, &opening->opened[volume], opening->why);
}

static void at_control_opened(struct post *post)
{
    struct drbd_opening *opening = container_of(post, struct drbd_opening, post);
    struct drbd_replica *d = opening->d;

    d->opening = NULL;
    d->opened = opening;
    drbd_orders_step(d);
}

static void *open_all(void *argument)
{
    struct drbd_opening *opening = argument;

    for (unsigned i = 0; i < opening->count && !opening->error; i++)
        if (opening->d->lus[i])
            opening->error = open_one(opening, i);
    opening->post.run = at_control_opened;
    mailbox_post(opening->d->public.control, &opening->post);
    return NULL;
}

/* Goes on in `phase` with d->opened. */
static enum step open_devices(struct drbd_replica *d, struct drbd_order *o, unsigned phase)
{
    struct drbd_opening *opening = calloc(1, sizeof *opening);
    pthread_t thread;
    int error;

    if (!opening)
        return finish(o, -ENOMEM, "out of memory");
    opening->d = d;
    opening->count = d->volume_count;
    for (unsigned i = 0; i < d->volume_count; i++) {
        const struct drbd_device *device = drbd_view_device(&d->view, i);

        if (d->lus[i] && !device) {
            opening->error = -ENODEV;
            snprintf(opening->why, sizeof opening->why, "DRBD's resource %.64s has no volume %u", d->resource, i);
        }
        opening->minors[i] = device ? device->minor : 0;
        opening->sizes[i] = d->stores[i] ? drbd_store_of(d->stores[i])->size : 0;
    }
    next_phase(o, phase, 0);
    if (opening->error) { /* once the thread runs it is the thread's */
        d->opened = opening;
        return STEP_NEXT;
    }
    error = pthread_create(&thread, NULL, open_all, opening);
    if (error) {
        free(opening);
        return finish(o, -error, "a thread for opening the devices: %s", strerror(error));
    }
    pthread_detach(thread);
    d->opening = opening;
    return STEP_WAIT;
}

static void discard_opened(struct drbd_replica *d)
{
    for (unsigned i = 0; i < d->opened->count; i++)
        store_close(d->opened->opened[i]);
    free(d->opened);
    d->opened = NULL;
}

static void store_changed(void *context)
{
    struct drbd_replica *d = context;

    if (!--d->changing)
        drbd_orders_step(d);
}

/* To all reactors; d->changing tells when they have it. */
static void hand_out(struct drbd_replica *d)
{
    for (unsigned i = 0; i < d->opened->count; i++)
        if (d->opened->opened[i]) {
            d->changing++;
            drbd_store_open(d->stores[i], d->opened->opened[i], store_changed, d);
            d->opened->opened[i] = NULL;
        }
    discard_opened(d);
}

static void take_back(struct drbd_replica *d)
{
    for (unsigned i = 0; i < d->volume_count; i++)
        if (d->stores[i] && drbd_store_is_open(d->stores[i])) {
            d->changing++;
            drbd_store_close(d->stores[i], store_changed, d);
        }
}

bool drbd_orders_open(const struct drbd_replica *d)
{
    for (unsigned i = 0; i < d->volume_count; i++)
        if (d->stores[i] && drbd_store_is_open(d->stores[i]))
            return true;
    return false;
}

/* ---- roles ---- */

static bool local_is_good(const struct drbd_replica *d)
{
    struct replica_status s = {.why = ""};

    drbd_view_status(&d->view, drbd_peer_of(d), &s);
    return s.disk == DISK_UP_TO_DATE;
}

enum { P_BEGIN, P_COMMAND, P_SEEN, P_OPENED, P_OPEN, P_BACK, P_BACK_SEEN };

static enum step promote_begin(struct drbd_replica *d, struct drbd_order *o)
{
    if (need_view(d, o))
        return STEP_OVER;
    if (d->view.role == DRBD_PRIMARY)
        return next_phase(o, P_SEEN, SEEN_MS);
    if (!d->own_role && o->flag && local_is_good(d))
        return done(o); /* a first start: this copy is the good one already */
    if (!d->own_role)
        return finish(o, -EAGAIN, "Pacemaker to make DRBD's resource %.64s Primary (ocf:linbit:drbd)",
                      d->resource);
    o->promoted_here = true;
    return command(d, o, P_COMMAND, "primary", o->flag && !local_is_good(d) ? "--force" : NULL, -1);
}

static enum step promote_seen(struct drbd_replica *d, struct drbd_order *o)
{
    bool suspended = d->view.suspended[0] && strcmp(d->view.suspended, "no");

    if (need_view(d, o))
        return STEP_OVER;
    if (drbd_orders_open(d)) /* it is so already */
        return done(o);
    if (d->view.role == DRBD_PRIMARY && !suspended)
        return open_devices(d, o, P_OPENED);
    if (!over(o->deadline_ns))
        return STEP_WAIT;
    if (suspended)
        return finish(o, -EAGAIN, "DRBD to go on: it holds I/O back (%.64s)", d->view.suspended);
    return finish(o, -EAGAIN, "events2 to tell that DRBD's resource %.64s is Primary", d->resource);
}

/* The devices could not be opened: who made it Primary makes it Secondary. */
static enum step promote_opened(struct drbd_replica *d, struct drbd_order *o)
{
    char why[sizeof o->why];
    int error = d->opened->error;

    if (!error) {
        hand_out(d);
        return next_phase(o, P_OPEN, DRAIN_MS);
    }
    snprintf(why, sizeof why, "%s", d->opened->why);
    discard_opened(d);
    if (!o->promoted_here || command(d, o, P_BACK, "secondary", NULL, -1) == STEP_OVER)
        return finish(o, error, "%s", why);
    finish(o, error, "%s", why); /* told in P_BACK */
    return STEP_WAIT;
}

static enum step promote(struct drbd_replica *d, struct drbd_order *o)
{
    switch (o->phase) {
    case P_BEGIN:
        return promote_begin(d, o);
    case P_COMMAND:
        return d->exit_status ? failed(d, o, -EAGAIN, "primary") : next_phase(o, P_SEEN, SEEN_MS);
    case P_SEEN:
        return promote_seen(d, o);
    case P_OPENED:
        return promote_opened(d, o);
    case P_OPEN:
        return done(o);
    case P_BACK:
        return next_phase(o, P_BACK_SEEN, SEEN_MS);
    case P_BACK_SEEN: /* the next order must not take it for Primary still */
        return d->known && d->view.role == DRBD_PRIMARY && !over(o->deadline_ns) ? STEP_WAIT : STEP_OVER;
    }
    return STEP_OVER;
}

enum { D_BEGIN, D_DRAINED, D_COMMAND, D_AGAIN, D_SEEN };

/* Nothing to do for the role: another one has it in hand, or it is not known, or Secondary. */
static bool role_is_done(const struct drbd_replica *d)
{
    return !d->own_role || !d->known || !d->view.up || d->view.role != DRBD_PRIMARY;
}

static enum step demote(struct drbd_replica *d, struct drbd_order *o)
{
    switch (o->phase) {
    case D_BEGIN:
        take_back(d);
        return next_phase(o, D_DRAINED, DRAIN_MS);
    case D_DRAINED:
        o->until_ns = monotonic_ns() + DEMOTE_MS * 1000000ull;
        return role_is_done(d) ? done(o) : command(d, o, D_COMMAND, "secondary", NULL, -1);
    case D_COMMAND:
        if (!d->exit_status)
            return next_phase(o, D_SEEN, SEEN_MS);
        if (over(o->until_ns) || d->exit_status == -ETIMEDOUT)
            return failed(d, o, -EBUSY, "secondary");
        return next_phase(o, D_AGAIN, RETRY_MS);
    case D_AGAIN:
        if (role_is_done(d))
            return done(o);
        return over(o->deadline_ns) ? command(d, o, D_COMMAND, "secondary", NULL, -1) : STEP_WAIT;
    case D_SEEN:
        if (role_is_done(d))
            return done(o);
        return over(o->deadline_ns) ? finish(o, -EBUSY, "drbdadm secondary has ended, but DRBD is still Primary")
                                    : STEP_WAIT;
    }
    return STEP_OVER;
}

/* ---- data generations ---- */

enum { G_BEGIN, G_COMMAND, G_WAIT };

/* `drbdadm new-current-uuid [OPTION]` for one volume after the other. */
static enum step generation(struct drbd_replica *d, struct drbd_order *o, const char *option)
{
    if (o->phase == G_COMMAND) {
        if (d->exit_status)
            return failed(d, o, -EBUSY, "new-current-uuid");
        o->next++;
    }
    if (o->next < d->volume_count)
        return command(d, o, G_COMMAND, "new-current-uuid", option, (int)o->next);
    return next_phase(o, G_WAIT, PAIR_MS);
}

static enum step new_current(struct drbd_replica *d, struct drbd_order *o)
{
    const struct drbd_peer *peer = drbd_peer_of(d);

    if (o->phase == G_BEGIN) {
        if (need_view(d, o))
            return STEP_OVER;
        if (drbd_view_equal(&d->view, peer))
            return done(o); /* a pair that is in use as it is */
        if (!peer || peer->connection != CONN_CONNECTED)
            return finish(o, -EAGAIN, "DRBD's connection to the peer");
    }
    if (o->phase != G_WAIT)
        return generation(d, o, "--clear-bitmap");
    if (drbd_view_equal(&d->view, peer))
        return done(o);
    return over(o->deadline_ns) ? finish(o, -EBUSY, "the copies did not become UpToDate") : STEP_WAIT;
}

/* Which data are good was said to DRBD itself, by whoever could look at them. */
static enum step force_current(struct drbd_replica *d, struct drbd_order *o)
{
    struct replica_status status;

    replica_get_status(&d->public, &status);
    if (status.disk == DISK_UP_TO_DATE)
        return done(o);
    return finish(o, -EPERM, "make the copy UpToDate first: drbdadm primary --force %s, then drbdadm secondary %s",
                  d->resource, d->resource);
}

static enum step new_generation(struct drbd_replica *d, struct drbd_order *o)
{
    if (o->phase == G_BEGIN && need_view(d, o))
        return STEP_OVER;
    return o->phase == G_WAIT ? done(o) : generation(d, o, NULL);
}

/* ---- orders of one command ---- */

static enum step one_command(struct drbd_replica *d, struct drbd_order *o, const char *word, const char *option)
{
    if (o->phase == 0)
        return command(d, o, 1, word, option, -1);
    return d->exit_status ? failed(d, o, -EBUSY, word) : done(o);
}

/* Agreed by the cluster, and in the journals: that alone keeps this node from becoming the owner. That DRBD knows it
 * too is for who would promote it by hand. While it is connected DRBD itself sees to it that the copy is resynced; but
 * the owner may have noticed a lost connection before this node did: then DRBD is told when events2 tells of it. */
static enum step outdate(struct drbd_replica *d, struct drbd_order *o)
{
    const struct drbd_peer *peer = drbd_peer_of(d);

    if (o->phase == 0) {
        d->owes_outdate = peer && peer->connection == CONN_CONNECTED;
        if (d->owes_outdate || !d->known || !d->view.up || d->view.role == DRBD_PRIMARY)
            return done(o);
        return command(d, o, 1, "outdate", NULL, -1) == STEP_OVER ? done(o) : STEP_WAIT;
    }
    if (d->exit_status && d->exit_status != EXIT_LOWER_ALREADY)
        qb_log(LOG_WARNING, "group %s: drbdadm outdate: %s (status %d); only the cluster's record says it",
               d->public.options.group->name, *d->said ? d->said : "failed", d->exit_status);
    return done(o);
}

static enum step disconnect(struct drbd_replica *d, struct drbd_order *o)
{
    return one_command(d, o, "disconnect", NULL);
}

static enum step connect_again(struct drbd_replica *d, struct drbd_order *o)
{
    return one_command(d, o, "connect", o->flag ? "--discard-my-data" : NULL);
}

static enum step pause_sync(struct drbd_replica *d, struct drbd_order *o)
{
    return one_command(d, o, o->flag ? "pause-sync" : "resume-sync", NULL);
}

static enum step verify(struct drbd_replica *d, struct drbd_order *o)
{
    return one_command(d, o, "verify", NULL);
}

static enum step invalidate(struct drbd_replica *d, struct drbd_order *o)
{
    return one_command(d, o, "invalidate", NULL);
}

static enum step invalidate_peer(struct drbd_replica *d, struct drbd_order *o)
{
    return one_command(d, o, "invalidate-remote", NULL);
}

enum { R_BEGIN, R_COMMAND, R_GROWING, R_GROWN };

static bool grow_stores(struct drbd_replica *d)
{
    bool grown = false;

    for (unsigned i = 0; i < d->volume_count; i++)
        if (d->stores[i] && drbd_store_is_open(d->stores[i]))
            grown |= drbd_store_grow(d->stores[i]);
    return grown;
}

/* The devices below DRBD's were made larger before, on both nodes. DRBD asks its peer and grows a moment after its
 * command has ended, one volume after the other; what is new it resyncs by itself. */
static enum step resize(struct drbd_replica *d, struct drbd_order *o)
{
    switch (o->phase) {
    case R_BEGIN:
        if (need_view(d, o))
            return STEP_OVER;
        if (!drbd_orders_open(d))
            return finish(o, -EBUSY, "only on the owner, where DRBD's devices are open");
        if (!drbd_view_equal(&d->view, drbd_peer_of(d)))
            return finish(o, -EAGAIN, "DRBD's copies to be connected and UpToDate");
        return command(d, o, R_COMMAND, "resize", o->flag ? "--assume-clean" : NULL, -1);
    case R_COMMAND:
        return d->exit_status ? failed(d, o, -ENOSPC, "resize") : next_phase(o, R_GROWING, SEEN_MS);
    case R_GROWING:
        if (grow_stores(d))
            return next_phase(o, R_GROWN, GROWN_MS);
        return over(o->deadline_ns)
                   ? finish(o, -ENOSPC, "DRBD's devices have not grown: expected larger ones below them on both nodes")
                   : STEP_WAIT;
    case R_GROWN:
        if (grow_stores(d))
            return next_phase(o, R_GROWN, GROWN_MS);
        return over(o->deadline_ns) ? done(o) : STEP_WAIT;
    }
    return STEP_OVER;
}

/* As demote; DRBD itself stays up. What cannot be given up now is left to whoever comes next. */
static enum step close_down(struct drbd_replica *d, struct drbd_order *o)
{
    d->closing = true;
    return demote(d, o);
}

/* ---- carrying them out ---- */

static enum step (*const steps[])(struct drbd_replica *, struct drbd_order *) = {
    [ORDER_PROMOTE] = promote,
    [ORDER_DEMOTE] = demote,
    [ORDER_NEW_CURRENT] = new_current,
    [ORDER_FORCE_CURRENT] = force_current,
    [ORDER_OUTDATE] = outdate,
    [ORDER_CLOSE] = close_down,
    [ORDER_DISCONNECT] = disconnect,
    [ORDER_CONNECT] = connect_again,
    [ORDER_PAUSE] = pause_sync,
    [ORDER_VERIFY] = verify,
    [ORDER_INVALIDATE] = invalidate,
    [ORDER_INVALIDATE_PEER] = invalidate_peer,
    [ORDER_NEW_GENERATION] = new_generation,
    [ORDER_RESIZE] = resize,
};

static void answer(struct drbd_replica *d, struct drbd_order *o)
{
    qb_list_del(&o->link);
    if (o->error && o->error != -EAGAIN) {
        snprintf(d->refused, sizeof d->refused, "%s", o->why);
        if (!o->done)
            qb_log(LOG_WARNING, "group %s: %s", d->public.options.group->name, o->why);
    } else if (!o->error) {
        d->refused[0] = '\0';
    }
    if (o->done)
        o->done(o->context, o->error, o->why);
    free(o);
}

/* From the loop, since what called may still stand on the replica. */
static void closed(void *data)
{
    struct drbd_order *o = data;
    struct drbd_replica *d = o->replica;
    bool held = d->changing; /* I/O is under way that DRBD holds back: the process ends with it */

    drbd_follow_stop(d);
    drbd_orders_stop(d);
    if (o->done)
        o->done(o->context, o->error, o->why);
    free(o);
    if (!held)
        drbd_replica_free(d);
}

static void close_later(struct drbd_replica *d, struct drbd_order *o)
{
    qb_list_del(&o->link);
    o->replica = d;
    d->closed = true;
    qb_loop_job_add(d->loop, QB_LOOP_MED, o, closed);
}

static void on_tick(void *data)
{
    struct drbd_replica *d = data;

    d->tick_armed = false;
    drbd_orders_step(d);
}

static void tick_later(struct drbd_replica *d)
{
    if (!d->tick_armed)
        d->tick_armed = !qb_loop_timer_add(d->loop, QB_LOOP_MED, TICK_MS * 1000000ull, d, on_tick, &d->tick);
}

/* One order as far as it goes. True: it is over. */
static bool carry_out(struct drbd_replica *d, struct drbd_order *o)
{
    enum step step = STEP_NEXT;

    if (!o->begun) {
        o->begun = true;
        next_phase(o, 0, DRAIN_MS);
    }
    while (step == STEP_NEXT) {
        if (d->command || d->opening)
            return false;
        if (d->changing && !over(o->deadline_ns))
            return false;
        if (d->changing)
            step = finish(o, -EAGAIN, "I/O that DRBD holds back (%.64s)",
                          d->view.suspended[0] ? d->view.suspended : "not told why");
        else
            step = steps[o->kind](d, o);
    }
    return step == STEP_OVER;
}

void drbd_orders_step(struct drbd_replica *d)
{
    d->again = true;
    if (d->stepping)
        return; /* from inside an answer: below */
    d->stepping = true;
    while (d->again && !d->closed) {
        d->again = false;
        while (!qb_list_empty(&d->orders) && !d->closed) {
            struct drbd_order *o = qb_list_first_entry(&d->orders, struct drbd_order, link);

            if (!carry_out(d, o)) {
                tick_later(d);
                break;
            }
            if (o->kind == ORDER_CLOSE)
                close_later(d, o);
            else
                answer(d, o);
        }
    }
    d->stepping = false;
}

void drbd_order_take(struct drbd_replica *d, enum replica_order kind, bool flag, replica_done *done_, void *context)
{
    struct drbd_order *o = calloc(1, sizeof *o);

    assert(kind < sizeof steps / sizeof *steps && steps[kind]); /* a new order needs a row */
    if (!o) {
        if (done_)
            done_(context, -ENOMEM, "out of memory");
        return;
    }
    o->kind = kind;
    o->flag = flag;
    o->done = done_;
    o->context = context;
    qb_list_add_tail(&o->link, &d->orders);
    drbd_orders_step(d);
}

void drbd_orders_stop(struct drbd_replica *d)
{
    if (d->tick_armed)
        qb_loop_timer_del(d->loop, d->tick);
    process_kill(d->command);
    d->command = NULL;
    while (!qb_list_empty(&d->orders)) {
        struct drbd_order *o = qb_list_first_entry(&d->orders, struct drbd_order, link);

        finish(o, -ESHUTDOWN, "the replica is closed");
        answer(d, o);
    }
}
