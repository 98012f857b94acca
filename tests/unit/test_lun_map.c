/* LUN bytes and LUN maps.
 *
 * Not covered: reloads (nexus). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/config.h"
#include "target/nexus/lun_map.h"

static void luns_when_encoded_then_decoded_to_the_same(void **state)
{
    uint32_t number;

    for (uint32_t lun = 0; lun < 16384; lun++) {
        assert_int_equal(lun_decode(lun_encode(lun), &number), LUN_UNIT);
        assert_int_equal(number, lun);
    }
    assert_int_equal(lun_encode(255), 0x00ff000000000000);
    assert_int_equal(lun_encode(256), 0x4100000000000000);
}

static void methods_when_known_then_lead_to_the_lun(void **state)
{
    static const struct {
        uint64_t lun;
        enum lun_kind kind;
        uint32_t number;
    } cases[] = {
        {0x4005000000000000, LUN_UNIT, 5},   /* flat, below 256 */
        {0x8005000000000000, LUN_UNIT, 5},   /* logical unit addressing */
        {0xd200010000000000, LUN_UNIT, 256}, /* extended flat */
        {0xc101000000000000, LUN_REPORT_LUNS, 0},
        {0x0105000000000000, LUN_UNKNOWN, 0}, /* bus 1 */
        {0x8025000000000000, LUN_UNKNOWN, 0}, /* bus 1 */
        {0x8105000000000000, LUN_UNKNOWN, 0}, /* target 1 */
        {0x0005000100000000, LUN_UNKNOWN, 0}, /* second level */
        {0xd200010000000001, LUN_UNKNOWN, 0},
        {0xc102000000000000, LUN_UNKNOWN, 0}, /* another well known unit */
        {0xffffffffffffffff, LUN_UNKNOWN, 0},
    };

    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t number = 0;
        assert_int_equal(lun_decode(cases[i].lun, &number), cases[i].kind);
        if (cases[i].kind == LUN_UNIT)
            assert_int_equal(number, cases[i].number);
    }
}

static void map_when_sparse_then_finds_exactly_its_luns(void **state)
{
    struct config_lun luns[] = {{0, 7, false}, {1, 3, true}, {5, 1, false}, {300, 2, false}};
    struct config_host host = {.luns = luns, .lun_count = 4};
    struct lun_map *map = lun_map_new(&host), *other;
    unsigned found = 0;

    for (uint32_t lun = 0; lun < 1024; lun++) {
        const struct lun_entry *entry = lun_map_find(map, lun_encode(lun));
        if (!entry)
            continue;
        assert_int_equal(entry->lun, lun);
        assert_int_equal(entry->lu_index, luns[found].lu_index);
        assert_int_equal(entry->read_only, luns[found].read_only);
        found++;
    }
    assert_int_equal(found, 4);
    assert_null(lun_map_find(NULL, 0));
    other = lun_map_new(&host);
    assert_true(lun_map_equal(map, other));
    lun_map_free(other);
    luns[1].read_only = false;
    other = lun_map_new(&host);
    assert_false(lun_map_equal(map, other));
    lun_map_free(other);
    host.lun_count = 0;
    other = lun_map_new(&host);
    assert_null(lun_map_find(other, 0));
    assert_false(lun_map_equal(map, other));
    lun_map_free(other);
    lun_map_free(map);
    lun_map_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(luns_when_encoded_then_decoded_to_the_same),
        cmocka_unit_test(methods_when_known_then_lead_to_the_lun),
        cmocka_unit_test(map_when_sparse_then_finds_exactly_its_luns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
