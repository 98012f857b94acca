/* cluster_join.c */

/* --- cold start --------------------------------------------------------------------------------- */

#define BETTER_RECORD(n, a, b) (((H_FLAGS(n, a) ^ H_FLAGS(n, b)) & F_JOURNAL) -> \
    ((H_FLAGS(n, a) & F_JOURNAL) != 0) : (h_ep[AT(n, a)] != h_ep[AT(n, b)] -> \
    h_ep[AT(n, a)] > h_ep[AT(n, b)] : h_ord[AT(n, a)] > h_ord[AT(n, b)]))

/* newest_record() -> jbest: the node + 1, or 0 */
inline newest_record(n) {
    jhere = 0;
    jbest = 0;
    jmember = false;
    ji = 0;
    do
    :: ji < N ->
        if
        :: IN(group[n], ji) && (!IN(hello[n], ji) || (H_FLAGS(n, ji) & F_MEMBER)) && !BROKEN(START_NO_MEMBER) -> jmember = true
        :: IN(group[n], ji) && IN(hello[n], ji) && !(H_FLAGS(n, ji) & F_MEMBER) && COMPATIBLE(n, ji) ->
            jhere = jhere | B(ji);
            if
            :: !jbest -> jbest = ji + 1
            :: else ->
                if
                :: !BROKEN(START_NEWEST) && BETTER_RECORD(n, ji, jbest - 1) -> jbest = ji + 1
                :: else
                fi
            fi
        :: else
        fi;
        ji++
    :: else -> break
    od;
    if
    :: jmember -> jbest = 0
    :: !jmember && jbest && !IN(forced, n) ->
        if
        :: !(H_FLAGS(n, jbest - 1) & F_JOURNAL) && !GUARD(START_NEW_ARRAY, !(ALL & ~jhere)) -> jbest = 0
        :: (H_FLAGS(n, jbest - 1) & F_JOURNAL) &&
           !GUARD(START_ALL_HERE, !(H_MEM(n, jbest - 1) & ~jhere)) -> jbest = 0
        :: else
        fi
    :: else
    fi
}

inline become_member(n) {
    printf("node%d: is a member\n", n);
    phase[n] = MEMBER;
    if
    :: IN(dirty, n) -> view_wait = view_wait | B(n)
    :: else
    fi;
    have_record = have_record | B(n);
    lane[n] = has[n];
    lease = lease & ~B(n);
    s_ep[n] = ep[n];
    s_ord[n] = ord[n];
    rec_mem[n] = 0;
    starter[n] = 0;
    start_need[n] = 0;
    start_sent = start_sent & ~B(n);
    ready_sent = ready_sent & ~B(n);
    forced = forced & ~B(n);
    take_hello_memory(n)
}

inline admit_node(n, k, i) {
    ninc[AT(n, k)] = i;
    forget_joiner(n, k)
}

inline begin_view(n) {
    printf("node%d: cold start\n", n);
    if
    :: IN(have_record, n) -> has[n] = has[n] & PERSISTENT
    :: else
    fi;
    good = good & PERSISTENT & (IN(forced, n) -> has[n] : 255);
    cold_start_is_newest = !(good & ~has[n]);
    assert(cold_start_is_newest);
    jj = 0;
    do
    :: jj < N ->
        if
        :: jj != n && IN(hello[n], jj) ->
            if
            :: h_ep[AT(n, jj)] > ep[n] -> ep[n] = h_ep[AT(n, jj)]
            :: else
            fi;
            if
            :: COMPATIBLE(n, jj) -> join_register(n, jj, H_INC(n, jj), H_ATT(n, jj))
            :: else
            fi
        :: else
        fi;
        jj++
    :: else -> break
    od;
    if
    :: IN(forced, n) -> ep[n] = ep[n] + FORCED_EPOCHS
    :: else
    fi;
    unp[n] = 0;
    phase[n] = MEMBER;
    member_change(n, B(n), 0, true);
    admit_node(n, n, inc[n]);
    become_member(n)
}

/* The record that names the starter is durable. */
inline admit_starter(n) {
    if
    :: IN(start_wait, n) ->
        start_wait = start_wait & ~B(n);
        multicast(n, ADMIT, inc[n] << 4 | (starter[n] - 1),
                  H_INC(n, starter[n] - 1) << 4 | H_ATT(n, starter[n] - 1), 0, 0, 0)
    :: else
    fi
}

inline join_start(n, k, i, its_group) {
    if
    :: phase[n] == WAITING && !starter[n] && IN(hello[n], k) && H_INC(n, k) == i &&
       GUARD(START_GROUP, its_group == group[n]) ->
        jmember = false;
        ji = 0;
        do
        :: ji < N ->
            if
            :: IN(hello[n], ji) && (H_FLAGS(n, ji) & F_MEMBER) && !BROKEN(START_NO_MEMBER) -> jmember = true
            :: else
            fi;
            ji++
        :: else -> break
        od;
        if
        :: jmember
        :: !jmember && k != n ->
            starter[n] = k + 1;
            rec_mem[n] = rec_mem[n] | B(k);
            if
            :: IN(have_record, n) -> start_wait = start_wait | B(n); dirty = dirty | B(n)
            :: else
            fi;
            if
            :: BROKEN(START_ADMIT_DURABLE) -> admit_starter(n)
            :: else
            fi
        :: else ->
            starter[n] = n + 1;
            ji = 0;
            do
            :: ji < N ->
                if
                :: ji != n && IN(hello[n], ji) && COMPATIBLE(n, ji) && (H_FLAGS(n, ji) & F_JOURNAL) && !BROKEN(START_ADMIT) ->
                    start_need[n] = start_need[n] | B(ji)
                :: else
                fi;
                ji++
            :: else -> break
            od;
            if
            :: !start_need[n] -> begin_view(n)
            :: else
            fi
        fi
    :: else
    fi
}

inline starter_admitted(n, k, joiner, id) {
    if
    :: starter[n] == n + 1 && joiner == n && id == (inc[n] << 4 | att[n]) && IN(start_need[n], k) ->
        start_need[n] = start_need[n] & ~B(k);
        if
        :: !start_need[n] -> begin_view(n)
        :: else
        fi
    :: else
    fi
}

/* --- snapshot ----------------------------------------------------------------------------------- */

inline join_begin(n, k, to, number) {
    if
    :: (phase[n] == WAITING || phase[n] == LOADING) && IN(to, n) ->
        phase[n] = LOADING;
        transfer[n] = number;
        from[n] = k
    :: phase[n] == MEMBER && k == n && IN(begin_sent, n) && transfer[n] == number ->
        x_ep[n] = ep[n];
        x_ord[n] = ord[n];
        x_mem[n] = mem[n];
        x_has[n] = has[n];
        x_ready[n] = j_ready[n];
        ji = 0;
        do
        :: ji < N ->
            x_inc[AT(n, ji)] = ninc[AT(n, ji)];
            x_jinc[AT(n, ji)] = j_inc[AT(n, ji)];
            x_jatt[AT(n, ji)] = j_att[AT(n, ji)];
            x_jadm[AT(n, ji)] = j_admits[AT(n, ji)];
            ji++
        :: else -> break
        od;
        served[n] = served[n] | to;
        multicast(n, SNAPSHOT, inc[n], number, 0, 0, 0)
    :: else
    fi
}

/* `kept`: how many messages lie between BEGIN and here; they are applied after it. */
inline join_chunk(n, k, number, kept) {
    if
    :: transfer[n] == number && phase[n] == MEMBER && k == n ->
        transfer[n] = 0;
        begin_sent = begin_sent & ~B(n)
    :: transfer[n] == number && phase[n] == LOADING && k == from[n] ->
        ep[n] = x_ep[k];
        ord[n] = x_ord[k];
        mem[n] = x_mem[k];
        has[n] = x_has[k];
        j_ready[n] = x_ready[k];
        ji = 0;
        do
        :: ji < N ->
            ninc[AT(n, ji)] = x_inc[AT(k, ji)];
            j_inc[AT(n, ji)] = x_jinc[AT(k, ji)];
            j_att[AT(n, ji)] = x_jatt[AT(k, ji)];
            j_admits[AT(n, ji)] = x_jadm[AT(k, ji)];
            ji++
        :: else -> break
        od;
        unp[n] = 0;
        phase[n] = FOLLOWING;
        transfer[n] = 0;
        from[n] = 0;
        replay[n] = kept
    :: else
    fi
}

/* --- admission ---------------------------------------------------------------------------------- */

inline join_ready(n, k, i, attempt) {
    if
    :: FOLLOWS(n) && i && j_inc[AT(n, k)] == i && j_att[AT(n, k)] == attempt -> j_ready[n] = j_ready[n] | B(k)
    :: else
    fi
}

inline join_admit(n, k, i, joiner, id) {
    if
    :: phase[n] == WAITING -> starter_admitted(n, k, joiner, id)
    :: FOLLOWS(n) && IS_LIVE(n, k) && IN(j_ready[n], joiner) && ninc[AT(n, k)] == i && (j_inc[AT(n, joiner)] << 4 | j_att[AT(n, joiner)]) == id ->
        j_admits[AT(n, joiner)] = j_admits[AT(n, joiner)] | B(k);
        if
        :: !(LIVE(n) & ~j_admits[AT(n, joiner)]) ->
            member_change(n, mem[n] | B(joiner), 0, true);
            admit_node(n, joiner, (id >> 4));
            if
            :: joiner == n && (id >> 4) == inc[n] -> become_member(n)
            :: else
            fi
        :: else
        fi
    :: else
    fi
}

inline send_admit(n, k) {
    admit_sent[n] = admit_sent[n] | B(k);
    multicast(n, ADMIT, inc[n] << 4 | (k), j_inc[AT(n, k)] << 4 | j_att[AT(n, k)], 0, 0, 0)
}

/* The records that name these joiners are durable. */
inline admit_durable(n) {
    jj = 0;
    do
    :: jj < N ->
        if
        :: IN(admit_wait[n], jj) -> admit_wait[n] = admit_wait[n] & ~B(jj); send_admit(n, jj)
        :: else
        fi;
        jj++
    :: else -> break
    od
}

inline admit_joiners(n) {
    jj = 0;
    do
    :: jj < N ->
        if
        :: IN(j_ready[n] & ~admit_sent[n] & ~admit_wait[n], jj) ->
            dirty = dirty | B(n);
            if
            :: BROKEN(ADMIT_DURABLE) -> send_admit(n, jj)
            :: else -> admit_wait[n] = admit_wait[n] | B(jj)
            fi
        :: else
        fi;
        jj++
    :: else -> break
    od
}

inline serve_joiners(n) {
    if
    :: !IN(begin_sent, n) && GUARD(BEGIN_PROVEN, !unp[n]) && (LIVE(n) & -LIVE(n)) == B(n) ->
        jhere = 0;
        ji = 0;
        do
        :: ji < N ->
            if
            :: j_inc[AT(n, ji)] && !IN(served[n], ji) && !IN(j_ready[n], ji) -> jhere = jhere | B(ji)
            :: else
            fi;
            ji++
        :: else -> break
        od;
        if
        :: jhere ->
            begin_sent = begin_sent | B(n);
            transfers[n]++;
            transfer[n] = transfers[n];
            multicast(n, BEGIN, inc[n], jhere, transfer[n], 0, 0)
        :: else
        fi
    :: else
    fi
}

inline say_ready(n) {
    ready_wait = ready_wait & ~B(n);
    ready_sent = ready_sent | B(n);
    multicast(n, READY, inc[n], att[n], 0, 0, 0)
}

inline join_advance(n) {
    if
    :: phase[n] == WAITING ->
        if
        :: GUARD(START_QUORATE, IN(quorate, n)) && !IN(start_sent, n) && !starter[n] ->
            newest_record(n);
            if
            :: jbest == n + 1 -> start_sent = start_sent | B(n); multicast(n, START, inc[n], group[n], 0, 0, 0)
            :: else
            fi
        :: else
        fi
    :: phase[n] == FOLLOWING ->
        if
        :: !replay[n] && !IN(ready_sent, n) && !IN(ready_wait, n) ->
            dirty = dirty | B(n);
            if
            :: BROKEN(READY_DURABLE) -> say_ready(n)
            :: else -> ready_wait = ready_wait | B(n)
            fi
        :: else
        fi
    :: phase[n] == MEMBER -> admit_joiners(n); serve_joiners(n)
    :: else
    fi
}
