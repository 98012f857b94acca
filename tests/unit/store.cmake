halun_test(test_store_contract LINK halun_store)
halun_test(test_file_store LINK halun_store)
