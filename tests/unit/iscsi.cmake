add_library(iscsi_rig STATIC iscsi_rig.c)
target_link_libraries(iscsi_rig PUBLIC halun_flags PkgConfig::cmocka
                      "$<LINK_GROUP:RESCAN,halun_iscsi,halun_base>")
halun_test(test_iscsi_client LINK "$<LINK_GROUP:RESCAN,iscsi_rig,halun_iscsi>" PkgConfig::libiscsi)
halun_test(test_iscsi_conn LINK "$<LINK_GROUP:RESCAN,iscsi_rig,halun_iscsi>")
halun_test(test_iscsi_slots LINK "$<LINK_GROUP:RESCAN,iscsi_rig,halun_iscsi>")
halun_test(test_iscsi_pdu LINK halun_iscsi)
halun_test(test_iscsi_login LINK halun_iscsi)
