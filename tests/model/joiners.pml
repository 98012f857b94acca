/* cluster_join.c: what is known of who wants to join. */

hidden byte ji, jj, jhere, jbest;
hidden byte jmember;

inline forget_joiner(n, k) {
    j_inc[AT(n, k)] = 0;
    j_att[AT(n, k)] = 0;
    j_admits[AT(n, k)] = 0;
    j_ready[n] = j_ready[n] & ~B(k);
    admit_wait[n] = admit_wait[n] & ~B(k);
    admit_sent[n] = admit_sent[n] & ~B(k);
    served[n] = served[n] & ~B(k)
}

inline join_reset(n) {
    if
    :: j_ready[n] -> dirty = dirty | B(n)
    :: else
    fi;
    ji = 0;
    do
    :: ji < N -> forget_joiner(n, ji); ji++
    :: else -> break
    od;
    transfer[n] = 0;
    from[n] = 0;
    replay[n] = 0;
    begin_sent = begin_sent & ~B(n);
    ready_sent = ready_sent & ~B(n);
    ready_wait = ready_wait & ~B(n);
    start_sent = start_sent & ~B(n);
    start_wait = start_wait & ~B(n);
    starter[n] = 0;
    start_need[n] = 0
}

inline join_register(n, k, i, attempt) {
    if
    :: j_inc[AT(n, k)] == (i) && j_att[AT(n, k)] == (attempt)
    :: else ->
        forget_joiner(n, k);
        j_inc[AT(n, k)] = i;
        j_att[AT(n, k)] = attempt
    fi
}
