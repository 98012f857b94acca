# H22: a forwarded write whose owner dies may have been done: it is left to the initiator, not repeated
at 0 slow_disk 1 200
at 10 B2 write 1 1 -> ABORTED_COMMAND
at 20 power_cut 1
at 19900 B2 tur -> UA 2a06
at 20000 B2 write 1 2 -> GOOD
at 20100 B2 read 1 -> GOOD value 2
