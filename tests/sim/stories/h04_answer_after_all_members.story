# H4: what was answered GOOD by a node that dies at once is known to the other
at 0 A1 register_and_ignore 0 0xa -> GOOD
at 3 power_cut 1
at 14900 B2 tur -> UA 2a06
at 15000 B2 reserve 0xb 0 5 -> RESERVATION_CONFLICT
at 15010 B2 register_and_ignore 0 0xb -> GOOD
at 15020 B2 preempt 0xb 0xa 5 -> GOOD
