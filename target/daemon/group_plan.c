#include "target/daemon/group_plan.h"

static struct group_plan move(enum group_move move)
{
    return (struct group_plan){.move = move};
}

static struct group_plan wait_for(enum group_obstacle obstacle)
{
    return (struct group_plan){.move = GROUP_WAIT, .waits_for = obstacle};
}

static struct group_plan promote(const struct group_facts *f)
{
    if (!f->serving)
        return wait_for(GROUP_NOT_SERVING);
    if (f->owner == f->self && f->confirmed)
        return move(f->primary || !f->replicated ? GROUP_DONE : GROUP_MAKE_PRIMARY);
    if (f->owner == f->self) /* acquired, but not answered in time: others may still drain. Once more */
        return move(GROUP_RELEASE);
    /* Became Primary while another one took the group, or had this copy outdated: as a Primary it could never be
     * resynchronised. */
    if (f->replicated && f->primary && (f->owner ? !f->draining : f->current && !(f->current & 1u << f->self)))
        return move(GROUP_MAKE_SECONDARY);
    if (f->owner)
        return (struct group_plan){
            .move = f->handover && f->ready && (f->current & 1u << f->self) ? GROUP_ASK : GROUP_WAIT,
            .waits_for = GROUP_OTHER_OWNS};
    if (!f->current)
        return move(GROUP_REFUSE);
    if (!(f->current & 1u << f->self))
        return wait_for(GROUP_NOT_CURRENT);
    /* The old owner's last writes may need this copy to be outdated, if the link breaks now. */
    if (f->replicated && !f->primary && f->draining)
        return wait_for(GROUP_DRAINING);
    if (f->replicated && !f->primary && f->peer_primary)
        return wait_for(GROUP_PEER_IS_PRIMARY);
    if (f->replicated && !f->primary && f->doubtful)
        return wait_for(GROUP_NOT_COMPARED);
    if (f->replicated && !f->primary)
        return move(GROUP_MAKE_PRIMARY);
    return move(GROUP_ACQUIRE);
}

static struct group_plan give_up(const struct group_facts *f)
{
    if (f->owner == f->self)
        return move(GROUP_RELEASE);
    return move(f->replicated && f->primary ? GROUP_MAKE_SECONDARY : GROUP_DONE);
}

struct group_plan group_plan(const struct group_facts *f)
{
    switch (f->wish) {
    case GROUP_PROMOTING:
        return promote(f);
    case GROUP_DEMOTING:
        return give_up(f);
    case GROUP_REST:
        if (f->yielding && (f->owner != f->self || f->asked || f->late))
            return give_up(f);
        break;
    case GROUP_INITIALIZING:
    case GROUP_MAKING_CURRENT:
        break;
    }
    return wait_for(GROUP_NO_OBSTACLE);
}

bool group_may_yield(const struct group_facts *f, uint32_t members)
{
    return f->serving && f->handover && f->owner == f->self && f->confirmed &&
           (f->primary || !f->replicated) &&
           (f->current & members & ~(1u << f->self));
}
