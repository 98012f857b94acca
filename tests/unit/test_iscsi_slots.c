/* The memory of SCSI commands that the connections of a reactor share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "target/iscsi/conn.h"

static struct reactor reactor;
static struct iscsi_home home;
static struct conn conns[2];

static void join(struct conn *conn, unsigned count)
{
    memset(conn, 0, sizeof *conn);
    conn->home = &home;
    assert_int_equal(slots_reserve(&home, count), 0);
    conn->slot_count = count;
    conn->hash_size = 4;
    conn->hash = calloc(conn->hash_size, sizeof(struct slot *));
    assert_non_null(conn->hash);
    qb_list_init(&conn->queued);
}

static void leave(struct conn *conn)
{
    assert_int_equal(conn->slots_held, 0);
    slots_unreserve(&home, conn->slot_count);
    free(conn->hash);
}

static void release(struct slot *slot)
{
    slot->phase = SLOT_DONE;
    slot_release(slot);
}

static struct slot *take(struct conn *conn, uint32_t itt)
{
    struct slot *slot = slot_take(conn);

    slot->phase = SLOT_QUEUED;
    slot->itt = itt;
    slot_hash(slot);
    return slot;
}

static int set_up(void **state)
{
    memset(&home, 0, sizeof home);
    reactor.payloads = payload_pool_new(1 << 20);
    home.reactor = &reactor;
    qb_list_init(&home.free_slots);
    qb_list_init(&home.slot_chunks);
    return reactor.payloads ? 0 : -1;
}

static int tear_down(void **state)
{
    slots_free(&home);
    payload_pool_free(reactor.payloads);
    return 0;
}

/* One after the other, two connections use the same memory: that it stays in the cache is the point. */
static void test_last_used_first(void **state)
{
    struct slot *slots[3];

    join(&conns[0], 16);
    join(&conns[1], 16);
    for (unsigned i = 0; i < 3; i++)
        slots[i] = take(&conns[0], i);
    for (unsigned i = 0; i < 3; i++)
        release(slots[i]);
    for (unsigned i = 0; i < 100; i++) {
        struct slot *slot = take(&conns[i % 2], i);
        assert_ptr_equal(slot, slots[2]);
        assert_ptr_equal(slot->conn, &conns[i % 2]);
        release(slot);
    }
    assert_int_equal(home.slots_touched, 3);
    leave(&conns[0]);
    leave(&conns[1]);
}

/* What one takes is not missing to the other; all that were reserved are there. */
static void test_reserved(void **state)
{
    struct slot *slots[24];
    unsigned n = 0;

    join(&conns[0], 8);
    join(&conns[1], 16);
    for (; slot_available(&conns[0]); n++)
        slots[n] = take(&conns[0], n);
    assert_int_equal(n, 8);
    for (; slot_available(&conns[1]); n++)
        slots[n] = take(&conns[1], n);
    assert_int_equal(n, 24);
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = 0; j < i; j++)
            assert_ptr_not_equal(slots[i], slots[j]);
    release(slots[0]);
    assert_true(slot_available(&conns[0]));
    assert_false(slot_available(&conns[1]));
    while (--n)
        release(slots[n]);
    leave(&conns[0]);
    leave(&conns[1]);
}

/* Memory of connections that are gone serves the next ones, those that were never used as well. */
static void test_memory_is_kept(void **state)
{
    struct slot *slots[20];

    join(&conns[0], 10);
    slots[0] = take(&conns[0], 0);
    release(slots[0]);
    leave(&conns[0]);
    assert_int_equal(home.slots_made, 10);
    join(&conns[0], 10);
    assert_int_equal(home.slots_made, 10);
    join(&conns[1], 10);
    assert_int_equal(home.slots_made, 20);
    for (unsigned i = 0; i < 20; i++)
        slots[i] = take(&conns[i % 2], i);
    assert_int_equal(home.slots_touched, 20);
    for (unsigned i = 0; i < 20; i++)
        release(slots[i]);
    leave(&conns[0]);
    leave(&conns[1]);
}

static void test_tags(void **state)
{
    struct slot *slots[12];

    join(&conns[0], 12);
    for (unsigned i = 0; i < 12; i++)
        slots[i] = take(&conns[0], i * 3);
    for (unsigned i = 0; i < 36; i++)
        assert_ptr_equal(slot_find(&conns[0], i), i % 3 ? NULL : slots[i / 3]);
    for (unsigned i = 0; i < 12; i += 2)
        slot_unhash(slots[i]);
    for (unsigned i = 0; i < 12; i++)
        assert_ptr_equal(slot_find(&conns[0], i * 3), i % 2 ? slots[i] : NULL);
    for (unsigned i = 0; i < 12; i++)
        release(slots[i]);
    assert_null(slot_find(&conns[0], 3));
    leave(&conns[0]);
}

/* A target transfer tag is made of the number; FFFFFFFFh must never be one (RFC 7143 11.8.5). */
static void test_numbers(void **state)
{
    struct slot *slots[8];

    join(&conns[0], 8);
    for (unsigned i = 0; i < 8; i++) {
        home.slots_touched = 0x7ffc + i % 4 + (i / 4) * 0x8000;
        slots[i] = take(&conns[0], i);
        assert_int_not_equal((uint32_t)slots[i]->number << 16 | 0xffff, ISCSI_RESERVED_TAG);
    }
    for (unsigned i = 0; i < 8; i++)
        release(slots[i]);
    leave(&conns[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_last_used_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reserved, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tags, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_numbers, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
