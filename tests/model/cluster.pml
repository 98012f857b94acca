/* The cluster machine (docs/cluster.md, cluster/cluster_*.c) and its world, for 2 or 3 nodes. tests/model/run
 * compiles it once for each number of nodes; scenario and broken guard come in the environment, so that they
 * are constants of a run. */
#include "guards.h"
#include "guard.pml"
#define FORCED_EPOCHS 16

#include "data.pml"
#include "lease.pml"
#include "joiners.pml"
#include "commit.pml"
#include "member.pml"
#include "join.pml"
#include "properties.pml"
#include "world.pml"

inline write_journal(n) {
    printf("node%d: journal\n", n);
    disk = disk | B(n);
    d_ep[n] = ep[n];
    d_ord[n] = ord[n];
    d_has[n] = has[n];
    d_mem[n] = (FOLLOWS(n) -> mem[n] : rec_mem[n]) | B(n) | (BROKEN(RECORD_JOINERS) -> 0 : j_ready[n]);
    dirty = dirty & ~B(n);
    view_wait = view_wait & ~B(n);
    persisting[n] = 0;
    commit_durable(n);
    admit_starter(n);
    admit_durable(n);
    if
    :: IN(ready_wait, n) -> say_ready(n)
    :: else
    fi;
}

/* What follows from the state, whatever the event was: advance() of cluster.c. With EAGER the journal is
 * written and effects are carried out at once. */
inline advance(n) {
    if
    :: phase[n] && phase[n] != DEAD ->
        member_advance(n);
        join_advance(n);
        commit_advance(n);
        if
        :: EAGER & 2 && applying[n] ->
            lane[n] = lane[n] | applying[n];
            applying[n] = 0;
            commit_durable(n)
        :: else
        fi;
        if
        :: EAGER & 1 && IN(dirty, n) -> write_journal(n); join_advance(n); commit_advance(n)
        :: else
        fi
    :: else
    fi;
    if
    :: phase[n] == DEAD -> end_daemon(n)
    :: else
    fi
}

inline dispatch(n) {
    if
    :: KIND(m0) == GROUP -> member_group(n, m1, m2, m3, m4)
    :: KIND(m0) == HELLO -> member_hello(n, SENDER(m0), m1, m2, m3, m4, m5)
    :: KIND(m0) == START -> join_start(n, SENDER(m0), m1, m2)
    :: KIND(m0) == BEGIN -> join_begin(n, SENDER(m0), m2, m3)
    :: KIND(m0) == SNAPSHOT -> join_chunk(n, SENDER(m0), m2, 0)
    :: KIND(m0) == READY -> join_ready(n, SENDER(m0), m1, m2)
    :: KIND(m0) == ADMIT -> join_admit(n, SENDER(m0), (m1 >> 4), (m1 & 15), m2)
    :: KIND(m0) == OP -> commit_op(n, SENDER(m0), m1, m2)
    :: KIND(m0) == ACK -> commit_ack(n, SENDER(m0), m1, m2)
    :: KIND(m0) == ASK -> commit_ask(n, SENDER(m0), m1, m2, m3)
    :: KIND(m0) == HARMLESS -> member_harmless(n, SENDER(m0), (m1 >> 4), (m1 & 15), m2)
    :: KIND(m0) == CONFIRM -> member_confirm(n, SENDER(m0), m1, m2, m3)
    fi
}

/* The message m0..m5 says nothing to this node, now or later. */
#define IDLE(n) ((phase[n] == WAITING && KIND(m0) >= SNAPSHOT && KIND(m0) != ADMIT) || \
    (phase[n] == MEMBER && !replay[n] && \
     (KIND(m0) == START || (KIND(m0) == SNAPSHOT && SENDER(m0) != n) || (KIND(m0) == BEGIN && SENDER(m0) != n) || \
      (KIND(m0) == ACK && ORIGIN(m2) != n) || (KIND(m0) == CONFIRM && !(unp[n] & group[n])))))

hidden byte ei, sooner;

/* Whether the message m0..m5 makes the node neither send nor write nor serve, whenever it reads it: the last
 * of several that it waits for does -> sooner. Reading it earlier than needed leaves nothing out. */
inline reads_soon(n) {
    sooner = IDLE(n);
    if
    :: KIND(m0) == HELLO && !COMPATIBLE(n, SENDER(m0)) -> sooner = 0
    :: phase[n] == WAITING && KIND(m0) == HELLO && COMPATIBLE(n, SENDER(m0)) && (group[n] & ~(hello[n] | B(SENDER(m0)))) -> sooner = 1
    :: phase[n] == MEMBER && !replay[n] && KIND(m0) == HELLO && COMPATIBLE(n, SENDER(m0)) && (m4 >> 6 & F_MEMBER) && m2 <= ep[n] &&
       (IS_LIVE(n, SENDER(m0)) || m2 <= s_ep[n]) ->
        if
        :: !(unp[n] & group[n]) -> sooner = 1
        :: else ->
            hello_vector(n);
            sooner = ((mem[n] & group[n] & ~(msaid | B(SENDER(m0)))) != 0)
        fi
    :: phase[n] == MEMBER && !replay[n] && KIND(m0) == CONFIRM ->
        hello_vector(n);
        mi = 0;
        do
        :: mi < N ->
            if
            :: IN(msaid, mi) && (mi == SENDER(m0) -> m2 | m3 << 8 : said[AT(n, mi)]) != mvector && !BROKEN(SETTLE_CONFIRMED) ->
                sooner = 1
            :: else
            fi;
            mi++
        :: else -> break
        od
    :: phase[n] == MEMBER && !replay[n] && KIND(m0) == ACK && ORIGIN(m2) == n && !BROKEN(COMMIT_ACKS) &&
       (op_need[m2] & mem[n] & ~(op_acks[m2] | B(SENDER(m0)))) -> sooner = 1
    :: phase[n] == MEMBER && !replay[n] && KIND(m0) == ADMIT &&
       (LIVE(n) & ~(j_admits[AT(n, m1 & 15)] | B(SENDER(m0)))) -> sooner = 1
    :: else
    fi
}

inline read_soon(n) {
    if
    :: IDLE(n)
    :: !IDLE(n) && KIND(m0) == HELLO -> member_hello(n, SENDER(m0), m1, m2, m3, m4, m5)
    :: !IDLE(n) && KIND(m0) == CONFIRM -> member_confirm(n, SENDER(m0), m1, m2, m3)
    :: !IDLE(n) && KIND(m0) == ACK -> commit_ack(n, SENDER(m0), m1, m2)
    :: !IDLE(n) && KIND(m0) == ADMIT -> join_admit(n, SENDER(m0), (m1 >> 4), (m1 & 15), m2)
    fi
}

/* After every step. */
inline settled() {
    ei = 0;
    do
    :: ei < N ->
        sooner = 1;
        do
        :: len(q[ei]) && sooner ->
            q[ei]?<m0, m1, m2, m3, m4, m5>;
            reads_soon(ei);
            if
            :: sooner -> q[ei]?m0, m1, m2, m3, m4, m5; read_soon(ei)
            :: else
            fi
        :: else -> break
        od;
        ei++
    :: else -> break
    od;
    ei = 0;
    do
    :: ei < N ->
        if
        :: EAGER & 4 && OPERABLE(ei) ->
            lease_renewable(ei);
            if
            :: can_renew -> lease = lease | B(ei); poke = poke | B(ei)
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

hidden byte ni, nlen, nplace, nkind;

/* LOADING: finds the snapshot in what is there to read, before any change of the group; what lies before it stays
 * there for later (join_keep()). A change of the group, or another BEGIN, makes all before it worthless. -> nplace: how many
 * lie before it; 255: neither is there. */
inline find_snapshot(n) {
    nplace = 255;
    nlen = len(q[n]);
    ni = 0;
    do
    :: ni < nlen ->
        q[n]?m0, m1, m2, m3, m4, m5;
        if
        :: nplace == 255 && (KIND(m0) == GROUP || (KIND(m0) == BEGIN && IN(m2, n)) || (KIND(m0) == SNAPSHOT && SENDER(m0) == from[n] && m2 == transfer[n])) ->
            nplace = ni
        :: else
        fi;
        q[n]!m0, m1, m2, m3, m4, m5;
        ni++
    :: else -> break
    od
}

inline load_snapshot(n) {
    ni = 0;
    do
    :: ni < nlen ->
        q[n]?m0, m1, m2, m3, m4, m5;
        if
        :: ni == nplace && KIND(m0) == SNAPSHOT && phase[n] == LOADING -> join_chunk(n, SENDER(m0), m2, nplace)
        :: ni < nplace && nkind == GROUP
        :: else -> q[n]!m0, m1, m2, m3, m4, m5
        fi;
        ni++
    :: else -> break
    od
}
/* Its own BEGIN is next, and somebody has not read its last snapshot yet. */
#define UNREAD(k, n) (q[k]??[eval(SNAPSHOT << 2 | (n)), m1, m2, m3, m4, m5])
#define MUST_WAIT(n) (q[n]?[eval(BEGIN << 2 | (n)), m1, m2, m3, m4, m5] && \
                      (UNREAD(0, n) || UNREAD(1, n) || UNREAD(N - 1, n)))

inline ask(n) {
    printf("node%d: ASK\n", n);
    ni = (ASKS(n, 0) -> 0 : 1);
    asked = asked | B(ni);
    multicast(n, ASK, inc[n], ni, op_ord[ni], 0, 0)
}

#ifdef LIVENESS
byte calm;                   /* no fault any more: live_cluster.pml */
#define CALM calm
#else
#define CALM 0
#endif

proctype node(byte me) {
    do
    :: atomic {
    if
    :: d_step { OPERABLE(me) && phase[me] != LOADING && len(q[me]) && !MUST_WAIT(me) ->
        q[me]?m0, m1, m2, m3, m4, m5;
        printf("node%d: reads kind %d of node%d (%d %d %d %d %d)\n", me, KIND(m0), SENDER(m0), m1, m2, m3, m4, m5);
        if
        :: replay[me] -> replay[me]--
        :: else
        fi;
        dispatch(me);
        skip }
    :: d_step { poke >> me & 1 && IN(running, me) ->
        poke = poke & ~B(me);
        skip }
    :: d_step { OPERABLE(me) && IN(dirty, me) ->
        write_journal(me);
        skip }
    :: d_step { OPERABLE(me) && applying[me] ->
        printf("node%d: effects carried out\n", me);
        lane[me] = lane[me] | applying[me];
        applying[me] = 0;
        commit_durable(me);
        skip }
    :: d_step { !(CALM && EAGER & 4) && OPERABLE(me) && !IN(lease, me) && phase[me] == MEMBER ->
        lease_renewable(me);
        if
        :: can_renew -> printf("node%d: lease\n", me); lease = lease | B(me)
        :: else
        fi;
        skip }
    :: d_step { OPERABLE(me) && (op[0] == UNASKED && IN(OPS, 0) && me == 0 || op[1] == UNASKED && IN(OPS, 1) && me == N - 1) &&
                SERVING(me) ->
        printf("node%d: request\n", me);
        op[(me == 0 -> 0 : 1)] = UNSENT }
    /* half a second later: nothing is under way in the ring */
    :: d_step { !CALM && OPERABLE(me) && !unp[me] && phase[me] == MEMBER && ALL_READ(me) &&
                (ASKS(me, 0) || ASKS(me, 1)) ->
        ask(me);
        skip }
    :: d_step { OPERABLE(me) && (PROVEN(me, 0) || PROVEN(me, 1) || PROVEN(me, N - 1)) ->
        if
        :: PROVEN(me, 0) -> send_harmless(me, 0)
        :: else ->
            if
            :: PROVEN(me, 1) -> send_harmless(me, 1)
            :: else -> send_harmless(me, N - 1)
            fi
        fi;
        skip }
    :: d_step { unsent && OPERABLE(me) && !held[me] && (SAYS_AGAIN(me, 0) || SAYS_AGAIN(me, 1) || SAYS_AGAIN(me, N - 1)) ->
        unsent--;
        ni = (SAYS_AGAIN(me, 0) -> 0 : (SAYS_AGAIN(me, 1) -> 1 : N - 1));
        hold_harmless(me, ni);
        skip }
    :: d_step { OPERABLE(me) && IN(late, me) ->
        printf("node%d: hears of quorum\n", me);
        hear_quorum(me);
        skip }
    :: d_step { OPERABLE(me) && phase[me] == LOADING && (UNREAD(me, from[me]) || q[me]??[eval(BEGIN << 2 | from[me]), m1, m2, m3, m4, m5] ||
                q[me]??[eval(GROUP << 2), m1, m2, m3, m4, m5]) ->
        find_snapshot(me);
        if
        :: nplace == 255
        :: else ->
            /* again, now to take it */
            nkind = SNAPSHOT;
            ni = 0;
            do
            :: ni < nlen ->
                q[me]?m0, m1, m2, m3, m4, m5;
                if
                :: ni == nplace && KIND(m0) != SNAPSHOT -> nkind = GROUP
                :: else
                fi;
                q[me]!m0, m1, m2, m3, m4, m5;
                ni++
            :: else -> break
            od;
            load_snapshot(me);
            if
            :: nkind == GROUP -> q[me]?m0, m1, m2, m3, m4, m5; dispatch(me)
            :: else
            fi;
            skip
        fi;
        skip }
    :: d_step { forces && OPERABLE(me) && phase[me] == WAITING && !IN(forced, me) && NOBODY_LIVES ->
        printf("node%d: force-start\n", me);
        forces--;
        forced = forced | B(me) }
    /* the host */
    :: d_step { ROOM && starts && (PLAN != 4 || !splits && !forming) && !IN(running | forming, me) -> starts--; start_daemon(me); skip }
    :: d_step { cuts && IN(up & ~doomed, me) ->
        printf("node%d: power cut\n", me);
        cuts--;
        doomed = doomed | B(me);
        if
        :: ring[me] != B(me) -> part(B(me))
        :: else
        fi;
        skip }
    :: d_step { IN(doomed, me) -> power_off(me); skip }
    :: d_step { ROOM && kills && OPERABLE(me) && !IN(doomed, me) && (LATE_KILLS != 1 || NOBODY_ELSE_JOINS) &&
                (LATE_KILLS != 2 || good) ->
        printf("node%d: killed\n", me);
        kills--;
        end_daemon(me);
        skip }
    :: d_step { ROOM && FENCING && WANTED(me) ->
        printf("node%d: fenced\n", me);
        if
        :: IN(up, me) -> power_off(me)
        :: else
        fi;
        fenced[me] = inc[me];
        skip }
    fi;
    d_step { true -> advance(me); settled(); skip }
    }
    od
}

/* A lease time passes: leases and the round trips before it are worth nothing any more, and members that
 * are lost have been lost for that long. */
proctype clock() {
    do
    :: d_step { ticks && MAY_TICK && !poke && (unp[0] & ~long_lost[0] || unp[1] & ~long_lost[1] || unp[N - 1] & ~long_lost[N - 1]) ->
        ticks--;
        printf("a lease time passes\n");
        lease = 0;
        ni = 0;
        do
        :: ni < N -> long_lost[ni] = unp[ni]; ni++
        :: else -> break
        od;
        skip }
#ifndef LIVENESS
    :: d_step { running == ALL && !poke && !dirty -> check_progress(); skip }
#endif
    od
}

#ifdef LIVENESS
#include "live_cluster.pml"
#endif

/* --- where a scenario begins ------------------------------------------------------------------------ */

/* All are members and serve. */
inline all_serve() {
    up = ALL;
    running = ALL;
    seen = ALL;
    quorate = ALL;
    have_record = ALL;
    disk = ALL;
    lease = ALL;
    ni = 0;
    do
    :: ni < N ->
        ring[ni] = ALL;
        cg[ni] = ALL;
        inc[ni] = 1;
        phase[ni] = MEMBER;
        group[ni] = ALL;
        mem[ni] = ALL;
        ep[ni] = 1;
        ord[ni] = 1;
        hello[ni] = ALL;
        hello_here[ni] = ALL;
        att[ni] = 1;
        s_ep[ni] = 1;
        s_ord[ni] = 1;
        d_ep[ni] = 1;
        d_ord[ni] = 1;
        d_mem[ni] = ALL;
        wi = 0;
        do
        :: wi < N -> ninc[AT(ni, wi)] = 1; wi++
        :: else -> break
        od;
        ni++
    :: else -> break
    od
}

/* Only node 0 is left; the others' daemons have ended (their hosts live), they know a view of all. */
inline one_serves() {
    all_serve();
    running = 1;
    quorate = 1;
    have_record = 1;
    lease = 1;
    ep[0] = 2;
    ord[0] = 2;
    s_ep[0] = 2;
    s_ord[0] = 2;
    d_ep[0] = 2;
    d_ord[0] = 2;
    d_mem[0] = 1;
    mem[0] = 1;
    group[0] = 1;
    cg[0] = 1;
    hello[0] = 1;
    hello_here[0] = 1;
    ni = 1;
    do
    :: ni < N ->
        cg[ni] = 0;
        phase[ni] = 0;
        group[ni] = 0;
        mem[ni] = 0;
        ep[ni] = 0;
        ord[ni] = 0;
        hello[ni] = 0;
        hello_here[ni] = 0;
        att[ni] = 0;
        s_ep[ni] = 0;
        s_ord[ni] = 0;
        wi = 0;
        do
        :: wi < N -> ninc[AT(ni, wi)] = 0; wi++
        :: else -> break
        od;
        ni++
    :: else -> break
    od
}

/* No daemon runs; node 0 was the last survivor, the others know a view of all. */
inline none_serves() {
    one_serves();
    wipe(0);
    wg = 0
}

/* As before, but the operator had once made the last node start without node 0. The daemons of both have just
 * been started. */
inline both_were_last() {
    none_serves();
    d_mem[N - 1] = B(N - 1);
    d_ep[N - 1] = 20;
    d_ord[N - 1] = 5;
    start_daemon(N - 1);
    start_daemon(0)
}

/* The operator has made the last node start without node 0, the last survivor, whose daemon starts now. */
inline forced_serves() {
    none_serves();
    d_mem[N - 1] = B(N - 1);
    d_ep[N - 1] = 20;
    d_ord[N - 1] = 5;
    start_daemon(N - 1);
    do
    :: len(q[N - 1]) -> q[N - 1]?m0, m1, m2, m3, m4, m5
    :: else -> break
    od;
    phase[N - 1] = MEMBER;
    rec_mem[N - 1] = 0;
    group[N - 1] = B(N - 1);
    mem[N - 1] = B(N - 1);
    ninc[AT(N - 1, N - 1)] = inc[N - 1];
    att[N - 1] = 1;
    s_ep[N - 1] = 20;
    s_ord[N - 1] = 5;
    hello[N - 1] = B(N - 1);
    hello_here[N - 1] = B(N - 1);
    lease = B(N - 1);
    start_daemon(0)
}

/* No power; nobody has a journal. */
inline new_array() {
    ni = 0
}

/* All were members; the last node has been cut off for longer than a lease, and nobody has dropped it yet. */
inline one_cut_off() {
    all_serve();
    ring[0] = 3;
    ring[1] = 3;
    ring[2] = 4;
    quorate = 3;
    suspect = 4;
    lease = 3;
    ni = 0;
    do
    :: ni < N ->
        cg[ni] = ring[ni];
        group[ni] = ring[ni];
        hello[ni] = ring[ni];
        hello_here[ni] = ring[ni];
        unp[ni] = ALL & ~ring[ni];
        long_lost[ni] = unp[ni];
        ni++
    :: else -> break
    od
}

/* The last two have gone on without the first, which is cut off and does not know it. */
inline two_went_on() {
    one_cut_off();
    ring[0] = 1;
    ring[1] = 6;
    ring[2] = 6;
    quorate = 6;
    suspect = 1;
    lease = 6;
    ni = 0;
    do
    :: ni < N ->
        cg[ni] = ring[ni];
        group[ni] = ring[ni];
        hello[ni] = ring[ni];
        hello_here[ni] = ring[ni];
        unp[ni] = (ni -> 0 : 6);
        long_lost[ni] = unp[ni];
        if
        :: ni -> mem[ni] = 6; d_mem[ni] = 6; ep[ni] = 3; ord[ni] = 2; d_ep[ni] = 3; d_ord[ni] = 2; s_ep[ni] = 3; s_ord[ni] = 2
        :: else
        fi;
        ni++
    :: else -> break
    od
}

/* The same; the daemon of the second node has ended before, its host votes. */
inline one_cut_off_of_two() {
    one_cut_off();
    wipe(1);
    ni = 0;
    do
    :: ni < N ->
        d_mem[ni] = 5;
        if
        :: ni == 1
        :: else ->
            cg[ni] = B(ni);
            group[ni] = B(ni);
            hello[ni] = B(ni);
            hello_here[ni] = B(ni);
            mem[ni] = 5;
            unp[ni] = 5 & ~B(ni);
            long_lost[ni] = unp[ni]
        fi;
        ni++
    :: else -> break
    od
}

hidden byte begins;

init {
    d_step {
        c_code {
            #define parameter(name) (unsigned char)(getenv(name) ? atoi(getenv(name)) : 0)
            broken = parameter("BROKEN");
            also = parameter("ALSO");
            NEVER = parameter("NEVER");
            QUICK = parameter("QUICK");
            LEASE_PROVES = parameter("LEASE_PROVES");
            FENCING = parameter("FENCING");
            EAGER = parameter("EAGER");
            OPS = parameter("OPS");
            PARTS = parameter("PARTS");
            LATE_KILLS = parameter("LATE_KILLS");
            LATE_QUORUM = parameter("LATE_QUORUM");
            PLAN = parameter("PLAN");
            PERSISTENT = parameter("PERSISTENT");
            OTHER_FILE = parameter("OTHER_FILE");
            RECEIPTS = parameter("RECEIPTS");
            begins = parameter("BEGINS");
            now.cuts = parameter("CUTS");
            now.kills = parameter("KILLS");
            now.splits = parameter("SPLITS");
            now.starts = parameter("STARTS");
            now.forces = parameter("FORCES");
            now.ticks = parameter("TICKS");
            now.merges = parameter("MERGES");
            now.unsent = parameter("UNSENT");
        };
        if
        :: begins == 0 -> new_array()
        :: begins == 1 -> all_serve()
        :: begins == 2 -> one_serves()
        :: begins == 3 -> none_serves()
        :: begins == 4 -> both_were_last()
        :: begins == 5 -> forced_serves()
#if N == 3
        :: begins == 6 -> one_cut_off()
        :: begins == 7 -> two_went_on()
        :: begins == 8 -> one_cut_off_of_two()
#endif
        fi
    };
    atomic {
        run node(0);
        run node(1);
#if N == 3
        run node(2);
#endif
        run network();
        run clock()
#ifdef LIVENESS
        ;
        run faults_end();
        run time();
        run goal()
#endif
    }
}
