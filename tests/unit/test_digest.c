/* Digests by their names, against published values; crc32c as Linux's crypto API writes it (tests/vm/drbd compares
 * with drbd.ko's). Not covered: speed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "replication/digest.h"

static const struct {
    const char *name;
    size_t length;
    uint8_t begin[4]; /* of the digest of "123456789" */
} known[] = {
    {"md5", 16, {0x25, 0xf9, 0xe7, 0x94}},
    {"sha1", 20, {0xf7, 0xc3, 0xbc, 0x1d}},
    {"sha256", 32, {0x15, 0xe2, 0xb0, 0xd3}},
    {"sha512", 64, {0xd9, 0xe6, 0x76, 0x2d}},
    {"crc32c", 4, {0x83, 0x92, 0x06, 0xe3}},
};
enum { KNOWN = sizeof known / sizeof *known };

static void digest_when_each_name_then_the_published_value(void **state)
{
    /* in two segments, the second longer than what counts */
    char text[] = "123456789 and more";
    struct payload payload = {
        .length = 9,
        .count = 2,
        .iov = {{text, 4}, {text + 4, sizeof text - 4}},
    };
    struct digest_context *context = digest_new();
    uint8_t out[MESSAGE_DIGEST_MAX];

    assert_string_equal(digest_name(0), "");
    for (unsigned i = 0; i < KNOWN; i++) {
        assert_string_equal(digest_name(i + 1), known[i].name);
        assert_int_equal(digest_payload(context, i + 1, &payload, out), known[i].length);
        assert_memory_equal(out, known[i].begin, sizeof known[i].begin);
    }
    assert_string_equal(digest_name(KNOWN + 1), "");
    assert_int_equal(digest_payload(context, KNOWN + 1, &payload, out), 0);
    digest_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest_when_each_name_then_the_published_value),
    };
    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
