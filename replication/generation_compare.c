/* Who has the newer data: the comparison table and what overrides it. Each node computes this
 * alone, so every line has its mirror image; tests walk all small histories to prove it. */
#include <stdlib.h>

#include "replication/generation.h"

/* A side with bit 0 masked off everywhere. */
struct masked {
    uint64_t c, b, h0, h1;
};

static struct masked mask(const struct generations *g)
{
    return (struct masked){g->current & ~UINT64_C(1), g->bitmap & ~UINT64_C(1),
                           g->history[0] & ~UINT64_C(1), g->history[1] & ~UINT64_C(1)};
}

static bool fresh(uint64_t current)
{
    return current == GENERATION_JUST_CREATED || !current;
}

static void found(struct generation_verdict *v, unsigned rule, int table, enum generation_fix fix)
{
    v->rule = rule;
    v->table = v->sync = table;
    v->fix = fix;
}

/* Rules 34 to 41: the same current generation. */
static void compare_equal(const struct generation_side *self, const struct generation_side *peer,
                          const struct generation_rules *rules, const struct masked *m,
                          const struct masked *p, struct generation_verdict *v)
{
    if (!p->b && m->b) {
        if (m->b == p->h0 && m->h0 == p->h1)
            found(v, 34, GENERATION_SOURCE, GENERATION_FIX_SELF_ROTATE);
        else
            found(v, 36, GENERATION_SOURCE, GENERATION_FIX_NONE);
    } else if (!m->b && p->b) {
        if (m->h0 == p->b && m->h1 == p->h0)
            found(v, 35, -GENERATION_SOURCE, GENERATION_FIX_PEER_ROTATE);
        else
            found(v, 37, -GENERATION_SOURCE, GENERATION_FIX_NONE);
    } else if (!self->crashed_primary && !peer->crashed_primary) {
        found(v, 40, GENERATION_NO_SYNC, GENERATION_FIX_NONE);
    } else if (self->primary || peer->primary) {
        int result = GENERATION_NEEDS_FEATURE;

        if (rules->feature_wsame)
            result = self->primary && peer->primary ? GENERATION_SPLIT_BRAIN
                     : self->primary                ? GENERATION_SOURCE
                                                    : -GENERATION_SOURCE;
        found(v, 41, result, GENERATION_FIX_NONE);
    } else if (self->crashed_primary && peer->crashed_primary) {
        found(v, 40, rules->resolve_conflicts ? -GENERATION_SOURCE : GENERATION_SOURCE,
              GENERATION_FIX_NONE);
    } else {
        found(v, 40, self->crashed_primary ? GENERATION_SOURCE : -GENERATION_SOURCE,
              GENERATION_FIX_NONE);
    }
}

void generation_compare(const struct generation_side *self, const struct generation_side *peer,
                        const struct generation_rules *rules, struct generation_verdict *v)
{
    struct masked m = mask(&self->generations), p = mask(&peer->generations);

    *v = (struct generation_verdict){.why = ""};
    if (m.c == GENERATION_JUST_CREATED && p.c == GENERATION_JUST_CREATED)
        found(v, 10, GENERATION_NO_SYNC, GENERATION_FIX_NONE);
    else if (!m.c &&
             !p.c) /* cannot be: metadata is created with 4; both being "older" would hang */
        found(v, 0, GENERATION_UNRELATED, GENERATION_FIX_NONE);
    else if (fresh(m.c) && p.c != GENERATION_JUST_CREATED)
        found(v, 20, -GENERATION_FULL, GENERATION_FIX_NONE);
    else if (fresh(p.c) && m.c != GENERATION_JUST_CREATED)
        found(v, 30, GENERATION_FULL, GENERATION_FIX_NONE);
    else if (m.c == p.c)
        compare_equal(self, peer, rules, &m, &p, v);
    else if (m.c == p.b)
        found(v, 50, -GENERATION_SOURCE, GENERATION_FIX_NONE);
    else if (m.c == p.h0 && m.c + GENERATION_SYNC_STEP == p.b)
        found(v, 51, -GENERATION_SOURCE, GENERATION_FIX_PEER_UNDO);
    else if (m.c == p.h0 || m.c == p.h1)
        found(v, 60, -GENERATION_FULL, GENERATION_FIX_NONE);
    else if (m.b == p.c)
        found(v, 70, GENERATION_SOURCE, GENERATION_FIX_NONE);
    else if (m.h0 == p.c && m.h0 + GENERATION_SYNC_STEP == m.b)
        found(v, 71, GENERATION_SOURCE, GENERATION_FIX_SELF_UNDO);
    else if (p.c == m.h0 || p.c == m.h1)
        found(v, 80, GENERATION_FULL, GENERATION_FIX_NONE);
    else if (m.b == p.b && m.b)
        found(v, 90, GENERATION_SPLIT_BRAIN_SAME_BASE, GENERATION_FIX_NONE);
    else if (m.h0 == p.h0 || m.h0 == p.h1 || m.h1 == p.h0 || m.h1 == p.h1)
        found(v, 100, GENERATION_SPLIT_BRAIN, GENERATION_FIX_NONE);
    else
        found(v, 0, GENERATION_UNRELATED, GENERATION_FIX_NONE);
}

/* The smaller one loses; equal ones are decided by the flag that exactly one node has. */
static int keep_larger(uint64_t mine, uint64_t theirs, const struct generation_rules *rules)
{
    if (mine != theirs)
        return mine < theirs ? -GENERATION_SOURCE : GENERATION_SOURCE;
    return rules->resolve_conflicts ? -GENERATION_SOURCE : GENERATION_SOURCE;
}

/* after-sb-0pri; also what the others fall back to. */
static int policy_0(const struct generation_side *self, const struct generation_side *peer,
                    const struct generation_rules *rules)
{
    /* Bit 0 of the common base tells who was Primary before the split: the older one. */
    uint64_t my_age = self->generations.bitmap & 1, peer_age = peer->generations.bitmap & 1;

    switch (rules->after_0) {
    case AFTER_SB_DISCARD_YOUNGER_PRIMARY:
        return keep_larger(my_age, peer_age, rules);
    case AFTER_SB_DISCARD_OLDER_PRIMARY:
        return keep_larger(!my_age, !peer_age, rules);
    case AFTER_SB_DISCARD_ZERO_CHANGES:
        if (self->dirty_bits && peer->dirty_bits)
            return GENERATION_SPLIT_BRAIN;
        return keep_larger(self->dirty_bits != 0, peer->dirty_bits != 0, rules);
    case AFTER_SB_DISCARD_LEAST_CHANGES:
        return keep_larger(self->dirty_bits, peer->dirty_bits, rules);
    case AFTER_SB_DISCARD_LOCAL:
        return -GENERATION_SOURCE;
    case AFTER_SB_DISCARD_REMOTE:
        return GENERATION_SOURCE;
    default:
        return GENERATION_SPLIT_BRAIN;
    }
}

static int policy(const struct generation_side *self, const struct generation_side *peer,
                  const struct generation_rules *rules, struct generation_verdict *v)
{
    unsigned primaries = self->primary + peer->primary;
    enum after_split_brain rule = primaries == 1 ? rules->after_1 : rules->after_2;
    int result = policy_0(self, peer, rules);

    if (!primaries)
        return result;
    switch (rule) {
    case AFTER_SB_CONSENSUS: /* only if the loser is the Secondary */
        if (primaries != 1 || result == GENERATION_SPLIT_BRAIN)
            return GENERATION_SPLIT_BRAIN;
        return (result == GENERATION_SOURCE) == self->primary ? result : GENERATION_SPLIT_BRAIN;
    case AFTER_SB_DISCARD_SECONDARY:
        if (primaries != 1)
            return GENERATION_SPLIT_BRAIN;
        return self->primary ? GENERATION_SOURCE : -GENERATION_SOURCE;
    case AFTER_SB_CALL_PRI_LOST:
        v->pri_lost_after_sb = result == -GENERATION_SOURCE && self->primary;
        return result;
    case AFTER_SB_VIOLENTLY:
        return result;
    default:
        return GENERATION_SPLIT_BRAIN;
    }
}

static enum replica_disk judged(const struct generation_side *side)
{
    if (side->disk == DISK_NEGOTIATING)
        return side->inconsistent ? DISK_INCONSISTENT : DISK_CONSISTENT;
    return side->disk;
}

static bool split(int sync)
{
    return abs(sync) == GENERATION_SPLIT_BRAIN_SAME_BASE;
}

/* (b) to (e): two histories. Leaves sync as +-1, +-2 or GENERATION_SPLIT_BRAIN. */
static void decide_split(const struct generation_side *self, const struct generation_side *peer,
                         const struct generation_rules *rules, struct generation_verdict *v)
{
    bool no_base = v->sync == GENERATION_SPLIT_BRAIN;

    v->initial_split_brain = true;
    if (!no_base || rules->always_asbp)
        v->sync = policy(self, peer, rules, v);
    if (v->sync == GENERATION_SPLIT_BRAIN && self->discard_my_data != peer->discard_my_data)
        v->sync = self->discard_my_data ? -GENERATION_SOURCE : GENERATION_SOURCE;
    if (v->sync == GENERATION_SPLIT_BRAIN) {
        v->split_brain = true;
        v->why = "split brain: both copies were changed independently";
        return;
    }
    /* Without a common base the two maps do not name all differences. This also holds for
     * discard-my-data, where the other implementation copies by bitmap: as both maps are merged,
     * one side that sets all bits is enough. */
    if (no_base)
        v->sync *= GENERATION_FULL;
}

static void refuse(struct generation_verdict *v, const char *why)
{
    v->action = GENERATION_REFUSE;
    v->fix = GENERATION_FIX_NONE;
    v->full = false;
    v->why = why;
}

void generation_decide(const struct generation_side *self, const struct generation_side *peer,
                       const struct generation_rules *rules, struct generation_verdict *v)
{
    enum replica_disk mine = judged(self), theirs = judged(peer);

    generation_compare(self, peer, rules, v);
    if (v->sync == GENERATION_UNRELATED) {
        refuse(v, "the two copies are unrelated");
        return;
    }
    if (v->sync == GENERATION_NEEDS_FEATURE) {
        refuse(v, "a crashed Primary reconnects, and the peer lacks the feature that settles it");
        return;
    }
    /* (a) */
    if ((mine == DISK_INCONSISTENT && theirs > DISK_INCONSISTENT) ||
        (theirs == DISK_INCONSISTENT && mine > DISK_INCONSISTENT)) {
        bool full = v->table == GENERATION_SPLIT_BRAIN || abs(v->table) == GENERATION_FULL;

        v->sync = mine > DISK_INCONSISTENT ? GENERATION_SOURCE : -GENERATION_SOURCE;
        v->sync *= full ? GENERATION_FULL : 1;
    }
    if (split(v->sync)) {
        decide_split(self, peer, rules, v);
        if (v->split_brain) {
            refuse(v, v->why);
            return;
        }
    }
    /* (f) After (a) the target of an Inconsistent source is Inconsistent too: both refuse. */
    if (v->sync && mine <= DISK_INCONSISTENT && theirs <= DISK_INCONSISTENT) {
        refuse(v, "both copies are inconsistent, there is nothing to resync from");
        return;
    }
    /* (g) A Primary that lost by policy has to demote first anyway. */
    if (v->sync < 0 && self->primary && mine >= DISK_CONSISTENT && !v->pri_lost_after_sb) {
        v->pri_lost = rules->rr_conflict == RR_CONFLICT_CALL_PRI_LOST;
        if (rules->rr_conflict != RR_CONFLICT_VIOLENTLY) {
            refuse(v, "this node is Primary and should become the target of a resync");
            return;
        }
    }
    v->full = abs(v->sync) == GENERATION_FULL;
    v->action = v->sync > 0   ? GENERATION_SYNC_SOURCE
                : v->sync < 0 ? GENERATION_SYNC_TARGET
                              : GENERATION_CONNECT;
    v->why = v->sync > 0   ? "the peer gets our changes"
             : v->sync < 0 ? "the peer's data is newer"
                           : "the copies are equal";
    if (rules->dry_run) {
        v->action = GENERATION_DRY_RUN;
        v->fix = GENERATION_FIX_NONE;
        v->full = false;
        v->why = v->sync > 0   ? "dry run: this node would become the source"
                 : v->sync < 0 ? "dry run: this node would become the target"
                               : "dry run: no resync would be needed";
    }
}

bool generation_policy_matches(enum after_split_brain mine, uint32_t theirs)
{
    if (theirs == AFTER_SB_DISCARD_LOCAL)
        return mine == AFTER_SB_DISCARD_REMOTE;
    if (theirs == AFTER_SB_DISCARD_REMOTE)
        return mine == AFTER_SB_DISCARD_LOCAL;
    return mine == theirs;
}
