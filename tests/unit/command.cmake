set(command_group "$<LINK_GROUP:RESCAN,halun_command,halun_alua,halun_nexus>" halun_shared halun_base)
add_library(command_rig STATIC command_rig.c)
target_link_libraries(command_rig PUBLIC halun_flags PkgConfig::cmocka ${command_group})
halun_test(test_execute LINK command_rig)
halun_test(test_spc LINK command_rig)
halun_test(test_reservation_commands LINK command_rig)
halun_test(test_sense LINK command_rig)
halun_test(test_pages LINK command_rig)
halun_test(test_lun_map LINK command_rig)
halun_test(test_alua LINK command_rig)
# All real tables at once.
if(TARGET halun_device)
  halun_test(test_command_rows
             LINK "$<LINK_GROUP:RESCAN,halun_command,halun_alua,halun_device,halun_nexus,halun_store>"
                  halun_shared halun_config halun_base)
endif()
