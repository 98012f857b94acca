/* The contract of target/store/store.h, run over every store that stands on nothing else.
 *
 * Not covered: what survives a power cut (needs a machine that is cut off), and file systems other
 * than the one under the temporary directory. Block devices are covered only where
 * HALUN_TEST_DEVICE names one that may be overwritten. */
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
#include "target/base/payload.h"
#include "target/store/store.h"

enum { SIZE = 16 << 20, WAIT_NS = 1000000000 };

/* One kind of store under test. */
struct kind {
    const char *name;
    int (*open)(const struct store_options *options, struct store **store, char *why);
    bool file, direct, device, forgets;
    uint32_t block_size;
};

static const struct kind kinds[] = {
    {.name = "file", .open = file_store_open, .file = true, .block_size = 512},
    {.name = "direct file",
     .open = file_store_open,
     .file = true,
     .direct = true,
     .block_size = 4096},
    {.name = "device", .open = file_store_open, .file = true, .device = true, .block_size = 4096},
    {.name = "direct device",
     .open = file_store_open,
     .file = true,
     .direct = true,
     .device = true,
     .block_size = 4096},
    {.name = "memory", .open = memory_store_open, .block_size = 512},
    {.name = "null", .open = null_store_open, .forgets = true, .block_size = 4096},
};

struct fixture {
    const struct kind *kind;
    struct reactor reactor;
    struct payload_pool *pool;
    struct store *store;
    char folder[64], path[96];
    char why[256];
};

struct request {
    struct store_io io;
    bool submitting; /* inside store_submit() */
    unsigned finished;
    int error;
};

static void finished(struct store_io *io, int error)
{
    struct request *request = container_of(io, struct request, io);

    assert_false(request->submitting);
    assert_ptr_equal(reactor_self(), io->reactor);
    request->finished++;
    request->error = error;
}

static void begin(struct fixture *f, struct request *request)
{
    request->io.done = finished;
    request->submitting = true;
    store_submit(f->store, &request->io);
    request->submitting = false;
}

static int finish(struct fixture *f, struct request *request)
{
    while (!request->finished)
        reactor_turn(&f->reactor, WAIT_NS);
    assert_int_equal(request->finished, 1);
    return request->error;
}

static int run(struct fixture *f, enum store_operation operation, unsigned flags, uint64_t offset,
               uint64_t length, const struct iovec *iov, unsigned iov_count)
{
    struct request request = {
        .io = {.operation = operation,
               .flags = flags,
               .offset = offset,
               .length = length,
               .iov = iov,
               .iov_count = iov_count},
    };

    begin(f, &request);
    return finish(f, &request);
}

/* A payload full of a pattern that depends on the byte's place and `seed`. */
static void fill(struct payload *payload, unsigned seed)
{
    for (unsigned i = 0, at = 0; i < payload->count; i++)
        for (size_t k = 0; k < payload->iov[i].iov_len; k++, at++)
            ((uint8_t *)payload->iov[i].iov_base)[k] = (uint8_t)(at * 7 + at / 509 + seed);
}

static bool same(const struct payload *a, const struct payload *b)
{
    assert_int_equal(a->length, b->length);
    for (unsigned i = 0; i < a->count; i++)
        if (memcmp(a->iov[i].iov_base, b->iov[i].iov_base, a->iov[i].iov_len))
            return false;
    return true;
}

static bool zero(const struct payload *p)
{
    for (unsigned i = 0; i < p->count; i++)
        for (size_t k = 0; k < p->iov[i].iov_len; k++)
            if (((uint8_t *)p->iov[i].iov_base)[k])
                return false;
    return true;
}

static int setup(void **state)
{
    const struct kind *kind = *state;
    struct fixture *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");
    struct store_options options = {
        .path = f->path, .size = SIZE, .block_size = kind->block_size, .direct = kind->direct};

    f->kind = kind;
    snprintf(f->folder, sizeof f->folder, "%.40s/halun-store-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->folder));
    if (kind->device)
        snprintf(f->path, sizeof f->path, "%s", getenv("HALUN_TEST_DEVICE"));
    else
        snprintf(f->path, sizeof f->path, "%s/lu0", f->folder);
    assert_int_equal(reactor_init(&f->reactor, 0, 64), 0);
    f->pool = payload_pool_new(32 << 20);
    assert_non_null(f->pool);
    reactor_turn(&f->reactor, 0);
    if (kind->open(&options, &f->store, f->why))
        fail_msg("%s", f->why);
    *state = f;
    /* A device has what was left on it. */
    return kind->device ? run(f, STORE_ZERO, 0, 0, SIZE, NULL, 0) : 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    store_close(f->store);
    if (!f->kind->device)
        unlink(f->path);
    rmdir(f->folder);
    payload_pool_free(f->pool);
    reactor_done(&f->reactor);
    free(f);
    return 0;
}

static void open_when_given_options_then_describes_itself(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(f->store->size, SIZE);
    assert_int_equal(f->store->block_size, f->kind->block_size);
    assert_false(f->store->read_only);
    assert_int_equal(f->store->volatile_cache, f->kind->file);
    if (!f->kind->file)
        assert_true(f->store->can_unmap);
}

static void read_when_never_written_then_zeros(void **state)
{
    struct fixture *f = *state;
    struct payload in = {0};

    assert_int_equal(payload_alloc(f->pool, &in, 256 << 10), 0);
    fill(&in, 1);
    assert_int_equal(run(f, STORE_READ, 0, 1 << 20, in.length, in.iov, in.count), 0);
    assert_true(zero(&in));
    payload_free(f->pool, &in);
}

static void read_when_written_then_same_data_for_all_sizes(void **state)
{
    struct fixture *f = *state;
    const size_t blocks[] = {1, 2, 7, 8, 16, 17, 128, 129, 1000, 1024};

    for (unsigned i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        struct payload out = {0}, in = {0};
        size_t length = blocks[i] * f->kind->block_size;
        uint64_t offset = (i * 3 + 1) * (uint64_t)f->kind->block_size;

        assert_int_equal(payload_alloc(f->pool, &out, length), 0);
        assert_int_equal(payload_alloc(f->pool, &in, length), 0);
        fill(&out, i);
        fill(&in, i + 1);
        assert_int_equal(
            run(f, STORE_WRITE, i % 2 ? STORE_FUA : 0, offset, length, out.iov, out.count), 0);
        assert_int_equal(run(f, STORE_READ, 0, offset, length, in.iov, in.count), 0);
        assert_true(f->kind->forgets ? zero(&in) : same(&in, &out));
        payload_free(f->pool, &out);
        payload_free(f->pool, &in);
    }
}

static void submit_when_many_at_once_then_each_is_done_once(void **state)
{
    struct fixture *f = *state;
    static struct request requests[500]; /* more than the ring has entries */
    struct payload out = {0};
    uint32_t block = f->kind->block_size;

    memset(requests, 0, sizeof requests);
    assert_int_equal(payload_alloc(f->pool, &out, block), 0);
    fill(&out, 3);
    for (unsigned i = 0; i < 500; i++) {
        requests[i].io.operation = i % 5 == 4 ? STORE_FLUSH : STORE_WRITE;
        requests[i].io.offset = (uint64_t)i * block;
        requests[i].io.length = block;
        requests[i].io.iov = out.iov;
        requests[i].io.iov_count = out.count;
        begin(f, &requests[i]);
    }
    for (unsigned i = 0; i < 500; i++)
        assert_int_equal(finish(f, &requests[i]), 0);
    payload_free(f->pool, &out);
}

static void clear_then_only_its_range_is_zero(struct fixture *f, enum store_operation operation,
                                              unsigned flags)
{
    uint32_t block = f->kind->block_size;
    struct payload out = {0}, in = {0}, edge = {0};
    uint64_t start = 3 * block, length = (1 << 20) + 5 * block;

    assert_int_equal(payload_alloc(f->pool, &out, 2 << 20), 0);
    assert_int_equal(payload_alloc(f->pool, &in, length), 0);
    assert_int_equal(payload_alloc(f->pool, &edge, start), 0);
    fill(&out, 9);
    assert_int_equal(run(f, STORE_WRITE, 0, 0, out.length, out.iov, out.count), 0);
    assert_int_equal(run(f, operation, flags, start, length, NULL, 0), 0);
    fill(&in, 1);
    assert_int_equal(run(f, STORE_READ, 0, start, length, in.iov, in.count), 0);
    assert_true(zero(&in));
    if (!f->kind->forgets) {
        uint8_t before[3 * 4096], after[3 * 4096];

        assert_int_equal(run(f, STORE_READ, 0, 0, start, edge.iov, edge.count), 0);
        payload_read(&edge, 0, before, start);
        payload_read(&out, 0, after, start);
        assert_memory_equal(before, after, start);
        assert_int_equal(run(f, STORE_READ, 0, start + length, start, edge.iov, edge.count), 0);
        payload_read(&edge, 0, before, start);
        payload_read(&out, start + length, after, start);
        assert_memory_equal(before, after, start);
    }
    payload_free(f->pool, &out);
    payload_free(f->pool, &in);
    payload_free(f->pool, &edge);
}

static void zero_when_range_was_written_then_reads_zeros(void **state)
{
    clear_then_only_its_range_is_zero(*state, STORE_ZERO, 0);
    clear_then_only_its_range_is_zero(*state, STORE_ZERO, STORE_FUA);
}

static void unmap_when_range_was_written_then_reads_zeros(void **state)
{
    clear_then_only_its_range_is_zero(*state, STORE_UNMAP, 0);
}

static void clear_when_whole_store_then_reads_zeros(void **state)
{
    struct fixture *f = *state;
    struct payload p = {0};

    assert_int_equal(payload_alloc(f->pool, &p, 64 << 10), 0);
    fill(&p, 5);
    assert_int_equal(run(f, STORE_WRITE, 0, SIZE - p.length, p.length, p.iov, p.count), 0);
    assert_int_equal(run(f, STORE_UNMAP, 0, 0, SIZE, NULL, 0), 0);
    assert_int_equal(run(f, STORE_ZERO, 0, 0, SIZE, NULL, 0), 0);
    assert_int_equal(run(f, STORE_READ, 0, SIZE - p.length, p.length, p.iov, p.count), 0);
    assert_true(zero(&p));
    payload_free(f->pool, &p);
}

static void flush_when_nothing_was_written_then_done(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(run(f, STORE_FLUSH, 0, 0, 0, NULL, 0), 0);
}

static void submit_when_length_is_zero_then_done(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(run(f, STORE_READ, 0, 0, 0, NULL, 0), 0);
    assert_int_equal(run(f, STORE_WRITE, STORE_FUA, SIZE, 0, NULL, 0), 0);
    assert_int_equal(run(f, STORE_UNMAP, 0, 0, 0, NULL, 0), 0);
}

static void write_when_read_only_then_refused(void **state)
{
    struct fixture *f = *state;
    struct store_options options = {.path = f->path,
                                    .size = SIZE,
                                    .block_size = f->kind->block_size,
                                    .direct = f->kind->direct,
                                    .read_only = true};
    struct payload p = {0};

    store_close(f->store);
    f->store = NULL;
    if (f->kind->open(&options, &f->store, f->why))
        fail_msg("%s", f->why);
    assert_true(f->store->read_only);
    assert_int_equal(payload_alloc(f->pool, &p, 4096), 0);
    assert_int_equal(run(f, STORE_READ, 0, 0, 4096, p.iov, p.count), 0);
    assert_int_equal(run(f, STORE_WRITE, 0, 0, 4096, p.iov, p.count), -EROFS);
    assert_int_equal(run(f, STORE_ZERO, 0, 0, 4096, NULL, 0), -EROFS);
    assert_int_equal(run(f, STORE_UNMAP, 0, 0, 4096, NULL, 0), -EROFS);
    assert_int_equal(run(f, STORE_FLUSH, 0, 0, 0, NULL, 0), 0);
    payload_free(f->pool, &p);
}

static void open_when_options_are_wrong_then_says_why(void **state)
{
    struct fixture *f = *state;
    struct store *store = NULL;
    struct store_options odd_block = {.path = f->path, .size = SIZE, .block_size = 1024};
    struct store_options odd_size = {.path = f->path, .size = SIZE + 100, .block_size = 512};
    char why[256] = "";

    assert_int_equal(f->kind->open(&odd_block, &store, why), -EINVAL);
    assert_non_null(strstr(why, "512 or 4096"));
    assert_int_equal(f->kind->open(&odd_size, &store, why), -EINVAL);
    assert_non_null(strstr(why, "multiple of the block size"));
    assert_null(store);
}

#define CASE(test)                                                                                 \
    {                                                                                              \
#test, test, setup, teardown, NULL                                                         \
    }

int main(void)
{
    int failed = 0;

    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct CMUnitTest tests[] = {
            CASE(open_when_given_options_then_describes_itself),
            CASE(read_when_never_written_then_zeros),
            CASE(read_when_written_then_same_data_for_all_sizes),
            CASE(submit_when_many_at_once_then_each_is_done_once),
            CASE(zero_when_range_was_written_then_reads_zeros),
            CASE(unmap_when_range_was_written_then_reads_zeros),
            CASE(clear_when_whole_store_then_reads_zeros),
            CASE(flush_when_nothing_was_written_then_done),
            CASE(submit_when_length_is_zero_then_done),
            CASE(write_when_read_only_then_refused),
            CASE(open_when_options_are_wrong_then_says_why),
        };
        if (kinds[i].device && !getenv("HALUN_TEST_DEVICE"))
            continue;
        for (unsigned k = 0; k < sizeof tests / sizeof *tests; k++)
            tests[k].initial_state = (void *)&kinds[i];
        failed += cmocka_run_group_tests_name(kinds[i].name, tests, NULL, NULL);
    }
    return failed;
}
