/* A record that calls this node's copy the only current one waits until that copy is on stable storage.
 *
 * Replica and cluster are stand-ins. Not covered: the replica's own work (test_outdating), what the record says
 * (test_shared_group), that nothing goes on before it is durable (test_cluster). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "target/daemon/group.h"
#include "target/daemon/recorded.h"

enum { SELF = 1, OTHER = 2, SELF_BIT = 1 << SELF, OTHER_BIT = 1 << OTHER };

struct daemon halund;

static struct config config;
static struct config_group config_group = {.name = "g0", .nodes = {SELF, OTHER}, .node_count = 2};
static struct shared_group shared_group;
static struct shared_state shared = {.groups = &shared_group, .group_count = 1};
static unsigned flushes, ready;
static void (*flush_done)(void *, int, const char *);
static void *flush_context;

void replica_flush(struct replica *replica, void (*done)(void *, int, const char *), void *context)
{
    flushes++;
    flush_done = done;
    flush_context = context;
}

void cluster_record_ready(struct cluster_driver *driver)
{
    ready++;
    qb_loop_stop(halund.loop);
}

static void end_flush(void)
{
    flush_done(flush_context, 0, "");
}

/* Both copies are current, as the last record says; the other node is the owner. */
static int setup(void **state)
{
    config = (struct config){.groups = &config_group, .group_count = 1};
    halund = (struct daemon){.config = &config, .self = SELF, .loop = qb_loop_create()};
    halund.groups[0].replica = (struct replica *)&config; /* only handed on */
    shared_group = (struct shared_group){.current = SELF_BIT | OTHER_BIT, .owner = OTHER, .replicated = true};
    flushes = ready = 0;
    return !halund.loop || !recorded_may(&shared) || flushes;
}

static int teardown(void **state)
{
    qb_loop_destroy(halund.loop);
    return 0;
}

static void record_when_only_this_copy_is_current_then_kept_back_until_that_is_flushed(void **state)
{
    shared_group.current = SELF_BIT;
    assert_false(recorded_may(&shared));
    assert_false(recorded_may(&shared)); /* asked again for another reason */
    assert_int_equal(flushes, 1);
    end_flush();
    assert_int_equal(ready, 1);
    assert_true(recorded_may(&shared));
    assert_true(recorded_may(&shared)); /* the next one says nothing new */
    assert_int_equal(flushes, 1);
}

static void record_when_that_is_lost_and_agreed_on_anew_then_flushed_anew(void **state)
{
    shared_group.current = SELF_BIT;
    assert_false(recorded_may(&shared));
    shared_group.current |= OTHER_BIT;
    assert_true(recorded_may(&shared));
    shared_group.current = SELF_BIT;
    assert_false(recorded_may(&shared));
    end_flush(); /* began before */
    assert_false(recorded_may(&shared));
    assert_int_equal(flushes, 2);
    end_flush();
    assert_true(recorded_may(&shared));
}

static void record_when_it_says_nothing_of_this_copy_alone_then_never_kept_back(void **state)
{
    struct group *group = &halund.groups[0];

    for (unsigned i = 0; i < 4; i++) {
        setup(state);
        shared_group.current = SELF_BIT;
        switch (i) {
        case 0: shared_group.current = OTHER_BIT; break;
        case 1: group->replica = NULL; break;
        case 2: shared_group.replicated = false; break;
        case 3: /* an owner that flushed before it asked for that */
            group->outdate_busy = true;
            group->outdate_node = OTHER;
            break;
        }
        assert_true(recorded_may(&shared));
        assert_int_equal(flushes, 0);
        qb_loop_destroy(halund.loop);
    }
    setup(state);
}

/* What an earlier daemon of this node had acknowledged may be in the cache still. */
static void record_when_it_is_the_first_then_flushed(void **state)
{
    halund.groups[0].recorded_alone = false;
    shared_group.current = SELF_BIT;
    assert_false(recorded_may(&shared));
    assert_int_equal(flushes, 1);
}

static void record_when_the_owner_has_vanished_then_flushed_early_and_once_more(void **state)
{
    recorded_expect(&shared, 1 << 3);
    assert_int_equal(flushes, 0);
    recorded_expect(&shared, OTHER_BIT);
    recorded_expect(&shared, OTHER_BIT);
    assert_int_equal(flushes, 1);
    shared_group.current = SELF_BIT; /* the early one is under way still, and may have missed something */
    assert_false(recorded_may(&shared));
    assert_int_equal(flushes, 1);
    end_flush();
    assert_false(recorded_may(&shared));
    assert_int_equal(flushes, 2);
    end_flush();
    assert_true(recorded_may(&shared));
}

static void record_when_the_disk_hangs_then_kept_back_no_longer_than_the_limit(void **state)
{
    shared_group.current = SELF_BIT;
    assert_false(recorded_may(&shared));
    qb_loop_run(halund.loop); /* ended by cluster_record_ready() */
    assert_int_equal(ready, 1);
    assert_true(recorded_may(&shared));
    end_flush();
    assert_true(recorded_may(&shared));
    assert_int_equal(flushes, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(record_when_only_this_copy_is_current_then_kept_back_until_that_is_flushed),
        CASE(record_when_that_is_lost_and_agreed_on_anew_then_flushed_anew),
        CASE(record_when_it_says_nothing_of_this_copy_alone_then_never_kept_back),
        CASE(record_when_it_is_the_first_then_flushed),
        CASE(record_when_the_owner_has_vanished_then_flushed_early_and_once_more),
        CASE(record_when_the_disk_hangs_then_kept_back_no_longer_than_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
