if(TARGET halun_transport AND TARGET halun_device)
  set(peer_group "$<LINK_GROUP:RESCAN,halun_command,halun_alua,halun_device,halun_nexus,halun_store,halun_transport>"
                 halun_shared halun_config halun_base)
  add_library(peer_rig STATIC peer_rig.c peer_relay.c)
  target_link_libraries(peer_rig PUBLIC halun_flags PkgConfig::cmocka ${peer_group})
  halun_test(test_peer LINK peer_rig)
  set_tests_properties(unit/test_peer PROPERTIES LABELS "unit;threads")
endif()
