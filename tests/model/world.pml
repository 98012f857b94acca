/* Hosts, Corosync, Pacemaker and everything that can go wrong. */

#define LOWEST(side) (IN(side, 0) -> 0 : (IN(side, 1) -> 1 : N - 1))

hidden byte wi, wj, wg;

/* The daemon is gone; what it had in memory is gone with it. */
inline wipe(n) {
    running = running & ~B(n);
    other = other & ~B(n);
    phase[n] = 0;
    quorate = quorate & ~B(n);
    forced = forced & ~B(n);
    suspect = suspect & ~B(n);
    poke = poke & ~B(n);
    group[n] = 0;
    mem[n] = 0;
    unp[n] = 0;
    ep[n] = 0;
    ord[n] = 0;
    has[n] = 0;
    hello[n] = 0;
    had[n] = 0;
    att[n] = 0;
    s_ep[n] = 0;
    s_ord[n] = 0;
    dirty = dirty & ~B(n);
    view_wait = view_wait & ~B(n);
    have_record = have_record & ~B(n);
    rec_mem[n] = 0;
    transfers[n] = 0;
    lane[n] = 0;
    ticket[n] = 0;
    applying[n] = 0;
    persisting[n] = 0;
    lease = lease & ~B(n);
    long_lost[n] = 0;
    proof_sent[n] = 0;
    held[n] = 0;
    late = late & ~B(n);
    hello_here[n] = 0;
    proof_begun = proof_begun & ~B(n);
    cg[n] = 0;
    join_reset(n);
    dirty = dirty & ~B(n);
    take_hello_memory(n);
    wi = 0;
    do
    :: wi < N ->
        ninc[AT(n, wi)] = 0;
        harmless_said[AT(n, wi)] = 0;
        wi++
    :: else -> break
    od;
    wi = 0;
    do
    :: wi < 2 ->
        if
        :: ORIGIN(wi) == n && op[wi] != ANSWERED && op[wi] != UNASKED ->
            op[wi] = GONE;
            op_need[wi] = 0;
            op_acks[wi] = 0;
            op_ord[wi] = 0;
            asked = asked & ~B(wi)
        :: else
        fi;
        wi++
    :: else -> break
    od;
    do
    :: len(q[n]) -> q[n]?m0, m1, m2, m3, m4, m5
    :: else -> break
    od
}

/* The daemon ends, its host lives: Corosync says so in the order (LEAVE, PROCDOWN). In a ring that is about to
 * form anew it is said by that change. */
inline end_daemon(n) {
    wg = cg[n] & ~B(n);
    wipe(n);
    wj = 0;
    do
    :: wj < N ->
        if
        :: IN(running, wj) && ring[wj] == ring[n] && !IN(forming, wj) ->
            q[wj]!(GROUP << 2), wg, 0, B(n), 0, 0;
            cg[wj] = wg
        :: else
        fi;
        wj++
    :: else -> break
    od
}

/* The hosts `side` and the rest of their ring do not reach each other any more. What was sent before reaches all;
 * what is sent from now on reaches the own side alone. Neither knows it before its ring has formed anew. */
inline part(side) {
    wg = ring[LOWEST(side)];
    wi = 0;
    do
    :: wi < N ->
        if
        :: IN(wg, wi) -> forming = forming | B(wi); ring[wi] = (IN(side, wi) -> (side) : wg & ~(side))
        :: else
        fi;
        wi++
    :: else -> break
    od
}

inline power_off(n) {
    printf("node%d: off\n", n);
    if
    :: ring[n] != B(n) -> part(B(n))
    :: else
    fi;
    if
    :: IN(running, n) -> wipe(n)
    :: else
    fi;
    up = up & ~B(n);
    seen = seen & ~B(n);
    doomed = doomed & ~B(n);
    forming = forming & ~B(n);
    ring[n] = 0
}

/* What votequorum says to a host whose ring is this. */
#define QUORUM(n, hosts) (N == 2 -> IN(seen, n) : POP(hosts) * 2 > N)

inline hear_quorum(n) {
    late = late & ~B(n);
    if
    :: IN(running, n) && IN(quorate, n) != QUORUM(n, ring[n]) ->
        if
        :: IN(quorate, n) -> lease_drop(n)
        :: else
        fi;
        quorate = quorate ^ B(n);
        poke = poke | B(n)
    :: else
    fi
}

inline tell_quorum(n) {
    if
    :: ring[n] == ALL -> seen = seen | B(n)
    :: else
    fi;
    if
    :: IN(LATE_QUORUM, n) && IN(running, n) && IN(quorate, n) != QUORUM(n, ring[n]) -> late = late | B(n)
    :: else -> hear_quorum(n)
    fi
}

inline tell_group(side, members, joined, left, down) {
    wi = 0;
    do
    :: wi < N ->
        if
        :: IN((side) & running, wi) -> q[wi]!(GROUP << 2), (members), (joined), (left), (down), 0; cg[wi] = members
        :: else
        fi;
        wi++
    :: else -> break
    od
}

/* Totem has formed the ring of these hosts: CPG tells the daemons who is not there any more. */
inline form(side) {
    printf("ring: %d alone\n", side);
    if
    :: (side) & running ->
        wg = cg[LOWEST((side) & running)];
        tell_group(side, (side) & running, (side) & running & ~wg, wg & (side) & ~running, wg & ~(side))
    :: else
    fi;
    forming = forming & ~(side);
    wi = 0;
    do
    :: wi < N ->
        if
        :: IN(side, wi) -> tell_quorum(wi)
        :: else
        fi;
        wi++
    :: else -> break
    od
}

/* Two rings become one; each side reads to the end of its own order before. */
inline merge(one, other) {
    printf("ring: %d and %d together\n", one, other);
    merges--;
    if
    :: (one) & running && (other) & running ->
        wg = running & ((one) | (other));
        tell_group(one, wg, (other) & running, 0, 0);
        tell_group(other, wg, (one) & running, 0, 0)
    :: else
    fi;
    wi = 0;
    do
    :: wi < N ->
        if
        :: IN((one) | (other), wi) -> ring[wi] = (one) | (other); tell_quorum(wi)
        :: else
        fi;
        wi++
    :: else -> break
    od
}

inline start_daemon(n) {
    if
    :: !IN(up, n) -> up = up | B(n); ring[n] = B(n)
    :: else
    fi;
    running = running | B(n);
    other = other | (OTHER_FILE & B(n));
    inc[n]++;
    printf("node%d: starts, incarnation %d\n", n, inc[n]);
    if
    :: IN(disk, n) ->
        have_record = have_record | B(n);
        ep[n] = d_ep[n];
        ord[n] = d_ord[n];
        has[n] = d_has[n];
        rec_mem[n] = d_mem[n]
    :: else
    fi;
    phase[n] = WAITING;
    if
    :: QUORUM(n, ring[n]) -> quorate = quorate | B(n)
    :: else
    fi;
    wg = running & ring[n];
    tell_group(ring[n], wg, B(n), 0, 0)
}

#define IS_RING(r) (ring[LOWEST(r)] == (r) && !(forming & (r)) && !(doomed & (r)))
#define FORMS(r) (ring[LOWEST(r)] == (r) && (forming & (r)) && !(doomed & (r)))

/* Plans, for stories of many faults: 1: parted, the last two together, a lease time, all together. 2: all parted, a
 * lease time, together. 3: together, parted, then proofs, together. 4: parted before any daemon starts. */
#define MAY_MERGE(r) (PLAN == 0 || PLAN >= 3 && (merges == 2 || !splits) || PLAN == 2 && !splits && !ticks || \
                      PLAN == 1 && (merges == 2 -> !splits && (r) == 6 : !ticks))
#define MAY_TICK (PLAN == 0 || PLAN == 2 && !splits || PLAN == 1 && merges == 1)

proctype network() {
    do
    :: d_step { ROOM && FORMS(1) -> form(1); skip }
    :: d_step { ROOM && FORMS(2) -> form(2); skip }
    :: d_step { ROOM && merges && MAY_MERGE(3) && IS_RING(1) && IS_RING(2) -> merge(1, 2); skip }
    /* Who has not noticed hears only that the others are there again. */
    :: d_step { ROOM && QUICK && merges && FORMS(1) && IS_RING(2) -> forming = forming & ~1; merge(1, 2); skip }
    :: d_step { ROOM && splits && IN(PARTS, 0) && ring[0] == ALL -> splits--; printf("parted: 1\n"); part(1); skip }
#if N == 3
    :: d_step { ROOM && splits && IN(PARTS, 1) && ring[0] == ALL -> splits--; printf("parted: 2\n"); part(2); skip }
    :: d_step { ROOM && splits && IN(PARTS, 2) && ring[0] == ALL -> splits--; printf("parted: 4\n"); part(4); skip }
    :: d_step { ROOM && splits && PLAN != 3 && ring[0] == 3 -> splits--; printf("parted: 1 2\n"); part(1); skip }
    :: d_step { ROOM && splits && ring[0] == 5 -> splits--; printf("parted: 1 4\n"); part(1); skip }
    :: d_step { ROOM && splits && ring[1] == 6 -> splits--; printf("parted: 2 4\n"); part(2); skip }
    :: d_step { ROOM && FORMS(4) -> form(4); skip }
    :: d_step { ROOM && FORMS(3) -> form(3); skip }
    :: d_step { ROOM && FORMS(5) -> form(5); skip }
    :: d_step { ROOM && FORMS(6) -> form(6); skip }
    :: d_step { ROOM && merges && MAY_MERGE(5) && IS_RING(1) && IS_RING(4) -> merge(1, 4); skip }
    :: d_step { ROOM && merges && MAY_MERGE(6) && IS_RING(2) && IS_RING(4) -> merge(2, 4); skip }
    :: d_step { ROOM && merges && MAY_MERGE(7) && IS_RING(3) && IS_RING(4) -> merge(3, 4); skip }
    :: d_step { ROOM && merges && MAY_MERGE(7) && IS_RING(5) && IS_RING(2) -> merge(5, 2); skip }
    :: d_step { ROOM && merges && MAY_MERGE(7) && IS_RING(6) && IS_RING(1) -> merge(6, 1); skip }
#endif
    od
}

/* Whether Pacemaker of a quorate host wants this node shot. */
#define SHOOTS(by, n) ((by) != (n) && OPERABLE(by) && phase[by] == MEMBER && IN(unp[by], n) && IN(quorate, by))
#define WANTED(n) ((SHOOTS(0, n) || SHOOTS(1, n) || SHOOTS(N - 1, n)) && (IN(up, n) || fenced[n] != inc[n]))

/* The operator accepts what is there only where nobody has the state. */
#define NOBODY_LIVES (phase[0] != MEMBER && phase[1] != MEMBER && phase[N - 1] != MEMBER)
