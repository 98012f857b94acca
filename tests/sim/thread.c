/* Threads of the simulated processes: coroutines of the one real thread. A switch costs some nanoseconds, so
 * that the loops of the daemon run as they are. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/sim/world.h"

enum { STACK = 256 << 10, RUN_NS = 5 * US };

struct thread *current;
struct host *world_inside;

#if defined(__x86_64__)
/* void *switch_stack(void **save, void *load): what the ABI wants kept is pushed, the stacks are exchanged. */
__asm__(".text\n"
        ".type sim_switch_stack, @function\n"
        "sim_switch_stack:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  ret\n"
        ".size sim_switch_stack, . - sim_switch_stack\n");
void sim_switch_stack(void **save, void *load);
enum { SAVED_WORDS = 6 };
#else
#error "tests/sim: the switch of stacks is written for x86-64 only"
#endif

static void *world_sp;

static void run_first(void)
{
    current->start(current->argument);
    thread_exit();
}

static void leave(void)
{
    struct thread *thread = current;

    current = NULL;
    sim_switch_stack(&thread->sp, world_sp);
}

static void enter(struct thread *thread)
{
    current = thread;
    sim_switch_stack(&world_sp, thread->sp);
}

static void run(struct sim_event *event)
{
    struct thread *thread = container_of(event, struct thread, wake);

    if (!host_runs(thread->host)) {
        thread->owed = true;
        return;
    }
    world_event_of(thread->host->id);
    sim_hash(sim_now() << 8 | thread->host->id << 4 | (uint64_t)(thread - thread->host->threads));
    enter(thread);
}

struct thread *thread_new(struct host *host, void *(*start)(void *), void *argument)
{
    struct thread *thread = NULL;
    void **top;

    for (unsigned i = 0; i < HOST_THREADS && !thread; i++)
        if (!host->threads[i].alive)
            thread = &host->threads[i];
    if (!thread)
        sim_fail("node%u: more threads than the world has", host->id);
    if (!thread->stack) {
        thread->stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        if (thread->stack == MAP_FAILED)
            abort();
    }
    *thread = (struct thread){
        .host = host,
        .stack = thread->stack,
        .start = start,
        .argument = argument,
        .alive = true,
        .wake.run = run,
    };
    /* As if it had been switched away from at the first instruction of run_first(). */
    top = (void **)((char *)thread->stack + STACK);
    *--top = NULL; /* where run_first() would return to; the ABI's alignment at its entry */
    *--top = (void *)run_first;
    for (unsigned i = 0; i < SAVED_WORDS; i++)
        *--top = NULL;
    thread->sp = top;
    thread_wake(thread, world_latency(RUN_NS));
    return thread;
}

void thread_block(void)
{
    leave();
}

void thread_sleep(uint64_t ns)
{
    uint64_t end = sim_now() + ns;

    while (sim_now() < end) {
        thread_wake(current, end - sim_now());
        thread_block();
    }
}

void thread_wake(struct thread *thread, uint64_t delay)
{
    uint64_t when = sim_now() + delay;

    if (thread->alive && (!thread->wake.slot || thread->wake.when > when))
        sim_at(&thread->wake, when);
}

static void drop(struct thread *thread)
{
    thread->alive = thread->owed = false;
    sim_cancel(&thread->wake);
}

void thread_exit(void)
{
    struct thread *thread = current;

    drop(thread);
    if (thread->joiner)
        thread_wake(thread->joiner, world_latency(RUN_NS));
    leave();
    abort(); /* nobody wakes it again */
}

void threads_drop(struct host *host)
{
    for (unsigned i = 0; i < HOST_THREADS; i++)
        drop(&host->threads[i]);
}

void threads_wake(struct host *host)
{
    for (unsigned i = 0; i < HOST_THREADS; i++)
        thread_wake(&host->threads[i], world_latency(RUN_NS));
}

void threads_owed(struct host *host)
{
    for (unsigned i = 0; i < HOST_THREADS; i++)
        if (host->threads[i].owed) {
            host->threads[i].owed = false;
            thread_wake(&host->threads[i], world_latency(RUN_NS));
        }
}
