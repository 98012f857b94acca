/* The activity log: its checksum, random histories against a plain model and against replay at
 * every moment a crash could come, torn blocks, wrapping, striping. Not covered: the order of I/O
 * around it (the engine's), logs larger than a few hundred blocks. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "replication/activity_log.h"
#include "replication/activity_log_format.h"
#include "target/base/bytes.h"

static uint64_t seed = 3;

static uint64_t rnd(uint64_t below)
{
    uint64_t z = seed += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return (z ^ z >> 31) % below;
}

static uint32_t table[AL_SLOTS_MAX];

static void checksum_of_an_initialised_block_is_the_known_one(void **state)
{
    uint8_t block[AL_BLOCK];

    al_block_initial(block);
    assert_int_equal(get_be32(block + 8), 0x709CC651);
    assert_int_equal(al_checksum(block), 0x709CC651);
}

static void position_in_a_striped_ring_goes_round_the_stripes(void **state)
{
    assert_int_equal(al_position(0, 3, 4), 0);
    assert_int_equal(al_position(1, 3, 4), 4);
    assert_int_equal(al_position(2, 3, 4), 8);
    assert_int_equal(al_position(3, 3, 4), 1);
    assert_int_equal(al_position(13, 3, 4), 4);
    assert_int_equal(al_slots_max(8), 6433);
    assert_int_equal(al_slots_max(1000), AL_SLOTS_MAX);
}

struct disk {
    uint8_t *ring;
    uint32_t stripes, stripe_blocks;
};

static void disk_new(struct disk *d, uint32_t stripes, uint32_t stripe_blocks)
{
    d->stripes = stripes;
    d->stripe_blocks = stripe_blocks;
    d->ring = malloc((size_t)stripes * stripe_blocks * AL_BLOCK);
    for (uint32_t i = 0; i < stripes * stripe_blocks; i++)
        al_block_initial(d->ring + (size_t)i * AL_BLOCK);
}

static struct activity_log *log_new(const struct disk *d, unsigned slots, uint32_t first)
{
    return al_init(malloc(al_memory(slots)), slots, d->stripes, d->stripe_blocks, first);
}

/* Builds and writes one transaction. */
static struct al_transaction commit(struct activity_log *al, struct disk *d)
{
    struct al_transaction t;
    uint8_t block[AL_BLOCK];

    al_transaction_build(al, block, &t);
    assert_true(al_in_flight(al));
    memcpy(d->ring + (size_t)t.position * AL_BLOCK, block, AL_BLOCK);
    al_transaction_done(al);
    return t;
}

static bool in_table(const struct al_replay *r, uint32_t extent)
{
    for (unsigned i = 0; i < r->slots; i++)
        if (table[i] == extent)
            return true;
    return false;
}

static void begin_of_a_cold_extent_waits_for_its_transaction(void **state)
{
    struct activity_log *al;
    struct disk d;
    uint64_t ticket = 0, second = 0;

    disk_new(&d, 1, 8);
    al = log_new(&d, 67, 0);
    assert_int_equal(al_begin(al, 5, 6, &ticket), AL_WAIT);
    assert_true(al_pending(al) && !al_durable(al, ticket) && !al_is_hot(al, 5));
    assert_int_equal(al_begin(al, 6, 6, &second), AL_WAIT); /* same batch */
    assert_int_equal(second, ticket);
    assert_int_equal(commit(al, &d).updates, 2);
    assert_true(al_durable(al, ticket) && al_is_hot(al, 5) && !al_pending(al));
    assert_int_equal(al_begin(al, 5, 6, &ticket), AL_READY);
    assert_int_equal(al_references(al, 6), 3);
    al_end(al, 5, 6);
    al_end(al, 6, 6);
    al_end(al, 5, 6);
    assert_int_equal(al_references(al, 6), 0);
    assert_true(al_is_hot(al, 6)); /* stays until evicted */
    free(al);
    free(d.ring);
}

static void begin_with_all_slots_referenced_is_busy_and_holds_nothing(void **state)
{
    struct activity_log *al;
    struct disk d;
    uint64_t ticket;

    disk_new(&d, 1, 8);
    al = log_new(&d, 67, 0);
    for (uint32_t i = 0; i < 67; i++)
        assert_int_equal(al_begin(al, i * 2, i * 2, &ticket), AL_WAIT);
    assert_int_equal(al_begin(al, 1000, 1000, &ticket), AL_BUSY);
    assert_int_equal(commit(al, &d).updates, 64);
    assert_int_equal(commit(al, &d).updates, 3);
    assert_int_equal(al_begin(al, 1000, 1000, &ticket), AL_BUSY);
    al_end(al, 8, 8);
    assert_int_equal(al_begin(al, 8, 9, &ticket), AL_BUSY); /* its own idle slot is not room */
    assert_int_equal(al_references(al, 8), 0);
    assert_int_equal(al_begin(al, 1000, 1000, &ticket), AL_WAIT);
    assert_false(al_is_hot(al, 8));
    assert_int_equal(al_references(al, 10), 1);
    free(al);
    free(d.ring);
}

static void eviction_takes_the_longest_idle_and_names_its_page(void **state)
{
    struct activity_log *al;
    struct al_transaction t;
    struct disk d;
    uint64_t ticket;

    disk_new(&d, 1, 8);
    al = log_new(&d, 67, 0);
    for (uint32_t i = 0; i < 67; i++) {
        al_begin(al, i * 100, i * 100, &ticket);
        while (al_pending(al))
            assert_int_equal(commit(al, &d).page_count, 0);
        al_end(al, i * 100, i * 100);
    }
    assert_int_equal(al_begin(al, 0, 0, &ticket), AL_READY); /* now 100 is the oldest */
    al_end(al, 0, 0);
    assert_int_equal(al_begin(al, 9999, 9999, &ticket), AL_WAIT);
    t = commit(al, &d);
    assert_int_equal(t.page_count, 1);
    assert_int_equal(t.pages[0], 100 / 32);
    assert_false(al_is_hot(al, 100));
    assert_true(al_is_hot(al, 0));
    al_end(al, 9999, 9999);
    free(al);
    free(d.ring);
}

static void given_up_wait_is_not_evicted_before_it_is_durable(void **state)
{
    struct activity_log *al;
    struct al_replay r;
    struct disk d;
    uint64_t ticket;

    disk_new(&d, 1, 8);
    al = log_new(&d, 67, 0);
    assert_int_equal(al_begin(al, 1, 1, &ticket), AL_WAIT);
    al_end(al, 1, 1);
    for (uint32_t i = 100; i < 166; i++)
        assert_int_equal(al_begin(al, i, i, &ticket), AL_WAIT);
    assert_int_equal(al_begin(al, 200, 200, &ticket), AL_BUSY);
    while (al_pending(al))
        commit(al, &d);
    assert_true(al_is_hot(al, 1));
    assert_int_equal(al_begin(al, 200, 200, &ticket), AL_WAIT);
    commit(al, &d);
    assert_int_equal(al_replay(d.ring, 1, 8, table, &r), 0);
    assert_true(!in_table(&r, 1) && in_table(&r, 200) && in_table(&r, 165));
    free(al);
    free(d.ring);
}

/* At every moment: what is replayed from disk contains every extent whose request was let go, and
 * nothing that was evicted durably. */
static void check_replay(struct activity_log *al, const struct disk *d, unsigned slots)
{
    struct al_replay r;

    assert_int_equal(al_replay(d->ring, d->stripes, d->stripe_blocks, table, &r), 0);
    for (unsigned i = 0; i < slots; i++) {
        uint32_t extent = al_slot_extent(al, i);

        if (extent != AL_NO_EXTENT && al_is_hot(al, extent))
            assert_int_equal(table[i], extent);
    }
    if (al_pending(al))
        return;
    for (unsigned i = 0; i < slots; i++)
        assert_int_equal(table[i], al_slot_extent(al, i));
}

static void histories_at_random_replay_to_the_active_set(void **state)
{
    static const struct {
        uint32_t stripes, blocks;
    } shapes[] = {{1, 8}, {2, 8}, {3, 4}, {4, 2}, {5, 7}, {8, 1}, {1, 32}};

    for (unsigned round = 0; round < 140; round++) {
        uint32_t stripes = shapes[round % 7].stripes, blocks = shapes[round % 7].blocks;
        unsigned most = al_slots_max(stripes * blocks), slots;
        bool power = !(stripes * blocks & (stripes * blocks - 1));
        uint32_t first = power && rnd(2) ? UINT32_MAX - (uint32_t)rnd(30) : (uint32_t)rnd(100);
        struct {
            uint32_t first, last;
            uint64_t ticket;
            bool used, waiting;
        } held[40] = {0};
        struct activity_log *al;
        struct disk d;

        slots = AL_SLOTS_MIN + (unsigned)rnd(round % 2 ? 60 : most - AL_SLOTS_MIN + 1);
        disk_new(&d, stripes, blocks);
        al = log_new(&d, slots, first);
        for (unsigned step = 0; step < 600; step++) {
            unsigned i = (unsigned)rnd(40);

            if (held[i].used) {
                al_end(al, held[i].first, held[i].last);
                held[i].used = false;
            } else {
                held[i].first = (uint32_t)rnd(rnd(4) ? 300 : 100000);
                held[i].last = held[i].first + (uint32_t)(rnd(5) ? 0 : rnd(AL_IO_EXTENTS));
                held[i].used = true;
                switch (al_begin(al, held[i].first, held[i].last, &held[i].ticket)) {
                case AL_BUSY:
                    held[i].used = false;
                    break;
                case AL_READY:
                    for (uint32_t e = held[i].first; e <= held[i].last; e++)
                        assert_true(al_is_hot(al, e));
                    break;
                case AL_WAIT:
                    assert_false(al_durable(al, held[i].ticket));
                    break;
                }
            }
            if (rnd(2) && al_pending(al)) {
                commit(al, &d);
                for (unsigned k = 0; k < 40; k++)
                    if (held[k].used && al_durable(al, held[k].ticket))
                        for (uint32_t e = held[k].first; e <= held[k].last; e++)
                            assert_true(al_is_hot(al, e));
            }
            if (step % 16 == 0)
                check_replay(al, &d, slots);
        }
        while (al_pending(al))
            commit(al, &d);
        check_replay(al, &d, slots);
        /* the power cut comes into the next transaction */
        if (al_used(al)) {
            struct al_transaction t;
            struct al_replay r;
            uint8_t block[AL_BLOCK], *at;

            al_transaction_build(al, block, &t);
            at = d.ring + (size_t)t.position * AL_BLOCK;
            memcpy(at, block, 512);
            at[20] ^= 1;
            assert_int_equal(al_replay(d.ring, stripes, blocks, table, &r), 0);
            assert_int_equal(r.invalid, 1);
            for (unsigned i = 0; i < slots; i++)
                assert_int_equal(table[i], al_slot_extent(al, i));
            /* but nowhere else, and not twice */
            if (r.updates > 2) {
                at = d.ring + (size_t)al_position(r.newest - 1, stripes, blocks) * AL_BLOCK;
                at[100] ^= 1;
                assert_int_equal(al_replay(d.ring, stripes, blocks, table, &r), -EBADMSG);
                memcpy(d.ring + (size_t)t.position * AL_BLOCK, block, AL_BLOCK);
                assert_int_equal(al_replay(d.ring, stripes, blocks, table, &r), -EBADMSG);
            }
        }
        free(al);
        free(d.ring);
    }
}

static void replay_of_a_fresh_ring_finds_nothing(void **state)
{
    struct al_replay r;
    struct disk d;

    disk_new(&d, 1, 8);
    assert_int_equal(al_replay(d.ring, 1, 8, table, &r), 0);
    assert_true(r.initial == 8 && !r.slots && !r.updates && !r.invalid);
    d.ring[AL_BLOCK] ^= 1;
    assert_int_equal(al_replay(d.ring, 1, 8, table, &r), 0);
    d.ring[5 * AL_BLOCK] ^= 1;
    assert_int_equal(al_replay(d.ring, 1, 8, table, &r), -EBADMSG);
    free(d.ring);
}

static void replay_of_a_hole_in_the_sequence_is_refused(void **state)
{
    struct activity_log *al;
    struct al_replay r;
    struct disk d;
    uint64_t ticket;

    disk_new(&d, 1, 8);
    al = log_new(&d, 67, 0);
    for (uint32_t i = 0; i < 5; i++) {
        al_begin(al, i, i, &ticket);
        commit(al, &d);
    }
    al_block_initial(d.ring + 2 * AL_BLOCK);
    assert_int_equal(al_replay(d.ring, 1, 8, table, &r), -EBADMSG);
    free(al);
    free(d.ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksum_of_an_initialised_block_is_the_known_one),
        cmocka_unit_test(position_in_a_striped_ring_goes_round_the_stripes),
        cmocka_unit_test(begin_of_a_cold_extent_waits_for_its_transaction),
        cmocka_unit_test(begin_with_all_slots_referenced_is_busy_and_holds_nothing),
        cmocka_unit_test(eviction_takes_the_longest_idle_and_names_its_page),
        cmocka_unit_test(given_up_wait_is_not_evicted_before_it_is_durable),
        cmocka_unit_test(histories_at_random_replay_to_the_active_set),
        cmocka_unit_test(replay_of_a_fresh_ring_finds_nothing),
        cmocka_unit_test(replay_of_a_hole_in_the_sequence_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
