/* What must hold after every step, by the names that the simulator's checkers have, too. */

hidden byte executed_once, cold_start_is_newest, never_decides;
hidden byte one_configuration, one_side_serves, answered_op_is_everywhere, answered_op_is_durable, digest_equal, whole_and_quiet_serves, who_is_a_member_knows;
hidden byte pi, pj;

inline check() {
    one_side_serves = true;
    answered_op_is_everywhere = true;
    answered_op_is_durable = true;
    digest_equal = true;
    one_configuration = true;
    who_is_a_member_knows = true;
    pi = 0;
    do
    :: pi < N ->
        if
        :: SERVING(pi) ->
            if
            :: good & ~lane[pi] -> answered_op_is_everywhere = false
            :: else
            fi;
            if
            :: good & PERSISTENT & ~d_has[pi] -> answered_op_is_durable = false
            :: else
            fi
        :: else
        fi;
        if
        :: phase[pi] == FOLLOWING && !len(q[pi]) ->
            pj = 0;
            do
            :: pj < N ->
                if
                :: pj != pi && phase[pj] == MEMBER && ring[pi] == ring[pj] && !len(q[pj]) && IS_LIVE(pj, pi) &&
                   ninc[AT(pj, pi)] == inc[pi] -> who_is_a_member_knows = false
                :: else
                fi;
                pj++
            :: else -> break
            od
        :: else
        fi;
        if
        :: phase[pi] == MEMBER ->
            pj = 0;
            do
            :: pj < N ->
                if
                :: pj != pi && SERVING(pi) && SERVING(pj) && !IN(mem[pi], pj) && ep[pi] >= ep[pj] ->
                    one_side_serves = false
                :: else
                fi;
                if
                :: SERVING(pi) && SERVING(pj) && IS_LIVE(pi, pj) && ninc[AT(pi, pj)] == inc[pj] && IN(other, pi) != IN(other, pj) ->
                    one_configuration = false
                :: else
                fi;
                if
                :: pj < pi && phase[pj] == MEMBER && ring[pi] == ring[pj] && !len(q[pi]) && !len(q[pj]) && IS_LIVE(pi, pj) && IS_LIVE(pj, pi) &&
                   ninc[AT(pi, pj)] == inc[pj] && ninc[AT(pj, pi)] == inc[pi] &&
                   (ord[pi] != ord[pj] || ep[pi] != ep[pj] || has[pi] != has[pj] || mem[pi] != mem[pj]) ->
                    digest_equal = false
                :: else
                fi;
                pj++
            :: else -> break
            od
        :: else
        fi;
        pi++
    :: else -> break
    od;
    never_decides = !NEVER || c_expr { !opened };
    assert(never_decides);
    assert(one_side_serves);
    assert(one_configuration);
    assert(answered_op_is_everywhere);
    assert(answered_op_is_durable);
    assert(digest_equal);
    assert(who_is_a_member_knows)
}

/* Everything is repaired and nothing is under way: then all must serve, with one state. */
hidden byte quiet;
inline check_progress() {
    quiet = running == ALL && (!other || other == ALL) && !poke && !late && !dirty && !asked;
    pi = 0;
    do
    :: pi < N && quiet ->
        if
        :: ring[pi] != ALL || len(q[pi]) || applying[pi] ||
           (phase[pi] == MEMBER && !unp[pi] && (ASKS(pi, 0) || ASKS(pi, 1))) -> quiet = false
        :: else
        fi;
        lease_renewable(pi);
        if
        :: can_renew -> quiet = false
        :: else
        fi;
        pi++
    :: else -> break
    od;
    whole_and_quiet_serves = true;
    pi = 0;
    do
    :: pi < N && quiet ->
        if
        :: !SERVING(pi) || mem[pi] != ALL || has[pi] != has[0] || (pi < 2 && (op[pi] == UNSENT || op[pi] == SENT || op[pi] == APPLIED)) ->
            whole_and_quiet_serves = false
        :: else
        fi;
        pi++
    :: else -> break
    od;
    assert(whole_and_quiet_serves)
}
