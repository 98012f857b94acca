halun_fuzz(fuzz_iscsi_pdu LINK halun_iscsi)
halun_fuzz(fuzz_iscsi_login LINK halun_iscsi)
