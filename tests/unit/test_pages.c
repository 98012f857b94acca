/* Mode pages: what MODE SENSE shows, what MODE SELECT takes.
 *
 * Not covered: the commit of a change and its unit attention (test_spc). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "target/command/pages.h"

static const struct pages_medium medium = {.blocks = 0x200000000, .block_size = 512};
static const uint8_t codes[] = {0x01, 0x08, 0x0a, 0x1c};

static size_t sense(uint8_t *data, size_t size, bool ten, uint8_t code, uint8_t subpage,
                    enum page_control control, const struct shared_mode *mode)
{
    struct writer w = {.data = data, .size = size};

    memset(data, 0, size);
    return pages_sense(&w, ten, true, ten, code, subpage, control, mode, &medium) ? w.used : 0;
}

static void pages_when_all_then_each_in_order_and_lengths_true(void **state)
{
    struct shared_mode mode = {0};
    uint8_t data[255];
    size_t length, at;

    for (unsigned ten = 0; ten < 2; ten++) {
        length = sense(data, sizeof data, ten, 0x3f, 0, PAGES_CURRENT, &mode);
        assert_int_equal(ten ? get_be16(data) + 2u : data[0] + 1u, length);
        at = ten ? 8 + 16 : 4 + 8;
        for (unsigned i = 0; i < sizeof codes; i++) {
            assert_int_equal(data[at] & 0x3f, codes[i]);
            at += data[at + 1] + 2u;
        }
        assert_int_equal(at, length);
    }
    assert_int_equal(sense(data, sizeof data, true, 0x3f, 0xff, PAGES_CURRENT, &mode), length);
    for (unsigned code = 0; code < 0x3f; code++)
        assert_int_equal(sense(data, sizeof data, false, (uint8_t)code, 0, PAGES_CURRENT, &mode) >
                             0,
                         memchr(codes, (int)code, sizeof codes) != NULL);
    assert_int_equal(sense(data, sizeof data, false, 0x08, 1, PAGES_CURRENT, &mode), 0);
}

static void header_when_built_then_descriptor_and_protection(void **state)
{
    struct shared_mode mode = {.swp = 1};
    uint8_t data[255];

    sense(data, sizeof data, false, 0x08, 0, PAGES_CURRENT, &mode);
    assert_int_equal(data[2], 0x90);
    assert_int_equal(data[3], 8);
    assert_int_equal(get_be32(data + 4), 0xffffffff); /* more blocks than 32 bits can say */
    assert_int_equal(get_be32(data + 8), 512);
    mode.swp = 0;
    sense(data, sizeof data, true, 0x08, 0, PAGES_CURRENT, &mode);
    assert_int_equal(data[3], 0x10);
    assert_int_equal(data[4], 1);
    assert_int_equal(get_be16(data + 6), 16);
    assert_int_equal(get_be64(data + 8), medium.blocks);
    assert_int_equal(get_be32(data + 20), 512);
}

/* Whatever bit is set, alone: taken if and only if MODE SENSE calls it changeable. */
static void bits_when_selected_then_only_changeable_ones_are_taken(void **state)
{
    for (unsigned i = 0; i < sizeof codes; i++) {
        uint8_t current[255], changeable[255], list[64];
        struct shared_mode zero = SHARED_MODE_DEFAULTS;
        size_t length =
            sense(current, sizeof current, false, codes[i], 0, PAGES_CURRENT, &zero) - 12;

        sense(changeable, sizeof changeable, false, codes[i], 0, PAGES_CHANGEABLE, &zero);
        for (unsigned bit = 16; bit < length * 8; bit++) {
            struct shared_mode mode = zero, selected;
            uint16_t field = 0;
            int where = 0;
            bool may = changeable[12 + bit / 8] & 1 << bit % 8;
            enum scsi_reason reason;

            memset(list, 0, 4);
            memcpy(list + 4, current + 12, length);
            list[4 + bit / 8] ^= (uint8_t)(1 << bit % 8);
            reason =
                pages_select(list, (uint32_t)length + 4, false, &medium, &mode, &selected, &field, &where);
            assert_int_equal(reason, may ? REASON_GOOD : REASON_INVALID_FIELD_IN_PARAMETERS);
            if (may) {
                uint8_t after[255];
                assert_memory_not_equal(&mode, &zero, sizeof mode);
                sense(after, sizeof after, false, codes[i], 0, PAGES_CURRENT, &mode);
                assert_memory_equal(after + 12, list + 4, length);
                sense(after, sizeof after, false, codes[i], 0, PAGES_DEFAULT, &mode);
                assert_memory_equal(after + 12, current + 12, length);
            } else {
                assert_memory_equal(&mode, &zero, sizeof mode);
                assert_int_equal(field, 4 + bit / 8);
                assert_int_equal(where, bit % 8);
            }
        }
    }
}

static void pages_when_several_are_selected_then_all_or_none(void **state)
{
    uint8_t data[255], list[64] = {0};
    struct shared_mode mode = {0}, zero = {0}, selected;
    uint32_t length = 4;
    uint16_t field;
    int bit;

    sense(data, sizeof data, false, 0x08, 0, PAGES_CURRENT, &mode);
    memcpy(list + length, data + 12, 20);
    list[length + 2] |= 0x04; /* WCE */
    length += 20;
    sense(data, sizeof data, false, 0x0a, 0, PAGES_CURRENT, &mode);
    memcpy(list + length, data + 12, 12);
    list[length + 2] |= 0x04; /* D_SENSE */
    length += 12;
    assert_int_equal(pages_select(list, length, false, &medium, &mode, &selected, &field, &bit), REASON_GOOD);
    assert_true(mode.wce && mode.d_sense && !mode.swp && !mode.tas);
    assert_true(selected.wce && selected.d_sense && selected.swp && selected.tas);
    mode = zero;
    for (uint32_t cut = 1; cut < length; cut++) {
        enum scsi_reason reason = pages_select(list, cut, false, &medium, &mode, &selected, &field, &bit);
        if (cut == 4 || cut == 24) { /* whole pages only */
            assert_int_equal(reason, REASON_GOOD);
            assert_int_equal(selected.wce, cut == 24); /* what is of a page that was sent, alone */
            assert_true(!selected.d_sense && !selected.swp && !selected.tas);
            mode = zero;
        } else {
            assert_int_equal(reason, REASON_PARAMETER_LIST_LENGTH);
            assert_memory_equal(&mode, &zero, sizeof mode);
        }
    }
    list[24 + 1]++; /* another page length */
    assert_int_equal(pages_select(list, length, false, &medium, &mode, &selected, &field, &bit),
                     REASON_INVALID_FIELD_IN_PARAMETERS);
    assert_int_equal(field, 25);
    assert_memory_equal(&mode, &zero, sizeof mode);
}

static void descriptor_when_it_would_change_the_medium_then_refused(void **state)
{
    uint8_t list[32] = {0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 2, 0};
    struct shared_mode mode = {0}, selected;
    uint16_t field;
    int bit;

    assert_int_equal(pages_select(list, 12, false, &medium, &mode, &selected, &field, &bit), REASON_GOOD);
    put_be32(list + 4, 0xffffffff);
    assert_int_equal(pages_select(list, 12, false, &medium, &mode, &selected, &field, &bit), REASON_GOOD);
    put_be32(list + 4, 77);
    assert_int_equal(pages_select(list, 12, false, &medium, &mode, &selected, &field, &bit),
                     REASON_INVALID_FIELD_IN_PARAMETERS);
    put_be32(list + 4, 0);
    list[10] = 16; /* 4096 bytes */
    assert_int_equal(pages_select(list, 12, false, &medium, &mode, &selected, &field, &bit),
                     REASON_INVALID_FIELD_IN_PARAMETERS);
    assert_int_equal(field, 9);
    list[3] = 7;
    assert_int_equal(pages_select(list, 12, false, &medium, &mode, &selected, &field, &bit),
                     REASON_PARAMETER_LIST_LENGTH);
    memset(list, 0, sizeof list);
    list[4] = 1;
    list[7] = 16;
    put_be32(list + 20, 512);
    assert_int_equal(pages_select(list, 24, true, &medium, &mode, &selected, &field, &bit), REASON_GOOD);
    list[7] = 40;
    assert_int_equal(pages_select(list, 24, true, &medium, &mode, &selected, &field, &bit),
                     REASON_PARAMETER_LIST_LENGTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_when_all_then_each_in_order_and_lengths_true),
        cmocka_unit_test(header_when_built_then_descriptor_and_protection),
        cmocka_unit_test(bits_when_selected_then_only_changeable_ones_are_taken),
        cmocka_unit_test(pages_when_several_are_selected_then_all_or_none),
        cmocka_unit_test(descriptor_when_it_would_change_the_medium_then_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
