halun_test(test_lane SOURCES test_lane.c LINK halun_nexus halun_shared halun_base)
halun_thread_tests(test_lane)
