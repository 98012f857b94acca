/* READ and WRITE rows over a memory store. Not covered: the transport's residuals, forwarding,
 * lanes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk_rig.h"
#include "target/base/payload.h"

static uint8_t *pattern(size_t length, unsigned seed)
{
    uint8_t *data = malloc(length ? length : 1);

    rig_pattern(data, length, seed);
    return data;
}

static void all_sizes(uint32_t block_size)
{
    static const uint8_t writes[] = {0x0a, 0x2a, 0xaa, 0x8a}, reads[] = {0x08, 0x28, 0xa8, 0x88};
    static const uint32_t counts[] = {1, 2, 3, 16, 17, 128, 129, 255, 1000, 1024};
    struct rig *rig = rig_new(block_size);

    for (unsigned op = 0; op < 4; op++) {
        for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
            uint32_t count = counts[i];
            size_t length = (size_t)count * block_size;
            uint8_t *data = pattern(length, op * 100 + i), *back = malloc(length);

            if (op == 0 && count > 255)
                count = 255;
            length = (size_t)count * block_size;
            assert_int_equal(rig_blocks(rig, writes[op], 0, 5 + i, count, data, length, 0),
                             REASON_GOOD);
            rig_peek(rig, (uint64_t)(5 + i) * block_size, back, length);
            assert_memory_equal(back, data, length);
            assert_int_equal(rig_blocks(rig, reads[op], 0, 5 + i, count, NULL, 0, (uint32_t)length),
                             REASON_GOOD);
            assert_int_equal(rig->in_length, length);
            assert_memory_equal(rig->in, data, length);
            free(data);
            free(back);
        }
    }
    rig_free(rig);
}

static void read_when_written_then_same_data_with_512_byte_blocks(void **state)
{
    all_sizes(512);
}

static void read_when_written_then_same_data_with_4096_byte_blocks(void **state)
{
    all_sizes(4096);
}

static void six_byte_cdb_when_count_is_zero_then_256_blocks(void **state)
{
    struct rig *rig = rig_new(512);
    uint8_t *data = pattern(256 * 512, 1);

    assert_int_equal(rig_blocks(rig, 0x0a, 0, 7, 0, data, 256 * 512, 0), REASON_GOOD);
    assert_int_equal(rig_blocks(rig, 0x08, 0, 7, 0, NULL, 0, 256 * 512), REASON_GOOD);
    assert_int_equal(rig->in_length, 256 * 512);
    assert_memory_equal(rig->in, data, 256 * 512);
    free(data);
    rig_free(rig);
}

/* LBA 080000h has the bit where longer CDBs have FUA. */
static void six_byte_cdb_when_lba_is_high_then_no_fua(void **state)
{
    struct rig *rig = rig_new(512);
    uint8_t *data = pattern(512, 1);

    rig->lu->blocks = 0x100000;
    rig->spy.size = 0x100000ull * 512;
    rig->fail_at = 0;
    assert_int_equal(rig_blocks(rig, 0x0a, 0, 0x080000, 1, data, 512, 0),
                     REASON_MEDIUM_WRITE_ERROR);
    assert_int_equal(rig->operations[STORE_WRITE], 1);
    assert_int_equal(rig->with_fua, 0);
    free(data);
    rig_free(rig);
}

static void longer_cdb_when_count_is_zero_then_nothing_moves(void **state)
{
    struct rig *rig = rig_new(512);

    assert_int_equal(rig_blocks(rig, 0x28, 0, 0, 0, NULL, 0, 4096), REASON_GOOD);
    assert_int_equal(rig->in_length, 0);
    assert_int_equal(rig_blocks(rig, 0x8a, 0, 3, 0, "", 0, 0), REASON_GOOD);
    assert_int_equal(rig->submitted, 0);
    rig_free(rig);
}

static void read_when_initiator_has_less_room_then_only_that_is_fetched(void **state)
{
    struct rig *rig = rig_new(512);
    uint8_t *data = pattern(16 * 512, 2);

    rig_poke(rig, 0, data, 16 * 512);
    assert_int_equal(rig_blocks(rig, 0x28, 0, 0, 16, NULL, 0, 700), REASON_GOOD);
    assert_int_equal(rig->in_length, 1024); /* whole blocks; the transport cuts to 700 */
    assert_memory_equal(rig->in, data, 1024);
    assert_int_equal(rig_blocks(rig, 0x28, 0, 0, 16, NULL, 0, 0), REASON_GOOD);
    assert_int_equal(rig->in_length, 0);
    assert_int_equal(rig_blocks(rig, 0x28, 0, 0, 16, NULL, 0, 0xffffffff), REASON_GOOD);
    assert_int_equal(rig->in_length, 16 * 512);
    free(data);
    rig_free(rig);
}

static void write_when_initiator_sends_less_then_whole_blocks_are_written(void **state)
{
    struct rig *rig = rig_new(512);
    uint8_t *old = pattern(8 * 512, 3), *data = pattern(8 * 512, 4), *back = malloc(8 * 512);

    rig_poke(rig, 0, old, 8 * 512);
    assert_int_equal(rig_blocks(rig, 0x2a, 0, 0, 8, data, 3 * 512 + 100, 0), REASON_GOOD);
    rig_peek(rig, 0, back, 8 * 512);
    assert_memory_equal(back, data, 3 * 512);
    assert_memory_equal(back + 3 * 512, old + 3 * 512, 5 * 512);
    rig_forget(rig);
    assert_int_equal(rig_blocks(rig, 0x2a, 0, 0, 8, data, 100, 0), REASON_GOOD);
    assert_int_equal(rig->submitted, 0);
    free(old);
    free(data);
    free(back);
    rig_free(rig);
}

static void write_when_fua_then_the_store_is_told(void **state)
{
    static const uint8_t fua[] = {0x08, 0x02, 0x18, 0x0a};
    struct rig *rig = rig_new(512);
    uint8_t *data = pattern(512, 5);

    for (unsigned i = 0; i < sizeof fua; i++) {
        rig_forget(rig);
        assert_int_equal(rig_blocks(rig, 0x2a, fua[i], 0, 1, data, 512, 0), REASON_GOOD);
        assert_int_equal(rig->with_fua, 1);
    }
    rig_forget(rig);
    assert_int_equal(rig_blocks(rig, 0x2a, 0x10, 0, 1, data, 512, 0), REASON_GOOD); /* DPO */
    assert_int_equal(rig->with_fua, 0);
    free(data);
    rig_free(rig);
}

static void write_when_wce_is_off_then_every_write_is_stable(void **state)
{
    struct rig *rig = rig_new(512);
    uint8_t *data = pattern(512, 5);

    rig->lane->mode.wce = 0;
    assert_int_equal(rig_blocks(rig, 0x2a, 0, 0, 1, data, 512, 0), REASON_GOOD);
    assert_int_equal(rig_blocks(rig, 0x0a, 0, 0, 1, data, 512, 0), REASON_GOOD);
    assert_int_equal(rig->with_fua, 2);
    /* A store without a volatile cache has nothing to force. */
    rig->spy.volatile_cache = false;
    assert_int_equal(rig_blocks(rig, 0x2a, 0x08, 0, 1, data, 512, 0), REASON_GOOD);
    assert_int_equal(rig->with_fua, 2);
    free(data);
    rig_free(rig);
}

static void read_when_fua_then_cache_is_flushed_first(void **state)
{
    struct rig *rig = rig_new(512);

    assert_int_equal(rig_blocks(rig, 0x88, 0x08, 0, 1, NULL, 0, 512), REASON_GOOD);
    assert_int_equal(rig->operations[STORE_FLUSH], 1);
    assert_int_equal(rig->operations[STORE_READ], 1);
    rig_forget(rig);
    rig->lane->mode.wce = 0;
    assert_int_equal(rig_blocks(rig, 0x88, 0x08, 0, 1, NULL, 0, 512), REASON_GOOD);
    assert_int_equal(rig->operations[STORE_FLUSH], 0);
    rig_forget(rig);
    rig->lane->mode.wce = 1;
    rig->fail_at = 0;
    assert_int_equal(rig_blocks(rig, 0x88, 0x08, 0, 1, NULL, 0, 512), REASON_MEDIUM_WRITE_ERROR);
    assert_int_equal(rig->operations[STORE_READ], 0);
    rig_free(rig);
}

static void command_when_store_fails_then_reason_of_that_error(void **state)
{
    static const struct {
        int error;
        enum scsi_reason read, write;
    } cases[] = {
        {-EIO, REASON_MEDIUM_READ_ERROR, REASON_MEDIUM_WRITE_ERROR},
        {-EAGAIN, REASON_BUSY, REASON_BUSY},
        {-ENOSPC, REASON_SPACE_ALLOCATION_FAILED, REASON_SPACE_ALLOCATION_FAILED},
    };
    struct rig *rig = rig_new(512);
    uint8_t *data = pattern(512, 6);

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig_forget(rig);
        rig->fail_at = 0;
        rig->fail_error = cases[i].error;
        assert_int_equal(rig_blocks(rig, 0x28, 0, 0, 1, NULL, 0, 512), cases[i].read);
        assert_int_equal(rig->in_length, 0);
        rig->fail_at = 1;
        assert_int_equal(rig_blocks(rig, 0x2a, 0, 0, 1, data, 512, 0), cases[i].write);
    }
    free(data);
    rig_free(rig);
}

static void command_when_aborted_meanwhile_then_not_good(void **state)
{
    struct rig *rig = rig_new(512);

    rig->abort_at = 0;
    assert_int_equal(rig_blocks(rig, 0x28, 0, 0, 1, NULL, 0, 512), REASON_TASK_ABORTED);
    assert_int_equal(rig->in_length, 0);
    rig_free(rig);
}

static void read_when_pool_is_empty_then_task_set_full(void **state)
{
    struct rig *rig = rig_new(512);
    struct payload held[16] = {0};
    unsigned count = 0;

    while (count < 16 && !payload_alloc(rig->reactor.payloads, &held[count], LIMIT_TRANSFER))
        count++;
    assert_in_range(count, 1, 15);
    assert_int_equal(rig_blocks(rig, 0x28, 0, 0, 8192, NULL, 0, 4 << 20), REASON_TASK_SET_FULL);
    assert_int_equal(rig->submitted, 0);
    while (count--)
        payload_free(rig->reactor.payloads, &held[count]);
    rig_free(rig);
}

static void command_when_no_store_is_here_then_not_ready(void **state)
{
    struct rig *rig = rig_new(512);

    rig->lu->store = NULL;
    assert_int_equal(rig_blocks(rig, 0x28, 0, 0, 1, NULL, 0, 512), REASON_NOT_READY_BECOMING);
    rig->lu->store = &rig->spy;
    rig->spy.size = 512 * 4;
    assert_int_equal(rig_blocks(rig, 0x28, 0, 3, 1, NULL, 0, 512), REASON_GOOD);
    assert_int_equal(rig_blocks(rig, 0x28, 0, 3, 2, NULL, 0, 1024), REASON_INTERNAL_FAILURE);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_when_written_then_same_data_with_512_byte_blocks),
        cmocka_unit_test(read_when_written_then_same_data_with_4096_byte_blocks),
        cmocka_unit_test(six_byte_cdb_when_count_is_zero_then_256_blocks),
        cmocka_unit_test(six_byte_cdb_when_lba_is_high_then_no_fua),
        cmocka_unit_test(longer_cdb_when_count_is_zero_then_nothing_moves),
        cmocka_unit_test(read_when_initiator_has_less_room_then_only_that_is_fetched),
        cmocka_unit_test(write_when_initiator_sends_less_then_whole_blocks_are_written),
        cmocka_unit_test(write_when_fua_then_the_store_is_told),
        cmocka_unit_test(write_when_wce_is_off_then_every_write_is_stable),
        cmocka_unit_test(read_when_fua_then_cache_is_flushed_first),
        cmocka_unit_test(command_when_store_fails_then_reason_of_that_error),
        cmocka_unit_test(command_when_aborted_meanwhile_then_not_good),
        cmocka_unit_test(read_when_pool_is_empty_then_task_set_full),
        cmocka_unit_test(command_when_no_store_is_here_then_not_ready),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
