/* A replica is closed while an order is being carried out, at moments that the seed draws: the order is answered, nothing of it
 * is left behind (under the address sanitizer: nothing touches what was freed), and the copies are equal afterwards. The node
 * that was ordered is closed, or its peer.
 *
 * Not covered: orders behind the closing, which replica.h forbids; two orders at once beside it; failing disks (test_replica_fault). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replica_pair.h"
#include "replication/engine.h"

enum { ROUNDS = 4, LONGEST_MS = 150, IN_FLIGHT = 8 };

typedef void order(struct replica *replica, void (*done)(void *context, int error, const char *why), void *context);

static void plain_promote(struct replica *replica, void (*done)(void *context, int error, const char *why), void *context)
{
    replica_promote(replica, false, done, context);
}

static void grow(struct replica *replica, void (*done)(void *context, int error, const char *why), void *context)
{
    for (unsigned i = 0; i < 2; i++) {
        struct stat st;
        char path[200];

        rig_path(path, the_rig->directory, i, 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(truncate(path, st.st_size + (1 << 20)), 0);
    }
    replica_resize(replica, false, done, context);
}

static void reconnect(struct replica *replica, void (*done)(void *context, int error, const char *why), void *context)
{
    replica_disconnect(replica);
    replica_connect(replica, false);
    done(context, 0, "");
}

static void apart(struct replica *replica, void (*done)(void *context, int error, const char *why), void *context)
{
    replica_disconnect(replica);
    replica_new_generation(replica, done, context);
}

static const struct {
    const char *name;
    order *order;
    bool primary; /* node 0, which is ordered */
    bool written; /* writes are under way */
} orders[] = {
    {"promote", plain_promote, false, false},
    {"demote", replica_demote, true, true},
    {"outdate", replica_outdate, false, false},
    {"invalidate", replica_invalidate, false, false},
    {"invalidate the peer", replica_invalidate_peer, true, true},
    {"verify", replica_verify, true, true},
    {"resize", grow, true, true},
    {"flush", replica_flush, false, false},
    {"confirm equal", replica_confirm_equal, true, true},
    {"reconnect", reconnect, true, true},
    {"new generation", apart, false, false},
    {"force current", replica_force_current, false, false},
};

static void with_verify(struct config_group *group)
{
    group->verify_alg = 1;
}

/* Roles as the order needs them, both copies equal. */
static void begin(struct rig *rig, bool primary)
{
    WAIT(good(0) && good(1));
    ORDER(&rig->n[1], replica_demote(rig->n[1].replica, rig_answer, &rig->n[1]));
    if (primary)
        promote(&rig->n[0]);
    else
        ORDER(&rig->n[0], replica_demote(rig->n[0].replica, rig_answer, &rig->n[0]));
}

static void write_some(struct rig *rig, struct rig_io io[IN_FLIGHT])
{
    static uint8_t blocks[IN_FLIGHT][4096];

    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        fill(rig, blocks[i], sizeof blocks[i]);
        rig_submit(&rig->n[0], &io[i], 0, STORE_WRITE, 0, (uint64_t)((unsigned)rand_r(&rig->seed) % (SIZE / 4096)) * 4096,
                   blocks[i], sizeof blocks[i]);
    }
}

static void for_a_while(struct rig *rig)
{
    unsigned ms = (unsigned)rand_r(&rig->seed) % 2 ? (unsigned)rand_r(&rig->seed) % LONGEST_MS : 0;
    uint64_t end = monotonic_ns() + ms * UINT64_C(1000000);

    while (monotonic_ns() < end)
        rig_turn(rig->n, 2, 1);
}

static bool at_rest(unsigned i)
{
    struct replica_status s = rig_status(&the_rig->n[i]);

    return s.connection == CONN_CONNECTED && s.disk == DISK_UP_TO_DATE && s.peer_disk == DISK_UP_TO_DATE;
}

static void close_during(struct rig *rig, unsigned which, unsigned closed)
{
    struct rig_io io[IN_FLIGHT] = {0};
    struct rig_node ordered = {0}; /* takes the answer */
    struct rig_node *node = &rig->n[0];

    begin(rig, orders[which].primary);
    if (orders[which].written)
        write_some(rig, io);
    orders[which].order(node->replica, rig_answer, &ordered);
    for_a_while(rig);
    assert_int_equal(rig_close(&rig->n[closed]), 0);
    WAIT(ordered.answered);
    if (orders[which].written)
        for (unsigned i = 0; i < IN_FLIGHT; i++)
            WAIT(io[i].done);
    open_node(rig, closed);
    if (closed)
        replica_connect(node->replica, false); /* it may be StandAlone by the order */
    WAIT(at_rest(0) && at_rest(1));
    promote(node); /* what is new behind a growth is sent by a Primary (unequal.h) */
    WAIT(good(0) && good(1));
    assert_equal_copies(rig);
}

static void close_during_each(struct rig *rig, unsigned closed)
{
    rig->options.tune = with_verify;
    rig->options.keep_state = true;
    start_primary(rig);
    for (unsigned which = 0; which < sizeof orders / sizeof *orders; which++) {
        for (unsigned round = 0; round < ROUNDS; round++) {
            print_message("%s, %u\n", orders[which].name, round);
            close_during(rig, which, closed);
        }
    }
}

static void orders_when_the_node_is_closed_then_answered_and_nothing_is_left(void **state)
{
    close_during_each(*state, 0);
}

static void orders_when_the_peer_is_closed_then_answered_and_nothing_is_left(void **state)
{
    close_during_each(*state, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_CASE(orders_when_the_node_is_closed_then_answered_and_nothing_is_left),
        PAIR_CASE(orders_when_the_peer_is_closed_then_answered_and_nothing_is_left),
    };

    return cmocka_run_group_tests_name("replica_close", tests, NULL, NULL);
}
