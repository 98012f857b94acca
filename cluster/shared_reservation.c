/* Reservations of a logical unit: PERSISTENT RESERVE OUT (SPC-4 5.12, 6.16) and RESERVE/RELEASE
 * (SPC-2 5.5.1, with the exceptions of SPC-4 5.12.3). Pure. */
#include <assert.h>

#include "cluster/shared_internal.h"

enum {
    FIELD_ACTION_KEY = 8, /* parameter list */
    FIELD_CDB_ACTION = 1,
    FIELD_CDB_SCOPE_TYPE = 2,
};

static bool holds(const struct shared_pr *pr)
{
    return pr->lu->pr_type != PR_NONE && pr->self >= 0 &&
           (shared_all_registrants(pr->lu->pr_type) || pr->lu->pr_holder == pr->self);
}

static uint32_t lu_index(const struct shared_pr *pr)
{
    return (uint32_t)(pr->lu - pr->state->lus);
}

/* A unit attention for every registrant but the asker (SPC-4 5.12.11). */
static void tell_registrants(struct shared_pr *pr, enum unit_attention ua)
{
    uint32_t first = pr->effects->identity_count;

    for (uint32_t i = 0; i < pr->lu->registrant_count; i++)
        if (!identity_equal(&pr->lu->registrants[i].nexus, &pr->op->nexus))
            shared_effect_identity(pr->effects, &pr->lu->registrants[i].nexus);
    shared_effect_list(pr->effects, SHARED_EFFECT_UA, lu_index(pr), ua, first);
}

static void end_reservation(struct shared_pr *pr)
{
    uint8_t type = pr->lu->pr_type;

    pr->lu->pr_type = PR_NONE;
    pr->lu->pr_holder = -1;
    pr->view = true;
    if (shared_registrants_type(type))
        tell_registrants(pr, UA_RESERVATIONS_RELEASED);
}

void shared_pr_holder_gone(struct shared_pr *pr)
{
    struct shared_lu *lu = pr->lu;

    if (lu->pr_type == PR_NONE)
        return;
    if (shared_all_registrants(lu->pr_type) ? !lu->registrant_count : lu->pr_holder < 0)
        end_reservation(pr);
}

static bool scope_type_valid(struct shared_pr *pr)
{
    if (pr->op->scope == 0 && shared_pr_type_valid(pr->op->type))
        return true;
    shared_refuse(pr->effects, REASON_INVALID_FIELD_IN_CDB, FIELD_CDB_SCOPE_TYPE);
    return false;
}

static void set_reservation(struct shared_pr *pr)
{
    pr->lu->pr_type = pr->op->type;
    pr->lu->pr_holder = -1;
    if (!shared_all_registrants(pr->op->type))
        pr->lu->pr_holder = shared_registrant_find(pr->lu, &pr->op->nexus, NULL);
    pr->view = true;
    pr->effects->changed = true;
}

static void reserve(struct shared_pr *pr) /* SPC-4 5.12.9 */
{
    if (!scope_type_valid(pr))
        return;
    if (pr->lu->pr_type == PR_NONE)
        set_reservation(pr);
    else if (!holds(pr) || pr->lu->pr_type != pr->op->type)
        shared_refuse(pr->effects, REASON_RESERVATION_CONFLICT, UINT32_MAX);
}

static void release(struct shared_pr *pr) /* SPC-4 5.12.11.2.2 */
{
    if (!holds(pr))
        return;
    if (pr->op->scope != 0 || pr->op->type != pr->lu->pr_type) {
        shared_refuse(pr->effects, REASON_INVALID_RELEASE, UINT32_MAX);
        return;
    }
    pr->effects->changed = true;
    end_reservation(pr);
}

static void clear(struct shared_pr *pr) /* SPC-4 5.12.11.2.8 */
{
    pr->view = true;
    pr->effects->changed = true;
    tell_registrants(pr, UA_RESERVATIONS_PREEMPTED);
    shared_registrant_clear(pr->state, pr->lu);
}

/* Does PREEMPT with this key take the reservation over, or only remove registrations (SPC-4 table
 * 54)? */
static bool takes_over(const struct shared_pr *pr)
{
    const struct shared_lu *lu = pr->lu;

    if (lu->pr_type == PR_NONE)
        return false;
    if (shared_all_registrants(lu->pr_type))
        return !pr->op->action_key;
    return lu->registrants[lu->pr_holder].key == pr->op->action_key;
}

/* Removes the registrations that PREEMPT names and lists their nexuses, the asker's excepted. A
 * nexus that takes the reservation over keeps its own registration. Returns how many were removed.
 */
static uint32_t remove_named(struct shared_pr *pr, bool takes)
{
    struct shared_lu *lu = pr->lu;
    uint64_t key = pr->op->action_key;
    uint32_t removed = 0;

    for (uint32_t i = 0; i < lu->registrant_count;) {
        bool self = identity_equal(&lu->registrants[i].nexus, &pr->op->nexus);

        if ((key && lu->registrants[i].key != key) || (self && takes)) {
            i++;
            continue;
        }
        if (!self)
            shared_effect_identity(pr->effects, &lu->registrants[i].nexus);
        shared_registrant_remove(pr->state, lu, i);
        removed++;
    }
    return removed;
}

static void preempt_victims(struct shared_pr *pr,
                            bool with_abort) /* SPC-4 5.12.11.2.4 .. 5.12.11.2.7 */
{
    bool takes = takes_over(pr);
    uint8_t type = pr->lu->pr_type;

    if (!takes && !pr->op->action_key) {
        shared_refuse(pr->effects, REASON_INVALID_FIELD_IN_PARAMETERS, FIELD_ACTION_KEY);
        return;
    }
    if (takes && !scope_type_valid(pr))
        return;
    if (!remove_named(pr, takes) && !takes) {
        shared_refuse(pr->effects, REASON_RESERVATION_CONFLICT, UINT32_MAX);
        return;
    }
    pr->view = true;
    pr->effects->changed = true;
    if (with_abort)
        shared_effect_list(pr->effects, SHARED_EFFECT_ABORT, lu_index(pr), UA_COUNT, 0);
    shared_effect_list(pr->effects, SHARED_EFFECT_UA, lu_index(pr), UA_REGISTRATIONS_PREEMPTED, 0);
    if (!takes) {
        shared_pr_holder_gone(pr);
        return;
    }
    set_reservation(pr);
    if (type != pr->lu->pr_type)
        tell_registrants(pr, UA_RESERVATIONS_RELEASED);
}

static void preempt(struct shared_pr *pr)
{
    preempt_victims(pr, false);
}

static void preempt_and_abort(struct shared_pr *pr)
{
    preempt_victims(pr, true);
}

/* SPC-4 table 167, by service action. */
static const struct {
    void (*run)(struct shared_pr *pr);
    bool checks_key; /* RESERVATION KEY must be the asker's; the others look at it themselves */
    bool generation; /* moves PRgeneration */
} actions[] = {
    {shared_pr_register, false, true},
    {reserve, true, false},
    {release, true, false},
    {clear, true, true},
    {preempt, true, true},
    {preempt_and_abort, true, true},
    {shared_pr_register_and_ignore, false, true},
    {shared_pr_register_and_move, true, true},
};

void shared_pr_out(struct shared_state *state, const struct shared_op *op,
                   struct shared_effects *effects)
{
    struct shared_lu *lu = &state->lus[op->lu];
    struct shared_pr pr = {.state = state, .lu = lu, .op = op, .effects = effects};
    bool aptpl = lu->pr_aptpl;

    pr.self = shared_registrant_find(lu, &op->nexus, NULL);
    if (op->action >= sizeof actions / sizeof *actions) {
        shared_refuse(effects, REASON_INVALID_FIELD_IN_CDB, FIELD_CDB_ACTION);
        return;
    }
    if (lu->legacy_reserved || (actions[op->action].checks_key &&
                                (pr.self < 0 || lu->registrants[pr.self].key != op->key))) {
        shared_refuse(effects, REASON_RESERVATION_CONFLICT, UINT32_MAX);
        return;
    }
    actions[op->action].run(&pr);
    if (!effects->changed)
        return;
    if (actions[op->action].generation)
        lu->pr_generation++;
    if (pr.view) {
        lu->epoch++;
        /* First, so that nothing is admitted under the old view after victims were aborted. */
        shared_effect_first(effects, SHARED_EFFECT_RESERVATION, op->lu);
    } else {
        shared_effect_add(effects, SHARED_EFFECT_KEYS, op->lu);
    }
    if (aptpl || lu->pr_aptpl)
        shared_effect_add(effects, SHARED_EFFECT_PERSIST, op->lu);
}

/* RESERVE and RELEASE while there are registrations: GOOD without effect for who has the access
 * anyway. */
static bool decided_by_registrations(const struct shared_lu *lu, const struct shared_op *op,
                                     struct shared_effects *effects)
{
    bool registered, holder;

    if (!lu->registrant_count)
        return false;
    shared_lookup(lu, &op->nexus, &registered, &holder);
    if (!holder && !(registered && shared_registrants_type(lu->pr_type)))
        shared_refuse(effects, REASON_RESERVATION_CONFLICT, UINT32_MAX);
    return true;
}

void shared_legacy_reserve(struct shared_state *state, const struct shared_op *op,
                           struct shared_effects *effects)
{
    struct shared_lu *lu = &state->lus[op->lu];

    if (decided_by_registrations(lu, op, effects))
        return;
    if (lu->legacy_reserved) {
        if (!identity_equal(&lu->legacy_holder, &op->nexus))
            shared_refuse(effects, REASON_RESERVATION_CONFLICT, UINT32_MAX);
        return;
    }
    lu->legacy_reserved = true;
    lu->legacy_holder = op->nexus;
    lu->legacy_node = op->node;
    lu->epoch++;
    shared_effect_add(effects, SHARED_EFFECT_RESERVATION, op->lu);
}

void shared_legacy_release(struct shared_state *state, const struct shared_op *op,
                           struct shared_effects *effects)
{
    struct shared_lu *lu = &state->lus[op->lu];

    if (decided_by_registrations(lu, op, effects))
        return;
    if (lu->legacy_reserved && identity_equal(&lu->legacy_holder, &op->nexus))
        shared_legacy_drop(state, lu, effects);
}

void shared_legacy_drop(struct shared_state *state, struct shared_lu *lu,
                        struct shared_effects *effects)
{
    uint32_t index = (uint32_t)(lu - state->lus);

    if (!lu->legacy_reserved)
        return;
    lu->legacy_reserved = false;
    memset(&lu->legacy_holder, 0, sizeof lu->legacy_holder);
    lu->legacy_node = 0;
    lu->epoch++;
    /* Many LUs at once (a lost nexus, node, target reset) are one effect for all. */
    for (uint32_t i = 0; i < effects->count; i++) {
        struct shared_effect *effect = &effects->effects[i];
        if (effect->kind == SHARED_EFFECT_RESERVATION) {
            effect->lu = effect->lu == index ? index : SHARED_NO_LU;
            return;
        }
    }
    shared_effect_add(effects, SHARED_EFFECT_RESERVATION, index);
}

bool shared_conflicts(uint8_t pr_type, bool registered, bool holder, bool legacy_other,
                      enum pr_access access)
{
    /* Who may do it while the reservation is of this type (SPC-4 table 63). */
    enum allowed { HOLDER, REGISTRANTS, ALL };
    static const struct {
        enum allowed read, write, legacy;
    } types[] = {
        [PR_NONE] = {ALL, ALL, ALL},
        [PR_WRITE_EXCLUSIVE] = {ALL, HOLDER, HOLDER},
        [PR_EXCLUSIVE_ACCESS] = {HOLDER, HOLDER, HOLDER},
        [PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY] = {ALL, REGISTRANTS, REGISTRANTS},
        [PR_EXCLUSIVE_ACCESS_REGISTRANTS_ONLY] = {REGISTRANTS, REGISTRANTS, REGISTRANTS},
        [PR_WRITE_EXCLUSIVE_ALL_REGISTRANTS] = {ALL, REGISTRANTS, REGISTRANTS},
        [PR_EXCLUSIVE_ACCESS_ALL_REGISTRANTS] = {REGISTRANTS, REGISTRANTS, REGISTRANTS},
    };
    enum allowed allowed = HOLDER; /* as are the holes of the table */

    assert(pr_type == PR_NONE || shared_pr_type_valid(pr_type));
    if (pr_type >= sizeof types / sizeof *types)
        return true;
    switch (access) {
    case PR_ALWAYS:
        return false;
    case PR_OUT:
        return legacy_other;
    case PR_LEGACY: /* RELEASE by another than the legacy holder is GOOD */
        legacy_other = false;
        allowed = types[pr_type].legacy;
        break;
    case PR_READ:
        allowed = types[pr_type].read;
        break;
    case PR_WRITE:
        allowed = types[pr_type].write;
        break;
    }
    if (legacy_other)
        return true;
    return allowed == ALL ? false : allowed == REGISTRANTS ? !registered : !holder;
}
