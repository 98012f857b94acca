/* What the model knows: the world (hosts, Corosync, disks, the fencer) and of every node the variables of
 * struct cluster (cluster/machine.h) under shorter names. Sets of nodes and of operations are bits. */
#define ALL ((1 << N) - 1)
#define B(n) (1 << (n))
#define AT(n, k) ((n) * N + (k))
#define POP(x) (((x) & 1) + (((x) >> 1) & 1) + (((x) >> 2) & 1))

/* --- parameters of the scenario: constants of a run, not part of the state ---------------------- */
hidden byte LEASE_PROVES;    /* three votes: an expired lease makes harmless */
hidden byte FENCING;         /* Pacemaker fences who is lost */
hidden byte EAGER;           /* 1: journals, 2: effects, 4: leases: never late */
hidden byte OPS;             /* bits: operations; the first is of node 0, the second of the last node */
hidden byte PARTS;           /* bits: sides that may part from a whole ring; a side is a set of nodes */
hidden byte LATE_KILLS;      /* daemons are killed 1: while all that run are members, 2: after an answer */
hidden byte QUICK;           /* a ring that broke may be whole again before one side has noticed */
hidden byte LATE_QUORUM;     /* bits: nodes that may hear of quorum after the change of the group */
hidden byte PLAN;            /* faults come in this order, one after the other; 0: in any */
hidden byte OTHER_FILE;      /* bits: nodes that start with another configuration than the one in use */
hidden byte RECEIPTS;        /* acknowledgements reach the origin at once as well, whatever becomes of the ring */
hidden byte PERSISTENT;      /* bits: operations that survive a cold start (APTPL) */

/* --- the world ---------------------------------------------------------------------------------- */
byte up, running;            /* the host has power; its daemon runs */
byte ring[N];                /* the hosts that it reaches, itself included; 0: off */
byte forming;                /* bits: Totem has lost somebody, the new ring is not formed yet */
byte doomed;                 /* bits: about to lose its power; it reaches nobody any more */
byte cg[N];                  /* daemons of the CPG group at the end of its queue */
byte seen;                   /* two_node: was in a ring of all since power on (wait_for_all) */
byte fenced[N];              /* the newest fencing ended this incarnation; 0: never fenced */
byte inc[N];                 /* processes started so far; the number of the present one */
byte other;                  /* bits: its daemon has another configuration */
byte late;                   /* bits: has not heard yet what votequorum says */
byte poke;                   /* bits: quorum or lease has changed; the machine hears it before anything else */

/* Ordered messages that Corosync has for the daemon: kind and sender, five bytes of body. */
chan q[N] = [QUEUE] of { byte, byte, byte, byte, byte, byte };

/* Journals: what is durable. A write is one step: it takes what is true then. */
byte disk;                   /* bits: has a journal */
byte d_ep[N], d_ord[N], d_mem[N], d_has[N];

/* Faults and operator's acts that are left. */
byte cuts, kills, splits, starts, forces, ticks, merges, unsent;
#define NOBODY_ELSE_JOINS (JOINED(0) && JOINED(1) && JOINED(N - 1))
#define JOINED(n) (!IN(running, n) || phase[n] == MEMBER)

/* --- the machine -------------------------------------------------------------------------------- */
#define WAITING 1            /* 0: not running */
#define LOADING 2
#define FOLLOWING 3
#define MEMBER 4
#define DEAD 5
byte phase[N];
byte quorate, forced, suspect;   /* bits of nodes: the flag of that node's machine */
byte group[N];

/* agreed */
byte mem[N], unp[N];             /* members; the unproven among them */
byte ep[N], ord[N];
byte has[N];                     /* operations executed: the shared state */
byte ninc[N * N];                /* [of node, about node]: incarnation of the member */
byte j_inc[N * N], j_att[N * N], j_admits[N * N];
byte j_ready[N];

/* since the last change of the group. A HELLO is kept only while it can matter. */
byte att[N];
byte hello[N];                   /* bits: hello_seen */
byte had[N];                     /* bits: before, and there ever since: hello_mask */
byte hello_here[N];              /* bits: and it was of a group of the same members */
byte harmless_said[N * N];       /* [of node, about node]: who has said HARMLESS */
byte proof_begun;
byte h_id[N * N], h_ep[N * N], h_ord[N * N], h_view[N * N], h_has[N * N];
short said[N * N], confirmed[N]; /* CONFIRM: attempts, four bits for each node */
byte s_ep[N], s_ord[N];          /* stamp */

/* durability. dirty: a record was asked for and is not durable. The others wait for it. */
byte dirty, view_wait, start_wait, ready_wait;
byte admit_wait[N], admit_sent[N];

byte have_record, rec_mem[N];
byte start_sent, ready_sent, begin_sent, start_need[N];
byte starter[N];                 /* node + 1 */
byte served[N], transfer[N], transfers[N], from[N], replay[N];

/* The snapshot that a member sends: its content at the place of its BEGIN. (It takes no other one before all have
 * read this.) */
byte x_ep[N], x_ord[N], x_mem[N], x_has[N], x_ready[N];
byte x_inc[N * N], x_jinc[N * N], x_jatt[N * N], x_jadm[N * N];

/* commit */
byte lane[N];                    /* operations whose effects are carried out */
byte ticket[N], applying[N], persisting[N];
#define UNASKED 0
#define UNSENT 1
#define SENT 2
#define APPLIED 3
#define ANSWERED 4
#define GONE 5                   /* its process ended before the answer */
byte op[2], op_need[2], op_acks[2], op_ord[2];
byte good;                       /* operations answered GOOD (less what a cold start may lose) */
byte asked;                      /* ASK is on the way */

/* lease */
byte lease;                      /* may still be valid */
byte long_lost[N];               /* lost for longer than a lease */
byte proof_sent[N];
byte held[N];                    /* a HARMLESS that is not sent yet: about whom, + 1 */

/* --- helpers ------------------------------------------------------------------------------------ */
#define LIVE(n) (mem[n] & ~unp[n])
#define IS_LIVE(n, k) ((LIVE(n) & B(k)) != 0)
#define FOLLOWS(n) (phase[n] == FOLLOWING || phase[n] == MEMBER)
#define COMPATIBLE(n, k) (IN(other, n) == IN(other, k) || BROKEN(HELLO_CONFIGURATION))
/* Corosync's flow control: who is far behind reads before others go on. */
#define ROOM (len(q[0]) <= QUEUE - 6 && len(q[1]) <= QUEUE - 6 && len(q[N - 1]) <= QUEUE - 6)
#define OPERABLE(n) (((running >> (n)) & 1) && !poke && (ROOM || len(q[n]) > QUEUE - 6))
#define ORIGIN(o) ((o) == 0 -> 0 : N - 1)
#define IN(set, n) (((set) >> (n)) & 1)

/* HELLO flags */
#define F_MEMBER 1
#define F_JOURNAL 2
#define H_INC(n, k) (h_id[AT(n, k)] >> 4)
#define H_ATT(n, k) (h_id[AT(n, k)] & 15)
#define H_MEM(n, k) (h_view[AT(n, k)] & 7)
#define H_LIVE(n, k) ((h_view[AT(n, k)] >> 3) & 7)
#define H_FLAGS(n, k) (h_view[AT(n, k)] >> 6)

/* kinds of messages */
#define GROUP 1
#define HELLO 2
#define START 3
#define BEGIN 4
#define SNAPSHOT 5
#define READY 6
#define ADMIT 7
#define OP 8
#define ACK 9
#define ASK 10
#define HARMLESS 11
#define CONFIRM 12
#define KIND(m) ((m) >> 2)
#define SENDER(m) ((m) & 3)

hidden byte si, m0, m1, m2, m3, m4, m5;

/* Ordered at the end of the sender's ring for every daemon there, the sender itself included. */
inline multicast(n, kind, b1, b2, b3, b4, b5) {
    si = 0;
    do
    :: si < N ->
        if
        :: ring[si] == ring[n] && IN(running, si) -> q[si]!((kind) << 2 | (n)), b1, b2, b3, b4, b5
        :: else
        fi;
        si++
    :: else -> break
    od
}
