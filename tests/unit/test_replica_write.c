/* How a replicated write leaves its node: what is handed to the ring, and in which order. That it arrives is test_replica's part.
 *
 * Not covered: that it is faster (tests/bench --two-nodes), sends that the socket does not take at once (large
 * writes in test_replica, TLS in test_replica_tls). */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "replica_pair.h"
#include "target/base/container.h"

static uint8_t block[RIG_BLOCK];

/* Something that a node's reactor does, and the test waits for. */
struct task {
    struct post post, back;
    struct rig_node *node;
    void (*run)(struct task *task);
    struct rig_io *io;
    unsigned sends, sends_first, quiet;
    bool done;
};

static void task_back(struct post *post)
{
    container_of(post, struct task, back)->done = true;
}

static void task_run(struct post *post)
{
    struct task *task = container_of(post, struct task, post);

    task->run(task);
    task->back.run = task_back;
    mailbox_post(&task->node->control, &task->back);
}

static void on_reactor(struct rig_node *node, struct task *task, void (*run)(struct task *task))
{
    task->node = node;
    task->run = run;
    task->done = false;
    task->post.run = task_run;
    reactor_post(&node->reactor, &task->post);
    WAIT(task->done);
}

static void write_block(struct rig_node *node, uint64_t offset)
{
    assert_int_equal(run_io(node, 0, STORE_WRITE, 0, offset, block, sizeof block), 0);
}

/* Submits a write, and looks at what that has put into the ring. */
static void submit_and_look(struct task *task)
{
    struct io_uring_sq *sq = &task->node->reactor.ring.sq;
    unsigned before = sq->sqe_tail;
    bool written = false;

    store_submit(task->io->store, &task->io->io);
    for (unsigned at = before; at != sq->sqe_tail; at++) {
        const struct io_uring_sqe *sqe = &sq->sqes[at & *sq->kring_mask];

        if (sqe->opcode == IORING_OP_WRITE || sqe->opcode == IORING_OP_WRITEV)
            written = true;
        if (sqe->opcode != IORING_OP_SENDMSG)
            continue;
        task->sends++;
        task->sends_first += !written;
        task->quiet += (sqe->flags & IOSQE_CQE_SKIP_SUCCESS) != 0;
    }
    assert_true(written);
}

static void write_ended(struct store_io *io, int error)
{
    struct rig_io *write = container_of(io, struct rig_io, io);

    write->error = error;
    write->done = true;
}

/* The peer has the longer way; nobody needs to be woken when the socket has taken the write. */
static void write_when_replicated_then_is_sent_first_and_silently(void **state)
{
    struct rig *rig = *state;
    struct iovec iov = {block, sizeof block};
    struct rig_io write = {0};
    struct task task = {.io = &write};

    start_primary(rig);
    write_block(&rig->n[0], 0); /* its extent is in the activity log */
    write.store = replica_store(rig->n[0].replica, 0);
    write.io = (struct store_io){.operation = STORE_WRITE,
                                 .offset = 2 * RIG_BLOCK,
                                 .length = sizeof block,
                                 .iov = &iov,
                                 .iov_count = 1,
                                 .done = write_ended};
    on_reactor(&rig->n[0], &task, submit_and_look);
    assert_int_equal(task.sends, 1);
    assert_int_equal(task.sends_first, 1);
    assert_int_equal(task.quiet, 1);
    write_block(&rig->n[0], 2 * RIG_BLOCK); /* of the same blocks: after it */
    assert_true(write.done);
    assert_int_equal(write.error, 0);
    assert_equal_copies(rig);
}

static atomic_bool lease_lost;

static bool has_lease(const struct reactor *home)
{
    return !atomic_load(&lease_lost);
}

/* It was admitted, waits for an older one of the same block, and the others go on without this node meanwhile. */
static void write_when_the_lease_is_lost_before_it_begins_then_reaches_no_medium(void **state)
{
    static uint8_t first[RIG_BLOCK], second[RIG_BLOCK], back[RIG_BLOCK];
    struct rig *rig = *state;
    struct rig_io older = {0}, write = {0};
    struct fault *fault;

    rig->options.lease = has_lease;
    start_primary(rig);
    fault = pair_fault(rig, 1, 0);
    fault_hold(fault, STORE_WRITE, 0, RIG_BLOCK);
    memset(first, 1, sizeof first);
    memset(second, 2, sizeof second);
    rig_submit(&rig->n[0], &older, 0, STORE_WRITE, 0, 0, first, sizeof first);
    WAIT(fault_held(fault)); /* it has begun */
    rig_submit(&rig->n[0], &write, 0, STORE_WRITE, 0, 0, second, sizeof second);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_READ, 0, 1 << 20, back, sizeof back), 0); /* it has arrived */
    atomic_store(&lease_lost, true);
    fault_release(fault);
    WAIT(older.done && write.done);
    atomic_store(&lease_lost, false);
    assert_int_equal(older.error, 0);
    assert_int_equal(write.error, -ERESTART); /* may be executed anew */
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_READ, 0, 0, back, sizeof back), 0);
    assert_memory_equal(back, first, sizeof back);
}

/* Of two parts one has begun: whoever sent it has to know that it may be on a medium. */
static void write_when_the_lease_is_lost_after_a_part_then_not_told_as_not_begun(void **state)
{
    static uint8_t first[RIG_BLOCK], both[2 << 20], back[RIG_BLOCK];
    struct rig *rig = *state;
    struct rig_io older = {0}, write = {0};
    struct fault *fault, *local;
    unsigned writes;

    rig->options.lease = has_lease;
    start_primary(rig);
    fault = pair_fault(rig, 1, 0);
    fault_hold(fault, STORE_WRITE, 1 << 20, (1 << 20) + RIG_BLOCK);
    local = pair_fault(rig, 0, 0);
    memset(first, 1, sizeof first);
    memset(both, 2, sizeof both);
    rig_submit(&rig->n[0], &older, 0, STORE_WRITE, 0, 1 << 20, first, sizeof first);
    WAIT(fault_held(fault));
    writes = fault_count(local, STORE_WRITE);
    rig_submit(&rig->n[0], &write, 0, STORE_WRITE, 0, 0, both, sizeof both);
    WAIT(fault_count(local, STORE_WRITE) > writes);
    atomic_store(&lease_lost, true);
    fault_release(fault);
    WAIT(older.done && write.done);
    atomic_store(&lease_lost, false);
    assert_int_equal(write.error, -EAGAIN);
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
    assert_int_equal(run_io(&rig->n[0], 0, STORE_READ, 0, 1 << 20, back, sizeof back), 0);
    assert_memory_equal(back, first, sizeof back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_CASE(write_when_replicated_then_is_sent_first_and_silently),
        PAIR_CASE(write_when_the_lease_is_lost_before_it_begins_then_reaches_no_medium),
        PAIR_CASE(write_when_the_lease_is_lost_after_a_part_then_not_told_as_not_begun),
    };

    return cmocka_run_group_tests_name("replica write", tests, NULL, NULL);
}
