/* What a node does next about one group, as a function of what it knows: promotion, demotion, and the handover
 * from an owner that Pacemaker has demoted to the successor that Pacemaker promotes. groups.c finds the facts and
 * makes the moves; docs/cluster.md tells the story. Pure. */
#ifndef HALUN_DAEMON_GROUP_PLAN_H
#define HALUN_DAEMON_GROUP_PLAN_H

#include <stdbool.h>
#include <stdint.h>

/* What was asked for. First starts are not planned here. */
enum group_wish {
    GROUP_REST,
    GROUP_PROMOTING,
    GROUP_DEMOTING,   /* the group is released, whoever comes next */
    GROUP_INITIALIZING,
    GROUP_MAKING_CURRENT,
};

struct group_facts {
    enum group_wish wish;
    bool yielding;      /* demoted, but executes until a successor asks or `late` */
    bool asked;         /* yielding: the successor asked for the group */
    bool late;          /* yielding: no successor in time */
    bool serving;       /* the cluster serves */
    bool handover;      /* all nodes know the handover (wire version 2) */
    unsigned self, owner; /* node ids; owner 0: nobody */
    uint32_t current;   /* bits (node id): nodes with current data */
    bool confirmed;     /* every member has acknowledged that this node owns the group: it executes */
    bool replicated;    /* this node has a copy of its own; false: all use the same storage */
    bool primary;       /* this node's copy is Primary */
    bool draining;      /* the last change of owner is not carried out everywhere: what was admitted may still run */
    bool peer_primary;  /* linked to a member whose copy is Primary */
    bool doubtful;      /* not compared with another current copy, whose node is here: it may lack something */
    bool ready;         /* the copy could become Primary at once: UpToDate, and linked to the owner's */
};

enum group_move {
    GROUP_WAIT,           /* for what `waits_for` says; nothing to do now */
    GROUP_DONE,           /* what was wished is so */
    GROUP_REFUSE,         /* it can never be without an operator: no copy is current */
    GROUP_ASK,            /* ask the owner for a handover, and wait */
    GROUP_MAKE_PRIMARY,   /* this node's copy */
    GROUP_MAKE_SECONDARY, /* this node's copy */
    GROUP_ACQUIRE,        /* commit that this node is the owner */
    GROUP_RELEASE,        /* commit that nobody is the owner: everybody holds, this node drains */
};

enum group_obstacle {
    GROUP_NO_OBSTACLE,
    GROUP_NOT_SERVING,
    GROUP_OTHER_OWNS,
    GROUP_NOT_CURRENT,
    GROUP_DRAINING,
    GROUP_PEER_IS_PRIMARY,
    GROUP_NOT_COMPARED,
};

struct group_plan {
    enum group_move move;
    enum group_obstacle waits_for; /* with WAIT and ASK */
};

struct group_plan group_plan(const struct group_facts *facts);

/* May a demotion end with the group still executed here, to be handed over? Only where somebody else could take
 * it: otherwise it is released at once. `members`: bits (node id). */
bool group_may_yield(const struct group_facts *facts, uint32_t members);

#endif
