/* PDU lengths, digests, header checks, CDBs with extensions, residuals and the command window.
 * Not covered: how connections use them (test_iscsi_conn). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "target/iscsi/pdu.h"
#include "target/iscsi/residual.h"
#include "target/iscsi/session.h"

static uint32_t crc(const void *data, size_t n)
{
    return pdu_crc_finish(pdu_crc_feed(PDU_CRC_START, data, n));
}

static void crc_when_rfc_examples_then_matches(void **state)
{
    /* RFC 7143 A.4: bytes in the order of the wire */
    static const uint8_t read_pdu[48] = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0,
                                         0x14, 0,    0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
                                         0x28, 0,    0, 0, 0, 0, 0, 0, 2, 0, 0, 0,    0, 0, 0, 0};
    uint8_t bytes[32], digest[4];

    memset(bytes, 0, 32);
    put_le32(digest, crc(bytes, 32));
    assert_memory_equal(digest, "\xaa\x36\x91\x8a", 4);
    memset(bytes, 0xff, 32);
    put_le32(digest, crc(bytes, 32));
    assert_memory_equal(digest, "\x43\xab\xa8\x62", 4);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    put_le32(digest, crc(bytes, 32));
    assert_memory_equal(digest, "\x4e\x79\xdd\x46", 4);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    put_le32(digest, crc(bytes, 32));
    assert_memory_equal(digest, "\x5c\xdb\x3f\x11", 4);
    put_le32(digest, crc(read_pdu, 48));
    assert_memory_equal(digest, "\x56\x3a\x96\xd9", 4);
    assert_int_equal(
        crc(read_pdu, 48),
        pdu_crc_finish(pdu_crc_feed(pdu_crc_feed(PDU_CRC_START, read_pdu, 7), read_pdu + 7, 41)));
}

static void padding_when_any_length_then_fills_words(void **state)
{
    for (uint32_t n = 0; n < 4096; n++) {
        assert_true(pdu_padding(n) < 4);
        assert_int_equal((n + pdu_padding(n)) % 4, 0);
    }
    assert_int_equal(pdu_padding(0xffffff), 1);
}

static void check_when_every_opcode_then_only_known_ones_pass(void **state)
{
    static const uint8_t good[] = {ISCSI_NOP_OUT,       ISCSI_SCSI_COMMAND,
                                   ISCSI_TEXT_REQUEST,  ISCSI_TASK_MANAGEMENT_REQUEST,
                                   ISCSI_SCSI_DATA_OUT, ISCSI_LOGOUT_REQUEST,
                                   ISCSI_SNACK_REQUEST};
    uint8_t bhs[ISCSI_BHS_LENGTH];

    for (unsigned opcode = 0; opcode < 64; opcode++) {
        bool known = memchr(good, (int)opcode, sizeof good);
        struct pdu_fault fault;
        pdu_init(bhs, (uint8_t)opcode, 0x80);
        fault = pdu_check(bhs, 8192);
        assert_int_equal(fault.reason == 0, known);
        if (!known)
            assert_int_equal(fault.fatal, opcode == ISCSI_LOGIN_REQUEST);
        put_be24(bhs + BHS_DATA_SEGMENT_LENGTH, 8193);
        fault = pdu_check(bhs, 8192);
        assert_true(fault.reason && fault.fatal);
    }
}

static void cdb_when_extended_then_joined(void **state)
{
    uint8_t bhs[ISCSI_BHS_LENGTH], ahs[64] = {0};
    struct pdu_cdb cdb;

    pdu_init(bhs, ISCSI_SCSI_COMMAND, 0xc0);
    memset(bhs + COMMAND_CDB, 0x11, 16);
    assert_int_equal(pdu_command_cdb(bhs, NULL, 0, &cdb), 0);
    assert_int_equal(cdb.length, 16);
    assert_false(cdb.bidirectional);
    put_be16(ahs, 17);
    ahs[AHS_TYPE] = AHS_TYPE_EXTENDED_CDB;
    memset(ahs + AHS_HEADER, 0x22, 16);
    assert_int_equal(pdu_command_cdb(bhs, ahs, 20, &cdb), 0);
    assert_int_equal(cdb.length, 32);
    assert_int_equal(cdb.cdb[15], 0x11);
    assert_int_equal(cdb.cdb[16], 0x22);
    put_be16(ahs, 21);
    assert_int_equal(pdu_command_cdb(bhs, ahs, 24, &cdb), 0);
    assert_true(cdb.too_long);
    for (size_t n = 1; n < 24; n++) /* cut short */
        assert_int_equal(pdu_command_cdb(bhs, ahs, n, &cdb), -1);
    put_be16(ahs, 0);
    assert_int_equal(pdu_command_cdb(bhs, ahs, 24, &cdb), -1);
    put_be16(ahs, 5);
    ahs[AHS_TYPE] = AHS_TYPE_BIDIRECTIONAL;
    assert_int_equal(pdu_command_cdb(bhs, ahs, 8, &cdb), 0);
    assert_true(cdb.bidirectional);
    ahs[AHS_TYPE] = 9;
    assert_int_equal(pdu_command_cdb(bhs, ahs, 8, &cdb), -1);
}

static void residual_when_any_lengths_then_adds_up(void **state)
{
    static const uint32_t lengths[] = {0, 1, 511, 512, 513, 65536, 0xffffffff};

    for (unsigned e = 0; e < 7; e++)
        for (unsigned w = 0; w < 7; w++)
            for (unsigned read = 0; read < 2; read++) {
                uint32_t expected = lengths[e], wanted = lengths[w];
                uint32_t sent = read ? (wanted < expected ? wanted : expected) : 0;
                struct residual r =
                    residual_of(read ? expected : 0, read ? 0 : expected, wanted, sent);
                assert_int_equal(r.flags, wanted > expected   ? RESPONSE_OVERFLOW
                                          : wanted < expected ? RESPONSE_UNDERFLOW
                                                              : 0);
                assert_int_equal(r.count,
                                 wanted > expected ? wanted - expected : expected - wanted);
            }
    /* a read that failed, and one that returned less than its allocation length */
    assert_int_equal(residual_of(4096, 0, 4096, 0).count, 4096);
    assert_int_equal(residual_of(4096, 0, 4096, 0).flags, RESPONSE_UNDERFLOW);
    assert_int_equal(residual_of(255, 0, 96, 96).count, 159);
}

static void order_when_numbers_wrap_then_window_holds(void **state)
{
    static const uint32_t starts[] = {0, 1, 0x7ffffff0, 0x80000000, 0xfffffff0, 0xffffffff};

    for (unsigned i = 0; i < sizeof starts / sizeof *starts; i++) {
        struct session s = {0};
        session_start(&s, starts[i], 0);
        assert_int_equal(session_order(&s, starts[i]), ORDER_DROP); /* closed at first */
        session_window(&s, 32, 0, 1000);
        for (uint32_t n = 0; n < 200; n++) {
            uint32_t sn = s.exp_cmd_sn;
            assert_int_equal(session_order(&s, sn), ORDER_NOW);
            assert_int_equal(session_order(&s, sn - 1), ORDER_DROP);
            assert_int_equal(session_order(&s, sn + 1), ORDER_LATER);
            assert_int_equal(session_order(&s, sn + 31), ORDER_LATER);
            assert_int_equal(session_order(&s, sn + 32), ORDER_DROP);
            s.exp_cmd_sn++;
            session_window(&s, 32, 0, 1000);
        }
    }
}

static void window_when_busy_or_short_of_memory_then_never_moves_back(void **state)
{
    struct session s = {0};
    uint32_t last;

    session_start(&s, 10, 0);
    session_window(&s, 32, 0, 1000);
    assert_int_equal(s.max_cmd_sn, 41);
    s.exp_cmd_sn = 20;
    session_window(&s, 32, 10, 1000);
    assert_int_equal(s.max_cmd_sn, 41);
    session_window(&s, 32, 0, 0); /* promised is promised */
    assert_int_equal(s.max_cmd_sn, 41);
    s.exp_cmd_sn = 42;
    session_window(&s, 32, 22, 0);
    assert_int_equal(s.max_cmd_sn, 41); /* closed while commands run */
    session_window(&s, 32, 0, 0);
    assert_int_equal(s.max_cmd_sn, 42); /* never closed for good */
    session_window(&s, 32, 0, 125);
    assert_int_equal(s.max_cmd_sn, 57); /* half of the depth at half of the mark */
    last = s.max_cmd_sn;
    for (unsigned free = 0; free <= 1000; free += 50)
        for (unsigned busy = 0; busy < 40; busy++) {
            session_window(&s, 32, busy, free);
            assert_false(sn_before(s.max_cmd_sn, last));
            last = s.max_cmd_sn;
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_when_rfc_examples_then_matches),
        cmocka_unit_test(padding_when_any_length_then_fills_words),
        cmocka_unit_test(check_when_every_opcode_then_only_known_ones_pass),
        cmocka_unit_test(cdb_when_extended_then_joined),
        cmocka_unit_test(residual_when_any_lengths_then_adds_up),
        cmocka_unit_test(order_when_numbers_wrap_then_window_holds),
        cmocka_unit_test(window_when_busy_or_short_of_memory_then_never_moves_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
