#include "disk_rig.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/bytes.h"
#include "target/base/container.h"
#include "target/base/payload.h"

enum { WAIT_NS = 1000000000 };

/* Doubles of the command layer and the lanes. */

static struct rig *rig_of(struct task *task)
{
    return container_of(task, struct rig, task);
}

void task_complete(struct task *task, enum scsi_reason reason)
{
    struct rig *rig = rig_of(task);

    assert_false(rig->completed);
    assert_int_not_equal(reason, REASON_PENDING);
    rig->completed = true;
    task->scratch = (void *)(uintptr_t)reason;
}

enum scsi_reason field_in_cdb(struct task *task, uint16_t byte, int bit)
{
    task->field_valid = task->field_is_cdb = true;
    task->field_byte = byte;
    task->field_bit = (int8_t)bit;
    return REASON_INVALID_FIELD_IN_CDB;
}

enum scsi_reason field_in_parameters(struct task *task, uint16_t byte, int bit)
{
    task->field_valid = true;
    task->field_byte = byte;
    task->field_bit = (int8_t)bit;
    return REASON_INVALID_FIELD_IN_PARAMETERS;
}

void sense_information(struct task *task, uint64_t information)
{
    task->information_valid = true;
    task->information = information;
}

enum scsi_reason reason_from_errno(int error, bool write)
{
    switch (-error) {
    case ERESTART:
        return REASON_NOT_BEGUN;
    case ESHUTDOWN:
        return REASON_NOT_READY_TRANSITION;
    case EAGAIN:
        return REASON_BUSY;
    case ENOSPC:
        return REASON_SPACE_ALLOCATION_FAILED;
    default:
        return write ? REASON_MEDIUM_WRITE_ERROR : REASON_MEDIUM_READ_ERROR;
    }
}

enum scsi_reason task_answer(struct task *task, const void *data, uint32_t length,
                             uint32_t allocation)
{
    if (length > allocation)
        length = allocation;
    assert_int_equal(payload_alloc(task->reactor->payloads, &task->data_in, length), 0);
    payload_write(&task->data_in, 0, data, length);
    task->data_in_length = length;
    return REASON_GOOD;
}

static void (*grant)(struct task *task);

static void run_grant(struct post *post)
{
    struct task *task = container_of(post, struct task, post);

    if (rig_of(task)->abort_before_grant)
        task->aborted = true;
    grant(task);
}

void lane_exclusive_begin(struct task *task, void (*granted)(struct task *task))
{
    struct rig *rig = rig_of(task);

    assert_int_equal(rig->exclusive_begun, rig->exclusive_ended);
    assert_true(task->blocks > 0);
    rig->exclusive_begun++;
    grant = granted;
    task->post.run = run_grant;
    reactor_post(task->reactor, &task->post);
}

void lane_exclusive_end(struct task *task)
{
    struct rig *rig = rig_of(task);

    assert_int_equal(rig->exclusive_begun, rig->exclusive_ended + 1);
    rig->exclusive_ended++;
}

/* The store that is watched. */

static void spy_fails(struct post *post)
{
    struct store_io *io = container_of(post, struct store_io, post);

    io->done(io, io->error);
}

static void spy_submit(struct store *store, struct store_io *io)
{
    struct rig *rig = container_of(store, struct rig, spy);
    unsigned number = rig->submitted++;
    uint64_t sum = 0;

    rig->operations[io->operation]++;
    rig->with_fua += !!(io->flags & STORE_FUA);
    if (io->operation != STORE_FLUSH) {
        assert_true(io->length > 0);
        assert_true(io->offset + io->length <= store->size);
        assert_int_equal(io->offset % rig->lu->block_size, 0);
        assert_int_equal(io->length % rig->lu->block_size, 0);
    }
    if (io->operation == STORE_READ || io->operation == STORE_WRITE) {
        assert_in_range(io->iov_count, 1, LIMIT_SEGMENTS + 1);
        for (unsigned i = 0; i < io->iov_count; i++)
            sum += io->iov[i].iov_len;
        assert_int_equal(sum, io->length);
    }
    if (number == rig->abort_at)
        rig->task.aborted = true;
    if (number == rig->fail_at) {
        io->error = rig->fail_error;
        io->post.run = spy_fails;
        reactor_post(io->reactor, &io->post);
    } else {
        store_submit(rig->memory, io);
    }
}

static const struct store_operations spy_operations = {.name = "spy", .submit = spy_submit};

struct rig *rig_new(uint32_t block_size)
{
    struct rig *rig = aligned_alloc(alignof(struct rig), sizeof *rig);
    struct store_options options = {.size = RIG_BYTES, .block_size = block_size};
    char why[256];

    assert_non_null(rig);
    memset(rig, 0, sizeof *rig);
    assert_int_equal(reactor_init(&rig->reactor, 0, 64), 0);
    rig->reactor.payloads = payload_pool_new(32 << 20);
    assert_non_null(rig->reactor.payloads);
    reactor_turn(&rig->reactor, 0);
    assert_int_equal(memory_store_open(&options, &rig->memory, why), 0);
    rig->spy = *rig->memory;
    rig->spy.operations = &spy_operations;
    rig->spy.volatile_cache = true;
    rig->lu = device_new();
    assert_non_null(rig->lu);
    rig->lu->block_size = block_size;
    rig->lu->blocks = RIG_BYTES / block_size;
    rig->lu->config.thin = true;
    rig->lu->config.physical_block = 4096;
    rig->lu->store = &rig->spy;
    rig->lane = &rig->lu->lanes[0];
    rig->lane->lu = rig->lu;
    rig->lane->reactor = &rig->reactor;
    rig->lane->group = &rig->group;
    rig->lane->mode.wce = 1;
    rig_forget(rig);
    return rig;
}

void rig_free(struct rig *rig)
{
    payload_free(rig->reactor.payloads, &rig->hold);
    store_close(rig->memory);
    payload_pool_free(rig->reactor.payloads);
    reactor_done(&rig->reactor);
    free(rig->lu);
    free(rig->in);
    free(rig);
}

void rig_forget(struct rig *rig)
{
    rig->submitted = rig->with_fua = 0;
    memset(rig->operations, 0, sizeof rig->operations);
    rig->fail_at = rig->abort_at = RIG_NEVER;
    rig->fail_error = -EIO;
    rig->abort_before_grant = false;
    rig->exclusive_begun = rig->exclusive_ended = 0;
}

const struct scsi_command *rig_row(uint8_t opcode, uint8_t byte1)
{
    for (unsigned i = 0; i < disk_commands.count; i++) {
        const struct scsi_command *row = &disk_commands.rows[i];
        if (row->opcode == opcode &&
            (row->service_action == COMMAND_NO_ACTION || row->service_action == (byte1 & 0x1f)))
            return row;
    }
    fail_msg("no row for opcode %02x", opcode);
    return NULL;
}

/* What the command layer does before a handler runs; GOOD or why not. */
static enum scsi_reason prepare(struct rig *rig, const void *out, size_t out_length)
{
    struct task *task = &rig->task;
    const struct scsi_command *row = task->command;
    uint64_t length;
    enum scsi_reason reason = REASON_GOOD;

    for (unsigned i = 0; i < row->length; i++) {
        if (task->cdb[i] & ~row->usage[i]) {
            rig->stray = true;
            return REASON_INVALID_FIELD_IN_CDB;
        }
    }
    task->lba = get_be(task->cdb + row->lba.offset, row->lba.size);
    length = get_be(task->cdb + row->count.offset, row->count.size);
    if (row->flags & COMMAND_BLOCKS) {
        task->blocks = length;
        length *= rig->lu->block_size;
    }
    if (row->data == DATA_NONE)
        length = 0;
    if (row->decode)
        reason = row->decode(task, &length);
    if (reason != REASON_GOOD)
        return reason;
    if (row->lba.size &&
        (task->lba > rig->lu->blocks || task->blocks > rig->lu->blocks - task->lba))
        return REASON_LBA_OUT_OF_RANGE;
    if (row->flags & COMMAND_MEDIA && length > LIMIT_TRANSFER)
        return REASON_INVALID_FIELD_IN_CDB;
    task->data_wanted = (uint32_t)length;
    if (row->data == DATA_OUT) {
        if (length > out_length)
            length = out_length;
        assert_int_equal(payload_alloc(rig->reactor.payloads, &task->data_out, length), 0);
        if (length)
            payload_write(&task->data_out, 0, out, length);
    }
    return REASON_GOOD;
}

enum scsi_reason rig_run(struct rig *rig, const uint8_t *cdb, const void *out, size_t out_length,
                         uint32_t expected_in)
{
    struct task *task = &rig->task;
    const struct scsi_command *row = rig_row(cdb[0], cdb[1]);
    unsigned free_before = payload_pool_free_permille(rig->reactor.payloads);
    enum scsi_reason reason;

    memset(task, 0, sizeof *task);
    memset(task->iov, 0xaa, sizeof task->iov);
    memcpy(task->cdb, cdb, row->length);
    task->cdb_length = row->length;
    task->reactor = &rig->reactor;
    task->lu = rig->lu;
    task->lane = rig->lane;
    task->command = row;
    task->expected_out = (uint32_t)out_length;
    task->expected_in = expected_in;
    rig->completed = rig->stray = false;
    free(rig->in);
    rig->in = NULL;
    rig->in_length = 0;
    reason = prepare(rig, out, out_length);
    if (reason == REASON_GOOD)
        reason = row->run(task);
    if (reason == REASON_PENDING) {
        while (!rig->completed)
            reactor_turn(&rig->reactor, WAIT_NS);
        reason = (enum scsi_reason)(uintptr_t)task->scratch;
    }
    assert_int_equal(rig->exclusive_begun, rig->exclusive_ended);
    rig->in_length = task->data_in_length;
    if (rig->in_length) {
        assert_true(rig->in_length <= task->data_in.length);
        rig->in = malloc(rig->in_length);
        payload_read(&task->data_in, 0, rig->in, rig->in_length);
    }
    payload_free(rig->reactor.payloads, &task->data_in);
    payload_free(rig->reactor.payloads, &task->data_out);
    assert_int_equal(payload_pool_free_permille(rig->reactor.payloads), free_before);
    return reason;
}

static void put_be(uint8_t *p, unsigned size, uint64_t value)
{
    while (size--) {
        p[size] = (uint8_t)value;
        value >>= 8;
    }
}

enum scsi_reason rig_blocks(struct rig *rig, uint8_t opcode, uint8_t flags, uint64_t lba,
                            uint64_t count, const void *out, size_t out_length,
                            uint32_t expected_in)
{
    const struct scsi_command *row = rig_row(opcode, flags);
    uint8_t cdb[LIMIT_CDB] = {opcode};

    put_be(cdb + row->lba.offset, row->lba.size, lba);
    put_be(cdb + row->count.offset, row->count.size, count);
    cdb[1] |= flags;
    return rig_run(rig, cdb, out, out_length, expected_in);
}

/* The medium without the unit. */

struct direct {
    struct store_io io;
    bool finished;
};

static void direct_done(struct store_io *io, int error)
{
    assert_int_equal(error, 0);
    container_of(io, struct direct, io)->finished = true;
}

static void direct(struct rig *rig, enum store_operation operation, uint64_t offset, void *data,
                   size_t length)
{
    struct iovec iov = {data, length};
    struct direct d = {.io = {.operation = operation,
                              .offset = offset,
                              .length = length,
                              .iov = &iov,
                              .iov_count = 1,
                              .done = direct_done}};

    store_submit(rig->memory, &d.io);
    while (!d.finished)
        reactor_turn(&rig->reactor, WAIT_NS);
}

void rig_poke(struct rig *rig, uint64_t offset, const void *data, size_t length)
{
    direct(rig, STORE_WRITE, offset, (void *)data, length);
}

void rig_peek(struct rig *rig, uint64_t offset, void *data, size_t length)
{
    direct(rig, STORE_READ, offset, data, length);
}

void rig_pattern(uint8_t *data, size_t length, unsigned seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

    for (size_t i = 0; i < length; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        data[i] = (uint8_t)(x | 1);
    }
}
