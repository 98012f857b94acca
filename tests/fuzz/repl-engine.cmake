halun_fuzz(fuzz_replica LINK halun_replication)
