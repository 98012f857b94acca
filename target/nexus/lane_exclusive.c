/* Exclusive ranges over all reactors (COMPARE AND WRITE). The home reactor of the LU orders the requests:
 *
 *   task's reactor        home reactor              every reactor
 *   begin  -- request --> queue; not overlapping
 *                         an older one? -- raise -> add exclusion: overlapping commands are held;
 *                                       <- clear -- when those that ran have ended
 *   granted <-- all clear
 *   end    -- release --> forget;      -- lower --> remove exclusion, wake the held
 *
 * Posts of one sender arrive in order, so a lower is seen before the raise of the next owner. */
#include <assert.h>
#include <stdlib.h>

#include "target/base/container.h"
#include "target/base/threads.h"
#include "target/device/device.h"
#include "target/nexus/lane_private.h"

struct exclusive_post {
    struct post post;
    struct exclusive *exclusive;
    struct exclusion exclusion;       /* in lane->exclusions while raised */
    struct qb_list_head barrier_link; /* in lane->barriers while waiting */
};

struct exclusive {
    struct lu *lu;
    struct task *task; /* NULL once it ended (aborted) before it was granted */
    uint64_t lba, blocks;
    void (*granted)(struct task *task);
    struct reactor *from;
    struct post request; /* task's reactor <-> home */
    struct post release;
    struct qb_list_head link; /* home's list of this reactor's LUs: active and waiting, oldest first */
    bool active, is_granted, ended;
    unsigned waiting; /* reactors not clear (or not lowered) yet */
    struct exclusive_post posts[];
};

/* Requests by home reactor. Each list is touched by its reactor alone. */
static struct qb_list_head queues[LIMIT_REACTORS];

static struct reactor *home_of(const struct lu *lu)
{
    return threads.reactors[lu->index % threads.reactor_count];
}

static struct qb_list_head *queue_of(const struct reactor *reactor)
{
    struct qb_list_head *queue = &queues[reactor->index];

    if (!queue->next)
        qb_list_init(queue);
    return queue;
}

static void start_next(struct qb_list_head *queue);

static void at_requester_granted(struct post *post)
{
    struct exclusive *exclusive = container_of(post, struct exclusive, request);
    struct task *task = exclusive->task;

    exclusive->is_granted = true;
    if (!task) { /* aborted meanwhile */
        reactor_post(home_of(exclusive->lu), &exclusive->release);
        return;
    }
    task->wants_range = false;
    exclusive->granted(task);
}

static void at_home_clear(struct post *post)
{
    struct exclusive_post *item = container_of(post, struct exclusive_post, post);
    struct exclusive *exclusive = item->exclusive;

    if (--exclusive->waiting)
        return;
    exclusive->request.run = at_requester_granted;
    reactor_post(exclusive->from, &exclusive->request);
}

static void clear_if_idle(struct lane *lane, struct exclusive_post *item)
{
    struct task *task;

    qb_list_for_each_entry(task, &lane->running, lane_link)
    {
        /* Tasks that wait for a range of their own touch nothing until it is theirs. */
        if (task->executing && !task->wants_range && task->exclusive != item->exclusive &&
            lane_task_overlaps(task, item->exclusion.lba, item->exclusion.blocks))
            return;
    }
    qb_list_del(&item->barrier_link);
    item->post.run = at_home_clear;
    reactor_post(home_of(lane->lu), &item->post);
}

void lane_check_barriers(struct lane *lane)
{
    struct exclusive_post *item, *next;

    qb_list_for_each_entry_safe(item, next, &lane->barriers, barrier_link)
        clear_if_idle(lane, item);
}

static void at_lane_raise(struct post *post)
{
    struct exclusive_post *item = container_of(post, struct exclusive_post, post);
    struct lane *lane = &item->exclusive->lu->lanes[reactor_self()->index];

    qb_list_add_tail(&item->exclusion.link, &lane->exclusions);
    qb_list_add_tail(&item->barrier_link, &lane->barriers);
    clear_if_idle(lane, item);
}

static void at_home_lowered(struct post *post)
{
    struct exclusive_post *item = container_of(post, struct exclusive_post, post);
    struct exclusive *exclusive = item->exclusive;

    if (!--exclusive->waiting)
        free(exclusive);
}

static void at_lane_lower(struct post *post)
{
    struct exclusive_post *item = container_of(post, struct exclusive_post, post);
    struct lane *lane = &item->exclusive->lu->lanes[reactor_self()->index];
    struct qb_list_head woken;
    struct task *task;

    qb_list_del(&item->exclusion.link);
    qb_list_init(&woken);
    qb_list_splice(&lane->held_range, &woken);
    qb_list_init(&lane->held_range);
    while (!qb_list_empty(&woken)) {
        task = qb_list_first_entry(&woken, struct task, lane_link);
        lane_unhold(task);
        task_resume(task);
    }
    item->post.run = at_home_lowered;
    reactor_post(home_of(item->exclusive->lu), &item->post);
}

static bool blocked_by_older(struct qb_list_head *queue, struct exclusive *exclusive)
{
    struct exclusive *older;

    qb_list_for_each_entry(older, queue, link)
    {
        if (older == exclusive)
            return false;
        if (older->lu == exclusive->lu && older->lba < exclusive->lba + exclusive->blocks &&
            exclusive->lba < older->lba + older->blocks)
            return true;
    }
    return false;
}

static void to_all(struct exclusive *exclusive, void (*run)(struct post *post))
{
    exclusive->waiting = threads.reactor_count;
    for (unsigned i = 0; i < threads.reactor_count; i++) {
        exclusive->posts[i].post.run = run;
        reactor_post(threads.reactors[i], &exclusive->posts[i].post);
    }
}

static void start_next(struct qb_list_head *queue)
{
    struct exclusive *exclusive;

    qb_list_for_each_entry(exclusive, queue, link)
    {
        if (!exclusive->active && !blocked_by_older(queue, exclusive)) {
            exclusive->active = true;
            to_all(exclusive, at_lane_raise);
        }
    }
}

static void at_home_request(struct post *post)
{
    struct exclusive *exclusive = container_of(post, struct exclusive, request);
    struct qb_list_head *queue = queue_of(reactor_self());

    qb_list_add_tail(&exclusive->link, queue);
    start_next(queue);
}

static void at_home_release(struct post *post)
{
    struct exclusive *exclusive = container_of(post, struct exclusive, release);
    struct qb_list_head *queue = queue_of(reactor_self());

    qb_list_del(&exclusive->link);
    to_all(exclusive, at_lane_lower);
    start_next(queue);
}

void lane_exclusive_begin(struct task *task, void (*granted)(struct task *task))
{
    struct exclusive *exclusive =
        calloc(1, sizeof *exclusive + threads.reactor_count * sizeof exclusive->posts[0]);

    if (!exclusive)
        abort();
    exclusive->lu = task->lu;
    exclusive->task = task;
    exclusive->lba = task->lba;
    exclusive->blocks = task->blocks;
    exclusive->granted = granted;
    exclusive->from = task->reactor;
    exclusive->request.run = at_home_request;
    exclusive->release.run = at_home_release;
    for (unsigned i = 0; i < threads.reactor_count; i++) {
        exclusive->posts[i].exclusive = exclusive;
        exclusive->posts[i].exclusion.lba = task->lba;
        exclusive->posts[i].exclusion.blocks = task->blocks;
    }
    task->exclusive = exclusive;
    task->wants_range = true;
    reactor_post(home_of(task->lu), &exclusive->request);
    /* An older exclusion may have waited for this very task. */
    lane_check_barriers(task->lane);
}

void lane_exclusive_end(struct task *task)
{
    struct exclusive *exclusive = task->exclusive;

    assert(exclusive && !exclusive->ended);
    exclusive->ended = true;
    exclusive->task = NULL;
    task->exclusive = NULL;
    task->wants_range = false;
    if (exclusive->is_granted)
        reactor_post(home_of(exclusive->lu), &exclusive->release);
}
