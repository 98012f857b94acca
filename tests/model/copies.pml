/* What group.pml knows. The cluster machine is the agreed order here: what cluster.pml shows of it is taken for granted. Sets
 * of nodes are bits; tickets are bits, four slots for each node that an operation can come from. */
#define N 2
#define B(n) (1 << (n))
#define OTHER(n) (1 - (n))
#define IN(set, n) (((set) >> (n)) & 1)

/* --- parameters of the scenario ----------------------------------------------------------------- */
hidden byte FENCING;         /* Pacemaker fences who is lost */
hidden byte EAGER;           /* 1: journals are never late */
hidden byte LATE_LEASES;     /* bits: nodes whose leases come back at any moment; then links break when the rings are one again */
hidden byte LATE;            /* what Pacemaker gives up, or nobody answers in time */
hidden byte SHARED;          /* no copies: all nodes use the same storage */
hidden byte CUTS_OF;         /* bits: nodes that may lose their power */

/* --- the world ---------------------------------------------------------------------------------- */
byte up, running;            /* bits: the host has power; its daemon runs */
byte parted;                 /* 1: the rings are apart; what is sent reaches the own one alone */
byte forming;                /* bits: has not noticed yet */
byte cuts, kills, splits, starts, breaks, merges, promotes, demotes, races, late, writes, flushes; /* what may still happen */

/* In the agreed order: kind, sender and slot; the group's epoch. */
chan q[N] = [QUEUE] of { byte, byte };
#define LOST 1               /* the group has changed: the other member is away */
#define DROP 2               /* it is harmless, and no member any more */
#define RELEASE 3
#define ACQUIRE 4
#define OUTDATE 5            /* the copy of the sender's peer */
#define CURRENT 6            /* the same */
#define ACK 7
#define HANDOVER 8
#define MESSAGE(kind, from, slot) ((kind) | (from) << 4 | (slot) << 5)
#define KIND(m) ((m) & 15)
#define FROM(m) (((m) >> 4) & 1)
#define SLOT(m) ((m) >> 5)

/* Journals. */
byte disk;                   /* bits: has one */
byte d_mem[N], d_ord[N], d_cur[N];

/* --- the agreed state, as each node has it ------------------------------------------------------ */
byte member;                 /* bits: has the state */
byte mem[N], ord[N];
byte owner[N];               /* node + 1, 0: nobody */
byte cur[N];                 /* whose copies are current */
byte epoch[N];               /* of the group */
byte unp, lease;             /* bits: the other member is unproven; the lease is valid */
byte dirty, view_wait;       /* bits: a record is to be written; nothing is served before */
byte passed_over;            /* bits: it will say that this copy alone is current, which the place decided and not this node */

/* --- commit ------------------------------------------------------------------------------------- */
#define T(from, slot) (1 << ((from) * 4 + (slot)))
#define S_OUTDATE 2          /* 0 and 1: RELEASE and ACQUIRE in turn */
#define S_CURRENT 3
byte ticket[N];              /* not acknowledged here yet, because: */
byte carry[N];               /* it is being carried out */
byte persist[N];             /* it is not durable */
byte await[N];               /* the other one has not acknowledged it */
#define IDLE 0
#define UNSENT 1
#define SENT 2
#define APPLIED 3
#define REFUSED 4
byte op[N * 4], op_kind[N * 4]; /* own operations */

/* --- the daemon --------------------------------------------------------------------------------- */
#define REST 0
#define PROMOTING 1
#define DEMOTING 2
byte wish[N];
byte yielding, asked, overdue, confirmed; /* bits */
byte given_up;               /* bits: Pacemaker has demoted it */
byte busy[N];                /* slot + 1 of the group's request under way */
byte change[N];              /* draining: slot bit of the last change of the owner until it is settled; 255: a view */
byte outdate_wanted;         /* bits */

/* --- the copies --------------------------------------------------------------------------------- */
#define INCONSISTENT 0
#define OUTDATED 1
#define CONSISTENT 2
#define UP_TO_DATE 3
byte volatile_[N], stable[N]; /* the newest write that is in the cache, that is on stable storage */
byte state[N];
byte primary, linked;        /* bits: its role; it sees a connection */
byte ahead;                  /* bits: has begun a generation that the other one does not know */
byte mark, crashed;          /* bits, on disk: is Primary; crashed as Primary */
byte complete;               /* bits: has all, and no cache has lost its power since */
byte target;                 /* bits: is being resynchronised */
byte outdate_asked, agreed, alone; /* bits: Primary without its peer: asked, agreed, the new generation is durable */
byte to_flush;               /* bits: asks for the outdating of its peer when what it has is on stable storage */
byte separate, settled_as[N]; /* standing.c */
byte back;                   /* bits: connected again since it last asked for the outdating of its peer */
byte standalone;             /* bits: refused, waits for an operator or its demotion */
byte unstable;               /* bits: the peer may lack something on stable storage */
byte pipe[N];                /* a write on its way to the other one */

/* --- commands ----------------------------------------------------------------------------------- */
byte next_write;
byte w[N], w_local, w_peer[N]; /* what a node executes; written here (bits); and there: */
#define TO_SEND 0
#define ON_THE_WAY 1
#define THERE 2
#define NOT_THERE 3
byte answer[N];              /* over, the answer waits for the lease */
byte acked, flushed;         /* the newest write that was answered; that was flushed */
byte sure, cache_lost;       /* bits: must have the first; had it in a cache that lost its power */

#define SERVING(n) (IN(member & running & lease, n) && !IN(unp | view_wait, n))
#define EXECUTES(n) (SERVING(n) && owner[n] == (n) + 1 && IN(confirmed, n))
#define ROOM (len(q[0]) <= QUEUE - 6 && len(q[1]) <= QUEUE - 6)
#define CONNECTED (linked == 3)
