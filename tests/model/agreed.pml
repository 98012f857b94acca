/* The agreed order and what it decides: shared_group.c, cluster_commit.c and the part of cluster_member.c that drops a lost
 * member. */

hidden byte gi, gj, gt, gagain;

inline push(n, m, e) {
    q[n]!m, e
}

inline say(n, kind, slot) {
    gi = 0;
    do
    :: gi < N ->
        if
        :: IN(member & running, gi) && (gi == (n) || !parted) -> push(gi, MESSAGE(kind, n, slot), epoch[n])
        :: else
        fi;
        gi++
    :: else -> break
    od
}

inline ask_for(n, slot, kind) {
    op[(n) * 4 + (slot)] = UNSENT;
    op_kind[(n) * 4 + (slot)] = kind
}

/* The daemon `k` about its op: refused at its place, or applied. */
inline result(n, from, slot, what) {
    if
    :: (from) == (n) && op[(n) * 4 + (slot)] == SENT -> op[(n) * 4 + (slot)] = what
    :: else
    fi
}

/* The place says that the copy of n is the only current one, and n has not had the other one outdated: recorded.c. */
inline passed_over_at(n) {
    passed_over = passed_over | B(n)
}

inline record(n) {
    if
    :: IN(passed_over, n) && cur[n] == B(n) ->
        if
        :: !BROKEN(SURVIVOR_FLUSHED) -> flush(n)
        :: else
        fi;
        given_up_is_stable = !IN(sure, OTHER(n)) || stable[n] >= acked;
        assert(given_up_is_stable)
    :: else
    fi;
    passed_over = passed_over & ~B(n);
    disk = disk | B(n);
    d_mem[n] = mem[n];
    d_ord[n] = ord[n];
    d_cur[n] = cur[n];
    dirty = dirty & ~B(n);
    view_wait = view_wait & ~B(n);
    persist[n] = 0
}

/* Applied, and to be carried out: `drain` what executes here, `durable`, `own` copy to be outdated first. */
inline carry_out(n, t, drain, durable, own) {
    ticket[n] = ticket[n] | (t);
    if
    :: mem[n] == 3 -> await[n] = await[n] | (t)
    :: else
    fi;
    if
    :: (drain) && w[n] || (own) -> carry[n] = carry[n] | (t)
    :: else
    fi;
    if
    :: durable -> persist[n] = persist[n] | (t); dirty = dirty | B(n)
    :: else
    fi
}

inline group_changed(n, t) {
    epoch[n]++;
    ord[n]++;
    confirmed = confirmed & ~(owner[n] == (n) + 1 -> 0 : B(n));
    change[n] = t
}

inline read_op(n, kind, from, slot) {
    gt = T(from, slot);
    if
    :: !IN(member, n)
    :: IN(member, n) && IN(unp, n) -> result(n, from, slot, UNSENT)
    :: else ->
        if
        :: kind == RELEASE && owner[n] == (from) + 1 ->
            owner[n] = 0;
            group_changed(n, gt);
            result(n, from, slot, APPLIED);
            carry_out(n, gt, !BROKEN(GROUP_DRAINED), false, false)
        :: kind == ACQUIRE && owner[n] != (from) + 1 && GUARD(ACQUIRE_UNOWNED, !owner[n]) &&
           GUARD(ACQUIRE_CURRENT, IN(cur[n], from)) ->
            owner[n] = (from) + 1;
            group_changed(n, gt);
            result(n, from, slot, APPLIED);
            carry_out(n, gt, !BROKEN(GROUP_DRAINED), false, false)
        :: kind == OUTDATE && GUARD(OUTDATE_OWNER, owner[n] != OTHER(from) + 1) &&
           GUARD(OUTDATE_LAST, cur[n] != B(OTHER(from))) ->
            if
            :: IN(cur[n], OTHER(from)) ->
                cur[n] = cur[n] & ~B(OTHER(from));
                epoch[n]++;
                ord[n]++;
                stands_alone(from)
            :: else
            fi;
            result(n, from, slot, APPLIED);
            carry_out(n, gt, false, true, (n) != (from) && !BROKEN(OUTDATE_DURABLE))
        :: kind == CURRENT && !IN(cur[n], OTHER(from)) ->
            cur[n] = cur[n] | B(OTHER(from));
            epoch[n]++;
            ord[n]++;
            result(n, from, slot, APPLIED);
            carry_out(n, gt, false, true, false)
        :: else ->
            /* so already: what the first one is waiting for may not be over */
            gagain = kind == ACQUIRE && owner[n] == (from) + 1 || kind == RELEASE && !owner[n];
            result(n, from, slot, (gagain || kind == CURRENT -> APPLIED : REFUSED));
            gagain = gagain && !BROKEN(GROUP_AGAIN);
            carry_out(n, gt, gagain, false, false);
            if
            :: gagain -> change[n] = gt
            :: else
            fi
        fi
    fi
}

inline read_ack(n, from, t) {
    if
    :: (from) != (n) -> await[n] = await[n] & ~(t)
    :: else
    fi
}

/* The other one has vanished. */
inline read_lost(n) {
    if
    :: IN(member, n) && IN(mem[n], OTHER(n)) -> unp = unp | B(n); lease = lease & ~B(n)
    :: else
    fi
}

/* The other one is harmless: shared_members(). */
inline read_drop(n) {
    if
    :: IN(member, n) && IN(mem[n], OTHER(n)) ->
        printf("node%d: drops the other\n", n);
        mem[n] = B(n);
        ord[n]++;
        unp = unp & ~B(n);
        await[n] = 0;
        if
        :: owner[n] == OTHER(n) + 1 ->
            owner[n] = 0;
            if
            :: IN(cur[n], n) && !BROKEN(SURVIVOR_CURRENT) -> cur[n] = cur[n] & ~B(OTHER(n)); passed_over_at(n)
            :: else
            fi
        :: else
        fi;
        epoch[n]++;
        change[n] = 255;
        dirty = dirty | B(n);
        view_wait = view_wait | B(n)
    :: else
    fi
}

/* handover: commit_handover(), group_asked() */
inline read_handover(n, from, its_epoch) {
    if
    :: (from) != (n) && IN(member, n) && !IN(unp, n) && owner[n] == (n) + 1 && GUARD(HANDOVER_EPOCH, its_epoch == epoch[n]) &&
       GUARD(HANDOVER_YIELDING, IN(yielding, n)) ->
        successor_is_current = IN(cur[n], from);
        assert(successor_is_current);
        asked = asked | B(n);
        yielding = yielding | B(n)
    :: else
    fi
}

inline read(n) {
    q[n]?m0, m1;
    printf("node%d: reads kind %d of node%d (%d)\n", n, KIND(m0), FROM(m0), SLOT(m0));
    if
    :: KIND(m0) == LOST -> read_lost(n)
    :: KIND(m0) == DROP -> read_drop(n)
    :: KIND(m0) >= RELEASE && KIND(m0) <= CURRENT -> read_op(n, KIND(m0), FROM(m0), SLOT(m0))
    :: KIND(m0) == ACK -> read_ack(n, FROM(m0), m1)
    :: KIND(m0) == HANDOVER -> read_handover(n, FROM(m0), m1)
    fi
}
hidden byte m0, m1;

#define T_SETTLED(n, t) (!((ticket[n] | await[n]) & (t)))
#define WHOLE(n) (!IN(unp, n))

/* commit_advance(): acknowledge, send, and see what is settled. */
inline commit_advance(n) {
    gj = 0;
    do
    :: gj < 8 ->
        gt = 1 << gj;
        if
        :: ticket[n] & ~carry[n] & ~persist[n] & gt ->
            ticket[n] = ticket[n] & ~gt;
            gi = 0;
            do
            :: gi < N ->
                if
                :: IN(member & running, gi) && gi != (n) && !parted -> push(gi, MESSAGE(ACK, n, 0), gt)
                :: else
                fi;
                gi++
            :: else -> break
            od
        :: else
        fi;
        gj++
    :: else -> break
    od;
    gj = 0;
    do
    :: gj < 4 ->
        if
        :: SERVING(n) && op[(n) * 4 + gj] == UNSENT ->
            op[(n) * 4 + gj] = SENT;
            say(n, op_kind[(n) * 4 + gj], gj)
        :: else
        fi;
        gj++
    :: else -> break
    od;
    if
    :: change[n] == 255 && !w[n] && WHOLE(n) -> change[n] = 0
    :: change[n] && change[n] != 255 && T_SETTLED(n, change[n]) && WHOLE(n) -> change[n] = 0
    :: else
    fi
}

/* An own operation is answered: all members have acknowledged it. */
#define ANSWERED(n, slot) (op[(n) * 4 + (slot)] >= APPLIED && SERVING(n) && T_SETTLED(n, T(n, slot)))
