halun_test(test_epoch LINK halun_replication)
halun_test(test_write_gate LINK halun_replication)
halun_test(test_replica SOURCES test_replica.c replica_rig.c LINK halun_replication)
halun_test(test_replica_crash SOURCES test_replica_crash.c replica_rig.c LINK halun_replication)
