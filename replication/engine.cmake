# The running half: the built-in engine of replica.h over the pure half in halun_drbd.
halun_library(halun_replication
  SOURCES admin.c connector.c engine.c epoch.c handshake.c link.c log_hold.c metadata_io.c mirror.c pace.c peer_read.c range_lock.c
          receive.c replica.c replicated_store.c resource.c role_mark.c resync.c resync_io.c volume.c write_entry.c
          write_gate.c write_path.c
  LINK halun_drbd halun_store halun_base PkgConfig::libcrypto PkgConfig::libqb)
