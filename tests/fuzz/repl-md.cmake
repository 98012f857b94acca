halun_fuzz(fuzz_drbd_message LINK halun_drbd)
halun_fuzz(fuzz_drbd_metadata LINK halun_drbd)
halun_fuzz(fuzz_drbd_attach LINK halun_drbd)
halun_fuzz(fuzz_drbd_vli LINK halun_drbd)
