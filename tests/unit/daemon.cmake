halun_test(test_group_plan SOURCES test_group_plan.c ${CMAKE_SOURCE_DIR}/target/daemon/group_plan.c)
halun_test(test_outdate SOURCES test_outdate.c ${CMAKE_SOURCE_DIR}/target/daemon/outdate.c
           LINK halun_base PkgConfig::libqb PkgConfig::jansson)
halun_test(test_attach SOURCES test_attach.c ${CMAKE_SOURCE_DIR}/target/daemon/attach.c
                               ${CMAKE_SOURCE_DIR}/target/daemon/wanted_group.c
           LINK halun_base PkgConfig::libqb PkgConfig::jansson)
halun_thread_tests(test_attach)
halun_test(test_recorded SOURCES test_recorded.c ${CMAKE_SOURCE_DIR}/target/daemon/recorded.c
           LINK halun_base PkgConfig::libqb PkgConfig::jansson)
halun_test(test_units SOURCES test_units.c ${CMAKE_SOURCE_DIR}/target/daemon/units.c
           LINK PkgConfig::libqb PkgConfig::jansson)
halun_test(test_metrics SOURCES test_metrics.c ${CMAKE_SOURCE_DIR}/target/daemon/metrics.c LINK PkgConfig::jansson)
halun_test(test_kept SOURCES test_kept.c ${CMAKE_SOURCE_DIR}/target/daemon/kept.c LINK halun_base PkgConfig::libqb)
halun_test(test_group_start SOURCES test_group_start.c ${CMAKE_SOURCE_DIR}/target/daemon/group_start.c
           LINK halun_base PkgConfig::libqb PkgConfig::jansson)
halun_test(test_group_current SOURCES test_group_current.c ${CMAKE_SOURCE_DIR}/target/daemon/group_current.c
                                      ${CMAKE_SOURCE_DIR}/target/daemon/nodes.c
           LINK halun_cluster halun_base PkgConfig::libqb PkgConfig::jansson)
halun_test(test_groups SOURCES test_groups.c ${CMAKE_SOURCE_DIR}/target/daemon/groups.c
                               ${CMAKE_SOURCE_DIR}/target/daemon/group_plan.c
           LINK halun_base PkgConfig::libqb PkgConfig::jansson)
halun_test(test_group_copies SOURCES test_group_copies.c ${CMAKE_SOURCE_DIR}/target/daemon/group_copies.c
                                    ${CMAKE_SOURCE_DIR}/target/daemon/reinstate.c
           LINK halun_base PkgConfig::libqb PkgConfig::jansson)
halun_test(test_consult SOURCES test_consult.c ${CMAKE_SOURCE_DIR}/target/daemon/consult.c
                                ${CMAKE_SOURCE_DIR}/target/daemon/nodes.c
           LINK halun_base PkgConfig::libqb PkgConfig::jansson)
halun_test(test_log SOURCES test_log.c ${CMAKE_SOURCE_DIR}/target/daemon/log.c ${CMAKE_SOURCE_DIR}/target/daemon/log_writer.c
           LINK halun_base PkgConfig::libqb)
halun_thread_tests(test_log)
