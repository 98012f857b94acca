/* cluster_commit.c */

/* may_serve() */
#define SERVING(n) (phase[n] == MEMBER && GUARD(SERVE_QUORATE, IN(quorate, n)) && \
                    GUARD(SERVE_PROVEN, !unp[n]) && GUARD(SERVE_DURABLE, !IN(view_wait, n)) && \
                    GUARD(SERVE_LEASE, IN(lease, n)))

#define NO_TICKET(n, o) (GUARD(ACK_APPLIED, !IN(applying[n], o)) && GUARD(ACK_DURABLE, !IN(persisting[n], o)))

hidden byte ci;

/* A datagram of k, not ordered; n may not have its own operation yet. */
inline commit_receipt(n, k, o) {
    if
    :: n != k && IN(running, n) && phase[n] == MEMBER && IS_LIVE(n, k) && ninc[AT(n, k)] == inc[k] && ninc[AT(k, n)] == inc[n] &&
       (op[o] == SENT || op[o] == APPLIED) -> op_acks[o] = op_acks[o] | B(k)
    :: else
    fi
}

/* try_acknowledge() for all tickets */
inline commit_durable(n) {
    ci = 0;
    do
    :: ci < 2 ->
        if
        :: IN(ticket[n], ci) && NO_TICKET(n, ci) ->
            ticket[n] = ticket[n] & ~B(ci);
            if
            :: RECEIPTS -> commit_receipt(ORIGIN(ci), n, ci)
            :: else
            fi;
            multicast(n, ACK, inc[n], ci, 0, 0, 0)
        :: else
        fi;
        ci++
    :: else -> break
    od
}

inline commit_op(n, k, i, o) {
    if
    :: !FOLLOWS(n) || phase[n] == DEAD
    :: FOLLOWS(n) && !(GUARD(OP_PROVEN, BROKEN(SERVE_PROVEN) || !unp[n]) && GUARD(OP_LIVE, IS_LIVE(n, k)) &&
                       GUARD(OP_INCARNATION, ninc[AT(n, k)] == i)) ->
        /* refused at this place by everyone */
        if
        :: k == n && i == inc[n] && op[o] == SENT -> op[o] = UNSENT
        :: else
        fi
    :: else ->
        executed_once = !IN(has[n], o);
        assert(executed_once);
        ord[n]++;
        has[n] = has[n] | B(o);
        if
        :: phase[n] == MEMBER ->
            if
            :: k == n && i == inc[n] && op[o] == SENT ->
                op[o] = APPLIED;
                op_need[o] = mem[n];
                op_ord[o] = ord[n]
            :: else
            fi;
            ticket[n] = ticket[n] | B(o);
            applying[n] = applying[n] | B(o);
            if
            :: IN(PERSISTENT, o) -> persisting[n] = persisting[n] | B(o); dirty = dirty | B(n)
            :: else
            fi;
            commit_durable(n)
        :: else
        fi
    fi
}

inline commit_ack(n, k, i, o) {
    if
    :: phase[n] == MEMBER && ORIGIN(o) == n && IS_LIVE(n, k) && ninc[AT(n, k)] == i && op[o] == APPLIED ->
        op_acks[o] = op_acks[o] | B(k)
    :: else
    fi
}

inline commit_ask(n, k, i, o, order) {
    if
    :: k == n -> asked = asked & ~B(o)
    :: else
    fi;
    if
    :: phase[n] == MEMBER && IS_LIVE(n, k) && ninc[AT(n, k)] == i && GUARD(ASK_TICKET, !IN(ticket[n], o)) &&
       GUARD(ASK_ORDER, order <= ord[n]) -> multicast(n, ACK, inc[n], o, 0, 0, 0)
    :: else
    fi
}

/* advance_pending(): an acknowledgement may have been lost */
#define READ_BY(k, n) (!IN(running, k) || ring[k] != ring[n] || len(q[k]) == 0)
#define ALL_READ(n) (READ_BY(0, n) && READ_BY(1, n) && READ_BY(N - 1, n))
#define ASKS(n, o) (!BROKEN(ASK_AGAIN) && IN(OPS, o) && ORIGIN(o) == (n) && op[o] == APPLIED && !IN(asked, o) && \
                    (op_need[o] & mem[n] & ~op_acks[o]))

#define COMMITTED(n, o) (op[o] == APPLIED && GUARD(SERVE_PROVEN, !unp[n]) && \
    GUARD(COMMIT_ACKS, !(op_need[o] & (BROKEN(SERVE_PROVEN) -> LIVE(n) : mem[n]) & ~op_acks[o])))

inline commit_advance(n) {
    ci = 0;
    do
    :: ci < 2 ->
        if
        :: ORIGIN(ci) == n && COMMITTED(n, ci) && SERVING(n) ->
            op[ci] = ANSWERED;
            op_need[ci] = 0;
            op_acks[ci] = 0;
            op_ord[ci] = 0;
            good = good | B(ci)
        :: ORIGIN(ci) == n && op[ci] == UNSENT && SERVING(n) ->
            op[ci] = SENT;
            op_acks[ci] = 0;
            multicast(n, OP, inc[n], ci, 0, 0, 0)
        :: else
        fi;
        ci++
    :: else -> break
    od
}
