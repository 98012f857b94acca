/* Forwarded commands through the real client, TCP and the real server, with real lanes, checks and
 * rows on both sides (peer_rig.h): data, answers, what a broken link leaves behind.
 *
 * Not covered: malformed frames (test_peer_frames.c); a node that pauses and comes back (cluster
 * tests); the lease. */
#include "peer_rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/threads.h"
#include "target/transport/peer.h"

enum { READ = 0x88, WRITE = 0x8a, CAW = 0x89, MANY = 24 };

static struct nexus *nexus(unsigned reactor, unsigned at)
{
    return &rig->nexuses[reactor][at];
}

static void data_of_many_sizes_when_forwarded_then_comes_back_intact(void **state)
{
    static const uint32_t sizes[] = {512,    4096,    8192,    8704,    65536,         66048,
                                     131072, 1 << 20, 3145728, 4193792, LIMIT_TRANSFER};

    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        rig_write(nexus(i % 2, 0), i, sizes[i], i);
        rig_check(nexus((i + 1) % 2, 1), i, sizes[i], i);
    }
}

/* Large answers: one sendmsg carries several, and the first has been answered, and its slot has got
 * the next command, before the last has left. */
static void slots_when_used_again_and_again_then_commands_do_not_mix(void **state)
{
    enum { LENGTH = 1 << 20, ROUNDS = 10 };
    struct rig_io *ios[MANY] = {NULL};
    uint8_t *want = malloc(LENGTH);

    for (unsigned i = 0; i < MANY; i++)
        rig_write(nexus(0, 0), i * (LENGTH / RIG_BLOCK), LENGTH, 100 + i);
    for (unsigned n = 0; n < MANY * (ROUNDS + 1); n++) {
        unsigned i = n % MANY;
        if (ios[i]) {
            rig_pattern(want, LENGTH, 100 + i);
            assert_int_equal(rig_codes(rig_end(ios[i])), 0);
            assert_memory_equal(ios[i]->data, want, LENGTH);
            rig_free(ios[i]);
        }
        if (n < MANY * ROUNDS) {
            ios[i] = rig_new(nexus(0, n % 2), READ, i * (LENGTH / RIG_BLOCK), LENGTH / RIG_BLOCK,
                             LENGTH);
            rig_start(ios[i]);
        }
    }
    free(want);
    assert_true(rig_now(&relay.links) <= RIG_REACTORS); /* none was closed */
}

static void short_room_when_reading_then_the_rest_is_residual(void **state)
{
    struct rig_io *io = rig_new(nexus(0, 0), READ, 0, 16, 700);

    rig_start(io);
    assert_int_equal(rig_codes(rig_end(io)), 0);
    assert_int_equal(io->came, 700);
    assert_int_equal(io->task.data_wanted, 16 * RIG_BLOCK);
    rig_free(io);
}

static void owner_when_its_medium_fails_then_sense_comes_through(void **state)
{
    struct rig_io *io = rig_new(nexus(0, 0), READ, 0, 1, RIG_BLOCK);

    spy_fail(-EIO);
    rig_start(io);
    assert_int_equal(rig_codes(rig_end(io)), 0x02031100);
    assert_int_equal(io->came, 0);
    rig_free(io);

    atomic_store(&rig->units[RIG_FAR]->blocks, 8);
    io = rig_new(nexus(0, 0), WRITE, 8, 1, RIG_BLOCK);
    rig_start(io);
    assert_int_equal(rig_codes(rig_end(io)), 0x02052100);
    atomic_store(&rig->units[RIG_FAR]->blocks, RIG_BYTES / RIG_BLOCK);
    rig_free(io);
}

/* Every gate but EXECUTE. */
static void command_when_the_other_is_not_the_owner_then_held_until_it_is(void **state)
{
    static const enum gate gates[] = {GATE_HOLD, GATE_FORWARD, GATE_STANDBY, GATE_UNAVAILABLE};

    for (unsigned i = 0; i < sizeof gates / sizeof gates[0]; i++) {
        struct rig_io *io = rig_new(nexus(0, 0), CAW, 0, 1, 2 * RIG_BLOCK);
        unsigned bounced = rig_now(&relay.bounced), seen = rig_now(&spy.seen);

        rig_write(nexus(0, 0), 0, RIG_BLOCK, 0);
        seen++;
        rig_pattern(io->data, RIG_BLOCK, 0);
        memset(io->data + RIG_BLOCK, 0x77, RIG_BLOCK);
        rig_gate(RIG_FAR, gates[i], 1);
        rig_start(io);
        rig_wait(&relay.bounced, bounced + 2);
        assert_int_equal(rig_now(&io->done), 0);
        assert_int_equal(rig_now(&spy.seen), seen);
        rig_gate(RIG_FAR, GATE_EXECUTE, 1);
        assert_int_equal(rig_codes(rig_end(io)), 0);
        assert_int_equal(rig_now(&spy.seen), seen + 2); /* read, write: once */
        rig_free(io);
    }
}

/* It was admitted, and refused before anything was written: it is not held there, whose drains would wait. */
static void write_when_the_owner_has_not_begun_it_then_sent_back_and_tried_again(void **state)
{
    struct rig_io *io = rig_new(nexus(0, 0), WRITE, 0, 1, RIG_BLOCK);
    unsigned bounced = rig_now(&relay.bounced), seen = rig_now(&spy.seen);

    rig_pattern(io->data, RIG_BLOCK, 77);
    spy_fail(-ERESTART);
    rig_start(io);
    assert_int_equal(rig_codes(rig_end(io)), 0);
    assert_int_equal(rig_now(&relay.bounced), bounced + 1);
    assert_int_equal(rig_now(&spy.seen), seen + 2);
    rig_check(nexus(0, 0), 0, RIG_BLOCK, 77);
    rig_free(io);
}

static void abort_when_the_owner_runs_it_then_ends_after_the_medium(void **state)
{
    for (unsigned silent = 0; silent < 2; silent++) {
        struct rig_io *io = rig_new(nexus(1, 0), WRITE, 0, 8, 8 * RIG_BLOCK);
        unsigned held = rig_now(&spy.held), aborts = rig_now(&relay.frames[TO_OWNER][PEER_ABORT]);

        spy_hold(true);
        rig_start(io);
        rig_wait(&spy.held, held + 1);
        rig_abort(io, silent);
        rig_abort(io, silent); /* twice is once */
        rig_wait(&relay.frames[TO_OWNER][PEER_ABORT], aborts + 1);
        assert_int_equal(rig_now(&io->done), 0);
        spy_release();
        assert_int_equal(rig_codes(rig_end(io)), 0x40000000);
        assert_int_equal(io->silent, silent);
        rig_free(io);
    }
}

/* The frame of the command is still on its way when it is aborted, and its link is cut. */
static void abort_when_the_command_is_on_its_way_then_ends_with_the_link(void **state)
{
    struct rig_io *io = rig_new(nexus(1, 0), WRITE, 0, 8192, LIMIT_TRANSFER);
    unsigned stalls = rig_now(&relay.stalls);

    relay_stall_at(TO_OWNER, PEER_COMMAND, 1 << 20);
    rig_start(io);
    rig_wait(&relay.stalls, stalls + 1);
    rig_abort(io, false);
    assert_int_equal(rig_now(&io->done), 0);
    relay_cut();
    relay_go();
    assert_int_equal(rig_codes(rig_end(io)), 0x40000000);
    rig_free(io);
}

/* They may have been done, and others may have written over that: only their initiator knows. */
static void link_when_cut_under_writes_then_they_are_not_repeated(void **state)
{
    struct rig_io *ios[MANY];
    unsigned held = rig_now(&spy.held), seen = rig_now(&spy.seen);

    spy_hold(true);
    for (unsigned i = 0; i < MANY; i++) {
        ios[i] = rig_new(nexus(i % 2, 0), WRITE, i * 16, 16, 16 * RIG_BLOCK);
        rig_pattern(ios[i]->data, 16 * RIG_BLOCK, 500 + i);
        rig_start(ios[i]);
    }
    rig_wait(&spy.held, held + MANY);
    relay_cut();
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(rig_codes(rig_end(ios[i])), 0x020b0000);
        rig_free(ios[i]);
    }
    spy_release();
    assert_int_equal(rig_now(&spy.seen), seen + MANY);
    rig_write(nexus(0, 0), 16384, RIG_BLOCK, 499); /* there are links again */
    rig_check(nexus(1, 0), 16384, RIG_BLOCK, 499);
}

static void link_when_cut_under_compare_and_write_then_it_is_not_repeated(void **state)
{
    struct rig_io *io = rig_new(nexus(0, 0), CAW, 0, 1, 2 * RIG_BLOCK);
    unsigned held = rig_now(&spy.held);

    spy_hold(true);
    rig_start(io);
    rig_wait(&spy.held, held + 1);
    relay_cut();
    assert_int_equal(rig_codes(rig_end(io)), 0x020b0000);
    rig_free(io);
    spy_release();
}

/* At every kind of place: in the command's data, before its response, in the response's data. */
static void link_when_cut_inside_a_frame_then_data_is_right_in_the_end(void **state)
{
    static const struct {
        enum rig_direction direction;
        enum peer_type type;
        uint32_t bytes;
    } places[] = {
        {TO_OWNER, PEER_COMMAND, 0},       {TO_OWNER, PEER_COMMAND, 5000},
        {TO_OWNER, PEER_COMMAND, 700000},  {FROM_OWNER, PEER_RESPONSE, 0},
        {FROM_OWNER, PEER_RESPONSE, 5000}, {FROM_OWNER, PEER_RESPONSE, 700000},
        {TO_OWNER, PEER_NEXUS, 0},         {TO_OWNER, PEER_HELLO, 0},
        {FROM_OWNER, PEER_HELLO, 0},
    };

    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        unsigned cuts = rig_now(&relay.cuts);
        relay_cut_at(places[i].direction, places[i].type, places[i].bytes);
        if (places[i].type == PEER_HELLO || places[i].type == PEER_NEXUS) {
            relay_cut();
            cuts++;
        }
        rig_write(nexus(0, 0), 64, 1 << 20, 700 + i);
        /* The response of the write may be the place. */
        rig_check(nexus(0, 0), 64, 1 << 20, 700 + i);
        rig_wait(&relay.cuts, cuts + 1);
    }
    relay_cut_at(FROM_OWNER, PEER_RESPONSE, 700000);
    rig_check(nexus(0, 0), 64, 1 << 20, 700 + sizeof places / sizeof places[0] - 1);
}

static void owner_when_it_ends_a_command_silently_then_the_sender_decides(void **state)
{
    struct rig_io *write = rig_new(nexus(0, 0), WRITE, 0, 8, 8 * RIG_BLOCK);
    struct rig_io *caw = rig_new(nexus(0, 0), CAW, 100, 1, 2 * RIG_BLOCK);
    unsigned held = rig_now(&spy.held), drained = 0;

    rig_pattern(write->data, 8 * RIG_BLOCK, 900);
    spy_hold(true);
    rig_start(write);
    rig_start(caw);
    rig_wait(&spy.held, held + 2);
    rig_reset_far(&drained);
    assert_int_equal(rig_now(&drained), 0); /* what runs on the medium is waited for */
    spy_release();
    rig_wait(&drained, 1);
    /* Aborts have no answer here: no TASK ABORTED, which nobody may see without TAS. */
    assert_int_equal(rig_codes(rig_end(write)), 0x020b0000);
    assert_int_equal(rig_codes(rig_end(caw)), 0x020b0000);
    rig_free(write);
    rig_free(caw);
    rig_check(nexus(0, 0), 0, 8 * RIG_BLOCK, 900);
}

/* The owner aborts a command whose data still flows into its buffer. */
static void owner_when_it_aborts_in_the_data_phase_then_the_buffer_stays(void **state)
{
    struct rig_io *io = rig_new(nexus(0, 0), WRITE, 0, 8192, LIMIT_TRANSFER);
    unsigned stalls = rig_now(&relay.stalls), drained = 0;

    rig_pattern(io->data, LIMIT_TRANSFER, 950);
    relay_stall_at(TO_OWNER, PEER_COMMAND, 1 << 20);
    rig_start(io);
    rig_wait(&relay.stalls, stalls + 1);
    rig_reset_far(&drained);
    rig_wait(&drained, 1);
    /* Through another link: would get the buffer if it were free. */
    relay_go();
    rig_write(nexus(1, 0), 16384, LIMIT_TRANSFER, 951);
    assert_int_equal(rig_codes(rig_end(io)), 0x020b0000);
    rig_free(io);
    rig_write(nexus(0, 0), 0, LIMIT_TRANSFER, 950);
    rig_check(nexus(0, 0), 0, LIMIT_TRANSFER, 950);
    rig_check(nexus(0, 0), 16384, LIMIT_TRANSFER, 951);
}

static void leave(void *context)
{
    struct nexus *one = context;

    peer_nexus_gone(one);
    nexus_remove_proxy(one);
    assert_int_equal(nexus_add_proxy(one), 0);
}

static void nexus_when_gone_then_its_proxy_goes_and_the_next_gets_its_own(void **state)
{
    unsigned declared, gone = rig_now(&relay.frames[TO_OWNER][PEER_NEXUS_GONE]), proxies;
    struct nexus *one = nexus(0, 1);

    for (unsigned i = 0; i < 4; i++)
        rig_check(nexus(i / 2, i % 2), 16384, RIG_BLOCK, 951);
    assert_int_equal(proxies = rig_proxies(), 4);
    declared = rig_now(&relay.frames[TO_OWNER][PEER_NEXUS]);
    rig_check(one, 16384, RIG_BLOCK, 951);
    assert_int_equal(rig_now(&relay.frames[TO_OWNER][PEER_NEXUS]), declared);

    /* The same memory is another initiator's now. */
    rig_on(one->reactor, leave, one);
    identity_from_iscsi(&one->identity, "iqn.2026-11.example:other", (const uint8_t[6]){0x40}, 1);
    rig_wait(&relay.frames[TO_OWNER][PEER_NEXUS_GONE], gone + 1);
    rig_check(one, 16384, RIG_BLOCK, 951);
    assert_int_equal(rig_now(&relay.frames[TO_OWNER][PEER_NEXUS]), declared + 1);
    assert_int_equal(rig_proxies(), proxies);
}

static void reservation_when_only_the_owner_knows_it_then_it_is_obeyed(void **state)
{
    struct shared_registrant registrant = {.nexus = nexus(0, 1)->identity, .key = 1};
    struct shared_lu shared = {.pr_type = PR_WRITE_EXCLUSIVE,
                               .pr_holder = 0,
                               .registrant_count = 1,
                               .registrants = &registrant,
                               .epoch = 1};
    struct rig_io *io = rig_new(nexus(0, 0), WRITE, 0, 1, RIG_BLOCK);
    struct shared_lu nobody = {.pr_holder = -1, .epoch = 2};

    rig_check(nexus(1, 1), 16384, RIG_BLOCK, 951); /* its proxy was there before the reservation */
    rig_reserve(&shared);
    rig_start(io);
    assert_int_equal(rig_codes(rig_end(io)), 0x18000000);
    rig_free(io);
    io = rig_new(nexus(1, 1), WRITE, 0, 1, RIG_BLOCK);
    rig_start(io);
    assert_int_equal(rig_codes(rig_end(io)), 0x18000000);
    rig_free(io);
    rig_check(nexus(0, 0), 16384, RIG_BLOCK, 951);
    rig_write(nexus(0, 1), 0, RIG_BLOCK, 960);
    rig_reserve(&nobody);
    rig_write(nexus(0, 0), 0, RIG_BLOCK, 961);
}

static void link_when_silent_then_closed_and_commands_go_on_over_a_new_one(void **state)
{
    struct rig_io *io = rig_new(nexus(0, 0), READ, 16384, 1, RIG_BLOCK);
    unsigned stalls = rig_now(&relay.stalls), links = rig_now(&relay.links);

    relay_stall_at(FROM_OWNER, PEER_RESPONSE, 0);
    rig_start(io);
    rig_wait(&relay.stalls, stalls + 1);
    rig_wait(&relay.links, links + 1); /* given up, connected again */
    relay_go();
    assert_int_equal(rig_codes(rig_end(io)), 0);
    rig_free(io);
}

static void idle_link_when_pinged_then_stays(void **state)
{
    unsigned pongs, links;

    rig_check(nexus(0, 0), 16384, RIG_BLOCK, 951);
    rig_check(nexus(1, 0), 16384, RIG_BLOCK, 951);
    links = rig_now(&relay.links);
    pongs = rig_now(&relay.frames[FROM_OWNER][PEER_PONG]);
    rig_wait(&relay.frames[FROM_OWNER][PEER_PONG], pongs + 2);
    rig_check(nexus(0, 0), 16384, RIG_BLOCK, 951);
    assert_int_equal(rig_now(&relay.links), links);
}

static void lose_node(void *unused)
{
    peer_node_lost(2);
}

static void node_when_lost_then_links_end_and_may_begin_again(void **state)
{
    struct rig_io *io = rig_new(nexus(0, 0), WRITE, 0, 8, 8 * RIG_BLOCK);
    unsigned held = rig_now(&spy.held), links = rig_now(&relay.links);

    spy_hold(true);
    rig_start(io);
    rig_wait(&spy.held, held + 1);
    rig_on_control(lose_node, NULL);
    assert_int_equal(rig_codes(rig_end(io)), 0x020b0000);
    rig_free(io);
    spy_release();
    rig_write(nexus(0, 0), 0, RIG_BLOCK, 952);
    rig_wait(&relay.links, links + 1);
}

/* Everything at once, by dice. Every command ends once, and as something that is allowed to happen.
 */
static void storm_when_over_then_every_command_ended_once(void **state)
{
    enum { STEPS = 1500 };
    static const uint8_t opcodes[] = {READ, WRITE, CAW};
    struct rig_io *ios[MANY] = {NULL};
    unsigned seed = 7, ends[3] = {0};

    for (unsigned step = 0; step < STEPS + MANY; step++) {
        unsigned at = step % MANY, dice = (seed = seed * 1103515245u + 12345u) >> 16;
        uint32_t blocks = 1 + dice % 300, length;
        uint8_t opcode = opcodes[dice % 3];

        if (step < STEPS && dice % 97 == 0)
            relay_cut();
        if (step < STEPS && dice % 61 == 0) {
            rig_gate(RIG_FAR, dice % 2 ? GATE_HOLD : GATE_STANDBY, 1);
            rig_gate(RIG_FAR, GATE_EXECUTE, 1);
        }
        if (ios[at]) {
            uint32_t codes = rig_codes(rig_end(ios[at]));
            assert_true(codes == 0 || codes == 0x40000000 || codes == 0x020e1d00 ||
                        (codes == 0x020b0000 && ios[at]->task.cdb[0] != READ));
            ends[codes == 0x40000000 ? 1 : codes == 0x020b0000 ? 2 : 0]++;
            rig_free(ios[at]);
            ios[at] = NULL;
        }
        if (step >= STEPS)
            continue;
        if (opcode == CAW)
            blocks = 1 + dice % 8;
        length = blocks * RIG_BLOCK * (opcode == CAW ? 2 : 1);
        ios[at] = rig_new(nexus(dice % 2, dice / 2 % 2), opcode, dice % 64, blocks, length);
        memset(ios[at]->data, 0, length);
        rig_start(ios[at]);
        if (dice % 7 == 0)
            rig_abort(ios[(at + dice) % MANY] ? ios[(at + dice) % MANY] : ios[at], dice % 2);
    }
    assert_true(ends[0] && ends[1]);
}

/* The last case: peers start once in the life of a daemon. */
static void stop_when_commands_run_then_waits_for_the_medium_and_keeps_the_others(void **state)
{
    struct rig_io *io = rig_new(nexus(0, 0), WRITE, 0, 8, 8 * RIG_BLOCK);
    unsigned held = rig_now(&spy.held), links;

    spy_hold(true);
    rig_start(io);
    rig_wait(&spy.held, held + 1);
    links = rig_now(&relay.links);
    rig_stop();
    /* Every link is cut, and its commands are back in their lanes, long before this. */
    for (unsigned i = 0; i < 100; i++)
        rig_proxies();
    assert_int_equal(rig_stopped, 0);
    spy_release();
    rig_wait(&rig_stopped, 1);
    assert_int_equal(rig_proxies(), 0);
    assert_int_equal(rig_codes(rig_end(io)), 0x020b0000);
    rig_free(io);
    assert_int_equal(rig_now(&relay.links), links);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_of_many_sizes_when_forwarded_then_comes_back_intact),
        cmocka_unit_test(slots_when_used_again_and_again_then_commands_do_not_mix),
        cmocka_unit_test(short_room_when_reading_then_the_rest_is_residual),
        cmocka_unit_test(owner_when_its_medium_fails_then_sense_comes_through),
        cmocka_unit_test(command_when_the_other_is_not_the_owner_then_held_until_it_is),
        cmocka_unit_test(write_when_the_owner_has_not_begun_it_then_sent_back_and_tried_again),
        cmocka_unit_test(abort_when_the_owner_runs_it_then_ends_after_the_medium),
        cmocka_unit_test(abort_when_the_command_is_on_its_way_then_ends_with_the_link),
        cmocka_unit_test(link_when_cut_under_writes_then_they_are_not_repeated),
        cmocka_unit_test(link_when_cut_under_compare_and_write_then_it_is_not_repeated),
        cmocka_unit_test(link_when_cut_inside_a_frame_then_data_is_right_in_the_end),
        cmocka_unit_test(owner_when_it_ends_a_command_silently_then_the_sender_decides),
        cmocka_unit_test(owner_when_it_aborts_in_the_data_phase_then_the_buffer_stays),
        cmocka_unit_test(nexus_when_gone_then_its_proxy_goes_and_the_next_gets_its_own),
        cmocka_unit_test(reservation_when_only_the_owner_knows_it_then_it_is_obeyed),
        cmocka_unit_test(idle_link_when_pinged_then_stays),
        cmocka_unit_test(link_when_silent_then_closed_and_commands_go_on_over_a_new_one),
        cmocka_unit_test(node_when_lost_then_links_end_and_may_begin_again),
        cmocka_unit_test(storm_when_over_then_every_command_ended_once),
        cmocka_unit_test(stop_when_commands_run_then_waits_for_the_medium_and_keeps_the_others),
    };

    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
