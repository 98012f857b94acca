/* READ CAPACITY, SYNCHRONIZE CACHE, PRE-FETCH and START STOP UNIT. Not covered: access states,
 * resizing (the capacity is set by the control thread). */
#include <string.h>

#include "disk_rig.h"
#include "target/base/bytes.h"

static struct rig *rig;

static int setup(void **state)
{
    rig = rig_new(512);
    return 0;
}

static int teardown(void **state)
{
    rig_free(rig);
    return 0;
}

static enum scsi_reason capacity_10(void)
{
    uint8_t cdb[10] = {0x25};

    return rig_run(rig, cdb, NULL, 0, 8);
}

static enum scsi_reason capacity_16(uint32_t allocation)
{
    uint8_t cdb[16] = {0x9e, 0x10};

    put_be32(cdb + 10, allocation);
    return rig_run(rig, cdb, NULL, 0, 32);
}

static void capacity_10_when_it_fits_then_last_block(void **state)
{
    static const struct {
        uint64_t blocks;
        uint32_t last;
    } cases[] = {
        {1, 0},
        {1000, 999},
        {0xffffffff, 0xfffffffe},
        {0x100000000, 0xffffffff},
        {0x100000001, 0xffffffff},
        {0x123456789a, 0xffffffff},
    };

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig->lu->blocks = cases[i].blocks;
        assert_int_equal(capacity_10(), REASON_GOOD);
        assert_int_equal(rig->in_length, 8);
        assert_int_equal(get_be32(rig->in), cases[i].last);
        assert_int_equal(get_be32(rig->in + 4), 512);
    }
}

static void capacity_16_when_asked_then_all_fields(void **state)
{
    rig->lu->blocks = 0x123456789a;
    assert_int_equal(capacity_16(32), REASON_GOOD);
    assert_int_equal(rig->in_length, 32);
    assert_int_equal(get_be64(rig->in), 0x1234567899);
    assert_int_equal(get_be32(rig->in + 8), 512);
    assert_int_equal(rig->in[12], 0);
    assert_int_equal(rig->in[13], 3); /* 4096 = 512 << 3 */
    assert_int_equal(get_be16(rig->in + 14), 0xc000);
    rig->lu->config.thin = false;
    rig->lu->config.physical_block = 512;
    assert_int_equal(capacity_16(32), REASON_GOOD);
    assert_int_equal(rig->in[13], 0);
    assert_int_equal(get_be16(rig->in + 14), 0);
}

static void capacity_16_when_allocation_is_short_then_cut(void **state)
{
    assert_int_equal(capacity_16(12), REASON_GOOD);
    assert_int_equal(rig->in_length, 12);
    assert_int_equal(capacity_16(0), REASON_GOOD);
    assert_int_equal(rig->in_length, 0);
    assert_int_equal(capacity_16(0xffffffff), REASON_GOOD);
    assert_int_equal(rig->in_length, 32);
}

static void capacity_when_no_store_is_here_then_still_answered(void **state)
{
    rig->lu->store = NULL;
    assert_int_equal(capacity_10(), REASON_GOOD);
    assert_int_equal(capacity_16(32), REASON_GOOD);
}

static void synchronize_cache_when_asked_then_store_is_flushed(void **state)
{
    assert_int_equal(rig_blocks(rig, 0x35, 0, 0, 0, "", 0, 0), REASON_GOOD);
    assert_int_equal(rig_blocks(rig, 0x91, 0x06, 10, 100000, "", 0, 0), REASON_GOOD);
    assert_int_equal(rig->operations[STORE_FLUSH], 2);
    assert_int_equal(rig_blocks(rig, 0x91, 0, rig->lu->blocks + 1, 0, "", 0, 0),
                     REASON_LBA_OUT_OF_RANGE);
    rig->fail_at = 2;
    assert_int_equal(rig_blocks(rig, 0x35, 0, 0, 0, "", 0, 0), REASON_MEDIUM_WRITE_ERROR);
    rig->spy.volatile_cache = false;
    assert_int_equal(rig_blocks(rig, 0x35, 0, 0, 0, "", 0, 0), REASON_GOOD);
    assert_int_equal(rig->operations[STORE_FLUSH], 3);
}

static void pre_fetch_when_asked_then_good_without_condition_met(void **state)
{
    static const uint8_t group[10] = {0x34, 0, 0, 0, 0, 0, 0x03, 0, 1};

    assert_int_equal(rig_blocks(rig, 0x34, 0x02, 0, 0, "", 0, 0), REASON_GOOD);
    assert_int_equal(rig_run(rig, group, NULL, 0, 0), REASON_GOOD);
    assert_int_equal(rig_blocks(rig, 0x90, 0, 0, rig->lu->blocks, "", 0, 0), REASON_GOOD);
    assert_int_equal(rig_blocks(rig, 0x90, 0, 1, rig->lu->blocks, "", 0, 0),
                     REASON_LBA_OUT_OF_RANGE);
    assert_int_equal(rig->submitted, 0);
}

static enum scsi_reason start_stop(uint8_t immed, uint8_t bits)
{
    uint8_t cdb[6] = {0x1b, immed, 0, 0, bits};

    return rig_run(rig, cdb, NULL, 0, 0);
}

static void start_stop_when_start_then_good(void **state)
{
    assert_int_equal(start_stop(0, 0x01), REASON_GOOD);
    assert_int_equal(start_stop(1, 0x01), REASON_GOOD);
    assert_int_equal(rig->submitted, 0);
}

static void start_stop_when_stop_then_flushed_and_nothing_is_stopped(void **state)
{
    assert_int_equal(start_stop(0, 0), REASON_GOOD);
    assert_int_equal(rig->operations[STORE_FLUSH], 1);
    assert_int_equal(start_stop(0, 0x04), REASON_GOOD); /* NO_FLUSH */
    assert_int_equal(rig->operations[STORE_FLUSH], 1);
    assert_int_equal(rig_blocks(rig, 0x28, 0, 0, 1, NULL, 0, 512), REASON_GOOD);
}

static void start_stop_when_eject_or_power_condition_then_refused(void **state)
{
    assert_int_equal(start_stop(0, 0x02), REASON_INVALID_FIELD_IN_CDB);
    assert_int_equal(start_stop(0, 0x10), REASON_INVALID_FIELD_IN_CDB);
    assert_int_equal(rig->submitted, 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(capacity_10_when_it_fits_then_last_block),
        CASE(capacity_16_when_asked_then_all_fields),
        CASE(capacity_16_when_allocation_is_short_then_cut),
        CASE(capacity_when_no_store_is_here_then_still_answered),
        CASE(synchronize_cache_when_asked_then_store_is_flushed),
        CASE(pre_fetch_when_asked_then_good_without_condition_met),
        CASE(start_stop_when_start_then_good),
        CASE(start_stop_when_stop_then_flushed_and_nothing_is_stopped),
        CASE(start_stop_when_eject_or_power_condition_then_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
