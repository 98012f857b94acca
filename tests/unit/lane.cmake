halun_test(test_lane SOURCES test_lane.c LINK halun_nexus halun_shared halun_base)
set_tests_properties(unit/test_lane PROPERTIES LABELS "unit;threads")
