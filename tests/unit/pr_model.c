#include "tests/unit/pr_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static bool is_ro(uint8_t type)
{
    return type == 5 || type == 6;
}

static bool is_ar(uint8_t type)
{
    return type == 7 || type == 8;
}

static bool type_ok(uint8_t type)
{
    return type == 1 || type == 3 || is_ro(type) || is_ar(type);
}

static int registered_count(const struct model *m)
{
    int count = 0;
    for (int n = 0; n < MODEL_NEXUSES; n++)
        count += m->key[n] != 0;
    return count;
}

static bool is_holder(const struct model *m, int nexus)
{
    return m->key[nexus] && m->type && (is_ar(m->type) || m->holder == nexus);
}

void model_init(struct model *m)
{
    memset(m, 0, sizeof *m);
    m->holder = m->legacy = MODEL_NOBODY;
}

/* 5.12.11.2.3: the reservation goes with its holder; with the last registrant for all registrants.
 */
static void after_removal(struct model *m, int asker, struct model_result *r)
{
    uint8_t type = m->type;

    if (!type)
        return;
    if (is_ar(type) ? registered_count(m) > 0 : m->key[m->holder] != 0)
        return;
    m->type = 0;
    m->holder = MODEL_NOBODY;
    for (int n = 0; n < MODEL_NEXUSES; n++)
        if (n != asker && m->key[n] && (is_ro(type) || is_ar(type)))
            r->ua[n] = UA_RESERVATIONS_RELEASED;
}

/* Tables 50 and 51. */
static enum scsi_reason do_register(struct model *m, const struct model_op *op, bool ignore,
                                    struct model_result *r)
{
    int initiator = op->nexus / MODEL_PORTS;
    uint64_t mine = m->key[op->nexus];
    struct model next = *m;
    bool executed = false;

    if (!ignore && op->key != mine)
        return REASON_RESERVATION_CONFLICT;
    if (ignore ? op->spec_i_pt : mine && op->spec_i_pt)
        return REASON_INVALID_FIELD_IN_PARAMETERS;
    if (!ignore && !mine && !op->action_key)
        return REASON_GOOD;
    for (int p = 0; p < MODEL_PORTS; p++) {
        int n = initiator * MODEL_PORTS + p;
        if (n != op->nexus && !op->all_tg_pt)
            continue;
        if (!ignore && m->key[n] && m->key[n] != op->key)
            return REASON_RESERVATION_CONFLICT;
        executed = executed || op->action_key || m->key[n];
        next.key[n] = op->action_key;
    }
    if (op->spec_i_pt && op->action_key)
        for (int n = 0; n < MODEL_NEXUSES; n++) {
            if (!(op->named >> n / MODEL_PORTS & 1))
                continue;
            if (!op->all_tg_pt && n % MODEL_PORTS != op->nexus % MODEL_PORTS)
                continue;
            if (m->key[n])
                return REASON_INVALID_FIELD_IN_PARAMETERS;
            next.key[n] = op->action_key;
        }
    if (!executed)
        return REASON_GOOD;
    *m = next;
    m->aptpl = op->aptpl;
    m->generation++;
    after_removal(m, op->nexus, r);
    return REASON_GOOD;
}

static enum scsi_reason do_reserve(struct model *m, const struct model_op *op)
{
    if (op->scope || !type_ok(op->type))
        return REASON_INVALID_FIELD_IN_CDB;
    if (m->type)
        return is_holder(m, op->nexus) && m->type == op->type ? REASON_GOOD
                                                              : REASON_RESERVATION_CONFLICT;
    m->type = op->type;
    m->holder = is_ar(op->type) ? MODEL_NOBODY : op->nexus;
    return REASON_GOOD;
}

static enum scsi_reason do_release(struct model *m, const struct model_op *op,
                                   struct model_result *r)
{
    if (!is_holder(m, op->nexus))
        return REASON_GOOD;
    if (op->scope || op->type != m->type)
        return REASON_INVALID_RELEASE;
    for (int n = 0; n < MODEL_NEXUSES; n++)
        if (m->key[n] && n != op->nexus && (is_ro(m->type) || is_ar(m->type)))
            r->ua[n] = UA_RESERVATIONS_RELEASED;
    m->type = 0;
    m->holder = MODEL_NOBODY;
    return REASON_GOOD;
}

static enum scsi_reason do_clear(struct model *m, const struct model_op *op, struct model_result *r)
{
    for (int n = 0; n < MODEL_NEXUSES; n++) {
        if (m->key[n] && n != op->nexus)
            r->ua[n] = UA_RESERVATIONS_PREEMPTED;
        m->key[n] = 0;
    }
    m->type = 0;
    m->holder = MODEL_NOBODY;
    m->generation++;
    return REASON_GOOD;
}

/* Table 54: row by row. */
static enum scsi_reason do_preempt(struct model *m, const struct model_op *op, bool and_abort,
                                   struct model_result *r)
{
    enum { REFUSE, REGISTRATIONS, RESERVATION } what;
    uint8_t old_type = m->type;
    bool any = false;

    if (is_ar(m->type))
        what = op->action_key ? REGISTRATIONS : RESERVATION;
    else if (!op->action_key)
        what = REFUSE;
    else if (m->type && m->key[m->holder] == op->action_key)
        what = RESERVATION;
    else
        what = REGISTRATIONS;
    if (what == REFUSE)
        return REASON_INVALID_FIELD_IN_PARAMETERS;
    if (what == RESERVATION && (op->scope || !type_ok(op->type)))
        return REASON_INVALID_FIELD_IN_CDB;
    for (int n = 0; n < MODEL_NEXUSES; n++)
        any = any || (op->action_key && m->key[n] == op->action_key);
    if (what == REGISTRATIONS && !any)
        return REASON_RESERVATION_CONFLICT;

    for (int n = 0; n < MODEL_NEXUSES; n++) {
        bool named = m->key[n] && (!op->action_key || m->key[n] == op->action_key);
        if (!named || (what == RESERVATION && n == op->nexus))
            continue;
        m->key[n] = 0;
        if (n == op->nexus)
            continue;
        r->ua[n] = UA_REGISTRATIONS_PREEMPTED;
        r->aborted[n] = and_abort;
    }
    m->generation++;
    if (what == REGISTRATIONS) {
        after_removal(m, op->nexus, r);
        return REASON_GOOD;
    }
    m->type = op->type;
    m->holder = is_ar(op->type) ? MODEL_NOBODY : op->nexus;
    if (old_type != m->type)
        for (int n = 0; n < MODEL_NEXUSES; n++)
            if (m->key[n] && n != op->nexus)
                r->ua[n] = UA_RESERVATIONS_RELEASED;
    return REASON_GOOD;
}

static enum scsi_reason do_move(struct model *m, const struct model_op *op)
{
    if (!m->type)
        return REASON_INVALID_FIELD_IN_CDB;
    if (is_ar(m->type) || m->holder != op->nexus)
        return REASON_RESERVATION_CONFLICT;
    if (!op->action_key || op->move_to == op->nexus)
        return REASON_INVALID_FIELD_IN_PARAMETERS;
    m->key[op->move_to] = op->action_key;
    m->holder = op->move_to;
    m->aptpl = op->aptpl;
    if (op->unreg)
        m->key[op->nexus] = 0;
    m->generation++;
    return REASON_GOOD;
}

static enum scsi_reason do_pr_out(struct model *m, const struct model_op *op,
                                  struct model_result *r)
{
    if (op->action > 7)
        return REASON_INVALID_FIELD_IN_CDB;
    if (m->legacy != MODEL_NOBODY)
        return REASON_RESERVATION_CONFLICT;
    if (op->action != 0 && op->action != 6 && (!m->key[op->nexus] || m->key[op->nexus] != op->key))
        return REASON_RESERVATION_CONFLICT;
    switch (op->action) {
    case 0:
        return do_register(m, op, false, r);
    case 1:
        return do_reserve(m, op);
    case 2:
        return do_release(m, op, r);
    case 3:
        return do_clear(m, op, r);
    case 4:
        return do_preempt(m, op, false, r);
    case 5:
        return do_preempt(m, op, true, r);
    case 6:
        return do_register(m, op, true, r);
    default:
        return do_move(m, op);
    }
}

/* SPC-2 5.5.1 with the exceptions of SPC-4 5.12.3. */
static enum scsi_reason do_legacy(struct model *m, const struct model_op *op)
{
    int n = op->nexus;

    if (registered_count(m))
        return is_holder(m, n) || (m->key[n] && (is_ro(m->type) || is_ar(m->type)))
                   ? REASON_GOOD
                   : REASON_RESERVATION_CONFLICT;
    if (op->kind == SHARED_OP_RELEASE) {
        if (m->legacy == n)
            m->legacy = MODEL_NOBODY;
        return REASON_GOOD;
    }
    if (m->legacy != MODEL_NOBODY && m->legacy != n)
        return REASON_RESERVATION_CONFLICT;
    m->legacy = n;
    return REASON_GOOD;
}

void model_apply(struct model *m, const struct model_op *op, struct model_result *r)
{
    for (int n = 0; n < MODEL_NEXUSES; n++) {
        r->ua[n] = UA_COUNT;
        r->aborted[n] = false;
    }
    switch (op->kind) {
    case SHARED_OP_PR_OUT:
        r->reason = do_pr_out(m, op, r);
        break;
    case SHARED_OP_RESERVE:
    case SHARED_OP_RELEASE:
        r->reason = do_legacy(m, op);
        break;
    default: /* LU_RESET */
        m->legacy = MODEL_NOBODY;
        for (int n = 0; n < MODEL_NEXUSES; n++) {
            r->aborted[n] = true;
            r->ua[n] = UA_LU_RESET;
        }
        r->reason = REASON_GOOD;
    }
}

void model_nexus(int nexus, struct nexus_identity *identity)
{
    /* Lengths differ, so that the order of registrants is not that of the numbers. */
    static const char *const names[MODEL_INITIATORS] = {
        "iqn.2001-04.com.example:zebra", "iqn.2001-04.com.example:a-longer-name-than-others",
        "iqn.2001-04.com.example:cat",   "iqn.2001-04.com.example:b",
        "eui.02004567a425678d",
    };
    uint8_t isid[6] = {0x40, 0, 0, 0, 0, (uint8_t)nexus};

    isid[5] = (uint8_t)(nexus / MODEL_PORTS);
    identity_from_iscsi(identity, names[nexus / MODEL_PORTS], isid,
                        (uint16_t)(nexus % MODEL_PORTS + 1));
}

void model_op_build(const struct model_op *op, uint32_t lu, struct shared_op *built,
                    struct model_memory *memory)
{
    struct nexus_identity identity;
    uint32_t used = 0;

    memset(built, 0, sizeof *built);
    built->kind = op->kind;
    built->node = 1;
    built->lu = lu;
    model_nexus(op->nexus, &built->nexus);
    built->action = op->action;
    built->type = op->type;
    built->scope = op->scope;
    built->key = op->key;
    built->action_key = op->action_key;
    built->aptpl = op->aptpl;
    built->all_tg_pt = op->all_tg_pt;
    built->spec_i_pt = op->spec_i_pt;
    built->unreg = op->unreg;
    for (uint16_t p = 0; p < MODEL_PORTS; p++)
        memory->ports[p] = (uint16_t)(p + 1);
    built->ports = memory->ports;
    built->port_count = MODEL_PORTS;
    built->transport_ids = memory->transport_ids;
    if (op->action == 7) {
        model_nexus(op->move_to, &identity);
        built->move_rtpi = identity.rtpi;
        memcpy(memory->transport_ids, identity.transport_id, identity.transport_length);
        used = identity.transport_length;
    } else if (op->spec_i_pt) {
        for (int i = 0; i < MODEL_INITIATORS; i++) {
            if (!(op->named >> i & 1))
                continue;
            model_nexus(i * MODEL_PORTS, &identity);
            memcpy(memory->transport_ids + used, identity.transport_id, identity.transport_length);
            used += identity.transport_length;
        }
    }
    built->transport_ids_length = used;
}

static void check_effects(const struct model_result *result, uint32_t lu,
                          const struct shared_effects *effects, bool *view, bool *persist)
{
    enum unit_attention ua[MODEL_NEXUSES];
    bool aborted[MODEL_NEXUSES] = {false};

    *view = *persist = false;
    for (int n = 0; n < MODEL_NEXUSES; n++)
        ua[n] = UA_COUNT;
    for (uint32_t i = 0; i < effects->count; i++) {
        const struct shared_effect *effect = &effects->effects[i];

        assert_int_equal(effect->lu, lu);
        *view = *view || effect->kind == SHARED_EFFECT_RESERVATION;
        *persist = *persist || effect->kind == SHARED_EFFECT_PERSIST;
        if (effect->kind == SHARED_EFFECT_RESERVATION)
            assert_int_equal(i, 0);
        for (int n = 0; n < MODEL_NEXUSES; n++) {
            struct nexus_identity identity;

            model_nexus(n, &identity);
            if (!shared_effect_selects(effects, effect, &identity))
                continue;
            if (effect->kind == SHARED_EFFECT_UA) {
                assert_int_equal(ua[n], UA_COUNT);
                ua[n] = effect->ua;
            }
            if (effect->kind == SHARED_EFFECT_ABORT)
                aborted[n] = true;
        }
    }
    for (int n = 0; n < MODEL_NEXUSES; n++) {
        assert_int_equal(ua[n], result->ua[n]);
        assert_int_equal(aborted[n], result->aborted[n]);
    }
}

void model_check(const struct model *model, const struct model *model_before,
                 const struct model_result *result, const struct shared_state *state, uint32_t lu,
                 const struct shared_lu *before, const struct shared_effects *effects)
{
    const struct shared_lu *now = &state->lus[lu];
    bool view, persist, view_changed, changed;
    int count = 0;

    assert_int_equal(effects->reason, result->reason);
    assert_int_equal(now->pr_type, model->type);
    assert_int_equal(now->pr_generation, model->generation);
    assert_int_equal(now->pr_aptpl, model->aptpl);
    assert_int_equal(now->legacy_reserved, model->legacy != MODEL_NOBODY);
    view_changed = model->type != model_before->type || model->legacy != model_before->legacy;
    for (int n = 0; n < MODEL_NEXUSES; n++) {
        struct nexus_identity identity;
        bool registered, holder;
        uint64_t key = 0;

        model_nexus(n, &identity);
        shared_lookup(now, &identity, &registered, &holder);
        for (uint32_t i = 0; i < now->registrant_count; i++)
            if (identity_equal(&now->registrants[i].nexus, &identity)) {
                key = now->registrants[i].key;
                count++;
            }
        assert_int_equal(key, model->key[n]);
        assert_int_equal(registered, model->key[n] != 0);
        assert_int_equal(holder, is_holder(model, n));
        if (model->legacy == n)
            assert_true(identity_equal(&now->legacy_holder, &identity));
        view_changed = view_changed || (model->key[n] != 0) != (model_before->key[n] != 0) ||
                       is_holder(model, n) != is_holder(model_before, n);
    }
    assert_int_equal(count, now->registrant_count);
    check_effects(result, lu, effects, &view, &persist);
    changed = memcmp(model, model_before, sizeof *model) != 0;
    /* A takeover by the holder with the same type switches lanes without need: harmless. */
    if (view_changed)
        assert_true(view);
    if (!changed)
        assert_false(view);
    assert_int_equal(now->epoch - before->epoch, view);
    if (persist)
        assert_true(before->pr_aptpl || now->pr_aptpl);
    /* Legacy reservations do not outlive a power cut, so they need not be durable. */
    if (changed && model->legacy == model_before->legacy && (before->pr_aptpl || now->pr_aptpl))
        assert_true(persist);
    assert_int_equal(effects->changed, effects->count > 0 || changed);
}
