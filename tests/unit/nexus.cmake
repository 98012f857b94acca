halun_test(test_nexus LINK halun_nexus halun_shared halun_base)
halun_thread_tests(test_nexus)
