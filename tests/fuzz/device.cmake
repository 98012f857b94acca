halun_fuzz(fuzz_unmap_list LINK halun_device)
