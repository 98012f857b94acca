/* The output of an operation on the shared state. Pure. */
#include <assert.h>

#include "cluster/shared_internal.h"

enum { NO_FIELD = 0xff };

static const struct nexus_identity nobody;

void shared_effects_begin(struct shared_effects *effects)
{
    effects->reason = REASON_GOOD;
    effects->field_pointer = NO_FIELD;
    effects->changed = false;
    effects->count = 0;
    effects->identity_count = 0;
}

struct shared_effect *shared_effect_add(struct shared_effects *effects,
                                        enum shared_effect_kind kind, uint32_t lu)
{
    struct shared_effect *effect = &effects->effects[effects->count];

    assert(effects->count < SHARED_EFFECTS);
    effects->count++;
    effects->changed = true;
    memset(effect, 0, sizeof *effect);
    effect->kind = kind;
    effect->selector = SHARED_ALL;
    effect->lu = lu;
    effect->group = SHARED_NO_GROUP;
    effect->ua = UA_COUNT;
    return effect;
}

void shared_effect_first(struct shared_effects *effects, enum shared_effect_kind kind, uint32_t lu)
{
    struct shared_effect effect = *shared_effect_add(effects, kind, lu);

    memmove(&effects->effects[1], &effects->effects[0], (effects->count - 1) * sizeof effect);
    effects->effects[0] = effect;
}

struct shared_effect *shared_effect_ua(struct shared_effects *effects, enum unit_attention ua,
                                       uint32_t lu, const struct nexus_identity *but)
{
    struct shared_effect *effect = shared_effect_add(effects, SHARED_EFFECT_UA, lu);

    effect->ua = ua;
    if (but && !identity_equal(but, &nobody)) {
        effect->selector = SHARED_ALL_BUT;
        effect->nexus = *but;
    }
    return effect;
}

void shared_effect_list(struct shared_effects *effects, enum shared_effect_kind kind, uint32_t lu,
                        enum unit_attention ua, uint32_t first)
{
    if (first == effects->identity_count)
        return;
    struct shared_effect *effect = shared_effect_add(effects, kind, lu);
    effect->selector = SHARED_LIST;
    effect->ua = ua;
    effect->first = first;
    effect->count = effects->identity_count - first;
}

void shared_effect_identity(struct shared_effects *effects, const struct nexus_identity *identity)
{
    assert(effects->identity_count < LIMIT_REGISTRANTS_LU * 2);
    effects->identities[effects->identity_count++] = *identity;
}

void shared_refuse(struct shared_effects *effects, enum scsi_reason reason, unsigned field_pointer)
{
    assert(!effects->changed);
    effects->reason = reason;
    effects->identity_count = 0;
    effects->field_pointer = field_pointer < NO_FIELD ? (uint8_t)field_pointer : NO_FIELD;
}

static bool listed(const struct shared_effects *effects, const struct shared_effect *effect,
                   const struct nexus_identity *nexus)
{
    uint32_t low = effect->first, high = effect->first + effect->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = identity_compare(nexus, &effects->identities[middle]);
        if (!order)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

bool shared_effect_selects(const struct shared_effects *effects, const struct shared_effect *effect,
                           const struct nexus_identity *nexus)
{
    switch (effect->selector) {
    case SHARED_ALL:
        return true;
    case SHARED_ALL_BUT:
        return !identity_equal(&effect->nexus, nexus);
    case SHARED_ONLY:
        return identity_equal(&effect->nexus, nexus);
    case SHARED_LIST:
        return listed(effects, effect, nexus);
    }
    return false;
}
