/* The iSCSI target driven by PDUs made by hand over loopback: what a well-behaved initiator never
 * sends, and what libiscsi does not show (flags, numbering, order). Each case ends with rig_stop(),
 * which asserts that no nexus, task or payload memory is left. Not covered: several initiators'
 * timing, IPv6 portals, memory shortage. */
#include "iscsi_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/iscsi/pdu.h"

static struct answer answer;
static uint8_t data[1 << 20];

static uint8_t reason_of(void)
{
    return answer.bhs[REJECT_REASON];
}

static void expect_status(struct client *c, uint32_t itt, uint8_t status)
{
    client_expect(c, &answer, ISCSI_SCSI_RESPONSE);
    assert_int_equal(get_be32(answer.bhs + BHS_INITIATOR_TASK_TAG), itt);
    assert_int_equal(answer.bhs[BHS_STATUS], status);
}

static void expect_sense(struct client *c, uint32_t itt, uint8_t key, uint8_t asc, uint8_t ascq)
{
    expect_status(c, itt, 0x02);
    assert_int_equal(get_be16(answer.data), answer.length - 2);
    assert_int_equal(answer.data[2 + 2] & 0x0f, key);
    assert_int_equal(answer.data[2 + 12], asc);
    assert_int_equal(answer.data[2 + 13], ascq);
}

static void nop_header(struct client *c, uint8_t *bhs, bool immediate)
{
    pdu_init(bhs, ISCSI_NOP_OUT | (immediate ? BHS_OPCODE_IMMEDIATE : 0), 0x80);
    put_be32(bhs + BHS_INITIATOR_TASK_TAG, 0x7000);
    put_be32(bhs + BHS_TARGET_TRANSFER_TAG, ISCSI_RESERVED_TAG);
    put_be32(bhs + BHS_CMD_SN, immediate ? c->cmd_sn : c->cmd_sn++);
}

/* The session still works: a ping comes back with its data. */
static void expect_alive(struct client *c)
{
    uint8_t bhs[ISCSI_BHS_LENGTH];

    nop_header(c, bhs, true);
    client_send(c, bhs, "still there", 11);
    client_expect(c, &answer, ISCSI_NOP_IN);
    assert_int_equal(answer.length, 11);
    assert_memory_equal(answer.data, "still there", 11);
}

static uint32_t send_write(struct client *c, uint8_t flags, uint32_t lba, uint16_t blocks,
                           uint32_t immediate)
{
    uint8_t bhs[ISCSI_BHS_LENGTH], cdb[16];
    uint32_t itt;

    rig_cdb10(cdb, 0x2a, lba, blocks);
    itt = client_command(c, bhs, flags | COMMAND_WRITE, blocks * RIG_BLOCK, cdb, 16);
    client_send(c, bhs, data, immediate);
    return itt;
}

static void data_out(struct client *c, uint8_t flags, uint32_t itt, uint32_t ttt, uint32_t sn,
                     uint32_t offset, uint32_t length)
{
    uint8_t bhs[ISCSI_BHS_LENGTH];

    pdu_init(bhs, ISCSI_SCSI_DATA_OUT, flags);
    put_be32(bhs + BHS_INITIATOR_TASK_TAG, itt);
    put_be32(bhs + BHS_TARGET_TRANSFER_TAG, ttt);
    put_be32(bhs + DATA_DATA_SN, sn);
    put_be32(bhs + DATA_BUFFER_OFFSET, offset);
    client_send(c, bhs, data + offset, length);
}

static uint32_t send_never(struct client *c, bool immediate)
{
    uint8_t bhs[ISCSI_BHS_LENGTH], cdb[16];
    uint32_t itt;

    rig_cdb10(cdb, RIG_NEVER, 0, 0);
    itt = client_command(c, bhs, 0x80, 0, cdb, 16);
    if (immediate) {
        bhs[0] |= BHS_OPCODE_IMMEDIATE;
        put_be32(bhs + BHS_CMD_SN, --c->cmd_sn);
    }
    client_send(c, bhs, NULL, 0);
    return itt;
}

static void send_tmf(struct client *c, uint8_t function, uint32_t rtt, uint32_t ref)
{
    uint8_t bhs[ISCSI_BHS_LENGTH];

    pdu_init(bhs, ISCSI_TASK_MANAGEMENT_REQUEST | BHS_OPCODE_IMMEDIATE, 0x80 | function);
    put_be32(bhs + BHS_INITIATOR_TASK_TAG, 0x6000);
    put_be32(bhs + TMF_REFERENCED_TASK_TAG, rtt);
    put_be32(bhs + BHS_CMD_SN, c->cmd_sn);
    put_be32(bhs + TMF_REF_CMD_SN, ref);
    client_send(c, bhs, NULL, 0);
}

static void expect_tmf(struct client *c, uint8_t response)
{
    client_expect(c, &answer, ISCSI_TASK_MANAGEMENT_RESPONSE);
    assert_int_equal(answer.bhs[BHS_RESPONSE], response);
}

static int setup(void **state)
{
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 13 + (i >> 8));
    return 0;
}

/* ---- login ---- */

static uint16_t login_status(const char *text, size_t length, uint8_t flags)
{
    struct client c;
    uint16_t status;

    client_connect(&c);
    status = client_login_pdu(&c, flags, text, length, &answer);
    if (status)
        client_expect_end(&c);
    client_close(&c);
    return status;
}
#define LOGIN_STATUS(text, flags) login_status(text, sizeof(text), flags)

static void login_when_refused_then_status_is_exact_and_connection_ends(void **state)
{
    struct client c;
    uint8_t bhs[ISCSI_BHS_LENGTH];

    rig_start(NULL);
    assert_int_equal(LOGIN_STATUS("TargetName=" RIG_TARGET, 0x87), 0x0207);
    assert_int_equal(LOGIN_STATUS("InitiatorName=" RIG_INITIATOR, 0x87), 0x0207);
    assert_int_equal(LOGIN_STATUS("InitiatorName=" RIG_INITIATOR "\0TargetName=iqn.x:y", 0x87),
                     0x0203);
    assert_int_equal(LOGIN_STATUS("InitiatorName=iqn.x:unknown\0TargetName=" RIG_TARGET, 0x87),
                     0x0202);
    assert_int_equal(
        LOGIN_STATUS("InitiatorName=" RIG_CHAP_INITIATOR "\0TargetName=" RIG_TARGET, 0x87), 0x0201);
    assert_int_equal(LOGIN_STATUS("InitiatorName=x\0SessionType=Odd", 0x87), 0x0209);
    assert_int_equal(LOGIN_STATUS("no equal sign", 0x87), 0x0200);
    iscsi_server_gate(rig.server, false);
    assert_int_equal(LOGIN_STATUS("InitiatorName=" RIG_INITIATOR "\0TargetName=" RIG_TARGET, 0x87),
                     0x0301);
    iscsi_server_gate(rig.server, true);

    client_connect(&c); /* not a login request at all */
    pdu_init(bhs, ISCSI_NOP_OUT, 0x80);
    client_send(&c, bhs, NULL, 0);
    client_expect_end(&c);
    client_close(&c);
    client_connect(&c); /* longer than what can be declared */
    pdu_init(bhs, ISCSI_LOGIN_REQUEST | BHS_OPCODE_IMMEDIATE, 0x87);
    put_be24(bhs + BHS_DATA_SEGMENT_LENGTH, 8193);
    client_raw(&c, bhs, sizeof bhs);
    client_expect_end(&c);
    client_close(&c);
    rig_stop();
}

static void login_when_tsih_is_unknown_then_020a_and_when_in_use_then_0206(void **state)
{
    struct client c, d;
    static const char text[] = "InitiatorName=" RIG_INITIATOR "\0TargetName=" RIG_TARGET;
    uint8_t bhs[ISCSI_BHS_LENGTH];

    rig_start(NULL);
    client_login(&c, 1, "");
    for (unsigned i = 0; i < 2; i++) {
        client_connect(&d);
        pdu_init(bhs, ISCSI_LOGIN_REQUEST | BHS_OPCODE_IMMEDIATE, 0x87);
        bhs[LOGIN_ISID] = 0x80;
        bhs[LOGIN_ISID + 5] = 1;
        put_be16(bhs + LOGIN_TSIH, i ? 1 : 999); /* the first session's handle is 1 */
        put_be16(bhs + LOGIN_CID, 5);
        client_send(&d, bhs, text, sizeof text);
        client_expect(&d, &answer, ISCSI_LOGIN_RESPONSE);
        assert_int_equal(get_be16(answer.bhs + LOGIN_STATUS_CLASS), i ? 0x0206 : 0x020a);
        client_expect_end(&d);
        client_close(&d);
    }
    client_close(&c);
    rig_stop();
}

static void login_when_sent_byte_by_byte_then_works(void **state)
{
    struct client c;
    static const char text[] = "InitiatorName=" RIG_INITIATOR "\0TargetName=" RIG_TARGET "\0X";
    uint8_t pdu[ISCSI_BHS_LENGTH + sizeof text];

    rig_start(NULL);
    client_connect(&c);
    pdu_init(pdu, ISCSI_LOGIN_REQUEST | BHS_OPCODE_IMMEDIATE, 0x87);
    put_be24(pdu + BHS_DATA_SEGMENT_LENGTH, sizeof text - 2);
    memcpy(pdu + ISCSI_BHS_LENGTH, text, sizeof text - 2);
    for (size_t i = 0; i < ((ISCSI_BHS_LENGTH + sizeof text - 2 + 3) & ~3u); i++)
        client_raw(&c, i < sizeof pdu ? (const void *)&pdu[i] : "", 1);
    client_expect(&c, &answer, ISCSI_LOGIN_RESPONSE);
    assert_int_equal(get_be16(answer.bhs + LOGIN_STATUS_CLASS), 0);
    client_close(&c);
    rig_stop();
}

static void one_second(struct rig *r)
{
    r->target.login_timeout_s = 1;
    r->target.nop_interval_s = 1;
    r->target.nop_timeout_s = 1;
}

static void initiator_when_silent_then_is_disconnected(void **state)
{
    struct client c, d;

    rig_start(one_second);
    client_connect(&c);
    client_login(&d, 1, "");
    client_expect_end(&c);
    client_expect(&d, &answer, ISCSI_NOP_IN); /* the ping */
    assert_int_equal(get_be32(answer.bhs + BHS_INITIATOR_TASK_TAG), ISCSI_RESERVED_TAG);
    assert_int_not_equal(get_be32(answer.bhs + BHS_TARGET_TRANSFER_TAG), ISCSI_RESERVED_TAG);
    expect_alive(&d);
    client_expect(&d, &answer, ISCSI_NOP_IN);
    client_expect_end(&d);
    client_close(&c);
    client_close(&d);
    rig_stop();
}

static void session_when_reinstated_then_old_one_ends_first(void **state)
{
    struct client old, new, other;

    rig_start(NULL);
    client_login(&old, 1, "");
    client_login(&other, 2, "");
    send_never(&old, false);
    send_write(&old, 0x80, 0, 64, 0); /* waits for the data it asked for */
    client_expect(&old, &answer, ISCSI_R2T);
    client_login(&new, 1, "");
    assert_int_equal(atomic_load(&rig.drops), 1);
    assert_int_equal(atomic_load(&rig.tasks), 0);
    client_expect(&old, &answer, ISCSI_ASYNC_MESSAGE);
    assert_int_equal(answer.bhs[ASYNC_EVENT], ASYNC_EVENT_DROP_SESSION);
    client_expect_end(&old);
    expect_alive(&new);
    expect_alive(&other);
    client_close(&old);
    client_close(&new);
    client_close(&other);
    rig_stop();
}

/* ---- data ---- */

#define DIGESTS "HeaderDigest=CRC32C\0DataDigest=CRC32C\0"

static void write_when_digests_are_on_then_every_phase_works(void **state)
{
    struct client c;
    uint8_t bhs[ISCSI_BHS_LENGTH], cdb[16];
    uint32_t itt, got = 0, ttt[2];

    rig_start(NULL);
    client_login(&c, 1, DIGESTS "InitialR2T=No\0MaxBurstLength=65536\0FirstBurstLength=16384\0");
    assert_true(c.header_digest && c.data_digest);
    /* immediate 4 KiB, unsolicited up to 16 KiB, two R2Ts of 64 KiB at once, a third one */
    itt = send_write(&c, 0, 10, 300, 4096);
    data_out(&c, 0, itt, ISCSI_RESERVED_TAG, 0, 4096, 8192);
    data_out(&c, 0x80, itt, ISCSI_RESERVED_TAG, 1, 12288, 4096);
    for (unsigned i = 0; i < 2; i++) {
        client_expect(&c, &answer, ISCSI_R2T);
        assert_int_equal(get_be32(answer.bhs + R2T_R2T_SN), i);
        if (!i) {
            ttt[i] = get_be32(answer.bhs + BHS_TARGET_TRANSFER_TAG);
            assert_int_equal(get_be32(answer.bhs + R2T_BUFFER_OFFSET), 16384);
            assert_int_equal(get_be32(answer.bhs + R2T_DESIRED_LENGTH), 65536);
            /* MaxOutstandingR2T was not negotiated: 1, the next one comes after this burst */
            data_out(&c, 0, itt, ttt[i], 0, 16384, 40000);
            data_out(&c, 0x80, itt, ttt[i], 1, 56384, 25536);
        } else {
            ttt[i] = get_be32(answer.bhs + BHS_TARGET_TRANSFER_TAG);
            assert_int_equal(get_be32(answer.bhs + R2T_BUFFER_OFFSET), 81920);
            assert_int_equal(get_be32(answer.bhs + R2T_DESIRED_LENGTH), 65536);
            data_out(&c, 0x80, itt, ttt[i], 0, 81920, 65536);
        }
    }
    client_expect(&c, &answer, ISCSI_R2T);
    data_out(&c, 0x80, itt, get_be32(answer.bhs + BHS_TARGET_TRANSFER_TAG), 0, 147456, 6144);
    expect_status(&c, itt, 0);
    assert_int_equal(get_be32(answer.bhs + RESPONSE_EXP_DATA_SN), 3);
    assert_memory_equal(rig.disk + 10 * RIG_BLOCK, data, 300 * RIG_BLOCK);

    rig_cdb10(cdb, 0x28, 10, 300);
    itt = client_command(&c, bhs, 0x80 | COMMAND_READ, 300 * RIG_BLOCK, cdb, 16);
    client_send(&c, bhs, NULL, 0);
    for (uint32_t sn = 0; got < 300 * RIG_BLOCK; sn++) {
        client_expect(&c, &answer, ISCSI_SCSI_DATA_IN);
        assert_int_equal(get_be32(answer.bhs + DATA_DATA_SN), sn);
        assert_int_equal(get_be32(answer.bhs + DATA_BUFFER_OFFSET), got);
        assert_memory_equal(answer.data, data + got, answer.length);
        got += answer.length;
        /* F at the end of every burst, S on the very last (phase collapse) */
        assert_int_equal(!!(answer.bhs[1] & 0x80), got % 65536 == 0 || got == 300 * RIG_BLOCK);
        assert_int_equal(answer.bhs[1] & DATA_STATUS, got == 300 * RIG_BLOCK);
        assert_true(answer.length <= 8192);
    }
    expect_alive(&c);
    client_close(&c);
    rig_stop();
}

static void header_digest_when_wrong_then_connection_ends(void **state)
{
    struct client c;
    uint8_t bhs[ISCSI_BHS_LENGTH + 4];

    rig_start(NULL);
    client_login(&c, 1, DIGESTS);
    nop_header(&c, bhs, true);
    put_be32(bhs + ISCSI_BHS_LENGTH, 0xdeadbeef);
    client_raw(&c, bhs, sizeof bhs);
    client_expect_end(&c);
    client_close(&c);
    rig_stop();
}

static void data_digest_when_wrong_then_command_fails_after_its_burst(void **state)
{
    struct client c;
    uint8_t bhs[ISCSI_BHS_LENGTH], bad[512 + 4];
    uint32_t itt, ttt;

    rig_start(NULL);
    client_login(&c, 1, "DataDigest=CRC32C\0");
    itt = send_write(&c, 0x80, 0, 2, 0);
    client_expect(&c, &answer, ISCSI_R2T);
    ttt = get_be32(answer.bhs + BHS_TARGET_TRANSFER_TAG);
    pdu_init(bhs, ISCSI_SCSI_DATA_OUT, 0);
    put_be32(bhs + BHS_INITIATOR_TASK_TAG, itt);
    put_be32(bhs + BHS_TARGET_TRANSFER_TAG, ttt);
    put_be24(bhs + BHS_DATA_SEGMENT_LENGTH, 512);
    memset(bad, 0x55, sizeof bad);
    client_raw(&c, bhs, sizeof bhs);
    client_raw(&c, bad, sizeof bad);
    client_expect(&c, &answer, ISCSI_REJECT);
    assert_int_equal(reason_of(), REJECT_DATA_DIGEST);
    assert_memory_equal(answer.data, bhs, ISCSI_BHS_LENGTH);
    data_out(&c, 0x80, itt, ttt, 1, 512, 512);
    expect_sense(&c, itt, 0x0b, 0x47, 0x05);
    for (unsigned i = 0; i < 1024; i++)
        assert_int_equal(rig.disk[i], 0);
    expect_alive(&c);

    nop_header(&c, bhs, true); /* what is not data cannot be asked for again */
    put_be24(bhs + BHS_DATA_SEGMENT_LENGTH, 512);
    client_raw(&c, bhs, sizeof bhs);
    client_raw(&c, bad, sizeof bad);
    client_expect(&c, &answer, ISCSI_REJECT);
    assert_int_equal(reason_of(), REJECT_DATA_DIGEST);
    client_expect_end(&c);
    client_close(&c);
    rig_stop();
}

static void data_when_out_of_order_then_command_fails_and_nothing_is_written(void **state)
{
    struct client c;
    uint32_t itt, ttt;

    rig_start(NULL);
    client_login(&c, 1, "");
    for (unsigned i = 0; i < 3; i++) {
        itt = send_write(&c, 0x80, 0, 4, 0);
        client_expect(&c, &answer, ISCSI_R2T);
        ttt = get_be32(answer.bhs + BHS_TARGET_TRANSFER_TAG);
        if (i == 0) { /* DataSN */
            data_out(&c, 0, itt, ttt, 0, 0, 1024);
            data_out(&c, 0x80, itt, ttt, 0, 1024, 1024);
        } else if (i == 1) { /* offset */
            data_out(&c, 0, itt, ttt, 0, 1024, 512);
            data_out(&c, 0x80, itt, ttt, 1, 512, 512);
        } else { /* F too early */
            data_out(&c, 0x80, itt, ttt, 0, 0, 1024);
        }
        expect_status(&c, itt, 0x02);
        assert_int_equal(answer.data[2 + 2], 0x0b);
        expect_alive(&c);
    }
    for (unsigned i = 0; i < 2048; i++)
        assert_int_equal(rig.disk[i], 0);
    client_close(&c);
    rig_stop();
}

static void unsolicited_data_when_not_agreed_then_unexpected(void **state)
{
    struct client c;
    uint32_t itt;

    rig_start(NULL);
    client_login(&c, 1, "ImmediateData=No\0");
    itt = send_write(&c, 0x80, 0, 4, 1024);
    expect_sense(&c, itt, 0x0b, 0x0c, 0x0c);
    itt = send_write(&c, 0, 0, 4, 0); /* F = 0 though InitialR2T=Yes (the default offer) */
    data_out(&c, 0x80, itt, ISCSI_RESERVED_TAG, 0, 0, 2048);
    expect_sense(&c, itt, 0x0b, 0x0c, 0x0c);
    expect_alive(&c);
    assert_int_equal(atomic_load(&rig.executed), 0);
    client_close(&c);
    rig_stop();
}

static void data_when_nobody_asked_then_reject_and_end(void **state)
{
    struct client c;
    uint32_t itt;

    rig_start(NULL);
    client_login(&c, 1, "");
    itt = send_write(&c, 0x80, 0, 4, 0);
    client_expect(&c, &answer, ISCSI_R2T);
    data_out(&c, 0x80, itt, 0x00770077, 0, 0, 2048);
    client_expect(&c, &answer, ISCSI_REJECT);
    assert_int_equal(reason_of(), REJECT_PROTOCOL_ERROR);
    client_expect_end(&c);
    client_close(&c);
    rig_stop();
}

static void data_when_command_layer_asks_late_then_is_kept(void **state)
{
    struct client c;
    uint8_t bhs[ISCSI_BHS_LENGTH], cdb[16];
    uint32_t itt;

    rig_start(NULL);
    client_login(&c, 1, "InitialR2T=No\0FirstBurstLength=262144\0");
    for (unsigned i = 0; i < 20; i++) {
        rig_cdb10(cdb, RIG_WRITE_LATE, i * 256, 256);
        itt = client_command(&c, bhs, COMMAND_WRITE, 256 * RIG_BLOCK, cdb, 16);
        client_send(&c, bhs, data, 30000);
        data_out(&c, 0x80, itt, ISCSI_RESERVED_TAG, 0, 30000, 256 * RIG_BLOCK - 30000);
        expect_status(&c, itt, 0);
        assert_memory_equal(rig.disk + i * 256 * RIG_BLOCK, data, 256 * RIG_BLOCK);
    }
    client_close(&c);
    rig_stop();
}

static void command_when_it_ends_early_then_its_data_is_drained_first(void **state)
{
    struct client c;
    uint32_t itt;

    rig_start(NULL);
    client_login(&c, 1, "InitialR2T=No\0FirstBurstLength=262144\0");
    itt = send_write(&c, 0, RIG_BLOCKS - 1, 256, 4096);
    expect_alive(&c); /* no response yet: the burst is not over */
    data_out(&c, 0, itt, ISCSI_RESERVED_TAG, 0, 4096, 65536);
    data_out(&c, 0x80, itt, ISCSI_RESERVED_TAG, 1, 69632, 61440);
    expect_sense(&c, itt, 5, 0x20, 0);
    expect_alive(&c);
    client_close(&c);
    rig_stop();
}

static void read_when_longer_or_shorter_than_expected_then_residuals(void **state)
{
    static const struct {
        uint32_t expected, has, wants;
        uint8_t flags;
        uint32_t residual, sent;
    } cases[] = {
        {1000, 1000, 1000, 0, 0, 1000},
        {1000, 500, 500, DATA_UNDERFLOW, 500, 500},
        {1000, 500, 1000, DATA_UNDERFLOW, 500, 500},
        {1000, 3000, 3000, DATA_OVERFLOW, 2000, 1000},
        {1001, 3000, 3000, DATA_OVERFLOW, 1999, 1001},
        {0, 512, 512, DATA_OVERFLOW, 512, 0},
        {512, 0, 0, DATA_UNDERFLOW, 512, 0},
    };
    struct client c;

    rig_start(NULL);
    client_login(&c, 1, "");
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t bhs[ISCSI_BHS_LENGTH], cdb[16] = {RIG_MORE};
        put_be32(cdb + 2, cases[i].has);
        put_be32(cdb + 6, cases[i].wants);
        client_command(&c, bhs, 0x80 | (cases[i].expected ? COMMAND_READ : 0), cases[i].expected,
                       cdb, 16);
        client_send(&c, bhs, NULL, 0);
        assert_true(client_receive(&c, &answer));
        assert_int_equal(answer.bhs[0], cases[i].sent ? ISCSI_SCSI_DATA_IN : ISCSI_SCSI_RESPONSE);
        assert_int_equal(answer.length, cases[i].sent);
        assert_int_equal(answer.bhs[1] & 0x06, cases[i].flags);
        assert_int_equal(get_be32(answer.bhs + DATA_RESIDUAL), cases[i].residual);
    }
    client_close(&c);
    rig_stop();
}

/* More than one sendmsg takes, and the initiator says nothing meanwhile: no event but the end of a
 * send moves the rest on. */
static void reads_when_long_and_nothing_else_happens_then_all_is_sent(void **state)
{
    enum { READS = 5, LENGTH = 3 << 20 };
    struct client c;
    uint64_t began = monotonic_ns();
    unsigned ended = 0;

    rig_start(NULL);
    client_login(&c, 1, "MaxRecvDataSegmentLength=262144\0");
    for (unsigned i = 0; i < READS; i++) {
        uint8_t bhs[ISCSI_BHS_LENGTH], cdb[16] = {RIG_MORE};
        put_be32(cdb + 2, LENGTH);
        put_be32(cdb + 6, LENGTH);
        client_command(&c, bhs, 0x80 | COMMAND_READ, LENGTH, cdb, 16);
        client_send(&c, bhs, NULL, 0);
    }
    while (ended < READS) {
        client_expect(&c, &answer, ISCSI_SCSI_DATA_IN);
        ended += answer.bhs[1] & DATA_STATUS;
    }
    /* Not moved on by the loop itself either, whose turns end after 1 s: there are 15 sends or
     * more. */
    assert_true(monotonic_ns() - began < 4000000000u);
    client_close(&c);
    rig_stop();
}

static void command_when_bidirectional_or_extended_then_refused_or_run(void **state)
{
    struct client c;
    uint8_t pdu[ISCSI_BHS_LENGTH + 20] = {0}, cdb[16] = {0};
    uint32_t itt;

    rig_start(NULL);
    client_login(&c, 1, "");
    itt = client_command(&c, pdu, 0x80 | COMMAND_READ | COMMAND_WRITE, 512, cdb, 16);
    client_send(&c, pdu, NULL, 0);
    expect_sense(&c, itt, 5, 0x0e, 0x03);
    itt = client_command(&c, pdu, 0x80, 0, cdb, 16);
    pdu[BHS_TOTAL_AHS_LENGTH] = 5;
    put_be16(pdu + ISCSI_BHS_LENGTH, 17);
    pdu[ISCSI_BHS_LENGTH + AHS_TYPE] = AHS_TYPE_EXTENDED_CDB;
    client_raw(&c, pdu, sizeof pdu);
    expect_status(&c, itt, 0);
    itt = client_command(&c, pdu, 0x80, 0, cdb, 16);
    pdu[BHS_TOTAL_AHS_LENGTH] = 5;
    put_be16(pdu + ISCSI_BHS_LENGTH, 99); /* longer than the AHS */
    client_raw(&c, pdu, sizeof pdu);
    client_expect(&c, &answer, ISCSI_REJECT);
    assert_int_equal(reason_of(), REJECT_INVALID_FIELD);
    client_expect_end(&c);
    client_close(&c);
    rig_stop();
}

/* ---- order and window ---- */

static void commands_when_out_of_order_then_run_in_order(void **state)
{
    struct client c;
    uint8_t first[ISCSI_BHS_LENGTH], nop[ISCSI_BHS_LENGTH], cdb[16] = {0};
    uint32_t itt, second;

    rig_start(NULL);
    client_login(&c, 1, "");
    itt = client_command(&c, first, 0x80, 0, cdb, 16); /* kept back */
    nop_header(&c, nop, false);
    client_send(&c, nop, "second", 6);
    second = send_write(&c, 0x80, 5, 4, 2048); /* third, with immediate data */
    expect_alive(&c);                          /* neither has run */
    assert_int_equal(atomic_load(&rig.executed), 0);
    client_send(&c, first, NULL, 0);
    expect_status(&c, itt, 0);
    client_expect(&c, &answer, ISCSI_NOP_IN);
    assert_memory_equal(answer.data, "second", 6);
    expect_status(&c, second, 0);
    assert_memory_equal(rig.disk + 5 * RIG_BLOCK, data, 2048);

    client_send(&c, first, NULL, 0); /* again: below the window, ignored */
    put_be32(first + BHS_CMD_SN, c.cmd_sn + 1000);
    client_send(&c, first, NULL, 0); /* above it */
    expect_alive(&c);
    assert_int_equal(atomic_load(&rig.executed), 2);
    client_close(&c);
    rig_stop();
}

static uint32_t window(struct client *c)
{
    expect_alive(c);
    return get_be32(answer.bhs + BHS_MAX_CMD_SN) - get_be32(answer.bhs + BHS_EXP_CMD_SN) + 1;
}

static void window_when_full_then_closes_and_opens_again(void **state)
{
    struct client c;

    rig_start(NULL);
    client_login(&c, 1, "");
    assert_int_equal(window(&c), 32);
    for (unsigned i = 0; i < 40; i++)
        send_never(&c, false);
    assert_int_equal(window(&c), 0);
    assert_int_equal(atomic_load(&rig.executed), 32);
    send_tmf(&c, TMF_REQUEST_LOGICAL_UNIT_RESET, 0, 0);
    expect_tmf(&c, TMF_RESPONSE_COMPLETE);
    assert_int_equal(window(&c), 32);
    client_close(&c);
    rig_stop();
}

static void immediate_commands_when_too_many_then_reject(void **state)
{
    struct client c;

    rig_start(NULL);
    client_login(&c, 1, "");
    for (unsigned i = 0; i < 17; i++)
        send_never(&c, true);
    client_expect(&c, &answer, ISCSI_REJECT);
    assert_int_equal(reason_of(), REJECT_TOO_MANY_IMMEDIATE);
    assert_int_equal(window(&c), 32);
    client_close(&c);
    rig_stop();
}

/* ---- requests ---- */

static void abort_task_when_running_finished_or_missing_then_answers_differ(void **state)
{
    struct client c;
    uint8_t late[ISCSI_BHS_LENGTH], queued[ISCSI_BHS_LENGTH], cdb[16] = {0};
    uint32_t itt, tag;

    rig_start(NULL);
    client_login(&c, 1, "");
    itt = send_never(&c, false);
    send_tmf(&c, TMF_REQUEST_ABORT_TASK, itt, c.cmd_sn - 1);
    expect_tmf(&c, TMF_RESPONSE_COMPLETE);
    send_tmf(&c, TMF_REQUEST_ABORT_TASK, itt, c.cmd_sn - 1);
    expect_tmf(&c, TMF_RESPONSE_NO_TASK);

    itt = client_command(&c, late, 0x80, 0, cdb, 16); /* not sent yet */
    tag = client_command(&c, queued, 0x80, 0, cdb, 16);
    client_send(&c, queued, NULL, 0); /* waits for it */
    send_tmf(&c, TMF_REQUEST_ABORT_TASK, tag, c.cmd_sn - 1);
    expect_tmf(&c, TMF_RESPONSE_COMPLETE);
    send_tmf(&c, TMF_REQUEST_ABORT_TASK, itt, c.cmd_sn - 2);
    expect_tmf(&c, TMF_RESPONSE_COMPLETE);
    client_send(&c, late, NULL, 0); /* counts as received: dropped */
    expect_alive(&c);
    assert_int_equal(get_be32(answer.bhs + BHS_EXP_CMD_SN), c.cmd_sn);
    assert_int_equal(atomic_load(&rig.executed), 1);

    send_tmf(&c, TMF_REQUEST_TASK_REASSIGN, itt, 0);
    expect_tmf(&c, TMF_RESPONSE_NO_REASSIGN);
    send_tmf(&c, 99, itt, 0);
    expect_tmf(&c, TMF_RESPONSE_NOT_SUPPORTED);
    client_close(&c);
    rig_stop();
}

static void abort_task_when_it_waits_for_data_then_late_data_is_forgotten(void **state)
{
    struct client c;
    uint32_t itt, ttt;

    rig_start(NULL);
    client_login(&c, 1, "");
    itt = send_write(&c, 0x80, 0, 8, 0);
    client_expect(&c, &answer, ISCSI_R2T);
    ttt = get_be32(answer.bhs + BHS_TARGET_TRANSFER_TAG);
    data_out(&c, 0, itt, ttt, 0, 0, 1024);
    send_tmf(&c, TMF_REQUEST_ABORT_TASK, itt, c.cmd_sn - 1);
    data_out(&c, 0x80, itt, ttt, 1, 1024, 3072);
    expect_tmf(&c, TMF_RESPONSE_COMPLETE);
    expect_alive(&c);
    client_close(&c);
    rig_stop();
}

static void send_text(struct client *c, uint8_t flags, uint32_t ttt, const char *text, uint32_t n)
{
    uint8_t bhs[ISCSI_BHS_LENGTH];

    pdu_init(bhs, ISCSI_TEXT_REQUEST | BHS_OPCODE_IMMEDIATE, flags);
    put_be32(bhs + BHS_INITIATOR_TASK_TAG, 0x5000);
    put_be32(bhs + BHS_TARGET_TRANSFER_TAG, ttt);
    put_be32(bhs + BHS_CMD_SN, c->cmd_sn);
    client_send(c, bhs, text, n);
}

static void expect_text(struct client *c, const char *text, size_t n)
{
    client_expect(c, &answer, ISCSI_TEXT_RESPONSE);
    assert_int_equal(answer.length, n);
    assert_memory_equal(answer.data, text, n);
}

static void text_when_in_session_then_only_own_target_is_told(void **state)
{
    struct client c;
    char all[256];
    int n;
    uint32_t ttt;

    rig_start(NULL);
    client_login(&c, 1, "MaxRecvDataSegmentLength=512\0");
    n = snprintf(all, sizeof all, "TargetName=%s%cTargetAddress=127.0.0.1:%u,3", RIG_TARGET, 0,
                 rig.port) +
        1;
    send_text(&c, 0x80, ISCSI_RESERVED_TAG, "SendTargets=", 13);
    expect_text(&c, all, (size_t)n);
    assert_int_equal(answer.bhs[1], 0x80);
    send_text(&c, 0x80, ISCSI_RESERVED_TAG, "SendTargets=All", 16);
    expect_text(&c, "SendTargets=Reject", 19);
    send_text(&c, 0x80, ISCSI_RESERVED_TAG, "X-com.example=1", 16);
    expect_text(&c, "X-com.example=NotUnderstood", 28);
    send_text(&c, 0x80, ISCSI_RESERVED_TAG, "MaxBurstLength=512", 19);
    expect_text(&c, "MaxBurstLength=Reject", 22);

    /* a request in two pieces (C bit) */
    send_text(&c, TEXT_CONTINUE, ISCSI_RESERVED_TAG, "SendTar", 7);
    expect_text(&c, "", 0);
    assert_int_equal(answer.bhs[1], 0);
    ttt = get_be32(answer.bhs + BHS_TARGET_TRANSFER_TAG);
    send_text(&c, 0x80, ttt, "gets=", 6);
    expect_text(&c, all, (size_t)n);
    assert_int_equal(get_be32(answer.bhs + BHS_TARGET_TRANSFER_TAG), ISCSI_RESERVED_TAG);
    send_text(&c, 0x80, ttt, "", 0);
    client_expect(&c, &answer, ISCSI_REJECT);
    assert_int_equal(reason_of(), REJECT_INVALID_FIELD);
    send_text(&c, 0x80, ISCSI_RESERVED_TAG, "bad", 4);
    client_expect(&c, &answer, ISCSI_REJECT);
    expect_alive(&c);
    client_close(&c);
    rig_stop();
}

static void many_targets(struct rig *r)
{
    static struct config_target targets[40];

    for (unsigned i = 0; i < 40; i++) {
        targets[i] = r->target;
        snprintf(targets[i].name, sizeof targets[i].name, "%s%02u", RIG_TARGET, i);
    }
    r->config.targets = targets;
    r->config.target_count = 40;
}

static void discovery_when_answer_is_long_then_comes_in_pieces(void **state)
{
    static char got[16 << 10];
    static const char text[] =
        "InitiatorName=" RIG_INITIATOR "\0SessionType=Discovery\0MaxRecvDataSegmentLength=512";
    struct client c;
    uint32_t used = 0, pieces = 0, targets = 0;
    uint8_t bhs[ISCSI_BHS_LENGTH], cdb[16] = {0};

    rig_start(many_targets);
    client_connect(&c);
    assert_int_equal(client_login_pdu(&c, 0x87, text, sizeof text, &answer), 0);
    send_text(&c, 0x80, ISCSI_RESERVED_TAG, "SendTargets=All", 16);
    for (;; pieces++) {
        client_expect(&c, &answer, ISCSI_TEXT_RESPONSE);
        assert_true(answer.length <= 512);
        memcpy(got + used, answer.data, answer.length);
        used += answer.length;
        if (answer.bhs[1] == 0x80)
            break;
        assert_int_equal(answer.bhs[1], TEXT_CONTINUE);
        send_text(&c, 0x80, get_be32(answer.bhs + BHS_TARGET_TRANSFER_TAG), "", 0);
    }
    for (uint32_t at = 0; at < used; at += (uint32_t)strlen(got + at) + 1)
        targets += !strncmp(got + at, "TargetName=", 11);
    assert_int_equal(targets, 40);
    assert_true(pieces > 2);
    client_command(&c, bhs, 0x80, 0, cdb, 16); /* no SCSI in a discovery session */
    client_send(&c, bhs, NULL, 0);
    client_expect(&c, &answer, ISCSI_REJECT);
    client_close(&c);
    rig_stop();
}

static void logout(struct client *c, uint8_t reason, uint16_t cid)
{
    uint8_t bhs[ISCSI_BHS_LENGTH];

    pdu_init(bhs, ISCSI_LOGOUT_REQUEST, 0x80 | reason);
    put_be16(bhs + LOGOUT_CID, cid);
    put_be32(bhs + BHS_CMD_SN, c->cmd_sn++);
    client_send(c, bhs, NULL, 0);
    client_expect(c, &answer, ISCSI_LOGOUT_RESPONSE);
}

static void logout_when_asked_then_tasks_end_before_the_answer(void **state)
{
    struct client c;

    rig_start(NULL);
    client_login(&c, 1, "");
    logout(&c, LOGOUT_CLOSE_CONNECTION, 77);
    assert_int_equal(answer.bhs[BHS_RESPONSE], LOGOUT_CID_NOT_FOUND);
    logout(&c, LOGOUT_REMOVE_FOR_RECOVERY, 0);
    assert_int_equal(answer.bhs[BHS_RESPONSE], LOGOUT_NO_RECOVERY);
    send_never(&c, false);
    logout(&c, LOGOUT_CLOSE_SESSION, 0);
    assert_int_equal(answer.bhs[BHS_RESPONSE], LOGOUT_SUCCESS);
    assert_int_equal(atomic_load(&rig.tasks), 0);
    client_expect_end(&c);
    client_close(&c);
    rig_stop();
}

/* ---- what is wrong ---- */

static void pdu_when_malformed_then_reject_with_reason(void **state)
{
    static const struct {
        uint8_t opcode, flags, ahs;
        uint32_t length;
        uint8_t reason;
        bool fatal;
    } cases[] = {
        {0x1c, 0x80, 0, 0, REJECT_NOT_SUPPORTED, false},
        {0x25, 0x80, 0, 0, REJECT_NOT_SUPPORTED, false},
        {ISCSI_SNACK_REQUEST, 0x80, 0, 0, REJECT_SNACK, false},
        {ISCSI_NOP_OUT, 0x80, 0, 262145, REJECT_PROTOCOL_ERROR, true},
        {ISCSI_SCSI_DATA_OUT, 0x80, 0, 0xffffff, REJECT_PROTOCOL_ERROR, true},
        {ISCSI_NOP_OUT, 0x80, 3, 0, REJECT_INVALID_FIELD, true},
        {ISCSI_NOP_OUT, 0x00, 0, 0, REJECT_INVALID_FIELD, true},
        {ISCSI_SCSI_COMMAND, 0x00, 0, 0, REJECT_INVALID_FIELD, true},
        {ISCSI_SCSI_COMMAND, 0xc0, 0, 512, REJECT_INVALID_FIELD, true},
        {ISCSI_LOGIN_REQUEST, 0x87, 0, 0, REJECT_PROTOCOL_ERROR, true},
        {ISCSI_LOGOUT_REQUEST, 0x80 | 5, 0, 0, REJECT_INVALID_FIELD, true},
    };

    rig_start(NULL);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t pdu[ISCSI_BHS_LENGTH + 12] = {0};
        struct client c;

        client_login(&c, (uint8_t)(i + 1), "");
        pdu_init(pdu, cases[i].opcode, cases[i].flags);
        pdu[BHS_TOTAL_AHS_LENGTH] = cases[i].ahs;
        put_be24(pdu + BHS_DATA_SEGMENT_LENGTH, cases[i].length);
        put_be32(pdu + BHS_CMD_SN, c.cmd_sn);
        client_raw(&c, pdu, ISCSI_BHS_LENGTH + cases[i].ahs * 4);
        client_expect(&c, &answer, ISCSI_REJECT);
        assert_int_equal(reason_of(), cases[i].reason);
        assert_int_equal(answer.length, ISCSI_BHS_LENGTH);
        if (cases[i].fatal)
            client_expect_end(&c);
        else
            expect_alive(&c);
        client_close(&c);
    }
    rig_stop();
}

static void tag_when_used_twice_then_reject_and_end(void **state)
{
    struct client c;

    rig_start(NULL);
    client_login(&c, 1, "");
    send_never(&c, false);
    c.itt--;
    send_never(&c, false);
    client_expect(&c, &answer, ISCSI_REJECT);
    assert_int_equal(reason_of(), REJECT_PROTOCOL_ERROR);
    client_expect_end(&c);
    client_close(&c);
    rig_stop();
}

/* Cuts the stream of a busy session at every kind of place. */
static void connection_when_cut_anywhere_then_nothing_is_left(void **state)
{
    rig_start(NULL);
    for (unsigned cut = 0; cut < 6; cut++) {
        struct client c;
        uint8_t bhs[ISCSI_BHS_LENGTH], cdb[16];

        client_login(&c, 1, "InitialR2T=No\0FirstBurstLength=262144\0");
        send_never(&c, false);
        rig_cdb10(cdb, 0x28, 0, 8192); /* 4 MiB that nobody reads */
        client_command(&c, bhs, 0x80 | COMMAND_READ, 4 << 20, cdb, 16);
        client_send(&c, bhs, NULL, 0);
        rig_cdb10(cdb, cut & 1 ? 0x2a : RIG_WRITE_LATE, 0, 512);
        client_command(&c, bhs, COMMAND_WRITE, 262144, cdb, 16);
        put_be24(bhs + BHS_DATA_SEGMENT_LENGTH, 200000);
        client_raw(&c, bhs, cut < 1 ? 20 : sizeof bhs);
        if (cut >= 1)
            client_raw(&c, data, cut * 39000);
        client_close(&c);
    }
    rig_stop();
}

static void server_when_stopped_then_asks_for_logout_and_drops(void **state)
{
    struct client c;

    rig_start(NULL);
    client_login(&c, 1, "");
    send_never(&c, false);
    expect_alive(&c);
    rig_stop();
    client_expect(&c, &answer, ISCSI_ASYNC_MESSAGE);
    assert_int_equal(answer.bhs[ASYNC_EVENT], ASYNC_EVENT_LOGOUT_REQUEST);
    client_expect_end(&c);
    client_close(&c);
}

static atomic_uint reloaded;

static void reload_done(void *context)
{
    atomic_store(&reloaded, 1);
}

static void reload_when_host_is_gone_then_only_its_session_ends(void **state)
{
    struct config changed;
    struct client c;
    char why[256];

    rig_start(NULL);
    client_login(&c, 1, "");
    changed = rig.config;
    atomic_store(&reloaded, 0);
    assert_int_equal(iscsi_server_reload(rig.server, &changed, reload_done, NULL, why), 0);
    expect_alive(&c);
    while (!atomic_load(&reloaded))
        expect_alive(&c);
    rig.config.host_count = 0;
    assert_int_equal(iscsi_server_reload(rig.server, &rig.config, reload_done, NULL, why), 0);
    client_expect(&c, &answer, ISCSI_ASYNC_MESSAGE);
    client_expect_end(&c);
    client_close(&c);
    rig_stop();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(login_when_refused_then_status_is_exact_and_connection_ends),
        cmocka_unit_test(login_when_tsih_is_unknown_then_020a_and_when_in_use_then_0206),
        cmocka_unit_test(login_when_sent_byte_by_byte_then_works),
        cmocka_unit_test(initiator_when_silent_then_is_disconnected),
        cmocka_unit_test(session_when_reinstated_then_old_one_ends_first),
        cmocka_unit_test(write_when_digests_are_on_then_every_phase_works),
        cmocka_unit_test(header_digest_when_wrong_then_connection_ends),
        cmocka_unit_test(data_digest_when_wrong_then_command_fails_after_its_burst),
        cmocka_unit_test(data_when_out_of_order_then_command_fails_and_nothing_is_written),
        cmocka_unit_test(unsolicited_data_when_not_agreed_then_unexpected),
        cmocka_unit_test(data_when_nobody_asked_then_reject_and_end),
        cmocka_unit_test(data_when_command_layer_asks_late_then_is_kept),
        cmocka_unit_test(command_when_it_ends_early_then_its_data_is_drained_first),
        cmocka_unit_test(read_when_longer_or_shorter_than_expected_then_residuals),
        cmocka_unit_test(reads_when_long_and_nothing_else_happens_then_all_is_sent),
        cmocka_unit_test(command_when_bidirectional_or_extended_then_refused_or_run),
        cmocka_unit_test(commands_when_out_of_order_then_run_in_order),
        cmocka_unit_test(window_when_full_then_closes_and_opens_again),
        cmocka_unit_test(immediate_commands_when_too_many_then_reject),
        cmocka_unit_test(abort_task_when_running_finished_or_missing_then_answers_differ),
        cmocka_unit_test(abort_task_when_it_waits_for_data_then_late_data_is_forgotten),
        cmocka_unit_test(text_when_in_session_then_only_own_target_is_told),
        cmocka_unit_test(discovery_when_answer_is_long_then_comes_in_pieces),
        cmocka_unit_test(logout_when_asked_then_tasks_end_before_the_answer),
        cmocka_unit_test(pdu_when_malformed_then_reject_with_reason),
        cmocka_unit_test(tag_when_used_twice_then_reject_and_end),
        cmocka_unit_test(connection_when_cut_anywhere_then_nothing_is_left),
        cmocka_unit_test(server_when_stopped_then_asks_for_logout_and_drops),
        cmocka_unit_test(reload_when_host_is_gone_then_only_its_session_ends),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, setup, NULL);
}
