halun_test(test_cluster SOURCES test_cluster.c cluster_sim.c LINK halun_cluster)
halun_test(test_cluster_message LINK halun_cluster)
halun_test(test_fencing LINK halun_cluster)
halun_test(test_journal LINK halun_cluster)
