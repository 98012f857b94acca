halun_test(test_linearize LINK halun_history)
halun_test(test_history_json LINK halun_history)
halun_test(test_blocks LINK halun_history)
