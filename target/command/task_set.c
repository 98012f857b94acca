#include "target/command/task_set.h"

#include <assert.h>

#include "target/base/container.h"
#include "target/nexus/lane.h"
#include "target/nexus/nexus.h"

static bool is_barrier(const struct task *task)
{
    return task->attribute == TASK_ORDERED || task->attribute == TASK_HEAD_OF_QUEUE;
}

void task_set_join(struct task *task)
{
    qb_list_add_tail(&task->nexus_link, &task->nexus->tasks);
    if (is_barrier(task))
        task->nexus->ordered_tasks++;
}

bool task_set_may_start(const struct task *task)
{
    const struct task *older;

    if (!task->lu || task->attribute == TASK_HEAD_OF_QUEUE)
        return true;
    if (!task->nexus->ordered_tasks) /* the ordinary case */
        return true;
    qb_list_for_each_entry(older, &task->nexus->tasks, nexus_link)
    {
        if (older == task)
            break;
        if (older->lu == task->lu && (task->attribute == TASK_ORDERED || is_barrier(older)))
            return false;
    }
    return true;
}

void task_set_wait(struct task *task)
{
    task->state = TASK_HELD;
    task->order = ORDER_WAITS;
    task->nexus->order_waiters++;
}

bool task_set_unwait(struct task *task)
{
    if (task->order != ORDER_WAITS)
        return false;
    task->order = ORDER_FREE;
    task->nexus->order_waiters--;
    return true;
}

static void resume_posted(struct post *post)
{
    struct task *task = container_of(post, struct task, post);

    task->order = ORDER_FREE;
    task_resume(task);
}

void task_set_leave(struct task *task)
{
    struct nexus *nexus = task->nexus;
    struct task *waiting;

    qb_list_del(&task->nexus_link);
    qb_list_init(&task->nexus_link);
    if (is_barrier(task)) {
        assert(nexus->ordered_tasks);
        nexus->ordered_tasks--;
    }
    if (!nexus->order_waiters)
        return;
    qb_list_for_each_entry(waiting, &nexus->tasks, nexus_link)
    {
        if (waiting->order == ORDER_WAITS && task_set_may_start(waiting)) {
            nexus->order_waiters--;
            waiting->order = ORDER_POSTED;
            waiting->post.run = resume_posted;
            reactor_post(waiting->reactor, &waiting->post);
        }
    }
}
