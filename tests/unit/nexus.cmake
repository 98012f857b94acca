halun_test(test_nexus LINK halun_nexus halun_shared halun_base)
set_tests_properties(unit/test_nexus PROPERTIES LABELS "unit;threads")
