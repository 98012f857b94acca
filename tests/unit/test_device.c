/* device_identify(). Not covered: the table of units, which is the control thread's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "target/device/device.h"

static struct lu *unit(uint8_t first)
{
    static const uint8_t uuid[16] = {0x6b, 0x8b, 0x45, 0x67, 0x32, 0x7b, 0x43, 0xc6,
                                     0xa4, 0x3c, 0x98, 0x69, 0x66, 0x33, 0x48, 0x73};
    struct lu *lu = device_new();

    memcpy(lu->config.uuid, uuid, sizeof uuid);
    lu->config.uuid[0] = first;
    device_identify(lu);
    return lu;
}

static void identify_when_uuid_given_then_serial_is_its_text(void **state)
{
    struct lu *lu = unit(0x6b);

    assert_string_equal(lu->serial, "6b8b4567-327b-43c6-a43c-986966334873");
    free(lu);
}

/* The bytes are on disks of hosts for ever: this value must never change. */
static void identify_when_uuid_given_then_naa_is_always_the_same(void **state)
{
    static const uint8_t naa[16] = {0x60, 0x24, 0x84, 0x1b, 0x94, 0x49, 0x79, 0xc2,
                                    0x0d, 0x46, 0x3b, 0x4b, 0x6f, 0x15, 0x61, 0xe6};
    struct lu *lu = unit(0x6b);

    assert_memory_equal(lu->naa, naa, sizeof naa);
    assert_int_equal(lu->naa[0] >> 4, 6);
    free(lu);
}

static void identify_when_uuids_differ_then_all_identity_differs(void **state)
{
    struct lu *a = unit(0x6b), *b = unit(0x6c);

    assert_memory_not_equal(a->naa, b->naa, sizeof a->naa);
    assert_memory_equal(a->naa, b->naa, 3);
    assert_string_not_equal(a->serial, b->serial);
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identify_when_uuid_given_then_serial_is_its_text),
        cmocka_unit_test(identify_when_uuid_given_then_naa_is_always_the_same),
        cmocka_unit_test(identify_when_uuids_differ_then_all_identity_differs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
