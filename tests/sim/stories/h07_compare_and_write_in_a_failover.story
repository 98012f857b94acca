# H7: a COMPARE AND WRITE in a failover ends definitely or is lost with its session, and is not done twice
at 0 A1 write 1 1 -> GOOD
at 100 B2 compare_and_write 1 1 2
at 100 power_cut 1
at 19900 B2 tur -> UA 2a06
at 20000 B2 read 1 -> GOOD
