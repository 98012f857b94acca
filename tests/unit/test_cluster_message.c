/* Encoding and decoding of what halunds tell each other. Every byte string a decoder may meet is the
 * fuzzer's part (tests/fuzz/fuzz_cluster_message.c). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/message.h"

static uint8_t buffer[MESSAGE_MAX];

static size_t encode(struct cluster_message *m)
{
    struct writer w = {.data = buffer, .size = sizeof buffer};

    m->wire = message_wire(m);
    m->incarnation = 0x1122334455667788;
    message_encode(m, &w);
    assert_true(w.used <= w.size);
    return w.used;
}

static void message_when_encoded_then_decodes_to_the_same(void **state)
{
    struct cluster_message m, back;

    for (unsigned type = 1; type < MESSAGE_TYPES; type++) {
        size_t size;
        memset(&m, 0, sizeof m);
        m.type = type;
        if (type == MESSAGE_HELLO) {
            m.hello.wire_min = 1;
            m.hello.wire_max = 3;
            m.hello.stamp.members = 0x6;
        } else if (type == MESSAGE_SNAPSHOT) {
            m.snapshot.bytes = (const uint8_t *)"abc";
            m.snapshot.length = m.snapshot.total = 3;
        } else if (type == MESSAGE_OP) {
            m.op.sequence = 7;
            m.op.bytes = (const uint8_t *)"abcd";
            m.op.length = 4;
        } else if (type == MESSAGE_ADMIT) {
            m.admit.node = 8;
        } else if (type == MESSAGE_ACK) {
            m.ack.origin = 1;
            m.ack.order = 99;
        } else if (type == MESSAGE_HARMLESS) {
            m.harmless.node = 2;
        } else if (type == MESSAGE_HEARTBEAT) {
            m.heartbeat.echo[LIMIT_NODES] = 5;
        } else if (type == MESSAGE_CONFIRM) {
            m.confirm.attempt[3] = 4;
        } else if (type == MESSAGE_OPINION) {
            m.opinion.to = 2;
            m.opinion.text = (const uint8_t *)"no";
            m.opinion.length = 2;
        } else if (type == MESSAGE_HANDOVER) {
            m.handover.owner = 1;
            m.handover.epoch = 3;
        }
        size = encode(&m);
        assert_int_equal(message_decode(&back, buffer, size), 0);
        assert_int_equal(back.incarnation, m.incarnation);
        if (type == MESSAGE_SNAPSHOT) {
            assert_memory_equal(back.snapshot.bytes, "abc", 3);
        } else if (type == MESSAGE_OP) {
            assert_int_equal(back.op.sequence, 7);
            assert_memory_equal(back.op.bytes, "abcd", 4);
        } else if (type == MESSAGE_OPINION) {
            assert_int_equal(back.opinion.to, 2);
            assert_memory_equal(back.opinion.text, "no", 2);
        } else {
            assert_memory_equal(&back.hello, &m.hello, sizeof m.hello);
            assert_memory_equal(&back.heartbeat, &m.heartbeat, sizeof m.heartbeat);
        }
        for (size_t cut = 0; cut < size; cut++)
            assert_int_not_equal(message_decode(&back, buffer, cut), 0);
        assert_int_not_equal(message_decode(&back, buffer, size + 1), 0);
    }
}

static void message_when_of_another_version_then_refused_but_for_hello(void **state)
{
    struct cluster_message m = {.type = MESSAGE_ASK}, back;
    size_t size = encode(&m);

    buffer[2] = WIRE_MAX + 1;
    assert_int_equal(message_decode(&back, buffer, size), -EPROTONOSUPPORT);
    m.type = MESSAGE_HELLO;
    m.hello.wire_min = m.hello.wire_max = WIRE_MAX + 1;
    size = encode(&m);
    buffer[2] = WIRE_MAX + 1; /* and may have grown at its end */
    assert_int_equal(message_decode(&back, buffer, size + 4), 0);
    assert_int_equal(back.hello.wire_min, WIRE_MAX + 1);
}

static void message_when_type_is_unknown_then_refused(void **state)
{
    struct cluster_message m = {.type = MESSAGE_ASK}, back;
    size_t size = encode(&m);

    buffer[3] = MESSAGE_TYPES;
    assert_int_equal(message_decode(&back, buffer, size), -EPROTONOSUPPORT);
    buffer[3] = 0;
    assert_int_equal(message_decode(&back, buffer, size), -EPROTONOSUPPORT);
}

static void message_when_a_node_is_out_of_range_then_refused(void **state)
{
    struct cluster_message m = {.type = MESSAGE_HARMLESS}, back;

    m.harmless.node = LIMIT_NODES + 1;
    assert_int_equal(message_decode(&back, buffer, encode(&m)), -EBADMSG);
    m.type = MESSAGE_HANDOVER;
    m.handover.owner = 0;
    assert_int_equal(message_decode(&back, buffer, encode(&m)), -EBADMSG);
    m.handover.owner = 1;
    m.handover.group = LIMIT_GROUPS;
    assert_int_equal(message_decode(&back, buffer, encode(&m)), -EBADMSG);
    m.type = MESSAGE_BEGIN;
    m.begin.id = 1;
    m.begin.to = 1; /* node 0 does not exist */
    assert_int_equal(message_decode(&back, buffer, encode(&m)), -EBADMSG);
}

static void snapshot_when_a_chunk_leaves_its_bounds_then_refused(void **state)
{
    struct cluster_message m = {.type = MESSAGE_SNAPSHOT}, back;

    m.snapshot.bytes = (const uint8_t *)"abcd";
    m.snapshot.length = 4;
    m.snapshot.total = 6;
    m.snapshot.offset = 3;
    assert_int_equal(message_decode(&back, buffer, encode(&m)), -EBADMSG);
    m.snapshot.offset = 0xfffffffe;
    assert_int_equal(message_decode(&back, buffer, encode(&m)), -EBADMSG);
    m.snapshot.total = SNAPSHOT_MAX + 1;
    m.snapshot.offset = 0;
    assert_int_equal(message_decode(&back, buffer, encode(&m)), -EBADMSG);
}

static void receipt_when_encoded_then_decodes_to_the_same_and_nothing_else_does(void **state)
{
    const struct message_receipt r = {0x0102030405060708, 0x1112131415161718, 0x2122232425262728};
    struct message_receipt back;
    uint8_t bytes[MESSAGE_RECEIPT + 1] = {0};

    message_receipt_encode(&r, bytes);
    assert_int_equal(bytes[4], 0x01);
    assert_int_equal(bytes[27], 0x28);
    assert_true(message_receipt_decode(&back, bytes, MESSAGE_RECEIPT));
    assert_memory_equal(&r, &back, sizeof r);
    assert_false(message_receipt_decode(&back, bytes, MESSAGE_RECEIPT - 1));
    assert_false(message_receipt_decode(&back, bytes, MESSAGE_RECEIPT + 1));
    assert_false(message_receipt_decode(&back, bytes, 0));
    bytes[3]++; /* another version */
    assert_false(message_receipt_decode(&back, bytes, MESSAGE_RECEIPT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_when_encoded_then_decodes_to_the_same),
        cmocka_unit_test(message_when_of_another_version_then_refused_but_for_hello),
        cmocka_unit_test(message_when_type_is_unknown_then_refused),
        cmocka_unit_test(message_when_a_node_is_out_of_range_then_refused),
        cmocka_unit_test(receipt_when_encoded_then_decodes_to_the_same_and_nothing_else_does),
        cmocka_unit_test(snapshot_when_a_chunk_leaves_its_bounds_then_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
