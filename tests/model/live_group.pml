/* Liveness: as live_cluster.pml. Pacemaker goes on: it promotes somebody where nobody owns the group. Connections and requests
 * for a handover are tried again when nothing else can happen. */

proctype faults_end() {
progress_faults: /* before that anything may go on for ever */
    d_step {
        printf("no fault any more\n");
        cuts = 0;
        kills = 0;
        splits = 0;
        starts = 0;
        breaks = 0;
        merges = 0;
        promotes = 0;
        demotes = 0;
        races = 0;
        late = 0;
        writes = 0;
        flushes = 0;
        calm = 1
    }
}

#define CAN_OWN(n) (SERVING(n) && IN(cur[n], n) && state[n] >= CONSISTENT && !IN(target, n))
#define NOBODY_OWNS (!(SERVING(0) && owner[0]) && !(SERVING(1) && owner[1]))
#define MAY_BE_PROMOTED(n) (CAN_OWN(n) && wish[n] == REST && NOBODY_OWNS && (wish[OTHER(n)] == REST || !SERVING(OTHER(n))))

inline seconds_pass(n) {
    if
    :: SERVING(n) && ASKS(n) && NOT_ASKED(n) && !parted && IN(running, OTHER(n)) -> push(OTHER(n), MESSAGE(HANDOVER, n, 0), epoch[n])
    :: IN(running & yielding & ~asked & ~overdue, n) && !ASKS(OTHER(n)) -> overdue = overdue | B(n)
    :: IN(running, n) && MAY_BE_PROMOTED(n) ->
        printf("node%d: to be promoted\n", n);
        wish[n] = PROMOTING;
        given_up = given_up & ~B(n);
        yielding = yielding & ~B(n);
        asked = asked & ~B(n);
        overdue = overdue & ~B(n)
    :: else
    fi
}

proctype time() {
    do
    :: atomic { timeout ->
        d_step {
            seconds_pass(0);
            seconds_pass(1);
            if
            :: CONNECTABLE -> connect(0)
            :: else
            fi;
            skip
        };
        d_step { true -> settled(); skip }
    }
    od
}

/* Both members wait for each other, and nobody is fenced; or an operator has to say what goes on. */
#define HOPE (!(parted && member == 3 && !FENCING) && !standalone)
#define SERVED (SERVING(0) || SERVING(1))
#define WANTS(n) (wish[n] == PROMOTING && IN(cur[n], n) && !owner[n])
#define NODE_DONE(n) (!IN(running, n) || !w[n] && !answer[n] && !busy[n] && wish[n] != DEMOTING && !WANTS(n) && \
    (SERVING(n) && !IN(outdate_wanted, n) || !IN(member, n) && (parted || !SERVED && running != 3)))
#define OWNED (EXECUTES(0) || EXECUTES(1) || !CAN_OWN(0) && !CAN_OWN(1))
#define WHOLE_DONE (running != 3 || parted || SHARED || CONNECTED && !target && cur[0] == 3)

proctype goal() {
    do
    :: calm && !len(q[0]) && !len(q[1]) && !forming && (!HOPE || NODE_DONE(0) && NODE_DONE(1) && OWNED && WHOLE_DONE) ->
progress_goal:
        skip
    od
}
