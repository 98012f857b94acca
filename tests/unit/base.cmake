halun_test(test_reactor LINK halun_base)
