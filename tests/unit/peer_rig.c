#include "peer_rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

#include "peer_relay.h"
#include "target/base/container.h"
#include "target/base/threads.h"
#include "target/command/command.h"
#include "target/nexus/lun_map.h"
#include "target/nexus/nexus_table.h"
#include "target/transport/peer.h"

struct rig *rig;
struct spy spy;
unsigned rig_stopped;

static pthread_t reactor_threads[RIG_REACTORS], control_thread;
static bool control_stop, peers_running;

/* ---- events ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

void rig_count(unsigned *what)
{
    pthread_mutex_lock(&mutex);
    (*what)++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

unsigned rig_now(const unsigned *what)
{
    unsigned value;

    pthread_mutex_lock(&mutex);
    value = *what;
    pthread_mutex_unlock(&mutex);
    return value;
}

void rig_wait(const unsigned *what, unsigned value)
{
    pthread_mutex_lock(&mutex);
    while (*what < value)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
}

struct job {
    struct post post;
    void (*run)(void *context);
    void *context;
    unsigned done;
};

static void run_job(struct post *post)
{
    struct job *job = container_of(post, struct job, post);

    job->run(job->context);
    rig_count(&job->done);
}

void rig_on(struct reactor *reactor, void (*run)(void *context), void *context)
{
    struct job job = {.post.run = run_job, .run = run, .context = context};

    reactor_post(reactor, &job.post);
    rig_wait(&job.done, 1);
}

void rig_on_control(void (*run)(void *context), void *context)
{
    struct job job = {.post.run = run_job, .run = run, .context = context};

    control_post(&job.post);
    rig_wait(&job.done, 1);
}

/* ---- threads ---- */

static void *reactor_main(void *reactor)
{
    reactor_run(reactor);
    return NULL;
}

static void *control_main(void *unused)
{
    while (!control_stop) {
        uint64_t value;
        fd_set set;
        FD_ZERO(&set);
        FD_SET(threads.control.wake_fd, &set);
        select(threads.control.wake_fd + 1, &set, NULL, NULL, NULL);
        if (read(threads.control.wake_fd, &value, sizeof value) == sizeof value)
            mailbox_run(&threads.control);
    }
    return NULL;
}

static void stop_reactor(void *reactor)
{
    reactor_stop(reactor);
}

static void stop_control(void *unused)
{
    control_stop = true;
}

/* ---- the spy ---- */

/* It keeps the bytes itself, under a lock: two commands that follow each other over the network are
 * in order, which the thread sanitizer cannot see. */
static struct {
    struct store store;
    pthread_mutex_t mutex;
    uint8_t *bytes;
    bool hold;
    int error;
    struct store_io *held[RIG_REACTORS][64];
    unsigned held_count[RIG_REACTORS];
} watch = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void spy_done(struct post *post)
{
    struct store_io *io = container_of(post, struct store_io, post);

    io->done(io, io->error);
}

static void spy_carry_out(struct store_io *io)
{
    uint8_t *at = watch.bytes + io->offset;

    pthread_mutex_lock(&watch.mutex);
    for (unsigned i = 0; i < io->iov_count && !io->error; at += io->iov[i++].iov_len) {
        if (io->operation == STORE_READ)
            memcpy(io->iov[i].iov_base, at, io->iov[i].iov_len);
        else
            memcpy(at, io->iov[i].iov_base, io->iov[i].iov_len);
    }
    pthread_mutex_unlock(&watch.mutex);
    io->post.run = spy_done;
    reactor_post(io->reactor, &io->post);
}

static void spy_submit(struct store *store, struct store_io *io)
{
    unsigned reactor = reactor_self()->index;

    assert_true(io->offset + io->length <= RIG_BYTES);
    io->error = __atomic_exchange_n(&watch.error, 0, __ATOMIC_ACQ_REL);
    if (!io->error && __atomic_load_n(&watch.hold, __ATOMIC_ACQUIRE)) {
        assert_true(watch.held_count[reactor] < 64);
        watch.held[reactor][watch.held_count[reactor]++] = io;
        rig_count(&spy.held);
    } else {
        spy_carry_out(io);
    }
    rig_count(&spy.seen);
}

static const struct store_operations spy_operations = {.name = "spy", .submit = spy_submit};

void spy_hold(bool hold)
{
    __atomic_store_n(&watch.hold, hold, __ATOMIC_RELEASE);
}

void spy_fail(int error)
{
    __atomic_store_n(&watch.error, error, __ATOMIC_RELEASE);
}

static void let_go(void *context)
{
    unsigned reactor = reactor_self()->index, count = watch.held_count[reactor];

    watch.held_count[reactor] = 0;
    for (unsigned i = 0; i < count; i++)
        spy_carry_out(watch.held[reactor][i]);
}

void spy_release(void)
{
    spy_hold(false);
    for (unsigned i = 0; i < RIG_REACTORS; i++)
        rig_on(rig->reactors[i], let_go, NULL);
}

/* ---- lanes ---- */

struct order {
    unsigned which, owner;
    enum gate gate;
    const struct shared_lu *shared;
    unsigned *done;
};

static void was_switched(void *context)
{
    rig_count(context);
}

static void order_gate(void *context)
{
    struct order *order = context;
    struct lane_change *change = lane_change_new(was_switched, order->done);

    lane_change_group(change, order->which, order->gate, order->owner, ALUA_ACTIVE_OPTIMIZED,
                      order->gate == GATE_HOLD);
    lane_change_run(change);
}

void rig_gate(unsigned which, enum gate gate, unsigned owner)
{
    unsigned done = 0;
    struct order order = {.which = which, .owner = owner, .gate = gate, .done = &done};

    rig_on_control(order_gate, &order);
    rig_wait(&done, 1);
}

static void order_reserve(void *context)
{
    struct order *order = context;
    struct lane_change *change = lane_change_new(was_switched, order->done);

    lane_change_lu(change, RIG_FAR, order->shared, true);
    lane_change_run(change);
}

void rig_reserve(const struct shared_lu *shared)
{
    unsigned done = 0;
    struct order order = {.shared = shared, .done = &done};

    rig_on_control(order_reserve, &order);
    rig_wait(&done, 1);
}

static void order_reset(void *context)
{
    static struct shared_effects effects; /* large */
    struct lane_change *change = lane_change_new(was_switched, context);

    effects = (struct shared_effects){.count = 1};
    effects.effects[0] = (struct shared_effect){
        .kind = SHARED_EFFECT_ABORT, .selector = SHARED_ALL, .lu = RIG_FAR, .group = SHARED_NO_LU};
    lane_change_effects(change, &effects);
    lane_change_run(change);
}

static void nothing(void *context)
{
}

void rig_reset_far(unsigned *drained)
{
    rig_on_control(order_reset, drained);
    for (unsigned i = 0; i < RIG_REACTORS; i++) /* it has arrived */
        rig_on(rig->reactors[i], nothing, NULL);
}

/* ---- commands ---- */

static struct rig_io *io_of(struct task *task)
{
    return container_of(task, struct rig_io, task);
}

static void receive_data(struct task *task, uint32_t length)
{
    payload_write(&task->data_out, 0, io_of(task)->data, length);
    task_data_ready(task);
}

static void complete(struct task *task)
{
    struct rig_io *io = io_of(task);
    uint32_t n =
        task->data_in_length < task->expected_in ? task->data_in_length : task->expected_in;

    if (n)
        payload_read(&task->data_in, 0, io->data, n);
    payload_free(task->reactor->payloads, &task->data_in);
    payload_free(task->reactor->payloads, &task->data_out);
    io->came = n;
    io->status = task->status;
    io->sense_length = task->sense_length;
    memcpy(io->sense, task->sense, task->sense_length);
    io->silent = task->silent;
    rig_count(&io->done);
}

static const struct task_transport transport = {"rig", receive_data, complete};

struct rig_io *rig_new(struct nexus *nexus, uint8_t opcode, uint64_t lba, uint32_t blocks,
                       uint32_t length)
{
    struct rig_io *io = calloc(1, sizeof *io);
    struct task *task = &io->task;

    io->data = malloc(LIMIT_TRANSFER);
    task->transport = &transport;
    task->nexus = nexus;
    task->reactor = nexus->reactor;
    task->attribute = TASK_SIMPLE;
    task->cdb[0] = opcode;
    put_be64(task->cdb + 2, lba);
    if (opcode == 0x89)
        task->cdb[13] = (uint8_t)blocks;
    else
        put_be32(task->cdb + 10, blocks);
    task->cdb_length = 16;
    if (opcode == 0x88)
        task->expected_in = length;
    else
        task->expected_out = length;
    return io;
}

static void run_io(struct post *post)
{
    struct rig_io *io = container_of(post, struct rig_io, post);

    io->run(io);
}

static void execute(struct rig_io *io)
{
    task_execute(&io->task);
}

void rig_start(struct rig_io *io)
{
    io->run = execute;
    io->post.run = run_io;
    reactor_post(io->task.reactor, &io->post);
}

static void abort_loud(void *io)
{
    if (!rig_now(&((struct rig_io *)io)->done))
        task_abort(&((struct rig_io *)io)->task, false);
}

static void abort_silent(void *io)
{
    if (!rig_now(&((struct rig_io *)io)->done))
        task_abort(&((struct rig_io *)io)->task, true);
}

void rig_abort(struct rig_io *io, bool silent)
{
    rig_on(io->task.reactor, silent ? abort_silent : abort_loud, io);
}

struct rig_io *rig_end(struct rig_io *io)
{
    rig_wait(&io->done, 1);
    rig_on(io->task.reactor, nothing, NULL); /* nothing of it is on the stack any more */
    assert_int_equal(rig_now(&io->done), 1);
    return io;
}

void rig_free(struct rig_io *io)
{
    free(io->data);
    free(io);
}

uint32_t rig_codes(const struct rig_io *io)
{
    if (!io->sense_length)
        return (uint32_t)io->status << 24;
    assert_int_equal(io->sense[0] & 0x7f, 0x70);
    return (uint32_t)io->status << 24 | (io->sense[2] & 0xfu) << 16 | (uint32_t)io->sense[12] << 8 |
           io->sense[13];
}

void rig_pattern(uint8_t *data, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i += 4)
        put_be32(data + i, (uint32_t)(i + 1) * 2654435761u ^ seed * 40503u);
}

enum { ABORTED_COMMAND = 0x020b0000 };

void rig_write(struct nexus *nexus, uint64_t lba, uint32_t length, unsigned seed)
{
    struct rig_io *io = rig_new(nexus, 0x8a, lba, length / RIG_BLOCK, length);
    uint32_t codes;

    rig_pattern(io->data, length, seed);
    rig_start(io);
    codes = rig_codes(rig_end(io));
    rig_free(io);
    if (codes == ABORTED_COMMAND) /* the link was cut under it: as an initiator does */
        rig_write(nexus, lba, length, seed);
    else
        assert_int_equal(codes, 0);
}

void rig_check(struct nexus *nexus, uint64_t lba, uint32_t length, unsigned seed)
{
    struct rig_io *io = rig_new(nexus, 0x88, lba, length / RIG_BLOCK, length);
    uint8_t *want = malloc(length);

    rig_pattern(want, length, seed);
    rig_start(io);
    assert_int_equal(rig_codes(rig_end(io)), 0);
    assert_int_equal(io->came, length);
    assert_memory_equal(io->data, want, length);
    free(want);
    rig_free(io);
}

static void count_proxies(void *count)
{
    struct nexus *nexus;

    qb_list_for_each_entry(nexus, nexus_table_local(),
                           link) if (nexus->forwarded)(*(unsigned *)count)++;
}

unsigned rig_proxies(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < RIG_REACTORS; i++)
        rig_on(rig->reactors[i], count_proxies, &count);
    return count;
}

/* ---- setup ---- */

/* A loopback listener on a port of the kernel's choice, and its address. */
static int listen_here(struct config_address *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address->length = sizeof in;
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address->address, &address->length), 0);
    snprintf(address->text, sizeof address->text, "127.0.0.1");
    return fd;
}

static void start_peers(void *why)
{
    assert_int_equal(peer_start(&rig->config, why), 0);
}

static void open_unit(unsigned index)
{
    struct lu *lu = device_new();

    lu->index = lu->group_index = index;
    lu->block_size = RIG_BLOCK;
    atomic_init(&lu->blocks, RIG_BYTES / RIG_BLOCK);
    if (index == RIG_FAR) {
        watch.bytes = calloc(1, RIG_BYTES);
        watch.store = (struct store){
            .operations = &spy_operations, .size = RIG_BYTES, .block_size = RIG_BLOCK};
        lu->store = &watch.store; /* the near unit has none: nothing is executed there */
    }
    lanes_init_lu(lu, index);
    device_lus[index] = rig->units[index] = lu;
    device_lu_count = index + 1;
}

static void add_nexus(void *nexus)
{
    assert_int_equal(nexus_add_proxy(nexus), 0);
}

static void make_nexus(unsigned reactor, unsigned at)
{
    static struct config_lun lun = {.lun = 0, .lu_index = RIG_NEAR};
    struct config_host host = {.luns = &lun, .lun_count = 1};
    struct nexus *nexus = &rig->nexuses[reactor][at];
    char name[64];

    snprintf(name, sizeof name, "iqn.2026-11.example:r%u-%u", reactor, at);
    nexus->reactor = rig->reactors[reactor];
    identity_from_iscsi(&nexus->identity, name, (const uint8_t[6]){0x40}, 1);
    nexus->lun_map = lun_map_new(&host);
    rig_on(nexus->reactor, add_nexus, nexus);
}

int rig_setup(void **state)
{
    struct config_address server;
    char why[256] = "";
    int relay_listener;

    rig = calloc(1, sizeof *rig);
    rig->config.nodes = rig->nodes;
    rig->config.node_count = 3;
    rig->config.hold_ms = RIG_HOLD_MS;
    for (unsigned i = 0; i < 3; i++)
        rig->nodes[i].id = i + 1;
    close(listen_here(&rig->nodes[0].peer));
    server = rig->nodes[0].peer;
    relay_listener = listen_here(&rig->nodes[1].peer);
    rig->raw_listener = listen_here(&rig->nodes[RIG_RAW_NODE - 1].peer);
    memset(rig->config.digest, 0xd1, sizeof rig->config.digest);
    memset(rig->config.cluster_uuid, 0xc1, sizeof rig->config.cluster_uuid);

    command_index_build();
    threads.reactor_count = RIG_REACTORS;
    assert_int_equal(mailbox_init(&threads.control), 0);
    for (unsigned i = 0; i < RIG_REACTORS; i++) {
        rig->reactors[i] = threads.reactors[i] = calloc(1, sizeof *threads.reactors[i]);
        assert_int_equal(reactor_init(rig->reactors[i], i, 256), 0);
        rig->reactors[i]->payloads = payload_pool_new(RIG_POOL);
    }
    nexus_table_init();
    lanes_init(2, RIG_HOLD_MS);
    open_unit(RIG_NEAR);
    open_unit(RIG_FAR);
    for (unsigned i = 0; i < RIG_REACTORS; i++)
        pthread_create(&reactor_threads[i], NULL, reactor_main, rig->reactors[i]);
    pthread_create(&control_thread, NULL, control_main, NULL);
    rig_on_control(start_peers, why);
    peers_running = true;
    relay_start(relay_listener, &server);
    for (unsigned i = 0; i < RIG_REACTORS; i++) {
        make_nexus(i, 0);
        make_nexus(i, 1);
    }
    rig_gate(RIG_NEAR, GATE_FORWARD, 2);
    rig_gate(RIG_FAR, GATE_EXECUTE, 1);
    return 0;
}

static void stopped(void *context)
{
    rig_count(&rig_stopped);
}

static void stop_peers(void *unused)
{
    peer_stop(stopped, NULL);
}

void rig_stop(void)
{
    peers_running = false;
    rig_on_control(stop_peers, NULL);
}

static void remove_nexus(void *nexus)
{
    nexus_remove_proxy(nexus);
}

int rig_teardown(void **state)
{
    if (peers_running)
        rig_stop();
    rig_wait(&rig_stopped, 1);
    assert_int_equal(rig_proxies(), 0);
    relay_stop();
    for (unsigned i = 0; i < RIG_REACTORS * 2; i++) {
        struct nexus *nexus = &rig->nexuses[i / 2][i % 2];
        rig_on(nexus->reactor, remove_nexus, nexus);
        lun_map_free(nexus->lun_map);
    }
    rig_on_control(stop_control, NULL);
    pthread_join(control_thread, NULL);
    for (unsigned i = 0; i < RIG_REACTORS; i++) {
        rig_on(rig->reactors[i], stop_reactor, rig->reactors[i]);
        pthread_join(reactor_threads[i], NULL);
        assert_int_equal(payload_pool_free_permille(rig->reactors[i]->payloads), 1000);
        payload_pool_free(rig->reactors[i]->payloads);
        reactor_done(rig->reactors[i]);
        free(rig->reactors[i]);
    }
    free(watch.bytes);
    free(rig->units[RIG_NEAR]);
    free(rig->units[RIG_FAR]);
    mailbox_done(&threads.control);
    close(rig->raw_listener);
    free(rig);
    return 0;
}
