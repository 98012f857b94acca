/* Orders of the control thread. Each is a small sequence of steps that goes on, at the end of any event, when what it
 * waits for has come. Here is what runs them, what they share, and those of a single step. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "replication/admin.h"
#include "replication/outdating.h"
#include "replication/resource.h"
#include "replication/standing.h"
#include "target/base/container.h"

bool admin_finish(struct admin *a, int error, const char *format, ...)
{
    va_list args;

    a->error = error;
    va_start(args, format);
    vsnprintf(a->why, sizeof a->why, format, args);
    va_end(args);
    return true;
}

static void written(struct md_waiter *waiter, int error)
{
    struct admin *a = waiter->context;

    a->waiting--;
    if (error)
        a->error = error;
}

struct md_waiter *admin_waiter(struct admin *a, unsigned index, struct volume *v, bool pages)
{
    a->waiting++;
    a->waiters[index] = (struct md_waiter){
        .pages = pages,
        .done = written,
        .volume = v,
        .context = a,
    };
    return &a->waiters[index];
}

void admin_persist(struct resource *r, struct admin *a, bool pages)
{
    a->error = 0;
    for (unsigned i = 0; i < r->volume_count; i++)
        if (volume_usable(r->volumes[i]))
            md_request(r->volumes[i], admin_waiter(a, i, r->volumes[i], pages));
}

bool admin_settling(const struct resource *r)
{
    if (r->link.phase >= LINK_FEATURES && r->link.phase <= LINK_PARAMS)
        return true;
    for (unsigned i = 0; i < r->volume_count; i++)
        if (conn_in_transition(r->volumes[i]->state.conn))
            return true;
    return false;
}

bool admin_link_up(const struct resource *r)
{
    return r->link.phase == LINK_UP && !r->link.failing;
}

/* --- links --- */

static bool disconnect(struct resource *r, struct admin *a)
{
    if (link_alive(&r->link)) {
        link_refuse(r, "disconnected by order");
    } else if (r->link.phase == LINK_CONNECTING) {
        connector_pause(r);
    }
    r->standalone = true;
    for (unsigned i = 0; i < r->volume_count; i++)
        if (!conn_established(r->volumes[i]->state.conn))
            r->volumes[i]->state.conn = CONN_STANDALONE;
    r->publish = true;
    return true;
}

static bool connect_again(struct resource *r, struct admin *a)
{
    if (r->closing || link_alive(&r->link) || r->link.phase == LINK_CONNECTING) {
        /* The peer alone has refused: this node is trying already, and says it at the next handshake. */
        if (a->flag && !r->primary && r->link.phase < LINK_UP) {
            r->discard_my_data = true;
            if (r->link.phase == LINK_PARAMS)
                link_fail(r, "the peer is told anew whose data are discarded");
        }
        return true;
    }
    if (r->link.failing)
        return false;
    r->standalone = false;
    r->discard_my_data = a->flag && !r->primary;
    for (unsigned i = 0; i < r->volume_count; i++)
        r->volumes[i]->state.conn = CONN_UNCONNECTED;
    if (r->link.phase == LINK_IDLE)
        connector_start(r);
    r->publish = true;
    return true;
}

/* --- what the cluster records --- */

static bool set_standing(struct resource *r, struct admin *a)
{
    standing_set(r, a->standing);
    handshake_judge(r);
    for (unsigned i = 0; i < r->volume_count; i++)
        mirror_only_copy(r->volumes[i]);
    return true;
}

/* Connected and equal says nothing of a peer whose process has ended unnoticed: who answers a ping is there now, and this
 * connection was made with it. */
static bool confirm_equal(struct resource *r, struct admin *a)
{
    if (!admin_link_up(r) || (a->mark && a->serial != r->link.serial))
        return true;
    if (!a->mark) {
        a->serial = r->link.serial;
        link_ping(r);
        a->mark = r->link.pings;
    }
    if (r->link.ping_acks < a->mark)
        return false;
    resource_tell_current(r);
    return true;
}

/* A disk that cannot do it has failed, and is no copy any more: whoever waits goes on. */
static bool flush(struct resource *r, struct admin *a)
{
    if (!a->phase) {
        a->phase = 1;
        outdating_flush(r);
    }
    return !outdating_flushes(r) && admin_finish(a, 0, "%s", "");
}

/* --- running them --- */

static bool (*const steps[])(struct resource *, struct admin *) = {
    [ORDER_PROMOTE] = admin_promote,
    [ORDER_DEMOTE] = admin_demote,
    [ORDER_NEW_CURRENT] = admin_new_current,
    [ORDER_FORCE_CURRENT] = admin_force_current,
    [ORDER_PEER_OUTDATED] = admin_peer_outdated,
    [ORDER_SELF_OUTDATED] = admin_self_outdated,
    [ORDER_OUTDATE] = admin_outdate,
    [ORDER_CLOSE] = admin_close,
    [ORDER_DISCONNECT] = disconnect,
    [ORDER_CONNECT] = connect_again,
    [ORDER_PAUSE] = admin_pause,
    [ORDER_VERIFY] = admin_verify,
    [ORDER_INVALIDATE] = admin_invalidate,
    [ORDER_INVALIDATE_PEER] = admin_invalidate_peer,
    [ORDER_NEW_GENERATION] = admin_new_generation,
    [ORDER_STANDING] = set_standing,
    [ORDER_RESIZE] = admin_resize,
    [ORDER_CONFIRM_EQUAL] = confirm_equal,
    [ORDER_FLUSH] = flush,
    [ORDER_REINSTATE] = admin_reinstate,
    [ORDER_GIVE_UP] = admin_give_up,
};

static void refuse_rest(struct resource *r)
{
    while (!qb_list_empty(&r->admins)) {
        struct admin *a = qb_list_first_entry(&r->admins, struct admin, link);

        qb_list_del(&a->link);
        admin_finish(a, -ESHUTDOWN, "the replica is closed");
        a->post.run = admin_answer;
        mailbox_post(r->public.control, &a->post);
    }
}

void admin_run(struct resource *r)
{
    struct admin *a, *next;

    qb_list_for_each_entry_safe(a, next, &r->admins, link)
    {
        if (r->at_rest && a->kind != ORDER_CLOSE)
            continue; /* refused at its end */
        if (!steps[a->kind](r, a))
            continue;
        qb_list_del(&a->link);
        a->post.run = admin_answer;
        if (r->closed) {
            r->last_post = &a->post; /* sent when nothing here is touched any more */
            refuse_rest(r);
            return;
        }
        if (r->publish) /* who is answered may look at the status */
            resource_publish(r);
        else if (r->publish_roles)
            resource_publish_roles(r);
        mailbox_post(r->public.control, &a->post);
    }
}

void admin_arrive(struct post *post)
{
    struct admin *a = container_of(post, struct admin, post);
    struct resource *r = a->resource;

    resource_enter(r);
    qb_list_add_tail(&a->link, &r->admins);
    resource_leave(r);
}

void admin_reply(struct resource *r, int32_t code)
{
    if (!r->replies_wanted)
        return;
    r->replies_wanted--;
    if (code < STATE_OK)
        r->reply = code;
}

void admin_conn_reply(struct resource *r, int32_t code)
{
    if (r->own_request)
        admin_reply(r, code);
    else
        r->graceful_done = true;
}
