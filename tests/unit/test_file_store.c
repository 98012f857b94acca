/* What is particular to the file store: opening, refusals, short operations, lost flushes,
 * fallbacks. A short or failing operation is made by changing its entry in the ring before the
 * kernel sees it.
 *
 * Not covered: block devices (tests/unit needs no devices), devices with 4 KiB sectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "target/base/container.h"
#include "target/store/file.h"

enum { SIZE = 1 << 20, BLOCK = 512, WAIT_NS = 1000000000, UNKNOWN_FALLOCATE = 0x8000 };

struct fixture {
    struct reactor reactor;
    char folder[64], path[96], why[256];
    struct store *store;
    struct store_io io;
    unsigned finished;
    int error;
    uint8_t *memory; /* SIZE bytes of a pattern */
    uint8_t *back;   /* SIZE bytes */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");

    snprintf(f->folder, sizeof f->folder, "%.40s/halun-file-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof f->path, "%s/lu0", f->folder);
    assert_int_equal(reactor_init(&f->reactor, 0, 64), 0);
    reactor_turn(&f->reactor, 0);
    f->memory = aligned_alloc(4096, SIZE);
    f->back = aligned_alloc(4096, SIZE);
    for (unsigned i = 0; i < SIZE; i++)
        f->memory[i] = (uint8_t)(i * 5 + i / 251 + 1);
    memset(f->back, 0xee, SIZE);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    store_close(f->store);
    unlink(f->path);
    rmdir(f->folder);
    reactor_done(&f->reactor);
    free(f->memory);
    free(f->back);
    free(f);
    return 0;
}

static int open_store(struct fixture *f, uint64_t size)
{
    struct store_options options = {.path = f->path, .size = size, .block_size = BLOCK};

    return file_store_open(&options, &f->store, f->why);
}

static void finished(struct store_io *io, int error)
{
    struct fixture *f = container_of(io, struct fixture, io);

    f->finished++;
    f->error = error;
}

static void begin(struct fixture *f, enum store_operation operation, unsigned flags,
                  uint64_t offset, uint64_t length, const struct iovec *iov, unsigned iov_count)
{
    f->finished = 0;
    f->io.operation = operation;
    f->io.flags = flags;
    f->io.offset = offset;
    f->io.length = length;
    f->io.iov = iov;
    f->io.iov_count = iov_count;
    f->io.done = finished;
    store_submit(f->store, &f->io);
}

static int finish(struct fixture *f)
{
    while (!f->finished)
        reactor_turn(&f->reactor, WAIT_NS);
    assert_int_equal(f->finished, 1);
    return f->error;
}

static int run(struct fixture *f, enum store_operation operation, unsigned flags, uint64_t offset,
               uint64_t length, const struct iovec *iov, unsigned iov_count)
{
    begin(f, operation, flags, offset, length, iov, iov_count);
    return finish(f);
}

/* The entry that was prepared last. */
static struct io_uring_sqe *last_entry(struct fixture *f)
{
    struct io_uring_sq *sq = &f->reactor.ring.sq;

    return &sq->sqes[(sq->sqe_tail - 1) & sq->ring_mask];
}

/* `count` segments of 64 KiB of `memory`. */
static void segments(uint8_t *memory, struct iovec *iov, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        iov[i] = (struct iovec){memory + i * (64 << 10), 64 << 10};
}

static void open_when_missing_and_size_given_then_sparse_file_of_that_size(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    assert_int_equal(open_store(f, 1ull << 40), 0);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_size, 1ull << 40);
    assert_true(st.st_blocks < 100);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* As a power cut may leave it behind when it was just created. */
static void open_when_empty_and_size_given_then_made_as_if_it_was_missing(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    int fd = open(f->path, O_CREAT | O_WRONLY, 0600);

    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(open_store(f, 0), -EINVAL);
    assert_non_null(strstr(f->why, "shorter than one block"));
    assert_int_equal(open_store(f, SIZE), 0);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_size, SIZE);
}

static void open_when_missing_and_no_size_then_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_store(f, 0), -ENOENT);
    assert_non_null(strstr(f->why, "no size is given"));
    assert_non_null(strstr(f->why, f->path));
}

static void open_when_missing_device_then_no_file_is_made(void **state)
{
    struct fixture *f = *state;
    struct store_options options = {
        .path = "/dev/halun-no-such-device", .size = SIZE, .block_size = BLOCK};

    assert_int_equal(file_store_open(&options, &f->store, f->why), -ENOENT);
    assert_non_null(strstr(f->why, "no such device"));
    assert_int_not_equal(access(options.path, F_OK), 0);
}

static void open_when_folder_then_refused(void **state)
{
    struct fixture *f = *state;
    struct store_options options = {.path = f->folder, .size = SIZE, .block_size = BLOCK};

    assert_int_equal(file_store_open(&options, &f->store, f->why), -EINVAL);
    assert_non_null(strstr(f->why, "neither a file nor a block device"));
}

static void open_when_file_is_too_short_then_refused_and_kept(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_store(f, SIZE), 0);
    store_close(f->store);
    f->store = NULL;
    assert_int_equal(open_store(f, 2 * SIZE), -EINVAL);
    assert_non_null(strstr(f->why, "expected at least 2097152"));
    assert_int_equal(access(f->path, F_OK), 0);
}

static void open_when_file_is_longer_then_size_given_counts(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_store(f, 2 * SIZE), 0);
    store_close(f->store);
    assert_int_equal(open_store(f, SIZE), 0);
    assert_int_equal(f->store->size, SIZE);
}

static void open_when_no_size_given_then_whole_blocks_of_the_file(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_store(f, SIZE), 0);
    store_close(f->store);
    f->store = NULL;
    assert_int_equal(truncate(f->path, SIZE - 100), 0);
    assert_int_equal(open_store(f, 0), 0);
    assert_int_equal(f->store->size, SIZE - BLOCK);
}

static void open_when_open_already_then_refused_as_locked(void **state)
{
    struct fixture *f = *state;
    struct store_options options = {.path = f->path, .size = SIZE, .block_size = BLOCK};
    struct store *second = NULL;

    assert_int_equal(open_store(f, SIZE), 0);
    assert_int_equal(file_store_open(&options, &second, f->why), -EBUSY);
    assert_non_null(strstr(f->why, "locked"));
    assert_null(second);
}

static void read_when_kernel_reads_less_then_goes_on(void **state)
{
    struct fixture *f = *state;
    struct iovec iov[16];

    assert_int_equal(open_store(f, SIZE), 0);
    segments(f->memory, iov, 16);
    assert_int_equal(run(f, STORE_WRITE, 0, 0, SIZE, iov, 16), 0);
    segments(f->back, iov, 16);
    begin(f, STORE_READ, 0, 0, SIZE, iov, 16);
    last_entry(f)->len = 3; /* segments: ends between two */
    assert_int_equal(finish(f), 0);
    assert_memory_equal(f->back, f->memory, SIZE);

    memset(f->back, 0, SIZE);
    segments(f->back, iov, 1);
    begin(f, STORE_READ, 0, 0, 64 << 10, iov, 1);
    last_entry(f)->len = 5000; /* bytes: ends inside a segment */
    assert_int_equal(finish(f), 0);
    assert_memory_equal(f->back, f->memory, 64 << 10);
}

static void write_when_kernel_writes_less_then_goes_on(void **state)
{
    struct fixture *f = *state;
    struct iovec whole[16], part[16];

    assert_int_equal(open_store(f, SIZE), 0);
    segments(f->memory, whole, 16);
    memcpy(part, whole, sizeof part);
    part[3].iov_len = 1000; /* ends inside segment 3, more segments after it */
    begin(f, STORE_WRITE, STORE_FUA, 0, SIZE, whole, 16);
    assert_int_equal(last_entry(f)->rw_flags, RWF_DSYNC);
    last_entry(f)->addr = (uintptr_t)part;
    last_entry(f)->len = 4;
    assert_int_equal(finish(f), 0);
    segments(f->back, whole, 16);
    assert_int_equal(run(f, STORE_READ, 0, 0, SIZE, whole, 16), 0);
    assert_memory_equal(f->back, f->memory, SIZE);
}

static void read_when_file_was_cut_then_medium_error(void **state)
{
    struct fixture *f = *state;
    struct iovec iov[16];

    assert_int_equal(open_store(f, SIZE), 0);
    assert_int_equal(truncate(f->path, 600000), 0);
    segments(f->back, iov, 16);
    assert_int_equal(run(f, STORE_READ, 0, 0, SIZE, iov, 16), -EIO);
}

static void write_when_kernel_refuses_then_medium_error(void **state)
{
    struct fixture *f = *state;
    struct iovec iov[1];

    assert_int_equal(open_store(f, SIZE), 0);
    segments(f->memory, iov, 1);
    begin(f, STORE_WRITE, 0, 0, 64 << 10, iov, 1);
    last_entry(f)->fd = -1;
    assert_int_equal(finish(f), -EIO);
}

static void flush_when_one_failed_then_never_succeeds_again(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_store(f, SIZE), 0);
    assert_int_equal(run(f, STORE_FLUSH, 0, 0, 0, NULL, 0), 0);
    begin(f, STORE_FLUSH, 0, 0, 0, NULL, 0);
    last_entry(f)->fd = -1;
    assert_int_equal(finish(f), -EIO);
    assert_int_equal(run(f, STORE_FLUSH, 0, 0, 0, NULL, 0), -EIO);
}

static void flush_when_a_write_with_fua_failed_then_never_succeeds_again(void **state)
{
    struct fixture *f = *state;
    struct iovec iov[1];

    assert_int_equal(open_store(f, SIZE), 0);
    segments(f->memory, iov, 1);
    begin(f, STORE_WRITE, STORE_FUA, 0, 64 << 10, iov, 1);
    last_entry(f)->opcode = IORING_OP_READ; /* behind the end: 0 bytes, which is -EIO */
    last_entry(f)->rw_flags = 0;
    last_entry(f)->off = 2 * SIZE;
    assert_int_equal(finish(f), -EIO);
    assert_int_equal(run(f, STORE_FLUSH, 0, 0, 0, NULL, 0), -EIO);
}

static void clear_falls_back(struct fixture *f, enum store_operation operation)
{
    struct iovec iov[16];
    uint64_t start = 5 * BLOCK, length = 777 * BLOCK;

    assert_int_equal(open_store(f, SIZE), 0);
    segments(f->memory, iov, 16);
    assert_int_equal(run(f, STORE_WRITE, 0, 0, SIZE, iov, 16), 0);
    begin(f, operation, STORE_FUA, start, length, NULL, 0);
    last_entry(f)->len = UNKNOWN_FALLOCATE;
    assert_int_equal(finish(f), 0);
    segments(f->back, iov, 16);
    assert_int_equal(run(f, STORE_READ, 0, 0, SIZE, iov, 16), 0);
    memset(f->memory + start, 0, length);
    assert_memory_equal(f->back, f->memory, SIZE);
    /* It is not tried again. */
    begin(f, operation, 0, 0, SIZE, NULL, 0);
    assert_int_equal(last_entry(f)->opcode, IORING_OP_WRITEV);
    assert_int_equal(finish(f), 0);
    assert_int_equal(run(f, STORE_READ, 0, 0, SIZE, iov, 16), 0);
    memset(f->memory, 0, SIZE);
    assert_memory_equal(f->back, f->memory, SIZE);
}

static void zero_when_file_system_refuses_then_zeros_are_written(void **state)
{
    clear_falls_back(*state, STORE_ZERO);
}

static void unmap_when_file_system_refuses_then_zeros_are_written(void **state)
{
    clear_falls_back(*state, STORE_UNMAP);
}

static void unmap_when_file_then_space_is_given_back(void **state)
{
    struct fixture *f = *state;
    struct iovec iov[16];
    struct stat full, empty;

    assert_int_equal(open_store(f, SIZE), 0);
    if (!f->store->can_unmap)
        skip();
    segments(f->memory, iov, 16);
    assert_int_equal(run(f, STORE_WRITE, STORE_FUA, 0, SIZE, iov, 16), 0);
    assert_int_equal(stat(f->path, &full), 0);
    assert_int_equal(run(f, STORE_UNMAP, STORE_FUA, 0, SIZE, NULL, 0), 0);
    assert_int_equal(stat(f->path, &empty), 0);
    assert_int_equal(empty.st_size, SIZE);
    assert_true(empty.st_blocks < full.st_blocks);
}

static void room_when_file_grows_then_whole_blocks_of_it_can_be_used(void **state)
{
    struct fixture *f = *state;
    struct iovec iov[16];

    assert_int_equal(open_store(f, SIZE), 0);
    assert_int_equal(store_room(f->store), SIZE);
    assert_int_equal(truncate(f->path, 2 * SIZE + 100), 0);
    assert_int_equal(store_room(f->store), 2 * SIZE);
    assert_int_equal(f->store->size, SIZE); /* nobody asked for it */
    f->store->size = 2 * SIZE;
    segments(f->memory, iov, 16);
    assert_int_equal(run(f, STORE_WRITE, 0, SIZE, SIZE, iov, 16), 0);
    segments(f->back, iov, 16);
    assert_int_equal(run(f, STORE_READ, 0, SIZE, SIZE, iov, 16), 0);
    assert_memory_equal(f->back, f->memory, SIZE);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(open_when_missing_and_size_given_then_sparse_file_of_that_size),
        CASE(open_when_empty_and_size_given_then_made_as_if_it_was_missing),
        CASE(open_when_missing_and_no_size_then_refused),
        CASE(open_when_missing_device_then_no_file_is_made),
        CASE(open_when_folder_then_refused),
        CASE(open_when_file_is_too_short_then_refused_and_kept),
        CASE(open_when_file_is_longer_then_size_given_counts),
        CASE(open_when_no_size_given_then_whole_blocks_of_the_file),
        CASE(open_when_open_already_then_refused_as_locked),
        CASE(read_when_kernel_reads_less_then_goes_on),
        CASE(write_when_kernel_writes_less_then_goes_on),
        CASE(read_when_file_was_cut_then_medium_error),
        CASE(write_when_kernel_refuses_then_medium_error),
        CASE(flush_when_one_failed_then_never_succeeds_again),
        CASE(flush_when_a_write_with_fua_failed_then_never_succeeds_again),
        CASE(zero_when_file_system_refuses_then_zeros_are_written),
        CASE(unmap_when_file_system_refuses_then_zeros_are_written),
        CASE(unmap_when_file_then_space_is_given_back),
        CASE(room_when_file_grows_then_whole_blocks_of_it_can_be_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
