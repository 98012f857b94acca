halun_test(test_options LINK halun_config)
halun_test(test_parse LINK halun_config)
target_compile_definitions(test_parse PRIVATE SOURCE_DIR="${CMAKE_SOURCE_DIR}")
halun_test(test_plan LINK halun_config)
halun_test(test_control LINK halun_ctl)

# What the agents are tested with, see tests/conform/agents.
add_executable(fake_halund ${CMAKE_SOURCE_DIR}/tests/conform/agents/fake_halund.c)
target_link_libraries(fake_halund halun_config halun_control)
