/* INQUIRY and VPD, REPORT LUNS, MODE SENSE and SELECT, reports of what is supported, diagnostics.
 *
 * Not covered: the bits of mode pages (test_pages), persistent reservations. */
#include "command_rig.h"

#include <string.h>

static struct rig_task *run(const void *cdb, unsigned length)
{
    return rig_run(0, 0, cdb, length, 64 << 10, NULL, 0);
}

static struct rig_task *inquiry(unsigned nexus, unsigned lun, bool evpd, uint8_t page,
                                uint16_t room)
{
    uint8_t cdb[6] = {0x12, evpd, page};

    put_be16(cdb + 3, room);
    return rig_run(nexus, lun, cdb, 6, room, NULL, 0);
}

/* ---- INQUIRY ---- */

static void standard_when_asked_then_says_what_is_kept(void **state)
{
    struct rig_task *task = inquiry(0, 0, false, 0, 255);

    assert_good(task);
    assert_int_equal(task->in_length, 96);
    assert_int_equal(task->task.data_wanted, 96);
    assert_int_equal(task->in[0], 0);
    assert_int_equal(task->in[2], 6);
    assert_int_equal(task->in[3] & 0x2f, 0x02); /* NORMACA 0, format 2 */
    assert_int_equal(task->in[4], 91);
    assert_int_equal(task->in[5], 0x10); /* TPGS 01b */
    assert_int_equal(task->in[7], 0x02);
    assert_memory_equal(task->in + 8, "HALUN   VDISK           0.1 ", 28);
    assert_sense(inquiry(0, 0, false, 0x83, 255), 5, 0x24, 0);
}

static void standard_when_room_is_small_then_truncated_and_good(void **state)
{
    for (uint16_t room = 0; room < 100; room++) {
        struct rig_task *task = inquiry(0, 0, false, 0, room);
        assert_good(task);
        assert_int_equal(task->in_length, room < 96 ? room : 96);
        if (room > 4)
            assert_int_equal(task->in[4], 91);
    }
}

static void pages_when_listed_then_each_answers_with_true_length(void **state)
{
    uint8_t list[256];
    unsigned count;
    struct rig_task *task = inquiry(0, 0, true, 0, 255);

    assert_good(task);
    count = get_be16(task->in + 2);
    memcpy(list, task->in + 4, count);
    assert_int_equal(count, 8);
    for (unsigned page = 0; page < 256; page++) {
        task = inquiry(0, 0, true, (uint8_t)page, 4096);
        if (!memchr(list, (int)page, count)) {
            assert_sense(task, 5, 0x24, 0);
            assert_field(task, true, 2, -1);
            continue;
        }
        assert_good(task);
        assert_int_equal(task->in[0], 0);
        assert_int_equal(task->in[1], page);
        assert_int_equal(get_be16(task->in + 2) + 4u, task->in_length);
        assert_good(inquiry(0, 0, true, (uint8_t)page, 3));
    }
    device_lus[0]->config.thin = false; /* no provisioning page, and no unmap in the limits */
    assert_sense(inquiry(0, 0, true, 0xb2, 255), 5, 0x24, 0);
    task = inquiry(0, 0, true, 0xb0, 255);
    assert_int_equal(get_be32(task->in + 20), 0);
}

static const uint8_t *find_designator(const struct rig_task *task, unsigned association,
                                      unsigned type)
{
    for (unsigned at = 4; at < task->in_length; at += 4 + task->in[at + 3]) {
        assert_true(at + 4 + task->in[at + 3] <= task->in_length);
        if ((task->in[at + 1] & 0x3f) == (association << 4 | type))
            return task->in + at;
    }
    return NULL;
}

static void identification_when_from_two_nodes_then_unit_is_the_same_and_ports_differ(void **state)
{
    static struct rig_task here, there;
    static const unsigned unit_types[] = {1, 3, 8};
    const uint8_t *a, *b;

    here = *inquiry(0, 0, true, 0x83, 4096);
    there = *inquiry(2, 0, true, 0x83, 4096);
    for (unsigned i = 0; i < 3; i++) {
        a = find_designator(&here, 0, unit_types[i]);
        b = find_designator(&there, 0, unit_types[i]);
        assert_non_null(a);
        assert_memory_equal(a, b, 4 + a[3]);
    }
    a = find_designator(&here, 0, 3);
    assert_int_equal(a[3], 16);
    assert_memory_equal(a + 4, device_lus[0]->naa, 16);
    a = find_designator(&here, 0, 8);
    assert_int_equal(a[3], 40);
    assert_memory_equal(a + 4, "naa.6060", 8);
    a = find_designator(&here, 0, 1);
    assert_memory_equal(a + 4, "HALUN   11111111-", 17);
    for (unsigned type = 4; type <= 5; type++) { /* port number and port group */
        assert_int_equal(get_be32(find_designator(&here, 1, type) + 4), 1);
        assert_int_equal(get_be32(find_designator(&there, 1, type) + 4), 2);
        assert_int_equal(find_designator(&here, 1, type)[0], 0x51);
        assert_int_equal(find_designator(&here, 1, type)[1] & 0x80, 0x80);
    }
    a = find_designator(&there, 1, 8);
    assert_string_equal((const char *)a + 4, "iqn.2026-11.example:array,t,0x0002");
    assert_int_equal(a[3] % 4, 0);
    assert_string_equal((const char *)find_designator(&here, 2, 8) + 4,
                        "iqn.2026-11.example:array");
}

static void limits_when_read_then_as_vmfs_wants_them(void **state)
{
    struct rig_task *task = inquiry(0, 0, true, 0xb0, 255);
    uint32_t granularity;

    assert_int_equal(get_be16(task->in + 2), 0x3c);
    assert_int_equal(task->in[4] & 1, 1);
    assert_int_equal(task->in[5], LIMIT_CAW_BLOCKS);
    assert_int_equal(get_be16(task->in + 6), 8);
    assert_int_equal(get_be32(task->in + 8), LIMIT_TRANSFER / RIG_BLOCK);
    assert_int_equal(get_be32(task->in + 20), LIMIT_UNMAP / RIG_BLOCK);
    granularity = get_be32(task->in + 28) * RIG_BLOCK;
    assert_true(granularity && (1 << 20) % granularity == 0);
    assert_int_equal(get_be32(task->in + 32), 0x80000000);
    assert_int_equal(get_be64(task->in + 36), LIMIT_WRITE_SAME / RIG_BLOCK);
    task = inquiry(0, 0, true, 0xb2, 255);
    assert_memory_equal(task->in, "\0\xb2\0\x04\0\xe4\x02\0", 8);
    task = inquiry(0, 0, true, 0x86, 255);
    assert_int_equal(task->in[5], 0x07);
    assert_int_equal(task->in[13], LIMIT_SENSE);
}

static void well_known_unit_when_asked_then_answers_for_itself(void **state)
{
    static const uint8_t cdbs[3][12] = {{0x12, 0, 0, 0, 96}, {0x12, 1, 0x83, 0, 255}, {0}};
    struct rig_task *task;

    for (unsigned i = 0; i < 3; i++) {
        task = rig_new(0, 0, cdbs[i], 6, 255, 0);
        task->task.lun = LUN_WELL_KNOWN_REPORT_LUNS;
        rig_go(task, NULL);
        assert_good(task);
        if (i < 2)
            assert_int_equal(task->in[0], 0x1e);
    }
    task = rig_new(0, 0, "\x28\0\0\0\0\0\0\0\0\0", 10, 255, 0);
    task->task.lun = LUN_WELL_KNOWN_REPORT_LUNS;
    rig_go(task, NULL);
    assert_sense(task, 5, 0x25, 0);
}

/* ---- REPORT LUNS ---- */

static void luns_when_reported_then_by_selection(void **state)
{
    uint8_t cdb[12] = {0xa0};
    struct rig_task *task;

    put_be32(cdb + 6, 1024);
    task = run(cdb, 12);
    assert_int_equal(get_be32(task->in), 16);
    assert_int_equal(get_be64(task->in + 8), 0);
    assert_int_equal(get_be64(task->in + 16), 0x0001000000000000);
    cdb[2] = 1;
    task = run(cdb, 12);
    assert_int_equal(get_be32(task->in), 8);
    assert_int_equal(get_be64(task->in + 8), LUN_WELL_KNOWN_REPORT_LUNS);
    cdb[2] = 2;
    assert_int_equal(get_be32(run(cdb, 12)->in), 24);
    cdb[2] = 3;
    assert_sense(run(cdb, 12), 5, 0x24, 0);
    cdb[2] = 2;
    for (uint32_t room = 0; room < 40; room++) {
        put_be32(cdb + 6, room);
        task = run(cdb, 12);
        assert_good(task);
        assert_int_equal(task->in_length, room < 32 ? room : 32);
        if (room >= 4)
            assert_int_equal(get_be32(task->in), 24);
    }
}

/* ---- MODE SENSE, MODE SELECT ---- */

static void mode_sense_when_wrong_then_told_where(void **state)
{
    struct rig_task *task = run("\x1a\0\xca\0\xff\0", 6);

    assert_sense(task, 5, 0x39, 0); /* saved values */
    task = run("\x1a\0\x3e\0\xff\0", 6);
    assert_sense(task, 5, 0x24, 0);
    assert_field(task, true, 2, 5);
    task = run("\x1a\0\x0a\x07\xff\0", 6);
    assert_sense(task, 5, 0x24, 0);
    assert_field(task, true, 3, 7);
    assert_good(run("\x1a\0\x3f\xff\xff\0", 6));
    assert_int_equal(run("\x1a\x08\x3f\0\xff\0", 6)->in[3], 0); /* DBD */
    task = run("\x1a\0\x3f\0\x04\0", 6);                        /* truncated */
    assert_good(task);
    assert_int_equal(task->in_length, 4);
    assert_int_equal(task->in[0], 4 + 8 + 12 + 20 + 12 + 12 - 1);
    task = rig_run(1, 1, "\x1a\0\x08\0\xff\0", 6, 255, NULL, 0);
    assert_int_equal(task->in[2], 0x90); /* read-only by the LUN map */
}

static const uint8_t d_sense_on[16] = {0, 0, 0, 0, 0x0a, 0x0a, 0x24, 0x10, 0, 0, 0, 0, 0xff, 0xff};

static void mode_select_when_changed_then_committed_and_others_told(void **state)
{
    static const uint8_t cdb[6] = {0x15, 0x10, 0, 0, 16};
    struct rig_task *task;

    assert_good(rig_run(0, 0, cdb, 6, 0, d_sense_on, 16));
    assert_int_equal(rig->commits, 1);
    assert_int_equal(rig->op.kind, SHARED_OP_MODE_PAGES);
    assert_int_equal(rig->op.mode_selected.d_sense, 1);
    assert_int_equal(rig->op.mode_selected.wce, 0); /* of a page that was not sent */
    assert_int_equal(rig->nexuses[0].lus[0].unit_attentions, 0);
    assert_sense(rig_run(1, 0, "\0\0\0\0\0\0", 6, 0, NULL, 0), 6, 0x2a, 0x01);
    assert_int_equal(rig->nexuses[1].lus[0].unit_attentions, 0);
    task = run("\xff\0\0\0\0\0", 6);
    assert_int_equal(task->task.sense[0], 0x72); /* descriptor format from now on */
    assert_good(
        rig_run(0, 0, cdb, 6, 0, d_sense_on, 16)); /* nothing changes: nothing is committed */
    assert_int_equal(rig->commits, 1);
}

static void mode_select_when_wrong_then_nothing_is_committed(void **state)
{
    uint8_t list[16];
    struct rig_task *task;

    assert_sense(rig_run(0, 0, "\x15\x11\0\0\x10\0", 6, 0, d_sense_on, 16), 5, 0x24, 0); /* SP */
    assert_sense(rig_run(0, 0, "\x15\0\0\0\x10\0", 6, 0, d_sense_on, 16), 5, 0x24, 0);   /* PF */
    assert_sense(rig_run(0, 0, "\x15\x10\0\0\x10\0", 6, 0, d_sense_on, 12), 5, 0x1a, 0);
    memcpy(list, d_sense_on, 16);
    list[6] |= 0x01;
    task = rig_run(0, 0, "\x15\x10\0\0\x10\0", 6, 0, list, 16);
    assert_sense(task, 5, 0x26, 0);
    assert_field(task, false, 6, 0);
    assert_good(rig_run(0, 0, "\x15\x10\0\0\0\0", 6, 0, NULL, 0)); /* no data: no change */
    assert_int_equal(rig->commits, 0);
}

/* ---- REPORT SUPPORTED ... ---- */

static void opcodes_when_reported_then_they_are_the_rows(void **state)
{
    uint8_t cdb[12] = {0xa3, 0x0c};
    const struct scsi_command *row = NULL;
    struct rig_task *task;

    put_be32(cdb + 6, 64 << 10);
    for (unsigned timeouts = 0; timeouts < 2; timeouts++) {
        unsigned size = timeouts ? 20 : 8, at = 4;
        cdb[2] = timeouts ? 0x80 : 0;
        task = run(cdb, 12);
        assert_good(task);
        assert_int_equal(get_be32(task->in) + 4, task->in_length);
        for (row = command_next(NULL); row; row = command_next(row), at += size) {
            bool action = row->service_action != COMMAND_NO_ACTION;
            assert_int_equal(task->in[at], row->opcode);
            assert_int_equal(get_be16(task->in + at + 2), action ? row->service_action : 0);
            assert_int_equal(task->in[at + 5], action | timeouts << 1);
            assert_int_equal(get_be16(task->in + at + 6), row->length);
            if (timeouts)
                assert_int_equal(get_be16(task->in + at + 8), 10);
        }
        assert_int_equal(at, task->in_length);
    }
}

static void opcode_when_reported_alone_then_usage_data_is_the_mask(void **state)
{
    uint8_t cdb[12] = {0xa3, 0x0c};
    struct rig_task *task;

    put_be32(cdb + 6, 255);
    for (const struct scsi_command *row = command_next(NULL); row; row = command_next(row)) {
        bool action = row->service_action != COMMAND_NO_ACTION;
        cdb[3] = row->opcode;
        put_be16(cdb + 4, action ? row->service_action : 0);
        for (unsigned options = 1; options <= 3; options++) {
            cdb[2] = (uint8_t)(0x80 | options);
            task = run(cdb, 12);
            if ((options == 1 && action) || (options == 2 && !action)) {
                assert_sense(task, 5, 0x24, 0);
                continue;
            }
            assert_good(task);
            assert_int_equal(task->in[1], 0x83);
            assert_int_equal(get_be16(task->in + 2), row->length);
            assert_int_equal(task->in_length, 4u + row->length + 12);
            assert_int_equal(task->in[4], row->opcode);
            if (action)
                assert_int_equal(task->in[5] & 0x1f, row->service_action);
            assert_memory_equal(task->in + 6, row->usage + 2, row->length - 2u);
        }
    }
    put_be16(cdb + 4, 0);
    cdb[3] = 0xff;
    for (cdb[2] = 1; cdb[2] <= 3; cdb[2]++) {
        task = run(cdb, 12);
        assert_good(task);
        assert_int_equal(task->in[1], 1);
    }
    cdb[3] = 0x12; /* INQUIRY has no service action 1 */
    put_be16(cdb + 4, 1);
    cdb[2] = 3;
    assert_int_equal(run(cdb, 12)->in[1], 1);
    cdb[2] = 4;
    assert_sense(run(cdb, 12), 5, 0x24, 0);
}

static void tmfs_when_reported_then_both_lengths(void **state)
{
    uint8_t cdb[12] = {0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 255};
    struct rig_task *task = run(cdb, 12);

    assert_int_equal(task->in_length, 4);
    assert_memory_equal(task->in, "\xda\0\0\0", 4);
    cdb[2] = 0x80;
    task = run(cdb, 12);
    assert_int_equal(task->in_length, 16);
    assert_int_equal(task->in[3], 12);
}

static void diagnostics_and_logs_when_asked_then_minimal_and_strict(void **state)
{
    assert_good(run("\x1d\x04\0\0\0\0", 6));
    assert_good(run("\x1d\0\0\0\0\0", 6));
    assert_sense(run("\x1d\x24\0\0\0\0", 6), 5, 0x24, 0); /* no background self-test */
    assert_good(run("\x1c\x01\0\0\x40\0", 6));
    assert_sense(run("\x1c\0\0\0\x40\0", 6), 5, 0x24, 0);
    assert_sense(run("\x1c\x01\x3f\0\x40\0", 6), 5, 0x24, 0);
    assert_good(run("\x4d\0\x40\0\0\0\0\0\x40\0", 10));
    assert_sense(run("\x4d\0\x4d\0\0\0\0\0\x40\0", 10), 5, 0x24, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(standard_when_asked_then_says_what_is_kept),
        T(standard_when_room_is_small_then_truncated_and_good),
        T(pages_when_listed_then_each_answers_with_true_length),
        T(identification_when_from_two_nodes_then_unit_is_the_same_and_ports_differ),
        T(limits_when_read_then_as_vmfs_wants_them),
        T(well_known_unit_when_asked_then_answers_for_itself),
        T(luns_when_reported_then_by_selection),
        T(mode_sense_when_wrong_then_told_where),
        T(mode_select_when_changed_then_committed_and_others_told),
        T(mode_select_when_wrong_then_nothing_is_committed),
        T(opcodes_when_reported_then_they_are_the_rows),
        T(opcode_when_reported_alone_then_usage_data_is_the_mask),
        T(tmfs_when_reported_then_both_lengths),
        T(diagnostics_and_logs_when_asked_then_minimal_and_strict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
