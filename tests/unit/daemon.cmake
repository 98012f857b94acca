halun_test(test_group_plan SOURCES test_group_plan.c ${CMAKE_SOURCE_DIR}/target/daemon/group_plan.c)
