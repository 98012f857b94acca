# The whole way of a command, with the linker between it and every allocator.
if(TARGET halun_iscsi AND TARGET halun_device)
  halun_test(test_allocations LINK halun_iscsi
    "$<LINK_GROUP:RESCAN,halun_command,halun_alua,halun_device,halun_nexus,halun_store>"
    no_cluster halun_shared halun_config halun_base PkgConfig::libiscsi)
  foreach(name malloc calloc realloc reallocarray aligned_alloc posix_memalign strdup strndup mmap)
    target_link_options(test_allocations PRIVATE -Wl,--wrap=${name})
  endforeach()
endif()
