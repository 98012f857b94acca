/* Groups on top of the agreed order, for two nodes with a copy each: who executes, the handover, which copies are current, and
 * what a crash leaves of them (docs/cluster.md "Owners", target/daemon/group_plan.c, groups.c, group_copies.c;
 * docs/replication.md "A Primary crashes"). tests/model/run compiles it as it does cluster.pml. */
#include "guards.h"
#include "guard.pml"
#include "copies.pml"

hidden byte one_executor, one_primary, moved_as_wished, acked_is_on_executor, acked_is_on_promotable, flushed_is_stable;
hidden byte successor_is_current, copies_are_equal, alone_is_the_only_primary;
hidden byte no_split_brain, given_up_is_stable, whole_and_quiet_is_at_rest, never_decides;

#include "replica.pml"
#include "agreed.pml"

hidden byte ei;

#ifdef LIVENESS
byte calm;                   /* no fault any more: live_group.pml */
#define CALM calm
#else
#define CALM 0
#endif

/* --- group_plan() --- */
#define DRAINING(n) (change[n] != 0)
#define DOUBTFUL(n) (state[n] == CONSISTENT && !IN(linked, n) && IN(cur[n], OTHER(n)) && IN(running, OTHER(n)) && !parted)
#define READY(n) (IN(linked, n) && state[n] == UP_TO_DATE)
#define MINE(n) (owner[n] == (n) + 1)
#define HERE(n) (IN(running, n) && !busy[n])
/* May the copy become Primary's? */
#define COPY_MAY(n) (IN(cur[n], n) && GUARD(PROMOTE_DRAINED, !DRAINING(n)) && GUARD(PROMOTE_PEER, !PEER_PRIMARY(n)) && \
    GUARD(PROMOTE_COMPARED, !DOUBTFUL(n)))
#define PROMOTES(n) (HERE(n) && wish[n] == PROMOTING && SERVING(n))
#define AS_OWNER(n) (MINE(n) && IN(confirmed, n))
#define STEPS_BACK(n) (!SHARED && IN(primary, n) && !MINE(n) && (owner[n] -> !DRAINING(n) : cur[n] && !IN(cur[n], n)))
#define MAKES_PRIMARY(n) (PROMOTES(n) && !IN(primary, n) && (AS_OWNER(n) || !owner[n] && COPY_MAY(n)))
#define ACQUIRES(n) (PROMOTES(n) && !STEPS_BACK(n) && IN(primary, n) && !owner[n] && IN(cur[n], n))
#define GIVES_UP(n) (HERE(n) && (wish[n] == DEMOTING || wish[n] == REST && IN(yielding, n) && (!MINE(n) || IN(asked | overdue, n))))
#define RELEASES(n) (PROMOTES(n) && MINE(n) && !IN(confirmed, n) || GIVES_UP(n) && MINE(n))
#define MAKES_SECONDARY(n) (PROMOTES(n) && STEPS_BACK(n) || GIVES_UP(n) && !MINE(n) && !SHARED && IN(primary, n))
#define DONE(n) (PROMOTES(n) && AS_OWNER(n) && IN(primary, n) || GIVES_UP(n) && !MINE(n) && (SHARED || !IN(primary, n)))
#define ASKS(n) (PROMOTES(n) && (SHARED || !IN(primary, n)) && owner[n] && !MINE(n) && READY(n) && IN(cur[n], n))
#define NOT_ASKED(n) (!(q[OTHER(n)]??[eval(MESSAGE(HANDOVER, n, 0)), m1]) && !IN(asked, OTHER(n)))
#define MAY_YIELD(n) (SERVING(n) && AS_OWNER(n) && IN(primary, n) && (cur[n] & mem[n] & ~B(n)))

#define FREE_SLOT(n) (op[(n) * 4] == IDLE && T_SETTLED(n, T(n, 0)) && T_SETTLED(OTHER(n), T(n, 0)) -> 0 : 1)
#define HAS_SLOT(n) (op[(n) * 4 + FREE_SLOT(n)] == IDLE && T_SETTLED(n, T(n, FREE_SLOT(n))) && T_SETTLED(OTHER(n), T(n, FREE_SLOT(n))))

/* compare_record(): a ping is answered, so both see the connection */
#define SEEMS_EQUAL(n) (CONNECTED && !target && state[0] == UP_TO_DATE && state[1] == UP_TO_DATE && SERVING(n) && cur[n] == B(n) && \
    IN(mem[n], OTHER(n)) && !IN(outdate_wanted, n) && op[(n) * 4 + S_OUTDATE] == IDLE && op[(n) * 4 + S_CURRENT] == IDLE)

/* Acknowledgements are by slot here, so nobody may still be at what this slot, perhaps of an earlier process, was before. */
#define OUTDATE_OVER(n) (T_SETTLED(n, T(n, S_OUTDATE)) && T_SETTLED(OTHER(n), T(n, S_OUTDATE)))

inline commit_group(n, kind) {
    busy[n] = FREE_SLOT(n) + 1;
    ask_for(n, busy[n] - 1, kind)
}

inline answers(n) {
    if
    :: ANSWERED(n, 0) || (BROKEN(ACQUIRE_CONFIRMED) && op[(n) * 4] == APPLIED && op_kind[(n) * 4] == ACQUIRE) ||
       ANSWERED(n, 1) || (BROKEN(ACQUIRE_CONFIRMED) && op[(n) * 4 + 1] == APPLIED && op_kind[(n) * 4 + 1] == ACQUIRE) ->
        gj = (op[(n) * 4] >= APPLIED && (ANSWERED(n, 0) || BROKEN(ACQUIRE_CONFIRMED)) -> 0 : 1);
        if
        :: busy[n] == gj + 1 ->
            busy[n] = 0;
            if
            :: op_kind[(n) * 4 + gj] == ACQUIRE && op[(n) * 4 + gj] == APPLIED && MINE(n) -> confirmed = confirmed | B(n)
            :: else
            fi
        :: else
        fi;
        op[(n) * 4 + gj] = IDLE;
        op_kind[(n) * 4 + gj] = 0
    :: else
    fi;
    /* outdated(): it may have become current behind that */
    if
    :: ANSWERED(n, S_OUTDATE) ->
        op[(n) * 4 + S_OUTDATE] = IDLE + (op[(n) * 4 + S_OUTDATE] == REFUSED -> REFUSED : 0);
        if
        :: op[(n) * 4 + S_OUTDATE] == REFUSED ->
            op[(n) * 4 + S_OUTDATE] = IDLE;
            outdate_wanted = outdate_wanted & ~(IN(primary, n) -> 0 : B(n))
        :: else ->
            if
            :: !BROKEN(OUTDATED_LATE) && (IN(cur[n], OTHER(n)) || op[(n) * 4 + S_CURRENT] != IDLE)
            :: else -> outdate_wanted = outdate_wanted & ~B(n); peer_outdated(n)
            fi
        fi
    :: BROKEN(ALONE_AGREED) && IN(outdate_wanted, n) -> peer_outdated(n)
    :: else
    fi;
    if
    :: ANSWERED(n, S_CURRENT) -> op[(n) * 4 + S_CURRENT] = IDLE
    :: else
    fi;
    if
    :: IN(outdate_wanted, n) && op[(n) * 4 + S_OUTDATE] == IDLE && SERVING(n) && OUTDATE_OVER(n) ->
        /* What would be refused is asked for again and again by a Primary, which changes nothing. */
        if
        :: GUARD(OUTDATE_OWNER, owner[n] != OTHER(n) + 1) && GUARD(OUTDATE_LAST, cur[n] != B(OTHER(n))) -> ask_for(n, S_OUTDATE, OUTDATE)
        :: else -> outdate_wanted = outdate_wanted & ~(IN(primary, n) -> 0 : B(n))
        fi
    :: else
    fi
}

/* --- commands --- */
inline good(v, n) {
    if
    :: v > acked -> acked = v
    :: else
    fi;
    sure = HOLDERS & ~cache_lost
}

#define OVER(n) (w[n] && IN(w_local, n) && (w_peer[n] == THERE || IN(alone, n)))

/* --- after every step --- */
#define RENEWS(n) (IN(member & ~lease, n) && !IN(unp, n) && (mem[n] == B(n) || !parted && member == 3))
#define RUNS(n, set) (w[n] && SERVING(n))
inline settled() {
    ei = 0;
    do
    :: ei < 2 * N -> /* twice: one hears of what the other one has just settled */
        if
        :: IN(running, ei & 1) ->
            if
            :: !IN(LATE_LEASES, ei & 1) && RENEWS(ei & 1) -> lease = lease | B(ei & 1)
            :: else
            fi;
            if
            :: !w[ei & 1] -> carry[ei & 1] = carry[ei & 1] & ~(T(0, 0) | T(0, 1) | T(1, 0) | T(1, 1))
            :: else
            fi;
            replica_advance(ei & 1);
            if
            :: EAGER & 1 && IN(dirty, ei & 1) -> record(ei & 1)
            :: else
            fi;
            answers(ei & 1);
            commit_advance(ei & 1);
            answers(ei & 1);
            tell_standing(ei & 1);
            if
            :: answer[ei & 1] && SERVING(ei & 1) ->
                good(answer[ei & 1], ei & 1);
                answer[ei & 1] = 0
            :: else
            fi
        :: else
        fi;
        ei++
    :: else -> break
    od;
#ifndef LIVENESS
    check()
#endif
}

#define PROMOTABLE(n) (SERVING(n) && !busy[n] && (owner[n] == 0 && IN(cur[n], n) && (IN(primary, n) || COPY_MAY(n) && REPLICA_MAY(n))))

inline check() {
    one_executor = true;
    acked_is_on_executor = true;
    acked_is_on_promotable = true;
    flushed_is_stable = true;
    if
    :: (EXECUTES(0) || RUNS(0, 0)) && (EXECUTES(1) || RUNS(1, 1)) -> one_executor = false
    :: else
    fi;
    one_primary = SHARED || !(CONNECTED && primary == 3);
    alone_is_the_only_primary = SHARED || !(IN(alone, 0) && IN(primary, 1) || IN(alone, 1) && IN(primary, 0));
    copies_are_equal = SHARED || !CONNECTED || target || state[0] != UP_TO_DATE || state[1] != UP_TO_DATE ||
        w[0] || w[1] || pipe[0] || pipe[1] || volatile_[0] == volatile_[1];
    ei = 0;
    do
    :: ei < N ->
        if
        :: EXECUTES(ei) && volatile_[ei] < acked -> acked_is_on_executor = false
        :: else
        fi;
        if
        :: PROMOTABLE(ei) && volatile_[ei] < acked -> acked_is_on_promotable = false
        :: else
        fi;
        if
        :: SERVING(ei) && (IN(cur[ei], 0) && stable[0] < flushed || IN(cur[ei], 1) && stable[1] < flushed) -> flushed_is_stable = false
        :: else
        fi;
        ei++
    :: else -> break
    od;
    never_decides = !NEVER || c_expr { !opened };
    assert(never_decides);
    assert(one_executor);
    assert(one_primary);
    assert(copies_are_equal);
    assert(alone_is_the_only_primary);
    assert(acked_is_on_executor);
    assert(acked_is_on_promotable);
    assert(flushed_is_stable);
    assert(no_split_brain)
}

/* --- hosts --- */
inline end_daemon(n) {
    running = running & ~B(n);
    if
    :: !parted && IN(member, OTHER(n)) && IN(member, n) -> push(OTHER(n), MESSAGE(DROP, n, 0), 0)
    :: else
    fi;
    member = member & ~B(n);
    mem[n] = 0;
    ord[n] = 0;
    owner[n] = 0;
    cur[n] = 0;
    epoch[n] = 0;
    unp = unp & ~B(n);
    lease = lease & ~B(n);
    dirty = dirty & ~B(n);
    view_wait = view_wait & ~B(n);
    passed_over = passed_over & ~B(n);
    ticket[n] = 0;
    carry[n] = 0;
    persist[n] = 0;
    await[n] = 0;
    gi = 0;
    do
    :: gi < 4 -> op[(n) * 4 + gi] = IDLE; op_kind[(n) * 4 + gi] = 0; gi++
    :: else -> break
    od;
    wish[n] = REST;
    yielding = yielding & ~B(n);
    asked = asked & ~B(n);
    overdue = overdue & ~B(n);
    confirmed = confirmed & ~B(n);
    busy[n] = 0;
    change[n] = 0;
    outdate_wanted = outdate_wanted & ~B(n);
    do
    :: len(q[n]) -> q[n]?m0, m1
    :: else -> break
    od;
    forming = forming & ~B(n);
    forget_copy(n)
}

inline power_off(n, kept) {
    printf("node%d: off\n", n);
    up = up & ~B(n);
    lose_cache(n, kept);
    if
    :: IN(running, n) ->
        if
        :: !parted -> parted = 1; forming = forming | (B(OTHER(n)) & running)
        :: else
        fi;
        end_daemon(n)
    :: else -> parted = 1
    fi
}

inline start_daemon(n) {
    printf("node%d: starts\n", n);
    up = up | B(n);
    running = running | B(n);
    primary = primary | (SHARED -> B(n) : 0);
    crashed = crashed | (mark & B(n));
    mark = mark & ~B(n)
}

inline admit(n, k) {
    printf("node%d: joins\n", n);
    member = 3;
    ord[k]++;
    mem[k] = 3;
    mem[n] = 3;
    ord[n] = ord[k];
    owner[n] = owner[k];
    cur[n] = cur[k];
    epoch[n] = epoch[k];
    /* distrust_returned() */
    if
    :: !SHARED && owner[k] == (k) + 1 && IN(cur[k], k) && !BROKEN(RETURN_COMPARED) ->
        cur[k] = cur[k] & ~B(n);
        cur[n] = cur[k];
        passed_over_at(k)
    :: else
    fi;
    change[n] = 0;
    lease = lease & ~B(n);
    record(n);
    record(k)
}

/* Both rings are one again; docs/cluster.md "Back together". */
#define SAME_STATE (ord[0] == ord[1] && owner[0] == owner[1] && cur[0] == cur[1])
inline merge() {
    parted = 0;
    merges--;
    if
    :: member == 3 && SAME_STATE ->
        printf("together again\n");
        unp = 0;
        lease = 0;
        await[0] = await[0] & ticket[1];
        await[1] = await[1] & ticket[0]
    :: member == 3 && !SAME_STATE && ord[0] >= ord[1] -> parted = 1; end_daemon(1); parted = 0; push(0, MESSAGE(DROP, 1, 0), 0)
    :: member == 3 && ord[0] < ord[1] -> parted = 1; end_daemon(0); parted = 0; push(1, MESSAGE(DROP, 0, 0), 0)
    :: member == 1 && IN(running, 1) && mem[0] == 3 -> push(0, MESSAGE(DROP, 1, 0), 0)
    :: member == 2 && IN(running, 0) && mem[1] == 3 -> push(1, MESSAGE(DROP, 0, 0), 0)
    :: else
    fi
}

/* The record of n is the newest, and all whom it names are here. */
#define NEWEST(n) (IN(disk, n) && (!IN(disk, OTHER(n)) || d_ord[n] > d_ord[OTHER(n)] || d_ord[n] == d_ord[OTHER(n)] && n == 0))
#define COLD_START(n) (!member && IN(running, n) && !parted && up == 3 && IN(disk, n) && !(d_mem[n] & ~running) && \
    (NEWEST(n) || !IN(running, OTHER(n))))

inline cold_start(n) {
    printf("node%d: cold start\n", n);
    member = B(n);
    ord[n] = d_ord[n] + 1;
    mem[n] = B(n);
    cur[n] = d_cur[n];
    d_mem[OTHER(n)] = d_mem[OTHER(n)] | (IN(running, OTHER(n)) -> B(n) : 0);
    epoch[n] = 1;
    owner[n] = 0;
    /* Its peer's daemon is not here to be compared with: docs/cluster.md "The copy of a lost owner". */
    if
    :: !IN(running, OTHER(n)) && IN(cache_lost & ~sure, n) -> acked = flushed; sure = HOLDERS
    :: else
    fi;
    record(n)
}

proctype node(byte me) {
    do
    :: atomic {
    if
    :: d_step { IN(running, me) && len(q[me]) && (ROOM || len(q[me]) > QUEUE - 6) -> read(me); skip }
    :: d_step { IN(running & LATE_LEASES, me) && RENEWS(me) -> printf("node%d: lease\n", me); lease = lease | B(me) }
    :: d_step { IN(running & dirty, me) -> printf("node%d: journal\n", me); record(me); skip }
    /* the group */
    :: d_step { promotes && IN(running, me) && wish[me] == REST ->
        promotes--;
        printf("node%d: to be promoted\n", me);
        wish[me] = PROMOTING;
        given_up = given_up & ~B(me);
        yielding = yielding & ~B(me);
        asked = asked & ~B(me);
        overdue = overdue & ~B(me) }
    :: d_step { demotes && IN(running, me) && wish[me] == REST && !IN(yielding, me) && MAY_YIELD(me) ->
        demotes--;
        given_up = given_up | B(me);
        printf("node%d: demoted, until the other asks\n", me);
        yielding = yielding | B(me);
        asked = asked & ~B(me) }
    :: d_step { demotes && IN(running, me) && wish[me] == REST && (MINE(me) || IN(primary, me)) ->
        demotes--;
        given_up = given_up | B(me);
        printf("node%d: to be demoted\n", me);
        wish[me] = DEMOTING;
        yielding = yielding & ~B(me);
        asked = asked & ~B(me) }
    :: d_step { late && IN(running, me) && (IN(yielding & ~overdue, me) || wish[me] == PROMOTING || busy[me]) ->
        late--; /* nobody asks; or what was asked for is given up; or a request is not answered in time */
        printf("node%d: too late\n", me);
        if
        :: IN(yielding, me) -> overdue = overdue | B(me)
        :: !IN(yielding, me) && busy[me] -> busy[me] = 0
        :: else -> wish[me] = REST
        fi }
    :: d_step { !CALM && ROOM && SERVING(me) && ASKS(me) && NOT_ASKED(me) && !parted && IN(running, OTHER(me)) ->
        printf("node%d: asks for the group\n", me);
        push(OTHER(me), MESSAGE(HANDOVER, me, 0), epoch[me]);
        skip }
    :: d_step { MAKES_PRIMARY(me) && REPLICA_MAY(me) -> make_primary(me); skip }
    :: d_step { MAKES_SECONDARY(me) && DEMOTES(me) -> make_secondary(me); skip }
    :: d_step { ROOM && ACQUIRES(me) && HAS_SLOT(me) -> printf("node%d: acquires\n", me); commit_group(me, ACQUIRE); skip }
    :: d_step { ROOM && RELEASES(me) && HAS_SLOT(me) ->
        printf("node%d: releases\n", me);
        moved_as_wished = IN(given_up, me) || wish[me];
        assert(moved_as_wished);
        commit_group(me, RELEASE);
        skip }
    :: d_step { DONE(me) ->
        wish[me] = REST;
        yielding = yielding & ~B(me);
        asked = asked & ~B(me);
        overdue = overdue & ~B(me) }
    /* commands */
    :: d_step { writes && EXECUTES(me) && IN(primary, me) && !w[me] ->
        writes--;
        next_write++;
        w[me] = next_write;
        printf("node%d: write %d\n", me, next_write);
        w_peer[me] = (SHARED -> THERE : (IN(linked, me) -> TO_SEND : NOT_THERE)) }
    :: d_step { IN(running, me) && w[me] && !IN(w_local, me) ->
        printf("node%d: write %d is here\n", me, w[me]);
        mark = mark | B(me);
        volatile_[me] = w[me];
        volatile_[OTHER(me)] = (SHARED -> w[me] : volatile_[OTHER(me)]);
        w_local = w_local | B(me);
        wrote(me) }
    :: d_step { IN(running & linked, me) && w[me] && w_peer[me] == TO_SEND && !target && !pipe[me] ->
        mark = mark | B(me);
        pipe[me] = (IN(linked, OTHER(me)) -> w[me] : 0);
        w_peer[me] = ON_THE_WAY }
    :: d_step { IN(running & linked, me) && pipe[OTHER(me)] ->
        printf("node%d: write %d is here, too\n", me, pipe[OTHER(me)]);
        volatile_[me] = pipe[OTHER(me)];
        if
        :: IN(linked, OTHER(me)) && w_peer[OTHER(me)] == ON_THE_WAY -> w_peer[OTHER(me)] = THERE
        :: else
        fi;
        pipe[OTHER(me)] = 0;
        wrote(me) }
    :: d_step { IN(running, me) && OVER(me) ->
        printf("node%d: write %d is over\n", me, w[me]);
        answer[me] = w[me];
        w[me] = 0;
        w_local = w_local & ~B(me);
        w_peer[me] = 0 }
    :: d_step { flushes && EXECUTES(me) && !w[me] && IN(primary, me) && acked > flushed && (CONNECTED && !target || IN(alone, me)) ->
        flushes--;
        printf("node%d: flush\n", me);
        flush(me);
        if
        :: CONNECTED -> flush(OTHER(me))
        :: else
        fi;
        flushed = acked }
    /* the copy */
    :: d_step { breaks && IN(linked, me) && (!LATE_LEASES || !merges) -> breaks--; unlink(me); skip }
    :: d_step { IN(linked, me) && !IN(linked, OTHER(me)) -> unlink(me); skip }
    :: d_step { IN(target, me) && CONNECTED -> resynced(me); skip }
    :: d_step { IN(running & to_flush, me) -> ask_outdating(me); skip }
    :: d_step { SEEMS_EQUAL(me) && !BROKEN(EQUAL_RECORDED) -> printf("node%d: the other is equal\n", me); tell_current(me); skip }
    :: d_step { IN(agreed & ~alone & primary & ~linked & ~to_flush, me) ->
        printf("node%d: goes on alone\n", me);
        new_generation(me);
        alone = alone | B(me);
        unstable = unstable & ~B(me) }
    :: d_step { IN(separate & running & ~primary & ~linked, me) ->
        printf("node%d: a new generation\n", me);
        separate = separate & ~B(me);
        if
        :: state[me] >= CONSISTENT -> new_generation(me)
        :: else
        fi }
    :: d_step { IN(running & mark & ~primary, me) -> flush(me); mark = mark & ~B(me) }
    :: d_step { IN(running, me) && (carry[me] & T(OTHER(me), S_OUTDATE)) &&
                (!BROKEN(OUTDATE_OVERTAKEN) && IN(cur[me], me) || !IN(primary, me) && !(IN(target, me) && CONNECTED && IN(primary, OTHER(me)))) ->
        printf("node%d: outdated\n", me);
        if
        :: state[me] > OUTDATED && GUARD(OUTDATE_OVERTAKEN, !IN(cur[me], me)) ->
            if
            :: IN(linked, me) -> unlink(me)
            :: else
            fi;
            state[me] = OUTDATED
        :: else
        fi;
        carry[me] = carry[me] & ~T(OTHER(me), S_OUTDATE) }
    /* the host */
    :: d_step { ROOM && starts && !IN(running, me) -> starts--; start_daemon(me); skip }
    :: d_step { ROOM && kills && IN(running, me) -> kills--; printf("node%d: killed\n", me); end_daemon(me); skip }
    :: d_step { ROOM && cuts && IN(up & CUTS_OF, me) -> cuts--; power_off(me, true); skip }
    :: d_step { ROOM && cuts && IN(up & CUTS_OF, me) && volatile_[me] != stable[me] -> cuts--; power_off(me, false); skip }
    :: d_step { ROOM && FENCING && IN(running & unp, me) && !(q[me]??[eval(MESSAGE(DROP, 1 - me, 0)), m1]) ->
        if
        :: IN(up, OTHER(me)) -> power_off(OTHER(me), true)
        :: else
        fi;
        push(me, MESSAGE(DROP, OTHER(me), 0), 0) }
    :: d_step { ROOM && FENCING && IN(running & unp, me) && IN(up, OTHER(me)) && volatile_[OTHER(me)] != stable[OTHER(me)] &&
                !(q[me]??[eval(MESSAGE(DROP, 1 - me, 0)), m1]) ->
        power_off(OTHER(me), false);
        push(me, MESSAGE(DROP, OTHER(me), 0), 0) }
    :: d_step { IN(running & ~member, me) && IN(running & member, OTHER(me)) && !parted && !len(q[0]) && !len(q[1]) &&
                mem[OTHER(me)] == B(OTHER(me)) ->
        admit(me, OTHER(me)); skip }
    :: d_step { COLD_START(me) -> cold_start(me); skip }
    fi;
    d_step { true -> settled(); skip }
    }
    od
}

/* Connected again before an outdating is over: as often as the scenario has it. */
#define OUTDATING ((op[S_OUTDATE] || op[4 + S_OUTDATE] || \
                    ((carry[0] | carry[1] | await[0] | await[1]) & (T(0, S_OUTDATE) | T(1, S_OUTDATE)))) -> 1 : 0)
#define CONNECTABLE (!linked && running == 3 && primary != 3 && !standalone && !pipe[0] && !pipe[1] && \
                     !(agreed & ~alone & primary) && !(separate & ~primary))
#define MAY_CONNECT (CONNECTABLE && OUTDATING <= races)

proctype network() {
    do
    :: atomic {
    if
    :: d_step { ROOM && splits && !parted && up == 3 -> splits--; printf("parted\n"); parted = 1; forming = running }
    :: d_step { ROOM && forming & 1 -> forming = forming & ~1; push(0, MESSAGE(LOST, 1, 0), 0) }
    :: d_step { ROOM && forming & 2 -> forming = forming & ~2; push(1, MESSAGE(LOST, 0, 0), 0) }
    :: d_step { merges && parted && !forming && up == 3 && !len(q[0]) && !len(q[1]) -> merge(); skip }
    :: d_step { !CALM && MAY_CONNECT -> races = races - OUTDATING; connect(0); skip }
    :: d_step { !CALM && MAY_CONNECT && !primary && crashed == 3 -> races = races - OUTDATING; connect(1); skip }
    fi;
    d_step { true -> settled(); skip }
    }
    od
}

#ifdef LIVENESS
#include "live_group.pml"
#endif

#define AT_REST(n) (!w[n] && !answer[n] && !busy[n] && (wish[n] == REST || !IN(cur[n], n)))

/* Nothing can happen any more. Where all is repaired, nobody waits for anything. */
proctype rest() {
    timeout ->
    d_step {
        whole_and_quiet_is_at_rest = LATE || running != 3 || parted || standalone ||
            member == 3 && SERVING(0) && SERVING(1) && CONNECTED && !target && !outdate_wanted &&
            AT_REST(0) && AT_REST(1) && (cur[0] == 3 || SHARED);
        assert(whole_and_quiet_is_at_rest) }
}

hidden byte begins;

init {
    d_step {
        c_code {
            #define parameter(name) (unsigned char)(getenv(name) ? atoi(getenv(name)) : 0)
            broken = parameter("BROKEN");
            also = parameter("ALSO");
            NEVER = parameter("NEVER");
            FENCING = parameter("FENCING");
            EAGER = parameter("EAGER");
            CUTS_OF = getenv("CUTS_OF") ? atoi(getenv("CUTS_OF")) : 3;
            begins = parameter("BEGINS");
            now.cuts = parameter("CUTS");
            now.kills = parameter("KILLS");
            now.splits = parameter("SPLITS");
            now.starts = parameter("STARTS");
            now.merges = parameter("MERGES");
            now.breaks = parameter("BREAKS");
            now.promotes = parameter("PROMOTES");
            now.demotes = parameter("DEMOTES");
            now.races = parameter("RACES");
            LATE = parameter("LATE");
            SHARED = parameter("SHARED");
            LATE_LEASES = parameter("LATE_LEASES");
            now.late = LATE;
            now.writes = parameter("WRITES");
            now.flushes = parameter("FLUSHES");
        };
        no_split_brain = true;
        up = 3;
        running = 3;
        member = 3;
        lease = 3;
        disk = 3;
        linked = 3;
        complete = 3;
        ei = 0;
        do
        :: ei < N ->
            mem[ei] = 3;
            cur[ei] = 3;
            d_mem[ei] = 3;
            d_cur[ei] = 3;
            state[ei] = UP_TO_DATE;
            settled_as[ei] = EQUAL;
            /* Node 0 owns the group, unless nobody does. */
            owner[ei] = (begins == 1 -> 1 : 0);
            ei++
        :: else -> break
        od;
        confirmed = begins & 1;
        primary = (SHARED -> 3 : begins & 1)
    };
    atomic {
        run node(0);
        run node(1);
        run network();
#ifdef LIVENESS
        run faults_end();
        run time();
        run goal()
#else
        run rest()
#endif
    }
}
