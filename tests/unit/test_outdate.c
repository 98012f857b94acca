/* An outdating that could not be made durable is not acknowledged: it is tried again until it is.
 *
 * The replica is a stand-in that answers as it is told. Not covered: the replica's own work
 * (test_replica), when the cluster asks for it (test_shared_group). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "target/daemon/daemon.h"
#include "target/daemon/outdate.h"

struct daemon halund;

static struct {
    const int *answers; /* of replica_outdate(), one after the other */
    unsigned tried, done;
} rig;
static struct shared_group shared_group;
static struct shared_state shared_state = {.group_count = 1, .groups = &shared_group};
static struct config config;
static struct config_group config_group;

void replica_outdate(struct replica *replica,
                     void (*done)(void *context, int error, const char *why), void *context)
{
    int error = rig.answers[rig.tried++];

    done(context, error,
         error == -EBUSY ? "this node is Primary"
         : error         ? "metadata cannot be written"
                         : "");
}

const struct shared_state *cluster_state(const struct cluster_driver *cluster)
{
    return &shared_state;
}

static void on_done(void *context)
{
    (*(unsigned *)context)++;
    qb_loop_stop(halund.loop);
}

static void on_late(void *data)
{
    qb_loop_stop(halund.loop);
}

static void run_ms(unsigned ms)
{
    qb_loop_timer_handle late;

    qb_loop_timer_add(halund.loop, QB_LOOP_LOW, ms * 1000000ull, NULL, on_late, &late);
    qb_loop_run(halund.loop);
    qb_loop_timer_del(halund.loop, late);
}

static int setup(void **state)
{
    memset(&rig, 0, sizeof rig);
    config = (struct config){.groups = &config_group, .group_count = 1};
    strcpy(config_group.name, "g0");
    halund.config = &config;
    halund.self = 1;
    shared_group.current = 1u << 2;
    halund.loop = qb_loop_create();
    halund.groups[0].replica = (struct replica *)&rig; /* only handed on */
    return !halund.loop;
}

static int teardown(void **state)
{
    qb_loop_destroy(halund.loop);
    return 0;
}

static void outdate_when_it_fails_then_not_acknowledged_before_it_is_durable(void **state)
{
    static const int answers[] = {-EIO, -EBUSY, -EBUSY, 0};

    rig.answers = answers;
    outdate_own_copy(&halund.groups[0], on_done, &rig.done);
    assert_int_equal(rig.tried, 1);
    assert_int_equal(rig.done, 0);
    run_ms(10000); /* ended by on_done() */
    assert_int_equal(rig.tried, 4);
    assert_int_equal(rig.done, 1);
}

static void outdate_when_durable_at_once_then_acknowledged_at_once(void **state)
{
    static const int answers[] = {0};

    rig.answers = answers;
    outdate_own_copy(&halund.groups[0], on_done, &rig.done);
    assert_int_equal(rig.done, 1);
}

static void outdate_when_the_replica_is_closed_meanwhile_then_never_acknowledged(void **state)
{
    static const int answers[] = {-EBUSY, 0};

    rig.answers = answers;
    outdate_own_copy(&halund.groups[0], on_done, &rig.done);
    halund.groups[0].replica = NULL;
    shared_group.current |= 1u << 1; /* whatever is agreed: this node leaves */
    run_ms(600);
    assert_int_equal(rig.tried, 1);
    assert_int_equal(rig.done, 0);
}

static void outdate_when_current_again_meanwhile_then_not_marked_any_more(void **state)
{
    static const int answers[] = {-EBUSY, 0};

    rig.answers = answers;
    outdate_own_copy(&halund.groups[0], on_done, &rig.done);
    shared_group.current |= 1u << 1;
    run_ms(10000); /* ended by on_done() */
    assert_int_equal(rig.tried, 1);
    assert_int_equal(rig.done, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            outdate_when_it_fails_then_not_acknowledged_before_it_is_durable, setup, teardown),
        cmocka_unit_test_setup_teardown(outdate_when_durable_at_once_then_acknowledged_at_once,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            outdate_when_the_replica_is_closed_meanwhile_then_never_acknowledged, setup, teardown),
        cmocka_unit_test_setup_teardown(
            outdate_when_current_again_meanwhile_then_not_marked_any_more, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
