if(TARGET halun_transport AND TARGET halun_device)
  halun_fuzz(fuzz_peer_frames
             LINK "$<LINK_GROUP:RESCAN,halun_command,halun_alua,halun_device,halun_nexus,halun_store,halun_transport>"
                  no_cluster halun_shared halun_config halun_base)
endif()
