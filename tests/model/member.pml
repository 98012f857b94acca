/* cluster_member.c */

hidden byte mi, mj, mdropped, mharmless, mlost, mfirst, mbest, msaid;
hidden byte msame;
hidden short mvector;

inline take_hello_memory(n) {
    mi = 0;
    do
    :: mi < N ->
        h_id[AT(n, mi)] = 0;
        h_ep[AT(n, mi)] = 0;
        h_ord[AT(n, mi)] = 0;
        h_view[AT(n, mi)] = 0;
        h_has[AT(n, mi)] = 0;
        said[AT(n, mi)] = 0;
        mi++
    :: else -> break
    od;
    confirmed[n] = 0
}

inline member_change(n, members, lost, proven) {
    ord[n]++;
    unp[n] = unp[n] & (members);
    long_lost[n] = long_lost[n] & unp[n];
    proof_sent[n] = proof_sent[n] & unp[n];
    if
    :: proven || !unp[n] -> ep[n]++
    :: else
    fi;
    mem[n] = members;
    dirty = dirty | B(n);
    if
    :: lost -> view_wait = view_wait | B(n)
    :: else
    fi
}

inline drop(n, lost, proven) {
    printf("node%d: drops %d\n", n, lost);
    mdropped = lost; /* arguments are text: `lost` may read what member_change() writes */
    member_change(n, mem[n] & ~mdropped, mdropped, proven)
}

inline fatal(n) {
    printf("node%d: fatal\n", n);
    phase[n] = DEAD
}

inline member_say_hello(n) {
    if
    :: held[n] -> /* what could not be sent before goes out first */
        multicast(n, HARMLESS, inc[n] << 4 | (held[n] - 1), ninc[AT(n, held[n] - 1)], 0, 0, 0);
        held[n] = 0
    :: else
    fi;
    mi = (phase[n] == MEMBER -> mem[n] | LIVE(n) << 3 | (F_MEMBER | F_JOURNAL) << 6 :
          rec_mem[n] | (IN(have_record, n) -> F_JOURNAL << 6 : 0));
    multicast(n, HELLO, inc[n] << 4 | att[n], s_ep[n], s_ord[n], mi, has[n] | group[n] << 2)
}

inline member_group(n, members, joined, left, down) {
    group[n] = members;
    join_reset(n);
    had[n] = had[n] | hello[n];
    mharmless = (left & mem[n] & ~B(n)) & ~(BROKEN(LEFT_HELLO) -> 0 : unp[n] & ~had[n]);
    had[n] = (phase[n] == MEMBER -> had[n] & ~((left) | (down) | (joined)) : 0);
    hello[n] = 0;
    hello_here[n] = 0;
    proof_begun = proof_begun & ~B(n);
    proof_sent[n] = 0;
    mi = 0;
    do
    :: mi < N -> harmless_said[AT(n, mi)] = 0; mi++
    :: else -> break
    od;
    take_hello_memory(n);
    att[n]++;
    assert(att[n] < 16);
    if
    :: phase[n] == MEMBER ->
        mlost = down & mem[n] & ~mharmless & ~B(n);
        mlost = mlost | (BROKEN(JOINED_LOST) -> 0 : joined & LIVE(n) & ~mharmless & ~B(n));
        if
        :: mlost && !IN(lease, n) -> suspect = suspect | B(n)
        :: else
        fi;
        if
        :: BROKEN(LOST_UNPROVEN) -> mharmless = mharmless | mlost; mlost = 0
        :: else
        fi;
        if
        :: mlost -> lease_drop(n)
        :: else
        fi;
        long_lost[n] = long_lost[n] & ~(mlost & ~unp[n]);
        unp[n] = unp[n] | mlost;
        if
        :: mharmless -> drop(n, mharmless, false)
        :: else
        fi
    :: else ->
        if
        :: phase[n] == FOLLOWING ->
            have_record = have_record | B(n);
            rec_mem[n] = mem[n] | B(n);
            unp[n] = 0
        :: else
        fi;
        phase[n] = WAITING
    fi;
    s_ep[n] = ep[n];
    s_ord[n] = ord[n];
    member_say_hello(n)
}

/* hello_vector() -> mvector, msaid */
inline hello_vector(n) {
    mvector = 0;
    msaid = 0;
    mi = 0;
    do
    :: mi < N ->
        if
        :: IN(hello[n], mi) && (H_FLAGS(n, mi) & F_MEMBER) ->
            mvector = mvector | (H_ATT(n, mi) << (4 * mi));
            msaid = msaid | B(mi)
        :: else
        fi;
        mi++
    :: else -> break
    od
}

inline confirm(n) {
    hello_vector(n);
    if
    :: phase[n] == MEMBER && (unp[n] & group[n]) && !(mem[n] & group[n] & ~msaid) &&
       ((mvector >> (4 * n)) & 15) == att[n] && confirmed[n] != mvector ->
        confirmed[n] = mvector;
        multicast(n, CONFIRM, inc[n], mvector & 255, mvector >> 8, 0, 0)
    :: else
    fi
}

/* better_side(): is the stamp of a better than that of b, both as n knows them */
#define BETTER_SIDE(n, a, b) (h_ep[AT(n, a)] != h_ep[AT(n, b)] -> h_ep[AT(n, a)] > h_ep[AT(n, b)] : \
    (h_ord[AT(n, a)] != h_ord[AT(n, b)] -> h_ord[AT(n, a)] > h_ord[AT(n, b)] : \
    (POP(H_LIVE(n, a)) != POP(H_LIVE(n, b)) -> POP(H_LIVE(n, a)) > POP(H_LIVE(n, b)) : \
    (H_LIVE(n, a) & -H_LIVE(n, a)) < (H_LIVE(n, b) & -H_LIVE(n, b)))))
#define SAME_STAMP(n, a, b) (h_ep[AT(n, a)] == h_ep[AT(n, b)] && h_ord[AT(n, a)] == h_ord[AT(n, b)] && \
    h_has[AT(n, a)] == h_has[AT(n, b)] && H_MEM(n, a) == H_MEM(n, b))

inline settle(n) {
    mfirst = N;
    mbest = N;
    msame = true;
    mi = 0;
    do
    :: mi < N ->
        if
        :: IN(msaid, mi) ->
            if
            :: mfirst == N -> mfirst = mi
            :: else
            fi;
            if
            :: !SAME_STAMP(n, mi, mfirst) || H_INC(n, mi) != ninc[AT(n, mi)] -> msame = false
            :: else
            fi;
            if
            :: mbest == N -> mbest = mi
            :: else ->
                if
                :: BETTER_SIDE(n, mi, mbest) -> mbest = mi
                :: else
                fi
            fi
        :: else
        fi;
        mi++
    :: else -> break
    od;
    if
    :: GUARD(SETTLE_SAME, msame) && GUARD(SETTLE_ORDER, ord[n] == s_ord[n]) ->
        printf("node%d: together again\n", n);
        lease = lease & (BROKEN(SETTLE_LEASE) -> 255 : ~B(n));
        unp[n] = unp[n] & ~group[n];
        long_lost[n] = long_lost[n] & unp[n];
        proof_sent[n] = proof_sent[n] & unp[n];
        take_hello_memory(n)
    :: else ->
        /* Who goes on waits for the others to end: they may not have heard the last CONFIRM. */
        if
        :: IS_LIVE(n, mbest) && BROKEN(SETTLE_ENDED) -> drop(n, unp[n] & group[n], true)
        :: IS_LIVE(n, mbest) && !BROKEN(SETTLE_ENDED)
        :: else -> fatal(n)
        fi
    fi
}

inline member_confirm(n, k, i, low, high) {
    hello_vector(n);
    if
    :: phase[n] == MEMBER && IN(group[n], k) && (unp[n] & group[n]) && H_INC(n, k) == i ->
        said[AT(n, k)] = low | high << 8;
        if
        :: mem[n] & group[n] & ~msaid
        :: else ->
            msame = true;
            mi = 0;
            do
            :: mi < N ->
                if
                :: IN(msaid, mi) && said[AT(n, mi)] != mvector -> msame = false
                :: else
                fi;
                mi++
            :: else -> break
            od;
            if
            :: GUARD(SETTLE_CONFIRMED, msame) -> settle(n)
            :: else
            fi
        fi
    :: else
    fi
}

inline member_hello(n, k, id, sep, sord, view, last) {
    if
    :: !IN(group[n], k)
    :: else ->
        hello[n] = hello[n] | B(k);
        hello_here[n] = hello_here[n] & ~B(k) | ((last) >> 2 == group[n] -> B(k) : 0);
        if
        :: starter[n] == k + 1 && !BROKEN(START_VOID) ->
            starter[n] = 0;
            start_need[n] = 0;
            start_wait = start_wait & ~B(n)
        :: else
        fi;
        if
        :: phase[n] == WAITING || (phase[n] == MEMBER && (unp[n] & group[n])) ->
            h_id[AT(n, k)] = id;
            h_ep[AT(n, k)] = sep;
            h_ord[AT(n, k)] = sord;
            h_view[AT(n, k)] = view;
            h_has[AT(n, k)] = (last) & 3
        :: else
        fi;
        if
        :: !COMPATIBLE(n, k) ->
            if
            :: (view >> 6 & F_MEMBER) && !FOLLOWS(n) -> fatal(n)
            :: else
            fi
        :: COMPATIBLE(n, k) && !FOLLOWS(n)
        :: else ->
            if
            :: phase[n] == MEMBER && sep > ep[n] && (view >> 6 & F_JOURNAL) && !BROKEN(HELLO_NEWER) -> fatal(n)
            :: else ->
                if
                :: view >> 6 & F_MEMBER ->
                    if
                    :: !IS_LIVE(n, k) && phase[n] == MEMBER && sep > s_ep[n] && !BROKEN(HELLO_NEWER) -> fatal(n)
                    :: else
                    fi
                :: else ->
                    if
                    :: IN(unp[n], k) -> drop(n, B(k), false)
                    :: else
                    fi;
                    if
                    :: !IN(mem[n], k) -> join_register(n, k, (id >> 4), (id & 15))
                    :: else
                    fi
                fi
            fi;
            confirm(n)
        fi
    fi
}

inline member_harmless(n, k, i, lost, linc) {
    if
    :: k == n -> proof_sent[n] = proof_sent[n] & ~B(lost)
    :: else
    fi;
    if
    :: FOLLOWS(n) && IN(unp[n], lost) && GUARD(HARMLESS_HERE, IN(hello_here[n], k)) &&
       GUARD(HARMLESS_SETTLING, !(unp[n] & group[n])) &&
       GUARD(HARMLESS_LIVE, IS_LIVE(n, k) && ninc[AT(n, k)] == i) &&
       GUARD(HARMLESS_INCARNATION, ninc[AT(n, lost)] == linc) ->
        if
        :: !IN(proof_begun, n) && !BROKEN(HARMLESS_EPOCH) -> ep[n]++
        :: else
        fi;
        proof_begun = proof_begun | B(n);
        harmless_said[AT(n, lost)] = harmless_said[AT(n, lost)] | B(k);
        mharmless = 0;
        mi = 0;
        do
        :: mi < N ->
            if
            :: IN(unp[n], mi) && (LIVE(n) & ~harmless_said[AT(n, mi)]) -> mharmless = mharmless | B(mi)
            :: else
            fi;
            mi++
        :: else -> break
        od;
        if
        :: BROKEN(HARMLESS_ALL) -> drop(n, B(lost), true)
        :: !BROKEN(HARMLESS_ALL) && !mharmless -> drop(n, unp[n], true)
        :: else
        fi
    :: else
    fi
}

#define MAY_GO_ON(n) GUARD(PROOF_SUSPECT, !LEASE_PROVES || !IN(suspect, n) || POP(LIVE(n)) * 2 > N)
#define WANTS_PROOF(n, k) (phase[n] == MEMBER && IN(unp[n], k) && \
    GUARD(HARMLESS_SETTLING, !(unp[n] & group[n])) && GUARD(PROOF_QUORATE, IN(quorate, n)) && \
    GUARD(PROOF_LEASED, IN(lease, n)))
#define HAS_PROOF(n, k) ((harmless_said[AT(n, k)] & ~B(n)) || MAY_GO_ON(n) && \
    ((FENCING && fenced[k] && GUARD(PROOF_FENCED, fenced[k] >= ninc[AT(n, k)])) || \
     ((LEASE_PROVES || BROKEN(PROOF_VOTES)) && MAY_PROVE && GUARD(PROOF_LEASE, IN(long_lost[n], k)))))
#define MAY_PROVE (PLAN != 3 || !splits)
/* It is said again every second, which adds nothing where it was heard. */
#define SAYS_AGAIN(n, k) (WANTS_PROOF(n, k) && HAS_PROOF(n, k))
#define PROVEN(n, k) (!IN(proof_sent[n], k) && !IN(harmless_said[AT(n, k)], n) && SAYS_AGAIN(n, k))

inline send_harmless(n, k) {
    printf("node%d: HARMLESS %d\n", n, k);
    proof_sent[n] = proof_sent[n] | B(k);
    multicast(n, HARMLESS, inc[n] << 4 | (k), ninc[AT(n, k)], 0, 0, 0)
}

/* A proof that Corosync takes only when its ring has formed anew: it is ordered before the HELLO there. */
inline hold_harmless(n, k) {
    printf("node%d: HARMLESS %d, not sent yet\n", n, k);
    proof_sent[n] = proof_sent[n] | B(k);
    held[n] = (k) + 1
}

inline member_advance(n) {
    if
    :: !unp[n] -> suspect = suspect & ~B(n)
    :: unp[n] && !IN(quorate, n) -> suspect = suspect | B(n)
    :: else
    fi
}
