/* Pending unit attention conditions (SAM-5 5.14). Pure. */
#include "target/command/unit_attention.h"

#include <assert.h>

#define BIT(name) ((ua_set)1 << UA_##name)

static_assert(UA_COUNT <= 32, "a set is 32 bits");

static const struct {
    uint8_t asc, ascq;
    const char *text;
} rows[UA_COUNT] = {
#define UA(name, asc, ascq, text) [UA_##name] = {asc, ascq, text},
#include "target/command/ua.def"
#undef UA
};

/* What a condition makes pointless: `clears` what was pending before it, and as long as it is
 * pending itself, `hides` what comes after it. After a power on the initiator asks for everything
 * anew. */
static const struct {
    ua_set clears, hides;
} implied[UA_COUNT] = {
    [UA_POWER_ON] = {~(ua_set)0, BIT(LU_RESET) | BIT(NEXUS_LOSS) | BIT(COMMANDS_CLEARED)},
    [UA_LU_RESET] = {BIT(NEXUS_LOSS) | BIT(COMMANDS_CLEARED), BIT(NEXUS_LOSS)},
};

void ua_establish(ua_set *set, enum unit_attention ua)
{
    ua_set bit = (ua_set)1 << ua;

    assert(ua < UA_COUNT);
    for (unsigned i = 0; i < UA_COUNT; i++)
        if (*set >> i & 1 && implied[i].hides & bit)
            return;
    *set = (*set & ~implied[ua].clears) | bit;
}

enum unit_attention ua_take(ua_set *set)
{
    if (!*set)
        return UA_COUNT;
    enum unit_attention ua = (enum unit_attention)__builtin_ctz(*set);
    *set &= *set - 1;
    return ua;
}

void ua_codes(enum unit_attention ua, uint8_t *asc, uint8_t *ascq)
{
    assert(ua < UA_COUNT);
    *asc = rows[ua].asc;
    *ascq = rows[ua].ascq;
}

const char *ua_text(enum unit_attention ua)
{
    assert(ua < UA_COUNT);
    return rows[ua].text;
}
