# Checkers of the simulator on a world of stubs: what they count and what they let pass.
halun_test(test_sim_caches SOURCES test_sim_caches.c ${CMAKE_SOURCE_DIR}/tests/sim/caches.c LINK halun_history)
halun_test(test_sim_history SOURCES test_sim_history.c ${CMAKE_SOURCE_DIR}/tests/sim/check_history.c LINK halun_history)
halun_test(test_sim_wall SOURCES test_sim_wall.c ${CMAKE_SOURCE_DIR}/tests/sim/check_wall.c
           LINK halun_history halun_command halun_shared)
