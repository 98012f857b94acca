halun_test(test_options LINK halun_config)
halun_test(test_parse LINK halun_config)
target_compile_definitions(test_parse PRIVATE SOURCE_DIR="${CMAKE_SOURCE_DIR}")
halun_test(test_plan LINK halun_config)
halun_test(test_control LINK halun_ctl)

# What the agents are tested with, see tests/conform/agents.
add_executable(fake_halund ${CMAKE_SOURCE_DIR}/tests/conform/agents/fake_halund.c)
target_link_libraries(fake_halund halun_config halun_control)

add_test(NAME conform/help_equals_man
         COMMAND ${CMAKE_SOURCE_DIR}/tests/conform/config/help_equals_man $<TARGET_FILE:halunctl>)
add_test(NAME conform/agents
         COMMAND ${CMAKE_SOURCE_DIR}/tests/conform/agents/run ${CMAKE_BINARY_DIR})
set_tests_properties(conform/help_equals_man conform/agents PROPERTIES LABELS conform TIMEOUT 300
                     SKIP_RETURN_CODE 77)
halun_test(test_ctl_events LINK halun_ctl)
halun_test(test_drbd_res LINK halun_drbd_res)
target_compile_definitions(test_drbd_res PRIVATE RES_FILES="${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/fuzz_drbd_res")
add_test(NAME conform/drbdadm COMMAND ${CMAKE_SOURCE_DIR}/tests/conform/drbdadm $<TARGET_FILE:halunctl>)
set_tests_properties(conform/drbdadm PROPERTIES LABELS conform TIMEOUT 60 SKIP_RETURN_CODE 77)
