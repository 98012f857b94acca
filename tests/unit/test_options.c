/* Rows of options.def: each is readable, printable and says what it expects. Does not cover:
 * references between blocks (test_parse). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/options.h"

static void rows_when_walked_then_defaults_are_readable_and_printed_back(void **state)
{
    for (unsigned i = 0; i < option_count; i++) {
        const struct config_option *option = &options[i];
        char expected[160] = "", value[300], again[300];
        uint64_t block[2048] = {0}, second[2048] = {0};

        assert_true(option->offset + option->width <= sizeof block);
        option_expected(option, expected, sizeof expected);
        assert_string_not_equal(expected, "");
        assert_non_null(option->help);
        assert_ptr_equal(option_find(option->block, option->name), option);
        assert_false(option->standard && option->flags & OPTION_REQUIRED);
        if (!option->standard)
            continue;
        assert_int_equal(option_read(option, option->standard, block), 0);
        option_print(option, NULL, block, value, sizeof value);
        assert_int_equal(option_read(option, value, second), 0);
        option_print(option, NULL, second, again, sizeof again);
        assert_string_equal(value, again);
    }
}

static void numbers_when_out_of_range_then_refused(void **state)
{
    for (unsigned i = 0; i < option_count; i++) {
        const struct config_option *option = &options[i];
        uint64_t block[2048] = {0};
        char text[32];

        if (option->type != OPTION_NUMBER && option->type != OPTION_SIZE)
            continue;
        assert_int_equal(option_read(option, "", block), -EINVAL);
        assert_int_equal(option_read(option, "-1", block), -EINVAL);
        assert_int_equal(option_read(option, " 1", block), -EINVAL);
        assert_int_equal(option_read(option, "1x", block), -EINVAL);
        assert_int_equal(option_read(option, "99999999999999999999999", block), -EINVAL);
        snprintf(text, sizeof text, "%llu", (unsigned long long)option->max + 1);
        assert_int_equal(option_read(option, text, block), -EINVAL);
        snprintf(text, sizeof text, "%llu", (unsigned long long)option->max);
        assert_int_equal(option_read(option, text, block), 0);
        snprintf(text, sizeof text, "%llu", (unsigned long long)option->min);
        assert_int_equal(option_read(option, text, block), 0);
        if (option->min) {
            snprintf(text, sizeof text, "%llu", (unsigned long long)option->min - 1);
            assert_int_equal(option_read(option, text, block), -EINVAL);
        }
    }
}

static void size_when_given_suffix_then_power_of_1024(void **state)
{
    static const struct {
        const char *text;
        int result;
        uint64_t bytes;
    } rows[] = {
        {"0", 0, 0},
        {"512", 0, 512},
        {"4K", 0, 4096},
        {"4k", 0, 4096},
        {"3M", 0, 3 << 20},
        {"1G", 0, 1 << 30},
        {"2T", 0, 2ULL << 40},
        {"16777215T", 0, 16777215ULL << 40},
        {"16777216T", -EINVAL, 0},
        {"1KK", -EINVAL, 0},
        {"1.5G", -EINVAL, 0},
        {"1P", -EINVAL, 0},
        {"K", -EINVAL, 0},
        {"", -EINVAL, 0},
        {"+1", -EINVAL, 0},
        {"0x10", -EINVAL, 0},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t bytes = 0;
        assert_int_equal(option_read_size(rows[i].text, &bytes), rows[i].result);
        if (!rows[i].result)
            assert_int_equal(bytes, rows[i].bytes);
    }
}

static void address_when_malformed_then_refused(void **state)
{
    static const char *const good[] = {"10.0.0.1:3260", "[fd00::1]:1", "0.0.0.0:65535", "1.2.3.4"};
    static const char *const bad[] = {
        "",        ":1",           "10.0.0.1:",    "10.0.0.1:0",  "10.0.0.1:65536",
        "fd00::1", "fd00::1:3260", "[fd00::1",     "[fd00::1]x",  "[10.0.0.1]:1",
        "host:1",  "10.0.0.1:1x",  "10.0.0.256:1", "10.0.0.1 :1", "[]:1"};
    struct config_address address;

    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(option_read_address(good[i], 3260, &address), 0);
    assert_int_equal(option_read_address("1.2.3.4", 0, &address), -EINVAL);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(option_read_address(bad[i], 3260, &address), -EINVAL);
}

static void iscsi_name_when_malformed_then_refused(void **state)
{
    static const char *const good[] = {"iqn.1998-01.com.vmware:esx1", "iqn.2026-12.a",
                                       "eui.02004567a425678d", "naa.52004567ba64678d",
                                       "naa.62004567ba64678d0123456789abcdef"};
    static const char *const bad[] = {"",
                                      "iqn.",
                                      "iqn.98-01.com",
                                      "iqn.1998-01:x",
                                      "iqn.1998-01.:x",
                                      "IQN.1998-01.com:x",
                                      "iqn.1998-01.com:X",
                                      "iqn.1998-01.com:a b",
                                      "eui.0200",
                                      "naa.5200",
                                      "disk"};

    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(option_iscsi_name_valid(good[i]));
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(option_iscsi_name_valid(bad[i]));
}

static void pattern_when_brackets_do_not_match_then_refused(void **state)
{
    static const char *const good[] = {"*", "iqn.*", "iqn.?[a-z]", "[!a]*", "iqn.[ab][cd]"};
    static const char *const bad[] = {"", "[", "[]", "[]a]", "a]", "[a", "[a[b]", "a\\*", "a b*"};

    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(option_pattern_valid(good[i]));
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(option_pattern_valid(bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_when_walked_then_defaults_are_readable_and_printed_back),
        cmocka_unit_test(numbers_when_out_of_range_then_refused),
        cmocka_unit_test(size_when_given_suffix_then_power_of_1024),
        cmocka_unit_test(address_when_malformed_then_refused),
        cmocka_unit_test(iscsi_name_when_malformed_then_refused),
        cmocka_unit_test(pattern_when_brackets_do_not_match_then_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
