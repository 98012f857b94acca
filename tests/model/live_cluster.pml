/* Liveness: once faults have ended, every run comes to where nobody waits for anything that could still come. Spin looks for a
 * cycle outside of a progress state: a run that goes on for ever without that, or that ends without it. What is repeated with
 * time (leases run out) comes when nothing else can happen. */

proctype faults_end() {
progress_faults: /* before that anything may go on for ever */
    d_step {
        printf("no fault any more\n");
        cuts = 0;
        kills = 0;
        splits = 0;
        starts = 0;
        forces = 0;
        merges = 0;
        unsent = 0;
        ticks = 0;
        calm = 1
    }
}

hidden byte ti;

proctype time() {
    do
    :: atomic { timeout ->
        d_step {
            ti = 0;
            do
            :: ti < N ->
                if
                :: LEASE_PROVES && unp[ti] & ~long_lost[ti] -> long_lost[ti] = unp[ti]; lease = 0
                :: else
                fi;
                if
                :: OPERABLE(ti) && !unp[ti] && phase[ti] == MEMBER && (ASKS(ti, 0) || ASKS(ti, 1)) -> ask(ti)
                :: else
                fi;
                ti++
            :: else -> break
            od;
            skip
        };
        d_step { true -> settled(); skip }
    }
    od
}

/* Who is lost and not here: is there somebody who proves it harmless? */
#define CAN_PROVE(n) (FENCING || LEASE_PROVES && MAY_GO_ON(n))
#define SERVED_IN_RING(n) (SERVING(0) && ring[0] == ring[n] || SERVING(1) && ring[1] == ring[n] || SERVING(N - 1) && ring[N - 1] == ring[n])
#define UNANSWERED(n, o) (IN(OPS, o) && ORIGIN(o) == (n) && (op[o] == UNSENT || op[o] == SENT || op[o] == APPLIED))
#define MEMBER_DONE(n) (SERVING(n) && !UNANSWERED(n, 0) && !UNANSWERED(n, 1) || !IN(quorate, n) || (unp[n] & ~group[n]) && !CAN_PROVE(n))
#define OTHER_DONE(n) (other || !SERVED_IN_RING(n) && (running != ALL || ring[n] != ALL))
#define DONE(n) (!IN(running, n) || (phase[n] == MEMBER -> MEMBER_DONE(n) : OTHER_DONE(n)))
#define QUIET(n) (!len(q[n]) && !applying[n])

proctype goal() {
    do
    :: calm && !poke && !late && !dirty && !asked && QUIET(0) && QUIET(1) && QUIET(N - 1) && DONE(0) && DONE(1) && DONE(N - 1) ->
progress_goal:
        skip
    od
}
