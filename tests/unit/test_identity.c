/* TransportIDs: made, parsed, brought into one form, ordered. Not covered: who checks names at
 * login. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "target/base/bytes.h"
#include "target/command/identity.h"

static const uint8_t isid[6] = {0x00, 0x02, 0x3d, 0x00, 0xab, 0x01};
static const char name[] = "iqn.1993-08.org.debian:01:abc";

static unsigned iscsi(uint8_t data[LIMIT_TRANSPORT_ID], uint8_t first, const char *text,
                      unsigned length)
{
    memset(data, 0, LIMIT_TRANSPORT_ID);
    data[0] = first;
    put_be16(data + 2, (uint16_t)length);
    strcpy((char *)data + 4, text);
    return 4 + length;
}

static void from_iscsi_when_any_name_then_valid_and_padded(void **context)
{
    char longest[LIMIT_ISCSI_NAME + 1];
    struct nexus_identity identity;

    identity_from_iscsi(&identity, name, isid, 7);
    assert_int_equal(identity.rtpi, 7);
    assert_int_equal(identity.transport_id[0], 0x45);
    assert_int_equal(identity.transport_length, 4 + 48); /* 29 + 5 + 12 + NUL, padded */
    assert_int_equal(get_be16(identity.transport_id + 2), 48);
    assert_string_equal((char *)identity.transport_id + 4,
                        "iqn.1993-08.org.debian:01:abc,i,0x00023d00ab01");
    assert_true(identity_valid(&identity));
    for (unsigned i = 1; i <= LIMIT_ISCSI_NAME; i++) {
        memset(longest, 'x', i);
        longest[i] = 0;
        identity_from_iscsi(&identity, longest, isid, 1);
        assert_true(identity_valid(&identity));
        assert_int_equal(identity.transport_length % 4, 0);
        assert_in_range(identity.transport_length, 24, LIMIT_TRANSPORT_ID);
    }
    identity.rtpi = 0;
    assert_false(identity_valid(&identity));
}

static void from_transport_when_written_otherwise_then_the_same_identity(void **context)
{
    struct nexus_identity made, parsed;
    uint8_t data[LIMIT_TRANSPORT_ID];

    identity_from_iscsi(&made, name, isid, 3);
    unsigned size = iscsi(data, 0x45, "IQN.1993-08.org.Debian:01:abc,I,0X00023D00AB01", 100);
    assert_int_equal(identity_from_transport(&parsed, data, size, 3), size);
    assert_true(identity_equal(&made, &parsed));
    assert_memory_equal(&made, &parsed, sizeof made);
    assert_int_equal(identity_from_transport(&parsed, data, sizeof data, 3), size);
}

static void transport_length_when_malformed_then_0(void **context)
{
    static const struct {
        uint8_t first;
        unsigned length;
        const char *text;
    } rows[] = {
        {0x05, 48, "iqn.a:b,i,0x00023d00ab01"}, /* format 00b with an ISID */
        {0x45, 48, "iqn.a:b"},                  /* format 01b without */
        {0x85, 48, "iqn.a:b"},                  /* formats that do not exist */
        {0xc5, 48, "iqn.a:b,i,0x00023d00ab01"},
        {0x45, 48, ",i,0x00023d00ab01"},
        {0x05, 48, ""},
        {0x45, 48, "iqn.a:b,i,0x00023d00ab0"},
        {0x45, 48, "iqn.a:b,i,0x00023d00ab011"},
        {0x45, 48, "iqn.a:b,i,0x00023d00ab0g"},
        {0x45, 48, "iqn.a:b,t,0x00023d00ab01"},
        {0x45, 48, "iqn.a:b,"},
        {0x05, 48, "iqn.a b"},
        {0x05, 16, "iqn.a:b"},              /* too short */
        {0x05, 22, "iqn.a:b"},              /* no multiple of 4 */
        {0x05, 20, "iqn.a:bcdefghijklmno"}, /* no NUL */
        {0x05, 260, "iqn.a:b"},             /* longer than the limit */
        {0x01, 20, ""},                     /* SPI: not known here */
        {0x4f, 20, ""},
        {0x40, 20, ""}, /* Fibre Channel has format 00b only */
    };
    uint8_t data[LIMIT_TRANSPORT_ID + 8];

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        iscsi(data, rows[i].first, rows[i].text, rows[i].length);
        assert_int_equal(identity_transport_length(data, LIMIT_TRANSPORT_ID), 0);
    }
    unsigned size = iscsi(data, 0x05, "iqn.a:b", 20);
    assert_int_equal(identity_transport_length(data, size), size);
    for (unsigned i = 0; i < size; i++)
        assert_int_equal(identity_transport_length(data, i), 0);
    data[size - 1] = 'x'; /* after the NUL */
    assert_int_equal(identity_transport_length(data, size), 0);
}

static void from_transport_when_no_port_named_then_refused(void **context)
{
    struct nexus_identity parsed;
    uint8_t data[LIMIT_TRANSPORT_ID];
    unsigned size = iscsi(data, 0x05, "iqn.a:b", 20);

    assert_int_equal(identity_transport_length(data, size), size);
    assert_int_equal(identity_from_transport(&parsed, data, size, 1), 0);
}

static void from_transport_when_other_protocols_then_24_bytes(void **context)
{
    static const uint8_t protocols[] = {0x00, 0x04, 0x06};
    struct nexus_identity parsed;
    uint8_t data[32];

    for (unsigned i = 0; i < sizeof protocols; i++) {
        memset(data, 0xa5, sizeof data);
        data[0] = protocols[i];
        assert_int_equal(identity_from_transport(&parsed, data, sizeof data, 2), 24);
        assert_int_equal(parsed.transport_length, 24);
        assert_true(identity_valid(&parsed));
        assert_int_equal(identity_from_transport(&parsed, data, 23, 2), 0);
    }
}

static void compare_when_ids_differ_then_total_order(void **context)
{
    struct nexus_identity a, b, c;

    identity_from_iscsi(&a, "iqn.a:a", isid, 1);
    identity_from_iscsi(&b, "iqn.a:a", isid, 2);
    identity_from_iscsi(&c, "iqn.a:a-much-longer-name-than-the-other", isid, 1);
    assert_int_equal(identity_compare(&a, &a), 0);
    assert_true(identity_compare(&a, &b) < 0 && identity_compare(&b, &a) > 0);
    assert_true((identity_compare(&a, &c) < 0) == (identity_compare(&b, &c) < 0));
    assert_true((identity_compare(&a, &c) < 0) == (identity_compare(&c, &a) > 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_iscsi_when_any_name_then_valid_and_padded),
        cmocka_unit_test(from_transport_when_written_otherwise_then_the_same_identity),
        cmocka_unit_test(transport_length_when_malformed_then_0),
        cmocka_unit_test(from_transport_when_no_port_named_then_refused),
        cmocka_unit_test(from_transport_when_other_protocols_then_24_bytes),
        cmocka_unit_test(compare_when_ids_differ_then_total_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
