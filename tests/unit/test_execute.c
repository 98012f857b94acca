/* The life of a task: checks and their order, data phase, holding, task attributes, aborts, the
 * lease.
 *
 * Not covered: what lanes decide (doubles here), the disk handlers (tests of target/device),
 * threads. */
#include "command_rig.h"

#include <string.h>

static const uint8_t tur[6];
static const uint8_t read_one[10] = {0x28, 0, 0, 0, 0, 5, 0, 0, 1};
static const uint8_t write_one[10] = {0x2a, 0, 0, 0, 0, 5, 0, 0, 1};
static const uint8_t write_two[10] = {0x2a, 0, 0, 0, 0, 5, 0, 0, 2};
static uint8_t block[2 * RIG_BLOCK];

static struct rig_task *simple(unsigned nexus, const uint8_t *cdb, unsigned length)
{
    return rig_run(nexus, 0, cdb, length, 4096, NULL, 0);
}

static void read_when_good_then_data_comes(void **state)
{
    struct rig_task *task = simple(0, read_one, 10);

    assert_good(task);
    assert_int_equal(task->in_length, RIG_BLOCK);
    assert_int_equal(task->task.data_wanted, RIG_BLOCK);
    assert_int_equal(rig->admitted, 1);
    assert_int_equal(rig->left, 1);
}

static void write_when_good_then_data_is_fetched_first(void **state)
{
    struct rig_task *task = rig_new(0, 0, write_one, 10, 0, RIG_BLOCK);

    rig_go(task, NULL);
    assert_true(task->wants_data);
    assert_int_equal(task->task.state, TASK_DATA_OUT);
    assert_int_equal(rig->admitted, 0);
    task_data_ready(&task->task);
    assert_true(task->completed);
    assert_good(task);
    assert_int_equal(rig->media_runs, 1);
}

static void write_when_initiator_sends_less_then_whole_blocks_are_written(void **state)
{
    struct rig_task *task = rig_run(0, 0, write_two, 10, 0, block, RIG_BLOCK + 100);

    assert_good(task);
    assert_int_equal(rig->media_blocks, 1);
    assert_int_equal(task->task.data_wanted, 2 * RIG_BLOCK); /* residual overflow */
    task = rig_run(0, 0, write_one, 10, 0, block, 200);
    assert_good(task);
    assert_int_equal(rig->media_runs, 1); /* less than a block: nothing is written */
    assert_int_equal(task->task.data_wanted, RIG_BLOCK);
    task = rig_run(0, 0, write_one, 10, 0, block, 0);
    assert_good(task);
    assert_int_equal(rig->media_runs, 1);
}

static void write_when_initiator_sends_more_then_only_the_cdb_counts(void **state)
{
    struct rig_task *task = rig_run(0, 0, write_one, 10, 0, block, 2 * RIG_BLOCK);

    assert_good(task);
    assert_int_equal(rig->media_blocks, 1);
    assert_int_equal(task->task.data_wanted, RIG_BLOCK); /* residual underflow */
}

static void write_same_when_block_is_cut_then_refused(void **state)
{
    static const uint8_t cdb[10] = {0x41, 0, 0, 0, 0, 0, 0, 0, 9};

    assert_sense(rig_run(0, 0, cdb, 10, 0, block, 100), 0xb, 0x4b, 0);
    assert_good(rig_run(0, 0, cdb, 10, 0, block, RIG_BLOCK));
    assert_int_equal(rig->media_blocks, 9);
}

static void payloads_when_empty_then_task_set_full(void **state)
{
    struct payload hold[300] = {0};
    unsigned count = 0;

    while (payload_pool_free_permille(rig->reactor.payloads) &&
           !payload_alloc(rig->reactor.payloads, &hold[count], SEGMENT_LARGE))
        count++;
    for (; !payload_alloc(rig->reactor.payloads, &hold[count % 300], 512) && count < 299;)
        count++;
    if (payload_pool_free_permille(rig->reactor.payloads)) { /* small ones are left: take all */
        static struct payload small[4096];
        unsigned n = 0;
        memset(small, 0, sizeof small);
        while (!payload_alloc(rig->reactor.payloads, &small[n], 512))
            n++;
        assert_status(simple(0, read_one, 10), 0x28);
        assert_status(rig_run(0, 0, write_one, 10, 0, block, RIG_BLOCK), 0x28);
        while (n--)
            payload_free(rig->reactor.payloads, &small[n]);
    } else {
        assert_status(simple(0, read_one, 10), 0x28);
    }
    for (unsigned i = 0; i < 300; i++)
        payload_free(rig->reactor.payloads, &hold[i]);
}

/* ---- checks and their order ---- */

static void lun_when_unmapped_then_only_three_commands_work(void **state)
{
    static const uint8_t inquiry[6] = {0x12, 0, 0, 0, 96};
    static const uint8_t evpd[6] = {0x12, 1, 0x83, 0, 96};
    static const uint8_t request_sense[6] = {0x03, 0, 0, 0, 18};
    static const uint8_t report_luns[12] = {0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0};
    struct rig_task *task;

    assert_sense(rig_run(0, 7, tur, 6, 0, NULL, 0), 5, 0x25, 0);
    assert_sense(rig_run(0, 7, read_one, 10, 512, NULL, 0), 5, 0x25, 0);
    assert_sense(rig_run(0, 7, "\xff\0\0\0\0\0", 6, 512, NULL, 0), 5, 0x25, 0);
    task = rig_run(0, 7, inquiry, 6, 96, NULL, 0);
    assert_good(task);
    assert_int_equal(task->in[0], 0x7f);
    assert_memory_equal(task->in + 8, "HALUN   ", 8);
    assert_sense(rig_run(0, 7, evpd, 6, 96, NULL, 0), 5, 0x24, 0);
    task = rig_run(0, 7, request_sense, 6, 18, NULL, 0);
    assert_good(task);
    assert_int_equal(task->in[2], 5);
    assert_int_equal(task->in[12], 0x25);
    task = rig_run(0, 7, report_luns, 12, 256, NULL, 0);
    assert_good(task);
    assert_int_equal(get_be32(task->in), 16);
}

static void lun_when_device_is_not_there_yet_then_busy(void **state)
{
    struct lu *lu = device_lus[1];

    device_lus[1] = NULL;
    assert_status(rig_run(0, 1, tur, 6, 0, NULL, 0), 0x08);
    device_lus[1] = lu;
    assert_good(rig_run(0, 1, tur, 6, 0, NULL, 0));
}

static void opcode_when_unknown_then_20_else_bad_action_24(void **state)
{
    static const uint8_t bad_action[12] = {0xa3, 0x1f};

    assert_sense(simple(0, (const uint8_t *)"\xff\0\0\0\0\0", 6), 5, 0x20, 0);
    assert_sense(simple(0, bad_action, 12), 5, 0x24, 0);
}

static void naca_when_set_then_field_pointer_at_control(void **state)
{
    uint8_t cdb[10];
    struct rig_task *task;

    memcpy(cdb, read_one, 10);
    cdb[9] = 0x04;
    task = simple(0, cdb, 10);
    assert_sense(task, 5, 0x24, 0);
    assert_field(task, true, 9, 2);
}

static void aca_attribute_when_used_then_invalid_message(void **state)
{
    struct rig_task *task = rig_new(0, 0, tur, 6, 0, 0);

    task->task.attribute = TASK_ACA;
    rig_go(task, NULL);
    assert_sense(task, 5, 0x49, 0);
}

/* Each row breaks one more rule than the next: the first one counts. */
static void checks_when_many_fail_then_first_in_order_answers(void **state)
{
    uint8_t cdb[10] = {0x2a, 0, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0x04};
    struct nexus_lu *own = &rig->nexuses[1].lus[1];

    own->unit_attentions = 1u << UA_CAPACITY_CHANGED;
    rig->group.gate = GATE_STANDBY;
    device_lus[1]->lanes[0].pr_type = PR_EXCLUSIVE_ACCESS;

    assert_sense(rig_run(1, 9, cdb, 10, 0, block, 512), 5, 0x25, 0);
    assert_sense(rig_run(1, 1, cdb, 10, 0, block, 512), 5, 0x24, 0);
    cdb[9] = 0;
    assert_sense(rig_run(1, 1, cdb, 10, 0, block, 512), 6, 0x2a, 0x09);
    assert_sense(rig_run(1, 1, cdb, 10, 0, block, 512), 2, 0x04, 0x0b);
    rig->group.gate = GATE_UNAVAILABLE;
    assert_sense(rig_run(1, 1, cdb, 10, 0, block, 512), 2, 0x04, 0x0c);
    rig->group.gate = GATE_EXECUTE;
    assert_status(rig_run(1, 1, cdb, 10, 0, block, 512), 0x18);
    device_lus[1]->lanes[0].pr_type = PR_NONE;
    assert_sense(rig_run(1, 1, cdb, 10, 0, block, 512), 7, 0x27, 0);
    assert_sense(rig_run(0, 1, cdb, 10, 0, block, 512), 5, 0x21, 0);
    assert_int_equal(rig->media_runs, 0);
    assert_int_equal(rig->admitted, 0);
}

static void write_protection_when_from_anywhere_then_27(void **state)
{
    assert_sense(rig_run(1, 1, write_one, 10, 0, block, 512), 7, 0x27, 0);
    assert_good(rig_run(0, 1, write_one, 10, 0, block, 512));
    device_lus[1]->lanes[0].mode.swp = 1;
    assert_sense(rig_run(0, 1, write_one, 10, 0, block, 512), 7, 0x27, 0);
    device_lus[0]->config.read_only = true;
    assert_sense(rig_run(0, 0, write_one, 10, 0, block, 512), 7, 0x27, 0);
    assert_good(rig_run(0, 0, read_one, 10, 512, NULL, 0));
}

static void lba_when_at_the_end_then_range_is_exact(void **state)
{
    uint8_t cdb[10] = {0x28};

    put_be32(cdb + 2, RIG_BLOCKS - 1);
    put_be16(cdb + 7, 1);
    assert_good(simple(0, cdb, 10));
    put_be16(cdb + 7, 2);
    assert_sense(simple(0, cdb, 10), 5, 0x21, 0);
    put_be32(cdb + 2, RIG_BLOCKS);
    put_be16(cdb + 7, 0);
    assert_good(simple(0, cdb, 10)); /* SBC-3: nothing is beyond the capacity */
    put_be32(cdb + 2, RIG_BLOCKS + 1);
    assert_sense(simple(0, cdb, 10), 5, 0x21, 0);
    put_be32(cdb + 2, 0xffffffff);
    put_be16(cdb + 7, 1);
    assert_sense(simple(0, cdb, 10), 5, 0x21, 0);
}

static void transfer_when_above_limit_then_field_pointer_at_count(void **state)
{
    uint8_t cdb[10] = {0x28};
    struct rig_task *task;

    device_lus[0]->blocks = 1 << 20;
    put_be16(cdb + 7, LIMIT_TRANSFER / RIG_BLOCK + 1);
    task = simple(0, cdb, 10);
    assert_sense(task, 5, 0x24, 0);
    assert_field(task, true, 7, -1);
}

/* ---- unit attentions ---- */

static void attention_when_pending_then_reported_once_to_each_nexus(void **state)
{
    for (unsigned i = 0; i < RIG_NEXUSES; i++)
        rig->nexuses[i].lus[0].unit_attentions = 1u << UA_MODE_PARAMETERS_CHANGED;
    for (unsigned i = 0; i < RIG_NEXUSES; i++) {
        assert_sense(simple(i, tur, 6), 6, 0x2a, 0x01);
        assert_good(simple(i, tur, 6));
    }
}

static void attention_when_skipped_then_still_pending(void **state)
{
    static const uint8_t inquiry[6] = {0x12, 0, 0, 0, 96};
    static const uint8_t report_luns[12] = {0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0};
    ua_set *pending = &rig->nexuses[0].lus[0].unit_attentions;

    *pending = 1u << UA_LUNS_CHANGED | 1u << UA_CAPACITY_CHANGED;
    assert_good(simple(0, inquiry, 6));
    assert_good(simple(0, report_luns, 12));
    assert_int_equal(*pending, 1u << UA_CAPACITY_CHANGED); /* REPORT LUNS clears its own */
    assert_sense(simple(0, tur, 6), 6, 0x2a, 0x09);
    assert_good(simple(0, tur, 6));
}

static void attention_when_request_sense_then_data_and_cleared(void **state)
{
    static const uint8_t fixed[6] = {0x03, 0, 0, 0, 252};
    static const uint8_t descriptor[6] = {0x03, 1, 0, 0, 252};
    struct rig_task *task;

    rig->nexuses[0].lus[0].unit_attentions = 1u << UA_CAPACITY_CHANGED | 1u << UA_LUNS_CHANGED;
    task = simple(0, fixed, 6);
    assert_good(task);
    assert_int_equal(task->in_length, 18);
    assert_memory_equal(task->in + 12, "\x2a\x09", 2);
    task = simple(0, descriptor, 6);
    assert_memory_equal(task->in, "\x72\x06\x3f\x0e", 4);
    task = simple(0, fixed, 6);
    assert_int_equal(task->in[2], 0);
    assert_good(simple(0, tur, 6));
}

static void attention_when_it_comes_during_the_data_phase_then_next_command_has_it(void **state)
{
    struct rig_task *task = rig_new(0, 0, write_one, 10, 0, RIG_BLOCK);

    rig_go(task, NULL);
    rig->nexuses[0].lus[0].unit_attentions = 1u << UA_CAPACITY_CHANGED;
    task_data_ready(&task->task);
    assert_good(task);
    assert_sense(simple(0, tur, 6), 6, 0x2a, 0x09);
}

static void reservation_when_it_changes_during_the_data_phase_then_conflict(void **state)
{
    struct rig_task *task = rig_new(0, 0, write_one, 10, 0, RIG_BLOCK);

    rig_go(task, NULL);
    device_lus[0]->lanes[0].pr_type = PR_WRITE_EXCLUSIVE;
    task_data_ready(&task->task);
    assert_status(task, 0x18);
    assert_int_equal(rig->media_runs, 0);
}

/* ---- access states ---- */

static void standby_when_asked_then_memory_answers_and_media_not(void **state)
{
    static const uint8_t inquiry[6] = {0x12, 0, 0, 0, 96};
    static const uint8_t mode_sense[6] = {0x1a, 0, 0x3f, 0, 255};
    static const uint8_t rtpg[12] = {0xa3, 0x2a, 0, 0, 0, 0, 0, 0, 1, 0};
    static const uint8_t pr_in[10] = {0x5e, 0, 0, 0, 0, 0, 0, 1, 0};
    static const enum gate gates[] = {GATE_STANDBY, GATE_UNAVAILABLE, GATE_HOLD};

    for (unsigned i = 0; i < 3; i++) {
        rig->group.gate = gates[i];
        assert_good(simple(0, inquiry, 6));
        assert_good(simple(0, mode_sense, 6));
        assert_good(simple(0, rtpg, 12));
        assert_good(simple(0, pr_in, 10));
    }
    rig->group.gate = GATE_STANDBY;
    assert_sense(simple(0, tur, 6), 2, 0x04, 0x0b);
    rig->group.gate = GATE_HOLD;
    assert_good(simple(0, tur, 6));
    rig->group.state = ALUA_TRANSITIONING;
    assert_sense(simple(0, tur, 6), 2, 0x04, 0x0a);
}

static void forwarding_when_gate_says_so_then_media_only(void **state)
{
    struct rig_task *task = rig_new(0, 0, read_one, 10, 512, 0);

    rig->group.gate = GATE_FORWARD;
    rig->group.owner = 2;
    rig_go(task, NULL);
    assert_false(task->completed);
    assert_int_equal(rig->forwarded, 1);
    assert_good(simple(0, tur, 6));
    task_abort(&task->task, false);
    assert_int_equal(rig->peer_aborted, 1);
    task->task.forward_slot = 0;
    task_complete(&task->task, REASON_GOOD);
    assert_status(task, 0x40);

    task = rig_new(0, 0, read_one, 10, 512, 0);
    rig_go(task, NULL);
    task->task.status = 0x18;
    task_complete_as_is(&task->task);
    assert_status(task, 0x18);
}

static void forwarded_nexus_when_executing_then_brings_its_unit(void **state)
{
    struct rig_task *task = rig_new(0, 0, read_one, 10, 512, 0);

    rig->nexuses[0].forwarded = true;
    rig->nexuses[0].lus[1].unit_attentions = 1u << UA_CAPACITY_CHANGED;
    task->task.lu = device_lus[1];
    task->task.lun = ~0ull;
    rig_go(task, NULL);
    assert_true(task->completed);
    assert_good(task);
    assert_ptr_equal(task->task.lu, device_lus[1]);
    assert_int_equal(rig->nexuses[0].lus[1].unit_attentions, 1u << UA_CAPACITY_CHANGED);
}

/* ---- holding ---- */

static void held_when_resumed_then_checked_again(void **state)
{
    struct rig_task *read = rig_new(0, 0, read_one, 10, 512, 0);
    struct rig_task *write = rig_new(0, 0, write_one, 10, 0, 512);

    rig->hold = true;
    rig_go(read, NULL);
    rig_go(write, block);
    assert_int_equal(read->task.state, TASK_HELD);
    assert_int_equal(write->task.state, TASK_HELD);
    rig->hold = false;
    device_lus[0]->lanes[0].pr_type = PR_WRITE_EXCLUSIVE;
    lane_unhold(&read->task);
    task_resume(&read->task);
    lane_unhold(&write->task);
    task_resume(&write->task);
    assert_good(read);
    assert_status(write, 0x18);
    assert_false(write->wants_data); /* its data is not asked for twice */
}

static void held_when_aborted_then_leaves_the_lane(void **state)
{
    struct rig_task *task = rig_new(0, 0, read_one, 10, 512, 0);

    rig->hold = true;
    rig_go(task, NULL);
    task_abort(&task->task, true);
    assert_true(task->completed && task->task.silent);
    assert_int_equal(rig->unheld, 1);
}

static void data_phase_when_aborted_then_ends_at_once(void **state)
{
    struct rig_task *task = rig_new(0, 0, write_one, 10, 0, 512);

    rig_go(task, NULL);
    task_abort(&task->task, false);
    assert_status(task, 0x40);
}

static void running_when_aborted_then_ends_with_its_handler(void **state)
{
    struct rig_task *task = rig_new(0, 0, read_one, 10, 512, 0);

    rig->keep_media = true;
    rig_go(task, NULL);
    task_abort(&task->task, false);
    assert_false(task->completed);
    task_complete(&task->task, REASON_GOOD);
    assert_status(task, 0x40);
    assert_int_equal(task->in_length, 0);
}

/* ---- lease ---- */

static void lease_when_gone_then_nothing_that_could_be_wrong(void **state)
{
    static const uint8_t pr_out[10] = {0x5f, 0, 0, 0, 0, 0, 0, 0, 24};
    static const uint8_t pr_in[10] = {0x5e, 1, 0, 0, 0, 0, 0, 1, 0};
    static const uint8_t reserve[6] = {0x16};
    static const uint8_t inquiry[6] = {0x12, 0, 0, 0, 96};
    static const uint8_t parameters[24];
    struct rig_task *task = rig_new(0, 0, read_one, 10, 512, 0);

    rig->keep_media = true;
    rig_go(task, NULL);
    rig->lease = false;
    task_data_in(&task->task, 512);
    task_complete(&task->task, REASON_GOOD);
    assert_sense(task, 2, 0x04, 0x0a);
    assert_int_equal(task->in_length, 0);
    assert_sense(rig_run(0, 0, pr_out, 10, 0, parameters, 24), 2, 0x04, 0x0a);
    assert_sense(simple(0, pr_in, 10), 2, 0x04, 0x0a);
    assert_sense(simple(0, reserve, 6), 2, 0x04, 0x0a);
    assert_sense(simple(0, tur, 6), 2, 0x04, 0x0a);
    assert_good(simple(0, inquiry, 6));
    assert_int_equal(rig->commits, 0);
    /* A unit attention stays for later. */
    rig->nexuses[0].lus[0].unit_attentions = 1u << UA_CAPACITY_CHANGED;
    assert_sense(simple(0, tur, 6), 2, 0x04, 0x0a);
    rig->lease = true;
    assert_sense(simple(0, tur, 6), 6, 0x2a, 0x09);
}

/* Whatever the command is: others may have changed it meanwhile. */
static void lease_when_gone_then_the_agreed_state_is_not_told(void **state)
{
    static const uint8_t mode_sense[6] = {0x1a, 0, 0x3f, 0, 252};
    static const uint8_t behind_the_end[10] = {0x28, 0, 0xff, 0, 0, 0, 0, 0, 1};
    static const uint8_t data[512];
    struct lane *lane = &device_lus[0]->lanes[0];

    rig->lease = false;
    assert_sense(simple(0, mode_sense, 6), 2, 0x04, 0x0a);
    assert_sense(rig_run(0, 0, behind_the_end, 10, 512, NULL, 0), 2, 0x04, 0x0a);
    lane->mode.swp = 1;
    assert_sense(rig_run(0, 0, write_one, 10, 0, data, 512), 2, 0x04, 0x0a);
    lane->mode.swp = 0;
    lane->pr_type = PR_EXCLUSIVE_ACCESS;
    assert_sense(simple(0, mode_sense, 6), 2, 0x04, 0x0a);
    lane->pr_type = PR_NONE;
}

/* H7: the initiator must not be made to send it again as if nothing had been done. */
static void lease_when_gone_after_compare_and_write_then_not_told_to_try_again(void **state)
{
    static const uint8_t caw[16] = {0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    static const uint8_t data[1024];
    struct rig_task *task = rig_new(0, 0, caw, 16, 0, sizeof data);

    rig->keep_media = true;
    rig_go(task, data);
    assert_int_equal(task->task.state, TASK_RUNNING);
    rig->lease = false;
    task_complete(&task->task, REASON_GOOD);
    assert_sense(task, 0xb, 0x00, 0x00);
    /* Compared and not written: it may be repeated. */
    rig->lease = true;
    task = rig_new(0, 0, caw, 16, 0, sizeof data);
    rig_go(task, data);
    rig->lease = false;
    task_complete(&task->task, REASON_MISCOMPARE);
    assert_sense(task, 2, 0x04, 0x0a);
}

/* ---- task attributes ---- */

static struct rig_task *with_attribute(unsigned nexus, unsigned lun, enum task_attribute attribute)
{
    struct rig_task *task = rig_new(nexus, lun, read_one, 10, 512, 0);

    task->task.attribute = attribute;
    rig_go(task, NULL);
    return task;
}

static void end(struct rig_task *task)
{
    assert_int_equal(task->task.state, TASK_RUNNING);
    task_complete(&task->task, REASON_GOOD);
    rig_turn();
}

static void ordered_when_older_run_then_waits_and_younger_wait_for_it(void **state)
{
    struct rig_task *a, *b, *ordered, *c, *head, *other_lun, *other_nexus;

    rig->keep_media = true;
    a = with_attribute(0, 0, TASK_SIMPLE);
    b = with_attribute(0, 0, TASK_UNTAGGED);
    ordered = with_attribute(0, 0, TASK_ORDERED);
    c = with_attribute(0, 0, TASK_SIMPLE);
    other_lun = with_attribute(0, 1, TASK_SIMPLE);
    other_nexus = with_attribute(1, 0, TASK_ORDERED);
    head = with_attribute(0, 0, TASK_HEAD_OF_QUEUE);
    assert_int_equal(ordered->task.state, TASK_HELD);
    assert_int_equal(c->task.state, TASK_HELD);
    assert_int_equal(head->task.state, TASK_RUNNING);
    assert_int_equal(other_lun->task.state, TASK_RUNNING);
    assert_int_equal(other_nexus->task.state, TASK_RUNNING);
    end(a);
    assert_int_equal(ordered->task.state, TASK_HELD);
    end(b);
    assert_int_equal(ordered->task.state, TASK_RUNNING);
    assert_int_equal(c->task.state, TASK_HELD);
    end(ordered);
    assert_int_equal(c->task.state, TASK_RUNNING); /* the head of queue task is younger than c */
    end(c);
    end(head);
    end(other_lun);
    end(other_nexus);
}

static void ordered_when_many_wait_then_they_end_in_order(void **state)
{
    struct rig_task *tasks[20];
    struct rig_task *first;

    rig->keep_media = true;
    first = with_attribute(0, 0, TASK_SIMPLE);
    rig->keep_media = false;
    for (unsigned i = 0; i < 20; i++)
        tasks[i] = with_attribute(0, 0, TASK_ORDERED);
    end(first);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(tasks[i]->order, first->order + 1 + i);
}

static void ordered_when_waiting_is_aborted_then_others_go_on(void **state)
{
    struct rig_task *a, *ordered, *c;

    rig->keep_media = true;
    a = with_attribute(0, 0, TASK_SIMPLE);
    ordered = with_attribute(0, 0, TASK_ORDERED);
    c = with_attribute(0, 0, TASK_SIMPLE);
    task_abort(&ordered->task, true);
    assert_true(ordered->completed);
    rig_turn();
    assert_int_equal(c->task.state, TASK_RUNNING);
    end(a);
    end(c);
}

static void ordered_when_aborted_between_wake_and_start_then_ends_once(void **state)
{
    struct rig_task *a, *ordered;

    rig->keep_media = true;
    a = with_attribute(0, 0, TASK_SIMPLE);
    ordered = with_attribute(0, 0, TASK_ORDERED);
    task_complete(&a->task, REASON_GOOD); /* the wake is posted */
    task_abort(&ordered->task, false);
    assert_false(ordered->completed);
    rig_turn();
    assert_status(ordered, 0x40);
}

/* ---- task management ---- */

static void tmf_done(struct tmf *tmf, enum tmf_response response)
{
    rig->tmf_answers++;
    rig->tmf_response = response;
}

static void start_tmf(struct tmf *tmf, enum tmf_function function, unsigned lun, uint64_t tag)
{
    *tmf = (struct tmf){.nexus = &rig->nexuses[0],
                        .function = function,
                        .lun = lun_encode(lun),
                        .tag = tag,
                        .done = tmf_done};
    rig->tmf_answers = 0;
    tmf_execute(tmf);
}

static void abort_task_when_running_then_answered_after_its_end(void **state)
{
    struct rig_task *task;
    struct tmf tmf;

    rig->keep_media = true;
    task = with_attribute(0, 0, TASK_SIMPLE);
    start_tmf(&tmf, TMF_ABORT_TASK, 0, task->task.tag);
    assert_int_equal(rig->tmf_answers, 0);
    end(task);
    assert_true(task->task.silent);
    assert_int_equal(rig->tmf_answers, 1);
    assert_int_equal(rig->tmf_response, TMF_COMPLETE);
}

static void abort_task_when_finished_or_unknown_then_told_apart(void **state)
{
    struct rig_task *task = simple(0, tur, 6);
    struct tmf tmf;

    start_tmf(&tmf, TMF_ABORT_TASK, 0, task->task.tag);
    assert_int_equal(rig->tmf_response, TMF_COMPLETE);
    start_tmf(&tmf, TMF_ABORT_TASK, 0, 0x123456789);
    assert_int_equal(rig->tmf_response, TMF_NO_TASK);
    start_tmf(&tmf, TMF_ABORT_TASK, 9, 0);
    assert_int_equal(rig->tmf_response, TMF_NO_LUN);
    start_tmf(&tmf, TMF_CLEAR_ACA, 0, 0);
    assert_int_equal(rig->tmf_response, TMF_NOT_SUPPORTED);
    start_tmf(&tmf, 99, 0, 0);
    assert_int_equal(rig->tmf_response, TMF_NOT_SUPPORTED);
}

static void task_set_when_aborted_then_only_own_tasks_at_the_lun(void **state)
{
    struct rig_task *running, *waiting, *fetching, *other_lun, *other_nexus, *later;
    struct tmf tmf, second;

    rig->keep_media = true;
    running = with_attribute(0, 0, TASK_SIMPLE);
    waiting = with_attribute(0, 0, TASK_ORDERED);
    fetching = rig_new(0, 0, write_one, 10, 0, 512);
    rig_go(fetching, NULL);
    other_lun = with_attribute(0, 1, TASK_SIMPLE);
    other_nexus = with_attribute(1, 0, TASK_SIMPLE);
    start_tmf(&tmf, TMF_CLEAR_TASK_SET, 0, 0);
    assert_true(waiting->completed && fetching->completed);
    later = with_attribute(0, 0, TASK_SIMPLE);
    start_tmf(&second, TMF_ABORT_TASK, 0, running->task.tag);
    assert_int_equal(rig->tmf_answers, 0);
    end(running);
    assert_int_equal(rig->tmf_answers, 2);
    assert_false(later->task.aborted || other_lun->task.aborted || other_nexus->task.aborted);
    end(later);
    end(other_lun);
    end(other_nexus);
}

static void resets_when_asked_then_committed(void **state)
{
    struct tmf tmf;

    start_tmf(&tmf, TMF_LOGICAL_UNIT_RESET, 1, 0);
    assert_int_equal(rig->tmf_kind, SHARED_OP_LU_RESET);
    assert_ptr_equal(tmf.lu, device_lus[1]);
    start_tmf(&tmf, TMF_TARGET_WARM_RESET, 77, 0);
    assert_int_equal(rig->tmf_kind, SHARED_OP_TARGET_RESET);
    start_tmf(&tmf, TMF_TARGET_COLD_RESET, 77, 0);
    assert_int_equal(rig->tmf_kind, SHARED_OP_TARGET_COLD_RESET);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(read_when_good_then_data_comes),
        T(write_when_good_then_data_is_fetched_first),
        T(write_when_initiator_sends_less_then_whole_blocks_are_written),
        T(write_when_initiator_sends_more_then_only_the_cdb_counts),
        T(write_same_when_block_is_cut_then_refused),
        T(payloads_when_empty_then_task_set_full),
        T(lun_when_unmapped_then_only_three_commands_work),
        T(lun_when_device_is_not_there_yet_then_busy),
        T(opcode_when_unknown_then_20_else_bad_action_24),
        T(naca_when_set_then_field_pointer_at_control),
        T(aca_attribute_when_used_then_invalid_message),
        T(checks_when_many_fail_then_first_in_order_answers),
        T(write_protection_when_from_anywhere_then_27),
        T(lba_when_at_the_end_then_range_is_exact),
        T(transfer_when_above_limit_then_field_pointer_at_count),
        T(attention_when_pending_then_reported_once_to_each_nexus),
        T(attention_when_skipped_then_still_pending),
        T(attention_when_request_sense_then_data_and_cleared),
        T(attention_when_it_comes_during_the_data_phase_then_next_command_has_it),
        T(reservation_when_it_changes_during_the_data_phase_then_conflict),
        T(standby_when_asked_then_memory_answers_and_media_not),
        T(forwarding_when_gate_says_so_then_media_only),
        T(forwarded_nexus_when_executing_then_brings_its_unit),
        T(held_when_resumed_then_checked_again),
        T(held_when_aborted_then_leaves_the_lane),
        T(data_phase_when_aborted_then_ends_at_once),
        T(running_when_aborted_then_ends_with_its_handler),
        T(lease_when_gone_then_nothing_that_could_be_wrong),
        T(lease_when_gone_then_the_agreed_state_is_not_told),
        T(lease_when_gone_after_compare_and_write_then_not_told_to_try_again),
        T(ordered_when_older_run_then_waits_and_younger_wait_for_it),
        T(ordered_when_many_wait_then_they_end_in_order),
        T(ordered_when_waiting_is_aborted_then_others_go_on),
        T(ordered_when_aborted_between_wake_and_start_then_ends_once),
        T(abort_task_when_running_then_answered_after_its_end),
        T(abort_task_when_finished_or_unknown_then_told_apart),
        T(task_set_when_aborted_then_only_own_tasks_at_the_lun),
        T(resets_when_asked_then_committed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
