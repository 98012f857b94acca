/* Metadata on files: create, load, replay of a crash, settle, and that nothing is lost when
 * settling itself is cut off at any write. Not covered: block devices and drbdmeta
 * (tests/conform/drbdmeta). */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "replication/md_file.h"

enum { BYTES = 40 << 20 };

static char why[MD_WHY];

static int image(uint32_t stripes, uint32_t stripe_blocks)
{
    struct md_create create = {.placement = METADATA_INTERNAL,
                               .device_bytes = BYTES,
                               .al_stripes = stripes,
                               .al_stripe_blocks = stripe_blocks};
    int fd = memfd_create("metadata", MFD_CLOEXEC);

    assert_true(fd >= 0 && !ftruncate(fd, BYTES));
    assert_int_equal(md_device_bytes(fd), BYTES);
    assert_int_equal(md_file_probe(fd, METADATA_INTERNAL, BYTES, why), -ENODATA);
    assert_int_equal(md_file_create(fd, &create, why), 0);
    assert_int_equal(md_file_probe(fd, METADATA_INTERNAL, BYTES, why), 0);
    return fd;
}

static void load(struct md_file *file, int fd)
{
    assert_int_equal(md_file_load(file, fd, METADATA_INTERNAL, BYTES, 0, why), 0);
}

static void created_metadata_loads_clean_with_everything_out_of_sync(void **state)
{
    struct md_file file;
    int fd = image(0, 0);

    load(&file, fd);
    assert_true(file.was_clean && !file.crashed_primary && !file.log_applied && !file.log_damaged);
    assert_int_equal(file.superblock.generations.current, 4);
    assert_int_equal(file.superblock.al_extents, AL_SLOTS_DEFAULT);
    assert_int_equal(file.map.set, file.map.bits);
    md_file_free(&file);
    close(fd);
}

/* As a Primary leaves it: extents 1 and 7 hot, one block of the map set on disk. */
static void crash_as(int fd, uint32_t flags, bool torn)
{
    struct md_file file;
    struct activity_log *al;
    struct al_transaction t;
    uint8_t block[AL_BLOCK];
    uint64_t ticket;

    load(&file, fd);
    dirty_map_clear_all(&file.map);
    dirty_map_set_bits(&file.map, 5000, 1);
    file.superblock.effective_sectors = file.layout.data_sectors;
    file.superblock.flags = flags;
    assert_int_equal(md_file_settle(&file, false), 0);
    al = al_init(malloc(al_memory(100)), 100, file.layout.al_stripes, file.layout.al_stripe_blocks,
                 0);
    al_begin(al, 1, 1, &ticket);
    al_begin(al, 7, 7, &ticket);
    for (unsigned i = 0; i < 2; i++) {
        al_transaction_build(al, block, &t);
        al_transaction_done(al);
        if (i)
            memset(block + 1024, 0xAA, 1024);
        if (!i || torn)
            assert_int_equal(
                pwrite(fd, block, AL_BLOCK, (off_t)(file.layout.al + t.position * AL_BLOCK)),
                AL_BLOCK);
        al_begin(al, 3, 3, &ticket);
    }
    free(al);
    md_file_free(&file);
}

static void crashed_primary_gets_its_hot_extents_set(void **state)
{
    for (int torn = 0; torn < 2; torn++) {
        struct md_file file;
        int fd = image(3, 4);

        crash_as(fd, MD_CONSISTENT | MD_WAS_UP_TO_DATE | MD_PRIMARY, torn);
        load(&file, fd);
        assert_true(!file.was_clean && file.crashed_primary && file.log_applied &&
                    !file.log_damaged);
        assert_int_equal(file.log_extents, 2);
        assert_int_equal(file.map.set, 2 * 1024 + 1);
        assert_true(dirty_map_test(&file.map, 1024) && dirty_map_test(&file.map, 8 * 1024 - 1));
        file.superblock.flags &= ~(uint32_t)MD_PRIMARY; /* attached as Secondary */
        assert_int_equal(md_file_settle(&file, false), 0);
        md_file_free(&file);
        load(&file,
             fd); /* crashed again: the map has it all, and we still know that we were Primary */
        assert_true(file.crashed_primary && !file.log_applied);
        assert_int_equal(file.map.set, 2 * 1024 + 1);
        assert_true(file.superblock.flags & MD_CRASHED_PRIMARY);
        assert_int_equal(md_file_settle(&file, true), 0);
        md_file_free(&file);
        load(&file, fd);
        assert_true(file.was_clean && file.superblock.flags & MD_AL_CLEAN);
        assert_int_equal(file.map.set, 2 * 1024 + 1);
        md_file_free(&file);
        close(fd);
    }
}

static void crashed_secondary_ignores_its_log(void **state)
{
    struct md_file file;
    int fd = image(0, 0);

    crash_as(fd, MD_CONSISTENT | MD_WAS_UP_TO_DATE, false);
    load(&file, fd);
    assert_true(!file.was_clean && !file.crashed_primary && !file.log_applied);
    assert_int_equal(file.map.set, 1);
    md_file_free(&file);
    close(fd);
}

static void damaged_log_or_full_sync_sets_everything(void **state)
{
    struct md_file file;
    uint8_t junk[2 * MD_BLOCK];
    int fd = image(0, 0);

    memset(junk, 0x5A, sizeof junk);
    crash_as(fd, MD_CONSISTENT | MD_PRIMARY, false);
    load(&file, fd);
    assert_int_equal(pwrite(fd, junk, sizeof junk, (off_t)file.layout.al + MD_BLOCK), sizeof junk);
    md_file_free(&file);
    load(&file, fd);
    assert_true(file.log_damaged && !file.log_applied);
    assert_int_equal(file.map.set, file.map.bits);
    md_file_free(&file);
    crash_as(fd, MD_CONSISTENT, false);
    load(&file, fd);
    file.superblock.flags |= MD_FULL_SYNC; /* and the crash came before the map was written */
    assert_int_equal(md_file_write_superblock(&file), 0);
    md_file_free(&file);
    load(&file, fd);
    assert_true(file.full_sync);
    assert_int_equal(file.map.set, file.map.bits);
    assert_int_equal(md_file_settle(&file, true), 0);
    assert_false(file.superblock.flags & MD_FULL_SYNC);
    md_file_free(&file);
    close(fd);
}

static void load_of_something_else_is_refused_with_a_reason(void **state)
{
    struct md_file file;
    int fd = image(0, 0);

    assert_int_equal(md_file_load(&file, fd, METADATA_FLEX_EXTERNAL, BYTES, BYTES, why), -ENODATA);
    assert_int_equal(md_file_load(&file, fd, METADATA_INTERNAL, 4096, 0, why), -ENODATA);
    assert_int_equal(ftruncate(fd, BYTES + 8192), 0);
    assert_int_equal(md_file_load(&file, fd, METADATA_INTERNAL, BYTES + 8192, 0, why), -ENODATA);
    assert_int_not_equal(why[0], 0);
    close(fd);
}

/* A power cut during settle: only the first `writes` blocks reach the disk. Simulated on a copy, as
 * the order of writes (map, log, superblock) is fixed and each is synced before the next. */
static void settle_cut_off_anywhere_still_knows_everything(void **state)
{
    int fd = image(0, 0), done = image(0, 0);
    struct md_file file;
    uint8_t block[MD_BLOCK];
    uint64_t map_blocks, set;
    struct metadata_layout l;

    crash_as(fd, MD_CONSISTENT | MD_WAS_UP_TO_DATE | MD_PRIMARY, true);
    crash_as(done, MD_CONSISTENT | MD_WAS_UP_TO_DATE | MD_PRIMARY, true);
    load(&file, done);
    set = file.map.set;
    l = file.layout;
    assert_int_equal(md_file_settle(&file, true), 0);
    md_file_free(&file);
    map_blocks = l.bitmap_bytes / MD_BLOCK;
    for (uint64_t i = 0; i < map_blocks + l.al_blocks + 1; i++) {
        uint64_t at = i < map_blocks ? l.bitmap + i * MD_BLOCK : l.al + (i - map_blocks) * MD_BLOCK;

        assert_int_equal(pread(done, block, MD_BLOCK, (off_t)at), MD_BLOCK);
        assert_int_equal(pwrite(fd, block, MD_BLOCK, (off_t)at), MD_BLOCK);
        load(&file, fd);
        assert_true(file.map.set >= set && file.crashed_primary);
        assert_true(dirty_map_test(&file.map, 1024) && dirty_map_test(&file.map, 5000));
        md_file_free(&file);
    }
    close(fd);
    close(done);
}

static int check_free(int fd)
{
    struct metadata_layout l;

    assert_int_equal(metadata_layout(&l, METADATA_INTERNAL, BYTES, 0, 0, 0, why), 0);
    return md_file_check_free(fd, &l, why);
}

static void write_at(int fd, const void *bytes, size_t length, uint64_t at)
{
    assert_int_equal(pwrite(fd, bytes, length, (off_t)at), length);
}

/* An error, or a power cut, before the superblock is there: each sector was written or was not. */
static void creation_cut_off_anywhere_may_be_begun_again(void **state)
{
    static const uint8_t zeros[MD_BLOCK];
    struct metadata_layout l;
    int fd = image(0, 0);

    assert_int_equal(metadata_layout(&l, METADATA_INTERNAL, BYTES, 0, 0, 0, why), 0);
    assert_int_equal(check_free(fd), -EEXIST);
    write_at(fd, zeros, MD_BLOCK, l.superblock);
    assert_int_equal(check_free(fd), 0);
    for (uint32_t i = 0; i < l.al_blocks; i++) {
        write_at(fd, zeros, MD_SECTOR, l.al + (uint64_t)(l.al_blocks - 1 - i) * MD_BLOCK);
        assert_int_equal(check_free(fd), 0);
    }
    close(fd);
}

static void place_of_the_metadata_with_data_in_it_is_not_free(void **state)
{
    static const uint8_t zeros[MD_BLOCK], one = 1;
    uint8_t log[MD_BLOCK];
    struct metadata_layout l;
    int fd = image(0, 0);

    assert_int_equal(metadata_layout(&l, METADATA_INTERNAL, BYTES, 0, 0, 0, why), 0);
    write_at(fd, zeros, MD_BLOCK, l.superblock);
    for (uint64_t at = l.bitmap; at <= l.superblock; at += MD_SECTOR) {
        uint8_t was;

        assert_int_equal(pread(fd, &was, 1, (off_t)at + MD_SECTOR - 1), 1);
        write_at(fd, &one, 1, at + MD_SECTOR - 1);
        assert_int_equal(check_free(fd), -EEXIST);
        write_at(fd, &was, 1, at + MD_SECTOR - 1);
    }
    assert_int_equal(check_free(fd), 0);
    al_block_initial(log); /* only in the place of the log */
    write_at(fd, log, MD_BLOCK, l.bitmap);
    assert_int_equal(check_free(fd), -EEXIST);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(created_metadata_loads_clean_with_everything_out_of_sync),
        cmocka_unit_test(crashed_primary_gets_its_hot_extents_set),
        cmocka_unit_test(crashed_secondary_ignores_its_log),
        cmocka_unit_test(damaged_log_or_full_sync_sets_everything),
        cmocka_unit_test(load_of_something_else_is_refused_with_a_reason),
        cmocka_unit_test(settle_cut_off_anywhere_still_knows_everything),
        cmocka_unit_test(creation_cut_off_anywhere_may_be_begun_again),
        cmocka_unit_test(place_of_the_metadata_with_data_in_it_is_not_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
