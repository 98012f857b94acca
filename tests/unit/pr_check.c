#include "tests/unit/pr_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

void model_nexus(int nexus, struct nexus_identity *identity)
{
    /* Lengths differ, so that the order of registrants is not that of the numbers. */
    static const char *const names[PR_INITIATORS] = {
        "iqn.2001-04.com.example:zebra", "iqn.2001-04.com.example:a-longer-name-than-others",
        "iqn.2001-04.com.example:cat",   "iqn.2001-04.com.example:b",
        "eui.02004567a425678d",
    };
    uint8_t isid[6] = {0x40, 0, 0, 0, 0, (uint8_t)nexus};

    isid[5] = (uint8_t)(nexus / PR_PORTS);
    identity_from_iscsi(identity, names[nexus / PR_PORTS], isid, (uint16_t)(nexus % PR_PORTS + 1));
}

void model_op_build(const struct model_op *op, uint32_t lu, struct shared_op *built,
                    struct model_memory *memory)
{
    static const enum shared_op_kind kinds[] = {
        [MODEL_PR_OUT] = SHARED_OP_PR_OUT,
        [MODEL_RESERVE] = SHARED_OP_RESERVE,
        [MODEL_RELEASE] = SHARED_OP_RELEASE,
        [MODEL_LU_RESET] = SHARED_OP_LU_RESET,
    };
    struct nexus_identity identity;
    uint32_t used = 0;

    assert_true(op->kind <= MODEL_LU_RESET);
    memset(built, 0, sizeof *built);
    built->kind = kinds[op->kind];
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
    for (uint16_t p = 0; p < PR_PORTS; p++)
        memory->ports[p] = (uint16_t)(p + 1);
    built->ports = memory->ports;
    built->port_count = PR_PORTS;
    built->transport_ids = memory->transport_ids;
    if (op->action == 7) {
        model_nexus(op->move_to, &identity);
        built->move_rtpi = identity.rtpi;
        memcpy(memory->transport_ids, identity.transport_id, identity.transport_length);
        used = identity.transport_length;
    } else if (op->spec_i_pt) {
        for (int i = 0; i < PR_INITIATORS; i++) {
            if (!(op->named >> i & 1))
                continue;
            model_nexus(i * PR_PORTS, &identity);
            memcpy(memory->transport_ids + used, identity.transport_id, identity.transport_length);
            used += identity.transport_length;
        }
    }
    built->transport_ids_length = used;
}

static void check_effects(const struct model_result *result, uint32_t lu,
                          const struct shared_effects *effects, bool *view, bool *persist)
{
    enum unit_attention ua[PR_NEXUSES];
    bool aborted[PR_NEXUSES] = {false};

    *view = *persist = false;
    for (int n = 0; n < PR_NEXUSES; n++)
        ua[n] = UA_COUNT;
    for (uint32_t i = 0; i < effects->count; i++) {
        const struct shared_effect *effect = &effects->effects[i];

        assert_int_equal(effect->lu, lu);
        *view = *view || effect->kind == SHARED_EFFECT_RESERVATION;
        *persist = *persist || effect->kind == SHARED_EFFECT_PERSIST;
        if (effect->kind == SHARED_EFFECT_RESERVATION)
            assert_int_equal(i, 0);
        for (int n = 0; n < PR_NEXUSES; n++) {
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
    for (int n = 0; n < PR_NEXUSES; n++) {
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
    for (int n = 0; n < PR_NEXUSES; n++) {
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
        assert_int_equal(holder, model_is_holder(model, n));
        if (model->legacy == n)
            assert_true(identity_equal(&now->legacy_holder, &identity));
        view_changed = view_changed || (model->key[n] != 0) != (model_before->key[n] != 0) ||
                       model_is_holder(model, n) != model_is_holder(model_before, n);
    }
    assert_int_equal(count, now->registrant_count);
    check_effects(result, lu, effects, &view, &persist);
    changed = !model_equal(model, model_before);
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
