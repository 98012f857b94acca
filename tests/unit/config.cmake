halun_test(test_options LINK halun_config)
halun_test(test_parse LINK halun_config)
target_compile_definitions(test_parse PRIVATE SOURCE_DIR="${CMAKE_SOURCE_DIR}")
halun_test(test_plan LINK halun_config)
