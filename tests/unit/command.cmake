add_library(command_rig STATIC command_rig.c)
target_link_libraries(command_rig PUBLIC halun_flags PkgConfig::cmocka
                      "$<LINK_GROUP:RESCAN,halun_command,halun_alua,halun_nexus>" halun_shared halun_base)
halun_test(test_execute LINK command_rig)
