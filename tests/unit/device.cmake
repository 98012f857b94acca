add_library(disk_rig STATIC disk_rig.c)
target_link_libraries(disk_rig PUBLIC halun_flags halun_device PkgConfig::cmocka)
