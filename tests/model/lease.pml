/* cluster_lease.c. Heartbeats are not messages here: a round trip is one step at a moment at which neither
 * side has unread messages. (An earlier or later one gives the same states: what stands between the
 * heartbeat and its answer can be read before or sent after.) What Corosync says of quorum in a new ring, it says
 * before it lets a message round in it, and cpg.c hands it over in that order. */

inline lease_drop(n) {
    lease = lease & ~B(n)
}

hidden byte ri;
hidden byte can_renew;

/* renew(): whether a heartbeat of n would renew its lease now. */
inline lease_renewable(n) {
    can_renew = false;
    if
    :: phase[n] == MEMBER && !IN(lease, n) && BROKEN(LEASE_ECHO) -> can_renew = true
    :: phase[n] == MEMBER && !IN(lease, n) && !BROKEN(LEASE_ECHO) && len(q[n]) == 0 && !IN(late, n) ->
        if
        :: (LIVE(n) & ~B(n)) == 0 -> can_renew = true
        :: else ->
            ri = 0;
            do
            :: ri < N ->
                if
                :: ri != n && IS_LIVE(n, ri) && ring[ri] == ring[n] && OPERABLE(ri) && len(q[ri]) == 0 &&
                   phase[ri] == MEMBER && IS_LIVE(ri, n) && ninc[AT(ri, n)] == inc[n] &&
                   ninc[AT(n, ri)] == inc[ri] -> can_renew = true
                :: else
                fi;
                ri++
            :: else -> break
            od
        fi
    :: else
    fi
}
