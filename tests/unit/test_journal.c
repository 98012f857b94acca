/* The journal's files: what is found again after a write, a torn write, a second daemon, another cluster.
 * Not covered: what a disk does that lies about fdatasync(). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster/journal.h"

static char folder[] = "/tmp/halun-journal-XXXXXX";
static const uint8_t uuid[16] = {1, 2, 3}, other_uuid[16] = {9};
static uint8_t *record;
static size_t size;
static char why[256];

static struct journal *opened(void)
{
    struct journal *j = NULL;

    assert_int_equal(journal_open(&j, folder, uuid, &record, &size, why), 0);
    return j;
}

static void write_record(struct journal *j, const char *text)
{
    struct pollfd wait = {.fd = journal_fd(j), .events = POLLIN};

    journal_write(j, text, strlen(text));
    assert_int_equal(poll(&wait, 1, 60000), 1);
    assert_int_equal(journal_done(j), 1);
    assert_int_equal(journal_done(j), 0);
}

static void slot_path(char path[128], unsigned slot)
{
    snprintf(path, 128, "%s/shared-%u.journal", folder, slot);
}

static int make_folder(void **state)
{
    strcpy(folder, "/tmp/halun-journal-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char path[128];

    for (unsigned i = 0; i < 2; i++) {
        slot_path(path, i);
        unlink(path);
    }
    return rmdir(folder);
}

static void journal_when_new_then_empty(void **state)
{
    struct journal *j = opened();

    assert_null(record);
    journal_close(j);
}

static void journal_when_written_then_the_newest_is_found(void **state)
{
    static const char *const texts[] = {"one", "a longer second", "3"};
    struct journal *j = opened();

    for (unsigned i = 0; i < 3; i++) {
        write_record(j, texts[i]);
        journal_close(j);
        j = opened();
        assert_int_equal(size, strlen(texts[i]));
        assert_memory_equal(record, texts[i], size);
        free(record);
    }
    journal_close(j);
}

static void journal_when_the_last_write_is_torn_then_the_one_before_is_found(void **state)
{
    struct journal *j = opened();
    char path[128];
    int fd;

    write_record(j, "first");
    write_record(j, "second");
    journal_close(j);
    slot_path(path, 1);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "X", 1, 64), 1);
    close(fd);
    j = opened();
    assert_memory_equal(record, "first", 5);
    free(record);
    write_record(j, "third"); /* over the damaged one */
    journal_close(j);
    j = opened();
    assert_memory_equal(record, "third", 5);
    free(record);
    journal_close(j);
}

static void journal_when_both_are_damaged_then_refused(void **state)
{
    struct journal *j = opened();
    char path[128];

    write_record(j, "first");
    write_record(j, "second");
    journal_close(j);
    for (unsigned i = 0; i < 2; i++) {
        slot_path(path, i);
        assert_int_equal(truncate(path, 30), 0);
    }
    assert_int_equal(journal_open(&j, folder, uuid, &record, &size, why), -EBADMSG);
    assert_non_null(strstr(why, "damaged"));
}

static void journal_when_of_another_cluster_then_refused(void **state)
{
    struct journal *j = opened();

    write_record(j, "first");
    journal_close(j);
    assert_int_equal(journal_open(&j, folder, other_uuid, &record, &size, why), -EXDEV);
    assert_non_null(strstr(why, "another cluster"));
}

static void journal_when_a_daemon_has_it_then_busy(void **state)
{
    struct journal *j = opened(), *second;

    assert_int_equal(journal_open(&second, folder, uuid, &record, &size, why), -EBUSY);
    journal_close(j);
}

static void journal_when_the_folder_is_missing_then_says_so(void **state)
{
    struct journal *j;

    assert_int_equal(journal_open(&j, "/nonexistent/halun", uuid, &record, &size, why), -ENOENT);
    assert_non_null(strstr(why, "/nonexistent/halun"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(journal_when_new_then_empty),
        CASE(journal_when_written_then_the_newest_is_found),
        CASE(journal_when_the_last_write_is_torn_then_the_one_before_is_found),
        CASE(journal_when_both_are_damaged_then_refused),
        CASE(journal_when_of_another_cluster_then_refused),
        CASE(journal_when_a_daemon_has_it_then_busy),
        CASE(journal_when_the_folder_is_missing_then_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
