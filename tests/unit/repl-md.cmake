# The pure half of replication, and its metadata against drbdmeta.
add_executable(md_random ${CMAKE_CURRENT_LIST_DIR}/../conform/md_random.c)
target_link_libraries(md_random halun_drbd)
add_test(NAME conform/drbdmeta
         COMMAND ${CMAKE_CURRENT_LIST_DIR}/../conform/drbdmeta --halun-md $<TARGET_FILE:halun-md>
                 --md-random $<TARGET_FILE:md_random>)
set_tests_properties(conform/drbdmeta PROPERTIES LABELS conform TIMEOUT 600 SKIP_RETURN_CODE 77)

halun_test(test_generation LINK halun_drbd)
halun_test(test_dirty_map LINK halun_drbd)
halun_test(test_activity_log LINK halun_drbd)
halun_test(test_metadata LINK halun_drbd)
halun_test(test_message LINK halun_drbd)
halun_test(test_md_file LINK halun_drbd)
