/* What the cluster decided, carried out on this node: lanes switched and drained, copies outdated, gates
 * opened and closed; then acknowledged (cluster_applied). */
#include <qb/qblog.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/threads.h"
#include "target/daemon/daemon.h"
#include "target/daemon/group.h"
#include "target/daemon/outdate.h"
#include "target/daemon/reinstate.h"
#include "target/daemon/recorded.h"
#include "target/daemon/reload.h"
#include "target/daemon/resize.h"
#include "target/device/device.h"
#include "target/iscsi/iscsi.h"
#include "target/nexus/lane_change.h"
#include "target/nexus/nexus_table.h"
#include "target/transport/peer.h"

/* Units whose reservations, mode parameters or capacity a decision changed, until every member has carried it out. */
struct unsettled {
    struct qb_list_head link;
    uint64_t ticket;
    unsigned lu; /* SHARED_NO_LU: sessions end when it is so everywhere */
};

static QB_LIST_DECLARE(unsettled);

static void unsettle(uint64_t ticket, unsigned lu)
{
    struct unsettled *entry = calloc(1, sizeof *entry);

    if (!entry)
        abort();
    entry->ticket = ticket;
    entry->lu = lu;
    qb_list_add_tail(&entry->link, &unsettled);
    nexus_table_unsettled(ticket);
    if (lu != SHARED_NO_LU && device_lus[lu])
        atomic_fetch_add(&device_lus[lu]->unsettled, 1);
}

/* Posted by this thread to itself: behind the answer that this step of the cluster gives. */
static void at_control_end_sessions(struct post *post)
{
    free(post);
    nexus_table_drop_all("target cold reset");
}

static void end_sessions(void)
{
    struct post *post = calloc(1, sizeof *post);

    if (!post)
        abort();
    post->run = at_control_end_sessions;
    control_post(post);
}

static void on_settled(void *context, uint64_t ticket)
{
    struct unsettled *entry, *next;
    uint64_t oldest = 0;

    qb_list_for_each_entry_safe(entry, next, &unsettled, link)
    {
        if (entry->ticket != ticket) {
            if (!oldest || entry->ticket < oldest)
                oldest = entry->ticket;
            continue;
        }
        if (entry->lu == SHARED_NO_LU)
            end_sessions();
        else if (device_lus[entry->lu])
            atomic_fetch_sub(&device_lus[entry->lu]->unsettled, 1);
        qb_list_del(&entry->link);
        free(entry);
    }
    nexus_table_settled(oldest);
    for (unsigned g = 0; g < halund.config->group_count; g++)
        if (halund.groups[g].ticket == ticket) {
            halund.groups[g].ticket = 0;
            group_step(&halund.groups[g]);
        }
}

/* One ticket being carried out: lanes, and copies being outdated. */
struct carrying {
    uint64_t ticket;
    unsigned waiting;
};

static void carried(void *context)
{
    struct carrying *carrying = context;

    if (--carrying->waiting)
        return;
    cluster_applied(halund.cluster, carrying->ticket);
    free(carrying);
}

/* The owner executes when every member has acknowledged that it is: until then the one before it may have
 * commands that have not ended. */
static enum gate gate_of(const struct shared_group *shared, bool serving, bool confirmed)
{
    if (!serving || !shared->owner)
        return GATE_HOLD;
    if (shared->owner == halund.self)
        return confirmed ? GATE_EXECUTE : GATE_HOLD;
    switch (shared->states[halund.self]) {
    case ALUA_STANDBY:
        return GATE_STANDBY;
    case ALUA_UNAVAILABLE:
    case ALUA_OFFLINE:
        return GATE_UNAVAILABLE;
    case ALUA_TRANSITIONING:
        return GATE_HOLD;
    default:
        return GATE_FORWARD;
    }
}

/* How long initiators had to wait is the figure that counts in every transition. */
static void tell_held(struct group *group, bool held)
{
    uint64_t now = monotonic_ns();

    if (held && !group->held_ns) {
        group->held_ns = now;
    } else if (!held && group->held_ns) {
        qb_log(LOG_NOTICE, "group %s: commands were held for %llu ms",
               halund.config->groups[group->index].name,
               (unsigned long long)((now - group->held_ns) / 1000000));
        group->held_ns = 0;
    }
}

static void change_group(struct lane_change *change, const struct shared_state *state, unsigned index,
                         bool drain)
{
    const struct shared_group *shared = &state->groups[index];
    struct group *group = &halund.groups[index];
    enum gate gate;

    if (shared->owner != halund.self)
        group->confirmed = false;
    gate = gate_of(shared, halund.view.serving, group->confirmed);
    tell_held(group, gate == GATE_HOLD);
    lane_change_group(change, index, gate, shared->owner, shared->states[halund.self], drain);
}

void decisions_open(struct group *group)
{
    struct lane_change *change = lane_change_new(NULL, NULL);

    group->confirmed = true;
    change_group(change, cluster_state(halund.cluster), group->index, false);
    lane_change_run(change);
}

void decisions_drain(struct group *group, void (*done)(void *context), void *context)
{
    struct lane_change *change = lane_change_new(done, context);

    change_group(change, cluster_state(halund.cluster), group->index, true);
    lane_change_run(change);
}

/* True: it became smaller. */
static bool change_capacity(const struct shared_state *state, unsigned lu)
{
    uint64_t before;

    if (!device_lus[lu] || !state->lus[lu].capacity)
        return false;
    before = atomic_load(&device_lus[lu]->blocks);
    resize_apply(lu, state->lus[lu].capacity);
    return state->lus[lu].capacity < before;
}

/* Commands that were admitted before may conflict now only if something is reserved. With SWP set the medium stays
 * as it is from the answer on (SPC-4 7.5.8: writing is inhibited after all that was buffered is written). */
static bool must_drain(enum shared_effect_kind kind, const struct shared_lu *shared)
{
    if (kind == SHARED_EFFECT_MODE)
        return shared->mode.swp;
    return shared->pr_type != PR_NONE || shared->legacy_reserved;
}

static void on_apply(void *context, uint64_t ticket, const struct shared_state *state,
                     const struct shared_effects *effects)
{
    struct carrying *carrying = calloc(1, sizeof *carrying);
    struct lane_change *change = lane_change_new(carried, carrying);
    bool gates_changed = false;

    if (!carrying)
        abort();
    carrying->ticket = ticket;
    carrying->waiting = 1;
    for (unsigned i = 0; i < effects->count; i++) {
        const struct shared_effect *effect = &effects->effects[i];
        struct group *group =
            effect->group < halund.config->group_count ? &halund.groups[effect->group] : NULL;

        switch (effect->kind) {
        case SHARED_EFFECT_RESERVATION:
        case SHARED_EFFECT_MODE:
            for (uint32_t lu = 0; lu < state->lu_count; lu++)
                if (effect->lu == lu || effect->lu == SHARED_NO_LU) {
                    unsettle(ticket, lu);
                    lane_change_lu(change, lu, &state->lus[lu],
                                   must_drain(effect->kind, &state->lus[lu]));
                }
            break;
        case SHARED_EFFECT_KEYS:
            unsettle(ticket, effect->lu);
            break;
        case SHARED_EFFECT_SESSIONS:
            unsettle(ticket, SHARED_NO_LU);
            break;
        case SHARED_EFFECT_CAPACITY:
            unsettle(ticket, effect->lu);
            /* Smaller: what was admitted with blocks behind the new end is over when this is acknowledged. */
            lane_change_lu(change, effect->lu, &state->lus[effect->lu], change_capacity(state, effect->lu));
            break;
        case SHARED_EFFECT_GROUP:
            for (uint32_t g = 0; g < state->group_count; g++)
                if (effect->group == g || effect->group == SHARED_NO_LU) {
                    change_group(change, state, g, true);
                    halund.groups[g].ticket = ticket;
                }
            if (group)
                reinstate_follow(group, &state->groups[effect->group], effect);
            gates_changed = true;
            break;
        case SHARED_EFFECT_REINSTATE:
            if (effect->node == halund.self && group && group->replica) {
                carrying->waiting++;
                reinstate_own_copy(group, carried, carrying);
            }
            break;
        case SHARED_EFFECT_OUTDATE:
            if (effect->node == halund.self && group && group->replica) {
                carrying->waiting++;
                outdate_own_copy(group, carried, carrying);
            } else if (effect->node != halund.self && group) {
                group_given_up(group);
                reinstate_follow(group, &state->groups[effect->group], effect);
            }
            break;
        case SHARED_EFFECT_CONFIGURATION:
            carrying->waiting++;
            reload_agreed(&halund, effects->digest, carried, carrying);
            break;
        case SHARED_EFFECT_UA:
        case SHARED_EFFECT_ABORT:
        case SHARED_EFFECT_PERSIST:
            break; /* lane_change_effects() below; the cluster's journal */
        }
    }
    lane_change_effects(change, effects);
    lane_change_run(change);
    groups_recorded();
    if (gates_changed)
        groups_changed();
}

static void on_view(void *context, uint64_t ticket, const struct shared_state *state,
                    const struct cluster_view *view)
{
    struct carrying *carrying = calloc(1, sizeof *carrying);
    struct lane_change *change = lane_change_new(carried, carrying);
    uint32_t lost = halund.view.members & ~view->members;

    if (!carrying)
        abort();
    if (view->serving != halund.view.serving || strcmp(view->waiting, halund.view.waiting))
        qb_log(LOG_NOTICE, "cluster: %s, members 0x%x%s%s", view->serving ? "serving" : "not serving",
               view->members, view->waiting[0] ? ", " : "", view->waiting);
    if (view->unproven && !halund.view.unproven)
        halund.lost_ns = monotonic_ns();
    if (view->unproven & ~halund.view.unproven)
        recorded_expect(state, view->unproven);
    if (view->serving && !halund.view.serving)
        halund.whole_ns = monotonic_ns();
    halund.view = *view;
    if (view->serving && !halund.iscsi_open && halund.iscsi) {
        halund.iscsi_open = true;
        iscsi_server_gate(halund.iscsi, true);
    }
    if (view->serving && !halund.compared) {
        halund.compared = true;
        reload_compare(&halund);
    }
    carrying->ticket = ticket;
    carrying->waiting = 1;
    for (uint32_t lu = 0; lu < state->lu_count; lu++) {
        lane_change_lu(change, lu, &state->lus[lu], false);
        change_capacity(state, lu);
    }
    for (uint32_t g = 0; g < state->group_count; g++)
        change_group(change, state, g, false);
    lane_change_run(change);
    for (unsigned node = 1; node <= LIMIT_NODES; node++)
        if (lost & 1u << node)
            peer_node_lost(node);
    groups_recorded();
    groups_changed();
}

static void on_asked(void *context, unsigned node, unsigned group)
{
    group_asked(&halund.groups[group], node);
}

static void on_consulted(void *context, unsigned node, uint64_t number, const uint8_t digest[32])
{
    if (number & RESIZE_QUESTION)
        resize_consulted(node, number, digest);
    else
        reload_consulted(&halund, node, number, digest);
}

static void on_opinion(void *context, unsigned node, uint64_t number, bool good, const char *why)
{
    if (number & RESIZE_QUESTION)
        resize_opinion(node, number, good, why);
    else
        reload_opinion(&halund, node, number, good, why);
}

static bool on_record(void *context, const struct shared_state *state)
{
    return recorded_may(state);
}

static void on_fatal(void *context, const char *why)
{
    qb_log(LOG_CRIT, "leaving at once: %s", why);
    daemon_stop(&halund, 3);
}

const struct cluster_callbacks decisions_callbacks = {
    .apply = on_apply,
    .settled = on_settled,
    .view = on_view,
    .asked = on_asked,
    .consulted = on_consulted,
    .opinion = on_opinion,
    .record = on_record,
    .fatal = on_fatal,
};
