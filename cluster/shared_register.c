/* PERSISTENT RESERVE OUT: REGISTER, REGISTER AND IGNORE EXISTING KEY, REGISTER AND MOVE
 * (SPC-4 5.12.7, 5.12.8, 6.16.3, 6.16.4). Everything is checked before anything is changed. Pure.
 */
#include <assert.h>

#include "cluster/shared_internal.h"

enum {
    /* Byte offsets in the parameter list, for field pointers. */
    FIELD_ACTION_KEY = 8,
    FIELD_FLAGS = 20,         /* SPEC_I_PT, ALL_TG_PT, APTPL */
    FIELD_TRANSPORT_IDS = 28, /* behind the length of the list */
    FIELD_MOVE_PORT = 18,
    FIELD_MOVE_TRANSPORT_ID = 24,
    FIELD_CDB_ACTION = 1,
};

/* The target ports that a registration is for: the one it came through, and with ALL_TG_PT all
 * others. Sets *rtpi to port number i of them; false for one that was had already. */
static bool port_at(const struct shared_op *op, uint32_t i, uint16_t *rtpi)
{
    *rtpi = i ? (uint16_t)shared_port(op, i - 1) : op->nexus.rtpi;
    return !i || *rtpi != op->nexus.rtpi;
}

static uint32_t port_total(const struct shared_op *op)
{
    return op->all_tg_pt ? op->port_count + 1 : 1;
}

/* Until the operation is known to succeed, the new nexuses are kept in the room for effects'
 * identities, sorted and each once. Returns the index of one, or -1 and its place. */
static int32_t find_wanted(const struct shared_effects *effects, const struct nexus_identity *nexus,
                           uint32_t *place)
{
    uint32_t low = 0, high = effects->identity_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = identity_compare(nexus, &effects->identities[middle]);
        if (!order)
            return (int32_t)middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    *place = low;
    return -1;
}

/* False: the operation is refused, more registrations than there is room for. */
static bool want(struct shared_pr *pr, const struct nexus_identity *nexus)
{
    struct shared_effects *effects = pr->effects;
    uint32_t place = 0;

    if (find_wanted(effects, nexus, &place) >= 0)
        return true;
    if (!shared_registrant_fits(pr->state, pr->lu, effects->identity_count + 1)) {
        shared_refuse(effects, REASON_INSUFFICIENT_REGISTRATION, UINT32_MAX);
        return false;
    }
    struct nexus_identity *at = &effects->identities[place];
    memmove(at + 1, at, (effects->identity_count - place) * sizeof *at);
    *at = *nexus;
    effects->identity_count++;
    return true;
}

/* The TransportIDs of SPEC_I_PT. Returns false when the operation is refused. */
static bool want_listed(struct shared_pr *pr)
{
    const struct shared_op *op = pr->op;
    struct nexus_identity nexus;

    for (uint32_t at = 0; at < op->transport_ids_length;) {
        uint32_t place;
        unsigned taken = identity_from_transport(&nexus, op->transport_ids + at,
                                                 op->transport_ids_length - at, op->nexus.rtpi);
        if (!taken) {
            shared_refuse(pr->effects, REASON_INVALID_FIELD_IN_PARAMETERS,
                          FIELD_TRANSPORT_IDS + at);
            return false;
        }
        /* One named twice counts once; looking at the first port tells. */
        bool again = find_wanted(pr->effects, &nexus, &place) >= 0;
        for (uint32_t i = 0; i < port_total(op) && !again; i++) {
            if (!port_at(op, i, &nexus.rtpi))
                continue;
            /* SPC-4 table 50, note: naming a registered nexus is an error. */
            if (shared_registrant_find(pr->lu, &nexus, NULL) >= 0) {
                shared_refuse(pr->effects, REASON_INVALID_FIELD_IN_PARAMETERS,
                              FIELD_TRANSPORT_IDS + at);
                return false;
            }
            if (!want(pr, &nexus))
                return false;
        }
        at += taken;
    }
    return true;
}

/* Registers the initiator port at its target ports with the new key, or changes the key there.
 * `any_key`: whatever key it has (ignore existing key). */
static void set_keys(struct shared_pr *pr, bool any_key)
{
    const struct shared_op *op = pr->op;
    struct nexus_identity nexus = op->nexus;

    for (uint32_t i = 0; i < port_total(op); i++) {
        if (!port_at(op, i, &nexus.rtpi))
            continue;
        int32_t index = shared_registrant_find(pr->lu, &nexus, NULL);
        if (index >= 0 && !any_key && pr->lu->registrants[index].key != op->key) {
            shared_refuse(pr->effects, REASON_RESERVATION_CONFLICT, UINT32_MAX);
            return;
        }
        if (index < 0 && !want(pr, &nexus))
            return;
    }
    if (op->spec_i_pt && !want_listed(pr))
        return;

    for (uint32_t i = 0; i < port_total(op); i++) {
        if (!port_at(op, i, &nexus.rtpi))
            continue;
        int32_t index = shared_registrant_find(pr->lu, &nexus, NULL);
        if (index >= 0)
            pr->lu->registrants[index].key = op->action_key;
    }
    for (uint32_t i = 0; i < pr->effects->identity_count; i++)
        shared_registrant_add(pr->state, pr->lu, &pr->effects->identities[i], op->action_key);
    pr->view = pr->effects->identity_count > 0;
    pr->effects->identity_count = 0;
    pr->lu->pr_aptpl = op->aptpl;
    pr->effects->changed = true;
}

static void unregister(struct shared_pr *pr, bool any_key)
{
    const struct shared_op *op = pr->op;
    struct nexus_identity nexus = op->nexus;
    bool removed = false;

    for (uint32_t i = 0; !any_key && i < port_total(op); i++) {
        if (!port_at(op, i, &nexus.rtpi))
            continue;
        int32_t index = shared_registrant_find(pr->lu, &nexus, NULL);
        if (index >= 0 && pr->lu->registrants[index].key != op->key) {
            shared_refuse(pr->effects, REASON_RESERVATION_CONFLICT, UINT32_MAX);
            return;
        }
    }
    for (uint32_t i = 0; i < port_total(op); i++) {
        if (!port_at(op, i, &nexus.rtpi))
            continue;
        int32_t index = shared_registrant_find(pr->lu, &nexus, NULL);
        if (index >= 0) {
            shared_registrant_remove(pr->state, pr->lu, (uint32_t)index);
            removed = true;
        }
    }
    if (!removed)
        return; /* "do nothing" (SPC-4 table 51) */
    pr->lu->pr_aptpl = op->aptpl;
    pr->view = true;
    pr->effects->changed = true;
    shared_pr_holder_gone(pr);
}

/* ALL_TG_PT can be honoured only if the asker said which ports there are. */
static bool ports_known(struct shared_pr *pr)
{
    if (!pr->op->all_tg_pt || pr->op->port_count)
        return true;
    shared_refuse(pr->effects, REASON_INVALID_FIELD_IN_PARAMETERS, FIELD_FLAGS);
    return false;
}

void shared_pr_register(struct shared_pr *pr)
{
    const struct shared_op *op = pr->op;
    uint64_t key = pr->self < 0 ? 0 : pr->lu->registrants[pr->self].key;

    if (op->key != key) {
        shared_refuse(pr->effects, REASON_RESERVATION_CONFLICT, UINT32_MAX);
        return;
    }
    if (pr->self < 0 && !op->action_key)
        return; /* "do nothing" (SPC-4 table 50) */
    if (!ports_known(pr))
        return;
    if (pr->self >= 0 && op->spec_i_pt)
        shared_refuse(pr->effects, REASON_INVALID_FIELD_IN_PARAMETERS, FIELD_FLAGS);
    else if (op->action_key)
        set_keys(pr, false);
    else
        unregister(pr, false);
}

void shared_pr_register_and_ignore(struct shared_pr *pr)
{
    if (pr->op->spec_i_pt)
        shared_refuse(pr->effects, REASON_INVALID_FIELD_IN_PARAMETERS, FIELD_FLAGS);
    else if (!ports_known(pr))
        return;
    else if (pr->op->action_key)
        set_keys(pr, true);
    else
        unregister(pr, true);
}

static bool port_exists(const struct shared_op *op, uint16_t rtpi)
{
    bool exists = rtpi && !op->port_count; /* not told which there are */

    for (uint32_t i = 0; i < op->port_count; i++)
        exists = exists || shared_port(op, i) == rtpi;
    return exists;
}

void shared_pr_register_and_move(struct shared_pr *pr)
{
    const struct shared_op *op = pr->op;
    struct shared_lu *lu = pr->lu;
    struct nexus_identity to;

    if (lu->pr_type == PR_NONE) {
        shared_refuse(pr->effects, REASON_INVALID_FIELD_IN_CDB, FIELD_CDB_ACTION);
        return;
    }
    if (lu->pr_holder != pr->self) { /* -1 for the all-registrants types: nothing to move there */
        shared_refuse(pr->effects, REASON_RESERVATION_CONFLICT, UINT32_MAX);
        return;
    }
    if (!op->action_key) {
        shared_refuse(pr->effects, REASON_INVALID_FIELD_IN_PARAMETERS, FIELD_ACTION_KEY);
        return;
    }
    if (!port_exists(op, op->move_rtpi)) {
        shared_refuse(pr->effects, REASON_INVALID_FIELD_IN_PARAMETERS, FIELD_MOVE_PORT);
        return;
    }
    if (!op->transport_ids_length ||
        identity_from_transport(&to, op->transport_ids, op->transport_ids_length, op->move_rtpi) !=
            op->transport_ids_length ||
        identity_equal(&to, &op->nexus)) {
        shared_refuse(pr->effects, REASON_INVALID_FIELD_IN_PARAMETERS, FIELD_MOVE_TRANSPORT_ID);
        return;
    }
    int32_t index = shared_registrant_find(lu, &to, NULL);
    if (index < 0 && !op->unreg && !shared_registrant_fits(pr->state, lu, 1)) {
        shared_refuse(pr->effects, REASON_INSUFFICIENT_REGISTRATION, UINT32_MAX);
        return;
    }
    if (op->unreg)
        shared_registrant_remove(pr->state, lu, (uint32_t)pr->self);
    if (index < 0)
        shared_registrant_add(pr->state, lu, &to, op->action_key);
    index = shared_registrant_find(lu, &to, NULL);
    lu->registrants[index].key = op->action_key;
    lu->pr_holder = index;
    lu->pr_aptpl = op->aptpl;
    pr->view = true;
    pr->effects->changed = true;
}
