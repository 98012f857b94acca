halun_fuzz(fuzz_shared_op LINK halun_shared)
halun_fuzz(fuzz_shared_state LINK halun_shared)
halun_fuzz(fuzz_transport_id LINK halun_shared)
