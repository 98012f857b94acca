# H1: a write of the victim that is on its way to the owner does not land after PREEMPT AND ABORT was answered
clients 2
at 0 A1 register_and_ignore 0 0xa -> GOOD
at 10 B2 register_and_ignore 0 0xb -> GOOD
at 20 A1 reserve 0xa 0 5 -> GOOD
# slow disks keep the write of B in flight when the preemption comes
at 30 slow_disk 1 300
at 30 slow_disk 2 300
at 60 B2 write 1 1
at 101 A1 preempt_and_abort 0xa 0xb 5 -> GOOD
at 2000 B2 tur -> UA 2a05
at 2010 B2 write 1 2 -> RESERVATION_CONFLICT
at 2020 slow_disk 1 0
at 2020 slow_disk 2 0
at 3000 A1 write 1 3 -> GOOD
at 3500 A1 read 1 -> GOOD value 3
