/* Limits of I/Os and bytes, and what the meters count, with the real command layer, lanes and
 * memory store on one reactor. Not covered: several reactors at one limit, reload
 * (tests/conform/single). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "target/base/bytes.h"
#include "target/base/threads.h"
#include "target/command/command.h"
#include "target/device/device.h"
#include "target/nexus/lane_change.h"
#include "target/nexus/lane_private.h"
#include "target/nexus/limit.h"
#include "target/nexus/lun_map.h"
#include "target/nexus/meter.h"
#include "target/nexus/nexus_table.h"

enum { SIZE = 1 << 20, TASKS = 8, MS = 1000000 };

static struct reactor reactor;
static struct nexus nexus;
static struct lu lu;
static struct task tasks[TASKS];
static unsigned completed;
static struct config_lu config_lu = {.name = "disk"};
static struct config_host config_host = {.name = "esx"};
static struct config config = {
    .lus = &config_lu, .lu_count = 1, .hosts = &config_host, .host_count = 1};

static void receive_data(struct task *owner, uint32_t length)
{
    task_data_ready(owner);
}

static void complete(struct task *owner)
{
    completed++;
    payload_free(reactor.payloads, &owner->data_in);
    payload_free(reactor.payloads, &owner->data_out);
}

static const struct task_transport transport = {"test", receive_data, complete};

static void nothing(void *context)
{
}

static void turns(uint64_t ns)
{
    uint64_t until = monotonic_ns() + ns;

    while (monotonic_ns() < until) {
        reactor_turn(&reactor, MS);
        mailbox_run(&threads.control);
    }
}

static void until_completed(unsigned count)
{
    uint64_t until = monotonic_ns() + 20000ull * MS;

    while (completed < count && monotonic_ns() < until) {
        reactor_turn(&reactor, MS);
        mailbox_run(&threads.control);
    }
    assert_int_equal(completed, count);
}

static int setup(void **state)
{
    static struct config_lun lun = {.lun = 0, .lu_index = 0};
    struct config_host host = {.luns = &lun, .lun_count = 1};
    struct store_options options = {.size = SIZE, .block_size = 512};
    struct lane_change *change;
    char why[256];

    memset(&nexus, 0, sizeof nexus);
    memset(&lu, 0, sizeof lu);
    completed = 0;
    command_index_build();
    assert_int_equal(reactor_init(&reactor, 0, 32), 0);
    reactor.payloads = payload_pool_new(16 << 20);
    assert_int_equal(mailbox_init(&threads.control), 0);
    threads.reactor_count = 1;
    threads.reactors[0] = &reactor;
    reactor_turn(&reactor, 0);
    nexus_table_init();
    lanes_init(1, 5000);
    assert_int_equal(memory_store_open(&options, &lu.store, why), 0);
    strcpy(lu.config.name, "disk");
    lu.block_size = 512;
    lu.blocks = SIZE / 512;
    lanes_init_lu(&lu, 0);
    device_lus[0] = &lu;
    device_lu_count = 1;
    config_lu.iops_limit = config_host.iops_limit = 0;
    config_lu.bytes_limit = config_host.bytes_limit = 0;
    meters_configure(&config);
    nexus.reactor = &reactor;
    identity_from_iscsi(&nexus.identity, "iqn.2026-11.example:a", (const uint8_t[6]){0x40}, 1);
    nexus.tpgt = 1;
    nexus.lun_map = lun_map_new(&host);
    assert_int_equal(nexus_add_proxy(&nexus), 0);
    nexus.meter = meter_of_host("esx");
    assert_non_null(nexus.meter);
    change = lane_change_new(nothing, NULL);
    lane_change_group(change, 0, GATE_EXECUTE, 1, 0, false);
    lane_change_run(change);
    turns(10 * MS);
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(payload_pool_free_permille(reactor.payloads), 1000);
    nexus_remove_proxy(&nexus);
    lun_map_free(nexus.lun_map);
    store_close(lu.store);
    free(lu.meter);
    meters_done();
    free(lanes.groups);
    payload_pool_free(reactor.payloads);
    mailbox_done(&threads.control);
    reactor_done(&reactor);
    return 0;
}

/* READ(10) or WRITE(10) of 8 blocks. */
static void start(unsigned number, uint8_t opcode)
{
    struct task *task = &tasks[number];

    memset(task, 0, sizeof *task);
    task->transport = &transport;
    task->nexus = &nexus;
    task->reactor = &reactor;
    task->attribute = TASK_SIMPLE;
    task->tag = number;
    task->cdb[0] = opcode;
    put_be16(task->cdb + 7, 8);
    task->cdb_length = 16;
    if (opcode == 0x28)
        task->expected_in = 4096;
    else
        task->expected_out = 4096;
    task_execute(task);
}

static void set(unsigned lu_iops, uint64_t lu_bytes, unsigned host_iops, uint64_t host_bytes)
{
    config_lu.iops_limit = lu_iops;
    config_lu.bytes_limit = lu_bytes;
    config_host.iops_limit = host_iops;
    config_host.bytes_limit = host_bytes;
    meters_configure(&config);
}

static void rate_when_taken_then_each_has_its_time(void **state)
{
    struct rate rate = {.per_second = 100};
    const uint64_t now = 5000ull * MS, ms = MS;

    /* What was not used in the last 20 ms may be used at once: two, and the one that is due. */
    assert_int_equal(rate_take(&rate, 1, now), now - 20 * ms);
    assert_int_equal(rate_take(&rate, 1, now), now - 10 * ms);
    assert_int_equal(rate_take(&rate, 1, now), now);
    assert_int_equal(rate_take(&rate, 1, now), now + 10 * ms);
    assert_int_equal(rate_take(&rate, 5, now), now + 20 * ms);
    assert_int_equal(rate_take(&rate, 1, now), now + 70 * ms);
    /* A pause earns no more than the burst. */
    assert_int_equal(rate_take(&rate, 1, now + 1000 * ms), now + 980 * ms);
    atomic_store(&rate.per_second, 0);
    assert_int_equal(rate_take(&rate, 1000000, now), 0);
}

static void rate_when_units_are_many_then_does_not_overflow(void **state)
{
    struct rate rate = {.per_second = 1};
    const uint64_t now = 5000ull * MS;

    rate_take(&rate, LIMIT_UNMAP, now);
    assert_int_equal(rate_take(&rate, 1, now),
                     now - LIMIT_BURST_NS + (uint64_t)LIMIT_UNMAP * 1000 * MS);
}

static void commands_when_over_a_limit_then_wait(unsigned lu_iops, uint64_t lu_bytes,
                                                 unsigned host_iops, uint64_t host_bytes)
{
    uint64_t began;

    set(lu_iops, lu_bytes, host_iops, host_bytes);
    turns(MS);
    began = reactor.now_ns;
    for (unsigned i = 0; i < TASKS; i++)
        start(i, i % 2 ? 0x28 : 0x2a);
    assert_int_equal(tasks[TASKS - 1].state, TASK_HELD);
    until_completed(TASKS);
    /* 8 commands, 20 ms each, of which one is due at once and one is the burst. */
    assert_true(monotonic_ns() - began >= 118ull * MS);
    for (unsigned i = 0; i < TASKS; i++)
        assert_int_equal(tasks[i].status, 0);
}

static void commands_when_over_iops_of_the_lu_then_wait(void **state)
{
    commands_when_over_a_limit_then_wait(50, 0, 0, 0);
}

static void commands_when_over_bytes_of_the_lu_then_wait(void **state)
{
    commands_when_over_a_limit_then_wait(0, 50 * 4096, 1000, 0);
}

static void commands_when_over_iops_of_the_host_then_wait(void **state)
{
    commands_when_over_a_limit_then_wait(1000, 0, 50, 0);
}

static void commands_when_over_bytes_of_the_host_then_wait(void **state)
{
    commands_when_over_a_limit_then_wait(0, 0, 0, 50 * 4096);
}

static void command_when_it_waits_and_is_aborted_then_ends_at_once(void **state)
{
    set(1, 0, 0, 0);
    start(0, 0x28);
    start(1, 0x28);
    until_completed(1);
    assert_int_equal(tasks[1].state, TASK_HELD);
    task_abort(&tasks[1], true);
    assert_int_equal(completed, 2);
    assert_true(tasks[1].silent);
}

static void command_when_the_limit_is_lifted_then_goes_on(void **state)
{
    uint64_t began = monotonic_ns();

    set(1, 0, 0, 0);
    for (unsigned i = 0; i < 4; i++)
        start(i, 0x28);
    until_completed(1);
    set(0, 0, 0, 0);
    until_completed(4);
    assert_true(monotonic_ns() - began < 2500ull * MS); /* under the limit: 3 s */
}

/* A proxy of another node has no host here: it was limited there. */
static void command_when_the_host_is_of_another_node_then_only_the_lu_limits(void **state)
{
    nexus.meter = NULL;
    set(50, 0, 1, 0);
    start(0, 0x28);
    start(1, 0x28);
    until_completed(2);
    nexus.meter = meter_of_host("esx");
}

static void meter_when_commands_end_then_counts(void **state)
{
    struct meter_sum disk = {0}, host = {0};

    start(0, 0x28);
    start(1, 0x2a);
    start(2, 0x28);
    until_completed(3);
    meter_add(lu.meter, &disk);
    meter_add(nexus.meter, &host);
    assert_int_equal(disk.commands[METER_READ], 2);
    assert_int_equal(disk.bytes[METER_READ], 8192);
    assert_int_equal(disk.commands[METER_WRITE], 1);
    assert_int_equal(disk.bytes[METER_WRITE], 4096);
    assert_int_equal(disk.commands[METER_OTHER], 0);
    assert_memory_equal(&disk, &host, sizeof disk);
}

static void meter_when_a_command_waits_then_its_latency_counts(void **state)
{
    struct meter_sum sum = {0};
    uint64_t slow = 0;

    set(20, 0, 0, 0);
    for (unsigned i = 0; i < 3; i++)
        start(i, 0x28);
    until_completed(3);
    meter_add(lu.meter, &sum);
    for (unsigned i = 15; i < METER_BUCKETS; i++) /* 16384 us and more */
        slow += sum.latency[METER_READ][i];
    assert_true(slow >= 2); /* on a busy machine the first as well */
    assert_true(sum.microseconds[METER_READ] >= 80000);
}

static void meter_when_the_nexus_is_of_another_node_then_does_not_count(void **state)
{
    struct meter_sum sum = {0};

    nexus.forwarded = true;
    start(0, 0x28);
    until_completed(1);
    nexus.forwarded = false;
    meter_add(lu.meter, &sum);
    assert_int_equal(sum.commands[METER_READ], 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(rate_when_taken_then_each_has_its_time),
        cmocka_unit_test(rate_when_units_are_many_then_does_not_overflow),
        TEST(commands_when_over_iops_of_the_lu_then_wait),
        TEST(commands_when_over_bytes_of_the_lu_then_wait),
        TEST(commands_when_over_iops_of_the_host_then_wait),
        TEST(commands_when_over_bytes_of_the_host_then_wait),
        TEST(command_when_it_waits_and_is_aborted_then_ends_at_once),
        TEST(command_when_the_limit_is_lifted_then_goes_on),
        TEST(command_when_the_host_is_of_another_node_then_only_the_lu_limits),
        TEST(meter_when_commands_end_then_counts),
        TEST(meter_when_a_command_waits_then_its_latency_counts),
        TEST(meter_when_the_nexus_is_of_another_node_then_does_not_count),
    };

    return cmocka_run_group_tests_name("limit", cases, NULL, NULL);
}
