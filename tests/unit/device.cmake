add_library(disk_rig STATIC disk_rig.c)
target_link_libraries(disk_rig PUBLIC halun_flags halun_device PkgConfig::cmocka)
foreach(test test_disk_rows test_disk_rw test_disk_verify test_disk_same test_disk_unmap
             test_disk_caw test_disk_capacity)
  halun_test(${test} LINK disk_rig)
endforeach()
halun_test(test_device LINK halun_device)
halun_test(test_unmap_list LINK halun_device)
