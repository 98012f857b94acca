/* REPORT TARGET PORT GROUPS and SET TARGET PORT GROUPS.
 *
 * Not covered: how access states change (tests of the shared state), who grants a wish. */
#include "command_rig.h"

#include <string.h>

#include "alua/alua.h"

static struct rig_task *rtpg(unsigned nexus, uint8_t format, uint32_t room)
{
    uint8_t cdb[12] = {0xa3, (uint8_t)(format << 5 | 0x0a)};

    put_be32(cdb + 6, room);
    return rig_run(nexus, 0, cdb, 12, room, NULL, 0);
}

static void report_when_asked_on_two_nodes_then_the_same_bytes(void **state)
{
    static struct rig_task here;
    struct rig_task *there;

    here = *rtpg(0, 1, 128);
    there = rtpg(2, 1, 128);
    assert_good(&here);
    assert_int_equal(here.in_length, 8 + 2 * 12);
    assert_int_equal(there->in_length, here.in_length);
    assert_memory_equal(here.in, there->in, here.in_length);
    assert_int_equal(get_be32(here.in), 4 + 2 * 12);
    assert_int_equal(here.in[4], 0x10);
    assert_int_equal(here.in[5], 20); /* seconds, never 0 */
    assert_memory_equal(here.in + 8, "\x00\x8f\0\x01\0\x02\0\x01\0\0\0\x01", 12);
    assert_memory_equal(here.in + 20, "\x01\x8f\0\x02\0\x02\0\x01\0\0\0\x02", 12);
}

static void report_when_plain_or_truncated_then_length_is_whole(void **state)
{
    struct rig_task *task = rtpg(0, 0, 128);

    assert_int_equal(task->in_length, 4 + 2 * 12);
    assert_int_equal(get_be32(task->in), 2 * 12);
    assert_int_equal(task->in[4], 0);
    for (uint32_t room = 0; room < 32; room++) {
        task = rtpg(0, 1, room);
        assert_good(task);
        assert_int_equal(task->in_length, room);
        if (room >= 4)
            assert_int_equal(get_be32(task->in), 28);
    }
    task = rtpg(0, 2, 128);
    assert_sense(task, 5, 0x24, 0);
    assert_field(task, true, 1, 6);
}

static void report_when_explicit_or_without_lease_then_says_so(void **state)
{
    struct rig_task *task;

    rig->state->groups[0].explicit_transition = true;
    assert_int_equal(rtpg(0, 1, 128)->in[8 + 5], 1);
    rig->lease = false;
    task = rtpg(0, 1, 128);
    assert_good(task);
    assert_int_equal(task->in[8], ALUA_TRANSITIONING);
    assert_int_equal(task->in[20], ALUA_TRANSITIONING);
}

static void states_when_each_then_reported_as_agreed(void **state)
{
    static const uint8_t states[] = {0x0, 0x1, 0x2, 0x3, 0xe, 0xf};

    for (unsigned i = 0; i < sizeof states; i++) {
        rig->state->groups[0].states[2] = states[i];
        assert_int_equal(rtpg(0, 1, 128)->in[20], states[i]);
    }
}

static struct rig_task *stpg(const void *list, uint32_t length, uint32_t sent)
{
    uint8_t cdb[12] = {0xa4, 0x0a};

    put_be32(cdb + 6, length);
    return rig_run(0, 0, cdb, 12, 0, list, sent);
}

static void wish_when_expressed_then_handed_on_or_refused(void **state)
{
    static const uint8_t to_two[12] = {0, 0, 0, 0, 0x01, 0, 0, 1, 0x00, 0, 0, 2};
    static const uint8_t offline[8] = {0, 0, 0, 0, 0x0e, 0, 0, 1};
    static const uint8_t both[12] = {0, 0, 0, 0, 0x00, 0, 0, 1, 0x00, 0, 0, 2};
    static const uint8_t unknown[8] = {0, 0, 0, 0, 0x00, 0, 0, 99};

    assert_good(stpg(to_two, 12, 12));
    assert_int_equal(rig->wish_node, 2);
    rig->wish_refused = true;
    assert_sense(stpg(to_two, 12, 12), 4, 0x67, 0x0a);
    assert_good(stpg(NULL, 0, 0));
    assert_sense(stpg(offline, 8, 8), 5, 0x26, 0);
    assert_sense(stpg(both, 12, 12), 5, 0x26, 0);
    assert_sense(stpg(unknown, 8, 8), 5, 0x26, 0);
    assert_sense(stpg(to_two, 10, 10), 5, 0x1a, 0);
    assert_sense(stpg(to_two, 12, 8), 5, 0x1a, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(report_when_asked_on_two_nodes_then_the_same_bytes),
        T(report_when_plain_or_truncated_then_length_is_whole),
        T(report_when_explicit_or_without_lease_then_says_so),
        T(states_when_each_then_reported_as_agreed),
        T(wish_when_expressed_then_handed_on_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
