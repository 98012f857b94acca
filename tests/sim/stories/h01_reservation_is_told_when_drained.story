# H1: who is told of a reservation finds that no write from before it is still on its way
at 0 B2 register_and_ignore 0 0xb -> GOOD
at 30 slow_disk 1 300
at 30 slow_disk 2 300
at 60 A1 write 1 1
at 80 B2 reserve 0xb 0 3 -> GOOD
at 100 A2 read_reservation -> GOOD
at 110 A1 read_keys -> GOOD
at 120 B2 read 1 -> GOOD
at 2000 slow_disk 1 0
at 2000 slow_disk 2 0
at 2100 B2 read 1 -> GOOD value 1
