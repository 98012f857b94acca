/* PERSISTENT RESERVE IN and OUT, RESERVE and RELEASE on the wire, over the real shared state.
 *
 * Not covered: the rules of reservations (tests of the shared state), the commit between nodes. */
#include "command_rig.h"

#include <string.h>

#include "target/command/pr_parameters.h"

enum { KEY_A = 0xaaaa, KEY_B = 0xbbbb };

static struct rig_task *pr_out(unsigned nexus, uint8_t action, uint8_t type, uint64_t key,
                               uint64_t action_key, uint8_t bits)
{
    uint8_t cdb[10] = {0x5f, action, type, 0, 0, 0, 0, 0, 24};
    uint8_t list[24] = {0};

    put_be64(list, key);
    put_be64(list + 8, action_key);
    list[20] = bits;
    return rig_run(nexus, 0, cdb, 10, 0, list, 24);
}

static struct rig_task *pr_in(unsigned nexus, uint8_t action, uint16_t room)
{
    uint8_t cdb[10] = {0x5e, action};

    put_be16(cdb + 7, room);
    return rig_run(nexus, 0, cdb, 10, room, NULL, 0);
}

static void reservation_when_made_then_read_back_and_kept(void **state)
{
    static const uint8_t write_one[10] = {0x2a, 0, 0, 0, 0, 5, 0, 0, 1};
    static const uint8_t read_one[10] = {0x28, 0, 0, 0, 0, 5, 0, 0, 1};
    static uint8_t block[RIG_BLOCK];
    struct rig_task *task;

    assert_good(pr_out(0, PR_OUT_REGISTER, 0, 0, KEY_A, 0));
    assert_good(pr_out(1, PR_OUT_REGISTER_AND_IGNORE, 0, 77, KEY_B, 0));
    assert_good(pr_out(0, PR_OUT_RESERVE, PR_WRITE_EXCLUSIVE, KEY_A, 0, 0));
    task = pr_in(1, PR_IN_READ_KEYS, 4096);
    assert_good(task);
    assert_int_equal(get_be32(task->in), 2);
    assert_int_equal(get_be32(task->in + 4), 16);
    task = pr_in(1, PR_IN_READ_RESERVATION, 4096);
    assert_int_equal(get_be32(task->in + 4), 16);
    assert_int_equal(get_be64(task->in + 8), KEY_A);
    assert_int_equal(task->in[21], PR_WRITE_EXCLUSIVE);
    assert_status(rig_run(1, 0, write_one, 10, 0, block, 512), 0x18);
    assert_status(rig_run(2, 0, write_one, 10, 0, block, 512),
                  0x18); /* another port: another nexus */
    assert_good(rig_run(1, 0, read_one, 10, 512, NULL, 0));
    assert_good(rig_run(0, 0, write_one, 10, 0, block, 512));
    assert_status(pr_out(1, PR_OUT_RESERVE, PR_WRITE_EXCLUSIVE, KEY_B, 0, 0), 0x18);
    assert_status(pr_out(1, PR_OUT_RESERVE, PR_WRITE_EXCLUSIVE, KEY_A, 0, 0), 0x18);
    assert_good(pr_out(1, PR_OUT_PREEMPT, PR_WRITE_EXCLUSIVE, KEY_B, KEY_A, 0));
    assert_sense(rig_run(0, 0, write_one, 10, 0, block, 512), 6, 0x2a, 0x05);
    assert_status(rig_run(0, 0, write_one, 10, 0, block, 512), 0x18);
    assert_good(pr_out(1, PR_OUT_CLEAR, 0, KEY_B, 0, 0));
    task = pr_in(1, PR_IN_READ_RESERVATION, 4096);
    assert_int_equal(get_be32(task->in + 4), 0);
}

static void key_when_all_registrants_hold_then_zero(void **state)
{
    struct rig_task *task;

    pr_out(0, PR_OUT_REGISTER, 0, 0, KEY_A, 0);
    pr_out(0, PR_OUT_RESERVE, PR_WRITE_EXCLUSIVE_ALL_REGISTRANTS, KEY_A, 0, 0);
    task = pr_in(0, PR_IN_READ_RESERVATION, 255);
    assert_int_equal(get_be64(task->in + 8), 0);
    assert_int_equal(task->in[21], PR_WRITE_EXCLUSIVE_ALL_REGISTRANTS);
}

static void answers_when_room_is_small_then_full_length_is_told(void **state)
{
    for (uint8_t action = 0; action < 4; action++) {
        uint8_t whole[512];
        uint32_t length;
        struct rig_task *task;

        if (!action) {
            pr_out(0, PR_OUT_REGISTER, 0, 0, KEY_A, 0);
            pr_out(1, PR_OUT_REGISTER, 0, 0, KEY_B, 0);
            pr_out(0, PR_OUT_RESERVE, PR_EXCLUSIVE_ACCESS_REGISTRANTS_ONLY, KEY_A, 0, 0);
        }
        task = pr_in(0, action, sizeof whole);
        assert_good(task);
        length = task->in_length;
        memcpy(whole, task->in, length);
        for (uint16_t room = 0; room <= length; room++) {
            task = pr_in(0, action, room);
            assert_good(task);
            assert_int_equal(task->in_length, room);
            assert_int_equal(task->task.data_wanted, room);
            assert_memory_equal(task->in, whole, room);
        }
    }
}

static void full_status_when_read_then_each_registrant(void **state)
{
    struct rig_task *task;
    unsigned at = 8, holders = 0, count = 0;

    pr_out(0, PR_OUT_REGISTER, 0, 0, KEY_A, 0x04); /* ALL_TG_PT: both ports */
    pr_out(1, PR_OUT_REGISTER, 0, 0, KEY_B, 0);
    pr_out(1, PR_OUT_RESERVE, PR_EXCLUSIVE_ACCESS, KEY_B, 0, 0);
    task = pr_in(0, PR_IN_READ_FULL_STATUS, 4096);
    assert_good(task);
    assert_int_equal(get_be32(task->in + 4) + 8, task->in_length);
    while (at < task->in_length) {
        uint32_t id_length = get_be32(task->in + at + 20);
        bool holder = task->in[at + 12] & 1;
        assert_int_equal(identity_transport_length(task->in + at + 24, id_length), id_length);
        assert_int_equal(get_be64(task->in + at), holder ? KEY_B : KEY_A);
        assert_int_equal(task->in[at + 13], holder ? PR_EXCLUSIVE_ACCESS : 0);
        assert_in_range(get_be16(task->in + at + 18), 1, 2);
        holders += holder;
        count++;
        at += 24 + id_length;
    }
    assert_int_equal(at, task->in_length);
    assert_int_equal(count, 3);
    assert_int_equal(holders, 1);
}

static void capabilities_when_read_then_all_types_and_aptpl(void **state)
{
    assert_memory_equal(pr_in(0, PR_IN_REPORT_CAPABILITIES, 8)->in, "\0\x08\x1d\x90\xea\x01\0\0",
                        8);
    pr_out(0, PR_OUT_REGISTER, 0, 0, KEY_A, 0x01);
    assert_memory_equal(pr_in(0, PR_IN_REPORT_CAPABILITIES, 8)->in, "\0\x08\x1d\x91\xea\x01\0\0",
                        8);
}

static void parameter_list_when_wrong_then_told_and_not_committed(void **state)
{
    uint8_t cdb[10] = {0x5f, PR_OUT_REGISTER, 0, 0, 0, 0, 0, 0, 0};
    uint8_t list[64] = {0};
    struct rig_task *task;

    for (uint8_t length = 0; length < 40; length++) {
        if (length == 24)
            continue;
        cdb[8] = length;
        assert_sense(rig_run(0, 0, cdb, 10, 0, list, length), 5, 0x1a, 0);
    }
    cdb[8] = 24;
    assert_sense(rig_run(0, 0, cdb, 10, 0, list, 20), 5, 0x1a, 0); /* less is sent than promised */
    task = pr_out(0, PR_OUT_REGISTER_AND_IGNORE, 0, 0, KEY_A, 0x08);
    assert_sense(task, 5, 0x26, 0);
    assert_field(task, false, 20, -1);
    task = pr_out(0, PR_OUT_RESERVE, 0x02, KEY_A, 0, 0);
    assert_sense(task, 5, 0x24, 0);
    task = pr_out(0, PR_OUT_RESERVE, 0x11, KEY_A, 0, 0); /* scope */
    assert_sense(task, 5, 0x24, 0);
    assert_field(task, true, 2, 4);
    assert_int_equal(rig->commits, 0);
    cdb[1] = 0x1f;
    assert_sense(rig_run(0, 0, cdb, 10, 0, list, 24), 5, 0x24, 0);
}

static void specified_ports_when_sent_then_registered_with_the_sender(void **state)
{
    const struct nexus_identity *other = &rig->nexuses[1].identity;
    uint8_t cdb[10] = {0x5f, PR_OUT_REGISTER}, list[28 + LIMIT_TRANSPORT_ID] = {0};
    uint32_t length = 28u + other->transport_length;
    struct rig_task *task;

    put_be32(cdb + 5, length);
    put_be64(list + 8, KEY_A);
    list[20] = 0x08;
    put_be32(list + 24, other->transport_length);
    memcpy(list + 28, other->transport_id, other->transport_length);
    assert_good(rig_run(0, 0, cdb, 10, 0, list, length));
    assert_int_equal(get_be32(pr_in(0, PR_IN_READ_KEYS, 255)->in + 4), 16);
    assert_true(rig->nexuses[1].lus[0].registered);
    list[28] = 0x0f; /* no such protocol */
    task = rig_run(0, 0, cdb, 10, 0, list, length);
    assert_sense(task, 5, 0x26, 0);
    assert_field(task, false, 28, -1);
    put_be32(list + 24, other->transport_length - 4u);
    assert_sense(rig_run(0, 0, cdb, 10, 0, list, length), 5, 0x1a, 0);
}

static void move_when_asked_then_the_other_holds(void **state)
{
    const struct nexus_identity *other = &rig->nexuses[1].identity;
    uint8_t cdb[10] = {0x5f, PR_OUT_REGISTER_AND_MOVE}, list[24 + LIMIT_TRANSPORT_ID] = {0};
    uint32_t length = 24u + other->transport_length;

    pr_out(0, PR_OUT_REGISTER, 0, 0, KEY_A, 0);
    pr_out(0, PR_OUT_RESERVE, PR_EXCLUSIVE_ACCESS, KEY_A, 0, 0);
    put_be32(cdb + 5, length);
    put_be64(list, KEY_A);
    put_be64(list + 8, KEY_B);
    put_be16(list + 18, other->rtpi);
    put_be32(list + 20, other->transport_length);
    memcpy(list + 24, other->transport_id, other->transport_length);
    assert_good(rig_run(0, 0, cdb, 10, 0, list, length));
    assert_true(rig->nexuses[1].lus[0].holder);
    assert_false(rig->nexuses[0].lus[0].holder);
    put_be32(list + 20, other->transport_length - 4u);
    assert_sense(rig_run(0, 0, cdb, 10, 0, list, length), 5, 0x1a, 0);
}

static void legacy_when_reserved_then_others_conflict_and_release_is_good(void **state)
{
    static const uint8_t tur[6], reserve6[6] = {0x16}, release6[6] = {0x17};
    static const uint8_t reserve10[10] = {0x56}, release10[10] = {0x57};
    static const uint8_t inquiry[6] = {0x12, 0, 0, 0, 96};

    assert_good(rig_run(0, 0, reserve6, 6, 0, NULL, 0));
    assert_good(rig_run(0, 0, reserve10, 10, 0, NULL, 0));
    assert_status(rig_run(1, 0, reserve6, 6, 0, NULL, 0), 0x18);
    assert_status(rig_run(1, 0, tur, 6, 0, NULL, 0), 0x18);
    assert_status(pr_in(1, PR_IN_READ_KEYS, 255), 0x18);
    assert_status(pr_out(1, PR_OUT_REGISTER, 0, 0, KEY_B, 0), 0x18);
    assert_good(rig_run(1, 0, inquiry, 6, 96, NULL, 0));
    assert_good(rig_run(1, 0, release6, 6, 0, NULL, 0));
    assert_status(rig_run(1, 0, tur, 6, 0, NULL, 0), 0x18);
    assert_good(rig_run(0, 0, tur, 6, 0, NULL, 0));
    assert_good(rig_run(0, 0, release10, 10, 0, NULL, 0));
    assert_good(rig_run(1, 0, tur, 6, 0, NULL, 0));
}

static void commit_when_aborted_meanwhile_then_answer_is_silent(void **state)
{
    static const uint8_t reserve6[6] = {0x16};
    struct rig_task *task = rig_new(0, 0, reserve6, 6, 0, 0);

    rig->keep_commits = true;
    rig_go(task, NULL);
    task_abort(&task->task, true);
    assert_false(task->completed);
    rig_commit();
    assert_true(task->completed && task->task.silent);
    assert_true(rig->state->lus[0].legacy_reserved); /* it was done all the same */
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(reservation_when_made_then_read_back_and_kept),
        T(key_when_all_registrants_hold_then_zero),
        T(answers_when_room_is_small_then_full_length_is_told),
        T(full_status_when_read_then_each_registrant),
        T(capabilities_when_read_then_all_types_and_aptpl),
        T(parameter_list_when_wrong_then_told_and_not_committed),
        T(specified_ports_when_sent_then_registered_with_the_sender),
        T(move_when_asked_then_the_other_holds),
        T(legacy_when_reserved_then_others_conflict_and_release_is_good),
        T(commit_when_aborted_meanwhile_then_answer_is_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
