/* When a write is acknowledged: every combination against the rule in one sentence. And the range
 * locks and state rules, which are as small. Not covered: that the engine asks them (test_replica).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "replication/engine.h"
#include "replication/range_lock.h"
#include "replication/write_gate.h"

static void write_when_any_state_then_acknowledged_only_when_safe(void **state)
{
    for (unsigned bits = 0; bits < 32; bits++)
        for (unsigned peer = PEER_LOST; peer <= PEER_STABLE; peer++) {
            struct write_progress w = {
                .local_done = bits & 1,
                .sending = bits & 2,
                .stable = bits & 4,
                .completed = bits & 8,
                .peer = peer,
            };
            bool alone = bits & 16;
            bool two_copies = peer == PEER_STABLE || (peer == PEER_ACKED && !w.stable);
            bool one_copy = peer == PEER_LOST && alone;
            bool expected = w.local_done && !w.sending && !w.completed && (two_copies || one_copy);

            assert_int_equal(write_may_complete(&w, alone), expected);
            /* It is remembered until a barrier's answer or a dirty bit takes over. */
            assert_int_equal(write_may_leave_log(&w),
                             w.completed && (peer == PEER_STABLE || peer == PEER_LOST));
        }
}

/* Stable there, but not written here yet: the flush before the peer is outdated would not cover it. */
static void link_when_lost_then_all_but_stable_writes_are_marked(void **state)
{
    for (unsigned peer = PEER_LOST; peer <= PEER_STABLE; peer++)
        for (unsigned local = 0; local < 2; local++) {
            struct write_progress w = {.peer = peer, .local_done = local};
            bool stable = peer == PEER_STABLE && local;

            assert_int_equal(write_link_lost(&w), !stable);
            assert_int_equal(w.peer, stable ? PEER_STABLE : PEER_LOST);
        }
}

static void flush_when_older_writes_or_unstable_then_waits(void **state)
{
    for (unsigned bits = 0; bits < 16; bits++) {
        struct flush_progress f = {
            .local_done = bits & 1,
            .older = bits & 2,
            .unstable = bits & 4,
        };
        bool alone = bits & 8;

        assert_int_equal(flush_may_complete(&f, alone),
                         f.local_done && !f.older && (alone || !f.unstable));
    }
}

static void write_when_peer_not_good_then_not_replicated(void **state)
{
    for (unsigned conn = CONN_STANDALONE; conn <= CONN_PAUSED_SYNC_T; conn++)
        for (unsigned disk = DISK_DISKLESS; disk <= DISK_UP_TO_DATE; disk++) {
            enum write_mode mode = write_mode(conn, disk);

            if (conn < CONN_CONNECTED || disk < DISK_INCONSISTENT)
                assert_false(write_mode_replicates(mode));
            if (conn == CONN_CONNECTED)
                assert_int_equal(mode, disk == DISK_UP_TO_DATE ? WRITE_REPLICATED : WRITE_LOCAL);
            if (conn == CONN_SYNC_SOURCE && disk >= DISK_INCONSISTENT)
                assert_int_equal(mode, WRITE_SYNCING);
            if (conn == CONN_WF_BITMAP_S)
                assert_int_equal(mode, WRITE_OUT_OF_SYNC);
        }
}

/* --- range locks --- */

static void ranges_when_overlapping_then_one_after_the_other(void **state)
{
    struct range_table t;
    struct range a = {.offset = 0, .length = 8}, b = {.offset = 4, .length = 8};
    struct range c = {.offset = 12, .length = 4}, d = {.offset = 11, .length = 2};
    struct range e = {.offset = 6, .length = 0};

    range_table_init(&t);
    assert_true(range_enter(&t, &a));
    assert_false(range_enter(&t, &b));
    assert_true(range_enter(&t, &c));
    assert_false(range_enter(&t, &d)); /* behind b, which waits itself */
    assert_true(range_enter(&t, &e));  /* nothing overlaps nothing */
    assert_true(range_busy(&t, 5, 1));
    assert_false(range_busy(&t, 16, 100));
    range_leave(&t, &c);
    assert_null(range_next(&t));
    range_leave(&t, &a);
    assert_ptr_equal(range_next(&t), &b);
    assert_null(range_next(&t));
    range_leave(&t, &b);
    assert_ptr_equal(range_next(&t), &d);
    range_leave(&t, &d);
    range_leave(&t, &e);
    assert_int_equal(t.waiting, 0);
}

static void ranges_when_random_then_no_two_granted_overlap(void **state)
{
    enum { N = 40, STEPS = 20000 };
    struct range_table t;
    struct range r[N] = {0};
    unsigned seed = 5, granted = 0;

    range_table_init(&t);
    for (unsigned step = 0; step < STEPS; step++) {
        struct range *x = &r[(unsigned)rand_r(&seed) % N];

        if (x->held) {
            range_leave(&t, x);
            while (range_next(&t))
                ;
        } else {
            x->offset = (uint64_t)(rand_r(&seed) % 200);
            x->length = (uint64_t)(rand_r(&seed) % 20);
            granted += range_enter(&t, x);
        }
        for (unsigned i = 0; i < N; i++)
            for (unsigned k = 0; k < i; k++)
                if (r[i].held && r[k].held && r[i].granted && r[k].granted && r[i].length &&
                    r[k].length)
                    assert_true(r[i].offset >= r[k].offset + r[k].length ||
                                r[k].offset >= r[i].offset + r[i].length);
    }
    assert_true(granted > 1000);
}

/* --- states --- */

static void promotion_when_any_state_then_only_good_copies(void **state)
{
    for (unsigned conn = CONN_STANDALONE; conn <= CONN_PAUSED_SYNC_T; conn++)
        for (unsigned disk = DISK_DISKLESS; disk <= DISK_UP_TO_DATE; disk++)
            for (unsigned bits = 0; bits < 4; bits++) {
                struct volume_state v = {.conn = conn, .disk = disk};
                bool just_created = bits & 1, force = bits & 2;
                const char *why = NULL;
                int rc = volume_may_promote(&v, just_created, force, &why);

                if (rc)
                    assert_non_null(why);
                if (conn_in_transition(conn))
                    assert_int_equal(rc, -EAGAIN);
                else if (disk < DISK_INCONSISTENT)
                    assert_int_equal(rc, -EIO);
                else if (disk == DISK_OUTDATED || (disk == DISK_INCONSISTENT && !just_created))
                    assert_int_equal(rc, -ENODATA); /* not even by force */
                else if (disk == DISK_UP_TO_DATE)
                    assert_int_equal(rc, 0);
                else if (disk == DISK_INCONSISTENT)
                    assert_int_equal(rc, force ? 0 : -ENODATA);
            }
}

static void link_when_lost_then_known_bad_peer_stays_known(void **state)
{
    for (unsigned disk = DISK_DISKLESS; disk <= DISK_UP_TO_DATE; disk++) {
        struct volume_state v = {CONN_CONNECTED, DISK_UP_TO_DATE, disk};

        volume_link_lost(&v);
        assert_int_equal(v.conn, CONN_UNCONNECTED);
        assert_int_equal(v.peer_disk,
                         disk == DISK_INCONSISTENT || disk == DISK_OUTDATED ? disk : DISK_UNKNOWN);
    }
}

static void verdict_when_mirrored_then_pairs_fit(void **state)
{
    for (unsigned a = DISK_INCONSISTENT; a <= DISK_UP_TO_DATE; a++)
        for (unsigned b = DISK_INCONSISTENT; b <= DISK_UP_TO_DATE; b++) {
            struct volume_state s = {CONN_WF_REPORT_PARAMS, a, b};
            struct volume_state t = {CONN_WF_REPORT_PARAMS, b, a};

            if (a == DISK_UNKNOWN || b == DISK_UNKNOWN)
                continue;
            volume_verdict(&s, GENERATION_CONNECT);
            volume_verdict(&t, GENERATION_CONNECT);
            assert_int_equal(s.disk, t.peer_disk);
            assert_int_equal(s.peer_disk, t.disk);
            if (a > DISK_INCONSISTENT && b > DISK_INCONSISTENT)
                assert_int_equal(s.disk, DISK_UP_TO_DATE);
            if (a == DISK_INCONSISTENT)
                continue;
            s = (struct volume_state){CONN_WF_REPORT_PARAMS, a, b};
            t = (struct volume_state){CONN_WF_REPORT_PARAMS, b, a};
            volume_verdict(&s, GENERATION_SYNC_SOURCE);
            volume_verdict(&t, GENERATION_SYNC_TARGET);
            assert_int_equal(s.conn, CONN_WF_BITMAP_S);
            assert_int_equal(t.conn, CONN_WF_BITMAP_T);
            assert_int_equal(s.disk, DISK_UP_TO_DATE);
            assert_true(t.disk <= DISK_OUTDATED);
        }
}

static void request_when_two_primaries_then_refused(void **state)
{
    struct packet_state_request p = {.mask.peer = 3, .value.peer = WIRE_PRIMARY};
    struct state_question q = {.request = &p};

    assert_int_equal(state_request_answer(&q), STATE_OK);
    q.primary = true;
    assert_int_equal(state_request_answer(&q), STATE_TWO_PRIMARIES);
    q.transition = true;
    assert_int_equal(state_request_answer(&q), STATE_TRANSIENT);
    q = (struct state_question){.request = &p, .own_request = true, .resolve_conflicts = true};
    assert_int_equal(state_request_answer(&q), STATE_CONCURRENT);
    p = (struct packet_state_request){.mask.conn = 31, .value.conn = CONN_TEAR_DOWN};
    q = (struct state_question){.request = &p, .primary = true};
    assert_int_equal(state_request_answer(&q), STATE_OK);
    p.value.conn = CONN_VERIFY_T;
    assert_int_equal(state_request_answer(&q), STATE_FAILED_BY_PEER);
    p = (struct packet_state_request){.mask.disk = 15, .value.disk = DISK_OUTDATED};
    assert_int_equal(state_request_answer(&q), STATE_OUTDATE_WHILE_CONNECTED);
}

static void names_when_asked_then_as_drbd_prints_them(void **state)
{
    assert_string_equal(replica_disk_name(DISK_UP_TO_DATE), "UpToDate");
    assert_string_equal(replica_disk_name(DISK_UNKNOWN), "DUnknown");
    assert_string_equal(replica_connection_name(CONN_WF_BITMAP_S), "WFBitMapS");
    assert_string_equal(replica_disk_name((enum replica_disk)99), "unknown");
    assert_string_equal(replica_connection_name((enum replica_connection)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_when_any_state_then_acknowledged_only_when_safe),
        cmocka_unit_test(link_when_lost_then_all_but_stable_writes_are_marked),
        cmocka_unit_test(flush_when_older_writes_or_unstable_then_waits),
        cmocka_unit_test(write_when_peer_not_good_then_not_replicated),
        cmocka_unit_test(ranges_when_overlapping_then_one_after_the_other),
        cmocka_unit_test(ranges_when_random_then_no_two_granted_overlap),
        cmocka_unit_test(promotion_when_any_state_then_only_good_copies),
        cmocka_unit_test(link_when_lost_then_known_bad_peer_stays_known),
        cmocka_unit_test(verdict_when_mirrored_then_pairs_fit),
        cmocka_unit_test(request_when_two_primaries_then_refused),
        cmocka_unit_test(names_when_asked_then_as_drbd_prints_them),
    };
    return cmocka_run_group_tests_name("write_gate", tests, NULL, NULL);
}
