/* Layouts against numbers recorded from drbdmeta, superblock round trips and refusals, flags and
 * disk states. Not covered: indexed external metadata (not supported). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "replication/metadata.h"
#include "target/base/bytes.h"

static char why[MD_WHY];

static void layout_internal_is_what_drbdmeta_computes(void **state)
{
    static const struct {
        uint64_t device, superblock, al, bitmap;
        uint32_t sectors, stripes, stripe_blocks;
    } rows[] = {
        {67108864, 67104768, 67072000, 67067904, 80, 0, 0},
        {67108864, 67104768, 66908160, 66904064, 400, 3, 16},
        {134218240, 134213632, 134180864, 134172672, 88, 1, 8},
        {104870400, 104865792, 104833024, 104828928, 80, 1, 8},
        {1079062528, 1079058432, 1079025664, 1078988800, 144, 1, 8},
        {UINT64_C(107374185984), UINT64_C(107374178304), UINT64_C(107374145536),
         UINT64_C(107370864640), 6480, 1, 8},
        {UINT64_C(5497558189568), UINT64_C(5497558183936), UINT64_C(5497558151168),
         UINT64_C(5497390374912), 327760, 1, 8},
        {3145728, 3141632, 3108864, 3104768, 80, 1, 8},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct metadata_layout l;

        assert_int_equal(metadata_layout(&l, METADATA_INTERNAL, rows[i].device, 0, rows[i].stripes,
                                         rows[i].stripe_blocks, why),
                         0);
        assert_int_equal(l.superblock, rows[i].superblock);
        assert_int_equal(metadata_superblock_offset(METADATA_INTERNAL, rows[i].device),
                         l.superblock);
        assert_int_equal(l.al, rows[i].al);
        assert_int_equal(l.bitmap, rows[i].bitmap);
        assert_int_equal(l.md_size_sectors, rows[i].sectors);
        assert_int_equal(l.data_sectors, rows[i].bitmap / 512);
        assert_int_equal(l.al_offset, -(int64_t)(rows[i].superblock - rows[i].al) / 512);
        assert_int_equal(l.bm_offset, -(int64_t)(rows[i].superblock - rows[i].bitmap) / 512);
    }
}

static void layout_external_uses_the_smaller_of_data_and_room(void **state)
{
    struct metadata_layout l;

    assert_int_equal(metadata_layout(&l, METADATA_FLEX_EXTERNAL, 64 << 20, 1 << 30, 0, 0, why), 0);
    assert_true(l.superblock == 0 && l.al == 4096 && l.bitmap == 36864);
    assert_true(l.al_offset == 8 && l.bm_offset == 72 && l.md_size_sectors == 131072);
    assert_int_equal(l.data_sectors, (1 << 30) / 512);
    assert_int_equal(l.bitmap_bytes, 8 * 4096);
    assert_int_equal(
        metadata_layout(&l, METADATA_FLEX_EXTERNAL, 1 << 20, UINT64_C(1) << 50, 0, 0, why), 0);
    assert_int_equal(l.data_sectors, ((1 << 20) - 36864) * 8 * 8);
}

static void layout_that_cannot_be_is_refused(void **state)
{
    struct metadata_layout l;

    assert_int_equal(metadata_layout(&l, METADATA_INTERNAL, (1 << 20) - 1, 0, 0, 0, why), -EINVAL);
    assert_int_equal(metadata_layout(&l, METADATA_INTERNAL, 1 << 20, 0, 1, 7, why), -EINVAL);
    assert_int_equal(metadata_layout(&l, METADATA_INTERNAL, 1 << 20, 0, 0, 8, why), -EINVAL);
    assert_int_equal(metadata_layout(&l, METADATA_INTERNAL, 1 << 20, 0, 1, 300, why), -EINVAL);
    assert_int_equal(
        metadata_layout(&l, METADATA_INTERNAL, 1 << 20, 0, UINT32_MAX, UINT32_MAX, why), -EINVAL);
    assert_int_equal(metadata_layout(&l, METADATA_INTERNAL, (UINT64_C(1) << 50) + 1, 0, 0, 0, why),
                     -EINVAL);
    assert_int_equal(metadata_layout(&l, METADATA_FLEX_EXTERNAL, 1 << 20, 0, 1, 255, why), -EINVAL);
    assert_int_equal(metadata_layout(&l, METADATA_INTERNAL, 1 << 20, 0, 0, 0, why), 0);
}

static void superblock_round_trip_keeps_everything(void **state)
{
    struct metadata_layout layout;
    struct superblock sb, back;
    uint8_t block[MD_BLOCK];

    metadata_layout(&layout, METADATA_INTERNAL, 64 << 20, 0, 3, 16, why);
    superblock_create(&sb, &layout);
    assert_true(sb.clean && sb.flags == MD_AL_CLEAN && sb.generations.current == 4);
    sb.effective_sectors = 1234;
    sb.generations = (struct generations){11, 12, {13, 14}};
    sb.device_uuid = 15;
    sb.flags = 0x13;
    sb.clean = false;
    sb.peer_max_bio = 1 << 20;
    superblock_encode(&sb, block);
    assert_int_equal(get_be32(block + 0x3C), 0x8374026C);
    assert_int_equal(get_be64(block + 0x20), 14);
    assert_int_equal(superblock_decode(&back, block, why), 0);
    assert_memory_equal(&back.generations, &sb.generations, sizeof sb.generations);
    assert_true(back.effective_sectors == 1234 && back.device_uuid == 15 && back.flags == 0x13 &&
                !back.clean && back.al_extents == 257 && back.al_stripes == 3 &&
                back.al_stripe_blocks == 16 && back.al_offset == sb.al_offset &&
                back.bm_offset == sb.bm_offset && back.md_size_sectors == 400 &&
                back.peer_max_bio == 1 << 20 && back.bytes_per_bit == 4096);
    assert_int_equal(superblock_validate(&back, METADATA_INTERNAL, 64 << 20, 0, &layout, why), 0);
}

static void superblock_of_another_version_is_named(void **state)
{
    struct superblock sb;
    uint8_t block[MD_BLOCK] = {0};

    assert_int_equal(superblock_decode(&sb, block, why), -ENODATA);
    put_be32(block + 0x3C, 0x8374026D);
    assert_int_equal(superblock_decode(&sb, block, why), -ENODATA);
    assert_non_null(strstr(why, "v09"));
}

static void superblock_with_any_number_off_is_refused(void **state)
{
    struct metadata_layout layout;
    struct superblock good, sb;

    metadata_layout(&layout, METADATA_INTERNAL, 64 << 20, 0, 0, 0, why);
    superblock_create(&good, &layout);
#define REFUSED(change)                                                                            \
    sb = good;                                                                                     \
    change;                                                                                        \
    assert_int_equal(superblock_validate(&sb, METADATA_INTERNAL, 64 << 20, 0, &layout, why),       \
                     -EINVAL)
    REFUSED(sb.al_offset = 8);
    REFUSED(sb.al_offset--);
    REFUSED(sb.bm_offset++);
    REFUSED(sb.md_size_sectors++);
    REFUSED(sb.bytes_per_bit = 0);
    REFUSED(sb.al_stripes = 0);
    REFUSED(sb.al_stripe_blocks = UINT32_MAX);
    REFUSED(sb.effective_sectors = 130993);
    REFUSED(sb.effective_sectors = UINT64_MAX);
    sb = good;
    sb.effective_sectors = 130992;
    sb.al_stripes = sb.al_stripe_blocks = 0; /* means the default */
    assert_int_equal(superblock_validate(&sb, METADATA_INTERNAL, 64 << 20, 0, &layout, why), 0);
    assert_int_equal(superblock_validate(&sb, METADATA_INTERNAL, 65 << 20, 0, &layout, why), 0);
    assert_int_equal(superblock_validate(&sb, METADATA_INTERNAL, 256 << 20, 0, &layout, why),
                     -EINVAL);
}

static void disk_state_follows_the_flags(void **state)
{
    uint32_t good = MD_CONSISTENT | MD_WAS_UP_TO_DATE;

    assert_int_equal(metadata_disk_state(MD_WAS_UP_TO_DATE, true), DISK_INCONSISTENT);
    assert_int_equal(metadata_disk_state(MD_CONSISTENT | MD_PEER_OUTDATED, true), DISK_OUTDATED);
    assert_int_equal(metadata_disk_state(good, false), DISK_CONSISTENT);
    assert_int_equal(metadata_disk_state(good, true), DISK_UP_TO_DATE);
    assert_int_equal(metadata_disk_state(good | MD_PEER_OUTDATED, false), DISK_UP_TO_DATE);
}

static void flags_follow_the_state(void **state)
{
    struct wire_state s = {.role = WIRE_PRIMARY,
                           .peer = WIRE_ROLE_UNKNOWN,
                           .conn = CONN_WF_CONNECTION,
                           .disk = DISK_UP_TO_DATE,
                           .pdsk = DISK_UNKNOWN};

    assert_int_equal(metadata_flags(MD_AL_CLEAN, &s), 0x13); /* as recorded from a live Primary */
    s.pdsk = DISK_OUTDATED;
    assert_int_equal(metadata_flags(0, &s), 0x33);
    s.role = WIRE_SECONDARY;
    s.peer = WIRE_PRIMARY;
    s.conn = CONN_CONNECTED;
    s.pdsk = DISK_DISKLESS; /* a Primary that works on our disk alone */
    assert_int_equal(metadata_flags(0, &s), 0x17);
    s.pdsk = DISK_UP_TO_DATE;
    assert_int_equal(metadata_flags(MD_CRASHED_PRIMARY | MD_PRIMARY | MD_FULL_SYNC, &s), 0x1D);
    s.disk = DISK_OUTDATED;
    assert_int_equal(metadata_flags(MD_CRASHED_PRIMARY, &s), 0x45);
    s.disk = DISK_INCONSISTENT;
    assert_int_equal(metadata_flags(MD_CONSISTENT | MD_WAS_UP_TO_DATE, &s), 0x04);
    s.disk = DISK_NEGOTIATING; /* says nothing about the content */
    assert_int_equal(metadata_flags(MD_CONSISTENT | MD_WAS_UP_TO_DATE, &s), 0x15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout_internal_is_what_drbdmeta_computes),
        cmocka_unit_test(layout_external_uses_the_smaller_of_data_and_room),
        cmocka_unit_test(layout_that_cannot_be_is_refused),
        cmocka_unit_test(superblock_round_trip_keeps_everything),
        cmocka_unit_test(superblock_of_another_version_is_named),
        cmocka_unit_test(superblock_with_any_number_off_is_refused),
        cmocka_unit_test(disk_state_follows_the_flags),
        cmocka_unit_test(flags_follow_the_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
