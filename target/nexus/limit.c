#include "target/nexus/limit.h"

#include <stdatomic.h>

#include "target/base/container.h"
#include "target/device/device.h"
#include "target/nexus/lane.h"
#include "target/nexus/meter.h"
#include "target/nexus/nexus.h"

static const uint64_t SECOND_NS = 1000000000u;
enum { LOOK_NS = 100000000 }; /* how often who waits looks for changed limits */

/* Of all limits: who waits compares. */
static _Atomic uint32_t changes;

void limit_set(struct limit *limit, uint64_t commands, uint64_t bytes)
{
    if (atomic_load(&limit->commands.per_second) == commands &&
        atomic_load(&limit->bytes.per_second) == bytes)
        return;
    atomic_store(&limit->commands.per_second, commands);
    atomic_store(&limit->bytes.per_second, bytes);
    atomic_store(&limit->commands.next_ns, 0);
    atomic_store(&limit->bytes.next_ns, 0);
    atomic_fetch_add(&changes, 1);
}

uint64_t rate_take(struct rate *rate, uint64_t units, uint64_t now_ns)
{
    uint64_t per_second = atomic_load_explicit(&rate->per_second, memory_order_relaxed);
    uint64_t old, start, cost;

    if (!per_second)
        return 0;
    /* units is at most LIMIT_WRITE_SAME or LIMIT_UNMAP bytes: the product fits. */
    cost = units * SECOND_NS / per_second;
    old = atomic_load_explicit(&rate->next_ns, memory_order_relaxed);
    do {
        start = old;
        if (start + LIMIT_BURST_NS < now_ns)
            start = now_ns - LIMIT_BURST_NS;
    } while (!atomic_compare_exchange_weak_explicit(&rate->next_ns, &old, start + cost,
                                                    memory_order_relaxed, memory_order_relaxed));
    return start;
}

static uint64_t take(struct limit *limit, const struct task *task)
{
    uint64_t now = task->reactor->now_ns, bytes = task->blocks * task->lu->block_size;
    uint64_t commands_at = rate_take(&limit->commands, 1, now);
    uint64_t bytes_at = rate_take(&limit->bytes, bytes, now);

    return commands_at > bytes_at ? commands_at : bytes_at;
}

static void hold(struct task *task);

static void look(struct timer *timer)
{
    struct task *task = container_of(timer, struct task, timer);
    uint64_t now = task->reactor->now_ns;

    if (atomic_load_explicit(&changes, memory_order_relaxed) != task->limit_changes)
        task->limit_taken = false;
    else if (now < task->limit_start_ns) {
        hold(task);
        return;
    }
    lane_unhold(task);
    task_resume(task);
}

static void hold(struct task *task)
{
    uint64_t until = task->limit_start_ns, next_look = task->reactor->now_ns + LOOK_NS;

    task->state = TASK_HELD;
    task->timer.fire = look;
    reactor_timer_set(task->reactor, &task->timer, until < next_look ? until : next_look);
}

bool limit_admit(struct task *task)
{
    uint64_t start = 0, at;

    if (task->limit_taken)
        return true;
    task->limit_taken = true;
    task->limit_changes = atomic_load_explicit(&changes, memory_order_relaxed);
    if (task->nexus->meter)
        start = take(&task->nexus->meter->limit, task);
    if (task->lane->group->gate == GATE_EXECUTE && task->lu->meter) {
        at = take(&task->lu->meter->limit, task);
        if (at > start)
            start = at;
    }
    if (start <= task->reactor->now_ns)
        return true;
    task->limit_start_ns = start;
    hold(task);
    return false;
}
