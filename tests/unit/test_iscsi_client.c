/* The iSCSI target as libiscsi, an independent initiator, sees it: login with and without CHAP,
 * discovery, data both ways under every combination of what can be negotiated. Not covered here:
 * malformed PDUs (test_iscsi_conn), the pure parts (test_iscsi_*). */
#include "iscsi_rig.h"

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void portal(char *text, size_t size)
{
    snprintf(text, size, "127.0.0.1:%u", rig.port);
}

static struct iscsi_context *context_for(const char *initiator, enum iscsi_session_type type)
{
    struct iscsi_context *iscsi = iscsi_create_context(initiator);

    assert_non_null(iscsi);
    iscsi_set_session_type(iscsi, type);
    if (type == ISCSI_SESSION_NORMAL)
        iscsi_set_targetname(iscsi, RIG_TARGET);
    iscsi_set_timeout(iscsi, 20);
    iscsi_set_noautoreconnect(iscsi, 1);
    return iscsi;
}

static int login(struct iscsi_context *iscsi)
{
    char address[32];

    portal(address, sizeof address);
    return iscsi_connect_sync(iscsi, address) || iscsi_login_sync(iscsi);
}

static void fill(uint8_t *data, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)(seed + i * 7 + (i >> 9));
}

/* Writes and reads back several lengths. */
static void exercise(struct iscsi_context *iscsi, unsigned seed)
{
    static const uint32_t blocks[] = {1, 8, 9, 127, 512, 1025, 4096};
    static uint8_t data[4096 * RIG_BLOCK];

    for (unsigned i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        uint32_t length = blocks[i] * RIG_BLOCK;
        struct scsi_task *task;

        fill(data, length, seed + i);
        task = iscsi_write10_sync(iscsi, 0, 64 + i, data, length, RIG_BLOCK, 0, 0, 0, 0, 0);
        assert_non_null(task);
        assert_int_equal(task->status, SCSI_STATUS_GOOD);
        assert_int_equal(task->residual_status, SCSI_RESIDUAL_NO_RESIDUAL);
        scsi_free_scsi_task(task);
        assert_memory_equal(rig.disk + (64 + i) * RIG_BLOCK, data, length);
        task = iscsi_read10_sync(iscsi, 0, 64 + i, length, RIG_BLOCK, 0, 0, 0, 0, 0);
        assert_non_null(task);
        assert_int_equal(task->status, SCSI_STATUS_GOOD);
        assert_int_equal(task->datain.size, length);
        assert_memory_equal(task->datain.data, data, length);
        scsi_free_scsi_task(task);
    }
}

static void data_when_negotiated_in_every_way_then_arrives(void **state)
{
    for (unsigned i = 0; i < 8; i++) {
        struct iscsi_context *iscsi;
        struct scsi_task *task;

        rig_start(NULL);
        iscsi = context_for(RIG_INITIATOR, ISCSI_SESSION_NORMAL);
        iscsi_set_initial_r2t(iscsi, i & 1 ? ISCSI_INITIAL_R2T_YES : ISCSI_INITIAL_R2T_NO);
        iscsi_set_immediate_data(iscsi, i & 2 ? ISCSI_IMMEDIATE_DATA_YES : ISCSI_IMMEDIATE_DATA_NO);
        iscsi_set_header_digest(iscsi,
                                i & 4 ? ISCSI_HEADER_DIGEST_CRC32C : ISCSI_HEADER_DIGEST_NONE);
        if (login(iscsi))
            fail_msg("%s", iscsi_get_error(iscsi));
        exercise(iscsi, i);
        task = iscsi_inquiry_sync(iscsi, 0, 0, 0, 255);
        assert_non_null(task);
        assert_int_equal(task->residual_status, SCSI_RESIDUAL_UNDERFLOW);
        assert_int_equal(task->residual, 255 - 36);
        scsi_free_scsi_task(task);
        assert_int_equal(iscsi_logout_sync(iscsi), 0);
        iscsi_destroy_context(iscsi);
        rig_stop();
    }
}

static void small_bursts(struct rig *r)
{
    r->target.first_burst = 4096;
    r->target.max_burst = 16384;
    r->target.max_recv_data_segment = 1024;
    r->target.max_outstanding_r2t = 3;
}

static void data_when_bursts_are_small_then_comes_in_many_r2ts(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct iscsi_context *iscsi;

        rig_start(small_bursts);
        iscsi = context_for(RIG_INITIATOR, ISCSI_SESSION_NORMAL);
        iscsi_set_initial_r2t(iscsi, i & 1 ? ISCSI_INITIAL_R2T_YES : ISCSI_INITIAL_R2T_NO);
        iscsi_set_immediate_data(iscsi, i & 2 ? ISCSI_IMMEDIATE_DATA_YES : ISCSI_IMMEDIATE_DATA_NO);
        if (login(iscsi))
            fail_msg("%s", iscsi_get_error(iscsi));
        exercise(iscsi, i);
        iscsi_destroy_context(iscsi); /* without logout */
        rig_stop();
    }
}

static void login_when_chap_is_right_then_succeeds(void **state)
{
    for (unsigned mutual = 0; mutual < 2; mutual++) {
        struct iscsi_context *iscsi;

        rig_start(NULL);
        iscsi = context_for(RIG_CHAP_INITIATOR, ISCSI_SESSION_NORMAL);
        iscsi_set_initiator_username_pwd(iscsi, "user", "initiatorsecret");
        if (mutual)
            iscsi_set_target_username_pwd(iscsi, "array", "targetsecret12");
        if (login(iscsi))
            fail_msg("%s", iscsi_get_error(iscsi));
        exercise(iscsi, mutual);
        iscsi_logout_sync(iscsi);
        iscsi_destroy_context(iscsi);
        rig_stop();
    }
}

static void login_when_chap_is_wrong_then_fails(void **state)
{
    struct iscsi_context *iscsi;

    rig_start(NULL);
    iscsi = context_for(RIG_CHAP_INITIATOR, ISCSI_SESSION_NORMAL);
    iscsi_set_initiator_username_pwd(iscsi, "user", "anothersecret");
    assert_true(login(iscsi));
    iscsi_destroy_context(iscsi);
    iscsi = context_for(RIG_CHAP_INITIATOR, ISCSI_SESSION_NORMAL);
    assert_true(login(iscsi));
    iscsi_destroy_context(iscsi);
    assert_int_equal(atomic_load(&rig.nexuses), 0);
    rig_stop();
}

static void discovery_when_asked_then_lists_this_portal(void **state)
{
    struct iscsi_discovery_address *list;
    struct iscsi_context *iscsi;
    char expected[48];

    rig_start(NULL);
    iscsi = context_for(RIG_INITIATOR, ISCSI_SESSION_DISCOVERY);
    if (login(iscsi))
        fail_msg("%s", iscsi_get_error(iscsi));
    list = iscsi_discovery_sync(iscsi);
    assert_non_null(list);
    assert_string_equal(list->target_name, RIG_TARGET);
    snprintf(expected, sizeof expected, "127.0.0.1:%u,3", rig.port);
    assert_string_equal(list->portals->portal, expected);
    assert_null(list->next);
    iscsi_free_discovery_data(iscsi, list);
    iscsi_logout_sync(iscsi);
    iscsi_destroy_context(iscsi);
    rig_stop();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_when_negotiated_in_every_way_then_arrives),
        cmocka_unit_test(data_when_bursts_are_small_then_comes_in_many_r2ts),
        cmocka_unit_test(login_when_chap_is_right_then_succeeds),
        cmocka_unit_test(login_when_chap_is_wrong_then_fails),
        cmocka_unit_test(discovery_when_asked_then_lists_this_portal),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
