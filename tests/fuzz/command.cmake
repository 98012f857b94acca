set(command_pure "$<LINK_GROUP:RESCAN,halun_command,halun_alua,halun_nexus>" halun_shared halun_base)
halun_fuzz(fuzz_pr_out LINK ${command_pure})
halun_fuzz(fuzz_mode_select LINK ${command_pure})
halun_fuzz(fuzz_stpg LINK ${command_pure})
