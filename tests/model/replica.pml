/* replication/: what of it decides whose copy counts. One block, whose content is the number of the newest write. */

#define HOLDERS ((volatile_[0] >= acked -> 1 : 0) | (volatile_[1] >= acked -> 2 : 0))

inline wrote(n) {
    sure = sure & ~B(n) | (volatile_[n] >= acked -> B(n) : 0);
    cache_lost = cache_lost & ~B(n)
}

inline flush(n) {
    stable[n] = volatile_[n]
}

/* The connection is gone for n. */
inline unlink(n) {
    printf("node%d: link lost\n", n);
    linked = linked & ~B(n);
    pipe[OTHER(n)] = 0;
    target = target & ~B(n);
    if
    :: w[n] && (w_peer[n] < THERE || !IN(w_local, n)) -> w_peer[n] = NOT_THERE
    :: else
    fi;
    if
    :: IN(primary, n) -> unstable = unstable | B(n)
    :: else
    fi
}

/* The daemon ends: what its replica had in memory is gone. */
inline forget_copy(n) {
    if
    :: state[n] == UP_TO_DATE -> state[n] = CONSISTENT
    :: else
    fi;
    linked = linked & ~B(n);
    pipe[OTHER(n)] = 0;
    primary = primary & ~B(n);
    target = target & ~B(n);
    outdate_asked = outdate_asked & ~B(n);
    to_flush = to_flush & ~B(n);
    agreed = agreed & ~B(n);
    alone = alone & ~B(n);
    separate = separate & ~B(n);
    settled_as[n] = 0;
    standalone = standalone & ~B(n);
    unstable = unstable & ~B(n);
    w[n] = 0;
    w_local = w_local & ~B(n);
    w_peer[n] = 0;
    answer[n] = 0
}

/* Whose copies are current, by who knows the newest. */
#define NEWEST_CURRENT (member -> (!IN(member, 1) || IN(member, 0) && ord[0] >= ord[1] -> cur[0] : cur[1]) : \
    (d_ord[0] >= d_ord[1] -> d_cur[0] : d_cur[1]))

/* Power is lost: of what was not flushed all (`kept`) or nothing is on the disk. What no current copy has for sure any more
 * was lost in order (docs/replication.md, tests/sim/caches.c). */
inline lose_cache(n, kept) {
    complete = complete & ~(BROKEN(COMPLETE_POWER) -> 0 : B(n));
    if
    :: volatile_[n] != stable[n] -> cache_lost = cache_lost | B(n)
    :: else
    fi;
    /* Where both are current it is not this copy that counts because it happened to be flushed: rule 40. */
    if
    :: stable[n] < acked || NEWEST_CURRENT == 3 && acked > flushed -> sure = sure & ~B(n)
    :: else
    fi;
    if
    :: kept -> stable[n] = volatile_[n]
    :: else -> volatile_[n] = stable[n]
    fi;
    if
    :: !(sure & NEWEST_CURRENT) -> acked = flushed; sure = HOLDERS
    :: else
    fi
}

/* The peer's copy is outdated at this place of the order: what it has for sure must not be in a cache alone here. Not so if
 * they were connected again while that was on its way: what came in between goes with the power of who asked (docs). */
inline stands_alone(n) {
    if
    :: IN(back, n) ->
        if
        :: IN(cache_lost & ~sure, n) -> acked = flushed; sure = HOLDERS
        :: else
        fi
    :: else ->
        given_up_is_stable = !IN(sure, OTHER(n)) || stable[n] >= acked;
        assert(given_up_is_stable)
    fi
}

/* --- standing.c --- */
#define EQUAL 1
#define BETTER 2
#define WORSE 3
#define STANDING(n) (!SERVING(n) || owner[n] == OTHER(n) + 1 -> 0 : \
    (IN(cur[n], 0) == IN(cur[n], 1) -> EQUAL : (IN(cur[n], n) -> BETTER : WORSE)))

inline tell_standing(n) {
    if
    :: IN(running, n) && op[(n) * 4 + S_CURRENT] == IDLE && STANDING(n) && STANDING(n) != settled_as[n] ->
        settled_as[n] = STANDING(n);
        separate = separate & ~B(n) | (settled_as[n] == BETTER && !BROKEN(SURVIVOR_GENERATION) -> B(n) : 0)
    :: else
    fi
}

#define WITNESS(n) (!BROKEN(WITNESS_HOLDS) && IN(complete, n) && state[n] >= CONSISTENT && STANDING(n) != WORSE)

inline new_generation(n) {
    flush(n);
    ahead = ahead | B(n)
}

inline tell_current(n) {
    back = back | (IN(outdate_asked & ~to_flush, n) -> B(n) : 0);
    agreed = agreed & ~B(n);
    outdate_asked = outdate_asked & ~B(n);
    separate = separate & ~B(n);
    outdate_wanted = outdate_wanted & ~B(n);
    to_flush = to_flush & ~B(n);
    if
    :: !IN(cur[n], OTHER(n)) && op[(n) * 4 + S_CURRENT] == IDLE && IN(mem[n], OTHER(n)) -> ask_for(n, S_CURRENT, CURRENT)
    :: else
    fi
}

inline equal_now() {
    state[0] = UP_TO_DATE;
    state[1] = UP_TO_DATE;
    crashed = 0;
    complete = 3
}

/* --- a connection is made: handshake.c, generation_compare.c --- */
hidden byte ca, source, holds;
#define NOBODY 2

/* `tie`: who is the source where both crashed as Primary, which is decided by who accepted the socket. */
inline connect(tie) {
    source = NOBODY;
    holds = false;
    if
    :: state[0] == INCONSISTENT -> source = 1
    :: state[0] != INCONSISTENT && state[1] == INCONSISTENT -> source = 0
    :: else ->
        no_split_brain = ahead != 3;
        if
        :: ahead == 1 -> source = 0
        :: ahead == 2 -> source = 1
        :: else -> /* one generation: rule 41, rule 40 */
            if
            :: primary == 1 && crashed -> source = 0
            :: primary == 2 && crashed -> source = 1
            :: !primary && crashed == 1 -> source = 0
            :: !primary && crashed == 2 -> source = 1
            :: !primary && crashed == 3 -> source = tie
            :: else
            fi;
            /* standing_holds() */
            if
            :: source != NOBODY && !primary && state[1 - source] >= CONSISTENT ->
                ca = 1 - source;
                if
                :: !BROKEN(RULE40_UNSETTLED) && (!STANDING(source) || !STANDING(ca) && !WITNESS(ca)) -> holds = true
                :: else
                fi;
                if
                :: STANDING(ca) == BETTER && !BROKEN(SURVIVOR_GENERATION) -> separate = separate | B(ca); holds = true
                :: else ->
                    if
                    :: WITNESS(ca) -> to_flush = to_flush | B(ca); holds = true
                    :: else
                    fi
                fi;
                if
                :: STANDING(source) == WORSE && !BROKEN(RULE40_WORSE) -> holds = true
                :: else
                fi
            :: else
            fi
        fi
    fi;
    if
    :: holds
    :: !holds && source == NOBODY ->
        linked = 3;
        if
        :: primary == 1 && w_local & 1 -> w_peer[0] = THERE
        :: primary == 2 && w_local & 2 -> w_peer[1] = THERE
        :: else
        fi;
        if
        :: primary && !(w_local & primary) -> w_peer[primary >> 1] = TO_SEND
        :: else
        fi;
        if
        :: primary -> /* what was missing there is sent */
            ca = 2 - primary;
            volatile_[ca] = volatile_[1 - ca];
            wrote(ca)
        :: else
        fi;
        equal_now();
        if
        :: primary -> tell_current(primary >> 1)
        :: else
        fi
    :: !holds && source != NOBODY && IN(primary, 1 - source) -> standalone = standalone | B(1 - source)
    :: else ->
        printf("resync from node%d\n", source);
        linked = 3;
        state[source] = UP_TO_DATE;
        target = B(1 - source);
        state[1 - source] = INCONSISTENT
    fi
}

/* The resync has ended, durably. */
inline resynced(n) {
    printf("node%d: resynchronised\n", n);
    ca = OTHER(n);
    volatile_[n] = volatile_[ca];
    wrote(n);
    flush(n);
    target = 0;
    ahead = 0;
    alone = alone & ~B(ca);
    equal_now();
    if
    :: w[ca] -> w_peer[ca] = (IN(w_local, ca) -> THERE : TO_SEND)
    :: else
    fi;
    tell_current(ca)
}

/* replica_promote() */
#define PEER_PRIMARY(n) (CONNECTED && IN(primary, OTHER(n)) && IN(mem[n], OTHER(n)))
#define REPLICA_MAY(n) (IN(linked, n) -> (CONNECTED && GUARD(REPLICA_ASKS, !IN(primary, OTHER(n))) && !pipe[OTHER(n)] && !target && state[n] == UP_TO_DATE) : \
    state[n] >= CONSISTENT && !IN(agreed, n))

inline make_primary(n) {
    printf("node%d: Primary\n", n);
    primary = primary | B(n);
    state[n] = UP_TO_DATE;
    complete = complete | B(n);
    to_flush = to_flush & ~B(n);
    if
    :: CONNECTED && state[OTHER(n)] == UP_TO_DATE -> tell_current(n)
    :: else -> mark = mark | B(n)
    fi
}

#define HOPELESS(n) (!IN(linked, n) && !IN(alone, n))
#define DEMOTES(n) (IN(linked, n) -> CONNECTED && GUARD(DEMOTE_DRAINED, !w[n]) && !target && !pipe[n] : !w[n] || HOPELESS(n))

inline make_secondary(n) {
    printf("node%d: Secondary\n", n);
    if
    :: CONNECTED -> stable[OTHER(n)] = volatile_[OTHER(n)]
    :: else ->
        flush(n);
        crashed = crashed | (IN(unstable, n) && !IN(alone, n) || w[n] -> B(n) : 0);
        mark = mark & ~B(n);
        w[n] = 0;
        w_local = w_local & ~B(n);
        w_peer[n] = 0
    fi;
    primary = primary & ~B(n);
    unstable = unstable & ~B(n);
    agreed = agreed & ~B(n);
    alone = alone & ~B(n);
    outdate_asked = outdate_asked & ~B(n);
    to_flush = to_flush & ~B(n);
    if
    :: cur[n] && !IN(cur[n], n) -> standalone = standalone & ~B(n)
    :: else
    fi
}

/* A Primary without its peer has it outdated. */
inline replica_advance(n) {
    if
    :: !SHARED && IN(primary & ~linked & ~outdate_asked & ~agreed, n) && IN(running, n) ->
        outdate_asked = outdate_asked | B(n);
        to_flush = to_flush | B(n)
    :: else
    fi
}

/* outdating.c */
inline ask_outdating(n) {
    printf("node%d: asks to outdate the other copy\n", n);
    if
    :: !BROKEN(OUTDATE_FLUSHED) -> flush(n)
    :: else
    fi;
    to_flush = to_flush & ~B(n);
    back = back & ~B(n);
    outdate_wanted = outdate_wanted | (IN(linked, n) -> 0 : B(n));
    outdate_asked = outdate_asked & ~(IN(linked, n) -> B(n) : 0)
}

inline peer_outdated(n) {
    if
    :: IN(primary, n) && !IN(linked, n) -> agreed = agreed | B(n)
    :: IN(primary, n) && CONNECTED && state[OTHER(n)] == UP_TO_DATE -> tell_current(n)
    :: else
    fi
}
