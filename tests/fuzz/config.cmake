halun_fuzz(fuzz_config LINK halun_config)
halun_fuzz(fuzz_drbd_res LINK halun_drbd_res)
