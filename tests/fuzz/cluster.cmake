# Two machines for each, of 50 MiB: under the sanitizers 0.1 s.
halun_fuzz(fuzz_cluster_message RUNS 500 LINK halun_cluster)
