/* Generations: the moves, the comparison table with its mirror images, and a model of two nodes
 * with data that are promoted, cut, crashed and resynced at random: both must always decide mirror
 * images, and a finished resync must leave equal data. Not covered: what the engine does with a
 * verdict (handlers, role changes), three or more crashes inside one resync. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "replication/generation.h"

static uint64_t seed = 1;

static uint64_t rnd(uint64_t below)
{
    uint64_t z = seed += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return (z ^ z >> 31) % below;
}

static const struct generation_rules plain = {.feature_wsame = true};

static int table(struct generations mine, struct generations theirs, unsigned rule)
{
    struct generation_side a = {.generations = mine, .disk = DISK_UP_TO_DATE};
    struct generation_side b = {.generations = theirs, .disk = DISK_UP_TO_DATE};
    struct generation_verdict v;

    generation_compare(&a, &b, &plain, &v);
    assert_int_equal(v.rule, rule);
    return v.table;
}

#define G(c, b, h0, h1)                                                                            \
    (struct generations)                                                                           \
    {                                                                                              \
        c, b,                                                                                      \
        {                                                                                          \
            h0, h1                                                                                 \
        }                                                                                          \
    }
#define STEP GENERATION_SYNC_STEP

static void compare_each_row_gives_its_result(void **state)
{
    assert_int_equal(table(G(4, 0, 0, 0), G(5, 0, 0, 0), 10), 0);
    assert_int_equal(table(G(4, 0, 0, 0), G(100, 0, 0, 0), 20), -2);
    assert_int_equal(table(G(100, 0, 0, 0), G(4, 0, 0, 0), 30), 2);
    assert_int_equal(table(G(100, 50, 40, 0), G(101, 0, 50, 40), 34), 1);
    assert_int_equal(table(G(100, 50, 40, 0), G(100, 0, 52, 40), 36), 1);
    assert_int_equal(table(G(100, 0, 50, 40), G(100, 50, 40, 0), 35), -1);
    assert_int_equal(table(G(100, 0, 52, 40), G(100, 50, 40, 0), 37), -1);
    assert_int_equal(table(G(100, 0, 0, 0), G(100, 0, 0, 0), 40), 0);
    assert_int_equal(table(G(100, 50, 0, 0), G(100, 60, 0, 0), 40), 0);
    assert_int_equal(table(G(100, 0, 0, 0), G(200, 101, 0, 0), 50), -1);
    assert_int_equal(table(G(100, 0, 0, 0), G(200, 100 + STEP, 100, 0), 51), -1);
    assert_int_equal(table(G(100, 0, 0, 0), G(200, 0, 100, 0), 60), -2);
    assert_int_equal(table(G(100, 0, 0, 0), G(200, 7, 8, 100), 60), -2);
    assert_int_equal(table(G(200, 100, 0, 0), G(100, 0, 0, 0), 70), 1);
    assert_int_equal(table(G(200, 100 + STEP, 100, 0), G(100, 0, 0, 0), 71), 1);
    assert_int_equal(table(G(200, 0, 100, 0), G(100, 0, 0, 0), 80), 2);
    assert_int_equal(table(G(200, 0, 8, 100), G(100, 0, 0, 0), 80), 2);
    assert_int_equal(table(G(200, 50, 0, 0), G(100, 51, 0, 0), 90), 100);
    assert_int_equal(table(G(200, 50, 8, 10), G(100, 60, 10, 12), 100), -100);
    assert_int_equal(table(G(200, 50, 8, 10), G(100, 60, 14, 12), 0), -1000);
}

static struct generation_verdict decide(const struct generation_side *a,
                                        const struct generation_side *b,
                                        struct generation_rules rules, bool flag)
{
    struct generation_verdict v;

    rules.resolve_conflicts = flag;
    generation_decide(a, b, &rules, &v);
    assert_non_null(v.why);
    return v;
}

static void compare_crashed_primaries_are_settled_by_role_and_flag(void **state)
{
    struct generation_side a = {.generations = G(100, 0, 0, 0), .disk = DISK_UP_TO_DATE};
    struct generation_side b = a;
    struct generation_rules old = {.feature_wsame = false};

    a.crashed_primary = true;
    assert_int_equal(decide(&a, &b, plain, true).sync, 1);
    assert_int_equal(decide(&b, &a, plain, false).sync, -1);
    b.crashed_primary = true;
    assert_int_equal(decide(&a, &b, plain, true).sync, -1);
    assert_int_equal(decide(&b, &a, plain, false).sync, 1);
    b.primary = true;
    assert_int_equal(decide(&a, &b, plain, true).sync, -1);
    assert_int_equal(decide(&a, &b, plain, true).rule, 41);
    assert_int_equal(decide(&b, &a, plain, false).sync, 1);
    assert_int_equal(decide(&b, &a, old, false).action, GENERATION_REFUSE);
    assert_int_equal(decide(&a, &b, old, false).table, GENERATION_NEEDS_FEATURE);
    a.primary = true;
    assert_int_equal(decide(&a, &b, plain, true).table, GENERATION_SPLIT_BRAIN);
    assert_true(decide(&a, &b, plain, true).split_brain);
}

static void decide_with_one_inconsistent_side_goes_by_disk_state(void **state)
{
    struct generation_side a = {.generations = G(200, 50, 8, 10), .disk = DISK_INCONSISTENT};
    struct generation_side b = {.generations = G(100, 60, 10, 12), .disk = DISK_NEGOTIATING};
    struct generation_verdict v = decide(&a, &b, plain, true);

    assert_int_equal(v.action, GENERATION_SYNC_TARGET);
    assert_true(v.full && !v.initial_split_brain);
    v = decide(&b, &a, plain, false);
    assert_int_equal(v.action, GENERATION_SYNC_SOURCE);
    assert_true(v.full);
    b.inconsistent = true; /* now both are: nothing to resync from */
    assert_int_equal(decide(&a, &b, plain, true).action, GENERATION_REFUSE);
    a.generations = b.generations;
    b.inconsistent = false;
    v = decide(&a, &b, plain, true);
    assert_int_equal(v.sync, -1);
    assert_false(v.full);
}

static void decide_as_primary_that_should_be_target_follows_rr_conflict(void **state)
{
    struct generation_side a = {
        .generations = G(100, 0, 0, 0), .disk = DISK_UP_TO_DATE, .primary = true};
    struct generation_side b = {.generations = G(200, 100, 0, 0), .disk = DISK_UP_TO_DATE};
    struct generation_rules rules = plain;

    assert_int_equal(decide(&a, &b, rules, true).action, GENERATION_REFUSE);
    rules.rr_conflict = RR_CONFLICT_CALL_PRI_LOST;
    assert_true(decide(&a, &b, rules, true).pri_lost);
    rules.rr_conflict = RR_CONFLICT_VIOLENTLY;
    assert_int_equal(decide(&a, &b, rules, true).action, GENERATION_SYNC_TARGET);
    rules.dry_run = true;
    assert_int_equal(decide(&a, &b, rules, true).action, GENERATION_DRY_RUN);
    assert_int_equal(decide(&a, &b, rules, true).sync, -1);
}

static void decide_split_brain_with_one_discarding_side_makes_it_target(void **state)
{
    struct generation_side a = {.generations = G(200, 50, 0, 0), .disk = DISK_UP_TO_DATE};
    struct generation_side b = {.generations = G(100, 50, 0, 0), .disk = DISK_UP_TO_DATE};
    struct generation_verdict v = decide(&a, &b, plain, true);

    assert_true(v.split_brain && v.initial_split_brain);
    assert_int_equal(v.action, GENERATION_REFUSE);
    a.discard_my_data = true;
    v = decide(&a, &b, plain, true);
    assert_int_equal(v.action, GENERATION_SYNC_TARGET);
    assert_true(!v.full && !v.split_brain && v.initial_split_brain);
    assert_int_equal(decide(&b, &a, plain, false).action, GENERATION_SYNC_SOURCE);
    b.discard_my_data = true;
    assert_int_equal(decide(&a, &b, plain, true).action, GENERATION_REFUSE);
    /* no common base: the maps are not enough */
    b.discard_my_data = false;
    a.generations.bitmap = 60;
    assert_true(decide(&a, &b, plain, true).full);
}

static const struct {
    enum after_split_brain a, b;
} policies_0[] = {
    {AFTER_SB_DISCONNECT, AFTER_SB_DISCONNECT},
    {AFTER_SB_DISCARD_YOUNGER_PRIMARY, AFTER_SB_DISCARD_YOUNGER_PRIMARY},
    {AFTER_SB_DISCARD_OLDER_PRIMARY, AFTER_SB_DISCARD_OLDER_PRIMARY},
    {AFTER_SB_DISCARD_ZERO_CHANGES, AFTER_SB_DISCARD_ZERO_CHANGES},
    {AFTER_SB_DISCARD_LEAST_CHANGES, AFTER_SB_DISCARD_LEAST_CHANGES},
    {AFTER_SB_DISCARD_LOCAL, AFTER_SB_DISCARD_REMOTE},
    {AFTER_SB_DISCARD_REMOTE, AFTER_SB_DISCARD_LOCAL},
};

/* What one side may refuse although the other would go on, because of its role. */
static bool mirrored(const struct generation_verdict *a, const struct generation_verdict *b)
{
    bool symmetric = a->sync == 0 || a->sync < -GENERATION_FULL || a->sync > GENERATION_FULL;

    if (symmetric ? a->sync != b->sync : a->sync != -b->sync)
        return false;
    if (a->split_brain != b->split_brain || a->initial_split_brain != b->initial_split_brain)
        return false;
    if (a->action == GENERATION_REFUSE || b->action == GENERATION_REFUSE)
        return true;
    return a->full == b->full &&
           (a->action == GENERATION_SYNC_SOURCE) == (b->action == GENERATION_SYNC_TARGET) &&
           (a->action == GENERATION_SYNC_TARGET) == (b->action == GENERATION_SYNC_SOURCE);
}

static void decide_split_brain_under_all_policies_is_mirrored(void **state)
{
    static const enum after_split_brain more[] = {
        AFTER_SB_DISCONNECT,    AFTER_SB_CONSENSUS, AFTER_SB_DISCARD_SECONDARY,
        AFTER_SB_CALL_PRI_LOST, AFTER_SB_VIOLENTLY,
    };

    for (unsigned n = 0; n < 7 * 5 * 5 * 2048; n++) {
        unsigned bits = n / 175;
        struct generation_rules ra = plain, rb;
        struct generation_side a = {.disk = DISK_UP_TO_DATE}, b = {.disk = DISK_UP_TO_DATE};
        struct generation_verdict va, vb;

        ra.after_1 = more[n / 7 % 5];
        ra.after_2 = more[n / 35 % 5];
        ra.always_asbp = bits & 1;
        ra.rr_conflict = bits & 512 ? RR_CONFLICT_VIOLENTLY : RR_CONFLICT_DISCONNECT;
        rb = ra;
        ra.after_0 = policies_0[n % 7].a;
        rb.after_0 = policies_0[n % 7].b;
        assert_true(generation_policy_matches(ra.after_0, rb.after_0));
        a.primary = bits & 2;
        b.primary = bits & 4;
        a.generations = G(200, 50 | (bits >> 3 & 1), 2, 6);
        b.generations = G(100, (bits & 1024 ? 60 : 50) | (bits >> 4 & 1), 6, 8);
        a.dirty_bits = bits >> 5 & 1 ? 10 : 0;
        b.dirty_bits = (bits >> 6 & 1 ? 10 : 0) + (bits >> 7 & 1);
        a.discard_my_data = bits & 256;
        va = decide(&a, &b, ra, true);
        vb = decide(&b, &a, rb, false);
        assert_true(mirrored(&va, &vb));
        if (va.pri_lost_after_sb)
            assert_true(a.primary && va.action == GENERATION_SYNC_TARGET);
    }
}

/* The policies as drbd.conf(5) of 8.4 describes them, one row each. Side a was Primary before the split (bit 0 of the
 * base) and wrote more; its result is given, b's mirrors it. */
enum { SB = GENERATION_SPLIT_BRAIN };
static const struct {
    enum after_split_brain policy;
    uint64_t changes_a, changes_b;
    int sync; /* of a; what nobody solves is SB */
} rows_0[] = {
    {AFTER_SB_DISCONNECT, 9, 5, SB},
    {AFTER_SB_DISCARD_YOUNGER_PRIMARY, 9, 5, 1},
    {AFTER_SB_DISCARD_OLDER_PRIMARY, 9, 5, -1},
    {AFTER_SB_DISCARD_ZERO_CHANGES, 9, 5, SB},
    {AFTER_SB_DISCARD_ZERO_CHANGES, 9, 0, 1},
    {AFTER_SB_DISCARD_ZERO_CHANGES, 0, 5, -1},
    {AFTER_SB_DISCARD_LEAST_CHANGES, 9, 5, 1},
    {AFTER_SB_DISCARD_LEAST_CHANGES, 5, 9, -1},
    {AFTER_SB_DISCARD_LOCAL, 9, 5, -1},
    {AFTER_SB_DISCARD_REMOTE, 9, 5, 1},
};
enum { ROWS_0 = sizeof rows_0 / sizeof *rows_0 };

/* What the other side's configuration has to say. */
static enum after_split_brain seen_from_b(enum after_split_brain policy)
{
    return policy == AFTER_SB_DISCARD_LOCAL    ? AFTER_SB_DISCARD_REMOTE
           : policy == AFTER_SB_DISCARD_REMOTE ? AFTER_SB_DISCARD_LOCAL
                                               : policy;
}

static void sides_of_row(unsigned row, struct generation_side *a, struct generation_side *b)
{
    *a = (struct generation_side){
        .generations = G(200, 51, 0, 0),
        .disk = DISK_UP_TO_DATE,
        .dirty_bits = rows_0[row].changes_a,
    };
    *b = (struct generation_side){
        .generations = G(100, 50, 0, 0),
        .disk = DISK_UP_TO_DATE,
        .dirty_bits = rows_0[row].changes_b,
    };
}

static void decide_after_sb_0pri_each_policy_gives_its_row(void **state)
{
    for (unsigned i = 0; i < ROWS_0; i++) {
        struct generation_rules rules = plain;
        struct generation_side a, b;

        sides_of_row(i, &a, &b);
        rules.after_0 = rows_0[i].policy;
        assert_int_equal(decide(&a, &b, rules, true).sync, rows_0[i].sync);
        assert_int_equal(decide(&a, &b, rules, false).sync, rows_0[i].sync);
        rules.after_0 = seen_from_b(rows_0[i].policy);
        assert_int_equal(decide(&b, &a, rules, false).sync, rows_0[i].sync == SB ? SB : -rows_0[i].sync);
    }
}

/* Nobody changed anything, or both the same: who accepted the meta socket gives way. */
static void decide_after_sb_0pri_tie_is_broken_by_the_flag(void **state)
{
    static const enum after_split_brain policies[] = {
        AFTER_SB_DISCARD_YOUNGER_PRIMARY, AFTER_SB_DISCARD_OLDER_PRIMARY, AFTER_SB_DISCARD_ZERO_CHANGES,
        AFTER_SB_DISCARD_LEAST_CHANGES,
    };

    for (unsigned i = 0; i < 4; i++) {
        struct generation_side a = {.generations = G(200, 50, 0, 0), .disk = DISK_UP_TO_DATE};
        struct generation_side b = {.generations = G(100, 50, 0, 0), .disk = DISK_UP_TO_DATE};
        struct generation_rules rules = plain;

        rules.after_0 = policies[i];
        assert_int_equal(decide(&a, &b, rules, true).sync, -1);
        assert_int_equal(decide(&b, &a, rules, false).sync, 1);
    }
}

/* One Primary, and what after-sb-0pri alone would say: `result` is of the Primary. */
static const struct {
    enum after_split_brain policy;
    int without, result;
    bool goes, refuses; /* the Primary: has to give way first; refuses to be the target */
} rows_1[] = {
    {AFTER_SB_DISCONNECT, 1, SB, false, true},        {AFTER_SB_DISCONNECT, -1, SB, false, true},
    {AFTER_SB_CONSENSUS, 1, 1, false, false},         {AFTER_SB_CONSENSUS, -1, SB, false, true},
    {AFTER_SB_CONSENSUS, SB, SB, false, true},        {AFTER_SB_DISCARD_SECONDARY, 1, 1, false, false},
    {AFTER_SB_DISCARD_SECONDARY, -1, 1, false, false}, {AFTER_SB_DISCARD_SECONDARY, SB, 1, false, false},
    {AFTER_SB_CALL_PRI_LOST, 1, 1, false, false},     {AFTER_SB_CALL_PRI_LOST, -1, -1, true, false},
    {AFTER_SB_CALL_PRI_LOST, SB, SB, false, true},    {AFTER_SB_VIOLENTLY, 1, 1, false, false},
    {AFTER_SB_VIOLENTLY, -1, -1, false, true},        {AFTER_SB_VIOLENTLY, SB, SB, false, true},
};

static enum after_split_brain that_gives(int result)
{
    return result == 1    ? AFTER_SB_DISCARD_REMOTE
           : result == -1 ? AFTER_SB_DISCARD_LOCAL
                          : AFTER_SB_DISCONNECT;
}

static void decide_after_sb_1pri_each_policy_gives_its_row(void **state)
{
    for (unsigned i = 0; i < sizeof rows_1 / sizeof *rows_1; i++) {
        struct generation_rules rules = plain;
        struct generation_side a, b;
        struct generation_verdict v;

        sides_of_row(0, &a, &b);
        a.primary = true;
        rules.after_1 = rows_1[i].policy;
        rules.after_0 = that_gives(rows_1[i].without);
        v = decide(&a, &b, rules, true);
        assert_int_equal(v.sync, rows_1[i].result);
        assert_int_equal(v.pri_lost_after_sb, rows_1[i].goes);
        assert_int_equal(v.action == GENERATION_REFUSE, rows_1[i].refuses);
        rules.after_0 = seen_from_b(rules.after_0);
        v = decide(&b, &a, rules, false);
        assert_int_equal(v.sync, rows_1[i].result == SB ? SB : -rows_1[i].result);
        assert_false(v.pri_lost_after_sb);
    }
}

static void decide_after_sb_2pri_only_two_policies_settle_it(void **state)
{
    for (unsigned policy = AFTER_SB_DISCONNECT; policy <= AFTER_SB_VIOLENTLY; policy++) {
        bool settles = policy == AFTER_SB_CALL_PRI_LOST || policy == AFTER_SB_VIOLENTLY;

        for (int result = -1; result <= 1; result += 2) {
            struct generation_rules rules = plain;
            struct generation_side a, b;
            struct generation_verdict v;

            sides_of_row(0, &a, &b);
            a.primary = b.primary = true;
            rules.after_2 = policy;
            rules.after_0 = that_gives(result);
            v = decide(&a, &b, rules, true);
            assert_int_equal(v.sync, settles ? result : SB);
            assert_int_equal(v.pri_lost_after_sb, policy == AFTER_SB_CALL_PRI_LOST && result == -1);
        }
    }
}

/* The values that both ends send have to be the same, but for local and remote. */
static void policies_when_compared_then_local_and_remote_are_mirrored(void **state)
{
    for (unsigned mine = AFTER_SB_DISCONNECT; mine <= AFTER_SB_VIOLENTLY; mine++)
        for (unsigned theirs = AFTER_SB_DISCONNECT; theirs <= AFTER_SB_VIOLENTLY + 1; theirs++)
            assert_int_equal(generation_policy_matches(mine, theirs), seen_from_b(mine) == theirs);
}

/* Any pair of small histories, even such as cannot happen: no crash, and with one side's history
 * part of the other's the results mirror. */
static void compare_all_small_sets_where_at_most_one_knows_the_other_is_mirrored(void **state)
{
    static const uint64_t c[] = {4, 100, 200, 100 + STEP};
    static const uint64_t o[] = {0, 4, 100, 200, 100 + STEP, 300};
    unsigned long checked = 0;

    for (unsigned i = 0; i < 864; i++) {
        for (unsigned j = 0; j < 864; j++) {
            struct generation_side a = {.disk = DISK_UP_TO_DATE}, b = a;
            struct generations *x = &a.generations, *y = &b.generations;
            bool knows_y, knows_x;

            *x = G(c[i % 4], o[i / 4 % 6], o[i / 24 % 6], o[i / 144]);
            *y = G(c[j % 4], o[j / 4 % 6], o[j / 24 % 6], o[j / 144]);
            knows_y = x->bitmap == y->current || x->history[0] == y->current ||
                      x->history[1] == y->current;
            knows_x = y->bitmap == x->current || y->history[0] == x->current ||
                      y->history[1] == x->current;
            for (unsigned flags = 0; flags < 16; flags++) {
                struct generation_verdict va, vb;

                a.primary = flags & 1;
                b.primary = flags & 2;
                a.crashed_primary = flags & 4;
                b.crashed_primary = flags & 8;
                va = decide(&a, &b, plain, true);
                vb = decide(&b, &a, plain, false);
                if (knows_x && knows_y && x->current != y->current)
                    continue; /* each the other's ancestor */
                assert_true(mirrored(&va, &vb));
                checked++;
            }
        }
    }
    assert_true(checked > 1000000);
}

/* --- two nodes --- */

enum { BLOCKS = 8, ALL = (1 << BLOCKS) - 1 };

struct node {
    struct generations g;
    unsigned data[BLOCKS];
    unsigned dirty;
    bool primary, crashed, good, discard; /* good: UpToDate, else Inconsistent */
};

struct world {
    struct node n[2];
    bool connected;
    unsigned version;
    unsigned syncs, refusals, rules[102];
};

static uint64_t fresh_number(void)
{
    return (rnd(UINT64_MAX) & ~UINT64_C(0xFFFF)) | 0x10;
}

static void write_block(struct world *w, unsigned who, bool reaches_local, bool reaches_peer)
{
    struct node *n = &w->n[who], *peer = &w->n[!who];
    unsigned block = (unsigned)rnd(BLOCKS);

    w->version++;
    if (reaches_local)
        n->data[block] = w->version;
    if (w->connected && reaches_peer)
        peer->data[block] = w->version;
    if (!w->connected || !reaches_peer || !reaches_local)
        n->dirty |= 1u << block; /* out of sync, or in the activity log when it crashes */
}

static void cut(struct world *w)
{
    if (!w->connected)
        return;
    w->connected = false;
    for (unsigned i = 0; i < 2; i++)
        if (w->n[i].primary && w->n[i].good)
            generation_new(&w->n[i].g, fresh_number(), true);
}

static void crash(struct world *w, unsigned who)
{
    struct node *n = &w->n[who];

    if (n->primary) { /* a write in flight, here, there, both or neither; its extent is in the log
                       */
        write_block(w, who, rnd(2), rnd(2));
        n->dirty |= 1u << rnd(BLOCKS);
        n->crashed = true;
    }
    n->primary = false;
    generation_set_role(&n->g, false);
    cut(w);
}

static void promote(struct world *w, unsigned who)
{
    struct node *n = &w->n[who];

    if (!n->good || (w->connected && w->n[!who].primary))
        return;
    n->primary = true;
    generation_set_role(&n->g, true);
    if (!w->connected)
        generation_new(&n->g, fresh_number(), true);
}

static struct generation_side side(const struct node *n)
{
    return (struct generation_side){
        .generations = n->g,
        .dirty_bits = (uint64_t)__builtin_popcount(n->dirty),
        .disk = n->good ? DISK_UP_TO_DATE : DISK_INCONSISTENT,
        .primary = n->primary,
        .crashed_primary = n->crashed,
        .discard_my_data = n->discard,
    };
}

static void equal_data(const struct world *w)
{
    assert_memory_equal(w->n[0].data, w->n[1].data, sizeof w->n[0].data);
}

static void resync(struct world *w, struct node *s, struct node *t, struct generations in_handshake,
                   bool full)
{
    uint64_t number = generation_become_source(&s->g, fresh_number());
    unsigned todo = full ? ALL : s->dirty | t->dirty;

    w->syncs++;
    s->dirty = t->dirty = todo;
    if (!rnd(6)) {
        cut(w); /* P_SYNC_UUID got lost */
        return;
    }
    generation_become_target(&t->g, number, t->primary);
    t->good = false;
    for (unsigned block = 0; block < BLOCKS; block++) {
        if (!(todo >> block & 1))
            continue;
        if (!rnd(20)) {
            cut(w);
            return;
        }
        t->data[block] = s->data[block];
        s->dirty &= ~(1u << block);
        t->dirty &= ~(1u << block);
        if (s->primary && !rnd(8))
            write_block(w, (unsigned)(s - w->n), true, true);
    }
    generation_finish_target(&t->g, &in_handshake, number, t->primary);
    t->good = true;
    if (!rnd(5)) {
        cut(w); /* the source missed the end */
        return;
    }
    generation_finish_source(&s->g);
    s->crashed = t->crashed = false;
    assert_true(generation_equal(s->g.current, t->g.current));
    assert_true(s->g.bitmap == 0 && t->g.bitmap == 0);
    assert_true(s->g.history[0] == t->g.history[0] && s->g.history[1] == t->g.history[1]);
    equal_data(w);
}

static void meet(struct world *w)
{
    struct generation_side a = side(&w->n[0]), b = side(&w->n[1]);
    struct generations copy_of[2]; /* of the peer's: [i] is kept at node i */
    struct generation_verdict v[2];

    v[0] = decide(&a, &b, plain, true);
    v[1] = decide(&b, &a, plain, false);
    w->rules[v[0].rule]++;
    assert_true(mirrored(&v[0], &v[1]));
    w->n[0].discard = w->n[1].discard = false;
    if (v[0].table == GENERATION_UNRELATED) { /* the operator gives one side fresh metadata */
        struct node *n = &w->n[rnd(2)];

        w->refusals++;
        generation_create(&n->g);
        n->good = n->primary = n->crashed = false;
        n->dirty = 0;
        return;
    }
    if (v[0].action == GENERATION_REFUSE || v[1].action == GENERATION_REFUSE) {
        w->refusals++;
        if (!v[0].split_brain) { /* a Primary that should be target: the operator demotes it */
            w->n[0].primary = w->n[1].primary = false;
            return;
        }
        for (unsigned i = 0; i < 2; i++)
            w->n[i].primary = false;
        w->n[rnd(2)].discard = true;
        return;
    }
    w->connected = true;
    copy_of[0] = w->n[1].g;
    copy_of[1] = w->n[0].g;
    for (unsigned i = 0; i < 2; i++)
        generation_repair(&v[i], &w->n[i].g, &copy_of[i]);
    if (v[0].action == GENERATION_CONNECT) {
        if (w->n[0].good && w->n[1].good) {
            equal_data(w);
            w->n[0].crashed = w->n[1].crashed = false;
        }
        return;
    }
    if (v[0].action == GENERATION_SYNC_SOURCE)
        resync(w, &w->n[0], &w->n[1], copy_of[1], v[0].full);
    else
        resync(w, &w->n[1], &w->n[0], copy_of[0], v[1].full);
}

static void model_random_lives_of_two_nodes_always_agree(void **state)
{
    unsigned rules[102] = {0}, syncs = 0, refusals = 0;

    for (unsigned life = 0; life < 60000; life++) {
        struct world w = {.connected = true};

        for (unsigned i = 0; i < 2; i++)
            generation_create(&w.n[i].g);
        w.n[0].good = w.n[1].good = true;
        if (life & 1) { /* initial sync skipped; else one side is forced, then a full sync */
            assert_true(generation_skip_sync_initiate(&w.n[0].g, fresh_number(), false));
            assert_true(generation_skip_sync_adopt(&w.n[1].g, &w.n[0].g, false));
        } else {
            w.connected = false;
            w.n[1].good = false;
            w.n[1].data[3] = 77;
            promote(&w, 0);
        }
        for (unsigned step = 0; step < 40; step++) {
            unsigned who = (unsigned)rnd(2);

            switch (rnd(7)) {
            case 0:
                promote(&w, who);
                break;
            case 1:
                if (w.connected && !w.n[who].primary)
                    break;
                w.n[who].primary = false;
                generation_set_role(&w.n[who].g, false);
                break;
            case 2:
                cut(&w);
                break;
            case 3:
                crash(&w, who);
                break;
            case 4:
                if (w.n[who].primary && w.n[who].good)
                    write_block(&w, who, true, true);
                break;
            default:
                if (!w.connected)
                    meet(&w);
                break;
            }
        }
        for (unsigned i = 0; i < 102; i++)
            rules[i] += w.rules[i];
        syncs += w.syncs;
        refusals += w.refusals;
    }
    /* The walk must have come by everything that can happen. */
    static const unsigned must[] = {34, 35, 36, 37, 40, 50, 51, 70, 71, 90};
    for (unsigned i = 0; i < sizeof must / sizeof *must; i++) {
        if (!rules[must[i]])
            print_message("rule %u was never reached\n", must[i]);
    }
    print_message("%u resyncs, %u refusals; rules", syncs, refusals);
    for (unsigned i = 0; i < 102; i++)
        if (rules[i])
            print_message(" %u:%u", i, rules[i]);
    print_message("\n");
    assert_true(syncs > 1000 && refusals > 100);
}

/* --- every pair of generation sets that two nodes can come to ---
 *
 * Only which numbers are equal, and which one was derived from which, counts: numbers are renamed
 * after each step, so that the walk comes to its end. Contents are one bit: may the copies differ?
 */

enum { SETS_MAX = 1 << 16, NUMBERS = 8 };

struct pair {
    uint64_t number[NUMBERS];       /* current, bitmap, history of both; without the role */
    uint8_t good, primary, crashed; /* bit per node */
    uint8_t connected, differ;
};

static struct {
    struct pair *list;
    uint32_t *slots; /* index + 1 */
    unsigned count, done;
    unsigned rules[102], meetings;
} walk;

/* Places of the numbers get names in order of appearance. Of those derived from one base (+2^48
 * each time) only small distances count, as one step is all that the rules know: wider ones are
 * made equal, so that a life of nothing but lost connections comes to its end, too. */
static void rename_numbers(struct pair *p)
{
    enum { SHIFT = 48, WIDEST = 4 };
    uint64_t base[NUMBERS], renamed[NUMBERS];
    unsigned bases = 0;

    for (unsigned i = 0; i < NUMBERS; i++) {
        uint64_t low = p->number[i] & (STEP - 1), k = p->number[i] >> SHIFT, at = 0, below = 0;
        uint64_t distance = 0;

        renamed[i] = p->number[i];
        if (p->number[i] == 0 || p->number[i] == GENERATION_JUST_CREATED)
            continue;
        while (at < bases && base[at] != low)
            at++;
        if (at == bases)
            base[bases++] = low;
        /* Walks up from the lowest of this base to `k`. */
        for (unsigned steps = 0; steps <= NUMBERS; steps++) {
            uint64_t next = UINT64_MAX;

            for (unsigned j = 0; j < NUMBERS; j++) {
                uint64_t other = p->number[j] >> SHIFT;

                if ((p->number[j] & (STEP - 1)) == low && p->number[j] != GENERATION_JUST_CREATED &&
                    (!steps || other > below) && other < next)
                    next = other;
            }
            if (steps)
                distance += next - below < WIDEST ? next - below : WIDEST;
            below = next;
            if (below == k)
                break;
        }
        renamed[i] = (at + 1) << 8 | distance << SHIFT;
    }
    memcpy(p->number, renamed, sizeof renamed);
}

static void visit(const struct pair *seen)
{
    struct pair p = *seen;
    uint64_t hash = 14695981039346656037u;
    const uint8_t *bytes = (const uint8_t *)&p;

    rename_numbers(&p);
    for (unsigned i = 0; i < sizeof p; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    for (unsigned at = (unsigned)(hash >> 20) % (2 * SETS_MAX);; at = (at + 1) % (2 * SETS_MAX)) {
        if (!walk.slots[at]) {
            assert_true(walk.count < SETS_MAX);
            walk.list[walk.count++] = p;
            walk.slots[at] = walk.count;
            return;
        }
        if (!memcmp(&walk.list[walk.slots[at] - 1], &p, sizeof p))
            return;
    }
}

static struct generations get(const struct pair *p, unsigned node)
{
    const uint64_t *n = &p->number[4 * node];

    return (struct generations){n[0] | (p->primary >> node & 1), n[1], {n[2], n[3]}};
}

static void put(struct pair *p, unsigned node, const struct generations *g)
{
    uint64_t *n = &p->number[4 * node];

    n[0] = g->current & ~UINT64_C(1);
    n[1] = g->bitmap & ~UINT64_C(1);
    n[2] = g->history[0] & ~UINT64_C(1);
    n[3] = g->history[1] & ~UINT64_C(1);
}

static uint64_t unused(unsigned which)
{
    return (uint64_t)(NUMBERS + 1 + which) << 8;
}

static struct pair without_link(struct pair p)
{
    if (!p.connected)
        return p;
    p.connected = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct generations g = get(&p, i);

        if (p.primary & p.good & 1u << i) {
            generation_new(&g, unused(i), true);
            put(&p, i, &g);
        }
    }
    return p;
}

static struct generation_side side_of(const struct pair *p, unsigned node)
{
    return (struct generation_side){
        .generations = get(p, node),
        .disk = p->good >> node & 1 ? DISK_UP_TO_DATE : DISK_INCONSISTENT,
        .primary = p->primary >> node & 1,
        .crashed_primary = p->crashed >> node & 1,
    };
}

/* A resync from node s, cut at each of the moments that matter, and one that comes to its end. */
static void walk_resync(struct pair p, unsigned s, const struct generations *in_handshake)
{
    struct generations source = get(&p, s), target = get(&p, !s);
    uint64_t number = generation_become_source(&source, unused(2));
    struct pair cut;

    p.connected = 1;
    put(&p, s, &source);
    cut = without_link(p); /* P_SYNC_UUID got lost */
    visit(&cut);
    generation_become_target(&target, number, p.primary >> !s & 1);
    put(&p, !s, &target);
    p.good &= (uint8_t) ~(1u << !s);
    cut = p;
    cut.differ = 1;
    cut = without_link(cut); /* in the middle */
    visit(&cut);
    generation_finish_target(&target, in_handshake, number, p.primary >> !s & 1);
    put(&p, !s, &target);
    p.good |= (uint8_t)(1u << !s);
    p.differ = 0;
    cut = without_link(p); /* the source misses the end */
    visit(&cut);
    generation_finish_source(&source);
    put(&p, s, &source);
    p.crashed = 0;
    for (unsigned i = 0; i < 4; i++)
        assert_true(p.number[i] == p.number[4 + i]);
    visit(&p);
}

static void walk_meet(const struct pair *from)
{
    struct generation_side a = side_of(from, 0), b = side_of(from, 1);

    for (unsigned discard = 0; discard < 3; discard++) {
        struct generations mine[2] = {get(from, 0), get(from, 1)};
        struct generations copy_of[2] = {mine[1], mine[0]};
        struct generation_verdict v[2];
        struct pair p = *from;

        a.discard_my_data = discard == 1;
        b.discard_my_data = discard == 2;
        for (unsigned flag = 0; flag < 2; flag++) {
            v[0] = decide(&a, &b, plain, flag);
            v[1] = decide(&b, &a, plain, !flag);
            walk.meetings++;
            walk.rules[v[0].rule]++;
            assert_true(mirrored(&v[0], &v[1]));
        }
        if (v[0].action == GENERATION_REFUSE || v[1].action == GENERATION_REFUSE) {
            p.primary = 0; /* somebody demotes it, or gives one of them new metadata */
            visit(&p);
            for (unsigned i = 0; i < 2 && v[0].table == GENERATION_UNRELATED; i++) {
                struct pair created = p;
                struct generations g;

                generation_create(&g);
                put(&created, i, &g);
                created.good &= (uint8_t) ~(1u << i);
                created.crashed &= (uint8_t) ~(1u << i);
                created.differ = 1;
                visit(&created);
            }
            continue;
        }
        for (unsigned i = 0; i < 2; i++) {
            generation_repair(&v[i], &mine[i], &copy_of[i]);
            put(&p, i, &mine[i]);
        }
        if (v[0].action == GENERATION_CONNECT) {
            p.connected = 1;
            if (p.good == 3) {
                assert_false(p.differ);
                p.crashed = 0;
            }
            visit(&p);
        } else {
            unsigned s = v[0].action != GENERATION_SYNC_SOURCE;

            walk_resync(p, s, &copy_of[s ? 0 : 1]);
        }
    }
}

static void walk_from(const struct pair *from)
{
    for (unsigned i = 0; i < 2; i++) {
        struct pair p = *from;
        struct generations g = get(&p, i);

        if (p.good >> i & 1 && !(p.primary >> i & 1) && !(p.connected && p.primary)) {
            if (!p.connected)
                generation_new(&g, unused(i), true);
            put(&p, i, &g);
            p.primary |= (uint8_t)(1u << i); /* and writes at once, when it is alone */
            p.differ |= !p.connected;
            visit(&p);
        }
        p = *from;
        if (p.primary >> i & 1) {
            p.primary &= (uint8_t) ~(1u << i);
            visit(&p);
            p.crashed |= (uint8_t)(1u << i); /* it dies, with a write under way */
            p.differ = 1;
        }
        p = without_link(p);
        visit(&p);
    }
    {
        struct pair p = without_link(*from);

        p.differ |= p.primary != 0;
        visit(&p);
        p = *from;
        if (p.connected && p.good == 0 && p.number[0] == GENERATION_JUST_CREATED &&
            p.number[4] == GENERATION_JUST_CREATED && !p.differ) {
            struct generations x = get(&p, 0), y = get(&p, 1);

            assert_true(generation_skip_sync_initiate(&x, unused(0), false));
            assert_true(generation_skip_sync_adopt(&y, &x, false));
            put(&p, 0, &x);
            put(&p, 1, &y);
            p.good = 3;
            visit(&p);
        }
    }
    if (!from->connected)
        walk_meet(from);
}

static void all_reachable_pairs_of_sets_are_mirrored(void **state)
{
    struct pair first;

    walk.list = calloc(SETS_MAX, sizeof *walk.list);
    walk.slots = calloc(2 * SETS_MAX, sizeof *walk.slots);
    memset(&first, 0, sizeof first); /* compared byte by byte */
    first.number[0] = first.number[4] = GENERATION_JUST_CREATED;
    visit(&first); /* both are new and equal */
    first.differ = 1;
    first.good = 1; /* or the first was made the good one */
    first.number[0] = unused(0);
    first.number[1] = GENERATION_JUST_CREATED;
    visit(&first);
    while (walk.done < walk.count) {
        struct pair p = walk.list[walk.done++];

        walk_from(&p);
    }
    print_message("%u pairs, %u meetings; rules", walk.count, walk.meetings);
    for (unsigned i = 0; i < 102; i++)
        if (walk.rules[i])
            print_message(" %u:%u", i, walk.rules[i]);
    print_message("\n");
    for (unsigned i = 0; i < 102; i++)
        if (i == 34 || i == 35 || i == 36 || i == 37 || i == 50 || i == 51 || i == 70 || i == 71)
            assert_true(walk.rules[i]);
    free(walk.list);
    free(walk.slots);
}

static void moves_follow_the_rules(void **state)
{
    struct generations g, p;

    generation_create(&g);
    assert_int_equal(g.current, 4);
    generation_set_role(&g, true);
    assert_int_equal(g.current, 5);
    assert_true(generation_new(&g, 1000, true));
    assert_true(g.bitmap == 5 && g.current == 1001);
    assert_false(generation_new(&g, 2000, true));
    assert_int_equal(generation_become_source(&g, 3000), 3000); /* base 4 is none */
    assert_true(g.history[0] == 5 && g.bitmap == 3000);
    generation_finish_source(&g);
    assert_true(g.history[1] == 5 && g.history[0] == 3000 && !g.bitmap);
    generation_new(&g, 4000, false);
    assert_true(generation_become_source(&g, 1) == 1001 + STEP);
    generation_new_offline(&g, 6000, true);
    assert_true(g.current == 6001 && g.bitmap == 4000 && g.history[0] == 1001 + STEP);
    generation_create(&p);
    generation_become_target(&p, 77 << 4, true);
    assert_true(p.current == ((77 << 4) | 1) && !p.bitmap);
    assert_false(generation_skip_sync_initiate(&p, 1, false));
    assert_false(generation_skip_sync_adopt(&p, &g, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_follow_the_rules),
        cmocka_unit_test(compare_each_row_gives_its_result),
        cmocka_unit_test(compare_crashed_primaries_are_settled_by_role_and_flag),
        cmocka_unit_test(decide_with_one_inconsistent_side_goes_by_disk_state),
        cmocka_unit_test(decide_as_primary_that_should_be_target_follows_rr_conflict),
        cmocka_unit_test(decide_split_brain_with_one_discarding_side_makes_it_target),
        cmocka_unit_test(decide_split_brain_under_all_policies_is_mirrored),
        cmocka_unit_test(decide_after_sb_0pri_each_policy_gives_its_row),
        cmocka_unit_test(decide_after_sb_0pri_tie_is_broken_by_the_flag),
        cmocka_unit_test(decide_after_sb_1pri_each_policy_gives_its_row),
        cmocka_unit_test(decide_after_sb_2pri_only_two_policies_settle_it),
        cmocka_unit_test(policies_when_compared_then_local_and_remote_are_mirrored),
        cmocka_unit_test(compare_all_small_sets_where_at_most_one_knows_the_other_is_mirrored),
        cmocka_unit_test(all_reachable_pairs_of_sets_are_mirrored),
        cmocka_unit_test(model_random_lives_of_two_nodes_always_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
