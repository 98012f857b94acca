/* Lanes on two reactors with real threads: gates, drains, exclusive ranges. The command layer is a double
 * that counts. Not covered here: what handlers do with a range (test of the disk), aborts through
 * effects (the cluster tests). */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"
#include "target/base/container.h"
#include "target/base/threads.h"
#include "target/device/device.h"
#include "target/nexus/lane_change.h"
#include "target/nexus/lane_private.h"
#include "target/nexus/lun_map.h"
#include "target/nexus/nexus.h"
#include "target/nexus/nexus_table.h"

struct lu *device_lus[LIMIT_LUS];
unsigned device_lu_count;

const struct config_host *config_host_for(const struct config *config, const char *initiator)
{
    return NULL;
}

/* ---- doubles of the command layer: a task runs until the test ends it ---- */

enum {
    REACTORS = 2,
    TASKS = 16,
    HOLD_MS = 600000,   /* nothing ends by it while one of these threads is kept waiting by a busy machine */
    SHORT_HOLD_MS = 50, /* for what ends by it */
};

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned resumed, completed, granted, switched;
    enum scsi_reason last;
} seen = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, 0, 0};

static void count(unsigned *what)
{
    pthread_mutex_lock(&seen.mutex);
    (*what)++;
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.mutex);
}

static unsigned now_is(unsigned *what)
{
    unsigned value;

    pthread_mutex_lock(&seen.mutex);
    value = *what;
    pthread_mutex_unlock(&seen.mutex);
    return value;
}

static void wait_for(unsigned *what, unsigned value)
{
    pthread_mutex_lock(&seen.mutex);
    while (*what < value)
        pthread_cond_wait(&seen.changed, &seen.mutex);
    pthread_mutex_unlock(&seen.mutex);
}

void task_resume(struct task *task)
{
    count(&seen.resumed);
    if (lane_admit(task, true))
        task->step = 1;
}

void task_complete(struct task *task, enum scsi_reason reason)
{
    if (task->state == TASK_RUNNING)
        lane_leave(task);
    task->state = TASK_DONE;
    seen.last = reason;
    count(&seen.completed);
}

void task_abort(struct task *task, bool silent)
{
    task->aborted = true;
}

/* ---- running something on a reactor and waiting for it ---- */

struct job {
    struct post post;
    void (*run)(struct task *task);
    struct task *task;
    unsigned done;
};

static void run_job(struct post *post)
{
    struct job *job = container_of(post, struct job, post);

    job->run(job->task);
    count(&job->done);
}

static void on_reactor(struct task *task, void (*run)(struct task *task))
{
    struct job job = {.post.run = run_job, .run = run, .task = task};

    reactor_post(task->reactor, &job.post);
    wait_for(&job.done, 1);
}

static struct lu unit;
static struct nexus nexus;
static struct task tasks[TASKS];
static pthread_t thread[REACTORS], control_thread;
static bool control_stop;

static void *reactor_main(void *reactor)
{
    reactor_run(reactor);
    return NULL;
}

static void *control_main(void *unused)
{
    while (!__atomic_load_n(&control_stop, __ATOMIC_ACQUIRE)) {
        uint64_t value;
        fd_set set;
        FD_ZERO(&set);
        FD_SET(threads.control.wake_fd, &set);
        select(threads.control.wake_fd + 1, &set, NULL, NULL, NULL);
        if (read(threads.control.wake_fd, &value, sizeof value) < 0)
            continue;
        mailbox_run(&threads.control);
    }
    return NULL;
}

static void stop_reactor(struct post *post)
{
    reactor_stop(reactor_self());
}

static void stop_control(struct post *post)
{
    __atomic_store_n(&control_stop, true, __ATOMIC_RELEASE);
}

static int set_up(void **state)
{
    threads.reactor_count = REACTORS;
    mailbox_init(&threads.control);
    for (unsigned i = 0; i < REACTORS; i++) {
        threads.reactors[i] = calloc(1, sizeof *threads.reactors[i]);
        assert_int_equal(reactor_init(threads.reactors[i], i, 64), 0);
    }
    nexus_table_init();
    lanes_init(1, HOLD_MS);
    unit.index = 0;
    lanes_init_lu(&unit, 0);
    device_lus[0] = &unit;
    device_lu_count = 1;
    for (unsigned i = 0; i < REACTORS; i++)
        pthread_create(&thread[i], NULL, reactor_main, threads.reactors[i]);
    pthread_create(&control_thread, NULL, control_main, NULL);
    return 0;
}

static void nothing(struct task *task)
{
}

/* An exclusion that has ended goes from its task's reactor to the home, from there to all and back to the home,
 * which frees it: what is asked of each reactor behind such a step runs behind it. */
static void wait_until_exclusions_are_freed(void)
{
    for (unsigned step = 0; step < 3; step++) {
        for (unsigned i = 0; i < REACTORS; i++)
            on_reactor(&(struct task){.reactor = threads.reactors[i]}, nothing);
    }
}

static int tear_down(void **state)
{
    struct post posts[REACTORS], stop = {.run = stop_control};

    wait_until_exclusions_are_freed();
    for (unsigned i = 0; i < REACTORS; i++) {
        posts[i].run = stop_reactor;
        reactor_post(threads.reactors[i], &posts[i]);
    }
    for (unsigned i = 0; i < REACTORS; i++)
        pthread_join(thread[i], NULL);
    control_post(&stop);
    pthread_join(control_thread, NULL);
    for (unsigned i = 0; i < REACTORS; i++) {
        reactor_done(threads.reactors[i]);
        free(threads.reactors[i]);
    }
    mailbox_done(&threads.control);
    return 0;
}

static struct task *new_task(unsigned at, unsigned reactor, uint64_t lba, uint64_t blocks)
{
    struct task *task = &tasks[at];

    memset(task, 0, sizeof *task);
    task->reactor = threads.reactors[reactor];
    task->nexus = &nexus;
    task->lu = &unit;
    task->lane = &unit.lanes[reactor];
    task->lba = lba;
    task->blocks = blocks;
    return task;
}

static void admit(struct task *task)
{
    task->step = lane_admit(task, true);
}

static void end(struct task *task)
{
    task_complete(task, REASON_GOOD);
}

static void granted(struct task *task)
{
    count(&seen.granted);
}

static void begin_exclusive(struct task *task)
{
    lane_exclusive_begin(task, granted);
}

static void was_switched(void *context)
{
    count(&seen.switched);
}

/* Changes are run by the control thread. */
struct order {
    struct post post;
    enum gate gate;
    bool drain;
    bool reserve; /* the unit, instead of the gate */
};

static void run_order(struct post *post)
{
    struct order *order = container_of(post, struct order, post);
    struct lane_change *change = lane_change_new(was_switched, NULL);

    struct shared_lu reserved = {.pr_holder = -1, .legacy_reserved = true, .epoch = 1};

    if (order->reserve)
        lane_change_lu(change, 0, &reserved, order->drain);
    else
        lane_change_group(change, 0, order->gate, 1, ALUA_ACTIVE_OPTIMIZED, order->drain);
    lane_change_run(change);
}

static void set_gate(struct order *order, enum gate gate, bool drain)
{
    *order = (struct order){.post.run = run_order, .gate = gate, .drain = drain};
    control_post(&order->post);
}

static void open_gate(void)
{
    static struct order order;
    unsigned before = now_is(&seen.switched);

    set_gate(&order, GATE_EXECUTE, false);
    wait_for(&seen.switched, before + 1);
}

/* Every command counts in its group's lane and in its unit's: shared lines cost two reactors 5 %. */
static void reactors_share_no_cache_line(void **state)
{
    enum { LINE = 64 };

    for (unsigned i = 0; i < REACTORS; i++) {
        assert_int_equal((uintptr_t)lanes_group(0, i) % LINE, 0);
        assert_int_equal((uintptr_t)&unit.lanes[i] % LINE, 0);
    }
}

static void task_is_held_until_the_gate_opens(void **state)
{
    struct task *task = new_task(0, 0, 0, 8);
    unsigned resumed = now_is(&seen.resumed);

    on_reactor(task, admit);
    assert_int_equal(task->step, 0);
    assert_int_equal(task->state, TASK_HELD);
    open_gate();
    wait_for(&seen.resumed, resumed + 1);
    on_reactor(task, end);
}

static void drain_waits_for_running_tasks_of_all_reactors(void **state)
{
    struct task *one = new_task(0, 0, 0, 8), *two = new_task(1, 1, 100, 8);
    static struct order order;
    unsigned before;

    open_gate();
    on_reactor(one, admit);
    on_reactor(two, admit);
    assert_int_equal(one->step, 1);
    assert_int_equal(two->step, 1);
    before = now_is(&seen.switched);
    set_gate(&order, GATE_HOLD, true);
    on_reactor(one, end);
    assert_int_equal(now_is(&seen.switched), before);
    on_reactor(two, end);
    wait_for(&seen.switched, before + 1);
}

/* Whether a reactor sleeps, is at work or is about to sleep: what it admitted under the old view is waited for. */
static void reservation_waits_for_running_tasks_of_all_reactors(void **state)
{
    static struct order order;

    open_gate();
    for (unsigned round = 0; round < 200; round++) {
        struct task *task = new_task(0, round % REACTORS, 0, 8);
        unsigned before = now_is(&seen.switched);

        on_reactor(task, admit);
        assert_int_equal(task->step, 1);
        order = (struct order){.post.run = run_order, .reserve = true, .drain = true};
        control_post(&order.post);
        if (round % 10 == 0)
            usleep(1000); /* asleep by now, as a rule */
        assert_int_equal(now_is(&seen.switched), before);
        on_reactor(task, end);
        wait_for(&seen.switched, before + 1);
        assert_true(unit.lanes[0].legacy_reserved && unit.lanes[1].legacy_reserved);
    }
}

static void task_held_too_long_ends_with_transition(void **state)
{
    struct task *task = new_task(0, 1, 0, 8);
    static struct order order;
    unsigned before = now_is(&seen.switched), completed = now_is(&seen.completed);

    set_gate(&order, GATE_HOLD, true);
    wait_for(&seen.switched, before + 1);
    lanes.hold_ns = SHORT_HOLD_MS * UINT64_C(1000000);
    on_reactor(task, admit);
    wait_for(&seen.completed, completed + 1);
    lanes.hold_ns = HOLD_MS * UINT64_C(1000000);
    assert_int_equal(seen.last, REASON_NOT_READY_TRANSITION);
}

static void range_is_granted_when_overlapping_tasks_have_ended(void **state)
{
    struct task *writer = new_task(0, 1, 4, 8), *caw = new_task(1, 0, 0, 8),
                *later = new_task(2, 1, 7, 1), *beside = new_task(3, 1, 64, 8);
    unsigned before = now_is(&seen.granted), resumed = now_is(&seen.resumed);

    open_gate();
    on_reactor(writer, admit);
    on_reactor(caw, admit);
    on_reactor(caw, begin_exclusive);
    /* The raise is on its way to reactor 1 before this admission is asked for, or the writer ends first:
     * in both cases the range is not granted while the writer runs. */
    on_reactor(beside, admit);
    assert_int_equal(beside->step, 1);
    assert_int_equal(now_is(&seen.granted), before);
    on_reactor(writer, end);
    wait_for(&seen.granted, before + 1);
    on_reactor(later, admit);
    assert_int_equal(later->step, 0);
    on_reactor(caw, end);
    wait_for(&seen.resumed, resumed + 1);
    on_reactor(later, end);
    on_reactor(beside, end);
}

static void two_overlapping_exclusions_do_not_wait_for_each_other(void **state)
{
    struct task *one = new_task(0, 0, 0, 8), *two = new_task(1, 1, 4, 8);
    unsigned before = now_is(&seen.granted);

    open_gate();
    on_reactor(one, admit);
    on_reactor(two, admit);
    on_reactor(one, begin_exclusive);
    on_reactor(two, begin_exclusive);
    wait_for(&seen.granted, before + 1);
    assert_int_equal(now_is(&seen.granted), before + 1);
    on_reactor(one, end);
    wait_for(&seen.granted, before + 2);
    on_reactor(two, end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reactors_share_no_cache_line),
        cmocka_unit_test(task_is_held_until_the_gate_opens),
        cmocka_unit_test(drain_waits_for_running_tasks_of_all_reactors),
        cmocka_unit_test(reservation_waits_for_running_tasks_of_all_reactors),
        cmocka_unit_test(task_held_too_long_ends_with_transition),
        cmocka_unit_test(range_is_granted_when_overlapping_tasks_have_ended),
        cmocka_unit_test(two_overlapping_exclusions_do_not_wait_for_each_other),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
