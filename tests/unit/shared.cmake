halun_test(test_shared_pr SOURCES test_shared_pr.c pr_model.c LINK halun_shared)
