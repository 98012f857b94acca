/* What was noted in this boot counts, what another boot left does not, unless it was flushed. Not covered: a machine that
 * is reset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "target/daemon/kept.h"

static void kept_when_noted_in_this_boot_then_known(void **state)
{
    char directory[] = "/tmp/test_kept.XXXXXX", path[64];
    FILE *file;

    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/kept-g0", directory);
    assert_false(kept_take(directory, "g0"));
    kept_note(directory, "g0", KEPT_BOOT);
    assert_true(kept_take(directory, "g0"));
    assert_false(kept_take(directory, "g1"));
    kept_note(directory, "g0", KEPT_NOT);
    assert_false(kept_take(directory, "g0"));
    kept_note(directory, "g0", KEPT_BOOT);
    kept_note(directory, "g0", KEPT_BOOT);
    assert_true(kept_take(directory, "g0"));
    file = fopen(path, "w"); /* as a boot before left it */
    fputs("6f5b3f7e-0000-4000-8000-000000000000\n", file);
    fclose(file);
    assert_false(kept_take(directory, "g0"));
    kept_note(directory, "g0", KEPT_BOOT);
    assert_true(kept_take(directory, "g0"));
    unlink(path);
    rmdir(directory);
}

static void flushed_when_another_boot_follows_then_counts_once(void **state)
{
    char directory[] = "/tmp/test_kept.XXXXXX", path[64], text[64] = "";
    FILE *file;

    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/flushed-g0", directory);
    kept_note(directory, "g0", KEPT_FLUSHED);
    file = fopen(path, "r"); /* nothing of this boot is in it */
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    assert_string_equal(text, "flushed\n");
    assert_true(kept_take(directory, "g0"));
    assert_int_equal(access(path, F_OK), -1); /* from now on it is this boot alone that counts */
    assert_true(kept_take(directory, "g0"));
    kept_note(directory, "g0", KEPT_FLUSHED);
    kept_note(directory, "g0", KEPT_NOT);
    assert_false(kept_take(directory, "g0"));
    assert_int_equal(rmdir(directory), 0);
}

/* As where state_dir is full. */
static void flushed_when_it_cannot_be_written_then_this_boot_counts(void **state)
{
    char directory[] = "/tmp/test_kept.XXXXXX", path[64];
    FILE *file;

    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/flushed-g0", directory);
    assert_int_equal(mkdir(path, 0700), 0);
    kept_note(directory, "g0", KEPT_BOOT);
    kept_note(directory, "g0", KEPT_FLUSHED);
    assert_true(kept_take(directory, "g0"));
    assert_int_equal(rmdir(path), 0);
    file = fopen(path, "w"); /* it came so far */
    fputs("flu", file);
    fclose(file);
    assert_true(kept_take(directory, "g0"));
    assert_int_equal(access(path, F_OK), -1);
    kept_note(directory, "g0", KEPT_NOT);
    assert_int_equal(rmdir(directory), 0);
}

static void kept_when_no_descriptor_is_left_then_taken_back_all_the_same(void **state)
{
    char directory[] = "/tmp/test_kept.XXXXXX";
    struct rlimit before, none;

    assert_non_null(mkdtemp(directory));
    kept_note(directory, "g0", KEPT_BOOT);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    kept_note(directory, "g0", KEPT_NOT);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(kept_take(directory, "g0"));
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_when_noted_in_this_boot_then_known),
        cmocka_unit_test(flushed_when_another_boot_follows_then_counts_once),
        cmocka_unit_test(flushed_when_it_cannot_be_written_then_this_boot_counts),
        cmocka_unit_test(kept_when_no_descriptor_is_left_then_taken_back_all_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
