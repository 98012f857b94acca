#include "target/nexus/lane_change.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "target/base/container.h"
#include "target/base/threads.h"
#include "target/device/device.h"
#include "target/nexus/lane_private.h"
#include "target/nexus/lun_map.h"
#include "target/nexus/nexus.h"
#include "target/nexus/nexus_table.h"

struct lane_reservation {
    atomic_uint references; /* one per lane that uses it, one for the change that brings it */
    uint8_t pr_type;
    uint32_t count;
    int32_t holder;
    struct shared_registrant registrants[];
};

struct group_item {
    unsigned group, owner;
    enum gate gate;
    uint8_t state;
    bool drain;
};

struct lu_item {
    unsigned lu;
    bool drain;
    uint32_t epoch;
    uint8_t pr_type;
    bool legacy_reserved;
    struct nexus_identity legacy_holder;
    struct shared_mode mode;
    struct lane_reservation *reservation;
};

/* A reactor's part of a change: a post there and back, and what it waits for. */
struct lane_part {
    struct post post;
    struct lane_change *change;
    unsigned waiting; /* drains not over yet, +1 while being started */
    bool borrowed;    /* its reactor was not woken for it */
    unsigned drain_used;
    struct {
        struct lane_drain drain;
        struct lane_part *part;
    } *drains; /* one per group item, LU item and abort */
};

struct lane_change {
    void (*done)(void *context);
    void *context;
    struct group_item *groups;
    struct lu_item *lus;
    unsigned group_count, lu_count, waiting;
    struct shared_effects *effects; /* NULL: none */
    struct lane_part parts[];
};

static void *checked(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

struct lane_change *lane_change_new(void (*done)(void *context), void *context)
{
    struct lane_change *change =
        checked(calloc(1, sizeof *change + threads.reactor_count * sizeof change->parts[0]));

    change->done = done;
    change->context = context;
    return change;
}

void lane_change_group(struct lane_change *change, unsigned group, enum gate gate, unsigned owner,
                       uint8_t state, bool drain)
{
    change->groups =
        checked(realloc(change->groups, (change->group_count + 1) * sizeof *change->groups));
    change->groups[change->group_count++] =
        (struct group_item){.group = group, .owner = owner, .gate = gate, .state = state, .drain = drain};
}

void lane_change_lu(struct lane_change *change, unsigned lu, const struct shared_lu *shared, bool drain)
{
    struct lu_item *item;

    /* Whole-state changes bring thousands: grow in steps. */
    if (!(change->lu_count & (change->lu_count - 1)) || !change->lu_count)
        change->lus = checked(realloc(
            change->lus, (change->lu_count ? change->lu_count * 2 : 1) * sizeof *change->lus));
    item = &change->lus[change->lu_count++];
    memset(item, 0, sizeof *item);
    item->lu = lu;
    item->drain = drain;
    item->epoch = shared->epoch;
    item->pr_type = shared->pr_type;
    item->legacy_reserved = shared->legacy_reserved;
    item->legacy_holder = shared->legacy_holder;
    item->mode = shared->mode;
    if (shared->registrant_count) {
        struct lane_reservation *reservation = checked(
            calloc(1, sizeof *reservation +
                          shared->registrant_count * sizeof reservation->registrants[0]));
        atomic_init(&reservation->references, 1);
        reservation->pr_type = shared->pr_type;
        reservation->count = shared->registrant_count;
        reservation->holder = shared->pr_holder;
        memcpy(reservation->registrants, shared->registrants,
               shared->registrant_count * sizeof reservation->registrants[0]);
        item->reservation = reservation;
    }
}

/* Does a reactor have to do something for it? The others change what no lane knows, or come as items. */
static bool for_lanes(const struct shared_effect *effect)
{
    return effect->kind == SHARED_EFFECT_UA || effect->kind == SHARED_EFFECT_ABORT;
}

void lane_change_effects(struct lane_change *change, const struct shared_effects *effects)
{
    struct shared_effects *copy;
    bool any = false;

    for (unsigned i = 0; i < effects->count && !any; i++)
        any = for_lanes(&effects->effects[i]);
    if (!any)
        return;
    copy = checked(malloc(sizeof *copy));
    /* What is used of it: the whole would be 300 KiB to fill at every operation. */
    memcpy(copy, effects, offsetof(struct shared_effects, effects) +
                              effects->count * sizeof effects->effects[0]);
    memcpy(copy->digest, effects->digest, sizeof copy->digest);
    copy->identity_count = effects->identity_count;
    memcpy(copy->identities, effects->identities,
           effects->identity_count * sizeof effects->identities[0]);
    change->effects = copy;
}

static void reservation_unref(struct lane_reservation *reservation)
{
    if (reservation && atomic_fetch_sub(&reservation->references, 1) == 1)
        free(reservation);
}

void lane_lookup(const struct lane *lane, const struct nexus_identity *nexus, bool *registered,
                 bool *holder)
{
    struct shared_lu view = {.pr_holder = -1};

    if (lane->reservation) {
        view.pr_type = lane->reservation->pr_type;
        view.registrants = lane->reservation->registrants;
        view.registrant_count = lane->reservation->count;
        view.pr_holder = lane->reservation->holder;
    }
    shared_lookup(&view, nexus, registered, holder);
}

static void change_end(struct lane_change *change)
{
    for (unsigned i = 0; i < change->lu_count; i++)
        reservation_unref(change->lus[i].reservation);
    if (change->done)
        change->done(change->context);
    free(change->groups);
    free(change->lus);
    free(change->effects);
    free(change);
}

static void change_less(struct lane_change *change)
{
    if (!--change->waiting)
        change_end(change);
}

static void part_over(struct lane_part *part)
{
    free(part->drains);
    part->drains = NULL;
    change_less(part->change);
}

static void at_control_done(struct post *post)
{
    part_over(container_of(post, struct lane_part, post));
}

static void part_less(struct lane_part *part)
{
    if (!--part->waiting && !part->borrowed) {
        part->post.run = at_control_done;
        control_post(&part->post);
    }
}

static void drained(struct lane_drain *drain)
{
    /* The part follows the drain in its array element. */
    struct lane_part *part = *(struct lane_part **)(drain + 1);

    part_less(part);
}

static struct lane_drain *next_drain(struct lane_part *part)
{
    struct lane_drain *drain = &part->drains[part->drain_used].drain;

    part->drains[part->drain_used++].part = part;
    part->waiting++;
    drain->done = drained;
    return drain;
}

static void switch_lu(struct lane_part *part, const struct lu_item *item, unsigned reactor)
{
    struct lu *lu = device_lus[item->lu];
    struct lane *lane;
    struct nexus *nexus;

    if (!lu)
        return;
    lane = &lu->lanes[reactor];
    if (item->reservation)
        atomic_fetch_add(&item->reservation->references, 1);
    reservation_unref(lane->reservation);
    lane->reservation = item->reservation;
    lane->epoch = item->epoch;
    lane->pr_type = item->pr_type;
    lane->legacy_reserved = item->legacy_reserved;
    lane->legacy_holder = item->legacy_holder;
    lane->mode = item->mode;
    qb_list_for_each_entry(nexus, nexus_table_of(reactor), link)
    {
        struct nexus_lu *own = &nexus->lus[item->lu];
        lane_lookup(lane, &nexus->identity, &own->registered, &own->holder);
    }
    if (item->drain)
        lane_drain(lane, next_drain(part));
}

static bool concerns(const struct shared_effect *effect, const struct lu *lu)
{
    if (effect->lu != SHARED_NO_LU)
        return effect->lu == lu->index;
    return effect->group == lu->group_index || effect->group == SHARED_NO_LU;
}

static void establish(const struct shared_effects *effects, const struct shared_effect *effect, unsigned reactor)
{
    struct nexus *nexus;

    qb_list_for_each_entry(nexus, nexus_table_of(reactor), link)
    {
        /* A proxy has no unit attentions: its nexus lives on another node, which has them. */
        if (nexus->forwarded || !nexus->lun_map ||
            !shared_effect_selects(effects, effect, &nexus->identity))
            continue;
        for (unsigned i = 0; i < nexus->lun_map->count; i++) {
            unsigned index = nexus->lun_map->entries[i].lu_index;
            if (device_lus[index] && concerns(effect, device_lus[index]))
                ua_establish(&nexus->lus[index].unit_attentions, effect->ua);
        }
    }
}

static void abort_nexus(const struct shared_effect *effect, struct nexus *nexus, bool own)
{
    struct task *task;
    bool again = true;

    /* The end of one task may end or start others: look from the beginning after each. */
    while (again) {
        again = false;
        qb_list_for_each_entry(task, &nexus->tasks, nexus_link)
        {
            if (task->lu && !task->aborted && task->state != TASK_DONE &&
                concerns(effect, task->lu)) {
                /* TAS (SPC-4 7.5.7): aborted tasks of others end with TASK ABORTED, or silently. */
                task_abort(task, own || !task->lane->mode.tas);
                again = true;
                break;
            }
        }
    }
}

static void abort_tasks(const struct shared_effects *effects, const struct shared_effect *effect,
                        unsigned reactor, struct lane_part *part)
{
    struct nexus *nexus;

    qb_list_for_each_entry(nexus, nexus_table_of(reactor), link)
    {
        bool own = identity_equal(&nexus->identity, &effect->nexus);

        if (shared_effect_selects(effects, effect, &nexus->identity))
            abort_nexus(effect, nexus, own);
    }
    if (effect->lu != SHARED_NO_LU) {
        if (device_lus[effect->lu])
            lane_drain(&device_lus[effect->lu]->lanes[reactor], next_drain(part));
    } else {
        for (unsigned i = 0; i < device_lu_count; i++)
            if (device_lus[i] && concerns(effect, device_lus[i]))
                lane_drain(&device_lus[i]->lanes[reactor], next_drain(part));
    }
}

static void switch_group(struct lane_part *part, const struct group_item *item, unsigned reactor)
{
    struct group_lane *group = lanes_group(item->group, reactor);
    struct qb_list_head woken;
    struct task *task;

    group->gate = item->gate;
    group->owner = item->owner;
    group->state = item->state;
    /* Whoever does not execute any more says so when nothing of it runs: the new owner waits for that, even
     * if it did not hear the end of the release. */
    if (item->drain && item->gate != GATE_EXECUTE)
        lane_drain_group(group, next_drain(part));
    if (item->gate == GATE_HOLD)
        return;
    qb_list_init(&woken);
    qb_list_splice(&group->held, &woken);
    qb_list_init(&group->held);
    while (!qb_list_empty(&woken)) {
        task = qb_list_first_entry(&woken, struct task, lane_link);
        lane_unhold(task);
        task_resume(task);
    }
}

static void run_part(struct lane_part *part, unsigned reactor)
{
    struct lane_change *change = part->change;

    part->waiting = 1;
    /* Reservations before gates: a task that a gate lets go must be checked under the new view. */
    for (unsigned i = 0; i < change->lu_count; i++)
        switch_lu(part, &change->lus[i], reactor);
    for (unsigned i = 0; change->effects && i < change->effects->count; i++) {
        const struct shared_effect *effect = &change->effects->effects[i];
        if (effect->kind == SHARED_EFFECT_UA)
            establish(change->effects, effect, reactor);
        else if (effect->kind == SHARED_EFFECT_ABORT)
            abort_tasks(change->effects, effect, reactor, part);
    }
    for (unsigned i = 0; i < change->group_count; i++)
        switch_group(part, &change->groups[i], reactor);
    part_less(part);
}

static void at_reactor(struct post *post)
{
    run_part(container_of(post, struct lane_part, post), reactor_self()->index);
}

/* Gates and aborts end or start tasks, which is their reactor's. */
static bool starts_nothing(const struct lane_change *change)
{
    for (unsigned i = 0; change->effects && i < change->effects->count; i++)
        if (change->effects->effects[i].kind == SHARED_EFFECT_ABORT)
            return false;
    return !change->group_count;
}

/* Of a reactor that is borrowed: nothing of the old view runs there any more. */
static bool drained_already(const struct lane_change *change, unsigned reactor)
{
    for (unsigned i = 0; i < change->lu_count; i++)
        if (change->lus[i].drain && device_lus[change->lus[i].lu] &&
            !qb_list_empty(&device_lus[change->lus[i].lu]->lanes[reactor].running))
            return false;
    return true;
}

/* A reactor that sleeps checks no command, so its lanes can be switched from here: it wakes up under the new view. Waking it
 * and waiting for it would be most of what a RESERVE costs beside the agreement itself. */
static bool run_here(struct lane_part *part, struct reactor *reactor)
{
    bool can;

    if (!reactor_borrow(reactor))
        return false;
    can = drained_already(part->change, reactor->index);
    if (can) {
        part->borrowed = true;
        run_part(part, reactor->index);
    }
    reactor_return(reactor);
    return can;
}

void lane_change_run(struct lane_change *change)
{
    unsigned drains = change->lu_count + change->group_count;
    bool here = starts_nothing(change);

    /* Two wake-ups of each reactor and of this thread less before other nodes hear from this one. */
    if (!change->lu_count && !change->group_count && !change->effects) {
        change_end(change);
        return;
    }
    for (unsigned i = 0; change->effects && i < change->effects->count; i++)
        if (change->effects->effects[i].kind == SHARED_EFFECT_ABORT)
            drains += change->effects->effects[i].lu == SHARED_NO_LU ? device_lu_count : 1;
    change->waiting = threads.reactor_count + 1;
    for (unsigned i = 0; i < threads.reactor_count; i++) {
        struct lane_part *part = &change->parts[i];
        part->change = change;
        part->drains = checked(calloc(drains + 1, sizeof *part->drains));
        part->post.run = at_reactor;
        if (here && run_here(part, threads.reactors[i]))
            part_over(part);
        else
            reactor_post(threads.reactors[i], &part->post);
    }
    change_less(change);
}
