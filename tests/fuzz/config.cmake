halun_fuzz(fuzz_config LINK halun_config)
