/* The set of pending unit attentions. Not covered: which commands report them, which nexus gets
 * which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "target/command/unit_attention.h"

static void take_when_several_then_in_order_of_rows_once_each(void **context)
{
    ua_set set = 0;

    ua_establish(&set, UA_LUNS_CHANGED);
    ua_establish(&set, UA_MODE_PARAMETERS_CHANGED);
    ua_establish(&set, UA_RESERVATIONS_RELEASED);
    ua_establish(&set, UA_MODE_PARAMETERS_CHANGED);
    assert_int_equal(ua_take(&set), UA_RESERVATIONS_RELEASED);
    assert_int_equal(ua_take(&set), UA_MODE_PARAMETERS_CHANGED);
    assert_int_equal(ua_take(&set), UA_LUNS_CHANGED);
    assert_int_equal(ua_take(&set), UA_COUNT);
    assert_int_equal(set, 0);
}

static void establish_when_power_on_then_all_before_is_gone(void **context)
{
    ua_set set = 0;

    for (int ua = UA_COUNT - 1; ua >= 0; ua--)
        ua_establish(&set, (enum unit_attention)ua);
    assert_int_equal(ua_take(&set), UA_POWER_ON);
    assert_int_equal(set, 0);
}

static void establish_when_power_on_pending_then_only_news_is_added(void **context)
{
    ua_set set = 0;

    ua_establish(&set, UA_POWER_ON);
    ua_establish(&set, UA_LU_RESET);
    ua_establish(&set, UA_NEXUS_LOSS);
    ua_establish(&set, UA_COMMANDS_CLEARED);
    ua_establish(&set, UA_RESERVATIONS_PREEMPTED);
    assert_int_equal(ua_take(&set), UA_POWER_ON);
    assert_int_equal(ua_take(&set), UA_RESERVATIONS_PREEMPTED);
    assert_int_equal(ua_take(&set), UA_COUNT);
}

static void establish_when_lu_reset_then_implied_ones_are_gone(void **context)
{
    ua_set set = 0;

    ua_establish(&set, UA_NEXUS_LOSS);
    ua_establish(&set, UA_COMMANDS_CLEARED);
    ua_establish(&set, UA_CAPACITY_CHANGED);
    ua_establish(&set, UA_LU_RESET);
    ua_establish(&set, UA_NEXUS_LOSS);
    assert_int_equal(ua_take(&set), UA_LU_RESET);
    assert_int_equal(ua_take(&set), UA_CAPACITY_CHANGED);
    assert_int_equal(ua_take(&set), UA_COUNT);
}

static void codes_when_every_row_then_no_two_alike(void **context)
{
    uint8_t asc[UA_COUNT], ascq[UA_COUNT];

    for (unsigned i = 0; i < UA_COUNT; i++) {
        ua_codes((enum unit_attention)i, &asc[i], &ascq[i]);
        assert_true(ua_text((enum unit_attention)i)[0]);
        for (unsigned k = 0; k < i; k++)
            assert_false(asc[i] == asc[k] && ascq[i] == ascq[k]);
    }
    assert_int_equal(asc[UA_ACCESS_STATE_CHANGED], 0x2a);
    assert_int_equal(ascq[UA_ACCESS_STATE_CHANGED], 0x06);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(take_when_several_then_in_order_of_rows_once_each),
        cmocka_unit_test(establish_when_power_on_then_all_before_is_gone),
        cmocka_unit_test(establish_when_power_on_pending_then_only_news_is_added),
        cmocka_unit_test(establish_when_lu_reset_then_implied_ones_are_gone),
        cmocka_unit_test(codes_when_every_row_then_no_two_alike),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
