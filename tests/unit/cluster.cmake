halun_test(test_cluster SOURCES test_cluster.c cluster_sim.c LINK halun_cluster)
