/* Wire messages: headers in their three forms, every packet there and back, wrong lengths and
 * values, state words. Not covered: order of packets, authentication (the engine's). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "replication/message.h"
#include "target/base/bytes.h"

static uint8_t out[256];

static void headers_have_the_documented_bytes(void **state)
{
    static const uint8_t h80[] = {0x83, 0x74, 0x02, 0x67, 0xFF, 0xFE, 0, 72};
    static const uint8_t h95[] = {0x83, 0x5A, 0, 4, 0, 1, 0, 2};
    static const uint8_t h100[] = {0x86, 0x20, 0xEC, 0x20, 0, 7, 0, 0x31, 0, 0, 0, 28, 0, 0, 0, 0};
    struct packet_header h = {.command = P_CONNECTION_FEATURES, .length = 72}, back;

    assert_int_equal(header_encode(HEADER_80, &h, out), 8);
    assert_memory_equal(out, h80, 8);
    h = (struct packet_header){.command = P_BITMAP, .length = 0x10002};
    assert_int_equal(header_encode(HEADER_95, &h, out), 8);
    assert_memory_equal(out, h95, 8);
    h = (struct packet_header){.volume = 7, .command = P_TRIM, .length = 28};
    assert_int_equal(header_encode(HEADER_100, &h, out), 16);
    assert_memory_equal(out, h100, 16);
    assert_int_equal(header_decode(HEADER_100, out, &back), 0);
    assert_true(back.volume == 7 && back.command == P_TRIM && back.length == 28);
    assert_int_equal(header_decode(HEADER_80, out, &back), -EPROTO);
    assert_int_equal(header_decode(HEADER_95, out, &back), -EPROTO);
    out[15] = 1;
    assert_int_equal(header_decode(HEADER_100, out, &back), -EPROTO);
    assert_int_equal(header_decode(HEADER_80, h80, &back), 0);
    assert_true(back.command == 0xFFFE && back.length == 72);
    assert_int_equal(header_decode(HEADER_95, h95, &back), 0);
    assert_int_equal(back.length, 0x10002);
}

static void rows_are_found_by_number_and_bound_the_length(void **state)
{
    unsigned found = 0;

    for (unsigned n = 0; n < 0x10000; n++) {
        const struct packet_row *row = packet_row(n);

        if (!row)
            continue;
        found++;
        assert_int_equal(row->number, n);
        assert_true(row->sockets && row->name[0] == 'P' && row->name[1] == '_');
    }
    assert_int_equal(found, 49);
    assert_null(packet_row(0x05));
    assert_null(packet_row(0x10000));
    assert_string_equal(packet_name(0x1C), "P_BARRIER_ACK");
    assert_string_equal(packet_name(0x99), "unknown packet");
    assert_true(packet_length_ok(packet_row(P_DATA), 24 + (1 << 20)));
    assert_false(packet_length_ok(packet_row(P_DATA), 25 + (1 << 20)));
    assert_false(packet_length_ok(packet_row(P_DATA), 23));
    assert_true(packet_length_ok(packet_row(P_COMPRESSED_BITMAP), 4080));
    assert_false(packet_length_ok(packet_row(P_COMPRESSED_BITMAP), 4081));
    assert_false(packet_length_ok(packet_row(P_PING), 1));
}

static void features_round_trip_in_their_own_order(void **state)
{
    struct packet_features p = {86, 101, FEATURE_TRIM | FEATURE_WSAME}, back;

    assert_int_equal(packet_features_encode(&p, out), 72);
    assert_true(get_be32(out) == 86 && get_be32(out + 4) == 5 && get_be32(out + 8) == 101);
    assert_int_equal(packet_features_decode(out, 72, &back), 0);
    assert_memory_equal(&p, &back, sizeof p);
    assert_int_equal(packet_features_decode(out, 71, &back), -EPROTO);
    put_be32(out, 102);
    assert_int_equal(packet_features_decode(out, 72, &back), -EPROTO);
}

static void protocol_round_trips_and_needs_a_terminated_name(void **state)
{
    struct packet_protocol p = {PROTOCOL_C, 1, 7, 0, PROTOCOL_DRY_RUN, 0, "sha1"}, back;

    assert_int_equal(packet_protocol_encode(&p, out), 29);
    assert_int_equal(packet_protocol_decode(out, 29, &back), 0);
    assert_memory_equal(&p, &back, sizeof p);
    assert_int_equal(packet_protocol_decode(out, 28, &back), -EPROTO);
    assert_int_equal(packet_protocol_decode(out, 24, &back), 0);
    assert_string_equal(back.integrity_alg, "");
    assert_int_equal(packet_protocol_decode(out, 23, &back), -EPROTO);
    assert_int_equal(packet_protocol_decode(out, 24 + 65, &back), -EPROTO);
}

static void sync_param_round_trips(void **state)
{
    struct packet_sync_param p = {250, "sha1", "crc32c", 20, 10, 100, 102400}, back;

    assert_int_equal(packet_sync_param_encode(&p, out), 148);
    assert_int_equal(packet_sync_param_decode(out, 148, &back), 0);
    assert_memory_equal(&p, &back, sizeof p);
    memset(out + 4, 'x', 64);
    assert_int_equal(packet_sync_param_decode(out, 148, &back), -EPROTO);
}

static void sizes_length_depends_on_the_feature(void **state)
{
    struct packet_sizes p = {1000, 0,     900, 1 << 20, 0, SIZES_NO_RESYNC, 4096, 512, 0,
                             4096, 65536, 1,   1,       0};
    struct packet_sizes back;

    assert_int_equal(packet_sizes_encode(&p, true, out), 56);
    assert_int_equal(packet_sizes_decode(out, 56, true, &back), 0);
    assert_memory_equal(&p, &back, sizeof p);
    assert_int_equal(packet_sizes_decode(out, 56, false, &back), -EPROTO);
    assert_int_equal(packet_sizes_encode(&p, false, out), 32);
    assert_int_equal(packet_sizes_decode(out, 32, true, &back), -EPROTO);
    assert_int_equal(packet_sizes_decode(out, 32, false, &back), 0);
    assert_true(back.device_size == 1000 && back.flags == SIZES_NO_RESYNC && back.io_opt == 0);
}

static void uuids_round_trip(void **state)
{
    struct packet_uuids p = {1, 2, {3, 4}, 5, UUIDS_CRASHED_PRIMARY}, back;
    uint64_t uuid;

    assert_int_equal(packet_uuids_encode(&p, out), 48);
    assert_int_equal(get_be64(out + 40), 2);
    assert_int_equal(packet_uuids_decode(out, 48, &back), 0);
    assert_memory_equal(&p, &back, sizeof p);
    assert_int_equal(packet_uuids_decode(out, 40, &back), -EPROTO);
    assert_int_equal(packet_sync_uuid_encode(77, out), 8);
    assert_int_equal(packet_sync_uuid_decode(out, 8, &uuid), 0);
    assert_int_equal(uuid, 77);
}

static void data_is_bounded_and_block_ids_are_untouched(void **state)
{
    struct packet_data p = {.sector = 8, .sequence = 3, .flags = DP_SEND_WRITE_ACK, .size = 4096};
    struct packet_data back;

    memcpy(&p.block_id, "opaque!!", 8);
    assert_int_equal(packet_data_encode(&p, out), 24);
    assert_memory_equal(out + 8, "opaque!!", 8);
    assert_int_equal(packet_data_decode(out, 24 + 4096, &back), 0);
    assert_true(back.sector == 8 && back.block_id == p.block_id && back.sequence == 3 &&
                back.flags == 256 && back.size == 4096);
    assert_int_equal(packet_data_decode(out, 24, &back), 0); /* a flush */
    assert_int_equal(packet_data_decode(out, 24 + 100, &back), -EPROTO);
    assert_int_equal(packet_data_decode(out, 23, &back), -EPROTO);
    assert_int_equal(packet_data_decode(out, 24 + (1 << 20) + 512, &back), -EPROTO);
    put_be64(out, UINT64_MAX - 3);
    assert_int_equal(packet_data_decode(out, 24 + 4096, &back), -EPROTO);
    p.size = 128 << 20;
    assert_int_equal(packet_trim_encode(&p, out), 28);
    assert_int_equal(packet_trim_decode(out, 28, &back), 0);
    assert_int_equal(back.size, 128 << 20);
    assert_int_equal(packet_trim_decode(out, 24, &back), -EPROTO);
    put_be32(out + 24, 0);
    assert_int_equal(packet_trim_decode(out, 28, &back), -EPROTO);
    put_be32(out + 24, (128 << 20) + 512);
    assert_int_equal(packet_trim_decode(out, 28, &back), -EPROTO);
}

static void requests_acks_ranges_and_barriers_round_trip(void **state)
{
    struct packet_block_request r = {16, BLOCK_ID_SYNC, 32768}, r2;
    struct packet_block_ack a = {16, 99, 4096, 7}, a2;
    struct packet_block_range g = {24, 8192}, g2;
    struct packet_barrier_ack b = {0x01020304, 12}, b2;
    uint32_t number;

    assert_int_equal(packet_block_request_encode(&r, out), 24);
    assert_int_equal(packet_block_request_decode(out, 24, MESSAGE_MAX_BIO, &r2), 0);
    assert_true(r2.sector == 16 && r2.block_id == BLOCK_ID_SYNC && r2.size == 32768);
    assert_int_equal(packet_block_request_decode(out, 24, 16384, &r2), -EPROTO);
    assert_int_equal(packet_block_request_decode(out, 24 + 65, MESSAGE_MAX_BIO, &r2), -EPROTO);
    assert_int_equal(packet_block_ack_encode(&a, out), 24);
    assert_int_equal(packet_block_ack_decode(out, 24, &a2), 0);
    assert_true(a2.sector == 16 && a2.block_id == 99 && a2.size == 4096 && a2.sequence == 7);
    assert_int_equal(packet_block_ack_decode(out, 25, &a2), -EPROTO);
    assert_int_equal(packet_block_range_encode(&g, out), 16);
    assert_int_equal(packet_block_range_decode(out, 16, &g2), 0);
    assert_true(g2.sector == 24 && g2.size == 8192);
    assert_int_equal(packet_barrier_ack_encode(&b, out), 8);
    assert_int_equal(get_be32(out + 4), 12);
    assert_int_equal(packet_barrier_decode(out, 8, &number), 0);
    assert_int_equal(number, 0x01020304);
    assert_int_equal(packet_barrier_ack_decode(out, 8, &b2), 0);
    assert_memory_equal(&b, &b2, sizeof b);
    put_be64(out, 4711);
    memcpy(&a.block_id, out, 8);
    assert_int_equal(ov_result_in_sync(a.block_id), 1);
    assert_int_equal(ov_result_in_sync(ov_result_block_id(false)), 0);
    assert_int_equal(ov_result_in_sync(4711), -EPROTO);
    assert_true(sequence_after(0, UINT32_MAX) && !sequence_after(5, 5));
}

static void state_words_pack_field_by_field(void **state)
{
    struct wire_state s = {.role = WIRE_PRIMARY,
                           .peer = WIRE_SECONDARY,
                           .conn = CONN_CONNECTED,
                           .disk = DISK_UP_TO_DATE,
                           .pdsk = DISK_INCONSISTENT,
                           .user_isp = true};
    struct wire_state back;

    assert_int_equal(wire_state_pack(&s), 1 | 2 << 2 | 10 << 4 | 8 << 9 | 4 << 13 | 1 << 20);
    for (uint32_t bit = 0; bit < 23; bit++) {
        back = wire_state_unpack(UINT32_C(1) << bit);
        assert_int_equal(wire_state_pack(&back), UINT32_C(1) << bit);
    }
    assert_int_equal(packet_state_encode(&s, out), 4);
    assert_int_equal(packet_state_decode(out, 4, &back), 0);
    assert_int_equal(packet_state_decode(out, 3, &back), -EPROTO);
    put_be32(out, 3); /* role 3 */
    assert_int_equal(packet_state_decode(out, 4, &back), -EPROTO);
    put_be32(out, 24 << 4);
    assert_int_equal(packet_state_decode(out, 4, &back), -EPROTO);
    put_be32(out, 9 << 9);
    assert_int_equal(packet_state_decode(out, 4, &back), -EPROTO);
}

static void requests_are_mirrored(void **state)
{
    static const uint8_t conns[][2] = {{9, 9}, {10, 10}, {11, 12}, {12, 11},
                                       {1, 7}, {18, 19}, {31, 31}};
    struct packet_state_request q = {
        .mask = {.role = 3, .conn = WIRE_CONN_MASK, .disk = 15, .aftr_isp = true},
        .value = {.role = WIRE_PRIMARY, .conn = CONN_VERIFY_S, .disk = DISK_FAILED},
    };
    struct packet_state_request back;
    struct wire_state now = {.role = WIRE_SECONDARY,
                             .peer = WIRE_SECONDARY,
                             .conn = CONN_CONNECTED,
                             .disk = DISK_UP_TO_DATE,
                             .pdsk = DISK_UP_TO_DATE};

    for (unsigned i = 0; i < sizeof conns / sizeof *conns; i++) {
        struct wire_state s = {.conn = conns[i][0]};

        assert_int_equal(wire_state_mirror(&s).conn, conns[i][1]);
    }
    assert_int_equal(packet_state_request_encode(&q, out), 8);
    assert_int_equal(packet_state_request_decode(out, 8, true, &back), 0);
    assert_true(back.mask.peer == 3 && back.mask.role == 0 && back.mask.pdsk == 15 &&
                back.mask.conn == 31 && back.mask.peer_isp && !back.mask.aftr_isp);
    now = wire_state_apply(&now, &back.mask, &back.value);
    assert_true(now.peer == WIRE_PRIMARY && now.role == WIRE_SECONDARY &&
                now.conn == CONN_VERIFY_T && now.pdsk == DISK_FAILED &&
                now.disk == DISK_UP_TO_DATE);
    assert_int_equal(packet_state_request_decode(out, 4, true, &back), -EPROTO);
}

static void replies_are_signed_and_named(void **state)
{
    int32_t code;

    assert_int_equal(packet_state_reply_encode(STATE_TRANSIENT, out), 4);
    assert_int_equal(packet_state_reply_decode(out, 4, &code), 0);
    assert_int_equal(code, -18);
    assert_string_equal(state_reply_text(-1), "the peer is Primary");
    assert_string_equal(state_reply_text(-99), "refused");
    assert_string_equal(state_reply_text(1), "done");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_have_the_documented_bytes),
        cmocka_unit_test(rows_are_found_by_number_and_bound_the_length),
        cmocka_unit_test(features_round_trip_in_their_own_order),
        cmocka_unit_test(protocol_round_trips_and_needs_a_terminated_name),
        cmocka_unit_test(sync_param_round_trips),
        cmocka_unit_test(sizes_length_depends_on_the_feature),
        cmocka_unit_test(uuids_round_trip),
        cmocka_unit_test(data_is_bounded_and_block_ids_are_untouched),
        cmocka_unit_test(requests_acks_ranges_and_barriers_round_trip),
        cmocka_unit_test(state_words_pack_field_by_field),
        cmocka_unit_test(requests_are_mirrored),
        cmocka_unit_test(replies_are_signed_and_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
