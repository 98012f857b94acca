/* Data generations of one volume: how the generation numbers move and how two nodes that meet find
 * out, each for itself and with mirrored results, who has the newer data. Pure.
 *
 * A generation number is a random u64. Bit 0 of the current one says "this node was Primary"; it is
 * masked in every comparison. Nothing here becomes durable by itself: each move says what the
 * caller has to have on disk before which step. All functions may be called on any thread, with the
 * caller's data. */
#ifndef HALUN_REPLICATION_GENERATION_H
#define HALUN_REPLICATION_GENERATION_H

#include <stdbool.h>
#include <stdint.h>

#include "replication/replica.h"

#define GENERATION_JUST_CREATED UINT64_C(4)         /* current generation of fresh metadata */
#define GENERATION_SYNC_STEP    (UINT64_C(1) << 48) /* a sync's generation is its base plus this */

struct generations {
    uint64_t current;    /* bit 0: this node was Primary */
    uint64_t bitmap;     /* what the set bits of the dirty map are relative to; 0 = none */
    uint64_t history[2]; /* [0] is the younger */
};

/* True when `a` and `b` name the same generation (bit 0 ignored). */
bool generation_equal(uint64_t a, uint64_t b);

/* Fresh metadata: current 4, the rest 0. */
void generation_create(struct generations *g);

/* Promotion (primary) or demotion: bit 0 of current. Durable before the role is reported. */
void generation_set_role(struct generations *g, bool primary);

/* A new generation: a Primary with an UpToDate disk lost its peer's copy, promotes unconnected, or
 * was forced. bitmap := current, current := `random` with bit 0 = primary. Does nothing and returns
 * false when a bitmap generation exists already. Durable before any write is acknowledged without
 * the peer. */
bool generation_new(struct generations *g, uint64_t random, bool primary);

/* A new generation by the operator's order while StandAlone: the bitmap generation goes to history,
 * then as generation_new(). */
void generation_new_offline(struct generations *g, uint64_t random, bool primary);

/* Becoming SyncSource. Returns the number to send in P_SYNC_UUID. `random` is used when there is no
 * bitmap generation to derive it from. Durable before sending. */
uint64_t generation_become_source(struct generations *g, uint64_t random);

/* P_SYNC_UUID arrived at the target: current := number, bitmap := 0. Durable before the first
 * resync write. */
void generation_become_target(struct generations *g, uint64_t number, bool primary);

/* The resync finished without failed blocks, source: bitmap goes to history. */
void generation_finish_source(struct generations *g);

/* The same at the target: `peer` are the source's generations as received in the handshake (after
 * generation_repair()), `number` is that of P_SYNC_UUID. Afterwards both sides are equal. Durable
 * before UpToDate is reported. */
void generation_finish_target(struct generations *g, const struct generations *peer,
                              uint64_t number, bool primary);

/* Skip the initial sync, both sides connected and just created. The initiator makes the new
 * generation (then clears its map and sends P_UUIDS with UUIDS_SKIP_INITIAL_SYNC); the receiver
 * adopts it from those and clears its map. False: not just created, nothing changed. */
bool generation_skip_sync_initiate(struct generations *g, uint64_t random, bool primary);
bool generation_skip_sync_adopt(struct generations *g, const struct generations *peer,
                                bool primary);

/* What the comparison table says about (self, peer). The numbers are those of the table. */
enum {
    GENERATION_NO_SYNC = 0,
    GENERATION_SOURCE = 1, /* negative: target */
    GENERATION_FULL = 2,   /* +-2: the same, all blocks */
    GENERATION_SPLIT_BRAIN_SAME_BASE = 100,
    GENERATION_SPLIT_BRAIN = -100,
    GENERATION_UNRELATED = -1000,
    GENERATION_NEEDS_FEATURE = -1001, /* rule 41 without the WSAME feature: refuse */
};

/* What has to be put right in the generations before going on (generation_repair()). */
enum generation_fix {
    GENERATION_FIX_NONE,
    GENERATION_FIX_SELF_ROTATE, /* rule 34: I missed the end of a sync: bitmap goes to history */
    GENERATION_FIX_PEER_ROTATE, /* rule 35: the same in my copy of the peer's */
    GENERATION_FIX_SELF_UNDO,   /* rule 71: my P_SYNC_UUID got lost: undo becoming the source */
    GENERATION_FIX_PEER_UNDO,   /* rule 51: the same in my copy of the peer's */
};

/* One side of the handshake: from the superblock and the state, or from P_UUIDS and P_STATE. */
struct generation_side {
    struct generations generations;
    uint64_t dirty_bits;    /* set bits of the map (P_UUIDS) */
    enum replica_disk disk; /* Negotiating is judged by `inconsistent` below */
    bool inconsistent;      /* P_UUIDS flag 4; only read while disk is Negotiating */
    bool primary;           /* role now */
    bool crashed_primary;   /* P_UUIDS flag 2 */
    bool discard_my_data;   /* P_UUIDS flag 1 */
};

/* after-sb policies (numbers of P_PROTOCOL). */
enum after_split_brain {
    AFTER_SB_DISCONNECT = 0,
    AFTER_SB_DISCARD_YOUNGER_PRIMARY,
    AFTER_SB_DISCARD_OLDER_PRIMARY,
    AFTER_SB_DISCARD_ZERO_CHANGES,
    AFTER_SB_DISCARD_LEAST_CHANGES,
    AFTER_SB_DISCARD_LOCAL,
    AFTER_SB_DISCARD_REMOTE,
    AFTER_SB_CONSENSUS,
    AFTER_SB_DISCARD_SECONDARY,
    AFTER_SB_CALL_PRI_LOST,
    AFTER_SB_VIOLENTLY,
};

/* What a Primary with good data does when it should become the target. */
enum resync_conflict { RR_CONFLICT_DISCONNECT, RR_CONFLICT_CALL_PRI_LOST, RR_CONFLICT_VIOLENTLY };

struct generation_rules {
    bool resolve_conflicts; /* this node accepted the meta socket: exactly one of the two has it */
    bool feature_wsame;     /* both announced it (rule 41) */
    bool always_asbp;       /* the policies also for split brain without a common base */
    bool dry_run;           /* P_PROTOCOL flag 2 of either side */
    enum after_split_brain after_0, after_1, after_2; /* by number of Primaries */
    enum resync_conflict rr_conflict;
};

/* What the two sides are going to do, seen from self. Action and full mirror on the other node. */
enum generation_action {
    GENERATION_CONNECT, /* no resync needed (or, if both disks are good, none possible) */
    GENERATION_SYNC_SOURCE,
    GENERATION_SYNC_TARGET,
    GENERATION_REFUSE,  /* drop the link, StandAlone; `why` says what is wrong */
    GENERATION_DRY_RUN, /* drop the link; `sync` says what would have been done */
};

struct generation_verdict {
    unsigned rule;           /* number of the table's row that matched; 0 = none */
    int table;               /* that row's result (GENERATION_*), before the overrides */
    int sync;                /* after the overrides: 0, +-1, +-2, or a refusal as in `table` */
    enum generation_fix fix; /* to be applied when action is not REFUSE or DRY_RUN */
    enum generation_action action;
    bool full;                /* set and write all bits first */
    bool initial_split_brain; /* run handler initial-split-brain */
    bool split_brain;         /* run handler split-brain */
    bool pri_lost_after_sb;   /* this Primary lost by policy: demote, or run pri-lost-after-sb */
    bool pri_lost;            /* rr-conflict call-pri-lost: run handler pri-lost */
    const char *why;          /* one sentence for the log; never NULL */
};

/* The table alone: fills rule, table, sync, fix. */
void generation_compare(const struct generation_side *self, const struct generation_side *peer,
                        const struct generation_rules *rules, struct generation_verdict *verdict);

/* The table and the overrides (a)..(i): the whole decision after both P_UUIDS and P_STATE are
 * known. Only right when both sides have a disk (>= Inconsistent after judging Negotiating). */
void generation_decide(const struct generation_side *self, const struct generation_side *peer,
                       const struct generation_rules *rules, struct generation_verdict *verdict);

/* Applies verdict->fix to this node's generations and to the copy kept of the peer's. */
void generation_repair(const struct generation_verdict *verdict, struct generations *self,
                       struct generations *peer);

/* A peer's P_PROTOCOL policies are acceptable when each equals mine; local and remote are mirrored.
 */
bool generation_policy_matches(enum after_split_brain mine, uint32_t theirs);

#endif
