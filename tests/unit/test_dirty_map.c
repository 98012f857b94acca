/* The dirty map against a plain array of flags, page tracking, and the exchange of maps in both
 * encodings. Not covered: maps beyond a few pages, speed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "replication/dirty_map.h"

static uint64_t seed = 7;

static uint64_t rnd(uint64_t below)
{
    uint64_t z = seed += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return (z ^ z >> 31) % below;
}

static void map_new(struct dirty_map *map, uint64_t sectors)
{
    uint8_t *bytes = calloc(1, dirty_map_bytes(sectors));
    uint64_t *pages = calloc(dirty_map_page_words(sectors), 8);

    assert_true(bytes && pages);
    dirty_map_init(map, sectors, bytes, pages);
}

static void map_free(struct dirty_map *map)
{
    free(map->bytes);
    free(map->page_dirty);
}

static void set_of_part_of_a_block_marks_it(void **state)
{
    struct dirty_map map;

    map_new(&map, 100); /* 12.5 blocks */
    assert_int_equal(map.bits, 13);
    assert_int_equal(dirty_map_set(&map, 7, 2), 2);
    assert_true(dirty_map_test(&map, 0) && dirty_map_test(&map, 1));
    assert_int_equal(map.bytes[0], 3);
    assert_int_equal(dirty_map_set(&map, 99, 1), 1);
    assert_int_equal(map.bytes[1], 0x10);
    assert_int_equal(dirty_map_set(&map, 50, 0), 0);
    map_free(&map);
}

static void clear_of_part_of_a_block_leaves_it(void **state)
{
    struct dirty_map map;

    map_new(&map, 100);
    dirty_map_set_all(&map);
    assert_int_equal(map.set, 13);
    assert_int_equal(dirty_map_clear(&map, 1, 14), 0);
    assert_int_equal(dirty_map_clear(&map, 1, 15), 1); /* block 1 */
    assert_int_equal(dirty_map_clear(&map, 97, 3), 0); /* the last block begins at 96 */
    assert_int_equal(dirty_map_clear(&map, 96, 3), 0);
    assert_int_equal(dirty_map_clear(&map, 96, 4), 1); /* partial, but up to the end */
    assert_int_equal(map.set, 11);
    map_free(&map);
}

static void init_over_old_contents_counts_and_cuts(void **state)
{
    uint8_t *bytes = malloc(dirty_map_bytes(100));
    uint64_t pages[1];
    struct dirty_map map;

    memset(bytes, 0xFF, dirty_map_bytes(100));
    dirty_map_init(&map, 100, bytes, pages);
    assert_int_equal(map.set, 13);
    assert_true(dirty_map_page_is_dirty(&map, 0));
    assert_int_equal(dirty_map_find(&map, 13), DIRTY_MAP_END);
    free(bytes);
}

static void operations_at_random_agree_with_a_plain_array(void **state)
{
    for (unsigned round = 0; round < 60; round++) {
        uint64_t sectors = 1 + rnd(round % 3 ? 5000 : 3 * 8 * DIRTY_MAP_PAGE_BITS);
        struct dirty_map map;
        uint8_t *plain;

        map_new(&map, sectors);
        plain = calloc(1, map.bits);
        for (unsigned step = 0; step < 60; step++) {
            uint64_t at = rnd(sectors), count = rnd(sectors - at + 1), changed = 0, got, sum = 0;

            if (rnd(3))
                count %= 300;
            if (rnd(2)) {
                for (uint64_t b = 0; b < map.bits; b++)
                    if (count && b * 8 < at + count && (b + 1) * 8 > at) {
                        changed += !plain[b];
                        plain[b] = 1;
                    }
                got = dirty_map_set(&map, at, count);
            } else {
                for (uint64_t b = 0; b < map.bits; b++) {
                    uint64_t end = (b + 1) * 8 < sectors ? (b + 1) * 8 : sectors;

                    if (b * 8 >= at && end <= at + count) {
                        changed += plain[b];
                        plain[b] = 0;
                    }
                }
                got = dirty_map_clear(&map, at, count);
            }
            assert_int_equal(got, changed);
            for (uint64_t b = 0; b < map.bits; b++)
                sum += plain[b];
            assert_int_equal(map.set, sum);
            for (unsigned probe = 0; probe < 20; probe++) {
                uint64_t from = rnd(map.bits), next = from, run = 0, most = rnd(200), part = 0;

                assert_int_equal(dirty_map_test(&map, from), plain[from]);
                while (next < map.bits && !plain[next])
                    next++;
                assert_int_equal(dirty_map_find(&map, from),
                                 next < map.bits ? next : DIRTY_MAP_END);
                while (from + run < map.bits && run < most && plain[from + run])
                    run++;
                assert_int_equal(dirty_map_run(&map, from, most), run);
                for (uint64_t b = from; b < map.bits && b < from + most; b++)
                    part += plain[b];
                assert_int_equal(dirty_map_count(&map, from, most), part);
            }
        }
        free(plain);
        map_free(&map);
    }
}

static void pages_that_changed_are_found_and_others_not(void **state)
{
    struct dirty_map map;

    map_new(&map, UINT64_C(8) * DIRTY_MAP_PAGE_BITS * 70);
    assert_int_equal(map.pages, 70);
    assert_int_equal(dirty_map_page_find(&map, 0), DIRTY_MAP_END);
    dirty_map_set_bits(&map, DIRTY_MAP_PAGE_BITS * 66 + 5, 1);
    dirty_map_set_bits(&map, DIRTY_MAP_PAGE_BITS * 3 - 1, 2);
    assert_int_equal(dirty_map_page_find(&map, 0), 2);
    assert_int_equal(dirty_map_page_find(&map, 3), 3);
    assert_int_equal(dirty_map_page_find(&map, 4), 66);
    dirty_map_page_clean(&map, 66);
    assert_int_equal(dirty_map_page_find(&map, 4), DIRTY_MAP_END);
    dirty_map_set_bits(&map, DIRTY_MAP_PAGE_BITS * 66 + 5, 1); /* was set already */
    assert_false(dirty_map_page_is_dirty(&map, 66));
    dirty_map_clear_bits(&map, DIRTY_MAP_PAGE_BITS * 66 + 5, 1);
    assert_true(dirty_map_page_is_dirty(&map, 66));
    assert_int_equal(dirty_map_set_extent(&map, 33), 1024);
    assert_true(dirty_map_test(&map, 33 * 1024) && dirty_map_test(&map, 34 * 1024 - 1));
    assert_int_equal(dirty_map_set_extent(&map, 70 * 32), 0);
    assert_true(dirty_map_any(&map, 33 * 8192 + 3, 1));
    assert_false(dirty_map_any(&map, 35 * 8192, 8192));
    map_free(&map);
}

static void plain_exchange_merges_and_ends_with_an_empty_packet(void **state)
{
    for (unsigned round = 0; round < 40; round++) {
        uint64_t sectors = 1 + rnd(8 * DIRTY_MAP_PAGE_BITS * 3), word = 0;
        struct dirty_map from, to, both;
        struct dirty_map_receive receive = {0};
        uint8_t packet[DIRTY_MAP_WORDS_MAX * 8];
        size_t length;

        map_new(&from, sectors);
        map_new(&to, sectors);
        map_new(&both, sectors);
        for (unsigned i = 0; i < 20; i++) {
            uint64_t a = rnd(from.bits), n = rnd(from.bits - a + 1) % 500;

            dirty_map_set_bits(i & 1 ? &from : &to, a, n);
            dirty_map_set_bits(&both, a, n);
        }
        do {
            length = dirty_map_encode(&from, &word, packet, DIRTY_MAP_WORDS_MAX);
            if (word == from.words && length) /* what lies behind the end is ignored */
                packet[length - 1] |= from.bits % 64 && from.bits % 64 <= 56 ? 0xFF : 0;
            assert_int_equal(
                dirty_map_receive_plain(&to, &receive, packet, length, DIRTY_MAP_WORDS_MAX), 0);
            assert_int_equal(receive.done, length == 0);
        } while (length);
        assert_memory_equal(to.bytes, both.bytes, dirty_map_bytes(sectors));
        assert_int_equal(to.set, both.set);
        assert_int_equal(dirty_map_receive_plain(&to, &receive, packet, 0, 510), -EPROTO);
        map_free(&from);
        map_free(&to);
        map_free(&both);
    }
}

static void plain_packet_of_wrong_length_is_refused(void **state)
{
    struct dirty_map_receive receive = {0};
    uint8_t packet[4096] = {0};
    struct dirty_map map;

    map_new(&map, 8 * 64 * 600); /* 600 words */
    assert_int_equal(dirty_map_receive_plain(&map, &receive, packet, 0, 510), -EPROTO);
    assert_int_equal(dirty_map_receive_plain(&map, &receive, packet, 509 * 8, 510), -EPROTO);
    assert_int_equal(dirty_map_receive_plain(&map, &receive, packet, 510 * 8, 510), 0);
    assert_int_equal(dirty_map_receive_plain(&map, &receive, packet, 510 * 8, 510), -EPROTO);
    assert_int_equal(dirty_map_receive_plain(&map, &receive, packet, 90 * 8 + 1, 510), -EPROTO);
    assert_int_equal(dirty_map_receive_plain(&map, &receive, packet, 90 * 8, 510), 0);
    assert_false(receive.done);
    map_free(&map);
}

static void compressed_whole_map_of_the_recorded_example_is_decoded(void **state)
{
    struct dirty_map map;
    struct dirty_map_receive receive = {0};
    uint8_t packet[5] = {0xB2};
    uint64_t position = 0;

    map_new(&map, 16374 * 8);
    assert_true(vli_encode(packet + 1, &position, 32, 16374));
    assert_int_equal(position, 29); /* 3 bits of padding: 0xB2 */
    assert_int_equal(dirty_map_receive_compressed(&map, &receive, packet, 5), 0);
    assert_true(receive.done);
    assert_int_equal(map.set, 16374);
    assert_int_equal(receive.merged, 16374);
    map_free(&map);
}

static void vli_at_the_edges_of_every_level_round_trips(void **state)
{
    static const struct {
        uint64_t run;
        unsigned bits;
    } edges[] = {
        {1, 2},
        {2, 2},
        {3, 3},
        {4, 3},
        {5, 5},
        {8, 5},
        {9, 7},
        {16, 7},
        {17, 10},
        {48, 10},
        {49, 14},
        {304, 14},
        {305, 21},
        {8496, 21},
        {8497, 29},
        {2105648, 29},
        {2105649, 42},
        {UINT64_C(17181974832), 42},
        {UINT64_C(17181974833), 64},
        {UINT64_C(1) << 55, 64},
    };

    for (unsigned shift = 0; shift < 8; shift++)
        for (unsigned i = 0; i < sizeof edges / sizeof *edges; i++) {
            uint8_t code[10] = {0};
            uint64_t position = shift;

            assert_false(vli_encode(code, &position, shift + edges[i].bits - 1, edges[i].run));
            assert_true(vli_encode(code, &position, 80, edges[i].run));
            assert_int_equal(position, shift + edges[i].bits);
            position = shift;
            assert_int_equal(vli_decode(code, &position, shift + edges[i].bits - 1), 0);
            assert_int_equal(vli_decode(code, &position, 80), edges[i].run);
            assert_int_equal(position, shift + edges[i].bits);
        }
}

/* Encodes from bit *at on into one packet of at most `room` bytes. */
static size_t compress(const struct dirty_map *map, uint64_t *at, uint8_t *out, size_t room)
{
    bool set = dirty_map_test(map, *at);
    uint64_t position = 0, end = (room - 1) * 8;
    size_t length;

    memset(out, 0, room);
    out[0] = (uint8_t)(2 | set << 7);
    while (*at < map->bits) {
        uint64_t next = dirty_map_find(map, *at);
        uint64_t run = set ? dirty_map_run(map, *at, UINT64_MAX)
                           : (next == DIRTY_MAP_END ? map->bits : next) - *at;

        if (!vli_encode(out + 1, &position, end, run))
            break;
        *at += run;
        set = !set;
    }
    length = 1 + (position + 7) / 8;
    out[0] |= (uint8_t)(((length - 1) * 8 - position) << 4);
    return length;
}

static void compressed_and_plain_packets_mixed_give_the_same_map(void **state)
{
    for (unsigned round = 0; round < 200; round++) {
        uint64_t sectors = 1 + rnd(8 * DIRTY_MAP_PAGE_BITS * 2), at = 0;
        struct dirty_map from, to;
        struct dirty_map_receive receive = {0};
        uint8_t packet[4096];

        map_new(&from, sectors);
        map_new(&to, sectors);
        for (unsigned i = (unsigned)rnd(60); i-- > 0;) {
            uint64_t a = rnd(from.bits), n = rnd(from.bits - a + 1) % 700;

            dirty_map_set_bits(&from, a, n);
        }
        while (at < from.bits) {
            if (round & 1 && rnd(2)) {
                uint64_t word = at / 64;
                size_t length = dirty_map_encode(&from, &word, packet, 20);

                assert_int_equal(dirty_map_receive_plain(&to, &receive, packet, length, 20), 0);
                at = word * 64 < from.bits ? word * 64 : from.bits;
            } else {
                size_t length = compress(&from, &at, packet, 9 + rnd(60));

                assert_int_equal(dirty_map_receive_compressed(&to, &receive, packet, length), 0);
                assert_int_equal(receive.done, at == from.bits);
            }
            assert_int_equal(receive.bit, at);
        }
        assert_memory_equal(to.bytes, from.bytes, dirty_map_bytes(sectors));
        map_free(&from);
        map_free(&to);
    }
}

static void compressed_packet_with_nonsense_is_refused(void **state)
{
    struct dirty_map map;
    struct dirty_map_receive receive = {0};
    uint8_t packet[6] = {0x82};
    uint64_t position = 0;

    map_new(&map, 100 * 8);
    assert_int_equal(dirty_map_receive_compressed(&map, &receive, packet, 0), -EPROTO);
    assert_int_equal(dirty_map_receive_compressed(&map, &receive, packet, 1), -EPROTO);
    assert_true(vli_encode(packet + 1, &position, 40, 101)); /* beyond the end */
    packet[0] |= (uint8_t)((16 - position) << 4);
    assert_int_equal(dirty_map_receive_compressed(&map, &receive, packet, 3), -EPROTO);
    memset(packet + 1, 0xFF, 2); /* cut short */
    assert_int_equal(dirty_map_receive_compressed(&map, &receive, packet, 3), -EPROTO);
    packet[0] = 0x81;
    assert_int_equal(dirty_map_receive_compressed(&map, &receive, packet, 3), -EOPNOTSUPP);
    map_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_of_part_of_a_block_marks_it),
        cmocka_unit_test(clear_of_part_of_a_block_leaves_it),
        cmocka_unit_test(init_over_old_contents_counts_and_cuts),
        cmocka_unit_test(operations_at_random_agree_with_a_plain_array),
        cmocka_unit_test(pages_that_changed_are_found_and_others_not),
        cmocka_unit_test(plain_exchange_merges_and_ends_with_an_empty_packet),
        cmocka_unit_test(plain_packet_of_wrong_length_is_refused),
        cmocka_unit_test(compressed_whole_map_of_the_recorded_example_is_decoded),
        cmocka_unit_test(vli_at_the_edges_of_every_level_round_trips),
        cmocka_unit_test(compressed_and_plain_packets_mixed_give_the_same_map),
        cmocka_unit_test(compressed_packet_with_nonsense_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
